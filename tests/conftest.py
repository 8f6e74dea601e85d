"""What every test shares: Hypothesis' profiles and the event loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

from temper.runtime.postgres import PostgresStore
from tests.runtime.postgres import Server, cluster

# The same draws every time: a red run is somebody's change, not their luck. No deadline, since the machine is shared.
settings.register_profile(
    "ci", derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# New draws each time, and more of them, for whoever is hunting: `HYPOTHESIS_PROFILE=dev ./run pytest`.
settings.register_profile("dev", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run all tests on all cores, and what somebody names in one process, where it can be looked into."""
    return (os.cpu_count() or 1) if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on the loop that the server runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, started once; what is tested over it does not ask whether it survives a power cut."""
    with cluster("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=400") as server:
        yield server


_spaces = count(1)


@pytest.fixture
def postgres_spaces(postgres: Server) -> Iterator[Callable[[], Callable[[], PostgresStore]]]:
    """Makes empty spaces: each a function that opens it, and leases all of it."""
    opened: list[PostgresStore] = []

    def new() -> Callable[[], PostgresStore]:
        name = f"s{next(_spaces)}"

        def open_it() -> PostgresStore:
            store = PostgresStore(postgres.url, name)
            opened.append(store)
            assert list(store.leases.take(range(store.parts), seconds=3_600)) == list(range(store.parts))
            return store

        return open_it

    yield new
    for store in opened:
        store.close()


@pytest.fixture
def postgres_space(postgres_spaces: Callable[[], Callable[[], PostgresStore]]) -> Callable[[], PostgresStore]:
    """Opens a space that was empty at first."""
    return postgres_spaces()
