"""Faults of a blueprint that a late outcome hides: its action was not taken since it could not be carried out.

`step` treats an outcome or a send whose action it refuses as late, whatever the reason. That the reason is a fault (a
value outside its type, a division by zero) is found by asking for the action itself.
"""

from __future__ import annotations

from temper.table import (
    FAULTS,
    Act,
    Caller,
    Deliver,
    Ending,
    Expr,
    NoValue,
    Outcome,
    Pending,
    Refused,
    Snapshot,
    Table,
    Value,
    encode,
    evaluate,
    shape,
    step,
)
from temper.verify.expressions import children, rebuilt


def handler_of(call: Pending, ending: Ending) -> shape.Handler | None:
    """Return what follows when a call ends so."""
    if ending is Ending.ANSWERED:
        return call.then
    if ending is Ending.FAILED or call.unknown_is_failure:
        return call.otherwise
    return call.unknown


def hidden_fault(table: Table, now: Snapshot, event: Outcome | Deliver) -> Refused | None:
    """Return the fault for which the action of an outcome or a send can't be taken, if there is one."""
    if isinstance(event, Deliver):
        return _fault(table, now, event, event.action, dict(event.params), event.caller)
    call = next(each for each in now.calls if each.order == event.order)
    handler = handler_of(call, event.ending)
    if handler is None or call.ended or call.visit != now.visit:
        return None
    given = _given(table, now, handler, event, call)
    return None if given is None else _fault(table, now, event, handler.action, given, call.caller)


def _fault(
    table: Table, now: Snapshot, event: Outcome | Deliver, action: str, given: dict[str, Value], caller: Caller
) -> Refused | None:
    act = Act(event.id, event.at, action, given, caller, now.entity, now.id, by_system=True)
    answer = step(table, now, act)
    return answer if isinstance(answer, Refused) and answer.why in FAULTS else None


def _given(
    table: Table, now: Snapshot, handler: shape.Handler, event: Outcome, call: Pending
) -> dict[str, Value] | None:
    """Return the arguments of a handler, worked out; `None` where that can't be done."""
    types = {result.name: result.type for result in table.tools[call.tool].results}
    kind = "timeout" if event.ending is Ending.UNKNOWN else event.error_kind

    def known(e: Expr) -> Expr:
        if e[0] == "result":
            return ("lit", types[e[1]], encode(types[e[1]], event.results.get(e[1]), table.records))
        if e[0] == "error":
            return ("lit", ("string",), kind if e[1] == "kind" else event.error_text)
        return rebuilt(e, known) if children(e) else e

    try:
        return {
            name: evaluate(table, now.entity, known(e), now, caller=call.caller, at=event.at)
            for name, e in handler.args
        }
    except NoValue:
        return None
