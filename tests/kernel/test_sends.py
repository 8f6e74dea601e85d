"""Sends between entities: their order, their lateness, and the dead ones."""

from __future__ import annotations

from temper.kernel import Cause, Discard, OrderState, Retry
from temper.table import Ending
from tests.kernel.driving import Driver
from tests.kernel.shop import BOSS, SHOP, compiled


def reserving(units: int = 2) -> Driver:
    """A purchase has sent `Take` to its shelf; it has not arrived."""
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.purchase(shelf="s1")
    driver.act("Purchase", "p1", "Reserve", units=units)
    return driver


def test_a_send_arrives_in_a_commit_of_its_own() -> None:
    driver = reserving()
    assert driver.read("Shelf", "s1").fields["stock"] == 5
    (row,) = driver.store.orders_of("Purchase", "p1")
    driver.settle()
    assert driver.read("Shelf", "s1").fields["stock"] == 3
    assert driver.store.orders_of("Purchase", "p1") == []
    last = driver.history("Shelf", "s1")[-1]
    assert (last.cause, last.event, last.actor, last.by.principal) == (Cause.SEND, row.order, "system", "ann")


def test_a_send_that_is_under_way_survives_a_restart() -> None:
    driver = reserving()
    driver.restart()
    driver.settle()
    driver.restart()
    driver.settle()
    assert driver.read("Shelf", "s1").fields["stock"] == 3


def test_ruling_16_sends_between_two_entities_keep_their_order() -> None:
    """Refilling first would be refused by the bound; taking more than there is, by the guard."""
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=100)
    driver.purchase(shelf="s1")
    sent = [("Reserve", 10), ("GiveBack", 10), ("Reserve", 3), ("GiveBack", 3)]
    for action, units in sent:
        driver.act("Purchase", "p1", action, units=units)
    driver.settle()
    stocks = [entry.set["stock"] for entry in driver.history("Shelf", "s1") if entry.cause is Cause.SEND]
    assert stocks == [90, 100, 97, 100]


def test_a_send_that_its_target_refuses_is_late() -> None:
    """`late Take, Refill ignore`: recorded, and nothing else."""
    driver = reserving(units=9)
    driver.settle()
    last = driver.history("Shelf", "s1")[-1]
    assert (last.how, last.late, last.moves) == ("ignored", "not that many on the shelf", ())
    assert driver.store.letters(limit=10) == []


def test_ruling_15_defer_keeps_a_send_until_the_state_is_left() -> None:
    driver = Driver()
    driver.purchase("p2")
    attempt = driver.paying("p1")
    driver.act("Purchase", "p2", "Tell", other="p1", text="hurry")
    driver.settle()
    assert driver.history("Purchase", "p1")[-1].how == "deferred"
    assert driver.read("Purchase", "p1").fields["remarks"] == ()
    driver.restart()
    driver.settle()
    driver.end(driver.attempts[-1], Ending.ANSWERED, receipt="r")
    assert attempt.order == driver.attempts[-1].order
    driver.settle()
    now = driver.read("Purchase", "p1")
    assert (now.state, now.fields["remarks"], now.deferred) == ("Paid", ("hurry",), ())
    assert driver.history("Purchase", "p1")[-1].cause is Cause.OFFER


def dead_letter() -> tuple[Driver, str]:
    """A send to a shelf that was closed, where nothing says what becomes of a late one."""
    driver = Driver(compiled(SHOP.replace("  late Take, Refill ignore\n", "")))
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.purchase(shelf="s1")
    driver.act("Purchase", "p1", "Reserve", units=9)
    (row,) = driver.store.orders_of("Purchase", "p1")
    driver.settle()
    return driver, row.order


def test_a_send_without_a_home_is_a_dead_letter() -> None:
    """It stays, and holds up no other in its lane."""
    driver, order = dead_letter()
    row = driver.store.order(order)
    assert row is not None
    assert (row.state, row.last_error) == (OrderState.DEAD, "not that many on the shelf")
    (letter,) = driver.store.letters(limit=10)
    assert (letter.order, letter.entity, letter.id, letter.text) == (order, "Shelf", "s1", "not that many on the shelf")
    assert driver.history("Shelf", "s1")[-1].how == "dead"
    driver.act("Purchase", "p1", "Reserve", units=1)
    driver.settle()
    assert driver.read("Shelf", "s1").fields["stock"] == 4


def test_an_operator_retries_a_dead_send() -> None:
    driver, order = dead_letter()
    driver.act("Shelf", "s1", "Refill", units=9)
    driver.asks(Retry(order))
    assert driver.store.letters(limit=10) == []
    driver.settle()
    assert driver.read("Shelf", "s1").fields["stock"] == 5
    assert driver.store.order(order) is None


def test_an_operator_discards_a_dead_send() -> None:
    driver, order = dead_letter()
    driver.asks(Discard(order))
    driver.settle()
    assert driver.store.order(order) is None
    assert driver.store.letters(limit=10) == []


def test_a_send_to_nobody_is_a_dead_letter() -> None:
    """A reference can be given that stands for nothing."""
    driver = Driver()
    driver.purchase(shelf="nowhere")
    driver.act("Purchase", "p1", "Reserve", units=1)
    driver.settle()
    (letter,) = driver.store.letters(limit=10)
    assert (letter.entity, letter.id) == ("Shelf", "nowhere")
    assert driver.host.next_wake() is not None  # The purchase's reminder, and nothing that is due now.
    assert driver.turn().changes == ()


def test_a_send_to_one_that_is_final_is_late() -> None:
    driver = reserving()
    driver.act("Shelf", "s1", "Close", BOSS)
    driver.settle()
    assert driver.history("Shelf", "s1")[-1].how == "ignored"
