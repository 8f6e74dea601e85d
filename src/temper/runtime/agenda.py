"""What waits for a server: lower bounds of when, so that a store is not asked over and over whether it is time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from temper.kernel import Batch, OrderState

NEVER = 1 << 62
Waiting: TypeAlias = Callable[[], Iterable[tuple[str | None, int]]]
"""Asks a store for the earliest moment of its waiting orders: a row for each tool, and one without for sends."""


class Agenda:
    """The earliest that anything of what is leased can be due: 0 where that is not known, `NEVER` where nothing waits.

    What the server itself appends is noted. Where others write, too, what they do to its entities makes it look again
    (`forget`), and so does a second that has passed, since what is told may be missed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.looked = 0
        """Counts how often something was forgotten or added: what was asked before that is not noted after it."""
        self.due = 0
        self.sends = 0
        self.calls: dict[str, int] | None = None
        """By tool; a tool that is not in it has nothing that waits. `None` where it is not known."""
        self.stirs = True

    def forget(self) -> None:
        """Look at everything again."""
        with self._lock:
            self.looked += 1
            self.due, self.sends, self.calls, self.stirs = 0, 0, None, True

    def call(self, tool: str) -> int:
        """Return the earliest that a call of the tool can be due."""
        calls = self.calls
        return 0 if calls is None else calls.get(tool, NEVER)

    def found(self, looked: int, **bounds: Any) -> None:
        """Note what the store said, unless something was forgotten or added since it was asked."""
        with self._lock:
            if looked == self.looked:
                for name, bound in bounds.items():
                    setattr(self, name, bound)

    def ask(self, waiting: Waiting) -> tuple[int, Mapping[str, int]]:
        """Note when the orders that wait are due, and return it: of sends, then of calls by their tool."""
        looked = self.looked
        sends, calls = NEVER, dict[str, int]()
        for tool, at in waiting():
            if tool is None:
                sends = at
            else:
                calls[tool] = at
        self.found(looked, sends=sends, calls=calls)
        return sends, calls

    def next_order(self, but_not: Sequence[str], waiting: Waiting) -> int | None:
        """Return when the next order is due, leaving out these tools; the store is asked where that is not known."""
        sends, known = self.sends, self.calls
        calls: Mapping[str, int] = dict(known or {})
        if not sends or known is None:
            sends, calls = self.ask(waiting)
        least = min([sends, *(at for tool, at in calls.items() if tool not in but_not)])
        return None if least == NEVER else least

    def appended(self, dues: Iterable[int], batch: Batch) -> None:
        """Note what a batch has added: when its entities are due, its orders, and who has to look."""
        with self._lock:
            self.looked += 1
            self.due = min(self.due, min(dues, default=NEVER))
            for change in batch.changes:
                for row in change.orders:
                    if row.state is not OrderState.WAITING:
                        continue
                    if row.kind == "send":
                        self.sends = min(self.sends, row.next_at)
                    elif self.calls is not None:
                        assert row.tool is not None, "a call is of a tool"
                        self.calls[row.tool] = min(self.calls.get(row.tool, NEVER), row.next_at)
                if change.stirs:
                    self.stirs = True
