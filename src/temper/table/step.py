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

Questions are asked in one order, and the first "no" is the answer: is there such an action; do the parameters fit; is
there such an entity; does the caller hold roles that exclude each other; does `by` admit the caller; is there a case
from this state; do the action's own guards hold, in order; is there a case whose state, `by` and guards hold (if not,
the first guard that failed is told).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, assert_never

from msgspec.structs import replace

from temper.table.evaluate import Frame, Look, Unset, compile_expr
from temper.table.events import (
    Accepted,
    Act,
    Armed,
    Caller,
    Deferred,
    Deliver,
    Ending,
    Event,
    Fire,
    How,
    Offer,
    Outcome,
    Pending,
    Refused,
    Snapshot,
    Value,
    Why,
)
from temper.table.expr import Absent, Names
from temper.table.program import EntityProgram, TimerCode, WheneverCode, program_of
from temper.table.refusals import absent, division
from temper.table.table import Handler, Param, Place, Table
from temper.table.take import Base, Taking
from temper.table.values import describe, fits, show_as

# An entity is read and written whole. An `unknown` is rare, and its correction comes soon or never.
ENDED_MAX = 16
# What comes in while a state defers it is bounded by nobody; past this it is a dead letter.
DEFERRED_MAX = 1_000


def step(table: Table, now: Snapshot | None, event: Event, world: Look | None = None) -> Accepted | Refused:
    """Return what `event` does to `now`, which is `None` where there is no such entity yet. Total and deterministic.

    `world` is what may be read of others, as they are before the event; what reads them without it is refused
    (`MISSING`). What others say to it is not asked here, but in `commit`: joint actions and creations that are refused,
    `key`, `unique`, `always`. Nor does a step arm a `whenever` that reads others.
    """
    return decide(table, now, event, (), world)


def decide(
    table: Table, now: Snapshot | None, event: Event, barred: tuple[Refused, ...], world: Look | None
) -> Accepted | Refused:
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
        return _act(program, now, event, world)
    if now is None:
        return Refused(Why.MISSING, f"there is no {entity} `{_entity_id(event)}`", action=_action_name(event))
    match event:
        case Outcome():
            return _outcome(program, now, event, barred, world)
        case Fire():
            return _fire(program, now, event, world)
        case Deliver():
            late = _Late(event.id, event.action, event.params, event.caller)
            return _take_or_late(program, now, event.at, late, Base(now), barred, world)
        case Offer():
            return _offer(program, now, event, barred, world)
        case _:
            assert_never(event)


def _entity_id(event: Event) -> str:
    return event.entity_id if isinstance(event, Act | Deliver) else ""


def _action_name(event: Event) -> str | None:
    return event.action if isinstance(event, Act | Deliver) else None


# --- each kind of event -----------------------------------------------------------------------------------------------


class _Late:
    """An outcome, a send or a deferred one, as an action that `system` is to take."""

    __slots__ = ("action", "caller", "id", "params")

    def __init__(self, id: str, action: str, params: Mapping[str, Value], caller: Caller) -> None:
        self.id = id
        self.action = action
        self.params = params
        self.caller = caller


def _act(program: EntityProgram, now: Snapshot | None, event: Act, world: Look | None) -> Accepted | Refused:
    by_system = event.by_system
    commit = Taking(program, now, event.entity_id, event.id, event.at, event.caller, by_system, Base(now), world)
    return commit.run(event.action, event.params)


def _outcome(
    program: EntityProgram, now: Snapshot, event: Outcome, barred: tuple[Refused, ...], world: Look | None
) -> Accepted | Refused:
    pending = next((call for call in now.calls if call.order == event.order), None)
    if pending is None:
        return Refused(Why.STALE, f"no call `{event.order}` waits for an outcome")
    if pending.ended and event.ending is Ending.UNKNOWN:
        return Refused(Why.STALE, f"the call `{event.order}` has ended as unknown already")
    base = Base(now)
    base.calls = tuple([call for call in now.calls if call is not pending])
    if event.ending is Ending.UNKNOWN:
        base.calls = _with_ended(base.calls, replace(pending, ended=True))

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
    given = _outcome_args(program, now, event.at, pending, handler, results, (kind, text), world)
    late = _Late(event.id, handler.action, {} if isinstance(given, Refused) else given, pending.caller)
    if pending.ended:
        why = f"`{pending.tool}` had ended as unknown before this came"
    elif visit_over:
        why = f"this {program.name} has left the state in which `{pending.tool}` was called"
    else:
        why = None
    if isinstance(given, Refused):
        barred = (given, *barred[1:])
    return _take_or_late(program, now, event.at, late, base, barred, world, why)


def _with_ended(calls: tuple[Pending, ...], pending: Pending) -> tuple[Pending, ...]:
    """The calls with one more that may still be corrected; of too many, the oldest is given up."""
    ended = [call for call in calls if call.ended]
    if len(ended) >= ENDED_MAX:
        calls = tuple([call for call in calls if call is not ended[0]])
    return (*calls, pending)


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
    world: Look | None,
) -> dict[str, Value] | Refused:
    tool = program.table.tools.get(pending.tool)
    types = {result.name: result.type for result in tool.results} if tool else {}
    names = Names(program.table, program.entity, outer=program.names, results=types)
    frame = Frame(now.entity, now.id, now.state, now.fields, now.created_at, at, pending.caller, world)
    frame.results = results
    frame.error = error
    try:
        return {name: compile_expr(value, names)(frame) for name, value in handler.args}
    except ZeroDivisionError:
        return division(handler.action, pending.site)
    except Absent as gone:
        return absent(handler.action, pending.site, gone)


def _fire(program: EntityProgram, now: Snapshot, event: Fire, world: Look | None) -> Accepted | Refused:
    armed = next((timer for timer in now.timers if timer.timer == event.timer), None)
    code = program.timers.get(event.timer) or program.whenevers.get(event.timer)
    if armed is None or code is None or armed.stamp != event.stamp or armed.due is None:
        return Refused(Why.STALE, "this timer is not armed any more")
    if armed.due > event.at:
        return Refused(Why.STALE, "this timer is not due yet")
    frame = Frame(now.entity, now.id, now.state, now.fields, now.created_at, event.at, armed.caller, world)
    action = code.handler.handler.action
    try:
        if isinstance(code, WheneverCode) and (now.state not in code.states or not code.holds(frame)):
            return Refused(Why.STALE, f"`{action}` is not due any more", event.timer, action)
        given = code.handler.given(frame)
    except ZeroDivisionError:
        return division(action, event.timer)
    except Absent as gone:
        return absent(action, event.timer, gone)
    base = Base(now)
    base.timers = tuple(_fired(now, armed, code, event.at))
    return Taking(program, now, now.id, event.id, event.at, armed.caller, True, base, world, armed).run(action, given)


def _fired(now: Snapshot, fired: Armed, code: TimerCode | WheneverCode, at: int) -> Iterator[Armed]:
    """What is armed once one has fired: a `whenever` is not, until it is seen that it still holds."""
    for timer in now.timers:
        if timer is not fired:
            yield timer
        elif fired.period_ms is not None and fired.due is not None:
            # Ticks that were missed merge into this one: the next is the first that is still to come.
            missed = (at - fired.due) // fired.period_ms
            yield replace(fired, due=fired.due + (missed + 1) * fired.period_ms, stamp=now.version + 1)
        elif isinstance(code, TimerCode):
            yield replace(fired, due=None)


def _offer(
    program: EntityProgram, now: Snapshot, event: Offer, barred: tuple[Refused, ...], world: Look | None
) -> Accepted | Refused:
    held = next((one for one in now.deferred if one.id == event.deferred), None)
    if held is None:
        return Refused(Why.STALE, f"nothing is deferred as `{event.deferred}`")
    if held.place:
        return Refused(Why.STALE, f"this {program.name} has not left the state that defers `{held.action}`")
    base = Base(now)
    base.deferred = tuple(one for one in now.deferred if one is not held)
    late = _Late(held.id, held.action, held.params, held.caller)
    return _take_or_late(program, now, event.at, late, base, barred, world, event_id=event.id)


def _take_or_late(
    program: EntityProgram,
    now: Snapshot,
    at: int,
    late: _Late,
    base: Base,
    barred: tuple[Refused, ...],
    world: Look | None,
    why: str | None = None,
    *,
    event_id: str | None = None,
) -> Accepted | Refused:
    """Take the action as `system`; where it is late (`why`, or the action refuses), do what the place says."""
    id = event_id or late.id
    if why is None and not barred:
        taken = Taking(program, now, now.id, id, at, late.caller, True, base, world).run(late.action, late.params)
        if isinstance(taken, Accepted):
            return taken
        why = taken.text
    elif why is None:
        why = barred[0].text
    home = program.late[now.state, late.action]
    if home is None:
        return _quiet(now, at, late.caller, base, How.DEAD, why)
    if isinstance(home, Place):
        if len(base.deferred) >= DEFERRED_MAX:
            return _quiet(now, at, late.caller, base, How.DEAD, f"{why}; {DEFERRED_MAX:,} are deferred already")
        base.deferred = (*base.deferred, Deferred(late.id, late.action, late.params, late.caller, home.site))
        return _quiet(now, at, late.caller, base, How.DEFERRED, why)
    if home.handler is None:
        return _quiet(now, at, late.caller, base, How.IGNORED, why)
    # The refusal that bars the action of the `late` line stands second, or first where the visit was over.
    if len(barred) < 2:
        taken = _take_late(program, now, id, at, late, base, world, home.handler.handler.action, home.handler.given)
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
    world: Look | None,
    action: str,
    given: Callable[[Frame], dict[str, Any]],
) -> Accepted | Refused:
    frame = Frame(now.entity, now.id, now.state, now.fields, now.created_at, at, late.caller, world)
    known = program.entity.actions.get(late.action)
    try:
        frame.params = _filled(program, known.params if known else (), late.params, frame)
        args = given(frame)
    except ZeroDivisionError:
        return division(action, None)
    except Absent as gone:
        return absent(action, None, gone)
    return Taking(program, now, now.id, id, at, late.caller, True, base, world).run(action, args)


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
