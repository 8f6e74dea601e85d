"""One entity's steps where nobody else is there: `step`, and with it the creations that belong to the same commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from temper.table import Accepted, Event, Refused, Snapshot, Table, Value, commit, step


class _Nobody:
    """A world without other entities: no id, key or unique value is taken."""

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return None

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        return None

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        return None

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        return False

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        return ()


_NOBODY = _Nobody()


def step_alone(table: Table, now: Snapshot | None, event: Event) -> Accepted | Refused:
    """Return what an event does to an entity. An action whose creation is refused is refused with it (4)."""
    answer = step(table, now, event)
    if isinstance(answer, Refused) or not answer.creates:
        return answer
    whole = commit(table, now, event, _NOBODY, check_always=False)
    return whole if isinstance(whole, Refused) else whole.parts[0].accepted
