"""How much the properties and scenarios of a table notice: its mutants, judged one by one, cheapest first.

A mutant is noticed by a scenario that no longer comes out as written, by a property that a run breaks, or by one of the
questions that are always asked (a fault, an outcome without a home, a state that is stuck or not reached any more).
One that does the same as the table in every state of the search is no mutant, and is not counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from temper.table import Act, Deliver, Event, Fire, Outcome, Snapshot, Table, shape
from temper.verify.clauses import lates
from temper.verify.limits import Limits
from temper.verify.places import place_of
from temper.verify.report import Strength, Survivor
from temper.verify.scenarios import run_scenario
from temper.verify.strength.mutants import ADDING, Kind, Mutant, mutants, sample
from temper.verify.strength.suggest import suggest
from temper.verify.strength.vacuous import vacuous
from temper.verify.strength.walk import Key, MutantSearch, Quiet, Touches, narrowed

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a measurement goes.

    Of more than `mutants` of them, some of each kind are drawn, the same every time. The search of one stops at
    `states_max` states, the nearest to the beginning, or after `mutant_seconds`; after `seconds` what is left is
    unjudged.
    """

    mutants: int = 200
    states_max: int = 1_500
    mutant_seconds: float = 4.0
    seconds: float = 60.0
    suggestions: int = 8


def measure(table: Table, bounds: Bounds | None = None, progress: Progress | None = None) -> Strength:
    """Return how much is noticed, what is not, which properties say nothing, and which would be worth having."""
    return _Measure(table, bounds or Bounds(), progress or _silent).run()


def _silent(what: str) -> None:
    """Hear nothing."""


@dataclass
class _Measure:
    table: Table
    bounds: Bounds
    progress: Progress
    bases: dict[str, Quiet] = field(default_factory=dict)
    _seen: dict[int, MutantSearch] = field(default_factory=dict)
    _passing: list[shape.Scenario] = field(default_factory=list)

    def run(self) -> Strength:
        began = time.monotonic()
        limits = Limits(states_max=self.bounds.states_max, seconds=self.bounds.mutant_seconds * 4)
        self.progress("search of the blueprint itself")
        for name in self.table.entities:
            self.bases[name] = Quiet(self.table, name, limits)
            self.bases[name].run()
        self._passing = [each for each in self.table.scenarios if run_scenario(self.table, each).passed]
        made = list(mutants(self.table))
        chosen = sample(made, self.bounds.mutants)
        survivors: list[Mutant] = []
        by: Counter[str] = Counter()
        equivalent = unjudged = 0
        # Scenarios cost next to nothing: all are asked of them, before the time can run out.
        left = []
        for each in chosen:
            if self._scenario(each):
                by["scenarios"] += 1
            else:
                left.append(each)
        for number, each in enumerate(left):
            if time.monotonic() - began > self.bounds.seconds:
                unjudged += len(left) - number
                break
            self.progress(f"mutant {len(chosen) - len(left) + number + 1} of {len(chosen)}: {each.what}")
            noticed = self._noticed(each)
            if noticed is None:
                equivalent += 1
            elif noticed:
                by[noticed] += 1
            else:
                survivors.append(each)
        # Two that ask the same are one: what answers the one answers the other.
        asked = {sharp.question: (each, sharp) for each in reversed(survivors) for sharp in [self._sharpened(each)]}
        pairs = list(reversed(asked.values()))
        survivors = [each for _, each in pairs]
        killed = sum(by.values())
        self.progress("properties that say nothing")
        empty = vacuous(self.table, self.bases)
        self.progress("properties worth having")
        suggestions = suggest(
            self.table,
            self.bases,
            [(each, self._seen.get(id(old))) for old, each in pairs],
            self.bounds.suggestions,
            limits,
        )
        return Strength(
            len(made), killed + len(survivors), killed, equivalent, unjudged, time.monotonic() - began,
            tuple(self._told(each) for each in survivors), empty, suggestions, dict(by.most_common()),
        )  # fmt: skip

    def _scenario(self, mutant: Mutant) -> bool:
        return any(not run_scenario(mutant.table, each).passed for each in self._passing)

    def _noticed(self, mutant: Mutant) -> str | None:
        """Return the name of what notices a mutant in a search, "" where nothing does, `None` if it does the same."""
        base = self.bases[mutant.entity]
        limits = Limits(states_max=self.bounds.states_max, seconds=self.bounds.mutant_seconds)
        # A field that nothing looks at is the same in every state of the search, whatever is assigned to it.
        if mutant.field is not None and mutant.field not in base.cone.fields:
            return ""
        search = MutantSearch(mutant.table, base, limits)
        touches = self._touching(mutant)
        if search.comparable:
            search.beside(touches)
            if search.noticed is not None:
                return self._name(search.noticed)
            if not search.differences:
                # A role that does not matter to what happens is drawn only once: that another may act is not seen.
                return "" if mutant.kind is Kind.ROLE else None
        if not (search.comparable and self._only_adds(mutant)):
            search = MutantSearch(mutant.table, base, limits)
            search.anew()
            if search.noticed is not None:
                return self._name(search.noticed)
            if not search.differs(touches):
                return None
        self._seen[id(mutant)] = search
        return ""

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
            case ("stuck", *_):
                return "every state has a way out"
            case _:
                return f"every {key[0]} can be reached"

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
