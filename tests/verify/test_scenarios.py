"""Scenarios: lines that come out as written, and what is said of one that does not."""

from __future__ import annotations

import pytest

from temper.table import Table
from temper.verify import ScenarioResult, run_scenarios, verify
from tests.verify.texts import HELIX, table_of

ORDER = """
    blueprint shop

    role buyer, clerk
    event Shipped(number: int)

    tool bank.charge(amount: int) -> (receipt: string)
      timeout 1m

    entity Order
      states Open, Paying, Paid, Cancelled
      final Cancelled
      number: int
      amount: int 0..100
      receipt: string?
      reminded: int 0..9 = 0
      unique number

      action Place(number, amount) by buyer from new to Open
        set number, amount
      in Open
        every 1d do Remind
        after 3d do Cancel
      action Remind by system from Open
        set reminded += 1
      action Pay by buyer from Open to Paying
        call bank.charge(amount) then Charged(result.receipt) else Failed(error.text)
      action Charged(receipt) by system from Paying to Paid
        set receipt
      action Failed(reason: string) by system from Paying to Open
        set refused_because = reason
      refused_because: string?
      action Cancel by clerk, system from Open, Paying, Paid to Cancelled
      action Ship by clerk from Paid
        when amount > 0 else "there is nothing to ship"
        emit Shipped(number)
      late Charged, Failed ignore
"""


def play(lines: str, text: str = ORDER) -> ScenarioResult:
    indented = "\n".join(f"      {line}" for line in lines.strip().splitlines())
    table = table_of(f'{text}\n    scenario "s"\n{indented}\n')
    (result,) = run_scenarios(table)
    return result


PLACED = "buyer(ann) o = Order.Place(number: 1, amount: 5) -> Open\n"


@pytest.mark.parametrize(
    "lines",
    [
        # Who, what, and what comes of it.
        PLACED + 'buyer(ann) o.Pay -> Paying\nbank.charge answers (receipt: "r1") -> o is Paid\no.receipt == "r1"',
        PLACED
        + 'buyer(ann) o.Pay -> Paying\nbank.charge fails "no funds" -> o is Open\no.refused_because == "no funds"',
        PLACED + "buyer(ann) o.Pay -> Paying\nbank.charge times out -> o is Open",
        # The true answer after the time-out comes late, once, and is ignored.
        PLACED
        + "buyer(ann) o.Pay -> Paying\nbank.charge times out -> o is Open\n"
        + 'bank.charge answers (receipt: "r") -> o is Open',
        PLACED + "clerk(cat) o.Pay -> denied",
        PLACED + 'clerk(cat) o.Ship -> refused "no case"',
        PLACED + 'buyer(ann) Order.Place(number: 1, amount: 5) -> refused "not unique"',
        PLACED + 'buyer(ann) Order.Place(number: 1, amount: 5) -> refused "another Order has this"',
        PLACED + "buyer(ann) Order.Place(number: 2, amount: 5) -> Open",
        # The clock: everything that falls due on the way, in due order.
        PLACED + "wait 2d -> o is Open\no.reminded == 2",
        PLACED + "wait 3d -> o is Cancelled\no.reminded == 3",
        PLACED + "wait 1h\nwait 23h\no.reminded == 1",
        # Put into a state, with its timers.
        "given Order o(state: Open, number: 7, amount: 0)\nwait 3d -> o is Cancelled",
        'given Order o(state: Paid, number: 7, amount: 0)\nclerk(cat) o.Ship -> refused "nothing to ship"',
        "given Order o(state: Paid, number: 7, amount: 1)\nclerk(cat) o.Ship -> Paid\nemitted Shipped(number: 7)",
    ],
)  # fmt: skip
def test_a_scenario_that_comes_out(lines: str) -> None:
    """One row, one way to write what happens."""
    result = play(lines)
    assert result.passed, result.problem


@pytest.mark.parametrize(
    ("lines", "code", "message", "label"),
    [
        (PLACED + "buyer(ann) o.Pay -> Paid", "B601", "this leads to `Paying`, not to `Paid`", "it is `Paying`"),
        (
            PLACED + "clerk(cat) o.Pay -> Paying",
            "B601",
            "this is refused: `Pay` is by `buyer`; `cat` is `clerk`",
            "refused: denied",
        ),
        (
            PLACED + "buyer(ann) o.Pay -> denied",
            "B601",
            "this is not denied: it leads to `Paying`",
            "Order is `Paying`",
        ),
        (PLACED + "clerk(cat) o.Ship -> denied", "B601", "this is not denied, but refused: ", "refused: no case"),
        (
            PLACED + 'clerk(cat) o.Ship -> refused "too heavy"',
            "B601",
            "this is refused for another reason: ",
            "refused: no case",
        ),
        (PLACED + "o.reminded == 2", "B601", "`o.reminded == 2` does not hold", "o.reminded is 0"),
        (PLACED + "wait 1d -> o is Cancelled", "B601", "`o.state is Cancelled` does not hold", "o is Open"),
        (PLACED + "emitted Shipped(number: 1)", "B601", "`Shipped` was not emitted", "emitted so far: nothing"),
        (
            PLACED + 'bank.charge answers (receipt: "r")',
            "B602",
            "no call of `bank.charge` waits for an outcome",
            "nothing has called it, or it has ended",
        ),
    ],
)  # fmt: skip
def test_a_line_that_does_not_come_out_says_what_happened_instead(
    lines: str, code: str, message: str, label: str
) -> None:
    """One row, one failing line: it is the last, and the problem stands there."""
    result = play(lines)
    assert not result.passed
    assert result.problem is not None
    assert result.problem.code.name == code
    assert result.problem.message.startswith(message)
    assert result.problem.primary.text == label
    span = result.problem.primary.span
    assert lines.strip().splitlines()[-1].split(" ->")[0] in _text(lines)[span.start : span.end]


def _text(lines: str) -> str:
    from textwrap import dedent

    indented = "\n".join(f"      {line}" for line in lines.strip().splitlines())
    return dedent(f'{ORDER}\n    scenario "s"\n{indented}\n').lstrip("\n")


AGENTS = """
blueprint agents
role person, agent
entity Work
  states Asked, Done
  final Done
  owner: principal
  action Ask by person from new to Asked
    set owner = caller
  action Do by agent from Asked to Done
    when caller.acts_for == owner else "not yours"

scenario "an agent does what its person has asked for"
  person(ann) w = Work.Ask -> Asked
  agent(bot) w.Do -> refused "not yours"
  agent(bot for bob) w.Do -> refused "not yours"
  person(ann for bob) w.Do -> denied
  agent, person(bot for ann) w.Do -> Done
  w.owner == "ann"
"""


def test_behind_an_agent_there_is_a_person() -> None:
    """Whoever has nobody behind it acts for itself."""
    (result,) = run_scenarios(table_of(AGENTS))
    assert result.passed, result.problem


def test_a_fault_fails_a_line_whatever_it_expects() -> None:
    """The tenth reminder does not fit its type."""
    result = play(PLACED + "wait 20d -> o is Cancelled", ORDER.replace("after 3d do Cancel", "after 19d do Cancel"))
    assert result.problem is not None
    assert result.problem.code.name == "B603"
    assert "`reminded` would be 10" in result.problem.message


def test_a_fault_of_a_late_outcome_is_not_hidden_by_ignore() -> None:
    """`late ... ignore` is for what is late, not for an action that could not be carried out."""
    text = ORDER.replace("        set receipt\n", "        set receipt\n        set amount = amount * 100\n", 1)
    result = play(PLACED + 'buyer(ann) o.Pay -> Paying\nbank.charge answers (receipt: "r")', text)
    assert result.problem is not None
    assert result.problem.code.name == "B603"


def test_sends_arrive_before_the_next_line() -> None:
    """Each line runs what is due before the next."""
    table = table_of("""
        blueprint two
        role r
        entity Till
          states Open
          cash: int 0..100 = 0
          action Make by r from new to Open
          action Pay(n: int 0..5) by system from Open
            set cash += n
          late Pay ignore
        entity Guest
          states In, Left
          final Left
          till: Till
          action Come(till) by r from new to In
            set till
          action Leave by r from In to Left
            send till.Pay(5)
        scenario "pays when leaving"
          r(a) t = Till.Make -> Open
          r(a) g = Guest.Come(till: t) -> In
          r(a) g.Leave -> Left
          t.cash == 5
    """)
    (result,) = run_scenarios(table)
    assert result.passed, result.problem


def test_a_scenario_that_fails_keeps_a_report_from_passing() -> None:
    """And it stands among the findings."""
    text = (
        HELIX
        + """
    scenario "promoted too early"
      operator(ann) r = Rollout.Plan(cluster: "c", build: "b", brokers: 1) -> Planned
      release_manager(cat) r.Promote -> Live
    """
    )
    table: Table = table_of(text)
    report = verify(table, levels=("scenarios",))
    assert not report.passed
    assert [each.code.name for each in report.findings] == ["B601"]


@pytest.mark.parametrize("action", ["Pay", "Ship"])
def test_any_is_taken_or_refused(action: str) -> None:
    assert play(f"{PLACED}{'buyer' if action == 'Pay' else 'clerk'}(ann) o.{action} -> any").passed


def test_any_is_no_fault() -> None:
    text = ORDER.replace("amount: int 0..100", "amount: int 0..4").replace(
        "Place(number, amount)", "Place(number, amount: int)"
    )
    result = play("buyer(ann) o = Order.Place(number: 1, amount: 5) -> any", text)
    assert result.problem is not None
    assert result.problem.message.startswith("a fault of the blueprint")


def test_a_line_may_be_about_a_later_call_of_the_tool() -> None:
    """Two orders wait for the bank; it is the one that the line speaks of whose call ends."""
    result = play(
        PLACED
        + "buyer(ann) other = Order.Place(number: 2, amount: 7) -> Open\n"
        + "buyer(ann) o.Pay -> Paying\nbuyer(ann) other.Pay -> Paying\n"
        + 'bank.charge answers (receipt: "r") -> other is Paid\n'
        + "o.state is Paying\n"
        + 'bank.charge fails "no" -> o is Open'
    )
    assert result.passed, result.problem


def test_a_property_of_all_is_asked_of_every_line() -> None:
    text = ORDER + '    always "one at a time": count(o in Order: o.state is Open) <= 1\n'
    assert play(PLACED, text).passed
    result = play(PLACED + "buyer(ann) p = Order.Place(number: 2, amount: 5) -> Open", text)
    assert result.problem is not None
    assert result.problem.message == "a fault of the blueprint: `one at a time` does not hold after this"
