"""Where a rule about people keeps principals.

`needs` counts people: an agent and who is behind it are one. A blueprint that collects `caller` beside such a rule
tells them apart, so that whoever has two agents passes for two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from temper.model import machine as m
from temper.model.problems import Problems
from temper.model.typed import Typed, walk
from temper.model.types import ListT, PrincipalT, SetT
from temper.text import Code, Fix, Span

_HELP = "write `caller.acts_for`: whoever acts through an agent, or through two of them, is one person"


def look_at_people(entities: Iterable[m.Entity], properties: Iterable[m.AnyProperty], problems: Problems) -> None:
    """Say where `caller` is kept, or looked for, among those whom a property counts as people."""
    known = tuple(properties)
    for entity in entities:
        for field in entity.fields:
            rule = _rule(entity, field, known)
            if rule is None:
                continue
            message = f"`{field.name}` tells agents from who is behind them, and the rule beside it is about people"
            for place in _kept(entity, field.name):
                problems.add(
                    Code.B344,
                    place,
                    message,
                    label="an agent is another `caller`",
                    help=_HELP,
                    fix=Fix(place, "caller.acts_for"),
                    beside=((rule, "counts people"),),
                )


def _rule(entity: m.Entity, field: m.Field, properties: Iterable[m.AnyProperty]) -> Span | None:
    """Return where the rule about people stands to which a field belongs: it collects them, or is left out there."""
    several = isinstance(field.type, SetT | ListT) and isinstance(field.type.element, PrincipalT)
    for each in properties:
        if isinstance(each, m.Needs) and _speaks_of(each, entity):
            keepers = {action.name for action in entity.actions if any(_set_in(action, field.name))}
            counted = not each.by or keepers & set(each.by)
            if each.besides == field.name or (several and each.count > 1 and counted):
                return each.span
        if isinstance(each, m.Always) and several and each.entity == entity.name:
            parts = list(walk(each.condition))
            asks = any(part.op == "size" and _reads(part.parts[0], field.name) for part in parts)
            if asks and not each.step and any(part.op == "in_state" for part in parts):
                return each.span
    return None


def _speaks_of(each: m.Needs, entity: m.Entity) -> bool:
    if each.entity is not None:
        return each.entity == entity.name
    own = {state.name for state in entity.states}
    parted = [state.rpartition(".") for state in each.states]
    return any((not owner or owner == entity.name) and state in own for owner, _, state in parted)


def _kept(entity: m.Entity, field: str) -> Iterator[Span]:
    """Yield each `caller` that is put into a field, or looked for among what it holds."""
    for action in entity.actions:
        for value in _set_in(action, field):
            yield from (part.span for part in walk(value) if part.op == "caller")
        guards = [*action.when, *(guard for case in action.cases for guard in case.when)]
        for guard in guards:
            for part in walk(guard.condition):
                if part.op == "in" and part.parts[0].op == "caller" and _reads(part.parts[1], field):
                    yield part.parts[0].span


def _set_in(action: m.Action, field: str) -> Iterator[Typed]:
    """Yield what an action puts into a field, where that is a `caller`."""
    for body in (action.body, *(case.body for case in action.cases)):
        for value in _values(body, field):
            if any(part.op == "caller" for part in walk(value)):
                yield value


def _values(body: Iterable[m.Clause], field: str) -> Iterator[Typed]:
    for clause in body:
        if isinstance(clause, m.Set) and clause.field == field:
            yield clause.value
        elif isinstance(clause, m.For | m.If):
            yield from _values(clause.body, field)


def _reads(value: Typed, field: str) -> bool:
    return value.op == "field" and value.parts[0] == field
