"""A treasury behind a real door: what attackers want, with policies that keep it from them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from temper.service import Workshop
from temper.service.settings import PushSection
from tests.service.shop import ADMIN, Prepared, copied, opened
from tests.threats.treasury import FILES, Door
from tests.web.test_server import running

QUICK = PushSection(levels=("algebra",), allow_unknown=True)


async def prepare(folder: Path) -> Prepared:
    """Push the treasury into a new data folder."""
    async with opened(folder, push=QUICK) as workshop:
        await workshop.push(ADMIN, "treasury", FILES)
        return Prepared(folder, workshop.first_token or "")


@pytest.fixture(scope="session")
def treasury(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The treasury, pushed once."""
    return anyio.run(prepare, tmp_path_factory.mktemp("treasury") / "data")


@pytest.fixture
async def vault(treasury: Prepared, tmp_path: Path) -> AsyncIterator[Workshop]:
    """The treasury's own workshop, for one test."""
    async with opened(copied(treasury, tmp_path / "data"), push=QUICK) as workshop:
        yield workshop


@pytest.fixture
async def door(vault: Workshop) -> AsyncIterator[Door]:
    """The treasury on a socket, with a token for each of its people."""
    async with running(vault) as server:
        yield await Door.of(vault, server)
