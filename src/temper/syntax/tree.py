"""The shape of a blueprint's text, before anything is known about its meaning.

One class for each thing that can be written. Spans and trivia (comments, blank lines) do not count when two trees are
compared: `parse(format(tree)) == tree`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from temper.text import Span

NOWHERE = Span("", 0, 0)


@dataclass(frozen=True, slots=True)
class Trivia:
    """What stands around a line and means nothing to the compiler."""

    above: tuple[str, ...] = ()
    """Comments directly above, without `#` and one space; an empty string is a bare `#`."""
    detached: tuple[tuple[str, ...], ...] = ()
    """Comment blocks further above, each parted from what follows by a blank line."""
    beside: str | None = None
    """The comment at the end of the line."""
    blank_before: bool = False
    """Whether the author left a blank line (or more) before it."""
    below: tuple[str, ...] = ()
    """Comments at the end of the block that this line opens, after its last line."""


NO_TRIVIA = Trivia()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything with a place."""

    span: Span = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Node):
    """Anything that can stand on a line of its own, and so can bear comments."""

    trivia: Trivia = field(default=NO_TRIVIA, compare=False, repr=False)

    @property
    def description(self) -> str:
        """Return the comments directly above, as one text with line ends."""
        return "\n".join(self.trivia.above).strip()


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A word of the author's."""

    text: str


# --- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bool(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class NoneValue(Node):
    """The word `none`."""


@dataclass(frozen=True, slots=True)
class Int(Node):
    value: int


@dataclass(frozen=True, slots=True)
class Dec(Node):
    """An exact decimal; `3.50` and `3.5` are the same value."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Str(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Duration(Node):
    """A literal such as `90s`, in milliseconds. `unit` is what the author wrote (`ms s m h d`)."""

    ms: int
    unit: str = field(default="ms", compare=False)


@dataclass(frozen=True, slots=True)
class Ref(Node):
    """A bare word: a field, a parameter, a constant, an enumeration's value, a state, ..."""

    name: Name


@dataclass(frozen=True, slots=True)
class Dot(Node):
    base: Expr
    name: Name


@dataclass(frozen=True, slots=True)
class Index(Node):
    base: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Arg(Node):
    """An argument; `name` when it is written `name: value`."""

    name: Name | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Apply(Node):
    """`f(x)`, `Line(sku: s)`, `before(E)`: a function, or a record made."""

    name: Name
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: str  # "not", "-"
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    op: str  # implies or and == != < <= > >= in "not in" ?? + - * // % &
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Is(Node):
    """`state is A`, `caller is operator`, `payment.state is not Captured`, `action is Entity.A`."""

    subject: Expr
    negated: bool
    what: Name
    entity: Name | None = None


@dataclass(frozen=True, slots=True)
class OneOfNames(Node):
    """`(A, B)` after `in`: states, groups, values or actions."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class IfExpr(Node):
    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class SetOf(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    """`{"a": 1, "b": 2}`. An empty `{}` is read as `SetOf(())`; the expected type decides what it is."""

    items: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True)
class Quantifier(Node):
    """`all x in s: e` and its kin."""

    kind: str  # all any count sum first
    var: Name
    over: Expr
    body: Expr


@dataclass(frozen=True, slots=True)
class Filter(Node):
    """`{x in s: e}`: those for which e holds."""

    var: Name
    over: Expr
    body: Expr


@dataclass(frozen=True, slots=True)
class Mapped(Node):
    """`{f for x in s}` (`kind` is "set") and `[f for x in s]` ("list")."""

    kind: str
    body: Expr
    var: Name
    over: Expr


@dataclass(frozen=True, slots=True)
class BadExpr(Node):
    """What could not be read; a problem has been reported."""


Expr: TypeAlias = (
    Bool | NoneValue | Int | Dec | Str | Duration | Ref | Dot | Index | Apply | Unary | Binary | Is | OneOfNames
    | IfExpr | SetOf | ListOf | MapOf | Quantifier | Filter | Mapped | BadExpr
)  # fmt: skip


# --- types ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType(Node):
    """`bool`, `string`, `time`, `duration`, `principal`, a `type`, a `record` or an entity."""

    name: Name


@dataclass(frozen=True, slots=True)
class NumberType(Node):
    """`int`, `int 0..64`, `decimal 0..`; an end that is `None` is open. Ends are literals or constants."""

    kind: str  # int decimal
    low: Expr | None = None
    high: Expr | None = None
    ranged: bool = False


@dataclass(frozen=True, slots=True)
class EnumType(Node):
    values: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class CollectionType(Node):
    kind: str  # set list
    element: TypeExpr
    max: Expr | None


@dataclass(frozen=True, slots=True)
class MapType(Node):
    key: TypeExpr
    value: TypeExpr
    max: Expr | None


@dataclass(frozen=True, slots=True)
class OptionalType(Node):
    inner: TypeExpr


@dataclass(frozen=True, slots=True)
class BadType(Node):
    """What could not be read; a problem has been reported."""


TypeExpr: TypeAlias = NamedType | NumberType | EnumType | CollectionType | MapType | OptionalType | BadType


@dataclass(frozen=True, slots=True)
class Param(Node):
    """A parameter or a record's field. Without a type it takes that of the field it is named after."""

    name: Name
    type: TypeExpr | None
    default: Expr | None = None


# --- clauses ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invoke(Node):
    """An action and what it is given: `Halt("no progress")`."""

    action: Name
    args: tuple[Arg, ...] = ()
    parens: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Nothing(Node):
    """`_`: in so many words, nothing follows."""


@dataclass(frozen=True, slots=True)
class SetItem(Node):
    """`f = e`, `f += e`, `f -= e`, `m[k] = e`; with `op` "copy", `f` alone (the parameter of that name)."""

    target: Name
    op: str  # = += -= copy
    value: Expr | None
    key: Expr | None = None


@dataclass(frozen=True, slots=True)
class Set(Line):
    items: tuple[SetItem, ...]


@dataclass(frozen=True, slots=True)
class Call(Line):
    """`call ns.op(args) then A(..) else B(..) unknown C`; `None` where a handler is not written."""

    tool: tuple[Name, ...]
    args: tuple[Arg, ...]
    then: Invoke | Nothing | None
    otherwise: Invoke | Nothing | None
    unknown: Invoke | Nothing | None


@dataclass(frozen=True, slots=True)
class Send(Line):
    """`send target.Action(args)`."""

    target: Expr
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class With(Line):
    """`with target.Action(args)`."""

    target: Expr
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class Create(Line):
    """`create Entity.Creating(args) as name`."""

    entity: Name
    invoke: Invoke
    name: Name | None


@dataclass(frozen=True, slots=True)
class Emit(Line):
    event: Name
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class For(Line):
    """`for x in xs: CLAUSE`, or with the clauses on deeper lines."""

    var: Name
    over: Expr
    body: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class If(Line):
    """`if E: CLAUSE`, or with the clauses on deeper lines."""

    condition: Expr
    body: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Do(Line):
    """`do A(args)`, as a route (`on entry do A`)."""

    invoke: Invoke


Clause: TypeAlias = Set | Call | Send | With | Create | Emit | For | If | Do


# --- actions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class By(Line):
    """`by who, who`: roles, `system`, `anyone`, or expressions (a principal or a set of them)."""

    who: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class When(Line):
    """`when E else "text"`."""

    condition: Expr
    otherwise: str | None


@dataclass(frozen=True, slots=True)
class Let(Line):
    """`let name = expr`, in an entity or in an action."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class From(Line):
    """A case: `from A, B to C when E else "..."`, with the clauses that belong to it, on its line or on deeper ones.

    `froms` are states or groups, or one of the words `new`, `any`, `all`.
    """

    froms: tuple[Name, ...]
    to: Name | None
    parts: tuple[By | When | Let | Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class Action(Line):
    """A move. `parts` are in the order in which they were written, on its own line or on deeper ones.

    `inline` counts the parts that stand on the action's own line.
    """

    name: Name
    params: tuple[Param, ...]
    parts: tuple[By | When | Let | From | Clause, ...]
    inline: int = field(default=0, compare=False)


# --- what belongs to states -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OnEntry(Line):
    clause: Clause


@dataclass(frozen=True, slots=True)
class OnExit(Line):
    clause: Clause


@dataclass(frozen=True, slots=True)
class After(Line):
    """`after D do A(args)`."""

    duration: Expr
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class At(Line):
    """`at field do A(args)`."""

    field: Name
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class Every(Line):
    """`every D do A(args)`."""

    duration: Expr
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class Whenever(Line):
    """`whenever EXPR do A(args)`."""

    condition: Expr
    invoke: Invoke


@dataclass(frozen=True, slots=True)
class Late(Line):
    """`late A, B ignore` (`invoke` is `None`) or `late A do C(args)`."""

    actions: tuple[Name, ...]
    invoke: Invoke | None


@dataclass(frozen=True, slots=True)
class Defer(Line):
    actions: tuple[Name, ...]


Stay: TypeAlias = OnEntry | OnExit | After | At | Every | Whenever | Late | Defer


@dataclass(frozen=True, slots=True)
class In(Line):
    """`in S, T` with what belongs to these states or groups."""

    states: tuple[Name, ...]
    parts: tuple[Stay, ...]


# --- properties -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateName(Node):
    """`Live`, or outside an entity `Rollout.Live`."""

    entity: Name | None
    state: Name


@dataclass(frozen=True, slots=True)
class Assume(Line):
    """`assume release_manager responds`, `assume kubernetes.set_partition succeeds`."""

    who: tuple[Name, ...]
    verb: str  # responds succeeds


@dataclass(frozen=True, slots=True)
class Always(Line):
    title: str | None
    condition: Expr


@dataclass(frozen=True, slots=True)
class Eventually(Line):
    """`eventually A leads to B, C`, with its assumptions."""

    title: str | None
    froms: tuple[StateName, ...]
    to: tuple[StateName, ...]
    assumes: tuple[Assume, ...] = ()


@dataclass(frozen=True, slots=True)
class Never(Line):
    """`never builder enters Live`."""

    title: str | None
    role: Name
    states: tuple[StateName, ...]


@dataclass(frozen=True, slots=True)
class Needs(Line):
    """`S needs 2 of ROLE by Approve besides author since Push`."""

    title: str | None
    state: StateName
    count: Expr
    role: Name | None
    by: tuple[Name, ...]
    besides: Name | None
    since: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class CanReach(Line):
    """`can reach S`; several states are several questions."""

    title: str | None
    states: tuple[StateName, ...]


Property: TypeAlias = Always | Eventually | Never | Needs | CanReach


# --- entities ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class States(Line):
    """`states A, B`: several such lines add up."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Final(Line):
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Group(Line):
    name: Name
    members: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Field(Line):
    name: Name
    type: TypeExpr
    default: Expr | None = None


@dataclass(frozen=True, slots=True)
class Inverse(Line):
    """`disputes: every Dispute.payment max 8`."""

    name: Name
    entity: Name
    field: Name
    max: Expr | None


@dataclass(frozen=True, slots=True)
class Unique(Line):
    fields: tuple[Name, ...]
    ever: bool = False


@dataclass(frozen=True, slots=True)
class Key(Line):
    fields: tuple[Name, ...]


EntityPart: TypeAlias = (
    States | Final | Group | Field | Let | Inverse | Unique | Key | By | Action | In | Late | Defer | Property
)


@dataclass(frozen=True, slots=True)
class Entity(Line):
    name: Name
    parts: tuple[EntityPart, ...]


# --- the top ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Role(Line):
    """`role a, b`."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Excludes(Line):
    """`role a excludes b, c`."""

    role: Name
    others: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class TypeDecl(Line):
    name: Name
    type: TypeExpr


@dataclass(frozen=True, slots=True)
class Record(Line):
    name: Name
    fields: tuple[Param, ...]


@dataclass(frozen=True, slots=True)
class Const(Line):
    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Timeout(Line):
    duration: Expr


@dataclass(frozen=True, slots=True)
class Retry(Line):
    """`retry N every D [up to D]`."""

    count: Expr
    every: Expr
    up_to: Expr | None


@dataclass(frozen=True, slots=True)
class Idempotent(Line):
    pass


@dataclass(frozen=True, slots=True)
class FromWasm(Line):
    file: str


@dataclass(frozen=True, slots=True)
class Tool(Line):
    """`tool ns.op(p: T) -> (r: T)` and what stands below it."""

    name: tuple[Name, ...]
    params: tuple[Param, ...]
    results: tuple[Param, ...]
    parts: tuple[Timeout | Retry | Idempotent | FromWasm, ...] = ()


@dataclass(frozen=True, slots=True)
class Event(Line):
    name: Name
    params: tuple[Param, ...]


@dataclass(frozen=True, slots=True)
class ScopeItem(Node):
    """`Order 2` (`count`), or `Account.balance 0..3` (`low`, `high`)."""

    entity: Name
    field: Name | None
    count: Expr | None = None
    low: Expr | None = None
    high: Expr | None = None


@dataclass(frozen=True, slots=True)
class Scope(Line):
    items: tuple[ScopeItem, ...]


# --- scenarios --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Denied(Node):
    """`-> denied`: who asked may not."""


@dataclass(frozen=True, slots=True)
class RefusedWith(Node):
    """`-> refused` or `-> refused "text"`: by the table."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Anything(Node):
    """`-> any`: it is taken or refused, and nothing breaks."""


@dataclass(frozen=True, slots=True)
class BecomesState(Node):
    """`-> Rolling`: the entity that the step is about is there afterwards."""

    state: Name


@dataclass(frozen=True, slots=True)
class Names(Node):
    """`-> r`: names what the step created."""

    name: Name


@dataclass(frozen=True, slots=True)
class Holds(Node):
    """`-> r is Halted`, `-> r.moved == 1`."""

    condition: Expr


Expectation: TypeAlias = Denied | RefusedWith | Anything | BecomesState | Names | Holds


@dataclass(frozen=True, slots=True)
class Act(Line):
    """`operator(ann) r.Start -> Rolling`, `builder(bob) r = Rollout.Plan(..) -> Planned`.

    `target` is a name of the scenario's, or an entity for a creating action; `creates` is the name given on the left.
    Several roles are written `operator, builder(bob)`; `system` takes no principal.
    """

    roles: tuple[Name, ...]
    principal: Name | None
    creates: Name | None
    target: Name
    invoke: Invoke
    expect: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Given(Line):
    """`given Rollout r(state: Rolling, moved: 1)`."""

    entity: Name
    name: Name
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class ToolDoes(Line):
    """`TOOL fails "quota"`, `TOOL answers (url: "...")`, `TOOL times out`."""

    tool: tuple[Name, ...]
    verb: str  # fails answers times_out
    text: str | None = None
    args: tuple[Arg, ...] = ()
    expect: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait(Line):
    """`wait 30m -> Halted`."""

    duration: Expr
    expect: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Check(Line):
    """`r.moved == 1`."""

    condition: Expr


@dataclass(frozen=True, slots=True)
class Emitted(Line):
    """`emitted Event(...)`."""

    event: Name
    args: tuple[Arg, ...]


ScenarioStep: TypeAlias = Act | Given | ToolDoes | Wait | Check | Emitted


@dataclass(frozen=True, slots=True)
class Scenario(Line):
    title: str
    steps: tuple[ScenarioStep, ...]


# --- upgrades ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Becomes(Line):
    """`Paused becomes Halted`."""

    old: Name
    new: Name


@dataclass(frozen=True, slots=True)
class Drop(Line):
    field: Name


@dataclass(frozen=True, slots=True)
class UpgradeEntity(Line):
    entity: Name
    parts: tuple[Becomes | Set | Drop, ...]


@dataclass(frozen=True, slots=True)
class Upgrade(Line):
    """`upgrade from 3`."""

    version: int
    entities: tuple[UpgradeEntity, ...]


# --- files ------------------------------------------------------------------------------------------------------------

Declaration: TypeAlias = (
    Role | Excludes | TypeDecl | Record | Const | Tool | Entity | Event | Scope | Scenario | Upgrade | Property
)


@dataclass(frozen=True, slots=True)
class File(Line):
    """One file of a bundle: `blueprint NAME`, and what it declares. `name` is `None` where that line is missing."""

    path: str
    name: Name | None
    declarations: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A bundle: its files in order of their paths."""

    files: tuple[File, ...]
