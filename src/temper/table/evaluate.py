"""What an expression is worth.

An expression is compiled once into nested Python functions of one argument, the `Frame` that it reads. (Python source
made from it would be a few times faster still, but then an author's text would reach `exec`, which the pure rooms never
call.)

Arithmetic is exact. Integers are Python's. Decimals go through a context of their own that never rounds: Python's
default keeps 28 digits. `//` and `%` floor for both, where `Decimal`'s own cut towards zero. What has no value stops
the whole by an exception: `ZeroDivisionError` for a division by zero, `Absent` for what a checked blueprint never asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Any, Protocol, TypeAlias

from temper.table.events import Caller, Move, Snapshot, Value
from temper.table.expr import Absent, Elsewhere, Names, element, type_of
from temper.table.refs import refers
from temper.table.table import Expr, Inverse, Table, Type
from temper.table.values import decode, in_order, make_map

Others: TypeAlias = Mapping[str, Mapping[str, Snapshot]]
"""Every entity by kind and id, for expressions that look beyond one of them."""


class Look(Protocol):
    """What an expression asks about other entities, all as they are at one moment."""

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        """Return an entity."""

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        """Return the ids of those whose `field` is `id`, or contains it; of more than `limit`, some `limit` of them."""


Code: TypeAlias = Callable[["Frame"], Any]

NOBODY = Caller("")

_EXACT = Context(
    prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact]
)
_ZERO = Decimal(0)


class NoValue(ArithmeticError):
    """An expression has no value here: it divides by zero, or looks at what is not there."""


class Frame:
    """What an expression reads. `fields` and `state` are those of one moment; a `let` is worked out once for it."""

    __slots__ = (
        "before",
        "caller",
        "created",
        "created_at",
        "entity",
        "error",
        "fields",
        "id",
        "lets",
        "moves",
        "now",
        "params",
        "results",
        "state",
        "vars",
        "world",
    )

    def __init__(
        self,
        entity: str,
        id: str,
        state: str,
        fields: Mapping[str, Any],
        created_at: int,
        now: int,
        caller: Caller,
        world: Look | None = None,
    ) -> None:
        self.entity = entity
        self.id = id
        self.state = state
        self.fields = fields
        self.created_at = created_at
        self.now = now
        self.caller = caller
        self.params: Mapping[str, Any] = _NOTHING
        self.lets: dict[object, Any] = {}
        self.vars: dict[object, Any] = {}
        self.created: Mapping[str, str] = _NOTHING
        self.results: Mapping[str, Any] = _NOTHING
        self.error: tuple[str, str] = ("", "")
        self.before: Frame | None = None
        self.moves: Iterable[Move] = ()
        self.world = world


_NOTHING: dict[str, Any] = {}
_NONE: frozenset[Any] = frozenset()

BESIDE = object()
"""The variable of a frame that holds which actions entities took in the step, by their kind: for properties."""


class Unset(dict[str, Any]):
    """Fields of which some have no value yet: an entity that is being created."""

    def __missing__(self, name: str) -> Any:
        raise Absent(f"`{name}` yet")


def frame_of(now: Snapshot, at: int, caller: Caller, world: Look | None = None) -> Frame:
    """Return a frame over a snapshot."""
    return Frame(now.entity, now.id, now.state, now.fields, now.created_at, at, caller, world)


def entity_names(table: Table, entity: str | None) -> Names:
    """Return what names mean in an entity (or outside of one), made once for a table."""
    known: dict[str | None, Names] = table.__dict__.setdefault("names", {})
    if entity not in known:
        found = None if entity is None else table.entities[entity]
        lets = {} if found is None else {let.name: let for let in found.lets}
        known[entity] = Names(table, found, lets=lets)
    return known[entity]


_KEPT = 500


def evaluate(
    table: Table,
    entity: str | None,
    expr: Expr,
    now: Snapshot | None,
    *,
    caller: Caller | None = None,
    at: int | None = None,
    params: Mapping[str, Value] | None = None,
    before: Snapshot | None = None,
    moves: Iterable[Move] = (),
    world: Others | Look | None = None,
    env: Mapping[str, Value] | None = None,
) -> Value:
    """Return what `expr` is worth on `now`. `env` holds the variables from outside, such as a scenario's names.

    Raises `NoValue` where it has none: a division by zero, or a reference into a `world` that is not given. What ranges
    over all entities of a kind needs `Others`.
    `at` is the time of `now` where it is not given.
    """
    code = _kept(table, entity, expr, tuple(env) if env else ())
    who = caller or NOBODY
    if now is None:
        frame = Frame(entity or "", "", "new", Unset(), at or 0, at or 0, who)
    else:
        frame = frame_of(now, now.updated_at if at is None else at, who)
    look = Everything(table, world) if isinstance(world, Mapping) else world
    frame.world = look
    frame.moves = moves
    if params:
        frame.params = params
    if env:
        frame.vars.update(env)
    if before is not None:
        frame.before = frame_of(before, frame.now, who)
        frame.before.world = look
        frame.before.vars = frame.vars
    try:
        value: Value = code(frame)
    except ZeroDivisionError as problem:
        raise NoValue("it divides by zero") from problem
    except Absent as problem:
        raise NoValue(f"there is no {problem}") from problem
    return value


class Everything:
    """`Others` as a `Look`."""

    def __init__(self, table: Table, others: Others) -> None:
        self._table = table
        self.others = others

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        return self.others.get(entity, {}).get(id)

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        found = self.others.get(entity, {})
        return [other for other, now in found.items() if refers(self._table, now, field, id)][:limit]


def default_values(table: Table, entity: str) -> dict[str, Value]:
    """Return the fields that have a value before an action gives them one: their default, or `none`."""
    values: dict[str, Value] = {}
    for field in table.entities[entity].fields:
        if field.default is not None:
            values[field.name] = evaluate(table, entity, field.default, None)
        elif field.type[0] == "optional":
            values[field.name] = None
    return values


def _kept(table: Table, entity: str | None, expr: Expr, env: tuple[str, ...]) -> Code:
    kept: dict[Any, Code] = table.__dict__.setdefault("evaluated", {})
    try:
        code = kept.get((entity, expr, env))
    except TypeError:
        # A literal that is an object can't be hashed.
        return compile_expr(expr, _outside(table, entity, env))
    if code is None:
        code = compile_expr(expr, _outside(table, entity, env))
        if len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        kept[entity, expr, env] = code
    return code


def _outside(table: Table, entity: str | None, env: tuple[str, ...]) -> Names:
    names = entity_names(table, entity)
    return Names(table, names.entity, outer=names, vars={name: (name, None) for name in env}) if env else names


# --- compiling --------------------------------------------------------------------------------------------------------


def compile_expr(expr: Expr, names: Names) -> Code:
    """Return a function that gives what `expr` is worth in a frame."""
    op = expr[0]
    make = _MAKERS.get(op)
    if make is not None:
        return make(expr, names)
    arithmetic = _ARITHMETIC.get(op)
    if arithmetic is not None:
        return _compile_arithmetic(expr, names, *arithmetic)
    comparison = _COMPARISONS.get(op)
    assert comparison is not None, f"an operation that is none: {op!r}"
    return comparison(compile_expr(expr[1], names), compile_expr(expr[2], names))


def _lit(expr: Expr, names: Names) -> Code:
    value = decode(expr[1], expr[2], records=names.table.records)
    return lambda f: value


def _none(expr: Expr, names: Names) -> Code:
    return lambda f: None


def _same(expr: Expr, names: Names) -> Code:
    return compile_expr(expr[1], names)


def _value(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)

    def run(f: Frame) -> Any:
        value = code(f)
        if value is None:
            raise Absent("value: it is `none`")
        return value

    return run


def _to_decimal(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)
    return lambda f: Decimal(code(f))


def _field(expr: Expr, names: Names) -> Code:
    name = expr[1]
    return lambda f: f.fields[name]


def _param(expr: Expr, names: Names) -> Code:
    name = expr[1]
    return lambda f: f.params[name]


def _let(expr: Expr, names: Names) -> Code:
    name = expr[1]
    owner = names.owner(name)
    if name not in owner.compiled:
        owner.compiled[name] = compile_expr(owner.lets[name].value, owner)
    code: Code = owner.compiled[name]

    def run(f: Frame) -> Any:
        lets = f.lets
        if code not in lets:
            lets[code] = code(f)
        return lets[code]

    return run


def _var(expr: Expr, names: Names) -> Code:
    name = expr[1]
    slot = names.vars[name][0] if name in names.vars else name
    return lambda f: f.vars[slot]


def _created(expr: Expr, names: Names) -> Code:
    name = expr[1]

    def run(f: Frame) -> str:
        if name not in f.created:
            raise Absent(f"`{name}`: it has not been created")
        return f.created[name]

    return run


def _this(expr: Expr, names: Names) -> Code:
    return lambda f: f.id


def _created_at(expr: Expr, names: Names) -> Code:
    return lambda f: f.created_at


def _now(expr: Expr, names: Names) -> Code:
    return lambda f: f.now


def _caller(expr: Expr, names: Names) -> Code:
    return lambda f: f.caller.principal


def _acts_for(expr: Expr, names: Names) -> Code:
    return lambda f: f.caller.acts_for or f.caller.principal


def _result(expr: Expr, names: Names) -> Code:
    name = expr[1]
    return lambda f: f.results[name]


def _error(expr: Expr, names: Names) -> Code:
    part = 0 if expr[1] == "kind" else 1
    return lambda f: f.error[part]


def _in_state(expr: Expr, names: Names) -> Code:
    states = frozenset(expr[1])
    return lambda f: f.state in states


def _has_role(expr: Expr, names: Names) -> Code:
    role = expr[1]
    return lambda f: role in f.caller.roles


def _before(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)

    def run(f: Frame) -> Any:
        if f.before is None:
            raise Absent("state before this one")
        return code(f.before)

    return run


def _action_is(expr: Expr, names: Names) -> Code:
    _, entity, action = expr
    if names.entity is not None and names.entity.name == entity:
        return lambda f: any(move.action == action for move in f.moves)
    return lambda f: (
        (entity, action) in f.vars.get(BESIDE, _NONE)
        or (f.entity == entity and any(move.action == action for move in f.moves))
    )


def _found(f: Frame, entity: str, id: str) -> Snapshot:
    found = _looking(f, entity).snapshot(entity, id)
    if found is None:
        raise Elsewhere(f"{entity} `{id}`")
    return found


def _looking(f: Frame, entity: str) -> Look:
    if f.world is None:
        raise Elsewhere(f"{entity} to look at: only this entity is known here")
    return f.world


def _read(expr: Expr, names: Names) -> Code:
    code, entity, field = compile_expr(expr[1], names), expr[2], expr[3]
    return lambda f: _found(f, entity, code(f)).fields[field]


def _read_in(expr: Expr, names: Names) -> Code:
    code, entity, states = compile_expr(expr[1], names), expr[2], frozenset(expr[3])
    return lambda f: _found(f, entity, code(f)).state in states


def _inverse(expr: Expr, names: Names) -> Code:
    inverse = _inverse_of(expr, names)
    return lambda f: frozenset(_members(f, inverse))


def _inverse_of(expr: Expr, names: Names) -> Inverse:
    assert names.entity is not None, "an inverse set stands in an entity"
    return next(known for known in names.entity.inverses if known.name == expr[1])


def _members(f: Frame, inverse: Inverse) -> Sequence[str]:
    found = _looking(f, inverse.entity).referrers(inverse.entity, inverse.field, f.id, inverse.max + 1)
    if len(found) > inverse.max:
        raise Absent(f"room in `{inverse.name}`: more than {inverse.max} refer to this {f.entity}")
    return found


def _in_order_of_creation(expr: Expr, names: Names) -> Callable[[Frame], Iterable[Any]]:
    """Go through an inverse set: the oldest first; by id where two are of one moment."""
    inverse = _inverse_of(expr, names)

    def run(f: Frame) -> Iterable[Any]:
        found = [(_found(f, inverse.entity, id).created_at, id) for id in _members(f, inverse)]
        return [id for _, id in sorted(found)]

    return run


def _every(expr: Expr, names: Names) -> Code:
    entity = expr[1]

    def run(f: Frame) -> Any:
        world = _looking(f, entity)
        if not isinstance(world, Everything):
            raise Elsewhere(f"way to look at every {entity} here")
        return frozenset(world.others.get(entity, ()))

    return run


def _not(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)
    return lambda f: not code(f)


def _and(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: a(f) and b(f)


def _or(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: a(f) or b(f)


def _implies(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: not a(f) or b(f)


def _if(expr: Expr, names: Names) -> Code:
    c, a, b = (compile_expr(part, names) for part in expr[1:])
    return lambda f: a(f) if c(f) else b(f)


def _default(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)

    def run(f: Frame) -> Any:
        value = a(f)
        return b(f) if value is None else value

    return run


def _in(expr: Expr, names: Names) -> Code:
    x, c = compile_expr(expr[1], names), compile_expr(expr[2], names)
    if _is_map(expr[2], names):
        return lambda f: x(f) in dict(c(f))
    return lambda f: x(f) in c(f)


def _neg(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)

    def run(f: Frame) -> Any:
        value = code(f)
        return _EXACT.minus(value) if type(value) is Decimal else -value

    return run


def _size(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)
    return lambda f: len(code(f))


def _min(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: min(a(f), b(f))


def _max(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: max(a(f), b(f))


def _concat(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: a(f) + b(f)


def _union(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: a(f) | b(f)


def _minus(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: a(f) - b(f)


def _intersect(expr: Expr, names: Names) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: a(f) & b(f)


def _dot(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)
    index = next(i for i, part in enumerate(names.table.records[expr[2]]) if part.name == expr[3])
    return lambda f: code(f)[index]


def _index(expr: Expr, names: Names) -> Code:
    code, position = compile_expr(expr[1], names), compile_expr(expr[2], names)

    def run(f: Frame) -> Any:
        items, at = code(f), position(f)
        return items[at] if 0 <= at < len(items) else None

    return run


def _get(expr: Expr, names: Names) -> Code:
    code, key = compile_expr(expr[1], names), compile_expr(expr[2], names)
    return lambda f: dict(code(f)).get(key(f))


def _put(expr: Expr, names: Names) -> Code:
    code, key, worth = (compile_expr(part, names) for part in expr[1:])
    return lambda f: make_map([*code(f), (key(f), worth(f))])


def _set(expr: Expr, names: Names) -> Code:
    items = [compile_expr(part, names) for part in expr[2]]
    return lambda f: frozenset([code(f) for code in items])


def _list(expr: Expr, names: Names) -> Code:
    items = [compile_expr(part, names) for part in expr[2]]
    return lambda f: tuple([code(f) for code in items])


def _map(expr: Expr, names: Names) -> Code:
    pairs = [(compile_expr(key, names), compile_expr(worth, names)) for key, worth in expr[3]]
    return lambda f: make_map([(key(f), worth(f)) for key, worth in pairs])


def _to_set(expr: Expr, names: Names) -> Code:
    code = compile_expr(expr[1], names)
    if _is_map(expr[1], names):
        return lambda f: frozenset(key for key, _ in code(f))
    return lambda f: frozenset(code(f))


# --- quantifiers and comprehensions -----------------------------------------------------------------------------------


def compile_over(expr: Expr, names: Names) -> Callable[[Frame], Iterable[Any]]:
    """Return a function that gives the elements of a collection in canonical order: a map's keys, a list's items.

    An inverse set is gone through in the order of creation (4).
    """
    if expr[0] == "inverse":
        return _in_order_of_creation(expr, names)
    code = compile_expr(expr, names)
    if _is_map(expr, names):
        return lambda f: [key for key, _ in code(f)]

    def run(f: Frame) -> Iterable[Any]:
        items = code(f)
        return in_order(items) if type(items) is frozenset else items

    return run


def _is_map(expr: Expr, names: Names) -> bool:
    known = type_of(expr, names)
    return known is not None and known[0] == "map"


def _binder(expr: Expr, names: Names) -> tuple[Callable[[Frame], Iterable[Any]], object, Code]:
    _, var, collection, body = expr
    inner, slot = names.bind(var, element(type_of(collection, names)))
    return compile_over(collection, names), slot, compile_expr(body, inner)


def _all(expr: Expr, names: Names) -> Code:
    over, slot, body = _binder(expr, names)

    def run(f: Frame) -> bool:
        for item in over(f):
            f.vars[slot] = item
            if not body(f):
                return False
        return True

    return run


def _any(expr: Expr, names: Names) -> Code:
    over, slot, body = _binder(expr, names)

    def run(f: Frame) -> bool:
        for item in over(f):
            f.vars[slot] = item
            if body(f):
                return True
        return False

    return run


def _count(expr: Expr, names: Names) -> Code:
    over, slot, body = _binder(expr, names)

    def run(f: Frame) -> int:
        found = 0
        for item in over(f):
            f.vars[slot] = item
            if body(f):
                found += 1
        return found

    return run


def _sum(expr: Expr, names: Names) -> Code:
    over, slot, body = _binder(expr, names)
    known = type_of(expr, names)
    zero: Any = _ZERO if known is not None and known[0] == "decimal" else 0

    def run(f: Frame) -> Any:
        total = zero
        for item in over(f):
            f.vars[slot] = item
            total = _add(total, body(f))
        return total

    return run


def _first(expr: Expr, names: Names) -> Code:
    over, slot, body = _binder(expr, names)

    def run(f: Frame) -> Any:
        for item in over(f):
            f.vars[slot] = item
            if body(f):
                return item
        return None

    return run


def _filter(expr: Expr, names: Names) -> Code:
    over, slot, body = _binder(expr, names)

    def run(f: Frame) -> Any:
        kept = []
        for item in over(f):
            f.vars[slot] = item
            if body(f):
                kept.append(item)
        return frozenset(kept)

    return run


def _mapped(expr: Expr, names: Names) -> Code:
    over, slot, body = _binder(expr, names)
    collect: Callable[[list[Any]], Any] = frozenset if expr[0] == "map_set" else tuple

    def run(f: Frame) -> Any:
        made = []
        for item in over(f):
            f.vars[slot] = item
            made.append(body(f))
        return collect(made)

    return run


# --- arithmetic -------------------------------------------------------------------------------------------------------


def _add(a: Any, b: Any) -> Any:
    return _EXACT.add(a, b) if type(a) is Decimal or type(b) is Decimal else a + b


def _subtract(a: Any, b: Any) -> Any:
    return _EXACT.subtract(a, b) if type(a) is Decimal or type(b) is Decimal else a - b


def _multiply(a: Any, b: Any) -> Any:
    return _EXACT.multiply(a, b) if type(a) is Decimal or type(b) is Decimal else a * b


def _floor(a: Any, b: Any) -> Any:
    return _floor_decimal(a, b)[0] if type(a) is Decimal or type(b) is Decimal else a // b


def _modulo(a: Any, b: Any) -> Any:
    return _floor_decimal(a, b)[1] if type(a) is Decimal or type(b) is Decimal else a % b


def _floor_decimal(a: Any, b: Any) -> tuple[Decimal, Decimal]:
    if b == 0:
        raise ZeroDivisionError
    whole, rest = _EXACT.divmod(a, b)
    if rest and (rest < 0) != (b < 0):
        whole, rest = _EXACT.subtract(whole, Decimal(1)), _EXACT.add(rest, b)
    return whole, rest


def _compile_arithmetic(
    expr: Expr, names: Names, any_numbers: Callable[[Any, Any], Any], ints: Callable[[Code, Code], Code]
) -> Code:
    a, b = compile_expr(expr[1], names), compile_expr(expr[2], names)
    if _whole(type_of(expr[1], names)) and _whole(type_of(expr[2], names)):
        return ints(a, b)
    return lambda f: any_numbers(a(f), b(f))


def _whole(type_: Type | None) -> bool:
    return type_ is not None and type_[0] in {"int", "time", "duration"}


_ARITHMETIC: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Code, Code], Code]]] = {
    "+": (_add, lambda a, b: lambda f: a(f) + b(f)),
    "-": (_subtract, lambda a, b: lambda f: a(f) - b(f)),
    "*": (_multiply, lambda a, b: lambda f: a(f) * b(f)),
    "//": (_floor, lambda a, b: lambda f: a(f) // b(f)),
    "%": (_modulo, lambda a, b: lambda f: a(f) % b(f)),
}

_COMPARISONS: dict[str, Callable[[Code, Code], Code]] = {
    "==": lambda a, b: lambda f: a(f) == b(f),
    "!=": lambda a, b: lambda f: a(f) != b(f),
    "<": lambda a, b: lambda f: a(f) < b(f),
    "<=": lambda a, b: lambda f: a(f) <= b(f),
    ">": lambda a, b: lambda f: a(f) > b(f),
    ">=": lambda a, b: lambda f: a(f) >= b(f),
}

_MAKERS: dict[str, Callable[[Expr, Names], Code]] = {
    "lit": _lit, "none": _none, "some": _same, "value": _value, "to_decimal": _to_decimal,
    "field": _field, "param": _param, "let": _let, "var": _var, "created": _created,
    "this": _this, "id": _this, "created_at": _created_at, "now": _now, "caller": _caller, "acts_for": _acts_for,
    "result": _result, "error": _error, "in_state": _in_state, "has_role": _has_role,
    "before": _before, "action_is": _action_is,
    "read": _read, "read_in": _read_in, "inverse": _inverse, "every": _every,
    "not": _not, "and": _and, "or": _or, "implies": _implies, "if": _if, "in": _in, "??": _default,
    "neg": _neg, "size": _size, "min": _min, "max": _max,
    "concat": _concat, "union": _union, "minus": _minus, "intersect": _intersect,
    "dot": _dot, "index": _index, "get": _get, "put": _put,
    "set": _set, "list": _list, "map": _map, "record": _list, "to_set": _to_set,
    "all": _all, "any": _any, "count": _count, "sum": _sum, "first": _first,
    "filter": _filter, "map_set": _mapped, "map_list": _mapped,
}  # fmt: skip
