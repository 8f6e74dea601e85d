"""One action taken on one entity, with the actions that it routes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from temper.table.choose import choose, fill
from temper.table.clauses import CallDraft, Stop, Work, compile_clauses, place_clauses
from temper.table.evaluate import Frame, Look, Unset
from temper.table.events import (
    Accepted,
    Armed,
    Caller,
    CallOrder,
    Deferred,
    How,
    Move,
    Pending,
    Refused,
    SendOrder,
    Snapshot,
    Value,
    Why,
)
from temper.table.expr import Absent
from temper.table.program import NEW, EntityProgram, PlaceCode, TimerCode
from temper.table.refusals import absent, division, unknown_action
from temper.table.rouse import SPIN_MS, roused
from temper.table.table import Type
from temper.table.values import fits, show_as


class Base:
    """What an entity has after an event has been taken off it: its calls, its timers, what it has deferred."""

    __slots__ = ("calls", "deferred", "timers")

    def __init__(self, now: Snapshot | None) -> None:
        self.calls: tuple[Pending, ...] = now.calls if now else ()
        self.timers: tuple[Armed, ...] = now.timers if now else ()
        self.deferred: tuple[Deferred, ...] = now.deferred if now else ()


class Taking(Work):
    """An action being taken with its routes: what it has changed and ordered so far."""

    __slots__ = (
        "armed", "base", "created_at", "fired", "id", "moves", "now", "program", "state", "system", "visit", "world",
    )  # fmt: skip

    def __init__(
        self,
        program: EntityProgram,
        now: Snapshot | None,
        id: str,
        event_id: str,
        at: int,
        caller: Caller,
        system: bool,
        base: Base,
        world: Look | None,
        fired: Armed | None = None,
    ) -> None:
        super().__init__(event_id, at, caller)
        self.world = world
        self.fired = fired
        self.program = program
        self.now = now
        self.id = id
        self.system = system
        self.base = base
        self.state = NEW if now is None else now.state
        self.visit = 0 if now is None else now.visit
        self.created_at = at if now is None else now.created_at
        self.moves: list[Move] = []
        self.armed: dict[str, TimerCode] = {}
        """Timers of places that have been entered in this commit; those left again are gone from it."""

    def run(self, action: str, given: Mapping[str, Value]) -> Accepted | Refused:
        """Return what taking `action` comes to."""
        try:
            actor = self._take(action, given, self._start(), self.system)
            return self._finished(actor)
        except Stop as stop:
            return stop.refused
        except ZeroDivisionError:
            return division(self.action, self.site)
        except Absent as gone:
            return absent(self.action, self.site, gone)

    def _start(self) -> Mapping[str, Any]:
        if self.now is None:
            self.fields = Unset(self.program.defaults)
            return Unset(self.program.defaults)
        self.fields = dict(self.now.fields)
        return self.now.fields

    def _frame(self, fields: Mapping[str, Any]) -> Frame:
        frame = Frame(self.program.name, self.id, self.state, fields, self.created_at, self.at, self.caller, self.world)
        frame.created = self.created
        return frame

    def _take(self, name: str, given: Mapping[str, Value], before: Mapping[str, Any], system: bool) -> str:
        """Take one action and what it routes to; return as what its caller was admitted."""
        self.action = name
        program = self.program
        if name not in program.entity.actions:
            raise Stop(unknown_action(program, name))
        action = program.actions[name]
        frame = self._frame(before)
        bad = fill(action, given, frame)
        if bad is not None:
            raise Stop(bad)
        chosen = choose(program, action, frame, self.state, self.caller, system, self)
        if isinstance(chosen, Refused):
            raise Stop(chosen)
        case, actor = chosen
        frozen = case.case
        bodies = program.bodies
        body = bodies.get(frozen.site)
        if body is None:
            body = bodies[frozen.site] = (
                *compile_clauses(action.action.body, action.names, program),
                *compile_clauses(frozen.body, case.names, program),
            )
        if frozen.to is None:
            for run in body:
                run(self, frame)
            self.moves.append(Move(name, frozen.site, self.state, self.state, frame.params, entered=False))
            return actor
        left, entered = program.moves[self.state, frozen.to]
        for place in left:
            if place.place.exit:
                # `on exit` sees no parameters, and its lets are the entity's.
                exit_frame = self._frame(before)
                for run in place_clauses(place, program)[0]:
                    run(self, exit_frame)
            for timer in place.timers:
                self.armed.pop(timer.timer.site, None)
        for run in body:
            run(self, frame)
        self.moves.append(Move(name, frozen.site, self.state, frozen.to, frame.params, entered=True))
        self.state = frozen.to
        self.visit += 1
        self._leave(left)
        self._enter(entered)
        return actor

    def _leave(self, left: Iterable[PlaceCode]) -> None:
        gone = {timer.timer.site for place in left for timer in place.timers}
        if gone:
            self.base.timers = tuple(armed for armed in self.base.timers if armed.timer not in gone)
        if self.base.deferred:
            places = {place.place.site for place in left}
            self.base.deferred = tuple(
                replace(held, place="") if held.place in places else held for held in self.base.deferred
            )

    def _enter(self, entered: Iterable[PlaceCode]) -> None:
        route: PlaceCode | None = None
        for place in entered:
            if place.place.entry:
                frame = self._frame(self.fields)
                for run in place_clauses(place, self.program)[1]:
                    run(self, frame)
            for timer in place.timers:
                self.armed[timer.timer.site] = timer
            if place.route is not None:
                route = place
        if route is None or route.route is None:
            return
        self.site = route.place.site
        if len(self.moves) > len(self.program.states):
            text = f"the routes of {self.program.name} lead back to `{self.state}` in one commit"
            raise Stop(Refused(Why.TWICE, text, self.site, self.action))
        before = Unset(self.fields)
        self._take(route.route.handler.action, route.route.given(self._frame(before)), before, system=True)

    def _finished(self, actor: str) -> Accepted:
        program, now, at = self.program, self.now, self.at
        if now is None:
            for name in program.field_names:
                if name not in self.fields:
                    text = f"`{name}` has no value: `{self.action}` creates a {program.name} without it"
                    raise Stop(Refused(Why.OUT_OF_TYPE, text, f"{program.name}.{name}", self.action))
            fields: Mapping[str, Any] = {name: self.fields[name] for name in program.field_names}
        elif self.assigned:
            fields = self.fields
        else:
            fields = now.fields
        version = 1 if now is None else now.version + 1
        calls = self.base.calls
        orders: list[CallOrder | SendOrder] = []
        for order in self.orders:
            if isinstance(order, CallDraft):
                then, otherwise, unknown = order.handlers
                call = order.call
                pending = Pending(
                    order.order, call.site, call.tool, order.args, self.visit, then, otherwise, unknown,
                    call.unknown_is_failure, self.caller,
                )  # fmt: skip
                calls = (*calls, pending)
                orders.append(CallOrder(pending))
            else:
                orders.append(order)
        timers = self._timers(fields, version) if program.timers else self.base.timers
        after = Snapshot(
            program.name, self.id, self.state, fields, version, self.visit, self.created_at, at, calls, timers,
            self.base.deferred,
        )  # fmt: skip
        if program.whenevers:
            after = roused(program, after, self.caller, at, None, self.fired.timer if self.fired else None)
        return Accepted(
            after, How.TAKEN, tuple(self.moves), self.caller, actor, tuple(orders), tuple(self.creates),
            tuple(self.emitted), None, tuple(self.joins),
        )  # fmt: skip

    def _timers(self, fields: Mapping[str, Any], version: int) -> tuple[Armed, ...]:
        """The timers that ran on, those whose field changed set anew, and those that have been armed."""
        program = self.program
        kept: list[Armed] = []
        for armed in self.base.timers:
            code = program.timers.get(armed.timer)
            if code is not None and code.timer.kind == "at" and self.now is not None:
                name = code.timer.field or ""
                if self.now.fields[name] != fields[name]:
                    armed = self._at(Armed(armed.timer, fields[name], version, self.caller))
            kept.append(armed)
        if self.armed:
            frame = self._frame(fields)
            kept.extend(self._arm(code, frame, version) for code in self.armed.values())
            last = len(program.timer_order)
            kept.sort(key=lambda armed: program.timer_order.get(armed.timer, last))
        return tuple(kept)

    def _arm(self, code: TimerCode, frame: Frame, version: int) -> Armed:
        timer = code.timer
        self.site = timer.site
        if code.duration is None:
            return self._at(Armed(timer.site, frame.fields[timer.field or ""], version, self.caller))
        wait = code.duration(frame)
        if not fits(_DURATION, wait) or (timer.kind == "every" and wait <= 0):
            text = f"`{timer.kind}` would wait {show_as(_DURATION, wait)}"
            raise Stop(Refused(Why.OUT_OF_TYPE, text, timer.site, self.action))
        period = wait if timer.kind == "every" else None
        return Armed(timer.site, self.at + max(wait, 0), version, self.caller, period)

    def _at(self, armed: Armed) -> Armed:
        """One that has fired and is due again without having moved on would fire for ever: it has to wait (18)."""
        fired = self.fired
        if fired is None or fired.timer != armed.timer or armed.due is None or fired.due is None:
            return armed
        spins = armed.due <= min(fired.due, self.at)
        return replace(armed, due=self.at + SPIN_MS) if spins else armed


_DURATION: Type = ("duration",)
