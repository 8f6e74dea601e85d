"""What holds of every run, however it goes: laws over drawn sequences of asks, endings, time, restarts and swaps."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from temper.kernel import Batch, Codec, Discard, Done, Entry, MemoryStore, Retry, Store
from temper.runtime import SqliteStore
from temper.runtime.history import PostgresStill, SqliteStill, Still, audit
from temper.runtime.postgres import PostgresStore
from temper.table import Ending, Table, load
from tests.kernel.driving import MANY, Driver
from tests.kernel.shop import BOSS, CLERK, SHOP, compiled
from tests.kernel.test_swap import LARGER

TABLES = (SHOP, LARGER)
IDS = st.sampled_from(["1", "2", "3"])
UNITS = st.integers(1, 10)
AMOUNTS = st.sampled_from([Decimal(-1), Decimal(0), Decimal("2.50"), Decimal(7)])


def acting(entity: str, actions: list[str], **params: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw one of these actions of one of the entities."""
    return st.tuples(st.just("act"), st.just(entity), IDS, st.sampled_from(actions), st.fixed_dictionaries(params))


STEPS = st.one_of(
    acting("Shelf", ["Stock"], name=IDS, stock=UNITS),
    acting("Shelf", ["Take", "Refill"], units=UNITS),
    acting("Shelf", ["Close"]),
    acting("Purchase", ["Order"], number=IDS, amount=AMOUNTS, shelf=IDS),
    acting("Purchase", ["Pay", "Ship"]),
    acting("Purchase", ["Pay", "Ship"]),
    acting("Purchase", ["Reserve", "GiveBack"], units=UNITS),
    acting("Purchase", ["Tell"], other=IDS, text=IDS),
    st.tuples(st.just("turn")),
    st.tuples(st.just("turn")),
    st.tuples(st.just("wait"), st.sampled_from([1_000, 20_000, 4_000_000])),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(Ending), st.booleans()),
    st.tuples(st.just("end"), st.just(0), st.just(Ending.ANSWERED), st.just(False)),
    st.tuples(st.just("silence")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("fault")),
    st.tuples(st.just("swap")),
    st.tuples(st.just("operate"), st.integers(0, 5), st.sampled_from([Retry, Discard])),
)


def run(store: Store, steps: list[tuple[Any, ...]]) -> tuple[Driver, list[Done]]:
    """Take the steps; return what there is then, and every yes that was said."""
    driver = Driver(store=store)
    said: list[Done] = []
    number = 1
    # Without a beginning most draws would ask for what does not exist.
    for id in ("1", "2"):
        driver.act("Shelf", id, "Stock", name=id, stock=20)
        driver.act("Purchase", id, "Order", number=id, amount=Decimal(1), shelf="1")
    for step in steps:
        match step:
            case ("act", entity, id, action, params):
                answer = driver.act(entity, id, action, BOSS if action == "Close" else CLERK, **params)
                if isinstance(answer, Done) and answer.entry is not None:
                    said.append(answer)
            case ("turn",):
                driver.turn()
            case ("wait", ms):
                driver.wait(ms)
            case ("end", index, ending, retry) if driver.attempts:
                results = {"receipt": "r"} if ending is Ending.ANSWERED else {"kind": "k", "retry": retry}
                attempt = driver.attempts[-1 - index % len(driver.attempts)]
                if attempt.tool == "post.ship":
                    results.pop("receipt", None)
                driver.end(attempt, ending, **results)
            case ("silence",):
                # Whatever is under way times out, again and again.
                for _ in range(3):
                    for attempt in list(driver.attempts):
                        driver.end(attempt, Ending.UNKNOWN, kind="timeout")
                    driver.wait(20_000)
            case ("restart",):
                driver.restart()
            case ("fault",):
                # The store could not take it: nothing of the turn may be left behind.
                driver.host.abandon(driver.host.turn((), driver.at, driver.room))
            case ("operate", index, ask):
                there = [one for kind in driver.table.entities for one in orders(driver, kind)]
                if there:
                    driver.asks(ask(there[index % len(there)], BOSS))
            case ("swap",):
                if isinstance(driver.swap(compiled(TABLES[number % 2]), number + 1), Batch):
                    number += 1
            case _:
                pass
        driver.at += 1
    return driver, said


def orders(driver: Driver, kind: str) -> list[str]:
    """The orders that have not ended, and the letters, of entities of a kind: what an operator may lay hands on."""
    store = driver.store
    ids = [now.id for now in store.list(kind, limit=MANY).items]
    letters = [letter.order for letter in store.letters(limit=MANY) if letter.entity == kind]
    return [row.order for id in ids for row in store.orders_of(kind, id)] + letters


def must_pass(still: Still) -> None:
    """What an audit reads of orders, timers and all that is derived is what the host has written."""
    with still:
        assert audit(still).difference is None


def check_laws(driver: Driver, said: list[Done]) -> None:
    driver.move()  # Until then those whom no entry tells of are as the new table has them.
    entries = list(driver.store.entries(0, MANY))
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), "seqs are dense"
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries), "entries stand in time's order"

    # What was said stands in the journal as it was said.
    by_seq = {entry.seq: entry for entry in entries}
    assert all(done.entry == by_seq[done.entry.seq] for done in said if done.entry is not None)

    # State is the fold of the journal.
    folded = driver.folded()
    rows = [now for kind in driver.table.entities for now in driver.store.list(kind, limit=MANY).items]
    assert sorted(folded) == sorted((now.entity, now.id) for now in rows)
    codecs: dict[str, Codec] = {}
    for now in rows:
        was = folded[now.entity, now.id]
        assert (was.state, was.version, was.created_at, was.updated_at) == (
            now.state, now.version, now.created_at, now.updated_at,
        )  # fmt: skip
        last = [entry for entry in entries if (entry.entity, entry.id) == (now.entity, now.id) and entry.changes][-1]
        codec = codecs.setdefault(last.digest, Codec(table_of(driver, last)))
        fields = codec.fields(now.entity, now.fields)
        assert was.fields == {name: fields[name] for name in was.fields}
        # A final one is read with the fields that a later table gave it; everything else is told.
        assert set(fields) == set(was.fields) or not codec.is_live(now)
        assert driver.host.read(now.entity, now.id) == now, "the cache says what the store says"

    # Each call has one outcome, and after `unknown` one correction at most.
    ended = Counter((entry.ended.order, entry.ended.number) for entry in entries if entry.ended and not entry.refused)
    assert set(ended.values()) <= {1}
    ordered = [order.order for entry in entries for order in entry.orders if order.kind == "call"]
    assert len(ordered) == len(set(ordered))
    open_calls = {call.order for now in rows for call in now.calls if not call.ended}
    assert open_calls == {order for order in ordered if (order, 0) not in ended}
    assert all(driver.store.order(order) is not None for order in open_calls), "an open call is in the outbox"

    # Sends arrive once.
    arrived = Counter(entry.event for entry in entries if entry.cause.value == "send" and not entry.refused)
    assert set(arrived.values()) <= {1}


def table_of(driver: Driver, entry: Entry) -> Table:
    return load(next(version.table for version in driver.store.versions() if version.digest == entry.digest))


@pytest.mark.usefixtures("each_store")
class TestLaws:
    """On both stores, with the same draws."""

    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(st.lists(STEPS, min_size=15, max_size=40))
    def test_state_is_the_fold_of_the_journal_and_every_answer_is_in_it(self, steps: list[tuple[Any, ...]]) -> None:
        check_laws(*run(Driver.new_store(), steps))


@settings(max_examples=20)
@given(st.lists(STEPS, min_size=15, max_size=40))
def test_two_stores_keep_the_same(steps: list[tuple[Any, ...]]) -> None:
    """The same steps leave the same journal in memory and in a file."""
    one, _ = run(MemoryStore(), steps)
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "space.db")
        other, _ = run(store, steps)
        assert list(one.store.entries(0, MANY)) == list(other.store.entries(0, MANY))
        assert one.store.counts() == other.store.counts()
        # Of when something is due a file's store keeps a bound, which is never late. Opened again it has to look.
        wake = one.host.next_wake()
        early = other.host.next_wake()
        assert early == wake or (early is not None and (wake is None or early < wake))
        store.close()
        store = SqliteStore(Path(folder) / "space.db")
        assert (store.next_due(), store.next_order(())) == (one.store.next_due(), one.store.next_order(()))
        store.close()
        must_pass(SqliteStill(store.path))


# Nothing is made smaller when it fails: at a space and a second each that goes on until the run is ended.
@pytest.mark.parametrize("each_store", ["memory"], indirect=True)
@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=15, max_size=40))
def test_postgres_keeps_the_same(
    steps: list[tuple[Any, ...]], postgres_spaces: Callable[[], Callable[[], PostgresStore]]
) -> None:
    """The same steps leave the same journal in memory and in PostgreSQL, and the same laws hold of it."""
    one, _ = run(MemoryStore(), steps)
    store = postgres_spaces()()
    other, answers = run(store, steps)
    assert list(one.store.entries(0, MANY)) == list(other.store.entries(0, MANY))
    store.look_again()  # Of when something is due it keeps a bound.
    assert one.host.next_wake() == other.host.next_wake()
    assert one.store.counts() == other.store.counts()
    must_pass(PostgresStill(store.url, store.space))
    check_laws(other, answers)
    must_pass(PostgresStill(store.url, store.space))
    store.close()
