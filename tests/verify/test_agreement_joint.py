"""Entities that act together: the engines with a search by `commit`, and the levels with each other, on drawn ones."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings

from temper.table import Table
from temper.verify import Limits, Verdict, verify
from temper.verify.system import python
from temper.verify.system.choose import Bounds, cross_check
from temper.verify.system.found import Together, search_together
from temper.verify.system.ir import Searched, System
from temper.verify.system.lower import lower
from temper.verify.system.symmetry import interchangeable
from temper.verify.system.symmetry import search as up_to_exchange
from tests.verify.drawn import joint_tables
from tests.verify.joint_search import look, told

STATES_MAX = 400


def small(table: Table) -> tuple[System, Searched]:
    """Return a table as a system, and what the plainest engine finds; only if it is soon done."""
    system = lower(table)
    assert isinstance(system, System), system
    found = python.search(system, states_max=STATES_MAX, seconds=30)
    assume(found.stopped is None)
    return system, found


def by_name(found: dict[tuple[Any, ...], int]) -> dict[tuple[Any, ...], int]:
    """Return what was found with reasons by their names, as a system has them."""
    return {(key[0], getattr(key[1], "name", key[1]), *key[2:]) if len(key) > 1 else key: n for key, n in found.items()}


@settings(max_examples=6)
@given(joint_tables())
def test_a_system_has_the_states_and_runs_that_commit_has(table: Table) -> None:
    """References, joint actions, sends, creations, timers, calls and `whenever`: states, steps, states in which nothing
    can happen, what is reached and broken and after how many steps are those of a search by `commit` itself.
    """
    system, found = small(table)
    looked = look(system, 4 * STATES_MAX)
    assert looked is not None
    assert found.states == looked.states
    assert found.deadlocks == looked.deadlocks
    ours, theirs = by_name(looked.found), by_name(told(system, found))
    assert {k: n for k, n in theirs.items() if k[0] != "fault"} == {k: n for k, n in ours.items() if k[0] != "fault"}
    # Of a late one whose action is a fault the search by `commit` hears nothing.
    for key, length in ours.items():
        if key[0] == "fault":
            assert theirs.get(key, length) == length or theirs[key] < length
            assert key in theirs
    if not looked.cut:
        # A step over a bound is none of a system's.
        assert found.transitions == looked.steps


@settings(max_examples=6)
@given(joint_tables())
def test_engines_differ_in_nothing_on_joint_systems(table: Table) -> None:
    """Generated Python, the kernel, diagrams and symmetry, on lowered blueprints."""
    system, _ = small(table)
    assert cross_check(system, Bounds(100_000, 60)) == ()


@settings(max_examples=6)
@given(joint_tables())
def test_states_up_to_an_exchange_are_all_states(table: Table) -> None:
    """What is visited in the stead of its kin, expanded, is exactly what there is."""
    system, plain = small(table)
    orbits = interchangeable(system)
    assume(orbits)
    found = up_to_exchange(system, states_max=100_000, seconds=60, orbits=orbits)
    assert found.representatives is not None
    assert found.representatives <= plain.states
    assert (found.states, found.transitions, found.deadlocks) == (plain.states, plain.transitions, plain.deadlocks)
    assert told(system, found) == told(system, plain)


@settings(max_examples=6)
@given(joint_tables())
def test_every_run_of_a_joint_search_is_replayed(table: Table) -> None:
    """No moments are compared: `commit` goes the way of every run with real ids and moments, and shows what it should.

    Where one waits for others there may be more of them: that is no more than a suspicion.
    """
    small(table)
    found = search_together(table, table.entities, Limits())
    assert isinstance(found, Together)
    for explored in found.explored.values():
        assert set(explored.suspicions) <= {("lost",), ("stuck",)}
        assert all(each.run is not None for each in (*explored.breaks.values(), *explored.reached.values()))


@settings(max_examples=4)
@given(joint_tables())
def test_what_level_1_proves_of_joint_systems_level_2_never_refutes(table: Table) -> None:
    """And what it says is never reached or taken is not."""
    small(table)
    proved = {
        (each.entity, each.name)
        for each in verify(table, levels=("algebra",)).properties
        if each.verdict is Verdict.PROVED
    }
    searched = verify(table, levels=("search",), limits=Limits())
    broken = {(each.entity, each.name) for each in searched.properties if each.verdict is Verdict.BROKEN}
    assert not proved & broken
