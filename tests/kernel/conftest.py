"""Every test of a host runs on each store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test

from temper.kernel import MemoryStore, Store
from temper.runtime import SqliteStore
from temper.runtime.history import SqliteStill, audit
from tests.kernel.driving import Driver

# In memory where there is such a folder: these tests ask what is kept, not whether it survives a power cut.
_FAST = Path("/dev/shm")


@pytest.fixture(params=["memory", "sqlite", "postgres"], autouse=True)
def each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`Driver()` makes a store of this kind."""
    if request.param == "memory":
        monkeypatch.setattr(Driver, "new_store", staticmethod(MemoryStore))
        yield
        return
    if request.param == "postgres":
        spaces: Callable[[], Callable[[], Store]] = request.getfixturevalue("postgres_spaces")

        def new_space() -> Store:
            return spaces()()

        monkeypatch.setattr(Driver, "new_store", staticmethod(new_space))
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
            # Whatever a host has done, an audit finds it as its journal says.
            with SqliteStill(store.path) as still:
                assert audit(still).difference is None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave drawn walks over PostgreSQL to the law that is asked of it alone: each example makes a space there."""
    items[:] = [item for item in items if not (_is_drawn(item) and item.name.endswith("[postgres]"))]


def _is_drawn(item: pytest.Item) -> bool:
    return is_hypothesis_test(getattr(item, "obj", None))
