"""A space in memory: for tests and for the simulator. It keeps what any store keeps, encoded as any store does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from temper.kernel.indexing import MemoryIndex
from temper.kernel.journal import Entry
from temper.kernel.ports import (
    KEYS_KEPT_MIN,
    KEYS_KEPT_MS,
    Answered,
    Batch,
    Change,
    Letter,
    Order,
    OrderRow,
    OrderState,
    Page,
    Place,
    ReadSet,
    Stale,
    Stir,
    TableVersion,
    Unmoved,
    Upto,
)
from temper.kernel.stored import Codec, Codecs, Kept
from temper.table import Path, Snapshot, Table, Value, load, moving, next_due

_entry_to_json = msgspec.json.Encoder().encode
_entry_from_json = msgspec.json.Decoder(Entry).decode


@dataclass(slots=True)
class _Row:
    number: int
    entity: str
    id: str
    state: str
    live: bool
    due: int | None
    version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Key:
    at: int
    fingerprint: str
    seq: int
    entity: tuple[str, str]
    version: int
    body: bytes | None


class MemoryStore:
    """Keeps a space for as long as the process lives; see `temper.kernel.Store`.

    Reads take time by the number of entities. With `shared`, several hosts may write to it.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.shared = shared
        self._log: list[bytes] = []
        self._rows: dict[tuple[str, str], _Row] = {}
        self._seqs: dict[tuple[str, str], list[int]] = {}
        self._held: dict[tuple[str, int, str], str] = {}
        self._holds: dict[tuple[str, str], dict[int, str]] = {}
        self._by_key: dict[tuple[str, str], str] = {}
        self._refers: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
        self._referrers: dict[tuple[str, str, str], set[str]] = {}
        self._stirs: dict[tuple[str, str, str, Path], Stir] = {}
        self._orders: dict[str, tuple[OrderRow, int, bytes | None]] = {}
        self._keys: dict[str, _Key] = {}
        self._letters: dict[str, Letter] = {}
        self._versions: list[TableVersion] = []
        self._moved: int | None = None
        self._codecs = Codecs(self._table, self._pushed)

    # --- entities ---

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        row = self._rows.get((entity, id))
        return None if row is None else self._decoded(row)

    def kept(self, entity: str, id: str) -> Kept | None:
        row = self._rows.get((entity, id))
        return None if row is None else self._codecs.kept(row.version, row.entity, row.id, row.body)

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        return self._by_key.get((entity, self._codec.key_text(entity, values)))

    def holder(self, entity: str, unique: int, values: Sequence[Value]) -> str | None:
        return self._held.get((entity, unique, self._codec.unique_text(entity, unique, values)))

    def referrers(
        self, entity: str, field: str, id: str, *, after: int = 0, limit: int
    ) -> tuple[Sequence[str], int | None]:
        found = [(self._rows[entity, one].number, one) for one in self._referrers.get((entity, field, id), ())]
        later = sorted(row for row in found if row[0] > after)
        page = later[:limit]
        return [one for _, one in page], page[-1][0] if len(later) > len(page) else None

    def stirs(self, limit: int) -> Sequence[Stir]:
        return list(self._stirs.values())[:limit]

    def live(self) -> Iterator[Snapshot]:
        return (self._decoded(row) for row in list(self._rows.values()) if row.live)

    def living(
        self, asked: Collection[tuple[str, str]], *, after: int, limit: int
    ) -> tuple[Sequence[Snapshot], int | None]:
        rows = self._from(after)
        page = rows[:limit]
        found = [
            self._decoded(row)
            for row in page
            if row.live and (row.entity, self._codecs.state(row.version, row.entity, row.state)) in asked
        ]
        return found, page[-1].number if len(rows) > limit else None

    def all_of(
        self, kinds: Collection[str], *, after: int, limit: int
    ) -> tuple[Sequence[tuple[int, Snapshot]], int | None]:
        rows = [row for row in self._from(after) if row.entity in kinds]
        page = rows[:limit]
        return [(row.number, self._decoded(row)) for row in page], page[-1].number if len(rows) > limit else None

    def row(self, entity: str, id: str) -> int | None:
        row = self._rows.get((entity, id))
        return None if row is None else row.number

    def indexing(self, kinds: Collection[str], *, lasting: bool) -> MemoryIndex:
        return MemoryIndex()

    def tidy(self) -> bool:
        return False

    def moving(self) -> bool:
        return self._moved is not None

    def unmoved(self, limit: int) -> Unmoved | None:
        if self._moved is None:
            return None
        kept: list[Kept] = []
        looking: list[tuple[str, str]] = []
        for row in self._from(self._moved):
            if len(kept) + len(looking) == limit:
                return Unmoved(tuple(kept), tuple(looking), Upto(row.number - 1))
            if not row.live:
                continue
            if self._codecs.is_behind(row.version, row.entity, row.state):
                kept.append(self._codecs.kept(row.version, row.entity, row.id, row.body))
            elif self._codecs.is_to_look(row.version, row.entity, row.state):
                looking.append((row.entity, row.id))
        return Unmoved(tuple(kept), tuple(looking), Upto(None))

    def _from(self, after: int) -> list[_Row]:
        return sorted((row for row in self._rows.values() if row.number > after), key=lambda row: row.number)

    def list(
        self,
        entity: str,
        *,
        states: Sequence[str] = (),
        after: str | None = None,
        limit: int,
        order: Order = Order.OLDEST,
    ) -> Page:
        once = self._codecs.once(entity, states) if states and self.moving() else states
        rows = [row for row in self._rows.values() if row.entity == entity and (not states or row.state in once)]
        rows.sort(key=lambda row: row.number, reverse=order is Order.NEWEST)
        if after is not None:
            place = int(after)
            rows = [row for row in rows if (row.number < place if order is Order.NEWEST else row.number > place)]
        page = rows[:limit]
        more = len(rows) > limit
        items = tuple(self._decoded(row) for row in page)
        if once is not states:
            items = tuple(now for now in items if now.state in states)
        return Page(items, str(page[-1].number) if more and page else None)

    def count(self, entity: str, *, states: Sequence[str] = ()) -> int:
        return sum(row.entity == entity and (not states or row.state in states) for row in self._rows.values())

    def counts(self) -> Mapping[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for row in self._rows.values():
            found[row.entity, row.state] = found.get((row.entity, row.state), 0) + 1
        return dict(sorted(found.items()))

    # --- what waits ---

    def due(self, at: int, limit: int) -> Sequence[tuple[str, str]]:
        rows = [row for row in self._rows.values() if row.due is not None and row.due <= at]
        rows.sort(key=lambda row: (row.due, row.number))
        return [(row.entity, row.id) for row in rows[:limit]]

    def next_due(self) -> int | None:
        return min((row.due for row in self._rows.values() if row.due is not None), default=None)

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        first: dict[tuple[str, str, str, str], OrderRow] = {}
        for row in self._waiting("send"):
            assert row.send is not None, "a send's row has its send"
            lane = (row.entity, row.id, row.send.entity, row.send.entity_id)
            if lane not in first or row.lane < first[lane].lane:
                first[lane] = row
        return [row for row in first.values() if row.next_at <= at][:limit]

    def calls(self, at: int, tool: str, limit: int) -> Sequence[OrderRow]:
        rows = [row for row in self._waiting("call") if row.tool == tool and row.next_at <= at]
        return sorted(rows, key=lambda row: row.next_at)[:limit]

    def next_order(self, but_not: Sequence[str]) -> int | None:
        waiting = [*self._waiting("send"), *(row for row in self._waiting("call") if row.tool not in but_not)]
        return min((row.next_at for row in waiting), default=None)

    def order(self, order: str) -> OrderRow | None:
        found = self._orders.get(order)
        return None if found is None else self._order(*found)

    def orders_of(self, entity: str, id: str) -> Sequence[OrderRow]:
        return [self._order(*kept) for kept in self._orders.values() if (kept[0].entity, kept[0].id) == (entity, id)]

    def started(self) -> Sequence[OrderRow]:
        return [self._order(*kept) for kept in self._orders.values() if kept[0].state is OrderState.STARTED]

    # --- the journal ---

    def answered(self, key: str) -> Answered | None:
        kept = self._keys.get(key)
        if kept is None:
            return None
        now = None if kept.body is None else self._codecs.of(kept.version).load(*kept.entity, kept.body)
        return Answered(kept.fingerprint, self._entry(kept.seq), now)

    def history(self, entity: str, id: str, *, after: int = 0, limit: int) -> Sequence[Entry]:
        seqs = [seq for seq in self._seqs.get((entity, id), ()) if seq > after]
        return [self._entry(seq) for seq in seqs[:limit]]

    def landmark(self, entity: str, id: str, *, until: int) -> tuple[int, bytes] | None:
        return None  # All is in memory: folding it is as quick.

    def entries(self, after: int, limit: int) -> Sequence[Entry]:
        return [self._entry(seq) for seq in range(after + 1, min(after + limit, len(self._log)) + 1)]

    def last_seq(self) -> int:
        return len(self._log)

    def place(self) -> Place:
        return (len(self._log),)

    def changed(self, since: Place, limit: int) -> tuple[Sequence[tuple[str, str]], Place]:
        found = self.entries(since[0], limit)
        return [(entry.entity, entry.id) for entry in found], (since[0] + len(found),)

    def letters(self, *, after: str | None = None, limit: int) -> Sequence[Letter]:
        names = list(self._letters)
        start = names.index(after) + 1 if after in self._letters else 0
        return [self._letters[name] for name in names[start : start + limit]]

    def letter(self, order: str) -> Letter | None:
        return self._letters.get(order)

    def current(self) -> TableVersion | None:
        return self._versions[-1] if self._versions else None

    def versions(self) -> Sequence[TableVersion]:
        return list(self._versions)

    # --- appending ---

    def append(self, batch: Batch) -> int:
        self._must_rest_on(batch)
        for change in batch.changes:
            self._apply(change)
        return len(self._log)

    def _must_rest_on(self, batch: Batch) -> None:
        """Look whether what was read is still so, as a store has to that others write to."""
        changed: list[tuple[str, str]] = []
        for read in batch.reads:
            if isinstance(read, ReadSet):
                found, _ = self.referrers(read.entity, read.field, read.id, limit=read.limit)
                if tuple(found) != read.found:
                    raise Stale(f"those whose `{read.field}` is `{read.id}` have changed")
                continue
            kept = self.kept(read.entity, read.id)
            if (None if kept is None else kept.version) != read.version:
                changed.append((read.entity, read.id))
        if changed:
            raise Stale("what it reads has changed", changed)

    def _apply(self, change: Change) -> None:
        if change.version is not None:
            assert change.version.number == len(self._versions) + 1, "versions are counted from 1"
            self._install(change.version)
        for now in change.snapshots:
            self._save(now)
        first = len(self._log) + 1
        for entry in change.entries:
            msgspec.structs.force_setattr(entry, "seq", len(self._log) + 1)
            self._log.append(_entry_to_json(entry))
            if (entry.entity, entry.id) in self._rows:
                self._seqs.setdefault((entry.entity, entry.id), []).append(entry.seq)
        if change.moved is not None:
            self._moved = change.moved.row
        for row in change.orders:
            send = None if row.send is None else self._codec.dump_send(row.send)
            self._orders[row.order] = (replace(row, send=None), self._codecs.current, send)
        for order in change.ended_orders:
            self._orders.pop(order, None)
        for letter in change.letters:
            self._letters[letter.order] = letter
        for order in change.unlettered:
            self._letters.pop(order, None)
        for stir in change.unstirred:
            self._stirs.pop(_name(stir), None)
        for stir in change.stirs:
            self._stirs.pop(_name(stir), None)
            self._stirs[_name(stir)] = stir
        for wake in change.wakes:
            self._rows[wake.entity, wake.id].due = wake.at
        if change.key is not None:
            self._keep_key(change.key, change.entries[0], first)

    def _save(self, now: Snapshot) -> None:
        name = (now.entity, now.id)
        was = self._rows.get(name)
        number = len(self._rows) + 1 if was is None else was.number
        live = self._codec.is_live(now)
        self._rows[name] = _Row(
            number, *name, now.state, live, next_due(now), self._codecs.current, self._codec.dump(now)
        )
        self._index(now)

    def _index(self, now: Snapshot) -> None:
        name = (now.entity, now.id)
        for unique, text in self._holds.pop(name, {}).items():
            if self._held.get((now.entity, unique, text)) == now.id:
                del self._held[now.entity, unique, text]
        self._holds[name] = self._codec.uniques(now)
        for unique, text in self._holds[name].items():
            # Two final ones may hold a value that a later table made `unique ever`: the first has it.
            self._held.setdefault((now.entity, unique, text), now.id)
        key = self._codec.key(now)
        if key is not None:
            self._by_key.setdefault((now.entity, key), now.id)
        if self._codec.is_watched(now.entity):
            self._unrefer(name)
            self._refers[name] = self._codec.references(now)
            for field, id in self._refers[name]:
                self._referrers.setdefault((now.entity, field, id), set()).add(now.id)

    def _unrefer(self, name: tuple[str, str]) -> None:
        for field, id in self._refers.pop(name, ()):
            self._referrers[name[0], field, id].discard(name[1])

    def _install(self, version: TableVersion) -> None:
        """Put a version in force; index all entities of the kinds whose `key` or `unique`s it changes."""
        old = self._codec if self._versions else None
        new = Codec(load(version.table))
        step = None if old is None else moving(old.table, new.table, version.number - 1)
        kinds = frozenset() if step is None else step.indexed
        if step is not None and (step.touched or step.roused):
            self._moved = 0
        again = [
            new.carried(old, self._decoded(row), from_version=version.number - 1)
            for row in self._rows.values()
            if old is not None and row.entity in kinds
        ]
        self._versions.append(version)
        self._codecs.put(version.number, new)
        self._held = {held: id for held, id in self._held.items() if held[0] not in kinds}
        self._holds = {name: holds for name, holds in self._holds.items() if name[0] not in kinds}
        self._by_key = {key: id for key, id in self._by_key.items() if key[0] not in kinds}
        for name in [name for name in self._refers if name[0] in kinds]:
            self._unrefer(name)
        for now in again:
            if isinstance(now, Snapshot):
                self._index(now)

    def _keep_key(self, key: tuple[str, str], entry: Entry, seq: int) -> None:
        row = self._rows.get((entry.entity, entry.id))
        kept = _Key(
            entry.at,
            key[1],
            seq,
            (entry.entity, entry.id),
            row.version if row else 0,
            row.body if row else None,
        )
        self._keys[key[0]] = kept
        while len(self._keys) > KEYS_KEPT_MIN and next(iter(self._keys.values())).at < entry.at - KEYS_KEPT_MS:
            del self._keys[next(iter(self._keys))]

    # --- private ---

    def _table(self, number: int) -> Table:
        return load(self._versions[number - 1].table)

    def _pushed(self, number: int) -> tuple[int, str]:
        version = self._versions[number - 1]
        return version.at, version.by

    @property
    def _codec(self) -> Codec:
        return self._codecs.of(self._codecs.current)

    def _decoded(self, row: _Row) -> Snapshot:
        return self._codecs.load(row.version, row.entity, row.id, row.body)

    def _entry(self, seq: int) -> Entry:
        return _entry_from_json(self._log[seq - 1])

    def _waiting(self, kind: str) -> Sequence[OrderRow]:
        return [
            self._order(*kept)
            for kept in self._orders.values()
            if kept[0].kind == kind and kept[0].state is OrderState.WAITING
        ]

    def _order(self, row: OrderRow, version: int, send: bytes | None) -> OrderRow:
        return row if send is None else replace(row, send=self._codecs.of(version).load_send(row.order, send))


def _name(stir: Stir) -> tuple[str, str, str, Path]:
    return stir.owner, stir.entity, stir.id, stir.path
