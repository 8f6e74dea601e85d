"""What can be done now, and why not."""

from __future__ import annotations

import pytest

from temper.table import Act, Caller, Clause, Deliver, Why, possible, why
from tests.table.build import ANN, BOB, CAT, Life, compiled, helix

GATE = """
    entity Gate
      states Shut, Open
      n: int = 5
      owner: principal
      let half = n // 2
      action Make(owner: principal) by anyone from new to Shut
        set owner = owner
      action Push(force: int, twice: bool = false) by operator
        from Shut to Open when force > n else "push harder"
        from Shut when n == 0
      action Pull(force: int) by operator from Shut when n > 9 and force > 1
      action Turn(force: int, why: string?) by operator, owner from Shut to Open when n == 5 or force > n
      action Lift(force: int) by operator from Shut to Open when half > 1 implies force > 1
      action Drop(force: int) by operator from Shut to Open
        set n = n // force
      action Slam by operator from Open to Shut
      action Lock by owner from Shut when n == 5
"""


def gate() -> Life:
    life = Life(compiled(GATE), "Gate")
    life.done("Make", owner="bob")
    return life


@pytest.mark.parametrize(
    ("action", "caller", "status", "on", "text"),
    [
        ("Push", ANN, "depends", ("force",), None),
        # `n > 9` is false, whatever the force.
        ("Pull", ANN, "no", (), "`Pull` needs `n > 9 and force > 1`"),
        # `n == 5` is true, whatever the force.
        ("Turn", ANN, "yes", (), None),
        ("Turn", BOB, "yes", (), None),
        ("Turn", CAT, "no", (), "`Turn` is by `operator`, `owner`; `cat` is `release_manager`"),
        ("Lift", ANN, "depends", ("force",), None),
        ("Drop", ANN, "yes", (), None),
        ("Slam", ANN, "no", (), "`Slam` is possible from `Open`; this Gate is `Shut`"),
        ("Lock", ANN, "no", (), "`Lock` is by `owner`; `ann` is `operator`"),
        ("Lock", BOB, "yes", (), None),
        ("Make", ANN, "no", (), "`Make` creates a Gate; this one is `Shut`"),
    ],
)  # fmt: skip
def test_what_is_possible_now(action: str, caller: Caller, status: str, on: tuple[str, ...], text: str | None) -> None:
    """One row, one action and caller."""
    life = gate()
    found = {one.action: one for one in possible(life.table, "Gate", life.here, caller, life.at)}
    one = found[action]
    assert (one.status, one.on, one.refused.text if one.refused else None) == (status, on, text)
    assert [param.name for param in one.params] == [
        param.name for param in life.table.entities["Gate"].actions[action].params
    ]


def test_what_is_possible_where_there_is_nothing_yet() -> None:
    """What creates; of the rest, that there is no such entity."""
    found = possible(compiled(GATE), "Gate", None, ANN, 0)
    assert [one.action for one in found if one.status == "yes"] == ["Make"]
    assert {one.refused.why for one in found if one.refused} == {Why.MISSING}
    assert possible(compiled(GATE), "Nothing", None, ANN, 0) == ()


def test_why_an_outcome_went_where_it_did() -> None:
    """Each case with its clauses and what their parts are worth: `moved` is 0, `brokers` is 3."""
    life = Life(helix(), "Rollout")
    life.done("Plan", BOB, cluster="c", build="b", brokers=3)
    life.done("Start")
    clauses = why(life.table, life.here, Deliver("e", 0, "s", "Moved", {}, ANN, "Rollout", "x1"))
    first, second = "Rollout.Moved/from/0", "Rollout.Moved/from/1"
    assert clauses == (
        Clause("by", "Rollout.Moved", "by system", True),
        Clause("from", first, "from Rolling to Verifying", True, (), first),
        Clause("when", f"{first}/when/0", "moved + 1 == brokers", False, (("moved", "0"), ("brokers", "3")), first),
        Clause("from", second, "from Rolling to Rolling", True, (), second),
    )


def test_why_not_says_what_was_not_asked() -> None:
    """Bob may not push: whether the guards hold is not for him to know."""
    life = gate()
    clauses = why(life.table, life.here, Act("e", 0, "Push", {"force": 9}, BOB, "Gate", "x1"))
    assert [(one.kind, one.holds) for one in clauses] == [
        ("by", False), ("from", None), ("when", None), ("from", None), ("when", None),
    ]  # fmt: skip


def test_why_not_of_a_state_and_of_parameters() -> None:
    life = gate()
    (by, here) = why(life.table, life.here, Act("e", 0, "Slam", {}, ANN, "Gate", "x1"))
    assert (by.holds, here.text, here.holds, here.values) == (True, "from Open to Shut", False, (("state", "Shut"),))
    bad = why(life.table, life.here, Act("e", 0, "Push", {"force": "x"}, ANN, "Gate", "x1"))[0]
    assert (bad.kind, bad.text, bad.holds) == ("params", '`force` is int; "x" is not', False)
    assert why(life.table, life.here, Act("e", 0, "Shove", {}, ANN, "Gate", "x1")) == ()


def test_values_of_lets_and_of_what_is_worked_out() -> None:
    """As the author wrote them; what a quantifier says of each element has no one value."""
    life = Life(
        compiled("""
        record Line(units: int)
        entity Box
          states On
          lines: list of Line max 9 = [Line(units: 2), Line(units: 3)]
          last: time?
          wait: duration = 90s
          let total = sum(l in lines: l.units)
          action Make by anyone from new to On
          action Use by operator from On
            when total > 9 and size(lines) < 2 and (last == none or now > created_at + wait)
            when all l in lines: l.units > total
            when caller is builder
        """),
        "Box",
        at=5_000,
    )
    life.done("Make")
    clauses = why(life.table, life.here, Act("e", 6_000, "Use", {}, ANN, "Box", "x1"))
    lines = "[Line(units: 2), Line(units: 3)]"
    assert [(one.holds, one.values) for one in clauses if one.kind == "when"] == [
        (False, (
            ("total", "5"), ("size(lines)", "2"), ("lines", lines), ("last", "none"),
            ("now", "1970-01-01T00:00:06.000Z"), ("created_at", "1970-01-01T00:00:05.000Z"), ("wait", "90s"),
        )),
        (False, (("lines", lines),)),
        (False, (("caller", "operator"),)),
    ]  # fmt: skip
