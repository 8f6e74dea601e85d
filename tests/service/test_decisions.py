"""Requests that somebody has to approve: what they become, who answers, and that what is approved is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from temper.runtime import Administers, Answered, Call, Ruling
from temper.service import Person, Workshop
from temper.service.decisions import CARRY_OUT
from tests.service.office import (
    ADMIN,
    ANN,
    ANN_MANAGES,
    BOT,
    BOT_MANAGES,
    EVE,
    MAX,
    MAXBOT,
    MIA,
    PUSH,
    SHIP,
    decision_of,
    docks,
    held_up,
    lines,
    ready,
    refused,
    shop,
)
from tests.service.shop import Prepared, copied, opened

__all__ = ["docks", "shop"]

NOTES = {"notes": "fixes"}
EVA = replace(EVE, principal="eva")


def promote(shop: Workshop, who: Person = BOT, **given: Any) -> Awaitable[Any]:
    return shop.act(who, "ship", "Release", "r1", "Promote", NOTES, **given)


def move(shop: Workshop, who: Person = EVE, by: int = 3, id: str = "r1", **given: Any) -> Awaitable[Any]:
    return shop.act(who, "ship", "Release", id, "Move", {"by_": by}, **given)


# --- what a request becomes -------------------------------------------------------------------------------------------


async def test_a_decision_holds_exactly_what_was_asked_for_and_shows_what_would_happen(shop: Workshop) -> None:
    held = await shop.decisions.decision(BOT, await decision_of(promote(shop)))
    assert (held.state, held.blueprint, held.entity, held.entity_id) == ("Pending", "ship", "Release", "r1")
    assert (held.action, held.params, held.version) == ("Promote", NOTES, 1)
    assert held.digest == shop.blueprints(ANN)[0].digest
    assert (held.asked_by, held.acts_for, held.roles, held.session) == ("bot", "ann", ("builder",), "s1")
    assert (held.refused_by, held.refused) == ("policy", "an agent does not promote by itself")
    assert held.policies == ("no-agents",)
    assert (held.would["before"], held.would["after"], held.would["changed"]) == (
        "Ready", "Live", {"notes": ["", "fixes"]},
    )  # fmt: skip
    assert set(held.allows) == {"call", "entity", "action"}
    assert held.allows["call"] == "bot for ann has Promote done on Release r1, once and now, Ready -> Live"
    assert (await shop.read(ANN, "ship", "Release", "r1")).state == "Ready"


async def test_of_what_by_refuses_it_shows_what_would_happen_for_one_whom_by_names(shop: Workshop) -> None:
    held = await shop.decisions.decision(EVE, await decision_of(move(shop)))
    assert (held.refused_by, held.would["changed"]) == ("by", {"moves": [0, 3]})
    problem = await refused(move(shop, by=9, id="r1", who=replace(EVE, principal="eva")))
    assert problem.decision
    await shop.decisions.answer(MAX, problem.decision, "grant")
    # What would be refused all the same says so, before anybody answers.
    for by in (9, 2):
        await shop.act(MAX, "ship", "Release", "r1", "Move", {"by_": by})
    refusing = await shop.decisions.decision(EVE, await decision_of(move(shop, by=9)))
    assert refusing.would == {"refused": "it has moved far enough"}


async def test_the_same_request_finds_the_decision_that_waits(shop: Workshop) -> None:
    first = await decision_of(promote(shop))
    assert await decision_of(promote(shop)) == first
    others = {
        await decision_of(shop.act(BOT, "ship", "Release", "r1", "Promote", {"notes": "other"})),
        await decision_of(promote(shop, replace(BOT, roles=frozenset({"builder", "extra"})))),
        await decision_of(promote(shop, replace(BOT, session="s2"))),
        await decision_of(promote(shop, replace(BOT, acts_for="eve"))),
    }
    assert len(others) == 4 and first not in others


async def test_two_that_ask_at_once_find_one(shop: Workshop) -> None:
    found = await asyncio.gather(*(decision_of(promote(shop)) for _ in range(8)))
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        # Nobody may approve it.
        (lambda s: s.act(EVE, "ship", "Release", "r1", "End", {}), "denied"),
        # It is no refusal that anybody could overrule.
        (lambda s: s.act(MAX, "ship", "Release", "r9", "Move", {"by_": 1}), "not-found"),
        (lambda s: s.act(EVE, "ship", "Release", "r9", "Move", {"by_": 1}), "not-found"),
        (lambda s: s.act(EVE, "ship", "Release", "r1", "Move", {"by_": 99}), "bad-request"),
        (lambda s: s.act(EVE, "ship", "Release", "r1", "Sail", {}), "refused"),
        # It is asked, not done.
        (lambda s: s.act(BOT, "ship", "Release", "r1", "Promote", NOTES, dry_run=True), "denied"),
        # It is larger than what a decision keeps.
        (lambda s: s.act(BOT, "ship", "Release", "r1", "Promote", {"notes": "x" * 20_000}), "denied"),
    ],
)
async def test_what_becomes_no_decision(shop: Workshop, ask: Callable[[Workshop], Awaitable[Any]], kind: str) -> None:
    problem = await refused(ask(shop))
    assert (problem.type, problem.decision) == (kind, "")
    assert (await shop.decisions.listed(ADMIN)).items == ()


@dataclass(frozen=True)
class LooksAfter:
    """A server's policies that let one person do one thing, whoever is an administrator."""

    principal: str
    lets: Administers

    def rule(self, person: Person, action: Administers, blueprint: str | None) -> Ruling:
        return Ruling((person.principal, action, blueprint) == (self.principal, self.lets, "ship"))


async def test_the_server_s_policies_say_who_sees_all_decisions_and_revokes_any_grant(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    auditor = Person("ada", powers=LooksAfter("ada", Administers.DECISIONS))
    kept_out = replace(ADMIN, powers=LooksAfter("ada", Administers.DECISIONS))
    pauser = replace(auditor, powers=LooksAfter("ada", Administers.PAUSE))
    assert [each.id for each in (await shop.decisions.listed(auditor)).items] == [id]
    for other in (kept_out, pauser, Person("ada")):
        assert (await shop.decisions.listed(other)).items == ()
        assert (await refused(shop.decisions.decision(other, id))).type == "not-found"
    assert (await refused(shop.decisions.answer(auditor, id, "grant"))).title == "you may not answer this"
    await shop.decisions.answer(MAX, id, "grant", scope_of="action")
    (grant,) = await shop.decisions.grants.listed(auditor)
    assert await shop.decisions.grants.listed(kept_out) == ()
    assert (await refused(shop.decisions.grants.revoke(kept_out, grant.id))).type == "not-found"
    assert (await shop.decisions.grants.revoke(auditor, grant.id)).state == "Revoked"


async def test_where_nobody_may_approve_anything_there_is_no_office(shop: Workshop) -> None:
    await refused(shop.act(EVE, "ship", "Release", "r1", "End", {}))
    assert shop.office.space is None
    assert not (shop.loaded.data / "spaces" / "temper.db").exists()


async def test_so_many_wait_for_each_principal(docks: Prepared, tmp_path: Path) -> None:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH, decisions=2) as shop:
        await ready(shop)
        first = await decision_of(move(shop, by=1))
        await decision_of(move(shop, by=2))
        problem = await refused(move(shop, by=3))
        assert (problem.type, problem.status) == ("too-many", 429)
        assert await decision_of(move(shop, by=1)) == first
        await decision_of(move(shop, by=3, who=replace(EVE, principal="eva")))
        await shop.decisions.withdraw(EVE, first)
        await decision_of(move(shop, by=3))


# --- who sees it, and who answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        (BOT, True),
        (ANN, True),
        (Person("bot", acts_for="eve"), True),
        (Person("helper", acts_for="ann"), True),
        (MAX, True),
        (ADMIN, True),
        (EVE, False),
        (Person("stranger"), False),
        # Whoever may answer, but not there.
        (replace(MAX, entities=frozenset({"ship/Release/r2"})), False),
    ],
)
async def test_who_sees_a_decision(shop: Workshop, who: Person, sees: bool) -> None:
    id = await decision_of(promote(shop))
    assert [each.id for each in (await shop.decisions.listed(who)).items] == ([id] if sees else [])
    if sees:
        assert (await shop.decisions.decision(who, id)).id == id
    else:
        assert (await refused(shop.decisions.decision(who, id))).type == "not-found"
        assert (await refused(shop.decisions.answer(who, id, "grant"))).type == "not-found"


@pytest.mark.parametrize(
    ("who", "type", "title"),
    [
        (BOT, "denied", "nobody answers what they ask for, or what is asked for on their behalf"),
        # Whom it acts for; another agent of theirs; itself, for somebody else.
        (ANN_MANAGES, "denied", "nobody answers what they ask for, or what is asked for on their behalf"),
        (BOT_MANAGES, "denied", "nobody answers what they ask for, or what is asked for on their behalf"),
        (Person("bot", frozenset({"manager"}), acts_for="max"), "denied",
         "nobody answers what they ask for, or what is asked for on their behalf"),
        # An agent of the agent's.
        (Person("sub", frozenset({"manager"}), acts_for="bot"), "denied",
         "nobody answers what they ask for, or what is asked for on their behalf"),
        (ADMIN, "denied", "you may not answer this"),
        (replace(MAX, read_only=True), "out-of-scope", "this credential may only read"),
    ],
)  # fmt: skip
async def test_who_may_not_answer(shop: Workshop, who: Person, type: str, title: str) -> None:
    id = await decision_of(promote(shop))
    for answer in ("grant", "deny"):
        problem = await refused(shop.decisions.answer(who, id, answer))
        assert (problem.type, problem.title) == (type, title)
    assert (await shop.decisions.decision(ADMIN, id)).state == "Pending"


async def test_the_blueprint_itself_refuses_who_may_not_answer(shop: Workshop) -> None:
    """What the door asks first is not all that stands between."""
    id = await decision_of(promote(shop))
    for who in (BOT, ANN, BOT_MANAGES, Person("bot", acts_for="max")):
        for action in ("Grant", "Deny"):
            answer = await shop.office.take("approver", who.caller, "Decision", action, {"answered_as": "{}"}, id=id)
            assert type(answer).__name__ == "No", (who, action)
    assert (await shop.decisions.decision(ADMIN, id)).state == "Pending"


async def test_a_consent_lends_no_more_than_its_giver_has(docks: Prepared, tmp_path: Path) -> None:
    """Whoever may approve, and may not take the action, can approve nothing that `by` refuses."""
    loose = SHIP["ship.cedar"].replace('principal in temper::Role::"manager"', "principal")
    async with opened(copied(docks, tmp_path / "data"), push=PUSH) as shop:
        await shop.push(ADMIN, "ship", {**SHIP, "ship.cedar": loose})
        await ready(shop)
        id = await decision_of(move(shop))
        problem = await refused(shop.decisions.answer(ANN, id, "grant"))
        assert problem.title == "you may not take this action yourself: a consent lends no more than its giver has"
        assert (await shop.decisions.decision(ADMIN, id)).state == "Pending"
        assert (await shop.decisions.answer(MAX, id, "grant")).state == "CarriedOut"


# --- what comes of an answer ------------------------------------------------------------------------------------------


async def test_what_a_policy_refused_is_done_as_its_requester(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    done = await shop.decisions.answer(MAX, id, "grant", reason="seen")
    assert (done.state, done.answered_by, done.reason) == ("CarriedOut", "max", "seen")
    assert done.outcome == "Release r1: Ready -> Live, entry 3"
    assert (await lines(shop))[-1] == 'bot for ann as builder, approved by max: Promote(notes: "fixes"), Ready -> Live'
    entry = (await shop.history(ANN, "ship", "Release", "r1"))[-1]
    assert (entry.principal, entry.acts_for) == ("bot", "ann")
    assert entry.consent == {
        "decision": id,
        "asked_by": {"principal": "bot", "roles": ["builder"], "acts_for": "ann"},
        "answered_by": {"principal": "max", "roles": ["manager"], "acts_for": None},
    }


async def test_what_by_refused_is_done_as_its_approver(shop: Workshop) -> None:
    id = await decision_of(move(shop))
    assert (await shop.decisions.answer(MAXBOT, id, "grant")).state == "CarriedOut"
    assert (await lines(shop))[-1] == "maxbot for max as manager, asked by eve: Move(by_: 3)"


@pytest.mark.parametrize("answer", ["grant", "deny"])
async def test_it_is_answered_once(shop: Workshop, answer: str) -> None:
    id = await decision_of(promote(shop))
    first = await shop.decisions.answer(MAX, id, answer)
    for again in ("grant", "deny"):
        problem = await refused(shop.decisions.answer(MIA, id, again))
        assert (problem.type, problem.status) == ("conflict", 409)
    assert (await refused(shop.decisions.withdraw(BOT, id))).type == "conflict"
    assert await shop.decisions.decision(MAX, id) == first


async def test_of_two_answers_at_once_one_wins_and_the_other_is_told(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    found = await asyncio.gather(
        shop.decisions.answer(MAX, id, "grant"), shop.decisions.answer(MIA, id, "deny"), return_exceptions=True
    )
    states = [each.state for each in found if not isinstance(each, BaseException)]
    assert len(states) == 1
    now = await shop.decisions.decision(ADMIN, id)
    assert (now.state, now.answered_by) in {("CarriedOut", "max"), ("Denied", "mia")}


async def test_a_denied_one_is_not_done_and_can_be_asked_for_anew(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    assert (await shop.decisions.answer(MAX, id, "deny", reason="not today")).state == "Denied"
    assert (await shop.read(ANN, "ship", "Release", "r1")).version == 1
    assert await decision_of(promote(shop)) != id


async def test_only_who_asks_withdraws_or_whom_it_is_asked_for(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    for who in (MAX, ADMIN, Person("helper", acts_for="ann"), Person("bo", acts_for="ann")):
        assert (await refused(shop.decisions.withdraw(who, id))).type == "denied"
    assert (await shop.decisions.withdraw(BOT, id)).state == "Withdrawn"
    assert (await refused(shop.decisions.answer(MAX, id, "grant"))).type == "conflict"


async def test_waiting_ends_with_the_answer(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    waiting = asyncio.create_task(shop.decisions.decision(BOT, id, wait_ms=30_000))
    await asyncio.sleep(0)
    await shop.decisions.answer(MAX, id, "grant")
    assert (await waiting).state == "CarriedOut"


async def test_who_may_see_follows_what_happens(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    others = await decision_of(move(shop))
    stream = shop.watch_decisions(BOT, after=0)
    await shop.decisions.answer(MAX, others, "deny")
    await shop.decisions.answer(MAX, id, "grant")
    seen = [await anext(stream) for _ in range(3)]
    assert [(each.id, each.action, each.after) for each in seen] == [
        (id, "Ask", "Pending"), (id, "Grant", "Granted"), (id, "End", "CarriedOut"),
    ]  # fmt: skip


# --- stale, replayed, changed -----------------------------------------------------------------------------------------


async def test_it_goes_stale_with_the_entity(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    await shop.act(ANN, "ship", "Release", "r1", "Touch", {})
    assert (await refused(shop.decisions.answer(MAX, id, "grant"))).type == "conflict"
    stale = await shop.decisions.decision(BOT, id)
    assert (stale.state, stale.outcome) == ("Stale", "Release `r1` is at version 2, not 1")


async def test_it_goes_stale_with_the_blueprint_and_what_was_granted_ends(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    other = await decision_of(move(shop))
    await shop.decisions.answer(MAX, other, "grant", scope_of="action", uses=5)
    assert len(await shop.decisions.grants.listed(ADMIN)) == 1
    await shop.push(
        ADMIN,
        "ship",
        {
            **SHIP,
            "ship.cedar": SHIP["ship.cedar"]
            + "\n// Another version.\n"
            + """
@id("no-eve") forbid (principal == temper::Principal::"eva", action, resource);
""",
        },
    )
    assert (await shop.decisions.decision(BOT, id)).state == "Stale"
    assert await shop.decisions.grants.listed(ADMIN) == ()
    await decision_of(move(shop))


async def test_a_grant_outlives_a_push_only_where_its_giver_says_so(shop: Workshop) -> None:
    """And then it lets through what the policies of the version in force let its giver say yes to."""
    kept = await shop.decisions.answer(
        MAX, await decision_of(move(shop, by=1)), "grant", scope_of="entity", uses=5, across_versions=True
    )
    await shop.decisions.answer(MAX, await decision_of(move(shop, EVA, by=1)), "grant", scope_of="entity", uses=5)
    assert [each.across_versions for each in await shop.decisions.grants.listed(ADMIN)] == [True, False]
    turning = {**SHIP, "ship.blueprint": SHIP["ship.blueprint"] + "\n  action Turn by builder from Ready, Live\n"}
    await shop.push(ADMIN, "ship", turning)
    (grant,) = await shop.decisions.grants.listed(ADMIN)
    assert (grant.id, grant.left) == (kept.grant, 5)
    await decision_of(move(shop, EVA, by=2))
    assert (await move(shop, by=3)).entity.fields["moves"] == 5
    no_more = turning["ship.cedar"].replace(', ship::Action::"Release.Move.approve"', "")
    await shop.push(ADMIN, "ship", {**turning, "ship.cedar": no_more})
    assert (await refused(move(shop, by=3))).type == "denied"
    assert await shop.decisions.grants.listed(ADMIN) == ()


async def test_what_moves_on_between_the_answer_and_the_act_is_not_done(shop: Workshop) -> None:
    """The version and the digest are conditions of the request itself, not only looked at before."""
    id = await decision_of(promote(shop))
    begun, held = held_up(shop)
    answering = asyncio.create_task(shop.decisions.answer(MAX, id, "grant"))
    await begun.wait()
    await shop.act(ANN, "ship", "Release", "r1", "Touch", {})
    held.set()
    assert (await answering).state == "Stale"
    assert (await shop.read(ANN, "ship", "Release", "r1")).state == "Ready"


async def test_an_attempt_that_is_made_again_does_nothing_more(shop: Workshop) -> None:
    """However often the outbox tries, it is done once; the answer is the first one's."""
    id = await decision_of(move(shop))
    carry = shop.decisions.adapters[CARRY_OUT]
    told = []

    class Twice:
        async def call(self, call: Call) -> Any:
            told.extend([await carry.call(call), await carry.call(call)])
            return told[-1]

        async def close(self) -> None: ...

    assert shop.office.space is not None
    shop.office.space.live.bind({CARRY_OUT: Twice()})
    assert (await shop.decisions.answer(MAX, id, "grant")).state == "CarriedOut"
    assert told[0] == told[1]
    assert (await shop.read(ANN, "ship", "Release", "r1")).fields["moves"] == 3
    # And once it has ended, it is not done however it is asked for.
    again = await carry.call(Call("o", CARRY_OUT, {"decision": id}, 1, 1_000))
    assert again == Answered({"how": "refused", "why": "it is not granted"})
    assert (await shop.read(ANN, "ship", "Release", "r1")).fields["moves"] == 3


async def test_an_approval_is_of_these_parameters(shop: Workshop) -> None:
    id = await decision_of(move(shop, by=3))
    await shop.decisions.answer(MAX, id, "grant")
    assert await decision_of(move(shop, by=4)) != id
    assert await decision_of(move(shop, by=3)) != id, "it was for one call"
    assert (await shop.read(ANN, "ship", "Release", "r1")).fields["moves"] == 3


async def test_a_key_finds_what_became_of_its_request(shop: Workshop) -> None:
    id = await decision_of(move(shop, key="k"))
    assert await decision_of(move(shop, key="k")) == id
    await shop.decisions.answer(MAX, id, "grant")
    problem = await refused(move(shop, key="k"))
    assert (problem.decision, problem.title) == (id, "it has been approved, and carried out")
    assert (await shop.read(ANN, "ship", "Release", "r1")).fields["moves"] == 3


# --- grants for longer ------------------------------------------------------------------------------------------------


async def test_a_grant_lets_so_many_more_through(shop: Workshop) -> None:
    id = await decision_of(move(shop, by=1))
    done = await shop.decisions.answer(MAX, id, "grant", scope_of="entity", uses=2)
    assert done.grant is not None
    assert (await move(shop, by=2)).entity.fields["moves"] == 3
    (grant,) = await shop.decisions.grants.listed(MAX)
    assert (grant.id, grant.to, grant.by, grant.about, grant.action) == (done.grant, "eve", "max", "r1", "Move")
    assert (grant.limit, grant.uses, grant.left) == (2, 1, 1)
    assert (await move(shop, by=3)).entity.fields["moves"] == 6
    await decision_of(move(shop, by=4))
    assert await shop.decisions.grants.listed(ADMIN) == ()
    assert (await lines(shop))[-2] == "max as manager, asked by eve: Move(by_: 3)"


async def test_one_request_takes_one_use(shop: Workshop) -> None:
    id = await decision_of(move(shop, by=1))
    await shop.decisions.answer(MAX, id, "grant", scope_of="entity", uses=1)
    first = await move(shop, by=2, key="k")
    again = await move(shop, by=2, key="k")
    assert (first.entity.fields["moves"], again.replayed, again.seq) == (3, True, first.seq)
    await decision_of(move(shop, by=2))


async def test_requests_at_once_take_no_more_uses_than_there_are(shop: Workshop) -> None:
    id = await decision_of(move(shop, by=1))
    await shop.decisions.answer(MAX, id, "grant", scope_of="action", uses=3)
    found = await asyncio.gather(*(move(shop, by=1) for _ in range(8)), return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in found) == 3
    assert (await shop.read(ANN, "ship", "Release", "r1")).fields["moves"] == 4


@pytest.mark.parametrize(
    "who",
    [
        replace(EVE, principal="eva"),
        replace(EVE, acts_for="ann"),
        replace(EVE, roles=frozenset({"builder", "other"})),
    ],
)
async def test_a_grant_is_for_who_asked_as_they_were(shop: Workshop, who: Person) -> None:
    """Another principal, another person behind, a role more: none of them is who it was given to."""
    id = await decision_of(move(shop, by=1))
    await shop.decisions.answer(MAX, id, "grant", scope_of="action", uses=9)
    await decision_of(move(shop, by=1, who=who))
    assert (await move(shop, by=1, who=replace(EVE, roles=frozenset()))).entity.fields["moves"] == 2


async def test_a_grant_of_an_entity_is_of_no_other(shop: Workshop) -> None:
    await ready(shop, "r2")
    id = await decision_of(move(shop, by=1))
    await shop.decisions.answer(MAX, id, "grant", scope_of="entity", uses=9)
    await decision_of(move(shop, by=1, id="r2"))
    await shop.decisions.answer(MAX, await decision_of(move(shop, by=2, id="r2")), "grant", scope_of="action", uses=9)
    assert (await move(shop, by=3, id="r2")).entity.fields["moves"] == 5


async def test_a_grant_is_of_one_action(shop: Workshop) -> None:
    id = await decision_of(promote(shop))
    await shop.decisions.answer(MAX, id, "grant", scope_of="action", uses=9)
    await decision_of(move(shop, who=BOT))
    await ready(shop, "r2")
    done = await shop.act(BOT, "ship", "Release", "r2", "Promote", NOTES)
    assert done.after == "Live"
    assert (await lines(shop, "r2"))[-1].startswith("bot for ann as builder, approved by max: Promote")


async def test_a_revoked_grant_lets_nothing_through(shop: Workshop) -> None:
    id = await decision_of(move(shop, by=1))
    grant = (await shop.decisions.answer(MAX, id, "grant", scope_of="action", uses=9)).grant
    assert grant is not None
    await move(shop, by=1)
    assert (await refused(shop.decisions.grants.revoke(EVE, grant))).type == "denied"
    assert (await refused(shop.decisions.grants.revoke(Person("nobody"), grant))).type == "not-found"
    ended = await shop.decisions.grants.revoke(MIA, grant, reason="over")
    assert (ended.state, ended.ended_by, ended.reason, ended.uses) == ("Revoked", "mia", "over", 1)
    await decision_of(move(shop, by=1))
    assert (await refused(shop.decisions.grants.revoke(MAX, grant))).type == "conflict"


async def test_so_much_is_granted_to_each_principal(docks: Prepared, tmp_path: Path) -> None:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH, grants=1) as shop:
        await ready(shop)
        await shop.decisions.answer(MAX, await decision_of(move(shop, by=1)), "grant", scope_of="entity")
        await move(shop, by=1)
        await shop.decisions.answer(MAX, await decision_of(move(shop, by=2)), "grant", scope_of="entity")
        await ready(shop, "r2")
        id = await decision_of(move(shop, by=2, id="r2"))
        problem = await refused(shop.decisions.answer(MAX, id, "grant", scope_of="entity"))
        assert (problem.type, problem.status) == ("too-many", 429)
        assert (await shop.decisions.answer(MAX, id, "grant")).state == "CarriedOut"


@pytest.mark.parametrize(
    "given",
    [
        {"scope_of": "all"},
        {"scope_of": "call", "uses": 2},
        {"scope_of": "call", "expires_ms": 1_000},
        {"scope_of": "call", "across_versions": True},
        {"scope_of": "entity", "uses": 0},
        {"scope_of": "entity", "uses": 1_001},
        {"scope_of": "entity", "expires_ms": 31 * 86_400_000},
        {"reason": "x" * 501},
    ],
)
async def test_an_answer_that_does_not_fit_answers_nothing(shop: Workshop, given: dict[str, Any]) -> None:
    id = await decision_of(move(shop))
    assert (await refused(shop.decisions.answer(MAX, id, "grant", **given))).type == "bad-request"
    assert (await shop.decisions.decision(ADMIN, id)).state == "Pending"


# --- time and restarts ------------------------------------------------------------------------------------------------


async def test_it_all_stands_after_a_restart(docks: Prepared, tmp_path: Path) -> None:
    folder = copied(docks, tmp_path / "data")
    async with opened(folder, push=PUSH) as shop:
        await ready(shop)
        id = await decision_of(promote(shop))
        await shop.decisions.answer(MAX, await decision_of(move(shop, by=1)), "grant", scope_of="entity", uses=3)
    async with opened(folder, push=PUSH) as shop:
        assert [each.blueprint for each in shop.blueprints(ADMIN)] == ["ship"], "the office is nobody's blueprint"
        assert (await shop.decisions.decision(BOT, id)).state == "Stale", "what it was about has moved"
        assert len(await shop.decisions.grants.listed(ADMIN)) == 1
        assert (await move(shop, by=1)).entity.fields["moves"] == 2
        assert (await refused(shop.push(ADMIN, "temper", SHIP))).type == "bad-request"
        assert (await refused(shop.read(ADMIN, "temper", "Decision", id))).type == "not-found"
