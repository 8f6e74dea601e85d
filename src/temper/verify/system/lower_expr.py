"""A table's expressions as codes, over the variables of a system.

What an expression asks from the left, its code asks from the left too. Where it would have no value (a division by
zero, a `none` taken for a value) is returned beside it, as conditions in the order in which `step` meets them; the
code itself is meant where none of these holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from temper.table import Caller, Expr, Table, Type, Why, decode
from temper.verify.expressions import Names, element_type, names_in, type_of, without_lets
from temper.verify.system import codes
from temper.verify.system.codes import FALSE, both, const, either, eq, ite, no, op
from temper.verify.system.ir import TRUE, Code
from temper.verify.system.spaces import (
    WORD,
    Keyed,
    Many,
    Maybe,
    Parts,
    UnloweredError,
    Value,
    Words,
    chosen,
    count,
    has,
    same,
    scalar,
)


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


@dataclass(frozen=True)
class Scope:
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


@dataclass(frozen=True, slots=True)
class Problem:
    """That an expression has no value, where `condition` holds."""

    condition: Code
    why: Why


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

    def problem(self, condition: Code, why: Why) -> None:
        whole = both(*self._given, condition)
        if whole != FALSE:
            self.problems.append(Problem(whole, why))

    def truth(self, e: Expr) -> Code:
        """Return a condition."""
        return scalar(self.value(e))

    def value(self, e: Expr) -> Value:
        """Return what an expression is worth."""
        return self._value(without_lets(e, self.scope.names), self.scope)

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
        left, right = _alike(self._value(a, at), self._value(b, at))
        if name in {"==", "!="}:
            equal = same(left, right)
            return equal if name == "==" else no(equal)
        kind = type_of(a, self._names(at))[0]
        if kind in {"string", "one_of"}:
            raise UnloweredError("an order of texts")
        return op(name, scalar(left), scalar(right))

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
            # One of the two is a whole number, or the product may be finer than what is counted.
            for whole, other in ((a, right), (b, left)):
                if whole[0] == "to_decimal":
                    return self._fits_word(op("*", scalar(self._value(whole[1], at)), other))
            raise UnloweredError("a product of decimals")
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
            case (("union" | "minus" | "intersect") as name, a, b):
                left, right = _many(self._value(a, at)), _many(self._value(b, at))
                how = {"union": "bits_or", "minus": "bits_without", "intersect": "bits_and"}[name]
                return Many(op(how, left.mask, right.mask), left.of)
            case ("size", c):
                held = self._value(c, at)
                if isinstance(held, Keyed):
                    return _sum(ite(each.present, const(1), const(0)) for each in held.entries)
                return count(_many(held).mask)
            case ("set", of, items):
                mask = const(0)
                for item in items:
                    mask = op("bits_or", mask, self._bit(of, scalar(self._value(item, at)), at))
                return Many(mask, of)
            case ("dot", inner, record, name):
                held = self._value(inner, at)
                assert isinstance(held, Parts), "a record's part is a record's"
                index = [part.name for part in at.table.records[record]].index(name)
                return held.parts[index]
            case ("record", name, values):
                return Parts(name, tuple(self._value(each, at) for each in values))
            case ("map", key, of, pairs):
                empty = at.world.words.constant(("map", key, of, None), ())
                made: Value = empty
                for k, v in pairs:
                    made = self._put(made, scalar(self._value(k, at)), self._value(v, at), at)
                return made
            case ("put", m, k, v):
                return self._put(self._value(m, at), scalar(self._value(k, at)), self._value(v, at), at)
            case ("get", m, k):
                return self._get(self._value(m, at), scalar(self._value(k, at)), at)
            case ("to_set", c):
                held = self._value(c, at)
                if not isinstance(held, Keyed):
                    raise UnloweredError("a list")
                return self._keys(held, at)
            case ("all" | "any" | "count" | "sum" | "first" | "filter" | "map_set", _, _, _):
                return self._quantified(e, at)
            case _:
                raise UnloweredError("a list" if e[0] in {"list", "index", "map_list"} else "text put together")

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

    def _bit(self, of: Type, number: Code, at: Scope) -> Code:
        low, high = at.world.span(number)
        room = at.world.words.elements(of)
        if of[0] in {"decimal", "time", "duration"} or low < 0 or high > max(room, default=-1):
            raise UnloweredError(f"a set of more than {len(room)} values, or of numbers below 0")
        return codes.bit(number)

    def _put(self, held: Value, key: Code, worth: Value, at: Scope) -> Keyed:
        assert isinstance(held, Keyed), "only a map has keys"
        entries = []
        met = FALSE
        for number, entry in zip(at.world.words.keys(held.key), held.entries, strict=True):
            mine = eq(key, const(number))
            met = either(met, mine)
            made = chosen(mine, *_alike(Maybe(TRUE, worth), entry))
            assert isinstance(made, Maybe), "a map's entries may be absent"
            entries.append(made)
        low, high = at.world.span(key)
        room = at.world.words.keys(held.key)
        if not room or low < room[0] or high > room[-1]:
            raise UnloweredError("a key that may not be of the map's type")
        return Keyed(held.key, held.of, tuple(entries))

    def _get(self, held: Value, key: Code, at: Scope) -> Maybe:
        assert isinstance(held, Keyed), "only a map has keys"
        found: Value = Maybe(FALSE, at.world.words.empty(held.of))
        for number, entry in zip(at.world.words.keys(held.key), held.entries, strict=True):
            found = chosen(eq(key, const(number)), entry, found)
        assert isinstance(found, Maybe), "a map's entries may be absent"
        return found

    def _keys(self, held: Keyed, at: Scope) -> Many:
        mask = const(0)
        for number, entry in zip(at.world.words.keys(held.key), held.entries, strict=True):
            one = const(1 << at.world.words.element(held.key, number))
            mask = op("bits_or", mask, ite(entry.present, one, const(0)))
        return Many(mask, held.key)

    def _quantified(self, e: Expr, at: Scope) -> Value:
        kind, x, over, body = e
        collected = self._value(over, at)
        many = self._keys(collected, at) if isinstance(collected, Keyed) else _many(collected)
        element = element_type(type_of(over, self._names(at)))
        items: list[tuple[int, Code, Any]] = []
        for number in at.world.words.elements(many.of):
            there = has(many.mask, const(number))
            if there == FALSE:
                continue
            inner = replace(at, bound={**at.bound, x: const(number)}, names=at.names.bind(x, element))
            # `all` and `any` go no further than what decides.
            reached = [no(both(t, no(v))) if kind == "all" else no(both(t, v)) for _, t, v in items]
            waits = kind in {"all", "any", "first"}
            with self.given(both(there, *(reached if waits else ()))):
                items.append((number, there, self._value(body, inner)))
        return self._gathered(kind, many.of, items, e, at)

    def _gathered(self, kind: str, of: Type, items: Any, e: Expr, at: Scope) -> Value:
        if kind == "all":
            return both(*(either(no(there), value) for _, there, value in items))
        if kind == "any":
            return either(*(both(there, value) for _, there, value in items))
        if kind == "count":
            return _sum(ite(both(there, value), const(1), const(0)) for _, there, value in items)
        if kind == "sum":
            return self._fits_word(_sum(ite(there, value, const(0)) for _, there, value in items))
        if kind == "first":
            found: Value = Maybe(FALSE, at.world.words.empty(of))
            for number, there, value in reversed(items):
                found = chosen(both(there, value), Maybe(TRUE, const(number)), found)
            return found
        mask = const(0)
        if kind == "filter":
            for number, there, value in items:
                mask = op("bits_or", mask, ite(both(there, value), const(1 << number), const(0)))
            return Many(mask, of)
        made = type_of(e, self._names(at))[1]
        for _, there, value in items:
            mask = op("bits_or", mask, ite(there, self._bit(made, value, at), const(0)))
        return Many(mask, made)

    @staticmethod
    def _names(at: Scope) -> Names:
        return at.names


def _sum(parts: Iterator[Code]) -> Code:
    total = const(0)
    for part in parts:
        total = op("+", total, part)
    return total


def _many(value: Value) -> Many:
    if not isinstance(value, Many):
        raise UnloweredError("a list")
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
        points = _points(at.world.value(inverse.entity, number, inverse.field), at.me[1], at)
        there = both(at.world.exists(inverse.entity, number), points)
        mask = op("bits_or", mask, ite(there, const(1 << number), const(0)))
    return Many(mask, ("ref", inverse.entity))


def _points(value: Value, number: int, at: Scope) -> Code:
    if isinstance(value, Maybe):
        return both(value.present, eq(scalar(value.inner), const(number)))
    if isinstance(value, Many):
        return has(value.mask, const(number))
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

__all__ = ["Problem", "Reading", "Scope", "World", "names_in"]
