"""Scenarios in which several entities act together, read each other, and are woken by each other."""

from __future__ import annotations

import pytest

from temper.text import Code
from temper.verify.scenarios import run_scenario
from tests.kernel.shop import compiled

BANK = """
blueprint bank

role clerk

entity Account
  states Open, Frozen
  owner: principal
  balance: int 0..100
  transfers: every Transfer.giver max 2
  action Make(owner, balance) by clerk from new to Open
    set owner, balance
  action Withdraw(sum: int 1..) by system from Open when sum <= balance else "not enough money"
    set balance -= sum
  action Deposit(sum: int 1..) by system from Open
    set balance += sum
  action Freeze by clerk from Open to Frozen
    when all t in transfers: t.state is Booked else "there are drafts"
  action Thaw by clerk from Frozen to Open

entity Transfer
  states Draft, Booked
  final Booked
  giver: Account
  taker: Account
  sum: int 1..10
  action Draft(giver, taker, sum) by clerk from new to Draft
    set giver, taker, sum
  action Book by system, giver.owner from Draft to Booked
    with giver.Withdraw(sum)
    with taker.Deposit(sum)
  in Draft whenever giver.balance >= sum and taker.state is Open do Book

scenario "s"
  clerk(ann) a = Account.Make(owner: "bob", balance: 5) -> Open
  clerk(ann) b = Account.Make(owner: "cat", balance: 0) -> Open
"""


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        # A `whenever` fires before the next line, and only where it holds.
        (
            "clerk(ann) t = Transfer.Draft(giver: a, taker: b, sum: 5)\nt is Booked\na.balance == 0\nb.balance == 5",
            None,
        ),
        ("clerk(ann) t = Transfer.Draft(giver: a, taker: b, sum: 6)\nt is Draft\na.balance == 5", None),
        ("clerk(ann) t = Transfer.Draft(giver: a, taker: b, sum: 6)\nt is Booked", Code.B601),
        # Another's change makes it due.
        (
            (
                "clerk(ann) b.Freeze\nclerk(ann) t = Transfer.Draft(giver: a, taker: b, sum: 5) -> Draft\n"
                'anyone(bob) t.Book -> refused "Deposit"\nanyone(cat) t.Book -> denied\n'
                "clerk(ann) b.Thaw -> Open\nt is Booked"
            ),
            None,
        ),
        # A `given` one is found by those it refers to.
        (
            (
                'given Transfer t(state: Draft, giver: a, taker: b, sum: 9)\nclerk(ann) a.Freeze -> refused "drafts"\n'
                'given Account c(state: Open, owner: "dan", balance: 9)\n'
                "given Transfer u(state: Draft, giver: c, taker: b, sum: 9)\nu is Booked\nc.balance == 0"
            ),
            None,
        ),
        # What can't be is a fault of the blueprint.
        ("given Transfer t(state: Draft, giver: a, taker: a, sum: 9)\nanyone(bob) t.Book", Code.B601),
        ("given Transfer t(state: Draft, giver: a, taker: a, sum: 1)\na.balance == 5", Code.B603),
    ],
)
def test_scenarios_of_several_entities(lines: str, code: Code | None) -> None:
    """One row, one scenario over two accounts: whether it comes out as written, or which problem it has."""
    table = compiled(BANK + "".join(f"  {line}\n" for line in lines.splitlines()))
    result = run_scenario(table, table.scenarios[0])
    assert (result.problem.code if result.problem else None) is code
