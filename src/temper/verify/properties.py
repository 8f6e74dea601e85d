"""Properties as questions about one entity."""

from __future__ import annotations

from msgspec import Struct

from temper.table import Expr, Table, shape
from temper.verify.expressions import Names, rebuilt, walk, without_lets

_BEYOND = frozenset({"read", "read_in", "inverse", "every"})


class Asked(Struct, frozen=True):
    """An `always` as a condition on one entity's own fields and state."""

    index: int
    entity: str
    condition: Expr
    step: bool
    reads_before: bool
    site: str


def asked_alone(table: Table) -> dict[int, Asked]:
    """Return the `always` properties that can be asked of each entity alone, by their number.

    `all o in Order: E` is one of them where E speaks of nothing but `o`.
    """
    found: dict[int, Asked] = {}
    for index, each in enumerate(table.properties):
        if not isinstance(each, shape.Always):
            continue
        entity = each.entity
        names = Names(table, table.entities[entity] if entity is not None else None)
        condition: Expr | None = without_lets(each.condition, names)
        if entity is None and condition is not None and condition[0] == "all" and condition[2][0] == "every":
            entity = condition[2][1]
            condition = _of_one(condition[3], condition[1], entity)
        if entity is None or condition is None or any(part[0] in _BEYOND for part in walk(condition)):
            continue
        found[index] = Asked(index, entity, condition, each.step, each.reads_before, each.site)
    return found


def _of_one(e: Expr, x: str, entity: str) -> Expr | None:
    """Return what `e` says of the one that `x` stands for, in its own words; `None` where it says more."""
    try:
        return _turned(e, x, entity)
    except LookupError:
        return None


def _turned(e: Expr, x: str, entity: str) -> Expr:
    match e:
        case ("read", ("var", name), kind, field) if name == x and kind == entity:
            return ("field", field)
        case ("read_in", ("var", name), kind, states) if name == x and kind == entity:
            return ("in_state", states)
        case ("var", name) if name == x:
            raise LookupError(x)
        case _:
            return rebuilt(e, lambda part: _turned(part, x, entity))


def states_of(table: Table, each: shape.AnyProperty, states: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return a property's states by entity. Outside of entities a state is written with its entity's name."""
    found: dict[str, list[str]] = {}
    for state in states:
        entity, dot, name = state.rpartition(".")
        if dot:
            found.setdefault(entity, []).append(name)
        elif each.entity is not None:
            found.setdefault(each.entity, []).append(state)
        else:
            for kind, known in table.entities.items():
                if state in known.states:
                    found.setdefault(kind, []).append(state)
    return {entity: tuple(names) for entity, names in found.items()}
