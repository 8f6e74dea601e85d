"""`python -m temper.service.measuring`: measures the tables on standard input, and writes what each one's properties
notice to standard output.

A server asks it in a process of its own, and goes on serving meanwhile.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any

import msgspec

from temper.service.declined import unavailable
from temper.service.processes import Unanswered, ask
from temper.table import Table, digest, dump, load
from temper.verify import Bounds, measure, strength_json

KEPT_MAX = 64
# A plan waits for it: fewer changes are tried than by `temper strength`, of every kind.
BOUNDS = Bounds(mutants=100, seconds=20.0, suggestions=4)
GRACE_SECONDS = 60.0


class Measures:
    """How strong the tables are that were asked about, the last ones of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def of(self, table: Table) -> dict[str, Any]:
        """Return how much the properties of a table notice, as JSON-able data. Raises `Declined`."""
        key = digest(table)
        if key not in self._kept:
            self._kept[key] = await _measured(table)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return self._kept[key]


async def _measured(table: Table) -> dict[str, Any]:
    try:
        output = await ask("temper.service.measuring", dump(table), seconds=BOUNDS.seconds + GRACE_SECONDS)
    except Unanswered as why:
        raise unavailable(f"the measurement of its properties {why}") from why
    data: dict[str, Any] = msgspec.json.decode(output)
    return data


def main() -> int:
    """Measure one table."""
    strength = measure(load(sys.stdin.buffer.read()), BOUNDS)
    sys.stdout.buffer.write(msgspec.json.encode(strength_json(strength)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
