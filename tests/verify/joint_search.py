"""Every state that several entities can get into together, by `commit` itself: slow, and what the engines are held to.

A world is one snapshot (or none) in each place of each kind, made equal as the search of one entity by `step` makes
them, and what is sent and not yet delivered between each pair. Everything that may happen is tried: what the search by
`step` draws for each entity, with what others really send, create and take along in place of what they might.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations, product
from typing import Any

import msgspec

from temper.table import (
    FAULTS,
    Act,
    Caller,
    Commit,
    Deliver,
    Event,
    Fire,
    How,
    NoValue,
    Offer,
    Outcome,
    Refused,
    SendOrder,
    Snapshot,
    Table,
    Value,
    commit,
    evaluate,
    field_references,
    rouse,
    shape,
    watchers,
)
from temper.verify.explore.canon import AT, NOBODY
from temper.verify.explore.moves import EVENT, _alike
from temper.verify.explore.search import tally
from temper.verify.explore.symmetry import renamed, renamed_snapshot
from temper.verify.faults import hidden_fault
from temper.verify.properties import asked_alone, states_of
from temper.verify.system.ir import Searched, System
from temper.verify.system.lower_world import Layout

# What is asked alike here and of a system.
_ASKED = frozenset({"state", "case", "always", "unclear", "never", "needs", "home", "fault"})

Who = tuple[str, int]
Sent = tuple[str, tuple[tuple[str, Value], ...], Any]
"""What is on its way: the action, those of its parameters that make a difference, and the caller."""
Counted = tuple[tuple[Who, int, frozenset[tuple[str, str]]], ...]


@dataclass(frozen=True)
class World:
    """Everything that there is at a moment."""

    table: Table
    entities: Mapping[tuple[str, str], Snapshot] = field(default_factory=dict)
    queues: Mapping[tuple[Who, Who], tuple[Sent, ...]] = field(default_factory=dict)
    counted: Counted = ()

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return self.entities.get((entity, id))

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        names = self.table.entities[entity].key
        return next((now.id for now in self._of(entity) if [now.fields[n] for n in names] == list(values)), None)

    def creation(self, entity: str, id: str) -> None:
        """Nobody remembers: asking again for what is there is then refused, which is no step either."""

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        found = self.table.entities[entity]
        rule = found.uniques[unique]
        return any(
            now.id not in but_not
            and (rule.ever or now.state not in found.final)
            and [now.fields[name] for name in rule.fields] == list(values)
            for now in self._of(entity)
        )

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        return [now.id for now in self._of(entity) if id in field_references(self.table, now, field)][:limit]

    def others(self) -> dict[str, dict[str, Snapshot]]:
        """Return all by kind and id, as expressions ask for them."""
        return {entity: {now.id: now for now in self._of(entity)} for entity in self.table.entities}

    def _of(self, entity: str) -> list[Snapshot]:
        return [now for (kind, _), now in sorted(self.entities.items()) if kind == entity]


@dataclass
class Looked:
    """What was found: how many states and steps, states in which nothing can happen, and how far off what is shown is.

    `found` has, by what is shown, after how many steps it is; `cut` is set where a bound was met.
    """

    states: int = 0
    steps: int = 0
    deadlocks: int = 0
    found: dict[tuple[Any, ...], int] = field(default_factory=dict)
    cut: bool = False

    def shows(self, key: tuple[Any, ...], after: int) -> None:
        self.found.setdefault(key, after)


def look(system: System, states_max: int) -> Looked | None:
    """Return what is found in all states, nearest first; `None` if there are more than `states_max`."""
    return _Looking(system.meta["layout"]).all(states_max)


class _Looking:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.table = layout.table
        self.looked = Looked()
        self.alone = asked_alone(self.table)
        self.properties = [
            (index, each) for index, each in enumerate(self.table.properties) if isinstance(each, shape.Always)
        ]

    def all(self, states_max: int) -> Looked | None:
        first = World(self.table)
        distance = {self.key(first): 0}
        todo = deque([first])
        while todo:
            world = todo.popleft()
            far = distance[self.key(world)]
            self.of_state(world, far)
            moved = False
            for after in self.steps(world, far + 1):
                moved = True
                self.looked.steps += 1
                key = self.key(after)
                if key not in distance:
                    distance[key] = far + 1
                    todo.append(after)
            self.looked.deadlocks += not moved
            if len(distance) > states_max:
                return None
        self.looked.states = len(distance)
        return self.looked

    def key(self, world: World) -> Any:
        found: list[Any] = []
        for (name, number), id in self.ids():
            now = world.snapshot(name, id)
            found.append(None if now is None else self.layout.kinds[name].canon.of(now)[0])
            found += [kept for who, _, kept in world.counted if who == (name, number)]
        return tuple(found), tuple(sorted((k, v) for k, v in world.queues.items() if v) if world.queues else ())

    def ids(self) -> Iterator[tuple[Who, str]]:
        for name, ids in self.layout.ids.items():
            yield from (((name, number), id) for number, id in enumerate(ids))

    # --- what may happen ---

    def steps(self, world: World, far: int) -> Iterator[World]:
        """Every world after one step; faults, and what the steps show, are noted."""
        for who, id in self.ids():
            now = world.snapshot(who[0], id)
            for event in self.events(world, who, id, now):
                yield from self.done(world, now, event, far)
        for (sender, target), queue in world.queues.items():
            if queue:
                action, params, caller = queue[0]
                id = self.layout.ids[target[0]][target[1]]
                given = self.filled(target[0], action, dict(params))
                event = Deliver(EVENT, AT, EVENT, action, given, caller, target[0], id)
                rest = replace(world, queues={**world.queues, (sender, target): queue[1:]})
                yield from self.done(rest, world.snapshot(target[0], id), event, far)

    def filled(self, entity: str, action: str, params: dict[str, Value]) -> dict[str, Value]:
        """Return all parameters; those that make no difference are something."""
        kind = self.layout.kinds[entity]
        return {
            param.name: params[param.name] if param.name in params else kind.draws.plain(param.name, param.type)
            for param in kind.entity.actions[action].params
        }

    def events(self, world: World, who: Who, id: str, now: Snapshot | None) -> Iterator[Event]:
        moves = self.layout.kinds[who[0]].moves
        for act in moves.acts("new" if now is None else now.state):
            if not act.by_system and self.there(world, act):
                yield msgspec.structs.replace(act, entity_id=id)
        if now is None:
            return
        last = None
        for call in now.calls:
            if last is None or not _alike(call, last):
                yield from moves._outcomes(call)
            last = call
        for armed in now.timers:
            if armed.due is not None and not self.waits(world, now, armed.timer, armed.stamp):
                yield Fire(EVENT, AT, armed.timer, armed.stamp)
        for held in now.deferred:
            if not held.place:
                yield Offer(EVENT, AT, held.id)

    def there(self, world: World, act: Act) -> bool:
        """Say whether what the parameters name is there, as the door asks; of no matter which, whether there is one."""
        kind = self.layout.kinds[act.entity]
        for param in kind.entity.actions[act.action].params:
            for name, ids in self.layout.ids.items():
                if act.params[param.name] in ids:
                    matters = (act.action, param.name) in kind.cone.params
                    named = [act.params[param.name]] if matters else ids
                    if not any(world.snapshot(name, str(id)) for id in named):
                        return False
        return True

    def waits(self, world: World, now: Snapshot, timer: str, stamp: int) -> bool:
        """Say whether another timer is due earlier, and can fire."""
        moves = self.layout.kinds[now.entity].moves
        return any(
            isinstance(commit(self.table, now, Fire(EVENT, AT, e.timer, e.stamp), world, check_always=False), Commit)
            for e in moves.earlier(now, timer, stamp)
        )

    # --- what comes of it ---

    def done(self, world: World, now: Snapshot | None, event: Event, far: int) -> Iterator[World]:
        answer = commit(self.table, now, event, world, check_always=False)
        if isinstance(answer, Refused):
            if answer.why in FAULTS:
                self.looked.shows(("fault", answer.why, answer.site), far)
            return
        if not answer.parts:
            return
        known = set(world.entities)
        if isinstance(event, Act) and now is None:
            known.add((event.entity, event.entity_id))
        new = [(p.accepted.after.entity, p.accepted.after.id) for p in answer.parts]
        for names in self.placed(world, [each for each in new if each not in known], known):
            yield from self.follows(world, event, answer, names, far)

    def placed(
        self, world: World, new: Sequence[tuple[str, str]], known: set[tuple[str, str]]
    ) -> Iterator[dict[str, str]]:
        """Every way in which what is created finds a place."""
        kinds = sorted({kind for kind, _ in new})
        ways = []
        for kind in kinds:
            mine = [id for each, id in new if each == kind]
            free = [id for id in self.layout.ids[kind] if (kind, id) not in known]
            if len(free) < len(mine):
                self.looked.cut = True
            ways.append([dict(zip(mine, some, strict=True)) for some in permutations(free, len(mine))])
        for way in product(*ways):
            yield {was: to for each in way for was, to in each.items()}

    def follows(self, world: World, event: Event, answer: Commit, names: dict[str, str], far: int) -> Iterator[World]:
        entities, queues = dict(world.entities), dict(world.queues)
        counted = {(who, index): kept for who, index, kept in world.counted}
        shown: list[tuple[Any, ...]] = []
        for part in answer.parts:
            accepted = part.accepted
            after = renamed_snapshot(
                msgspec.structs.replace(accepted.after, id=names.get(accepted.after.id, accepted.after.id)), names
            )
            kind = self.layout.kinds[after.entity]
            before = world.snapshot(after.entity, after.id)
            _, same = kind.canon.of(after)
            if self.outside(kind.scoped, after, same):
                self.looked.cut = True
                return
            # Who armed a timer that is spent makes no difference.
            spent = tuple(
                t if t.due is not None else msgspec.structs.replace(t, caller=Caller(NOBODY)) for t in same.timers
            )
            entities[after.entity, after.id] = msgspec.structs.replace(same, timers=spent)
            me = (after.entity, self.layout.ids[after.entity].index(after.id))
            for order in accepted.orders:
                if isinstance(order, SendOrder):
                    to_id = names.get(order.entity_id, order.entity_id)
                    to = (order.entity, self.layout.ids[order.entity].index(to_id))
                    queue = queues.get((me, to), ())
                    if len(queue) >= self.layout.sends_max:
                        self.looked.cut = True
                        return
                    queues[me, to] = (*queue, self.sent(order, names))
            shown += [("case", move.case) for move in accepted.moves]
            if accepted.how is How.DEAD and not self.hides(world, event):
                shown.append(("home",))
            shown += self.entered(accepted, me, counted)
            beside = [(p.accepted.after.entity, m.action) for p in answer.parts for m in p.accepted.moves]
            shown += self.of_step(msgspec.structs.replace(accepted, after=after), before, beside)
        for key in shown:
            self.looked.shows(key, far)
        self.roused(world, World(self.table, entities), answer, names)
        kept = tuple((who, index, held) for (who, index), held in sorted(counted.items()))
        yield World(self.table, entities, queues, kept)

    def roused(self, before: World, after: World, answer: Commit, names: dict[str, str]) -> None:
        """Have those look at their `whenever`s who read what has changed; who is a part has done so."""
        entities: Any = after.entities
        for part in answer.parts:
            now = part.accepted.after
            key = (now.entity, names.get(now.id, now.id))
            many = len(entities)
            for other in sorted(set(watchers(self.table, before.snapshot(*key), entities[key], after, many))):
                stirred = rouse(self.table, entities[other], part.accepted.caller, AT, after)
                entities[other] = self.layout.kinds[other[0]].canon.of(stirred)[1]

    def sent(self, order: SendOrder, names: dict[str, str]) -> Sent:
        kind = self.layout.kinds[order.entity]
        params = tuple(
            (name, renamed(value, names))
            for name, value in sorted(order.params.items())
            if (order.action, name) in kind.cone.params
        )
        return order.action, params, kind.canon.caller(order.caller, (order.action,))

    def outside(self, scoped: Mapping[str, tuple[int, int, bool]], after: Snapshot, same: Snapshot) -> bool:
        if len(same.calls) > self.layout.pending_max or len(same.deferred) > self.layout.deferred_max:
            return True
        values: Any = after.fields
        return any(
            values[name] is not None and not low <= values[name] <= high for name, (low, high, _) in scoped.items()
        )

    def hides(self, world: World, event: Event) -> bool:
        """Say whether what arrived was not taken for a fault's sake."""
        assert isinstance(event, Deliver | Outcome), "only those can be late"
        if isinstance(event, Outcome):
            now = next(n for n in world.entities.values() if any(call.order == event.order for call in n.calls))
            return hidden_fault(self.table, now, event) is not None
        now = world.entities[event.entity, event.entity_id]
        act = Act(EVENT, AT, event.action, event.params, event.caller, event.entity, event.entity_id, by_system=True)
        answer = commit(self.table, now, act, world, check_always=False)
        return isinstance(answer, Refused) and answer.why in FAULTS

    # --- what is shown ---

    def of_state(self, world: World, far: int) -> None:
        for each in world.entities.values():
            self.looked.shows(("state", each.entity, each.state), far)
        others = world.others()
        for index, asked in self.properties:
            if asked.step:
                continue
            of: list[Snapshot | None] = [None] if asked.entity is None else [*others[asked.entity].values()]
            for now in of:
                try:
                    if not evaluate(self.table, asked.entity, asked.condition, now, world=others):
                        self.looked.shows(("always", index), far)
                except NoValue:
                    self.looked.shows(("unclear", index), far)

    def of_step(
        self, accepted: Any, before: Snapshot | None, beside: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[Any, ...]]:
        for index, each in self.properties:
            if not each.step or each.entity != accepted.after.entity or not accepted.moves:
                continue
            if before is None and each.reads_before:
                continue
            if not evaluate(
                self.table, each.entity, each.condition, accepted.after, before=before, moves=accepted.moves
            ):
                yield ("always", index)

    def entered(
        self, accepted: Any, who: Who, counted: dict[tuple[Who, int], frozenset[tuple[str, str]]]
    ) -> Iterator[tuple[Any, ...]]:
        canon = self.layout.kinds[who[0]].canon
        for index, each in enumerate(self.table.properties):
            if not isinstance(each, shape.Never | shape.Needs):
                continue
            states = states_of(self.table, each, each.states).get(who[0], ())
            if isinstance(each, shape.Never):
                if each.role in accepted.caller.roles and any(m.entered and m.after in states for m in accepted.moves):
                    yield ("never", index)
            elif states and accepted.moves:
                mine = msgspec.structs.replace(
                    accepted, caller=canon.caller(accepted.caller, tuple(m.action for m in accepted.moves))
                )
                many, kept = tally(each, frozenset(states), counted.get((who, index), frozenset()), mine)
                counted[who, index] = kept
                if many is not None and many < each.count:
                    yield ("needs", index)


def told(system: System, searched: Searched) -> dict[tuple[Any, ...], int]:
    """Return what an engine found, in the words of `Looked.found`.

    What is asked of a step is asked of the state before it, where a report shows the step.
    """
    keys, shows = system.meta["keys"], system.meta.get("shows", {})
    found: dict[tuple[Any, ...], int] = {}
    each = [(system.questions[number].key, len(path.rules)) for number, path in searched.found.items()]
    each = [(key, length + (key in shows)) for key, length in each]
    each += [(keys[where], len(path.rules)) for where, path in searched.faults.items()]
    for key, length in each:
        if key[0] in _ASKED:
            key = key[:1] if key[0] == "home" else key
            found[key] = min(length, found.get(key, length))
    return found
