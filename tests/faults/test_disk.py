"""Disks that fail: each has a clear answer, nothing is half-done, and what was answered is there afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from temper.kernel import Done, Expired
from temper.runtime import FaultyFiles, SqliteStore, Trouble
from temper.service import Declined, Workshop
from tests.runtime.living import space
from tests.service.shop import ANN, PLAN, Prepared, copied, opened


@pytest.fixture
def files() -> Iterator[FaultyFiles]:
    files = FaultyFiles()
    yield files
    files.close()


def _store(shop: Workshop) -> SqliteStore:
    store = shop._spaces["helix"].store
    assert isinstance(store, SqliteStore)
    return store


async def test_a_full_disk_is_said_and_what_it_refused_can_be_asked_again(shop: Workshop) -> None:
    """SQLite's own answer, by a file that may not grow: reads go on, the refused is nowhere, and room mends it."""
    await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "id": "kept"})
    store = _store(shop)
    store.checkpoint()
    pages = store._writer.execute("pragma page_count").get
    store._writer.execute(f"pragma max_page_count = {pages}")
    refused: list[Declined] = []
    number = 0
    while not refused and number < 200:
        number += 1
        try:
            await shop.create(
                ANN, "helix", "Rollout", None, {**PLAN, "build": "b" * 500, "id": f"r{number}", "cluster": f"c{number}"}
            )
        except Declined as declined:
            refused.append(declined)
    problem = refused[0].problem
    assert (problem.status, problem.type) == (503, "unavailable")
    assert "is full: make room, then ask again" in problem.detail
    assert problem.retry_after_ms is not None
    assert (await shop.read(ANN, "helix", "Rollout", "kept")).id == "kept"
    ids = {each.id for each in (await shop.list(ANN, "helix", "Rollout", limit=200)).items}
    assert ids == {"kept", *(f"r{each}" for each in range(1, number))}
    store._writer.execute("pragma max_page_count = 1000000")
    await shop.create(
        ANN, "helix", "Rollout", None, {**PLAN, "build": "b" * 500, "id": f"r{number}", "cluster": f"c{number}"}
    )
    assert (await shop.read(ANN, "helix", "Rollout", f"r{number}")).state == "Planned"


@pytest.mark.parametrize(
    ("writes", "trouble", "says"),
    [(0, Trouble.FULL, "is full"), (2, Trouble.FULL, "is full"), (0, Trouble.SYNC, "could not take it")],
)
async def test_a_write_that_fails_on_its_way_to_the_disk(
    files: FaultyFiles, tmp_path: Path, writes: int, trouble: Trouble, says: str
) -> None:
    store = SqliteStore(tmp_path / "space.db", vfs=files.name)
    async with space(store=store) as live:
        await live.done("Shelf", "before", "Stock", name="before", stock=1)
        if trouble is Trouble.FULL:
            files.fill(writes)
        else:
            files.trouble = trouble
        answer = await live.act("Shelf", "refused", "Stock", name="refused", stock=1)
        assert isinstance(answer, Expired)
        assert says in answer.text
        files.heal()
        assert live.live.read("Shelf", "refused") is None
        assert live.state("Shelf", "before") == "Open"
        await live.done("Shelf", "refused", "Stock", name="refused", stock=1)
    store.close()
    again = SqliteStore(tmp_path / "space.db")
    assert {each.id for each in again.live()} >= {"before", "refused"}
    again.close()


async def test_a_read_only_disk_refuses_what_is_done_and_still_shows_what_is_there(shop: Workshop) -> None:
    await shop.create(ANN, "helix", "Rollout", None, {**PLAN, "id": "r1"})
    writer = _store(shop)._writer
    writer.execute("pragma query_only = on")
    with pytest.raises(Declined) as declined:
        await shop.act(ANN, "helix", "Rollout", "r1", "Start", {})
    problem = declined.value.problem
    assert (problem.status, problem.type) == (503, "unavailable")
    assert "can't be written" in problem.detail
    assert (await shop.read(ANN, "helix", "Rollout", "r1")).state == "Planned"
    writer.execute("pragma query_only = off")
    assert (await shop.act(ANN, "helix", "Rollout", "r1", "Start", {})).entity.state == "Rolling"


async def test_a_corrupt_page_is_named_and_never_read_as_something_else(prepared: Prepared, tmp_path: Path) -> None:
    """All pages behind the first few are overwritten: a server that opens it says what to do, whatever is asked."""
    folder = copied(prepared, tmp_path / "data")
    async with opened(folder) as shop:
        for number in range(200):
            await shop.create(
                ANN, "helix", "Rollout", None, {**PLAN, "build": "b" * 200, "id": f"r{number}", "cluster": f"c{number}"}
            )
        db = _store(shop)._writer
        size = db.execute("pragma page_size").get
        # Where the leaves of the entities are: their index and their rows are what a read goes through.
        pages = [
            page
            for (page,) in db.execute(
                "select pageno from dbstat where name in ('entities', 'entities_by_id') and pagetype = 'leaf'"
            )
        ]
    with (folder / "spaces" / "helix.db").open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xde\xad" * (size // 2))
    async with opened(folder) as shop:
        for asked in (
            shop.read(ANN, "helix", "Rollout", "r7"),
            shop.list(ANN, "helix", "Rollout", limit=200),
            shop.act(ANN, "helix", "Rollout", "r7", "Start", {}),
        ):
            with pytest.raises(Declined) as declined:
                await asked
            assert declined.value.problem.status == 503
            assert "is damaged" in declined.value.problem.detail
            assert "restore it from a copy" in declined.value.problem.detail


async def test_a_slow_disk_makes_larger_groups_and_not_a_longer_queue(
    files: FaultyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync of 30 ms: a hundred who ask at once wait for a few of them, not for a hundred."""
    store = SqliteStore(tmp_path / "space.db", vfs=files.name)
    syncs = 0
    synced = FaultyFiles.synced

    def slowly(self: FaultyFiles, image: object) -> None:
        nonlocal syncs
        syncs += 1
        time.sleep(0.03)  # the disk's own time: no clock of ours goes into it
        synced(self, image)  # type: ignore[arg-type]  # as it was given

    async with space(store=store) as live:
        monkeypatch.setattr(FaultyFiles, "synced", slowly)
        asked = [live.act("Shelf", f"s{number}", "Stock", name=f"s{number}", stock=1) for number in range(100)]
        answers = await asyncio.gather(*asked)
        monkeypatch.undo()
    store.close()
    assert all(isinstance(each, Done) for each in answers)
    assert syncs < 10
