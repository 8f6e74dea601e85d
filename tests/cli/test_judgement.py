"""`temper verify`, as a shell runs it: what is looked up, and how it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.run import temper
from tests.service.judges import cpu_of, endless, gone

SMALL = """
blueprint small

role clerk

entity Door
  states Shut, Open

  opened: int 0..{most} = 0

  action Hang by clerk from new to Shut
  action Unlock by clerk from Shut to Open when opened < 3
    set opened += 1
  action Close by clerk, system from Open to Shut
    set opened = 0

  in Open after 1m do Close

  always opened <= 3
"""
LEVELS = "algebra,search"


def command(*words: str, cache: Path) -> list[str]:
    return ["env", f"TEMPER_CACHE={cache}", sys.executable, "-m", "temper", "verify", *words]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_an_interrupt_ends_all_of_it(tmp_path: Path, how: signal.Signals, code: int) -> None:
    """In the middle of a search: without a traceback, and nobody goes on."""
    path = tmp_path / "endless.blueprint"
    path.write_text(endless())
    words = command(str(path), "--levels", LEVELS, "--states", "50000000", cache=tmp_path / "cache")
    # A terminal interrupts the whole group, those who judge too. A shell may start us with interrupts ignored.
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - a test has no threads that matter here
    ) as process:
        until = time.monotonic() + 30
        while not (judging := children(process.pid)) or cpu_of(judging[-1]) < 0.8:
            assert time.monotonic() < until, "it never began"
            time.sleep(0.02)
        os.killpg(process.pid, how)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert (out, err) == ("", "")
    assert gone(judging)


DOOR = SMALL.partition("entity Door")[2].format(most=5)
# As many kinds as keep each of the levels busy for longer than this waits.
MANY = "blueprint many\n\nrole clerk\n" + "".join(f"\nentity Door{number}{DOOR}" for number in range(60))
TAKEN_BACK = "\r\x1b[2K"


@pytest.mark.parametrize(
    ("level", "said"), [("properties", r"properties"), ("simulation", r"simulation: seed [0-9]+ of 5000")]
)
def test_a_terminal_is_told_what_goes_on_until_an_interrupt(tmp_path: Path, level: str, said: str) -> None:
    """Hypothesis swallows what is raised in some of its callbacks: it ends all the same, at once, with no traceback."""
    path = tmp_path / "many.blueprint"
    path.write_text(MANY)
    words = command(str(path), "--levels", level, "--seeds", "5000", cache=tmp_path / "cache")
    ours, theirs = pty.openpty()
    heard = ""
    try:
        with subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - a test has no threads that matter here
        ) as process:
            os.close(theirs)
            try:
                while not re.search(rf"{said} \([0-9]+ s\)", heard):
                    assert select.select([ours], [], [], 60)[0], heard
                    heard += os.read(ours, 4096).decode()
                began = time.monotonic()
                os.killpg(process.pid, signal.SIGINT)
                out, _ = process.communicate(timeout=20)
            finally:
                process.kill()
        assert time.monotonic() - began < 10, "it went on"
        with suppress(OSError):  # What Linux says of a terminal that nobody holds any more.
            while more := os.read(ours, 4096):
                heard += more.decode()
    finally:
        os.close(ours)
    assert (process.returncode, out) == (130, "")
    lines = heard.split(TAKEN_BACK)
    assert lines[-1] == "", "the line is taken back"
    assert all(re.fullmatch(r"[a-z]+(: seed [0-9]+ of 5000)? \([0-9]+ s\)", line) for line in lines if line), heard


def test_a_report_that_is_looked_up_says_so(tmp_path: Path) -> None:
    path = tmp_path / "small.blueprint"
    path.write_text(SMALL.format(most=5))
    cache = {"TEMPER_CACHE": str(tmp_path / "cache")}

    def levels(*words: str) -> list[tuple[str, int, int]]:
        report = temper("verify", str(path), "--levels", LEVELS, "--json", *words, env=cache).json
        return [(each["name"], each["looked_up"], each["units"]) for each in report["levels"]]

    assert levels() == [("algebra", 0, 1), ("search", 0, 1)]
    assert levels() == [("algebra", 1, 1), ("search", 1, 1)]
    assert levels("--fresh") == [("algebra", 0, 1), ("search", 0, 1)]
    assert levels("--seed", "7") == [("algebra", 1, 1), ("search", 1, 1)], "neither draws anything"
    path.write_text("# A line above.\n" + SMALL.format(most=5))
    assert levels() == [("algebra", 1, 1), ("search", 1, 1)]
    path.write_text(SMALL.format(most=6))
    assert levels() == [("algebra", 0, 1), ("search", 0, 1)]
    text = temper("verify", str(path), "--levels", LEVELS, env=cache).out
    assert text.count("1 of 1 looked up") == 2


def test_two_that_judge_the_same_at_once_come_to_the_same(tmp_path: Path) -> None:
    """They write to one folder; neither finds half of what the other writes."""
    path = tmp_path / "small.blueprint"
    path.write_text(SMALL.format(most=5))
    words = command(str(path), "--levels", LEVELS, "--seed", "1", cache=tmp_path / "cache")
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    last = [out.splitlines()[-1] for out, _ in outs]
    assert last[0] == last[1]
    assert "passed" in last[0]
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_runs_begin_on_the_version_before(tmp_path: Path) -> None:
    """A live version that the candidate can't take over from is found out by simulation."""
    new, old = tmp_path / "new.blueprint", tmp_path / "old.blueprint"
    new.write_text(SMALL.format(most=5))
    old.write_text(SMALL.format(most=4))
    words = ("--levels", "simulation", "--seeds", "2", "--json")
    cache = {"TEMPER_CACHE": str(tmp_path / "cache")}
    assert temper("verify", str(new), *words, env=cache).json["levels"][0]["looked_up"] == 0
    assert temper("verify", str(new), *words, "--before", str(old), env=cache).json["levels"][0]["looked_up"] == 0
    assert temper("verify", str(new), *words, "--before", str(old), env=cache).json["levels"][0]["looked_up"] == 1
    broken = tmp_path / "broken.blueprint"
    broken.write_text("blueprint small\n\nentity Door\n  states\n")
    assert temper("verify", str(new), *words, "--before", str(broken), env=cache).code == 1
