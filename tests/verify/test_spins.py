"""What fires again and again without end is found, and what moves on is not (ruling 18)."""

from __future__ import annotations

import pytest

from temper.verify import Verdict, verify
from tests.verify.texts import codes_of, result_of, run_of, table_of

LEFT_DUE = "no `whenever` or `at` is left due by its action"
JOB = """
blueprint job
role person
entity Job
  states On, Off
  final Off
  next: time
  other: time
  n: int 0..1 = 0
  action Make by person from new to On
    set next = now + 1h
    set other = now + 2h
  action Tick by system from On{to}
    set n = 1 - n
    set next = {value}
  in On at next do Tick
  action Stop by person from On to Off
"""
ANEW = " to On"


@pytest.mark.parametrize(
    ("to", "value", "expected"),
    [
        # The present has come by the time anybody looks.
        ("", "now", Verdict.BROKEN),
        (ANEW, "now", Verdict.BROKEN),
        ("", "now + 0s", Verdict.BROKEN),
        ("", "now - 1h", Verdict.BROKEN),
        ("", "next - 1h", Verdict.BROKEN),
        ("", "if n == 0 then now else now + 1h", Verdict.BROKEN),
        # The same moment arms nothing anew (17), unless the state is entered anew.
        ("", "next", Verdict.PROVED),
        (ANEW, "next", Verdict.BROKEN),
        # What was due two hours ago is still due in an hour's time, and not for ever.
        ("", "next + 1h", Verdict.PROVED),
        (ANEW, "next + 1h", Verdict.PROVED),
        ("", "now + 1h", Verdict.PROVED),
        ("", "other", Verdict.PROVED),
        # The second time it is what it was; that is past the shortest run to where it may be so.
        (ANEW, "other", Verdict.UNKNOWN),
    ],
)  # fmt: skip
@pytest.mark.parametrize("levels", [("search",), ("algebra", "search")])
def test_ruling_18_an_at_that_its_action_leaves_due_is_found(
    levels: tuple[str, ...], to: str, value: str, expected: Verdict
) -> None:
    """One row: whether the state is entered anew, to what the moment is set, and what is said of that."""
    report = verify(table_of(JOB.format(to=to, value=value)), levels=levels)
    found = result_of(report, LEFT_DUE)
    assert found.verdict is expected, found.why
    assert codes_of(report) == (["B508"] if expected is Verdict.BROKEN else [])
    if expected is Verdict.BROKEN:
        assert run_of(found) == ["person: Make -> On", "the clock: Tick -> On"]


def test_an_at_is_found_among_others_too() -> None:
    """Where several are searched together a run of all of them shows it."""
    text = (
        JOB.format(to="", value="now")
        + """
entity Watch
  states Up
  job: Job
  action Begin(job) by person from new to Up
    set job
  always job.n <= 1
"""
    )
    report = verify(table_of(text), levels=("search",))
    assert result_of(report, LEFT_DUE).verdict is Verdict.BROKEN
