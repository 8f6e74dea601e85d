"""One question to the solver, with a limit that is the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

import z3

from temper.verify.symbolic.algebra import Query
from temper.verify.symbolic.budget import Budget
from temper.verify.symbolic.terms import Term, Terms

_Key = TypeVar("_Key", bound=Hashable)

# The solver's core answers nearly every question, one after the other, in less than half of the time that its
# strategies take to get ready for each. What it has not answered after so much work, which is three times what any
# question about apps/ took it, or says that it can't, is asked of the strategies.
PLAIN_MAX = 50_000


class Found(Enum):
    """The solver's answer."""

    NONE = "none"
    """There is no such state: certain."""
    SOME = "some"
    """There is one, unless something that it rests on was left open."""
    UNKNOWN = "unknown"


def search(terms: Terms, facts: Sequence[Term], rlimit: int, name: str = "") -> tuple[Found, z3.ModelRef | None]:
    """Return whether the facts can hold together, and a model if they can.

    What has a name is kept for whoever asked for the questions in writing.
    """
    core = terms.core
    core.push()
    try:
        found, model = _searched(terms, core, facts, min(rlimit, PLAIN_MAX), name)
    finally:
        core.pop()
    if found is Found.UNKNOWN:
        return _searched(terms, z3.Solver(ctx=terms.context), facts, rlimit, name, last=True)
    return found, model


def _searched(
    terms: Terms, solver: z3.Solver, facts: Sequence[Term], rlimit: int, name: str, *, last: bool = False
) -> tuple[Found, z3.ModelRef | None]:
    _give(terms, solver, facts, rlimit)
    answer = _answer(terms, solver)
    if name and terms.queries is not None and (last or answer != z3.unknown):
        terms.queries.append(_written(solver, name, str(answer)))
    if answer == z3.unsat:
        return Found.NONE, None
    return (Found.SOME, solver.model()) if answer == z3.sat else (Found.UNKNOWN, None)


def impossible(terms: Terms, facts: Sequence[Term], rlimit: int, name: str = "") -> bool:
    """Say whether the facts certainly can't hold together."""
    return search(terms, facts, rlimit, name)[0] is Found.NONE


def needed(
    terms: Terms, facts: Sequence[Term], optional: Callable[[], Mapping[_Key, Term]], rlimit: int
) -> list[_Key] | None:
    """Return those of the optional facts without which the others may hold together; `None` if they may anyway.

    The optional ones are made if the others alone do not exclude each other, which they often do. Short ones are
    needed rather than long ones: the solver keeps what it was given first.
    """
    if impossible(terms, facts, rlimit):
        return []
    found = dict(sorted(optional().items(), key=lambda pair: len(str(pair[0]))))
    marks = {key: z3.Bool(f"mark {number}", terms.context) for number, key in enumerate(found)}
    guarded = [terms.implies(marks[key], fact) for key, fact in found.items()]
    solver = z3.Solver(ctx=terms.context)
    _give(terms, solver, [*facts, *guarded], rlimit)
    solver.set("core.minimize", True)
    if _answer(terms, solver, *marks.values()) != z3.unsat:
        return None
    core = {mark.get_id() for mark in solver.unsat_core()}
    return [key for key, mark in marks.items() if mark.get_id() in core]


class Asking:
    """Many questions about the same facts: these are given once."""

    def __init__(self, terms: Terms, budget: Budget) -> None:
        self.terms = terms
        self.budget = budget
        self.solver = z3.Solver(ctx=terms.context)
        self.facts: list[Term] = []

    def add(self, facts: Sequence[Term], asked: Sequence[Term]) -> None:
        """Give facts, with the axioms about what they and the questions speak of."""
        for fact in (*facts, *self.terms.axioms_of([*facts, *asked])):
            z3.Z3_solver_assert(self.terms.context.ref(), self.solver.solver, fact.as_ast())
        self.facts += facts

    def any_of(self, goals: Sequence[Term], marks: Sequence[Term], name: str = "") -> tuple[Found, z3.ModelRef | None]:
        """Return whether one of the goals can hold together with the facts and the marks.

        What has a name is kept for whoever asked for the questions in writing.
        """
        answer = self._check(goals, marks)
        found = Found.NONE if answer == z3.unsat else Found.SOME if answer == z3.sat else Found.UNKNOWN
        model = self.solver.model() if found is Found.SOME else None
        if name and self.terms.queries is not None:
            self.solver.add(*marks)
            self.terms.queries.append(_written(self.solver, name, str(answer)))
        self.solver.pop()
        return found, model

    def core(self, goals: Sequence[Term], marks: Sequence[Term]) -> list[Term] | None:
        """Return the marks with which none of the goals can hold; `None` where one may."""
        self.solver.set("core.minimize", True)
        answer = self._check(goals, marks)
        core = list(self.solver.unsat_core()) if answer == z3.unsat else None
        self.solver.pop()
        return core

    def _check(self, goals: Sequence[Term], marks: Sequence[Term]) -> z3.CheckSatResult:
        self.solver.push()
        self.solver.add(self.terms.either(goals))
        if self.budget.spent:
            return z3.unknown
        self.solver.set("rlimit", self.budget.one)
        before = _units(self.solver)
        answer = heard(self.solver, self.solver.check(*marks))
        self.budget.spend(_units(self.solver) - before)
        return answer


def work(terms: Terms) -> int:
    """Return how much work has been done in a vocabulary's solver so far."""
    return _units(terms.core)


def heard(engine: z3.Solver | z3.Fixedpoint, answer: z3.CheckSatResult) -> z3.CheckSatResult:
    """Return an answer, unless somebody has interrupted it: the solver hears of that alone, and would go on."""
    if answer == z3.unknown and "interrupted" in engine.reason_unknown():
        raise KeyboardInterrupt
    return answer


def _units(solver: z3.Solver) -> int:
    """Return how much work a solver's context has done so far."""
    context = solver.ctx.ref()
    counts = z3.Z3_solver_get_statistics(context, solver.solver)
    z3.Z3_stats_inc_ref(context, counts)
    try:
        # It is the last of them, and this is asked around each question.
        for place in reversed(range(z3.Z3_stats_size(context, counts))):
            if z3.Z3_stats_get_key(context, counts, place) == "rlimit count":
                return int(z3.Z3_stats_get_uint_value(context, counts, place))
        return 0
    finally:
        z3.Z3_stats_dec_ref(context, counts)


def _answer(terms: Terms, solver: z3.Solver, *marks: Term) -> z3.CheckSatResult:
    """Ask, at the cost of what is left for all questions; past that, nothing is known."""
    if terms.budget.spent:
        return z3.unknown
    before = _units(solver)
    answer = heard(solver, solver.check(*marks))
    terms.budget.spend(_units(solver) - before)
    return answer


def _give(terms: Terms, solver: z3.Solver, facts: Sequence[Term], rlimit: int) -> None:
    """Give a solver facts, with the axioms about what they speak of."""
    solver.set("rlimit", min(rlimit, terms.budget.one))
    for fact in (*facts, *terms.axioms_of(facts)):
        # Past the checks of sorts that `add` repeats for each of them; they took as long as the answers.
        z3.Z3_solver_assert(terms.context.ref(), solver.solver, fact.as_ast())


def _written(solver: z3.Solver, name: str, answer: str) -> Query:
    text = solver.to_smt2().replace("(set-info :status unknown)", f"(set-info :status {answer})")
    return Query(name, f"; {name}: {answer}\n{text}", answer)
