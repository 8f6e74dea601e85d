"""What an append writes into a space's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import apsw
import msgspec

from temper.kernel import (
    KEYS_KEPT_MIN,
    KEYS_KEPT_MS,
    Batch,
    Change,
    Codec,
    Codecs,
    TableVersion,
    dump_caller,
    path_text,
)
from temper.runtime.chain import chained, is_mark
from temper.runtime.left import left_by, pair_of
from temper.runtime.ranks import Rank, Ranks, changed_kinds
from temper.runtime.sqlite.file import ROWS_AT_ONCE
from temper.runtime.sqlite.indexing import Labels
from temper.table import Snapshot, load, moving

_MARK = "insert into marks select row, ?, version, body from entities where row = ? and state <> ''"
_to_json = msgspec.json.Encoder().encode
_T = TypeVar("_T")


class Appending:
    """One batch on its way into the file, within a transaction. What it learns counts once that is committed."""

    def __init__(
        self,
        db: apsw.Connection,
        batch: Batch,
        codecs: Codecs,
        known: Mapping[tuple[str, str], int],
        last_seq: int,
        head: bytes,
        keys: int,
        ranks: Ranks,
        labels: Labels,
        body_of: Callable[[int, bytes], bytes],
    ) -> None:
        self._db = db
        self._batch = batch
        self._known = known
        self._codecs = codecs
        self.codec: Codec | None = None
        self.number = codecs.current
        self.rows: dict[tuple[str, str], int] = {}
        self.dues: list[int] = []
        self.last_seq = last_seq
        self.head = head
        self.keys = keys
        self.stale: Iterable[Rank] = ()
        self._ranks = ranks
        self._labels = labels
        self._body_of = body_of

    def write(self) -> None:
        for change in self._batch.changes:
            if change.version is not None:
                self._version(change.version, change.index)
        self._entities()
        log: list[tuple[int, int | None, bytes, bytes]] = []
        marked: dict[int, int] = {}
        seq, head = self.last_seq, self.head
        for change in self._batch.changes:
            for entry in change.entries:
                seq += 1
                if entry.seq:  # It was to be appended before.
                    msgspec.structs.force_setattr(entry, "seq", 0)
                row, body = self._row(entry.entity, entry.id), _to_json(entry)
                head = chained(head, body)
                log.append((seq, row, body, head))
                if row is not None and (is_mark(head) or row in marked):
                    marked[row] = seq
                msgspec.structs.force_setattr(entry, "seq", seq)
        for some in _pieces(log):
            self._db.execute(_log(len(some)), [*chain.from_iterable(some)])
        for row, at in marked.items():
            self._db.execute(_MARK, (at, row))
        self.last_seq, self.head = seq, head
        for change in self._batch.changes:
            self._outbox(change)
            if change.key is not None:
                self._key(change)

    @property
    def _now(self) -> Codec:
        return self.codec or self._codecs.of(self._codecs.current)

    def _version(self, version: TableVersion, index: str | None) -> None:
        old = None if self._codecs.current == 0 else self._now
        self._db.execute(
            "insert into versions values(?, ?, ?, ?, ?, ?, ?)",
            (version.number, version.digest, version.table, version.report, version.at, version.by, version.note),
        )
        self.codec = Codec(load(version.table))
        self.number = version.number
        if old is not None:
            self._step(old, self.codec, index)

    def _step(self, old: Codec, new: Codec, index: str | None) -> None:
        """Keep in mind whom another table makes others of, and have those found by its index whom it has one of."""
        step = moving(old.table, new.table, self.number - 1)
        self.stale = self._ranks.stale(changed_kinds(old.table, new.table, step.touched | step.asked))
        if step.touched or step.roused:
            self._db.execute("insert or replace into meta values('moved', 0)")
        if step.indexed:
            assert index is not None, "a table that has others found otherwise comes with its index"
            self._labels.put(index, step.indexed)

    def _entities(self) -> None:
        """Write each entity once, as the whole batch leaves it."""
        codec = self._now
        updates: list[tuple[str, bool, int | None, int, bytes, int]] = []
        for name, (after, due) in left_by(self._batch).items():
            row = self._row(*name)
            if due is not None:
                self.dues.append(due)
            if after is None:
                self._db.execute("update entities set due = ? where row = ?", (due, row))
            elif row is None:
                self._db.execute(
                    "insert into entities(kind, id, state, live, due, version, body) values(?, ?, ?, ?, ?, ?, ?)",
                    (*name, after.state, codec.is_live(after), due, self.number, codec.dump(after)),
                )
                row = self.rows[name] = self._db.last_insert_rowid()
                self._hold(after, row)
                self._ranks.put(after, row, new=True)
            else:
                updates.append((after.state, codec.is_live(after), due, self.number, codec.dump(after), row))
                self._hold_again(after, row)
                self._ranks.put(after, row, new=False)
        for some in _pieces(updates):
            self._db.execute(_update(len(some)), [*chain.from_iterable(some)])

    def _hold(self, now: Snapshot, row: int) -> None:
        codec, label = self._now, self._labels.of(now.entity)
        key = codec.key(now)
        if key is not None:
            self._db.execute("insert or ignore into keys values(?, ?, ?)", (label, key, row))
        for number, text in codec.uniques(now).items():
            # Two final ones may hold a value that a later table made `unique ever`: the first has it.
            self._db.execute("insert or ignore into holds values(?, ?, ?, ?)", (label, number, text, row))
        if codec.is_watched(now.entity):
            self._refer(now, row, codec.references(now))

    def _refer(self, now: Snapshot, row: int, references: Iterable[tuple[str, str]]) -> None:
        self._db.executemany(
            "insert into refs values(?, ?, ?, ?)",
            [(self._labels.of(now.entity), field, id, row) for field, id in sorted(references)],
        )

    def _hold_again(self, now: Snapshot, row: int) -> None:
        codec = self._now
        if codec.is_watched(now.entity):
            self._refer_again(now, row, codec.references(now))
        if not codec.table.entities[now.entity].uniques:
            return
        holds, label = codec.uniques(now), self._labels.of(now.entity)
        had: Any = self._db.execute(
            "select number, value from holds where row = ? and kind = ?", (row, label)
        ).fetchall()
        if holds == dict(had):
            return
        self._db.execute("delete from holds where row = ? and kind = ?", (row, label))
        for number, text in holds.items():
            self._db.execute("insert or ignore into holds values(?, ?, ?, ?)", (label, number, text, row))

    def _refer_again(self, now: Snapshot, row: int, references: frozenset[tuple[str, str]]) -> None:
        label = self._labels.of(now.entity)
        found: Any = self._db.execute(
            "select field, target from refs where row = ? and kind = ?", (row, label)
        ).fetchall()
        had = frozenset(found)
        self._db.executemany(
            "delete from refs where kind = ? and field = ? and target = ? and row = ?",
            [(label, field, id, row) for field, id in sorted(had - references)],
        )
        self._refer(now, row, references - had)

    def _row(self, entity: str, id: str) -> int | None:
        name = (entity, id)
        row = self.rows.get(name) or self._known.get(name)
        if row is None:
            row = self._db.execute("select row from entities where kind = ? and id = ?", name).get
            if row is not None:
                self.rows[name] = row
        return row

    def _outbox(self, change: Change) -> None:
        db = self._db
        for row in change.orders:
            send = row.send
            db.execute(
                "insert into orders(name, kind, entity, id, tool, args, send, version, state, attempts, next_at,"
                " created_at, lane, pair, unsure, last_error) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " on conflict(name) do update set state = excluded.state, attempts = excluded.attempts,"
                " next_at = excluded.next_at, unsure = excluded.unsure, last_error = excluded.last_error",
                (
                    row.order,
                    row.kind,
                    row.entity,
                    row.id,
                    row.tool,
                    _to_json(row.args),
                    None if send is None else self._now.dump_send(send),
                    self.number,
                    row.state.value,
                    row.attempts,
                    row.next_at,
                    row.created_at,
                    row.lane,
                    pair_of(row),
                    row.unsure,
                    row.last_error,
                ),
            )
        for order in change.ended_orders:
            db.execute("delete from orders where name = ?", (order,))
        for letter in change.letters:
            db.execute(
                "insert or replace into letters(name, entity, id, text, at) values(?, ?, ?, ?, ?)",
                (letter.order, letter.entity, letter.id, letter.text, letter.at),
            )
        for order in change.unlettered:
            db.execute("delete from letters where name = ?", (order,))
        if change.moved is not None and change.moved.row is None:
            db.execute("delete from meta where name = 'moved'")
        elif change.moved is not None:
            db.execute("insert or replace into meta values('moved', ?)", (change.moved.row,))
        for stir in change.unstirred:
            db.execute(
                "delete from stirs where owner = ? and kind = ? and id = ? and path = ?",
                (stir.owner, stir.entity, stir.id, path_text(stir.path)),
            )
        for stir in change.stirs:
            db.execute(
                "insert or replace into stirs(owner, kind, id, path, caller, after) values(?, ?, ?, ?, ?, ?)",
                (stir.owner, stir.entity, stir.id, path_text(stir.path), dump_caller(stir.caller), stir.after),
            )

    def _key(self, change: Change) -> None:
        assert change.key is not None, "only those with a key come here"
        name, fingerprint = change.key
        entry = change.entries[0]
        kept: tuple[Any, ...] = (None, None, None, None)
        if change.snapshots:
            after = change.snapshots[0]
            kept = (after.entity, after.id, self.number, self._now.dump(after))
        else:
            found: Any = self._db.execute(
                "select kind, id, version, row, body from entities where kind = ? and id = ?", (entry.entity, entry.id)
            ).fetchone()
            if found is not None:
                kept = (*found[:3], self._body_of(*found[3:]))
        self._db.execute(
            "insert or replace into requests(name, fingerprint, seq, at, kind, id, version, body)"
            " values(?, ?, ?, ?, ?, ?, ?, ?)",
            (name, fingerprint, entry.seq, entry.at, *kept),
        )
        self.keys += 1
        # Each append forgets one more than it adds.
        if self.keys > KEYS_KEPT_MIN:
            self._db.execute(
                "delete from requests where row in (select row from requests order by row limit 2) and at < ?",
                (entry.at - KEYS_KEPT_MS,),
            )
            self.keys -= self._db.changes()


def _pieces(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield the rows in as few pieces as have a statement each."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


@cache
def _log(rows: int) -> str:
    """Return the statement that writes so many entries."""
    return "insert into log values " + ", ".join(["(?, ?, ?, ?)"] * rows)  # noqa: S608 - no value is in it


@cache
def _update(rows: int) -> str:
    """Return the statement that rewrites so many entities."""
    if rows == 1:
        return "update entities set state = ?, live = ?, due = ?, version = ?, body = ? where row = ?"
    given = ", ".join(["(?, ?, ?, ?, ?, ?)"] * rows)
    return (
        "update entities set state = column1, live = column2, due = column3, version = column4, body = column5"  # noqa: S608 - no value is in it
        f" from (values {given}) where row = column6"
    )
