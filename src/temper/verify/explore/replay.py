"""A run of the search, done once more with real ids and real moments.

The search renames orders and has no clock; here each of its events becomes one that could stand in a journal.
Moments are chosen so that no timer fires early or out of turn: the nearest that do, or none within a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from temper.table import (
    Accepted,
    Act,
    Deliver,
    Event,
    Fire,
    Offer,
    Outcome,
    Refused,
    Snapshot,
    Table,
    Type,
    Value,
    decode,
    shape,
)
from temper.verify.explore.alone import step_alone
from temper.verify.explore.canon import Canon
from temper.verify.explore.clocks import Clocks
from temper.verify.explore.cone import literals

# 2026-01-01, in milliseconds: any moment will do, and this one reads well.
BEGINNING = 1_767_225_600_000
STEPS_MAX = 4_000
MOMENTS_MAX = 16


class Stage(Struct, frozen=True):
    """One event of a replayed run and what came of it. `history` is what was accepted before."""

    event: Event
    before: Snapshot | None
    accepted: Accepted | None
    refused: Refused | None
    history: tuple[Accepted, ...]


class Replayed(Struct, frozen=True):
    """A run that happens as it stands."""

    stages: tuple[Stage, ...]


class _Spent(Exception):
    pass


def replay(
    table: Table,
    entity: shape.Entity,
    canon: Canon,
    events: Sequence[Event],
    shows: Callable[[Table, Stage], bool],
    clocks: Clocks,
) -> Replayed | None:
    """Return the run with real ids and moments, if it goes through and its last step shows what it should."""
    return _Replay(table, entity, canon, events, shows, clocks).run()


class _Replay:
    def __init__(
        self,
        table: Table,
        entity: shape.Entity,
        canon: Canon,
        events: Sequence[Event],
        shows: Callable[[Table, Stage], bool],
        clocks: Clocks,
    ) -> None:
        self.table = table
        self.entity = entity
        self.canon = canon
        self.events = events
        self.shows = shows
        self.keys = _keys(canon, clocks.tables, events)
        self.durations = _durations(table, entity)
        self.moments = bool(clocks.comparisons)
        self.left = STEPS_MAX

    def run(self) -> Replayed | None:
        try:
            stages = self._stages()
        except _Spent:
            return None
        return None if stages is None else Replayed(tuple(stages))

    def _stages(self) -> list[Stage] | None:
        """Return the stages, at the earliest moments that go through: a step that leads no further is tried anew."""
        # A run may be longer than calls may be deep.
        tries = [self._tries(0, None, BEGINNING, ())]
        stages: list[Stage] = []
        while tries:
            stage = next(tries[-1], None)
            if stage is None:
                tries.pop()
                if stages:
                    stages.pop()
                continue
            stages.append(stage)
            if len(stages) == len(self.events):
                return stages
            assert stage.accepted is not None, "only what is accepted leads on"
            history = (*stage.history, stage.accepted)
            tries.append(self._tries(len(stages), stage.accepted.after, stage.event.at, history))
        return None

    def _tries(self, number: int, now: Snapshot | None, at: int, history: tuple[Accepted, ...]) -> Iterator[Stage]:
        """Yield what an event can be, the earliest moment first, where the search says that it leads on."""
        event = self.events[number]
        last = number == len(self.events) - 1
        for moment in self._moments(event, now, at):
            for real in self._real(event, now, moment, number):
                self.left -= 1
                if self.left < 0:
                    raise _Spent
                if isinstance(real, Fire) and now is not None and self._out_of_turn(now, real):
                    continue
                answer = step_alone(self.table, now, real)
                accepted = answer if isinstance(answer, Accepted) else None
                stage = Stage(real, now, accepted, None if accepted else _refusal(answer), history)
                if last:
                    if self.shows(self.table, stage):
                        yield stage
                elif accepted is not None and self.canon.of(accepted.after)[0] in self.keys[number]:
                    yield stage

    def _moments(self, event: Event, now: Snapshot | None, at: int) -> Iterator[int]:
        """The moments at which an event is tried, the present first."""
        if isinstance(event, Fire):
            assert now is not None, "nobody has no timers"
            due = next((armed.due for armed in now.timers if armed.timer == event.timer), None)
            at = at if due is None else max(at, due)
        yield at
        near: set[int] = set()
        if now is not None:
            dues = [armed.due for armed in now.timers if armed.due is not None]
            near |= {due + by for due in dues for by in (-1, 0, 1)}
            if self.moments:
                known = [now.created_at, *_moments_in(self.entity, now.fields)]
                near |= {
                    k + sign * d + by
                    for k in known
                    for d in (0, *self.durations)
                    for sign in (1, -1)
                    for by in (-1, 0, 1)
                }
        near |= {at + d + 1 for d in self.durations}
        yield from sorted(moment for moment in near if moment > at)[:MOMENTS_MAX]

    def _real(self, event: Event, now: Snapshot | None, at: int, number: int) -> Iterator[Event]:
        id = f"e{number + 1}"
        match event:
            case Act():
                for params in self._params(event.action, event.params, now, at):
                    yield replace(event, id=id, at=at, params=params)
            case Deliver():
                for params in self._params(event.action, event.params, now, at):
                    yield replace(event, id=id, at=at, order=f"s{number + 1}", params=params)
            case Outcome():
                assert now is not None, "nobody has no calls"
                order = self.canon.calls(now)[2].get(event.order)
                if order is not None:
                    yield replace(event, id=id, at=at, order=order)
            case Fire():
                assert now is not None, "nobody has no timers"
                for armed in now.timers:
                    if armed.timer == event.timer:
                        yield Fire(id, at, armed.timer, armed.stamp)
            case Offer():
                assert now is not None, "nobody has deferred nothing"
                index = int(event.deferred[1:]) - 1
                if index < len(now.deferred):
                    yield Offer(id, at, now.deferred[index].id)

    def _params(
        self, action: str, params: Mapping[str, Value], now: Snapshot | None, at: int
    ) -> Iterator[Mapping[str, Value]]:
        """The parameters with real moments: the present, the past, what a duration leads to, or what a field holds."""
        types: dict[str, Type] = {param.name: param.type for param in self.entity.actions[action].params}
        timely = [name for name in params if types[name] == ("time",)]
        timely += [name for name in params if types[name] == ("optional", ("time",)) and params[name] is not None]
        if not timely:
            yield params
            return
        hour = 3_600_000
        held = tuple(_moments_in(self.entity, now.fields)) if now is not None else ()
        near = (at + by for by in (hour, 0, -hour, *self.durations, *(-d for d in self.durations)))
        for moment in dict.fromkeys((*near, *held)):
            yield {**params, **dict.fromkeys(timely, moment)}

    def _out_of_turn(self, now: Snapshot, fire: Fire) -> bool:
        """Say whether another timer is due earlier, and can fire."""
        mine = next((armed.due for armed in now.timers if armed.timer == fire.timer), None)
        if mine is None:
            return False
        for other in now.timers:
            if other.due is not None and other.due < mine:
                first = Fire(fire.id, fire.at, other.timer, other.stamp)
                if isinstance(step_alone(self.table, now, first), Accepted):
                    return True
        return False


def _durations(table: Table, entity: shape.Entity) -> list[int]:
    """Return the durations that the table names, shortest first."""
    found = (decode(type_, json) for type_, json in literals(table, entity) if type_[0] == "duration")
    return sorted({value for value in found if isinstance(value, int) and value})


def _refusal(answer: Accepted | Refused) -> Refused | None:
    return answer if isinstance(answer, Refused) else None


def _keys(canon: Canon, tables: Sequence[Table], events: Sequence[Event]) -> list[set[Any]]:
    """Return the states that the search can be in after each event: a run has to stay among them."""
    found: list[set[Any]] = []
    now: dict[Any, Snapshot | None] = {(): None}
    for event in events:
        after: dict[Any, Snapshot | None] = {}
        for snapshot in now.values():
            for table in tables:
                answer = step_alone(table, snapshot, event)
                if isinstance(answer, Accepted):
                    key, same = canon.of(answer.after)
                    after[key] = same
        found.append(set(after))
        now = after
    return found


def _moments_in(entity: shape.Entity, fields: Mapping[str, Value]) -> Iterator[int]:
    for each in entity.fields:
        inner = each.type[1] if each.type[0] == "optional" else each.type
        value = fields[each.name]
        if inner == ("time",) and isinstance(value, int):
            yield value
