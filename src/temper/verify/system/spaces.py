"""Values of a table's types as codes: how one is stored in variables, and how it stands in an expression.

A scalar is a code of one number: a bool 0 or 1, a whole number itself, a decimal times ten to a power, the position of
an enumeration's value, of a principal, a text or an entity among those of the system, milliseconds for times and
durations. Sets are masks whose bit is the element's number; records and maps are their parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any, TypeAlias

from msgspec import Struct

from temper.table import Table, Type
from temper.table import Value as Plain
from temper.verify.system import codes
from temper.verify.system.codes import FALSE, both, const, either, eq, ite, no, op
from temper.verify.system.ir import TRUE, Code

# A set's elements have numbers below this, so that its mask fits a word.
ELEMENTS_MAX = 20
# A list keeps so many items at the most, and is put together of no more.
KEPT_MAX = 8
ITEMS_MAX = 2 * KEPT_MAX
WORD = 1 << 61


class UnloweredError(Exception):
    """Something has no exact finite form: `reason` says what, and `within` where, in the blueprint's words."""

    def __init__(self, reason: str, within: str = "") -> None:
        super().__init__(f"{reason} in `{within}`" if within else reason)
        self.reason = reason
        self.within = within


class Maybe(Struct, frozen=True):
    """A `T?`."""

    present: Code
    inner: Value


class Many(Struct, frozen=True):
    """A set of scalars of a type."""

    mask: Code
    of: Type


class Parts(Struct, frozen=True):
    """A record, by its parts in the order of their declaration."""

    name: str
    parts: tuple[Value, ...]


class Row(Struct, frozen=True):
    """A list: how long it is, and the items in order. What stands behind the last item is nothing."""

    size: Code
    items: tuple[Value, ...]
    of: Type


class Keyed(Struct, frozen=True):
    """A map: for each key that there can be, whether it is there and its worth.

    The keys that are whole numbers are those between the ends of `key`, which may be others than those of the type.
    """

    key: Type
    of: Type
    entries: tuple[Maybe, ...]


Value: TypeAlias = Code | Maybe | Many | Parts | Keyed | Row


def scalar(value: Value) -> Code:
    """Return a value that is one number."""
    assert isinstance(value, tuple), f"one number is expected, not {value!r}"
    return value


def chosen(condition: Code, a: Value, b: Value) -> Value:
    """Return `a` where the condition holds, else `b`."""
    if condition[0] == "const":
        return a if condition[1] else b
    match a, b:
        case Maybe(), Maybe():
            return Maybe(ite(condition, a.present, b.present), chosen(condition, a.inner, b.inner))
        case Many(), Many():
            return Many(ite(condition, a.mask, b.mask), a.of)
        case Parts(), Parts():
            return Parts(a.name, tuple(chosen(condition, x, y) for x, y in zip(a.parts, b.parts, strict=True)))
        case Row(), Row():
            pairs = zip_longest(a.items, b.items)
            items = (y if x is None else x if y is None else chosen(condition, x, y) for x, y in pairs)
            return Row(ite(condition, a.size, b.size), tuple(items), a.of)
        case Keyed(), Keyed():
            a, b = alike_keys(a, b)
            entries = (_maybe(chosen(condition, x, y)) for x, y in zip(a.entries, b.entries, strict=True))
            return Keyed(a.key, a.of, tuple(entries))
        case _:
            return ite(condition, scalar(a), scalar(b))


def same(a: Value, b: Value) -> Code:
    """Return that two values of one type are the same."""
    match a, b:
        case Maybe(), Maybe():
            alike = either(no(a.present), same(a.inner, b.inner))
            return both(same_truth(a.present, b.present), alike)
        case Many(), Many():
            if not (_apart(a.mask) or _apart(b.mask)):
                return eq(a.mask, b.mask)
            elements = range((possible(a.mask) | possible(b.mask)).bit_length())
            return both(*(same_truth(has(a.mask, const(n)), has(b.mask, const(n))) for n in elements))
        case Parts(), Parts():
            return both(*(same(x, y) for x, y in zip(a.parts, b.parts, strict=True)))
        case Row(), Row():
            pairs = enumerate(zip(a.items, b.items, strict=False))
            return both(eq(a.size, b.size), *(either(op("<=", a.size, const(n)), same(x, y)) for n, (x, y) in pairs))
        case Keyed(), Keyed():
            a, b = alike_keys(a, b)
            return both(*(same(x, y) for x, y in zip(a.entries, b.entries, strict=True)))
        case _:
            return eq(scalar(a), scalar(b))


def same_truth(a: Code, b: Code) -> Code:
    """Return that two truth values are the same."""
    if a[0] == "const":
        a, b = b, a
    if b[0] == "const":
        return a if b[1] else no(a)
    return eq(a, b)


# --- maps and lists ---------------------------------------------------------------------------------------------------


def alike_keys(a: Keyed, b: Keyed) -> tuple[Keyed, Keyed]:
    """Return two maps with the same keys: those of both."""
    if a.key == b.key:
        return a, b
    low, high = min(a.key[1], b.key[1]), max(a.key[2], b.key[2])
    return keyed_by(a, low, high, b.entries), keyed_by(b, low, high, a.entries)


def keyed_by(held: Keyed, low: int, high: int, others: Sequence[Maybe]) -> Keyed:
    """Return a map with the keys from `low` to `high`; one that it has not stands like some other's, and is absent."""
    if high - low >= ELEMENTS_MAX:
        raise UnloweredError(f"a map of more than {ELEMENTS_MAX} keys")
    absent = Maybe(FALSE, (*held.entries, *others)[0].inner)
    own = dict(zip(range(held.key[1], held.key[2] + 1), held.entries, strict=True))
    return Keyed(("int", low, high), held.of, tuple(own.get(n, absent) for n in range(low, high + 1)))


def put_together(a: Row, b: Row) -> Row:
    """Return a list with the items of one behind those of the other."""
    total = len(a.items) + len(b.items)
    if total > ITEMS_MAX:
        raise UnloweredError(f"a list of more than {ITEMS_MAX} items")
    items: list[Value] = []
    for n in range(total):
        at: Value | None = None
        for size in range(len(a.items), -1, -1):
            one = a.items[n] if n < size else b.items[n - size] if n - size < len(b.items) else None
            if one is not None:
                at = one if at is None else chosen(eq(a.size, const(size)), one, at)
        assert at is not None, "an item of one of the two"
        items.append(at)
    return Row(op("+", a.size, b.size), tuple(items), a.of)


def listed(row: Row) -> Iterator[tuple[Code, Value]]:
    """Each item that a list may have, and that it has so many."""
    for n, item in enumerate(row.items):
        yield op(">", row.size, const(n)), item


# --- masks ------------------------------------------------------------------------------------------------------------


def has(mask: Code, element: Code) -> Code:
    """Return that a set has an element: of one that is known, by what the set is made of."""
    if element[0] != "const":
        if not _apart(mask):
            return op("has", mask, element)
        held = (both(eq(element, const(n)), has(mask, const(n))) for n in range(possible(mask).bit_length()))
        return either(*held)
    if not possible(mask) >> element[1] & 1:
        return FALSE
    if mask[0] in codes.TRUTHS:
        return mask
    match mask:
        case ("ite", condition, a, b):
            return ite(condition, has(a, element), has(b, element))
        case ("bits_or", a, b):
            return either(has(a, element), has(b, element))
        case ("bits_and", a, b):
            return both(has(a, element), has(b, element))
        case ("bits_without", a, b):
            return both(has(a, element), no(has(b, element)))
        case ("bit", inner):
            return eq(inner, element)
        case _:
            return op("has", mask, element)


def count(mask: Code) -> Code:
    """Return how many elements a set has."""
    if not _apart(mask):
        return codes.count(mask)
    total = const(0)
    for n in range(possible(mask).bit_length()):
        total = op("+", total, ite(has(mask, const(n)), const(1), const(0)))
    return total


def within(mask: Code, known: int) -> Code:
    """Return that a set has no elements but those of a known one."""
    if not possible(mask) & ~known:
        return TRUE
    if not _apart(mask):
        return eq(op("bits_without", mask, const(known)), const(0))
    return both(*(no(has(mask, const(n))) for n in range(possible(mask).bit_length()) if not known >> n & 1))


def possible(mask: Code) -> int:
    """Return the elements that a set may have, as a mask."""
    if mask[0] in codes.TRUTHS:
        return 1
    match mask:
        case ("const", n):
            return int(n)
        case ("ite", _, a, b) | ("bits_or", a, b):
            return possible(a) | possible(b)
        case ("bits_and", a, b):
            return possible(a) & possible(b)
        case ("bits_without", a, b):
            return possible(a) & ~b[1] if b[0] == "const" else possible(a)
        case _:
            return (1 << ELEMENTS_MAX) - 1


def _apart(mask: Code) -> bool:
    """Say whether a set is kept element by element, in part at least."""
    match mask:
        case ("ite", _, a, b):
            return a[0] == b[0] == "const" or _apart(a) or _apart(b)
        case ("bits_or" | "bits_and" | "bits_without", a, b):
            return _apart(a) or _apart(b)
        case _:
            # Whether the first element is there is the set that has it or nothing.
            return mask[0] in codes.TRUTHS


def _maybe(value: Value) -> Maybe:
    assert isinstance(value, Maybe), "a map's entries may be absent"
    return value


class Words:
    """The numbers of what has a name: principals, texts and entities; and how fine decimals are."""

    def __init__(
        self,
        table: Table,
        principals: Sequence[str],
        texts: Sequence[str],
        ids: Mapping[str, Sequence[str]],
        digits: int,
    ) -> None:
        self.table = table
        self.principals = tuple(principals)
        self.texts = tuple(dict.fromkeys(texts))
        self.ids = {entity: tuple(names) for entity, names in ids.items()}
        self.digits = digits

    def names(self, type_: Type) -> tuple[Plain, ...] | None:
        """Return all values of a type that go by their number, in the order of the numbers; `None` of other types."""
        match type_:
            case ("bool",):
                return (False, True)
            case ("one_of", values):
                return tuple(values)
            case ("principal",):
                return self.principals
            case ("string",):
                return self.texts
            case ("ref", entity):
                return self.ids.get(entity, ())
            case _:
                return None

    def texts_of(self, code: Code) -> range:
        """Return the numbers of the texts that a code may be."""
        return range(code[1], code[1] + 1) if code[0] == "const" else range(len(self.texts))

    def number(self, type_: Type, value: Any) -> int:
        """Return the number of a scalar."""
        known = self.names(type_)
        if known is not None:
            if value not in known:
                raise UnloweredError(f"`{value}` is not among the values that the search draws")
            return known.index(value)
        if type_[0] == "decimal":
            scaled = Decimal(value).scaleb(self.digits)
            if scaled != int(scaled):
                raise UnloweredError(f"the decimal {value} is finer than the search counts")
            return int(scaled)
        return int(value)

    def plain(self, type_: Type, number: int) -> Plain:
        """Return the scalar of a number."""
        known = self.names(type_)
        if known is not None:
            return known[number]
        return Decimal(number).scaleb(-self.digits) if type_[0] == "decimal" else number

    def constant(self, type_: Type, value: Any) -> Value:
        """Return a value that is known."""
        match type_:
            case ("optional", inner):
                if value is None:
                    return Maybe(FALSE, self.empty(inner))
                return Maybe(TRUE, self.constant(inner, value))
            case ("set", inner, _):
                mask = 0
                for item in value:
                    mask |= 1 << self.element(inner, self.number(inner, item))
                return Many(const(mask), inner)
            case ("record", name):
                parts = self.table.records[name]
                return Parts(name, tuple(self.constant(p.type, v) for p, v in zip(parts, value, strict=True)))
            case ("map", key, inner, _):
                worth = dict(value)
                key = self.bounded_key(key, [self.number(key, each) for each in worth])
                entries = []
                for each in self.keys(key):
                    entries.append(self.constant(("optional", inner), worth.get(self.plain(key, each))))
                if len(worth) > sum(e.present == TRUE for e in map(_maybe, entries)):
                    raise UnloweredError("a map with a key that the search does not draw")
                return Keyed(key, inner, tuple(map(_maybe, entries)))
            case ("list", inner, _):
                return Row(const(len(value)), tuple(self.constant(inner, item) for item in value), inner)
            case _:
                return const(self.number(type_, value))

    def empty(self, type_: Type) -> Value:
        """Return a value of a type, to stand where nobody looks."""
        match type_:
            case ("optional", inner):
                return Maybe(FALSE, self.empty(inner))
            case ("set", inner, _):
                return Many(const(0), inner)
            case ("record", name):
                return Parts(name, tuple(self.empty(part.type) for part in self.table.records[name]))
            case ("map", key, inner, _):
                nothing = Maybe(FALSE, self.empty(inner))
                key = self.bounded_key(key, [])
                return Keyed(key, inner, tuple(nothing for _ in self.keys(key)))
            case ("list", inner, _):
                return Row(const(0), (), inner)
            case ("int" | "decimal", low, _) if low is not None:
                return const(self.number(type_, low))
            case _:
                return const(0)

    def element(self, type_: Type, number: int) -> int:
        """Return an element's bit in a set."""
        if type_[0] in {"decimal", "time", "duration"} or not 0 <= number < ELEMENTS_MAX:
            raise UnloweredError(f"a set of more than {ELEMENTS_MAX} values, or of numbers below 0")
        return number

    def elements(self, type_: Type) -> range:
        """Return the numbers that a set's elements can have."""
        known = self.names(type_)
        if known is not None:
            if len(known) > ELEMENTS_MAX:
                raise UnloweredError(f"a set of more than {ELEMENTS_MAX} values")
            return range(len(known))
        match type_:
            case ("int", int(low), int(high)) if low >= 0 and high < ELEMENTS_MAX:
                return range(low, high + 1)
            case ("int", None, _) | ("int", _, None):
                return range(ELEMENTS_MAX)
            case _:
                raise UnloweredError(f"a set of more than {ELEMENTS_MAX} values, or of numbers below 0")

    def keys(self, type_: Type) -> range:
        """Return the numbers that a map's keys can have."""
        known = self.names(type_)
        if known is not None:
            return range(len(known))
        match type_:
            case ("int", int(low), int(high)) if high - low < ELEMENTS_MAX:
                return range(low, high + 1)
            case _:
                raise UnloweredError(f"a map of more than {ELEMENTS_MAX} keys")

    def bounded_key(self, type_: Type, numbers: Sequence[int]) -> Type:
        """Return a type of keys with ends, those of these numbers where it has none."""
        if type_[0] == "int" and None in type_[1:]:
            return ("int", min(numbers, default=0), max(numbers, default=0))
        return type_

    def of_type(self, value: Value, type_: Type, span: Callable[[Code], tuple[int, int]]) -> Code:
        """Return that a value of a type's kind is of the type."""
        match type_:
            case ("int" | "decimal", low, high):
                number = scalar(value)
                least, most = span(number)
                fits = TRUE
                if low is not None and least < (floor := self.number(type_, low)):
                    fits = both(fits, op(">=", number, const(floor)))
                if high is not None and most > (ceiling := self.number(type_, high)):
                    fits = both(fits, op("<=", number, const(ceiling)))
                return fits
            case ("optional", inner):
                assert isinstance(value, Maybe), "a `T?` is one"
                return either(no(value.present), self.of_type(value.inner, inner, span))
            case ("set", inner, size):
                assert isinstance(value, Many), "a set is one"
                known = sum(1 << n for n in self.elements(inner))
                sure = not known & (known + 1) and span(value.mask)[1] <= known
                fits = TRUE if sure else within(value.mask, known)
                if size is not None and known.bit_count() > size:
                    fits = both(fits, op("<=", count(value.mask), const(size)))
                return fits
            case ("record", name):
                assert isinstance(value, Parts), "a record is one"
                types = [part.type for part in self.table.records[name]]
                return both(*(self.of_type(v, t, span) for v, t in zip(value.parts, types, strict=True)))
            case ("list", inner, size):
                assert isinstance(value, Row), "a list is one"
                items = ((there, self.of_type(item, inner, span)) for there, item in listed(value))
                fits = both(*(either(no(there), mine) for there, mine in items))
                return (
                    fits if size is None or len(value.items) <= size else both(op("<=", value.size, const(size)), fits)
                )
            case ("map", key, inner, size):
                assert isinstance(value, Keyed), "a map is one"
                allowed = self.keys(key)
                numbered = zip(self.keys(value.key), value.entries, strict=True)
                fits = both(
                    *(
                        self.of_type(each, ("optional", inner), span) if number in allowed else no(each.present)
                        for number, each in numbered
                    )
                )
                if size is not None and len(value.entries) > size:
                    total = const(0)
                    for each in value.entries:
                        total = op("+", total, ite(each.present, const(1), const(0)))
                    fits = both(fits, op("<=", total, const(size)))
                return fits
            case ("duration",):
                return op(">=", scalar(value), const(0)) if span(scalar(value))[0] < 0 else TRUE
            case _:
                return TRUE


class Space:
    """Where a value is stored: variables with sizes, from which it is read and to which it is written."""

    sizes: tuple[tuple[int, int, tuple[str, ...]], ...] = ()
    """(size, low, labels) of each variable."""

    def read(self, at: Sequence[Code]) -> Value:
        """Return the value in these variables (as codes)."""
        raise NotImplementedError

    def write(self, value: Value) -> list[Code]:
        """Return the number for each variable."""
        raise NotImplementedError

    def bound(self, value: Value) -> Code:
        """Return that a value of the real type lies within what is searched."""
        return TRUE

    def plain(self, numbers: Sequence[int]) -> Plain:
        """Return the value that numbers in the variables are."""
        raise NotImplementedError


class Number(Space):
    """A scalar between two ends; `closed` where the type has no other values."""

    def __init__(self, words: Words, type_: Type, low: int, high: int, *, closed: bool) -> None:
        names = words.names(type_)
        labels = tuple(map(str, names)) if names is not None and type_ != ("bool",) else ()
        labels = ("nobody", *labels) if labels and low < 0 else labels
        self.sizes = ((max(high - low + 1, 1), low, labels),)
        self.type = type_
        self.words = words
        self.low, self.high, self.closed = low, high, closed

    def read(self, at: Sequence[Code]) -> Value:
        return at[0]

    def write(self, value: Value) -> list[Code]:
        return [scalar(value)]

    def bound(self, value: Value) -> Code:
        if self.closed:
            return TRUE
        return both(op(">=", scalar(value), const(self.low)), op("<=", scalar(value), const(self.high)))

    def plain(self, numbers: Sequence[int]) -> Plain:
        return self.words.plain(self.type, numbers[0])


class Fixed(Space):
    """What is the same in every state: a moment, or what was worked out from one."""

    def __init__(self, value: Value, plain: Plain) -> None:
        self.value = value
        self.kept = plain

    def read(self, at: Sequence[Code]) -> Value:
        return self.value

    def write(self, value: Value) -> list[Code]:
        return []

    def plain(self, numbers: Sequence[int]) -> Plain:
        return self.kept


class Opt(Space):
    """A `T?`: a scalar has one code more, anything else a variable beside it."""

    def __init__(self, inner: Space, empty: Value) -> None:
        self.inner = inner
        self.empty = empty
        self.joined = isinstance(inner, Number)
        if self.joined:
            size, _, labels = inner.sizes[0]
            self.sizes = ((size + 1, 0, ("none", *labels) if labels else ()),)
        else:
            self.sizes = ((2, 0, ()), *inner.sizes)

    def read(self, at: Sequence[Code]) -> Value:
        if isinstance(self.inner, Number):
            return Maybe(op("!=", at[0], const(0)), op("+", at[0], const(self.inner.low - 1)))
        return Maybe(eq(at[0], const(1)), self.inner.read(at[1:]))

    def write(self, value: Value) -> list[Code]:
        assert isinstance(value, Maybe), "a `T?` is one"
        if isinstance(self.inner, Number):
            return [ite(value.present, op("-", scalar(value.inner), const(self.inner.low - 1)), const(0))]
        blank = self.inner.write(self.empty)
        parts = self.inner.write(value.inner)
        return [
            ite(value.present, const(1), const(0)),
            *(ite(value.present, part, nothing) for part, nothing in zip(parts, blank, strict=True)),
        ]

    def bound(self, value: Value) -> Code:
        assert isinstance(value, Maybe), "a `T?` is one"
        return either(no(value.present), self.inner.bound(value.inner))

    def plain(self, numbers: Sequence[int]) -> Plain:
        if numbers[0] == 0:
            return None
        if isinstance(self.inner, Number):
            return self.inner.plain([numbers[0] + self.inner.low - 1])
        return self.inner.plain(numbers[1:])


class Mask(Space):
    """A set of entities, as a mask: these can be exchanged for each other, and the bits of the mask with them."""

    def __init__(self, words: Words, of: Type) -> None:
        self.words = words
        self.of = of
        self.sizes = ((1 << max((*words.elements(of), -1)) + 1, 0, ()),)

    def read(self, at: Sequence[Code]) -> Value:
        return Many(at[0], self.of)

    def write(self, value: Value) -> list[Code]:
        assert isinstance(value, Many), "a set is one"
        return [value.mask]

    def plain(self, numbers: Sequence[int]) -> Plain:
        return frozenset(self.words.plain(self.of, n) for n in self.words.elements(self.of) if numbers[0] >> n & 1)


class Elements(Space):
    """A set, element by element: a guard that asks for one of them reads one variable of two values."""

    def __init__(self, words: Words, of: Type) -> None:
        self.words = words
        self.of = of
        self.sizes = tuple((2, 0, ()) for _ in words.elements(of))

    def read(self, at: Sequence[Code]) -> Value:
        mask = const(0)
        for number, code in zip(self.words.elements(self.of), at, strict=True):
            mask = op("bits_or", mask, ite(eq(code, const(1)), const(1 << number), const(0)))
        return Many(mask, self.of)

    def write(self, value: Value) -> list[Code]:
        assert isinstance(value, Many), "a set is one"
        return [ite(has(value.mask, const(n)), const(1), const(0)) for n in self.words.elements(self.of)]

    def plain(self, numbers: Sequence[int]) -> Plain:
        there = zip(self.words.elements(self.of), numbers, strict=True)
        return frozenset(self.words.plain(self.of, number) for number, is_there in there if is_there)


class Several(Space):
    """A record or a map, part by part."""

    def __init__(
        self, spaces: Sequence[Space], make: Callable[[tuple[Value, ...]], Value], keys: tuple[Plain, ...] | None
    ) -> None:
        self.spaces = tuple(spaces)
        self.sizes = tuple(size for space in spaces for size in space.sizes)
        self.make = make
        self.keys = keys
        """A map's keys; `None` of a record."""

    def _split(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        found, start = [], 0
        for space in self.spaces:
            found.append(items[start : start + len(space.sizes)])
            start += len(space.sizes)
        return found

    def read(self, at: Sequence[Code]) -> Value:
        return self.make(tuple(space.read(own) for space, own in zip(self.spaces, self._split(at), strict=True)))

    def write(self, value: Value) -> list[Code]:
        return [code for space, part in zip(self.spaces, self._parts(value), strict=True) for code in space.write(part)]

    def bound(self, value: Value) -> Code:
        return both(*(space.bound(part) for space, part in zip(self.spaces, self._parts(value), strict=True)))

    def _parts(self, value: Value) -> tuple[Value, ...]:
        """Return a record's parts, or for each key that is kept what the map has there."""
        if isinstance(value, Parts):
            return value.parts
        assert isinstance(value, Keyed), "a record or a map"
        if value.key[0] != "int" or self.keys is None:
            return value.entries
        own = dict(zip(range(value.key[1], value.key[2] + 1), value.entries, strict=True))
        return tuple(
            own.get(int(str(key)), Maybe(FALSE, space.empty))
            for key, space in zip(self.keys, self.spaces, strict=True)
            if isinstance(space, Opt)
        )

    def plain(self, numbers: Sequence[int]) -> Plain:
        parts = [space.plain(own) for space, own in zip(self.spaces, self._split(numbers), strict=True)]
        if self.keys is None:
            return tuple(parts)
        return tuple((key, part) for key, part in zip(self.keys, parts, strict=True) if part is not None)


class Items(Space):
    """A list: how long it is, and room for so many items, empty where there is none."""

    def __init__(self, inner: Space, of: Type, empty: Value, most: int, *, closed: bool) -> None:
        self.inner = inner
        self.of = of
        self.empty = empty
        self.most = most
        self.closed = closed
        self.sizes = ((most + 1, 0, ()), *(size for _ in range(most) for size in inner.sizes))

    def _split(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        width = len(self.inner.sizes)
        return [items[1 + n * width : 1 + (n + 1) * width] for n in range(self.most)]

    def read(self, at: Sequence[Code]) -> Value:
        return Row(at[0], tuple(self.inner.read(own) for own in self._split(at)), self.of)

    def write(self, value: Value) -> list[Code]:
        assert isinstance(value, Row), "a list is one"
        blank = self.inner.write(self.empty)
        found = [value.size]
        for n in range(self.most):
            there = op(">", value.size, const(n))
            item = self.inner.write(value.items[n]) if n < len(value.items) else blank
            found += [ite(there, a, b) for a, b in zip(item, blank, strict=True)]
        return found

    def bound(self, value: Value) -> Code:
        assert isinstance(value, Row), "a list is one"
        fits = both(*(either(no(there), self.inner.bound(item)) for there, item in listed(value)))
        return fits if self.closed else both(op("<=", value.size, const(self.most)), fits)

    def plain(self, numbers: Sequence[int]) -> Plain:
        return tuple(self.inner.plain(own) for own in self._split(numbers)[: numbers[0]])
