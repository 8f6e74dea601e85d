"""The time, and ids, from the outside."""

from __future__ import annotations

import asyncio
import os
import secrets
import struct
import time
from collections.abc import Callable
from typing import Protocol

# Crockford's alphabet: no letter that is read as a digit or as another letter. Twelve of them are 60 bits.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 12

# The wall clock may be set while an alarm waits: none waits longer than this before it looks again.
_LOOK_AGAIN_MS = 30_000


class Alarm(Protocol):
    """An alarm that has been set."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Says what time it is, in milliseconds since 1970 (UTC), and rings."""

    def now(self) -> int: ...

    def ring(self, at: int, call: Callable[[], None]) -> Alarm:
        """Call `call` from the running loop at `at` or a little later.

        It may ring too early: whoever waits looks again.
        """
        ...


class SystemClock:
    """The machine's clock. It never goes back: while the machine's does, it stands still."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        self._last = max(self._last, time.time_ns() // 1_000_000)
        return self._last

    def ring(self, at: int, call: Callable[[], None]) -> Alarm:
        wait_ms = min(max(0, at - self.now()), _LOOK_AGAIN_MS)
        # Loops count whole milliseconds and round down: one more, and it is not too early.
        return asyncio.get_running_loop().call_later((wait_ms + 1) / 1000, call)


# Chance is asked of the system for so many ids at once; each takes two characters of ten bits, six times.
_AT_ONCE = 256
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_IN_STOCK: list[str] = []
# A process that was forked must not give its parent's ids.
os.register_at_fork(after_in_child=_IN_STOCK.clear)


def new_id() -> str:
    """Return an id that was never given before: twelve characters of chance. Safe in any thread."""
    while True:
        try:
            return _IN_STOCK.pop()
        except IndexError:
            _IN_STOCK.extend(_of_chance(secrets.token_bytes(8 * _AT_ONCE)))


def _of_chance(chance: bytes) -> list[str]:
    pairs = _PAIRS
    return [
        pairs[bits & 1023]
        + pairs[bits >> 10 & 1023]
        + pairs[bits >> 20 & 1023]
        + pairs[bits >> 30 & 1023]
        + pairs[bits >> 40 & 1023]
        + pairs[bits >> 50 & 1023]
        for (bits,) in struct.iter_unpack("<Q", chance)
    ]
