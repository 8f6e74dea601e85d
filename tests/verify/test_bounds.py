"""What bounds of ours do to a judgement: they never stand for an answer."""

from __future__ import annotations

import pytest

from temper.table import Caller
from temper.verify import Limits, Verdict, verify
from temper.verify.draw.door import WAKES_MAX, HostDoor, Kind
from temper.verify.explore.orders import calls_at_once
from tests.verify.texts import lines_of, result_of, table_of

CALLS = """
    blueprint calls

    role r

    tool t.x(n: int 0..9)

    entity E
      states A, B, C

      action New by r from new to A
      in A
        on exit call t.x(0) then Ok else _
      in B
        on entry do Pass
      in C
        on entry call t.x(1) then Ok else _
      action Go by r from A to C
        if state is A: call t.x(2) then Ok else _
      action Skip by r from new to B
      action Pass by system from B to C
        call t.x(3) then Ok else _
        call t.x(4) then Ok else _
        call t.x(5) then Ok else _
      action Look by r from C
      action Ok by system from any
      late Ok ignore
"""


def test_a_step_orders_what_its_routes_and_places_do() -> None:
    """`Go` has that of `A`'s exit, its own, and that of `C`'s entry; `Skip` those of its route, and that of `C`'s."""
    assert calls_at_once(table_of(CALLS).entities["E"]) == 4


@pytest.mark.parametrize("count", [1, 2])
def test_a_search_that_saw_nothing_holds_nothing(count: int) -> None:
    """The only creation leads out of what `scope` leaves."""
    table = table_of(f"""
        blueprint beyond

        role r

        entity E
          states A
          n: int 0..9 = 0
          other: E?

          action New by r from new to A
            set n = 5
          action Look by r from A

          always n == 5

        scope E {count}, E.n 0..3
    """)
    report = verify(table, levels=("search",), limits=Limits(seconds=30))
    for name in ("always n == 5", "every state has a way out", "no assignment leaves its type"):
        result = result_of(report, name)
        assert result.verdict is Verdict.UNKNOWN, result
        assert "leave nothing to look at" in result.why


def test_who_takes_a_second_action_has_set_no_field_twice() -> None:
    table = table_of("""
        blueprint second

        role r

        entity A
          states X
          b: B
          c: B

          action New(b, c) by r from new to X
            set b, c
          action Do by r from X
            with b.Inc
            with c.Inc

        entity B
          states Y
          n: int 0..3 = 0

          action New by r from new to Y
          action Inc by system, r from Y when n < 3
            set n += 1
    """)
    lines = lines_of(verify(table, levels=("search",), limits=Limits(seconds=30)))
    assert lines["no entity is moved twice in one commit"] == "broken"
    assert "no field is set twice in one step" not in lines


def test_what_falls_due_for_ever_ends_with_the_time_that_passes() -> None:
    """A tick a minute for a year: some of them one by one, the rest as one, and then it is a year later."""
    table = table_of("""
        blueprint ticks

        role r

        entity E
          states A
          n: int 0.. = 0

          action New by r from new to A
          in A every 1m do Tick
          action Tick by system from A
            set n += 1
    """)
    door = HostDoor(table)
    said = door.create("E", "New", {}, Caller("ann", frozenset({"r"})))
    assert said.kind is Kind.DONE
    began, year = door.now(), 365 * 86_400_000
    door.advance(year)
    assert door.now() == began + year
    seen = door.read("E", said.id)
    assert seen is not None
    assert WAKES_MAX <= seen.fields["n"] <= WAKES_MAX + 2
