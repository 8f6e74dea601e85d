"""What a journal says its entities are, now and at any time before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from temper.kernel.journal import Entry
from temper.kernel.stored import StoredEntity

# Entries that are read at once.
_PAGE = 256

_entity_from_json = msgspec.json.Decoder(StoredEntity).decode


class Gap(AssertionError):
    """An entry of an entity does not follow those before it: one is missing, or was changed."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(f"an entry of {entry.entity}/{entry.id} is missing before seq {entry.seq}")
        self.entry = entry


@dataclass(slots=True)
class Folded:
    """An entity as its entries make it.

    `fields` are encoded. What waits (calls, timers, deferred ones) is not told here.
    """

    state: str
    version: int
    created_at: int
    updated_at: int
    fields: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    """Of the table that decided the last entry."""
    seq: int = 0
    """The last entry that made it so; 0 where entries have no numbers yet."""

    def take(self, entry: Entry) -> None:
        """Go on to the entity after `entry`, which changes it. Raises `Gap`."""
        if entry.version != self.version + 1 and not entry.version == self.version == 1:
            raise Gap(entry)
        for name in entry.was.keys() - entry.set.keys():
            if name not in self.fields:
                raise Gap(entry)
            del self.fields[name]
        self.fields.update(entry.set)
        self.state, self.version, self.updated_at = entry.after, entry.version, entry.at
        self.digest, self.seq = entry.digest, entry.seq


def replay(entries: Iterable[Entry]) -> dict[tuple[str, str], Folded]:
    """Return each entity that `entries`, in order, speak of. No table is asked: an entry says what it changed."""
    found: dict[tuple[str, str], Folded] = {}
    for entry in entries:
        fold(found, entry)
    return found


def fold(found: dict[tuple[str, str], Folded], entry: Entry) -> None:
    """Take one more entry into what was found so far. Raises `Gap`."""
    if not entry.changes:
        return
    name = (entry.entity, entry.id)
    now = found.get(name)
    if now is None:
        now = found[name] = Folded(entry.after, entry.version, entry.at, entry.at)
    now.take(entry)


class Historic(Protocol):
    """What is asked of a store about an entity's past: two of the verbs of `temper.kernel.Store`."""

    def landmark(self, entity: str, id: str, *, until: int) -> tuple[int, bytes] | None: ...

    def history(self, entity: str, id: str, *, after: int = 0, limit: int) -> Any: ...


def past(store: Historic, entity: str, id: str, *, at: int) -> Folded | None:
    """Return the entity as it was after the entry with `seq` `at`, or the last before; `None` if it was not there yet.

    It is folded from the mark before, so that the time does not depend on how long its history is.
    """
    marked = store.landmark(entity, id, until=at)
    now: Folded | None = None
    after = 0
    if marked is not None:
        after, body = marked
        kept = _entity_from_json(body)
        last = _last_change(store, entity, id, kept.version, until=after)
        fields = dict(kept.fields)
        now = Folded(kept.state, kept.version, kept.created_at, kept.updated_at, fields, last.digest, last.seq)
    while True:
        entries = store.history(entity, id, after=after, limit=_PAGE)
        for entry in entries:
            if entry.seq > at:
                return now
            if entry.changes:
                now = now or Folded(entry.after, entry.version, entry.at, entry.at)
                now.take(entry)
        if len(entries) < _PAGE:
            return now
        after = entries[-1].seq


def _last_change(store: Historic, entity: str, id: str, version: int, *, until: int) -> Entry:
    """Return the entry that made the entity's `version`: what came after it, up to `until`, has changed nothing.

    A mark may stand at a refusal, of which there may be any number: so it is searched by halves.
    """
    low, high = 0, until - 1
    # Invariant: what comes up to `low` is of an earlier version, and what comes next after `high` is not.
    while low < high:
        middle = (low + high) // 2
        (following,) = store.history(entity, id, after=middle, limit=1)
        if following.version >= version:
            high = middle
        else:
            low = following.seq
    found: Entry = store.history(entity, id, after=low, limit=1)[0]
    return found


def seq_at(store: Historic, entity: str, id: str, *, time: int) -> int:
    """Return the `seq` of the entity's last entry that is not later than `time`; 0 if there is none.

    It is searched by halves, since a server's times never fall; where a clock was set back between two of its runs,
    either answer may be given.
    """
    low, high = 0, 1
    while following := store.history(entity, id, after=high, limit=1):
        if following[0].at > time:
            break
        low, high = following[0].seq, 2 * following[0].seq
    # Invariant: what comes after `high` is later than `time`, and what comes up to `low` is not.
    while low < high:
        middle = (low + high) // 2
        following = store.history(entity, id, after=middle, limit=1)
        if following and following[0].at <= time:
            low = following[0].seq
        else:
            high = middle
    return low
