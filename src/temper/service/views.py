"""Entities, entries and refusals as people and programs see them: the domain's types made wire structs by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from temper.kernel import Cause, Done, Entry, Folded, Operated, OrderRow, TableVersion, Who
from temper.service import wire
from temper.service.findings import site_place, site_text
from temper.table import Pending, Possible, Refused, Snapshot, Table, digest, encode, is_plain, json_schema, shape

TIME = ("time",)


@lru_cache(4096)
def moment(ms: int) -> str:
    """Return a time as it goes over the wire."""
    text = encode(TIME, ms)
    assert isinstance(text, str), "a time is encoded as a string"
    return text


def version_view(version: TableVersion, *, current: bool, name: str = "") -> wire.Version:
    """Return a version without what it holds."""
    return wire.Version(
        blueprint=name,
        number=version.number,
        digest=version.digest,
        at=moment(version.at),
        by=version.by,
        note=version.note,
        current=current,
    )


def entity_view(table: Table, now: Snapshot, orders: Callable[[str], OrderRow | None] | None = None) -> wire.EntityView:
    """Return the entity; with `orders`, its open calls say how far they are."""
    entity = table.entities[now.entity]
    encoders = _encoders(table, now.entity)
    return wire.EntityView(
        entity=now.entity,
        id=now.id,
        state=now.state,
        version=now.version,
        fields={
            name: value if encoders[name] is None else encode(encoders[name], value, table.records)
            for name, value in now.fields.items()
            if name in encoders
        },
        created_at=moment(now.created_at),
        updated_at=moment(now.updated_at),
        final=now.state in entity.final,
        calls=tuple(
            _open_call(pending.order, pending.tool, _arguments(table, pending), orders)
            for pending in now.calls
            if not pending.ended
        )
        if now.calls
        else (),
        timers=tuple(
            wire.RunningTimer(
                timer=armed.timer,
                action=_timer_action(entity, armed.timer),
                due=moment(armed.due) if armed.due is not None else None,
            )
            for armed in now.timers
        )
        if now.timers
        else (),
    )


def _encoders(table: Table, entity: str) -> Mapping[str, Any]:
    """Return the type of each field, `None` where its values are JSON as they are; made once for a table."""
    known: dict[str, dict[str, Any]] = table.__dict__.setdefault("encoders", {})
    found = known.get(entity)
    if found is None:
        fields = table.entities[entity].fields
        found = known[entity] = {field.name: None if is_plain(field.type) else field.type for field in fields}
    return found


def past_view(entity: str, id: str, was: Folded, version: int | None) -> wire.PastEntity:
    """Return an entity as its entries made it; `version` is the number under which its table was pushed."""
    return wire.PastEntity(
        entity=entity,
        id=id,
        state=was.state,
        version=was.version,
        fields=was.fields,
        created_at=moment(was.created_at),
        updated_at=moment(was.updated_at),
        seq=was.seq,
        table_version=version,
    )


def _arguments(table: Table, pending: Pending) -> dict[str, Any]:
    """Return a call's arguments; of a tool that the table has no more, as they print."""
    tool = table.tools.get(pending.tool)
    types = {param.name: param.type for param in tool.params} if tool is not None else {}
    return {
        name: encode(types[name], value, table.records) if name in types else str(value)
        for name, value in pending.args.items()
    }


def _open_call(
    order: str, tool: str, args: dict[str, Any], orders: Callable[[str], OrderRow | None] | None
) -> wire.OpenCall:
    row = orders(order) if orders is not None else None
    if row is None:
        return wire.OpenCall(order=order, tool=tool, args=args)
    return wire.OpenCall(
        order=order,
        tool=tool,
        args=args,
        state=row.state.value,
        attempts=row.attempts,
        last_error=row.last_error,
        next_attempt_at=moment(row.next_at) if row.state.value == "waiting" else None,
    )


def _timer_action(entity: shape.Entity, site: str) -> str:
    timers = [timer for place in entity.places for timer in place.timers]
    whenevers = [whenever for place in entity.places for whenever in place.whenevers]
    handlers = {one.site: one.handler for one in timers} | {one.site: one.handler for one in whenevers}
    return handlers[site].action if site in handlers else ""


def acted(table: Table, done: Done, action: str, *, dry_run: bool = False) -> wire.Acted:
    """Return what an action did."""
    entry = done.entry
    entity = entity_view(table, done.snapshot)
    if entry is None:
        # The creating action gave the entity that has this key already: nothing happened to it.
        return wire.Acted(
            entity=entity, action=action, before=entity.state, after=entity.state, dry_run=dry_run, replayed=True
        )
    return wire.Acted(
        entity=entity,
        action=entry.action or action,
        before=entry.before,
        after=entry.after,
        changed=changed(entry),
        orders=tuple([ordered.order for ordered in entry.orders]) if entry.orders else (),
        emitted=tuple({"event": each.event, "params": each.params} for each in entry.emitted) if entry.emitted else (),
        created=tuple({"entity": each.entity, "id": each.id} for each in done.entries if each.cause is Cause.CREATE)
        if done.entries
        else (),
        seq=entry.seq,
        dry_run=dry_run,
        replayed=done.replayed,
    )


def hidden(done: wire.Acted) -> wire.Acted:
    """Return what an action did, for whoever may not read the entity: that it was done."""
    entity = msgspec.structs.replace(done.entity, fields={}, calls=(), timers=())
    return msgspec.structs.replace(done, entity=entity, changed={}, emitted=())


def changed(entry: Entry) -> dict[str, tuple[Any, Any]]:
    """Return each field that the entry changed, as (was, is)."""
    return {name: (entry.was.get(name), value) for name, value in entry.set.items()}


def history_entry(entry: Entry, version: int | None = None) -> wire.HistoryEntry:
    """Return an entry of a journal; `version` is the number under which its table was pushed."""
    return wire.HistoryEntry(
        seq=entry.seq,
        at=moment(entry.at),
        entity=entry.entity,
        id=entry.id,
        version=entry.version,
        cause=entry.cause.value,
        how=entry.how,
        action=entry.action,
        params=entry.params,
        actor=entry.actor,
        principal=entry.by.principal,
        roles=entry.by.roles,
        acts_for=entry.by.acts_for,
        before=entry.before,
        after=entry.after,
        changed=changed(entry),
        dropped={name: value for name, value in entry.was.items() if name not in entry.set},
        orders=tuple(
            {"order": each.order, "kind": each.kind, "to": each.to, "args": each.args} for each in entry.orders
        ),
        emitted=tuple({"event": each.event, "params": each.params} for each in entry.emitted),
        ended=_ended(entry),
        timer=entry.timer,
        late=entry.late,
        refused=_refused(entry),
        operated=msgspec.to_builtins(entry.operated),
        consent=_consent(entry),
        table=entry.digest[:12],
        table_version=version,
        text=line(entry),
    )


def _refused(entry: Entry) -> dict[str, Any] | None:
    refused = entry.refused
    if refused is None:
        return None
    told: dict[str, Any] = {"why": refused.why, "text": refused.text, "site": refused.site}
    return {**told, "policies": refused.policies} if refused.policies else told


def _ended(entry: Entry) -> dict[str, Any] | None:
    ended = entry.ended
    if ended is None:
        return None
    return {
        "order": ended.order,
        "tool": ended.tool,
        "ending": ended.ending,
        "number": ended.number,
        "results": ended.results,
        "error": {"kind": ended.error_kind, "text": ended.error_text} if ended.error_kind else None,
    }


def _consent(entry: Entry) -> dict[str, Any] | None:
    """Return who had asked and who has said yes, where somebody had to."""
    said = entry.consent
    if said is None:
        return None
    return {
        "decision": said.decision,
        "asked_by": {
            "principal": said.asked.principal,
            "roles": list(said.asked.roles),
            "acts_for": said.asked.acts_for,
        },
        "answered_by": {"principal": said.by.principal, "roles": list(said.by.roles), "acts_for": said.by.acts_for},
    }


def line(entry: Entry) -> str:
    """Return an entry as one line for people: what was done, by whom, and what came of it."""
    who = _who(entry)
    if entry.operated is not None:
        return f"{who} {_operated(entry.operated, entry.how)}"
    given = f"({_listed(entry.params)})" if entry.params else ""
    call = f"{entry.action}{given}" if entry.action else "nothing"
    if entry.refused is not None:
        return f"{who}: {call} was refused: {entry.refused.text}"
    if entry.cause.value == "swap":
        return f"carried over to version {entry.event.removeprefix('v')} of the blueprint{_where(entry)}"
    if entry.how == "ignored":
        return f"{who}: nothing follows{_late(entry)}"
    if entry.how == "deferred":
        return f"{who}: {call} is kept for later"
    if entry.how == "dead":
        return f"{who}: {call} has no place here{_late(entry)}: a dead letter"
    return f"{who}: {call}{_where(entry)}{_late(entry)}"


def _operated(done: Operated, how: str) -> str:
    what = {"call": f"the call of {done.to}", "send": f"the send to {done.to}"}.get(done.kind, "what came")
    did = f"has {what} tried again" if how == "retried" else f"gives {what} up"
    had = f", after: {done.text}" if done.text else ""
    return f"{did} (order {done.order}{had}){f': {done.note}' if done.note else ''}"


def _who(entry: Entry) -> str:
    if entry.ended is not None:
        ending = entry.ended.ending
        text = entry.ended.error_text
        # Mostly it is handed to the action, and stands there then.
        error = f" ({text})" if text and text not in entry.params.values() else ""
        return f"{entry.ended.tool} {ending}{error}"
    if entry.timer is not None:
        return "timer"
    role = f" as {entry.actor}" if entry.actor not in ("", "system", "anyone") else ""
    said = entry.consent
    if said is None:
        return f"{_named(entry.by)}{role}"
    other = f"asked by {_named(said.asked)}" if said.by == entry.by else f"approved by {_named(said.by)}"
    return f"{_named(entry.by)}{role}, {other}"


def _named(caller: Who) -> str:
    return caller.principal if caller.acts_for is None else f"{caller.principal} for {caller.acts_for}"


def _where(entry: Entry) -> str:
    if entry.before == entry.after and not any(move.entered for move in entry.moves):
        return ""
    path = [move.before for move in entry.moves] + [entry.after]
    return ", " + " -> ".join(path) if entry.moves else f", {entry.before} -> {entry.after}"


def _late(entry: Entry) -> str:
    return f" (late: {entry.late})" if entry.late else ""


def _listed(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_shown(value)}" for name, value in params.items())


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def possible_action(table: Table, each: Possible) -> wire.Possible:
    """Return an action as it can be taken now."""
    action = table.entities[each.entity].actions[each.action]
    refused = each.refused
    return wire.Possible(
        action=each.action,
        status=each.status,
        to=tuple(dict.fromkeys(case.to for case in action.cases if case.to is not None)),
        params=tuple(param_view(table, param) for param in action.params),
        description=table.notes.descriptions.get(action.site, ""),
        why=refused.why.value if refused is not None else "",
        text=refused.text if refused is not None else "",
        clause=site_place(table, refused.site) if refused is not None else None,
    )


def param_view(table: Table, param: shape.Param) -> dict[str, Any]:
    """Return a parameter: its name, whether it must be given, and its JSON Schema."""
    return {
        "name": param.name,
        "required": required(param),
        "schema": json_schema(param.type, table.records),
    }


def required(param: shape.Param) -> bool:
    """Say whether a parameter must be given: it has no default and is no `T?`."""
    return param.default is None and param.type[0] != "optional"


def next_actions(table: Table, blueprint: str, now: Snapshot | None, each: Iterable[Possible]) -> tuple[wire.Next, ...]:
    """Return what the caller could do instead, as links."""
    found = []
    for one in each:
        if one.status == "no":
            continue
        params = {param.name: json_schema(param.type, table.records) for param in one.params if required(param)}
        base = f"/v1/{blueprint}/{one.entity}"
        href = f"{base}/{now.id}/{one.action}" if now is not None else f"{base}?action={one.action}"
        found.append(wire.Next(action=one.action, params=params, href=href))
    return tuple(found)


def refusal(
    table: Table, blueprint: str, refused: Refused, now: Snapshot | None, could: Iterable[Possible]
) -> wire.Problem:
    """Return a refusal as a problem: the text, the clause that refused, and what is possible instead."""
    kind, title, status = _KINDS.get(refused.why.name, ("refused", "the action was refused", 409))
    fault = refused.why.name in _FAULTS
    return wire.Problem(
        type=kind,
        title="the blueprint is at fault: the action was refused" if fault else title,
        status=status,
        detail=refused.text,
        why=refused.why.value,
        clause=site_place(table, refused.site),
        clause_text=site_text(table, refused.site),
        policies=refused.policies,
        next=next_actions(table, blueprint, now, could),
        help=f"an administrator lifts it with `temper resume {refused.policies[0]}`" if kind == "paused" else "",
    )


_FAULTS = {"OUT_OF_TYPE", "DIVISION", "TWICE", "BREAKS"}
_KINDS = {
    "DENIED": ("denied", "the caller may not take this action", 403),
    "PAUSED": ("paused", "it is paused, and nothing was done", 403),
    "FORBIDDEN": ("denied", "a policy forbids this action", 403),
    "UNKNOWN_ACTION": ("not-found", "there is no such action", 404),
    "MISSING": ("not-found", "there is no such entity", 404),
    "BAD_PARAMS": ("bad-request", "the parameters do not fit", 422),
}


def blueprint_shape(table: Table, version: int) -> wire.BlueprintShape:
    """Return what a blueprint offers."""
    notes = table.notes.descriptions
    return wire.BlueprintShape(
        name=table.blueprint,
        version=version,
        digest=digest(table),
        description=notes.get(table.blueprint, ""),
        roles=tuple(role.name for role in table.roles),
        entities=tuple(_entity_shape(table, entity) for entity in table.entities.values()),
        events={event.name: _closed(table, event.params) for event in table.events.values()},
        tools=tuple(table.tools),
        records={name: _closed(table, fields) for name, fields in table.records.items()},
    )


def _entity_shape(table: Table, entity: shape.Entity) -> wire.EntityShape:
    notes = table.notes.descriptions
    properties: dict[str, Any] = {}
    for field in entity.fields:
        schema = dict(json_schema(field.type, table.records))
        described = notes.get(f"{entity.name}.{field.name}")
        if described:
            schema["description"] = described
        properties[field.name] = schema
    return wire.EntityShape(
        name=entity.name,
        description=notes.get(entity.site, ""),
        states=entity.states,
        final=entity.final,
        fields={
            "type": "object",
            "properties": properties,
            "required": [field.name for field in entity.fields],
            "additionalProperties": False,
        },
        actions=tuple(_action_shape(table, action) for action in entity.actions.values()),
    )


def _action_shape(table: Table, action: shape.Action) -> wire.ActionShape:
    who = list(action.by)
    for case in action.cases:
        who.extend(case.by)
    froms = tuple(dict.fromkeys(name for case in action.cases for name in case.froms))
    return wire.ActionShape(
        name=action.name,
        description=table.notes.descriptions.get(action.site, ""),
        creates="new" in froms,
        acts=any(name != "new" for name in froms),
        by=tuple(dict.fromkeys(by_text(by) for by in who)),
        callable=any(by.kind != "system" for by in who),
        params=_closed(table, action.params),
        froms=froms,
        to=tuple(dict.fromkeys(case.to for case in action.cases if case.to is not None)),
        place=site_place(table, action.site),
    )


def by_text(by: shape.By) -> str:
    """Return who a `by` names, in the blueprint's words."""
    if by.kind == "role":
        return by.role or ""
    return by.kind if by.kind != "who" else "who the entity names"


def _closed(table: Table, params: Iterable[shape.Param]) -> dict[str, Any]:
    listed = tuple(params)
    return {
        "type": "object",
        "properties": {param.name: json_schema(param.type, table.records) for param in listed},
        "required": [param.name for param in listed if required(param)],
        "additionalProperties": False,
    }
