"""Level 3 of a judgement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from temper.table import Table
from temper.verify.explore.search import Explored
from temper.verify.limits import Limits
from temper.verify.report import Level
from temper.verify.shapes import unreachable
from temper.verify.simulate.choose import Guide
from temper.verify.simulate.disk import Disks, MemoryDisk
from temper.verify.simulate.run import Simulated, simulate
from temper.verify.tested import Shown

# A guide shorter than that leads nowhere that chance would not.
_GUIDE_MIN = 3


def simulated(
    table: Table,
    explored: Mapping[str, Explored | None],
    limits: Limits,
    progress: Callable[[str], None],
    *,
    before: Table | None = None,
    disk: Disks = MemoryDisk,
) -> tuple[Level, tuple[Shown, ...], str]:
    """Return what the level did, what its runs show, and how much that is, in words. What the search found steers.

    With `before`, runs begin on that table and swap to `table` on the way. `disk` is what each run's store stands on.
    """
    began = time.monotonic()
    done = simulate(
        table,
        seeds=limits.seeds,
        steps=limits.steps,
        first_seed=limits.seed,
        before=before,
        guides=tuple(guides_of(explored)),
        disk=disk,
        progress=lambda seed, seeds: progress(f"simulation: seed {seed + 1} of {seeds}"),
        enough=lambda: time.monotonic() - began > limits.seconds,
    )
    how_much = f"{done.seeds} seeds, {done.steps:,} steps, {done.commits:,} commits"
    not_covered = [] if done.seeds == limits.seeds else [f"{limits.seeds - done.seeds} seeds more: out of time"]
    level = Level(
        "simulation",
        time.monotonic() - began,
        (
            f"{how_much}, from seed {done.first_seed}; on {done.stands_on or 'nothing'}",
            _met(table, done, explored),
            _failed(done),
        ),
        tuple(not_covered),
    )
    return level, tuple(Shown(each.wrong, each.story, each.seed) for each in done.failures), how_much


def guides_of(explored: Mapping[str, Explored | None]) -> Iterator[Guide]:
    """Return the runs that the search has found to states and cases, as guides for where chance would not get."""
    for entity, found in explored.items():
        for key, reached in found.reached.items() if found is not None else ():
            if reached.run is not None and not reached.why and len(reached.run.stages) >= _GUIDE_MIN:
                yield Guide(entity, str(key[1]), tuple(stage.event for stage in reached.run.stages))


def _met(table: Table, done: Simulated, explored: Mapping[str, Explored | None]) -> str:
    """Return which part of what can be reached has been met."""
    wanted: set[tuple[str, str]] = set()
    for name, entity in table.entities.items():
        found = explored.get(name)
        if found is not None and found.stopped is None:
            wanted |= {(name, key[1]) for key in found.reached if key[0] == "state"}
        else:
            dead = unreachable(entity)
            wanted |= {(name, state) for state in entity.states if state not in dead}
    met = len(wanted & done.states.keys())
    return f"{met} of {len(wanted)} states that can be reached, {len(done.cases)} cases taken"


def _failed(done: Simulated) -> str:
    faults = sorted(done.faults.items(), key=lambda each: (-each[1], each[0]))
    return "what failed: " + (", ".join(f"{what} {count}" for what, count in faults) or "nothing")
