"""The store over PostgreSQL: see `temper.kernel.Store` for its verbs, and `schema` for what one append does."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from temper.kernel import (
    Answered,
    Batch,
    Codec,
    Entry,
    Index,
    Order,
    OrderRow,
    Place,
    Superseded,
    TableVersion,
    Unmoved,
)
from temper.runtime.archive import ENTRIES_MAX, Segment, Unpacked
from temper.runtime.postgres.appending import Appending
from temper.runtime.postgres.archive import TO_PACK, pack_row, put_away, unpacked
from temper.runtime.postgres.columns import Columns, Name
from temper.runtime.postgres.founding import Swapping, opened
from temper.runtime.postgres.herald import Herald, told_by
from temper.runtime.postgres.indexing import PostgresIndex, abandon, tidy
from temper.runtime.postgres.leases import Leases
from temper.runtime.postgres.line import Line
from temper.runtime.postgres.ranks import PostgresRanks
from temper.runtime.ranks import Rank, Span, Spot
from temper.runtime.sql import Dialect, SqlStore, onwards
from temper.runtime.sqlite import scratch_index
from temper.table import Snapshot, Value, load, moving

_LABEL = "coalesce((select label from labels where kind = $1 and state = 'in force'), $1)"
_POSTGRES = Dialect("$", "number", "counts", _LABEL, parted=True)
_PAGE = 1_000
# Of each state the next so many, by its index, and of these the first: so nobody is passed over, however few there are
# of a kind or in a state. Which states there are is in `counts`.
_PAGE_OF = (
    "select e.row, e.id, e.number, e.body from ("
    " select x.row from ("
    " select distinct state from counts where kind = $1 and ($2 or state = any($3)) and state <> '' and number > 0) s"
    " cross join lateral (select row from entities where kind = $1 and state = s.state and row {beyond}"
    " order by row {way} limit $5) x"
    " order by x.row {way} limit $5) p join entities e on e.row = p.row order by e.row {way}"
)
_PAGES = {
    Order.OLDEST: _PAGE_OF.format(beyond="> coalesce($4::bigint, 0)", way="asc"),
    Order.NEWEST: _PAGE_OF.format(beyond="< coalesce($4::bigint, 9223372036854775807)", way="desc"),
}

_T = TypeVar("_T")


def part_of(entity: str, id: str, parts: int) -> int:
    """Return the partition into which an entity falls, of so many."""
    return zlib.crc32(f"{entity}/{id}".encode()) % parts


class PostgresStore(SqlStore):
    """Keeps a space in a PostgreSQL database, in a schema of its own.

    `server` names who writes; of the partitions it may decide for those that it has leased (`leases`). Reading is safe
    from any thread, appends come from one at a time. Raises `StoreFault` when the database can't be reached, or when a
    newer Temper made the space. One that is not there is made, with `parts` partitions.
    """

    def __init__(self, url: str, space: str, *, server: str = "alone", parts: int = 1) -> None:
        self.url = url
        self.space = space
        self.server = server
        self.schema = f"temper_{space}"
        self._lock = zlib.crc32(self.schema.encode())
        self._line = Line(url, self.schema)
        try:
            self.parts = self._line.ask(opened(self._line, self.schema, self._lock, parts))
        except BaseException:
            self._line.close()
            raise
        super().__init__(self._line, _POSTGRES)
        self.leases = Leases(self._line, server, self._agenda.forget)
        self._appending = Appending(self._line, self.leases, self._lock)
        self._ahead: _Ahead | None = None
        self._codecs.current = self._line.one("select value from meta where name = 'version'") or 0
        abandon(self._line, server)
        self.ranks = PostgresRanks(self._line, self.schema, self._codecs, self.moving)
        self._herald = Herald(self._line, self.schema, server) if self.parts > 1 else None

    @property
    def shared(self) -> bool:
        """Others may write to it."""
        return True

    def close(self) -> None:
        """Let go of the database. What is leased stays so until it runs out; `leases.release` before."""
        self._line.close()

    def part(self, entity: str, id: str) -> int:
        """Return the partition of an entity."""
        return part_of(entity, id, self.parts)

    # --- entities ---

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        ahead = self._ahead
        if ahead is not None and ahead.thread == threading.get_ident() and (entity, id) in ahead.snapshots:
            return ahead.snapshots[entity, id]
        return super().snapshot(entity, id)

    @contextlib.contextmanager
    def reading_ahead(self, names: Iterable[tuple[str, str]], keys: Sequence[str]) -> Iterator[None]:
        """Read what a batch is about in one go; in the block this thread is given that.

        It is not looked at again: `append` holds a batch against what is there.
        """
        wanted = list(names)
        snapshots: dict[tuple[str, str], Snapshot | None] = dict.fromkeys(wanted)
        if wanted:
            found = self._line.rows(
                "select e.row, e.kind, e.id, e.number, e.body from unnest($1::text[], $2::text[]) as w(kind, id)"
                " join entities e on e.kind = w.kind and e.id = w.id",
                [kind for kind, _ in wanted],
                [id for _, id in wanted],
            )
            for row, kind, id, number, body in found:
                snapshots[kind, id] = self._load(row, number, kind, id, body)
        unknown = set(keys)
        if keys:
            found = self._line.rows("select name from requests where name = any($1)", list_of(keys))
            unknown -= {row["name"] for row in found}
        self._ahead = _Ahead(threading.get_ident(), snapshots, unknown)
        try:
            yield
        finally:
            self._ahead = None

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        id: str | None = self._line.one(
            f"select id from keys where kind = {_LABEL} and value = $2",  # noqa: S608 - all of it is ours
            entity,
            self._codec.key_text(entity, values),
        )
        return id

    def holder(self, entity: str, unique: int, values: Sequence[Value]) -> str | None:
        id: str | None = self._line.one(
            f"select id from holds where kind = {_LABEL} and number = $2 and value = $3",  # noqa: S608 - all of it is ours
            entity,
            unique,
            self._codec.unique_text(entity, unique, values),
        )
        return id

    def _label(self, entity: str) -> str:
        return entity

    def live(self) -> Iterator[Snapshot]:
        after = 0
        while True:
            found = self._line.rows(
                "select row, kind, id, number, body from entities where live and row > $1 order by row limit $2",
                after,
                _PAGE,
            )
            for row, kind, id, number, body in found:
                yield self._load(row, number, kind, id, body)
            if len(found) < _PAGE:
                return
            after = found[-1]["row"]

    def living(
        self, asked: Collection[tuple[str, str]], *, after: int, limit: int
    ) -> tuple[Sequence[Snapshot], int | None]:
        page = self._line.rows(
            "select row, kind, id, state, number, body from entities where row > $1 and live and kind = any($2)"
            " order by row limit $3",
            after,
            sorted({kind for kind, _ in asked}),
            limit,
        )
        return self._those(page, asked, limit)

    def all_of(
        self, kinds: Collection[str], *, after: int, limit: int
    ) -> tuple[Sequence[tuple[int, Snapshot]], int | None]:
        page = self._line.rows(
            "select row, kind, id, number, body from entities where row > $1 and kind = any($2) order by row limit $3",
            after,
            sorted(kinds),
            limit,
        )
        return [(row, self._load(row, number, kind, id, body)) for row, kind, id, number, body in page], onwards(
            page, limit
        )

    def indexing(self, kinds: Collection[str], *, lasting: bool) -> Index:
        return PostgresIndex(self._line, self.server, kinds) if lasting else scratch_index(kinds)

    def tidy(self) -> bool:
        return tidy(self._line)

    def moving(self) -> bool:
        found: bool = self._line.one("select exists(select from partitions where moved is not null)")
        return found

    def unmoved(self, limit: int) -> Unmoved | None:
        mine = list(self.leases.held)
        start = self._line.one("select min(moved) from partitions where part = any($1)", mine)
        if start is None:
            return None
        rows = self._line.rows(
            "select row, kind, id, state, live, number, case when live and number <> $1 then body end as body"
            " from entities where row > $2 and part = any($3) order by row limit $4",
            self._codecs.current,
            start,
            mine,
            _PAGE,
        )
        return self._unmoved(rows, _PAGE, limit)

    def _listed(self, entity: str, states: Sequence[str], after: int | None, limit: int, order: Order) -> Sequence[Any]:
        return self._line.rows(_PAGES[order], entity, not states, list_of(states), after, limit)

    def ranked(
        self, rank: Rank, span: Span, after: Spot | None, limit: int, *, downwards: bool
    ) -> Sequence[tuple[Spot, Snapshot]]:
        """Return the next so many entities of a whole rank, within the span."""
        return [
            ((place, row), self._load(row, number, rank.kind, id, body))
            for place, row, id, number, body in self.ranks.page(rank, span, after, limit, downwards=downwards)
        ]

    def ranked_count(self, rank: Rank, span: Span, most: int) -> int | None:
        """Return how many entities of a whole rank are within the span; `most + 1` for more, `None` where it can't."""
        return self.ranks.count(rank, span, most)

    def make_rank(self, kind: str, field: str) -> bool:
        """Have a rank made, beside the appends; say whether it is still being made. Raises `StoreFault`."""
        return self.ranks.make(kind, field)

    # --- what waits ---

    def look_again(self) -> None:
        """Ask the database what waits: others may have added to it."""
        self._agenda.forget()

    def started_in(self, parts: Sequence[int]) -> Sequence[OrderRow]:
        """Return the orders of these partitions whose attempt was started and has not ended."""
        return self._orders("state = 'started' and part = any($1) order by row", list_of(parts))

    # --- the journal ---

    def answered(self, key: str) -> Answered | None:
        ahead = self._ahead
        if ahead is not None and ahead.thread == threading.get_ident() and key in ahead.unknown:
            return None
        found = self._line.first(
            "select fingerprint, parts, seqs, kind, id, number, body from requests where name = $1", key
        )
        if found is None:
            return None
        number, kind, id, body = found["number"], found["kind"], found["id"], found["body"]
        now = None
        if body is not None:
            now = self._codecs.of(number).load(kind, id, body or self._put_away_body(kind, id))
        entry, *rest = self._entries(
            "select l.seq, l.entity, l.body"
            " from unnest($1::integer[], $2::bigint[]) with ordinality as w(part, seq, nth)"
            " join log l on l.part = w.part and l.seq = w.seq order by w.nth",
            found["parts"],
            found["seqs"],
        )
        return Answered(found["fingerprint"], entry, now, tuple(rest))

    def entries(self, after: int, limit: int, *, part: int = 0) -> Sequence[Entry]:
        return self._entries(
            "select seq, entity, body from log where part = $1 and seq > $2 order by seq limit $3", part, after, limit
        )

    def entries_after(self, places: Sequence[int], limit: int) -> Sequence[tuple[int, Entry]]:
        """Return what follows these numbers, one for each partition: of each so many, each with its partition.

        They stand in the order of their partitions, and of their numbers in each.
        """
        found = self._line.rows(
            "select l.part, l.seq, l.entity, l.body from unnest($1::integer[], $2::bigint[]) as a(part, seq)"
            " cross join lateral (select part, seq, entity, body from log"
            " where log.part = a.part and log.seq > a.seq order by log.seq limit $3) l"
            " order by l.part, l.seq",
            list(range(self.parts)),
            list(places),
            limit,
        )
        return [(part, self._entry(*columns)) for part, *columns in found]

    def last_seqs(self) -> Sequence[int]:
        """Return the number of each partition's last entry."""
        return [row["seq"] for row in self._line.rows("select seq from partitions order by part")]

    def listen(self, heard: Callable[[bool, Sequence[int]], None]) -> None:
        """Call `heard`, in a thread of the store's, with the partitions of each append, and whether it was our own.

        That is a hint: what is told while the connection is made anew is missed.
        """

        def told(_: int, payload: str) -> None:
            server, parts = told_by(payload)
            heard(server == self.server, parts)

        self._line.listen(self.schema, told)

    def last_seq(self, *, part: int = 0) -> int:
        seq: int = self._line.one("select seq from partitions where part = $1", part)
        return seq

    def place(self) -> Place:
        return tuple(self.last_seqs())

    def changed(self, since: Place, limit: int) -> tuple[Sequence[tuple[str, str]], Place]:
        names: list[tuple[str, str]] = []
        upto = list(since)
        for part, seq in enumerate(self.last_seqs()):
            while upto[part] < seq and len(names) < limit:
                page = self.entries(upto[part], limit - len(names), part=part)
                names.extend((entry.entity, entry.id) for entry in page)
                upto[part] = page[-1].seq
        return names, tuple(upto)

    # --- appending ---

    def append(self, batch: Batch) -> int:
        """Append, as every store does; numbers are dense in each partition, and what is returned is that of the first.

        Raises `Superseded` when another version is in force, and `Lost` when it decides for what is another's.
        """
        swap = next((change for change in batch.changes if change.version is not None), None)
        version = None if swap is None else swap.version
        codec = self._codec if version is None else Codec(load(version.table))
        number = self._codecs.current if version is None else version.number
        columns = Columns(codec, self.part).of(batch, self._versions)
        at = max((entry.at for change in batch.changes for entry in change.entries), default=0)
        before = None if swap is None or version is None else self._swapping(version, swap.index, codec)
        moved = next((change.moved for change in batch.changes if change.moved is not None), None)
        last = self._appending.append(columns, at, number, before, moved)
        if self._herald is not None:
            self._herald.tell(columns.counts)
        self._agenda.appended(columns.dues, batch)
        if version is not None:
            self._codecs.put(number, codec)
        return last

    def _versions(self, names: Sequence[Name]) -> Mapping[Name, int]:
        found = self._line.rows(
            "select e.kind, e.id, e.version from unnest($1::text[], $2::text[]) as w(kind, id)"
            " join entities e on e.kind = w.kind and e.id = w.id",
            [kind for kind, _ in names],
            [id for _, id in names],
        )
        return {(row["kind"], row["id"]): row["version"] for row in found}

    # --- the archive ---

    def pack(self, names: Collection[tuple[str, str]]) -> Segment | None:
        """Pack these; nothing of them is put away yet."""
        found = self._line.rows(TO_PACK, [kind for kind, _ in names], [id for _, id in names], ENTRIES_MAX)
        members = [
            pack_row(row, self._line.rows("select seq, body, hash from log where entity = $1 order by seq", row["row"]),
                     self._packed)
            for row in found
        ]  # fmt: skip
        return Segment(0, "", 0, tuple((one, 0, len(one.data)) for one in members)) if members else None

    def put_away(self, segment: Segment) -> int:
        """Put those away who are as they were, and return how many."""
        packed = [one for one, _, _ in segment.members]
        epochs = {part: self.leases.deciding().get(part) for part in {self.part(*one.name) for one in packed}}
        return self._line.ask(put_away(self._line, self._lock, packed, epochs))

    def exclusive(self) -> AbstractContextManager[None]:
        """Let nobody append in the block: what is read in it is still so when the version is appended that ends it."""
        return self._appending.exclusive()

    def _swapping(self, version: TableVersion, index: str | None, new: Codec) -> Swapping:
        """Return what a version brings: by which index who is found, and whether some are to be carried over."""
        if self._codecs.current == 0:
            return Swapping(version, (), None, moves=False)
        step = moving(self._codec.table, new.table, self._codecs.current)
        return Swapping(version, step.indexed, index, moves=bool(step.touched or step.roused))

    @property
    def number(self) -> int:
        """The number of the version by which this server decides."""
        return self._codecs.current

    def latest(self) -> int:
        """Return the number of the version that is in force, which another server may have put there."""
        found: int = self._line.one("select value from meta where name = 'version'")
        return found

    def take_over(self, version: TableVersion) -> None:
        """Keep what is appended by this version from now on."""
        self._codecs.put(version.number, Codec(load(version.table)))
        self._agenda.forget()

    # --- private ---

    def _mine(self) -> Sequence[int]:
        return [*self.leases.deciding()]

    def _put_away_body(self, entity: str, id: str) -> bytes:
        row = self._line.one("select row from entities where kind = $1 and id = $2", entity, id)
        return bytes(self._packed(row).entity.body)

    def _packed(self, row: int) -> Unpacked:
        return unpacked(self._line.one("select body from archived where row = $1", row), row)

    def _must_know(self, number: int) -> None:
        if number > self._codecs.current:
            # Whoever decides takes it over, between two turns; until then nothing is carried by the older one.
            raise Superseded("another version is in force")


class _Ahead:
    """What was read ahead, for one thread."""

    def __init__(self, thread: int, snapshots: Mapping[tuple[str, str], Snapshot | None], unknown: set[str]) -> None:
        self.thread = thread
        self.snapshots = snapshots
        self.unknown = unknown
        """Keys under which nothing is kept."""


def list_of(these: Sequence[_T]) -> list[_T]:
    """Return a list, which is what an array is made of."""
    return [*these]
