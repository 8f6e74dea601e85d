"""Sets as one variable for each element, which is how decision diagrams like them.

A mask of many bits that is one variable joins everything that touches any of its elements. Split, each rule touches the
elements that it means, and the order may put each beside what belongs to it. Rules keep their numbers, so that a run of
the one system is a run of the other. (The orbits that are left say what stands together, and no more than that.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from temper.verify.system.codes import FALSE, both, conjuncts, const, either, eq, ite, no, op, remade, replaced, walk
from temper.verify.system.ir import Code, Fault, Orbit, Question, Rule, State, System, Var

_OF_SETS = {"bits_and", "bits_or", "bits_without"}
Bits = list[Code]
"""For each element whether it is in the set."""


def split(system: System) -> System:
    """Return a system that is the same, but for its sets, and without what never changes or is said twice."""
    masks = _masks(system)
    return _settled(_Split(system, masks).system() if masks else system)


def _settled(system: System) -> System:
    """Put in what variables are worth that keep their initial value, and leave out updates that change nothing.

    Elements that no member of a set's type has are such variables; they are asked for wherever a set is checked.
    """
    while True:
        known = _unchanging(system)
        read = any(part in known for code in _codes(system) for part in walk(code))
        rules = tuple(_without_idle(rule, known) for rule in system.rules) if known else system.rules
        if known and read:
            rules = tuple(_put_in(rule, known) for rule in rules)
        idle = tuple(map(_without_repeats, rules))
        if not read and idle == system.rules:
            return system
        asked = tuple(replace(each, bad=replaced(each.bad, known)) for each in system.questions)
        system = replace(system, rules=idle, questions=asked)


def _unchanging(system: System) -> dict[Code, Code]:
    """What is worth the same in every state."""
    if not system.initial:
        return {}
    values = {
        index: system.initial[0][index] + each.low
        for index, each in enumerate(system.variables)
        if len({state[index] for state in system.initial}) == 1
    }
    for rule in system.rules:
        for index, code in rule.updates:
            if index in values and code not in {("const", values[index]), ("var", index)}:
                del values[index]
    return {(name, index): const(value) for index, value in values.items() for name in ("var", "next")}


def _without_idle(rule: Rule, known: dict[Code, Code]) -> Rule:
    return replace(rule, updates=tuple(each for each in rule.updates if ("var", each[0]) not in known))


def _put_in(rule: Rule, known: dict[Code, Code]) -> Rule:
    return replace(
        rule,
        guard=replaced(rule.guard, known),
        updates=tuple((index, replaced(code, known)) for index, code in rule.updates),
        faults=tuple(Fault(replaced(each.condition, known), each.why, each.site) for each in rule.faults),
    )


def _without_repeats(rule: Rule) -> Rule:
    """Leave out updates to what the guard says is so already."""
    now = {part[1:] for part in conjuncts(rule.guard) if part[0] == "=="}
    return replace(
        rule,
        updates=tuple(
            (index, code)
            for index, code in rule.updates
            if code != ("var", index) and (("var", index), code) not in now
        ),
    )


def _masks(system: System) -> set[int]:
    """Variables that are used as sets, and can be split."""
    found: set[int] = set()
    for code in _codes(system):
        for part in walk(code):
            of_sets = part[1:] if part[0] in _OF_SETS else part[1:2] if part[0] in {"has", "count"} else ()
            found.update(each[1] for each in of_sets if each[0] in {"var", "next"})
    sized = {index: system.variables[index] for index in found}
    return {index for index, each in sized.items() if each.low == 0 and each.size > 2 and not each.size & each.size - 1}


def _codes(system: System) -> list[Code]:
    rules = system.rules
    found = [rule.guard for rule in rules] + [code for rule in rules for _, code in rule.updates]
    found += [fault.condition for rule in rules for fault in rule.faults]
    return found + [question.bad for question in system.questions]


class _Split:
    def __init__(self, system: System, masks: set[int]) -> None:
        self.was = system
        self.masks = masks
        self.at: list[int] = []
        """Where each variable, or the first of its elements, stands."""
        variables: list[Var] = []
        for index, each in enumerate(system.variables):
            self.at.append(len(variables))
            if index in masks:
                variables += [Var(f"{each.name} has {n}", 2) for n in range(each.size.bit_length() - 1)]
            else:
                variables.append(each)
        self.variables = tuple(variables)
        self._known: dict[Code, Code] = {}

    def system(self) -> System:
        """Return the system that is made."""
        return replace(
            self.was,
            variables=self.variables,
            initial=tuple(map(self._state, self.was.initial)),
            rules=tuple(map(self._rule, self.was.rules)),
            questions=tuple(self._question(each) for each in self.was.questions),
            leads=(),
            orbits=tuple(Orbit(tuple(map(self._indexes, each.members))) for each in self.was.orbits),
        )

    def _indexes(self, member: Sequence[int]) -> tuple[int, ...]:
        return tuple(
            self.at[index] + n for index in member for n in (self._elements(index) if index in self.masks else range(1))
        )

    def _state(self, state: State) -> State:
        found: list[int] = []
        for index, code in enumerate(state):
            found += [code >> n & 1 for n in self._elements(index)] if index in self.masks else [code]
        return tuple(found)

    def _elements(self, index: int) -> range:
        return range(self.was.variables[index].size.bit_length() - 1)

    def _question(self, question: Question) -> Question:
        return replace(question, bad=self.code(question.bad))

    def _rule(self, rule: Rule) -> Rule:
        updates: list[tuple[int, Code]] = []
        for index, code in rule.updates:
            at = self.at[index]
            if index not in self.masks:
                updates.append((at, self.code(code)))
                continue
            bits = self.bits(code)
            for n in self._elements(index):
                bit = bits[n] if n < len(bits) else FALSE
                if bit != ("var", at + n):
                    updates.append((at + n, bit))
        faults = tuple(Fault(self.code(each.condition), each.why, each.site) for each in rule.faults)
        return replace(rule, guard=self.code(rule.guard), updates=tuple(updates), faults=faults)

    # --- codes ---

    def code(self, code: Code) -> Code:
        """Return a code's worth as a number, or whether it holds."""
        found = self._known.get(code)
        if found is None:
            found = self._known[code] = self._made(code)
        return found

    def _made(self, code: Code) -> Code:
        match code:
            case ("const", _):
                return code
            case ("var" | "next" as name, index):
                return (name, self.at[index]) if index not in self.masks else _number(self.bits(code))
            case ("has", mask, ("const", n)) if self._is_set(mask):
                bits = self.bits(mask)
                return bits[n] if 0 <= n < len(bits) else FALSE
            case ("has", mask, element) if self._is_set(mask):
                who = self.code(element)
                return either(*(both(eq(who, const(n)), bit) for n, bit in enumerate(self.bits(mask))))
            case ("count", mask) if self._is_set(mask):
                total: Code = const(0)
                for bit in self.bits(mask):
                    total = op("+", total, bit)
                return total
            case ("==" | "!=" as name, a, b) if self._is_set(a) and self._is_set(b):
                left, right = self.bits(a), self.bits(b)
                width = max(len(left), len(right))
                left, right = left + [FALSE] * (width - len(left)), right + [FALSE] * (width - len(right))
                same = both(*map(_alike, left, right))
                return same if name == "==" else no(same)
            case (name, *_) if name in _OF_SETS and self._is_set(code):
                return _number(self.bits(code))
            case (name, *parts):
                return remade(name, tuple(map(self.code, parts)))
            case _:
                raise AssertionError(f"an operation that is none: {code!r}")

    def _is_set(self, code: Code) -> bool:
        """Say whether a code is made of sets alone, so that its elements can be told one by one."""
        match code:
            case ("const", value):
                return bool(value >= 0)
            case ("var" | "next", index):
                return index in self.masks
            case ("bit", ("const", n)):
                return bool(n >= 0)
            case ("bit", ("var" | "next", index)):
                variable = self.was.variables[index]
                return variable.low >= 0 and variable.low + variable.size <= 64
            case ("ite", _, a, b):
                return self._is_set(a) and self._is_set(b)
            case (name, a, b) if name in _OF_SETS:
                return self._is_set(a) and self._is_set(b)
            case _:
                return False

    def bits(self, code: Code) -> Bits:
        """Return for each element whether it is in a set."""
        match code:
            case ("const", value) if value >= 0:
                return [const(value >> n & 1) for n in range(value.bit_length())]
            case ("var" | "next" as name, index) if index in self.masks:
                return [(name, self.at[index] + n) for n in self._elements(index)]
            case ("bit", ("const", n)) if n >= 0:
                return [FALSE] * n + [const(1)]
            case ("bit", ("var" | "next", index) as element) if self._is_set(code):
                variable = self.was.variables[index]
                who = self.code(element)
                named = range(variable.low, variable.low + variable.size)
                return [eq(who, const(n)) if n in named else FALSE for n in range(named.stop)]
            case ("ite", condition, a, b) if self._is_set(code):
                holds = self.code(condition)
                return _each(lambda x, y: ite(holds, x, y), self.bits(a), self.bits(b))
            case ("bits_and", a, b) if self._is_set(code):
                return _each(both, self.bits(a), self.bits(b))
            case ("bits_or", a, b) if self._is_set(code):
                return _each(either, self.bits(a), self.bits(b))
            case ("bits_without", a, b) if self._is_set(code):
                return _each(lambda x, y: both(x, no(y)), self.bits(a), self.bits(b))
            case _:
                number = self.code(code)
                return [
                    ("%", ("//", number, const(1 << n)), const(2)) for n in range(max(map(self._width, self.masks)))
                ]

    def _width(self, index: int) -> int:
        return len(self._elements(index))


def _each(made: Callable[[Code, Code], Code], a: Bits, b: Bits) -> Bits:
    width = max(len(a), len(b))
    return [made(x, y) for x, y in zip(a + [FALSE] * (width - len(a)), b + [FALSE] * (width - len(b)), strict=True)]


def _alike(a: Code, b: Code) -> Code:
    if a[0] == "const":
        a, b = b, a
    if b[0] == "const":
        return a if b[1] else no(a)
    return eq(a, b)


def _number(bits: Sequence[Code]) -> Code:
    """Return the mask as a number."""
    total: Code = const(0)
    for n, bit in enumerate(bits):
        total = op("+", total, bit if n == 0 else op("*", bit, const(1 << n)))
    return total
