"""Lowered systems against `step` and `commit`: the same states, the same verdicts, the same shortest runs."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.table import Table
from temper.verify import Verdict, verify
from temper.verify.explore.search import Explored, explore
from temper.verify.limits import Limits
from temper.verify.system.choose import Bounds, search
from temper.verify.system.found import Together, search_together
from temper.verify.system.ir import TRUE, Fault, Path, System
from temper.verify.system.lower import Unlowered, components, lower, scope_of
from temper.verify.system.replay import replay_path
from temper.verify.system.step import evaluate, states_of, taken
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
    # Which states can reach a final one is asked of the system alone (tests/verify/test_recovery.py).
    assert {key: steps for key, steps in lengths(lowered_one).items() if key[0] != "lost"} == lengths(by_step)
    assert set(lowered_one.suspicions) - {("lost",)} == set(by_step.suspicions)
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
      final Sent
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
    # Nothing else is to be done with an order that is sent.
    assert set(found.explored["Order"].breaks) == {("stuck", "Open")}
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
    """In the blueprint's words; it is left to the search by `step`."""
    table = table_of("""
        blueprint far
        role r
        entity Queue
          states Open
          seen: set of int max 4 = {}
          action Make by r from new to Open
          action Add(n: int 0..90) by r from Open
            set seen += n
          always size(seen) <= 4
    """)
    reason = "a set of more than 20 values, or of numbers below 0 in `seen + {n}`"
    assert lower(table) == Unlowered(reason)
    report = verify(table, levels=("search",))
    level = next(each for each in report.levels if each.name == "search")
    assert any(f"by `step` ({reason})" in each for each in level.covered)


def test_every_path_of_a_search_can_be_walked() -> None:
    """As rules of the system, from the first state on."""
    found = together(table_of(SENDS.replace("LATE", "")), "Box", "Person")
    for path in (*found.searched.found.values(), *found.searched.faults.values()):
        assert states_of(found.system, path)


# --- every construct, step by step ------------------------------------------------------------------------------------

HEAD = """
    blueprint small
    role r, q
    type Colour = one of (red, blue)
    record Line(sku: Colour, units: int 0..2)
    tool t.op(n: int) -> (r: int 0..2)
      timeout 1m
"""
CONSTRUCTS: dict[str, str] = {
    "numbers": """
    entity E
      states On
      n: int 0..5 = 1
      m: int -2..3 = 0
      action Make by r from new to On
      action Set(k: int -2..3) by r from On when max(k, n) > 0 and min(k, m) <= 1
        set m = k
        set n = if k < 0 then -k else (n + k) // 2 + n % 2
      action Div by r from On when 4 // (n - 1) > m
        set n = n * 2 - m
    """,
    "decimals": """
    entity E
      states On
      price: decimal 0..3 = 0.5
      total: decimal 0..9 = 0
      units: int 0..2 = 1
      action Make by r from new to On
      action Buy(units) by r from On when price * units < 2 and price * price <= 1.5
        set units
        set total = price * units + 0.25
      action Dear by r from On when total * price != 0.125
        set price = price * 2
      action Cheap by r from On
        set price = total // 2
      always total * price < 5
    """,
    "sets": """
    entity E
      states On
      tags: set of Colour max 2 = {}
      some: set of int 1..3 max 2 = {2}
      action Make by r from new to On
      action Tag(c: Colour) by r from On when c not in tags
        set tags += c
      action Only(which: set of Colour max 2) by r from On when size(tags & which) < 2
        set tags = which - tags
      action More(n: int 0..3) by r from On
        set some = {x in some: x != n} + {n}
      action Fewer by q from On when (any x in some: x > 1) and (all y in some: y != 3)
        set some = {4 - x for x in some}
      action Count by q from On when count(x in some: x > 1) == 1 and sum(x in some: x) > 2
        set some = if first(x in some: x > 1) == 2 then {} else some
      always some == {2} or tags != {red, blue}
    """,
    "maps": """
    entity E
      states On
      m: map of int 1..2 to int 0..2 max 2 = {1: 0}
      by_colour: map of Colour to Line max 2 = {}
      action Make by r from new to On
      action Put(k: int 1..2) by r from On when k not in m or m[k] != 2
        set m[k] = (m[k] ?? 0) + 1
      action Set by r from On
        set m = {2: 1, 1: 2}
      action Keep(c: Colour) by q from On when size(m) > 1
        set by_colour[c] = Line(sku: c, units: size(by_colour))
      action Ask by q from On when any k in m: k == 2 and (by_colour[red] != none implies m[1] == 1)
        set m = {}
    """,
    "lists": """
    entity E
      states On
      items: list of int 0..1 max 2 = []
      lines: list of Line max 2 = []
      action Make by r from new to On
      action Add(n: int 0..1) by r from On
        set items = items + [n]
      action Swap by r from On when items[0] != items[1]
        set items = [1 - x for x in items]
      action Give(items) by q from On when 1 in items
        set items
      action Line(sku: Colour) by q from On when size(lines) < 2 and all l in lines: l.sku != sku
        set lines = lines + [Line(sku: sku, units: size(items))]
      let kinds = set(items)
      action Clear by q from On when lines[1] != none and size(kinds) == 1
        set lines = []
        set items = [x for x in {0, 1}]
    """,
    "texts": """
    entity E
      states On
      note: string?
      kind: string = "a"
      action Make by r from new to On
      action Note(note) by r from On when kind != "b"
        set note
      action Join(text: string) by r from On when note == none
        set note = "a" + text
      action Kind by q from On when note == "ax" or (note ?? kind) == "ab"
        set kind = if note == none then "b" else "c"
    """,
    "who": """
    entity E
      states On, Off
      owner: principal?
      helpers: set of principal max 2 = {}
      action Make by r from new to On
      action Take by r, q from On when owner == none
        set owner = caller
      action Help by anyone from On when caller not in helpers and owner != none and size(helpers) < 2
        set helpers += caller
      action Stop by owner from On to Off when caller is q
      action Go by helpers from Off to On
        set owner = none
      never q enters Off
      Off needs 2 by Help
    """,
    "places": """
    entity E
      states A, B, C, D
      final D
      group Busy = B, C
      n: int 0..3 = 0
      m: int 0..3 = 0
      action Make by r from new to A
      action Start by r
        from A to B when n < 2
        from A to C
        set n = min(n + 1, 3)
      in Busy
        on exit set m = n
      in C on entry do Route
      action Route by system from C to A
      action Back by r from B to B
      action Away by r from B to A
      action Stop by q from any to D when m != 2
      action After by q from D
        set n = 1
    """,
    "calls": """
    entity E
      states A, B, C
      n: int 0..2 = 0
      action Make by r from new to A
      action Go by r from A to B
      in B on entry call t.op(n) then Done(n, result.r) else Failed unknown Lost
      action Done(was: int 0..2, got: int 0..2) by system from B to A when was != got
        set n = got
      action Failed by system from B to C
      action Lost by system from B, C to A
      action Away by q from B to C
      action Return by q from C to A
      in C late Done ignore
      in A defer Failed
      late Lost, Failed do Note
      late Done do Note
      action Note by system from any
        set n = 2
    """,
    "timers": """
    entity E
      states A, B
      n: int 0..3 = 0
      at_: time?
      action Make by r from new to A
      action Go by r from A to B
        set at_ = now + 1h
      action Set by q from B when n > 0
        set at_ = none
      in A, B every 10m do Tick
      in B
        after 30m do Back
        after 1h do Far
        at at_ do Far
      action Tick by system from A, B when n < 3
        set n += 1
      action Back by system from B to A when n == 2
      action Far by system from B to A
        set n = 0
    """,
    "joint": """
    entity Box
      states Open, Shut
      held: int 0..2 = 0
      action Make by r from new to Open
      action Put(k: int 1..2) by system from Open when held + k <= 2
        set held += k
      action Shut by r from Open to Shut
    entity Hand
      states Full, Empty
      box: Box
      size_: int 1..2
      action Come(box, size_) by r from new to Full
        set box, size_
      action Drop by r from Full to Empty when box.state is Open
        with box.Put(size_)
      action More by q from Empty when box.held > 0
        create Hand.Born(box) as other
      action Born(box) by system from new to Full
        set box
        set size_ = 1
    scope Box 2, Hand 2
    """,
    "sends": """
    entity Box
      states Open, Shut
      held: int 0..2 = 0
      action Make by r from new to Open
      action Put(k: int 1..2) by system from Open when held + k <= 2
        set held += k
      action Shut by q from Open to Shut
      action Open by q from Shut to Open
      in Shut defer Put
      late Put ignore
    entity Hand
      states Full, Empty
      box: Box
      action Come(box) by r from new to Full
        set box
      action Drop(k: int 1..2) by r from Full to Empty
        send box.Put(k)
      action Fill by r from Empty to Full when box.held < 2
        if box.state is Open: send box.Put(1)
    scope Box 1, Hand 2
    """,
    "whenever": """
    entity File
      states Open, Closed
      trays: every Tray.file max 2
      action Begin by r from new to Open
      action Close by r from Open to Closed when any t in trays: t.state is Full
      action Reopen by q from Closed to Open
    entity Tray
      states Full, Empty
      file: File
      action Fill(file) by r from new to Full
        set file
      action Refill by q from Empty to Full when file.state is Open
      action Clear by system from Full to Empty
      in Full whenever file.state is Closed do Clear
      unique file
    scope File 2, Tray 2
    """,
    "many": """
    entity Item
      states Free, Used
      action Make by r from new to Free
      action Use by system from Free to Used
    entity Basket
      states Open, Done
      items: set of Item max 2 = {}
      action Make by r from new to Open
      action Add(item: Item) by r from Open when item not in items and item.state is Free
        set items += item
      action Pay by r from Open to Done when size(items) > 0
        for i in items: with i.Use
      action Tell by q from Done
        for i in items: if i.state is Free: send i.Use
    scope Item 2, Basket 2
    """,
}


@cache
def construct(name: str) -> tuple[Table, System]:
    """Return a construct's table, and its system of all entities together."""
    table = table_of(HEAD + CONSTRUCTS[name])
    return table, lowered(table)


@pytest.mark.parametrize("name", CONSTRUCTS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_lowered_step_is_a_step(name: str, data: st.DataObject) -> None:
    """From a drawn state on: what the system does `commit` does, with the same values; what it can't is refused."""
    table, system = construct(name)
    state, path = system.initial[0], []
    for _ in range(data.draw(st.integers(1, 9))):
        ways = [n for n, rule in enumerate(system.rules) if taken(system, rule, state) is not None]
        if not ways:
            break
        # A rule whose kind has not been taken yet is the more telling one.
        path.append(data.draw(st.sampled_from(ways)))
        following = taken(system, system.rules[path[-1]], state)
        assert following is not None
        state = following
    if path:
        run = replay_path(system, table, Path(0, tuple(path)))
        timely = any(system.rules[n].event.kind == "fire" for n in path) or any(
            kind.clocks.comparisons for kind in system.meta["layout"].kinds.values()
        )
        assert run is not None or timely, [system.rules[n].event for n in path]
    open_ = {repr(rule.event) for rule in system.rules if evaluate(system, rule.guard, state)}
    shut = {repr(rule.event): rule for rule in system.rules if repr(rule.event) not in open_}
    if not shut:
        return
    rule = shut[data.draw(st.sampled_from(sorted(shut)))]
    reports = (*system.meta["reports"], replace(rule, guard=TRUE, faults=(Fault(TRUE, "asked", ""),)))
    asking = replace(system, meta={**system.meta, "reports": reports})
    asked = Path(0, (*path, len(system.rules) + len(reports) - 1))
    assert replay_path(asking, table, asked, lambda _, stage: stage.accepted is not None) is None, rule.event
