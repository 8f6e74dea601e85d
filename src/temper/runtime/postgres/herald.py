"""Tells the servers of a space that something was appended, and where.

It is a hint, and not part of an append: PostgreSQL commits those that tell one after the other, each with a sync of its
own, however many servers there are. So what was appended within some milliseconds is told of together.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence

from temper.kernel import StoreFault
from temper.runtime.postgres.line import Line

_NOT_SOONER_S = 0.02


class Herald:
    """Tells, by a line, in the name of `server`."""

    def __init__(self, line: Line, channel: str, server: str) -> None:
        self._line = line
        self._channel = channel
        self._server = server
        self._lock = threading.Lock()
        self._untold: set[int] = set()
        self._telling = False

    def tell(self, parts: Iterable[int]) -> None:
        """Have the others hear that these partitions were appended to: soon, and of each at least once."""
        with self._lock:
            self._untold.update(parts)
            begins = bool(self._untold) and not self._telling
            self._telling = self._telling or begins
        if begins:
            self._line.begin(self._tell)

    async def _tell(self) -> None:
        while parts := self._taken():
            payload = f"{self._server} {','.join(map(str, sorted(parts)))}"
            with contextlib.suppress(StoreFault):  # Whoever listens looks by itself, too.
                await self._line.read("select pg_notify($1, $2)", (self._channel, payload))
            await self._line.rest(_NOT_SOONER_S)

    def _taken(self) -> set[int]:
        with self._lock:
            parts, self._untold = self._untold, set()
            self._telling = bool(parts)
            return parts


def told_by(payload: str) -> tuple[str, Sequence[int]]:
    """Return who tells, and of which partitions."""
    server, _, parts = payload.rpartition(" ")
    return server, [int(part) for part in parts.split(",") if part]
