"""An exported space planted anew: into a file, or into PostgreSQL. All of it comes to be at once, or nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, assert_never

import apsw
import msgspec

from temper.kernel import StoreFault
from temper.runtime import records as r
from temper.runtime.chain import GENESIS, chained
from temper.runtime.history.stream import Exported, imported
from temper.runtime.postgres.founding import found_tables
from temper.runtime.postgres.line import Line as PostgresLine
from temper.runtime.postgres.line import fault
from temper.runtime.postgres.store import part_of
from temper.runtime.sqlite import founded
from temper.table import digest, load

if TYPE_CHECKING:
    import asyncpg

# Lines that are written at once.
_AT_ONCE = 2_000
_CLOSE_S = 2.0


def plant_file(path: Path, source: Iterable[bytes]) -> Exported:
    """Make the file `path` of a stream; the log of one with several parts becomes one. Raises `StoreFault`."""
    if path.exists():
        raise StoreFault(f"`{path}` is there already: an export is taken in where nothing is")
    growing = path.with_name(path.name + ".importing")
    _clear(growing)
    try:
        db = founded(growing)
        try:
            with db:
                done = _plant(_File(db), imported(source), 1)
        finally:
            db.close()
        # It has its name once it is whole and on the disk; a kill before leaves a file that nobody opens.
        _sync(growing)
        os.link(growing, path)
        _sync(path.parent)
    except FileExistsError as error:
        raise StoreFault(f"`{path}` has come to be meanwhile: nothing was taken in") from error
    except apsw.Error as problem:
        raise StoreFault(f"`{path}` can't be written: {problem}") from problem
    except OSError as problem:
        raise StoreFault(f"`{path}` can't be written: {problem.strerror}") from problem
    finally:
        _clear(growing)
    return done


def _clear(path: Path) -> None:
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm"), Path(f"{path}-journal")):
        with contextlib.suppress(OSError):
            name.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plant_postgres(url: str, space: str, source: Iterable[bytes], *, parts: int | None = None) -> Exported:
    """Make the space in a database of a stream, with so many parts, or as many as it had. Raises `StoreFault`."""
    line = PostgresLine(url, f"temper_{space}")
    try:
        lines = imported(source)
        first = next(lines)
        assert isinstance(first, r.Space), "a stream begins with its space"
        parts = parts or first.parts
        ground = line.ask(_Database.begun(line, space, parts))
        try:
            done = _plant(ground, itertools.chain([first], lines), parts)
            line.ask(ground.commit())
        except BaseException:
            line.ask(ground.rollback())
            raise
    except StoreFault:
        raise
    except Exception as problem:
        if isinstance(problem, AssertionError):
            raise
        raise fault(problem) from problem
    finally:
        line.close()
    return done


# --- from lines to rows -----------------------------------------------------------------------------------------------


class _Ground(Protocol):
    """Where rows go."""

    def write(self, lines: Sequence[r.Line]) -> None:
        """Write lines of one kind; entries have their new places."""
        ...

    def end(self, heads: Sequence[r.Head], version: int) -> None:
        """Write what the whole is."""
        ...


class _Named(msgspec.Struct):
    entity: str
    id: str


_named = msgspec.json.Decoder(_Named).decode


@dataclass
class _Log:
    """The log on its way: where it keeps its parts it is the same chain; else it is a new one, of the same entries."""

    before: int
    parts: int
    heads: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    told: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    moved: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """New places, where they are others."""

    def entry(self, line: r.LogEntry) -> r.LogEntry:
        """Return an entry with its place. Raises `StoreFault` where it does not follow from those before it."""
        seq, head = self.told.get(line.part, (0, GENESIS))
        after = chained(head, line.body)
        if line.seq != seq + 1 or after.hex() != line.hash:
            raise StoreFault(f"entry {seq + 1} of the stream is not what was exported: its hash differs")
        self.told[line.part] = (line.seq, after)
        if self.parts == self.before:
            self.heads[line.part] = (line.seq, after)
            return line
        named = _named(line.body)
        part = part_of(named.entity, named.id, self.parts)
        seq, head = self.heads.get(part, (0, GENESIS))
        seq, head = seq + 1, chained(head, line.body)
        self.heads[part] = (seq, head)
        self.moved[line.part, line.seq] = (part, seq)
        return r.LogEntry(part=part, seq=seq, row=line.row, hash=head.hex(), body=line.body)

    def place(self, part: int, seq: int) -> tuple[int, int]:
        """Return the new place of an entry."""
        return self.moved.get((part, seq), (part, seq)) if self.parts != self.before else (part, seq)


def _plant(ground: _Ground, lines: Iterator[r.Line], parts: int) -> Exported:
    space = next(lines)
    assert isinstance(space, r.Space), "a stream begins with its space"
    log = _Log(space.parts, parts)
    counted = {r.Entity: 0, r.LogEntry: 0}
    versions = 0
    end: r.End | None = None

    def placed(line: r.Line) -> r.Line:
        nonlocal versions
        match line:
            case r.LogEntry():
                return log.entry(line)
            case r.Answer():
                return msgspec.structs.replace(line, entries=[log.place(*each) for each in line.entries])
            case r.Mark() if parts != space.parts:
                part, seq = log.place(line.part, line.seq)
                return msgspec.structs.replace(line, part=part, seq=seq)
            case r.Version():
                versions += 1
                if line.number != versions or digest(load(bytes(line.table))) != line.digest:
                    raise StoreFault(f"version {versions} of the stream is not what was exported: its digest differs")
            case _:
                pass
        return line

    for kind, several in itertools.groupby(lines, type):
        if kind is r.End:
            (end,) = several  # type: ignore[assignment]  # it is of that kind
            continue
        while batch := [placed(line) for line in itertools.islice(several, _AT_ONCE)]:
            if kind in counted:
                counted[kind] += len(batch)
            ground.write(batch)
    assert end is not None, "a whole stream has its end"
    heads = tuple(r.Head(part, seq, head.hex()) for part, (seq, head) in sorted(log.heads.items()))
    ground.end(heads, versions)
    return Exported(space.blueprint, end.lines, counted[r.Entity], counted[r.LogEntry], heads)


# --- a file -----------------------------------------------------------------------------------------------------------


class _File:
    """Rows of SQLite's tables."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def write(self, lines: Sequence[r.Line]) -> None:
        table, rows = _sqlite_rows(lines)
        if isinstance(lines[0], r.Key | r.Hold):
            # There it is the row that has it.
            given = ", ".join("?" * (len(rows[0]) - 1))
            rows = [(*row[:-1], row[0], row[-1]) for row in rows]
            found = f"select {given}, row from entities where kind = ? and id = ?"  # noqa: S608 - all of it is ours
            self._db.executemany(f"insert into {table} {found}", rows)
            return
        self._db.executemany(f"insert into {table} values({', '.join('?' * len(rows[0]))})", rows)

    def end(self, heads: Sequence[r.Head], version: int) -> None:
        if version > 1:
            # Some may be kept as an earlier table wrote them: whoever serves it looks.
            self._db.execute("insert or replace into meta values('moved', 0)")


def _sqlite_rows(lines: Sequence[r.Line]) -> tuple[str, list[tuple[Any, ...]]]:
    """Return lines of one kind as rows, and of which table."""
    rows: list[tuple[Any, ...]] = []
    table = ""
    for line in lines:
        match line:
            case r.Version():
                table = "versions(number, digest, body, report, at, author, note)"
                rows.append(
                    (line.number, line.digest, bytes(line.table), bytes(line.report), line.at, line.by, line.note)
                )
            case r.Entity():
                table = "entities(row, kind, id, state, live, due, version, body)"
                rows.append(
                    (line.row, line.kind, line.id, line.state, line.live, line.due, line.table, bytes(line.body))
                )
            case r.LogEntry():
                table = "log(seq, entity, body, hash)"
                rows.append((line.seq, line.row, bytes(line.body), bytes.fromhex(line.hash)))
            case r.Mark():
                table = "marks(entity, seq, version, body)"
                rows.append((line.row, line.seq, line.table, bytes(line.body)))
            case r.Key():
                table = "keys(kind, value, row)"
                rows.append((line.kind, line.value, line.id))
            case r.Hold():
                table = "holds(kind, number, value, row)"
                rows.append((line.kind, line.number, line.value, line.id))
            case r.Ref():
                table = "refs(kind, field, target, row)"
                rows.append((line.kind, line.field, line.target, line.row))
            case r.Order():
                table = (
                    "orders(name, kind, entity, id, tool, args, send, version, state, attempts, next_at, created_at,"
                    " lane, pair, unsure, last_error)"
                )
                rows.append(_order(line))
            case r.Answer():
                table = "requests(name, fingerprint, seq, at, kind, id, version, body)"
                rows.append(
                    (line.name, line.fingerprint, line.entries[0][1], line.at, line.kind, line.id, line.table,
                     r.kept(line.body))
                )  # fmt: skip
            case r.Letter():
                table = "letters(name, entity, id, text, at)"
                rows.append((line.order, line.entity, line.id, line.text, line.at))
            case r.Stir():
                table = "stirs(owner, kind, id, path, caller, after)"
                rows.append((line.owner, line.kind, line.id, line.path, bytes(line.caller), line.after))
            case r.Space() | r.End() | r.Segment():
                raise AssertionError("none of them is among the rows")
            case _:
                assert_never(line)
    return table, rows


def _order(line: r.Order) -> tuple[Any, ...]:
    return (
        line.order, line.kind, line.entity, line.id, line.tool, bytes(line.args),
        r.kept(line.send), line.table, line.state, line.attempts, line.next_at,
        line.created_at, line.lane, line.pair, line.unsure, line.last_error,
    )  # fmt: skip


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


class _Version(msgspec.Struct):
    version: int


class _Target(msgspec.Struct):
    entity: str
    entity_id: str


_version = msgspec.json.Decoder(_Version).decode
_target = msgspec.json.Decoder(_Target).decode


class _Database:
    """Rows of PostgreSQL's tables, within one transaction."""

    def __init__(self, line: PostgresLine, connection: asyncpg.Connection[Any], transaction: Any, parts: int) -> None:
        self._line = line
        self._connection = connection
        self._transaction = transaction
        self._part: Callable[[str, str], int] = lambda entity, id: part_of(entity, id, parts)

    @classmethod
    async def begun(cls, line: PostgresLine, space: str, parts: int) -> _Database:
        """Begin, with the space's tables made. Raises `StoreFault` where the space is there already."""
        schema = f"temper_{space}"
        connection = await line.connect()
        ground = cls(line, connection, connection.transaction(), parts)
        try:
            await ground._transaction.start()
            if await connection.fetchval("select exists(select from pg_namespace where nspname = $1)", schema):
                raise StoreFault(f"`{schema}` is there already: an export is taken in where nothing is")
            await found_tables(connection, schema, parts)
        except BaseException:
            await ground.rollback()
            raise
        return ground

    async def commit(self) -> None:
        await self._transaction.commit()
        await self._connection.close()

    async def rollback(self) -> None:
        with contextlib.suppress(Exception):
            # What is not committed is gone with the connection.
            await self._connection.close(timeout=_CLOSE_S)

    def write(self, lines: Sequence[r.Line]) -> None:
        table, columns, rows = self._rows(lines)
        self._line.ask(self._copy(table, columns.split(), rows))

    async def _copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        await self._connection.copy_records_to_table(table, columns=columns, records=rows)

    def end(self, heads: Sequence[r.Head], version: int) -> None:
        self._line.ask(self._end(heads, version))

    async def _end(self, heads: Sequence[r.Head], version: int) -> None:
        db = self._connection
        for head in heads:
            await db.execute(
                "update partitions set seq = $2, head = $3 where part = $1",
                head.part, head.seq, bytes.fromhex(head.hash),
            )  # fmt: skip
        await db.execute("update meta set value = $1 where name = 'version'", version)
        await db.execute(
            "select setval(pg_get_serial_sequence('entities', 'row'), (select max(row) from entities))"
            " where exists(select from entities)"
        )
        if version > 1:
            await db.execute("update partitions set moved = 0")

    def _rows(self, lines: Sequence[r.Line]) -> tuple[str, str, list[tuple[Any, ...]]]:
        rows: list[tuple[Any, ...]] = []
        table = columns = ""
        for line in lines:
            match line:
                case r.Entity():
                    table, columns = "entities", "row kind id part state live due number version body"
                    body = bytes(line.body)
                    rows.append(
                        (line.row, line.kind, line.id, self._part(line.kind, line.id), line.state, line.live, line.due,
                         line.table, _version(body).version, body)
                    )  # fmt: skip
                case r.LogEntry():
                    table, columns = "log", "part seq entity body hash"
                    rows.append((line.part, line.seq, line.row, bytes(line.body), bytes.fromhex(line.hash)))
                case r.Mark():
                    table, columns = "marks", "entity seq number body"
                    rows.append((line.row, line.seq, line.table, bytes(line.body)))
                case r.Key():
                    table, columns = "keys", "kind value id"
                    rows.append((line.kind, line.value, line.id))
                case r.Hold():
                    table, columns = "holds", "kind number value id"
                    rows.append((line.kind, line.number, line.value, line.id))
                case r.Order():
                    table = "orders"
                    columns = (
                        "name kind entity id tool args send number state attempts next_at created_at lane pair unsure"
                        " last_error part"
                    )
                    rows.append((*_order(line), self._home(line)))
                case r.Answer():
                    table, columns = "requests", "name fingerprint at parts seqs kind id number body"
                    parts, seqs = ([place[n] for place in line.entries] for n in (0, 1))
                    answer = r.kept(line.body)
                    rows.append(
                        (line.name, line.fingerprint, line.at, parts, seqs, line.kind, line.id, line.table, answer)
                    )
                case r.Stir():
                    table, columns = "stirs", "owner kind id path caller after part"
                    part = self._part(line.kind, line.id)
                    rows.append((line.owner, line.kind, line.id, line.path, bytes(line.caller), line.after, part))
                case _:
                    named, others = _sqlite_rows([line])
                    table, _, rest = named.partition("(")
                    columns = rest.rstrip(")").replace(",", "")
                    rows.extend(others)
        return table, columns, rows

    def _home(self, line: r.Order) -> int:
        # A send is carried out by whoever decides for its target.
        send = r.kept(line.send)
        if send is None:
            return self._part(line.entity, line.id)
        target = _target(send)
        return self._part(target.entity, target.entity_id)
