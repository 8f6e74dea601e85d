"""Ranks: in a space's file, the entities of a kind in the order of one of their values; a list can start anywhere.

A rank is made when a list first asks for it, a piece at a time between two appends, and kept up by every append from
then on. There are few: one more takes the place of the one that nobody has asked for the longest. What is in a rank is
what the table in force makes of the entities, so that a table which makes others of a kind drops its ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

import apsw

from temper.table import Snapshot, Table, Value

# A kind with more than these is listed by ranks; with fewer, nobody gains by one.
RANKED_FROM = 100
# Each costs an append up to two rows for an entity whose value changes.
RANKS_MAX = 16
# Entities that a piece of a rank takes at once: a few milliseconds between two appends.
PIECE = 1_000

SCHEMA = """
create table if not exists ranks(
  number integer primary key, kind text not null, field text not null, upto integer, dropped integer not null default 0
);
create table if not exists ranked(
  rank integer not null, place blob not null, row integer not null, primary key(rank, place, row)
) without rowid;
create index if not exists ranked_of_row on ranked(row, rank);
"""

_NONE = b"\x00"

Spot: TypeAlias = tuple[bytes, int]
"""A place in a rank: of those with the same value, the older comes first."""
Load: TypeAlias = Callable[[int, str, str, bytes], Snapshot]


@dataclass(frozen=True, slots=True)
class Rank:
    """`upto` is the row up to which it has been made, and `None` once it is whole."""

    number: int
    kind: str
    field: str
    upto: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """From which value to which; `None` has no bound on that side."""

    low: bytes | None = None
    high: bytes | None = None
    low_in: bool = True
    high_in: bool = True


def ranked_value(now: Snapshot, field: str) -> Value:
    """Return what a rank by `field` orders an entity by: `state`, `updated_at` or a field of its own.

    One that was final before the field was there has none.
    """
    if field == "state":
        return now.state
    return now.updated_at if field == "updated_at" else now.fields.get(field)


def rank_place(value: Value) -> bytes | None:
    """Return bytes that compare as `canonical_key` does, for values of one type; `None` for what no rank orders."""
    if value is None:
        return _NONE
    if isinstance(value, str):
        return b"\x01" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, int):  # bool included
        return b"\x01" + _whole(value)
    if isinstance(value, Decimal):
        return b"\x01" + _exact(value)
    return None


def place_of(now: Snapshot, field: str) -> bytes:
    """Return where an entity stands in a rank by that field."""
    return rank_place(ranked_value(now, field)) or _NONE


def _whole(number: int) -> bytes:
    size = abs(number)
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    if number >= 0:
        return (0x8000 + len(digits)).to_bytes(2, "big") + digits
    return (0x8000 - len(digits)).to_bytes(2, "big") + _mirrored(digits)


def _exact(number: Decimal) -> bytes:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "a decimal of ours is finite"
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return b"\x01"
    # As 0.DIGITS times ten to a power: the power decides, then the digits from the left.
    power = len(text) + exponent
    size = (power + 2**31).to_bytes(4, "big") + text.rstrip("0").encode() + b"\x00"
    return b"\x00" + _mirrored(size) if sign else b"\x02" + size


def _mirrored(size: bytes) -> bytes:
    return bytes(255 - each for each in size)


class Ranks:
    """The ranks of one file. All but `find`, `page` and `count` is for the thread that appends."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        found: Any = db.execute("select number, kind, field, upto from ranks where not dropped order by number")
        self._known: dict[tuple[str, str], Rank] = {
            (kind, field): Rank(n, kind, field, u) for n, kind, field, u in found
        }
        self._kinds: Mapping[str, Sequence[Rank]] = {}
        self._sort()

    def _sort(self) -> None:
        kinds: dict[str, list[Rank]] = {}
        for rank in self._known.values():
            kinds.setdefault(rank.kind, []).append(rank)
        self._kinds = kinds

    # --- reading ---

    def find(self, kind: str, field: str) -> Rank | None:
        """Return the rank, whole or not, that was asked for; it counts as asked for now."""
        found = self._known.get((kind, field))
        if found is not None and next(reversed(self._known)) != (kind, field):
            self._known = {
                **{name: each for name, each in self._known.items() if each is not found},
                (kind, field): found,
            }
        return found

    @staticmethod
    def page(
        db: apsw.Cursor, rank: Rank, span: Span, after: Spot | None, limit: int, *, downwards: bool
    ) -> Sequence[Spot]:
        """Return the next so many of a whole rank."""
        low, high = bounds(span)
        if after is not None and downwards:
            high = (*after, False)
        elif after is not None:
            low = (*after, False)
        conditions, given = _within(rank, low, high)
        way = "desc" if downwards else "asc"
        found: Any = db.execute(
            f"select place, row from ranked where {conditions} order by place {way}, row {way} limit ?",  # noqa: S608 - no value is in it
            (*given, limit),
        ).fetchall()
        return found  # type: ignore[no-any-return]  # apsw's rows are tuples of anything

    @staticmethod
    def count(db: apsw.Cursor, rank: Rank, span: Span, most: int) -> int:
        """Return how many of a whole rank are within the span; `most + 1` for more."""
        conditions, given = _within(rank, *bounds(span))
        found: int = db.execute(
            f"select count(*) from (select 1 from ranked where {conditions} limit ?)",  # noqa: S608 - no value is in it
            (*given, most + 1),
        ).get
        return found

    # --- making ---

    def ask(self, kind: str, field: str) -> None:
        """Have a rank made, by and by (`make`); of too many, the one asked for the longest ago goes."""
        if (kind, field) in self._known:
            return
        known = dict(self._known)
        with self._db:
            if len(known) >= RANKS_MAX:
                self._drop([known.pop(next(iter(known)))])
            self._db.execute("insert into ranks(kind, field, upto) values(?, ?, 0)", (kind, field))
            number = self._db.last_insert_rowid()
        known[kind, field] = Rank(number, kind, field, 0)
        self._known = known
        self._sort()

    def make(self, load: Load) -> bool:
        """Do a piece of what is to be made or cleared; say whether there is more."""
        rank = next((each for each in self._known.values() if each.upto is not None), None)
        if rank is None:
            return self._clear()
        rows: Any = self._db.execute(
            "select row, id, version, case when kind = ? and state <> '' then body end from entities"
            " where row > ? order by row limit ?",
            (rank.kind, rank.upto, PIECE),
        ).fetchall()
        places = [
            (rank.number, place_of(load(version, rank.kind, id, body), rank.field), row)
            for row, id, version, body in rows
            if body is not None
        ]
        made = replace(rank, upto=rows[-1][0] if len(rows) == PIECE else None)
        with self._db:
            self._db.executemany("insert into ranked values(?, ?, ?)", places)
            self._db.execute("update ranks set upto = ? where number = ?", (made.upto, made.number))
        self._known = {**self._known, (rank.kind, rank.field): made}
        self._sort()
        return True

    def _clear(self) -> bool:
        """Take some places out of a rank that was dropped."""
        number = self._db.execute("select number from ranks where dropped limit 1").get
        if number is None:
            return False
        with self._db:
            self._db.execute(
                "delete from ranked where (rank, place, row) in"
                " (select rank, place, row from ranked where rank = ? limit ?)",
                (number, PIECE),
            )
            if self._db.changes() < PIECE:
                self._db.execute("delete from ranks where number = ?", (number,))
        return True

    def _drop(self, ranks: Iterable[Rank]) -> None:
        self._db.executemany("update ranks set dropped = 1 where number = ?", [(rank.number,) for rank in ranks])

    # --- within an append ---

    def put(self, now: Snapshot, row: int, *, new: bool) -> None:
        """Put an entity in its places, within a transaction."""
        ranks = self._kinds.get(now.entity)
        if not ranks:
            return
        wanted = {rank.number: place_of(now, rank.field) for rank in ranks if rank.upto is None or row <= rank.upto}
        had: dict[int, bytes] = {}
        if not new:
            found: Any = self._db.execute("select rank, place from ranked where row = ?", (row,)).fetchall()
            had = dict(found)
        for number, place in wanted.items():
            before = had.get(number)
            if before == place:
                continue
            if before is not None:
                self._db.execute("delete from ranked where rank = ? and place = ? and row = ?", (number, before, row))
            self._db.execute("insert into ranked values(?, ?, ?)", (number, place, row))

    def stale(self, kinds: Iterable[str]) -> Iterable[Rank]:
        """Mark the ranks of kinds that another table makes others of as dropped, within a transaction; say which."""
        gone = [rank for kind in sorted(kinds) for rank in self._kinds.get(kind, ())]
        self._drop(gone)
        return gone

    def forget(self, ranks: Iterable[Rank]) -> None:
        """Forget ranks that were dropped, once that is committed."""
        numbers = {rank.number for rank in ranks}
        self._known = {name: each for name, each in self._known.items() if each.number not in numbers}
        self._sort()


_End: TypeAlias = tuple[bytes, int, bool]
_ROW_MAX = 2**63 - 1


def bounds(span: Span) -> tuple[_End | None, _End | None]:
    """Return where a span begins and ends, and whether whoever stands there is in it."""
    low = None if span.low is None else (span.low, 0 if span.low_in else _ROW_MAX, True)
    high = None if span.high is None else (span.high, _ROW_MAX if span.high_in else 0, True)
    return low, high


def _within(rank: Rank, low: _End | None, high: _End | None) -> tuple[str, list[Any]]:
    conditions, given = ["rank = ?"], [rank.number]
    if low is not None:
        conditions.append(f"(place, row) {'>=' if low[2] else '>'} (?, ?)")
        given += low[:2]  # type: ignore[arg-type]  # a place and a row
    if high is not None:
        conditions.append(f"(place, row) {'<=' if high[2] else '<'} (?, ?)")
        given += high[:2]  # type: ignore[arg-type]  # a place and a row
    return " and ".join(conditions), given


def changed_kinds(old: Table, new: Table, moved: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the kinds whose ranks do not outlive a step from `old` to `new`; `moved` are those who may be others."""
    kinds = {kind for kind, _ in moved} | (old.entities.keys() - new.entities.keys())
    return frozenset(
        kinds
        | {
            name
            for name, entity in old.entities.items()
            if name in new.entities and entity.fields != new.entities[name].fields
        }
    )
