"""Every state can reach a final one, and nobody waits for ever: asked of all, though nobody writes it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from temper.table import Table
from temper.verify import Report, Verdict, verify
from temper.verify.shapes import newcomers_matter, recovers
from temper.verify.system.fair import Graph, graph_of, hopeless
from temper.verify.system.further import further_from
from temper.verify.system.ir import System
from temper.verify.system.lower import lower
from temper.verify.system.python import steps_of
from temper.verify.system.step import evaluate
from tests.verify.drawn import tables
from tests.verify.texts import codes_of, result_of, run_of, table_of

RECOVERS = "every state can reach a final one"
WAYS_OUT = "every state has a way out"

ORDER = """
blueprint order
role buyer, clerk
tool bank.pay() -> (ok: bool)
  timeout 1m
  idempotent
entity Order
  states Open, Frozen, Closed
  final {final}
  tries: int 0..2 = 0
  held: bool = false
  action Place by buyer from new to Open
  action Try by buyer from Open when tries < 2
    set tries += 1
  {freeze}
  {close}
"""
FREEZE = "action Freeze by buyer from Open to Frozen"
ASK = "\n  action Ask by buyer from Frozen to Frozen"


def order(close: str, freeze: str = FREEZE, final: str = "Closed") -> Table:
    return table_of(ORDER.format(final=final, close=close, freeze=freeze))


def said(report: Report) -> tuple[str, str, list[str]]:
    """Return the verdict, by what it was found, and the run if there is one."""
    found = result_of(report, RECOVERS)
    return found.verdict.value, found.by, run_of(found)


CLOSE = "action Close by buyer from Open to Closed"
ROWS = [
    # A state that only leads round: the table alone knows, and the search shows how to get there.
    (order(CLOSE, FREEZE + ASK), "broken", ["buyer: Place -> Open", "buyer: Freeze -> Frozen"]),
    # Declared final, it may end there.
    (order(CLOSE, FREEZE, "Closed, Frozen"), "proved", None),
    # A way on.
    (order(f"{CLOSE}\n  action Thaw by buyer from Frozen to Open", FREEZE + ASK), "proved", None),
    # A way that a guard closes for good after two tries: the shape does not tell.
    (
        order("action Close by buyer\n    from Open to Closed when tries < 2\n    from Frozen to Closed when tries < 2",
              FREEZE + ASK),
        "unknown",
        ["buyer: Place -> Open", "buyer: Try -> Open", "buyer: Try -> Open"],
    ),
    # One that is open to somebody else is a way all the same.
    (order("action Close by clerk from Open, Frozen to Closed when tries == 2 or not held"), "unknown",
     None),
    # Nobody has to answer; there has to be an answer that leads on.
    (
        order("action Close by system from Open, Frozen to Closed",
              FREEZE + "\n  action Pay by buyer from Open\n    call bank.pay() then Close else _\n  late Close ignore"),
        "unknown",
        ["buyer: Place -> Open", "buyer: Freeze -> Frozen"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("table", "alone", "run"), ROWS)
def test_a_final_state_can_be_reached_from_everywhere(table: Table, alone: str, run: list[str] | None) -> None:
    """One row: what level 1 says of it, and the shortest run by which the search breaks it, if it does."""
    assert said(verify(table, levels=("algebra",))) == (alone, "table", [])
    report = verify(table, levels=("algebra", "search"))
    verdict, _, shown = said(report)
    assert (verdict, shown) == (("proved", []) if run is None else ("broken", run))
    assert report.passed == (run is None)


def test_who_is_stuck_is_told_once() -> None:
    """Where nothing happens at all no final state can be reached either; the finding is about the former."""
    stuck = verify(order(CLOSE), levels=("algebra", "search"))
    assert codes_of(stuck) == ["B404"]
    assert said(stuck)[0] == "broken"
    round_and_round = verify(order(CLOSE, FREEZE + ASK), levels=("search",))
    assert codes_of(round_and_round) == ["B507"]
    assert result_of(round_and_round, WAYS_OUT).verdict is Verdict.PROVED


def test_no_final_state_no_question() -> None:
    table = table_of("""
        blueprint lamp
        role person
        entity Lamp
          states Off, On
          action Hang by person from new to Off
          action Toggle by person
            from Off to On
            from On to Off
    """)
    assert all(each.name != RECOVERS for each in verify(table, levels=("algebra", "search")).properties)


COUNTER = """
blueprint counter
role person
{scope}
entity Counter
  states On, Off
  final Off
  n: int 0.. = 0
  action Make by person from new to On
  action Count by system
    from On to Off when n >= 1000000
    from On to On
    set n += 1
  in On after 1m do Count
  {more}
  eventually On leads to Off
"""


@pytest.mark.parametrize("scope", ["", "scope Counter.n 0..3"])
def test_a_bound_of_the_search_is_no_dead_end(scope: str) -> None:
    """The search stops counting long before the counter does: it can always go on, and nothing says that it ends."""
    report = verify(table_of(COUNTER.format(scope=scope, more="")), levels=("search",))
    assert codes_of(report) == []
    ways_out, recovers, leads = (result_of(report, name) for name in (WAYS_OUT, RECOVERS, "eventually On leads to Off"))
    assert (ways_out.verdict, recovers.verdict, leads.verdict) == (Verdict.HOLDS, Verdict.UNKNOWN, Verdict.HOLDS)
    assert "past the bounds of the search" in recovers.why
    assert "within the bounds of the search" in leads.why


def test_a_loop_within_the_bounds_is_one() -> None:
    """Whoever sets the counter back in time keeps it from its end for ever, whatever lies past the bounds."""
    reset = "action Reset by person from On when n > 0\n    set n = 0"
    report = verify(table_of(COUNTER.format(scope="", more=reset)), levels=("search",))
    leads = result_of(report, "eventually On leads to Off")
    assert leads.verdict is Verdict.BROKEN
    assert run_of(leads) == ["person: Make -> On", "the clock: Count -> On", "person: Reset -> On"]


@pytest.mark.parametrize(("guard", "stuck"), [("n < 3", True), ("n < 1000000", False)])
def test_what_stops_short_of_the_bound_is_stuck(guard: str, stuck: bool) -> None:
    """The bound of a blueprint is none of ours: at it nothing can happen any more."""
    text = f"""
        blueprint short
        role person
        entity Counter
          states On
          n: int 0.. = 0
          action Make by person from new to On
          action Count by person from On when {guard}
            set n += 1
    """
    report = verify(table_of(text), levels=("search",))
    assert (codes_of(report) == ["B506"]) is stuck
    assert (result_of(report, WAYS_OUT).verdict is Verdict.BROKEN) is stuck


CLOCKED = """
blueprint lease
role person
entity Lease
  states Held, Over
  final Over
  until: time
  action Take(until) by person from new to Held
    set until
  action Keep by person from Held
  action End by person from Held to Over when now > until and now < until
"""


def test_a_way_that_only_a_search_without_a_clock_has_is_none() -> None:
    """Moments are compared both ways; no clock lets anybody take that way, so that nothing is said to hold."""
    found = result_of(verify(table_of(CLOCKED), levels=("search",)), RECOVERS)
    assert found.verdict is Verdict.UNKNOWN
    assert "no clock" in found.why


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("action Drop by person from Held to Over", Verdict.PROVED),
        ("action Drop by system from Held to Over\n  in Held after 1h do Drop", Verdict.PROVED),
        # The way leads through another's comparison.
        ("action Drop by system from Held to Over", Verdict.UNKNOWN),
    ],
)
def test_where_another_way_leads_on_no_clock_is_needed(way: str, expected: Verdict) -> None:
    """Whatever the moments are, there is a way that does not ask for them."""
    by = """
entity Other
  states Up
  lease: Lease
  action Come(lease) by person from new to Up
    set lease
  action Push by person from Up when now > lease.until and now < lease.until
    with lease.Drop
"""
    text = f"{CLOCKED}  {way}\n" + (by if expected is Verdict.UNKNOWN else "")
    found = result_of(verify(table_of(text), levels=("search",)), RECOVERS)
    assert found.verdict is expected, found.why


PAIR = """
blueprint pair
role person
entity Left
  states Waiting, Done
  final Done
  action Begin by person from new to Waiting
  action Finish by person from Waiting to Done when {left}
entity Right
  states Waiting, Done
  final Done
  left: Left
  action Begin(left) by person from new to Waiting
    set left
  action Finish by person from Waiting to Done when left.state is Done
"""
TWO = """
blueprint two
role person
entity Side
  states Alone, Waiting, Done
  final Done
  other: Side?
  action Begin by person from new to Alone
    create Side.Join(this) as mate
    set other = mate
  action Join(other) by system from new to Waiting
    set other
  action Go by person
    from Alone to Done when other != none and other.state is Done
    from Waiting to Done when other != none and other.state is Done
"""


def test_two_that_wait_for_each_other_are_found() -> None:
    """Neither is done before the other: the shortest run begins them, and no newcomer can help."""
    table = table_of(TWO)
    assert not newcomers_matter(table, table.entities)
    report = verify(table, levels=("search",))
    stuck = result_of(report, WAYS_OUT)
    assert stuck.verdict is Verdict.BROKEN
    assert len({step.text for step in stuck.trace if step.who == "person"}) == 1
    assert "B506" in codes_of(report)
    assert said(report)[0] == "broken"


LETTER = """
blueprint post
role person
entity Letter
  states Written, Stamped, Sent
  final Sent
  action Write by person from new to Written
  action Stamp by system from Written to Stamped
  action Post by person from Stamped to Sent
entity Clerk
  states Idle, Busy, Gone
  final Gone
  letter: Letter
  action Come(letter) by person from new to Idle
    set letter
  action Work by person from Idle to Busy{when}
    with letter.Stamp
  action Leave by person from Idle, Busy to Gone
entity Clock
  states Tick, Tock
  action Hang by person from new to Tick
  action Swing by person
    from Tick to Tock
    from Tock to Tick
"""


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        # All clerks of the search may be gone; there can always be one more.
        ("", Verdict.HOLDS),
        ("\n    when letter.state is Written", Verdict.HOLDS),
        # No clerk ever stamps what is not sent yet, however many of them come.
        ("\n    when letter.state is Sent", Verdict.UNKNOWN),
    ],
)  # fmt: skip
def test_who_waits_for_newcomers_has_a_way_out_if_one_can_move_it(when: str, expected: Verdict) -> None:
    """A letter moves only with a clerk's work. That clerks could stamp something is not enough."""
    report = verify(table_of(LETTER.replace("{when}", when)), levels=("algebra", "search"))
    letter = result_of(report, WAYS_OUT)
    assert (letter.entity, letter.verdict) == ("Letter", expected)
    if expected is Verdict.UNKNOWN:
        assert run_of(letter) == ["person: Write -> Written"]
        assert "one more of each kind does not help it on" in letter.why


PURSE = """
blueprint purses
role person
entity Purse
  states Open
  coins: int 0..1
  action Open(coins) by person from new to Open
    set coins
  action Give by system from Open when coins > 0
    set coins -= 1
  action Take by system from Open when coins < 1
    set coins += 1
entity Note
  states Done
  final Done
  number: string
  giver: Purse
  taker: Purse
  {unique} number
  action Pay(number, giver, taker) by person from new to Done
    when giver != taker
    set number, giver, taker
    with giver.Give
    with taker.Take
"""


@pytest.mark.parametrize("unique", ["unique", "key"])
def test_a_newcomer_has_a_name_of_its_own(unique: str) -> None:
    """Where no two may have the same number, there is one more number with one more of the kind."""
    result = result_of(verify(table_of(PURSE.replace("{unique}", unique)), levels=("algebra", "search")), WAYS_OUT)
    assert (result.entity, result.verdict) == ("Purse", Verdict.HOLDS)


@pytest.mark.parametrize("when", ["", "\n    when letter.state is Sent"])
def test_a_state_is_one_of_a_larger_system_too(when: str) -> None:
    """Whoever is not there yet is left out of it; each step between two states is a step between these."""
    table = table_of(LETTER.replace("{when}", when))
    smaller, larger = lower(table, ("Letter", "Clerk")), lower(table, ("Letter", "Clerk"), scope={"Clerk": 3})
    assert isinstance(smaller, System)
    assert isinstance(larger, System)
    graph = graph_of(smaller, states_max=5_000, seconds=10, steps=steps_of(smaller))
    further = further_from(smaller, graph, larger, range(len(graph.states)), 10)
    assert further is not None
    assert set(further.larger.initial) <= set(further.graph.states)
    steps = {(a, b) for a, out in enumerate(graph.edges) for _, b in out}
    larger_steps = {(a, b) for a, out in enumerate(further.graph.edges) for _, b in out}
    assert {(further.numbers[a], further.numbers[b]) for a, b in steps} <= larger_steps
    # The first letter is moved wherever it waits with a clerk to come, unless none ever does it.
    waiting = graph_state(graph, "Letter", "Written")
    assert all(further.moves(index, ("Letter", 0)) for index in waiting) == (when == "")


def graph_state(graph: Graph, entity: str, state: str) -> list[int]:
    """Return the states in which the first of a kind is in some state."""
    at = graph.system.meta["layout"].is_in(entity, 0, (state,))
    return [index for index, each in enumerate(graph.states) if evaluate(graph.system, at, each)]


@settings(max_examples=60, deadline=None)
@given(tables())
def test_what_the_shape_says_no_search_refutes(table: Table) -> None:
    """Where people can always lead on, a final state is reached in the graph; a fault alone may stand between."""
    (entity,) = table.entities.values()
    system = lower(table)
    if not entity.final or not recovers(entity) or not isinstance(system, System):
        return
    if any(rule.faults for rule in system.rules):
        return
    graph = graph_of(system, states_max=5_000, seconds=10, steps=steps_of(system))
    if graph.stopped is None:
        layout = system.meta["layout"]
        final = layout.is_in(entity.name, 0, entity.final)
        over = ("or", ("not", layout.exists(entity.name, 0)), final)
        assert hopeless(graph, [bool(evaluate(system, over, state)) for state in graph.states]) is None
