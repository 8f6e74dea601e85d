"""How much the solver may do in all, in its own units of work: the same on every machine. And by the clock, until when.

The clock is for whoever waits: where no other process can be ended, nothing is asked once the time is over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

OVER = "over the limit of level 1: what all its questions together may cost was used up"
LATE = "over the time of the judgement: level 1 asked nothing more"

_until: ContextVar[float] = ContextVar("until", default=math.inf)

# For whoever bounds each question alone; the solver counts in 32 bits.
UNLIMITED = 2**31
# Of the work of one question: so much may all questions about one entity, or one part of a table, cost together. Of
# the tables under tests/ all but one take less than half of it (that one, whose fields are sets that are united with
# each other, would take three times as much); it is used up in some five seconds.
QUESTIONS_MAX = 16


class Budget(Struct):
    """What one question may cost, and what is left for all of them; `None` is no end."""

    rlimit: int
    left: int | None

    @property
    def spent(self) -> bool:
        """Return whether nothing is left, of work or of time."""
        return self.why is not None

    @property
    def why(self) -> str | None:
        """Return what there is no more of, if there is no more."""
        if self.left is not None and self.left <= 0:
            return OVER
        return LATE if time.monotonic() >= _until.get() else None

    @property
    def one(self) -> int:
        """Return what the next question may cost."""
        return self.rlimit if self.left is None else max(1, min(self.rlimit, self.left))

    def keep(self, units: int) -> None:
        """Put something by, or (if it is negative) give it back: what comes later is not to go without."""
        if self.left is not None:
            self.left -= units

    def spend(self, units: int) -> None:
        """Take off what a question has cost."""
        if self.left is not None:
            self.left -= units


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have all budgets spent after so many seconds, whoever's they are."""
    before = _until.set(min(_until.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _until.reset(before)
