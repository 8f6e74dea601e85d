"""Planted bugs: each is found, by its shortest run, and its mended twin passes.

A blueprint's first line says what is broken, and how long the shortest run is; `# mended: ...` says which line stands
in its place where it is mended (`nothing`: none). What finds it is the judgement itself, and beside it an engine on
the lowered system, whose runs are the shortest by another algorithm.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from temper.service import format_text
from temper.table import Table, shape
from temper.verify import Verdict, verify
from temper.verify.system import python
from temper.verify.system.found import paths_of
from temper.verify.system.ir import System
from temper.verify.system.lower import lower
from tests.verify.texts import result_of, table_of

PLANTED = Path(__file__).parent / "planted"
PATHS = sorted(PLANTED.glob("*/*.blueprint"))
LEVELS = ("algebra", "search")
# What never comes is asked for by `eventually`; the steps of such a run are those before its cycle, and once around.
CYCLES = "unfair_cycle"
RUNS = [path for path in PATHS if path.parent.name != CYCLES]
LASSOS = [path for path in PATHS if path.parent.name == CYCLES]
# What a lowered system calls the unwritten questions: the first word of a key, or the reason of a fault.
UNWRITTEN = {
    "every state has a way out": "stuck",
    "every outcome has a home": "home",
    "no assignment leaves its type": "OUT_OF_TYPE",
    "nothing divides by zero": "DIVISION",
}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def planted(path: Path) -> tuple[Table, str, int]:
    """Return the broken table, the name of what is broken, and the length of the shortest run (0: it needs none)."""
    text = path.read_text("utf-8")
    said = re.match(r"# broken(?: in (\d+) steps?)?: (.+)\n", text)
    assert said is not None
    return table_of(text), said[2], int(said[1] or 0)


def mended(path: Path) -> Table:
    """Return the table of the mended twin."""
    lines = []
    for line in path.read_text("utf-8").splitlines():
        _, marked, instead = line.partition("# mended: ")
        if not marked:
            lines.append(line)
        elif instead != "nothing":
            lines.append(line[: len(line) - len(line.lstrip())] + instead)
    return table_of("\n".join(lines) + "\n")


def test_there_are_enough_of_each_kind() -> None:
    """Thirteen kinds, four of each at least."""
    kinds = Counter(path.parent.name for path in PATHS)
    assert len(kinds) == 13
    assert min(kinds.values()) >= 4


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_planted_bug_is_found_by_its_shortest_run(path: Path) -> None:
    table, name, steps = planted(path)
    report = verify(table, levels=LEVELS)
    assert not report.passed
    broken = result_of(report, name)
    assert broken.verdict is Verdict.BROKEN, broken.why
    assert len(broken.trace) == steps
    assert any(each.code.name.startswith(("B4", "B5")) for each in report.findings)


@pytest.mark.parametrize("path", RUNS, ids=name_of)
def test_an_engine_finds_no_shorter_run(path: Path) -> None:
    """The lowered system has the same bug, as near."""
    table, name, steps = planted(path)
    system = lower(table)
    assert isinstance(system, System), system
    found = python.search(system, states_max=200_000, seconds=30)
    assert found.stopped is None
    numbers = {number for number, each in enumerate(table.properties) if each.name == name}
    lengths = [
        len(run.rules) for key, run in paths_of(system, found).items()
        if UNWRITTEN.get(name) in key[:2] or (key[0] in {"always", "never", "needs"} and key[1] in numbers)
    ]  # fmt: skip
    # Where nothing leads out at all, the table alone says so, without a run.
    assert min(lengths) == steps or (steps == 0 and lengths)


@pytest.mark.parametrize("path", [path for path in RUNS if planted(path)[2]], ids=name_of)
def test_a_story_says_what_would_have_stopped_it(path: Path) -> None:
    """The guard that is missing, or the case that was taken: of an action of the last commit, and no idle talk."""
    table, name, _ = planted(path)
    broken = result_of(verify(table, levels=LEVELS), name)
    assert broken.help is not None
    assert "not true" not in broken.help
    assert "false implies" not in broken.help
    if name not in UNWRITTEN and not name.startswith("never"):
        begins = max(number for number, step in enumerate(broken.trace) if not step.part)
        actions = [step.action for step in broken.trace[begins:]]
        assert any(f"`{action}`" in broken.help or f".{action}`" in broken.help for action in actions)
    assert all(step.place is not None for step in broken.trace)


# What stands in the mended twin's guard, as the story asks for it.
WHATEVER = "breaks it whatever the fields hold: give it no such case, or let it do something else"
SEVERAL = "ask there for what keeps it, or take along those it is about (`with`)"
GUARDS = {
    "earlier_visit/attempt": "add `when which == attempt` to `Finished` from `Running`; it asks for nothing",
    "forgotten_guard/blood_bank": (
        "add `when promised < units` to `Promise` from `Open`; it asks for `promised < 4` alone"
    ),
    "forgotten_guard/elevator": f"`OpenInside` from `Moving` {WHATEVER}",
    "inverse_set/last_guest": (
        "add `when size(guests) == 0` to `Shut` from `Open`; it asks for `size(guests) <= 1` alone"
    ),
    "inverse_set/moved": f"`Box.Move` from `Stored` breaks it, and asks for nothing: {SEVERAL}",
    "late_outcome/revived": (
        "`Rebuild` from `TornDown` leads to `Building` whatever the fields hold; give it another case, or no such `to`"
    ),
    "timer_callback/heartbeats": "add `when not answered` to `GiveUp` from `Suspect`; it asks for nothing",
    "timer_callback/warned_first": "add `when warned` to `CutOff` from `Overdue`; it asks for nothing",
    "race/transfer": (
        f"`Account.Pay` from `Open` breaks it, and asks for `to != this` and `balance > 0` alone: {SEVERAL}"
    ),
}


@pytest.mark.parametrize("which", GUARDS)
def test_a_missing_guard_is_named(which: str) -> None:
    table, name, _ = planted(PLANTED / f"{which}.blueprint")
    assert result_of(verify(table, levels=LEVELS), name).help == GUARDS[which]


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_the_mended_twin_passes(path: Path) -> None:
    report = verify(mended(path), levels=LEVELS)
    assert report.passed
    assert not report.findings


@pytest.mark.parametrize("path", LASSOS, ids=name_of)
def test_a_fair_run_never_gets_there_and_where_it_is_mended_all_do(path: Path) -> None:
    """The run comes round to a state that it has been in, or ends; no fair run of the mended twin stays away."""
    table, name, _ = planted(path)
    broken = result_of(verify(table, levels=LEVELS), name)
    assert broken.by == "fair runs"
    assert ("again and again" in broken.why) != ("nothing has to happen" in broken.why)
    assert result_of(verify(mended(path), levels=LEVELS), name).verdict is Verdict.PROVED


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_planted_blueprint_is_laid_out(path: Path) -> None:
    text = path.read_text("utf-8")
    assert format_text(path.name, text) == text


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_level_1_breaks_nothing_that_a_run_would_have_to_show(path: Path) -> None:
    """Its formulas allow more than runs do: alone it says that something can never be, and of all else that it does not
    know."""
    table, _, _ = planted(path)
    written = {each.site: each for each in table.properties}
    for each in verify(table, levels=("algebra",)).properties:
        if each.verdict is Verdict.BROKEN:
            assert each.by in {"induction", "algebra", "table"}
            assert each.trace == ()
            assert each.site is None or isinstance(written.get(each.site), shape.CanReach | None)
