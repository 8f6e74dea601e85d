"""A run told as a story: in the blueprint's own words, step by step, and what would have stopped it.

The same run as data (`TraceStep.event`) and as a scenario's text, which parses and does the same again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    SendOrder,
    Snapshot,
    Table,
    Type,
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
    telling = _Telling(table, run)
    return tuple(telling.step(number) for number in range(len(run.stages)))


class _Telling:
    """What has to be known of the whole run to tell a step of it: who is there, and by which names."""

    def __init__(self, table: Table, run: Replayed) -> None:
        self.table = table
        self.stages = run.stages
        seen = [stage.accepted.after if stage.accepted is not None else stage.before for stage in run.stages]
        self.many = len({(now.entity, now.id) for now in seen if now is not None}) > 1
        self.names = names_of(
            (now.entity, now.id)
            for now, stage in zip(seen, run.stages, strict=True)
            if now is not None and stage.before is None
        )
        callers = [each.event.caller for each in run.stages if isinstance(each.event, Act) and not each.event.by_system]
        # Where one person does it all, in no one else's place, it makes no difference who that is.
        self.persons = len({(each.principal, each.acts_for) for each in callers}) > 1 or any(
            each.acts_for is not None for each in callers
        )
        self.senders = {
            order.order: self.name(stage.accepted.after.entity, stage.accepted.after.id)
            for stage in run.stages
            if stage.accepted is not None
            for order in stage.accepted.orders
            if isinstance(order, SendOrder)
        }
        self.known: dict[str, str] = {}

    def name(self, entity: str, id: str) -> str:
        """Return what an entity is called in the story."""
        return self.names.get((entity, id), id)

    def person(self, caller: Caller) -> str:
        """Return which person a caller is, where that makes a difference: " (p2, for p1)"."""
        if not self.persons:
            return ""
        behalf = f", for {caller.acts_for}" if caller.acts_for is not None else ""
        return f" ({caller.principal}{behalf})"

    def part(self, number: int) -> bool:
        """Say whether a step is a part of the one before it, in one commit."""
        event = self.stages[number].event
        if number == 0 or not (isinstance(event, Act) and event.by_system):
            return False
        # What a commit takes along bears its number behind that of the event that came in.
        return event.id.startswith(f"{self.stages[number - 1].event.id.partition('.')[0]}.")

    def step(self, number: int) -> TraceStep:
        """Return a step, told."""
        table, stage = self.table, self.stages[number]
        event, accepted = stage.event, stage.accepted
        now = accepted.after if accepted is not None else stage.before
        entity = table.entities[now.entity if now is not None else _entity_of(event)]
        before = stage.before.state if stage.before is not None else "new"
        action, params = _taken(event, accepted, stage.before)
        part = self.part(number)
        site = _site(table, entity, stage)
        return TraceStep(
            text=self.sentence(entity, stage, action, params, part=part),
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
            event=_as_data(table, entity, stage, action, part=part),
            name=self.name(entity.name, now.id if now is not None else _id_of(event)),
            part=part,
        )

    def sentence(
        self,
        entity: shape.Entity,
        stage: Stage,
        action: str | None,
        params: Mapping[str, Value],
        *,
        part: bool,
    ) -> str:
        """Return a step in words: who does what, to which entity where there are several."""
        event, accepted = stage.event, stage.accepted
        given = f"({self.args(entity.actions[action].params, params)})" if action and params else ""
        now = accepted.after if accepted is not None else stage.before
        me = self.name(entity.name, now.id if now is not None else _id_of(event))
        whose = f"{me}." if self.many else ""
        who = who_did(event, accepted, stage.before)
        match event:
            case Act() if part and stage.before is None:
                return f"with it, {me} is created by {event.action}{given}"
            case Act() if part:
                return f"with it, {me} takes {event.action}{given}"
            case Act():
                who += "" if event.by_system else self.person(event.caller)
                if stage.before is None:
                    return f"{who} creates {me} by {event.action}{given}"
                return f"{who} takes {whose}{event.action}{given}"
            case Deliver():
                sender = self.senders.get(event.order, "another entity")
                return f"{sender} sends {whose}{event.action}{given}{_became(accepted)}"
            case Fire():
                text = " ".join(text_of(self.table, event.timer).split()) or event.timer
                return f"the clock{f', for {me}' if self.many else ''}: {text}"
            case Offer():
                what = f"{whose}{action}" if action else "what was deferred"
                return f"{what} is offered again{_became(accepted)}"
            case Outcome():
                return self.outcome(stage, event, None if action is None else f"{whose}{action}")
            case _:
                raise AssertionError(event)

    def outcome(self, stage: Stage, event: Outcome, action: str | None) -> str:
        table = self.table
        call = _call(event, stage.before)
        subject = f"{call.tool}{_given_to(table, call)}" if event.order not in self.known else "it"
        again = " once more, late" if call.ended else ""
        self.known[event.order] = call.tool
        results = self.args(table.tools[call.tool].results, event.results)
        verb = "gives no answer in time"
        if event.ending is Ending.ANSWERED:
            verb = f"answers{again}" + (f" ({results})" if results else "")
        elif event.ending is Ending.FAILED:
            verb = f'fails{again} with "{event.error_text}"'
        handler = handler_of(call, event.ending)
        if stage.accepted is not None and stage.accepted.how is How.LATE and handler is not None:
            action = handler.action  # What came is not what was taken.
        what = f": {action}" if action is not None else ", and nothing follows"
        return f"{subject} {verb}{what}{_became(stage.accepted)}"

    def args(self, params: Sequence[shape.Param], values: Mapping[str, Value]) -> str:
        """Return arguments as a blueprint writes them, with the names of the story."""
        return shown_args(self.table, params, values, self.names)


Names = Mapping[tuple[str, str], str]


def names_of(created: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the name in a story and in its scenario of each entity that is created, by its kind and id: `l1` is the
    first Lock, or the first of those that begin with an L."""
    found: dict[tuple[str, str], str] = {}
    counts: Counter[str] = Counter()
    for entity, id in created:
        if (entity, id) not in found:
            letter = entity[:1].lower()
            counts[letter] += 1
            found[entity, id] = f"{letter}{counts[letter]}"
    return found


def named(type_: Type, shown: str, names: Names) -> str:
    """Return a shown value, by its name where it is an entity of the story."""
    inner = type_[1] if type_[0] == "optional" else type_
    if inner[0] != "ref":
        return shown
    entity: str = inner[1]
    return names.get((entity, shown), shown)


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


def shown_args(
    table: Table, params: Sequence[shape.Param], values: Mapping[str, Value], names: Names | None = None
) -> str:
    """Return arguments as a blueprint writes them: `cluster: "c", brokers: 3`; what is `none` by default is left
    out. Entities bear these `names`."""
    parts = []
    for p in params:
        if p.name in values and not (values[p.name] is None and p.type[0] == "optional"):
            shown = show_as(p.type, values[p.name], table.records)
            parts.append(f"{p.name}: {named(p.type, shown, names or {})}")
    return ", ".join(parts)


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


def _as_data(table: Table, entity: shape.Entity, stage: Stage, action: str | None, *, part: bool) -> dict[str, Any]:
    """Return a step enough to do it again: `kind` is "act", "outcome", "timer", "send", "create", "with" or "offer"."""
    event = stage.event
    data: dict[str, Any] = {"at": event.at - BEGINNING}
    match event:
        case Act():
            data |= {
                "kind": ("with" if part and stage.before is not None else "create") if event.by_system else "act",
                "action": event.action,
                "params": encode_args(entity.actions[event.action].params, event.params, table.records),
                "principal": event.caller.principal,
                "roles": sorted(event.caller.roles),
                "acts_for": event.caller.acts_for,
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
    said = _of_step(without_lets(condition, names), move.before, (entity.name, move.action))
    wanted = in_one_state(_before(in_one_state(said, move.after), sets), move.after)
    what = f"`{move.action}` from `{move.before}`"
    if wanted[0] == "lit":
        if move.before == move.after:
            return f"{what} breaks it whatever the fields hold: give it no such case, or let it do something else"
        return f"{what} leads to `{move.after}` whatever the fields hold; give it another case, or no such `to`"
    asked = describe_expr(_tidied(wanted), table.records)
    if any(part[0] in {"now", "caller", "result"} for part in walk(wanted)):
        return f"{what} would have to ask for `{asked}`"
    has = [describe_expr(guard.condition, table.records) for guard in guards(action, case)]
    also = f"; it asks for `{'` and `'.join(has)}` alone" if has else "; it asks for nothing"
    return f"add `when {asked}` to {what}{also}"


def last_step(table: Table, run: Replayed) -> str | None:
    """Return which case a run of several entities ends with, and what it asks for: there something is missing."""
    telling = _Telling(table, run)
    end = next((n for n in reversed(range(len(run.stages))) if not telling.part(n)), 0)
    stage = run.stages[end]
    if stage.accepted is None or not stage.accepted.moves:
        return None
    move = stage.accepted.moves[0]
    entity = table.entities[stage.accepted.after.entity]
    action = entity.actions[move.action]
    case = next(each for each in action.cases if each.site == move.case)
    has = [describe_expr(guard.condition, table.records) for guard in guards(action, case)]
    asks = f"asks for `{'` and `'.join(has)}` alone" if has else "asks for nothing"
    what = f"`{entity.name}.{move.action}` from `{move.before}`"
    return f"{what} breaks it, and {asks}: ask there for what keeps it, or take along those it is about (`with`)"


def _of_step(e: Expr, state: str, action: tuple[str, str]) -> Expr:
    """Return what is asked of a step that takes an action in a state: questions about the two answered."""
    match e:
        case ("before", part):
            known = in_one_state(part, state)
            return known if known[0] == "lit" else ("before", known)
        case ("action_is", entity, name):
            return ("lit", ("bool",), (entity, name) == action)
        case _:
            return rebuilt(e, lambda part: _of_step(part, state, action))


def _before(e: Expr, sets: Mapping[str, Expr]) -> Expr:
    """Return what has to hold before a step so that `e` holds after it."""
    match e:
        case ("field", name):
            return sets.get(name, e)
        case ("before", tuple(part)):
            return part
        case ("+", ("+", a, ("lit", type_, int() as x)), ("lit", _, int() as y)):
            return ("+", _before(a, sets), ("lit", type_, x + y))
        case _:
            return rebuilt(e, lambda part: _before(part, sets))


def _tidied(e: Expr) -> Expr:
    """Return `x < y` for `x + 1 <= y`."""
    match e:
        case ("<=", ("+", a, ("lit", ("int", _, _), 1)), b):
            return ("<", a, b)
        case ("implies", a, ("lit", _, False)):
            return ("not", _tidied(a))
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
    names = names_of((step.entity, step.id) for step in steps if step.before == "new")
    # What follows by itself (joint actions, sends) is no line.
    end = max((number for number, step in enumerate(steps) if step.event["kind"] in _LINES), default=-1)
    for number, step in enumerate(steps):
        last = number == end
        at = int(step.event.get("at", 0))
        kind = step.event["kind"]
        expect = f" -> {step.after}" if not last or not broken else ""
        if kind == "timer":
            lines.append(f"  wait {_duration(max(at - clock, 1))}" + _is(step, expect, names))
        else:
            if at > clock:
                lines.append(f"  wait {_duration(at - clock)}")
            made = _made(steps[number + 1 :], names)
            lines.extend(f"  {line}" for line in _line(table, step, after if last and broken else expect, made, names))
        clock = max(at, clock)
    return "\n".join(lines) + "\n"


_LINES = frozenset({"act", "outcome", "timer"})


def _is(step: TraceStep, expect: str, names: Names) -> str:
    return f" -> {names.get((step.entity, step.id), step.id)} is {step.after}" if expect else ""


def _is_authority(result: PropertyResult, table: Table) -> bool:
    asked = next((each for each in table.properties if each.site == result.site), None)
    return isinstance(asked, shape.Never | shape.Needs)


def _made(later: Sequence[TraceStep], names: Names) -> list[str]:
    """Return the names of what a step creates: it stands behind it, before anything else that comes about."""
    found: list[str] = []
    for step in later:
        if step.event["kind"] not in {"create", "with"}:
            break
        if step.event["kind"] == "create" and step.before == "new":
            found.append(names[step.entity, step.id])
    return found


def _title(result: PropertyResult, table: Table) -> str:
    return result.name.replace("\\", "").replace('"', "'")


def _line(table: Table, step: TraceStep, expect: str, made: Sequence[str], names: Names) -> Iterator[str]:
    event = step.event
    name = names.get((step.entity, step.id), step.id)
    match event["kind"]:
        case "act":
            entity = table.entities[step.entity]
            args = _scenario_args(table, entity.actions[event["action"]].params, event["params"], names)
            roles = ", ".join(event["roles"]) or "anyone"
            behind = f" for {event['acts_for']}" if event.get("acts_for") is not None else ""
            who = f"{roles}({event['principal']}{behind})"
            call = f"{event['action']}({args})" if args else event["action"]
            made = made if expect and expect != " -> refused" else ()
            expected = ", ".join((expect, *made))
            if step.before == "new":
                yield f"{who} {name} = {step.entity}.{call}{expected}"
            else:
                yield f"{who} {name}.{call}{expected}"
        case "outcome":
            tool = table.tools[event["tool"]]
            expected = _is(step, "" if expect in {" -> any", " -> refused"} else expect, names)
            if event["ending"] == "answered":
                args = _scenario_args(table, tool.results, event["results"], names)
                yield f"{tool.name} answers{f' ({args})' if args else ''}{expected}"
            elif event["ending"] == "failed":
                text = event["error"].replace("\\", "\\\\").replace('"', '\\"')
                yield f'{tool.name} fails "{text}"{expected}'
            else:
                yield f"{tool.name} times out{expected}"
        case _:
            return


def _scenario_args(table: Table, params: Sequence[shape.Param], values: Mapping[str, Any], names: Names) -> str:
    parts = []
    for param in params:
        if values.get(param.name) is not None:
            value = decode(param.type, values[param.name], records=table.records)
            parts.append(f"{param.name}: {named(param.type, written(table, param.type, value), names)}")
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
