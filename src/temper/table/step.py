"""What an event does to one entity.

`step` is the only place that says so. An action is taken in this order, all within one commit:

1. `on exit` of the places that are left, the action's clauses, then the case's. All of them read the values from before
   the action, so that their order decides only the numbers of orders.
2. The state changes.
3. `on entry` of the places that are entered, clause by clause: each reads the values so far.
4. If the state routes, its `do` is taken from there in the same way, with the values so far as those before it.
5. Timers of the places that were entered are armed on the values after it all.

What an event orders and creates is numbered from 1 in that order: the second order of event `e` is `e.2`. Calls belong
to the visit in which the commit ends.

Questions are asked in one order, and the first "no" is the answer: is there such an action; do the parameters fit; does
the caller hold roles that exclude each other; does `by` admit the caller; is there a case from this state; do the
action's own guards hold, in order; is there a case whose state, `by` and guards hold (if not, the first guard that
failed is told).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, assert_never

from temper.table.evaluate import Code, Frame, Unset, compile_expr, compile_over
from temper.table.events import (
    Accepted,
    Act,
    Armed,
    Caller,
    CallOrder,
    Creation,
    Deferred,
    Deliver,
    Emitted,
    Ending,
    Event,
    Fire,
    How,
    Move,
    Offer,
    Outcome,
    Pending,
    Refused,
    SendOrder,
    Snapshot,
    Value,
    Why,
)
from temper.table.expr import BINDERS, Absent, Names, element, parts, rebuilt, type_of, walk
from temper.table.phrase import describe_expr
from temper.table.program import (
    NEW,
    ActionCode,
    CaseCode,
    EntityProgram,
    GuardCode,
    PlaceCode,
    TimerCode,
    admits,
    by_phrase,
    program_of,
)
from temper.table.table import (
    AnyClause,
    Args,
    Call,
    Create,
    Emit,
    Expr,
    For,
    Handler,
    If,
    Param,
    Place,
    Send,
    Set,
    Table,
    Type,
    With,
)
from temper.table.values import Checker, checker, describe, encode, fits, show_as
from temper.text import suggest

Run: TypeAlias = Callable[["Commit", Frame], None]
"""A compiled clause."""


def step(table: Table, now: Snapshot | None, event: Event) -> Accepted | Refused:
    """Return what `event` does to `now`, which is `None` where there is no such entity yet. Total and deterministic.

    What needs other entities is not asked here, but in `commit`: `key`, `unique`, creations that are refused, `always`.
    """
    return decide(table, now, event, ())


def decide(table: Table, now: Snapshot | None, event: Event, barred: tuple[Refused, ...]) -> Accepted | Refused:
    """Return what `event` does to `now`, where what it leads to first is refused by the rest of its commit.

    `barred` says why: first for the action itself, then for that of the `late` line.
    """
    if isinstance(event, Act | Deliver):
        entity = event.entity
    elif now is None:
        return Refused(Why.MISSING, "there is no such entity")
    else:
        entity = now.entity
    program = program_of(table, entity)
    if program is None:
        return Refused(Why.MISSING, f"there is no kind of entity called `{entity}`")
    if isinstance(event, Act):
        return _act(program, now, event)
    if now is None:
        return Refused(Why.MISSING, f"there is no {entity} `{_entity_id(event)}`", action=_action_name(event))
    match event:
        case Outcome():
            return _outcome(program, now, event, barred)
        case Fire():
            return _fire(program, now, event)
        case Deliver():
            late = _Late(event.id, event.action, event.params, event.caller)
            return _take_or_late(program, now, event.at, late, Base(now), barred)
        case Offer():
            return _offer(program, now, event, barred)
        case _:
            assert_never(event)


def _entity_id(event: Event) -> str:
    return event.entity_id if isinstance(event, Act | Deliver) else ""


def _action_name(event: Event) -> str | None:
    return event.action if isinstance(event, Act | Deliver) else None


# --- each kind of event -----------------------------------------------------------------------------------------------


class Base:
    """What an entity has after an event has been taken off it: its calls, its timers, what it has deferred."""

    __slots__ = ("calls", "deferred", "fired", "timers")

    def __init__(self, now: Snapshot | None) -> None:
        self.calls: tuple[Pending, ...] = now.calls if now else ()
        self.timers: tuple[Armed, ...] = now.timers if now else ()
        self.deferred: tuple[Deferred, ...] = now.deferred if now else ()
        self.fired: str | None = None


class _Late:
    """An outcome, a send or a deferred one, as an action that `system` is to take."""

    __slots__ = ("action", "caller", "id", "params")

    def __init__(self, id: str, action: str, params: Mapping[str, Value], caller: Caller) -> None:
        self.id = id
        self.action = action
        self.params = params
        self.caller = caller


def _act(program: EntityProgram, now: Snapshot | None, event: Act) -> Accepted | Refused:
    commit = Commit(program, now, event.entity_id, event.id, event.at, event.caller, event.by_system, Base(now))
    return commit.run(event.action, event.params)


def _outcome(program: EntityProgram, now: Snapshot, event: Outcome, barred: tuple[Refused, ...]) -> Accepted | Refused:
    pending = next((call for call in now.calls if call.order == event.order), None)
    if pending is None:
        return Refused(Why.STALE, f"no call `{event.order}` waits for an outcome")
    if pending.ended and event.ending is Ending.UNKNOWN:
        return Refused(Why.STALE, f"the call `{event.order}` has ended as unknown already")
    base = Base(now)
    keep = (replace(pending, ended=True),) if event.ending is Ending.UNKNOWN else ()
    base.calls = tuple(other for call in now.calls for other in (keep if call is pending else (call,)))

    ending, results, kind, text = event.ending, event.results, event.error_kind, event.error_text
    if ending is Ending.ANSWERED:
        wrong = _bad_answer(program, pending.tool, results)
        if wrong is not None:
            ending, results, kind, text = Ending.FAILED, {}, "bad_answer", wrong
        else:
            results = _with_absent(program, pending.tool, results)
    if ending is Ending.UNKNOWN and pending.unknown_is_failure:
        ending, kind, text = Ending.FAILED, "timeout", text or f"`{pending.tool}` gave no answer in time"
    if ending is Ending.ANSWERED:
        handler = pending.then
    elif ending is Ending.FAILED:
        handler = pending.otherwise
    else:
        handler = pending.unknown

    visit_over = pending.ended or pending.visit != now.visit
    if handler is None:
        return _quiet(now, event.at, pending.caller, base, How.IGNORED, None)
    given = _outcome_args(program, now, event.at, pending, handler, results, (kind, text))
    late = _Late(event.id, handler.action, {} if isinstance(given, Refused) else given, pending.caller)
    if pending.ended:
        why = f"`{pending.tool}` had ended as unknown before this came"
    elif visit_over:
        why = f"this {program.name} has left the state in which `{pending.tool}` was called"
    else:
        why = None
    if isinstance(given, Refused):
        barred = (given, *barred[1:])
    return _take_or_late(program, now, event.at, late, base, barred, why)


def _bad_answer(program: EntityProgram, tool: str, results: Mapping[str, Value]) -> str | None:
    declared = program.table.tools.get(tool)
    for result in declared.results if declared else ():
        if result.name not in results and result.type[0] != "optional":
            return f"`{tool}` answered without `{result.name}`"
        value = results.get(result.name)
        if not fits(result.type, value, program.table.records):
            shown = show_as(result.type, value, program.table.records)
            return f"`{tool}` answered `{result.name}` {shown}, which is not {describe(result.type)}"
    return None


def _with_absent(program: EntityProgram, tool: str, results: Mapping[str, Value]) -> Mapping[str, Value]:
    declared = program.table.tools.get(tool)
    return {result.name: results.get(result.name) for result in declared.results} if declared else results


def _outcome_args(
    program: EntityProgram,
    now: Snapshot,
    at: int,
    pending: Pending,
    handler: Handler,
    results: Mapping[str, Value],
    error: tuple[str, str],
) -> dict[str, Value] | Refused:
    tool = program.table.tools.get(pending.tool)
    types = {result.name: result.type for result in tool.results} if tool else {}
    names = Names(program.table, program.entity, outer=program.names, results=types)
    frame = Frame(now.entity, now.id, now.state, now.fields, now.created_at, at, pending.caller)
    frame.results = results
    frame.error = error
    try:
        return {name: compile_expr(value, names)(frame) for name, value in handler.args}
    except ZeroDivisionError:
        return _division(handler.action, pending.site)
    except Absent as absent:
        return _absent(handler.action, pending.site, absent)


def _fire(program: EntityProgram, now: Snapshot, event: Fire) -> Accepted | Refused:
    armed = next((timer for timer in now.timers if timer.timer == event.timer), None)
    code = program.timers.get(event.timer)
    if armed is None or code is None or armed.stamp != event.stamp or armed.due is None:
        return Refused(Why.STALE, "this timer is not armed any more")
    if armed.due > event.at:
        return Refused(Why.STALE, "this timer is not due yet")
    base = Base(now)
    base.fired = event.timer
    if armed.period_ms is not None:
        # Ticks that were missed merge into this one: the next is the first that is still to come.
        missed = (event.at - armed.due) // armed.period_ms
        again: Armed = replace(armed, due=armed.due + (missed + 1) * armed.period_ms, stamp=now.version + 1)
    else:
        again = replace(armed, due=None)
    base.timers = tuple(again if timer is armed else timer for timer in now.timers)
    frame = Frame(now.entity, now.id, now.state, now.fields, now.created_at, event.at, armed.caller)
    action = code.handler.handler.action
    try:
        given = code.handler.given(frame)
    except ZeroDivisionError:
        return _division(action, event.timer)
    except Absent as absent:
        return _absent(action, event.timer, absent)
    return Commit(program, now, now.id, event.id, event.at, armed.caller, True, base).run(action, given)


def _offer(program: EntityProgram, now: Snapshot, event: Offer, barred: tuple[Refused, ...]) -> Accepted | Refused:
    held = next((one for one in now.deferred if one.id == event.deferred), None)
    if held is None:
        return Refused(Why.STALE, f"nothing is deferred as `{event.deferred}`")
    if still_deferred(program, now.state, held):
        return Refused(Why.STALE, f"this {program.name} has not left the state that defers `{held.action}`")
    base = Base(now)
    base.deferred = tuple(one for one in now.deferred if one is not held)
    late = _Late(held.id, held.action, held.params, held.caller)
    return _take_or_late(program, now, event.at, late, base, barred, event_id=event.id)


def still_deferred(program: EntityProgram, state: str, held: Deferred) -> bool:
    """Say whether the entity is still where `held` waits."""
    return any(code.place.site == held.place and state in code.place.states for code in program.places)


def _take_or_late(
    program: EntityProgram,
    now: Snapshot,
    at: int,
    late: _Late,
    base: Base,
    barred: tuple[Refused, ...],
    why: str | None = None,
    *,
    event_id: str | None = None,
) -> Accepted | Refused:
    """Take the action as `system`; where it is late (`why`, or the action refuses), do what the place says."""
    id = event_id or late.id
    if why is None and not barred:
        taken = Commit(program, now, now.id, id, at, late.caller, True, base).run(late.action, late.params)
        if isinstance(taken, Accepted):
            return taken
        why = taken.text
    elif why is None:
        why = barred[0].text
    home = program.late[now.state, late.action]
    if home is None:
        return _quiet(now, at, late.caller, base, How.DEAD, why)
    if isinstance(home, Place):
        base.deferred = (*base.deferred, Deferred(late.id, late.action, late.params, late.caller, home.site))
        return _quiet(now, at, late.caller, base, How.DEFERRED, why)
    if home.handler is None:
        return _quiet(now, at, late.caller, base, How.IGNORED, why)
    # The refusal that bars the action of the `late` line stands second, or first where the visit was over.
    if len(barred) < 2:
        taken = _take_late(program, now, id, at, late, base, home.handler.handler.action, home.handler.given)
    else:
        taken = barred[1]
    if isinstance(taken, Accepted):
        return replace(taken, how=How.LATE, late=why)
    return _quiet(now, at, late.caller, base, How.DEAD, f"{why}; `{home.handler.handler.action}`: {taken.text}")


def _take_late(
    program: EntityProgram,
    now: Snapshot,
    id: str,
    at: int,
    late: _Late,
    base: Base,
    action: str,
    given: Callable[[Frame], dict[str, Any]],
) -> Accepted | Refused:
    frame = Frame(now.entity, now.id, now.state, now.fields, now.created_at, at, late.caller)
    known = program.entity.actions.get(late.action)
    try:
        frame.params = _filled(program, known.params if known else (), late.params, frame)
        args = given(frame)
    except ZeroDivisionError:
        return _division(action, None)
    except Absent as absent:
        return _absent(action, None, absent)
    return Commit(program, now, now.id, id, at, late.caller, True, base).run(action, args)


def _filled(
    program: EntityProgram, params: tuple[Param, ...], given: Mapping[str, Value], frame: Frame
) -> Mapping[str, Value]:
    """The parameters of one that was late, with those that it left out: the late line may read them."""
    values = Unset({param.name: None for param in params if param.type[0] == "optional"})
    for param in params:
        if param.default is not None and param.name not in given:
            values[param.name] = compile_expr(param.default, program.names)(frame)
    values.update(given)
    return values


def _quiet(now: Snapshot, at: int, caller: Caller, base: Base, how: How, why: str | None) -> Accepted:
    """An event that is taken in and moves nothing."""
    after = replace(
        now, version=now.version + 1, updated_at=at, calls=base.calls, timers=base.timers, deferred=base.deferred
    )
    return Accepted(after, how, (), caller, "system", late=why)


# --- one commit -------------------------------------------------------------------------------------------------------


class _Stop(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.refused = refused


class _CallDraft:
    """A call whose visit is not known until the commit ends."""

    __slots__ = ("args", "call", "handlers", "order")

    def __init__(self, order: str, call: Call, args: Mapping[str, Value], handlers: tuple[Handler | None, ...]) -> None:
        self.order = order
        self.call = call
        self.args = args
        self.handlers = handlers


class Commit:
    """An action being taken with its routes: what it has changed and ordered so far."""

    __slots__ = (
        "action", "armed", "assigned", "at", "base", "caller", "created", "created_at", "creates", "emitted",
        "event_id", "fields", "id", "moves", "now", "numbered", "orders", "program", "site", "state", "system", "visit",
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
    ) -> None:
        self.program = program
        self.now = now
        self.id = id
        self.event_id = event_id
        self.at = at
        self.caller = caller
        self.system = system
        self.base = base
        self.state = NEW if now is None else now.state
        self.visit = 0 if now is None else now.visit
        self.created_at = at if now is None else now.created_at
        self.fields: dict[str, Any] = {}
        self.assigned: set[str] = set()
        self.numbered = 0
        self.orders: list[_CallDraft | SendOrder] = []
        self.creates: list[Creation] = []
        self.created: dict[str, str] = {}
        self.emitted: list[Emitted] = []
        self.moves: list[Move] = []
        self.armed: dict[str, TimerCode] = {}
        """Timers of places that have been entered in this commit; those left again are gone from it."""
        self.action: str | None = None
        self.site: str | None = None

    def run(self, action: str, given: Mapping[str, Value]) -> Accepted | Refused:
        """Return what taking `action` comes to."""
        try:
            actor = self._take(action, given, self._start(), self.system)
            return self._finished(actor)
        except _Stop as stop:
            return stop.refused
        except ZeroDivisionError:
            return _division(self.action, self.site)
        except Absent as absent:
            return _absent(self.action, self.site, absent)

    def number(self) -> str:
        """Return the id of the next order or creation."""
        self.numbered += 1
        return f"{self.event_id}.{self.numbered}"

    def _start(self) -> Mapping[str, Any]:
        if self.now is None:
            self.fields = Unset(self.program.defaults)
            return Unset(self.program.defaults)
        self.fields = dict(self.now.fields)
        return self.now.fields

    def _frame(self, fields: Mapping[str, Any]) -> Frame:
        frame = Frame(self.program.name, self.id, self.state, fields, self.created_at, self.at, self.caller)
        frame.created = self.created
        return frame

    def _take(self, name: str, given: Mapping[str, Value], before: Mapping[str, Any], system: bool) -> str:
        """Take one action and what it routes to; return as what its caller was admitted."""
        self.action = name
        program = self.program
        if name not in program.entity.actions:
            raise _Stop(_unknown_action(program, name))
        action = program.actions[name]
        frame = self._frame(before)
        bad = fill(action, given, frame)
        if bad is not None:
            raise _Stop(bad)
        chosen = choose(program, action, frame, self.state, self.caller, system, self)
        if isinstance(chosen, Refused):
            raise _Stop(chosen)
        case, actor = chosen
        frozen = case.case
        bodies = program.bodies
        body = bodies.get(frozen.site)
        if body is None:
            body = bodies[frozen.site] = (
                *_clauses(action.action.body, action.names, program),
                *_clauses(frozen.body, case.names, program),
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
                for run in _place_clauses(place, program)[0]:
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

    def _enter(self, entered: Iterable[PlaceCode]) -> None:
        route: PlaceCode | None = None
        for place in entered:
            if place.place.entry:
                frame = self._frame(self.fields)
                for run in _place_clauses(place, self.program)[1]:
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
            raise _Stop(Refused(Why.TWICE, text, self.site, self.action))
        before = Unset(self.fields)
        self._take(route.route.handler.action, route.route.given(self._frame(before)), before, system=True)

    def _finished(self, actor: str) -> Accepted:
        program, now, at = self.program, self.now, self.at
        if now is None:
            for name in program.field_names:
                if name not in self.fields:
                    text = f"`{name}` has no value: `{self.action}` creates a {program.name} without it"
                    raise _Stop(Refused(Why.OUT_OF_TYPE, text, f"{program.name}.{name}", self.action))
            fields: Mapping[str, Any] = {name: self.fields[name] for name in program.field_names}
        elif self.assigned:
            fields = self.fields
        else:
            fields = now.fields
        version = 1 if now is None else now.version + 1
        calls = self.base.calls
        orders: list[CallOrder | SendOrder] = []
        for order in self.orders:
            if isinstance(order, _CallDraft):
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
        return Accepted(
            after, How.TAKEN, tuple(self.moves), self.caller, actor, tuple(orders), tuple(self.creates),
            tuple(self.emitted),
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
                    armed = Armed(armed.timer, fields[name], version, self.caller)
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
            return Armed(timer.site, frame.fields[timer.field or ""], version, self.caller)
        wait = code.duration(frame)
        if not fits(_DURATION, wait) or (timer.kind == "every" and wait <= 0):
            text = f"`{timer.kind}` would wait {show_as(_DURATION, wait)}"
            raise _Stop(Refused(Why.OUT_OF_TYPE, text, timer.site, self.action))
        period = wait if timer.kind == "every" else None
        return Armed(timer.site, self.at + max(wait, 0), version, self.caller, period)


_DURATION: Type = ("duration",)


def fill(action: ActionCode, given: Mapping[str, Value], frame: Frame) -> Refused | None:
    """Give the frame the action's parameters, defaults filled in; or say what is wrong with those that are given."""
    if not action.params and not given:
        return None
    if not action.param_names.issuperset(given):
        unknown = next(name for name in given if name not in action.param_names)
        near = suggest(unknown, action.param_names)
        mend = f": did you mean `{near}`?" if near else ""
        return Refused(
            Why.BAD_PARAMS, f"`{action.name}` has no parameter `{unknown}`{mend}", action.action.site, action.name
        )
    values: dict[str, Value] = {}
    for param in action.params:
        if param.name in given:
            value = given[param.name]
            if not param.check(value):
                found = show_as(param.type, value, action.names.table.records)
                text = f"`{param.name}` is {describe(param.type)}; {found} is not"
                return Refused(Why.BAD_PARAMS, text, action.action.site, action.name)
        elif param.default is not None:
            value = param.default(frame)
        elif param.optional:
            value = None
        else:
            text = f"`{action.name}` needs `{param.name}`: {describe(param.type)}"
            return Refused(Why.BAD_PARAMS, text, action.action.site, action.name)
        values[param.name] = value
    frame.params = values
    return None


def choose(
    program: EntityProgram,
    action: ActionCode,
    frame: Frame,
    state: str,
    caller: Caller,
    system: bool,
    commit: Commit | None = None,
) -> tuple[CaseCode, str] | Refused:
    """Return the case that is taken and as what the caller is admitted, or the first refusal."""
    if not system:
        for a, b in program.excludes:
            if a in caller.roles and b in caller.roles:
                text = f"`{caller.principal}` is both `{a}` and `{b}`, which exclude each other"
                return Refused(Why.DENIED, text, action.action.site, action.name)
    common = admits(action.by, frame, caller, system)
    if common is None and admits(action.all_bys, frame, caller, system) is None:
        return _denied(action, action.all_bys, caller, system)
    cases = action.from_states.get(state)
    if cases is None:
        return _not_here(program, action, state, frame.id)
    for guard in action.guards:
        if commit is not None:
            commit.site = guard.guard.site
        if not guard.holds(frame):
            return refused_by(guard, action)
    first: Refused | None = None
    admitted = False
    for case in cases:
        actor = admits(case.by, frame, caller, system) if case.own_by else common
        if actor is None:
            continue
        admitted = True
        for guard in case.guards:
            if commit is not None:
                commit.site = guard.guard.site
            if not guard.holds(frame):
                first = first or refused_by(guard, action)
                break
        else:
            return case, actor
    if not admitted:
        return _denied(action, tuple(by for case in cases for by in case.by), caller, system)
    assert first is not None, "a case without guards is taken"
    return first


# --- refusals ---------------------------------------------------------------------------------------------------------


def refused_by(guard: GuardCode, action: ActionCode) -> Refused:
    text = guard.guard.otherwise
    if text is None:
        text = f"`{action.name}` needs `{describe_expr(guard.guard.condition, action.names.table.records)}`"
    return Refused(Why.GUARD, text, guard.guard.site, action.name)


def _unknown_action(program: EntityProgram, name: str) -> Refused:
    near = suggest(name, program.entity.actions)
    mend = f": did you mean `{near}`?" if near else ""
    return Refused(Why.UNKNOWN_ACTION, f"{program.name} has no action `{name}`{mend}", program.entity.site, name)


def _denied(action: ActionCode, bys: tuple[Any, ...], caller: Caller, system: bool) -> Refused:
    named = by_phrase(bys) or "nobody"
    if system:
        who = "this is `system`"
    elif caller.roles:
        who = f"`{caller.principal}` is {', '.join(f'`{role}`' for role in sorted(caller.roles))}"
    else:
        who = f"`{caller.principal}` has no role"
    return Refused(Why.DENIED, f"`{action.name}` is by {named}; {who}", action.action.site, action.name)


def _not_here(program: EntityProgram, action: ActionCode, state: str, id: str) -> Refused:
    site, name = action.action.site, action.name
    froms = [one for one in dict.fromkeys(s for case in action.cases for s in case.case.froms) if one != NEW]
    if state == NEW:
        return Refused(Why.MISSING, f"there is no {program.name} `{id}`", site, name)
    if not froms:
        return Refused(Why.NOT_HERE, f"`{name}` creates a {program.name}; this one is `{state}`", site, name)
    shown = ", ".join(f"`{one}`" for one in froms)
    text = f"`{name}` is possible from {shown}; this {program.name} is `{state}`"
    if state in program.final:
        return Refused(Why.FINISHED, f"{text}, which is final", site, name)
    return Refused(Why.NOT_HERE, text, site, name)


def _division(action: str | None, site: str | None) -> Refused:
    return Refused(Why.DIVISION, f"`{action}` divides by zero", site, action)


def _absent(action: str | None, site: str | None, absent: Absent) -> Refused:
    return Refused(Why.OUT_OF_TYPE, f"`{action}` has no {absent}", site, action)


# --- clauses ----------------------------------------------------------------------------------------------------------


def _place_clauses(place: PlaceCode, program: EntityProgram) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    found: tuple[tuple[Run, ...], tuple[Run, ...]] | None = program.bodies.get(place.place.site)
    if found is None:
        found = (
            _clauses(place.place.exit, place.names, program),
            _clauses(place.place.entry, place.names, program),
        )
        program.bodies[place.place.site] = found
    return found


def _clauses(clauses: tuple[AnyClause, ...], names: Names, program: EntityProgram) -> tuple[Run, ...]:
    return tuple(_clause(clause, names, program) for clause in clauses)


def _clause(clause: AnyClause, names: Names, program: EntityProgram) -> Run:
    match clause:
        case Set():
            return _set(clause, names, program)
        case Call():
            return _call(clause, names, program)
        case Send():
            return _send(clause, names, program)
        case Create():
            return _create(clause, names, program)
        case Emit():
            return _emit(clause, names, program)
        case For():
            return _for(clause, names, program)
        case If():
            return _if(clause, names, program)
        case With():
            return _with(clause)
        case _:
            assert_never(clause)


def _set(clause: Set, names: Names, program: EntityProgram) -> Run:
    name, site = clause.field, clause.site
    value = compile_expr(clause.value, names)
    check = program.field_checks[name]

    def run(commit: Commit, frame: Frame) -> None:
        commit.site = site
        new = value(frame)
        if not check(new):
            type_ = program.field_types[name]
            shown = show_as(type_, new, program.table.records)
            text = f"`{name}` would be {shown}, which is not {describe(type_)}"
            raise _Stop(Refused(Why.OUT_OF_TYPE, text, site, commit.action))
        if name in commit.assigned:
            raise _Stop(Refused(Why.TWICE, f"`{name}` is set twice in one commit", site, commit.action))
        commit.assigned.add(name)
        commit.fields[name] = new
        if frame.fields is commit.fields:
            # On entry: what was worked out from the values so far may have changed.
            frame.lets.clear()

    return run


def _call(clause: Call, names: Names, program: EntityProgram) -> Run:
    tool = program.table.tools[clause.tool]
    args = _Arguments(clause.args, tool.params, names, program, f"`{clause.tool}`", clause.site)
    types = {result.name: result.type for result in tool.results}
    inner = Names(
        names.table, names.entity, names.params, outer=names, created=names.created, results=types, vars=names.vars
    )
    handlers = tuple(_closing(handler, inner) for handler in (clause.then, clause.otherwise, clause.unknown))

    def run(commit: Commit, frame: Frame) -> None:
        commit.site = clause.site
        order = commit.number()
        closed = tuple(None if close is None else close(commit, frame) for close in handlers)
        commit.orders.append(_CallDraft(order, clause, args.given(commit, frame), closed))

    return run


def _send(clause: Send, names: Names, program: EntityProgram) -> Run:
    target = compile_expr(clause.target, names)
    args = _to_action(clause.entity, clause.action, clause.args, names, program, clause.site)

    def run(commit: Commit, frame: Frame) -> None:
        commit.site = clause.site
        to = target(frame)
        order = commit.number()
        given = args.given(commit, frame)
        commit.orders.append(SendOrder(order, clause.site, clause.entity, to, clause.action, given, commit.caller))

    return run


def _create(clause: Create, names: Names, program: EntityProgram) -> Run:
    args = _to_action(clause.entity, clause.action, clause.args, names, program, clause.site)

    def run(commit: Commit, frame: Frame) -> None:
        commit.site = clause.site
        id = commit.number()
        given = args.given(commit, frame)
        event = Act(id, commit.at, clause.action, given, commit.caller, clause.entity, id, by_system=True)
        commit.creates.append(Creation(clause.site, event))
        if clause.name is not None:
            commit.created[clause.name] = id

    return run


def _emit(clause: Emit, names: Names, program: EntityProgram) -> Run:
    declared = program.table.events.get(clause.event)
    params = declared.params if declared else ()
    args = _Arguments(clause.args, params, names, program, f"`{clause.event}`", clause.site)

    def run(commit: Commit, frame: Frame) -> None:
        commit.site = clause.site
        commit.emitted.append(Emitted(clause.event, args.given(commit, frame), clause.site))

    return run


def _for(clause: For, names: Names, program: EntityProgram) -> Run:
    inner, slot = names.bind(clause.var, element(type_of(clause.over, names)))
    over = compile_over(clause.over, names)
    body = _clauses(clause.body, inner, program)

    def run(commit: Commit, frame: Frame) -> None:
        commit.site = clause.site
        for item in over(frame):
            frame.vars[slot] = item
            for part in body:
                part(commit, frame)

    return run


def _if(clause: If, names: Names, program: EntityProgram) -> Run:
    condition = compile_expr(clause.condition, names)
    body = _clauses(clause.body, names, program)

    def run(commit: Commit, frame: Frame) -> None:
        commit.site = clause.site
        if condition(frame):
            for part in body:
                part(commit, frame)

    return run


def _with(clause: With) -> Run:
    def run(commit: Commit, frame: Frame) -> None:
        text = f"`with` takes `{clause.action}` on another {clause.entity}, which is not known to this step"
        raise _Stop(Refused(Why.MISSING, text, clause.site, commit.action))

    return run


def _to_action(entity: str, action: str, args: Args, names: Names, program: EntityProgram, site: str) -> _Arguments:
    target = program.table.entities.get(entity)
    known = target.actions.get(action) if target else None
    # What is left out is filled in where it arrives.
    params = tuple(param for param in known.params if param.name in dict(args)) if known else ()
    return _Arguments(args, params, names, program, f"`{entity}.{action}`", site)


class _Arguments:
    """The arguments of a call, a send, a creation or an event: worked out, of the types that were declared."""

    def __init__(
        self, args: Args, params: tuple[Param, ...], names: Names, program: EntityProgram, what: str, site: str
    ) -> None:
        values = dict(args)
        types = {param.name: param.type for param in params}
        self._what = what
        self._site = site
        self._records = program.table.records
        self._types = types
        self._codes: list[tuple[str, Code, Checker | None]] = []
        for param in params:
            value = values.pop(param.name, param.default or ("none", param.type))
            self._codes.append((param.name, compile_expr(value, names), checker(param.type, program.table.records)))
        self._codes.extend((name, compile_expr(value, names), None) for name, value in values.items())

    def given(self, commit: Commit, frame: Frame) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name, code, check in self._codes:
            value = found[name] = code(frame)
            if check is not None and not check(value):
                type_ = self._types[name]
                shown = show_as(type_, value, self._records)
                text = f"{self._what} would get `{name}` {shown}, which is not {describe(type_)}"
                raise _Stop(Refused(Why.OUT_OF_TYPE, text, self._site, commit.action))
        return found


# --- handlers, closed over the moment of the call ---------------------------------------------------------------------


def _closing(handler: Handler | None, names: Names) -> Callable[[Commit, Frame], Handler] | None:
    """Return what makes the handler that a pending call keeps: all but `result` and `error` has become a literal."""
    if handler is None:
        return None
    if not handler.args:
        return lambda commit, frame: handler
    closers = tuple((name, _residual(value, names, frozenset())) for name, value in handler.args)

    def close(commit: Commit, frame: Frame) -> Handler:
        return Handler(handler.action, tuple((name, closer(commit, frame)) for name, closer in closers))

    return close


_Closer: TypeAlias = Callable[["Commit", Frame], Expr]


def _residual(expr: Expr, names: Names, inside: frozenset[str]) -> _Closer:
    """`inside` are the variables that are bound within the expression itself, and so have no value yet."""
    if expr[0] in {"result", "error", "lit", "none"} or (expr[0] == "var" and expr[1] in inside):
        return lambda commit, frame: expr
    waits = any(part[0] in {"result", "error"} or (part[0] == "var" and part[1] in inside) for part in walk(expr))
    closers: dict[int, _Closer] = {}
    if expr[0] in BINDERS:
        bound, _ = names.bind(expr[1], element(type_of(expr[2], names)))
        closers[id(expr[2])] = _residual(expr[2], names, inside)
        closers[id(expr[3])] = _residual(expr[3], bound, inside | {expr[1]})
    else:
        for part in parts(expr):
            closers[id(part)] = _residual(part, names, inside)

    def piecewise(commit: Commit, frame: Frame) -> Expr:
        return rebuilt(expr, lambda part: closers[id(part)](commit, frame))

    if waits:
        return piecewise
    code = compile_expr(expr, names)
    type_ = type_of(expr, names)
    assert type_ is not None, "what a blueprint binds has a type"

    def literal(commit: Commit, frame: Frame) -> Expr:
        try:
            value = code(frame)
        except (ZeroDivisionError, Absent):
            # Perhaps a branch that the outcome does not take: it is left to the outcome to find out.
            if not closers:
                raise
            return piecewise(commit, frame)
        if not fits(type_, value, names.table.records):
            shown = show_as(type_, value, names.table.records)
            text = f"an argument would be {shown}, which is not {describe(type_)}"
            raise _Stop(Refused(Why.OUT_OF_TYPE, text, commit.site, commit.action))
        return ("lit", type_, encode(type_, value, names.table.records))

    return literal
