"""Tampering, planted: an audit finds each, and names where it begins."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from temper.kernel import StoreFault
from temper.runtime import SqliteStore
from temper.runtime.chain import GENESIS, chained
from temper.runtime.history import Anchor, Audited, PostgresStill, SqliteStill, audit
from temper.runtime.postgres import PostgresStore
from tests.kernel.driving import Driver
from tests.kernel.shop import BOSS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audited") / "space.db"
    store = SqliteStore(path)
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s2", "Stock", name="bolts", stock=6)
    driver.act("Shelf", "s1", "Take", units=2)
    driver.act("Shelf", "s1", "Take", units=9)  # refused
    driver.act("Shelf", "s9", "Stock", name="nuts", stock=1)  # refused, and nobody's
    driver.act("Shelf", "s1", "Refill", units=1)
    driver.act("Shelf", "s2", "Close", BOSS)
    driver.paying("p1")
    store.close()
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "space.db"))


def audited(path: Path, *anchors: str) -> Audited:
    with SqliteStill(path) as still:
        return audit(still, [Anchor.parse(each) for each in anchors])


def first(path: Path, *anchors: str) -> str:
    difference = audited(path, *anchors).difference
    assert difference is not None
    assert difference.help
    return difference.text


def tamper(path: Path, *statements: str) -> None:
    db = apsw.Connection(str(path))
    for statement in statements:
        db.execute(statement)
    assert db.changes() > 0, "what changes nothing is no tampering"
    db.close()


def rehash(path: Path) -> None:
    """Make the whole chain anew, as somebody who knows how it is made can."""
    db = apsw.Connection(str(path))
    head = GENESIS
    rows: Any = db.execute("select seq, body from log order by seq").fetchall()
    for seq, body in rows:
        head = chained(head, body)
        db.execute("update log set hash = ? where seq = ?", (head, seq))
    db.close()


def test_a_space_that_nobody_touched_passes(path: Path) -> None:
    found = audited(path)
    assert found.difference is None
    assert (found.entries, found.entities, found.versions) == (10, 4, 1)
    (head,) = found.heads
    assert head.seq == 10
    assert audited(path, f"{head.hash}@10").difference is None


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        # The log.
        ("update log set body = replace(cast(body as text), '\"units\":2', '\"units\":3') where seq = 3",
         "entry 3 is not what was written: its hash differs"),
        ("update log set hash = zeroblob(32) where seq = 6", "entry 6 is not what was written: its hash differs"),
        ("delete from log where seq = 4", "entry 4 is missing"),
        ("delete from log where seq = 1", "entry 1 is missing"),
        ("update log set entity = (select row from entities where id = 's2') where seq = 4",
         "entry 4 is of Shelf/s1, and stands in the history of Shelf/s2"),
        ("update log set entity = null where seq = 3", "entry 3 happened to Shelf/s1, and is in nobody's history"),
        ("update log set entity = 77 where seq = 7", "Shelf/s2 is kept in state `Closed`, and its entries say `Open`"),
        # Entities.
        ("update entities set body = replace(cast(body as text), '\"stock\":4', '\"stock\":400') where id = 's1'",
         "Shelf/s1.stock is kept as `400`, and its entries say `4`"),
        ("update entities set state = 'Open' where id = 's2'",
         "Shelf/s2 is kept listed in state `Open`, and its entries say `Closed`"),
        ("update entities set body = replace(cast(body as text), 'Closed', 'Open') where id = 's2'",
         "Shelf/s2 is kept in state `Open`, and its entries say `Closed`"),
        ("update entities set body = replace(cast(body as text), '\"version\":3', '\"version\":9') where id = 's1'",
         "Shelf/s1 is kept at version `9`, and its entries say `3`"),
        ("update entities set body = 'rubbish' where id = 's1'", "Shelf/s1 can't be read"),
        ("delete from entities where id = 's2'", "there are entries of an entity that is not there"),
        ("insert into entities select 99, kind, 'ghost', state, live, due, version, body from entities where id = 's1'",
         "Shelf/ghost is there, and no entry has created it"),
        # What is given for good.
        ("delete from keys where value like '%nuts%'", "the `key` of Shelf/s1 is not given to it"),
        ("update keys set row = (select row from entities where id = 's2') where value like '%nuts%'",
         "the `key` of Shelf/s1 is not given to it"),
        ("insert into keys values('Shelf', '[\"screws\"]', 1)",
         "a `key` or a `unique` is held by nobody who has its values"),
        ("delete from holds", "what is `unique` of Purchase/p1 is not held by it"),
        ("insert into holds values('Purchase', 0, '[\"other\"]', 1)",
         "a `key` or a `unique` is held by nobody who has its values"),
        # Versions.
        ("update versions set body = replace(cast(body as text), 'not that many', 'not so many')",
         "the table of version 1 is not the one that was pushed"),
        ("update versions set digest = 'x'", "the table of version 1 is not the one that was pushed"),
        ("update versions set number = 2", "version 1 is missing"),
        ("delete from versions", "entry 1 was decided by a table that is not there"),
    ],
)  # fmt: skip
def test_tampering_is_found_where_it_begins(path: Path, statement: str, says: str) -> None:
    tamper(path, statement)
    assert first(path).startswith(says)


def test_every_byte_of_an_entry_counts(path: Path) -> None:
    """Flipped one at a time in the file itself, below SQL: the entry whose byte it is, is named."""
    whole = path.read_bytes()
    body = b'{"at":1000,"entity":"Shelf","id":"s1","version":2'
    # A page that was split keeps what went elsewhere, in its free room.
    copies = [found.start() for found in re.finditer(re.escape(body), whole)]
    assert copies
    for place in range(0, 200, 9):
        flipped = bytearray(whole)
        for copy in copies:
            flipped[copy + place] ^= 1
        path.write_bytes(flipped)
        assert first(path) == "entry 3 is not what was written: its hash differs"


def test_a_log_that_was_cut_off_or_written_anew_passes_until_an_anchor_tells(path: Path) -> None:
    """Nothing in the file can tell: whoever may write to it may write all of it. A hash that is kept elsewhere can."""
    (head,) = audited(path).heads
    anchor = f"{head.hash}@{head.seq}"
    anew = path.with_name("anew.db")
    shutil.copy(path, anew)
    tamper(
        anew,
        "update log set body = cast(replace(cast(body as text), '\"stock\":4', '\"stock\":40') as blob) where seq = 6",
        "update entities set body = cast(replace(cast(body as text), '\"stock\":4', '\"stock\":40') as blob)"
        " where id = 's1'",
    )
    rehash(anew)
    assert audited(anew).difference is None
    assert first(anew, anchor) == "entry 10 is not the one that the anchor names: the log was written anew"
    short = path.with_name("short.db")
    shutil.copy(path, short)
    tamper(
        short,
        "delete from entities where kind in ('Purchase', 'Slip')",
        "delete from log where seq > 7",
        "delete from holds where row not in (select row from entities)",
        "delete from orders",
        "update populations set number = 0 where kind in ('Purchase', 'Slip')",
    )
    assert audited(short).difference is None
    assert first(short, anchor) == "entry 8 is missing: the log ends with 7, and an anchor names 10"


def test_anchors_of_long_ago_hold(path: Path) -> None:
    (head,) = audited(path).heads
    store = SqliteStore(path)
    driver = Driver(store=store, at=5_000)
    driver.ids = (f"new{n}" for n in range(9)).__next__
    driver.act("Shelf", "s1", "Refill", units=1)
    store.close()
    found = audited(path, f"{head.hash}@{head.seq}")
    assert (found.difference, found.entries) == (None, 11)


@pytest.mark.parametrize(
    "text", ["", "abc@1", "0" * 64, "0" * 64 + "@", "0" * 64 + "@x", "0" * 64 + "@1.x", "g" * 64 + "@1"]
)
def test_what_is_no_anchor_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no anchor"):
        Anchor.parse(text)


def test_an_anchor_is_read_as_it_is_written() -> None:
    for anchor in (Anchor(7, "ab" * 32), Anchor(7, "ab" * 32, 3)):
        assert Anchor.parse(str(anchor)) == anchor


def test_a_part_of_a_database_that_was_cut_off_is_found(postgres_space: Callable[[], PostgresStore]) -> None:
    """There each part knows its own end."""
    store = postgres_space()
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s1", "Take", units=9)
    with PostgresStill(store.url, store.space) as still:
        found = audit(still)
    assert (found.difference, found.entries, found.entities) == (None, 2, 1)
    store._line.rows("delete from log where seq = 2 returning seq")
    with PostgresStill(store.url, store.space) as still:
        cut = audit(still).difference
    assert cut is not None
    assert cut.text == "entry 2 is missing: the end of the log was cut off"
    store._line.rows("update log set body = replace(convert_from(body, 'utf8'), 'nuts', 'nits')::bytea returning seq")
    with PostgresStill(store.url, store.space) as still:
        changed = audit(still).difference
    assert changed is not None
    assert changed.text == "entry 1 is not what was written: its hash differs"


def test_an_audit_reads_beside_a_server(path: Path) -> None:
    """And is of one moment: what is appended meanwhile is not in it."""
    store = SqliteStore(path)
    driver = Driver(store=store, at=5_000)
    driver.ids = (f"new{n}" for n in range(9)).__next__
    with SqliteStill(path) as still:
        driver.act("Shelf", "s1", "Refill", units=1)
        assert audit(still).entries == 10
    assert audited(path).entries == 11
    store.close()


def test_a_damaged_page_is_no_difference_but_a_fault(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    size = int.from_bytes(whole[16:18], "big")
    for page in range(1, len(whole) // size):
        whole[page * size : page * size + 100] = b"\xff" * 100
    path.write_bytes(whole)
    with pytest.raises(StoreFault, match=re.escape(str(path))):
        audited(path)
