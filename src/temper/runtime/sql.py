"""What the stores over SQL have in common: what they ask alike, whichever database answers.

Questions are written with `$1`; `{number}` is the column that says which version of the table wrote a row, `{counts}`
the table that counts entities, `{label}` the label in force of the kind in `$1`, and `{mine}` stands where only what
this server decides for is meant.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import msgspec

from temper.kernel import (
    Codec,
    Codecs,
    Entry,
    Kept,
    Letter,
    Order,
    OrderRow,
    OrderState,
    Page,
    Stir,
    TableVersion,
    Unmoved,
    Upto,
    load_caller,
    path_of,
)
from temper.runtime.agenda import NEVER, Agenda
from temper.runtime.archive import Unpacked
from temper.runtime.chain import is_digest
from temper.runtime.left import target_of
from temper.table import Snapshot, Table, load

_ORDERS = (
    "select name, kind, entity, id, tool, args, send, {number}, state, attempts, next_at, created_at, lane, unsure,"
    " last_error from orders as o where "
)
# Of the sends between two entities, the first only.
_FIRST = (
    " and not exists (select 1 from orders as earlier where earlier.kind = 'send' and earlier.state = 'waiting'"
    " and earlier.pair = o.pair and earlier.lane < o.lane)"
)
_LETTERS = "select name, entity, id, text, at from letters where "
_VERSIONS = "select number, digest, body, report, at, author, note from versions order by number "
_AWAITED = (
    "select entity, id, pair from orders union select entity, id, null from letters"
    " union select kind, id, null from stirs"
)

_from_json = msgspec.json.Decoder().decode
_entry_from_json = msgspec.json.Decoder(Entry).decode


class Asks(Protocol):
    """Asks a space's database, from any thread. Raises `StoreFault`."""

    def rows(self, sql: str, *given: Any) -> Sequence[Any]:
        """Return the rows that answer a question."""
        ...

    def first(self, sql: str, *given: Any) -> Any:
        """Return the first row, or `None`."""
        ...

    def one(self, sql: str, *given: Any) -> Any:
        """Return the first value of the first row, or `None`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """How a database is asked. `parted`: its rows say to which partition they belong, by `part`."""

    mark: str
    number: str
    counts: str
    label: str
    parted: bool

    def worded(self, sql: str) -> str:
        """Return a question in the words of the database."""
        return _worded(self, sql)


@cache
def _worded(dialect: Dialect, sql: str) -> str:
    last = max(map(int, re.findall(r"\$(\d+)", sql)), default=0)
    mine = f" and part = any(${last + 1})" if dialect.parted else ""
    return sql.format(number=dialect.number, counts=dialect.counts, label=dialect.label, mine=mine).replace(
        "$", dialect.mark
    )


def onwards(rows: Sequence[Any], limit: int) -> int | None:
    """Return where to go on after a page of rows, each with its number first; `None` where there are no more."""
    return rows[-1][0] if len(rows) == limit else None


def paged(rows: Sequence[Any], limit: int) -> tuple[Sequence[Any], int | None]:
    """Return a page of rows of which one more was asked for, and where to go on after it."""
    page = rows[:limit]
    return page, page[-1][0] if len(rows) > limit and page else None


class SqlStore(ABC):
    """The verbs of `temper.kernel.Store` that every database is asked for in the same way."""

    def __init__(self, asks: Asks, dialect: Dialect) -> None:
        self._asks = asks
        self._dialect = dialect
        self._agenda = Agenda()
        self._codecs = Codecs(self._table, self._pushed)

    # --- what each says for itself ---

    @abstractmethod
    def _packed(self, row: int) -> Unpacked:
        """Return one that was put away. Raises `ArchiveDamaged`."""

    @abstractmethod
    def moving(self) -> bool: ...

    @abstractmethod
    def _listed(self, entity: str, states: Sequence[str], after: int | None, limit: int, order: Order) -> Sequence[Any]:
        """Return the next rows of a kind, beyond the row `after`: each its number, id, version of the table and body.

        Where states are named, of those whose rows say one of them.
        """

    @abstractmethod
    def _label(self, entity: str) -> str:
        """Return what is given as `$1` where `{label}` is asked for: the label in force, or the kind."""

    def _mine(self) -> Sequence[int]:
        """Return the partitions that the server decides for, where there are several."""
        return ()

    def _must_know(self, number: int) -> None:  # noqa: B027 - who writes alone knows all versions
        """Raise `Superseded` where another server has put a version in force that this one has yet to take over."""

    # --- asking ---

    def _rows(self, sql: str, *given: Any) -> Sequence[Any]:
        return self._asks.rows(self._dialect.worded(sql), *given, *self._parts(sql))

    def _row(self, sql: str, *given: Any) -> Any:
        return self._asks.first(self._dialect.worded(sql), *given, *self._parts(sql))

    def _value(self, sql: str, *given: Any) -> Any:
        found = self._row(sql, *given)
        return None if found is None else found[0]

    def _parts(self, sql: str) -> Sequence[Any]:
        return (list(self._mine()),) if self._dialect.parted and "{mine}" in sql else ()

    @property
    def _codec(self) -> Codec:
        return self._codecs.of(self._codecs.current)

    def _table(self, number: int) -> Table:
        return load(self._value("select body from versions where number = $1", number))

    def _pushed(self, number: int) -> tuple[int, str]:
        at, by = self._row("select at, author from versions where number = $1", number)
        return at, by

    def _kept_body(self, row: int, body: bytes) -> bytes:
        return body or bytes(self._packed(row).entity.body)

    def _load(self, row: int, number: int, entity: str, id: str, body: bytes) -> Snapshot:
        self._must_know(number)
        return self._codecs.load(number, entity, id, self._kept_body(row, body))

    # --- entities ---

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        found = self._kept(entity, id)
        return None if found is None else self._load(*found[:2], entity, id, found[2])

    def kept(self, entity: str, id: str) -> Kept | None:
        found = self._kept(entity, id)
        if found is None:
            return None
        row, number, body = found
        self._must_know(number)
        return self._codecs.kept(number, entity, id, self._kept_body(row, body))

    def _kept(self, entity: str, id: str) -> tuple[int, int, bytes] | None:
        found: tuple[int, int, bytes] | None = self._row(
            "select row, {number}, body from entities where kind = $1 and id = $2", entity, id
        )
        return found

    def row(self, entity: str, id: str) -> int | None:
        row: int | None = self._value("select row from entities where kind = $1 and id = $2", entity, id)
        return row

    def referrers(
        self, entity: str, field: str, id: str, *, after: int = 0, limit: int
    ) -> tuple[Sequence[str], int | None]:
        found = self._rows(
            "select e.row, e.id from refs r join entities e on e.row = r.row"
            " where r.kind = {label} and r.field = $2 and r.target = $3 and r.row > $4 order by r.row limit $5",
            self._label(entity),
            field,
            id,
            after,
            limit + 1,
        )
        page, cursor = paged(found, limit)
        return [one for _, one in page], cursor

    def _those(
        self, rows: Sequence[Any], asked: Collection[tuple[str, str]], limit: int
    ) -> tuple[Sequence[Snapshot], int | None]:
        """Return those whose kind and state are asked for, of rows that say what they were by their own version."""
        found = []
        for row, kind, id, state, number, body in rows:
            self._must_know(number)
            if (kind, self._codecs.state(number, kind, state)) in asked:
                found.append(self._load(row, number, kind, id, body))
        return found, onwards(rows, limit)

    def _unmoved(self, rows: Sequence[Any], at_once: int, limit: int) -> Unmoved:
        """Return who of the next rows are to be carried over, or to look; a body that is not there is asked for."""
        codecs = self._codecs
        kept: list[Kept] = []
        looking: list[tuple[str, str]] = []
        for row, kind, id, state, live, number, body in rows:
            self._must_know(number)
            if not live or number == codecs.current:
                continue
            if codecs.is_behind(number, kind, state):
                body = body or self._value("select body from entities where row = $1", row)
                kept.append(codecs.kept(number, kind, id, body))
            elif codecs.is_to_look(number, kind, state):
                looking.append((kind, id))
            if len(kept) + len(looking) == limit:
                return Unmoved(tuple(kept), tuple(looking), Upto(row))
        return Unmoved(tuple(kept), tuple(looking), Upto(onwards(rows, at_once)))

    def list(
        self,
        entity: str,
        *,
        states: Sequence[str] = (),
        after: str | None = None,
        limit: int,
        order: Order = Order.OLDEST,
    ) -> Page:
        # Rows of an earlier version may say another state than who is in these has now.
        once = self._codecs.once(entity, states) if states and self.moving() else states
        page, cursor = paged(self._listed(entity, once, None if after is None else int(after), limit + 1, order), limit)
        items = tuple(self._load(row, number, entity, id, body) for row, id, number, body in page)
        if once is not states:
            items = tuple(now for now in items if now.state in states)
        return Page(items, None if cursor is None else str(cursor))

    def count(self, entity: str, *, states: Sequence[str] = ()) -> int:
        return sum(number for _, number in self._populations(entity, states))

    def counts(self) -> Mapping[tuple[str, str], int]:
        found = self._rows(
            "select kind, state, cast(sum(number) as bigint) from {counts} where state <> '' group by kind, state"
            " having sum(number) > 0"
        )
        return dict(sorted(((kind, state), number) for kind, state, number in found))

    def _populations(self, entity: str, states: Sequence[str]) -> Sequence[tuple[str, int]]:
        found = self._rows(
            "select state, cast(sum(number) as bigint) from {counts} where kind = $1 and state <> '' group by state"
            " having sum(number) > 0",
            entity,
        )
        return [(state, number) for state, number in found if not states or state in states]

    # --- what waits ---

    def due(self, at: int, limit: int) -> Sequence[tuple[str, str]]:
        if at < self._agenda.due:
            return ()
        found = self._rows(
            "select kind, id from entities where due is not null and due <= $1{mine} order by due, row limit $2",
            at,
            limit,
        )
        if not found:
            self._ask_due()
        return [(kind, id) for kind, id in found]

    def next_due(self) -> int | None:
        due = self._agenda.due or self._ask_due()
        return None if due == NEVER else due

    def _ask_due(self) -> int:
        looked = self._agenda.looked
        found: int | None = self._value("select min(due) from entities where due is not null{mine}")
        due = NEVER if found is None else found
        self._agenda.found(looked, due=due)
        return due

    def stirs(self, limit: int) -> Sequence[Stir]:
        agenda, looked = self._agenda, self._agenda.looked
        if not agenda.stirs:
            return ()
        found = self._rows(
            "select owner, kind, id, path, caller, after from stirs where true{mine} order by row limit $1", limit
        )
        if not found:
            agenda.found(looked, stirs=False)
        return [
            Stir(owner, kind, id, path_of(path), load_caller(caller), after)
            for owner, kind, id, path, caller, after in found
        ]

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        if at < self._agenda.sends:
            return ()
        waiting = "kind = 'send' and state = 'waiting' and next_at <= $1{mine}"
        found = self._orders(waiting + _FIRST + " order by row limit $2", at, limit)
        if not found:
            self._agenda.ask(self._waiting)
        return found

    def calls(self, at: int, tool: str, limit: int) -> Sequence[OrderRow]:
        if at < self._agenda.call(tool):
            return ()
        found = self._orders(
            "kind = 'call' and state = 'waiting' and tool = $1 and next_at <= $2{mine} order by next_at, row limit $3",
            tool,
            at,
            limit,
        )
        if not found:
            self._agenda.ask(self._waiting)
        return found

    def next_order(self, but_not: Sequence[str]) -> int | None:
        return self._agenda.next_order(but_not, self._waiting)

    def _waiting(self) -> Iterable[tuple[str | None, int]]:
        return self._rows("select tool, min(next_at) from orders where state = 'waiting'{mine} group by kind, tool")

    def order(self, order: str) -> OrderRow | None:
        return next(iter(self._orders("name = $1", order)), None)

    def orders_of(self, entity: str, id: str) -> Sequence[OrderRow]:
        return self._orders("entity = $1 and id = $2 order by row", entity, id)

    def started(self) -> Sequence[OrderRow]:
        return self._orders("state = 'started'{mine} order by row")

    def _orders(self, which: str, *given: Any) -> Sequence[OrderRow]:
        return [self._order(columns) for columns in self._rows(_ORDERS + which, *given)]

    def _order(self, columns: Sequence[Any]) -> OrderRow:
        name, kind, entity, id, tool, args, send, version, state, *numbers, unsure, error = columns
        attempts, next_at, created_at, lane = numbers
        return OrderRow(
            order=name,
            kind=kind,
            entity=entity,
            id=id,
            tool=tool,
            args=_from_json(args),
            send=None if send is None else self._codecs.of(version).load_send(name, send),
            state=OrderState(state),
            attempts=attempts,
            next_at=next_at,
            created_at=created_at,
            lane=lane,
            last_error=error,
            unsure=bool(unsure),
        )

    def letters(self, *, after: str | None = None, limit: int) -> Sequence[Letter]:
        beyond = "row > coalesce((select row from letters where name = $1), 0) order by row limit $2"
        return [Letter(*columns) for columns in self._rows(_LETTERS + beyond, after, limit)]

    def letter(self, order: str) -> Letter | None:
        found = self._row(_LETTERS + "name = $1", order)
        return None if found is None else Letter(*found)

    # --- the journal ---

    def history(self, entity: str, id: str, *, after: int = 0, limit: int) -> Sequence[Entry]:
        return self._entries(
            "select seq, entity, body from log where entity = (select row from entities where kind = $1 and id = $2)"
            " and seq > $3 order by seq limit $4",
            entity,
            id,
            after,
            limit,
        )

    def _entries(self, sql: str, *given: Any) -> Sequence[Entry]:
        return [self._entry(*columns) for columns in self._rows(sql, *given)]

    def _entry(self, seq: int, row: int, body: bytes) -> Entry:
        entry = _entry_from_json(self._packed(row).body(seq, body) if is_digest(body) else body)
        msgspec.structs.force_setattr(entry, "seq", seq)
        return entry

    def landmark(self, entity: str, id: str, *, until: int) -> tuple[int, bytes] | None:
        found = self._row(
            "select seq, body from marks where entity = (select row from entities where kind = $1 and id = $2)"
            " and seq <= $3 and length(body) > 0 order by seq desc limit 1",
            entity,
            id,
            until,
        )
        return None if found is None else (found[0], found[1])

    def current(self) -> TableVersion | None:
        found = self._row(_VERSIONS + "desc limit 1")
        return None if found is None else TableVersion(*found)

    def versions(self) -> Sequence[TableVersion]:
        return [TableVersion(*columns) for columns in self._rows(_VERSIONS)]

    # --- the archive ---

    def resting(self, since: int, *, after: int, limit: int) -> tuple[Sequence[Snapshot], int | None]:
        """Return those, out of the next `limit` rows, to whom nothing can happen and nothing has since that time.

        They are of the partitions that the server decides for. The second is where to go on from, `None` where there
        are no more.
        """
        rows = self._rows(
            "select row, kind, id, {number}, case when not live and state <> '' then body end from entities"
            " where row > $1{mine} order by row limit $2",
            after,
            limit,
        )
        codec = self._codec
        found = [
            now
            for row, kind, id, number, body in rows
            if body is not None and kind in codec.table.entities
            if (now := self._load(row, number, kind, id, body)).updated_at < since and not codec.is_live(now)
        ]
        return found, onwards(rows, limit)

    def awaited(self) -> frozenset[tuple[str, str]]:
        """Return of whom an order, a letter or a look at `whenever`s speaks: who sends, and who is sent to."""
        names: set[tuple[str, str]] = set()
        for entity, id, pair in self._rows(_AWAITED):
            names.add((entity, id))
            if pair is not None:
                names.add(target_of(pair))
        return frozenset(names)

    def is_archived(self, entity: str, id: str) -> bool:
        """Say whether the entity has been put away."""
        return bool(self._value("select state = '' from entities where kind = $1 and id = $2", entity, id))

    def archived(self) -> int:
        """Return how many have been put away."""
        found: int = self._value("select cast(coalesce(sum(number), 0) as bigint) from {counts} where state = ''")
        return found
