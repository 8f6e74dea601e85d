"""Who is put away, found while the space goes on living.

It is whoever is final, has nothing under way and has rested for long enough; but nobody whom one that is live refers
to, whom an order, a letter or a `whenever` waits for, or in whose field one that is live stands that looks for those
who refer to it. All are looked for by reading; what has changed since is looked at again in the thread that appends,
in the moment in which they are put away. One whom somebody refers to later is read where it is then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Protocol

from temper.kernel import Place
from temper.runtime.archive import MEMBERS_MAX, Segment
from temper.runtime.live import Live
from temper.table import Snapshot, Table, holds_references, references, watched_fields

# So many are looked for at once: their names are in memory, and all who live are read to see whom they refer to.
_SOUGHT_MAX = 10_000
_PAGE = 500
# What has changed meanwhile and is looked at between two appends.
_CHANGED_AT_ONCE = 1_000
_CHANGES_MAX = 20

_Name = tuple[str, str]


class Archived(Protocol):
    """What is asked of a store that puts away, besides being a `Store`."""

    def resting(self, since: int, *, after: int, limit: int) -> tuple[Sequence[Snapshot], int | None]: ...

    def awaited(self) -> frozenset[_Name]: ...

    def pack(self, names: Collection[_Name]) -> Segment | None: ...

    def put_away(self, segment: Segment) -> int: ...

    def snapshot(self, entity: str, id: str) -> Snapshot | None: ...

    def living(self, asked: Collection[_Name], *, after: int, limit: int) -> tuple[Sequence[Snapshot], int | None]: ...

    def place(self) -> Place: ...

    def changed(self, since: Place, limit: int) -> tuple[Sequence[_Name], Place]: ...


async def archive(live: Live, store: Archived, *, since: int) -> int:
    """Put away who has rested since that time, and return how many they were. Raises `StoreFault`."""
    done = 0
    after: int | None = 0
    reading = ThreadPoolExecutor(1, thread_name_prefix="temper-archivist")
    loop = asyncio.get_running_loop()
    try:
        while after is not None:
            seeking = _Seeking(live.table, store)
            after = await loop.run_in_executor(reading, seeking.begin, since, after)
            while await loop.run_in_executor(reading, seeking.page):
                pass
            while seeking.found:
                segment = await loop.run_in_executor(reading, seeking.pack)
                if segment is not None:
                    done += await live.beside(partial(seeking.put_away, segment))
    finally:
        await loop.run_in_executor(None, reading.shutdown)
    return done


class _Seeking:
    """Some of those who rest, and whether anybody needs them."""

    def __init__(self, table: Table, store: Archived) -> None:
        self._table = table
        self._store = store
        self._since: Place = store.place()
        self.found: dict[_Name, Snapshot] = {}
        self._after: int | None = 0
        self._referring = {
            (name, state)
            for name, kind in table.entities.items()
            if any(holds_references(field.type, table.records) for field in kind.fields)
            for state in kind.states
        }

    def begin(self, since: int, after: int) -> int | None:
        """Find some, and return where to go on from for others; `None` where there are no more."""
        more: int | None = after
        while more is not None and len(self.found) < _SOUGHT_MAX:
            page, more = self._store.resting(since, after=more, limit=_PAGE)
            self.found.update(((now.entity, now.id), now) for now in page)
        for name in self._store.awaited():
            self.found.pop(name, None)
        for now in list(self.found.values()):
            if any(self._is_live(*name) for name in self._found_by(now)):
                del self.found[now.entity, now.id]
        if not self.found or not self._referring:
            self._after = None
        return more

    def page(self) -> bool:
        """Look whom some of those who live refer to; say whether there may be others still."""
        if self._after is None or not self.found:
            return False
        page, self._after = self._store.living(self._referring, after=self._after, limit=_PAGE)
        for now in page:
            self._spare(now)
        return self._after is not None

    def pack(self) -> Segment | None:
        """Pack some of them."""
        names = list(islice(self.found, MEMBERS_MAX))
        segment = self._store.pack(names)
        for name in names:
            if segment is None or all(one.name != name for one, _, _ in segment.members):
                self.found.pop(name, None)
        return segment

    def put_away(self, segment: Segment) -> int:
        """Put them away, but whom somebody has come to need meanwhile. In the thread that appends."""
        awaited = self._store.awaited()
        for _ in range(_CHANGES_MAX):
            names, self._since = self._store.changed(self._since, _CHANGED_AT_ONCE)
            for name in names:
                now = self._store.snapshot(*name)
                if now is not None and _lives(self._table, now):
                    self._spare(now)
            if not names:
                break
        else:
            return 0  # Others change more than can be looked at: the next sweep finds them.
        kept = [one for one in segment.members if one[0].name in self.found and one[0].name not in awaited]
        for one, _, _ in segment.members:
            self.found.pop(one.name, None)
        return self._store.put_away(segment.of(kept)) if kept else 0

    def _spare(self, now: Snapshot) -> None:
        """Leave those where they are to whom one refers."""
        for name in _references(self._table, now):
            self.found.pop(name, None)

    def _found_by(self, now: Snapshot) -> Iterator[_Name]:
        """Yield who finds an entity by what it refers to."""
        kind = self._table.entities[now.entity]
        types = {field.name: field.type for field in kind.fields}
        for name in watched_fields(self._table, now.entity):
            if name in now.fields:
                yield from references(types[name], now.fields[name], self._table.records)

    def _is_live(self, entity: str, id: str) -> bool:
        now = self._store.snapshot(entity, id)
        return now is not None and _lives(self._table, now)


def _lives(table: Table, now: Snapshot) -> bool:
    kind = table.entities.get(now.entity)
    return kind is not None and (now.state not in kind.final or bool(now.calls or now.timers or now.deferred))


def _references(table: Table, now: Snapshot) -> Iterator[_Name]:
    kind = table.entities.get(now.entity)
    for field in kind.fields if kind is not None else ():
        if field.name in now.fields:
            yield from references(field.type, now.fields[field.name], table.records)
