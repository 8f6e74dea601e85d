"""Every app is whole: laid out, checked, judged; and it agrees with the facts that were published of its model.

`published.json` holds state machines of real systems as their public sources state them: names of states and moves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from temper.service import check_texts, format_text, read_bundle, verify_table
from temper.table import Table, shape

ROOT = Path(__file__).parents[2]
APPS = sorted(path.parent.name for path in (ROOT / "apps").glob("*/*.blueprint"))
PUBLISHED = {
    each["id"]: each for each in json.loads((Path(__file__).parent / "published.json").read_text("utf-8"))["machines"]
}
# The app and its entity, and the published machine.
AGREES = [
    ("access", "Grant", "gcp_pam_grant"),
    ("subscription", "Subscription", "stripe_subscription"),
    ("work", "WorkItem", "managed_agents_work_item"),
]


def table_of(app: str) -> Table:
    """Return an app's table, which compiles without a word."""
    checked = check_texts(read_bundle(ROOT / "apps" / app))
    assert checked.problems == ()
    assert checked.table is not None
    return checked.table


@pytest.mark.parametrize("app", APPS)
def test_an_app_passes_with_its_scenarios(app: str) -> None:
    verified = verify_table(table_of(app), levels=("algebra", "search", "scenarios"), states=500_000, seconds=300)
    assert verified.passed, verified.text
    assert len(verified.report["scenarios"]) >= 2
    assert not [each for each in verified.report["properties"] if each["verdict"] in ("broken", "unknown")]


@pytest.mark.parametrize("app", APPS)
def test_an_app_is_laid_out(app: str) -> None:
    for name, text in read_bundle(ROOT / "apps" / app).items():
        assert format_text(name, text) == text


@pytest.mark.parametrize(("app", "entity", "machine"), AGREES)
def test_an_app_agrees_with_the_published_facts(app: str, entity: str, machine: str) -> None:
    """States, first states, final states, and every move from one state to another: no more and no fewer."""
    ours, theirs = table_of(app).entities[entity], PUBLISHED[machine]
    assert set(ours.states) == {camel(state) for state in theirs["states"]}
    assert set(ours.final) == {camel(state) for state in theirs["terminal"]}
    assert first_states(ours) == {camel(state) for state in theirs["initial"]}
    assert moves(ours) == published_moves(theirs)


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
    """Return a published name as a blueprint spells it: `past_due` is `PastDue`."""
    return "".join(part.capitalize() for part in name.split("_"))
