"""How much a candidate's properties notice: measured beside the server, once for each table."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from temper.service import Workshop, check_texts, measuring
from temper.service.measuring import Measures
from temper.table import Table
from temper.verify import Bounds
from tests.service.shop import ADMIN, HELIX

GATE = """\
blueprint gate

role keeper

entity Gate
  states Open, Shut
  final Shut

  uses: int 0..9 = 0

  action Make by keeper from new to Open

  action Use by keeper from Open when uses < 3
    set uses += 1

  action Close by keeper from Open to Shut
"""
STRONGER = f"{GATE}\n  always uses == before.uses or uses == before.uses + 1 and state is Open\n  can reach Shut\n"


def table(text: str) -> Table:
    found = check_texts({"gate.blueprint": text}).table
    assert found is not None
    return found


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes that were started to measure, one word each."""
    words: list[str] = []
    real = asyncio.create_subprocess_exec

    async def counted(*command: str, **more: Any) -> asyncio.subprocess.Process:
        words.append(command[-1])
        return await real(*command, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    return words


async def test_a_candidate_is_held_against_what_is_in_force(started: list[str]) -> None:
    measures = Measures()
    found = await measures.compared(table(GATE), table(STRONGER))
    assert found.score is not None
    assert found.before is not None
    assert found.score > found.before
    assert "nothing forbids that `Use` sets `uses` to `uses + 2`: intended?" in found.answered
    assert (found.asked, found.why) == ((), "")
    assert len(started) == 2
    back = await measures.compared(table(STRONGER), table(GATE))
    assert (back.score, back.before) == (found.before, found.score)
    assert (back.asked, back.answered) == (found.answered, ())
    assert len(started) == 2


async def test_two_who_ask_for_the_same_wait_for_one_answer(started: list[str]) -> None:
    measures = Measures()
    first, second = await asyncio.gather(measures.compared(None, table(GATE)), measures.compared(None, table(GATE)))
    assert first == second
    assert first.before is None
    assert len(started) == 1


async def test_a_measurement_that_dies_is_told_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    measures = Measures()
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        found = await measures.compared(None, table(GATE))
    assert (found.score, found.counted) == (None, 0)
    assert found.why.startswith("the measurement ended with 1")
    assert (await measures.compared(None, table(GATE))).score is not None


async def test_a_plan_is_made_also_where_a_measurement_takes_too_long(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "BOUNDS", Bounds(seconds=0))
    monkeypatch.setattr(measuring, "GRACE_SECONDS", 0.01)
    plan = await shop.plan(ADMIN, "helix", HELIX, strength=True)
    assert plan.strength is not None
    assert plan.strength.score is None
    assert "stopped after" in plan.strength.why
    assert plan.report["passed"]
