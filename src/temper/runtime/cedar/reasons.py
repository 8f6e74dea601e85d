"""Whether the conditions of a policy can hold, and whether those of another hold wherever they do.

Conditions are read as far as states, enumerations, truth values, numbers, names and roles tell; whatever else they say
may be so, not so, or not to be told. So what is found here to be impossible, or to be covered, is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from temper.runtime.cedar.schema import NEW
from temper.table import Table, Type, cedar

Json: TypeAlias = Any
Path: TypeAlias = tuple[str, ...]
Node: TypeAlias = tuple[Any, ...]

# What a part of a condition comes to besides yes and no: Cedar can't tell, and we don't know yet.
ERRS = "\0errs"
OPEN = None
Value: TypeAlias = bool | str | None

# Parts of conditions that are looked at for one bundle: past them a policy counts as one that may apply.
STEPS_MAX = 1_500_000

_OTHER = "\0other"
_STATE: Path = ("resource", "state")
_AGENT: Path = ("principal", "agent")
_VIAS = frozenset({"http", "mcp", "webhook", "server"})
_LONG_END = 2**63
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(slots=True)
class Budget:
    """How many more parts of conditions may be looked at."""

    left: int = STEPS_MAX


@dataclass(frozen=True, slots=True)
class Reading:
    """A policy's head and conditions, as they are for one action. `domains` are the values that its parts can have."""

    parts: Sequence[Node]
    domains: Mapping[Path, tuple[Any, ...]]
    closed: frozenset[Path]
    compared: tuple[tuple[Path, Any], ...]

    def applies(self, given: Mapping[Path, Any], budget: Budget, *, errors: bool) -> Value:
        """Return whether the policy applies; `ERRS` where that can't be told of it."""
        return _all(self.parts, given, budget, errors)


def read(table: Table, form: Json, name: cedar.ActionName) -> Reading:
    """Return what a policy says of an action that it covers."""
    reader = _Reader(table, name)
    parts = [reader.scope("principal", form["principal"]), reader.scope("resource", form["resource"])]
    for condition in form["conditions"]:
        body = reader.node(condition["body"])
        parts.append(body if condition["kind"] == "when" else ("!", body))
    closed = frozenset(path for path in reader.types if reader.closed(path) is not None)
    domains = {path: reader.domain(path) for path in reader.domains()}
    return Reading(parts, domains, closed, tuple(reader.compared))


def states(table: Table, name: cedar.ActionName, *, hopeful: bool = True) -> frozenset[str]:
    """Return the states in which an entity can be when it is asked for this; `hopeful`: where that can be done."""
    entity = table.entities[name.entity]
    if name.action is None:
        return frozenset(entity.states)
    if name.group == cedar.WRITE and hopeful:
        return frozenset(state for case in entity.actions[name.action].cases for state in case.froms)
    return frozenset((NEW, *entity.states))


def possible(reading: Reading, states: frozenset[str], budget: Budget) -> bool:
    """Say whether a request about an entity in one of these states may meet all that the policy asks for."""

    def settled(given: Mapping[Path, Any]) -> bool | None:
        value = reading.applies(given, budget, errors=False)
        return None if value is OPEN else value is True

    domains = {path: tuple(v for v in values if v != ERRS) for path, values in reading.domains.items()}
    return _some(_within(domains, states), settled, budget)


def covered(
    one: Reading, effect: str, others: Sequence[tuple[Reading, str]], states: frozenset[str], budget: Budget
) -> bool:
    """Say whether one of `others` applies wherever the first does. A `forbid` applies, too, where it can't be told."""
    domains: dict[Path, tuple[Any, ...]] = {}
    for reading in (one, *(other for other, _ in others)):
        for path, values in reading.domains.items():
            known = domains.get(path, ())
            domains[path] = (*known, *(value for value in values if value not in known))

    def settled(given: Mapping[Path, Any]) -> bool | None:
        mine = _in_force(one.applies(given, budget, errors=True), effect)
        if mine is False:
            return False
        theirs = [_in_force(other.applies(given, budget, errors=True), kind) for other, kind in others]
        if True in theirs:
            return False
        return None if mine is None or None in theirs else True

    return not _some(_within(domains, states), settled, budget)


def _in_force(value: Value, effect: str) -> bool | None:
    return value if value is OPEN or isinstance(value, bool) else effect == cedar.FORBID


def _within(domains: Mapping[Path, tuple[Any, ...]], states: frozenset[str]) -> dict[Path, tuple[Any, ...]]:
    """Those domains with the state's narrowed, which comes first: what is there depends on it."""
    first = {_STATE: tuple(sorted(states))} if _STATE in domains else {}
    return {**first, **{path: values for path, values in domains.items() if path != _STATE}}


def _some(domains: Mapping[Path, tuple[Any, ...]], settled: Any, budget: Budget) -> bool:
    """Say whether some choice of values settles a question with yes; yes, too, where looking takes too long."""
    paths = list(domains)
    given: dict[Path, Any] = {}

    def look(at: int) -> bool:
        if budget.left <= 0:
            return True
        answer = settled(given)
        if answer is not None or at == len(paths):
            return answer is not False
        for value in domains[paths[at]]:
            given[paths[at]] = value
            if look(at + 1):
                return True
        given.pop(paths[at], None)
        return False

    return look(0)


# --- what conditions come to ------------------------------------------------------------------------------------------


def _all(parts: Sequence[Node], given: Mapping[Path, Any], budget: Budget, errors: bool) -> Value:
    unknown = False
    for part in parts:
        value = _value(part, given, budget, errors)
        if value is OPEN:
            unknown = True
        elif value == ERRS:
            # One before it that comes out as no would have kept Cedar from asking.
            return OPEN if unknown else ERRS
        elif value is False and not (unknown and errors):
            return False
    return OPEN if unknown else True


def _value(node: Node, given: Mapping[Path, Any], budget: Budget, errors: bool) -> Value:
    budget.left -= 1
    match node:
        case ("const", bool(constant)):
            return constant
        case ("path", path):
            return _known(given, path)
        case ("test", path, op, literal):
            known = given.get(path, OPEN)
            return known if known is OPEN or known == ERRS else _compare(known, op, literal)
        case ("there", bool(required), path):
            state = given.get(_STATE, OPEN)
            if state is OPEN or state == NEW:
                return OPEN if state is OPEN else False
            return required or _known(given, path)
        case ("!", inner):
            value = _value(inner, given, budget, errors)
            return not value if isinstance(value, bool) else value
        case ("&&", left, right):
            return _all((left, right), given, budget, errors)
        case ("||", left, right):
            value = _all((("!", left), ("!", right)), given, budget, errors)
            return not value if isinstance(value, bool) else value
        case ("if", test, then, otherwise):
            value = _value(test, given, budget, errors)
            if isinstance(value, bool):
                return _value(then if value else otherwise, given, budget, errors)
            return value
        case _:
            raise AssertionError(node)


def _known(given: Mapping[Path, Any], path: Path) -> Value:
    value: Value = given.get(path, OPEN)
    return value


def _compare(known: Any, op: str, literal: Any) -> bool:
    match op:
        case "==":
            return bool(known == literal)
        case "<":
            return bool(known < literal)
        case "<=":
            return bool(known <= literal)
        case ">":
            return bool(known > literal)
        case _:
            return bool(known >= literal)


# --- reading conditions -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Reads conditions for one action: of its kind of entity, and of its parameters."""

    table: Table
    name: cedar.ActionName
    types: dict[Path, Type] = field(default_factory=dict)
    literals: dict[Path, list[Any]] = field(default_factory=dict)
    plain: dict[Path, tuple[Any, ...]] = field(default_factory=dict)
    compared: list[tuple[Path, Any]] = field(default_factory=list)

    # the head

    def scope(self, var: str, scope: Json) -> Node:
        op = scope["op"]
        if op == "All":
            return ("const", True)
        if op == "is":
            kind = ("const", scope["entity_type"] == self._kind((var,)))
            inside = scope.get("in")
            return ("&&", kind, self._in({"Var": var}, [inside["entity"]])) if inside else kind
        return self._in({"Var": var}, [scope["entity"]])

    # conditions

    def node(self, expr: Json) -> Node:
        op, part = next(iter(expr.items()))
        match op:
            case "Value" if isinstance(part, bool):
                return ("const", part)
            case "!":
                return ("!", self.node(part["arg"]))
            case "&&" | "||":
                return (op, self.node(part["left"]), self.node(part["right"]))
            case "if-then-else":
                return ("if", self.node(part["if"]), self.node(part["then"]), self.node(part["else"]))
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                return self._comparison(op, part["left"], part["right"])
            case "contains":
                values = _values(part["left"])
                path = self._path(part["right"])
                if values and path is not None and self._simple(path):
                    return self._one_of(path, values)
            case "in":
                entities = [value for value in _values(part["right"]) or () if isinstance(value, dict)]
                if entities:
                    return self._in(part["left"], [each["__entity"] for each in entities])
            case "is":
                kind = self._kind(self._path(part["left"]) or ())
                if kind is not None and "in" not in part:
                    return ("const", part["entity_type"] == kind)
            case "has":
                return self._has(expr, part)
            case "." if (path := self._path(expr)) is not None and self._type(path) == ("bool",):
                return self._test(path, "==", True)
        return self._opaque(expr, errs=True)

    def _comparison(self, op: str, left: Json, right: Json) -> Node:
        if op == "!=":
            return ("!", self._comparison("==", left, right))
        if "Value" in left and "Value" in right:
            return self._of_literals(op, left["Value"], right["Value"])
        if "Value" in left:
            left, right, op = right, left, _MIRRORED.get(op, op)
        path = self._path(left)
        values = _values(right) if "Value" in right else None
        if path is None or not values or not self._simple(path):
            same = op == "==" and left == right and path in (("principal",), ("resource",))
            return ("const", True) if same else self._opaque({op: {"left": left, "right": right}}, errs=True)
        return self._one_of(path, values) if op == "==" else self._test(path, op, values[0])

    def _of_literals(self, op: str, left: Any, right: Any) -> Node:
        if op == "==" or (isinstance(left, int) and isinstance(right, int)):
            return ("const", _compare(left, op, right))
        return self._opaque({op: {"left": left, "right": right}}, errs=True)

    def _one_of(self, path: Path, values: Sequence[Any]) -> Node:
        node: Node = ("const", False)
        for value in values:
            literal = value
            if isinstance(value, dict):
                if "__entity" not in value or value["__entity"]["type"] != self._kind(path):
                    continue
                literal = value["__entity"]["id"]
            node = ("||", node, self._test(path, "==", literal))
        return node

    def _test(self, path: Path, op: str, literal: Any) -> Node:
        self.compared.append((path, literal))
        self.types.setdefault(path, self._type(path) or ("string",))
        self.literals.setdefault(path, []).append(literal)
        return ("test", path, op, literal)

    def _in(self, left: Json, entities: Sequence[Json]) -> Node:
        path = self._path(left)
        node: Node = ("const", False)
        for entity in entities:
            if entity["type"] in (cedar.ROLE, cedar.TEAM):
                inside = self._opaque({"in": {"left": left, "right": entity}}, errs=path != ("principal",))
            elif path is not None and self._kind(path) is not None:
                inside = self._one_of(path, [{"__entity": entity}])
            else:
                inside = self._opaque({"in": {"left": left, "right": entity}}, errs=True)
            node = ("||", node, inside)
        return node

    def _has(self, expr: Json, part: Json) -> Node:
        left, attr = self._path(part["left"]), part["attr"]
        if left == ("principal",) and attr == "acts_for":
            return self._test(_AGENT, "==", True)
        if left == ("resource",) and isinstance(attr, str):
            if attr in ("id", "state"):
                return ("const", True)
            known = next((each for each in self.table.entities[self.name.entity].fields if each.name == attr), None)
            if known is None:
                return ("const", False)
            self.types.setdefault(_STATE, ("string",))
            path = ("has", attr)
            required = known.type[0] != "optional"
            if not required:
                self.plain[path] = (True, False)
            return ("there", required, path)
        return self._opaque(expr, errs=left not in (("context",), ("context", "params")))

    def _opaque(self, expr: Json, *, errs: bool) -> Node:
        path = ("opaque", repr(expr))
        self.plain[path] = (True, False, ERRS) if errs else (True, False)
        return ("path", path)

    # what things are

    def _path(self, expr: Json) -> Path | None:
        """The attribute that an expression reads, as one writes it; who is asked for by name is asked for."""
        if "Var" in expr:
            return (expr["Var"],)
        if "." not in expr:
            return None
        left = self._path(expr["."]["left"])
        if left is None:
            return None
        attr = expr["."]["attr"]
        kind = self._kind(left)
        if (kind == cedar.PRINCIPAL and attr == "name") or (left == ("resource",) and attr == "id"):
            return left
        return (*left, attr)

    def _simple(self, path: Path) -> bool:
        """Whether what stands there is one value that can be listed."""
        type_ = self._type(path)
        return type_ is not None and type_[0] in ("string", "bool", "int", "one_of", "principal", "ref")

    def _kind(self, path: Path) -> str | None:
        type_ = self._type(path)
        if type_ is None or type_[0] not in ("principal", "ref"):
            return None
        return cedar.PRINCIPAL if type_[0] == "principal" else cedar.entity_type(self.table, type_[1])

    def _type(self, path: Path) -> Type | None:
        if not path:
            return None
        type_: Type | None = self._root(path[0])
        for attr in path[1:]:
            if type_ is None:
                return None
            type_ = self._attribute(type_, attr)
            if type_ is not None and type_[0] == "optional":
                type_ = type_[1]
        return type_

    def _root(self, var: str) -> Type | None:
        match var:
            case "principal":
                return ("principal",)
            case "resource":
                return ("ref", self.name.entity)
            case "context":
                return ("context",)
            case _:
                return None

    def _attribute(self, type_: Type, attr: str) -> Type | None:
        match type_:
            case ("principal",):
                return {"agent": ("bool",), "admin": ("bool",), "acts_for": ("principal",)}.get(attr)
            case ("ref", entity):
                if attr in ("id", "state"):
                    return ("string",)
                return next((each.type for each in self.table.entities[entity].fields if each.name == attr), None)
            case ("record", record):
                return next((each.type for each in self.table.records[record] if each.name == attr), None)
            case ("context",):
                return {
                    "via": ("string",), "session": ("string",), "requester": ("principal",), "params": ("params",),
                }.get(attr)  # fmt: skip
            case ("params",) if self.name.action is not None:
                action = self.table.entities[self.name.entity].actions[self.name.action]
                return next((each.type for each in action.params if each.name == attr), None)
            case _:
                return None

    # the values that there are

    def closed(self, path: Path) -> frozenset[str] | None:
        """All values that can stand there, where they can be listed."""
        if path == ("context", "via"):
            return _VIAS
        if path[-1] == "state" and len(path) > 1:
            owner = self._type(path[:-1])
            if owner is not None and owner[0] == "ref":
                new = (NEW,) if path == _STATE else ()
                return frozenset((*self.table.entities[owner[1]].states, *new))
        type_ = self._type(path)
        return frozenset(type_[1]) if type_ is not None and type_[0] == "one_of" else None

    def domains(self) -> Iterator[Path]:
        yield from self.types
        yield from self.plain

    def domain(self, path: Path) -> tuple[Any, ...]:
        if path in self.plain:
            return self.plain[path]
        errs = (ERRS,) if self._may_err(path) else ()
        closed = self.closed(path)
        if closed is not None:
            return (*sorted(closed), *errs)
        type_ = self._type(path)
        literals = dict.fromkeys(self.literals.get(path, ()))
        if type_ == ("bool",):
            return (True, False, *errs)
        if type_ is not None and type_[0] == "int":
            # What Cedar may not be able to hold is no more than it says: where it can't, a `forbid` applies.
            low, high = (None, None) if self._too_long(type_) else (type_[1], type_[2])
            near = {each + step for each in literals for step in (-1, 0, 1)}
            near |= {end for end in (low, high) if end is not None}
            fits = sorted(n for n in near if (low is None or n >= low) and (high is None or n <= high))
            return (*fits, *errs)
        return (*literals, _OTHER, *errs)

    def _may_err(self, path: Path) -> bool:
        """Whether reading what stands there can fail: it is somebody else's, or Cedar can't hold it."""
        type_ = self._type(path)
        if type_ is not None and type_[0] == "int" and self._too_long(type_):
            return True
        owners = [path[:length] for length in range(2, len(path))]
        return any(self._kind(owner) is not None for owner in owners)

    def _too_long(self, type_: Type) -> bool:
        low, high = type_[1], type_[2]
        return low is None or high is None or low < -_LONG_END or high >= _LONG_END


def _values(expr: Json) -> list[Any] | None:
    """The literals that an expression lists, or is."""
    if "Value" in expr:
        return [expr["Value"]]
    if isinstance(expr.get("Set"), list) and all("Value" in each for each in expr["Set"]):
        return [each["Value"] for each in expr["Set"]]
    return None
