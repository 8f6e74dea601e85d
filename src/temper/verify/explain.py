"""A run told as a story: in the blueprint's own words, step by step, and what would have stopped it.

The same run as data (`TraceStep.event`) and as a scenario's text, which parses and does the same again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from temper.table import (
    Accepted,
    Act,
    Caller,
    CallOrder,
    Deliver,
    Ending,
    Event,
    Expr,
    Fire,
    How,
    Offer,
    Outcome,
    Pending,
    Snapshot,
    Table,
    Value,
    decode,
    describe_expr,
    encode,
    encode_args,
    shape,
    show_as,
)
from temper.verify.clauses import entered, guards, left
from temper.verify.explore.replay import BEGINNING, Replayed, Stage
from temper.verify.expressions import in_one_state, names_in, rebuilt, walk, without_lets
from temper.verify.faults import handler_of
from temper.verify.places import place_of, text_of
from temper.verify.report import PropertyResult, TraceStep
from temper.verify.values import written


def trace_of(table: Table, run: Replayed) -> tuple[TraceStep, ...]:
    """Return a run's steps, told."""
    known: dict[str, str] = {}
    return tuple(_told(table, stage, known) for stage in run.stages)


def _told(table: Table, stage: Stage, known: dict[str, str]) -> TraceStep:
    event, accepted = stage.event, stage.accepted
    now = accepted.after if accepted is not None else stage.before
    entity = table.entities[now.entity if now is not None else _entity_of(event)]
    before = stage.before.state if stage.before is not None else "new"
    action, params = _taken(event, accepted, stage.before)
    text = _sentence(table, entity, stage, action, params, known)
    site = _site(table, entity, stage)
    return TraceStep(
        text=text,
        entity=entity.name,
        id=now.id if now is not None else _id_of(event),
        who=who_did(event, accepted, stage.before),
        action=action,
        params=_encoded(table, entity, action, params),
        before=before,
        after=accepted.after.state if accepted is not None else before,
        changed=_changed(table, entity, stage),
        site=site,
        place=place_of(table, site),
        event=_as_data(table, entity, stage, action),
    )


def _entity_of(event: Event) -> str:
    assert isinstance(event, Act | Deliver), "what is not there yet is created"
    return event.entity


def _id_of(event: Event) -> str:
    return event.entity_id if isinstance(event, Act | Deliver) else ""


def _call(event: Outcome, before: Snapshot | None) -> Pending:
    assert before is not None, "an outcome belongs to somebody"
    return next(call for call in before.calls if call.order == event.order)


def _taken(event: Event, accepted: Accepted | None, before: Snapshot | None) -> tuple[str | None, Mapping[str, Value]]:
    """Return the action that a step took, or was to take."""
    if accepted is not None and accepted.moves:
        return accepted.moves[0].action, accepted.moves[0].params
    match event:
        case Act() | Deliver():
            return event.action, event.params
        case Outcome():
            handler = handler_of(_call(event, before), event.ending)
            return (None if handler is None else handler.action), {}
        case _:
            return None, {}


def who_did(event: Event, accepted: Accepted | None, before: Snapshot | None) -> str:
    """Return who made a step, as people say it: "operator", "the tool kubernetes.set_partition", "the clock"."""
    match event:
        case Act(by_system=False):
            actor = accepted.actor if accepted is not None else ""
            return _person(event.caller, actor)
        case Outcome():
            return f"the tool {_call(event, before).tool}"
        case Fire():
            return "the clock"
        case Act() | Deliver():
            return "another entity"
        case _:
            return "system"


def _person(caller: Caller, actor: str) -> str:
    """Return a caller as the role that let it in, and what else it is where that matters."""
    if actor not in caller.roles:
        actor = min(caller.roles, default="anyone" if actor in {"", "anyone"} else caller.principal)
    others = sorted(caller.roles - {actor})
    return f"{actor}, who is {' and '.join(others)} too," if others else actor


def _sentence(
    table: Table,
    entity: shape.Entity,
    stage: Stage,
    action: str | None,
    params: Mapping[str, Value],
    known: dict[str, str],
) -> str:
    event, accepted = stage.event, stage.accepted
    given = f"({shown_args(table, entity.actions[action].params, params)})" if action and params else ""
    who = who_did(event, accepted, stage.before)
    match event:
        case Act() if stage.before is None:
            return f"{who} creates {event.entity_id} by {event.action}{given}"
        case Act():
            return f"{who} takes {event.action}{given}"
        case Deliver():
            return f"another entity sends {event.action}{given}{_became(accepted)}"
        case Fire():
            text = " ".join(text_of(table, event.timer).split()) or event.timer
            return f"the clock: {text}"
        case Offer():
            return f"{action or 'what was deferred'} is offered again{_became(accepted)}"
        case Outcome():
            return _outcome_told(table, stage, event, action, known)
        case _:
            raise AssertionError(event)


def _outcome_told(table: Table, stage: Stage, event: Outcome, action: str | None, known: dict[str, str]) -> str:
    call = _call(event, stage.before)
    subject = f"{call.tool}{_given_to(table, call)}" if event.order not in known else "it"
    again = " once more, late" if call.ended else ""
    known[event.order] = call.tool
    results = shown_args(table, table.tools[call.tool].results, event.results)
    verb = "gives no answer in time"
    if event.ending is Ending.ANSWERED:
        verb = f"answers{again}" + (f" ({results})" if results else "")
    elif event.ending is Ending.FAILED:
        verb = f'fails{again} with "{event.error_text}"'
    what = f": {action}" if action is not None else ", and nothing follows"
    return f"{subject} {verb}{what}{_became(stage.accepted)}"


def _given_to(table: Table, call: Pending) -> str:
    params = table.tools[call.tool].params
    values = [show_as(p.type, call.args[p.name], table.records) for p in params if p.name in call.args]
    return f"({', '.join(values)})" if len(values) <= 4 else "(...)"


def _became(accepted: Accepted | None) -> str:
    if accepted is None:
        return ""
    match accepted.how:
        case How.TAKEN:
            return ""
        case How.LATE:
            return f" comes too late; {accepted.moves[0].action} is taken instead"
        case How.IGNORED:
            return ", which is ignored"
        case How.DEFERRED:
            return " is kept until the state is left"
        case How.DEAD:
            return " has no place here"


def shown_args(table: Table, params: Sequence[shape.Param], values: Mapping[str, Value]) -> str:
    """Return arguments as a blueprint writes them: `cluster: "c", brokers: 3`; what is `none` by default is left
    out."""
    return ", ".join(
        f"{p.name}: {show_as(p.type, values[p.name], table.records)}"
        for p in params
        if p.name in values and not (values[p.name] is None and p.type[0] == "optional")
    )


def _encoded(table: Table, entity: shape.Entity, action: str | None, params: Mapping[str, Value]) -> dict[str, Any]:
    if action is None:
        return {}
    return encode_args(entity.actions[action].params, params, table.records)


def _changed(table: Table, entity: shape.Entity, stage: Stage) -> dict[str, tuple[Any, Any]]:
    if stage.accepted is None or stage.before is None:
        return {}
    after, before = stage.accepted.after.fields, stage.before.fields
    return {
        each.name: (
            encode(each.type, before[each.name], table.records),
            encode(each.type, after[each.name], table.records),
        )
        for each in entity.fields
        if before[each.name] != after[each.name]
    }


def _site(table: Table, entity: shape.Entity, stage: Stage) -> str | None:
    """Return what did it: the case that was taken, the clause that refused, or the call."""
    if stage.accepted is not None and stage.accepted.moves:
        return stage.accepted.moves[0].case
    if stage.refused is not None:
        return stage.refused.site
    match stage.event:
        case Outcome():
            return _call(stage.event, stage.before).site
        case Fire():
            return stage.event.timer
        case Act() | Deliver():
            return entity.actions[stage.event.action].site
        case _:
            return entity.site


def _as_data(table: Table, entity: shape.Entity, stage: Stage, action: str | None) -> dict[str, Any]:
    """Return a step enough to do it again: `kind` is "act", "outcome", "timer", "send", "create" or "offer"."""
    event = stage.event
    data: dict[str, Any] = {"at": event.at - BEGINNING}
    match event:
        case Act():
            data |= {
                "kind": "create" if event.by_system else "act",
                "action": event.action,
                "params": encode_args(entity.actions[event.action].params, event.params, table.records),
                "principal": event.caller.principal,
                "roles": sorted(event.caller.roles),
            }
        case Deliver():
            data |= {
                "kind": "send",
                "action": event.action,
                "params": encode_args(entity.actions[event.action].params, event.params, table.records),
            }
        case Outcome():
            tool = _call(event, stage.before).tool
            data |= {
                "kind": "outcome",
                "tool": tool,
                "ending": event.ending.value,
                "results": encode_args(table.tools[tool].results, event.results, table.records),
                "error_kind": event.error_kind,
                "error": event.error_text,
            }
        case Fire():
            data |= {"kind": "timer", "timer": event.timer}
        case Offer():
            data |= {"kind": "offer", "deferred": event.deferred}
    if stage.accepted is not None:
        data["how"] = stage.accepted.how.value
        calls = [order.pending for order in stage.accepted.orders if isinstance(order, CallOrder)]
        if calls:
            data["calls"] = [f"{call.tool}{_given_to(table, call)}" for call in calls]
    if stage.refused is not None:
        data["refused"] = stage.refused.text
    return data


# --- what would have stopped it ---------------------------------------------------------------------------------------


def missing_guard(table: Table, condition: Expr, stage: Stage) -> str | None:
    """Return what the last step's case would have had to ask for to keep an `always`, as help for its author.

    `None` where that can't be said of the state before: the step had routes, or set fields on entry.
    """
    accepted = stage.accepted
    if accepted is None or len(accepted.moves) != 1:
        return None
    move = accepted.moves[0]
    entity = table.entities[accepted.after.entity]
    action = entity.actions[move.action]
    case = next(each for each in action.cases if each.site == move.case)
    body = [*action.body, *case.body]
    if move.entered:
        for place in (*entered(entity, move.before, move.after), *left(entity, move.before, move.after)):
            body += [*place.entry, *place.exit]
            if any(isinstance(clause, shape.Set) for clause in place.entry):
                return None
    if any(isinstance(clause, shape.If) for clause in body):
        return None
    names = names_in(table, entity, action, case)
    sets = {clause.field: without_lets(clause.value, names) for clause in body if isinstance(clause, shape.Set)}
    if stage.before is None:
        for each in entity.fields:
            if each.name not in sets and each.default is not None:
                sets[each.name] = each.default
    wanted = _before(in_one_state(without_lets(condition, names), move.after), sets, move.before)
    what = f"`{move.action}` from `{move.before}`"
    if wanted[0] == "lit":
        return f"{what} leads to `{move.after}` whatever the fields hold; give it another case, or no such `to`"
    asked = describe_expr(_tidied(wanted), table.records)
    if any(part[0] in {"now", "caller", "result"} for part in walk(wanted)):
        return f"{what} would have to ask for `{asked}`"
    has = [describe_expr(guard.condition, table.records) for guard in guards(action, case)]
    also = f"; it asks for `{'` and `'.join(has)}` alone" if has else "; it asks for nothing"
    return f"add `when {asked}` to {what}{also}"


def _before(e: Expr, sets: Mapping[str, Expr], state: str) -> Expr:
    """Return what has to hold before a step so that `e` holds after it."""
    match e:
        case ("field", name):
            return sets.get(name, e)
        case ("before", part):
            return in_one_state(part, state)
        case ("+", ("+", a, ("lit", type_, int() as x)), ("lit", _, int() as y)):
            return ("+", _before(a, sets, state), ("lit", type_, x + y))
        case _:
            return rebuilt(e, lambda part: _before(part, sets, state))


def _tidied(e: Expr) -> Expr:
    """Return `x < y` for `x + 1 <= y`."""
    match e:
        case ("<=", ("+", a, ("lit", ("int", _, _), 1)), b):
            return ("<", a, b)
        case _:
            return rebuilt(e, _tidied)


# --- as a scenario ----------------------------------------------------------------------------------------------------


def scenario_text(result: PropertyResult, table: Table) -> str:
    """Return a result's run as a scenario, ready to keep: it fails while the run goes through, and passes once it
    can't, or once what it leads to is right.

    For a witness (`can reach`) it passes while the run goes through. Entities are named as they come about.
    """
    lines = [f'scenario "{_title(result, table)}"']
    clock = 0
    broken = result.verdict.value == "broken"
    steps = [step for step in result.trace if step.event["kind"] != "fault"]
    # What a broken step does may be mended as well as refused; who may not be let in at all is refused.
    after = " -> refused" if _is_authority(result, table) else " -> any"
    named = _names(steps)
    # What follows by itself (joint actions, sends) is no line.
    end = max((number for number, step in enumerate(steps) if step.event["kind"] in _LINES), default=-1)
    for number, step in enumerate(steps):
        last = number == end
        at = int(step.event.get("at", 0))
        kind = step.event["kind"]
        expect = f" -> {step.after}" if not last or not broken else ""
        if kind == "timer":
            lines.append(f"  wait {_duration(max(at - clock, 1))}" + _is(step, expect, named))
        else:
            if at > clock:
                lines.append(f"  wait {_duration(at - clock)}")
            made = _made(steps[number + 1 :], named)
            lines.extend(f"  {line}" for line in _line(table, step, after if last and broken else expect, made, named))
        clock = max(at, clock)
    return "\n".join(lines) + "\n"


_LINES = frozenset({"act", "outcome", "timer"})


def _is(step: TraceStep, expect: str, named: Mapping[str, str]) -> str:
    return f" -> {named.get(step.id, step.id)} is {step.after}" if expect else ""


def _is_authority(result: PropertyResult, table: Table) -> bool:
    asked = next((each for each in table.properties if each.site == result.site), None)
    return isinstance(asked, shape.Never | shape.Needs)


def _names(steps: Sequence[TraceStep]) -> dict[str, str]:
    """Return the name in a scenario of each entity that is created, by its id: `l1` is the first Lock."""
    found: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for step in steps:
        if step.before == "new" and step.id not in found:
            letter = step.entity[:1].lower()
            counts[letter] += 1
            found[step.id] = f"{letter}{counts[letter]}"
    return found


def _made(later: Sequence[TraceStep], named: Mapping[str, str]) -> list[str]:
    """Return the names of what a step creates: it stands behind it, before anything else that comes about."""
    found: list[str] = []
    for step in later:
        if step.event["kind"] not in {"create", "with"}:
            break
        if step.event["kind"] == "create" and step.before == "new":
            found.append(named[step.id])
    return found


def _title(result: PropertyResult, table: Table) -> str:
    return result.name.replace("\\", "").replace('"', "'")


def _line(table: Table, step: TraceStep, expect: str, made: Sequence[str], named: Mapping[str, str]) -> Iterator[str]:
    event = step.event
    name = named.get(step.id, step.id)
    match event["kind"]:
        case "act":
            entity = table.entities[step.entity]
            args = _scenario_args(table, entity.actions[event["action"]].params, event["params"], named)
            roles = ", ".join(event["roles"]) or "anyone"
            who = f"{roles}({event['principal']})"
            call = f"{event['action']}({args})" if args else event["action"]
            made = made if expect and expect != " -> refused" else ()
            expected = ", ".join((expect, *made))
            if step.before == "new":
                yield f"{who} {name} = {step.entity}.{call}{expected}"
            else:
                yield f"{who} {name}.{call}{expected}"
        case "outcome":
            tool = table.tools[event["tool"]]
            expected = _is(step, "" if expect in {" -> any", " -> refused"} else expect, named)
            if event["ending"] == "answered":
                args = _scenario_args(table, tool.results, event["results"], named)
                yield f"{tool.name} answers{f' ({args})' if args else ''}{expected}"
            elif event["ending"] == "failed":
                text = event["error"].replace("\\", "\\\\").replace('"', '\\"')
                yield f'{tool.name} fails "{text}"{expected}'
            else:
                yield f"{tool.name} times out{expected}"
        case _:
            return


def _scenario_args(
    table: Table, params: Sequence[shape.Param], values: Mapping[str, Any], named: Mapping[str, str]
) -> str:
    parts = []
    for param in params:
        if values.get(param.name) is not None:
            value = decode(param.type, values[param.name], records=table.records)
            shown = written(table, param.type, value)
            parts.append(f"{param.name}: {named.get(shown, shown)}")
    return ", ".join(parts)


def _duration(ms: int) -> str:
    return show_as(("duration",), ms)


def holds_now(table: Table, name: str, condition: Expr, before: Snapshot | None, after: Snapshot) -> str:
    """Return what the fields that a condition reads hold at the end of a run: "moved is 2 and brokers is 1"."""
    entity = table.entities[name]
    types = {each.name: each.type for each in entity.fields}
    said: dict[str, None] = {}
    for part in walk(condition):
        if part[0] == "before" and part[1][0] == "field" and before is not None:
            field = part[1][1]
            said[f"{field} was {show_as(types[field], before.fields[field], table.records)}"] = None
    for part in walk(condition):
        if part[0] == "field":
            said[f"{part[1]} is {show_as(types[part[1]], after.fields[part[1]], table.records)}"] = None
        elif part[0] == "in_state":
            said[f"state is {after.state}"] = None
    words = list(said)
    return "then " + (
        " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words) or "it is false"
    )
