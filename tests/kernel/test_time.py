"""Timers: when they fire, and what becomes of one whose action is refused."""

from __future__ import annotations

from temper.kernel import Cause, Limits
from tests.kernel.driving import Driver
from tests.kernel.shop import SHOP, compiled

S, M, H = 1_000, 60_000, 3_600_000

ALARM = """
blueprint alarm

role clerk

entity Alarm
  states Set, Rung, Off
  final Off
  at_time: time
  allowed: bool = true
  ticks: int 0..100 = 0
  rings: int 0..100 = 0

  action Make(at_time) by clerk from new to Set
    set at_time
  action Forbid by clerk from Set
    set allowed = false
  action Allow by clerk from Set
    set allowed = true
  action Tick by system from Set
    set ticks += 1
  action Ring by system from Set to Rung when allowed else "not now"
    set rings += 1
  action Stop by clerk from Set, Rung to Off

  in Set
    at at_time do Ring
    every 1h do Tick
"""


def alarm(*, at_time: int, limits: Limits | None = None) -> Driver:
    driver = Driver(compiled(ALARM), at=0, limits=limits)
    driver.act("Alarm", "a", "Make", at_time=at_time)
    return driver


def test_ruling_17_nothing_fires_early() -> None:
    driver = alarm(at_time=10 * M)
    driver.at = 10 * M - 1
    driver.settle()
    assert driver.read("Alarm", "a").state == "Set"
    assert driver.host.next_wake() == 10 * M
    driver.at += 1
    driver.settle()
    assert driver.read("Alarm", "a").state == "Rung"
    last = driver.history("Alarm", "a")[-1]
    assert (last.cause, last.timer, last.actor, last.by.principal) == (
        Cause.TIMER, "Alarm/in/Set/at/Ring/0", "system", "ann",
    )  # fmt: skip


def test_ruling_17_ticks_that_were_missed_merge_into_one() -> None:
    """The process was down for a day: one tick at once, and the next in its own time."""
    driver = alarm(at_time=1_000 * H)
    driver.at = 24 * H + 5 * M
    driver.restart()
    driver.settle()
    assert driver.read("Alarm", "a").fields["ticks"] == 1
    assert driver.host.next_wake() == 25 * H


def test_ruling_17_due_timers_fire_in_due_order() -> None:
    """The tick of the first hour before the ring at half past, though both are long due."""
    driver = alarm(at_time=90 * M)
    driver.at = 10 * H
    driver.settle()
    assert [entry.action for entry in driver.history("Alarm", "a")] == ["Make", "Tick", "Ring"]


def test_ruling_17_a_refused_timer_is_tried_again_with_back_off() -> None:
    """After one second, two, four ... up to the longest wait; the journal has the refusal once."""
    driver = alarm(at_time=10 * M, limits=Limits(backoff_ms=1 * S, backoff_max_ms=5 * S))
    driver.act("Alarm", "a", "Forbid")
    driver.at = 10 * M
    tries: list[int] = []
    for _ in range(5):
        tries.append(driver.at - 10 * M)
        driver.settle()
        wake = driver.host.next_wake()
        assert wake is not None
        driver.at = wake
    assert tries == [0, 1 * S, 3 * S, 7 * S, 12 * S]
    refusals = [entry for entry in driver.history("Alarm", "a") if entry.refused]
    assert [entry.timer for entry in refusals] == ["Alarm/in/Set/at/Ring/0"]
    assert refusals[0].refused is not None
    assert refusals[0].refused.text == "not now"


def test_ruling_17_a_refused_timer_is_tried_at_once_when_the_entity_changes() -> None:
    driver = alarm(at_time=10 * M, limits=Limits(backoff_ms=30 * M, backoff_max_ms=30 * M))
    driver.act("Alarm", "a", "Forbid")
    driver.at = 10 * M
    driver.settle()
    assert driver.host.next_wake() == 40 * M
    driver.at += 1
    driver.act("Alarm", "a", "Allow")
    driver.settle()
    assert driver.read("Alarm", "a").state == "Rung"


def test_ruling_17_a_refused_timer_survives_a_restart() -> None:
    driver = alarm(at_time=10 * M, limits=Limits(backoff_ms=5 * S))
    driver.act("Alarm", "a", "Forbid")
    driver.at = 10 * M
    driver.settle()
    driver.restart()
    driver.settle()
    assert driver.host.next_wake() == 10 * M + 5 * S
    driver.wait(20 * S)
    driver.act("Alarm", "a", "Allow")
    driver.settle()
    assert driver.read("Alarm", "a").state == "Rung"


def test_a_refused_timer_does_not_hold_up_the_others() -> None:
    driver = alarm(at_time=10 * M, limits=Limits(backoff_ms=100 * H, backoff_max_ms=100 * H))
    driver.act("Alarm", "a", "Forbid")
    driver.wait(3 * H + 1)
    assert driver.read("Alarm", "a").fields["ticks"] == 3


def test_a_timer_that_is_disarmed_by_an_earlier_one_of_its_batch_does_nothing() -> None:
    """Both are due in one turn; ringing leaves the state that ticks."""
    driver = alarm(at_time=30 * M)
    driver.at = 2 * H
    driver.settle()
    assert [entry.action for entry in driver.history("Alarm", "a")] == ["Make", "Ring"]
    assert driver.host.next_wake() is None


def test_a_timer_that_fell_due_while_nobody_was_there_fires_at_the_start() -> None:
    driver = Driver(compiled(SHOP))
    driver.purchase()
    driver.at += 5 * H
    driver.restart()
    driver.settle()
    assert driver.read("Purchase", "p1").fields["reminders"] == 1


def test_many_timers_are_due_at_once_and_none_is_forgotten() -> None:
    """More than go into one batch."""
    driver = Driver(limits=Limits(batch_max=8))
    for number in range(50):
        driver.purchase(f"p{number}")
    driver.at += 2 * H
    driver.settle()
    assert [driver.read("Purchase", f"p{number}").fields["reminders"] for number in range(50)] == [1] * 50
