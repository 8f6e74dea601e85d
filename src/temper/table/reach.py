"""What an expression reads of others, and the way back: who has to be asked again when one of them changes.

An expression about an entity reaches others by a path: from a field that refers to one, through that one's fields, or
into those that refer to it (an inverse set). The paths are worked out from the text alone, so that they may name more
than is read at a moment, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct, field

from temper.table.evaluate import Look, entity_names
from temper.table.events import Snapshot
from temper.table.expr import BINDERS, ELSEWHERE, Names, parts, walk
from temper.table.refs import field_references, holds_references
from temper.table.table import Always, Entity, Expr, Table


class Hop(Struct, frozen=True):
    """From an `entity` to those that its `field` refers to; if `inverse`, from one of those to it."""

    entity: str
    field: str
    inverse: bool = False


Path: TypeAlias = tuple[Hop, ...]
"""The way from an entity to what is read, in order."""


class Reads(Struct, frozen=True):
    """What an expression reads of others: by which paths, of which kind; and the kinds of which it reads them all."""

    paths: tuple[tuple[str, Path], ...]
    every: tuple[str, ...]


class Watch(Struct, frozen=True):
    """An entity of kind `owner` has a `whenever` that reads, by `path`, what stands at its end."""

    owner: str
    path: Path


def reads(expr: Expr, names: Names, known: Mapping[str, frozenset[Path]] | None = None) -> Reads:
    """Return what an expression about one entity reads of others. `known` are variables with where they lead."""
    seeing = _Seeing()
    seeing.see(expr, names, known or {})
    return Reads(tuple(seeing.paths), tuple(seeing.every))


def looks_elsewhere(expr: Expr, names: Names) -> bool:
    """Say whether an expression, or a `let` that it names, reads other entities."""
    for part in walk(expr):
        if part[0] in ELSEWHERE:
            return True
        if part[0] == "let":
            owner = names.owner(part[1])
            if looks_elsewhere(owner.lets[part[1]].value, owner):
                return True
    return False


def watches(table: Table) -> Mapping[str, tuple[Watch, ...]]:
    """Return, for each kind, who has to look at its `whenever`s when one of that kind changes."""
    known: dict[str, tuple[Watch, ...]] | None = table.__dict__.get("watches")
    if known is None:
        found: dict[str, dict[Watch, None]] = {}
        for entity in table.entities.values():
            names = entity_names(table, entity.name)
            for place in entity.places:
                for whenever in place.whenevers:
                    for kind, path in reads(whenever.condition, names).paths:
                        found.setdefault(kind, {})[Watch(entity.name, path)] = None
        known = table.__dict__["watches"] = {kind: tuple(ones) for kind, ones in found.items()}
    return known


def watched_fields(table: Table, entity: str) -> tuple[str, ...]:
    """Return the fields of an entity by which it has to be found from the ones that they refer to, sorted."""
    known: dict[str, set[str]] | None = table.__dict__.get("watched_fields")
    if known is None:
        known = {}
        for inverse in (inverse for one in table.entities.values() for inverse in one.inverses):
            known.setdefault(inverse.entity, set()).add(inverse.field)
        paths = [watch.path for ones in watches(table).values() for watch in ones]
        paths += [path for asked in table.properties if isinstance(asked, Always) for path in _property(table, asked)]
        for hop in (hop for path in paths for hop in path):
            if not hop.inverse:
                known.setdefault(hop.entity, set()).add(hop.field)
        table.__dict__["watched_fields"] = known
    return tuple(sorted(known.get(entity, ())))


def watchers(
    table: Table, before: Snapshot | None, after: Snapshot, world: Look, limit: int
) -> Iterator[tuple[str, str]]:
    """Yield (entity, id) of those whose `whenever`s read, by a path of at most `limit` ways on, what has changed.

    `world` is as it was, or as it is now: each finds those who referred to it then. One may come more than once.
    """
    for watch in watches(table).get(after.entity, ()):
        for id in back(table, watch.path, before, after, world, limit):
            yield watch.owner, id


def back(table: Table, path: Path, before: Snapshot | None, after: Snapshot, world: Look, limit: int) -> Iterable[str]:
    """Return the ids from which `path` leads to what has changed; of each hop `limit` at most. In order of id."""
    here = {after.id}
    for hop in reversed(path):
        if hop.inverse:
            there = {id for id in here for now in _known(id, before, after, hop, world) for id in _to(table, now, hop)}
        else:
            there = {one for id in here for one in world.referrers(hop.entity, hop.field, id, limit)}
        here = there
    return sorted(here)


def _known(id: str, before: Snapshot | None, after: Snapshot, hop: Hop, world: Look) -> Iterator[Snapshot]:
    if id == after.id and hop.entity == after.entity:
        if before is not None:
            yield before
        yield after
        return
    now = world.snapshot(hop.entity, id)
    if now is not None:
        yield now


def _to(table: Table, now: Snapshot, hop: Hop) -> frozenset[str]:
    return field_references(table, now, hop.field)


def _property(table: Table, asked: Always) -> Iterator[Path]:
    ranged = over_all(asked)
    if ranged is None:
        found = reads(asked.condition, entity_names(table, asked.entity))
    else:
        _, var, body = ranged
        found = reads(body, entity_names(table, asked.entity), {var: frozenset({()})})
    if not found.every:
        yield from (path for _, path in found.paths)


def over_all(asked: Always) -> tuple[str, str, Expr] | None:
    """Return (entity, variable, body) of `all x in Entity: body`, where a property is no more than that."""
    match asked.condition:
        case ("all", var, ("every", entity), body) if asked.entity is None:
            return entity, var, body
        case _:
            return None


class _Seeing(Struct):
    paths: dict[tuple[str, Path], None] = field(default_factory=dict)
    every: dict[str, None] = field(default_factory=dict)

    def see(self, expr: Expr, names: Names, known: Mapping[str, frozenset[Path]]) -> frozenset[Path]:
        """Note what is read; return the paths to what the references in the value may lead to."""
        match expr:
            case ("this",):
                return frozenset({()})
            case ("field", name):
                return self._through(names.entity, name, frozenset({()}), names)
            case ("var", name):
                return known.get(name, frozenset())
            case ("let", name):
                owner = names.owner(name)
                return self.see(owner.lets[name].value, owner, {})
            case ("inverse", name):
                assert names.entity is not None, "an inverse set stands in an entity"
                inverse = next(one for one in names.entity.inverses if one.name == name)
                return self._read(inverse.entity, frozenset({(Hop(inverse.entity, inverse.field, inverse=True),)}))
            case ("every", entity):
                self.every[entity] = None
                return frozenset()
            case ("read", of, entity, name):
                paths = self._read(entity, self.see(of, names, known))
                return self._through(names.table.entities.get(entity), name, paths, names)
            case ("read_in", of, entity, _):
                self._read(entity, self.see(of, names, known))
                return frozenset()
            case (op, var, collection, body) if op in BINDERS:
                over = self.see(collection, names, known)
                mapped = self.see(body, names, {**known, var: over})
                return over if op in {"filter", "first"} else mapped if op in {"map_set", "map_list"} else frozenset()
            case _:
                return frozenset().union(*(self.see(part, names, known) for part in parts(expr)))

    def _read(self, entity: str, paths: frozenset[Path]) -> frozenset[Path]:
        for path in sorted(paths, key=repr):
            if path:
                self.paths[entity, path] = None
        return paths

    @staticmethod
    def _through(entity: Entity | None, name: str, paths: frozenset[Path], names: Names) -> frozenset[Path]:
        type_ = next((own.type for own in entity.fields if own.name == name), None) if entity else None
        if entity is None or type_ is None or not holds_references(type_, names.table.records):
            return frozenset()
        return frozenset((*path, Hop(entity.name, name)) for path in paths)
