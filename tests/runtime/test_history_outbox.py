"""Every table of a file, tampered with: an audit names the table and the row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from temper.kernel import Discard
from temper.runtime import SqliteStore
from temper.runtime.history import Difference, PostgresStill, SqliteStill, audit
from temper.runtime.postgres import PostgresStore
from temper.table import Ending
from tests.kernel.driving import Driver
from tests.kernel.shop import BOSS, SHOP, compiled

# Timers of every kind, a group's among them, a `whenever`, and what is deferred.
CLOCKS = compiled(
    SHOP.replace("  late Charged, Declined, Unsure ignore\n", "  late Unsure ignore\n")
    + """
entity Clock
  states Idle, Ready, Going, Stopped
  final Stopped
  group On = Ready, Going
  wait: duration
  until: time?
  shelf: Shelf?
  ticks: int 0..9 = 0

  action Make(wait, until, shelf: Shelf? = none) by clerk from new to Idle
    set wait, until, shelf
  action Begin by clerk from Idle to Ready
  action Go by clerk from Ready to Going
  action Move(until) by clerk from any
    set until
  action Tick by system from any
    set ticks += 1
  action End by system, clerk from On to Stopped

  in On
    after wait + 1h do End
    whenever shelf != none and shelf.stock == 0 do End
  in Ready
    every wait do Tick
  in Going
    at until do End
    whenever ticks >= 3 do End
"""
)
S, H = 1_000, 3_600_000
# What stands in the body of an entity, and what somebody writes in its place.
BODIES = (
    ("{with_timer}", '"timers":[', ('"timers":[{"timer":"Clock/in/Going/at/End/0","due":null,"stamp":2,"caller":'
     '{"principal":"ann"}},')),
    ("{without_timers}", '"timers":', '"timerz":'),
    ("{later_after}", '"due":10801000', '"due":10802000'),
    ("{later_every}", '"due":14401000', '"due":14409000'),
    ("{later_at}", '"due":79201005', '"due":79201006'),
    ("{another}", '"stamp":5,"caller":{"principal":"ann"', '"stamp":5,"caller":{"principal":"bob"'),
    ("{without_calls}", '"calls":', '"callz":'),
    ("{another_call}", '"args":{"amount":"2.5"', '"args":{"amount":"9.5"'),
    ("{visit}", '"visit":3', '"visit":4'),
)  # fmt: skip


def fill(driver: Driver) -> None:
    """Something in every table."""
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s2", "Stock", name="bolts", stock=5)
    request = driver.request("Shelf", "s1", "Take", units=2)
    driver.ask(type(request)(request.event, "Shelf", "s1", key="ann:k1", fingerprint="f1"))
    for id in ("c1", "c2", "c3"):
        driver.act("Clock", id, "Make", wait=2 * H, until=driver.at + 9 * H, shelf="s1")
        driver.act("Clock", id, "Begin")
    driver.wait(2 * H + 5)
    driver.act("Clock", "c2", "Go")
    driver.act("Clock", "c2", "Move", until=driver.at + 20 * H)
    driver.act("Clock", "c3", "End")
    driver.purchase("p1", shelf="nowhere")
    driver.act("Purchase", "p1", "Reserve", units=9)
    attempt = driver.paying("p2")
    driver.end(attempt, Ending.FAILED, kind="unavailable", retry=True)
    late = driver.paying("p3")
    for _ in range(3):
        driver.end(driver.attempts[-1], Ending.UNKNOWN, kind="timeout")
        driver.wait(20 * S)
    driver.end(late, Ending.FAILED, kind="rejected")
    driver.purchase("p4", shelf="nowhere")
    driver.act("Purchase", "p4", "Reserve", units=1)
    driver.settle()
    driver.asks(Discard(driver.store.orders_of("Purchase", "p4")[0].order, BOSS))
    # Refused, and another of the same batch is taken: it is kept with what came of the whole batch.
    refused = driver.request("Shelf", "s2", "Take", units=9)
    driver.asks(
        type(request)(refused.event, "Shelf", "s2", key="ann:k2", fingerprint="f2"),
        driver.request("Shelf", "s2", "Take", units=1),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tampered") / "space.db"
    store = SqliteStore(path)
    driver = Driver(CLOCKS, store)
    fill(driver)
    while store.make_rank("Clock", "ticks"):
        pass
    driver.act("Shelf", "s2", "Close", BOSS)
    segment = store.pack([("Shelf", "s2")])
    assert segment is not None
    assert store.put_away(segment) == 1
    db = store._writer
    db.execute("insert or ignore into marks select 3, seq, 1, (select body from entities where row = 3) from log"
               " where entity = 3 order by seq desc limit 1")  # fmt: skip
    store.close()
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.with_suffix(".archive"), tmp_path / "space.archive")
    return Path(shutil.copy(made, tmp_path / "space.db"))


def found(path: Path) -> Difference | None:
    with SqliteStill(path) as still:
        return audit(still).difference


def test_what_nobody_touched_passes(path: Path) -> None:
    assert found(path) is None


@pytest.mark.parametrize(
    ("statement", "table", "row"),
    [
        # The outbox.
        ("delete from orders where kind = 'call'", "orders", "id19.1"),
        ("delete from orders where kind = 'send'", "orders", "id17.1"),
        ("update orders set args = cast('{}' as blob) where kind = 'call'", "orders", "id19.1"),
        ("update orders set tool = 'post.ship' where kind = 'call'", "orders", "id19.1"),
        ("update orders set id = 'p4' where kind = 'send'", "orders", "id17.1"),
        ("update orders set send = cast(replace(cast(send as text), 'nowhere', 's1') as blob) where kind = 'send'",
         "orders", "id17.1"),
        ("update orders set lane = lane + 1 where kind = 'send'", "orders", "id17.1"),
        ("update orders set created_at = 1 where kind = 'call'", "orders", "id19.1"),
        ("update orders set state = 'waiting' where kind = 'send'", "orders", "id17.1"),
        ("update orders set state = 'dead' where kind = 'call'", "orders", "id19.1"),
        ("update orders set state = 'gone' where kind = 'call'", "orders", "id19.1"),
        (("insert into orders select 99, 'id99.1', kind, entity, id, tool, args, send, version, state, attempts,"
         " next_at, created_at, lane, pair, unsure, last_error from orders where kind = 'call'"), "orders", "id99.1"),
        # Dead letters: of a send that is still there, and of what came of a call that has ended.
        ("delete from letters where entity = 'Shelf'", "orders", "id17.1"),
        ("delete from letters where entity = 'Purchase'", "letters", "id22.1"),
        ("update letters set text = 'nothing much' where entity = 'Purchase'", "letters", "id22.1"),
        ("update letters set text = 'nothing much' where entity = 'Shelf'", "letters", "id17.1"),
        ("update letters set id = 'p1' where entity = 'Purchase'", "letters", "id22.1"),
        ("insert into letters values(99, 'id99.1', 'Purchase', 'p1', 'why', 1000)", "letters", "id99.1"),
        # What an entity waits for.
        ("update entities set due = due + 1 where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set due = null where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set due = 5 where id = 'c3'", "entities", "Clock/c3"),
        ("update entities set live = 0 where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set version = 7 where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set body = {with_timer} where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set body = {without_timers} where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set body = {later_after}, due = {later_due} where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set body = {later_every} where id = 'c1'", "entities", "Clock/c1"),
        ("update entities set body = {later_at} where id = 'c2'", "entities", "Clock/c2"),
        ("update entities set body = {another} where id = 'c2'", "entities", "Clock/c2"),
        ("update entities set body = {without_calls} where id = 'p2'", "entities", "Purchase/p2"),
        ("update entities set body = {another_call} where id = 'p2'", "entities", "Purchase/p2"),
        ("update entities set body = {visit} where id = 'c2'", "entities", "Clock/c2"),
        # What entities are found by, and counted in.
        ("delete from keys where value like '%nuts%'", "keys", '["nuts"]'),
        ("delete from holds where value like '%number-p1%'", "holds", '["number-p1"]'),
        ("delete from refs where row = (select row from entities where id = 'c1')", "refs", "Clock.shelf s1"),
        ("update refs set target = 's2' where row = (select row from entities where id = 'c1')", "refs",
         "Clock.shelf s1"),
        ("insert into refs values('Clock', 'shelf', 's1', 99)", "refs", None),
        ("update populations set number = number + 1 where kind = 'Slip'", "populations", "Slip Printed"),
        ("insert into populations values('Slip', 'Filed', 1)", "populations", "Slip Filed"),
        ("delete from populations", "populations", None),
        ("update ranked set place = x'01' where row = (select row from entities where id = 'c1')", "ranked", "1 3"),
        ("delete from ranked where row = (select row from entities where id = 'c1')", "ranked", "1 3"),
        ("insert into ranked values(1, x'01', 99)", "ranked", None),
        ("update marks set body = cast(replace(cast(body as text), 'Ready', 'Going') as blob)", "marks", None),
        ("update marks set seq = seq + 1000 where entity = 3", "marks", None),
        ("insert into marks select 99, seq, version, body from marks limit 1", "marks", None),
        # What is answered again.
        ("update requests set seq = seq + 1 where name = 'ann:k1'", "requests", "ann:k1"),
        ("update requests set seq = 9999", "requests", "ann:k1"),
        ("update requests set id = 's2'", "requests", "ann:k1"),
        ("update requests set body = cast(replace(cast(body as text), '3', '4') as blob)", "requests", "ann:k1"),
        (
            ("insert into requests select 99, 'bob:k1', fingerprint, seq, at, kind, id, version, body from requests"
            " where name = 'ann:k1'"), "requests", "bob:k1",
        ),
        # Who has yet to look, the versions, the log, and the archive.
        ("insert into stirs values(99, 'Clock', 'Shelf', 'nobody', 'Clock.shelf', cast('{}' as blob), 0)", "stirs",
         "Shelf/nobody"),
        ("update versions set digest = 'x'", "versions", "1"),
        ("update log set entity = null where seq = 3", "log", "3"),
        ("delete from archived", "archived", None),
        ("insert into archived values(99, 1, 0, 1)", "archived", "99"),
        ("update segments set sum = 'x'", "segments", None),
    ],
)  # fmt: skip
def test_a_row_that_is_missing_too_many_or_changed_is_named(
    path: Path, statement: str, table: str, row: str | None
) -> None:
    """Below the server, by SQL: the first thing that differs says in which table and which row."""
    db = apsw.Connection(str(path))
    for name, old, new in BODIES:
        statement = statement.replace(name, f"cast(replace(cast(body as text), '{old}', '{new}') as blob)")
    statement = statement.replace("{later_due}", "due + 1000")
    db.execute(statement)
    assert db.changes() > 0, "what changes nothing is no tampering"
    db.close()
    difference = found(path)
    assert difference is not None
    assert difference.table == table
    assert row is None or difference.row == row
    assert difference.help.startswith("restore the space")


@pytest.mark.parametrize(
    ("statement", "table", "row"),
    [
        ("delete from orders where kind = 'call' returning 1", "orders", "id19.1"),
        ("update orders set lane = lane + 1 where kind = 'send' returning 1", "orders", "id17.1"),
        ("delete from letters where entity = 'Purchase' returning 1", "letters", "id22.1"),
        ("update letters set text = 'nothing much' where entity = 'Purchase' returning 1", "letters", "id22.1"),
        ("update entities set due = due + 1 where id = 'c1' returning 1", "entities", "Clock/c1"),
        ("delete from refs where row = (select row from entities where id = 'c1') returning 1", "refs",
         "Clock.shelf s1"),
        ("update requests set seqs[1] = 9999 returning 1", "requests", "ann:k1"),
        (("insert into stirs(part, owner, kind, id, path, caller, after) values(0, 'Clock', 'Shelf', 'nobody',"
         " '', '{}', 0) returning 1"), "stirs", "Shelf/nobody"),
        ("insert into archived values(99, '') returning 1", "archived", "99"),
        ("update counts set number = number + 1 where kind = 'Slip' returning 1", "counts", "Slip Printed"),
        ("insert into counts values(0, 'Slip', 'Filed', 1) returning 1", "counts", "Slip Filed"),
        ("delete from counts where kind = 'Slip' returning 1", "counts", "Slip Printed"),
    ],
)  # fmt: skip
def test_so_it_is_in_postgresql(
    postgres_space: Callable[[], PostgresStore], statement: str, table: str, row: str
) -> None:
    store = postgres_space()
    fill(Driver(CLOCKS, store))
    with PostgresStill(store.url, store.space) as still:
        assert audit(still).difference is None
    assert store._line.rows(statement), "what changes nothing is no tampering"
    with PostgresStill(store.url, store.space) as still:
        difference = audit(still).difference
    assert difference is not None
    assert (difference.table, difference.row) == (table, row)
