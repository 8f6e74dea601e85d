"""Values as Cedar has them.

Cedar has no lists and no maps: a list is the set of its elements, a map the set of its pairs. `none` is an attribute
that is not there. Three kinds of value it can't hold at all: an integer beyond 64 bits, a decimal with more than four
digits behind the point or past its range, and a time before the year 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from temper.table import Table, Type, cedar, encode
from temper.table import shape as pieces

Json: TypeAlias = Any
Encoder: TypeAlias = Callable[[Any], Json]

_LONG_END = 2**63
_DECIMAL_END = Decimal(2**63).scaleb(-4)
_DURATION_END = 2**63


class CannotHold(Exception):
    """A value that Cedar can't hold: what is asked about it has no answer. `name` is the attribute's."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"`{name}` {text}")
        self.name = name
        self.text = text


def encoder(table: Table, name: str, type_: Type) -> Encoder:
    """Return a function that gives a value of the type as Cedar's JSON; it raises `CannotHold`. `name` is for that."""
    match type_:
        case ("int", *_):
            return lambda value: _whole(name, value)
        case ("decimal", *_):
            return lambda value: _extension("decimal", _decimal(name, value))
        case ("time",):
            return moment
        case ("duration",):
            return lambda value: _extension("duration", _duration(name, value))
        case ("principal",):
            return lambda value: reference(cedar.PRINCIPAL, value)
        case ("ref", entity):
            kind = cedar.entity_type(table, entity)
            return lambda value: reference(kind, value)
        case ("optional", inner):
            return encoder(table, name, inner)
        case ("set" | "list", of, _):
            each = encoder(table, name, of)
            return lambda value: [each(item) for item in value if item is not None]
        case ("map", key, of, _):
            one, other = encoder(table, name, key), encoder(table, name, of)
            return lambda value: [_pair(one(key), other, held) for key, held in value]
        case ("record", record):
            parts = tuple((part.name, encoder(table, name, part.type)) for part in table.records[record])
            return lambda value: {
                part: one(held) for (part, one), held in zip(parts, value, strict=True) if held is not None
            }
        case _:
            return lambda value: value


def attributes(them: Iterable[tuple[str, Encoder]], values: Mapping[str, Any]) -> dict[str, Json]:
    """Return what there is of `values`: one that is `none`, or not there, is left out. Raises `CannotHold`."""
    return {name: one(values[name]) for name, one in them if values.get(name) is not None}


def encoders(
    table: Table, parts: Iterable[pieces.Field | pieces.Param], names: frozenset[str] | None
) -> tuple[tuple[str, Encoder], ...]:
    """Return those of fields or parameters, of them all where `names` is `None`."""
    return tuple(
        (part.name, encoder(table, part.name, part.type)) for part in parts if names is None or part.name in names
    )


def reference(kind: str, id: str) -> Json:
    """Return a reference to an entity of Cedar's."""
    return {"__entity": {"type": kind, "id": id}}


def moment(ms: int) -> Json:
    """Return a time."""
    return _extension("datetime", encode(("time",), ms))


def _extension(function: str, argument: str) -> Json:
    return {"__extn": {"fn": function, "arg": argument}}


def _pair(key: Json, one: Encoder, held: Any) -> Json:
    return {"key": key} if held is None else {"key": key, "value": one(held)}


def _whole(name: str, value: int) -> int:
    if not -_LONG_END <= value < _LONG_END:
        raise CannotHold(name, "is a number of more than 64 bits")
    return value


def _decimal(name: str, value: Decimal) -> str:
    if not -_DECIMAL_END <= value < _DECIMAL_END:
        raise CannotHold(name, "is a decimal past Cedar's range")
    fixed = value.quantize(Decimal("0.0001"))
    if fixed != value:
        raise CannotHold(name, "has more than four digits behind the point")
    return f"{fixed:f}"


def _duration(name: str, value: int) -> str:
    if not -_DURATION_END <= value < _DURATION_END:
        raise CannotHold(name, "is a duration past Cedar's range")
    return f"{value}ms"
