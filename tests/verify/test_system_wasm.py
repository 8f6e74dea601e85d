"""The WebAssembly kernel against plain evaluation, on drawn systems and by hand."""

from __future__ import annotations

import subprocess
import sys
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from temper.verify.system import choose, python, wasm
from temper.verify.system.codes import both, eq, replaced
from temper.verify.system.ir import Fault, Question, Rule, System, Var
from temper.verify.system.wasm_text import Known, Layout, TooWide
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


@pytest.mark.parametrize("bits", [20, 45, 58], ids=["one word", "both words", "second word"])
def test_blocks_move_to_where_they_are_fullest(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six digits above bits that never change: a block of the lowest bits holds one state, one of two digits 64."""
    plain = digits(6, 8)
    shifted = [
        replace(
            rule,
            guard=replaced(rule.guard, {("var", n): ("var", n + 1) for n in range(6)}),
            updates=tuple((n + 1, replaced(code, {("var", n): ("var", n + 1)})) for n, code in rule.updates),
        )
        for rule in plain.rules
    ]
    system = System((Var("wide", 1 << bits), *plain.variables), ((1,) + (0,) * 6,), tuple(shifted))
    moved = wasm.search(system, states_max=10**6, seconds=60)
    monkeypatch.setattr(wasm, "_MOVES", 0.0)
    stayed = wasm.search(system, states_max=10**6, seconds=60)
    assert (moved.states, moved.transitions, moved.depth) == (8**6, 6 * 7 * 8**5, 42)
    assert (stayed.states, stayed.transitions, stayed.depth) == (8**6, 6 * 7 * 8**5, 42)
    assert 2 * moved.memory_bytes < stayed.memory_bytes


@pytest.mark.parametrize("bits", [0, 40, 60], ids=["bitmap", "one word", "two words"])
def test_a_kernel_made_anew_goes_on_where_the_first_was(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions of states and steps and faults that were found before, and some that are found after."""
    wide = widened(bits)
    late = Question("late", "reach", ("and", *(("==", ("var", n), ("const", 6)) for n in range(6))))
    soon = Question("soon", "reach", ("==", ("var", 2), ("const", 3)))
    step = Question("step", "never", ("and", ("==", ("var", 1), ("const", 2)), ("==", ("next", 1), ("const", 3))), True)
    fault = Fault(("==", ("var", 0), ("const", 7)), "full", "first")
    met = Rule("meet", ("==", ("var", 3), ("const", 1)), ((5, ("const", 0)),), faults=(fault,), weight=2)
    system = replace(wide, rules=(*wide.rules, met), questions=(*wide.questions, late, soon, step))
    once = wasm.search(system, states_max=10**6, seconds=60)
    monkeypatch.setattr(wasm, "_RENEW_FROM", 1 << 13)
    known = Mock(wraps=Known)
    monkeypatch.setattr(wasm, "Known", known)
    anew = wasm.search(system, states_max=10**6, seconds=60)
    assert known.mock_calls[-1].args == (frozenset({2, 3}), frozenset({("first", "full")}))
    assert replace(anew, seconds=0, memory_bytes=0) == replace(once, seconds=0, memory_bytes=0)
    theirs = python.search(system, states_max=10**6, seconds=60)
    assert (anew.states, anew.transitions, anew.deadlocks) == (theirs.states, theirs.transitions, theirs.deadlocks)
    assert {n: len(path.rules) for n, path in anew.found.items()} == {n: len(p.rules) for n, p in theirs.found.items()}


def test_more_rules_than_a_function_holds() -> None:
    """A thousand: most under one state of ten, the rest with nothing in common."""
    size = 40
    ups = [
        Rule(
            f"{phase} {n}",
            both(eq(("var", 0), ("const", phase)), eq(("var", 1), ("const", n))),
            ((1, ("const", n + 1)),),
        )
        for phase in range(10)
        for n in range(size - 1)
    ]
    odd = [Rule(f"odd {n}", (">", ("var", 1), ("const", n)), ((0, ("const", n % 10)),)) for n in range(size)]
    backs = [
        Rule(f"back {n}", ("<", ("+", ("var", 0), ("var", 1)), ("const", n)), ((1, ("const", 0)),), weight=1 + n % 2)
        for n in range(600)
    ]
    system = System((Var("phase", 10), Var("n", size)), ((0, 0),), (*ups, *odd, *backs))
    agrees(system, wasm.search(system, states_max=10**6, seconds=60))


def test_a_bound_of_states_is_kept_to_the_step() -> None:
    """It looks at the bound after each state that it expands: six steps lead from one at the most."""
    found = wasm.search(digits(7, 8), states_max=12_345, seconds=60)
    assert found.stopped == "stopped at 12,345 states"
    assert 12_345 < found.states <= 12_345 + 7


LITTLE_MEMORY = """
import resource
from temper.verify.system import choose
from temper.verify.system.ir import Rule, System, Var

up = [Rule(f"up {n}", ("<", ("var", n), ("const", 39)), ((n, ("+", ("var", n), ("const", 1))),)) for n in range(2)]
grid = System((Var("a", 40), Var("b", 40)), ((0, 0),), tuple(up))
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
found = choose.search(grid, choose.Bounds(10_000, 30), engine="wasm")
print(found.states, found.engine)
"""


def test_a_kernel_starts_where_addresses_are_few() -> None:
    """Under `ulimit -v` there are not four gigabytes for each memory: it takes what it needs."""
    ran = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=False)
    assert ran.stdout == "1600 WebAssembly\n", ran.stderr


def test_where_no_kernel_starts_another_engine_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise wasm.NoKernel("mmap failed")

    system = digits(4, 16)
    monkeypatch.setattr(wasm, "search", refuses)
    found = choose.search(system, choose.Bounds(100_000, 60))
    assert (found.states, found.stopped) == (16**4, None)
    assert found.engine != wasm.ENGINE


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
