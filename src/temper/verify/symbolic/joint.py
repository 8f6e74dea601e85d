"""Properties that speak of several entities, proved of populations of any size.

An invariant is made of facts, each of every entity of a kind or of the whole: the properties themselves, that
references lead somewhere, and what the guards and the properties say of each state. All are believed at first; one
that some commit can break, while all that is still believed holds before it, is dropped, until no more falls
(Houdini). What each entity's own proofs have shown is used where that alone does not do.

As everywhere in level 1 more is possible in the formulas than in runs, so that this says *proved* or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import z3

from temper.table import Expr, Table, describe_expr
from temper.verify.expressions import TRUE
from temper.verify.properties import asked_alone
from temper.verify.symbolic.algebra import Algebra, Certificate, JointCertificate, Proof, Query
from temper.verify.symbolic.budget import QUESTIONS_MAX, Budget
from temper.verify.symbolic.certificate import check
from temper.verify.symbolic.commits import TooMuch, commits
from temper.verify.symbolic.facts import Asked, Fact, asked_together, asks_several, candidates, plain, references, there
from temper.verify.symbolic.judge import invariants
from temper.verify.symbolic.opened import left_open
from temper.verify.symbolic.question import Lemma, Lemmas, Question, holds
from temper.verify.symbolic.solve import Asking, Found
from temper.verify.symbolic.terms import Terms
from temper.verify.symbolic.world import Empty

INDUCTION, MINED = "induction", "mined invariants"


def judge_together(
    table: Table, rlimit: int, queries: list[Query] | None = None, alone: Mapping[str, Algebra] | None = None
) -> Algebra:
    """Return what is proved of properties that speak of several entities, and of those that one alone does not show.

    Beside `proofs` and `open_why` nothing is asked. No proof is believed whose certificate does not check; the
    questions of that check are added to `queries`, as they were put to the solver. `alone` is what was found of each
    entity by itself, where that is known already.
    """
    names = tuple(table.entities)
    found = Algebra(" and ".join(names))
    if not asks_several(table):
        return found
    alone = alone or {name: invariants(table, name, rlimit) for name in names}
    proved = {index for each in alone.values() for index in each.proofs}
    asked = asked_together(table, set(asked_alone(table)) - proved)
    if not asked:
        return found
    lemmas = {name: each.invariants for name, each in alone.items()}
    together = Together(table, lemmas, rlimit, Budget(rlimit, rlimit * QUESTIONS_MAX))
    certificates = together.prove(asked)
    found.open_why = together.why
    sound: dict[str, str | None] = {}
    for index, certificate in certificates.items():
        for name in certificate.lemmas:
            if name not in sound:
                known = {state: tuple(facts) for state, facts in lemmas[name].items()}
                sound[name] = check(table, Certificate(name, TRUE, INDUCTION, known), rlimit)
        bad = next((name for name in certificate.lemmas if sound[name] is not None), None)
        refused = refusal(table, certificate, lemmas, rlimit, queries) if bad is None else f"what is known of {bad}"
        if refused is None:
            found.proofs[index] = Proof(certificate.by, 1, in_words(certificate, table), certificate)
        else:
            why = f"a proof by {certificate.by} was found, but its certificate does not check ({refused})"
            found.open_why[index] = why
    found.opened = together.opened
    found.left_open = left_open(table, None, together.left_open)
    return found


class Together:
    """Proves what speaks of several entities, from what is known of each alone."""

    def __init__(self, table: Table, lemmas: Lemmas, rlimit: int, budget: Budget) -> None:
        self.table = table
        self.lemmas = lemmas
        self.budget = budget
        self.rlimit = rlimit
        self._beginning = Beginning(table, budget)
        self.why: dict[int, str] = {}
        self.opened: set[str] = set()
        self.left_open: dict[Expr, None] = {}
        """What was left open on the way."""

    def prove(self, asked: Sequence[Asked]) -> dict[int, JointCertificate]:
        """Return certificates of what is proved, by number: without assumptions if that can be, and with few facts."""
        found: dict[int, JointCertificate] = {}
        # Each way is tried where the ones before it did not do: to guess costs time, and so does what each knows alone.
        guessed = candidates(self.table, asked)
        goals = [each.fact for each in asked if not each.step]
        few = [fact for fact in guessed if plain(self.table, fact, goals)]
        none: Lemmas = {}
        for facts, lemmas in ((few, none), (guessed, none), (guessed, self.lemmas)):
            left = [each for each in asked if each.index not in found]
            if not left or self.budget.spent:
                break
            try:
                found |= self._by(left, facts, few, lemmas)
            except TooMuch as problem:
                self.why |= {each.index: str(problem) for each in left}
                break
        for each in asked:
            if each.index in found:
                self.why.pop(each.index, None)
            else:
                self.why.setdefault(each.index, self._open())
        return found

    def _open(self) -> str:
        return self.budget.why or "no fact that each commit keeps was found from which it follows"

    def _by(
        self, left: Sequence[Asked], facts: Sequence[Fact], few: Sequence[Fact], lemmas: Lemmas
    ) -> dict[int, JointCertificate]:
        first = [fact for fact in facts if self._beginning.has(fact)]
        steps = [each for each in left if each.step]
        terms = Terms(self.table)
        questions = [Question(commit, first, steps, lemmas, self.budget) for commit in commits(terms, self.table)]
        self.opened |= terms.opened
        self.left_open |= terms.left_open
        found: dict[int, JointCertificate] = {}
        for requests in (False, True):
            kept = self._kept(questions, first, requests)
            for each in left:
                if self.budget.spent or each.index in found or (not each.step and each.fact not in kept):
                    continue
                # Few words rather than many: what was guessed is looked at where the rest does not do.
                plainly = [fact for fact in kept if fact in few]
                closed = self._closed(questions, each, plainly, requests)
                by = INDUCTION if closed is not None else MINED
                closed = closed or self._closed(questions, each, kept, requests)
                if closed is not None:
                    found[each.index] = JointCertificate(
                        each.entity, each.condition, by, tuple(closed[0]), closed[1], requests, each.step,
                        each.reads_before,
                    )  # fmt: skip
        return found

    def _kept(self, questions: Sequence[Question], kept: list[Fact], requests: bool) -> list[Fact]:
        waiting = list(questions)
        while waiting and kept and not self.budget.spent:
            question = waiting.pop(0)
            fallen = question.broken(kept, requests=requests)
            if fallen:
                kept = [fact for fact in kept if fact not in fallen]
                waiting = list(questions)
        return [] if self.budget.spent else kept

    def _closed(
        self, questions: Sequence[Question], asked: Asked, kept: Sequence[Fact], requests: bool
    ) -> tuple[list[Fact], dict[str, dict[str, tuple[Expr, ...]]]] | None:
        """Return facts that are kept together, and from which the property follows; and which lemmas that takes."""
        facts: list[Fact] = [] if asked.step else [asked.fact]
        new: list[Fact | int] = [asked.index] if asked.step else [asked.fact]
        used: dict[str, dict[str, list[Expr]]] = {}
        while new:
            goals, new = new, []
            for question in questions:
                core = question.needs(goals, kept, requests=requests)
                if core is None:
                    return None
                for key in core:
                    if isinstance(key, Lemma):
                        known = used.setdefault(key.entity, {}).setdefault(key.state, [])
                        known += [key.condition] if key.condition not in known else []
                    elif key not in facts:
                        facts.append(key)
                        new.append(key)
        return facts, {entity: {s: tuple(es) for s, es in states.items()} for entity, states in used.items()}


# --- certificates ---


class Beginning:
    """Says which facts hold where there is nothing yet."""

    def __init__(self, table: Table, budget: Budget) -> None:
        self.table = table
        self.budget = budget
        self._terms: Terms | None = None
        self._known: dict[Fact, bool] = {}

    def has(self, fact: Fact) -> bool:
        """Say whether a fact holds there."""
        if fact[0] is not None:
            return True
        if fact not in self._known:
            # One vocabulary for all: to make one takes longer than to answer.
            self._terms = self._terms or Terms(self.table)
            world = Empty(self._terms, self.table, f"nothing {len(self._known)}")
            goal = z3.Not(holds(world, fact, None))
            asking = Asking(world.terms, self.budget)
            asking.add(world.facts, [goal])
            self._known[fact] = asking.any_of([goal], [])[0] is Found.NONE
        return self._known[fact]


def refusal(
    table: Table, certificate: JointCertificate, lemmas: Lemmas, rlimit: int, queries: list[Query] | None = None
) -> str | None:
    """Return the name of the first obligation that a certificate does not meet, asked anew; `None` if it proves.

    `lemmas` are invariants of single entities: whoever gives them answers for them (`certificate.py` asks).
    """
    terms = Terms(table)
    terms.queries = queries
    budget = Budget(rlimit, None)
    for entity, states in certificate.lemmas.items():
        if any(e not in lemmas.get(entity, {}).get(state, ()) for state, es in states.items() for e in es):
            return "lemmas"
    facts = list(certificate.facts)
    index = -1
    asked = Asked(index, certificate.entity, certificate.condition, certificate.step, certificate.reads_before, "")
    if not certificate.step and asked.fact not in facts:
        return "implication"
    beginning = Beginning(table, budget)
    if not all(beginning.has(fact) for fact in facts):
        return "initiation"
    used = {entity: {state: list(es) for state, es in states.items()} for entity, states in certificate.lemmas.items()}
    steps = [asked] if certificate.step else []
    for commit in commits(terms, table):
        question = Question(commit, facts, steps, used, budget)
        if question.broken(facts, requests=certificate.requests, name=f"{commit.name} keeps {len(facts)} facts"):
            return f"consecution of {commit.name}"
        if certificate.step and question.needs([index], facts, requests=certificate.requests) is None:
            return f"each step of {commit.name}"
    return None


def in_words(certificate: JointCertificate, table: Table) -> tuple[str, ...]:
    """Return what a proof rests on in the blueprint's words, the property itself left out."""
    said = []
    for entity, condition in certificate.facts:
        if (entity, condition) == (certificate.entity, certificate.condition) and not certificate.step:
            continue
        words = describe_expr(condition, table.records)
        if entity is not None:
            leads = [n for n, kind in references(table.entities[entity]) if there(table, n, kind) == condition]
            words = f"`{leads[0]}` of each {entity} leads to one" if leads else f"of each {entity}: {words}"
        said.append(words)
    for entity, states in certificate.lemmas.items():
        for state, es in states.items():
            said += [f"of each {entity}: state is {state} implies {describe_expr(e, table.records)}" for e in es]
    if certificate.requests:
        said.append("what a request names is there")
    return tuple(dict.fromkeys(said))
