"""The ports of a host, and what goes through them. Each docstring is the contract.

A *space* is what one blueprint keeps alive: its entities, journal, orders, timers and versions of its table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeAlias

from temper.kernel.journal import Entry
from temper.table import Caller, Ending, Event, Refused, SendOrder, Snapshot, Value

# --- what comes in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """An event for one entity, and on what terms.

    `key` is the caller's idempotency key (already scoped to its principal), `fingerprint` a digest of what was asked under
    it. `if_version` refuses when the entity is not at that version. `dry_run` decides and appends nothing.
    """

    event: Event
    entity: str
    id: str
    key: str | None = None
    fingerprint: str = ""
    if_version: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """It happened. `snapshot` is the entity after it; `replayed` when this is the stored answer to the same key."""

    snapshot: Snapshot
    entry: Entry
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class No:
    """The table refused. The refusal has been journaled (except in a dry run). `snapshot` is the entity as it is, if any."""

    refused: Refused
    snapshot: Snapshot | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """`if_version` did not match, or the key was used for something else. Nothing was appended."""

    text: str
    actual_version: int | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """Too much waits already; nothing was decided. Try again after `retry_after_ms`."""

    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The store could not append (its disk is full, it is gone). Nothing was done, so far as we know: `text` says what."""

    text: str


Answer: TypeAlias = Done | No | Conflict | Busy | Expired

# --- orders -----------------------------------------------------------------------------------------------------------


class OrderState(Enum):
    """Where an order is on its way."""

    WAITING = "waiting"
    """To be tried at `next_at`."""
    STARTED = "started"
    """An attempt is journaled and may be under way. Found so at a start, its fate is unknown."""
    DEAD = "dead"
    """A dead letter: nobody has a place for it. It stays until an operator retries or discards it."""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order in the outbox. It is removed in the commit that records its ending.

    `kind` is "call" or "send". A call's arguments, tool and handlers are in its entity's `Pending`; `args` are encoded here
    too, so that an adapter needs nothing else.
    """

    order: str
    kind: str
    entity: str
    id: str
    """The entity that ordered it."""
    tool: str | None
    args: Mapping[str, Any]
    send: SendOrder | None
    state: OrderState
    attempts: int
    next_at: int
    created_at: int
    lane: int
    """A send's place in the order between its two entities; calls have 0 (they are not ordered)."""
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: an order or an outcome that has no home, for people to look at."""

    order: str
    entity: str
    id: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """Carry this out now: its start is durable. `number` counts from 1."""

    order: str
    tool: str
    args: Mapping[str, Any]
    number: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended. `retry` says that a failure may pass (else it is final whatever the tool's `retry` says)."""

    order: str
    number: int
    ending: Ending
    results: Mapping[str, Any] = field(default_factory=dict)
    """Encoded, as the tool gave them; the host decodes them by the tool's declared types."""
    error_kind: str = ""
    error_text: str = ""
    retry: bool = False


# --- the store --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A version of the space's table: `number` counts pushes from 1. `sources` are the bundle's files."""

    number: int
    digest: str
    table: bytes
    """`temper.table.dump`, with notes."""
    report: bytes
    """The verifier's report for that digest, as JSON."""
    at: int
    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What one decision does to the store: all of it or nothing."""

    entries: tuple[Entry, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    """Whole entities after the commit; the store indexes their state, keys, uniques and next due time."""
    orders: tuple[OrderRow, ...] = ()
    """New orders, or orders with another state: by their id."""
    ended_orders: tuple[str, ...] = ()
    letters: tuple[Letter, ...] = ()
    key: tuple[str, str] | None = None
    """An idempotency key and the fingerprint of what was asked; the answer is the change's first entry."""
    version: TableVersion | None = None
    """A new table: the whole change is a swap."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes to append together: one atomic, durable commit, in this order."""

    changes: tuple[Change, ...]
    answers: tuple[Answer, ...]
    """One for each request that was decided, in their order; given to callers after the append."""


class Store(Protocol):
    """Keeps one space. Reads see the last append and nothing half-done.

    Entities' values are kept encoded; `snapshot` decodes with the table that is in force (a swap rewrites those that it
    changes).
    """

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        """Return the entity, or `None` if there is none of that id."""
        ...

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        """Return the id of the entity that has, or had, this key."""
        ...

    def taken(self, entity: str, unique: int, values: Sequence[Value], but_not: str | None) -> bool:
        """Say whether another entity agrees on the values of the entity's `unique` of that number (23: final ones and `none`)."""
        ...

    def answered(self, key: str) -> tuple[str, Entry] | None:
        """Return the fingerprint and the entry under an idempotency key."""
        ...

    def due(self, at: int, limit: int) -> Sequence[tuple[str, str]]:
        """Return (entity, id) of those that have a timer due or a deferred one to offer at `at`, earliest first."""
        ...

    def next_due(self) -> int | None:
        """Return the earliest due time of all timers."""
        ...

    def orders(self, at: int, limit: int) -> Sequence[OrderRow]:
        """Return waiting orders with `next_at <= at`, oldest first; of sends between two entities only the first in its lane."""
        ...

    def order(self, order: str) -> OrderRow | None: ...

    def started(self) -> Sequence[OrderRow]:
        """Return the orders whose attempt was started and has not ended, as a restart finds them."""
        ...

    def live(self) -> Iterable[Snapshot]:
        """Return every entity that is not final or still has calls, timers or deferred ones."""
        ...

    def current(self) -> TableVersion | None:
        """Return the version that is in force."""
        ...

    def append(self, batch: Batch) -> int:
        """Make the whole batch durable, or nothing of it, and return the seq of its last entry.

        Raises `StoreFault` when it cannot; then nothing of it stays (unless the fault says that its fate is unknown).
        """
        ...


class StoreFault(Exception):
    """The store cannot do it now: `text` says why and what to try. `unknown` when it may have been done."""

    def __init__(self, text: str, *, unknown: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.unknown = unknown
