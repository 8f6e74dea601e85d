"""What is asked of all that can be, for a step to another table: and that it is enough, whatever an entity is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.table import Snapshot, Table, evaluate, homeless, places, with_places
from tests.kernel.shop import compiled

OLD = """
blueprint desk

role clerk

tool post.send(to: string) -> (receipt: string)
  timeout 5s

entity Ticket
  states Open, Paused, Closed
  final Closed
  stock: int 0..9 = 0
  text: string
  remark: string?
  action Ask(text, remark: string? = none) by clerk from new to Open
    set text, remark
  action Take(units: int 1..9) by clerk from Open to Paused
    when stock + units <= 9 else "too many"
    set stock += units
  action Resume by clerk from Paused to Open
  action Close by clerk from Open, Paused to Closed
  in Paused
    after 1h do Resume2
  action Resume2 by system from Paused to Open
"""


def changed(*pairs: str, upgrade: str = "") -> Table:
    text = OLD
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new)
    return compiled(text + (f"\nupgrade from 1\n  Ticket\n{upgrade}" if upgrade else ""))


WIDER = changed("stock: int 0..9", "stock: int 0..99")
NARROW = changed("stock: int 0..9", "stock: int 0..5", "<= 9 else", "<= 5 else")
GONE = changed("Open, Paused,", "Open, Waiting,", "to Paused", "to Waiting", "from Paused", "from Waiting",
               "Open, Paused to", "Open, Waiting to", "in Paused", "in Waiting")  # fmt: skip
MOVED = changed("Open, Paused,", "Open, Waiting,", "to Paused", "to Waiting", "from Paused", "from Waiting",
                "Open, Paused to", "Open, Waiting to", "in Paused", "in Waiting",
                upgrade="    Paused becomes Waiting\n")  # fmt: skip
NEEDED = changed("  remark: string?\n", "  remark: string\n", "Ask(text, remark: string? = none)", "Ask(text, remark)")
ADDED = changed("  remark: string?\n", "  remark: string?\n  weight: int 0..3 = 1\n")
STRICT = changed("  remark: string?\n", "  remark: string?\n  always stock <= 7\n", "<= 9 else", "<= 7 else")
RENAMED = changed("  remark: string?\n", "  remark: string?\n  always state is Paused implies stock > 0\n")
SET = changed("  text: string\n", '  text: string\n  copy: string = ""\n  size: int 0..5 = 0\n',
              upgrade="    set copy = text\n    set size = stock\n")  # fmt: skip


@pytest.mark.parametrize(
    ("new", "asked"),
    [
        (WIDER, {}),
        (ADDED, {}),
        (MOVED, {}),
        (NARROW, {"Ticket.stock is always int 0..5": True}),
        (GONE, {"Ticket is never in Paused, which is gone": True}),
        (NEEDED, {"Ticket.remark is always string": True}),
        (STRICT, {"`always stock <= 7` holds of Ticket": True}),
        (RENAMED, {"`always state is Paused implies stock > 0` holds of Ticket": True}),
        (SET, {"the upgrade's `set` of Ticket.size fits": True}),
    ],
)  # fmt: skip
def test_what_is_asked(new: Table, asked: dict[str, bool]) -> None:
    found = places(compiled(OLD), new, 1)
    assert {one.text: one.condition is not None for one in found} == asked
    assert {one.name for one in with_places(compiled(OLD), found).properties} == set(asked)


def tickets() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "stock": st.integers(0, 9),
            "text": st.sampled_from(["", "a"]),
            "remark": st.sampled_from([None, "b"]),
        }
    )


@given(st.sampled_from([WIDER, NARROW, GONE, MOVED, NEEDED, ADDED, STRICT, RENAMED, SET]), tickets(),
       st.sampled_from(["Open", "Paused", "Closed"]))  # fmt: skip
def test_who_is_as_is_asked_has_a_place(new: Table, fields: dict[str, Any], state: str) -> None:
    """And who is not has none: here all that is asked can be put as a condition, so the two say the same."""
    old = compiled(OLD)
    now = Snapshot(entity="Ticket", id="t", state=state, fields=fields, version=1, visit=1, created_at=0, updated_at=0)
    found = [one.condition for one in places(old, new, 1)]
    holds = all(evaluate(old, "Ticket", condition, now, at=0) for condition in found if condition is not None)
    assert holds == (not homeless(old, new, now, from_version=1))
