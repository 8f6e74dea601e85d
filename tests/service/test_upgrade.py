"""Upgrades of the living, from the plan to the way back, over the real verifier and a real file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from temper.service import Declined, Person, Workshop, wire
from temper.service.declined import strands
from tests.service.shop import ADMIN, opened

ANN = Person("ann", frozenset({"clerk"}))

ONE = """blueprint desk

role clerk

entity Ticket
  states Open, Paused, Done
  final Done

  title: string
  remark: string?

  action File(title) by clerk from new to Open
    set title

  action Pause(remark: string) by clerk from Open to Paused
    set remark

  action Resume by clerk from Paused to Open

  action Finish by clerk, system from Open, Paused to Done

  in Paused after 30d do Finish
"""
# `Paused` is `Waiting` now, `remark` is `why`, and there is a priority.
TWO = (
    ONE.replace("Paused", "Waiting")
    .replace("  remark: string?\n", "  why: string?\n  priority: int 1..5 = 3\n")
    .replace("Pause(remark: string)", "Pause(why: string)")
    .replace("    set remark\n", "    set why\n")
)
UPGRADE = """
upgrade from 1
  Ticket
    Paused becomes Waiting
    set why = remark
    drop remark
"""
BACK = """
upgrade from 2
  Ticket
    Waiting becomes Paused
    set remark = why
    drop why
    drop priority
"""


def files(*texts: str) -> dict[str, str]:
    return {"desk.blueprint": "".join(texts)}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with opened(tmp_path / "data") as workshop:
        await workshop.push(ADMIN, "desk", files(ONE))
        await workshop.create(ANN, "desk", "Ticket", "File", {"id": "t1", "title": "a"})
        await workshop.create(ANN, "desk", "Ticket", "File", {"id": "t2", "title": "b"})
        yield workshop


async def paused(desk: Workshop) -> None:
    await desk.act(ANN, "desk", "Ticket", "t1", "Pause", {"remark": "no time"})


async def moved(desk: Workshop) -> None:
    """Nothing is left to be carried over."""
    live = desk._spaces["desk"].live
    for _ in range(1_000):
        if not live.moving:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("somebody is still kept as an earlier version wrote them")


async def test_a_plan_says_who_of_which_state_is_touched_and_what_goes_on(desk: Workshop) -> None:
    more = ONE.replace("  remark: string?\n", "  remark: string?\n  priority: int = 0\n")
    await paused(desk)
    plan = await desk.plan(ADMIN, "desk", files(more))
    told = [(each.state, each.becomes, each.rewritten, each.entities, each.timers) for each in plan.touched]
    assert told == [("Open", "Open", True, 1, 0), ("Paused", "Paused", True, 1, 1)]
    assert plan.pushable


async def test_a_plan_says_who_has_no_place_and_a_push_refuses_them(desk: Workshop) -> None:
    await paused(desk)
    plan = await desk.plan(ADMIN, "desk", files(TWO))
    # The open one holds no remark, and that it can't hold one any more costs it nothing.
    assert [(each.state, each.entities, each.stranded) for each in plan.touched] == [("Open", 1, 0), ("Paused", 1, 1)]
    assert [(each.id, each.reasons) for each in plan.stranded] == [("t1", ("there is no state `Paused` any more",))]
    assert not plan.pushable
    with pytest.raises(Declined) as declined:
        await desk.push(ADMIN, "desk", files(TWO))
    assert declined.value.problem.type == "stranded"
    assert (await desk.read(ANN, "desk", "Ticket", "t1")).state == "Paused"


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("    Idle becomes Waiting\n", "version 1 has no state `Idle` of `Ticket`"),
        ("    drop nothing\n", "version 1 has no field `nothing` of `Ticket`"),
    ],
)
async def test_an_upgrade_that_speaks_of_what_was_never_there_is_refused(
    desk: Workshop, lines: str, wrong: str
) -> None:
    text = files(ONE, "\nupgrade from 1\n  Ticket\n", lines.replace("Waiting", "Paused"))
    plan = await desk.plan(ADMIN, "desk", text)
    assert (plan.upgrade, plan.pushable) == ((wrong,), False)
    with pytest.raises(Declined) as declined:
        await desk.push(ADMIN, "desk", text)
    assert (declined.value.problem.type, declined.value.problem.detail) == ("broken-blueprint", wrong)


async def test_an_upgrade_is_carried_out_and_the_way_back_is_a_push_that_says_how(desk: Workshop) -> None:
    await paused(desk)
    plan = await desk.plan(ADMIN, "desk", files(TWO, UPGRADE))
    assert [(each.state, each.becomes, each.entities, each.timers, each.stranded) for each in plan.touched] == [
        ("Open", "Open", 1, 0, 0), ("Paused", "Waiting", 1, 1, 0),
    ]  # fmt: skip
    pushed = await desk.push(ADMIN, "desk", files(TWO, UPGRADE))
    assert (pushed.version, pushed.carried) == (2, 2)
    now = await desk.read(ANN, "desk", "Ticket", "t1")
    assert (now.state, now.fields) == ("Waiting", {"title": "a", "why": "no time", "priority": 3})
    await moved(desk)
    # Version 1 alone does not say what becomes of what is new: it is refused, with who is in the way.
    with pytest.raises(Declined) as declined:
        await desk.rollback(ADMIN, "desk")
    assert declined.value.problem.type == "stranded"
    assert (await desk.push(ADMIN, "desk", files(ONE, BACK))).version == 3
    now = await desk.read(ANN, "desk", "Ticket", "t1")
    assert (now.state, now.fields) == ("Paused", {"title": "a", "remark": "no time"})
    await moved(desk)


async def test_back_again_while_some_are_still_kept_as_the_first_version_wrote_them(desk: Workshop) -> None:
    """Nobody is moved between the three pushes: who lives goes through all of them, a step each."""
    await paused(desk)
    live = desk._spaces["desk"].live
    live._host.limits = replace(live._host.limits, moves_max=0)
    await desk.push(ADMIN, "desk", files(TWO, UPGRADE))
    assert live.moving
    await desk.push(ADMIN, "desk", files(ONE, BACK))
    now = await desk.read(ANN, "desk", "Ticket", "t1")
    assert (now.state, now.fields) == ("Paused", {"title": "a", "remark": "no time"})
    await desk.act(ANN, "desk", "Ticket", "t1", "Resume", {})
    history = await desk.history(ANN, "desk", "Ticket", "t1")
    assert [(each.cause, each.before, each.after) for each in history[-3:]] == [
        ("swap", "Paused", "Waiting"), ("swap", "Waiting", "Paused"), ("request", "Paused", "Open"),
    ]  # fmt: skip


async def test_a_rollback_of_what_touches_nobody_is_one_command(desk: Workshop) -> None:
    await paused(desk)
    stricter = ONE.replace("from Paused to Open\n", "from Paused to Open when remark != none\n")
    await desk.push(ADMIN, "desk", files(stricter))
    back = await desk.rollback(ADMIN, "desk")
    assert (back.version, back.carried) == (3, 0)
    assert (await desk.read(ANN, "desk", "Ticket", "t1")).version == 2


async def test_a_server_that_starts_again_goes_on_with_the_move(desk: Workshop, tmp_path: Path) -> None:
    await paused(desk)
    live = desk._spaces["desk"].live
    live._host.limits = replace(live._host.limits, moves_max=0)
    await desk.push(ADMIN, "desk", files(TWO, UPGRADE))
    await desk.close()
    async with opened(tmp_path / "data") as again:
        await moved(again)
        history = await again.history(ANN, "desk", "Ticket", "t1")
        assert [each.cause for each in history] == ["request", "request", "swap"]
        assert (await again.read(ANN, "desk", "Ticket", "t1")).state == "Waiting"


async def test_a_shadow_says_which_requests_a_candidate_would_answer_otherwise(desk: Workshop) -> None:
    await paused(desk)
    stricter = ONE.replace("from Open to Paused\n", 'from Open to Paused when remark == "gone" else "say more"\n')
    found = await desk.shadow(ADMIN, "desk", files(stricter))
    assert (found.requests, found.differ) == (3, 1)
    (one,) = found.differences
    assert (one.id, one.action, one.kind, one.text, one.sure) == ("t1", "Pause", "refused", "say more", True)
    for problem in (desk.shadow(ADMIN, "desk", files(ONE), last=0), desk.shadow(ANN, "desk", files(ONE))):
        with pytest.raises(Declined):
            await problem


@pytest.mark.parametrize(
    ("many", "told"),
    [
        (1, "a live entity has no place in this version, and nothing was changed"),
        (2, "2 live entities have no place in this version, and nothing was changed"),
        # No more than these are named, however many there are.
        (1_000, "1,000 or more live entities have no place in this version, and nothing was changed"),
    ],
)
def test_how_many_stand_in_the_way_is_told_as_far_as_it_is_known(many: int, told: str) -> None:
    one = wire.StrandedEntity(entity="Ticket", id="t1", state="Open", reasons=("there is no state `Open` any more",))
    problem = strands((one,) * many).problem
    assert problem.title == told
    assert len(problem.stranded) == min(many, 100)


async def test_a_history_says_under_which_version_and_what_an_upgrade_made_of_it(desk: Workshop) -> None:
    """State and fields, before and after; what it was before is read as the version of then had it."""
    await desk.create(ANN, "desk", "Ticket", "File", {"id": "t9", "title": "leak"})
    await desk.act(ANN, "desk", "Ticket", "t9", "Pause", {"remark": "no key"})
    await desk.push(ADMIN, "desk", files(TWO, UPGRADE))
    await desk.act(ANN, "desk", "Ticket", "t9", "Resume", {})
    history = await desk.history(ANN, "desk", "Ticket", "t9")
    assert [(each.cause, each.table_version, each.before, each.after) for each in history] == [
        ("request", 1, "new", "Open"), ("request", 1, "Open", "Paused"), ("swap", 2, "Paused", "Waiting"),
        ("request", 2, "Waiting", "Open"),
    ]  # fmt: skip
    moved = history[2]
    assert moved.changed == {"why": (None, "no key"), "priority": (None, 3)}
    assert moved.dropped == {"remark": "no key"}
    assert moved.text == "carried over to version 2 of the blueprint, Paused -> Waiting"
    was = await desk.past(ANN, "desk", "Ticket", "t9", str(history[1].seq))
    assert (was.state, was.table_version, was.fields) == ("Paused", 1, {"title": "leak", "remark": "no key"})
    for at, state in ((history[1].seq, "Paused"), (moved.seq, "Waiting")):
        found = await desk.list_past(ANN, "desk", "Ticket", str(at), filter='title == "leak"')
        assert [(each.id, each.state) for each in found.items] == [("t9", state)]
    with pytest.raises(Declined, match=r"`filter` does not fit version 1 of the blueprint, by which Ticket `t.` lived"):
        await desk.list_past(ANN, "desk", "Ticket", str(history[1].seq), filter="priority == 3")
