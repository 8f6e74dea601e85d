"""The Cedar schema of a blueprint: generated from its table, so that it is never another than what runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from temper.runtime.cedar.engine import Checker
from temper.table import Table, Type, cedar
from temper.table import shape as pieces

Json = dict[str, Any]

NEW = "new"


def schema(table: Table, *, creating: str | None = None) -> Json:
    """Return the schema in Cedar's JSON form.

    With `creating`, that of the actions that create entities of this kind, which have no fields yet: what a policy
    reads of one has to be asked for with `has` there.
    """
    entities = {
        cedar.bare_type(table, each.name): _entity(table, each, creating=each.name == creating)
        for each in table.entities.values()
    }
    ours: Json = {"entityTypes": entities, "actions": _actions(table, creating)}
    who = people(role.name for role in table.roles)
    if cedar.namespace(table) == "temper":
        return {"temper": {"entityTypes": {**who, **entities}, "actions": ours["actions"]}}
    return {"temper": {"entityTypes": who, "actions": {}}, cedar.namespace(table): ours}


def schema_text(table: Table) -> str:
    """Return the schema in Cedar's own syntax, as editors and other tools of Cedar's read it."""
    return Checker(schema(table)).text


def creates(action: pieces.Action) -> bool:
    """Say whether an action brings an entity into being, in one of its cases."""
    return any(NEW in case.froms for case in action.cases)


def people(roles: Iterable[str]) -> Json:
    """Return the types of those who ask. Where roles are listed, one that is not among them is a finding."""
    listed = list(roles)
    return {
        "Principal": {
            "shape": _record(
                {
                    "name": _STRING,
                    "agent": _BOOL,
                    "acts_for": _optional(_reference(cedar.PRINCIPAL)),
                    "admin": _BOOL,
                }
            ),
            "tags": {"type": "String"},
            "memberOfTypes": [cedar.ROLE, cedar.TEAM],
        },
        "Role": {"enum": listed} if listed else {},
        "Team": {},
    }


def _entity(table: Table, entity: pieces.Entity, *, creating: bool) -> Json:
    fields = {field.name: _attribute(table, field.type) for field in entity.fields}
    if creating:
        fields = {name: _optional(each) for name, each in fields.items()}
    return {"shape": _record({"id": _STRING, "state": _STRING, **fields})}


def _actions(table: Table, creating: str | None) -> Json:
    found: Json = {group: {} for group in cedar.GROUPS}
    for name in cedar.all_actions(table):
        action = table.entities[name.entity].actions[name.action] if name.action is not None else None
        if creating is not None and (name.entity != creating or action is None or not creates(action)):
            continue
        found[name.id] = {
            "memberOf": [{"id": name.group, "type": cedar.action_type(table)}],
            "appliesTo": {
                "principalTypes": [cedar.PRINCIPAL],
                "resourceTypes": [cedar.entity_type(table, name.entity)],
                "context": _context(table, name, action),
            },
        }
    return found


def _context(table: Table, name: cedar.ActionName, action: pieces.Action | None) -> Json:
    asked: Json = {"now": _DATETIME, "via": _STRING, "session": _optional(_STRING)}
    if name.group == cedar.APPROVE:
        asked["requester"] = _reference(cedar.PRINCIPAL)
    if action is not None:
        params = {param.name: _attribute(table, param.type) for param in action.params}
        asked["params"] = _record(params)
    return _record(asked)


_STRING: Json = {"type": "EntityOrCommon", "name": "__cedar::String"}
_BOOL: Json = {"type": "EntityOrCommon", "name": "__cedar::Bool"}
_LONG: Json = {"type": "EntityOrCommon", "name": "__cedar::Long"}
_DATETIME: Json = {"type": "EntityOrCommon", "name": "__cedar::datetime"}
_DURATION: Json = {"type": "EntityOrCommon", "name": "__cedar::duration"}
_DECIMAL: Json = {"type": "EntityOrCommon", "name": "__cedar::decimal"}


def _record(attributes: Json) -> Json:
    return {"type": "Record", "attributes": attributes}


def _optional(attribute: Json) -> Json:
    return {**attribute, "required": False}


def _reference(name: str) -> Json:
    return {"type": "Entity", "name": name}


def _attribute(table: Table, type_: Type) -> Json:
    return _optional(_type(table, type_[1])) if type_[0] == "optional" else _type(table, type_)


def _type(table: Table, type_: Type) -> Json:
    match type_:
        case ("bool",):
            return _BOOL
        case ("int", *_):
            return _LONG
        case ("decimal", *_):
            return _DECIMAL
        case ("time",):
            return _DATETIME
        case ("duration",):
            return _DURATION
        case ("principal",):
            return _reference(cedar.PRINCIPAL)
        case ("ref", entity):
            return _reference(cedar.entity_type(table, entity))
        case ("set" | "list", of, _):
            return {"type": "Set", "element": _type(table, of)}
        case ("map", key, of, _):
            pair = _record({"key": _type(table, key), "value": _attribute(table, of)})
            return {"type": "Set", "element": pair}
        case ("record", name):
            return _record({part.name: _attribute(table, part.type) for part in table.records[name]})
        case ("optional", inner):
            return _type(table, inner)
        case _:
            return _STRING
