"""A space's first day in PostgreSQL, and the days on which another table comes into force."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from temper.kernel import StoreFault, Superseded, TableVersion
from temper.runtime.postgres.indexing import put_in_force
from temper.runtime.postgres.line import Line, fault
from temper.runtime.postgres.schema import APPEND, ARCHIVE, COUNTED, COUNTS, FORMAT, FUNCTION, LABELS, TABLES

if TYPE_CHECKING:
    import asyncpg

_KNOWN = (
    "select exists(select from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
    " where n.nspname = $1 and p.proname = $2)"
)


async def opened(line: Line, schema: str, lock: int, parts: int) -> int:
    """Make the space's tables if there are none, and return how many partitions it has. Raises `StoreFault`."""
    writer = await line.writer()
    try:
        async with writer.transaction():
            # Two servers that start at once: one makes it, and the other finds it made.
            await writer.execute("select pg_advisory_xact_lock($1)", lock)
            if not await writer.fetchval("select exists(select from pg_namespace where nspname = $1)", schema):
                await found_tables(writer, schema, parts)
            await writer.execute(ARCHIVE)
            await writer.execute(LABELS)
            if not await writer.fetchval(COUNTED):
                await writer.execute(COUNTS)
            if not await writer.fetchval(_KNOWN, schema, FUNCTION):
                await writer.execute(APPEND)
            found = dict(await writer.fetch("select name, value from meta"))
    except StoreFault:
        raise
    except Exception as problem:
        raise fault(problem) from problem
    if found.get("format") != FORMAT:
        raise StoreFault(
            f"`{schema}` has format {found.get('format')}, and this Temper reads format {FORMAT}: use the newer one"
        )
    return int(found["parts"])


async def found_tables(writer: asyncpg.Connection[Any], schema: str, parts: int) -> None:
    """Make a space's tables, with nothing in them."""
    await writer.execute(f'create schema "{schema}"')
    await writer.execute(TABLES)
    await writer.execute(ARCHIVE)
    await writer.execute(LABELS)
    await writer.execute(COUNTS)
    await writer.executemany("insert into partitions(part) values($1)", [(part,) for part in range(parts)])
    await writer.executemany("insert into meta values($1, $2)", [("format", FORMAT), ("parts", parts), ("version", 0)])


@dataclass(frozen=True)
class Swapping:
    """What comes before a batch that puts a version in force, in its transaction."""

    version: TableVersion
    kinds: Collection[str]
    """Of which others are found otherwise, by the index of that name."""
    index: str | None
    moves: bool

    async def write(self, writer: asyncpg.Connection[Any], lock: int) -> None:
        """Wait for all appends to end, let none begin, and put the version in force."""
        one = self.version
        await writer.execute("select pg_advisory_xact_lock($1)", lock)
        if await writer.fetchval("select value from meta where name = 'version'") != one.number - 1:
            raise Superseded(f"another server has put a version {one.number} in force")
        await writer.execute(
            "insert into versions values($1, $2, $3, $4, $5, $6, $7)",
            one.number, one.digest, one.table, one.report, one.at, one.by, one.note,
        )  # fmt: skip
        await writer.execute("update meta set value = $1 where name = 'version'", one.number)
        if self.moves:
            await writer.execute("update partitions set moved = 0")
        if self.kinds:
            assert self.index is not None, "a table that has others found otherwise comes with its index"
            await put_in_force(writer, self.index, self.kinds)
