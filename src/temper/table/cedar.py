"""What things of a blueprint are called in Cedar, and what a policy of its bundle covers.

Types are `BLUEPRINT::Entity`; a principal is a `temper::Principal`, its parents are `temper::Role` and `temper::Team`.
Actions are `BLUEPRINT::Action::"Entity.Action"`, those of reading `"Entity.read"`, those of saying yes to somebody
else's `"Entity.Action.approve"`; each kind has a group: "write", "read" and "approve".
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from msgspec import Struct

from temper.table.table import Policy, Table

PRINCIPAL = "temper::Principal"
ROLE = "temper::Role"
TEAM = "temper::Team"

WRITE = "write"
READ = "read"
APPROVE = "approve"
GROUPS = (WRITE, READ, APPROVE)

Json: TypeAlias = Any

# Words that can't stand in a path of Cedar's; those of the blueprint language that are reserved there never come here.
_RESERVED = frozenset({"true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"})
# An entity type may not be called as the type of actions is; in the namespace `temper` ours stand already.
_TAKEN = frozenset({"Action"})
_TAKEN_BY_US = _TAKEN | {"Principal", "Role", "Team", "Blueprint", "Server"}


class ActionName(Struct, frozen=True):
    """An action of the schema: its id, the entity kind it is about, the action (none for reading), and its group."""

    id: str
    entity: str
    action: str | None
    group: str


def namespace(table: Table) -> str:
    """Return the namespace of a blueprint: its name, with `_` after it where Cedar reserves that."""
    return f"{table.blueprint}_" if table.blueprint in _RESERVED else table.blueprint


def bare_type(table: Table, entity: str) -> str:
    """Return the name of an entity's type within its namespace."""
    taken = _TAKEN_BY_US if table.blueprint == "temper" else _TAKEN
    return f"{entity}_" if entity in taken else entity


def entity_type(table: Table, entity: str) -> str:
    """Return the name of an entity's type."""
    return f"{namespace(table)}::{bare_type(table, entity)}"


def action_type(table: Table) -> str:
    """Return the type of the blueprint's actions."""
    return f"{namespace(table)}::Action"


def writes(entity: str, action: str) -> ActionName:
    """Return the name of taking an action."""
    return ActionName(f"{entity}.{action}", entity, action, WRITE)


def reads(entity: str) -> ActionName:
    """Return the name of reading entities of a kind."""
    return ActionName(f"{entity}.read", entity, None, READ)


def approves(entity: str, action: str) -> ActionName:
    """Return the name of saying yes to what somebody else may not do alone."""
    return ActionName(f"{entity}.{action}.approve", entity, action, APPROVE)


def all_actions(table: Table) -> tuple[ActionName, ...]:
    """Return every action of the schema, in the order of the text: an action that is by `system` alone is none."""
    known: tuple[ActionName, ...] | None = table.__dict__.get("cedar_actions")
    if known is None:
        known = table.__dict__["cedar_actions"] = tuple(_all_actions(table))
    return known


def _all_actions(table: Table) -> list[ActionName]:
    found: list[ActionName] = []
    for entity in table.entities.values():
        found.append(reads(entity.name))
        for action in entity.actions.values():
            bys = (*action.by, *(by for case in action.cases for by in case.by))
            if any(by.kind != "system" for by in bys):
                found += [writes(entity.name, action.name), approves(entity.name, action.name)]
    return found


# --- what a policy covers: read off Cedar's JSON form of it -----------------------------------------------------------

PERMIT = "permit"
FORBID = "forbid"
_PEOPLE = frozenset({PRINCIPAL, ROLE, TEAM})


def forms(table: Table) -> tuple[tuple[Policy, Json], ...]:
    """Return the table's policies, each with Cedar's JSON form of it; read once for a table."""
    known: tuple[tuple[Policy, Json], ...] | None = table.__dict__.get("forms")
    if known is None:
        known = table.__dict__["forms"] = tuple((policy, json.loads(policy.form)) for policy in table.policies)
    return known


def covering(table: Table, name: ActionName) -> tuple[tuple[Policy, Json], ...]:
    """Return the policies whose scope lets them speak of an action; found once for a table."""
    known: dict[str, tuple[tuple[Policy, Json], ...]] = table.__dict__.setdefault("covering", {})
    if name.id not in known:
        known[name.id] = tuple((policy, form) for policy, form in forms(table) if covers(table, form, name))
    return known[name.id]


def spoken_of(table: Table) -> tuple[tuple[Policy, tuple[str, ...]], ...]:
    """Return the table's policies, each with the ids of the actions that it speaks of."""
    return tuple((policy, tuple(name.id for name in covered(table, form))) for policy, form in forms(table))


def covered(table: Table, form: Json) -> tuple[ActionName, ...]:
    """Return the actions that a policy's scope lets it speak of, in the order of the schema."""
    return tuple(name for name in all_actions(table) if covers(table, form, name))


def covers(table: Table, form: Json, name: ActionName) -> bool:
    """Say whether a policy's scope lets it speak of an action: of its kind of entity, and of people."""
    return (
        _covers_action(form["action"], action_type(table), name)
        and _may_be(form["resource"], frozenset({entity_type(table, name.entity)}))
        and _may_be(form["principal"], _PEOPLE)
    )


def _covers_action(action: Json, kind: str, name: ActionName) -> bool:
    if action["op"] == "All":
        return True
    named = action["entities"] if "entities" in action else [action["entity"]]
    ids = {name.id, name.group} if action["op"] == "in" else {name.id}
    return any(each["type"] == kind and each["id"] in ids for each in named)


def _may_be(scope: Json, kinds: frozenset[str]) -> bool:
    if scope["op"] == "is":
        return scope["entity_type"] in kinds
    return scope["op"] == "All" or scope["entity"]["type"] in kinds


def names_actions(form: Json) -> bool:
    """Say whether a policy says which actions it speaks of."""
    return bool(form["action"]["op"] != "All")
