"""What an entity was, through the workshop."""

from __future__ import annotations

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
