"""A table's expressions as codes, over the variables of a system.

What an expression asks from the left, its code asks from the left too. Where it would have no value (a division by
zero, a `none` taken for a value) is returned beside it, as conditions in the order in which `step` meets them; the
code itself is meant where none of these holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Caller, Expr, Table, Type, Why, decode, describe_expr
from temper.verify.expressions import Names, element_type, names_in, type_of, without_lets
from temper.verify.system import codes
from temper.verify.system.codes import FALSE, both, const, either, eq, ite, no, op, total
from temper.verify.system.ir import TRUE, Code
from temper.verify.system.spaces import (
    WORD,
    Keyed,
    Many,
    Maybe,
    Parts,
    Row,
    UnloweredError,
    Value,
    Words,
    chosen,
    count,
    has,
    keyed_by,
    listed,
    put_together,
    same,
    scalar,
)

# What the search goes no further with than it counts.
DECIMALS, TEXTS = "decimals", "texts"


class World(Protocol):
    """The entities of a system, as an expression sees them at one moment."""

    words: Words

    def count(self, entity: str) -> int:
        """Return how many there may be."""

    def exists(self, entity: str, number: int) -> Code:
        """Return that one of them is there."""

    def is_in(self, entity: str, number: int, states: Sequence[str]) -> Code:
        """Return that one is in one of these states."""

    def value(self, entity: str, number: int, name: str) -> Value:
        """Return the value of a field."""

    def span(self, code: Code) -> tuple[int, int]:
        """Return between which ends a code lies."""


class Scope(Struct, frozen=True):
    """What an expression reads where it stands."""

    world: World
    table: Table
    names: Names
    me: tuple[str, int] | None
    is_in: Callable[[Sequence[str]], Code]
    value: Callable[[str], tuple[Value, Code]]
    """A field's value, and that it has none yet."""
    params: Mapping[str, Value] = field(default_factory=dict)
    caller: Caller | None = None
    results: Mapping[str, Value] = field(default_factory=dict)
    error: tuple[str, str] = ("", "")
    created: Mapping[str, int] = field(default_factory=dict)
    bound: Mapping[str, Value] = field(default_factory=dict)
    before: Scope | None = None
    moves: frozenset[str] = frozenset()
    """The actions that this entity takes in the step."""
    beside: frozenset[tuple[str, str]] = frozenset()
    """(entity, action) of all that is taken in the step."""
    now: int = 1


class Problem(Struct, frozen=True):
    """That an expression has no value, where `condition` holds; without a `why`, none that the search keeps."""

    condition: Code
    why: Why | None
    bound: str = ""
    """What the search goes no further with."""


class Reading:
    """One expression, or several that are read one after another, with the problems that they meet."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.problems: list[Problem] = []
        self._given: list[Code] = []

    @contextmanager
    def given(self, condition: Code) -> Iterator[None]:
        """Within this, what is read is read only where the condition holds."""
        self._given.append(condition)
        yield
        self._given.pop()

    def problem(self, condition: Code, why: Why | None, bound: str = "") -> None:
        whole = both(*self._given, condition)
        if whole != FALSE:
            self.problems.append(Problem(whole, why, bound))

    def truth(self, e: Expr) -> Code:
        """Return a condition."""
        return scalar(self.value(e))

    def value(self, e: Expr) -> Value:
        """Return what an expression is worth."""
        whole = without_lets(e, self.scope.names)
        try:
            return self._value(whole, self.scope)
        except UnloweredError as problem:
            if problem.within:
                raise
            raise UnloweredError(problem.reason, describe_expr(e)) from problem

    # --- one operation ------------------------------------------------------------------------------------------------

    def _value(self, e: Expr, at: Scope) -> Value:
        simple = _LEAVES.get(e[0])
        if simple is not None:
            return simple(self, e, at)
        match e:
            case ("some", inner):
                return Maybe(TRUE, self._value(inner, at))
            case ("value", inner):
                held = self._value(inner, at)
                assert isinstance(held, Maybe), "what is taken for a `T` is a `T?`"
                self.problem(no(held.present), Why.OUT_OF_TYPE)
                return held.inner
            case ("not", inner):
                return no(self._truth(inner, at))
            case ("and" | "or" | "implies" | "if" | "??", *_):
                return self._lazy(e, at)
            case (("==" | "!=" | "<" | "<=" | ">" | ">=") as name, a, b):
                return self._compared(name, a, b, at)
            case (("+" | "-" | "*" | "//" | "%" | "min" | "max") as name, a, b):
                return self._number(name, a, b, at)
            case ("neg", inner):
                code = scalar(self._value(inner, at))
                return op("-", const(0), code)
            case ("to_decimal", inner):
                return self._fits_word(op("*", scalar(self._value(inner, at)), const(10**at.world.words.digits)))
            case ("before", inner):
                assert at.before is not None, "only a step has a before"
                return self._value(inner, replace(at.before, bound=at.bound))
            case ("read", who, entity, name):
                return self._read(who, entity, at, lambda number: at.world.value(entity, number, name))
            case ("read_in", who, entity, states):
                return self._read(who, entity, at, lambda number: at.world.is_in(entity, number, states))
            case _:
                return self._collection(e, at)

    def _truth(self, e: Expr, at: Scope) -> Code:
        return scalar(self._value(e, at))

    def _lazy(self, e: Expr, at: Scope) -> Value:
        match e:
            case ("and", a, b):
                left = self._truth(a, at)
                if left == FALSE:
                    return FALSE
                with self.given(left):
                    return both(left, self._truth(b, at))
            case ("or", a, b):
                left = self._truth(a, at)
                if left == TRUE:
                    return TRUE
                with self.given(no(left)):
                    return either(left, self._truth(b, at))
            case ("implies", a, b):
                left = self._truth(a, at)
                if left == FALSE:
                    return TRUE
                with self.given(left):
                    return either(no(left), self._truth(b, at))
            case ("if", c, a, b):
                condition = self._truth(c, at)
                if condition[0] == "const":
                    return self._value(a if condition[1] else b, at)
                with self.given(condition):
                    yes = self._value(a, at)
                with self.given(no(condition)):
                    otherwise = self._value(b, at)
                return chosen(condition, *_alike(yes, otherwise))
            case ("??", a, b):
                held = self._value(a, at)
                assert isinstance(held, Maybe), "`??` asks a `T?`"
                if held.present == TRUE:
                    return held.inner
                with self.given(no(held.present)):
                    default = self._value(b, at)
                if isinstance(default, Maybe):
                    return chosen(held.present, Maybe(TRUE, held.inner), default)
                return chosen(held.present, held.inner, default)
            case _:
                raise AssertionError(f"an operation that is none: {e[0]!r}")

    def _compared(self, name: str, a: Expr, b: Expr, at: Scope) -> Code:
        sides: list[Value] = []
        fine: list[bool] = []
        for e in (a, b):
            whole = self._fine(e, at)
            fine.append(whole is not None)
            sides.append(self._value(e, at) if whole is None else whole)
        left, right = _alike(*sides)
        if any(fine):
            # A product of decimals is finer than what is kept, but not than what is compared.
            scale = const(10**at.world.words.digits)
            left, right = (
                each if known else self._fits_word(op("*", scalar(each), scale))
                for known, each in zip(fine, (left, right), strict=True)
            )
        if name in {"==", "!="}:
            equal = same(left, right)
            return equal if name == "==" else no(equal)
        return op(name, scalar(left), scalar(right))

    def _fine(self, e: Expr, at: Scope) -> Code | None:
        """Return a product of two decimals, counted as finely as it can be; `None` where it is none."""
        match e:
            case ("*", a, b) if "to_decimal" not in {a[0], b[0]} and type_of(e, self._names(at))[0] == "decimal":
                return self._fits_word(op("*", scalar(self._value(a, at)), scalar(self._value(b, at))))
            case _:
                return None

    def _number(self, name: str, a: Expr, b: Expr, at: Scope) -> Code:
        left, right = scalar(self._value(a, at)), scalar(self._value(b, at))
        decimal = "decimal" in {type_of(a, self._names(at))[0], type_of(b, self._names(at))[0]}
        scale = const(10**at.world.words.digits)
        if name in {"//", "%"}:
            self.problem(eq(right, const(0)), Why.DIVISION)
            if right == const(0):
                return const(0)
            made = op(name, left, right)
            return self._fits_word(op("*", made, scale) if decimal and name == "//" else made)
        if decimal and name == "*":
            for whole, other in ((a, right), (b, left)):
                if whole[0] == "to_decimal":
                    return self._fits_word(op("*", scalar(self._value(whole[1], at)), other))
            made = self._fits_word(op("*", left, right))
            self.problem(op("!=", op("%", made, scale), const(0)), None, DECIMALS)
            return op("//", made, scale)
        return self._fits_word(op(name, left, right))

    def _fits_word(self, code: Code) -> Code:
        low, high = self.scope.world.span(code)
        if low < -WORD or high > WORD:
            raise UnloweredError("numbers beyond a word")
        return code

    def _read(self, who: Expr, entity: str, at: Scope, of: Callable[[int], Value]) -> Value:
        number = scalar(self._value(who, at))
        there = const(0)
        value: Value | None = None
        for each in range(at.world.count(entity)):
            me = eq(number, const(each))
            if me == FALSE:
                continue
            there = either(there, both(me, at.world.exists(entity, each)))
            own = of(each)
            value = own if value is None else chosen(me, own, value)
        if value is None:
            raise UnloweredError(f"a reference to {entity}, of which there is none")
        # What is not there is no fault of the blueprint: the action is refused.
        self.problem(no(there), Why.MISSING)
        return value

    # --- collections --------------------------------------------------------------------------------------------------

    def _collection(self, e: Expr, at: Scope) -> Value:
        match e:
            case ("in", x, c):
                return self._within(x, c, at)
            case ("list", of, items):
                return Row(const(len(items)), tuple(self._value(item, at) for item in items), of)
            case ("concat", a, b):
                return self._joined(self._value(a, at), self._value(b, at), at)
            case ("index", row, position):
                return self._item(self._value(row, at), scalar(self._value(position, at)), at)
            case (("union" | "minus" | "intersect") as name, a, b):
                left, right = _many(self._value(a, at)), _many(self._value(b, at))
                how = {"union": "bits_or", "minus": "bits_without", "intersect": "bits_and"}[name]
                return Many(op(how, left.mask, right.mask), left.of)
            case ("size", c):
                held = self._value(c, at)
                if isinstance(held, Keyed):
                    return total(ite(each.present, const(1), const(0)) for each in held.entries)
                if isinstance(held, Row):
                    return held.size
                return count(_many(held).mask)
            case ("set", of, items):
                mask = const(0)
                for item in items:
                    mask = op("bits_or", mask, self._bit(of, self._value(item, at), at))
                return Many(mask, of)
            case ("dot", inner, record, name):
                held = self._value(inner, at)
                assert isinstance(held, Parts), "a record's part is a record's"
                index = [part.name for part in at.table.records[record]].index(name)
                return held.parts[index]
            case ("record", name, values):
                return Parts(name, tuple(self._value(each, at) for each in values))
            case ("map", key, of, pairs):
                parts = [(scalar(self._value(k, at)), self._value(v, at)) for k, v in pairs]
                ends = [end for number, _ in parts for end in at.world.span(number)]
                key = at.world.words.bounded_key(key, ends)
                made: Value = at.world.words.constant(("map", key, of, None), ())
                for number, worth in parts:
                    made = self._put(made, number, worth, at)
                return made
            case ("put", m, k, v):
                return self._put(self._value(m, at), scalar(self._value(k, at)), self._value(v, at), at)
            case ("get", m, k):
                return self._get(self._value(m, at), scalar(self._value(k, at)), at)
            case ("to_set", c):
                held = self._value(c, at)
                mask = const(0)
                for each, there, of in members(held, at.world.words):
                    mask = op("bits_or", mask, ite(there, self._bit(of, each, at), const(0)))
                return Many(mask, type_of(c, self._names(at))[1])
            case ("all" | "any" | "count" | "sum" | "first" | "filter" | "map_set" | "map_list", _, _, _):
                return self._quantified(e, at)
            case _:
                raise AssertionError(f"an operation that is none: {e[0]!r}")

    def _joined(self, a: Value, b: Value, at: Scope) -> Value:
        """Return a list behind another, or a text behind another."""
        if isinstance(a, Row) and isinstance(b, Row):
            return put_together(a, b)
        left, right, words = scalar(a), scalar(b), at.world.words
        made, known = const(0), FALSE
        for n, m in product(words.texts_of(left), words.texts_of(right)):
            text = words.texts[n] + words.texts[m]
            if text in words.texts:
                mine = both(eq(left, const(n)), eq(right, const(m)))
                made = ite(mine, const(words.texts.index(text)), made)
                known = either(known, mine)
        self.problem(no(known), None, TEXTS)
        return made

    def _item(self, row: Value, position: Code, at: Scope) -> Maybe:
        assert isinstance(row, Row), "only a list has items by position"
        found: Value = Maybe(FALSE, at.world.words.empty(row.of))
        for n, (there, item) in enumerate(listed(row)):
            found = chosen(both(eq(position, const(n)), there), Maybe(TRUE, item), found)
        assert isinstance(found, Maybe), "there may be no such item"
        return found

    def _within(self, x: Expr, c: Expr, at: Scope) -> Code:
        if c[0] in {"set", "list"}:
            one = self._value(x, at)
            found: Code = FALSE
            for item in c[2]:
                found = either(found, same(*_alike(one, self._value(item, at))))
            return found
        one = self._value(x, at)
        held = self._value(c, at)
        if isinstance(held, Keyed):
            found = FALSE
            for number, entry in zip(at.world.words.keys(held.key), held.entries, strict=True):
                found = either(found, both(eq(scalar(one), const(number)), entry.present))
            return found
        if isinstance(held, Row):
            return either(*(both(there, same(*_alike(one, item))) for there, item in listed(held)))
        many = _many(held)
        if isinstance(one, Maybe):
            return both(one.present, self._has(many, scalar(one.inner), at))
        return self._has(many, scalar(one), at)

    def _has(self, many: Many, number: Code, at: Scope) -> Code:
        low, high = at.world.span(number)
        room = at.world.words.elements(many.of)
        last = max(room, default=-1)
        there = has(many.mask, number)
        inside = TRUE
        if low < 0:
            inside = both(inside, op(">=", number, const(0)))
        if high > last:
            inside = both(inside, op("<=", number, const(last)))
        return both(inside, there) if inside != FALSE else FALSE

    def _bit(self, of: Type, element: Value, at: Scope) -> Code:
        if not isinstance(element, tuple):
            raise UnloweredError("a set of what has parts")
        number = scalar(element)
        low, high = at.world.span(number)
        room = at.world.words.elements(of)
        if of[0] in {"decimal", "time", "duration"} or low < 0 or high > max(room, default=-1):
            raise UnloweredError(f"a set of more than {len(room)} values, or of numbers below 0")
        return codes.bit(number)

    def _put(self, held: Value, key: Code, worth: Value, at: Scope) -> Keyed:
        assert isinstance(held, Keyed), "only a map has keys"
        entries = []
        low, high = at.world.span(key)
        if held.key[0] == "int" and not held.key[1] <= low <= high <= held.key[2]:
            absent = Maybe(FALSE, at.world.words.empty(held.of))
            held = keyed_by(held, min(low, held.key[1]), max(high, held.key[2]), (absent,))
        for number, entry in zip(at.world.words.keys(held.key), held.entries, strict=True):
            mine = eq(key, const(number))
            made = chosen(mine, *_alike(Maybe(TRUE, worth), entry))
            assert isinstance(made, Maybe), "a map's entries may be absent"
            entries.append(made)
        return Keyed(held.key, held.of, tuple(entries))

    def _get(self, held: Value, key: Code, at: Scope) -> Maybe:
        assert isinstance(held, Keyed), "only a map has keys"
        found: Value = Maybe(FALSE, at.world.words.empty(held.of))
        for number, entry in zip(at.world.words.keys(held.key), held.entries, strict=True):
            found = chosen(eq(key, const(number)), entry, found)
        assert isinstance(found, Maybe), "a map's entries may be absent"
        return found

    def _quantified(self, e: Expr, at: Scope) -> Value:
        kind, x, over, body = e
        collected = self._value(over, at)
        element = element_type(type_of(over, self._names(at)))
        items: list[tuple[Value, Code, Any]] = []
        for each, there, _ in members(collected, at.world.words):
            if there == FALSE:
                continue
            inner = replace(at, bound={**at.bound, x: each}, names=at.names.bind(x, element))
            # `all` and `any` go no further than what decides.
            reached = [no(both(t, no(v))) if kind == "all" else no(both(t, v)) for _, t, v in items]
            waits = kind in {"all", "any", "first"}
            with self.given(both(there, *(reached if waits else ()))):
                items.append((each, there, self._value(body, inner)))
        return self._gathered(kind, element, items, e, at)

    def _gathered(self, kind: str, of: Type, items: Any, e: Expr, at: Scope) -> Value:
        if kind == "all":
            return both(*(either(no(there), value) for _, there, value in items))
        if kind == "any":
            return either(*(both(there, value) for _, there, value in items))
        if kind == "count":
            return total(ite(both(there, value), const(1), const(0)) for _, there, value in items)
        if kind == "sum":
            return self._fits_word(total(ite(there, value, const(0)) for _, there, value in items))
        if kind == "first":
            found: Value = Maybe(FALSE, at.world.words.empty(of))
            for each, there, value in reversed(items):
                found = chosen(both(there, value), Maybe(TRUE, each), found)
            return found
        if kind == "map_list":
            row = Row(const(0), (), type_of(e, self._names(at))[1])
            for _, there, value in items:
                longer = put_together(row, Row(const(1), (value,), row.of))
                row = longer if there == TRUE else chosen(there, longer, row)  # type: ignore[assignment]  # rows both
            return row
        mask = const(0)
        if kind == "filter":
            for each, there, value in items:
                mask = op("bits_or", mask, ite(both(there, value), self._bit(of, each, at), const(0)))
            return Many(mask, of)
        made = type_of(e, self._names(at))[1]
        for _, there, value in items:
            mask = op("bits_or", mask, ite(there, self._bit(made, value, at), const(0)))
        return Many(mask, made)

    @staticmethod
    def _names(at: Scope) -> Names:
        return at.names


def members(value: Value, words: Words) -> Iterator[tuple[Value, Code, Type]]:
    """Each element that a collection may have, in order, that it has it, and its type; a map's are its keys."""
    match value:
        case Many(mask, of):
            for number in words.elements(of):
                yield const(number), has(mask, const(number)), of
        case Keyed(key, _, entries):
            for number, entry in zip(words.keys(key), entries, strict=True):
                yield const(number), entry.present, key
        case Row(_, _, of):
            for there, item in listed(value):
                yield item, there, of
        case _:
            raise AssertionError(f"a collection is expected, not {value!r}")


def _many(value: Value) -> Many:
    assert isinstance(value, Many), f"a set is expected, not {value!r}"
    return value


def _alike(a: Value, b: Value) -> tuple[Value, Value]:
    """Return two values as values of one type: a `T` beside a `T?` is one that is there."""
    if isinstance(a, Maybe) and not isinstance(b, Maybe):
        return a, Maybe(TRUE, b)
    if isinstance(b, Maybe) and not isinstance(a, Maybe):
        return Maybe(TRUE, a), b
    return a, b


# --- what has no parts ------------------------------------------------------------------------------------------------


def _literal(reading: Reading, e: Expr, at: Scope) -> Value:
    return at.world.words.constant(e[1], decode(e[1], e[2], records=at.table.records))


def _none(reading: Reading, e: Expr, at: Scope) -> Value:
    inner = e[1][1] if e[1][0] == "optional" else e[1]
    return Maybe(FALSE, at.world.words.empty(inner))


def _field(reading: Reading, e: Expr, at: Scope) -> Value:
    value, absent = at.value(e[1])
    reading.problem(absent, Why.OUT_OF_TYPE)
    return value


def _this(reading: Reading, e: Expr, at: Scope) -> Value:
    assert at.me is not None, "`this` stands in an entity"
    return const(at.me[1])


def _created(reading: Reading, e: Expr, at: Scope) -> Value:
    return const(at.created[e[1]])


def _caller(reading: Reading, e: Expr, at: Scope) -> Value:
    assert at.caller is not None, "somebody acts"
    who = at.caller.principal
    if e[0] == "acts_for":
        who = at.caller.acts_for or who
    return at.world.words.constant(("principal",), who)


def _inverse(reading: Reading, e: Expr, at: Scope) -> Value:
    assert at.me is not None, "an inverse set stands in an entity"
    inverse = next(each for each in at.table.entities[at.me[0]].inverses if each.name == e[1])
    mask = const(0)
    for number in range(at.world.count(inverse.entity)):
        refers = points(at.world.value(inverse.entity, number, inverse.field), at.me[1])
        there = both(at.world.exists(inverse.entity, number), refers)
        mask = op("bits_or", mask, ite(there, const(1 << number), const(0)))
    return Many(mask, ("ref", inverse.entity))


def points(value: Value, number: int) -> Code:
    """Return that a field's value names the entity of this number, or has it among others."""
    if isinstance(value, Maybe):
        return both(value.present, eq(scalar(value.inner), const(number)))
    if isinstance(value, Many):
        return has(value.mask, const(number))
    if isinstance(value, Row):
        return either(*(both(there, eq(scalar(item), const(number))) for there, item in listed(value)))
    return eq(scalar(value), const(number))


def _every(reading: Reading, e: Expr, at: Scope) -> Value:
    mask = const(0)
    for number in range(at.world.count(e[1])):
        mask = op("bits_or", mask, ite(at.world.exists(e[1], number), const(1 << number), const(0)))
    return Many(mask, ("ref", e[1]))


def _has_role(reading: Reading, e: Expr, at: Scope) -> Value:
    assert at.caller is not None, "somebody acts"
    return TRUE if e[1] in at.caller.roles else FALSE


def _action_is(reading: Reading, e: Expr, at: Scope) -> Value:
    if at.me is not None and at.me[0] == e[1]:
        return TRUE if e[2] in at.moves else FALSE
    return TRUE if (e[1], e[2]) in at.beside else FALSE


def _error(reading: Reading, e: Expr, at: Scope) -> Value:
    return at.world.words.constant(("string",), at.error[0 if e[1] == "kind" else 1])


def _id(reading: Reading, e: Expr, at: Scope) -> Value:
    raise UnloweredError("an id taken for a text")


_LEAVES: dict[str, Callable[[Reading, Expr, Scope], Value]] = {
    "lit": _literal,
    "none": _none,
    "field": _field,
    "param": lambda reading, e, at: at.params[e[1]],
    "var": lambda reading, e, at: at.bound[e[1]],
    "result": lambda reading, e, at: at.results[e[1]],
    "error": _error,
    "this": _this,
    "id": _id,
    "created": _created,
    "created_at": lambda reading, e, at: const(at.now),
    "now": lambda reading, e, at: const(at.now),
    "caller": _caller,
    "acts_for": _caller,
    "in_state": lambda reading, e, at: at.is_in(e[1]),
    "has_role": _has_role,
    "action_is": _action_is,
    "inverse": _inverse,
    "every": _every,
}

__all__ = ["Problem", "Reading", "Scope", "World", "members", "names_in", "points"]
