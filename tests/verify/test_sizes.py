"""What a judgement takes beside its levels: reading, handing out and telling cost what a blueprint is long."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from temper.verify import Limits, Lost, Outcome, Verdict, verify
from tests.verify.texts import table_of

HEAD = """\
blueprint long

role clerk

tool t.x()

entity Long
  states {states}
  final S{last}
  n: int 0..5 = 0
  action Make by clerk from new to S0
"""
# A chain of states, whose cases are of one action that people take, and of one that timers and answers do.
BY_PEOPLE = ("  action Go by clerk\n", "    from S{this} to S{next}\n", "")
BY_TIMERS = ("  action Go by system\n", "    from S{this} to S{next}\n", "  in S{this} after 1m do Go\n")
BY_ANSWERS = (
    "  action Go by system\n",
    "    from S{this} to S{next}\n",
    "  in S{this}\n    on entry call t.x() then Go else Go unknown Go\n    late Go ignore\n",
)
BY_MANY = ("", "  action Go{this} by clerk from S{this} to S{next}\n", "")


def chain(kind: tuple[str, str, str], count: int) -> str:
    action, case, place = kind
    each = range(count - 1)
    return "".join(
        [
            HEAD.format(states=", ".join(f"S{number}" for number in range(count)), last=count - 1),
            action,
            *(case.format(this=number, next=number + 1) for number in each),
            *(place.format(this=number) for number in each),
        ]
    )


def too_late(units: Any, known: Any, limits: Limits, progress: Any) -> Iterator[tuple[int, Outcome]]:
    """Judge nothing: the time is up before anything has begun."""
    for place, _ in enumerate(units):
        yield place, Lost("stopped after 0 s")


def lines_taken(text: str) -> int:
    """Return how many lines are run between a text and its report, when no level has had any time."""
    taken = 0

    def line(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal taken
        taken += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        report = verify(table_of(text), run=too_late)
    finally:
        sys.settrace(before)
    assert {each.verdict for each in report.properties} == {Verdict.UNKNOWN}
    return taken


@pytest.mark.parametrize("kind", [BY_PEOPLE, BY_TIMERS, BY_ANSWERS, BY_MANY])
def test_what_no_clock_bounds_grows_as_the_blueprint_does(kind: tuple[str, str, str]) -> None:
    """Twice as many states, each with what is its own, are twice the work: four times it where each asks for all."""
    short, long = (lines_taken(chain(kind, count)) for count in (150, 300))
    assert long < 2.2 * short
