"""A blueprint's space audited and exported while it is served, by an administrator."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from temper.runtime import plant_file
from temper.runtime.history import SqliteStill, audit
from temper.service import Declined, Workshop
from temper.service.whole import AT_ONCE_MAX
from tests.service.shop import ADMIN, ANN, PLAN


async def filled(shop: Workshop, entries: int = 300) -> None:
    for number in range(entries):
        await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "id": f"r{number}", "cluster": f"c{number}"})


async def test_an_export_is_one_moment_and_is_taken_in_elsewhere(shop: Workshop, tmp_path: Path) -> None:
    await filled(shop)
    before = await shop.audit(ADMIN, "helix")
    assert (before.passes, before.entries, before.difference) == (True, 300, None)
    pieces = shop.export(ADMIN, "helix")
    first = await anext(pieces)
    await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "id": "later", "cluster": "later"})
    lines = b"".join([first, *[piece async for piece in pieces]]).splitlines(keepends=True)
    plant_file(tmp_path / "planted.db", lines)
    with SqliteStill(tmp_path / "planted.db") as still:
        found = audit(still)
    assert (found.difference, found.entries, found.heads[0].hash) == (None, 300, before.anchors[0].partition("@")[0])
    after = await shop.audit(ADMIN, "helix", before.anchors[0])
    assert (after.passes, after.entries) == (True, 301)


async def test_what_is_not_what_was_written_is_told(shop: Workshop) -> None:
    await filled(shop, 3)
    anchor = (await shop.audit(ADMIN, "helix")).anchors[0]
    found = await shop.audit(ADMIN, "helix", f"{'0' * 64}@2,{anchor}")
    assert not found.passes
    assert found.difference is not None
    assert (found.difference.seq, "the anchor names" in found.difference.text) == (2, True)
    db = apsw.Connection(str(shop.loaded.data / "spaces" / "helix.db"))
    db.execute("update entities set state = 'Live' where id = 'r1'")
    db.close()
    found = await shop.audit(ADMIN, "helix")
    assert found.difference is not None
    assert found.difference.entity == "Rollout/r1"


async def test_few_look_at_once_and_whoever_leaves_makes_room(shop: Workshop) -> None:
    await filled(shop)
    looking = [shop.export(ADMIN, "helix") for _ in range(AT_ONCE_MAX)]
    for each in looking:
        await anext(each)
    with pytest.raises(Declined) as busy:
        await shop.audit(ADMIN, "helix")
    assert (busy.value.problem.type, busy.value.problem.status) == ("busy", 503)
    await looking[0].aclose()  # type: ignore[attr-defined]  # it is a generator
    assert (await shop.audit(ADMIN, "helix")).passes
    await looking[1].aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_it_is_an_administrators(shop: Workshop) -> None:
    for verb in (lambda: shop.audit(ANN, "helix"), lambda: anext(shop.export(ANN, "helix"))):
        with pytest.raises(Declined) as denied:
            await verb()
        assert denied.value.problem.status == 403
    with pytest.raises(Declined) as unread:
        await shop.audit(ADMIN, "helix", "yesterday")
    assert unread.value.problem.status == 422
