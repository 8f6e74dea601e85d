"""Rows: what belongs together by indentation.

A row is what the language calls a line: it may run on over several lines of the file, and has the deeper rows that
belong to it.
"""

from __future__ import annotations

from temper.syntax.lexer import END, LOWER, PROBLEMS_MAX, STRING, UPPER, PhysicalLine, Tokens
from temper.syntax.tree import NO_TRIVIA, Trivia
from temper.syntax.words import CONTINUE_AT_END, CONTINUE_AT_START, OPENERS
from temper.text import Code, Diagnostic, Fix, Label, Span

_CLOSES = {")": "(", "]": "[", "}": "{"}
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}
# A `{` at the end of a line that begins so is meant to hold lines, as in other languages.
_HOLDS_LINES = OPENERS - {"const", "let", "set", "call", "emit", "create", "send", "when", "key", "unique", "by"}


class Row:
    """Tokens from `start` up to `end` (which holds an `END` token), with the rows below it and its comments."""

    __slots__ = ("above", "below", "beside", "blank_before", "children", "detached", "end", "indent", "start", "used")

    def __init__(self, start: int, indent: int) -> None:
        self.start = start
        self.end = start
        self.indent = indent
        self.children: list[Row] = []
        self.above: list[str] = []
        self.detached: list[tuple[str, ...]] = []
        self.beside: str | None = None
        self.blank_before = False
        self.below: list[str] = []
        self.used = False
        """Whether the parser has read the rows below this one."""

    def trivia(self) -> Trivia:
        """Return what stands around the row."""
        if not (self.above or self.detached or self.below or self.blank_before or self.beside is not None):
            return NO_TRIVIA
        return Trivia(tuple(self.above), tuple(self.detached), self.beside, self.blank_before, tuple(self.below))


def lay_out(tokens: Tokens) -> tuple[Tokens, Row]:
    """Return the tokens with an `END` after each row, and a root above all rows.

    Comments at the end of the file are the root's `below`.
    """
    return _Layout(tokens).run()


class _Layout:
    def __init__(self, tokens: Tokens) -> None:
        self.raw = tokens
        self.out = Tokens(tokens.source, problems=tokens.problems, broken=tokens.broken)
        self.root = Row(0, -1)
        self.open: list[Row] = [self.root]  # The last row, and those above it.
        self.current: Row | None = None
        self.brackets: list[int] = []  # Raw indices of the open brackets of the current row.
        self.pending: list[tuple[int, str] | None] = []  # Comments on lines of their own; `None` is a blank line.
        self.inner: list[str] = []  # Comments within the current row.
        self.braces_hold_lines = False

    def run(self) -> tuple[Tokens, Row]:
        for line in self.raw.lines:
            if line.first == line.last:
                self.pending.append(None if line.comment is None else (line.indent, line.comment))
            else:
                self.add(line)
        self.finish_row()
        self.leave_comments(-1)
        # A last file's line without a line end is no blank line; what is left are comments at the left edge.
        self.root.below.extend(item[1] for item in self.pending if item is not None)
        self.raw.broken.sort()
        return self.out, self.root

    def add(self, line: PhysicalLine) -> None:
        raw = self.raw
        if self.braces_hold_lines and line.last - line.first == 1 and raw.texts[line.first] == "}":
            if self.current is None or not self.brackets:
                self.comment_only(line)
                return
        if self.current is not None and self.goes_on(self.current, line):
            self.inner.extend(item[1] for item in self.pending if item is not None)
            self.pending.clear()
            if self.current.beside is not None:
                self.inner.append(self.current.beside)
                self.current.beside = None
        else:
            self.finish_row()
            self.start_row(line)
        assert self.current is not None, "a row is open"
        self.current.beside = line.comment
        skip = self.match_brackets(line)
        first, last = line.first, line.last
        out = self.out
        if skip:
            for index in range(first, last):
                if index not in skip:
                    out.kinds.append(raw.kinds[index])
                    out.texts.append(raw.texts[index])
                    out.starts.append(raw.starts[index])
                    out.ends.append(raw.ends[index])
        else:
            out.kinds += raw.kinds[first:last]
            out.texts += raw.texts[first:last]
            out.starts += raw.starts[first:last]
            out.ends += raw.ends[first:last]

    def comment_only(self, line: PhysicalLine) -> None:
        if line.comment is not None:
            self.pending.append((line.indent, line.comment))

    def goes_on(self, row: Row, line: PhysicalLine) -> bool:
        """Return whether `line` belongs to `row`, which is the last one."""
        text = self.raw.texts[line.first]
        if line.indent <= row.indent:
            return bool(self.brackets) and text in _CLOSES and line.indent == row.indent
        if self.brackets:
            return not self.opens_a_row(line)
        # All of the row's tokens may have been left out.
        last = self.out.texts[-1] if len(self.out.texts) > row.start else ""
        if last in CONTINUE_AT_END:
            return not self.opens_a_row(line)
        if text in CONTINUE_AT_START:
            return True
        return last == ":" and self.ends_in_quantifier(row)

    def opens_a_row(self, line: PhysicalLine) -> bool:
        """Return whether `line` can only be the start of a row: two words that stand beside each other in no list."""
        raw = self.raw
        if raw.texts[line.first] not in OPENERS or line.last - line.first < 2:
            return False
        if raw.texts[line.first] in {"if", "for", "in"}:
            return False
        return raw.kinds[line.first + 1] in {LOWER, UPPER, STRING} and raw.texts[line.first + 1] not in {
            "is", "in", "not", "and", "or", "implies", "then", "else", "for",
        }  # fmt: skip

    def ends_in_quantifier(self, row: Row) -> bool:
        """Return whether the `:` at the row's end is that of `all x in s:`, not that of a clause."""
        opened: list[str] = []
        texts = self.out.texts
        depth = 0
        for index in range(row.start, len(texts) - 1):
            text = texts[index]
            # What stands in brackets has its `:` there too.
            depth += (text in _CLOSED_BY) - (text in _CLOSES)
            if depth:
                continue
            if text in {"for", "if"} or (text in {"all", "any"} and texts[index + 2 : index + 3] == ["in"]):
                opened.append(text)
            elif (text == ":" and opened) or (text == "then" and opened and opened[-1] == "if"):
                opened.pop()
        return bool(opened) and opened[-1] in {"all", "any"}

    def start_row(self, line: PhysicalLine) -> None:
        indent = line.indent
        below_last = self.open[-1]
        if indent > below_last.indent and (below_last is not self.root or indent == 0):
            row = Row(len(self.out.kinds), indent)
            below_last.children.append(row)
        elif below_last is self.root:
            # The first row of the file is indented; it is reported by the parser's reader of files.
            row = Row(len(self.out.kinds), 0)
            self.report(Code.B014, "unexpected indentation", line.first, "a declaration begins at the left edge")
            self.root.children.append(row)
        else:
            row = self.sibling(line)
        self.take_comments(row, line.indent)
        self.open.append(row)
        self.current = row

    def sibling(self, line: PhysicalLine) -> Row:
        """Return a new row beside an open one; nearest in indentation if there is none with the same."""
        left: Row | None = None
        self.leave_comments(line.indent)
        while self.open[-1].indent > line.indent:
            left = self.open.pop()
        indent = line.indent
        if self.open[-1].indent < indent:
            assert left is not None, "a row that is no child is beside or left of an open one"
            parent_level = self.open[-1].indent
            self.report(
                Code.B013,
                "this indentation matches no line above",
                line.first,
                f"the lines above are indented by {max(parent_level, 0)} and by {left.indent} spaces",
            )
            if left.indent - indent <= indent - parent_level or len(self.open) == 1:
                indent = left.indent
                parent = self.open[-1]
            else:
                indent = parent_level
                self.open.pop()
                parent = self.open[-1]
        else:
            self.open.pop()
            parent = self.open[-1]
        row = Row(len(self.out.kinds), indent)
        parent.children.append(row)
        return row

    def leave_comments(self, indent: int) -> None:
        """Give the comments that are deeper than the row to come to the blocks that they end."""
        while self.pending:
            if self.pending[0] is None:
                # A blank line within the comments of a block's end goes with what follows it.
                deeper = next((item for item in self.pending if item is not None), None)
                if deeper is None or deeper[0] <= max(indent, 0):
                    return
                self.pending.pop(0)
                continue
            comment_indent, text = self.pending[0]
            if comment_indent <= max(indent, 0):
                return
            owner = next(row for row in reversed(self.open) if row.indent < comment_indent)
            owner.below.append(text)
            self.pending.pop(0)

    def take_comments(self, row: Row, indent: int) -> None:
        """Give the comments that are left to `row`."""
        pending = self.pending
        if not pending:
            return
        row.blank_before = pending[0] is None
        block: list[str] = []
        for item in pending:
            if item is not None:
                block.append(item[1])
            elif block:
                row.detached.append(tuple(block))
                block = []
        row.above = block
        pending.clear()

    def match_brackets(self, line: PhysicalLine) -> set[int]:
        """Follow the brackets of `line`; return those to leave out."""
        raw, skip = self.raw, set[int]()
        for index in line.brackets:
            text = raw.texts[index]
            if text in _CLOSED_BY:
                if text == "{" and self.holds_lines(index, line):
                    skip.add(index)
                else:
                    self.brackets.append(index)
            elif self.brackets and raw.texts[self.brackets[-1]] == _CLOSES[text]:
                self.brackets.pop()
            else:
                skip.add(index)
                if self.brackets:
                    opener = raw.texts[self.brackets[-1]]
                    self.report(
                        Code.B012,
                        f"`{text}` does not close `{opener}`",
                        index,
                        f"`{opener}` is closed by `{_CLOSED_BY[opener]}`",
                        other=self.brackets.pop(),
                        broken=True,
                    )
                else:
                    self.report(
                        Code.B012,
                        f"`{text}` closes nothing",
                        index,
                        "take it away, or open it first",
                        fix="",
                        broken=True,
                    )
        return skip

    def holds_lines(self, index: int, line: PhysicalLine) -> bool:
        assert self.current is not None, "a row is open"
        if self.brackets or index != line.last - 1 or index == line.first:
            return False
        first = self.current.start
        word = self.out.texts[first] if first < len(self.out.texts) else self.raw.texts[line.first]
        if word not in _HOLDS_LINES:
            return False
        if not self.braces_hold_lines:
            self.braces_hold_lines = True
            self.report(
                Code.B010,
                "unexpected `{`",
                index,
                "indentation alone says what belongs to a line; take the braces away",
            )
        return True

    def finish_row(self) -> None:
        row = self.current
        if row is None:
            return
        out = self.out
        row.end = len(out.kinds)
        end = out.ends[-1] if row.end > row.start else (out.ends[-1] if out.ends else 0)
        out.kinds.append(END)
        out.texts.append("\n")
        out.starts.append(end)
        out.ends.append(end)
        if self.brackets:
            opener = self.brackets[-1]
            text = self.raw.texts[opener]
            self.report(
                Code.B011, f"`{text}` is not closed", opener, f"close it with `{_CLOSED_BY[text]}`", broken=True
            )
            self.brackets.clear()
        if self.inner:
            if row.beside is None and len(self.inner) == 1:
                row.beside = self.inner[0]
            else:
                row.above.extend(self.inner)
            self.inner.clear()
        self.current = None

    def report(
        self,
        code: Code,
        message: str,
        index: int,
        help: str,
        *,
        fix: str | None = None,
        other: int | None = None,
        broken: bool = False,
    ) -> None:
        raw = self.raw
        name = raw.source.name
        start, end = raw.starts[index], raw.ends[index]
        if broken:
            raw.broken.append(start)
        if len(raw.problems) >= PROBLEMS_MAX:
            return
        raw.problems.append(
            Diagnostic(
                code,
                message,
                Label(Span(name, start, end)),
                () if other is None else (Label(Span(name, raw.starts[other], raw.ends[other]), "opened here"),),
                help,
                None if fix is None else Fix(Span(name, start, end), fix),
            )
        )
