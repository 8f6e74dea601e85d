"""Proofs about several entities: of any number of them, whoever refers to whom, and never against the search."""

from __future__ import annotations

from typing import Any

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.table import Table
from temper.verify import Limits, Verdict, smtlib, verify
from temper.verify.symbolic.algebra import JointCertificate
from temper.verify.symbolic.joint import judge_together, refusal
from temper.verify.system.found import Together, search_together
from tests.verify.texts import result_of, table_of

LIMITS = Limits()

LEDGER = """
blueprint ledger
role teller
entity Account
  states Open, Closed
  final Closed
  balance: int = 0
  action Begin by teller from new to Open
  action Debit(amount: int 1..) by system from Open to Open DEBIT
    set balance -= amount
  action Credit(amount: int 1..) by system from Open to Open
    set balance += amount
  action Close by teller from Open to Closed when balance == 0
entity Transfer
  states Asked, Done, Failed
  final Done, Failed
  payer: Account
  payee: Account
  amount: int 1..
  action Ask(payer, payee, amount) by teller from new to Asked ASK
    set payer, payee, amount
  action Execute by teller from Asked to Done
    with payer.Debit(amount)
    CREDIT payee.Credit(PAID)
  action Fail by teller from Asked to Failed
  always "the payer owes nothing": state is Asked implies payer.balance >= 0
always "money is conserved": sum(a in Account: a.balance) == 0
"""


def ledger(**changed: str) -> Table:
    """The ledger with some of its words changed."""
    words = {"DEBIT": "when balance >= amount", "ASK": "", "CREDIT": "with", "PAID": "amount", **changed}
    text = LEDGER
    for word, instead in words.items():
        text = text.replace(word, instead)
    return table_of(text)


def proved(table: Table) -> dict[str, str]:
    """Return what is proved of several entities, with who proves it."""
    found = judge_together(table, LIMITS.rlimit)
    return {table.properties[index].name: proof.by for index, proof in found.proofs.items()}


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, {"the payer owes nothing", "money is conserved"}),
        # Money is conserved whoever owes; that nobody does rests on a guard.
        ({"DEBIT": ""}, {"money is conserved"}),
        ({"ASK": "when payer != payee"}, {"the payer owes nothing", "money is conserved"}),
        # A send is a commit of its own: between the two the money is nowhere.
        ({"CREDIT": "send"}, {"the payer owes nothing"}),
        ({"PAID": "amount + 1"}, {"the payer owes nothing"}),
        ({"PAID": "payer.balance"}, {"the payer owes nothing"}),
    ],
)
def test_a_ledger_is_proved_for_any_number_of_accounts(changed: dict[str, str], names: set[str]) -> None:
    """A sum over a population changes by what a commit's parts add and take away, and by nothing else."""
    assert set(proved(ledger(**changed))) == names


def test_ruling_01_an_entity_takes_one_action_in_a_commit() -> None:
    """Two references may name one account: it would take two actions, so that nobody pays himself."""
    text = LEDGER.replace("payer owes nothing", "two of them").replace(
        "Asked implies payer.balance >= 0", "Done implies payer != payee"
    )
    for word, instead in {"DEBIT": "when balance >= amount", "ASK": "", "PAID": "amount"}.items():
        text = text.replace(word, instead)
    assert "the two of them" in proved(table_of(text.replace("CREDIT", "with")))
    assert "the two of them" not in proved(table_of(text.replace("CREDIT", "send")))


ONE_LEADER = """
blueprint leader
role node
entity Chair
  states Standing
  taken: bool = false
  action Make by node from new to Standing
  action Sit by system from Standing SIT
    set taken = true
  action Rise by system from Standing
    set taken = false
entity Candidate
  states Following, Leading
  chair: Chair
  action Join(chair) by node from new to Following
    set chair
  action Lead by node from Following to Leading
    with chair.Sit
  action StepDown by node from Leading to Following
    with chair.Rise
always "one leader": all a in Candidate: all b in Candidate:
      a.state is Leading and b.state is Leading and a.chair == b.chair implies a == b
"""


def test_one_leader_of_any_number_of_candidates() -> None:
    """It needs a fact that joins the two kinds, found among what guards and properties say."""
    assert proved(table_of(ONE_LEADER.replace("SIT", ""))) == {}
    text = ONE_LEADER.replace("SIT", "").replace("Following to Leading", "Following to Leading when not chair.taken")
    assert proved(table_of(text)) == {"one leader": "mined invariants"}


CREATED = """
blueprint shop
role buyer
entity Order
  states Open, Shipped
  parcel: Parcel?
  parcels: every Parcel.of max 3
  total: int = 0
  action Buy by buyer from new to Open
  action Send by buyer from Open when parcel == none
    create Parcel.Pack(this, 2) as made
    set parcel = made
    set total += 2
  action Ship by buyer from Open to Shipped when all p in parcels: p.state is Sent
  always "its parcels are counted": total == sum(p in parcels: p.weight)
  always "what is shipped was sent": state is Shipped implies all p in parcels: p.state is Sent
entity Parcel
  states Packed, Sent
  of: Order
  weight: int
  action Pack(of, weight) by system from new to Packed
    set of, weight
  action Post by buyer from Packed to Sent
always "a parcel is its order's": all p in Parcel: p.of.parcel == p
"""


def test_what_is_created_and_those_that_refer_to_it() -> None:
    """An inverse set's sum, a guard over all of it, and a reference there and back."""
    assert set(proved(table_of(CREATED))) == {
        "its parcels are counted",
        "what is shipped was sent",
        "a parcel is its order's",
    }


SEATS = """
blueprint seats
role traveller
entity Booking
  states Booked, Cancelled
  final Cancelled
  seat: int 1..
  UNIQUE
  action Book(seat) by traveller from new to Booked
    set seat
  action Cancel by traveller from Booked to Cancelled
always "booked once": all a in Booking: all b in Booking:
      a.state is Booked and b.state is Booked and a.seat == b.seat implies a == b
always "never fewer": before(count(a in Booking: true)) <= count(a in Booking: true)
"""


def test_what_is_unique_is_known_to_be() -> None:
    """Two that agree on what is `unique` are one, unless one of them is final."""
    assert "booked once" in proved(table_of(SEATS.replace("UNIQUE", "unique seat")))
    assert "booked once" not in proved(table_of(SEATS.replace("  UNIQUE\n", "")))
    assert "never fewer" in proved(table_of(SEATS.replace("  UNIQUE\n", "")))


ACTION = """
blueprint beside
role r
entity Thing
  states Small
  box: Box
  action Make(box) by r from new to Small
    set box
  action Grow by r from Small
    with box.Shrink
entity Box
  states There
  size: int = 0
  action Make by r from new to There
  action Shrink by system from There
    set size -= 1
  always "who grows shrinks no box": action is Thing.Grow implies before.size <= size
  always "only growing shrinks": size < before.size implies action is Thing.Grow
"""


def test_an_action_of_another_in_the_same_commit_is_seen() -> None:
    """Ruling 28: `Entity.A` speaks of the commit; a box that shrinks breaks the first, and never the second."""
    table = table_of(ACTION)
    assert set(proved(table)) == {"only growing shrinks"}


# --- against the search -----------------------------------------------------------------------------------------------

_GUARDS = ("", "when n > 0", "when n >= k", "when n < 2", "when n + k <= 3")
_CHANGES = ("set n += k", "set n -= k", "set n = k", "set n = 2 - n", "set done = true")
_PAIRS = ("", "when a != b", "when a.n > 0", "when a.n >= b.n", "when not a.done", "when a.state is On")
_DOES = ("with", "with", "send")
_PROPERTIES = (
    "all x in Item: x.n >= 0",
    "all x in Item: all y in Item: x == y or x.n + y.n <= 3",
    "all x in Item: all y in Item: x.done and y.done implies x == y",
    "sum(x in Item: x.n) == 0",
    "sum(x in Item: x.n) <= count(x in Item: true) * 2",
    "count(x in Item: x.done) <= count(y in Job: y.state is Over)",
    "all j in Job: j.a != j.b",
    "all j in Job: j.state is Over implies j.a.done",
    "all j in Job: j.state is Idle implies j.a.n >= j.b.n",
    "all j in Job: j.a.state is On",
    "any x in Item: x.n > 0 implies any j in Job: j.state is Over",
    "action is Job.Do implies sum(x in Item: x.n) == before(sum(x in Item: x.n))",
)


@st.composite
def joint_tables(draw: st.DrawFn) -> Table:
    """Two kinds that refer to each other and act together, with properties of both that may or may not hold."""
    lines = [
        "blueprint drawn",
        "role r",
        "entity Item",
        "  states On, Off",
        "  n: int -3..3 = 0",
        "  done: bool = false",
    ]
    lines += ["  action Make by r from new to On"]
    asked = [
        (draw(st.sampled_from(_DOES)), name, draw(st.sampled_from(("Up", "Down"))))
        for name in draw(st.sampled_from((("a",), ("a", "b"), ("b",))))
    ]
    for action in ("Up", "Down"):
        by = draw(st.sampled_from(("system", "system", "r, system")))
        if action not in {each[2] for each in asked}:
            by = "r"
        to = draw(st.sampled_from(("from On", "from On to Off", "from On, Off to On")))
        lines += [f"  action {action}(k: int 0..2) by {by} {to} {draw(st.sampled_from(_GUARDS))}"]
        lines += [f"    {change}" for change in draw(st.lists(st.sampled_from(_CHANGES), max_size=2, unique_by=_field))]
    lines += ["  action Look by r from On, Off"]
    late = dict.fromkeys(action for how, _, action in asked if how == "send")
    lines += [f"  in On, Off late {', '.join(late)} ignore"] if late else []
    lines += ["entity Job", "  states Idle, Over", "  final Over", "  a: Item", "  b: Item"]
    lines += [f"  action Plan(a, b) by r from new to Idle {draw(st.sampled_from(_PAIRS))}", "    set a, b"]
    lines += [
        f"  action Do by r from Idle to {draw(st.sampled_from(('Idle', 'Over')))} {draw(st.sampled_from(_PAIRS))}"
    ]
    for how, name, action in asked:
        k = draw(st.sampled_from(("1", "2", f"if {name}.n > 0 then 1 else 0")))
        lines += [f"    {how} {name}.{action}({k})"]
    lines += [f"  action Stop by r from Idle to Over {draw(st.sampled_from(_PAIRS))}"]
    for number, each in enumerate(draw(st.lists(st.sampled_from(_PROPERTIES), min_size=2, max_size=4, unique=True))):
        lines += [f'always "p{number}": {each}']
    lines += ["scope Item 2, Job 1"]
    return table_of("\n".join(lines) + "\n")


def _field(change: str) -> str:
    return change.split()[1]


@settings(max_examples=8, deadline=None)
@given(joint_tables())
def test_what_is_proved_of_several_no_search_refutes(table: Table) -> None:
    """A disagreement is a bug in us."""
    found = judge_together(table, LIMITS.rlimit)
    if not found.proofs:
        return
    searched = search_together(table, table.entities, Limits(states_max=20_000, seconds=5))
    if not isinstance(searched, Together):
        return
    broken = {key[1] for each in searched.explored.values() for key in each.breaks if key[0] == "always"}
    assert not broken & found.proved, [table.properties[index].name for index in broken & found.proved]


# --- certificates -----------------------------------------------------------------------------------------------------


def certificate_of(table: Table, name: str) -> JointCertificate:
    found = judge_together(table, LIMITS.rlimit)
    index = next(number for number, each in enumerate(table.properties) if each.name == name)
    certificate = found.proofs[index].certificate
    assert isinstance(certificate, JointCertificate)
    return certificate


def test_a_certificate_about_several_is_checked_by_plain_questions() -> None:
    """Without the fact that it needs it is refused, and so is one of another ledger."""
    table = table_of(
        ONE_LEADER.replace("SIT", "").replace("Following to Leading", "Following to Leading when not chair.taken")
    )
    certificate = certificate_of(table, "one leader")
    assert refusal(table, certificate, {}, LIMITS.rlimit) is None
    bare = replace(certificate, facts=((certificate.entity, certificate.condition),))
    assert refusal(table, bare, {}, LIMITS.rlimit) == "consecution of Candidate.Lead from Following"
    assert refusal(table, replace(certificate, facts=()), {}, LIMITS.rlimit) == "implication"
    money = certificate_of(ledger(), "money is conserved")
    assert refusal(ledger(), money, {}, LIMITS.rlimit) is None
    assert refusal(ledger(PAID="amount + 1"), money, {}, LIMITS.rlimit) == "consecution of Transfer.Execute from Asked"
    not_zero: Any = ("!=", money.condition[1], money.condition[2])
    begun = replace(money, condition=not_zero, facts=((None, not_zero),))
    assert refusal(ledger(), begun, {}, LIMITS.rlimit) == "initiation"


def test_a_lemma_counts_only_if_it_is_known() -> None:
    """What an entity alone is said to keep is asked for by its own certificate."""
    certificate = certificate_of(ledger(), "the payer owes nothing")
    assert certificate.lemmas
    assert refusal(ledger(), certificate, {}, LIMITS.rlimit) == "lemmas"


def test_the_questions_of_a_joint_certificate_can_be_asked_again() -> None:
    """As SMT-LIB: each commit keeps the facts, so that another solver finds no case either."""
    table = ledger(DEBIT="")
    written = {name: text for name, text in smtlib(table).items() if "keeps" in name}
    # Begin and Close, Ask, Execute and Fail: what only others take along is no commit.
    assert len(written) == 5
    for text in written.values():
        solver = z3.Solver()
        solver.from_string(text)
        assert solver.check() == z3.unsat


def test_what_is_false_where_there_is_nothing_is_not_proved() -> None:
    """No step leads there, and so no run is shown: it is unknown, and said why."""
    bookings = SEATS.partition("always")[0].replace("  UNIQUE\n", "")
    table = table_of(bookings + 'always "some": any b in Booking: b.state is Booked\n')
    assert "some" not in proved(table)
    told = result_of(verify(table, levels=("algebra", "search")), "some")
    assert told.verdict is Verdict.UNKNOWN
    assert "where there is nothing" in told.why
