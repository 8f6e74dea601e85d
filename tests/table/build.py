"""Small tables by hand, for tests that should not depend on the language's text.

Expressions are written as Python: `f("moved") + 1 == f("brokers")` would be `eq(add(f("moved"), n(1)), f("brokers"))`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import dedent
from typing import Any

from msgspec.structs import replace

from temper.model import check
from temper.syntax import parse_bundle
from temper.table import (
    Accepted,
    Act,
    Caller,
    Deliver,
    Ending,
    Event,
    Expr,
    Fire,
    Offer,
    Outcome,
    Refused,
    Snapshot,
    Table,
    Type,
    Value,
    compile_machine,
    shape,
    step,
)
from temper.text import Severity, Source, render

BOOL: Type = ("bool",)
INT: Type = ("int", None, None)
DECIMAL: Type = ("decimal", None, None)
STRING: Type = ("string",)
TIME: Type = ("time",)
DURATION: Type = ("duration",)
PRINCIPAL: Type = ("principal",)

ANN = Caller("ann", frozenset({"operator"}))
BOB = Caller("bob", frozenset({"builder"}))
CAT = Caller("cat", frozenset({"release_manager"}))


def upto(high: int, low: int = 0) -> Type:
    return ("int", low, high)


def maybe(of: Type) -> Type:
    return ("optional", of)


def n(value: int) -> Expr:
    return ("lit", INT, value)


def s(value: str) -> Expr:
    return ("lit", STRING, value)


def f(name: str) -> Expr:
    return ("field", name)


def p(name: str) -> Expr:
    return ("param", name)


def on(op: str, *parts: Any) -> Expr:
    return (op, *parts)


TRUE: Expr = ("lit", BOOL, True)
FALSE: Expr = ("lit", BOOL, False)


def role(name: str) -> shape.By:
    return shape.By("role", name)


SYSTEM = shape.By("system")
ANYONE = shape.By("anyone")


def params(**types: Type) -> tuple[shape.Param, ...]:
    return tuple(shape.Param(name, type_) for name, type_ in types.items())


def when(condition: Expr, otherwise: str | None = None, site: str = "when") -> shape.Guard:
    return shape.Guard(site, condition, otherwise)


def case(
    froms: str | Iterable[str],
    to: str | None = None,
    *,
    when: Iterable[shape.Guard] = (),
    by: Iterable[shape.By] = (),
    lets: Iterable[shape.Let] = (),
    body: Iterable[shape.AnyClause] = (),
) -> shape.Case:
    states = (froms,) if isinstance(froms, str) else tuple(froms)
    return shape.Case("", states, to, tuple(by), tuple(when), tuple(lets), tuple(body))


def action(
    name: str,
    *cases: shape.Case,
    by: Iterable[shape.By] = (ANYONE,),
    params: Iterable[shape.Param] = (),
    when: Iterable[shape.Guard] = (),
    lets: Iterable[shape.Let] = (),
    body: Iterable[shape.AnyClause] = (),
) -> shape.Action:
    return shape.Action(name, "", tuple(params), tuple(by), tuple(when), tuple(lets), tuple(body), cases)


def put(field: str, value: Expr) -> shape.Set:
    return shape.Set(f"set {field}", field, value)


def call(
    tool: str,
    args: Mapping[str, Expr] | None = None,
    then: shape.Handler | None = None,
    otherwise: shape.Handler | None = None,
    unknown: shape.Handler | None = None,
    *,
    unknown_is_failure: bool = True,
) -> shape.Call:
    return shape.Call(f"call {tool}", tool, tuple((args or {}).items()), then, otherwise, unknown, unknown_is_failure)


def do(name: str, **args: Expr) -> shape.Handler:
    return shape.Handler(name, tuple(args.items()))


def place(name: str, states: Iterable[str] | None = None, **parts: Any) -> shape.Place:
    """What belongs to a state, or to a group if `states` are given."""
    group = states is not None
    timers = tuple(
        shape.Timer(f"in {name}/{kind}", kind, when if kind != "at" else None, when if kind == "at" else None, handler)
        for kind, when, handler in parts.pop("timers", ())
    )
    return shape.Place(f"in {name}", name, group, tuple(states or (name,)), timers=timers, **parts)


def late(*actions: str, handler: shape.Handler | None = None) -> shape.Late:
    return shape.Late("late", actions, handler)


def entity(
    name: str,
    states: str,
    fields: Mapping[str, Type | tuple[Type, Expr]],
    *actions: shape.Action,
    final: str = "",
    groups: Mapping[str, tuple[str, ...]] | None = None,
    lets: Iterable[shape.Let] = (),
    places: Iterable[shape.Place] = (),
    late: Iterable[shape.Late] = (),
    uniques: Iterable[shape.Unique] = (),
    key: tuple[str, ...] = (),
) -> shape.Entity:
    declared = tuple(
        shape.Field(field, *type_) if isinstance(type_[0], tuple) else shape.Field(field, type_)
        for field, type_ in fields.items()
    )
    sited = {one.name: _sited(name, one) for one in actions}
    return shape.Entity(
        name, name, tuple(states.split()), tuple(final.split()), dict(groups or {}), declared, tuple(lets), (),
        tuple(uniques), key, sited, tuple(places), tuple(late),
    )  # fmt: skip


def _sited(entity: str, one: shape.Action) -> shape.Action:
    site = f"{entity}.{one.name}"
    cases = tuple(
        shape.Case(f"{site}/from/{index}", each.froms, each.to, each.by, each.when, each.lets, each.body)
        for index, each in enumerate(one.cases)
    )
    return shape.Action(one.name, site, one.params, one.by, one.when, one.lets, one.body, cases)


def table(
    *entities: shape.Entity,
    roles: Iterable[shape.Role] = (
        shape.Role("operator", ()),
        shape.Role("builder", ("release_manager",)),
        shape.Role("release_manager", ("builder",)),
    ),
    records: Mapping[str, tuple[shape.Param, ...]] | None = None,
    tools: Iterable[shape.Tool] = (),
    events: Iterable[shape.Event] = (),
    properties: Iterable[shape.AnyProperty] = (),
) -> Table:
    return Table(
        shape.FORMAT, "test", tuple(roles), dict(records or {}), {one.name: one for one in tools},
        {one.name: one for one in events}, {one.name: one for one in entities}, tuple(properties), (), (), (),
    )  # fmt: skip


def tool(name: str, args: Iterable[shape.Param] = (), results: Iterable[shape.Param] = ()) -> shape.Tool:
    return shape.Tool(name, name, tuple(args), tuple(results), 120_000, None, idempotent=True, wasm=None)


# --- running one entity -----------------------------------------------------------------------------------------------


class Life:
    """One entity, and the events that it meets: each gets an id in order, `e1`, `e2`, ..."""

    def __init__(self, table: Table, entity: str, at: int = 1_000) -> None:
        self.table = table
        self.entity = entity
        self.at = at
        self.count = 0
        self.now: Snapshot | None = None

    @property
    def here(self) -> Snapshot:
        assert self.now is not None
        return self.now

    def take(self, event: Event) -> Accepted | Refused:
        """Take the event; the entity moves on if it is accepted."""
        result = step(self.table, self.now, event)
        if isinstance(result, Accepted):
            self.now = result.after
        return result

    def id(self) -> str:
        self.count += 1
        return f"e{self.count}"

    def act(self, action: str, caller: Caller = ANN, **given: Value) -> Accepted | Refused:
        return self.take(Act(self.id(), self.at, action, given, caller, self.entity, "x1"))

    def done(self, action: str, caller: Caller = ANN, **given: Value) -> Accepted:
        """Act, where it must be accepted."""
        return accepted(self.act(action, caller, **given))

    def ends(
        self, order: str, ending: Ending = Ending.ANSWERED, kind: str = "", text: str = "", **results: Value
    ) -> Accepted | Refused:
        return self.take(Outcome(self.id(), self.at, order, ending, results, kind, text))

    def fire(self, timer: str, stamp: int | None = None) -> Accepted | Refused:
        armed = next((one for one in self.here.timers if one.timer == timer), None)
        return self.take(Fire(self.id(), self.at, timer, stamp if stamp is not None else armed.stamp if armed else 0))

    def deliver(self, action: str, caller: Caller = ANN, **given: Value) -> Accepted | Refused:
        return self.take(Deliver(self.id(), self.at, "order", action, given, caller, self.entity, "x1"))

    def offer(self, deferred: str) -> Accepted | Refused:
        return self.take(Offer(self.id(), self.at, deferred))

    def with_fields(self, **values: Value) -> None:
        """Change fields as no action would, to get somewhere quickly."""
        self.now = replace(self.here, fields={**self.here.fields, **values})


def accepted(result: Accepted | Refused) -> Accepted:
    assert isinstance(result, Accepted), result
    return result


def refused(result: Accepted | Refused) -> Refused:
    assert isinstance(result, Refused), result
    return result


# --- from text --------------------------------------------------------------------------------------------------------

ROLES = "role operator, builder, release_manager\nrole builder excludes release_manager"


def compiled(text: str) -> Table:
    """The table of a blueprint that is free of errors. Its first line and the roles are put before it."""
    source = Source("test.blueprint", f"blueprint test\n\n{ROLES}\n{dedent(text)}")
    tree, unread = parse_bundle([source])
    machine, unsound = check(tree)
    errors = [problem for problem in (*unread, *unsound) if problem.severity is Severity.ERROR]
    assert not errors, "\n".join(render(problem, {source.name: source}) for problem in errors)
    return compile_machine(machine, [source])


HELIX = """
tool kubernetes.set_partition(name: string, partition: int 0..63)
  timeout 2m
  retry 5 every 10s
  idempotent

# Rolls a build out through its StatefulSet, one broker at a time.
entity Rollout
  states Planned, Rolling, Verifying, Live, Halted, RolledBack
  final Live, RolledBack

  cluster: string
  build: string
  brokers: int 1..64
  moved: int 0..64 = 0
  halted_because: string?

  action Plan(cluster, build, brokers) by builder, operator from new to Planned
    set cluster, build, brokers

  action Start by operator from Planned to Rolling

  in Rolling
    on entry call kubernetes.set_partition(cluster, brokers - moved - 1) then Moved else Halt(error.text)
    after 30m do Halt("no progress for 30 minutes")

  action Moved by system
    from Rolling to Verifying when moved + 1 == brokers
    from Rolling to Rolling
    set moved += 1

  action Promote by release_manager from Verifying to Live

  action Halt(reason: string) by operator, system from Rolling, Verifying to Halted
    set halted_because = reason

  action RollBack by operator from Halted to RolledBack

  in Halted, RolledBack late Moved, Halt ignore

  always moved <= brokers
  always state is Live implies moved == brokers
  always before.moved <= moved
"""


def helix() -> Table:
    """The rollout of `language.md`."""
    return compiled(HELIX)
