"""Some live by a candidate beside the table in force, until it is promoted or withdrawn; on every store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from temper.kernel import Cause, Codec, Done, No, Store
from temper.runtime import SqliteStore
from temper.runtime.history import SqliteStill, audit
from temper.table import Snapshot, Table, apart, digest, dump, live_by, load, with_canary
from tests.kernel.driving import Driver
from tests.kernel.shop import compiled, version

OLD = """
blueprint desk

role clerk, boss

tool post.send(to: string) -> (receipt: string)
  timeout 5s

record Part(name: string, note: string)

entity Customer
  states Active
  name: string
  action Join(name) by clerk from new to Active
    set name
  action Hear by clerk, system from Active

entity Ticket
  states Open, Waiting, Closed
  final Closed
  customer: Customer
  text: string
  remark: string = "none"
  key text

  action Ask(customer, text) by clerk from new to Open
    set customer, text
  action Wait by clerk from Open to Waiting
  action Close by clerk from Open, Waiting to Closed
    with customer.Hear

  in Waiting
    after 1h do GiveUp
  action GiveUp by system from Waiting to Closed
"""
NEW = (
    OLD.replace("states Open, Waiting, Closed", "states Open, Waiting, Urgent, Closed")
    .replace('  remark: string = "none"\n', '  remark: string = "none"\n  priority: int 0..9 = 0\n')
    .replace("from Open, Waiting to Closed", "from Open, Waiting, Urgent to Closed")
    .replace("after 1h do GiveUp", "after 2h do GiveUp")
    + """
  action Escalate by clerk from Open to Urgent
    set priority += 5
  action Calm by clerk from Urgent to Open
  always priority <= 9

upgrade from 1
  Ticket
    set priority = 1
"""
)


def canary(share: int = 0, *named: str, since: int = 1_000) -> Table:
    assert apart(compiled(OLD), compiled(NEW)) == ()
    return with_canary(compiled(OLD), compiled(NEW), number=1, since=since, share=share, named=named)


def beside(store: Store, *named: str) -> Driver:
    """A desk with tickets of before, and a canary with the tickets that were named; the time is later than both."""
    driver = Driver(compiled(OLD), store)
    driver.act("Customer", "ann", "Join", name="ann")
    driver.act("Ticket", "old", "Ask", customer="ann", text="old")
    driver.act("Ticket", "waits", "Ask", customer="ann", text="waits")
    driver.act("Ticket", "waits", "Wait")
    driver.swap(canary(0, *named), 2)
    driver.at += 10
    for id in ("new", "calm", "urgent", "late"):
        driver.act("Ticket", id, "Ask", customer="ann", text=id)
    return driver


NAMED = ("Ticket/new", "Ticket/calm", "Ticket/urgent", "Ticket/old")


def told(driver: Driver) -> dict[str, Any]:
    names = ("old", "waits", "new", "calm", "urgent", "late")
    return {id: _told(driver.host.read("Ticket", id)) for id in names}


def _told(now: Snapshot | None) -> Any:
    assert now is not None
    return now.state, now.version, now.fields.get("priority")


def again(driver: Driver) -> Driver:
    """Another host over the same store, as after a kill."""
    kept = driver.store.current()
    assert kept is not None
    fresh = Driver(load(kept.table), driver.store, at=driver.at)
    fresh.ids = driver.ids
    fresh.host = fresh._host()
    return fresh


def test_those_in_it_live_by_the_candidate_and_all_others_as_before(store: Store) -> None:
    driver = beside(store, *NAMED)
    assert told(driver) == {
        "old": ("Open", 1, None), "waits": ("Waiting", 2, None), "late": ("Open", 1, None),
        "new": ("Open", 1, 0), "calm": ("Open", 1, 0), "urgent": ("Open", 1, 0),
    }  # fmt: skip
    assert isinstance(driver.act("Ticket", "urgent", "Escalate"), Done)
    for id in ("old", "late"):
        refused = driver.act("Ticket", id, "Escalate")
        assert isinstance(refused, No), "the table by which it lives has no such action"
    # Both take others along, and are found by their key.
    assert isinstance(driver.act("Ticket", "new", "Close"), Done)
    assert isinstance(driver.act("Ticket", "late", "Close"), Done)
    assert store.by_key("Ticket", ["new"]) == "new"
    known = driver.act("Ticket", "other", "Ask", customer="ann", text="calm")
    assert isinstance(known, Done)
    assert (known.snapshot.id, known.entry) == ("calm", None)
    # Each waits as its own table says.
    driver.act("Ticket", "calm", "Wait")
    driver.act("Ticket", "late2", "Ask", customer="ann", text="late2")
    driver.act("Ticket", "late2", "Wait")
    due = {now.id: now.timers[0].due for now in store.live() if now.timers}
    hour = 3_600_000
    assert due == {"waits": 1_000 + hour, "late2": driver.at + hour, "calm": driver.at + 2 * hour}
    fresh = again(driver)
    assert told(fresh) == told(driver)
    fresh.at += 2 * hour
    fresh.settle()
    assert fresh.read("Ticket", "calm").state == "Closed"


def test_it_is_promoted_like_a_push(store: Store) -> None:
    """The others move as the `upgrade` says that was written for them; those in it stay as they are."""
    driver = beside(store, *NAMED)
    driver.act("Ticket", "urgent", "Escalate")
    driver.swap(compiled(NEW), 3)
    expected = {
        "old": ("Open", 2, 1), "waits": ("Waiting", 3, 1), "late": ("Open", 2, 1),
        "new": ("Open", 1, 0), "calm": ("Open", 1, 0), "urgent": ("Urgent", 2, 5),
    }  # fmt: skip
    assert told(driver) == expected
    driver = again(driver)
    assert told(driver) == expected
    driver.settle()
    assert told(driver) == expected
    swaps = [(entry.id, entry.version) for entry in store.entries(0, 1_000) if entry.cause is Cause.SWAP]
    assert sorted(swaps) == [("late", 2), ("old", 2), ("waits", 3)]
    assert isinstance(driver.act("Ticket", "old", "Escalate"), Done)
    assert isinstance(driver.act("Ticket", "new", "Escalate"), Done)


def test_it_is_withdrawn_once_all_in_it_have_a_place(store: Store) -> None:
    driver = beside(store, *NAMED)
    driver.act("Ticket", "urgent", "Escalate")
    driver.act("Ticket", "new", "Close")
    stranded = driver.host.swap(compiled(OLD), version(compiled(OLD), 3), driver.at)
    assert isinstance(stranded, tuple)
    assert [(one.id, one.state) for one in stranded] == [("urgent", "Urgent")]
    assert "Urgent" in stranded[0].reasons[0]
    assert told(again(driver))["urgent"] == ("Urgent", 2, 5), "nothing has changed"
    driver.act("Ticket", "urgent", "Calm")
    driver.swap(compiled(OLD), 3)
    expected = {
        "old": ("Open", 1, None), "waits": ("Waiting", 2, None), "late": ("Open", 1, None),
        "new": ("Closed", 2, None), "calm": ("Open", 2, None), "urgent": ("Open", 4, None),
    }  # fmt: skip
    assert told(driver) == expected
    driver = again(driver)
    driver.settle()
    assert told(driver) == expected
    assert isinstance(driver.act("Ticket", "calm", "Escalate"), No)
    swaps = {entry.id: entry.was for entry in store.entries(0, 1_000) if entry.cause is Cause.SWAP}
    assert swaps == {"calm": {"priority": 0}, "urgent": {"priority": 5}}


def test_all_that_happens_is_what_the_journal_says(tmp_path: Path) -> None:
    """An audit after a canary that was promoted, and after one that was withdrawn."""
    for name, last in (("promoted", NEW), ("withdrawn", OLD)):
        store = SqliteStore(tmp_path / f"{name}.db")
        driver = beside(store, *NAMED)
        driver.act("Ticket", "urgent", "Escalate")
        driver.act("Ticket", "urgent", "Calm")
        with SqliteStill(store.path) as still:
            assert audit(still).difference is None
        driver.swap(compiled(last), 3)
        driver.settle()
        with SqliteStill(store.path) as still:
            found = audit(still)
        assert (found.difference, found.versions) == (None, 3)
        store.close()


def test_a_share_is_drawn_by_ids() -> None:
    """The draw is a checksum's, so these counts stay."""
    table = canary(2_500)
    ids = [f"t{n}" for n in range(4_000)]
    drawn = {id for id in ids if live_by(table, "Ticket", id, 2_000) is not table}
    assert 900 < len(drawn) < 1_100
    more = canary(5_000)
    assert drawn < {id for id in ids if live_by(more, "Ticket", id, 2_000) is not more}
    assert all(live_by(table, "Ticket", id, 1_000) is table for id in ids), "they were there before"
    assert all(live_by(table, "Customer", id, 2_000) is table for id in ids), "nothing is changed of that kind"


def test_a_table_with_a_canary_is_spelt_whole() -> None:
    table = canary(100, "Ticket/a")
    assert load(dump(table)) == table
    assert digest(load(dump(table, notes=False))) == digest(table)
    assert len({digest(table), digest(compiled(OLD)), digest(compiled(NEW)), digest(canary(101, "Ticket/a"))}) == 4
    assert Codec(table).digest == digest(table)


NOTE = "entity Note\n  states Written\n  action Write by clerk from new to Written\n\n"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("", "", "it changes no entity, so that none could tell the difference: push it"),
        ("role clerk, boss", "role clerk, boss, chief", "the roles are others"),
        ("timeout 5s", "timeout 6s", "the tool `post.send` is declared otherwise"),
        ("note: string", "note: int", "the records are others"),
        ('  remark: string = "none"\n', "", "`Ticket.remark` is gone: lists have both, and a canary may add fields"),
        ('remark: string = "none"', "remark: int = 0",
         "`Ticket.remark` has another type: lists have both, and a canary may add fields"),
        ("key text", "unique text", "`Ticket` has another `key` or `unique`"),
        ("action Hear by clerk", "action Hear by boss",
         "in the version in force `Ticket.customer` refers to `Customer`"),
        ("entity Ticket\n", NOTE + "entity Ticket\n", "`Note` is new: all entities are to be in both"),
        ("  action Wait by", "  action Merge(other: Ticket) by clerk from Open\n  action Wait by",
         "in the candidate `Ticket.Merge` refers to `Ticket`"),
    ],
)  # fmt: skip
def test_what_can_not_live_beside_it_is_told(old: str, new: str, says: str) -> None:
    assert says in apart(compiled(OLD), compiled(OLD.replace(old, new, 1) if old else OLD))
