"""Every app is whole: laid out, checked, judged; and it agrees with the facts that were published of its model."""

from __future__ import annotations

from pathlib import Path

import cedarpy
import pytest

from temper.service import check_texts, format_text, read_bundle, verify_table
from temper.table import Table
from tests.apps.published import PUBLISHED, assert_agrees

ROOT = Path(__file__).parents[2]
APPS = sorted(path.parent.name for path in (ROOT / "apps").glob("*/*.blueprint"))
# The app and its entity, and the published machine.
AGREES = [
    ("access", "Grant", "gcp_pam_grant"),
    ("ledger", "Transfer", "tigerbeetle_two_phase_transfer"),
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
        laid_out = cedarpy.format_policies(text) if name.endswith(".cedar") else format_text(name, text)
        assert laid_out == text


@pytest.mark.parametrize(("app", "entity", "machine"), AGREES)
def test_an_app_agrees_with_the_published_facts(app: str, entity: str, machine: str) -> None:
    """States, first states, final states, and every move from one state to another: no more and no fewer."""
    assert_agrees(table_of(app).entities[entity], PUBLISHED[machine])
