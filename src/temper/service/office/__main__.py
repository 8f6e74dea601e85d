"""Judge the office's blueprint by all levels, and write the report that is shipped beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from temper.service.judgement import verify_table
from temper.service.office.shipped import REPORT, office_table
from temper.verify import LEVELS


def main() -> int:
    """Write the report; 1 where it has not passed."""
    judged = verify_table(office_table(), levels=LEVELS, states=500_000, seconds=120.0)
    if not judged.passed or judged.undecided:
        sys.stdout.write(judged.text)
        return 1
    report = msgspec.json.format(msgspec.json.encode(judged.report), indent=1)
    Path(__file__).with_name(REPORT).write_bytes(report + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
