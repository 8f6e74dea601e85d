"""Several entities in one commit: joint actions, reads through references, inverse sets, properties over several."""

from __future__ import annotations

from typing import Any

import pytest

from temper.table import (
    Act,
    Commit,
    Deliver,
    How,
    Join,
    Refused,
    Table,
    Value,
    Why,
    broken,
    possible,
    step,
    why,
)
from tests.table.build import ANN, BOB, CAT, accepted, compiled, refused
from tests.table.test_commit import Entities, done, no

BANK = """
    entity Account
      states Open, Frozen, Shut
      final Shut
      owner: principal
      balance: int 0..100 = 0
      moves: int = 0
      action Make(owner, balance) by operator, system from new to Open
        set owner, balance
      action Withdraw(sum: int 1..) by operator, system from Open when sum <= balance else "not enough money"
        set balance -= sum
        set moves += 1
      action Deposit(sum: int 1..) by operator, system from Open
        set balance += sum
        set moves += 1
      action Freeze by operator, system from Open to Frozen
      action Thaw by operator from Frozen to Open
      action Shut by operator, system from Open, Frozen to Shut

    entity Transfer
      states Draft, Done
      final Done
      giver: Account
      taker: Account
      sum: int 1..
      action Draft(giver, taker, sum) by operator from new to Draft
        set giver, taker, sum
      action Book by operator, giver.owner from Draft to Done
        when giver.state is Open else "the giver is not open"
        with giver.Withdraw(sum)
        with taker.Deposit(sum)
      action Close by operator from Draft
        with giver.Shut
        with taker.Shut
        create Account.Make(caller, 1) as heir
"""


@pytest.fixture(scope="module")
def bank() -> Table:
    return compiled(BANK)


def opened(table: Table, *balances: int) -> Entities:
    """Accounts `a0`, `a1`, ... with these balances, and a transfer `t` of 5 from the first to the second."""
    world = Entities(table)
    for index, balance in enumerate(balances):
        done(world.act("Account", f"a{index}", "Make", owner=f"owner{index}", balance=balance))
    if len(balances) > 1:
        done(world.act("Transfer", "t", "Draft", giver="a0", taker="a1", sum=5))
    return world


def balances(world: Entities) -> list[Value]:
    return [now.fields["balance"] for (kind, _), now in world.living.items() if kind == "Account"]


# --- with -------------------------------------------------------------------------------------------------------------


def test_with_takes_both_in_one_commit(bank: Table) -> None:
    """The event's own part first; those that join act as `system`, for the caller, under ids after the event's."""
    world = opened(bank, 20, 0)
    result = done(world.act("Transfer", "t", "Book"))
    assert [(part.accepted.after.id, part.accepted.actor, part.accepted.caller) for part in result.parts] == [
        ("t", "operator", ANN), ("a0", "system", ANN), ("a1", "system", ANN),
    ]  # fmt: skip
    event = result.parts[1].event
    assert event == Act("e4.1", 1_000, "Withdraw", {"sum": 5}, ANN, "Account", "a0", by_system=True)
    assert balances(world) == [15, 5]
    assert [part.accepted.after.version for part in result.parts] == [2, 2, 2]


def test_a_step_alone_says_who_joins(bank: Table) -> None:
    world = opened(bank, 20, 0)
    result = accepted(step(bank, world.living["Transfer", "t"], Act("e", 0, "Book", {}, ANN, "Transfer", "t"), world))
    assert [type(join) for join in result.joins] == [Join, Join]
    assert [(join.site, join.entity, join.id) for join in result.joins] == [
        ("Transfer.Book/with/0", "Account", "a0"), ("Transfer.Book/with/1", "Account", "a1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "why_", "text"),
    [
        # The target's own text, whole: its guard's, its case's, and its type's, which is a fault.
        ([2, 0], Why.JOINT_REFUSED, "not enough money"),
        ([20, "Frozen"], Why.JOINT_REFUSED, "`Deposit` is possible from `Open`; this Account is `Frozen`"),
        ([20, 98], Why.OUT_OF_TYPE, "`balance` would be 103, which is not int 0..100"),
        ([20, "gone"], Why.JOINT_REFUSED, "there is no Account `a1`"),
    ],
)  # fmt: skip
def test_a_target_that_refuses_refuses_the_whole_with_its_text(
    bank: Table, given: list[Any], why_: Why, text: str
) -> None:
    world = opened(bank, given[0], given[1] if isinstance(given[1], int) else 0)
    if given[1] == "Frozen":
        done(world.act("Account", "a1", "Freeze"))
    elif given[1] == "gone":
        del world.living["Account", "a1"]
    before = dict(world.living)
    refusal = no(world.act("Transfer", "t", "Book"))
    assert (refusal.why, refusal.text) == (why_, text)
    assert world.living == before


def test_the_choice_of_case_does_not_look_at_the_target() -> None:
    """The first case is taken and refused by its target; the second would have been possible."""
    world = Entities(
        compiled("""
            entity Lamp
              states Off, On
              action Make by operator from new to Off
              action Light by system from Off to On
            entity Switch
              states Ready
              lamp: Lamp
              tries: int = 0
              action Make(lamp) by operator from new to Ready
                set lamp
              action Press by operator
                from Ready
                  with lamp.Light
                from Ready
                  set tries += 1
        """)
    )
    done(world.act("Lamp", "l", "Make"))
    done(world.act("Switch", "s", "Make", lamp="l"))
    done(world.act("Switch", "s", "Press"))
    refusal = no(world.act("Switch", "s", "Press"))
    assert refusal.text == "`Light` is possible from `Off`; this Lamp is `On`"


def test_ruling_01_two_references_to_one_entity_refuse_the_whole(bank: Table) -> None:
    world = opened(bank, 20, 0)
    done(world.act("Transfer", "loop", "Draft", giver="a0", taker="a0", sum=5))
    refusal = no(world.act("Transfer", "loop", "Book"))
    assert (refusal.why, refusal.site) == (Why.TWICE, "Transfer.Book/with/1")
    assert refusal.text == "the Account `a0` would take a second action in one commit, `Account.Deposit`"
    assert balances(world) == [20, 0]


RING = """
    entity Node
      states On
      next: Node?
      others: list of Node max 4 = []
      steps: int = 0
      action Make by operator from new to On
      action Link(next: Node) by operator from On
        set next
      action Gather(others) by operator from On
        set others
      action Pass by operator, system from On
        set steps += 1
        if next != none: with next.Pass
      action Tell by operator from On
        for other in others: with other.Pass
      action Twice by operator from On
        if steps >= 0: with this.Pass
"""


@pytest.fixture(scope="module")
def ring() -> Table:
    return compiled(RING)


def nodes(table: Table, links: dict[str, str], others: dict[str, tuple[str, ...]] | None = None) -> Entities:
    world = Entities(table)
    for id in "abcd":
        done(world.act("Node", id, "Make"))
    for id, next_ in links.items():
        done(world.act("Node", id, "Link", next=next_))
    for id, many in (others or {}).items():
        done(world.act("Node", id, "Gather", others=many))
    return world


def test_joint_actions_go_on_from_one_to_the_next(ring: Table) -> None:
    world = nodes(ring, {"a": "b", "b": "c"})
    result = done(world.act("Node", "a", "Pass"))
    assert [part.accepted.after.id for part in result.parts] == ["a", "b", "c"]
    assert [part.event.id for part in result.parts if isinstance(part.event, Act)] == ["e7", "e7.1", "e7.1.1"]


@pytest.mark.parametrize(
    ("links", "others", "who", "action", "twice"),
    [
        ({"a": "b", "b": "c", "c": "a"}, {}, "a", "Pass", "a"),
        ({"a": "a"}, {}, "a", "Pass", "a"),
        ({"b": "c"}, {"a": ("b", "c")}, "a", "Tell", "c"),
        ({}, {"a": ("b", "c", "b")}, "a", "Tell", "b"),
        ({}, {"a": ("b", "a")}, "a", "Tell", "a"),
        ({}, {}, "a", "Twice", "a"),
    ],
)  # fmt: skip
def test_ruling_01_who_is_met_twice_refuses_the_whole(
    ring: Table, links: dict[str, str], others: dict[str, tuple[str, ...]], who: str, action: str, twice: str
) -> None:
    """A cycle of `with`, two ways to one entity, a `for` that meets it again, and oneself."""
    world = nodes(ring, links, others)
    before = dict(world.living)
    refusal = no(world.act("Node", who, action))
    assert (refusal.why, refusal.text) == (
        Why.TWICE, f"the Node `{twice}` would take a second action in one commit, `Node.Pass`",
    )  # fmt: skip
    assert world.living == before


def test_a_long_chain_is_bounded_and_does_not_run_out_of_stack(ring: Table) -> None:
    world = Entities(ring)
    for index in range(1_200):
        done(world.act("Node", f"n{index}", "Make"))
        if index:
            done(world.act("Node", f"n{index}", "Link", next=f"n{index - 1}"))
    assert len(done(world.act("Node", "n900", "Pass")).parts) == 901
    refusal = no(world.act("Node", "n1100", "Pass"))
    assert (refusal.why, refusal.text) == (Why.JOINT_REFUSED, "`Node.Pass`: more than 1,000 entities in one commit")


def test_a_send_whose_joint_action_is_refused_is_late() -> None:
    world = Entities(
        compiled("""
            entity Slot
              states Free, Taken
              action Make by operator from new to Free
              action Take by system from Free to Taken
            entity Lease
              states Waiting, Held, Lost
              slot: Slot
              action Open(slot) by operator from new to Waiting
                set slot
              action Grant by system from Waiting to Held
                with slot.Take
              action Lose(reason: string) by system from Waiting to Lost
              late Grant do Lose("taken")
            entity Clerk
              states On
              action Make by operator from new to On
              action Give(lease: Lease) by operator from On
                send lease.Grant
        """)
    )
    done(world.act("Slot", "s", "Make"))
    for id in ("one", "two"):
        done(world.act("Lease", id, "Open", slot="s"))
    grants = [
        done(world.take(Deliver(f"d{id}", 0, f"o{id}", "Grant", {}, ANN, "Lease", id), "Lease", id))
        for id in ("one", "two")
    ]
    assert [len(grant.parts) for grant in grants] == [2, 1]
    late = grants[1].parts[0].accepted
    assert (late.how, late.after.state) == (How.LATE, "Lost")
    assert late.late == "`Take` is possible from `Free`; this Slot is `Taken`"


def test_ruling_04_a_joint_action_and_a_creation_are_refused_as_one(bank: Table) -> None:
    """`Close` shuts two accounts and creates a third: all of it, or none."""
    world = opened(bank, 20, 0)
    result = done(world.act("Transfer", "t", "Close"))
    assert [part.accepted.after.id for part in result.parts] == ["t", "a0", "a1", "e4.3"]
    world = opened(bank, 20, 0)
    done(world.act("Account", "a1", "Shut"))
    before = dict(world.living)
    assert no(world.act("Transfer", "t", "Close")).why is Why.JOINT_REFUSED
    assert world.living == before


# --- reading ----------------------------------------------------------------------------------------------------------


def test_ruling_02_everything_reads_from_before_the_commit() -> None:
    """Two that swap what they have, each reading the other: both read the old value."""
    world = Entities(
        compiled("""
            entity Hand
              states On
              held: int
              other: Hand?
              action Make(held) by operator from new to On
                set held
              action Face(other: Hand) by operator from On
                set other
              action Swap by operator from On
                when other != none
                set held = other.held
                with other.Give
              action Give by system from On
                when other != none
                set held = other.held
        """)
    )
    done(world.act("Hand", "l", "Make", held=1))
    done(world.act("Hand", "r", "Make", held=2))
    done(world.act("Hand", "l", "Face", other="r"))
    done(world.act("Hand", "r", "Face", other="l"))
    done(world.act("Hand", "l", "Swap"))
    assert [now.fields["held"] for now in world.living.values()] == [2, 1]


def test_ruling_02_a_created_entity_cant_be_read_in_the_commit_that_creates_it() -> None:
    world = Entities(
        compiled("""
            entity Part
              states On
              n: int = 1
              action Make by operator, system from new to On
              action Bump by system from On
                set n += 1
            entity Whole
              states On
              n: int = 0
              action Make by operator from new to On
              action Read by operator from On
                create Part.Make as made
                set n = made.n
              action Take by operator from On
                create Part.Make as made
                with made.Bump
        """)
    )
    done(world.act("Whole", "w", "Make"))
    read = no(world.act("Whole", "w", "Read"))
    assert (read.why, read.text) == (Why.MISSING, "`Read` finds no Part `e2.1`")
    taken = no(world.act("Whole", "w", "Take"))
    assert (taken.why, taken.text) == (Why.JOINT_REFUSED, "there is no Part `e3.1`")
    assert len(world.living) == 1


TREE = """
    entity Team
      states Open, Closed
      lead: principal
      action Make(lead) by operator from new to Open
        set lead
      action Close by operator from Open to Closed
    entity Task
      states Todo, Done
      team: Team
      hours: int
      action Make(team, hours) by operator from new to Todo
        set team, hours
      action Finish by team.lead from Todo to Done
    entity Plan
      states Open, Closed
      tasks: set of Task max 5
      first: Task?
      hours: int = 0
      action Make(tasks, first) by operator from new to Open
        set tasks, first
      action Close by operator from Open to Closed
        when all t in tasks: t.state is Done else "some are not done"
        set hours = sum(t in tasks: t.hours)
      action Ask by operator from Open
        when first != none and first.team.state is Open else "the team is closed"
"""


def test_reads_go_through_sets_and_several_references() -> None:
    world = Entities(compiled(TREE))
    done(world.act("Team", "m", "Make", lead="bob"))
    for id, hours in (("x", 3), ("y", 4)):
        done(world.act("Task", id, "Make", team="m", hours=hours))
    done(world.act("Plan", "p", "Make", tasks=frozenset({"x", "y"}), first="x"))
    done(world.act("Plan", "p", "Ask"))
    assert no(world.act("Task", "x", "Finish")).text == "`Finish` is by `team.lead`; `ann` is `operator`"
    for id in ("x", "y"):
        assert no(world.act("Plan", "p", "Close")).text == "some are not done"
        assert done(world.act("Task", id, "Finish", BOB)).parts[0].accepted.actor == "named"
    done(world.act("Plan", "p", "Close"))
    assert world.living["Plan", "p"].fields["hours"] == 7
    done(world.act("Plan", "q", "Make", tasks=frozenset(), first="x"))
    done(world.act("Team", "m", "Close"))
    assert no(world.act("Plan", "q", "Ask")).text == "the team is closed"


def test_without_a_world_what_reads_others_is_refused(bank: Table) -> None:
    """And with one that has nobody: a reference that leads nowhere."""
    world = opened(bank, 20, 0)
    event = Act("e", 0, "Book", {}, ANN, "Transfer", "t")
    alone = refused(step(bank, world.living["Transfer", "t"], event))
    assert (alone.why, alone.text) == (
        Why.MISSING, "`Book` finds no Account to look at: only this entity is known here",
    )  # fmt: skip
    empty = refused(step(bank, world.living["Transfer", "t"], event, Entities(bank)))
    assert (empty.why, empty.text) == (Why.MISSING, "`Book` finds no Account `a0`")


def test_ruling_04_a_commit_says_what_it_has_read(bank: Table) -> None:
    """Entities with their versions; and one that was looked for and is not there."""
    world = opened(bank, 20, 0)
    done(world.act("Account", "a0", "Deposit", sum=1))
    reads = done(world.act("Transfer", "t", "Book")).reads
    assert reads.entities == (("Account", "a0", 2), ("Account", "a1", 1))
    made = done(world.act("Account", "new", "Make", owner="x", balance=0)).reads
    assert made.entities == (("Account", "new", 0),)


# --- inverse sets -----------------------------------------------------------------------------------------------------

DISPUTES = """
    entity Payment
      states Captured, Settled
      n: int
      unique n
      disputes: every Dispute.payment max 2
      last: Dispute?
      action Make(n) by operator from new to Captured
        set n
      action Settle by operator from Captured to Settled
        when all d in disputes: d.state is Closed else "there are open disputes"
      action Note by operator from Captured
        set last = first(d in disputes: d.state is Open)
      action CloseAll by operator from Captured
        for d in disputes: with d.Close
    entity Dispute
      states Open, Closed
      payment: Payment?
      action Raise(payment) by operator from new to Open
        set payment
      action Move(payment) by operator from Open
        set payment
      action Close by operator, system from Open to Closed
"""


def disputed(*ids: str) -> Entities:
    world = Entities(compiled(DISPUTES))
    for number, id in enumerate(("p", "q")):
        done(world.act("Payment", id, "Make", n=number))
    for at, id in enumerate(ids):
        done(world.take(Act(f"r{id}", at, "Raise", {"payment": "p"}, ANN, "Dispute", id), "Dispute", id))
    return world


def test_an_inverse_set_is_those_whose_field_refers_here() -> None:
    world = disputed("d")
    assert no(world.act("Payment", "p", "Settle")).text == "there are open disputes"
    done(world.act("Payment", "q", "Settle"))
    done(world.act("Dispute", "d", "Move", payment=None))
    done(world.act("Payment", "p", "Settle"))


def test_ruling_04_an_inverse_set_is_gone_through_in_order_of_creation() -> None:
    world = disputed("z", "a")
    done(world.act("Payment", "p", "Note"))
    assert world.living["Payment", "p"].fields["last"] == "z"
    assert [part.accepted.after.id for part in done(world.act("Payment", "p", "CloseAll")).parts] == ["p", "z", "a"]


def test_ruling_04_a_commit_that_would_exceed_the_bound_is_a_fault() -> None:
    world = disputed("a", "b")
    for refusal in (
        no(world.act("Dispute", "c", "Raise", payment="p")),
        no(world.take(Act("m", 1, "Raise", {"payment": "p"}, ANN, "Dispute", "c"), "Dispute", "c")),
    ):
        assert (refusal.why, refusal.site) == (Why.OUT_OF_TYPE, "Payment.disputes")
        assert refusal.text == "`disputes` of the Payment `p` would have more than 2"
    done(world.act("Dispute", "c", "Raise", payment="q"))
    assert no(world.act("Dispute", "c", "Move", payment="p")).why is Why.OUT_OF_TYPE
    done(world.act("Dispute", "a", "Move", payment="q"))
    done(world.act("Dispute", "b", "Close"))


def test_ruling_04_reads_of_inverse_sets_and_uniques_are_told() -> None:
    world = disputed("d")
    reads = done(world.act("Payment", "q", "Settle")).reads
    assert reads.referrers == (("Dispute", "payment", "q", frozenset()),)
    assert done(world.act("Payment", "r", "Make", n=7)).reads.uniques == (("Payment", 0, (7,), False),)


# --- properties -------------------------------------------------------------------------------------------------------

LEDGER = """
    entity Box
      states On
      size: int
      action Make(size) by operator from new to On
        set size
      action Resize(size: int) by operator, system from On
        set size = size
    entity Thing
      states In, Out
      box: Box
      size: int
      action Make(box, size) by operator from new to In
        set box, size
      action Out by operator from In to Out
      action Grow(size: int) by operator from In
        set size = size
        with box.Resize(size)
      action Shrink by operator from In
        with box.Resize(0)
      always "it fits": state is Out or size <= box.size
    always "small": all b in Box: b.size <= 10
    always "not at once": all b in Box: action is Thing.Grow implies before(b.size) <= b.size
"""


def stowed() -> Entities:
    world = Entities(compiled(LEDGER))
    done(world.act("Box", "b", "Make", size=5))
    done(world.act("Thing", "t", "Make", box="b", size=4))
    return world


def test_ruling_03_a_property_that_reads_others_is_judged_after_the_whole() -> None:
    world = stowed()
    done(world.act("Thing", "t", "Grow", size=7))
    assert [now.fields["size"] for now in world.living.values()] == [7, 7]


@pytest.mark.parametrize(
    ("entity", "id", "action", "given", "text"),
    [
        ("Thing", "u", "Make", {"box": "b", "size": 6}, "after `Make`, `it fits` would not hold"),
        # The one that changes is not the one whose property it is.
        ("Box", "b", "Resize", {"size": 3}, "after `Resize`, `it fits` would not hold of the Thing `t`"),
        ("Box", "c", "Make", {"size": 11}, "after `Make`, `small` would not hold"),
        ("Thing", "t", "Grow", {"size": 11}, "after `Resize`, `small` would not hold"),
        ("Thing", "t", "Shrink", {}, "after `Shrink`, `it fits` would not hold"),
        ("Thing", "t", "Grow", {"size": 4}, "after `Resize`, `not at once` would not hold"),
    ],
)  # fmt: skip
def test_ruling_03_a_commit_that_breaks_a_property_of_several_is_refused(
    entity: str, id: str, action: str, given: dict[str, Any], text: str
) -> None:
    world = stowed()
    refusal = no(world.act(entity, id, action, **given))
    assert (refusal.why, refusal.text) == (Why.BREAKS, text)


def test_broken_asks_others_where_a_world_is_given() -> None:
    world = stowed()
    now = world.living["Thing", "t"]
    world.living["Box", "b"] = (
        done(world.take(Act("e", 0, "Resize", {"size": 1}, ANN, "Box", "b"), "Box", "b", check_always=False))
        .parts[0]
        .accepted.after
    )
    assert broken(world.table, now, now, ()) == ()
    assert broken(world.table, now, now, (), world=world) == ("Thing/always/0",)


def test_ruling_23_one_gives_up_a_unique_value_that_another_takes_in_the_same_commit() -> None:
    """`unique` is judged after the whole; and two that take one value are still refused."""
    world = Entities(
        compiled("""
            entity Seat
              states On
              number: int
              unique number
              other: Seat?
              action Make(number) by operator from new to On
                set number
              action Face(other: Seat) by operator from On
                set other
              action Be(number: int) by system from On
                set number = number
              action Swap by operator from On
                when other != none
                set number = other.number
                with other.Be(number)
              action Push by operator from On
                when other != none
                set number = 9
                with other.Be(9)
        """)
    )
    for number, id in enumerate("xy"):
        done(world.act("Seat", id, "Make", number=number))
    done(world.act("Seat", "x", "Face", other="y"))
    done(world.act("Seat", "x", "Swap"))
    assert [now.fields["number"] for now in world.living.values()] == [1, 0]
    refusal = no(world.act("Seat", "x", "Push"))
    assert (refusal.why, refusal.text) == (Why.JOINT_REFUSED, "another Seat has this `number`")


# --- what is possible -------------------------------------------------------------------------------------------------


def test_possible_asks_the_targets_too(bank: Table) -> None:
    world = opened(bank, 2, 0)
    now = world.living["Transfer", "t"]
    book = next(one for one in possible(bank, "Transfer", now, ANN, 0, world) if one.action == "Book")
    assert book.refused is not None
    assert (book.status, book.refused.text) == ("no", "not enough money")
    done(world.act("Account", "a0", "Deposit", sum=5))
    book = next(one for one in possible(bank, "Transfer", now, ANN, 0, world) if one.action == "Book")
    assert book.status == "yes"
    assert next(one for one in possible(bank, "Transfer", now, CAT, 0) if one.action == "Book").status == "no"


def test_why_says_what_is_read_of_others(bank: Table) -> None:
    world = opened(bank, 20, 0)
    done(world.act("Account", "a0", "Freeze"))
    event = Act("e", 0, "Book", {}, ANN, "Transfer", "t")
    (guard,) = [one for one in why(bank, world.living["Transfer", "t"], event, world) if one.kind == "when"]
    assert (guard.holds, guard.text) == (False, "giver.state is Open")
    (guard,) = [one for one in why(bank, world.living["Transfer", "t"], event) if one.kind == "when"]
    assert guard.holds is None


def test_a_commit_is_deterministic(bank: Table) -> None:
    results: list[Commit | Refused] = [opened(bank, 20, 0).act("Transfer", "t", "Book") for _ in range(2)]
    assert results[0] == results[1]
