"""What belongs together: an action, those that others take with it, the entities it creates, and what can't be judged
from one snapshot.

A commit is refused as a whole. Besides `step`'s own refusals, for: a joint action or a creation that is refused, an
entity that would take a second action (1), an id, a `key` or a `unique` that is taken, an inverse set that is full, and
an `always` that would not hold. An outcome, a send or a deferred one whose action is refused for such a reason is late,
like one that its action refuses itself.

Of the properties, a commit judges those that speak of one entity, its own references and inverse sets included: for
each entity that it changes, and for those from which a change can be seen (of each way, `WATCHED_MAX`). One that counts
or compares all entities of a kind is the verifier's alone: asking it would read them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from temper.table.evaluate import BESIDE, NOBODY, Code, Everything, Look, compile_expr, entity_names, frame_of
from temper.table.events import (
    FAULTS,
    Accepted,
    Act,
    Creation,
    Deliver,
    Event,
    Fire,
    Join,
    Move,
    Offer,
    Outcome,
    Refused,
    Snapshot,
    Value,
    Why,
)
from temper.table.expr import Absent
from temper.table.program import NEW, program_of
from temper.table.reach import Path, Reads, back, over_all, reads
from temper.table.refs import field_references, refers
from temper.table.refusals import one
from temper.table.rouse import roused
from temper.table.step import decide
from temper.table.table import Always, Entity, Inverse, Table

# What one action may bring into being, or take along: far above any blueprint's need, far below what would stop a
# server.
PARTS_MAX = 1_000
# Those whose properties are asked because they refer to what a commit changes.
WATCHED_MAX = 1_000


class World(Look, Protocol):
    """What a commit asks about other entities: as they are before it."""

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        """Return the id of the entity with these values of its `key`: of all there ever were."""

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        """Return the action that created an entity and its parameters, as its first `Move` has them."""

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        """Say whether another entity than those has these values of the entity's `unique` of that number.

        Those that are final don't count, unless the `unique` says `ever`.
        """


class Part(Struct, frozen=True):
    """One entity's share of a commit."""

    event: Event
    accepted: Accepted


class Read(Struct, frozen=True):
    """What a commit rests on besides the entities that it writes: it is valid only while all this is so (4).

    A host that decides one commit after the other need not look; a store that several write to has to. `entities` are
    (entity, id, version), with version 0 where there was none; `referrers` (entity, field, id, those whose field refers
    to it); `keys` (entity, values, id or `None`); `uniques` (entity, number, values, whether another has them).
    """

    entities: tuple[tuple[str, str, int], ...] = ()
    referrers: tuple[tuple[str, str, str, frozenset[str]], ...] = ()
    keys: tuple[tuple[str, tuple[Value, ...], str | None], ...] = ()
    uniques: tuple[tuple[str, int, tuple[Value, ...], bool], ...] = ()


class Commit(Struct, frozen=True):
    """What is to be stored together: the event's own part first, each followed by what it takes along, then creates.

    `existing` is the entity that the same creating action with the same parameters has made already; then nothing is to
    be stored.
    """

    parts: tuple[Part, ...]
    existing: Snapshot | None = None
    reads: Read = Read()


def commit(
    table: Table, now: Snapshot | None, event: Event, world: World, *, check_always: bool = True
) -> Commit | Refused:
    """Return all that `event` does, or the first refusal. Without `check_always`, states that break a property pass."""
    if type(event) is Act and now is not None:
        alone = _alone(table, now, event, world, check_always)
        if alone is not None:
            return alone
    barred: tuple[Refused, ...] = ()
    while True:
        together = _Together(table, world, check_always)
        result = together.all(now, event, barred)
        late = isinstance(event, Outcome | Deliver | Offer)
        if isinstance(result, Refused) and late and together.parts and len(barred) < 2:
            # Its own step took it: it is the rest of the commit that refuses.
            barred = (*barred, result) if barred else _first_bar(table, now, event, result, world)
            continue
        return result


class Overlay:
    """A `Look` at what changes leave behind: `after`, over what there was."""

    def __init__(self, table: Table, base: Look, after: Mapping[tuple[str, str], Snapshot]) -> None:
        self._table = table
        self._base = base
        self._after = after

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        now = self._after.get((entity, id))
        return now if now is not None else self._base.snapshot(entity, id)

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        changed = {now.id: now for (kind, _), now in self._after.items() if kind == entity}
        if not changed:
            return self._base.referrers(entity, field, id, limit)
        found = self._base.referrers(entity, field, id, limit + len(changed))
        same = [other for other in found if other not in changed]
        new = [other for other, now in changed.items() if refers(self._table, now, field, id)]
        return (same + new)[:limit]


def broken(
    table: Table,
    before: Snapshot | None,
    after: Snapshot,
    moves: Sequence[Move],
    *,
    steps: bool = True,
    world: Look | None = None,
    was: Look | None = None,
) -> tuple[str, ...]:
    """Return the sites of the `always` properties that do not hold of this entity, in the order of the text.

    Asks those that one entity can answer; with a `world` (and what it `was` before the step), those that read others
    too, but none that ranges over all of a kind beyond "each of them". One that has no value (it divides by zero) does
    not hold. Without `steps`, only those that speak of a state.
    """
    own = [asked for asked in _asked(table).get(after.entity, ()) if world is not None or not asked.reads.paths]
    if not moves or not steps:
        own = [asked for asked in own if not asked.always.step]
    return tuple(_broken(table, own, before, after, moves, frozenset(), world, was))


# --- one entity by itself ---------------------------------------------------------------------------------------------


class _Single(Struct, frozen=True):
    """A kind whose entities nothing outside of them is asked about, but by what their own clauses and properties say.

    `creating` are the actions that only create; `elsewhere` says that its properties read others.
    """

    own: tuple[_Asked, ...]
    elsewhere: bool
    creating: frozenset[str]


def _alone(table: Table, now: Snapshot, event: Act, world: World, check_always: bool) -> Commit | Refused | None:
    """Return what an action does where it is of one entity by itself: most are, and the whole can be left out.

    What `_Together` would say, in a third of its time; `None` where that has to be asked.
    """
    single = _singles(table).get(event.entity)
    if single is None or event.action in single.creating:
        return None
    recorder = _Recorder(world)
    accepted = decide(table, now, event, (), recorder)
    if isinstance(accepted, Refused):
        return accepted
    if accepted.joins or accepted.creates:
        return None
    if check_always and single.own and accepted.moves:
        after = accepted.after
        look: Look = Overlay(table, recorder, {(after.entity, after.id): after}) if single.elsewhere else recorder
        site = next(_broken(table, single.own, now, after, accepted.moves, _NOBODY_ELSE, look, recorder), None)
        if site is not None:
            return _breaks(table, site, accepted.moves[0].action)
    return Commit((Part(event, accepted),), None, recorder.seen())


def _singles(table: Table) -> Mapping[str, _Single]:
    known: dict[str, _Single] | None = table.__dict__.get("singles")
    if known is None:
        known = {}
        together = {*_inverted(table), *_seen_from(table)}
        for entity in table.entities.values():
            program = program_of(table, entity.name)
            assert program is not None, "the table has it"
            if entity.key or entity.uniques or entity.name in together or program.watches_others:
                continue
            own = _asked(table).get(entity.name, ())
            froms = {name: {at for case in each.cases for at in case.froms} for name, each in entity.actions.items()}
            creating = frozenset(name for name, ats in froms.items() if ats == {NEW})
            known[entity.name] = _Single(own, any(asked.reads.paths for asked in own), creating)
        table.__dict__["singles"] = known
    return known


def _breaks(table: Table, site: str, action: str) -> Refused:
    return Refused(Why.BREAKS, f"after `{action}`, {_named(table, site)} would not hold", site, action)


# --- putting it together ----------------------------------------------------------------------------------------------


class _Refusal(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.refused = refused


class _Link(Struct, frozen=True):
    """Why a part is in the commit: the clause that asks for it, of which action, and what is to be told of it."""

    clause: Creation | Join
    action: str

    @property
    def what(self) -> str:
        return f"`{self.clause.event.entity}.{self.clause.event.action}`"


class _Share(Struct):
    """A part in the making, with the clauses that led to it: the first is the event's own action's."""

    event: Event
    before: Snapshot | None
    accepted: Accepted
    links: tuple[_Link, ...]


class _Next(Struct, frozen=True):
    """An event to be taken in."""

    now: Snapshot | None
    event: Event
    links: tuple[_Link, ...] = ()


def _stop(refused: Refused, links: tuple[_Link, ...]) -> _Refusal:
    """A refusal as the caller hears it, through the clauses that led there."""
    for link in reversed(links):
        if isinstance(link.clause, Creation):
            if refused.why is not Why.CREATE_REFUSED:
                text = f"{link.what}: {refused.text}"
                refused = Refused(Why.CREATE_REFUSED, text, link.clause.site, link.action)
        elif refused.why not in FAULTS and refused.why is not Why.JOINT_REFUSED:
            # The target's own text: it says what the caller has to know. A fault stays one.
            refused = Refused(Why.JOINT_REFUSED, refused.text, link.clause.site, link.action)
    return _Refusal(refused)


class _Together:
    """A commit being put together."""

    def __init__(self, table: Table, world: World, check_always: bool) -> None:
        self._table = table
        self._world = _Recorder(world)
        self._check_always = check_always
        self.parts: dict[tuple[str, str], _Share] = {}

    def all(self, now: Snapshot | None, event: Event, barred: tuple[Refused, ...]) -> Commit | Refused:
        try:
            waiting = self._add(now, event, (), barred)
            if isinstance(waiting, Snapshot):
                return Commit((), waiting, self._world.seen())
            while waiting:
                # Depth first, in the order of their numbers.
                next_ = waiting.pop()
                self._room(next_.links)
                found = self._add(next_.now, next_.event, next_.links, ())
                assert isinstance(found, list), "only the event's own part can be there already"
                waiting.extend(found)
            after = self._judged()
        except _Refusal as refusal:
            return refusal.refused
        parts = tuple([self._armed(part, event, after) for part in self.parts.values()])
        return Commit(parts, None, self._world.seen())

    def _add(
        self, now: Snapshot | None, event: Event, links: tuple[_Link, ...], barred: tuple[Refused, ...]
    ) -> list[_Next] | Snapshot:
        """Add a part; return what it takes along and creates, the last first, or the entity that makes it needless."""
        before = now
        if now is not None and not links and isinstance(event, Act) and self._creates_only(event):
            before = None
        accepted = decide(self._table, before, event, barred, self._world)
        if isinstance(accepted, Refused):
            raise _stop(accepted, links)
        after = accepted.after
        if before is None and isinstance(event, Act):
            entity = self._table.entities[after.entity]
            existing = self._existing(entity, event, accepted, links)
            if existing is not None and not links:
                return existing
            if existing is not None:
                # Its reference is given out already, so that it can't stand for the one there is.
                raise _stop(Refused(Why.EXISTS, f"there is one with this key, `{existing.id}`"), links)
            if now is not None or self._has(entity.name, event.entity_id):
                text = f"there is {one(entity.name)} `{event.entity_id}` already"
                raise _stop(Refused(Why.EXISTS, text, entity.site, event.action), links)
        self.parts[after.entity, after.id] = _Share(event, before, accepted, links)
        if not accepted.joins and not accepted.creates:
            return []
        action = accepted.moves[0].action
        asked = [self._join(join, (*links, _Link(join, action))) for join in accepted.joins]
        asked += [_Next(None, made.event, (*links, _Link(made, action))) for made in accepted.creates]
        asked.reverse()
        return asked

    def _room(self, links: tuple[_Link, ...]) -> None:
        link = links[-1]
        if len(self.parts) > PARTS_MAX:
            text = f"{link.what}: more than {PARTS_MAX:,} entities in one commit"
            why = Why.CREATE_REFUSED if isinstance(link.clause, Creation) else Why.JOINT_REFUSED
            raise _stop(Refused(why, text, link.clause.site, link.action), links)
        event = link.clause.event
        if isinstance(link.clause, Join) and (event.entity, event.entity_id) in self.parts:
            text = f"the {event.entity} `{event.entity_id}` would take a second action in one commit, {link.what}"
            raise _stop(Refused(Why.TWICE, text, link.clause.site, link.action), links)

    def _join(self, join: Join, links: tuple[_Link, ...]) -> _Next:
        now = self._world.snapshot(join.entity, join.id)
        if now is None:
            raise _stop(Refused(Why.MISSING, f"there is no {join.entity} `{join.id}`"), links)
        return _Next(now, join.event, links)

    def _creates_only(self, event: Act) -> bool:
        program = program_of(self._table, event.entity)
        if program is None or event.action not in program.entity.actions:
            return False
        return tuple(program.actions[event.action].from_states) == (NEW,)

    def _has(self, entity: str, id: str) -> bool:
        return (entity, id) in self.parts or self._world.snapshot(entity, id) is not None

    def _existing(self, entity: Entity, event: Act, accepted: Accepted, links: tuple[_Link, ...]) -> Snapshot | None:
        """The entity with this key, if the same asked for it; a refusal, if another did (22)."""
        if not entity.key:
            return None
        values = [accepted.after.fields[name] for name in entity.key]
        for part in self.parts.values():
            made = part.accepted.after
            if made.entity == entity.name and [made.fields[name] for name in entity.key] == values:
                raise _stop(self._key_taken(entity, event, made.id), links)
        id = self._world.by_key(entity.name, values)
        if id is None:
            return None
        found = self._world.snapshot(entity.name, id)
        move = accepted.moves[0]
        if found is None or self._world.creation(entity.name, id) != (move.action, dict(move.params)):
            raise _stop(self._key_taken(entity, event, id), links)
        return found

    def _armed(self, part: _Share, main: Event, after: Look) -> Part:
        """A part with those `whenever`s armed that it, or another part, has made due by what they read of others."""
        accepted = part.accepted
        program = program_of(self._table, accepted.after.entity)
        if program is None or not program.watches_others:
            return Part(part.event, accepted)
        fired = main.timer if part.event is main and isinstance(main, Fire) else None
        now = roused(program, accepted.after, accepted.caller, part.event.at, after, fired)
        return Part(part.event, accepted if now is accepted.after else replace(accepted, after=now))

    # --- judged when all is there ---

    def _judged(self) -> Look:
        """Ask what holds only of the whole; return what may be read of others after it."""
        after = Overlay(self._table, self._world, {name: part.accepted.after for name, part in self.parts.items()})
        inverted = _inverted(self._table)
        for part in self.parts.values():
            now = part.accepted.after
            entity = self._table.entities[now.entity]
            if entity.uniques:
                self._check_uniques(part, entity)
            if entity.name in inverted:
                self._check_inverses(part, after)
        if self._check_always:
            for part in self.parts.values():
                if part.accepted.moves:
                    self._check_properties(part, after)
        return after

    def _beside(self) -> frozenset[tuple[str, str]]:
        """What is taken in this commit, by kind."""
        parts = self.parts.values()
        return frozenset((part.accepted.after.entity, move.action) for part in parts for move in part.accepted.moves)

    def _key_taken(self, entity: Entity, event: Act, id: str) -> Refused:
        names = ", ".join(f"`{name}`" for name in entity.key)
        text = f"the {entity.name} `{id}` has this {names}, and was created otherwise"
        return Refused(Why.KEY, text, entity.site, event.action)

    def _check_uniques(self, part: _Share, entity: Entity) -> None:
        before, after = part.before, part.accepted.after
        for index, unique in enumerate(entity.uniques):
            if after.state in entity.final and not unique.ever:
                continue
            values = [after.fields[name] for name in unique.fields]
            if None in values or (before is not None and values == [before.fields[name] for name in unique.fields]):
                continue
            ours = frozenset(id for kind, id in self.parts if kind == entity.name)
            if self._world.taken(entity.name, index, values, ours) or self._agrees(part, entity, index, values):
                names = ", ".join(f"`{name}`" for name in unique.fields)
                text = f"another {entity.name} has this {names}"
                raise _stop(Refused(Why.NOT_UNIQUE, text, unique.site, part.accepted.moves[0].action), part.links)

    def _agrees(self, part: _Share, entity: Entity, index: int, values: list[Value]) -> bool:
        """Whether another part of this commit has these values after it; the later of two that take them is told."""
        unique = entity.uniques[index]
        earlier = True
        for (kind, _), other in self.parts.items():
            if other is part:
                earlier = False
                continue
            now, was = other.accepted.after, other.before
            if kind != entity.name or (now.state in entity.final and not unique.ever):
                continue
            if [now.fields[name] for name in unique.fields] == values:
                kept = was is not None and [was.fields[name] for name in unique.fields] == values
                if earlier or kept:
                    return True
        return False

    def _check_inverses(self, part: _Share, after: Look) -> None:
        """No inverse set gets more than its `max` (4)."""
        now = part.accepted.after
        for owner, inverse in _inverted(self._table)[now.entity]:
            new = field_references(self._table, now, inverse.field)
            if part.before is not None:
                new -= field_references(self._table, part.before, inverse.field)
            for id in sorted(new):
                if len(after.referrers(now.entity, inverse.field, id, inverse.max + 1)) > inverse.max:
                    text = f"`{inverse.name}` of the {owner} `{id}` would have more than {inverse.max}"
                    site, action = f"{owner}.{inverse.name}", part.accepted.moves[0].action
                    raise _stop(Refused(Why.OUT_OF_TYPE, text, site, action), part.links)

    def _check_properties(self, part: _Share, after: Look) -> None:
        accepted, table = part.accepted, self._table
        now, action = accepted.after, accepted.moves[0].action
        own, seen = _asked(table).get(now.entity, ()), _seen_from(table).get(now.entity, ())
        if not own and not seen:
            return
        # Of what it has taken alone, an entity knows by its own moves.
        beside = self._beside() if seen or len(self.parts) > 1 else _NOBODY_ELSE
        site = next(_broken(table, own, part.before, now, accepted.moves, beside, after, self._world), None)
        if site is not None:
            raise _stop(_breaks(table, site, action), part.links)
        for asked, path in seen:
            # Whoever refers to it only since this commit, or did until then, is a part of it.
            for id in back(table, path, part.before, now, self._world, WATCHED_MAX):
                other = None if (asked.owner, id) in self.parts else self._world.snapshot(asked.owner, id)
                if other is None:
                    continue  # It is judged as a part, or is not there.
                site = next(_broken(table, (asked,), other, other, (), beside, after, self._world), None)
                if site is not None:
                    text = f"after `{action}`, {_named(table, site)} would not hold of the {asked.owner} `{id}`"
                    raise _stop(Refused(Why.BREAKS, text, site, action), part.links)


def _named(table: Table, site: str) -> str:
    return next(f"`{always.name}`" for always in table.properties if always.site == site)


def _first_bar(table: Table, now: Snapshot | None, event: Event, refused: Refused, world: World) -> tuple[Refused, ...]:
    """Whether it was the action itself that the commit refused, or (it being late already) that of the `late` line."""
    direct = decide(table, now, event, (), world)
    assert isinstance(direct, Accepted), "the commit refused it, not its step"
    return (refused,) if not direct.late else (replace(refused, text=direct.late), refused)


class _Recorder:
    """A world that keeps in mind what was asked of it, and what it said."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said: dict[tuple[Any, ...], Any] = {}

    def seen(self) -> Read:
        said = self._said
        if not said:
            return _NOTHING
        kinds: dict[str, list[Any]] = {"entity": [], "referrers": [], "key": [], "unique": []}
        for (kind, *asked), answer in said.items():
            kinds[kind].append((*asked, answer))
        return Read(*map(tuple, kinds.values()))

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        now = self._world.snapshot(entity, id)
        self._said["entity", entity, id] = 0 if now is None else now.version
        return now

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        found = self._world.referrers(entity, field, id, limit)
        asked = ("referrers", entity, field, id)
        self._said[asked] = self._said.get(asked, frozenset()).union(found)
        return found

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        found = self._said["key", entity, tuple(values)] = self._world.by_key(entity, values)
        return found

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        return self._world.creation(entity, id)

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        found = self._said["unique", entity, unique, tuple(values)] = self._world.taken(entity, unique, values, but_not)
        return found


_NOTHING = Read()
_NOBODY_ELSE: frozenset[tuple[str, str]] = frozenset()


def _inverted(table: Table) -> Mapping[str, tuple[tuple[str, Inverse], ...]]:
    """The inverse sets by the kind of those that are in them, with whose they are."""
    known: dict[str, tuple[tuple[str, Inverse], ...]] | None = table.__dict__.get("inverted")
    if known is None:
        known = {}
        for entity in table.entities.values():
            for inverse in entity.inverses:
                known[inverse.entity] = (*known.get(inverse.entity, ()), (entity.name, inverse))
        table.__dict__["inverted"] = known
    return known


# --- properties -------------------------------------------------------------------------------------------------------


class _Asked(Struct, frozen=True):
    """A property that is asked of one entity: of `owner`; in `var` where it says `all x in Owner`."""

    always: Always
    owner: str
    code: Code
    var: object | None
    reads: Reads


def _asked(table: Table) -> Mapping[str, tuple[_Asked, ...]]:
    """The properties that a commit judges, by the kind of which they are asked."""
    known: dict[str, tuple[_Asked, ...]] | None = table.__dict__.get("asked")
    if known is None:
        known = {}
        for always in table.properties:
            asked = _one_asked(table, always) if isinstance(always, Always) else None
            if asked is not None and not asked.reads.every:
                known[asked.owner] = (*known.get(asked.owner, ()), asked)
        table.__dict__["asked"] = known
    return known


def _one_asked(table: Table, always: Always) -> _Asked | None:
    names = entity_names(table, always.entity)
    if always.entity is not None:
        condition = always.condition
        return _Asked(always, always.entity, compile_expr(condition, names), None, reads(condition, names))
    ranged = over_all(always)
    if ranged is None:
        return None
    entity, var, body = ranged
    inner, slot = names.bind(var, ("ref", entity))
    return _Asked(always, entity, compile_expr(body, inner), slot, reads(body, names, {var: frozenset({()})}))


def _seen_from(table: Table) -> Mapping[str, tuple[tuple[_Asked, Path], ...]]:
    """The properties that read a kind from elsewhere, by that kind, with the way by which they do."""
    known: dict[str, tuple[tuple[_Asked, Path], ...]] | None = table.__dict__.get("seen_from")
    if known is None:
        known = {}
        for asked in (asked for ones in _asked(table).values() for asked in ones):
            for kind, path in asked.reads.paths:
                known[kind] = (*known.get(kind, ()), (asked, path))
        table.__dict__["seen_from"] = known
    return known


def _broken(
    table: Table,
    asked: Sequence[_Asked],
    before: Snapshot | None,
    after: Snapshot,
    moves: Sequence[Move],
    beside: frozenset[tuple[str, str]],
    world: Look | None,
    was: Look | None,
) -> Iterator[str]:
    """Yield the sites of those that do not hold of one entity."""
    frame = None
    for each in asked:
        if before is None and each.always.reads_before:
            continue
        if frame is None:
            frame = frame_of(after, after.updated_at, NOBODY)
            frame.moves = moves
            frame.world = world or Everything(table, {after.entity: {after.id: after}})
            frame.vars[BESIDE] = beside
            if before is not None and any(other.always.reads_before for other in asked):
                frame.before = frame_of(before, after.updated_at, NOBODY)
                frame.before.vars = frame.vars
                frame.before.world = was or Everything(table, {before.entity: {before.id: before}})
        if each.var is not None:
            frame.vars[each.var] = after.id
        try:
            holds = each.code(frame)
        except (ZeroDivisionError, Absent):
            holds = False
        if not holds:
            yield each.always.site
