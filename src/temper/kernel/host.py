"""The host of one space: it decides, says what to append, and what to do once that is durable. It performs nothing.

Whoever drives it does, over and over:

    batch = host.turn(asks, at, room)   # what is due, the asks, and the starts of calls: decided on one state
    last = store.append(batch)          # may raise; then host.abandon(batch), and nothing has happened
    host.adopt(batch)                   # and only now: answer the callers, carry out `batch.attempts`

and asks `next_wake` when to come again. Nothing may be decided between `turn` and `adopt` or `abandon`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from temper.kernel.ports import (
    Ask,
    Attempt,
    Batch,
    Change,
    Ids,
    Limits,
    OrderRow,
    OrderState,
    PolicyGate,
    Request,
    Store,
    Stranded,
    TableVersion,
)
from temper.kernel.stored import Codec, Kept
from temper.kernel.turn import Held, HeldKey, Turn, held_key
from temper.kernel.upgrade import Examination
from temper.table import Deliver, Fire, Offer, Snapshot, Table, World, due

# Entities that a turn carries over, however few ask: else a space at work would never be done with them.
_MOVES_MIN = 4
# What is forgotten of refused timers past this costs them a try, no more.
_HELD_MAX = 10_000


class Host:
    """Decides for one space. `store` is read only; `ids` names the events that no caller brings."""

    def __init__(self, table: Table, store: Store, *, ids: Ids, limits: Limits | None = None) -> None:
        self.codec = Codec(table)
        self.table = table
        """The table in force."""
        self.store = store
        self.ids = ids
        self.limits = limits or Limits()
        self.held: OrderedDict[HeldKey, Held] = OrderedDict()
        self._cache: OrderedDict[tuple[str, str], Snapshot] = OrderedDict()
        self._unheard: dict[str, Attempt] = {}
        self._next: Codec | None = None
        self.gate: PolicyGate | None = None
        """Who says what policies let callers do; everything that `by` lets them, where there is none."""
        self.behind: dict[tuple[str, str], Kept] = {}
        """Of those in memory, who is kept as an earlier table wrote them."""
        self.moving = store.moving()
        """Whether there may be some."""
        self._unmoved = self.moving

    def read(self, entity: str, id: str) -> Snapshot | None:
        """Return the entity as the last batch that was adopted left it; of a shared store, as it is there."""
        if self.store.shared:
            return self.store.snapshot(entity, id) if entity in self.table.entities else None
        return self.cached(entity, id)

    def cached(self, entity: str, id: str) -> Snapshot | None:
        """Return the entity as it was last seen: of a shared store, `append` looks whether it still is so."""
        name = (entity, id)
        now = self._cache.get(name)
        if now is not None:
            self._cache.move_to_end(name)
            return now
        if entity not in self.table.entities:
            return None
        if not self.moving:
            now = self.store.snapshot(entity, id)
            if now is not None:
                self._keep(now)
            return now
        kept = self.store.kept(entity, id)
        if kept is None:
            return None
        self._keep(kept.now)
        if kept.steps:
            self.behind[name] = kept
        return kept.now

    def version_kept(self, now: Snapshot) -> int:
        """Return the version of an entity in memory as the store keeps it."""
        kept = self.behind.get((now.entity, now.id)) if self.behind else None
        return now.version if kept is None else kept.version

    def unread(self, names: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those of them that would be read from the store."""
        return [name for name in names if name not in self._cache and name[0] in self.table.entities]

    def world(self, at: int) -> World:
        """Return what may be read of others, as the last batch that was adopted left them."""
        return Turn(self, at, fresh=True)

    # --- a turn ---

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        """Decide what is due, then `asks`, then which waiting calls start: of each tool as many as `room` says."""
        turn = Turn(self, at)
        # However many ask, some of the batch is for what is due.
        limit = max(self.limits.batch_max // 4, self.limits.batch_max - len(asks))
        if self.moving and self.limits.moves_max:
            # Who asks waits for them too: of those, as many as ask, or a few.
            most = max(_MOVES_MIN, len(asks)) if asks else self.limits.moves_max
            self._unmoved = turn.move(min(most, self.limits.moves_max))
            self.moving = self._unmoved or self.store.moving()
        turn.rouse_waiting()
        for request in self.due(at, max(1, limit)):
            turn.request(request)
        for ask in asks:
            turn.ask(ask)
        turn.start(room)
        return self._with_unheard(turn.batch())

    def decide(self, asks: Sequence[Ask], at: int) -> Batch:
        """Decide `asks` alone, in their order."""
        turn = Turn(self, at)
        for ask in asks:
            turn.ask(ask)
        return turn.batch()

    def start(self, at: int, room: Mapping[str, int]) -> Batch:
        """Start attempts of waiting calls: `Batch.attempts`, to be carried out after the append."""
        turn = Turn(self, at)
        turn.start(room)
        return self._with_unheard(turn.batch())

    def recover(self, at: int, started: Sequence[OrderRow] | None = None) -> Batch:
        """Settle the attempts whose ending nobody has heard, when a space comes alive (12).

        They are all those that have been started, or these.
        """
        turn = Turn(self, at)
        turn.recover(self.store.started() if started is None else started)
        return turn.batch()

    def adopt(self, batch: Batch) -> None:
        """Take in a batch that is durable."""
        if self._next is not None:
            self._put(self._next)
            return
        for change in batch.changes:
            for now in change.snapshots:
                self._keep(now)

    def abandon(self, batch: Batch) -> None:
        """Forget a batch that could not be appended. Its timers and sends are as due as before.

        If its fate is unknown, what it was about is read again from the store: whatever that says is so. Attempts that
        turn out to have been started there are handed out with the next turn: nobody has carried them out. A swap that
        turns out to be there is in force.
        """
        if self._next is not None and any(change.version == self.store.current() for change in batch.changes):
            self.adopt(batch)
            return
        self._next = None
        self._unheard.update((attempt.order, attempt) for attempt in batch.attempts)
        self.held.clear()
        self.moving = self._unmoved = True  # The next turn finds out.
        self.forget((now.entity, now.id) for change in batch.changes for now in change.snapshots)

    def forget(self, names: Iterable[tuple[str, str]]) -> None:
        """Read these from the store again: others have changed them."""
        for name in names:
            self._cache.pop(name, None)
            self.behind.pop(name, None)

    # --- what is due ---

    def due(self, at: int, limit: int) -> list[Request]:
        """Return what is due, earliest first: timers, deferred ones that may be offered, and sends."""
        requests: list[Request] = []
        for entity, id in self.store.due(at, limit):
            now = self.cached(entity, id)
            if now is None:
                continue
            for event in due(now, at):
                if self._held_until(now, event) <= at:
                    requests.append(Request(replace(event, id=self.ids()), entity, id))
        for row in self.store.sends(at, max(1, limit - len(requests))):
            send = row.send
            assert send is not None, "a send's row has its send"
            arrives = Deliver(
                id=self.ids(),
                at=at,
                order=row.order,
                action=send.action,
                params=send.params,
                caller=send.caller,
                entity=send.entity,
                entity_id=send.entity_id,
            )
            requests.append(Request(arrives, send.entity, send.entity_id))
        return requests

    def next_wake(self, busy: Sequence[str] = ()) -> int | None:
        """Return when something will be due; `busy` are the tools whose calls have to wait for room, not for time."""
        if self._unmoved or self.store.stirs(1):
            return 0
        times = [at for at in (self.store.next_due(), self.store.next_order(busy)) if at is not None]
        return min(times, default=None)

    def hold(self, key: HeldKey, held: Held) -> None:
        """Keep in mind that a timer was refused."""
        self.held[key] = held
        self.held.move_to_end(key)
        if len(self.held) > _HELD_MAX:
            self.held.popitem(last=False)

    def wake(self, now: Snapshot, at: int) -> int:
        """Return when the entity is to be looked at again, while it stays as it is: something of it is held."""
        times = [armed.due for armed in now.timers if armed.due is not None and armed.due > at]
        times.extend(max(at, self._held_until(now, event)) for event in due(now, at))
        return min(times)

    def _held_until(self, now: Snapshot, event: Fire | Offer) -> int:
        held = self.held.get(held_key(now.entity, now.id, event))
        return held.until if held is not None and held.version == now.version else 0

    # --- another table ---

    def examine(self, table: Table, version: TableVersion, *, lasting: bool = True) -> Examination:
        """Return the examination of those who live, for `table` to come into force as `version`.

        Where it is not `lasting`, it answers a question: `table` can't be put in force by it.
        """
        return Examination(self.codec, self.store, table, version, lasting=lasting)

    def exchange(self, examination: Examination) -> Batch | tuple[Stranded, ...]:
        """Return the batch that puts the table examined in force, or every live entity that has no place in it.

        What has changed since they were examined is asked here; of the living nothing is written. They are as the new
        table has them from then on, to whoever reads; and are rewritten when they next change, or by and by in turns.
        """
        stranded = examination.whole()
        if stranded:
            return stranded
        self._next = examination.new
        return Batch((Change(version=examination.version, index=examination.index),))

    def swap(self, table: Table, version: TableVersion, at: int) -> Batch | tuple[Stranded, ...]:
        """Examine and exchange in one. Going back is the same: an earlier table under a new number."""
        return self.exchange(self.examine(table, version))

    def take_over(self, table: Table) -> None:
        """Decide by `table` from now on: another server has put it in force."""
        self._put(Codec(table))

    # --- private ---

    def _put(self, codec: Codec) -> None:
        self.codec, self.table, self._next = codec, codec.table, None
        self.held.clear()
        self._cache.clear()
        self.behind.clear()
        self.moving = self._unmoved = True  # The next turn finds out.

    def _with_unheard(self, batch: Batch) -> Batch:
        """Add the attempts of abandoned batches whose starts are in the store all the same."""
        if not self._unheard:
            return batch
        unheard, self._unheard = self._unheard, {}
        rows = [(attempt, self.store.order(attempt.order)) for attempt in unheard.values()]
        started = [
            attempt
            for attempt, row in rows
            if row is not None and row.state is OrderState.STARTED and row.attempts == attempt.number
        ]
        return replace(batch, attempts=(*started, *batch.attempts)) if started else batch

    def _keep(self, now: Snapshot) -> None:
        name = (now.entity, now.id)
        self._cache[name] = now
        self._cache.move_to_end(name)
        if self.behind:
            self.behind.pop(name, None)
        if len(self._cache) > self.limits.snapshots_max:
            oldest, _ = self._cache.popitem(last=False)
            self.behind.pop(oldest, None)
