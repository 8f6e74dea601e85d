"""Each ruling of the semantics that `step` executes, by its number."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from temper.table import (
    Caller,
    CallOrder,
    Deferred,
    Ending,
    How,
    SendOrder,
    Why,
    due,
    evaluate,
)
from tests.table.build import (
    ANN,
    BOB,
    CAT,
    INT,
    SYSTEM,
    Life,
    accepted,
    action,
    case,
    compiled,
    do,
    entity,
    helix,
    n,
    on,
    place,
    put,
    refused,
    table,
)

# --- one commit -------------------------------------------------------------------------------------------------------

ROUTED = """
    entity Claim
      states Asked, Sorting, Small, Large
      amount: int 0..1000 = 0
      small: int 0..9 = 0
      action Open(amount) by anyone from new to Asked
        set amount
      action Sort by anyone from Asked to Sorting
        set amount += 1
      in Sorting on entry do Route
      action Route by system
        from Sorting to Small when amount <= 100 else "too much"
        from Sorting to Large when amount <= 500 else "far too much"
        set small = amount // 100
"""


def test_ruling_01_one_action_and_its_routes() -> None:
    """A cycle of routes, which the checker refuses, is refused here too, and does not run for ever."""
    life = Life(compiled(ROUTED), "Claim")
    life.done("Open", amount=5)
    assert [(move.action, move.before, move.after) for move in life.done("Sort").moves] == [
        ("Sort", "Asked", "Sorting"),
        ("Route", "Sorting", "Small"),
    ]
    circle = table(
        entity(
            "Loop", "A B", {},
            action("Make", case("new", "A")), action("On", case("A", "B"), by=(SYSTEM,)),
            action("Back", case("B", "A"), by=(SYSTEM,)),
            places=(place("A", route=do("On")), place("B", route=do("Back"))),
        )
    )  # fmt: skip
    assert refused(Life(circle, "Loop").act("Make")).why is Why.TWICE


def test_ruling_02_everything_reads_from_before() -> None:
    """Two fields are exchanged by two assignments."""
    life = Life(
        compiled("""
        entity Pair
          states On
          a: int = 1
          b: int = 2
          action Make by anyone from new to On
          action Swap by anyone from On
            set a = b, b = a
        """),
        "Pair",
    )
    life.done("Make")
    assert life.done("Swap").after.fields == {"a": 2, "b": 1}


def test_ruling_02_on_entry_and_routes_read_the_values_so_far() -> None:
    """100 + 1 is too much for `Small`, and what `Route` sets it reads from there."""
    life = Life(compiled(ROUTED), "Claim")
    life.done("Open", amount=250)
    after = life.done("Sort").after
    assert (after.state, after.fields) == ("Large", {"amount": 251, "small": 2})


def test_ruling_02_two_sets_of_one_field_are_refused() -> None:
    """Here in an action and on entry; the checker may not see it when one of them stands under an `if`."""
    double = table(
        entity(
            "Twice", "A B", {"n": (INT, n(0))},
            action("Make", case("new", "A")), action("Go", case("A", "B"), body=(put("n", n(1)),)),
            places=(place("B", entry=(put("n", n(2)),)),),
        )
    )  # fmt: skip
    life = Life(double, "Twice")
    life.done("Make")
    no = refused(life.act("Go"))
    assert (no.why, no.text) == (Why.TWICE, "`n` is set twice in one commit")


def test_ruling_03_a_routing_state_is_passed_through_and_refuses_the_whole() -> None:
    """If the route is refused, the action is, with the route's text; its links count as moves."""
    life = Life(compiled(ROUTED), "Claim")
    life.done("Open", amount=600)
    no = refused(life.act("Sort"))
    assert (no.why, no.text, no.action) == (Why.GUARD, "too much", "Route")
    assert life.here.state == "Asked"


def test_ruling_03_a_route_counts_a_visit_for_each_state_it_enters() -> None:
    """`Sorting` and `Small` are both entered."""
    life = Life(compiled(ROUTED), "Claim")
    life.done("Open", amount=1)
    before = life.here.visit
    assert life.done("Sort").after.visit == before + 2


def test_ruling_05_first_case_whose_state_by_and_when_hold() -> None:
    """The case for `Verifying` comes first, and is taken as soon as its guard holds."""
    life = Life(helix(), "Rollout")
    life.done("Plan", cluster="c", build="b", brokers=2)
    life.done("Start")
    first = accepted(life.ends(life.here.calls[0].order))
    assert (first.moves[0].case, first.after.state) == ("Rollout.Moved/from/1", "Rolling")
    second = accepted(life.ends(life.here.calls[0].order))
    assert (second.moves[0].case, second.after.state) == ("Rollout.Moved/from/0", "Verifying")


def test_ruling_05_a_case_with_its_own_by_is_passed_over_for_others() -> None:
    life = Life(
        compiled("""
        entity Door
          states Shut, Open, Broken
          action Make by anyone from new to Shut
          action Push
            from Shut to Open by operator
            from Shut to Broken by builder
        """),
        "Door",
    )
    life.done("Make")
    assert accepted(life.act("Push", BOB)).actor == "builder"
    assert life.here.state == "Broken"


NUMBERS = compiled("""
    entity Sum
      states On
      a: int = 0
      d: decimal = 0
      action Make by anyone from new to On
""")


@pytest.mark.parametrize(
    ("a", "b", "floored", "rest"),
    [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1), (6, -3, -2, 0)],
)  # fmt: skip
def test_ruling_06_division_floors(a: int, b: int, floored: int, rest: int) -> None:
    """For decimals too, where Python's cut towards zero."""
    for one, other in ((n(a), n(b)), (on("to_decimal", n(a)), on("to_decimal", n(b)))):
        assert evaluate(NUMBERS, "Sum", on("//", one, other), None) == floored
        assert evaluate(NUMBERS, "Sum", on("%", one, other), None) == rest


def test_ruling_06_decimals_are_exact() -> None:
    """Far past the 28 digits of Python's default context, and with no binary fractions."""
    big: tuple[object, ...] = ("lit", ("decimal", None, None), "1" + "0" * 40)
    tenth: tuple[object, ...] = ("lit", ("decimal", None, None), "0.1")
    assert evaluate(NUMBERS, "Sum", on("+", big, tenth), None) == Decimal("1" + "0" * 40 + ".1")
    assert evaluate(NUMBERS, "Sum", on("*", tenth, on("+", tenth, tenth)), None) == Decimal("0.02")


def test_ruling_06_integers_have_no_bound() -> None:
    assert evaluate(NUMBERS, "Sum", on("*", n(2**62), n(2**62)), None) == 2**124


# --- who --------------------------------------------------------------------------------------------------------------

ITEM = """
    entity Item
      states Free, Held
      holder: principal?
      watchers: set of principal max 3 = {}
      action Make by anyone from new to Free
      action Take(holder: principal) by anyone from Free to Held
        set holder = holder
      action Give(holder: principal) by holder from Held
        set holder = holder
      action Watch by anyone from Held
        set watchers += caller
      action Peek by watchers from Held
"""


def test_ruling_07_by_means_the_fields_and_a_parameter_hides_one_in_expressions() -> None:
    """`by holder` is the one who holds it, not whom the request names."""
    life = Life(compiled(ITEM), "Item")
    life.done("Make")
    life.done("Take", holder="bob")
    assert refused(life.act("Give", ANN, holder="ann")).why is Why.DENIED
    given = accepted(life.act("Give", BOB, holder="ann"))
    assert (given.actor, given.after.fields["holder"]) == ("named", "ann")


def test_ruling_07_by_a_set_of_principals() -> None:
    life = Life(compiled(ITEM), "Item")
    life.done("Make")
    life.done("Take", holder="bob")
    assert refused(life.act("Peek", CAT)).text == "`Peek` is by `watchers`; `cat` is `release_manager`"
    life.done("Watch", CAT)
    assert accepted(life.act("Peek", CAT)).actor == "named"


def test_ruling_07_none_is_nobody() -> None:
    """An item that nobody holds is given by nobody, not by one called `none` or nothing."""
    life = Life(compiled(ITEM), "Item")
    life.done("Make")
    life.done("Take", holder="bob")
    life.with_fields(holder=None)
    assert refused(life.act("Give", Caller(""), holder="x")).why is Why.DENIED


def test_ruling_08_the_principal_travels_and_system_acts() -> None:
    """Ann starts the rollout: the call, its outcome, the timer and what the timer does are on her behalf."""
    life = Life(helix(), "Rollout")
    life.done("Plan", BOB, cluster="c", build="b", brokers=2)
    started = life.done("Start", ANN)
    assert started.after.calls[0].caller == started.after.timers[0].caller == ANN
    moved = accepted(life.ends(life.here.calls[0].order))
    assert (moved.caller, moved.actor, moved.after.timers[0].caller) == (ANN, "system", ANN)
    life.at += 30 * 60_000
    halted = accepted(life.fire("Rollout/in/Rolling/after/Halt/0"))
    assert (halted.caller, halted.actor) == (ANN, "system")


def test_ruling_08_system_has_no_roles_and_the_caller_keeps_them() -> None:
    """`by operator` does not admit an outcome; `caller is operator` still asks the roles of whoever caused it."""
    life = Life(
        compiled("""
        tool out.go()
          timeout 1m
        entity Job
          states A, B, C
          action Make by anyone from new to A
          action Go by anyone from A
            call out.go() then Done else _
          action Done by system
            from A to B when caller is operator
            from A to C
        """),
        "Job",
    )
    life.done("Make")
    life.done("Go", ANN)
    assert accepted(life.ends(life.here.calls[0].order)).after.state == "B"
    dead = accepted(life.deliver("Go", ANN))
    assert (dead.how, dead.late) == (How.DEAD, "`Go` is by `anyone`; this is `system`")


def test_ruling_09_a_holder_of_two_roles_that_exclude_each_other_is_refused() -> None:
    """Whatever the action is by."""
    both = Caller("eve", frozenset({"builder", "release_manager"}))
    no = refused(Life(helix(), "Rollout").act("Plan", both, cluster="c", build="b", brokers=1))
    assert no.why is Why.DENIED
    assert no.text == "`eve` is both `builder` and `release_manager`, which exclude each other"


# --- calls, outcomes, lateness ----------------------------------------------------------------------------------------

CALLS = """
    tool pay.charge(amount: int) -> (fee: int 0..10, note: string?)
      timeout 1m
    entity Payment
      states Due, Charging, Paid, Failed, Unsure
      amount: int = 5
      paid: int = 0
      fee: int = 0
      because: string = ""
      lost: int = 0
      action Make by anyone from new to Due
      action Charge by anyone from Due to Charging
        call pay.charge(amount) then Got(amount, result.fee) else Lost(error.kind) unknown Maybe
      action Raise by anyone from Charging
        set amount += 1
      action Got(paid: int, fee: int) by system from Charging to Paid
        set paid, fee
      action Lost(because: string) by system from Charging to Failed
        set because
      action Maybe by system from Charging to Unsure
      action Forget by anyone from Charging to Due
      action Note(of: int) by system from any
        set lost = of
      late Got do Note(paid)
      late Lost ignore
"""


def charging(text: str = CALLS) -> Life:
    life = Life(compiled(text), "Payment")
    life.done("Make")
    life.done("Charge")
    return life


def test_ruling_13_one_outcome_and_after_unknown_one_correction_that_is_late() -> None:
    life = charging()
    order = life.here.calls[0].order
    unsure = accepted(life.ends(order, Ending.UNKNOWN))
    assert (unsure.how, unsure.after.state, unsure.after.calls[0].ended) == (How.TAKEN, "Unsure", True)
    assert refused(life.ends(order, Ending.UNKNOWN)).why is Why.STALE
    corrected = accepted(life.ends(order, fee=1))
    assert (corrected.how, corrected.after.calls, corrected.after.fields["lost"]) == (How.LATE, (), 5)
    assert corrected.late == "`pay.charge` had ended as unknown before this came"
    assert refused(life.ends(order, fee=1)).why is Why.STALE


def test_ruling_13_an_answer_ends_the_call() -> None:
    life = charging()
    order = life.here.calls[0].order
    assert accepted(life.ends(order, fee=2)).after.calls == ()
    assert refused(life.ends(order, fee=2)).why is Why.STALE


def test_ruling_13_without_unknown_it_goes_to_else_as_a_timeout() -> None:
    """And the true answer may still come, late."""
    life = charging(
        CALLS.replace(" unknown Maybe", "").replace("      action Maybe by system from Charging to Unsure\n", "")
    )
    order = life.here.calls[0].order
    lost = accepted(life.ends(order, Ending.UNKNOWN))
    assert (lost.after.state, lost.after.fields["because"], lost.after.calls[0].ended) == ("Failed", "timeout", True)
    assert accepted(life.ends(order, fee=1)).how is How.LATE


def test_ruling_13_of_many_that_ended_unknown_the_last_can_be_corrected() -> None:
    """An entity does not grow for ever: the oldest correction is given up."""
    life = charging(CALLS + "      action Retry by anyone from Unsure to Due\n")
    orders = []
    for _ in range(17):
        orders.append(life.here.calls[-1].order)
        accepted(life.ends(orders[-1], Ending.UNKNOWN))
        life.done("Retry")
        life.done("Charge")
    assert [call.order for call in life.here.calls if call.ended] == orders[1:]
    assert refused(life.ends(orders[0], fee=1)).why is Why.STALE
    assert accepted(life.ends(orders[1], fee=1)).how is How.LATE


def test_ruling_14_late_when_its_visit_is_over_even_if_the_state_is_entered_again() -> None:
    life = charging()
    order = life.here.calls[0].order
    life.done("Forget")
    life.done("Charge")
    late = accepted(life.ends(order, fee=1))
    assert (late.how, late.after.state, late.after.fields["lost"]) == (How.LATE, "Charging", 5)
    assert late.late == "this Payment has left the state in which `pay.charge` was called"
    assert [call.order for call in life.here.calls] == ["e4.1"]


def test_ruling_14_late_when_its_action_refuses_it() -> None:
    """`late Lost ignore`: nothing happens, and it is known why."""
    life = charging()
    first = life.here.calls[0].order
    life.with_fields(amount=7)
    accepted(life.ends(first, fee=3))
    assert life.here.state == "Paid"
    ignored = accepted(life.deliver("Lost", because="x"))
    assert (ignored.how, ignored.moves, ignored.after.state) == (How.IGNORED, (), "Paid")
    assert ignored.late == "`Lost` is possible from `Charging`; this Payment is `Paid`"


def test_ruling_14_arguments_are_read_at_the_call_and_only_the_result_later() -> None:
    """The amount is raised in between: what was charged is what was asked for."""
    life = charging()
    life.done("Raise")
    after = accepted(life.ends(life.here.calls[0].order, fee=3)).after
    assert (after.fields["amount"], after.fields["paid"], after.fields["fee"]) == (6, 5, 3)


def test_ruling_14_a_call_belongs_to_the_visit_in_which_its_action_ended() -> None:
    """Cases without `to` leave it in its visit; moving on does not."""
    life = charging()
    assert life.here.calls[0].visit == life.here.visit
    life.done("Raise")
    assert accepted(life.ends(life.here.calls[0].order, fee=1)).how is How.TAKEN


def test_ruling_15_late_without_a_line_is_a_dead_letter() -> None:
    life = charging()
    dead = accepted(life.deliver("Maybe"))
    assert dead.how is How.TAKEN
    dead = accepted(life.deliver("Maybe"))
    assert (dead.how, dead.moves) == (How.DEAD, ())
    assert dead.late == "`Maybe` is possible from `Charging`; this Payment is `Unsure`"


def test_ruling_15_if_the_late_action_refuses_too_it_is_a_dead_letter() -> None:
    life = charging(CALLS.replace("from any\n", "from Charging\n"))
    accepted(life.ends(life.here.calls[0].order, Ending.UNKNOWN))
    dead = accepted(life.ends("e2.1", fee=1))
    assert dead.how is How.DEAD
    assert dead.late is not None
    assert dead.late.endswith("`Note`: `Note` is possible from `Charging`; this Payment is `Unsure`")


def test_ruling_15_a_state_s_late_line_goes_before_the_entity_s() -> None:
    life = charging(CALLS + "      in Unsure late Got ignore\n")
    accepted(life.ends(life.here.calls[0].order, Ending.UNKNOWN))
    assert accepted(life.ends("e2.1", fee=1)).how is How.IGNORED


DEFERS = """
    entity Till
      states Shut, Open
      count: int = 0
      action Make by anyone from new to Shut
      action Unlock by anyone from Shut to Open
      action Lock by anyone from Open to Shut
      action Stay by anyone from Shut to Shut
      action Pay(much: int) by system from Open
        set count += much
      in Shut defer Pay
    entity Buyer
      states On
      till: Till
      action Make(till) by anyone from new to On
        set till
      action Buy by anyone from On
        send till.Pay(3)
"""


def test_ruling_15_defer_offers_it_again_once_the_state_is_left() -> None:
    life = Life(compiled(DEFERS), "Till")
    life.done("Make")
    kept = accepted(life.deliver("Pay", much=3))
    assert (kept.how, kept.moves) == (How.DEFERRED, ())
    held = kept.after.deferred[0]
    assert (held.action, held.params, held.caller, held.place) == ("Pay", {"much": 3}, ANN, "Till/in/Shut")
    assert due(life.here, None) == ()
    assert refused(life.offer(held.id)).why is Why.STALE
    life.done("Unlock")
    assert [event.at for event in due(life.here, 5)] == [5]
    paid = accepted(life.offer(held.id))
    assert (paid.how, paid.actor, paid.after.fields["count"], paid.after.deferred) == (How.TAKEN, "system", 3, ())
    assert refused(life.offer(held.id)).why is Why.STALE


def test_ruling_15_a_deferred_one_that_was_released_stays_so_and_may_be_deferred_again() -> None:
    """Leaving the state and entering it again (`A to A` too) is leaving it: the one is offered, and refused again."""
    life = Life(compiled(DEFERS), "Till")
    life.done("Make")
    accepted(life.deliver("Pay", much=3))
    life.done("Stay")
    assert life.here.deferred == (Deferred("e2", "Pay", {"much": 3}, ANN, ""),)
    again = accepted(life.offer("e2"))
    assert (again.how, again.after.deferred[0].place) == (How.DEFERRED, "Till/in/Shut")


def test_ruling_15_a_deferred_one_holds_back_no_other() -> None:
    life = Life(compiled(DEFERS), "Till")
    life.done("Make")
    accepted(life.deliver("Pay", much=3))
    accepted(life.deliver("Pay", much=4))
    life.done("Unlock")
    assert accepted(life.offer("e3")).after.fields["count"] == 4
    assert [held.id for held in life.here.deferred] == ["e2"]


def test_ruling_15_what_a_state_defers_is_bounded() -> None:
    life = Life(compiled(DEFERS), "Till")
    life.done("Make")
    held = Deferred("d", "Pay", {"much": 1}, ANN, "Till/in/Shut")
    life.now = replace(life.here, deferred=(held,) * 999)
    assert accepted(life.deliver("Pay", much=1)).how is How.DEFERRED
    dead = accepted(life.deliver("Pay", much=1))
    assert dead.how is How.DEAD
    assert dead.late == "`Pay` is possible from `Open`; this Till is `Shut`; 1,000 are deferred already"


def test_ruling_16_sends_are_ordered_as_they_are_written() -> None:
    life = Life(
        compiled("""
        entity Note
          states On
          text: string
          action Write(text) by system from new to On
            set text
          action Add(text) by system from On
            set text
          late Add ignore
        entity Pad
          states On
          note: Note
          action Make by anyone from new to On
            create Note.Write("a") as n
            set note = n
          action Both by anyone from On
            send note.Add("one")
            send note.Add("two")
        """),
        "Pad",
    )
    made = life.done("Make")
    assert made.after.fields["note"] == made.creates[0].event.entity_id == "e1.1"
    orders = life.done("Both").orders
    sends = [order for order in orders if isinstance(order, SendOrder)]
    assert [(send.order, send.entity_id, send.params) for send in sends] == [
        ("e2.1", "e1.1", {"text": "one"}),
        ("e2.2", "e1.1", {"text": "two"}),
    ]


# --- time -------------------------------------------------------------------------------------------------------------

TIMERS = """
    entity Clock
      states Off, Running, Done
      group Alive = Off, Running
      until: time?
      ticks: int = 0
      blocked: bool = false
      action Make by anyone from new to Off
      action Run by anyone from Off to Running
      action Again by anyone from Running to Running
      action Keep by anyone from Running
      action Block by anyone from Running
        set blocked = true
      action Meet(until: time?) by anyone from Running
        set until
      action Tick by system from Running when not blocked
        set ticks += 1
      action End by system from Running to Done when not blocked else "blocked"
      action Ring by system from Running
        set ticks += 100
      in Running
        after 10s do End
        every 3s do Tick
        at until do Ring
      in Alive
        after 1h do Tick
"""
AFTER, EVERY, AT = "Clock/in/Running/after/End/0", "Clock/in/Running/every/Tick/0", "Clock/in/Running/at/Ring/0"


def running(at: int = 0) -> Life:
    life = Life(compiled(TIMERS), "Clock", at)
    life.done("Make")
    life.done("Run")
    return life


def armed(life: Life, timer: str) -> int | None:
    return next(one.due for one in life.here.timers if one.timer == timer)


def test_ruling_17_nothing_fires_early() -> None:
    life = running()
    life.at = 9_999
    assert refused(life.fire(AFTER)).text == "this timer is not due yet"
    life.at = 10_000
    assert accepted(life.fire(AFTER)).after.state == "Done"


def test_ruling_17_a_timer_whose_action_is_refused_stays_due() -> None:
    life = running()
    life.done("Block")
    life.at = 10_000
    no = refused(life.fire(AFTER))
    assert (no.why, no.text) == (Why.GUARD, "blocked")
    assert armed(life, AFTER) == 10_000


def test_ruling_17_after_fires_once_a_visit() -> None:
    """Entering the state anew arms it anew; a case without `to` leaves it as it is."""
    life = running()
    life.at = 1_000
    life.done("Keep")
    assert armed(life, AFTER) == 10_000
    life.done("Again")
    assert armed(life, AFTER) == 11_000
    every = compiled(TIMERS.replace("from Running to Done when not blocked", "from Running when not blocked"))
    life = Life(every, "Clock", 0)
    life.done("Make")
    life.done("Run")
    life.at = 10_000
    accepted(life.fire(AFTER))
    assert armed(life, AFTER) is None
    assert refused(life.fire(AFTER)).why is Why.STALE


def test_ruling_17_at_follows_its_field_and_fires_once_a_value() -> None:
    life = running()
    assert armed(life, AT) is None
    life.done("Meet", until=5_000)
    assert armed(life, AT) == 5_000
    stamp = next(one.stamp for one in life.here.timers if one.timer == AT)
    life.done("Meet", until=6_000)
    life.at = 7_000
    assert refused(life.fire(AT, stamp)).why is Why.STALE
    assert accepted(life.fire(AT)).after.fields["ticks"] == 100
    assert armed(life, AT) is None
    life.done("Meet", until=6_000)
    assert armed(life, AT) is None
    life.done("Meet", until=6_500)
    assert armed(life, AT) == 6_500
    life.done("Meet", until=None)
    assert armed(life, AT) is None


def test_ruling_17_missed_ticks_merge_into_one() -> None:
    """Due at 3 s; fired at 10 s, it has missed 6 s and 9 s, and is due again at 12 s."""
    life = running()
    life.at = 10_000
    assert accepted(life.fire(EVERY)).after.fields["ticks"] == 1
    assert armed(life, EVERY) == 12_000


def test_ruling_17_due_timers_fire_in_due_order() -> None:
    life = running()
    life.done("Meet", until=1_000)
    life.at = 20_000
    assert [getattr(event, "timer", "") for event in due(life.here, 20_000)] == [AT, EVERY, AFTER]


def test_ruling_17_a_stale_stamp_does_nothing() -> None:
    life = running()
    stamp = life.here.timers[0].stamp
    life.done("Again")
    life.at = 60_000
    assert refused(life.fire(AFTER, stamp)).why is Why.STALE


# --- entities ---------------------------------------------------------------------------------------------------------


def test_ruling_21_groups_are_entered_from_outside_only() -> None:
    """`Alive` is entered once, at the creation; moving within it leaves its timer alone."""
    life = running(at=500)
    group = "Clock/in/Alive/after/Tick/0"
    assert armed(life, group) == 500 + 3_600_000
    life.at = 1_000
    life.done("Again")
    assert armed(life, group) == 500 + 3_600_000
    life.at = 11_000
    accepted(life.fire(AFTER))
    assert life.here.timers == ()


def test_ruling_24_for_runs_in_canonical_order() -> None:
    """Sets by value, whatever order they were given in; lists as they are."""
    life = Life(
        compiled("""
        event Named(name: string)
        entity Crowd
          states On
          action Make(names: set of string max 9, more: list of int max 9) by anyone from new to On
            for x in names: emit Named(x)
            for y in more: if y > 1: emit Named("big")
        """),
        "Crowd",
    )
    made = accepted(life.act("Make", names=frozenset({"b", "a", "C", "ä"}), more=(2, 1, 3)))
    assert [fact.params["name"] for fact in made.emitted] == ["C", "a", "b", "ä", "big", "big"]


def test_ruling_25_narrowing_runs_left_to_right() -> None:
    """`until != none and until > now`: the second half is not asked where there is no time."""
    life = Life(
        compiled("""
        entity Slot
          states On
          until: time?
          action Make(until: time?) by anyone from new to On
            set until
          action Use by anyone from On when until != none and until > now
        """),
        "Slot",
    )
    life.done("Make", until=None)
    assert refused(life.act("Use")).text == "`Use` needs `until != none and until > now`"


# --- grammar and the rest ---------------------------------------------------------------------------------------------


def test_ruling_28_acts_for_is_the_person_behind_an_agent_or_the_caller_itself() -> None:
    life = Life(
        compiled("""
        entity Log
          states On
          who: principal
          person: principal
          action Make by anyone from new to On
            set who = caller, person = caller.acts_for
        """),
        "Log",
    )
    agent = Caller("bot", frozenset(), "ann")
    assert accepted(life.act("Make", agent)).after.fields == {"who": "bot", "person": "ann"}
    other = Life(life.table, "Log")
    assert other.done("Make", BOB).after.fields == {"who": "bob", "person": "bob"}


@pytest.mark.parametrize(
    ("results", "because"),
    [
        ({}, "`pay.charge` answered without `fee`"),
        ({"fee": 11}, "`pay.charge` answered `fee` 11, which is not int 0..10"),
        ({"fee": "3"}, '`pay.charge` answered `fee` "3", which is not int 0..10'),
        ({"fee": 1, "note": 5}, "`pay.charge` answered `note` 5, which is not string?"),
    ],
)  # fmt: skip
def test_ruling_29_an_answer_of_another_type_is_a_failure(results: dict[str, object], because: str) -> None:
    life = charging(CALLS.replace("Lost(error.kind)", 'Lost(error.kind + ": " + error.text)'))
    after = accepted(life.ends(life.here.calls[0].order, Ending.ANSWERED, "", "", **results)).after  # type: ignore[arg-type]  # what a tool answers may be anything
    assert (after.state, after.fields["because"]) == ("Failed", f"bad_answer: {because}")


def test_ruling_29_optional_results_may_be_left_out() -> None:
    assert accepted(charging().ends("e2.1", fee=1)).after.state == "Paid"


def test_an_order_is_named_after_its_event_and_its_number() -> None:
    """So that the same event orders the same, wherever it is taken."""
    life = charging()
    (order,) = life.here.calls
    assert isinstance(order.order, str)
    again = Life(life.table, "Payment")
    again.done("Make")
    orders = again.done("Charge").orders
    assert [one.pending.order for one in orders if isinstance(one, CallOrder)] == ["e2.1"]
