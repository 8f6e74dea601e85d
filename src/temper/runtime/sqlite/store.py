"""The store over a file of SQLite's: see `temper.kernel.Store` for its verbs, and `schema` for its tables.

Two tables carry the load, so that an action costs a row of the log and a row of its entity: both have integer keys,
so that what belongs together lies together. The log has one index, for histories. Everything else is small or seldom.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import msgspec

from temper.kernel import (
    Answered,
    Batch,
    Entry,
    Index,
    Order,
    Place,
    StoreFault,
    Unmoved,
)
from temper.runtime.archive import Segment, Unpacked
from temper.runtime.chain import GENESIS
from temper.runtime.checkpoint import Checkpoints
from temper.runtime.disk import fault_of
from temper.runtime.ranks import Rank, Ranks, Span, Spot
from temper.runtime.sql import Dialect, SqlStore, onwards
from temper.runtime.sqlite.appending import Appending
from temper.runtime.sqlite.archive import Archive
from temper.runtime.sqlite.file import back, connect, locked, writing
from temper.runtime.sqlite.indexing import Labels, SqliteIndex, scratch_index
from temper.runtime.sqlite.reader import Reader
from temper.table import Snapshot, Value

# Entities whose row number is known without asking.
_ROWS_MAX = 200_000

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
_SQLITE = Dialect("?", "version", "populations", "$1", parted=False)
# Up to which row all are as the table in force has them; nothing where all are.
_MOVED = "select value from meta where name = 'moved'"
# Rows that a turn goes past, in search of those who are not.
_PASSED_AT_ONCE = 2_000
_to_json = msgspec.json.Encoder().encode


class SqliteStore(SqlStore):
    """Keeps a space in the file `path` (and its `-wal`, `-shm` and `.lock`); see `temper.kernel.Store` for its verbs.

    Reading is safe from any thread and does not wait for an append; appends come from one thread at a time. Raises
    `StoreFault` when another process has the file, or when a newer Temper wrote it. `vfs` names another file system of
    SQLite's than its own.
    """

    shared = False

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self.path = path
        self._lock = locked(path)
        try:
            self._writer = writing(path, vfs)
        except StoreFault:
            self._lock.close()
            raise
        except apsw.Error as problem:
            self._lock.close()
            raise StoreFault(f"`{path}` can't be opened: {problem}") from problem
        self._reader = Reader(path, vfs)
        super().__init__(self._reader, _SQLITE)
        self._archive = Archive(path, self._reader, self._writer)
        self._known: dict[tuple[str, str], int] = {}
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
        self._codecs.current = self._reader.one("select coalesce(max(number), 0) from versions")
        last = self._reader.first("select seq, hash from log order by seq desc limit 1")
        self._last_seq: int
        self._head: bytes
        self._last_seq, self._head = last or (0, GENESIS)
        # They go from the oldest on, so that nobody has to count them.
        self._keys: int = self._reader.one(
            "select coalesce((select max(row) from requests) - (select min(row) from requests) + 1, 0)"
        )
        self.ranks = Ranks(self._writer)
        self._labels = Labels(self._writer)

    def close(self) -> None:
        """Let go of the file. The log is written back into it first, so that it can be copied alone."""
        self._reader.close()
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

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        id: str | None = self._reader.one(
            "select id from entities where row = (select row from keys where kind = ? and value = ?)",
            self._labels.of(entity),
            self._codec.key_text(entity, values),
        )
        return id

    def holder(self, entity: str, unique: int, values: Sequence[Value]) -> str | None:
        id: str | None = self._reader.one(
            "select id from entities where row = (select row from holds where kind = ? and number = ? and value = ?)",
            self._labels.of(entity),
            unique,
            self._codec.unique_text(entity, unique, values),
        )
        return id

    def _label(self, entity: str) -> str:
        return self._labels.of(entity)

    def live(self) -> Iterator[Snapshot]:
        columns: Any
        for columns in self._reader.cursor().execute("select kind, id, version, body from entities where live"):
            kind, id, version, body = columns
            yield self._codecs.load(version, kind, id, body)

    def living(
        self, asked: Collection[tuple[str, str]], *, after: int, limit: int
    ) -> tuple[Sequence[Snapshot], int | None]:
        kinds = sorted({kind for kind, _ in asked})
        page = self._reader.rows(
            # By row, which the plus sees to: by the index on kinds, each page would sort all who live.
            "select row, kind, id, state, version, body from entities"
            " where row > ? and live and +kind in (select value from json_each(?)) order by row limit ?",
            after,
            _texts(kinds),
            limit,
        )
        return self._those(page, asked, limit)

    def all_of(
        self, kinds: Collection[str], *, after: int, limit: int
    ) -> tuple[Sequence[tuple[int, Snapshot]], int | None]:
        page = self._reader.rows(
            "select row, kind, id, version, body from entities"
            " where row > ? and +kind in (select value from json_each(?)) order by row limit ?",
            after,
            _texts(sorted(kinds)),
            limit,
        )
        found = [(row, self._load(row, version, kind, id, body)) for row, kind, id, version, body in page]
        return found, onwards(page, limit)

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
        return self._reader.one(_MOVED) is not None

    def unmoved(self, limit: int) -> Unmoved | None:
        start = self._reader.one(_MOVED)
        if start is None:
            return None
        rows = self._reader.rows(
            # A body is read where it is needed: of a page few are.
            "select row, kind, id, state, live, version, null from entities where row > ? order by row limit ?",
            start,
            _PASSED_AT_ONCE,
        )
        return self._unmoved(rows, _PASSED_AT_ONCE, limit)

    def _listed(self, entity: str, states: Sequence[str], after: int | None, limit: int, order: Order) -> Sequence[Any]:
        start = after if after is not None else 0 if order is Order.OLDEST else _ROW_MAX
        there = [state for state, _ in self._populations(entity, states)]
        if not there:
            return ()
        of_each = " union all ".join(_OF_STATE[order].format(f"?{number}") for number, _ in enumerate(there, 4))
        way = "asc" if order is Order.OLDEST else "desc"
        return self._reader.rows(
            f"select row, id, version, body from entities"  # noqa: S608 - no value is in it
            f" where row in (select row from ({of_each}) order by row {way} limit ?3) order by row {way}",
            entity,
            start,
            limit,
            *there,
        )

    def list_by_id(self, entity: str, after: str | None, limit: int, *, downwards: bool) -> Sequence[Snapshot]:
        """Return the next so many entities after an id, in the order of their ids."""
        way, than = ("desc", "<") if downwards else ("asc", ">")
        there = "kind = ?1 and state <> ''"
        beyond, given = ("", (entity, limit)) if after is None else (f" and id {than} ?3", (entity, limit, after))
        found = self._reader.rows(
            f"select id, version, body from entities where {there}{beyond} order by id {way} limit ?2",  # noqa: S608 - no value is in it
            *given,
        )
        return [self._codecs.load(version, entity, id, body) for id, version, body in found]

    def ranked(
        self, rank: Rank, span: Span, after: Spot | None, limit: int, *, downwards: bool
    ) -> Sequence[tuple[Spot, Snapshot]]:
        """Return the next so many entities of a whole rank, within the span."""
        read = self._reader.cursor()
        found: list[tuple[Spot, Snapshot]] = []
        for spot in Ranks.page(read, rank, span, after, limit, downwards=downwards):
            id, version, body = self._reader.first("select id, version, body from entities where row = ?", spot[1])
            found.append((spot, self._codecs.load(version, rank.kind, id, body)))
        return found

    def ranked_count(self, rank: Rank, span: Span, most: int) -> int:
        """Return how many entities of a whole rank are within the span; `most + 1` for more."""
        return Ranks.count(self._reader.cursor(), rank, span, most)

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

    # --- the journal ---

    def answered(self, key: str) -> Answered | None:
        found = self._reader.first("select fingerprint, seq, kind, id, version, body from requests where name = ?", key)
        if found is None:
            return None
        fingerprint, seq, kind, id, version, body = found
        now = None if body is None else self._codecs.of(version).load(kind, id, body)
        (entry,) = self._entries("select seq, entity, body from log where seq = $1", seq)
        return Answered(fingerprint, entry, now)

    def entries(self, after: int, limit: int) -> Sequence[Entry]:
        return self._entries("select seq, entity, body from log where seq > $1 order by seq limit $2", after, limit)

    def last_seq(self) -> int:
        return self._last_seq

    def place(self) -> Place:
        return (self._last_seq,)

    def changed(self, since: Place, limit: int) -> tuple[Sequence[tuple[str, str]], Place]:
        # Entries are dense, and their rows say whom they speak of: no entry is read.
        upto = min(since[0] + limit, self._last_seq)
        names: Sequence[tuple[str, str]] = self._reader.rows(
            "select kind, id from entities where row in (select entity from log where seq > ? and seq <= ?)",
            since[0],
            upto,
        )
        return names, (upto,)

    # --- appending ---

    def append(self, batch: Batch) -> int:
        writer = self._writer
        try:
            writer.execute("begin immediate")
        except apsw.Error as problem:
            raise fault_of(self.path, problem) from problem
        appending = Appending(
            writer, batch, self._codecs, self._known, self._last_seq, self._head, self._keys, self.ranks, self._labels,
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
        if len(self._known) + len(appending.rows) > _ROWS_MAX:
            self._known.clear()
        self._known.update(appending.rows)
        self._last_seq = appending.last_seq
        self._head = appending.head
        self._keys = appending.keys
        self._checkpoints.appended()
        return self._last_seq

    # --- the archive ---

    def pack(self, names: Iterable[tuple[str, str]]) -> Segment | None:
        """Put these on the disk as a segment, which does not count yet. Raises `StoreFault`."""
        return self._archive.pack(names)

    def put_away(self, segment: Segment) -> int:
        """Let a segment count, in the thread that appends, and return for how many: those who are as they were."""
        done = self._archive.put_away(segment)
        self._checkpoints.appended()
        return done

    def _packed(self, row: int) -> Unpacked:
        return self._archive.packed(row)


def _texts(texts: Sequence[str]) -> str:
    return _to_json(texts).decode()
