"""Properties that speak of several entities, proved of populations of any size.

An invariant is made of facts, each of every entity of a kind or of the whole: the properties themselves, that
references lead somewhere, and what the guards and the properties say of each state. All are believed at first; one
that some commit can break, while all that is still believed holds before it, is dropped, until no more falls
(Houdini). What each entity's own proofs have shown is used where that alone does not do.

As everywhere in level 1 more is possible in the formulas than in runs, so that this says *proved* or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TypeAlias

import z3

from temper.table import Expr, Table, Type, describe_expr, shape
from temper.verify.clauses import guards
from temper.verify.expressions import COMPARISONS, Names, conjuncts, names_in, type_of, walk, without_lets
from temper.verify.properties import asked_alone
from temper.verify.symbolic.algebra import JointCertificate, Proof
from temper.verify.symbolic.budget import Budget
from temper.verify.symbolic.commits import Commit, TooMuch, commits
from temper.verify.symbolic.invariants import Believed
from temper.verify.symbolic.solve import Asking, Found
from temper.verify.symbolic.terms import Scene, Term, Terms
from temper.verify.symbolic.world import After, Before, Empty, Pattern, Population

Fact: TypeAlias = tuple[str | None, Expr]
"""What holds of every entity of a kind, or (`None`) of the whole."""
Lemmas: TypeAlias = Mapping[str, Believed]

# What is guessed at, at most: a page of a blueprint stays far below it.
FACTS_MAX = 160
ROUNDS_MAX = 3
INDUCTION, MINED = "induction", "mined invariants"
_SAID_OF_STATES = frozenset(
    """
    lit none some value to_decimal field let id this read read_in not and or implies if == != < <= > >= in ?? + - * // %
    concat union minus intersect size min max dot get set list map record neg in_state
    """.split()
)


@dataclass(frozen=True)
class Asked:
    """A property of several entities: of each of a kind, or of the whole."""

    index: int
    entity: str | None
    condition: Expr
    step: bool
    reads_before: bool
    site: str

    @property
    def fact(self) -> Fact:
        return self.entity, self.condition


def asked_together(table: Table, unproved: Iterable[int] = ()) -> list[Asked]:
    """Return the `always` properties that speak of several entities, and those `unproved` of one alone."""
    alone = asked_alone(table)
    found = []
    for index, each in enumerate(table.properties):
        if not isinstance(each, shape.Always):
            continue
        if index in alone:
            one = alone[index]
            if index in unproved:
                found.append(Asked(index, one.entity, one.condition, one.step, one.reads_before, one.site))
            continue
        names = Names(table, table.entities[each.entity] if each.entity is not None else None)
        condition = without_lets(each.condition, names)
        found.append(Asked(index, each.entity, condition, each.step, each.reads_before, each.site))
    return found


def whole(world: Population) -> Scene:
    """Return the scene in which what nobody's own is asked."""
    return Scene(f"{world.key} whole", Names(world.table), "", {}, event=world.key, world=world)


def holds(world: Population, fact: Fact, ref: Term | None) -> Term:
    """Return that a fact holds of an entity, if it is there; or of the whole."""
    entity, condition = fact
    terms = world.terms
    if entity is None:
        return _true(terms, condition, whole(world))
    assert ref is not None, "it is somebody's"
    return terms.implies(world.exists(entity, ref), _true(terms, condition, world.scene(entity, ref)))


def _true(terms: Terms, condition: Expr, scene: Scene) -> Term:
    return terms.both([terms.defined(condition, scene), terms.term(condition, scene)])


class Question:
    """What one commit can break of what is believed."""

    def __init__(
        self,
        commit: Commit,
        facts: Sequence[Fact],
        steps: Sequence[Asked],
        lemmas: Lemmas,
        budget: Budget,
        *,
        requests: bool,
    ) -> None:
        self.commit = commit
        self.terms = commit.base.terms
        self.facts = list(facts)
        self._others: dict[str, Term] = {}
        self.breaks: dict[Fact | int, Term] = {fact: z3.Not(self._after(fact)) for fact in facts}
        """That the commit leaves a fact broken, or (by its number) breaks a property of steps."""
        for asked in steps:
            self.breaks[asked.index] = self._step(asked)
        hypotheses: dict[Fact, list[Term]] = {fact: [] for fact in facts}
        known: dict[tuple[str, str, Expr], list[Term]] = {}
        plain = [*commit.facts, *(commit.requests if requests else ())]
        plain += self._meant(hypotheses, known, lemmas)
        self.asking = Asking(self.terms, budget)
        self.marks: dict[object, Term] = {}
        for key, said in (*hypotheses.items(), *known.items()):
            mark = self.marks[key] = self.terms.fresh("mark", ("bool",))
            plain.append(self.terms.implies(mark, self.terms.both(said)))
        self.asking.add([*plain, *commit.base.facts, *commit.after.facts], [*self.breaks.values()])

    def _other(self, entity: str | None) -> Term | None:
        """Return an arbitrary entity of a kind: that of which something does not hold any more."""
        if entity is None:
            return None
        if entity not in self._others:
            self._others[entity] = self.terms.fresh(f"any_{entity}", ("ref", entity))
        return self._others[entity]

    def _after(self, fact: Fact) -> Term:
        return holds(self.commit.after, fact, self._other(fact[0]))

    def _step(self, asked: Asked) -> Term:
        base, after, terms = self.commit.base, self.commit.after, self.terms
        if asked.entity is None:
            scene = replace(whole(after), before=whole(base))
            return z3.Not(_true(terms, asked.condition, scene))
        ref = self._other(asked.entity)
        scene = replace(after.scene(asked.entity, ref), before=base.scene(asked.entity, ref))
        scene = replace(scene, key=f"{scene.key} step")
        there = [after.exists(asked.entity, ref)]
        if asked.reads_before:
            there.append(base.exists(asked.entity, ref))
        return terms.both([*there, z3.Not(_true(terms, asked.condition, scene))])

    def _meant(
        self,
        hypotheses: dict[Fact, list[Term]],
        known: dict[tuple[str, str, Expr], list[Term]],
        lemmas: Lemmas,
    ) -> list[Term]:
        """Say of those who are named what is believed of everybody, until nobody new is named."""
        base, after, table = self.commit.base, self.commit.after, self.commit.base.table
        plain: list[Term] = []
        done: dict[str, list[Term]] = {name: [] for name in table.entities}
        patterns: dict[str, _Patterns] = {}
        for fact in self.facts:
            if fact[0] is None:
                hypotheses[fact].append(holds(base, fact, None))
        for _ in range(ROUNDS_MAX):
            new = {
                name: [ref for ref in base.named.of(name) if not any(ref.eq(other) for other in done[name])]
                for name in table.entities
            }
            if not any(new.values()):
                break
            for name, refs in new.items():
                entity = table.entities[name]
                if refs and name not in patterns:
                    patterns[name] = _Patterns(base, after, name, self.facts, lemmas.get(name, {}))
                for ref in refs:
                    said = patterns[name]
                    plain.append(said.legal.of((ref,)))
                    if entity.uniques or entity.key:
                        for world, other in product((base, after), done[name]):
                            plain.append(world.agree(name, ref, other))
                    done[name].append(ref)
                    for fact, pattern in said.facts.items():
                        hypotheses[fact].append(pattern.of((ref,)))
                    for key, pattern in said.lemmas.items():
                        known.setdefault(key, []).append(pattern.of((ref,)))
        base.named.closed = True
        for world in (base, after):
            for each in list(world.universals):
                pattern = Pattern(base, after, each.kinds, each.at)
                for who in product(*(base.named.of(kind) for kind in each.kinds)):
                    plain.append(self.terms.implies(each.flag, pattern.of(who)))
        return plain

    def broken(self, kept: Sequence[Fact]) -> list[Fact]:
        """Return those of the facts that the commit can break, while all of them hold before it."""
        marks = [self.marks[key] for key in self.marks if key in set(kept) or (isinstance(key, tuple) and len(key) == 3)]
        goals = [self.breaks[fact] for fact in kept]
        found, model = self.asking.any_of(goals, marks)
        if found is Found.NONE:
            return []
        if model is not None:
            fallen = [f for f in kept if z3.is_true(model.eval(self.breaks[f], model_completion=True))]
            if fallen:
                return fallen
        return [fact for fact in kept if self.asking.any_of([self.breaks[fact]], marks)[0] is not Found.NONE]

    def needs(self, goals: Sequence[Fact | int], kept: Sequence[Fact]) -> list[object] | None:
        """Return with which of the facts and lemmas the commit breaks none of the goals; `None` if it may."""
        wanted = set(kept)
        usable = {key: mark for key, mark in self.marks.items() if key in wanted or len(key) == 3}  # type: ignore[arg-type]
        core = self.asking.core([self.breaks[goal] for goal in goals], list(usable.values()))
        if core is None:
            return None
        return [key for key, mark in usable.items() if any(mark.eq(one) for one in core)]


class _Patterns:
    """What is said of each entity of a kind: that it is legal, the facts before, and the lemmas before and after."""

    def __init__(
        self, base: Before, after: After, name: str, facts: Sequence[Fact], lemmas: Mapping[str, Sequence[Expr]]
    ) -> None:
        terms = base.terms
        kind = (name,)

        def legal(refs: Sequence[Term]) -> Term:
            return terms.both([base.legal(name, refs[0]), after.legal(name, refs[0])])

        def fact_of(fact: Fact) -> Callable[[Sequence[Term]], Term]:
            return lambda refs: holds(base, fact, refs[0])

        def lemma_of(state: str, e: Expr) -> Callable[[Sequence[Term]], Term]:
            return lambda refs: terms.both(
                terms.implies(
                    world.state(name, refs[0]) == world.number(name, state), terms.term(e, world.scene(name, refs[0]))
                )
                for world in (base, after)
            )

        self.legal = Pattern(base, after, kind, legal)
        self.facts = {fact: Pattern(base, after, kind, fact_of(fact)) for fact in facts if fact[0] == name}
        self.lemmas = {
            (name, state, e): Pattern(base, after, kind, lemma_of(state, e))
            for state, known in lemmas.items()
            for e in known
        }


class Together:
    """Proves what speaks of several entities, from what is known of each alone."""

    def __init__(self, table: Table, lemmas: Lemmas, rlimit: int, budget: Budget) -> None:
        self.table = table
        self.lemmas = lemmas
        self.budget = budget
        self.rlimit = rlimit
        self.why: dict[int, str] = {}
        self.terms = Terms(table)

    def prove(self, asked: Sequence[Asked]) -> dict[int, JointCertificate]:
        """Return certificates of what is proved, by number: without assumptions if that can be, and with few facts."""
        found: dict[int, JointCertificate] = {}
        # Each way is tried where the ones before it did not do: own facts cost time, and the last is an assumption.
        for lemmas, requests in (({}, False), ({}, True), (self.lemmas, False), (self.lemmas, True)):
            left = [each for each in asked if each.index not in found]
            if not left:
                break
            try:
                found |= self._by(left, asked, lemmas, requests)
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
        if self.budget.spent:
            return "over the limit of level 1"
        return "no fact that each commit keeps was found from which it follows"

    def _by(
        self, left: Sequence[Asked], asked: Sequence[Asked], lemmas: Lemmas, requests: bool
    ) -> dict[int, JointCertificate]:
        goals = [each.fact for each in asked if not each.step]
        kept = [fact for fact in candidates(self.table, asked) if self._begins(fact)]
        steps = [each for each in left if each.step]
        questions = [
            Question(commit, kept, steps, lemmas, self.budget, requests=requests)
            for commit in commits(self.terms, self.table)
        ]
        kept = self._kept(questions, kept)
        found = {}
        for each in left:
            if self.budget.spent or (not each.step and each.fact not in kept):
                continue
            closed = self._closed(questions, each, kept)
            if closed is None:
                continue
            facts, used = closed
            by = INDUCTION if all(_plain(self.table, fact, goals) for fact in facts) else MINED
            found[each.index] = JointCertificate(
                each.entity, each.condition, by, tuple(facts), used, requests, each.step, each.reads_before
            )
        return found

    def _begins(self, fact: Fact) -> bool:
        """Say whether a fact holds where there is nothing yet."""
        if fact[0] is not None:
            return True
        world = Empty(self.terms, self.table, "nothing")
        asking = Asking(self.terms, self.budget)
        goal = z3.Not(holds(world, fact, None))
        asking.add(world.facts, [goal])
        return asking.any_of([goal], [])[0] is Found.NONE

    def _kept(self, questions: Sequence[Question], kept: list[Fact]) -> list[Fact]:
        waiting = list(questions)
        while waiting and kept:
            question = waiting.pop(0)
            fallen = question.broken(kept)
            if fallen:
                kept = [fact for fact in kept if fact not in fallen]
                waiting = list(questions)
        return kept

    def _closed(
        self, questions: Sequence[Question], asked: Asked, kept: Sequence[Fact]
    ) -> tuple[list[Fact], dict[str, dict[str, tuple[Expr, ...]]]] | None:
        """Return facts that are kept together, and from which the property follows; and which lemmas that takes."""
        facts: list[Fact] = [] if asked.step else [asked.fact]
        new: list[Fact | int] = [asked.index] if asked.step else [asked.fact]
        used: dict[str, dict[str, list[Expr]]] = {}
        while new:
            goals, new = new, []
            for question in questions:
                core = question.needs(goals, kept)
                if core is None:
                    return None
                for key in core:
                    match key:
                        case (str(entity), str(state), e):
                            known = used.setdefault(entity, {}).setdefault(state, [])
                            known += [e] if e not in known else []
                        case fact if fact not in facts:
                            facts.append(fact)  # type: ignore[arg-type]  # what is no lemma is a fact
                            new.append(fact)  # type: ignore[arg-type]
        return facts, {entity: {s: tuple(es) for s, es in states.items()} for entity, states in used.items()}


# --- what may be so ---------------------------------------------------------------------------------------------------


def candidates(table: Table, asked: Sequence[Asked]) -> list[Fact]:
    """Return what may hold: the properties, that references lead somewhere, and what guards say, state by state."""
    found: dict[Fact, None] = {each.fact: None for each in asked if not each.step}
    for entity in table.entities.values():
        for name, kind in _references(entity):
            found.setdefault((entity.name, there(table, name, kind)))
    for entity in table.entities.values():
        said = dict.fromkeys(_said(table, entity, [each.condition for each in asked if each.entity == entity.name]))
        for state in entity.states:
            for e in said:
                found.setdefault((entity.name, ("implies", ("in_state", (state,)), e)))
    return list(found)[:FACTS_MAX]


def _references(entity: shape.Entity) -> Iterator[tuple[str, Type]]:
    for each in entity.fields:
        if each.type[0] == "ref" or (each.type[0] == "optional" and each.type[1][0] == "ref"):
            yield each.name, each.type


def there(table: Table, name: str, kind: Type) -> Expr:
    """Return that a reference, if it is one, leads somewhere."""
    own: Expr = ("field", name)
    if kind[0] == "ref":
        return ("read_in", own, kind[1], table.entities[kind[1]].states)
    other = kind[1][1]
    leads: Expr = ("read_in", ("value", own), other, table.entities[other].states)
    return ("or", ("==", own, ("none", kind)), leads)


def _said(table: Table, entity: shape.Entity, properties: Sequence[Expr]) -> Iterator[Expr]:
    """What the entity's guards and properties ask of others, and its references' states."""
    conditions = list(properties)
    for action in entity.actions.values():
        for case in action.cases:
            names = names_in(table, entity, action, case)
            conditions += [without_lets(guard.condition, names) for guard in guards(action, case)]
    names = names_in(table, entity)
    for condition in conditions:
        for part in (*conjuncts(condition), *walk(condition)):
            if not _of_states(part) or not any(each[0] in {"read", "read_in"} for each in walk(part)):
                continue
            if part[0] in COMPARISONS and type_of(part[1], names)[0] in {"int", "decimal", "duration", "time"}:
                yield from ((op, part[1], part[2]) for op in ("<", "<=", "==", ">=", ">"))
            elif part[0] in COMPARISONS | {"read_in"} or type_of(part, names) == ("bool",):
                yield part
                yield ("not", part)
    for name, kind in _references(entity):
        if kind[0] == "ref":
            for state in table.entities[kind[1]].states:
                yield ("read_in", ("field", name), kind[1], (state,))
                yield ("not", ("read_in", ("field", name), kind[1], (state,)))
    owned = [name for name, kind in _references(entity) if kind[0] == "ref"]
    yield from (("!=", ("field", a), ("field", b)) for a, b in combinations(owned, 2))


def _of_states(e: Expr) -> bool:
    return all(part[0] in _SAID_OF_STATES for part in walk(e))


def _plain(table: Table, fact: Fact, goals: Sequence[Fact]) -> bool:
    """Say whether a fact is a property, or no more than that a reference leads somewhere."""
    entity, condition = fact
    if fact in goals or entity is None:
        return fact in goals
    return any(condition == there(table, name, kind) for name, kind in _references(table.entities[entity]))


# --- certificates -----------------------------------------------------------------------------------------------------


def refusal(
    table: Table, certificate: JointCertificate, lemmas: Lemmas, rlimit: int, named: list[object] | None = None
) -> str | None:
    """Return the name of the first obligation that a certificate does not meet, asked anew; `None` if it proves.

    `lemmas` are invariants of single entities: whoever gives them answers for them (`certificate.py` asks).
    """
    terms = Terms(table)
    budget = Budget(rlimit, None)
    for entity, states in certificate.lemmas.items():
        if any(e not in lemmas.get(entity, {}).get(state, ()) for state, es in states.items() for e in es):
            return "lemmas"
    facts = list(certificate.facts)
    index = -1
    asked = Asked(
        index, certificate.entity, certificate.condition, certificate.step, certificate.reads_before, ""
    )
    if not certificate.step and asked.fact not in facts:
        return "implication"
    together = Together(table, lemmas, rlimit, budget)
    if not all(together._begins(fact) for fact in facts):
        return "initiation"
    used = {entity: {state: list(es) for state, es in states.items()} for entity, states in certificate.lemmas.items()}
    steps = [asked] if certificate.step else []
    for commit in commits(terms, table):
        question = Question(commit, facts, steps, used, budget, requests=certificate.requests)
        if question.broken(facts):
            return f"consecution of {commit.name}"
        if certificate.step and question.needs([index], facts) is None:
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
            leads = [n for n, kind in _references(table.entities[entity]) if there(table, n, kind) == condition]
            words = f"`{leads[0]}` of each {entity} leads to one" if leads else f"of each {entity}: {words}"
        said.append(words)
    for entity, states in certificate.lemmas.items():
        for state, es in states.items():
            said += [f"of each {entity}: state is {state} implies {describe_expr(e, table.records)}" for e in es]
    if certificate.requests:
        said.append("what a request names is there")
    return tuple(dict.fromkeys(said))


def proof(certificate: JointCertificate, table: Table) -> Proof:
    """Return a proof as the report shows it."""
    return Proof(certificate.by, 1, in_words(certificate, table), certificate)
