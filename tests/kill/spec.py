"""What `step` says a server's answers must be: the sequential specification of one entity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from temper.table import Accepted, Act, Caller, Snapshot, Table, Value, step
from tests.kill.checker import Operation
from tests.kill.client import Declined, Found, Line, Taken, Told

Fields = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Now:
    """An entity, so that it can be remembered."""

    state: str
    version: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Asked:
    """An action, or a read where `action` is `None`."""

    action: str | None
    params: Fields
    caller: Caller


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: the entity as it was shown, or the text of a refusal."""

    now: Now | None = None
    taken: bool = False
    refused: str | None = None


def one_entity(table: Table, entity: str, id: str) -> Callable[[Now | None, Asked], tuple[Now | None, Said]]:
    """Return what one entity does when one thing is done at a time. Its values are those that JSON has, too."""

    def apply(now: Now | None, asked: Asked) -> tuple[Now | None, Said]:
        if asked.action is None:
            return now, Said(now)
        before = None if now is None else _snapshot(entity, id, now)
        event = Act("event", 0, asked.action, dict(asked.params), asked.caller, entity, id)
        result = step(table, before, event)
        if isinstance(result, Accepted):
            after = _now(result.after.state, result.after.version, result.after.fields)
            return after, Said(after, taken=True)
        return now, Said(refused=result.text)

    return apply


def hopeless(now: Now | None, said: Said) -> bool:
    """Say whether an answer shows a version that is past, or the present one otherwise."""
    if now is None or said.now is None:
        return False
    if said.now.version == now.version:
        return said.taken or said.now != now
    return said.now.version < now.version


def history(
    lines: Iterable[Line], entity: str, id: str, roles: Mapping[str, frozenset[str]]
) -> list[Operation[Asked, Said]]:
    """Return what clients asked of one entity, and were told. `roles` are those of each client."""
    return [
        Operation(
            Asked(line.action, _fields(line.params), Caller(line.client, roles[line.client])),
            line.began,
            None if line.told is None else _said(line.told),
            line.ended,
        )
        for line in lines
        if (line.entity, line.id) == (entity, id) and line.sent
    ]


def _said(told: Told) -> Said:
    match told:
        case Taken(_, seen):
            return Said(_now(seen.state, seen.version, seen.fields), taken=True)
        case Found(seen):
            return Said(None if seen is None else _now(seen.state, seen.version, seen.fields))
        case Declined():
            return Said(refused=told.text)


def _now(state: str, version: int, fields: Mapping[str, Any]) -> Now:
    return Now(state, version, _fields(fields))


def _fields(fields: Mapping[str, Any]) -> Fields:
    return tuple(sorted(fields.items()))


def _snapshot(entity: str, id: str, now: Now) -> Snapshot:
    fields: dict[str, Value] = dict(now.fields)
    return Snapshot(entity, id, now.state, fields, now.version, 0, 0, 0)
