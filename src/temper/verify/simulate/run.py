"""Runs, by their seeds; and what is left of one that shows something, once all that it does not need is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from temper.kernel import Host
from temper.table import Table
from temper.verify.report import TraceStep
from temper.verify.simulate.choose import Choice
from temper.verify.simulate.decisions import Decision, Turn
from temper.verify.simulate.disk import Disks, MemoryDisk
from temper.verify.simulate.guide import Guide
from temper.verify.simulate.told import told
from temper.verify.simulate.watch import Found
from temper.verify.simulate.world import Hosts, World
from temper.verify.tested import Wrong

SEEDS = 16
STEPS = 80
# Decisions that may be carried out to shorten a run that failed; what fails besides is told by the run that met it.
SHRINK_MAX = 8_000
FAILURES_MAX = 5
_CALM_COST = 20


@dataclass(frozen=True, slots=True)
class Run:
    """What one seed did. `wrong` is what its last decision (or the calm after it) showed."""

    seed: int
    decisions: tuple[Decision, ...]
    wrong: Wrong | None
    digest: str
    world: World


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that shows something wrong: at which step, what, and the shortest run that was found to show it."""

    seed: int
    step: int
    wrong: Wrong
    decisions: tuple[Decision, ...]
    story: tuple[TraceStep, ...]


@dataclass
class Simulated:
    """What many seeds did."""

    seeds: int = 0
    first_seed: int = 0
    steps: int = 0
    commits: int = 0
    refusals: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    digests: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stands_on: str = ""
    """What its stores stood on."""


def simulate(
    table: Table,
    *,
    seeds: int = SEEDS,
    steps: int = STEPS,
    first_seed: int = 0,
    before: Table | None = None,
    guides: Sequence[Guide] = (),
    hosts: Hosts = Host,
    disk: Disks = MemoryDisk,
    progress: Callable[[int, int], None] | None = None,
    enough: Callable[[], bool] | None = None,
) -> Simulated:
    """Return what so many seeds show, from `first_seed` on; each thing that is wrong once, by its shortest run found.

    With `before`, runs begin on that table, and swap to `table` on the way. `guides` are runs that lead somewhere rare.
    Stops between two seeds when `enough` says so; `Simulated.seeds` says how many there were.
    """
    done = Simulated(first_seed=first_seed)
    shown: set[tuple[str, str]] = set()
    for seed in range(first_seed, first_seed + seeds):
        if enough is not None and enough():
            break
        if progress is not None:
            progress(seed - first_seed, seeds)
        run = one(table, seed, steps=steps, before=before, guides=guides, hosts=hosts, disk=disk)
        done.seeds += 1
        done.stands_on = run.world.disk.stands_on
        done.steps += len(run.decisions)
        done.commits += run.world.watch.commits
        done.refusals += run.world.watch.refusals
        done.faults += run.world.faults
        done.states += run.world.watch.states
        done.cases += run.world.watch.cases
        done.digests.append(run.digest)
        if (
            len(done.failures) < FAILURES_MAX
            and run.wrong is not None
            and (run.wrong.kind, run.wrong.what) not in shown
        ):
            shown.add((run.wrong.kind, run.wrong.what))
            done.failures.append(_failure(table, run, before, hosts, disk))
        run.world.close()
    return done


def one(
    table: Table,
    seed: int,
    *,
    steps: int = STEPS,
    before: Table | None = None,
    guides: Sequence[Guide] = (),
    hosts: Hosts = Host,
    disk: Disks = MemoryDisk,
) -> Run:
    """Return the run of one seed, which decides all of it. Its world is to be closed by whoever asked."""
    chance = Random(seed)
    world = World(table, before=before, hosts=hosts, disk=disk)
    choice = Choice(world, chance, guides, first=seed)
    made: list[Decision] = []
    wrong: Wrong | None = None
    try:
        for _ in range(steps):
            made.append(choice.next())
            world.do(made[-1])
        world.calm(choice.answer)
    except Found as found:
        wrong = found.wrong
    return Run(seed, tuple(made), wrong, world.digest(), world)


def again(
    table: Table,
    decisions: Sequence[Decision],
    *,
    before: Table | None = None,
    hosts: Hosts = Host,
    disk: Disks = MemoryDisk,
) -> tuple[Wrong | None, int, World]:
    """Carry out decisions as they stand, and come to rest; return what that shows, and after how many."""
    world = World(table, before=before, hosts=hosts, disk=disk)
    choice = Choice(world, Random(0))
    done = 0
    try:
        for decision in decisions:
            done += 1
            world.do(decision)
        world.calm(choice.answer)
    except Found as found:
        return found.wrong, done, world
    return None, done, world


def _failure(table: Table, run: Run, before: Table | None, hosts: Hosts, disk: Disks) -> Failure:
    assert run.wrong is not None, "it shows something"
    key = (run.wrong.kind, run.wrong.what)
    left = SHRINK_MAX

    def shows(decisions: Sequence[Decision]) -> bool:
        nonlocal left
        left -= len(decisions) + _CALM_COST
        wrong, _, world = again(table, decisions, before=before, hosts=hosts, disk=disk)
        world.close()
        return wrong is not None and (wrong.kind, wrong.what) == key

    kept = list(run.decisions)
    size = max(1, len(kept) // 2)
    while left > 0:
        place, smaller = 0, False
        while place < len(kept) and left > 0:
            shorter = kept[:place] + kept[place + size :]
            if shows(shorter):
                kept, smaller = shorter, True
            else:
                place += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    for place, decision in enumerate(kept):
        if isinstance(decision, Turn) and decision != Turn() and left > 0:
            plain = [*kept[:place], Turn(), *kept[place + 1 :]]
            kept = plain if shows(plain) else kept
    wrong, step, world = again(table, kept, before=before, hosts=hosts, disk=disk)
    world.close()
    if wrong is None:
        # Its calm drew other answers: it is told as it was.
        return Failure(run.seed, len(run.decisions), run.wrong, run.decisions, told(run.world, run.wrong))
    return Failure(run.seed, len(run.decisions), wrong, tuple(kept[:step]), told(world, wrong))
