"""Lowered systems against `step` and `commit`: the same states, the same verdicts, the same shortest runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from temper.table import Table
from temper.verify import Verdict, verify
from temper.verify.explore.search import Explored, explore
from temper.verify.limits import Limits
from temper.verify.system.choose import Bounds, search
from temper.verify.system.found import Together, search_together
from temper.verify.system.ir import System
from temper.verify.system.lower import Unlowered, components, lower, scope_of
from temper.verify.system.step import states_of
from tests.blueprints import sound_blueprints
from tests.verify.drawn import blueprints
from tests.verify.texts import result_of, run_of, table_of

BOUNDS = Bounds(1_000_000, 60)


def lowered(table: Table, *entities: str, **scope: int) -> System:
    """Return the system of these entities (all, if left out)."""
    system = lower(table, entities or None, scope=scope)
    assert isinstance(system, System), system
    return system


def together(table: Table, *entities: str, limits: Limits | None = None) -> Together:
    """Return what a search of these entities together finds."""
    found = search_together(table, entities, limits or Limits())
    assert isinstance(found, Together), found
    return found


def lengths(explored: Explored) -> dict[Any, int]:
    """Return for all that was found how many steps its shortest run has."""
    found = (*explored.breaks.items(), *explored.reached.items())
    return {key: len(each.run.stages) for key, each in found if each.run is not None}


def agree(text: str) -> None:
    """Hold the search of a lowered blueprint of one entity to the search by `step`."""
    table = table_of(text)
    (name,) = table.entities
    by_step = explore(table, name, Limits())
    found = together(table, name)
    lowered_one = found.explored[name]
    assert lengths(lowered_one) == lengths(by_step)
    assert set(lowered_one.suspicions) == set(by_step.suspicions)
    assert set(lowered_one.unclear) == set(by_step.unclear)
    assert set(lowered_one.cut) == set(by_step.cut)
    # Where it matters who somebody is, each search makes callers equal in its own way; a step over a bound is counted
    # by one and not the other; and how times compare is asked of creations by one alone.
    if len(found.system.meta["layout"].callers) == 1:
        assert lowered_one.states == by_step.states
        if not by_step.cut and not by_step.comparisons:
            assert lowered_one.transitions == by_step.transitions


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sound_blueprints())
def test_lowered_and_by_step_agree_on_sound_blueprints(text: str) -> None:
    """Fields, guards, calls with their late outcomes, timers: counts, verdicts and lengths are the same."""
    if "whenever" not in text:  # The search by `step` has no world that would arm one that reads others.
        agree(text)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(blueprints())
def test_lowered_and_by_step_agree(text: str) -> None:
    """Sets, texts, `late ... do`, `defer`, two timers armed together."""
    agree(text)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(blueprints(times=True))
def test_lowered_and_by_step_agree_where_times_are_compared(text: str) -> None:
    """And who holds something, and until when."""
    agree(text)


# --- known answers ----------------------------------------------------------------------------------------------------


def two_phase(managers: int) -> str:
    """Return two-phase commit of so many managers as one entity, its messages and theirs as sets."""
    names = ", ".join(f"m{n}" for n in range(managers))
    return f"""
        blueprint two_phase
        role anybody
        type Manager = one of ({names})
        entity Transaction
          states Running
          prepared: set of Manager max {managers} = {{}}
          committed: set of Manager max {managers} = {{}}
          aborted: set of Manager max {managers} = {{}}
          said: set of Manager max {managers} = {{}}
          heard: set of Manager max {managers} = {{}}
          decided: one of (open, commit, abort) = open
          action Begin by anybody from new to Running
          action Prepare(m: Manager) by anybody from Running
            when not (m in prepared or m in committed or m in aborted)
            set prepared += m
            set said += m
          action GiveUp(m: Manager) by anybody from Running
            when not (m in prepared or m in committed or m in aborted)
            set aborted += m
          action Hear(m: Manager) by anybody from Running when decided == open and m in said
            set heard += m
          action Commit by anybody from Running when decided == open and size(heard) == {managers}
            set decided = commit
          action Abort by anybody from Running when decided == open
            set decided = abort
          action TakeCommit(m: Manager) by anybody from Running when decided == commit
            set committed += m
            set prepared -= m
            set aborted -= m
          action TakeAbort(m: Manager) by anybody from Running when decided == abort
            set aborted += m
            set prepared -= m
            set committed -= m
          always size(committed & aborted) == 0
          always size(committed) == 0 or size(aborted) == 0
    """


@pytest.mark.parametrize(("managers", "states", "generated"), [(3, 288, 1146), (5, 8832, 58146)])
@pytest.mark.parametrize("engine", ["python", "wasm"])
def test_two_phase_commit_has_the_published_states(managers: int, states: int, generated: int, engine: str) -> None:
    """As TLC counts them: distinct states, and those generated, the first one among them."""
    system = lowered(table_of(two_phase(managers)))
    found = search(system, BOUNDS, engine=engine)
    assert (found.states, found.transitions) == (states + 1, generated)
    assert {system.questions[number].kind for number in found.found} == {"reach"}


def test_two_phase_commit_is_proved_by_the_search() -> None:
    """Every value of its types is drawn: what holds in every state is proved."""
    report = verify(table_of(two_phase(3)), levels=("search",))
    told = result_of(report, "always size(committed) == 0 or size(aborted) == 0")
    assert told.verdict is Verdict.PROVED
    assert told.why == "in every one of its 288 states"


# --- several entities -------------------------------------------------------------------------------------------------

TRANSFER = """
    blueprint bank
    role teller
    entity Account
      states Open
      balance: int 0..3 = 0
      action Open by teller from new to Open
        set balance = 2
      action Put(n: int 1..2) by system from Open GUARD
        set balance += n
    entity Transfer
      states Asked, Done
      final Done
      from_account: Account
      to_account: Account
      amount: int 1..2
      action Ask(from_account, to_account, amount) by teller from new to Asked
        when from_account != to_account
        set from_account, to_account, amount
      action Settle by teller from Asked to Done
        with to_account.Put(amount)
      always state is Done implies to_account.balance > 0
    always all a in Account: a.balance < 4
    always all a in Account: all b in Account: a.balance + b.balance <= 5
    scope Account 2, Transfer 1
"""


def test_a_joint_action_is_one_step_of_both() -> None:
    """An account that can't take it is a fault without a guard; with one, the transfer is refused with it."""
    careless = table_of(TRANSFER.replace("GUARD", ""))
    report = verify(careless, levels=("search",))
    assert run_of(result_of(report, "no assignment leaves its type")) == [
        "teller: Open -> Open",
        "teller: Open -> Open",
        "teller: Ask -> Asked",
        "teller: Settle -> Asked",
    ]
    careful = verify(table_of(TRANSFER.replace("GUARD", "when balance + n <= 3")), levels=("search",))
    assert result_of(careful, "no assignment leaves its type").verdict is Verdict.HOLDS
    assert result_of(careful, "always state is Done implies to_account.balance > 0").verdict is Verdict.HOLDS


def test_a_property_of_several_is_searched_with_so_many() -> None:
    """An account of 3 is its own partner: one transfer makes 6."""
    table = table_of(TRANSFER.replace("GUARD", "when balance + n <= 3"))
    name = "always all a in Account: all b in Account: a.balance + b.balance <= 5"
    told = result_of(verify(table, levels=("search",)), name)
    assert told.verdict is Verdict.BROKEN
    assert run_of(told)[-1] == "another entity: Put -> Open"


CREATES = """
    blueprint shop
    role buyer
    entity Order
      states Open
      parcel: Parcel?
      action Buy by buyer from new to Open
      action Send by buyer from Open when parcel == none
        create Parcel.Pack(this) as made
        set parcel = made
      always parcel == none or state is Open
    entity Parcel
      states Packed, Sent
      of: Order
      action Pack(of) by system from new to Packed
        set of
      action Post by buyer from Packed to Sent
    always all p in Parcel: p.of.parcel == p
    can reach Parcel.Sent
    scope Order 1, Parcel 1
"""


def test_what_is_created_is_there_at_once_and_referred_to() -> None:
    """The order knows its parcel in the step that makes it: nothing, bought, packed, sent."""
    found = together(table_of(CREATES), "Order", "Parcel")
    assert found.states == 4
    assert not found.explored["Order"].breaks
    assert not found.explored["Parcel"].breaks
    assert lengths(found.explored["Parcel"])[("state", "Sent")] == 4


SENDS = """
    blueprint mail
    role sender
    entity Box
      states Open, Shut
      got: int 0..2 = 0
      action Make by sender from new to Open
      action Take by system from Open when got < 2
        set got += 1
      action Shut by sender from Open to Shut
      LATE
    entity Person
      states Here
      box: Box
      action Come(box) by sender from new to Here
        set box
      action Write by sender from Here
        send box.Take
    scope Box 1, Person 1
"""


def test_a_send_that_comes_too_late_needs_a_home() -> None:
    """It is on its way when the box is shut."""
    report = verify(table_of(SENDS.replace("LATE", "")), levels=("search",))
    told = result_of(report, "every outcome has a home")
    assert told.verdict is Verdict.BROKEN
    assert run_of(told)[-1] == "another entity: Take -> Shut"
    assert len(told.trace) == 5
    mended = verify(table_of(SENDS.replace("LATE", "late Take ignore")), levels=("search",))
    assert result_of(mended, "every outcome has a home").verdict in {Verdict.HOLDS, Verdict.PROVED}


def test_a_whenever_reads_others_and_fires_once_it_is_so() -> None:
    """The tray is emptied when its file is closed, in a step of its own: none, one or both there, closed, due, done."""
    table = table_of("""
        blueprint tray
        role clerk
        entity File
          states Open, Closed
          action Begin by clerk from new to Open
          action Close by clerk from Open to Closed
        entity Tray
          states Full, Empty
          final Empty
          file: File
          action Fill(file) by clerk from new to Full
            set file
          action Clear by system from Full to Empty
          in Full whenever file.state is Closed do Clear
          always state is Empty implies file.state is Closed
        scope File 1, Tray 1
    """)
    found = together(table, "File", "Tray")
    # Nothing; an open file; a closed one; each with a full tray (due if it is closed); the tray empty.
    assert found.states == 6
    assert lengths(found.explored["Tray"])[("state", "Empty")] == 4


def test_instances_are_as_many_as_scope_says_or_two_or_one() -> None:
    """One that stands alone is searched alone, whatever the scope says: others make no difference to it."""
    bank = table_of(TRANSFER.replace("GUARD", ""))
    assert components(bank) == (("Account", "Transfer"),)
    assert scope_of(bank, ("Account", "Transfer")) == {"Account": 2, "Transfer": 1}
    shop = table_of(CREATES.replace("scope Order 1, Parcel 1", ""))
    assert scope_of(shop, ("Order", "Parcel")) == {"Order": 2, "Parcel": 2}
    assert scope_of(table_of(two_phase(3)), ("Transaction",)) == {"Transaction": 1}


def test_interchangeable_instances_are_an_orbit() -> None:
    """Accounts can be exchanged, with the references to them."""
    system = lowered(table_of(TRANSFER.replace("GUARD", "when balance + n <= 3")))
    (orbit,) = system.orbits
    assert len(orbit.members) == 2
    # Where it comes from is looked at once, as it is asked for, and makes no difference afterwards.
    assert {system.variables[index].name for index, _ in orbit.values} == {"t1.to_account"}


def test_what_has_no_finite_form_is_said() -> None:
    """A list that decides is left to the search by `step`."""
    table = table_of("""
        blueprint lists
        role r
        entity Queue
          states Open
          items: list of int 0..1 max 2 = []
          action Make by r from new to Open
          action Add(n: int 0..1) by r from Open when size(items) < 2
            set items = items + [n]
          always size(items) <= 2
    """)
    assert lower(table) == Unlowered("a list")
    report = verify(table, levels=("search",))
    level = next(each for each in report.levels if each.name == "search")
    assert any("by `step` (a list)" in each for each in level.covered)


def test_every_path_of_a_search_can_be_walked() -> None:
    """As rules of the system, from the first state on."""
    found = together(table_of(SENDS.replace("LATE", "")), "Box", "Person")
    for path in (*found.searched.found.values(), *found.searched.faults.values()):
        assert states_of(found.system, path)
