"""What a caller may see of a space: whom a list shows, and what a filter can read of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from msgspec.structs import replace

from temper.table import Act, Clause, Look, Snapshot, Table, why

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


def told(table: Table, now: Snapshot | None, event: Act, world: Look, sees: Sees | None) -> tuple[Clause, ...]:
    """Return the clauses that decide on an action, with those of their values that are the caller's to read.

    Whether they hold is so by all that there is, as it is when the action is taken.
    """
    clauses = why(table, now, event, world)
    if sees is None:
        return clauses
    theirs = {_which(each): each.values for each in why(table, now, event, seen(world, sees))}
    return tuple(
        replace(each, values=tuple(pair for pair in each.values if pair in theirs.get(_which(each), ())))
        for each in clauses
    )


def _which(clause: Clause) -> tuple[str, str, str | None, str]:
    return clause.kind, clause.site, clause.case, clause.text


def seen(world: Look, sees: Sees | None) -> Look:
    """Return what may be read where `sees` says of whom; `None` is of all."""
    return world if sees is None else SeenWorld(world, sees)
