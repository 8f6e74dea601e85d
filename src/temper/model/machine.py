"""What a blueprint means, before it is lowered: names resolved, expressions typed, every part with its place.

States stand alone: groups, `any` and `all` are expanded. What the author abbreviated in an expression
(`+=`, `m[k] = v`, `set a`) is spelt out. Only how the parts are laid out in a table is left to `compile_machine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from temper.model.typed import Args, Typed
from temper.model.types import Type
from temper.model.world import Param, World
from temper.text import Span


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    excludes: tuple[str, ...]
    """Both ways, in order of name."""
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Retry:
    count: int
    every_ms: int
    up_to_ms: int | None


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    params: tuple[Param, ...]
    results: tuple[Param, ...]
    timeout_ms: int
    retry: Retry | None
    idempotent: bool
    wasm: str | None
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    fields: tuple[Param, ...]
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Event:
    """Declared, or by use (then its place is that of the first `emit`)."""

    name: str
    params: tuple[Param, ...]
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class By:
    """`kind` is "role", "system", "anyone" or "who" (a principal, a `principal?` or a set of principals)."""

    kind: str
    role: str | None
    who: Typed | None
    span: Span


@dataclass(frozen=True, slots=True)
class Guard:
    condition: Typed
    otherwise: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Let:
    name: str
    value: Typed
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Handler:
    action: str
    args: Args
    span: Span


# --- clauses ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Set:
    field: str
    value: Typed
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """A handler is `None` where the author wrote `_`. `unknown_is_failure`: not written, so `else` has it."""

    tool: str
    args: Args
    then: Handler | None
    otherwise: Handler | None
    unknown: Handler | None
    unknown_is_failure: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Send:
    target: Typed
    entity: str
    action: str
    args: Args
    span: Span


@dataclass(frozen=True, slots=True)
class With:
    target: Typed
    entity: str
    action: str
    args: Args
    span: Span


@dataclass(frozen=True, slots=True)
class Create:
    entity: str
    action: str
    args: Args
    name: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Emit:
    event: str
    args: Args
    span: Span


@dataclass(frozen=True, slots=True)
class For:
    var: str
    over: Typed
    body: tuple[Clause, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class If:
    condition: Typed
    body: tuple[Clause, ...]
    span: Span


Clause: TypeAlias = Set | Call | Send | With | Create | Emit | For | If


# --- entities ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """`froms` are states or "new"; `to` is `None` where the state stays; `by` is empty where the action's holds."""

    froms: tuple[str, ...]
    to: str | None
    by: tuple[By, ...]
    when: tuple[Guard, ...]
    lets: tuple[Let, ...]
    body: tuple[Clause, ...]
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Action:
    """`by` is the action's own, or the entity's where it has none."""

    name: str
    params: tuple[Param, ...]
    by: tuple[By, ...]
    when: tuple[Guard, ...]
    lets: tuple[Let, ...]
    body: tuple[Clause, ...]
    cases: tuple[Case, ...]
    span: Span
    """The action's name."""
    description: str


@dataclass(frozen=True, slots=True)
class Timer:
    """`kind`: "after" and "every" have a `duration`, "at" a `field`."""

    kind: str
    duration: Typed | None
    field: str | None
    handler: Handler
    span: Span


@dataclass(frozen=True, slots=True)
class Whenever:
    condition: Typed
    handler: Handler
    span: Span


@dataclass(frozen=True, slots=True)
class Late:
    """`handler` is `None` for `ignore`."""

    actions: tuple[str, ...]
    handler: Handler | None
    span: Span


@dataclass(frozen=True, slots=True)
class Route:
    handler: Handler
    span: Span


@dataclass(frozen=True, slots=True)
class Place:
    """What one `in` line says of one state or group; the line's several states have a place each."""

    name: str
    group: bool
    states: tuple[str, ...]
    entry: tuple[Clause, ...]
    exit: tuple[Clause, ...]
    route: Route | None
    timers: tuple[Timer, ...]
    whenevers: tuple[Whenever, ...]
    late: tuple[Late, ...]
    defer: tuple[str, ...]
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: Type
    default: Typed | None
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Inverse:
    name: str
    entity: str
    field: str
    max: int
    span: Span
    description: str


@dataclass(frozen=True, slots=True)
class Unique:
    fields: tuple[str, ...]
    ever: bool
    span: Span


@dataclass(frozen=True, slots=True)
class State:
    name: str
    span: Span
    description: str
    """That of its `states` line, where the state stands there alone."""


@dataclass(frozen=True, slots=True)
class Entity:
    """`lets` stand in an order in which each reads only those before it."""

    name: str
    states: tuple[State, ...]
    final: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    fields: tuple[Field, ...]
    lets: tuple[Let, ...]
    inverses: tuple[Inverse, ...]
    uniques: tuple[Unique, ...]
    key: tuple[str, ...]
    actions: tuple[Action, ...]
    places: tuple[Place, ...]
    late: tuple[Late, ...]
    """Those without `in`: they hold everywhere."""
    span: Span
    """The entity's name."""
    description: str


# --- properties -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """`name` is the author's title, or the property as the formatter writes it. `entity` may be missing."""

    name: str
    entity: str | None
    span: Span
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Always(Property):
    condition: Typed
    step: bool
    """Whether it speaks of a step (`before`, `action is`)."""
    reads_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Eventually(Property):
    froms: tuple[str, ...]
    to: tuple[str, ...]
    responds: tuple[str, ...]
    succeeds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Never(Property):
    role: str
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs(Property):
    states: tuple[str, ...]
    count: int
    role: str | None
    by: tuple[str, ...]
    besides: str | None
    since: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanReach(Property):
    states: tuple[str, ...]


AnyProperty: TypeAlias = Always | Eventually | Never | Needs | CanReach


@dataclass(frozen=True, slots=True)
class ScopeItem:
    entity: str
    field: str | None
    count: int | None
    low: int | None
    high: int | None


# --- scenarios --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expect:
    """`kind`: "state" (`text`), "denied", "refused" (`text` or any), "any", "names" (`text`), "holds" (`condition`)."""

    kind: str
    text: str | None = None
    condition: Typed | None = None


@dataclass(frozen=True, slots=True)
class ActStep:
    """`target` is the scenario's name for an entity, `None` where the step creates one (which `creates` may name)."""

    roles: tuple[str, ...]
    principal: str | None
    entity: str
    target: str | None
    creates: str | None
    action: str
    args: Args
    expect: tuple[Expect, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class GivenStep:
    entity: str
    name: str
    state: str
    fields: Args
    span: Span


@dataclass(frozen=True, slots=True)
class ToolStep:
    """`verb`: "fails" (`text`), "answers" (`args`), "times_out". A state expected here is of the entity that called."""

    tool: str
    verb: str
    text: str | None
    args: Args
    expect: tuple[Expect, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class WaitStep:
    ms: int
    expect: tuple[Expect, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class CheckStep:
    condition: Typed
    span: Span


@dataclass(frozen=True, slots=True)
class EmittedStep:
    """`args` may be some of the event's parameters only."""

    event: str
    args: Args
    span: Span


Step: TypeAlias = ActStep | GivenStep | ToolStep | WaitStep | CheckStep | EmittedStep


@dataclass(frozen=True, slots=True)
class Scenario:
    title: str
    steps: tuple[Step, ...]
    span: Span
    description: str


# --- upgrades ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UpgradeEntity:
    entity: str
    becomes: tuple[tuple[str, str], ...]
    sets: tuple[Set, ...]
    drops: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Upgrade:
    from_version: int
    entities: tuple[UpgradeEntity, ...]
    span: Span


# --- the whole --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Machine:
    """A whole bundle. Complete only if `check` found no error; `world` is what `check_expression` resolves names in."""

    name: str
    roles: tuple[Role, ...]
    records: tuple[Record, ...]
    tools: tuple[Tool, ...]
    events: tuple[Event, ...]
    entities: tuple[Entity, ...]
    properties: tuple[AnyProperty, ...]
    scope: tuple[ScopeItem, ...]
    scenarios: tuple[Scenario, ...]
    upgrades: tuple[Upgrade, ...]
    world: World
