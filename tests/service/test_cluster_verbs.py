"""Workshops that share a PostgreSQL: what is done at one is so at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from temper.service import Declined, Elsewhere, Loaded, Person, SessionWanted, Settings, Workshop, wire
from temper.service.settings import PushSection, ServerSection
from tests.runtime.postgres import Server
from tests.runtime.test_shared import BANK

ADMIN = Person("root", admin=True)
TELLER = Person("teller", frozenset({"clerk"}))
PARTS = 6
_databases = count(1)

TIMED = """
blueprint timed

role clerk

entity Egg
  states Raw, Boiled, Late
  final Late
  action Boil by clerk from new to Raw
  action Done by system from Raw to Boiled
  action Spoil by system from Boiled to Late
  in Raw
    after 1500ms do Done
  in Boiled
    after 500ms do Spoil
"""


@dataclass
class Shops:
    """Makes workshops of one database."""

    folder: Path
    url: str
    stack: AsyncExitStack
    lease: str = "2s"

    async def open(self, name: str) -> Workshop:
        settings = Settings(
            server=ServerSection(
                data=name, store=self.url, url=f"http://{name}", lease=self.lease, partitions=PARTS, drain="1s"
            ),
            push=PushSection(levels=("scenarios",), allow_unknown=True),
        )
        shop = await Workshop.open(Loaded(settings, self.folder))
        self.stack.push_async_callback(shop.close)
        await shop.listening("")
        return shop

    async def two(self) -> tuple[Workshop, Workshop]:
        """Two, each with its share of the bank."""
        one = await self.open("one")
        await one.push(ADMIN, "bank", {"bank.blueprint": BANK})
        two = await self.open("two")
        await until(lambda: shares(one, two) == [PARTS // 2, PARTS // 2])
        return one, two


@pytest.fixture
async def shops(postgres: Server, tmp_path: Path) -> AsyncIterator[Shops]:
    name = f"shops{next(_databases)}"
    postgres.create(name)
    async with AsyncExitStack() as stack:
        yield Shops(tmp_path, postgres.url.replace("/postgres", f"/{name}"), stack)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - several servers come to it by themselves
            await asyncio.sleep(0.02)


def shares(*all: Workshop) -> list[int]:
    members = [shop._spaces["bank"].member for shop in all]
    return [len(member.database.leases.held) if member is not None else 0 for member in members]


async def account(shop: Workshop, balance: int = 10, **more: Any) -> str:
    made = await shop.create(TELLER, "bank", "Account", None, {"balance": balance}, **more)
    return made.entity.id


async def declined(asked: Awaitable[Any]) -> wire.Problem:
    with pytest.raises(Declined) as found:
        await asked
    return found.value.problem


@asynccontextmanager
async def elsewhere(shop: Workshop, url: str) -> AsyncIterator[None]:
    with pytest.raises(Elsewhere) as found:
        yield
    await shop.look_around()
    assert shop.server_of("bank", found.value) == url


async def test_each_server_decides_for_what_it_makes_and_says_who_decides_for_the_rest(shops: Shops) -> None:
    one, two = await shops.two()
    mine, theirs = await account(one), await account(two)
    async with elsewhere(one, "http://two"):
        await one.act(TELLER, "bank", "Account", theirs, "Close", {})
    async with elsewhere(two, "http://one"):
        await two.create(TELLER, "bank", "Account", None, {"id": mine, "balance": 3})
    # What a server decides may take another's entity along; whoever had the answer reads it everywhere.
    await one.act(TELLER, "bank", "Account", mine, "Pay", {"to": theirs, "amount": 4})
    for shop in (one, two):
        assert [(await shop.read(TELLER, "bank", "Account", id)).fields["balance"] for id in (mine, theirs)] == [6, 14]
        assert len(await shop.history(TELLER, "bank", "Account", theirs)) == 2
        assert (await shop.list(TELLER, "bank", "Account", count=True)).count == 2
    # What was kept in memory of it there is older: the next decision sees what is so.
    await two.act(TELLER, "bank", "Account", theirs, "Pay", {"to": mine, "amount": 14})
    stale = await declined(two.act(TELLER, "bank", "Account", theirs, "Pay", {"to": mine, "amount": 1}))
    assert (stale.type, stale.detail) == ("refused", "not enough")


async def test_a_version_that_was_read_elsewhere_is_no_stale_one(shops: Shops) -> None:
    one, two = await shops.two()
    mine, theirs = await account(one), await account(two)
    await two.act(TELLER, "bank", "Account", theirs, "Pay", {"to": mine, "amount": 1})
    seen = await two.read(TELLER, "bank", "Account", mine)
    assert seen.version == 2
    done = await one.act(TELLER, "bank", "Account", mine, "Close", {}, if_version=2)
    assert done.entity.version == 3
    with pytest.raises(Declined) as late:
        await one.act(TELLER, "bank", "Account", mine, "Close", {}, if_version=2)
    assert late.value.problem.type == "stale"


async def test_a_key_makes_one_entity_whichever_server_is_asked(shops: Shops) -> None:
    one, two = await shops.two()
    made = await asyncio.gather(*[account(shop, key="k") for shop in (one, two, one, two)])
    assert len(set(made)) == 1
    assert (await one.list(TELLER, "bank", "Account", count=True)).count == 1


async def test_a_push_at_one_takes_effect_at_all(shops: Shops) -> None:
    one, two = await shops.two()
    source, target = await account(one), await account(one)
    theirs = await account(two)
    stricter = BANK.replace('when amount <= balance else "not enough"', 'when amount < balance else "not all of it"')
    await two.push(ADMIN, "bank", {"bank.blueprint": stricter})
    # At once, although nobody has told the other: its append is refused, and it takes the newer table over.
    no = await declined(one.act(TELLER, "bank", "Account", source, "Pay", {"to": target, "amount": 10}))
    assert no.detail == "not all of it"
    await until(lambda: one.shape(ADMIN, "bank").version == 2)
    assert (await one.push(ADMIN, "bank", {"bank.blueprint": stricter})).unchanged
    pushed = await asyncio.gather(
        one.push(ADMIN, "bank", {"bank.blueprint": BANK}),
        two.push(ADMIN, "bank", {"bank.blueprint": stricter.replace("not all of it", "keep some")}),
    )
    assert sorted(each.version for each in pushed) == [3, 4]
    assert (await two.read(TELLER, "bank", "Account", theirs)).state == "Open"


async def test_a_blueprint_that_one_makes_is_found_by_all(shops: Shops) -> None:
    one, two = await shops.two()
    files = {"timed.blueprint": TIMED}
    first, second = await asyncio.gather(one.push(ADMIN, "timed", files), two.push(ADMIN, "timed", files))
    assert {first.version, second.version} == {1}
    assert sorted([first.unchanged, second.unchanged]) == [False, True]
    three = await shops.open("three")
    assert three.knows("timed")


async def test_what_happens_is_told_by_every_server_complete_and_in_order(shops: Shops) -> None:
    one, two = await shops.two()
    told: list[wire.HistoryEntry] = []

    async def follow(after: str | int) -> None:
        async for entry in two.watch(TELLER, "bank", after=after):
            told.append(entry)

    following = asyncio.create_task(follow(0))
    accounts = [await account(shop) for shop in (one, two) * 3]
    for n, id in enumerate(accounts):
        by = (one, two)[n % 2]
        await by.act(TELLER, "bank", "Account", id, "Pay", {"to": accounts[(n + 1) % 6], "amount": 1})
    await until(lambda: len(told) == 18 or following.done())
    assert len(told) == 18, (following, told)
    following.cancel()
    for id in accounts:
        assert [entry.version for entry in told if entry.id == id] == [1, 2, 3]
    # From any place on, at any server, come the others.
    middle = told[8].place
    rest, told = told[9:], []
    following = asyncio.create_task(follow(middle))
    await until(lambda: len(told) == len(rest))
    await asyncio.sleep(0.1)
    following.cancel()
    assert sorted((entry.id, entry.version) for entry in told) == sorted((entry.id, entry.version) for entry in rest)
    # Of one entity the number of an entry says enough.
    first = (await two.history(TELLER, "bank", "Account", accounts[2]))[0]
    of_one = two.watch(TELLER, "bank", "Account", accounts[2], after=first.seq)
    assert [(await anext(of_one)).version for _ in range(2)] == [2, 3]
    for wrong in ("p1.2", 7):
        problem = await declined(anext(two.watch(TELLER, "bank", after=wrong)))
        assert problem.errors[0].path == "after"


async def test_who_waits_at_one_hears_what_is_done_at_another(shops: Shops) -> None:
    one, two = await shops.two()
    mine = await account(one)
    waiting = asyncio.create_task(two.wait(TELLER, "bank", "Account", mine, "state is Closed", timeout_ms=10_000))
    await asyncio.sleep(0.05)
    await one.act(TELLER, "bank", "Account", mine, "Close", {})
    waited = await waiting
    assert waited.met
    assert not (await two.wait(TELLER, "bank", "Account", mine, "state is Open", timeout_ms=10)).met


async def test_who_goes_gives_everything_back_and_who_comes_gets_a_share(shops: Shops) -> None:
    one, two = await shops.two()
    mine = await account(one)
    await one.close()
    await two.look_around()
    await until(lambda: shares(two) == [PARTS])
    await two.act(TELLER, "bank", "Account", mine, "Close", {})
    three = await shops.open("three")
    four = await shops.open("four")
    await until(lambda: shares(two, three, four) == [2, 2, 2])


async def test_timers_follow_their_partition(shops: Shops) -> None:
    one, two = await shops.two()
    await one.push(ADMIN, "timed", {"timed.blueprint": TIMED})
    await two.look_around()
    eggs = [(await one.create(TELLER, "timed", "Egg", None, {})).entity.id for _ in range(4)]
    await one.close()
    for egg in eggs:
        waited = await two.wait(TELLER, "timed", "Egg", egg, "state is Late", timeout_ms=15_000)
        assert waited.met, waited


async def test_a_token_is_good_at_all_and_revoked_at_all(shops: Shops) -> None:
    one, two = await shops.two()
    assert one.first_token is not None
    assert two.first_token is None
    made = one.make_token(ADMIN, "ann", ("clerk",))
    assert two.authenticate(made.token).principal == "ann"
    bot = await two.start_session(two.authenticate(made.token), SessionWanted("bot"))
    assert one.authenticate(bot.token).acts_for == "ann"
    await one.revoke_token(ADMIN, made.info.id)
    with pytest.raises(Declined):
        two.authenticate(made.token)
    with pytest.raises(Declined):
        two.authenticate(bot.token)


async def test_a_store_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    for store, key in (
        ("{secret:NOT_THERE}", "server.store"),
        ("mysql://x", "server.store"),
        ("postgresql://temper@127.0.0.1:1/none", "server.store"),
    ):
        settings = Settings(server=ServerSection(store=store))
        with pytest.raises(Exception, match=key):
            await Workshop.open(Loaded(settings, tmp_path))


async def test_policies_that_one_pushes_are_asked_by_all(shops: Shops) -> None:
    """Who may act and who may read, through a reference into another server's share too."""
    one, two = await shops.two()
    mine, theirs = await account(one, 3), await account(two, 30)
    cedar = """
        @id("poor") forbid (principal, action == bank::Action::"Promise.Give", resource)
        when { context.params.account.balance < 10 };
        @id("rich") forbid (principal, action == bank::Action::"Account.read", resource)
        when { principal.agent && resource.balance >= 10 };
    """
    pushed = await one.push(ADMIN, "bank", {"bank.blueprint": BANK, "bank.cedar": cedar})
    await until(lambda: two.blueprints(TELLER)[0].number == pushed.version)
    agent = Person("bot", frozenset({"clerk"}), acts_for="teller")
    for shop in (one, two):
        assert (await declined(shop.create(TELLER, "bank", "Promise", None, {"account": mine}))).policies == ("poor",)
        assert (await shop.create(TELLER, "bank", "Promise", None, {"account": theirs})).after == "Given"
        assert [each.id for each in (await shop.list(agent, "bank", "Account")).items] == [mine]
        assert (await declined(shop.read(agent, "bank", "Account", theirs))).status == 404
        assert (await shop.read(TELLER, "bank", "Account", theirs)).id == theirs
