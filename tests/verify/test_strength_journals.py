"""What a journal suggests: it held in all that happened, it holds in the table, and nothing that is written says it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest

from temper.kernel import Entry
from temper.service import check_texts
from temper.table import Caller, Expr, Table, shape
from temper.verify import Bounds, Verdict, measure, suggest_from, verify
from temper.verify.strength.implied import implied, written
from tests.kernel.driving import MANY, Driver
from tests.verify.texts import table_of

ANN, KIM = Caller("ann", frozenset({"clerk"})), Caller("kim", frozenset({"keeper"}))

LOAN = """
    blueprint library

    role clerk, keeper

    entity Loan
      states Open, Overdue, Back, Lost
      final Back, Lost

      days: int 0..30 = 0
      renewals: int 0..9 = 0
      book: string
      lender: principal?
      lent_at: time?
      closed_by: principal?

      action Lend(book) by clerk from new to Open
        set book
        set lender = caller
        set lent_at = now

      action Renew by clerk from Open
        when renewals < 2
        set renewals += 1

      action Count by keeper from Open, Overdue
        when days < 30
        set days += 1

      action Remind by keeper from Open to Overdue

      action Return by clerk from Open, Overdue to Back
        set closed_by = caller

      action Lose by keeper from Overdue to Lost
        set closed_by = caller
"""


def loan(*properties: str) -> Table:
    return table_of(LOAN + "".join(f"\n      {line}" for line in properties) + "\n")


def lent(table: Table, number: int) -> Sequence[Entry]:
    """Return the journal of so many loans: all are renewed, counted and reminded of; every other one comes back."""
    driver = Driver(table)
    for each in range(number):
        id = f"l{each}"
        driver.act("Loan", id, "Lend", ANN, book=f"book {each}")
        for _ in range(2):
            driver.act("Loan", id, "Renew", ANN)
            driver.act("Loan", id, "Count", KIM)
        driver.act("Loan", id, "Remind", KIM)
        if each % 2:
            driver.act("Loan", id, "Return", ANN)
        else:
            driver.act("Loan", id, "Lose", KIM)
    return driver.store.entries(0, MANY)


def said(table: Table, entries: Sequence[Entry]) -> list[str]:
    return [each.text for each in suggest_from(table, entries, 40)]


@cache
def said_of_two() -> list[str]:
    """What two loans suggest."""
    return said(loan(), lent(loan(), 2))


@pytest.mark.parametrize(
    "text",
    [
        "always renewals <= 2",  # A range, narrower than the type's.
        "always before.days <= days",  # What never goes back.
        "always state is Lost implies before(state is Overdue)",  # What comes before what.
        "always (lender == none) == (lent_at == none)",  # Two fields that belong together.
        "always state in (Back, Lost) implies closed_by != none",
        "always state in (Open, Overdue) implies closed_by == none",
    ],
)
def test_what_has_held_is_suggested(text: str) -> None:
    found = said_of_two()
    assert text in found or _said_stronger(text, found), found


def _said_stronger(text: str, found: list[str]) -> bool:
    """Say whether what was suggested implies it: then it is left out."""
    table = loan(text, *found)
    conditions: list[Expr] = [each.condition for each in table.properties if isinstance(each, shape.Always)]
    return implied(table, "Loan", conditions[1:], conditions[0])


def test_what_another_run_breaks_is_not_suggested() -> None:
    """All were renewed twice and reminded of before they came back; neither has to be so."""
    found = said_of_two()
    assert "always state is Back implies before(state is Overdue)" not in found
    assert not [each for each in found if "renewals == 2" in each]


def test_every_suggestion_is_ready_to_be_written_and_holds() -> None:
    found = [each for each in said_of_two() if each.startswith("always")]
    assert len(found) > 4
    text = loan().notes.sources["test.blueprint"] + "".join(f"  {each}\n" for each in found)
    checked = check_texts({"test.blueprint": text})
    assert checked.table is not None, checked.errors
    report = verify(checked.table, levels=("algebra", "search"))
    verdicts = {each.name: each.verdict for each in report.properties if each.name in found}
    assert set(verdicts) == set(found)
    assert set(verdicts.values()) <= {Verdict.PROVED, Verdict.HOLDS}


def test_what_is_suggested_and_written_is_not_suggested_again() -> None:
    entries = lent(loan(), 2)
    found = [each for each in said(loan(), entries) if each.startswith("always")]
    assert [each for each in said(loan(*found), entries) if each.startswith("always")] == []


def test_no_suggestion_follows_from_the_others() -> None:
    found = [each for each in said_of_two() if each.startswith("always")]
    table = loan(*found)
    conditions = [each.condition for each in table.properties if isinstance(each, shape.Always)]
    for number, each in enumerate(conditions):
        others = conditions[:number] + conditions[number + 1 :]
        assert not implied(table, "Loan", others, each), found[number]


@pytest.mark.parametrize(("number", "expected"), [(7, False), (8, True)])
def test_what_no_two_ever_shared_is_suggested_once_there_are_enough(number: int, expected: bool) -> None:
    found = suggest_from(loan(), lent(loan(), number), 40)
    uniques = [(each.text, each.verdict, each.by) for each in found if each.text.startswith("unique")]
    assert uniques == ([("unique book ever", Verdict.TESTED, "journal")] if expected else [])


def test_a_journal_without_its_beginning_is_read_as_far_as_it_says_all() -> None:
    """An entity whose first entry is missing has fields that nothing tells; the others are read."""
    entries = lent(loan(), 3)
    first = next(each for each in entries if each.id == "l0")
    rest = [each for each in entries if each is not first]
    assert said(loan(), rest) == said(loan(), [each for each in entries if each.id != "l0"])


def test_a_measurement_suggests_what_has_held_after_what_answers() -> None:
    found = measure(loan(), Bounds(suggestions=4), happened=lent(loan(), 2)).suggestions
    answering = [each for each in found if not each.by.startswith("journal")]
    held = [each for each in found if each.by.startswith("journal")]
    assert answering
    assert held
    assert list(found) == answering + held
    assert not {each.text for each in held} & {each.text for each in answering}


@pytest.mark.parametrize(
    ("known", "line", "expected"),
    [
        ((), "always days <= 30", True),  # By its type.
        ((), "always days <= 29", False),
        (("always days < renewals",), "always days <= renewals", True),
        (("always days <= renewals",), "always days < renewals", False),
        (("always days == before.days",), "always before.days <= days", True),
        (("always before.days <= days",), "always days == before.days", False),
        (("always state is Back implies days > 0",), "always before(state is Back) implies before.days > 0", True),
        (("always state is Lost implies before(state is Overdue)",), "always state is Lost implies days == 0", False),
        (
            ("always state is Lost implies before(state is Overdue)",),
            "always state is Lost implies before(state in (Open, Overdue))",
            True,
        ),
    ],
)
def test_what_follows_from_what(known: Sequence[str], line: str, expected: bool) -> None:
    table = loan(*known, line)
    *_, asked = table.properties
    assert isinstance(asked, shape.Always)
    assert implied(table, "Loan", written(table, "Loan")[:-1], asked.condition) is expected
