"""What may be so of several entities: facts, of each entity of a kind or of the whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from typing import TypeAlias

from msgspec import Struct

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import all_clauses, guards
from temper.verify.expressions import COMPARISONS, Names, conjuncts, names_in, type_of, walk, without_lets
from temper.verify.properties import asked_alone

Fact: TypeAlias = tuple[str | None, Expr]
"""What holds of every entity of a kind, or (`None`) of the whole."""

# What is guessed at, at most: a page of a blueprint stays far below it.
FACTS_MAX = 96
_SAID_OF_STATES = frozenset(
    """
    lit none some value to_decimal field let id this read read_in not and or implies if == != < <= > >= in ?? + - * // %
    concat union minus intersect size min max dot get set list map record neg in_state
    """.split()
)


class Asked(Struct, frozen=True):
    """A property of several entities: of each of a kind, or of the whole."""

    index: int
    entity: str | None
    condition: Expr
    step: bool
    reads_before: bool
    site: str

    @property
    def fact(self) -> Fact:
        """Return it as what is to be shown."""
        return self.entity, self.condition


def asks_several(table: Table) -> bool:
    """Say whether there is anything to ask of several entities at once: a property of theirs, or one of those who take
    others along."""
    if asked_together(table):
        return True
    clauses = [clause for entity in table.entities.values() for _, clause in all_clauses(entity)]
    return any(isinstance(each, shape.With | shape.Create) for each in clauses) and bool(asked_alone(table))


def asked_together(table: Table, unproved: Collection[int] = ()) -> list[Asked]:
    """Return the `always` properties that speak of several entities, and those `unproved` of one alone."""
    alone = asked_alone(table)
    found = []
    for index, each in enumerate(table.properties):
        if not isinstance(each, shape.Always):
            continue
        if index in alone:
            one = alone[index]
            if index in unproved:
                found.append(Asked(index, one.entity, one.condition, one.step, one.reads_before, one.site))
            continue
        names = Names(table, table.entities[each.entity] if each.entity is not None else None)
        condition = without_lets(each.condition, names)
        found.append(Asked(index, each.entity, condition, each.step, each.reads_before, each.site))
    return found


def candidates(table: Table, asked: Sequence[Asked]) -> list[Fact]:
    """Return what may hold: the properties, that references lead somewhere, and what guards say, state by state."""
    found: dict[Fact, None] = {each.fact: None for each in asked if not each.step}
    for entity in table.entities.values():
        for name, kind in references(entity):
            found.setdefault((entity.name, there(table, name, kind)))
    for entity in table.entities.values():
        said = dict.fromkeys(_said(table, entity, [each.condition for each in asked if each.entity == entity.name]))
        for state in entity.states:
            for e in said:
                found.setdefault((entity.name, ("implies", ("in_state", (state,)), e)))
    return list(found)[:FACTS_MAX]


def references(entity: shape.Entity) -> Iterator[tuple[str, Type]]:
    """The fields that refer to an entity, with their types."""
    for each in entity.fields:
        if each.type[0] == "ref" or (each.type[0] == "optional" and each.type[1][0] == "ref"):
            yield each.name, each.type


def there(table: Table, name: str, kind: Type) -> Expr:
    """Return that a reference, if it is one, leads somewhere."""
    own: Expr = ("field", name)
    if kind[0] == "ref":
        return ("read_in", own, kind[1], table.entities[kind[1]].states)
    other = kind[1][1]
    leads: Expr = ("read_in", ("value", own), other, table.entities[other].states)
    return ("or", ("==", own, ("none", kind)), leads)


def _said(table: Table, entity: shape.Entity, properties: Sequence[Expr]) -> Iterator[Expr]:
    """What the entity's guards and properties ask of others, and its references' states."""
    conditions = list(properties)
    for action in entity.actions.values():
        for case in action.cases:
            names = names_in(table, entity, action, case)
            conditions += [without_lets(guard.condition, names) for guard in guards(action, case)]
    names = names_in(table, entity)
    for condition in conditions:
        for part in (*conjuncts(condition), *walk(condition)):
            if not _of_states(part) or not any(each[0] in {"read", "read_in"} for each in walk(part)):
                continue
            if part[0] in COMPARISONS and type_of(part[1], names)[0] in {"int", "decimal", "duration", "time"}:
                yield from ((op, part[1], part[2]) for op in ("<", "<=", "==", ">=", ">"))
            elif part[0] in COMPARISONS | {"read_in"} or type_of(part, names) == ("bool",):
                yield part
                yield ("not", part)
    for name, kind in references(entity):
        if kind[0] == "ref":
            for state in table.entities[kind[1]].states:
                yield ("read_in", ("field", name), kind[1], (state,))
                if len(table.entities[kind[1]].states) > 2:
                    yield ("not", ("read_in", ("field", name), kind[1], (state,)))
    owned = [name for name, kind in references(entity) if kind[0] == "ref"]
    yield from (("!=", ("field", a), ("field", b)) for a, b in combinations(owned, 2))


def _of_states(e: Expr) -> bool:
    return all(part[0] in _SAID_OF_STATES for part in walk(e))


def plain(table: Table, fact: Fact, goals: Sequence[Fact]) -> bool:
    """Say whether a fact is a property, or no more than that a reference leads somewhere."""
    entity, condition = fact
    if fact in goals or entity is None:
        return fact in goals
    return any(condition == there(table, name, kind) for name, kind in references(table.entities[entity]))
