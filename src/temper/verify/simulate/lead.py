"""A simulated run that follows a guide: what brings about the guide's next event, as a decision."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from temper.table import Act, Ending, Fire, Outcome, Snapshot, Table, encode_args, shape
from temper.verify.clauses import NEW
from temper.verify.simulate.decisions import Ask, Decision, Reply, Turn, Wait
from temper.verify.simulate.guide import Guide, Key, Names, Step
from temper.verify.simulate.world import Flight, World

# Decisions that an event is waited for: longer, and something has come between.
PATIENCE = 12


class Lead:
    """A guide that is being followed in a world. `name` gives the names of requests."""

    def __init__(self, world: World, guide: Guide, name: Callable[[], str]) -> None:
        self.guide = guide
        self.arrived = False
        self._world = world
        self._name = name
        self._left: deque[Step] = deque(guide.steps)
        self._names = Names()
        self._patience = 0
        self._due: int | None = None
        """The moment that is waited for."""

    @property
    def over(self) -> bool:
        """Return whether it has come to its end (`arrived`), or can't."""
        return not self._left

    @property
    def led(self) -> frozenset[Key]:
        """Return those whom it is about, as they are called here."""
        return frozenset(self._names.all()) if self._left else frozenset()

    def next(self, chance: Random) -> Decision | None:
        """Return what brings the next event about, `None` where it has come to its end."""
        step = self._left[0]
        self._patience += 1
        if self._patience > PATIENCE or step.who[0] not in self._table.entities:
            return self._end()
        if self._world.queue:
            return Turn()
        match step.event:
            case Act(by_system=False):
                return self._act(step, step.event, chance)
            case Outcome():
                return self._outcome(step, step.event)
            case Fire():
                return self._fire(step, step.event)
            case _:
                self._done()
                return Turn()

    @property
    def _table(self) -> Table:
        return self._world.host.table

    def _done(self) -> None:
        self._left.popleft()
        self._patience = 0
        self._due = None
        self.arrived = not self._left

    def _end(self) -> Decision | None:
        """Give up, with nothing to decide."""
        self._left.clear()
        return None

    def _here(self, step: Step) -> Snapshot | None:
        """Return whom an event is about as it is now. Whoever was created along with others is the newest."""
        kind, _ = step.who
        rows = self._world.watch.rows.get(kind, {})
        if step.who not in self._names:
            led = self.led
            newest = next((id for id in reversed(rows) if (kind, id) not in led), None)
            if newest is None:
                return None
            self._names.called(step.who, newest)
        return rows.get(self._names.of(step.who))

    # --- people -------------------------------------------------------------------------------------------------------

    def _act(self, step: Step, event: Act, chance: Random) -> Decision | None:
        kind = step.who[0]
        entity = self._table.entities[kind]
        action = entity.actions.get(event.action)
        if action is None:
            return self._end()
        creates = step.who not in self._names and any(NEW in case.froms for case in action.cases)
        if creates:
            self._names.called(step.who, f"{kind[:1].lower()}{len(self._world.watch.rows.get(kind, {})) + 1}")
        elif self._here(step) is None:
            return self._end()
        name = self._name()
        params = self._first(entity, action, event, name) if creates else self._given(action, event)
        try:
            encoded: Mapping[str, Any] = encode_args(action.params, params, self._table.records)
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            return self._end()  # Of the other version of the table.
        self._done()
        return Ask(
            name, kind, self._names.of(step.who), event.action, encoded, event.caller.principal,
            tuple(sorted(event.caller.roles)), event.caller.acts_for, keyed=chance.random() < 0.4,
        )  # fmt: skip

    def _given(self, action: shape.Action, event: Act) -> dict[str, Any]:
        types = {param.name: param.type for param in action.params}
        later_ms = self._world.at - event.at
        return {
            name: self._names.put(self._table, types[name], value, later_ms)
            for name, value in event.params.items()
            if name in types
        }

    def _first(self, entity: shape.Entity, action: shape.Action, event: Act, name: str) -> dict[str, Any]:
        """Return what a creation is given. Where another has its key already, it gets one of its own."""
        given = self._given(action, event)
        texts = {param.name for param in action.params if param.type == ("string",)}
        for each in entity.key:
            held = {now.fields.get(each) for now in self._world.watch.rows.get(entity.name, {}).values()}
            if each in texts and given.get(each) in held:
                given[each] = f"{given[each]}{name}"
        return given

    # --- what follows by itself ---------------------------------------------------------------------------------------

    def _fire(self, step: Step, event: Fire) -> Decision | None:
        now = self._here(step)
        if now is None:
            return self._end()
        due = next((armed.due for armed in now.timers if armed.timer == event.timer), None)
        self._due = due if self._due is None else self._due
        if due is not None and due == self._due and due > self._world.at:
            return Wait(due - self._world.at)
        # It is due now; or it has fired, and may run for the next time already.
        self._done()
        return Turn()

    def _outcome(self, step: Step, event: Outcome) -> Decision | None:
        now = self._here(step)
        if now is None:
            return self._end()
        flights = [
            flight
            for flight in self._world.flights.values()
            if flight.end is None
            and (flight.attempt.entity, flight.attempt.id, flight.attempt.tool) == (now.entity, now.id, step.tool)
        ]
        waiting = [flight for flight in flights if not flight.timed_out]
        if event.ending is Ending.UNKNOWN:
            return self._no_answer(step, now, waiting)
        # One that has been waited for in vain may answer late.
        for flight in (*waiting, *reversed(flights)):
            self._done()
            return self._reply(flight, event)
        if all(call.tool != step.tool or call.ended for call in now.calls):
            self._done()  # The search lets calls wait as long as it likes; here it has failed meanwhile.
        return Turn()

    def _no_answer(self, step: Step, now: Snapshot, waiting: Sequence[Flight]) -> Decision:
        """Let time pass until the last attempt has had its time."""
        at = self._world.at
        if waiting:
            self._patience = 0
            return Wait(max(0, waiting[0].until - at))
        if any(call.tool == step.tool and not call.ended for call in now.calls):
            # It starts in a turn; or once there has been a pause, if it has been tried before.
            wake = self._world.next_wake()
            return Wait(wake - at) if self._patience % 2 == 0 and wake is not None and wake > at else Turn()
        self._done()
        return Turn()

    def _reply(self, flight: Flight, event: Outcome) -> Decision:
        attempt = flight.attempt
        tool = self._table.tools.get(attempt.tool)
        results: Mapping[str, Any] = {}
        if event.ending is Ending.ANSWERED and tool is not None:
            results = encode_args(tool.results, event.results, self._table.records)
        return Reply(attempt.order, attempt.number, event.ending, results, event.error_kind, event.error_text)
