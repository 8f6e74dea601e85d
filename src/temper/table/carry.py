"""What becomes of those who live by one table when another takes its place.

`homeless` says why an entity has no place in the new table, and `carry` gives it as the new table has it (26).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from temper.table.commit import broken
from temper.table.evaluate import compile_expr, default_values, entity_names, frame_of
from temper.table.events import Armed, Caller, Pending, Snapshot, Value
from temper.table.expr import Absent, walk
from temper.table.table import Entity, Handler, Place, Table, Timer, UpgradeEntity
from temper.table.values import BadValue, decode, describe, fits

# New timers are nobody's doing but the push's.
_SWAP = Caller("system")
# Fits no type.
_UNREADABLE: Any = object()


def homeless(old: Table, new: Table, now: Snapshot, *, from_version: int | None = None) -> tuple[str, ...]:
    """Return why a live entity of `old` has no place in `new`, if so. `from_version` finds the `upgrade` for it.

    Its state, its fields and their values, its running timers, its pending calls, what it has deferred, and the
    properties that speak of a state are asked.
    """
    entity = new.entities.get(now.entity)
    if entity is None:
        return (f"there is no {now.entity} any more",)
    upgrade = upgrade_of(new, now.entity, from_version)
    reasons = [*_homeless_state(entity, upgrade, now)]
    if reasons:
        return tuple(reasons)
    reasons += _homeless_fields(new, entity, upgrade, now)
    reasons += homeless_timers(old, entity, _state_after(upgrade, now), now)
    for pending in now.calls:
        # A correction may never come, and is a dead letter at worst.
        if not pending.ended:
            reasons += _homeless_call(new, entity, pending)
    for held in now.deferred:
        reasons += _homeless_action(new, entity, held.action, held.params, f"the deferred `{held.action}`")
    if reasons:
        return tuple(reasons)
    try:
        carried = carry(new, now, from_version=from_version)
    except (Absent, ZeroDivisionError) as problem:
        return (f"its upgrade can't be worked out: {problem}",)
    for name, value in carried.fields.items():
        type_ = next(field.type for field in entity.fields if field.name == name)
        if not fits(type_, value, new.records):
            reasons.append(f"its upgrade gives `{name}` a value that is not {describe(type_)}")
    names = {one.site: one.name for one in new.properties}
    reasons += [f"it would break `{names[site]}`" for site in broken(new, None, carried, (), steps=False)]
    return tuple(reasons)


def carry(new: Table, now: Snapshot, *, at: int | None = None, from_version: int | None = None) -> Snapshot:
    """Return an entity, for which `homeless` has no reason, as `new` has it. The version is still the old one.

    Fields are in the new order, new ones have their default. Visits, calls and timers go on; timers that are new to its
    state count from `at` (where it is not given, from the entity's last change) and bear the stamp of the next version.
    Whether a `whenever` that is new holds is for `rouse` to say, once all are carried over.
    """
    entity = new.entities[now.entity]
    upgrade = upgrade_of(new, now.entity, from_version)
    defaults = default_values(new, now.entity)
    set_anew = _upgraded(new, upgrade, now)
    fields: dict[str, Value] = {}
    for field in entity.fields:
        if field.name in set_anew:
            fields[field.name] = set_anew[field.name]
        elif field.name in now.fields and not (upgrade and field.name in upgrade.drops):
            fields[field.name] = now.fields[field.name]
        else:
            fields[field.name] = defaults[field.name]
    after = replace(now, state=_state_after(upgrade, now), fields=fields)
    keeping = {(place.site, name) for place in entity.places if after.state in place.states for name in place.defer}
    moved = now if after.state == now.state else _moved(now, entity, after.state)
    after = replace(after, timers=moved.timers)
    deferred = tuple(
        held if (held.place, held.action) in keeping else replace(held, place="") for held in moved.deferred
    )
    timers = tuple(_carried_timers(new, entity, after, now.updated_at if at is None else at))
    return replace(after, timers=timers, deferred=deferred)


# --- who has no place -------------------------------------------------------------------------------------------------


def upgrade_of(new: Table, entity: str, from_version: int | None) -> UpgradeEntity | None:
    """Return what the table's `upgrade` from that version says of a kind."""
    for upgrade in new.upgrades:
        if upgrade.from_version == from_version:
            return next((one for one in upgrade.entities if one.entity == entity), None)
    return None


def _state_after(upgrade: UpgradeEntity | None, now: Snapshot) -> str:
    return upgrade.becomes.get(now.state, now.state) if upgrade else now.state


def _upgraded(new: Table, upgrade: UpgradeEntity | None, now: Snapshot) -> dict[str, Value]:
    """The fields that the upgrade sets, read from what was before."""
    if upgrade is None or not upgrade.sets:
        return {}
    names = entity_names(new, now.entity)
    frame = frame_of(now, now.updated_at, _SWAP)
    values: dict[str, Value] = {}
    for one in upgrade.sets:
        try:
            values[one.field] = compile_expr(one.value, names)(frame)
        except KeyError as missing:
            raise Absent(f"`{missing.args[0]}` before the upgrade") from missing
    return values


def _moved(now: Snapshot, entity: Entity, state: str) -> Snapshot:
    """Return an entity whose timers and deferred ones bear the sites of the state that its own becomes.

    The timer of a state under another name is the one that does the same there.
    """
    here = [place for place in entity.places if state in place.states]
    sites = [timer.site for place in here for timer in place.timers]
    sites += [whenever.site for place in here for whenever in place.whenevers]
    timers = {_within_place(site): site for site in sites if not _is_of_group(site, here)}
    places = [place.site for place in here if not place.group]
    known = {*sites, *(place.site for place in here)}
    return replace(
        now,
        timers=tuple(
            armed if armed.timer in known else replace(armed, timer=timers.get(_within_place(armed.timer), armed.timer))
            for armed in now.timers
        ),
        deferred=tuple(
            held if held.place in known or not places else replace(held, place=places[0]) for held in now.deferred
        ),
    )


def _within_place(site: str) -> str:
    """Return what follows the name of the state in the site of what belongs to it: `after/Halt/0`."""
    return site.partition("/in/")[2].partition("/")[2]


def _is_of_group(site: str, places: Sequence[Place]) -> bool:
    return any(place.group and site.startswith(f"{place.site}/") for place in places)


def _homeless_state(entity: Entity, upgrade: UpgradeEntity | None, now: Snapshot) -> Iterator[str]:
    state = _state_after(upgrade, now)
    if state not in entity.states:
        yield f"there is no state `{state}` any more"


def _homeless_fields(new: Table, entity: Entity, upgrade: UpgradeEntity | None, now: Snapshot) -> Iterator[str]:
    known = {field.name for field in entity.fields}
    dropped = set(upgrade.drops) if upgrade else set()
    set_anew = {one.field for one in upgrade.sets} if upgrade else set()
    for name, value in now.fields.items():
        if name not in known and name not in dropped and value is not None:
            yield f"`{name}` is gone, and no `upgrade` drops it"
    for field in entity.fields:
        if field.name in set_anew:
            continue
        if field.name in now.fields and field.name not in dropped:
            if not fits(field.type, now.fields[field.name], new.records):
                yield f"its `{field.name}` is not {describe(field.type)}"
        elif field.default is None and field.type[0] != "optional":
            yield f"`{field.name}` is new and has no default, and no `upgrade` sets it"


def homeless_timers(old: Table, entity: Entity, state: str, now: Snapshot) -> Iterator[str]:
    """Yield what becomes of its running timers in that state of `entity`, as a reason where one has no place."""
    here = {timer.site: timer for place in entity.places if state in place.states for timer in place.timers}
    known = [one for place in old.entities[now.entity].places for one in place.timers]
    moved = now.timers if state == now.state else _moved(now, entity, state).timers
    for armed, then in zip(now.timers, moved, strict=True):
        timer = here.get(then.timer)
        if not any(one.site == armed.timer for one in known):
            continue  # A `whenever`: the new table's own say what is due.
        if armed.due is not None and (timer is None or not _same_kind(timer, armed)):
            action = next((one.handler.action for one in known if one.site == armed.timer), armed.timer)
            yield f"its timer that does `{action}` is running, and is gone"


def _same_kind(timer: Timer, armed: Armed) -> bool:
    return (timer.kind == "every") == (armed.period_ms is not None)


def _homeless_call(new: Table, entity: Entity, pending: Pending) -> Iterator[str]:
    tool = new.tools.get(pending.tool)
    if tool is None:
        yield f"there is no tool `{pending.tool}` any more, and a call of it is open"
        return
    results = {result.name for result in tool.results}
    what = f"the open call of `{pending.tool}`"
    for handler in (pending.then, pending.otherwise, pending.unknown):
        if handler is None:
            continue
        for _, value in handler.args:
            for part in walk(value):
                if part[0] == "result" and part[1] not in results:
                    yield f"{what} waits for `{part[1]}`, which the tool does not answer any more"
        yield from _homeless_action(new, entity, handler.action, _known(new, handler), what, set(dict(handler.args)))


def _known(new: Table, handler: Handler) -> dict[str, Value]:
    """The arguments that are literals already."""
    known: dict[str, Value] = {}
    for name, value in handler.args:
        if value[0] == "none":
            known[name] = None
        elif value[0] == "lit":
            try:
                known[name] = decode(value[1], value[2], records=new.records)
            except (BadValue, KeyError):
                # Of a record that is another one now.
                known[name] = _UNREADABLE
    return known


def _homeless_action(
    new: Table, entity: Entity, name: str, given: Mapping[str, Value], what: str, names: set[str] | None = None
) -> Iterator[str]:
    action = entity.actions.get(name)
    if action is None:
        yield f"{what} leads to `{name}`, which is gone"
        return
    params = {param.name: param for param in action.params}
    named = set(given) if names is None else names
    for missing in sorted(named - set(params)):
        yield f"{what} gives `{name}` the parameter `{missing}`, which is gone"
    for param in action.params:
        if param.name not in named:
            if param.default is None and param.type[0] != "optional":
                yield f"{what} does not give `{name}` the parameter `{param.name}`, which is new"
        elif param.name in given and not fits(param.type, given[param.name], new.records):
            yield f"{what} gives `{name}` a `{param.name}` that is not {describe(param.type)}"


def _carried_timers(new: Table, entity: Entity, after: Snapshot, at: int) -> Iterator[Armed]:
    running = {armed.timer: armed for armed in after.timers}
    names = entity_names(new, entity.name)
    for place in entity.places:
        if after.state not in place.states:
            continue
        for timer in place.timers:
            armed = running.get(timer.site)
            if armed is not None and _same_kind(timer, armed):
                yield armed
                continue
            if timer.duration is None:
                value: Any = after.fields[timer.field or ""]
                yield Armed(timer.site, value, after.version + 1, _SWAP)
                continue
            wait = compile_expr(timer.duration, names)(frame_of(after, at, _SWAP))
            period = max(wait, 1) if timer.kind == "every" else None
            yield Armed(timer.site, at + max(wait, 0), after.version + 1, _SWAP, period)
    for place in entity.places:
        if after.state in place.states:
            yield from (running[one.site] for one in place.whenevers if one.site in running)
