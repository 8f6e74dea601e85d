"""The rules of a system as WebAssembly text: functions that write the candidates of a state.

Rules whose guards ask for the same bits stand under one `if` where that skips enough of them. Under it each is worked
out without branches: it writes its candidate, and moves on by its size if the guard holds. What an update does to the
bits of a word is one `and`, one `or` and one addition wherever it is known beforehand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from temper.verify.system.codes import replaced, variables
from temper.verify.system.ir import Code, Rule, System
from temper.verify.system.wasm_codes import Cube, Expressions, Literal, Slot

# One function holds so many rules at the most: compile time grows faster than a function does.
RULES_PER_FUNCTION = 150
# A branch that is foretold wrongly costs about as much as this many operations: it has to skip more than that.
_BRANCH_WORTH = 40
# What a rule takes beside its expressions: its comparison, its candidate, and the step onward.
_RULE_SIZE = 5


class _Fault(Struct):
    """A fault that a rule may meet: where it is noted (`None` if it has been found), and its number in the rule."""

    condition: Code
    key: int | None
    position: int


class _Bits(Struct):
    """What a rule does to one word: bits that stay, bits that are set, what is added, and what is worked out."""

    kept: int
    set: int
    added: int
    made: tuple[tuple[Code, int, int], ...]
    """A value, the low end of its variable, and the bit where it goes."""


class _Ready(Struct):
    """A rule as the kernel takes it."""

    number: int
    weight: int
    literals: tuple[Literal, ...]
    rest: tuple[Code, ...]
    faults: tuple[_Fault, ...]
    steps: tuple[tuple[int, Code], ...]
    """Questions of the step (the place where each is noted), and what they ask of the state before it."""
    words: tuple[_Bits, ...]
    size: int = 0

    @property
    def codes(self) -> list[Code]:
        return [
            *self.rest,
            *(fault.condition for fault in self.faults),
            *(bad for _, bad in self.steps),
            *(code for word in self.words for code, _, _ in word.made),
        ]


class Rules:
    """The functions of a system's rules. `faults` numbers those to be noted, `steps` are the questions of steps."""

    def __init__(
        self,
        system: System,
        slots: Sequence[Slot],
        words: int,
        faults: dict[tuple[str, str], int | None],
        steps: Iterable[tuple[int, Code]],
    ) -> None:
        self.system = system
        self.slots = slots
        self.words = words
        self.size = 8 * words
        self.faults = faults
        self.steps = tuple(steps)
        self.texts = Expressions(system.variables, slots, words)
        self.functions: list[str] = []
        ready = [self._ready(number, rule) for number, rule in enumerate(system.rules)]
        self.calls = self._calls([each for each in ready if each is not None])
        """The text that calls the functions, from the state in $s and the place in $k on."""

    # --- a rule made ready ---

    def _ready(self, number: int, rule: Rule) -> _Ready | None:
        cube, rest = self.texts.split(rule.guard)
        if not cube.possible:
            return None
        faults = []
        for position, fault in enumerate(rule.faults):
            if fault.condition == ("const", 0):
                continue
            faults.append(_Fault(fault.condition, self.faults[fault.site, fault.why], position))
            if fault.condition == ("const", 1):
                break
        never = bool(faults) and faults[-1].condition == ("const", 1)
        if never and all(fault.key is None for fault in faults):
            return None
        now = self._known(cube)
        ready = _Ready(
            number,
            rule.weight,
            tuple(cube.literals),
            rest,
            tuple(faults),
            () if never else tuple(self._asked(rule, now)),
            () if never else tuple(self._bits(rule, word, now) for word in range(self.words)),
        )
        ready.size = _RULE_SIZE + self.texts.size(ready.codes)
        return ready

    def _known(self, cube: Cube) -> dict[int, int]:
        """Return the values of the variables that a cube leaves no choice."""
        return {
            index: (cube.values[slot.word] >> slot.offset & (1 << slot.width) - 1) + self.system.variables[index].low
            for index, slot in enumerate(self.slots)
            if cube.masks[slot.word] & slot.mask == slot.mask
        }

    def _asked(self, rule: Rule, now: dict[int, int]) -> Iterable[tuple[int, Code]]:
        """What the open questions of steps ask of this rule's steps."""
        updates = dict(rule.updates)
        before: dict[Code, Code] = {("var", index): ("const", value) for index, value in now.items()}
        for place, bad in self.steps:
            after = {("next", index): updates.get(index, ("var", index)) for index in variables(bad)}
            asked = replaced(replaced(bad, after), before)
            if asked != ("const", 0):
                yield place, asked

    def _bits(self, rule: Rule, word: int, now: dict[int, int]) -> _Bits:
        found = _Bits((1 << 64) - 1, 0, 0, ())
        for index, code in rule.updates:
            slot, low = self.slots[index], self.system.variables[index].low
            if slot.word != word or slot.width == 0:
                continue
            match code:
                case ("var", i) if i == index:
                    continue
                case ("const", value) if now.get(index) == value:
                    continue
                case ("const", value):
                    found.kept &= ~slot.mask
                    found.set |= (value - low << slot.offset) & slot.mask
                case ("+", ("var", i), ("const", value)) if i == index:
                    found.added += value << slot.offset
                case ("-", ("var", i), ("const", value)) if i == index:
                    found.added -= value << slot.offset
                case ("bits_or", ("var", i), ("const", mask)) if i == index and low == 0 and not mask >> slot.width:
                    found.set |= mask << slot.offset
                case ("bits_without", ("var", i), ("const", mask)) if i == index and low == 0:
                    found.kept &= ~(mask << slot.offset & slot.mask)
                case _:
                    found.kept &= ~slot.mask
                    found.made += ((code, low, slot.offset),)
        return found

    # --- functions ---

    def _calls(self, rules: list[_Ready]) -> str:
        if not rules:
            return ""
        if len(rules) <= RULES_PER_FUNCTION:
            return self._function(rules)
        literal, having = self._most_shared(rules)
        if literal is not None and len(having) < len(rules):
            mine = {id(each) for each in having}
            inner = self._calls(_without(having, literal))
            others = self._calls([each for each in rules if id(each) not in mine])
            return f"(if {self._holds(literal)} (then {inner})) {others}"
        return "".join(
            self._function(rules[start : start + RULES_PER_FUNCTION])
            for start in range(0, len(rules), RULES_PER_FUNCTION)
        )

    def _function(self, rules: list[_Ready]) -> str:
        self.texts.begin()
        body = self._scope(rules)
        number = len(self.functions)
        params = " ".join(f"(param $s{word} i64)" for word in range(self.words))
        weighs = any(each.weight != 1 for each in rules)
        more = "(global.set $more (i64.add (global.get $more) (local.get $w)))" if weighs else ""
        self.functions.append(
            f" (func $rules{number} {params} (param $k i32) (result i32) (local $c i32) (local $w i64)"
            f" {' '.join(self.texts.locals)}\n{body}\n {more} (local.get $k))"
        )
        given = " ".join(f"(local.get $s{word})" for word in range(self.words))
        return f"(local.set $k (call $rules{number} {given} (local.get $k)))"

    def _scope(self, rules: list[_Ready]) -> str:
        """Return the text of some rules, those under one `if` that ask for the same bits."""
        text = []
        while True:
            literal, having = self._most_shared(rules)
            if literal is None:
                break
            mine = {id(each) for each in having}
            rules = [each for each in rules if id(each) not in mine]
            held = dict(self.texts.held)
            inner = self._scope(_without(having, literal))
            # What was put into locals there has not been worked out here.
            self.texts.held = held
            text.append(f"  (if {self._holds(literal)} (then\n{inner}))")
        held = dict(self.texts.held)
        text.append("  " + self.texts.hold(code for each in rules for code in each.codes))
        text += [self._rule(each) for each in rules]
        self.texts.held = held
        return "\n".join(text)

    @staticmethod
    def _holds(literal: Literal) -> str:
        word = f"(local.get $s{literal.word})"
        return f"(i64.eq (i64.and {word} (i64.const {literal.mask})) (i64.const {literal.value}))"

    @staticmethod
    def _most_shared(rules: list[_Ready]) -> tuple[Literal | None, list[_Ready]]:
        """Return the literal whose branch skips most, and the rules that ask for it; `None` if none is worth it."""
        worth: Counter[Literal] = Counter()
        for each in rules:
            for literal in each.literals:
                worth[literal] += each.size
        if not worth:
            return None, []
        literal, skipped = worth.most_common(1)[0]
        if skipped < _BRANCH_WORTH:
            return None, []
        return literal, [each for each in rules if literal in each.literals]

    def _rule(self, rule: _Ready) -> str:
        cube = Cube([0] * self.words, [0] * self.words)
        for literal in rule.literals:
            cube.add(literal)
        guard = self.texts.all_of(cube, rule.rest)
        store = "".join(
            f"(i64.store $buf offset={8 * word} (local.get $k) {self._word(word, bits)})"
            for word, bits in enumerate(rule.words)
        )
        if not rule.faults and not rule.steps and rule.weight == 1:
            return f"  {store}{self._onward(guard)}"
        text = [f"(local.set $c {guard})"]
        for fault in rule.faults:
            met = self.texts.truth(fault.condition)
            if fault.key is None:
                text.append(f"(local.set $c (i32.and (local.get $c) (i32.eqz {met})))")
                continue
            noted = f"(call $fault (i32.const {fault.key}) (i32.const {rule.number}) (i32.const {fault.position}))"
            text.append(f"(if (i32.and (local.get $c) {met}) (then {noted} (local.set $c (i32.const 0))))")
        for place, bad in rule.steps:
            asked = f"(i32.and (local.get $c) {self.texts.truth(bad)})"
            text.append(f"(if {asked} (then (call $step (i32.const {place}) (i32.const {rule.number}))))")
        if not store:
            return "  " + "".join(text)
        if rule.weight != 1:
            more = f"(i64.mul (i64.extend_i32_u (local.get $c)) (i64.const {rule.weight - 1}))"
            text.append(f"(local.set $w (i64.add (local.get $w) {more}))")
        return "  " + "".join(text) + store + self._onward("(local.get $c)")

    def _onward(self, holds: str) -> str:
        shift = self.size.bit_length() - 1
        return f"(local.set $k (i32.add (local.get $k) (i32.shl {holds} (i32.const {shift}))))"

    def _word(self, word: int, bits: _Bits) -> str:
        text = f"(local.get $s{word})"
        if bits.kept != (1 << 64) - 1:
            text = f"(i64.and {text} (i64.const {signed(bits.kept)}))"
        if bits.set:
            text = f"(i64.or {text} (i64.const {signed(bits.set)}))"
        if bits.added:
            text = f"(i64.add {text} (i64.const {bits.added}))"
        for code, low, offset in bits.made:
            value = self.texts.number(code)
            if low:
                value = f"(i64.sub {value} (i64.const {low}))"
            text = f"(i64.or {text} {f'(i64.shl {value} (i64.const {offset}))' if offset else value})"
        return text


def _without(rules: Iterable[_Ready], literal: Literal) -> list[_Ready]:
    """Return the rules where one of their literals is known to hold."""
    return [
        _Ready(
            each.number,
            each.weight,
            tuple(mine for mine in each.literals if mine != literal),
            each.rest,
            each.faults,
            each.steps,
            each.words,
            each.size,
        )
        for each in rules
    ]


def signed(value: int) -> int:
    """Return 64 bits as a number with a sign, which is how a constant is written."""
    return value - (1 << 64) if value >= 1 << 63 else value
