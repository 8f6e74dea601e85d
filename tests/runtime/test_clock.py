"""The machine's clock, ids, and watched files."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from temper.runtime import SystemClock, new_id, watch
from tests.runtime.living import until


def test_an_id_is_twelve_characters_that_nobody_misreads() -> None:
    ids = [new_id() for _ in range(2_000)]
    assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{12}", id) for id in ids)
    assert len(set(ids)) == len(ids)
    assert {char for id in ids for char in id} == set("0123456789abcdefghjkmnpqrstvwxyz")


def test_a_process_that_was_forked_gives_ids_of_its_own() -> None:
    new_id()  # so that some are in stock
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert told.read().decode() != new_id()


def test_the_clock_stands_still_while_the_machines_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5_000_000, 2_000_000, 5_000_000, 6_000_000])
    monkeypatch.setattr("temper.runtime.clock.time.time_ns", lambda: next(times))
    clock = SystemClock()
    assert [clock.now() for _ in range(4)] == [5, 5, 5, 6]


async def test_an_alarm_rings_not_before_its_time() -> None:
    clock = SystemClock()
    rung: list[int] = []
    at = clock.now() + 5
    clock.ring(at, lambda: rung.append(clock.now()))
    await until(lambda: bool(rung))
    assert rung[0] >= at


async def test_an_alarm_that_is_cancelled_does_not_ring() -> None:
    clock = SystemClock()
    rung: list[str] = []
    clock.ring(clock.now() + 1, lambda: rung.append("cancelled")).cancel()
    clock.ring(clock.now() + 3, lambda: rung.append("left"))
    await until(lambda: bool(rung))
    assert rung == ["left"]


async def test_files_that_are_edited_are_named(tmp_path: Path) -> None:
    (tmp_path / "one.blueprint").write_text("blueprint one\n")
    seen: list[frozenset[Path]] = []

    async def look() -> None:
        async for found in watch([tmp_path]):
            seen.append(found)

    task = asyncio.create_task(look())
    file = tmp_path / "two.blueprint"
    # When the watch has begun nobody says: write until it is seen.
    for number in range(200):
        file.write_text(f"blueprint two # {number}\n")
        await asyncio.sleep(0.05)
        if seen:
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert file in seen[0]
    assert all(path.suffix == ".blueprint" for found in seen for path in found)
