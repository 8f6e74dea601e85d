"""Codes made smaller by what is known where they stand: the values of single variables, and the conditions before them.

A part that reads one small variable alone is worked out for each of its values. What is the same for all of them is a
constant; a condition becomes the shortest comparison that tells the values apart. What stands to the right of a
condition is read where that holds, an update where its rule's guard does: values that are excluded there are not
looked at. So `m[k] == v` of a map whose entries may be absent is one comparison of one variable, a check that nothing
can fail is gone, and a rule written for each state of an entity is one rule again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from temper.verify.system.codes import FALSE, TRUTHS, both, const, either, eq, ite, no, op, remade
from temper.verify.system.ir import TRUE, Code, Fault, Rule, Var
from temper.verify.system.step import COMPARE, NUMBERS

Known: TypeAlias = Mapping[int, int]
"""For variables of which something is known: the codes that they may have, as a mask."""
Table: TypeAlias = tuple[int | None, ...]
"""The value for each code of a variable; `None` where there is none."""

# A variable of so many values is worked out value by value.
VALUES_MAX = 62
_NOTHING: Known = {}
# A code without a variable has one value whatever the state is.
_NO_VARIABLE = -1


class Fold:
    """Makes codes over a system's variables smaller.

    Variables in `names` hold who somebody is. They are only ever asked whether they are one or not, so that a code
    stays the same when two of those are exchanged.
    """

    def __init__(self, variables: Sequence[Var], names: Iterable[int], span: Callable[[Code], tuple[int, int]]) -> None:
        self.variables = variables
        self.names = frozenset(names)
        self.span = span
        self._tables: dict[Code, tuple[int, Table] | None] = {}
        self._folded: dict[tuple[Code, tuple[tuple[int, int], ...]], Code] = {}

    # --- rules --------------------------------------------------------------------------------------------------------

    def rule(
        self, guard: Code, faults: Iterable[Fault], updates: Iterable[tuple[int, Code]]
    ) -> tuple[Code, tuple[Fault, ...], tuple[tuple[int, Code], ...]]:
        """Return a rule's parts as small as they can be said, without what changes nothing and what never breaks."""
        guard = self.fold(guard)
        known = dict(self.known(guard))
        kept: list[Fault] = []
        for fault in faults:
            condition = self.fold(fault.condition, known)
            if condition == FALSE:
                continue
            kept.append(replace(fault, condition=condition))
            if condition == TRUE:
                return guard, tuple(kept), ()
            self._narrow(known, no(condition))
        made = []
        for index, code in updates:
            after = self.fold(code, known)
            if not self._same(index, after, known):
                made.append((index, after))
        return guard, tuple(kept), tuple(sorted(made))

    def _same(self, index: int, after: Code, known: Known) -> bool:
        """Say whether a variable keeps its value."""
        if after[0] == "const":
            low = self.variables[index].low
            return bool(after[1] >= low and known.get(index) == 1 << after[1] - low)
        if after == ("var", index):
            return True
        one, mine = self._table(after), self._table(("var", index))
        if one is None or mine is None or one[0] != index:
            return False
        return all(mine[1][n] == one[1][n] for n in _members(self._here(index, known)))

    def merged(self, rules: Iterable[Rule], at: Iterable[int]) -> tuple[Rule, ...]:
        """Return rules with those made one that differ only in the value of a variable in `at` that they ask for.

        No state lets two of them be taken, so that as many steps lead on from each as before.
        """
        asked = frozenset(at)
        found: dict[object, tuple[Rule, tuple[Code, ...], int, int, int]] = {}
        for number, rule in enumerate(rules):
            parts = rule.guard[1:] if rule.guard[0] == "and" else (rule.guard,)
            place, index, codes = next(
                ((n, *truth) for n, part in enumerate(parts) if (truth := self._truth(part)) and truth[0] in asked),
                (0, -1, 0),
            )
            rest = (*parts[:place], *parts[place + 1 :])
            key: object = (
                rule.name,
                rule.site,
                rule.actor,
                rule.fair,
                rule.renews,
                rule.faults,
                rule.updates,
                rule.weight,
                rest,
                index,
            )
            key = (key, repr(rule.event))
            known = found.get(key)
            if index < 0 or (known is not None and known[4] & codes):
                found[number] = rule, parts, place, index, codes
            elif known is None:
                found[key] = rule, parts, place, index, codes
            else:
                found[key] = (*known[:4], known[4] | codes)
        made = []
        for rule, parts, place, index, codes in found.values():
            if index < 0:
                made.append(rule)
                continue
            here = self._predicate(index, codes, self._all(index))
            assert here is not None, "a variable that nobody's name is in can always be asked"
            made.append(replace(rule, guard=both(*parts[:place], here, *parts[place + 1 :])))
        return tuple(made)

    def known(self, condition: Code) -> Known:
        """Return what single variables may be where a condition holds."""
        found: dict[int, int] = {}
        self._narrow(found, condition)
        return found

    def _narrow(self, known: dict[int, int], condition: Code) -> None:
        for part in condition[1:] if condition[0] == "and" else (condition,):
            truth = self._truth(part)
            if truth is not None:
                index, codes = truth
                known[index] = self._here(index, known) & codes

    # --- codes --------------------------------------------------------------------------------------------------------

    def fold(self, code: Code, known: Known = _NOTHING) -> Code:
        """Return a code that means the same wherever the variables are as is known."""
        if code[0] == "const" or (code[0] == "var" and code[1] not in known):
            return code
        key = (code, tuple(sorted(known.items())))
        found = self._folded.get(key)
        if found is None:
            found = self._folded[key] = self._tabled(self._fold(code, known), known)
        return found

    def _fold(self, code: Code, known: Known) -> Code:
        match code:
            case ("var" | "next", _):
                return code
            case ("and", *parts):
                return self._conjunction(parts, known)
            case ("or", *parts):
                return self._disjunction(parts, known)
            case ("ite", condition, a, b):
                return self._choice(self.fold(condition, known), a, b, known)
            case ("not", ("and", *parts)):
                return self.fold(either(*map(no, parts)), known)
            case ("not", ("or", *parts)):
                return self.fold(both(*map(no, parts)), known)
            case ("not", inner):
                return no(self.fold(inner, known))
            case _:
                parts = [self.fold(part, known) for part in code[1:]]
                if code[0] in COMPARE:
                    return self._compared(code[0], *parts)
                match code[0], *parts:
                    case "+" | "-", ("ite", condition, a, b), ("const", _) as by if "const" in {a[0], b[0]}:
                        return ite(condition, op(code[0], a, by), op(code[0], b, by))
                    case _:
                        return remade(code[0], tuple(parts))

    def _conjunction(self, parts: Iterable[Code], known: Known) -> Code:
        """What asks one variable has a value everywhere and comes first; the rest is looked at where that holds."""
        singles, rest = self._asked(parts, known, "and")
        if singles is None:
            return FALSE
        here = {**known, **singles}
        made = [self._single(index, codes, known) for index, codes in singles.items()]
        return both(*made, *(self.fold(each, here) for each in rest))

    def _disjunction(self, parts: Iterable[Code], known: Known) -> Code:
        singles, rest = self._asked(map(no, parts), known, "or")
        if singles is None:
            return TRUE
        here = {**known, **singles}
        made = [no(self._single(index, codes, known)) for index, codes in singles.items()]
        return either(*made, *(self.fold(no(each), here) for each in rest))

    def _asked(self, parts: Iterable[Code], known: Known, name: str) -> tuple[dict[int, int] | None, list[Code]]:
        """Return what single variables are where all parts hold (`None`: they can't), and the parts that ask more.

        The parts of a disjunction are given, and returned, as what holds where it does not.
        """
        here = dict(known)
        singles: dict[int, int] = {}
        rest: list[Code] = []
        for part in parts:
            folded = self.fold(part, here) if name == "and" else no(self.fold(no(part), here))
            for each in folded[1:] if folded[0] == "and" else (folded,):
                truth = self._truth(each)
                if each == FALSE:
                    return None, []
                if truth is None:
                    rest.append(each)
                    continue
                index, codes = truth
                here[index] = singles[index] = self._here(index, here) & codes
                if not here[index]:
                    return None, []
        return singles, rest

    def _single(self, index: int, codes: int, known: Known) -> Code:
        here = self._here(index, known)
        asked = self._predicate(index, codes, here)
        if asked is not None:
            return asked
        value = const(self.variables[index].low)
        return either(*(eq(("var", index), op("+", value, const(n))) for n in _members(codes & here)))

    def _choice(self, condition: Code, a: Code, b: Code, known: Known) -> Code:
        if condition[0] == "const":
            return self.fold(a if condition[1] else b, known)
        yes, otherwise = dict(known), dict(known)
        self._narrow(yes, condition)
        self._narrow(otherwise, no(condition))
        if not all(yes.values()) or not all(otherwise.values()):
            return self.fold(a, yes) if all(yes.values()) else self.fold(b, otherwise)
        a, b = self.fold(a, yes), self.fold(b, otherwise)
        match condition, a, b:
            case ("==", x, c), _, y if (x, c) == (y, a):
                return y
            case ("!=", x, c), y, _ if (x, c) == (y, b):
                return y
            case _, ("const", 0 | 1 as always), _ if b[0] in TRUTHS:
                return either(condition, b) if always else both(no(condition), b)
            case _, _, ("const", 0 | 1 as always) if a[0] in TRUTHS:
                return either(no(condition), a) if always else both(condition, a)
            case _:
                return ite(condition, a, b)

    def _compared(self, name: str, a: Code, b: Code) -> Code:
        made = op(name, a, b)
        match made:
            case (_, ("+", x, ("const", m)), ("const", n)) if made[0] in COMPARE:
                made = op(made[0], x, const(n - m))
            case _:
                pass
        if made[0] not in COMPARE:
            return made
        name, a, b = made
        (a0, a1), (b0, b1) = self.span(a), self.span(b)
        match name:
            case "<" | "<=" | ">" | ">=":
                sure, never = (COMPARE[name](a1, b0), not COMPARE[name](a0, b1))
                if name in {">", ">="}:
                    sure, never = COMPARE[name](a0, b1), not COMPARE[name](a1, b0)
                return TRUE if sure else FALSE if never else made
            case _ if a1 < b0 or b1 < a0:
                return FALSE if name == "==" else TRUE
            case _:
                return made

    # --- one variable -------------------------------------------------------------------------------------------------

    def _tabled(self, code: Code, known: Known) -> Code:
        """Return a code that reads one variable as what its values come to."""
        one = self._table(code)
        if one is None or one[0] == _NO_VARIABLE:
            return code
        index, table = one
        here = self._here(index, known)
        values = {n: table[n] for n in _members(here)}
        if not values or None in values.values():
            return code
        worth = set(values.values())
        if len(worth) == 1:
            return const(worth.pop() or 0)
        if code[0] in TRUTHS:
            asked = self._predicate(index, sum(1 << n for n, value in values.items() if value), here)
            return code if asked is None else asked
        low = self.variables[index].low
        if len(by := {(value or 0) - (low + n) for n, value in values.items()}) == 1:
            return op("+", ("var", index), const(by.pop()))
        if len(worth) == 2 and code[0] != "var":
            first = next(iter(values.values())) or 0
            other = next(value for value in worth if value != first) or 0
            asked = self._predicate(index, sum(1 << n for n, value in values.items() if value == first), here)
            return code if asked is None else ite(asked, const(first), const(other))
        return code

    def _all(self, index: int) -> int:
        return (1 << self.variables[index].size) - 1

    def _here(self, index: int, known: Known) -> int:
        return known.get(index, self._all(index))

    def _truth(self, code: Code) -> tuple[int, int] | None:
        """Return the one variable that a condition asks, and the codes for which it holds; `None` of any other."""
        one = self._table(code)
        if one is None or one[0] == _NO_VARIABLE or None in one[1]:
            return None
        return one[0], sum(1 << n for n, value in enumerate(one[1]) if value)

    def _predicate(self, index: int, holds: int, here: int) -> Code | None:
        """Return the shortest condition that holds for these codes of those that a variable may have."""
        holds &= here
        misses = here & ~holds
        if not holds or not misses:
            return TRUE if holds else FALSE
        variable, low = ("var", index), self.variables[index].low
        if holds & (holds - 1) == 0:
            return eq(variable, const(low + holds.bit_length() - 1))
        if misses & (misses - 1) == 0:
            return op("!=", variable, const(low + misses.bit_length() - 1))
        if index in self.names:
            return None
        least, most = (holds & -holds).bit_length() - 1, holds.bit_length() - 1
        below, above = misses & (1 << least) - 1, misses >> most + 1
        if misses == below | above << most + 1:
            ends = [op(">=", variable, const(low + least))] if below else []
            return both(*ends, *([op("<=", variable, const(low + most))] if above else []))
        if low >= 0 and low + self.variables[index].size <= VALUES_MAX:
            return op("has", const(holds << low), variable)
        return None

    def _table(self, code: Code) -> tuple[int, Table] | None:
        """Return the one variable that a code reads, and what it is worth for each of its codes."""
        name = code[0]
        if name == "const":
            return _NO_VARIABLE, (code[1],)
        if code in self._tables:
            return self._tables[code]
        found: tuple[int, Table] | None = None
        if name == "var":
            each = self.variables[code[1]]
            if each.size <= VALUES_MAX:
                found = code[1], tuple(range(each.low, each.low + each.size))
        elif name != "next":
            found = self._combined(name, code[1:])
        self._tables[code] = found
        return found

    def _combined(self, name: str, parts: Sequence[Code]) -> tuple[int, Table] | None:
        tables = []
        reads = _NO_VARIABLE
        for part in parts:
            one = self._table(part)
            if one is None or (one[0] != _NO_VARIABLE and reads not in {_NO_VARIABLE, one[0]}):
                return None
            reads = max(reads, one[0])
            tables.append(one[1])
        size = max(map(len, tables))
        rows = zip(*(each if len(each) == size else each * size for each in tables), strict=True)
        return reads, tuple(_worth(name, row) for row in rows)


def _members(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _worth(name: str, values: Sequence[int | None]) -> int | None:
    """Return what an operation comes to, `None` where it has no value. Truth values are lazy from the left."""
    match name:
        case "and" | "or":
            for value in values:
                if value is None:
                    return None
                if bool(value) == (name == "or"):
                    return int(name == "or")
            return int(name == "and")
        case "ite":
            return None if values[0] is None else values[1] if values[0] else values[2]
        case _:
            pass
    if None in values:
        return None
    known = [value for value in values if value is not None]
    match name:
        case "not":
            return int(not known[0])
        case "neg":
            return -known[0]
        case "count":
            return known[0].bit_count() if known[0] >= 0 else None
        case "bit":
            return 1 << known[0] if 0 <= known[0] < VALUES_MAX else None
        case "//" | "%" if known[1] == 0:
            return None
        case "has" if known[1] < 0:
            return None
        case _:
            a, b = known
            return int(COMPARE[name](a, b)) if name in COMPARE else NUMBERS[name](a, b)


__all__ = ["VALUES_MAX", "Fold"]
