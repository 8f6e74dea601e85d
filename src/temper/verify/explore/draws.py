"""Which values the search gives to parameters and results, and how much of the type they are.

Small types are drawn whole. Of a large number the search takes the ends, what the table compares it with or sets it to,
and what lies one beside those; of strings those that the table names and as many others as it can tell apart; of
collections one of each size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, combinations, cycle, islice, product
from typing import Any

from msgspec import Struct

from temper.table import Table, Type, Value, decode, shape
from temper.verify.clauses import all_clauses
from temper.verify.explore.cone import Cone, literals, uses
from temper.verify.expressions import walk

# Types with no more values than this are drawn whole.
WHOLE_MAX = 8
# How many values are drawn of one type, and how many combinations for one action.
VALUES_MAX = 12
COMBINATIONS_MAX = 144
# Of an int that is open at an end, the search goes so far past the numbers that the table names.
OPEN_SPAN = 4
# As far as a field is followed that is counted up or down, and one that is only set.
COUNTED_MAX = 1_000
SET_MAX = 1_000_000
# How many strings are drawn that the table does not name, and up to which size one collection of each.
FRESH_MAX = 4
PRINCIPALS_MAX = 4
COUNTED_PRINCIPALS_MAX = 6
COLLECTION_MAX = 8


class Draw(Struct, frozen=True):
    """The values drawn of one type. `whole`: they are all that there are, as far as the table can tell."""

    values: tuple[Value, ...]
    whole: bool


class Draws:
    """What is drawn for one entity."""

    def __init__(self, table: Table, entity: shape.Entity, principals: Sequence[str], *, count: int = 2) -> None:
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
        self._strings = _strings_apart(table, entity, count)
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

    def open_range(self, type_: Type, *, counted: bool = True) -> tuple[int, int]:
        """Return how far the search follows an int (or the whole part of a decimal) that is open at an end.

        One that is `counted` up or down would have as many states as there are numbers up to the largest that is named.
        """
        low, high = type_[1], type_[2]
        far = COUNTED_MAX if counted else SET_MAX
        near = [int(n) for n in self._numbers if -far <= n <= far]
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
                fresh = tuple("xyzw"[: self._strings])
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
                values = self.of(inner).values
                most = min(2, size if size is not None else 2)
                short = chain.from_iterable(product(values[:2], repeat=n) for n in range(most + 1))
                long = (tuple(islice(cycle(values), n)) for n in _sizes(most, size))
                return Draw((*short, *long), whole=False)
            case ("map", key, inner, size):
                keys, values = self.of(key).values, self.of(inner).values[:2]
                one = [((k, v),) for k in keys[:2] for v in values] if size != 0 else []
                more = (tuple((k, values[0]) for k in keys[:n]) for n in _sizes(1, size) if n <= len(keys))
                return Draw(((), *one, *more), whole=False)
            case _:
                raise AssertionError(f"a type that is none: {type_!r}")

    def _int(self, low: int | None, high: int | None) -> Draw:
        if low is not None and high is not None and high - low < WHOLE_MAX:
            return Draw(tuple(range(low, high + 1)), whole=True)
        least, most = self.open_range(("int", low, high), counted=False)
        numbers = {int(n) for n in self._numbers if n == int(n)} | {least, most}
        near = {n + by for n in numbers for by in (-1, 0, 1)}
        inside = sorted(n for n in near if least <= n <= most)
        drawn = tuple(_spread(inside, numbers))
        # What the table names may be all that there is.
        return Draw(drawn, whole=low is not None and high is not None and len(drawn) == high - low + 1)

    def _decimal(self, low: str | None, high: str | None) -> Draw:
        least, most = self.open_range(("decimal", low, high), counted=False)
        first = Decimal(low) if low is not None else Decimal(least)
        last = Decimal(high) if high is not None else Decimal(most)
        numbers = {Decimal(n) for n in self._numbers} | {first, last, Decimal("0.5")}
        near = {n + by for n in numbers for by in (Decimal(-1), Decimal(0), Decimal("0.01"), Decimal(1))}
        inside = sorted(n for n in near if first <= n <= last)
        return Draw(tuple(_spread(inside, numbers)), whole=False)

    def _set(self, inner: Type, size: int | None) -> Draw:
        drawn = self.of(inner)
        most = min(len(drawn.values), size if size is not None else len(drawn.values))
        if drawn.whole and len(drawn.values) <= 4:
            subsets = chain.from_iterable(combinations(drawn.values, n) for n in range(most + 1))
            return Draw(tuple(frozenset(items) for items in subsets), whole=True)
        some = drawn.values[:3]
        small = chain.from_iterable(combinations(some, n) for n in range(min(most, 2) + 1))
        large = (drawn.values[:n] for n in _sizes(2, most))
        return Draw(tuple(frozenset(items) for items in chain(small, large)), whole=False)

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


def _spread(values: list[Any], named: Collection[Any]) -> Iterator[Any]:
    """At most `VALUES_MAX` of a sorted list: the ends, what is named, what lies above it, the rest; in order."""
    ends = [*values[:1], *values[-1:]]
    inner = [n for n in values if n in named]
    above = [n for n in values if n not in named and n - 1 in named]
    chosen = list(dict.fromkeys([*ends, *inner, *above, *values]))
    yield from sorted(chosen[:VALUES_MAX])


def _sizes(drawn: int, most: int | None) -> range:
    """Return the sizes of which one collection is drawn each, beyond those of which all are."""
    return range(drawn + 1, min(most if most is not None else COLLECTION_MAX, COLLECTION_MAX) + 1)


def _words(type_: Type, values: tuple[Value, ...]) -> str:
    if type_[0] in {"int", "decimal"}:
        return ", ".join(str(value) for value in values)
    return f"{len(values)} values"


def _strings_apart(table: Table, entity: shape.Entity, count: int) -> int:
    """Return how many strings that it does not name a table can tell apart, up to a bound.

    One will do where none that is no literal is ever compared. Else it takes as many as an entity can hold, and where
    no two may agree (`unique`, `key`, properties about all of them) as many as there are entities: `count`, or what
    `scope` says where that is more.
    """
    # A collection is left where it gets one more than it can hold.
    held = sum(_texts_held(each.type) for each in entity.fields)
    params = max((sum(_holds_text(p.type) for p in action.params) for action in entity.actions.values()), default=0)
    several = any(
        part[0] == "every"
        for each in table.properties
        if isinstance(each, shape.Always)
        for part in walk(each.condition)
    )
    unique = {name for rule in entity.uniques for name in rule.fields} | set(entity.key)
    apart = several or any(_holds_text(each.type) for each in entity.fields if each.name in unique)
    scoped = [item.count for item in table.scope if item.entity == entity.name and item.count is not None]
    count = max([count, *scoped]) if apart else 1
    if not apart and not _strings_meet(table, entity) and not any(_collects_text(each.type) for each in entity.fields):
        return 1
    return max(2, min(FRESH_MAX, max(held, params, 1) * count))


def principals_of(table: Table, counts: Mapping[str, int], cones: Mapping[str, Cone]) -> tuple[str, ...]:
    """Return as many principals as so many of each entity can tell apart, up to a bound: those whom they hold, and
    those whom a request brings beside them. These are the caller, who is behind it, and whom its parameters name.
    """
    held, given = 0, 0
    for name, count in counts.items():
        entity, cone = table.entities[name], cones[name]
        held += count * sum(_named(table, each.type) for each in entity.fields if each.name in cone.fields)
        for action in entity.actions.values():
            mine = [each.type for each in action.params if (action.name, each.name) in cone.params]
            given = max(given, sum(_named(table, each) for each in mine))
    caller = next(iter(cones.values())).caller
    needed = max((each.count for each in table.properties if isinstance(each, shape.Needs)), default=0)
    apart = held + given + caller.principals + caller.acts_for + (needed if caller.principals else 0)
    counted = max((principals_counted(table, table.entities[name]) for name in counts), default=0)
    texts = {json for name in counts for _, json in literals(table, table.entities[name]) if isinstance(json, str)}
    letter = next((each for each in "pqrst" if not any(text.startswith(each) for text in texts)), "principal_")
    return tuple(f"{letter}{n + 1}" for n in range(max(1, min(PRINCIPALS_MAX, apart), counted)))


def _named(table: Table, type_: Type) -> int:
    """Return in how many places of a type a principal is named, of a collection up to a bound."""
    match type_:
        case ("principal",):
            return 1
        case ("optional", inner):
            return _named(table, inner)
        case ("set" | "list", inner, size):
            # With one more than it holds it can be left, where nothing keeps it from growing.
            return _named(table, inner) * min(size or 1, PRINCIPALS_MAX)
        case ("map", key, inner, *_):
            return _named(table, key) + _named(table, inner)
        case ("record", name):
            return sum(_named(table, part.type) for part in table.records[name])
        case _:
            return 0


def principals_counted(table: Table, entity: shape.Entity) -> int:
    """Return how many principals it takes for a collection of them to be larger than what its size is compared with."""
    most = max((each.type[2] or COLLECTION_MAX for each in entity.fields if _collects_principals(each.type)), default=0)
    exprs = [use.expr for use in uses(table, entity)]
    exprs += [each.condition for each in table.properties if isinstance(each, shape.Always)]
    sizes = [
        literal[2]
        for e in (exprs if most else ())
        for part in walk(e)
        if part[0] in {"==", "!=", "<", "<="} and any(inner[0] in {"size", "count"} for inner in part[1:3])
        for literal in part[1:3]
        if literal[0] == "lit" and isinstance(literal[2], int)
    ]
    return min(most, max(sizes, default=-1) + 1, COUNTED_PRINCIPALS_MAX)


def _collects_principals(type_: Type) -> bool:
    return type_[0] in {"set", "list"} and type_[1] == ("principal",)


def _holds_text(type_: Type) -> bool:
    return type_ in {("string",), ("optional", ("string",))} or _collects_text(type_)


def _texts_held(type_: Type) -> int:
    return min(type_[-1] or 1, FRESH_MAX) + 1 if _collects_text(type_) else int(_holds_text(type_))


def _collects_text(type_: Type) -> bool:
    return type_[0] in {"set", "list", "map"} and type_[1] == ("string",)


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
    counted = {
        clause.field
        for _, clause in all_clauses(entity)
        if isinstance(clause, shape.Set) and ("field", clause.field) in walk(clause.value)
    }
    for each in entity.fields:
        inner = each.type[1] if each.type[0] == "optional" else each.type
        if each.name in cone.fields and inner[0] in {"int", "decimal"} and None in inner[1:]:
            low, high = draws.open_range(inner, counted=each.name in counted)
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
