"""One space, alive under asyncio: requests in, durable answers out; timers, sends and calls go by themselves.

All decisions are taken on the loop, one batch after the other, and each batch is one append in the writer's thread.
What arrives meanwhile is the next batch: the more there is to do, the larger the groups (group commit).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from temper.kernel import (
    NEAR,
    Answer,
    Ask,
    Attempt,
    AttemptEnd,
    Batch,
    Busy,
    Change,
    Contended,
    Discard,
    Entry,
    Examination,
    Expired,
    Host,
    Ids,
    Limits,
    PolicyGate,
    Request,
    Retry,
    Stale,
    Store,
    StoreFault,
    Stranded,
    TableVersion,
)
from temper.runtime.clock import Alarm, Clock, SystemClock, new_id
from temper.runtime.tools import Adapter, Answered, Call, Failed, Gate, Pace, Paced, Unknown
from temper.runtime.tools import Attempt as Outcome
from temper.runtime.wasm import Modules
from temper.runtime.writer import Writer
from temper.table import Ending, Snapshot, Table, World, load

# Entries that subscribers get without a look into the store.
_RECENT_MAX = 1_024
_PAGE = 256
# After a fault of the store, or when something is due that nothing can be done about: not sooner than this.
_PAUSE_MS = 1_000
# A bug in what is due must not take requests down with it.
_DUE_PAUSE_MS = 60_000
# A batch that others came between is decided again, this often as a whole, and then each ask of it by itself.
_TOGETHER_MAX = 3
_ALONE_MAX = 10
# A late answer is waited for this many time-outs at most, so that a tool that hangs can't pile up attempts.
_LATE_TIMEOUTS = 10
# What a tool has whose settings say nothing of its pace.
_FREE = Pace()

_log = logging.getLogger("temper.runtime")


class _Reply:
    """What stands in a future's place where a call will do: it costs no turn of the loop, and no task."""

    __slots__ = ("_done", "_then")

    def __init__(self, then: Callable[[Answer | BaseException], None]) -> None:
        self._then = then
        self._done = False

    def done(self) -> bool:
        return self._done

    def set_result(self, answer: Answer | None) -> None:
        assert answer is not None, "a request has an answer"
        self._done = True
        self._then(answer)

    def set_exception(self, problem: BaseException) -> None:
        self._done = True
        self._then(problem)


@dataclass(slots=True)
class _Asked:
    """`future` is `None` where nobody waits for the answer: then the ask is put again after a fault."""

    ask: Ask
    future: asyncio.Future[Answer | None] | _Reply | None


@dataclass(slots=True)
class _Swap:
    examination: Examination
    future: asyncio.Future[int | tuple[Stranded, ...]]
    done: bool = False
    """Whether it is in force."""

    @property
    def table(self) -> Table:
        return self.examination.table

    @property
    def version(self) -> TableVersion:
        return self.examination.version


T = TypeVar("T")
_Waiter = tuple[Callable[[Snapshot], bool], asyncio.Future[Snapshot]]


class Live:
    """A space that lives.

    Made by `await Live.start(...)`; everything else happens on the loop that it was started on.
    """

    def __init__(
        self,
        host: Host,
        store: Store,
        version: TableVersion,
        adapters: Mapping[str, Adapter],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self.store = store
        self.version = version
        self._host = host
        self._adapters = dict(adapters)
        self._modules = Modules()
        self._own_modules: Modules | None = self._modules
        self._clock = clock
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(self._loop)
        self._queue: deque[_Asked | _Swap] = deque()
        self._deciding: Sequence[_Asked | _Swap] = []
        self._owed: list[tuple[_Asked, Answer | None]] = []
        self._work = asyncio.Event()
        self._alarm: Alarm | None = None
        self._again: list[_Asked] = []
        self._again_alarm: Alarm | None = None
        self._due_from = 0
        self._held_tools: Mapping[str, str] = {}
        self._held = ""
        self._running: Counter[str] = Counter()
        self._gates: dict[str, Gate] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timed_out: set[asyncio.Task[None]] = set()
        self._recent: deque[Entry] = deque(maxlen=_RECENT_MAX)
        self._followers = 0
        self._last = store.last_seq()
        self._news = asyncio.Event()
        self._waiters: dict[tuple[str, str], list[_Waiter]] = {}
        self._closing = False
        self._closed = False
        self._broken: str | None = None
        self._turns: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        store: Store,
        adapters: Mapping[str, Adapter],
        *,
        clock: Clock | None = None,
        ids: Ids = new_id,
        limits: Limits | None = None,
        modules: Modules | None = None,
        gate: PolicyGate | None = None,
    ) -> Live:
        """Return the space that `store` keeps, alive; its first version must be there (`found`). Raises `StoreFault`.

        Calls whose attempts were under way when it last stopped are tried again where their tool is `idempotent`, and
        end `unknown` where not; timers that fell due fire.
        """
        version = store.current()
        if version is None:
            raise StoreFault("the space has no version of a blueprint yet")
        clock = clock or SystemClock()
        limits = limits or Limits()
        host = Host(load(version.table), store, ids=ids, limits=limits)
        host.gate = gate
        live = cls(host, store, version, adapters, clock, limits)
        if modules is not None:
            live._modules, live._own_modules = modules, None
        batch = host.recover(clock.now())
        if batch.changes:
            live._adopt(batch, store.append(batch))
        live._turns = live._loop.create_task(live._run(), name=f"temper {live.table.blueprint}")
        live._turns.add_done_callback(live._stopped)
        live._work.set()
        live._tidy()
        return live

    @property
    def table(self) -> Table:
        """The table in force."""
        return self._host.table

    async def submit(self, request: Request) -> Answer:
        """Return what came of `request`; a yes and a refusal are durable by then.

        `Busy` at once when too much waits.
        """
        future: asyncio.Future[Answer | None] = self._loop.create_future()
        self._ask(request, future)
        answer = await future
        assert answer is not None, "a request has an answer"
        return answer

    def ask(self, request: Request, then: Callable[[Answer | BaseException], None]) -> None:
        """Have `then` called, on the loop, with what came of `request`: once, at once where it can't be taken.

        It hears an exception where a bug of ours is all that came of it. It must not raise.
        """
        self._ask(request, _Reply(then))

    def _ask(self, request: Request, reply: asyncio.Future[Answer | None] | _Reply) -> None:
        if self._broken is not None:
            reply.set_result(Expired(self._broken))
        elif self._closing or len(self._queue) >= self._limits.queue_max:
            reply.set_result(Busy(_PAUSE_MS))
        else:
            self._queue.append(_Asked(request, reply))
            self._work.set()

    async def operate(self, ask: Retry | Discard) -> bool:
        """Retry or discard a stuck order; `False` if there is none of that id (any more). Raises `StoreFault`."""
        if self.store.order(ask.order) is None and self.store.letter(ask.order) is None:
            return False
        await self._operated(ask)
        return True

    async def _operated(self, ask: Retry | Discard) -> None:
        self._must_live()
        future: asyncio.Future[Answer | None] = self._loop.create_future()
        self._queue.append(_Asked(ask, future))
        self._work.set()
        answer = await future
        if isinstance(answer, Expired):
            raise StoreFault(answer.text)

    def read(self, entity: str, id: str) -> Snapshot | None:
        """Return the entity as it is; whoever has had an answer reads what it said, or later."""
        return self._host.read(entity, id)

    def world(self) -> World:
        """Return what may be read of others, for as long as the table in force is this one."""
        return self._host.world(self._clock.now())

    async def swap(self, table: Table, version: TableVersion) -> int | tuple[Stranded, ...]:
        """Put another table in force, between two requests, and return how many entities that makes others of.

        Returns those that have no place in it if there are any; then nothing has changed. Raises `StoreFault`. All who
        live are asked while requests go on, and nobody waits but for some of those who have changed since. They are as
        the new table has them at once, to whoever reads; rewritten they are by and by (`moving`).
        """
        examination = await self.examined(table, version, count=False)
        future: asyncio.Future[int | tuple[Stranded, ...]] = self._loop.create_future()
        self._must_live()
        self._queue.append(_Swap(examination, future))
        self._work.set()
        return await future

    async def examined(self, table: Table, version: TableVersion, *, count: bool = True) -> Examination:
        """Ask all who live whether they have a place in `table`, while requests go on. Raises `StoreFault`.

        Without `count`, it ends once more of them have none than are named.
        """
        self._must_live()
        examination = self._host.examine(table, version, lasting=not count)
        examining = ThreadPoolExecutor(1, thread_name_prefix="temper-examiner")
        do = partial(self._loop.run_in_executor, examining)
        # An index that is to last is written where appends are.
        keeping = examining if count or examination.index is None else self._writer
        settle = partial(self._loop.run_in_executor, keeping, examination.settle)
        done = False
        try:
            while await do(examination.page):
                self._must_live()
                if examination.overfull and not count:
                    break
                await settle()
            # To ask those who have changed meanwhile takes less time, in which fewer change: while that is so.
            before: int | None = None
            while (behind := await do(examination.behind)) > NEAR and (before is None or behind < before // 2):
                before = behind
                for _ in range(0, behind, NEAR):
                    self._must_live()
                    await settle()
                    await do(examination.catch_up)
            self._must_live()
            await settle()
            if count:
                await do(examination.judge)
            done = True
        finally:
            await self._loop.run_in_executor(None, examining.shutdown)
            if count:
                examination.drop()
            elif not done:
                await self._drop(examination)
        return examination

    async def _drop(self, examination: Examination) -> None:
        """Give up what was made for a table that is not put in force. What stays goes at the next start."""
        if examination.index is None or self._closed:
            return
        try:
            await self._loop.run_in_executor(self._writer, examination.drop)
        except StoreFault as fault:
            _log.warning("an index that was made in vain stays: %s", fault.text)
        self._tidy()

    def _tidy(self) -> None:
        """Drop indexes that are not used any more, piece by piece between two appends."""
        if self._tidying is None or self._tidying.done():
            self._tidying = self._loop.create_task(self._tidied(), name="temper tidies")

    async def _tidied(self) -> None:
        try:
            while not self._closing and await self._loop.run_in_executor(self._writer, self.store.tidy):
                pass
        except StoreFault as fault:
            _log.warning("an index that is not used any more stays: %s", fault.text)

    def now(self) -> int:
        """Return the time, by the clock that it lives by."""
        return self._clock.now()

    async def beside(self, work: Callable[[], T]) -> T:
        """Return what comes of `work` in the thread that appends, between two appends. Raises `StoreFault`."""
        self._must_live()
        return await self._writer.do(work)

    def hold(self, tools: Mapping[str, str], *, whole: str = "") -> None:
        """Start no call of these tools, and where there is a reason to hold the `whole` space no call and no timer or
        send, from now on. For each tool it is said why.

        What is asked for is decided, and how calls under way end is recorded. What waits goes on once it is let go.
        """
        if (self._held_tools, self._held) != (tools, whole):
            self._held_tools, self._held = dict(tools), whole
            self._work.set()

    @property
    def moving(self) -> bool:
        """Whether some are still kept as an earlier table wrote them."""
        return self._host.moving

    def bind(self, adapters: Mapping[str, Adapter]) -> None:
        """Use these adapters from the next attempt on. A tool without one fails with kind "not_bound"."""
        self._adapters = dict(adapters)

    def pace(self, tool: str) -> Working:
        """Return how a tool is being called by this server, and what holds its calls back."""
        now, gate, running = self._clock.now(), self._gate(tool), self._running[tool]
        free = gate.free(now, running, self._limits.attempts_max)
        until = gate.until(now) if free == 0 else None
        circuit = gate.state(now)
        why = ""
        if self._closing:
            why = "the server is being stopped"
        elif self._held or tool in self._held_tools:
            why, until = self._held or self._held_tools[tool], None
        elif free == 0 and circuit == "open":
            why = f"the circuit is open, after failures in a row: {gate.failed}"
        elif free == 0 and circuit == "half-open":
            why = "one call tries whether the tool is well again"
        elif free == 0 and until is not None:
            why = "its rate is used up"
        elif free == 0:
            why = f"no more may be under way at once than do: {running}"
        return Working(running, circuit, gate.failed, why, until)

    def subscribe(self, after: int | None = None) -> AsyncIterator[Entry]:
        """Yield the entries after seq `after` (from now on by default) as they are committed, all of them, in order.

        Ends when the space closes. Nothing piles up for a reader that is slow: it reads on from the store.
        """
        return self._entries(self._last if after is None else after)

    async def wait_until(
        self, entity: str, id: str, holds: Callable[[Snapshot], bool], *, timeout_ms: int
    ) -> tuple[bool, Snapshot | None]:
        """Return (True, the entity) as soon as `holds` says so, or (False, the entity as it is) when the time is up."""
        now = self.read(entity, id)
        if now is not None and holds(now):
            return True, now
        future: asyncio.Future[Snapshot] = self._loop.create_future()
        waiter: _Waiter = (holds, future)
        self._waiters.setdefault((entity, id), []).append(waiter)
        try:
            if await self._within(future, timeout_ms):
                return True, future.result()
            return False, self.read(entity, id)
        finally:
            waiters = self._waiters.get((entity, id), [])
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self._waiters.pop((entity, id), None)
            future.cancel()

    async def close(self, *, drain_ms: int = 10_000) -> None:
        """Take no more requests, answer those that wait, give attempts under way `drain_ms` to end, and stop.

        The adapters and the store stay open: whoever opened them closes them.
        """
        if self._closing:
            return
        self._closing = True
        self._work.set()
        under_way = self._tasks - self._timed_out
        if under_way:
            await asyncio.wait(under_way, timeout=drain_ms / 1000)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._closed = True
        self._resume()  # Endings that could not be appended are tried once more.
        if self._turns is not None:
            await asyncio.gather(self._turns, return_exceptions=True)
        if self._tidying is not None:
            await asyncio.gather(self._tidying, return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()
        self._news.set()
        for waiters in self._waiters.values():
            for _, future in waiters:
                future.cancel()
        if self._own_modules is not None:
            self._own_modules.close()
        await self._loop.run_in_executor(None, self._writer.shutdown)

    # --- turns ---

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            first = self._queue[0] if self._queue else None
            if isinstance(first, _Swap):
                self._queue.popleft()
                self._deciding = [first]
                await self._close_in(first)
            else:
                asked = self._take()
                self._deciding = asked
                await self._turn(asked)
            if self._queue:
                self._work.set()
                continue
            self._pay()
            if self._closed:
                return

    def _must_live(self) -> None:
        if self._broken is not None or self._closing:
            raise StoreFault(self._broken or "the space is closing")

    def _stopped(self, turns: asyncio.Task[None]) -> None:
        """Nobody waits for ever on a space whose turns have ended, be it by a bug of ours."""
        if not turns.cancelled() and turns.exception() is not None:
            _log.critical("the turns of a space ended", exc_info=turns.exception())
            self._broken = "the space has stopped after a bug: start the server again"
        self._pay()
        for each in (*self._deciding, *self._queue):
            if each.future is not None and not each.future.done():
                each.future.set_exception(StoreFault(self._broken or "the space is closed"))

    def _take(self) -> list[_Asked]:
        """Return the asks of the next batch: those before the next swap, so many as go together."""
        queue = self._queue
        asked: list[_Asked] = []
        while queue and len(asked) < self._limits.batch_max:
            first = queue[0]
            if isinstance(first, _Swap):
                break
            queue.popleft()
            if first.future is None or not first.future.done():  # Whoever asked may have gone: then it is not done.
                asked.append(first)
        return asked

    async def _turn(self, asked: Sequence[_Asked]) -> None:
        """Decide and append a batch; where others came between, once more, and then each ask by itself."""
        for _ in range(_TOGETHER_MAX):
            if await self._tried(asked):
                return
        for each in asked:
            await self._alone(each)
        self._work.set()  # What is due has not been looked at.

    async def _alone(self, each: _Asked) -> None:
        for _ in range(_ALONE_MAX):
            if await self._tried([each], due=False):
                return
        if each.future is None:
            self._queue.append(each)
        elif not each.future.done():
            each.future.set_result(Contended(_PAUSE_MS))

    async def _tried(self, asked: Sequence[_Asked], *, due: bool = True) -> bool:
        """Decide and append a batch, and say so; `False` where what it rests on was changed by others meanwhile."""
        at = self._clock.now()
        host = self._host
        busy, room = self._room()
        asks = [each.ask for each in asked]
        with_due = due and self._goes_on(at)
        batch: Batch | None = None
        last = self._last
        try:
            batch = host.turn(asks, at, room) if with_due else host.decide(asks, at)
            if batch.changes:
                appending = self._writer.do(self.store.append, batch)
                self._pay()
                last = await appending
        except StoreFault as fault:
            # A store that others write to is read over a network, too, and may be gone by then.
            if batch is not None:
                host.abandon(batch)
            if isinstance(fault, Stale):
                host.forget(fault.names)
                return False
            self._faulted(asked, fault)
            return True
        except Exception as bug:  # noqa: BLE001 - whatever it is, the space lives on
            if batch is not None:
                host.abandon(batch)
            await self._stumbled(asked, at, bug, with_due=with_due)
            return True
        self._settle(asked, batch, last)
        if batch.attempts:
            busy, _ = self._room()
        self._set_alarm(busy, idle=not batch.changes)
        return True

    def _goes_on(self, at: int) -> bool:
        """Say whether what is due is looked at."""
        return at >= self._due_from and not self._held

    async def _stumbled(self, asked: Sequence[_Asked], at: int, bug: Exception, *, with_due: bool) -> None:
        """After a bug of ours: find out whom it strikes, or tell the one that it has struck."""
        _log.error("a turn raised", exc_info=bug)
        if with_due or len(asked) > 1:
            await self._apart(asked, at)
        elif asked[0].future is not None and not asked[0].future.done():
            asked[0].future.set_exception(bug)

    def _settle(self, asked: Sequence[_Asked], batch: Batch, last: int) -> None:
        """Take in a batch that is durable. Its answers are owed: the writer has its next batch before they are made."""
        if batch.changes or batch.attempts:
            self._adopt(batch, last)
        self._owed.extend(zip(asked, batch.answers, strict=True))

    def _pay(self) -> None:
        """Answer whoever asked for what is durable."""
        owed, self._owed = self._owed, []
        for each, answer in owed:
            if each.future is not None and not each.future.done():
                each.future.set_result(answer)

    def _room(self) -> tuple[list[str], dict[str, int]]:
        """Return the tools that have no room for another attempt, and how much each has."""
        if self._closing or self._held:
            return list(self.table.tools), {}
        most, now = self._limits.attempts_max, self._clock.now()
        room = {tool: self._gate(tool).free(now, self._running[tool], most) for tool in self.table.tools}
        room.update(dict.fromkeys(self._held_tools.keys() & room.keys(), 0))
        return [tool for tool, free in room.items() if free <= 0], room

    def _gate(self, tool: str) -> Gate:
        gate, pace = self._gates.get(tool), self._pace_of(tool)
        # How a tool fared is kept where its pace is the same, whatever carries it out by now.
        if gate is None or gate.pace != pace:
            gate = self._gates[tool] = Gate(pace, self._clock.now())
        return gate

    def _pace_of(self, tool: str) -> Pace:
        declared = self.table.tools.get(tool)
        if declared is not None and declared.wasm is not None:
            return self._modules.grants.of(tool).pace
        adapter = self._adapters.get(tool)
        return adapter.pace if isinstance(adapter, Paced) else _FREE

    def _held_until(self, busy: Sequence[str]) -> int | None:
        """Return when one of these tools has room again by the time alone."""
        if self._closing or self._held:
            return None
        now = self._clock.now()
        busy = [tool for tool in busy if tool not in self._held_tools]
        return min((at for tool in busy if (at := self._gate(tool).until(now)) is not None), default=None)

    def _adopt(self, batch: Batch, last: int) -> None:
        self._host.adopt(batch)
        self._last = last
        for change in batch.changes:
            if self._followers and not self.store.shared:  # Else there are entries of others between them.
                self._recent.extend(change.entries)
            if self._waiters:
                for now in change.snapshots:
                    self._tell(now)
        self._news.set()
        self._news.clear()
        for attempt in batch.attempts:
            self._running[attempt.tool] += 1
            self._gate(attempt.tool).begun(self._clock.now())
            task = self._loop.create_task(self._carry_out(attempt))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _tell(self, now: Snapshot) -> None:
        for holds, future in self._waiters.get((now.entity, now.id), ()):
            if future.done():
                continue
            try:
                if holds(now):
                    future.set_result(now)
            except Exception as problem:  # noqa: BLE001 - the predicate's, for whoever waits
                future.set_exception(problem)

    def _set_alarm(self, busy: Sequence[str], *, idle: bool) -> None:
        # With more to do there is no need to look into the store for what is due.
        quiet = bool(self._queue or self._held)
        at = None if quiet else earlier(self._host.next_wake(busy), self._held_until(busy))
        self._wake_at(at, idle=idle)

    def _wake_at(self, at: int | None, *, idle: bool) -> None:
        """Take the next turn at once where there is something to do, else at that time."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._queue:
            self._work.set()
            return
        if at is None:
            return
        now = self._clock.now()
        # Nothing came of a turn, and yet something is due: it can wait, and must not make us spin.
        at = max(at, self._due_from, now + _PAUSE_MS if idle and at <= now else 0)
        if at <= now:
            self._work.set()
        else:
            self._alarm = self._clock.ring(at, self._work.set)

    def _faulted(self, asked: Sequence[_Asked], fault: StoreFault) -> None:
        _log.error("an append failed: %s", fault.text)
        if fault.unknown and not self.store.shared:
            # It may be there: whoever follows reads on from the store.
            self._recent.clear()
            self._last = self.store.last_seq()
        again: list[_Asked] = []
        for each in asked:
            if each.future is None:
                again.append(each)
            elif not each.future.done():
                each.future.set_result(Expired(fault.text))
        if self._closed:
            return  # The attempts' endings are lost with us: the next start finds them as under way.
        self._pause(again)

    def _pause(self, again: Sequence[_Asked]) -> None:
        """Go on in a while; what is to be asked `again` is asked then, whatever others ask before."""
        at = self._clock.now() + _PAUSE_MS
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._clock.ring(at, self._work.set)
        self._again.extend(again)
        if self._again and self._again_alarm is None:
            self._again_alarm = self._clock.ring(at, self._resume)

    def _resume(self) -> None:
        if self._again_alarm is not None:
            self._again_alarm.cancel()
            self._again_alarm = None
        self._queue.extendleft(reversed(self._again))
        self._again.clear()
        self._work.set()

    async def _apart(self, asked: Sequence[_Asked], at: int) -> None:
        """After a bug of ours: decide each ask by itself, so that it strikes those alone who meet it."""
        self._due_from = at + _DUE_PAUSE_MS
        for each in asked:
            await self._alone(each)
        self._set_alarm((), idle=True)

    async def _close_in(self, swap: _Swap) -> None:
        """Swap if nearly all are asked; else ask some more, and let some of those go first who wait behind it."""
        self._pay()
        try:
            near = await self._loop.run_in_executor(self._writer, swap.examination.close_in)
        except Exception as problem:  # noqa: BLE001 - whoever swaps is told
            if not swap.future.done():
                swap.future.set_exception(problem)
            await self._drop(swap.examination)
            return
        if near or swap.examination.overfull:
            await self._exchange(swap)
            if swap.done:
                self._tidy()
            else:
                await self._drop(swap.examination)
            return
        asked = self._take()
        self._deciding = [swap, *asked]
        await self._turn(asked)
        self._queue.appendleft(swap)

    async def _exchange(self, swap: _Swap) -> None:
        try:
            if swap.examination.old is not self._host.codec:
                raise StoreFault("another version has been put in force meanwhile: try again")
            # What has changed since they were asked is asked in the writer's thread; requests wait, reads do not.
            batch = await self._loop.run_in_executor(self._writer, self._host.exchange, swap.examination)
            last = self._last
            if isinstance(batch, Batch):
                try:
                    # On the loop, so that nobody reads between the commit and the moment in which it counts.
                    last = self.store.append(batch)
                except StoreFault:
                    self._host.abandon(batch)
                    if self._host.table is not swap.table:
                        raise
                    last = self.store.last_seq()  # Its fate was unknown, and it is there.
        except Exception as problem:  # noqa: BLE001 - whoever swaps is told
            if not swap.future.done():
                swap.future.set_exception(problem)
            return
        finally:
            self._work.set()
        self._swapped(swap, batch, last)

    def _swapped(self, swap: _Swap, batch: Batch | tuple[Stranded, ...], last: int) -> None:
        """Take in a swap that is durable, or none where somebody has no place; tell whoever asked for it."""
        told: int | tuple[Stranded, ...]
        if isinstance(batch, Batch):
            self._adopt(batch, last)
            self.version = swap.version
            swap.done = True
            told = swap.examination.touched
        else:
            told = batch
        if not swap.future.done():
            swap.future.set_result(told)

    # --- attempts ---

    async def _carry_out(self, attempt: Attempt) -> None:
        me = asyncio.current_task()
        assert me is not None, "an attempt is a task of its own"
        call: asyncio.Task[Outcome] | None = None
        room = True
        try:
            adapter = self._adapter(attempt.tool)
            if adapter is None:
                text = f"nothing is bound to the tool `{attempt.tool}`: bind an adapter to it in the settings"
                self._end(_ending(attempt, Ending.FAILED, "not_bound", text, retry=True))
                return
            late_ms = min(self._limits.late_ms, _LATE_TIMEOUTS * attempt.timeout_ms)
            args = Call(attempt.order, attempt.tool, attempt.args, attempt.number, attempt.timeout_ms, late_ms)
            call = self._loop.create_task(adapter.call(args))
            if not await self._within(call, attempt.timeout_ms):
                self._running[attempt.tool] -= 1
                room = False
                self._gate(attempt.tool).ended(self._clock.now(), Unknown(""))
                text = f"no answer within {attempt.timeout_ms} ms"
                self._end(_ending(attempt, Ending.UNKNOWN, "timeout", text))
                self._timed_out.add(me)
                if self._closing or not await self._within(call, late_ms):
                    return
            self._end(_ended(attempt, call))
        finally:
            self._timed_out.discard(me)
            outcome = call.result() if call is not None and _whole(call) else None
            if room:
                self._running[attempt.tool] -= 1
                self._gate(attempt.tool).ended(self._clock.now(), outcome)
            elif isinstance(outcome, Answered):
                self._gate(attempt.tool).ended(self._clock.now(), outcome)  # Late, and well.
            if call is not None and not call.done():
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)

    def _adapter(self, tool: str) -> Adapter | None:
        """Return what carries out `tool` by the table in force, whose modules are those of its own bundle."""
        declared = self.table.tools.get(tool)
        if declared is None or declared.wasm is None:
            return self._adapters.get(tool)
        return self._modules.adapter(self.table, tool)

    def _end(self, end: AttemptEnd) -> None:
        self._queue.append(_Asked(end, None))
        self._work.set()

    async def _within(self, future: asyncio.Future[Outcome] | asyncio.Future[Snapshot], ms: int) -> bool:
        """Say whether `future` is done before that much time has passed, by the clock; it is not cancelled."""
        until = self._clock.now() + ms
        while not future.done() and self._clock.now() < until:
            bell: asyncio.Future[None] = self._loop.create_future()
            alarm = self._clock.ring(until, partial(_ring, bell))
            try:
                await asyncio.wait({future, bell}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                alarm.cancel()
                bell.cancel()
        return future.done()

    # --- entries ---

    async def _entries(self, place: int) -> AsyncIterator[Entry]:
        self._followers += 1
        try:
            while not self._closed:
                if place >= self._last:
                    await self._news.wait()
                    continue
                for entry in self._page(place):
                    place = entry.seq
                    yield entry
        finally:
            self._followers -= 1
            if not self._followers:
                # While nobody reads, entries go with their batch: kept, they would be freed when they are in no cache.
                self._recent.clear()

    def _page(self, place: int) -> Sequence[Entry]:
        recent = self._recent
        if recent and recent[0].seq <= place + 1:
            start = place + 1 - recent[0].seq
            return list(islice(recent, start, start + _PAGE))
        return self.store.entries(place, min(_PAGE, self._last - place))


@dataclass(frozen=True, slots=True)
class Working:
    """How a tool is being called. `why` says what holds its calls back, `until` when that ends if time ends it."""

    running: int
    circuit: str
    failed: int
    why: str = ""
    until: int | None = None


def found(store: Store, version: TableVersion) -> None:
    """Put the first version into an empty store. Raises `StoreFault`."""
    store.append(Batch((Change(version=version),)))


def earlier(one: int | None, other: int | None) -> int | None:
    """Return the earlier of two times, of which there may be one, or none."""
    return one if other is None else other if one is None else min(one, other)


def _whole(call: asyncio.Task[Outcome]) -> bool:
    return call.done() and not call.cancelled() and call.exception() is None


def _ring(bell: asyncio.Future[None]) -> None:
    if not bell.done():
        bell.set_result(None)


def _ending(attempt: Attempt, ending: Ending, kind: str, text: str, *, retry: bool = False) -> AttemptEnd:
    return AttemptEnd(attempt.order, attempt.entity, attempt.id, attempt.number, ending, {}, kind, text, retry)


def _ended(attempt: Attempt, call: asyncio.Task[Outcome]) -> AttemptEnd:
    if call.cancelled():
        return _ending(attempt, Ending.UNKNOWN, "timeout", "the attempt was cut off")
    problem = call.exception()
    if problem is not None:
        _log.error("the adapter of %s raised", attempt.tool, exc_info=problem)
        return _ending(attempt, Ending.UNKNOWN, "timeout", f"the adapter failed: {type(problem).__name__}")
    match call.result():
        case Answered(value):
            return AttemptEnd(attempt.order, attempt.entity, attempt.id, attempt.number, Ending.ANSWERED, value)
        case Failed(kind, text, retry):
            return _ending(attempt, Ending.FAILED, str(kind), text, retry=retry)
        case Unknown(text):
            return _ending(attempt, Ending.UNKNOWN, "timeout", text)
