"""The search kernel of one system, as WebAssembly text.

A state is packed into one word of 62 bits, or into two. The kernel holds four memories: `buf` (the candidates of the
state at hand), `tab` (what has been visited), `q` (the states in the order in which they were found, which is the queue
too) and `par` (for each the number of the state it was first reached from); and `ctl`, where it notes what it finds.

The visited set is a bitmap where the packed space is small, and else a hash table of blocks of 64 states, each entry
with its whole key: no state is ever taken for another. The states of a block differ in six bits that stand together,
the *window*. Where it lies decides how full the blocks are, and so how much memory is touched: it is moved where the
states that are known so far fall into the fewest blocks.

Names of an author's are never part of the text: it is made of numbers and of words of this module alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from temper.verify.system.codes import FALSE
from temper.verify.system.ir import System
from temper.verify.system.wasm_codes import FLOORED, Expressions
from temper.verify.system.wasm_rules import Rules

WORD_BITS = 62
WORDS_MAX = 2
# Below this many bits a state is its own address in a bitmap (64 MiB at the most).
BITMAP_BITS_MAX = 29
CANDIDATES_AT = 0
ADDRESSES_AT = 1 << 20
CANDIDATES_MAX = 60_000
FAULT_BYTES = 12
STEP_BYTES = 8
# So many neighbouring bits tell the states of a block apart.
WINDOW_BITS = 6


class TooWide(Exception):
    """The system does not fit the kernel's words or its candidates' buffer: `why` says which."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Slot(Struct, frozen=True):
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


class Notes(Struct, frozen=True):
    """Where in `ctl` the kernel notes what it finds: state questions, step questions and faults, in that order."""

    states: tuple[int, ...]
    steps: tuple[int, ...]
    faults: tuple[tuple[str, str], ...]

    @property
    def steps_at(self) -> int:
        return 4 * len(self.states) + 7 & ~7

    @property
    def faults_at(self) -> int:
        return self.steps_at + STEP_BYTES * len(self.steps) + 8 & ~7

    @property
    def size(self) -> int:
        return self.faults_at + FAULT_BYTES * len(self.faults)


class Known(Struct, frozen=True):
    """What has been found when a kernel is made, and need not be noted again."""

    questions: frozenset[int] = frozenset()
    faults: frozenset[tuple[str, str]] = frozenset()


def windows(layout: Layout) -> list[tuple[int, int]]:
    """Return where the window may lie: at the low end of each variable, as far as there are bits."""
    if layout.bitmap:
        return [(0, 0)]
    ends = [layout.bits if layout.words == 1 else WORD_BITS, layout.bits - WORD_BITS]
    found = {(slot.word, max(min(slot.offset, ends[slot.word] - WINDOW_BITS), 0)) for slot in layout.slots}
    return sorted(found)


def kernel(system: System, layout: Layout, notes: Notes, known: Known | None = None) -> str:
    """Return the module's text. Raises `TooWide`."""
    return _Text(system, layout, notes, known or Known()).module()


class _Text:
    def __init__(self, system: System, layout: Layout, notes: Notes, known: Known) -> None:
        if len(system.rules) > CANDIDATES_MAX:
            raise TooWide(f"there are {len(system.rules):,} rules; the kernel's buffer holds {CANDIDATES_MAX:,}")
        self.system = system
        self.layout = layout
        self.notes = notes
        self.words = range(layout.words)
        self.size = 8 * layout.words
        self.entry = 16 if layout.words == 1 else 32
        self.asked = [
            (place, system.questions[number].bad)
            for place, number in enumerate(notes.states)
            if number not in known.questions and system.questions[number].bad != FALSE
        ]
        steps = [
            (place, system.questions[number].bad)
            for place, number in enumerate(notes.steps)
            if number not in known.questions
        ]
        faults = {key: None if key in known.faults else place for place, key in enumerate(notes.faults)}
        self.rules = Rules(system, layout.slots, layout.words, faults, steps)

    # --- the module ---

    def module(self) -> str:
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
                FLOORED,
                self._note_state(),
                self._note_step(),
                self._note_fault(),
                self._ask(),
                *self.rules.functions,
                self._seed(),
                self._expand(self.rules.calls),
                self._rehash(),
                "" if self.layout.bitmap else self._blocks(),
                ")",
            )
        )

    # n: states found; head: states expanded; blocks: entries of the table; the limits: when to come back for room;
    # more: what rules count for beyond one step each.
    GLOBALS: ClassVar = (
        ("n", "i32"),
        ("head", "i32"),
        ("blocks", "i32"),
        ("mask", "i32"),
        ("n_max", "i32"),
        ("blocks_max", "i32"),
        ("transitions", "i64"),
        ("more", "i64"),
        ("deadlocks", "i32"),
        ("stuck", "i32"),
        # The window: its word, its lowest bit, and for each word the bits that are not in it.
        ("word", "i32"),
        ("shift", "i64"),
        ("kept0", "i64"),
        ("kept1", "i64"),
    )

    # --- what is found ---

    def _note_fault(self) -> str:
        at = self.notes.faults_at
        return f""" (func $fault (param $f i32) (param $rule i32) (param $position i32) (local $at i32)
  (local.set $at (i32.mul (local.get $f) (i32.const {FAULT_BYTES})))
  (if (i32.eqz (i32.load $ctl offset={at} (local.get $at))) (then
   (i32.store $ctl offset={at} (local.get $at) (i32.add (global.get $head) (i32.const 1)))
   (i32.store $ctl offset={at + 4} (local.get $at) (local.get $rule))
   (i32.store $ctl offset={at + 8} (local.get $at) (local.get $position)))))"""

    def _note_step(self) -> str:
        at = self.notes.steps_at
        return f""" (func $step (param $place i32) (param $rule i32) (local $at i32)
  (local.set $at (i32.mul (local.get $place) (i32.const {STEP_BYTES})))
  (if (i32.eqz (i32.load $ctl offset={at} (local.get $at))) (then
   (i32.store $ctl offset={at} (local.get $at) (i32.add (global.get $head) (i32.const 1)))
   (i32.store $ctl offset={at + 4} (local.get $at) (local.get $rule)))))"""

    @staticmethod
    def _note_state() -> str:
        return """ (func $state (param $place i32) (param $index i32) (local $at i32)
  (local.set $at (i32.shl (local.get $place) (i32.const 2)))
  (if (i32.eqz (i32.load $ctl (local.get $at))) (then
   (i32.store $ctl (local.get $at) (i32.add (local.get $index) (i32.const 1))))))"""

    def _ask(self) -> str:
        """A function that asks all open questions of a state. What most states answer no to is asked first, and the
        rest of a question is left out then."""
        texts = Expressions(self.system.variables, self.layout.slots, self.layout.words)
        texts.begin()
        bodies = []
        for place, bad in self.asked:
            cube, rest = texts.split(bad)
            if not cube.possible:
                continue
            held = dict(texts.held)
            # What has been found is left at once: that foretells itself, and nothing is worked out.
            leave = [f"(br_if $no (i32.load $ctl offset={4 * place} (i32.const 0)))"]
            leave += [f"(br_if $no (i32.eqz {each}))" for each in texts.asks(cube)]
            leave.append(texts.hold(rest))
            leave += [f"(br_if $no (i32.eqz {texts.truth(code)}))" for code in rest]
            texts.held = held
            text = "\n   ".join(leave)
            bodies.append(f"  (block $no\n   {text}\n   (call $state (i32.const {place}) (local.get $index)))")
        return (
            f" (func $ask {self._params('s')} (param $index i32) {' '.join(texts.locals)}\n" + "\n".join(bodies) + ")"
        )

    # --- the visited set ---

    @staticmethod
    def _key(word: int) -> str:
        """A word of the state in $t without the window: what all states of a block have alike."""
        return f"(i64.and (local.get $t{word}) (local.get $kept{word}))"

    def _address(self) -> str:
        """The byte in `tab` where the look for the state in $t begins."""
        if self.layout.bitmap:
            return "(i32.wrap_i64 (i64.shl (i64.shr_u (local.get $t0) (i64.const 6)) (i64.const 3)))"
        mixed = f"(i64.mul {self._key(0)} (i64.const -7046029254386353131))"
        if self.layout.words == 2:
            other = f"(i64.mul (i64.add {self._key(1)} (i64.const 1)) (i64.const -4417276706812531889))"
            mixed = f"(i64.xor {mixed} {other})"
        shift = 4 if self.entry == 16 else 5
        # Both ends of the product mix into what is taken of it: neighbours in any variable shall lie far apart.
        folded = f"(i64.xor (local.tee $x {mixed}) (i64.shr_u (local.get $x) (i64.const 32)))"
        spread = f"(i64.shr_u (i64.mul {folded} (i64.const -4417276706812531889)) (i64.const 32))"
        return f"(i32.and (i32.shl (i32.wrap_i64 {spread}) (i32.const {shift})) (local.get $mask))"

    # The locals that looking a state up takes, beside those of the state itself.
    LOOK: ClassVar = " ".join(
        [
            *(f"(local ${name} i64)" for name in ("x", "v", "key", "other", "bit", "shift", "kept0", "kept1")),
            *(f"(local ${name} i32)" for name in ("h", "mask", "blocks")),
        ]
    )

    def _seek(self, free: str) -> str:
        """Move $h to the entry of the block of the state in $t, or to a free one, where `free` is done."""
        same = "(i64.eq (local.get $v) (local.get $key))"
        if self.layout.words == 2:
            same = f"(i32.and {same} (i64.eq (i64.load $tab offset=8 (local.get $h)) (local.get $other)))"
        other = f"(local.set $other {self._key(1)})" if self.layout.words == 2 else ""
        # No state has the highest bit of a word: with it a key is never zero, which stands for an entry that is free.
        return f"""(local.set $key (i64.or {self._key(0)} (i64.const {-1 << 63}))) {other}
    (block $at (loop $probe
     (local.set $v (i64.load $tab (local.get $h)))
     (br_if $at {same})
     (if (i64.eqz (local.get $v)) (then {free} (br $at)))
     (local.set $h (i32.and (i32.add (local.get $h) (i32.const {self.entry})) (local.get $mask)))
     (br $probe)))"""

    def _probe(self) -> str:
        """Leave in $h the byte of the word in which the state of $t has its bit; its entry is made if need be."""
        if self.layout.bitmap:
            return ""
        keys = ["(local.get $key)", "(local.get $other)"][: self.layout.words]
        claim = "".join(f"(i64.store $tab offset={8 * at} (local.get $h) {key})" for at, key in enumerate(keys))
        entry = self._seek(f"{claim} (local.set $blocks (i32.add (local.get $blocks) (i32.const 1)))")
        return f"{entry} (local.set $h (i32.add (local.get $h) (i32.const {self.entry // 2})))"

    def _within(self) -> str:
        """Which state of its block the one in $t is: a shift looks at the six lowest bits of this alone."""
        if self.layout.bitmap:
            return "(local.get $t0)"
        word = "(local.get $t0)"
        if self.layout.words == 2:
            word = f"(select {word} (local.get $t1) (i32.eqz (global.get $word)))"
        return f"(i64.shr_u {word} (local.get $shift))"

    def _look(self, new: str) -> str:
        """Mark the state of $t, whose look begins at $h, and do `new` if it was not marked before."""
        return f"""{self._probe()}
    (local.set $v (i64.load $tab (local.get $h)))
    (local.set $bit (i64.shl (i64.const 1) {self._within()}))
    (if (i64.eqz (i64.and (local.get $v) (local.get $bit))) (then
     (i64.store $tab (local.get $h) (i64.or (local.get $v) (local.get $bit)))
     {new}))"""

    def _push(self, parent: str) -> str:
        """Put the state of $t at the end of the queue, and ask of it what is asked of states."""
        stores = "".join(
            f"(i64.store $q offset={8 * word} (local.get $at) (local.get $t{word}))" for word in self.words
        )
        ask = f"(call $ask {self._states('t')} (local.get $n))" if self.asked else ""
        return f"""(local.set $at (i32.mul (local.get $n) (i32.const {self.size})))
     {stores}
     (i32.store $par (i32.shl (local.get $n) (i32.const 2)) {parent})
     {ask}
     (local.set $n (i32.add (local.get $n) (i32.const 1)))"""

    # What the kernel counts, from globals to locals and back: a local is a register.
    BEGIN: ClassVar = """(local.set $n (global.get $n)) (local.set $blocks (global.get $blocks))
   (local.set $mask (global.get $mask)) (local.set $shift (global.get $shift))
   (local.set $kept0 (global.get $kept0)) (local.set $kept1 (global.get $kept1))"""
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
        shift = self.size.bit_length() - 1
        following = f"(local.set $i (i32.add (local.get $i) (i32.const {self.size})))"
        locals_ = " ".join(f"(local $s{word} i64) (local $t{word} i64)" for word in self.words)
        full = "(i32.gt_u (local.get $blocks) (global.get $blocks_max))"
        return f""" (func (export "expand") (param $budget i32) (result i32) {locals_} {self.LOOK}
   (local $n i32) (local $head i32) (local $at i32) (local $k i32) (local $i i32) (local $acc i64) (local $answer i32)
   (local $transitions i64)
   {self.BEGIN}
   (local.set $head (global.get $head)) (local.set $transitions (global.get $transitions))
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
   (local.set $transitions (i64.add (local.get $transitions)
    (i64.extend_i32_u (i32.shr_u (local.get $k) (i32.const {shift})))))
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
    (local.set $h (i32.load $buf offset={ADDRESSES_AT} (local.get $i)))
    {self._look(self._push("(local.get $head)"))}
    {following} (br $each)))
   (local.set $head (i32.add (local.get $head) (i32.const 1)))
   (br $main)))
  (global.set $head (local.get $head)) (global.set $acc (local.get $acc))
  (global.set $transitions (local.get $transitions))
  {self.END}
  (local.get $answer))"""

    def _rehash(self) -> str:
        loads = "".join(
            f"(local.set $t{word} (i64.load $q offset={8 * word} (i32.mul (local.get $j) (i32.const {self.size}))))"
            for word in self.words
        )
        locals_ = " ".join(f"(local $t{word} i64)" for word in self.words)
        return f""" (func (export "rehash") (result i32) {locals_} {self.LOOK} (local $n i32) (local $j i32)
  {self.BEGIN}
  (local.set $blocks (i32.const 0))
  (block $out (loop $each (br_if $out (i32.ge_u (local.get $j) (local.get $n)))
   (if (i32.gt_u (local.get $blocks) (global.get $blocks_max)) (then (return (i32.const 0))))
   {loads}
   (local.set $h {self._address()})
   {self._look("")}
   (local.set $j (i32.add (local.get $j) (i32.const 1))) (br $each)))
  {self.END}
  (i32.const 1))"""

    def _blocks(self) -> str:
        """How many blocks states evenly taken from the queue would take, were the window at some bit of some word: of
        each its share, which is one part in as many as have been visited of the 64 that its block would hold."""
        states = [
            f"(i64.load $q offset={8 * word} (i32.mul (local.get $j) (i32.const {self.size})))" for word in self.words
        ]
        bits = f"(i64.const {(1 << WINDOW_BITS) - 1})"
        changed = "".join(
            f"(local.set $t{word} {states[word]})"
            f"(if (i32.eq (local.get $in) (i32.const {word})) (then (local.set $t{word} (i64.or"
            f" (i64.and (local.get $t{word}) (i64.xor (i64.shl {bits} (local.get $at)) (i64.const -1)))"
            " (i64.shl (local.get $each) (local.get $at))))))"
            for word in self.words
        )
        locals_ = " ".join(f"(local $t{word} i64)" for word in self.words)
        return f""" (func (export "blocks_of")
  (param $in i32) (param $at i64) (param $j i32) (param $upto i32) (param $apart i32) (result f64)
  {locals_} {self.LOOK} (local $n i32) (local $each i64) (local $near i32) (local $sum f64)
  {self.BEGIN}
  (block $out (loop $sampled (br_if $out (i32.ge_u (local.get $j) (local.get $upto)))
   (local.set $each (i64.const 0)) (local.set $near (i32.const 0))
   (loop $neighbour
    {changed}
    (local.set $h {self._address()})
    {self._seek("")}
    (local.set $near (i32.add (local.get $near) (i32.wrap_i64 (i64.and (i64.const 1)
     (i64.shr_u (i64.load $tab offset={self.entry // 2} (local.get $h)) {self._within()})))))
    (br_if $neighbour (i64.le_u (local.tee $each (i64.add (local.get $each) (i64.const 1))) {bits})))
   (local.set $sum (f64.add (local.get $sum) (f64.div (f64.const 1) (f64.convert_i32_u (local.get $near)))))
   (local.set $j (i32.add (local.get $j) (local.get $apart))) (br $sampled)))
  (local.get $sum))"""

    def _params(self, name: str) -> str:
        return " ".join(f"(param ${name}{word} i64)" for word in self.words)

    def _states(self, name: str) -> str:
        return " ".join(f"(local.get ${name}{word})" for word in self.words)


def fault_keys(system: System) -> tuple[tuple[str, str], ...]:
    """Return what the faults of all rules are told apart by, in order."""
    return tuple(dict.fromkeys((fault.site, fault.why) for rule in system.rules for fault in rule.faults))
