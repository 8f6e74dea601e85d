"""What a candidate would have done with the last requests of a journal, each on what there was when it came.

Nothing is changed, and nothing of the candidate's own doing is carried on: every request finds what the journal says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from temper.kernel import record
from temper.kernel.journal import Cause, Entry
from temper.kernel.ports import NO_FACTS, PolicyGate, Store, TableVersion
from temper.kernel.replay import Folded, past, seq_at
from temper.kernel.stored import Codec, Codecs, StoredEntity, caller
from temper.table import (
    Act,
    BadValue,
    NoValue,
    Refused,
    Snapshot,
    Table,
    Value,
    Why,
    commit,
    decode_args,
    field_references,
    load,
)

_PAGE = 512
DIFFERENCES_MAX = 100

_to_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Difference:
    """One request that the candidate would have answered otherwise.

    `kind` is "refused" (now), "taken" (now), "state", "fields", "orders", "events", "others", or "gone" where the
    candidate has no such action or no place for the entity. `sure` is false where it read what the journal does not
    tell whole: who refers to whom, and who holds a key or a `unique`.
    """

    seq: int
    entity: str
    id: str
    action: str
    kind: str
    text: str
    sure: bool = True


@dataclass(slots=True)
class Shadowed:
    """What came of it. `differ` counts all that differ, of which the first are in `differences`, newest first."""

    requests: int = 0
    differ: int = 0
    differences: list[Difference] = field(default_factory=list)


def shadow(store: Store, candidate: Table, *, last: int, gate: PolicyGate | None = None) -> Shadowed:
    """Return how `candidate` would have answered the last so many requests otherwise.

    The `gate` is asked of what was let pass, as far as a journal tells who asked: what else is known of a request, such
    as teams, is not in it, so that what policies refuse is never sure.
    """
    ways = _Ways(store, candidate, gate)
    found = Shadowed()
    for entry, created in _requests(store):
        if found.requests == last:
            break
        found.requests += 1
        difference = _difference(ways, entry, created)
        if difference is not None:
            found.differ += 1
            if len(found.differences) < DIFFERENCES_MAX:
                found.differences.append(difference)
    return found


def _requests(store: Store) -> Iterator[tuple[Entry, Sequence[Entry]]]:
    """Yield the entries of requests, newest first, with those of whom they took along or created."""
    for part in range(getattr(store, "parts", 1)):
        at = {"part": part} if hasattr(store, "parts") else {}
        upto = store.last_seq(**at)
        later: list[Entry] = []
        while upto > 0:
            begin = max(0, upto - _PAGE)
            for entry in reversed(store.entries(begin, upto - begin, **at)):
                if entry.cause in {Cause.CREATE, Cause.WITH}:
                    later.append(entry)
                    continue
                if entry.cause is Cause.REQUEST and entry.action is not None:
                    yield entry, later[::-1]
                later = []
            upto = begin


class _Ways:
    """The versions of a space, with the candidate as the next."""

    def __init__(self, store: Store, candidate: Table, gate: PolicyGate | None) -> None:
        self.store = store
        self.gate = gate
        self.alone = getattr(store, "parts", 1) == 1
        self._versions: dict[int, TableVersion] = {each.number: each for each in store.versions()}
        self._numbers = {each.digest: each.number for each in self._versions.values()}
        self.codec = Codec(candidate)
        self._codecs = Codecs(
            lambda number: load(self._versions[number].table),
            self._pushed,
        )
        self._codecs.put(max(self._versions) + 1, self.codec)

    def _pushed(self, number: int) -> tuple[int, str]:
        version = self._versions.get(number)
        return (0, "") if version is None else (version.at, version.by)

    def carried(self, entity: str, id: str, folded: Folded) -> Snapshot:
        """Return an entity as the candidate would have it. Raises `ValueError` where it has no place there."""
        kept = StoredEntity(
            state=folded.state,
            version=folded.version,
            visit=1,
            created_at=folded.created_at,
            updated_at=folded.updated_at,
            fields=folded.fields,
        )
        try:
            now = self._codecs.load(self._numbers[folded.digest], entity, id, _to_json(kept))
        except (KeyError, ValueError, ArithmeticError, NoValue) as problem:
            raise ValueError(f"{entity} `{id}` has no place in it") from problem
        kind = self.codec.table.entities.get(entity)
        if kind is None or now.state not in kind.states or now.fields.keys() != {one.name for one in kind.fields}:
            raise ValueError(f"{entity} `{id}` in {now.state} has no place in it")
        return now


class _Then:
    """What there was before an entry, as far as the journal tells it: a `World`."""

    def __init__(self, ways: _Ways, entry: Entry) -> None:
        self._ways = ways
        self._entry = entry
        self.sure = True

    def folded(self, entity: str, id: str, *, after: bool = False) -> Folded | None:
        store, entry = self._ways.store, self._entry
        if self._ways.alone or (entity, id) == (entry.entity, entry.id):
            at = entry.seq - (not after)
        else:
            # Of another partition: what there was at that time.
            self.sure = False
            at = seq_at(store, entity, id, time=entry.at)
        return past(store, entity, id, at=at)

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        folded = self.folded(entity, id)
        return None if folded is None else self._ways.carried(entity, id, folded)

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        self.sure = False
        id = self._ways.store.by_key(entity, values)
        return id if id is not None and self.folded(entity, id) is not None else None

    def creation(self, entity: str, id: str) -> tuple[str, Mapping[str, Value]] | None:
        first = next(iter(self._ways.store.history(entity, id, limit=1)), None)
        return None if first is None else self._ways.codec.creation(first)

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: frozenset[str]) -> bool:
        self.sure = False
        return False

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        self.sure = False
        found, _ = self._ways.store.referrers(entity, field, id, limit=limit)
        still = [(one, self.snapshot(entity, one)) for one in found]
        return [one for one, now in still if now and id in field_references(self._ways.codec.table, now, field)]


def _difference(ways: _Ways, entry: Entry, others: Sequence[Entry]) -> Difference | None:
    assert entry.action is not None, "a request asks for an action"
    then = _Then(ways, entry)

    def differs(kind: str, text: str) -> Difference:
        return Difference(entry.seq, entry.entity, entry.id, entry.action or "", kind, text, then.sure)

    table = ways.codec.table
    kind = table.entities.get(entry.entity)
    action = kind.actions.get(entry.action) if kind is not None else None
    if action is None:
        return None if entry.refused else differs("gone", f"there is no `{entry.entity}.{entry.action}` in it")
    try:
        params = decode_args(action.params, dict(entry.params), table.records)
        now = None if entry.before == record.NEW else then.snapshot(entry.entity, entry.id)
        event = Act(entry.event, entry.at, entry.action, params, caller(entry.by), entry.entity, entry.id)
        result = commit(table, now, event, then)
        if ways.gate is not None and entry.refused is None and entry.consent is None:
            forbidden = ways.gate.rule(table, now, event, NO_FACTS, then)
            if forbidden is not None and not isinstance(result, Refused):
                then.sure = False
                result = forbidden
    except BadValue as problem:
        return None if entry.refused else differs("refused", f"its parameters are not of their types: {problem}")
    except ValueError as problem:
        return differs("gone", str(problem))
    if isinstance(result, Refused):
        return None if entry.refused else differs("refused", result.text)
    if entry.refused is not None:
        if entry.refused.why == Why.PAUSED.value:
            return None
        if {*entry.refused.policies} & {each.id for each in table.policies}:
            return None  # What policies look at is not all in a journal: one that is still there is taken to forbid it.
        return differs("taken", f"it was refused: {entry.refused.text}")
    if result.existing is not None:
        return None
    did = record.accepted(ways.codec, now, event, result.parts[0].accepted, None)
    try:
        folded = then.folded(entry.entity, entry.id, after=True)
        was = None if folded is None else ways.carried(entry.entity, entry.id, folded)
    except ValueError as problem:
        return differs("gone", str(problem))
    after = result.parts[0].accepted.after
    if was is not None and was.state != after.state:
        return differs("state", f"it goes to {after.state}, and went to {was.state}")
    if was is not None and was.fields != after.fields:
        names = [name for name in after.fields if after.fields[name] != was.fields.get(name)]
        return differs("fields", "; ".join(_became(ways.codec, was, after, name) for name in names))
    effects = _effects(entry, did, others, [(part.accepted.after.entity, _action(part)) for part in result.parts[1:]])
    return None if effects is None else differs(*effects)


def _effects(
    entry: Entry, did: Entry, others: Sequence[Entry], now_others: Sequence[tuple[str, str]]
) -> tuple[str, str] | None:
    orders = [_sent(order.kind, order.to, order.args) for order in entry.orders]
    now_orders = [_sent(order.kind, order.to, order.args) for order in did.orders]
    if orders != now_orders:
        return "orders", f"it orders {_listed(now_orders)}, and ordered {_listed(orders)}"
    events = [f"{one.event}({one.params})" for one in entry.emitted]
    now_events = [f"{one.event}({one.params})" for one in did.emitted]
    if events != now_events:
        return "events", f"it publishes {_listed(now_events)}, and published {_listed(events)}"
    was = sorted(f"{one.entity}.{one.action}" for one in others)
    now = sorted(f"{kind}.{action}" for kind, action in now_others)
    if was != now:
        return "others", f"it takes {_listed(now)} along, and took {_listed(was)}"
    return None


def _action(part: Any) -> str:
    moves = part.accepted.moves
    return moves[0].action if moves else ""


def _became(codec: Codec, was: Snapshot, after: Snapshot, name: str) -> str:
    old, new = codec.fields(was.entity, was.fields), codec.fields(after.entity, after.fields)
    return f"`{name}` becomes {new.get(name)}, and became {old.get(name)}"


def _sent(kind: str, to: str, args: Mapping[str, Any]) -> str:
    return f"{kind} {to}({', '.join(f'{name}: {value}' for name, value in args.items())})"


def _listed(these: Sequence[str]) -> str:
    return ", ".join(these) or "nothing"
