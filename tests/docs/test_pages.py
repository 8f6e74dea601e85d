"""What every page of the documentation has, whoever wrote it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "diagnostics")


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(DOCS).as_posix() for page in PAGES])
def test_a_row_of_a_table_is_one_line(page: Path) -> None:
    """Markdown ends a table where a row ends, and what follows would be a paragraph."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in text.splitlines() if line.startswith("|") and not line.endswith("|")] == []


def test_every_page_is_in_the_list_of_pages() -> None:
    text = (DOCS / "README.md").read_text("utf-8")
    listed = set(re.findall(r"\]\(([a-z-]+/[a-z-]+\.md)\)", text))
    assert listed == {page.relative_to(DOCS).as_posix() for page in PAGES if page.parent != DOCS}
