"""What a Cedar policy forbids, as conditions of the table's own.

A condition is read with three answers, as Cedar gives them: it holds, it does not, it can't be evaluated. Of each comes
an expression that says when that is *surely* so; of what the table knows nothing about (teams, tags, the hour), none of
them is. So a policy never forbids more here than it does where the server asks: what is proved with it holds. As there,
one that can't be evaluated forbids.

Cedar's semantics: Cutler et al., "Cedar: A New Language for Expressive, Fast, Safe, and Analyzable Authorization",
OOPSLA 2024.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from temper.table import Expr, Table, Type, cedar, encode, shape

TRUE: Expr = ("lit", ("bool",), True)
FALSE: Expr = ("lit", ("bool",), False)
_AGENT: Expr = ("!=", ("acts_for",), ("caller",))
_PARAMS = {".": {"left": {"Var": "context"}, "attr": "params"}}
_COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FLIPPED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


class Answers(Struct, frozen=True):
    """When a condition surely holds, surely does not, and surely can't be evaluated.

    The first two may be said of what can't be evaluated: then neither can the policy, and it forbids whatever the
    condition would have come to.
    """

    holds: Expr
    fails: Expr
    errs: Expr = FALSE


UNKNOWN = Answers(FALSE, FALSE)
HOLDS = Answers(TRUE, FALSE)
FAILS = Answers(FALSE, TRUE)
ERRS = Answers(FALSE, FALSE, TRUE)


class Term(Struct, frozen=True):
    """What has a value: what it comes to, of which type, and when it is not there (its reading then fails)."""

    expr: Expr
    type: Type
    absent: Expr = FALSE


class Given(Struct, frozen=True):
    """The request that a policy is asked about: one action of an entity, which is there or is to be created."""

    table: Table
    entity: shape.Entity
    action: shape.Action
    creates: bool


class Forbids(Struct, frozen=True):
    """When a policy forbids a request. `left_out` is what the table knows nothing about, in the policy's words."""

    when: Expr
    left_out: tuple[str, ...] = ()


def forbids(form: cedar.Json, given: Given) -> Forbids:
    """Return when a policy that covers the action forbids it; `form` is Cedar's JSON form of it."""
    reading = _Reading(given)
    met = _all(reading.scope("principal", form["principal"]), reading.scope("resource", form["resource"]))
    for condition in form["conditions"]:
        met = _all(met, reading.asked(condition["body"], negated=condition["kind"] == "unless"))
    return Forbids(either(met.holds, met.errs), tuple(dict.fromkeys(reading.left_out)))


class _Reading:
    """Reads one policy for one request."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.left_out: list[str] = []

    # --- scopes ---

    def scope(self, variable: str, form: Mapping[str, Any]) -> Answers:
        op = form["op"]
        if op == "All":
            return HOLDS
        parts = []
        if "entity_type" in form:
            parts.append(self._is(variable, form["entity_type"]))
        entity = form.get("entity") or form.get("in", {}).get("entity")
        if entity is not None:
            parts.append(self._equals_named(variable, entity) if op == "==" else self._within(variable, entity))
        met = HOLDS
        for part in parts:
            met = _all(met, part)
        return met

    def _is(self, variable: str, type: str) -> Answers:
        mine = cedar.PRINCIPAL if variable == "principal" else self._resource_type()
        return HOLDS if type == mine else FAILS

    def _resource_type(self) -> str:
        return cedar.entity_type(self.given.table, self.given.entity.name)

    def _equals_named(self, variable: str, entity: Mapping[str, str]) -> Answers:
        mine = cedar.PRINCIPAL if variable == "principal" else self._resource_type()
        if entity["type"] != mine:
            return FAILS
        return self._unknown(f"{variable} == {entity['type']}::{json.dumps(entity['id'])}")

    def _within(self, variable: str, entity: Mapping[str, str], expr: Expr = ("caller",)) -> Answers:
        """`in` an entity: a role that the caller holds, or what the table knows nothing about."""
        if variable == "principal" and expr == ("caller",) and entity["type"] == cedar.ROLE:
            held: Expr = ("has_role", entity["id"])
            known = any(role.name == entity["id"] for role in self.given.table.roles)
            return Answers(held, no(held)) if known else FAILS
        return self._unknown(f"{variable} in {entity['type']}::{json.dumps(entity['id'])}")

    def _unknown(self, what: str) -> Answers:
        self.left_out.append(what)
        return UNKNOWN

    # --- conditions ---

    def asked(self, body: Mapping[str, Any], *, negated: bool) -> Answers:
        answers = self.condition(body)
        return _not(answers) if negated else answers

    def condition(self, form: Mapping[str, Any]) -> Answers:
        """Return the answers of what has the type `Bool`."""
        ((op, of),) = form.items()
        if any(self._gone(each) for each in _operands(op, of)):
            return ERRS
        match op:
            case "Value" if isinstance(of, bool):
                return HOLDS if of else FAILS
            case "!":
                return _not(self.condition(of["arg"]))
            case "&&":
                return _all(self.condition(of["left"]), self.condition(of["right"]))
            case "||":
                return _not(_all(_not(self.condition(of["left"])), _not(self.condition(of["right"]))))
            case "if-then-else":
                asked, then, other = (self.condition(of[part]) for part in ("if", "then", "else"))
                return _if(asked, then, other)
            case "==" | "!=":
                same = self._same(of["left"], of["right"], form)
                return same if op == "==" else _not(same)
            case "<" | "<=" | ">" | ">=":
                return self._compared(op, of["left"], of["right"], form)
            case "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual":
                sign = {
                    "lessThan": "<", "lessThanOrEqual": "<=", "greaterThan": ">", "greaterThanOrEqual": ">=",
                }[op]  # fmt: skip
                return self._compared(sign, of[0], of[1], form)
            case "has":
                return self._has(of["left"], of["attr"], form)
            case "in":
                return self._in(of["left"], of["right"], form)
            case "is":
                if of.get("in") is None and of["left"] in ({"Var": "principal"}, {"Var": "resource"}):
                    return self._is(of["left"]["Var"], of["entity_type"])
                return self._unknown(_text(form))
            case "contains":
                return self._contains(of["left"], of["right"], form)
            case "containsAll" | "containsAny":
                return self._contains_some(of["left"], of["right"], form, all=op == "containsAll")
            case "isEmpty":
                term = self.term(of["arg"])
                if term is None or term.type[0] not in {"set", "list"}:
                    return self._unknown(_text(form))
                return _atom(("==", ("size", term.expr), ("lit", ("int", None, None), 0)), term)
            case ".":
                if of["left"] == {"Var": "principal"} and of["attr"] == "agent":
                    return Answers(_AGENT, no(_AGENT))
                term = self.term(form)
                if term is None or term.type != ("bool",):
                    return self._unknown(_text(form))
                return _atom(term.expr, term)
            case _:
                return self._unknown(_text(form))

    def _same(self, left: Mapping[str, Any], right: Mapping[str, Any], form: Mapping[str, Any]) -> Answers:
        state = _state_of(left) or _state_of(right)
        if state is not None:
            wanted = right if _state_of(left) is not None else left
            if isinstance(wanted.get("Value"), str):
                return self._in_state(state, wanted["Value"], form)
        literal, other = (left, right) if "Value" in left else (right, left)
        if "Value" in literal and "Value" in other:
            return HOLDS if literal == other else FAILS
        term = self.term(other)
        if term is None:
            return self._unknown(_text(form))
        if "Value" in literal or _extension(literal) is not None:
            wanted_one = self._literal(term.type, literal)
            if wanted_one is None:
                return self._unknown(_text(form))
            if wanted_one == ():
                return Answers(FALSE, no(term.absent), term.absent)  # A value that it never has.
            return _atom(("==", term.expr, wanted_one), term)
        one = self.term(literal)
        if one is not None and {one.type[0], term.type[0]} in ({"string", "one_of"}, {"one_of"}):
            return _atom(_same_text(one, term), one, term)
        if one is None or _plain(one.type) != _plain(term.type):
            return self._unknown(_text(form))
        return _atom(("==", term.expr, one.expr), term, one)

    def _compared(self, op: str, left: Mapping[str, Any], right: Mapping[str, Any], form: Mapping[str, Any]) -> Answers:
        if "Value" in left and "Value" in right:
            return HOLDS if _COMPARED[op](left["Value"], right["Value"]) else FAILS
        ends = [self.term(left), self.term(right)]
        numbers = [None if each is None else each.type[0] for each in ends]
        exprs: list[Expr] = []
        for end, other, side in zip(ends, reversed(ends), (left, right), strict=True):
            if end is not None:
                exprs.append(end.expr)
                continue
            literal = None if other is None else self._literal(other.type, side)
            if not literal:
                return self._unknown(_text(form))
            exprs.append(literal)
        if not set(numbers) - {None} <= {"int", "decimal", "duration", "time"} or len(set(numbers) - {None}) != 1:
            return self._unknown(_text(form))
        return _atom((op, *exprs), *[end for end in ends if end is not None])

    def _in_state(self, of: Mapping[str, Any], state: str, form: Mapping[str, Any]) -> Answers:
        given = self.given
        if of == {"Var": "resource"}:
            if given.creates:
                return HOLDS if state == "new" else FAILS
            if state not in given.entity.states:
                return FAILS
            here: Expr = ("in_state", (state,))
            return Answers(here, no(here))
        term = self.term(of)
        if term is None or term.type[0] != "ref":
            return self._unknown(_text(form))
        if state not in given.table.entities[term.type[1]].states:
            return Answers(FALSE, no(term.absent), term.absent)
        return _atom(("read_in", term.expr, term.type[1], (state,)), term)

    def _has(self, left: Mapping[str, Any], attr: str, form: Mapping[str, Any]) -> Answers:
        if left == {"Var": "principal"} and attr == "acts_for":
            return Answers(_AGENT, no(_AGENT))
        if left == {"Var": "resource"} and attr in {"state", "id"}:
            return HOLDS
        if left == {"Var": "context"} and attr in {"params", "now", "via"}:
            return HOLDS
        term = self.term({".": {"left": left, "attr": attr}})
        if term is None:
            known = left in ({"Var": "resource"}, _PARAMS)
            return FAILS if known and not self._there(left, attr) else self._unknown(_text(form))
        return Answers(no(term.absent), term.absent)

    def _gone(self, form: Mapping[str, Any]) -> bool:
        """Say whether a value is read that this request surely does not have."""
        if "." not in form:
            return False
        left, attr = form["."]["left"], form["."]["attr"]
        if left == {"Var": "resource"}:
            return attr not in {"state", "id"} and not self._there(left, attr)
        if left == _PARAMS:
            return not self._there(left, attr)
        return self._gone(left)

    def _there(self, left: Mapping[str, Any], attr: str) -> bool:
        """Say whether there may be such an attribute, whatever can be said of its value."""
        if left == {"Var": "resource"}:
            return not self.given.creates and any(each.name == attr for each in self.given.entity.fields)
        return any(each.name == attr for each in self.given.action.params)

    def _in(self, left: Mapping[str, Any], right: Mapping[str, Any], form: Mapping[str, Any]) -> Answers:
        many = right.get("Set", [right])
        entities = [each["Value"]["__entity"] for each in many if isinstance(each.get("Value"), Mapping)]
        if left == {"Var": "principal"} and len(entities) == len(many):
            met = FAILS
            for each in entities:
                met = _not(_all(_not(met), _not(self._within("principal", each))))
            return met
        return self._unknown(_text(form))

    def _contains(self, left: Mapping[str, Any], right: Mapping[str, Any], form: Mapping[str, Any]) -> Answers:
        if "Set" in left:
            met = FAILS
            for each in left["Set"]:
                met = _not(_all(_not(met), _not(self._same(each, right, form))))
            return met
        term = self.term(left)
        if term is None or term.type[0] not in {"set", "list"}:
            return self._unknown(_text(form))
        one = self.term(right)
        if one is not None:
            if _plain(one.type) != _plain(term.type[1]):
                return self._unknown(_text(form))
            return _atom(("in", one.expr, term.expr), term, one)
        literal = self._literal(term.type[1], right)
        if literal is None:
            return self._unknown(_text(form))
        if literal == ():
            return Answers(FALSE, no(term.absent), term.absent)
        return _atom(("in", literal, term.expr), term)

    def _contains_some(
        self, left: Mapping[str, Any], right: Mapping[str, Any], form: Mapping[str, Any], *, all: bool
    ) -> Answers:
        if "Set" not in right:
            return self._unknown(_text(form))
        met = HOLDS if all else FAILS
        for each in right["Set"]:
            has = self._contains(left, each, form)
            met = _all(met, has) if all else _not(_all(_not(met), _not(has)))
        return met

    # --- values ---

    def term(self, form: Mapping[str, Any]) -> Term | None:
        """Return what has a value in the table, `None` for what has none there."""
        if form == {"Var": "principal"}:
            return Term(("caller",), ("principal",))
        if "." not in form:
            return None
        left, attr = form["."]["left"], form["."]["attr"]
        if left == {"Var": "principal"}:
            return Term(("acts_for",), ("principal",), no(_AGENT)) if attr == "acts_for" else None
        if left == {"Var": "resource"}:
            found = next((each for each in self.given.entity.fields if each.name == attr), None)
            if found is None or self.given.creates:
                return None
            return _unwrapped(("field", attr), found.type)
        if left == _PARAMS:
            given = next((each for each in self.given.action.params if each.name == attr), None)
            return None if given is None else _unwrapped(("param", attr), given.type)
        owner = self.term(left)
        if owner is None or owner.type[0] != "ref":
            return None
        kind = self.given.table.entities[owner.type[1]]
        behind = next((each for each in kind.fields if each.name == attr), None)
        if behind is None:
            return None
        term = _unwrapped(("read", owner.expr, kind.name, attr), behind.type)
        return Term(term.expr, term.type, either(owner.absent, both(no(owner.absent), term.absent)))

    def _literal(self, type: Type, form: Mapping[str, Any]) -> Expr | None:
        """Return a literal as one of the type: `()` where the type has no such value, `None` for what is no literal."""
        extension = _extension(form)
        if extension is not None:
            name, text = extension
            if name == "decimal" and type[0] == "decimal":
                return ("lit", type, text)
            ms = _milliseconds(name, text)
            told = {"duration": "duration", "datetime": "time"}.get(name)
            return None if ms is None or told != type[0] else ("lit", type, encode(type, ms, {}))
        value = form.get("Value")
        match type[0]:
            case "int" if isinstance(value, int) and not isinstance(value, bool):
                return ("lit", type, value)
            case "string" if isinstance(value, str):
                return ("lit", type, value)
            case "one_of" if isinstance(value, str):
                return ("lit", type, value) if value in type[1] else ()
            case "bool" if isinstance(value, bool):
                return ("lit", type, value)
            case _:
                return None


def _operands(op: str, of: Any) -> list[Mapping[str, Any]]:
    """Return the values that an operation always reads, of those whose reading can fail."""
    if op in {"Value", "Var", "Set", "&&", "||", "!", "if-then-else", "has"}:
        return []
    if isinstance(of, list):
        return of
    if op == ".":
        return [{op: of}]
    return [each for name in ("left", "right", "arg") if isinstance(each := of.get(name), Mapping)]


def _unwrapped(expr: Expr, type: Type) -> Term:
    if type[0] != "optional":
        return Term(expr, type)
    return Term(("value", expr), type[1], ("==", expr, ("none", type)))


def _plain(type: Type) -> Type:
    """Return the type as far as comparing needs it: the bounds of numbers are nothing to it."""
    return type[:1] if type[0] in {"int", "decimal"} else type


def _state_of(form: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return whose state an expression reads, `None` where it reads none."""
    read = form.get(".")
    if read is None or read["attr"] != "state" or read["left"] == {"Var": "principal"}:
        return None
    left: Mapping[str, Any] = read["left"]
    return left


def _extension(form: Mapping[str, Any]) -> tuple[str, str] | None:
    ((op, of),) = form.items()
    if isinstance(of, list) and len(of) == 1 and isinstance(of[0].get("Value"), str):
        return op, of[0]["Value"]
    return None


_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def _milliseconds(name: str, text: str) -> int | None:
    """Return what a literal of Cedar's extensions for time comes to, `None` for another."""
    if name == "duration":
        sign = -1 if text.startswith("-") else 1
        return sign * sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|[dhms])", text))
    if name == "datetime":
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return None


def _same_text(one: Term, other: Term) -> Expr:
    """Return when two texts are the same, of which one is of an enumeration: each is compared with its values."""
    values = [each for each in (one, other) if each.type[0] == "one_of"]
    same = FALSE
    for text in values[0].type[1]:
        if all(text in each.type[1] for each in values):
            mine: Expr = ("==", one.expr, ("lit", one.type, text))
            same = either(same, both(mine, ("==", other.expr, ("lit", other.type, text))))
    return same


def _atom(holds: Expr, *terms: Term) -> Answers:
    """Return the answers of a comparison of values, each of which may not be there."""
    absent = FALSE
    for term in terms:
        absent = either(absent, term.absent)
    there = no(absent)
    return Answers(both(there, holds), both(there, no(holds)), absent)


def _text(form: Mapping[str, Any]) -> str:
    """Return an expression in Cedar's own words, near enough to be known again."""
    ((op, of),) = form.items()
    if op == "Value":
        entity = of.get("__entity") if isinstance(of, Mapping) else None
        return json.dumps(of) if entity is None else f"{entity['type']}::{json.dumps(entity['id'])}"
    if op == "Var":
        return str(of)
    if op == ".":
        return f"{_text(of['left'])}.{of['attr']}"
    if op == "has":
        return f"{_text(of['left'])} has {of['attr']}"
    if op == "Set":
        return f"[{', '.join(map(_text, of))}]"
    if op == "like":
        shown = "".join("*" if each == "Wildcard" else each["Literal"] for each in of["pattern"])
        return f"{_text(of['left'])} like {json.dumps(shown)}"
    if isinstance(of, list):
        return f"{op}({', '.join(map(_text, of))})"
    if op in {"==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "&&", "||"}:
        return f"{_text(of['left'])} {op} {_text(of['right'])}"
    if "left" in of and "right" in of:
        return f"{_text(of['left'])}.{op}({_text(of['right'])})"
    return op


# --- expressions, folded ----------------------------------------------------------------------------------------------


def _not(of: Answers) -> Answers:
    return Answers(of.fails, of.holds, of.errs)


def _all(left: Answers, right: Answers) -> Answers:
    """`&&`: the right side is asked where the left one holds; where that fails it makes no difference what this is."""
    return Answers(
        both(left.holds, right.holds),
        either(left.fails, right.fails),
        either(left.errs, both(left.holds, right.errs)),
    )


def _if(asked: Answers, then: Answers, other: Answers) -> Answers:
    def of(one: Expr, two: Expr) -> Expr:
        return either(both(asked.holds, one), both(asked.fails, two))

    return Answers(
        of(then.holds, other.holds), of(then.fails, other.fails), either(asked.errs, of(then.errs, other.errs))
    )


def both(left: Expr, right: Expr) -> Expr:
    """Return `left and right`."""
    if FALSE in (left, right):
        return FALSE
    if left in (TRUE, right):
        return right
    return left if right == TRUE else ("and", left, right)


def either(left: Expr, right: Expr) -> Expr:
    """Return `left or right`."""
    if TRUE in (left, right):
        return TRUE
    if left in (FALSE, right):
        return right
    return left if right == FALSE else ("or", left, right)


def no(of: Expr) -> Expr:
    """Return `not of`."""
    if of == TRUE:
        return FALSE
    if of == FALSE:
        return TRUE
    if of[0] == "not":
        inner: Expr = of[1]
        return inner
    if of[0] in _FLIPPED:
        return (_FLIPPED[of[0]], *of[1:])
    if of[0] in {"==", "!="}:
        return ("!=" if of[0] == "==" else "==", *of[1:])
    return ("not", of)
