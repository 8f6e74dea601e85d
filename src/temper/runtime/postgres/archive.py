"""The archive of a space in PostgreSQL: a table, in which each entity that was put away is packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from temper.kernel import StoreFault
from temper.runtime import records as r
from temper.runtime.archive import ArchiveDamaged, Packed, Unpacked, packed, unpack
from temper.runtime.postgres.columns import Lost
from temper.runtime.postgres.line import Line, fault

if TYPE_CHECKING:
    import asyncpg

TO_PACK = (
    "select e.row, e.kind, e.id, e.state, e.due, e.number, e.version, e.body from entities e"
    " join unnest($1::text[], $2::text[]) as w(kind, id) on w.kind = e.kind and w.id = e.id"
    " where e.state <> '' and not e.live and (select count(*) from log where entity = e.row) <= $3"
)
_PUT = (
    "insert into archived select w.row, w.data"
    " from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[]) as w(row, version, last, data)"
    " join entities e on e.row = w.row and e.version = w.version and e.state <> '' and not e.live"
    " where (select max(seq) from log where entity = w.row) = w.last"
    " on conflict(row) do update set body = excluded.body returning row"
)
_ANSWER_S = 60.0


def pack_row(row: Any, log: Sequence[Any], unpacked: Callable[[int], Unpacked]) -> Packed:
    """Return an entity to be put away, with its entries."""
    entity = r.Entity(
        row=row["row"], kind=row["kind"], id=row["id"], state=row["state"], live=False, due=row["due"],
        table=row["number"], body=r.raw(row["body"]),
    )  # fmt: skip
    return packed(entity, row["version"], log, unpacked)


def unpacked(data: bytes | None, row: int) -> Unpacked:
    """Return what is in the archive in that row. Raises `ArchiveDamaged`."""
    if data is None:
        raise ArchiveDamaged(f"row {row} is not in the table `archived`: restore it from a copy that passes an audit")
    return unpack(data, f"row {row} of the table `archived`")


async def put_away(line: Line, lock: int, these: Sequence[Packed], epochs: Mapping[int, int | None]) -> int:
    """Put those away who are as they were, and return how many. Raises `Lost` where a partition is another's."""
    try:
        writer: asyncpg.Connection[Any] = await line.writer()
        async with writer.transaction():
            # In the order in which an append takes its locks.
            await writer.execute("select pg_advisory_xact_lock_shared($1)", lock, timeout=_ANSWER_S)
            held = await writer.fetch(
                "select part, epoch from partitions where part = any($1) order by part for update",
                sorted(epochs),
                timeout=_ANSWER_S,
            )
            for row in held:
                if epochs[row["part"]] != row["epoch"]:
                    raise Lost(row["part"])
            rows = await writer.fetch(
                _PUT,
                [one.row for one in these],
                [one.version for one in these],
                [one.last for one in these],
                [one.data for one in these],
                timeout=_ANSWER_S,
            )
            done = [row["row"] for row in rows]
            await writer.execute(
                "update log set body = sha256(body) where entity = any($1) and length(body) > 32", done
            )
            await writer.execute("update entities set state = '', body = '' where row = any($1)", done)
            await writer.execute("delete from marks where entity = any($1)", done)
    except StoreFault:
        raise
    except Exception as problem:
        line.drop()
        raise fault(problem) from problem
    return len(done)
