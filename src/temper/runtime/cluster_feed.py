"""What is committed in a space that several servers write to, as it is: complete, and in order in each partition.

A reader's place is one number for each partition. Entries of different partitions have no order of their own; those
that are read together stand in the order of their times. One poll of the database serves all readers that keep up;
who falls behind, or comes with an earlier place, reads on from the store until it has caught up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from temper.kernel import Entry, StoreFault
from temper.runtime.postgres import PostgresStore

Place = tuple[int, ...]

_log = logging.getLogger("temper.runtime")

_RECENT_MAX = 4_096
_PAGE = 256
# What is told by the database comes at once, and may be missed: so it is looked at this often all the same.
_POLL_S = 0.5
_AGAIN_S = 1.0


class Feed:
    """A space's entries, from the database, for those who follow them. `aside` runs what reads in another thread."""

    def __init__(self, store: PostgresStore, aside: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._store = store
        self._aside = aside
        self._heard = asyncio.Event()
        self._news = asyncio.Event()
        self._recent: deque[tuple[int, Entry]] = deque(maxlen=_RECENT_MAX)
        self._read = 0
        """How many entries have ever gone through `_recent`."""
        self._place: Place = ()
        self._followers = 0
        self._poll: asyncio.Task[None] | None = None
        self._open = True

    def heard(self) -> None:
        """Look now: something was told of."""
        self._heard.set()

    def _lives(self) -> bool:
        return self._open

    async def close(self) -> None:
        """End what follows."""
        self._open = False
        self._tell()
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)

    async def follow(self, after: Place | None = None) -> AsyncIterator[tuple[Entry, Place]]:
        """Yield the entries after a place (from now on by default), each with the place after it.

        Ends when the space closes. Raises `StoreFault` where the first look at the store fails.
        """
        place = list(after if after is not None else await self._aside(self._store.last_seqs))
        self._followers += 1
        try:
            await self._begin()
            while self._lives():
                target, index = self._place, self._read
                async for part, entry in self._between(place, target):
                    place[part] = entry.seq
                    yield entry, tuple(place)
                while self._lives() and self._read - index <= len(self._recent):
                    if index == self._read:
                        await self._news.wait()
                        continue
                    part, entry = self._recent[len(self._recent) - (self._read - index)]
                    index += 1
                    if entry.seq > place[part]:
                        place[part] = entry.seq
                        yield entry, tuple(place)
        finally:
            self._followers -= 1

    async def _between(self, place: Sequence[int], target: Place) -> AsyncIterator[tuple[int, Entry]]:
        """Yield from the store what is after a place, which is moved on by whoever reads, up to a later one."""
        while any(here < there for here, there in zip(place, target, strict=True)):
            here = tuple(place)
            try:
                found = await self._aside(partial(self._store.entries_after, here, _PAGE))
            except StoreFault:
                # Who follows waits as long as the database is away, and misses nothing.
                await asyncio.sleep(_AGAIN_S)
                continue
            for part, entry in merged(found):
                if entry.seq <= target[part]:
                    yield part, entry

    async def _begin(self) -> None:
        if self._poll is None or self._poll.done():
            place = tuple(await self._aside(self._store.last_seqs))
            # Another may have begun it meanwhile: then that one's place is gone on from.
            if self._poll is None or self._poll.done():
                self._place = place
                self._recent.clear()
                self._poll = asyncio.create_task(self._polling())

    async def _polling(self) -> None:
        while self._followers:
            self._heard.clear()
            place = self._place
            try:
                found = await self._aside(partial(self._store.entries_after, place, _PAGE))
            except StoreFault:
                await asyncio.sleep(_AGAIN_S)
                continue
            except Exception as bug:  # noqa: BLE001 - whatever it is, whoever follows is not left waiting
                _log.error("a poll of entries raised", exc_info=bug)
                await asyncio.sleep(_AGAIN_S)
                continue
            if found:
                now = list(place)
                for part, entry in merged(found):
                    now[part] = entry.seq
                    self._recent.append((part, entry))
                    self._read += 1
                self._place = tuple(now)
                self._tell()
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), _POLL_S)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def merged(found: Sequence[tuple[int, Entry]]) -> Sequence[tuple[int, Entry]]:
    """Return entries in the order of their times, as far as the order in each partition lets them."""
    at: dict[int, int] = {}
    placed: list[tuple[int, int, int, tuple[int, Entry]]] = []
    for part, entry in found:
        # A clock that went back moves an entry no further than behind the one before it.
        at[part] = max(at.get(part, 0), entry.at)
        placed.append((at[part], part, entry.seq, (part, entry)))
    placed.sort(key=lambda each: each[:3])
    return [each[3] for each in placed]


def place_text(place: Place) -> str:
    """Return a place as it goes out: short, safe in a header, and nobody's business but ours."""
    return "p" + ".".join(_small(number) for number in place)


def place_of(text: str, parts: int) -> Place | None:
    """Return the place that a text says, `None` where it says none of so many partitions."""
    if text == "0":
        return (0,) * parts
    pieces = text[1:].split(".")
    if not text.startswith("p") or len(pieces) != parts:
        return None
    try:
        place = tuple(int(piece, 36) for piece in pieces)
    except ValueError:
        return None
    return place if all(0 <= number < 1 << 62 for number in place) else None


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _small(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            return text
