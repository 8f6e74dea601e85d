"""What can be done now, and why not: `step`'s own predicates, asked without taking anything.

Where a parameter is not known, a condition has one of three answers: it holds, it does not, or it depends on the
parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from temper.table.choose import fill
from temper.table.commit import Commit, World, commit
from temper.table.evaluate import Frame, Look, Unset, compile_expr
from temper.table.events import Accepted, Act, Caller, Deliver, Refused, Snapshot, Value
from temper.table.expr import BINDERS, Absent, Names, parts, type_of, walk
from temper.table.phrase import describe_expr
from temper.table.program import (
    NEW,
    ActionCode,
    ByCode,
    CaseCode,
    EntityProgram,
    GuardCode,
    admits,
    by_phrase,
    program_of,
)
from temper.table.refusals import absent, denied, division, excluded, not_here, refused_by
from temper.table.step import step
from temper.table.table import Expr, Param, Table
from temper.table.values import show, show_as


class Possible(Struct, frozen=True):
    """An action as one caller could take it now.

    `status` is "yes", "no" (`refused` says why) or "depends": on the parameters named in `on`. An action that would be
    refused for what comes of it (a value out of its type, say) is a "yes" if it has parameters: they are not known yet.
    """

    entity: str
    action: str
    status: str
    params: tuple[Param, ...]
    refused: Refused | None = None
    on: tuple[str, ...] = ()


class Clause(Struct, frozen=True):
    """A clause that decides on an action, and its answer.

    `kind` is "params", "by", "from" or "when". `holds` is `None` where it was not asked: another had refused before.
    `values` are the parts of a condition with what they are worth, such as `("moved", "1")`. `case` is the site of the
    case that it belongs to, or `None` where it is the action's.
    """

    kind: str
    site: str
    text: str
    holds: bool | None
    values: tuple[tuple[str, str], ...] = ()
    case: str | None = None


def possible(
    table: Table, entity: str, now: Snapshot | None, caller: Caller, at: int, world: World | None = None
) -> tuple[Possible, ...]:
    """Return every action as `caller` could take it at `at`; of one to be created where `now` is `None`.

    Without a `world`, what reads others is a "no" (`MISSING`), and what others would say to it is not asked.
    """
    program = program_of(table, entity)
    if program is None:
        return ()
    return tuple(_possible(program, now, name, caller, at, world) for name in program.entity.actions)


def why(table: Table, now: Snapshot | None, event: Act | Deliver, world: Look | None = None) -> tuple[Clause, ...]:
    """Return the clauses that decide on an action, in the order in which they are asked, with their answers.

    For each case: whether it starts here, and its guards. Empty where there is no such action. Without a `world`, what
    reads others has no answer.
    """
    program = program_of(table, event.entity)
    if program is None or event.action not in program.entity.actions:
        return ()
    system = isinstance(event, Deliver) or event.by_system
    frame = _frame(program, now, event.caller, event.at, world)
    return tuple(_clauses(program, program.actions[event.action], frame, event.params, event.caller, system))


# --- possible ---------------------------------------------------------------------------------------------------------


def _possible(
    program: EntityProgram, now: Snapshot | None, name: str, caller: Caller, at: int, world: World | None
) -> Possible:
    action = program.actions[name]
    params = action.action.params
    if not params:
        event = Act("possible", at, name, {}, caller, program.name, now.id if now else "")
        if world is None:
            result: Accepted | Commit | Refused = step(program.table, now, event)
        else:
            result = commit(program.table, now, event, world)
        if isinstance(result, Refused):
            return Possible(program.name, name, "no", params, result)
        return Possible(program.name, name, "yes", params)
    frame = _frame(program, now, caller, at, world)
    frame.params = _Unknown()
    try:
        answer = _judge(program, action, frame, caller)
    except ZeroDivisionError:
        answer = division(name, action.action.site)
    except Absent as gone:
        answer = absent(name, action.action.site, gone)
    if isinstance(answer, Refused):
        return Possible(program.name, name, "no", params, answer)
    on = tuple(param.name for param in params if param.name in answer)
    return Possible(program.name, name, "depends" if on else "yes", params, on=on)


def _judge(program: EntityProgram, action: ActionCode, frame: Frame, caller: Caller) -> Refused | frozenset[str]:
    """The parameters on which it depends (none: it is possible), or why it is not possible whatever they are."""
    if frame.state == NEW and NEW not in action.from_states:
        return not_here(program, action, frame.state, frame.id)
    both = excluded(program, action, caller)
    if both is not None:
        return both
    common = admits(action.by, frame, caller, system=False)
    if common is None and admits(action.all_bys, frame, caller, system=False) is None:
        return denied(action, action.all_bys, caller, system=False)
    cases = action.from_states.get(frame.state)
    if cases is None:
        return not_here(program, action, frame.state, frame.id)
    open_ones: set[str] = set()
    for guard in action.guards:
        answer = _truth(guard.guard.condition, action.names, frame)
        if answer is False:
            return refused_by(guard, action)
        if answer is None:
            open_ones |= _params_of(guard.guard.condition, action.names)
    return _judge_cases(action, cases, frame, caller, common, open_ones)


def _judge_cases(
    action: ActionCode,
    cases: Sequence[CaseCode],
    frame: Frame,
    caller: Caller,
    common: str | None,
    open_ones: set[str],
) -> Refused | frozenset[str]:
    first: Refused | None = None
    depends: set[str] = set()
    admitted = False
    for case in cases:
        if (admits(case.by, frame, caller, system=False) if case.own_by else common) is None:
            continue
        admitted = True
        unsure: set[str] = set()
        for guard in case.guards:
            answer = _truth(guard.guard.condition, case.names, frame)
            if answer is False:
                first = first or refused_by(guard, action)
                break
            if answer is None:
                unsure |= _params_of(guard.guard.condition, case.names)
        else:
            if not unsure:
                # Whatever the parameters are, this case or one before it is taken.
                return frozenset(open_ones)
            depends |= unsure
    if not admitted:
        return denied(action, tuple(by for case in cases for by in case.by), caller, system=False)
    if depends:
        return frozenset(open_ones | depends)
    assert first is not None, "a case without guards is taken"
    return first


class _Unasked(Exception):
    """A parameter that is not known has been read."""


class _Unknown(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise _Unasked(name)


def _truth(expr: Expr, names: Names, frame: Frame) -> bool | None:
    """What a condition comes to where the frame's parameters are not known; `None` if it depends on them."""
    op = expr[0]
    if op == "not":
        inner = _truth(expr[1], names, frame)
        return None if inner is None else not inner
    if op not in {"and", "or", "implies"}:
        try:
            return bool(compile_expr(expr, names)(frame))
        except _Unasked:
            return None
    left = _truth(expr[1], names, frame)
    if op == "implies" and left is not None:
        left = not left
    decisive = op != "and"
    if left is decisive:
        return decisive
    if left is not None:
        return _truth(expr[2], names, frame)
    try:
        right = _truth(expr[2], names, frame)
    except (ZeroDivisionError, Absent):
        # The left side may be there to keep this from being asked.
        return None
    return decisive if right is decisive else None


def _params_of(expr: Expr, names: Names) -> set[str]:
    found: set[str] = set()
    for part in walk(expr):
        if part[0] == "param":
            found.add(part[1])
        elif part[0] == "let":
            owner = names.owner(part[1])
            found |= _params_of(owner.lets[part[1]].value, owner)
    return found


# --- why --------------------------------------------------------------------------------------------------------------


def _clauses(
    program: EntityProgram,
    action: ActionCode,
    frame: Frame,
    given: Mapping[str, Value],
    caller: Caller,
    system: bool,
) -> Iterator[Clause]:
    site = action.action.site
    bad = fill(action, given, frame)
    if bad is not None:
        yield Clause("params", site, bad.text, holds=False)
    both = None if system else excluded(program, action, caller)
    if both is not None:
        yield Clause("by", site, both.text, holds=False)
    asked = bad is None and both is None
    if action.by:
        allowed = _admitted(action.by, frame, caller, system) if asked else None
        yield Clause("by", site, f"by {by_phrase(action.by)}".replace("`", ""), allowed)
        # A case may name others.
        asked = asked and (allowed is True or any(case.own_by for case in action.cases))
    for guard in action.guards:
        yield _when(guard, action.names, frame, asked=asked)
    for case in action.cases:
        yield from _case_clauses(case, frame, caller, system, asked)


def _case_clauses(case: CaseCode, frame: Frame, caller: Caller, system: bool, asked: bool) -> Iterator[Clause]:
    site = case.case.site
    here = frame.state in case.case.froms
    to = f" to {case.case.to}" if case.case.to else ""
    values = () if here else (("state", frame.state),)
    yield Clause("from", site, f"from {', '.join(case.case.froms)}{to}", here if asked else None, values, site)
    if case.own_by:
        allowed = _admitted(case.by, frame, caller, system) if asked and here else None
        yield Clause("by", site, f"by {by_phrase(case.by)}".replace("`", ""), allowed, (), site)
        asked = asked and allowed is not False
    for guard in case.guards:
        yield _when(guard, case.names, frame, asked=asked and here, case=site)


def _admitted(bys: tuple[ByCode, ...], frame: Frame, caller: Caller, system: bool) -> bool | None:
    try:
        return admits(bys, frame, caller, system) is not None
    except (ZeroDivisionError, Absent):
        return None


def _when(guard: GuardCode, names: Names, frame: Frame, *, asked: bool, case: str | None = None) -> Clause:
    condition = guard.guard.condition
    text = describe_expr(condition, names.table.records)
    if not asked:
        return Clause("when", guard.guard.site, text, None, (), case)
    try:
        holds: bool | None = bool(guard.holds(frame))
    except (ZeroDivisionError, Absent):
        holds = None
    return Clause("when", guard.guard.site, text, holds, tuple(_values(condition, names, frame).items()), case)


_TOLD = frozenset({"field", "param", "let", "caller", "acts_for", "now", "created_at", "id", "read", "inverse"})
_WORKED_OUT = frozenset({"size", "get", "index", "dot", "count", "sum", "first"})


def _values(expr: Expr, names: Names, frame: Frame) -> dict[str, str]:
    """The parts of a condition that have a value of their own, as the author wrote them, with that value."""
    found: dict[str, str] = {}
    if expr[0] in _TOLD | _WORKED_OUT:
        _tell(expr, names, frame, found)
    elif expr[0] == "in_state":
        found["state"] = frame.state
    elif expr[0] == "has_role":
        found["caller"] = ", ".join(sorted(frame.caller.roles)) or "no role"
    if expr[0] in BINDERS:
        # What it says of each element has no one value; what it goes through has.
        return {**found, **_values(expr[2], names, frame)}
    for part in parts(expr):
        found.update(_values(part, names, frame))
    return found


def _tell(expr: Expr, names: Names, frame: Frame, found: dict[str, str]) -> None:
    try:
        value: Any = compile_expr(expr, names)(frame)
    except (ZeroDivisionError, Absent):
        return
    type_ = type_of(expr, names)
    records = names.table.records
    found[describe_expr(expr, records)] = show(value) if type_ is None else show_as(type_, value, records)


def _frame(program: EntityProgram, now: Snapshot | None, caller: Caller, at: int, world: Look | None) -> Frame:
    if now is None:
        return Frame(program.name, "", NEW, Unset(program.defaults), at, at, caller, world)
    return Frame(now.entity, now.id, now.state, now.fields, now.created_at, at, caller, world)
