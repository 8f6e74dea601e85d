"""What becomes of those who live by one table when another takes its place."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from temper.table import Armed, Caller, Ending, Table, carry, homeless
from tests.table.build import BOB, HELIX, Life, compiled, helix


def rolling() -> Life:
    life = Life(helix(), "Rollout", at=1_000)
    life.done("Plan", BOB, cluster="c", build="b", brokers=3)
    life.done("Start")
    return life


def edited(*edits: tuple[str, str]) -> Table:
    text = HELIX
    for was, becomes in edits:
        assert was in text, was
        text = text.replace(was, becomes)
    return compiled(text)


@pytest.mark.parametrize(
    ("edits", "reasons"),
    [
        ([], []),
        ([("when moved + 1 == brokers", "when moved + 1 >= brokers")], []),
        ([("after 30m", "after 1h")], []),
        ([("halted_because: string?", "halted_because: string?\n  retries: int 0..3 = 0\n  note: string?")], []),
        ([("entity Rollout", "entity Release")], ["there is no Rollout any more"]),
        ([("Rolling", "Moving")], ["there is no state `Rolling` any more"]),
        ([("  build: string\n", ""), ("(cluster, build, brokers)", "(cluster, brokers)"),
          ("set cluster, build, brokers", "set cluster, brokers")],
         ["`build` is gone, and no `upgrade` drops it"]),
        ([("  halted_because: string?\n", ""), ("    set halted_because = reason\n", "")], []),
        ([("build: string\n", "build: string\n  owner: string\n"), ("set cluster", 'set owner = "x", cluster')],
         ["`owner` is new and has no default, and no `upgrade` sets it"]),
        ([("brokers: int 1..64", "brokers: int 1..2")], ["its `brokers` is not int 1..2"]),
        ([('    after 30m do Halt("no progress for 30 minutes")\n', "")],
         ["its timer that does `Halt` is running, and is gone"]),
        ([("after 30m", "every 30m")], ["its timer that does `Halt` is running, and is gone"]),
        ([("Moved", "Shifted")], ["the open call of `kubernetes.set_partition` leads to `Moved`, which is gone"]),
        ([("Halt(reason: string)", "Halt(reason: string, code: int)"), ("Halt(error.text)", "Halt(error.text, 1)"),
          ('Halt("no progress for 30 minutes")', 'Halt("no progress", 2)')],
         ["the open call of `kubernetes.set_partition` does not give `Halt` the parameter `code`, which is new"]),
        ([("Halt(reason: string)", "Halt(why: string)"), ("= reason", "= why")], [
            "the open call of `kubernetes.set_partition` gives `Halt` the parameter `reason`, which is gone",
            "the open call of `kubernetes.set_partition` does not give `Halt` the parameter `why`, which is new",
        ]),
        ([("kubernetes.set_partition", "kubernetes.move")],
         ["there is no tool `kubernetes.set_partition` any more, and a call of it is open"]),
        ([("  always moved <= brokers\n", "  always moved < brokers - 3\n")],
         ["it would break `always moved < brokers - 3`"]),
        # A property of steps says nothing of a state.
        ([("  always moved <= brokers\n", "  always before.moved < moved\n")], []),
    ],
)  # fmt: skip
def test_ruling_26_who_has_no_place(edits: list[tuple[str, str]], reasons: list[str]) -> None:
    """One row, one edit, while a rollout of three brokers moves its first."""
    life = rolling()
    assert list(homeless(life.table, edited(*edits), life.here)) == reasons


CALLING = """
    record Pair(a: int, b: int)
    tool out.ask() -> (y: int, z: int)
      timeout 1m
    entity Job
      states A, B
      x: int = 3
      seen: int = 0
      action Make by anyone from new to A
      action Go by anyone from A
        call out.ask() then Got(result.y, x) else _
      action Got(y: int, x: int) by system from A to B
        set seen = y
      action Note(x: int) by system, anyone from B
        set seen = x
      action Send(to: Job) by anyone from A
        send to.Note(5)
      in A defer Note
"""


@pytest.mark.parametrize(
    ("edits", "reasons"),
    [
        ([("(y: int, z: int)", "(w: int, z: int)"), ("result.y", "result.w")],
         ["the open call of `out.ask` waits for `y`, which the tool does not answer any more"]),
        ([("(y: int, x: int)", "(y: int, x: int 0..100)"), ("x: int = 3", "x: int 0..100 = 3")], []),
        ([("(y: int, x: int)", "(y: int, x: int 0..2)"), ("result.y, x)", "result.y, 1)")],
         ["the open call of `out.ask` gives `Got` a `x` that is not int 0..2"]),
        ([("Note(x: int)", "Note(x: int 5..9)")], ["the deferred `Note` gives `Note` a `x` that is not int 5..9"]),
        ([("Note", "Tell")], ["the deferred `Note` leads to `Note`, which is gone"]),
        ([("      in A defer Note\n", "      in A late Note ignore\n")], []),
    ],
)  # fmt: skip
def test_ruling_26_open_calls_and_deferred_ones(edits: list[tuple[str, str]], reasons: list[str]) -> None:
    """Their arguments are values already, and must fit what they lead to in the new table."""
    life = Life(compiled(CALLING), "Job")
    life.done("Make")
    life.done("Go")
    life.deliver("Note", x=3)
    text = CALLING
    for was, becomes in edits:
        assert was in text, was
        text = text.replace(was, becomes)
    assert list(homeless(life.table, compiled(text), life.here)) == reasons


def test_a_correction_that_may_never_come_strands_nobody() -> None:
    """After `unknown`, what the call would lead to may go."""
    life = rolling()
    life.ends(life.here.calls[0].order, Ending.UNKNOWN)
    assert [call.ended for call in life.here.calls] == [True]
    assert (
        homeless(life.table, edited(("Moved", "Shifted"), ("kubernetes.set_partition", "kubernetes.move")), life.here)
        == ()
    )


def test_a_deferred_one_whose_place_is_gone_may_be_offered() -> None:
    life = Life(compiled(CALLING), "Job")
    life.done("Make")
    life.deliver("Note", x=3)
    new = compiled(CALLING.replace("      in A defer Note\n", "      in A late Note ignore\n"))
    assert [held.place for held in life.here.deferred] == ["Job/in/A"]
    assert [held.place for held in carry(new, life.here).deferred] == [""]


def test_ruling_26_nothing_changes_for_those_who_have_their_place() -> None:
    """Visits, calls and timers go on, a timer with another duration as well: it was armed by the old one."""
    life = rolling()
    new = edited(("after 30m", "after 1h"), ("when moved + 1 == brokers", "when moved + 1 >= brokers"))
    assert carry(new, life.here, at=999_999) == life.here


def test_ruling_26_new_fields_have_their_default_and_stand_in_the_new_order() -> None:
    new = edited(("  cluster: string\n", "  retries: int 0..3 = 2\n  cluster: string\n  note: string?\n"))
    life = rolling()
    assert list(carry(new, life.here).fields.items()) == [
        ("retries", 2), ("cluster", "c"), ("note", None), ("build", "b"), ("brokers", 3), ("moved", 0),
        ("halted_because", None),
    ]  # fmt: skip


def test_ruling_26_a_running_timer_is_known_by_what_it_does() -> None:
    """A neighbour that comes or goes above it in the same state does not become it."""
    neighbour = ("    after 30m", "    after 5m do RollBack\n    after 30m")
    allowed = (("by operator from Halted to", "by operator, system from Halted, Rolling to"),)
    life = rolling()
    (running,) = life.here.timers
    with_it = edited(neighbour, *allowed)
    carried = carry(with_it, life.here, at=60_000).timers
    assert {one.timer: one.due for one in carried} == {
        running.timer: running.due, "Rollout/in/Rolling/after/RollBack/0": 60_000 + 300_000
    }  # fmt: skip
    back = replace(life.here, timers=carried)
    assert list(homeless(with_it, edited(), back)) == ["its timer that does `RollBack` is running, and is gone"]
    assert running in carry(edited(), back, at=60_000).timers


def test_ruling_26_new_timers_count_from_the_swap() -> None:
    """Armed for the next version, which the swap makes; those of other states are not."""
    impatient = ("    after 30m", '    every 5m do Halt("impatient")\n    after 30m')
    elsewhere = ("  in Halted, R", '  in Planned after 1m do Halt("late")\n  in Halted, R')
    new = edited(impatient, elsewhere, ("from Rolling, Verifying to", "from any to"))
    life = rolling()
    every = Armed("Rollout/in/Rolling/every/Halt/0", 60_000 + 300_000, 3, Caller("system"), 300_000)
    assert carry(new, life.here, at=60_000).timers == (every, life.here.timers[0])
    assert carry(new, life.here).timers[0].due == 1_000 + 300_000


def test_ruling_26_an_upgrade_says_what_becomes_of_states_and_fields() -> None:
    """`becomes` enters nothing: the visit goes on. Only the upgrade from the version that one lives by counts."""
    upgrade = """
upgrade from 3
  Rollout
    Rolling becomes Moving
    set label = "was " + build
    drop halted_because
"""
    text = HELIX.replace("Rolling", "Moving").replace("halted_because: string?", "label: string")
    text = text.replace("    set halted_because = reason\n", "").replace(
        "set cluster, build", 'set label = "", cluster, build'
    )
    # The timer's site names the state, so that another state's is another timer.
    text = text.replace('    after 30m do Halt("no progress for 30 minutes")\n', "")
    new = compiled(text + upgrade)
    life = rolling()
    now = replace(life.here, timers=())
    stopped = carry(new, now, from_version=3)
    assert homeless(life.table, new, now, from_version=3) == ()
    assert (stopped.state, stopped.visit) == ("Moving", life.here.visit)
    assert stopped.fields == {"cluster": "c", "build": "b", "brokers": 3, "moved": 0, "label": "was b"}
    assert homeless(life.table, new, now, from_version=2) == ("there is no state `Rolling` any more",)


def test_ruling_26_the_timers_of_a_state_under_another_name_go_on() -> None:
    upgrade = "\nupgrade from 1\n  Rollout\n    Rolling becomes Moving\n"
    life = rolling()
    new = compiled(HELIX.replace("Rolling", "Moving") + upgrade)
    assert homeless(life.table, new, life.here, from_version=1) == ()
    (running,) = life.here.timers
    carried = carry(new, life.here, from_version=1, at=999_999)
    assert carried.timers == (replace(running, timer="Rollout/in/Moving/after/Halt/0"),)
    assert (carried.state, carried.visit, carried.calls) == ("Moving", life.here.visit, life.here.calls)


def test_ruling_26_a_field_under_another_name_keeps_its_value() -> None:
    upgrade = "\nupgrade from 1\n  Rollout\n    set release = build\n    drop build\n"
    new = compiled(HELIX.replace("build,", "release,").replace("build:", "release:") + upgrade)
    life = rolling()
    assert homeless(life.table, new, life.here, from_version=1) == ()
    assert carry(new, life.here, from_version=1).fields["release"] == "b"
    numbered = compiled(HELIX.replace("build: string", "release: int").replace("build,", "release,") + upgrade)
    reason = "its upgrade gives `release` a value that is not int"
    assert homeless(life.table, numbered, life.here, from_version=1) == (reason,)
