"""Every code of judgement has a page, whose first blueprint earns it and whose second earns nothing."""

from __future__ import annotations

import pytest

from temper.model import check
from temper.syntax import parse_bundle
from temper.table import compile_machine
from temper.text import Code, Diagnostic
from temper.verify import verify
from tests.pages import DIAGNOSTICS, Block, read_page

CODES = [code for code in Code if code.name[1] in "456"]


def findings(block: Block) -> list[Diagnostic]:
    """What is found of a page's blueprint, by reading it or by judging it."""
    tree, unread = parse_bundle(block.sources)
    machine, unsound = check(tree)
    problems = [*unread, *unsound]
    return problems or [*verify(compile_machine(machine, block.sources)).findings]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_a_page_shows_what_earns_its_code_and_how_it_is_mended(code: Code) -> None:
    """The heading is the code's title; each line earns what its comment says, and nothing else."""
    page = read_page(DIAGNOSTICS / f"{code.name}.md")
    assert page.heading == f"{code.name}: {code.value}"
    earning, mended = page.blocks
    assert code.name in {one.code for one in earning.expected}
    assert not mended.expected
    for block in (earning, mended):
        assert block.mismatches(findings(block)) == []
