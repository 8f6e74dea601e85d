"""Drawn types, values, tables and events, for laws."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from temper.table import DURATION_MAX, TIME_MAX, TIME_MIN, Type, Value, canonical_key, shape
from tests.table.build import BOOL, DECIMAL, DURATION, INT, PRINCIPAL, STRING, TIME

RECORDS = {
    "Line": (
        shape.Param("sku", STRING),
        shape.Param("units", ("int", 1, None)),
        shape.Param("note", ("optional", STRING)),
    )
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@st.composite
def _ints(draw: st.DrawFn) -> Type:
    low = draw(st.none() | st.integers(-5, 5))
    high = draw(st.none() | st.integers(5, 70))
    return ("int", low, high)


_atoms: st.SearchStrategy[Type] = st.one_of(
    st.sampled_from([BOOL, INT, DECIMAL, STRING, TIME, DURATION, PRINCIPAL, ("ref", "Order"), ("record", "Line")]),
    st.just(("one_of", ("alpha", "beta"))),
    st.just(("decimal", "-1.5", "20")),
    _ints(),
)


def _wider(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    # A `T??` has no second `none`, and the language has no such type.
    present = inner.filter(lambda type_: type_[0] != "optional")
    return st.one_of(
        present.map(lambda of: ("optional", of)),
        st.tuples(st.just("set"), inner, st.integers(2, 4)),
        st.tuples(st.just("list"), inner, st.integers(2, 4)),
        st.tuples(st.just("map"), inner, inner, st.integers(2, 4)),
    )


types: st.SearchStrategy[Type] = st.recursive(_atoms, _wider, max_leaves=3)


def values(type_: Type) -> st.SearchStrategy[Any]:
    """Values that fit."""
    match type_:
        case ("bool",):
            return st.booleans()
        case ("int", low, high):
            return st.integers(low, high)
        case ("decimal", low, high):
            return st.decimals(low, high, allow_nan=False, allow_infinity=False, places=3)
        case ("string",):
            return texts
        case ("time",):
            return st.integers(TIME_MIN, TIME_MAX)
        case ("duration",):
            return st.integers(-DURATION_MAX, DURATION_MAX)
        case ("one_of", names):
            return st.sampled_from(names)
        case ("principal",) | ("ref", _):
            return texts.filter(bool)
        case ("record", name):
            return st.tuples(*(values(part.type) for part in RECORDS[name]))
        case ("optional", inner):
            return st.none() | values(inner)
        case ("set", of, size):
            return st.frozensets(values(of), max_size=size)
        case ("list", of, size):
            return st.lists(values(of), max_size=size).map(tuple)
        case ("map", key, of, size):
            pairs = st.dictionaries(values(key), values(of), max_size=size)
            return pairs.map(lambda made: tuple(sorted(made.items(), key=lambda pair: canonical_key(pair[0]))))
        case _:
            raise AssertionError(type_)


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Type, Value]:
    """A type and a value of it."""
    type_ = draw(types)
    value: Value = draw(values(type_))
    return type_, value


anything: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 80), texts, st.decimals(allow_nan=True), st.just(()),
    st.just(frozenset({1})), st.just(Decimal("NaN")),
)  # fmt: skip
"""Values of any type, and of none."""
