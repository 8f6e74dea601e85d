"""How long a blueprint takes from text to table, warm, beside `compile` of Python of as many lines.

    ./run python bench/compile.py

Prints medians of many rounds, by stage, and the ratio to Python's own compiler in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from temper.model import check
from temper.syntax import parse_bundle
from temper.table import compile_machine, digest
from temper.text import Source

ROOT = Path(__file__).parents[1]


def timed(run: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the median and the best milliseconds of `rounds` runs."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took), min(took)


def main() -> None:
    """Measure each blueprint of apps/."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--json", action="store_true")
    args = arguments.parse_args()
    rows = []
    for path in sorted((ROOT / "apps").glob("*/*.blueprint")):
        source = Source(path.name, path.read_text("utf-8"))
        lines = source.text.count("\n")
        tree, _ = parse_bundle([source])
        machine, problems = check(tree)
        assert not problems, f"{path} does not check"
        stages = {
            "parse": timed(lambda source=source: parse_bundle([source]), args.rounds),
            "check": timed(lambda tree=tree: check(tree), args.rounds),
            "compile": timed(lambda machine=machine: digest(compile_machine(machine)), args.rounds),
            "all": timed(lambda source=source: _all(source), args.rounds),
        }
        python = "".join(f"x{n} = f(a{n}, b.c + {n}) if y{n} and not z else [{n}]\n" for n in range(lines))
        floor = timed(lambda python=python: compile(python, "floor", "exec"), args.rounds)
        rows.append((path.parent.name, lines, stages, floor))
    if args.json:
        print(
            json.dumps(
                [
                    {"app": a, "lines": n, "ms": {k: v[0] for k, v in s.items()}, "python_ms": f[0]}
                    for a, n, s, f in rows
                ]
            )
        )
        return
    print(f"{'app':14}{'lines':>6}{'parse':>9}{'check':>9}{'compile':>9}{'all, ms':>9}{'per 100':>9}{'x python':>9}")
    for app, lines, stages, floor in rows:
        medians = [stages[stage][0] for stage in ("parse", "check", "compile", "all")]
        drawn = "".join(f"{each:9.2f}" for each in medians)
        print(f"{app:14}{lines:6}{drawn}{medians[-1] / lines * 100:9.2f}{medians[-1] / floor[0]:9.1f}")


def _all(source: Source) -> None:
    tree, _ = parse_bundle([source])
    machine, _ = check(tree)
    digest(compile_machine(machine))


if __name__ == "__main__":
    main()
