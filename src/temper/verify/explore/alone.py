"""One entity's steps where nobody else is there: its own share of a commit, and the creations that belong to it.

Whether others who are taken along (`with`) would refuse is not known here: it is taken that they don't, so that no step
of the real thing is missing. A run with such a step shows nothing for certain (`rests`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from temper.table import Accepted, Act, Deliver, Event, Refused, Snapshot, Table, Value, commit, step


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
    """Return what an event does to an entity. An action whose creation is refused is refused with it (4).

    One that takes others along as well is not: there is nobody here to ask.
    """
    answer = step(table, now, event)
    if isinstance(answer, Refused) or not answer.creates or answer.joins:
        return answer
    whole = commit(table, now, event, _NOBODY, check_always=False)
    return whole if isinstance(whole, Refused) else whole.parts[0].accepted


def rests(event: Event, answer: Accepted | Refused | None) -> bool:
    """Say whether a step depends on others: it is theirs (they send, create, or take along), or takes them along."""
    theirs = isinstance(event, Deliver) or (isinstance(event, Act) and event.by_system)
    return theirs or (isinstance(answer, Accepted) and bool(answer.joins))
