"""The store over PostgreSQL: see `temper.kernel.Store` for its verbs, and `schema` for what one append does."""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

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
    Superseded,
    TableVersion,
    Unmoved,
    Upto,
    load_caller,
    path_of,
)
from temper.runtime.agenda import NEVER, Agenda
from temper.runtime.archive import ENTRIES_MAX, Segment, Unpacked
from temper.runtime.chain import is_digest
from temper.runtime.postgres.appending import Appending
from temper.runtime.postgres.archive import (
    AWAITED,
    RESTING,
    TO_PACK,
    awaited,
    pack_row,
    put_away,
    unpacked,
)
from temper.runtime.postgres.columns import Columns, Name
from temper.runtime.postgres.founding import Swapping, opened
from temper.runtime.postgres.herald import Herald, told_by
from temper.runtime.postgres.indexing import PostgresIndex, abandon, tidy
from temper.runtime.postgres.leases import Leases
from temper.runtime.postgres.line import Line
from temper.runtime.postgres.ranks import PostgresRanks
from temper.runtime.ranks import Rank, Span, Spot
from temper.runtime.sqlite import scratch_index
from temper.table import Snapshot, Table, Value, load, moving

_PAGE = 1_000
_ORDERS = (
    "select name, kind, entity, id, tool, args, send, number, state, attempts, next_at, created_at, lane, unsure,"
    " last_error from orders o where "
)
_FIRST = (
    " and not exists (select from orders earlier where earlier.kind = 'send' and earlier.state = 'waiting'"
    " and earlier.pair = o.pair and earlier.lane < o.lane)"
)
_LABEL = "coalesce((select label from labels where kind = $1 and state = 'in force'), $1)"
_VERSIONS = "select number, digest, body, report, at, author, note from versions order by number "

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

_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode
_entry_from_json = msgspec.json.Decoder(Entry).decode

_T = TypeVar("_T")


def part_of(entity: str, id: str, parts: int) -> int:
    """Return the partition into which an entity falls, of so many."""
    return zlib.crc32(f"{entity}/{id}".encode()) % parts


class PostgresStore:
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
        self._agenda = Agenda()
        self.leases = Leases(self._line, server, self._agenda.forget)
        self._appending = Appending(self._line, self.leases, self._lock)
        self._ahead: _Ahead | None = None
        self._codecs = Codecs(self._table, self._pushed)
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
        found = self._line.first("select number, body from entities where kind = $1 and id = $2", entity, id)
        return None if found is None else self._load(found["number"], entity, id, found["body"])

    @contextlib.contextmanager
    def reading_ahead(self, names: Iterable[tuple[str, str]], keys: Sequence[str]) -> Iterator[None]:
        """Read what a batch is about in one go; in the block this thread is given that.

        It is not looked at again: `append` holds a batch against what is there.
        """
        wanted = list(names)
        snapshots: dict[tuple[str, str], Snapshot | None] = dict.fromkeys(wanted)
        if wanted:
            found = self._line.rows(
                "select e.kind, e.id, e.number, e.body from unnest($1::text[], $2::text[]) as w(kind, id)"
                " join entities e on e.kind = w.kind and e.id = w.id",
                [kind for kind, _ in wanted],
                [id for _, id in wanted],
            )
            for row in found:
                name = (row["kind"], row["id"])
                snapshots[name] = self._load(row["number"], *name, row["body"])
        unknown = set(keys)
        if keys:
            found = self._line.rows("select name from requests where name = any($1)", list_of(keys))
            unknown -= {row["name"] for row in found}
        self._ahead = _Ahead(threading.get_ident(), snapshots, unknown)
        try:
            yield
        finally:
            self._ahead = None

    def kept(self, entity: str, id: str) -> Kept | None:
        found = self._line.first("select number, body from entities where kind = $1 and id = $2", entity, id)
        if found is None:
            return None
        self._must_know(found["number"])
        return self._codecs.kept(found["number"], entity, id, found["body"] or self._put_away_body(entity, id))

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

    def referrers(
        self, entity: str, field: str, id: str, *, after: int = 0, limit: int
    ) -> tuple[Sequence[str], int | None]:
        found = self._line.rows(
            "select e.row, e.id from refs r join entities e on e.row = r.row"  # noqa: S608 - all of it is ours
            f" where r.kind = {_LABEL} and r.field = $2 and r.target = $3 and r.row > $4 order by r.row limit $5",
            entity,
            field,
            id,
            after,
            limit + 1,
        )
        page = found[:limit]
        return [row["id"] for row in page], page[-1]["row"] if len(found) > len(page) and page else None

    def stirs(self, limit: int) -> Sequence[Stir]:
        agenda, looked = self._agenda, self._agenda.looked
        if not agenda.stirs:
            return ()
        found = self._line.rows(
            "select owner, kind, id, path, caller, after from stirs where part = any($1) order by row limit $2",
            list(self.leases.deciding()),
            limit,
        )
        if not found:
            agenda.found(looked, stirs=False)
        return [
            Stir(row["owner"], row["kind"], row["id"], path_of(row["path"]), load_caller(row["caller"]), row["after"])
            for row in found
        ]

    def live(self) -> Iterator[Snapshot]:
        after = 0
        while True:
            found = self._line.rows(
                "select row, kind, id, number, body from entities where live and row > $1 order by row limit $2",
                after,
                _PAGE,
            )
            for row in found:
                yield self._load(row["number"], row["kind"], row["id"], row["body"])
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
        for row in page:
            self._must_know(row["number"])
        found = [
            self._load(row["number"], row["kind"], row["id"], row["body"])
            for row in page
            if (row["kind"], self._codecs.state(row["number"], row["kind"], row["state"])) in asked
        ]
        return found, page[-1]["row"] if len(page) == limit else None

    def all_of(
        self, kinds: Collection[str], *, after: int, limit: int
    ) -> tuple[Sequence[tuple[int, Snapshot]], int | None]:
        page = self._line.rows(
            "select row, kind, id, number, body from entities where row > $1 and kind = any($2) order by row limit $3",
            after,
            sorted(kinds),
            limit,
        )
        found = [(row["row"], self._load(row["number"], row["kind"], row["id"], row["body"])) for row in page]
        return found, page[-1]["row"] if len(page) == limit else None

    def row(self, entity: str, id: str) -> int | None:
        row: int | None = self._line.one("select row from entities where kind = $1 and id = $2", entity, id)
        return row

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
        codecs = self._codecs
        kept: list[Kept] = []
        looking: list[tuple[str, str]] = []
        rows = self._line.rows(
            "select row, kind, id, state, live, number, case when live and number <> $1 then body end as body"
            " from entities where row > $2 and part = any($3) order by row limit $4",
            codecs.current,
            start,
            mine,
            _PAGE,
        )
        for row in rows:
            number, kind, id = row["number"], row["kind"], row["id"]
            self._must_know(number)
            if not row["live"] or number == codecs.current:
                continue
            if codecs.is_behind(number, kind, row["state"]):
                kept.append(codecs.kept(number, kind, id, row["body"]))
            elif codecs.is_to_look(number, kind, row["state"]):
                looking.append((kind, id))
            if len(kept) + len(looking) == limit:
                return Unmoved(tuple(kept), tuple(looking), Upto(row["row"]))
        whole = len(rows) < _PAGE
        return Unmoved(tuple(kept), tuple(looking), Upto(None if whole else rows[-1]["row"]))

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
        found = self._line.rows(
            _PAGES[order],
            entity,
            not states,
            list_of(once),
            None if after is None else int(after),
            limit + 1,
        )
        page = found[:limit]
        items = tuple(self._load(row["number"], entity, row["id"], row["body"]) for row in page)
        if once is not states:
            items = tuple(now for now in items if now.state in states)
        return Page(items, str(page[-1]["row"]) if len(found) > limit and page else None)

    def ranked(
        self, rank: Rank, span: Span, after: Spot | None, limit: int, *, downwards: bool
    ) -> Sequence[tuple[Spot, Snapshot]]:
        """Return the next so many entities of a whole rank, within the span."""
        return [
            ((row["place"], row["row"]), self._load(row["number"], rank.kind, row["id"], row["body"]))
            for row in self.ranks.page(rank, span, after, limit, downwards=downwards)
        ]

    def ranked_count(self, rank: Rank, span: Span, most: int) -> int | None:
        """Return how many entities of a whole rank are within the span; `most + 1` for more, `None` where it can't."""
        return self.ranks.count(rank, span, most)

    def make_rank(self, kind: str, field: str) -> bool:
        """Have a rank made, beside the appends; say whether it is still being made. Raises `StoreFault`."""
        return self.ranks.make(kind, field)

    def count(self, entity: str, *, states: Sequence[str] = ()) -> int:
        found: int = self._line.one(
            "select coalesce(sum(number), 0)::bigint from counts"
            " where kind = $1 and ($2 or state = any($3)) and state <> ''",
            entity,
            not states,
            list_of(states),
        )
        return found

    def counts(self) -> Mapping[tuple[str, str], int]:
        found = self._line.rows(
            "select kind, state, sum(number)::bigint as n from counts where state <> '' group by kind, state"
            " having sum(number) > 0"
        )
        return dict(sorted(((row["kind"], row["state"]), row["n"]) for row in found))

    # --- what waits ---

    def look_again(self) -> None:
        """Ask the database what waits: others may have added to it."""
        self._agenda.forget()

    def due(self, at: int, limit: int) -> Sequence[tuple[str, str]]:
        agenda = self._agenda
        if at < agenda.due:
            return ()
        found = self._line.rows(
            "select kind, id from entities where due <= $1 and part = any($2) order by due, row limit $3",
            at,
            list(self.leases.deciding()),
            limit,
        )
        if not found:
            self._ask_due()
        return [(row["kind"], row["id"]) for row in found]

    def next_due(self) -> int | None:
        due = self._agenda.due or self._ask_due()
        return None if due == NEVER else due

    def _ask_due(self) -> int:
        looked = self._agenda.looked
        found: int | None = self._line.one(
            "select min(due) from entities where due is not null and part = any($1)", list(self.leases.deciding())
        )
        due = NEVER if found is None else found
        self._agenda.found(looked, due=due)
        return due

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        if at < self._agenda.sends:
            return ()
        waiting = "kind = 'send' and state = 'waiting' and next_at <= $1 and part = any($2)"
        found = self._orders(
            _ORDERS + waiting + _FIRST + " order by row limit $3", at, list(self.leases.deciding()), limit
        )
        if not found:
            self._agenda.ask(self._waiting)
        return found

    def calls(self, at: int, tool: str, limit: int) -> Sequence[OrderRow]:
        if at < self._agenda.call(tool):
            return ()
        found = self._orders(
            _ORDERS + "kind = 'call' and state = 'waiting' and tool = $1 and next_at <= $2 and part = any($3)"
            " order by next_at, row limit $4",
            tool,
            at,
            list(self.leases.deciding()),
            limit,
        )
        if not found:
            self._agenda.ask(self._waiting)
        return found

    def next_order(self, but_not: Sequence[str]) -> int | None:
        return self._agenda.next_order(but_not, self._waiting)

    def _waiting(self) -> Iterable[tuple[str | None, int]]:
        return self._line.rows(
            "select tool, min(next_at) as at from orders where state = 'waiting' and part = any($1)"
            " group by kind, tool",
            list(self.leases.deciding()),
        )

    def order(self, order: str) -> OrderRow | None:
        return next(iter(self._orders(_ORDERS + "name = $1", order)), None)

    def orders_of(self, entity: str, id: str) -> Sequence[OrderRow]:
        return self._orders(_ORDERS + "entity = $1 and id = $2 order by row", entity, id)

    def started(self) -> Sequence[OrderRow]:
        return self.started_in(list(self.leases.deciding()))

    def started_in(self, parts: Sequence[int]) -> Sequence[OrderRow]:
        """Return the orders of these partitions whose attempt was started and has not ended."""
        return self._orders(_ORDERS + "state = 'started' and part = any($1) order by row", list_of(parts))

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

    def history(self, entity: str, id: str, *, after: int = 0, limit: int) -> Sequence[Entry]:
        return self._entries(
            "select seq, entity, body from log where entity = (select row from entities where kind = $1 and id = $2)"
            " and seq > $3 order by seq limit $4",
            entity,
            id,
            after,
            limit,
        )

    def landmark(self, entity: str, id: str, *, until: int) -> tuple[int, bytes] | None:
        found = self._line.first(
            "select seq, body from marks where entity = (select row from entities where kind = $1 and id = $2)"
            " and seq <= $3 and body <> '' order by seq desc limit 1",
            entity,
            id,
            until,
        )
        return None if found is None else (found["seq"], found["body"])

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
        entries = []
        for row in found:
            entries.append((row["part"], self._entry(row)))
        return entries

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

    def letters(self, *, after: str | None = None, limit: int) -> Sequence[Letter]:
        found = self._line.rows(
            "select name, entity, id, text, at from letters"
            " where row > coalesce((select row from letters where name = $1), 0) order by row limit $2",
            after,
            limit,
        )
        return [Letter(*row) for row in found]

    def letter(self, order: str) -> Letter | None:
        found = self._line.first("select name, entity, id, text, at from letters where name = $1", order)
        return None if found is None else Letter(*found)

    def current(self) -> TableVersion | None:
        found = self._line.first(_VERSIONS + "desc limit 1")
        return None if found is None else TableVersion(*found)

    def versions(self) -> Sequence[TableVersion]:
        return [TableVersion(*row) for row in self._line.rows(_VERSIONS)]

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

    def resting(self, since: int, *, after: int, limit: int) -> tuple[Sequence[Snapshot], int | None]:
        """Return those, out of the next `limit` rows, to whom nothing can happen and nothing has since that time.

        They are of the partitions that the server decides for. The second is where to go on from, `None` where there
        are no more.
        """
        rows = self._line.rows(RESTING, list(self.leases.deciding()), after, limit)
        codec = self._codec
        found = [
            now
            for row in rows
            if row["body"] is not None and row["kind"] in codec.table.entities
            if (now := self._load(row["number"], row["kind"], row["id"], row["body"])).updated_at < since
            and not codec.is_live(now)
        ]
        return found, rows[-1]["row"] if len(rows) == limit else None

    def awaited(self) -> frozenset[tuple[str, str]]:
        """Return of whom an order, a letter or a look at `whenever`s speaks."""
        return awaited(self._line.rows(AWAITED))

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

    def is_archived(self, entity: str, id: str) -> bool:
        """Say whether the entity has been put away."""
        return bool(self._line.one("select state = '' from entities where kind = $1 and id = $2", entity, id))

    def archived(self) -> int:
        """Return how many have been put away."""
        found: int = self._line.one("select coalesce(sum(number), 0)::bigint from counts where state = ''")
        return found

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

    @property
    def _codec(self) -> Codec:
        return self._codecs.of(self._codecs.current)

    def _table(self, number: int) -> Table:
        return load(self._line.one("select body from versions where number = $1", number))

    def _pushed(self, number: int) -> tuple[int, str]:
        found = self._line.first("select at, author from versions where number = $1", number)
        return found["at"], found["author"]

    def _load(self, number: int, entity: str, id: str, body: bytes) -> Snapshot:
        self._must_know(number)
        return self._codecs.load(number, entity, id, body or self._put_away_body(entity, id))

    def _put_away_body(self, entity: str, id: str) -> bytes:
        row = self._line.one("select row from entities where kind = $1 and id = $2", entity, id)
        return bytes(self._packed(row).entity.body)

    def _packed(self, row: int) -> Unpacked:
        return unpacked(self._line.one("select body from archived where row = $1", row), row)

    def _must_know(self, number: int) -> None:
        if number > self._codecs.current:
            # Whoever decides takes it over, between two turns; until then nothing is carried by the older one.
            raise Superseded("another version is in force")

    def _entries(self, sql: str, *given: Any) -> Sequence[Entry]:
        return [self._entry(row) for row in self._line.rows(sql, *given)]

    def _entry(self, row: Any) -> Entry:
        body = row["body"]
        entry = _entry_from_json(self._packed(row["entity"]).body(row["seq"], body) if is_digest(body) else body)
        msgspec.structs.force_setattr(entry, "seq", row["seq"])
        return entry

    def _orders(self, sql: str, *given: Any) -> Sequence[OrderRow]:
        return [self._order(row) for row in self._line.rows(sql, *given)]

    def _order(self, row: Any) -> OrderRow:
        name, send = row["name"], row["send"]
        return OrderRow(
            order=name,
            kind=row["kind"],
            entity=row["entity"],
            id=row["id"],
            tool=row["tool"],
            args=_from_json(row["args"]),
            send=None if send is None else self._codecs.of(row["number"]).load_send(name, send),
            state=OrderState(row["state"]),
            attempts=row["attempts"],
            next_at=row["next_at"],
            created_at=row["created_at"],
            lane=row["lane"],
            last_error=row["last_error"],
            unsure=row["unsure"],
        )


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
