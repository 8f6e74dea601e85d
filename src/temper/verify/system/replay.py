"""A path of a system, done once more by `commit`, with real ids and real moments.

The search has no clock and its own numbers for everything; here each rule becomes an event that could stand in a
journal. What comes of it has to be what the system says, as far as that is kept; moments are chosen so that no timer
fires early or out of turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import (
    Accepted,
    Act,
    Armed,
    Commit,
    Deliver,
    Event,
    Fire,
    Offer,
    Outcome,
    Pending,
    Refused,
    SendOrder,
    Snapshot,
    Table,
    Type,
    Value,
    commit,
    decode,
    encode,
    field_references,
    rouse,
    shape,
    watchers,
)
from temper.verify.explore.cone import literals
from temper.verify.explore.replay import BEGINNING, Replayed, Stage
from temper.verify.system.ir import Path, State, System
from temper.verify.system.lower import Happening
from temper.verify.system.lower_take import Who
from temper.verify.system.lower_world import CURRENT, ENDED, Kind, Layout
from temper.verify.system.step import taken

STEPS_MAX = 4_000
MOMENTS_MAX = 16
HOUR_MS = 3_600_000

Shows = Callable[[Table, Stage], bool]


def replay_path(system: System, table: Table, path: Path, shows: Shows | None = None) -> Replayed | None:
    """Return the run of a path, if it goes through and its last step shows what it should; else `None`."""
    return Replays(system, table).run(path, shows)


class _World(Struct, frozen=True):
    """Everything that there is at a moment of a run."""

    table: Table
    entities: Mapping[tuple[str, str], Snapshot] = field(default_factory=dict)
    made_by: Mapping[tuple[str, str], tuple[str, Mapping[str, Value]]] = field(default_factory=dict)
    ids: Mapping[Who, str] = field(default_factory=dict)
    sends: tuple[tuple[Who, SendOrder], ...] = ()
    history: tuple[Accepted, ...] = ()

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return self.entities.get((entity, id))

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        names = self.table.entities[entity].key
        for (kind, id), now in self.entities.items():
            if kind == entity and [now.fields[name] for name in names] == list(values):
                return id
        return None

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        return self.made_by.get((entity, id))

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        found = self.table.entities[entity]
        rule = found.uniques[unique]
        return any(
            kind == entity
            and id not in but_not
            and (rule.ever or now.state not in found.final)
            and [now.fields[name] for name in rule.fields] == list(values)
            for (kind, id), now in self.entities.items()
        )

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        found = [
            other
            for (kind, other), now in self.entities.items()
            if kind == entity and id in field_references(self.table, now, field)
        ]
        return found[:limit]

    def after(self, done: Commit, ids: Mapping[Who, str], sends: tuple[tuple[Who, SendOrder], ...]) -> _World:
        entities, made = dict(self.entities), dict(self.made_by)
        for part in done.parts:
            now = part.accepted.after
            key = (now.entity, now.id)
            if key not in entities and part.accepted.moves:
                move = part.accepted.moves[0]
                made[key] = move.action, dict(move.params)
            entities[key] = now
        following = _World(self.table, entities, made, ids, sends, (*self.history, *(p.accepted for p in done.parts)))
        for part in done.parts:
            now = part.accepted.after
            was = self.snapshot(now.entity, now.id)
            # Who reads in a `whenever` what has changed looks again.
            for key in sorted(set(watchers(self.table, was, now, following, len(entities)))):
                entities[key] = rouse(self.table, entities[key], part.accepted.caller, now.updated_at, following)
        return following


class _Way(Struct):
    """A path as far as it has been done: what has come of it, and the steps that go on from there."""

    state: State
    world: _World
    at: int
    last: _Way | None = None
    stages: list[Stage] = field(default_factory=list)
    following: dict[int, _Way | None] = field(default_factory=dict)

    def told(self) -> list[Stage]:
        parts: list[list[Stage]] = []
        way: _Way | None = self
        while way is not None:
            parts.append(way.stages)
            way = way.last
        return [stage for part in reversed(parts) for stage in part]


class _Step(Struct, frozen=True):
    """A step of a path to be done: how many came before it, what it is, and what the system says comes of it."""

    number: int
    what: Happening
    state: State | None
    last: bool


class _Spent(Exception):
    pass


class Replays:
    """Paths of one system, done once more. What paths have in common at their beginning is done once.

    After `until`, by the clock that `time.monotonic` reads, nothing is done any more: `late` says that it has passed.
    """

    def __init__(self, system: System, table: Table, *, until: float | None = None) -> None:
        self.system = system
        self.table = table
        self.until = until
        self.late = False
        self.layout: Layout = system.meta["layout"]
        self.rules = (*system.rules, *system.meta["reports"])
        self.left = 0
        self.durations = self._durations()
        self.timely = any(kind.clocks.comparisons for kind in self.layout.kinds.values())
        self._ways: dict[int, _Way] = {}

    def run(self, path: Path, shows: Shows | None = None) -> Replayed | None:
        """Return the run of a path, if it goes through and its last step shows what it should; else `None`."""
        if not path.rules:
            return None  # Nothing has happened: there is no step to show.
        self.left = STEPS_MAX
        try:
            stages = self._straight(path, shows)
            if stages is None:
                stages = self._any(path, shows)
        except _Spent:
            return None
        return None if stages is None else Replayed(tuple(stages))

    def _straight(self, path: Path, shows: Shows | None) -> list[Stage] | None:
        """Return the stages of a path, each step at the first moment that goes through, if that leads to its end."""
        way = self._ways.get(path.initial)
        if way is None:
            way = self._ways[path.initial] = _Way(self.system.initial[path.initial], _World(self.table), BEGINNING)
        for number, rule in enumerate(path.rules[:-1]):
            if rule not in way.following:
                way.following[rule] = self._on(way, number, rule)
                self.left = STEPS_MAX  # So many for one step: the path may be a long one.
            following = way.following[rule]
            if following is None:
                return None
            way = following
        rule = path.rules[-1]
        step = _Step(len(path.rules) - 1, self._what(rule), taken(self.system, self.rules[rule], way.state), True)
        found = next(self._tries(step, way.world, way.at, shows), None)
        return None if found is None else [*way.told(), *found[0]]

    def _on(self, way: _Way, number: int, rule: int) -> _Way | None:
        state = taken(self.system, self.rules[rule], way.state)
        assert state is not None, "only the last step of a path may lead nowhere"
        found = next(self._tries(_Step(number, self._what(rule), state, False), way.world, way.at, None), None)
        if found is None:
            return None
        stages, world, at = found
        return _Way(state, world, at, way, stages)

    def _any(self, path: Path, shows: Shows | None) -> list[Stage] | None:
        """Return the stages of a path at whatever moments go through, the earliest that do."""
        steps = list(self._steps(path))
        open_: list[Iterator[tuple[list[Stage], _World, int]]] = [
            self._tries(steps[0], _World(self.table), BEGINNING, shows)
        ]
        done: list[list[Stage]] = []
        while open_:
            found = next(open_[-1], None)
            if found is None:
                open_.pop()
                if done:
                    done.pop()
                continue
            stages, world, at = found
            done.append(stages)
            if len(done) == len(steps):
                return [stage for part in done for stage in part]
            open_.append(self._tries(steps[len(done)], world, at, shows))
        return None

    def _steps(self, path: Path) -> Iterator[_Step]:
        """The steps of a path with the states after each; `None` after the last, if that only reports."""
        state: State | None = self.system.initial[path.initial]
        for number, rule in enumerate(path.rules):
            state = None if state is None else taken(self.system, self.rules[rule], state)
            yield _Step(number, self._what(rule), state, number == len(path.rules) - 1)

    def _what(self, rule: int) -> Happening:
        happening = self.rules[rule].event
        assert isinstance(happening, Happening), "a lowered rule says what happens"
        return happening

    def _durations(self) -> list[int]:
        found = {
            decode(type_, json)
            for kind in self.layout.kinds.values()
            for type_, json in literals(self.table, kind.entity)
            if type_[0] == "duration"
        }
        return sorted(value for value in found if isinstance(value, int) and value)

    def _tries(
        self, step: _Step, world: _World, at: int, shows: Shows | None
    ) -> Iterator[tuple[list[Stage], _World, int]]:
        """The ways in which a step goes through, at the earliest moments first: stages, the world after, the moment."""
        what, number = step.what, step.number
        for moment in self._moments(what, world, at):
            for event in self._events(what, world, moment, number):
                self.left -= 1
                if self.until is not None and time.monotonic() > self.until:
                    self.late = True
                if self.left < 0 or self.late:
                    raise _Spent
                now = world.snapshot(what.who[0], world.ids.get(what.who, ""))
                if isinstance(event, Fire) and now is not None and self._out_of_turn(world, now, event):
                    continue
                answer = commit(self.table, now, event, world, check_always=False)
                stages = self._stages(event, now, answer, world)
                if step.state is None:
                    assert step.last, "only the last step of a path may lead nowhere"
                    if shows is None or any(shows(self.table, stage) for stage in stages):
                        yield stages, world, moment
                    continue
                if isinstance(answer, Refused) or not answer.parts:
                    continue
                following = self._follow(world, answer, what, step.state)
                if following is None:
                    continue
                if not step.last or shows is None or any(shows(self.table, stage) for stage in stages):
                    yield stages, following, moment

    @staticmethod
    def _stages(event: Event, now: Snapshot | None, answer: Commit | Refused, world: _World) -> list[Stage]:
        if isinstance(answer, Refused):
            return [Stage(event, now, None, answer, world.history)]
        found = []
        for part in answer.parts:
            after = part.accepted.after
            before = world.snapshot(after.entity, after.id)
            own = tuple(
                each for each in world.history if (each.after.entity, each.after.id) == (after.entity, after.id)
            )
            found.append(Stage(part.event, before, part.accepted, None, own))
        return found

    # --- events -------------------------------------------------------------------------------------------------------

    def _events(self, what: Happening, world: _World, at: int, number: int) -> Iterator[Event]:
        """The events that a rule may be: with every call, moment and order that fits it."""
        id, who = f"e{number + 1}", what.who
        real = world.ids.get(who, self.layout.ids[who[0]][who[1]])
        now = world.snapshot(who[0], real)
        match what.kind:
            case "act":
                assert what.caller is not None, "somebody acts"
                for params in self._params(what, world, now, at):
                    yield Act(id, at, what.action, params, what.caller, who[0], real)
            case "outcome" if now is not None:
                assert what.ending is not None, "an outcome is one of three"
                kind, text = what.error
                for call in now.calls:
                    if self._is(call, now, what, world):
                        yield Outcome(id, at, call.order, what.ending, dict(what.results), kind, text)
            case "fire" if now is not None:
                for armed in now.timers:
                    if armed.timer == what.place:
                        yield Fire(id, at, armed.timer, armed.stamp)
            case "offer" if now is not None:
                position = int(what.place)
                if position < len(now.deferred):
                    yield Offer(id, at, now.deferred[position].id)
            case "deliver":
                for sender, order in world.sends:
                    if sender == what.sender and (order.entity, order.entity_id) == (who[0], real):
                        yield Deliver(
                            id, at, order.order, order.action, order.params, order.caller, order.entity, order.entity_id
                        )
                        return
            case _:
                pass

    def _is(self, call: Pending, now: Snapshot, what: Happening, world: _World) -> bool:
        """Say whether a pending call is the one that a rule speaks of."""
        if call.site != what.place or call.ended != (what.standing == ENDED):
            return False
        if not call.ended and (call.visit == now.visit) != (what.standing == CURRENT):
            return False
        kind = self.layout.kinds[what.who[0]]
        if kind.canon.caller(call.caller, kind.sites[call.site].actions) != what.caller:
            return False
        start = 0
        for memory in kind.sites[call.site].memories:
            size = len(memory.space.sizes)
            kept = memory.space.plain(what.kept[start : start + size])
            start += size
            handler = {"then": call.then, "else": call.otherwise, "unknown": call.unknown}[memory.handler]
            whole = next((e for name, e in handler.args if name == memory.param), None) if handler else None
            if whole is not None and whole[0] == "lit" and memory.expr[0] != "lit":
                real = self._real(memory.type, kept, world)
                if decode(whole[1], whole[2], records=self.table.records) != real:
                    return False
        return True

    def _params(self, what: Happening, world: _World, now: Snapshot | None, at: int) -> Iterator[Mapping[str, Value]]:
        """The parameters with real ids and real moments: the present, the past, what a duration leads to, a field's."""
        kind = self.layout.kinds[what.who[0]]
        types: dict[str, Type] = {param.name: param.type for param in kind.entity.actions[what.action].params}
        params = {name: self._real(types[name], value, world) for name, value in what.params.items()}
        timely = [name for name in params if types[name] == ("time",)]
        timely += [name for name in params if types[name] == ("optional", ("time",)) and params[name] is not None]
        if not timely:
            yield params
            return
        held = tuple(_moments_in(kind.entity, now.fields)) if now is not None else ()
        near = (at + by for by in (HOUR_MS, 0, -HOUR_MS, *self.durations, *(-d for d in self.durations)))
        for moment in dict.fromkeys((*near, *held)):
            yield {**params, **dict.fromkeys(timely, moment)}

    def _real(self, type_: Type, value: Any, world: _World) -> Value:
        """Return a value with the ids of the run in place of the system's."""
        match type_:
            case ("ref", entity) if entity in self.layout.ids and value in self.layout.ids[entity]:
                number = self.layout.ids[entity].index(value)
                return world.ids.get((entity, number), self.layout.ids[entity][number])
            case ("optional", inner):
                return None if value is None else self._real(inner, value, world)
            case ("set", inner, _):
                return frozenset(self._real(inner, item, world) for item in value)
            case ("list", inner, _):
                return tuple(self._real(inner, item, world) for item in value)
            case _:
                plain: Value = value
                return plain

    def _moments(self, what: Happening, world: _World, at: int) -> Iterator[int]:
        """The moments at which a step is tried, the present first."""
        now = world.snapshot(what.who[0], world.ids.get(what.who, ""))
        if what.kind == "fire" and now is not None:
            due = next((armed.due for armed in now.timers if armed.timer == what.place), None)
            at = at if due is None else max(at, due)
        yield at
        near: set[int] = set()
        for other in world.entities.values():
            dues = [armed.due for armed in other.timers if armed.due is not None]
            near |= {due + by for due in dues for by in (-1, 0, 1)}
            if self.timely:
                known = [other.created_at, *_moments_in(self.table.entities[other.entity], other.fields)]
                near |= {
                    k + sign * d + by
                    for k in known
                    for d in (0, *self.durations)
                    for sign in (1, -1)
                    for by in (-1, 0, 1)
                }
        near |= {at + d + 1 for d in self.durations}
        yield from sorted(moment for moment in near if moment > at)[:MOMENTS_MAX]

    def _out_of_turn(self, world: _World, now: Snapshot, fire: Fire) -> bool:
        """Say whether another timer of the entity is due earlier, and can fire."""
        mine = next((armed.due for armed in now.timers if armed.timer == fire.timer), None)
        if mine is None:
            return False
        earlier: list[Armed] = [other for other in now.timers if other.due is not None and other.due < mine]
        return any(
            isinstance(commit(self.table, now, replace(fire, timer=each.timer, stamp=each.stamp), world), Commit)
            for each in earlier
        )

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def _follow(self, world: _World, done: Commit, what: Happening, state: State) -> _World | None:
        """Return the world after a commit, if it is what the system says it is."""
        ids = dict(world.ids)
        known = {(who[0], id) for who, id in ids.items()}
        for part in done.parts:
            now = part.accepted.after
            if (now.entity, now.id) in known:
                continue
            new = next((who for who in self._new(state, ids) if who[0] == now.entity), None)
            if new is None:
                return None
            ids[new] = now.id
        sends = list(world.sends)
        if what.kind == "deliver":
            first = next(n for n, (sender, o) in enumerate(sends) if sender == what.sender and self._to(o, what, world))
            del sends[first]
        by_id = {(who[0], id): who for who, id in ids.items()}
        for part in done.parts:
            me = by_id[part.accepted.after.entity, part.accepted.after.id]
            sends += [(me, order) for order in part.accepted.orders if isinstance(order, SendOrder)]
        following = world.after(done, ids, tuple(sends))
        return following if all(self._agrees(state, who, following) for who in self.layout.slots) else None

    @staticmethod
    def _to(order: SendOrder, what: Happening, world: _World) -> bool:
        return (order.entity, order.entity_id) == (what.who[0], world.ids.get(what.who))

    def _new(self, state: State, ids: Mapping[Who, str]) -> list[Who]:
        return [who for who, slots in self.layout.slots.items() if state[slots.state] != 0 and who not in ids]

    def _agrees(self, state: State, who: Who, world: _World) -> bool:
        """Say whether an entity of a run is as the system has it."""
        slots, kind = self.layout.slots[who], self.layout.kinds[who[0]]
        code = state[slots.state]
        now = world.snapshot(who[0], world.ids.get(who, ""))
        if now is None or code == 0:
            return now is None and code == 0
        if now.state != kind.entity.states[code - 1]:
            return False
        return all(self._same(kind, name, now.fields[name], state, at, world) for name, at in slots.fields.items())

    def _same(self, kind: Kind, name: str, real: Value, state: State, at: Sequence[int], world: _World) -> bool:
        type_ = next(each.type for each in kind.entity.fields if each.name == name)
        numbers = [state[index] + self.layout.variables[index].low for index in at]
        kept = kind.spaces[name].plain(numbers)
        if name in kind.clocks.tainted or "time" in str(type_):
            return (kept is None) == (real is None)
        expected = self._real(type_, kept, world)
        return bool(encode(type_, expected, self.table.records) == encode(type_, real, self.table.records))


def _moments_in(entity: shape.Entity, fields: Mapping[str, Value]) -> Iterator[int]:
    for each in entity.fields:
        inner = each.type[1] if each.type[0] == "optional" else each.type
        value = fields[each.name]
        if inner == ("time",) and isinstance(value, int):
            yield value
