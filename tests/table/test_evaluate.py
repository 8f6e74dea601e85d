"""What expressions are worth, and how they are told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from temper.model import check, check_expression, types
from temper.syntax import parse_bundle, parse_expression
from temper.table import (
    Caller,
    Expr,
    Move,
    NoValue,
    Snapshot,
    compile_expression,
    compile_machine,
    default_values,
    describe_expr,
    evaluate,
)
from temper.text import Severity, Source
from tests.table.build import ROLES, compiled, n, on

TEXT = f"""blueprint test

{ROLES}

record Line(sku: string, units: int 1.., price: decimal)

entity Other
  states On, Off
  count: int = 0
  action Make by anyone from new to On

entity Thing
  states A, B, C
  group Early = A, B
  a: int = 7
  b: int = 2
  zero: int = 0
  d: decimal = 2.5
  text: string = "ab"
  flag: bool = true
  maybe: int?
  due: time?
  wait: duration = 90s
  stage: one of (low, high) = low
  owner: principal?
  numbers: set of int max 9 = {{3, 1, 2}}
  names: list of string max 9 = ["b", "a"]
  lines: list of Line max 9 = [Line(sku: "x", units: 2, price: 1.5), Line(sku: "y", units: 3, price: 0.1)]
  stock: map of string to int max 9 = {{"x": 1, "y": 0}}
  let double = a * 2
  let cost = sum(l in lines: l.price)
  action Make by anyone from new to A
"""

SOURCE = Source("test.blueprint", TEXT)
MACHINE, PROBLEMS = check(parse_bundle([SOURCE])[0])
TABLE = compile_machine(MACHINE, [SOURCE])
NOW = Snapshot("Thing", "t1", "A", default_values(TABLE, "Thing"), 1, 1, 1_000, 2_000)
ANN = Caller("ann", frozenset({"operator"}), "person")


def expr(text: str) -> Expr:
    tree, unread = parse_expression(text)
    typed, problems = check_expression(MACHINE, "Thing", tree, types.UnknownT())
    assert not [one for one in (*unread, *problems) if one.severity is Severity.ERROR], (text, unread, problems)
    return compile_expression(typed)


def worth(text: str, now: Snapshot = NOW) -> Any:
    return evaluate(TABLE, "Thing", expr(text), now, caller=ANN, at=5_000)


def test_the_blueprint_is_sound() -> None:
    assert not [one for one in PROBLEMS if one.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b * 3", 13),
        ("(a + b) * 3", 27),
        ("-a // b", -4),
        ("a % b", 1),
        ("d * 2", Decimal("5.0")),
        ("d // 2", Decimal(1)),
        ("-d % 2", Decimal("1.5")),
        ("a + d", Decimal("9.5")),
        ("double + 1", 15),
        ("cost", Decimal("1.6")),
        ("min(a, b)", 2),
        ("max(a, 9)", 9),
        ("min(d, 3)", Decimal("2.5")),
        ('text + "c"', "abc"),
        ("wait * 2", 180_000),
        ("wait // 1s", 90),
        ("created_at + wait", 91_000),
        ("created_at", 1_000),
        ("now", 5_000),
        ("now - created_at", 4_000),
        ("caller", "ann"),
        ("caller.acts_for", "person"),
        ("caller is operator", True),
        ("caller is not builder", True),
        ("state is A", True),
        ("state is not Early", False),
        ("state in (B, C)", False),
        ("stage == low", True),
        ("stage != high", True),
        ("maybe == none", True),
        ("maybe ?? 4", 4),
        ("maybe != none and maybe > 100", False),
        ("maybe == none or maybe > 100", True),
        ("maybe != none implies maybe > 100", True),
        ("if maybe != none then maybe else -1", -1),
        ("zero != 0 and a // zero > 1", False),
        ("not flag", False),
        ("2 in numbers", True),
        ("5 not in numbers", True),
        ("maybe in numbers", False),
        ('"x" in stock', True),
        ('"b" in names', True),
        ("size(numbers)", 3),
        ("size(stock)", 2),
        ("numbers + {9}", frozenset({1, 2, 3, 9})),
        ("numbers - {1}", frozenset({2, 3})),
        ("numbers & {1, 9}", frozenset({1})),
        ('names + ["c"]', ("b", "a", "c")),
        ("names[0]", "b"),
        ("names[2]", None),
        ("names[-1]", None),
        ('stock["x"]', 1),
        ('stock["z"] ?? -1', -1),
        ("set(names)", frozenset({"a", "b"})),
        ("all x in numbers: x > 0", True),
        ("any x in numbers: x > 2", True),
        ('any k in stock: k == "y"', True),
        ("count(x in numbers: x > 1)", 2),
        ("sum(x in numbers: x)", 6),
        ("sum(l in lines: l.units)", 5),
        ("first(x in numbers: x > 1)", 2),
        ("first(x in numbers: x > 9)", None),
        ("{x in numbers: x > 1}", frozenset({2, 3})),
        ("{x in names: true}", frozenset({"a", "b"})),
        ('{k in stock: k != "x"}', frozenset({"y"})),
        ("{x * 2 for x in numbers}", frozenset({2, 4, 6})),
        ("[x * 2 for x in numbers]", (2, 4, 6)),
        ("[l.sku for l in lines]", ("x", "y")),
        ("all x in numbers: (any y in numbers: x != y)", True),
        ("all x in numbers: count(y in numbers: y < x) + 1 == x", True),
        ('lines == [lines[0] ?? Line(sku: "", units: 1, price: 0), Line(sku: "y", units: 3, price: 0.10)]', True),
    ],
)  # fmt: skip
def test_an_expression_and_its_worth(text: str, value: Any) -> None:
    """One row, one expression."""
    found = worth(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "a + b * 3", "(a + b) * 3", "a - (b - 1)", "a - b - 1", "-a // b", "-(a + b)", "not (flag and a > 1)",
        "flag or a > 1 and b > 1", "(flag or a > 1) and b > 1", "flag implies a > 1 implies b > 1",
        "(flag implies a > 1) implies b > 1", "state is A", "state is not A", "state in (A, B)", "caller is operator",
        "caller is not builder", "maybe ?? 4", "(maybe ?? 4) + 1", "if flag then a else b",
        "(if flag then a else b) + 1",
        "size(numbers) > 2", "2 in numbers", "2 not in numbers", "all x in numbers: x > 0 and x < 9",
        "(any x in numbers: x > 0) and flag", "count(x in numbers: x > 1) == 2", "{x in numbers: x > 1}",
        "[x * 2 for x in numbers]", "names[0]", 'text + "c"', "wait * 2 > 90s", "created_at + wait",
        "stage == low", '{"a", text}', "caller.acts_for", "min(a, b)", "set(names)", "numbers + {9}",
        'Line(sku: "x", units: 2, price: 1.5)', "3.5 + d", "maybe == none", "a * b // 3 % 2", "numbers & {1}",
    ],
)  # fmt: skip
def test_an_expression_is_told_as_it_was_written(text: str) -> None:
    """With brackets where they are needed and nowhere else."""
    assert describe_expr(expr(text), TABLE.records) == text


def test_a_let_is_worked_out_once() -> None:
    """Seen by its cost: nested lets that each read the one before twice would take 2**60 steps."""
    lets = "\n".join(f"  let x{i} = x{i - 1} + x{i - 1}" for i in range(1, 61))
    make = "  action Make by anyone from new to A"
    table = compiled(f"entity E\n  states A\n  a: int = 1\n  let x0 = a\n{lets}\n{make}\n")
    now = Snapshot("E", "e", "A", {"a": 1}, 1, 1, 0, 0)
    assert evaluate(table, "E", on("let", "x60"), now) == 2**60


def test_what_has_no_value() -> None:
    """A division by zero, and what is beyond the snapshot that is given."""
    for text in ("a // zero > 1", "a % zero > 1", "d // (d - 2.5) > 1"):
        with pytest.raises(NoValue, match="it divides by zero"):
            worth(text)
    with pytest.raises(NoValue, match="only this entity is known here"):
        evaluate(TABLE, "Thing", on("read", ("lit", ("ref", "Other"), "o1"), "Other", "count"), NOW)
    with pytest.raises(NoValue, match="there is no `a` yet"):
        evaluate(TABLE, "Thing", on("field", "a"), None)


def test_reading_other_entities() -> None:
    """For scenarios and properties over a whole world: references, states behind them, and all of a kind."""
    other = Snapshot("Other", "o1", "On", {"count": 4}, 1, 1, 0, 0)
    world = {"Other": {"o1": other}, "Thing": {"t1": NOW}}
    o1: Expr = ("var", "o")

    def seen(expression: Expr) -> Any:
        return evaluate(TABLE, None, expression, None, world=world, env={"o": "o1"})

    assert seen(on("read", o1, "Other", "count")) == 4
    assert seen(on("read_in", o1, "Other", ("Off",))) is False
    assert seen(on("count", "x", on("every", "Other"), on("read_in", on("var", "x"), "Other", ("On",)))) == 1
    with pytest.raises(NoValue, match="there is no Other `gone`"):
        evaluate(TABLE, None, on("read", o1, "Other", "count"), None, world=world, env={"o": "gone"})


def test_before_and_action_is() -> None:
    """For properties of a step."""
    was = Snapshot("Thing", "t1", "A", {**NOW.fields, "a": 5}, 1, 1, 0, 0)
    moves = (Move("Make", "", "new", "A", {}, entered=True),)

    def seen(expression: Expr) -> Any:
        return evaluate(TABLE, "Thing", expression, NOW, before=was, moves=moves)

    assert seen(on("before", on("field", "a"))) == 5
    assert seen(on("before", on("let", "double"))) == 10
    assert seen(on("+", on("let", "double"), on("before", on("let", "double")))) == 24
    assert seen(on("action_is", "Thing", "Make")) is True
    assert seen(on("action_is", "Other", "Make")) is False
    bound = on("all", "x", on("field", "numbers"), on("before", on(">=", on("field", "a"), on("var", "x"))))
    assert seen(bound) is True


def test_the_author_s_names_and_texts_are_data() -> None:
    """Whatever a literal holds, it is only a value."""
    nasty = '\'); import os #\n"""{x}'
    assert evaluate(TABLE, "Thing", on("concat", ("lit", ("string",), nasty), on("field", "text")), NOW) == nasty + "ab"


def test_literals_that_are_objects() -> None:
    """They can't be hashed, and are not kept; their worth is the same."""
    line: Expr = ("lit", ("record", "Line"), {"sku": "x", "units": 1, "price": "2.50"})
    assert evaluate(TABLE, "Thing", line, NOW) == ("x", 1, Decimal("2.5"))
    assert evaluate(TABLE, "Thing", on("dot", line, "Line", "units"), NOW) == 1


def test_a_map_with_a_key_set() -> None:
    put = on("put", on("field", "stock"), ("lit", ("string",), "a"), n(9))
    assert evaluate(TABLE, "Thing", put, NOW) == (("a", 9), ("x", 1), ("y", 0))
