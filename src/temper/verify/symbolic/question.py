"""One question to the solver about one commit: what of all that is believed can it break?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import TypeAlias

import z3
from msgspec import Struct
from msgspec.structs import replace

from temper.table import Expr
from temper.verify.expressions import Names
from temper.verify.symbolic.budget import Budget
from temper.verify.symbolic.commits import Commit
from temper.verify.symbolic.facts import Asked, Fact, references, there
from temper.verify.symbolic.invariants import Believed
from temper.verify.symbolic.solve import Asking, Found
from temper.verify.symbolic.terms import Scene, Term, Terms
from temper.verify.symbolic.world import Pattern, Population

Lemmas: TypeAlias = Mapping[str, Believed]
# Whoever is named by what is said of others gets it said of them too, so often.
ROUNDS_MAX = 3


class Lemma(Struct, frozen=True):
    """What an entity's own proofs have shown of a state."""

    entity: str
    state: str
    condition: Expr


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
    ) -> None:
        self.commit = commit
        self.terms = commit.base.terms
        self.facts = list(facts)
        self._others: dict[str, Term] = {}
        self.breaks: dict[Fact | int, Term] = {fact: z3.Not(self._after(fact)) for fact in facts}
        """That the commit leaves a fact broken, or (by its number) breaks a property of steps."""
        for asked in steps:
            self.breaks[asked.index] = self._step(asked)
        self.marks: dict[Fact | Lemma, Term] = {}
        """What makes a fact or a lemma count."""
        self._requests = self.terms.fresh("requests", ("bool",))
        plain = [*commit.facts, self.terms.implies(self._requests, self.terms.both(commit.requests))]
        plain += self._meant(lemmas)
        self.asking = Asking(self.terms, budget)
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

    def _mark(self, key: Fact | Lemma) -> Term:
        if key not in self.marks:
            self.marks[key] = self.terms.fresh("mark", ("bool",))
        return self.marks[key]

    def _meant(self, lemmas: Lemmas) -> list[Term]:
        """Say of those who are named what is believed of everybody, until nobody new is named."""
        base, after, table, terms = self.commit.base, self.commit.after, self.commit.base.table, self.terms
        plain: list[Term] = []
        done: dict[str, list[Term]] = {name: [] for name in table.entities}
        patterns: dict[str, Pattern] = {}
        for fact in self.facts:
            if fact[0] is None:
                plain.append(terms.implies(self._mark(fact), holds(base, fact, None)))
        for name, entity in table.entities.items():
            for field, kind in references(entity):
                if (leads := (name, there(table, field, kind))) in self.facts:
                    plain.append(terms.implies(self._mark(leads), base.leads(name, field)))
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
                    patterns[name] = Pattern(base, after, (name,), list(self._said(name, lemmas.get(name, {}))))
                for ref in refs:
                    plain.append(patterns[name].of((ref,)))
                    if entity.uniques or entity.key:
                        for world, other in product((base, after), done[name]):
                            plain.append(world.agree(name, ref, other))
                    done[name].append(ref)
        base.named.closed = True
        for world in (base, after):
            for each in list(world.universals):
                pattern = Pattern(base, after, each.kinds, [each.at])
                for who in product(*(base.named.of(kind) for kind in each.kinds)):
                    plain.append(terms.implies(each.flag, pattern.of(who)))
        return plain

    def _said(self, name: str, lemmas: Mapping[str, Sequence[Expr]]) -> Iterator[Callable[[Sequence[Term]], Term]]:
        """What is said of each entity of a kind: that it is legal, the facts before, the lemmas before and after."""
        base, after, terms = self.commit.base, self.commit.after, self.terms

        def fact_of(fact: Fact) -> Callable[[Sequence[Term]], Term]:
            return lambda refs: terms.implies(self._mark(fact), holds(base, fact, refs[0]))

        def lemma_of(lemma: Lemma, world: Population) -> Callable[[Sequence[Term]], Term]:
            def said(refs: Sequence[Term]) -> Term:
                here = world.state(name, refs[0]) == world.number(name, lemma.state)
                known = terms.term(lemma.condition, world.scene(name, refs[0]))
                return terms.implies(terms.both([self._mark(lemma), here]), known)

            return said

        yield lambda refs: base.legal(name, refs[0])
        yield lambda refs: after.legal(name, refs[0])
        yield from (fact_of(fact) for fact in self.facts if fact[0] == name)
        for state, known in lemmas.items():
            for e, world in product(known, (base, after)):
                yield lemma_of(Lemma(name, state, e), world)

    def broken(self, kept: Sequence[Fact], *, requests: bool, name: str = "") -> list[Fact]:
        """Return those of the facts that the commit can break, while all of them hold before it.

        With `requests`, whoever a request names is there.
        """
        marks = [*self._usable(kept).values(), *([self._requests] if requests else [])]
        goals = [self.breaks[fact] for fact in kept]
        found, model = self.asking.any_of(goals, marks, name)
        if found is Found.NONE:
            return []
        if model is not None:
            fallen = [f for f in kept if z3.is_true(model.eval(self.breaks[f], model_completion=True))]
            if fallen:
                return fallen
        return [fact for fact in kept if self.asking.any_of([self.breaks[fact]], marks)[0] is not Found.NONE]

    def needs(self, goals: Sequence[Fact | int], kept: Sequence[Fact], *, requests: bool) -> list[Fact | Lemma] | None:
        """Return with which of the facts and lemmas the commit breaks none of the goals; `None` if it may."""
        usable = self._usable(kept)
        marks = [*usable.values(), *([self._requests] if requests else [])]
        core = self.asking.core([self.breaks[goal] for goal in goals], marks)
        if core is None:
            return None
        found = {mark.get_id() for mark in core}
        return [key for key, mark in usable.items() if mark.get_id() in found]

    def _usable(self, kept: Sequence[Fact]) -> dict[Fact | Lemma, Term]:
        wanted = set(kept)
        return {key: mark for key, mark in self.marks.items() if isinstance(key, Lemma) or key in wanted}
