"""Guesses at invariants, from samples: what is true of all the states that were met may be true of all there are.

Equations between numbers come from exact linear algebra over the samples; bounds, comparisons, remainders and
implications are tried one by one. All are guesses: `inductive` keeps those that steps keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, permutations
from math import lcm

from temper.table import Expr, Snapshot, Table, encode, evaluate, shape
from temper.verify.expressions import INT, in_one_state
from temper.verify.symbolic.linear import relation
from temper.verify.symbolic.samples import holds

# An equation whose numbers are larger than this comes from too few samples.
COEFFICIENT_MAX = 12
NUMBERS_MAX = 8
GUESSES_MAX = 160
_KINDS = ("int", "decimal", "duration")


def mine(table: Table, entity: shape.Entity, samples: Sequence[Snapshot]) -> dict[str, list[Expr]]:
    """Return what holds of all samples in a state, by state; none for a state that has no sample."""
    everywhere = list(_guesses(table, entity, samples))
    found: dict[str, list[Expr]] = {}
    for state in entity.states:
        here = [now for now in samples if now.state == state]
        if not here:
            continue
        guesses = dict.fromkeys([*_equations(table, entity, here), *_constants(table, entity, here), *everywhere])
        kept = [e for e in guesses if all(holds(table, now, e) for now in here)]
        found[state] = [in_one_state(e, state) for e in kept[:GUESSES_MAX]]
    return found


def _numbers(entity: shape.Entity, kind: str) -> list[Expr]:
    """The entity's numbers of one kind: its fields, and how many its collections hold."""
    found: list[Expr] = [("field", each.name) for each in entity.fields if each.type[0] == kind]
    if kind == "int":
        found += [("size", ("field", each.name)) for each in entity.fields if each.type[0] in {"set", "list", "map"}]
    return found[:NUMBERS_MAX]


def _value(table: Table, e: Expr, now: Snapshot) -> Fraction:
    value = evaluate(table, now.entity, e, now)
    assert isinstance(value, int | Decimal), "a number is one"
    return Fraction(value)


# --- equations --------------------------------------------------------------------------------------------------------


def _equations(table: Table, entity: shape.Entity, samples: Sequence[Snapshot]) -> Iterator[Expr]:
    """The equations between numbers that all samples satisfy, as few as say all of them."""
    for kind in _KINDS:
        numbers = _numbers(entity, kind)
        if len(numbers) < 2:
            continue
        rows = [[*(_value(table, e, now) for e in numbers), Fraction(1)] for now in samples]
        for coefficients in null_space(rows):
            equation = _equation(kind, numbers, coefficients)
            if equation is not None:
                yield equation


def null_space(rows: Sequence[Sequence[Fraction]]) -> list[list[Fraction]]:
    """Return a basis of the vectors whose product with every row is zero."""
    width = len(rows[0])
    reduced: list[list[Fraction]] = []
    pivots: list[int] = []
    for row in rows:
        left = list(row)
        for pivot, known in zip(pivots, reduced, strict=True):
            if left[pivot]:
                left = [a - left[pivot] * b for a, b in zip(left, known, strict=True)]
        first = next((index for index, value in enumerate(left) if value), None)
        if first is None:
            continue
        left = [value / left[first] for value in left]
        reduced = [
            [a - known[first] * b for a, b in zip(known, left, strict=True)] if known[first] else known
            for known in reduced
        ]
        reduced.append(left)
        pivots.append(first)
        if len(pivots) == width:
            return []
    free = [index for index in range(width) if index not in pivots]
    basis = []
    for index in free:
        vector = [Fraction(0)] * width
        vector[index] = Fraction(1)
        for pivot, known in zip(pivots, reduced, strict=True):
            vector[pivot] = -known[index]
        basis.append(vector)
    return basis


def _equation(kind: str, numbers: Sequence[Expr], coefficients: Sequence[Fraction]) -> Expr | None:
    """Return the equation that says that this product is zero, unless it looks like an accident."""
    scale = lcm(*(c.denominator for c in coefficients))
    terms = {e: c for e, c in zip(numbers, coefficients[:-1], strict=True) if c}
    if len(terms) < 2 or any(abs(c * scale) > COEFFICIENT_MAX for c in terms.values()):
        return None
    return relation("==", kind, terms, coefficients[-1])


# --- the rest ---------------------------------------------------------------------------------------------------------


def _constants(table: Table, entity: shape.Entity, samples: Sequence[Snapshot]) -> Iterator[Expr]:
    """What each number is at least and at most, what fields have but one value, and what sums come to."""
    for kind in _KINDS:
        numbers = _numbers(entity, kind)
        values = {e: [_value(table, e, now) for now in samples] for e in numbers}
        one = Fraction(1)
        found = []
        for e, seen in values.items():
            found += [relation(">=", kind, {e: one}, -min(seen)), relation("<=", kind, {e: one}, -max(seen))]
        for a, b in combinations(numbers, 2):
            sums = [x + y for x, y in zip(values[a], values[b], strict=True)]
            differences = [x - y for x, y in zip(values[a], values[b], strict=True)]
            found.append(relation("<=", kind, {a: one, b: one}, -max(sums)))
            found.append(relation("<=", kind, {a: one, b: -one}, -max(differences)))
            found.append(relation(">=", kind, {a: one, b: -one}, -min(differences)))
        yield from (e for e in found if e is not None)
    for each in entity.fields:
        values_of = {now.fields[each.name] for now in samples}
        if len(values_of) == 1 and each.type[0] not in {"optional", "list", "map"}:
            (value,) = values_of
            yield ("==", ("field", each.name), ("lit", each.type, _frozen(encode(each.type, value))))


def _frozen(json: object) -> object:
    return tuple(_frozen(part) for part in json) if isinstance(json, list) else json


def _guesses(table: Table, entity: shape.Entity, samples: Sequence[Snapshot]) -> Iterator[Expr]:
    """What may hold in every state: comparisons of up to three numbers, remainders, and what implies what."""
    for kind in _KINDS:
        numbers = _numbers(entity, kind)
        for a, b in permutations(numbers, 2):
            yield ("<=", a, b)
        if len(numbers) <= 5:
            for a, b in combinations(numbers, 2):
                yield from (("<=", ("+", a, b), c) for c in numbers if c not in (a, b))
                yield from (("<=", c, ("+", a, b)) for c in numbers if c not in (a, b))
        if kind == "int":
            for e in numbers:
                for n in (2, 3):
                    left = {int(_value(table, e, now)) % n for now in samples}
                    if len(left) == 1:
                        yield ("==", ("%", e, ("lit", INT, n)), ("lit", INT, left.pop()))
    atoms = list(_atoms(entity))
    for a, b in permutations(atoms, 2):
        if _field(a) != _field(b):
            yield ("implies", a, b)


def _field(atom: Expr) -> object:
    while atom[0] != "field":
        atom = atom[1]
    return atom[1]


def _atoms(entity: shape.Entity) -> Iterator[Expr]:
    """What can be said of one field in a few words."""
    for each in entity.fields:
        e: Expr = ("field", each.name)
        match each.type:
            case ("bool",):
                yield e
                yield ("not", e)
            case ("one_of", values) if len(values) <= 4:
                yield from (("==", e, ("lit", each.type, value)) for value in values)
                yield from (("!=", e, ("lit", each.type, value)) for value in values if len(values) > 2)
            case ("optional", _):
                yield ("==", e, ("none", each.type))
                yield ("!=", e, ("none", each.type))
            case ("int", _, _):
                yield ("==", e, ("lit", INT, 0))
                yield (">", e, ("lit", INT, 0))
            case _:
                pass


def false_in(table: Table, samples: Iterable[Snapshot], condition: Expr) -> Snapshot | None:
    """Return the first sample in which a condition does not hold."""
    return next((now for now in samples if holds(table, now, condition) is False), None)
