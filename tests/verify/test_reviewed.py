"""Blueprints whose verdicts are known by reasoning about the language, construct by construct.

A line that ends in `# holds`, `# broken in N steps` or `# broken` (without a run: a state that can't be reached) is a
property with its verdict; above the blueprint stand those that are asked without being written. N counts what the run
tells, of a joint commit each part. No level may say the opposite, and the search has to say what is written, by its
shortest run.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from temper.service import format_text
from temper.table import Table
from temper.verify import Limits, PropertyResult, Verdict, verify
from temper.verify.places import place_of
from tests.verify.texts import table_of

REVIEWED = Path(__file__).parent / "reviewed"
PATHS = sorted(REVIEWED.glob("*.blueprint"))
FINE = {Verdict.PROVED, Verdict.HOLDS}
_LAST = re.compile(r"  # (?:(holds)|broken(?: in (\d+) steps?)?)$")
_ABOVE = re.compile(r"^# (.+) \(`(\w+)`\): (?:(holds)|broken(?: in (\d+) steps?)?)$")


@cache
def read(path: Path) -> tuple[str, Table]:
    text = path.read_text("utf-8")
    return text, table_of(text, path.name)


def expected(path: Path) -> dict[int | tuple[str, str], int | None]:
    """Return the length of the run that breaks each property (`None`: it holds), by its line, or name and entity."""
    found: dict[int | tuple[str, str], int | None] = {}
    for number, line in enumerate(read(path)[0].splitlines(), 1):
        if last := _LAST.search(line):
            found[number] = None if last[1] else int(last[2] or 0)
        elif above := _ABOVE.match(line):
            found[above[1], above[2]] = None if above[3] else int(above[4] or 0)
    return found


def said(path: Path, level: str) -> dict[int | tuple[str, str], PropertyResult]:
    """Return what a level says, by the same keys."""
    _, table = read(path)
    written = {each.site for each in table.properties}
    found: dict[int | tuple[str, str], PropertyResult] = {}
    for each in verify(table, levels=(level,), limits=Limits(seconds=30)).properties:
        place = place_of(table, each.site) if each.site in written else None
        found[place[1] if place is not None else (each.name, each.entity or "")] = each
    return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_written_property_has_its_verdict_beside_it(path: Path) -> None:
    """None is left out: what nobody has reasoned about is not reviewed."""
    _, table = read(path)
    lines = {place[1] for each in table.properties if (place := place_of(table, each.site)) is not None}
    assert expected(path)
    assert lines == {key for key in expected(path) if isinstance(key, int)}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_search_says_what_is_known(path: Path) -> None:
    results = said(path, "search")
    for key, steps in expected(path).items():
        result = results[key]
        if steps is not None:
            assert (result.verdict, len(result.trace)) == (Verdict.BROKEN, steps), result
        else:
            assert result.verdict in FINE, result


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_algebra_says_nothing_else(path: Path) -> None:
    results = said(path, "algebra")
    for key, steps in expected(path).items():
        if key in results:
            assert results[key].verdict not in ({Verdict.BROKEN} if steps is None else FINE), results[key]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_reviewed_blueprint_is_laid_out(path: Path) -> None:
    text, _ = read(path)
    assert format_text(path.name, text) == text
