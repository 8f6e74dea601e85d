"""What a candidate would have done with the last requests."""

from __future__ import annotations

import pytest

from temper.kernel import shadow
from tests.kernel.driving import Driver
from tests.kernel.shop import BOSS, SHOP, compiled


def walked() -> Driver:
    driver = Driver()
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s1", "Take", units=3)
    driver.act("Shelf", "s1", "Take", units=3)
    driver.act("Shelf", "s1", "Refill", units=10)
    driver.purchase()
    driver.act("Purchase", "p1", "Pay")
    driver.act("Shelf", "s1", "Close", BOSS)
    return driver


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("", "", []),
        ("Refill(units: int 1..10)", "Refill(units: int 1..5)",
         [("Refill", "refused")]),
        ('when units <= stock else "not that many on the shelf"\n    set stock -= units',
         "set stock = max(stock - units, 0)",
         [("Take", "taken")]),
        ("set stock += units", "set stock += 2 * units", [("Refill", "fields")]),
        ("from Open to Closed", "from Open", [("Close", "state")]),
        ("bank.charge(amount, number)", "bank.charge(amount + 1, number)", [("Pay", "orders")]),
        ("    create Slip.Print(number)\n", "", [("Order", "others")]),
        ("Close by boss", "Shut by boss", [("Close", "gone")]),
        ("  stock: int 0..100 = 0\n", "  stock: int 0..100 = 0\n  spare: int 0..9 = 3\n", []),
    ],
)  # fmt: skip
def test_each_request_is_asked_again_on_what_there_was(was: str, becomes: str, told: list[tuple[str, str]]) -> None:
    """One row, one edit, and the requests that would have been answered otherwise."""
    driver = walked()
    before = driver.store.last_seq()
    text = SHOP.replace(was, becomes) if was else SHOP
    assert not was or text != SHOP
    candidate = compiled(text.replace("Print(order) by system", "Print(order) by system, clerk"))
    found = shadow(driver.store, candidate, last=100)
    assert [(each.action, each.kind) for each in found.differences] == told
    assert (found.requests, found.differ) == (7, len(told))
    assert driver.store.last_seq() == before


def test_only_the_last_ones_are_asked_and_by_the_version_that_wrote_them() -> None:
    driver = walked()
    larger = compiled(SHOP.replace("  stock: int 0..100 = 0\n", "  stock: int 0..100 = 0\n  spare: int 0..9 = 3\n"))
    driver.swap(larger, 2)
    driver.move()
    driver.act("Shelf", "s2", "Stock", name="bolts", stock=1)
    assert shadow(driver.store, larger, last=2).requests == 2
    whole = shadow(driver.store, compiled(SHOP + "\nupgrade from 2\n  Shelf\n    drop spare\n"), last=100)
    assert (whole.requests, whole.differences) == (8, [])
