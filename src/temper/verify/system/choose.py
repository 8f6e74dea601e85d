"""The engines behind one door: which of them searches a system is decided by its size, and can be said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from temper.verify.system.ir import Searched, System

Progress = Callable[[int, int], None]

# A generated Python function is there at once; what compiles or builds first has to make up for that.
SMALL = 20_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a search goes before it says so."""

    states_max: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine: whether it can search a system that may be so large, and how.

    `run` returns `None` where it has to give up; then the next one is asked.
    """

    name: str
    applies: Callable[[System, int], bool]
    run: Callable[[System, Bounds, Iterable[int] | None, Progress | None], Searched | None]


def search(
    system: System,
    bounds: Bounds,
    *,
    questions: Iterable[int] | None = None,
    engine: str | None = None,
    progress: Progress | None = None,
) -> Searched:
    """Return what is found in all states that can be reached, by the first engine that applies (or the one named).

    Small spaces are searched at once by generated Python; only what it does not finish goes to an engine that has to be
    made ready first.
    """
    began = time.monotonic()
    if engine is not None:
        found = next(each for each in ENGINES if each.name == engine).run(system, bounds, questions, progress)
        assert found is not None, f"the engine `{engine}` can't search this system"
        return found
    first = _python(system, Bounds(min(SMALL, bounds.states_max), bounds.seconds), questions, progress)
    if first.stopped is None or bounds.states_max <= SMALL:
        return first
    for each in ENGINES:
        left = Bounds(bounds.states_max, bounds.seconds - (time.monotonic() - began))
        if left.seconds > 0 and each.applies(system, first.states):
            found = each.run(system, left, questions, progress)
            if found is not None:
                return found
    return first


def _always(system: System, states: int) -> bool:
    return True


def _python(system: System, bounds: Bounds, questions: Iterable[int] | None, progress: Progress | None) -> Searched:
    from temper.verify.system.python import search as run

    return run(system, states_max=bounds.states_max, seconds=bounds.seconds, questions=questions, progress=progress)


def _fits_kernel(system: System, states: int) -> bool:
    from temper.verify.system.wasm import fits

    return fits(system)


def _kernel(
    system: System, bounds: Bounds, questions: Iterable[int] | None, progress: Progress | None
) -> Searched | None:
    from temper.verify.system.wasm import search as run

    return run(system, states_max=bounds.states_max, seconds=bounds.seconds, questions=questions, progress=progress)


def _diagrams(
    system: System, bounds: Bounds, questions: Iterable[int] | None, progress: Progress | None
) -> Searched | None:
    from temper.verify.system.bdd import search as run

    found = run(system, states_max=bounds.states_max, seconds=bounds.seconds, questions=questions, progress=progress)
    return found if found.stopped is None else None


ENGINES: tuple[Engine, ...] = (
    Engine("wasm", _fits_kernel, _kernel),
    Engine("python", _always, _python),
    # By name alone until it is known beforehand where it is the faster one.
    Engine("bdd", lambda system, states: False, _diagrams),
)
"""In the order in which they are asked once a space is known not to be small."""
