"""What comes in, what an entity is at a moment, and what an event does to it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from msgspec import Struct, field

from temper.table.table import Handler

Value: TypeAlias = bool | int | Decimal | str | tuple[Any, ...] | frozenset[Any] | None


class Caller(Struct, frozen=True):
    """A principal with the roles that it holds while it acts. `acts_for` is the person behind an agent."""

    principal: str
    roles: frozenset[str] = frozenset()
    acts_for: str | None = None


class Consent(Struct, frozen=True):
    """That a person has said yes to what somebody may not do alone: `by` answered `asked` in `decision`.

    The caller of the action is one of the two: who asked, where a policy alone stood in the way; who answered, where
    `by` did, since a consent lends no more than its giver has.
    """

    decision: str
    asked: Caller
    by: Caller
    policies: tuple[str, ...] = ()
    """The policies that were overruled: those that refused when it was asked for, and no others."""


class Pending(Struct, frozen=True):
    """A call that has been ordered, with all that its outcomes need: a later table changes nothing for it.

    The handlers' arguments hold literals, results and errors only; the rest was read when the call was made.
    `ended` is set after `unknown`: one correction may still come. The last 16 of those are kept.
    """

    order: str
    site: str
    tool: str
    args: Mapping[str, Value]
    visit: int
    then: Handler | None
    otherwise: Handler | None
    unknown: Handler | None
    unknown_is_failure: bool
    caller: Caller
    ended: bool = False


class Armed(Struct, frozen=True):
    """A timer that runs, or a `whenever` whose condition holds.

    `due` is a time in milliseconds, `None` for an `at` whose field is `none` or that has fired. `stamp` is the entity's
    version when it was armed; `period_ms` belongs to `every`. The caller of a `whenever` is who made it due.
    """

    timer: str
    due: int | None
    stamp: int
    caller: Caller
    period_ms: int | None = None


class Deferred(Struct, frozen=True):
    """An outcome or a send that waits until the entity has left the state. Held in order of arrival."""

    id: str
    action: str
    params: Mapping[str, Value]
    caller: Caller
    place: str
    """The site of the place whose `defer` holds it; empty once the entity has left it, and the one may be offered."""


class Snapshot(Struct, frozen=True):
    """One entity at a moment. `fields` are in the order of their declaration. `version` counts its entries from 1."""

    entity: str
    id: str
    state: str
    fields: Mapping[str, Value]
    version: int
    visit: int
    """Counts the moves to a state; a call belongs to the visit in which it was made."""
    created_at: int
    updated_at: int
    calls: tuple[Pending, ...] = ()
    timers: tuple[Armed, ...] = ()
    deferred: tuple[Deferred, ...] = ()


# --- events -----------------------------------------------------------------------------------------------------------


class Act(Struct, frozen=True):
    """Somebody asks for an action. For a creating one the snapshot is `None` and `entity_id` is the id it shall have.

    `id` is the event's own: what it orders and creates is named after it. `at` is now, in milliseconds. `by_system` is
    set by `create` and `with` alone: then `system` acts, on behalf of the caller.
    """

    id: str
    at: int
    action: str
    params: Mapping[str, Value]
    caller: Caller
    entity: str
    entity_id: str
    by_system: bool = False
    consent: Consent | None = None


class Ending(Enum):
    """How a call ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Outcome(Struct, frozen=True):
    """A call has ended. `order` is the pending call's; `results` are the tool's, decoded.

    A failure has a kind and a text.
    """

    id: str
    at: int
    order: str
    ending: Ending
    results: Mapping[str, Value] = field(default_factory=dict)
    error_kind: str = ""
    error_text: str = ""


class Fire(Struct, frozen=True):
    """A timer or a `whenever` is due. One whose `stamp` is not that of the armed one does nothing (`Why.STALE`)."""

    id: str
    at: int
    timer: str
    stamp: int


class Deliver(Struct, frozen=True):
    """A send arrives. `order` is the send's id."""

    id: str
    at: int
    order: str
    action: str
    params: Mapping[str, Value]
    caller: Caller
    entity: str
    entity_id: str


class Offer(Struct, frozen=True):
    """A deferred one is offered again, since the entity has left the state that deferred it."""

    id: str
    at: int
    deferred: str


Event: TypeAlias = Act | Outcome | Fire | Deliver | Offer


# --- answers ----------------------------------------------------------------------------------------------------------


class Move(Struct, frozen=True):
    """A case that was taken: the action's, then those of routes."""

    action: str
    case: str
    before: str
    """A state, or "new"."""
    after: str
    params: Mapping[str, Value]
    entered: bool
    """Whether a state was entered (the case has a `to`)."""


class CallOrder(Struct, frozen=True):
    """Carry out a call; everything about it is in the snapshot's `Pending` of this order."""

    pending: Pending


class SendOrder(Struct, frozen=True):
    order: str
    site: str
    entity: str
    entity_id: str
    action: str
    params: Mapping[str, Value]
    caller: Caller

    @property
    def to(self) -> str:
        """Return the action that it asks for, and of whom: `Entity/id.Action`."""
        return f"{self.entity}/{self.entity_id}.{self.action}"


class Creation(Struct, frozen=True):
    """An entity that is created in the same commit: take `event` (an `Act` by `system`) on nothing."""

    site: str
    event: Act


class Join(Struct, frozen=True):
    """An action that another entity takes in the same commit: take `event` (an `Act` by `system`) on it."""

    site: str
    entity: str
    id: str
    event: Act


class Emitted(Struct, frozen=True):
    event: str
    params: Mapping[str, Value]
    site: str


class How(Enum):
    """What became of an event that was taken in."""

    TAKEN = "taken"
    """Its action was taken."""
    LATE = "late"
    """It was late, and `late ... do` took another action."""
    IGNORED = "ignored"
    """It was late and `late ... ignore` says so, or its handler is `_`."""
    DEFERRED = "deferred"
    """`defer` keeps it."""
    DEAD = "dead"
    """It was late and nothing says what becomes of it: a dead letter. An `Outcome` is still recorded."""


class Accepted(Struct, frozen=True):
    """What the event does. `moves` is empty where no action was taken (ignored, deferred, dead)."""

    after: Snapshot
    how: How
    moves: tuple[Move, ...]
    caller: Caller
    actor: str
    """The role that admitted the caller, "anyone", "system", or "named" where `by` named the principal."""
    orders: tuple[CallOrder | SendOrder, ...] = ()
    creates: tuple[Creation, ...] = ()
    emitted: tuple[Emitted, ...] = ()
    late: str | None = None
    """Why it was late, in words, where it was."""
    joins: tuple[Join, ...] = ()
    """What others take with it: both or neither, so that this alone is not the whole."""


class Why(Enum):
    """The one reason why an event was refused."""

    UNKNOWN_ACTION = "unknown action"
    BAD_PARAMS = "bad parameters"
    DENIED = "denied"
    FORBIDDEN = "policy"
    PAUSED = "paused"
    NOT_HERE = "no case"
    GUARD = "guard"
    OUT_OF_TYPE = "out of type"
    DIVISION = "division by zero"
    CREATE_REFUSED = "create refused"
    JOINT_REFUSED = "joint action refused"
    TWICE = "twice in one commit"
    BREAKS = "breaks a property"
    NOT_UNIQUE = "not unique"
    KEY = "key taken"
    STALE = "stale"
    FINISHED = "finished"
    EXISTS = "exists"
    MISSING = "missing"


class Refused(Struct, frozen=True):
    """The table says no. `text` is for the caller; `site` is the clause that refused.

    OUT_OF_TYPE, DIVISION, TWICE and BREAKS are faults of the blueprint.
    """

    why: Why
    text: str
    site: str | None = None
    action: str | None = None
    policies: tuple[str, ...] = ()
    """The ids of the policies that forbid it, for FORBIDDEN; of a pause, for PAUSED."""


FAULTS = frozenset({Why.OUT_OF_TYPE, Why.DIVISION, Why.TWICE, Why.BREAKS})
