"""What fires again and again without end: a `whenever` or an `at` whose action leaves it due (18)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from temper.table import Accepted, Event, Expr, Fire, Snapshot, Table, decode, shape
from temper.verify.clauses import flat
from temper.verify.explore.alone import step_alone
from temper.verify.explore.replay import Stage
from temper.verify.expressions import names_in, without_lets

# However late a timer fires: two days will do.
LATE_MS = 172_800_000


def spun(site: str) -> Callable[[Table, Stage], bool]:
    """Ask of a step that it leaves due what has fired in it."""

    def shows(table: Table, stage: Stage) -> bool:
        if not isinstance(stage.event, Fire) or stage.event.timer != site:
            return False
        if stage.accepted is None or stage.before is None:
            return False
        return leaves_due(table, site, stage.before, stage.event, stage.accepted.after)

    return shows


def leaves_due(table: Table, site: str, before: Snapshot, event: Event, after: Snapshot) -> bool:
    """Say whether a `whenever` or an `at` that has fired is due again at once, and so for ever (18).

    A `whenever` still holds. An `at` is armed for the same moment again (its state has been entered anew) or for an
    earlier one; or for one that has come, and so it would be however late it fired. One that catches up moves on.
    """
    timer = _roused(table.entities[after.entity], site)
    if timer is None or all(armed.timer != site for armed in after.timers):
        return False
    if isinstance(timer, shape.Whenever):
        return True
    was, now = before.fields[timer.field or ""], after.fields[timer.field or ""]
    assert isinstance(was, int), "it has fired"
    assert isinstance(now, int), "it is armed"
    return now <= was or (now <= event.at and _follows(table, timer, before, event))


def _roused(entity: shape.Entity, site: str) -> shape.Timer | shape.Whenever | None:
    """Return the `whenever`, or the timer to a moment, that stands at a site."""
    for place in entity.places:
        roused: list[shape.Timer | shape.Whenever] = [timer for timer in place.timers if timer.kind == "at"]
        roused += place.whenevers
        for each in roused:
            if each.site == site:
                return each
    return None


def _follows(table: Table, timer: shape.Timer, before: Snapshot, event: Event) -> bool:
    """Say whether a timer is set by its action to a moment that has come, however late it fires: two days, say."""
    later = replace(event, at=event.at + LATE_MS)
    answer = step_alone(table, before, later)
    now = answer.after.fields[timer.field or ""] if isinstance(answer, Accepted) else None
    return isinstance(now, int) and event.at < now <= later.at


def may_spin(table: Table, site: str, before: Snapshot | None, after: Snapshot) -> bool:
    """Say whether what has fired may be due again at once, for a search that has no clock: a run has to show it."""
    entity = table.entities[after.entity]
    timer = _roused(entity, site)
    if before is None or timer is None or all(armed.timer != site for armed in after.timers):
        return False
    if isinstance(timer, shape.Whenever):
        return True
    anew = after.visit != before.visit
    return before.fields[timer.field or ""] == after.fields[timer.field or ""] or may_stay_due(
        table, entity, timer, anew=anew
    )


def may_stay_due(table: Table, entity: shape.Entity, timer: shape.Timer, *, anew: bool) -> bool:
    """Say whether a timer's action may set its moment by the present or by itself, and not surely to a later one.

    Where its state is entered `anew` by the action, what another field holds will have come too, the second time.
    """
    action = entity.actions[timer.handler.action]
    bodies = [place.entry for place in entity.places]
    bodies += [action.body, *(case.body for case in action.cases)]
    present = {("now",), ("field", timer.field), *(("field", each.name) for each in entity.fields if anew)}
    names = names_in(table, entity, action)
    return any(
        isinstance(clause, shape.Set)
        and clause.field == timer.field
        and _no_later(without_lets(clause.value, names), present)
        for body in bodies
        for clause in flat(body)
    )


def _no_later(e: Expr, present: set[Expr]) -> bool:
    """Say whether a moment may be one of those that have come, or one before."""
    match e:
        case ("if", _, a, b):
            return _no_later(a, present) or _no_later(b, present)
        case ("-", moment, _):
            return _no_later(moment, present)
        case ("+", moment, ("lit", type_, wait)) if decode(type_, wait) == 0:
            return _no_later(moment, present)
        case _:
            return e in present
