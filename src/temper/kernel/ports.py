"""The ports of a host, and what goes through them. Each docstring is the contract.

A *space* is what one blueprint keeps alive: its entities, journal, orders, timers and versions of its table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from temper.kernel.indexing import Index
from temper.kernel.journal import Entry
from temper.kernel.stored import Kept
from temper.table import Act, Caller, Ending, Event, Look, Path, Refused, SendOrder, Snapshot, Table, Value


class Ids(Protocol):
    """Gives an id that was never given before: twelve characters, lower case, safe in a path."""

    def __call__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a host, each with what happens at it. Times are in milliseconds."""

    snapshots_max: int = 20_000
    """Entities kept decoded in memory; the least recently used are read again from the store."""
    batch_max: int = 256
    """Asks decided together, due timers and sends included; the rest waits for the next batch."""
    queue_max: int = 4_096
    """Asks that may wait to be decided; then the answer is `Busy`."""
    attempts_max: int = 8
    """Attempts of one tool under way at a time; the other calls wait in the outbox."""
    late_ms: int = 60_000
    """How long an attempt that has timed out may still give its true answer; then it is cut off."""
    backoff_ms: int = 1_000
    """A timer whose action was refused is tried again after this; twice as long each time, up to `backoff_max_ms`."""
    backoff_max_ms: int = 300_000
    moves_max: int = 64
    """Entities that a turn carries over to the table in force, of those who are kept as an earlier one wrote them;
    where requests wait, no more than those. With 0 they stay as they are kept, and are carried over where they act."""
    watchers_max: int = 100
    """Entities that a commit has look at their `whenever`s at once, since they read what it changes; the rest do so in
    the turns that follow."""


# --- who may ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a request beside its caller: policies may ask for it, the table can't."""

    teams: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What the identity provider, or whoever made the token, says of the principal."""
    session: str | None = None
    """The agent's session that it belongs to."""
    via: str = "http"
    """The door: "http", "mcp", "webhook" or "server"."""
    admin: bool = False
    """Whether the credential is an administrator's."""


NO_FACTS = Facts()


class PolicyGate(Protocol):
    """Says whether policies let a caller take an action that `by` gives it.

    It is asked once the table has admitted the caller, about the same snapshot, and never about `system`. It takes no
    time to speak of, and raises nothing.
    """

    def rule(self, table: Table, now: Snapshot | None, event: Act, facts: Facts, world: Look) -> Refused | None:
        """Return why not: `Why.FORBIDDEN` or `Why.PAUSED`, with the policies' ids. `now` is `None` for a creation."""
        ...


# --- what comes in ----------------------------------------------------------------------------------------------------


class Request(Struct, frozen=True):
    """An event for one entity, and on what terms.

    `key` is the caller's idempotency key (already scoped to its principal), `fingerprint` a digest of what was asked
    under it. `if_version` refuses when the entity is not at that version, `if_digest` when another table is in force.
    `dry_run` decides and appends nothing.
    """

    event: Event
    entity: str
    id: str
    key: str | None = None
    fingerprint: str = ""
    if_version: int | None = None
    dry_run: bool = False
    facts: Facts = NO_FACTS
    if_digest: str | None = None


class Done(Struct, frozen=True):
    """It happened. `snapshot` is the entity after it; `replayed` when this is the stored answer to the same key.

    `entry` is the first of the commit (`seq` 0 in a dry run, which is not in the journal). It is `None` where nothing
    happened: the creating action gave the entity that has this `key` already (22).
    """

    snapshot: Snapshot
    entry: Entry | None
    entries: tuple[Entry, ...] = ()
    """Of the entities that it took along or created, in the same commit."""
    replayed: bool = False


class No(Struct, frozen=True):
    """The table refused. `snapshot` is the entity as it is, if any.

    The refusal has been journaled, except in a dry run and where there is no entity whose history it was.
    """

    refused: Refused
    snapshot: Snapshot | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """`if_version` or `if_digest` did not match, or the key was used for something else. Nothing was appended."""

    text: str
    actual_version: int | None = None
    another_table: bool = False
    """Whether it is `if_digest`."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Too much waits already; nothing was decided. Try again after `retry_after_ms`."""

    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Contended:
    """Others changed what it reads each time that it was decided: nothing was done.

    Try again after `retry_after_ms`.
    """

    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The store could not append (its disk is full, it is gone).

    Nothing was done, so far as we know: `text` says what.
    """

    text: str


Answer: TypeAlias = Done | No | Conflict | Busy | Contended | Expired

# --- orders -----------------------------------------------------------------------------------------------------------


class OrderState(Enum):
    """Where an order is on its way."""

    WAITING = "waiting"
    """To be tried at `next_at`."""
    STARTED = "started"
    """An attempt is journaled and may be under way. Found so at a start, its fate is unknown."""
    DEAD = "dead"
    """A dead letter: nobody has a place for it. It stays until an operator retries or discards it."""


class OrderRow(Struct, frozen=True):
    """An order in the outbox. It is removed in the commit that records its ending.

    `kind` is "call" or "send". A call's arguments, tool and handlers are in its entity's `Pending`; `args` are
    encoded here too, so that an adapter needs nothing else.
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
    unsure: bool = False
    """An attempt before the last may have done it: its fate is unknown."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: an order or an outcome that has no home, for people to look at."""

    order: str
    entity: str
    id: str
    text: str
    at: int


class Attempt(Struct, frozen=True):
    """Carry this out now: its start is durable. `number` counts from 1."""

    order: str
    entity: str
    id: str
    """The entity that ordered it."""
    tool: str
    args: Mapping[str, Any]
    number: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended. `retry` says that a failure may pass (else it is final whatever the tool's `retry` says).

    An attempt that ended UNKNOWN may be told of once more, when its true answer comes after all.
    """

    order: str
    entity: str
    id: str
    number: int
    ending: Ending
    results: Mapping[str, Any] = field(default_factory=dict)
    """Encoded, as the tool gave them; the host decodes them by the tool's declared types."""
    error_kind: str = ""
    error_text: str = ""
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """An operator wants a dead or waiting order tried now. `by` is who that is, `note` why: its history says both."""

    order: str
    by: Caller | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Discard:
    """An operator gives an order up: a call ends `unknown` (12), a send is dropped, a letter is put away.

    `by` is who that is, `note` why: the history of who ordered it says both.
    """

    order: str
    by: Caller | None = None
    note: str = ""


Ask: TypeAlias = Request | AttemptEnd | Retry | Discard
"""What a host is asked to decide. All but a request are answered with `None` when nothing was recorded of an entity."""


# --- the store --------------------------------------------------------------------------------------------------------

# An idempotency key is kept for a day, and at least this many are: nobody's retry comes later, and a burst can't wash
# them away.
KEYS_KEPT_MS = 86_400_000
KEYS_KEPT_MIN = 10_000


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
class Stranded:
    """A live entity that has no place in a candidate table, and why."""

    entity: str
    id: str
    state: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wake:
    """Look at this entity again at `at`, unless it changes before: its timer was due and its action refused."""

    entity: str
    id: str
    at: int


class Stir(Struct, frozen=True):
    """Those of kind `owner` who reach an entity by `path` have yet to look at their `whenever`s: it has changed.

    `caller` has changed it. With an empty path it is the entity itself that has to look. `after` is a cursor: those
    before it have looked. There is one for each owner, entity and path; a later one takes the place of the earlier.
    """

    owner: str
    entity: str
    id: str
    path: Path
    caller: Caller
    after: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """What is kept under an idempotency key: the first entry of the answer, and the entity after it."""

    fingerprint: str
    entry: Entry
    snapshot: Snapshot | None
    rest: tuple[Entry, ...] | None = None
    """The other entries of the answer; `None` where they follow the first."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entities, in order. `cursor` goes on from here; it is `None` when there are no more."""

    items: tuple[Snapshot, ...]
    cursor: str | None


class Order(Enum):
    """In which order entities are listed."""

    OLDEST = "oldest"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Upto:
    """Who was written before the place `row` is carried over; `None`: all are."""

    row: int | None


@dataclass(frozen=True, slots=True)
class Unmoved:
    """Some of those who are still kept as an earlier table wrote them, and where to go on after them."""

    kept: tuple[Kept, ...]
    looking: tuple[tuple[str, str], ...]
    """Who is to look at their `whenever`s, and stays as written."""
    moved: Upto


Place = tuple[int, ...]
"""A place in the journal: the seq of each of its partitions."""


class Change(Struct, frozen=True):
    """What one decision does to the store: all of it or nothing."""

    entries: tuple[Entry, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    """Whole entities after the commit; the store indexes their state, keys, uniques, the references by which they have
    to be found (`watched_fields`) and their next due time. Those of the entries come first, in their order; others are
    of entities in which no more has changed than which `whenever`s are due."""
    orders: tuple[OrderRow, ...] = ()
    """New orders, or orders with another state: by their id."""
    ended_orders: tuple[str, ...] = ()
    letters: tuple[Letter, ...] = ()
    key: tuple[str, str] | None = None
    """An idempotency key and the fingerprint of what was asked; the answer is the change's first entry."""
    wakes: tuple[Wake, ...] = ()
    unlettered: tuple[str, ...] = ()
    """Orders whose letters are put away."""
    unstirred: tuple[Stir, ...] = ()
    """Those who had to look have looked, or what is left of them is in `stirs`."""
    stirs: tuple[Stir, ...] = ()
    version: TableVersion | None = None
    """A new table: the whole change is a swap."""
    index: str | None = None
    """The index that was made for it (`Store.indexing`), where it has others found otherwise."""
    moved: Upto | None = None
    """So far have those been carried over who live by earlier tables."""


@dataclass(frozen=True, slots=True)
class Read:
    """An entity that was looked at, and its version then; `None` if there was none."""

    entity: str
    id: str
    version: int | None


@dataclass(frozen=True, slots=True)
class ReadSet:
    """Those whose `field` referred to `id`, oldest first; where there are `limit` of them, there may be more."""

    entity: str
    field: str
    id: str
    limit: int
    found: tuple[str, ...]


class Batch(Struct, frozen=True):
    """Changes to append together: one atomic, durable commit, in this order."""

    changes: tuple[Change, ...]
    answers: tuple[Answer | None, ...] = ()
    """One for each ask, in their order; given to callers after the append."""
    attempts: tuple[Attempt, ...] = ()
    """To be carried out after the append, which makes their starts durable."""
    reads: tuple[Read | ReadSet, ...] = ()
    """What it rests on, of a store that is `shared`: all of it still has to be so when it is appended."""


class Store(Protocol):
    """Keeps one space. Reads see the last append and nothing half-done.

    Values are kept encoded. An entity is decoded with the table that wrote it, and then carried over to the one in
    force; an entity that has no place there (a final one; a swap lets no other pass) is given as it was.
    """

    @property
    def shared(self) -> bool:
        """Say whether others write to the space, too: then what was read may have changed, and `append` looks."""
        ...

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        """Return the entity, or `None` if there is none of that id."""
        ...

    def kept(self, entity: str, id: str) -> Kept | None:
        """Return the entity like `snapshot`, and what no entry has told of yet that later tables made of it."""
        ...

    def by_key(self, entity: str, values: Sequence[Value]) -> str | None:
        """Return the id of the entity that has, or had, this key."""
        ...

    def holder(self, entity: str, unique: int, values: Sequence[Value]) -> str | None:
        """Return the id of the entity that holds the values of its `unique` of that number.

        Final ones (unless it is `ever`) and `none` hold nothing (23).
        """
        ...

    def referrers(
        self, entity: str, field: str, id: str, *, after: int = 0, limit: int
    ) -> tuple[Sequence[str], int | None]:
        """Return the ids of those whose `field` (one of their `watched_fields`) refers to `id`, oldest first.

        The second is where to go on from, `None` where there are no more.
        """
        ...

    def stirs(self, limit: int) -> Sequence[Stir]:
        """Return those who have yet to look at their `whenever`s, the longest waiting first."""
        ...

    def answered(self, key: str) -> Answered | None:
        """Return what is kept under an idempotency key. Keys are kept for a day, and at least the last 10,000."""
        ...

    def due(self, at: int, limit: int) -> Sequence[tuple[str, str]]:
        """Return (entity, id) of those that have a timer due or a deferred one to offer at `at`, earliest first."""
        ...

    def next_due(self) -> int | None:
        """Return the earliest time at which `due` has something.

        A store that is asked from afar may say an earlier one, once: `due` finds nothing then, and it knows better.
        """
        ...

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        """Return waiting sends with `next_at <= at`, oldest first; between two entities only the first in its lane."""
        ...

    def calls(self, at: int, tool: str, limit: int) -> Sequence[OrderRow]:
        """Return the tool's waiting calls with `next_at <= at`, earliest first."""
        ...

    def next_order(self, but_not: Sequence[str]) -> int | None:
        """Return the earliest `next_at` of waiting sends, and of waiting calls of other tools than these.

        As with `next_due` it may be an earlier time, once.
        """
        ...

    def order(self, order: str) -> OrderRow | None: ...

    def orders_of(self, entity: str, id: str) -> Sequence[OrderRow]:
        """Return the orders that the entity made and that have not ended, oldest first."""
        ...

    def started(self) -> Sequence[OrderRow]:
        """Return the orders whose attempt was started and has not ended, as a restart finds them."""
        ...

    def live(self) -> Iterable[Snapshot]:
        """Return every entity that is not final or still has calls, timers or deferred ones."""
        ...

    def living(
        self, asked: Collection[tuple[str, str]], *, after: int, limit: int
    ) -> tuple[Sequence[Snapshot], int | None]:
        """Return those of the `live` whose kind and state are asked for, out of the next `limit` rows.

        The second is where to go on from, `None` where there are no more.
        """
        ...

    def all_of(
        self, kinds: Collection[str], *, after: int, limit: int
    ) -> tuple[Sequence[tuple[int, Snapshot]], int | None]:
        """Return those of these kinds, final ones too, and their rows, out of the next `limit` rows.

        The second is where to go on from, `None` where there are no more.
        """
        ...

    def row(self, entity: str, id: str) -> int | None:
        """Return the row of an entity, which it keeps for ever."""
        ...

    def indexing(self, kinds: Collection[str], *, lasting: bool) -> Index:
        """Return an index of these kinds, with nothing in it; where it is not `lasting`, no swap can put it in force.

        One that is left half made by a crash is dropped.
        """
        ...

    def tidy(self) -> bool:
        """Do a piece of dropping indexes that are no longer used; say whether there is more. Raises `StoreFault`.

        It is for the thread that appends.
        """
        ...

    def moving(self) -> bool:
        """Say whether some may still be kept as an earlier table wrote them, and be others in the one in force."""
        ...

    def unmoved(self, limit: int) -> Unmoved | None:
        """Return the next `limit` of those, at most; `None` where none are left that are this server's to carry over.

        A change's `moved` says how far it has come, and lasts.
        """
        ...

    def place(self) -> Place:
        """Return the end of the journal."""
        ...

    def changed(self, since: Place, limit: int) -> tuple[Sequence[tuple[str, str]], Place]:
        """Return whom entries after `since` speak of, and where to go on; at the end of the journal, nobody."""
        ...

    def current(self) -> TableVersion | None:
        """Return the version that is in force."""
        ...

    def versions(self) -> Sequence[TableVersion]:
        """Return all versions, oldest first."""
        ...

    def list(
        self,
        entity: str,
        *,
        states: Sequence[str] = (),
        after: str | None = None,
        limit: int,
        order: Order = Order.OLDEST,
    ) -> Page:
        """Return a page of entities in the order of their creation; `after` is the cursor of the page before.

        With `states`, of those in one of them.
        """
        ...

    def count(self, entity: str, *, states: Sequence[str] = ()) -> int: ...

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Return how many entities are of each kind in each state."""
        ...

    def history(self, entity: str, id: str, *, after: int = 0, limit: int) -> Sequence[Entry]:
        """Return the entity's entries with `seq > after`, oldest first: its creation, then all, refusals included."""
        ...

    def landmark(self, entity: str, id: str, *, until: int) -> tuple[int, bytes] | None:
        """Return the last of the entity's marks up to the entry `until`: a `seq`, and how it was kept after that.

        A store keeps marks where it likes, so that what was is found without folding a whole history.
        """
        ...

    def entries(self, after: int, limit: int) -> Sequence[Entry]:
        """Return the space's entries with `seq > after`, in order."""
        ...

    def last_seq(self) -> int:
        """Return the seq of the last entry, 0 if there is none."""
        ...

    def letters(self, *, after: str | None = None, limit: int) -> Sequence[Letter]:
        """Return dead letters, oldest first, after the one of order `after`."""
        ...

    def letter(self, order: str) -> Letter | None: ...

    def append(self, batch: Batch) -> int:
        """Make the whole batch durable, or nothing of it; set its entries' `seq`, and return that of the last there is.

        Raises `StoreFault` when it cannot; then nothing of it stays (unless the fault says that its fate is unknown).
        Raises `Stale` when what the batch rests on is so no longer.
        """
        ...


class StoreFault(Exception):
    """The store cannot do it now: `text` says why and what to try. `unknown` when it may have been done."""

    def __init__(self, text: str, *, unknown: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.unknown = unknown


class Stale(StoreFault):
    """Others have changed what a batch rests on: nothing was appended, and it has to be decided again.

    `names` are the entities to be read again.
    """

    def __init__(self, text: str, names: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.names = tuple(names)


class Superseded(Stale):
    """Another server has put another version in force: it has to be taken over before anything is decided."""
