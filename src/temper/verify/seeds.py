"""What one seed shows: the run of level 3 that it decides, and the sequence that level 4 shrinks to."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from temper.table import Table
from temper.verify.limits import Limits
from temper.verify.narrow import narrowed
from temper.verify.narrowed import doubted
from temper.verify.report import PropertyResult, Verdict
from temper.verify.simulate.disk import Disks
from temper.verify.tested import judged as verdicts
from temper.verify.tested import promises
from temper.verify.units import Done, Runs, judged, units_of

LEVELS = ("search", "simulation", "properties")


def shown_by(
    table: Table, limits: Limits, disk: Disks, progress: Callable[[str], None], *, before: Table | None = None
) -> tuple[PropertyResult, ...]:
    """Return what the runs of `limits.seed` break, each with its story.

    The search runs too: it steers the run, as it does in a judgement.
    """
    inside = narrowed(table)
    old = None if before is None else narrowed(before).table
    units = units_of(inside.table, LEVELS, replace(limits, seeds=1), old)
    done: list[Done] = []
    found: list[PropertyResult] = []
    for unit in units:
        guide = None if unit.guide is None else done[unit.guide]
        done.append(judged(unit, limits.seconds, guide, progress, disk))
        runs = done[-1].answer
        if isinstance(runs, Runs):
            after, _ = verdicts(unit.table, (), runs.shown, unit.kind.value, runs.how_much)
            found += [*after, *promises(runs.shown, unit.kind.value, runs.how_much)]
    return tuple(each for each in found if doubted(each, inside.left_out).verdict is Verdict.BROKEN)
