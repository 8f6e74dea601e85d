"""Published state machines of real systems, written as blueprints: they agree with the facts, and are judged.

Where the published facts contradict themselves, the verifier says so; the others pass. Three more are apps of ours.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.service import check_texts, format_text
from temper.table import Table
from temper.verify import Verdict, verify
from tests.apps.published import PUBLISHED, assert_agrees, camel
from tests.apps.test_apps import AGREES
from tests.verify.texts import codes_of, result_of

MACHINES = Path(__file__).parent / "machines"
NAMES = sorted(path.stem for path in MACHINES.glob("*.blueprint"))


def table_of(name: str) -> Table:
    """Return a machine's table, which compiles without a word."""
    checked = check_texts({f"{name}.blueprint": text_of(name)})
    assert checked.problems == ()
    assert checked.table is not None
    return checked.table


def text_of(name: str) -> str:
    return (MACHINES / f"{name}.blueprint").read_text("utf-8")


def test_every_published_machine_is_a_blueprint() -> None:
    """Here, or among the apps."""
    assert {*NAMES, *(machine for _, _, machine in AGREES)} == set(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_agrees_with_the_published_facts(name: str) -> None:
    """States, first states, final states, and every move from one state to another: no more and no fewer."""
    (entity,) = table_of(name).entities.values()
    assert_agrees(entity, PUBLISHED[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_is_laid_out(name: str) -> None:
    assert format_text(f"{name}.blueprint", text_of(name)) == text_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_verifier_finds_what_contradicts_itself_and_nothing_else(name: str) -> None:
    """An entity passes exactly if what was published of it is sound; each fact that is not has its finding."""
    table, check = table_of(name), PUBLISHED[name]["check"]
    report = verify(table, levels=("algebra", "search"))
    expected = [("B403", camel(state)) for state in check["unreachable"]]
    expected += [("B404", camel(state)) for state in check["non_terminal_without_exit"]]
    assert check["terminal_with_exit"] == [], "a case from a final state does not compile: it needs a test of its own"
    assert sorted(codes_of(report)) == sorted(code for code, _ in expected)
    for code, state in expected:
        (found,) = (each for each in report.findings if each.code.name == code)
        assert f"`{state}`" in found.message
    assert report.passed == (not expected)
    known = {Verdict.PROVED, Verdict.HOLDS}
    assert all(result_of(report, each.name).verdict in known for each in table.properties)
