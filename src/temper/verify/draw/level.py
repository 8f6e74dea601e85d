"""Level 4 of a judgement."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from temper.table import Table
from temper.verify.draw.door import HostDoor
from temper.verify.limits import Limits
from temper.verify.report import Level
from temper.verify.simulate.told import told
from temper.verify.simulate.watch import Found
from temper.verify.tested import Shown

STEPS = 20
MISSING = "Hypothesis is not installed: `pip install 'temper-blueprint[verify]'`"


def drawn(table: Table, limits: Limits, progress: Callable[[str], None]) -> tuple[Level, tuple[Shown, ...], str]:
    """Return what the level did, what its shortest sequence shows, if one shows anything, and how much was drawn."""
    began = time.monotonic()
    try:
        from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
        from hypothesis.errors import HypothesisException
        from hypothesis.reporting import with_reporter
        from hypothesis.stateful import run_state_machine_as_test

        from temper.verify.draw.machine import machine
    except ImportError:
        return Level("properties", time.monotonic() - began, (), (MISSING,)), (), ""
    progress("properties")
    runs = _Runs(table)
    kind = seed(limits.seed)(machine(table, runs.door))
    bounds = settings(
        max_examples=limits.examples,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    shown: tuple[Shown, ...] = ()
    stopped: tuple[str, ...] = ()
    try:
        with with_reporter(_silent), _lists_alone():
            run_state_machine_as_test(kind, settings=bounds)
    except Found as found:
        assert runs.last is not None, "somebody found it"
        shown = (Shown(found.wrong, told(runs.last.world, found.wrong), limits.seed),)
    except (HypothesisException, AssertionError) as broken:
        # Its own machinery gave up, or a failure did not come again: nothing is known of the rest.
        stopped = (f"what was not drawn any more: Hypothesis stopped with {type(broken).__name__}: {broken}",)
    how_much = f"{runs.count} sequences, {runs.requests():,} requests"
    rules = sum(len(entity.actions) for entity in table.entities.values())
    return (
        Level(
            "properties",
            time.monotonic() - began,
            (
                f"{how_much} of up to {STEPS} each, from seed {limits.seed}",
                f"{rules} actions, parameters at the edges of their types and bad ones, old versions, keys used again",
                "answers, failures and silence of tools, time",
            ),
            stopped,
        ),
        shown,
        how_much,
    )


@contextmanager
def _lists_alone() -> Iterator[None]:
    """Keep Hypothesis from drawing constants of the modules that happen to be imported.

    It would read their sources, keep what it finds in a folder `.hypothesis` where we stand, and draw by it: a seed
    would not decide what is drawn.
    """
    from hypothesis.internal.conjecture import providers

    name = "_get_local_constants"
    inside = vars(providers)
    kept, nothing = inside.get(name), inside.get("Constants")
    if kept is None or nothing is None:
        yield  # Another version, which has no such thing.
        return
    setattr(providers, name, nothing)
    try:
        yield
    finally:
        setattr(providers, name, kept)


def _silent(text: object) -> None:
    """Say nothing: the report tells it."""


class _Runs:
    """Counts the runs, and keeps the last one."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._asked = 0
        self.count = 0
        self.last: HostDoor | None = None

    def door(self) -> HostDoor:
        self._asked += self._of_last()
        self.count += 1
        self.last = HostDoor(self._table)
        return self.last

    def requests(self) -> int:
        return self._asked + self._of_last()

    def _of_last(self) -> int:
        return 0 if self.last is None else len(self.last.world.watch.asked)
