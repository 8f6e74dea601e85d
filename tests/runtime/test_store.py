"""What every store keeps, and how it gives it back: one suite for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from temper.kernel import Batch, Change, Done, Letter, MemoryStore, Order, OrderState, Stir, Store
from temper.runtime import SqliteStore
from temper.runtime.postgres import PostgresStore
from temper.table import Caller, Hop
from tests.kernel.driving import Driver
from tests.kernel.shop import BOSS, SHOP, compiled, version

Reopen = Callable[[], Store]


class Kept:
    """A store under test, with what it takes to look at it afresh."""

    def __init__(self, new: Callable[[], Store], *, lasting: bool = True) -> None:
        self._new = new
        self._lasting = lasting
        self.store = new()

    def reopen(self) -> Store:
        """Close the store and open it again; memory stays what it is."""
        if self._lasting:
            self.close()
            self.store = self._new()
        return self.store

    def close(self) -> None:
        if isinstance(self.store, SqliteStore | PostgresStore):
            self.store.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    match request.param:
        case "memory":
            store = Kept(MemoryStore, lasting=False)
        case "sqlite":
            store = Kept(lambda: SqliteStore(tmp_path / "space.db"))
        case _:
            store = Kept(request.getfixturevalue("postgres_space"))
    yield store
    store.close()


def shelves(kept: Kept, count: int) -> Driver:
    """A space with that many shelves, every third of them closed."""
    driver = Driver(store=kept.store)
    driver.asks(
        *(driver.request("Shelf", f"s{n}", "Stock", name=f"n{n}", stock=n) for n in range(count)),
        *(driver.request("Shelf", f"s{n}", "Close", BOSS) for n in range(0, count, 3)),
    )
    return driver


def test_an_empty_space_has_nothing(kept: Kept) -> None:
    store = kept.store
    assert store.current() is None
    assert (store.last_seq(), store.next_due(), store.next_order([])) == (0, None, None)
    assert (list(store.live()), list(store.entries(0, 10)), dict(store.counts())) == ([], [], {})


def test_a_space_that_is_opened_again_is_the_same(kept: Kept) -> None:
    driver = Driver(store=kept.store)
    attempt = driver.paying("p1")
    driver.purchase("p2", shelf="s1")
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Purchase", "p2", "Reserve", units=2)
    before = kept.store
    said = (
        before.last_seq(), before.next_due(), before.next_order([]), before.current(), list(before.live()),
        list(before.entries(0, 100)), before.order(attempt.order), list(before.started()),
        list(before.sends(driver.at, 10)), list(before.orders_of("Purchase", "p2")),
        before.by_key("Shelf", ["nuts"]), before.holder("Purchase", 0, ["number-p2"]),
    )  # fmt: skip
    after = kept.reopen()
    assert said == (
        after.last_seq(), after.next_due(), after.next_order([]), after.current(), list(after.live()),
        list(after.entries(0, 100)), after.order(attempt.order), list(after.started()),
        list(after.sends(driver.at, 10)), list(after.orders_of("Purchase", "p2")),
        after.by_key("Shelf", ["nuts"]), after.holder("Purchase", 0, ["number-p2"]),
    )  # fmt: skip


def test_values_of_every_type_come_back_as_they_were(kept: Kept) -> None:
    text = """
blueprint values

role clerk

record Line(sku: string, units: int 1.., price: decimal?)

entity Thing
  states Here
  flag: bool
  big: int
  price: decimal
  text: string
  moment: time
  pause: duration
  grade: one of (low, high)
  owner: principal
  other: Thing?
  line: Line
  tags: set of string max 8
  lines: list of Line max 8
  counts: map of string to int max 8
  graded: map of decimal to bool max 8

  action Make(flag, big, price, text, moment, pause, grade, owner, other, line, tags, lines, counts, graded)
    by clerk
    from new to Here
    set flag, big, price, text, moment, pause, grade, owner, other, line, tags, lines, counts, graded
"""
    line, dear = ("a", 1, None), ("b", 10**30, Decimal("0.10"))
    values = {
        "flag": True,
        "big": 10**300,
        "price": Decimal("-123456789012345678901234567890.5"),
        "text": "Łódź 🚢\n\0\"'",
        "moment": -62_135_596_800_000,
        "pause": -90_001,
        "grade": "low",
        "owner": "ann",
        "other": "t0",
        "line": dear,
        "tags": frozenset({"b", "a", ""}),
        "lines": (dear, line, dear),
        "counts": (("", -1), ("z", 2)),
        "graded": ((Decimal("-0.5"), False), (Decimal(7), True)),
    }
    driver = Driver(compiled(text), kept.store)
    done = driver.act("Thing", "t1", "Make", **values)
    assert isinstance(done, Done), done
    found = kept.reopen().snapshot("Thing", "t1")
    assert found == done.snapshot
    assert found is not None
    assert dict(found.fields) == values


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("states", [(), ("Open",), ("Open", "Closed"), ("Closed",)])
def test_pages_go_through_all_once(kept: Kept, order: Order, states: tuple[str, ...]) -> None:
    shelves(kept, 20)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = kept.store.list("Shelf", states=states, after=cursor, limit=3, order=order)
        assert len(page.items) <= 3
        found.extend(now.id for now in page.items)
        cursor = page.cursor
        if cursor is None:
            break
    wanted = [f"s{n}" for n in range(20) if not states or ("Closed" if n % 3 == 0 else "Open") in states]
    assert found == (wanted if order is Order.OLDEST else wanted[::-1])
    assert kept.store.count("Shelf", states=states) == len(wanted)


def test_a_page_that_ends_with_the_last_has_no_cursor(kept: Kept) -> None:
    shelves(kept, 4)
    assert kept.store.list("Shelf", limit=4).cursor is None
    assert kept.store.list("Shelf", limit=3).cursor is not None
    assert kept.store.list("Purchase", limit=4).items == ()


def test_counts(kept: Kept) -> None:
    shelves(kept, 10)
    assert dict(kept.store.counts()) == {("Shelf", "Open"): 6, ("Shelf", "Closed"): 4}


def test_history_is_an_entitys_own(kept: Kept) -> None:
    driver = shelves(kept, 3)
    driver.act("Shelf", "s1", "Take", units=9)
    driver.act("Shelf", "s1", "Refill", units=2)
    whole = kept.store.history("Shelf", "s1", limit=10)
    assert [entry.action for entry in whole] == ["Stock", "Take", "Refill"]
    assert [entry.action for entry in kept.store.history("Shelf", "s1", after=whole[0].seq, limit=1)] == ["Take"]
    assert kept.store.history("Shelf", "none", limit=10) == []


def test_a_refused_creation_is_in_the_spaces_journal_and_in_no_history(kept: Kept) -> None:
    """It is nobody's; whoever bears that id later begins with a creation."""
    driver = shelves(kept, 1)
    last = kept.store.last_seq()
    driver.act("Shelf", "s9", "Stock", name="n0", stock=99)
    assert [entry.how for entry in kept.store.entries(last, 10)] == ["refused"]
    driver.act("Shelf", "s9", "Stock", name="n9", stock=9)
    assert [entry.how for entry in kept.store.history("Shelf", "s9", limit=10)] == ["taken"]


def test_entries_come_in_order_from_anywhere(kept: Kept) -> None:
    shelves(kept, 10)
    assert [entry.seq for entry in kept.store.entries(0, 100)] == list(range(1, 15))
    assert [entry.seq for entry in kept.store.entries(12, 100)] == [13, 14]
    assert [entry.seq for entry in kept.store.entries(3, 2)] == [4, 5]
    assert kept.store.entries(14, 10) == []


def test_the_living_are_those_to_whom_something_may_happen(kept: Kept) -> None:
    driver = shelves(kept, 4)
    attempt = driver.paying("p1")
    names = {(now.entity, now.id) for now in kept.store.live()}
    assert names == {
        ("Shelf", "s1"),
        ("Shelf", "s2"),
        ("Purchase", "p1"),
        ("Slip", next(s for e, s in names if e == "Slip")),
    }
    assert kept.store.order(attempt.order) is not None


def test_what_is_due_comes_earliest_first(kept: Kept) -> None:
    driver = Driver(store=kept.store)
    for n in (3, 1, 2):
        driver.at = n * 1_000
        driver.purchase(f"p{n}")
    hour = 3_600_000
    assert kept.store.next_due() == 1_000 + hour
    assert list(kept.store.due(1_000 + hour - 1, 10)) == []
    assert list(kept.store.due(3_000 + hour, 10)) == [("Purchase", "p1"), ("Purchase", "p2"), ("Purchase", "p3")]
    assert list(kept.store.due(3_000 + hour, 2)) == [("Purchase", "p1"), ("Purchase", "p2")]


def test_calls_are_given_by_tool_and_by_time(kept: Kept) -> None:
    driver = Driver(store=kept.store)
    for n in (1, 2):
        driver.purchase(f"p{n}")
        driver.at += 10
        driver.act("Purchase", f"p{n}", "Pay")
    first = driver.at - 10
    assert [row.id for row in kept.store.calls(driver.at, "bank.charge", 10)] == ["p1", "p2"]
    assert [row.id for row in kept.store.calls(first, "bank.charge", 10)] == ["p1"]
    assert [row.id for row in kept.store.calls(driver.at, "bank.charge", 1)] == ["p1"]
    assert list(kept.store.calls(driver.at, "post.ship", 10)) == []
    assert kept.store.next_order([]) == first
    assert kept.store.next_order(["bank.charge"]) is None
    driver.turn()
    assert list(kept.store.calls(driver.at, "bank.charge", 10)) == []
    assert [row.state for row in kept.store.started()] == [OrderState.STARTED] * 2


def test_letters_are_put_away(kept: Kept) -> None:
    letters = tuple(Letter(f"o{n}", "Shelf", "s1", "why", n) for n in range(3))
    kept.store.append(Batch((Change(version=version(compiled(SHOP)), letters=letters),)))
    assert list(kept.store.letters(limit=10)) == list(letters)
    assert list(kept.store.letters(after="o0", limit=1)) == [letters[1]]
    kept.store.append(Batch((Change(unlettered=("o1",)),)))
    assert list(kept.reopen().letters(limit=10)) == [letters[0], letters[2]]
    assert kept.store.letter("o1") is None
    assert kept.store.letter("o2") == letters[2]


def test_idempotency_keys_are_forgotten_after_a_day_and_ten_thousand(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both: a burst washes nobody's key away, and an idle space keeps the last ones."""
    monkeypatch.setattr("temper.kernel.memory.KEYS_KEPT_MIN", 5)
    monkeypatch.setattr("temper.runtime.sqlite.appending.KEYS_KEPT_MIN", 5)
    monkeypatch.setattr("temper.runtime.postgres.appending.KEYS_KEPT_MIN", 3)
    driver = shelves(kept, 2)
    day = 86_400_000

    def refill(key: str) -> None:
        request = driver.request("Shelf", "s1", "Refill", units=1)
        driver.ask(type(request)(request.event, request.entity, request.id, key=key, fingerprint="f"))

    for n in range(8):
        refill(f"old{n}")
    assert kept.store.answered("old0") is not None
    driver.at += day + 1
    for n in range(20):
        refill(f"new{n}")
    assert [kept.store.answered(f"old{n}") for n in range(8)] == [None] * 8
    assert all(kept.store.answered(f"new{n}") for n in range(20))


# --- references, and who has yet to look ------------------------------------------------------------------------------

SEATS = """
blueprint seats

role clerk

entity Room
  states Open
  guests: every Guest.room max 50
  action Make by clerk from new to Open

entity Guest
  states Here, Gone
  final Gone
  room: Room?
  friends: set of Guest max 5 = {}
  action Make(room) by clerk from new to Here
    set room
  action Move(room) by clerk from Here
    set room
  action Meet(friends) by clerk from Here
    set friends
  action Leave by clerk from Here to Gone
"""


def seated(kept: Kept, guests: int) -> Driver:
    driver = Driver(compiled(SEATS), kept.store)
    driver.asks(
        driver.request("Room", "r", "Make"),
        driver.request("Room", "s", "Make"),
        *(driver.request("Guest", f"g{number}", "Make", room="r") for number in range(guests)),
    )
    return driver


def referrers(store: Store, id: str, field: str = "room") -> list[str]:
    return list(store.referrers("Guest", field, id, limit=100)[0])


def test_who_refers_to_an_entity_is_found_the_oldest_first(kept: Kept) -> None:
    """Final ones too; and as it is after a change, and after the file was opened again."""
    driver = seated(kept, 12)
    assert referrers(kept.store, "r") == [f"g{number}" for number in range(12)]
    driver.act("Guest", "g3", "Move", room="s")
    driver.act("Guest", "g4", "Move", room=None)
    driver.act("Guest", "g5", "Leave")
    for reopened in (False, True):
        store = kept.reopen() if reopened else kept.store
        assert referrers(store, "r") == [f"g{number}" for number in range(12) if number not in (3, 4)]
        assert (referrers(store, "s"), referrers(store, "t")) == (["g3"], [])


def test_referrers_come_in_pages(kept: Kept) -> None:
    seated(kept, 10)
    found: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page, cursor = kept.store.referrers("Guest", "room", "r", after=cursor, limit=4)
        assert len(page) <= 4
        found.extend(page)
    assert found == [f"g{number}" for number in range(10)]
    assert kept.store.referrers("Guest", "room", "r", limit=10)[1] is None


def test_a_field_that_nothing_asks_for_is_not_kept(kept: Kept) -> None:
    driver = seated(kept, 2)
    driver.act("Guest", "g0", "Meet", friends=frozenset({"g1"}))
    assert referrers(kept.store, "g1", "friends") == []


def test_another_table_indexes_what_it_asks_for(kept: Kept) -> None:
    """All that there are, those that are final included; and no more what it does not."""
    driver = seated(kept, 3)
    driver.act("Guest", "g0", "Meet", friends=frozenset({"g1", "g2"}))
    driver.act("Guest", "g0", "Leave")
    other = SEATS.replace("  guests: every Guest.room max 50\n", "").replace(
        "  room: Room?\n", "  room: Room?\n  known: every Guest.friends max 9\n"
    )
    assert isinstance(driver.swap(compiled(other), 2), Batch)
    assert (referrers(kept.store, "g1", "friends"), referrers(kept.store, "r")) == (["g0"], [])
    driver.act("Guest", "g1", "Meet", friends=frozenset({"g1"}))
    assert referrers(kept.reopen(), "g1", "friends") == ["g0", "g1"]


def test_who_has_yet_to_look_is_kept_until_told_otherwise(kept: Kept) -> None:
    """One for each owner, entity and path: a later one takes its place, behind the others."""
    path = (Hop("Guest", "room", inverse=True), Hop("Guest", "friends"))
    one = Stir("Room", "Guest", "g1", path, Caller("ann", frozenset({"clerk"}), "bob"))
    two = Stir("Guest", "Guest", "g1", (), Caller("ann"))
    seated(kept, 2)
    kept.store.append(Batch((Change(stirs=(one, two)),)))
    assert list(kept.reopen().stirs(10)) == [one, two]
    assert list(kept.store.stirs(1)) == [one]
    further = replace(one, after=7)
    kept.store.append(Batch((Change(unstirred=(one,), stirs=(further,)),)))
    assert list(kept.store.stirs(10)) == [two, further]
    kept.store.append(Batch((Change(unstirred=(two, further)),)))
    assert list(kept.reopen().stirs(10)) == []
