"""Certificates of proofs, and their check by plain questions.

Whoever proves a property hands over an invariant: facts about each state. Here it is asked again whether they hold at
creation, whether each step keeps them, and whether the property follows. How they were found does not matter, and
nothing of it is used: the check shares the encoding with the provers, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import z3
from msgspec import Struct

from temper.table import Expr, Table, describe_expr
from temper.verify.expressions import FALSE
from temper.verify.symbolic.algebra import Certificate, Query
from temper.verify.symbolic.frames import Frames
from temper.verify.symbolic.solve import impossible
from temper.verify.symbolic.terms import Term, Terms


class Obligation(Struct, frozen=True):
    """A question that must have no model."""

    name: str
    facts: tuple[Term, ...]


def obligations(certificate: Certificate, frames: Frames) -> Iterator[Obligation]:
    """Everything that a certificate owes: the invariant at creation, after each step, and the property from it."""
    facts, k = certificate.facts, certificate.k
    condition = certificate.condition
    invariant = [frames.all_of(facts, at) for at in range(k + 1)]
    legal = [frames.legal(at) for at in range(k + 1)]
    if facts:
        yield Obligation("initiation", (frames.born(), legal[0], z3.Not(invariant[0])))
        step = (legal[0], invariant[0], frames.moved(0), legal[1], z3.Not(invariant[1]))
        yield Obligation("consecution", step)
    if certificate.step:
        yield from _steps(certificate, frames)
    elif k == 1:
        yield Obligation("implication", (legal[0], invariant[0], z3.Not(frames.holds(condition, 0))))
    else:
        # A run that breaks the property first at moment n: at n < k it begins at creation; else k moments before it
        # had the property. One without loops will do, since from equal moments the same can happen.
        for last in range(k):
            run = [frames.born(), *(frames.moved(at) for at in range(last))]
            good = [frames.holds(condition, at) for at in range(last)]
            yield Obligation(f"base_{last}", (*run, *legal[: last + 1], *good, z3.Not(frames.holds(condition, last))))
        run = [frames.moved(at) for at in range(k)]
        good = [frames.holds(condition, at) for at in range(k)]
        apart = [frames.differ(one, other) for one in range(k + 1) for other in range(one)]
        yield Obligation("step", (*legal, *invariant, *run, *good, *apart, z3.Not(frames.holds(condition, k))))


def _steps(certificate: Certificate, frames: Frames) -> Iterator[Obligation]:
    """What is asked of each step: from what is known before it, and of the state after, which is reachable too."""
    if not certificate.reads_before:
        creating = frames.terms.either(
            frames.terms.both([move.holds, z3.Not(frames.terms.term(certificate.condition, move.path.scene_after()))])
            for move in frames.births()
        )
        yield Obligation("first_step", (frames.legal(0), frames.all_of(certificate.facts, 0), creating))
    breaking = frames.terms.either(
        frames.terms.both([move.holds, z3.Not(frames.terms.term(certificate.condition, move.path.scene_after()))])
        for move in frames.moves(0)
    )
    known = [frames.all_of(certificate.facts, at) for at in (0, 1)]
    yield Obligation("each_step", (frames.legal(0), frames.legal(1), *known, breaking))


class Checker:
    """Checks certificates of one entity, in a solver of its own."""

    def __init__(self, table: Table, entity: str, rlimit: int, queries: list[Query] | None = None) -> None:
        terms = Terms(table)
        terms.queries = queries
        self.frames = Frames(terms, table, table.entities[entity])
        self.rlimit = rlimit

    def refusal(self, certificate: Certificate, name: str = "certificate") -> str | None:
        """Return the name of the first obligation that is not met, or `None` where all are."""
        for each in obligations(certificate, self.frames):
            if not impossible(self.frames.terms, each.facts, self.rlimit, f"{name} {each.name}"):
                return each.name
        return None


def check(table: Table, certificate: Certificate, rlimit: int) -> str | None:
    """Return the name of the first obligation that a certificate does not meet, or `None` where it proves."""
    return Checker(table, certificate.entity, rlimit).refusal(certificate)


# --- in words ---------------------------------------------------------------------------------------------------------


def in_words(certificate: Certificate, table: Table, besides: Sequence[Expr] = ()) -> tuple[str, ...]:
    """Return the facts of a certificate in the blueprint's words, those that say the property itself left out."""
    states = table.entities[certificate.entity].states
    by_fact: dict[Expr, list[str]] = {}
    for state in states:
        for e in certificate.facts.get(state, ()):
            by_fact.setdefault(e, []).append(state)
    said = []
    for e, where in by_fact.items():
        if e in besides:
            continue
        if e == FALSE:
            said.append(f"never {' or '.join(where)}")
            continue
        words = describe_expr(e, table.records)
        live = [state for state in states if FALSE not in certificate.facts.get(state, ())]
        everywhere = set(live) <= set(where)
        said.append(words if everywhere else f"state is {', '.join(where)} implies {words}")
    return tuple(said)
