"""Hosts and disks with a bug each, such as one could write: what the simulator is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from temper.kernel import (
    Ask,
    Attempt,
    Batch,
    Change,
    Host,
    OrderRow,
    OrderState,
    Request,
    Stranded,
    TableVersion,
)
from temper.table import Snapshot, Table
from temper.verify.simulate.disk import Disk


def _changed(batch: Batch, change: Callable[[Change], Change]) -> Batch:
    return replace(batch, changes=tuple(change(each) for each in batch.changes))


class ForgetsStarts(Host):
    """Hands attempts out without journaling that they start."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(super().turn(asks, at, room), self._unstarted)

    @staticmethod
    def _unstarted(change: Change) -> Change:
        return replace(change, orders=tuple(row for row in change.orders if row.state is not OrderState.STARTED))


class LosesKeys(Host):
    """Forgets under which idempotency key it has answered."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(super().turn(asks, at, room), lambda change: replace(change, key=None))


class ForgetsRefusedKeys(Host):
    """Keeps the keys of what it did, and not of what it refused."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(super().turn(asks, at, room), lambda each: each if each.snapshots else replace(each, key=None))


class FiresEarly(Host):
    """Takes a timer for due a minute before it is."""

    def read(self, entity: str, id: str) -> Snapshot | None:
        now = super().read(entity, id)
        if now is None or not any(armed.due for armed in now.timers):
            return now
        timers = tuple(replace(armed, due=armed.due and armed.due - 60_000) for armed in now.timers)
        return replace(now, timers=timers)

    def due(self, at: int, limit: int) -> list[Request]:
        return super().due(at + 60_000, limit)


class LivesAhead(Host):
    """Decides by a clock that is ahead."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return super().turn(asks, at + 20_000, room)


class DropsTheOutbox(Host):
    """Begins with an empty outbox after a crash."""

    def recover(self, at: int) -> Batch:
        batch = super().recover(at)
        rows = [row for now in self.store.live() for row in self.store.orders_of(now.entity, now.id)]
        waiting = tuple(row.order for row in rows if row.state is OrderState.WAITING)
        return replace(batch, changes=(*batch.changes, Change(ended_orders=waiting)))


class TriesAgain(Host):
    """Tries every call again after a crash, be its tool idempotent or not."""

    def recover(self, at: int) -> Batch:
        rows = tuple(replace(row, state=OrderState.WAITING) for row in self.store.started())
        return Batch((Change(orders=rows),)) if rows else Batch(())


class SwapsWithoutCarrying(Host):
    """Puts a table in force and leaves the living as they were."""

    def swap(self, table: Table, version: TableVersion, at: int) -> Batch | tuple[Stranded, ...]:
        batch = super().swap(table, version, at)
        return Batch((Change(version=version),)) if isinstance(batch, Batch) else batch


class BelievesItsCache(Host):
    """Goes on as if an append of unknown fate had been none."""

    def abandon(self, batch: Batch) -> None:
        """Forget nothing."""


class LosesAttempts(Host):
    """Forgets the attempts of a batch whose fate was unknown, as we did."""

    def _with_unheard(self, batch: Batch) -> Batch:
        return batch


class MixesLanes(Host):
    """Delivers the sends of one pair in any order."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(super().turn(asks, at, room), lambda each: replace(each, orders=_laneless(each.orders)))


def _laneless(rows: tuple[OrderRow, ...]) -> tuple[OrderRow, ...]:
    return tuple(replace(row, lane=-row.lane) if row.kind == "send" else row for row in rows)


class RunsCallsTwice(Host):
    """Hands each attempt out twice, as two orders of it would."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        batch = super().turn(asks, at, room)
        more: list[Attempt] = [replace(each, number=each.number + 1) for each in batch.attempts]
        return replace(batch, attempts=(*batch.attempts, *more))


class ForgetsToSync(Disk):
    """Answers before the last frame is on the disk."""

    def reopened(self) -> Disk:
        found = type(self)()
        for batch in self.batches[:-1] if len(self.batches) > 1 else self.batches:
            found._written(replace(batch, answers=()))
        return found
