"""Folding: a code that is made smaller means what it meant, in every state."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.verify.system.codes import both, const, either, eq, ite, op, total
from temper.verify.system.ir import Code, Rule, State, System, Var
from temper.verify.system.lower_fold import Fold
from temper.verify.system.step import evaluate, fault_of, taken
from tests.verify.system_draw import systems


def states_of(system: System) -> list[State]:
    return list(product(*(range(each.size) for each in system.variables)))


def fold_of(system: System, names: frozenset[int] = frozenset()) -> Fold:
    """Return a fold that knows exactly between which ends a code lies."""
    states = states_of(system)[:200]
    whole = len(states) == len(states_of(system))

    def span(code: Code) -> tuple[int, int]:
        if not whole:
            return -(1 << 61), 1 << 61
        try:
            worth = [evaluate(system, code, state) for state in states]
        except (ZeroDivisionError, ValueError):
            return -(1 << 61), 1 << 61
        return min(worth), max(worth)

    return Fold(system.variables, names, span)


def folded(fold: Fold, rule: Rule) -> Rule:
    guard, faults, updates = fold.rule(rule.guard, rule.faults, rule.updates)
    return replace(rule, guard=guard, faults=faults, updates=updates)


def outcome(system: System, rule: Rule, state: State) -> object:
    """Return the state after a rule, what it breaks, or nothing."""
    if not evaluate(system, rule.guard, state):
        return None
    fault = fault_of(system, rule, state)
    return taken(system, rule, state) if fault is None else (rule.faults[fault].site, rule.faults[fault].why)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(systems(most=3), st.frozensets(st.integers(0, 2), max_size=1))
def test_a_folded_rule_does_what_it_did(system: System, names: frozenset[int]) -> None:
    """In every state, reached or not: the same step, the same first fault, or neither."""
    fold = fold_of(system, names)
    for rule in system.rules:
        small = folded(fold, rule)
        for state in states_of(system):
            assert outcome(system, small, state) == outcome(system, rule, state)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(systems(most=3), st.integers(0, 2))
def test_a_folded_question_has_the_answers_it_had(system: System, known: int) -> None:
    """Also where it is only asked under a condition, in the states where that holds."""
    fold = fold_of(system)
    for question in system.questions:
        if question.step:
            continue
        given_ = system.rules[known % len(system.rules)].guard
        alone, under = fold.fold(question.bad), fold.fold(question.bad, fold.known(fold.fold(given_)))
        for state in states_of(system):
            answer = bool(evaluate(system, question.bad, state))
            assert bool(evaluate(system, alone, state)) == answer
            if evaluate(system, given_, state):
                assert bool(evaluate(system, under, state)) == answer


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(systems(most=3))
def test_merged_rules_lead_on_as_often(system: System) -> None:
    """A rule for each value of a variable is one rule, and from each state as many steps lead on as before."""
    fold = fold_of(system)
    at = len(system.variables) - 1
    low, size = system.variables[at].low, system.variables[at].size
    each = [
        folded(fold, replace(rule, guard=both(eq(("var", at), const(low + value)), rule.guard)))
        for rule in system.rules
        for value in range(size)
    ]
    merged = fold.merged([rule for rule in each if rule.guard != const(0)], [at])
    for state in states_of(system):
        before, after = (
            sorted(repr(step) for rule in rules if (step := taken(system, rule, state)) is not None)
            for rules in (each, merged)
        )
        assert after == before


ENTRY, OTHER = ("var", 0), ("var", 1)
"""A map's entry, 0 where it is absent and else one more than its value; and a number from 0 to 3."""


@pytest.mark.parametrize(
    ("code", "small"),
    [
        # The entry is there, and is 1.
        (both(op("!=", ENTRY, const(0)), either(eq(ENTRY, const(0)), eq(op("+", ENTRY, const(-1)), const(1)))),
         eq(ENTRY, const(2))),
        # What it is keeps being that.
        (ite(op("!=", ENTRY, const(0)), ENTRY, const(0)), ENTRY),
        # No value leaves the type.
        (either(eq(ENTRY, const(0)), op(">=", op("+", ENTRY, const(-1)), const(0))), const(1)),
        (op("<", OTHER, const(4)), const(1)),
        # One of several.
        (either(eq(ENTRY, const(1)), eq(ENTRY, const(2))), both(op(">=", ENTRY, const(1)), op("<=", ENTRY, const(2)))),
        (either(eq(ENTRY, const(0)), eq(ENTRY, const(2))), op("has", const(5), ENTRY)),
        # What stands before is known behind.
        (both(eq(OTHER, const(2)), eq(ENTRY, OTHER)), both(eq(OTHER, const(2)), eq(ENTRY, const(2)))),
        (both(op("<", OTHER, const(2)), op(">", OTHER, const(0))), eq(OTHER, const(1))),
    ],
)  # fmt: skip
def test_a_code_is_as_small_as_it_can_be(code: Code, small: Code) -> None:
    system = System((Var("entry", 4), Var("other", 4)), ((0, 0),), ())
    assert fold_of(system).fold(code) == small


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 7, 1_000])
def test_a_sum_is_that_of_all_its_parts_and_no_deeper_than_it_must_be(parts: int) -> None:
    """Whoever has many calls pending adds up as many counters: a text of them, each in the next, no reader takes."""
    state = tuple(n % 2 for n in range(parts))
    system = System(tuple(Var(str(n), 2) for n in range(parts)), (state,), ())
    code = total(("var", n) for n in range(parts))
    assert evaluate(system, code, state) == parts // 2
    assert _depth(code) <= 1 + max(parts - 1, 0).bit_length()


def _depth(code: Code) -> int:
    return 1 + max((_depth(part) for part in code[1:] if isinstance(part, tuple)), default=0)
