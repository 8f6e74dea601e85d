"""What falls due with the passing of time alone."""

from __future__ import annotations

from temper.table import Armed, Deferred, Fire, Offer, Snapshot, due, next_due
from tests.table.build import ANN


def snapshot(timers: tuple[Armed, ...] = (), deferred: tuple[Deferred, ...] = ()) -> Snapshot:
    return Snapshot("E", "e1", "A", {}, 3, 1, 0, 50, (), timers, deferred)


TIMERS = (Armed("c", 300, 2, ANN), Armed("a", 100, 1, ANN), Armed("off", None, 1, ANN), Armed("b", 100, 3, ANN, 5))


def test_due_in_due_order_and_in_the_order_of_the_text_where_that_is_equal() -> None:
    now = snapshot(TIMERS)
    assert due(now, 99) == ()
    assert due(now, 100) == (Fire("", 100, "a", 1), Fire("", 100, "b", 3))
    assert due(now, 400) == (Fire("", 400, "a", 1), Fire("", 400, "b", 3), Fire("", 400, "c", 2))


def test_without_time_every_armed_timer_is_due_at_its_own() -> None:
    assert due(snapshot(TIMERS), None) == (Fire("", 100, "a", 1), Fire("", 100, "b", 3), Fire("", 300, "c", 2))


def test_deferred_ones_come_first_once_their_place_is_left() -> None:
    held = (Deferred("x", "A", {}, ANN, "in A"), Deferred("y", "A", {}, ANN, ""), Deferred("z", "A", {}, ANN, ""))
    now = snapshot(TIMERS, held)
    assert due(now, 100)[:2] == (Offer("", 100, "y"), Offer("", 100, "z"))
    assert len(due(now, 100)) == 4


def test_next_due() -> None:
    assert next_due(snapshot()) is None
    assert next_due(snapshot(TIMERS)) == 100
    assert next_due(snapshot(TIMERS, (Deferred("x", "A", {}, ANN, "in A"),))) == 100
    assert next_due(snapshot(TIMERS, (Deferred("x", "A", {}, ANN, ""),))) == 50
