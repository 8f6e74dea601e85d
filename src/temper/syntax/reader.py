"""What every part of the parser stands on: where it is, how it reports, and how it goes on after a mistake.

After a problem the rest of the row is left out (`panic`), unless the reader of the row finds a word at which it can go
on. So each mistake is reported once, and the next row is read as if nothing had been.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection
from typing import TypeAlias, TypeVar

from temper.syntax import tree as t
from temper.syntax.layout import Row
from temper.syntax.lexer import END, INT, LOWER, PROBLEMS_MAX, STRING, UNITS, UPPER, Tokens
from temper.syntax.words import OPENERS, RESERVED
from temper.text import Code, Diagnostic, Fix, Label, Span, suggest

# Deeper than anyone reads; it keeps every later walk over a tree far from Python's own limit.
DEPTH_MAX = 64

_T = TypeVar("_T")
ReadRow: TypeAlias = Callable[[Row, list[_T]], None]

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def lower_snake(text: str) -> str:
    """Return the name as fields, roles and tools write it."""
    return _HUMP.sub("_", text).lower().strip("_") or "x"


def upper_camel(text: str) -> str:
    """Return the name as entities, states and actions write it."""
    return (
        "".join(part[:1].upper() + (part[1:].lower() if part.isupper() else part[1:]) for part in text.split("_"))
        or "X"
    )


class Reader:
    """A place in the tokens, and the problems so far."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.kinds = tokens.kinds
        self.texts = tokens.texts
        self.starts = tokens.starts
        self.ends = tokens.ends
        self.file = tokens.source.name
        self.problems = tokens.problems
        self.i = 0
        self.row = Row(0, 0)
        self.panic = False
        self.panic_at = 0
        self.resumed_at = -1  # Where the row was taken up again, so that it is not taken up there twice.
        self.depth = 0

    # --- places

    def span(self, first: int) -> Span:
        """Return the span from token `first` to the last one that was read."""
        last = self.i - 1
        return Span(self.file, self.starts[first], self.ends[max(last, first)])

    def token_span(self, index: int) -> Span:
        return Span(self.file, self.starts[index], self.ends[index])

    # --- problems

    def report(
        self,
        code: Code,
        message: str,
        span: Span,
        *,
        label: str = "",
        help: str | None = None,
        fix: Fix | None = None,
        secondary: tuple[Label, ...] = (),
    ) -> None:
        """Note a problem and read on, unless it may come of one that was found before on this row."""
        if self.panic or self.is_broken(span.start) or len(self.problems) >= PROBLEMS_MAX:
            return
        self.problems.append(Diagnostic(code, message, Label(span, label), secondary, help, fix))

    def is_broken(self, offset: int) -> bool:
        broken = self.tokens.broken
        if not broken:
            return False
        index = bisect_left(broken, self.starts[self.row.start])
        return index < len(broken) and broken[index] <= offset

    def fail(
        self,
        code: Code,
        message: str,
        span: Span,
        *,
        label: str = "",
        help: str | None = None,
        fix: Fix | None = None,
        secondary: tuple[Label, ...] = (),
    ) -> None:
        """Note a problem, and leave out the rest of the row."""
        self.report(code, message, span, label=label, help=help, fix=fix, secondary=secondary)
        if not self.panic:
            self.panic = True
            self.panic_at = self.i
        self.i = self.row.end

    def fail_here(
        self, expected: str, *, code: Code = Code.B035, help: str | None = None, fix: Fix | None = None
    ) -> None:
        """Say what was expected where we are."""
        self.fail(code, f"expected {expected}, found {self.found()}", self.here(), help=help, fix=fix)

    def here(self) -> Span:
        """Return the span of the token where we are; at a row's end, the place behind its last word."""
        return self.token_span(self.i)

    def found(self) -> str:
        """Name the token where we are."""
        kind, text = self.kinds[self.i], self.texts[self.i]
        if kind == END:
            return "the end of the line"
        if kind == STRING:
            return "a text"
        return f"`{text}`" if len(text) <= 40 else f"`{text[:37]}...`"

    def insert(self, text: str, *, before: int | None = None) -> Fix:
        """Return a fix that puts `text` behind the last token that was read, or before another."""
        at = self.starts[before] if before is not None else self.ends[self.i - 1]
        return Fix(Span(self.file, at, at), text)

    def guess(self, word: str, known: Collection[str]) -> str | None:
        """Return what was probably meant by `word`."""
        if len(word) < 2 or len(word) > 40 or len(self.problems) >= PROBLEMS_MAX:
            return None
        letters = sorted(word)
        # Two letters in the wrong order are likelier than one too many: `form` is `from`, not `for`.
        swapped = next((other for other in known if sorted(other) == letters), None)
        return swapped or suggest(word, known)

    # --- small steps

    def take(self, text: str) -> bool:
        """Step over `text` if it is next."""
        if self.texts[self.i] == text:
            self.i += 1
            return True
        return False

    def expect(self, text: str, *, what: str | None = None, help: str | None = None, fix: Fix | None = None) -> bool:
        """Step over `text`, or fail."""
        if self.texts[self.i] == text:
            self.i += 1
            return True
        self.fail_here(what or f"`{text}`", help=help, fix=fix)
        return False

    def close(self, bracket: str) -> None:
        """Step over what closes a list."""
        if not self.take(bracket):
            self.fail_here(f"`,` or `{bracket}`", fix=self.insert(",") if self.kinds[self.i] <= STRING else None)

    def at_end(self) -> bool:
        return self.kinds[self.i] == END

    def at_word(self) -> bool:
        return self.kinds[self.i] <= UPPER

    def name(self, what: str) -> t.Name | None:
        """Return the word where we are, whatever its case: a use of a name, which whoever resolves it will judge."""
        i = self.i
        if self.kinds[i] > UPPER:
            self.fail_here(what)
            return None
        self.i = i + 1
        return t.Name(self.texts[i], span=Span(self.file, self.starts[i], self.ends[i]))

    def names(self, what: str) -> tuple[t.Name, ...]:
        """Return names with commas between them."""
        return self.listed(lambda: self.name(what))

    def listed(self, one: Callable[[], _T | None]) -> tuple[_T, ...]:
        """Return what `one` reads, again and again, with commas between; it ends where `one` finds nothing."""
        out: list[_T] = []
        while True:
            if out and self.trailing_comma():
                break
            each = one()
            if each is None:
                break
            out.append(each)
            if not self.take(","):
                break
        return tuple(out)

    def trailing_comma(self) -> bool:
        """Report a comma with nothing behind it, which has been read."""
        i = self.i
        if self.kinds[i] != END and self.texts[i] not in {")", "]", "}"}:
            return False
        comma = self.token_span(i - 1)
        self.report(Code.B038, "trailing comma", comma, help="a comma stands between two things", fix=Fix(comma, ""))
        return True

    def lower(self, what: str) -> t.Name | None:
        """Return a name that is given here, of the kind that is written in lower snake."""
        i = self.i
        kind, text = self.kinds[i], self.texts[i]
        if kind > UPPER:
            self.fail_here(f"the name of {what}")
            return None
        self.i = i + 1
        span = Span(self.file, self.starts[i], self.ends[i])
        if text in RESERVED:
            self.report(
                Code.B021,
                f"`{text}` is reserved",
                span,
                help=f"{what} can't bear this name, since expressions use the word; take another",
            )
        elif kind == UPPER or text[0] == "_" or not text.islower():
            meant = lower_snake(text)
            self.report(
                Code.B020,
                f"{what} is written in lower case: `{meant}`",
                span,
                help=f"write `{meant}`, so that a reader can tell it from a state or an action",
                fix=Fix(span, meant),
            )
        return t.Name(text, span=span)

    def upper(self, what: str) -> t.Name | None:
        """Return a name that is given here, of the kind that is written in upper camel."""
        i = self.i
        kind, text = self.kinds[i], self.texts[i]
        if kind > UPPER or text in OPENERS:
            self.fail_here(f"the name of {what}")
            return None
        self.i = i + 1
        span = Span(self.file, self.starts[i], self.ends[i])
        if kind == LOWER or "_" in text:
            meant = upper_camel(text)
            self.report(
                Code.B020,
                f"{what} begins with a capital: `{meant}`",
                span,
                help=f"write `{meant}`, so that a reader can tell it from a field or a role",
                fix=Fix(span, meant),
            )
        return t.Name(text, span=span)

    def uppers(self, what: str) -> tuple[t.Name, ...]:
        return self.listed(lambda: self.upper(what))

    def dotted(self, what: str) -> tuple[t.Name, ...]:
        """Return `a` or `a.b.c`."""
        out: list[t.Name] = []
        while True:
            name = self.name(what)
            if name is None:
                break
            out.append(name)
            if not self.take("."):
                break
        return tuple(out)

    # --- rows

    def rows(self, row: Row, read: ReadRow[_T]) -> tuple[_T, ...]:
        """Return what `read` makes of the rows below `row`, whose own tokens must all have been read."""
        self.end_row(row)
        row.used = True
        if not row.children:
            return ()
        out: list[_T] = []
        if self.too_deep(row):
            return ()
        self.depth += 1
        for child in row.children:
            self.read_row(child, read, out)
        self.depth -= 1
        self.row = row
        self.i = row.end
        self.panic = False
        return tuple(out)

    def read_row(self, row: Row, read: ReadRow[_T], out: list[_T]) -> None:
        self.row = row
        self.i = row.start
        self.panic = False
        if row.start == row.end:  # Nothing is left of it but what was reported.
            return
        read(row, out)
        self.end_row(row)
        if row.children and not row.used:
            self.row = row
            row.used = True
            child = row.children[0]
            if not self.panic and not self.is_broken(self.starts[row.end]):
                self.row = child
                self.report(
                    Code.B014,
                    "this line is indented too deep",
                    self.token_span(child.start),
                    help="nothing can stand below the line above; begin this one where that one begins",
                    secondary=(Label(self.token_span(row.start), "the line above begins here"),),
                )

    def end_row(self, row: Row) -> None:
        """Report what is left of the row."""
        if self.i >= row.end or self.panic:
            return
        self.row = row
        text, kind = self.texts[self.i], self.kinds[self.i]
        span = self.here()
        if text == "?":
            help = "a choice between values is written `if c then a else b`"
            self.report(Code.B054, "unexpected `?`", span, help=help)
        elif text == ":":
            self.needless_colon()
        elif text == "else":
            self.report(Code.B055, "`else` has nothing to belong to", span, help=ELSE_HELP)
        elif text == "=":
            self.report(Code.B051, "unexpected `=`", span, help="to compare write `==`", fix=Fix(span, "=="))
        elif text == "," and self.i + 1 == row.end:
            self.report(Code.B038, "trailing comma", span, help="a comma stands between two things", fix=Fix(span, ""))
        elif self.kinds[self.i - 1] == INT and text in UNITS:
            whole = Span(self.file, self.starts[self.i - 1], span.end)
            meant = self.texts[self.i - 1] + UNITS[text]
            self.report(
                Code.B007, f"`{text}` is apart from its number", span, help=f"write `{meant}`", fix=Fix(whole, meant)
            )
        elif text in {"elif", "elsif", "elseif"}:
            self.report(Code.B055, f"`{text}` is no word of the language", span, help="write `else if ... then ...`")
        elif kind == INT and self.i > row.start and self.texts[self.i - 1] == "..":
            self.report(Code.B036, f"unexpected {self.found()}", span)
        else:
            self.report(Code.B036, f"unexpected {self.found()}", span, help=self.leftover_help(text))
        self.panic = True
        self.i = row.end

    def needless_colon(self) -> None:
        """Report the colon where we are, and step over it."""
        span = self.here()
        self.report(
            Code.B037, "unexpected `:`", span, help="indentation alone says what belongs to a line", fix=Fix(span, "")
        )
        self.i += 1

    def leftover_help(self, text: str) -> str | None:
        return "the line was complete before it"

    def too_deep(self, row: Row) -> bool:
        if self.depth < DEPTH_MAX:
            return False
        child = row.children[0]
        self.row = child
        self.report(
            Code.B016,
            "lines are nested too deep",
            self.token_span(child.start),
            help=f"at most {DEPTH_MAX} levels can be read",
        )
        self.row = row
        return True


ELSE_HELP = (
    "`else` stands in `if ... then ... else ...`, after the condition of a `when`, and behind a `call`;"
    " for clauses write a second `if not (...)`"
)
