"""How much each principal holds open at once: whoever asks for all there is leaves places for others."""

from __future__ import annotations

from typing import Final

from temper.service import Person
from temper.web.problems import decline

_RETRY_MS: Final = 1_000


class Places:
    """Counts what each person behind has open of one kind, their agents counted with them; `most` each.

    0 is no bound.
    """

    __slots__ = ("_help", "_most", "_open", "_what")

    def __init__(self, most: int, what: str, help: str) -> None:
        self._most = most
        self._what = what
        self._help = help
        self._open: dict[str, int] = {}

    def take(self, person: Person) -> str:
        """Count one more, and return whom it is to be given back for. One too many is declined, and not counted.

        Administrators are counted and not declined: somebody has to get in to see to whoever holds that much.
        """
        name = person.behind
        now = self._open.get(name, 0)
        if 0 < self._most <= now and not person.admin:
            decline(
                "too-many",
                429,
                f"`{name[:80]}` has as many {self._what} open as a principal may",
                detail=f"{self._most} at once, its agents counted with it",
                help=self._help,
                retry_after_ms=_RETRY_MS,
            )
        self._open[name] = now + 1
        return name

    def give_back(self, name: str) -> None:
        """Count one less for whom `take` has returned."""
        left = self._open[name] - 1
        if left:
            self._open[name] = left
        else:
            # Else everybody who ever asked would stay in memory.
            del self._open[name]
