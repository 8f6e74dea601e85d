"""Questions that a table's shape answers: ways out, and homes for what comes late. Guards are taken to hold."""

from __future__ import annotations

from collections.abc import Iterator

from temper.table import Table, shape
from temper.verify.clauses import admitted, all_clauses, by_people, flat, outcomes, targets
from temper.verify.explore.canon import home, reachable_from
from temper.verify.explore.cone import sent_to


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
    reach = reachable_from(entity)
    first = {case.to for action in entity.actions.values() for case in action.cases if "new" in case.froms and case.to}
    seen = set().union(*(reach[state] for state in first)) if first else set()
    return [state for state in entity.states if state not in seen]
