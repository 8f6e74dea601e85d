"""The page about runs as JSON names every key that a run has, of the events that planted bugs come by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from temper.verify import report_json, verify
from tests.house.tree import ROOT
from tests.verify.test_planted import PLANTED, planted

PAGE = (ROOT / "docs/reference/trace.md").read_text("utf-8")
STEP, EVENT = PAGE.split("\n## ")[1:]
EVERYWHERE = {"kind", "at", "how"}
# Whose runs have people, sends, tools and timers in them, together.
SHOWN = ("race/stock", "earlier_visit/attempt", "timer_callback/hold")


def rows(text: str) -> Iterator[list[str]]:
    """Return the cells of the tables of a part of the page, without their heads."""
    for line in text.splitlines():
        if line.startswith("| `") and not line.startswith("| `kind` |"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


@cache
def steps() -> tuple[dict[str, Any], ...]:
    """Return the steps of the runs that break planted blueprints, as a report has them."""
    found: list[dict[str, Any]] = []
    for name in SHOWN:
        table, _, _ = planted(PLANTED / f"{name}.blueprint")
        for each in report_json(verify(table, levels=("search",)))["properties"]:
            found += each.get("trace", ())
    return tuple(found)


def test_a_step_has_the_keys_of_the_page() -> None:
    named = [row[0].strip("`") for row in rows(STEP)]
    assert steps()
    for step in steps():
        assert list(step) == named


def test_an_event_has_the_keys_of_the_page() -> None:
    known = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in rows(EVENT)}
    for step in steps():
        event = step["event"]
        assert set(event) - {"calls"} - ({"refused"} & set(event)) - EVERYWHERE == known[event["kind"]]
        assert ("how" in event) is not ("refused" in event)


@pytest.mark.parametrize("kind", ["act", "send", "outcome", "timer"])
def test_the_runs_show_each_kind(kind: str) -> None:
    """So that the tests above have something to say."""
    assert kind in {step["event"]["kind"] for step in steps()}
