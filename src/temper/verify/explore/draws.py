"""Which values the search gives to parameters and results, and how much of the type they are.

Small types are drawn whole. Of a large number the search takes the ends, what the table compares it with or sets it to,
and what lies one beside those; of strings those that the table names and as many others as it can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, combinations, islice, product
from typing import Any

from temper.table import Table, Type, Value, decode, shape
from temper.verify.explore.cone import Cone, literals, uses
from temper.verify.expressions import walk

# Types with no more values than this are drawn whole.
WHOLE_MAX = 8
# How many values are drawn of one type, and how many combinations for one action.
VALUES_MAX = 12
COMBINATIONS_MAX = 144
# Of an int that is open at an end, the search goes so far past the numbers that the table names.
OPEN_SPAN = 4


@dataclass(frozen=True, slots=True)
class Draw:
    """The values drawn of one type. `whole`: they are all that there are, as far as the table can tell."""

    values: tuple[Value, ...]
    whole: bool


class Draws:
    """What is drawn for one entity."""

    def __init__(self, table: Table, entity: shape.Entity, principals: Sequence[str]) -> None:
        self._table = table
        self._entity = entity
        self._principals = tuple(principals)
        self._numbers: set[int | Decimal] = {0, 1}
        self._texts: set[str] = set()
        self._durations: set[int] = set()
        for type_, json in literals(table, entity):
            self._note(type_, decode(type_, json, records=table.records))
        for each in entity.fields:
            self._ends(each.type)
        self._strings_met = _strings_meet(table, entity)
        self.partial: dict[str, str] = {}
        """What was not drawn whole, in words, by the name of what was drawn."""

    def _note(self, type_: Type, value: Any) -> None:
        match type_[0]:
            case "int" | "decimal":
                self._numbers.add(value)
            case "duration":
                self._durations.add(value)
            case "string":
                self._texts.add(value)
            case _:
                pass

    def _ends(self, type_: Type) -> None:
        match type_:
            case ("int", low, high):
                self._numbers |= {end for end in (low, high) if end is not None}
            case ("optional", inner):
                self._ends(inner)
            case _:
                pass

    def open_range(self, type_: Type) -> tuple[int, int]:
        """Return how far the search follows an int (or the whole part of a decimal) that is open at an end."""
        low, high = type_[1], type_[2]
        near = [int(n) for n in self._numbers if -1_000 <= n <= 1_000]
        least = int(Decimal(low)) if low is not None else min(near, default=0) - OPEN_SPAN
        most = int(Decimal(high)) if high is not None else max([*near, least]) + OPEN_SPAN
        return least, most

    def of(self, type_: Type) -> Draw:
        """Return what is drawn of a type."""
        match type_:
            case ("bool",):
                return Draw((False, True), whole=True)
            case ("one_of", values):
                return Draw(tuple(values), whole=True)
            case ("int", low, high):
                return self._int(low, high)
            case ("decimal", low, high):
                return self._decimal(low, high)
            case ("string",):
                fresh = ("x", "y") if self._strings_met else ("x",)
                return Draw((*fresh, *sorted(self._texts - set(fresh))[:VALUES_MAX]), whole=False)
            case ("time",):
                return Draw((0,), whole=True)  # How times compare is drawn by itself.
            case ("duration",):
                near = {d + by for d in self._durations for by in (-1, 0, 1)} | {0, 60_000}
                return Draw(tuple(sorted(d for d in near if d >= 0))[:VALUES_MAX], whole=False)
            case ("principal",):
                return Draw(self._principals, whole=False)
            case ("ref", entity):
                return Draw((f"{entity[:1].lower()}1", f"{entity[:1].lower()}2"), whole=False)
            case ("optional", inner):
                drawn = self.of(inner)
                return Draw((None, *drawn.values), drawn.whole)
            case ("record", name):
                parts = [self.of(part.type) for part in self._table.records[name]]
                made, cut = _cut(product(*(part.values for part in parts)), COMBINATIONS_MAX // 4)
                return Draw(tuple(made), not cut and all(part.whole for part in parts))
            case ("set", inner, size):
                return self._set(inner, size)
            case ("list", inner, size):
                some = self.of(inner).values[:2]
                most = min(2, size if size is not None else 2)
                return Draw(tuple(chain.from_iterable(product(some, repeat=n) for n in range(most + 1))), whole=False)
            case ("map", key, inner, size):
                keys, values = self.of(key).values[:2], self.of(inner).values[:2]
                one = [((k, v),) for k in keys for v in values] if size != 0 else []
                return Draw(((), *one), whole=False)
            case _:
                raise AssertionError(f"a type that is none: {type_!r}")

    def _int(self, low: int | None, high: int | None) -> Draw:
        if low is not None and high is not None and high - low < WHOLE_MAX:
            return Draw(tuple(range(low, high + 1)), whole=True)
        least, most = self.open_range(("int", low, high))
        numbers = {int(n) for n in self._numbers if n == int(n)} | {least, most}
        near = {n + by for n in numbers for by in (-1, 0, 1)}
        inside = sorted(n for n in near if least <= n <= most)
        drawn = tuple(_spread(inside, VALUES_MAX))
        # What the table names may be all that there is.
        return Draw(drawn, whole=low is not None and high is not None and len(drawn) == high - low + 1)

    def _decimal(self, low: str | None, high: str | None) -> Draw:
        least, most = self.open_range(("decimal", low, high))
        first = Decimal(low) if low is not None else Decimal(least)
        last = Decimal(high) if high is not None else Decimal(most)
        numbers = {Decimal(n) for n in self._numbers} | {first, last, Decimal("0.5")}
        near = {n + by for n in numbers for by in (Decimal(-1), Decimal(0), Decimal("0.01"), Decimal(1))}
        inside = sorted(n for n in near if first <= n <= last)
        return Draw(tuple(_spread(inside, VALUES_MAX)), whole=False)

    def _set(self, inner: Type, size: int | None) -> Draw:
        drawn = self.of(inner)
        most = min(len(drawn.values), size if size is not None else len(drawn.values))
        if drawn.whole and len(drawn.values) <= 4:
            subsets = chain.from_iterable(combinations(drawn.values, n) for n in range(most + 1))
            return Draw(tuple(frozenset(items) for items in subsets), whole=True)
        some = drawn.values[:3]
        subsets = chain.from_iterable(combinations(some, n) for n in range(min(most, 2) + 1))
        return Draw(tuple(frozenset(items) for items in subsets), whole=False)

    def named(self, where: str, name: str, type_: Type, *, matters: bool) -> Draw:
        """Return what is drawn for something with a name; one value where it makes no difference."""
        if not matters:
            return Draw((self.plain(name, type_),), whole=True)
        drawn = self.of(type_)
        if not drawn.whole:
            self.partial[f"{where}.{name}"] = _words(type_, drawn.values)
        return drawn

    def plain(self, name: str, type_: Type) -> Value:
        """Return a value for something that makes no difference; a string is named after what it is for."""
        match type_:
            case ("string",):
                return name[:1]
            case ("optional", inner):
                return None if inner[0] != "string" else name[:1]
            case ("int", low, high) | ("decimal", low, high):
                value = low if low is not None else min(0, high) if isinstance(high, int) else 0
                return Decimal(value) if type_[0] == "decimal" else value
            case _:
                return self.of(type_).values[0]

    def combinations(
        self, params: Iterable[shape.Param], mattering: frozenset[str], where: str
    ) -> list[dict[str, Value]]:
        """Return the parameters of one action in every combination that is drawn."""
        named = [(p.name, self.named(where, p.name, p.type, matters=p.name in mattering)) for p in params]
        made, cut = _cut(product(*(draw.values for _, draw in named)), COMBINATIONS_MAX)
        if cut:
            self.partial[where] = f"the first {COMBINATIONS_MAX} combinations of its parameters"
        return [dict(zip((name for name, _ in named), values, strict=True)) for values in made]


def _cut(values: Iterable[tuple[Value, ...]], most: int) -> tuple[list[tuple[Value, ...]], bool]:
    found = list(islice(values, most + 1))
    return found[:most], len(found) > most


def _spread(values: list[Any], most: int) -> Iterator[Any]:
    """At most so many of a sorted list, its ends among them."""
    if len(values) <= most:
        yield from values
        return
    yield from values[: most // 2]
    yield from values[-(most - most // 2) :]


def _words(type_: Type, values: tuple[Value, ...]) -> str:
    if type_[0] in {"int", "decimal"}:
        return ", ".join(str(value) for value in values)
    return f"{len(values)} values"


def _strings_meet(table: Table, entity: shape.Entity) -> bool:
    """Say whether two strings that are not literals are ever compared: then two different ones are needed."""
    for use in uses(table, entity):
        for part in walk(use.expr):
            if part[0] in {"==", "!=", "in"} and part[1][0] != "lit" and part[2][0] != "lit":
                return True
    return bool(
        any(
            part[0] in {"==", "!=", "in"}
            for each in table.properties
            if isinstance(each, shape.Always)
            for part in walk(each.condition)
        )
    )


def scoped_of(table: Table, entity: shape.Entity, cone: Cone, draws: Draws) -> Mapping[str, tuple[int, int, bool]]:
    """Return how far the search follows each number: what `scope` says, or a default where the type is open."""
    found: dict[str, tuple[int, int, bool]] = {}
    for each in entity.fields:
        inner = each.type[1] if each.type[0] == "optional" else each.type
        if each.name in cone.fields and inner[0] in {"int", "decimal"} and None in inner[1:]:
            low, high = draws.open_range(inner)
            found[each.name] = (low, high, False)
    for item in table.scope:
        if item.entity == entity.name and item.field is not None:
            low, high = found.get(item.field, (-(10**9), 10**9, False))[:2]
            found[item.field] = (
                item.low if item.low is not None else low,
                item.high if item.high is not None else high,
                True,
            )
    return found
