"""Questions that a table's shape answers: ways out, and homes for what comes late. Guards are taken to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
from temper.verify.explore.canon import home, led_to, steps_of
from temper.verify.explore.cone import sent_to
from temper.verify.expressions import walk


def cases_from(entity: shape.Entity, state: str) -> Iterator[tuple[shape.Action, shape.Case]]:
    """Every case that a state has, with its action."""
    for action in entity.actions.values():
        for case in action.cases:
            if state in case.froms:
                yield action, case


def routed(entity: shape.Entity) -> frozenset[str]:
    """Return the states that are passed through within a commit: nothing is ever found at rest there."""
    return frozenset(state for place in entity.places if place.route is not None for state in place.states)


def traps(entity: shape.Entity) -> list[str]:
    """Return the states that are not final and in which no action has a case."""
    passed = routed(entity)
    return [
        state
        for state in entity.states
        if state not in entity.final and state not in passed and not any(cases_from(entity, state))
    ]


def waits(table: Table, entity: shape.Entity) -> list[tuple[str, str]]:
    """Return the states whose every way out waits for a message that may never come, and what they wait for.

    A person's action is a way out, and a timer's, and one that another's action takes along; so is a call all of whose
    three outcomes lead on, since one of them is recorded in the end. A send may never be sent, and an outcome with `_`
    leads nowhere.
    """
    found = []
    for state in entity.states:
        if state in entity.final:
            continue
        ways = list(cases_from(entity, state))
        if not ways or any(by_people(admitted(action, case)) for action, case in ways):
            continue
        here = [place for place in entity.places if state in place.states]
        names = {action.name for action, _ in ways}
        handlers = [timer.handler for place in here for timer in place.timers]
        handlers += [whenever.handler for place in here for whenever in place.whenevers]
        handlers += [place.route for place in here if place.route is not None]
        if any(handler.action in names for handler in handlers) or taken_along(table, entity, state):
            continue
        calls = list(_calls_into(entity, state))
        if any(_always_leads_on(call, names) for call in calls):
            continue
        waited = [f"an answer of `{call.tool}`" for call in calls] + [
            f"`{name}`, which another entity sends" for name in sent_to(table, entity.name) if name in names
        ]
        found.append((state, " or ".join(dict.fromkeys(waited)) or "an outcome of an earlier call"))
    return found


def taken_along(table: Table, entity: shape.Entity, state: str) -> bool:
    """Say whether a joint action of somebody else leads on from a state: there may always be one more of those."""
    here = {action.name for action, _ in cases_from(entity, state)}
    return any(
        isinstance(clause, shape.With) and clause.entity == entity.name and clause.action in here
        for other in table.entities.values()
        for _, clause in all_clauses(other)
    )


def _calls_into(entity: shape.Entity, state: str) -> Iterator[shape.Call]:
    """The calls that are made when a state is entered, or stayed in."""
    for place in entity.places:
        if state in place.states:
            yield from (clause for clause in flat(place.entry) if isinstance(clause, shape.Call))
    for action in entity.actions.values():
        for case in action.cases:
            if any(after == state for _, after in targets(case)):
                bodies = (*action.body, *case.body)
                yield from (clause for clause in flat(bodies) if isinstance(clause, shape.Call))


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
    return all(_quiet(home(entity, state, action)) for state in entity.states for action in actions)


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
    back: dict[str, list[str]] = {}
    for before, afters in steps_of(entity).items():
        for after in afters:
            back.setdefault(after, []).append(before)
    living = led_to(back, entity.final)
    return [state for state in entity.states if state not in living]


def recovers(entity: shape.Entity) -> bool:
    """Say whether people can bring an entity to a final state from everywhere, whatever its fields are.

    That is so where each state has an action that nobody can refuse them, all of whose cases lead nearer to a final
    state. It is taken for granted that no value leaves its type, and nothing divides by zero. A *no* says nothing.
    """
    if any(place.whenevers or place.defer for place in entity.places):
        return False
    sure = set(entity.final)
    while True:
        new = {
            state
            for state in entity.states
            if state not in sure
            and any(_leads_surely(entity, action, state, sure) for action in entity.actions.values())
        }
        if not new:
            return bool(entity.final) and sure == set(entity.states)
        sure |= new


def _leads_surely(entity: shape.Entity, action: shape.Action, state: str, into: set[str]) -> bool:
    """Say whether people can take an action in a state at any time, and all that it can do is lead into some states."""
    if action.when or not any(by.kind in {"role", "anyone"} for by in action.by):
        return False
    for case in action.cases:
        if state not in case.froms:
            continue
        to = case.to or state
        if case.by or to not in into or not _plain(entity, (*action.body, *case.body)):
            return False
        for place in (*entered(entity, state, to), *left(entity, state, to)):
            if place.route is not None or not _plain(entity, (*place.entry, *place.exit)):
                return False
            if any(timer.duration is not None and timer.duration[0] != "lit" for timer in place.timers):
                return False
        if not case.when:
            return True
    return False


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
