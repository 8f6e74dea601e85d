"""A space in PostgreSQL that several servers write to: leases, fences, what others changed, lost answers."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import asyncpg
import pytest

from temper.kernel import Batch, Change, Discard, Done, Host, Request, Stale, StoreFault, Superseded
from temper.runtime import found
from temper.runtime.postgres import Lost, PostgresStore
from temper.table import Act, Table
from tests.kernel.driving import Driver
from tests.kernel.shop import CLERK, compiled, counted, version
from tests.runtime.postgres import Server
from tests.runtime.test_shared import BANK

_names = count(1)
PARTS = 4
Opens = Callable[..., PostgresStore]


@pytest.fixture
def opens(postgres: Server) -> Iterator[Opens]:
    """Opens one and the same space of four partitions, each time as another server."""
    name = f"bank{next(_names)}"
    opened: list[PostgresStore] = []

    def new(server: str, *parts: int, url: str | None = None, seconds: float = 3_600) -> PostgresStore:
        store = PostgresStore(url or postgres.url, name, server=server, parts=PARTS)
        opened.append(store)
        assert list(store.leases.take(parts, seconds=seconds)) == list(parts)
        if store.current() is None:
            found(store, version(compiled(BANK)))
        return store

    yield new
    for store in opened:
        store.close()


def host(store: PostgresStore, table: Table | None = None) -> Host:
    return Host(table or compiled(BANK), store, ids=counted())


def act(by: Host, entity: str, id: str, action: str, **params: Any) -> Request:
    return Request(Act(by.ids(), 1_000, action, params, CLERK, entity, id), entity, id)


def does(by: Host, entity: str, id: str, action: str, **params: Any) -> Batch:
    batch = by.decide([act(by, entity, id, action, **params)], 1_000)
    assert isinstance(batch.answers[0], Done), batch.answers
    by.store.append(batch)
    by.adopt(batch)
    return batch


def of_part(store: PostgresStore, part: int, kind: str = "Account") -> str:
    """Return an id that falls into the partition."""
    return next(f"a{n}" for n in count() if store.part(kind, f"a{n}") == part)


def test_a_partition_is_leased_by_one_at_a_time(opens: Opens) -> None:
    one, two = opens("one", 0, 1), opens("two", 2)
    assert list(two.leases.take([0, 1, 2, 3], seconds=3_600)) == [2, 3]
    one.leases.release([1])
    assert list(two.leases.take([0, 1], seconds=3_600)) == [1]
    assert (sorted(one.leases.held), sorted(two.leases.held)) == ([0], [1, 2, 3])


def test_who_has_lost_its_lease_writes_nothing(opens: Opens) -> None:
    """Whether it knows or not: a server that was frozen past its lease, and one that asks first."""
    one = opens("one", 0, 1, 2, 3, seconds=0)
    first = host(one)
    id = of_part(one, 2)
    does(first, "Account", id, "Make", balance=5)
    two = opens("two", 2)
    asleep = first.decide([act(first, "Account", id, "Close")], 1_000)
    with pytest.raises(Lost):
        one.append(asleep)
    assert list(one.leases.renew(seconds=3_600)) == [2]
    with pytest.raises(Lost):
        one.append(asleep)
    does(host(two), "Account", id, "Close")
    entries = [entry for part in range(PARTS) for entry in two.entries(0, 100, part=part)]
    assert [entry.action for entry in entries] == ["Make", "Close"]


def test_who_has_lost_its_lease_gives_up_no_send(postgres: Server) -> None:
    """Another carries it out by then: nobody's history may say that it was discarded."""
    name = f"bank{next(_names)}"
    one, two = (PostgresStore(postgres.url, name, server=server, parts=PARTS) for server in ("one", "two"))
    try:
        one.leases.take(range(PARTS), seconds=0)
        driver = Driver(store=one)
        driver.purchase("p1", shelf="s1")
        driver.act("Purchase", "p1", "Reserve", units=1)
        (send,) = one.orders_of("Purchase", "p1")
        asleep = driver.host.decide([Discard(send.order)], 1_000)
        there = one.part("Shelf", "s1")
        assert list(two.leases.take([there], seconds=3_600)) == [there]
        with pytest.raises(Lost):
            one.append(asleep)
        assert [row.order for row in two.orders_of("Purchase", "p1")] == [send.order]
        assert all(entry.how != "discarded" for entry in two.history("Purchase", "p1", limit=100))
    finally:
        one.close()
        two.close()


def test_an_action_takes_along_what_another_server_decides_for(opens: Opens) -> None:
    """Each reads and writes the other's; each partition has its own numbers, without a gap."""
    one, two = opens("one", 0, 1), opens("two", 2, 3)
    hosts = host(one), host(two)
    mine, theirs = of_part(one, 0), of_part(one, 2)
    does(hosts[0], "Account", mine, "Make", balance=20)
    does(hosts[1], "Account", theirs, "Make", balance=20)
    for turn in range(10):
        here, other = (mine, theirs) if turn % 2 == 0 else (theirs, mine)
        by = hosts[turn % 2]
        try:
            does(by, "Account", here, "Pay", to=other, amount=turn + 1)
        except Stale as stale:
            by.forget(stale.names)
            does(by, "Account", here, "Pay", to=other, amount=turn + 1)
    balances = [hosts[1].read("Account", id) for id in (mine, theirs)]
    assert [now.fields["balance"] for now in balances if now] == [25, 15]
    for part in (0, 2):
        assert [entry.seq for entry in two.entries(0, 100, part=part)] == list(range(1, 12))
        assert one.last_seq(part=part) == 11


def test_who_decides_by_an_older_table_is_told_of_the_newer(opens: Opens) -> None:
    one, two = opens("one", 0, 1), opens("two", 2, 3)
    first, second = host(one), host(two)
    newer = compiled(BANK.replace("amount <= balance", "amount < balance"))
    swap = first.swap(newer, version(newer, 2), 1_000)
    assert isinstance(swap, Batch)
    one.append(swap)
    first.adopt(swap)
    late = second.decide([act(second, "Account", of_part(two, 3), "Make", balance=1)], 1_000)
    with pytest.raises(Superseded):
        two.append(late)


class Cable:
    """What stands between a store and its database: it can be cut on the way there, or on the way back."""

    def __init__(self, port: int) -> None:
        self.cut: str | None = None
        self.through = 0
        """How much of what is cut still comes through."""
        self.dead = False
        """Whether nothing comes through any more, and nobody is told so."""
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with_shutdown(self._listener)  # Who waits there for another connection is woken.
        self._threads[0].join()
        for one in self._open:
            with_shutdown(one)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._open += [near, far]
            for way in ((near, far, "there"), (far, near, "back")):
                self._threads.append(threading.Thread(target=self._pump, args=way, daemon=True))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        try:
            while data := source.recv(65_536):
                if self.dead:
                    continue
                if self.cut == way and (way == "back" or b"append" in data or len(data) > 200):
                    self.cut = None
                    target.sendall(data[: self.through])
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            with_shutdown(one)


def with_shutdown(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        one.close()


@pytest.mark.parametrize(
    ("way", "through", "done"),
    [
        ("back", 0, True),
        ("back", 7, True),
        ("there", 0, False),
        ("there", 1, False),
        ("there", 600, False),
    ],
)
def test_an_answer_that_is_lost_is_looked_for(
    opens: Opens, postgres: Server, way: str, through: int, done: bool
) -> None:
    """Cut on the way back it was done, and counts; cut on the way there it is decided again. Never twice."""
    cable = Cable(postgres.port)
    try:
        url = postgres.url.replace(str(postgres.port), str(cable.port))
        store = opens("one", 0, 1, 2, 3, url=url)
        first = host(store)
        id = of_part(store, 1)
        does(first, "Account", id, "Make", balance=5)
        batch = first.decide([act(first, "Account", id, "Close")], 1_000)
        cable.through, cable.cut = through, way
        if done:
            store.append(batch)
            assert batch.changes[0].entries[0].seq == 2
        else:
            with pytest.raises(Stale):
                store.append(batch)
            first.abandon(batch)
            does(first, "Account", id, "Close")
        assert [entry.action for entry in store.entries(0, 9, part=1)] == ["Make", "Close"]
        assert store.append(Batch(())) >= 0
    finally:
        cable.close()


def test_a_backend_that_is_ended_while_an_append_waits_is_found_out(opens: Opens, postgres: Server) -> None:
    """It waits for a partition that is locked; its backend is ended, and what it was about is decided again, once."""
    store = opens("one", 0, 1, 2, 3)
    first = host(store)
    id = of_part(store, 1)
    does(first, "Account", id, "Make", balance=5)

    async def hold_and_end() -> None:
        other = await asyncpg.connect(postgres.url, server_settings={"search_path": store.schema})
        async with other.transaction():
            await other.execute("select from partitions where part = 1 for update")
            held.set()
            async with asyncio.timeout(20):
                while not await other.fetchval(  # noqa: ASYNC110 - until the database says that it waits
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where query like 'select append%' and wait_event_type = 'Lock' limit 1"
                ):
                    await asyncio.sleep(0.01)
        await other.close()

    held = threading.Event()
    ending = threading.Thread(target=lambda: asyncio.run(hold_and_end()))
    ending.start()
    assert held.wait(20)
    batch = first.decide([act(first, "Account", id, "Close")], 1_000)
    with pytest.raises(Stale):
        store.append(batch)
    ending.join()
    first.abandon(batch)
    does(first, "Account", id, "Close")
    assert [entry.action for entry in store.entries(0, 9, part=1)] == ["Make", "Close"]


def test_nobody_appends_between_the_examination_and_the_commit_of_a_swap(opens: Opens) -> None:
    one, two = opens("one", 0, 1), opens("two", 2, 3)
    second = host(two)
    batch = second.decide([act(second, "Account", of_part(two, 3), "Make", balance=1)], 1_000)
    late: list[object] = []

    def append() -> None:
        try:
            late.append(two.append(batch))
        except Superseded as superseded:
            late.append(superseded)

    appending = threading.Thread(target=append)
    newer = compiled(BANK.replace("amount <= balance", "amount < balance"))
    with one.exclusive():
        appending.start()
        appending.join(0.3)
        assert not late
        one.append(Batch((Change(version=version(newer, 2)),)))
    appending.join(20)
    assert isinstance(late[0], Superseded)
    # And a version that another was put in force before is none.
    with pytest.raises(Superseded):
        two.append(Batch((Change(version=version(newer, 2)),)))


@pytest.mark.parametrize("dead", [False, True])
def test_who_waits_for_an_answer_when_the_store_is_closed_is_told(
    opens: Opens, postgres: Server, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    """Whatever it waits for, a lock or a database that nothing is heard of: nobody is left waiting."""
    monkeypatch.setattr("temper.runtime.postgres.line._CLOSE_S", 0.1)
    cable = Cable(postgres.port)
    try:
        store = opens("one", 0, 1, 2, 3, url=postgres.url.replace(str(postgres.port), str(cable.port)))
        store.listen(lambda *_: None)
        first, second = host(store), opens("two")
        id = of_part(store, 1)
        does(first, "Account", id, "Make", balance=5)
        batch = first.decide([act(first, "Account", id, "Close")], 1_000)
        told: list[StoreFault] = []

        def waits(ask: Callable[[], object]) -> None:
            try:
                ask()
            except StoreFault as fault:
                told.append(fault)

        with second.exclusive():  # Who appends waits for it.
            waiting = [threading.Thread(target=waits, args=(lambda: store.append(batch),), daemon=True)]
            waiting[0].start()
            until = time.monotonic() + 20
            while not second._line.one("select count(*) from pg_locks where locktype = 'advisory' and not granted"):
                assert time.monotonic() < until
            cable.dead = dead
            if dead:
                waiting.append(threading.Thread(target=waits, args=(store.last_seqs,), daemon=True))
                waiting[1].start()
            store.close()
            for thread in waiting:
                thread.join(20)
                assert not thread.is_alive()
    finally:
        cable.close()
    assert len(told) == len(waiting)
    assert any(fault.unknown for fault in told), "an append that was sent may have been done"
    with pytest.raises(StoreFault, match="is closed"):
        store.last_seqs()


def test_a_database_that_is_not_there_says_so() -> None:
    with pytest.raises(StoreFault) as problem:
        PostgresStore("postgresql://temper@127.0.0.1:1/postgres", "space")
    assert "PostgreSQL could not take it" in problem.value.text
