"""What follows from what: a property that others imply, or the types alone, says nothing more.

A step is a state of an entity twice as wide: each field with its value before, and the state before as a field.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from temper.table import Expr, Table, shape
from temper.verify.expressions import TRUE, Names, rebuilt, walk, without_lets
from temper.verify.properties import asked_alone

# No name of an author's has a space in it.
_BEFORE = "before "
_STATE = "before state"


def implied(table: Table, entity: str, known: Sequence[Expr], e: Expr) -> bool:
    """Say whether `e` holds wherever all that is known does, for every value of the types; unsure is no."""
    found = table.entities[entity]
    if not found.actions:
        return False
    from temper.verify.symbolic.judge import compare_guards  # The solver takes a fifth of a second to import.

    names = Names(table, found)
    given: Expr = TRUE
    if not any(
        state in found.final for action in found.actions.values() for case in action.cases for state in case.froms
    ):
        # Nothing moves what is final.
        given = ("not", _then(("in_state", found.final), found))
    for each in known:
        condition = without_lets(each, names)
        given = ("and", given, _laid_out(condition, found))
        # What holds in every state held in the one before.
        if not any(part[0] == "before" for part in walk(condition)):
            given = ("and", given, _then(condition, found))
    wide = replace(found, fields=(*found.fields, *_fields_before(found)))
    widened = replace(table, entities={**table.entities, entity: wide})
    asked = _laid_out(without_lets(e, names), found)
    # Asked as guards of an action without parameters would be: no names but the entity's are known.
    return compare_guards(given, asked, widened, entity, next(iter(found.actions))) in {"same", "weaker"}


def written(table: Table, entity: str) -> list[Expr]:
    """Return the conditions of the properties of one entity that are written."""
    return [
        asked.condition
        for asked in asked_alone(table).values()
        # What reads who took what, or when, is no condition on an entity and what it was before.
        if asked.entity == entity and not any(part[0] in _ELSEWHERE for part in walk(asked.condition))
    ]


_ELSEWHERE = frozenset({"action_is", "created_at", "id", "this"})


def _fields_before(entity: shape.Entity) -> tuple[shape.Field, ...]:
    state = shape.Field(_STATE, ("one_of", entity.states))
    return (*(replace(each, name=_BEFORE + each.name, default=None) for each in entity.fields), state)


def _laid_out(e: Expr, entity: shape.Entity) -> Expr:
    """Return a condition on a step as one on the state that is twice as wide."""
    if e[0] == "before":
        return _then(e[1], entity)
    return rebuilt(e, lambda part: _laid_out(part, entity))


def _then(e: Expr, entity: shape.Entity) -> Expr:
    match e:
        case ("field", name):
            return ("field", _BEFORE + name)
        case ("in_state", states):
            type_ = ("one_of", entity.states)
            was: Expr = ("not", TRUE)
            for state in states:
                was = ("or", was, ("==", ("field", _STATE), ("lit", type_, state)))
            return was
        case _:
            return rebuilt(e, lambda part: _then(part, entity))
