"""Within which few values the elements of a set lie, whatever the state: such a set is as many truth values."""

from __future__ import annotations

from collections.abc import Iterable

from temper.table import Expr, Type
from temper.verify.expressions import Names, type_of

# A set whose elements can be counted on one's fingers has an exact size.
FINITE_MAX = 16


def few(inner: Type) -> list[object] | None:
    """Return every value of a small type, `None` where there are too many."""
    match inner:
        case ("bool",):
            return [True, False]
        case ("one_of", values) if len(values) <= FINITE_MAX:
            return list(values)
        case ("int", int(low), int(high)) if high - low < FINITE_MAX:
            return list(range(low, high + 1))
        case _:
            return None


def universe(e: Expr, names: Names) -> Type | None:
    """Return a small type in which all elements of a set lie; `None` where none is known.

    A field or a parameter holds what its type allows, since a step that would change that is none. What is put
    together may be wider than the type of its first part, and is taken to be.
    """
    match e:
        case ("field" | "param", _):
            kind = type_of(e, names)
            return _small(kind[1]) if kind[0] == "set" else None
        case ("before", part):
            return universe(part, names)
        case ("union", a, b) | ("if", _, a, b):
            return _hull([universe(a, names), universe(b, names)])
        case ("minus" | "intersect", a, _):
            return universe(a, names)
        case ("filter", _, a, _):
            return universe(a, names)
        case ("set", inner, ()):
            return inner if inner[0] in {"bool", "one_of"} else ("int", 0, -1) if inner[0] == "int" else None
        case ("set", inner, items):
            if inner[0] in {"bool", "one_of"}:
                return _small(inner)
            return _hull([_element(item, names) for item in items]) if inner[0] == "int" else None
        case ("lit", ("set", inner, _), values) if inner[0] == "int":
            return _hull([("int", value, value) for value in values]) if values else ("int", 0, -1)
        case _:
            return None


def _element(item: Expr, names: Names) -> Type | None:
    match item:
        case ("lit", ("int", _, _), int(value)):
            return ("int", value, value)
        case ("field" | "param", _):
            return _small(type_of(item, names))
        case _:
            return None


def _small(inner: Type) -> Type | None:
    return inner if few(inner) is not None else None


def _hull(parts: Iterable[Type | None]) -> Type | None:
    """Return the small type around several; numbers that are far apart have none."""
    found: Type | None = None
    for part in parts:
        if part is None or (found is not None and (found[0] != part[0] or (part[0] != "int" and part != found))):
            return None
        if found is None or found == ("int", 0, -1):
            found = part
        elif part[0] == "int" and part != ("int", 0, -1):
            found = _small(("int", min(found[1], part[1]), max(found[2], part[2])))
            if found is None:
                return None
    return found
