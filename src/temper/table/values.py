"""Values: whether one fits a type, how it looks as JSON, and in which order values stand.

The JSON of a value is the same in a table's literals, a journal's entries, request bodies and answers:

* decimals are strings (`"3.5"`), since a JSON number loses digits on its way through most programs; times are
  `2026-01-02T03:04:05.678Z`; durations are literals of the language (`90s`); sets are sorted arrays;
* a map is an object if its keys can be an object's (strings, enumeration values, references, principals, integers,
  booleans), else an array of pairs; a record is an object.

Three bounds belong to no type, so that no chain of actions makes a value that can't be stored or printed:
`DIGITS_MAX`, `TEXT_MAX`, and the years that a time may be in. A value past them fits nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NoReturn

from temper.table.events import Value
from temper.table.table import Param, Type
from temper.text import suggest

Records = Mapping[str, tuple[Param, ...]]
Checker = Callable[[Any], bool]

NO_RECORDS: Records = {}

# Python refuses to print integers of more than 4,300 digits; products of two of ours can still be compared and told.
DIGITS_MAX = 2_000
# What one field may hold; a request's body is bounded by its door, but `text + text` is not.
TEXT_MAX = 1_000_000

_INT_END = 10**DIGITS_MAX
_DECIMAL_END = Decimal(10) ** DIGITS_MAX
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
TIME_MIN = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MS
TIME_MAX = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - _EPOCH) // _MS
DURATION_MAX = TIME_MAX - TIME_MIN

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_DURATION = re.compile(r"(-?)(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m(?!s))?(?:([0-9]+)s)?(?:([0-9]+)ms)?")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
# A double holds every integer up to here.
_EXACT_MAX = 2**53
_KEYS_OF_OBJECTS = frozenset({"string", "one_of", "ref", "principal", "int", "bool"})


class BadValue(ValueError):
    """JSON that is not a value of the type that was expected. `path` is where, such as `lines[2].units`."""

    def __init__(self, path: str, message: str, help: str | None = None) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.help = help


# --- whether a value fits ---------------------------------------------------------------------------------------------


def fits(type_: Type, value: object, records: Records = NO_RECORDS) -> bool:
    """Say whether `value` is one of `type_`, bounds and `max` included."""
    return checker(type_, records)(value)


def checker(type_: Type, records: Records = NO_RECORDS) -> Checker:
    """Return `fits` for one type, made once and asked often."""
    match type_:
        case ("bool",):
            return lambda value: value is True or value is False
        case ("int", low, high):
            least = 1 - _INT_END if low is None else low
            most = _INT_END - 1 if high is None else high
            return lambda value: type(value) is int and least <= value <= most
        case ("decimal", low, high):
            return _decimal_checker(None if low is None else Decimal(low), None if high is None else Decimal(high))
        case ("string",):
            return lambda value: type(value) is str and len(value) <= TEXT_MAX
        case ("principal",) | ("ref", _):
            return lambda value: type(value) is str and 0 < len(value) <= TEXT_MAX
        case ("time",):
            return lambda value: type(value) is int and TIME_MIN <= value <= TIME_MAX
        case ("duration",):
            return lambda value: type(value) is int and -DURATION_MAX <= value <= DURATION_MAX
        case ("one_of", values):
            known = frozenset(values)
            return lambda value: type(value) is str and value in known
        case ("record", name):
            parts = tuple(checker(part.type, records) for part in records[name])
            return lambda value: (
                type(value) is tuple
                and len(value) == len(parts)
                and all(part(item) for part, item in zip(parts, value, strict=True))
            )
        case ("optional", inner):
            present = checker(inner, records)
            return lambda value: value is None or present(value)
        case ("set", of, size):
            element = checker(of, records)
            return lambda value: (
                type(value) is frozenset and (size is None or len(value) <= size) and all(map(element, value))
            )
        case ("list", of, size):
            element = checker(of, records)
            return lambda value: (
                type(value) is tuple and (size is None or len(value) <= size) and all(map(element, value))
            )
        case ("map", key, of, size):
            return _map_checker(checker(key, records), checker(of, records), size)
        case _:
            raise AssertionError(f"a type that is none: {type_!r}")


def _decimal_checker(low: Decimal | None, high: Decimal | None) -> Checker:
    def fits_decimal(value: Any) -> bool:
        if type(value) is not Decimal or not value.is_finite():
            return False
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int), "it is finite"
        return (
            exponent >= -DIGITS_MAX
            and -_DECIMAL_END < value < _DECIMAL_END
            and (low is None or low <= value)
            and (high is None or value <= high)
        )

    return fits_decimal


def _map_checker(key: Checker, of: Checker, size: int | None) -> Checker:
    def fits_map(value: Any) -> bool:
        if type(value) is not tuple or (size is not None and len(value) > size):
            return False
        if not all(type(pair) is tuple and len(pair) == 2 and key(pair[0]) and of(pair[1]) for pair in value):
            return False
        keys = [canonical_key(pair[0]) for pair in value]
        return all(a < b for a, b in pairwise(keys))

    return fits_map


# --- order ------------------------------------------------------------------------------------------------------------


def canonical_key(value: Any) -> Any:
    """Return a sort key: `None` first, numbers by size, strings by code point, tuples by parts, sets by sorted ones."""
    if value is None:
        return (0,)
    if type(value) is tuple:
        return (1, tuple(map(canonical_key, value)))
    if type(value) is frozenset:
        return (1, tuple(sorted(map(canonical_key, value))))
    return (1, value)


_ATOMS = frozenset({int, str, Decimal, bool})


def in_order(values: Iterable[Any]) -> list[Any]:
    """Return values of one type in canonical order."""
    items = list(values)
    if len(items) < 2:
        return items
    if all(type(item) in _ATOMS for item in items):
        return sorted(items)
    return sorted(items, key=canonical_key)


def make_map(pairs: Iterable[tuple[Any, Any]]) -> tuple[tuple[Any, Any], ...]:
    """Return a map's value; of two pairs with one key the later counts."""
    return tuple(sorted(dict(pairs).items(), key=lambda pair: canonical_key(pair[0])))


# --- to JSON ----------------------------------------------------------------------------------------------------------


def encode(type_: Type, value: Any, records: Records = NO_RECORDS) -> Any:
    """Return `value` as JSON: the one spelling that a value of this type has."""
    match type_:
        case ("decimal", _, _):
            return decimal_text(value)
        case ("time",):
            return time_text(value)
        case ("duration",):
            return duration_text(value)
        case ("record", name):
            return {
                part.name: encode(part.type, item, records) for part, item in zip(records[name], value, strict=True)
            }
        case ("optional", inner):
            return None if value is None else encode(inner, value, records)
        case ("set", of, _):
            return [encode(of, item, records) for item in in_order(value)]
        case ("list", of, _):
            return [encode(of, item, records) for item in value]
        case ("map", key, of, _):
            if key[0] in _KEYS_OF_OBJECTS:
                return {_key_text(item): encode(of, worth, records) for item, worth in value}
            return [[encode(key, item, records), encode(of, worth, records)] for item, worth in value]
        case _:
            return value


_PLAIN = frozenset({"bool", "int", "string", "one_of", "principal", "ref"})


def is_plain(type_: Type) -> bool:
    """Say whether values of the type are JSON as they are: `encode` would give them back."""
    return is_plain(type_[1]) if type_[0] == "optional" else type_[0] in _PLAIN


def encode_args(params: Iterable[Param], values: Mapping[str, Any], records: Records = NO_RECORDS) -> dict[str, Any]:
    """Return the JSON of `values`, in the order of `params`; those that are absent stay so."""
    return {param.name: encode(param.type, values[param.name], records) for param in params if param.name in values}


def decimal_text(value: Decimal) -> str:
    """Return `value` without an exponent and without zeros that say nothing: `3.5`, `100`, `0`."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def time_text(ms: int) -> str:
    """Return a time as ISO 8601 in UTC, with milliseconds: `2026-01-02T03:04:05.678Z`."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z".rjust(24, "0")


def duration_text(ms: int) -> str:
    """Return a duration in the largest unit that is exact: `90s`, `30m`, `250ms`."""
    sign, size = ("-", -ms) if ms < 0 else ("", ms)
    if size == 0:
        return "0s"
    return next(f"{sign}{size // unit}{name}" for name, unit in _UNITS if size % unit == 0)


def _key_text(key: Any) -> str:
    if key is True or key is False:
        return "true" if key else "false"
    return str(key)


# --- from JSON --------------------------------------------------------------------------------------------------------


def decode(type_: Type, json: Any, *, records: Records = NO_RECORDS, path: str = "") -> Value:
    """Return the value that `json` stands for. Raises `BadValue`: what was expected, what was found, how to mend it.

    Takes more than `encode` gives: decimals as whole numbers, times with another offset, durations such as `1h30m`,
    optional parts of records left out, arrays of sets in any order.
    """
    match type_:
        case ("bool",):
            if json is not True and json is not False:
                _wrong(path, type_, json)
            return json
        case ("int", low, high):
            return _decode_int(type_, _whole(path, type_, json), low, high, path)
        case ("decimal", _, _):
            return _decode_decimal(type_, json, path)
        case ("string",) | ("principal",) | ("ref", _):
            return _decode_text(type_, json, path)
        case ("time",):
            return _decode_time(type_, json, path)
        case ("duration",):
            return _decode_duration(type_, json, path)
        case ("one_of", values):
            if type(json) is not str:
                _wrong(path, type_, json)
            if json not in values:
                near = suggest(json, values)
                mend = f"did you mean `{near}`?" if near else f"write one of {_listing(values)}"
                _wrong(path, type_, json, mend)
            return json
        case ("record", name):
            if type(json) is not dict:
                _wrong(path, type_, json, f"an object with {_listing(part.name for part in records[name])}")
            found = decode_args(records[name], json, records, path=path, what=f"a `{name}`")
            return tuple(found.get(part.name) for part in records[name])
        case ("optional", inner):
            return None if json is None else decode(inner, json, records=records, path=path)
        case ("set", of, size):
            items = _decode_items(type_, of, size, json, records, path)
            seen: set[Value] = set()
            for index, item in enumerate(items):
                if item in seen:
                    raise BadValue(
                        f"{path}[{index}]", f"`{show_json(json[index])}` stands in the set twice", "leave it out"
                    )
                seen.add(item)
            return frozenset(seen)
        case ("list", of, size):
            return tuple(_decode_items(type_, of, size, json, records, path))
        case ("map", key, of, size):
            return _decode_map(type_, key, of, size, json, records, path)
        case _:
            raise AssertionError(f"a type that is none: {type_!r}")


def decode_args(
    params: tuple[Param, ...],
    json: Any,
    records: Records = NO_RECORDS,
    *,
    path: str = "",
    what: str = "the request",
) -> dict[str, Value]:
    """Return the values of an object that names `params`, such as a request's body.

    Unknown names are refused, and missing ones unless they are optional or have a default: those stay absent.
    """
    if type(json) is not dict:
        raise BadValue(path, f"{what} is an object, found {_kind(json)}", "write it as `{...}`")
    known = {param.name: param for param in params}
    for name in json:
        if name not in known:
            near = suggest(name, known) if type(name) is str else None
            mend = f"did you mean `{near}`?" if near else f"{what} has {_listing(known)}" if known else "leave it out"
            raise BadValue(_join(path, str(name)), f"{what} has no `{name}`", mend)
    values: dict[str, Value] = {}
    for name, param in known.items():
        if name in json:
            values[name] = decode(param.type, json[name], records=records, path=_join(path, name))
        elif param.type[0] != "optional" and param.default is None:
            raise BadValue(_join(path, name), f"`{name}` is missing", f"add `{name}`: {describe(param.type)}")
    return values


def _whole(path: str, type_: Type, json: Any) -> int:
    if type(json) is int:
        return json
    # `3.0` is an integer in JSON, and in JSON Schema's eyes.
    if type(json) is float and json.is_integer() and abs(json) <= _EXACT_MAX:
        return int(json)
    mend = None
    if type(json) is float:
        mend = "write a whole number"
    elif type(json) is str and _INT.fullmatch(json):
        mend = f"write {show_json(json)}, without quotes"
    return _wrong(path, type_, json, mend)


def _decode_int(type_: Type, value: int, low: int | None, high: int | None, path: str) -> int:
    least = 1 - _INT_END if low is None else low
    most = _INT_END - 1 if high is None else high
    if value < least:
        _wrong(path, type_, value, f"at least {least}" if low is not None else f"at most {DIGITS_MAX} digits")
    if value > most:
        _wrong(path, type_, value, f"at most {most}" if high is not None else f"at most {DIGITS_MAX} digits")
    return value


def _decode_decimal(type_: Type, json: Any, path: str) -> Decimal:
    if type(json) is float and not json.is_integer():
        _wrong(path, type_, json, f'write it as a string, "{json!r}": a JSON number may lose digits on its way')
    if type(json) is str:
        if not _DECIMAL.fullmatch(json):
            _wrong(path, type_, json, 'write digits with a point, such as "12.50"')
        # Trailing zeros say nothing, and would count as digits.
        text = json.rstrip("0") if "." in json else json
        if len(text) > DIGITS_MAX:
            _wrong(path, type_, json, f"at most {DIGITS_MAX} digits")
        value = Decimal(text)
    else:
        value = Decimal(_decode_int(type_, _whole(path, type_, json), None, None, path))
    low, high = type_[1], type_[2]
    if low is not None and value < Decimal(low):
        _wrong(path, type_, json, f"at least {low}")
    if high is not None and value > Decimal(high):
        _wrong(path, type_, json, f"at most {high}")
    return value


def _decode_text(type_: Type, json: Any, path: str) -> str:
    if type(json) is not str:
        _wrong(path, type_, json, f'write "{json}", in quotes' if type(json) is int else None)
    if len(json) > TEXT_MAX:
        _wrong(path, type_, json, f"at most {TEXT_MAX:,} characters")
    if type_[0] != "string" and not json:
        _wrong(path, type_, json, "it can't be empty")
    if not json.isascii() and any("\ud800" <= char <= "\udfff" for char in json):
        raise BadValue(path, "the text holds half of a surrogate pair", "write it as valid Unicode")
    return json


def _decode_time(type_: Type, json: Any, path: str) -> int:
    mend = 'write it as "2026-01-02T03:04:05.678Z"'
    if type(json) is not str:
        _wrong(path, type_, json, mend)
    try:
        moment = datetime.fromisoformat(json)
    except ValueError:
        _wrong(path, type_, json, mend)
    offset = moment.utcoffset()
    if offset is None:
        _wrong(path, type_, json, f'say in which zone: "{json}Z" for UTC' if "T" in json else mend)
    if moment.microsecond % 1000:
        _wrong(path, type_, json, "times have milliseconds: write at most three digits after the point")
    # By hand, since `astimezone` overflows at the ends of the calendar.
    ms = (moment.replace(tzinfo=UTC) - _EPOCH - offset) // _MS
    if not TIME_MIN <= ms <= TIME_MAX:
        _wrong(path, type_, json, "write a time in the years 1 to 9999, in UTC")
    return ms


def _decode_duration(type_: Type, json: Any, path: str) -> int:
    mend = 'write it as "90s", "30m", "24h", "7d" or "1h30m"'
    if type(json) is not str or len(json) > 100:
        _wrong(path, type_, json, mend)
    found = _DURATION.fullmatch(json)
    if found is None or not any(found.groups()[1:]):
        _wrong(path, type_, json, mend)
    sign, *counts = found.groups()
    size = sum(int(count or 0) * unit for count, (_, unit) in zip(counts, _UNITS, strict=True))
    if size > DURATION_MAX:
        _wrong(path, type_, json, f"at most {duration_text(DURATION_MAX // 86_400_000 * 86_400_000)}")
    return -size if sign else size


def _decode_items(type_: Type, of: Type, size: int | None, json: Any, records: Records, path: str) -> list[Value]:
    if type(json) is not list and type(json) is not tuple:
        _wrong(path, type_, json, "write an array")
    if size is not None and len(json) > size:
        raise BadValue(path, f"expected {describe(type_)}, found {len(json)} of them", f"at most {size}")
    return [decode(of, item, records=records, path=f"{path}[{index}]") for index, item in enumerate(json)]


def _decode_map(type_: Type, key: Type, of: Type, size: int | None, json: Any, records: Records, path: str) -> Value:
    pairs: list[tuple[Any, Any]] = []
    if key[0] in _KEYS_OF_OBJECTS:
        if type(json) is not dict:
            _wrong(path, type_, json, "write an object")
        for text, worth in json.items():
            at = _join(path, str(text))
            pairs.append((_decode_key(key, text, at), decode(of, worth, records=records, path=at)))
    else:
        if type(json) is not list and type(json) is not tuple:
            _wrong(path, type_, json, "write an array of pairs, `[[key, value], ...]`")
        for index, pair in enumerate(json):
            at = f"{path}[{index}]"
            if (type(pair) is not list and type(pair) is not tuple) or len(pair) != 2:
                raise BadValue(at, f"expected a pair of a key and a value, found {_kind(pair)}", "write `[key, value]`")
            item = decode(key, pair[0], records=records, path=f"{at}[0]")
            pairs.append((item, decode(of, pair[1], records=records, path=f"{at}[1]")))
    made = make_map(pairs)
    if len(made) < len(pairs):
        raise BadValue(path, "a key stands in the map twice", "leave one of them out")
    if size is not None and len(made) > size:
        raise BadValue(path, f"expected {describe(type_)}, found {len(made)} of them", f"at most {size}")
    return made


def _decode_key(key: Type, text: str, path: str) -> Value:
    if key[0] == "int":
        if not _INT.fullmatch(text) or text == "-0" or len(text) > DIGITS_MAX:
            _wrong(path, key, text, "the key is a whole number, written as a string")
        return decode(key, int(text), path=path)
    if key[0] == "bool":
        if text not in {"true", "false"}:
            _wrong(path, key, text, 'the key is "true" or "false"')
        return text == "true"
    return decode(key, text, path=path)


def _wrong(path: str, type_: Type, json: Any, help: str | None = None) -> NoReturn:
    raise BadValue(path, f"expected {describe(type_)}, found {_kind(json)}", help)


def _kind(json: Any) -> str:
    if json is None:
        return "`null`"
    if type(json) is list or type(json) is tuple:
        return "an array"
    if type(json) is dict:
        return "an object"
    if type(json) is str:
        return f"the string `{show_json(json)}`"
    return f"`{show_json(json)}`"


def show_json(json: Any) -> str:
    """Return a piece of JSON as a message quotes it: cut where it is long."""
    if json is True or json is False:
        return "true" if json else "false"
    if type(json) is int and abs(json) >= 10**40:
        return f"an integer of {json.bit_length()} bits"
    text = str(json)
    return text if len(text) <= 60 else text[:57] + "..."


def _listing(names: Iterable[str]) -> str:
    known = [f"`{name}`" for name in names]
    shown = known if len(known) <= 8 else [*known[:7], f"{len(known) - 7} more"]
    return ", ".join(shown)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- in words ---------------------------------------------------------------------------------------------------------


def describe(type_: Type) -> str:
    """Return a type as a blueprint writes it: `int 0..64`, `set of string max 8`, `time?`."""
    match type_:
        case ("int" | "decimal", None, None):
            return str(type_[0])
        case ("int" | "decimal", low, high):
            return f"{type_[0]} {'' if low is None else low}..{'' if high is None else high}"
        case ("one_of", values):
            return f"one of ({', '.join(values)})"
        case ("ref" | "record", name):
            return str(name)
        case ("optional", inner):
            return f"{describe(inner)}?"
        case ("set" | "list", of, size):
            return f"{type_[0]} of {describe(of)}{'' if size is None else f' max {size}'}"
        case ("map", key, of, size):
            return f"map of {describe(key)} to {describe(of)}{'' if size is None else f' max {size}'}"
        case _:
            return str(type_[0])


def show(value: Any) -> str:
    """Return a value as a message shows it, where its type is not known: numbers and texts as they are."""
    if value is None:
        return "none"
    if type(value) is Decimal:
        return show_json(decimal_text(value))
    if type(value) is frozenset:
        return f"{{{', '.join(show(item) for item in in_order(value))}}}"
    if type(value) is tuple:
        return f"[{', '.join(map(show, value))}]"
    return show_json(value)


def show_as(type_: Type, value: Any, records: Records = NO_RECORDS) -> str:
    """Return a value of `type_` as a blueprint would write it."""
    match type_:
        case ("string",) if type(value) is str:
            return f'"{show_json(value)}"'
        case ("time",) if fits(type_, value):
            return time_text(value)
        case ("duration",) if fits(type_, value):
            return duration_text(value)
        case ("optional", inner):
            return "none" if value is None else show_as(inner, value, records)
        case ("set", of, _) if type(value) is frozenset:
            return f"{{{', '.join(show_as(of, item, records) for item in in_order(value))}}}"
        case ("list", of, _) if type(value) is tuple:
            return f"[{', '.join(show_as(of, item, records) for item in value)}]"
        case ("map", key, of, _) if type(value) is tuple:
            shown = (f"{show_as(key, item, records)}: {show_as(of, worth, records)}" for item, worth in value)
            return f"{{{', '.join(shown)}}}"
        case ("record", name) if type(value) is tuple and name in records:
            parts = zip(records[name], value, strict=False)
            return f"{name}({', '.join(f'{part.name}: {show_as(part.type, item, records)}' for part, item in parts)})"
        case ("principal",) | ("ref", _) | ("one_of", _):
            return show(value)
        case _:
            # A string where something else should be is seen to be one.
            return f'"{show_json(value)}"' if type(value) is str else show(value)


# --- for OpenAPI ------------------------------------------------------------------------------------------------------


def json_schema(type_: Type, records: Records = NO_RECORDS) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what `decode` takes for `type_`."""
    match type_:
        case ("bool",):
            return {"type": "boolean"}
        case ("int", low, high):
            return {"type": "integer", **_some(minimum=low, maximum=high)}
        case ("decimal", low, _):
            sign = "" if low is not None and Decimal(low) >= 0 else "-?"
            least = {} if low is None or Decimal(low) != int(Decimal(low)) else {"minimum": int(Decimal(low))}
            text = {"type": "string", "pattern": rf"^{sign}[0-9]+(\.[0-9]+)?$", "description": describe(type_)}
            return {"anyOf": [text, {"type": "integer", **least}]}
        case ("string",):
            return {"type": "string"}
        case ("principal",):
            return {"type": "string", "minLength": 1, "description": "a principal"}
        case ("ref", entity):
            return {"type": "string", "minLength": 1, "description": f"the id of a {entity}"}
        case ("time",):
            return {"type": "string", "format": "date-time"}
        case ("duration",):
            pattern = r"^-?(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m(?!s))?([0-9]+s)?([0-9]+ms)?$"
            return {"type": "string", "pattern": pattern, "description": "a duration, such as 90s or 1h30m"}
        case ("one_of", values):
            return {"type": "string", "enum": list(values)}
        case ("record", name):
            return args_schema(records[name], records)
        case ("optional", inner):
            return {"anyOf": [json_schema(inner, records), {"type": "null"}]}
        case ("set", of, size):
            return {"type": "array", "items": json_schema(of, records), "uniqueItems": True, **_some(maxItems=size)}
        case ("list", of, size):
            return {"type": "array", "items": json_schema(of, records), **_some(maxItems=size)}
        case ("map", key, of, size):
            worth = json_schema(of, records)
            if key[0] in _KEYS_OF_OBJECTS:
                names = _key_schema(key)
                return {"type": "object", **names, "additionalProperties": worth, **_some(maxProperties=size)}
            pair = {"type": "array", "prefixItems": [json_schema(key, records), worth], "minItems": 2, "maxItems": 2}
            return {"type": "array", "items": {**pair, "items": False}, **_some(maxItems=size)}
        case _:
            raise AssertionError(f"a type that is none: {type_!r}")


def args_schema(params: Iterable[Param], records: Records = NO_RECORDS) -> dict[str, Any]:
    """Return the JSON Schema of what `decode_args` takes."""
    known = list(params)
    required = [param.name for param in known if param.type[0] != "optional" and param.default is None]
    return {
        "type": "object",
        "properties": {param.name: json_schema(param.type, records) for param in known},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _key_schema(key: Type) -> dict[str, Any]:
    match key:
        case ("one_of", values):
            return {"propertyNames": {"enum": list(values)}}
        case ("int", _, _):
            return {"propertyNames": {"pattern": r"^(0|-?[1-9][0-9]*)$"}}
        case ("bool",):
            return {"propertyNames": {"enum": ["true", "false"]}}
        case ("ref", _) | ("principal",):
            return {"propertyNames": {"minLength": 1}}
        case _:
            return {}


def _some(**entries: Any) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if entry is not None}
