"""`python -m tests.service.judges BLUEPRINT SECONDS`: a team judges, and prints its processes and what came of it.

What is measured here can't be measured inside of the tests' own process, which has threads, and is not to be killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from temper.service import LEVELS, Team, check_texts
from temper.verify import Limits, report_json, verify

# More states than anybody can visit: fifteen numbers that count by themselves.
ENDLESS = """
blueprint endless

role operator

entity Counter
  states On
{fields}

  action Make by operator from new to On
{actions}

  always {always}
"""


def endless() -> str:
    names = [f"n{number}" for number in range(15)]
    fields = "\n".join(f"  {name}: int 0..1000 = 0" for name in names)
    actions = "\n".join(
        f"  action Up{name} by operator from On to On when {name} < 1000\n    set {name} += 1" for name in names
    )
    return ENDLESS.format(fields=fields, actions=actions, always=" + ".join(names) + " <= 15000 - 1")


def gone(pids: Iterable[int]) -> bool:
    """Say whether processes end, within a few seconds. A zombie has not."""
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Judge one file."""
    path, seconds, memory_mib = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    levels = sys.argv[4].split(",") if len(sys.argv) > 4 else LEVELS
    with Team(levels, memory_mib=memory_mib) as team:
        table = check_texts({path.name: path.read_text()}).table
        assert table is not None
        print(json.dumps(team.pids), flush=True)
        report = verify(table, levels=levels, limits=Limits(seconds=seconds, states_max=50_000_000), run=team)
    print(json.dumps(report_json(report)), flush=True)


if __name__ == "__main__":
    main()
