"""What each name stands for: all that an expression or a clause can refer to.

Filled in as the declarations are read; nothing in it changes once `check` has returned.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct, field

from temper.model.typed import Typed
from temper.model.types import OptionalT, Type, UnknownT
from temper.syntax import tree
from temper.text import Span


class Param(Struct, frozen=True):
    """A parameter, a tool's result or a record's field."""

    name: str
    type: Type
    default: Typed | None
    span: Span

    @property
    def may_be_left_out(self) -> bool:
        return self.default is not None or isinstance(self.type, OptionalT)


class Action(Struct):
    """What others need to know of an action: what it takes, from where it goes, and whether `system` may take it."""

    name: str
    node: tree.Action
    params: tuple[Param, ...] = ()
    creates: bool = False
    """It has a case from `new`."""
    moves: bool = False
    """It has another case."""
    system_creates: bool = False
    system_moves: bool = False
    system_alone: bool = False
    """Nobody else may take any of its cases."""
    says_who: bool = False
    """Each of its cases, of which it has some, says who may take it."""


class Field(Struct):
    name: str
    node: tree.Field
    type: Type
    span: Span
    has_default: bool
    description: str = ""

    @property
    def must_be_set(self) -> bool:
        """Whether every creating action has to give it a value."""
        return not self.has_default and not isinstance(self.type, OptionalT | UnknownT)


class Let(Struct):
    name: str
    node: tree.Let
    value: Typed | None = None
    """`None` until it is first asked for."""


class Inverse(Struct):
    name: str
    node: tree.Inverse
    entity: str
    field: str
    max: int
    span: Span


class Entity(Struct):
    name: str
    node: tree.Entity
    states: dict[str, Span] = field(default_factory=dict)
    final: dict[str, Span] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    group_spans: dict[str, Span] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)
    lets: dict[str, Let] = field(default_factory=dict)
    let_order: list[str] = field(default_factory=list)
    """The lets whose value is known; each reads only those before it."""
    inverses: dict[str, Inverse] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    actions: dict[str, Action] = field(default_factory=dict)

    def expand(self, name: str) -> tuple[str, ...] | None:
        """Return the states that `name` (a state or a group) stands for, `None` if it is neither."""
        if name in self.states:
            return (name,)
        return self.groups.get(name)


class Tool(Struct):
    name: str
    params: tuple[Param, ...]
    results: tuple[Param, ...]
    span: Span
    node: tree.Tool | None


class Event(Struct):
    """`declared`: by an `event` line, not by use."""

    name: str
    params: tuple[Param, ...]
    span: Span
    declared: bool
    description: str = ""


class Record(Struct):
    name: str
    node: tree.Record
    fields: tuple[Param, ...] | None = None


class Phase(Enum):
    """How far a name whose meaning is worked out on demand has come; met again while it is open, it is in a cycle."""

    WAITING = "waiting"
    OPEN = "open"
    DONE = "done"


class Alias(Struct):
    name: str
    node: tree.TypeDecl
    type: Type | None = None
    phase: Phase = Phase.WAITING


class Const(Struct):
    name: str
    node: tree.Const
    value: Typed | None = None
    phase: Phase = Phase.WAITING


class World(Struct):
    roles: dict[str, Span] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    consts: dict[str, Const] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
