"""The store over a file of SQLite's: see `temper.kernel.Store` for its verbs, and `schema` for its tables.

Two tables carry the load, so that an action costs a row of the log and a row of its entity: both have integer keys,
so that what belongs together lies together. The log has one index, for histories. Everything else is small or seldom.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import msgspec

from temper.kernel import (
    Answered,
    Batch,
    Codec,
    Codecs,
    Entry,
    Index,
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
    load_caller,
    path_of,
)
from temper.runtime import records as r
from temper.runtime.agenda import NEVER, Agenda
from temper.runtime.archive import ENTRIES_MAX, ArchiveDamaged, Packed, Segment, Segments, Unpacked, pack
from temper.runtime.chain import GENESIS, digest_of, is_digest
from temper.runtime.checkpoint import Checkpoints
from temper.runtime.disk import fault_of
from temper.runtime.ranks import Rank, Ranks, Span, Spot
from temper.runtime.sqlite.appending import Appending
from temper.runtime.sqlite.file import archive_of, asking, back, connect, locked, writing
from temper.runtime.sqlite.indexing import Labels, SqliteIndex, scratch_index
from temper.runtime.sqlite.schema import FORMAT_ARCHIVED
from temper.table import Snapshot, Table, Value, load

# Entities whose row number is known without asking.
_ROWS_MAX = 200_000

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
_ROW_MAX = 2**63 - 1
# Up to which row all are as the table in force has them; nothing where all are.
_MOVED = "select value from meta where name = 'moved'"
# Rows that a turn goes past, in search of those who are not.
_PASSED_AT_ONCE = 2_000
_to_json = msgspec.json.Encoder().encode
_entry_from_json = msgspec.json.Decoder(Entry).decode


class _Versioned(msgspec.Struct):
    version: int


_versioned = msgspec.json.Decoder(_Versioned).decode


def version_of(body: bytes) -> int:
    """Return the version of an entity as it is kept."""
    return _versioned(body).version


_from_json = msgspec.json.Decoder().decode


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
        self._lock = locked(path)
        try:
            self._writer = writing(path, vfs)
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
        self._checkpoints = Checkpoints(self._writer, partial(connect, path, apsw.SQLITE_OPEN_READWRITE, vfs))
        try:
            self._begin()
        except BaseException as problem:
            self.close()
            if isinstance(problem, apsw.Error):
                raise fault_of(path, problem) from problem
            raise

    def _begin(self) -> None:
        """Read how far it has come."""
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
        self._labels = Labels(self._writer)
        self._segments = Segments(archive_of(self.path))

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
            (self._labels.of(entity), self._codec.key_text(entity, values)),
        )
        return id

    def holder(self, entity: str, unique: int, values: Sequence[Value]) -> str | None:
        id: str | None = self._one(
            "select id from entities where row = (select row from holds where kind = ? and number = ? and value = ?)",
            (self._labels.of(entity), unique, self._codec.unique_text(entity, unique, values)),
        )
        return id

    def referrers(
        self, entity: str, field: str, id: str, *, after: int = 0, limit: int
    ) -> tuple[Sequence[str], int | None]:
        found = self._all(
            "select refs.row, entities.id from refs join entities on entities.row = refs.row"
            " where refs.kind = ? and refs.field = ? and refs.target = ? and refs.row > ? order by refs.row limit ?",
            (self._labels.of(entity), field, id, after, limit + 1),
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

    def all_of(
        self, kinds: Collection[str], *, after: int, limit: int
    ) -> tuple[Sequence[tuple[int, Snapshot]], int | None]:
        page = self._all(
            "select row, kind, id, version, body from entities"
            " where row > ? and +kind in (select value from json_each(?)) order by row limit ?",
            (after, _texts(sorted(kinds)), limit),
        )
        found = [
            (row, self._codecs.load(version, kind, id, self._kept_body(row, body)))
            for row, kind, id, version, body in page
        ]
        return found, page[-1][0] if len(page) == limit else None

    def row(self, entity: str, id: str) -> int | None:
        row: int | None = self._one("select row from entities where kind = ? and id = ?", (entity, id))
        return row

    def indexing(self, kinds: Collection[str], *, lasting: bool) -> Index:
        return SqliteIndex(self._writer, kinds, partial(fault_of, self.path)) if lasting else scratch_index(kinds)

    def tidy(self) -> bool:
        try:
            more = self._labels.tidy()
        except apsw.Error as problem:
            back(self._writer)
            raise fault_of(self.path, problem) from problem
        self._checkpoints.appended()
        return more

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
            back(self._writer)
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
        appending = Appending(
            writer, batch, self._codecs, self._rows, self._last_seq, self._head, self._keys, self.ranks, self._labels,
            self._kept_body,
        )  # fmt: skip
        try:
            appending.write()
        except BaseException as problem:
            back(self._writer)
            if isinstance(problem, apsw.Error):
                raise fault_of(self.path, problem) from problem
            raise
        try:
            writer.execute("commit")
        except apsw.Error as problem:
            back(self._writer)
            self._agenda.forget()
            # Some of it may have reached the log, and be found there if we die before we write again.
            raise fault_of(self.path, problem, unknown=True) from problem
        self._agenda.appended(appending.dues, batch)
        if appending.codec is not None:
            self._codecs.put(appending.number, appending.codec)
            self.ranks.forget(appending.stale)
            self._labels.adopt()
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
            back(self._writer)
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
            reader = self._threads.reader = asking(self.path, self._vfs)
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


def _texts(texts: Sequence[str]) -> str:
    return _to_json(texts).decode()
