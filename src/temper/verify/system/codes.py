"""Expressions of a system, made: each function returns the smallest code it knows for what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from temper.verify.system.ir import TRUE, Code

FALSE: Code = ("const", 0)

_NEGATED = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", "<=": ">", ">": "<="}
_TURNED = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
TRUTHS = frozenset({"==", "!=", "<", "<=", ">", ">=", "and", "or", "not", "has"})


def const(value: int) -> Code:
    """Return the code of a number."""
    return ("const", value)


def known(code: Code) -> int | None:
    """Return the number that a code is, `None` where that depends on the state."""
    return code[1] if code[0] == "const" else None


def both(*codes: Code) -> Code:
    """Return that all hold, asked from the left."""
    parts: dict[Code, None] = {}
    for code in codes:
        for part in code[1:] if code[0] == "and" else (code,):
            if part[0] == "const":
                if part[1]:
                    continue
                return FALSE
            if no(part) in parts:
                return FALSE
            parts[part] = None
    if not parts:
        return TRUE
    return next(iter(parts)) if len(parts) == 1 else ("and", *parts)


def either(*codes: Code) -> Code:
    """Return that one of them holds, asked from the left."""
    parts: dict[Code, None] = {}
    for code in codes:
        for part in code[1:] if code[0] == "or" else (code,):
            if part[0] == "const":
                if not part[1]:
                    continue
                return TRUE
            if no(part) in parts:
                return TRUE
            parts[part] = None
    if not parts:
        return FALSE
    return next(iter(parts)) if len(parts) == 1 else ("or", *parts)


def no(code: Code) -> Code:
    """Return that it does not hold."""
    match code:
        case ("const", n):
            return FALSE if n else TRUE
        case ("not", inner):
            return tuple(inner)
        case (op, a, b) if op in _NEGATED:
            return (_NEGATED[op], a, b)
        case _:
            return ("not", code)


def ite(condition: Code, a: Code, b: Code) -> Code:
    """Return `a` where the condition holds, else `b`."""
    if condition[0] == "const":
        return a if condition[1] else b
    if a == b:
        return a
    if condition[0] == "not":
        return ite(condition[1], b, a)
    if condition[0] in TRUTHS:
        if (a, b) == (TRUE, FALSE):
            return condition
        if (a, b) == (FALSE, TRUE):
            return no(condition)
    return ("ite", condition, a, b)


_FOLDED: dict[str, Callable[[int, int], int]] = {
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "min": min,
    "max": max,
    "bits_and": lambda a, b: a & b,
    "bits_or": lambda a, b: a | b,
    "bits_without": lambda a, b: a & ~b,
    "has": lambda a, b: a >> b & 1,
}


def total(parts: Iterable[Code]) -> Code:
    """Return a sum; one of a thousand is no deeper than ten, so that whoever reads it needs no thousand calls."""
    left = list(parts)
    while len(left) > 1:
        pairs = [op("+", a, b) for a, b in zip(left[::2], left[1::2], strict=False)]
        left = pairs + left[len(left) - len(left) % 2 :]
    return left[0] if left else const(0)


def op(name: str, a: Code, b: Code) -> Code:
    """Return an operation of two operands; `//` and `%` with a divisor that is not 0."""
    if a[0] == b[0] == "const":
        if name in _FOLDED:
            return ("const", _FOLDED[name](a[1], b[1]))
        if b[1] != 0:
            return ("const", a[1] // b[1] if name == "//" else a[1] % b[1])
    if name in _TURNED and a[0] == "const":
        name, a, b = _TURNED[name], b, a
    if name in {"==", "!="} and a == b:
        return TRUE if name == "==" else FALSE
    if name in _NEGATED and b[0] == "const" and a[0] == "ite":
        # A choice between what is known and what is not: compare each.
        left, right = op(name, a[2], b), op(name, a[3], b)
        if "const" in {left[0], right[0]}:
            return either(both(a[1], left), both(no(a[1]), right))
    match name, a, b:
        case (("+" | "-" | "bits_or" | "bits_without"), _, ("const", 0)):
            return a
        case (("+" | "bits_or"), ("const", 0), _):
            return b
        case "*", _, ("const", 1):
            return a
        case ("bits_and", _, ("const", 0)) | ("bits_and", ("const", 0), _) | ("bits_without", ("const", 0), _):
            return FALSE
        case (("+" | "-"), ("+", inner, ("const", m)), ("const", n)):
            return op("+", inner, ("const", m + n if name == "+" else m - n))
        case "-", _, ("const", n):
            return ("+", a, ("const", -n))
        case _:
            return (name, a, b)


def eq(a: Code, b: Code) -> Code:
    """Return that two numbers are the same."""
    return op("==", a, b)


def bit(element: Code) -> Code:
    """Return the set of one element."""
    return ("const", 1 << element[1]) if element[0] == "const" else ("bit", element)


def count(mask: Code) -> Code:
    """Return how many elements a set has."""
    return ("const", mask[1].bit_count()) if mask[0] == "const" else ("count", mask)


def children(code: Code) -> tuple[Code, ...]:
    """Return the codes that a code is made of."""
    return () if code[0] in {"const", "var", "next"} else code[1:]


def walk(code: Code) -> Iterator[Code]:
    """Every code in a code, itself first."""
    yield code
    for part in children(code):
        yield from walk(part)


def variables(code: Code) -> frozenset[int]:
    """Return the variables that a code reads, before the step or after it."""
    return frozenset(part[1] for part in walk(code) if part[0] in {"var", "next"})


def conjuncts(code: Code) -> tuple[Code, ...]:
    """Return the parts of a conjunction, in order."""
    if code[0] == "and":
        return tuple(part for each in code[1:] for part in conjuncts(each))
    return () if code == TRUE else (code,)


def replaced(code: Code, values: Mapping[Code, Code]) -> Code:
    """Return a code with some of its variables (`("var", i)` or `("next", i)`) replaced."""
    if code[0] in {"var", "next"}:
        return values.get(code, code)
    if code[0] == "const":
        return code
    return remade(code[0], tuple(replaced(part, values) for part in code[1:]))


def remade(name: str, parts: tuple[Code, ...]) -> Code:
    """Return the operation of that name over these parts, as small as can be."""
    match name:
        case "and":
            return both(*parts)
        case "or":
            return either(*parts)
        case "not":
            return no(parts[0])
        case "ite":
            return ite(*parts)
        case "bit":
            return bit(parts[0])
        case "count":
            return count(parts[0])
        case "neg":
            return ("const", -parts[0][1]) if parts[0][0] == "const" else ("neg", parts[0])
        case _:
            return op(name, parts[0], parts[1])
