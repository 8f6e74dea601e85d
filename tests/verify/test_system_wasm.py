"""The WebAssembly kernel against plain evaluation, on drawn systems and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from temper.verify.system import python, wasm
from temper.verify.system.ir import Question, Rule, System, Var
from temper.verify.system.wasm_text import Layout, TooWide
from tests.verify.system_draw import systems
from tests.verify.test_system_engines import COUNTER, agrees


@settings(max_examples=60, deadline=None)
@given(systems())
def test_the_kernel_finds_what_plain_evaluation_finds(system: System) -> None:
    """States, transitions, shortest ways, faults and deadlocks are the same."""
    agrees(system, wasm.search(system, states_max=100_000, seconds=60))


def test_a_counter_by_hand() -> None:
    """The same answers as engine 0's, to the path."""
    ours = wasm.search(COUNTER, states_max=1_000, seconds=10)
    theirs = python.search(COUNTER, states_max=1_000, seconds=10)
    assert (ours.states, ours.transitions, ours.depth) == (theirs.states, theirs.transitions, theirs.depth)
    assert (ours.found, ours.faults, ours.stuck) == (theirs.found, theirs.faults, theirs.stuck)


def digits(number: int, size: int) -> System:
    """Return so many counters that each go up by themselves: `size ** number` states, `number` words apart."""
    rules = tuple(
        Rule(f"up {n}", ("<", ("var", n), ("const", size - 1)), ((n, ("+", ("var", n), ("const", 1))),))
        for n in range(number)
    )
    full = ("and", *(("==", ("var", n), ("const", size - 1)) for n in range(number)))
    return System(
        tuple(Var(f"d{n}", size) for n in range(number)), ((0,) * number,), rules, (Question("full", "reach", full),)
    )


def widened(bits: int) -> System:
    """Return six digits, and a variable of so many bits that never changes: a wide space with few states in use."""
    plain = digits(6, 8)
    return System((*plain.variables, Var("wide", 1 << bits)), ((0,) * 7,), plain.rules, plain.questions)


@pytest.mark.parametrize(
    ("system", "bitmap", "words"),
    [(digits(6, 8), True, 1), (widened(40), False, 1), (widened(60), False, 2)],
)
def test_each_visited_set_is_exact(system: System, bitmap: bool, words: int) -> None:
    """8 ** 6 states; each of 6 digits can go up in 7 of its 8 values; the far corner is 42 steps away."""
    layout = Layout(system)
    assert (layout.bitmap, layout.words) == (bitmap, words)
    found = wasm.search(system, states_max=10**6, seconds=60)
    assert (found.states, found.transitions) == (8**6, 6 * 7 * 8**5)
    assert len(found.found[0].rules) == found.depth == 42
    assert found.deadlocks == 1


def test_two_words_tell_states_apart() -> None:
    """What differs in the second word alone is another state."""
    wide = (Var("a", 1 << 61), Var("b", 1 << 10))
    up = Rule("up", ("<", ("var", 1), ("const", 999)), ((1, ("+", ("var", 1), ("const", 1))),))
    assert wasm.search(System(wide, ((5, 0),), (up,)), states_max=10_000, seconds=10).states == 1000


def test_what_does_not_fit_is_said() -> None:
    system = System(tuple(Var(f"v{n}", 1 << 40) for n in range(4)), ((0,) * 4,), ())
    assert not wasm.fits(system)
    with pytest.raises(TooWide):
        wasm.search(system, states_max=10, seconds=1)


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ({"states_max": 1000, "seconds": 60}, "stopped at 1,000 states"),
        ({"states_max": 10**9, "seconds": -1.0}, "stopped after"),
        ({"states_max": 10**9, "seconds": 60, "memory_max": 1 << 20}, "stopped at 1 MiB of memory"),
    ],
)
def test_a_search_that_stops_says_so(bounds: dict[str, float], why: str) -> None:
    """At a bound nothing is said of what was not seen."""
    found = wasm.search(digits(7, 8), **bounds)  # type: ignore[arg-type]  # one row, one bound
    assert found.stopped is not None
    assert found.stopped.startswith(why)
    assert found.states < 8**7


def test_more_questions_than_a_word_has_bits() -> None:
    """Each of 200 values is reached at its distance."""
    asked = tuple(Question(f"{n}", "reach", ("==", ("var", 0), ("const", n))) for n in range(200))
    up = Rule("up", ("<", ("var", 0), ("const", 199)), ((0, ("+", ("var", 0), ("const", 1))),))
    found = wasm.search(System((Var("n", 200),), ((0,),), (up,), asked), states_max=1000, seconds=10)
    assert {number: len(path.rules) for number, path in found.found.items()} == {n: n for n in range(200)}
