"""The page of threats names tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/threats.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_a_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), f"{file}::{name}"


def test_each_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| tries")]
    assert len(rows) > 25
    assert all(re.search(r"`tests/[\w/]+\.py::\w+`", row) for row in rows), "a claim without a test"


def test_every_test_of_threats_is_on_the_page() -> None:
    """What we attack ourselves is told."""
    told = {name for _, name in NAMED}
    for path in sorted((ROOT / "tests/threats").glob("test_*.py")):
        names = re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)
        assert set(names) & told, f"{path.name} shows nothing that the page tells of"
