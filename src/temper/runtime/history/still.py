"""A space as it is at one moment, read as a whole while it goes on living."""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import apsw
import msgspec

from temper.kernel import Cause, Entry, StoreFault
from temper.runtime import records as r
from temper.runtime.archive import ArchiveDamaged, Segments, Unpacked
from temper.runtime.chain import is_digest
from temper.runtime.postgres.archive import unpacked
from temper.runtime.postgres.line import Line as PostgresLine
from temper.runtime.postgres.line import fault
from temper.runtime.sqlite import archive_of, reading
from temper.table import load

if TYPE_CHECKING:
    import asyncpg

# Rows that are fetched from PostgreSQL at once: some hundred kilobytes.
_PAGE = 1_000

# What entities are found by stands under labels (`sqlite.indexing`): by those in force, which sort as their kinds do.
_LABELLED = {
    "in_force": "x.kind not in (select label from labels where state <> 'in force')",
    "kind": "coalesce((select l.kind from labels l where l.label = x.kind), x.kind)",
    "label": "coalesce((select label from labels where kind = $1 and state = 'in force'), $1)",
}
_LABELS = "labels(label text, kind text, state text)"

_AT_ONCE: Mapping[str, str] = {
    "versions": "select number, digest, body, report, at, author, note from versions order by number",
    "letters": "select name, entity, id, text, at from letters order by row",
    "stirs": "select owner, kind, id, path, caller, after from stirs order by row",
    "refs": (
        "select {kind}, field, target, row from refs x where {in_force} order by x.kind{c}, field{c}, target{c}, row"
    ),
    "entities": "select row, kind, id, state, live, due, {number}, body from entities order by row",
    "orders": (
        "select name, kind, entity, id, tool, args, send, {number}, state, attempts, next_at, created_at, lane, pair,"
        " unsure, last_error from orders order by row"
    ),
    # About one row, or how many there are.
    "letter": "select entity, id, text, at from letters where name = $1",
    "dead_send": "select send, last_error from orders where name = $1 and kind = 'send' and state = 'dead'",
    "table": "select body from versions where number = $1",
    "listed": "select state from entities where row = $1",
    "entity": "select row from entities where kind = $1 and id = $2",
    "marks_of": "select seq, {number}, body from marks where entity = $1",
    "refs_of": "select field, target from refs x where row = $1 and {in_force}",
    "given": ("select (select count(*) from keys x where {in_force}), (select count(*) from holds x where {in_force})"),
    "marks_there": "select count(*) from marks",
    "refs_there": "select count(*) from refs x where {in_force}",
    "astray": "select row from archived where row not in (select row from entities) limit 1",
}
# What a file of an earlier build may not have, and who serves it makes.
_LATER = {
    "refs": "refs",
    "refs_of": "refs",
    "refs_there": "refs",
    "stirs": "stirs",
    "astray": "archived",
    "segments": "segments",
    "populations": "populations",
    "ranks": "ranks",
    "ranked_of": "ranked",
    "ranked_there": "ranked",
}
_OF_SQLITE: Mapping[str, str] = {
    "log": "select 0, seq, entity, body, hash from log where $1 = 0 order by seq",
    "history": "select 0, seq, entity, body, hash from log where entity = $1 order by seq",
    "marks": "select 0, entity, seq, version, body from marks order by entity, seq",
    "keys": (
        "select {kind}, value, (select id from entities e where e.row = x.row) from keys x where {in_force}"
        " order by x.kind, value"
    ),
    "holds": (
        "select {kind}, number, value, (select id from entities e where e.row = x.row) from holds x"
        " where {in_force} order by x.kind, number, value"
    ),
    "answers": "select name, fingerprint, at, seq, kind, id, version, body from requests order by row",
    "following": "select 0, seq, entity, body, hash from log where seq > $1 order by seq limit 64",
    "segments": "select number, sum from segments order by number",
    "end": "select coalesce(max(seq), 0), null from log where $1 = 0",
    "key": "select (select id from entities e where e.row = k.row) from keys k where kind = {label} and value = $2",
    "hold": (
        "select (select id from entities e where e.row = h.row) from holds h"
        " where kind = {label} and number = $2 and value = $3"
    ),
    "entry": "select 0, seq, entity, body, hash from log where $1 = 0 and seq = $2",
    "populations": "select kind, state, number from populations where number <> 0",
    "populations_in": "select name from sqlite_schema where type = 'table' and name = 'populations'",
    "ranks": "select number, kind, field, upto from ranks where dropped = 0",
    "ranked_of": (
        "select rank, place from ranked where row = $1 and rank in (select number from ranks where dropped = 0)"
    ),
    "ranked_there": "select count(*) from ranked where rank in (select number from ranks where dropped = 0)",
    "moved": "select value from meta where name = 'moved'",
}
_OF_POSTGRES: Mapping[str, str] = {
    "log": "select part, seq, entity, body, hash from log where part = $1 order by seq",
    "history": "select part, seq, entity, body, hash from log where entity = $1 order by seq",
    "marks": (
        "select e.part, m.entity, m.seq, m.number, m.body from marks m join entities e on e.row = m.entity"
        " where m.body <> '' order by m.entity, m.seq"
    ),
    "keys": 'select {kind}, value, id from keys x where {in_force} order by x.kind collate "C", value collate "C"',
    "holds": (
        "select {kind}, number, value, id from holds x where {in_force}"
        ' order by x.kind collate "C", number, value collate "C"'
    ),
    "answers": "select name, fingerprint, at, parts, seqs, kind, id, number, body from requests order by row",
    "end": "select seq, head from partitions where part = $1",
    "key": "select id from keys where kind = {label} and value = $2",
    "hold": "select id from holds where kind = {label} and number = $2 and value = $3",
    "marks_of": "select seq, number, body from marks where entity = $1 and body <> ''",
    "marks_there": "select count(*) from marks where body <> ''",
    "entry": "select part, seq, entity, body, hash from log where part = $1 and seq = $2",
    # Each partition counts its own.
    "populations": "select kind, state, sum(number)::bigint from counts group by kind, state having sum(number) <> 0",
    "populations_in": "select 'counts' where to_regclass('counts') is not null",
    # It has indexes of its own in place of ranks, and each partition knows how far its entities are carried over.
    "ranks": "select 0, '', '', 0 where false",
    "ranked_of": "select 0, ''::bytea where $1::bigint < 0",
    "ranked_there": "select 0",
    "moved": "select moved from partitions where false",
}
_SQLITE = {name: sql.format(number="version", c="", **_LABELLED) for name, sql in {**_AT_ONCE, **_OF_SQLITE}.items()}
_POSTGRES = {
    name: sql.format(number="number", c=' collate "C"', **_LABELLED)
    for name, sql in {**_AT_ONCE, **_OF_POSTGRES}.items()
}

_entry_from_json = msgspec.json.Decoder(Entry).decode


class _When(msgspec.Struct):
    at: int


_when = msgspec.json.Decoder(_When).decode


class Still(Protocol):
    """One moment of a space. Nothing in it changes, whatever is appended meanwhile."""

    parts: int
    """In how many parts the log is."""
    name: str
    """Where it was read from, for whoever is told of it."""

    def packed(self, row: int) -> Unpacked:
        """Return what was put away of the entity in that row. Raises `ArchiveDamaged`."""
        ...

    def must_have_segments(self) -> None:
        """Raise `ArchiveDamaged` where what was put away is not what was written."""
        ...

    def rows(self, what: str, *given: int | str) -> Iterator[Sequence[Any]]:
        """Yield the rows of one kind, a few in memory at a time."""
        ...

    def answers(self) -> Iterator[r.Answer]:
        """Yield what is kept under idempotency keys, the oldest first."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class SqliteStill:
    """A file, by a transaction that reads: whoever serves it goes on. Raises `StoreFault`."""

    parts = 1

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._db = reading(path)
        self._segments = Segments(archive_of(path))
        self._db.execute("begin")
        # A transaction begins to see with its first read.
        tables: Any = self._db.execute("select name from sqlite_schema where type = 'table'").fetchall()
        self._tables = {name for (name,) in tables}
        if "labels" not in self._tables:  # A file of an earlier build.
            self._db.execute(f"create temp table {_LABELS}")

    def packed(self, row: int) -> Unpacked:
        found: Any = self._db.execute("select segment, place, size from archived where row = ?", (row,)).fetchone()
        if found is None:
            raise ArchiveDamaged(f"`{self.name}` does not say where in the archive row {row} is")
        return self._segments.read(*found)

    def must_have_segments(self) -> None:
        for number, sum in self.rows("segments"):
            self._segments.must_be(number, sum)

    def rows(self, what: str, *given: int | str) -> Iterator[Sequence[Any]]:
        if _LATER.get(what, "log") not in self._tables:
            return
        try:
            yield from self._db.execute(_SQLITE[what], given)
        except apsw.Error as problem:
            raise StoreFault(f"`{self.name}` can't be read: {problem}") from problem

    def answers(self) -> Iterator[r.Answer]:
        for name, fingerprint, at, seq, kind, id, table, body in self.rows("answers"):
            yield r.Answer(
                name=name,
                fingerprint=fingerprint,
                at=at,
                entries=[(0, seq + n) for n in range(1 + self._with(seq))],
                kind=kind,
                id=id,
                table=table,
                body=r.raw(body),
            )

    def _with(self, seq: int) -> int:
        """Return how many entries followed in the commit that began with `seq`."""
        count = 0
        for _, _, _, body, _ in whole(self, "following", seq):
            if _entry_from_json(body).cause not in {Cause.CREATE, Cause.WITH}:
                break
            count += 1
        return count

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PostgresStill:
    """A space in PostgreSQL, by a transaction that reads as of its beginning. Raises `StoreFault`."""

    def __init__(self, url: str, space: str) -> None:
        self.name = f"temper_{space}"
        self._line = PostgresLine(url, self.name)
        try:
            self.parts: int = self._line.ask(self._begin())
        except BaseException:
            self._line.close()
            raise

    async def _begin(self) -> int:
        self._connection: asyncpg.Connection[Any] = await self._line.connect()
        if await self._connection.fetchval("select to_regclass('labels') is null"):  # A space of an earlier build.
            await self._connection.execute(f"create temp table {_LABELS}")
        await self._connection.execute("begin isolation level repeatable read, read only")
        found = await self._connection.fetchval("select exists(select from pg_namespace where nspname = $1)", self.name)
        if not found:
            raise StoreFault(f"there is no space `{self.name}` in this database")
        parts: int = await self._connection.fetchval("select count(*) from partitions")
        return parts

    def packed(self, row: int) -> Unpacked:
        async def ask() -> bytes | None:
            found: bytes | None = await self._connection.fetchval("select body from archived where row = $1", row)
            return found

        return unpacked(self._line.ask(ask()), row)

    def _put_away(self, kind: str, id: str) -> bytes:
        async def ask() -> int:
            sql = "select row from entities where kind = $1 and id = $2"
            row: int = await self._connection.fetchval(sql, kind, id)
            return row

        return bytes(self.packed(self._line.ask(ask())).entity.body)

    def must_have_segments(self) -> None:
        """Nothing to look for: what was put away is in the database."""

    def rows(self, what: str, *given: int | str) -> Iterator[Sequence[Any]]:
        pages = self._pages(_POSTGRES[what], given)
        try:
            while page := self._line.ask(_next(pages)):
                yield from page
        except StoreFault:
            raise
        except Exception as problem:
            raise fault(problem) from problem
        finally:
            self._line.ask(_ended(pages))

    async def _pages(self, sql: str, given: Sequence[int | str]) -> AsyncGenerator[Sequence[Any], None]:
        cursor = await self._connection.cursor(sql, *given)
        while page := await cursor.fetch(_PAGE):
            yield page

    def answers(self) -> Iterator[r.Answer]:
        for name, fingerprint, at, parts, seqs, kind, id, table, answer in self.rows("answers"):
            # A refusal of one that had been put away.
            body = self._put_away(kind, id) if answer == b"" else answer
            yield r.Answer(
                name=name,
                fingerprint=fingerprint,
                at=at,
                entries=list(zip(parts, seqs, strict=True)),
                kind=kind,
                id=id,
                table=table,
                body=r.raw(body),
            )

    def close(self) -> None:
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _next(pages: AsyncGenerator[Sequence[Any], None]) -> Sequence[Any] | None:
    return await anext(pages, None)


async def _ended(pages: AsyncGenerator[Sequence[Any], None]) -> None:
    await pages.aclose()


def lines(still: Still) -> Iterator[r.Line]:
    """Yield the space as the lines of an export, all but the last."""
    raw = r.raw
    versions = list(still.rows("versions"))
    blueprint = load(versions[-1][2]).blueprint if versions else ""
    yield r.Space(format=r.FORMAT, blueprint=blueprint, parts=still.parts)
    for number, digest, table, report, at, by, note in versions:
        yield r.Version(number=number, digest=digest, table=raw(table), report=raw(report), at=at, by=by, note=note)
    for row, kind, id, state, live, due, number, body in entities(still):
        yield r.Entity(row=row, kind=kind, id=id, state=state, live=bool(live), due=due, table=number, body=raw(body))
    for part, seq, entity, body, hash in journal(still):
        yield r.LogEntry(part=part, seq=seq, row=entity, hash=hash.hex(), body=raw(body))
    for part, entity, seq, number, body in still.rows("marks"):
        yield r.Mark(part=part, row=entity, seq=seq, table=number, body=raw(body))
    for kind, value, id in still.rows("keys"):
        yield r.Key(kind=kind, value=value, id=id)
    for kind, number, value, id in still.rows("holds"):
        yield r.Hold(kind=kind, number=number, value=value, id=id)
    for kind, field, target, row in still.rows("refs"):
        yield r.Ref(kind=kind, field=field, target=target, row=row)
    for order, kind, entity, id, tool, args, send, number, state, *rest in still.rows("orders"):
        attempts, next_at, created_at, lane, pair, unsure, last_error = rest
        yield r.Order(
            order=order, kind=kind, entity=entity, id=id, tool=tool, args=raw(args),
            send=raw(send), table=number, state=state, attempts=attempts, next_at=next_at,
            created_at=created_at, lane=lane, pair=pair, unsure=bool(unsure), last_error=last_error,
        )  # fmt: skip
    yield from still.answers()
    for order, entity, id, text, at in still.rows("letters"):
        yield r.Letter(order=order, entity=entity, id=id, text=text, at=at)
    for owner, kind, id, path, caller, after in still.rows("stirs"):
        yield r.Stir(owner=owner, kind=kind, id=id, path=path, caller=raw(caller), after=after)


def journal(still: Still) -> Iterator[Sequence[Any]]:
    """Yield the rows of the log; those of several parts by their time, so that they can become one part."""
    if still.parts == 1:
        return whole(still, "log", 0)
    parts = [whole(still, "log", part) for part in range(still.parts)]
    return heapq.merge(*parts, key=lambda row: (_when(row[3]).at, row[0], row[1]))


def entities(still: Still) -> Iterator[Sequence[Any]]:
    """Yield the rows of the entities, those that were put away as they were."""
    for row in still.rows("entities"):
        if row[3]:
            yield row
        else:
            kept = still.packed(row[0]).entity
            yield (*row[:3], kept.state, *row[4:7], bytes(kept.body))


def first(still: Still, what: str, *given: int | str) -> Sequence[Any] | None:
    """Return the first of the rows of one kind, if there are any."""
    return next(iter(still.rows(what, *given)), None)


def whole(still: Still, what: str, *given: int | str) -> Iterator[Sequence[Any]]:
    """Yield rows of the log with all that was written, where that is kept elsewhere, too."""
    for part, seq, row, body, hash in still.rows(what, *given):
        # What stands there as a text was not written by us.
        if isinstance(body, bytes) and is_digest(body) and row is not None:
            yield part, seq, row, still.packed(row).body(seq, body), hash
        else:
            yield part, seq, row, body, hash
