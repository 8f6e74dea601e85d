"""One question to the solver, with a limit that is the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

import z3

from temper.verify.symbolic.algebra import Query
from temper.verify.symbolic.terms import Term, Terms

_Key = TypeVar("_Key", bound=Hashable)


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
    solver = _solver(terms, facts, rlimit)
    answer = solver.check()
    if name and terms.queries is not None:
        terms.queries.append(_written(solver, name, str(answer)))
    if answer == z3.unsat:
        return Found.NONE, None
    if answer == z3.sat:
        return Found.SOME, solver.model()
    return Found.UNKNOWN, None


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
    solver = _solver(terms, [*facts, *guarded], rlimit)
    solver.set("core.minimize", True)
    if solver.check(*marks.values()) != z3.unsat:
        return None
    core = {mark.get_id() for mark in solver.unsat_core()}
    return [key for key, mark in marks.items() if mark.get_id() in core]


def _solver(terms: Terms, facts: Sequence[Term], rlimit: int) -> z3.Solver:
    solver = z3.Solver(ctx=terms.context)
    solver.set("rlimit", rlimit)
    for fact in (*facts, *terms.axioms_of(facts)):
        # Past the checks of sorts that `add` repeats for each of them; they took as long as the answers.
        z3.Z3_solver_assert(terms.context.ref(), solver.solver, fact.as_ast())
    return solver


def _written(solver: z3.Solver, name: str, answer: str) -> Query:
    text = solver.to_smt2().replace("(set-info :status unknown)", f"(set-info :status {answer})")
    return Query(name, f"; {name}: {answer}\n{text}", answer)
