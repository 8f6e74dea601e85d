"""Colour where it is wanted, columns that line up, progress where somebody looks."""

from __future__ import annotations

import io
import time

import pytest

from temper.cli import paint
from temper.cli.paint import Paint, Progress, coloured, table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "env", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_who_wants_it(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, env: dict[str, str], expected: bool
) -> None:
    """One row, one stream and what the environment says."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert coloured(stream) is expected


def test_paint_leaves_text_alone_without_colour() -> None:
    """The same text, with codes around it or not."""
    assert Paint(colour=False)("held", "red", "bold") == "held"
    assert Paint(colour=True)("held", "red", "bold") == "\x1b[31;1mheld\x1b[0m"


def test_columns_line_up() -> None:
    """Two spaces apart, with no spaces at a line's end."""
    drawn = table([("a", "bb", ""), ("ccc", "d", "e")], paint=Paint(colour=False), heads=("x", "y", "z"), indent=" ")
    assert drawn == " x    y   z\n a    bb\n ccc  d   e"


@pytest.mark.parametrize(
    ("stream", "columns", "expected"),
    [
        (Terminal(), 12, " id  no\n a   one two"),
        (Terminal(), 11, " id  a\n no  one two\n\n id  b"),
        (io.StringIO(), 11, " id  no\n a   one two"),
    ],
)
def test_rows_are_stacked_where_a_terminal_is_too_narrow(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, columns: int, expected: str
) -> None:
    """One row, one width. What no terminal draws keeps its columns."""
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    drawn = table([("a", "one two"), ("b", "")], paint=Paint(colour=False), heads=("id", "no"), indent=" ")
    assert drawn == (expected if "\n\n" in expected else f"{expected}\n b")


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_is_shown_to_people(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, shown: bool) -> None:
    """On a terminal, once it takes its time; and the line is taken back."""
    monkeypatch.setattr(paint, "PROGRESS_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("sys.stderr", stream)
    with Progress("judging") as progress:
        progress.tell("searching")
        deadline = time.monotonic() + 10
        while shown and "searching (0 s)" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ("searching (0 s)" in stream.getvalue()) is shown
    assert stream.getvalue() == "" or stream.getvalue().endswith("\r\x1b[2K")


def test_progress_keeps_silent_about_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing flickers."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with Progress("judging"):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize("heads", [(), ("by", "note")])
def test_what_others_wrote_into_a_cell_makes_no_row_and_steers_nothing(heads: tuple[str, ...]) -> None:
    """A push's note, a tool's error: whatever they hold, it stays in its row."""
    drawn = table([("bob", "fine\n*  2  \x1b[2Jann \u202eimda")], paint=Paint(colour=False), heads=heads)
    assert drawn.splitlines()[-1] == r"bob  fine\u000a*  2  \u001b[2Jann \u202eimda"
