"""Every code that Temper can say, in one list.

A code is for ever: it is never given a second meaning, and a retired one is not used again. Each has a page,
`docs/reference/diagnostics/<code>.md`, with a blueprint that earns it and the mended one.

B0xx  the text cannot be read (lexing, layout, grammar)
B1xx  names
B2xx  types
B3xx  rules of the language that are neither (states, cases, clauses, orders, timers)
B4xx  level 1, algebra: found by looking at the table
B5xx  level 2, search: found by running the table
B6xx  scenarios
B7xx  change: what a push would strand
B8xx  settings (temper.toml)
B9xx  typed, but not carried out by this release
"""

from __future__ import annotations

from enum import Enum


class Severity(Enum):
    """How bad it is. Only errors keep a blueprint from being compiled."""

    ERROR = "error"
    WARNING = "warning"


class Code(Enum):
    """A stable name for one kind of problem; the value is its title."""

    # B0xx: reading

    @property
    def severity(self) -> Severity:
        """Return how bad this kind of problem is, wherever it is found."""
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR


_WARNINGS: frozenset[Code] = frozenset()
