"""Expressions whose names are resolved and whose types are known.

`op` and `parts` are those of the table's expressions (`table.py` says what each means), so that lowering drops types
and spans and does nothing else. In two places a part is not yet what the table holds: a literal has its value, not its
wire form, and a type is one of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeAlias

from msgspec import Struct

from temper.model.types import BOOL, UNKNOWN, OptionalT, Type, opened, plain
from temper.text import Span

Key = tuple[Any, ...]


class Typed(Struct, frozen=True):
    """One expression. Constants are inlined; a part is a `Typed`, a type, a name, a value, or a tuple of those."""

    op: str
    parts: tuple[Any, ...]
    type: Type
    span: Span


Args: TypeAlias = tuple[tuple[str, Typed], ...]
"""What parameters are given, by their names."""


def bad(span: Span) -> Typed:
    """Return what stands for an expression that a problem has been reported for."""
    return Typed("bad", (), UNKNOWN, span)


def literal(type: Type, value: bool | int | str | Decimal, span: Span) -> Typed:
    """Return a literal; its type has no bounds, since its value says more."""
    type = opened(type)
    return Typed("lit", (type, value), type, span)


def none(type: Type, span: Span) -> Typed:
    """Return `none` as a `T?`, for the `T` given."""
    return Typed("none", (plain(type),), OptionalT(plain(type)), span)


def some(value: Typed) -> Typed:
    return Typed("some", (value,), OptionalT(value.type), value.span)


def known(value: Typed) -> Typed:
    """Return a `T?` that is there, as a `T`."""
    return Typed("value", (value,), plain(value.type), value.span)


def binary(op: str, left: Typed, right: Typed, type: Type, span: Span) -> Typed:
    return Typed(op, (left, right), type, span)


def negated(value: Typed, span: Span) -> Typed:
    return Typed("not", (value,), BOOL, span)


def any_of(conditions: list[Typed], span: Span) -> Typed:
    """Return the conditions joined by `or`; at least one."""
    first, *rest = conditions
    for condition in rest:
        first = binary("or", first, condition, BOOL, span)
    return first


def key(value: Typed) -> Key:
    """Return what makes two expressions the same: everything but their places and types."""
    return (value.op, *map(_key, value.parts))


def _key(part: Any) -> Any:
    if isinstance(part, Typed):
        return key(part)
    if isinstance(part, tuple):
        return tuple(map(_key, part))
    return part


def walk(value: Typed) -> Iterator[Typed]:
    """Yield the expression and all inside it, outermost first."""
    yield value
    for part in value.parts:
        yield from _walk(part)


def _walk(part: Any) -> Iterator[Typed]:
    if isinstance(part, Typed):
        yield from walk(part)
    elif isinstance(part, tuple):
        for inner in part:
            yield from _walk(inner)


Facts = frozenset[Key]
NO_FACTS: Facts = frozenset()


def facts(condition: Typed) -> tuple[Facts, Facts]:
    """Return which expressions are surely not `none` when the condition is true, and when it is false."""
    parts = condition.parts
    match condition.op:
        case "and":
            (a_true, a_false), (b_true, b_false) = facts(parts[0]), facts(parts[1])
            return a_true | b_true, a_false & b_false
        case "or":
            (a_true, a_false), (b_true, b_false) = facts(parts[0]), facts(parts[1])
            return a_true & b_true, a_false | b_false
        case "implies":
            (a_true, a_false), (b_true, b_false) = facts(parts[0]), facts(parts[1])
            return a_false & b_true, a_true | b_false
        case "not":
            when_true, when_false = facts(parts[0])
            return when_false, when_true
        case "==":
            return _compared(parts[0], parts[1])
        case "!=":
            when_true, when_false = _compared(parts[0], parts[1])
            return when_false, when_true
        case "before":
            when_true, when_false = facts(parts[0])
            return _before(when_true), _before(when_false)
        case _:
            return NO_FACTS, NO_FACTS


def _compared(left: Typed, right: Typed) -> tuple[Facts, Facts]:
    when_true: set[Key] = set()
    when_false: set[Key] = set()
    for this, other in ((left, right), (right, left)):
        if this.op in {"none", "some"}:
            continue
        if other.op == "none":
            when_false.add(key(this))
        elif other.op == "some":
            when_true.add(key(this))
    return frozenset(when_true), frozenset(when_false)


def _before(inner: Facts) -> Facts:
    return frozenset(("before", fact) for fact in inner)


def constant(value: Typed) -> bool | int | str | Decimal | None:
    """Return the value of a literal, `None` for anything else."""
    if value.op != "lit":
        return None
    found = value.parts[1]
    assert isinstance(found, bool | int | str | Decimal)
    return found


def folded(value: Typed) -> Typed:
    """Return arithmetic on literals as the literal that it comes to; the table itself adds up decimals."""
    match value.op, [constant(part) for part in value.parts if isinstance(part, Typed)]:
        case "neg", [(int() | Decimal()) as a]:
            return literal(value.type, -a, value.span)
        case "to_decimal", [int(a)]:
            return literal(value.type, Decimal(a), value.span)
        case "+", [int(a), int(b)]:
            return literal(value.type, a + b, value.span)
        case "-", [int(a), int(b)]:
            return literal(value.type, a - b, value.span)
        case "*", [int(a), int(b)]:
            return literal(value.type, a * b, value.span)
        case _:
            return value
