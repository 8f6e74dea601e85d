"""What runs while an entity is in a state, and when a timer is due that is armed as the entity is then."""

from __future__ import annotations

from collections.abc import Iterator

from temper.table.evaluate import compile_expr, entity_names, frame_of
from temper.table.events import Caller, Snapshot
from temper.table.expr import Absent
from temper.table.table import Place, Table, Timer


def places_in(table: Table, entity: str, state: str) -> Iterator[Place]:
    """Yield the places of a state: its own, and those of its groups."""
    return (place for place in table.entities[entity].places if state in place.states)


def wait_of(table: Table, timer: Timer, now: Snapshot, at: int, caller: Caller) -> int | None:
    """Return how long an `after` or `every` waits that is armed by `now` at that time; `None` where others decide."""
    assert timer.duration is not None, "an `at` waits for its field"
    try:
        wait = compile_expr(timer.duration, entity_names(table, now.entity))(frame_of(now, at, caller))
    except (Absent, ZeroDivisionError, KeyError):
        return None
    assert isinstance(wait, int), "a duration counts milliseconds"
    return max(wait, 0)
