"""Invariants that hold of every reachable state: candidates from the table's own words, kept while they are inductive.

A candidate belongs to one state: "in `Rolling`, `moved < brokers`". All start as believed; one that some path can
break, while everything still believed holds before it, is dropped, until no more falls. What is left is inductive
together. The author's `always` are candidates in every state: those that are left everywhere are proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import z3

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import NEW, all_clauses
from temper.verify.expressions import (
    COMPARISONS,
    INT,
    Names,
    conjuncts,
    field_type,
    in_one_state,
    names_in,
    type_of,
    walk,
    without_lets,
)
from temper.verify.symbolic.paths import Path
from temper.verify.symbolic.solve import Found, search
from temper.verify.symbolic.terms import Term, Terms

# Every pair of numbers is compared in each state while the entity has no more of them than this.
FIELDS_MAX = 6
# Per state. A table of the size of a page stays far below it; past it the author's own words come first.
CANDIDATES_MAX = 120

_OWN = frozenset(
    """
    lit none some value to_decimal field let id created_at not and or implies if == != < <= > >= in ?? + - * // %
    concat union minus intersect size min max dot get put set list map record neg
    """.split()
)

Believed = dict[str, list[Expr]]


def about_state(e: Expr) -> bool:
    """Say whether an expression reads the entity's own fields and nothing else."""
    return all(part[0] in _OWN for part in walk(e))


def candidates(table: Table, entity: shape.Entity, properties: Sequence[Expr], states: Sequence[str]) -> Believed:
    """Return what may be true in each state: the properties, the comparisons that the table makes, and constants."""
    names = names_in(table, entity)
    found: list[Expr] = []
    for condition in properties:
        for state in states:
            found.extend(conjuncts(in_one_state(without_lets(condition, names), state)))
    for atom in _atoms(table, entity, [*found, *_conditions(table, entity)]):
        found.extend(_variants(atom, names))
    found.extend(_constants(table, entity))
    found.extend(_pairs(table, entity))
    common = [e for e in dict.fromkeys(_hashable(found)) if e[0] != "lit" and about_state(e)][:CANDIDATES_MAX]
    return {
        state: [*dict.fromkeys(in_one_state(without_lets(c, names), state) for c in properties), *common]
        for state in states
    }


def _hashable(found: Iterable[Expr]) -> Iterator[Expr]:
    for e in found:
        try:
            hash(e)
        except TypeError:  # A literal that is an object on the wire.
            continue
        yield e


def _conditions(table: Table, entity: shape.Entity) -> Iterator[Expr]:
    for action in entity.actions.values():
        for case in action.cases:
            names = names_in(table, entity, action, case)
            for guard in (*action.when, *case.when):
                yield without_lets(guard.condition, names)


def _atoms(table: Table, entity: shape.Entity, conditions: Iterable[Expr]) -> Iterator[Expr]:
    """The comparisons in conditions that read own fields alone."""
    for condition in conditions:
        for part in walk(condition):
            if part[0] in COMPARISONS and about_state(part):
                yield part


def _variants(atom: Expr, names: Names) -> Iterator[Expr]:
    op, a, b = atom
    yield atom
    if op == "in":
        yield ("not", atom)
    elif _number(type_of(a, names)):
        yield from ((other, a, b) for other in ("<", "<=", "==", ">=", ">", "!="))
    else:
        yield from (("==", a, b), ("!=", a, b))


def _number(type_: Type) -> bool:
    return type_[0] in {"int", "decimal", "duration", "time"}


def _constants(table: Table, entity: shape.Entity) -> Iterator[Expr]:
    """A field is what it begins as, or what is somewhere assigned to it; an optional one is there or not."""
    for each in entity.fields:
        known: list[Expr] = [each.default] if each.default is not None else []
        known += [
            clause.value
            for _, clause in all_clauses(entity)
            if isinstance(clause, shape.Set) and clause.field == each.name
        ]
        for value in known:
            if about_state(value) and not any(part[0] == "field" for part in walk(value)):
                yield ("==", ("field", each.name), value)
        if each.type[0] == "int":
            # One beside what it is set to: what `+= 1` and `-= 1` lead to.
            near = {value[2] + by for value in known if value[0] == "lit" for by in (-1, 1)}
            yield from (("==", ("field", each.name), ("lit", INT, value)) for value in sorted(near))
        if each.type[0] == "optional":
            none: Expr = ("none", each.type)
            yield from (("==", ("field", each.name), none), ("!=", ("field", each.name), none))
        if each.type[0] == "bool":
            yield from (("field", each.name), ("not", ("field", each.name)))


def _pairs(table: Table, entity: shape.Entity) -> Iterator[Expr]:
    numbers = [each for each in entity.fields if _number(each.type)]
    if len(numbers) > FIELDS_MAX:
        return
    for a, b in combinations(numbers, 2):
        if field_type(table, entity.name, a.name)[0] == field_type(table, entity.name, b.name)[0]:
            yield from ((op, ("field", a.name), ("field", b.name)) for op in ("<", "<=", "==", ">=", ">"))


def inductive(terms: Terms, steps: Sequence[Path], believed: Believed, rlimit: int) -> Believed:
    """Return what is left of `believed` once nothing of it can be broken by a step from where all of it holds."""
    kept = {state: list(conditions) for state, conditions in believed.items()}
    # Creation first: what does not hold there falls without a thought.
    order = sorted(steps, key=lambda path: path.before != NEW)
    waiting = list(order)
    while waiting:
        path = waiting.pop(0)
        fallen = _broken(terms, path, kept, rlimit)
        if not fallen:
            continue
        kept[path.after] = [e for e in kept[path.after] if e not in fallen]
        for other in order:
            # What rested on the fallen has to be asked again.
            if other.before == path.after and other not in waiting:
                waiting.append(other)
        waiting.append(path)
    return kept


def facts_before(terms: Terms, path: Path, kept: Mapping[str, Sequence[Expr]]) -> list[Term]:
    """Return what is known before a path is taken."""
    if path.before == NEW:
        return []
    return [terms.term(e, path.scene) for e in kept.get(path.before, ())]


def _broken(terms: Terms, path: Path, kept: Believed, rlimit: int) -> list[Expr]:
    goals = kept.get(path.after, [])
    if not goals:
        return []
    after = path.scene_after()
    asked = [(e, terms.term(e, after)) for e in goals]
    known = [path.condition, *facts_before(terms, path, kept)]
    found, model = search(terms, [*known, z3.Not(terms.both(term for _, term in asked))], rlimit)
    if found is Found.NONE:
        return []
    if model is not None:
        fallen = [e for e, term in asked if z3.is_false(model.eval(term, model_completion=True))]
        if fallen:
            return fallen
    # The solver gave up on all of them together: ask for each, and leave out what a model shows to fall with it.
    fallen, left = [], list(asked)
    while left:
        e, term = left.pop(0)
        found, model = search(terms, [*known, z3.Not(term)], rlimit)
        if found is Found.NONE:
            continue
        fallen.append(e)
        if model is not None:
            lost = [o for o, other in left if z3.is_false(model.eval(other, model_completion=True))]
            fallen += lost
            left = [(o, other) for o, other in left if o not in lost]
    return fallen
