"""Expressions: what each means, and what is wrong with it."""

from __future__ import annotations

import pytest

from temper.model import Typed, check_expression, types
from temper.syntax import parse_expression
from temper.table import compile_expression
from temper.text import Code, Diagnostic
from tests.model.texts import machine, order, told

SHOP = machine(order("let twice = n * 2\n"))

INT = ("int", None, None)
DECIMAL = ("decimal", None, None)
LEVEL = ("one_of", ("low", "high"))
N = ("field", "n")
M = ("field", "m")


def n(value: int) -> tuple[object, ...]:
    return ("lit", INT, value)


def typed(text: str, want: types.Type = types.BOOL) -> tuple[Typed, tuple[Diagnostic, ...]]:

    expr, unread = parse_expression(text)
    assert unread == ()
    return check_expression(SHOP, "Order", expr, want)


@pytest.mark.parametrize(
    ("text", "want", "lowered"),
    [
        # names
        ("n", "int", N),
        ("twice", "int", ("let", "twice")),
        ("most", "int", n(4)),
        ("this", "Order", ("this",)),
        ("this.n", "int", N),
        ("id", "string", ("id",)),
        ("created_at", "time", ("created_at",)),
        ("now", "time", ("now",)),
        ("caller", "principal", ("caller",)),
        ("caller.acts_for", "principal", ("acts_for",)),
        # literals
        ("true", "bool", ("lit", ("bool",), True)),
        ("12", "int", n(12)),
        ("-12", "int", n(-12)),
        ("2 * 3 + 4 - 1", "int", n(9)),
        ("3.50", "decimal", ("lit", DECIMAL, "3.5")),
        ("3", "decimal", ("lit", DECIMAL, "3")),
        ("n", "decimal", ("to_decimal", N)),
        ('"text"', "string", ("lit", ("string",), "text")),
        ("90s", "duration", ("lit", ("duration",), "90s")),
        ('"1970-01-01T00:00:02Z"', "time", ("lit", ("time",), "1970-01-01T00:00:02.000Z")),
        ('"1970-01-01 01:00:02+01:00"', "time", ("lit", ("time",), "1970-01-01T00:00:02.000Z")),
        ('"1970-01-01"', "time", ("lit", ("time",), "1970-01-01T00:00:00.000Z")),
        ('"ann"', "principal", ("lit", ("principal",), "ann")),
        ('"o1"', "Order", ("lit", ("ref", "Order"), "o1")),
        ("low", "Level", ("lit", LEVEL, "low")),
        ("none", "int?", ("none", INT)),
        ("n", "int?", ("some", N)),
        ("m", "int?", M),
        ("{}", "set of Level", ("set", LEVEL, ())),
        ("{low}", "set of Level", ("set", LEVEL, (("lit", LEVEL, "low"),))),
        ("[1, n]", "list of int", ("list", INT, (n(1), N))),
        ("{}", "map of string to int", ("map", ("string",), INT, ())),
        ('{"a": n}', "map of string to int", ("map", ("string",), INT, ((("lit", ("string",), "a"), N),))),
        (
            'Line(units: 2, sku: "a")', "Line",
            ("record", "Line", (("lit", ("string",), "a"), n(2), ("none", ("string",)))),
        ),
        # arithmetic
        ("n + 1", "int", ("+", N, n(1))),
        ("n // 2 % 3", "int", ("%", ("//", N, n(2)), n(3))),
        ("-n", "int", ("neg", N)),
        ("price * n", "decimal", ("*", ("field", "price"), ("to_decimal", N))),
        ("now + gap", "time", ("+", ("now",), ("field", "gap"))),
        ("now - created_at", "duration", ("-", ("now",), ("created_at",))),
        ("gap * 2", "duration", ("*", ("field", "gap"), n(2))),
        ("gap // 1h", "int", ("//", ("field", "gap"), ("lit", ("duration",), "1h"))),
        ('name + "x"', "string", ("concat", ("field", "name"), ("lit", ("string",), "x"))),
        ("tags + {low}", "set of Level", ("union", ("field", "tags"), ("set", LEVEL, (("lit", LEVEL, "low"),)))),
        ("tags - tags", "set of Level", ("minus", ("field", "tags"), ("field", "tags"))),
        ("tags & tags", "set of Level", ("intersect", ("field", "tags"), ("field", "tags"))),
        ("min(n, 3)", "int", ("min", N, n(3))),
        ("max(n, 3, 4)", "int", ("max", ("max", N, n(3)), n(4))),
        # comparisons
        ("level == high", "bool", ("==", ("field", "level"), ("lit", LEVEL, "high"))),
        ("high != level", "bool", ("!=", ("lit", LEVEL, "high"), ("field", "level"))),
        ("m == n", "bool", ("==", M, ("some", N))),
        ("m != none", "bool", ("!=", M, ("none", INT))),
        ("price > n", "bool", (">", ("field", "price"), ("to_decimal", N))),
        ("price > 1", "bool", (">", ("field", "price"), ("lit", DECIMAL, "1"))),
        ('created_at > "1970-01-02"', "bool", (">", ("created_at",), ("lit", ("time",), "1970-01-02T00:00:00.000Z"))),
        ("tags == {}", "bool", ("==", ("field", "tags"), ("set", LEVEL, ()))),
        ("n in {1, 2}", "bool", ("in", N, ("set", INT, (n(1), n(2))))),
        ("level in (low, high)", "bool",
         ("in", ("field", "level"), ("set", LEVEL, (("lit", LEVEL, "low"), ("lit", LEVEL, "high"))))),
        ("low in tags", "bool", ("in", ("lit", LEVEL, "low"), ("field", "tags"))),
        ("low not in tags", "bool", ("not", ("in", ("lit", LEVEL, "low"), ("field", "tags")))),
        ('"a" in counts', "bool", ("in", ("lit", ("string",), "a"), ("field", "counts"))),
        ("m in {1}", "bool", ("and", ("!=", M, ("none", INT)), ("in", ("value", M), ("set", INT, (n(1),))))),
        # states, roles
        ("state is Busy", "bool", ("in_state", ("Busy",))),
        ("state is Open", "bool", ("in_state", ("Draft", "Busy"))),
        ("state is not Busy", "bool", ("not", ("in_state", ("Busy",)))),
        ("state in (Done, Open)", "bool", ("in_state", ("Draft", "Busy", "Done"))),
        ("caller is boss", "bool", ("has_role", "boss")),
        ("caller in (boss, clerk)", "bool", ("or", ("has_role", "boss"), ("has_role", "clerk"))),
        # optional values
        ("m ?? 3", "int", ("??", M, n(3))),
        ("m ?? m", "int?", ("??", M, M)),
        ("m != none and m > 1", "bool", ("and", ("!=", M, ("none", INT)), (">", ("value", M), n(1)))),
        # collections
        ("size(lines)", "int", ("size", ("field", "lines"))),
        ("lines[0]", "Line?", ("index", ("field", "lines"), n(0))),
        ('counts["a"]', "int?", ("get", ("field", "counts"), ("lit", ("string",), "a"))),
        ("all l in lines: l.units > 1", "bool",
         ("all", "l", ("field", "lines"), (">", ("dot", ("var", "l"), "Line", "units"), n(1)))),
        ("count(l in lines: true)", "int", ("count", "l", ("field", "lines"), ("lit", ("bool",), True))),
        ("sum(l in lines: l.units)", "int",
         ("sum", "l", ("field", "lines"), ("dot", ("var", "l"), "Line", "units"))),
        ("first(t in tags: t == low)", "Level?",
         ("first", "t", ("field", "tags"), ("==", ("var", "t"), ("lit", LEVEL, "low")))),
        ("{t in tags: t == low}", "set of Level",
         ("filter", "t", ("field", "tags"), ("==", ("var", "t"), ("lit", LEVEL, "low")))),
        ("[l.units for l in lines]", "list of int",
         ("map_list", "l", ("field", "lines"), ("dot", ("var", "l"), "Line", "units"))),
        ("set([1])", "set of int", ("to_set", ("list", INT, (n(1),)))),
        ("if n > 1 then none else n", "int?", ("if", (">", N, n(1)), ("none", INT), ("some", N))),
    ],
)  # fmt: skip
def test_an_expression_means(text: str, want: str, lowered: object) -> None:
    """One row, one expression: the type it has where that one is expected, and its form in the table."""
    expected = TYPES[want]
    value, problems = typed(text, expected)
    assert problems == ()
    assert types.show(types.opened(value.type)) == want
    assert compile_expression(value) == lowered


LEVELS = types.EnumT(("low", "high"), "Level")
TYPES: dict[str, types.Type] = {
    types.show(type): type
    for type in (
        *types.BUILT_IN.values(),
        LEVELS,
        types.RecordT("Line"),
        types.RefT("Order"),
        types.OptionalT(types.INT),
        types.OptionalT(LEVELS),
        types.OptionalT(types.RecordT("Line")),
        types.SetT(LEVELS),
        types.SetT(types.INT),
        types.ListT(types.INT),
        types.MapT(types.STRING, types.INT),
    )
}


@pytest.mark.parametrize(
    ("text", "code", "at", "said"),
    [
        ("nn > 1", Code.B106, "nn", "unknown name `nn`"),
        ("clerk", Code.B106, "clerk", "`clerk` is a role, not a value"),
        ("Busy", Code.B106, "Busy", "`Busy` is a state, not a value"),
        ("level == hihg", Code.B106, "hihg", "unknown value `hihg` in `Level`"),
        ("low", Code.B207, "low", "`low` is a value of `Level`"),
        ("none == none", Code.B207, "none", "of which type this `none` is"),
        ("{} == {}", Code.B207, "{}", "of what this set is"),
        ('level == "low"', Code.B201, '"low"', "a value of `Level` is expected, and this is a text"),
        ("n", Code.B201, "n", "a `bool` is expected, and this is an `int 0..9`"),
        ("n == 3 and name", Code.B201, "name", "a `bool` is expected, and this is a `string`"),
        ("n == name", Code.B205, "n == name", "an `int 0..9` is compared with a `string`"),
        ("tags == lines", Code.B205, "tags == lines", "a `set of Level max 2` is compared with"),
        ("n in tags", Code.B205, "n in tags", "an `int 0..9` is compared with a `Level`"),
        ("n in n", Code.B201, "n", "a collection is expected after `in`"),
        ("name < name", Code.B204, "name", "`<` has no meaning for a `string`"),
        ("level >= low", Code.B204, "level", "`>=` has no meaning for a `Level`"),
        ("m > 1", Code.B202, "m", "`m` may be `none` here"),
        ("m + 1 == 2", Code.B202, "m", "`m` may be `none` here"),
        ("last.units == 2", Code.B202, "last", "`last` may be `none` here"),
        ('counts["a"] > 1', Code.B202, 'counts["a"]', "this may be `none` here"),
        ("n != none", Code.B203, "n", "`n` is never `none`"),
        ("n ?? 1 == 1", Code.B203, "n", "`n` is never `none`"),
        ("n + true == 1", Code.B204, "n + true", "`+` has no meaning for an `int 0..9` and a `bool`"),
        ("created_at + 1 == now", Code.B204, "created_at + 1", "`+` has no meaning for a `time` and an `int`"),
        ("n % 0 == 0", Code.B212, "0", "division by zero"),
        ("n is Busy", Code.B204, "n is Busy", "`is` asks about a state"),
        ("state is Bussy", Code.B101, "Bussy", "unknown state `Bussy` in `Order`"),
        ("caller is chief", Code.B103, "chief", "unknown role `chief`"),
        ("before.n == 1", Code.B211, "before", "`before` can't be read in a filter"),
        ("action is New", Code.B211, "action", "`action` can't be read in a filter"),
        ("result.x == 1", Code.B211, "result", "`result` can't be read in a filter"),
        ("all o in Order: true", Code.B211, "Order", "entity `Order` can't be read in a filter"),
        ("all n in lines: true", Code.B111, "n", "`n` is a name here already"),
        ("all l in lines: l.price > 1", Code.B116, "price", "unknown part `price` in `Line`"),
        ("n.x == 1", Code.B116, "x", "an `int 0..9` has no parts"),
        ("caller.name == 1", Code.B116, "name", "unknown part `name` in `caller`"),
        ("length(lines) == 1", Code.B117, "length", "unknown function `length`"),
        ("Order(n: 1) == this", Code.B117, "Order", "is not made in an expression"),
        ("size(n) == 1", Code.B201, "n", "a collection is expected, and this is an `int 0..9`"),
        ("size(lines, tags) == 1", Code.B208, "size(lines, tags)", "`size` takes one value"),
        ("min(n) == 1", Code.B208, "min(n)", "`min` takes two values or more"),
        ("min(n, name) == 1", Code.B204, "min(n, name)", "`min` has no meaning for an `int 0..9` and a `string`"),
        ('Line("a") == last', Code.B208, 'Line("a")', "`Line` is not given `units`"),
        ('Line("a", 1, "b", 2) == last', Code.B208, "2", "`Line` takes 3 arguments"),
        ('Line(sku: "a", 1) == last', Code.B208, "1", "an argument without a name follows one with a name"),
        ('Line("a", sku: "b", units: 1) == last', Code.B208, '"b"', "`sku` is given twice"),
        ('Line(sku: "a", unit: 1) == last', Code.B107, "unit", "unknown parameter `unit` in `Line`"),
        ('Line("a", 0) == last', Code.B206, "0", "0 is outside of `int 1..`"),
        ("tags[0] == low", Code.B204, "tags[0]", "has no elements to pick"),
        ("sum(l in lines: l.sku) == 1", Code.B204, "l.sku", "a `string` can't be added up"),
        ("[1, name] == [2]", Code.B201, "name", "an `int` is expected, and this is a `string`"),
        ("(if n > 1 then 1 else name) == 1", Code.B201, "if n > 1 then 1 else name", "the two ways of this `if`"),
        ('created_at > "tomorrow"', Code.B214, '"tomorrow"', '"tomorrow" is not a time'),
        ("other.n == 1", Code.B202, "other", "may be `none`"),
        ("other != none and other.nn == 1", Code.B116, "nn", "unknown part `nn` in `Order`"),
        ("other != none and other.state is Bsy", Code.B101, "Bsy", "unknown state `Bsy`"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_expression(text: str, code: Code, at: str, said: str) -> None:
    """One row, one problem: its code, the words that it points at, and a part of what it says."""
    _, problems = typed(text)
    (problem,) = problems
    assert (problem.code, text[problem.primary.span.start : problem.primary.span.end]) == (code, at)
    assert said in problem.message


def test_one_mistake_is_told_once() -> None:
    """What is built on something unknown is not wrong too."""
    _, problems = typed("nn + 1 > size(mm) and not (nn == 2)")
    assert [problem.code for problem in problems] == [Code.B106, Code.B106, Code.B106]


def test_several_mistakes_are_all_told() -> None:
    _, problems = typed("n == name or m > 1 or level == medium")
    assert [problem.code for problem in problems] == [Code.B205, Code.B202, Code.B106]


@pytest.mark.parametrize(
    ("condition", "known"),
    [
        ("m != none and m > 1", True),
        ("m > 1 and m != none", False),
        ("m == none or m > 1", True),
        ("m != none or m > 1", False),
        ("m != none implies m > 1", True),
        ("m == none implies m > 1", False),
        ("not (m == none) and m > 1", True),
        ("not (m == none or n == 1) and m > 1", True),
        ("(m != none and n == 1) and m > 1", True),
        ("(m != none or n == 1) and m > 1", False),
        ("(m != none or m == 3) and m > 1", True),
        ("(if m != none then m else 0) > 1", True),
        ("(if m == none then 0 else m) > 1", True),
        ("(if m != none then 0 else m) > 1", False),
        ("m == 3 and m > 1", True),
        ("m != 3 or m > 1", True),
        ("m != 3 and m > 1", False),
        ("m == n and m > 1", True),
        ("m == m and m > 1", False),
        ("m in {1, 2} and m > 1", True),
        ("m not in {1, 2} and m > 1", False),
        ("m not in {1, 2} or m > 1", True),
        ("last != none and last.units > 1", True),
        ("last != none and last.note != none and last.note + name == name", True),
        ("last != none and last.note + name == name", False),
        ('counts["a"] != none and counts["a"] > 1', True),
        ('counts["a"] != none and counts["b"] > 1', False),
        ("lines[n] != none and lines[n].units > 1", True),
        ("m != none and (all l in lines: l.units > m)", True),
        ("(all l in lines: l.note != none) and (all l in lines: l.note + name == name)", False),
        ("all l in lines: l.note != none implies l.note + name == name", True),
        # Asking again is no mistake.
        ("m != none and m != none and (m ?? 1) > 1", True),
    ],
)
def test_ruling_25_narrowing_runs_left_to_right(condition: str, known: bool) -> None:
    _, problems = typed(condition)
    assert [problem.code for problem in problems] == ([] if known else [Code.B202])


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        # A case's `when` narrows its own clauses, the action's all.
        ("action A by clerk\n  from Draft when m != none\n    set n = m\n", []),
        ("action A by clerk\n  from Draft when m != none\n    set n = m\n  from Busy\n    set n = m\n", ["B202"]),
        ("action A by clerk\n  from Draft when m != none\n  set n = m\n", ["B202"]),
        ("action A by clerk\n  when m != none\n  from Draft\n    set n = m\n  from Busy when m > 1\n", []),
        ("action A by clerk\n  when m != none\n  from Draft\n  set n = m\n", []),
        ("action A by clerk\n  from Draft\n  if m != none: set n = m\n", []),
        ("action A by clerk\n  when m != none\n  let k = m + 1\n  from Draft\n  set n = k\n", []),
        ("action A by clerk\n  let k = m + 1\n  when m != none\n  from Draft\n  set n = k\n", ["B202"]),
        # Those of `on entry` and timers never, since others lead there too.
        ("action A by clerk from Draft to Busy when m != none\nin Busy on entry set n = m\n", ["B202"]),
        ("in Busy on entry if m != none: set n = m\n", []),
        # There, each clause reads what the one before it has set.
        ("in Busy\n  on entry if m != none:\n    set m = none\n    set n = m\n", ["B202"]),
    ],
)
def test_ruling_25_a_guard_narrows_what_it_admits(lines: str, codes: list[str]) -> None:
    assert [code for code, _ in told(order(lines))] == codes


def test_ruling_07_a_parameter_hides_a_field_in_expressions_only() -> None:
    """The right side reads the parameter; the left side, the old value in `+=`, and `this.n` the field."""
    (action,) = [
        action
        for action in machine(
            order(
                """
                action A(n: int 0..3) by clerk from Draft
                  set n += n
                action B(n: int 0..3) by clerk from Draft when n == this.n
                """
            )
        )
        .entities[0]
        .actions
        if action.name == "A"
    ]
    (clause,) = action.body
    assert compile_expression(clause.value) == ("+", N, ("param", "n"))  # type: ignore[union-attr]  # it is a `set`


@pytest.mark.parametrize(
    ("lines", "at"),
    [
        ("always now > created_at\n", "now"),
        ("let late = now > created_at\n", "now"),
        ("action A by clerk from Draft\n  let late = now\n", "now"),
        ("in Draft whenever now > created_at do New\n", "now"),
    ],
)
def test_ruling_19_properties_whenever_and_let_do_not_read_now(lines: str, at: str) -> None:
    assert ("B211", at) in told(order(lines))
