"""A judgement: units of work, handed out to whoever does them, and laid together when they are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from temper.table import Table
from temper.verify.limits import Limits
from temper.verify.narrowed import Narrowed
from temper.verify.units import Keeps, Outcome, Progress, Run, begun, in_turn, units_of

if TYPE_CHECKING:
    from temper.verify.report import Report
    from temper.verify.simulate.disk import Disks

LEVELS = ("algebra", "search", "simulation", "properties", "scenarios")


def verify(
    table: Table,
    *,
    levels: Sequence[str] = LEVELS,
    limits: Limits | None = None,
    progress: Progress | None = None,
    disk: Disks | None = None,
    before: Table | None = None,
    run: Run | None = None,
    kept: Keeps | None = None,
) -> Report:
    """Return what is known of a table after these levels: a verdict for each property and each unwritten question.

    `progress` hears what is being done, in words. `disk` is what the store of a simulated run stands on. With `before`,
    simulated runs begin on that table and swap to this one on the way. `run` sees to it that the units are judged; if
    it is left out they are judged here, one after the other. What is `kept` is not judged again.
    """
    for level in levels:
        assert level in LEVELS, f"there is no level `{level}`"
    limits = limits or Limits()
    inside, old = inside_of(table), None if before is None else inside_of(before)
    units = units_of(inside.table, levels, limits, None if old is None else old.table)
    judging = begun(units, run or in_turn(disk), limits, progress or _silent, kept)
    # Where others judge, this is read meanwhile.
    from temper.verify.laid import report_of

    outcomes: dict[int, Outcome] = dict(judging)
    return report_of(table, levels, [(unit, outcomes[place]) for place, unit in enumerate(units)], inside)


def inside_of(table: Table) -> Narrowed:
    """Return a table as its policies leave it: what the levels judge."""
    if not table.policies:
        return Narrowed(table)
    from temper.verify.narrow import narrowed

    return narrowed(table)


def _silent(what: str) -> None:
    """Hear nothing."""
