"""The kill switch: what is paused, who is told so, what waits, and that nothing slips through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from temper.runtime import Answered, Attempt, Call, SystemClock
from temper.service import CanaryWanted, Declined, Person, SessionWanted, Workshop
from temper.service.candidates import Candidates
from tests.service.office import (
    ADMIN,
    ANN,
    BOT,
    EVE,
    MAX,
    PUSH,
    SHIP,
    decision_of,
    docks,
    ready,
    refused,
    shop,
)
from tests.service.shop import Prepared, copied, opened

__all__ = ["docks", "shop"]

NOTES = {"notes": "fixes"}
OTHER = {"other.blueprint": SHIP["ship.blueprint"].replace("blueprint ship", "blueprint other")}


@dataclass
class Port:
    """The outside: counts the ships that sail."""

    sailed: list[str] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, call: Call) -> Attempt:
        self.sailed.append(call.args["name"])
        self.first.set()
        return Answered({})

    async def close(self) -> None: ...


def touch(shop: Workshop, who: Person = ANN, **given: Any) -> Awaitable[Any]:
    return shop.act(who, "ship", "Release", "r1", "Touch", {}, **given)


@pytest.mark.parametrize(
    ("kind", "name", "stopped", "goes_on"),
    [
        ("principal", "bot", [BOT, replace(BOT, acts_for=None)], [ANN, EVE]),
        # And whoever acts for them.
        ("principal", "ann", [ANN, BOT], [EVE, replace(BOT, acts_for="eve")]),
        ("role", "builder", [ANN, BOT, EVE, replace(MAX, roles=frozenset({"builder", "manager"}))], []),
        ("role", "manager", [replace(MAX, roles=frozenset({"builder", "manager"}))], [ANN, BOT]),
        ("bundle", "ship", [ANN, BOT, MAX], []),
    ],
)
async def test_who_is_stopped_is_told_by_whom_and_why(
    shop: Workshop, kind: str, name: str, stopped: list[Person], goes_on: list[Person]
) -> None:
    paused = await shop.pauses.pause(ADMIN, kind, name, reason="it loops")
    for who in stopped:
        problem = await refused(touch(shop, who))
        assert (problem.type, problem.status, problem.why) == ("paused", 403, "paused")
        what = "blueprint" if kind == "bundle" else kind
        assert problem.detail == f"the {what} `{name}` is paused by `root`: it loops"
        assert problem.help == f"an administrator lifts it with `temper resume {paused.id}`"
        problem = await refused(shop.create(who, "ship", "Release", None, {}))
        assert problem.type == "paused"
        assert (await shop.read(who, "ship", "Release", "r1")).id == "r1", "reading goes on"
    for who in goes_on:
        await touch(shop, who)
    await shop.pauses.resume(ADMIN, paused.id)
    for who in stopped:
        if "builder" in who.roles:
            await touch(shop, who)


async def test_a_pause_of_one_blueprint_is_of_no_other(docks: Prepared, tmp_path: Path) -> None:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH) as shop:
        await ready(shop)
        await shop.push(ADMIN, "other", OTHER)
        await shop.create(ANN, "other", "Release", None, {"id": "r1"})
        await shop.pauses.pause(ADMIN, "principal", "ann", within="other", reason="there alone")
        await touch(shop)
        assert (await refused(shop.act(ANN, "other", "Release", "r1", "Touch", {}))).type == "paused"
        await shop.pauses.pause(ADMIN, "bundle", "ship", reason="all of it")
        assert (await refused(touch(shop, EVE))).type == "paused"
        await shop.act(EVE, "other", "Release", "r1", "Touch", {})


async def test_what_was_on_its_way_is_refused_too_and_nothing_after_the_answer(shop: Workshop) -> None:
    """Requests that wait to be decided meet the pause in the turn itself; those after it at the door."""
    asked = [asyncio.ensure_future(touch(shop, BOT)) for _ in range(50)]
    pausing = asyncio.create_task(shop.pauses.pause(ADMIN, "principal", "bot", reason="stop"))
    while not pausing.done():
        asked.append(asyncio.ensure_future(touch(shop, BOT)))
        await asyncio.sleep(0)
    version = (await shop.read(ANN, "ship", "Release", "r1")).version
    found = await asyncio.gather(*asked, return_exceptions=True)
    done = [each for each in found if not isinstance(each, BaseException)]
    assert {each.problem.type for each in found if isinstance(each, Declined)} == {"paused"}
    assert (await shop.read(ANN, "ship", "Release", "r1")).version == version == 1 + len(done)


async def test_a_request_that_met_a_pause_may_be_made_again_under_its_key(shop: Workshop) -> None:
    paused = await shop.pauses.pause(ADMIN, "principal", "bot", reason="stop")
    problem = await refused(touch(shop, BOT, key="k"))
    assert problem.type == "paused"
    await shop.pauses.resume(ADMIN, paused.id)
    assert not (await touch(shop, BOT, key="k")).replayed


async def test_the_calls_of_a_paused_tool_wait(shop: Workshop) -> None:
    port = Port()
    shop._bindings.adapters["port.sail"] = port
    shop._spaces["ship"].live.bind({"port.sail": port})
    await shop.act(ANN, "ship", "Release", "r1", "Promote", NOTES)
    paused = await shop.pauses.pause(ADMIN, "tool", "port.sail", reason="storm")
    await shop.act(ANN, "ship", "Release", "r1", "Sail", {})
    for _ in range(3):
        await touch(shop)
    (tool,) = await shop.tools(ADMIN, "ship")
    assert (port.sailed, tool.waiting) == ([], 1)
    assert tool.why == "the tool `port.sail` is paused by `root`: storm"
    await shop.pauses.resume(ADMIN, paused.id)
    async with asyncio.timeout(5):
        await port.first.wait()
    assert port.sailed == ["r1"]


class Moved(SystemClock):
    """The system's clock, which can be moved on."""

    by_ms = 0

    def now(self) -> int:
        return super().now() + self.by_ms


async def test_the_timers_of_a_paused_blueprint_wait(shop: Workshop) -> None:
    live = shop._spaces["ship"].live
    paused = await shop.pauses.pause(ADMIN, "bundle", "ship", reason="all of it")
    clock = Moved()
    clock.by_ms = 3_600_000
    live._clock = clock
    live._work.set()
    assert (await shop.wait(ANN, "ship", "Release", "r1", "state is Gone", timeout_ms=0)).met is False
    await live.beside(lambda: None)
    assert (await shop.read(ANN, "ship", "Release", "r1")).state == "Ready"
    await shop.pauses.resume(ADMIN, paused.id)
    assert (await shop.wait(ANN, "ship", "Release", "r1", "state is Gone", timeout_ms=5_000)).met


async def test_what_is_granted_waits_while_its_requester_or_its_giver_is_paused(shop: Workshop) -> None:
    id = await decision_of(shop.act(BOT, "ship", "Release", "r1", "Promote", NOTES))
    paused = await shop.pauses.pause(ADMIN, "principal", "max", reason="away")
    problem = await refused(shop.decisions.answer(MAX, id, "grant"))
    assert problem.type == "paused"
    assert (await shop.decisions.decision(ADMIN, id)).state == "Pending"
    await shop.pauses.resume(ADMIN, paused.id)
    asked = await decision_of(shop.act(EVE, "ship", "Release", "r1", "Move", {"by_": 1}))
    await shop.decisions.answer(MAX, asked, "grant", scope_of="action", uses=5)
    await shop.pauses.pause(ADMIN, "principal", "max", reason="away")
    # It would be done as `max`, who is stopped.
    await decision_of(shop.act(EVE, "ship", "Release", "r1", "Move", {"by_": 1}))


async def test_a_pause_ends_at_its_time_and_at_the_latest_when_it_is_asked(shop: Workshop) -> None:
    paused = await shop.pauses.pause(ADMIN, "principal", "bot", reason="an hour", for_ms=3_600_000)
    problem = await refused(touch(shop, BOT))
    assert problem.detail == f"the principal `bot` is paused by `root`, until {paused.until}: an hour"
    clock = Moved()
    clock.by_ms = 3_600_001
    shop.clock = clock
    await touch(shop, BOT)
    assert await shop.pauses.listed(ADMIN) == ()


async def test_an_administrator_who_is_paused_can_still_resume(shop: Workshop) -> None:
    paused = await shop.pauses.pause(ADMIN, "principal", "root", reason="by mistake")
    assert (await refused(shop.push(ADMIN, "ship", SHIP))).type == "paused"
    assert (await refused(shop.pauses.resume(ANN, paused.id))).type == "denied"
    assert (await shop.pauses.resume(ADMIN, paused.id)).state == "Lifted"
    assert (await shop.push(ADMIN, "ship", SHIP)).unchanged


MOVED = {**SHIP, "ship.blueprint": SHIP["ship.blueprint"] + "\n  action Turn by builder from Ready, Live\n"}


@pytest.mark.parametrize(
    "ask",
    [
        lambda shop, **_: shop.push(ADMIN, "ship", SHIP),
        lambda shop, **_: shop.rollback(ADMIN, "ship", 1),
        lambda shop, **_: shop.start_canary(ADMIN, "ship", MOVED, CanaryWanted(1.0)),
        lambda shop, **_: shop.retry(ADMIN, "ship", "an order"),
        lambda shop, **_: shop.discard(ADMIN, "ship", "an order"),
        lambda shop, **_: beside(lambda: shop.make_token(ADMIN, "eve", ())),
        lambda shop, token, **_: shop.rotate_token(ADMIN, token),
        lambda shop, token, **_: shop.revoke_token(ADMIN, token),
        lambda shop, **_: shop.start_session(ADMIN, SessionWanted("s2")),
        lambda shop, session, **_: shop.end_session(ADMIN, session),
        lambda shop, **_: shop.pauses.pause(ADMIN, "principal", "eve", reason="why not"),
        lambda shop, grant, **_: shop.decisions.grants.revoke(ADMIN, grant),
    ],
)
async def test_an_administrator_who_is_paused_can_do_nothing_else(
    shop: Workshop, ask: Callable[..., Awaitable[Any]]
) -> None:
    token = shop.make_token(ADMIN, "ann", ("builder",)).info.id
    session = (await shop.start_session(ADMIN, SessionWanted("s1"))).info.id
    decision = await decision_of(shop.act(BOT, "ship", "Release", "r1", "Promote", NOTES))
    granted = (await shop.decisions.answer(MAX, decision, "grant", scope_of="entity")).grant
    paused = await shop.pauses.pause(ADMIN, "principal", "root", reason="it was stolen")
    before = shop.tokens(ADMIN)
    met = await refused(ask(shop, token=token, session=session, grant=granted))
    assert (met.type, met.detail) == ("paused", "the principal `root` is paused by `root`: it was stolen")
    assert shop.tokens(ADMIN) == before
    await shop.pauses.resume(ADMIN, paused.id)
    asked = ask(shop, token=token, session=session, grant=granted)
    found: Any = (await asyncio.gather(asked, return_exceptions=True))[0]
    assert not isinstance(found, Exception) or "there is no order" in str(found)


async def beside(work: Callable[[], Any]) -> Any:
    return work()


async def test_who_is_paused_in_one_blueprint_pushes_only_others(docks: Prepared, tmp_path: Path) -> None:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH) as shop:
        await shop.push(ADMIN, "other", OTHER)
        await shop.pauses.pause(ADMIN, "principal", "root", within="ship", reason="freeze")
        assert (await refused(shop.push(ADMIN, "ship", SHIP))).type == "paused"
        assert (await shop.push(ADMIN, "other", OTHER)).unchanged
        await shop.pauses.resume(ADMIN, (await shop.pauses.listed(ADMIN))[0].id)
        # What is paused itself may be mended.
        await shop.pauses.pause(ADMIN, "bundle", "ship", reason="it is broken")
        assert (await shop.push(ADMIN, "ship", SHIP)).unchanged


async def test_who_is_paused_while_a_push_is_judged_swaps_nothing(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = asyncio.Event()
    judge = Candidates.judged

    async def judge_slowly(*given: Any, **more: Any) -> Any:
        found = await judge(*given, **more)
        judged.set()
        await shop.pauses.pause(ADMIN, "principal", "root", reason="it was stolen")
        return found

    monkeypatch.setattr(Candidates, "judged", judge_slowly)  # The pause comes between.
    assert (await refused(shop.push(ADMIN, "ship", MOVED))).type == "paused"
    assert judged.is_set()
    assert [each.number for each in shop.versions(ADMIN, "ship")] == [1]


async def test_who_is_paused_starts_no_session_and_takes_back_nothing(shop: Workshop) -> None:
    decision = await decision_of(shop.act(BOT, "ship", "Release", "r1", "Promote", NOTES))
    paused = await shop.pauses.pause(ADMIN, "principal", "bot", reason="it loops")
    assert (await refused(shop.start_session(BOT, SessionWanted("more")))).type == "paused"
    assert (await refused(shop.decisions.withdraw(BOT, decision))).type == "paused"
    await shop.pauses.resume(ADMIN, paused.id)
    assert (await shop.start_session(BOT, SessionWanted("more"))).info.session == "more"
    assert (await shop.decisions.withdraw(BOT, decision)).state == "Withdrawn"


@pytest.mark.parametrize(
    ("who", "kind", "name", "given", "expected"),
    [
        (ANN, "principal", "bot", {}, "denied"),
        (replace(ADMIN, entities=frozenset({"ship"})), "principal", "bot", {}, "out-of-scope"),
        (ADMIN, "planet", "mars", {}, "bad-request"),
        (ADMIN, "principal", "", {}, "bad-request"),
        (ADMIN, "role", "No Role", {}, "bad-request"),
        (ADMIN, "tool", "port.fly", {}, "bad-request"),
        (ADMIN, "bundle", "ships", {}, "bad-request"),
        (ADMIN, "bundle", "ship", {"within": "ship"}, "bad-request"),
        (ADMIN, "principal", "bot", {"within": "ships"}, "bad-request"),
        (ADMIN, "principal", "bot", {"reason": " "}, "bad-request"),
        (ADMIN, "principal", "bot", {"for_ms": 0}, "bad-request"),
    ],
)  # fmt: skip
async def test_what_can_t_be_paused(
    shop: Workshop, who: Person, kind: str, name: str, given: dict[str, Any], expected: str
) -> None:
    problem = await refused(shop.pauses.pause(who, kind, name, **({"reason": "why"} | given)))
    assert problem.type == expected
    assert await shop.pauses.listed(ADMIN) == ()


async def test_the_same_is_paused_once(shop: Workshop) -> None:
    await shop.pauses.pause(ADMIN, "principal", "bot", reason="one")
    assert (await refused(shop.pauses.pause(ADMIN, "principal", "bot", reason="two"))).type == "conflict"
    await shop.pauses.pause(ADMIN, "role", "bot", reason="another kind")
    assert [each.kind for each in await shop.pauses.listed(ADMIN)] == ["principal", "role"]
    assert (await refused(shop.pauses.resume(ADMIN, "nothing"))).type == "not-found"


async def test_a_pause_stands_before_anything_goes_on_after_a_restart(docks: Prepared, tmp_path: Path) -> None:
    folder = copied(docks, tmp_path / "data")
    async with opened(folder, push=PUSH) as shop:
        await ready(shop)
        await shop.act(ANN, "ship", "Release", "r1", "Promote", NOTES)
        await shop.pauses.pause(ADMIN, "tool", "port.sail", reason="storm")
        await shop.pauses.pause(ADMIN, "principal", "bot", reason="it loops")
        await shop.act(ANN, "ship", "Release", "r1", "Sail", {})
    async with opened(folder, push=PUSH) as shop:
        assert (await refused(touch(shop, BOT))).type == "paused"
        (tool,) = await shop.tools(ADMIN, "ship")
        assert (tool.waiting, tool.failed, tool.running) == (1, 0, 0)
        assert shop._spaces["ship"].live.pace("port.sail").why == "the tool `port.sail` is paused by `root`: storm"
        lifted = [await shop.pauses.resume(ADMIN, each.id) for each in await shop.pauses.listed(ADMIN)]
        assert {each.state for each in lifted} == {"Lifted"}
        await touch(shop, BOT)


async def test_why_tells_of_a_pause(shop: Workshop) -> None:
    await shop.pauses.pause(ADMIN, "principal", "bot", reason="it loops")
    why = await shop.why(BOT, "ship", "Release", "r1", "Touch", {})
    assert (why.would, why.why, why.text) == ("refuse", "paused", "the principal `bot` is paused by `root`: it loops")


async def test_nothing_is_possible_for_who_is_paused_and_it_says_why(shop: Workshop) -> None:
    before = {each.action: each.status for each in await shop.possible(ANN, "ship", "Release", "r1")}
    assert "yes" in before.values()
    pause = await shop.pauses.pause(ADMIN, "principal", "ann", reason="looks wrong")
    now = {each.action: each for each in await shop.possible(ANN, "ship", "Release", "r1")}
    assert {each.status for each in now.values()} == {"no"}
    stopped = [each for action, each in now.items() if before[action] != "no"]
    assert {each.why for each in stopped} == {"paused"}
    assert all("`ann` is paused" in each.text and "looks wrong" in each.text for each in stopped)
    assert {each.status for each in await shop.possible(EVE, "ship", "Release", "r1")} != {"no"}
    await shop.pauses.resume(ADMIN, pause.id)
    assert {each.action: each.status for each in await shop.possible(ANN, "ship", "Release", "r1")} == before
