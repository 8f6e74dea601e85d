"""The strings of the JSON form: pieces of the blueprint's syntax, each read alone, so that none leaves its place.

Each reader raises `ValueError` with the problem as a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from temper.syntax import tree as t
from temper.syntax.layout import lay_out
from temper.syntax.lexer import END, SOURCE_LENGTH_MAX, lex
from temper.syntax.parser import Parser
from temper.text import Source

_T = TypeVar("_T")

LOOK_AHEAD_MAX = 4
"""How far past the last token a reader may look."""


def read_expression(text: str) -> t.Expr:
    """Return the expression that `text` is."""
    return _read(text, Parser.expr)


def read_type(text: str) -> t.TypeExpr:
    """Return the type that `text` is."""
    return _read(text, Parser.type)


def read_invoke(text: str) -> t.Invoke:
    """Return the action (or event) and what it is given: `Halt("no progress")`."""
    return _certain(_read(text, Parser.invoke))


def read_handler(text: str) -> t.Invoke | t.Nothing:
    """Return what follows an outcome; `_` is nothing."""
    return t.Nothing() if text.strip() == "_" else read_invoke(text)


def read_call(text: str) -> tuple[tuple[t.Name, ...], tuple[t.Arg, ...]]:
    """Return a tool and what it is given: `kubernetes.set_partition(cluster, 3)`."""

    def read(parser: Parser) -> tuple[tuple[t.Name, ...], tuple[t.Arg, ...]]:
        tool = parser.dotted("a tool")
        return tool, parser.args() if parser.texts[parser.i] == "(" else ()

    return _read(text, read)


def read_qualified(text: str) -> tuple[t.Name, t.Invoke]:
    """Return a name and what is invoked on it: `Rollout.Plan(cluster: "helix")`."""

    def read(parser: Parser) -> tuple[t.Name, t.Invoke] | None:
        name = parser.name("a name")
        parser.expect(".")
        invoke = parser.invoke()
        return None if name is None or invoke is None else (name, invoke)

    return _certain(_read(text, read))


def read_set_item(text: str) -> t.SetItem:
    """Return an assignment without the word `set`: `moved += 1`, `m[k] = v`, or a parameter's name alone."""
    return _certain(_read(text, Parser.set_item))


def _read(text: str, read: Callable[[Parser], _T]) -> _T:
    if len(text) > SOURCE_LENGTH_MAX:
        raise ValueError("it is too long")
    tokens, root = lay_out(lex(Source("", text.strip())))
    if not root.children:
        raise ValueError("it is empty")
    row = root.children[0]
    if len(root.children) > 1 or row.children:
        raise ValueError("it has more than one line")
    if row.trivia() != t.NO_TRIVIA or root.below:
        raise ValueError("a comment has no place here")
    parser = Parser(tokens)
    for _ in range(LOOK_AHEAD_MAX):
        tokens.kinds.append(END)
        tokens.texts.append("\n")
        tokens.starts.append(tokens.ends[-1])
        tokens.ends.append(tokens.ends[-1])
    parser.row, parser.i = row, row.start
    result = read(parser)
    parser.end_row(row)
    if parser.problems:
        first = parser.problems[0]
        raise ValueError(first.message if first.help is None else f"{first.message} ({first.help})")
    return result


def _certain(result: _T | None) -> _T:
    assert result is not None, "what could not be read has been reported"
    return result
