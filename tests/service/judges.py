"""`python -m tests.service.judges BLUEPRINT SECONDS`: a team judges, and prints its processes and what came of it.

What is measured here can't be measured inside of the tests' own process, which has threads, and is not to be killed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from temper.service import LEVELS, Team, check_texts
from temper.verify import Limits, report_json, verify


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
