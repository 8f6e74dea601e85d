"""Refusals: the table says no, in words for the caller."""

from __future__ import annotations

from temper.table.events import Caller, Refused, Why
from temper.table.expr import Absent, Elsewhere
from temper.table.phrase import describe_expr
from temper.table.program import NEW, ActionCode, ByCode, EntityProgram, GuardCode, by_phrase
from temper.text import suggest


def refused_by(guard: GuardCode, action: ActionCode) -> Refused:
    text = guard.guard.otherwise
    if text is None:
        text = f"`{action.name}` needs `{describe_expr(guard.guard.condition, action.names.table.records)}`"
    return Refused(Why.GUARD, text, guard.guard.site, action.name)


def unknown_action(program: EntityProgram, name: str) -> Refused:
    near = suggest(name, program.entity.actions)
    mend = f": did you mean `{near}`?" if near else ""
    return Refused(Why.UNKNOWN_ACTION, f"{program.name} has no action `{name}`{mend}", program.entity.site, name)


def excluded(program: EntityProgram, action: ActionCode, caller: Caller) -> Refused | None:
    """Refuse a caller who holds two roles that nobody may hold together (9)."""
    for a, b in program.excludes:
        if a in caller.roles and b in caller.roles:
            text = f"`{caller.principal}` is both `{a}` and `{b}`, which exclude each other"
            return Refused(Why.DENIED, text, action.action.site, action.name)
    return None


def denied(action: ActionCode, bys: tuple[ByCode, ...], caller: Caller, system: bool) -> Refused:
    named = by_phrase(bys) or "nobody"
    if system:
        who = "this is `system`"
    elif caller.roles:
        who = f"`{caller.principal}` is {', '.join(f'`{role}`' for role in sorted(caller.roles))}"
    else:
        who = f"`{caller.principal}` has no role"
    return Refused(Why.DENIED, f"`{action.name}` is by {named}; {who}", action.action.site, action.name)


def not_here(program: EntityProgram, action: ActionCode, state: str, id: str) -> Refused:
    site, name = action.action.site, action.name
    froms = [other for other in dict.fromkeys(s for case in action.cases for s in case.case.froms) if other != NEW]
    if state == NEW:
        text = f"there is no {program.name} `{id}`" if id else f"there is no {program.name} yet"
        return Refused(Why.MISSING, text, site, name)
    if not froms:
        return Refused(Why.NOT_HERE, f"`{name}` creates {one(program.name)}; this one is `{state}`", site, name)
    shown = ", ".join(f"`{other}`" for other in froms)
    text = f"`{name}` is possible from {shown}; this {program.name} is `{state}`"
    if state in program.final:
        return Refused(Why.FINISHED, f"{text}, which is final", site, name)
    return Refused(Why.NOT_HERE, text, site, name)


def division(action: str | None, site: str | None) -> Refused:
    return Refused(Why.DIVISION, f"`{action}` divides by zero", site, action)


def absent(action: str | None, site: str | None, gone: Absent) -> Refused:
    if isinstance(gone, Elsewhere):
        return Refused(Why.MISSING, f"`{action}` finds no {gone}", site, action)
    return Refused(Why.OUT_OF_TYPE, f"`{action}` has no {gone}", site, action)


def one(entity: str) -> str:
    """Return `an Order`, `a Rollout`."""
    return f"{'an' if entity[0] in 'AEIOU' else 'a'} {entity}"
