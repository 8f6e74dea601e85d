"""What a change newly lets somebody reach: states that a role alone can bring about now, and could not before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from temper.table import Act, Table, shape
from temper.verify.causes import causes, enters
from temper.verify.explore.replay import Stage
from temper.verify.explore.search import Explored
from temper.verify.judgement import inside_of
from temper.verify.limits import Limits
from temper.verify.system.found import Searches
from temper.verify.units import Done, Keeps, Run, begun, explored_of, in_turn, units_of

Reach = tuple[str, str, str]
"""A role, a kind of entity, and a state of it."""


@dataclass(frozen=True, slots=True)
class Newly:
    """A state that `role` can bring about, or what it causes, and could not before.

    `by` is the action of the last step that a holder of it takes. `sure` is false where it could not be told whether it
    was so before.
    """

    role: str
    entity: str
    state: str
    by: str
    sure: bool


def newly(
    old: Table, new: Table, limits: Limits | None = None, *, run: Run | None = None, kept: Keeps | None = None
) -> tuple[Newly, ...]:
    """Return what roles can bring about in `new`, with its policies, and could not in `old`; by role, in text order."""
    limits = limits or Limits()
    before, after = _apart(inside_of(old).table), _apart(inside_of(new).table)
    now = _reached(after, _imaginable(after), limits, run, kept)
    asked = [reach for reach, by in now.items() if by and _there(before, reach)]
    was = _reached(before, asked, limits, run, kept)
    return tuple(
        Newly(*reach, by, sure=reach not in was or was[reach] is None)
        for reach, by in now.items()
        if by and not was.get(reach)
    )


def _apart(table: Table) -> Table:
    """Return the table where nobody holds two roles: what one of them gives is asked, not what it may be held with."""
    names = [role.name for role in table.roles]
    roles = tuple(shape.Role(name, tuple(each for each in names if each != name)) for name in names)
    return msgspec.structs.replace(table, roles=roles)


def _imaginable(table: Table) -> list[Reach]:
    """Return what the table alone does not rule out."""
    found = []
    for role in table.roles:
        caused = causes(table, role.name)
        for entity in table.entities.values():
            found += [
                (role.name, entity.name, state) for state in entity.states if enters(table, entity, (state,), caused)
            ]
    return found


def _there(table: Table, reach: Reach) -> bool:
    role, entity, state = reach
    return (
        any(each.name == role for each in table.roles)
        and entity in table.entities
        and state in table.entities[entity].states
    )


def _reached(
    table: Table, asked: Sequence[Reach], limits: Limits, run: Run | None, kept: Keeps | None
) -> dict[Reach, str | None]:
    """Return of what is asked what a run leads to, each with the action that does it; "" where no search could say.

    One role at a time, since a search that keeps apart what each of them has caused has many more states.
    """
    found: dict[Reach, str | None] = {}
    for role in dict.fromkeys(role for role, _, _ in asked):
        mine = [reach for reach in asked if reach[0] == role]
        properties = tuple(shape.Never("", f"{entity}/{state}", entity, role, (state,)) for _, entity, state in mine)
        units = units_of(msgspec.structs.replace(table, properties=properties), ("search",), limits)
        for place, outcome in begun(units, run or in_turn(), limits, lambda _: None, kept):
            searched = outcome.answer if isinstance(outcome, Done) else None
            if isinstance(searched, Searches):
                explored = {name: explored_of(units[place], each) for name, each in searched.explored.items()}
                for number in units[place].numbers:
                    entity = mine[number][1]
                    if entity in explored:
                        found[mine[number]] = _seen(explored[entity], number, role)
    return {reach: found.get(reach, "") for reach in asked}


def _seen(explored: Explored, number: int, role: str) -> str | None:
    """Return the action that leads there, `None` where none does, "" where the search could not say."""
    key = ("never", number)
    broken = explored.breaks.get(key)
    if broken is not None and broken.run is not None:
        return _asked_last(broken.run.stages, role)
    return "" if explored.stopped or key in explored.suspicions else None


def _asked_last(stages: Sequence[Stage], role: str) -> str:
    """Return the action of the last request by a holder of a role."""
    for stage in reversed(stages):
        if isinstance(stage.event, Act) and not stage.event.by_system and role in stage.event.caller.roles:
            return stage.event.action
    raise AssertionError("what a role has brought about begins with what it asked for")
