"""What makes a difference only where there are several: joint actions, sends, creations, `unique`, what leads on."""

from __future__ import annotations

import pytest

from temper.table import Table
from temper.verify import Bounds, Strength, measure
from temper.verify.limits import Limits
from temper.verify.strength.mutants import Kind, mutants
from temper.verify.strength.together import amongs
from tests.verify.texts import table_of

QUICK = Bounds(suggestions=0)
LIMITS = Limits(states_max=1_000)

LEDGER = """
    blueprint ledger

    role owner

    entity Account
      states Open

      balance: int 0..4

      action Begin by owner from new to Open
        set balance = 2

      action Pay(to: Account) by owner from Open
        when balance > 0 else "there is nothing to pay with"
        with to.Receive
        set balance -= 1

      action Receive by system from Open when balance < 4
        set balance += 1
"""
CONSERVED = """
    always "no money from nowhere": all a in Account: all b in Account: a == b or a.balance + b.balance == 4
"""


def asked(found: Strength) -> list[str]:
    return [each.question for each in found.survivors]


def table(*texts: str) -> Table:
    return table_of("".join(texts))


def test_a_property_of_several_notices_what_one_alone_does_not_show() -> None:
    questions = {
        "nothing forbids that `Pay` leaves `balance` as it was: intended?",
        "nothing forbids that `Receive` leaves `balance` as it was: intended?",
        "nothing forbids that `Begin` sets `balance` to `3`: intended?",
    }
    assert questions <= set(asked(measure(table(LEDGER), QUICK)))
    found = measure(table(LEDGER, CONSERVED), QUICK)
    assert asked(found) == []
    assert found.by["no money from nowhere"] >= len(questions)


def test_a_joint_action_that_is_dropped_is_noticed() -> None:
    (without,) = [each for each in mutants(table(LEDGER)) if each.kind is Kind.JOIN]
    assert without.question == "nothing says that `Pay` takes `to.Receive` along: intended?"
    assert amongs(table(LEDGER), LIMITS)["Account"].noticed(without.table) is not None


def test_what_does_the_same_among_others_is_not_counted() -> None:
    """Nobody has more than there is, which only the two together tell: that `Receive` asks is no question."""
    found = measure(table(LEDGER, CONSERVED), QUICK)
    assert found.equivalent > 0
    assert "nothing forbids `Receive` from `Open` while `balance >= 4`: intended?" not in asked(found)
    assert "nothing forbids `Receive` from `Open` while `balance == 4`: intended?" not in asked(found)


SHOP = """
    blueprint shop

    role clerk

    entity Item
      states Free, Sold
      final Sold

      action Offer by clerk from new to Free

      action Sell by system from Free to Sold

      in Sold late Sell ignore

    entity Note
      states Written
      final Written

      about: Item

      action Write(about) by system from new to Written
        set about

    entity Order
      states Placed, Done
      final Done

      item: Item

      action Place(item) by clerk from new to Placed
        set item

      action Finish by clerk from Placed to Done
        send item.Sell
        create Note.Write(about: item)

      in Placed whenever item.state is Sold do Lose

      action Lose by system from Placed to Done
"""
NOTED = """
    always "what is done is noted": all o in Order: o.state is Done implies any n in Note: n.about == o.item
"""
SOLD = """
    scenario "what is ordered is sold, and another order is over"
      clerk(kim) i = Item.Offer -> Free
      clerk(kim) o = Order.Place(item: i) -> Placed
      clerk(kim) p = Order.Place(item: i) -> Placed
      clerk(kim) o.Finish -> Done
      i is Sold
      p is Done
"""


@pytest.mark.parametrize(
    ("kind", "question"),
    [
        (Kind.SAID, "nothing says that `Finish` sends `Sell`: intended?"),
        (Kind.CREATE, "nothing says that `Finish` creates a `Note` by `Write`: intended?"),
        (Kind.WHENEVER, "nothing needs `whenever item.state is Sold do Lose` in `Placed`: intended?"),
    ],
)
def test_what_others_are_made_to_do_is_asked_about(kind: Kind, question: str) -> None:
    assert question in [each.question for each in mutants(table(SHOP)) if each.kind is kind]


def test_a_scenario_notices_what_others_are_not_made_to_do() -> None:
    found = asked(measure(table(SHOP, SOLD), QUICK))
    assert "nothing says that `Finish` sends `Sell`: intended?" not in found
    assert "nothing needs `whenever item.state is Sold do Lose` in `Placed`: intended?" not in found


def test_a_property_of_several_notices_what_is_not_created() -> None:
    text = SHOP.replace("system from new to Written", "system, clerk from new to Written")
    question = "nothing says that `Finish` creates a `Note` by `Write`: intended?"
    assert question in asked(measure(table(text), QUICK))
    found = measure(table(text, NOTED), QUICK)
    assert found.by["what is done is noted"] >= 1
    assert question not in asked(found)


def test_a_creation_whose_name_is_used_is_not_dropped() -> None:
    text = SHOP.replace(
        "create Note.Write(about: item)", "create Note.Write(about: item) as note\n        set noted = note"
    )
    text = text.replace("      item: Item\n", "      item: Item\n      noted: Note?\n")
    assert [each.what for each in mutants(table(text)) if each.kind is Kind.CREATE] == []


DESK = """
    blueprint desk

    role clerk

    entity Seat
      states Taken, Left
      final Left

      row: string
      number: string
      key (number)
      unique row ever

      action Take(row, number) by clerk from new to Taken
        set row, number

      action Leave by clerk from Taken to Left
"""


def test_what_two_may_not_share_is_asked_about() -> None:
    found = asked(measure(table(DESK), QUICK))
    assert "nothing forbids two `Seat` of one `row`: intended?" in found
    assert "nothing forbids a `Seat` of the `row` of one that is final: intended?" in found
    assert "nothing forbids two `Seat` of one `number`: intended?" in found


def test_a_scenario_says_what_two_may_not_share() -> None:
    found = measure(
        table(
            DESK,
            """
    scenario "one seat a row, for ever"
      clerk(kim) s = Seat.Take(row: "a", number: "1") -> Taken
      clerk(kim) Seat.Take(row: "a", number: "2") -> refused
      clerk(kim) Seat.Take(row: "b", number: "1") -> refused
      clerk(kim) s.Leave -> Left
      clerk(kim) Seat.Take(row: "a", number: "3") -> refused
""",
        ),
        QUICK,
    )
    assert asked(found) == []


TRAIN = """
    blueprint train

    role guard

    entity Train
      states Waiting, Going, Arrived
      final Arrived

      action Start by guard from new to Waiting
      action Go by system from Waiting to Going
      action Wait by guard from Waiting
      action Arrive by system from Going to Arrived

      in Waiting after 5m do Go
      in Going after 1h do Arrive
      always "it goes before it arrives": state is Arrived implies before(state is Going)
"""


def test_what_leads_on_notices_a_timer_that_is_dropped() -> None:
    question = "nothing needs `after 5m do Go` in `Waiting`: intended?"
    text = TRAIN.replace("system from Waiting", "guard, system from Waiting")
    assert question in asked(measure(table(text), QUICK))
    found = measure(table(text, "      eventually Waiting leads to Arrived\n"), QUICK)
    assert question not in asked(found)
    assert found.by["eventually Waiting leads to Arrived"] >= 1


def test_a_table_is_like_itself_and_not_like_a_mutant() -> None:
    ledger = table(LEDGER, CONSERVED)
    among = amongs(ledger, LIMITS)["Account"]
    assert among.alike(ledger)
    assert not any(among.alike(each.table) for each in mutants(ledger) if each.kind is Kind.JOIN)


@pytest.mark.parametrize(
    ("premise", "why"),
    [
        ("a.balance + b.balance > 4", "no state of at most 2 Account is one where `a.balance + b.balance > 4`"),
        ("a.balance > 1", None),
    ],
)
def test_a_property_of_several_whose_premise_never_holds_says_nothing(premise: str, why: str | None) -> None:
    line = f"    always all a in Account: all b in Account: {premise} implies a == b or b.balance < 2\n"
    found = measure(table(LEDGER.replace("set balance = 2", "set balance = 1"), line), Bounds(mutants=1, suggestions=0))
    assert [each.why for each in found.vacuous] == ([] if why is None else [why])
