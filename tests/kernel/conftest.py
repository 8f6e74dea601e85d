"""Every test of a host runs on each store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from temper.kernel import MemoryStore, Store
from temper.runtime import SqliteStore
from tests.kernel.driving import Driver

# In memory where there is such a folder: these tests ask what is kept, not whether it survives a power cut.
_FAST = Path("/dev/shm")


@pytest.fixture(params=["memory", "sqlite"], autouse=True)
def each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`Driver()` makes a store of this kind."""
    if request.param == "memory":
        monkeypatch.setattr(Driver, "new_store", staticmethod(MemoryStore))
        yield
        return
    with tempfile.TemporaryDirectory(dir=_FAST if _FAST.is_dir() else None) as folder:
        opened: list[SqliteStore] = []

        def new_store() -> Store:
            opened.append(SqliteStore(Path(folder) / f"{len(opened)}.db"))
            return opened[-1]

        monkeypatch.setattr(Driver, "new_store", staticmethod(new_store))
        yield
        for store in opened:
            store.close()
