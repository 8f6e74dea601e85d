"""The engines behind one door: which of them searches a system is decided by its size, and can be said."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from math import factorial, prod

from msgspec import Struct
from msgspec.structs import replace

from temper.verify.system.ir import Path, Searched, System
from temper.verify.system.python import Search

Progress = Callable[[int, int], None]
Questions = Iterable[int] | None

# A generated Python function is there at once; what compiles or builds first has to make up for that.
SMALL = 4_000
# As long as nobody has needed the kernel, its library has still to be loaded, which takes a tenth of a second.
SMALL_UNLOADED = 20_000
# Symmetry visits some hundred times fewer states a second than the kernel does: it is the faster one where a state has
# more kin than that, which is so from six members on.
KIN_MIN = 720
# Diagrams in their likeliest order are tried with nodes for a fifth of a second at the most, mostly less; where the
# kernel has gone so far without an end, with all orders, for about as long as it would take for ten times as many
# states. Seconds of work, not of the clock: a busy machine shall choose the engine that an idle one chooses.
GLANCE = (100_000, 0.2)
KERNEL_FIRST = 500_000
RACE = (250_000, 1.0)
DIAGRAM_RULES_MAX = 1_000
# What a node of a diagram takes, with what is remembered of it; and how many nodes are worth their time at the most.
NODE_BYTES = 400
NODES = 1_000_000


class Bounds(Struct, frozen=True):
    """How far a search goes before it says so.

    `states_max` and `memory_max` bound engines that visit states one by one. Diagrams visit none: whole sets of states,
    however many are in them, are bounded by their nodes; where they get to the end, all states are counted, and none
    was left out.
    """

    states_max: int
    seconds: float
    memory_max: int = 2 << 30


def search(
    system: System,
    bounds: Bounds,
    *,
    questions: Questions = None,
    engine: str | None = None,
    progress: Progress | None = None,
) -> Searched:
    """Return what is found in all states that can be reached, by the first engine that gets there (or the one named).

    Small spaces are searched at once by generated Python; only what it does not finish goes to an engine that has to be
    made ready first. Where none gets to the end, what is returned is of the one that saw most. `progress` is told how
    many states and steps there are so far, at least every tenth of a second or so; where it raises, the search ends.
    """
    asked = None if questions is None else tuple(questions)
    if engine is not None:
        found = ENGINES[engine](_Task(system, bounds, asked, progress, None))
        assert found is not None, f"the engine `{engine}` can't search this system"
        return found
    began = time.monotonic()
    first = Search(system, asked)
    best = first.go_on(min(SMALL, bounds.states_max), bounds.seconds, memory_max=bounds.memory_max, progress=progress)
    if best.stopped is None or bounds.states_max <= SMALL:
        return best
    task = _Task(system, bounds, asked, progress, best, first)
    for applies, run in _PLAN:
        task.bounds = replace(bounds, seconds=bounds.seconds - (time.monotonic() - began))
        if task.bounds.seconds > 0 and applies(task):
            found = run(task)
            if found is not None and found.stopped is None:
                return found
            if found is not None and found.states > best.states:
                best = found
    return best


class _Task(Struct):
    """What is to be searched. `known` is what has been found in the nearest states, by `first`, which can go on."""

    system: System
    bounds: Bounds
    asked: tuple[int, ...] | None
    progress: Progress | None
    known: Searched | None
    first: Search | None = None
    kernel: bool = True
    """Whether the kernel can search it, as far as is known."""


def cross_check(system: System, bounds: Bounds, *, questions: Questions = None) -> tuple[str, ...]:
    """Return in what the engines that get to the end differ: in nothing, if none of them is wrong."""
    asked = None if questions is None else tuple(questions)
    found = {name: run(_Task(system, bounds, asked, None, None)) for name, run in ENGINES.items()}
    told = {name: _told(each) for name, each in found.items() if each is not None and each.stopped is None}
    if not told:
        return ()
    (first, theirs), *others = told.items()
    return tuple(
        f"{what}: {theirs[what]} by {first}, {ours[what]} by {name}"
        for name, ours in others
        for what in theirs
        if ours[what] != theirs[what]
    )


def _told(found: Searched) -> dict[str, object]:
    """What all engines say alike: a shortest run may be another, but not another in length."""
    return {
        "states": found.states,
        "transitions": found.transitions,
        "questions": {number: len(path.rules) for number, path in sorted(found.found.items())},
        "faults": {key: len(path.rules) for key, path in sorted(found.faults.items())},
        "deadlocks": found.deadlocks,
        "nearest deadlock": _length(found.stuck),
    }


def _length(path: Path | None) -> int | None:
    return None if path is None else len(path.rules)


# --- the engines: each returns `None` where it can't search a system, or can say nothing of what it saw ---


def _python(task: _Task) -> Searched:
    search = task.first or Search(task.system, task.asked)
    bounds = task.bounds
    # What has been spent on the others does not count again: a search counts its seconds from its beginning.
    seconds = bounds.seconds + time.monotonic() - search.began
    return search.go_on(bounds.states_max, seconds, memory_max=bounds.memory_max, progress=task.progress)


def _python_on(task: _Task) -> Searched:
    return _python(replace(task, bounds=replace(task.bounds, states_max=min(SMALL_UNLOADED, task.bounds.states_max))))


def _kernel(task: _Task) -> Searched | None:
    from temper.verify.system.wasm import NoKernel
    from temper.verify.system.wasm import search as run
    from temper.verify.system.wasm_text import TooWide

    try:
        return run(
            task.system,
            states_max=task.bounds.states_max,
            seconds=task.bounds.seconds,
            questions=task.asked,
            memory_max=task.bounds.memory_max,
            progress=task.progress,
        )
    except (TooWide, NoKernel):
        # Then nobody else is faster than generated Python, which comes last.
        task.kernel = False
        return None


def _kernel_first(task: _Task) -> Searched | None:
    return _kernel(replace(task, bounds=replace(task.bounds, states_max=min(KERNEL_FIRST, task.bounds.states_max))))


def _symmetry(task: _Task) -> Searched | None:
    from temper.verify.system.symmetry import interchangeable
    from temper.verify.system.symmetry import search as run

    orbits = interchangeable(task.system, task.asked)
    if not orbits:
        return None
    return run(
        task.system,
        states_max=task.bounds.states_max,
        seconds=task.bounds.seconds,
        questions=task.asked,
        progress=task.progress,
        orbits=orbits,
    )


def _tried_symmetry(task: _Task) -> Searched | None:
    # Where most members look alike anyway a state has few kin: then there has to be time left for the others.
    return _symmetry(replace(task, bounds=replace(task.bounds, seconds=task.bounds.seconds / 4)))


def _diagrams(task: _Task) -> Searched | None:
    return _bounded_diagrams(task, NODES)


def _glanced(task: _Task) -> Searched | None:
    return _bounded_diagrams(task, *GLANCE, orders_max=1)


def _raced(task: _Task) -> Searched | None:
    return _bounded_diagrams(task, *RACE)


def _bounded_diagrams(
    task: _Task, nodes_max: int, seconds: float | None = None, orders_max: int | None = None
) -> Searched | None:
    from temper.verify.system.bdd import search as run

    left = task.bounds.seconds
    found = run(
        task.system,
        states_max=task.bounds.states_max,
        seconds=left,
        cpu_seconds=seconds,
        questions=task.asked,
        nodes_max=min(nodes_max, task.bounds.memory_max // NODE_BYTES),
        orders_max=orders_max,
        known=task.known,
        progress=task.progress,
    )
    return found if found.stopped is None else None


ENGINES: dict[str, Callable[[_Task], Searched | None]] = {
    "python": _python,
    "wasm": _kernel,
    "symmetry": _symmetry,
    "bdd": _diagrams,
}


def _always(task: _Task) -> bool:
    return True


def _many_kin(task: _Task) -> bool:
    return prod(factorial(len(orbit.members)) for orbit in task.system.orbits) >= KIN_MIN


def _few_rules(task: _Task) -> bool:
    return len(task.system.rules) <= DIAGRAM_RULES_MAX


def _unloaded(task: _Task) -> bool:
    return "wasmtime" not in sys.modules


def _without_kernel(task: _Task) -> bool:
    return not task.kernel


# Once a space is known not to be small: what is asked one after another, until one gets to the end.
_PLAN: tuple[tuple[Callable[[_Task], bool], Callable[[_Task], Searched | None]], ...] = (
    (_few_rules, _glanced),
    (_unloaded, _python_on),
    (_always, _kernel_first),
    (_many_kin, _tried_symmetry),
    (_few_rules, _raced),
    (_always, _kernel),
    (_always, _symmetry),
    (_always, _diagrams),
    (_without_kernel, _python),
)
