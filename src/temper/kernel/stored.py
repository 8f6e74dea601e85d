"""How an entity is kept: one JSON object for each, with its values encoded by the table that wrote it.

A later table need not rewrite it: whoever reads says under which version it was written. What is absent has its
default, for ever; a field is added to these structs with a default, and never renamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from temper.kernel.journal import Entry, Who
from temper.table import (
    Armed,
    Caller,
    Deferred,
    Hop,
    Moving,
    Path,
    Pending,
    SendOrder,
    Snapshot,
    Table,
    Type,
    Value,
    carry,
    decode,
    decode_args,
    digest,
    encode,
    field_references,
    fits,
    homeless,
    is_plain,
    live_by,
    moving,
    origin,
    shape,
    watched_fields,
)


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of what is kept."""


class StoredHandler(_Stored, frozen=True):
    action: str
    args: list[Any] = []


class StoredCall(_Stored, frozen=True, kw_only=True):
    order: str
    site: str
    tool: str
    args: dict[str, Any] = {}
    visit: int
    then: StoredHandler | None = None
    otherwise: StoredHandler | None = None
    unknown: StoredHandler | None = None
    unknown_is_failure: bool = False
    caller: Who
    ended: bool = False


class StoredTimer(_Stored, frozen=True, kw_only=True):
    timer: str
    due: int | None = None
    stamp: int
    caller: Who
    period_ms: int | None = None


class StoredDeferred(_Stored, frozen=True, kw_only=True):
    id: str
    action: str
    params: dict[str, Any] = {}
    caller: Who
    place: str


class StoredEntity(_Stored, frozen=True, kw_only=True):
    format: int = 1
    state: str
    version: int
    visit: int
    created_at: int
    updated_at: int
    fields: dict[str, Any]
    calls: list[StoredCall] = []
    timers: list[StoredTimer] = []
    deferred: list[StoredDeferred] = []


class StoredSend(_Stored, frozen=True, kw_only=True):
    site: str
    entity: str
    entity_id: str
    action: str
    params: dict[str, Any] = {}
    caller: Who


_to_json = msgspec.json.Encoder().encode
_entity_from_json = msgspec.json.Decoder(StoredEntity).decode
_who_from_json = msgspec.json.Decoder(Who).decode
_send_from_json = msgspec.json.Decoder(StoredSend).decode

# Versions whose tables are kept ready; one of an older version is loaded again.
_CODECS_MAX = 64


class Codec:
    """One table's way of keeping things. Made once for a table, and used for every entity."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.digest = digest(table)
        self._fields = {name: _plan(entity.fields) for name, entity in table.entities.items()}
        self._final = {name: frozenset(entity.final) for name, entity in table.entities.items()}
        self._params = {
            (name, action.name): _plan(action.params)
            for name, entity in table.entities.items()
            for action in entity.actions.values()
        }
        self._tools = {name: _plan(tool.params) for name, tool in table.tools.items()}
        self._results = {name: _plan(tool.results) for name, tool in table.tools.items()}
        self._events = {name: _plan(event.params) for name, event in table.events.items()}
        self._keys: dict[str, tuple[Type, ...]] = {}
        self._uniques: dict[str, tuple[tuple[Type, ...], ...]] = {}
        for name, entity in table.entities.items():
            types = {field.name: field.type for field in entity.fields}
            self._keys[name] = tuple(types[part] for part in entity.key)
            self._uniques[name] = tuple(tuple(types[part] for part in unique.fields) for unique in entity.uniques)
        self._watched = {name: fields for name in table.entities if (fields := watched_fields(table, name))}
        self.candidate: Codec | None = None
        """Of the candidate, where the table has a canary. Its entries are the table's, since that is what is known."""
        if table.canary is not None:
            self.candidate = Codec(table.canary.table)
            self.candidate.digest = self.digest

    def of(self, entity: str, id: str, created_at: int) -> Codec:
        """Return the codec of the table by which an entity lives."""
        if self.candidate is None or live_by(self.table, entity, id, created_at) is self.table:
            return self
        return self.candidate

    def _own(self, now: Snapshot) -> Codec:
        return self if self.candidate is None else self.of(now.entity, now.id, now.created_at)

    # --- values ---

    def fields(self, entity: str, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return an entity's fields as JSON."""
        return self._encode(self._fields[entity], values)

    def changed(
        self, entity: str, before: Mapping[str, Value], after: Mapping[str, Value]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields that differ, as JSON: their new values, and their old ones."""
        new: dict[str, Any] = {}
        old: dict[str, Any] = {}
        for name, type_, plain in self._fields[entity]:
            value, was = after[name], before[name]
            if value is not was and value != was:
                new[name] = value if plain else encode(type_, value, self.table.records)
                old[name] = was if plain else encode(type_, was, self.table.records)
        return new, old

    def params(self, entity: str, action: str, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return an action's parameters as JSON; those that the table does not know are left out."""
        return self._encode(self._params.get((entity, action), ()), values) if values else {}

    def args(self, tool: str, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return a call's arguments as JSON."""
        return self._encode(self._tools[tool], values)

    def results(self, tool: str, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return a tool's results as JSON."""
        return self._encode(self._results[tool], values)

    def published(self, event: str, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return an emitted event's parameters as JSON."""
        return self._encode(self._events[event], values)

    def answer(self, tool: str, json: Mapping[str, Any]) -> dict[str, Value]:
        """Return what a tool answered as values of its declared results.

        Raises `ValueError` where it is not of their types.
        """
        results = self.table.tools[tool].results
        values = decode_args(results, dict(json), self.table.records, what="the answer")
        return {part.name: values.get(part.name) for part in results}

    # --- entities ---

    def dump(self, now: Snapshot) -> bytes:
        """Return an entity as it is kept."""
        return _to_json(self._own(now).stored(now))

    def stored(self, now: Snapshot) -> StoredEntity:
        """Return an entity as the struct that is kept."""
        return StoredEntity(
            state=now.state,
            version=now.version,
            visit=now.visit,
            created_at=now.created_at,
            updated_at=now.updated_at,
            fields=self._encode(self._fields[now.entity], now.fields),
            calls=[self._call(call) for call in now.calls] if now.calls else [],
            timers=[
                StoredTimer(
                    timer=armed.timer,
                    due=armed.due,
                    stamp=armed.stamp,
                    caller=who(armed.caller),
                    period_ms=armed.period_ms,
                )
                for armed in now.timers
            ]
            if now.timers
            else [],
            deferred=[
                StoredDeferred(
                    id=kept.id,
                    action=kept.action,
                    params=self.params(now.entity, kept.action, kept.params),
                    caller=who(kept.caller),
                    place=kept.place,
                )
                for kept in now.deferred
            ]
            if now.deferred
            else [],
        )

    def load(self, entity: str, id: str, data: bytes) -> Snapshot:
        """Return the entity that `dump` wrote with this table."""
        kept = _entity_from_json(data)
        return self.of(entity, id, kept.created_at).decoded(entity, id, kept)

    def decoded(self, entity: str, id: str, kept: StoredEntity) -> Snapshot:
        """Return the entity of which `stored` made the struct with this table."""
        return Snapshot(
            entity=entity,
            id=id,
            state=kept.state,
            fields=self._decode(self._fields[entity], kept.fields),
            version=kept.version,
            visit=kept.visit,
            created_at=kept.created_at,
            updated_at=kept.updated_at,
            calls=tuple(
                Pending(
                    order=call.order,
                    site=call.site,
                    tool=call.tool,
                    args=self._decode(self._tools.get(call.tool, ()), call.args),
                    visit=call.visit,
                    then=_handler(call.then),
                    otherwise=_handler(call.otherwise),
                    unknown=_handler(call.unknown),
                    unknown_is_failure=call.unknown_is_failure,
                    caller=caller(call.caller),
                    ended=call.ended,
                )
                for call in kept.calls
            ),
            timers=tuple(
                Armed(timer.timer, timer.due, timer.stamp, caller(timer.caller), timer.period_ms)
                for timer in kept.timers
            ),
            deferred=tuple(
                Deferred(
                    late.id,
                    late.action,
                    self._decode(self._params[entity, late.action], late.params),
                    caller(late.caller),
                    late.place,
                )
                for late in kept.deferred
            ),
        )

    def is_final(self, now: Snapshot) -> bool:
        """Say whether the state of one that lives by this table itself is final."""
        return now.state in self._final[now.entity]

    def is_live(self, now: Snapshot) -> bool:
        """Say whether something may still happen to the entity by itself or by an action that moves it."""
        return not self._own(now).is_final(now) or bool(now.calls or now.timers or now.deferred)

    def key(self, now: Snapshot) -> str | None:
        """Return the entity's `key` as one text, or `None` if its kind has none."""
        names = self.table.entities[now.entity].key
        return self.key_text(now.entity, [now.fields[name] for name in names]) if names else None

    def key_text(self, entity: str, values: Sequence[Value]) -> str:
        """Return a `key`'s values as one text: equal values give equal texts."""
        return self._text(self._keys[entity], values)

    def unique_text(self, entity: str, number: int, values: Sequence[Value]) -> str:
        """Return the values of the entity's `unique` of that number as one text."""
        return self._text(self._uniques[entity][number], values)

    def uniques(self, now: Snapshot) -> dict[int, str]:
        """Return what the entity holds of its `unique`s, by number; `none` and final ones hold nothing (23)."""
        found: dict[int, str] = {}
        for number, unique in enumerate(self.table.entities[now.entity].uniques):
            values = [now.fields[name] for name in unique.fields]
            final = not unique.ever and self._own(now).is_final(now)
            if not final and all(value is not None for value in values):
                found[number] = self._text(self._uniques[now.entity][number], values)
        return found

    def is_watched(self, entity: str) -> bool:
        """Say whether entities of that kind are found by what they refer to."""
        return entity in self._watched

    def references(self, now: Snapshot) -> frozenset[tuple[str, str]]:
        """Return by which fields an entity has to be found, and from which ids."""
        fields = self._watched.get(now.entity, ())
        return frozenset((name, id) for name in fields for id in field_references(self.table, now, name))

    def creation(self, entry: Entry) -> tuple[str, Mapping[str, Value]] | None:
        """Return the action that created an entity, and its parameters; `None` where this table can't read them."""
        action = entry.moves[0].action if entry.moves else ""
        try:
            return action, self._decode(self._params.get((entry.entity, action), ()), entry.params)
        except ValueError:
            return None

    def indexed(self, entity: str) -> object:
        """Return what of the entities of that kind a store indexes: equal for two tables that index them alike."""
        uniques = self.table.entities[entity].uniques
        return (
            self._keys[entity],
            self._uniques[entity],
            self.table.entities[entity].key,
            tuple((u.fields, u.ever) for u in uniques),
            self._watched.get(entity),
        )

    def carried(
        self, old: Codec, now: Snapshot, *, from_version: int, at: int | None = None
    ) -> Snapshot | tuple[str, ...]:
        """Return an entity of version `from_version` as this table has it, or why it has no place here."""
        table, own, number = origin(old.table, self.table, now, from_version)
        reasons = homeless(table, self.table, own, from_version=number)
        return reasons or self.carry(old, now, from_version=from_version, at=at)

    def carry(self, old: Codec, now: Snapshot, *, from_version: int, at: int | None = None) -> Snapshot:
        """Return an entity of version `from_version`, which has a place here, as this table has it."""
        _, own, number = origin(old.table, self.table, now, from_version)
        after = carry(self.table, own, at=at, from_version=number)
        if not after.calls:
            return after
        # What a call was given is in its order, as it was given; what its outcomes read is in its handlers.
        return replace(after, calls=tuple(replace(call, args=self._known_args(call)) for call in after.calls))

    # --- sends ---

    def dump_send(self, send: SendOrder) -> bytes:
        """Return a send as it is kept in the outbox."""
        return _to_json(
            StoredSend(
                site=send.site,
                entity=send.entity,
                entity_id=send.entity_id,
                action=send.action,
                params=self.params(send.entity, send.action, send.params),
                caller=who(send.caller),
            )
        )

    def load_send(self, order: str, data: bytes) -> SendOrder:
        """Return the send that `dump_send` wrote with this table."""
        kept = _send_from_json(data)
        params = self._decode(self._params.get((kept.entity, kept.action), ()), kept.params)
        return SendOrder(order, kept.site, kept.entity, kept.entity_id, kept.action, params, caller(kept.caller))

    # --- private ---

    def _known_args(self, call: Pending) -> dict[str, Value]:
        return {
            name: call.args[name]
            for name, type_, _ in self._tools.get(call.tool, ())
            if name in call.args and fits(type_, call.args[name], self.table.records)
        }

    def _call(self, call: Pending) -> StoredCall:
        return StoredCall(
            order=call.order,
            site=call.site,
            tool=call.tool,
            args=self._encode(self._tools.get(call.tool, ()), call.args),
            visit=call.visit,
            then=_stored_handler(call.then),
            otherwise=_stored_handler(call.otherwise),
            unknown=_stored_handler(call.unknown),
            unknown_is_failure=call.unknown_is_failure,
            caller=who(call.caller),
            ended=call.ended,
        )

    def _encode(self, plan: _Plan, values: Mapping[str, Value]) -> dict[str, Any]:
        records = self.table.records
        return {
            name: values[name] if plain else encode(type_, values[name], records)
            for name, type_, plain in plan
            if name in values
        }

    def _decode(self, plan: _Plan, json: Mapping[str, Any]) -> dict[str, Value]:
        records = self.table.records
        return {name: decode(type_, json[name], records=records) for name, type_, _ in plan if name in json}

    def _text(self, types: tuple[Type, ...], values: Sequence[Value]) -> str:
        records = self.table.records
        parts = [encode(type_, value, records) for type_, value in zip(types, values, strict=True)]
        return _to_json(parts).decode()


def path_text(path: Path) -> str:
    """Return a path as it is kept."""
    return "/".join(f"{'~' if hop.inverse else ''}{hop.entity}.{hop.field}" for hop in path)


def path_of(text: str) -> Path:
    """Return the path that `path_text` wrote."""
    hops = (part.removeprefix("~").split(".") for part in text.split("/") if part)
    inverse = (part.startswith("~") for part in text.split("/") if part)
    return tuple(Hop(entity, field, turned) for (entity, field), turned in zip(hops, inverse, strict=True))


@dataclass(frozen=True, slots=True)
class Step:
    """What the table of version `number` has made of an entity that is kept as an earlier one has it."""

    number: int
    by: str
    old: Codec
    new: Codec
    before: Snapshot
    after: Snapshot


@dataclass(frozen=True, slots=True)
class Kept:
    """An entity as the table in force has it, and the steps from how it is kept: no entry has told of them yet."""

    now: Snapshot
    steps: tuple[Step, ...] = ()

    @property
    def version(self) -> int:
        """Its version as it is kept."""
        return self.steps[0].before.version if self.steps else self.now.version


@dataclass(frozen=True, slots=True)
class _Way:
    """How those in a state of an earlier version come to the one in force: the versions that make others of them."""

    through: tuple[int, ...]
    state: str
    roused: bool


class Codecs:
    """The codecs of a space's versions, by number, and the way from an older one to the one in force.

    `read` returns the stored table of a version, `pushed` when it came into force and who pushed it.
    """

    def __init__(self, read: Callable[[int], Table], pushed: Callable[[int], tuple[int, str]]) -> None:
        self._read = read
        self._pushed = pushed
        self._codecs: dict[int, Codec] = {}
        self._moving: dict[int, Moving] = {}
        self._ways: dict[tuple[int, str, str], _Way] = {}
        self.current: int = 0

    def of(self, number: int) -> Codec:
        """Return the codec of that version."""
        found = self._codecs.get(number)
        if found is None:
            if len(self._codecs) >= _CODECS_MAX:
                oldest = next(each for each in self._codecs if each != self.current)
                self._codecs.pop(oldest, None)
            found = self._codecs[number] = Codec(self._read(number))
        return found

    def put(self, number: int, codec: Codec) -> None:
        """Make a version the one in force."""
        self._codecs[number] = codec
        self.current = number
        self._ways.clear()

    def load(self, number: int, entity: str, id: str, data: bytes) -> Snapshot:
        """Return an entity that was written under version `number`, as the one in force has it."""
        return self.kept(number, entity, id, data).now

    def kept(self, number: int, entity: str, id: str, data: bytes) -> Kept:
        """Return an entity that was written under version `number`, as the one in force has it, and the steps there.

        Who lives has a place in every version that came into force. One that was final by then, and has none in a later
        version, stays as it was; what becomes of it is in no entry, and is no step.
        """
        codec = self.of(number)
        now = codec.load(entity, id, data)
        if number == self.current:
            return Kept(now)
        steps: list[Step] = []
        if codec.is_live(now):
            for later in self._way(number, entity, now.state).through:
                old, new = self.of(later - 1), self.of(later)
                at, by = self._pushed(later)
                carried = new.carry(old, now, from_version=later - 1, at=at)
                if old.candidate is not None and carried == now:
                    continue  # What the step does, it does to the others: those in the canary, or those who are not.
                after = replace(carried, version=now.version + 1, updated_at=max(at, now.updated_at))
                was = old.of(entity, id, now.created_at)
                steps.append(Step(later, by, was, new.of(entity, id, now.created_at), now, after))
                number, codec, now = later, new, after
                if not new.is_live(now):
                    break
            else:
                return Kept(now, tuple(steps))
        return Kept(self._rested(number, codec, now), tuple(steps))

    def _rested(self, number: int, codec: Codec, now: Snapshot) -> Snapshot:
        for later in range(number + 1, self.current + 1):
            if (now.entity, now.state) not in self.moving(later).asked:
                continue
            newer = self.of(later)
            carried = newer.carried(self.of(later - 1), now, from_version=later - 1)
            if not isinstance(carried, Snapshot):
                break
            now = carried
        return now

    def moving(self, number: int) -> Moving:
        """Return what the step to that version can do to those who lived by the one before."""
        found = self._moving.get(number)
        if found is None:
            old, new = self.of(number - 1).table, self.of(number).table
            found = self._moving[number] = moving(old, new, number - 1)
        return found

    def is_behind(self, number: int, entity: str, state: str) -> bool:
        """Say whether who lives in that state, as version `number` wrote it, is another in the one in force."""
        return number != self.current and bool(self._way(number, entity, state).through)

    def is_to_look(self, number: int, entity: str, state: str) -> bool:
        """Say whether they have to look at their `whenever`s, for a version that came since."""
        return number != self.current and self._way(number, entity, state).roused

    def state(self, number: int, entity: str, state: str) -> str:
        """Return what the state of a living entity, as version `number` wrote it, is in the one in force."""
        return state if number == self.current else self._way(number, entity, state).state

    def once(self, entity: str, states: Sequence[str]) -> Sequence[str]:
        """Return these states, and those under which an earlier version may still have what is in them."""
        found = set(states)
        for later in range(self.current, 1, -1):
            for (kind, was), then in self.moving(later).becomes.items():
                if kind == entity and then in found:
                    found.add(was)
        return sorted(found)

    def _way(self, number: int, entity: str, state: str) -> _Way:
        name = (number, entity, state)
        way = self._ways.get(name)
        if way is None:
            through: list[int] = []
            roused = False
            for later in range(number + 1, self.current + 1):
                step = self.moving(later)
                if (entity, state) in step.touched:
                    through.append(later)
                roused = roused or (entity, state) in step.roused
                state = step.state(entity, state)
            way = self._ways[name] = _Way(tuple(through), state, roused)
        return way


def who(person: Caller) -> Who:
    """Return a caller as the journal has it."""
    return Who(person.principal, tuple(sorted(person.roles)), person.acts_for)


def caller(kept: Who) -> Caller:
    """Return the caller that `who` wrote."""
    return Caller(kept.principal, frozenset(kept.roles), kept.acts_for)


def dump_caller(person: Caller) -> bytes:
    """Return a caller as it is kept."""
    return _to_json(who(person))


def load_caller(data: bytes) -> Caller:
    """Return the caller that `dump_caller` wrote."""
    return caller(_who_from_json(data))


_Plan = tuple[tuple[str, Type, bool], ...]


def _plan(parts: Iterable[shape.Param | shape.Field]) -> _Plan:
    return tuple((part.name, part.type, is_plain(part.type)) for part in parts)


def _stored_handler(handler: shape.Handler | None) -> StoredHandler | None:
    return None if handler is None else StoredHandler(handler.action, list(handler.args))


def _handler(kept: StoredHandler | None) -> shape.Handler | None:
    return None if kept is None else shape.Handler(kept.action, _tuples(kept.args))


def _tuples(json: Any) -> Any:
    """Arrays as tuples: expressions are compared and hashed."""
    if isinstance(json, list):
        return tuple(_tuples(item) for item in json)
    return json
