"""Hosts, stores and disks with a bug each, such as one could write: what the simulator is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from temper.kernel import (
    Ask,
    Attempt,
    Batch,
    Cause,
    Change,
    Host,
    OrderRow,
    OrderState,
    Request,
)
from temper.runtime import SqliteStore
from temper.service.rehearsal import SqliteDisk
from temper.table import Snapshot
from temper.verify.simulate.disk import MemoryDisk


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

    def cached(self, entity: str, id: str) -> Snapshot | None:
        now = super().cached(entity, id)
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

    def recover(self, at: int, started: Sequence[OrderRow] | None = None) -> Batch:
        batch = super().recover(at, started)
        rows = [row for now in self.store.live() for row in self.store.orders_of(now.entity, now.id)]
        waiting = tuple(row.order for row in rows if row.state is OrderState.WAITING)
        return replace(batch, changes=(*batch.changes, Change(ended_orders=waiting)))


class TriesAgain(Host):
    """Tries every call again after a crash, be its tool idempotent or not."""

    def recover(self, at: int, started: Sequence[OrderRow] | None = None) -> Batch:
        rows = tuple(replace(row, state=OrderState.WAITING) for row in self.store.started())
        return Batch((Change(orders=rows),)) if rows else Batch(())


class SwapsWithoutCarrying(Host):
    """Puts a table in force and leaves the living as they were, and as they are written."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        batch = super().turn(asks, at, room)
        return replace(batch, changes=tuple(each for each in batch.changes if not _is_swap(each)))


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


class ForgetsTimers(Host):
    """Begins after a crash with nobody's timers armed."""

    def recover(self, at: int, started: Sequence[OrderRow] | None = None) -> Batch:
        batch = super().recover(at, started)
        timed = [now for now in self.store.live() if now.timers]
        return replace(
            batch,
            changes=(*batch.changes, Change(snapshots=tuple(replace(now, timers=()) for now in timed))),
        )


class ForgetsCalls(Host):
    """Begins after a crash with nobody waiting for an outcome."""

    def recover(self, at: int, started: Sequence[OrderRow] | None = None) -> Batch:
        batch = super().recover(at, started)
        waiting = [now for now in self.store.live() if now.calls]
        return replace(
            batch,
            changes=(
                *batch.changes,
                Change(snapshots=tuple(replace(now, calls=()) for now in waiting)),
            ),
        )


class RecordsOutcomesTwice(Host):
    """Writes down each ending of a call as often as it hears of it, and hears each twice."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(super().turn(asks, at, room), self._twice)

    @staticmethod
    def _twice(change: Change) -> Change:
        again = tuple(replace(each, version=each.version + 1) for each in change.entries if each.ended)
        return replace(change, entries=(*change.entries, *again))


class AppendsOutOfOrder(Host):
    """Appends what it has decided last first."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        batch = super().turn(asks, at, room)
        return replace(batch, changes=batch.changes[::-1])


class SwapLosesCalls(Host):
    """Carries entities over to a new table without what they wait for."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(super().turn(asks, at, room), _without_calls)


def _without_calls(change: Change) -> Change:
    if not _is_swap(change):
        return change
    return replace(change, snapshots=tuple(replace(now, calls=()) for now in change.snapshots))


def _is_swap(change: Change) -> bool:
    return bool(change.entries) and change.entries[0].cause is Cause.SWAP


class KeepsItsTable(Host):
    """Puts a table in force for those who come after it."""

    def adopt(self, batch: Batch) -> None:
        self._next = None
        super().adopt(batch)


class ReadsStale(Host):
    """Goes on with what it knew of those whom another's commit took along."""

    def adopt(self, batch: Batch) -> None:
        super().adopt(_changed(batch, lambda each: replace(each, snapshots=each.snapshots[:1])))


class SplitsCommits(Host):
    """Appends what a commit did to others beside it, in a commit of its own that may not come."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(
            super().turn(asks, at, room),
            lambda each: replace(each, entries=each.entries[:1], snapshots=each.snapshots[:1]),
        )


class LosesLetters(Host):
    """Gives up what has no home without telling anybody."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        return _changed(
            super().turn(asks, at, room),
            lambda each: replace(
                each,
                letters=(),
                orders=tuple(row for row in each.orders if row.state is not OrderState.DEAD),
                ended_orders=(
                    *each.ended_orders,
                    *(row.order for row in each.orders if row.state is OrderState.DEAD),
                ),
            ),
        )


class SwapsAnswers(Host):
    """Gives two who ask together each other's answers."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        batch = super().turn(asks, at, room)
        mine = [number for number, ask in enumerate(asks) if isinstance(ask, Request)]
        if len(mine) < 2:
            return batch
        answers = list(batch.answers)
        one, other = mine[:2]
        answers[one], answers[other] = answers[other], answers[one]
        return replace(batch, answers=tuple(answers))


class NeverStarts(Host):
    """Does not look for room once a tool was busy."""

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        self.busy = getattr(self, "busy", False) or not all(room.values())
        return super().turn(asks, at, dict.fromkeys(room, 0) if self.busy else room)


# --- disks ------------------------------------------------------------------------------------------------------------


class AnswersBeforeSync(SqliteDisk):
    """SQLite as it is often set, which syncs its log when it is written back and no sooner."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._writer.execute("pragma synchronous = normal")


class AppendsInPieces(SqliteDisk):
    """Makes each change of a batch durable by itself."""

    def append(self, batch: Batch) -> int:
        ill, self.ill = self.ill, None
        for change in batch.changes[:-1]:
            SqliteStore.append(self, Batch((change,)))
        self.ill = ill
        if len(batch.changes) < 2:
            return super().append(batch)
        last = super().append(replace(batch, changes=batch.changes[-1:]))
        self.batches[-1] = batch
        return last


class LosesItsIndex(SqliteDisk):
    """Does not find those who have something due, once it was opened again."""

    def reopened(self) -> SqliteDisk:
        found = super().reopened()
        found._writer.execute("update entities set due = null")
        return found


class ForgetsToSync(MemoryDisk):
    """Answers before the last frame is on the disk."""

    def reopened(self) -> MemoryDisk:
        found = type(self)()
        for batch in self.batches[:-1] if len(self.batches) > 1 else self.batches:
            found.append(replace(batch, answers=()))
        return found
