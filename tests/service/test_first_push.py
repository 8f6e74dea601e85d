"""The first push of a name, by two who come at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from temper.runtime import SqliteStore
from temper.service.settings import PushSection
from temper.service.waking import Waking
from tests.service.shop import ADMIN, BEFORE, opened


async def test_of_two_first_pushes_at_once_the_second_is_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held between its commit and its start, when the other finds a file that is in use."""
    start = Waking._start

    async def slowly(self: Waking, store: SqliteStore, *given: object) -> object:
        await asyncio.sleep(0.2)
        return await start(self, store, *given)  # type: ignore[arg-type]  # as it was given

    monkeypatch.setattr(Waking, "_start", slowly)
    another = {name: text + "\n# another\n" for name, text in BEFORE.items()}
    async with opened(tmp_path / "data", push=PushSection(levels=("algebra", "search"), allow_unknown=True)) as shop:
        pushed = await asyncio.gather(shop.push(ADMIN, "helix", BEFORE), shop.push(ADMIN, "helix", another))
        assert sorted((each.version, each.unchanged) for each in pushed) == [(1, False), (1, True)]
        assert len(shop._spaces["helix"].store.versions()) == 1
