"""A blueprint that uses every part of a host: calls, timers, sends, creations, keys, uniques, `late` and `defer`."""

from __future__ import annotations

from functools import cache
from itertools import count

from temper.kernel import Ids, TableVersion
from temper.model import check
from temper.syntax import parse_bundle
from temper.table import Caller, Table, compile_machine, digest, dump
from temper.text import Source

SHOP = """
blueprint shop

role clerk, boss

tool bank.charge(amount: decimal, order: string) -> (receipt: string)
  timeout 30s
  retry 2 every 10s up to 15s
  idempotent

tool post.ship(order: string)
  timeout 5s
  retry 1 every 1m

entity Shelf
  states Open, Closed
  final Closed
  name: string
  stock: int 0..100 = 0
  key name

  action Stock(name, stock) by clerk from new to Open
    set name, stock
  action Take(units: int 1..10) by clerk, system from Open
    when units <= stock else "not that many on the shelf"
    set stock -= units
  action Refill(units: int 1..10) by clerk, system from Open
    set stock += units
  action Close by boss from Open to Closed

  late Take, Refill ignore

entity Slip
  states Printed, Filed
  final Filed
  order: string
  action Print(order) by system from new to Printed
    set order
  action File by clerk from Printed to Filed

entity Purchase
  states Draft, Paying, Paid, Shipping, Done, Failed, Lost
  final Done, Failed
  group Busy = Paying, Shipping

  number: string
  shelf: Shelf?
  amount: decimal 0..
  paid_at: time?
  receipt: string?
  why: string?
  reminders: int 0..3 = 0
  remarks: list of string max 5 = []
  unique number

  action Order(number, amount, shelf: Shelf? = none) by clerk from new to Draft
    set number, amount, shelf
    create Slip.Print(number)

  action Pay by clerk from Draft to Paying
    call bank.charge(amount, number) then Charged(result.receipt) else Declined(error.kind) unknown Unsure

  action Charged(receipt: string) by system
    from Paying to Paid
    set receipt = receipt
    set paid_at = now
    emit Sold(number, amount)

  action Declined(reason: string) by system from Paying to Failed
    set why = reason

  action Unsure by system from Paying to Lost
    set why = "unknown"

  action Found(receipt: string) by system from Lost to Paid
    set receipt = receipt

  in Lost late Charged do Found(receipt)
  late Charged, Declined, Unsure ignore

  action Ship by clerk from Paid to Shipping
    call post.ship(number) then Shipped else Declined2(error.kind)

  action Shipped by system from Shipping to Done

  action Declined2(reason: string) by system from Shipping to Paid
    set why = reason

  late Shipped, Declined2 ignore

  in Draft
    after 1h do Remind

  action Remind by system from Draft when reminders < 2 else "reminded enough"
    set reminders += 1

  action Remark(text: string) by clerk, system from Draft, Paid
    when size(remarks) < 5 else "five remarks are enough"
    set remarks += [text]

  action Tell(other: Purchase, text: string) by clerk from Draft
    send other.Remark(text)

  in Busy defer Remark
  late Remark ignore

  action Reserve(units: int 1..10) by clerk from Draft
    if shelf != none: send shelf.Take(units)

  action GiveBack(units: int 1..10) by clerk from Draft
    if shelf != none: send shelf.Refill(units)

  always amount >= 0
  always reminders <= 3
"""

CLERK = Caller("ann", frozenset({"clerk"}))
BOSS = Caller("bob", frozenset({"boss"}))


@cache
def compiled(text: str) -> Table:
    """The table of a blueprint that has no mistakes."""
    source = Source("test.blueprint", text)
    tree, problems = parse_bundle([source])
    assert not problems, problems
    machine, problems = check(tree)
    assert not [problem for problem in problems if problem.severity.value == "error"], problems
    return compile_machine(machine)


def version(table: Table, number: int = 1, at: int = 0) -> TableVersion:
    """A pushed version of a table."""
    return TableVersion(number, digest(table), dump(table), b"{}", at, "ann")


def counted() -> Ids:
    """Ids that are the same in every run."""
    numbers = count(1)
    return lambda: f"id{next(numbers)}"
