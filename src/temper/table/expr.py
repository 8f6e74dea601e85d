"""Expressions as data: their parts, their types, and what they read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from temper.table.table import Entity, Expr, Let, Param, Table, Type

LEAVES = frozenset(
    """
    lit none field param let var created this id created_at now caller acts_for result error in_state has_role
    action_is inverse every
    """.split()
)
UNARY = frozenset({"some", "value", "to_decimal", "before", "not", "neg", "size", "to_set", "read", "read_in", "dot"})
BINARY = frozenset(
    """
    and or implies == != < <= > >= in ?? + - * // % concat union minus intersect min max index get
    """.split()
)
TERNARY = frozenset({"if", "put"})
BINDERS = frozenset({"all", "any", "count", "sum", "first", "filter", "map_set", "map_list"})
ELSEWHERE = frozenset({"read", "read_in", "inverse", "every"})
"""What can't be answered from one entity's snapshot."""


def rebuilt(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return `expr` with `change` applied to each of its direct parts."""
    op = expr[0]
    if op in LEAVES:
        return expr
    if op in UNARY:
        return (op, change(expr[1]), *expr[2:])
    if op in BINARY:
        return (op, change(expr[1]), change(expr[2]))
    if op in TERNARY:
        return (op, change(expr[1]), change(expr[2]), change(expr[3]))
    if op in BINDERS:
        return (op, expr[1], change(expr[2]), change(expr[3]))
    if op in {"set", "list", "record"}:
        return (op, expr[1], tuple(map(change, expr[2])))
    if op == "map":
        return (op, expr[1], expr[2], tuple((change(key), change(worth)) for key, worth in expr[3]))
    raise AssertionError(f"an operation that is none: {op!r}")


def parts(expr: Expr) -> list[Expr]:
    """Return the direct parts of `expr`."""
    found: list[Expr] = []

    def see(part: Expr) -> Expr:
        found.append(part)
        return part

    rebuilt(expr, see)
    return found


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield `expr` and all that it is made of."""
    yield expr
    for part in parts(expr):
        yield from walk(part)


class Absent(Exception):
    """Something that should have a value has none; the text says what."""


class Elsewhere(Absent):
    """What is read of another entity is not there, or cannot be asked here; the text says what."""


class Names(Struct, eq=False):
    """What the names of an expression mean: where it stands, and what is declared there.

    `outer` is the action's for a case, and the entity's for an action. Bound variables get a slot of their own, so that
    a `let` may be worked out in the middle of a quantifier that uses the same name.
    """

    table: Table
    entity: Entity | None
    params: Mapping[str, Type] = field(default_factory=dict)
    lets: Mapping[str, Let] = field(default_factory=dict)
    outer: Names | None = None
    created: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, Type] = field(default_factory=dict)
    vars: Mapping[str, tuple[Any, Type | None]] = field(default_factory=dict)
    compiled: dict[str, Any] = field(default_factory=dict)
    """The lets of these names that have been compiled, by name."""

    def owner(self, name: str) -> Names:
        """Return where the `let` called `name` stands."""
        names: Names | None = self
        while names is not None:
            if name in names.lets:
                return names
            names = names.outer
        raise AssertionError(f"no `let {name}`: the checker resolves names")

    def bind(self, var: str, type_: Type | None) -> tuple[Names, object]:
        """Return these names with `var` among them, and its slot."""
        slot = object()
        inner = Names(
            self.table,
            self.entity,
            self.params,
            {},
            self,
            self.created,
            self.results,
            {**self.vars, var: (slot, type_)},
        )
        return inner, slot

    def field_type(self, entity: str | None, name: str) -> Type | None:
        found = self.entity if entity is None else self.table.entities.get(entity)
        return next((own.type for own in found.fields if own.name == name), None) if found else None


def param_types(params: tuple[Param, ...]) -> dict[str, Type]:
    return {param.name: param.type for param in params}


_BOOLEAN = frozenset("in_state has_role action_is read_in not and or implies == != < <= > >= in all any".split())
_TEXT: Type = ("string",)
_INT: Type = ("int", None, None)


def type_of(expr: Expr, names: Names) -> Type | None:
    """Return the type of `expr` without bounds of its own, or `None` where a variable from outside has none.

    Only its shape counts here (a list and a map look alike as values); the checker has judged the rest.
    """
    op = expr[0]
    if op in _BOOLEAN:
        return ("bool",)
    match expr:
        case ("lit", type_, _) | ("none", type_):
            return tuple(type_)
        case ("some", inner):
            present = type_of(inner, names)
            return None if present is None else ("optional", present)
        case ("value", inner):
            known = type_of(inner, names)
            return known[1] if known is not None and known[0] == "optional" else known
        case ("to_decimal", _):
            return ("decimal", None, None)
        case ("field", name):
            return names.field_type(None, name)
        case ("param", name):
            return names.params.get(name)
        case ("let", name):
            return names.owner(name).lets[name].type
        case ("var", name):
            return names.vars[name][1] if name in names.vars else None
        case ("created", name):
            return ("ref", names.created.get(name, ""))
        case ("this",):
            return ("ref", names.entity.name if names.entity else "")
        case ("id",) | ("error", _):
            return _TEXT
        case ("created_at",) | ("now",):
            return ("time",)
        case ("caller",) | ("acts_for",):
            return ("principal",)
        case ("result", name):
            return names.results.get(name)
        case ("before", inner):
            return type_of(inner, names)
        case ("read", _, entity, name):
            return names.field_type(entity, name)
        case ("inverse", name):
            found = [inverse for inverse in names.entity.inverses if inverse.name == name] if names.entity else []
            return ("set", ("ref", found[0].entity), found[0].max) if found else None
        case ("every", entity):
            return ("set", ("ref", entity), None)
        case ("if", _, a, b) | ("??", a, b):
            return type_of(b, names) if op == "??" else _either(type_of(a, names), type_of(b, names))
        case ("min" | "max", a, b):
            return _either(type_of(a, names), type_of(b, names))
        case ("neg", inner):
            return _open(type_of(inner, names))
        case ("+" | "-" | "*" | "//" | "%", a, b):
            return _arithmetic(op, type_of(a, names), type_of(b, names))
        case ("concat" | "union" | "minus" | "intersect", a, b):
            return _either(_open(type_of(a, names)), _open(type_of(b, names)))
        case ("size", _) | ("count", _, _, _):
            return _INT
        case ("dot", _, record, name):
            return next((part.type for part in names.table.records[record] if part.name == name), None)
        case ("index", of, _):
            return _optional(element(type_of(of, names)))
        case ("get", of, _):
            known = type_of(of, names)
            return _optional(known[2]) if known is not None and known[0] == "map" else None
        case ("put", of, _, _):
            return _open(type_of(of, names))
        case ("set" | "list", of, _):
            return (op, tuple(of), None)
        case ("map", key, worth, _):
            return ("map", tuple(key), tuple(worth), None)
        case ("record", name, _):
            return ("record", name)
        case ("to_set", of):
            return _set(element(type_of(of, names)))
        case ("first", _, of, _):
            return _optional(element(type_of(of, names)))
        case ("filter", _, of, _):
            return _set(element(type_of(of, names)))
        case ("sum" | "map_set" | "map_list", var, of, body):
            inner_names, _ = names.bind(var, element(type_of(of, names)))
            mapped = type_of(body, inner_names)
            if op == "sum":
                return _open(mapped)
            return None if mapped is None else ("set" if op == "map_set" else "list", mapped, None)
        case _:
            raise AssertionError(f"an operation that is none: {op!r}")


def element(collection: Type | None) -> Type | None:
    """Return what one meets when going through a collection: a map's are its keys."""
    return collection[1] if collection is not None and collection[0] in {"set", "list", "map"} else None


def _optional(type_: Type | None) -> Type | None:
    return type_ if type_ is None or type_[0] == "optional" else ("optional", type_)


def _set(of: Type | None) -> Type | None:
    return None if of is None else ("set", of, None)


def _open(type_: Type | None) -> Type | None:
    """A type without bounds: what is worked out may leave them."""
    if type_ is None:
        return None
    match type_:
        case ("int" | "decimal" as kind, _, _):
            return (kind, None, None)
        case ("set" | "list" as kind, of, _):
            return (kind, _open(of), None)
        case ("map", key, of, _):
            return ("map", _open(key), _open(of), None)
        case ("optional", inner):
            return ("optional", _open(inner))
        case _:
            return type_


def _either(a: Type | None, b: Type | None) -> Type | None:
    if a is None or b is None:
        return a or b
    if a == b:
        return a
    if b[0] == "optional" and a[0] != "optional":
        a, b = b, a
    return _open(a)


def _arithmetic(op: str, a: Type | None, b: Type | None) -> Type | None:
    kinds = {known[0] for known in (a, b) if known is not None}
    if "time" in kinds:
        both = a is not None and b is not None and a[0] == b[0] == "time"
        return ("duration",) if both and op == "-" else ("time",)
    if "duration" in kinds:
        both = a is not None and b is not None and a[0] == b[0] == "duration"
        return _INT if both and op == "//" else ("duration",)
    if "decimal" in kinds:
        return ("decimal", None, None)
    return _INT if kinds else None
