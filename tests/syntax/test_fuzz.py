"""Whatever the text: an answer, in time, with places that lie in the text."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.syntax import parse, parse_bundle, parse_expression, tree
from temper.syntax.lexer import PROBLEMS_MAX
from temper.text import Diagnostic, Source, render

LANGUAGE = (Path(__file__).parents[2] / "docs" / "reference" / "language.md").read_text()
BLUEPRINTS = re.findall(r"^```blueprint\n(.*?)^```", LANGUAGE, re.MULTILINE | re.DOTALL)
PIECES = re.compile(r"\w+|[^\S\n]+|\n *|[^\w\s]")
PAGE = PIECES.findall(BLUEPRINTS[0])
# Every word and sign of the language page, whether it is an example or not, and what other languages would write.
WORDS = sorted({*PIECES.findall(LANGUAGE), *"&& || ! ' \" \\ ; { } \t := ++ elif null 1.5h 3x \r\n é \x00".split(" ")})

words = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)
signs = st.lists(st.sampled_from([*WORDS, "\n", "\n  ", "\n    ", " "]), max_size=120).map("".join)
bytes_read_as_text = st.binary(max_size=200).map(lambda data: data.decode("utf-8", "replace"))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The example of the language page with a few pieces left out, put in, changed or swapped."""
    pieces = list(PAGE)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(pieces) - 1))
        match draw(st.sampled_from(["out", "in", "other", "swap", "cut"])):
            case "out":
                del pieces[at]
            case "in":
                pieces.insert(at, draw(st.sampled_from(WORDS)))
            case "other":
                pieces[at] = draw(st.sampled_from(WORDS))
            case "swap":
                other = draw(st.integers(0, len(pieces) - 1))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case _:
                del pieces[at : at + draw(st.integers(1, 40))]
        pieces = pieces or ["x"]
    return "".join(pieces)


def judge(source: Source, found: tree.Node, problems: tuple[Diagnostic, ...]) -> None:
    """What holds for every answer."""
    limit = len(source.text)
    assert len(problems) <= PROBLEMS_MAX
    starts = [problem.primary.span.start for problem in problems]
    assert starts == sorted(starts)
    for problem in problems:
        labels = [problem.primary, *problem.secondary]
        spans = [label.span for label in labels] + ([problem.fix.span] if problem.fix else [])
        assert all(span.file == source.name and 0 <= span.start <= span.end <= limit for span in spans), problem
        assert render(problem, {source.name: source})
    bad = 0
    todo: list[object] = [found]
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo.extend(node)
        elif isinstance(node, tree.Node):
            bad += isinstance(node, tree.BadExpr | tree.BadType)
            assert node.span.file == source.name
            assert 0 <= node.span.start <= node.span.end <= limit, node
            slots = {name for kind in type(node).__mro__ for name in getattr(kind, "__slots__", ())}
            todo.extend(getattr(node, name) for name in slots)
    assert problems or not bad, "what could not be read was reported"


@given(st.one_of(words, signs, bytes_read_as_text, st.text(max_size=200), mutated()))
def test_any_text_is_answered(text: str) -> None:
    """Nothing is raised; the same text gets the same answer; a tree with a hole comes with a problem."""
    source = Source("f", text)
    file, problems = parse(source)
    judge(source, file, problems)
    assert parse(source) == (file, problems)


@given(mutated())
def test_a_mutated_blueprint_is_answered(text: str) -> None:
    source = Source("f", text)
    file, problems = parse(source)
    judge(source, file, problems)


@given(st.one_of(words, signs, st.text(max_size=80)))
def test_any_expression_is_answered(text: str) -> None:
    expr, problems = parse_expression(text)
    judge(Source("<expression>", text), expr, problems)


@given(st.lists(st.tuples(st.text("ab/", max_size=3), mutated()), max_size=3))
def test_any_bundle_is_answered(files: list[tuple[str, str]]) -> None:
    sources = [Source(name, text) for name, text in files]
    found, problems = parse_bundle(sources)
    assert [file.path for file in found.files] == sorted(name for name, _ in files)
    assert {problem.primary.span.file for problem in problems} <= {name for name, _ in files}


@given(st.sampled_from(PAGE), st.integers(0, len(PAGE) - 1))
def test_text_that_is_cut_off_is_answered(piece: str, at: int) -> None:
    """As an editor sees it while somebody types."""
    text = "".join(PAGE[:at]) + piece
    source = Source("f", text)
    judge(source, *parse(source))


ENTITY = "blueprint b\nentity X\n"


@pytest.mark.parametrize(
    "hostile",
    [
        lambda n: ENTITY + "  let x = " + "(" * n,
        lambda n: ENTITY + "  let x = " + "[" * n + "]" * n,
        lambda n: ENTITY + "  let x = " + "{x in " * n,
        lambda n: ENTITY + "  let x = " + "x in (" * n,
        lambda n: ENTITY + "  let x = a" + " + a" * n,
        lambda n: ENTITY + "  let x = a" + " < a" * n,
        lambda n: ENTITY + "  let x = a" + ".a" * n,
        lambda n: ENTITY + "  let x = " + "all x in y: " * n + "\n    :",
        lambda n: ENTITY + "  action X by y\n    " + "if a: " * n + "set x",
        lambda n: ENTITY + "  action X " + "by by " * n,
        lambda n: ENTITY + "  action X from A " + "from A " * n,
        lambda n: ENTITY + "  action X call a.b " + "then A " * n,
        lambda n: ENTITY + "  let x = (\n" * n,
        lambda n: ENTITY + "  states A,\n" + "    B,\n" * n,
        lambda n: ENTITY + "  foo bar\n" * n,
        lambda n: ENTITY + "  # x\n\n" * n + "x",
        lambda n: ENTITY + "\tx: int\n" * n,
        lambda n: ENTITY + "  x: " + "set of " * n + "int",
        lambda n: ENTITY + "  x: int" + "?" * n,
        lambda n: ENTITY + "".join(" " * (i % 40 + 2) + "x\n" for i in range(n)),
        lambda n: "blueprint b\n" + "".join(" " * i + "x:\n" for i in range(int(n**0.5 * 4))),
        lambda n: ENTITY + "  action X by y from A to B\n    set x = 1\n" * n,
        lambda n: ENTITY + '  x: "' * n,
        lambda n: ENTITY + "@" * n,
        lambda n: " " * n,
        lambda n: "x" * n,
    ],
)
def test_the_work_grows_no_faster_than_the_text(hostile: Callable[[int], str]) -> None:
    """Counted in calls rather than in seconds, so that it is the same on every machine."""
    few, many = hostile(400), hostile(1600)
    assert calls(many) <= 2 * len(many) / len(few) * calls(few) + 2000


def calls(text: str) -> int:
    """How many functions are called to read `text`."""
    count = 0

    def step(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(step)
    try:
        parse(Source("f", text))
    finally:
        sys.setprofile(before)
    return count
