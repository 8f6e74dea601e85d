"""A plan says whether all that can be has a place in the candidate, not only those who live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from temper.service import Person, Workshop
from tests.service.shop import ADMIN, opened

OLD = """
blueprint desk

role clerk

entity Shelf
  states Open, Closed
  final Closed
  stock: int 0..99 = 0
  name: string?
  action Stock(name: string? = none) by clerk from new to Open
    set name
  action Put(units: int 1..5) by clerk from Open
    when stock + units <= 20 else "it is full"
    set stock += units
  action Close by clerk from Open to Closed
"""
ANN = Person("ann", frozenset({"clerk"}))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A desk with one shelf."""
    async with opened(tmp_path / "data") as workshop:
        await workshop.push(ADMIN, "desk", {"desk.blueprint": OLD})
        await workshop.create(ANN, "desk", "Shelf", None, {"id": "s1"})
        yield workshop


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("stock: int 0..99", "stock: int 0..100", ()),
        # The guard keeps it below, whatever the type says.
        ("stock: int 0..99", "stock: int 0..20", (("Shelf.stock is always int 0..20", "proved"),)),
        ("stock: int 0..99", "stock: int 0..9", (("Shelf.stock is always int 0..9", "broken"),)),
        ("  name: string?\n", "  name: string?\n  always stock <= 20\n",
         (("`always stock <= 20` holds of Shelf", "proved"),)),
        # Only one lives, and it is not there; but others can come to be.
        ("  name: string?\n", "  name: string?\n  always name == none\n",
         (("`always name == none` holds of Shelf", "broken"),)),
    ],
)  # fmt: skip
async def test_what_a_plan_says(desk: Workshop, old: str, new: str, expected: tuple[tuple[str, str], ...]) -> None:
    text = OLD.replace(old, new)
    assert text != OLD
    if "int 0..9" in new and "0..99" not in new:
        text = text.replace("<= 20 else", "<= 9 else")
    found = await desk.plan(ADMIN, "desk", {"desk.blueprint": text})
    assert found.places is not None
    assert tuple((each.text, each.verdict) for each in found.places) == expected
    assert not found.stranded, "the one that lives has a place"


async def test_a_first_push_leaves_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as workshop:
        assert (await workshop.plan(ADMIN, "desk", {"desk.blueprint": OLD})).places is None
