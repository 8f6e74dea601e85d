"""Lists: whatever the page size, the pages together are the whole."""

from __future__ import annotations

import threading

import pytest

from temper.service import Declined, Workshop, listing
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


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"sort": "brokers"}, "0362514"),
        ({"sort": "-brokers"}, "4152630"),
        ({"sort": "state"}, "0246135"),
        ({"sort": "-state"}, "5316420"),
        ({"sort": "-id"}, "6543210"),
        ({"sort": "id", "filter": "brokers > 2"}, "12456"),
        ({"sort": "brokers", "filter": "brokers > 2 and brokers <= 6"}, "6251"),
        ({"sort": "-brokers", "filter": "state is Rolling and 2 < brokers"}, "15"),
        ({"filter": 'build == "v2"'}, "0123456"),
        ({"filter": 'build == "v2"', "sort": "-created_at"}, "6543210"),
        ({"filter": 'cluster == "c4"'}, "4"),
        ({"filter": 'cluster == "c9"'}, ""),
        ({"filter": "brokers == 3 or brokers == 4", "sort": "-brokers"}, "26"),
    ],
)  # fmt: skip
async def test_the_pages_are_the_whole_by_ranks_too(
    shop: Workshop, asked: dict[str, str], expected: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "RANKED_FROM", 0)
    await filled(shop)
    found = await pages(shop, limit, **asked)
    assert "".join(found).replace("r", "") == expected


@pytest.mark.parametrize("ranked_from", [0, 100])
async def test_of_those_with_the_same_value_the_older_comes_first(
    shop: Workshop, ranked_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "RANKED_FROM", ranked_from)
    await filled(shop)
    assert "".join(await pages(shop, 2, sort="build")) == "r0r1r2r3r4r5r6"
    assert "".join(await pages(shop, 2, sort="-build")) == "r6r5r4r3r2r1r0"


async def test_a_list_whose_order_takes_long_to_make_says_when_to_ask_again(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "RANKED_FROM", 0)
    await filled(shop)
    space = shop._spaces["helix"]
    make, held = space.store.make_rank, threading.Event()

    def slowly(kind: str, field: str) -> bool:
        held.wait(10)
        return make(kind, field)

    monkeypatch.setattr(space.store, "make_rank", slowly)
    monkeypatch.setattr(listing, "MAKING_S", 0.0)
    with pytest.raises(Declined) as declined:
        await shop.list(ANN, "helix", "Rollout", sort="brokers")
    assert declined.value.problem.status == 503
    assert declined.value.problem.retry_after_ms is not None
    held.set()
    await space.making("Rollout", "brokers")
    page = await shop.list(ANN, "helix", "Rollout", sort="brokers", limit=1)
    assert [each.id for each in page.items] == ["r0"]


@pytest.mark.parametrize(
    ("filter", "count"), [("brokers > 2 and brokers <= 6", 4), ("brokers > 2 and brokers % 2 == 0", 2)]
)
async def test_a_rank_counts_what_is_within_it(
    shop: Workshop, filter: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "RANKED_FROM", 0)
    await filled(shop)
    page = await shop.list(ANN, "helix", "Rollout", filter=filter, sort="-brokers", limit=1, count=True)
    assert page.count == count


@pytest.mark.parametrize(
    ("filter", "count"),
    [(None, 7), ("state is Rolling", 3), ("state is Rolling and brokers > 2", 2), ("brokers > 99", 0)],
)
async def test_a_count_is_of_all_that_the_filter_finds(shop: Workshop, filter: str | None, count: int) -> None:
    await filled(shop)
    page = await shop.list(ANN, "helix", "Rollout", filter=filter, limit=1, count=True)
    assert page.count == count
