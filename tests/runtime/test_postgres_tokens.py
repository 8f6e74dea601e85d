"""Tokens in PostgreSQL: what one server makes, rotates or revokes is so at all, and made-up ones cost little."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import asyncpg
import pytest

from temper.kernel import StoreFault
from temper.runtime import ParentGone, PostgresTokens, TokenRow
from temper.runtime.postgres import Registry, tokens
from temper.runtime.postgres.registry import _TABLES
from temper.runtime.tokens import Secret
from tests.runtime.postgres import Server

_names = count(1)


class Clock:
    """Seconds that are moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def url(postgres: Server) -> str:
    """A database of the test's own."""
    name = f"tokens{next(_names)}"
    postgres.create(name)
    return postgres.url.replace("/postgres", f"/{name}")


@pytest.fixture
def two(url: str) -> Iterator[tuple[PostgresTokens, PostgresTokens]]:
    """The tokens as two servers have them, which say to nobody that they are there."""
    registries = [Registry(url), Registry(url)]
    one, other = (PostgresTokens(registry, clock=Clock()) for registry in registries)
    for each in (one, other):
        each.seen(each._registry.changes())
    yield one, other
    for registry in registries:
        registry.close()


Two = tuple[PostgresTokens, PostgresTokens]


def test_a_token_is_good_everywhere_the_moment_that_it_is_made(two: Two) -> None:
    one, other = two
    for number in range(20):
        text, row = one.make(f"p{number}", ("b", "a"), at=5, teams=("t",), attributes={"a": "1"}, scope=("helix",))
        assert other.find(text, at=6) == row
        assert one.find(text, at=6) == row


def test_what_is_made_up_costs_so_many_look_ups_and_no_more(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two
    asked: list[str] = []
    look = other._registry.token

    def looked(id: str) -> tuple[Secret, TokenRow] | None:
        asked.append(id)
        return look(id)

    monkeypatch.setattr(other._registry, "token", looked)
    for _ in range(5):
        assert other.find("temper_made-up_secret", at=6) is None
    assert asked == ["made-up"], "once it is known not to be there, it is not looked up again"
    for number in range(tokens.LOOKS_MAX - 1):
        assert other.find(f"temper_{number}_secret", at=6) is None
    text, _ = one.make("ann", (), at=5)
    with pytest.raises(StoreFault, match="too many tokens"):
        other.find(text, at=6)
    assert len(asked) == tokens.LOOKS_MAX
    clock = other._clock
    assert isinstance(clock, Clock)
    clock.now += 1.5 / tokens.LOOKS_PER_S
    assert other.find(text, at=6) is not None, "never 401 for one that is good"
    assert other.find("temper_1_secret", at=6) is None


def test_a_revocation_is_settled_when_all_who_are_there_have_seen_it(two: Two) -> None:
    one, other = two
    registry = other._registry
    text, row = one.make("ann", (), at=5)
    child, _ = one.make("ann#bot", (), at=5, parent=row.id, session="bot", expires_at=900)
    assert [other.find(each, at=6) is not None for each in (text, child)] == [True, True]
    registry.beat("other", "http://other", seconds=60, seen=other.known)
    one.revoke(row.id, at=7)
    assert one.find(text, at=8) is None
    assert other.find(text, at=8) is not None, "it has not heard yet"
    settled = threading.Event()

    def wait() -> None:
        one.settle(30)
        settled.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not settled.wait(0.2)
    assert other.seen(registry.changes())
    registry.saw("other", other.known)
    waiting.join(30)
    assert settled.is_set()
    assert [other.find(each, at=8) for each in (text, child)] == [None, None]


def test_nobody_waits_for_a_server_that_is_gone(two: Two) -> None:
    one, other = two
    other._registry.beat("other", "http://other", seconds=0, seen=other.known)
    _, row = one.make("ann", (), at=5)
    one.revoke(row.id, at=7)
    one.settle(0)
    assert one._registry.seen_by_all(one._registry.changes())


def test_a_server_that_hears_nothing_lets_nobody_in(url: str) -> None:
    registry, clock = Registry(url), Clock()
    tokens_ = PostgresTokens(registry, fresh_s=5, clock=clock)
    text, _ = tokens_.make("ann", (), at=5)
    clock.now += 5
    assert tokens_.find(text, at=6) is not None
    clock.now += 0.1
    with pytest.raises(StoreFault, match="not been heard of"):
        tokens_.find(text, at=6)
    assert tokens_.find(text + "x", at=6) is None
    tokens_.seen(registry.changes(), clock.now)
    assert tokens_.find(text, at=6) is not None
    registry.close()


def test_an_old_secret_is_good_until_its_grace_is_over(two: Two) -> None:
    one, other = two
    old, row = one.make("ann", (), at=5)
    rotated = one.rotate(row.id, at=10, grace_ms=100)
    assert rotated is not None
    other.seen(other._registry.changes())
    for each in (one, other):
        assert [each.find(text, at=109) is not None for text in (old, rotated[0])] == [True, True]
        assert [each.find(text, at=110) is not None for text in (old, rotated[0])] == [False, True]
    one.revoke(row.id, at=200)
    assert one.rotate(row.id, at=201) is None
    with pytest.raises(ParentGone):
        one.make("ann#late", (), at=202, parent=row.id, session="late", expires_at=900)


def test_sessions_are_counted_and_those_that_ended_long_ago_forgotten(two: Two) -> None:
    one, _ = two
    week = 7 * 86_400_000
    one.make("kept", (), at=5, expires_at=10)
    one.make("ann#a", (), at=5, session="a", acts_for="ann", expires_at=10)
    one.make("ann#b", (), at=5, session="b", acts_for="ann", expires_at=11 + week)
    assert one.sessions("ann", at=6) == 2
    assert one.sessions("ann", at=10) == 1
    one.make("ann#c", (), at=12 + week, session="c", acts_for="ann", expires_at=20 + week)
    assert sorted(row.principal for row in one.all()) == ["ann#b", "ann#c", "kept"]


def test_when_a_token_was_last_used_is_written_with_a_beat_and_at_most_once_a_minute(two: Two) -> None:
    one, other = two
    text, row = one.make("ann", (), at=5)
    clock = one._clock
    assert isinstance(clock, Clock)
    one.find(text, at=100)
    one.seen(one._registry.changes())
    assert other.get(row.id) == replace(row, used_at=100)
    one.find(text, at=200)
    clock.now += 59
    one.seen(one._registry.changes())
    assert other.get(row.id) == replace(row, used_at=100)
    clock.now += 1
    one.seen(one._registry.changes())
    assert other.get(row.id) == replace(row, used_at=200)
    one.find(text, at=300)
    one.close()
    assert other.get(row.id) == replace(row, used_at=300)


def test_a_database_of_format_1_becomes_one_of_format_2(url: str) -> None:
    async def make() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(_TABLES)
        await connection.execute(
            "insert into temper.tokens values"
            " ('a1', sha256('temper_a1_secret'), 'ann', '{operator}', true, 'eve', 5, 900, null)"
        )
        await connection.execute("insert into temper.servers values('s', 'http://s', now())")
        await connection.close()

    asyncio.run(make())
    registry = Registry(url)
    found = PostgresTokens(registry).find("temper_a1_secret", at=6)
    assert found is not None
    assert (found.principal, found.roles, found.admin, found.acts_for, found.expires_at) == (
        "ann", ("operator",), True, "eve", 900,
    )  # fmt: skip
    assert (found.teams, found.attributes, found.scope, found.read_only) == ((), {}, None, False)
    registry.close()
    Registry(url).close()
