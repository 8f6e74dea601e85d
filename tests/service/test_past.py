"""What an entity was, through the workshop."""

from __future__ import annotations

from typing import Any

import pytest

from temper.service import Declined, Workshop
from tests.service.shop import ADMIN, ANN, PLAN


async def test_an_entity_is_read_as_it_was(shop: Workshop) -> None:
    """After each of its entries, and at each of their times."""
    made = await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "id": "r1"})
    started = await shop.act(ANN, "helix", "Rollout", "r1", "Start", {})
    with pytest.raises(Declined):
        await shop.act(ANN, "helix", "Rollout", "r1", "Start", {})
    first, second, refused = await shop.history(ANN, "helix", "Rollout", "r1")
    was = await shop.past(ANN, "helix", "Rollout", "r1", str(first.seq))
    assert (was.state, was.version, was.seq, was.table_version) == ("Planned", 1, first.seq, 1)
    assert was.fields == made.entity.fields
    for at in (str(second.seq), str(refused.seq), "999999", refused.at):
        now = await shop.past(ANN, "helix", "Rollout", "r1", at)
        assert (now.state, now.version, now.seq) == (started.entity.state, 2, second.seq)
        assert now.fields == started.entity.fields


NEITHER = "`at` is an entry's number, or a time such as `2026-11-24T12:00:00Z`"


@pytest.mark.parametrize(
    ("id", "at", "expected"),
    [
        ("r1", "0", ("not-found", 404, "there was no Rollout `r1` at 0")),
        ("r1", "1999-01-01T00:00:00Z", ("not-found", 404, "there was no Rollout `r1` at 1999-01-01T00:00:00Z")),
        ("r2", "99", ("not-found", 404, "there was no Rollout `r2` at 99")),
        ("r1", "-1", ("bad-request", 422, NEITHER)),
        ("r1", "yesterday", ("bad-request", 422, NEITHER)),
        ("r1", "9" * 40, ("bad-request", 422, NEITHER)),
    ],
)  # fmt: skip
async def test_what_was_not_there_is_not_found(
    shop: Workshop, id: str, at: str, expected: tuple[str, int, str]
) -> None:
    await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "id": "r1"})
    with pytest.raises(Declined) as caught:
        await shop.past(ADMIN, "helix", "Rollout", id, at)
    problem = caught.value.problem
    assert (problem.type, problem.status, problem.title) == expected


async def test_a_list_is_read_as_it_was(shop: Workshop) -> None:
    """With a filter, in pages, after an entry and at a time; who was not there yet is not on it."""
    for number in range(1, 4):
        await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "cluster": f"r{number}", "id": f"r{number}"})
    (third,) = await shop.history(ANN, "helix", "Rollout", "r3")
    (second,) = await shop.history(ANN, "helix", "Rollout", "r2")
    now = shop.clock.now()
    while shop.clock.now() == now:  # What comes in the same millisecond is there at that time.
        pass
    await shop.act(ANN, "helix", "Rollout", "r1", "Start", {})
    for at in (str(third.seq), third.at):
        page = await shop.list_past(ANN, "helix", "Rollout", at, filter="state is Planned", count=True)
        assert [(each.id, each.state, each.version) for each in page.items] == [
            ("r1", "Planned", 1), ("r2", "Planned", 1), ("r3", "Planned", 1),
        ]  # fmt: skip
        assert page.count == 3
    page = await shop.list_past(ANN, "helix", "Rollout", str(second.seq), sort="-created_at")
    assert [each.id for each in page.items] == ["r2", "r1"]
    last = await shop.list_past(ANN, "helix", "Rollout", "999999", filter="state is Planned")
    assert [each.id for each in last.items] == ["r2", "r3"]
    first = await shop.list_past(ANN, "helix", "Rollout", str(third.seq), limit=2)
    rest = await shop.list_past(ANN, "helix", "Rollout", str(third.seq), limit=2, cursor=first.cursor)
    assert [each.id for each in (*first.items, *rest.items)] == ["r1", "r2", "r3"]
    assert rest.cursor is None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"sort": "id"}, "`sort` is `created_at` or `-created_at` where `at` is given"),
        ({"filter": "state is Nowhere"}, "`filter` does not fit version 1 of the blueprint"),
        ({"cursor": "x"}, "`cursor` is not one that a page gave"),
        ({"limit": 0}, "`limit` is not from 1"),
        ({"count": True}, "`count` is of 1 entities at most where `at` is given, and there are 2"),
    ],
)
async def test_a_list_of_what_was_says_what_it_is_not(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr("temper.service.listing_past.LOOKED_AT_MAX", 1)
    for id in ("r1", "r2"):
        await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "cluster": id, "id": id})
    with pytest.raises(Declined) as caught:
        await shop.list_past(ANN, "helix", "Rollout", "999", **asked)
    assert caught.value.problem.title.startswith(says)
    assert caught.value.problem.status == 422


async def test_a_page_of_what_was_looks_at_so_many(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is short then, and its cursor goes on."""
    monkeypatch.setattr("temper.service.listing_past.LOOKED_AT_MAX", 1)
    monkeypatch.setattr("temper.service.listing_past._CHUNK", 1)
    for id in ("r1", "r2"):
        await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "cluster": id, "id": id})
    page = await shop.list_past(ANN, "helix", "Rollout", "999")
    assert [each.id for each in page.items] == ["r1"]
    rest = await shop.list_past(ANN, "helix", "Rollout", "999", cursor=page.cursor)
    assert [each.id for each in rest.items] == ["r2"]
