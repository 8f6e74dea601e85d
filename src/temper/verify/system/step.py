"""What a system's expressions and rules mean: plain evaluation, to which every engine is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from temper.verify.system.codes import conjuncts
from temper.verify.system.ir import Code, Path, Rule, State, System

COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
NUMBERS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "min": min,
    "max": max,
    "bits_and": lambda a, b: a & b,
    "bits_or": lambda a, b: a | b,
    "bits_without": lambda a, b: a & ~b,
    "has": lambda a, b: a >> b & 1,
}


def evaluate(system: System, code: Code, state: State, after: State | None = None) -> int:
    """Return what a code is worth in a state; `after` is the state after the step, for those that read `next`."""
    name = code[0]
    match name:
        case "const":
            return int(code[1])
        case "var":
            return state[code[1]] + system.variables[code[1]].low
        case "next":
            assert after is not None, "`next` is read of a step alone"
            return after[code[1]] + system.variables[code[1]].low
        case "and":
            return int(all(evaluate(system, part, state, after) for part in code[1:]))
        case "or":
            return int(any(evaluate(system, part, state, after) for part in code[1:]))
        case "not":
            return int(not evaluate(system, code[1], state, after))
        case "ite":
            chosen = code[2] if evaluate(system, code[1], state, after) else code[3]
            return evaluate(system, chosen, state, after)
        case "neg":
            return -evaluate(system, code[1], state, after)
        case "bit":
            return 1 << evaluate(system, code[1], state, after)
        case "count":
            return evaluate(system, code[1], state, after).bit_count()
        case _:
            a, b = evaluate(system, code[1], state, after), evaluate(system, code[2], state, after)
            return int(COMPARE[name](a, b)) if name in COMPARE else NUMBERS[name](a, b)


def fault_of(system: System, rule: Rule, state: State) -> int | None:
    """Return the number of the first fault that a rule meets in a state where its guard holds."""
    return next((n for n, fault in enumerate(rule.faults) if evaluate(system, fault.condition, state)), None)


def taken(system: System, rule: Rule, state: State) -> State | None:
    """Return the state after a rule, `None` where it can't be taken: its guard does not hold, or it meets a fault."""
    if not evaluate(system, rule.guard, state) or fault_of(system, rule, state) is not None:
        return None
    after = list(state)
    for index, code in rule.updates:
        after[index] = evaluate(system, code, state) - system.variables[index].low
    for index, _ in rule.updates:
        assert 0 <= after[index] < system.variables[index].size, f"{rule.name}: {system.variables[index].name}"
    return tuple(after)


def successors(system: System) -> Callable[[State], Iterator[tuple[int, State]]]:
    """Return what gives every step from a state, as the number of its rule and the state after it."""

    def steps(state: State) -> Iterator[tuple[int, State]]:
        for number, rule in enumerate(system.rules):
            after = taken(system, rule, state)
            if after is not None:
                yield number, after

    return steps


class Between:
    """Which rule leads from a state to the next, for paths that are told after a search.

    Of the rules only those are tried that may be taken in the first state, by the first value that each asks for: of a
    thousand rules mostly one or two. A step that has been asked for is not looked for again.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._known: dict[tuple[State, State], int] = {}
        self._always: list[int] = []
        self._by_value: dict[int, dict[int, list[int]]] = {}

    def _sort(self) -> None:
        for number, rule in enumerate(self._system.rules):
            first = next((each for each in map(_value_asked, conjuncts(rule.guard)) if each is not None), None)
            if first is None:
                self._always.append(number)
            else:
                index, value = first
                code = value - self._system.variables[index].low
                self._by_value.setdefault(index, {}).setdefault(code, []).append(number)

    def __call__(self, before: State, after: State) -> int:
        """Return the number of the first rule that leads from one state to the other; there is one."""
        number = self._known.get((before, after))
        if number is None:
            number = self._known[before, after] = self._first(before, after)
        return number

    def _first(self, before: State, after: State) -> int:
        if len(self._known) == 0:
            self._sort()
        near = [self._always, *(by.get(before[index], []) for index, by in self._by_value.items())]
        for number in sorted(chain.from_iterable(near)):
            if taken(self._system, self._system.rules[number], before) == after:
                return number
        raise AssertionError("a state is reached by some rule")


class Ways:
    """The paths to states that a search has seen, where each has the one from which it was first reached.

    Paths to many things have most of their steps in common: which rule leads into a state is found once. All paths
    together have at most `STEPS_MAX` steps; past that there are no more, and `spent` says so.
    """

    # A path's step takes eight bytes and a tenth of a microsecond.
    STEPS_MAX = 5_000_000

    def __init__(self, system: System, parent: Callable[[int], int], state: Callable[[int], State]) -> None:
        self._system = system
        self._parent = parent
        self._state = state
        self._between = Between(system)
        self._into: dict[int, tuple[int, int]] = {}
        self._left = self.STEPS_MAX
        self.spent = False

    def to(self, at: int, rule: int | None = None, fault: int | None = None) -> Path | None:
        """Return the path to a state, and the rule taken (or met with a fault) there."""
        way: list[int] = [] if rule is None else [rule]
        while (into := self._into.get(at) or self._step_into(at))[0] >= 0:
            at = into[0]
            way.append(into[1])
            if len(way) > self._left:
                self.spent = True
                return None
        self._left -= len(way)
        return Path(self._system.initial.index(self._state(at)), tuple(reversed(way)), fault)

    def _step_into(self, at: int) -> tuple[int, int]:
        """Return from which state a state was reached, and by which rule; -1 where it is an initial one."""
        before = self._parent(at)
        rule = self._between(self._state(before), self._state(at)) if before >= 0 else -1
        self._into[at] = before, rule
        return before, rule


SPENT = f"stopped at {Ways.STEPS_MAX:,} steps of runs to what was found"


def _value_asked(code: Code) -> tuple[int, int] | None:
    """Return the variable and its value, if a condition asks for one."""
    match code:
        case ("==", ("var", int(index)), ("const", int(value))):
            return index, value
        case _:
            return None


def states_of(system: System, path: Path) -> list[State]:
    """Return the states along a path, from the initial one; a last rule that meets a fault adds none."""
    states = [system.initial[path.initial]]
    for position, number in enumerate(path.rules):
        if path.fault is not None and position == len(path.rules) - 1:
            break
        after = taken(system, system.rules[number], states[-1])
        assert after is not None, f"rule {number} can't be taken where the path takes it"
        states.append(after)
    return states
