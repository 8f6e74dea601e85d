"""The references that a value holds, however deep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from temper.table.events import Snapshot
from temper.table.table import Table, Type
from temper.table.values import Records


def references(type_: Type, value: Any, records: Records) -> Iterator[tuple[str, str]]:
    """Yield (entity, id) for each reference in a value of this type; one that stands twice comes twice."""
    match type_:
        case ("ref", entity):
            yield entity, value
        case ("optional", inner):
            if value is not None:
                yield from references(inner, value, records)
        case ("set" | "list", of, _):
            if holds_references(of, records):
                for item in value:
                    yield from references(of, item, records)
        case ("map", key, worth, _):
            for one, other in value:
                yield from references(key, one, records)
                yield from references(worth, other, records)
        case ("record", name):
            for part, item in zip(records[name], value, strict=True):
                yield from references(part.type, item, records)
        case _:
            pass


def references_to(type_: Type, records: Records) -> frozenset[str]:
    """Return the kinds to which a value of this type may refer. Records are never part of themselves."""
    match type_:
        case ("ref", entity):
            return frozenset({entity})
        case ("optional" | "set" | "list", of, *_):
            return references_to(of, records)
        case ("map", key, worth, _):
            return references_to(key, records) | references_to(worth, records)
        case ("record", name):
            return frozenset().union(*(references_to(part.type, records) for part in records[name]))
        case _:
            return frozenset()


def holds_references(type_: Type, records: Records) -> bool:
    """Say whether a value of this type may hold a reference."""
    return bool(references_to(type_, records))


def field_references(table: Table, now: Snapshot, field: str) -> frozenset[str]:
    """Return the ids to which a field of an entity refers; none where it has no such field."""
    kind = table.entities.get(now.entity)
    type_ = next((own.type for own in kind.fields if own.name == field), None) if kind else None
    if type_ is None or field not in now.fields:
        return frozenset()
    return frozenset(id for _, id in references(type_, now.fields[field], table.records))


def refers(table: Table, now: Snapshot, field: str, id: str) -> bool:
    """Say whether a field of an entity refers to `id`."""
    return id in field_references(table, now, field)
