"""Tokens, and what is said of what can't be one."""

from __future__ import annotations

import pytest

from temper.syntax.lexer import (
    BAD,
    DEC,
    DURATION,
    INT,
    LOWER,
    NUMBER_LENGTH_MAX,
    PROBLEMS_MAX,
    SIGN,
    STRING,
    UPPER,
    Tokens,
    lex,
    unquote,
)
from temper.text import Source

KINDS = {
    LOWER: "lower",
    UPPER: "upper",
    INT: "int",
    DEC: "dec",
    DURATION: "dur",
    STRING: "text",
    SIGN: "",
    BAD: "bad",
}


def lexed(text: str) -> Tokens:
    return lex(Source("f", text))


def shown(tokens: Tokens) -> str:
    pairs = zip(tokens.kinds, tokens.texts, strict=True)
    return " ".join(f"{KINDS[kind]}:{text}" if kind != SIGN else text for kind, text in pairs)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("moved _x a1 camelCase", "lower:moved lower:_x lower:a1 lower:camelCase"),
        ("Live A HTTPServer A_B", "upper:Live upper:A upper:HTTPServer upper:A_B"),
        ("0 12 1_000 007", "int:0 int:12 int:1_000 int:007"),
        ("3.50 1_0.2_5", "dec:3.50 dec:1_0.2_5"),
        ("0..64 0.. ..5", "int:0 .. int:64 int:0 .. .. int:5"),
        ("1.5..2.5", "dec:1.5 .. dec:2.5"),
        ("90s 30m 24h 7d 250ms 1_000s", "dur:90s dur:30m dur:24h dur:7d dur:250ms dur:1_000s"),
        ('"a" "" "a\\"b" "#"', 'text:"a" text:"" text:"a\\"b" text:"#"'),
        ("a.b xs[0]", "lower:a . lower:b lower:xs [ int:0 ]"),
        ("== != <= >= < > = += -= -> ?? // .. ?", "== != <= >= < > = += -= -> ?? // .. ?"),
        ("a+b-c*d%e&f", "lower:a + lower:b - lower:c * lower:d % lower:e & lower:f"),
        ("(){}[]:,", "( ) { } [ ] : ,"),
        ("a#b", "lower:a"),
        ("  a   b  ", "lower:a lower:b"),
        ("", ""),
        ("   ", ""),
    ],
)  # fmt: skip
def test_tokens(text: str, tokens: str) -> None:
    """One row, one line without problems."""
    found = lexed(text)
    assert shown(found) == tokens
    assert found.problems == []
    assert all(text[start:end] == word for word, start, end in zip(found.texts, found.starts, found.ends, strict=True))


@pytest.mark.parametrize(
    ("text", "tokens", "code", "place", "fix"),
    [
        ("a @ b", "lower:a lower:b", "B001", "@", None),
        ("a ≤ b", "lower:a lower:b", "B001", "≤", "<="),
        ("größe", "lower:gr", "B001", "öße", None),
        ("a\x00b", "lower:a lower:b", "B001", "\x00", None),
        ("a\tb", "lower:a lower:b", "B002", "\t", "  "),
        ('x "abc', 'lower:x text:"abc', "B003", '"abc', None),
        ('"abc\\"', 'text:"abc\\"', "B003", '"abc\\"', None),
        ('"', 'text:"', "B003", '"', None),
        ("'abc'", "text:'abc'", "B004", "'abc'", '"abc"'),
        ("'say \"x\"'", "text:'say \"x\"'", "B004", "'say \"x\"'", '"say \\"x\\""'),
        ("“abc”", "text:“abc”", "B004", "“abc”", '"abc"'),
        ("don't", "lower:don bad:'t", "B004", "'", None),
        ('"a\\qb"', 'text:"a\\qb"', "B005", "\\q", None),
        ('"\\u{110000}"', 'text:"\\u{110000}"', "B005", "\\u{110000}", None),
        ('"\\u{d800}"', 'text:"\\u{d800}"', "B005", "\\u{d800}", None),
        ("1__0", "bad:1__0", "B006", "1__0", None),
        ("1_", "bad:1_", "B006", "1_", None),
        ("5min", "bad:5min", "B007", "min", "5m"),
        ("5 ", "int:5", None, "", None),
        ("2w", "bad:2w", "B007", "w", "14d"),
        ("1h30m", "bad:1h30m", "B007", "1h30m", "90m"),
        ("1m500ms", "bad:1m500ms", "B007", "1m500ms", "60500ms"),
        ("1.5h", "bad:1.5h", "B007", "1.5h", None),
        ("3x", "bad:3x", "B007", "x", None),
        ("a && b", "lower:a lower:and lower:b", "B008", "&&", "and"),
        ("a || b", "lower:a lower:or lower:b", "B008", "||", "or"),
        ("!a", "lower:not lower:a", "B008", "!", "not "),
        ("a === b", "lower:a == lower:b", "B008", "===", "=="),
        ("a <> b", "lower:a != lower:b", "B008", "<>", "!="),
        ("a / b", "lower:a // lower:b", "B008", "/", "//"),
        ("a++", "lower:a", "B008", "++", None),
        ("a;", "lower:a", "B009", ";", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_read(text: str, tokens: str, code: str | None, place: str, fix: str | None) -> None:
    """One row, one problem: what is left to read, the place that is marked, and what its fix puts there."""
    found = lexed(text)
    assert shown(found) == tokens
    assert [problem.code.name for problem in found.problems] == ([] if code is None else [code])
    for problem in found.problems:
        assert found.source.slice(problem.primary.span) == place
        assert (problem.fix.text if problem.fix else None) == fix


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ('"a b"', "a b"),
        ('""', ""),
        ('"a\\n\\t\\r\\"\\\\b"', 'a\n\t\r"\\b'),
        ('"\\u{e9}\\u{1F600}"', "é😀"),
        ('"\\\\n"', "\\n"),
        # What is broken is left out; it has been reported.
        ('"a\\qb"', "ab"),
        ('"open', "open"),
        ("'a\\n'", "a\\n"),
    ],
)
def test_unquote(token: str, text: str) -> None:
    assert unquote(token) == text


@pytest.mark.parametrize("size", [NUMBER_LENGTH_MAX, NUMBER_LENGTH_MAX + 1])
def test_a_number_has_a_longest_length(size: int) -> None:
    assert [problem.code.name for problem in lexed("9" * size).problems] == ["B006"] * (size > NUMBER_LENGTH_MAX)


def test_all_tabs_are_one_problem_with_one_fix() -> None:
    text = 'entity E\n\tstates A\t# a\n\t\tx: string = "\t"\n\t\n'
    found = lexed(text)
    (problem,) = found.problems
    assert problem.message == "tabs, on 2 lines"
    assert problem.fix is not None
    span = problem.fix.span
    mended = text[: span.start] + problem.fix.text + text[span.end :]
    assert mended == 'entity E\n  states A  # a\n    x: string = "\t"\n\t\n'
    assert lexed(mended).problems == []
    assert [line.indent for line in found.lines if line.first < line.last] == [0, 2, 4]


def test_problems_end_at_a_hundred() -> None:
    assert len(lexed("@" * 5 * PROBLEMS_MAX).problems) == PROBLEMS_MAX


def test_lines_have_their_indentation_and_their_comment() -> None:
    found = lexed("\ufeffa  # one\r\n\r\n   #two \n  b #\n#   three\n")
    assert [(line.last - line.first, line.indent, line.comment) for line in found.lines] == [
        (1, 0, "one"), (0, 0, None), (0, 3, "two"), (1, 2, ""), (0, 0, "  three"), (0, 0, None)
    ]  # fmt: skip
