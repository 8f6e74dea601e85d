"""Processes that judge beside each other: the same answers, bounds that hold, and nobody left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from temper.service import check_texts
from temper.verify import report_json, verify
from tests.house.tree import ROOT
from tests.service.judges import cpu_of, endless, gone
from tests.service.shop import HELIX


@pytest.fixture
def blueprint(tmp_path: Path) -> Path:
    path = tmp_path / "endless.blueprint"
    path.write_text(endless())
    return path


class Judging:
    """A process with its team."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.team: list[int] = json.loads(process.stdout.readline())

    def report(self) -> Mapping[str, Any]:
        """Wait for the report."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        found: Mapping[str, Any] = json.loads(out)
        return found

    def busy(self, number: int) -> int:
        """Wait until a process of the team has worked for a while, and return its id."""
        until = time.monotonic() + 30
        while cpu_of(self.team[number]) < 0.8:
            assert time.monotonic() < until, "it never began"
            time.sleep(0.02)
        return self.team[number]


@contextmanager
def judging(path: Path, *, seconds: float = 60.0, memory_mib: int = 4096, levels: str = "") -> Iterator[Judging]:
    words = [
        sys.executable,
        "-m",
        "tests.service.judges",
        str(path),
        str(seconds),
        str(memory_mib),
        *filter(None, [levels]),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Judging(process)
        finally:
            process.kill()


def plain(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """A report without how long it took."""
    return {**report, "levels": [{**level, "seconds": 0.0} for level in report["levels"]]}


def verdicts(report: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["verdict"], each["why"]) for each in report["properties"]}


def test_a_team_comes_to_what_one_process_comes_to(tmp_path: Path) -> None:
    path = tmp_path / "helix.blueprint"
    path.write_text(HELIX["helix.blueprint"])
    with judging(path, levels="algebra,search,properties,scenarios") as asked:
        theirs = asked.report()
        assert gone(asked.team)
    table = check_texts({path.name: path.read_text()}).table
    assert table is not None
    mine = report_json(verify(table, levels=("algebra", "search", "properties", "scenarios")))
    assert plain(theirs) == json.loads(json.dumps(plain(mine)))


def test_a_process_that_is_killed_gives_unknown_and_the_rest_is_judged(blueprint: Path) -> None:
    with judging(blueprint, levels="algebra,search") as asked:
        os.kill(asked.busy(1), signal.SIGKILL)
        report = asked.report()
        assert gone(asked.team)
    killed = "its process was ended by SIGKILL"
    assert report["stopped"] == [f"search of Counter: {killed}"]
    assert not report["passed"]
    assert verdicts(report)["every state has a way out"] == ("unknown", killed)
    assert verdicts(report)["every guard can hold"][0] == "proved"


def test_a_process_that_takes_too_much_memory_gives_unknown(blueprint: Path) -> None:
    """The whole is over long before the time is."""
    with judging(blueprint, levels="algebra,search", memory_mib=120) as asked:
        report = asked.report()
    (why,) = report["stopped"] or [""]
    assert why in {
        "search of Counter: stopped at 120 MiB of memory",
        "search of Counter: its process was ended by SIGABRT",
    }
    assert verdicts(report)["every state has a way out"][0] == "unknown"
    assert verdicts(report)["every guard can hold"][0] == "proved"


def test_a_judgement_ends_when_its_time_is_up(blueprint: Path) -> None:
    began = time.monotonic()
    with judging(blueprint, levels="algebra,search", seconds=2.0) as asked:
        report = asked.report()
        assert gone(asked.team)
    assert time.monotonic() - began < 15
    assert verdicts(report)["every state has a way out"][0] == "unknown"
    assert "stopped after" in verdicts(report)["every state has a way out"][1]


def test_a_unit_for_which_there_is_no_time_is_not_begun(blueprint: Path) -> None:
    with judging(blueprint, seconds=0.0) as asked:
        report = asked.report()
    assert {level["name"] for level in report["levels"] if level["not_covered"]} == {
        "algebra", "search", "simulation", "properties", "scenarios",
    }  # fmt: skip
    assert {verdict for verdict, _ in verdicts(report).values()} == {"unknown"}
    assert all("stopped after 0 s" in why for _, why in verdicts(report).values())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nobody_is_left_when_the_one_that_asked_ends(blueprint: Path, how: signal.Signals) -> None:
    """However it ends, and in the middle of their work."""
    with judging(blueprint, levels="algebra,search") as asked:
        asked.busy(1)
        asked.process.send_signal(how)
        asked.process.wait(timeout=20)
        assert gone(asked.team)
