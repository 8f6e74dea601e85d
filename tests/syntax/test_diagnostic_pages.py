"""Each code of reading has a page: its first blueprint earns the code and nothing else, its second earns nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.syntax import parse_bundle
from temper.text import Code
from tests.pages import DIAGNOSTICS, diagnostic_pages, read_block, read_page

# Limits, whose examples would fill the page; `test_recovery.py` has them.
WITHOUT_EXAMPLE = {"B015", "B017"}
# The JSON form of a blueprint is not text; `test_json_form.py` has its codes.
OF_JSON = "B09"

PAGES = [path for path in diagnostic_pages("B0") if not path.stem.startswith(OF_JSON)]


def test_each_code_of_reading_has_a_page() -> None:
    codes = {code.name for code in Code if code.name.startswith("B0") and not code.name.startswith(OF_JSON)}
    assert {path.stem for path in PAGES} == codes


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_says_what_the_code_is_called(path: Path) -> None:
    assert read_page(path).heading == f"{path.stem}: {Code[path.stem].value}"


@pytest.mark.parametrize("code", [path.stem for path in PAGES if path.stem not in WITHOUT_EXAMPLE])
def test_the_first_blueprint_earns_the_code_and_the_second_none(code: str) -> None:
    earning, mended = read_page(DIAGNOSTICS / f"{code}.md").blocks
    assert {one.code for one in earning.expected} == {code}
    assert earning.mismatches(parse_bundle(earning.sources)[1]) == []
    assert mended.expected == ()
    assert mended.mismatches(parse_bundle(mended.sources)[1]) == []


@pytest.mark.parametrize(
    ("marked", "mismatch"),
    [
        ("blueprint x\nrole a;", "page.blueprint:2: unexpected [B009]"),
        ("blueprint x\nrole a;  # error: [B009]", None),
        ('blueprint x\nrole a;  # error: [B009] "unexpected `;`"', None),
        ('blueprint x\nrole a;  # error: [B009] "no such words"', "page.blueprint:2: unexpected [B009]"),
        ("blueprint x\nrole a  # error: [B009]", "page.blueprint:2: missing [B009]"),
        ("blueprint x\n\nrole a;  # error: [B001]", "page.blueprint:3: unexpected [B009]"),
        ('blueprint x\nrole A;  # error: [B020] "`a`" [B009]', None),
        ("# file: a\nblueprint x\n# file: b\nblueprint x\nrole a;", "b:2: unexpected [B009]"),
    ],
)
def test_marks_are_held_against_what_is_found(marked: str, mismatch: str | None) -> None:
    """One row, one block: the first mismatch, if there is one."""
    block = read_block(marked + "\n")
    found = block.mismatches(parse_bundle(block.sources)[1])
    assert found[0].startswith(mismatch) if mismatch else found == []
