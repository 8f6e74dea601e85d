"""Properties worth having: each holds, is not written, and would notice a survivor.

Candidates come from the shape of the table and from what is written, and are kept while they hold in every state and
step of a search. Of those
that notice a survivor, the fewest that notice as many as possible are chosen, each is then checked by a search of its
own bounds and, where the solver can, proved for all values of the types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from temper.table import Accepted, Expr, NoValue, Snapshot, Table, describe_expr, evaluate, shape
from temper.verify.causes import causes, enters
from temper.verify.explore.search import Explored, explore
from temper.verify.expressions import walk
from temper.verify.limits import Limits
from temper.verify.properties import asked_alone, states_of
from temper.verify.report import Suggestion, Verdict
from temper.verify.strength.mutants import Kind, Mutant
from temper.verify.strength.templates import Candidate, comes, courses, facts, stronger
from temper.verify.strength.walk import MutantSearch, Quiet
from temper.verify.system.found import Together, search_together
from temper.verify.system.lower import components

# What a suggestion is checked with once more.
CHECK_STATES = 20_000
CHECK_SECONDS = 10.0
RLIMIT = 200_000
# A property that makes this many exceptions says little.
EXCEPTIONS_MAX = 2
# Checking them may drop some: so many rounds of choosing.
ROUNDS_MAX = 4

Survivors = Sequence[tuple[Mutant, MutantSearch | None]]
Suggested = tuple[Suggestion, Expr | None]
"""A property worth having; its condition, if it is an `always`."""


def suggest(
    table: Table, bases: Mapping[str, Quiet], survivors: Survivors, most: int, limits: Limits
) -> list[Suggested]:
    """Return at most so many properties that hold and are not written, those that notice most survivors first."""
    found: list[Suggested] = []
    if most < 1:
        return []
    for name, base in bases.items():
        mine = [pair for pair in survivors if pair[0].entity == name]
        found += _Suggesting(table, base, mine, most, limits).chosen()
        found += [(each, None) for each in _roles(table, name, [m for m, _ in mine if m.kind is Kind.ROLE])]
    found.sort(key=lambda each: (-each[0].kills, len(each[0].text)))
    ends: list[Suggested] = [(each, None) for name in bases for each in _ends(table, bases[name])]
    return [*found, *ends][:most]


@dataclass
class _Suggesting:
    table: Table
    base: Quiet
    survivors: Survivors
    most: int
    limits: Limits
    killed: dict[Candidate, set[int]] = field(default_factory=dict)
    """For each candidate the survivors, by number, that it notices."""

    @property
    def entity(self) -> shape.Entity:
        return self.base.entity

    def chosen(self) -> list[Suggested]:
        """Return the fewest candidates that notice as many survivors as possible."""
        self._group(self.base, range(len(self.survivors)))
        unseen = {
            mutant.field
            for mutant, _ in self.survivors
            if mutant.field is not None and mutant.field not in self.base.cone.fields
        }
        for name in sorted(unseen):
            self._apart(name)
        found: list[Suggested] = []
        for _ in range(ROUNDS_MAX):
            picked = self._picked(self.most - len(found), {question for each, _ in found for question in each.asked})
            checked = self._checked(picked)
            found += [each for each in checked if each is not None]
            dropped = [one for one, each in zip(picked, checked, strict=True) if each is None]
            for one in picked:
                self.killed.pop(one, None)
            if not dropped:
                break
        return found

    def _picked(self, most: int, asked: set[str]) -> list[Candidate]:
        left = {number for number, (mutant, _) in enumerate(self.survivors) if mutant.question not in asked}
        found: list[Candidate] = []
        while left and len(found) < most:
            best = min(
                self.killed,
                key=lambda one: (-len(self.killed[one] & left), not one.meant, one.size, *_order(one)),
                default=None,
            )
            if best is None or not self.killed[best] & left:
                break
            found.append(best)
            left -= self.killed[best]
        return found

    # --- candidates ---------------------------------------------------------------------------------------------------

    def _apart(self, name: str) -> None:
        """Look for candidates about a field that the search of the table does not look at."""
        base = Quiet(_looked_at(self.table, self.entity.name, name), self.entity.name, self.limits)
        base.run()
        numbers = [number for number, (mutant, _) in enumerate(self.survivors) if mutant.field == name]
        searches = {}
        for number in numbers:
            mutant = self.survivors[number][0]
            searches[number] = MutantSearch(_looked_at(mutant.table, self.entity.name, name), base, self.limits)
            searches[number].anew()
        self._group(base, numbers, searches, only=name)

    def _group(
        self,
        base: Quiet,
        numbers: Iterable[int],
        searches: Mapping[int, MutantSearch] | None = None,
        only: str | None = None,
    ) -> None:
        fields = base.cone.fields if only is None else {*base.cone.fields, only}
        candidates = [*self._of_states(base, fields), *self._of_steps(base, fields), *self._of_written(base)]
        if only is not None:
            candidates = [one for one in candidates if only in _fields(one.condition)]
        written = {each.condition for each in asked_alone(self.table).values()}
        candidates = [one for one in candidates if one.condition not in written]
        for number in numbers:
            search = searches[number] if searches is not None else self.survivors[number][1]
            if search is None:
                continue
            states = [now for key, now in search.states_seen.items() if key not in base.states_seen]
            steps = [pair for key, pair in search.steps_seen.items() if key not in base.steps_seen]
            for one in candidates:
                if not self._holds(one, states, steps):
                    self.killed.setdefault(one, set()).add(number)

    def _of_states(self, base: Quiet, fields: Iterable[str]) -> Iterator[Candidate]:
        """Yield what holds in each of some states, all of those that were reached."""
        name = self.entity.name
        by_state: dict[str, list[Snapshot]] = {}
        for now in base.states_seen.values():
            by_state.setdefault(now.state, []).append(now)
        types = {each.name: each.type for each in self.entity.fields}

        def values(field: str) -> set[object]:
            if types[field][0] not in {"int", "one_of"}:
                return set()
            return {now.fields[field] for now in base.states_seen.values()}

        for fact in facts(self.entity, fields, values):
            where = tuple(
                state
                for state in self.entity.states
                if state in by_state and all(_true(self.table, name, fact, now) for now in by_state[state])
            )
            if len(where) == len(by_state):
                yield Candidate(fact, step=False)
            elif len(where) > 0:
                yield Candidate(("implies", ("in_state", where), fact), step=False)

    def _of_steps(self, base: Quiet, fields: Iterable[str]) -> Iterator[Candidate]:
        steps = list(base.steps_seen.values())
        for course in courses(self.entity, fields):
            against = {
                answer.after.state
                for before, answer in steps
                if before is not None and not self._step(course, before, answer)
            }
            if not against:
                yield Candidate(course, step=True)
            elif len(against) <= EXCEPTIONS_MAX:
                yield Candidate(("or", course, ("in_state", self._ordered(against))), step=True)
        yield from comes(
            self.entity, ((before.state, answer.after.state) for before, answer in steps if before is not None)
        )

    def _of_written(self, base: Quiet) -> Iterator[Candidate]:
        """Yield what is written with a part left out, where it holds all the same."""
        states, steps = list(base.states_seen.values()), list(base.steps_seen.values())
        for asked in asked_alone(self.table).values():
            if asked.entity == self.entity.name and asked.index not in base.found.unclear:
                for more in stronger(asked.condition):
                    one = Candidate(more, step=asked.step, meant=True)
                    if self._holds(one, states, steps):
                        yield one

    def _ordered(self, states: set[str]) -> tuple[str, ...]:
        return tuple(state for state in self.entity.states if state in states)

    def _holds(
        self, one: Candidate, states: Iterable[Snapshot], steps: Iterable[tuple[Snapshot | None, Accepted]]
    ) -> bool:
        if one.step:
            return all(before is None or self._step(one.condition, before, answer) for before, answer in steps)
        return all(_true(self.table, self.entity.name, one.condition, now) for now in states)

    def _step(self, condition: Expr, before: Snapshot, answer: Accepted) -> bool:
        try:
            return bool(
                evaluate(self.table, self.entity.name, condition, answer.after, before=before, moves=answer.moves)
            )
        except NoValue:
            return False

    # --- checked ------------------------------------------------------------------------------------------------------

    def _checked(self, picked: Sequence[Candidate]) -> list[Suggested | None]:
        """Return each as a suggestion, if it holds in a search within wider bounds."""
        holding = {one: (verdict, by) for one, verdict, by in checked(self.table, self.entity.name, picked)}
        found: list[Suggested | None] = []
        for one in picked:
            if one not in holding:
                found.append(None)
                continue
            asked = tuple(self.survivors[number][0].question for number in sorted(self.killed[one]))
            text = f"always {describe_expr(one.condition, self.table.records)}"
            found.append((Suggestion(text, self.entity.name, *holding[one], len(asked), asked), one.condition))
        return found


def checked(table: Table, entity: str, picked: Sequence[Candidate]) -> Iterator[tuple[Candidate, Verdict, str]]:
    """Yield those candidates that hold, with what is known of each and by what: no run breaks them, or they are proved.

    What is already written does not help to prove them; that is asked elsewhere.
    """
    known = unbroken(table, entity, picked)
    if not known:
        return
    from temper.verify.symbolic.judge import judge  # The solver takes a fifth of a second to import.

    proved = judge(_asking(table, entity, list(known)), entity, RLIMIT).proved
    for index, (one, holds) in enumerate(known.items()):
        if index in proved:
            yield one, Verdict.PROVED, "induction"
        elif holds:
            yield one, Verdict.HOLDS, "search"


def unbroken(table: Table, entity: str, picked: Sequence[Candidate]) -> dict[Candidate, bool]:
    """Return those candidates that no run of a search breaks, and whether it saw every state within its bounds."""
    if not picked:
        return {}
    explored = _searched(_asking(table, entity, picked), entity)
    found = {}
    for index, one in enumerate(picked):
        key = ("always", index)
        if key not in explored.breaks and key not in explored.suspicions and index not in explored.unclear:
            found[one] = explored.stopped is None
    return found


def _asking(table: Table, entity: str, picked: Sequence[Candidate]) -> Table:
    """Return a table that is asked for the candidates and for nothing else, in their order."""
    table = replace(table, properties=())
    for one in picked:
        table = _plus(table, entity, one.condition, step=one.step)
    return table


def _searched(table: Table, entity: str) -> Explored:
    """Return what a search finds: of an entity among those that it has to do with, or by itself."""
    limits = Limits(states_max=CHECK_STATES, seconds=CHECK_SECONDS)
    names = next(names for names in components(table) if entity in names)
    together = search_together(table, names, limits)
    if isinstance(together, Together):
        return together.explored[entity]
    return explore(table, entity, limits)


def _order(one: Candidate) -> tuple[int, str]:
    """Of two that are as short, the one that says more comes first: `a == b`, then `a < b`, then `a <= b`."""
    loose = sum({"<=": 2, ">=": 2, "!=": 2, "<": 1, ">": 1}.get(part[0], 0) for part in walk(one.condition))
    return loose, describe_expr(one.condition)


def _true(table: Table, entity: str, fact: Expr, now: Snapshot) -> bool:
    try:
        return bool(evaluate(table, entity, fact, now))
    except NoValue:
        return False


def _fields(e: Expr) -> set[str]:
    return {part[1] for part in walk(e) if part[0] == "field"}


def _plus(table: Table, entity: str, condition: Expr, *, step: bool) -> Table:
    text = f"always {describe_expr(condition, table.records)}"
    added = shape.Always(f"{entity}/suggested", text, entity, condition, step, step)
    return replace(table, properties=(*table.properties, added))


def _looked_at(table: Table, entity: str, name: str) -> Table:
    """Return a table whose search looks at a field, as it would if a property spoke of it."""
    e: Expr = ("field", name)
    return _plus(table, entity, ("==", e, e), step=False)


# --- people, and ends -------------------------------------------------------------------------------------------------


def _roles(table: Table, name: str, survivors: Sequence[Mutant]) -> Iterator[Suggestion]:
    """Yield `never R enters S` where nothing leads there by a role, but would if it could take one action more."""
    entity = table.entities[name]
    found: dict[tuple[str, str], list[str]] = {}
    for mutant in survivors:
        new = mutant.table.entities[name].actions[mutant.action or ""]
        for role in table.roles:
            mine, theirs = causes(table, role.name), causes(mutant.table, role.name)
            for state in dict.fromkeys(case.to for case in new.cases if case.to is not None):
                could = enters(mutant.table, mutant.table.entities[name], (state,), theirs)
                if could and not enters(table, entity, (state,), mine):
                    found.setdefault((role.name, state), []).append(mutant.question)
    for (role_name, state), asked in found.items():
        yield Suggestion(f"never {role_name} enters {state}", name, Verdict.PROVED, "table", len(asked), tuple(asked))


def _ends(table: Table, base: Quiet) -> Iterator[Suggestion]:
    """Yield `can reach` for the final states of which no property says so."""
    entity = base.entity
    said = {
        state
        for each in table.properties
        if isinstance(each, shape.CanReach)
        for state in states_of(table, each, each.states).get(entity.name, ())
    }
    missing = [state for state in entity.final if state not in said and ("state", state) in base.found.reached]
    if missing:
        yield Suggestion(f"can reach {', '.join(missing)}", entity.name, Verdict.PROVED, "search", 0)
