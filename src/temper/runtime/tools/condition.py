"""Conditions over an object that is waited for: `status.readyReplicas == spec.replicas`.

`SIDE OP SIDE` with one of `== != < <= > >=`; a side is one or more terms joined by `+` or `-`; a term is a whole
number, a `"text"`, `true`, `false`, a path into the object, or a template that is exactly `{argument}`. Words are set
apart by spaces. A path that leads nowhere counts as 0 beside a number, since Kubernetes leaves zeros out, and
otherwise as nothing at all.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from temper.runtime.tools.adapter import Call
from temper.runtime.tools.path import Absent, Path, look_up, parse_path


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out."""

    value: Any


@dataclass(frozen=True, slots=True)
class Given:
    """The call's argument of this name."""

    name: str


Term = Literal | Given | Path
Side = tuple[tuple[int, Term], ...]  # Each term with its sign.


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is to become true of an object."""

    text: str
    left: Side
    compare: str
    right: Side

    def arguments(self) -> Iterator[str]:
        """The names of the arguments that it takes."""
        return (term.name for _, term in (*self.left, *self.right) if isinstance(term, Given))


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARE = ("==", "!=", *_ORDERS)
_WORD = re.compile(r'"[^"]*"|\S+')
_GIVEN = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_WHOLE = re.compile(r"-?\d{1,18}")


def parse_condition(text: str) -> Condition | None:
    """Return the condition that `text` is, or `None` when it is none."""
    words = _WORD.findall(text)
    places = [number for number, word in enumerate(words) if word in _COMPARE]
    if len(places) != 1:
        return None
    left, right = _side(words[: places[0]]), _side(words[places[0] + 1 :])
    return Condition(text, left, words[places[0]], right) if left and right else None


def _side(words: list[str]) -> Side | None:
    if len(words) % 2 == 0 or any(word not in ("+", "-") for word in words[1::2]):
        return None
    signs = [1, *(1 if word == "+" else -1 for word in words[1::2])]
    terms = [_term(word) for word in words[::2]]
    return tuple((sign, term) for sign, term in zip(signs, terms, strict=True) if term) if all(terms) else None


def _term(word: str) -> Term | None:
    if given := _GIVEN.fullmatch(word):
        return Given(given.group(1))
    if word in ("true", "false"):
        return Literal(word == "true")
    if _WHOLE.fullmatch(word):
        return Literal(int(word))
    if len(word) > 1 and word[0] == word[-1] == '"':
        return Literal(word[1:-1])
    return parse_path(word)


def unmet(condition: Condition, value: Any, call: Call) -> str | None:
    """Return why `condition` does not hold of `value`, with both sides as they are, or `None` if it holds."""
    left, right = (_evaluate(side, value, call) for side in (condition.left, condition.right))
    if left is None and _is_number(right):
        left = 0
    if right is None and _is_number(left):
        right = 0
    if _holds(condition.compare, left, right):
        return None
    return f"`{condition.text}` is `{left} {condition.compare} {right}`"


def _holds(compare: str, left: Any, right: Any) -> bool:
    if compare in ("==", "!="):
        # To Python `True` is 1; to JSON it is not.
        return (left == right and isinstance(left, bool) == isinstance(right, bool)) == (compare == "==")
    return _is_number(left) and _is_number(right) and _ORDERS[compare](left, right)


def _evaluate(side: Side, value: Any, call: Call) -> Any:
    found = [(sign, _value(term, value, call)) for sign, term in side]
    if len(found) == 1 and found[0][0] == 1:
        return found[0][1]
    numbers = [(sign, 0 if number is None else number) for sign, number in found]
    return sum(sign * number for sign, number in numbers) if all(_is_number(number) for _, number in numbers) else None


def _value(term: Term, value: Any, call: Call) -> Any:
    match term:
        case Literal(literal):
            return literal
        case Given(name):
            return call.args[name]  # Whoever waits has looked that it is there, before doing anything.
        case Path():
            try:
                return look_up(term, value)
            except Absent:
                return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
