"""A space exported, and taken in again: into a file and into PostgreSQL, whole or not at all."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from temper.kernel import Batch, Change, Done, Entry, Stir, Store, StoreFault
from temper.runtime import SqliteStore
from temper.runtime.history import (
    PostgresStill,
    SqliteStill,
    Still,
    audit,
    exported,
    plant_file,
    plant_postgres,
)
from temper.runtime.postgres import PostgresStore
from temper.table import Caller, Ending, Hop
from tests.kernel.driving import MANY, Driver
from tests.kernel.shop import BOSS, SHOP, compiled
from tests.runtime.postgres import Server

GOLDEN = Path(__file__).parent / "golden"
_names = count(1)
SECOND = compiled(SHOP.replace("reminders: int 0..3 = 0", "reminders: int 0..4 = 0"))


def lively(store: Store) -> Driver:
    """A space with something of everything: what waits, what is dead, what is final, and two versions."""
    driver = Driver(store=store)
    driver.ask(replace(driver.request("Shelf", "s1", "Stock", name="nüts", stock=9), key="ann:k", fingerprint="f"))
    driver.act("Shelf", "s2", "Stock", name="bolts", stock=1)
    driver.act("Shelf", "s2", "Close", BOSS)
    driver.act("Shelf", "s1", "Close")  # refused
    driver.act("Shelf", "s3", "Stock", name="nüts", stock=1)  # refused, and nobody's
    driver.end(driver.paying("p1"), Ending.ANSWERED, receipt="r1")
    driver.paying("p2")
    driver.purchase("p3", shelf="s1")
    driver.act("Purchase", "p3", "Tell", other="nobody", text="hi")
    driver.settle()
    driver.swap(SECOND, 2)
    order = driver.request("Purchase", "p4", "Order", number="n4", amount=Decimal("2.50"))
    driver.ask(replace(order, key="ann:k4", fingerprint="g"))
    driver.act("Purchase", "p3", "Reserve", units=2)
    path = (Hop("Purchase", "shelf", False),)
    driver.store.append(Batch((Change(stirs=(Stir("Purchase", "Shelf", "s1", path, Caller("ann", frozenset())),)),)))
    for number in range(600):
        driver.asks(driver.request("Shelf", "s1", "Take", units=1), driver.request("Shelf", "s1", "Refill", units=1))
        driver.at += number % 3
    return driver


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a lively space, closed; it is copied for whoever asks."""
    path = tmp_path_factory.mktemp("origin") / "origin.db"
    store = SqliteStore(path)
    lively(store)
    store.close()
    return path


@pytest.fixture
def origin(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "origin.db"))


@pytest.fixture
def free_name() -> Callable[[], str]:
    """Gives names of spaces that are not there."""
    return lambda: f"h{next(_names)}"


def stream(still: Still) -> bytes:
    with still:
        return b"".join(exported(still))


def lines(written: bytes) -> list[Any]:
    return [json.loads(line) for line in written.splitlines()]


def test_a_file_taken_in_again_is_the_same(origin: Path, tmp_path: Path) -> None:
    written = stream(SqliteStill(origin))
    done = plant_file(tmp_path / "again.db", io.BytesIO(written))
    assert stream(SqliteStill(tmp_path / "again.db")) == written
    assert {each["is"] for each in lines(written)} == {
        "space", "version", "entity", "entry", "mark", "key", "hold", "order", "answer", "letter", "stir", "end",
    }  # fmt: skip
    assert (done.blueprint, done.entries) == ("shop", lines(written)[-1]["heads"][0]["seq"])


def test_from_a_file_to_postgresql_and_back_it_is_the_same(
    origin: Path, tmp_path: Path, postgres: Server, free_name: Callable[[], str]
) -> None:
    written = stream(SqliteStill(origin))
    space = free_name()
    plant_postgres(postgres.url, space, io.BytesIO(written))
    there = stream(PostgresStill(postgres.url, space))
    assert there == written
    plant_file(tmp_path / "back.db", io.BytesIO(there))
    assert stream(SqliteStill(tmp_path / "back.db")) == written


def test_what_was_taken_in_goes_on(
    origin: Path, tmp_path: Path, postgres: Server, free_name: Callable[[], str]
) -> None:
    """Its calls end, its sends arrive, its keys are known, its hashes follow: as the origin's do."""
    written = stream(SqliteStill(origin))
    plant_file(tmp_path / "file.db", io.BytesIO(written))
    space = free_name()
    plant_postgres(postgres.url, space, io.BytesIO(written))
    base = PostgresStore(postgres.url, space)
    base.leases.take(range(base.parts), seconds=3_600)
    for store in (SqliteStore(origin), SqliteStore(tmp_path / "file.db"), base):
        driver = Driver(SECOND, store, at=9_000)
        driver.ids = (f"new{n}" for n in range(1_000)).__next__
        driver.restart()
        assert driver.read("Shelf", "s1").fields["stock"] == 9
        driver.settle()
        assert driver.read("Shelf", "s1").fields["stock"] == 7
        again = driver.request("Purchase", "p4", "Order", number="n4", amount=Decimal("2.50"))
        answer = driver.ask(replace(again, key="ann:k4", fingerprint="g"))
        assert isinstance(answer, Done)
        assert (answer.replayed, [entry.entity for entry in answer.entries]) == (True, ["Slip"])
        assert not isinstance(driver.act("Shelf", "s9", "Stock", name="bolts", stock=3), Done)
        (attempt,) = driver.attempts
        driver.end(attempt, Ending.ANSWERED, receipt="r2")
        driver.wait(3_600_000)
        assert driver.read("Purchase", "p3").fields["reminders"] == 1
        created = driver.act("Shelf", "s10", "Stock", name="new", stock=3)
        assert isinstance(created, Done)
        assert store.list("Shelf", limit=9).items[-1].id == "s10"
        store.close()
    for still in (SqliteStill(origin), SqliteStill(tmp_path / "file.db"), PostgresStill(postgres.url, space)):
        with still:
            assert audit(still).difference is None
    # Rows are places in an order; PostgreSQL leaves some out.
    logs = [
        [{**each, "row": 0} for each in lines(stream(still)) if each["is"] in {"entry", "entity", "order", "answer"}]
        for still in (SqliteStill(origin), SqliteStill(tmp_path / "file.db"), PostgresStill(postgres.url, space))
    ]
    assert logs[0] == logs[1] == logs[2]


def test_a_log_of_another_number_of_parts_is_chained_anew(
    origin: Path, tmp_path: Path, postgres: Server, free_name: Callable[[], str]
) -> None:
    """Each entity keeps its history and its answers; numbers are others, and each part is dense."""
    written = stream(SqliteStill(origin))
    space = free_name()
    plant_postgres(postgres.url, space, io.BytesIO(written), parts=4)
    with PostgresStill(postgres.url, space) as still:
        found = audit(still)
    assert found.difference is None
    assert len(found.heads) == 4
    parted = stream(PostgresStill(postgres.url, space))
    plant_file(tmp_path / "one.db", io.BytesIO(parted))
    with SqliteStill(tmp_path / "one.db") as one:
        assert audit(one).difference is None
    before, after = SqliteStore(origin), SqliteStore(tmp_path / "one.db")
    for now in before.list("Purchase", limit=99).items + before.list("Shelf", limit=99).items:
        assert after.snapshot(now.entity, now.id) == now
        histories = [store.history(now.entity, now.id, limit=MANY) for store in (before, after)]
        assert [unnumbered(entry) for entry in histories[0]] == [unnumbered(entry) for entry in histories[1]]
        marked = after.landmark(now.entity, now.id, until=MANY)
        if before.landmark(now.entity, now.id, until=MANY) is not None:
            assert marked is not None
            assert marked[0] in [entry.seq for entry in histories[1]]
    kept = after.answered("ann:k4")
    assert kept is not None
    assert (kept.entry.id, kept.entry.action) == ("p4", "Order")
    before.close()
    after.close()


def unnumbered(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, seq=0)


def test_an_export_is_of_one_moment(origin: Path) -> None:
    """While lines are given out others are appended: they are not in it."""
    store = SqliteStore(origin)
    driver = Driver(SECOND, store, at=9_000)
    driver.ids = (f"new{n}" for n in range(1_000)).__next__
    last = store.last_seq()
    with SqliteStill(origin) as still:
        written = [next(giving := exported(still))]
        for line in giving:
            if len(written) % 100 == 0:
                driver.act("Shelf", "s1", "Refill", units=1)
            written.append(line)
        assert audit(still).entries == last
    assert store.last_seq() > last
    assert lines(b"".join(written))[-1]["heads"][0]["seq"] == last
    store.close()


def cut(written: bytes) -> bytes:
    return b"".join(written.splitlines(keepends=True)[:-1])


def swapped(written: bytes) -> bytes:
    all_lines = written.splitlines(keepends=True)
    place = next(n for n, line in enumerate(all_lines) if line.startswith(b'{"is":"entry"'))
    all_lines[place], all_lines[place + 1] = all_lines[place + 1], all_lines[place]
    return b"".join(all_lines)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (cut, "the stream is cut off after"),
        (lambda written: written[: len(written) // 2], "can't be read"),
        (lambda written: written.replace(b'"receipt":"r1"', b'"receipt":"r9"'), "is not what was exported"),
        (lambda written: written.replace(b'"n4"', b'"n5"', 1), "is not what was exported"),
        (lambda written: written.replace(b'"stock":9', b'"stock":8', 1), "is not what was exported"),
        (swapped, "is not what was exported: its hash differs"),
        (lambda written: written.replace(b'"format":1', b'"format":2', 1), "has format 2, and this"),
        (lambda written: written + written, "comes after the end"),
        (lambda written: b"", "the stream is cut off after 0 lines"),
        (lambda written: b'{"some":"thing"}\n', "this is no exported space"),
        (lambda written: b"PK\x03\x04 not a line at all\n", "this is no exported space"),
    ],
)  # fmt: skip
def test_a_stream_that_is_not_whole_leaves_nothing(
    origin: Path, tmp_path: Path, postgres: Server, free_name: Callable[[], str],
    broken: Callable[[bytes], bytes], says: str,
) -> None:  # fmt: skip
    written = broken(stream(SqliteStill(origin)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreFault) as fault:
        plant_file(tmp_path / "new.db", io.BytesIO(written))
    assert says in fault.value.text
    assert sorted(tmp_path.iterdir()) == before
    space = free_name()
    with pytest.raises(StoreFault) as fault:
        plant_postgres(postgres.url, space, io.BytesIO(written))
    assert says in fault.value.text
    with pytest.raises(StoreFault, match="there is no space"):
        PostgresStill(postgres.url, space)


def test_nothing_is_taken_in_where_something_is(
    origin: Path, tmp_path: Path, postgres: Server, free_name: Callable[[], str]
) -> None:
    written = stream(SqliteStill(origin))
    before = origin.read_bytes()
    with pytest.raises(StoreFault, match="is there already"):
        plant_file(origin, io.BytesIO(written))
    assert origin.read_bytes() == before
    space = free_name()
    plant_postgres(postgres.url, space, io.BytesIO(written))
    with pytest.raises(StoreFault, match="is there already"):
        plant_postgres(postgres.url, space, io.BytesIO(written))


def test_a_file_of_format_1_says_what_to_do(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "store_1.db", tmp_path / "old.db")
    with pytest.raises(StoreFault, match="serve it once with this Temper"):
        SqliteStill(tmp_path / "old.db")


KILLED = """
import os, sys
from pathlib import Path
from temper.runtime.history import plant_file, plant_postgres, planting

after, taken = int(sys.argv[1]), [0]
for ground in (planting._File, planting._Database):
    def write(self, lines, real=ground.write):
        taken[0] += 1
        if taken[0] > after:
            os._exit(9)
        real(self, lines)
    ground.write = write
with open(sys.argv[2], "rb") as source:
    if len(sys.argv) == 4:
        plant_file(Path(sys.argv[3]), source)
    else:
        plant_postgres(sys.argv[3], sys.argv[4], source)
os._exit(0)
"""


def test_taking_in_that_is_killed_leaves_nothing_and_is_done_again(
    origin: Path, tmp_path: Path, postgres: Server, free_name: Callable[[], str]
) -> None:
    """At several places on the way. What a file has left has a name that nothing opens, and the next one takes it."""
    written = tmp_path / "written.jsonl"
    written.write_bytes(stream(SqliteStill(origin)))
    space, path = free_name(), tmp_path / "new.db"
    for after in (0, 1, 3, 8):
        for where in ([str(path)], [postgres.url, space]):
            command = [sys.executable, "-c", KILLED, str(after), str(written), *where]
            assert subprocess.run(command, check=False).returncode == 9
        assert not path.exists()
        with pytest.raises(StoreFault, match="there is no space"):
            PostgresStill(postgres.url, space)
    for where in ([str(path)], [postgres.url, space]):
        command = [sys.executable, "-c", KILLED, "99", str(written), *where]
        assert subprocess.run(command, check=False).returncode == 0
    assert stream(SqliteStill(path)) == written.read_bytes() == stream(PostgresStill(postgres.url, space))
    assert not list(tmp_path.glob("*.importing*"))
