"""`whenever`: who makes it due, when it fires, and when it does not."""

from __future__ import annotations

import pytest

from temper.table import SPIN_MS, Act, Fire, Refused, Snapshot, Table, Why, due, homeless, rouse, step, watched_fields
from tests.table.build import ANN, BOB, Life, accepted, compiled
from tests.table.test_commit import Entities, done, no

TANK = """
    entity Tank
      states On, Full, Off
      group Running = On, Full
      final Off
      level: int = 0
      high: int = 3
      muted: bool = false
      alarms: int = 0
      action Make by operator from new to On
      action Fill by operator, builder from On, Full
        set level += 1
      action Drain by operator, builder from On, Full
        set level = 0
      action Close by system from On to Full
      action Alarm by operator, system from On, Full when not muted else "no alarm"
        set alarms += 1
        set level = 0
      action Mute by operator from On, Full
        set muted = true
      action Stop by operator from On, Full to Off
      in On whenever level >= high + 2 do Close
      in Running whenever level == 3 do Alarm
"""


@pytest.fixture
def life() -> Life:
    life = Life(compiled(TANK), "Tank")
    life.done("Make")
    return life


def waiting(life: Life) -> list[Fire]:
    return [event for event in due(life.here, life.at) if isinstance(event, Fire)]


def fired(life: Life) -> object:
    event = waiting(life)[0]
    return life.fire(event.timer, event.stamp)


def filled(life: Life) -> Life:
    life.done("Fill")
    life.done("Fill", BOB)
    life.done("Fill", BOB)
    return life


def test_ruling_18_it_is_due_from_the_commit_that_makes_its_condition_hold(life: Life) -> None:
    life.done("Fill")
    life.done("Fill")
    assert waiting(life) == []
    life.done("Fill")
    assert waiting(life) == [Fire("", 1_000, "Tank/in/Running/whenever/Alarm/0", 4)]


def test_ruling_18_it_fires_in_a_commit_of_its_own_and_once(life: Life) -> None:
    filled(life)
    fired(life)
    assert (life.here.fields["alarms"], life.here.version) == (1, 5)
    assert waiting(life) == []


def test_ruling_18_it_does_not_fire_where_its_condition_has_ceased_to_hold(life: Life) -> None:
    """Disarmed by the commit that made it so; a late `Fire` finds nothing."""
    filled(life)
    (late,) = waiting(life)
    life.done("Drain")
    assert life.here.timers == ()
    result = life.fire(late.timer, late.stamp)
    assert isinstance(result, Refused)
    assert result.why is Why.STALE


def test_ruling_08_it_acts_as_system_for_who_made_it_due(life: Life) -> None:
    """Bob's second `Fill` did; what others do while it is due changes nothing of that."""
    filled(life)
    life.done("Mute", ANN)
    assert [armed.caller for armed in life.here.timers] == [BOB]
    life.with_fields(muted=False)
    done_ = accepted(life.fire(life.here.timers[0].timer))
    assert (done_.caller, done_.actor) == (BOB, "system")


def test_ruling_18_refused_it_stays_due(life: Life) -> None:
    filled(life)
    life.done("Mute")
    result = fired(life)
    assert isinstance(result, Refused)
    assert (result.why, result.text) == (Why.GUARD, "no alarm")
    assert len(waiting(life)) == 1


def test_a_group_s_whenever_lasts_while_the_group_is_not_left(life: Life) -> None:
    filled(life)
    life.done("Fill")
    life.done("Fill")
    assert [event.timer for event in waiting(life)] == ["Tank/in/On/whenever/Close/0"]
    life.fire("Tank/in/On/whenever/Close/0")
    assert life.here.state == "Full"
    life.with_fields(level=2)
    life.done("Fill")
    assert len(waiting(life)) == 1
    life.done("Stop")
    assert life.here.timers == ()


def test_ruling_18_one_that_its_action_leaves_due_has_to_wait() -> None:
    """It is an error of the blueprint; it must not take everybody's time."""
    life = Life(
        compiled("""
            entity Clock
              states On
              n: int = 0
              action Make by operator from new to On
              action Tick by system from On
                set n += 1
              in On whenever n >= 0 do Tick
        """),
        "Clock",
    )
    life.done("Make")
    for count in (1, 2):
        fired(life)
        assert life.here.fields["n"] == count
        assert waiting(life) == []
        life.at += SPIN_MS - 1
        assert waiting(life) == []
        life.at += 1
        assert len(waiting(life)) == 1


@pytest.mark.parametrize(("step_ms", "spins"), [(0, True), (1, False)])
def test_ruling_18_an_at_that_its_action_leaves_due_has_to_wait(step_ms: int, spins: bool) -> None:
    """Unless it moves on: one that catches up with the time after a pause does so at once."""
    life = Life(
        compiled(f"""
            entity Clock
              states On
              next: time
              n: int = 0
              action Make by operator from new to On
                set next = now
              action Tick by system from On to On
                set n += 1
                set next = next + {step_ms}ms
              in On at next do Tick
        """),
        "Clock",
    )
    life.done("Make")
    life.at += 10
    fired(life)
    assert (waiting(life) == []) is spins


WATCHED = """
    entity Payment
      states Open, Captured, Void
      by_: principal?
      disputes: every Dispute.payment max 3
      action Make by operator from new to Open
      action Capture by builder, operator from Open to Captured
      action Void by builder, operator from Open, Captured to Void
      action Hold by system from Captured to Void
      in Captured whenever any d in disputes: d.state is Raised do Hold
    entity Dispute
      states Draft, Raised
      payment: Payment
      action Make(payment) by operator from new to Draft
        set payment
      action Raise by builder from Draft to Raised
    entity Order
      states Waiting, Shipped, Sent
      payment: Payment
      action Make(payment) by operator from new to Waiting
        set payment
      action Ship by system from Waiting to Shipped
      action Send by operator from Shipped to Sent
      in Waiting whenever payment.state is Captured do Ship
    entity Parcel
      states Open, Closed
      order: Order?
      action Make(order) by operator from new to Open
        set order
      action Close by system from Open to Closed
      in Open whenever order != none and order.payment.state is Captured do Close
"""


@pytest.fixture(scope="module")
def watched() -> Table:
    return compiled(WATCHED)


def shop(table: Table) -> Entities:
    world = Entities(table)
    done(world.act("Payment", "p", "Make"))
    for id in ("o1", "o2"):
        done(world.act("Order", id, "Make", payment="p"))
    done(world.act("Parcel", "x", "Make", order="o1"))
    return world


def armed(world: Entities) -> list[tuple[str, str]]:
    return [(id, one.caller.principal) for (_, id), now in world.living.items() for one in now.timers]


def test_whoever_reads_through_a_reference_is_roused_by_a_change_there(watched: Table) -> None:
    """Through one reference or two; on behalf of who changed it."""
    world = shop(watched)
    done(world.act("Payment", "p", "Capture", BOB))
    assert armed(world) == [("o1", "bob"), ("o2", "bob"), ("x", "bob")]
    assert world.living["Order", "o1"].version == 1
    result = done(world.fire("Order", "o1"))
    assert result.parts[0].accepted.caller == BOB
    assert world.living["Order", "o1"].state == "Shipped"


def test_what_another_takes_back_is_not_due_any_more(watched: Table) -> None:
    world = shop(watched)
    done(world.act("Payment", "p", "Capture", BOB))
    done(world.act("Payment", "p", "Void"))
    assert armed(world) == []


def test_a_whenever_that_reads_others_is_armed_by_its_own_commit_too(watched: Table) -> None:
    """A step alone does not know what others are after it."""
    world = shop(watched)
    done(world.act("Payment", "p", "Capture", BOB))
    event = Act("e", 0, "Make", {"payment": "p"}, ANN, "Order", "o3")
    assert accepted(step(watched, None, event, world)).after.timers == ()
    done(world.take(event, "Order", "o3"))
    assert [one.caller for one in world.living["Order", "o3"].timers] == [ANN]


def test_a_whenever_over_an_inverse_set(watched: Table) -> None:
    """Whoever comes into the set, or changes within it, rouses whose it is."""
    world = shop(watched)
    done(world.act("Dispute", "d", "Make", payment="p"))
    done(world.act("Payment", "p", "Capture"))
    world.living["Order", "o1"] = world.living["Order", "o2"]
    assert ("p", "ann") not in armed(world)
    done(world.act("Dispute", "d", "Raise", BOB))
    assert ("p", "bob") in armed(world)
    done(world.fire("Payment", "p"))
    assert world.living["Payment", "p"].state == "Void"


def test_it_is_looked_at_again_before_it_fires(watched: Table) -> None:
    """Had nobody told it that what it reads has changed, it would still not fire."""
    world = shop(watched)
    done(world.act("Payment", "p", "Capture"))
    (event,) = due(world.living["Order", "o1"], 1_000)
    captured: Snapshot = world.living["Payment", "p"]
    world.living["Payment", "p"] = done(world.act("Payment", "q", "Make")).parts[0].accepted.after
    assert no(world.take(event, "Order", "o1")).why is Why.STALE
    assert rouse(watched, world.living["Order", "o1"], ANN, 0, world).timers == ()
    world.living["Payment", "p"] = captured
    done(world.take(event, "Order", "o1"))


def test_without_a_world_one_that_reads_others_is_refused(watched: Table) -> None:
    world = shop(watched)
    done(world.act("Payment", "p", "Capture"))
    (event,) = due(world.living["Order", "o1"], 1_000)
    result = step(watched, world.living["Order", "o1"], event)
    assert isinstance(result, Refused)
    assert result.why is Why.MISSING


def test_what_has_to_be_found_by_whom_it_refers_to(watched: Table) -> None:
    """The fields that a store keeps an index of."""
    assert {kind: watched_fields(watched, kind) for kind in watched.entities} == {
        "Payment": (), "Dispute": ("payment",), "Order": ("payment",), "Parcel": ("order",),
    }  # fmt: skip


def test_a_push_may_drop_a_whenever_that_is_due(life: Life) -> None:
    """What is due follows from the state: nobody is stranded by it."""
    filled(life)
    without = compiled("\n".join(line for line in TANK.splitlines() if "in Running" not in line))
    assert homeless(life.table, without, life.here) == ()
