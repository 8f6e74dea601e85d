"""What a run consists of, as data: what people ask, what tools answer, how time goes, and what fails when.

A run is the fold of its decisions over a world, so that any of them can be left out: one that has nothing to be about
does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from temper.table import Ending
from temper.verify.simulate.disk import Ill


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks for an action; `params` are encoded. `stale` is how far its `If-Match` is behind, if it has one."""

    name: str
    """The event's id, and, where `keyed`, the idempotency key."""
    entity: str
    id: str
    action: str
    params: Mapping[str, Any]
    principal: str
    roles: tuple[str, ...]
    acts_for: str | None = None
    keyed: bool = False
    stale: int | None = None
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """A request is sent once more, under the same key. `other` asks for something else under it."""

    name: str
    first: str
    other: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """The host decides what waits, and what is due; `room` calls of each tool may start."""

    room: int = 8
    ill: Ill | None = None
    slow_ms: int = 0
    held: frozenset[tuple[str, str]] = frozenset()
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A tool ends an attempt. One that has ended already ends once more, in the same way."""

    order: str
    number: int
    ending: Ending
    results: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    text: str = ""
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    ms: int


@dataclass(frozen=True, slots=True)
class Crash:
    """The process dies and another one begins."""


@dataclass(frozen=True, slots=True)
class Swap:
    """The table to be is put in force; once it is, it is pushed again."""

    ill: Ill | None = None


@dataclass(frozen=True, slots=True)
class Operate:
    """An operator has an order tried again, or gives it up."""

    order: str
    discard: bool


Decision: TypeAlias = Ask | Again | Turn | Reply | Wait | Crash | Swap | Operate
