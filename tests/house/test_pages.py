"""The pages hold together: links lead somewhere, and the README is two commands long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.house.tree import ROOT, files, place

FENCE = re.compile(r"^(```+|~~~+)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"(`+).+?\1", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s+<?(\S+?)>?$", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//")


def dead_links(page: Path, text: str) -> Iterator[str]:
    """Each relative link of `text`, standing at `page`, that leads nowhere or out of the repository."""
    prose = CODE_SPAN.sub("", FENCE.sub("", text))
    for found in LINK.finditer(prose):
        link = found[1] or found[2]
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT):
            yield f"{link} leads out of the repository"
        elif path and not target.exists():
            yield f"{link} leads nowhere"
        elif (
            anchor and target.suffix == ".md" and anchor not in _anchors(text if target == page else target.read_text())
        ):
            yield f"{link} names no heading"


def _anchors(text: str) -> set[str]:
    """The names that a forge gives to the headings of a page."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_somewhere() -> None:
    """In every page, those at the root included."""
    found = [f"{place(page)}: {problem}" for page in files(".md") for problem in dead_links(page, page.read_text())]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[x](nowhere.md)", "leads nowhere"),
        ("[x]: nowhere.md", "leads nowhere"),
        ("![x](nowhere.png 'title')\n[x](nowhere.md \"title\")", "leads nowhere"),
        ("[x](../outside.md)", "out of the repository"),
        ("[x](README.md#no-such-heading)", "names no heading"),
        ("# One\n[x](#two)", "names no heading"),
        ("# One `two`, three\n[x](#one-two-three)", None),
        ("[x](LICENSE) [y](docs/README.md) [z](docs)", None),
        ("[x](https://example.org/nowhere.md) <mailto:a@example.org>", None),
        ("```\n[x](nowhere.md)\n```\n`[x](nowhere.md)`", None),
    ],
)  # fmt: skip
def test_a_planted_link_is_judged(text: str, problem: str | None) -> None:
    """One row, one page at the root: what is wrong with its link, if anything."""
    found = list(dead_links(ROOT / "PAGE.md", text))
    assert len(found) == (problem is not None)
    assert all(problem is not None and problem in text for text in found)


def test_the_readme_is_two_commands_long() -> None:
    """One installs and shows, one installs and tests; whoever reads on needs no third."""
    fences = [body for _, body in FENCE.findall((ROOT / "README.md").read_text())]
    assert fences == ["./run temper demo\n", "./run pytest\n"]
