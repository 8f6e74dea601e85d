"""Engine 0: a system as one Python function over packed states, breadth first.

A state is one integer, a field of bits for each variable. The function expands a whole list of states: guards are
asked as a tree (rules that share a first condition stand under it), updates of known values are one addition. This
is about seven times as fast as the same made of closures, and needs no compiler.

What is generated speaks of nothing but numbers: no name of an author's, nor any text, is ever part of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct, field

from temper.verify.system.codes import conjuncts, replaced, variables, walk
from temper.verify.system.ir import Code, Rule, Searched, State, System
from temper.verify.system.step import SPENT, Ways

Progress = Callable[[int, int], None]

ENGINE = "generated Python"
# Between two looks at the clock and at the bounds so many states are expanded at the most, and rules asked. It is no
# matter of time, so that what is seen when a bound of states is reached is the same every time.
_CHUNK = 2048
_ASKED = 250_000
# What has been found is asked no more: the function is made anew without it, once that is worth a few milliseconds.
_RENEW = 4096


def search(
    system: System,
    *,
    states_max: int,
    seconds: float,
    questions: Iterable[int] | None = None,
    memory_max: int = 2 << 30,
    progress: Progress | None = None,
) -> Searched:
    """Return what is found in all states that can be reached, nearest first.

    It goes on when something has been found, so that everything is found at its shortest. `questions` are the numbers
    of those to ask, all of them if left out. Stops at `states_max` states (those of one look at the bounds may come on
    top), after `seconds`, or where what it has seen takes more than `memory_max` bytes.
    """
    return Search(system, questions).go_on(states_max, seconds, memory_max=memory_max, progress=progress)


class Search:
    """A search that can go on from where a bound has stopped it."""

    def __init__(self, system: System, questions: Iterable[int] | None = None) -> None:
        self.began = time.monotonic()
        self.system = system
        self.packing = Packing(system)
        self.asked = set(range(len(system.questions)) if questions is None else questions)
        self.found = Found()
        self.frontier = list(dict.fromkeys(map(self.packing.packed, system.initial)))
        self.seen: dict[int, int] = dict.fromkeys(self.frontier, -1)
        """Every state, with the one it was first reached from; -1 for an initial one."""
        self.following: list[int] = []
        self.at = 0
        """Up to where the frontier has been expanded, into what follows."""
        self.transitions, self.depth = 0, 0
        self.chunk = max(min(_CHUNK, _ASKED // max(len(system.rules), 1)), 1)
        self.expand = self._function()
        self.known = self._answered()

    def go_on(
        self, states_max: int, seconds: float, *, memory_max: int = 2 << 30, progress: Progress | None = None
    ) -> Searched:
        """Return what has been found by the end, or when a bound is reached; `seconds` count from the beginning."""
        stopped = None
        while self.frontier and stopped is None:
            while self.at < len(self.frontier) and stopped is None:
                part = self.frontier[self.at : self.at + self.chunk]
                self.transitions += self.expand(part, self.seen, self.following, self.found)
                self.at += len(part)
                if len(self.seen) > states_max:
                    stopped = f"stopped at {states_max:,} states"
                elif time.monotonic() - self.began > seconds:
                    stopped = f"stopped after {seconds:g} s"
                elif self._memory_bytes() > memory_max:
                    stopped = f"stopped at {memory_max >> 20:,} MiB of memory"
                if progress is not None:
                    progress(len(self.seen), self.transitions)
            if self.at >= len(self.frontier):
                self._next_level()
        # The faults first, then what is asked of states and steps, nearest first: if the runs to what was found are too
        # long to be told, it is those to the farthest that are not.
        ways = Ways(self.system, self.seen.__getitem__, self.packing.unpacked)
        faults = {key: ways.to(*where) for key, where in self.found.faults.items()}
        questions = {number: ways.to(*where) for number, where in self.found.questions.items()}
        stuck = None if self.found.stuck is None else ways.to(self.found.stuck)
        return Searched(
            ENGINE,
            len(self.seen),
            self.transitions,
            {number: path for number, path in questions.items() if path is not None},
            {key: path for key, path in faults.items() if path is not None},
            stopped if self.frontier else SPENT if ways.spent else None,
            self.found.deadlocks,
            stuck,
            self.depth,
            self._memory_bytes(),
            time.monotonic() - self.began,
        )

    def _next_level(self) -> None:
        self.frontier, self.following, self.at = self.following, [], 0
        self.depth += bool(self.frontier)
        if len(self.frontier) >= _RENEW and self._answered() != self.known:
            self.known = self._answered()
            self.expand = self._function()

    def _memory_bytes(self) -> int:
        return sys.getsizeof(self.seen) + len(self.seen) * sys.getsizeof(1 << max(self.packing.bits - 1, 1))

    def _answered(self) -> tuple[int, int]:
        return len(self.found.questions), len(self.found.faults)

    def _function(self) -> Callable[..., int]:
        open_questions = sorted(self.asked - set(self.found.questions))
        return compiled(self.system, self.packing, open_questions, frozenset(self.found.faults))


class Found(Struct):
    """What the generated function finds: where (a state, packed), and by which rule if it is about a step."""

    questions: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    faults: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    deadlocks: int = 0
    stuck: int | None = None


class Packing:
    """Where each variable stands in a state that is one integer."""

    def __init__(self, system: System) -> None:
        self.widths = [max(each.size - 1, 0).bit_length() for each in system.variables]
        self.offsets = [sum(self.widths[:index]) for index in range(len(self.widths))]
        self.bits = sum(self.widths)

    def packed(self, state: State) -> int:
        """Return a state as one integer."""
        return sum(code << offset for code, offset in zip(state, self.offsets, strict=True))

    def unpacked(self, packed: int) -> State:
        """Return the state that an integer is."""
        return tuple(
            packed >> offset & (1 << width) - 1 for offset, width in zip(self.offsets, self.widths, strict=True)
        )


def compiled(
    system: System, packing: Packing, questions: Sequence[int], faults_known: frozenset[tuple[str, str]]
) -> Callable[..., int]:
    """Return the function that expands states: `(states, seen, following, found) -> transitions`."""
    source = Source(system, packing, questions, faults_known).text()
    names: dict[str, Any] = {"KEYS": [[(f.site, f.why) for f in rule.faults] for rule in system.rules]}
    # Seven times as fast as closures, measured.
    exec(compile(source, "<a generated search>", "exec"), names)  # noqa: S102 - numbers and words of this module alone
    function: Callable[..., int] = names["expand"]
    return function


def steps_of(system: System) -> Callable[[State], list[tuple[int, State]]]:
    """Return what gives every step from a state as the number of its rule and the state after: `successors`, fast."""
    packing = Packing(system)
    names: dict[str, Any] = {}
    source = _Steps(system, packing, (), frozenset()).text()
    # As above: the text is made of numbers and of words of this module alone.
    exec(compile(source, "<generated steps>", "exec"), names)  # noqa: S102 - of numbers and our own words alone
    function: Callable[[int], list[tuple[int, int]]] = names["steps"]
    packed, unpacked = packing.packed, packing.unpacked

    def steps(state: State) -> list[tuple[int, State]]:
        return [(number, unpacked(after)) for number, after in sorted(function(packed(state)))]

    return steps


_INFIX = {name: name for name in ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "//", "%")}
_INFIX |= {"bits_and": "&", "bits_or": "|"}


class Source:
    """The text of the function, being written."""

    def __init__(
        self, system: System, packing: Packing, questions: Sequence[int], faults_known: frozenset[tuple[str, str]]
    ) -> None:
        self.system = system
        self.packing = packing
        self.questions = questions
        self.faults_known = faults_known
        self.lines: list[str] = []
        self.held: set[int] = set()
        """Variables that stand in a local of their own where the text is being written."""

    def text(self) -> str:
        """Return the text."""
        self.line(0, "def expand(states, seen, following, found):")
        self.line(1, "add = following.append")
        self.line(1, "questions, faults = found.questions, found.faults")
        self.line(1, "n = 0")
        self.line(1, "for s in states:")
        self.line(2, "k = n")
        asked = [(number, self.system.questions[number]) for number in self.questions]
        for number, question in asked:
            if not question.step:
                self.line(2, f"if {number} not in questions and {self.truth(question.bad)}:")
                self.line(3, f"questions[{number}] = s, None")
        self.steps = [(number, question.bad) for number, question in asked if question.step]
        rules = [_Guarded(number, rule, conjuncts(rule.guard)) for number, rule in enumerate(self.system.rules)]
        self.block(2, [each for each in rules if ("const", 0) not in each.guard], ())
        self.line(2, "if n == k:")
        self.line(3, "found.deadlocks += 1")
        self.line(3, "if found.stuck is None:")
        self.line(4, "found.stuck = s")
        self.line(1, "return n")
        return "\n".join(self.lines) + "\n"

    def line(self, depth: int, text: str) -> None:
        self.lines.append(" " * depth + text)

    # --- rules, as a tree ---------------------------------------------------------------------------------------------

    def block(self, depth: int, rules: list[_Guarded], path: tuple[Code, ...]) -> None:
        """Write rules; those that stand together and begin with the same condition share it.

        `path` are the conditions that are known to hold here.
        """
        groups = list(_grouped(rules))
        mine = self._worth_holding(groups)
        for index in sorted(mine):
            self.line(depth, f"v{index} = {self._read(index)}")
        self.held |= mine
        last: Code | None = None
        for first, group in groups:
            if first is None:
                last = None
                for each in group:
                    self.take(depth, each, path)
                continue
            # Two values of one variable: what holds of the one can't hold of the other.
            word = "elif" if last is not None and _apart(last, first) and self._settled(groups) else "if"
            self.line(depth, f"{word} {self.truth(first)}:")
            self.block(depth + 1, [_Guarded(each.number, each.rule, each.guard[1:]) for each in group], (*path, first))
            last = first
        self.held -= mine

    @staticmethod
    def _settled(groups: list[tuple[Code | None, list[_Guarded]]]) -> bool:
        """Say whether all groups ask for different values of one variable: then only one of them can hold."""
        firsts = [first for first, _ in groups]
        return len(set(firsts)) == len(firsts) and all(
            a is not None and b is not None and _apart(a, b) for a, b in pairwise(firsts)
        )

    def _worth_holding(self, groups: list[tuple[Code | None, list[_Guarded]]]) -> set[int]:
        """Variables that are read in more than one place here, and are not yet in a local."""
        used: dict[int, int] = {}
        for first, group in groups:
            reads: set[int] = set()
            if first is not None:
                for part in walk(first):
                    if part[0] == "var":
                        used[part[1]] = used.get(part[1], 0) + 1
            for each in group:
                if first is None:
                    for code in self._codes(each):
                        for part in walk(code):
                            if part[0] == "var":
                                used[part[1]] = used.get(part[1], 0) + 1
                else:
                    reads |= each.reads
            for index in reads:
                used[index] = used.get(index, 0) + 1
        return {index for index, times in used.items() if times > 1 and index not in self.held}

    def _codes(self, each: _Guarded) -> Iterator[Code]:
        yield from (fault.condition for fault in each.rule.faults)
        for index, code in each.rule.updates:
            yield code
            if code[0] != "const" and _steps_from(code, index) is None:
                yield ("var", index)
        for _, bad in self.steps:
            yield replaced(bad, self._after(each.rule))

    def _after(self, rule: Rule) -> dict[Code, Code]:
        updates = dict(rule.updates)
        return {("next", index): updates.get(index, ("var", index)) for index in range(len(self.system.variables))}

    # --- a rule that can be taken -------------------------------------------------------------------------------------

    def take(self, depth: int, each: _Guarded, path: tuple[Code, ...]) -> None:
        rule, number = each.rule, each.number
        settled = [fault for fault in rule.faults if fault.condition != ("const", 0)]
        for position, fault in enumerate(rule.faults):
            if fault not in settled:
                continue
            word = "if" if fault is settled[0] else "elif"
            key = f"KEYS[{number}][{position}]"
            self.line(depth, f"{word} {self.truth(fault.condition)}:")
            if (fault.site, fault.why) in self.faults_known:
                self.line(depth + 1, "pass")
            else:
                self.line(depth + 1, f"if {key} not in faults:")
                self.line(depth + 2, f"faults[{key}] = s, {number}, {position}")
            if fault.condition == ("const", 1):
                return
        if settled:
            self.line(depth, "else:")
            depth += 1
        self.line(depth, f"n += {rule.weight}")
        for question, bad in self.steps:
            after = replaced(bad, self._after(rule))
            if after != ("const", 0):
                self.line(depth, f"if {question} not in questions and {self.truth(after)}:")
                self.line(depth + 1, f"questions[{question}] = s, {number}")
        self.line(depth, f"t = {self._target(rule, path)}")
        self.line(depth, "if t not in seen:")
        self.line(depth + 1, "seen[t] = s")
        self.line(depth + 1, "add(t)")

    def _target(self, rule: Rule, path: tuple[Code, ...]) -> str:
        """Return the state after a rule: an addition where it is known by how much each variable changes."""
        now = {
            a[1]: b[1]
            for op, a, b in (part for part in path if len(part) == 3)
            if op == "==" and a[0] == "var" and b[0] == "const"
        }
        delta, cleared, made = 0, 0, []
        for index, code in rule.updates:
            low, offset = self.system.variables[index].low, self.packing.offsets[index]
            step = _steps_from(code, index)
            if code[0] == "const" and index in now:
                delta += code[1] - now[index] << offset
            elif step is not None:
                delta += step << offset
            else:
                cleared |= (1 << self.packing.widths[index]) - 1 << offset
                if code[0] == "const":
                    delta += code[1] - low << offset
                else:
                    less = "" if low == 0 else f" - {low}"
                    made.append(f"({self.number(code)}{less} << {offset})")
        text = "s"
        if cleared:
            text = f"s & {(1 << self.packing.bits) - 1 & ~cleared}"
            text = f"({text})" if made or delta else text
        text = " + ".join([text, *made])
        return text if not delta else f"{text} + {delta}" if delta > 0 else f"{text} - {-delta}"

    # --- expressions --------------------------------------------------------------------------------------------------

    def truth(self, code: Code) -> str:
        """Return a condition as Python asks it: anything that is true or false."""
        match code:
            case ("and", *parts):
                return "(" + " and ".join(map(self.truth, parts)) + ")" if parts else "1"
            case ("or", *parts):
                return "(" + " or ".join(map(self.truth, parts)) + ")" if parts else "0"
            case ("not", inner):
                return f"(not {self.truth(inner)})"
            case ("ite", condition, a, b):
                return f"({self.truth(a)} if {self.truth(condition)} else {self.truth(b)})"
            case ("has", mask, element):
                return f"({self.number(mask)} >> {self.number(element)} & 1)"
            case (("==" | "!=") as name, ("var", index), ("const", value)) if index not in self.held:
                # One operation less where the whole state is compared in place.
                offset, mask = self.packing.offsets[index], (1 << self.packing.widths[index]) - 1
                code_of = value - self.system.variables[index].low
                if not 0 <= code_of < self.system.variables[index].size:
                    return "0" if name == "==" else "1"
                return f"s & {mask << offset} {name} {code_of << offset}"
            case _:
                return self.number(code)

    def number(self, code: Code) -> str:
        """Return a code as a Python expression; a truth value may be a `bool`, which counts as 0 or 1."""
        match code:
            case ("const", value):
                return str(value) if value >= 0 else f"({value})"
            case ("var", index):
                return f"v{index}" if index in self.held else f"({self._read(index)})"
            case ("not", _):
                return self.truth(code)
            case ("and", *_) | ("or", *_):
                return f"(1 if {self.truth(code)} else 0)"
            case ("ite", condition, a, b):
                return f"({self.number(a)} if {self.truth(condition)} else {self.number(b)})"
            case ("neg", inner):
                return f"(-{self.number(inner)})"
            case ("bit", element):
                return f"(1 << {self.number(element)})"
            case ("count", mask):
                return f"({self.number(mask)}).bit_count()"
            case ("has", _, _):
                return self.truth(code)
            case (("min" | "max") as name, a, b):
                return f"{name}({self.number(a)}, {self.number(b)})"
            case ("bits_without", a, b):
                return f"({self.number(a)} & ~{self.number(b)})"
            case (name, a, b):
                return f"({self.number(a)} {_INFIX[name]} {self.number(b)})"
            case _:
                raise AssertionError(f"an operation that is none: {code!r}")

    def _read(self, index: int) -> str:
        """Return a variable's value, taken out of the state."""
        offset, width = self.packing.offsets[index], self.packing.widths[index]
        low = self.system.variables[index].low
        if width == 0:
            return str(low)
        text = f"s >> {offset}" if offset else "s"
        if offset + width < self.packing.bits:
            text += f" & {(1 << width) - 1}"
        if low == 0:
            return text
        return f"({text}) + {low}" if low > 0 else f"({text}) - {-low}"


class _Steps(Source):
    """The text of a function that gives the steps from one state, and asks nothing."""

    def text(self) -> str:
        self.line(0, "def steps(s):")
        self.line(1, "found = []")
        self.line(1, "add = found.append")
        self.steps = []
        rules = [_Guarded(number, rule, conjuncts(rule.guard)) for number, rule in enumerate(self.system.rules)]
        self.block(1, [each for each in rules if ("const", 0) not in each.guard], ())
        self.line(1, "return found")
        return "\n".join(self.lines) + "\n"

    def take(self, depth: int, each: _Guarded, path: tuple[Code, ...]) -> None:
        faults = [fault.condition for fault in each.rule.faults if fault.condition != ("const", 0)]
        if faults:
            met = " or ".join(map(self.truth, faults))
            self.line(depth, f"if not ({met}):")
            depth += 1
        self.line(depth, f"add(({each.number}, {self._target(each.rule, path)}))")


class _Guarded:
    """A rule with what is still to be asked of it."""

    __slots__ = ("_reads", "guard", "number", "rule")

    def __init__(self, number: int, rule: Rule, guard: tuple[Code, ...]) -> None:
        self.number = number
        self.rule = rule
        self.guard = guard
        self._reads: frozenset[int] | None = None

    @property
    def reads(self) -> frozenset[int]:
        if self._reads is None:
            codes = [*self.guard, *(fault.condition for fault in self.rule.faults), *(c for _, c in self.rule.updates)]
            self._reads = frozenset().union(*map(variables, codes))
        return self._reads


def _grouped(rules: list[_Guarded]) -> Iterator[tuple[Code | None, list[_Guarded]]]:
    """Put rules together that begin with the same condition. The order in which rules are asked makes no difference to
    what is found, but to which of two equal ways: that is decided afterwards, by number."""
    groups: dict[Code | None, list[_Guarded]] = {}
    for each in rules:
        groups.setdefault(each.guard[0] if each.guard else None, []).append(each)
    yield from groups.items()


def _apart(a: Code, b: Code) -> bool:
    """Say whether two conditions ask for different values of one variable."""
    return a[0] == b[0] == "==" and a[1] == b[1] and a[1][0] == "var" and a[2][0] == b[2][0] == "const" and a != b


def _steps_from(code: Code, index: int) -> int | None:
    """Return by how much an update moves its own variable, if that is known."""
    match code:
        case ("var", i) if i == index:
            return 0
        case ("+", ("var", i), ("const", n)) if i == index:
            return int(n)
        case ("-", ("var", i), ("const", n)) if i == index:
            return -int(n)
        case _:
            return None
