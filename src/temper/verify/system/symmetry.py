"""Engine 1: one state for all that differ in which member is which, where members are interchangeable.

It walks over real states with engine 0's generated function, and takes the first that it meets of each form: a run to
what is found is a run of the whole system, and a shortest one, since an exchange of members changes no distance. An
orbit is used only where the rules, the initial states and what is asked stay as they are. All states are counted, each
form by how many states have it. What leads to what is never asked here: fairness tells members apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from temper.verify.system.ir import Orbit, Path, Searched, System
from temper.verify.system.python import Found, Packing, compiled
from temper.verify.system.step import rule_between
from temper.verify.system.symmetry_check import verify_orbits
from temper.verify.system.symmetry_forms import form

Progress = Callable[[int, int], None]

ENGINE = "symmetry"
# Between two looks at the clock. A state takes some tens of microseconds.
_CHUNK = 256

__all__ = ["ENGINE", "interchangeable", "search", "verify_orbits"]


def interchangeable(system: System, questions: Iterable[int] | None = None) -> tuple[Orbit, ...]:
    """Return the orbits whose members can be exchanged without a change of the rules and of the answers."""
    refused = verify_orbits(system, questions)
    return tuple(orbit for number, orbit in enumerate(system.orbits) if number not in refused)


def search(
    system: System,
    *,
    states_max: int,
    seconds: float,
    questions: Iterable[int] | None = None,
    progress: Progress | None = None,
    orbits: Sequence[Orbit] | None = None,
) -> Searched:
    """Return what is found in all states that can be reached, nearest first.

    `states_max` bounds the states that are visited, one for each form; those that are counted may be far more. `orbits`
    are the ones to use if that is known (from `interchangeable`); with none at all it is a slow engine 0.
    """
    began = time.monotonic()
    asked = sorted(set(range(len(system.questions)) if questions is None else questions))
    used = interchangeable(system, asked) if orbits is None else orbits
    return _Search(system, used, asked, began).run(states_max, seconds, progress)


class _Search:
    def __init__(self, system: System, orbits: Sequence[Orbit], asked: Sequence[int], began: float) -> None:
        self.system = system
        self.asked = asked
        self.began = began
        self.packing = Packing(system)
        self.seen = _Forms(_packed_form(system, self.packing, orbits))

    def run(self, states_max: int, seconds: float, progress: Progress | None) -> Searched:
        seen, found = self.seen, Found()
        expand = compiled(self.system, self.packing, self.asked, frozenset())
        frontier: list[int] = []
        for state in map(self.packing.packed, self.system.initial):
            if state not in seen:
                seen[state] = -1
                frontier.append(state)
        transitions, deadlocks, depth, stopped = 0, 0, 0, None
        while frontier and stopped is None:
            following: list[int] = []
            for position, state in enumerate(frontier):
                before = found.deadlocks
                kin = seen.kin[state]
                transitions += kin * expand((state,), seen, following, found)
                deadlocks += kin * (found.deadlocks - before)
                if position % _CHUNK == 0:
                    if len(seen) > states_max:
                        stopped = f"stopped at {states_max:,} states"
                    elif time.monotonic() - self.began > seconds:
                        stopped = f"stopped after {seconds:g} s"
                    if stopped is not None:
                        break
                    if progress is not None:
                        progress(sum(seen.kin.values()), transitions)
            frontier = following
            depth += bool(following)
        return Searched(
            ENGINE,
            sum(seen.kin.values()),
            transitions,
            {number: self._path(*where) for number, where in sorted(found.questions.items())},
            {key: self._path(state, rule, fault) for key, (state, rule, fault) in found.faults.items()},
            stopped,
            deadlocks,
            None if found.stuck is None else self._path(found.stuck, None),
            depth,
            seen.memory_bytes,
            time.monotonic() - self.began,
            len(seen),
        )

    def _path(self, state: int, rule: int | None, fault: int | None = None) -> Path:
        """Return the way to a state, and the rule taken (or met with a fault) there."""
        states = [state]
        while (before := self.seen[states[-1]]) >= 0:
            states.append(before)
        way = [self.packing.unpacked(each) for each in reversed(states)]
        rules = [rule_between(self.system, a, b) for a, b in pairwise(way)]
        return Path(self.system.initial.index(way[0]), (*rules, *(() if rule is None else (rule,))), fault)


class _Forms(dict[int, int]):
    """Every state that is visited, with the one it was first reached from. A state is in it if one of its form is."""

    def __init__(self, form: Callable[[int], tuple[int, int]]) -> None:
        super().__init__()
        self.form = form
        self.forms: set[int] = set()
        self.known: set[int] = set()
        self.kin: dict[int, int] = {}
        """For each state that is visited how many have its form."""

    def __contains__(self, state: object) -> bool:
        assert isinstance(state, int), "a packed state"
        if state in self.known:
            return True
        self.known.add(state)
        form, kin = self.form(state)
        if form in self.forms:
            return True
        self.forms.add(form)
        self.kin[state] = kin
        return False

    @property
    def memory_bytes(self) -> int:
        parts = (self.forms, self.known, self.kin)
        return sum(map(sys.getsizeof, parts)) + sys.getsizeof(self) + 36 * (len(self.forms) + len(self.known))


def _packed_form(system: System, packing: Packing, orbits: Sequence[Orbit]) -> Callable[[int], tuple[int, int]]:
    of = form(system, orbits)

    def found(state: int) -> tuple[int, int]:
        least, kin = of(packing.unpacked(state))
        return packing.packed(least), kin

    return found
