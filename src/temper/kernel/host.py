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
from dataclasses import replace

from temper.kernel import record
from temper.kernel.journal import Entry
from temper.kernel.ports import (
    Ask,
    Attempt,
    Batch,
    Change,
    Ids,
    Limits,
    OrderState,
    Request,
    Stir,
    Store,
    Stranded,
    TableVersion,
)
from temper.kernel.stored import Codec
from temper.kernel.turn import Held, HeldKey, Turn, held_key
from temper.table import Caller, Deliver, Fire, Offer, Snapshot, Table, World, due

_PUSH = Caller("system")

# What is forgotten of refused timers past this costs them a try, no more.
_HELD_MAX = 10_000


class Host:
    """Decides for one space. `store` is read only; `ids` names the events that no caller brings."""

    def __init__(self, table: Table, store: Store, *, ids: Ids, limits: Limits | None = None) -> None:
        self.codec = Codec(table)
        self.store = store
        self.ids = ids
        self.limits = limits or Limits()
        self.held: OrderedDict[HeldKey, Held] = OrderedDict()
        self._cache: OrderedDict[tuple[str, str], Snapshot] = OrderedDict()
        self._unheard: dict[str, Attempt] = {}
        self._next: tuple[Codec, dict[tuple[str, str], Snapshot]] | None = None

    @property
    def table(self) -> Table:
        """The table in force."""
        return self.codec.table

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
        now = self.store.snapshot(entity, id)
        if now is not None:
            self._keep(now)
        return now

    def world(self, at: int) -> World:
        """Return what may be read of others, as the last batch that was adopted left them."""
        return Turn(self, at, fresh=True)

    # --- a turn ---

    def turn(self, asks: Sequence[Ask], at: int, room: Mapping[str, int]) -> Batch:
        """Decide what is due, then `asks`, then which waiting calls start: of each tool as many as `room` says."""
        turn = Turn(self, at)
        # However many ask, some of the batch is for what is due.
        limit = max(self.limits.batch_max // 4, self.limits.batch_max - len(asks))
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

    def recover(self, at: int) -> Batch:
        """Settle the attempts whose ending nobody has heard, when a space comes alive (12)."""
        turn = Turn(self, at)
        turn.recover()
        return turn.batch()

    def adopt(self, batch: Batch) -> None:
        """Take in a batch that is durable."""
        if self._next is not None:
            self.codec, carried = self._next
            self._next = None
            self.held.clear()
            self._cache.clear()
            for now in carried.values():
                self._keep(now)
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
        for change in batch.changes:
            for now in change.snapshots:
                self._cache.pop((now.entity, now.id), None)

    def forget(self, names: Iterable[tuple[str, str]]) -> None:
        """Read these from the store again: others have changed them."""
        for name in names:
            self._cache.pop(name, None)

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
        if self.store.stirs(1):
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

    def swap(self, table: Table, version: TableVersion, at: int) -> Batch | tuple[Stranded, ...]:
        """Return the batch that puts `table` in force, or every live entity that has no place in it.

        One change for all: the version, and whatever of the living it rewrites. Going back is the same: an earlier
        table under a new number.
        """
        new = Codec(table)
        stranded: list[Stranded] = []
        carried: dict[tuple[str, str], Snapshot] = {}
        entries: list[Entry] = []
        holders: dict[tuple[str, int, str], str] = {}
        watching = {
            (kind.name, state)
            for kind in table.entities.values()
            for place in kind.places
            for state in place.states
            if place.whenevers
        }
        stirs: list[Stir] = []
        for now in self.store.live():
            after = new.carried(self.codec, now, from_version=version.number - 1, at=at)
            reasons = list(_clashes(new, after, holders) if isinstance(after, Snapshot) else after)
            if reasons:
                stranded.append(Stranded(now.entity, now.id, now.state, tuple(reasons)))
            elif not stranded and isinstance(after, Snapshot) and new.stored(after) != self.codec.stored(now):
                after = replace(after, version=now.version + 1, updated_at=at)
                carried[now.entity, now.id] = after
                entries.append(record.swapped(self.codec, new, now, after, version, at))
            if isinstance(after, Snapshot) and (after.entity, after.state) in watching:
                # What is due by the new table's `whenever`s is seen once all are carried over.
                stirs.append(Stir(after.entity, after.entity, after.id, (), _PUSH))
        if stranded:
            return tuple(stranded)
        self._next = (new, carried)
        return Batch((Change(tuple(entries), tuple(carried.values()), version=version, stirs=tuple(stirs)),))

    def take_over(self, table: Table) -> None:
        """Decide by `table` from now on: another server has put it in force, and carried everybody over."""
        self.codec = Codec(table)
        self.held.clear()
        self._cache.clear()

    # --- private ---

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
        if len(self._cache) > self.limits.snapshots_max:
            self._cache.popitem(last=False)


def _clashes(new: Codec, now: Snapshot, holders: dict[tuple[str, int, str], str]) -> list[str]:
    """Return why the entity can't live beside those before it: a `unique` of theirs, which may be new."""
    reasons: list[str] = []
    for number, text in new.uniques(now).items():
        other = holders.setdefault((now.entity, number, text), now.id)
        if other != now.id:
            names = ", ".join(f"`{name}`" for name in new.table.entities[now.entity].uniques[number].fields)
            reasons.append(f"`{other}` has the same {names}, which is unique")
    return reasons
