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
