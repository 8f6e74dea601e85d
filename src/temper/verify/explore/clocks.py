"""Time without a clock: how times compare is drawn, not computed.

The search gives every event the same moment. Where a guard, a case or an assignment compares times, both answers are
tried: the entity has one table for each way in which its comparisons can turn out. That allows more than any clock
does, so what holds so, holds; a run that breaks something is shown only after it has been replayed with real moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import msgspec
from msgspec import Struct

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import all_clauses, lates
from temper.verify.explore.cone import uses
from temper.verify.expressions import COMPARISONS, FALSE, TRUE, bounded, children, names_in, rebuilt, walk, without_lets

# Each comparison doubles the tables; so many are followed.
COMPARISONS_MAX = 5

_EXPRESSIONS = frozenset({"condition", "value", "who", "target", "over", "duration"})


class Clocks(Struct, frozen=True):
    """The tables to search with: one, unless times are compared. `blind` says why the search may miss something."""

    tables: tuple[Table, ...]
    comparisons: tuple[Expr, ...]
    tainted: frozenset[str]
    blind: str | None
    affected: frozenset[str] | None = None
    """The actions for which the tables may differ; `None` for all."""


def clocks_of(table: Table, entity: shape.Entity) -> Clocks:
    """Return the tables that stand for every way in which an entity's times can compare."""
    tainted = _tainted(table, entity)
    found: dict[Expr, None] = {}
    blind: str | None = None
    types = {each.name: each.type for each in entity.fields}
    for use in uses(table, entity):
        e = without_lets(use.expr, use.names)
        taints = _taints(entity, tainted, use.names.params)
        for part in walk(e):
            if _compares(part, taints):
                if any(inner[0] == "var" for inner in walk(part)):
                    blind = "a condition compares the times in a collection"
                else:
                    found.setdefault(_atom(part)[0])
    for _, clause in all_clauses(entity):
        if isinstance(clause, shape.Set) and clause.field in tainted and bounded(types[clause.field], table):
            blind = f"`{clause.field}` counts time within bounds"
    atoms = tuple(found)
    if len(atoms) > COMPARISONS_MAX:
        blind = f"it compares times in {len(atoms)} ways, of which {COMPARISONS_MAX} are followed"
        atoms = atoms[:COMPARISONS_MAX]
    if not atoms:
        return Clocks((table,), (), tainted, blind)
    tables = tuple(
        _fixed(table, entity, dict(zip(atoms, answers, strict=True)), tainted)
        for answers in product((False, True), repeat=len(atoms))
    )
    return Clocks(tables, atoms, tainted, blind, _affected(table, entity, atoms))


def _affected(table: Table, entity: shape.Entity, atoms: tuple[Expr, ...]) -> frozenset[str] | None:
    """Return the actions whose taking asks for one of the comparisons; `None` where a place asks for one."""
    found: set[str] = set()
    for use in uses(table, entity):
        if any(part[0] in COMPARISONS and _atom(part)[0] in atoms for part in walk(without_lets(use.expr, use.names))):
            if use.action is None:
                return None
            found.add(use.action)
    for place in entity.places:
        if place.route is not None and place.route.action in found:
            return None
    for late in lates(entity):
        if late.handler is not None and late.handler.action in found:
            found.update(late.actions)
    return frozenset(found)


def _timely(type_: Type) -> bool:
    """Say whether values of a type hold moments."""
    return type_[0] == "time" or any(isinstance(part, tuple) and part and _timely(part) for part in type_[1:])


def _tainted(table: Table, entity: shape.Entity) -> frozenset[str]:
    """Return the fields that hold moments, or what was worked out from some."""
    tainted = {each.name for each in entity.fields if _timely(each.type)}
    grown = True
    while grown:
        before = len(tainted)
        for use in uses(table, entity):
            for node in use.into or ():
                if node[0] == "field" and _taints(entity, frozenset(tainted), use.names.params)(
                    without_lets(use.expr, use.names)
                ):
                    tainted.add(node[1])
        grown = len(tainted) > before
    return frozenset(tainted)


def _taints(entity: shape.Entity, tainted: frozenset[str], params: Any) -> Callable[[Expr], bool]:
    def read(e: Expr) -> bool:
        if e[0] in COMPARISONS:
            return False  # What is compared is a truth, not a moment.
        if e[0] in {"now", "created_at"}:
            return True
        if e[0] == "field":
            return e[1] in tainted
        if e[0] == "param":
            return e[1] in params and _timely(params[e[1]])
        if e[0] == "lit":
            return _timely(e[1])
        return any(read(part) for part in children(e))

    return read


def _compares(e: Expr, taints: Callable[[Expr], bool]) -> bool:
    if e[0] not in COMPARISONS or any(part[0] == "none" for part in e[1:]):
        return False
    return taints(e[1]) or taints(e[2])


def _atom(e: Expr) -> tuple[Expr, bool]:
    """Return the comparison that decides this one, and whether they agree: `a >= b` is `a < b` turned around."""
    match e:
        case (">", a, b):
            return ("<", b, a), True
        case (">=", a, b):
            return ("<", a, b), False
        case ("<=", a, b):
            return ("<", b, a), False
        case ("!=", a, b):
            return ("==", a, b), False
        case _:
            return e, True


def _fixed(table: Table, entity: shape.Entity, answers: dict[Expr, bool], tainted: frozenset[str]) -> Table:
    """Return the table in which the entity's comparisons of times have these answers."""

    def action_fixed(action: shape.Action) -> shape.Action:
        names = names_in(table, entity, action)
        cases = tuple(
            _changed(case, _answering(answers, names_in(table, entity, action, case))) for case in action.cases
        )
        changed: shape.Action = _changed(action, _answering(answers, names))
        return msgspec.structs.replace(changed, cases=cases)

    own = _answering(answers, names_in(table, entity))
    changed = msgspec.structs.replace(
        entity,
        actions={name: action_fixed(action) for name, action in entity.actions.items()},
        places=tuple(_changed(place, own) for place in entity.places),
        late=tuple(_changed(late, own) for late in entity.late),
        lets=(),
    )
    return msgspec.structs.replace(table, entities={**table.entities, entity.name: changed})


def _answering(answers: dict[Expr, bool], names: Any) -> Callable[[Expr], Expr]:
    def answered(e: Expr) -> Expr:
        if e[0] in COMPARISONS:
            atom, agrees = _atom(e)
            if atom in answers:
                answer = _answer(atom, holds=answers[atom])
                return answer if agrees else ("not", answer)
        return rebuilt(e, answered)

    def change(e: Expr) -> Expr:
        return answered(without_lets(e, names))

    return change


def _answer(atom: Expr, *, holds: bool) -> Expr:
    """Return what stands for a comparison that was answered. Whether a moment is there at all is known, not drawn."""
    if atom[0] != "==":
        return TRUE if holds else FALSE
    absent = tuple(("==", side, ("none", ("time",))) for side in atom[1:])
    both = ("and", *absent)
    neither = ("and", ("not", absent[0]), ("not", absent[1]))
    return ("or", both, neither) if holds else both


def _changed(part: Any, change: Callable[[Expr], Expr]) -> Any:
    """Return a piece of a table with `change` applied to its expressions. Derived values are written out in them."""
    fields: dict[str, Any] = {}
    for name, value in _members(part):
        if name in _EXPRESSIONS and value is not None:
            fields[name] = change(value)
        elif name == "args":
            fields[name] = tuple((arg, change(e)) for arg, e in value)
        elif name == "lets":
            fields[name] = ()
        elif name == "cases":
            continue
        elif isinstance(value, msgspec.Struct):
            fields[name] = _changed(value, change)
        elif isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
            fields[name] = tuple(part if isinstance(part, shape.Param) else _changed(part, change) for part in value)
    return msgspec.structs.replace(part, **fields) if fields else part


def _members(part: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(part, name)) for name in part.__struct_fields__)
