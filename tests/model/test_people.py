"""Where a rule about people stands, those whom it counts are kept by who is behind them."""

from __future__ import annotations

import pytest

from temper.model import check
from temper.syntax import parse_bundle
from temper.text import Diagnostic, Source

TEXT = """blueprint change
role writer, reviewer
entity Change
  states Draft, Live, Gone
  author: principal
  approvers: set of principal max 3 = {}
  order: list of principal max 3 = []
  action Write by writer from new to Draft
    set author = AUTHOR
  action Approve by reviewer
    GUARD
    from Draft
    SET
  action Go by reviewer from Draft to Live
  action Leave by reviewer from Draft, Live to Gone
  PROPERTY
"""
GUARD, SET, NEEDS = "when caller not in approvers", "set approvers += caller", "Live needs 2 of reviewer by Approve"
PEOPLE = "caller.acts_for"
# Who wrote it, the guard, what is set, the property; and the lines at which agents are counted as people.
ROWS = [
    (PEOPLE, GUARD, SET, NEEDS, [11, 13]),
    (PEOPLE, "when true", SET, "Live needs 2", [13]),
    (PEOPLE, GUARD, "if true: set approvers += caller", NEEDS, [11, 13]),
    (PEOPLE, GUARD, SET, 'always "two": state is Live implies size(approvers) == 2', [11, 13]),
    ("caller", "when true", "set approvers += caller.acts_for", f"{NEEDS} besides author", [9]),
    # It is people that are kept, or nothing asks for people.
    (PEOPLE, "when caller.acts_for not in approvers", "set approvers += caller.acts_for", NEEDS, []),
    (PEOPLE, GUARD, SET, "can reach Live", []),
    (PEOPLE, GUARD, SET, "never writer enters Live", []),
    (PEOPLE, GUARD, SET, "always size(approvers) <= 3", []),
    (PEOPLE, GUARD, SET, "always size(before.approvers) <= size(approvers)", []),
    # One of whoever it is; who left is counted, and this collects others.
    (PEOPLE, GUARD, SET, "Live needs 1 of reviewer by Approve", []),
    (PEOPLE, GUARD, SET, "Gone needs 2 of reviewer by Leave", []),
    ("caller", "when true", "set approvers += caller.acts_for", NEEDS, []),
]  # fmt: skip


def text_of(author: str, guard: str, set_: str, property_: str) -> str:
    """Return the blueprint."""
    return TEXT.replace("AUTHOR", author).replace("GUARD", guard).replace("SET", set_).replace("PROPERTY", property_)


@pytest.mark.parametrize(("author", "guard", "set_", "property_", "lines"), ROWS)
def test_agents_that_count_as_people_are_told(
    author: str, guard: str, set_: str, property_: str, lines: list[int]
) -> None:
    """Each place is told once, and its mend leaves nothing to tell."""
    text = text_of(author, guard, set_, property_)
    found = _told(text)
    assert [text.count("\n", 0, each.primary.span.start) + 1 for each in found] == lines
    for each in reversed(found):
        assert each.fix is not None
        assert text[each.fix.span.start : each.fix.span.end] == "caller"
        text = text[: each.fix.span.start] + each.fix.text + text[each.fix.span.end :]
    assert not _told(text)


def test_a_property_outside_of_the_entity_counts_its_people_too() -> None:
    """There a state may be written with its entity's name; that of another entity is none of its."""
    text = text_of(PEOPLE, GUARD, SET, "can reach Live")
    assert len(_told(f"{text}Change.Live needs 2 of reviewer by Approve\n")) == 2
    other = "entity Other\n  states Live\n  action Approve by reviewer from new to Live\n"
    assert not _told(f"{text}{other}Other.Live needs 2 of reviewer by Approve\n")


def _told(text: str) -> tuple[Diagnostic, ...]:
    source = Source("change.blueprint", text)
    tree, unread = parse_bundle([source])
    _, found = check(tree)
    assert [each.code.name for each in (*unread, *found) if each.code.name != "B344"] == []
    return found
