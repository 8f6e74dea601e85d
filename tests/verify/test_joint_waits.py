"""`eventually` where entities wait for each other: the traps, one blueprint each, and the least that it would take."""

from __future__ import annotations

import pytest

from temper.table import Table
from temper.verify import Limits
from temper.verify.system.led import Eventual, eventually
from tests.verify.texts import table_of


def asked(table: Table) -> Eventual:
    """Return what is known of the one `eventually` of a table."""
    (found,) = eventually(table, Limits()).values()
    return found


PAIR = """
    blueprint pair
    role person, other
    entity Lamp
      states Off, On
      action Hang by person from new to Off
      action Toggle by SWITCHES
        from Off to On
        from On to Off
      EVERY
    entity Room
      states Dark, Lit, Left
      final Left
      lamp: Lamp
      action Enter(lamp) by person from new to Dark
        set lamp
      action See by SEES from Dark to Lit when lamp.state is On
      ROOM
      eventually Dark leads to Lit
        ASSUME
    scope Lamp 1, Room 1
"""


def pair(switches: str, sees: str, *, every: str = "", room: str = "", assume: str = "") -> Table:
    """Return the table: who switches the lamp and who sees that it is on, what else happens, and what is assumed."""
    text = PAIR.replace("SWITCHES", switches).replace("SEES", sees).replace("EVERY", every).replace("ROOM", room)
    return table_of("\n".join(line for line in text.replace("ASSUME", assume).split("\n") if line.strip()))


BOTH = "assume person responds\n        assume other responds"
CLOCK = "in Off, On every 1m do Toggle"
SAW = "in Dark whenever lamp.state is On do See"
ONCE = "in Off after 1m do Toggle"
GIVE = "action Give by system from Dark to Lit\n      in Dark after 5m do Give"
STIR = "action Stir by other from Dark to Dark\n      " + GIVE
LEAVE = "action Leave by person from Dark to Left"
ROWS = [
    # Who switches it need not, and who sees it need not: a lamp that goes on and off is none that is seen.
    (pair("person", "other"), "goes round", (("person", "weak"), ("other", "strong"))),
    # Weak fairness is not enough for who can act only now and then: the lamp is off again each time.
    (pair("person", "other", assume=BOTH), "goes round", (("other", "strong"),)),
    # It goes on and off by the clock, which is the system's part: nobody has to be made to switch it.
    (pair("system", "other", every=CLOCK), "goes round", (("other", "strong"),)),
    # The system sees it, in a step of its own that may come too late each time: it is not always possible.
    (pair("system", "system", every=CLOCK, room=SAW), "goes round", (("system", "strong"),)),
    # The clock switches it on, once: then nothing has to happen any more, and nothing else can.
    (pair("system", "other", every=ONCE), "stays", (("other", "weak"),)),
    (pair("system", "other", every=ONCE, assume="assume other responds"), None, ()),
    (pair("system", "system", every=ONCE, room=SAW), None, ()),
    # A timer of the room's own is the system's part; but for one that somebody winds up again and again.
    (pair("person", "other", room=GIVE), None, ()),
    # No fairness of the system's helps that one; it takes those who would light the lamp and see it.
    (pair("person", "other", room=STIR), "goes round", (("person", "weak"), ("other", "strong"))),
    # Somebody may leave, which nobody promises not to do; no fairness helps against that.
    (pair("person", "other", room=LEAVE, assume=BOTH), "goes round", ()),
    (pair("system", "other", every=ONCE, room=LEAVE, assume=BOTH), "stays", ()),
    # A lamp that stays on once it is: then what is possible stays so.
    (pair("person when state is Off", "other", assume=BOTH), None, ()),
    (pair("person when state is Off", "other", assume="assume other responds"), "stays", (("person", "weak"),)),
]


@pytest.mark.parametrize(("table", "run", "mending"), ROWS)
def test_who_waits_for_another_entity(table: Table, run: str | None, mending: tuple[tuple[str, str], ...]) -> None:
    """One row: what happens for ever (it `stays`, or `goes round`), and the least that would have to be fair."""
    found = asked(table)
    assert not found.open
    if run is None:
        assert found.run is None
        return
    assert found.run is not None
    loop = len(found.run.stages) - found.prefix
    assert (loop > 0) == (run == "goes round")
    assert found.mending == mending
