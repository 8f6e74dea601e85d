"""Policies that can never apply, as far as states and enumerations tell.

A condition is read as the set of values of one attribute, such as `resource.state`, for which it may hold; whatever
else it says may be so or not. Where that set is empty, no request meets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from temper.runtime.cedar.looks import nodes
from temper.runtime.cedar.schema import NEW
from temper.table import Table, cedar
from temper.table import shape as pieces

Json: TypeAlias = Any
Values: TypeAlias = frozenset[str]

STATE = "state"


def enumerations(table: Table, kinds: Iterable[str]) -> dict[str, Values]:
    """Return the attributes of a resource of one of these kinds whose values are a closed set, with those values.

    One that is a closed set for one kind and something else for another is left out.
    """
    found: dict[str, set[str]] = {STATE: set()}
    open_ones: set[str] = set()
    for name in kinds:
        entity = table.entities[name]
        found[STATE] |= {NEW, *entity.states}
        for field in entity.fields:
            values = _closed(field)
            if values is None:
                open_ones.add(field.name)
            else:
                found.setdefault(field.name, set()).update(values)
    return {name: frozenset(values) for name, values in found.items() if name not in open_ones}


def states_of(table: Table, names: Iterable[cedar.ActionName]) -> Values:
    """Return the states in which actions can be asked for with any hope: all of them for those that are no moves."""
    found: set[str] = set()
    for name in names:
        entity = table.entities[name.entity]
        if name.group == cedar.WRITE and name.action is not None:
            found.update(state for case in entity.actions[name.action].cases for state in case.froms)
        else:
            found.update(entity.states)
            found.add(NEW)
    return frozenset(found)


def unknown_values(form: Json, closed: Mapping[str, Values]) -> Iterator[tuple[str, str]]:
    """Yield each value with which a closed attribute of the resource is compared, and that it never has."""
    for condition in form["conditions"]:
        for op, part in nodes(condition["body"]):
            for name, values in _compared(op, part):
                if name in closed:
                    for value in values:
                        if value not in closed[name]:
                            yield name, value


def may_apply(form: Json, attribute: str, values: Values) -> Values:
    """Return those of `values` of an attribute of the resource with which the policy's conditions may all hold."""
    for condition in form["conditions"]:
        values = _may(condition["body"], condition["kind"] == "when", attribute, values)
    return values


def _closed(field: pieces.Field) -> Values | None:
    type_ = field.type[1] if field.type[0] == "optional" else field.type
    return frozenset(type_[1]) if type_[0] == "one_of" else None


def _may(expr: Json, want: bool, name: str, values: Values) -> Values:
    """Those values with which an expression may come to `want`."""
    if not isinstance(expr, dict) or len(expr) != 1:
        return values
    op, part = next(iter(expr.items()))
    if op == "Value":
        return values if part is want or not isinstance(part, bool) else frozenset()
    if op == "!":
        return _may(part["arg"], not want, name, values)
    if op in ("&&", "||"):
        left, right = _may(part["left"], want, name, values), _may(part["right"], want, name, values)
        return left & right if (op == "&&") is want else left | right
    for compared, named in _compared(op, part):
        if compared == name:
            equal = want if op != "!=" else not want
            return values & frozenset(named) if equal else values - frozenset(named)
    if op in ("==", "!=") and "Value" in part["left"] and "Value" in part["right"]:
        same = part["left"] == part["right"]
        return values if (same is want) is (op == "==") else frozenset()
    return values


def _compared(op: str, part: Json) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The attribute of the resource that an operation compares with texts, and those texts."""
    if op in ("==", "!="):
        for one, other in ((part["left"], part["right"]), (part["right"], part["left"])):
            name, text = _own(one), _text(other)
            if name is not None and text is not None:
                yield name, (text,)
    elif op == "contains" and isinstance(part["left"].get("Set"), list):
        texts = [_text(each) for each in part["left"]["Set"]]
        name = _own(part["right"])
        if name is not None and None not in texts:
            yield name, tuple(text for text in texts if text is not None)


def _own(expr: Json) -> str | None:
    inner = expr.get(".")
    return inner["attr"] if inner is not None and inner["left"] == {"Var": "resource"} else None


def _text(expr: Json) -> str | None:
    value = expr.get("Value")
    return value if isinstance(value, str) else None
