"""The journal's entry: the third of our five formats. What is stored is never rewritten.

An entry says what changed and which table's digest decided it, in encoded values (`temper.table.encode`): it can be
read without that table. State is the fold of entries: a later table changes nothing in them.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec


class Cause(Enum):
    """Where an entry comes from."""

    REQUEST = "request"
    OUTCOME = "outcome"
    TIMER = "timer"
    SEND = "send"
    OFFER = "offer"
    CREATE = "create"
    """Created by another entity, in the same commit."""
    WITH = "with"
    """Taken along by another entity's action, in the same commit."""
    SWAP = "swap"
    """Carried over to another table."""
    OPERATOR = "operator"
    """Somebody has an order of it tried again, or gives one up."""


class Who(msgspec.Struct, frozen=True, omit_defaults=True):
    principal: str
    roles: tuple[str, ...] = ()
    acts_for: str | None = None


class Consented(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decision by which the action was taken: `by` said yes to what `asked` wanted."""

    decision: str
    asked: Who
    by: Who


class Moved(msgspec.Struct, frozen=True, omit_defaults=True):
    """A case taken: `action`, from `before` to `after`, by the case at `site`."""

    action: str
    before: str
    after: str
    site: str
    params: dict[str, Any] = {}
    entered: bool = False


class Ordered(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call or a send that went out. `to` is "ns.op", or "Entity/id.Action"."""

    order: str
    kind: str
    to: str
    args: dict[str, Any] = {}
    site: str = ""


class Published(msgspec.Struct, frozen=True, omit_defaults=True):
    event: str
    params: dict[str, Any] = {}


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ending of a call that this entry records; `number` is 0, or 1 for the correction."""

    order: str
    tool: str
    ending: str
    number: int = 0
    results: dict[str, Any] = {}
    error_kind: str = ""
    error_text: str = ""


class Operated(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order that an operator did something about: what it was, and what had become of it by then.

    `kind` is "call", "send", or "" where the order had ended, and what came of it was a dead letter. `to` is that of
    `Ordered`; `text` is what had gone wrong, `note` why the operator did it.
    """

    order: str
    kind: str = ""
    to: str = ""
    text: str = ""
    note: str = ""

    @property
    def receiver(self) -> tuple[str, str] | None:
        """Whom a send goes to, `None` where it is none."""
        if self.kind != "send":
            return None
        entity, _, rest = self.to.partition("/")
        return entity, rest.rpartition(".")[0]


class No(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why it was refused."""

    why: str
    text: str
    site: str | None = None
    policies: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that happened to one entity, or that was refused.

    `seq` is dense in the space and set by the store when it appends (0 before). `version` is the entity's after it
    (for a refusal, the one it had). `set` holds the new values of the fields that changed, encoded; `was` their old
    ones (a field that is in `was` alone was dropped by a swap). `how` is that of `Accepted`, or "refused", or "retried"
    and "discarded" of what an operator did. `params` are the first move's, those that took their default included; of a
    refusal, what was asked.
    """

    # What is absent is 1, for ever; a later format writes its number. It is 2 where an order is made, ends or has no
    # place: then whatever an operator does about it is told in another entry, which none was before.
    format: int = 1
    seq: int = 0
    at: int
    entity: str
    id: str
    version: int
    digest: str
    cause: Cause
    event: str
    """The id of the event, or the order's for outcomes and sends."""
    caused_by: str | None = None
    """For a creation and a joint action: the event of the entry that asked for it."""
    how: str
    action: str | None = None
    params: dict[str, Any] = {}
    actor: str = ""
    by: Who
    before: str
    after: str
    moves: tuple[Moved, ...] = ()
    set: dict[str, Any] = {}
    was: dict[str, Any] = {}
    orders: tuple[Ordered, ...] = ()
    emitted: tuple[Published, ...] = ()
    ended: Ended | None = None
    timer: str | None = None
    late: str | None = None
    refused: No | None = None
    consent: Consented | None = None
    operated: Operated | None = None

    @property
    def changes(self) -> bool:
        """Whether it has made another of the entity: a refusal has not, nor what an operator does about its orders."""
        return self.refused is None and self.operated is None
