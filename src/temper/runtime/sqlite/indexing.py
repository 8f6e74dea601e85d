"""What entities of a file are found by, under labels: of a kind, one is in force, and others are being made or dropped.

`keys`, `holds` and `refs` say labels in their column `kind`. That in force is the kind's own name, until a swap puts
another in its place that was made beside it; what had the old one is dropped then, a piece at a time.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from temper.kernel import KEY, Clash, Index, Indexed, StoreFault
from temper.runtime.sqlite.schema import FORMAT_LABELLED, HELD, RAISE_FORMAT, REFERRED

# Rows that are dropped at once: a few milliseconds between two appends.
PIECE = 1_000

# `keyed` has whose `key` is which, for as long as an index is being made: whoever changes is put there anew.
SCHEMA = """
create table if not exists labels(label text primary key, kind text not null, state text not null) without rowid;
create table if not exists keyed(
  label text not null, row integer not null, value text not null, primary key(label, row)
) without rowid;
"""
_DROPPED = tuple(
    f"delete from {table} where ({key}) in (select {key} from {table} where {label} = ?1 limit ?2)"  # noqa: S608 - all of it is ours
    for table, label, key in (
        ("holds", "kind", "kind, number, value"),
        ("keys", "kind", "kind, value"),
        ("refs", "kind", "kind, field, target, row"),
        ("keyed", "label", "label, row"),
    )
)

Fault = Callable[[apsw.Error], StoreFault]


class Labels:
    """The labels of one file. All but `of` is for the thread that appends."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        # Nobody goes on with what was being made when the process ended.
        db.execute("update labels set state = 'dropped' where state = 'made'")
        found: Any = db.execute("select kind, label from labels where state = 'in force'").fetchall()
        self._in_force: Mapping[str, str] = dict(found)
        self._next = self._in_force

    def of(self, kind: str) -> str:
        """Return the label in force of a kind."""
        return self._in_force.get(kind, kind)

    def put(self, index: str, kinds: Collection[str]) -> None:
        """Put an index of these kinds in force, within a transaction; all others that are being made are in vain."""
        db = self._db
        db.execute(RAISE_FORMAT, (FORMAT_LABELLED,))
        for kind in sorted(kinds):
            db.execute("update labels set state = 'dropped' where kind = ? and state = 'in force'", (kind,))
            db.execute("insert or ignore into labels values(?, ?, 'dropped')", (self.of(kind), kind))
            db.execute(
                "update labels set state = 'in force' where label = ? and state = 'made'", (label_of(kind, index),)
            )
            if not db.changes():
                raise StoreFault("the index that was made for this version has been given up: try again")
        db.execute("update labels set state = 'dropped' where state = 'made'")
        self._next = {**self._in_force, **{kind: label_of(kind, index) for kind in kinds}}

    def adopt(self) -> None:
        """Take in what was put in force, once that is committed."""
        self._in_force = self._next

    def tidy(self) -> bool:
        """Drop a piece of what is no longer used; say whether there is more."""
        db = self._db
        found = db.execute("select label from labels where state = 'dropped' limit 1").get
        if found is None:
            return self._tidy_keyed()
        with unsynced(db), db:
            gone = 0
            for sql in _DROPPED:
                db.execute(sql, (found, PIECE - gone))
                gone += db.changes()
                if gone == PIECE:
                    return True
            db.execute("delete from labels where label = ?", (found,))
        return True

    def _tidy_keyed(self) -> bool:
        db = self._db
        with unsynced(db), db:
            db.execute(
                "delete from keyed where (label, row) in (select label, row from keyed"
                " where label not in (select label from labels where state = 'made') limit ?)",
                (PIECE,),
            )
            gone = db.changes()
        return gone == PIECE


class SqliteIndex:
    """An index that is being made, in the tables of `db`."""

    def __init__(self, db: apsw.Connection, kinds: Collection[str], fault: Fault) -> None:
        self.name = secrets.token_hex(4)
        self._db = db
        self._kinds = sorted(kinds)
        self._fault = fault
        self._begun = False

    def put(self, these: Sequence[Indexed], gone: Sequence[tuple[str, int]]) -> Sequence[Clash]:
        db = self._db
        try:
            with unsynced(db), db:
                if not self._begun:
                    for kind in self._kinds:
                        db.execute("insert into labels values(?, ?, 'made')", (label_of(kind, self.name), kind))
                for kind, row in gone:
                    self._take_out(label_of(kind, self.name), row)
                clashes = [clash for one in these for clash in self._put(one)]
        except apsw.Error as problem:
            raise self._fault(problem) from problem
        self._begun = True
        return clashes

    def drop(self) -> None:
        if not self._begun:
            return
        try:
            self._db.executemany(
                "update labels set state = 'dropped' where label = ? and state = 'made'",
                [(label_of(kind, self.name),) for kind in self._kinds],
            )
        except apsw.Error as problem:
            raise self._fault(problem) from problem

    def _take_out(self, label: str, row: int) -> None:
        db = self._db
        db.execute("delete from holds where row = ? and kind = ?", (row, label))
        db.execute("delete from refs where row = ? and kind = ?", (row, label))
        value = db.execute("select value from keyed where label = ? and row = ?", (label, row)).get
        if value is not None:
            db.execute("delete from keys where kind = ? and value = ?", (label, value))
            db.execute("delete from keyed where label = ? and row = ?", (label, row))

    def _put(self, one: Indexed) -> Iterable[Clash]:
        db, label = self._db, label_of(one.entity, self.name)
        if one.key is not None:
            db.execute("insert or ignore into keys values(?, ?, ?)", (label, one.key, one.row))
            if db.changes():
                db.execute("insert into keyed values(?, ?, ?)", (label, one.row, one.key))
            else:
                holder = db.execute("select row from keys where kind = ? and value = ?", (label, one.key)).get
                yield from _clash(one, KEY, holder)
        for number, text in one.uniques:
            db.execute("insert or ignore into holds values(?, ?, ?, ?)", (label, number, text, one.row))
            if not db.changes():
                holder = db.execute(
                    "select row from holds where kind = ? and number = ? and value = ?", (label, number, text)
                ).get
                yield from _clash(one, number, holder)
        db.executemany(
            "insert or ignore into refs values(?, ?, ?, ?)",
            [(label, field, target, one.row) for field, target in one.references],
        )


class _Scratch(SqliteIndex):
    def drop(self) -> None:
        self._db.close()


def scratch_index(kinds: Collection[str]) -> Index:
    """Return one that no swap can put in force, in a file of its own without a name."""
    db = apsw.Connection("")
    db.execute("pragma journal_mode = memory")
    db.execute(HELD)
    db.execute(REFERRED)
    db.execute(SCHEMA)
    return _Scratch(db, kinds, lambda problem: StoreFault(f"what was made to answer can't be kept: {problem}"))


def _clash(one: Indexed, number: int, holder: int) -> Iterable[Clash]:
    return () if holder == one.row else (Clash(one.row, number, holder),)


@contextlib.contextmanager
def unsynced(db: apsw.Connection) -> Iterator[None]:
    """Commit in the block without waiting for the disk: nobody needs it there before the next append is."""
    db.execute("pragma synchronous = normal")
    try:
        yield
    finally:
        db.execute("pragma synchronous = full")


def label_of(kind: str, index: str) -> str:
    """Return what an index calls a kind: no name of a kind has a `.` in it."""
    return f"{kind}.{index}"
