"""Published state machines of real systems, and whether an entity agrees with one.

`published.json` holds names of states and moves as public sources state them, and what contradicts itself there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from temper.table import shape

PUBLISHED: dict[str, dict[str, Any]] = {
    each["id"]: each for each in json.loads((Path(__file__).parent / "published.json").read_text("utf-8"))["machines"]
}


def assert_agrees(entity: shape.Entity, machine: dict[str, Any]) -> None:
    """Compare states, first states, final states, and every move between two states: no more and no fewer."""
    assert set(entity.states) == {camel(state) for state in machine["states"]}
    assert set(entity.final) == {camel(state) for state in machine["terminal"]}
    assert first_states(entity) == {camel(state) for state in machine["initial"]}
    assert moves(entity) == published_moves(machine)


def moves(entity: shape.Entity) -> set[tuple[str, str]]:
    """Return the legal moves between different states."""
    return {
        (before, case.to)
        for action in entity.actions.values()
        for case in action.cases
        for before in case.froms
        if case.to is not None and before not in ("new", case.to)
    }


def first_states(entity: shape.Entity) -> set[str]:
    """Return the states in which an entity can begin."""
    return {
        case.to
        for action in entity.actions.values()
        for case in action.cases
        if "new" in case.froms and case.to is not None
    }


def published_moves(machine: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the published moves between different states."""
    return {(camel(each["from"]), camel(each["to"])) for each in machine["transitions"] if each["from"] != each["to"]}


def camel(name: str) -> str:
    """Return a published name as a blueprint spells it: `past_due` and `rolled-back` are `PastDue`, `RolledBack`."""
    return "".join(
        part.capitalize() if part.isupper() else part[0].upper() + part[1:] for part in re.split(r"[^a-zA-Z0-9]+", name)
    )
