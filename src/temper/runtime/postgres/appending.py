"""Appends to a space in PostgreSQL, and what becomes of one whose answer is lost."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from temper.kernel import KEYS_KEPT_MIN, KEYS_KEPT_MS, Stale, StoreFault, Superseded, Upto
from temper.runtime.postgres.columns import Columns, End, Lost
from temper.runtime.postgres.founding import Swapping
from temper.runtime.postgres.leases import Leases
from temper.runtime.postgres.line import Line, fault, is_loss
from temper.runtime.postgres.schema import CALL, LOST, MOVED, STALE, SUPERSEDED

if TYPE_CHECKING:
    import asyncpg

# A batch takes milliseconds; what takes so long waits for a lock, or for a server that is gone.
_ANSWER_S = 30.0
# An answer that was lost is looked for this long, while the database comes back or another takes its place.
_RESOLVE_S = 60.0
_AGAIN_S = 0.2
# Times that a batch is put together for logs that others append to meanwhile.
_GONE_ON_MAX = 10

_MOVED = (
    "with mine as (select part from partitions where part = any($2) order by part for update)"
    " update partitions p set moved = $1 from mine where p.part = mine.part"
)

_from_json = msgspec.json.Decoder().decode


class Appending:
    """Appends by a line, under what is leased. `lock` is the space's, which all appends share and a swap has alone."""

    def __init__(self, line: Line, leases: Leases, lock: int) -> None:
        self._line = line
        self._leases = leases
        self._lock = lock
        self._alone: asyncpg.transaction.Transaction | None = None
        self._ends: dict[int, End] = {}
        """Where the logs of partitions end, as far as is known: who appends is told if it has become another place."""

    def append(self, columns: Columns, at: int, number: int, before: Swapping | None, moved: Upto | None) -> int:
        """Append, as it was decided at `at` by version `number`; return where the first partition ends then."""
        id = secrets.token_hex(8)
        # Keys are counted by the numbers of their rows, of which some go unused: so twice as many are kept.
        given = (self._leases.server, id, at, number, self._lock, at - KEYS_KEPT_MS, 2 * KEYS_KEPT_MIN)
        ends = self._appended(columns, id, given, before, moved)
        for entry, part, nth, _ in columns.places:
            msgspec.structs.force_setattr(entry, "seq", ends[part][0] + nth)
        self._ends.update(columns.ends)
        return self._ends.get(0, (0, b""))[0]

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let nobody append in the block: what is read in it is still so when the version is appended that ends it."""
        self._line.ask(self._hold())
        try:
            yield
        finally:
            self._line.ask(self._let_go())

    def _appended(
        self, columns: Columns, id: str, given: Sequence[Any], before: Swapping | None, moved: Upto | None
    ) -> Mapping[int, End]:
        """Append, and return where the logs ended before it, of the partitions that it wrote to."""
        unknown = columns.counts.keys() - self._ends.keys()
        if unknown:
            self._ends.update(self._asked(unknown))
        ends = {part: self._ends[part] for part in columns.counts}
        for _ in range(_GONE_ON_MAX):
            arrays = columns.arrays(self._leases.deciding(), ends)
            try:
                self._line.ask(self._written(id, (*given, *arrays), before, moved))
            except _GoneOn as gone_on:
                # What another server decides has taken along somebody of ours, or this is somebody of another's.
                ends = {**ends, **gone_on.ends}
            except StoreFault:
                self._ends.clear()
                raise
            else:
                return ends
        raise Stale("others keep appending there")

    def _asked(self, parts: Iterable[int]) -> Mapping[int, End]:
        found = self._line.rows("select part, seq, head from partitions where part = any($1)", list(parts))
        return {row["part"]: (row["seq"], row["head"]) for row in found}

    async def _hold(self) -> None:
        try:
            writer = await self._line.writer()
            self._alone = writer.transaction()
            await self._alone.start()
            await writer.execute("select pg_advisory_xact_lock($1)", self._lock, timeout=_RESOLVE_S)
        except StoreFault:
            raise
        except Exception as problem:
            self._alone = None
            self._line.drop()
            raise fault(problem) from problem

    async def _let_go(self) -> None:
        alone, self._alone = self._alone, None
        if alone is not None:
            try:
                await alone.rollback()
            except Exception:  # noqa: BLE001 - what is not committed is gone either way
                self._line.drop()

    async def _written(self, id: str, given: Sequence[Any], swapping: Swapping | None, moved: Upto | None) -> None:
        sent = False
        try:
            writer = await self._line.writer()
            sent = True
            if moved is not None:
                async with writer.transaction():
                    await writer.fetchval(CALL, *given, timeout=_ANSWER_S)
                    await writer.execute(_MOVED, moved.row, list(self._leases.held), timeout=_ANSWER_S)
                return
            if swapping is None:
                await writer.fetchval(CALL, *given, timeout=_ANSWER_S)
                return
            if self._alone is None:
                self._alone = writer.transaction()
                await self._alone.start()
            await swapping.write(writer, self._lock)
            await writer.fetchval(CALL, *given, timeout=_ANSWER_S)
            alone, self._alone = self._alone, None
            await alone.commit()
        except StoreFault:
            await self._let_go()
            raise
        except Exception as problem:
            if not is_loss(problem):
                await self._let_go()
                raise _refusal(problem) from problem
            self._alone = None
            self._line.drop()
            if not sent:
                raise fault(problem) from problem
            if not await self._resolved(id, problem):
                raise Stale("the connection was lost before it was done") from problem

    async def _resolved(self, id: str, problem: Exception) -> bool:
        """Say whether an append whose answer was lost has been done; if not, it never will be.

        Raising the epochs waits for whatever still runs there, and refuses what has not begun. It writes even where
        nothing is leased: a standby that has taken over, or will, then has all that was found.
        """
        until = self._line.now() + _RESOLVE_S
        while True:
            held = self._leases.held
            try:
                writer = await self._line.writer()
                async with writer.transaction():
                    rows = await writer.fetch(
                        "with held as (select p.part from partitions p"
                        " join unnest($1::integer[], $2::bigint[]) as h(part, epoch)"
                        " on p.part = h.part and p.epoch = h.epoch order by p.part for update of p)"
                        " update partitions p set epoch = epoch + 1 from held where p.part = held.part"
                        " returning p.part, p.epoch",
                        list(held),
                        list(held.values()),
                        timeout=_ANSWER_S,
                    )
                    # Where a lease is lost whoever took it has waited and refuses, as we would.
                    last = await writer.fetchval(
                        "update batches set id = id where server = $1 returning id",
                        self._leases.server,
                        timeout=_ANSWER_S,
                    )
                self._leases.raised({row["part"]: row["epoch"] for row in rows})
                return bool(last == id)
            except Exception as again:  # noqa: BLE001 - whatever it is, it is asked again
                self._line.drop()
                if self._line.now() > until:
                    raise fault(again, unknown=True) from problem
                await asyncio.sleep(_AGAIN_S)


class _GoneOn(StoreFault):
    """Logs do not end where an append goes on from: where they do, for it to be put together anew."""

    def __init__(self, found: Sequence[tuple[int, int, str]]) -> None:
        super().__init__("the log of a partition has gone on")
        self.ends = {part: (seq, bytes.fromhex(head)) for part, seq, head in found}


def _refusal(problem: Exception) -> StoreFault:
    """Return what the function `append` refused, or PostgreSQL did."""
    code = getattr(problem, "sqlstate", None) or ""
    text = str(problem)
    if code == SUPERSEDED:
        return Superseded(text)
    if code == MOVED:
        return _GoneOn(_from_json(getattr(problem, "detail", None) or "[]"))
    if code == LOST:
        return Lost(int(getattr(problem, "detail", None) or -1))
    # Of two that wait for each other one is told to try again.
    if code in {STALE, "40P01", "40001"}:
        names = _from_json(getattr(problem, "detail", None) or "[]") if code == STALE else []
        return Stale(text, [tuple(name.split("/", 1)) for name in names])
    return fault(problem)
