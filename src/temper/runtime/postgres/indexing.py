"""What entities of a space are found by, under labels, as in a file (see `temper.runtime.sqlite.indexing`).

Several servers may be at it, each with labels of its own: the first swap has its own put in force, and all others have
been made in vain.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from temper.kernel import KEY, Clash, Indexed, StoreFault, Superseded
from temper.runtime.postgres.line import Line, fault, is_loss
from temper.runtime.postgres.schema import FUNCTION

if TYPE_CHECKING:
    import asyncpg

_T = TypeVar("_T")

PIECE = 1_000
_ANSWER_S = 30.0

_BEGUN = "insert into labels(label, kind, state, server) select k || '.' || $1, k, 'made', $3 from unnest($2::text[]) k"
_IS_MADE = (
    "select label from labels where state = 'made' and label in (select k || '.' || $1 from unnest($2::text[]) k)"
    " for share"
)
# By an index's name and the columns of kinds and rows, ids too.
_TAKEN = "unnest($2::text[], $3::bigint[]) as g(kind, row)"
_TAKE_OUT_HOLDS = (
    f"delete from holds h using {_TAKEN}, entities e"  # noqa: S608 - all of it is ours
    " where e.row = g.row and h.kind = g.kind || '.' || $1 and h.id = e.id"
)
_TAKE_OUT_REFS = f"delete from refs r using {_TAKEN} where r.row = g.row and r.kind = g.kind || '.' || $1"  # noqa: S608 - all of it is ours
_TAKE_OUT_KEYS = (
    f"with gone as (delete from keyed d using {_TAKEN}"  # noqa: S608 - all of it is ours
    " where d.label = g.kind || '.' || $1 and d.row = g.row returning d.label, d.value)"
    " delete from keys k using gone where k.kind = gone.label and k.value = gone.value"
)
_OF_KEYS = "unnest($2::text[], $3::text[], $4::bigint[], $5::text[]) as w(kind, id, row, value)"
_KEYS = (
    "insert into keys select w.kind || '.' || $1, w.value, w.id"  # noqa: S608 - all of it is ours
    f" from {_OF_KEYS} order by w.row on conflict do nothing"
)
_KEYED = (
    "insert into keyed select k.kind, w.row, k.value"  # noqa: S608 - all of it is ours
    f" from {_OF_KEYS} join keys k on k.kind = w.kind || '.' || $1 and k.value = w.value and k.id = w.id"
    " on conflict do nothing"
)
_KEY_CLASHES = (
    "select w.row, e.row as holder"  # noqa: S608 - all of it is ours
    f" from {_OF_KEYS} join keys k on k.kind = w.kind || '.' || $1 and k.value = w.value and k.id <> w.id"
    " join entities e on e.kind = w.kind and e.id = k.id"
)
_OF_HOLDS = "unnest($2::text[], $3::text[], $4::bigint[], $5::integer[], $6::text[]) as w(kind, id, row, number, value)"
_HOLDS = (
    "insert into holds select w.kind || '.' || $1, w.number, w.value, w.id"  # noqa: S608 - all of it is ours
    f" from {_OF_HOLDS} order by w.row on conflict do nothing"
)
_CLASHES = (
    "select w.row, w.number, e.row as holder"  # noqa: S608 - all of it is ours
    f" from {_OF_HOLDS} join holds h on h.kind = w.kind || '.' || $1 and h.number = w.number and h.value = w.value"
    " and h.id <> w.id join entities e on e.kind = w.kind and e.id = h.id"
)
_REFS = (
    "insert into refs select kind || '.' || $1, field, target, row"
    " from unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) as w(kind, field, target, row)"
    " on conflict do nothing"
)
_DROPPED = tuple(
    f"delete from {table} where ctid = any(array(select ctid from {table} where {label} = $1 limit {PIECE}))"  # noqa: S608 - all of it is ours
    for table, label in (("holds", "kind"), ("keys", "kind"), ("refs", "kind"), ("keyed", "label"))
)
# What another server is just dropping is there until it has.
_GONE = (
    "delete from labels where label = $1 and not exists(select from holds where kind = $1)"
    " and not exists(select from keys where kind = $1) and not exists(select from refs where kind = $1)"
    " and not exists(select from keyed where label = $1)"
)
_OF_NO_USE = (
    f"delete from keyed where ctid = any(array(select ctid from keyed"  # noqa: S608 - all of it is ours
    f" where label in (select label from labels where state = 'in force') limit {PIECE}))"
)
# An earlier build's `append` knows no labels: a server that still calls it has to be one of this build.
_FORMER = (
    "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
    " where n.nspname = current_schema() and p.proname like 'append\\_%' and p.proname <> $1"
)


class PostgresIndex:
    """An index that is being made, for the swap of one server."""

    def __init__(self, line: Line, server: str, kinds: Collection[str]) -> None:
        self.name = secrets.token_hex(4)
        self._line = line
        self._server = server
        self._kinds = sorted(kinds)
        self._begun = False

    def put(self, these: Sequence[Indexed], gone: Sequence[tuple[str, int]]) -> Sequence[Clash]:
        found = self._line.ask(_carried_out(self._line, lambda writer: self._put(writer, these, gone)))
        self._begun = True
        return found

    async def _put(
        self, writer: asyncpg.Connection[Any], these: Sequence[Indexed], gone: Sequence[tuple[str, int]]
    ) -> Sequence[Clash]:
        name = self.name
        if not self._begun:
            await writer.execute(_BEGUN, name, self._kinds, self._server)
        if len(await writer.fetch(_IS_MADE, name, self._kinds)) < len(self._kinds):
            raise Superseded("another version has been put in force meanwhile")
        if gone:
            for sql in (_TAKE_OUT_HOLDS, _TAKE_OUT_REFS, _TAKE_OUT_KEYS):
                await writer.execute(sql, name, *_columns(gone))
        clashes: list[Clash] = []
        keys = [(one.entity, one.id, one.row, one.key) for one in these if one.key is not None]
        if keys:
            for sql in (_KEYS, _KEYED):
                await writer.execute(sql, name, *_columns(keys))
            found = await writer.fetch(_KEY_CLASHES, name, *_columns(keys))
            clashes += [Clash(row["row"], KEY, row["holder"]) for row in found]
        holds = [(one.entity, one.id, one.row, *unique) for one in these for unique in one.uniques]
        if holds:
            await writer.execute(_HOLDS, name, *_columns(holds))
            found = await writer.fetch(_CLASHES, name, *_columns(holds))
            clashes += [Clash(row["row"], row["number"], row["holder"]) for row in found]
        refs = [(one.entity, *reference, one.row) for one in these for reference in one.references]
        if refs:
            await writer.execute(_REFS, name, *_columns(refs))
        return clashes

    def drop(self) -> None:
        if self._begun:
            self._line.ask(_carried_out(self._line, self._drop))

    async def _drop(self, writer: asyncpg.Connection[Any]) -> None:
        # Also where its swap took back what was begun within it.
        await writer.execute(
            "update labels set state = 'dropped' where state = 'made' and label = any($1)",
            [f"{kind}.{self.name}" for kind in self._kinds],
        )


async def put_in_force(writer: asyncpg.Connection[Any], index: str, kinds: Collection[str]) -> None:
    """Put an index of these kinds in force, within a swap; all others that are being made are in vain."""
    names = sorted(kinds)
    await writer.execute("update labels set state = 'dropped' where kind = any($1) and state = 'in force'", names)
    await writer.execute(
        "insert into labels(label, kind, state)"
        " select k, k, 'dropped' from unnest($1::text[]) k on conflict do nothing",
        names,
    )
    put = await writer.fetch(
        "update labels set state = 'in force' where state = 'made' and label = any($1) returning label",
        [f"{kind}.{index}" for kind in names],
    )
    if len(put) < len(names):
        raise StoreFault("the index that was made for this version has been given up: try again")
    await writer.execute("update labels set state = 'dropped' where state = 'made'")
    for row in await writer.fetch(_FORMER, FUNCTION):
        await writer.execute(f"drop function {row[0]}")


def abandon(line: Line, server: str) -> None:
    """Drop what the server was making when it last stopped."""

    async def work(writer: asyncpg.Connection[Any]) -> None:
        await writer.execute("update labels set state = 'dropped' where state = 'made' and server = $1", server)

    line.ask(_carried_out(line, work))


def tidy(line: Line) -> bool:
    """Drop a piece of what is no longer used; say whether there is more."""
    return line.ask(_carried_out(line, _tidied))


async def _tidied(writer: asyncpg.Connection[Any]) -> bool:
    found = await writer.fetchval("select label from labels where state = 'dropped' limit 1")
    if found is None:
        return not (await writer.execute(_OF_NO_USE)).endswith(" 0")
    for sql in _DROPPED:
        await writer.execute(sql, found)
    await writer.execute(_GONE, found)
    return True


async def _carried_out(line: Line, work: Callable[[asyncpg.Connection[Any]], Awaitable[_T]]) -> _T:
    """Return what comes of `work` on the connection that writes: all of it, or nothing. Raises `StoreFault`."""
    try:
        writer = await line.writer()
        async with asyncio.timeout(_ANSWER_S), writer.transaction():
            return await work(writer)
    except StoreFault:
        raise
    except Exception as problem:
        if is_loss(problem):
            line.drop()
        raise fault(problem) from problem


def _columns(rows: Sequence[tuple[Any, ...]]) -> Sequence[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
