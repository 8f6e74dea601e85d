"""Every command of every tutorial and how-to page is run, in order, and prints what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.tutorial import changed, commands, masked, reader
from tests.house.tree import ROOT

PAGES = sorted(page for kind in ("tutorial", "how-to") for page in (ROOT / "docs" / kind).glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_tutorial_does_what_it_says(page: Path) -> None:
    """`python -m tests.docs.tutorial PAGE` writes what the commands print now."""
    text = page.read_text("utf-8")
    with reader() as somebody:
        steps = list(somebody.read(text))
    assert len(steps) == sum(line.startswith("$ ") for line in text.splitlines())
    for step in steps:
        assert masked(step.printed) == masked(step.said), f"line {step.line}: $ {step.command}"


def test_there_is_a_tutorial() -> None:
    """So that the test above has something to do."""
    assert PAGES


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("version 1 (d130d59244d6)", "version 1 (4b69d720d672)", True),
        ("version 1 (d130d59244d6)", "version 2 (d130d59244d6)", False),
        ("algebra      81 ms  guards", "algebra     812 ms  guards", True),
        ("08:51:35.322  v1", "09:51:35.322  v1", True),
        ("moved: 1 -> 2", "moved: 2 -> 2", False),
        (f"anchor {'0a' * 32}@4", f"anchor {'b1' * 32}@4", True),
        (f"anchor {'0a' * 32}@4", f"anchor {'0a' * 32}@5", False),
        ("export TEMPER_TOKEN=temper_726d0dbfd7_BKBV-MupQeG", "export TEMPER_TOKEN=temper_1111111111_abc", True),
    ],
)
def test_only_what_is_new_each_time_is_masked(one: str, another: str, same: bool) -> None:
    """One row, two outputs of one command."""
    assert (masked(one) == masked(another)) is same


def test_a_block_is_taken_apart() -> None:
    """Commands and what they print; a change that fits once."""
    assert list(commands("$ a b\none\ntwo\n$ c\n")) == [("a b", "one\ntwo\n"), ("c", "")]
    assert changed("x\ny\nz\n", " x\n-y\n+w\n+v\n") == "x\nw\nv\nz\n"
    with pytest.raises(AssertionError, match="fits 2 times"):
        changed("x\nx\n", "-x\n+y\n")
