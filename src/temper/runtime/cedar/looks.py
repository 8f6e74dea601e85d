"""What the conditions of policies look at: read off Cedar's JSON form of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Looks:
    """What some policies read, at most.

    `names` are all attributes that any of them names, whosever; `depth` is how far one goes from an entity to the next;
    `context` the parts of the context, `None` for all of it; `params` whether the parameters are asked for as a whole;
    `literals` the entities that are named in a text.
    """

    names: frozenset[str]
    depth: int
    context: frozenset[str] | None
    params: bool
    literals: frozenset[tuple[str, str]]
    tags: bool

    def reads(self, part: str) -> bool:
        """Say whether a part of the context is read."""
        return self.context is None or part in self.context


def looks(*forms: Json) -> Looks:
    """Return what policies read."""
    names: set[str] = set()
    context: set[str] | None = set()
    literals: set[tuple[str, str]] = set()
    depth = 0
    tags = whole_params = False
    for form in forms:
        for condition in form["conditions"]:
            depth = max(depth, _depth(condition["body"]))
            for op, part in nodes(condition["body"]):
                if op in (".", "has"):
                    names.update(_attributes(part))
                    if part["left"] == _CONTEXT and context is not None:
                        context.update(_attributes(part)[:1])
                elif op in ("hasTag", "getTag"):
                    tags = True
                elif op == "Value" and isinstance(part, dict) and "__entity" in part:
                    literals.add((part["__entity"]["type"], part["__entity"]["id"]))
            if _bare(condition["body"], _CONTEXT):
                context = None
            whole_params = whole_params or context is None or _bare(condition["body"], _PARAMS)
    parts = None if context is None else frozenset(context)
    return Looks(frozenset(names), depth, parts, whole_params, frozenset(literals), tags)


def nodes(expr: Json) -> Iterator[tuple[str, Json]]:
    """Yield each operation of an expression with its operands, from the outside in."""
    if isinstance(expr, list):
        for each in expr:
            yield from nodes(each)
        return
    if not isinstance(expr, dict):
        return
    for op, part in expr.items():
        yield op, part
        for each in _operands(op, part):
            yield from nodes(each)


def _operands(op: str, part: Json) -> list[Json]:
    """The expressions right below an operation."""
    if op in ("Value", "Var", "Slot", "Unknown"):
        return []
    if isinstance(part, list):
        return part
    if op == "Record":
        return list(part.values())
    if isinstance(part, dict):
        return [each for key, each in part.items() if key not in ("attr", "pattern", "entity_type")]
    return []


def _attributes(part: Json) -> list[str]:
    attr = part["attr"]
    return list(attr) if isinstance(attr, list) else [attr]


def _depth(expr: Json) -> int:
    """How many attributes are read one behind the other, at most."""
    if isinstance(expr, list):
        return max((_depth(each) for each in expr), default=0)
    if not isinstance(expr, dict):
        return 0
    deepest = 0
    for op, part in expr.items():
        below = max((_depth(each) for each in _operands(op, part)), default=0)
        deepest = max(deepest, below + (len(_attributes(part)) if op in (".", "has") else 0))
    return deepest


_CONTEXT: Json = {"Var": "context"}
_PARAMS: Json = {".": {"left": _CONTEXT, "attr": "params"}}


def _bare(expr: Json, whole: Json) -> bool:
    """Whether something is used as a whole, and not for one of its attributes."""
    if isinstance(expr, list):
        return any(_bare(each, whole) for each in expr)
    if not isinstance(expr, dict):
        return False
    if expr == whole:
        return True
    for op, part in expr.items():
        if op in (".", "has") and part["left"] == whole:
            continue
        if any(_bare(each, whole) for each in _operands(op, part)):
            return True
    return False
