"""A live space under a clock that a test moves, and tools that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from temper.kernel import Answer, Done, Limits, MemoryStore, Request, Store
from temper.runtime import Adapter, Alarm, Answered, Attempt, Call, Live, found, new_id
from temper.table import Act, Caller, Snapshot, Table
from tests.kernel.shop import CLERK, SHOP, compiled, version


@dataclass(eq=False)
class _Set:
    at: int
    call: Callable[[], None]
    alarms: list[_Set]

    def cancel(self) -> None:
        if self in self.alarms:
            self.alarms.remove(self)


@dataclass
class MovedClock:
    """A clock that stands still until it is moved."""

    time: int = 1_000_000
    alarms: list[_Set] = field(default_factory=list)

    def now(self) -> int:
        return self.time

    def ring(self, at: int, call: Callable[[], None]) -> Alarm:
        alarm = _Set(at, call, self.alarms)
        self.alarms.append(alarm)
        return alarm

    def move(self, ms: int) -> None:
        self.time += ms
        for alarm in [alarm for alarm in self.alarms if alarm.at <= self.time]:
            alarm.cancel()
            alarm.call()


class Tool:
    """An adapter whose calls wait until the test ends them."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, asyncio.Future[Attempt]]] = []
        self.cancelled = 0

    async def call(self, call: Call) -> Attempt:
        future: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
        self.calls.append((call, future))
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def close(self) -> None:
        return None

    async def called(self, times: int = 1) -> Call:
        """Return the call of that number, once it has come."""
        await until(lambda: len(self.calls) >= times)
        return self.calls[times - 1][0]

    def end(self, result: Attempt, number: int = 1) -> None:
        self.calls[number - 1][1].set_result(result)


class Prompt:
    """An adapter that answers at once."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def call(self, call: Call) -> Attempt:
        self.calls.append(call)
        return Answered({"receipt": call.order} if call.tool == "bank.charge" else {})

    async def close(self) -> None:
        return None


@dataclass
class Space:
    """A live space, and the clock it lives by."""

    live: Live
    clock: MovedClock

    def request(self, entity: str, id: str, action: str, by: Caller = CLERK, /, **params: Any) -> Request:
        return Request(Act(new_id(), self.clock.now(), action, params, by, entity, id), entity, id)

    async def act(self, entity: str, id: str, action: str, by: Caller = CLERK, /, **params: Any) -> Answer:
        return await self.live.submit(self.request(entity, id, action, by, **params))

    async def done(self, entity: str, id: str, action: str, by: Caller = CLERK, /, **params: Any) -> Done:
        answer = await self.act(entity, id, action, by, **params)
        assert isinstance(answer, Done), answer
        return answer

    def now(self, entity: str, id: str) -> Snapshot:
        now = self.live.read(entity, id)
        assert now is not None, f"there is no {entity}/{id}"
        return now

    def state(self, entity: str, id: str) -> str:
        now = self.live.read(entity, id)
        return now.state if now else "none"

    async def becomes(self, entity: str, id: str, state: str) -> Snapshot:
        await until(lambda: self.state(entity, id) == state)
        now = self.live.read(entity, id)
        assert now is not None
        return now


@asynccontextmanager
async def space(
    *adapters: tuple[str, Adapter],
    store: Store | None = None,
    table: Table | None = None,
    limits: Limits | None = None,
    clock: MovedClock | None = None,
) -> AsyncIterator[Space]:
    """A space that is closed in the end, with these adapters by their tools' names."""
    store = store or MemoryStore()
    if store.current() is None:
        found(store, version(table or compiled(SHOP)))
    clock = clock or MovedClock()
    live = await Live.start(store, dict(adapters), clock=clock, limits=limits)
    try:
        yield Space(live, clock)
    finally:
        await live.close(drain_ms=0)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go round until it holds: things happen in threads and tasks, and never by the wall clock."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - it asks anything, not what somebody could set an event for
            await asyncio.sleep(0.001)


async def quiet(times: int = 20) -> None:
    """Let the loop go round a while: what was going to happen has happened."""
    for _ in range(times):
        await asyncio.sleep(0.001)
