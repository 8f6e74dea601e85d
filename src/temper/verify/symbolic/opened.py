"""What level 1 leaves open, where it stands, and what would help: plain data, for reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from temper.table import Expr, Table, describe_expr, shape
from temper.verify.clauses import all_clauses, expressions
from temper.verify.expressions import Names, names_in, walk, without_lets
from temper.verify.places import place_of
from temper.verify.symbolic.algebra import LeftOpen

SHOWN_MAX = 2

# By the kind of expression. What is not here has no general advice.
_HELP = {
    "sum": "a field that is kept beside it, `set total += ...`, can be followed",
    "count": "a field that counts along can be followed",
    "all": "elements of a small type, or a field that says it, can be followed",
    "any": "elements of a small type, or a field that says it, can be followed",
    "filter": "two sets instead of one that is filtered can be followed",
    "map_set": "a set that is kept beside it can be followed",
    "map_list": "a set instead of a list can be followed",
    "index": "a field for the element that matters can be followed",
    "first": "a field for the element that matters can be followed",
    "concat": "a set instead of a list, or a text that is not put together, can be followed",
    "to_set": "a set instead of a list can be followed",
    "read": "a property of both, or a field that is set when the other changes, can be followed",
    "read_in": "a property of both, or a field that is set when the other changes, can be followed",
    "inverse": "a field that counts along can be followed",
    "action_is": "a property that stands outside of entities sees what all take",
}


def left_open(table: Table, entity: str | None, found: Iterable[Expr]) -> tuple[LeftOpen, ...]:
    """Return what was left open on the way, with the sites; what stands in no text of the table is left out."""
    sites = list(_sites(table, entity))
    told: dict[LeftOpen, None] = {}
    for e in found:
        site = next((site for site, expr in sites if any(part == e for part in walk(expr))), None)
        if site is not None:
            told.setdefault(LeftOpen(e, site, _HELP.get(e[0], "")))
    return tuple(told)


def in_words(table: Table, found: Iterable[LeftOpen]) -> str:
    """Return what was left open, where, and what would help; nothing if nothing was."""
    each = list(found)
    if not each:
        return ""
    shown = [f"`{describe_expr(one.expr, table.records)}`{_where(table, one.site)}" for one in each[:SHOWN_MAX]]
    more = f" and {len(each) - SHOWN_MAX} more" if len(each) > SHOWN_MAX else ""
    help = next((one.help for one in each[:SHOWN_MAX] if one.help), "")
    return f"left open: {', '.join(shown)}{more}" + (f"; {help}" if help else "")


def _where(table: Table, site: str) -> str:
    place = place_of(table, site)
    return f" (line {place[1]})" if place is not None else ""


def _sites(table: Table, entity: str | None) -> Iterator[tuple[str, Expr]]:
    """Each expression of the properties and of an entity (of all, if none is named), with its site."""
    for each in table.properties:
        if isinstance(each, shape.Always):
            names = Names(table, table.entities[each.entity] if each.entity is not None else None)
            yield each.site, without_lets(each.condition, names)
    for kind in table.entities.values():
        if entity in {None, kind.name}:
            yield from _of(table, kind)


def _of(table: Table, entity: shape.Entity) -> Iterator[tuple[str, Expr]]:
    for action in entity.actions.values():
        for case in action.cases:
            names = names_in(table, entity, action, case)
            for guard in (*action.when, *case.when):
                yield guard.site, without_lets(guard.condition, names)
    for owner, clause in all_clauses(entity):
        scopes = [names_in(table, entity)]
        if owner is not None:
            action = entity.actions[owner]
            scopes = [names_in(table, entity, action, case) for case in action.cases]
        for names in scopes:
            for e in expressions(clause):
                if all(part[0] != "let" or names.let(part[1]) is not None for part in walk(e)):
                    yield clause.site, without_lets(e, names)
    for place in entity.places:
        for whenever in place.whenevers:
            yield whenever.site, without_lets(whenever.condition, names_in(table, entity))
