"""Entities searched together as one finite system, and what that says of each, as the search by `step` says it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from temper.table import Refused, Table, Why, shape
from temper.verify.cut import spoken_of
from temper.verify.explore.search import (
    NOTHING,
    Break,
    Explored,
    _anything,
    _dead,
    _entered_by,
    _false_after,
    _false_step,
    _reached,
    _refused_so,
    _short,
    explore,
)
from temper.verify.explore.spins import spun
from temper.verify.faults import hidden_fault
from temper.verify.limits import Limits
from temper.verify.properties import Asked, asked_alone, states_of
from temper.verify.system.choose import Bounds, search
from temper.verify.system.ir import Path, Question, Searched, System
from temper.verify.system.lower import Unlowered, components, lower, scope_of
from temper.verify.system.lower_expr import DECIMALS, TEXTS
from temper.verify.system.lower_world import Layout
from temper.verify.system.recover import recovery
from temper.verify.system.replay import Replays, Shows, replay_path
from temper.verify.system.step import evaluate
from temper.verify.system.step import states_of as states_of_path

UNTIMED = "only the search, which has no clock, knows a run"
# Bounds that the search by `step` does not have.
FINER = frozenset({DECIMALS, TEXTS})

# What was found is done once more when the search has ended. Whoever waits for a judgement waits a little longer for
# that; past it there is an answer without it.
TELLING_S = 0.5
LATE = "there was no time to do its run once more"

# What is found where all is well.
_REACHED = frozenset({"state", "case"})

Key = tuple[Any, ...]
Progress = Callable[[str, int, int], None]


class Together(Struct, frozen=True):
    """What a search of entities together found. `asked` are the properties about several of them, by number."""

    system: System
    searched: Searched
    explored: dict[str, Explored]
    asked: frozenset[int]

    @property
    def alone(self) -> bool:
        """Return whether there is but one entity."""
        counts: dict[str, int] = self.system.meta["counts"]
        return sum(counts.values()) == 1

    @property
    def states(self) -> int:
        """Return how many states there are; that in which there is nothing is not counted of one that stands alone."""
        return next(iter(self.explored.values())).states

    @property
    def covered(self) -> str:
        """Return what was searched, in words."""
        counts: dict[str, int] = self.system.meta["counts"]
        who = ", ".join(f"{count} {name}" for name, count in counts.items())
        found = self.searched
        words = [f"{who}: {self.states:,} states, {found.transitions:,} steps, by {found.engine}"]
        words.append("outcomes ok, failed, unknown, late, twice and never")
        first = next(iter(self.explored.values()))
        partial: dict[str, str] = {}
        for explored in self.explored.values():
            partial.update(explored.partial)
        if partial:
            words.append("values drawn: " + "; ".join(f"{name} {values}" for name, values in partial.items()))
        words += first.cut.values()
        if first.comparisons:
            words.append(f"{first.comparisons} comparisons of times, both ways each")
        return ", ".join(words)


class Searches(Struct, frozen=True):
    """What the search of a whole table found: of each entity, and in words.

    `asked` maps a property about several entities, by its number, to one of them: its `Explored` has the answer.
    """

    explored: dict[str, Explored]
    covered: tuple[str, ...]
    not_covered: tuple[str, ...]
    states: int
    transitions: int
    asked: dict[int, str]


def search_table(
    table: Table, limits: Limits, told_alone: Callable[[Explored], str], progress: Progress | None = None
) -> Searches:
    """Return what a search of every entity finds: as finite systems where that can be, else by `step`, one by one.

    `told_alone` says in words what a search by `step` covered.
    """
    explored: dict[str, Explored] = {}
    covered: list[str] = []
    not_covered: list[str] = []
    asked: dict[int, str] = {}
    states, transitions = 0, 0
    for names in components(table):
        together = search_together(table, names, limits, progress)
        if isinstance(together, Together):
            explored |= together.explored
            covered.append(together.covered)
            if together.alone and (together.searched.stopped or FINER & together.explored[names[0]].cut.keys()):
                # The search by `step` tells principals apart only as far as they differ, and decimals however fine.
                further = explore(table, names[0], limits, progress)
                explored[names[0]] = _best(together.explored[names[0]], further)
                covered.append(told_alone(further))
            states, transitions = states + together.states, transitions + together.searched.transitions
            asked |= dict.fromkeys(together.asked, names[0])
            continue
        if sum(scope_of(table, names).values()) > 1:
            not_covered.append(f"{' and '.join(names)} together: {together.reason}")
        for name in names:
            alone = explored[name] = explore(table, name, limits, progress)
            covered.append(f"{told_alone(alone)}, by `step` ({together.reason})")
            states, transitions = states + alone.states, transitions + alone.transitions
    for name, each in explored.items():
        not_covered += [f"{name}: {why}" for why in (each.stopped, each.blind) if why]
    order = {name: explored[name] for name in table.entities}
    return Searches(order, tuple(covered), tuple(not_covered), states, transitions, asked)


def _best(first: Explored, further: Explored) -> Explored:
    """Return what two searches of one entity found, of which the first was stopped."""
    if further.stopped is None:
        return further
    for key, each in further.breaks.items():
        first.breaks.setdefault(key, each)
    for key, each in further.reached.items():
        first.reached.setdefault(key, each)
    return first


def search_together(
    table: Table,
    names: Iterable[str],
    limits: Limits,
    progress: Progress | None = None,
    *,
    engine: str | None = None,
) -> Together | Unlowered:
    """Return what a search of these kinds of entities finds, or why it can't be made."""
    began = time.monotonic()
    system = lower(table, names, pending_max=limits.pending_max, deferred_max=limits.deferred_max)
    if isinstance(system, Unlowered):
        return system
    title = ", ".join(system.meta["counts"])

    def told(states: int, transitions: int) -> None:
        if progress is not None:
            progress(title, states, transitions)

    found = search(system, Bounds(limits.packed_max, limits.seconds), engine=engine, progress=told)
    together = _Telling(system, table, found, began + limits.seconds + TELLING_S).told(began)
    _recover(together, table, limits)
    return together


def _recover(together: Together, table: Table, limits: Limits) -> None:
    """Tell of each entity how it gets to where no final state can be reached, or where nothing happens to it."""
    system, searched = together.system, together.searched
    for explored in together.explored.values():
        explored.unasked = searched.stopped or ""
    if searched.stopped is not None:
        return
    faulty = any(key[0] == "fault" for each in together.explored.values() for key in (*each.breaks, *each.suspicions))
    depends = system.meta["depends"]
    known = recovery(table, system, limits, states=searched.states, depends=depends, faulty=faulty)
    for name, each in known.items():
        explored = together.explored[name]
        explored.unasked = each.open
        explored.asked_of = "one of each kind" if each.one else ""
        if each.moved:
            explored.suspicions.pop(("stuck",), None)
        for key, missed in (("lost", each.lost), ("stuck", each.waits)):
            if missed is None or any(other[0] == key for other in explored.breaks):
                continue
            run = replay_path(missed.system, table, missed.path, _of(None, _anything))
            found = Break((key, missed.state), run, missed.uncertain if run is not None else UNTIMED)
            if run is None or missed.uncertain:
                explored.suspicions[key,] = found
            else:
                explored.suspicions.pop((key,), None)
                explored.breaks[key, missed.state] = found


def paths_of(system: System, searched: Searched) -> dict[Key, Path]:
    """Return what was found, by the key that says what it is; of several paths to one the shortest.

    Where it is asked of steps, the last on the path is the report of one that shows it: its number follows the rules'.
    """
    found: dict[Key, Path] = {}
    each = [_shown(system, system.questions[number], path) for number, path in searched.found.items()]
    each += [(system.meta["keys"][where], path) for where, path in searched.faults.items()]
    for key, path in each:
        if key not in found or len(path.rules) < len(found[key].rules):
            found[key] = path
    return found


def _shown(system: System, question: Question, path: Path) -> tuple[Key, Path]:
    numbers = system.meta["shows"].get(question.key, ())
    state = states_of_path(system, path)[-1] if numbers else ()
    for number in numbers:
        if evaluate(system, system.meta["reports"][number].guard, state):
            return question.key, Path(path.initial, (*path.rules, len(system.rules) + number))
    return question.key, path


class _Telling:
    def __init__(self, system: System, table: Table, searched: Searched, until: float) -> None:
        self.system = system
        self.table = table
        self.searched = searched
        self.layout: Layout = system.meta["layout"]
        self.replays = Replays(system, table, until=until)
        self.alone = asked_alone(table)
        self.explored: dict[str, Explored] = {}

    def told(self, began: float) -> Together:
        found, layout = self.searched, self.layout
        counts = self.layout.counts
        one = sum(counts.values()) == 1
        for kind in layout.kinds.values():
            explored = Explored(kind.name, found.states - 1 if one else found.states, found.transitions, found.stopped)
            explored.partial = dict(kind.draws.partial)
            if "principals" in self.system.meta["partial"]:
                explored.partial["principals"] = ", ".join(layout.principals)
            explored.unclear = dict(self.system.meta["unclear"])
            explored.principals = len(layout.principals)
            explored.comparisons = sum(len(each.clocks.comparisons) for each in layout.kinds.values())
            if not one:
                words = " and ".join(f"{count} {name}" for name, count in counts.items())
                explored.cut["instances"] = f"at most {words}"
            self.explored[kind.name] = explored
        # What is wrong comes before what can be reached, and what is near before what is far: where there is no time
        # for all, it is the latter that nobody knows.
        order = sorted(
            paths_of(self.system, found).items(), key=lambda each: (each[0][0] in _REACHED, len(each[1].rules))
        )
        for key, path in order:
            self._tell(key, path)
        for explored in self.explored.values():
            explored.seconds = time.monotonic() - began
        for explored in self.explored.values():
            bounded = explored.cut.keys() - {"instances"}
            if bounded and not any(key[0] == "state" for key in explored.reached):
                # What never comes to be, for a bound of ours, has no state in which anything could be seen.
                explored.stopped = explored.stopped or NOTHING
        # Not by the questions: what no state and no step can break is asked no more.
        together = frozenset(
            index
            for index, each in enumerate(self.table.properties)
            if isinstance(each, shape.Always) and index not in self.alone
            if spoken_of(self.table, each) <= layout.kinds.keys()
        )
        return Together(self.system, found, self.explored, together)

    def _tell(self, key: Key, path: Path) -> None:
        match key:
            case ("bound", what):
                for explored in self.explored.values():
                    explored.cut[what] = self._bound(what)
            case ("unclear", index):
                for explored in self.explored.values():
                    explored.unclear.setdefault(index, "it has no value somewhere")
            case ("state", entity, state):
                self._put([entity], ("state", state), path, _in_state(entity, state), reached=True)
            case ("case", site):
                self._put([_entity_of(site)], key, path, _of(None, _reached(("case", site))), reached=True)
            case ("stuck", entity, state):
                self._put([entity], ("stuck", state), path, _of(None, _anything))
            case ("waits", entity, state):
                self._waits(entity, state, path)
            case ("fault", why, site):
                self._put(self._owner(site), ("fault", Why[why], site), path, _of(None, _refused_so(Why[why])))
            case ("spins", site):
                self._put([_entity_of(site)], key, path, _of(None, spun(site)))
            case ("home", site, _, _):
                self._put([_entity_of(site)], key, path, _of(None, _dead))
            case ("always", index):
                self._always(index, path)
            case (("never" | "needs"), index):
                self._entered(key, index, path)
            case _:
                raise AssertionError(f"nothing that is asked: {key!r}")

    def _waits(self, entity: str, state: str, path: Path) -> None:
        """Where others may move an entity there may be more of them than the search has."""
        run = self.replays.run(path, _of(None, _anything))
        explored = self.explored[entity]
        if run is not None and ("stuck",) not in explored.suspicions:
            why = f"it waits in `{state}` for others, of which there may be more than the search has"
            explored.suspicions["stuck",] = Break(("stuck", state), run, why)

    def _bound(self, what: str) -> str:
        limits = {
            "calls": f"at most {self.layout.pending_max} calls of one entity pending",
            "deferred": f"at most {self.layout.deferred_max} deferred at a time",
            "sends": f"at most {self.layout.sends_max} sends on the way between two",
            DECIMALS: f"decimals of at most {self.layout.words.digits} digits behind the point",
            TEXTS: "texts put together of two at most",
        }
        if what in limits:
            return limits[what]
        for kind in self.layout.kinds.values():
            if what in kind.scoped:
                low, high, said = kind.scoped[what]
                return f"`{what}` within {low}..{high}" + (" (scope)" if said else "")
        if what in self.layout.counts:
            return f"at most {self.layout.counts[what]} {what}"
        return f"`{what}` within what is drawn"

    def _owner(self, site: str) -> list[str]:
        entity = _entity_of(site)
        return [entity] if entity in self.explored else list(self.explored)[:1]

    def _always(self, index: int, path: Path) -> None:
        asked: Asked | None = self.alone.get(index)
        if asked is None:
            self._put(list(self.explored), ("always", index), path, None)
            return
        shows = _false_step(asked) if asked.step else _false_after(asked)
        self._put([asked.entity], ("always", index), path, _of(asked.entity, shows))

    def _entered(self, key: Key, index: int, path: Path) -> None:
        each = self.table.properties[index]
        assert isinstance(each, shape.Never | shape.Needs), "only those ask who enters"
        states = states_of(self.table, each, each.states)
        for entity in states:
            if entity not in self.explored:
                continue
            into = frozenset(states[entity])
            shows = _entered_by(each.role, into) if isinstance(each, shape.Never) else _short(each, into)
            self._put([entity], key, path, _of(entity, shows))

    def _put(self, entities: list[str], key: Key, path: Path, shows: Shows | None, *, reached: bool = False) -> None:
        """Replay a path, and tell the entities of it: of the run, or of the suspicion where none goes through."""
        run = self.replays.run(path, shows)
        why = UNTIMED if path.rules else "it is not so where there is nothing"
        if self.replays.late:
            why = LATE
        for name in entities:
            explored = self.explored[name]
            if run is None:
                made = Break(key, None, why)
                (explored.reached if reached else explored.suspicions)[key] = made
                continue
            refused = run.stages[-1].refused
            if key[0] == "fault" and refused is None:
                refused = self._hidden(run, key)
            made = Break(key, run, "", refused)
            (explored.reached if reached else explored.breaks)[key] = made

    def _hidden(self, run: Any, key: Key) -> Refused:
        """Return the fault for which an outcome or a send was late."""
        last = run.stages[-1]
        found = hidden_fault(self.table, last.before, last.event) if last.before is not None else None
        return found or Refused(key[1], f"{key[1].value}: its action can't be taken", key[2])


def _of(entity: str | None, shows: Shows) -> Shows:
    """Ask only of stages that are an entity's (any entity's, if left out)."""

    def asked(table: Table, stage: Any) -> bool:
        if entity is not None and (stage.accepted is None or stage.accepted.after.entity != entity):
            return False
        return shows(table, stage)

    return asked


def _in_state(entity: str, state: str) -> Shows:
    def shows(table: Table, stage: Any) -> bool:
        accepted = stage.accepted
        return bool(accepted is not None and (accepted.after.entity, accepted.after.state) == (entity, state))

    return shows


def _entity_of(site: str) -> str:
    return site.partition(".")[0].partition("/")[0]
