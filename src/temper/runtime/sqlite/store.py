"""A space in one SQLite file.

Two tables carry the load, so that an action costs a row of the log and a row of its entity: both have integer keys,
so that what belongs together lies together. The log has one index, for histories. Everything else is small or seldom.

The file is in WAL mode with `synchronous=FULL`: an append that has returned is on the disk. One process has it at a
time; it holds a lock on a file beside it for as long as it lives, which a kill lets go of.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeVar

import apsw
import msgspec

from temper.kernel import (
    Answered,
    Batch,
    Change,
    Codec,
    Codecs,
    Entry,
    Kept,
    Letter,
    Order,
    OrderRow,
    OrderState,
    Page,
    Place,
    Stir,
    StoreFault,
    TableVersion,
    Unmoved,
    Upto,
    dump_caller,
    load_caller,
    path_of,
    path_text,
)
from temper.runtime import records as r
from temper.runtime.agenda import NEVER, Agenda
from temper.runtime.archive import ENTRIES_MAX, ArchiveDamaged, Packed, Segment, Segments, Unpacked, pack
from temper.runtime.chain import GENESIS, chained, digest_of, is_digest, is_mark
from temper.runtime.checkpoint import Checkpoints
from temper.runtime.disk import fault_of
from temper.runtime.ranks import SCHEMA as RANKS
from temper.runtime.ranks import Rank, Ranks, Span, Spot, changed_kinds
from temper.table import Snapshot, Table, Value, load, moving, next_due

# 1 had no hashes in its log, and no marks; 3 is a file of which something was put away.
FORMAT = 2
FORMAT_ARCHIVED = 3
APPLICATION_ID = 0x54656D70  # "Temp", so that `file` and a curious operator can tell.

# An idempotency key is kept for a day, and at least this many are: nobody's retry comes later, and a burst can't wash
# them away. Each append forgets a few more than it adds.
KEYS_KEPT_MS = 86_400_000
KEYS_KEPT_MIN = 10_000

# Entities whose row number is known without asking.
_ROWS_MAX = 200_000

_SCHEMA = f"""
create table meta(name text primary key, value) without rowid;
create table log(seq integer primary key, entity integer, body blob not null, hash blob not null);
create index log_of_entity on log(entity, seq) where entity is not null;
create table entities(
  row integer primary key, kind text not null, id text not null, state text not null, live integer not null,
  due integer, version integer not null, body blob not null
);
create unique index entities_by_id on entities(kind, id);
create index entities_by_state on entities(kind, state);
create index entities_due on entities(due) where due is not null;
create table holds(
  kind text not null, number integer not null, value text not null, row integer not null,
  primary key(kind, number, value)
) without rowid;
create index holds_of_row on holds(row);
create table keys(
  kind text not null, value text not null, row integer not null, primary key(kind, value)
) without rowid;
create table orders(
  row integer primary key, name text not null unique, kind text not null, entity text not null, id text not null,
  tool text, args blob not null, send blob, version integer not null, state text not null, attempts integer not null,
  next_at integer not null, created_at integer not null, lane integer not null, pair text, unsure integer not null,
  last_error text not null
);
create index orders_of_entity on orders(entity, id);
create index orders_calls on orders(tool, next_at) where kind = 'call' and state = 'waiting';
create index orders_sends on orders(pair, lane) where kind = 'send' and state = 'waiting';
create index orders_started on orders(row) where state = 'started';
create table requests(
  row integer primary key, name text not null unique, fingerprint text not null, seq integer not null,
  at integer not null, kind text, id text, version integer, body blob
);
create table letters(
  row integer primary key, name text not null unique, entity text not null, id text not null, text text not null,
  at integer not null
);
create table versions(
  number integer primary key, digest text not null, body blob not null, report blob not null, at integer not null,
  author text not null, note text not null
);
create table marks(
  entity integer not null, seq integer not null, version integer not null, body blob not null, primary key(entity, seq)
) without rowid;
insert into meta values('format', {FORMAT});
pragma application_id = {APPLICATION_ID};
"""
# Files that are older have neither: no table before asked for them.
_WATCHING = """
create table if not exists refs(
  kind text not null, field text not null, target text not null, row integer not null,
  primary key(kind, field, target, row)
) without rowid;
create index if not exists refs_of_row on refs(row);
create table if not exists stirs(
  row integer primary key, owner text not null, kind text not null, id text not null, path text not null,
  caller blob not null, after integer not null, unique(owner, kind, id, path)
);
"""
# Whom the archive has, and where. Their rows have no state and no body, and the log the digests of their entries.
_ARCHIVE = """
create table if not exists segments(number integer primary key, sum text not null, size integer not null);
create table if not exists archived(
  row integer primary key, segment integer not null, place integer not null, size integer not null
);
"""
# How many there are of each kind in each state, kept with them: counting a million takes too long for a list.
_POPULATIONS = """
create table populations(
  kind text not null, state text not null, number integer not null, primary key(kind, state)
) without rowid;
insert into populations select kind, state, count(*) from entities group by kind, state;
create trigger entities_made after insert on entities begin
  insert into populations values(new.kind, new.state, 1) on conflict do update set number = number + 1;
end;
create trigger entities_moved after update of state on entities when old.state <> new.state begin
  update populations set number = number - 1 where kind = old.kind and state = old.state;
  insert into populations values(new.kind, new.state, 1) on conflict do update set number = number + 1;
end;
"""

_ORDERS = (
    "select name, kind, entity, id, tool, args, send, version, state, attempts, next_at, created_at, lane, unsure,"
    " last_error from orders as o where "
)
# Of the sends between two entities, the first only.
_FIRST = (
    " and not exists (select 1 from orders as earlier where earlier.kind = 'send' and earlier.state = 'waiting'"
    " and earlier.pair = o.pair and earlier.lane < o.lane)"
)
_VERSIONS = "select number, digest, body, report, at, author, note from versions order by number "
# By kind and state, as the index has them: with a row for each, whoever is rare is found as soon as who is not.
_OF_STATE = {
    Order.OLDEST: (
        "select * from (select row from entities where kind = ?1 and state = {} and row > ?2 order by row limit ?3)"
    ),
    Order.NEWEST: (
        "select * from (select row from entities where kind = ?1 and state = {} and row < ?2"
        " order by row desc limit ?3)"
    ),
}
_MARK = "insert into marks select row, ?, version, body from entities where row = ? and state <> ''"
_ROW_MAX = 2**63 - 1
# Up to which row all are as the table in force has them; nothing where all are.
_MOVED = "select value from meta where name = 'moved'"
# Rows that a turn goes past, in search of those who are not.
_PASSED_AT_ONCE = 2_000
# Entities that a table with other indexes has indexed at once.
_INDEXED_AT_ONCE = 1_000
# Rows that a migration takes at once.
_MIGRATED_AT_ONCE = 10_000

# Rows that go by one statement. SQLite runs it to its end without the interpreter's lock, which it else gives up and
# waits for at each row, while the loop has it: a third of what an append takes beside a busy loop.
_ROWS_AT_ONCE = 64
# Kept ready: one statement for each number of rows, beside all others.
_STATEMENTS = 4 * _ROWS_AT_ONCE

_to_json = msgspec.json.Encoder().encode
_entry_from_json = msgspec.json.Decoder(Entry).decode


class _Versioned(msgspec.Struct):
    version: int


_versioned = msgspec.json.Decoder(_Versioned).decode


def version_of(body: bytes) -> int:
    """Return the version of an entity as it is kept."""
    return _versioned(body).version


_from_json = msgspec.json.Decoder().decode
T = TypeVar("T")


class SqliteStore:
    """Keeps a space in the file `path` (and its `-wal`, `-shm` and `.lock`); see `temper.kernel.Store` for its verbs.

    Reading is safe from any thread and does not wait for an append; appends come from one thread at a time. Raises
    `StoreFault` when another process has the file, or when a newer Temper wrote it. `vfs` names another file system of
    SQLite's than its own.
    """

    shared = False

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self.path = path
        self._vfs = vfs
        self._lock = _locked(path)
        try:
            self._writer = _writer(path, vfs)
        except StoreFault:
            self._lock.close()
            raise
        except apsw.Error as problem:
            self._lock.close()
            raise StoreFault(f"`{path}` can't be opened: {problem}") from problem
        self._threads = threading.local()
        self._readers: list[apsw.Connection] = []
        self._rows: dict[tuple[str, str], int] = {}
        self._agenda = Agenda()
        self._codecs = Codecs(self._table, self._pushed)
        self._codecs.current = self._one("select coalesce(max(number), 0) from versions")
        last = self._first("select seq, hash from log order by seq desc limit 1")
        self._last_seq: int
        self._head: bytes
        self._last_seq, self._head = last or (0, GENESIS)
        # They go from the oldest on, so that nobody has to count them.
        self._keys: int = self._one(
            "select coalesce((select max(row) from requests) - (select min(row) from requests) + 1, 0)"
        )
        self.ranks = Ranks(self._writer)
        self._segments = Segments(archive_of(path))
        self._checkpoints = Checkpoints(self._writer, partial(_connect, path, apsw.SQLITE_OPEN_READWRITE, vfs))

    def close(self) -> None:
        """Let go of the file. The log is written back into it first, so that it can be copied alone."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._checkpoints.close()
        try:
            self.checkpoint()
        finally:
            self._writer.close()
            self._lock.close()

    def checkpoint(self) -> None:
        """Write the log back into the file; what can't be written back stays in the log, and is found again."""
        with contextlib.suppress(apsw.Error):
            self._writer.execute("pragma wal_checkpoint(truncate)").fetchall()

    # --- entities ---

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        found = self._kept(entity, id)
        return None if found is None else self._codecs.load(found[0], entity, id, found[1])

    def kept(self, entity: str, id: str) -> Kept | None:
        found = self._kept(entity, id)
        return None if found is None else self._codecs.kept(found[0], entity, id, found[1])

    def _kept(self, entity: str, id: str) -> tuple[int, bytes] | None:
        found = self._first("select version, body, row from entities where kind = ? and id = ?", (entity, id))
        if found is None:
            return None
        version, body, row = found
        return version, self._kept_body(row, body)

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        id: str | None = self._one(
            "select id from entities where row = (select row from keys where kind = ? and value = ?)",
            (entity, self._codec.key_text(entity, values)),
        )
        return id

    def holder(self, entity: str, unique: int, values: Sequence[Value]) -> str | None:
        id: str | None = self._one(
            "select id from entities where row = (select row from holds where kind = ? and number = ? and value = ?)",
            (entity, unique, self._codec.unique_text(entity, unique, values)),
        )
        return id

    def referrers(
        self, entity: str, field: str, id: str, *, after: int = 0, limit: int
    ) -> tuple[Sequence[str], int | None]:
        found = self._all(
            "select refs.row, entities.id from refs join entities on entities.row = refs.row"
            " where refs.kind = ? and refs.field = ? and refs.target = ? and refs.row > ? order by refs.row limit ?",
            (entity, field, id, after, limit + 1),
        )
        page = found[:limit]
        return [one for _, one in page], page[-1][0] if len(found) > len(page) and page else None

    def stirs(self, limit: int) -> Sequence[Stir]:
        agenda, looked = self._agenda, self._agenda.looked
        if not agenda.stirs:
            return ()
        found = self._all("select owner, kind, id, path, caller, after from stirs order by row limit ?", (limit,))
        if not found:
            agenda.found(looked, stirs=False)
        return [
            Stir(owner, kind, id, path_of(path), load_caller(caller), after)
            for owner, kind, id, path, caller, after in found
        ]

    def live(self) -> Iterator[Snapshot]:
        columns: Any
        for columns in self._read.execute("select kind, id, version, body from entities where live"):
            kind, id, version, body = columns
            yield self._codecs.load(version, kind, id, body)

    def living(
        self, asked: Collection[tuple[str, str]], *, after: int, limit: int
    ) -> tuple[Sequence[Snapshot], int | None]:
        kinds = sorted({kind for kind, _ in asked})
        page = self._all(
            # By row, which the plus sees to: by the index on kinds, each page would sort all who live.
            "select row, kind, id, state, version, body from entities"
            " where row > ? and live and +kind in (select value from json_each(?)) order by row limit ?",
            (after, _texts(kinds), limit),
        )
        found = [
            self._codecs.load(version, kind, id, body)
            for _, kind, id, state, version, body in page
            if (kind, self._codecs.state(version, kind, state)) in asked
        ]
        return found, page[-1][0] if len(page) == limit else None

    def moving(self) -> bool:
        return self._one(_MOVED) is not None

    def unmoved(self, limit: int) -> Unmoved | None:
        start = self._one(_MOVED)
        if start is None:
            return None
        codecs = self._codecs
        kept: list[Kept] = []
        looking: list[tuple[str, str]] = []
        rows: Any = self._all(
            "select row, kind, id, state, live, version from entities where row > ? order by row limit ?",
            (start, _PASSED_AT_ONCE),
        )
        for row, kind, id, state, live, version in rows:
            if not live or version == codecs.current:
                continue
            if codecs.is_behind(version, kind, state):
                body = self._one("select body from entities where row = ?", (row,))
                kept.append(codecs.kept(version, kind, id, body))
            elif codecs.is_to_look(version, kind, state):
                looking.append((kind, id))
            if len(kept) + len(looking) == limit:
                return Unmoved(tuple(kept), tuple(looking), Upto(row))
        whole = len(rows) < _PASSED_AT_ONCE
        return Unmoved(tuple(kept), tuple(looking), Upto(None if whole else rows[-1][0]))

    def list(
        self,
        entity: str,
        *,
        states: Sequence[str] = (),
        after: str | None = None,
        limit: int,
        order: Order = Order.OLDEST,
    ) -> Page:
        start = int(after) if after is not None else 0 if order is Order.OLDEST else _ROW_MAX
        once = self._codecs.once(entity, states) if states and self.moving() else states
        there = [state for state, _ in self._populations(entity, once)]
        if not there:
            return Page((), None)
        of_each = " union all ".join(_OF_STATE[order].format(f"?{number}") for number, _ in enumerate(there, 4))
        way = "asc" if order is Order.OLDEST else "desc"
        found = self._all(
            f"select row, id, version, body from entities"  # noqa: S608 - no value is in it
            f" where row in (select row from ({of_each}) order by row {way} limit ?3) order by row {way}",
            (entity, start, limit + 1, *there),
        )
        page = found[:limit]
        items = tuple(self._codecs.load(version, entity, id, body) for _, id, version, body in page)
        if once is not states:
            items = tuple(now for now in items if now.state in states)
        return Page(items, str(page[-1][0]) if len(found) > limit and page else None)

    def list_by_id(self, entity: str, after: str | None, limit: int, *, downwards: bool) -> Sequence[Snapshot]:
        """Return the next so many entities after an id, in the order of their ids."""
        way, than = ("desc", "<") if downwards else ("asc", ">")
        there = "kind = ?1 and state <> ''"
        beyond, given = ("", (entity, limit)) if after is None else (f" and id {than} ?3", (entity, limit, after))
        found = self._all(
            f"select id, version, body from entities where {there}{beyond} order by id {way} limit ?2",  # noqa: S608 - no value is in it
            given,
        )
        return [self._codecs.load(version, entity, id, body) for id, version, body in found]

    def ranked(
        self, rank: Rank, span: Span, after: Spot | None, limit: int, *, downwards: bool
    ) -> Sequence[tuple[Spot, Snapshot]]:
        """Return the next so many entities of a whole rank, within the span."""
        read = self._read
        found: list[tuple[Spot, Snapshot]] = []
        for spot in Ranks.page(read, rank, span, after, limit, downwards=downwards):
            id, version, body = self._first("select id, version, body from entities where row = ?", (spot[1],))
            found.append((spot, self._codecs.load(version, rank.kind, id, body)))
        return found

    def ranked_count(self, rank: Rank, span: Span, most: int) -> int:
        """Return how many entities of a whole rank are within the span; `most + 1` for more."""
        return Ranks.count(self._read, rank, span, most)

    def make_rank(self, kind: str, field: str) -> bool:
        """Do a piece of a rank, in the thread that appends; say whether there is more to do. Raises `StoreFault`."""
        try:
            self.ranks.ask(kind, field)
            more = self.ranks.make(self._codecs.load)
        except apsw.Error as problem:
            self._back()
            raise fault_of(self.path, problem) from problem
        self._checkpoints.appended()
        return more

    def count(self, entity: str, *, states: Sequence[str] = ()) -> int:
        return sum(number for _, number in self._populations(entity, states))

    def counts(self) -> Mapping[tuple[str, str], int]:
        found = self._all(
            "select kind, state, number from populations where number > 0 and state <> '' order by kind, state"
        )
        return {(kind, state): count for kind, state, count in found}

    def _populations(self, entity: str, states: Sequence[str]) -> Sequence[tuple[str, int]]:
        found = self._all(
            "select state, number from populations where kind = ? and number > 0 and state <> ''", (entity,)
        )
        return [(state, number) for state, number in found if not states or state in states]

    # --- what waits ---

    def due(self, at: int, limit: int) -> Sequence[tuple[str, str]]:
        if at < self._agenda.due:
            return ()
        found: Sequence[tuple[str, str]] = self._all(
            "select kind, id from entities where due is not null and due <= ? order by due, row limit ?", (at, limit)
        )
        if not found:
            self._ask_due()
        return found

    def next_due(self) -> int | None:
        due = self._agenda.due or self._ask_due()
        return None if due == NEVER else due

    def _ask_due(self) -> int:
        looked = self._agenda.looked
        found: int | None = self._one("select min(due) from entities where due is not null")
        due = NEVER if found is None else found
        self._agenda.found(looked, due=due)
        return due

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        if at < self._agenda.sends:
            return ()
        waiting = "kind = 'send' and state = 'waiting' and next_at <= ?"
        found = self._orders(_ORDERS + waiting + _FIRST + " order by row limit ?", (at, limit))
        if not found:
            self._agenda.ask(self._waiting)
        return found

    def calls(self, at: int, tool: str, limit: int) -> Sequence[OrderRow]:
        if at < self._agenda.call(tool):
            return ()
        found = self._orders(
            _ORDERS + "kind = 'call' and state = 'waiting' and tool = ? and next_at <= ? order by next_at, row limit ?",
            (tool, at, limit),
        )
        if not found:
            self._agenda.ask(self._waiting)
        return found

    def next_order(self, but_not: Sequence[str]) -> int | None:
        return self._agenda.next_order(but_not, self._waiting)

    def _waiting(self) -> Iterable[tuple[str | None, int]]:
        found: Iterable[tuple[str | None, int]] = self._all(
            "select tool, min(next_at) from orders where state = 'waiting' group by kind, tool"
        )
        return found

    def order(self, order: str) -> OrderRow | None:
        return next(iter(self._orders(_ORDERS + "name = ?", (order,))), None)

    def orders_of(self, entity: str, id: str) -> Sequence[OrderRow]:
        return self._orders(_ORDERS + "entity = ? and id = ? order by row", (entity, id))

    def started(self) -> Sequence[OrderRow]:
        return self._orders(_ORDERS + "state = 'started' order by row", ())

    # --- the journal ---

    def answered(self, key: str) -> Answered | None:
        found = self._first("select fingerprint, seq, kind, id, version, body from requests where name = ?", (key,))
        if found is None:
            return None
        fingerprint, seq, kind, id, version, body = found
        now = None if body is None else self._codecs.of(version).load(kind, id, body)
        (entry,) = self._entries("select seq, body, entity from log where seq = ?", (seq,))
        return Answered(fingerprint, entry, now)

    def history(self, entity: str, id: str, *, after: int = 0, limit: int) -> Sequence[Entry]:
        return self._entries(
            "select seq, body, entity from log where entity = (select row from entities where kind = ? and id = ?)"
            " and seq > ? order by seq limit ?",
            (entity, id, after, limit),
        )

    def landmark(self, entity: str, id: str, *, until: int) -> tuple[int, bytes] | None:
        found: tuple[int, bytes] | None = self._first(
            "select seq, body from marks where entity = (select row from entities where kind = ? and id = ?)"
            " and seq <= ? order by seq desc limit 1",
            (entity, id, until),
        )
        return found

    def entries(self, after: int, limit: int) -> Sequence[Entry]:
        return self._entries("select seq, body, entity from log where seq > ? order by seq limit ?", (after, limit))

    def last_seq(self) -> int:
        return self._last_seq

    def place(self) -> Place:
        return (self._last_seq,)

    def changed(self, since: Place, limit: int) -> tuple[Sequence[tuple[str, str]], Place]:
        # Entries are dense, and their rows say whom they speak of: no entry is read.
        upto = min(since[0] + limit, self._last_seq)
        names: Sequence[tuple[str, str]] = self._all(
            "select kind, id from entities where row in (select entity from log where seq > ? and seq <= ?)",
            (since[0], upto),
        )
        return names, (upto,)

    def letters(self, *, after: str | None = None, limit: int) -> Sequence[Letter]:
        found = self._all(
            "select name, entity, id, text, at from letters"
            " where row > coalesce((select row from letters where name = ?), 0) order by row limit ?",
            (after, limit),
        )
        return [Letter(*columns) for columns in found]

    def letter(self, order: str) -> Letter | None:
        found = self._first("select name, entity, id, text, at from letters where name = ?", (order,))
        return None if found is None else Letter(*found)

    def current(self) -> TableVersion | None:
        found = self._first(_VERSIONS + "desc limit 1")
        return None if found is None else TableVersion(*found)

    def versions(self) -> Sequence[TableVersion]:
        return [TableVersion(*columns) for columns in self._all(_VERSIONS)]

    # --- appending ---

    def append(self, batch: Batch) -> int:
        writer = self._writer
        try:
            writer.execute("begin immediate")
        except apsw.Error as problem:
            raise fault_of(self.path, problem) from problem
        appending = _Appending(
            writer, batch, self._codecs, self._rows, self._last_seq, self._head, self._keys, self.ranks, self._kept_body
        )
        try:
            appending.write()
        except BaseException as problem:
            self._back()
            if isinstance(problem, apsw.Error):
                raise fault_of(self.path, problem) from problem
            raise
        try:
            writer.execute("commit")
        except apsw.Error as problem:
            self._back()
            self._agenda.forget()
            # Some of it may have reached the log, and be found there if we die before we write again.
            raise fault_of(self.path, problem, unknown=True) from problem
        self._agenda.appended(appending.dues, batch)
        if appending.codec is not None:
            self._codecs.put(appending.number, appending.codec)
            self.ranks.forget(appending.stale)
        if len(self._rows) + len(appending.rows) > _ROWS_MAX:
            self._rows.clear()
        self._rows.update(appending.rows)
        self._last_seq = appending.last_seq
        self._head = appending.head
        self._keys = appending.keys
        self._checkpoints.appended()
        return self._last_seq

    # --- the archive ---

    def resting(self, since: int, *, after: int, limit: int) -> tuple[Sequence[Snapshot], int | None]:
        """Return those, out of the next `limit` rows, to whom nothing can happen and nothing has since that time.

        The second is where to go on from, `None` where there are no more.
        """
        rows = self._all(
            "select row, kind, id, version, live, state, body from entities where row > ? order by row limit ?",
            (after, limit),
        )
        table, codec = self._codec.table, self._codec
        found: list[Snapshot] = []
        for _, kind, id, version, live, state, body in rows:
            if live or not state or kind not in table.entities:
                continue
            now = self._codecs.load(version, kind, id, body)
            if now.updated_at < since and not codec.is_live(now):
                found.append(now)
        return found, rows[-1][0] if len(rows) == limit else None

    def awaited(self) -> frozenset[tuple[str, str]]:
        """Return of whom an order, a letter or a look at `whenever`s speaks."""
        names: set[tuple[str, str]] = set()
        for entity, id, pair in self._all("select entity, id, pair from orders"):
            names.add((entity, id))
            if pair is not None:
                kind, _, target = pair.partition(">")[2].partition("/")
                names.add((kind, target))
        names.update(self._all("select entity, id from letters"))
        names.update(self._all("select kind, id from stirs"))
        return frozenset(names)

    def pack(self, names: Iterable[tuple[str, str]]) -> Segment | None:
        """Put these on the disk as a segment, which does not count yet. Raises `StoreFault`."""
        packed = [one for kind, id in names if (one := self._pack(kind, id)) is not None]
        if not packed:
            return None
        after = self._first("select number, sum from segments order by number desc limit 1") or (0, "")
        return self._segments.write(after, packed)

    def _pack(self, kind: str, id: str) -> Packed | None:
        row, state, live, due, version, body = self._first(
            "select row, state, live, due, version, body from entities where kind = ? and id = ?", (kind, id)
        )
        log = self._all("select seq, body, hash from log where entity = ? order by seq limit ?", (row, ENTRIES_MAX + 1))
        if not state or len(log) > ENTRIES_MAX:
            return None
        entity = r.Entity(
            row=row, kind=kind, id=id, state=state, live=bool(live), due=due, table=version, body=r.raw(body)
        )
        entries = [
            # One that was put away before, and came back, takes all of its past along.
            r.LogEntry(seq=seq, row=row, hash=hash.hex(), body=r.raw(self._whole(row, seq, body)))
            for seq, body, hash in log
        ]
        return Packed(row, (kind, id), version_of(body), log[-1][0], pack(entity, entries))

    def put_away(self, segment: Segment) -> int:
        """Let a segment count, in the thread that appends, and return for how many: those who are as they were."""
        db = self._writer
        done = 0
        try:
            with db:
                db.execute("insert into segments values(?, ?, ?)", (segment.number, segment.sha256, segment.size))
                for one, place, size in segment.members:
                    done += self._put_away(db, one, (one.row, segment.number, place, size))
                db.execute("update meta set value = ? where name = 'format'", (FORMAT_ARCHIVED,))
        except apsw.Error as problem:
            self._back()
            raise fault_of(self.path, problem) from problem
        self._checkpoints.appended()
        return done

    def _put_away(self, db: apsw.Connection, one: Packed, place: tuple[int, int, int, int]) -> bool:
        kept: Any = db.execute("select state, body from entities where row = ?", (one.row,)).fetchone()
        state, body = kept
        last = db.execute("select max(seq) from log where entity = ?", (one.row,)).get
        if not state or last != one.last or version_of(body) != one.version:
            return False
        log: Any = db.execute("select seq, body from log where entity = ?", (one.row,)).fetchall()
        db.executemany(
            "update log set body = ? where seq = ?",
            [(digest_of(body), seq) for seq, body in log if not is_digest(body)],
        )
        db.execute("update entities set state = '', body = x'' where row = ?", (one.row,))
        db.execute("delete from marks where entity = ?", (one.row,))
        db.execute("delete from ranked where row = ?", (one.row,))
        db.execute("insert or replace into archived values(?, ?, ?, ?)", place)
        return True

    def is_archived(self, entity: str, id: str) -> bool:
        """Say whether the entity has been put away."""
        found = self._one("select state = '' from entities where kind = ? and id = ?", (entity, id))
        return bool(found)

    def archived(self) -> int:
        """Return how many have been put away."""
        found: int = self._one("select coalesce(sum(number), 0) from populations where state = ''")
        return found

    def _packed(self, row: int) -> Unpacked:
        found = self._first("select segment, place, size from archived where row = ?", (row,))
        if found is None:
            raise ArchiveDamaged(f"`{self.path}` does not say where in the archive row {row} is")
        return self._segments.read(*found)

    def _whole(self, row: int, seq: int, body: bytes) -> bytes:
        return self._packed(row).body(seq, body) if is_digest(body) else body

    def _kept_body(self, row: int, body: bytes) -> bytes:
        return body or bytes(self._packed(row).entity.body)

    def _back(self) -> None:
        # SQLite goes back by itself on some faults.
        if self._writer.in_transaction:
            self._writer.execute("rollback")

    # --- private ---

    @property
    def _codec(self) -> Codec:
        return self._codecs.of(self._codecs.current)

    def _table(self, number: int) -> Table:
        return load(self._one("select body from versions where number = ?", (number,)))

    def _pushed(self, number: int) -> tuple[int, str]:
        at, by = self._first("select at, author from versions where number = ?", (number,))
        return at, by

    @property
    def _read(self) -> apsw.Cursor:
        """A cursor of this thread's own connection."""
        reader: apsw.Connection | None = getattr(self._threads, "reader", None)
        if reader is None:
            reader = self._threads.reader = _reader(self.path, self._vfs)
            self._readers.append(reader)
        return reader.cursor()

    def _all(self, sql: str, given: Sequence[Any] = ()) -> Any:
        try:
            return self._read.execute(sql, given).fetchall()
        except apsw.Error as problem:
            raise fault_of(self.path, problem) from problem

    def _first(self, sql: str, given: Sequence[Any] = ()) -> Any:
        """Return the first row, or `None`."""
        try:
            return self._read.execute(sql, given).fetchone()
        except apsw.Error as problem:
            raise fault_of(self.path, problem) from problem

    def _one(self, sql: str, given: Sequence[Any] = ()) -> Any:
        """Return the only value of the first row, or `None`."""
        try:
            return self._read.execute(sql, given).get
        except apsw.Error as problem:
            raise fault_of(self.path, problem) from problem

    def _entries(self, sql: str, given: Sequence[Any]) -> Sequence[Entry]:
        entries = []
        for seq, body, row in self._all(sql, given):
            entry = _entry_from_json(self._whole(row, seq, body))
            msgspec.structs.force_setattr(entry, "seq", seq)
            entries.append(entry)
        return entries

    def _orders(self, sql: str, given: Sequence[Any]) -> Sequence[OrderRow]:
        return [self._order(columns) for columns in self._all(sql, given)]

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


class _Appending:
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
        self._body_of = body_of

    def write(self) -> None:
        for change in self._batch.changes:
            if change.version is not None:
                self._version(change.version)
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

    def _version(self, version: TableVersion) -> None:
        old = None if self._codecs.current == 0 else self._now
        self._db.execute(
            "insert into versions values(?, ?, ?, ?, ?, ?, ?)",
            (version.number, version.digest, version.table, version.report, version.at, version.by, version.note),
        )
        self.codec = Codec(load(version.table))
        self.number = version.number
        if old is not None:
            self._index_again(old, self.codec)

    def _index_again(self, old: Codec, new: Codec) -> None:
        """Index all entities of the kinds whose `key` or `unique`s another table changes."""
        step = moving(old.table, new.table, self.number - 1)
        self.stale = self._ranks.stale(changed_kinds(old.table, new.table, step.touched | step.asked))
        if step.touched or step.roused:
            self._db.execute("insert or replace into meta values('moved', 0)")
        for kind in sorted(step.indexed):
            self._db.execute("delete from holds where kind = ?", (kind,))
            self._db.execute("delete from keys where kind = ?", (kind,))
            self._db.execute("delete from refs where kind = ?", (kind,))
            after = 0
            while rows := self._of_kind(kind, after):
                for row, id, version, body in rows:
                    now = self._codecs.load(version, kind, id, self._body_of(row, body))
                    carried = new.carried(old, now, from_version=self.number - 1)
                    if isinstance(carried, Snapshot):
                        self._hold(carried, row)
                after = rows[-1][0]

    def _of_kind(self, kind: str, after: int) -> Sequence[tuple[int, str, int, bytes]]:
        """Return the next entities of a kind, by row: a million at once would not fit into memory."""
        found: Any = self._db.execute(
            "select row, id, version, body from entities where row > ? and +kind = ? order by row limit ?",
            (after, kind, _INDEXED_AT_ONCE),
        ).fetchall()
        return found  # type: ignore[no-any-return]  # apsw's rows are tuples of anything

    def _entities(self) -> None:
        """Write each entity once, as the whole batch leaves it."""
        last: dict[tuple[str, str], tuple[Snapshot | None, int | None]] = {}
        for change in self._batch.changes:
            for now in change.snapshots:
                last[now.entity, now.id] = (now, next_due(now))
            for wake in change.wakes:
                name = (wake.entity, wake.id)
                last[name] = (last[name][0] if name in last else None, wake.at)
        codec = self._now
        updates: list[tuple[str, bool, int | None, int, bytes, int]] = []
        for name, (after, due) in last.items():
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
        codec = self._now
        key = codec.key(now)
        if key is not None:
            self._db.execute("insert or ignore into keys values(?, ?, ?)", (now.entity, key, row))
        for number, text in codec.uniques(now).items():
            # Two final ones may hold a value that a later table made `unique ever`: the first has it.
            self._db.execute("insert or ignore into holds values(?, ?, ?, ?)", (now.entity, number, text, row))
        if codec.is_watched(now.entity):
            self._refer(now, row, codec.references(now))

    def _refer(self, now: Snapshot, row: int, references: Iterable[tuple[str, str]]) -> None:
        self._db.executemany(
            "insert into refs values(?, ?, ?, ?)", [(now.entity, field, id, row) for field, id in sorted(references)]
        )

    def _hold_again(self, now: Snapshot, row: int) -> None:
        codec = self._now
        if codec.is_watched(now.entity):
            self._refer_again(now, row, codec.references(now))
        if not codec.table.entities[now.entity].uniques:
            return
        holds = codec.uniques(now)
        had: Any = self._db.execute("select number, value from holds where row = ?", (row,)).fetchall()
        if holds == dict(had):
            return
        self._db.execute("delete from holds where row = ?", (row,))
        for number, text in holds.items():
            self._db.execute("insert or ignore into holds values(?, ?, ?, ?)", (now.entity, number, text, row))

    def _refer_again(self, now: Snapshot, row: int, references: frozenset[tuple[str, str]]) -> None:
        found: Any = self._db.execute("select field, target from refs where row = ?", (row,)).fetchall()
        had = frozenset(found)
        self._db.executemany(
            "delete from refs where kind = ? and field = ? and target = ? and row = ?",
            [(now.entity, field, id, row) for field, id in sorted(had - references)],
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
            pair = None if send is None else f"{row.entity}/{row.id}>{send.entity}/{send.entity_id}"
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
                    pair,
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
        if self.keys > KEYS_KEPT_MIN:
            self._db.execute(
                "delete from requests where row in (select row from requests order by row limit 2) and at < ?",
                (entry.at - KEYS_KEPT_MS,),
            )
            self.keys -= self._db.changes()


def _pieces(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the rows in as few pieces as have a statement each."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE]


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


# --- the file ---------------------------------------------------------------------------------------------------------


def _locked(path: Path) -> IO[str]:
    """Return the lock that says whose the file is, held. A process that dies lets go of it."""
    try:
        lock = Path(f"{path}.lock").open("a+", encoding="utf-8")  # noqa: SIM115 - held for as long as the store is open
    except OSError as problem:
        raise StoreFault(f"`{path}.lock` can't be written: {problem.strerror}") from problem
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        lock.seek(0)
        other = lock.read().strip() or "another"
        lock.close()
        raise StoreFault(
            f"`{path}` is in use by process {other}: stop it, or give this one a folder of its own"
        ) from problem
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _writer(path: Path, vfs: str | None) -> apsw.Connection:
    """Return the connection that writes; make the tables of a new file. One that is not ours is left as it is."""
    db = _connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, vfs)
    try:
        new = db.execute("select count(*) from sqlite_schema").get == 0
        old = not new and _see_whose(db, path) < FORMAT
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        # What a statement of many rows would take back if it failed is kept there, and not in a file.
        db.execute("pragma temp_store = memory")
        db.execute("pragma journal_size_limit = 67108864")
        if new:
            with db:
                db.execute(_SCHEMA)
        if old:
            _migrate(db)
        db.execute(_WATCHING)
        db.execute(_ARCHIVE)
        _make_lists(db)
    except BaseException:
        db.close()
        raise
    return db


def archive_of(path: Path) -> Path:
    """Return the folder of what has been put away of the space in that file."""
    return path.with_suffix(".archive")


def founded(path: Path) -> apsw.Connection:
    """Return a connection to a new file with a space's tables, not in WAL mode: one that is filled before it is served.

    What a fault leaves there is of no use.
    """
    db = _connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, None)
    db.execute("pragma synchronous = off")  # It is synced as a whole, once it is whole.
    with db:
        db.execute(_SCHEMA)
        db.execute(_WATCHING)
        db.execute(_ARCHIVE)
        _make_lists(db)
    return db


def _make_lists(db: apsw.Connection) -> None:
    """Make what lists need, and what files of earlier builds have not."""
    db.execute(RANKS)
    if db.execute("select 1 from sqlite_schema where name = 'populations'").get is None:
        with db:
            db.execute(_POPULATIONS)


def reading(path: Path) -> apsw.Connection:
    """Return a connection to a space's file that changes nothing, whoever serves it. Raises `StoreFault`."""
    if not path.is_file():
        raise StoreFault(f"there is no file `{path}`")
    try:
        db = _connect(path, apsw.SQLITE_OPEN_READONLY, None)
    except apsw.Error as problem:
        raise StoreFault(f"`{path}` can't be opened: {problem}") from problem
    try:
        found = _see_whose(db, path)
        if found < FORMAT:
            raise StoreFault(f"`{path}` has format {found}: serve it once with this Temper, which makes it {FORMAT}")
    except apsw.Error as problem:
        db.close()
        raise fault_of(path, problem) from problem
    except StoreFault:
        db.close()
        raise
    return db


def _reader(path: Path, vfs: str | None) -> apsw.Connection:
    db = _connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
    db.execute("pragma query_only = on")
    return db


def _connect(path: Path, flags: int, vfs: str | None) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=_STATEMENTS)
    db.set_busy_timeout(5_000)
    return db


def _see_whose(db: apsw.Connection, path: Path) -> int:
    """Return the format of a file that is ours. Raises `StoreFault` where it is not, or is newer than we are."""
    if db.execute("pragma application_id").get != APPLICATION_ID:
        raise StoreFault(f"`{path}` is no space of Temper's")
    found = db.execute("select value from meta where name = 'format'").get
    if not isinstance(found, int) or not 1 <= found <= FORMAT_ARCHIVED:
        raise StoreFault(
            f"`{path}` has format {found}, and this Temper reads format {FORMAT_ARCHIVED}: use the newer one"
        )
    return found


def _migrate(db: apsw.Connection) -> None:
    """Bring a file of format 1 to format 2, in one commit: a kill on the way leaves it as it was.

    Each entry gets its hash. What was written without marks gets none: it is read from the entity's first entry on.
    """
    with db:
        # The default is there since rows are; each gets its own below.
        db.execute("alter table log add column hash blob not null default x''")
        db.execute(
            "create table marks(entity integer not null, seq integer not null, version integer not null,"
            " body blob not null, primary key(entity, seq)) without rowid"
        )
        head, seq = GENESIS, 0
        while rows := _unhashed(db, seq):
            hashes = []
            for seq, body in rows:
                head = chained(head, body)
                hashes.append((head, seq))
            db.executemany("update log set hash = ? where seq = ?", hashes)
        db.execute("update meta set value = ? where name = 'format'", (FORMAT,))


def _unhashed(db: apsw.Connection, after: int) -> Sequence[tuple[int, bytes]]:
    """Return the next entries that a migration takes."""
    found: Any = db.execute(
        "select seq, body from log where seq > ? order by seq limit ?", (after, _MIGRATED_AT_ONCE)
    ).fetchall()
    return found  # type: ignore[no-any-return]  # apsw's rows are tuples of anything


def _texts(texts: Sequence[str]) -> str:
    return _to_json(texts).decode()
