"""Some states of an entity, found by taking steps at random: what is false in one of them is no invariant.

Whatever the guards let through is tried, by whoever may, with any parameters; what `system` does is done with any
parameters too. The formulas of level 1 allow no less, so that a sample may be a state which no real run reaches. The
same table gives the same samples.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from temper.table import Accepted, Act, Caller, Expr, NoValue, Snapshot, Table, Type, Value, evaluate, shape, step
from temper.verify.clauses import NEW, admitted, all_clauses, expressions, guards
from temper.verify.expressions import walk

# Enough for the affine relations of a dozen numbers to show; each step takes some 20 microseconds.
STEPS = 600
STATES_MAX = 160
_SMALL = (0, 1, 2, 3, 5, 7, 12)
_PRINCIPALS = ("p1", "p2")


def sample(table: Table, entity: shape.Entity) -> list[Snapshot]:
    """Return states of the entity, each with its fields, in the order in which they were met."""
    return _Walk(table, entity).run()


def holds(table: Table, now: Snapshot, condition: Expr) -> bool | None:
    """Return whether a condition holds of a sample; `None` where it can't be worked out for it alone."""
    try:
        return bool(evaluate(table, now.entity, condition, now))
    except NoValue:
        return None


class _Walk:
    def __init__(self, table: Table, entity: shape.Entity) -> None:
        self.table = table
        self.entity = entity
        self.chance = random.Random(entity.name)  # A fixed seed: the same samples each time.
        self.numbers = sorted({*_SMALL, *(n + by for n in _literals(entity) for by in (-1, 0, 1))})
        self.texts = sorted({"x", "y", *_texts(entity)})
        self.count = 0

    def run(self) -> list[Snapshot]:
        found: dict[Any, Snapshot] = {}
        order: list[Snapshot] = []
        for _ in range(STEPS):
            now = self._somewhere(order)
            after = self._step(now)
            if after is None:
                continue
            key = (after.state, tuple(after.fields.items()))
            if key not in found:
                found[key] = after
                order.append(after)
                if len(order) >= STATES_MAX:
                    break
        return order

    def _somewhere(self, order: list[Snapshot]) -> Snapshot | None:
        """Return where to go on: at creation now and then, else far out as often as anywhere."""
        if not order or self.chance.random() < 0.1:
            return None
        return self.chance.choice(order[-6:] if self.chance.random() < 0.5 else order)

    def _step(self, now: Snapshot | None) -> Snapshot | None:
        state = NEW if now is None else now.state
        ways = [
            (action, case) for action in self.entity.actions.values() for case in action.cases if state in case.froms
        ]
        if not ways:
            return None
        action, case = self.chance.choice(ways)
        by = self.chance.choice(admitted(action, case) or (shape.By("anyone"),))
        self.count += 1
        roles = frozenset({by.role} if by.role is not None else ())
        act = Act(
            f"e{self.count}", self.count * 60_000, action.name,
            {param.name: self.value(param.type) for param in action.params},
            Caller(self.chance.choice(_PRINCIPALS), roles), self.entity.name,
            now.id if now is not None else f"i{self.count}", by.kind == "system",
        )  # fmt: skip
        answer = step(self.table, now, act)
        return answer.after if isinstance(answer, Accepted) else None

    def value(self, type_: Type) -> Value:
        """Return some value of a type."""
        chance = self.chance
        match type_:
            case ("bool",):
                return chance.random() < 0.5
            case ("one_of", values):
                return str(chance.choice(values))
            case ("int", low, high):
                return self._within(low, high)
            case ("decimal", low, high):
                least = None if low is None else Decimal(low)
                most = None if high is None else Decimal(high)
                value = Decimal(chance.choice(self.numbers)) + chance.choice((Decimal(0), Decimal("0.5")))
                value = value if least is None else max(value, least)
                return value if most is None else min(value, most)
            case ("string",):
                return chance.choice(self.texts)
            case ("time",) | ("duration",):
                return chance.choice((0, 60_000, 3_600_000))
            case ("principal",):
                return chance.choice(_PRINCIPALS)
            case ("ref", entity):
                return f"{entity[:1].lower()}{chance.randint(1, 2)}"
            case ("optional", inner):
                return None if chance.random() < 0.3 else self.value(inner)
            case ("record", name):
                return tuple(self.value(part.type) for part in self.table.records[name])
            case ("set", inner, size):
                return frozenset(self.value(inner) for _ in range(self._length(size)))
            case ("list", inner, size):
                return tuple(self.value(inner) for _ in range(self._length(size)))
            case ("map", key, inner, size):
                return ((self.value(key), self.value(inner)),) if self._length(size) else ()
            case _:
                raise AssertionError(f"a type that is none: {type_!r}")

    def _length(self, size: int | None) -> int:
        return self.chance.randint(0, 2 if size is None else min(2, size))

    def _within(self, low: int | None, high: int | None) -> int:
        inside = [n for n in self.numbers if (low is None or n >= low) and (high is None or n <= high)]
        if low is not None and high is not None:
            inside += [low, high, self.chance.randint(low, high)]
        elif not inside:
            inside = [low if low is not None else high if high is not None else 0]
        return self.chance.choice(inside)


def _named(entity: shape.Entity) -> Iterator[Expr]:
    """Every expression of an entity's actions and places."""
    for _, clause in all_clauses(entity):
        for e in expressions(clause):
            yield from walk(e)
    for action in entity.actions.values():
        for case in action.cases:
            for guard in guards(action, case):
                yield from walk(guard.condition)


def _literals(entity: shape.Entity) -> Iterator[int]:
    for e in _named(entity):
        # Far numbers are reached by no walk of this length, and would make all others rare.
        if e[0] == "lit" and e[1][0] == "int" and abs(e[2]) <= 10_000:
            yield e[2]


def _texts(entity: shape.Entity) -> Iterator[str]:
    for e in _named(entity):
        if e[0] == "lit" and e[1][0] == "string":
            yield e[2]
