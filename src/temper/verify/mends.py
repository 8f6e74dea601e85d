"""What would have kept a fault from happening, in the blueprint's own words: the guard, and where to put it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from temper.table import Expr, Table, Type, Why, describe_expr, shape
from temper.verify.clauses import all_clauses, expressions
from temper.verify.expressions import names_in, walk, without_lets

_VALUE = re.compile(r"would be (-?[0-9]+(?:\.[0-9]+)?),")
# What stands for one thing only where it is written: no guard of the action can speak of it.
_ELSEWHERE = frozenset({"var", "result", "error", "created"})


def mend(table: Table, why: Why, site: str, text: str) -> str:
    """Return how to keep a value in its type, or a divisor from zero; `text` is the refusal's, and names the value."""
    action, clause = _clause(table, site)
    if why is Why.DIVISION:
        asked = list(dict.fromkeys(_not_zero(table, site, action, clause)))
        if not asked:
            return "ask for a divisor that is not zero: `when ... != 0`"
        return f"ask for a divisor that is not zero{_where(action)}: {' and '.join(f'`when {each}`' for each in asked)}"
    if isinstance(clause, shape.Set):
        entity = _entity(table, site)
        assert entity is not None, "a clause is an entity's"
        type_ = next(each.type for each in entity.fields if each.name == clause.field)
        guard = _within(table, clause.value, type_, text) if action is not None else None
        if guard is not None:
            return f"ask for it{_where(action)}: `when {guard}`, or widen the type of `{clause.field}`"
        return f"ask for what keeps `{clause.field}` in range{_where(action)} (`when ...`), or widen its type"
    return "ask for what keeps it in range (`when ...`), or widen the type"


def _entity(table: Table, site: str) -> shape.Entity | None:
    return table.entities.get(site.partition(".")[0].partition("/")[0])


def _where(action: str | None) -> str:
    return f" in `{action}`" if action is not None else ""


def _clause(table: Table, site: str) -> tuple[str | None, shape.AnyClause | None]:
    entity = _entity(table, site)
    clauses = all_clauses(entity) if entity is not None else ()
    return next(((action, clause) for action, clause in clauses if clause.site == site), (None, None))


def _within(table: Table, value: Expr, type_: Type, text: str) -> str | None:
    """Return the guard under which a value is one of the type, where a guard can say it: at the end that it left."""
    if type_[0] == "optional":
        type_ = type_[1]
    if value[0] == "some":
        value = value[1]
    if any(part[0] in _ELSEWHERE for part in walk(value)):
        return None
    told = describe_expr(value, table.records)
    if type_[0] in {"set", "list"} and type_[2] is not None:
        return f"size({told}) <= {type_[2]}"
    if type_[0] not in {"int", "decimal"}:
        return None
    low, high = type_[1:]
    found = _VALUE.search(text)
    ends = [f"{told} >= {low}"] if low is not None else []
    ends += [f"{told} <= {high}"] if high is not None else []
    if found is not None and len(ends) == 2:
        return ends[0] if float(found[1]) < float(low) else ends[1]
    return " and ".join(ends) or None


def _not_zero(table: Table, site: str, action: str | None, clause: shape.AnyClause | None) -> Iterator[str]:
    """Yield what has to hold for each divisor at a place: in a clause, or in the guard that stands there."""
    entity = _entity(table, site)
    if entity is None:
        return
    names = names_in(table, entity, entity.actions[action] if action is not None else None)
    exprs = list(expressions(clause)) if clause is not None else _guards(table, site)
    for e in exprs:
        for part in walk(without_lets(e, names)):
            if part[0] in {"//", "%"} and part[2][0] != "lit" and not any(p[0] in _ELSEWHERE for p in walk(part[2])):
                told = describe_expr(part[2], table.records)
                yield f"{told} != 0" if part[2][0] in {"field", "param", "let"} else f"({told}) != 0"


def _guards(table: Table, site: str) -> list[Expr]:
    entity = _entity(table, site)
    if entity is None:
        return []
    guards = (g for a in entity.actions.values() for g in (*a.when, *(g for case in a.cases for g in case.when)))
    return [guard.condition for guard in guards if guard.site == site]
