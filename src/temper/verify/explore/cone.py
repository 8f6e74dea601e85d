"""What of an entity can make a difference to what it may do, and what only passes through.

The search tells two states apart by what matters: a field that no guard, no type and no property ever looks at (nor
anything that flows into one) is the same whatever it holds. Leaving it out is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from temper.table import Expr, Table, Type, shape
from temper.verify.causes import following
from temper.verify.clauses import NEW, all_clauses, expressions, flat, lates, outcomes
from temper.verify.expressions import Names, bounded, names_in, type_of, walk, without_lets
from temper.verify.properties import states_of

Node = tuple[str, ...]
"""`("field", name)`, `("param", action, name)`, `("caller",)`, `("acts_for",)`, `("role", name)`."""


class Told(Struct, frozen=True):
    """What of a caller matters: these roles, and whether it matters who it is (`principals`), which agent of whom
    (`acts_for`), or which person alone, whoever acts for them (`persons`)."""

    roles: frozenset[str] = frozenset()
    principals: bool = False
    acts_for: bool = False
    persons: bool = False


class Cone(Struct, frozen=True):
    """What matters: fields, parameters by action, and what of a caller.

    A caller travels along with all that it causes, but is told from others only as far as something looks: `looks` has
    for each action what it looks at, and all that follows from it. Without it every action looks at all of `caller`.
    """

    fields: frozenset[str]
    params: frozenset[tuple[str, str]]
    caller: Told
    looks: Mapping[str, frozenset[Node]] | None = None

    def told(self, actions: Iterable[str]) -> Told:
        """Return what of a caller matters to some of the actions."""
        if self.looks is None:
            return self.caller
        return told_of({node for action in actions for node in self.looks.get(action, ())})


def told_of(nodes: Iterable[Node]) -> Told:
    """Return what of a caller these look at."""
    known = set(nodes)
    caller, behind = ("caller",) in known, ("acts_for",) in known
    return Told(
        frozenset(node[1] for node in known if node[0] == "role"),
        principals=caller or behind,
        acts_for=caller and behind,
        persons=behind and not caller,
    )


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
    looks: list[Look] = []
    for use in uses(table, entity):
        read = set(_reads(use))
        looks += [(use.action, node, use.into) for node in read if node[0] in CALLERS]
        if use.into is None:
            matters |= read
        else:
            flows.extend((node, read) for node in use.into)
    grown = True
    while grown:
        more = {node for target, read in flows if target in matters for node in read} - matters
        matters |= more
        grown = bool(more)
    kept = [(action, node) for action, node, into in looks if into is None or any(each in matters for each in into)]
    cone = Cone(
        frozenset(node[1] for node in matters if node[0] == "field"),
        frozenset((node[1], node[2]) for node in matters if node[0] == "param"),
        told_of(matters),
    )
    return replace(cone, looks=travelled(table, {entity.name: kept})[entity.name])


CALLERS = frozenset({"caller", "acts_for", "role"})
Look: TypeAlias = tuple[str | None, Node, tuple[Node, ...] | None]
"""What of a caller is looked at in an action (`None`: in what stands in a place), and what it flows into."""


def travelled(
    table: Table, looks: Mapping[str, Iterable[tuple[str | None, Node]]]
) -> dict[str, dict[str, frozenset[Node]]]:
    """Return for each action what of its caller is looked at there, by the properties, or by what follows from it.

    `looks` has of each entity that is searched what its actions look at themselves; what stands in a place is done in
    whichever action enters or leaves it.
    """
    own: dict[tuple[str, str], set[Node]] = {}
    for name, seen in looks.items():
        for action in table.entities[name].actions.values():
            own[name, action.name] = {node for where, node in seen if where in {None, action.name}}
            own[name, action.name] |= set(_asked_of(table, table.entities[name], action))
    leads = {at: [each for each in following(table, table.entities[at[0]], at[1]) if each in own] for at in own}
    grown = any(own.values())
    while grown:
        grown = False
        for at, onward in leads.items():
            more = set().union(*(own[each] for each in onward)) - own[at]
            own[at] |= more
            grown = grown or bool(more)
    return {name: {at[1]: frozenset(nodes) for at, nodes in own.items() if at[0] == name} for name in looks}


def _asked_of(table: Table, entity: shape.Entity, action: shape.Action) -> Iterator[Node]:
    """What the properties ask of whoever takes or causes an action."""
    for each in table.properties:
        if not isinstance(each, shape.Never | shape.Needs):
            continue
        states = states_of(table, each, each.states).get(entity.name, ())
        if isinstance(each, shape.Never) and any(case.to in states for case in action.cases):
            yield ("role", each.role)
        if isinstance(each, shape.Needs) and states and (not each.by or action.name in each.by):
            yield ("acts_for",)
            if each.role is not None:
                yield ("role", each.role)
            if each.besides is not None:
                yield ("caller",)


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
                decides = value_decides(value, types[name], table, names)
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
        decides = name not in types or value_decides(e, types[name], table, names)
        yield Use(e, names, action, None if decides else into)


def value_decides(e: Expr, target: Type, table: Table, names: Names) -> bool:
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
