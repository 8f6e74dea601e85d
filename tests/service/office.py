"""A workshop for tests of the office: a blueprint whose releases somebody has to approve, pushed once and copied."""

from __future__ import annotations

from temper.service import Person

SHIP = {
    "ship.blueprint": """\
blueprint ship

role builder, manager

tool port.sail(name: string)
  timeout 10s
  idempotent

entity Release
  states Ready, Live, Gone
  final Gone

  notes: string = ""
  moves: int 0..1000 = 0

  action Make by builder from new to Ready

  # A policy keeps agents from it.
  action Promote(notes) by builder from Ready to Live
    set notes

  # Nobody but a manager.
  action Move(by_: int 1..9) by manager from Ready, Live
    when moves + by_ <= 20 else "it has moved far enough"
    set moves += by_

  # Nobody but a manager, and no policy lets anybody approve it.
  action End by manager from Ready, Live to Gone

  action Sail by builder from Live
    call port.sail(id) then _ else _

  action Touch by builder from Ready, Live

  in Ready
    after 10m do Forget

  action Forget by system from Ready to Gone
""",
    "ship.cedar": """\
@id("no-agents")
@else("an agent does not promote by itself")
forbid (principal, action == ship::Action::"Release.Promote", resource)
when { principal.agent };

@id("managers-approve")
permit (
  principal in temper::Role::"manager",
  action in [ship::Action::"Release.Promote.approve", ship::Action::"Release.Move.approve"],
  resource
);
""",
}

ADMIN = Person("root", admin=True)
ANN = Person("ann", frozenset({"builder"}))
BOT = Person("bot", frozenset({"builder"}), acts_for="ann", session="s1")
MAX = Person("max", frozenset({"manager"}))
MIA = Person("mia", frozenset({"manager"}))
# An agent of the manager's, and a manager for whom the agent acts.
MAXBOT = Person("maxbot", frozenset({"manager"}), acts_for="max")
ANN_MANAGES = Person("ann", frozenset({"manager"}))
BOT_MANAGES = Person("bot2", frozenset({"manager"}), acts_for="ann")
EVE = Person("eve", frozenset({"builder"}))
