"""Engine 2: sets of states as binary decision diagrams, for spaces that are like products of their parts.

What is reached is worked out for whole sets at once, rule after rule, until nothing is new: this takes milliseconds
for billions of states where the diagrams stay small, and is given up at a bound of nodes or seconds where they don't.
Questions, faults and deadlocks are asked of the finished set; where there is something to show, the sets are built
again by distance, as far as it takes, and a run is followed backwards through them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from temper.verify.system.bdd_codes import Encoding
from temper.verify.system.bdd_nodes import Exhausted
from temper.verify.system.bdd_order import Order, orders
from temper.verify.system.bdd_split import split
from temper.verify.system.codes import replaced, variables
from temper.verify.system.ir import Code, Path, Searched, State, System
from temper.verify.system.step import Between

Progress = Callable[[int, int], None]

ENGINE = "decision diagrams"
# Orders race: each gets so many nodes, then the next so many times as many.
_FIRST_NODES = 20_000
_MORE = 8
# Where the rules alone take more than this share of the nodes, sets of states would not keep to the rest.
_RELATIONS_SHARE = 8
# Relations of rules that write the same variables are put together while the whole is no larger than its parts.
_TOGETHER_MAX = 400


def search(
    system: System,
    *,
    states_max: int,
    seconds: float,
    questions: Iterable[int] | None = None,
    nodes_max: int = 1_000_000,
    orders_max: int | None = None,
    cpu_seconds: float | None = None,
    known: Searched | None = None,
    progress: Progress | None = None,
) -> Searched:
    """Return what is found in all states that can be reached, each at its shortest.

    States cost nothing here, nodes do: it stops at `nodes_max` of them (some hundreds of bytes each), or after
    `seconds`, and then knows nothing; `states_max` stops nothing. Of the orders that are worth a try the likeliest
    `orders_max` race, all if left out; `cpu_seconds` bound the work, whoever else is busy. What is `known` of the
    nearest states is taken as it is, and not looked for.
    """
    began = time.monotonic()
    system = split(system)
    asked = range(len(system.questions)) if questions is None else sorted(set(questions))
    # A diagram is as deep as a state has bits, and so is the recursion over it.
    deep = 2_000 + 8 * sum(max(each.size - 1, 0).bit_length() for each in system.variables)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, deep + sys.getrecursionlimit()))
    try:
        bounds = _Bounds(began, seconds, nodes_max, progress)
        if cpu_seconds is not None:
            bounds.worked_until = time.thread_time() + cpu_seconds
        if known is not None:
            bounds.seen = (known.states, known.transitions)
        return _raced(system, orders(system)[:orders_max], asked, bounds, known)
    finally:
        sys.setrecursionlimit(before)


def _raced(
    system: System, tried: Sequence[Order], asked: Sequence[int], bounds: _Bounds, known: Searched | None
) -> Searched:
    nodes = min(_FIRST_NODES, bounds.nodes_max) if len(tried) > 1 else bounds.nodes_max
    while True:
        why = ""
        for order in tried:
            try:
                return _Search(system, order, asked, replace(bounds, nodes_max=nodes), known).run()
            except Exhausted as found:
                why = found.why
        late = time.monotonic() - bounds.began > bounds.seconds
        if late or nodes == bounds.nodes_max:
            return Searched(ENGINE, 0, 0, {}, {}, why, seconds=time.monotonic() - bounds.began)
        nodes = min(nodes * _MORE, bounds.nodes_max)


class _Bounds(Struct):
    began: float
    seconds: float
    nodes_max: int
    progress: Progress | None
    share: int = 1
    """What part of the nodes may be taken now."""
    worked_until: float | None = None
    """A bound of work, by the clock of this thread, which stands still while others have the machine."""
    seen: tuple[int, int] = (0, 0)
    """States and steps that were seen one by one before: of sets that are being made nothing can be counted."""

    def look(self, nodes: int) -> None:
        """Raise where a bound is reached."""
        if nodes * self.share > self.nodes_max:
            raise Exhausted(f"stopped at {self.nodes_max:,} nodes of diagrams")
        if self.worked_until is not None and time.thread_time() > self.worked_until:
            raise Exhausted("stopped after as much work as diagrams were given")
        if time.monotonic() - self.began > self.seconds:
            raise Exhausted(f"stopped after {self.seconds:g} s")
        if self.progress is not None:
            self.progress(*self.seen)


@dataclass(slots=True)
class _Together:
    """The steps of some rules that write the same variables."""

    changed: tuple[int, ...]
    relation: int
    image: Callable[[int], int] = field(init=False)


class _Sought(Struct):
    """What is known to be somewhere, and the states where it is."""

    where: int
    show: Callable[[Path, State], None]


class _Search:
    def __init__(
        self, system: System, order: Order, asked: Sequence[int], bounds: _Bounds, known: Searched | None
    ) -> None:
        self.system = system
        self.between = Between(system)
        self.found: dict[int, Path] = {} if known is None else dict(known.found)
        self.faults: dict[tuple[str, str], Path] = {} if known is None else dict(known.faults)
        self.stuck: Path | None = None if known is None else known.stuck
        self.asked = [number for number in asked if number not in self.found]
        self.bounds = bounds
        self.encoding = Encoding(system, order, bounds.look)
        self.diagrams = self.encoding.diagrams
        self.enabled: list[int] = []
        """For each rule the states in which it can be taken."""
        self.met: dict[tuple[int, int], int] = {}
        """For each rule and number of a fault the states in which the rule meets it."""
        bounds.share = _RELATIONS_SHARE
        self.together = self._together()
        bounds.share = 1

    def run(self) -> Searched:
        states = self._reached()
        sought = list(self._sought(states))
        deadlocks = states
        for enabled in self.enabled:
            if not deadlocks:
                break
            deadlocks = self.diagrams.without(deadlocks, enabled)
        if deadlocks and self.stuck is None:
            sought.append(_Sought(deadlocks, self._show_stuck))
        self._shown(sought)
        transitions = sum(
            rule.weight * self.diagrams.count(self.diagrams.both(states, enabled))
            for rule, enabled in zip(self.system.rules, self.enabled, strict=True)
            if enabled
        )
        return Searched(
            ENGINE,
            self.diagrams.count(states),
            transitions,
            dict(sorted(self.found.items())),
            self.faults,
            None,
            self.diagrams.count(deadlocks),
            self.stuck,
            None,
            self.diagrams.memory_bytes,
            time.monotonic() - self.bounds.began,
        )

    # --- what is reached ---

    def _together(self) -> list[_Together]:
        """Return the steps of all rules, and note where each can be taken, and where it meets a fault."""
        diagrams, encoding = self.diagrams, self.encoding
        groups: dict[tuple[int, ...], list[_Together]] = {}
        for number, rule in enumerate(self.system.rules):
            guard = encoding.condition(rule.guard)
            for position, fault in enumerate(rule.faults):
                if met := diagrams.both(guard, encoding.condition(fault.condition)):
                    self.met[number, position] = met
                    guard = diagrams.without(guard, met)
            self.enabled.append(guard)
            changed, relation = encoding.steps(rule, guard)
            if not changed or not relation:
                continue
            mine = groups.setdefault(changed, [])
            if mine and diagrams.size(mine[-1].relation) < _TOGETHER_MAX:
                union = diagrams.either(mine[-1].relation, relation)
                if diagrams.size(union) <= diagrams.size(mine[-1].relation) + diagrams.size(relation):
                    mine[-1].relation = union
                    continue
            mine.append(_Together(changed, relation))
        found = [each for group in groups.values() for each in group]
        for each in found:
            each.image = diagrams.image(each.relation, self._written(each))
        # From the last level up: what is deep settles before what is above it moves on.
        return sorted(found, key=lambda each: -min(self._written(each), default=0))

    def _written(self, each: _Together) -> list[int]:
        return [at for index in each.changed for at in self.encoding.bits[index]]

    def _reached(self) -> int:
        """Return all states that can be reached: each relation until nothing is new, and again from the deepest then.

        Where chains of rules reach through many levels this is five times as fast as round after round.
        """
        states, either, together = self.encoding.states(self.system.initial), self.diagrams.either, self.together
        at = 0
        while at < len(together):
            image, before, last = together[at].image, states, -1
            while states != last:
                last = states
                states = either(states, image(states))
            at = at + 1 if states == before else 0
        return states

    # --- what is found ---

    def _sought(self, states: int) -> Iterator[_Sought]:
        """What is asked for and is somewhere among these states."""
        both, encoding = self.diagrams.both, self.encoding
        keys: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        for (number, position), met in self.met.items():
            fault = self.system.rules[number].faults[position]
            if (fault.site, fault.why) in self.faults:
                continue
            if where := both(states, met):
                keys.setdefault((fault.site, fault.why), []).append((number, position, where))
        for key, places in keys.items():
            yield _Sought(self.diagrams.union(where for _, _, where in places), self._shows_fault(key))
        for number in self.asked:
            question = self.system.questions[number]
            if not question.step:
                if where := both(states, encoding.condition(question.bad)):
                    yield _Sought(where, self._shows_state(number))
                continue
            steps = []
            for rule_number, enabled in enumerate(self.enabled):
                if bad := both(enabled, encoding.condition(self._after(question.bad, rule_number))):
                    steps.append(both(states, bad))
            if where := self.diagrams.union(steps):
                yield _Sought(where, self._shows_step(number))

    def _after(self, bad: Code, number: int) -> Code:
        """Return what a question of a step asks of the state before a rule."""
        updates = dict(self.system.rules[number].updates)
        return replaced(bad, {("next", i): updates.get(i, ("var", i)) for i in variables(bad)})

    def _shows_state(self, number: int) -> Callable[[Path, State], None]:
        def show(path: Path, state: State) -> None:
            self.found[number] = path

        return show

    def _shows_step(self, number: int) -> Callable[[Path, State], None]:
        def show(path: Path, state: State) -> None:
            bad = self.system.questions[number].bad
            rule = next(
                rule
                for rule in range(len(self.system.rules))
                if self._holds(self.enabled[rule], state)
                and self._holds(self.encoding.condition(self._after(bad, rule)), state)
            )
            self.found[number] = Path(path.initial, (*path.rules, rule))

        return show

    def _shows_fault(self, key: tuple[str, str]) -> Callable[[Path, State], None]:
        def show(path: Path, state: State) -> None:
            for (rule, position), met in self.met.items():
                fault = self.system.rules[rule].faults[position]
                if (fault.site, fault.why) == key and self._holds(met, state):
                    self.faults[key] = Path(path.initial, (*path.rules, rule), position)
                    return

        return show

    def _show_stuck(self, path: Path, state: State) -> None:
        self.stuck = path

    def _holds(self, states: int, state: State) -> bool:
        return self.diagrams.both(states, self.encoding.states([state])) != 0

    # --- runs ---

    def _shown(self, sought: list[_Sought]) -> None:
        """Build what is reached in so many steps until everything that is sought has been seen; show a run to each."""
        diagrams = self.diagrams
        reached = self.encoding.states(self.system.initial)
        within: list[int] = []
        while sought:
            within.append(reached)
            later = []
            for each in sought:
                if here := diagrams.both(reached, each.where):
                    state = self.encoding.one_of(here)
                    each.show(self._path(within, state), state)
                else:
                    later.append(each)
            sought = later
            if sought:
                before = reached
                for group in self.together:
                    reached = diagrams.either(reached, group.image(before))
                assert reached != before, "what is among the states that are reached has a distance"

    def _path(self, within: list[int], state: State) -> Path:
        """Return a run to a state that is in the last of these sets alone: each is what so many steps reach."""
        way = [state]
        for reached in reversed(within[:-1]):
            way.append(self._before(reached, way[-1]))
        way.reverse()
        rules = tuple(self.between(a, b) for a, b in pairwise(way))
        return Path(self.system.initial.index(way[0]), rules)

    def _before(self, reached: int, state: State) -> State:
        there = self.encoding.states([state])
        for each in self.together:
            before = self.diagrams.preimage(each.relation, self._written(each))(there)
            if here := self.diagrams.both(before, reached):
                return self.encoding.one_of(here)
        raise AssertionError("a state is reached from one that is a step nearer")
