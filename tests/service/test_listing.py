"""Lists: whatever the page size, the pages together are the whole."""

from __future__ import annotations

import pytest

from temper.service import Workshop
from tests.service.shop import ANN, PLAN


async def filled(shop: Workshop) -> list[str]:
    """Plan seven rollouts, start the odd ones, and return their ids, oldest first."""
    ids = []
    for number in range(7):
        body = {**PLAN, "cluster": f"c{number}", "brokers": (number * 5) % 7 + 1, "id": f"r{number}"}
        await shop.create(ANN, "helix", "Rollout", None, body)
        if number % 2:
            await shop.act(ANN, "helix", "Rollout", f"r{number}", "Start", {})
        ids.append(f"r{number}")
    return ids


async def pages(shop: Workshop, limit: int, filter: str | None = None, sort: str | None = None) -> list[str]:
    """Return the ids of all pages, one after the other."""
    ids: list[str] = []
    cursor = None
    while True:
        page = await shop.list(ANN, "helix", "Rollout", limit=limit, cursor=cursor, filter=filter, sort=sort)
        assert len(page.items) <= limit
        ids += [each.id for each in page.items]
        cursor = page.cursor
        if cursor is None:
            return ids


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "0123456"),
        ({"sort": "-created_at"}, "6543210"),
        ({"sort": "-id"}, "6543210"),
        ({"sort": "brokers"}, "0362514"),
        ({"sort": "-brokers"}, "4152630"),
        ({"filter": "state is Rolling"}, "135"),
        ({"filter": "state is Rolling and brokers > 2"}, "15"),
        ({"filter": "brokers % 2 == 0", "sort": "-brokers"}, "123"),
        ({"filter": 'cluster == "c4" or cluster == "c0"'}, "04"),
        ({"filter": "state is Halted"}, ""),
        ({"filter": "created_at > now - 1h"}, "0123456"),
        ({"filter": 'created_at < "2020-01-01T00:00:00Z"'}, ""),
    ],
)  # fmt: skip
async def test_the_pages_are_the_whole(shop: Workshop, asked: dict[str, str], expected: str, limit: int) -> None:
    """One row: what is asked, and the numbers of the rollouts in the order in which they come."""
    await filled(shop)
    found = await pages(shop, limit, **asked)
    assert "".join(found).replace("r", "") == expected


@pytest.mark.parametrize(
    ("filter", "count"),
    [(None, 7), ("state is Rolling", 3), ("state is Rolling and brokers > 2", 2), ("brokers > 99", 0)],
)
async def test_a_count_is_of_all_that_the_filter_finds(shop: Workshop, filter: str | None, count: int) -> None:
    await filled(shop)
    page = await shop.list(ANN, "helix", "Rollout", filter=filter, limit=1, count=True)
    assert page.count == count
