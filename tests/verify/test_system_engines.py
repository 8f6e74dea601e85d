"""Engines against plain evaluation: every engine finds in a drawn system what a plain breadth-first walk finds."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from temper.verify.system import python
from temper.verify.system.ir import Code, Fault, Path, Question, Rule, Searched, State, System, Var
from temper.verify.system.step import evaluate, fault_of, states_of, successors, taken
from tests.verify.system_draw import systems
from tests.verify.system_models import two_phase_commit


def walked(system: System) -> tuple[dict[State, int], int, dict[int, int], dict[tuple[str, str], int], int]:
    """Return by plain evaluation: each state's distance, the steps, how far each question and fault is, deadlocks."""
    distance = dict.fromkeys(system.initial, 0)
    todo = deque(distance)
    steps = successors(system)
    transitions, deadlocks = 0, 0
    found: dict[int, int] = {}
    faults: dict[tuple[str, str], int] = {}
    while todo:
        state = todo.popleft()
        far = distance[state]
        for number, question in enumerate(system.questions):
            if not question.step and evaluate(system, question.bad, state):
                found.setdefault(number, far)
        for rule in system.rules:
            if evaluate(system, rule.guard, state) and (fault := fault_of(system, rule, state)) is not None:
                faults.setdefault((rule.faults[fault].site, rule.faults[fault].why), far + 1)
        moved = False
        for number, after in steps(state):
            moved = True
            transitions += system.rules[number].weight
            for asked, question in enumerate(system.questions):
                if question.step and evaluate(system, question.bad, state, after):
                    found.setdefault(asked, far + 1)
            if after not in distance:
                distance[after] = far + 1
                todo.append(after)
        deadlocks += not moved
    return distance, transitions, found, faults, deadlocks


def shows(system: System, path: Path, bad: Code | None, *, step: bool) -> bool:
    """Say whether a path can be walked, and shows at its end what it should."""
    states = states_of(system, path)
    if bad is None:
        return True
    if step:
        return bool(evaluate(system, bad, states[-2], states[-1]))
    return bool(evaluate(system, bad, states[-1]))


def agrees(system: System, searched: Searched) -> None:
    """Hold what an engine found to plain evaluation."""
    distance, transitions, found, faults, deadlocks = walked(system)
    assert searched.stopped is None
    assert (searched.states, searched.transitions) == (len(distance), transitions)
    assert {number: len(path.rules) for number, path in searched.found.items()} == found
    assert {key: len(path.rules) for key, path in searched.faults.items()} == faults
    for number, path in searched.found.items():
        assert shows(system, path, system.questions[number].bad, step=system.questions[number].step)
    for key, path in searched.faults.items():
        before, rule = states_of(system, path)[-1], system.rules[path.rules[-1]]
        assert fault_of(system, rule, before) == path.fault
        assert path.fault is not None
        assert (rule.faults[path.fault].site, rule.faults[path.fault].why) == key
    assert searched.deadlocks == deadlocks
    assert (searched.stuck is not None) == bool(deadlocks)
    if searched.stuck is not None:
        end = states_of(system, searched.stuck)[-1]
        assert not list(successors(system)(end))
        assert distance[end] == min(far for state, far in distance.items() if not list(successors(system)(state)))


@settings(max_examples=120, deadline=None)
@given(systems())
def test_generated_python_finds_what_plain_evaluation_finds(system: System) -> None:
    """States, transitions, shortest ways, faults and deadlocks are the same."""
    agrees(system, python.search(system, states_max=100_000, seconds=60))


@settings(max_examples=150, deadline=None)
@given(systems())
def test_generated_steps_are_those_of_plain_evaluation(system: System) -> None:
    """From every state that can be reached, each rule once, in the order of their numbers."""
    plain, fast = successors(system), python.steps_of(system)
    for state in walked(system)[0]:
        assert fast(state) == list(plain(state))


COUNTER = System(
    (Var("n", 100), Var("done", 2)),
    ((0, 0),),
    (
        Rule(
            "up",
            ("<", ("var", 0), ("const", 99)),
            ((0, ("+", ("var", 0), ("const", 1))),),
            faults=(Fault(("==", ("var", 0), ("const", 50)), "out of type", "n"),),
        ),
        Rule("end", ("==", ("var", 0), ("const", 7)), ((1, ("const", 1)),), weight=3),
    ),
    (
        Question("ten", "reach", ("==", ("var", 0), ("const", 10))),
        Question("never back", "always", ("<", ("next", 0), ("var", 0)), step=True),
        Question("skips", "always", (">", ("next", 1), ("var", 1)), step=True),
    ),
)


def test_a_counter_by_hand() -> None:
    """0 to 50, once with `done` set at 7: 51 + 44 states; it never gets past the fault at 50.

    Steps: 50 without `done`, 43 with it; from 7 a step of weight 3 in each.
    """
    found = python.search(COUNTER, states_max=1_000, seconds=10)
    assert (found.states, found.transitions, found.depth) == (95, 50 + 43 + 6, 51)
    assert found.found[0] == Path(0, (0,) * 10)
    assert found.found[2] == Path(0, (*(0,) * 7, 1))
    assert 1 not in found.found
    assert found.faults == {("n", "out of type"): Path(0, (0,) * 51, 0)}
    assert found.deadlocks == 2
    assert found.stuck == Path(0, (0,) * 50)


@pytest.mark.parametrize(
    ("states_max", "seconds", "why"), [(10, 60.0, "stopped at 10 states"), (10**6, -1.0, "stopped after")]
)
def test_a_search_that_stops_says_so(states_max: int, seconds: float, why: str) -> None:
    """At a bound nothing is said of what was not seen."""
    system = System(
        (Var("n", 1 << 20),),
        ((0,),),
        (Rule("up", ("<", ("var", 0), ("const", (1 << 20) - 1)), ((0, ("+", ("var", 0), ("const", 1))),)),),
    )
    stopped = python.search(system, states_max=states_max, seconds=seconds).stopped
    assert stopped is not None
    assert stopped.startswith(why)


def test_a_search_goes_on_from_where_it_was_stopped() -> None:
    """In the middle of a level or between two: what is found in the end is the same as at one go."""
    whole = python.search(two_phase_commit(5), states_max=10**6, seconds=60)
    parts = python.Search(two_phase_commit(5))
    stops = [parts.go_on(most, 60).stopped for most in (1, 100, 2_000, 5_000, 8_000)]
    assert all(stops)
    last = parts.go_on(10**6, 60)
    assert replace(last, seconds=0, memory_bytes=0) == replace(whole, seconds=0, memory_bytes=0)


def test_questions_that_are_not_asked_are_not_answered() -> None:
    """Only those whose numbers are given."""
    assert set(python.search(COUNTER, states_max=1_000, seconds=10, questions=(0, 1)).found) == {0}


def test_taken_is_none_where_a_fault_is_met() -> None:
    """A rule that meets a fault is no step."""
    assert taken(COUNTER, COUNTER.rules[0], (50, 0)) is None
    assert taken(COUNTER, COUNTER.rules[0], (49, 0)) == (50, 0)
