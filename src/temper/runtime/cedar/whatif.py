"""Who could do what, where only roles and a state are given: yes, no, or it depends on what is not given.

A policy is read with three answers: it applies, it does not, or that rests on something else, such as a field, a
parameter or who exactly asks. `by` is read so, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from temper.runtime.cedar.schema import NEW
from temper.table import Table, cedar
from temper.table import shape as pieces

Json: TypeAlias = Any


class Could(Enum):
    """Whether somebody could."""

    YES = "yes"
    NO = "no"
    DEPENDS = "depends"


@dataclass(frozen=True, slots=True)
class Somebody:
    """A caller of whom only this is known: the roles, all of them, and whether it is an agent."""

    roles: frozenset[str]
    agent: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether somebody could, and what stands in the way or decides: "by", or the ids of policies."""

    could: Could
    because: tuple[str, ...] = ()


def could_act(table: Table, entity: str, action: str, state: str, who: Somebody) -> Answer:
    """Return whether somebody could take an action of an entity in that state ("new" for a creation), by `by` and
    policies alone: guards are not asked.
    """
    admitted = _admitted(table, table.entities[entity].actions[action], state, who)
    if admitted is False:
        return Answer(Could.NO, ("by",))
    forbidden = _forbidden(table, cedar.ActionName(f"{entity}.{action}", entity, action, cedar.WRITE), state, who)
    if forbidden.could is Could.YES and admitted is None:
        return Answer(Could.DEPENDS, ("by",))
    return forbidden


def could_read(table: Table, entity: str, state: str, who: Somebody) -> Answer:
    """Return whether somebody could read an entity in that state."""
    name = cedar.reads(entity)
    permitted = _permitted(table, name, state, who)
    return _forbidden(table, name, state, who) if permitted is None else permitted


def could_approve(table: Table, entity: str, action: str, state: str, who: Somebody) -> Answer:
    """Return whether somebody could say yes to an action that another may not take on an entity in that state."""
    name = cedar.approves(entity, action)
    permitted = _permitted(table, name, state, who)
    return Answer(Could.NO) if permitted is None else permitted


def _permitted(table: Table, name: cedar.ActionName, state: str, who: Somebody) -> Answer | None:
    """Return whether a `permit` and no `forbid` lets somebody do it; `None` where no `permit` speaks of it."""
    permits = [(each.id, form) for each, form in cedar.covering(table, name) if each.effect == cedar.PERMIT]
    if not permits:
        return None
    found = _forbidden(table, name, state, who)
    if found.could is Could.NO:
        return found
    answers = {id: _applies(table, form, name, state, who) for id, form in permits}
    if any(answer is True for answer in answers.values()):
        return found
    maybe = tuple(id for id, answer in answers.items() if answer is None)
    return Answer(Could.DEPENDS, maybe) if maybe else Answer(Could.NO, tuple(answers))


def _forbidden(table: Table, name: cedar.ActionName, state: str, who: Somebody) -> Answer:
    maybe: list[str] = []
    for policy, form in cedar.covering(table, name):
        if policy.effect != cedar.FORBID:
            continue
        answer = _applies(table, form, name, state, who)
        if answer is True:
            return Answer(Could.NO, (policy.id,))
        if answer is None:
            maybe.append(policy.id)
    return Answer(Could.DEPENDS, tuple(maybe)) if maybe else Answer(Could.YES)


# --- `by` -------------------------------------------------------------------------------------------------------------


def _admitted(table: Table, action: pieces.Action, state: str, who: Somebody) -> bool | None:
    """Whether `by` lets somebody in; `False` too where the action is not taken from this state."""
    for role in table.roles:
        if role.name in who.roles and who.roles & set(role.excludes):
            return False
    found: bool | None = False
    for case in action.cases:
        if state not in case.froms:
            continue
        for by in case.by or action.by:
            answer = _admits(by, who)
            if answer is True:
                return True
            if answer is None:
                found = None
    return found


def _admits(by: pieces.By, who: Somebody) -> bool | None:
    if by.kind == "role":
        return by.role in who.roles
    return True if by.kind == "anyone" else None if by.kind == "who" else False


# --- policies ---------------------------------------------------------------------------------------------------------


def _applies(table: Table, form: Json, name: cedar.ActionName, state: str, who: Somebody) -> bool | None:
    """Whether a policy that covers an action applies to somebody and an entity in that state."""
    known = _Known(table, name, state, who)
    answers = [known.scope(form["principal"], known.principal), known.scope(form["resource"], known.resource)]
    for condition in form["conditions"]:
        held = known.truth(condition["body"])
        answers.append(held if condition["kind"] == "when" or held is None else not held)
    if False in answers:
        return False
    return None if None in answers else True


@dataclass(frozen=True, slots=True)
class _Known:
    table: Table
    name: cedar.ActionName
    state: str
    who: Somebody

    def scope(self, scope: Json, holds: Any) -> bool | None:
        if scope["op"] == "All":
            return True
        if scope["op"] == "is":
            within = scope.get("in")
            return True if within is None else holds(within["entity"])
        answer: bool | None = holds(scope["entity"])
        return answer

    def principal(self, entity: Json) -> bool | None:
        """Whether the caller is, or belongs to, an entity."""
        if entity["type"] == cedar.ROLE:
            return entity["id"] in self.who.roles
        return None

    def resource(self, entity: Json) -> bool | None:
        return None if entity["type"] == cedar.entity_type(self.table, self.name.entity) else False

    def truth(self, expr: Json) -> bool | None:
        """What a condition comes to; `None` where that rests on what is not known."""
        if not isinstance(expr, dict) or len(expr) != 1:
            return None
        op, part = next(iter(expr.items()))
        match op:
            case "Value":
                return part if isinstance(part, bool) else None
            case "!":
                inner = self.truth(part["arg"])
                return None if inner is None else not inner
            case "&&" | "||":
                decisive = op == "||"
                left, right = self.truth(part["left"]), self.truth(part["right"])
                if left is decisive or (right is decisive and left is not None):
                    return decisive
                return None if left is None or right is None else not decisive
            case "if-then-else":
                held = self.truth(part["if"])
                return None if held is None else self.truth(part["then" if held else "else"])
            case "==" | "!=":
                left_value, right_value = self.value(part["left"]), self.value(part["right"])
                if left_value is None or right_value is None:
                    return None
                return (left_value == right_value) is (op == "==")
            case "contains":
                values = [self.value(each) for each in part["left"].get("Set", [{}])]
                held_value = self.value(part["right"])
                return None if held_value is None or None in values else held_value in values
            case "in":
                return self._within(part["left"], part["right"])
            case "is":
                return self._is(part)
            case "has":
                return self._has(part)
            case ".":
                value = self.value(expr)
                return value if isinstance(value, bool) else None
            case _:
                return None

    def value(self, expr: Json) -> Any:
        """A text or a truth that is known, or `None`."""
        if "Value" in expr and isinstance(expr["Value"], str | bool):
            return expr["Value"]
        inner = expr.get(".")
        if inner == {"left": {"Var": "resource"}, "attr": "state"}:
            return self.state
        if inner == {"left": {"Var": "principal"}, "attr": "agent"}:
            return self.who.agent
        return None

    def _within(self, left: Json, right: Json) -> bool | None:
        if left != {"Var": "principal"}:
            return None
        each = right.get("Set", [right])
        named = [one["Value"]["__entity"] for one in each if isinstance(one.get("Value"), dict)]
        if len(named) != len(each):
            return None
        answers = [self.principal(entity) for entity in named]
        if True in answers:
            return True
        return None if None in answers else False

    def _is(self, part: Json) -> bool | None:
        kinds = {"principal": cedar.PRINCIPAL, "resource": cedar.entity_type(self.table, self.name.entity)}
        kind = kinds.get(part["left"].get("Var", ""))
        if kind is None:
            return None
        if kind != part["entity_type"]:
            return False
        return self._within(part["left"], part["in"]) if part.get("in") is not None else True

    def _has(self, part: Json) -> bool | None:
        if part["left"] == {"Var": "principal"} and part["attr"] == "acts_for":
            return self.who.agent
        if part["left"] == {"Var": "resource"}:
            if part["attr"] in ("id", "state"):
                return True
            fields = {field.name: field.type for field in self.table.entities[self.name.entity].fields}
            if self.state == NEW or part["attr"] not in fields:
                return False
            return None if fields[part["attr"]][0] == "optional" else True
        return None
