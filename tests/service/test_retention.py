"""What is final for long moves to the archive, by the settings, while the server goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from temper.service import Declined, Person, Workshop, load_settings
from temper.service.retention import EVERY_MS, FIRST_MS
from temper.service.settings import RetentionSection
from tests.runtime.living import MovedClock, quiet, until

DESK = """
blueprint desk

role clerk

entity Ticket
  states Open, Closed
  final Closed
  text: string

  action Ask(text) by clerk from new to Open
    set text
  action Close by clerk from Open to Closed
"""
ADMIN = Person("root", admin=True)
ANN = Person("ann", frozenset({"clerk"}))
DAY = 86_400_000


@asynccontextmanager
async def kept(folder: Path, clock: MovedClock, final: str = "30d") -> AsyncIterator[Workshop]:
    loaded = load_settings(None, {})
    settings = msgspec.structs.replace(
        loaded.settings,
        server=msgspec.structs.replace(loaded.settings.server, data=str(folder), drain="100ms"),
        retention={"desk": RetentionSection(final=final), "nothing_of_that_name": RetentionSection(final="1d")},
    )
    workshop = await Workshop.open(replace(loaded, settings=settings), clock=clock)
    try:
        await workshop.push(ADMIN, "desk", {"desk.blueprint": DESK})
        yield workshop
    finally:
        await workshop.close()


def archived(workshop: Workshop) -> int:
    return workshop._spaces["desk"].store.archived()


def _counts(workshop: Workshop, number: int) -> bool:
    return archived(workshop) == number


async def test_who_is_final_for_long_is_put_away_and_still_read(tmp_path: Path) -> None:
    clock = MovedClock()
    async with kept(tmp_path / "data", clock) as workshop:
        for id in ("old", "open"):
            await workshop.create(ANN, "desk", "Ticket", None, {"text": "hi", "id": id})
        await workshop.act(ANN, "desk", "Ticket", "old", "Close", {})
        before = await workshop.read(ANN, "desk", "Ticket", "old")
        told = await workshop.history(ANN, "desk", "Ticket", "old")
        was = await workshop.past(ANN, "desk", "Ticket", "old", "1")
        assert (before.final, before.archived) == (True, False)
        await quiet()
        clock.move(29 * DAY)
        await quiet()
        assert archived(workshop) == 0, "it has not been final for long enough"
        clock.move(2 * DAY)
        await until(lambda: archived(workshop) == 1)
        assert await workshop.read(ANN, "desk", "Ticket", "old") == msgspec.structs.replace(before, archived=True)
        assert await workshop.history(ANN, "desk", "Ticket", "old") == told
        assert await workshop.past(ANN, "desk", "Ticket", "old", "1") == was
        page = await workshop.list(ANN, "desk", "Ticket", count=True)
        assert ([each.id for each in page.items], page.count) == (["open"], 1)
        with pytest.raises(Declined) as there:
            await workshop.create(ANN, "desk", "Ticket", None, {"text": "ho", "id": "old"})
        assert there.value.problem.status == 409
    async with kept(tmp_path / "data", clock) as workshop:
        assert (await workshop.read(ADMIN, "desk", "Ticket", "old")).archived


async def test_a_sweep_comes_a_minute_after_the_start_and_each_hour(tmp_path: Path) -> None:
    clock = MovedClock()
    async with kept(tmp_path / "data", clock, final="1ms") as workshop:
        for done, wait_ms in enumerate((FIRST_MS, EVERY_MS, EVERY_MS)):
            id = f"r{done}"
            await workshop.create(ANN, "desk", "Ticket", None, {"text": "hi", "id": id})
            await workshop.act(ANN, "desk", "Ticket", id, "Close", {})
            await until(lambda: len(clock.alarms) > 0)
            clock.move(wait_ms - 1)
            await quiet()
            assert archived(workshop) == done
            clock.move(1)
            await until(partial(_counts, workshop, done + 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[retention.desk]\nfinal = "soon"', "retention.desk.final: `soon` is no duration"),
        ("[retention.desk]", "missing required field `final`"),
        ('[retention.desk]\nfinally = "1d"', "there is no setting `finally` (did you mean `final`?)"),
        ("[retention]\nfinal = 9", "expected `object`, got `int`"),
    ],
)
def test_what_is_wrong_with_the_settings_is_told(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "temper.toml").write_text(text)
    (problem,) = load_settings(tmp_path / "temper.toml", {}).problems
    assert says in str(problem)
