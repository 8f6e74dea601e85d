"""Which engine searches a system, and that all of them say the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from temper.verify.system import choose
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

    def wrong(system: System, bounds: Bounds, *rest: object) -> Searched:
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
