"""Each kind of store there is, empty, for what they all do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from temper.kernel import MemoryStore, Store
from temper.runtime import SqliteStore
from temper.runtime.postgres import PostgresStore


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind in turn."""
    match request.param:
        case "memory":
            yield MemoryStore()
        case "sqlite":
            kept = SqliteStore(tmp_path / "space.db")
            yield kept
            kept.close()
        case _:
            open_it: Callable[[], PostgresStore] = request.getfixturevalue("postgres_space")
            yield open_it()
