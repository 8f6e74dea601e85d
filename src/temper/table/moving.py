"""What a step from one table to the next can do to those who live, told from the two tables alone.

Most entities stay as they are written: `carry` gives them back unchanged, whatever their values, and `homeless` has
nothing to say of them. `moving` names the others by kind and state, so that nobody else has to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from temper.table.carry import upgrade_of
from temper.table.reach import watched_fields
from temper.table.table import Always, AnyClause, Call, Entity, For, If, Param, Table, Type, UpgradeEntity

KindState = tuple[str, str]


class Moving(Struct, frozen=True):
    """By kind and state of the old table: who may be another in the new one, who may have no place there."""

    touched: frozenset[KindState] = frozenset()
    """Who is rewritten: `carry` may make another of them."""
    asked: frozenset[KindState] = frozenset()
    """Who is to be asked whether they have a place: all who are touched, and whom a bound or a property may strand."""
    roused: frozenset[KindState] = frozenset()
    """Who has to look at their `whenever`s, though nothing of them is rewritten."""
    indexed: frozenset[str] = frozenset()
    """Kinds whose keys, `unique`s or watched references are others."""
    becomes: dict[KindState, str] = field(default_factory=dict)
    """States that are others."""

    def state(self, kind: str, state: str) -> str:
        """Return the state that a state becomes."""
        return self.becomes.get((kind, state), state)


def moving(old: Table, new: Table, from_version: int | None) -> Moving:
    """Return what a step from `old` to `new` can do; `from_version` is the number of `old`, and finds the `upgrade`.

    Where `old` has a canary, it is what the step can do to either: who is which, `origin` says.
    """
    canary = old.canary
    if canary is None:
        return _moving(old, new, from_version)
    ours, theirs = _moving(old, new, canary.number), _moving(canary.table, new, None)

    def both(own: frozenset[KindState], other: frozenset[KindState]) -> frozenset[KindState]:
        return own | {name for name in other if name[0] in canary.kinds}

    return Moving(
        both(ours.touched, theirs.touched),
        both(ours.asked, theirs.asked),
        both(ours.roused, theirs.roused),
        ours.indexed | (theirs.indexed & set(canary.kinds)),
        ours.becomes,
    )


def _moving(old: Table, new: Table, from_version: int | None) -> Moving:
    touched: set[KindState] = set()
    asked: set[KindState] = set()
    roused: set[KindState] = set()
    indexed: set[str] = set()
    becomes: dict[KindState, str] = {}
    records = any(new.records.get(name) != record for name, record in old.records.items())
    results = any(name not in new.tools or new.tools[name].results != tool.results for name, tool in old.tools.items())
    args = any(name not in new.tools or new.tools[name].params != tool.params for name, tool in old.tools.items())
    everywhere = _properties(old, None) != _properties(new, None)
    lets = any(kind in new.entities and entity.lets != new.entities[kind].lets for kind, entity in old.entities.items())
    for kind, before in old.entities.items():
        after = new.entities.get(kind)
        if after is None:
            asked |= {(kind, state) for state in before.states}
            continue
        upgrade = upgrade_of(new, kind, from_version)
        calls = _calls(before)
        rewritten = records or _written(before) != _written(after) or (args and calls) or _rewrites(upgrade)
        doubted = (
            rewritten
            or everywhere
            or (results and calls)
            or before.fields != after.fields
            or before.lets != after.lets
            or bool(_new_properties(old, new, kind))
            or any(_params(after, name) != action.params for name, action in before.actions.items())
        )
        if _indexed(old, before) != _indexed(new, after) or _moves_what_is_indexed(new, after, upgrade):
            indexed.add(kind)
        if kind in indexed and (after.uniques or after.key):
            doubted = True
        for state in before.states:
            name = (kind, state)
            then = upgrade.becomes.get(state, state) if upgrade else state
            if then != state:
                becomes[name] = then
            moved = rewritten or then != state or _waits(before, state) != _waits(after, then)
            if moved:
                touched.add(name)
            if moved or doubted or then not in after.states:
                asked.add(name)
            if _whenevers(after, then) and (lets or moved or _whenevers(before, state) != _whenevers(after, then)):
                roused.add(name)
    return Moving(frozenset(touched), frozenset(asked), frozenset(roused), frozenset(indexed), becomes)


def upgrade_problems(old: Table, new: Table, number: int) -> tuple[str, ...]:
    """Return what an `upgrade` of `new` from version `number` says of what is not in `old`, which that version is."""
    problems: list[str] = []
    for upgrade in new.upgrades:
        if upgrade.from_version != number:
            continue
        for one in upgrade.entities:
            entity = old.entities.get(one.entity)
            if entity is None:
                problems.append(f"version {number} has no `{one.entity}`, which is new")
                continue
            problems += [
                f"version {number} has no state `{state}` of `{one.entity}`"
                for state in one.becomes
                if state not in entity.states
            ]
            fields = {field.name for field in entity.fields}
            problems += [
                f"version {number} has no field `{name}` of `{one.entity}`" for name in one.drops if name not in fields
            ]
    return tuple(problems)


# --- what is compared -------------------------------------------------------------------------------------------------


def _written(entity: Entity) -> list[tuple[str, Any]]:
    """How fields are written: their order, names and types, without what bounds them."""
    return [(one.name, _unbounded(one.type)) for one in entity.fields]


def _unbounded(type_: Type) -> Any:
    match type_:
        case ("int" | "decimal" as head, *_):
            return (head,)
        case ("one_of", *_):
            return ("one_of",)
        case ("optional", of):
            return ("optional", _unbounded(of))
        case ("set" | "list" as head, of, _):
            return (head, _unbounded(of))
        case ("map", key, worth, _):
            return ("map", _unbounded(key), _unbounded(worth))
        case _:
            return type_


def _rewrites(upgrade: UpgradeEntity | None) -> bool:
    return upgrade is not None and bool(upgrade.sets or upgrade.drops)


def _calls(entity: Entity) -> bool:
    return any(isinstance(clause, Call) for clause in clauses_in(entity))


def clauses_in(entity: Entity) -> Iterator[AnyClause]:
    """Yield every clause of an entity, those within others too."""
    bodies: list[Iterable[AnyClause]] = [action.body for action in entity.actions.values()]
    bodies += [case.body for action in entity.actions.values() for case in action.cases]
    bodies += [body for place in entity.places for body in (place.entry, place.exit)]
    for body in bodies:
        yield from _all(body)


def _all(body: Iterable[AnyClause]) -> Iterator[AnyClause]:
    for clause in body:
        yield clause
        if isinstance(clause, For | If):
            yield from _all(clause.body)


def _params(entity: Entity, action: str) -> tuple[Param, ...] | None:
    found = entity.actions.get(action)
    return None if found is None else found.params


def _properties(table: Table, kind: str | None) -> list[Any]:
    return [
        one.condition for one in table.properties if isinstance(one, Always) and one.entity == kind and not one.step
    ]


def _new_properties(old: Table, new: Table, kind: str) -> list[Any]:
    known = _properties(old, kind)
    return [condition for condition in _properties(new, kind) if condition not in known]


def _indexed(table: Table, entity: Entity) -> object:
    types = {one.name: one.type for one in entity.fields}
    uniques = [(unique.fields, unique.ever, [types[name] for name in unique.fields]) for unique in entity.uniques]
    lasting = any(not unique.ever for unique in entity.uniques)
    return (
        [(name, types[name]) for name in entity.key],
        uniques,
        sorted(entity.final) if lasting else None,  # Whoever is final holds nothing.
        watched_fields(table, entity.name),
    )


def _moves_what_is_indexed(table: Table, entity: Entity, upgrade: UpgradeEntity | None) -> bool:
    if upgrade is None:
        return False
    names = {*entity.key, *(name for unique in entity.uniques for name in unique.fields)}
    names |= {*watched_fields(table, entity.name)}
    changed = {*(one.field for one in upgrade.sets), *upgrade.drops}
    finals = any((was in entity.final) != (now in entity.final) for was, now in upgrade.becomes.items())
    return bool(names & changed) or bool(entity.uniques and (finals or upgrade.becomes))


def _waits(entity: Entity, state: str) -> object:
    """What of the state is carried: its timers, and what it keeps."""
    here = [place for place in entity.places if state in place.states]
    timers = [(timer.site, timer.kind == "every") for place in here for timer in place.timers]
    held = sorted((place.site, name) for place in here for name in place.defer)
    return timers, [one.site for place in here for one in place.whenevers], held


def _whenevers(entity: Entity, state: str) -> list[Any]:
    return [(one.site, one.condition) for place in entity.places if state in place.states for one in place.whenevers]
