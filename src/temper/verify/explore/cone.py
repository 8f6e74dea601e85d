"""What of an entity can make a difference to what it may do, and what only passes through.

The search tells two states apart by what matters: a field that no guard, no type and no property ever looks at (nor
anything that flows into one) is the same whatever it holds. Leaving it out is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import NEW, all_clauses, expressions, flat, lates, outcomes
from temper.verify.expressions import Names, bounded, names_in, type_of, walk, without_lets

Node = tuple[str, ...]
"""`("field", name)`, `("param", action, name)`, `("caller",)`, `("acts_for",)`, `("role", name)`."""


class Cone(Struct, frozen=True):
    """What matters: fields, parameters by action, the roles that travel with a cause, and whether it matters who it
    is (`principals`), which agent of whom (`acts_for`), or which person alone, whoever acts for them (`persons`)."""

    fields: frozenset[str]
    params: frozenset[tuple[str, str]]
    roles: frozenset[str]
    principals: bool
    acts_for: bool
    persons: bool


class Use(Struct, frozen=True):
    """An expression, the action whose parameters it sees, and what its value flows into (`None`: it decides)."""

    expr: Expr
    names: Names
    action: str | None
    into: tuple[Node, ...] | None


def cone_of(table: Table, entity: shape.Entity) -> Cone:
    """Return what matters for an entity's moves and for the properties that speak of it."""
    matters: set[Node] = {("field", name) for name in _asked(table, entity)}
    for each in table.properties:
        if isinstance(each, shape.Never):
            matters.add(("role", each.role))
        if isinstance(each, shape.Needs) and each.entity in {None, entity.name}:
            matters.add(("acts_for",))
            if each.role is not None:
                matters.add(("role", each.role))
            if each.besides is not None:
                matters |= {("field", each.besides), ("caller",)}
    flows: list[tuple[Node, set[Node]]] = []
    for use in uses(table, entity):
        read = set(_reads(use))
        if use.into is None:
            matters |= read
        else:
            flows.extend((node, read) for node in use.into)
    grown = True
    while grown:
        more = {node for target, read in flows if target in matters for node in read} - matters
        matters |= more
        grown = bool(more)
    caller, behind = ("caller",) in matters, ("acts_for",) in matters
    return Cone(
        frozenset(node[1] for node in matters if node[0] == "field"),
        frozenset((node[1], node[2]) for node in matters if node[0] == "param"),
        frozenset(node[1] for node in matters if node[0] == "role"),
        principals=caller or behind,
        acts_for=caller and behind,
        persons=behind and not caller,
    )


def _asked(table: Table, entity: shape.Entity) -> Iterator[str]:
    """The fields that the properties read."""
    for each in table.properties:
        if not isinstance(each, shape.Always):
            continue
        names = Names(table, table.entities[each.entity] if each.entity is not None else None)
        for part in walk(without_lets(each.condition, names)):
            if part[0] == "field" and each.entity == entity.name:
                yield part[1]
            if part[0] == "read" and part[2] == entity.name:
                yield part[3]


def _reads(use: Use) -> Iterator[Node]:
    for part in walk(without_lets(use.expr, use.names)):
        match part[0]:
            case "field":
                yield ("field", part[1])
            case "param" if use.action is not None:
                yield ("param", use.action, part[1])
            case "caller" | "acts_for":
                yield (part[0],)
            case "has_role":
                yield ("role", part[1])
            case _:
                pass


def uses(table: Table, entity: shape.Entity) -> Iterator[Use]:
    """Every expression of an entity that is worked out while it lives."""
    own = names_in(table, entity)
    for action in entity.actions.values():
        names = names_in(table, entity, action)
        yield from _by(action.by, names, action.name)
        for guard in action.when:
            yield Use(guard.condition, names, action.name, None)
        yield from _body(table, entity, action.body, names, action.name)
        for case in action.cases:
            cased = names_in(table, entity, action, case)
            yield from _by(case.by, cased, action.name)
            for guard in case.when:
                yield Use(guard.condition, cased, action.name, None)
            yield from _body(table, entity, case.body, cased, action.name)
    for place in entity.places:
        yield from _body(table, entity, (*place.entry, *place.exit), own, None)
        if place.route is not None:
            yield from _handler(table, entity, place.route, own, None)
        for timer in place.timers:
            if timer.duration is not None:
                yield Use(timer.duration, own, None, None)
            if timer.field is not None:
                yield Use(("field", timer.field), own, None, None)
            yield from _handler(table, entity, timer.handler, own, None)
        for whenever in place.whenevers:
            yield Use(whenever.condition, own, None, None)
            yield from _handler(table, entity, whenever.handler, own, None)
    for late in lates(entity):
        if late.handler is not None:
            for name in late.actions:
                action = entity.actions[name]
                yield from _handler(table, entity, late.handler, names_in(table, entity, action), name)


def _by(by: tuple[shape.By, ...], names: Names, action: str) -> Iterator[Use]:
    for each in by:
        if each.who is not None:
            yield Use(each.who, names, action, None)
            yield Use(("caller",), names, action, None)


def _body(
    table: Table, entity: shape.Entity, body: tuple[shape.AnyClause, ...], names: Names, action: str | None
) -> Iterator[Use]:
    types = {each.name: each.type for each in entity.fields}
    for clause in flat(body):
        match clause:
            case shape.Set(field=name, value=value):
                decides = _decides(value, types[name], table, names)
                yield Use(value, names, action, None if decides else (("field", name),))
            case shape.If() | shape.For():
                for e in expressions(clause):
                    yield Use(e, names, action, None)
            case shape.Call(tool=tool, args=args):
                yield from _args(table, table.tools[tool].params, args, names, action, ())
                for _, handler in outcomes(clause):
                    yield from _handler(table, entity, handler, names, action)
            case shape.Emit(event=event, args=args):
                yield from _args(table, table.events[event].params, args, names, action, ())
            case (
                shape.Send(entity=to, action=name, args=args)
                | shape.With(entity=to, action=name, args=args)
                | shape.Create(entity=to, action=name, args=args)
            ):
                yield from _args(table, table.entities[to].actions[name].params, args, names, action, ())


def _handler(
    table: Table, entity: shape.Entity, handler: shape.Handler, names: Names, action: str | None
) -> Iterator[Use]:
    following = entity.actions[handler.action]
    for param in following.params:
        into: tuple[Node, ...] = (("param", following.name, param.name),)
        yield from _args(table, (param,), tuple(a for a in handler.args if a[0] == param.name), names, action, into)


def _args(
    table: Table,
    params: tuple[shape.Param, ...],
    args: shape.Args,
    names: Names,
    action: str | None,
    into: tuple[Node, ...],
) -> Iterator[Use]:
    types = {param.name: param.type for param in params}
    for name, e in args:
        decides = name not in types or _decides(e, types[name], table, names)
        yield Use(e, names, action, None if decides else into)


def _decides(e: Expr, target: Type, table: Table, names: Names) -> bool:
    """Say whether it depends on the value of an expression that an action can be taken."""
    return _divides(e) or (bounded(target, table) and not _fits(e, target, names))


def _fits(e: Expr, target: Type, names: Names) -> bool:
    """Say whether an expression reads what is declared to fit a type: then there is no need to look at its value."""
    if e[0] == "some":
        return target[0] == "optional" and _fits(e[1], target[1], names)
    declared = e[0] == "field" or (e[0] == "param" and e[1] in names.params)
    return declared and _inside(type_of(e, names), target)


def _inside(type_: Type, target: Type) -> bool:
    if type_ == target:
        return True
    match type_, target:
        case (("int" | "decimal", low, high), ("int" | "decimal", least, most)) if type_[0] == target[0]:
            return (least is None or (low is not None and Decimal(low) >= Decimal(least))) and (
                most is None or (high is not None and Decimal(high) <= Decimal(most))
            )
        case (("optional", inner), ("optional", whole)):
            return _inside(inner, whole)
        case _:
            return False


def _divides(e: Expr) -> bool:
    """Say whether working an expression out may fail."""
    return any(part[0] in {"//", "%", "value"} for part in walk(e))


# --- what else the search has to know ---------------------------------------------------------------------------------


def literals(table: Table, entity: shape.Entity) -> Iterator[tuple[shape.Type, object]]:
    """Every literal in the entity's expressions and in the properties that speak of it, with its type."""
    exprs = [use.expr for use in uses(table, entity)]
    exprs += [let.value for let in entity.lets]
    exprs += [each.default for each in entity.fields if each.default is not None]
    exprs += [each.condition for each in table.properties if isinstance(each, shape.Always)]
    for e in exprs:
        for part in walk(e):
            if part[0] == "lit":
                yield part[1], part[2]


def sent_to(table: Table, entity: str) -> tuple[str, ...]:
    """Return the actions of an entity that others (or it itself) send to it."""
    return _named_by(shape.Send, table, entity)


def created_by_others(table: Table, entity: str) -> tuple[str, ...]:
    """Return the creating actions of an entity that `create` clauses take."""
    return _named_by(shape.Create, table, entity)


def joined_by_others(table: Table, entity: str) -> tuple[str, ...]:
    """Return the actions of an entity that others (or its kin) take along by `with`."""
    return _named_by(shape.With, table, entity)


def _named_by(kind: type[shape.Send | shape.Create | shape.With], table: Table, entity: str) -> tuple[str, ...]:
    found = {
        clause.action
        for other in table.entities.values()
        for _, clause in all_clauses(other)
        if isinstance(clause, kind) and clause.entity == entity
    }
    return tuple(sorted(found))


def reads_others(table: Table, entity: shape.Entity) -> bool:
    """Say whether what an entity does depends on what it reads of others."""
    return any(
        part[0] in {"read", "read_in", "inverse"}
        for use in uses(table, entity)
        for part in walk(without_lets(use.expr, use.names))
    )


def creating(action: shape.Action) -> bool:
    """Say whether an action makes a new entity."""
    return any(NEW in case.froms for case in action.cases)
