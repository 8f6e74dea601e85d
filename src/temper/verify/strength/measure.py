"""How much the properties and scenarios of a table notice: its mutants, judged one by one, cheapest first.

A mutant is noticed by a scenario that no longer comes out as written, by a property that a run breaks, or by one of the
questions that are always asked (a fault, an outcome without a home, a state that is stuck or not reached any more).
Scenarios are asked first; then one entity alone; then it among the others that it has to do with; then what leads to
what. One that does the same as the table in every state of the search is no mutant, and is not counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from temper.kernel import Entry
from temper.table import Act, Deliver, Event, Fire, Outcome, Snapshot, Table, shape
from temper.verify.clauses import lates
from temper.verify.limits import Limits
from temper.verify.narrow import narrowed as inside
from temper.verify.places import place_of
from temper.verify.report import SCENARIOS, Strength, Survivor
from temper.verify.scenarios import run_scenario
from temper.verify.strength.journals import suggest_from
from temper.verify.strength.mutants import ADDING, SEEN, Kind, Mutant, mutants, sample
from temper.verify.strength.suggest import suggest
from temper.verify.strength.together import Among, Leading, amongs, beyond
from temper.verify.strength.vacuous import vacuous
from temper.verify.strength.walk import Key, MutantSearch, Quiet, Touches, narrowed

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a measurement goes.

    Of more than `mutants` of them, some of each kind are drawn, the same every time. The search of one entity stops at
    `states_max` states, the nearest to the beginning, that of several at `together_max`, and either after
    `mutant_seconds`; after `seconds` what is left is unjudged.
    """

    mutants: int = 200
    states_max: int = 1_500
    together_max: int = 20_000
    mutant_seconds: float = 4.0
    seconds: float = 60.0
    suggestions: int = 8


def measure(
    table: Table,
    bounds: Bounds | None = None,
    progress: Progress | None = None,
    *,
    happened: Iterable[Entry] = (),
) -> Strength:
    """Return how much is noticed, what is not, which properties say nothing, and which would be worth having.

    Of what has `happened`, the entries of a journal, those that have held in all of it are suggested too.
    """
    return _Measure(inside(table).table, bounds or Bounds(), progress or _silent, tuple(happened)).run()


def fates(table: Table, bounds: Bounds | None = None) -> list[tuple[Mutant, str | None]]:
    """Return the mutants that were judged, each with the name of what notices it.

    It is "" if nothing does, and `None` if the mutant does the same as the table.
    """
    judging = _Measure(table, bounds or Bounds(), _silent, ())
    left = judging.judge()
    return [*judging.noticed, *((each, "") for each in left), *((each, None) for each in judging.equivalent)]


def _silent(what: str) -> None:
    """Hear nothing."""


@dataclass
class _Measure:
    table: Table
    bounds: Bounds
    progress: Progress
    happened: tuple[Entry, ...]
    bases: dict[str, Quiet] = field(default_factory=dict)
    amongs: dict[str, Among] = field(default_factory=dict)
    made: int = 0
    noticed: list[tuple[Mutant, str]] = field(default_factory=list)
    """With the name of what notices each."""
    equivalent: list[Mutant] = field(default_factory=list)
    unjudged: int = 0
    _began: float = field(default_factory=time.monotonic)
    _leading: Leading | None = None
    _seen: dict[int, MutantSearch] = field(default_factory=dict)
    _same: set[int] = field(default_factory=set)
    """The mutants that do the same as the table where there is one entity alone."""
    _passing: list[shape.Scenario] = field(default_factory=list)

    def run(self) -> Strength:
        left = self.judge()
        # Two that ask the same are one: what answers the one answers the other.
        asked = {sharp.question: (each, sharp) for each in reversed(left) for sharp in [self._sharpened(each)]}
        pairs = list(reversed(asked.values()))
        survivors = [each for _, each in pairs]
        self.progress("properties that say nothing")
        empty = vacuous(self.table, self.bases)
        self.progress("properties worth having")
        searches = [(each, self._seen.get(id(old))) for old, each in pairs]
        suggested = suggest(self.table, self.bases, searches, self.bounds.suggestions, self._limits())
        suggestions = tuple(each for each, _ in suggested)
        if self.happened:
            self.progress("what has held in the journal")
            suggestions += suggest_from(self.table, self.happened, self.bounds.suggestions, besides=suggested)
        return Strength(
            self.made - (len(left) - len(survivors)), len(self.noticed) + len(survivors), len(self.noticed),
            len(self.equivalent), self.unjudged, time.monotonic() - self._began,
            tuple(self._told(each) for each in survivors), empty, suggestions,
            dict(Counter(name for _, name in self.noticed).most_common()),
        )  # fmt: skip

    def judge(self) -> list[Mutant]:
        """Return the mutants that nothing notices; what became of the others is kept."""
        self.progress("search of the blueprint itself")
        for name in self.table.entities:
            self.bases[name] = Quiet(self.table, name, self._limits())
            self.bases[name].run()
        together = Limits(states_max=self.bounds.together_max, seconds=self.bounds.mutant_seconds)
        self.amongs = amongs(self.table, together)
        self._leading = Leading(self.table, together)
        self._passing = [each for each in self.table.scenarios if run_scenario(self.table, each).passed]
        made = list(mutants(self.table))
        self.made = len(made)
        # Scenarios cost next to nothing: all are asked of them, before the time can run out.
        left = [each for each in sample(made, self.bounds.mutants) if not self._counted(each, self._scenario(each))]
        left = self._sieved(left, "alone", lambda each: self._counted(each, self._alone(each)))
        left = self._sieved(left, "together", lambda each: self._counted(each, self._together(each)))
        return self._sieved(left, "is it one", self._does_the_same)

    def _limits(self) -> Limits:
        return Limits(states_max=self.bounds.states_max, seconds=self.bounds.mutant_seconds * 4)

    def _counted(self, mutant: Mutant, name: str) -> bool:
        """Keep what notices a mutant, if anything does."""
        if name:
            self.noticed.append((mutant, name))
        return bool(name)

    def _sieved(self, found: list[Mutant], what: str, gone: Callable[[Mutant], bool]) -> list[Mutant]:
        """Return those mutants that are not gone; those for which the time is too short are unjudged."""
        left: list[Mutant] = []
        for number, each in enumerate(found):
            if time.monotonic() - self._began > self.bounds.seconds:
                self.unjudged += len(found) - number
                return left
            self.progress(f"mutant {number + 1} of {len(found)}, {what}: {each.what}")
            if not gone(each):
                left.append(each)
        return left

    def _scenario(self, mutant: Mutant) -> str:
        noticed = any(not run_scenario(mutant.table, each).passed for each in self._passing)
        return SCENARIOS if noticed else ""

    def _alone(self, mutant: Mutant) -> str:
        """Return the name of what notices a mutant in a search of its entity alone; "" where nothing does."""
        base = self.bases[mutant.entity]
        limits = Limits(states_max=self.bounds.states_max, seconds=self.bounds.mutant_seconds)
        # A field that nothing looks at is the same in every state of the search, whatever is assigned to it; and one
        # alone shares nothing with anybody.
        if mutant.kind is Kind.UNIQUE or (mutant.field is not None and mutant.field not in base.cone.fields):
            return ""
        search = MutantSearch(mutant.table, base, limits)
        touches = self._touching(mutant)
        if search.comparable:
            search.beside(touches)
            if search.noticed is not None:
                return self._alone_told(mutant, search.noticed)
            if not search.differences:
                # A role that does not matter to what happens is drawn only once: that another may act is not seen.
                if mutant.kind is not Kind.ROLE:
                    self._same.add(id(mutant))
                return ""
        if not (search.comparable and self._only_adds(mutant)):
            search = MutantSearch(mutant.table, base, limits)
            search.anew()
            if search.noticed is not None:
                return self._alone_told(mutant, search.noticed)
            if not search.differs(touches):
                self._same.add(id(mutant))
                return ""
        self._seen[id(mutant)] = search
        return ""

    def _alone_told(self, mutant: Mutant, key: Key) -> str:
        """Return what notices a mutant alone, where it is not for the others to say: they may move it, and be read."""
        if self.amongs[mutant.entity].found is not None and key[0] in {"stuck", "lost", "state", "case"}:
            return ""
        return self._name(key)

    def _together(self, mutant: Mutant) -> str:
        """Return the name of what notices a mutant among others, or in runs that never get where they should."""
        assert self._leading is not None, "the table is looked at before its mutants"
        among = self.amongs[mutant.entity]
        key = among.noticed(mutant.table)
        if key is not None:
            return self._name(key)
        if id(mutant) in self._same and among.found is None and among.alone:
            return ""
        number = self._leading.noticed(mutant.table)
        return "" if number is None else self.table.properties[number].name

    def _does_the_same(self, mutant: Mutant) -> bool:
        """Say whether a mutant is none, and keep it: it makes no difference that anything could be asked about."""
        among = self.amongs[mutant.entity]
        if among.found is None:
            same = id(mutant) in self._same and (among.alone or not beyond(self.table.entities[mutant.entity]))
        elif mutant.kind not in SEEN or (mutant.field is not None and not among.looks_at(mutant.entity, mutant.field)):
            same = False
        else:
            same = among.alike(mutant.table)
        if same:
            self.equivalent.append(mutant)
        return same

    @staticmethod
    def _only_adds(mutant: Mutant) -> bool:
        """Say whether whatever the table can do, the mutant can: no case stands before another."""
        if mutant.kind not in ADDING or mutant.action is None:
            return False
        return len(mutant.table.entities[mutant.entity].actions[mutant.action].cases) == 1

    def _touching(self, mutant: Mutant) -> Touches:
        """Return whether an event can have to do with what was changed."""
        entity = mutant.table.entities[mutant.entity]
        name = mutant.action
        if name is None or any(place.route is not None for place in entity.places):
            return lambda now, event: True
        leading = {name}
        for late in lates(entity):
            if late.handler is not None and late.handler.action == name:
                leading |= set(late.actions)
        fires = {timer.site: timer.handler.action for place in entity.places for timer in place.timers}

        def touches(now: Snapshot | None, event: Event) -> bool:
            if now is not None and mutant.states is not None and now.state not in mutant.states:
                return False
            match event:
                case Act() | Deliver():
                    return event.action in leading
                case Fire():
                    return fires.get(event.timer, name) == name
                case Outcome() if now is not None:
                    call = next(each for each in now.calls if each.order == event.order)
                    return any(h is not None and h.action in leading for h in (call.then, call.otherwise, call.unknown))
                case _:
                    return True

        return touches

    def _name(self, key: Key) -> str:
        match key:
            case (("always" | "never" | "needs"), int() as index):
                return self.table.properties[index].name
            case ("fault", *_):
                return "no fault of the blueprint"
            case ("home", *_):
                return "every outcome has a home"
            case ("spins", *_):
                return "no `whenever` or `at` is left due by its action"
            case ("stuck", *_):
                return "every state has a way out"
            case ("lost", *_):
                return "every state can reach a final one"
            case ("state", *_):
                return "every state can be reached"
            case ("case", *_):
                return "every case can be taken"
            case _:
                raise AssertionError(f"nothing that is asked: {key!r}")

    def _sharpened(self, mutant: Mutant) -> Mutant:
        """Return a survivor whose question is about what was seen to differ."""
        search = self._seen.get(id(mutant))
        if search is None or mutant.condition is None or mutant.ask is None or mutant.kind is not Kind.GUARD:
            return mutant
        condition = narrowed(mutant.condition, search.differences, self.table, mutant.entity)
        return replace(mutant, question=mutant.ask(condition))

    def _told(self, mutant: Mutant) -> Survivor:
        return Survivor(
            mutant.kind.value, mutant.entity, mutant.what, mutant.question, mutant.site,
            place_of(self.table, mutant.site),
        )  # fmt: skip
