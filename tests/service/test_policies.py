"""Policies where they are asked: what they refuse, what they hide, and what is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from temper.service import Declined, Person, Workshop, wire
from temper.service.settings import PushSection
from tests.runtime.desk import DESK, FINISH, READ
from tests.service.shop import ADMIN, Prepared, copied, opened

CLERK = Person("ann", frozenset({"clerk"}))
AGENT = Person("bot", frozenset({"clerk"}), acts_for="ann")
CHIEF = Person("cat", frozenset({"chief"}))


QUICK = PushSection(levels=("algebra",))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A desk with two rooms and a ticket in each, judged by its algebra alone: what is at stake here is who may."""
    return anyio.run(prepare, tmp_path_factory.mktemp("desk") / "data")


async def prepare(folder: Path) -> Prepared:
    async with opened(folder, push=QUICK) as workshop:
        await pushed(workshop, "")
        await workshop.create(CHIEF, "desk", "Room", None, {"name": "attic", "id": "attic"})
        await workshop.create(CHIEF, "desk", "Room", None, {"name": "vault", "id": "vault"})
        for id, room in (("t1", "attic"), ("t2", "vault")):
            body = {"id": id, "room": room, "title": f"lamp in the {room}"}
            await workshop.create(CLERK, "desk", "Ticket", None, body)
    return Prepared(folder, "")


@pytest.fixture
async def desk(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Workshop]:
    """A workshop that serves the desk, for one test."""
    async with opened(copied(prepared, tmp_path / "data"), push=QUICK) as workshop:
        yield workshop


async def pushed(desk: Workshop, cedar: str) -> wire.Pushed:
    return await desk.push(ADMIN, "desk", {"desk.blueprint": DESK, "desk.cedar": cedar})


async def problem(asked: Awaitable[Any]) -> wire.Problem:
    with pytest.raises(Declined) as caught:
        await asked
    return caught.value.problem


def act(desk: Workshop, who: Person, action: str, id: str = "t1", body: dict[str, Any] | None = None) -> Awaitable[Any]:
    return desk.act(who, "desk", "Ticket", id, action, body or {})


# --- what they refuse -------------------------------------------------------------------------------------------------


async def test_a_forbid_refuses_whom_by_lets_in(desk: Workshop) -> None:
    await pushed(desk, f"forbid (principal, {FINISH}, resource) when {{ principal.agent }};")
    refused = await problem(act(desk, AGENT, "Finish"))
    assert (refused.type, refused.status, refused.why) == ("denied", 403, "policy")
    assert refused.policies == ("desk.cedar/1",)
    assert (await desk.read(CHIEF, "desk", "Ticket", "t1")).state == "Filed"
    assert (await act(desk, CLERK, "Finish")).after == "Done"


async def test_a_permit_lets_nobody_in_whom_by_keeps_out(desk: Workshop) -> None:
    await pushed(desk, 'permit (principal, action == desk::Action::"Ticket.Hold", resource);')
    assert (await problem(act(desk, CHIEF, "Hold", body={"why": "w"}))).why == "denied"


async def test_a_refusal_tells_what_the_policy_says_and_is_remembered_with_it(desk: Workshop) -> None:
    await pushed(
        desk,
        '@id("no agents") @else("agents file, people finish")\n'
        f"forbid (principal, {FINISH}, resource) when {{ principal.agent }};",
    )
    refused = await problem(act(desk, AGENT, "Finish"))
    assert (refused.detail, refused.policies) == ("agents file, people finish", ("no agents",))
    assert refused.clause is not None
    assert (refused.clause.file, refused.clause.line) == ("desk.cedar", 1)
    *_, last = await desk.history(ADMIN, "desk", "Ticket", "t1")
    assert last.refused == {
        "why": "policy", "text": "agents file, people finish", "site": "policy/no agents", "policies": ("no agents",),
    }  # fmt: skip
    assert (last.principal, last.acts_for) == ("bot", "ann")


async def test_parameters_are_asked_with_their_defaults(desk: Workshop) -> None:
    """Leaving one out is no way around a policy that looks at it."""
    await pushed(
        desk, 'forbid (principal, action == desk::Action::"Ticket.File", resource) when { context.params.weight == 1 };'
    )
    body = {"room": "attic", "title": "x"}
    assert (await problem(desk.create(CLERK, "desk", "Ticket", None, body))).why == "policy"
    assert (await desk.create(CLERK, "desk", "Ticket", None, {**body, "weight": 2})).after == "Filed"


async def test_what_cedar_cannot_hold_counts_against_the_caller(desk: Workshop) -> None:
    file = 'action == desk::Action::"Ticket.File"'
    await pushed(
        desk,
        f"forbid (principal, {file}, resource) when {{ context.params.weight < 0 }};"
        f'forbid (principal, {file}, resource) when {{ context.params.cost.lessThan(decimal("0.0")) }};',
    )
    body = {"room": "attic", "title": "x"}
    for more, by in (({"weight": 2**63}, "desk.cedar/1"), ({"cost": "0.00001"}, "desk.cedar/2")):
        refused = await problem(desk.create(CLERK, "desk", "Ticket", None, {**body, **more}))
        assert (refused.why, refused.policies) == ("policy", (by,))
        assert "can't be evaluated" in refused.detail
    assert (await desk.create(CLERK, "desk", "Ticket", None, {**body, "weight": 2**63 - 1})).after == "Filed"


async def test_a_reference_into_nothing_counts_against_the_caller(desk: Workshop) -> None:
    file = 'action == desk::Action::"Ticket.File"'
    await pushed(
        desk,
        f"forbid (principal, {file}, resource)"
        'when { context.params.room has name && context.params.room.name == "" };',
    )
    refused = await problem(desk.create(CLERK, "desk", "Ticket", None, {"room": "nowhere", "title": "x"}))
    assert refused.why in ("policy", "missing")


async def test_policies_are_asked_before_a_guard_tells_of_the_entity(desk: Workshop) -> None:
    await pushed(desk, 'forbid (principal, action == desk::Action::"Ticket.Hold", resource) when { principal.agent };')
    await desk.act(CHIEF, "desk", "Room", "attic", "Shut", {})
    assert (await problem(act(desk, CLERK, "Hold", body={"why": "w"}))).detail == "the room is shut"
    assert (await problem(act(desk, AGENT, "Hold", body={"why": "w"}))).why == "policy"
    # And after `by`, which is told first.
    assert (await problem(act(desk, replace(AGENT, roles=frozenset()), "Hold", body={"why": "w"}))).why == "denied"


async def test_a_decision_is_made_anew_when_what_it_looks_at_changes(desk: Workshop) -> None:
    """Remembering a decision is no way to be let in by yesterday's state."""
    await pushed(
        desk, 'forbid (principal, action == desk::Action::"Ticket.Finish", resource) when { resource.state == "Held" };'
    )
    assert (await desk.why(CLERK, "desk", "Ticket", "t1", "Finish", {})).would == "take"
    await act(desk, CLERK, "Hold", body={"why": "w"})
    assert (await problem(act(desk, CLERK, "Finish"))).why == "policy"
    await act(desk, CLERK, "Resume")
    assert (await act(desk, CLERK, "Finish")).after == "Done"


async def test_another_file_is_another_version_and_in_force_at_once(desk: Workshop) -> None:
    done = await pushed(desk, f'@id("freeze") forbid (principal, {FINISH}, resource) unless {{ principal.admin }};')
    assert done.version == 2
    assert [(line.kind, line.text) for line in done.changes if line.kind.startswith("policy")] == [
        ("policy added", "forbid `freeze`")
    ]
    assert (await problem(act(desk, CHIEF, "Finish"))).policies == ("freeze",)
    done = await pushed(desk, f'@id("freeze") forbid (principal, {FINISH}, resource) when {{ principal.agent }};')
    assert [line.text for line in done.changes if line.kind == "policy changed"] == ["forbid `freeze`"]
    assert (await act(desk, CHIEF, "Finish")).after == "Done"
    await desk.rollback(ADMIN, "desk", 2)
    assert (await problem(act(desk, CHIEF, "Finish", "t2"))).policies == ("freeze",)


async def test_a_policy_that_does_not_fit_is_refused_and_changes_nothing(desk: Workshop) -> None:
    found = await problem(pushed(desk, f"forbid (principal, {FINISH}, resource) when {{ resource.wieght > 3 }};"))
    assert (found.type, [each.code for each in found.findings]) == ("broken-blueprint", ["B813"])
    assert (await act(desk, CLERK, "Finish")).after == "Done"


# --- what they hide ---------------------------------------------------------------------------------------------------

HIDE_VAULT = f'forbid (principal in temper::Role::"clerk", {READ}, resource) when {{ resource.room.name == "vault" }};'


@pytest.mark.parametrize(
    ("cedar", "who", "seen"),
    [
        (HIDE_VAULT, CLERK, {"t1"}),
        (HIDE_VAULT, CHIEF, {"t1", "t2"}),
        # From a permit on, only what one permits is shown.
        (f'permit (principal in temper::Role::"chief", {READ}, resource);', CLERK, set()),
        (f'permit (principal, {READ}, resource) when {{ resource.room.keeper.name == "cat" }};', CLERK, {"t1", "t2"}),
        # A permit that can't be evaluated permits nothing.
        (f"permit (principal, {READ}, resource) when {{ resource.room.keeper.agent || true }};", CLERK, set()),
        ("forbid (principal, action, resource) when { principal.agent };", AGENT, set()),
    ],
)  # fmt: skip
async def test_who_may_read_what(desk: Workshop, cedar: str, who: Person, seen: set[str]) -> None:
    """One row, one policy: what a list shows, what a page counts, and what answers as if it were not there."""
    await pushed(desk, cedar)
    for more in ({}, {"sort": "title"}, {"sort": "-created_at", "limit": 1}, {"filter": "room.state is Open"}):
        found: set[str] = set()
        page = await desk.list(who, "desk", "Ticket", count=True, **more)
        assert page.count == len(seen)
        while True:
            found |= {each.id for each in page.items}
            if page.cursor is None:
                break
            page = await desk.list(who, "desk", "Ticket", cursor=page.cursor, **more)
        assert found == (set() if who is AGENT and "filter" in more else seen)
    told: set[str] = set()
    for id in ("t1", "t2"):
        for ask in asks(desk, who, id):
            if id in seen:
                await ask
            else:
                hidden = await problem(ask)
                assert (hidden.type, hidden.status) == ("not-found", 404)
                told.add(hidden.title.replace(id, "t9"))
        absent = [await problem(ask) for ask in asks(desk, who, "t9")]
        assert told <= {each.title for each in absent}


def asks(desk: Workshop, who: Person, id: str) -> list[Awaitable[Any]]:
    """Return everything that can be asked about a ticket."""
    return [
        desk.read(who, "desk", "Ticket", id),
        desk.history(who, "desk", "Ticket", id),
        desk.past(who, "desk", "Ticket", id, "99"),
        desk.possible(who, "desk", "Ticket", id),
        desk.why(who, "desk", "Ticket", id, "Finish", {}),
        desk.wait(who, "desk", "Ticket", id, "weight == 1", timeout_ms=0),
    ]


async def test_an_action_tells_nothing_of_what_may_not_be_read(desk: Workshop) -> None:
    """A refusal, a stale version: neither says that there is something to guess at."""
    await pushed(desk, HIDE_VAULT)
    await act(desk, CHIEF, "Finish", "t2")
    for asked in (
        desk.act(CLERK, "desk", "Ticket", "t2", "Finish", {}),
        desk.act(CLERK, "desk", "Ticket", "t2", "Finish", {}, if_version=7),
    ):
        hidden = await problem(asked)
        assert (hidden.type, hidden.status, hidden.title) == ("not-found", 404, "there is no Ticket `t2`")


async def test_a_filter_reads_nothing_of_others_who_are_hidden(desk: Workshop) -> None:
    """Or else it would tell, guess by guess."""
    await pushed(
        desk, 'forbid (principal, action == desk::Action::"Room.read", resource) when { resource.name == "vault" };'
    )
    page = await desk.list(CLERK, "desk", "Ticket", filter='room.name == "vault"', count=True)
    assert (page.items, page.count) == ((), 0)


async def test_a_stream_shows_what_its_caller_may_read_by_the_policies_in_force(desk: Workshop) -> None:
    stream = desk.watch(CLERK, "desk", after=0)
    seen: list[str] = []
    filed = asyncio.Event()

    async def follow() -> None:
        async for each in stream:
            if each.entity == "Ticket":
                seen.append(f"{each.id} {each.action}")
                if len(seen) == 2:
                    filed.set()
                if each.action == "Finish" and each.id == "t1":
                    return

    following = asyncio.create_task(follow())
    await asyncio.wait_for(filed.wait(), 5)
    await pushed(desk, HIDE_VAULT)
    await act(desk, CHIEF, "Finish", "t2")
    await act(desk, CHIEF, "Finish", "t1")
    await asyncio.wait_for(following, 5)
    await stream.aclose()  # type: ignore[attr-defined] # It is a generator.
    assert seen == ["t1 File", "t2 File", "t1 Finish"]


async def test_a_wait_ends_where_what_it_waits_for_is_hidden(desk: Workshop) -> None:
    await pushed(
        desk, f'forbid (principal in temper::Role::"clerk", {READ}, resource) when {{ resource.state == "Done" }};'
    )
    waiting = asyncio.create_task(desk.wait(CLERK, "desk", "Ticket", "t1", "state is Done", timeout_ms=50))
    await asyncio.sleep(0)
    await act(desk, CHIEF, "Finish")
    assert (await problem(waiting)).title == "there is no Ticket `t1`"


# --- what is told -----------------------------------------------------------------------------------------------------


async def test_what_is_possible_asks_policies_too(desk: Workshop) -> None:
    await pushed(
        desk,
        f'@id("no agents") forbid (principal, {FINISH}, resource) when {{ principal.agent }};'
        'forbid (principal, action == desk::Action::"Ticket.Hold", resource) when { context.params.why == "" };',
    )
    found = {each.action: each for each in await desk.possible(AGENT, "desk", "Ticket", "t1")}
    assert (found["Finish"].status, found["Finish"].why) == ("no", "policy")
    assert found["Hold"].status == "depends"
    found = {each.action: each for each in await desk.possible(CLERK, "desk", "Ticket", "t1")}
    assert found["Finish"].status == "yes"


async def test_why_tells_state_guard_and_policy_together(desk: Workshop) -> None:
    await pushed(
        desk,
        '@id("no agents") forbid (principal, action == desk::Action::"Ticket.Hold", resource) when { principal.agent };'
        '@id("say why") forbid (principal, action == desk::Action::"Ticket.Hold", resource)'
        'when { context.params.why == "" };',
    )
    told = await desk.why(AGENT, "desk", "Ticket", "t1", "Hold", {"why": "w"})
    assert (told.would, told.why) == ("refuse", "policy")
    assert [(each.kind, each.text, each.holds) for each in told.clauses] == [
        ("by", "by clerk", True),
        ("when", "room.state is Open", True),
        ("from", "from Filed to Held", True),
        ("policy", "forbid `no agents`", False),
        ("policy", "forbid `say why`", True),
    ]
    assert (await desk.why(CLERK, "desk", "Ticket", "t1", "Hold", {"why": "w"})).would == "take"


async def test_all_of_who_may_is_one_text_of_cedar(desk: Workshop) -> None:
    await pushed(
        desk, f'@id("freeze") @else("later") forbid (principal, {FINISH}, resource) unless {{ principal.admin }};'
    )
    view = desk.policies(CLERK, "desk")
    assert view.version == 2
    by_id = {each.id: each for each in view.policies}
    assert by_id["freeze"].otherwise == "later"
    assert by_id["freeze"].actions == ("Ticket.Finish",)
    assert by_id["by/Ticket.Hold/clerk"].origin == "blueprint"
    assert "default/Ticket.read" in by_id
    assert [each.id for each in desk.policies(CLERK, "desk", 1).policies if each.origin == "file"] == []


# --- what would be ----------------------------------------------------------------------------------------------------


async def test_a_simulation_says_what_other_policies_would_change(desk: Workshop) -> None:
    await pushed(desk, f'@id("no clerks") forbid (principal in temper::Role::"clerk", {FINISH}, resource);')
    found = await desk.simulate_policy(ADMIN, "desk", entity="Ticket", action="Finish")
    assert {(row.roles, row.agent, row.state, row.could) for row in found.rows} == {
        (("chief",), agent, state, "yes") for agent in (False, True) for state in ("Filed", "Held")
    }
    candidate = {
        "other.cedar": f'forbid (principal, {FINISH}, resource) when {{ principal.agent || resource.state == "Held" }};'
    }
    found = await desk.simulate_policy(ADMIN, "desk", candidate, entity="Ticket", action="Finish")
    assert found.lines == (
        "newly lets `clerk` as a person take `Ticket.Finish` in Filed",
        "no longer lets `chief` as an agent take `Ticket.Finish` in Filed",
        "no longer lets `chief` take `Ticket.Finish` in Held",
    )
    living = {(each.roles, each.agent): (each.could, each.would, each.of) for each in found.living}
    assert living == {
        (("clerk",), False): (0, 2, 2), (("chief",), False): (2, 2, 2), (("chief",), True): (2, 0, 2),
        (("chief", "clerk"), False): (0, 2, 2),
    }  # fmt: skip
    assert (await problem(desk.simulate_policy(CLERK, "desk"))).status == 403


APPROVES = 'action == desk::Action::"Ticket.Finish.approve"'
CHIEFS = f'permit (principal in temper::Role::"chief", {APPROVES}, resource)'


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", f"permit (principal, {APPROVES}, resource);", (
            "newly lets everybody say yes to `Ticket.Finish` in Filed and Held",
        )),
        (f"{CHIEFS} unless {{ principal.agent }};", f'{CHIEFS} when {{ resource.state == "Held" }};', (
            "no longer lets `chief` as a person say yes to `Ticket.Finish` in Filed",
            "newly lets `chief` as an agent say yes to `Ticket.Finish` in Held",
        )),
        (f"{CHIEFS};", f"{CHIEFS} unless {{ context.requester == principal }};", (
            "lets only on conditions `chief` say yes to `Ticket.Finish` in Filed and Held",
        )),
        (f"{CHIEFS};", "", ("no longer lets `chief` say yes to `Ticket.Finish` in Filed and Held",)),
        (f"{CHIEFS};", f"{CHIEFS}; forbid (principal, {APPROVES}, resource) when {{ principal.agent }};", (
            "no longer lets `chief` as an agent say yes to `Ticket.Finish` in Filed and Held",
        )),
    ],
)  # fmt: skip
async def test_a_change_of_who_may_say_yes_is_told(
    desk: Workshop, before: str, after: str, expected: tuple[str, ...]
) -> None:
    """By a simulation and by a plan: who may let others do something can do as much harm as who may do it."""
    freeze = f"forbid (principal, {FINISH}, resource) when {{ principal.agent }};"
    await pushed(desk, freeze + before)
    found = await desk.simulate_policy(ADMIN, "desk", {"other.cedar": freeze + after}, entity="Ticket")
    assert found.lines == expected
    plan = await desk.plan(ADMIN, "desk", {"desk.blueprint": DESK, "desk.cedar": freeze + after})
    assert tuple(line.text for line in plan.changes if line.kind == "who") == expected


async def test_who_may_say_yes_is_told_beside_who_may_do_it(desk: Workshop) -> None:
    await pushed(desk, f"{CHIEFS} unless {{ principal.agent }};")
    for asked, there in (("Finish", {"Finish", "Finish.approve"}), ("Finish.approve", {"Finish.approve"})):
        found = await desk.simulate_policy(ADMIN, "desk", entity="Ticket", action=asked)
        assert {row.action for row in found.rows} == there
        assert {(row.roles, row.agent, row.state) for row in found.rows if row.action == "Finish.approve"} == {
            (roles, False, state) for roles in (("chief",), ("chief", "clerk")) for state in ("Filed", "Held")
        }
    assert (await problem(desk.simulate_policy(ADMIN, "desk", entity="Ticket", action="Finich.approve"))).status == 404


async def test_why_tells_whether_somebody_may_approve_it(desk: Workshop) -> None:
    """Of what `by` and policies refuse alone: nobody says yes to another state or a guard."""
    freeze = f"forbid (principal, {FINISH}, resource) when {{ principal.agent }};"
    for cedar, may_be in ((freeze, False), (freeze + f"{CHIEFS};", True)):
        await pushed(desk, cedar)
        assert (await desk.why(AGENT, "desk", "Ticket", "t1", "Finish", {})).may_be_approved is may_be
    assert (await desk.why(Person("eve"), "desk", "Ticket", "t1", "Finish", {})).may_be_approved
    await act(desk, CLERK, "Finish")
    done = await desk.why(CLERK, "desk", "Ticket", "t1", "Finish", {})
    assert (done.would, done.may_be_approved) == ("refuse", False)


async def test_a_shadow_says_which_of_the_last_requests_policies_would_refuse(desk: Workshop) -> None:
    await act(desk, AGENT, "Finish")
    await act(desk, CLERK, "Finish", "t2")
    cedar = f'@id("no agents") forbid (principal, {FINISH}, resource) when {{ principal.agent }};'
    found = await desk.shadow(ADMIN, "desk", {"desk.blueprint": DESK, "desk.cedar": cedar})
    assert [(each.id, each.kind, each.text, each.sure) for each in found.differences] == [
        ("t1", "refused", "the policy `no agents` forbids it", False)
    ]


async def test_a_plan_says_whom_it_newly_lets(desk: Workshop) -> None:
    await pushed(desk, f'@id("no clerks") forbid (principal in temper::Role::"clerk", {FINISH}, resource);')
    plan = await desk.plan(
        ADMIN,
        "desk",
        {"desk.blueprint": DESK.replace("Hold(why: string) by clerk", "Hold(why: string) by clerk, chief")},
    )
    assert [line.text for line in plan.changes if line.kind == "who"] == [
        "newly lets `chief` take `Ticket.Hold` in Filed",
        "newly lets `clerk` take `Ticket.Finish` in Filed and Held",
    ]


FINISHES = "Finish by clerk, chief from Filed, Held to Done"
FREEZE = "\n\n  action Freeze by chief from Filed to Held"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Resume by clerk, chief", "Resume by anyone", ["newly lets everybody take `Ticket.Resume` in Held"]),
        (FINISHES, FINISHES + FREEZE, ["newly lets `chief` take `Ticket.Freeze` in Filed"]),
        ("Hold(why: string) by clerk from Filed", "Hold(why: string) by clerk from Filed, Held",
         ["newly lets `clerk` take `Ticket.Hold` in Held"]),
        ("role clerk, chief", "role clerk, chief, auditor", []),
    ],
)  # fmt: skip
async def test_a_plan_says_whom_a_blueprint_newly_lets(desk: Workshop, old: str, new: str, expected: list[str]) -> None:
    """Everybody is named once; an action and a state that it was not taken from let nobody before."""
    assert old in DESK
    plan = await desk.plan(ADMIN, "desk", {"desk.blueprint": DESK.replace(old, new)})
    assert [line.text for line in plan.changes if line.kind == "who"] == expected


async def test_a_plan_says_what_a_new_role_may(desk: Workshop) -> None:
    text = DESK.replace("role clerk, chief", "role clerk, chief, auditor")
    plan = await desk.plan(
        ADMIN, "desk", {"desk.blueprint": text.replace("Finish by clerk", "Finish by auditor, clerk")}
    )
    assert [line.text for line in plan.changes if line.kind == "who"] == [
        "newly lets `auditor` take `Ticket.Finish` in Filed and Held"
    ]
