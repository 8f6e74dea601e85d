"""Files of earlier releases: opened, brought up to date, and acted on.

`golden/store_1.db` was written by the release whose format was 1, before anything here was; `store_2.db` and its export
`export_1.jsonl` when those formats were made. Never write them again: a changed format gets a file of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from temper.kernel import Done, OrderState, StoreFault, past, replay
from temper.runtime import SqliteStore
from temper.runtime.chain import GENESIS, chained
from temper.runtime.history import SqliteStill, audit, exported, imported, plant_file, plant_postgres
from temper.runtime.records import Line, to_line
from temper.table import Ending
from tests.kernel.driving import Driver
from tests.kernel.shop import SHOP, compiled
from tests.runtime.postgres import Server

GOLDEN = Path(__file__).parent / "golden"
# What the writer of the file had pushed second.
SECOND = compiled(SHOP.replace("reminders: int 0..3 = 0", "reminders: int 0..4 = 0"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the file of format 1."""
    path = tmp_path / "shop.db"
    shutil.copy(GOLDEN / "store_1.db", path)
    return path


def column(path: Path, sql: str) -> list[Any]:
    """Return what a statement finds in the file, first columns only."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = [row[0] for row in db.execute(sql)]
    db.close()
    return found


def test_a_store_of_format_1_opens_with_all_that_was_in_it(old: Path) -> None:
    entries = column(old, "select body from log order by seq")
    store = SqliteStore(old)
    assert store.last_seq() == len(entries) == 26
    assert [version.digest[:8] for version in store.versions()] == ["f1d6864f", "abccb084"]
    assert dict(store.counts()) == {
        ("Purchase", "Draft"): 2,
        ("Purchase", "Paid"): 1,
        ("Purchase", "Paying"): 2,
        ("Shelf", "Closed"): 1,
        ("Shelf", "Open"): 1,
        ("Slip", "Printed"): 5,
    }
    folded = replay(store.entries(0, 100))
    assert folded["Purchase", "p1"].fields["receipt"] == "r1"
    assert store.next_due() == 3_601_000
    assert [row.order for row in store.started()] == ["id11.1", "id15.1"]
    assert [row.order for row in store.sends(2_000, 10)] == ["id21.1"]
    assert [(letter.order, letter.text) for letter in store.letters(limit=9)] == [
        ("id18.1", "there is no Purchase `nowhere`")
    ]
    assert (store.by_key("Shelf", ["nuts"]), store.by_key("Shelf", ["bolts"])) == ("s1", "s2")
    assert store.holder("Purchase", 0, ["number-p4"]) == "p4"
    answered = store.answered("ann:k1")
    assert answered is not None
    assert (answered.fingerprint, answered.entry.seq) == ("f1", 1)
    dead = store.order("id18.1")
    assert dead is not None
    assert dead.state is OrderState.DEAD
    store.close()
    # Not a byte of what was stored has changed.
    assert column(old, "select body from log order by seq") == entries


def test_a_store_of_format_1_goes_on(old: Path) -> None:
    """Its calls end, its sends arrive, its timers fire, its keys are remembered, and its `key`s are taken."""
    store = SqliteStore(old)
    driver = Driver(SECOND, store, at=2_000)
    driver.ids = iter(f"new{n}" for n in range(1_000)).__next__
    driver.host = driver._host()
    again = driver.ask(
        replace(driver.request("Shelf", "s1", "Stock", name="nuts", stock=5), key="ann:k1", fingerprint="f1")
    )
    assert isinstance(again, Done)
    assert again.replayed
    driver.append(driver.host.recover(driver.at))
    driver.settle()
    (attempt, *_) = [each for each in driver.attempts if each.id == "p3"]
    driver.end(attempt, Ending.ANSWERED, receipt="r3")
    assert driver.read("Purchase", "p3").state == "Paid"
    stock = driver.read("Shelf", "s1").fields["stock"]
    driver.wait(2 * 3_600_000)
    assert driver.read("Purchase", "p5").fields["reminders"] == 1
    assert stock == 4
    named = driver.act("Shelf", "s9", "Stock", name="nuts", stock=1)
    assert not isinstance(named, Done)
    store.close()


def test_a_store_of_format_1_gets_its_hashes(old: Path) -> None:
    store = SqliteStore(old)
    Driver(SECOND, store, at=2_000).act("Shelf", "s1", "Refill", units=1)
    store.close()
    assert column(old, "select value from meta where name = 'format'") == [2]
    head = GENESIS
    wanted = [head := chained(head, body) for body in column(old, "select body from log order by seq")]
    assert column(old, "select hash from log order by seq") == wanted
    assert len(wanted) == 27


def test_a_migration_that_is_killed_leaves_the_file_as_it_was_and_is_done_again(old: Path) -> None:
    """The process dies after a first part of the log has its hashes."""
    script = """
import os, sys
from pathlib import Path
from temper.runtime import SqliteStore
from temper.runtime.sqlite import file

file._MIGRATED_AT_ONCE = 10
taken = file._unhashed
def unhashed(db, after):
    if after >= 20:
        os._exit(9)
    return taken(db, after)
file._unhashed = unhashed
SqliteStore(Path(sys.argv[1]))
"""
    died = subprocess.run([sys.executable, "-c", script, str(old)], check=False)
    assert died.returncode == 9
    assert column(old, "select value from meta where name = 'format'") == [1]
    assert "hash" not in column(old, "select name from pragma_table_info('log')")
    store = SqliteStore(old)
    assert store.last_seq() == 26
    store.close()
    assert all(column(old, "select length(hash) = 32 from log"))


EXPORT = (GOLDEN / "export_1.jsonl").read_bytes().splitlines(keepends=True)


def test_what_format_1_left_passes_an_audit(old: Path) -> None:
    """Once it has been opened: of its entries none is missing, and each entity is what they say."""
    SqliteStore(old).close()
    with SqliteStill(old) as still:
        found = audit(still)
    assert (found.difference, found.entries, found.entities, found.versions) == (None, 26, 12, 2)


def test_a_store_of_format_2_is_read_and_passes_an_audit(tmp_path: Path) -> None:
    path = Path(shutil.copy(GOLDEN / "store_2.db", tmp_path / "shop.db"))
    with SqliteStill(path) as still:
        found = audit(still)
        assert list(exported(still)) == EXPORT
    assert (found.difference, found.entries, found.heads[0].hash[:8]) == (None, 18, "70ee3931")
    store = SqliteStore(path)
    driver = Driver(SECOND, store, at=9_000)
    driver.ids = iter(f"new{n}" for n in range(1_000)).__next__
    driver.restart()
    driver.settle()
    assert driver.read("Shelf", "s1").fields["stock"] == 7
    was = past(store, "Shelf", "s1", at=1)
    assert was is not None
    assert was.fields == {"name": "nüts", "stock": 9}
    store.close()
    with SqliteStill(path) as still:
        assert audit(still).difference is None


@pytest.mark.parametrize("line", EXPORT, ids=[f"{number}" for number in range(1, len(EXPORT) + 1)])
def test_a_line_of_an_export_of_format_1_is_read_and_written_as_it_was(line: bytes) -> None:
    """One row, one line."""
    assert to_line(msgspec.json.decode(line, type=Line)) + b"\n" == line


def test_an_export_of_format_1_has_lines_of_every_kind() -> None:
    """So that the rows above mean something."""
    kinds = {type(line).__struct_config__.tag for line in imported(EXPORT)}
    assert kinds == {
        "space", "version", "entity", "entry", "mark", "key", "hold", "order", "answer", "letter", "stir", "end",
    }  # fmt: skip


def test_an_export_of_format_1_is_taken_in(tmp_path: Path, postgres: Server) -> None:
    plant_file(tmp_path / "shop.db", EXPORT)
    with SqliteStill(tmp_path / "shop.db") as still:
        assert list(exported(still)) == EXPORT
    done = plant_postgres(postgres.url, "golden_export", EXPORT)
    assert (done.blueprint, done.entries) == ("shop", 18)


@pytest.mark.parametrize(
    ("name", "statement", "says"),
    [
        ("store_2.db", "update meta set value = 5 where name = 'format'",
         "has format 5, and this Temper reads format 4: use the newer one"),
        ("store_1.db", "update meta set value = 0 where name = 'format'", "has format 0"),
    ],
)  # fmt: skip
def test_a_file_of_a_newer_format_is_left_alone(tmp_path: Path, name: str, statement: str, says: str) -> None:
    path = Path(shutil.copy(GOLDEN / name, tmp_path / "shop.db"))
    db = apsw.Connection(str(path))
    db.execute(statement)
    db.close()
    before = path.read_bytes()
    for opened in (SqliteStore, SqliteStill):
        with pytest.raises(StoreFault) as fault:
            opened(path)
        assert says in fault.value.text
    assert path.read_bytes() == before
