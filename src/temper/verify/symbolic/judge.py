"""What level 1 says of one entity."""

from __future__ import annotations

from typing import Literal

import z3
from msgspec.structs import replace

from temper.table import Expr, Table, shape
from temper.verify.clauses import NEW, guards
from temper.verify.expressions import FALSE, bounded, in_one_state, names_in, walk, without_lets
from temper.verify.properties import Asked as Property
from temper.verify.properties import asked_alone
from temper.verify.symbolic.algebra import Algebra, Open, Proof, Query
from temper.verify.symbolic.budget import QUESTIONS_MAX, Budget
from temper.verify.symbolic.certificate import Checker, in_words
from temper.verify.symbolic.invariants import Believed, candidates, facts_before, inductive
from temper.verify.symbolic.opened import left_open
from temper.verify.symbolic.paths import Given, Path, case_condition, paths
from temper.verify.symbolic.prove import Prover
from temper.verify.symbolic.solve import Found, impossible, search
from temper.verify.symbolic.terms import Scene, Terms, divisions


def judge(table: Table, name: str, rlimit: int, queries: list[Query] | None = None) -> Algebra:
    """Return what the solver says of one entity, for every value of the real types.

    The questions that the answer rests on are added to `queries`, as they were put to the solver.
    """
    return _Judge(table, table.entities[name], rlimit, queries).run()


def invariants(table: Table, name: str, rlimit: int) -> Algebra:
    """Return what can be proved of one entity alone, and what is known of each of its states; nothing else is asked."""
    return _Judge(table, table.entities[name], rlimit, None).proved()


class _Judge:
    def __init__(self, table: Table, entity: shape.Entity, rlimit: int, queries: list[Query] | None) -> None:
        self.table = table
        self.entity = entity
        self.rlimit = rlimit
        self.budget = Budget(rlimit, rlimit * QUESTIONS_MAX)
        self.terms = Terms(table, budget=self.budget)
        self.terms.queries = self.queries = queries
        self.found = Algebra(entity.name)
        self.steps: list[Path] = []
        self.known: Believed = {}

    def run(self) -> Algebra:
        found = self.found
        for action in self.entity.actions.values():
            self._cases(action)
        self.proved()
        self._reached()
        self._types()
        self._divisions()
        found.opened = set(self.terms.opened)
        found.left_open = left_open(self.table, self.entity.name, self.terms.left_open)
        return found

    def proved(self) -> Algebra:
        """Return what can be proved, and what is known of each state."""
        for action in self.entity.actions.values():
            states = dict.fromkeys(state for case in action.cases for state in case.froms)
            self.steps.extend(paths(self.terms, self.table, self.entity, action, states))
        alone = [asked for asked in asked_alone(self.table).values() if asked.entity == self.entity.name]
        # Proofs are the dearest; what is asked of types and divisions after them rests on what they found.
        put_by = self.rlimit * QUESTIONS_MAX // 4
        self.budget.keep(put_by)
        self._proofs(alone)
        self.budget.keep(-put_by)
        self.found.invariants = self.known
        return self.found

    # --- cases --------------------------------------------------------------------------------------------------------

    def _scene(self, action: shape.Action, state: str) -> tuple[Scene, z3.ExprRef]:
        names = names_in(self.table, self.entity, action)
        key = f"{self.entity.name}.{action.name}/{state}"
        scene = self.terms.stranger(names, key, state)
        params = {p.name: self.terms.given((key, "param", p.name), p.name, p.type) for p in action.params}
        scene = replace(scene, params=params)
        bounds = [self.terms.within(p.type, params[p.name]) for p in action.params]
        return scene, self.terms.both([*bounds, self.terms.bounds(self.entity, scene.fields)])

    def _cases(self, action: shape.Action) -> None:
        """Ask of each case whether it can hold, and whether what stands before it leaves it anything."""
        for position, case in enumerate(action.cases):
            holds: list[Found] = []
            left: list[Found] = []
            for state in case.froms:
                if state == NEW:
                    scene = self._newborn(action)
                    bounds = self.terms.both(self.terms.within(p.type, scene.params[p.name]) for p in action.params)
                else:
                    scene, bounds = self._scene(action, state)
                condition = case_condition(self.terms, self.table, self.entity, action, case, scene)
                name = f"{case.site} in {state}"
                answer, _ = search(self.terms, [bounds, condition], self.rlimit, f"{name} can hold")
                holds.append(answer)
                earlier = self._before(action, position, state)
                if answer is not Found.NONE and earlier:
                    others = [
                        z3.Not(case_condition(self.terms, self.table, self.entity, action, other, scene))
                        for other in earlier
                    ]
                    what = f"{name} is left something"
                    left.append(search(self.terms, [bounds, condition, *others], self.rlimit, what)[0])
                else:
                    left.append(answer)
            if all(answer is Found.NONE for answer in holds):
                self.found.never_hold.append(self._culprit(action, case))
            elif all(answer is Found.NONE for answer in left):
                sites = dict.fromkeys(o.site for s in case.froms for o in self._before(action, position, s))
                self.found.shadowed.append((case.site, tuple(sites)))
            elif Found.UNKNOWN in holds or Found.UNKNOWN in left:
                self.found.unsure.append(case.site)

    def _newborn(self, action: shape.Action) -> Scene:
        first = next(paths(self.terms, self.table, self.entity, action, (NEW,)), None)
        assert first is not None, "a creating action has a path"
        return first.scene

    @staticmethod
    def _before(action: shape.Action, position: int, state: str) -> list[shape.Case]:
        """The cases that take precedence, whoever asks."""
        return [
            other
            for other in action.cases[:position]
            if state in other.froms and (not other.by or other.by in (action.by, action.cases[position].by))
        ]

    def _culprit(self, action: shape.Action, case: shape.Case) -> str:
        """Return the first guard with which those so far can't hold."""
        state = case.froms[0]
        scene = self._newborn(action) if state == NEW else self._scene(action, state)[0]
        bounds = self.terms.true() if state == NEW else self._scene(action, state)[1]
        held: list[z3.ExprRef] = [bounds]
        for guard in guards(action, case):
            names = names_in(self.table, self.entity, action, case)
            held.append(self.terms.term(guard.condition, replace(scene, names=names, key=f"{scene.key}@{case.site}")))
            if impossible(self.terms, held, self.rlimit):
                return guard.site
        return case.site

    # --- invariants ---------------------------------------------------------------------------------------------------

    def _proofs(self, alone: list[Property]) -> None:
        """Prove what can be proved, and believe no proof whose certificate does not check."""
        states = [each for each in alone if not each.step]
        believed = candidates(self.table, self.entity, [each.condition for each in states], self.entity.states)
        for conditions in believed.values():
            conditions.insert(0, FALSE)
        self.known = inductive(self.terms, self.steps, believed, self.rlimit)
        prover = Prover(self.terms, self.table, self.entity, self.steps, self.rlimit)
        certificates, self.known = prover.prove(states, self.known)
        for asked in alone:
            if asked.step:
                certificate = prover.prove_step(asked, self.known)
                if certificate is not None:
                    certificates[asked.index] = certificate
        self.found.open_why = prover.why
        if not certificates:
            return
        # What was found is checked in any case.
        checker = Checker(self.table, self.entity.name, self.rlimit, self.queries)
        names = names_in(self.table, self.entity)
        for asked in alone:
            certificate = certificates.get(asked.index)
            if certificate is None:
                continue
            refusal = checker.refusal(certificate, asked.site)
            if refusal is not None:
                self.found.open_why[asked.index] = (
                    f"a proof by {certificate.by} was found, but its certificate does not check ({refusal})"
                )
                continue
            condition = without_lets(asked.condition, names)
            itself = [in_one_state(condition, state) for state in self.entity.states]
            words = in_words(certificate, self.table, itself)
            self.found.proofs[asked.index] = Proof(certificate.by, certificate.k, words, certificate)

    def _facts(self, path: Path) -> list[z3.ExprRef]:
        return [path.condition, *facts_before(self.terms, path, self.known)]

    def _reached(self) -> None:
        self.found.unreachable = [state for state, known in self.known.items() if FALSE in known]
        possible: dict[str, bool] = {}
        for path in self.steps:
            for site in path.site.split("+"):
                if not possible.get(site, False):
                    name = f"{path.site} from {path.before} can be taken"
                    possible[site] = not impossible(self.terms, self._facts(path), self.rlimit, name)
        blamed = {*self.found.never_hold, *(site for site, _ in self.found.shadowed)}
        self.found.never_taken = [
            case.site
            for action in self.entity.actions.values()
            for case in action.cases
            if not possible.get(case.site, False)
            and case.site not in blamed
            and not any(guard.site in blamed for guard in guards(action, case))
        ]

    # --- types --------------------------------------------------------------------------------------------------------

    def _types(self) -> None:
        open_sites: dict[str, Given] = {}
        sites: set[str] = set()
        for path in self.steps:
            for given in path.given:
                if not bounded(given.type, self.table):
                    continue
                sites.add(given.site)
                if given.site not in open_sites and not self._stays(path, given):
                    open_sites[given.site] = given
        self.found.may_leave = [Open(each.site, each.what, each.expr) for each in open_sites.values()]
        self.found.stays = len(sites)

    def _stays(self, path: Path, given: Given) -> bool:
        if given.expr[0] == "lit":
            return True  # The checker has looked at what is written down.
        if not self.terms.whole(given.type):
            return given.expr[0] in {"param", "field"} and self._same_type(given)
        outside = z3.Not(self.terms.within(given.type, self.terms.term(given.expr, given.scene)))
        name = f"{given.what.strip('`')} at {given.site} from {path.before} leaves its type"
        if impossible(self.terms, [given.under, outside], self.rlimit, name):
            return True
        facts = [given.under, *facts_before(self.terms, path, self.known), outside]
        return impossible(self.terms, facts, self.rlimit, f"{name} with what is known")

    def _same_type(self, given: Given) -> bool:
        """Say whether a value is passed on as it is, from a place of the same type."""
        kind, name = given.expr
        if kind == "param":
            return given.scene.names.params[name] == given.type
        return any(each.name == name and each.type == given.type for each in self.entity.fields)

    def _divisions(self) -> None:
        open_sites: dict[str, None] = {}
        sites: set[str] = set()
        for path in self.steps:
            for asked in path.asked:
                expr = without_lets(asked.expr, asked.scene.names)
                if not any(part[0] in {"//", "%"} for part in walk(expr)):
                    continue
                sites.add(asked.site)
                for divisor, under in divisions(expr):
                    if divisor[0] == "lit":
                        continue
                    if divisor == ("var", ""):
                        open_sites.setdefault(asked.site)
                        continue
                    terms = [self.terms.term(e, asked.scene) for e in under]
                    zero = self.terms.term(divisor, asked.scene) == 0
                    facts = [asked.under, *facts_before(self.terms, path, self.known), *terms, zero]
                    if not impossible(
                        self.terms, facts, self.rlimit, f"{asked.site} from {path.before} divides by zero"
                    ):
                        open_sites.setdefault(asked.site)
        self.found.may_divide = list(open_sites)
        self.found.divides = len(sites)


Strength = Literal["stronger", "weaker", "same", "different", "unknown"]


def compare_guards(old: Expr, new: Expr, table: Table, entity: str, action: str) -> Strength:
    """Return how a guard has changed: `new` is stronger if it admits less than `old`, for every value of the types."""
    terms = Terms(table)
    found = table.entities[entity]
    names = names_in(table, found, found.actions[action])
    state = terms.given(("state",), "state", ("int", None, None))
    scene = terms.stranger(names, "guard", state)
    params = {p.name: terms.given(("param", p.name), p.name, p.type) for p in found.actions[action].params}
    scene = replace(scene, params=params)
    try:
        before, after = terms.term(old, scene), terms.term(new, scene)
    except (AssertionError, KeyError, StopIteration):
        return "unknown"  # One of them speaks of what this table does not have.
    bounds = terms.both(
        [
            terms.bounds(found, scene.fields),
            *(terms.within(p.type, params[p.name]) for p in found.actions[action].params),
            state >= 0,
            state <= len(found.states),
        ]
    )
    admits_more, _ = search(terms, [bounds, after, z3.Not(before)], RLIMIT)
    admits_less, _ = search(terms, [bounds, before, z3.Not(after)], RLIMIT)
    none = (admits_more is Found.NONE, admits_less is Found.NONE)
    if none == (True, True):
        return "same"
    # A model means something only where nothing was left open.
    if terms.opened or Found.UNKNOWN in {admits_more, admits_less}:
        return "unknown"
    return "stronger" if none == (True, False) else "weaker" if none == (False, True) else "different"


RLIMIT = 2_000_000
