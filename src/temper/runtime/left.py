"""What a batch leaves, for stores that write each entity once."""

from __future__ import annotations

from collections.abc import Mapping

from temper.kernel import Batch, OrderRow
from temper.table import Snapshot, next_due

Left = tuple[Snapshot | None, int | None]
"""An entity, and when it is due; without the entity where no more changes than that."""


def left_by(batch: Batch) -> Mapping[tuple[str, str], Left]:
    """Return each entity as the whole batch leaves it, in the order in which they come up first."""
    last: dict[tuple[str, str], Left] = {}
    for change in batch.changes:
        for now in change.snapshots:
            last[now.entity, now.id] = (now, next_due(now))
        for wake in change.wakes:
            name = (wake.entity, wake.id)
            last[name] = (last[name][0] if name in last else None, wake.at)
    return last


def pair_of(row: OrderRow) -> str | None:
    """Return who sends and who is sent to, as one text; `None` for a call."""
    send = row.send
    return None if send is None else f"{row.entity}/{row.id}>{send.entity}/{send.entity_id}"


def target_of(pair: str) -> tuple[str, str]:
    """Return who is sent to, of a text that `pair_of` made."""
    kind, _, id = pair.partition(">")[2].partition("/")
    return kind, id
