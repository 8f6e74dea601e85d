"""A canary: one table in which some entities live by another, the candidate, until it is promoted or withdrawn.

The table in force stays as it is and carries the candidate with it. Which of the two an entity lives by is told from
its kind, its id and its time of creation alone, so that everybody who has the table says the same: of those who were
created since, a share that their ids draw, and the ones that were named before. `live_by` is the one place to ask.

Others would meet both if they could reach one who lives by the candidate, so a canary is for kinds that the candidate
changes and that nobody refers to, creates or finds; they may reach whom they like. What all have in common has to be
the same in both: `apart` says what is not.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from temper.table.events import Snapshot
from temper.table.moving import clauses_in
from temper.table.reach import watched_fields, watches
from temper.table.refs import references_to
from temper.table.table import Canary, Create, Entity, Table, Type

SHARES = 10_000
"""A share is so many of these."""


def live_by(table: Table, kind: str, id: str, created_at: int) -> Table:
    """Return the table by which an entity lives: the candidate, where it is in the canary."""
    canary = table.canary
    return table if canary is None or not takes(canary, kind, id, created_at) else canary.table


def takes(canary: Canary, kind: str, id: str, created_at: int) -> bool:
    """Say whether an entity that was created then is in the canary."""
    if kind not in canary.kinds or created_at <= canary.since:
        return False
    name = f"{kind}/{id}"
    return name in canary.named or zlib.crc32(name.encode()) % SHARES < canary.share


def origin(old: Table, new: Table, now: Snapshot, number: int | None) -> tuple[Table, Snapshot, int | None]:
    """Return by which table an entity has lived, the entity, and of which version an `upgrade` for it has to speak.

    `old` is version `number`. Of one in a canary none speaks: it is as a candidate has it already; and where it goes
    back, it leaves behind what the candidate had added.
    """
    canary = old.canary
    if canary is None:
        return old, now, number
    if not takes(canary, now.entity, now.id, now.created_at):
        return old, now, canary.number
    known = {field.name for table in (old, new) if (kind := table.entities.get(now.entity)) for field in kind.fields}
    if now.fields.keys() <= known:
        return canary.table, now, None
    kept = {name: value for name, value in now.fields.items() if name in known}
    return canary.table, replace(now, fields=kept), None


def with_canary(old: Table, candidate: Table, *, number: int, since: int, share: int, named: Sequence[str]) -> Table:
    """Return `old`, which is version `number`, with a canary; `apart` has nothing to say of the two."""
    canary = Canary(number, since, share, tuple(named), tuple(changed(old, candidate)), candidate)
    return replace(old, tools={**candidate.tools, **old.tools}, canary=canary)


def together(table: Table) -> Table:
    """Return a table in which entities have what they have by either: to be shown, not to be lived by."""
    canary = table.canary
    if canary is None:
        return table
    entities = dict(table.entities)
    for name in canary.kinds:
        ours, theirs = table.entities[name], canary.table.entities[name]
        entities[name] = replace(
            ours,
            states=tuple(dict.fromkeys((*ours.states, *theirs.states))),
            final=tuple(dict.fromkeys((*ours.final, *theirs.final))),
            fields=(*ours.fields, *(field for field in theirs.fields if field not in ours.fields)),
            actions={**theirs.actions, **ours.actions},
        )
    return replace(table, entities=entities)


def changed(old: Table, candidate: Table) -> list[str]:
    """Return the kinds that a candidate changes."""
    return sorted(
        name
        for name in old.entities.keys() & candidate.entities.keys()
        if old.entities[name] != candidate.entities[name] or _properties(old, name) != _properties(candidate, name)
    )


def apart(old: Table, candidate: Table) -> tuple[str, ...]:
    """Return why the candidate can't live beside the table in force, if so."""
    kinds = changed(old, candidate)
    problems: list[str] = []
    if not kinds:
        problems.append("it changes no entity, so that none could tell the difference: push it")
    for name in sorted(old.entities.keys() ^ candidate.entities.keys()):
        problems.append(f"`{name}` is {'not in it' if name in old.entities else 'new'}: all entities are to be in both")
    problems += _common(old, candidate)
    for name in kinds:
        problems += _fields(old.entities[name], candidate.entities[name])
        problems += _indexed(old, candidate, name)
    for table, which in ((old, "the version in force"), (candidate, "the candidate")):
        problems += [f"in {which} {text}" for text in _reached(table, frozenset(kinds))]
    return tuple(dict.fromkeys(problems))


def _common(old: Table, candidate: Table) -> Iterator[str]:
    if old.roles != candidate.roles:
        yield "the roles are others"
    if old.records != candidate.records:
        yield "the records are others"
    if old.policies != candidate.policies:
        yield "the policies are others"
    if old.modules != candidate.modules:
        yield "the modules are others"
    for name in sorted(old.tools.keys() & candidate.tools.keys()):
        if old.tools[name] != candidate.tools[name]:
            yield f"the tool `{name}` is declared otherwise"
    if _properties(old, None) != _properties(candidate, None):
        yield "the properties that stand outside of entities are others"
    if watches(old) != watches(candidate):
        yield "other entities are watched by a `whenever`"


def _fields(old: Entity, candidate: Entity) -> Iterator[str]:
    types = {field.name: field.type for field in candidate.fields}
    for field in old.fields:
        if types.get(field.name) != field.type:
            what = "has another type" if field.name in types else "is gone"
            yield f"`{old.name}.{field.name}` {what}: lists have both, and a canary may add fields"


def _indexed(old: Table, candidate: Table, name: str) -> Iterator[str]:
    before, after = old.entities[name], candidate.entities[name]
    uniques = [[(one.fields, one.ever) for one in entity.uniques] for entity in (before, after)]
    if before.key != after.key or uniques[0] != uniques[1]:
        yield f"`{name}` has another `key` or `unique`"
    if watched_fields(old, name) != watched_fields(candidate, name) or before.inverses != after.inverses:
        yield f"`{name}` is found by other fields"


def _reached(table: Table, kinds: frozenset[str]) -> Iterator[str]:
    """Say who reaches one of these kinds."""
    for entity in table.entities.values():
        types: list[tuple[str, Type]] = [(f"{entity.name}.{one.name}", one.type) for one in entity.fields]
        types += [
            (f"{entity.name}.{action.name}", param.type)
            for action in entity.actions.values()
            for param in action.params
        ]
        yield from _referring(table, types, kinds)
        for inverse in entity.inverses:
            if inverse.entity in kinds:
                yield f"`{entity.name}.{inverse.name}` finds `{inverse.entity}`"
        for clause in clauses_in(entity):
            if isinstance(clause, Create) and clause.entity in kinds:
                yield f"`{entity.name}` creates `{clause.entity}`"
    for tool in table.tools.values():
        yield from _referring(table, [(tool.name, part.type) for part in (*tool.params, *tool.results)], kinds)


def _referring(table: Table, types: Iterable[tuple[str, Type]], kinds: frozenset[str]) -> Iterator[str]:
    for name, type_ in types:
        for kind in sorted(kinds & references_to(type_, table.records)):
            yield f"`{name}` refers to `{kind}`"


def _properties(table: Table, kind: str | None) -> list[object]:
    return [one for one in table.properties if one.entity == kind]
