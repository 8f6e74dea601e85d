# ruff: noqa: E501 - lines that are too long are what the last test is about
"""The one style: what is printed reads back as what it was, and nothing is lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from msgspec import Struct

from temper.syntax import format_expression, format_file, parse, parse_expression, tree
from temper.text import Source
from tests import blueprints

LANGUAGE = Path(__file__).parents[2] / "docs" / "reference" / "language.md"


def formatted(text: str) -> str:
    """The text of `text`'s tree; it has to be without problems, and to read back as the same tree."""
    file, problems = parse(Source("x.blueprint", text))
    assert not problems, text
    result = format_file(file)
    assert parse(Source("x.blueprint", result)) == (file, ()), result
    return result


# --- laws -------------------------------------------------------------------------------------------------------------


@given(blueprints.files())
def test_a_text_reads_back_as_its_tree(file: tree.File) -> None:
    text = format_file(file)
    again, problems = parse(Source(file.path, text))
    assert not problems, text
    assert again == file, text


@given(blueprints.files())
def test_formatting_twice_changes_nothing(file: tree.File) -> None:
    text = format_file(file)
    again, problems = parse(Source(file.path, text))
    assert not problems, text
    assert format_file(again) == text


@given(blueprints.files())
def test_no_comment_is_lost(file: tree.File) -> None:
    """Neither in the text nor on the way back, however lines were joined or broken."""
    again, _ = parse(Source(file.path, format_file(file)))
    assert Counter(comments(again)) == Counter(comments(file))


@given(blueprints.files())
def test_blank_lines_stand_alone_and_never_at_an_end(file: tree.File) -> None:
    text = format_file(file)
    assert "\n\n\n" not in text
    assert not text.startswith("\n")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert not re.search(r"[ \t]\n", text)


@given(blueprints.expressions(24))
def test_an_expression_reads_back_as_itself(expression: tree.Expr) -> None:
    text = format_expression(expression)
    assert parse_expression(text) == (expression, ()), text


@given(blueprints.expressions(12))
def test_no_brackets_could_be_left_out(expression: tree.Expr) -> None:
    """Without any one pair of its brackets the text would say something else, or nothing.

    For the reader's sake there are more around `if` and quantifiers within an expression, and around what stands before
    a `:` or a `for`; and the parser reads on behind `is A` and `in (A, B)` as if they stood in brackets.
    """
    text = format_expression(expression)
    for left, right in pairs(text):
        within, behind = text[left + 1 : right], text[right + 1 :]
        if within.startswith(("if ", "all ", "any ")) or behind.startswith((":", " for ")):
            continue
        if within.endswith(")") or re.search(r" is (not )?[\w.]+$", within):
            continue
        without = f"{text[:left]}{within}{behind}"
        assert parse_expression(without) != (expression, ()), (text, without)


def comments(node: object) -> Iterator[str]:
    """Every comment's line in a tree."""
    if isinstance(node, tree.Trivia):
        yield from node.above
        yield from node.below
        for block in node.detached:
            yield from block
        if node.beside is not None:
            # Comments that meet on one line become one.
            yield from node.beside.split()
    elif isinstance(node, tuple):
        for item in node:
            yield from comments(item)
    elif isinstance(node, Struct):
        for name in node.__struct_fields__:
            yield from comments(getattr(node, name))


def pairs(text: str) -> Iterator[tuple[int, int]]:
    """The offsets of each pair of round brackets, outside of text literals."""
    blanked = re.sub(r'"(?:[^"\\]|\\.)*"', lambda literal: "_" * len(literal[0]), text)
    open_: list[int] = []
    for index, char in enumerate(blanked):
        if char == "(":
            open_.append(index)
        elif char == ")":
            yield open_.pop(), index


# --- rows -------------------------------------------------------------------------------------------------------------


def test_the_example_of_the_language_is_in_the_style() -> None:
    example = re.search(r"```blueprint\n(.*?)```", LANGUAGE.read_text(), re.DOTALL)
    assert example is not None
    assert formatted(example[1]) == example[1]


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        # What stands on the line of what it belongs to.
        ("action Go\n  by a\n  from A to B", "action Go by a from A to B"),
        ("action Go by a from A to B when x set y = 1", "action Go by a\n  from A to B when x\n    set y = 1"),
        ("action Go by a from A to B\n  when x", "action Go by a from A to B\n  when x"),
        ('action Go\n  from A to B\n    when x else "no"', 'action Go from A to B when x else "no"'),
        ("action Go\n  from A\n    when x\n    when y", "action Go\n  from A when x\n    when y"),
        ("action Go\n  when x\n  by a\n  from A", "action Go\n  when x\n  by a\n  from A"),
        ("action Go by a\n  from A to B\n  from B to A", "action Go by a\n  from A to B\n  from B to A"),
        ("in A\n  late Go ignore", "in A late Go ignore"),
        ("in A\n  on entry do Go", "in A on entry do Go"),
        ("in A\n  on entry\n    do Go\n    emit E", "in A\n  on entry do Go\n  on entry emit E"),
        ("in A\n  on entry for x in xs:\n    send x.Go", "in A on entry for x in xs: send x.Go"),
        ("in A on entry if x:\n  set y\n  set z", "in A\n  on entry if x:\n    set y\n    set z"),
        # What bears comments stands alone, and they stay with it.
        ("action Go\n  # who\n  by a\n  from A", "action Go\n  # who\n  by a\n  from A"),
        ("action Go\n  by a\n  from A  # where", "action Go by a\n  from A  # where"),
        ("action Go by a  # all\n  # below", "action Go by a  # all\n  # below"),
        ("in A # why\n  late Go ignore", "in A late Go ignore  # why"),
        ("in A\n  late Go ignore # why", "in A\n  late Go ignore  # why"),
        (
            "in A on entry if (all a in {b for b in s}: c):\n  set y\n  set z",
            "in A\n  on entry if (all a in {b for b in s}: c):\n    set y\n    set z",
        ),
        # Brackets, literals, names.
        ("const x = ((a) + (b * c)) == ((d))", "const x = a + b * c == d"),
        ("const x = (a or b) and not (not c)", "const x = (a or b) and not not c"),
        ("const x = (a implies b) implies (c implies d)", "const x = (a implies b) implies c implies d"),
        ("const x = (a - b) - (c - d)", "const x = a - b - (c - d)"),
        ("const x = a and (all y in s: (b or c))", "const x = a and all y in s: b or c"),
        ("const x = (all y in s: b) and a", "const x = (all y in s: b) and a"),
        ("const x = -(-(a))", "const x = -(-a)"),
        ("const x = [1_000, 10000, 3.50, 90s, 1_440m]", "const x = [1000, 10_000, 3.50, 90s, 1440m]"),
        ('always ("a") in s', 'always ("a" in s)'),
        ("unique (a)", "unique a"),
        ("action Go() by a", "action Go by a"),
        ("event Paid()", "event Paid"),
        # Fields may be named like the words of quantifiers, here and elsewhere.
        ("const x = (every not in (a, b))", "const x = every not in (a, b)"),
        ('scenario "s"\n  all fails in (s): x', 'scenario "s"\n  all fails in s: x'),
        ('scenario "s"\n  a ,b(c  for  d) e . F', 'scenario "s"\n  a, b(c for d) e.F'),
        ("const x = (state) == (A)", "const x = state == (A)"),
        ("const x = (if A then B else C)", "const x = if A then B else C"),
    ],
)
def test_each_thing_has_one_way_to_be_written(written: str, printed: str) -> None:
    """One row, one line or two of an entity or of the top."""
    at_the_top = written.startswith(("const", "event", "scenario"))
    before, indent = ("blueprint x\n\n", "") if at_the_top else ("blueprint x\n\nentity E\n", "  ")
    assert formatted(before + indented(written, indent)) == before + indented(printed, indent)


def indented(text: str, indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in text.split("\n"))


@pytest.mark.parametrize(
    ("between", "kept"),
    [("\n", "\n"), ("\n\n", "\n\n"), ("\n\n\n\n", "\n\n"), ("\n# c\n", "\n# c\n"), ("\n# c\n\n\n", "\n# c\n\n")],
)
def test_the_author_decides_about_blank_lines(between: str, kept: str) -> None:
    before, behind = "blueprint x\n\nrole a", "role b\n"
    assert formatted(before + between + behind) == before + kept + behind


def test_a_blank_line_parts_entities_scenarios_and_upgrades() -> None:
    text = """\
blueprint x
entity A
  a: int

  b: int
entity B
scenario "s"
  given A a
upgrade from 1
role r
"""
    parted = """\
blueprint x

entity A
  a: int

  b: int

entity B

scenario "s"
  given A a

upgrade from 1

role r
"""
    assert formatted(text) == parted


def test_what_is_too_long_goes_on_deeper() -> None:
    text = """\
blueprint x

entity E
  states Aaaaaaaaaaaaaaaaaa, Bbbbbbbbbbbbbbbbbbbbbbb, Cccccccccccccccccccc, Dddddddddddddddddddd, Eeeeeeeeeeeeeeee, Ffff
  action Go(aaaaaaaaaaaaaaaaaaaa: string, bbbbbbbbbbbbbbbbbbbbbbbb: string, cccccccccccccccc: string) by operator from A to B
  action Come by operator, builder, release_manager from Aaaaaaaaaaaaaaaaaa, Bbbbbbbbbbbbbbbbbbbbbbb to Cccccccccccccccccccc
    call kubernetes.set_partition(aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbb, cccccccccccccccccccc) then Gone else Lost(error.text) unknown _
    when aaaaaaaaaaaaaaaaaaaaaaaaaaaaa == bbbbbbbbbbbbbbbbbbbbbbbbbb and ccccccccccccccccccccccc or not ddddddddddddd else "no"
  always all o in Order: o.aaaaaaaaaaaaaaaaaaaaaaaaaa == 1 implies o.bbbbbbbbbbbbbbbbbbbbbbbbb == 2 implies o.cccccccccc == 3
"""
    wrapped = """\
blueprint x

entity E
  states Aaaaaaaaaaaaaaaaaa, Bbbbbbbbbbbbbbbbbbbbbbb, Cccccccccccccccccccc, Dddddddddddddddddddd,
      Eeeeeeeeeeeeeeee, Ffff
  action Go(aaaaaaaaaaaaaaaaaaaa: string, bbbbbbbbbbbbbbbbbbbbbbbb: string, cccccccccccccccc: string)
    by operator
    from A to B
  action Come by operator, builder, release_manager
    from Aaaaaaaaaaaaaaaaaa, Bbbbbbbbbbbbbbbbbbbbbbb to Cccccccccccccccccccc
    call kubernetes.set_partition(aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbb, cccccccccccccccccccc)
        then Gone
        else Lost(error.text)
        unknown _
    when aaaaaaaaaaaaaaaaaaaaaaaaaaaaa == bbbbbbbbbbbbbbbbbbbbbbbbbb and ccccccccccccccccccccccc or
        not ddddddddddddd else "no"
  always all o in Order:
        o.aaaaaaaaaaaaaaaaaaaaaaaaaa == 1 implies o.bbbbbbbbbbbbbbbbbbbbbbbbb == 2 implies o.cccccccccc == 3
"""
    assert formatted(text) == wrapped
