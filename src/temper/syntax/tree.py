"""The shape of a blueprint's text, before anything is known about its meaning.

One class for each thing that can be written. Spans and trivia (comments, blank lines) do not count when two trees are
compared: `parse(format(tree)) == tree`.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TypeAlias

from msgspec import Struct

from temper.text import Span

NOWHERE = Span("", 0, 0)


class Trivia(Struct, frozen=True):
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

# What does not count when two nodes are compared: where they stand, and how what they say was written.
_PLACES = frozenset({"span", "trivia"})
_FORM = frozenset({("Duration", "unit"), ("Invoke", "parens"), ("Action", "inline")})


class Node(Struct, frozen=True, kw_only=True, eq=False):
    """Anything with a place."""

    span: Span = NOWHERE

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node) or type(self) is not type(other):
            return NotImplemented
        return self.compared() == other.compared()

    def __ne__(self, other: object) -> bool:
        # A struct's own does not ask `__eq__`.
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self), self.compared()))

    def compared(self) -> tuple[object, ...]:
        """Return what counts when two nodes are compared, in order."""
        return tuple([getattr(self, name) for name in _compared(type(self))])

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in _PLACES)
        return f"{type(self).__name__}({shown})"


@cache
def _compared(kind: type[Node]) -> tuple[str, ...]:
    """Return the fields that count when two nodes are compared."""
    return tuple(name for name in kind.__struct_fields__ if name not in _PLACES and (kind.__name__, name) not in _FORM)


class Line(Node, frozen=True, kw_only=True):
    """Anything that can stand on a line of its own, and so can bear comments."""

    trivia: Trivia = NO_TRIVIA

    @property
    def description(self) -> str:
        """Return the comments directly above, as one text with line ends."""
        return "\n".join(self.trivia.above).strip()


class Name(Node, frozen=True):
    """A word of the author's."""

    text: str


# --- expressions ------------------------------------------------------------------------------------------------------


class Bool(Node, frozen=True):
    value: bool


class NoneValue(Node, frozen=True):
    """The word `none`."""


class Int(Node, frozen=True):
    value: int


class Dec(Node, frozen=True):
    """An exact decimal; `3.50` and `3.5` are the same value."""

    value: Decimal


class Str(Node, frozen=True):
    value: str


class Duration(Node, frozen=True):
    """A literal such as `90s`, in milliseconds. `unit` is what the author wrote (`ms s m h d`)."""

    ms: int
    unit: str = "ms"


class Ref(Node, frozen=True):
    """A bare word: a field, a parameter, a constant, an enumeration's value, a state, ..."""

    name: Name


class Dot(Node, frozen=True):
    base: Expr
    name: Name


class Index(Node, frozen=True):
    base: Expr
    index: Expr


class Arg(Node, frozen=True):
    """An argument; `name` when it is written `name: value`."""

    name: Name | None
    value: Expr


class Apply(Node, frozen=True):
    """`f(x)`, `Line(sku: s)`, `before(E)`: a function, or a record made."""

    name: Name
    args: tuple[Arg, ...]


class Unary(Node, frozen=True):
    op: str  # "not", "-"
    operand: Expr


class Binary(Node, frozen=True):
    op: str  # implies or and == != < <= > >= in "not in" ?? + - * // % &
    left: Expr
    right: Expr


class Is(Node, frozen=True):
    """`state is A`, `caller is operator`, `payment.state is not Captured`, `action is Entity.A`."""

    subject: Expr
    negated: bool
    what: Name
    entity: Name | None = None


class OneOfNames(Node, frozen=True):
    """`(A, B)` after `in`: states, groups, values or actions."""

    items: tuple[Expr, ...]


class IfExpr(Node, frozen=True):
    condition: Expr
    then: Expr
    otherwise: Expr


class SetOf(Node, frozen=True):
    items: tuple[Expr, ...]


class ListOf(Node, frozen=True):
    items: tuple[Expr, ...]


class MapOf(Node, frozen=True):
    """`{"a": 1, "b": 2}`. An empty `{}` is read as `SetOf(())`; the expected type decides what it is."""

    items: tuple[tuple[Expr, Expr], ...]


class Quantifier(Node, frozen=True):
    """`all x in s: e` and its kin."""

    kind: str  # all any count sum first
    var: Name
    over: Expr
    body: Expr


class Filter(Node, frozen=True):
    """`{x in s: e}`: those for which e holds."""

    var: Name
    over: Expr
    body: Expr


class Mapped(Node, frozen=True):
    """`{f for x in s}` (`kind` is "set") and `[f for x in s]` ("list")."""

    kind: str
    body: Expr
    var: Name
    over: Expr


class BadExpr(Node, frozen=True):
    """What could not be read; a problem has been reported."""


Expr: TypeAlias = (
    Bool | NoneValue | Int | Dec | Str | Duration | Ref | Dot | Index | Apply | Unary | Binary | Is | OneOfNames
    | IfExpr | SetOf | ListOf | MapOf | Quantifier | Filter | Mapped | BadExpr
)  # fmt: skip


# --- types ------------------------------------------------------------------------------------------------------------


class NamedType(Node, frozen=True):
    """`bool`, `string`, `time`, `duration`, `principal`, a `type`, a `record` or an entity."""

    name: Name


class NumberType(Node, frozen=True):
    """`int`, `int 0..64`, `decimal 0..`; an end that is `None` is open. Ends are literals or constants."""

    kind: str  # int decimal
    low: Expr | None = None
    high: Expr | None = None
    ranged: bool = False


class EnumType(Node, frozen=True):
    values: tuple[Name, ...]


class CollectionType(Node, frozen=True):
    kind: str  # set list
    element: TypeExpr
    max: Expr | None


class MapType(Node, frozen=True):
    key: TypeExpr
    value: TypeExpr
    max: Expr | None


class OptionalType(Node, frozen=True):
    inner: TypeExpr


class BadType(Node, frozen=True):
    """What could not be read; a problem has been reported."""


TypeExpr: TypeAlias = NamedType | NumberType | EnumType | CollectionType | MapType | OptionalType | BadType


class Param(Node, frozen=True):
    """A parameter or a record's field. Without a type it takes that of the field it is named after."""

    name: Name
    type: TypeExpr | None
    default: Expr | None = None


# --- clauses ----------------------------------------------------------------------------------------------------------


class Invoke(Node, frozen=True):
    """An action and what it is given: `Halt("no progress")`."""

    action: Name
    args: tuple[Arg, ...] = ()
    parens: bool = False


class Nothing(Node, frozen=True):
    """`_`: in so many words, nothing follows."""


class SetItem(Node, frozen=True):
    """`f = e`, `f += e`, `f -= e`, `m[k] = e`; with `op` "copy", `f` alone (the parameter of that name)."""

    target: Name
    op: str  # = += -= copy
    value: Expr | None
    key: Expr | None = None


class Set(Line, frozen=True):
    items: tuple[SetItem, ...]


class Call(Line, frozen=True):
    """`call ns.op(args) then A(..) else B(..) unknown C`; `None` where a handler is not written."""

    tool: tuple[Name, ...]
    args: tuple[Arg, ...]
    then: Invoke | Nothing | None
    otherwise: Invoke | Nothing | None
    unknown: Invoke | Nothing | None


class Send(Line, frozen=True):
    """`send target.Action(args)`."""

    target: Expr
    invoke: Invoke


class With(Line, frozen=True):
    """`with target.Action(args)`."""

    target: Expr
    invoke: Invoke


class Create(Line, frozen=True):
    """`create Entity.Creating(args) as name`."""

    entity: Name
    invoke: Invoke
    name: Name | None


class Emit(Line, frozen=True):
    event: Name
    args: tuple[Arg, ...]


class For(Line, frozen=True):
    """`for x in xs: CLAUSE`, or with the clauses on deeper lines."""

    var: Name
    over: Expr
    body: tuple[Clause, ...]


class If(Line, frozen=True):
    """`if E: CLAUSE`, or with the clauses on deeper lines."""

    condition: Expr
    body: tuple[Clause, ...]


class Do(Line, frozen=True):
    """`do A(args)`, as a route (`on entry do A`)."""

    invoke: Invoke


Clause: TypeAlias = Set | Call | Send | With | Create | Emit | For | If | Do


# --- actions ----------------------------------------------------------------------------------------------------------


class By(Line, frozen=True):
    """`by who, who`: roles, `system`, `anyone`, or expressions (a principal or a set of them)."""

    who: tuple[Expr, ...]


class When(Line, frozen=True):
    """`when E else "text"`."""

    condition: Expr
    otherwise: str | None


class Let(Line, frozen=True):
    """`let name = expr`, in an entity or in an action."""

    name: Name
    value: Expr


class From(Line, frozen=True):
    """A case: `from A, B to C when E else "..."`, with the clauses that belong to it, on its line or on deeper ones.

    `froms` are states or groups, or one of the words `new`, `any`, `all`.
    """

    froms: tuple[Name, ...]
    to: Name | None
    parts: tuple[By | When | Let | Clause, ...] = ()


class Action(Line, frozen=True):
    """A move. `parts` are in the order in which they were written, on its own line or on deeper ones.

    `inline` counts the parts that stand on the action's own line.
    """

    name: Name
    params: tuple[Param, ...]
    parts: tuple[By | When | Let | From | Clause, ...]
    inline: int = 0


# --- what belongs to states -------------------------------------------------------------------------------------------


class OnEntry(Line, frozen=True):
    clause: Clause


class OnExit(Line, frozen=True):
    clause: Clause


class After(Line, frozen=True):
    """`after D do A(args)`."""

    duration: Expr
    invoke: Invoke


class At(Line, frozen=True):
    """`at field do A(args)`."""

    field: Name
    invoke: Invoke


class Every(Line, frozen=True):
    """`every D do A(args)`."""

    duration: Expr
    invoke: Invoke


class Whenever(Line, frozen=True):
    """`whenever EXPR do A(args)`."""

    condition: Expr
    invoke: Invoke


class Late(Line, frozen=True):
    """`late A, B ignore` (`invoke` is `None`) or `late A do C(args)`."""

    actions: tuple[Name, ...]
    invoke: Invoke | None


class Defer(Line, frozen=True):
    actions: tuple[Name, ...]


Stay: TypeAlias = OnEntry | OnExit | After | At | Every | Whenever | Late | Defer


class In(Line, frozen=True):
    """`in S, T` with what belongs to these states or groups."""

    states: tuple[Name, ...]
    parts: tuple[Stay, ...]


# --- properties -------------------------------------------------------------------------------------------------------


class StateName(Node, frozen=True):
    """`Live`, or outside an entity `Rollout.Live`."""

    entity: Name | None
    state: Name


class Assume(Line, frozen=True):
    """`assume release_manager responds`, `assume kubernetes.set_partition succeeds`."""

    who: tuple[Name, ...]
    verb: str  # responds succeeds


class Always(Line, frozen=True):
    title: str | None
    condition: Expr


class Eventually(Line, frozen=True):
    """`eventually A leads to B, C`, with its assumptions."""

    title: str | None
    froms: tuple[StateName, ...]
    to: tuple[StateName, ...]
    assumes: tuple[Assume, ...] = ()


class Never(Line, frozen=True):
    """`never builder enters Live`."""

    title: str | None
    role: Name
    states: tuple[StateName, ...]


class Needs(Line, frozen=True):
    """`S needs 2 of ROLE by Approve besides author since Push`."""

    title: str | None
    state: StateName
    count: Expr
    role: Name | None
    by: tuple[Name, ...]
    besides: Name | None
    since: tuple[Name, ...]


class CanReach(Line, frozen=True):
    """`can reach S`; several states are several questions."""

    title: str | None
    states: tuple[StateName, ...]


Property: TypeAlias = Always | Eventually | Never | Needs | CanReach


# --- entities ---------------------------------------------------------------------------------------------------------


class States(Line, frozen=True):
    """`states A, B`: several such lines add up."""

    names: tuple[Name, ...]


class Final(Line, frozen=True):
    names: tuple[Name, ...]


class Group(Line, frozen=True):
    name: Name
    members: tuple[Name, ...]


class Field(Line, frozen=True):
    name: Name
    type: TypeExpr
    default: Expr | None = None


class Inverse(Line, frozen=True):
    """`disputes: every Dispute.payment max 8`."""

    name: Name
    entity: Name
    field: Name
    max: Expr | None


class Unique(Line, frozen=True):
    fields: tuple[Name, ...]
    ever: bool = False


class Key(Line, frozen=True):
    fields: tuple[Name, ...]


EntityPart: TypeAlias = (
    States | Final | Group | Field | Let | Inverse | Unique | Key | By | Action | In | Late | Defer | Property
)


class Entity(Line, frozen=True):
    name: Name
    parts: tuple[EntityPart, ...]


# --- the top ----------------------------------------------------------------------------------------------------------


class Role(Line, frozen=True):
    """`role a, b`."""

    names: tuple[Name, ...]


class Excludes(Line, frozen=True):
    """`role a excludes b, c`."""

    role: Name
    others: tuple[Name, ...]


class TypeDecl(Line, frozen=True):
    name: Name
    type: TypeExpr


class Record(Line, frozen=True):
    name: Name
    fields: tuple[Param, ...]


class Const(Line, frozen=True):
    name: Name
    value: Expr


class Timeout(Line, frozen=True):
    duration: Expr


class Retry(Line, frozen=True):
    """`retry N every D [up to D]`."""

    count: Expr
    every: Expr
    up_to: Expr | None


class Idempotent(Line, frozen=True):
    pass


class FromWasm(Line, frozen=True):
    file: str


class Tool(Line, frozen=True):
    """`tool ns.op(p: T) -> (r: T)` and what stands below it."""

    name: tuple[Name, ...]
    params: tuple[Param, ...]
    results: tuple[Param, ...]
    parts: tuple[Timeout | Retry | Idempotent | FromWasm, ...] = ()


class Event(Line, frozen=True):
    name: Name
    params: tuple[Param, ...]


class ScopeItem(Node, frozen=True):
    """`Order 2` (`count`), or `Account.balance 0..3` (`low`, `high`)."""

    entity: Name
    field: Name | None
    count: Expr | None = None
    low: Expr | None = None
    high: Expr | None = None


class Scope(Line, frozen=True):
    items: tuple[ScopeItem, ...]


# --- scenarios --------------------------------------------------------------------------------------------------------


class Denied(Node, frozen=True):
    """`-> denied`: who asked may not."""


class RefusedWith(Node, frozen=True):
    """`-> refused` or `-> refused "text"`: by the table."""

    text: str | None


class Anything(Node, frozen=True):
    """`-> any`: it is taken or refused, and nothing breaks."""


class BecomesState(Node, frozen=True):
    """`-> Rolling`: the entity that the step is about is there afterwards."""

    state: Name


class Names(Node, frozen=True):
    """`-> r`: names what the step created."""

    name: Name


class Holds(Node, frozen=True):
    """`-> r is Halted`, `-> r.moved == 1`."""

    condition: Expr


Expectation: TypeAlias = Denied | RefusedWith | Anything | BecomesState | Names | Holds


class Act(Line, frozen=True):
    """`operator(ann) r.Start -> Rolling`, `builder(bob) r = Rollout.Plan(..) -> Planned`.

    `target` is a name of the scenario's, or an entity for a creating action; `creates` is the name given on the left.
    Several roles are written `operator, builder(bob)`; `system` takes no principal. Behind an agent there may be a
    person: `worker(bot for ann)`.
    """

    roles: tuple[Name, ...]
    principal: Name | None
    creates: Name | None
    target: Name
    invoke: Invoke
    expect: tuple[Expectation, ...] = ()
    acts_for: Name | None = None


class Given(Line, frozen=True):
    """`given Rollout r(state: Rolling, moved: 1)`."""

    entity: Name
    name: Name
    args: tuple[Arg, ...]


class ToolDoes(Line, frozen=True):
    """`TOOL fails "quota"`, `TOOL answers (url: "...")`, `TOOL times out`."""

    tool: tuple[Name, ...]
    verb: str  # fails answers times_out
    text: str | None = None
    args: tuple[Arg, ...] = ()
    expect: tuple[Expectation, ...] = ()


class Wait(Line, frozen=True):
    """`wait 30m -> Halted`."""

    duration: Expr
    expect: tuple[Expectation, ...] = ()


class Check(Line, frozen=True):
    """`r.moved == 1`."""

    condition: Expr


class Emitted(Line, frozen=True):
    """`emitted Event(...)`."""

    event: Name
    args: tuple[Arg, ...]


ScenarioStep: TypeAlias = Act | Given | ToolDoes | Wait | Check | Emitted


class Scenario(Line, frozen=True):
    title: str
    steps: tuple[ScenarioStep, ...]


# --- upgrades ---------------------------------------------------------------------------------------------------------


class Becomes(Line, frozen=True):
    """`Paused becomes Halted`."""

    old: Name
    new: Name


class Drop(Line, frozen=True):
    field: Name


class UpgradeEntity(Line, frozen=True):
    entity: Name
    parts: tuple[Becomes | Set | Drop, ...]


class Upgrade(Line, frozen=True):
    """`upgrade from 3`."""

    version: int
    entities: tuple[UpgradeEntity, ...]


# --- files ------------------------------------------------------------------------------------------------------------

Declaration: TypeAlias = (
    Role | Excludes | TypeDecl | Record | Const | Tool | Entity | Event | Scope | Scenario | Upgrade | Property
)


class File(Line, frozen=True):
    """One file of a bundle: `blueprint NAME`, and what it declares. `name` is `None` where that line is missing."""

    path: str
    name: Name | None
    declarations: tuple[Declaration, ...]


class Tree(Struct, frozen=True):
    """A bundle: its files in order of their paths."""

    files: tuple[File, ...]
