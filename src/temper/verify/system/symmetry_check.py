"""Whether what is said to be interchangeable is: orbits are believed of nobody.

An exchange of two members makes another system of a system: each rule with the members' variables, and the words for
them, exchanged. Where that has the same initial states, the same rules and gives the same answers, the exchange changes
nothing. Most rules are recognised by their text, put in order; what is left is compared as decision diagrams, which
are the same exactly if they mean the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TypeAlias

from temper.verify.system.bdd_codes import Encoding
from temper.verify.system.bdd_nodes import Exhausted
from temper.verify.system.bdd_order import orders
from temper.verify.system.codes import const, eq, ite, op, variables
from temper.verify.system.ir import Code, Fault, Orbit, Question, Rule, System
from temper.verify.system.symmetry_forms import exchanged, swap

Refused: TypeAlias = dict[int, str]
# What is not recognised by its text may take so many nodes, or the orbit is refused.
_NODES_MAX = 200_000


def verify_orbits(system: System, questions: Iterable[int] | None = None) -> Refused:
    """Return for each orbit that is none, by its number, why: something that an exchange of two members changes.

    With `questions`, their numbers, those must stay as they are too, and else all of the system's.
    """
    asked = [system.questions[n] for n in (range(len(system.questions)) if questions is None else questions)]
    check = _Check(system)
    found: Refused = {}
    for number, orbit in enumerate(system.orbits):
        why = check.orbit(number) or next(
            filter(None, (check.exchange(orbit, a, b, asked) for a, b in _pairs(orbit))), ""
        )
        if why:
            found[number] = why
    return found


def _pairs(orbit: Orbit) -> Iterable[tuple[int, int]]:
    # All permutations are made of exchanges of neighbours.
    return pairwise(range(len(orbit.members)))


class _Check:
    def __init__(self, system: System) -> None:
        self.system = system
        self.rules = {self._text(rule) for rule in system.rules}
        self.initial = set(system.initial)
        self._encoding: Encoding | None = None
        self._meanings: dict[Rule, object] = {}

    def orbit(self, number: int) -> str:
        """Return why the variables of an orbit can't be exchanged at all, if that is so."""
        orbit = self.system.orbits[number]
        members = [index for member in orbit.members for index in member]
        if len(set(map(len, orbit.members))) > 1:
            return "its members have different numbers of variables"
        others = {i for n, each in enumerate(self.system.orbits) if n != number for m in each.members for i in m}
        if len(set(members)) < len(members) or others & set(members):
            return "a variable belongs to two members"
        for mine in zip(*orbit.members, strict=True):
            sorts = {(self.system.variables[i].size, self.system.variables[i].low, *self._refers(i)) for i in mine}
            if len(sorts) > 1:
                return f"`{self.system.variables[mine[0]].name}` has another type in another member"
        for index, base in (*orbit.values, *orbit.masks):
            size = self.system.variables[index].size
            last = base + len(orbit.members)
            if (index, base) in orbit.values and last > size:
                return f"`{self.system.variables[index].name}` can't name every member"
            if (index, base) in orbit.masks and (1 << last > size or self.system.variables[index].low):
                return f"`{self.system.variables[index].name}` can't hold every member"
        return ""

    def _refers(self, index: int) -> tuple[object, ...]:
        return tuple(
            (kind, number, base)
            for number, orbit in enumerate(self.system.orbits)
            for kind, pairs in (("value", orbit.values), ("mask", orbit.masks))
            for i, base in pairs
            if i == index
        )

    def exchange(self, orbit: Orbit, a: int, b: int, questions: Iterable[Question]) -> str:
        """Return what an exchange of two members changes, if it changes anything."""
        permutation = swap(orbit, a, b)
        if any(exchanged(orbit, permutation, state) not in self.initial for state in self.initial):
            return "the initial states change"
        change = _Exchange(self.system, orbit, a, b)
        strange = [rule for rule in map(change.rule, self.system.rules) if self._text(rule) not in self.rules]
        asked = [
            (each, changed)
            for each in questions
            if self._ordered(each.bad) != self._ordered(changed := change.code(each.bad))
        ]
        try:
            for rule in strange:
                if self._meaning(rule) not in {self._meaning(each) for each in self._kin(rule)}:
                    return f"the rule `{rule.name}` changes into one that is none"
            for question, changed in asked:
                if question.step or not self._same(question.bad, changed):
                    return f"the question `{question.name}` changes"
        except Exhausted as found:
            return f"it can't be told whether something changes: {found.why}"
        return ""

    # --- by text ---

    def _text(self, rule: Rule) -> object:
        updates = tuple(sorted((index, self._ordered(code)) for index, code in rule.updates if code != ("var", index)))
        faults = tuple((self._ordered(each.condition), each.site, each.why) for each in rule.faults)
        return self._ordered(rule.guard), updates, faults, rule.weight

    def _ordered(self, code: Code) -> str:
        """Return a code's text, with what may stand in any order sorted, and choices by a variable's values as such."""
        match code:
            case ("const" | "var" | "next", value):
                return f"{code[0][0]}{value}"
            case (("and" | "or" | "+" | "*" | "min" | "max" | "==" | "!=" | "bits_and" | "bits_or") as name, *_):
                parts = list(self._parts(name, code))
                return f"({name} {' '.join(sorted(set(parts) if name in {'and', 'or'} else parts))})"
            case ("<" | "<=" as name, a, b):
                return self._ordered((">" if name == "<" else ">=", b, a))
            case ("ite", _, _, _):
                return self._choice(code)
            case (name, *inner):
                return f"({name} {' '.join(map(self._ordered, inner))})"
            case _:
                raise AssertionError(f"an operation that is none: {code!r}")

    def _parts(self, name: str, code: Code) -> Iterable[str]:
        for part in code[1:]:
            if part[0] == name and name not in {"==", "!="}:
                yield from self._parts(name, part)
            else:
                yield self._ordered(part)

    def _choice(self, code: Code) -> str:
        """A chain of choices by different values of one variable is a table: its order says nothing."""
        found: dict[int, str] = {}
        rest, on = code, None
        while (
            rest[0] == "ite"
            and rest[1][0] == "=="
            and rest[1][1][0] == "var"
            and rest[1][2][0] == "const"
            and on in {None, rest[1][1]}
        ):
            on = rest[1][1]
            found.setdefault(rest[1][2][1], self._ordered(rest[2]))
            rest = rest[3]
        if on is None:
            return f"(ite {' '.join(map(self._ordered, code[1:]))})"
        variable = self.system.variables[on[1]]
        left = set(range(variable.low, variable.low + variable.size)) - set(found)
        other = self._ordered(rest)
        if len(left) == 1:
            found[left.pop()] = other
        tail = f" else {other}" if left else ""
        return f"(case {on[1]} {' '.join(f'{value}:{text}' for value, text in sorted(found.items()))}{tail})"

    # --- by meaning ---

    @property
    def encoding(self) -> Encoding:
        if self._encoding is None:
            self._encoding = Encoding(self.system, orders(self.system)[0], _look)
        return self._encoding

    def _kin(self, rule: Rule) -> list[Rule]:
        """Rules that could be what a rule has become."""
        written = {index for index, _ in rule.updates}
        return [
            each
            for each in self.system.rules
            if each.weight == rule.weight
            and [(f.site, f.why) for f in each.faults] == [(f.site, f.why) for f in rule.faults]
            and {index for index, _ in each.updates} == written
        ]

    def _meaning(self, rule: Rule) -> object:
        found = self._meanings.get(rule)
        if found is None:
            domain = self.encoding.domain(range(len(self.system.variables)))
            both, without = self.encoding.diagrams.both, self.encoding.diagrams.without
            guard = both(domain, self.encoding.condition(rule.guard))
            met = []
            for fault in rule.faults:
                here = both(guard, self.encoding.condition(fault.condition))
                met.append(here)
                guard = without(guard, here)
            found = self._meanings[rule] = (guard, tuple(met), self.encoding.steps(rule, guard))
        return found

    def _same(self, a: Code, b: Code) -> bool:
        domain = self.encoding.domain(variables(a) | variables(b))
        both = self.encoding.diagrams.both
        return both(domain, self.encoding.condition(a)) == both(domain, self.encoding.condition(b))


def _look(nodes: int) -> None:
    if nodes > _NODES_MAX:
        raise Exhausted(f"it takes more than {_NODES_MAX:,} nodes of diagrams")


_Renaming: TypeAlias = tuple[str, int, int, int]
"""How values change where members a and b of an orbit do: "value" or "mask", and the base with the two numbers."""


class _Exchange:
    """What an exchange of two members makes of codes."""

    def __init__(self, system: System, orbit: Orbit, a: int, b: int) -> None:
        self.system = system
        self.to: dict[int, int] = {}
        for x, y in zip(orbit.members[a], orbit.members[b], strict=True):
            self.to[x], self.to[y] = y, x
        self.renamed: dict[int, _Renaming] = {}
        for index, base in orbit.values:
            low = system.variables[index].low
            self.renamed[index] = ("value", low + base, a, b)
        for index, base in orbit.masks:
            self.renamed[index] = ("mask", base, a, b)

    def rule(self, rule: Rule) -> Rule:
        """Return the rule that does after the exchange what a rule does before it."""
        updates = []
        for index, code in rule.updates:
            renaming = self.renamed.get(index)
            changed = self.code(code) if renaming is None else self._named(renaming, code)
            updates.append((self.to.get(index, index), changed))
        faults = tuple(Fault(self.code(each.condition), each.why, each.site) for each in rule.faults)
        return Rule(rule.name, self.code(rule.guard), tuple(updates), faults=faults, weight=rule.weight)

    def code(self, code: Code) -> Code:
        """Return the code whose worth after the exchange is the worth of this one before it."""
        match code:
            case ("const", _):
                return code
            case ("var" | "next", index):
                return self._reads(code, self.renamed.get(index))
            case (("==" | "!=") as name, a, b) if (renaming := self._sort(a) or self._sort(b)) and all(
                part[0] == "const" or self._sort(part) == renaming for part in (a, b)
            ):
                # Two names are the same exactly if they are so when both are changed.
                return op(name, self._named(renaming, a), self._named(renaming, b))
            case ("has", mask, ("const", element)) if renaming := self._sort(mask):
                _, base, x, y = renaming
                other = base + y if element == base + x else base + x if element == base + y else element
                return ("has", self._named(renaming, mask), const(other))
            case ("count", mask) if renaming := self._sort(mask):
                return ("count", self._named(renaming, mask))
            case (name, *parts):
                return (name, *map(self.code, parts))
            case _:
                raise AssertionError(f"an operation that is none: {code!r}")

    def _sort(self, code: Code) -> _Renaming | None:
        """Return how a code's values change, where it is a name or a set of them, and no number made of one."""
        match code:
            case ("var" | "next", index):
                return self.renamed.get(index)
            case ("ite", _, a, b):
                return self._sort_of(a, b)
            case (("bits_and" | "bits_or" | "bits_without"), a, b):
                return self._sort_of(a, b)
            case _:
                return None

    def _sort_of(self, a: Code, b: Code) -> _Renaming | None:
        renaming = self._sort(a) or self._sort(b)
        same = all(part[0] == "const" or self._sort(part) == renaming for part in (a, b))
        return renaming if same else None

    def _named(self, renaming: _Renaming, code: Code) -> Code:
        """Return a code's worth after the exchange, changed as names are."""
        match code:
            case ("const", value):
                return const(_renamed(renaming, value))
            case ("var" | "next" as name, index) if self.renamed.get(index) == renaming:
                # It reads the name as it was, which is changed back: what is left is the other's variable.
                return (name, self.to.get(index, index))
            case ("ite", condition, a, b):
                return ite(self.code(condition), self._named(renaming, a), self._named(renaming, b))
            case (("bits_and" | "bits_or" | "bits_without") as name, a, b) if renaming[0] == "mask":
                return op(name, self._named(renaming, a), self._named(renaming, b))
            case _:
                return _renaming(renaming, self.code(code))

    def _reads(self, code: Code, renaming: _Renaming | None) -> Code:
        moved = (code[0], self.to.get(code[1], code[1]))
        return moved if renaming is None else _renaming(renaming, moved)


def _renamed(renaming: _Renaming, value: int) -> int:
    kind, base, x, y = renaming
    if kind == "value":
        return base + y if value == base + x else base + x if value == base + y else value
    one, other = value >> base + x & 1, value >> base + y & 1
    return value & ~(1 << base + x | 1 << base + y) | one << base + y | other << base + x


def _renaming(renaming: _Renaming, code: Code) -> Code:
    """Return a code that changes another's worth as names are changed."""
    kind, base, x, y = renaming
    if kind == "value":
        return ite(eq(code, const(base + x)), const(base + y), ite(eq(code, const(base + y)), const(base + x), code))
    one, other = const(1 << base + x), const(1 << base + y)
    rest = op("bits_without", code, const(1 << base + x | 1 << base + y))
    first = ite(("has", code, const(base + x)), other, const(0))
    return op("bits_or", op("bits_or", rest, first), ite(("has", code, const(base + y)), one, const(0)))
