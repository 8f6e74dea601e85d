"""Questions that a table's shape answers: ways out, and homes for what comes late. Guards are taken to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from msgspec.structs import replace

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import (
    NEW,
    admitted,
    all_clauses,
    by_people,
    entered,
    expressions,
    flat,
    left,
    outcomes,
    targets,
)
from temper.verify.explore.canon import backwards, home, led_to, places_of, steps_of
from temper.verify.explore.cone import sent_to
from temper.verify.expressions import walk

Ways: TypeAlias = "Mapping[str, Sequence[tuple[shape.Action, shape.Case]]]"


def ways_of(entity: shape.Entity) -> Ways:
    """Return the cases that each state has, with their actions; a state that has none is not in it.

    For all states at once: there may be ten thousand, and as many cases.
    """
    ways: dict[str, list[tuple[shape.Action, shape.Case]]] = {}
    for action in entity.actions.values():
        for case in action.cases:
            for state in case.froms:
                ways.setdefault(state, []).append((action, case))
    return ways


def routed(entity: shape.Entity) -> frozenset[str]:
    """Return the states that are passed through within a commit: nothing is ever found at rest there."""
    return frozenset(state for place in entity.places if place.route is not None for state in place.states)


def traps(entity: shape.Entity) -> list[str]:
    """Return the states that are not final and in which no action has a case."""
    settled = {*entity.final, *routed(entity), *ways_of(entity)}
    return [state for state in entity.states if state not in settled]


def waits(table: Table, entity: shape.Entity) -> list[tuple[str, str]]:
    """Return the states whose every way out waits for a message that may never come, and what they wait for.

    A person's action is a way out, and a timer's, and one that another's action takes along; so is a call all of whose
    three outcomes lead on, since one of them is recorded in the end. A send may never be sent, and an outcome with `_`
    leads nowhere.
    """
    found = []
    ways_on, places, calls_into = ways_of(entity), places_of(entity), _calls_into(entity)
    sent, joined = sent_to(table, entity.name), _taken_along(table, entity)
    final = frozenset(entity.final)
    for state in entity.states:
        if state in final:
            continue
        ways = ways_on.get(state, ())
        if not ways or any(by_people(admitted(action, case)) for action, case in ways):
            continue
        here = places.get(state, ())
        names = {action.name for action, _ in ways}
        handlers = [timer.handler for place in here for timer in place.timers]
        handlers += [whenever.handler for place in here for whenever in place.whenevers]
        handlers += [place.route for place in here if place.route is not None]
        # A joint action of somebody else leads on: there may always be one more of those.
        if any(handler.action in names for handler in handlers) or names & joined:
            continue
        calls = calls_into.get(state, ())
        if any(_always_leads_on(call, names) for call in calls):
            continue
        waited = [f"an answer of `{call.tool}`" for call in calls] + [
            f"`{name}`, which another entity sends" for name in sent if name in names
        ]
        found.append((state, " or ".join(dict.fromkeys(waited)) or "an outcome of an earlier call"))
    return found


def _taken_along(table: Table, entity: shape.Entity) -> frozenset[str]:
    """Return the actions of an entity that joint actions of others take along."""
    return frozenset(
        clause.action
        for other in table.entities.values()
        for _, clause in all_clauses(other)
        if isinstance(clause, shape.With) and clause.entity == entity.name
    )


def _calls_into(entity: shape.Entity) -> Mapping[str, Sequence[shape.Call]]:
    """Return the calls that are made when a state is entered, or stayed in."""
    calls: dict[str, list[shape.Call]] = {}
    for place in entity.places:
        made = _calls_in(place.entry)
        for state in place.states if made else ():
            calls.setdefault(state, []).extend(made)
    for action in entity.actions.values():
        for case in action.cases:
            made = _calls_in((*action.body, *case.body))
            for state in dict.fromkeys(after for _, after in targets(case)) if made else ():
                calls.setdefault(state, []).extend(made)
    return calls


def _calls_in(body: Iterable[shape.AnyClause]) -> list[shape.Call]:
    return [clause for clause in flat(body) if isinstance(clause, shape.Call)]


def _always_leads_on(call: shape.Call, names: set[str]) -> bool:
    unknown = call.otherwise if call.unknown_is_failure else call.unknown
    return all(handler is not None and handler.action in names for handler in (call.then, call.otherwise, unknown))


def has_orders(table: Table, entity: shape.Entity) -> bool:
    """Say whether outcomes or sends come to an entity at all."""
    return bool(sent_to(table, entity.name)) or any(isinstance(clause, shape.Call) for _, clause in all_clauses(entity))


def homes_everywhere(table: Table, entity: shape.Entity) -> bool:
    """Say whether every state ignores or defers whatever may come late to it."""
    actions = set(sent_to(table, entity.name))
    for _, clause in all_clauses(entity):
        if isinstance(clause, shape.Call):
            actions |= {handler.action for _, handler in outcomes(clause)}
    places = places_of(entity)
    return all(_quiet(home(entity, places.get(state, ()), action)) for state in entity.states for action in actions)


def _quiet(where: shape.Late | shape.Place | None) -> bool:
    return isinstance(where, shape.Place) or (where is not None and where.handler is None)


def unreachable(entity: shape.Entity) -> list[str]:
    """Return the states that no chain of cases leads to."""
    first = {case.to for action in entity.actions.values() for case in action.cases if "new" in case.froms and case.to}
    # Not what each of them leads to: of ten thousand states in a row that takes gigabytes.
    seen = led_to(steps_of(entity), first)
    return [state for state in entity.states if state not in seen]


def dead_ends(entity: shape.Entity) -> list[str]:
    """Return the states from which no chain of cases leads to a final state, if there are final ones."""
    if not entity.final:
        return []
    living = led_to(backwards(steps_of(entity)), entity.final)
    return [state for state in entity.states if state not in living]


def recovers(entity: shape.Entity) -> bool:
    """Say whether people can bring an entity to a final state from everywhere, whatever its fields are.

    That is so where each state has an action that nobody can refuse them, all of whose cases lead nearer to a final
    state. It is taken for granted that no value leaves its type, and nothing divides by zero. A *no* says nothing.
    """
    if any(place.whenevers or place.defer for place in entity.places):
        return False
    places = places_of(entity)
    ways: dict[str, list[frozenset[str]]] = {}
    back: dict[str, list[str]] = {}
    for state, cases in ways_of(entity).items():
        for _, several in groupby(cases, key=lambda way: way[0].name):
            into = _leads_surely(entity, places, state, list(several))
            if into is not None:
                ways.setdefault(state, []).append(into)
                for after in into:
                    back.setdefault(after, []).append(state)
    sure = set(entity.final)
    todo = list(sure)
    while todo:
        for state in back.get(todo.pop(), ()):
            if state not in sure and any(into <= sure for into in ways[state]):
                sure.add(state)
                todo.append(state)
    return bool(entity.final) and sure >= set(entity.states)


def _leads_surely(
    entity: shape.Entity,
    places: Mapping[str, Sequence[shape.Place]],
    state: str,
    ways: Sequence[tuple[shape.Action, shape.Case]],
) -> frozenset[str] | None:
    """Return what an action may lead to that people can take in a state at any time; `None` where they can't.

    `ways` are its cases there.
    """
    action = ways[0][0]
    if action.when or not any(by.kind in {"role", "anyone"} for by in action.by):
        return None
    into: set[str] = set()
    for _, case in ways:
        to = case.to or state
        if case.by or not _plain(entity, (*action.body, *case.body)):
            return None
        into.add(to)
        # Of ten thousand places a move enters and leaves a few.
        near = replace(entity, places=(*places.get(state, ()), *places.get(to, ())))
        for place in (*entered(near, state, to), *left(near, state, to)):
            if place.route is not None or not _plain(entity, (*place.entry, *place.exit)):
                return None
            if any(timer.duration is not None and timer.duration[0] != "lit" for timer in place.timers):
                return None
        if not case.when:
            return frozenset(into)
    return None


def _plain(entity: shape.Entity, body: Iterable[shape.AnyClause]) -> bool:
    """Say whether clauses can't be refused, but for a value outside its type."""
    unique = {*entity.key, *(name for each in entity.uniques for name in each.fields)}
    return all(
        isinstance(clause, shape.Call | shape.Send | shape.Emit | shape.If)
        or (isinstance(clause, shape.Set) and clause.field not in unique)
        for clause in flat(body)
    )


def newcomers_matter(table: Table, names: Iterable[str]) -> bool:
    """Say whether an entity that is not there yet might move those of these kinds that are, or let them be moved.

    It might where one of them can be given it, where it is among all of a kind that somebody looks at, and where it can
    be made to refer to one of them and its kind moves others.
    """
    kinds = [table.entities[name] for name in names]
    moving = any(isinstance(clause, shape.With | shape.Send) for each in kinds for _, clause in all_clauses(each))
    for each in kinds:
        if each.inverses or any(part[0] in {"inverse", "every"} for e in _expressions(each) for part in walk(e)):
            return True
        for action in each.actions.values():
            creates = all(case.froms == (NEW,) for case in action.cases)
            if (moving or not creates) and any(_refers(param.type, table) for param in action.params):
                return True
    return False


def _expressions(entity: shape.Entity) -> Iterator[Expr]:
    """What decides about actions, and stands in their clauses."""
    yield from (let.value for let in entity.lets)
    for action in entity.actions.values():
        parts: tuple[shape.Action | shape.Case, ...] = (action, *action.cases)
        for part in parts:
            yield from (guard.condition for guard in part.when)
            yield from (let.value for let in part.lets)
            yield from (by.who for by in part.by if by.who is not None)
    for _, clause in all_clauses(entity):
        yield from expressions(clause)
    yield from (each.condition for place in entity.places for each in place.whenevers)


def _refers(type_: Type, table: Table) -> bool:
    """Say whether a value of a type may name an entity."""
    match type_:
        case ("ref", _):
            return True
        case ("record", name):
            return any(_refers(part.type, table) for part in table.records[name])
        case _:
            return any(_refers(part, table) for part in type_[1:] if isinstance(part, tuple) and part)
