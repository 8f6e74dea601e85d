"""What waits for a server: lower bounds of when, so that the database is not asked over and over whether it is time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

NEVER = 1 << 62


class Agenda:
    """The earliest that anything of what is leased can be due: 0 where that is not known, `NEVER` where nothing waits.

    What the server itself appends is noted; what others do to its entities makes it look again (`forget`), and so does
    a second that has passed, since what is told may be missed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.looked = 0
        """Counts how often everything was forgotten: what was asked before that is not noted after it."""
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
        """Note what the database said, unless something was forgotten since it was asked."""
        with self._lock:
            if looked == self.looked:
                for name, bound in bounds.items():
                    setattr(self, name, bound)

    def appended(self, rows: Mapping[str, Any]) -> None:
        """Note what a batch has added: the rows of its columns."""
        dues = [row[5] for row in rows["entities"] if row[5] is not None]
        dues += [row[2] for row in rows["wakes"]]
        with self._lock:
            self.due = min([self.due, *dues])
            for row in rows["orders"]:
                if row[8] != "waiting":
                    continue
                if row[2] == "send":
                    self.sends = min(self.sends, row[10])
                elif self.calls is not None:
                    self.calls[row[5]] = min(self.calls.get(row[5], NEVER), row[10])
            if rows["stirs"]:
                self.stirs = True
