"""One batch in the making: each ask is decided on the store as the earlier ones of the batch will leave it.

What the outside did wrong, and what it left open, is settled here:

* A failure is tried again while the tool's `retry` lasts and the adapter says that it may pass. An attempt whose fate
  is unknown is tried again only if the tool is `idempotent` (12). Once such a one has been, a later failure to get
  through says nothing about it, so the call ends `unknown`.
* The first definite ending wins, whichever attempt it is of. After `unknown` one more is taken, as the correction (13).
* A timer or an offer that is refused stays, and is tried again after a while that doubles (17). The journal has the
  refusal once for each version of the entity and each text: not every try.
* A commit has those look at their `whenever`s who read what it changes: so many at once, the others in later turns.
* A send that nobody has a place for, and an outcome that breaks the blueprint's own rules, become dead letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from msgspec.structs import replace

from temper.kernel import record
from temper.kernel.journal import Cause, Entry
from temper.kernel.ports import (
    Answer,
    Ask,
    Attempt,
    AttemptEnd,
    Batch,
    Change,
    Conflict,
    Discard,
    Done,
    Letter,
    No,
    OrderRow,
    OrderState,
    PolicyGate,
    Read,
    ReadSet,
    Request,
    Retry,
    Stir,
    Wake,
)
from temper.kernel.replay import replay
from temper.kernel.stored import Codec, Kept
from temper.table import (
    Accepted,
    Act,
    Caller,
    CallOrder,
    Commit,
    Deliver,
    Ending,
    Event,
    Fire,
    Hop,
    How,
    Offer,
    Outcome,
    Pending,
    Refused,
    SendOrder,
    Snapshot,
    Table,
    Value,
    Why,
    commit,
    field_references,
    rouse,
    shape,
    watches,
)

if TYPE_CHECKING:
    from temper.kernel.host import Host

# Room for the sends of one action in `OrderRow.lane`: the verifier bounds collections far below.
_SENDS_MAX = 1 << 20
_PAGE = 256


@dataclass(slots=True)
class Held:
    """A due timer or offer whose action was refused: not before `until`, unless the entity changes from `version`."""

    version: int
    until: int
    count: int
    text: str


HeldKey = tuple[str, str, str]
"""An entity, its id, and the timer's site with its stamp, or the deferred one's id."""


def held_key(entity: str, id: str, event: Fire | Offer) -> HeldKey:
    return entity, id, f"{event.timer}@{event.stamp}" if isinstance(event, Fire) else event.deferred


class Turn:
    """A batch in the making. It is the `World` that the table's `commit` reads."""

    def __init__(self, host: Host, at: int, *, fresh: bool = False) -> None:
        self._host = host
        self._look = host.read if fresh else host.cached
        self._store = host.store
        self._codec = host.codec
        self._table = host.table
        self._at = at
        self._changes: list[Change] = []
        self._answers: list[Answer | None] = []
        self._attempts: list[Attempt] = []
        # The batch's own, over the store's.
        self._snapshots: dict[tuple[str, str], Snapshot] = {}
        self._by_key: dict[tuple[str, str], str] = {}
        self._holders: dict[tuple[str, int, str], str] = {}
        self._orders: dict[str, OrderRow | None] = {}
        self._keys: dict[str, tuple[str, Answer]] = {}
        self._created: dict[tuple[str, str], Entry] = {}
        self._watches = watches(host.table)
        # What the batch rests on, by the store's: the batch's own can't change under it.
        self._reads: dict[tuple[str, str], int | None] | None = {} if host.store.shared else None
        self._sets: dict[tuple[str, str, str], ReadSet] = {}

    def batch(self) -> Batch:
        """Return what is to be appended, and what to say and to do after it."""
        return Batch(tuple(self._changes), tuple(self._answers), tuple(self._attempts), tuple(self._rests_on()))

    def _rests_on(self) -> Iterator[Read | ReadSet]:
        for (entity, id), version in (self._reads or {}).items():
            yield Read(entity, id, version)
        yield from self._sets.values()

    def ask(self, ask: Ask) -> None:
        """Decide one ask; its answer is the batch's next."""
        match ask:
            case Request():
                self._answers.append(self.request(ask))
            case AttemptEnd():
                self._answers.append(self._ended(ask))
            case Retry():
                self._answers.append(self._retry(ask))
            case Discard():
                self._answers.append(self._discard(ask))
            case _:
                assert_never(ask)

    # --- the world, as the batch will leave it ---

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        found = self._snapshots.get((entity, id))
        if found is not None:
            return found
        now = self._look(entity, id)
        if self._reads is not None:
            self._reads.setdefault((entity, id), None if now is None else self._host.version_kept(now))
        return now

    # --- those who live by an earlier table ---

    def move(self, limit: int) -> bool:
        """Carry some of them over; say whether there were any to look for."""
        unmoved = self._store.unmoved(limit)
        if unmoved is None:
            return False
        rousing = _Rousing(self, self._host.limits.watchers_max)
        for kept in unmoved.kept:
            if not kept.steps:
                continue  # Of a canary and the others, the step makes others of the one or the other.
            if self._reads is not None:
                self._reads.setdefault((kept.now.entity, kept.now.id), kept.version)
            self._rewrite(kept)
            for watch in self._watches.get(kept.now.entity, ()):
                stir = Stir(watch.owner, kept.now.entity, kept.now.id, watch.path, _NOBODY)
                rousing.follow(stir, [kept.steps[0].before, kept.now])
            rousing.follow(Stir(kept.now.entity, kept.now.entity, kept.now.id, (), _NOBODY))
        for entity, id in unmoved.looking:
            rousing.follow(Stir(entity, entity, id, (), _NOBODY))
        self._changes.append(rousing.into(Change(moved=unmoved.moved)))
        return True

    def _catch_up(self, entity: str, id: str) -> None:
        """Before anything is written of an entity: tell what later tables have made of it."""
        if (entity, id) not in self._snapshots:
            kept = self._host.behind.get((entity, id))
            if kept is not None:
                self._rewrite(kept)

    def _rewrite(self, kept: Kept) -> None:
        now = replace(kept.now, updated_at=self._at)
        entries = tuple(record.swapped(step, self._at) for step in kept.steps)
        self._changes.append(Change(entries, (now,)))
        self._put(now)

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        if self._by_key:
            found = self._by_key.get((entity, self._codec.key_text(entity, values)))
            if found is not None:
                return found
        return self._store.by_key(entity, values)

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        first = self._created.get((entity, id))
        if first is None:
            first = next(iter(self._store.history(entity, id, limit=1)), None)
        return None if first is None else self._codec.of(entity, id, first.at).creation(first)

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        text = self._codec.unique_text(entity, unique, values)
        for id in (self._holders.get((entity, unique, text)), self._store.holder(entity, unique, values)):
            if id is not None and id not in but_not:
                # The batch may have changed it since.
                now = self._snapshots.get((entity, id))
                if now is None or self._codec.uniques(now).get(unique) == text:
                    return True
        return False

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        # One more for each that the batch may have turned away.
        most = limit + len(self._snapshots)
        found, _ = self._store.referrers(entity, field, id, limit=most)
        if self._reads is not None:
            self._sets.setdefault((entity, field, id), ReadSet(entity, field, id, most, tuple(found)))
        return self._still(entity, field, id, found, more=True)[:limit]

    def _still(self, entity: str, field: str, id: str, found: Sequence[str], *, more: bool) -> list[str]:
        """Those who refer to `id` when the batch is done; with `more`, those who came to do so in it, too."""
        changed = {now.id: now for (kind, _), now in self._snapshots.items() if kind == entity}
        still = [one for one in found if one not in changed or (field, id) in self._codec.references(changed[one])]
        if more:
            known = frozenset(found)
            new = [one for one in changed if one not in known]
            still.extend(one for one in new if (field, id) in self._codec.references(changed[one]))
        return still

    def _codec_of(self, entity: str, id: str, now: Snapshot | None) -> Codec:
        """Return the codec of the table by which an entity lives, or would: it may be in a canary."""
        codec = self._codec
        return codec if codec.candidate is None else codec.of(entity, id, self._at if now is None else now.created_at)

    def _codec_for(self, now: Snapshot) -> Codec:
        return self._codec_of(now.entity, now.id, now)

    def _order(self, order: str) -> OrderRow | None:
        return self._orders[order] if order in self._orders else self._store.order(order)

    # --- requests ---

    def request(self, request: Request) -> Answer | None:
        """Decide a request, and note what it changes."""
        if request.key is not None and not request.dry_run:
            known = self._replayed(request.key, request.fingerprint)
            if known is not None:
                return known
        event = _at(request.event, self._at)
        now = self.snapshot(request.entity, request.id)
        if request.if_version is not None and now is not None and now.version != request.if_version:
            return Conflict(f"it is at version {now.version}, not {request.if_version}", now.version)
        if request.if_digest is not None and request.if_digest != self._codec.digest:
            return Conflict("another version of the blueprint is in force", another_table=True)
        codec = self._codec_of(request.entity, request.id, now)
        result = commit(codec.table, now, event, self)
        if self._host.gate is not None and type(event) is Act and not event.by_system:
            result = self._gated(self._host.gate, codec.table, request, now, event, result)
        if request.dry_run:
            return self._would(request, now, event, result)
        if self._host.behind:
            if now is not None:
                self._catch_up(now.entity, now.id)
            if isinstance(result, Commit) and result.existing is None:
                for part in result.parts:
                    self._catch_up(part.accepted.after.entity, part.accepted.after.id)
        if isinstance(result, Refused):
            return self._refused(request, now, event, result)
        if result.existing is not None:
            return Done(result.existing, None)
        change, entries = self._taken(now, event, result)
        done = Done(result.parts[0].accepted.after, entries[0], entries[1:])
        if request.key is not None:
            change = replace(change, key=(request.key, request.fingerprint))
            self._keys[request.key] = (request.fingerprint, replace(done, replayed=True))
        self._changes.append(change)
        return done

    def _gated(
        self,
        gate: PolicyGate,
        table: Table,
        request: Request,
        now: Snapshot | None,
        event: Act,
        result: Commit | Refused,
    ) -> Commit | Refused:
        """Ask the policies about what the table would take, or would refuse with a reason that tells of the entity."""
        if isinstance(result, Refused) and result.why in _BEFORE_POLICIES:
            return result
        return gate.rule(table, now, event, request.facts, self) or result

    def _replayed(self, key: str, fingerprint: str) -> Answer | None:
        """Return the answer under `key`, if there is one: what was answered is answered again."""
        here = self._keys.get(key)
        if here is not None:
            return here[1] if here[0] == fingerprint else _other_use()
        kept = self._store.answered(key)
        if kept is None:
            return None
        if kept.fingerprint != fingerprint:
            return _other_use()
        entry = kept.entry
        if entry.refused is not None:
            no = entry.refused
            return No(Refused(Why(no.why), no.text, no.site, entry.action, no.policies), kept.snapshot, replayed=True)
        assert kept.snapshot is not None, "an entry that was taken has an entity"
        rest = self._created_with(entry.seq) if kept.rest is None else kept.rest
        return Done(kept.snapshot, entry, rest, replayed=True)

    def _created_with(self, seq: int) -> tuple[Entry, ...]:
        """Return the entries that follow `seq` in its commit: no commit begins with what another asks for."""
        found: list[Entry] = []
        while True:
            page = self._store.entries(seq + len(found), 16)
            for entry in page:
                if entry.cause not in {Cause.CREATE, Cause.WITH}:
                    return tuple(found)
                found.append(entry)
            if len(page) < 16:
                return tuple(found)

    def _would(self, request: Request, now: Snapshot | None, event: Event, result: Commit | Refused) -> Answer:
        if isinstance(result, Refused):
            return No(result, now)
        if result.existing is not None:
            return Done(result.existing, None)
        entries = self._entries(now, result)
        return Done(result.parts[0].accepted.after, entries[0], entries[1:])

    def _entries(self, now: Snapshot | None, result: Commit) -> tuple[Entry, ...]:
        (main, done), *rest = ((part.event, part.accepted) for part in result.parts)
        if not rest:
            return (record.accepted(self._codec_for(done.after), now, main, done, None, self._told(now)),)
        causes: dict[str, Event] = {}
        for part in result.parts:
            causes.update((join.event.id, part.event) for join in part.accepted.joins)
            causes.update((made.event.id, part.event) for made in part.accepted.creates)
        entries = [record.accepted(self._codec_for(done.after), now, main, done, None, self._told(now))]
        for event, accepted in rest:
            before = self.snapshot(accepted.after.entity, accepted.after.id)
            cause = causes.get(event.id, main)
            told = self._told(before)
            codec = self._codec_for(accepted.after)
            entries.append(record.accepted(codec, before, event, accepted, record.event_id(cause), told))
        return tuple(entries)

    def _told(self, now: Snapshot | None) -> Mapping[str, Any] | None:
        """Return what the journal says of the fields of one that was final, `None` where that is what it has.

        A swap rewrites the living; who is final is carried over when it is next read. If something still comes to it
        and is kept, its entry has to say what the tables since then have made of it.
        """
        if now is None or (now.entity, now.id) in self._snapshots or self._codec.is_live(now):
            return None
        return replay(self._history(now.entity, now.id))[now.entity, now.id].fields

    def _history(self, entity: str, id: str) -> Iterator[Entry]:
        after = 0
        while page := self._store.history(entity, id, after=after, limit=_PAGE):
            yield from page
            after = page[-1].seq

    def _taken(self, now: Snapshot | None, event: Event, result: Commit) -> tuple[Change, tuple[Entry, ...]]:
        """Return a commit as a change, with what becomes of the order that it came by."""
        if type(event) is Act and len(result.parts) == 1 and not self._watches:
            return self._taken_alone(now, event, result.parts[0].accepted)
        entries = self._entries(now, result)
        rows: list[OrderRow] = []
        for part in result.parts:
            if part.accepted.orders:
                rows.extend(self._rows(part.accepted))
        ended, letters = self._carried_out(event, result.parts[0].accepted, rows)
        snapshots = tuple([part.accepted.after for part in result.parts])
        befores = [self._snapshots_before(after) for after in snapshots] if self._watches else []
        for after, entry in zip(snapshots, entries, strict=True):
            self._put(after)
            if entry.before == record.NEW:
                self._created[after.entity, after.id] = entry
        for row in rows:
            self._orders[row.order] = row
        for order in ended:
            self._orders[order] = None
        change = Change(entries, snapshots, tuple(rows), ended, letters)
        return self._roused(change, result, befores) if befores else change, entries

    def _taken_alone(self, now: Snapshot | None, event: Act, done: Accepted) -> tuple[Change, tuple[Entry, ...]]:
        """What `_taken` returns of one entity's action that nobody watches: most are."""
        after = done.after
        entries = (record.accepted(self._codec_for(after), now, event, done, None, self._told(now)),)
        self._put(after)
        if now is None:
            self._created[after.entity, after.id] = entries[0]
        if not done.orders:
            return Change(entries, (after,)), entries
        rows = self._rows(done)
        self._orders.update((row.order, row) for row in rows)
        return Change(entries, (after,), tuple(rows)), entries

    def _put(self, after: Snapshot) -> None:
        self._snapshots[after.entity, after.id] = after
        kind = self._table.entities[after.entity]
        if kind.key:
            key = self._codec.key(after)
            assert key is not None, "its kind has a key"
            self._by_key[after.entity, key] = after.id
        if kind.uniques:
            for number, text in self._codec.uniques(after).items():
                self._holders[after.entity, number, text] = after.id

    def _rows(self, accepted: Accepted) -> list[OrderRow]:
        after = accepted.after
        rows: list[OrderRow] = []
        for index, order in enumerate(accepted.orders):
            match order:
                case CallOrder(pending):
                    rows.append(
                        OrderRow(
                            order=pending.order,
                            kind="call",
                            entity=after.entity,
                            id=after.id,
                            tool=pending.tool,
                            args=self._codec.args(pending.tool, pending.args),
                            send=None,
                            state=OrderState.WAITING,
                            attempts=0,
                            next_at=self._at,
                            created_at=self._at,
                            lane=0,
                        )
                    )
                case SendOrder():
                    rows.append(
                        OrderRow(
                            order=order.order,
                            kind="send",
                            entity=after.entity,
                            id=after.id,
                            tool=None,
                            args={},
                            send=order,
                            state=OrderState.WAITING,
                            attempts=0,
                            next_at=self._at,
                            created_at=self._at,
                            lane=after.version * _SENDS_MAX + index,
                        )
                    )
                case _:
                    assert_never(order)
        return rows

    def _carried_out(
        self, event: Event, done: Accepted, rows: list[OrderRow]
    ) -> tuple[tuple[str, ...], tuple[Letter, ...]]:
        """Return the orders that this commit ends, and the letters that it leaves. A dead send stays, in `rows`."""
        if isinstance(event, Act):
            return (), ()
        dead = done.how is How.DEAD
        text = done.late or "nothing says what becomes of it"
        match event:
            case Deliver(order=order):
                if not dead:
                    return (order,), ()
                row = self._order(order)
                if row is not None:
                    rows.append(replace(row, state=OrderState.DEAD, attempts=row.attempts + 1, last_error=text))
                return (), (Letter(order, done.after.entity, done.after.id, text, self._at),)
            case Outcome(order=order):
                letters = (Letter(order, done.after.entity, done.after.id, text, self._at),) if dead else ()
                return ((order,) if self._order(order) is not None else ()), letters
            case Offer(deferred=order) if dead:
                return (), (Letter(order, done.after.entity, done.after.id, text, self._at),)
            case Fire() | Offer():
                return (), ()
            case _:
                assert_never(event)

    # --- `whenever` ---

    def _snapshots_before(self, after: Snapshot) -> Snapshot | None:
        return self.snapshot(after.entity, after.id) if after.version > 1 else None

    def _roused(self, change: Change, result: Commit, befores: Sequence[Snapshot | None]) -> Change:
        """Have those look at their `whenever`s who read what has changed."""
        rousing = _Rousing(self, self._host.limits.watchers_max)
        for part, before in zip(result.parts, befores, strict=True):
            after = part.accepted.after
            for watch in self._watches.get(after.entity, ()):
                stir = Stir(watch.owner, after.entity, after.id, watch.path, part.accepted.caller)
                rousing.follow(stir, [before, after] if before is not None else [after])
        return rousing.into(change)

    def rouse_waiting(self) -> None:
        """Go on with those who have yet to look at their `whenever`s."""
        rousing = _Rousing(self, self._host.limits.batch_max)
        done: list[Stir] = []
        for stir in self._store.stirs(self._host.limits.batch_max):
            if rousing.left <= 0:
                break
            done.append(stir)
            rousing.follow(stir)
        if done:
            self._changes.append(rousing.into(Change(unstirred=tuple(done))))

    def rouse(self, entity: str, id: str, caller: Caller) -> Snapshot | None:
        """Have an entity look at its `whenever`s; return it if what is due of it has changed."""
        now = self.snapshot(entity, id)
        after = None if now is None else rouse(self._codec_for(now).table, now, caller, self._at, self)
        if after is None or after is now:
            return None
        if self._host.behind:
            self._catch_up(entity, id)
            after = replace(after, updated_at=self._snapshots.get((entity, id), after).updated_at)
        self._snapshots[entity, id] = after
        return after

    def page(self, stir: Stir, hop: Hop, limit: int) -> tuple[Sequence[str], int | None]:
        """Return some of those whose field refers to what was stirred, as the batch will leave them."""
        if hop.entity not in self._table.entities:
            return (), None
        found, cursor = self._store.referrers(hop.entity, hop.field, stir.id, after=stir.after, limit=limit)
        return self._still(hop.entity, hop.field, stir.id, found, more=stir.after == 0), cursor

    def into(self, stir: Stir, hop: Hop, snapshots: Sequence[Snapshot]) -> frozenset[str]:
        """Return those in whose inverse set an entity is, or was."""
        now = None if snapshots else self.snapshot(stir.entity, stir.id)
        found = snapshots if now is None else [now]
        return frozenset(id for now in found for id in field_references(self._codec_for(now).table, now, hop.field))

    # --- refusals ---

    def _refused(self, request: Request, now: Snapshot | None, event: Event, no: Refused) -> Answer | None:
        match event:
            case Act():
                answer = No(no, now)
                if no.why is Why.MISSING and now is None:
                    return answer
                entry = self._no(request, now, event, no)
                key = None
                # What is paused may be asked for again under the same key once it goes on.
                if request.key is not None and no.why is not Why.PAUSED:
                    key = (request.key, request.fingerprint)
                    self._keys[request.key] = (request.fingerprint, replace(answer, replayed=True))
                self._changes.append(Change((entry,), key=key))
                return answer
            case Fire() | Offer():
                if now is None or no.why is Why.STALE:
                    self._not_due(request, now)
                    return None
                self._hold(request, now, event, no)
            case Deliver(order=order):
                row = self._order(order)
                if row is not None:
                    self._dead(request, now, event, no, row)
            case Outcome(order=order):
                row = self._order(order)
                if no.why in {Why.STALE, Why.MISSING}:
                    # It has ended before, or its entity knows nothing of it.
                    if row is not None:
                        self._drop(order)
                    return None
                if row is not None:
                    self._dead(request, now, event, no, row)
                else:
                    self._lost_correction(request, now, event, no)
            case _:
                assert_never(event)
        return No(no, now)

    def _not_due(self, request: Request, now: Snapshot | None) -> None:
        """What fell due is not so any more: a `whenever` that nobody has told so yet."""
        after = None if now is None else self.rouse(request.entity, request.id, _NOBODY)
        if after is not None:
            self._changes.append(Change(snapshots=(after,)))

    def _hold(self, request: Request, now: Snapshot, event: Fire | Offer, no: Refused) -> None:
        limits = self._host.limits
        key = held_key(request.entity, request.id, event)
        was = self._host.held.get(key)
        count = was.count + 1 if was else 1
        wait_ms = min(limits.backoff_ms << min(count - 1, 30), limits.backoff_max_ms)
        until = self._at + wait_ms
        told = was is not None and was.version == now.version and was.text == no.text
        self._host.hold(key, Held(now.version, until, count, no.text))
        entries = () if told else (self._no(request, now, event, no),)
        wake = Wake(request.entity, request.id, self._host.wake(now, self._at))
        self._changes.append(Change(entries, wakes=(wake,)))

    def _dead(self, request: Request, now: Snapshot | None, event: Event, no: Refused, row: OrderRow) -> None:
        dead = replace(row, state=OrderState.DEAD, last_error=no.text)
        letter = Letter(row.order, request.entity, request.id, no.text, self._at)
        entries = () if now is None else (self._no(request, now, event, no),)
        self._orders[row.order] = dead
        self._changes.append(Change(entries, orders=(dead,), letters=(letter,)))

    def _lost_correction(self, request: Request, now: Snapshot | None, event: Outcome, no: Refused) -> None:
        letter = Letter(event.order, request.entity, request.id, no.text, self._at)
        self._changes.append(Change((self._no(request, now, event, no),), letters=(letter,)))

    def _no(self, request: Request, now: Snapshot | None, event: Event, no: Refused) -> Entry:
        codec = self._codec_of(request.entity, request.id, now)
        return record.refused(codec, now, request.entity, request.id, event, no)

    def _drop(self, order: str, entries: tuple[Entry, ...] = ()) -> None:
        self._orders[order] = None
        self._changes.append(Change(entries, ended_orders=(order,), unlettered=(order,)))

    # --- calls ---

    def start(self, room: Mapping[str, int]) -> None:
        """Start attempts of waiting calls, of each tool as many as it has room for; the oldest first."""
        for name, free in room.items():
            tool = self._table.tools.get(name)
            if tool is None or free <= 0:
                continue
            for kept in self._store.calls(self._at, name, free):
                row = self._orders.get(kept.order, kept)
                if row is None or row.state is not OrderState.WAITING or row.next_at > self._at:
                    continue
                row = replace(row, state=OrderState.STARTED, attempts=row.attempts + 1)
                self._row(row)
                self._attempts.append(
                    Attempt(row.order, row.entity, row.id, name, row.args, row.attempts, tool.timeout_ms)
                )

    def recover(self, started: Sequence[OrderRow]) -> None:
        """Settle the attempts that were under way when the space was last alive."""
        for row in started:
            tool = self._tool(row)
            if tool is not None and tool.idempotent:
                # Once more whatever `retry` says: else a restart could end a call that nobody has answered.
                self._row(replace(row, state=OrderState.WAITING, next_at=self._at, unsure=True))
            else:
                self._outcome(row.order, row.entity, row.id, _unknown(row, "the server stopped during the attempt"))

    def _row(self, row: OrderRow) -> None:
        self._orders[row.order] = row
        self._changes.append(Change(orders=(row,)))

    def _tool(self, row: OrderRow) -> shape.Tool | None:
        return self._table.tools.get(row.tool or "")

    def _ended(self, end: AttemptEnd) -> Answer | None:
        row = self._order(end.order)
        if row is None:
            return self._correction(end)
        if row.kind != "call" or row.state is OrderState.DEAD:
            return None
        tool = self._tool(row)
        end = self._typed(end, row.tool)
        current = row.state is OrderState.STARTED and end.number == row.attempts
        if end.ending is Ending.ANSWERED:
            return self._outcome(end.order, row.entity, row.id, end)
        if not current:
            # An earlier attempt, and another one is on its way: that one's ending counts.
            return None
        unknown = end.ending is Ending.UNKNOWN
        retry = tool.retry if tool is not None and (tool.idempotent if unknown else end.retry) else None
        if retry is not None and row.attempts <= retry.count:
            text = f"{end.error_kind}: {end.error_text}" if end.error_kind else end.error_text
            self._row(
                replace(
                    row,
                    state=OrderState.WAITING,
                    next_at=self._at + delay_ms(retry, row.attempts),
                    last_error=text,
                    unsure=row.unsure or unknown,
                )
            )
            return None
        if row.unsure and end.retry and not unknown:
            # This one did not get through; an earlier one may have.
            end = _unknown(row, end.error_text)
        return self._outcome(end.order, row.entity, row.id, end)

    def _correction(self, end: AttemptEnd) -> Answer | None:
        """Take the true ending of a call that has ended `unknown`."""
        now = self.snapshot(end.entity, end.id)
        pending = _pending(now, end.order)
        if pending is None or not pending.ended or end.ending is Ending.UNKNOWN:
            return None
        return self._outcome(end.order, end.entity, end.id, self._typed(end, pending.tool))

    def _typed(self, end: AttemptEnd, tool: str | None) -> AttemptEnd:
        """An answer that is not of the declared type is a failure (29).

        Asking again would do the thing again: it is final.
        """
        if end.ending is Ending.ANSWERED and tool in self._table.tools:
            try:
                self._codec.answer(tool, end.results)
            except ValueError as wrong:
                return AttemptEnd(
                    end.order, end.entity, end.id, end.number, Ending.FAILED, {}, "bad_answer", str(wrong)
                )
        return end

    def _outcome(self, order: str, entity: str, id: str, end: AttemptEnd) -> Answer | None:
        pending = _pending(self.snapshot(entity, id), order)
        tool = pending.tool if pending else ""
        answered = end.ending is Ending.ANSWERED and tool in self._table.tools
        event = Outcome(
            id=self._host.ids(),
            at=self._at,
            order=order,
            ending=end.ending,
            results=self._codec.answer(tool, end.results) if answered else {},
            error_kind=end.error_kind,
            error_text=end.error_text,
        )
        return self.request(Request(event, entity, id))

    # --- operators ---

    def _retry(self, ask: Retry) -> Answer | None:
        row = self._order(ask.order)
        if row is not None and row.state is not OrderState.STARTED:
            entries = self._operated("retried", ask, row)
            before = f"; before: {row.last_error}" if row.last_error else ""
            said = f"{_operator(ask)} has it tried again{before}"
            row = replace(row, state=OrderState.WAITING, next_at=self._at, last_error=said)
            self._orders[ask.order] = row
            self._changes.append(Change(entries, orders=(row,), unlettered=(ask.order,)))
        return None

    def _discard(self, ask: Discard) -> Answer | None:
        row = self._order(ask.order)
        what = row or self._store.letter(ask.order)
        answer: Answer | None = None
        if row is not None and row.kind == "call":
            end = _unknown(row, f"{_operator(ask)} gave the call up")
            answer = self._outcome(ask.order, row.entity, row.id, end)
        # Behind what the call comes to: nothing that is told of the order comes after it.
        self._drop(ask.order, () if what is None else self._operated("discarded", ask, what))
        return answer

    def _operated(self, how: str, ask: Retry | Discard, what: OrderRow | Letter) -> tuple[Entry, ...]:
        """Return the entry that says so, in the history of who ordered it or had no place for what came."""
        now = self.snapshot(what.entity, what.id)
        if now is None:
            return ()
        if self._host.behind:
            self._catch_up(now.entity, now.id)
        return (record.operated(self._codec_for(now), now, self._at, how, ask.by, what, ask.note),)


class _Rousing:
    """Goes from what has changed to those who read it, as far as `left` of them; the rest is left as stirs."""

    def __init__(self, turn: Turn, left: int) -> None:
        self._turn = turn
        self.left = left
        self._after: dict[tuple[str, str], Snapshot] = {}
        self._stirs: list[Stir] = []

    def follow(self, stir: Stir, snapshots: Sequence[Snapshot] = ()) -> None:
        """Go back along the path. `snapshots` are what was stirred before and after, where that is known."""
        if self.left <= 0:
            self._stirs.append(stir)
            return
        if not stir.path:
            self.left -= 1
            after = self._turn.rouse(stir.entity, stir.id, stir.caller)
            if after is not None:
                self._after[after.entity, after.id] = after
            return
        hop, rest = stir.path[-1], stir.path[:-1]
        if hop.inverse:
            # It stands first in a path: an inverse set is always the owner's.
            for id in sorted(self._turn.into(stir, hop, snapshots)):
                self.follow(Stir(stir.owner, stir.owner, id, rest, stir.caller))
            return
        found, cursor = self._turn.page(stir, hop, self.left)
        for id in found:
            self.follow(Stir(stir.owner, hop.entity, id, rest, stir.caller))
        if cursor is not None:
            self._stirs.append(replace(stir, after=cursor))

    def into(self, change: Change) -> Change:
        """Return the change with what has come of it."""
        if not self._after and not self._stirs:
            return change
        return replace(change, snapshots=(*change.snapshots, *self._after.values()), stirs=tuple(self._stirs))


_NOBODY = Caller("system")
_BEFORE_POLICIES = frozenset({Why.UNKNOWN_ACTION, Why.BAD_PARAMS, Why.DENIED, Why.MISSING})


def delay_ms(retry: shape.Retry, attempts: int) -> int:
    """Return how long to wait after that many attempts: `every`, doubled each time where the tool says `up to`."""
    if retry.up_to_ms is None:
        return retry.every_ms
    return min(retry.every_ms << min(attempts - 1, 60), retry.up_to_ms)


def _pending(now: Snapshot | None, order: str) -> Pending | None:
    return next((call for call in now.calls if call.order == order), None) if now else None


def _unknown(row: OrderRow, text: str) -> AttemptEnd:
    return AttemptEnd(row.order, row.entity, row.id, row.attempts, Ending.UNKNOWN, {}, "timeout", text)


def _operator(ask: Retry | Discard) -> str:
    return "an operator" if ask.by is None else f"`{ask.by.principal}`"


def _other_use() -> Conflict:
    return Conflict("this idempotency key was used for another request")


def _at(event: Event, at: int) -> Event:
    """The moment of the decision is the event's: entries of a space stand in the order of their times."""
    if event.at == at:
        return event
    return replace(event, at=at)
