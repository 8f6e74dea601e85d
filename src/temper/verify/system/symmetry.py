"""Engine 1: one state for all that differ in which member is which, where members are interchangeable.

It walks over real states with engine 0's generated function, and takes the first that it meets of each form: a run to
what is found is a run of the whole system, and a shortest one, since an exchange of members changes no distance. An
orbit is used only where the rules and the initial states stay as they are. All states are counted, each form by how
many states have it. What leads to what is never asked here: fairness tells members apart.

A question that tells members apart (is the first one there?) is asked in all forms that exchanges make of it (is any
one there?). If an exchange `g` leads from a state to the one that is visited in its stead, what is asked of the first
is worth what its form by `g` is worth there, at the same distance; and the way to where a form holds becomes, by the
exchange back, a way to where the question itself does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from msgspec.structs import replace

from temper.verify.system.ir import Orbit, Path, Searched, State, System
from temper.verify.system.python import Found, Packing, compiled
from temper.verify.system.step import Between, states_of
from temper.verify.system.symmetry_check import Swap, forms, verify_orbits
from temper.verify.system.symmetry_forms import exchanged, form

Progress = Callable[[int, int], None]

ENGINE = "symmetry"
# Between two looks at the clock. A state takes some tens of microseconds.
_CHUNK = 256

__all__ = ["ENGINE", "interchangeable", "search", "verify_orbits"]


def interchangeable(system: System, questions: Iterable[int] | None = None) -> tuple[Orbit, ...]:
    """Return the orbits whose members can be exchanged without a change of the rules.

    `questions` are the numbers of those that are asked: of them none may have too many forms.
    """
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
        self.asked: list[int] = []
        # What is asked, in all its forms: which question it is, and the exchanges that make the form of it.
        self.forms: list[tuple[int, tuple[Swap, ...]]] = [(n, ()) for n in range(len(system.questions))]
        questions = list(system.questions)
        for number in asked:
            question = system.questions[number]
            self.asked.append(number)
            for bad, way in forms(system, orbits, question.bad)[1:]:
                self.asked.append(len(questions))
                questions.append(replace(question, bad=bad))
                self.forms.append((number, way))
        self.system = system = replace(system, questions=tuple(questions))
        self.between = Between(system)
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
            self._answers(found.questions),
            {key: self._path(state, rule, fault) for key, (state, rule, fault) in found.faults.items()},
            stopped,
            deadlocks,
            None if found.stuck is None else self._path(found.stuck, None),
            depth,
            seen.memory_bytes,
            time.monotonic() - self.began,
            len(seen),
        )

    def _answers(self, found: dict[int, tuple[int, int | None]]) -> dict[int, Path]:
        """Return the shortest ways to what was asked, from those to its forms."""
        best: dict[int, tuple[Path, tuple[Swap, ...]]] = {}
        for asked, where in sorted(found.items()):
            number, way = self.forms[asked]
            path = self._path(*where)
            if number not in best or len(path.rules) < len(best[number][0].rules):
                best[number] = path, way
        return {number: self._back(*each) for number, each in sorted(best.items())}

    def _back(self, path: Path, way: tuple[Swap, ...]) -> Path:
        """Return the path that these exchanges make one of."""
        if not way:
            return path
        states = states_of(self.system, path)
        for orbit, permutation in reversed(way):
            # An exchange of two is undone by itself.
            states = [exchanged(orbit, permutation, state) for state in states]
        return self._along(states)

    def _along(self, states: Sequence[State]) -> Path:
        rules = tuple(self.between(a, b) for a, b in pairwise(states))
        return Path(self.system.initial.index(states[0]), rules)

    def _path(self, state: int, rule: int | None, fault: int | None = None) -> Path:
        """Return the way to a state, and the rule taken (or met with a fault) there."""
        states = [state]
        while (before := self.seen[states[-1]]) >= 0:
            states.append(before)
        path = self._along([self.packing.unpacked(each) for each in reversed(states)])
        return Path(path.initial, (*path.rules, *(() if rule is None else (rule,))), fault)


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
