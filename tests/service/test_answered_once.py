"""Answers at once, with one another and with all that ends a decision or a grant: in a file, and in a cluster.

Whoever wins, what is done is what was told: never twice, never after the end, and never without a yes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from temper.kernel import No
from temper.runtime import Clock, SystemClock
from temper.service import Declined, Elsewhere, Person, Workshop, wire
from tests.service.office import ADMIN, ANN, EVE, MAX, MIA, PUSH, decision_of, docks, refused, shop
from tests.service.shop import Prepared, copied, opened
from tests.service.test_cluster_office import two
from tests.service.test_cluster_verbs import Shops, shops

__all__ = ["docks", "shop", "shops"]

_releases = count(1)


@dataclass(frozen=True)
class Servers:
    """All servers of one set of blueprints."""

    all: Sequence[Workshop]

    async def ask(self, verb: Callable[[Workshop], Awaitable[Any]]) -> Any:
        """Have a verb answered by whichever server decides there, as a door does that hands it on, and a client that
        is told to ask again."""
        for _ in range(100):
            for one in self.all:
                if not one.knows("temper"):
                    await one.look_around()
                try:
                    return await verb(one)
                except Elsewhere:
                    continue
                except Declined as declined:
                    if declined.problem.status != 503:
                        raise
            await asyncio.sleep(0.05)
        raise AssertionError("no server decides there")

    async def race(self, *verbs: Callable[[Workshop], Awaitable[Any]]) -> list[Any]:
        """Ask for all of these at once, and return what came of each: its answer, or the problem."""
        found = await asyncio.gather(*(self.ask(verb) for verb in verbs), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, Declined):
                raise each
        return [each.problem if isinstance(each, Declined) else each for each in found]

    async def release(self) -> str:
        id = f"r{next(_releases)}"
        await self.ask(lambda s: s.create(ANN, "ship", "Release", None, {"id": id}))
        return id

    async def asked(self, release: str, who: Person = EVE, by: int = 1) -> str:
        return await decision_of(self.ask(lambda s: s.act(who, "ship", "Release", release, "Move", {"by_": by})))

    async def end(self, id: str) -> wire.Decision:
        end: wire.Decision = await self.ask(lambda s: s.decisions.decision(ADMIN, id, wait_ms=5_000))
        return end

    async def grants(self) -> list[wire.Grant]:
        return list(await self.ask(lambda s: s.decisions.grants.listed(ADMIN)))

    async def moved(self, release: str) -> list[dict[str, Any] | None]:
        """Return the consents of all moves of a release that were taken."""
        entries = await self.ask(lambda s: s.history(ADMIN, "ship", "Release", release))
        return [each.consent for each in entries if each.action == "Move" and each.how == "taken"]


@pytest.fixture(params=["file", "cluster"])
async def servers(
    request: pytest.FixtureRequest, docks: Prepared, shops: Shops, tmp_path: Path
) -> AsyncIterator[Servers]:
    if request.param == "file":
        async with opened(copied(docks, tmp_path / "file"), push=PUSH) as one:
            yield Servers([one])
    else:
        yield Servers(await two(shops))


Verb = Callable[[Workshop], Awaitable[Any]]


def answering(id: str, who: Person, answer: str, **more: Any) -> Verb:
    return lambda s: s.decisions.answer(who, id, answer, **more)


def withdrawing(id: str) -> Verb:
    return lambda s: s.decisions.withdraw(EVE, id)


def acting(who: Person, release: str, action: str, **params: Any) -> Verb:
    return lambda s: s.act(who, "ship", "Release", release, action, params)


def revoking(grant: str) -> Verb:
    return lambda s: s.decisions.grants.revoke(MIA, grant)


async def test_of_all_answers_at_once_one_counts(servers: Servers) -> None:
    for _ in range(3):
        release = await servers.release()
        id = await servers.asked(release)
        found = await servers.race(
            *(answering(id, who, "grant") for who in (MAX, MIA) for _ in range(2)),
            *(answering(id, who, "deny") for who in (MAX, MIA) for _ in range(2)),
            *(answering(id, who, "grant", scope_of="entity", uses=2) for who in (MAX, MIA) for _ in range(2)),
        )
        won = [each for each in found if isinstance(each, wire.Decision)]
        assert len(won) == 1, found
        assert {each.type for each in found if isinstance(each, wire.Problem)} == {"conflict"}
        end = await servers.end(id)
        assert end.answered_by == won[0].answered_by
        consents = await servers.moved(release)
        if end.state == "Denied":
            assert consents == []
        else:
            assert end.state == "CarriedOut"
            assert [(each["decision"], each["answered_by"]["principal"]) for each in consents if each] == [
                (id, end.answered_by)
            ]
        given = [each for each in await servers.grants() if each.decision == id]
        assert len(given) == (end.grant is not None)


async def test_an_answer_and_a_withdrawal_at_once_are_one_of_both(servers: Servers) -> None:
    for _ in range(4):
        release = await servers.release()
        id = await servers.asked(release)
        found = await servers.race(withdrawing(id), answering(id, MAX, "grant"), answering(id, MIA, "grant"))
        end = await servers.end(id)
        assert sum(isinstance(each, wire.Decision) for each in found) == 1
        assert (end.state, len(await servers.moved(release))) in [("Withdrawn", 0), ("CarriedOut", 1)]


async def test_an_answer_and_a_change_of_the_entity_at_once_leave_what_was_told(servers: Servers) -> None:
    for _ in range(4):
        release = await servers.release()
        id = await servers.asked(release)
        await servers.race(acting(ANN, release, "Touch"), answering(id, MAX, "grant"))
        end = await servers.end(id)
        assert (end.state, len(await servers.moved(release))) in [("Stale", 0), ("CarriedOut", 1)]


@pytest.mark.parametrize("how", ["revoke", "token", "pause"])
async def test_nothing_is_let_through_by_a_grant_once_its_end_is_answered(servers: Servers, how: str) -> None:
    """Whatever was under way when it was asked for."""
    release = await servers.release()
    leaked = await servers.ask(lambda s: _bearer(s, "max", "manager"))
    given = await servers.ask(answering(await servers.asked(release), leaked, "grant", scope_of="entity", uses=100))
    ends: dict[str, Verb] = {
        "revoke": revoking(given.grant),
        "token": lambda s: s.revoke_token(ADMIN, leaked.token),
        "pause": lambda s: s.pauses.pause(ADMIN, "principal", "max", reason="stop"),
    }

    async def ended(shop: Workshop) -> list[Any]:
        await ends[how](shop)
        return await servers.moved(release)

    moves = [acting(EVE, release, "Move", by_=1) for _ in range(12)]
    found = await servers.race(*moves[:6], ended, *moves[6:])
    assert await servers.moved(release) == found[6]
    taken = sum(isinstance(each, wire.Acted) for each in found)
    assert len(found[6]) == 1 + taken
    await servers.asked(release, by=2)


async def test_the_last_use_is_one_request_s(servers: Servers) -> None:
    for _ in range(3):
        release = await servers.release()
        given = await servers.ask(answering(await servers.asked(release), MAX, "grant", scope_of="entity", uses=1))
        found = await servers.race(
            *(acting(EVE, release, "Move", by_=1) for _ in range(4)),
            revoking(given.grant),
        )
        taken = sum(isinstance(each, wire.Acted) for each in found)
        assert taken <= 1
        assert len(await servers.moved(release)) == 1 + taken
        # It was used up, or revoked, and not both.
        assert isinstance(found[-1], wire.Grant) != bool(taken)


async def test_a_yes_that_is_said_again_does_nothing_more(servers: Servers) -> None:
    release = await servers.release()
    id = await servers.asked(release)
    done = await servers.ask(answering(id, MAX, "grant"))
    assert done.state == "CarriedOut"
    again = await servers.race(*(answering(id, MAX, "grant") for _ in range(4)))
    assert {each.type for each in again} == {"conflict"}
    assert len(await servers.moved(release)) == 1


async def _bearer(shop: Workshop, principal: str, *roles: str, **more: Any) -> Person:
    return shop.authenticate(shop.make_token(ADMIN, principal, roles, **more).token)


# --- the end of its time ----------------------------------------------------------------------------------------------


class At(SystemClock):
    """A clock that stands."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def now(self) -> int:
        """Return its time."""
        return self.at


def _clock_of(shop: Workshop, clock: Clock) -> None:
    assert shop.office.space is not None
    shop.office.space.live._clock = clock


@pytest.mark.parametrize(("after_ms", "counts"), [(-1, True), (0, False), (1, False)])
async def test_an_answer_counts_until_the_very_moment(shop: Workshop, after_ms: int, counts: bool) -> None:
    """Though the timer that ends the decision has not come to it yet."""
    id = await decision_of(shop.act(EVE, "ship", "Release", "r1", "Move", {"by_": 1}))
    now = await shop.office.read("Decision", id)
    assert now is not None
    expires_at = now.fields["expires_at"]
    assert isinstance(expires_at, int)
    shop.clock = At(expires_at + after_ms)
    if counts:
        assert (await shop.decisions.answer(MAX, id, "grant")).state == "CarriedOut"
        return
    problem = await refused(shop.decisions.answer(MAX, id, "grant"))
    assert (problem.type, problem.title) == ("conflict", "it waits for no answer any more: it is Expired")
    # And the blueprint says so itself, by the clock of its own space.
    _clock_of(shop, shop.clock)
    found = await shop.office.take("approver", MAX.caller, "Decision", "Grant", {"answered_as": "{}"}, id=id)
    assert isinstance(found, No)
    assert found.refused.text == "it has expired" or (found.snapshot is not None and found.snapshot.state == "Expired")
    assert (await shop.read(ANN, "ship", "Release", "r1")).fields["moves"] == 0


@pytest.mark.parametrize(("after_ms", "counts"), [(-1, True), (0, False)])
async def test_a_grant_counts_until_the_very_moment(shop: Workshop, after_ms: int, counts: bool) -> None:
    id = await decision_of(shop.act(EVE, "ship", "Release", "r1", "Move", {"by_": 1}))
    given = await shop.decisions.answer(MAX, id, "grant", scope_of="entity", uses=5)
    ends_at = shop.office.grants["eve"][given.grant or ""].ends_at
    shop.clock = At(ends_at + after_ms)
    _clock_of(shop, shop.clock)
    used = await shop.office.take("requester", EVE.caller, "Use", "Make", {"grant": given.grant, "request": "one"})
    assert isinstance(used, No) != counts
    moving = shop.act(EVE, "ship", "Release", "r1", "Move", {"by_": 1})
    if counts:
        assert (await moving).entity.fields["moves"] == 2
    else:
        await decision_of(moving)


# --- whoever carries an answer ----------------------------------------------------------------------------------------

CHAT = Person("chat", frozenset({"manager"}), acts_for="max")


async def test_what_carries_an_answer_answers_for_its_person_and_never_for_itself(shop: Workshop) -> None:
    held = await shop.decisions.answer(
        CHAT, await decision_of(shop.act(EVE, "ship", "Release", "r1", "Move", {"by_": 1})), "grant"
    )
    assert (held.state, held.answered_by, held.answered_for) == ("CarriedOut", "chat", "max")
    kept = await shop.decisions.answer(
        CHAT, await decision_of(shop.act(EVE, "ship", "Release", "r1", "Move", {"by_": 1})), "grant", scope_of="entity"
    )
    (given,) = await shop.decisions.grants.listed(MAX)
    assert (given.id, given.by, given.given_for) == (kept.grant, "chat", "max")
    # What asks is not what answers, though it has a token of each, and sessions of both.
    for asks, answers in (
        (Person("chat", frozenset({"builder"}), acts_for="ann"), CHAT),
        (Person("chat#s1", frozenset({"builder"}), acts_for="ann", session="s1"), CHAT),
        (Person("chat", frozenset({"builder"}), acts_for="ann"), replace(CHAT, principal="chat#s2", session="s2")),
        (Person("chat#s1", frozenset({"builder"}), acts_for="ann", session="s1"), Person("chat", CHAT.roles)),
        (Person("bot", frozenset({"builder"}), acts_for="ann#s1"), Person("ann", CHAT.roles)),
    ):
        id = await decision_of(shop.act(asks, "ship", "Release", "r1", "Move", {"by_": 1}))
        for answer in ("grant", "deny"):
            problem = await refused(shop.decisions.answer(answers, id, answer))
            assert problem.title == "nobody answers what they ask for, or what is asked for on their behalf"
        assert not (await shop.decisions.decision(answers, id)).may_answer
