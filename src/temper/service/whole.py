"""A blueprint's space as a whole, while it is served: audited, and exported as a stream of lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from temper.kernel import StoreFault
from temper.runtime import Anchor, PostgresStill, PostgresStore, SqliteStill, SqliteStore, Still, audit_space, exported
from temper.service import wire
from temper.service.declined import Declined, bad_query, unavailable
from temper.service.space import Space

# Each keeps what it reads from being tidied away, and a thread at work.
AT_ONCE_MAX = 2
_LINES = 256


@dataclass
class Looks:
    """Those who look at a whole of this server's."""

    under_way: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Be one of the few. Declines with "busy" where there are so many."""
        if self.under_way >= AT_ONCE_MAX:
            raise Declined(
                wire.Problem(
                    type="busy",
                    title=f"{AT_ONCE_MAX} audits or exports are under way",
                    status=503,
                    help="try again after the time that Retry-After says",
                    retry_after_ms=5_000,
                )
            )
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1


async def audit(looks: Looks, space: Space, expect: str | None) -> wire.Audited:
    """Walk all of a space, and say the first thing in it that is not what was written. `expect` are anchors."""
    try:
        anchors = [Anchor.parse(each) for each in expect.split(",")] if expect else []
    except ValueError as error:
        raise bad_query("expect", f"is no list of anchors: {error}") from error

    def walk() -> wire.Audited:
        with _still(space.store) as still:
            return _audited(still, anchors)

    with looks.one():
        try:
            return await asyncio.to_thread(walk)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault


def _audited(still: Still, anchors: Sequence[Anchor]) -> wire.Audited:
    found = audit_space(still, anchors)
    differs = found.difference
    return wire.Audited(
        passes=differs is None,
        entries=found.entries,
        entities=found.entities,
        versions=found.versions,
        anchors=tuple(str(Anchor(head.seq, head.hash, head.part)) for head in found.heads),
        difference=None
        if differs is None
        else wire.AuditDifference(
            text=differs.text,
            help=differs.help,
            part=differs.part,
            seq=differs.seq,
            entity=differs.entity,
            table=differs.table,
            row=differs.row,
        ),
    )


async def export(looks: Looks, space: Space) -> AsyncIterator[bytes]:
    """Yield the space as it is now, some lines at once; the last says that it is whole."""
    with looks.one():
        try:
            still = await asyncio.to_thread(_still, space.store)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault
        try:
            lines = exported(still)
            while piece := await asyncio.to_thread(_some, lines):
                yield piece
        finally:
            await asyncio.to_thread(still.close)


def _some(lines: Iterator[bytes]) -> bytes:
    return b"".join(islice(lines, _LINES))


def _still(store: SqliteStore | PostgresStore) -> Still:
    return SqliteStill(store.path) if isinstance(store, SqliteStore) else PostgresStill(store.url, store.space)
