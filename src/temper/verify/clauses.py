"""What an action of a table does, laid out: its cases with their clauses, its places, and what triggers it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from temper.table import Expr, Table, shape

NEW = "new"


def flat(body: Iterable[shape.AnyClause]) -> Iterator[shape.AnyClause]:
    """Every clause, those inside `for` and `if` too; the `for` or `if` comes first."""
    for clause in body:
        yield clause
        if isinstance(clause, shape.For | shape.If):
            yield from flat(clause.body)


def entered(entity: shape.Entity, before: str, after: str) -> Iterator[shape.Place]:
    """The places that a move from `before` to `after` enters: the state's, and those of groups entered from outside."""
    for place in entity.places:
        if after in place.states and (not place.group or before not in place.states):
            yield place


def left(entity: shape.Entity, before: str, after: str) -> Iterator[shape.Place]:
    """The places that a move from `before` to `after` leaves."""
    for place in entity.places:
        if before in place.states and (not place.group or after not in place.states):
            yield place


def guards(action: shape.Action, case: shape.Case) -> tuple[shape.Guard, ...]:
    """Return what must hold for a case: the action's guards, then its own."""
    return (*action.when, *case.when)


def admitted(action: shape.Action, case: shape.Case) -> tuple[shape.By, ...]:
    """Return who may take a case."""
    return case.by or action.by


def targets(case: shape.Case) -> Iterator[tuple[str, str]]:
    """Each (before, after) of a case."""
    for before in case.froms:
        yield before, case.to or before


class Trigger(Struct, frozen=True):
    """What makes the system take an action: `kind` is "then", "else", "unknown", "timer", "route", "whenever", "late",
    "send", "create" or "with". `entity` and `action` say where it is written (`action` is `None` for a place's)."""

    kind: str
    site: str
    entity: str
    action: str | None
    args: shape.Args


def outcomes(call: shape.Call) -> Iterator[tuple[str, shape.Handler]]:
    """Each way in which a call leads to an action."""
    for kind, handler in (("then", call.then), ("else", call.otherwise), ("unknown", call.unknown)):
        if handler is not None:
            yield kind, handler


def triggers(table: Table, entity: str, action: str) -> Iterator[Trigger]:
    """Everything that makes the system take an action of an entity."""
    for name, other in table.entities.items():
        for owner, clause in all_clauses(other):
            match clause:
                case shape.Call() if name == entity:
                    for kind, handler in outcomes(clause):
                        if handler.action == action:
                            yield Trigger(kind, clause.site, name, owner, handler.args)
                case shape.Send() | shape.With() | shape.Create() if (
                    clause.entity == entity and clause.action == action
                ):
                    kind = {shape.Send: "send", shape.With: "with", shape.Create: "create"}[type(clause)]
                    yield Trigger(kind, clause.site, name, owner, clause.args)
                case _:
                    pass
    own = table.entities[entity]
    for place in own.places:
        if place.route is not None and place.route.action == action:
            yield Trigger("route", place.site, entity, None, place.route.args)
        for timer in place.timers:
            if timer.handler.action == action:
                yield Trigger("timer", timer.site, entity, None, timer.handler.args)
        for whenever in place.whenevers:
            if whenever.handler.action == action:
                yield Trigger("whenever", whenever.site, entity, None, whenever.handler.args)
    for late in lates(own):
        if late.handler is not None and late.handler.action == action:
            yield Trigger("late", late.site, entity, None, late.handler.args)


def lates(entity: shape.Entity) -> Iterator[shape.Late]:
    """Every `late` line of an entity, those of its places first."""
    for place in entity.places:
        yield from place.late
    yield from entity.late


def all_clauses(entity: shape.Entity) -> Iterator[tuple[str | None, shape.AnyClause]]:
    """Every clause of an entity with the action it stands in (`None` for a place's)."""
    for action in entity.actions.values():
        for clause in flat(action.body):
            yield action.name, clause
        for case in action.cases:
            for clause in flat(case.body):
                yield action.name, clause
    for place in entity.places:
        for clause in flat((*place.entry, *place.exit)):
            yield None, clause


def expressions(clause: shape.AnyClause) -> Iterator[Expr]:
    """The expressions that stand in a clause itself, not in the clauses inside it."""
    match clause:
        case shape.Set(value=value):
            yield value
        case shape.Call(args=args):
            yield from (value for _, value in args)
            for _, handler in outcomes(clause):
                yield from (value for _, value in handler.args)
        case shape.Send(target=target, args=args) | shape.With(target=target, args=args):
            yield target
            yield from (value for _, value in args)
        case shape.Create(args=args) | shape.Emit(args=args):
            yield from (value for _, value in args)
        case shape.For(over=over):
            yield over
        case shape.If(condition=condition):
            yield condition


def by_people(by: Iterable[shape.By]) -> bool:
    """Say whether somebody other than the system may."""
    return any(each.kind != "system" for each in by)
