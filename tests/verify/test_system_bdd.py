"""Decision diagrams against plain evaluation, on drawn systems and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from temper.verify.system import bdd, python
from temper.verify.system.bdd_nodes import Diagrams
from temper.verify.system.bdd_order import orders
from temper.verify.system.ir import Rule, System, Var
from temper.verify.system.step import states_of
from tests.verify.system_draw import systems
from tests.verify.system_models import filter_lock, order, philosophers, two_phase_commit
from tests.verify.test_system_engines import COUNTER, agrees


@settings(max_examples=200, deadline=None)
@given(systems())
def test_diagrams_find_what_plain_evaluation_finds(system: System) -> None:
    """States, transitions, shortest ways, faults and deadlocks are the same."""
    agrees(system, bdd.search(system, states_max=100_000, seconds=60))


def test_a_counter_by_hand() -> None:
    """The same numbers as engine 0's, and runs as long."""
    ours = bdd.search(COUNTER, states_max=1_000, seconds=10)
    theirs = python.search(COUNTER, states_max=1_000, seconds=10)
    assert (ours.states, ours.transitions, ours.deadlocks) == (theirs.states, theirs.transitions, theirs.deadlocks)
    assert (ours.found, ours.faults, ours.stuck) == (theirs.found, theirs.faults, theirs.stuck)


@pytest.mark.parametrize(
    ("system", "states", "transitions", "deadlocks"),
    [
        (two_phase_commit(3), 288, 1_145, 0),
        (two_phase_commit(9), 10_340_352, 123_558_401, 0),
        (two_phase_commit(12), 2_193_563_648, 35_046_670_337, 0),
        (philosophers(8), 14_158, 81_848, 1),
        (philosophers(12), 1_684_801, 14_610_252, 1),
        (filter_lock(3), 288, 651, 0),
        (filter_lock(4), 4_752, 13_080, 0),
        (order(99), 1_999_901, 1_999_999, 990_000 + 9_901),
    ],
    ids=[
        "two-phase 3",
        "two-phase 9",
        "two-phase 12",
        "philosophers 8",
        "philosophers 12",
        "lock 3",
        "lock 4",
        "order",
    ],
)
def test_known_models(system: System, states: int, transitions: int, deadlocks: int) -> None:
    """Published numbers, less the initial state that TLC takes for a step; nothing that is asked is broken."""
    found = bdd.search(system, states_max=1, seconds=60)
    assert found.stopped is None
    assert (found.states, found.transitions, found.deadlocks) == (states, transitions, deadlocks)
    assert found.found == {}


def test_the_nearest_deadlock_of_philosophers_is_that_all_hold_their_left_fork() -> None:
    stuck = bdd.search(philosophers(12), states_max=1, seconds=60).stuck
    assert stuck is not None
    assert sorted(stuck.rules) == [4 * i for i in range(12)]
    assert states_of(philosophers(12), stuck)[-1] == (1, 1) * 12


def test_what_reads_all_stands_before_what_it_reads() -> None:
    """The coordinator and its messages first, and then manager after manager."""
    system = two_phase_commit(5)
    first, *_ = orders(system)
    names = [system.variables[index].name for index in first]
    assert set(names[:3]) == {"tm", "commit", "abort"}
    assert [{name[2:] for name in names[at : at + 3]} for at in range(3, 18, 3)] == [{str(i)} for i in range(5)]
    assert all(sorted(each) == list(range(len(system.variables))) for each in orders(system))


def scrambled(bits: int) -> System:
    """Return so many bits that each may take the place of any two others' sum: nothing like a product."""
    rules = tuple(
        Rule(
            f"{i} {j}", ("<", ("var", i), ("var", j)), ((i, ("var", j)), (j, ("%", ("+", ("var", i), ("var", k)), two)))
        )
        for two in [("const", 2)]
        for i in range(bits)
        for j in range(bits)
        if i != j
        for k in [(i * j + 1) % bits]
    )
    start = tuple(int(i % 3 == 0) for i in range(bits))
    return System(tuple(Var(f"b{i}", 2) for i in range(bits)), (start,), rules)


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ({"seconds": 60, "nodes_max": 2_500}, "stopped at 2,500 nodes of diagrams"),
        ({"seconds": -1.0}, "stopped after"),
    ],
)
def test_a_search_that_stops_says_so(bounds: dict[str, float], why: str) -> None:
    """At a bound nothing is said, of any state."""
    found = bdd.search(scrambled(16), states_max=10**9, **bounds)  # type: ignore[arg-type]  # one row, one bound
    assert found.stopped is not None
    assert found.stopped.startswith(why)
    assert (found.states, found.found) == (0, {})


def test_a_variable_with_too_many_values_is_left_to_another_engine() -> None:
    wide = System((Var("n", 1 << 20),), ((0,),), (Rule("up", ("<", ("var", 0), ("const", 7)), ((0, ("const", 7)),)),))
    assert bdd.search(wide, states_max=10, seconds=10).stopped == "stopped at numbers with too many values for diagrams"


def test_equal_sets_are_one_node() -> None:
    """Whatever way they are made; and a set is counted over all bits."""
    diagrams = Diagrams(4, lambda nodes: None)
    a, b = diagrams.cube([(0, 1)]), diagrams.cube([(4, 1)])
    assert diagrams.negated(diagrams.both(a, b)) == diagrams.either(diagrams.negated(a), diagrams.negated(b))
    assert diagrams.without(a, b) == diagrams.both(a, diagrams.negated(b))
    assert [diagrams.count(each) for each in (0, 1, a, diagrams.both(a, b), diagrams.either(a, b))] == [0, 16, 8, 4, 12]
    assert diagrams.one_of(diagrams.both(a, b)) == (1, 0, 1, 0)
