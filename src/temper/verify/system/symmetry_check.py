"""Whether what is said to be interchangeable is: orbits are believed of nobody.

An exchange of two members makes another system of a system: each rule with the members' variables, and the words for
them, exchanged. Where that has the same initial states, the same rules and gives the same answers, the exchange changes
nothing. Most rules are recognised by their text, put in order; what is left is compared as decision diagrams, which
are the same exactly if they mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from typing import TypeAlias

from temper.verify.system.bdd_codes import Encoding
from temper.verify.system.bdd_nodes import Exhausted
from temper.verify.system.bdd_order import orders
from temper.verify.system.codes import bit, const, eq, ite, op
from temper.verify.system.ir import Code, Fault, Orbit, Rule, System
from temper.verify.system.symmetry_forms import Acts, Permutation, acts_of, exchanged, swap

Refused: TypeAlias = dict[int, str]
Swap: TypeAlias = tuple[Orbit, Permutation]
# What is not recognised by its text may take so many nodes, or the orbit is refused.
_NODES_MAX = 200_000
# One question may be asked in so many forms. What is asked of each of a dozen members has twelve.
FORMS_MAX = 64


def verify_orbits(system: System, questions: Iterable[int] | None = None) -> Refused:
    """Return for each orbit that is none, by its number, why: something that an exchange of two members changes.

    A question may change: then it is asked in all its forms (`forms`), if these are not too many. `questions` are the
    numbers of those that are asked, all of the system's if left out.
    """
    asked = range(len(system.questions)) if questions is None else questions
    check = _Check(system)
    found: Refused = {}
    for number, orbit in enumerate(system.orbits):
        why = check.orbit(number) or next(filter(None, (check.exchange(orbit, *pair) for pair in _pairs(orbit))), "")
        many = (
            system.questions[n].name for n in asked if len(check.forms([orbit], system.questions[n].bad)) > FORMS_MAX
        )
        why = why or next((f"the question `{name}` has more than {FORMS_MAX} forms" for name in many), "")
        if why:
            found[number] = why
    return found


def forms(system: System, orbits: Sequence[Orbit], code: Code) -> list[tuple[Code, tuple[Swap, ...]]]:
    """Return what exchanges of members make of a code, each with the exchanges one after another; first the code.

    What a code is worth in a state, a form is worth in the state in which the same members have been exchanged.
    """
    return _Check(system).forms(orbits, code)


def _pairs(orbit: Orbit) -> Iterable[tuple[int, int]]:
    # All permutations are made of exchanges of neighbours.
    return pairwise(range(len(orbit.members)))


class _Check:
    def __init__(self, system: System) -> None:
        self.system = system
        self.rules = {self._text(rule) for rule in system.rules}
        self.initial = set(system.initial)
        self.acts = [acts_of(orbit) for orbit in system.orbits]
        self._encoding: Encoding | None = None
        self._meanings: dict[int, object] = {}

    def orbit(self, number: int) -> str:
        """Return why the variables of an orbit can't be exchanged at all, if that is so."""
        orbit, acts = self.system.orbits[number], self.acts[number]
        if len(set(map(len, orbit.members))) > 1:
            return "its members have different numbers of variables"
        belong = [*(index for member in orbit.members for index in member), *(index for index, _ in orbit.owned)]
        if len(set(belong)) < len(belong):
            return "a variable belongs to two members"
        if len(acts.at) < len(acts.places):
            return "two variables have one place"
        return next(filter(None, (self._variables(number, pair) for pair in _pairs(orbit))), "")

    def _variables(self, number: int, pair: tuple[int, int]) -> str:
        """Return why variables and codes can't be exchanged with two members."""
        orbit, acts = self.system.orbits[number], self.acts[number]
        permutation = swap(orbit, *pair)
        for index in acts.places:
            name = self.system.variables[index].name
            try:
                other = acts.to(index, permutation)
            except KeyError:
                return f"`{name}` has no counterpart"
            if self._sort(index) != self._sort(other):
                return f"`{name}` has another type in another member"
            if any(each.places.get(index) != each.places.get(other) for each in self.acts if each is not acts):
                if any(_members(each, index) != _members(each, other) for each in self.acts if each is not acts):
                    return f"`{name}` belongs to other members of another orbit"
        for index, words in acts.codes.items():
            name = self.system.variables[index].name
            if any(words.keys() & each.codes.get(index, {}).keys() for each in self.acts if each is not acts):
                return f"`{name}` names members of two orbits by one code"
            if max(words) >= self.system.variables[index].size or not _closed(acts.code, index, words, permutation):
                return f"`{name}` can't name every member"
        for index, words in acts.bits.items():
            variable = self.system.variables[index]
            if any(words.keys() & each.bits.get(index, {}).keys() for each in self.acts if each is not acts):
                return f"`{variable.name}` holds members of two orbits by one bit"
            full = 1 << max(words) + 1 > variable.size or variable.low
            if full or index in acts.codes or not _closed(acts.bit, index, words, permutation):
                return f"`{variable.name}` can't hold every member"
        return ""

    def _sort(self, index: int) -> tuple[object, ...]:
        variable = self.system.variables[index]
        names = (words.get(index) for acts in self.acts for words in (acts.codes, acts.bits))
        return variable.size, variable.low, *names

    def exchange(self, orbit: Orbit, a: int, b: int) -> str:
        """Return what an exchange of two members changes, if it changes anything."""
        permutation = swap(orbit, a, b)
        if any(exchanged(orbit, permutation, state) not in self.initial for state in self.initial):
            return "the initial states change"
        change = Exchange(self.system, orbit, a, b)
        strange = [rule for rule in map(change.rule, self.system.rules) if self._text(rule) not in self.rules]
        try:
            for rule in strange:
                if self._meaning(rule) not in {self._known(each) for each in self._kin(rule)}:
                    return f"the rule `{rule.name}` changes into one that is none"
        except Exhausted as found:
            return f"it can't be told whether something changes: {found.why}"
        return ""

    def forms(self, orbits: Sequence[Orbit], code: Code) -> list[tuple[Code, tuple[Swap, ...]]]:
        """Return what exchanges make of a code; past a bound it is not gone on."""
        changes = [
            ((orbit, swap(orbit, a, b)), Exchange(self.system, orbit, a, b))
            for orbit in orbits
            for a, b in _pairs(orbit)
        ]
        found: dict[str, tuple[Code, tuple[Swap, ...]]] = {self._ordered(code): (code, ())}
        todo = list(found.values())
        while todo and len(found) <= FORMS_MAX ** max(len(orbits), 1):
            code, way = todo.pop(0)
            for exchange, change in changes:
                other = change.code(code)
                text = self._ordered(other)
                if text not in found:
                    found[text] = (other, (*way, exchange))
                    todo.append(found[text])
        return list(found.values())

    # --- by text ---

    def _text(self, rule: Rule) -> object:
        updates = tuple(sorted((index, self._ordered(code)) for index, code in rule.updates if code != ("var", index)))
        # Of those that follow one another with one reason it says nothing which is met.
        faults = tuple(
            (key, *sorted(self._ordered(each.condition) for each in group))
            for key, group in groupby(rule.faults, _reason)
        )
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
            and set(map(_reason, each.faults)) == set(map(_reason, rule.faults))
            and {index for index, _ in each.updates} == written
        ]

    def _known(self, rule: Rule) -> object:
        """Return the meaning of one of the system's rules."""
        found = self._meanings.get(id(rule))
        if found is None:
            found = self._meanings[id(rule)] = self._meaning(rule)
        return found

    def _meaning(self, rule: Rule) -> object:
        domain = self.encoding.domain(range(len(self.system.variables)))
        both, without = self.encoding.diagrams.both, self.encoding.diagrams.without
        guard = both(domain, self.encoding.condition(rule.guard))
        met: dict[tuple[str, str], list[int]] = {}
        for fault in rule.faults:
            here = both(guard, self.encoding.condition(fault.condition))
            met.setdefault(_reason(fault), []).append(here)
            guard = without(guard, here)
        union = self.encoding.diagrams.union
        return guard, frozenset((key, union(each)) for key, each in met.items()), self.encoding.steps(rule, guard)


def _look(nodes: int) -> None:
    if nodes > _NODES_MAX:
        raise Exhausted(f"it takes more than {_NODES_MAX:,} nodes of diagrams")


_Renaming: TypeAlias = tuple[str, tuple[tuple[int, int], ...]]
"""How what a code is worth changes as members do: "value" or "mask", and the values or bits that are exchanged."""


class Exchange:
    """What an exchange of two members makes of codes."""

    def __init__(self, system: System, orbit: Orbit, a: int, b: int) -> None:
        acts, permutation = acts_of(orbit), swap(orbit, a, b)
        self.to = {index: acts.to(index, permutation) for index in acts.places}
        self.renamed: dict[int, _Renaming] = {}
        for index, words in acts.codes.items():
            low = system.variables[index].low
            pairs = ((code, acts.code(index, code, permutation)) for code in words)
            self.renamed[index] = ("value", tuple(sorted((low + x, low + y) for x, y in pairs if x < y)))
        for index, words in acts.bits.items():
            pairs = ((bit, acts.bit(index, bit, permutation)) for bit in words)
            self.renamed[index] = ("mask", tuple(sorted((x, y) for x, y in pairs if x < y)))

    def rule(self, rule: Rule) -> Rule:
        """Return the rule that does after the exchange what a rule does before it."""
        updates = []
        for index, code in rule.updates:
            renaming = self.renamed.get(index)
            changed = self.code(code) if renaming is None else self._named(renaming, code)
            updates.append((self.to.get(index, index), changed))
        faults = tuple(Fault(self.code(each.condition), each.why, each.site) for each in rule.faults)
        return Rule(rule.name, self.code(rule.guard), tuple(sorted(updates)), faults=faults, weight=rule.weight)

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
            case ("has", mask, element) if (renaming := self._sort(mask)) and (
                element[0] == "const" or self._sort(element) == ("value", renaming[1])
            ):
                return ("has", self._named(renaming, mask), self._named(("value", renaming[1]), element))
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
            case ("+", a, ("const", by)) if (renaming := self._sort(a)) and renaming[0] == "value":
                return _shifted(renaming, by)
            case ("bit", element) if (renaming := self._sort(element)) and renaming[0] == "value":
                return ("mask", renaming[1])
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
            case ("+", a, ("const", by)) if self._sort(code) == renaming:
                return op("+", self._named(_shifted(renaming, -by), a), const(by))
            case ("bit", element) if self._sort(code) == renaming:
                return bit(self._named(("value", renaming[1]), element))
            case ("ite", condition, a, b):
                return ite(self.code(condition), self._named(renaming, a), self._named(renaming, b))
            case (("bits_and" | "bits_or" | "bits_without") as name, a, b) if renaming[0] == "mask":
                return op(name, self._named(renaming, a), self._named(renaming, b))
            case _:
                return _renaming(renaming, self.code(code))

    def _reads(self, code: Code, renaming: _Renaming | None) -> Code:
        moved = (code[0], self.to.get(code[1], code[1]))
        return moved if renaming is None else _renaming(renaming, moved)


def _reason(fault: Fault) -> tuple[str, str]:
    return fault.site, fault.why


def _members(acts: Acts, index: int) -> tuple[int, ...]:
    word = acts.places.get(index)
    return () if word is None else word[1]


def _closed(
    of: Callable[[int, int, Sequence[int]], int], index: int, words: Iterable[int], permutation: Sequence[int]
) -> bool:
    """Say whether an exchange makes each code (or bit) that says something of members another one, and back."""
    try:
        return all(of(index, of(index, code, permutation), permutation) == code for code in words)
    except KeyError:
        return False


def _shifted(renaming: _Renaming, by: int) -> _Renaming:
    return renaming[0], tuple((x + by, y + by) for x, y in renaming[1])


def _renamed(renaming: _Renaming, value: int) -> int:
    kind, pairs = renaming
    if kind == "value":
        return next((y if value == x else x for x, y in pairs if value in {x, y}), value)
    for x, y in pairs:
        if (value >> x ^ value >> y) & 1:
            value ^= 1 << x | 1 << y
    return value


def _renaming(renaming: _Renaming, code: Code) -> Code:
    """Return a code that changes another's worth as names are changed."""
    kind, pairs = renaming
    found = code
    if kind == "value":
        for x, y in reversed(pairs):
            found = ite(eq(code, const(x)), const(y), ite(eq(code, const(y)), const(x), found))
        return found
    for x, y in pairs:
        found = op("bits_without", found, const(1 << x | 1 << y))
    for x, y in pairs:
        for one, other in ((x, y), (y, x)):
            found = op("bits_or", found, ite(("has", code, const(one)), const(1 << other), const(0)))
    return found
