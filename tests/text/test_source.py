"""Places in a text, and the word that was meant."""

from __future__ import annotations

import pytest

from temper.text import Code, Position, Severity, Source, Span, suggest


@pytest.mark.parametrize(
    ("offset", "line", "column"),
    [(0, 1, 1), (2, 1, 3), (3, 2, 1), (4, 2, 2), (5, 3, 1), (6, 3, 2)],
)
def test_position(offset: int, line: int, column: int) -> None:
    """Lines and columns begin at 1; the place behind the last character is one too."""
    assert Source("f", "ab\nc\nd").position(offset) == Position(line, column)


@pytest.mark.parametrize(("number", "line"), [(0, ""), (1, "ab"), (2, "c"), (3, ""), (4, "")])
def test_line(number: int, line: str) -> None:
    """Without its end, whether that is one character or two; outside the text there are empty lines."""
    assert Source("f", "ab\r\nc\n").line(number) == line


def test_spans() -> None:
    source = Source("f", "from Fre to Held")
    assert source.slice(Span("f", 5, 8)) == "Fre"
    assert Span("f", 5, 8).to(Span("f", 12, 16)) == Span("f", 5, 16)
    assert Span("f", 5, 8).to(Span("f", 6, 7)) == Span("f", 5, 8)
    with pytest.raises(AssertionError, match="one file"):
        Span("f", 0, 1).to(Span("g", 0, 1))


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("Fre", ["Free", "Held"], "Free"),
        ("free", ["Free", "Held"], "Free"),
        ("holded", ["Held", "holder"], "holder"),
        ("Lost", ["Free", "Held"], None),
        ("x", [], None),
    ],
)
def test_suggest(word: str, known: list[str], meant: str | None) -> None:
    """One row, one slip; the order of the known words decides nothing."""
    assert suggest(word, known) == meant
    assert suggest(word, reversed(known)) == meant


def test_what_keeps_a_blueprint_from_being_read_is_an_error() -> None:
    assert all(code.severity is Severity.ERROR for code in Code if code.name.startswith("B0"))
