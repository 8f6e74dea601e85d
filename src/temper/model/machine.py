"""What a blueprint means, before it is lowered: names resolved, expressions typed, every part with its place.

States stand alone: groups, `any` and `all` are expanded. What the author abbreviated in an expression
(`+=`, `m[k] = v`, `set a`) is spelt out. Only how the parts are laid out in a table is left to `compile_machine`.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from temper.model.typed import Args, Typed
from temper.model.types import Type
from temper.model.world import Param, World
from temper.text import Span


class Role(Struct, frozen=True):
    name: str
    excludes: tuple[str, ...]
    """Both ways, in order of name."""
    span: Span
    description: str


class Retry(Struct, frozen=True):
    count: int
    every_ms: int
    up_to_ms: int | None


class Tool(Struct, frozen=True):
    name: str
    params: tuple[Param, ...]
    results: tuple[Param, ...]
    timeout_ms: int
    retry: Retry | None
    idempotent: bool
    wasm: str | None
    span: Span
    description: str


class Record(Struct, frozen=True):
    name: str
    fields: tuple[Param, ...]
    span: Span
    description: str


class Event(Struct, frozen=True):
    """Declared, or by use (then its place is that of the first `emit`)."""

    name: str
    params: tuple[Param, ...]
    span: Span
    description: str


class By(Struct, frozen=True):
    """`kind` is "role", "system", "anyone" or "who" (a principal, a `principal?` or a set of principals)."""

    kind: str
    role: str | None
    who: Typed | None
    span: Span


class Guard(Struct, frozen=True):
    condition: Typed
    otherwise: str | None
    span: Span


class Let(Struct, frozen=True):
    name: str
    value: Typed
    span: Span
    description: str


class Handler(Struct, frozen=True):
    action: str
    args: Args
    span: Span


# --- clauses ----------------------------------------------------------------------------------------------------------


class Set(Struct, frozen=True):
    field: str
    value: Typed
    span: Span


class Call(Struct, frozen=True):
    """A handler is `None` where the author wrote `_`. `unknown_is_failure`: not written, so `else` has it."""

    tool: str
    args: Args
    then: Handler | None
    otherwise: Handler | None
    unknown: Handler | None
    unknown_is_failure: bool
    span: Span


class Send(Struct, frozen=True):
    target: Typed
    entity: str
    action: str
    args: Args
    span: Span


class With(Struct, frozen=True):
    target: Typed
    entity: str
    action: str
    args: Args
    span: Span


class Create(Struct, frozen=True):
    entity: str
    action: str
    args: Args
    name: str | None
    span: Span


class Emit(Struct, frozen=True):
    event: str
    args: Args
    span: Span


class For(Struct, frozen=True):
    var: str
    over: Typed
    body: tuple[Clause, ...]
    span: Span


class If(Struct, frozen=True):
    condition: Typed
    body: tuple[Clause, ...]
    span: Span


Clause: TypeAlias = Set | Call | Send | With | Create | Emit | For | If


# --- entities ---------------------------------------------------------------------------------------------------------


class Case(Struct, frozen=True):
    """`froms` are states or "new"; `to` is `None` where the state stays; `by` is empty where the action's holds."""

    froms: tuple[str, ...]
    to: str | None
    by: tuple[By, ...]
    when: tuple[Guard, ...]
    lets: tuple[Let, ...]
    body: tuple[Clause, ...]
    span: Span
    description: str


class Action(Struct, frozen=True):
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


class Timer(Struct, frozen=True):
    """`kind`: "after" and "every" have a `duration`, "at" a `field`."""

    kind: str
    duration: Typed | None
    field: str | None
    handler: Handler
    span: Span


class Whenever(Struct, frozen=True):
    condition: Typed
    handler: Handler
    span: Span


class Late(Struct, frozen=True):
    """`handler` is `None` for `ignore`."""

    actions: tuple[str, ...]
    handler: Handler | None
    span: Span


class Route(Struct, frozen=True):
    handler: Handler
    span: Span


class Place(Struct, frozen=True):
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


class Field(Struct, frozen=True):
    name: str
    type: Type
    default: Typed | None
    span: Span
    description: str


class Inverse(Struct, frozen=True):
    name: str
    entity: str
    field: str
    max: int
    span: Span
    description: str


class Unique(Struct, frozen=True):
    fields: tuple[str, ...]
    ever: bool
    span: Span


class State(Struct, frozen=True):
    name: str
    span: Span
    description: str
    """That of its `states` line, where the state stands there alone."""


class Entity(Struct, frozen=True):
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


class Property(Struct, frozen=True, kw_only=True):
    """`name` is the author's title, or the property as the formatter writes it. `entity` may be missing."""

    name: str
    entity: str | None
    span: Span
    description: str


class Always(Property, frozen=True, kw_only=True):
    condition: Typed
    step: bool
    """Whether it speaks of a step (`before`, `action is`)."""
    reads_before: bool


class Eventually(Property, frozen=True, kw_only=True):
    froms: tuple[str, ...]
    to: tuple[str, ...]
    responds: tuple[str, ...]
    succeeds: tuple[str, ...]


class Never(Property, frozen=True, kw_only=True):
    role: str
    states: tuple[str, ...]


class Needs(Property, frozen=True, kw_only=True):
    states: tuple[str, ...]
    count: int
    role: str | None
    by: tuple[str, ...]
    besides: str | None
    since: tuple[str, ...]


class CanReach(Property, frozen=True, kw_only=True):
    states: tuple[str, ...]


AnyProperty: TypeAlias = Always | Eventually | Never | Needs | CanReach


class ScopeItem(Struct, frozen=True):
    entity: str
    field: str | None
    count: int | None
    low: int | None
    high: int | None


# --- scenarios --------------------------------------------------------------------------------------------------------


class Expect(Struct, frozen=True):
    """`kind`: "state" (`text`), "denied", "refused" (`text` or any), "any", "names" (`text`), "holds" (`condition`)."""

    kind: str
    text: str | None = None
    condition: Typed | None = None


class ActStep(Struct, frozen=True):
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
    acts_for: str | None = None


class GivenStep(Struct, frozen=True):
    entity: str
    name: str
    state: str
    fields: Args
    span: Span


class ToolStep(Struct, frozen=True):
    """`verb`: "fails" (`text`), "answers" (`args`), "times_out". A state expected here is of the entity that called."""

    tool: str
    verb: str
    text: str | None
    args: Args
    expect: tuple[Expect, ...]
    span: Span


class WaitStep(Struct, frozen=True):
    ms: int
    expect: tuple[Expect, ...]
    span: Span


class CheckStep(Struct, frozen=True):
    condition: Typed
    span: Span


class EmittedStep(Struct, frozen=True):
    """`args` may be some of the event's parameters only."""

    event: str
    args: Args
    span: Span


Step: TypeAlias = ActStep | GivenStep | ToolStep | WaitStep | CheckStep | EmittedStep


class Scenario(Struct, frozen=True):
    title: str
    steps: tuple[Step, ...]
    span: Span
    description: str


# --- upgrades ---------------------------------------------------------------------------------------------------------


class UpgradeEntity(Struct, frozen=True):
    entity: str
    becomes: tuple[tuple[str, str], ...]
    sets: tuple[Set, ...]
    drops: tuple[str, ...]
    span: Span


class Upgrade(Struct, frozen=True):
    from_version: int
    entities: tuple[UpgradeEntity, ...]
    span: Span


# --- the whole --------------------------------------------------------------------------------------------------------


class Machine(Struct, frozen=True):
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
