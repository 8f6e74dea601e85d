"""Breadth first over `step`: every state of one entity, the nearest first, and what is asked of each.

The first run found to a break is a shortest one; ties go to the event that is drawn first, so that a run is the same
every time. A break counts as found only once it has been replayed with real ids and real moments (`replay`): where
the search allows more than the world does (time, what others send), a run that only the search knows is kept as a
suspicion.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct, field

from temper.table import (
    FAULTS,
    Accepted,
    Act,
    Deliver,
    Event,
    Expr,
    Fire,
    How,
    NoValue,
    Outcome,
    Refused,
    Snapshot,
    Table,
    Why,
    evaluate,
    shape,
)
from temper.verify.causes import causes
from temper.verify.explore.alone import rests, step_alone
from temper.verify.explore.canon import AT, Canon, Key
from temper.verify.explore.clocks import Clocks, clocks_of
from temper.verify.explore.cone import Cone, cone_of, reads_others
from temper.verify.explore.draws import Draws, principals_of, scoped_of
from temper.verify.explore.moves import EVENT, Moves
from temper.verify.explore.orders import calls_at_once
from temper.verify.explore.replay import Replayed, Stage, replay
from temper.verify.explore.spins import may_spin, spun
from temper.verify.explore.symmetry import Renaming, Symmetry, renamed, renamed_event, renamed_snapshot
from temper.verify.expressions import children, walk
from temper.verify.faults import handler_of, hidden_fault
from temper.verify.limits import Limits
from temper.verify.people import Voice, people, voice
from temper.verify.properties import Asked, asked_alone, states_of

RESTS = "it rests on what another entity sends, creates or takes along, which this search does not decide"
BLIND = "it reads other entities, which are not there in a search of one alone"
KEEPS_NO_STEPS = "a search of one alone by `step` keeps no steps"
NOTHING = "the bounds of the search leave nothing to look at"
# The clock is read, and progress told, every so many states.
_PULSE = 256
# A break that no replay confirms is looked for again this often.
SUSPICIONS_MAX = 8

Progress = Callable[[str, int, int], None]
Monitors = tuple[frozenset[Voice], ...]


class Break(Struct, frozen=True):
    """A run that breaks something, or reaches it. `key` says what: ("always", 3), ("state", "Live"), ("fault",
    site), ...

    `run` is the replayed run; `None` for a suspicion, with the reason in `why`. `refused` is the fault that ended it.
    """

    key: tuple[Any, ...]
    run: Replayed | None
    why: str = ""
    refused: Refused | None = None


class Explored(Struct):
    """What one search found."""

    entity: str
    states: int = 0
    transitions: int = 0
    stopped: str | None = None
    """Why it ended before every state had been seen."""
    cut: dict[str, str] = field(default_factory=dict)
    """Bounds that were met, in words."""
    partial: dict[str, str] = field(default_factory=dict)
    """What was not drawn whole."""
    blind: str | None = None
    breaks: dict[tuple[Any, ...], Break] = field(default_factory=dict)
    suspicions: dict[tuple[Any, ...], Break] = field(default_factory=dict)
    reached: dict[tuple[Any, ...], Break] = field(default_factory=dict)
    unclear: dict[int, str] = field(default_factory=dict)
    """Properties that the search could not ask, by number, and why."""
    unasked: str = KEEPS_NO_STEPS
    """Why it is not known whether every state can reach a final one, where nothing else says it."""
    asked_of: str = ""
    """Of what that was asked, if not of all that was searched."""
    principals: int = 1
    comparisons: int = 0
    sends: bool = False
    pending_seen: int = 0
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Return whether every state of the real types has been seen."""
        return self.stopped is None and not self.cut and not self.partial and self.blind is None


class Node(Struct):
    snapshot: Snapshot | None
    monitors: Monitors
    parent: int
    event: Event | None
    key: Key
    names: Renaming | None = None
    """How principals were renamed after the event."""
    used: int = 0
    """How many principals occur; they are the first ones."""


def explore(table: Table, name: str, limits: Limits, progress: Progress | None = None) -> Explored:
    """Return what a search over every state of one entity finds."""
    return Search(table, name, limits, progress).run()


class Search:
    """One search. `nodes` and `seen` are what it has found so far; others may go on from there."""

    def __init__(self, table: Table, name: str, limits: Limits, progress: Progress | None = None) -> None:
        self.table = table
        self.entity = table.entities[name]
        self.limits = limits
        self.pending_max = max(limits.pending_max, calls_at_once(self.entity))
        self.progress = progress
        self.cone: Cone = self._cone()
        self.clocks: Clocks = clocks_of(table, self.entity)
        principals = self.principals = principals_of(table, {name: 1}, {name: self.cone})
        self.symmetry = Symmetry(principals) if len(principals) > 1 else None
        self.draws = Draws(table, self.entity, principals)
        self.canon = Canon(table, self.entity, self.cone, self.draws, self.clocks.tainted)
        self.moves = Moves(table, self.entity, self.cone, self.draws, principals, self._caused())
        self.found = Explored(name, principals=len(principals))
        self.found.comparisons = len(self.clocks.comparisons)
        self.found.blind = BLIND if reads_others(table, self.entity) else self.clocks.blind
        self.nodes: list[Node] = []
        self.seen: dict[tuple[Key, Monitors], int] = {}
        self.suspected: dict[tuple[Any, ...], int] = {}
        self.scoped = scoped_of(table, self.entity, self.cone, self.draws)
        self._asked()

    def _cone(self) -> Cone:
        return cone_of(self.table, self.entity)

    def _caused(self) -> dict[str, frozenset[str]]:
        return {role: causes(self.table, role) for role in self.cone.caller.roles}

    def _asked(self) -> None:
        """Sort the properties that this search asks."""
        table, name = self.table, self.entity.name
        alone = [asked for asked in asked_alone(table).values() if asked.entity == name]
        self.always: list[Asked] = []
        self.steps: list[Asked] = []
        for asked in alone:
            moments = {part[1] for part in walk(asked.condition) if part[0] == "field"} & self.clocks.tainted
            if moments and not _only_whether(asked.condition, moments):
                self.found.unclear[asked.index] = "it compares moments, and the search has no clock"
                continue
            if any(part[0] == "created_at" for part in walk(asked.condition)):
                self.found.unclear[asked.index] = "it reads `created_at`, and the search has no clock"
                continue
            (self.steps if asked.step else self.always).append(asked)
        self.never: list[tuple[int, str, frozenset[str]]] = []
        self.needs: list[tuple[int, shape.Needs, frozenset[str]]] = []
        for index, each in enumerate(table.properties):
            if isinstance(each, shape.Never):
                states = states_of(table, each, each.states).get(name)
                if states:
                    self.never.append((index, each.role, frozenset(states)))
            elif isinstance(each, shape.Needs):
                states = states_of(table, each, each.states).get(name)
                if states:
                    self.needs.append((index, each, frozenset(states)))

    # --- the search ---------------------------------------------------------------------------------------------------

    def run(self) -> Explored:
        """Return what the search finds from the beginning."""
        self.nodes.append(Node(None, tuple(frozenset() for _ in self.needs), -1, None, ()))
        return self.go_on(0)

    def _over(self) -> bool:
        return self.found.stopped is not None

    def go_on(self, position: int) -> Explored:
        """Return what the search finds from a node on: it and all that come after it are looked into."""
        found, limits = self.found, self.limits
        began = time.monotonic()
        while position < len(self.nodes) and not self._over():
            node = self.nodes[position]
            moved, may_move = False, False
            for event, answer in self._answers(node.snapshot, node.used):
                if self._taken_in(position, event, answer):
                    moved, may_move = moved or not rests(event, answer), True
                if self._over():
                    break
            if self._over():
                break
            if node.snapshot is not None and not moved and node.snapshot.state not in self.entity.final:
                self._stuck(position, waits=may_move)
            position += 1
            if position % _PULSE == 0:
                if time.monotonic() - began > limits.seconds:
                    found.stopped = f"stopped after {limits.seconds:g} s"
                elif self.progress is not None:
                    self.progress(self.entity.name, len(self.seen), found.transitions)
        found.states = len(self.seen)
        if not found.states and found.cut:
            found.stopped = found.stopped or NOTHING
        found.partial = dict(self.draws.partial)
        if self.cone.caller.principals or len(self.principals) > 1:
            found.partial["principals"] = ", ".join(self.principals)
        found.sends = bool(self.moves.delivers)
        found.seconds = time.monotonic() - began
        return found

    def _taken_in(self, position: int, event: Event, answer: Accepted | Refused) -> bool:
        """Judge a step, and keep where it leads to. Return whether it leads anywhere."""
        found, node = self.found, self.nodes[position]
        if isinstance(answer, Refused):
            if answer.why in FAULTS:
                self._fault(position, event, answer)
            return False
        found.transitions += 1
        monitors = self._judged(position, node, event, answer)
        after = answer.after
        key, same = self.canon.of(after)
        moved = bool(answer.moves) or key != node.key
        names: Renaming | None = None
        used = 0
        if self.symmetry is not None:
            names, used = self.symmetry.order((key, monitors))
            if names is not None:
                key, monitors = renamed(key, names), renamed(monitors, names)
        pair = (key, monitors)
        if pair in self.seen or self._outside(after, same):
            return moved
        if len(self.seen) >= self.limits.states_max:
            found.stopped = f"stopped at {self.limits.states_max:,} states"
            return moved
        self.seen[pair] = len(self.nodes)
        if names is not None:
            same = renamed_snapshot(same, names)
        self.nodes.append(Node(same, monitors, position, event, key, names, used))
        self._visited(len(self.nodes) - 1, same)
        return moved

    def _answers(self, now: Snapshot | None, used: int) -> Iterator[tuple[Event, Accepted | Refused]]:
        events: Iterator[Event] | tuple[Act, ...]
        events = self.moves.acts("new") if now is None else self.moves.events(now)
        first, *others = self.clocks.tables
        for event in events:
            if self.symmetry is not None and not self.symmetry.fresh(event, used):
                continue
            if isinstance(event, Fire) and now is not None and self._waits(now, event):
                continue
            yield event, step_alone(first, now, event)
            if others and self._affected(now, event):
                for table in others:
                    yield event, step_alone(table, now, event)

    def _affected(self, now: Snapshot | None, event: Event) -> bool:
        """Say whether how times compare can make a difference to what an event does."""
        affected = self.clocks.affected
        if affected is None or now is None:
            return True
        match event:
            case Act() | Deliver():
                return event.action in affected
            case Outcome():
                call = next(each for each in now.calls if each.order == event.order)
                return any(h is not None and h.action in affected for h in (call.then, call.otherwise, call.unknown))
            case Fire():
                return self.moves.fires[event.timer] in affected
            case _:
                return next(held for held in now.deferred if held.id == event.deferred).action in affected

    def _waits(self, now: Snapshot, event: Fire) -> bool:
        """Say whether another timer is due before this one, and can fire: due timers fire in due order."""
        for other in self.moves.earlier(now, event.timer, event.stamp):
            first = Fire(EVENT, AT, other.timer, other.stamp)
            if all(isinstance(step_alone(table, now, first), Accepted) for table in self.clocks.tables):
                return True
        return False

    def _outside(self, after: Snapshot, same: Snapshot) -> bool:
        """Say whether a state lies beyond the bounds of the search."""
        found, limits = self.found, self.limits
        waiting = len(same.calls)
        if waiting > found.pending_seen:
            found.pending_seen = min(waiting, self.pending_max)
        if waiting > self.pending_max:
            found.cut["calls"] = f"at most {self.pending_max} calls of one {after.entity} pending"
            return True
        if len(same.deferred) > limits.deferred_max:
            found.cut["deferred"] = f"at most {limits.deferred_max} deferred at a time"
            return True
        for name, (low, high, closed) in self.scoped.items():
            value: Any = after.fields[name]
            if value is not None and not low <= value <= high:
                found.cut[name] = f"`{name}` within {low}..{high}" + (" (scope)" if closed else "")
                return True
        return False

    # --- what is asked of each step -----------------------------------------------------------------------------------

    def _visited(self, index: int, now: Snapshot) -> None:
        """Ask what is asked of a state that is seen for the first time."""
        self._reach(("state", now.state), index)
        for asked in self.always:
            key = ("always", asked.index)
            if key in self.found.breaks or asked.index in self.found.unclear:
                continue
            try:
                holds = evaluate(self.table, asked.entity, asked.condition, now)
            except NoValue as problem:
                self.found.unclear[asked.index] = f"it has no value somewhere: {problem}"
                continue
            if not holds:
                self._breaks(key, self._run(index), _false_after(asked))

    def _judged(self, position: int, node: Node, event: Event, answer: Accepted) -> Monitors:
        """Ask what is asked of a step, and return what is remembered after it."""
        found = self.found
        if answer.how is not How.TAKEN and isinstance(event, Outcome | Deliver):
            self._not_taken(position, node, event, answer)
        if not answer.moves:
            return node.monitors
        for move in answer.moves:
            if ("case", move.case) not in found.reached:
                self._reach(("case", move.case), position, event)
        if isinstance(event, Fire) and may_spin(self.table, event.timer, node.snapshot, answer.after):
            self._breaks(("spins", event.timer), self._run(position, event), spun(event.timer))
        for asked in self.steps:
            key = ("always", asked.index)
            if key in found.breaks or asked.index in found.unclear or (node.snapshot is None and asked.reads_before):
                continue
            try:
                holds = evaluate(
                    self.table, asked.entity, asked.condition, answer.after, before=node.snapshot, moves=answer.moves
                )
            except NoValue as problem:
                found.unclear[asked.index] = f"it has no value somewhere: {problem}"
                continue
            if not holds:
                self._breaks(key, self._run(position, event), _false_step(asked))
        for index, role, states in self.never:
            if role in answer.caller.roles and any(m.entered and m.after in states for m in answer.moves):
                self._breaks(("never", index), self._run(position, event), _entered_by(role, states))
        if not self.needs:
            return node.monitors
        return self._counted(position, node, event, answer)

    def _counted(self, position: int, node: Node, event: Event, answer: Accepted) -> Monitors:
        after: list[frozenset[Voice]] = []
        for held, (index, each, states) in zip(node.monitors, self.needs, strict=True):
            counted, kept = tally(each, states, held, answer)
            after.append(kept)
            if counted is not None and counted < each.count:
                self._breaks(("needs", index), self._run(position, event), _short(each, states))
        return tuple(after)

    def _not_taken(self, position: int, node: Node, event: Outcome | Deliver, answer: Accepted) -> None:
        """An outcome or a send whose action was not taken: is it a fault of the blueprint, or has it no home?"""
        assert node.snapshot is not None, "nothing arrives at nobody"
        fault = hidden_fault(self.table, node.snapshot, event)
        if fault is not None:
            self._fault(position, event, fault)
        elif answer.how is How.DEAD:
            site = self._site_of(node.snapshot, event)
            key = ("home", site, self._wanted(node.snapshot, event), answer.after.state)
            if key not in self.found.breaks:
                self._breaks(key, self._run(position, event), _dead)

    @staticmethod
    def _wanted(now: Snapshot, event: Outcome | Deliver) -> str:
        """Return the action that an outcome or a send asks for."""
        if isinstance(event, Deliver):
            return event.action
        handler = handler_of(next(each for each in now.calls if each.order == event.order), event.ending)
        return "" if handler is None else handler.action

    def _site_of(self, now: Snapshot, event: Outcome | Deliver) -> str:
        if isinstance(event, Deliver):
            return self.entity.actions[event.action].site
        return next(each.site for each in now.calls if each.order == event.order)

    def _fault(self, position: int, event: Event, refused: Refused) -> None:
        key = ("fault", refused.why, refused.site)
        if key not in self.found.breaks:
            self._breaks(key, self._run(position, event), _refused_so(refused.why), refused)

    def _stuck(self, position: int, *, waits: bool) -> None:
        """Note a state in which nothing can happen any more; one that `waits` is left only with others."""
        state = self.nodes[position].key[0]
        key = ("stuck", state)
        if waits:
            if not {key, ("stuck",)} & (self.found.breaks.keys() | self.found.suspicions.keys()):
                run = self._tried(key, self._run(position), _anything).run
                self.found.suspicions["stuck",] = Break(key, run, f"it waits in `{state}` for others")
        elif key not in self.found.breaks:
            self._breaks(key, self._run(position), _anything)

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _run(self, index: int, last: Event | None = None) -> tuple[Event, ...]:
        """Return the events that lead to a node, and one more, with one name for each principal all the way."""
        nodes: list[Node] = []
        while index > 0:
            nodes.append(self.nodes[index])
            index = self.nodes[index].parent
        real: dict[str, str] | None = None
        events: list[Event] = []
        for node in reversed(nodes):
            assert node.event is not None, "only the beginning has no event"
            events.append(node.event if real is None else renamed_event(node.event, real))
            if node.names is not None:
                before = real or {}
                real = {new: before.get(old, old) for old, new in node.names.items()}
        if last is not None:
            events.append(last if real is None else renamed_event(last, real))
        return tuple(events)

    def _reach(self, key: tuple[Any, ...], index: int, event: Event | None = None) -> None:
        if key in self.found.reached:
            return
        run = self._run(index, event)
        self.found.reached[key] = self._tried(key, run, _reached(key))

    def _breaks(
        self,
        key: tuple[Any, ...],
        events: tuple[Event, ...],
        holds: Callable[[Table, Stage], bool],
        refused: Refused | None = None,
    ) -> None:
        if key in self.found.breaks or self.suspected.get(key, 0) >= SUSPICIONS_MAX:
            return
        tried = self._tried(key, events, holds)
        if tried.run is None or tried.why:
            self.suspected[key] = self.suspected.get(key, 0) + 1
            self.found.suspicions.setdefault(key, tried)
        else:
            self.found.breaks[key] = Break(key, tried.run, "", refused or tried.run.stages[-1].refused)
            self.found.suspicions.pop(key, None)

    def _tried(self, key: tuple[Any, ...], events: tuple[Event, ...], holds: Callable[[Table, Stage], bool]) -> Break:
        run = replay(self.table, self.entity, self.canon, events, holds, self.clocks)
        if run is None:
            return Break(key, None, "only the search, which has no clock, knows a run")
        if any(rests(stage.event, stage.accepted) for stage in run.stages):
            return Break(key, run, RESTS)
        return Break(key, run)


def tally(
    each: shape.Needs, states: frozenset[str], held: frozenset[Voice], answer: Accepted
) -> tuple[int | None, frozenset[Voice]]:
    """Return how many people have been counted where a state is entered (else `None`), and who is remembered after
    the step."""
    counted: int | None = None
    for move in answer.moves:
        if move.action in each.since:
            held = frozenset()
        if (not each.by or move.action in each.by) and (each.role is None or each.role in answer.caller.roles):
            held |= {voice(each, answer.caller.principal, answer.caller.acts_for)}
        if move.entered and move.after in states:
            besides: Any = answer.after.fields[each.besides] if each.besides is not None else None
            different = people(held, besides)
            counted = different if counted is None else min(counted, different)
    return counted, held


# --- what a replayed run has to show ----------------------------------------------------------------------------------


def _false_after(asked: Asked) -> Callable[[Table, Stage], bool]:
    def shows(table: Table, stage: Stage) -> bool:
        return stage.accepted is not None and not evaluate(table, asked.entity, asked.condition, stage.accepted.after)

    return shows


def _false_step(asked: Asked) -> Callable[[Table, Stage], bool]:
    def shows(table: Table, stage: Stage) -> bool:
        accepted = stage.accepted
        return accepted is not None and not evaluate(
            table, asked.entity, asked.condition, accepted.after, before=stage.before, moves=accepted.moves
        )

    return shows


def _entered_by(role: str, states: frozenset[str]) -> Callable[[Table, Stage], bool]:
    def shows(table: Table, stage: Stage) -> bool:
        accepted = stage.accepted
        return (
            accepted is not None
            and role in accepted.caller.roles
            and any(move.entered and move.after in states for move in accepted.moves)
        )

    return shows


def _short(each: shape.Needs, states: frozenset[str]) -> Callable[[Table, Stage], bool]:
    def shows(table: Table, stage: Stage) -> bool:
        held: frozenset[Voice] = frozenset()
        counted: int | None = None
        for accepted in [*(earlier for earlier in stage.history), stage.accepted]:
            if accepted is not None:
                counted, held = tally(each, states, held, accepted)
        return counted is not None and counted < each.count

    return shows


def _refused_so(why: Why) -> Callable[[Table, Stage], bool]:
    def shows(table: Table, stage: Stage) -> bool:
        refused = stage.refused
        if refused is None and stage.before is not None and isinstance(stage.event, Outcome | Deliver):
            refused = hidden_fault(table, stage.before, stage.event)
        return refused is not None and refused.why is why

    return shows


def _dead(table: Table, stage: Stage) -> bool:
    return stage.accepted is not None and stage.accepted.how is How.DEAD


def _anything(table: Table, stage: Stage) -> bool:
    return stage.accepted is not None


def _reached(key: tuple[Any, ...]) -> Callable[[Table, Stage], bool]:
    kind, what = key

    def shows(table: Table, stage: Stage) -> bool:
        accepted = stage.accepted
        if accepted is None:
            return False
        if kind == "state":
            return bool(accepted.after.state == what)
        return any(move.case == what for move in accepted.moves)

    return shows


# --- bounds -----------------------------------------------------------------------------------------------------------


def _only_whether(condition: Expr, moments: set[str]) -> bool:
    """Say whether a condition looks at fields that hold moments only to see whether they are `none`."""

    def fine(e: Expr) -> bool:
        if e[0] in {"==", "!="} and any(part[0] == "none" for part in e[1:]):
            return True
        if e[0] == "field" and e[1] in moments:
            return False
        return all(fine(part) for part in children(e))

    return fine(condition)
