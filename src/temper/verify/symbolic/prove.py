"""Who proves a property: induction, then k-induction, then mined facts, then property-directed reachability.

The first that proves it wins, and hands over a certificate. Each has a limit in the solver's own units of work, so
that a verdict is the same on every machine. None of them ever says *broken*: what an induction can't show may be true
all the same, and the formulas allow more than real runs do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import z3

from temper.table import Expr, Snapshot, Table, shape
from temper.verify.expressions import FALSE, TRUE, in_one_state, names_in, without_lets
from temper.verify.properties import Asked
from temper.verify.symbolic.algebra import Certificate
from temper.verify.symbolic.frames import Frames, Move
from temper.verify.symbolic.invariants import Believed, about_state, inductive
from temper.verify.symbolic.mine import false_in, mine
from temper.verify.symbolic.paths import Path
from temper.verify.symbolic.samples import sample
from temper.verify.symbolic.solve import impossible, needed, work
from temper.verify.symbolic.spacer import Spacer
from temper.verify.symbolic.terms import Term, Terms

Fact: TypeAlias = tuple[str, Expr]

INDUCTION, K_INDUCTION, MINED, SPACER = "induction", "k-induction", "mined invariants", "Spacer"
K_MAX = 4
NO_PROVER = "neither induction, k-induction, mined facts nor Spacer shows it within their limits"


class Prover:
    """Proves properties of one entity's states, from what is known of each state."""

    def __init__(self, terms: Terms, table: Table, entity: shape.Entity, steps: Sequence[Path], rlimit: int) -> None:
        self.terms = terms
        self.table = table
        self.entity = entity
        self.steps = steps
        self.rlimit = rlimit
        self.frames = Frames(terms, table, entity)
        self.why: dict[int, str] = {}
        """Why a property was not proved."""
        self._samples: list[Snapshot] | None = None

    # --- properties of states -----------------------------------------------------------------------------------------

    def prove(self, asked: Sequence[Asked], known: Believed) -> tuple[dict[int, Certificate], Believed]:
        """Return certificates of what is proved, by number, and all that is known of each state in the end."""
        found: dict[int, Certificate] = {}
        left: list[Asked] = []
        for each in asked:
            if self._said(each, known):
                found[each.index] = self._from_facts(each, INDUCTION, known)
            else:
                left.append(each)
        left = [each for each in left if not self._false(each)]
        for each in list(left):
            certificate = self._k_induction(each, known)
            if certificate is not None:
                found[each.index] = certificate
                left.remove(each)
        if left:
            known = self._mined(left, known)
            for each in list(left):
                if self._said(each, known):
                    found[each.index] = self._from_facts(each, MINED, known)
                    left.remove(each)
        for each in left:
            certificate = self._spacer(each, known)
            if certificate is not None:
                found[each.index] = certificate
            else:
                self.why[each.index] = self.terms.budget.why or NO_PROVER
        return found, known

    def _condition(self, asked: Asked) -> Expr:
        return without_lets(asked.condition, names_in(self.table, self.entity))

    def _said(self, asked: Asked, known: Believed) -> bool:
        condition = self._condition(asked)
        return all(
            FALSE in facts or (part := in_one_state(condition, state)) == TRUE or part in facts
            for state, facts in known.items()
        )

    def _false(self, asked: Asked) -> bool:
        """Say whether a sample shows that the formulas do not imply it; then no prover can."""
        if self._samples is None:
            self._samples = sample(self.table, self.entity)
        at = false_in(self.table, self._samples, self._condition(asked))
        if at is not None:
            self.why[asked.index] = (
                f"the guards alone let it be broken in `{at.state}`; whether a run does is the search's to say"
            )
        return at is not None

    def _k_induction(self, asked: Asked, known: Believed) -> Certificate | None:
        condition = self._condition(asked)
        frames = self.frames
        if not about_state(condition):
            return None
        for k in range(2, K_MAX + 1):
            # The base that is new with this k; the shorter ones have been asked.
            for last in range(k) if k == 2 else (k - 1,):
                run = [frames.born(), *(frames.moved(at) for at in range(last))]
                good = [frames.holds(condition, at) for at in range(last)]
                legal = [frames.legal(at) for at in range(last + 1)]
                if not impossible(
                    self.terms, [*run, *legal, *good, z3.Not(frames.holds(condition, last))], self.rlimit
                ):
                    return None
            hard = list(self._k_step(condition, k))
            facts = [frames.all_of(known, at) for at in range(k + 1)]
            if impossible(self.terms, [*hard, *facts], self.rlimit):
                closed = self._closed(hard, lambda: self._around(known, range(k + 1)), {}, known)  # noqa: B023 - at once
                return Certificate(self.entity.name, condition, K_INDUCTION, closed, k)
        return None

    def _k_step(self, condition: Expr, k: int) -> Iterator[Term]:
        frames = self.frames
        yield from (frames.legal(at) for at in range(k + 1))
        yield from (frames.moved(at) for at in range(k))
        yield from (frames.holds(condition, at) for at in range(k))
        yield from (frames.differ(one, other) for one in range(k + 1) for other in range(one))
        yield z3.Not(frames.holds(condition, k))

    def _mined(self, left: Sequence[Asked], known: Believed) -> Believed:
        assert self._samples is not None, "samples come before what is mined from them"
        guesses = mine(self.table, self.entity, self._samples)
        believed: Believed = {}
        for state, facts in known.items():
            wanted = [in_one_state(self._condition(each), state) for each in left]
            more = [e for e in (*wanted, *guesses.get(state, ())) if e not in facts and e != TRUE and about_state(e)]
            believed[state] = [*facts, *more]
        return inductive(self.terms, self.steps, believed, self.rlimit)

    def _spacer(self, asked: Asked, known: Believed) -> Certificate | None:
        condition = self._condition(asked)
        if not about_state(condition):
            return None
        if self.terms.budget.spent:
            return None
        spacer = Spacer(self.table, self.entity, self.terms.budget.one)
        found = spacer.prove(condition)
        self.terms.budget.spend(work(spacer.terms))
        if found is None:
            return None
        both = {
            state: list(dict.fromkeys((*found.get(state, ()), *known.get(state, ())))) for state in self.entity.states
        }
        goal = [self.frames.legal(0), z3.Not(self.frames.holds(condition, 0))]
        facts = self._closed(goal, lambda: self._others(both, {}), {}, both)
        return Certificate(self.entity.name, condition, SPACER, facts)

    # --- properties of steps ------------------------------------------------------------------------------------------

    def prove_step(self, asked: Asked, known: Believed) -> Certificate | None:
        """Return a certificate for a property of each step, from what is known before it and after."""
        frames, terms = self.frames, self.terms
        condition = self._condition(asked)

        def breaking(moves: Sequence[Move]) -> Term:
            return terms.either(
                terms.both([move.holds, z3.Not(terms.term(condition, move.path.scene_after()))]) for move in moves
            )

        later = [frames.legal(0), frames.legal(1), breaking(frames.moves(0))]
        core = needed(terms, later, lambda: self._around(known, (0, 1)), self.rlimit)
        if core is None:
            return None
        wanted: dict[str, list[Expr]] = {}
        self._add(wanted, core, known)
        if not asked.reads_before:
            first = [frames.legal(0), breaking(frames.births())]
            core = needed(terms, first, lambda: self._around(known, (0,)), self.rlimit)
            if core is None:
                return None
            self._add(wanted, core, known)
        facts = self._closed([], dict, wanted, known)
        return Certificate(self.entity.name, condition, INDUCTION, facts, step=True, reads_before=asked.reads_before)

    def _around(self, known: Believed, moments: Iterable[int]) -> dict[Fact, Term]:
        """Return each fact as it is known at several moments."""
        at = list(moments)
        return {
            (state, e): self.terms.both(self.frames.fact(state, e, moment) for moment in at)
            for state, facts in known.items()
            for e in facts
        }

    # --- as few facts as will do --------------------------------------------------------------------------------------

    def _from_facts(self, asked: Asked, by: str, known: Believed) -> Certificate:
        condition = self._condition(asked)
        wanted: dict[str, list[Expr]] = {}
        for state, facts in known.items():
            part = in_one_state(condition, state)
            if part != TRUE:
                wanted[state] = [part if part in facts else FALSE]
        return Certificate(self.entity.name, condition, by, self._closed([], dict, wanted, known))

    def _closed(
        self,
        goal: Sequence[Term],
        optional: Callable[[], Mapping[Fact, Term]],
        wanted: dict[str, list[Expr]],
        known: Believed,
    ) -> dict[str, tuple[Expr, ...]]:
        """Return facts that make the goal impossible, with the wanted ones, and are kept by each step together."""
        frames, terms = self.frames, self.terms
        if goal:
            self._add(wanted, needed(terms, [*goal, frames.all_of(wanted, 0)], optional, self.rlimit), known)
        while any(wanted.values()):
            lost = z3.Not(frames.all_of(wanted, 1))
            step = [frames.legal(0), frames.all_of(wanted, 0), frames.moved(0), frames.legal(1), lost]
            core = needed(terms, step, lambda: self._others(known, wanted), self.rlimit)
            if core == []:
                break
            self._add(wanted, core, known)
            if core is None:
                break
        return {state: tuple(facts) for state, facts in wanted.items() if facts}

    def _others(self, known: Believed, wanted: Believed) -> dict[Fact, Term]:
        return {
            (state, e): self.frames.fact(state, e, 0)
            for state, facts in known.items()
            for e in facts
            if e not in wanted.get(state, ())
        }

    @staticmethod
    def _add(wanted: dict[str, list[Expr]], core: list[Fact] | None, known: Believed) -> None:
        """Add what is needed; where the solver could not say what, everything that is known."""
        pairs = [(state, e) for state, facts in known.items() for e in facts] if core is None else [*core]
        for pair in pairs:
            state, e = pair
            if e not in wanted.setdefault(state, []):
                wanted[state].append(e)
