"""Properties that say nothing: whatever the actions do, they can't be broken.

Told only of what is certain: where the search saw every state within its bounds, or where the types alone decide. Of a
property about several entities it is told within the bounds of the search of so many of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from temper.table import Expr, NoValue, Table, describe_expr, evaluate, shape
from temper.verify.expressions import TRUE, Names, walk, without_lets
from temper.verify.limits import Limits
from temper.verify.places import place_of
from temper.verify.properties import Asked, asked_alone, states_of
from temper.verify.report import Vacuous
from temper.verify.strength.walk import Quiet
from temper.verify.system.found import Together, search_together
from temper.verify.system.lower import components

# How far a search goes that looks for a premise of several entities.
TOGETHER_MAX = 20_000
TOGETHER_SECONDS = 4.0


def vacuous(table: Table, bases: Mapping[str, Quiet]) -> tuple[Vacuous, ...]:
    """Return the properties of a table that say nothing, with the reason of each."""
    found = []
    alone = asked_alone(table)
    together = _together(table, [n for n, each in enumerate(table.properties) if _of_several(each) and n not in alone])
    for index, each in enumerate(table.properties):
        why = None
        match each:
            case shape.Always() if index in alone:
                why = _always(table, alone[index], bases[alone[index].entity])
            case shape.Always():
                why = together.get(index)
            case shape.Eventually():
                why = _unreached(table, each, each.froms, bases, "it leads on from")
            case shape.Never():
                why = _unreached(table, each, each.states, bases, "nobody enters")
            case shape.Needs():
                why = _unreached(table, each, each.states, bases, "nobody enters")
            case _:
                pass
        if why is not None:
            found.append(Vacuous(each.name, each.entity, why, each.site, place_of(table, each.site)))
    return tuple(found)


def _unreached(
    table: Table, each: shape.AnyProperty, states: tuple[str, ...], bases: Mapping[str, Quiet], what: str
) -> str | None:
    named = states_of(table, each, states)
    if not named or any(not _whole(bases[entity]) for entity in named):
        return None
    reached = any(("state", state) in bases[entity].found.reached for entity in named for state in named[entity])
    return None if reached else f"{what} {', '.join(f'`{state}`' for state in states)}, and no run gets there"


def _whole(base: Quiet) -> bool:
    return base.found.stopped is None and base.found.blind is None and not base.found.cut


def _always(table: Table, asked: Asked, base: Quiet) -> str | None:
    entity = table.entities[asked.entity]
    condition = without_lets(asked.condition, Names(table, entity))
    if not asked.step and _by_type(table, entity, condition):
        return "the types alone make it true"
    if condition[0] != "implies" or not _whole(base) or asked.index in base.found.unclear:
        return None
    if any(_holds(table, asked, condition[1], base)):
        return None
    where = "step" if asked.step else "state"
    return f"no {where} is one where `{describe_expr(condition[1], table.records)}`"


def _holds(table: Table, asked: Asked, premise: Expr, base: Quiet) -> Iterator[bool]:
    """Whether the premise holds, of each state or step that was seen; unsure counts as yes."""
    try:
        if not asked.step:
            for now in base.states_seen.values():
                yield bool(evaluate(table, asked.entity, premise, now))
            return
        for before, answer in base.steps_seen.values():
            if before is not None or not asked.reads_before:
                yield bool(evaluate(table, asked.entity, premise, answer.after, before=before, moves=answer.moves))
    except NoValue:
        yield True


def _by_type(table: Table, entity: shape.Entity, condition: Expr) -> bool:
    """Say whether a condition holds of all values of the types of the fields, in every state."""
    if not any(part[0] == "field" for part in walk(condition)) or not entity.actions:
        return False
    from temper.verify.symbolic.judge import compare_guards  # The solver takes a fifth of a second to import.

    # A condition is asked as a guard of an action without parameters would be: no names but the entity's are known.
    action = next(iter(entity.actions))
    return compare_guards(TRUE, condition, table, entity.name, action) == "same"


# --- of several entities ----------------------------------------------------------------------------------------------


def _of_several(each: shape.AnyProperty) -> bool:
    return isinstance(each, shape.Always) and _premise(each.condition) is not None


def _together(table: Table, numbers: Sequence[int]) -> dict[int, str]:
    """Return those of these properties whose premise never holds, by number, with the reason."""
    bare = replace(table, properties=tuple(_denied(table.properties[n]) for n in numbers))
    found: dict[int, str] = {}
    if not numbers:
        return found
    for names in components(bare):
        searched = search_together(bare, names, Limits(states_max=TOGETHER_MAX, seconds=TOGETHER_SECONDS))
        if not isinstance(searched, Together) or searched.searched.stopped is not None:
            continue
        for asked in searched.asked:
            key = ("always", asked)
            explored = searched.explored.values()
            if any(key in one.breaks or key in one.suspicions or asked in one.unclear for one in explored):
                continue
            each = table.properties[numbers[asked]]
            assert isinstance(each, shape.Always), "only those are asked"
            premise = _premise(each.condition)
            assert premise is not None, "only those that have one are asked"
            where = "step" if each.step else "state"
            counts = " and ".join(f"{n} {name}" for name, n in searched.system.meta["counts"].items())
            said = describe_expr(premise, table.records)
            found[numbers[asked]] = f"no {where} of at most {counts} is one where `{said}`"
    return found


def _denied(each: shape.AnyProperty) -> shape.Always:
    """Return a property that is broken where the premise of another holds."""
    assert isinstance(each, shape.Always), "only those are asked"
    return replace(each, condition=_without(each.condition))


def _without(e: Expr) -> Expr:
    match e:
        case ("all", x, among, body):
            return ("all", x, among, _without(body))
        case ("implies", premise, _):
            return ("not", premise)
        case _:
            raise AssertionError(f"it has no premise: {e!r}")


def _premise(e: Expr) -> Expr | None:
    """Return the premise of what is said of all: of `all o in Order: A implies B` it is A."""
    match e:
        case ("all", _, _, body):
            return _premise(body)
        case ("implies", premise, _):
            found: Expr = premise
            return found
        case _:
            return None
