"""Types as the checker knows them, and how they relate.

Bounds do not tell types apart: an `int 0..5` may be given where an `int 0..64` is wanted, and whether the value stays
inside is the verifier's question. `same` and `fits` therefore look at kinds; `holds` looks at one known value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from msgspec import Struct


class BoolT(Struct, frozen=True):
    pass


class IntT(Struct, frozen=True):
    """An end that is `None` is open."""

    low: int | None = None
    high: int | None = None


class DecimalT(Struct, frozen=True):
    low: Decimal | None = None
    high: Decimal | None = None


class StringT(Struct, frozen=True):
    pass


class TimeT(Struct, frozen=True):
    pass


class DurationT(Struct, frozen=True):
    pass


class PrincipalT(Struct, frozen=True):
    pass


@dataclass(frozen=True, slots=True)
class EnumT:
    """`name` is the author's, where the type has one; two enumerations of the same values are the same type."""

    values: tuple[str, ...]
    name: str | None = field(default=None, compare=False)


class RefT(Struct, frozen=True):
    entity: str


class RecordT(Struct, frozen=True):
    name: str


class SetT(Struct, frozen=True):
    """`max` is `None` where the collection was computed, not declared."""

    element: Type
    max: int | None = None


class ListT(Struct, frozen=True):
    element: Type
    max: int | None = None


class MapT(Struct, frozen=True):
    key: Type
    value: Type
    max: int | None = None


class OptionalT(Struct, frozen=True):
    inner: Type


class UnknownT(Struct, frozen=True):
    """The type of what a problem has been told for; it agrees with every other, so that one mistake is told once."""


Type: TypeAlias = (
    BoolT | IntT | DecimalT | StringT | TimeT | DurationT | PrincipalT | EnumT | RefT | RecordT
    | SetT | ListT | MapT | OptionalT | UnknownT
)  # fmt: skip

BOOL = BoolT()
INT = IntT()
DECIMAL = DecimalT()
STRING = StringT()
TIME = TimeT()
DURATION = DurationT()
PRINCIPAL = PrincipalT()
UNKNOWN = UnknownT()

BUILT_IN: dict[str, Type] = {
    "bool": BOOL,
    "int": INT,
    "decimal": DECIMAL,
    "string": STRING,
    "time": TIME,
    "duration": DURATION,
    "principal": PRINCIPAL,
}


def same(a: Type, b: Type) -> bool:
    """Return whether two types are of one kind, bounds aside."""
    match a, b:
        case (UnknownT(), _) | (_, UnknownT()):
            return True
        case (IntT(), IntT()) | (DecimalT(), DecimalT()):
            return True
        case (SetT(x), SetT(y)) | (ListT(x), ListT(y)) | (OptionalT(x), OptionalT(y)):
            return same(x, y)
        case MapT(k, v), MapT(m, w):
            return same(k, m) and same(v, w)
        case _:
            return a == b


def fits(have: Type, want: Type) -> bool:
    """Return whether a value of `have` can be given where `want` is expected: an int is a decimal, a `T` is a `T?`."""
    if same(have, want):
        return True
    match have, want:
        case IntT(), DecimalT():
            return True
        case OptionalT(inner), OptionalT(wanted):
            return fits(inner, wanted)
        case _, OptionalT(wanted):
            return fits(have, wanted)
        case _:
            return False


def opened(type: Type) -> Type:
    """Return the type without its bounds: what is known of a computed value."""
    match type:
        case IntT():
            return INT
        case DecimalT():
            return DECIMAL
        case SetT(element):
            return SetT(opened(element))
        case ListT(element):
            return ListT(opened(element))
        case MapT(key, value):
            return MapT(opened(key), opened(value))
        case OptionalT(inner):
            return OptionalT(opened(inner))
        case _:
            return type


def plain(type: Type) -> Type:
    """Return `T` for a `T?`, any other as it is."""
    return type.inner if isinstance(type, OptionalT) else type


def ordered(type: Type) -> bool:
    """Return whether `<` and its kin have a meaning. Strings and enumerations have no order that a reader can see."""
    return isinstance(type, IntT | DecimalT | TimeT | DurationT | UnknownT)


def scalar(type: Type) -> bool:
    """Return whether a value is one thing: these can be the keys of a map and the parts of a key."""
    return not isinstance(type, SetT | ListT | MapT | OptionalT | RecordT)


def show(type: Type) -> str:
    """Return the type as an author writes it."""
    match type:
        case BoolT():
            return "bool"
        case IntT(low, high):
            return "int" + _range(low, high)
        case DecimalT(low, high):
            return "decimal" + _range(low, high)
        case StringT():
            return "string"
        case TimeT():
            return "time"
        case DurationT():
            return "duration"
        case PrincipalT():
            return "principal"
        case EnumT(values, name):
            return name or f"one of ({', '.join(values)})"
        case RefT(name) | RecordT(name):
            return name
        case SetT(element, bound):
            return f"set of {show(element)}" + _max(bound)
        case ListT(element, bound):
            return f"list of {show(element)}" + _max(bound)
        case MapT(key, value, bound):
            return f"map of {show(key)} to {show(value)}" + _max(bound)
        case OptionalT(inner):
            return show(inner) + "?"
        case UnknownT():
            return "?"


def one(type: Type) -> str:
    """Return the type with its article, in backticks: a `time`, an `int`."""
    return article(show(type))


def article(word: str) -> str:
    """Return a word in backticks, with its article."""
    vowel = word[:1] in "aeioAEIO" and not word.startswith("one of")
    return f"{'an' if vowel else 'a'} `{word}`"


def _range(low: int | Decimal | None, high: int | Decimal | None) -> str:
    if low is None and high is None:
        return ""
    return f" {'' if low is None else low}..{'' if high is None else high}"


def _max(bound: int | None) -> str:
    return "" if bound is None else f" max {bound}"
