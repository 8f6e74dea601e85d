"""The search kernel of one system, as WebAssembly text.

A state is packed into one word of 62 bits, or into two. The kernel holds four memories: `buf` (the candidates of the
state at hand), `tab` (what has been visited), `q` (the states in the order in which they were found, which is the queue
too) and `par` (for each the number of the state it was first reached from); and `ctl`, where it notes what it finds.

Guards and updates are worked out without branches: each rule writes its candidate and moves on by its size if the guard
holds. Every operation is total here (a division by zero gives zero), so that what laziness would have protected may be
worked out and thrown away. The visited set is a bitmap where the packed space is small, and else a hash table of blocks
of 64 neighbouring states, each entry with its whole key: no state is ever taken for another.

Names of an author's are never part of the text: it is made of numbers and of words of this module alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from temper.verify.system.codes import conjuncts, walk
from temper.verify.system.ir import Code, Rule, System

WORD_BITS = 62
WORDS_MAX = 2
# Below this many bits a state is its own address in a bitmap (64 MiB at the most).
BITMAP_BITS_MAX = 29
# One function holds so many rules at the most: compile time grows faster than a function does.
RULES_PER_FUNCTION = 150
# A group of rules that begin with the same condition is skipped as a whole from this size on.
GROUP_MIN = 4
CANDIDATES_AT = 0
ADDRESSES_AT = 1 << 20
CANDIDATES_MAX = 60_000
FAULT_BYTES = 12
STEP_BYTES = 24


class TooWide(Exception):
    """The system does not fit the kernel's words or its candidates' buffer: `why` says which."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a variable stands: its word, its first bit, and how many bits it has."""

    word: int
    offset: int
    width: int

    @property
    def mask(self) -> int:
        return (1 << self.width) - 1 << self.offset


class Layout:
    """Where each variable stands in the words of a state. No variable lies in two words."""

    def __init__(self, system: System) -> None:
        self.slots: list[Slot] = []
        word, offset = 0, 0
        for variable in system.variables:
            width = max(variable.size - 1, 0).bit_length()
            if width > WORD_BITS:
                raise TooWide(f"`{variable.name}` has more values than a word")
            if offset + width > WORD_BITS:
                word, offset = word + 1, 0
            self.slots.append(Slot(word, offset, width))
            offset += width
        self.words = word + 1
        self.bits = offset if word == 0 else WORD_BITS * word + offset
        if self.words > WORDS_MAX:
            raise TooWide(f"a state takes {self.bits} bits; the kernel has {WORDS_MAX} words of {WORD_BITS}")

    @property
    def bitmap(self) -> bool:
        """Return whether a state is its own address."""
        return self.words == 1 and self.bits <= BITMAP_BITS_MAX

    def packed(self, state: Sequence[int]) -> tuple[int, ...]:
        """Return the words of a state."""
        words = [0] * self.words
        for code, slot in zip(state, self.slots, strict=True):
            words[slot.word] |= code << slot.offset
        return tuple(words)

    def unpacked(self, words: Sequence[int]) -> tuple[int, ...]:
        """Return the state that words hold."""
        return tuple(words[slot.word] >> slot.offset & (1 << slot.width) - 1 for slot in self.slots)


@dataclass(frozen=True, slots=True)
class Notes:
    """Where in `ctl` the kernel notes what it finds: state questions, step questions and faults, in that order."""

    states: tuple[int, ...]
    steps: tuple[int, ...]
    faults: tuple[tuple[str, str], ...]

    @property
    def steps_at(self) -> int:
        return 4 * len(self.states)

    @property
    def faults_at(self) -> int:
        return self.steps_at + STEP_BYTES * len(self.steps) + 8 & ~7

    @property
    def size(self) -> int:
        return self.faults_at + FAULT_BYTES * len(self.faults)


def kernel(system: System, layout: Layout, notes: Notes) -> str:
    """Return the module's text. Raises `TooWide`."""
    return _Text(system, layout, notes).module()


class _Text:
    def __init__(self, system: System, layout: Layout, notes: Notes) -> None:
        if len(system.rules) > CANDIDATES_MAX:
            raise TooWide(f"there are {len(system.rules):,} rules; the kernel's buffer holds {CANDIDATES_MAX:,}")
        self.system = system
        self.layout = layout
        self.notes = notes
        self.words = range(layout.words)
        self.size = 8 * layout.words
        self.entry = 16 if layout.words == 1 else 32
        self.weighted = any(rule.weight != 1 for rule in system.rules)
        self.fault_numbers = {key: number for number, key in enumerate(notes.faults)}

    # --- the module ---

    def module(self) -> str:
        pieces = list(self._rule_functions())
        calls = "".join(
            f"(local.set $k (call $rules{n} {self._states('s')} (local.get $k)))" for n in range(len(pieces))
        )
        return "\n".join(
            (
                "(module",
                ' (memory $buf (export "buf") 48)',
                ' (memory $tab (export "tab") 1)',
                ' (memory $q (export "q") 1)',
                ' (memory $par (export "par") 1)',
                f' (memory $ctl (export "ctl") {(self.notes.size >> 16) + 1})',
                *(f' (global ${name} (export "{name}") (mut {kind}) ({kind}.const 0))' for name, kind in self.GLOBALS),
                " (global $acc (mut i64) (i64.const 0))",
                *(
                    f" (global $open{n} (mut i64) (i64.const {_signed(mask)}))"
                    for n, mask in enumerate(_masks(len(self.notes.states)))
                ),
                *(
                    f" (global $open_step{n} (mut i64) (i64.const {_signed(mask)}))"
                    for n, mask in enumerate(_masks(len(self.notes.steps)))
                ),
                self.FLOORED,
                *self._ask("ask", self.notes.states, step=False),
                *self._ask("ask_step", self.notes.steps, step=True),
                self._note_fault(),
                *pieces,
                self._seed(),
                self._expand(calls),
                "" if self.layout.bitmap else self._rehash(),
                ")",
            )
        )

    # n: states found; head: states expanded; blocks: entries of the table; the limits: when to come back for room.
    GLOBALS: ClassVar = (
        ("n", "i32"),
        ("head", "i32"),
        ("blocks", "i32"),
        ("mask", "i32"),
        ("n_max", "i32"),
        ("blocks_max", "i32"),
        ("transitions", "i64"),
        ("deadlocks", "i32"),
        ("stuck", "i32"),
    )

    FLOORED: ClassVar = """
 (func $floordiv (param $a i64) (param $b i64) (result i64) (local $q i64) (local $r i64)
  (if (i64.eqz (local.get $b)) (then (return (i64.const 0))))
  (if (i64.eq (local.get $b) (i64.const -1)) (then (return (i64.sub (i64.const 0) (local.get $a)))))
  (local.set $q (i64.div_s (local.get $a) (local.get $b)))
  (local.set $r (i64.rem_s (local.get $a) (local.get $b)))
  (i64.sub (local.get $q) (i64.extend_i32_u (i32.and (i64.ne (local.get $r) (i64.const 0))
   (i64.lt_s (i64.xor (local.get $r) (local.get $b)) (i64.const 0))))))
 (func $floormod (param $a i64) (param $b i64) (result i64)
  (i64.sub (local.get $a) (i64.mul (call $floordiv (local.get $a) (local.get $b)) (local.get $b))))
 (func $min (param $a i64) (param $b i64) (result i64)
  (select (local.get $a) (local.get $b) (i64.le_s (local.get $a) (local.get $b))))
 (func $max (param $a i64) (param $b i64) (result i64)
  (select (local.get $a) (local.get $b) (i64.ge_s (local.get $a) (local.get $b))))"""

    # --- rules ---

    def _rule_functions(self) -> Iterable[str]:
        bodies: list[str] = []
        count = 0
        functions = 0
        for group in self._groups():
            bodies.append(self._group(group))
            count += len(group)
            if count >= RULES_PER_FUNCTION:
                yield self._rule_function(functions, bodies)
                functions, bodies, count = functions + 1, [], 0
        if bodies:
            yield self._rule_function(functions, bodies)

    def _rule_function(self, number: int, bodies: list[str]) -> str:
        return (
            f" (func $rules{number} {self._params('s')} (param $k i32) (result i32) (local $c i32)\n"
            + "\n".join(bodies)
            + "\n (local.get $k))"
        )

    def _groups(self) -> Iterable[list[tuple[int, Rule, tuple[Code, ...]]]]:
        """Rules that stand together and begin with the same condition, cut to what one function holds."""
        group: list[tuple[int, Rule, tuple[Code, ...]]] = []
        for number, rule in enumerate(self.system.rules):
            parts = conjuncts(rule.guard)
            if ("const", 0) in parts:
                continue
            if group and (
                not parts or not group[0][2] or group[0][2][0] != parts[0] or len(group) >= RULES_PER_FUNCTION
            ):
                yield group
                group = []
            group.append((number, rule, parts))
        if group:
            yield group

    def _group(self, group: list[tuple[int, Rule, tuple[Code, ...]]]) -> str:
        if len(group) < GROUP_MIN or not group[0][2]:
            return "\n".join(self._rule(number, rule, parts) for number, rule, parts in group)
        shared = self.truth(group[0][2][0])
        inner = "\n".join(self._rule(number, rule, parts[1:]) for number, rule, parts in group)
        return f"  (if {shared} (then\n{inner}))"

    def _rule(self, number: int, rule: Rule, parts: tuple[Code, ...]) -> str:
        guard = self.conjunction(parts)
        store = "".join(
            f"(i64.store $buf offset={CANDIDATES_AT + 8 * word} (local.get $k) {self._target(rule, word)})"
            for word in self.words
        )
        faults = [(n, fault) for n, fault in enumerate(rule.faults) if fault.condition != ("const", 0)]
        weight = f"(global.set $transitions (i64.add (global.get $transitions) (i64.const {rule.weight})))"
        if not faults:
            if not self.weighted:
                return f"  {store}(local.set $k (i32.add (local.get $k) (i32.mul {guard} (i32.const {self.size}))))"
            return (
                f"  (if {guard} (then {store}{weight}(local.set $k (i32.add (local.get $k) (i32.const {self.size})))))"
            )
        taken = (
            f"{store}{weight if self.weighted else ''}(local.set $k (i32.add (local.get $k) (i32.const {self.size})))"
        )
        for position, fault in reversed(faults):
            key = self.fault_numbers[(fault.site, fault.why)]
            noted = f"(call $fault (i32.const {key}) (i32.const {number}) (i32.const {position}))"
            taken = f"(if {self.truth(fault.condition)} (then {noted}) (else {taken}))"
        return f"  (if {guard} (then {taken}))"

    def _target(self, rule: Rule, word: int) -> str:
        cleared, known, made = 0, 0, []
        for index, code in rule.updates:
            slot, low = self.layout.slots[index], self.system.variables[index].low
            if slot.word != word:
                continue
            cleared |= slot.mask
            if code[0] == "const":
                known |= code[1] - low << slot.offset
                continue
            value = self.number(code)
            if low:
                value = f"(i64.sub {value} (i64.const {low}))"
            made.append(f"(i64.shl {value} (i64.const {slot.offset}))" if slot.offset else value)
        text = f"(local.get $s{word})"
        if cleared:
            text = f"(i64.and {text} (i64.const {_signed(~cleared & (1 << 64) - 1)}))"
        if known:
            text = f"(i64.or {text} (i64.const {known}))"
        for each in made:
            text = f"(i64.or {text} {each})"
        return text

    def _note_fault(self) -> str:
        at = self.notes.faults_at
        return f""" (func $fault (param $f i32) (param $rule i32) (param $position i32) (local $at i32)
  (local.set $at (i32.mul (local.get $f) (i32.const {FAULT_BYTES})))
  (if (i32.eqz (i32.load $ctl offset={at} (local.get $at))) (then
   (i32.store $ctl offset={at} (local.get $at) (i32.add (global.get $head) (i32.const 1)))
   (i32.store $ctl offset={at + 4} (local.get $at) (local.get $rule))
   (i32.store $ctl offset={at + 8} (local.get $at) (local.get $position)))))"""

    # --- questions ---

    def _ask(self, name: str, asked: tuple[int, ...], *, step: bool) -> Iterable[str]:
        """A function that answers all questions of one kind about a state (or a step), and notes what is new."""
        variables = f"{self._params('s')} {self._params('t')}" if step else self._params("t")
        given = f"{self._states('s')} {self._states('t')}" if step else self._states("t")
        calls = []
        for chunk, start in enumerate(range(0, len(asked), 64)):
            numbers = asked[start : start + 64]
            terms = [
                f"(i64.shl (i64.extend_i32_u {self.truth(self.system.questions[number].bad, 't' if not step else 's')})"
                f" (i64.const {bit}))"
                for bit, number in enumerate(numbers)
            ]
            text = terms[0]
            for term in terms[1:]:
                text = f"(i64.or {text} {term})"
            yield f" (func ${name}{chunk} {variables} (result i64) {text})"
            opened = f"$open{'_step' if step else ''}{chunk}"
            calls.append(
                f"""(if (i64.ne (global.get {opened}) (i64.const 0)) (then
    (local.set $m (i64.and (global.get {opened}) (call ${name}{chunk} {given})))
    (block $none (loop $more (br_if $none (i64.eqz (local.get $m)))
     (local.set $i (i32.add (i32.wrap_i64 (i64.ctz (local.get $m))) (i32.const {start})))
     {self._note_step() if step else self._note_state()}
     (local.set $x (i64.and (i64.sub (i64.const 0) (local.get $m)) (local.get $m)))
     (global.set {opened} (i64.xor (global.get {opened}) (local.get $x)))
     (local.set $m (i64.xor (local.get $m) (local.get $x))) (br $more)))))"""
            )
        index = "" if step else "(param $index i32)"
        yield (
            f" (func ${name} {variables} {index} (local $m i64) (local $x i64) (local $i i32)\n  "
            + "\n  ".join(calls)
            + ")"
        )

    @staticmethod
    def _note_state() -> str:
        return "(i32.store $ctl (i32.shl (local.get $i) (i32.const 2)) (i32.add (local.get $index) (i32.const 1)))"

    def _note_step(self) -> str:
        at = self.notes.steps_at + 7 & ~7
        place = f"(i32.mul (local.get $i) (i32.const {STEP_BYTES}))"
        words = "".join(
            f"(i64.store $ctl offset={at + 8 + 8 * word} {place} (local.get $t{word}))" for word in self.words
        )
        return f"(i32.store $ctl offset={at} {place} (i32.add (global.get $head) (i32.const 1))){words}"

    # --- the visited set ---

    def _address(self) -> str:
        """The byte in `tab` where the look for the state in $t begins."""
        if self.layout.bitmap:
            return "(i32.wrap_i64 (i64.shl (i64.shr_u (local.get $t0) (i64.const 6)) (i64.const 3)))"
        mixed = "(i64.mul (i64.shr_u (local.get $t0) (i64.const 6)) (i64.const -7046029254386353131))"
        if self.layout.words == 2:
            other = "(i64.mul (i64.add (local.get $t1) (i64.const 1)) (i64.const -4417276706812531889))"
            mixed = f"(i64.xor {mixed} {other})"
        shift = 4 if self.entry == 16 else 5
        return (
            f"(i32.and (i32.shl (i32.wrap_i64 (i64.shr_u (i64.xor (local.tee $x {mixed})"
            f" (i64.shr_u (local.get $x) (i64.const 29))) (i64.const 32))) (i32.const {shift})) (local.get $mask))"
        )

    # The locals that looking a state up takes, beside those of the state itself.
    LOOK: ClassVar = " ".join(
        [
            *(f"(local ${name} i64)" for name in ("x", "v", "key", "bit")),
            *(f"(local ${name} i32)" for name in ("h", "mask", "blocks")),
        ]
    )

    def _probe(self) -> str:
        """Leave in $h the byte of the word in which the state of $t has its bit; its entry is made if need be."""
        if self.layout.bitmap:
            return ""
        keys = [("(local.get $key)", 0)]
        same = "(i64.eq (local.get $v) (local.get $key))"
        if self.layout.words == 2:
            keys.append(("(local.get $t1)", 8))
            same = f"(i32.and {same} (i64.eq (i64.load $tab offset=8 (local.get $h)) (local.get $t1)))"
        claim = "".join(f"(i64.store $tab offset={at} (local.get $h) {key})" for key, at in keys)
        bits = 8 if self.entry == 16 else 16
        return f"""(local.set $key (i64.add (i64.shr_u (local.get $t0) (i64.const 6)) (i64.const 1)))
    (block $at (loop $probe
     (local.set $v (i64.load $tab (local.get $h)))
     (br_if $at {same})
     (if (i64.eqz (local.get $v)) (then {claim}
      (local.set $blocks (i32.add (local.get $blocks) (i32.const 1))) (br $at)))
     (local.set $h (i32.and (i32.add (local.get $h) (i32.const {self.entry})) (local.get $mask)))
     (br $probe)))
    (local.set $h (i32.add (local.get $h) (i32.const {bits})))"""

    def _look(self, new: str) -> str:
        """Mark the state of $t, whose look begins at $h, and do `new` if it was not marked before."""
        return f"""{self._probe()}
    (local.set $v (i64.load $tab (local.get $h)))
    (local.set $bit (i64.shl (i64.const 1) (local.get $t0)))
    (if (i64.eqz (i64.and (local.get $v) (local.get $bit))) (then
     (i64.store $tab (local.get $h) (i64.or (local.get $v) (local.get $bit)))
     {new}))"""

    def _push(self, parent: str) -> str:
        """Put the state of $t at the end of the queue, and ask of it what is asked of states."""
        stores = "".join(
            f"(i64.store $q offset={8 * word} (local.get $at) (local.get $t{word}))" for word in self.words
        )
        ask = f"(call $ask {self._states('t')} (local.get $n))" if self.notes.states else ""
        return f"""(local.set $at (i32.mul (local.get $n) (i32.const {self.size})))
     {stores}
     (i32.store $par (i32.shl (local.get $n) (i32.const 2)) {parent})
     {ask}
     (local.set $n (i32.add (local.get $n) (i32.const 1)))"""

    # What the kernel counts, from globals to locals and back: a local is a register.
    BEGIN: ClassVar = """(local.set $n (global.get $n)) (local.set $blocks (global.get $blocks))
   (local.set $mask (global.get $mask))"""
    END: ClassVar = "(global.set $n (local.get $n)) (global.set $blocks (local.get $blocks))"

    def _seed(self) -> str:
        return f""" (func (export "seed") {self._params("t")} {self.LOOK} (local $n i32) (local $at i32)
   {self.BEGIN}
   (local.set $h {self._address()})
   {self._look(self._push("(i32.const -1)"))}
   {self.END})"""

    def _expand(self, calls: str) -> str:
        loads = "".join(
            f"(local.set $s{word} (i64.load $q offset={8 * word} (i32.mul (local.get $head) (i32.const {self.size}))))"
            for word in self.words
        )
        candidates = "".join(
            f"(local.set $t{word} (i64.load $buf offset={CANDIDATES_AT + 8 * word} (local.get $i)))"
            for word in self.words
        )
        counted = (
            ""
            if self.weighted
            else "(global.set $transitions (i64.add (global.get $transitions)"
            f" (i64.extend_i32_u (i32.div_u (local.get $k) (i32.const {self.size})))))"
        )
        step = f"(call $ask_step {self._states('s')} {self._states('t')})" if self.notes.steps else ""
        following = f"(local.set $i (i32.add (local.get $i) (i32.const {self.size})))"
        locals_ = " ".join(f"(local $s{word} i64) (local $t{word} i64)" for word in self.words)
        full = "(i32.gt_u (local.get $blocks) (global.get $blocks_max))"
        return f""" (func (export "expand") (param $budget i32) (result i32) {locals_} {self.LOOK}
   (local $n i32) (local $head i32) (local $at i32) (local $k i32) (local $i i32) (local $acc i64) (local $answer i32)
   {self.BEGIN}
   (local.set $head (global.get $head))
  (block $out (loop $main
   (local.set $answer (i32.const 0))
   (br_if $out (i32.ge_u (local.get $head) (local.get $n)))
   (local.set $answer (i32.const 1))
   (br_if $out (i32.eqz (local.get $budget)))
   (local.set $answer (i32.const 2))
   (br_if $out (i32.or (i32.gt_u (local.get $n) (global.get $n_max)) {full}))
   (local.set $budget (i32.sub (local.get $budget) (i32.const 1)))
   (global.set $head (local.get $head))
   {loads}
   (local.set $k (i32.const 0))
   {calls}
   {counted}
   (if (i32.eqz (local.get $k)) (then
    (if (i32.eqz (global.get $deadlocks)) (then (global.set $stuck (local.get $head))))
    (global.set $deadlocks (i32.add (global.get $deadlocks) (i32.const 1)))))
   (; the addresses first, and a touch of each: the memory fetches the next while this one is looked at ;)
   (local.set $i (i32.const 0))
   (block $touched (loop $touch (br_if $touched (i32.ge_u (local.get $i) (local.get $k)))
    {candidates}
    (local.set $h {self._address()})
    (i32.store $buf offset={ADDRESSES_AT} (local.get $i) (local.get $h))
    (local.set $acc (i64.xor (local.get $acc) (i64.load $tab (local.get $h))))
    {following} (br $touch)))
   (local.set $i (i32.const 0))
   (block $done (loop $each (br_if $done (i32.ge_u (local.get $i) (local.get $k)))
    {candidates}
    {step}
    (local.set $h (i32.load $buf offset={ADDRESSES_AT} (local.get $i)))
    {self._look(self._push("(local.get $head)"))}
    {following} (br $each)))
   (local.set $head (i32.add (local.get $head) (i32.const 1)))
   (br $main)))
  (global.set $head (local.get $head)) (global.set $acc (local.get $acc))
  {self.END}
  (local.get $answer))"""

    def _rehash(self) -> str:
        loads = "".join(
            f"(local.set $t{word} (i64.load $q offset={8 * word} (i32.mul (local.get $j) (i32.const {self.size}))))"
            for word in self.words
        )
        locals_ = " ".join(f"(local $t{word} i64)" for word in self.words)
        return f""" (func (export "rehash") {locals_} {self.LOOK} (local $n i32) (local $j i32)
  {self.BEGIN}
  (local.set $blocks (i32.const 0))
  (block $out (loop $each (br_if $out (i32.ge_u (local.get $j) (local.get $n)))
   {loads}
   (local.set $h {self._address()})
   {self._look("")}
   (local.set $j (i32.add (local.get $j) (i32.const 1))) (br $each)))
  {self.END})"""

    # --- expressions ---

    def _params(self, name: str) -> str:
        return " ".join(f"(param ${name}{word} i64)" for word in self.words)

    def _states(self, name: str) -> str:
        return " ".join(f"(local.get ${name}{word})" for word in self.words)

    def conjunction(self, parts: tuple[Code, ...], state: str = "s") -> str:
        """Return that all hold. Those that ask for one value of one variable become one comparison a word."""
        masks, values = [0] * self.layout.words, [0] * self.layout.words
        rest = []
        for part in parts:
            match part:
                case ("==", ("var", index), ("const", value)):
                    slot, variable = self.layout.slots[index], self.system.variables[index]
                    code = value - variable.low
                    if not 0 <= code < variable.size or (masks[slot.word] & slot.mask and slot.width):
                        rest.append(self.truth(part, state))
                        continue
                    masks[slot.word] |= slot.mask
                    values[slot.word] |= code << slot.offset
                case _:
                    rest.append(self.truth(part, state))
        cubes = [
            f"(i64.eq (i64.and (local.get ${state}{word}) (i64.const {mask})) (i64.const {values[word]}))"
            for word, mask in enumerate(masks)
            if mask
        ]
        text = ""
        for each in (*cubes, *rest):
            text = f"(i32.and {text} {each})" if text else each
        return text or "(i32.const 1)"

    _COMPARE: ClassVar = {
        "==": "i64.eq", "!=": "i64.ne", "<": "i64.lt_s", "<=": "i64.le_s", ">": "i64.gt_s", ">=": "i64.ge_s"
    }  # fmt: skip
    _INFIX: ClassVar = {"+": "i64.add", "-": "i64.sub", "*": "i64.mul", "bits_and": "i64.and", "bits_or": "i64.or"}
    _CALLED: ClassVar = {"//": "floordiv", "%": "floormod", "min": "min", "max": "max"}

    def truth(self, code: Code, state: str = "s") -> str:
        """Return a condition as an i32 that is 0 or 1. `state` is where `var` reads; `next` reads $t."""
        match code:
            case ("const", value):
                return f"(i32.const {int(bool(value))})"
            case ("and", *_):
                return self.conjunction(conjuncts(code), state)
            case ("or", *parts):
                text = ""
                for part in parts:
                    text = f"(i32.or {text} {self.truth(part, state)})" if text else self.truth(part, state)
                return text or "(i32.const 0)"
            case ("not", inner):
                return f"(i32.eqz {self.truth(inner, state)})"
            case ("ite", condition, a, b):
                return f"(select {self.truth(a, state)} {self.truth(b, state)} {self.truth(condition, state)})"
            case ("has", mask, element):
                shifted = f"(i64.shr_u {self.number(mask, state)} {self.number(element, state)})"
                return f"(i32.wrap_i64 (i64.and {shifted} (i64.const 1)))"
            case (("==" | "!=" | "<" | "<=" | ">" | ">=") as name, a, b):
                return f"({self._COMPARE[name]} {self.number(a, state)} {self.number(b, state)})"
            case _:
                return f"(i64.ne {self.number(code, state)} (i64.const 0))"

    def number(self, code: Code, state: str = "s") -> str:
        """Return a code as an i64."""
        match code:
            case ("const", value):
                return f"(i64.const {value})"
            case ("var", index):
                return self._read(index, state)
            case ("next", index):
                return self._read(index, "t")
            case ("neg", inner):
                return f"(i64.sub (i64.const 0) {self.number(inner, state)})"
            case ("ite", condition, a, b):
                return f"(select {self.number(a, state)} {self.number(b, state)} {self.truth(condition, state)})"
            case ("bit", element):
                return f"(i64.shl (i64.const 1) {self.number(element, state)})"
            case ("count", mask):
                return f"(i64.popcnt {self.number(mask, state)})"
            case ("bits_without", a, b):
                without = f"(i64.xor {self.number(b, state)} (i64.const -1))"
                return f"(i64.and {self.number(a, state)} {without})"
            case (name, a, b) if name in self._INFIX:
                return f"({self._INFIX[name]} {self.number(a, state)} {self.number(b, state)})"
            case (name, a, b) if name in self._CALLED:
                return f"(call ${self._CALLED[name]} {self.number(a, state)} {self.number(b, state)})"
            case _:
                return f"(i64.extend_i32_u {self.truth(code, state)})"

    def _read(self, index: int, state: str) -> str:
        slot, low = self.layout.slots[index], self.system.variables[index].low
        if slot.width == 0:
            return f"(i64.const {low})"
        text = f"(local.get ${state}{slot.word})"
        if slot.offset:
            text = f"(i64.shr_u {text} (i64.const {slot.offset}))"
        text = f"(i64.and {text} (i64.const {(1 << slot.width) - 1}))"
        return f"(i64.add {text} (i64.const {low}))" if low else text


def fault_keys(system: System) -> tuple[tuple[str, str], ...]:
    """Return what the faults of all rules are told apart by, in order."""
    return tuple(dict.fromkeys((fault.site, fault.why) for rule in system.rules for fault in rule.faults))


def widest(system: System) -> int:
    """Return how many parts the largest code of a system has: a text of it grows with that."""
    codes = [rule.guard for rule in system.rules] + [code for rule in system.rules for _, code in rule.updates]
    codes += [question.bad for question in system.questions]
    return max((sum(1 for _ in walk(code)) for code in codes), default=0)


def _masks(number: int) -> list[int]:
    return [(1 << min(64, number - start)) - 1 for start in range(0, number, 64)]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
