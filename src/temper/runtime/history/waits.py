"""What an entity waits for, by its own entries: calls, timers, what it has deferred, and when it is due.

Timers are armed by moves, by a changed field and by firing, each of which is an entry; the blueprint's version that
decided it says for how long. Of one that an upgrade has carried since, no more is asked than that it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from temper.kernel import Cause, Codec, Entry, Folded, Ordered, StoredEntity, StoredTimer, Who, caller
from temper.runtime.history.difference import differs
from temper.table import SPIN_MS, Ending, Snapshot, next_due, places_in, shape, wait_of


@dataclass(frozen=True, slots=True)
class _Mark:
    """An entry that armed something: `nth` of all moves, and the fields after it, where a timer reads them."""

    nth: int
    version: int
    at: int
    by: Who
    digest: str
    state: str
    fields: Mapping[str, Any]


class Waits:
    """What one entity's entries come to. `codec_of` gives the codec of the version with that digest."""

    def __init__(self, kind: str, id: str, codec_of: Callable[[str], Codec]) -> None:
        self._kind = kind
        self._id = id
        self._name = f"{kind}/{id}"
        self._codec_of = codec_of
        self._open: dict[str, Ordered] = {}
        self._unsure: set[str] = set()
        self._deferred = 0
        self._visits = 0
        self._moves: dict[tuple[str, str], _Mark] = {}
        self._fired: dict[str, _Mark] = {}
        self._set: dict[str, _Mark] = {}
        self._nth = 0
        self._swapped = 0
        self._held = 0

    def refused(self, entry: Entry) -> None:
        """Take an entry in that changed nothing: what is due and refused is tried again later."""
        if entry.cause in {Cause.TIMER, Cause.OFFER}:
            self._held = entry.version

    def take(self, entry: Entry, now: Folded) -> None:
        """Take an entry in that has made `now` of the entity."""
        for order in entry.orders:
            if order.kind == "call":
                self._open[order.order] = order
        if entry.ended is not None:
            self._open.pop(entry.ended.order, None)
            self._unsure.discard(entry.ended.order)
            if entry.ended.ending == Ending.UNKNOWN.value:
                self._unsure.add(entry.ended.order)
        self._deferred += (entry.how == "deferred") - (entry.cause is Cause.OFFER)
        if entry.cause is Cause.SWAP:
            self._swapped = entry.version
        if not (entry.timer or entry.set or entry.moves):
            return
        self._nth += 1
        fields = dict(now.fields) if self._reads_fields(entry) else {}
        mark = _Mark(self._nth, entry.version, entry.at, entry.by, entry.digest, entry.after, fields)
        if entry.timer is not None:
            self._fired[entry.timer] = mark
        for name in entry.set:
            self._set[name] = mark
        for move in entry.moves:
            if move.entered:
                self._visits += 1
                self._nth += 1
                self._moves[move.before, move.after] = _Mark(
                    self._nth, entry.version, entry.at, entry.by, entry.digest, entry.after, fields
                )

    def _reads_fields(self, entry: Entry) -> bool:
        if not any(move.entered for move in entry.moves):
            return False
        return any(
            timer.duration is not None and timer.duration[0] != "lit"
            for _, timer in self._timers(self._codec_of(entry.digest), entry.at, entry.after)
        )

    def _timers(self, codec: Codec, created_at: int, state: str) -> Iterator[tuple[shape.Place, shape.Timer]]:
        table = codec.of(self._kind, self._id, created_at).table
        if self._kind in table.entities:
            for place in places_in(table, self._kind, state):
                for timer in place.timers:
                    yield place, timer

    # --- what is kept ---

    def must_be(self, kept: StoredEntity, codec: Codec, due: int | None) -> None:
        """Raise where what is kept waits for something else; `codec` is of the version that wrote it."""
        self._calls(kept)
        if kept.visit != self._visits:
            raise self._differs(f"is kept at visit {kept.visit}, and its entries say {self._visits}")
        if len(kept.deferred) != self._deferred:
            raise self._differs(f"has deferred {len(kept.deferred)}, and its entries say {self._deferred}")
        now = codec.of(self._kind, self._id, kept.created_at).decoded(self._kind, self._id, kept)
        self._armed(kept, codec, now)
        next = next_due(now)
        # One that was refused when it was due has the time of the next try.
        held = next is not None and due is not None and due > next and self._held == kept.version
        if due != next and not held:
            raise self._differs(f"is due at {due}, and what it waits for at {next}")

    def _differs(self, text: str) -> Exception:
        return differs(f"{self._name} {text}", "entities", self._name, self._name)

    def _calls(self, kept: StoredEntity) -> None:
        waiting = {call.order: call for call in kept.calls if not call.ended}
        for order in sorted(self._open.keys() | waiting.keys()):
            if order not in waiting:
                raise self._differs(f"does not wait for its call {order}, and its entries say so")
            if order not in self._open:
                raise self._differs(f"waits for a call {order}, and its entries don't say so")
            said, call = self._open[order], waiting[order]
            same = call.tool == said.to and (self._swapped or (call.args, call.site) == (said.args, said.site))
            if not same:
                raise self._differs(f"waits for another call {order} than its entries say")
        for call in kept.calls:
            if call.ended and call.order not in self._unsure:
                raise self._differs(f"waits for a correction of {call.order}, and its entries don't say so")

    def _armed(self, kept: StoredEntity, codec: Codec, now: Snapshot) -> None:
        timers = {timer.site: (place, timer) for place, timer in self._timers(codec, kept.created_at, kept.state)}
        table = codec.of(self._kind, self._id, kept.created_at).table
        whenevers = {one.site for place in places_in(table, self._kind, kept.state) for one in place.whenevers}
        armed = {timer.timer: timer for timer in kept.timers}
        for site in sorted(timers.keys() - armed.keys()):
            raise self._differs(f"has no timer `{site}`, and is in `{kept.state}`")
        for site in sorted(armed.keys() - timers.keys() - whenevers):
            raise self._differs(f"has a timer `{site}`, and is in `{kept.state}`")
        for each in now.timers:
            mine = armed[each.timer]
            if mine.stamp > kept.version or (each.timer in whenevers and each.due is None):
                raise self._differs(f"has a timer `{each.timer}` that nothing has armed so")
            if each.timer in timers:
                self._timer(*timers[each.timer], mine, now)

    def _timer(self, place: shape.Place, timer: shape.Timer, kept: StoredTimer, now: Snapshot) -> None:
        """Hold a timer against the entry that armed it last."""
        entered = self._entered(place)
        if entered is None or self._swapped >= entered.version:
            return  # An upgrade has carried it.
        fired = self._fired.get(timer.site)
        if fired is not None and fired.nth < entered.nth:
            fired = None
        by = entered
        if timer.kind == "at":
            changed = self._set.get(timer.field or "")
            if changed is not None and changed.version > entered.version:
                by = changed
        stamp = fired.version if timer.kind == "every" and fired is not None else by.version
        if (kept.stamp, kept.caller) != (stamp, by.by):
            raise self._differs(f"has a timer `{timer.site}` that its entry {stamp} has not armed so")
        wrong = (
            self._at(timer, kept, by, fired, now) if timer.kind == "at" else self._after(timer, kept, by, fired, now)
        )
        if wrong:
            raise self._differs(f"has a timer `{timer.site}` at {kept.due}, and its entries say another time")

    def _entered(self, place: shape.Place) -> _Mark | None:
        """Return the move that entered the place last: a state by every move to it, a group from outside alone."""
        found: _Mark | None = None
        for (before, after), mark in self._moves.items():
            enters = after in place.states and not (place.group and before in place.states)
            if enters and (found is None or mark.nth > found.nth):
                found = mark
        return found

    def _at(self, timer: shape.Timer, kept: StoredTimer, by: _Mark, fired: _Mark | None, now: Snapshot) -> bool:
        value: Any = now.fields[timer.field or ""]
        if fired is not None and fired.version > by.version:
            return kept.due is not None
        spun = fired is not None and kept.due == fired.at + SPIN_MS
        return kept.due != value and not spun

    def _after(self, timer: shape.Timer, kept: StoredTimer, by: _Mark, fired: _Mark | None, now: Snapshot) -> bool:
        if timer.kind == "after" and fired is not None:
            return kept.due is not None
        if kept.due is None:
            return True
        wait = self._wait(timer.site, by, now)
        period = None if wait is None or timer.kind == "after" else max(wait, 1)
        if wait is not None and kept.period_ms != period:
            return True
        if fired is not None:
            # A tick later than the last one, and no later than the next.
            return not fired.at < kept.due <= fired.at + (kept.period_ms or 0)
        return wait is not None and kept.due != by.at + wait

    def _wait(self, site: str, by: _Mark, now: Snapshot) -> int | None:
        """Return for how long the timer was armed then; `None` where the entries alone don't tell."""
        codec = self._codec_of(by.digest).of(self._kind, self._id, now.created_at)
        found = next((one for _, one in self._timers(codec, now.created_at, by.state) if one.site == site), None)
        if found is None or found.duration is None:
            return None
        then = StoredEntity(
            state=by.state,
            version=by.version,
            visit=0,
            created_at=now.created_at,
            updated_at=by.at,
            fields=dict(by.fields),
        )
        return wait_of(codec.table, found, codec.decoded(self._kind, self._id, then), by.at, caller(by.by))
