"""What a caller may see of a space: whom a list shows, and what a filter can read of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from temper.table import Look, Snapshot

Sees: TypeAlias = Callable[[Snapshot], bool]
"""Says whether the caller may see an entity."""


@dataclass(frozen=True, slots=True)
class SeenWorld:
    """What an expression may read where a caller has written it: others whom the caller may not see are not there.

    Else a filter would tell, one guess after another, what a list does not show.
    """

    whole: Look
    sees: Sees

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        """Return an entity, if the caller may see it."""
        now = self.whole.snapshot(entity, id)
        return now if now is not None and self.sees(now) else None

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        """Return those of the referrers whom the caller may see."""
        found = self.whole.referrers(entity, field, id, limit)
        return [each for each in found if self.snapshot(entity, each) is not None]


def seen(world: Look, sees: Sees | None) -> Look:
    """Return what may be read where `sees` says of whom; `None` is of all."""
    return world if sees is None else SeenWorld(world, sees)
