"""What belongs together: an action with the entities it creates, and what can't be judged from one snapshot.

A commit is refused as a whole. Besides `step`'s own refusals, for: a creation that is refused, an id, a `key` or a
`unique` that is taken, and an `always` that would not hold. An outcome, a send or a deferred one whose action is
refused for such a reason is late, like one that its action refuses itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from temper.table.evaluate import NOBODY, Code, compile_expr, entity_names, frame_of
from temper.table.events import (
    Accepted,
    Act,
    Creation,
    Deliver,
    Event,
    Move,
    Offer,
    Outcome,
    Refused,
    Snapshot,
    Value,
    Why,
)
from temper.table.expr import ELSEWHERE, Absent, Names, walk
from temper.table.program import NEW
from temper.table.refusals import one
from temper.table.step import decide
from temper.table.table import Always, Entity, Expr, Table

# What one action may bring into being: far above any blueprint's need, far below what would stop a server.
CREATED_MAX = 1_000


class World(Protocol):
    """What a commit asks about other entities: as they are before it."""

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        """Return an entity."""

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        """Return the id of the entity with these values of its `key`: of all there ever were."""

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        """Return the action that created an entity and its parameters, as its first `Move` has them."""

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: str | None) -> bool:
        """Say whether another entity than `but_not` has these values of the entity's `unique` of that number.

        Those that are final don't count, unless the `unique` says `ever`.
        """


@dataclass(frozen=True, slots=True)
class Part:
    """One entity's share of a commit."""

    event: Event
    accepted: Accepted


@dataclass(frozen=True, slots=True)
class Commit:
    """What is to be stored together: the event's own part first, then creations in order.

    `existing` is the entity that the same creating action with the same parameters has made already; then nothing is to
    be stored.
    """

    parts: tuple[Part, ...]
    existing: Snapshot | None = None


def commit(
    table: Table, now: Snapshot | None, event: Event, world: World, *, check_always: bool = True
) -> Commit | Refused:
    """Return all that `event` does, or the first refusal. Without `check_always`, states that break a property pass."""
    barred: tuple[Refused, ...] = ()
    while True:
        result = _Together(table, world, check_always).all(now, event, barred)
        late = isinstance(event, Outcome | Deliver | Offer)
        if isinstance(result, Refused) and late and result.why in _WHOLE and len(barred) < 2:
            barred = (*barred, result) if barred else _first_bar(table, now, event, result)
            continue
        return result


def broken(
    table: Table, before: Snapshot | None, after: Snapshot, moves: Sequence[Move], *, steps: bool = True
) -> tuple[str, ...]:
    """Return the sites of the `always` properties that do not hold of this entity, in the order of the text.

    Asks those that one entity can answer; one that has no value (it divides by zero) does not hold. Without `steps`,
    only those that speak of a state.
    """
    found = []
    frame = None
    for always, code in _always(table, after.entity):
        if always.step and (not steps or not moves or (before is None and always.reads_before)):
            continue
        if frame is None:
            frame = frame_of(after, after.updated_at, NOBODY)
            frame.moves = moves
            if before is not None:
                frame.before = frame_of(before, after.updated_at, NOBODY)
                frame.before.vars = frame.vars
        try:
            holds = code(frame)
        except (ZeroDivisionError, Absent):
            holds = False
        if not holds:
            found.append(always.site)
    return tuple(found)


_WHOLE = frozenset({Why.CREATE_REFUSED, Why.NOT_UNIQUE, Why.KEY, Why.EXISTS, Why.BREAKS})
"""Refusals that `step` does not know of."""


class _Refusal(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.refused = refused


class _Together:
    """A commit being put together."""

    def __init__(self, table: Table, world: World, check_always: bool) -> None:
        self._table = table
        self._world = world
        self._check_always = check_always
        self._parts: list[Part] = []

    def all(self, now: Snapshot | None, event: Event, barred: tuple[Refused, ...]) -> Commit | Refused:
        try:
            existing = self._add(now, event, barred)
        except _Refusal as refusal:
            return refusal.refused
        return Commit((), existing) if existing is not None else Commit(tuple(self._parts))

    def _add(self, now: Snapshot | None, event: Event, barred: tuple[Refused, ...]) -> Snapshot | None:
        """Add a part and what it creates; return the entity that makes it needless, if there is one."""
        creates_only = isinstance(event, Act) and now is not None and self._creates_only(event)
        before = None if creates_only else now
        accepted = decide(self._table, before, event, barred)
        if isinstance(accepted, Refused):
            raise _Refusal(accepted)
        entity = self._table.entities[accepted.after.entity]
        if before is None and isinstance(event, Act):
            existing = self._existing(entity, event, accepted)
            if existing is not None:
                return existing
            if now is not None or self._has(entity.name, event.entity_id):
                text = f"there is {one(entity.name)} `{event.entity_id}` already"
                raise _Refusal(Refused(Why.EXISTS, text, entity.site, event.action))
        self._check_uniques(entity, before, accepted)
        if self._check_always and accepted.moves:
            self._check_properties(before, accepted)
        self._parts.append(Part(event, accepted))
        for creation in accepted.creates:
            self._create(creation, accepted)
        return None

    def _create(self, creation: Creation, cause: Accepted) -> None:
        action = cause.moves[0].action
        made = creation.event
        what = f"`{made.entity}.{made.action}`"
        if len(self._parts) > CREATED_MAX:
            text = f"{what}: more than {CREATED_MAX:,} entities in one commit"
            raise _Refusal(Refused(Why.CREATE_REFUSED, text, creation.site, action))
        try:
            existing = self._add(None, made, ())
        except _Refusal as refusal:
            inner = refusal.refused
            if inner.why is Why.CREATE_REFUSED:
                raise
            text = f"{what}: {inner.text}"
            raise _Refusal(Refused(Why.CREATE_REFUSED, text, creation.site, action)) from refusal
        if existing is not None:
            # Its reference is given out already, so that it can't stand for the one there is.
            text = f"{what}: there is one with this key, `{existing.id}`"
            raise _Refusal(Refused(Why.CREATE_REFUSED, text, creation.site, action))

    def _creates_only(self, event: Act) -> bool:
        entity = self._table.entities.get(event.entity)
        action = entity.actions.get(event.action) if entity else None
        return action is not None and all(case.froms == (NEW,) for case in action.cases)

    def _has(self, entity: str, id: str) -> bool:
        return (
            any(part.accepted.after.entity == entity and part.accepted.after.id == id for part in self._parts)
            or self._world.snapshot(entity, id) is not None
        )

    def _existing(self, entity: Entity, event: Act, accepted: Accepted) -> Snapshot | None:
        """The entity with this key, if the same asked for it; a refusal, if another did (22)."""
        if not entity.key:
            return None
        values = [accepted.after.fields[name] for name in entity.key]
        for part in self._parts:
            made = part.accepted.after
            if made.entity == entity.name and [made.fields[name] for name in entity.key] == values:
                raise _Refusal(self._key_taken(entity, event, made.id))
        id = self._world.by_key(entity.name, values)
        if id is None:
            return None
        found = self._world.snapshot(entity.name, id)
        move = accepted.moves[0]
        if found is None or self._world.creation(entity.name, id) != (move.action, dict(move.params)):
            raise _Refusal(self._key_taken(entity, event, id))
        return found

    def _key_taken(self, entity: Entity, event: Act, id: str) -> Refused:
        names = ", ".join(f"`{name}`" for name in entity.key)
        text = f"the {entity.name} `{id}` has this {names}, and was created otherwise"
        return Refused(Why.KEY, text, entity.site, event.action)

    def _check_uniques(self, entity: Entity, before: Snapshot | None, accepted: Accepted) -> None:
        after = accepted.after
        for index, unique in enumerate(entity.uniques):
            if after.state in entity.final and not unique.ever:
                continue
            values = [after.fields[name] for name in unique.fields]
            if None in values or (before is not None and values == [before.fields[name] for name in unique.fields]):
                continue
            first = self._parts[0].accepted.after if self._parts else after
            but_not = first.id if first.entity == entity.name else None
            if self._world.taken(entity.name, index, values, but_not) or self._made(entity, unique.fields, values):
                names = ", ".join(f"`{name}`" for name in unique.fields)
                text = f"another {entity.name} has this {names}"
                raise _Refusal(Refused(Why.NOT_UNIQUE, text, unique.site, accepted.moves[0].action))

    def _made(self, entity: Entity, fields: tuple[str, ...], values: list[Value]) -> bool:
        """Whether an earlier part of this commit has these values."""
        return any(
            part.accepted.after.entity == entity.name
            and part.accepted.after.state not in entity.final
            and [part.accepted.after.fields[name] for name in fields] == values
            for part in self._parts
        )

    def _check_properties(self, before: Snapshot | None, accepted: Accepted) -> None:
        sites = broken(self._table, before, accepted.after, accepted.moves)
        if sites:
            name = next(always.name for always in self._table.properties if always.site == sites[0])
            action = accepted.moves[0].action
            text = f"after `{action}`, `{name}` would not hold"
            raise _Refusal(Refused(Why.BREAKS, text, sites[0], action))


def _first_bar(table: Table, now: Snapshot | None, event: Event, refused: Refused) -> tuple[Refused, ...]:
    """Whether it was the action itself that the commit refused, or (it being late already) that of the `late` line."""
    direct = decide(table, now, event, ())
    assert isinstance(direct, Accepted), "the commit refused it, not its step"
    return (refused,) if not direct.late else (replace(refused, text=direct.late), refused)


# --- the properties that one entity can answer ------------------------------------------------------------------------


def _always(table: Table, entity: str) -> tuple[tuple[Always, Code], ...]:
    known: dict[str, tuple[tuple[Always, Code], ...]] = table.__dict__.setdefault("always", {})
    if entity not in known:
        names = entity_names(table, entity)
        known[entity] = tuple(
            (always, compile_expr(always.condition, names))
            for always in table.properties
            if isinstance(always, Always) and always.entity == entity and not looks_elsewhere(always.condition, names)
        )
    return known[entity]


def looks_elsewhere(expr: Expr, names: Names) -> bool:
    """Say whether an expression, or a `let` that it names, reads other entities."""
    for part in walk(expr):
        if part[0] in ELSEWHERE:
            return True
        if part[0] == "let":
            owner = names.owner(part[1])
            if looks_elsewhere(owner.lets[part[1]].value, owner):
                return True
    return False
