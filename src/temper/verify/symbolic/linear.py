"""Linear relations in a blueprint's words: `received == shipped + stock`, with no minus and whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm

from temper.table import Expr, Type, encode
from temper.verify.expressions import DECIMAL, DURATION, INT, TIME

KINDS: Mapping[str, Type] = {"int": INT, "decimal": DECIMAL, "duration": DURATION, "time": TIME}
_MIRRORED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "==": "==", "!=": "!="}


def literal(kind: str, value: Fraction) -> Expr | None:
    """Return a number of a kind; `None` where it has no finite form there."""
    if kind == "decimal":
        denominator = value.denominator
        for prime in (2, 5):
            while denominator % prime == 0:
                denominator //= prime
        if denominator != 1:
            return None
        return ("lit", DECIMAL, encode(DECIMAL, Decimal(value.numerator) / Decimal(value.denominator)))
    if value.denominator != 1:
        return None
    return ("lit", KINDS[kind], encode(KINDS[kind], value.numerator))


def relation(op: str, kind: str, terms: Mapping[Expr, Fraction], constant: Fraction) -> Expr | None:
    """Return `the sum of coefficient * term, and the constant, OP 0`; `None` where it can't be written down."""
    coefficients = [c for c in terms.values() if c]
    if not coefficients:
        return None
    parts = [*coefficients, constant]
    scale = Fraction(lcm(*(c.denominator for c in parts)), 1)
    scale /= gcd(*(int(c * scale) for c in parts)) or 1
    if coefficients[0] < 0:
        scale, op = -scale, _MIRRORED[op]
    constant *= scale
    if kind != "decimal" and (op, constant) in {(">", Fraction(1)), ("<", Fraction(-1))}:
        op, constant = f"{op}=", Fraction(0)  # Of whole numbers `x + 1 > y` says `x >= y`.
    left = [_times(kind, c * scale, e) for e, c in terms.items() if c * scale > 0]
    right = [_times(kind, -c * scale, e) for e, c in terms.items() if c * scale < 0]
    if constant:
        number = literal(kind, abs(constant))
        if number is None:
            return None
        (left if constant > 0 else right).append(number)
    zero = literal(kind, Fraction(0))
    assert zero is not None, "zero can be written down"
    return (op, _sum(left) or zero, _sum(right) or zero)


def _times(kind: str, coefficient: Fraction, e: Expr) -> Expr:
    if coefficient == 1:
        return e
    factor = literal("decimal" if kind == "decimal" else "int", coefficient)
    assert factor is not None, "coefficients have been made whole"
    return ("*", factor, e)


def _sum(parts: Sequence[Expr]) -> Expr | None:
    total: Expr | None = None
    for part in parts:
        total = part if total is None else ("+", total, part)
    return total
