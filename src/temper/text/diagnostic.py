"""A diagnostic is data: terminals, HTTP and agents each draw it."""

from __future__ import annotations

from msgspec import Struct

from temper.text.codes import Code, Severity
from temper.text.source import Span


class Label(Struct, frozen=True):
    """A short word on one place."""

    span: Span
    text: str = ""


class Fix(Struct, frozen=True):
    """An edit that mends the problem: replace what `span` covers by `text`."""

    span: Span
    text: str


class Diagnostic(Struct, frozen=True):
    """One problem: what is wrong (`message`), where (`primary`), and how to mend it (`help`, `fix`).

    The message stands alone, without the source beside it. Lower case, no full stop, the author's words in backticks.
    """

    code: Code
    message: str
    primary: Label
    secondary: tuple[Label, ...] = ()
    help: str | None = None
    fix: Fix | None = None

    @property
    def severity(self) -> Severity:
        """Return whether this is an error or a warning; the code alone decides."""
        return self.code.severity
