"""What is said of a mutant is what a judgement of it says: it is noticed by what it breaks, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.service import check_texts
from temper.table import Table
from temper.verify import Bounds, Report, Verdict, verify
from temper.verify.report import SCENARIOS
from temper.verify.strength.measure import fates
from temper.verify.strength.mutants import Kind
from tests.verify.test_strength import gate
from tests.verify.test_strength_together import CONSERVED, LEDGER, NOTED, SHOP, SOLD, TRAIN
from tests.verify.test_strength_together import table as made

ROOT = Path(__file__).parents[2]
LEVELS = ("search", "scenarios")
FEW = Bounds(mutants=40, suggestions=0)
EVENTUAL = "      eventually Waiting leads to Arrived\n"


def helix() -> Table:
    path = ROOT / "apps" / "helix" / "helix.blueprint"
    checked = check_texts({"helix.blueprint": path.read_text("utf-8")})
    assert checked.table is not None
    return checked.table


TABLES = {
    "gate": lambda: gate("always passed <= limit", "always state is Shut implies why != none"),
    "ledger": lambda: made(LEDGER, CONSERVED),
    "shop": lambda: made(SHOP, NOTED, SOLD),
    "train": lambda: made(TRAIN, EVENTUAL),
    "helix": helix,
}


def broken(report: Report) -> set[str]:
    """Return the names of what is broken."""
    names = {each.name for each in report.properties if each.verdict is Verdict.BROKEN}
    # A fault is told by the question that it answers.
    if any(name in {"no assignment leaves its type", "nothing divides by zero"} or "twice" in name for name in names):
        names.add("no fault of the blueprint")
    if any(not each.passed for each in report.scenarios):
        names.add(SCENARIOS)
    return names


@pytest.mark.parametrize("name", TABLES)
def test_a_mutant_breaks_what_notices_it_and_no_other_breaks_anything(name: str) -> None:
    table = TABLES[name]()
    already = broken(verify(table, levels=LEVELS))
    found = fates(table, Bounds(mutants=18, suggestions=0))
    assert {bool(what) for _, what in found} == {True, False}
    for mutant, what in found:
        now = broken(verify(mutant.table, levels=LEVELS)) - already
        if what:
            assert what in now, mutant.what
        else:
            assert not now, (mutant.what, what)


def test_no_mutant_that_is_none_is_one_that_only_others_see() -> None:
    for make in TABLES.values():
        kinds = {mutant.kind for mutant, what in fates(make(), FEW) if what is None}
        assert not kinds & {Kind.ROLE, Kind.UNIQUE, Kind.SAID, Kind.JOIN, Kind.CREATE}
