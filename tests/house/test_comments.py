"""What is silenced says why, and nothing is left for later."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.house.tree import files, place

CODE = ("src", "tests", "bench", "apps")
TEXTS = (".py", ".pyi", ".md", ".toml", ".blueprint", ".cedar", ".html", ".css", ".js", ".mjs", ".json", ".sh", ".sql")

MARKER = re.compile(r"type:\s*ignore|(?:ruff:\s*|flake8:\s*)?\bnoqa\b|pyright:\s*ignore")
WITH_CODES = re.compile(
    r"(?:type|pyright):\s*ignore\[[\w-]+(?:,\s*[\w-]+)*\]|(?:ruff:\s*|flake8:\s*)?noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*"
)
# Brackets keep these words from being found here.
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b")


def silenced(source: str) -> Iterator[tuple[int, str]]:
    """Each suppression in `source` that lacks a code or a reason, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or not MARKER.search(token.string):
            continue
        rest = WITH_CODES.sub("", token.string)
        if MARKER.search(rest):
            yield token.start[0], "a suppression names its code"
        elif len(re.findall(r"[^\W\d_]{2,}", rest)) < 2:
            yield token.start[0], "a suppression says why, on its line"


def test_every_suppression_has_a_code_and_a_reason() -> None:
    """In all Python of ours."""
    found = [
        f"{place(path)}:{line}: {problem}"
        for path in files(".py", under=CODE)
        for line, problem in silenced(path.read_text())
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("comment", "problem"),
    [
        ("# type: ignore", "names its code"),
        ("# type: ignore  # z3 ships no types", "names its code"),
        ("# noqa", "names its code"),
        ("# ruff: noqa", "names its code"),
        ("# type: ignore[arg-type]", "says why"),
        ("# noqa: S603", "says why"),
        ("# noqa: S603, S607", "says why"),
        ("# noqa: S603 -- why?", "says why"),
        ("# type: ignore[arg-type]  # noqa: S603", "says why"),
        ("# type: ignore[arg-type, misc]  # z3 ships no types", None),
        ("# noqa: S603, S607 - our own command", None),
        ("# type: ignore[arg-type]  # noqa: S603 - z3 ships no types", None),
        ("# nothing is silenced here", None),
    ],
)  # fmt: skip
def test_a_planted_suppression_is_judged(comment: str, problem: str | None) -> None:
    """One row, one comment: what is missing in it, if anything."""
    found = list(silenced(f"'a string may say # noqa'\nx = 1  {comment}\n"))
    assert [line for line, _ in found] == ([] if problem is None else [2])
    assert all(problem is not None and problem in text for _, text in found)


def test_nothing_is_left_for_later() -> None:
    """A thing to do is an issue, not a note in a file."""
    found = [
        f"{place(path)}:{number}: {line.strip()}"
        for path in files(*TEXTS, under=("src", "tests", "docs"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "X" * 3])
def test_a_planted_note_is_found(word: str) -> None:
    """Alone or before a colon; inside a longer word it is none."""
    assert UNFINISHED.search(f"# {word}: later")
    assert not UNFINISHED.search(f"# {word}ED")
