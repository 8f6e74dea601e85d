"""Whether an action may be taken, and which of its cases."""

from __future__ import annotations

from collections.abc import Mapping

from temper.table.clauses import Work
from temper.table.evaluate import Frame
from temper.table.events import Caller, Refused, Value, Why
from temper.table.program import NEW, ActionCode, CaseCode, EntityProgram, GuardCode, admits
from temper.table.refusals import denied, excluded, not_here, refused_by
from temper.table.values import describe, show_as
from temper.text import suggest


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
    work: Work | None = None,
) -> tuple[CaseCode, str] | Refused:
    """Return the case that is taken and as what the caller is admitted, or the first refusal."""
    if state == NEW and NEW not in action.from_states:
        # Nobody can be asked about an entity that is not there.
        return not_here(program, action, state, frame.id)
    if not system:
        both = excluded(program, action, caller)
        if both is not None:
            return both
    common = admits(action.by, frame, caller, system)
    if common is None and admits(action.all_bys, frame, caller, system) is None:
        return denied(action, action.all_bys, caller, system)
    cases = action.from_states.get(state)
    if cases is None:
        return not_here(program, action, state, frame.id)
    for guard in action.guards:
        if work is not None:
            work.site = guard.guard.site
        if not guard.holds(frame):
            return refused_by(guard, action)
    first: GuardCode | None = None
    admitted = False
    for case in cases:
        actor = admits(case.by, frame, caller, system) if case.own_by else common
        if actor is None:
            continue
        admitted = True
        for guard in case.guards:
            if work is not None:
                work.site = guard.guard.site
            if not guard.holds(frame):
                first = first or guard
                break
        else:
            return case, actor
    if not admitted:
        return denied(action, tuple(by for case in cases for by in case.by), caller, system)
    assert first is not None, "a case without guards is taken"
    return refused_by(first, action)
