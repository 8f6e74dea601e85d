"""What a run did, as a story: the entries of its journal, and between them what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from temper.kernel import Cause, Entry
from temper.table import BadValue, Ending, Table, decode, shape, show_as
from temper.verify.explain import Names, named, names_of
from temper.verify.places import place_of, text_of
from temper.verify.report import TraceStep
from temper.verify.simulate.watch import Happened
from temper.verify.simulate.world import BEGINNING, World
from temper.verify.tested import Wrong


def told(world: World, wrong: Wrong) -> tuple[TraceStep, ...]:
    """Return the steps of a run that led to what is wrong. Refusals that changed nothing are left out."""
    story = world.watch.story
    last = len(story) - 1
    entries = [each for each in story if isinstance(each, Entry)]
    cast = _Cast(
        many=len({(each.entity, each.id) for each in entries}) > 1,
        persons=len({(each.by.principal, each.by.acts_for) for each in entries if each.cause is Cause.REQUEST}) > 1
        or any(each.by.acts_for is not None for each in entries if each.cause is Cause.REQUEST),
        names=names_of((each.entity, each.id) for each in entries if each.before == "new" and each.refused is None),
    )
    steps: list[TraceStep] = []
    for number, each in enumerate(story):
        if isinstance(each, Happened):
            steps.append(_happened(each))
        elif each.changes or (number == last and wrong.kind in {"property", "fault"}):
            steps.append(_entry(world.watch.table, each, cast))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who is in a story: whether several entities and persons are, and by which names the former are called."""

    many: bool
    persons: bool
    names: Names

    def name(self, entry: Entry) -> str:
        if entry.before == "new" and entry.refused is not None:
            return "one more"  # It has not come about.
        return self.names.get((entry.entity, entry.id), entry.id)

    def person(self, entry: Entry) -> str:
        if not self.persons:
            return ""
        behalf = f", for {entry.by.acts_for}" if entry.by.acts_for is not None else ""
        return f" ({entry.by.principal}{behalf})"


def _happened(each: Happened) -> TraceStep:
    data = {"kind": "fault", "at": each.at - BEGINNING}
    return TraceStep(each.text, "", "", "the simulation", None, {}, "", "", {}, None, None, data)


def _entry(table: Table, entry: Entry, cast: _Cast) -> TraceStep:
    site = entry.moves[0].site if entry.moves else entry.refused.site if entry.refused is not None else None
    if site is None and entry.timer is not None:
        site = entry.timer
    return TraceStep(
        text=_sentence(table, entry, cast),
        entity=entry.entity,
        id=entry.id,
        who=_who(entry),
        action=entry.action,
        params=dict(entry.params),
        before=entry.before,
        after=entry.after,
        changed={name: (was, entry.set.get(name)) for name, was in entry.was.items()},
        site=site,
        place=place_of(table, site),
        event=_data(entry),
        name=cast.names.get((entry.entity, entry.id), entry.id),
        part=entry.cause in {Cause.CREATE, Cause.WITH},
    )


def _who(entry: Entry) -> str:
    match entry.cause:
        case Cause.REQUEST:
            return entry.actor or ", ".join(entry.by.roles) or entry.by.principal
        case Cause.OUTCOME:
            return f"the tool {entry.ended.tool}" if entry.ended is not None else "a tool"
        case Cause.TIMER:
            return "the clock"
        case Cause.SEND | Cause.CREATE | Cause.WITH:
            return "another entity"
        case _:
            return "system"


def _sentence(table: Table, entry: Entry, cast: _Cast) -> str:
    who = _who(entry)
    me = cast.name(entry)
    whose = f"{me}." if cast.many and entry.before != "new" else ""
    kind = table.entities.get(entry.entity)
    action = kind.actions.get(entry.action or "") if kind is not None else None
    args = _shown(table, action.params, entry.params, cast.names) if action is not None else ""
    given = f"{entry.action}({args})" if args else f"{entry.action}"
    late = f" comes too late; {entry.action} is taken instead" if entry.how == "late" else ""
    if entry.how in {"ignored", "deferred", "dead"}:
        ends = {"ignored": "is ignored", "deferred": "is kept until the state is left", "dead": "has no place here"}
        late = f", which {ends[entry.how]}"
    match entry.cause:
        case Cause.REQUEST if entry.before == "new":
            text = f"{who}{cast.person(entry)} creates {me} by {given}"
        case Cause.REQUEST:
            text = f"{who}{cast.person(entry)} takes {whose}{given}"
        case Cause.CREATE if entry.before == "new":
            text = f"with it, {me} is created by {given}"
        case Cause.CREATE | Cause.WITH:
            text = f"with it, {me} takes {given}"
        case Cause.OUTCOME:
            text = f"{_ending(table, entry)}: {whose + entry.action if entry.action else 'nothing follows'}{late}"
        case Cause.TIMER:
            what = " ".join(text_of(table, entry.timer).split()) or entry.action
            text = f"the clock{f', for {me}' if cast.many else ''}: {what}"
        case Cause.SEND:
            text = f"another entity sends {whose}{given}{late}"
        case Cause.OFFER:
            text = f"{whose}{given} is offered again{late}"
        case _:
            text = f"{me} is carried over to the new version"
    return f"{text}: refused, {entry.refused.text}" if entry.refused is not None else text


def _ending(table: Table, entry: Entry) -> str:
    ended = entry.ended
    if ended is None:
        return "a tool's answer comes"
    again = " once more, late" if ended.number else ""
    if ended.ending == Ending.ANSWERED.value:
        tool = table.tools.get(ended.tool)
        results = _shown(table, tool.results, ended.results) if tool is not None else ""
        return f"{ended.tool} answers{again}" + (f" ({results})" if results else "")
    if ended.ending == Ending.FAILED.value:
        return f'{ended.tool} fails{again} with "{ended.error_text}"'
    return f"{ended.tool} gives no answer in time"


def _shown(table: Table, params: Sequence[shape.Param], values: Mapping[str, Any], names: Names | None = None) -> str:
    parts = []
    for param in params:
        if values.get(param.name) is not None:
            try:
                value = decode(param.type, values[param.name], records=table.records)
            except BadValue:
                continue  # Of another version of the table.
            shown = show_as(param.type, value, table.records)
            parts.append(f"{param.name}: {named(param.type, shown, names or {})}")
    return ", ".join(parts)


def _data(entry: Entry) -> dict[str, Any]:
    data: dict[str, Any] = {"at": entry.at - BEGINNING, "how": entry.how}
    match entry.cause:
        case Cause.REQUEST:
            data |= {
                "kind": "act",
                "action": entry.action,
                "params": dict(entry.params),
                "principal": entry.by.principal,
                "roles": list(entry.by.roles),
                "acts_for": entry.by.acts_for,
            }
        case Cause.OUTCOME if entry.ended is not None:
            data |= {
                "kind": "outcome",
                "tool": entry.ended.tool,
                "ending": entry.ended.ending,
                "results": dict(entry.ended.results),
                "error_kind": entry.ended.error_kind,
                "error": entry.ended.error_text,
            }
        case Cause.TIMER:
            data |= {"kind": "timer", "timer": entry.timer}
        case _:
            # What follows by itself: a scenario does it without a line.
            data |= {"kind": entry.cause.value}
    if entry.refused is not None:
        data["refused"] = entry.refused.text
    return data
