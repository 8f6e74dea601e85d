"""The engines behind one door: which of them searches a system is decided by its size, and can be said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import factorial, prod

from temper.verify.system.ir import Path, Searched, System

Progress = Callable[[int, int], None]
Questions = Iterable[int] | None

# A generated Python function is there at once; what compiles or builds first has to make up for that.
SMALL = 20_000
# Symmetry visits some hundred times fewer states a second than the kernel does: it is the faster one where a state has
# more kin than that, which is so from six members on.
KIN_MIN = 720
# Diagrams in their likeliest order are tried for about as long as the kernel takes to be made ready; where the kernel
# has gone so far without an end, with all orders, for about as long as it would take for ten times as many states.
GLANCE = (80_000, 0.2)
KERNEL_FIRST = 500_000
RACE = (250_000, 1.0)
DIAGRAM_RULES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a search goes before it says so."""

    states_max: int
    seconds: float


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
    made ready first. Where none gets to the end, what is returned is of the one that saw most.
    """
    began = time.monotonic()
    asked = None if questions is None else tuple(questions)
    if engine is not None:
        found = ENGINES[engine](system, bounds, asked, progress)
        assert found is not None, f"the engine `{engine}` can't search this system"
        return found
    best = _python(system, Bounds(min(SMALL, bounds.states_max), bounds.seconds), asked, progress)
    if best.stopped is None or bounds.states_max <= SMALL:
        return best
    for applies, run in _PLAN:
        left = Bounds(bounds.states_max, bounds.seconds - (time.monotonic() - began))
        if left.seconds > 0 and applies(system):
            found = run(system, left, asked, progress)
            if found is not None and found.stopped is None:
                return found
            if found is not None and found.states > best.states:
                best = found
    return best


def cross_check(system: System, bounds: Bounds, *, questions: Questions = None) -> tuple[str, ...]:
    """Return in what the engines that get to the end differ: in nothing, if none of them is wrong."""
    asked = None if questions is None else tuple(questions)
    found = {name: run(system, bounds, asked, None) for name, run in ENGINES.items()}
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


def _python(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched:
    from temper.verify.system.python import search as run

    return run(system, states_max=bounds.states_max, seconds=bounds.seconds, questions=questions, progress=progress)


def _kernel(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched | None:
    from temper.verify.system.wasm import search as run
    from temper.verify.system.wasm_text import TooWide

    try:
        return run(system, states_max=bounds.states_max, seconds=bounds.seconds, questions=questions, progress=progress)
    except TooWide:
        return None


def _symmetry(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched | None:
    from temper.verify.system.symmetry import interchangeable
    from temper.verify.system.symmetry import search as run

    orbits = interchangeable(system, questions)
    if not orbits:
        return None
    return run(
        system,
        states_max=bounds.states_max,
        seconds=bounds.seconds,
        questions=questions,
        progress=progress,
        orbits=orbits,
    )


def _diagrams(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched | None:
    from temper.verify.system.bdd import search as run

    found = run(system, states_max=bounds.states_max, seconds=bounds.seconds, questions=questions, progress=progress)
    return found if found.stopped is None else None


def _glanced(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched | None:
    return _bounded_diagrams(system, bounds, questions, GLANCE, orders_max=1)


def _raced(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched | None:
    return _bounded_diagrams(system, bounds, questions, RACE)


def _bounded_diagrams(
    system: System, bounds: Bounds, questions: Questions, most: tuple[int, float], orders_max: int | None = None
) -> Searched | None:
    from temper.verify.system.bdd import search as run

    nodes, seconds = most
    found = run(
        system,
        states_max=bounds.states_max,
        seconds=min(seconds, bounds.seconds),
        questions=questions,
        nodes_max=nodes,
        orders_max=orders_max,
    )
    return found if found.stopped is None else None


def _kernel_first(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched | None:
    return _kernel(system, Bounds(min(KERNEL_FIRST, bounds.states_max), bounds.seconds), questions, progress)


def _tried_symmetry(system: System, bounds: Bounds, questions: Questions, progress: Progress | None) -> Searched | None:
    # Where most members look alike anyway a state has few kin: then there has to be time left for the others.
    return _symmetry(system, Bounds(bounds.states_max, bounds.seconds / 4), questions, progress)


ENGINES: dict[str, Callable[[System, Bounds, Questions, Progress | None], Searched | None]] = {
    "python": _python,
    "wasm": _kernel,
    "symmetry": _symmetry,
    "bdd": _diagrams,
}


def _always(system: System) -> bool:
    return True


def _many_kin(system: System) -> bool:
    return prod(factorial(len(orbit.members)) for orbit in system.orbits) >= KIN_MIN


def _few_rules(system: System) -> bool:
    return len(system.rules) <= DIAGRAM_RULES_MAX


def _too_wide(system: System) -> bool:
    from temper.verify.system.wasm import fits

    return not fits(system)


# Once a space is known not to be small: what is asked one after another, until one gets to the end.
_PLAN: tuple[
    tuple[Callable[[System], bool], Callable[[System, Bounds, Questions, Progress | None], Searched | None]], ...
] = (
    (_few_rules, _glanced),
    (_always, _kernel_first),
    (_many_kin, _tried_symmetry),
    (_few_rules, _raced),
    (_always, _kernel),
    (_always, _symmetry),
    (_always, _diagrams),
    (_too_wide, _python),
)
