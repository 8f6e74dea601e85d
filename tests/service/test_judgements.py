"""What has been judged is looked up; what was cut short is asked again."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from temper.service import Declined, Workshop, judge_process, processes
from temper.service.judge_process import Question
from temper.service.settings import PushSection
from temper.table import digest, load
from tests.service.shop import ADMIN, BEFORE, HELIX, Prepared, copied, opened


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes that were started to judge, one word each."""
    started: list[str] = []
    real = asyncio.create_subprocess_exec

    async def counted(*words: str, **more: Any) -> asyncio.subprocess.Process:
        started.append(words[-1])
        return await real(*words, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    return started


async def test_a_push_after_its_plan_is_not_judged_again(shop: Workshop, judged: list[str]) -> None:
    """A plan asks of the version that is live, too, whether all that it can reach has a place in the candidate."""
    plan = await shop.plan(ADMIN, "helix", HELIX)
    assert len(judged) == 2
    pushed = await shop.push(ADMIN, "helix", HELIX)
    assert len(judged) == 2
    assert pushed.report == plan.report


async def test_a_rollback_finds_the_report_that_let_its_version_in(
    prepared: Prepared, tmp_path: Path, judged: list[str]
) -> None:
    """Also after a restart."""
    folder = copied(prepared, tmp_path / "data")
    async with opened(folder) as shop:
        await shop.push(ADMIN, "helix", HELIX)
    async with opened(folder) as shop:
        before = len(judged)
        back = await shop.rollback(ADMIN, "helix")
        assert back.version == 3
        assert shop.sources(ADMIN, "helix") == BEFORE
        assert len(judged) == before


async def test_a_candidate_is_judged_as_what_comes_after_the_version_that_is_live(
    shop: Workshop, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated run begins on the live version and swaps: after another one it has to be asked again, and no more."""
    asked: list[Question] = []

    async def heard(module: str, question: bytes, *, seconds: float) -> bytes:
        asked.append(msgspec.json.decode(question, type=Question))
        return await processes.ask(module, question, seconds=seconds)

    monkeypatch.setattr("temper.service.judge_process.ask", heard)
    live = await shop.plan(ADMIN, "helix", HELIX)
    question, places = asked
    assert bytes(places.before) == b"null", "whether all has a place is asked of the live version alone"
    assert digest(load(bytes(question.before))) == live.from_digest
    assert {level["name"]: level["looked_up"] for level in live.report["levels"]}["simulation"] == 0
    commented = {name: text + "\n# A word at the end.\n" for name, text in HELIX.items()}
    again = await shop.plan(ADMIN, "helix", commented)
    assert again.report == live.report, "the digest is the same"
    assert len(asked) == 2


async def test_what_units_came_to_outlives_the_server(prepared: Prepared, tmp_path: Path) -> None:
    """After a restart a candidate that changes one thing is judged anew in that alone."""
    folder = copied(prepared, tmp_path / "data")
    async with opened(folder) as shop:
        first = await shop.plan(ADMIN, "helix", HELIX)
    async with opened(folder) as shop:
        again = await shop.plan(ADMIN, "helix", HELIX)
    levels = {level["name"]: (level["looked_up"], level["units"]) for level in again.report["levels"]}
    assert levels == {level["name"]: (level["units"], level["units"]) for level in first.report["levels"]}
    assert again.report["properties"] == first.report["properties"]


async def test_a_judge_that_takes_too_much_memory_lets_nothing_in(prepared: Prepared, tmp_path: Path) -> None:
    """The server goes on with what it has; the report says what came to no answer."""
    folder = copied(prepared, tmp_path / "data")
    async with opened(folder, push=PushSection(memory=1)) as shop:
        with pytest.raises(Declined) as caught:
            await shop.push(ADMIN, "helix", HELIX)
        assert shop.versions(ADMIN, "helix")[0].number == 1
    report = caught.value.problem.report
    assert report is not None
    assert report["stopped"]
    assert "unknown" in {each["verdict"] for each in report["properties"]}


async def test_a_judge_that_dies_lets_nothing_in_and_is_asked_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes on with what it has."""
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        with pytest.raises(Declined) as caught:
            await shop.push(ADMIN, "helix", HELIX)
    assert caught.value.problem.type == "unverified"
    assert shop.versions(ADMIN, "helix")[0].number == 1
    assert (await shop.push(ADMIN, "helix", HELIX)).version == 2


async def test_a_judge_that_hangs_is_stopped(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, and nothing of it is left."""
    hanging = tmp_path / "hanging"
    pid = tmp_path / "pid"
    hanging.write_text(
        f"#!{sys.executable}\nimport os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(judge_process, "GRACE_SECONDS", -118.0)
    with pytest.raises(Declined) as caught:
        await shop.push(ADMIN, "helix", HELIX)
    assert caught.value.problem.type == "unverified"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
