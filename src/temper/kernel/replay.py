"""What a journal says its entities are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from temper.kernel.journal import Entry


@dataclass(slots=True)
class Folded:
    """An entity as its entries make it.

    `fields` are encoded. What waits (calls, timers, deferred ones) is not told here.
    """

    state: str
    version: int
    created_at: int
    updated_at: int
    fields: dict[str, Any] = field(default_factory=dict)


def replay(entries: Iterable[Entry]) -> dict[tuple[str, str], Folded]:
    """Return each entity that `entries`, in order, speak of. No table is asked: an entry says what it changed."""
    found: dict[tuple[str, str], Folded] = {}
    for entry in entries:
        if entry.refused is not None:
            continue
        now = found.get((entry.entity, entry.id))
        if now is None:
            now = found[entry.entity, entry.id] = Folded(entry.after, entry.version, entry.at, entry.at)
        assert entry.version == now.version + 1 or entry.version == now.version == 1, (
            f"an entry of {entry.entity}/{entry.id} is missing before seq {entry.seq}"
        )
        now.state, now.version, now.updated_at = entry.after, entry.version, entry.at
        for name in entry.was.keys() - entry.set.keys():
            del now.fields[name]
        now.fields.update(entry.set)
    return found
