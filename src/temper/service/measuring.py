"""`python -m temper.service.measuring`: measures the tables on standard input, and writes what each one's properties
notice to standard output.

A server asks it in a process of its own, and goes on serving meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from typing import Any

import msgspec

from temper.service import wire
from temper.service.processes import Unanswered, ask
from temper.table import Table, digest, dump, load
from temper.verify import Bounds, measure, strength_json

KEPT_MAX = 64
# A plan waits for it: fewer changes are tried than by `temper strength`, of every kind.
BOUNDS = Bounds(mutants=100, seconds=20.0, suggestions=0)
# It keeps to its bounds but for the search of the table itself; past this much more it hangs, and is stopped.
GRACE_SECONDS = 20.0


class Measures:
    """How strong the tables are that were asked about, the last ones of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._asked: dict[str, asyncio.Lock] = {}

    async def compared(self, old: Table | None, new: Table) -> wire.PlanStrength:
        """Return how much a candidate notices, against what is in force. What can't be told says why."""
        after, before = await asyncio.gather(self._of(new), self._of(old) if old is not None else _nothing())
        if isinstance(after, str):
            return wire.PlanStrength(why=after)
        known = None if before is None or isinstance(before, str) else before
        asked = [each["question"] for each in after["survivors"]]
        asked_before = [each["question"] for each in known["survivors"]] if known is not None else []
        return wire.PlanStrength(
            score=after["score"],
            killed=after["killed"],
            counted=after["counted"],
            before=known["score"] if known is not None else None,
            asked=tuple(each for each in asked if each not in asked_before),
            answered=tuple(each for each in asked_before if each not in asked),
            why=f"of what is in force: {before}" if isinstance(before, str) else "",
        )

    async def _of(self, table: Table) -> dict[str, Any] | str:
        """Return how much the properties of a table notice, as JSON-able data; as text, why that is not known."""
        key = digest(table)
        # Two who ask for the same wait for one answer.
        async with self._asked.setdefault(key, asyncio.Lock()):
            if key not in self._kept:
                try:
                    answer = await ask("temper.service.measuring", dump(table), seconds=BOUNDS.seconds + GRACE_SECONDS)
                except Unanswered as problem:
                    return f"the measurement {problem}"
                self._kept[key] = msgspec.json.decode(answer)
                while len(self._kept) > KEPT_MAX:
                    self._asked.pop(self._kept.popitem(last=False)[0], None)
            return self._kept[key]


async def _nothing() -> None:
    """Answer for what is not there."""


def main() -> int:
    """Measure one table."""
    strength = measure(load(sys.stdin.buffer.read()), BOUNDS)
    sys.stdout.buffer.write(msgspec.json.encode(strength_json(strength)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
