"""Each code of the model has a page: its first blueprint earns the code and nothing else, its second earns nothing."""

from __future__ import annotations

import pytest

from temper.model import check
from temper.syntax import parse_bundle
from temper.text import Code, Diagnostic, Source
from tests.pages import diagnostic_pages, read_page

PREFIXES = ("B1", "B2", "B3")
PAGES = {path.stem: read_page(path) for prefix in PREFIXES for path in diagnostic_pages(prefix)}


def problems(sources: tuple[Source, ...]) -> tuple[Diagnostic, ...]:
    tree, unread = parse_bundle(sources)
    return (*unread, *check(tree)[1])


def test_each_code_of_the_model_has_a_page() -> None:
    assert set(PAGES) == {code.name for code in Code if code.name.startswith(PREFIXES)}


def test_no_two_codes_have_one_title() -> None:
    """Of two members of an enumeration with one value, the second is but another name of the first."""
    assert [name for name, code in Code.__members__.items() if code.name != name] == []


@pytest.mark.parametrize("code", PAGES)
def test_the_page_says_what_the_code_is_called(code: str) -> None:
    assert PAGES[code].heading == f"{code}: {Code[code].value}"


@pytest.mark.parametrize("code", PAGES)
def test_the_first_blueprint_earns_the_code_and_the_second_none(code: str) -> None:
    earning, mended = PAGES[code].blocks
    assert {one.code for one in earning.expected} == {code}
    assert all(one.text for one in earning.expected)
    assert earning.mismatches(problems(earning.sources)) == []
    assert mended.expected == ()
    assert mended.mismatches(problems(mended.sources)) == []


@pytest.mark.parametrize("code", PAGES)
def test_each_problem_says_how_to_mend_it(code: str) -> None:
    """A message says what is wrong; the help says what to do, and a fix, where there is one, does it."""
    for problem in problems(PAGES[code].blocks[0].sources):
        assert problem.help, problem.message
        assert not problem.message.endswith(".")
        assert problem.message[:1] == problem.message[:1].lower()


def test_a_fix_mends_what_it_is_for() -> None:
    """Every fix that a page's blueprint is offered, applied: the code is gone."""
    applied = 0
    for code, page in PAGES.items():
        (source,) = page.blocks[0].sources
        for problem in problems((source,)):
            if problem.fix is None:
                continue
            applied += 1
            span = problem.fix.span
            text = source.text[: span.start] + problem.fix.text + source.text[span.end :]
            assert code not in {left.code.name for left in problems((Source(source.name, text),))}, code
    assert applied >= 10
