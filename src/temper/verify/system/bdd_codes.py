"""A system's expressions and rules as decision diagrams over an order of its variables.

A condition is the set of states in which it holds. A number is one set for each value that it can have; operations go
through the pairs of values, so that what is large there (sums over long ranges) reaches a bound and is left to another
engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from temper.verify.system.bdd_nodes import Diagrams, Exhausted
from temper.verify.system.codes import TRUTHS, variables
from temper.verify.system.ir import Code, Rule, System
from temper.verify.system.step import COMPARE, NUMBERS, evaluate

# A variable with more values than this is not listed value by value.
_VALUES_MAX = 1 << 14
# An operation over more pairs of values than this is left to another engine.
_PAIRS_MAX = 1 << 17

Values = dict[int, int]
"""For each value a set of states; a state in none of them is one where the number is not worked out."""


class Encoding:
    """Where the variables' bits stand, and what conditions and rules are there."""

    def __init__(self, system: System, order: Sequence[int], look: Callable[[int], None]) -> None:
        self.system = system
        widths = [max(each.size - 1, 0).bit_length() for each in system.variables]
        self.bits: list[tuple[int, ...]] = [()] * len(widths)
        """The bits of each variable, from the highest of its code to the lowest."""
        at = 0
        for index in order:
            self.bits[index] = tuple(range(at, at + widths[index]))
            at += widths[index]
        self.diagrams = Diagrams(at, look)
        self._values: dict[Code, Values] = {}
        self._conditions: dict[Code, int] = {}
        self._zero = (0,) * len(widths)

    # --- states ---

    def states(self, states: Iterable[Sequence[int]]) -> int:
        """Return the set of some states."""
        return self.diagrams.union(
            self.diagrams.cube(literal for index, code in enumerate(state) for literal in self._literals(index, code))
            for state in states
        )

    def one_of(self, states: int) -> tuple[int, ...]:
        """Return a state in a set that is not empty."""
        bits = self.diagrams.one_of(states)
        return tuple(int("".join(str(bits[at]) for at in mine) or "0", 2) for mine in self.bits)

    def domain(self, indexes: Iterable[int]) -> int:
        """Return the set in which each of these variables has one of its values."""
        found = 1
        for index in indexes:
            size = self.system.variables[index].size
            if size & size - 1:
                found = self.diagrams.both(found, self._codes(index, range(size)))
        return found

    def _literals(self, index: int, code: int, *, after: int = 0) -> Iterable[tuple[int, int]]:
        bits = self.bits[index]
        return [(2 * at + after, code >> len(bits) - 1 - place & 1) for place, at in enumerate(bits)]

    def _codes(self, index: int, codes: Iterable[int]) -> int:
        """Return the set in which a variable has one of these codes, which are in order."""
        bits, node = self.bits[index], self.diagrams.node

        def rec(place: int, codes: list[int]) -> int:
            if not codes or place == len(bits) or len(codes) == 1 << len(bits) - place:
                return int(bool(codes))
            top = 1 << len(bits) - 1 - place
            zero, one = [code for code in codes if not code & top], [code for code in codes if code & top]
            return node(2 * bits[place], rec(place + 1, zero), rec(place + 1, one))

        return rec(0, list(codes))

    # --- conditions and numbers ---

    def condition(self, code: Code) -> int:
        """Return the states in which a condition holds."""
        match code:
            case ("const", value):
                return int(bool(value))
            case ("and", *parts):
                found = 1
                for part in parts:
                    found = self.diagrams.both(found, self.condition(part)) if found else 0
                return found
            case ("or", *parts):
                return self.diagrams.union(map(self.condition, parts))
            case ("not", inner):
                return self.diagrams.negated(self.condition(inner))
            case ("ite", condition, a, b):
                return self._either(self.condition(condition), self.condition(a), self.condition(b))
            case _:
                known = self._conditions.get(code)
                if known is None:
                    known = self._conditions[code] = self._relation(code)
                return known

    def _either(self, condition: int, a: int, b: int) -> int:
        diagrams = self.diagrams
        return diagrams.either(diagrams.both(condition, a), diagrams.without(b, condition))

    def _relation(self, code: Code) -> int:
        reads = variables(code)
        if len(reads) == 1:
            (index,) = reads
            return self._codes(index, [n for n, value in self._table(index, code) if value])
        compared = COMPARE.get(code[0])
        if compared is None:
            return self.diagrams.union(sets for value, sets in self.values(code).items() if value)
        a, b = self.values(code[1]), self.values(code[2])
        if code[0] == "==":
            return self.diagrams.union(self.diagrams.both(sets, b[value]) for value, sets in a.items() if value in b)
        _bounded(len(a) * len(b))
        others = sorted(b)
        found = []
        for value, sets in a.items():
            right = 0
            for other in others:
                if compared(value, other):
                    right = self.diagrams.either(right, b[other])
            found.append(self.diagrams.both(sets, right))
        return self.diagrams.union(found)

    def values(self, code: Code) -> Values:
        """Return for each value that a number can have the states in which it has it."""
        found = self._values.get(code)
        if found is None:
            found = self._values[code] = self._worked_out(code)
        return found

    def _worked_out(self, code: Code) -> Values:
        if code[0] == "const":
            return {code[1]: 1}
        if code[0] in TRUTHS and code[0] != "has":
            holds = self.condition(code)
            return {value: sets for value, sets in ((1, holds), (0, self.diagrams.negated(holds))) if sets}
        reads = variables(code)
        if len(reads) == 1:
            (index,) = reads
            codes: dict[int, list[int]] = {}
            for n, value in self._table(index, code):
                if value is not None:
                    codes.setdefault(value, []).append(n)
            return {value: self._codes(index, each) for value, each in codes.items()}
        found: dict[int, list[int]] = {}
        diagrams = self.diagrams
        match code:
            case ("ite", condition, a, b):
                holds = self.condition(condition)
                for value, sets in self.values(a).items() if holds else ():
                    found.setdefault(value, []).append(diagrams.both(holds, sets))
                for value, sets in self.values(b).items() if holds != 1 else ():
                    found.setdefault(value, []).append(diagrams.without(sets, holds))
            case ("neg", inner):
                return {-value: sets for value, sets in self.values(inner).items()}
            case ("bit" | "count" as name, inner):
                for value, sets in self.values(inner).items():
                    if name == "count":
                        found.setdefault(value.bit_count(), []).append(sets)
                    elif 0 <= value < 64:
                        found.setdefault(1 << value, []).append(sets)
            case (name, a, b):
                left, right = self.values(a), self.values(b)
                _bounded(len(left) * len(right))
                for x, first in left.items():
                    for y, second in right.items():
                        if _defined(name, y) and (sets := diagrams.both(first, second)):
                            found.setdefault(NUMBERS[name](x, y), []).append(sets)
            case _:
                raise AssertionError(f"an operation that is none: {code!r}")
        return {value: union for value, sets in found.items() if (union := diagrams.union(sets))}

    def _table(self, index: int, code: Code) -> Iterable[tuple[int, int | None]]:
        """A code that reads one variable: what it is worth for each of the variable's codes, where it has a worth."""
        _bounded(self.system.variables[index].size, _VALUES_MAX)
        state = list(self._zero)
        for n in range(self.system.variables[index].size):
            state[index] = n
            try:
                yield n, evaluate(self.system, code, tuple(state))
            except (ZeroDivisionError, ValueError):
                # Something to the left protects from this value; it is never asked for.
                yield n, None

    # --- rules ---

    def steps(self, rule: Rule, guard: int) -> tuple[tuple[int, ...], int]:
        """Return the variables that a rule gives a value, and its relation from the states of `guard`."""
        relation = guard
        changed = [index for index, code in rule.updates if code != ("var", index)]
        for index, code in rule.updates:
            if index in changed and relation:
                relation = self.diagrams.both(relation, self._update(index, code))
        return tuple(sorted(changed)), relation

    def _update(self, index: int, code: Code) -> int:
        variable, diagrams = self.system.variables[index], self.diagrams
        found = []
        for value, sets in self.values(code).items():
            if 0 <= value - variable.low < variable.size:
                after = diagrams.cube(self._literals(index, value - variable.low, after=1))
                found.append(diagrams.both(sets, after))
        return diagrams.union(found)


def _defined(name: str, right: int) -> bool:
    """Say whether an operation can be worked out; where it can't, something to the left protects from it."""
    return right != 0 if name in {"//", "%"} else 0 <= right < 64 if name == "has" else True


def _bounded(number: int, most: int = _PAIRS_MAX) -> None:
    if number > most:
        raise Exhausted("stopped at numbers with too many values for diagrams")
