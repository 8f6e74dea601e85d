"""Policies that could be left out: others say all that they say, or what they permit is forbidden anyway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from temper.runtime.cedar.reasons import Budget, Reading, covered, read, states
from temper.table import Table, cedar

Json: TypeAlias = Any

# Pairs of policies that are held against each other; those of the same words are found however many there are.
PAIRS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Needless:
    """A policy and the one that makes it so, by number; without another it forbids what nothing permits."""

    number: int
    other: int | None


def needless(table: Table, forms: Sequence[Json], budget: Budget) -> Iterator[Needless]:
    """Yield each policy that could be left out: of two that say the same, the first stays."""
    found: dict[int, int | None] = dict(_by_their_words(forms))
    found |= _by_what_they_mean(table, forms, found, budget)
    found |= dict.fromkeys(_of_no_use(table, forms))
    for number, other in sorted(found.items()):
        yield Needless(number, other)


def _of_no_use(table: Table, forms: Sequence[Json]) -> Iterator[int]:
    """Policies that forbid saying yes where nobody may."""
    permitted = {name for form in forms if form["effect"] == cedar.PERMIT for name in cedar.covered(table, form)}
    for number, form in enumerate(forms):
        names = cedar.covered(table, form)
        if form["effect"] == cedar.FORBID and names and {name.group for name in names} == {cedar.APPROVE}:
            if permitted.isdisjoint(names):
                yield number


# --- by what they mean ------------------------------------------------------------------------------------------------


def _by_what_they_mean(
    table: Table, forms: Sequence[Json], known: dict[int, int | None], budget: Budget
) -> dict[int, int | None]:
    names = [_matters(table, form) for form in forms]
    index = _Index(forms)
    found: dict[int, int | None] = {}
    pairs = 0
    readings: dict[tuple[int, str], Reading] = {}

    def reading(number: int, name: cedar.ActionName) -> Reading:
        if (number, name.id) not in readings:
            readings[number, name.id] = read(table, forms[number], name)
        return readings[number, name.id]

    # From behind, so that of two that mean the same the first stays.
    for number, form in reversed([*enumerate(forms)]):
        mine = names[number]
        if number in known or not mine:
            continue
        for other in index.near(number):
            if not mine <= names[other] or _rests_on(other, number, {**known, **found}):
                continue
            pairs += 1
            if pairs > PAIRS_MAX:
                return found
            if all(
                covered(
                    reading(number, name), form["effect"], [(reading(other, name), forms[other]["effect"])],
                    states(table, name, hopeful=False), budget,
                )
                for name in sorted(mine, key=lambda each: each.id)
            ):  # fmt: skip
                found[number] = other
                break
    return found


def _matters(table: Table, form: Json) -> frozenset[cedar.ActionName]:
    """Return the actions for which a policy can matter: a `permit` of an action adds nobody to its `by`."""
    names = cedar.covered(table, form)
    return frozenset(name for name in names if form["effect"] == cedar.FORBID or name.group != cedar.WRITE)


def _rests_on(number: int, other: int, found: Mapping[int, int | None]) -> bool:
    """Say whether a policy is needless by another, maybe by way of third ones."""
    at: int | None = number
    while at is not None:
        if at == other:
            return True
        at = found.get(at)
    return False


class _Index:
    """Which policies may cover which: one that asks for something plainly covers none that does not ask for it too."""

    def __init__(self, forms: Sequence[Json]) -> None:
        self.forms = forms
        self._asked = [list(dict.fromkeys(_asked(form))) for form in forms]
        self._by_first: dict[str | None, list[int]] = {}
        for number, asked in enumerate(self._asked):
            self._by_first.setdefault(asked[0] if asked else None, []).append(number)

    def near(self, number: int) -> Iterator[int]:
        effect = self.forms[number]["effect"]
        for first in (None, *self._asked[number]):
            for other in self._by_first.get(first, ()):
                if other != number and self.forms[other]["effect"] in (effect, cedar.FORBID):
                    yield other


def _asked(form: Json) -> Iterator[str]:
    """Whom a policy asks for plainly, so that it applies to nobody else."""
    principal = form["principal"]
    entity = principal.get("entity") or (principal.get("in") or {}).get("entity")
    if entity is not None:
        yield _canonical(["principal", entity])
    for condition in form["conditions"]:
        if condition["kind"] == "when":
            yield from _joined(condition["body"])


def _joined(expr: Json) -> Iterator[str]:
    op, part = next(iter(expr.items()))
    if op == "&&":
        yield from _joined(part["left"])
        yield from _joined(part["right"])
    elif op in ("==", "in") and part["left"] == {"Var": "principal"} and "Value" in part["right"]:
        yield _canonical(["principal", part["right"]["Value"]["__entity"]])


# --- by their words ---------------------------------------------------------------------------------------------------


def _by_their_words(forms: Sequence[Json]) -> dict[int, int]:
    """Return for each policy that another covers, as they are written, that other one's number."""
    known: dict[tuple[str, ...], int] = {}
    # Of each, what it says itself stands first, and what is wider behind it.
    ways = [
        [*map(_written, (_wider(form["principal"]), _wider_action(form["action"]), _wider(form["resource"])))]
        for form in forms
    ]
    conditions = [_canonical(form["conditions"]) for form in forms]
    for number, form in enumerate(forms):
        principals, actions, resources = ways[number]
        known.setdefault((form["effect"], principals[0], actions[0], resources[0], conditions[number]), number)
    found: dict[int, int] = {}
    for number, form in enumerate(forms):
        for scope in product(*ways[number]):
            for condition in dict.fromkeys((conditions[number], _UNCONDITIONAL)):
                other = known.get((form["effect"], *scope, condition))
                if other is not None and other != number and number not in found and found.get(other) != number:
                    found[number] = other
    return found


def _written(scopes: Sequence[Json]) -> list[str]:
    return [_canonical(scope) for scope in scopes]


_UNCONDITIONAL = "[]"
_ANY: Json = {"op": "All"}


def _wider(scope: Json) -> list[Json]:
    if scope["op"] == "All":
        return [scope]
    if scope["op"] == "is":
        return [scope, {"op": "is", "entity_type": scope["entity_type"]}, _ANY]
    return [scope, {"op": "in", "entity": scope["entity"]}, {"op": "is", "entity_type": scope["entity"]["type"]}, _ANY]


def _wider_action(action: Json) -> list[Json]:
    if action["op"] != "==":
        return [action] if action["op"] == "All" else [action, _ANY]
    entity = action["entity"]
    id = entity["id"]
    group = "read" if id.endswith(".read") else "approve" if id.endswith(".approve") else cedar.WRITE
    return [action, {"op": "in", "entity": entity}, {"op": "in", "entity": {**entity, "id": group}}, _ANY]


def _canonical(form: Json) -> str:
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
