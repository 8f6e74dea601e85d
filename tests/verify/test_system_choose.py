"""Which engine searches a system, and that all of them say the same."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings

from temper.verify.system import bdd, choose, python
from temper.verify.system.choose import Bounds, cross_check, search
from temper.verify.system.ir import Rule, Searched, System, Var
from tests.verify.system_draw import symmetric_systems, systems
from tests.verify.system_models import filter_lock, order, philosophers, two_phase_commit
from tests.verify.test_system_bdd import scrambled

BOUNDS = Bounds(2_000_000, 60)


@settings(max_examples=40, deadline=None)
@given(systems() | symmetric_systems())
def test_engines_differ_in_nothing(system: System) -> None:
    assert cross_check(system, BOUNDS) == ()


@pytest.mark.parametrize(
    "system", [two_phase_commit(5), philosophers(8), filter_lock(4), filter_lock(4, 0), order(9)], ids=str
)
def test_engines_differ_in_nothing_on_known_models(system: System) -> None:
    assert cross_check(system, BOUNDS) == ()


def test_a_difference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it is, and by whom."""

    def wrong(task: object) -> Searched:
        return Searched("wrong", 1, 1_145, {}, {}, None, 0)

    monkeypatch.setitem(choose.ENGINES, "wrong", wrong)
    assert cross_check(two_phase_commit(3), BOUNDS) == ("states: 288 by python, 1 by wrong",)


@pytest.mark.parametrize(
    ("system", "bounds", "engine"),
    [
        (two_phase_commit(3), BOUNDS, "generated Python"),
        # A product of managers, once it is known what the coordinator says.
        (two_phase_commit(12), BOUNDS, "decision diagrams"),
        # Who was last names a process: diagrams grow past what they are tried with.
        (filter_lock(5), BOUNDS, "WebAssembly"),
        (filter_lock(6, 0), BOUNDS, "symmetry"),
        (scrambled(18), BOUNDS, "WebAssembly"),
    ],
    ids=["small", "product", "names", "kin", "scrambled"],
)
def test_the_engine_is_chosen_by_size_and_kind(system: System, bounds: Bounds, engine: str) -> None:
    found = search(system, bounds)
    assert (found.engine, found.stopped) == (engine, None)


def test_where_nobody_gets_to_the_end_it_is_said() -> None:
    up = Rule("up", ("<", ("var", 0), ("const", 999_999)), ((0, ("+", ("var", 0), ("const", 1))),))
    found = search(System((Var("n", 1_000_000),), ((0,),), (up,)), Bounds(30_000, 60))
    assert found.stopped == "stopped at 30,000 states"
    assert found.states >= 30_000


@pytest.mark.parametrize("engine", choose.ENGINES)
def test_an_engine_can_be_named(engine: str) -> None:
    assert search(two_phase_commit(5), BOUNDS, engine=engine).states == 8_832


class Enough(Exception):
    """Who asked for the search wants no more of it."""


@pytest.mark.parametrize("engine", choose.ENGINES)
def test_who_asks_can_end_a_search(engine: str) -> None:
    """At the next look at the bounds, in every engine; so does Ctrl-C, which is raised there at the latest."""
    told = 0

    def progress(states: int, transitions: int) -> None:
        nonlocal told
        told += 1
        if told == 2:
            raise Enough

    with pytest.raises(Enough):
        search(two_phase_commit(9), BOUNDS, engine=engine, progress=progress)


@pytest.mark.parametrize("engine", ["python", "wasm", "bdd"])
def test_every_engine_keeps_to_the_memory_it_is_given(engine: str) -> None:
    """Or says nothing: diagrams know of no state until they know of all."""
    try:
        found = search(scrambled(18), Bounds(10**9, 60, memory_max=1 << 20), engine=engine)
    except AssertionError:
        assert engine == "bdd"
        return
    assert found.stopped == "stopped at 1 MiB of memory"
    assert found.memory_bytes < 4 << 20


def test_what_is_known_of_the_nearest_states_is_not_looked_for_again() -> None:
    """Diagrams, told what a search of the first states has found, find the rest, and the same."""
    system = order(9)
    first = python.Search(system).go_on(50, 60)
    assert first.stopped is not None
    alone, told = (
        bdd.search(system, states_max=1, seconds=60),
        bdd.search(system, states_max=1, seconds=60, known=first),
    )
    assert first.stuck is not None
    assert told.stuck is first.stuck
    assert (told.states, told.transitions, told.deadlocks) == (alone.states, alone.transitions, alone.deadlocks)
    assert alone.stuck is not None
    assert len(alone.stuck.rules) == len(first.stuck.rules)


@pytest.mark.parametrize("loaded", [False, True], ids=["not loaded", "loaded"])
def test_generated_python_goes_further_where_the_kernel_has_to_be_loaded(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is last in a lock names a process: diagrams are given up, and 4,752 states are more than the first look."""
    import wasmtime

    monkeypatch.setattr(choose, "GLANCE", (1_000, 0.2))
    if loaded:
        monkeypatch.setitem(sys.modules, "wasmtime", wasmtime)
    else:
        monkeypatch.delitem(sys.modules, "wasmtime")
    found = search(filter_lock(4), BOUNDS)
    assert (found.states, found.engine) == (4_752, "WebAssembly" if loaded else "generated Python")
