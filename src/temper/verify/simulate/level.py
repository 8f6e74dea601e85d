"""Level 3 of a judgement."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from temper.table import Table, shape
from temper.verify.explore.search import Explored
from temper.verify.limits import Limits
from temper.verify.report import Level
from temper.verify.shapes import unreachable
from temper.verify.simulate.disk import Disks, MemoryDisk
from temper.verify.simulate.guide import guides_of
from temper.verify.simulate.run import Simulated, simulate
from temper.verify.tested import Shown

# So many that were not taken are named.
MISSED_MAX = 8


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
        guides=guides_of(explored),
        disk=disk,
        progress=lambda seed, seeds: progress(f"simulation: seed {seed + 1} of {seeds}"),
        enough=lambda: time.monotonic() - began > limits.seconds,
    )
    how_much = f"{done.seeds} seeds, {done.steps:,} steps, {done.commits:,} commits"
    not_covered = [] if done.seeds == limits.seeds else [f"{limits.seeds - done.seeds} seeds more: out of time"]
    met, missed = _met(table, done, explored)
    not_covered += [missed] if missed else []
    level = Level(
        "simulation",
        time.monotonic() - began,
        (
            f"{how_much}, from seed {done.first_seed}; on {done.stands_on or 'nothing'}",
            met,
            _failed(done),
        ),
        tuple(not_covered),
    )
    return level, tuple(Shown(each.wrong, each.story, each.seed) for each in done.failures), how_much


def _met(table: Table, done: Simulated, explored: Mapping[str, Explored | None]) -> tuple[str, str]:
    """Return which part of what can be reached has been met, and what has not been taken."""
    states: set[tuple[str, str]] = set()
    cases: dict[str, str] = {}
    for name, entity in table.entities.items():
        found = explored.get(name)
        own = {case.site: case for action in entity.actions.values() for case in action.cases}
        words = {site: _words(name, site, case) for site, case in own.items()}
        if found is not None and found.stopped is None:
            states |= {(name, key[1]) for key in found.reached if key[0] == "state"}
            cases |= {site: words[site] for site in own if ("case", site) in found.reached}
        else:
            dead = set(unreachable(entity))
            states |= {(name, state) for state in entity.states if state not in dead}
            cases |= {site: words[site] for site, case in own.items() if not set(case.froms) <= dead}
    missed = [words for site, words in cases.items() if not done.cases[site]]
    more = f" and {len(missed) - MISSED_MAX} more" if len(missed) > MISSED_MAX else ""
    met = len(states & done.states.keys())
    said = f"{met} of {len(states)} states that can be reached, {len(cases) - len(missed)} of {len(cases)} cases"
    return said, f"not taken: {'; '.join(missed[:MISSED_MAX])}{more}" if missed else ""


def _words(entity: str, site: str, case: shape.Case) -> str:
    """Return a case in a few words. Its text is not known here."""
    action = site.partition("/")[0].rpartition(".")[2]
    return f"{entity}.{action} from {', '.join(case.froms)}" + (f" to {case.to}" if case.to is not None else "")


def _failed(done: Simulated) -> str:
    faults = sorted(done.faults.items(), key=lambda each: (-each[1], each[0]))
    return "what failed: " + (", ".join(f"{what} {count}" for what, count in faults) or "nothing")
