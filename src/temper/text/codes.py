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
    # characters and layout
    B001 = "unexpected character"
    B002 = "tab"
    B003 = "text without its closing quote"
    B004 = "text in single quotes"
    B005 = "unknown escape in a text"
    B006 = "unreadable number"
    B007 = "unreadable duration"
    B008 = "operator of another language"
    B009 = "semicolon"
    B010 = "braces around lines"
    B011 = "bracket that is not closed"
    B012 = "bracket that closes nothing"
    B013 = "indentation that matches no line above"
    B014 = "line that is indented too deep"
    B015 = "file that is too long"
    B016 = "nesting that is too deep"
    B017 = "too many problems"
    # names
    B020 = "name in the wrong case"
    B021 = "reserved word as a name"
    # files and lines
    B030 = "missing `blueprint` line"
    B031 = "`blueprint` line out of place"
    B032 = "files of one bundle with different names"
    B033 = "unknown word at the start of a line or clause"
    B034 = "declaration in the wrong place"
    B035 = "something else was expected"
    B036 = "words left over at the end of a line"
    B037 = "colon at the end of a line"
    B038 = "trailing comma"
    B039 = "missing colon"
    # expressions and types
    B050 = "missing expression"
    B051 = "`=` where values are compared"
    B052 = "`==` where a value is set"
    B053 = "comparisons in a chain"
    B054 = "`if` without `then` or `else`"
    B055 = "`else` in the wrong place"
    B056 = "state compared with `==`"
    B057 = "value of another language"
    B058 = "`is` or `in` with the wrong thing beside it"
    B059 = "call of something that is no function"
    B060 = "quantifier in the wrong form"
    B061 = "unknown type"
    B062 = "type in the wrong form"
    # clauses
    B070 = "case without `to`"
    B071 = "two clauses on one deeper line"
    B072 = "handler that is given twice"
    B073 = "two cases on an action's own line"
    B074 = "name of several parts in the wrong place"

    @property
    def severity(self) -> Severity:
        """Return how bad this kind of problem is, wherever it is found."""
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR


_WARNINGS: frozenset[Code] = frozenset()
