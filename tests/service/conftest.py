"""One prepared data folder for all tests of this room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from temper.service import Workshop
from tests.service.shop import Prepared, copied, opened, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The flagship's earlier version, pushed through the real verifier."""
    return anyio.run(prepare, tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture
async def shop(prepared: Prepared, tmp_path: Path) -> AsyncIterator[Workshop]:
    """A workshop of its own for one test."""
    async with opened(copied(prepared, tmp_path / "data")) as workshop:
        yield workshop
