"""Text for a terminal: colour where it is wanted, columns, and progress on standard error."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
PROGRESS_AFTER_SECONDS = 1.0
# What moves the cursor or colours what follows, and what turns the order of letters round: `nimda` read as `admin`.
_STEERING = (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F))
_SHOWN = {code: f"\\u{code:04x}" for code in (*_STEERING, *range(0x2066, 0x206A))}


def coloured(stream: TextIO) -> bool:
    """Say whether `stream` shows colour: a terminal, unless NO_COLOR says no or FORCE_COLOR says yes."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def columns() -> int:
    """Return how wide the terminal is, as `shutil` does, which brings in all kinds of compression; 80 without one."""
    with suppress(KeyError, ValueError):
        if (told := int(os.environ["COLUMNS"])) > 0:
            return told
    with suppress(AttributeError, ValueError, OSError):
        if (measured := os.get_terminal_size(sys.__stdout__.fileno()).columns) > 0:  # type: ignore[union-attr]  # None has none
            return measured
    return 80


def plain(text: str) -> str:
    """Return a text that others have written, with what would steer the terminal shown as an escape."""
    return text.translate(_SHOWN)


def width() -> int:
    """Return how wide paragraphs are drawn."""
    return max(40, min(columns(), 120))


def indented(text: str, by: int = 2) -> list[str]:
    """Return a text as the lines of a paragraph."""
    from textwrap import wrap  # Brings in all kinds of expressions, for few commands.

    return wrap(text, width(), initial_indent=" " * by, subsequent_indent=" " * (by + 2))


def short(at: str) -> str:
    """Return a time to the second: `2026-11-24 15:08:01Z`."""
    return f"{at[:10]} {at[11:19]}Z"


class Paint:
    """Colours for one stream: each method returns its text as it is where colour is not wanted."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def __call__(self, text: str, *styles: str) -> str:
        """Return `text` in these styles."""
        if not self.colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def table(rows: Iterable[Sequence[str]], *, paint: Paint, heads: Sequence[str] = (), indent: str = "") -> str:
    """Return rows as aligned columns, two spaces apart; one below the other where a terminal is too narrow for them.

    What a cell holds others may have written: a line of its own in it would be read as a row, and is shown as an escape
    as all is that would steer the terminal.
    """
    lines = [[plain(cell).replace("\n", "\\u000a") for cell in row] for row in rows]
    everything = [list(heads), *lines] if heads else lines
    if not everything:
        return ""
    widths = [max(len(row[column]) for row in everything) for column in range(len(everything[0]))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if heads and room is not None and len(indent) + sum(widths) + 2 * (len(widths) - 1) > room:
        return _stacked(lines, heads, paint, indent)
    drawn = []
    for number, row in enumerate(everything):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        text = "  ".join(cells).rstrip()
        drawn.append(indent + (paint(text, "dim") if heads and number == 0 else text))
    return "\n".join(drawn)


def _stacked(rows: list[list[str]], heads: Sequence[str], paint: Paint, indent: str) -> str:
    """Each row as lines of its own, a head and a cell each: columns that wrap belong to nobody's eye any more."""
    width = max(map(len, heads))
    blocks = (
        "\n".join(
            f"{indent}{paint(head.ljust(width), 'dim')}  {cell}".rstrip()
            for head, cell in zip(heads, row, strict=True)
            if cell
        )
        for row in rows
    )
    return "\n\n".join(blocks)


class Progress:
    """Says on standard error that something still runs, once it has run for a second. Silent where no person looks."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown = False

    def tell(self, text: str) -> None:
        """Change what is said."""
        self._text = text

    def __enter__(self) -> Self:
        """Begin to wait."""
        if sys.stderr.isatty():
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line back."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def _run(self) -> None:
        began = time.monotonic()
        if self._done.wait(PROGRESS_AFTER_SECONDS):
            return
        while True:
            self._shown = True
            sys.stderr.write(f"\r\x1b[2K{self._text} ({time.monotonic() - began:.0f} s)")
            sys.stderr.flush()
            if self._done.wait(0.2):
                return
