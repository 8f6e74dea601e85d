"""A file of policies, cut into policies before Cedar's own parser sees them.

Cedar's parser is the judge of what a policy says. It tells no places, though, and it recurses: nesting that is deep
enough ends the process. So the text is cut into tokens here, which is enough to find each policy, to refuse what is
nested too deep, and to point at what the parser names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from temper.text import Source, Span

# A policy is some lines long; a hundred times that is a mistake or an attack.
TOKENS_MAX = 4_000
# Cedar's parser takes some hundred on a thread's stack, and its process with it past a thousand or two.
NESTED_MAX = 50
# Operators in one condition: each makes the tree that they are read into deeper by one.
OPERATORS_MAX = 150

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>[0-9]+)
  | (?P<sign>::|==|!=|<=|>=|&&|\|\||\?[A-Za-z_]+|[-@(){}\[\],;:.<>+*!=%/])
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN = frozenset("([{")
_CLOSE = frozenset(")]}")
_OPERATORS = frozenset({"&&", "||", "+", "-", "*", "!", "if", ".", "has", "==", "!=", "<", "<=", ">", ">=", "in"})


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number, a text or a sign, and where it stands."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Piece:
    """One policy's tokens; `whole` is whether its `;` is there."""

    tokens: tuple[Token, ...]
    whole: bool

    @property
    def span(self) -> Span:
        """Return where it stands, from its first annotation to its end."""
        return self.tokens[0].span.to(self.tokens[-1].span)

    @property
    def effect(self) -> Token:
        """Return the word `permit` or `forbid`, or else its first."""
        return next((each for each in self.tokens if each.text in ("permit", "forbid")), self.tokens[0])

    @property
    def text(self) -> str:
        """Return it without its layout and comments."""
        return text_of(self.tokens)

    def find(self, *words: str) -> Span | None:
        """Return where those words stand one after the other, the first time."""
        size = len(words)
        for at in range(len(self.tokens) - size + 1):
            if all(self.tokens[at + k].text == word for k, word in enumerate(words)):
                return self.tokens[at].span.to(self.tokens[at + size - 1].span)
        return None


@dataclass(frozen=True, slots=True)
class Bad:
    """A piece that is not given to Cedar's parser: why not, and where."""

    span: Span
    text: str
    large: bool


def text_of(tokens: Sequence[Token]) -> str:
    """Return tokens as one line."""
    return " ".join(token.text for token in tokens)


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a piece of Cedar that a message quotes, to be found with `Piece.find`."""
    return tuple(found.group() for found in _TOKEN.finditer(text) if found.lastgroup != "space")


def cut(source: Source) -> Iterator[Piece | Bad]:
    """Yield the policies of a file in order, and what can't be read at all."""
    tokens: list[Token] = []
    bad: Bad | None = None
    depth = operators = at = 0
    text = source.text
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            end = at + 1
            what = (
                "a text without its closing quote" if text[at] == '"' else f"`{text[at]}` stands for nothing in Cedar"
            )
            bad = bad or Bad(Span(source.name, at, end), what, large=False)
            at = len(text) if text[at] == '"' else end
            continue
        at = found.end()
        if found.lastgroup == "space":
            continue
        token = Token(found.group(), Span(source.name, found.start(), at))
        tokens.append(token)
        if token.text in _OPEN:
            depth += 1
        elif token.text in _CLOSE:
            depth = max(0, depth - 1)
        if token.text in ("when", "unless"):
            operators = 0
        operators += token.text in _OPERATORS
        if bad is None:
            bad = _too_large(token, depth, operators, len(tokens))
        if token.text == ";":
            yield bad or Piece(tuple(tokens), whole=True)
            tokens, bad, depth, operators = [], None, 0, 0
    if bad is not None:
        yield bad
    elif tokens:
        yield Piece(tuple(tokens), whole=False)


def _too_large(token: Token, depth: int, operators: int, tokens: int) -> Bad | None:
    if depth > NESTED_MAX:
        return Bad(token.span, f"brackets are nested more than {NESTED_MAX} deep", large=True)
    if operators > OPERATORS_MAX:
        return Bad(token.span, f"a condition has more than {OPERATORS_MAX} operators", large=True)
    if tokens > TOKENS_MAX:
        return Bad(token.span, f"a policy has more than {TOKENS_MAX:,} words and signs", large=True)
    return None
