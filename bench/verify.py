"""How long `temper verify` takes, process and levels, beside the floor: `python -c pass`, and an import of Z3.

./run python bench/verify.py [PATH ...]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def whole(command: Sequence[str], rounds: int) -> float:
    """Return the median seconds of a process."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def main() -> None:
    """Measure each bundle of apps/, or those that are named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("paths", nargs="*", type=Path)
    arguments.add_argument("--rounds", type=int, default=5)
    args = arguments.parse_args()
    paths = args.paths or sorted(path.parent for path in (ROOT / "apps").glob("*/*.blueprint"))
    python = whole([sys.executable, "-c", "pass"], args.rounds)
    solver = whole([sys.executable, "-c", "import z3"], args.rounds)
    print(f"floor: python {python * 1000:.0f} ms, python with z3 {solver * 1000:.0f} ms")
    print(f"{'bundle':22}{'process':>9}{'levels':>9}{'states':>9}{'steps':>9}{'x floor':>9}  verdicts")
    for path in paths:
        command = [sys.executable, "-m", "temper", "verify", str(path), "--json"]
        seconds = whole(command, args.rounds)
        report = json.loads(subprocess.run(command, check=False, capture_output=True, text=True).stdout)
        levels = sum(level["seconds"] for level in report["levels"])
        states = sum(level.get("states") or 0 for level in report["levels"])
        steps = sum(level.get("transitions") or 0 for level in report["levels"])
        verdicts: dict[str, int] = {}
        for each in report["properties"]:
            verdicts[each["verdict"]] = verdicts.get(each["verdict"], 0) + 1
        told = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
        ratio = seconds / solver
        print(f"{path.name:22}{seconds * 1000:6.0f} ms{levels * 1000:6.0f} ms{states:9}{steps:9}{ratio:9.1f}  {told}")


if __name__ == "__main__":
    main()
