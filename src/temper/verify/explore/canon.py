"""Snapshots that behave alike, made equal.

Ids of orders, versions, visits and moments are renamed: what is left of them is which calls belong to the present
visit, and which timers were armed together. Fields and callers keep what is in the cone. A call of a past visit all
of whose outcomes are ignored wherever the entity can still get to is dropped: it can't make a difference any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from temper.table import Armed, Caller, Deferred, Expr, Pending, Snapshot, Table, Type, Value, decode, encode, shape
from temper.verify.clauses import all_clauses, outcomes, targets
from temper.verify.explore.cone import Cone, Told
from temper.verify.explore.draws import Draws

Key = tuple[Any, ...]

# The moment of every event in the search, and where the moments in fields lie: before it, each field's own, so that a
# field that is set anew is seen to change.
AT = 1
_FIELD_MOMENT = -1000
# Versions in the search: the stamp of a timer armed by the next event can't be that of one armed before.
VERSION = 1000
NOBODY = "p"
# Handlers are remembered by identity, and so kept alive; past so many they are forgotten and made anew.
HANDLERS_MAX = 50_000


class Canon:
    """How one entity's snapshots are made equal."""

    def __init__(self, table: Table, entity: shape.Entity, cone: Cone, draws: Draws, tainted: frozenset[str]) -> None:
        self._table = table
        self._entity = entity
        self._cone = cone
        self._fields = tuple(
            (each.name, each.type, each.name in cone.fields, each.name in tainted) for each in entity.fields
        )
        self._plain = {each.name: draws.plain(each.name, each.type) for each in entity.fields}
        self._moments = {each.name: _FIELD_MOMENT * (index + 1) for index, each in enumerate(entity.fields)}
        self._durations = constant_durations(entity)
        self._draws = draws
        self._handlers: dict[int, tuple[shape.Handler, shape.Handler, str]] = {}
        self._callers: dict[tuple[Caller, tuple[str, ...]], Caller] = {}
        self._told: dict[tuple[str, ...], Told] = {}
        self._fires = {each.site: each.handler.action for place in entity.places for each in place.timers}
        self._fires |= {each.site: each.handler.action for place in entity.places for each in place.whenevers}
        self._ignored = ignored_everywhere(entity)
        self._params = {
            (action.name, param.name): param.type for action in entity.actions.values() for param in action.params
        }

    def alike(self, other: Canon) -> bool:
        """Say whether both make the same snapshots equal, of one entity in two tables."""
        mine = (self._fields, self._plain, self._durations, self._ignored)
        return mine == (other._fields, other._plain, other._durations, other._ignored)

    def of(self, now: Snapshot) -> tuple[Key, Snapshot]:
        """Return the key of a snapshot and the snapshot that stands for all that have it."""
        fields = {
            name: ((moment(type_, value, self._moments[name]) if timely else value) if matters else self._plain[name])
            for (name, type_, matters, timely), value in zip(self._fields, now.fields.values(), strict=True)
        }
        calls, call_keys, _ = self.calls(now) if now.calls else ((), (), {})
        timers = self._timers(now.timers) if now.timers else ()
        deferred = self._deferred(now.deferred) if now.deferred else ()
        key = (
            now.state,
            tuple(fields.values()),
            call_keys,
            tuple((t.timer, t.due, t.stamp, t.caller) for t in timers),
            tuple((d.action, tuple(d.params.values()), d.caller, d.place) for d in deferred),
        )
        same = Snapshot(now.entity, now.id, now.state, fields, VERSION, 1, 0, 0, calls, timers, deferred)
        return key, same

    def caller(self, caller: Caller, actions: tuple[str, ...]) -> Caller:
        """Return what of a caller makes a difference to actions, and to all that follows from them."""
        found = self._callers.get((caller, actions))
        if found is None:
            told = self._told.get(actions)
            if told is None:
                told = self._told[actions] = self._cone.told(actions)
            who = (caller.acts_for or caller.principal) if told.persons else caller.principal
            found = self._callers[caller, actions] = Caller(
                who if told.principals else NOBODY,
                caller.roles & told.roles,
                caller.acts_for if told.acts_for else None,
            )
        return found

    def calls(self, now: Snapshot) -> tuple[tuple[Pending, ...], tuple[Any, ...], dict[str, str]]:
        """Return the calls that matter, renamed in a fixed order, their key, and the old order of each new name."""
        kept: list[tuple[Any, Pending]] = []
        for call in now.calls:
            current = call.visit == now.visit and not call.ended
            if not current and now.state in self._ignored.get(call.site, ()):
                continue
            then, then_text = self._handler(call.then)
            otherwise, otherwise_text = self._handler(call.otherwise)
            unknown, unknown_text = self._handler(call.unknown)
            handlers = (call.then, call.otherwise, call.unknown)
            caller = self.caller(call.caller, tuple([each.action for each in handlers if each is not None]))
            who = (caller.principal, tuple(sorted(caller.roles)), caller.acts_for or "")
            texts = (then_text, otherwise_text, unknown_text)
            key = (call.site, current, call.ended, who, *texts)
            made = Pending(
                call.order, call.site, call.tool, {}, 1 if current else 0, then, otherwise, unknown,
                call.unknown_is_failure, caller, call.ended,
            )  # fmt: skip
            kept.append((key, made))
        kept.sort(key=lambda pair: pair[0])
        names = {f"o{index + 1}": call.order for index, (_, call) in enumerate(kept)}
        calls = tuple(replace(call, order=f"o{index + 1}") for index, (_, call) in enumerate(kept))
        return calls, tuple(key for key, _ in kept), names

    def _handler(self, handler: shape.Handler | None) -> tuple[shape.Handler | None, str]:
        """Return a handler whose arguments are plain where the parameter makes no difference, and a key for it."""
        if handler is None:
            return None, ""
        known = self._handlers.get(id(handler))
        if known is None or known[0] is not handler:
            args = tuple((name, self._arg(handler.action, name, e)) for name, e in handler.args)
            made = shape.Handler(handler.action, args)
            if len(self._handlers) >= HANDLERS_MAX:
                self._handlers.clear()
            known = self._handlers[id(handler)] = (handler, made, repr(made))
        return known[1], known[2]

    def _arg(self, action: str, name: str, e: Expr) -> Expr:
        type_ = self._params[action, name]
        if (action, name) in self._cone.params or e[0] not in {"lit", "some", "none"}:
            return e
        return ("lit", type_, encode(type_, self._draws.plain(name, type_), self._table.records))

    def _timers(self, timers: tuple[Armed, ...]) -> tuple[Armed, ...]:
        together: dict[int, int] = {}
        for armed in timers:
            if armed.due is not None and armed.timer in self._durations:
                together[armed.stamp] = together.get(armed.stamp, 0) + 1
        groups = [stamp for stamp, count in together.items() if count > 1]
        return tuple(
            Armed(
                armed.timer,
                None if armed.due is None else 0,
                groups.index(armed.stamp) + 1 if armed.timer in self._durations and armed.stamp in groups else 0,
                self.caller(armed.caller, (self._fires[armed.timer],)),
                None if armed.period_ms is None else 1,
            )
            for armed in timers
        )

    def _deferred(self, deferred: tuple[Deferred, ...]) -> tuple[Deferred, ...]:
        return tuple(
            Deferred(
                f"d{index + 1}",
                held.action,
                {
                    name: value
                    if (held.action, name) in self._cone.params
                    else self._draws.plain(name, self._params[held.action, name])
                    for name, value in sorted(held.params.items())
                },
                self.caller(held.caller, (held.action,)),
                held.place,
            )
            for index, held in enumerate(deferred)
        )


def constant_durations(entity: shape.Entity) -> dict[str, int]:
    """Return the `after` timers whose duration is written down, and how long it is."""
    found: dict[str, int] = {}
    for place in entity.places:
        for timer in place.timers:
            if timer.kind == "after" and timer.duration is not None and timer.duration[0] == "lit":
                value = decode(timer.duration[1], timer.duration[2])
                assert isinstance(value, int), "a duration counts milliseconds"
                found[timer.site] = value
    return found


def moment(type_: Type, value: Value, at: int) -> Any:
    """Return a value with every moment in it replaced by one."""
    match type_:
        case ("time",):
            return at
        case ("optional", inner):
            return None if value is None else moment(inner, value, at)
        case ("duration",) | ("int", _, _):
            return 0
        case _:
            return value


def steps_of(entity: shape.Entity) -> dict[str, set[str]]:
    """Return, for each state, those that one case leads to, whatever its guards say."""
    steps: dict[str, set[str]] = {state: {state} for state in entity.states}
    for action in entity.actions.values():
        for case in action.cases:
            for before, after in targets(case):
                if before in steps:
                    steps[before].add(after)
    return steps


def backwards(steps: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return, for each state, those that lead to it by one step."""
    back: dict[str, list[str]] = {}
    for before, afters in steps.items():
        for after in afters:
            back.setdefault(after, []).append(before)
    return back


def led_to(steps: Mapping[str, Collection[str]], first: Iterable[str]) -> frozenset[str]:
    """Return what any number of steps lead to from one of these states, which are among it."""
    seen = set(first)
    todo = list(seen)
    while todo:
        for after in steps.get(todo.pop(), ()):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return frozenset(seen)


def places_of(entity: shape.Entity) -> Mapping[str, Sequence[shape.Place]]:
    """Return the places that each state is in."""
    places: dict[str, list[shape.Place]] = {}
    for place in entity.places:
        for state in place.states:
            places.setdefault(state, []).append(place)
    return places


def home(entity: shape.Entity, here: Iterable[shape.Place], action: str) -> shape.Late | shape.Place | None:
    """Return what becomes of an action that is late in a state: a `late` line, the place that defers it, or nothing.

    `here` are the places that the state is in.
    """
    for place in here:
        for late in place.late:
            if action in late.actions:
                return late
        if action in place.defer:
            return place
    return next((late for late in entity.late if action in late.actions), None)


def ignored_everywhere(entity: shape.Entity) -> dict[str, frozenset[str]]:
    """Return, for each call, the states from which on its late outcomes are ignored for ever."""
    back, places = backwards(steps_of(entity)), places_of(entity)

    def ignored(actions: Iterable[str]) -> frozenset[str]:
        quiet = {
            state
            for state in entity.states
            if all(
                isinstance(where := home(entity, places.get(state, ()), action), shape.Late) and where.handler is None
                for action in actions
            )
        }
        heard = led_to(back, [state for state in entity.states if state not in quiet])
        return frozenset(state for state in entity.states if state not in heard)

    known: dict[frozenset[str], frozenset[str]] = {}
    found: dict[str, frozenset[str]] = {}
    for _, clause in all_clauses(entity):
        if isinstance(clause, shape.Call):
            actions = frozenset(handler.action for _, handler in outcomes(clause))
            if actions not in known:
                known[actions] = ignored(actions)
            found[clause.site] = known[actions]
    return found
