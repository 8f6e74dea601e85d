"""How long `temper verify` takes, as a whole process, beside floors of the same run: `python -c pass`, an import of Z3.

./run python bench/verify.py [PATH ...]

Each row is the best of its rounds, in milliseconds of the wall and of the processors (of all its processes), and how
many times the import of Z3 that is, on the processors. "one line" is after a comment was added, which is all that is
judged again. What is imported has been compiled before, as it is where somebody works: that lies in a folder of this
run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of the wall, and of the processors."""

    wall: float
    cpu: float


def whole(command: Sequence[str], rounds: int, *, folder: Path, before: Callable[[], object] = lambda: None) -> Took:
    """Return the best of some runs of a process and all that it starts, after one that is not counted.

    What is kept and what is compiled lies in `folder`; `before` is done before each run.
    """
    took = []
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"TEMPER_CACHE": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    for _ in range(rounds + 1):
        before()
        began = time.perf_counter()
        silent = [(os.POSIX_SPAWN_OPEN, end, os.devnull, os.O_WRONLY, 0) for end in (1, 2)]
        pid = os.posix_spawn(command[0], command, environment, file_actions=silent)
        _, _, used = os.wait4(pid, 0)
        took.append(Took(time.perf_counter() - began, used.ru_utime + used.ru_stime))
    return Took(min(each.wall for each in took[1:]), min(each.cpu for each in took[1:]))


def main() -> None:
    """Measure each bundle of apps/, or those that are named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("paths", nargs="*", type=Path)
    arguments.add_argument("--rounds", type=int, default=5)
    args = arguments.parse_args()
    paths = args.paths or sorted(path.parent for path in (ROOT / "apps").glob("*/*.blueprint"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = whole([sys.executable, "-c", "pass"], args.rounds, folder=folder)
        solver = whole([sys.executable, "-c", "import z3"], args.rounds, folder=folder)
        print(f"{'':14}{'':28}{'wall':>8}{'cpu':>8}{'x z3':>7}")

        def row(name: str, what: str, took: Took) -> None:
            wall, cpu = took.wall * 1000, took.cpu * 1000
            print(f"{name:14}{what:28}{wall:5.0f} ms{cpu:5.0f} ms{took.cpu / solver.cpu:7.1f}", flush=True)

        row("floor", "python -c pass", python)
        row("", "python -c 'import z3'", solver)
        for path in paths:
            copy = folder / path.name
            shutil.copytree(path, copy, dirs_exist_ok=True)
            _bundle(copy, folder, args.rounds, row)


def _bundle(path: Path, folder: Path, rounds: int, row: Callable[[str, str, Took], None]) -> None:
    verify = [sys.executable, "-m", "temper", "verify", str(path)]
    two = [*verify, "--levels", "algebra,search"]
    changed = min(path.glob("*.blueprint"))

    def a_line_more() -> None:
        with changed.open("a", encoding="utf-8") as text:
            text.write("# A line more.\n")

    row(path.name, "levels 1-2, anew", whole([*two, "--fresh"], rounds, folder=folder))
    row("", "all levels, anew", whole([*verify, "--fresh"], rounds, folder=folder))
    row("", "all levels, one line more", whole(verify, rounds, folder=folder, before=a_line_more))
    row("", "all levels, looked up", whole(verify, rounds, folder=folder))


if __name__ == "__main__":
    main()
