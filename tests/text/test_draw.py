"""Diagnostics as terminals show them. `«...»` marks places in the text; the first is the problem."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from temper.text import Code, Diagnostic, Label, Source, Span, render

MARK = re.compile("[«»]")


def marked(text: str, name: str = "lease.blueprint") -> tuple[Source, list[Span]]:
    """The text without its marks, and the places that they enclose, in order of their ends."""
    plain, open_at, spans = "", list[int](), list[Span]()
    for piece in re.split("([«»])", text):
        if piece == "«":
            open_at.append(len(plain))
        elif piece == "»":
            spans.append(Span(name, open_at.pop(), len(plain)))
        else:
            plain += piece
    return Source(name, plain), spans


def drawn(text: str, *labels: str, primary: int = 0, help: str | None = None, colour: bool = False) -> str:
    """The drawing of a problem with the marked places, each with its label."""
    source, spans = marked(text)
    places = [Label(span, label) for span, label in zip(spans, labels, strict=True)]
    problem = Diagnostic(Code.B033, "unknown word `acton`", places.pop(primary), tuple(places), help)
    return render(problem, {source.name: source}, colour=colour)


def test_the_place_is_marked_and_labelled() -> None:
    assert drawn(
        "entity Lease\n  states «Free», Held\n\n  action Take\n    from «Fre» to Held\n",
        "a state with a similar name", "not declared", primary=1, help="did you mean `Free`?",
    ) == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:5:10
  2 |   states Free, Held
    |          ---- a state with a similar name
  5 |     from Fre to Held
    |          ^^^ not declared
  help: did you mean `Free`?
""")  # fmt: skip


def test_labels_of_one_line_hang_below_each_other() -> None:
    assert drawn("when «a» «<» b «<» c\n", "one", "two", "three", primary=2) == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:12
  1 | when a < b < c
    |      - -   ^ three
    |      | |
    |      | two
    |      |
    |      one
""")
    assert drawn("when «a» < b < «c»\n", "", "a word", primary=0) == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:6
  1 | when a < b < c
    |      ^       - a word
""")
    # The last mark bears no words, so that those of the first have no room beside it.
    assert drawn("when «a» < b < «c»\n", "a word", "", primary=0) == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:6
  1 | when a < b < c
    |      ^       -
    |      |
    |      a word
""")
    # Two labels for one place, and a place within another.
    assert drawn("when ««a»» < b\n", "one", "two", primary=0) == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:6
  1 | when a < b
    |      ^ two
    |      |
    |      one
""")
    assert drawn("when «a < «b»»\n", "inner", "outer", primary=0) == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:10
  1 | when a < b
    |      ----^ inner
    |      |
    |      outer
""")


def test_a_place_of_several_lines_shows_its_first_and_its_last() -> None:
    assert drawn("entity «Lease\n  states A\n\n  final A»\n", "all of it") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:8
  1 | entity Lease
    |        ^^^^^
  ...
  4 |   final A
    |   ^^^^^^^ all of it
""")
    assert drawn("«set a,\n  b»\n", "") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:1
  1 | set a,
    | ^^^^^^
  2 |   b
    |   ^
""")


def test_other_files_follow_the_first() -> None:
    first, (here,) = marked("blueprint «leases»\n", "b.blueprint")
    other, (there,) = marked("# why\nblueprint «lease»\n", "a.blueprint")
    problem = Diagnostic(
        Code.B032, "two names", Label(here, "this one"), (Label(there, "the first"), Label(Span("gone", 1, 2), "lost"))
    )
    assert render(problem, {first.name: first, other.name: other}) == snapshot("""\
error[B032]: two names
  --> b.blueprint:1:11
  1 | blueprint leases
    |           ^^^^^^ this one
  ::: a.blueprint:2:11
  2 | blueprint lease
    |           ----- the first
  ::: gone
""")
    assert render(problem, {}) == snapshot("""\
error[B032]: two names
  --> b.blueprint
  ::: a.blueprint
  ::: gone
""")


def test_places_without_width_are_one_mark_wide() -> None:
    assert drawn("role a,«»\n", "here") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:8
  1 | role a,
    |        ^ here
""")
    assert drawn("role a\n«»", "the end of the file") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:2:1
  2 |
    | ^ the end of the file
""")
    source = Source("short", "ab")
    problem = Diagnostic(Code.B001, "past the end", Label(Span("short", 90, 99)))
    assert render(problem, {"short": source}) == snapshot("""\
error[B001]: past the end
  --> short:1:3
  1 | ab
    |   ^
""")


def test_tabs_and_wide_letters_keep_the_marks_below_their_places() -> None:
    assert drawn("\tset «a»\t= 1\n", "here") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:6
  1 |     set a    = 1
    |         ^ here
""")
    assert drawn('always "注文": «a» == e\u0301 + «b»\n', "here", "there") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:14
  1 | always "注文": a == é + b
    |                ^        - there
    |                |
    |                here
""")


def test_what_would_hide_or_turn_text_is_shown() -> None:
    """A terminal must not carry out what a blueprint contains."""
    assert drawn("set «a» = \x1b[31m \u202e x \x7f\n", "he\x1bre", help="a\x1bb") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:5
  1 | set a = ␛[31m � x �
    |     ^ he␛re
  help: a␛b
""")


def test_of_a_long_line_what_stands_around_the_mark_is_shown() -> None:
    long = "always " + "a and " * 60 + "«b»" + " and c" * 60 + "\n"
    assert drawn(long, "here") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:368
  1 | ... and a and a and a and a and a and a and b and c and c and c and c and c and c and c and c and c and  ...
    |                                             ^ here
""")


def test_help_of_several_lines_is_indented() -> None:
    assert drawn("«x»\n", "", help="first\nsecond") == snapshot("""\
error[B033]: unknown word `acton`
  --> lease.blueprint:1:1
  1 | x
    | ^
  help: first
        second
""")


def test_line_numbers_are_aligned() -> None:
    assert drawn("\n" * 8 + "«a»\n«b»\n", "nine", "ten") == snapshot("""\
error[B033]: unknown word `acton`
   --> lease.blueprint:9:1
   9 | a
     | ^ nine
  10 | b
     | - ten
""")


def test_colour_marks_the_same_text() -> None:
    text = "entity Lease\n  states «Free», Held\n    from «Fre» to Held\n"
    plain = drawn(text, "near", "unknown", primary=1, help="mend it")
    coloured = drawn(text, "near", "unknown", primary=1, help="mend it", colour=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    assert coloured.splitlines()[0] == "\x1b[1;31merror[B033]\x1b[0m\x1b[1m: unknown word `acton`\x1b[0m"


@given(
    st.text(alphabet=st.sampled_from("ab \t\n\r語\u0301\x1b\U0001f600"), max_size=60),
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70), st.text("xy", max_size=3)), min_size=1, max_size=5),
)
def test_any_place_can_be_drawn(text: str, places: list[tuple[int, int, str]]) -> None:
    """Whatever the spans: each label's text is shown, and no line says more than one `-->`."""
    labels = [Label(Span("f", min(a, b), max(a, b)), words) for a, b, words in places]
    out = render(Diagnostic(Code.B001, "message", labels[0], tuple(labels[1:])), {"f": Source("f", text)})
    assert out.startswith("error[B001]: message\n") and out.endswith("\n")
    assert out.count("-->") == 1
    assert all(label.text in out for label in labels)
    assert all(char.isprintable() or char == "\n" for char in out)


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
def test_each_code_has_a_title_in_lower_case(code: Code) -> None:
    first = code.value.split()[0]
    assert not code.value.endswith(".")
    assert first == first.lower() or first.startswith("`") or first.isupper()
