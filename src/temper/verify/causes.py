"""What a role can cause, as the table alone tells it: actions it may take, and all that follows from those.

More than can happen: guards are taken to hold, and whoever is named by a field may hold the role. What is not among the
causes of a role, nobody who holds it can bring about.
"""

from __future__ import annotations

from collections.abc import Iterator

from temper.table import Table, shape
from temper.verify.clauses import admitted, flat, lates, outcomes, targets
from temper.verify.expressions import names_in, walk, without_lets


def causes(table: Table, role: str) -> frozenset[str]:
    """Return the actions, as `Entity.Action`, that a holder of `role` can take or cause."""
    found: set[str] = set()
    todo = [
        (entity.name, action.name)
        for entity in table.entities.values()
        for action in entity.actions.values()
        if any(_lets_in(table, role, by) for case in action.cases for by in admitted(action, case))
    ]
    while todo:
        entity, action = todo.pop()
        if f"{entity}.{action}" not in found:
            found.add(f"{entity}.{action}")
            todo.extend(following(table, table.entities[entity], action))
    return frozenset(found)


def _lets_in(table: Table, role: str, by: shape.By) -> bool:
    if by.kind == "role":
        return by.role == role or not excludes(table, role, by.role or "")
    return by.kind != "system"


def excludes(table: Table, a: str, b: str) -> bool:
    """Say whether nobody holds both roles."""
    return any({each.name, other} == {a, b} for each in table.roles for other in each.excludes)


def following(table: Table, entity: shape.Entity, name: str) -> Iterator[tuple[str, str]]:
    """Yield the actions that one leads to, at once or later, as (entity, action)."""
    action = entity.actions[name]
    bodies = [action.body, *(case.body for case in action.cases)]
    for place in _touched(entity, action):
        bodies += [place.entry, place.exit]
        if place.route is not None:
            yield entity.name, place.route.action
        for timer in place.timers:
            yield entity.name, timer.handler.action
        for whenever in place.whenevers:
            yield entity.name, whenever.handler.action
    for late in lates(entity):
        if name in late.actions and late.handler is not None:
            yield entity.name, late.handler.action
    for other in table.entities.values():
        for place in other.places:
            for whenever in place.whenevers:
                if any(
                    (part[0] in {"read", "read_in"} and part[2] == entity.name) or part[0] == "inverse"
                    for part in walk(without_lets(whenever.condition, names_in(table, other)))
                ):
                    yield other.name, whenever.handler.action
    for body in bodies:
        for clause in flat(body):
            match clause:
                case shape.Call():
                    for _, handler in outcomes(clause):
                        yield entity.name, handler.action
                case shape.Send() | shape.With() | shape.Create():
                    yield clause.entity, clause.action
                case _:
                    pass


def _touched(entity: shape.Entity, action: shape.Action) -> Iterator[shape.Place]:
    """The places that an action can leave, enter or be taken in: it may arm the timers of any of them."""
    states = {state for case in action.cases for pair in targets(case) for state in pair}
    return (place for place in entity.places if states & set(place.states))


def enters(table: Table, entity: shape.Entity, states: tuple[str, ...], caused: frozenset[str]) -> bool:
    """Say whether some caused action has a case into one of `states`."""
    return any(
        case.to in states
        for action in entity.actions.values()
        if f"{entity.name}.{action.name}" in caused
        for case in action.cases
    )
