"""One entity searched alone, where others would have a say: what rests on them shows nothing for certain."""

from __future__ import annotations

import pytest

from temper.verify import Limits, Verdict, verify
from temper.verify.explore.search import BLIND, RESTS, explore
from temper.verify.system.lower import Unlowered, lower
from tests.verify.texts import result_of, run_of, table_of

# A set of any of a hundred numbers has no finite form that is small, so that each is searched alone.
PAIR = """
    blueprint pair
    role r
    entity Item
      states Kept, Given
      final Given
      items: set of int 0..99 max 2 = {}
      n: int 0..2 = 0
      action Make by r, system from new to Kept
      action Add(k: int 0..99) by r from Kept when size(items) < 2
        set items += k
      action Give by system from Kept to Given
        set n += 1
      always size(items) <= 2
      always n < 1
    entity Job
      states Asked, Taken, Made, Done
      final Done
      item: Item
      m: int 0..2 = 0
      action Ask(item) by r from new to Asked
        set item
      action Take by r from Asked to Taken
        set m = 1
        with item.Give
      action Both by r from Asked to Made
        set m = 2
        with item.Give
        create Item.Make as other
      action Finish by r from Taken, Made to Done
        READ
      always m < 1
      always m < 2
      always m < 3
"""


def pair(read: str = "") -> str:
    """Return the text, whose last step may read another entity."""
    return PAIR.replace("READ", read)


def test_what_takes_others_along_is_taken_and_rests_on_them() -> None:
    """With or without a creation beside it. What no such step breaks holds."""
    table = table_of(pair())
    assert isinstance(lower(table), Unlowered)
    found = explore(table, "Job", Limits())
    assert found.states == 5  # Asked, taken, made, and done by either way.
    assert {key: each.why for key, each in found.suspicions.items()} == {
        ("always", 2): RESTS,
        ("always", 3): RESTS,
        ("stuck",): "it waits in `Asked` for others",
    }
    report = verify(table, levels=("search",))
    told = result_of(report, "always m < 2")
    assert told.verdict is Verdict.UNKNOWN
    assert run_of(told) == ["r: Ask -> Asked", "r: Both -> Made"]
    assert result_of(report, "always m < 3").verdict in {Verdict.PROVED, Verdict.HOLDS}


def test_what_others_take_along_happens_at_any_time() -> None:
    """`Given` is not unreachable although nothing of the item's own leads there; whether it is reached is not known."""
    report = verify(table_of(pair()), levels=("search",))
    assert result_of(report, "always n < 1").verdict is Verdict.UNKNOWN
    states = [each for each in report.properties if each.name == "every state can be reached" and each.entity == "Item"]
    assert [each.verdict for each in states] == [Verdict.UNKNOWN]
    found = explore(table_of(pair()), "Item", Limits())
    assert found.reached["state", "Given"].why == RESTS
    assert not {key for key in found.breaks if key[0] == "stuck"}


@pytest.mark.parametrize(
    ("read", "blind"),
    [
        ("", None),
        ("set m = 0", None),
        ("if item.n > 0: set m = 0", BLIND),
        ("if item.state is Given: set m = 0", BLIND),
    ],
)
def test_who_reads_others_is_not_judged_alone(read: str, blind: str | None) -> None:
    """What it reads is not there; so much is said, and no more."""
    found = explore(table_of(pair(read)), "Job", Limits())
    assert found.blind == blind
    if blind is not None:
        report = verify(table_of(pair(read)), levels=("search",))
        assert result_of(report, "always m < 3").verdict is Verdict.UNKNOWN
