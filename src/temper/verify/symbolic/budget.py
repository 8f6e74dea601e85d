"""How much the solver may do in all, in its own units of work: the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Budget:
    """What one question may cost, and what is left for all of them; `None` is no end."""

    rlimit: int
    left: int | None

    @property
    def spent(self) -> bool:
        """Return whether nothing is left."""
        return self.left is not None and self.left <= 0

    @property
    def one(self) -> int:
        """Return what the next question may cost."""
        return self.rlimit if self.left is None else max(1, min(self.rlimit, self.left))

    def spend(self, units: int) -> None:
        """Take off what a question has cost."""
        if self.left is not None:
            self.left -= units
