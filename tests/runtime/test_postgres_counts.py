"""How many are in which state is kept in PostgreSQL, and always what there is."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import asyncpg
import pytest

from temper.kernel import Batch, Host, Stale
from temper.runtime import found
from temper.runtime.postgres import PostgresStore
from tests.kernel.shop import compiled, counted, version
from tests.runtime.postgres import Server
from tests.runtime.test_postgres import act
from tests.runtime.test_shared import BANK

PARTS = 4
_names = count(1)


@pytest.fixture
def opened(postgres: Server, request: pytest.FixtureRequest) -> Callable[[], PostgresStore]:
    """Opens one and the same space, each time anew; the first to do so decides for it."""
    name = f"counts{next(_names)}"

    def new() -> PostgresStore:
        store = PostgresStore(postgres.url, name, parts=PARTS)
        request.addfinalizer(store.close)
        if store.current() is None:
            assert len(store.leases.take(range(PARTS), seconds=3_600)) == PARTS
            found(store, version(compiled(BANK)))
        return store

    return new


def there(store: PostgresStore) -> Mapping[tuple[str, str], int]:
    """Return how many are in which state, by looking at each."""
    found = Counter[tuple[str, str]]()
    for kind in compiled(BANK).entities:
        page = store.list(kind, limit=10_000)
        assert page.cursor is None
        found.update((kind, now.state) for now in page.items)
    return dict(sorted(found.items()))


def in_database(store: PostgresStore, *statements: str) -> list[Any]:
    async def done() -> list[Any]:
        connection = await asyncpg.connect(store.url, server_settings={"search_path": store.schema})
        try:
            return [await connection.fetch(each) for each in statements]
        finally:
            await connection.close()

    return asyncio.run(done())


def batch(host: Host, draw: random.Random, accounts: list[str], names: count[int]) -> Batch:
    """Return a batch in which some open, pay one another and close: also one that the batch itself has made."""
    asked = []
    for _ in range(draw.randint(1, 6)):
        match draw.choice(["Make", "Pay", "Close", "Keep"]) if accounts else "Make":
            case "Make":
                accounts.append(f"a{next(names)}")
                asked.append(act(host, "Account", accounts[-1], "Make", balance=draw.randint(0, 20)))
            case "Pay" if len(accounts) > 1:
                source, target = draw.sample(accounts, 2)
                asked.append(act(host, "Account", source, "Pay", to=target, amount=draw.randint(1, 9)))
            case "Keep":
                promise = f"p{next(names)}"
                asked.append(act(host, "Promise", promise, "Give", account=draw.choice(accounts)))
                asked.append(act(host, "Promise", promise, "Keep"))
            case _:
                asked.append(act(host, "Account", draw.choice(accounts), "Close"))
    return host.decide(asked, 1_000)


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_are_what_there_is(opened: Callable[[], PostgresStore], seed: int) -> None:
    store, draw, names = opened(), random.Random(seed), count()
    host = Host(compiled(BANK), store, ids=counted())
    accounts: list[str] = []
    for turn in range(12):
        decided = batch(host, draw, accounts, names)
        store.append(decided)
        host.adopt(decided)
        if turn % 4 == 3:
            # What is refused leaves nothing.
            with pytest.raises(Stale):
                store.append(batch(Host(compiled(BANK), _Blind(store), ids=counted()), draw, [], count()))
        assert store.counts() == there(store)
    for (kind, state), number in store.counts().items():
        assert store.count(kind, states=(state,)) == number
    assert store.count("Account") == len(accounts)


class _Blind:
    """A store that says that nobody is there."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def snapshot(self, *_: str) -> None:
        return None


def test_a_space_of_an_earlier_build_is_counted_once_it_is_opened(opened: Callable[[], PostgresStore]) -> None:
    store = opened()
    host = Host(compiled(BANK), store, ids=counted())

    def makes(*ids: str) -> None:
        decided = host.decide([act(host, "Account", id, "Make", balance=5) for id in ids], 1_000)
        store.append(decided)
        host.adopt(decided)

    makes("a", "b")
    in_database(
        store,
        "drop table counts",
        "drop function count_made() cascade",
        "drop function count_changed() cascade",
    )
    makes("c")
    later = opened()
    assert later.counts() == {("Account", "Open"): 3}
    makes("d")
    assert later.counts() == {("Account", "Open"): 4}
    opened()
    assert later.counts() == {("Account", "Open"): 4}


def test_a_count_looks_at_no_entity(opened: Callable[[], PostgresStore]) -> None:
    """However many there are: it goes on where nobody may look at them."""
    store = opened()
    host = Host(compiled(BANK), store, ids=counted())
    store.append(host.decide([act(host, "Account", f"a{n}", "Make", balance=n) for n in range(20)], 1_000))

    async def counted_meanwhile() -> int:
        other = await asyncpg.connect(store.url, server_settings={"search_path": store.schema})
        try:
            async with other.transaction():
                await other.execute("lock table entities in access exclusive mode")
                return await asyncio.wait_for(asyncio.to_thread(store.count, "Account", states=("Open",)), 20)
        finally:
            await other.close()

    assert asyncio.run(counted_meanwhile()) == 20
