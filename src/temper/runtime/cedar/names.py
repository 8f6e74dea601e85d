"""What things of a blueprint are called in Cedar.

Types are `BLUEPRINT::Entity`; a principal is a `temper::Principal`, its parents are `temper::Role` and `temper::Team`.
Actions are `BLUEPRINT::Action::"Entity.Action"`, those of reading `"Entity.read"`, those of saying yes to somebody
else's `"Entity.Action.approve"`; each kind has a group: "write", "read" and "approve".
"""

from __future__ import annotations

from dataclasses import dataclass

from temper.table import Table

PRINCIPAL = "temper::Principal"
ROLE = "temper::Role"
TEAM = "temper::Team"

WRITE = "write"
READ = "read"
APPROVE = "approve"
GROUPS = (WRITE, READ, APPROVE)

# Words that can't stand in a path of Cedar's; those of the blueprint language that are reserved there never come here.
_RESERVED = frozenset({"true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"})
# An entity type may not be called as the type of actions is; in the namespace `temper` ours stand already.
_TAKEN = frozenset({"Action"})
_TAKEN_BY_US = _TAKEN | {"Principal", "Role", "Team", "Blueprint", "Server"}


@dataclass(frozen=True, slots=True)
class ActionName:
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
