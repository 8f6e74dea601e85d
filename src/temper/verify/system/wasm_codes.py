"""A system's expressions as WebAssembly text, over states that are packed into words.

Everything is worked out without branches, and every operation is total: a division by zero gives zero, so that what
laziness would have protected may be worked out and thrown away. Equal codes are one object here, and what a function
needs more than once is put into a local of its own.

A *cube* is what most guards come to: for some bits of the words, that they have these values. It is asked by one `and`
and one comparison a word, however many conditions it is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

from msgspec import Struct, field

from temper.verify.system.codes import TRUTHS, no
from temper.verify.system.ir import Code, Var

FLOORED = """
 (func $floordiv (param $a i64) (param $b i64) (result i64) (local $q i64) (local $r i64)
  (if (i64.eqz (local.get $b)) (then (return (i64.const 0))))
  (if (i64.eq (local.get $b) (i64.const -1)) (then (return (i64.sub (i64.const 0) (local.get $a)))))
  (local.set $q (i64.div_s (local.get $a) (local.get $b)))
  (local.set $r (i64.rem_s (local.get $a) (local.get $b)))
  (i64.sub (local.get $q) (i64.extend_i32_u (i32.and (i64.ne (local.get $r) (i64.const 0))
   (i64.lt_s (i64.xor (local.get $r) (local.get $b)) (i64.const 0))))))
 (func $floormod (param $a i64) (param $b i64) (result i64)
  (i64.sub (local.get $a) (i64.mul (call $floordiv (local.get $a) (local.get $b)) (local.get $b))))"""


class Slot(Protocol):
    """Where a variable stands."""

    @property
    def word(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def mask(self) -> int: ...


class Literal(Struct, frozen=True):
    """Some bits of one variable, and their values: `mask` and `value` are where the word has them."""

    word: int
    mask: int
    value: int


class Cube(Struct):
    """Bits of the words that have known values; `False` where two conditions ask for different ones."""

    masks: list[int]
    values: list[int]
    possible: bool = True
    literals: dict[Literal, None] = field(default_factory=dict)

    def add(self, literal: Literal) -> None:
        """Ask for these bits too."""
        word = literal.word
        if (self.values[word] ^ literal.value) & self.masks[word] & literal.mask:
            self.possible = False
        self.masks[word] |= literal.mask
        self.values[word] |= literal.value
        self.literals[literal] = None


class Expressions:
    """The text of expressions of one system. `begin` starts a function, whose locals are then counted."""

    def __init__(self, variables: Sequence[Var], slots: Sequence[Slot], words: int) -> None:
        self.variables = variables
        self.slots = slots
        self.words = words
        self._same: dict[Any, Code] = {}
        self._seen: dict[int, Code] = {}
        self._kept: list[Code] = []
        self._splits: dict[int, tuple[Cube, tuple[Code, ...]]] = {}
        self._reads: dict[int, frozenset[int]] = {}
        self.locals: list[str] = []
        self.held: dict[int, str] = {}

    def begin(self) -> None:
        """Begin a function: no locals yet, and nothing in them."""
        self.locals, self.held = [], {}

    def local(self, kind: str) -> str:
        """Return a local that nothing else uses."""
        name = f"$e{len(self.locals)}"
        self.locals.append(f"(local {name} {kind})")
        return name

    # --- equal codes are one object ---

    def one(self, code: Code) -> Code:
        """Return the object that stands for all codes that are equal to this one."""
        found = self._seen.get(id(code))
        if found is not None:
            return found
        if code[0] in {"const", "var", "next"}:
            found = self._same.setdefault(code, code)
        else:
            parts = tuple(map(self.one, code[1:]))
            found = self._same.setdefault((code[0], *map(id, parts)), (code[0], *parts))
        # An object's number is its own only while it lives.
        self._kept.append(code)
        self._seen[id(code)] = self._seen[id(found)] = found
        return found

    def split(self, *codes: Code) -> tuple[Cube, tuple[Code, ...]]:
        """Return what a conjunction asks of single bits, and what else it asks."""
        cube = Cube([0] * self.words, [0] * self.words)
        rest: dict[int, Code] = {}
        for code in codes:
            self._split(self.one(code), True, cube, rest)
        return cube, tuple(rest.values())

    def _split(self, code: Code, holds: bool, cube: Cube, rest: dict[int, Code]) -> None:
        match code:
            case ("not", inner):
                self._split(inner, not holds, cube, rest)
            case ("and", *parts) if holds:
                for part in parts:
                    self._split(part, True, cube, rest)
            case ("or", *parts) if not holds:
                for part in parts:
                    self._split(part, False, cube, rest)
            case ("const", value):
                cube.possible = cube.possible and bool(value) == holds
            case _:
                literals = self._literals(code, holds)
                if literals is None:
                    each = code if holds else self.one(no(code))
                    rest[id(each)] = each
                    return
                for literal in literals:
                    cube.add(literal)

    def _literals(self, code: Code, holds: bool) -> list[Literal] | None:
        match code:
            case (("==" | "!=") as name, ("var", index), ("const", value)):
                at = value - self.variables[index].low
                if not 0 <= at < 1 << self.slots[index].width:
                    return None
                slot = self.slots[index]
                if (name == "==") == holds:
                    return [Literal(slot.word, slot.mask, at << slot.offset)] if slot.width else []
                return [Literal(slot.word, slot.mask, (1 - at) << slot.offset)] if slot.width == 1 else None
            case ("has", mask, ("const", n)):
                return self._bit(mask, n, holds)
            case _:
                return None

    def _bit(self, mask: Code, n: int, holds: bool) -> list[Literal] | None:
        """Return what says that a set has an element (or has it not), where bits say it together."""
        match mask:
            case ("var", index) if self.variables[index].low == 0 and n < self.slots[index].width:
                slot = self.slots[index]
                bit = 1 << slot.offset + n
                return [Literal(slot.word, bit, bit if holds else 0)]
            case ("const", value):
                return [] if value >> n & 1 == holds else None
            case (("bits_and" | "bits_or" | "bits_without") as name, a, b) if holds == (name != "bits_or"):
                first, second = self._bit(a, n, holds), self._bit(b, n, holds and name != "bits_without")
                return None if first is None or second is None else first + second
            case _:
                return None

    def parts(self, code: Code) -> tuple[Code, ...]:
        """Return the codes that the text of this one is made of."""
        if code[0] in {"const", "var", "next"}:
            return ()
        bits = self._bits(code)
        return tuple(code[1:]) if bits is None else bits[1]

    def _bits(self, code: Code) -> tuple[Cube, tuple[Code, ...]] | None:
        """Return a code as a conjunction, `None` where it is none and asks for no bits."""
        if code[0] not in {"and", "not", "has", "==", "!="}:
            return None
        found = self._splits.get(id(code))
        if found is None:
            found = self._splits[id(code)] = self.split(code)
        return None if found[1] and found[1][0] is code else found

    def reads(self, code: Code) -> frozenset[int]:
        """Return the variables that a code reads."""
        found = self._reads.get(id(code))
        if found is None:
            if code[0] in {"var", "next"}:
                found = frozenset((code[1],))
            else:
                found = frozenset().union(*map(self.reads, () if code[0] == "const" else code[1:]))
            self._reads[id(code)] = found
        return found

    # --- what is needed more than once ---

    def size(self, codes: Iterable[Code]) -> int:
        """Return how many operations it takes to work out some codes, each of their parts once."""
        return sum(1 for each in self._counted(codes)[1] if each[0] != "const")

    def hold(self, codes: Iterable[Code]) -> str:
        """Put what these codes need more than once into locals, and return the text that does it."""
        uses, nodes = self._counted(codes)
        text = []
        for each in nodes:
            if uses[id(each)] < 2 or each[0] == "const" or (each[0] == "var" and not self.slots[each[1]].width):
                continue
            truth = each[0] in TRUTHS
            worked_out = self.truth(each) if truth else self.number(each)
            name = self.local("i32" if truth else "i64")
            text.append(f"(local.set {name} {worked_out})")
            self.held[id(each)] = name
        return "".join(text)

    def _counted(self, codes: Iterable[Code]) -> tuple[dict[int, int], list[Code]]:
        """Return how often each part is written, and the parts, those first that others are made of."""
        uses: dict[int, int] = {}
        nodes: list[Code] = []

        def visit(code: Code) -> None:
            if id(code) in self.held:
                return
            uses[id(code)] = uses.get(id(code), 0) + 1
            if uses[id(code)] == 1:
                for part in self.parts(code):
                    visit(part)
                nodes.append(code)

        for code in codes:
            visit(self.one(code))
        return uses, nodes

    # --- text ---

    def asks(self, cube: Cube) -> list[str]:
        """Return the comparisons that ask for a cube."""
        if not cube.possible:
            return ["(i32.const 0)"]
        return [
            f"(i64.eq (i64.and (local.get $s{word}) (i64.const {mask})) (i64.const {cube.values[word]}))"
            for word, mask in enumerate(cube.masks)
            if mask
        ]

    def all_of(self, cube: Cube, rest: Sequence[Code]) -> str:
        """Return that a cube and some more conditions hold, as an i32 that is 0 or 1."""
        text = ""
        for each in (*self.asks(cube), *(self.truth(code) for code in rest)):
            text = f"(i32.and {text} {each})" if text else each
        return text or "(i32.const 1)"

    _COMPARE: ClassVar = {
        "==": "i64.eq", "!=": "i64.ne", "<": "i64.lt_s", "<=": "i64.le_s", ">": "i64.gt_s", ">=": "i64.ge_s"
    }  # fmt: skip
    _INFIX: ClassVar = {"+": "i64.add", "-": "i64.sub", "*": "i64.mul", "bits_and": "i64.and", "bits_or": "i64.or"}
    _LEAST: ClassVar = {"min": "i64.le_s", "max": "i64.ge_s"}

    def truth(self, code: Code) -> str:
        """Return a condition as an i32 that is 0 or 1."""
        code = self.one(code)
        held = self.held.get(id(code))
        if held is not None:
            text = f"(local.get {held})"
            return text if code[0] in TRUTHS else f"(i64.ne {text} (i64.const 0))"
        bits = self._bits(code)
        if bits is not None:
            return self.all_of(*bits)
        match code:
            case ("const", value):
                return f"(i32.const {int(bool(value))})"
            case ("or", *parts):
                text = ""
                for part in parts:
                    text = f"(i32.or {text} {self.truth(part)})" if text else self.truth(part)
                return text or "(i32.const 0)"
            case ("not", inner):
                return f"(i32.eqz {self.truth(inner)})"
            case ("ite", condition, a, b):
                return f"(select {self.truth(a)} {self.truth(b)} {self.truth(condition)})"
            case ("has", mask, element):
                shifted = f"(i64.shr_u {self.number(mask)} {self.number(element)})"
                return f"(i32.wrap_i64 (i64.and {shifted} (i64.const 1)))"
            case (("==" | "!=" | "<" | "<=" | ">" | ">=") as name, a, b):
                return f"({self._COMPARE[name]} {self.number(a)} {self.number(b)})"
            case _:
                return f"(i64.ne {self.number(code)} (i64.const 0))"

    def number(self, code: Code) -> str:
        """Return a code as an i64."""
        code = self.one(code)
        held = self.held.get(id(code))
        if held is not None:
            text = f"(local.get {held})"
            return f"(i64.extend_i32_u {text})" if code[0] in TRUTHS else text
        match code:
            case ("const", value):
                return f"(i64.const {value})"
            case ("var", index):
                return self._read(index)
            case ("neg", inner):
                return f"(i64.sub (i64.const 0) {self.number(inner)})"
            case ("ite", condition, a, b):
                return f"(select {self.number(a)} {self.number(b)} {self.truth(condition)})"
            case ("bit", element):
                return f"(i64.shl (i64.const 1) {self.number(element)})"
            case ("count", mask):
                return f"(i64.popcnt {self.number(mask)})"
            case ("bits_without", a, b):
                without = f"(i64.xor {self.number(b)} (i64.const -1))"
                return f"(i64.and {self.number(a)} {without})"
            case (name, a, b) if name in self._INFIX:
                return f"({self._INFIX[name]} {self.number(a)} {self.number(b)})"
            case (name, a, b) if name in self._LEAST:
                (a_made, a_again), (b_made, b_again) = self._twice(a), self._twice(b)
                return f"(select {a_made} {b_made} ({self._LEAST[name]} {a_again} {b_again}))"
            case ("//", a, ("const", value)) if value > 0 and not value & value - 1:
                return f"(i64.shr_s {self.number(a)} (i64.const {value.bit_length() - 1}))"
            case ("%", a, ("const", value)) if value > 0 and not value & value - 1:
                return f"(i64.and {self.number(a)} (i64.const {value - 1}))"
            case (("//" | "%") as name, a, b):
                called = "$floordiv" if name == "//" else "$floormod"
                return f"(call {called} {self.number(a)} {self.number(b)})"
            case _:
                return f"(i64.extend_i32_u {self.truth(code)})"

    def _twice(self, code: Code) -> tuple[str, str]:
        """Return a number's text where it is worked out, and where it is needed again right after that."""
        text = self.number(code)
        if text.startswith(("(local.get", "(i64.const")):
            return text, text
        name = self.local("i64")
        return f"(local.tee {name} {text})", f"(local.get {name})"

    def _read(self, index: int) -> str:
        slot, low = self.slots[index], self.variables[index].low
        if slot.width == 0:
            return f"(i64.const {low})"
        text = f"(local.get $s{slot.word})"
        if slot.offset:
            text = f"(i64.shr_u {text} (i64.const {slot.offset}))"
        text = f"(i64.and {text} (i64.const {(1 << slot.width) - 1}))"
        return f"(i64.add {text} (i64.const {low}))" if low else text
