"""What operators do about orders: told in the history of who ordered it, and no change of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from temper.kernel import Cause, Discard, Entry, Operated, Retry, Who
from temper.table import Caller, Ending
from tests.kernel.driving import Driver
from tests.kernel.shop import SHOP, compiled

EVE = Caller("eve", frozenset({"admin"}), "ann")
STERN = compiled(SHOP.replace("  late Charged, Declined, Unsure ignore\n", "  late Unsure ignore\n"))
S = 1_000
NOBODY = "there is no Shelf `nowhere`"


def dead_send() -> tuple[Driver, str]:
    """A send that its target has no place for."""
    driver = Driver(compiled(SHOP.replace("  late Take, Refill ignore\n", "  late Refill ignore\n")))
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.purchase(shelf="s1")
    driver.act("Purchase", "p1", "Reserve", units=9)
    driver.settle()
    return driver, driver.store.orders_of("Purchase", "p1")[0].order


def lost_send() -> tuple[Driver, str]:
    """A send to nobody: nothing but its letter tells of it."""
    driver = Driver()
    driver.purchase(shelf="nowhere")
    driver.act("Purchase", "p1", "Reserve", units=9)
    driver.settle()
    return driver, driver.store.orders_of("Purchase", "p1")[0].order


def waiting_call() -> tuple[Driver, str]:
    """A call that is tried again later."""
    driver = Driver()
    attempt = driver.paying()
    driver.end(attempt, Ending.FAILED, kind="unavailable", retry=True)
    return driver, attempt.order


def dead_outcome() -> tuple[Driver, str]:
    """What came of a call that has ended, for which there was no place."""
    driver = Driver(STERN)
    attempt = driver.paying()
    for _ in range(3):
        driver.end(driver.attempts[-1], Ending.UNKNOWN, kind="timeout")
        driver.wait(20 * S)
    driver.end(attempt, Ending.FAILED, kind="rejected")
    return driver, attempt.order


def operated(driver: Driver) -> list[Entry]:
    return [entry for entry in driver.history("Purchase", "p1") if entry.cause is Cause.OPERATOR]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (dead_send, Operated("{order}", "send", "Shelf/s1.Take", "not that many on the shelf", "they refilled it")),
        (lost_send, Operated("{order}", "send", "Shelf/nowhere.Take", NOBODY, "they refilled it")),
        (waiting_call, Operated("{order}", "call", "bank.charge", "unavailable: bad luck", "they refilled it")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["retried", "discarded"])
def test_what_an_operator_does_is_in_the_history(
    make: Callable[[], tuple[Driver, str]], what: Operated, how: str
) -> None:
    """Who, when, about what, and why; it makes no other of the entity, so that its version stays."""
    driver, order = make()
    driver.at += 7
    before = driver.read("Purchase", "p1").version
    driver.asks((Retry if how == "retried" else Discard)(order, EVE, "they refilled it"))
    (entry,) = operated(driver)
    assert entry.operated == Operated(order, what.kind, what.to, what.text, what.note)
    assert (entry.how, entry.at, entry.by, entry.event) == (how, driver.at, Who("eve", ("admin",), "ann"), order)
    assert not entry.changes
    assert entry.before == entry.after == driver.read("Purchase", "p1").state
    ended = [each for each in driver.history("Purchase", "p1") if each.ended is not None]
    assert driver.read("Purchase", "p1").version == before + len(ended) == entry.version
    assert driver.folded()["Purchase", "p1"].version == entry.version


def test_a_letter_of_an_order_that_has_ended_is_put_away_by_name() -> None:
    driver, order = dead_outcome()
    driver.asks(Discard(order, EVE))
    (entry,) = operated(driver)
    text = "`bank.charge` had ended as unknown before this came"
    assert (entry.how, entry.operated) == ("discarded", Operated(order, text=text))


@pytest.mark.parametrize("make", [dead_send, lost_send, waiting_call, dead_outcome])
def test_what_is_not_done_is_not_told(make: Callable[[], tuple[Driver, str]]) -> None:
    """An order that has ended meanwhile can't be tried again, and neither that nor giving it up again is an entry."""
    driver, order = make()
    driver.asks(Discard(order))
    told = operated(driver)
    driver.asks(Retry(order))
    driver.asks(Discard(order))
    assert operated(driver) == told
    assert len(told) == 1
    assert told[0].by == Who("operator")


def test_an_attempt_that_is_under_way_is_not_tried_again() -> None:
    driver = Driver()
    attempt = driver.paying()
    driver.asks(Retry(attempt.order, EVE))
    assert operated(driver) == []


def test_an_operator_comes_after_what_another_version_made_of_the_entity() -> None:
    """The swap is told first, so that versions stay dense."""
    driver, order = waiting_call()
    renamed = SHOP.replace("Paying", "Charging") + "\nupgrade from 1\n  Purchase\n    Paying becomes Charging\n"
    driver.swap(compiled(renamed), 2)
    driver.asks(Discard(order, EVE))
    causes = [entry.cause for entry in driver.history("Purchase", "p1")][-3:]
    assert causes == [Cause.SWAP, Cause.OUTCOME, Cause.OPERATOR]
    assert driver.folded()["Purchase", "p1"].version == driver.read("Purchase", "p1").version
