"""A diagnostic as people read it in a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from temper.text.codes import Severity
from temper.text.diagnostic import Diagnostic, Label
from temper.text.source import Source

TAB_WIDTH = 4
# A generated line can be thousands of columns long; what stands around the mark is enough to find it.
COLUMNS_MAX = 100
COLUMNS_BEFORE = 40
# Letters on either side of a mark that are looked at at all.
LETTERS_NEAR = 1_000

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_RED = "\x1b[1;31m"
_YELLOW = "\x1b[1;33m"
_BLUE = "\x1b[1;34m"
_CYAN = "\x1b[1;36m"


def render(diagnostic: Diagnostic, sources: Mapping[str, Source], *, colour: bool = False) -> str:
    """Return the diagnostic with the lines that it speaks of, each place marked.

    `^` marks the problem, `-` what bears on it. Ends with a line end. A file that is not among `sources` is named
    without its lines.
    """
    paint = _Paint(colour, _RED if diagnostic.severity is Severity.ERROR else _YELLOW)
    out = [
        paint.problem(f"{diagnostic.severity.value}[{diagnostic.code.name}]")
        + paint.strong(f": {_plain(diagnostic.message)}")
    ]
    by_file: dict[str, list[_Mark]] = {diagnostic.primary.span.file: []}
    for label, primary in [(diagnostic.primary, True), *((label, False) for label in diagnostic.secondary)]:
        marks = by_file.setdefault(label.span.file, [])
        if label.span.file in sources:
            marks.extend(_marks(label, sources[label.span.file], primary))
    gutter = max((len(str(mark.line)) for marks in by_file.values() for mark in marks), default=1)
    for number, (file, marks) in enumerate(by_file.items()):
        arrow = "-->" if number == 0 else ":::"
        place = _plain(file) or "<text>"
        if marks:
            place += f":{marks[0].line}:{marks[0].column}"
        out.append(" " * (gutter + 1) + paint.frame(arrow) + f" {place}")
        if marks:
            out.extend(_snippet(sources[file], marks, gutter, paint))
    if diagnostic.help is not None:
        first, *more = map(_plain, diagnostic.help.split("\n"))
        out.append("  " + paint.help("help:") + f" {first}")
        out.extend(f"        {line}" for line in more)
    return "\n".join(line.rstrip() for line in out) + "\n"


class _Mark(Struct, frozen=True):
    """A piece of a label that lies on one line; `text` stands at the last piece only."""

    line: int
    column: int  # from 1, in characters, as people count it
    start: int  # from 0, in characters of the line
    end: int
    primary: bool
    text: str
    goes_on: bool = False


class _Paint(Struct, frozen=True):
    on: bool
    problem_colour: str

    def _wrap(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self.on and text else text

    def problem(self, text: str) -> str:
        return self._wrap(self.problem_colour, text)

    def strong(self, text: str) -> str:
        return self._wrap(_BOLD, text)

    def frame(self, text: str) -> str:
        return self._wrap(_BLUE, text)

    def help(self, text: str) -> str:
        return self._wrap(_CYAN, text)

    def mark(self, mark: _Mark, text: str) -> str:
        return self.problem(text) if mark.primary else self.frame(text)


def _marks(label: Label, source: Source, primary: bool) -> list[_Mark]:
    """Return the label's pieces: one, or for a span of several lines its first line and its last."""
    limit = len(source.text)
    start = min(label.span.start, limit)
    end = max(start, min(label.span.end, limit))
    if end > start and source.text[end - 1] == "\n":
        end -= 1
    first, last = source.position(start), source.position(end)
    if first.line == last.line:
        return [_Mark(first.line, first.column, first.column - 1, last.column - 1, primary, label.text)]
    closing = source.line(last.line)
    indent = len(closing) - len(closing.lstrip())
    return [
        _Mark(
            first.line,
            first.column,
            first.column - 1,
            len(source.line(first.line).rstrip()),
            primary,
            "",
            last.line - first.line > 1,
        ),
        _Mark(last.line, indent + 1, min(indent, last.column - 1), last.column - 1, primary, label.text),
    ]


def _snippet(source: Source, marks: Sequence[_Mark], gutter: int, paint: _Paint) -> list[str]:
    empty = paint.frame(f"  {' ' * gutter} |")
    out: list[str] = []
    for line in sorted({mark.line for mark in marks}):
        here = [mark for mark in marks if mark.line == line]
        near, here = _near(source.line(line), here)
        text, columns = _shown(near, min(mark.start for mark in here))
        out.append(paint.frame(f"  {line:>{gutter}} |") + f" {text}")
        out.extend(f"{empty} {row}" for row in _rows(here, columns, paint))
        if any(mark.goes_on for mark in here):
            out.append(paint.frame("  " + "." * max(3, gutter)))
    return out


def _near(line: str, marks: list[_Mark]) -> tuple[str, list[_Mark]]:
    """Return the part of a very long line that may be shown, and the marks as they stand in it."""
    if len(line) <= 2 * LETTERS_NEAR:
        return line, marks
    begin = max(0, min(mark.start for mark in marks) - LETTERS_NEAR)
    moved = [msgspec.structs.replace(mark, start=mark.start - begin, end=mark.end - begin) for mark in marks]
    return line[begin : begin + 2 * LETTERS_NEAR], moved


def _shown(line: str, first_mark: int) -> tuple[str, list[int]]:
    """Return the line as a terminal shows it, and the column of each of its characters (and of its end)."""
    glyphs = [_glyph(char) for char in line]
    columns = [0]
    for glyph in glyphs:
        columns.append(columns[-1] + sum(_width(char) for char in glyph))
    if columns[-1] <= COLUMNS_MAX:
        return "".join(glyphs), columns
    first_mark = min(first_mark, len(line))
    low = next(i for i, column in enumerate(columns) if column >= columns[first_mark] - COLUMNS_BEFORE)
    high = next((i for i, column in enumerate(columns) if column > columns[low] + COLUMNS_MAX), len(columns)) - 1
    head, tail = ("... " if low else ""), (" ..." if high < len(line) else "")
    shift = len(head) - columns[low]
    limit = columns[high] + shift
    return head + "".join(glyphs[low:high]) + tail, [min(max(column + shift, 0), limit) for column in columns]


def _plain(text: str) -> str:
    """Return the text without anything that a terminal would carry out."""
    return text if text.isprintable() else "".join(map(_glyph, text))


def _glyph(char: str) -> str:
    if char == "\t":
        return " " * TAB_WIDTH
    if char < " ":
        return chr(0x2400 + ord(char))
    # Formats and controls can hide text or turn it around; a diagnostic must show what is there.
    return "\ufffd" if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else char


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def _rows(marks: Sequence[_Mark], columns: list[int], paint: _Paint) -> list[str]:
    """Return the rows below a line: the marks, then the labels that find no room beside them."""

    def left(mark: _Mark) -> int:
        return columns[mark.start] if mark.start < len(columns) else columns[-1] + mark.start - len(columns) + 1

    def right(mark: _Mark) -> int:
        return max(left(mark) + 1, columns[mark.end] if mark.end < len(columns) else columns[-1])

    canvas = _Canvas(paint)
    for mark in sorted(marks, key=lambda mark: mark.primary):  # The problem is painted over what bears on it.
        for column in range(left(mark), right(mark)):
            canvas.put(0, column, "^" if mark.primary else "-", mark)
    labelled = sorted((mark for mark in marks if mark.text), key=lambda mark: (left(mark), right(mark)))
    if labelled and all(right(mark) <= right(labelled[-1]) for mark in marks):
        beside = labelled.pop()
        canvas.write(0, right(beside) + 1, beside.text, beside)
    row = 1
    while labelled:
        hanging = labelled.pop()
        for mark in [*labelled, hanging]:
            canvas.put(row, left(mark), "|", mark)
        row += 1
        for mark in labelled:
            canvas.put(row, left(mark), "|", mark)
        canvas.write(row, left(hanging), hanging.text, hanging)
        row += 1
    return canvas.rows()


class _Canvas:
    """Rows of characters, each painted in its mark's colour."""

    def __init__(self, paint: _Paint) -> None:
        self._paint = paint
        self._cells: dict[int, dict[int, tuple[str, _Mark]]] = {}

    def put(self, row: int, column: int, char: str, mark: _Mark) -> None:
        self._cells.setdefault(row, {})[column] = (char, mark)

    def write(self, row: int, column: int, text: str, mark: _Mark) -> None:
        for offset, char in enumerate(_plain(text)):
            self.put(row, column + offset, char, mark)

    def rows(self) -> list[str]:
        rows = []
        for number in sorted(self._cells):
            cells = self._cells[number]
            parts: list[str] = []
            run, owner = "", None
            for column in range(max(cells) + 1):
                char, mark = cells.get(column, (" ", None))
                if mark is not owner and run:
                    parts.append(self._paint.mark(owner, run) if owner is not None else run)
                    run = ""
                owner = mark
                run += char
            parts.append(self._paint.mark(owner, run) if owner is not None else run)
            rows.append("".join(parts))
        return rows
