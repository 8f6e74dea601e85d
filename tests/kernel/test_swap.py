"""Another table while entities live."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from temper.kernel import NEAR, STRANDED_MAX, Cause, Conflict, Done, Limits, MemoryStore, No, Stranded
from temper.table import Ending, digest
from tests.kernel.driving import Driver
from tests.kernel.shop import BOSS, SHOP, compiled, version

LARGER = SHOP.replace("  stock: int 0..100 = 0\n", "  stock: int 0..100 = 0\n  spare: int 0..9 = 3\n")
"""Shelves have a field more."""


def test_a_swap_rewrites_the_living_and_says_so_in_their_history() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.purchase()
    driver.at += 1
    driver.swap(compiled(LARGER), 2)
    driver.move()
    now = driver.read("Shelf", "s1")
    assert (now.fields["spare"], now.version, now.updated_at) == (3, 2, driver.at)
    last = driver.history("Shelf", "s1")[-1]
    assert (last.cause, last.set, last.digest, last.event) == (Cause.SWAP, {"spare": 3}, digest(compiled(LARGER)), "v2")
    # The purchase is as it was, and has no entry.
    assert len(driver.history("Purchase", "p1")) == 1
    assert isinstance(driver.act("Shelf", "s1", "Take", units=1), Done)
    assert driver.history("Shelf", "s1")[-1].digest == digest(compiled(LARGER))


def test_a_restart_after_a_swap_finds_the_new_table() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.purchase()
    driver.swap(compiled(LARGER), 2)
    before = driver.read("Shelf", "s1"), driver.read("Purchase", "p1")
    driver.restart()
    assert (driver.read("Shelf", "s1"), driver.read("Purchase", "p1")) == before
    current = driver.store.current()
    assert current is not None
    assert current.number == 2


def test_those_without_a_place_are_named_and_nothing_changes() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=50)
    driver.act("Shelf", "s2", "Stock", name="bolts", stock=5)
    driver.act("Shelf", "s3", "Stock", name="screws", stock=51)
    before = driver.read("Shelf", "s1"), driver.store.last_seq()
    result = driver.swap(compiled(SHOP.replace("stock: int 0..100", "stock: int 0..9")), 2)
    assert isinstance(result, tuple)
    assert [(one.entity, one.id, one.state) for one in result if isinstance(one, Stranded)] == [
        ("Shelf", "s1", "Open"), ("Shelf", "s3", "Open"),
    ]  # fmt: skip
    assert all(one.reasons for one in result)
    assert (driver.read("Shelf", "s1"), driver.store.last_seq()) == before
    assert isinstance(driver.act("Shelf", "s1", "Take", units=1), Done)
    assert driver.history("Shelf", "s1")[-1].digest == digest(driver.table)


def test_rollback_is_a_swap_to_an_earlier_table_under_a_new_number() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    widened = compiled(SHOP.replace("units: int 1..10", "units: int 1..50"))
    driver.swap(widened, 2)
    driver.act("Shelf", "s1", "Refill", units=50)
    driver.swap(compiled(SHOP), 3)
    assert isinstance(driver.act("Shelf", "s1", "Refill", units=20), No)
    assert driver.read("Shelf", "s1").fields["stock"] == 55
    assert [version.number for version in driver.store.versions()] == [1, 2, 3]
    assert [entry.digest for entry in driver.history("Shelf", "s1")] == [
        digest(compiled(SHOP)), digest(widened), digest(compiled(SHOP)),
    ]  # fmt: skip


def test_calls_under_way_go_on_through_a_swap() -> None:
    driver = Driver()
    attempt = driver.paying()
    driver.swap(compiled(LARGER), 2)
    driver.end(attempt, Ending.ANSWERED, receipt="r")
    assert driver.read("Purchase", "p1").state == "Paid"


def test_timers_go_on_through_a_swap() -> None:
    driver = Driver()
    driver.purchase()
    due = driver.host.next_wake()
    driver.at += 1_000_000
    driver.swap(compiled(LARGER), 2)
    driver.move()
    assert driver.host.next_wake() == due
    driver.wait(3_600_000)
    assert driver.read("Purchase", "p1").fields["reminders"] == 1


def test_a_final_one_is_read_by_the_new_table_where_it_can_be() -> None:
    """It is not rewritten; whoever reads it finds the new field with its default."""
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s1", "Close", BOSS)
    driver.swap(compiled(LARGER), 2)
    assert driver.read("Shelf", "s1").fields == {"name": "nuts", "stock": 5, "spare": 3}
    assert len(driver.history("Shelf", "s1")) == 2
    assert driver.store.list("Shelf", limit=10).items[0].fields["spare"] == 3


def test_a_final_one_without_a_place_stays_as_it_was() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=50)
    driver.act("Shelf", "s1", "Close", BOSS)
    before = driver.read("Shelf", "s1")
    driver.swap(compiled(SHOP.replace("stock: int 0..100", "stock: int 0..9")), 2)
    assert driver.read("Shelf", "s1") == before


def test_final_ones_of_more_versions_than_are_kept_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shelf was closed under another version; the first is read by the last all the same."""
    monkeypatch.setattr("temper.kernel.stored._CODECS_MAX", 2)
    driver = Driver()
    for number in range(1, 7):
        driver.act("Shelf", f"s{number}", "Stock", name=f"n{number}", stock=number)
        driver.act("Shelf", f"s{number}", "Close", BOSS)
        driver.swap(compiled((LARGER, SHOP)[number % 2]), number + 1)
    driver.restart()
    found = [now.fields for now in driver.store.list("Shelf", limit=10).items]
    assert [fields["stock"] for fields in found] == [1, 2, 3, 4, 5, 6]
    assert {fields["spare"] for fields in found} == {3}


def test_a_new_unique_counts_for_those_who_are_there() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s2", "Stock", name="bolts", stock=5)
    stranded = driver.swap(compiled(SHOP.replace("  key name\n", "  key name\n  unique stock\n")), 2)
    assert isinstance(stranded, tuple)
    assert [(one.id, one.reasons) for one in stranded] == [("s2", ("`s1` has the same `stock`, which is unique",))]
    driver.act("Shelf", "s2", "Take", units=1)
    driver.swap(compiled(SHOP.replace("  key name\n", "  key name\n  unique stock\n")), 2)
    assert isinstance(driver.act("Shelf", "s1", "Take", units=1), No)
    assert isinstance(driver.act("Shelf", "s2", "Take", units=1), Done)
    assert isinstance(driver.act("Shelf", "s1", "Take", units=1), Done)


def test_a_unique_that_is_gone_holds_nobody_up() -> None:
    driver = Driver()
    driver.purchase("p1")
    driver.swap(compiled(SHOP.replace("  unique number\n", "")), 2)
    order = {"number": "number-p1", "amount": Decimal(1)}
    assert isinstance(driver.act("Purchase", "p2", "Order", **order), Done)


def test_a_swap_that_could_not_be_appended_did_not_happen() -> None:
    store = MemoryStore()
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    batch = driver.host.swap(compiled(LARGER), version(compiled(LARGER), 2), driver.at)
    assert not isinstance(batch, tuple)
    driver.host.abandon(batch)
    assert driver.host.table is driver.table
    assert "spare" not in driver.read("Shelf", "s1").fields
    assert isinstance(driver.act("Shelf", "s1", "Take", units=1), Done)


# --- those who live are carried over by and by ------------------------------------------------------------------------


def test_nobody_is_rewritten_by_the_swap_itself_and_everybody_is_read_by_the_new_table() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    last = driver.store.last_seq()
    driver.at += 1
    driver.swap(compiled(LARGER), 2)
    assert driver.store.last_seq() == last
    listed, lives = driver.store.list("Shelf", limit=10).items[0], next(iter(driver.store.live()))
    for now in (driver.read("Shelf", "s1"), listed, lives):
        assert (now.fields["spare"], now.version, now.updated_at) == (3, 2, driver.at)
    kept = driver.store.kept("Shelf", "s1")
    assert kept is not None
    assert (kept.version, [step.number for step in kept.steps]) == (1, [2])


def test_who_acts_before_it_is_moved_tells_of_the_swap_in_the_same_commit() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.swap(compiled(LARGER), 2)
    request = driver.request("Shelf", "s1", "Take", units=1)
    batch = driver.host.decide([request], driver.at)
    told = [(entry.cause, entry.version) for change in batch.changes for entry in change.entries]
    assert told == [(Cause.SWAP, 2), (Cause.REQUEST, 3)]
    driver.append(batch)
    assert driver.folded()["Shelf", "s1"].fields == {"name": "nuts", "stock": 4, "spare": 3}
    before = driver.store.last_seq()
    driver.move()
    assert driver.store.last_seq() == before, "nothing is left to move"


def test_who_was_refused_before_it_is_moved_has_the_swap_in_its_history_first() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.swap(compiled(LARGER), 2)
    assert isinstance(driver.act("Shelf", "s1", "Take", units=9), No)
    assert [entry.cause for entry in driver.history("Shelf", "s1")][1:] == [Cause.SWAP, Cause.REQUEST]


def test_whoever_saw_it_before_the_swap_is_stale_after_it() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    old = driver.read("Shelf", "s1").version
    driver.swap(compiled(LARGER), 2)
    new = driver.read("Shelf", "s1").version
    request = driver.request("Shelf", "s1", "Take", units=1)
    assert isinstance(driver.ask(replace(request, if_version=old)), Conflict)
    assert isinstance(driver.ask(replace(request, if_version=new)), Done)


def test_a_move_goes_in_small_batches_and_on_after_a_restart() -> None:
    driver = Driver(limits=Limits(moves_max=2))
    for number in range(5):
        driver.act("Shelf", f"s{number}", "Stock", name=f"n{number}", stock=number)
    driver.swap(compiled(LARGER), 2)
    moved = len(driver.turn().changes[0].entries)
    assert (moved, driver.host.moving) == (1, True)
    behind = [n for n in range(5) if (kept := driver.store.kept("Shelf", f"s{n}")) is not None and kept.steps]
    assert behind == [2, 3, 4]
    driver.restart()
    assert driver.host.next_wake() == 0
    driver.move()
    assert {len(driver.history("Shelf", f"s{n}")) for n in range(5)} == {2}
    assert all(fold.fields["spare"] == 3 for (kind, _), fold in driver.folded().items() if kind == "Shelf")
    assert not driver.store.moving()


def test_two_swaps_before_anybody_is_moved_are_two_steps_in_the_history() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.at += 1
    driver.swap(compiled(LARGER), 2)
    driver.at += 1
    driver.swap(compiled(SHOP + "\nupgrade from 2\n  Shelf\n    drop spare\n"), 3)
    assert "spare" not in driver.read("Shelf", "s1").fields
    driver.move()
    told = [(entry.cause, entry.event, entry.version) for entry in driver.history("Shelf", "s1")[1:]]
    assert told == [(Cause.SWAP, "v2", 2), (Cause.SWAP, "v3", 3)]
    assert driver.folded()["Shelf", "s1"].fields == {"name": "nuts", "stock": 5}


def test_who_is_not_touched_is_never_rewritten() -> None:
    """A guard is another: whoever lives is as before, and nothing is to be moved."""
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.swap(compiled(SHOP.replace("units: int 1..10", "units: int 1..50")), 2)
    assert not driver.store.moving()
    driver.move()
    assert len(driver.history("Shelf", "s1")) == 1


def test_those_changed_after_they_were_examined_are_examined_again() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    small = compiled(SHOP.replace("stock: int 0..100", "stock: int 0..9"))
    examination = driver.host.examine(small, version(small, 2, driver.at))
    while examination.page():
        pass
    assert examination.stranded == ()
    driver.act("Shelf", "s1", "Refill", units=10)
    stranded = driver.host.exchange(examination)
    assert isinstance(stranded, tuple)
    assert [one.id for one in stranded] == ["s1"]
    driver.act("Shelf", "s1", "Take", units=10)
    assert not isinstance(driver.host.exchange(examination), tuple)


def test_who_closes_in_comes_to_an_end_however_much_changes_between_two_steps() -> None:
    """Each step asks more than came since the last: what is left becomes less, though more comes after each."""
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    examination = driver.host.examine(compiled(LARGER), version(compiled(LARGER), 2, driver.at))
    while examination.page():
        pass
    refill(driver, 10 * NEAR)
    left = [examination.behind()]
    while not examination.close_in():
        left.append(examination.behind())
        refill(driver, NEAR)
    assert left == sorted(left, reverse=True)
    assert 1 < len(left) < 20
    assert examination.behind() <= NEAR
    assert not isinstance(driver.host.exchange(examination), tuple)


def refill(driver: Driver, times: int) -> None:
    for _ in range(0, times, 256):
        driver.asks(*[driver.request("Shelf", "s1", action, units=1) for action in ("Refill", "Take") * 128])


def test_of_more_than_can_be_told_so_many_are_named_and_the_rest_is_counted() -> None:
    driver = Driver()
    for start in range(0, STRANDED_MAX + 40, 130):
        driver.asks(
            *[
                driver.request("Shelf", f"s{number}", "Stock", name=f"n{number}", stock=50)
                for number in range(start, start + 130)
            ]
        )
    small = compiled(SHOP.replace("stock: int 0..100", "stock: int 0..9"))
    examination = driver.host.examine(small, version(small, 2, driver.at))
    while examination.page():
        pass
    assert len(examination.stranded) == STRANDED_MAX
    assert examination.fates["Shelf", "Open"].stranded == 1_040
    assert driver.host.exchange(examination) == examination.stranded


def test_while_somebody_asks_no_more_are_moved_than_ask() -> None:
    """Whoever asks waits for the whole batch; those who are not moved yet are as the new table has them anyway."""
    driver = Driver()
    for number in range(100):
        driver.act("Shelf", f"s{number}", "Stock", name=f"n{number}", stock=5)
    driver.swap(compiled(LARGER), 2)
    asks = [driver.request("Shelf", "s99", "Take", units=1) for _ in range(10)]
    for asked, moved in ((asks, 10), (asks[:1], 4), ([], 64)):
        batch = driver.host.turn(asked, driver.at, {})
        driver.append(batch)
        swapped = {entry.id for change in batch.changes for entry in change.entries if entry.cause is Cause.SWAP}
        assert len(swapped - {"s99"}) == moved


def test_a_new_timer_is_armed_from_the_swap_once_it_is_moved() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.at += 1_000
    closing = SHOP.replace("  action Stock(", "  in Open after 1h do Close\n\n  action Stock(").replace(
        "action Close by boss", "action Close by boss, system"
    )
    driver.swap(compiled(closing), 2)
    swapped_at = driver.at
    driver.at += 60_000
    driver.move()
    assert driver.store.next_due() == swapped_at + 3_600_000
    driver.wait(3_600_000)
    assert driver.read("Shelf", "s1").state == "Closed"


def test_a_list_by_state_finds_those_whose_state_has_another_name_now() -> None:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    renamed = SHOP.replace("states Open, Closed", "states Ready, Closed").replace("to Open\n", "to Ready\n")
    renamed = renamed.replace("from Open\n", "from Ready\n").replace("from Open to", "from Ready to")
    driver.swap(compiled(renamed + "\nupgrade from 1\n  Shelf\n    Open becomes Ready\n"), 2)
    for _ in range(2):
        assert [now.state for now in driver.store.list("Shelf", states=["Ready"], limit=10).items] == ["Ready"]
        assert driver.store.list("Shelf", states=["Open"], limit=10).items == ()
        driver.move()
