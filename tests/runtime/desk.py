"""A desk with its tickets, and those who work there: what policies are tried on."""

from __future__ import annotations

import msgspec

from temper.runtime import read_policies
from temper.table import Table
from temper.text import Source
from tests.kernel.shop import compiled

DESK = """\
blueprint desk

role clerk, chief

entity Room
  states Open, Shut
  final Shut
  name: string
  keeper: principal

  action Build(name) by chief from new to Open
    set name
    set keeper = caller

  action Shut by chief from Open to Shut

entity Ticket
  states Filed, Held, Done
  final Done
  room: Room
  title: string
  cost: decimal 0..
  weight: int 0..

  action File(room, title, cost: decimal 0.. = 1, weight: int 0.. = 1) by clerk, chief from new to Filed
    set room, title, cost, weight

  action Hold(why: string) by clerk from Filed to Held
    when room.state is Open else "the room is shut"

  action Resume by clerk, chief from Held to Filed

  action Finish by clerk, chief from Filed, Held to Done
"""

WRITE = 'action in desk::Action::"write"'
FINISH = 'action == desk::Action::"Ticket.Finish"'
READ = 'action == desk::Action::"Ticket.read"'


def with_policies(cedar: str, blueprint: str = DESK) -> Table:
    """Return a blueprint's table with policies in it, none of which has anything wrong with it."""
    table = compiled(blueprint)
    read = read_policies([Source("desk.cedar", cedar)], table)
    assert [problem.message for problem in read.problems] == []
    return msgspec.structs.replace(table, policies=read.policies)
