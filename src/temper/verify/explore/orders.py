"""How much one step orders: a bound below that would keep the step from being taken at all."""

from __future__ import annotations

from collections.abc import Iterable

from temper.table import shape
from temper.verify.clauses import entered, flat, left


def calls_at_once(entity: shape.Entity) -> int:
    """Return how many calls one step of an entity orders. Guards and conditions are taken to hold.

    What stands in a `for` counts once: it may go through few elements, and a bound leaves those steps.
    """
    entry = {place.site: _calls(place.entry) for place in entity.places}
    exits = {place.site: _calls(place.exit) for place in entity.places}

    def taken(action: shape.Action, before: str, passed: frozenset[str]) -> int:
        most = 0
        for case in action.cases:
            if before not in case.froms:
                continue
            ordered = _calls((*action.body, *case.body))
            if case.to is not None:
                ordered += sum(exits[place.site] for place in left(entity, before, case.to))
                ordered += sum(entry[place.site] for place in entered(entity, before, case.to))
                ordered += routed(before, case.to, passed)
            most = max(most, ordered)
        return most

    def routed(before: str, state: str, passed: frozenset[str]) -> int:
        route = next((place.route for place in entered(entity, before, state) if place.route is not None), None)
        if route is None or state in passed:
            return 0  # Cycles of routes are errors.
        return taken(entity.actions[route.action], state, passed | {state})

    return max(
        (
            taken(action, before, frozenset())
            for action in entity.actions.values()
            for before in dict.fromkeys(state for case in action.cases for state in case.froms)
        ),
        default=0,
    )


def _calls(body: Iterable[shape.AnyClause]) -> int:
    return sum(isinstance(clause, shape.Call) for clause in flat(body))
