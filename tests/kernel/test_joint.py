"""Several entities in one commit, in a host: the journal, the index of references, and `whenever`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from temper.kernel import Batch, Cause, Change, Done, Limits, No, Store
from temper.table import SPIN_MS, Caller, Why
from tests.kernel.driving import MANY, Driver
from tests.kernel.shop import CLERK, compiled

BANK = """
blueprint bank

role clerk

entity Account
  states Open, Shut
  final Shut
  balance: int 0..1000
  log: int = 0
  holds: every Hold.account max 2
  action Make(balance) by clerk from new to Open
    set balance
  action Withdraw(sum: int 1..) by system from Open when sum <= balance else "not enough money"
    set balance -= sum
    set log += 1
  action Deposit(sum: int 1..) by system from Open
    set balance += sum
    set log += 1
  action Shut by clerk from Open to Shut when balance == 0 and size(holds) == 0

entity Hold
  states On
  account: Account
  action Make(account) by clerk from new to On
    set account

entity Teller
  states Here
  moved: int = 0
  action Make by clerk from new to Here
  action Move(giver: Account, taker: Account, sum: int 1..) by clerk from Here
    when giver.state is Open else "the giver is shut"
    with giver.Withdraw(sum)
    with taker.Deposit(sum)
    set moved += sum
  action Spread(giver: Account, takers: list of Account max 3) by clerk from Here
    with giver.Withdraw(size(takers) + 1)
    for taker in takers: with taker.Deposit(1)
    create Slip.Print as slip
    set moved += size(takers)

entity Slip
  states Printed
  action Print by system from new to Printed
"""
IDS = ("a", "b", "c", "d")


def bank(store: Store | None = None, balance: int = 100) -> Driver:
    driver = Driver(compiled(BANK), store)
    driver.act("Teller", "t", "Make")
    for id in IDS:
        driver.act("Account", id, "Make", balance=balance)
    return driver


def money(driver: Driver) -> dict[str, Any]:
    return {id: driver.read("Account", id).fields["balance"] for id in IDS}


def test_a_joint_action_is_one_change_with_an_entry_for_each() -> None:
    driver = bank()
    before = driver.store.last_seq()
    batch = driver.host.decide([driver.request("Teller", "t", "Move", giver="a", taker="b", sum=30)], driver.at)
    driver.append(batch)
    assert len(batch.changes) == 1
    entries = list(driver.store.entries(before, MANY))
    assert [(entry.entity, entry.id, entry.cause, entry.actor, entry.caused_by) for entry in entries] == [
        ("Teller", "t", Cause.REQUEST, "clerk", None),
        ("Account", "a", Cause.WITH, "system", entries[0].event),
        ("Account", "b", Cause.WITH, "system", entries[0].event),
    ]  # fmt: skip
    assert [entry.by.principal for entry in entries] == ["ann"] * 3
    done = batch.answers[0]
    assert isinstance(done, Done)
    assert done.entries == tuple(entries[1:])
    assert money(driver) == {"a": 70, "b": 130, "c": 100, "d": 100}


def test_a_retry_under_its_key_is_answered_with_the_whole() -> None:
    driver = bank()
    request = driver.request("Teller", "t", "Spread", giver="a", takers=("b", "c"))
    keyed = type(request)(request.event, request.entity, request.id, key="k", fingerprint="f")
    first = driver.ask(keyed)
    driver.restart()
    again = driver.ask(keyed)
    assert isinstance(first, Done)
    assert isinstance(again, Done)
    assert again.replayed
    assert again.entries == first.entries
    assert [entry.cause for entry in again.entries] == [Cause.WITH] * 3 + [Cause.CREATE]


@pytest.mark.parametrize(
    ("giver", "taker", "sum_", "why", "text"),
    [
        ("a", "b", 101, Why.JOINT_REFUSED, "not enough money"),
        ("a", "a", 1, Why.TWICE, "the Account `a` would take a second action in one commit, `Account.Deposit`"),
        ("a", "x", 1, Why.JOINT_REFUSED, "there is no Account `x`"),
        ("x", "a", 1, Why.MISSING, "`Move` finds no Account `x`"),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(giver: str, taker: str, sum_: int, why: Why, text: str) -> None:
    """It stands in the history of the one who was asked, and nowhere else."""
    driver = bank()
    before, seq = money(driver), driver.store.last_seq()
    answer = driver.act("Teller", "t", "Move", giver=giver, taker=taker, sum=sum_)
    assert isinstance(answer, No)
    assert (answer.refused.why, answer.refused.text) == (why, text)
    assert money(driver) == before
    (entry,) = driver.store.entries(seq, MANY)
    assert (entry.entity, entry.id, entry.how) == ("Teller", "t", "refused")


def test_the_later_of_a_batch_reads_what_the_earlier_has_left() -> None:
    """A third of all there is, four times: the last finds nothing."""
    driver = bank(balance=90)
    moves = [driver.request("Teller", "t", "Move", giver="a", taker="b", sum=30) for _ in range(4)]
    answers = driver.asks(*moves)
    assert [type(answer) for answer in answers] == [Done, Done, Done, No]
    assert money(driver) == {"a": 0, "b": 180, "c": 90, "d": 90}


def test_an_inverse_set_is_read_and_bounded_within_a_batch() -> None:
    driver = bank(balance=0)
    holds = [driver.request("Hold", f"h{number}", "Make", account="a") for number in range(3)]
    answers = driver.asks(*holds, driver.request("Account", "a", "Shut"), driver.request("Account", "b", "Shut"))
    assert [type(answer) for answer in answers] == [Done, Done, No, No, Done]
    full = answers[2]
    assert isinstance(full, No)
    assert full.refused.text == "`holds` of the Account `a` would have more than 2"
    driver.restart()
    assert isinstance(driver.act("Hold", "h9", "Make", account="a"), No)


MOVES: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    st.tuples(
        st.just("Move"),
        st.fixed_dictionaries(
            {"giver": st.sampled_from([*IDS, "x"]), "taker": st.sampled_from([*IDS, "x"]), "sum": st.integers(1, 120)}
        ),
    ),
    st.tuples(
        st.just("Spread"),
        st.fixed_dictionaries(
            {"giver": st.sampled_from(IDS), "takers": st.lists(st.sampled_from(IDS), max_size=3).map(tuple)}
        ),
    ),
    st.tuples(st.just("fault"), st.just({})),
    st.tuples(st.just("restart"), st.just({})),
)


@pytest.mark.usefixtures("each_store")
class TestMoney:
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.lists(MOVES, min_size=1, max_size=4), min_size=3, max_size=12))
    def test_money_is_neither_made_nor_lost(self, batches: list[list[tuple[str, dict[str, Any]]]]) -> None:
        """Whatever is moved between whom, in whatever batches, refused or not: `Spread` takes one more than it gives.

        And state is the fold of the journal, in which a commit is whole or not there.
        """
        driver = bank(Driver.new_store())
        for moves in batches:
            if ("restart", {}) in moves:
                driver.restart()
            asks = [driver.request("Teller", "t", what, **given) for what, given in moves if given]
            batch = driver.host.decide(asks, driver.at)
            if ("fault", {}) in moves:
                driver.host.abandon(batch)
            else:
                driver.append(batch)
        slips = driver.store.count("Slip")
        found = money(driver)
        assert sum(found.values()) == 400 - slips
        folded = driver.folded()
        assert {id: folded["Account", id].fields["balance"] for id in IDS} == found
        entries = list(driver.store.entries(0, MANY))
        causes = {entry.event: entry for entry in entries}
        for entry in entries:
            if entry.cause in {Cause.WITH, Cause.CREATE}:
                assert entry.caused_by is not None
                assert causes[entry.caused_by].how == "taken"
        moved = sum(entry.set["moved"] - entry.was["moved"] for entry in entries if "moved" in entry.was)
        assert moved == driver.read("Teller", "t").fields["moved"]


# --- whenever ---------------------------------------------------------------------------------------------------------

WATCH = """
blueprint watch

role clerk, boss

entity Gate
  states Shut, Open
  muted: bool = false
  action Make by clerk from new to Shut
  action Open by clerk, boss from Shut to Open
  action Close by clerk from Open to Shut

entity Guest
  states Waiting, Inside, Away
  gate: Gate
  patience: int = 3
  action Make(gate) by clerk from new to Waiting
    set gate
  action Enter by system from Waiting to Inside when patience > 0 else "no patience left"
  action Tire by clerk from Waiting
    set patience = 0
  action Rest by clerk from Waiting
    set patience = 3
  in Waiting whenever gate.state is Open do Enter

entity Bag
  states Carried, Dropped
  guest: Guest
  action Make(guest) by clerk from new to Carried
    set guest
  action Drop by system from Carried to Dropped
  in Carried whenever guest.gate.state is Open do Drop
"""
BOSS = Caller("bob", frozenset({"boss"}))


def watched(guests: int = 2, limits: Limits | None = None) -> Driver:
    driver = Driver(compiled(WATCH), limits=limits)
    driver.act("Gate", "g", "Make")
    for number in range(guests):
        driver.act("Guest", f"v{number}", "Make", gate="g")
    return driver


def states(driver: Driver, kind: str = "Guest") -> list[str]:
    return [now.state for now in driver.store.list(kind, limit=MANY).items]


def test_ruling_18_it_fires_soon_in_a_commit_of_its_own_and_once() -> None:
    driver = watched()
    driver.act("Gate", "g", "Open")
    assert states(driver) == ["Waiting", "Waiting"]
    assert driver.host.next_wake() == driver.at
    driver.settle()
    assert states(driver) == ["Inside", "Inside"]
    assert [entry.action for entry in driver.history("Guest", "v0")] == ["Make", "Enter"]
    assert driver.host.next_wake() is None


def test_ruling_18_a_restart_finds_what_is_due() -> None:
    driver = watched()
    driver.act("Gate", "g", "Open")
    driver.restart()
    driver.settle()
    assert states(driver) == ["Inside", "Inside"]


def test_ruling_18_what_is_taken_back_before_it_has_fired_does_not_fire() -> None:
    driver = watched()
    driver.asks(driver.request("Gate", "g", "Open"), driver.request("Gate", "g", "Close"))
    driver.settle()
    assert states(driver) == ["Waiting", "Waiting"]
    assert driver.host.next_wake() is None


def test_ruling_08_it_acts_for_who_made_it_due() -> None:
    driver = watched()
    driver.asks(driver.request("Gate", "g", "Open", BOSS), driver.request("Guest", "v0", "Rest"))
    driver.settle()
    entry = driver.history("Guest", "v0")[-1]
    assert (entry.action, entry.actor, entry.by.principal, entry.cause) == ("Enter", "system", "bob", Cause.TIMER)
    assert entry.timer == "Guest/in/Waiting/whenever/Enter/0"


def test_who_comes_later_finds_the_gate_open() -> None:
    driver = watched(0)
    driver.act("Gate", "g", "Open")
    driver.act("Guest", "v", "Make", gate="g")
    driver.settle()
    assert states(driver) == ["Inside"]


def test_through_two_references() -> None:
    driver = watched(1)
    driver.act("Bag", "b", "Make", guest="v0")
    driver.act("Gate", "g", "Open")
    driver.settle()
    assert states(driver, "Bag") == ["Dropped"]


def test_ruling_18_refused_it_is_tried_again_with_back_off_and_when_the_entity_changes() -> None:
    driver = watched(1)
    driver.act("Guest", "v0", "Tire")
    driver.act("Gate", "g", "Open")
    driver.settle()
    driver.wait(20_000)
    refusals = [entry for entry in driver.history("Guest", "v0") if entry.refused is not None]
    assert [entry.refused.text for entry in refusals if entry.refused] == ["no patience left"]
    wake = driver.host.next_wake()
    assert wake is not None
    assert wake > driver.at
    driver.act("Guest", "v0", "Rest")
    driver.settle()
    assert states(driver) == ["Inside"]


@pytest.mark.parametrize("restart", [False, True])
def test_however_many_watch_none_is_forgotten(restart: bool) -> None:
    """A commit has a few look at once, and leaves who has yet to look in the store."""
    limits = Limits(watchers_max=3, batch_max=4)
    driver = watched(20, limits)
    for number in range(20):
        driver.act("Bag", f"b{number}", "Make", guest=f"v{number}")
    driver.act("Gate", "g", "Open", BOSS)
    armed = [now.id for kind in ("Guest", "Bag") for now in driver.store.list(kind, limit=MANY).items if now.timers]
    assert len(armed) == 3
    assert driver.store.stirs(10)
    assert driver.host.next_wake() is not None
    if restart:
        driver.restart()
    driver.settle()
    assert set(states(driver)) == {"Inside"}
    assert set(states(driver, "Bag")) == {"Dropped"}
    assert not driver.store.stirs(10)
    assert {driver.history("Guest", f"v{number}")[-1].by.principal for number in range(20)} == {"bob"}


def test_one_that_has_yet_to_look_and_is_not_due_any_more_does_nothing() -> None:
    driver = watched(20, Limits(watchers_max=3, batch_max=4))
    driver.act("Gate", "g", "Open")
    driver.act("Gate", "g", "Close")
    driver.settle()
    assert set(states(driver)) == {"Waiting"}
    assert driver.host.next_wake() is None


def test_one_that_nobody_has_told_is_seen_when_it_falls_due() -> None:
    """Armed by a state that has passed, as one is whose turn to be told has not come: it looks for itself."""
    driver = watched(1)
    driver.act("Gate", "g", "Open")
    armed = driver.read("Guest", "v0")
    driver.act("Gate", "g", "Close")
    assert driver.read("Guest", "v0").timers == ()
    driver.append(Batch((Change(snapshots=(armed,)),)))
    seq = driver.store.last_seq()
    driver.settle()
    assert driver.read("Guest", "v0").timers == ()
    assert (driver.store.last_seq(), driver.host.next_wake()) == (seq, None)


def test_a_push_that_brings_a_whenever_makes_it_due() -> None:
    without = WATCH.replace("  in Waiting whenever gate.state is Open do Enter\n", "")
    without = without.replace("action Enter by system", "action Enter by clerk, system")
    driver = Driver(compiled(without))
    driver.act("Gate", "g", "Make")
    driver.act("Guest", "v", "Make", gate="g")
    driver.act("Gate", "g", "Open")
    driver.settle()
    assert states(driver) == ["Waiting"]
    assert isinstance(driver.swap(compiled(WATCH), 2), Batch)
    driver.settle()
    assert states(driver) == ["Inside"]
    # Going back drops it, and strands nobody.
    driver.act("Guest", "w", "Make", gate="g")
    assert isinstance(driver.swap(compiled(without), 3), Batch)
    driver.settle()
    assert states(driver) == ["Inside", "Waiting"]


def test_ruling_18_one_that_its_action_leaves_due_does_not_spin() -> None:
    driver = Driver(
        compiled("""
blueprint spin

role clerk

entity Top
  states On
  turns: int = 0
  action Make by clerk from new to On
  action Turn by system from On
    set turns += 1
  in On whenever turns >= 0 do Turn
""")
    )
    driver.act("Top", "t", "Make", CLERK)
    driver.settle()
    assert driver.read("Top", "t").fields["turns"] == 1
    driver.wait(3 * SPIN_MS)
    assert driver.read("Top", "t").fields["turns"] == 4


GATES, GUESTS = ("g", "h"), ("u", "v", "w", "x", "y")
WALKS = st.one_of(
    st.tuples(st.sampled_from(["Open", "Close"]), st.just("Gate"), st.sampled_from(GATES)),
    st.tuples(st.sampled_from(["Open", "Close"]), st.just("Gate"), st.sampled_from(GATES)),
    st.tuples(st.sampled_from(["Tire", "Rest"]), st.just("Guest"), st.sampled_from(GUESTS)),
    st.tuples(st.sampled_from(GATES), st.just("walk"), st.sampled_from(GUESTS)),
    st.tuples(st.sampled_from(GUESTS), st.just("bag"), st.sampled_from(GUESTS)),
    st.tuples(st.just(""), st.sampled_from(["turn", "fault", "restart", "swap"]), st.just("")),
)
MOVING = WATCH.replace(
    "  action Tire by clerk", "  action Walk(gate) by clerk from Waiting\n    set gate\n  action Tire by clerk"
)
MOVING_2 = MOVING.replace("  in Carried whenever guest.gate.state is Open do Drop\n", "").replace(
    "action Drop by system", "action Drop by clerk, system"
)


@pytest.mark.usefixtures("each_store")
class TestWatching:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(st.lists(WALKS, min_size=5, max_size=30), st.integers(1, 3))
    def test_at_rest_whatever_was_due_has_been_done(self, steps: list[tuple[str, str, str]], watchers_max: int) -> None:
        """Through faults, restarts and pushes, and however few may look at once: nobody waits at an open gate who has
        patience, and nothing waits to be looked at."""
        driver = Driver(
            compiled(MOVING), Driver.new_store(), limits=Limits(watchers_max=watchers_max, batch_max=watchers_max)
        )
        for id in GATES:
            driver.act("Gate", id, "Make")
        for id in GUESTS:
            driver.act("Guest", id, "Make", gate="g")
        number = 1
        for action, what, id in steps:
            match what:
                case "Gate" | "Guest":
                    driver.act(what, id, action, BOSS if action == "Open" else CLERK)
                case "walk":
                    driver.act("Guest", id, "Walk", gate=action)
                case "bag":
                    driver.act("Bag", f"b{action}", "Make", guest=id)
                case "turn":
                    driver.turn()
                case "fault":
                    driver.host.abandon(driver.host.turn((), driver.at, driver.room))
                case "restart":
                    driver.restart()
                case _:
                    number += 1
                    assert isinstance(driver.swap(compiled((MOVING_2, MOVING)[number % 2]), number), Batch)
            driver.at += 1
        driver.wait(1_000_000)
        gates = {id: driver.read("Gate", id).state for id in GATES}
        guests = {now.id: now for now in driver.store.list("Guest", limit=MANY).items}
        for now in guests.values():
            due = now.state == "Waiting" and gates[str(now.fields["gate"])] == "Open"
            assert not (due and now.fields["patience"] != 0), now
            assert bool(now.timers) == due, now
        for bag in driver.store.list("Bag", limit=MANY).items:
            gate = guests[str(bag.fields["guest"])].fields["gate"]
            due = bag.state == "Carried" and gates[str(gate)] == "Open"
            assert not (due and driver.table is compiled(MOVING)), bag
        assert not driver.store.stirs(1)
        # The index says what a look at each of them says.
        for gate in GATES:
            found, _ = driver.store.referrers("Guest", "gate", gate, limit=MANY)
            assert list(found) == [id for id, now in guests.items() if now.fields["gate"] == gate]
