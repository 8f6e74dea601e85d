"""The transition table: what a blueprint means, as plain data.

A `Table` holds a whole bundle. It is made by `compile_machine` from a checked machine, has one canonical JSON form
(`dump`, `load`, `digest` in `form.py`), and is all that the kernel, the verifier and the runtime ever see.

Two shapes are nested tuples of JSON atoms and nothing else, so that they can be hashed, compared and printed:

**Types.** `("bool",)` `("int", low, high)` `("decimal", low, high)` (ends are `None` where open; a decimal's are strings)
`("string",)` `("time",)` `("duration",)` `("one_of", (values))` `("principal",)` `("ref", Entity)` `("record", Name)`
`("set", T, max)` `("list", T, max)` `("map", K, V, max)` `("optional", T)`.

**Values** at run time: `bool`, `int`, `Decimal`, `str` (strings, enumeration values, principals, references), times and
durations as `int` milliseconds (times since 1970 UTC), `None`, sets as `frozenset`, lists as `tuple`, maps as a tuple of
`(key, value)` sorted by key in canonical order, records as a tuple in the order of their declaration. Canonical order is by
value: numbers by size, strings by code point, `False < True`, `None` first, tuples by their parts, sets by their sorted parts.

**Expressions.** `(op, ...)`:

| op | means |
|---|---|
| `("lit", T, json)` | a literal of type T, encoded as on the wire |
| `("none", T)` | `none` of type `("optional", T)` |
| `("some", e)` / `("value", e)` | a `T` taken as a `T?` / a `T?` known to be there, as a `T` |
| `("to_decimal", e)` | an int as a decimal |
| `("field", f)` `("param", p)` `("let", n)` `("var", x)` | own field, the action's parameter, a derived value (the action's lets hide the entity's), a bound variable |
| `("created", n)` | the reference named by `create ... as n` in this action |
| `("this",)` `("id",)` `("created_at",)` `("now",)` `("caller",)` `("acts_for",)` | as in the language |
| `("result", r)` `("error", "kind" / "text")` | in the arguments of outcomes alone |
| `("in_state", (states))` | own state is one of these (groups are expanded) |
| `("has_role", r)` | the caller holds role r |
| `("before", e)` | e in the state before the step; properties only |
| `("action_is", Entity, action)` | the step took this action on (one of) this entity; properties only |
| `("read", e, Entity, f)` `("read_in", e, Entity, (states))` | a field, the state, behind a reference |
| `("inverse", n)` `("every", Entity)` | an inverse set; all of a kind (properties only) |
| `("not", e)` `("and", a, b)` `("or", a, b)` `("implies", a, b)` `("if", c, a, b)` | left to right, lazy |
| `("==", a, b)` `("!=", ..)` `("<", ..)` `("<=", ..)` `(">", ..)` `(">=", ..)` | values of one type |
| `("in", x, c)` | element of a set or list, key of a map |
| `("??", a, b)` | a, or b where a is `none` |
| `("+", a, b)` `("-", ..)` `("*", ..)` `("//", ..)` `("%", ..)` `("neg", a)` | numbers, times and durations; `//` and `%` floor; division by zero refuses the action |
| `("concat", a, b)` | strings, lists |
| `("union", a, b)` `("minus", a, b)` `("intersect", a, b)` | sets |
| `("size", c)` `("min", a, b)` `("max", a, b)` | |
| `("dot", e, Record, f)` | a record's field |
| `("index", list, i)` `("get", map, k)` | a `T?` |
| `("put", map, k, v)` | the map with k set |
| `("set", T, (items))` `("list", T, (items))` `("map", K, V, ((k, v), ...))` `("record", Name, (values))` | made; T, K, V are of the elements |
| `("to_set", list)` | |
| `("all", x, c, e)` `("any", ..)` `("count", ..)` `("sum", ..)` `("first", ..)` | quantifiers over sets, lists, maps (their keys); `first` is a `T?` |
| `("filter", x, c, e)` `("map_set", x, c, e)` `("map_list", x, c, e)` | comprehensions |

Sites. Everything that can be pointed at has a `site`, a stable path such as `Rollout.Moved/from/0`; `Notes` says where in
the text it stands. Notes are not part of the digest.
"""  # noqa: E501 - rows of tables can't be broken

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

Type: TypeAlias = tuple[Any, ...]
Expr: TypeAlias = tuple[Any, ...]
Args: TypeAlias = tuple[tuple[str, Expr], ...]

FORMAT = 1


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of a table."""


class Param(Plain, frozen=True):
    name: str
    type: Type
    default: Expr | None = None


class Retry(Plain, frozen=True):
    """`count` attempts more, `every_ms` apart, growing to `up_to_ms` where that is given."""

    count: int
    every_ms: int
    up_to_ms: int | None = None


class Tool(Plain, frozen=True):
    name: str
    site: str
    params: tuple[Param, ...]
    results: tuple[Param, ...]
    timeout_ms: int  # for one attempt
    retry: Retry | None
    idempotent: bool
    wasm: str | None


class Event(Plain, frozen=True):
    name: str
    params: tuple[Param, ...]


class By(Plain, frozen=True):
    """Who may: `kind` is "role", "system", "anyone", or "who": a principal, a `principal?` or a set of them."""

    kind: str
    role: str | None = None
    who: Expr | None = None


class Guard(Plain, frozen=True):
    site: str
    condition: Expr
    otherwise: str | None


class Let(Plain, frozen=True):
    name: str
    type: Type
    value: Expr


class Handler(Plain, frozen=True):
    """An action of this entity, to be taken by `system`, and its arguments. Those left out take their default."""

    action: str
    args: Args = ()


class Clause(Plain, frozen=True, tag_field="do"):
    """What an action does, in text order. All expressions read the state before (those of `on entry`, after)."""

    site: str


class Set(Clause, frozen=True, tag="set"):
    field: str
    value: Expr  # `+=`, `m[k] = v` and the like are spelt out


class Call(Clause, frozen=True, tag="call"):
    """`then`, `otherwise`, `unknown`: `None` where the author wrote `_`.

    `unknown_is_failure`: `unknown` is not written, so `else` has it.
    """

    tool: str
    args: Args
    then: Handler | None
    otherwise: Handler | None
    unknown: Handler | None
    unknown_is_failure: bool


class Send(Clause, frozen=True, tag="send"):
    target: Expr
    entity: str
    action: str
    args: Args


class With(Clause, frozen=True, tag="with"):
    target: Expr
    entity: str
    action: str
    args: Args


class Create(Clause, frozen=True, tag="create"):
    entity: str
    action: str
    args: Args
    name: str | None


class Emit(Clause, frozen=True, tag="emit"):
    event: str
    args: Args


class For(Clause, frozen=True, tag="for"):
    var: str
    over: Expr
    body: tuple[AnyClause, ...]


class If(Clause, frozen=True, tag="if"):
    condition: Expr
    body: tuple[AnyClause, ...]


AnyClause: TypeAlias = Set | Call | Send | With | Create | Emit | For | If


class Case(Plain, frozen=True):
    """`froms` are states (groups, `any` and `all` expanded) or "new". `to` is `None` where the state stays."""

    site: str
    froms: tuple[str, ...]
    to: str | None
    by: tuple[By, ...] = ()  # none: the action's own
    when: tuple[Guard, ...] = ()
    lets: tuple[Let, ...] = ()
    body: tuple[AnyClause, ...] = ()


class Action(Plain, frozen=True):
    """Who, guards and clauses hold for each of its cases. `by` may be empty only if every case has one."""

    name: str
    site: str
    params: tuple[Param, ...]
    by: tuple[By, ...]
    when: tuple[Guard, ...]
    lets: tuple[Let, ...]
    body: tuple[AnyClause, ...]
    cases: tuple[Case, ...]


class Timer(Plain, frozen=True):
    """`kind`: "after" and "every" have a `duration`, "at" a time `field`. The site is its identity."""

    site: str
    kind: str
    duration: Expr | None
    field: str | None
    handler: Handler


class Whenever(Plain, frozen=True):
    site: str
    condition: Expr
    handler: Handler


class Late(Plain, frozen=True):
    """`handler` is `None` for `ignore`; its arguments may read the parameters of the late one."""

    site: str
    actions: tuple[str, ...]
    handler: Handler | None


class Place(Plain, frozen=True):
    """What belongs to one state, or to one group (`group`).

    A state is entered by every move to it, a group from outside only.

    An `in` line that names several makes a place of each. Places stand in the order of the text.
    """

    site: str
    name: str
    group: bool
    states: tuple[str, ...]
    entry: tuple[AnyClause, ...] = ()
    exit: tuple[AnyClause, ...] = ()
    route: Handler | None = None
    timers: tuple[Timer, ...] = ()
    whenevers: tuple[Whenever, ...] = ()
    late: tuple[Late, ...] = ()
    defer: tuple[str, ...] = ()


class Field(Plain, frozen=True):
    name: str
    type: Type
    default: Expr | None = None


class Inverse(Plain, frozen=True):
    name: str
    entity: str
    field: str
    max: int


class Unique(Plain, frozen=True):
    site: str
    fields: tuple[str, ...]
    ever: bool


class Entity(Plain, frozen=True):
    name: str
    site: str
    states: tuple[str, ...]
    final: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    fields: tuple[Field, ...]
    lets: tuple[Let, ...]
    inverses: tuple[Inverse, ...]
    uniques: tuple[Unique, ...]
    key: tuple[str, ...]
    actions: dict[str, Action]
    places: tuple[Place, ...]
    late: tuple[Late, ...]  # everywhere


class Property(Plain, frozen=True, tag_field="kind"):
    """`name` is the author's title, or the property as the formatter writes it. `entity`: it stands in this one."""

    site: str
    name: str
    entity: str | None


class Always(Property, frozen=True, tag="always"):
    """`step`: it speaks of a step (`before`, `action is`); one that reads `before` is not asked of creation."""

    condition: Expr
    step: bool
    reads_before: bool


class Eventually(Property, frozen=True, tag="eventually"):
    froms: tuple[str, ...]
    to: tuple[str, ...]
    responds: tuple[str, ...]  # roles
    succeeds: tuple[str, ...]  # tools


class Never(Property, frozen=True, tag="never"):
    role: str
    states: tuple[str, ...]


class Needs(Property, frozen=True, tag="needs"):
    states: tuple[str, ...]
    count: int
    role: str | None
    by: tuple[str, ...]
    besides: str | None
    since: tuple[str, ...]


class CanReach(Property, frozen=True, tag="can_reach"):
    states: tuple[str, ...]


AnyProperty: TypeAlias = Always | Eventually | Never | Needs | CanReach


class ScopeItem(Plain, frozen=True):
    entity: str
    field: str | None
    count: int | None
    low: int | None
    high: int | None


class Expect(Plain, frozen=True):
    """`kind`: "state" (`text`), "denied", "refused" (`text` or any), "any", "names" (`text`), "holds" (`condition`)."""

    kind: str
    text: str | None = None
    condition: Expr | None = None


class Step(Plain, frozen=True, tag_field="step"):
    site: str


class ActStep(Step, frozen=True, tag="act", omit_defaults=True):
    """`target` is the scenario's name for an entity; `None` where the step creates one, which `creates` may name."""

    roles: tuple[str, ...]
    principal: str | None
    entity: str
    target: str | None
    creates: str | None
    action: str
    args: Args
    expect: tuple[Expect, ...]
    acts_for: str | None = None


class GivenStep(Step, frozen=True, tag="given"):
    entity: str
    name: str
    state: str
    fields: Args


class ToolStep(Step, frozen=True, tag="tool"):
    """The oldest open call of `tool` ends so. `verb`: "fails" (`text`), "answers" (`args`), "times_out"."""

    tool: str
    verb: str
    text: str | None
    args: Args
    expect: tuple[Expect, ...]


class WaitStep(Step, frozen=True, tag="wait"):
    ms: int
    expect: tuple[Expect, ...]


class CheckStep(Step, frozen=True, tag="check"):
    condition: Expr


class EmittedStep(Step, frozen=True, tag="emitted"):
    event: str
    args: Args


AnyStep: TypeAlias = ActStep | GivenStep | ToolStep | WaitStep | CheckStep | EmittedStep


class Scenario(Plain, frozen=True):
    """In its expressions, `("var", r)` is the reference that `r` names."""

    site: str
    title: str
    steps: tuple[AnyStep, ...]


class UpgradeEntity(Plain, frozen=True):
    entity: str
    becomes: dict[str, str]
    sets: tuple[Set, ...]
    drops: tuple[str, ...]


class Upgrade(Plain, frozen=True):
    from_version: int
    entities: tuple[UpgradeEntity, ...]


class Role(Plain, frozen=True):
    name: str
    excludes: tuple[str, ...]  # both ways


class Notes(Plain, frozen=True):
    """What people see and the digest does not: the texts, the place of each site in them, and the descriptions.

    A place is (file, start, end) in characters. A description's key is a site, or `Entity.field`'s.
    """

    sources: dict[str, str] = {}
    places: dict[str, tuple[str, int, int]] = {}
    descriptions: dict[str, str] = {}


class Policy(Plain, frozen=True):
    """A Cedar policy of the bundle. `form` is Cedar's own JSON form of it, in canonical order.

    `otherwise` is what a caller is told where it forbids: its `@else`.
    """

    id: str
    """Its `@id`, or the file's name and its number there from 1, as in `freeze.cedar/1`."""
    site: str
    """"policy/" and its id."""
    effect: str
    """"permit" or "forbid"."""
    text: str
    form: str
    otherwise: str | None = None


class Canary(Plain, frozen=True):
    """Some of the entities created since a time live by another table: see `temper.table.canary`."""

    number: int
    """The version beside which it is: the one in force without it."""
    since: int
    share: int
    """Of the entities of these kinds, by their ids: so many of 10,000."""
    named: tuple[str, ...]
    """The ones that are in it whatever the share, as "Kind/id"."""
    kinds: tuple[str, ...]
    table: Table


class Table(Plain, frozen=True, dict=True):
    """A whole bundle. Compare by `digest`; two tables with one digest do the same."""

    format: int
    blueprint: str
    roles: tuple[Role, ...]
    records: dict[str, tuple[Param, ...]]
    tools: dict[str, Tool]
    events: dict[str, Event]
    entities: dict[str, Entity]
    properties: tuple[AnyProperty, ...]
    scope: tuple[ScopeItem, ...]
    scenarios: tuple[Scenario, ...]
    upgrades: tuple[Upgrade, ...]
    modules: dict[str, str] = {}
    """Digests of the bundle's WASM modules, by file name."""
    policies: tuple[Policy, ...] = ()
    canary: Canary | None = None
    notes: Notes = Notes()
