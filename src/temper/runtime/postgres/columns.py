"""A batch as the columns that the function `append` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from temper.kernel import Batch, Cause, Change, Codec, Entry, Read, ReadSet, Stir, StoreFault, dump_caller, path_text
from temper.runtime.chain import chained, is_mark
from temper.runtime.left import left_by, pair_of
from temper.table import Snapshot

_to_json = msgspec.json.Encoder().encode


class Lost(StoreFault):
    """Another server has leased the partition: whoever asks goes there."""

    def __init__(self, part: int) -> None:
        super().__init__(f"another server has taken over partition {part}: ask again")
        self.part = part


# One column each, in the order of the function's parameters.
_ROWS: Mapping[str, int] = {
    "parts": 7,
    "reads": 3,
    "sets": 5,
    "entities": 9,
    "wakes": 3,
    "log": 7,
    "marks": 3,
    "holds": 5,
    "keys": 3,
    "refs": 4,
    "referring": 2,
    "orders": 16,
    "ended": 1,
    "unlettered": 1,
    "letters": 5,
    "requests": 7,
    "unstirred": 4,
    "stirs": 7,
}


Name = tuple[str, str]
"""An entity and its id."""
End = tuple[int, bytes]
"""The number and the hash of a partition's last entry."""


@dataclass
class Columns:
    """What one batch does, and where its entries go."""

    codec: Codec
    part: Callable[[str, str], int]
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {name: [] for name in _ROWS})
    counts: dict[int, int] = field(default_factory=dict)
    """The partitions that are written, and how many entries each gets."""
    seen: set[int] = field(default_factory=set)
    """Those that are only read."""
    places: list[tuple[Entry, int, int, bytes]] = field(default_factory=list)
    """Each entry with its partition, its place among what the partition gets, and as it is kept."""
    ends: dict[int, End] = field(default_factory=dict)
    """Where the log of each partition that is written ends after it."""
    kept: dict[str, dict[tuple[Any, ...], tuple[Any, ...] | None]] = field(
        default_factory=lambda: {"orders": {}, "letters": {}, "stirs": {}}
    )
    """What the whole batch leaves of each, by name; `None` for what goes."""
    deciding: set[int] = field(default_factory=set)
    """The partitions that it decides for."""
    dues: list[int] = field(default_factory=list)
    """When its entities are due."""

    def of(self, batch: Batch, versions: Callable[[Sequence[Name]], Mapping[Name, int]]) -> Columns:
        """Take all of a batch in. `versions` says which version those are at that it writes and has not read."""
        for change in batch.changes:
            self._deciding(change)
        last = left_by(batch)
        befores = {(one.entity, one.id): one.version or 0 for one in batch.reads if isinstance(one, Read)}
        unread = [name for name, (after, _) in last.items() if after is not None and name not in befores]
        if unread:
            befores.update(versions(unread))
        for (kind, id), (after, due) in last.items():
            self._written(kind, id)
            if due is not None:
                self.dues.append(due)
            if after is None:
                self.rows["wakes"].append((kind, id, due))
            else:
                self._entity(after, due, befores.get((kind, id), 0))
        for change in batch.changes:
            first = len(self.places)
            for entry in change.entries:
                self._entry(entry)
            self._outbox(change)
            if change.key is not None:
                self._request(change.key, change, self.places[first:])
        for kind, kept in self.kept.items():
            self.rows[kind] = [row for row in kept.values() if row is not None]
        for kind, gone in (("orders", "ended"), ("letters", "unlettered"), ("stirs", "unstirred")):
            self.rows[gone] = [name for name, row in self.kept[kind].items() if row is None]
        # Of whom it writes, that is seen with the writing.
        written = {name for name, (after, _) in last.items() if after is not None}
        self._read(read for read in batch.reads if isinstance(read, ReadSet) or (read.entity, read.id) not in written)
        return self

    def arrays(self, epochs: Mapping[int, int], ends: Mapping[int, End]) -> Sequence[list[Any]]:
        """Return the columns, by the epochs of what is leased, and by where the logs that it writes to end before it.

        Raises `StoreFault` where something else is decided.
        """
        missing = self.deciding - epochs.keys()
        if missing:
            raise Lost(min(missing))
        self._chain(ends)
        self.rows["parts"] = [
            (part, True, epochs.get(part), *ends[part], *self.ends[part])
            if part in self.counts
            else (part, False, None, None, None, None, None)
            for part in sorted(self.counts.keys() | self.seen)
        ]
        return [list(column) for name, width in _ROWS.items() for column in _turned(self.rows[name], width)]

    def _chain(self, ends: Mapping[int, End]) -> None:
        """Give each entry its number and its hash."""
        written = {(row[0], row[1]) for row in self.rows["entities"]}
        log: list[tuple[Any, ...]] = []
        marks: dict[tuple[str, str], int] = {}
        now = {part: ends[part] for part in self.counts}
        for entry, part, _, body in self.places:
            seq, head = now[part]
            now[part] = seq, head = seq + 1, chained(head, body)
            name = (entry.entity, entry.id)
            log.append((part, seq, *name, name in written, body, head))
            if is_mark(head) or name in marks:
                marks[name] = seq
        self.ends = now
        self.rows["log"] = log
        self.rows["marks"] = [(*name, seq) for name, seq in marks.items()]

    # --- pieces ---

    def _deciding(self, change: Change) -> None:
        """Whoever decides for an entity has its partition leased; what is taken along may be another's.

        Whoever puts a version in force, alone with the space, decides for all.
        """
        if change.version is not None:
            return
        if change.entries and change.entries[0].cause is Cause.SWAP:
            # What another table has made of an entity is nobody's decision.
            self._written(change.entries[0].entity, change.entries[0].id)
            return
        if change.entries:
            main = change.entries[0]
            # What an operator does about a send is told in its sender's history, and decided where it is carried out.
            if main.operated is None:
                self.deciding.add(self._written(main.entity, main.id))
                return
            if main.operated.receiver is not None:
                self.deciding.add(self._written(*main.operated.receiver))
        for row in change.orders:
            part = self._order_part(row.entity, row.id, row.send)
            self.counts.setdefault(part, 0)
            self.deciding.add(part)

    def _written(self, entity: str, id: str) -> int:
        part = self.part(entity, id)
        self.counts.setdefault(part, 0)
        return part

    def _entity(self, after: Snapshot, due: int | None, before: int) -> None:
        codec, name = self.codec, (after.entity, after.id)
        live = codec.is_live(after)
        self.rows["entities"].append(
            (*name, self.part(*name), after.state, live, due, before, after.version, codec.dump(after))
        )
        key = codec.key(after)
        if key is not None:
            self.rows["keys"].append((after.entity, key, after.id))
        if codec.table.entities[after.entity].uniques:
            holds = codec.uniques(after)
            for number, text in holds.items():
                self.rows["holds"].append((*name, number, text, live))
            if not holds:
                self.rows["holds"].append((*name, 0, None, False))
        if codec.is_watched(after.entity):
            self.rows["referring"].append(name)
            for field_name, target in sorted(codec.references(after)):
                self._written(f"{after.entity}.{field_name}", target)
                self.rows["refs"].append((*name, field_name, target))

    def _entry(self, entry: Entry) -> None:
        part = self._written(entry.entity, entry.id)
        self.counts[part] += 1
        msgspec.structs.force_setattr(entry, "seq", 0)
        self.places.append((entry, part, self.counts[part], _to_json(entry)))

    def _order_part(self, entity: str, id: str, send: Any) -> int:
        # A send is carried out by whoever decides for its target.
        return self.part(entity, id) if send is None else self.part(send.entity, send.entity_id)

    def _outbox(self, change: Change) -> None:
        orders, letters, stirs = self.kept["orders"], self.kept["letters"], self.kept["stirs"]
        for row in change.orders:
            send = row.send
            orders[row.order,] = (
                row.order, self._order_part(row.entity, row.id, send), row.kind, row.entity, row.id, row.tool,
                _to_json(row.args), None if send is None else self.codec.dump_send(send), row.state.value,
                row.attempts, row.next_at, row.created_at, row.lane, pair_of(row), row.unsure, row.last_error,
            )  # fmt: skip
        for order in change.ended_orders:
            orders[order,] = None
        for letter in change.letters:
            letters[letter.order,] = (letter.order, letter.entity, letter.id, letter.text, letter.at)
        for order in change.unlettered:
            letters[order,] = None
        for stir in change.unstirred:
            stirs[_name(stir)] = None
        for stir in change.stirs:
            stirs.pop(_name(stir), None)  # The later one stands at the end.
            stirs[_name(stir)] = (
                self.part(stir.entity, stir.id), *_name(stir), dump_caller(stir.caller), stir.after,
            )  # fmt: skip

    def _request(self, key: tuple[str, str], change: Change, places: Sequence[tuple[Entry, int, int, bytes]]) -> None:
        name, fingerprint = key
        entry = change.entries[0]
        body = self.codec.dump(change.snapshots[0]) if change.snapshots else None
        parts = "{" + ",".join(str(part) for _, part, _, _ in places) + "}"
        nths = "{" + ",".join(str(nth) for _, _, nth, _ in places) + "}"
        self.rows["requests"].append((name, fingerprint, parts, nths, entry.entity, entry.id, body))

    def _read(self, reads: Iterable[Read | ReadSet]) -> None:
        for read in reads:
            if isinstance(read, ReadSet):
                # Whoever comes to refer to it locks this, too; whoever no longer does is one of them.
                self.seen.add(self.part(f"{read.entity}.{read.field}", read.id))
                self.seen.update(self.part(read.entity, one) for one in read.found)
                self.rows["sets"].append(
                    (read.entity, read.field, read.id, read.limit, _to_json(list(read.found)).decode())
                )
            else:
                self.seen.add(self.part(read.entity, read.id))
                self.rows["reads"].append((read.entity, read.id, read.version))


def _turned(rows: Sequence[tuple[Any, ...]], width: int) -> Iterable[Sequence[Any]]:
    return zip(*rows, strict=True) if rows else ((),) * width


def _name(stir: Stir) -> tuple[str, str, str, str]:
    return stir.owner, stir.entity, stir.id, path_text(stir.path)
