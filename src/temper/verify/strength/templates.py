"""Properties that could be worth having, by the shape of an entity: what never goes back, what holds in a state, what
comes before what. Whether one holds is another question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from temper.table import Expr, shape
from temper.table import Type as FieldType
from temper.verify.expressions import walk

NUMBERS = frozenset({"int", "decimal"})
# Values of a field that are compared with: a field that has many says nothing by one of them.
CONSTANTS_MAX = 6
# A property that names more states than this says little.
STATES_MAX = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """An `always`, by its condition. `size` is how much there is to read.

    `meant` where an author has written it with a part more: then it is no coincidence that it holds.
    """

    condition: Expr
    step: bool
    meant: bool = False

    @property
    def size(self) -> int:
        """Return the number of its parts."""
        return sum(1 for _ in walk(self.condition))


def facts(entity: shape.Entity, fields: Iterable[str], values: Callable[[str], set[object]]) -> list[Expr]:
    """Return what could hold of fields in some state. `values` are those that a field was seen to have, encoded."""
    names = set(fields)
    found: list[Expr] = []
    kept = [each for each in entity.fields if each.name in names]
    for each in kept:
        found.extend(_alone(each.name, each.type, values(each.name)))
    for a in kept:
        for b in kept:
            found.extend(_pair(a, b))
    return found


def _alone(name: str, type_: FieldType, seen: set[object]) -> Iterator[Expr]:
    e: Expr = ("field", name)
    match type_:
        case ("optional", _):
            yield ("==", e, ("none", type_))
            yield ("!=", e, ("none", type_))
        case ("bool",):
            yield e
            yield ("not", e)
        case ("one_of", _):
            if len(seen) <= CONSTANTS_MAX:
                for value in sorted(map(str, seen)):
                    yield ("==", e, ("lit", type_, value))
                    yield ("!=", e, ("lit", type_, value))
        case ("int", low, high):
            numbers = sorted(value for value in seen if isinstance(value, int))
            for number in {*(numbers if len(numbers) <= CONSTANTS_MAX else ()), low, high, 0} - {None}:
                yield ("==", e, ("lit", ("int", None, None), number))
                if number == low or (low is None and number == 0):
                    yield (">", e, ("lit", ("int", None, None), number))
                if number == high:
                    yield ("<", e, ("lit", ("int", None, None), number))
            # Only where the values leave room: what the type says need not be said again.
            if numbers and (high is None or numbers[-1] < high):
                yield ("<=", e, ("lit", ("int", None, None), numbers[-1]))
            if numbers and (low is None or numbers[0] > low):
                yield (">=", e, ("lit", ("int", None, None), numbers[0]))
        case ("set" | "list", *_):
            yield ("==", ("size", e), ("lit", ("int", None, None), 0))
            yield (">", ("size", e), ("lit", ("int", None, None), 0))
        case _:
            pass


def _pair(a: shape.Field, b: shape.Field) -> Iterator[Expr]:
    x, y = ("field", a.name), ("field", b.name)
    if a.name != b.name and a.type[0] == b.type[0] and a.type[0] in NUMBERS:
        yield ("<=", x, y)
        yield ("<", x, y)
        if a.name < b.name:
            yield ("==", x, y)
    if a.type[0] == "set" and b.type[0] == "int":
        yield ("==", ("size", x), y)
        yield ("<=", ("size", x), y)
    if a.name != b.name and a.type[0] == b.type[0] == "optional":
        here, there = ("==", x, ("none", a.type)), ("==", y, ("none", b.type))
        if a.name < b.name:
            yield ("==", here, there)
        yield ("implies", there, here)
    if a.name != b.name and a.type == b.type == ("bool",):
        yield ("implies", x, y)
    if a.type == ("principal",) and b.type[:2] == ("set", ("principal",)):
        yield ("not", ("in", x, y))


def courses(entity: shape.Entity, fields: Iterable[str]) -> list[Expr]:
    """Return what could hold of every step: what never goes back, or never changes."""
    names = set(fields)
    found: list[Expr] = []
    for each in entity.fields:
        if each.name not in names:
            continue
        e: Expr = ("field", each.name)
        before = ("before", e)
        found.append(("==", e, before))
        if each.type[0] in NUMBERS:
            found += [("<=", before, e), ("<=", e, before)]
            if each.type[0] == "int":
                found.append(("<=", e, ("+", before, ("lit", ("int", None, None), 1))))
        elif each.type[0] == "bool":
            found.append(("implies", before, e))
        elif each.type[0] in {"set", "list"}:
            found.append(("<=", ("size", before), ("size", e)))
        elif each.type[0] == "optional":
            none = ("none", each.type)
            found.append(("implies", ("!=", before, none), ("!=", e, none)))
    return found


def comes(entity: shape.Entity, steps: Iterable[tuple[str, str]]) -> Iterator[Candidate]:
    """Yield what comes before each state, where that is few: `state is B implies before(state is A)`."""
    earlier: dict[str, set[str]] = {}
    for before, after in steps:
        earlier.setdefault(after, set()).add(before)
    for state in entity.states:
        those = tuple(each for each in entity.states if each in earlier.get(state, ()))
        if 0 < len(those) <= STATES_MAX:
            come: Expr = ("before", ("in_state", those))
            yield Candidate(("implies", ("in_state", (state,)), come), step=True)


def stronger(e: Expr) -> Iterator[Expr]:
    """Yield what a condition says with one part left out, so that it says more."""
    match e:
        case ("or", a, b):
            yield a
            yield b
            yield from (("or", part, b) for part in stronger(a))
            yield from (("or", a, part) for part in stronger(b))
        case ("and", a, b):
            yield from (("and", part, b) for part in stronger(a))
            yield from (("and", a, part) for part in stronger(b))
        case ("implies", a, b):
            yield from (("implies", part, b) for part in _weaker(a))
            yield from (("implies", a, part) for part in stronger(b))
        case _:
            return


def _weaker(e: Expr) -> Iterator[Expr]:
    """Yield what a condition says with one part left out, so that it says less."""
    match e:
        case ("and", a, b):
            yield a
            yield b
            yield from (("and", part, b) for part in _weaker(a))
            yield from (("and", a, part) for part in _weaker(b))
        case ("or", a, b):
            yield from (("or", part, b) for part in _weaker(a))
            yield from (("or", a, part) for part in _weaker(b))
        case _:
            return
