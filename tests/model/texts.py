"""Small blueprints, and what the model says of them."""

from __future__ import annotations

from textwrap import dedent, indent

from temper.model import Machine, check
from temper.syntax import parse_bundle
from temper.text import Diagnostic, Source

TOP = """\
blueprint shop

role clerk, boss

type Level = one of (low, high)
record Line(sku: string, units: int 1.., note: string?)
const most = 4

tool pay.capture(amount: int) -> (receipt: string, fee: int?)

event Paid(amount: int)
"""

ORDER = """\
entity Order
  states Draft, Busy, Done, Lost
  final Done
  group Open = Draft, Busy

  n: int 0..9 = 0
  m: int? = none
  price: decimal 0.. = 0
  name: string = ""
  level: Level = low
  at_most: time?
  gap: duration = 1h
  owner: principal?
  team: set of principal max 4 = {}
  tags: set of Level max 2 = {}
  lines: list of Line max 4 = []
  counts: map of string to int max 4 = {}
  last: Line?
  other: Order?

  action New by clerk, system from new to Draft
"""


def order(lines: str, *, top: str = "") -> str:
    """Return a blueprint with these lines more in `Order`, and these at the top."""
    return f"{TOP}{dedent(top)}\n{ORDER}{indent(dedent(lines), '  ')}"


def machine(text: str) -> Machine:
    """Return the machine of a text in which nothing is wrong."""
    found, told = checked(text)
    assert told == (), "\n".join(f"{one.code.name} {one.message}" for one in told)
    return found


def told(text: str) -> list[tuple[str, str]]:
    """Return each problem as its code and the words that it points at."""
    found = checked(text)[1]
    return [(one.code.name, text[one.primary.span.start : one.primary.span.end]) for one in found]


def checked(text: str) -> tuple[Machine, tuple[Diagnostic, ...]]:
    tree, unread = parse_bundle([Source("shop.blueprint", text)])
    assert unread == (), "\n".join(f"{one.code.name} {one.message}" for one in unread)
    return check(tree)
