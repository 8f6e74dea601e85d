"""Expressions of a table, taken apart: their parts, what they read, and their types.

What they are worth is `temper.table`'s to say; here is only what both levels need to know about their shape.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from msgspec import Struct, field

from temper.table import Expr, Table, Type, shape

BOOL: Type = ("bool",)
INT: Type = ("int", None, None)
STRING: Type = ("string",)
TIME: Type = ("time",)
DURATION: Type = ("duration",)
PRINCIPAL: Type = ("principal",)
DECIMAL: Type = ("decimal", None, None)

TRUE: Expr = ("lit", BOOL, True)
FALSE: Expr = ("lit", BOOL, False)

COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})

_LEAVES = frozenset(
    """
    lit none field param let var created this id created_at now caller acts_for result error in_state has_role
    action_is inverse every
    """.split()
)
_FIRST = frozenset("some value to_decimal before not neg size to_set read read_in dot".split())
_PAIRS = frozenset(
    "and or implies == != < <= > >= in ?? + - * // % concat union minus intersect min max index get".split()
)
_THREE = frozenset({"if", "put"})
_QUANTIFIERS = frozenset("all any count sum first filter map_set map_list".split())


def children(e: Expr) -> tuple[Expr, ...]:
    """Return the expressions that `e` is made of, left to right."""
    op = e[0]
    if op in _LEAVES:
        return ()
    if op in _FIRST:
        return (e[1],)
    if op in _PAIRS:
        return (e[1], e[2])
    if op in _THREE:
        return (e[1], e[2], e[3])
    if op in _QUANTIFIERS:
        return (e[2], e[3])
    if op in {"set", "list", "record"}:
        return tuple(e[2])
    if op == "map":
        return tuple(part for pair in e[3] for part in pair)
    raise AssertionError(f"an expression of no known kind: {op!r}")


def rebuilt(e: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return `e` with `change` applied to each of its parts (not to `e` itself)."""
    op = e[0]
    if op in _LEAVES:
        return e
    if op in _FIRST:
        return (op, change(e[1]), *e[2:])
    if op in _PAIRS:
        return (op, change(e[1]), change(e[2]))
    if op in _THREE:
        return (op, change(e[1]), change(e[2]), change(e[3]))
    if op in _QUANTIFIERS:
        return (op, e[1], change(e[2]), change(e[3]))
    if op in {"set", "list", "record"}:
        return (op, e[1], tuple(change(item) for item in e[2]))
    if op == "map":
        return (op, e[1], e[2], tuple((change(key), change(value)) for key, value in e[3]))
    raise AssertionError(f"an expression of no known kind: {op!r}")


def walk(e: Expr) -> Iterator[Expr]:
    """Every expression in `e`, itself first."""
    yield e
    for child in children(e):
        yield from walk(child)


def conjuncts(e: Expr) -> Iterator[Expr]:
    """The parts of a chain of `and`."""
    if e[0] == "and":
        yield from conjuncts(e[1])
        yield from conjuncts(e[2])
    else:
        yield e


def in_one_state(e: Expr, state: str) -> Expr:
    """Return what an expression says of an entity in this state: its questions about the state answered."""
    if e[0] == "in_state":
        return ("lit", ("bool",), state in e[1])
    made = rebuilt(e, lambda part: in_one_state(part, state))
    return _settled(made)


def _settled(e: Expr) -> Expr:
    """Return an operation of logic without those of its parts that are literals."""
    if e[0] == "not" and e[1] in (TRUE, FALSE):
        return FALSE if e[1] == TRUE else TRUE
    if e[0] not in {"and", "or", "implies"}:
        return e
    op, a, b = e
    if op == "implies":
        if b == TRUE:
            return TRUE
        op, a = "or", _settled(("not", a)) if a in (TRUE, FALSE) else a
        if a not in (TRUE, FALSE):
            return e
    decides, passes = (FALSE, TRUE) if op == "and" else (TRUE, FALSE)
    if decides in (a, b):
        return decides
    rest: Expr = b if a == passes else a
    return rest if passes in (a, b) else e


def reads_nothing_else(e: Expr, x: str, known: Collection[str] = ()) -> bool:
    """Say whether an expression depends on nothing but what the entity that `x` stands for holds, and on what never
    changes: who it is asked for (`this`), and who the `known` variables stand for."""
    match e:
        case ("read" | "read_in", ("var", name), _, _):
            return bool(name == x)
        case ("var", name):
            return name == x or name in known
        case ("lit", _, _) | ("none", _) | ("this",):
            return True
        case _:
            inner = children(e)
            return bool(inner) and all(reads_nothing_else(part, x, known) for part in inner)


class Names(Struct, frozen=True):
    """What the names of an expression mean where it stands: the entity's, the action's, the bound ones."""

    table: Table
    entity: shape.Entity | None = None
    params: Mapping[str, Type] = field(default_factory=dict)
    lets: Mapping[str, shape.Let] = field(default_factory=dict)
    bound: Mapping[str, Type] = field(default_factory=dict)
    results: Mapping[str, Type] = field(default_factory=dict)

    def let(self, name: str) -> shape.Let | None:
        """Return the derived value of that name; the action's hide the entity's."""
        if name in self.lets:
            return self.lets[name]
        if self.entity is not None:
            return next((let for let in self.entity.lets if let.name == name), None)
        return None

    def bind(self, name: str, type_: Type) -> Names:
        """Return the same names with one bound variable more."""
        return Names(self.table, self.entity, self.params, self.lets, {**self.bound, name: type_}, self.results)


def names_in(
    table: Table, entity: shape.Entity, action: shape.Action | None = None, case: shape.Case | None = None
) -> Names:
    """Return the names of an action's (and case's) expressions."""
    lets = {let.name: let for let in (action.lets if action else ())}
    lets.update({let.name: let for let in (case.lets if case else ())})
    params = {param.name: param.type for param in (action.params if action else ())}
    return Names(table, entity, params, lets)


def without_lets(e: Expr, names: Names) -> Expr:
    """Return `e` with every derived value written out."""
    if e[0] == "let":
        let = names.let(e[1])
        assert let is not None, f"`{e[1]}` is derived nowhere"
        return without_lets(let.value, names)
    return rebuilt(e, lambda part: without_lets(part, names))


def field_type(table: Table, entity: str, name: str) -> Type:
    """Return the type of a field of an entity."""
    for each in table.entities[entity].fields:
        if each.name == name:
            return each.type
    raise AssertionError(f"`{entity}` has no field `{name}`")


def element_type(collection: Type) -> Type:
    """Return the type of what a quantifier meets in a set, a list, or a map (its keys)."""
    assert collection[0] in {"set", "list", "map"}, collection
    element: Type = collection[1]
    return element


def type_of(e: Expr, names: Names) -> Type:
    """Return the type of an expression, its bounds aside where they were computed."""
    type_: Type
    inner: Type
    match e:
        case ("lit", _, _):
            type_ = e[1]
            return type_
        case ("none", type_):
            whole: Type = type_ if type_[0] == "optional" else ("optional", type_)
            return whole
        case ("some", part):
            return ("optional", type_of(part, names))
        case ("value", part):
            inner = type_of(part, names)
            plain: Type = inner[1] if inner[0] == "optional" else inner
            return plain
        case ("to_decimal", _):
            return DECIMAL
        case ("field", name):
            assert names.entity is not None, f"`{name}` is nobody's field"
            return field_type(names.table, names.entity.name, name)
        case ("param", name):
            return names.params[name]
        case ("let", name):
            let = names.let(name)
            assert let is not None, f"`{name}` is derived nowhere"
            return let.type
        case ("var", name):
            return names.bound[name]
        case ("created", _):
            return ("ref", "")
        case ("this",) | ("id",):
            return ("ref", names.entity.name if names.entity is not None else "")
        case ("created_at",) | ("now",):
            return TIME
        case ("caller",) | ("acts_for",):
            return PRINCIPAL
        case ("result", name):
            return names.results[name]
        case ("error", _):
            return STRING
        case ("before", part):
            return type_of(part, names)
        case ("read", _, entity, name):
            return field_type(names.table, entity, name)
        case ("inverse", name):
            assert names.entity is not None, f"`{name}` is nobody's"
            inverse = next(each for each in names.entity.inverses if each.name == name)
            return ("set", ("ref", inverse.entity), inverse.max)
        case ("every", entity):
            return ("set", ("ref", entity), None)
        case ("if", _, a, _) | ("min", a, _) | ("max", a, _) | ("neg", a):
            return opened(type_of(a, names))
        case ("??", _, b):
            return opened(type_of(b, names))
        case ("size", _) | ("count", _, _, _):
            return INT
        case ("+", a, b):
            left = type_of(a, names)
            return opened(type_of(b, names) if left[0] == "duration" and type_of(b, names)[0] == "time" else left)
        case ("-", a, b):
            left, right = type_of(a, names), type_of(b, names)
            return DURATION if left[0] == "time" and right[0] == "time" else opened(left)
        case ("*", a, b):
            left, right = type_of(a, names), type_of(b, names)
            return opened(right if right[0] == "duration" else left)
        case ("//", a, b):
            left, right = type_of(a, names), type_of(b, names)
            return INT if left[0] == "duration" and right[0] == "duration" else opened(left)
        case ("%", a, _):
            return opened(type_of(a, names))
        case ("concat", a, _) | ("union", a, _) | ("minus", a, _) | ("intersect", a, _) | ("put", a, _, _):
            return opened(type_of(a, names))
        case ("dot", _, record, name):
            return next(part.type for part in names.table.records[record] if part.name == name)
        case ("index", part, _):
            return ("optional", type_of(part, names)[1])
        case ("get", part, _):
            return ("optional", type_of(part, names)[2])
        case ("set", type_, _):
            return ("set", type_, None)
        case ("list", type_, _):
            return ("list", type_, None)
        case ("map", key, type_, _):
            return ("map", key, type_, None)
        case ("record", name, _):
            return ("record", name)
        case ("to_set", part):
            return ("set", type_of(part, names)[1], None)
        case ("sum", x, over, body) | ("map_set", x, over, body) | ("map_list", x, over, body):
            inner = opened(type_of(body, names.bind(x, element_type(type_of(over, names)))))
            return {"sum": inner, "map_set": ("set", inner, None), "map_list": ("list", inner, None)}[e[0]]
        case ("first", _, over, _):
            return ("optional", element_type(type_of(over, names)))
        case ("filter", _, over, _):
            kind = type_of(over, names)
            return opened(kind) if kind[0] != "map" else ("set", kind[1], None)
        case _:
            return BOOL


def opened(type_: Type) -> Type:
    """Return the type without its bounds: what is known of a computed value."""
    match type_:
        case ("int", _, _):
            return INT
        case ("decimal", _, _):
            return DECIMAL
        case ("optional", inner):
            return ("optional", opened(inner))
        case ("set", inner, _):
            return ("set", opened(inner), None)
        case ("list", inner, _):
            return ("list", opened(inner), None)
        case ("map", key, inner, _):
            return ("map", opened(key), opened(inner), None)
        case _:
            return type_


def bounded(type_: Type, table: Table) -> bool:
    """Say whether a value of the type's kind may still not fit it."""
    match type_:
        case ("int", low, high) | ("decimal", low, high):
            return low is not None or high is not None
        case ("optional", inner):
            return bounded(inner, table)
        case ("set", inner, size) | ("list", inner, size):
            return size is not None or bounded(inner, table)
        case ("map", key, inner, size):
            return size is not None or bounded(key, table) or bounded(inner, table)
        case ("record", name):
            return any(bounded(part.type, table) for part in table.records[name])
        case _:
            return False
