"""What would have kept a fault from happening is said in the blueprint's own words, and keeps it from happening."""

from __future__ import annotations

import re

import pytest

from temper.text import Code, Diagnostic
from temper.verify import verify
from tests.verify.texts import table_of

TEXT = """
blueprint stock
role clerk
entity Shelf
  states Open
  held: int 0..9 = 0
  cost: decimal 0..5 = 1
  least: int? = none
  part: int 0..9 = 0
  names: set of string max 2 = {}
  let double = part * 2
  action Make by clerk from new to Open
  action Part(to: int 0..9) by clerk from Open
    set part = to
  action Do(n: int 0..3, name: string) by clerk from Open
    SET
"""
# What is set, the code, and the guard that keeps it from failing.
MENDS = [
    ("set held -= n", Code.B502, "held - n >= 0"),
    ("set held = held + n * 3", Code.B502, "held + n * 3 <= 9"),
    ("set cost += 0.5", Code.B502, "cost + 0.5 <= 5"),
    ("set names += name", Code.B502, "size(names + {name}) <= 2"),
    ("set held = 9 // part", Code.B503, "part != 0"),
    ("set held = 9 // (part - n)", Code.B503, "(part - n) != 0"),
    ("set held = 9 // double", Code.B503, "(part * 2) != 0"),
]


@pytest.mark.parametrize(("clause", "code", "guard"), MENDS)
@pytest.mark.parametrize("level", ["search", "simulation"])
def test_the_help_names_the_guard_that_mends_it(level: str, clause: str, code: Code, guard: str) -> None:
    text = TEXT.replace("SET", clause)
    (found,) = _found(text, level, code)
    assert found.help is not None
    assert "`Do`" in found.help
    assert f"`when {guard}`" in found.help
    mended = text.replace(f"    {clause}", f"    when {guard}\n    {clause}")
    assert not _found(mended, level, code)


def test_where_no_guard_can_say_it_the_field_is_named() -> None:
    """What a tool answers is no guard's to ask of in the action that calls it, and what a state sets no action's."""
    text = TEXT.replace(
        "by clerk from Open\n    SET", "by clerk from Open to Open\n  in Open on entry set held = part + 9"
    )
    (found,) = _found(text, "search", Code.B502)
    assert found.help is not None
    assert re.match(r"ask for what keeps `held` in range \(`when ...`\)", found.help)


def _found(text: str, level: str, code: Code) -> list[Diagnostic]:
    return [each for each in verify(table_of(text), levels=(level,)).findings if each.code is code]
