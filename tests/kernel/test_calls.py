"""Calls: attempts, their endings, and what a restart finds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from temper.kernel import Attempt, Cause, Discard, Done, Entry, OrderState, Retry
from temper.table import Ending
from tests.kernel.driving import Driver
from tests.kernel.shop import SHOP, compiled

S, M = 1_000, 60_000


def shipping(driver: Driver) -> Attempt:
    """A purchase whose `post.ship` is under way: a tool that is not idempotent."""
    driver.end(driver.paying(), Ending.ANSWERED, receipt="r")
    driver.act("Purchase", "p1", "Ship")
    driver.settle()
    return driver.attempts[-1]


def outcomes(driver: Driver, order: str) -> list[Entry]:
    return [
        entry for entry in driver.history("Purchase", "p1") if entry.ended is not None and entry.ended.order == order
    ]


def test_ruling_12_an_attempt_starts_only_after_its_start_is_durable() -> None:
    """The batch that holds the order has no attempt; the one that starts it has, and the row says so."""
    driver = Driver()
    driver.purchase()
    driver.act("Purchase", "p1", "Pay")
    assert driver.attempts == []
    (row,) = driver.store.orders_of("Purchase", "p1")
    assert (row.state, row.attempts, row.args) == (OrderState.WAITING, 0, {"amount": "2.5", "order": "number-p1"})
    driver.turn()
    (attempt,) = driver.attempts
    assert (attempt.order, attempt.number, attempt.timeout_ms) == (row.order, 1, 30_000)
    assert driver.store.started()[0].attempts == 1
    driver.settle()
    assert len(driver.attempts) == 1


def test_an_answer_ends_the_call() -> None:
    driver = Driver()
    attempt = driver.paying()
    done = driver.end(attempt, Ending.ANSWERED, receipt="r1")
    assert isinstance(done, Done)
    assert (done.snapshot.state, done.snapshot.fields["receipt"], done.snapshot.calls) == ("Paid", "r1", ())
    (entry,) = outcomes(driver, attempt.order)
    assert entry.ended is not None
    assert (entry.cause, entry.actor, entry.by.principal) == (Cause.OUTCOME, "system", "ann")
    assert (entry.ended.ending, entry.ended.number, entry.ended.results) == ("answered", 0, {"receipt": "r1"})
    assert driver.store.order(attempt.order) is None


def test_no_more_attempts_of_a_tool_than_there_is_room_for() -> None:
    driver = Driver()
    driver.room = {"bank.charge": 2}
    for number in range(3):
        driver.purchase(f"p{number}")
        driver.act("Purchase", f"p{number}", "Pay")
    driver.turn()
    assert [attempt.id for attempt in driver.attempts] == ["p0", "p1"]
    # The third waits for room, not for time.
    assert driver.host.next_wake() == driver.at
    assert driver.host.next_wake(busy=["bank.charge"]) is None


@pytest.mark.parametrize(
    ("ending", "kind", "retry", "tries", "outcome"),
    [
        # `bank.charge` is idempotent, with two attempts more.
        (Ending.FAILED, "unavailable", True, 3, ("failed", "unavailable")),
        (Ending.FAILED, "rejected", False, 1, ("failed", "rejected")),
        (Ending.UNKNOWN, "timeout", False, 3, ("unknown", "timeout")),
        (Ending.ANSWERED, "", False, 1, ("answered", "")),
    ],
)  # fmt: skip
def test_how_often_it_is_tried(ending: Ending, kind: str, retry: bool, tries: int, outcome: tuple[str, str]) -> None:
    """One row, one way to end that every attempt meets: how many there are, and what is recorded."""
    driver = Driver()
    order = driver.paying().order
    for _ in range(tries):
        assert outcomes(driver, order) == []
        results = {"receipt": "r"} if ending is Ending.ANSWERED else {}
        driver.end(driver.attempts[-1], ending, kind=kind, retry=retry, **results)
        driver.wait(20 * S)
    assert [attempt.number for attempt in driver.attempts] == list(range(1, tries + 1))
    (entry,) = outcomes(driver, order)
    assert entry.ended is not None
    assert (entry.ended.ending, entry.ended.error_kind) == outcome


@pytest.mark.parametrize(
    ("ending", "kind", "retry", "tries", "outcome"),
    [
        # `post.ship` is not, with one attempt more.
        (Ending.FAILED, "unavailable", True, 2, ("failed", "unavailable")),
        (Ending.UNKNOWN, "timeout", False, 1, ("unknown", "timeout")),
    ],
)  # fmt: skip
def test_ruling_12_an_attempt_of_unknown_fate_is_repeated_only_if_the_tool_is_idempotent(
    ending: Ending, kind: str, retry: bool, tries: int, outcome: tuple[str, str]
) -> None:
    driver = Driver()
    order = shipping(driver).order
    for _ in range(tries):
        assert outcomes(driver, order) == []
        driver.end(driver.attempts[-1], ending, kind=kind, retry=retry)
        driver.wait(2 * M)
    assert [attempt.number for attempt in driver.attempts if attempt.order == order] == list(range(1, tries + 1))
    (entry,) = outcomes(driver, order)
    assert entry.ended is not None
    assert (entry.ended.ending, entry.ended.error_kind) == outcome


def test_the_wait_between_attempts_grows_to_its_end() -> None:
    """`retry 2 every 10s up to 15s`: after 10 seconds, then after 15, since 20 would be past it."""
    driver = Driver()
    driver.paying()
    begun = [driver.at]
    for _ in range(2):
        driver.end(driver.attempts[-1], Ending.FAILED, kind="unavailable", retry=True)
        (row,) = driver.store.orders_of("Purchase", "p1")
        assert (row.state, row.last_error) == (OrderState.WAITING, "unavailable: bad luck")
        driver.at = row.next_at - 1
        driver.settle()
        assert len(driver.attempts) == len(begun)
        driver.at = row.next_at
        driver.settle()
        begun.append(driver.at)
        assert len(driver.attempts) == len(begun)
    assert [after - before for before, after in pairwise(begun)] == [10 * S, 15 * S]


def test_after_an_unknown_attempt_a_failure_to_get_through_says_nothing() -> None:
    """The first attempt may have charged; that the last ones found no connection does not make it a failure."""
    driver = Driver()
    order = driver.paying().order
    driver.end(driver.attempts[-1], Ending.UNKNOWN, kind="timeout")
    for _ in range(2):
        driver.wait(20 * S)
        driver.end(driver.attempts[-1], Ending.FAILED, kind="unavailable", retry=True)
    (entry,) = outcomes(driver, order)
    assert entry.ended is not None
    assert entry.ended.ending == "unknown"
    assert driver.read("Purchase", "p1").state == "Lost"


def test_after_an_unknown_attempt_the_tools_own_no_is_believed() -> None:
    """It honours the order's id: if it had done it before, it would say so now."""
    driver = Driver()
    order = driver.paying().order
    driver.end(driver.attempts[-1], Ending.UNKNOWN, kind="timeout")
    driver.wait(20 * S)
    driver.end(driver.attempts[-1], Ending.FAILED, kind="rejected", retry=False)
    (entry,) = outcomes(driver, order)
    assert entry.ended is not None
    assert entry.ended.ending == "failed"


@pytest.mark.parametrize("answer", [{}, {"receipt": 7}, {"receipt": "r", "extra": True}, {"receipt": None}])
def test_ruling_29_an_answer_of_another_type_is_a_failure(answer: dict[str, object]) -> None:
    """It is final: the thing was done, and asking again might do it again."""
    driver = Driver()
    attempt = driver.paying()
    driver.end(attempt, Ending.ANSWERED, **answer)
    (entry,) = outcomes(driver, attempt.order)
    assert entry.ended is not None
    assert (entry.ended.ending, entry.ended.error_kind) == ("failed", "bad_answer")
    assert driver.read("Purchase", "p1").state == "Failed"


# --- late and twice ---------------------------------------------------------------------------------------------------


def test_ruling_13_after_unknown_one_correction_and_no_more() -> None:
    driver = Driver()
    attempt = shipping(driver)
    driver.end(attempt, Ending.UNKNOWN, kind="timeout")
    assert [call.ended for call in driver.read("Purchase", "p1").calls] == [True]
    assert isinstance(driver.end(attempt, Ending.ANSWERED), Done)
    assert driver.end(attempt, Ending.ANSWERED) is None
    assert driver.end(attempt, Ending.FAILED, kind="rejected") is None
    entries = outcomes(driver, attempt.order)
    assert [(entry.ended.number, entry.ended.ending) for entry in entries if entry.ended] == [
        (0, "unknown"), (1, "answered"),
    ]  # fmt: skip
    assert entries[1].late is not None
    assert driver.read("Purchase", "p1").calls == ()


def test_ruling_15_late_decides_what_becomes_of_a_correction() -> None:
    """`in Lost late Charged do Found(receipt)`: the charge went through after all."""
    driver = Driver()
    attempt = driver.paying()
    for _ in range(3):
        driver.end(driver.attempts[-1], Ending.UNKNOWN, kind="timeout")
        driver.wait(20 * S)
    assert driver.read("Purchase", "p1").state == "Lost"
    driver.end(attempt, Ending.ANSWERED, receipt="r9")
    now = driver.read("Purchase", "p1")
    assert (now.state, now.fields["receipt"]) == ("Paid", "r9")
    assert outcomes(driver, attempt.order)[-1].how == "late"


def test_an_ending_that_is_told_twice_counts_once() -> None:
    driver = Driver()
    attempt = driver.paying()
    driver.end(attempt, Ending.ANSWERED, receipt="r")
    assert driver.end(attempt, Ending.ANSWERED, receipt="r") is None
    assert driver.end(attempt, Ending.UNKNOWN, kind="timeout") is None
    assert len(outcomes(driver, attempt.order)) == 1


def test_the_first_answer_wins_whichever_attempt_it_is_of() -> None:
    """The first attempt timed out, the second is under way, and then the first answers after all."""
    driver = Driver()
    first = driver.paying()
    driver.end(first, Ending.UNKNOWN, kind="timeout")
    driver.wait(20 * S)
    second = driver.attempts[-1]
    assert second.number == 2
    assert driver.end(first, Ending.FAILED, kind="unavailable", retry=True) is None
    assert isinstance(driver.end(first, Ending.ANSWERED, receipt="r1"), Done)
    assert driver.end(second, Ending.ANSWERED, receipt="r2") is None
    assert driver.read("Purchase", "p1").fields["receipt"] == "r1"


# --- restarts ---------------------------------------------------------------------------------------------------------


def test_ruling_12_a_restart_repeats_an_idempotent_attempt() -> None:
    """Once at least, however many there have been."""
    driver = Driver()
    order = driver.paying().order
    for number in (2, 3, 4, 5):
        driver.restart()
        driver.settle()
        assert [(attempt.order, attempt.number) for attempt in driver.attempts] == [(order, number)]
    driver.end(driver.attempts[-1], Ending.ANSWERED, receipt="r")
    assert len(outcomes(driver, order)) == 1


def test_ruling_12_a_restart_ends_an_attempt_that_may_not_be_repeated_as_unknown() -> None:
    driver = Driver()
    order = shipping(driver).order
    driver.restart()
    driver.settle()
    assert driver.attempts == []
    (entry,) = outcomes(driver, order)
    assert entry.ended is not None
    assert entry.ended.ending == "unknown"
    now = driver.read("Purchase", "p1")
    # Without `unknown`, `else` has it, with the kind `timeout`.
    assert (now.state, now.fields["why"]) == ("Paid", "timeout")


def test_a_restart_takes_up_a_call_that_waited() -> None:
    driver = Driver()
    driver.purchase()
    driver.act("Purchase", "p1", "Pay")
    driver.restart()
    driver.settle()
    assert [attempt.number for attempt in driver.attempts] == [1]


# --- operators --------------------------------------------------------------------------------------------------------


def test_ruling_12_a_discarded_call_ends_unknown() -> None:
    driver = Driver()
    attempt = driver.paying()
    driver.asks(Discard(attempt.order))
    (entry,) = outcomes(driver, attempt.order)
    assert entry.ended is not None
    assert (entry.ended.ending, entry.ended.error_text) == ("unknown", "an operator gave the call up")
    assert driver.store.order(attempt.order) is None
    # What the attempt says afterwards is the correction.
    driver.end(attempt, Ending.ANSWERED, receipt="r")
    assert driver.read("Purchase", "p1").fields["receipt"] == "r"


def test_an_operator_need_not_wait_for_the_back_off() -> None:
    driver = Driver()
    attempt = driver.paying()
    driver.end(attempt, Ending.FAILED, kind="unavailable", retry=True)
    driver.settle()
    assert len(driver.attempts) == 1
    driver.asks(Retry(attempt.order))
    driver.settle()
    assert len(driver.attempts) == 2


def test_a_dead_outcome_is_recorded_and_leaves_a_letter() -> None:
    """Nothing says what becomes of it: people must look."""
    table = compiled(SHOP.replace("  late Charged, Declined, Unsure ignore\n", "  late Unsure ignore\n"))
    driver = Driver(table)
    attempt = driver.paying()
    for _ in range(3):
        driver.end(driver.attempts[-1], Ending.UNKNOWN, kind="timeout")
        driver.wait(20 * S)
    driver.end(attempt, Ending.FAILED, kind="rejected")
    entry = outcomes(driver, attempt.order)[-1]
    assert (entry.how, entry.moves) == ("dead", ())
    (letter,) = driver.store.letters(limit=10)
    assert (letter.order, letter.entity, letter.id) == (attempt.order, "Purchase", "p1")
    driver.asks(Discard(attempt.order))
    assert driver.store.letters(limit=10) == []
