"""The units of a judgement: what is asked of a part of a table, by one level, apart from all the rest.

A unit is given a cut of the table and nothing else, and what it comes to is plain data. So units can be judged in any
order and beside each other, in this process or another, and what one came to can be kept under its key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from temper.table import Table, shape
from temper.verify.cut import Cut, Links, cut
from temper.verify.limits import Limits
from temper.verify.symbolic.facts import asks_several

# Who hands units out needs nothing of what is behind them.
if TYPE_CHECKING:
    from temper.verify.explore.search import Explored
    from temper.verify.report import Level, ScenarioResult
    from temper.verify.simulate.disk import Disks
    from temper.verify.symbolic.algebra import Algebra
    from temper.verify.system.found import Searches
    from temper.verify.system.led import Eventual
    from temper.verify.tested import Shown

Progress = Callable[[str], None]

_STATES = (shape.Always,)
_RUNS = (shape.Always, shape.Never, shape.Needs)
_FAIR = (shape.Always, shape.Eventually)


class Kind(Enum):
    """What a unit does."""

    ALGEBRA = "algebra"
    TOGETHER = "algebra of several"
    SEARCH = "search"
    FAIR = "fair runs"
    SIMULATION = "simulation"
    PROPERTIES = "properties"
    SCENARIOS = "scenarios"

    @property
    def level(self) -> str:
        """Return the level that it is a part of."""
        return {Kind.FAIR: "search", Kind.TOGETHER: "algebra"}.get(self, self.value)


class Unit(Struct, frozen=True):
    """What is asked of a cut. `key` says all that the answer depends on, but for the release that gives it.

    `entities` are whom it is about; `numbers` are the properties of the cut, as the whole table counts them. `guide`
    is the place, among the units, of the search whose runs steer this one.
    """

    kind: Kind
    entities: tuple[str, ...]
    table: Table
    numbers: tuple[int, ...]
    limits: Limits
    key: str
    before: Table | None = None
    guide: int | None = None

    @property
    def name(self) -> str:
        """Return what it is called where it is spoken of: "algebra of Order"."""
        return f"{self.kind.value} of {' and '.join(self.entities)}"


class Runs(Struct, frozen=True):
    """What a level that runs things did with a part of the table, and what that shows."""

    level: Level
    shown: tuple[Shown, ...]
    how_much: str


Answer: TypeAlias = "Algebra | Searches | dict[int, Eventual] | Runs | tuple[ScenarioResult, ...]"


class Done(Struct, frozen=True):
    """What a unit came to. `looked_up` if it was judged before; `final` if another try would come to the same."""

    answer: Answer
    seconds: float
    final: bool = True
    looked_up: bool = False


class Lost(Struct, frozen=True):
    """A unit that came to nothing, and why."""

    why: str


Outcome: TypeAlias = Done | Lost


class Keeps(Protocol):
    """Where answers are kept, by the keys of their units."""

    def find(self, key: str) -> Done | None:
        """Return what a unit came to, if that is known."""

    def keep(self, key: str, done: Done) -> None:
        """Keep what a unit came to."""


class Run(Protocol):
    """Whoever sees to it that units are judged."""

    def __call__(
        self, units: Sequence[Unit], known: Mapping[int, Done], limits: Limits, progress: Progress
    ) -> Iterator[tuple[int, Outcome]]:
        """Begin, and return what each unit that is not `known` came to, by its place, as soon as it is there.

        `limits.seconds` are for all of them.
        """


def begun(
    units: Sequence[Unit], run: Run, limits: Limits, progress: Progress, kept: Keeps | None = None
) -> Iterator[tuple[int, Outcome]]:
    """Yield what each unit comes to, by its place: looked up where that can be, and kept where it may be.

    Whoever judges beside this process has begun when this returns.
    """
    known: dict[int, Done] = {}
    for place, unit in enumerate(units) if kept is not None else ():
        found = kept.find(unit.key) if kept is not None else None
        if found is not None:
            known[place] = replace(found, looked_up=True)
    judging = run(units, known, limits, progress) if len(known) < len(units) else iter(())

    def all_of_them() -> Iterator[tuple[int, Outcome]]:
        yield from known.items()
        for place, outcome in judging:
            if kept is not None and isinstance(outcome, Done) and outcome.final:
                kept.keep(units[place].key, outcome)
            yield place, outcome

    return all_of_them()


def units_of(table: Table, levels: Sequence[str], limits: Limits, before: Table | None = None) -> tuple[Unit, ...]:
    """Return the units of a judgement, the dearest first. One that is steered by another comes after it."""
    links = Links(table, before)
    parts = links.components()
    units: list[Unit] = []
    searches: dict[tuple[str, ...], int] = {}
    if "algebra" in levels:
        for name in table.entities:
            units.append(_unit(Kind.ALGEBRA, (name,), cut(table, links.depends(name), _STATES), limits))
        for names in parts:
            joint = cut(table, names, _STATES)
            if asks_several(joint.table):
                units.append(_unit(Kind.TOGETHER, _known(table, names), joint, limits))
    if "search" in levels:
        for names in parts:
            searches[names] = len(units)
            units.append(_unit(Kind.SEARCH, _known(table, names), cut(table, names, _RUNS), limits))
        for names in parts:
            fair = cut(table, names, _FAIR)
            if any(isinstance(each, shape.Eventually) for each in fair.table.properties):
                units.append(_unit(Kind.FAIR, _known(table, names), fair, limits))
    for kind in (Kind.SIMULATION, Kind.PROPERTIES):
        for names in parts if kind.value in levels else ():
            run = cut(table, names, _RUNS, upgrades=True)
            unit = _unit(kind, _known(table, names), run, limits)
            if kind is Kind.SIMULATION:
                old = None if before is None else cut(before, names, _RUNS, upgrades=True).table
                guide = searches.get(names)
                key = _key(unit.key, "" if old is None else _written(old), "" if guide is None else units[guide].key)
                unit = replace(unit, key=key, before=old, guide=guide)
            units.append(unit)
    if "scenarios" in levels:
        whole = Cut(table, tuple(range(len(table.properties))))
        units.append(_unit(Kind.SCENARIOS, tuple(table.entities), whole, limits))
    return tuple(units)


def _known(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in table.entities)


# The limits that only some units look at: the others are judged within the plain ones.
_ONLY = {
    "states_max": {Kind.SEARCH, Kind.FAIR},
    "pending_max": {Kind.SEARCH, Kind.FAIR},
    "deferred_max": {Kind.SEARCH, Kind.FAIR},
    "rlimit": {Kind.ALGEBRA, Kind.TOGETHER},
    "seeds": {Kind.SIMULATION},
    "steps": {Kind.SIMULATION},
    "seed": {Kind.SIMULATION, Kind.PROPERTIES},
    "examples": {Kind.PROPERTIES},
}


def _unit(kind: Kind, entities: tuple[str, ...], part: Cut, limits: Limits) -> Unit:
    plain = Limits()
    of_others = {name: getattr(plain, name) for name, kinds in _ONLY.items() if kind not in kinds}
    mine = replace(limits, **of_others)
    # What the clock stopped is not kept, so that it does not count how long others would have had.
    bounds = repr(replace(mine, seconds=plain.seconds))
    key = _key(kind.value, ",".join(entities), bounds, _written(part.table))
    return Unit(kind, entities, part.table, part.numbers, mine, key)


def _written(table: Table) -> str:
    """Return a table with the order of its parts, which decides between answers that are equally good."""
    return msgspec.json.encode(table).decode()


def _key(*parts: str) -> str:
    hashed = sha256()
    for part in parts:
        hashed.update(part.encode() + b"\0")
    return hashed.hexdigest()


# --- judging one ------------------------------------------------------------------------------------------------------


def in_turn(disk: Disks | None = None) -> Run:
    """Return who judges units one after the other, in this process."""

    def run(
        units: Sequence[Unit], known: Mapping[int, Done], limits: Limits, progress: Progress
    ) -> Iterator[tuple[int, Outcome]]:
        until = time.monotonic() + limits.seconds
        outcomes: dict[int, Outcome] = dict(known)
        for place, unit in enumerate(units):
            if place in known:
                continue
            left = until - time.monotonic()
            if left > 0:
                guide = None if unit.guide is None else outcomes[unit.guide]
                outcomes[place] = judged(unit, left, guide, progress, disk)
            else:
                outcomes[place] = late(limits)
            yield place, outcomes[place]

    return run


def late(limits: Limits) -> Lost:
    """Return that the time was up."""
    return Lost(f"stopped after {limits.seconds:g} s")


def judged(unit: Unit, seconds: float, guide: Outcome | None, progress: Progress, disk: Disks | None = None) -> Done:
    """Return what a unit comes to within so many seconds, steered by what the search that it asks for came to."""
    began = time.monotonic()
    limits = replace(unit.limits, seconds=min(unit.limits.seconds, seconds))
    answer = _answer(unit, limits, guide, progress, disk)
    took = time.monotonic() - began
    # Whatever took no longer than it was given was not stopped by the clock.
    steady = took < limits.seconds and (guide is None or (isinstance(guide, Done) and guide.final))
    return Done(answer, took, steady)


def _answer(unit: Unit, limits: Limits, guide: Outcome | None, progress: Progress, disk: Disks | None) -> Answer:
    # What is not asked for is not imported: the solver alone takes a tenth of a second.
    table, entities = unit.table, unit.entities
    match unit.kind:
        case Kind.ALGEBRA:
            from temper.verify.symbolic.budget import within
            from temper.verify.symbolic.judge import judge

            progress(unit.name)
            with within(limits.seconds):
                return judge(table, entities[0], limits.rlimit)
        case Kind.TOGETHER:
            from temper.verify.symbolic.budget import within
            from temper.verify.symbolic.joint import judge_together

            progress(unit.name)
            with within(limits.seconds):
                return judge_together(table, limits.rlimit)
        case Kind.SEARCH:
            from temper.verify.system.found import search_table

            def told(names: str, states: int, transitions: int) -> None:
                progress(f"search of {names}: {states:,} states, {transitions:,} steps")

            progress(unit.name)
            return search_table(table, limits, covered, told)
        case Kind.FAIR:
            from temper.verify.system.led import eventually

            progress(unit.name)
            return eventually(table, limits)
        case Kind.SIMULATION:
            from temper.verify.simulate.disk import MemoryDisk
            from temper.verify.simulate.level import simulated

            explored: Mapping[str, Explored | None] = dict.fromkeys(entities)
            if isinstance(guide, Done):
                explored = cast("Searches", guide.answer).explored
            return Runs(*simulated(table, explored, limits, progress, before=unit.before, disk=disk or MemoryDisk))
        case Kind.PROPERTIES:
            from temper.verify.draw.level import drawn

            return Runs(*drawn(table, limits, progress))
        case Kind.SCENARIOS:
            from temper.verify.scenarios import run_scenarios

            progress("scenarios")
            return run_scenarios(table)


def covered(each: Explored) -> str:
    """Return what a search by `step` covered, in words."""
    words = [f"{each.entity} alone: {each.states:,} states, {each.transitions:,} steps"]
    words.append("outcomes ok, failed, unknown, late, twice and never")
    if each.partial:
        words.append("values drawn: " + "; ".join(f"{name} {values}" for name, values in each.partial.items()))
    words += each.cut.values()
    if each.comparisons:
        words.append(f"{each.comparisons} comparisons of times, both ways each")
    if each.sends:
        words.append("what others send, create or take along, at any time")
    return ", ".join(words)


# --- as the whole table counts ----------------------------------------------------------------------------------------


def algebra_of(unit: Unit, found: Algebra) -> Algebra:
    """Return what level 1 found, by the numbers of the whole table."""
    numbers = unit.numbers
    proofs = {numbers[number]: each for number, each in found.proofs.items()}
    return replace(found, proofs=proofs, open_why={numbers[number]: why for number, why in found.open_why.items()})


def explored_of(unit: Unit, found: Explored) -> Explored:
    """Return what a search found, by the numbers of the whole table."""
    numbers = unit.numbers

    def known(key: tuple[object, ...]) -> tuple[object, ...]:
        match key:
            case (("always" | "never" | "needs") as kind, int(number)):
                return (kind, numbers[number])
            case _:
                return key

    return replace(
        found,
        breaks={known(key): each for key, each in found.breaks.items()},
        suspicions={known(key): each for key, each in found.suspicions.items()},
        unclear={numbers[number]: why for number, why in found.unclear.items()},
    )
