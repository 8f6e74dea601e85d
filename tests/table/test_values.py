"""Values and their JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.table import (
    DIGITS_MAX,
    DURATION_MAX,
    TEXT_MAX,
    TIME_MAX,
    TIME_MIN,
    BadValue,
    Type,
    Value,
    args_schema,
    canonical_key,
    decode,
    decode_args,
    describe,
    encode,
    fits,
    json_schema,
    shape,
    show_as,
)
from tests.table.build import BOOL, DECIMAL, DURATION, INT, PRINCIPAL, STRING, TIME, maybe, params, upto
from tests.table.draw import RECORDS, typed_values

STAGE: Type = ("one_of", ("alpha", "beta"))
LINE: Type = ("record", "Line")


@pytest.mark.parametrize(
    ("type_", "value", "json"),
    [
        (BOOL, True, True),
        (INT, 10**30, 10**30),
        (DECIMAL, Decimal("3.50"), "3.5"),
        (DECIMAL, Decimal(100), "100"),
        (DECIMAL, Decimal("1E+3"), "1000"),
        (DECIMAL, Decimal("-0.0"), "0"),
        (STRING, "ä\n", "ä\n"),
        (STAGE, "beta", "beta"),
        (PRINCIPAL, "ann", "ann"),
        (("ref", "Order"), "o1", "o1"),
        (TIME, 0, "1970-01-01T00:00:00.000Z"),
        (TIME, 1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
        (TIME, TIME_MIN, "0001-01-01T00:00:00.000Z"),
        (TIME, TIME_MAX, "9999-12-31T23:59:59.999Z"),
        (DURATION, 90_000, "90s"),
        (DURATION, 1_800_000, "30m"),
        (DURATION, 250, "250ms"),
        (DURATION, 86_400_000, "1d"),
        (DURATION, 0, "0s"),
        (DURATION, -90_000, "-90s"),
        (maybe(INT), None, None),
        (maybe(INT), 3, 3),
        (("set", STRING, 4), frozenset({"b", "a"}), ["a", "b"]),
        (("set", maybe(INT), 4), frozenset({2, None, 1}), [None, 1, 2]),
        (("list", INT, 4), (2, 1), [2, 1]),
        (("map", STRING, INT, 4), (("a", 1), ("b", 2)), {"a": 1, "b": 2}),
        (("map", INT, INT, 4), ((-1, 1), (10, 2)), {"-1": 1, "10": 2}),
        (("map", BOOL, INT, 4), ((False, 1),), {"false": 1}),
        (("map", TIME, INT, 4), ((0, 1),), [["1970-01-01T00:00:00.000Z", 1]]),
        (LINE, ("a", 3, None), {"sku": "a", "units": 3, "note": None}),
        (("list", LINE, 4), (("a", 3, "x"),), [{"sku": "a", "units": 3, "note": "x"}]),
    ],
)  # fmt: skip
def test_a_value_and_its_json(type_: Type, value: Value, json: Any) -> None:
    """One row, one value: it fits, has this one spelling, and is read back from it."""
    assert fits(type_, value, RECORDS)
    assert encode(type_, value, RECORDS) == json
    assert decode(type_, json, records=RECORDS) == value


@pytest.mark.parametrize(
    ("type_", "json", "value"),
    [
        (INT, 3.0, 3),
        (DECIMAL, 3, Decimal(3)),
        (DECIMAL, "3.50", Decimal("3.5")),
        (TIME, "2026-01-02T04:04:05.678+01:00", 1_767_323_045_678),
        (TIME, "2026-01-02T03:04:05Z", 1_767_323_045_000),
        (DURATION, "1h30m", 5_400_000),
        (DURATION, "5ms", 5),
        (DURATION, "2m5ms", 120_005),
        (("set", INT, None), [3, 1, 2], frozenset({1, 2, 3})),
        (LINE, {"sku": "a", "units": 3}, ("a", 3, None)),
    ],
)  # fmt: skip
def test_other_spellings_are_taken(type_: Type, json: Any, value: Value) -> None:
    """What people and programs send, besides the one spelling that we send."""
    assert decode(type_, json, records=RECORDS) == value


@pytest.mark.parametrize(
    ("type_", "json", "path", "message", "help"),
    [
        (BOOL, "true", "", "expected bool, found the string `true`", None),
        (INT, 3.5, "", "expected int, found `3.5`", "write a whole number"),
        (INT, "3", "", "expected int, found the string `3`", "write 3, without quotes"),
        (INT, True, "", "expected int, found `true`", None),
        (INT, 1e300, "", "expected int, found `1e+300`", "write a whole number"),
        (upto(64), 65, "", "expected int 0..64, found `65`", "at most 64"),
        (upto(64, 1), 0, "", "expected int 1..64, found `0`", "at least 1"),
        (INT, 10**2000, "", "expected int, found `an integer of 6644 bits`", "at most 2000 digits"),
        (DECIMAL, 3.5, "", "expected decimal, found `3.5`",
         'write it as a string, "3.5": a JSON number may lose digits on its way'),
        (DECIMAL, "1e3", "", "expected decimal, found the string `1e3`", 'write digits with a point, such as "12.50"'),
        (DECIMAL, "NaN", "", "expected decimal, found the string `NaN`", 'write digits with a point, such as "12.50"'),
        (("decimal", "0", "9.5"), "9.6", "", "expected decimal 0..9.5, found the string `9.6`", "at most 9.5"),
        (("decimal", "0", None), "-1", "", "expected decimal 0.., found the string `-1`", "at least 0"),
        (STRING, 3, "", "expected string, found `3`", 'write "3", in quotes'),
        (STRING, "\ud800", "", "the text holds half of a surrogate pair", "write it as valid Unicode"),
        (PRINCIPAL, "", "", "expected principal, found the string ``", "it can't be empty"),
        (STAGE, "alhpa", "", "expected one of (alpha, beta), found the string `alhpa`", "did you mean `alpha`?"),
        (STAGE, "x", "", "expected one of (alpha, beta), found the string `x`", "write one of `alpha`, `beta`"),
        (TIME, "yesterday", "", "expected time, found the string `yesterday`",
         'write it as "2026-01-02T03:04:05.678Z"'),
        (TIME, "2026-01-02T03:04:05", "", "expected time, found the string `2026-01-02T03:04:05`",
         'say in which zone: "2026-01-02T03:04:05Z" for UTC'),
        (TIME, "2026-01-02T03:04:05.0001Z", "", "expected time, found the string `2026-01-02T03:04:05.0001Z`",
         "times have milliseconds: write at most three digits after the point"),
        (TIME, "9999-12-31T23:59:59-01:00", "", "expected time, found the string `9999-12-31T23:59:59-01:00`",
         "write a time in the years 1 to 9999, in UTC"),
        (DURATION, "90", "", "expected duration, found the string `90`",
         'write it as "90s", "30m", "24h", "7d" or "1h30m"'),
        (DURATION, "", "", "expected duration, found the string ``",
         'write it as "90s", "30m", "24h", "7d" or "1h30m"'),
        (DURATION, "99999999d", "", "expected duration, found the string `99999999d`", "at most 3652058d"),
        (("set", INT, 3), [1, 1], "[1]", "`1` stands in the set twice", "leave it out"),
        (("set", INT, 3), [1, 2, 3, 4], "", "expected set of int max 3, found 4 of them", "at most 3"),
        (("list", INT, 3), {}, "", "expected list of int max 3, found an object", "write an array"),
        (("list", INT, 3), [1, "x"], "[1]", "expected int, found the string `x`", None),
        (("map", INT, INT, 3), {"01": 1}, "01", "expected int, found the string `01`",
         "the key is a whole number, written as a string"),
        (("map", BOOL, INT, 3), {"yes": 1}, "yes", "expected bool, found the string `yes`",
         'the key is "true" or "false"'),
        (("map", TIME, INT, 3), [[1]], "[0]", "expected a pair of a key and a value, found an array",
         "write `[key, value]`"),
        (("map", DECIMAL, INT, 3), [["1", 1], ["1.0", 2]], "", "a key stands in the map twice",
         "leave one of them out"),
        (LINE, {"sku": "a", "unit": 1}, "unit", "a `Line` has no `unit`", "did you mean `units`?"),
        (LINE, {"sku": "a"}, "units", "`units` is missing", "add `units`: int 1.."),
        (("list", LINE, 9), [{"sku": "a", "units": 0}], "[0].units", "expected int 1.., found `0`", "at least 1"),
        (maybe(INT), "x", "", "expected int, found the string `x`", None),
    ],
)  # fmt: skip
def test_json_that_is_no_value(type_: Type, json: Any, path: str, message: str, help: str | None) -> None:
    """One row, one mistake: where it is, what was expected and found, and how to mend it."""
    with pytest.raises(BadValue) as caught:
        decode(type_, json, records=RECORDS)
    assert (caught.value.path, caught.value.message, caught.value.help) == (path, message, help)


@pytest.mark.parametrize(
    ("json", "path", "message", "help"),
    [
        ([], "", "the request is an object, found an array", "write it as `{...}`"),
        ({"amont": 1}, "amont", "the request has no `amont`", "did you mean `amount`?"),
        ({}, "amount", "`amount` is missing", "add `amount`: int"),
        ({"amount": 1, "line": {"sku": 1, "units": 1}}, "line.sku", "expected string, found `1`",
         'write "1", in quotes'),
    ],
)  # fmt: skip
def test_a_request_that_does_not_fit(json: Any, path: str, message: str, help: str) -> None:
    """A path leads from the request's own object."""
    with pytest.raises(BadValue) as caught:
        decode_args(params(amount=INT, line=maybe(LINE)), json, RECORDS)
    assert (caught.value.path, caught.value.message, caught.value.help) == (path, message, help)


def test_what_may_be_left_out_of_a_request_stays_out() -> None:
    """The table fills in defaults, not the door."""
    with_default = (*params(amount=INT, line=maybe(LINE)), shape.Param("units", INT, ("lit", INT, 3)))
    assert decode_args(with_default, {"amount": 1}, RECORDS) == {"amount": 1}


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (INT, True),
        (BOOL, 1),
        (INT, Decimal(1)),
        (DECIMAL, 1),
        (DECIMAL, Decimal("NaN")),
        (DECIMAL, Decimal(10) ** DIGITS_MAX),
        (DECIMAL, Decimal("1E-2001")),
        (INT, 10**DIGITS_MAX),
        (upto(64), 65),
        (STRING, None),
        (STRING, "x" * (TEXT_MAX + 1)),
        (TIME, TIME_MAX + 1),
        (DURATION, DURATION_MAX + 1),
        (PRINCIPAL, ""),
        (STAGE, "gamma"),
        (("set", INT, 1), frozenset({1, 2})),
        (("set", INT, 1), (1,)),
        (("list", INT, 1), frozenset({1})),
        (("list", INT, 1), (1, 2)),
        (("map", STRING, INT, 4), (("b", 1), ("a", 2))),
        (("map", STRING, INT, 4), (("a", 1), ("a", 2))),
        (("map", STRING, INT, 1), (("a", 1), ("b", 2))),
        (LINE, ("a", 3)),
        (LINE, ("a", 0, None)),
    ],
)  # fmt: skip
def test_what_does_not_fit(type_: Type, value: Any) -> None:
    """Bounds, `max`, the shape of each value, and that a bool is no int."""
    assert not fits(type_, value, RECORDS)


def test_canonical_order() -> None:
    """`None` first, numbers by size, strings by code point, tuples by parts, sets by sorted parts."""
    rows: list[list[Any]] = [
        [None, -1, 0, 3],
        [None, Decimal("-0.5"), Decimal(0), Decimal(10)],
        ["", "B", "a", "b", "ä"],
        [False, True],
        [(), (1,), (1, None), (1, 2), (2,)],
        [frozenset(), frozenset({1}), frozenset({1, 2}), frozenset({2})],
    ]
    for row in rows:
        backwards = row[::-1]
        assert sorted(backwards, key=canonical_key) == row


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (upto(64), "int 0..64"),
        (("int", None, 3), "int ..3"),
        (("decimal", "0", None), "decimal 0.."),
        (maybe(TIME), "time?"),
        (("set", STRING, 8), "set of string max 8"),
        (("map", STRING, maybe(INT), 8), "map of string to int? max 8"),
        (STAGE, "one of (alpha, beta)"),
        (LINE, "Line"),
        (("ref", "Order"), "Order"),
    ],
)  # fmt: skip
def test_a_type_in_words(type_: Type, text: str) -> None:
    assert describe(type_) == text


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (STRING, "a", '"a"'),
        (PRINCIPAL, "ann", "ann"),
        (maybe(STRING), None, "none"),
        (DURATION, 90_000, "90s"),
        (("set", STRING, None), frozenset({"b", "a"}), '{"a", "b"}'),
        (("map", STRING, INT, None), (("a", 1),), '{"a": 1}'),
        (LINE, ("a", 3, None), 'Line(sku: "a", units: 3, note: none)'),
        (INT, "3", '"3"'),
        (TIME, 10**20, "100000000000000000000"),
    ],
)  # fmt: skip
def test_a_value_in_words(type_: Type, value: Any, text: str) -> None:
    """Whatever it is: refusals quote values that do not fit."""
    assert show_as(type_, value, RECORDS) == text


@given(typed_values())
def test_encode_and_decode_are_inverse(drawn: tuple[Type, Value]) -> None:
    """Every value that fits is read back from its JSON, and its JSON is one: the value read back has the same."""
    type_, value = drawn
    assert fits(type_, value, RECORDS)
    json = encode(type_, value, RECORDS)
    back = decode(type_, json, records=RECORDS)
    assert back == value
    assert encode(type_, back, RECORDS) == json


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(typed_values(), json_values)
def test_decode_gives_a_value_that_fits_or_says_why_not(drawn: tuple[Type, Value], json: Any) -> None:
    """Any JSON at all: no other exception, and nothing that is not of the type."""
    type_, _ = drawn
    try:
        value = decode(type_, json, records=RECORDS)
    except BadValue:
        return
    assert fits(type_, value, RECORDS)


def test_json_schemas_say_what_decode_takes() -> None:
    """Written out once, for the types whose JSON is not obvious."""
    assert json_schema(upto(64)) == {"type": "integer", "minimum": 0, "maximum": 64}
    assert json_schema(("map", STAGE, maybe(INT), 2)) == {
        "type": "object",
        "propertyNames": {"enum": ["alpha", "beta"]},
        "additionalProperties": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "maxProperties": 2,
    }
    assert json_schema(LINE, RECORDS) == {
        "type": "object",
        "properties": {
            "sku": {"type": "string"},
            "units": {"type": "integer", "minimum": 1},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["sku", "units"],
        "additionalProperties": False,
    }
    assert args_schema(()) == {"type": "object", "properties": {}, "additionalProperties": False}
