"""Reduced ordered binary decision diagrams: sets of states as shared graphs, and steps between them.

A node is a number: 0 is the empty set, 1 is everything, and each other one asks a bit (its level) and has a node for
either answer. Equal sets are equal numbers. Bit k of a state stands at level `2 * k`; the same bit after a step, which
only relations ask for, at level `2 * k + 1`. Nothing is ever thrown away: a search is short, or it is given up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

# Two node numbers stand in one key.
_SHIFT = 30
# Between two looks at the bounds.
_CHUNK = 2048


class Exhausted(Exception):
    """A bound was reached: `why` says which."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Diagrams:
    """A store of nodes over so many bits. `look` is called now and then with the number of nodes; it may raise."""

    def __init__(self, bits: int, look: Callable[[int], None]) -> None:
        self.bits = bits
        end = 2 * bits
        self.level: list[int] = [end, end]
        self.low: list[int] = [0, 1]
        self.high: list[int] = [0, 1]
        self.unique: list[dict[int, int]] = [{} for _ in range(end)]
        self._caches: list[dict[int, int]] = []
        self._look = look
        self._counts: dict[int, int] = {0: 0, 1: 1}
        self.node = self._maker()
        self.both = self._conjunction()
        self.either = self._disjunction()
        self.without = self._difference()
        self._negated: dict[int, int] = self._cache()

    def __len__(self) -> int:
        return len(self.level)

    @property
    def memory_bytes(self) -> int:
        """Return about how much the nodes and what is remembered of them take."""
        tables = (*self.unique, *self._caches)
        return sum(map(sys.getsizeof, (self.level, self.low, self.high, *tables))) + 32 * sum(map(len, tables))

    # --- operations: closures over the lists, which is a third faster than methods ---

    def _cache(self) -> dict[int, int]:
        cache: dict[int, int] = {}
        self._caches.append(cache)
        return cache

    def _maker(self) -> Callable[[int, int, int], int]:
        level, low, high, unique, look = self.level, self.low, self.high, self.unique, self._look
        due = _CHUNK

        def node(at: int, zero: int, one: int) -> int:
            """Return the node that asks the bit at a level."""
            nonlocal due
            if zero == one:
                return zero
            table = unique[at]
            key = zero << _SHIFT | one
            found = table.get(key)
            if found is None:
                found = table[key] = len(level)
                level.append(at)
                low.append(zero)
                high.append(one)
                if found > due:
                    due = found + _CHUNK
                    look(found)
            return found

        return node

    def _conjunction(self) -> Callable[[int, int], int]:
        level, low, high, node, cache = self.level, self.low, self.high, self.node, self._cache()

        def both(a: int, b: int) -> int:
            """Return what is in both sets."""
            if a == b or b == 1:  # noqa: PLR1714 - twice as fast as a tuple
                return a
            if a == 1:
                return b
            if a == 0 or b == 0:
                return 0
            key = a << _SHIFT | b if a < b else b << _SHIFT | a
            found = cache.get(key)
            if found is None:
                x, y = level[a], level[b]
                if x == y:
                    found = node(x, both(low[a], low[b]), both(high[a], high[b]))
                elif x < y:
                    found = node(x, both(low[a], b), both(high[a], b))
                else:
                    found = node(y, both(a, low[b]), both(a, high[b]))
                cache[key] = found
            return found

        return both

    def _disjunction(self) -> Callable[[int, int], int]:
        level, low, high, node, cache = self.level, self.low, self.high, self.node, self._cache()

        def either(a: int, b: int) -> int:
            """Return what is in one of the sets."""
            if a == b or b == 0:  # noqa: PLR1714 - twice as fast as a tuple
                return a
            if a == 0:
                return b
            if a == 1 or b == 1:
                return 1
            key = a << _SHIFT | b if a < b else b << _SHIFT | a
            found = cache.get(key)
            if found is None:
                x, y = level[a], level[b]
                if x == y:
                    found = node(x, either(low[a], low[b]), either(high[a], high[b]))
                elif x < y:
                    found = node(x, either(low[a], b), either(high[a], b))
                else:
                    found = node(y, either(a, low[b]), either(a, high[b]))
                cache[key] = found
            return found

        return either

    def _difference(self) -> Callable[[int, int], int]:
        level, low, high, node, cache = self.level, self.low, self.high, self.node, self._cache()

        def without(a: int, b: int) -> int:
            """Return what is in the first set, and not in the second."""
            if a == b or a == 0 or b == 1:  # noqa: PLR1714 - twice as fast as a tuple
                return 0
            if b == 0:
                return a
            key = a << _SHIFT | b
            found = cache.get(key)
            if found is None:
                x, y = level[a], level[b]
                if x == y:
                    found = node(x, without(low[a], low[b]), without(high[a], high[b]))
                elif x < y:
                    found = node(x, without(low[a], b), without(high[a], b))
                else:
                    found = node(y, without(a, low[b]), without(a, high[b]))
                cache[key] = found
            return found

        return without

    def negated(self, a: int) -> int:
        """Return what is not in a set."""
        if a < 2:
            return 1 - a
        found = self._negated.get(a)
        if found is None:
            found = self.node(self.level[a], self.negated(self.low[a]), self.negated(self.high[a]))
            self._negated[a] = found
        return found

    def union(self, nodes: Iterable[int]) -> int:
        """Return what is in one of many sets, put together in pairs."""
        todo = list(nodes)
        while len(todo) > 1:
            paired = [self.either(a, b) for a, b in zip(todo[::2], todo[1::2], strict=False)]
            todo = paired + todo[len(paired) * 2 :]
        return todo[0] if todo else 0

    def cube(self, literals: Iterable[tuple[int, int]]) -> int:
        """Return the set in which each of the levels has the bit that is given for it."""
        found = 1
        for at, value in sorted(literals, reverse=True):
            found = self.node(at, 0, found) if value else self.node(at, found, 0)
        return found

    def size(self, a: int) -> int:
        """Return how many nodes a set takes."""
        seen = {0, 1}
        todo = [a]
        while todo:
            each = todo.pop()
            if each not in seen:
                seen.add(each)
                todo += (self.low[each], self.high[each])
        return len(seen) - 2

    def count(self, a: int) -> int:
        """Return how many states are in a set, which asks for no bit after a step."""
        counts, level, low, high = self._counts, self.level, self.low, self.high

        def rec(node: int) -> int:
            found = counts.get(node)
            if found is None:
                zero, one, at = low[node], high[node], level[node] + 2
                found = (rec(zero) << (level[zero] - at >> 1)) + (rec(one) << (level[one] - at >> 1))
                counts[node] = found
            return found

        return rec(a) << (level[a] >> 1)

    def one_of(self, a: int) -> tuple[int, ...]:
        """Return the bits of a state in a set that is not empty: the least, read from the first level on."""
        assert a != 0, "an empty set has no state"
        bits = [0] * self.bits
        while a != 1:
            if self.low[a]:
                a = self.low[a]
            else:
                bits[self.level[a] >> 1] = 1
                a = self.high[a]
        return tuple(bits)

    # --- relations ---

    def image(self, relation: int, changed: Sequence[int]) -> Callable[[int], int]:
        """Return what gives the states after one step of a relation from a set.

        `changed` are the bits that the relation gives a new value; the others stay as they are. The conjunction, the
        quantification and the renaming are one pass.
        """
        level, low, high, node, either, both = self.level, self.low, self.high, self.node, self.either, self.both
        writes, last, cache = self._writes(changed), 2 * max(changed, default=-1), self._cache()

        def rec(states: int, relation: int) -> int:
            if states == 0 or relation == 0:
                return 0
            x, y = level[states], level[relation] & ~1
            at = x if x < y else y  # noqa: FURB136 - a call of `min` costs more than the rest
            if at > last:
                # What is asked for beyond the last change is a guard.
                return both(states, relation)
            key = states << _SHIFT | relation
            found = cache.get(key)
            if found is None:
                s0, s1 = (low[states], high[states]) if x == at else (states, states)
                r0, r1 = (low[relation], high[relation]) if level[relation] == at else (relation, relation)
                if writes[at >> 1]:
                    after = at + 1
                    r00, r01 = (low[r0], high[r0]) if level[r0] == after else (r0, r0)
                    r10, r11 = (low[r1], high[r1]) if level[r1] == after else (r1, r1)
                    found = node(at, either(rec(s0, r00), rec(s1, r10)), either(rec(s0, r01), rec(s1, r11)))
                else:
                    found = node(at, rec(s0, r0), rec(s1, r1))
                cache[key] = found
            return found

        return lambda states: rec(states, relation)

    def preimage(self, relation: int, changed: Sequence[int]) -> Callable[[int], int]:
        """Return what gives the states from which one step of a relation leads into a set."""
        level, low, high, node, either, both = self.level, self.low, self.high, self.node, self.either, self.both
        writes, last, cache = self._writes(changed), 2 * max(changed, default=-1), self._cache()

        def rec(states: int, relation: int) -> int:
            if states == 0 or relation == 0:
                return 0
            x, y = level[states], level[relation] & ~1
            at = x if x < y else y  # noqa: FURB136 - a call of `min` costs more than the rest
            if at > last:
                return both(states, relation)
            key = states << _SHIFT | relation
            found = cache.get(key)
            if found is None:
                s0, s1 = (low[states], high[states]) if x == at else (states, states)
                r0, r1 = (low[relation], high[relation]) if level[relation] == at else (relation, relation)
                if writes[at >> 1]:
                    after = at + 1
                    r00, r01 = (low[r0], high[r0]) if level[r0] == after else (r0, r0)
                    r10, r11 = (low[r1], high[r1]) if level[r1] == after else (r1, r1)
                    found = node(at, either(rec(s0, r00), rec(s1, r01)), either(rec(s0, r10), rec(s1, r11)))
                else:
                    found = node(at, rec(s0, r0), rec(s1, r1))
                cache[key] = found
            return found

        return lambda states: rec(states, relation)

    def _writes(self, changed: Sequence[int]) -> list[bool]:
        written = set(changed)
        return [bit in written for bit in range(self.bits)]
