"""What happened becomes a scenario that comes out as it happened."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from temper.kernel import Entry
from temper.service import check_texts
from temper.table import Caller, Ending, Table
from temper.verify import NotKept, history_text, run_scenarios
from tests.kernel.driving import MANY, Driver
from tests.kernel.shop import SHOP, compiled
from tests.verify.exchange import EXCHANGE
from tests.verify.texts import table_of

CALLS = """
    blueprint calls

    role r, s

    tool t.do(n: int 0..9) -> (url: string)
      timeout 1s
      idempotent

    entity E
      states A, B, C, D
      final C

      n: int 0..9
      url: string?

      action Make(n) by r from new to A
        set n

      action Go by r from A, D to B

      in B
        on entry call t.do(n) then Yes(result.url) else No
        after 10m do Late

      late Yes, No ignore

      action Yes(url: string) by system from B to C
        set url
      action No by system from B to D
      action Late by system from B to A
"""
ANN = Caller("ann", frozenset({"r"}))


def lived(table: Table) -> Driver:
    """An entity whose first call nobody answers, whose second fails, and whose third is answered."""
    driver = Driver(table)
    driver.act("E", "e", "Make", ANN, n=3)
    driver.act("E", "e", "Go", Caller("sam", frozenset({"s"})))
    driver.act("E", "e", "Go", ANN)
    driver.wait(11 * 60_000)
    driver.act("E", "e", "Go", ANN)
    driver.settle()
    driver.end(driver.attempts[-1], Ending.FAILED, kind="failed")
    driver.act("E", "e", "Go", ANN)
    driver.settle()
    driver.end(driver.attempts[-1], Ending.ANSWERED, url="there")
    return driver


def entries_of(driver: Driver) -> list[Entry]:
    return list(driver.store.entries(0, MANY))


def played(table: Table, scenario: str) -> list[bool]:
    text = table.notes.sources["test.blueprint"]
    checked = check_texts({"test.blueprint": text, "scenarios/kept.blueprint": f"blueprint calls\n\n{scenario}"})
    assert checked.table is not None, checked.errors
    return [each.passed for each in run_scenarios(checked.table)]


def test_people_tools_and_time_are_told() -> None:
    table = table_of(CALLS)
    scenario = history_text(table, entries_of(lived(table)), 'the "third" try')
    lines = [line.strip() for line in scenario.splitlines()]
    assert lines[0] == "scenario \"the 'third' try\""
    assert lines[1:4] == ["r(ann) e = E.Make(n: 3) -> A", "s(sam) e.Go -> denied", "r(ann) e.Go -> B"]
    assert "-> e is A" in next(line for line in lines if line.startswith("wait"))
    assert 't.do fails "bad luck" -> e is D' in lines
    assert 't.do answers (url: "there") -> e is C' in lines
    assert "e.n == 3" not in lines, "what the last entry did not set is not told"


def test_whoever_acts_for_somebody_is_told_so() -> None:
    """What was kept comes out again where the blueprint asks for whom it was done."""
    text = CALLS.replace(
        "action Go by r from A, D to B", "action Go by r from A, D to B when caller.acts_for != caller"
    )
    table = table_of(text)
    driver = Driver(table)
    driver.act("E", "e", "Make", ANN, n=3)
    driver.act("E", "e", "Go", Caller("bot-7", frozenset({"r"}), "ann@home"))
    scenario = history_text(table, entries_of(driver), "on behalf")
    assert "r(bot_7 for ann_home) e.Go -> B" in scenario
    assert played(table, scenario) == [True]


@pytest.mark.parametrize("count", range(1, 4))
def test_every_beginning_comes_out_as_it_happened(count: int) -> None:
    table = table_of(CALLS)
    scenario = history_text(table, entries_of(lived(table))[:count], "a beginning")
    assert played(table, scenario) == [True]


def test_what_can_not_be_played_says_why() -> None:
    table = table_of(CALLS)
    entries = entries_of(lived(table))
    with pytest.raises(NotKept, match="begin after E `e` was created"):
        history_text(table, entries[2:], "no beginning")
    with pytest.raises(NotKept, match="nothing that a person or a tool did"):
        history_text(table, [], "nothing")
    with pytest.raises(NotKept, match="the blueprint has no `X`"):
        history_text(table, [replace(entries[0], entity="X")], "another")


def test_one_that_is_referred_to_has_to_be_among_them() -> None:
    driver = Driver()
    driver.act("Shelf", "s", "Stock", name="s", stock=20)
    driver.act("Purchase", "p", "Order", number="1", amount=Decimal(2), shelf="s")
    entries = entries_of(driver)
    assert "shelf: s" in history_text(compiled(SHOP), entries, "both")
    alone = [entry for entry in entries if entry.entity == "Purchase"]
    with pytest.raises(NotKept, match="Shelf `s` is referred to"):
        history_text(compiled(SHOP), alone, "one")


def test_what_an_action_creates_gets_a_name() -> None:
    table = table_of(EXCHANGE)
    driver = Driver(table)
    driver.act("Account", "a", "Make", paid_in=9)
    driver.act("Teller", "t", "Come")
    driver.act("Teller", "t", "Write", giver="a")
    slip = next(entry.id for entry in entries_of(driver) if entry.entity == "Slip")
    driver.act("Slip", slip, "Cash", taker="a")
    scenario = history_text(table, entries_of(driver), "a slip")
    lines = [line.strip() for line in scenario.splitlines()]
    assert lines[3:5] == ["clerk(ann) t.Write(giver: a) -> Here, s", "clerk(ann) s.Cash(taker: a) -> Cashed"]
    checked = check_texts({"test.blueprint": EXCHANGE, "scenarios/kept.blueprint": f"blueprint exchange\n\n{scenario}"})
    assert checked.table is not None, checked.errors
    assert [each.passed for each in run_scenarios(checked.table)] == [True]


def test_what_was_before_is_given() -> None:
    table = table_of(CALLS)
    entries = entries_of(lived(table))
    begin = next(entry.seq for entry in entries if entry.action == "Go" and entry.before == "D")
    scenario = history_text(table, entries, "the end", begin=begin)
    lines = [line.strip() for line in scenario.splitlines()]
    assert lines[1:3] == ["given E e(state: D, n: 3)", "r(ann) e.Go -> B"]
    assert played(table, scenario) == [True]


def test_an_outcome_of_a_call_that_was_made_before_is_no_line() -> None:
    table = table_of(CALLS)
    entries = entries_of(lived(table))
    last = entries[-1]
    with pytest.raises(NotKept, match="ends a call that was made before"):
        history_text(table, entries, "too late", begin=last.seq)


def test_a_call_that_never_ends_does_not_stand_before_a_later_one() -> None:
    """The first call of the tool is still open when the second one fails, and the third is answered."""
    table = table_of(CALLS)
    assert played(table, history_text(table, entries_of(lived(table)), "the third try")) == [True]
