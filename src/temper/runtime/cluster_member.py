"""A space alive on one of the servers that write to it: it decides for the partitions that are leased to this server.

Like every `Live` it takes one turn after the other. A turn reads over a network, so all of it is done in the writer's
thread, the loop stays free, and what the asks of a batch are about is read in one go. What was read may have changed by
the time of the append, which looks; then the batch is decided again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from temper.kernel import (
    AttemptEnd,
    Batch,
    Discard,
    Entry,
    Host,
    Limits,
    Request,
    Retry,
    Stale,
    Store,
    StoreFault,
    Stranded,
    Superseded,
    TableVersion,
)
from temper.runtime.clock import Clock
from temper.runtime.cluster_feed import Feed, Place
from temper.runtime.live import _DUE_PAUSE_MS, _PAUSE_MS, Live, _Asked, _Swap, earlier
from temper.runtime.postgres import Lost, PostgresStore
from temper.runtime.tools import Adapter
from temper.table import Snapshot, load

T = TypeVar("T")

_READERS_MAX = 4
# What changes an entity is told of, and that may be missed: who waits for it looks this often all the same.
_LOOK_S = 0.5
_TRIES_MAX = 50
_AGAIN_S = 0.05


class Elsewhere(Exception):
    """Another server decides for this entity, or none does right now: nothing was done."""

    def __init__(self, part: int) -> None:
        super().__init__(f"partition {part} is not leased by this server")
        self.part = part


class Member(Live):
    """A living space of a `PostgresStore`. Which partitions it decides for, whoever keeps the leases says."""

    def __init__(
        self,
        host: Host,
        store: Store,
        version: TableVersion,
        adapters: Mapping[str, Adapter],
        clock: Clock,
        limits: Limits,
    ) -> None:
        super().__init__(host, store, version, adapters, clock, limits)
        assert isinstance(store, PostgresStore), "others write to it, too"
        self.database = store
        self._readers = ThreadPoolExecutor(_READERS_MAX, thread_name_prefix="temper-readers")
        self._feed = Feed(self.database, self.aside)
        self._fresh: set[int] = set()
        """Leased anew: what was under way there has yet to be settled."""
        self._fresh_lock = threading.Lock()
        self._behind = True  # By the time that it lives another version may be in force.
        self._lookers: dict[int, set[asyncio.Future[None]]] = {}
        self._under_way: dict[str, int] = {}
        self.database.listen(self._told)

    # --- leases ---

    def leased(self, parts: Iterable[int]) -> None:
        """Decide for these from now on, too; first of all, what was under way there is settled (12)."""
        with self._fresh_lock:
            self._fresh.update(parts)
        self._look()

    async def give(self, number: int) -> None:
        """Give so many partitions back, between two turns: of those that have no call under way."""
        await self._loop.run_in_executor(self._writer, self._given, number)

    def _given(self, number: int) -> None:
        with self._fresh_lock:
            busy = self._fresh.union(list(self._under_way.values()))
        idle = [part for part in sorted(self.database.leases.held, reverse=True) if part not in busy]
        self.database.leases.release(idle[:number])

    def tick(self, number: int) -> None:
        """Look whether anything is due, and take over the version of that number if it is another's."""
        if number > self.version.number:
            self._behind = True
            self._work.set()
        elif self.database.leases.held:
            self._look()
        self._feed.heard()

    def home(self, entity: str, id: str) -> int | None:
        """Return the entity's partition where another server decides for it, `None` where this one does."""
        part = self.database.part(entity, id)
        return None if part in self.database.leases.deciding() else part

    def _look(self) -> None:
        self.database.look_again()
        self._work.set()

    def _told(self, own: bool, parts: Sequence[int]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop may have ended.
            self._loop.call_soon_threadsafe(self._heard, own, parts)

    def _heard(self, own: bool, parts: Sequence[int]) -> None:
        self._feed.heard()
        for part in parts:
            for future in self._lookers.pop(part, ()):
                if not future.done():
                    future.set_result(None)
        if not own and not self.database.leases.held.keys().isdisjoint(parts):
            self._look()

    # --- reading ---

    async def aside(self, work: Callable[[], T]) -> T:
        """Return what comes of `work`, which reads the store, in a thread for that."""
        return await self._loop.run_in_executor(self._readers, work)

    async def steady(self, work: Callable[[], T]) -> T:
        """Return what comes of `work`, which reads entities and the table: all of it by one version.

        Where another is put in force meanwhile, it is done again.
        """
        for _ in range(_TRIES_MAX):
            version, number = self.version.number, self.database.number
            try:
                found = await self.aside(work)
            except Superseded:
                self._behind = True
                self._work.set()
            except Exception:
                if self.version.number == version == number == self.database.number:
                    raise
            else:
                if self.version.number == version == number == self.database.number:
                    return found
            await asyncio.sleep(_AGAIN_S)
        raise StoreFault("another version is being put in force: ask again")

    async def up_to_date(self) -> None:
        """Return once the version that is in force by now has been taken over."""
        latest = await self.aside(self.database.latest)
        for _ in range(_TRIES_MAX):
            if self.version.number >= latest:
                return
            self._behind = True
            self._work.set()
            await asyncio.sleep(_AGAIN_S)
        raise StoreFault("another version is being put in force: ask again")

    def follow(self, after: Place | None = None) -> AsyncIterator[tuple[Entry, Place]]:
        """Yield the entries of all servers after a place (from now on by default), each with the place after it.

        They are complete, and in order in each partition. Ends when the space closes.
        """
        return self._feed.follow(after)

    def subscribe(self, after: int | None = None) -> AsyncIterator[Entry]:
        """Yield the entries of all servers: from now on, or all with 0. Another place is one of `follow`."""
        assert not after, "a place in a space of several partitions is more than a number"
        return self._entries_only(None if after is None else (0,) * self.database.parts)

    async def _entries_only(self, after: Place | None) -> AsyncIterator[Entry]:
        async for entry, _ in self.follow(after):
            yield entry

    async def wait_until(
        self, entity: str, id: str, holds: Callable[[Snapshot], bool], *, timeout_ms: int
    ) -> tuple[bool, Snapshot | None]:
        """Return (True, the entity) as soon as `holds` says so, or (False, the entity as it is) when the time is up."""

        def look() -> tuple[bool, Snapshot | None]:
            now = self.read(entity, id)
            return now is not None and holds(now), now

        until = self._loop.time() + timeout_ms / 1000
        part = self.database.part(entity, id)
        while True:
            heard: asyncio.Future[None] = self._loop.create_future()
            self._lookers.setdefault(part, set()).add(heard)
            try:
                met, now = await self.steady(look)
                left = until - self._loop.time()
                if met or left <= 0 or self._closing:
                    return met, now
                await asyncio.wait({heard}, timeout=min(left, _LOOK_S))
            finally:
                lookers = self._lookers.get(part)
                if lookers is not None:
                    lookers.discard(heard)
                    if not lookers:
                        del self._lookers[part]

    async def operate(self, ask: Retry | Discard) -> bool:
        """Retry or discard a stuck order. Raises `Elsewhere` where another server carries it out."""
        row = await self.aside(lambda: self.database.order(ask.order))
        if row is None and await self.aside(lambda: self.database.letter(ask.order)) is None:
            return False
        if row is not None:
            target = (row.entity, row.id) if row.send is None else (row.send.entity, row.send.entity_id)
            part = self.home(*target)
            if part is not None:
                raise Elsewhere(part)
        await self._operated(ask)
        return True

    async def close(self, *, drain_ms: int = 10_000) -> None:
        """Close as every space does. Its partitions stay leased: whoever keeps the leases gives them back after it."""
        await self._feed.close()
        await super().close(drain_ms=drain_ms)
        await self._loop.run_in_executor(None, self._readers.shutdown)

    # --- turns ---

    async def _tried(self, asked: Sequence[_Asked], *, due: bool = True) -> bool:
        asked = self._ours(asked)
        if not asked and not due:
            return True
        at = self._clock.now()
        busy, room = self._room()
        with_due = due and self._goes_on(at)
        asks = [each.ask for each in asked]
        deciding = self._writer.do(self._decided, asks, at, room if with_due else None, busy)
        self._pay()
        try:
            batch, wake = await deciding
        except Lost as lost:
            if lost.part >= 0:
                self.database.leases.lost(lost.part)
            return False
        except Superseded:
            self._behind = True
            return False
        except Stale:
            return False
        except StoreFault as fault:
            self._faulted(asked, fault)
            return True
        except Exception as bug:  # noqa: BLE001 - whatever it is, the space lives on
            await self._stumbled(asked, at, bug, with_due=with_due)
            return True
        self._settle(asked, batch, self._last)
        self._wake_at(None if self._held else earlier(wake, self._held_until(self._room()[0])), idle=not batch.changes)
        return True

    def _ours(self, asked: Sequence[_Asked]) -> list[_Asked]:
        """Return what this server decides; of the rest whoever asked is told, and what nobody waits for is dropped.

        That is the ending of a call whose partition was lost while it was under way: whoever has it has settled it.
        """
        ours: list[_Asked] = []
        for each in asked:
            if each.future is not None and each.future.done():
                continue  # It was told so before: what is ours by now is asked again by whoever hands it on.
            part = self._elsewhere(each)
            if part is None:
                ours.append(each)
            elif each.future is not None and not each.future.done():
                each.future.set_exception(Elsewhere(part))
        return ours

    def _elsewhere(self, each: _Asked) -> int | None:
        match each.ask:
            case Request(dry_run=True):
                return None
            case Request(entity=entity, id=id) | AttemptEnd(entity=entity, id=id):
                return self.home(entity, id)
            case _:
                return None

    def _decided(
        self, asks: Sequence[Any], at: int, room: Mapping[str, int] | None, busy: Sequence[str]
    ) -> tuple[Batch, int | None]:
        """Decide and append a batch, in the writer's thread; return it, and when to come again."""
        host, store = self._host, self.database
        if self._behind:
            self._catch_up()
        if self._fresh:
            self._recover(at)
        names = {(ask.entity, ask.id): None for ask in asks if isinstance(ask, Request | AttemptEnd)}
        keys = [ask.key for ask in asks if isinstance(ask, Request) and ask.key is not None and not ask.dry_run]
        with store.reading_ahead(host.unread(names), keys):
            batch = host.decide(asks, at) if room is None else host.turn(asks, at, room)
        # What only says what is so has read it, too.
        if batch.changes or batch.reads:
            self._appended(batch)
            for attempt in batch.attempts:
                self._under_way[attempt.order] = store.part(attempt.entity, attempt.id)
        return batch, None if room is None and not batch.changes else self._next(busy)

    def _next(self, busy: Sequence[str]) -> int | None:
        with contextlib.suppress(StoreFault):
            return self._host.next_wake(busy)
        return self._clock.now() + _PAUSE_MS

    def _appended(self, batch: Batch) -> None:
        try:
            self.database.append(batch)
        except StoreFault as fault:
            self._host.abandon(batch)
            if isinstance(fault, Stale):
                self._host.forget(fault.names)
            raise
        except BaseException:
            self._host.abandon(batch)
            raise

    def _recover(self, at: int) -> None:
        with self._fresh_lock:
            fresh, self._fresh = self._fresh, set()
        try:
            batch = self._host.recover(
                at, self.database.started_in(sorted(fresh & self.database.leases.deciding().keys()))
            )
            if batch.changes:
                self._appended(batch)
                self._host.adopt(batch)
        except BaseException:
            with self._fresh_lock:
                self._fresh |= fresh
            raise

    def _catch_up(self) -> None:
        version = self.database.current()
        assert version is not None, "a version that is in force has not gone"
        if version.number != self.version.number or self.database.number != version.number:
            table = load(version.table)
            self.database.take_over(version)
            self._host.take_over(table)
            self.version = version
        self._behind = False

    async def _apart(self, asked: Sequence[_Asked], at: int) -> None:
        # No look at what is due after it: that is a look into the database, which turns alone take.
        self._due_from = at + _DUE_PAUSE_MS
        for each in asked:
            await self._alone(each)

    async def _exchange(self, swap: _Swap) -> None:
        at = self._clock.now()
        try:
            batch = await self._loop.run_in_executor(self._writer, self._exchanged, swap, at)
        except Exception as problem:  # noqa: BLE001 - whoever swaps is told
            self._behind = True  # What is in force is looked up before anything else is decided.
            if not swap.future.done():
                swap.future.set_exception(problem)
            return
        finally:
            self._work.set()
        self._swapped(swap, batch, self._last)

    def _exchanged(self, swap: _Swap, at: int) -> Batch | tuple[Stranded, ...]:
        """Ask the living and append the version, while nobody else appends."""
        if self._behind:
            self._catch_up()
        if swap.examination.old is not self._host.codec:
            raise Superseded(f"version {self.version.number} has been put in force meanwhile")
        with self.database.exclusive():
            if self.database.latest() != self.version.number:
                raise Superseded("another server has put a version in force")
            batch = self._host.exchange(swap.examination)
            if isinstance(batch, Batch):
                try:
                    self.database.append(batch)
                except StoreFault:
                    try:
                        self._host.abandon(batch)
                    except StoreFault:
                        self._host.take_over(self._host.table)
                        raise
                    if self._host.table is not swap.table:
                        raise
                    # Its fate was unknown, and it is there.
                    self.database.take_over(swap.version)
            return batch

    # --- attempts ---

    def _end(self, end: AttemptEnd) -> None:
        self._under_way.pop(end.order, None)
        super()._end(end)

    @staticmethod
    def of(live: Live) -> Member | None:
        """Return a space as one that others write to, too, if it is."""
        return live if isinstance(live, Member) else None
