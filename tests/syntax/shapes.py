"""Trees in one line each, for rows of data."""

from __future__ import annotations

from decimal import Decimal

from temper.syntax import parse, parse_expression, tree
from temper.text import Source


def shape(node: object) -> str:
    """The node as `Class(what it holds, ...)`; words and literals stand for themselves, what is absent is `-`."""
    match node:
        case None:
            return "-"
        case tuple():
            return "[" + " ".join(map(shape, node)) + "]"
        case str():
            return repr(node)
        case bool() | int() | Decimal():
            return str(node)
        case tree.Name(text):
            return text
        case tree.Ref(name):
            return name.text
        case tree.Int(value) | tree.Bool(value) | tree.Str(value) | tree.Dec(value):
            return shape(value)
        case tree.NoneValue():
            return "none"
        case tree.Duration(ms):
            return f"{ms}ms"
        case tree.NamedType(name):
            return name.text
        case tree.NumberType(kind, low, high, ranged):
            return (
                f"{kind}{'' if low is None else shape(low)}..{'' if high is None else shape(high)}" if ranged else kind
            )
        case tree.OptionalType(optional):
            return f"{shape(optional)}?"
        case tree.Binary(op, left, right):
            return f"({shape(left)} {op} {shape(right)})"
        case tree.Unary(op, operand):
            return f"({op} {shape(operand)})"
        case tree.Dot(base, name):
            return f"{shape(base)}.{name.text}"
        case tree.Arg(None, value):
            return shape(value)
        case tree.Arg(name, value):
            return f"{shape(name)}:{shape(value)}"
        case tree.Node():
            inner = [shape(part) for part in node.compared()]
            return f"{type(node).__name__}({' '.join(inner)})"
        case _:
            raise AssertionError(f"{node!r} is no part of a tree")


def expression(text: str) -> str:
    """The shape of an expression that has no problems."""
    expr, problems = parse_expression(text)
    assert problems == (), (text, problems)
    return shape(expr)


def read(text: str) -> tree.File:
    """The file that is `text` below a `blueprint` line, without problems."""
    file, problems = parse(Source("x.blueprint", "blueprint x\n" + text + "\n"))
    assert problems == (), (text, problems)
    return file


def declaration(text: str) -> str:
    """The shape of the one declaration that `text` is."""
    (found,) = read(text).declarations
    return shape(found)


def indented(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line for line in text.split("\n"))


def part_of_entity(text: str) -> str:
    """The shapes of the lines of an entity."""
    (entity,) = read("entity E\n" + indented(text)).declarations
    assert isinstance(entity, tree.Entity)
    return " ".join(map(shape, entity.parts))


def part_of_action(text: str) -> str:
    """The shapes of an action's parts, which stand on deeper lines."""
    (entity,) = read("entity E\n  action Go\n" + indented(text, 4)).declarations
    assert isinstance(entity, tree.Entity)
    (action,) = entity.parts
    assert isinstance(action, tree.Action)
    assert action.inline == 0
    return " ".join(map(shape, action.parts))


def step(text: str) -> str:
    """The shape of one step of a scenario."""
    (scenario,) = read('scenario "s"\n' + indented(text)).declarations
    assert isinstance(scenario, tree.Scenario)
    (found,) = scenario.steps
    return shape(found)
