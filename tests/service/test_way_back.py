"""The way back from a push, rehearsed at each stage of it, with more who live than one turn moves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from temper.kernel import Batch, Examination, StoreFault
from temper.runtime import SqliteStore
from temper.service import Declined, Workshop
from tests.service.shop import ADMIN, opened
from tests.service.test_upgrade import ANN, BACK, ONE, TWO, UPGRADE, files, moved

MANY = 30
AT_ONCE = 8
# Each of these is paused with a remark, and what they are now is what they have to be at the end.
PAUSED = [f"t{number}" for number in range(0, MANY, 3)]


async def filled(desk: Workshop) -> None:
    await desk.push(ADMIN, "desk", files(ONE))
    for number in range(MANY):
        await desk.create(ANN, "desk", "Ticket", "File", {"id": f"t{number}", "title": "a"})
    for id in PAUSED:
        await desk.act(ANN, "desk", "Ticket", id, "Pause", {"remark": f"about {id}"})


def moves(desk: Workshop, most: int) -> None:
    """Have turns carry over so many from now on."""
    live = desk._spaces["desk"].live
    live._host.limits = replace(live._host.limits, moves_max=most)
    live._work.set()


async def moved_some(desk: Workshop) -> None:
    """Some have been carried over, and others have not."""
    store = desk._spaces["desk"].live.store
    moves(desk, AT_ONCE)
    for _ in range(1_000):
        left = store.unmoved(MANY)
        if left is None or len(left.kept) < MANY:
            break
        await asyncio.sleep(0.001)
    moves(desk, 0)
    left = store.unmoved(MANY)
    assert left is not None
    assert 0 < len(left.kept) < MANY


async def none_moved(desk: Workshop) -> None:
    assert desk._spaces["desk"].live.moving


async def all_moved(desk: Workshop) -> None:
    moves(desk, AT_ONCE)
    await moved(desk)


async def as_they_were(desk: Workshop, changed: dict[str, str]) -> None:
    """All are as version 1 left them but those who were changed since; and their histories have no gap."""
    for number in range(MANY):
        id = f"t{number}"
        now = await desk.read(ANN, "desk", "Ticket", id)
        remark = changed.get(id, f"about {id}" if id in PAUSED else None)
        state = "Paused" if remark is not None else "Open"
        assert (now.state, now.fields) == (state, {"title": "a", "remark": remark}), id
        history = await desk.history(ANN, "desk", "Ticket", id)
        assert [each.before for each in history[1:]] == [each.after for each in history[:-1]]
        assert history[-1].after == now.state or desk._spaces["desk"].live.moving


@pytest.mark.parametrize(
    ("stage", "restarted"), [(none_moved, False), (moved_some, False), (moved_some, True), (all_moved, False)]
)
async def test_back_once_it_is_in_force(
    tmp_path: Path, stage: Callable[[Workshop], object], *, restarted: bool
) -> None:
    """With nobody moved yet, some, or all; people act before and after, and a server may have been started anew."""
    async with opened(tmp_path / "data") as desk:
        await filled(desk)
        moves(desk, 0)
        await desk.push(ADMIN, "desk", files(TWO, UPGRADE))
        await desk.act(ANN, "desk", "Ticket", "t1", "Pause", {"why": "changed"})
        await stage(desk)  # type: ignore[misc]  # all of them are coroutines
        if not restarted:
            await desk.push(ADMIN, "desk", files(ONE, BACK))
            await desk.act(ANN, "desk", "Ticket", "t2", "Pause", {"remark": "later"})
            await as_they_were(desk, {"t1": "changed", "t2": "later"})
            moves(desk, AT_ONCE)
            await moved(desk)
            await as_they_were(desk, {"t1": "changed", "t2": "later"})
            return
    async with opened(tmp_path / "data") as desk:
        moves(desk, 0)
        await desk.push(ADMIN, "desk", files(ONE, BACK))
        await desk.act(ANN, "desk", "Ticket", "t2", "Pause", {"remark": "later"})
        await as_they_were(desk, {"t1": "changed", "t2": "later"})
        moves(desk, AT_ONCE)
        await moved(desk)
        await as_they_were(desk, {"t1": "changed", "t2": "later"})


async def test_back_while_all_who_live_are_asked_is_to_go_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited for the push has gone: it is not put in force, and people have acted all the while."""
    asking, may = threading.Event(), threading.Event()
    page = Examination.page

    def slowly(self: Examination, limit: int = 10) -> bool:
        asking.set()
        assert may.wait(60)
        return page(self, limit)

    async with opened(tmp_path / "data") as desk:
        await filled(desk)
        monkeypatch.setattr(Examination, "page", slowly)
        pushing = asyncio.create_task(desk.push(ADMIN, "desk", files(TWO, UPGRADE)))
        assert await asyncio.to_thread(asking.wait, 60)
        await desk.act(ANN, "desk", "Ticket", "t1", "Pause", {"remark": "meanwhile"})
        pushing.cancel()
        may.set()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        assert [each.number for each in desk.versions(ADMIN, "desk")] == [1]
        await as_they_were(desk, {"t1": "meanwhile"})
        # Nothing of it is in the way of the next.
        assert (await desk.push(ADMIN, "desk", files(TWO, UPGRADE))).version == 2
        assert (await desk.push(ADMIN, "desk", files(ONE, BACK))).version == 3
        await as_they_were(desk, {"t1": "meanwhile"})


@pytest.mark.parametrize("there", [False, True])
async def test_back_from_a_commit_that_the_disk_did_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """Where nobody knows whether it is there, it is looked up: then it is in force, and one goes back as usual."""
    append = SqliteStore.append

    def faulty(self: SqliteStore, batch: Batch) -> int:
        if any(change.version is not None for change in batch.changes):
            if there:
                append(self, batch)
            raise StoreFault("the disk is full", unknown=there)
        return append(self, batch)

    async with opened(tmp_path / "data") as desk:
        await filled(desk)
        with monkeypatch.context() as patched:
            patched.setattr(SqliteStore, "append", faulty)
            if there:
                assert (await desk.push(ADMIN, "desk", files(TWO, UPGRADE))).version == 2
            else:
                with pytest.raises(Declined, match="the disk is full"):
                    await desk.push(ADMIN, "desk", files(TWO, UPGRADE))
        assert desk._spaces["desk"].version.number == 1 + there
        if there:
            assert (await desk.read(ANN, "desk", "Ticket", "t0")).state == "Waiting"
            await desk.push(ADMIN, "desk", files(ONE, BACK))
        await desk.act(ANN, "desk", "Ticket", "t1", "Pause", {"remark": "later"})
        await as_they_were(desk, {"t1": "later"})
