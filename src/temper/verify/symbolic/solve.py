"""One question to the solver, with a limit that is the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import z3

from temper.verify.symbolic.terms import Term, Terms


class Found(Enum):
    """The solver's answer."""

    NONE = "none"
    """There is no such state: certain."""
    SOME = "some"
    """There is one, unless something that it rests on was left open."""
    UNKNOWN = "unknown"


def search(terms: Terms, facts: Sequence[Term], rlimit: int) -> tuple[Found, z3.ModelRef | None]:
    """Return whether the facts can hold together, and a model if they can."""
    solver = z3.Solver(ctx=terms.context)
    solver.set("rlimit", rlimit)
    for fact in (*facts, *terms.axioms_of(facts)):
        # Past the checks of sorts that `add` repeats for each of them; they took as long as the answers.
        z3.Z3_solver_assert(terms.context.ref(), solver.solver, fact.as_ast())
    answer = solver.check()
    if answer == z3.unsat:
        return Found.NONE, None
    if answer == z3.sat:
        return Found.SOME, solver.model()
    return Found.UNKNOWN, None


def impossible(terms: Terms, facts: Sequence[Term], rlimit: int) -> bool:
    """Say whether the facts certainly can't hold together."""
    return search(terms, facts, rlimit)[0] is Found.NONE
