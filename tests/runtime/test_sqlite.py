"""The file: whose it is, which format it has, and what a fault leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from temper.kernel import Batch, Change, Done, StoreFault
from temper.runtime import SqliteStore
from tests.kernel.driving import Driver
from tests.kernel.shop import SHOP, compiled, version


def test_one_process_has_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "space.db")
    script = """
import sys
from pathlib import Path
from temper.kernel import StoreFault
from temper.runtime import SqliteStore
try:
    SqliteStore(Path(sys.argv[1]))
except StoreFault as fault:
    print(fault.text)
"""
    run = [sys.executable, "-c", script, str(tmp_path / "space.db")]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"`{tmp_path / 'space.db'}` is in use by process {os.getpid()}: stop it")
    store.close()
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == ""


def test_a_lock_that_nobody_holds_is_in_nobodys_way(tmp_path: Path) -> None:
    """A process that was killed leaves its lock's file behind."""
    (tmp_path / "space.db.lock").write_text("4711\n")
    SqliteStore(tmp_path / "space.db").close()


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("update meta set value = 99", "has format 99, and this Temper reads format 4: use the newer one"),
        ("pragma application_id = 7", "is no space of Temper's"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, statement: str, says: str) -> None:
    path = tmp_path / "space.db"
    SqliteStore(path).close()
    db = apsw.Connection(str(path))
    db.execute(statement)
    db.close()
    with pytest.raises(StoreFault) as fault:
        SqliteStore(path)
    assert fault.value.text == f"`{path}` {says}"
    # Nor is it turned into ours.
    assert not (tmp_path / "space.db-wal").exists()
    # And it is let go of: mended, it opens.
    path.unlink()
    SqliteStore(path).close()


def test_somebody_elses_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "space.db"
    db = apsw.Connection(str(path))
    db.execute("create table theirs(x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreFault, match="is no space of Temper's"):
        SqliteStore(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database, and long enough to be taken for a page" * 100, b"short"])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "space.db"
    path.write_bytes(content)
    with pytest.raises(StoreFault):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_a_file_that_can_not_be_read_is_let_go(tmp_path: Path) -> None:
    """It can be put right, and opened again, while whoever tried is still being told."""
    path = tmp_path / "space.db"
    store = SqliteStore(path)
    Driver(store=store).act("Shelf", "s1", "Stock", name="nuts", stock=5)
    store.close()
    whole = bytearray(path.read_bytes())
    db = apsw.Connection(str(path))
    size, root = db.pragma("page_size"), db.execute("select rootpage from sqlite_schema where name = 'log'").get
    db.close()
    damaged = bytearray(whole)
    damaged[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(damaged)
    with pytest.raises(StoreFault, match="damaged") as told:
        SqliteStore(path)
    path.write_bytes(whole)
    store = SqliteStore(path)
    assert store.last_seq() == 1, told
    store.close()


def test_a_full_disk_refuses_the_batch_and_nothing_of_it_stays(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "space.db")
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    before = (store.last_seq(), list(store.entries(0, 10)), driver.read("Shelf", "s1"))
    # SQLite's own bound on the file stands for the disk's.
    pages = store._writer.execute("pragma page_count").get
    store._writer.execute(f"pragma max_page_count = {pages}")
    asks = [driver.request("Shelf", f"t{n}", "Stock", name="x" * 5_000 + str(n), stock=1) for n in range(20)]
    batch = driver.host.decide([driver.request("Shelf", "s1", "Take", units=1), *asks], driver.at)
    with pytest.raises(StoreFault, match="is full: make room, then ask again") as fault:
        store.append(batch)
    assert not fault.value.unknown
    driver.host.abandon(batch)
    assert (store.last_seq(), list(store.entries(0, 10)), driver.read("Shelf", "s1")) == before
    store._writer.execute("pragma max_page_count = 1000000")
    assert isinstance(driver.act("Shelf", "t1", "Stock", name="x" * 5_000, stock=1), Done)
    assert [entry.seq for entry in store.entries(0, 10)] == [1, 2]
    store.close()


def test_a_bug_in_the_middle_of_an_append_leaves_nothing(tmp_path: Path) -> None:
    """Whatever is raised, the file is as it was, and takes the next batch."""
    store = SqliteStore(tmp_path / "space.db")
    driver = Driver(store=store)
    good = driver.host.decide([driver.request("Shelf", "s1", "Stock", name="nuts", stock=5)], driver.at)
    with pytest.raises(AttributeError):
        store.append(Batch((*good.changes, Change(letters=("no letter",)))))  # type: ignore[arg-type]  # the bug
    assert store.last_seq() == 0
    assert store.snapshot("Shelf", "s1") is None
    driver.append(good)
    assert driver.read("Shelf", "s1") == store.snapshot("Shelf", "s1")
    store.close()


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    """While a batch is half written another thread reads what was there before it."""
    store = SqliteStore(tmp_path / "space.db")
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    store._writer.execute("begin immediate")
    store._writer.execute("update entities set state = 'Closed'")
    seen: list[str] = []

    def look() -> None:
        now = store.snapshot("Shelf", "s1")
        seen.append(now.state if now else "none")

    reader = threading.Thread(target=look)
    reader.start()
    reader.join(5)
    store._writer.execute("rollback")
    assert seen == ["Open"]
    store.close()


def test_the_file_alone_is_the_space_once_it_is_closed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "space.db")
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    store.close()
    copy = tmp_path / "copy.db"
    copy.write_bytes((tmp_path / "space.db").read_bytes())
    again = SqliteStore(copy)
    assert again.snapshot("Shelf", "s1") == driver.read("Shelf", "s1")
    again.close()


def test_an_append_that_returned_is_synced(tmp_path: Path) -> None:
    """`full`, in WAL mode: each commit is a sync of the log."""
    store = SqliteStore(tmp_path / "space.db")
    assert store._writer.execute("pragma journal_mode").get == "wal"
    assert store._writer.execute("pragma synchronous").get == 2
    store.append(Batch((Change(version=version(compiled(SHOP))),)))
    store.close()
