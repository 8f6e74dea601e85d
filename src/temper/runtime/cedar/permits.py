"""What a blueprint says of who may, written as Cedar: its `by`s as permits, and what holds where nothing is said.

Taken with the policies of the files this is the whole of who may: asking plain Cedar about it gives the answer that a
server gives, with one thing more that a server does. It counts a policy that can't be evaluated against the caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from temper.runtime.cedar.engine import laid_out, text_of_form
from temper.table import Expr, Policy, Table, Type, cedar
from temper.table import shape as pieces

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Permit:
    """A policy that a blueprint comes to. `text` is empty where Cedar has no words for it, and `note` says what it is.

    `covers` are the actions that it is about.
    """

    id: str
    text: str
    note: str
    covers: tuple[str, ...]


def generated(table: Table) -> tuple[Permit, ...]:
    """Return what the blueprint itself says, in the order of its text."""
    found: list[Permit] = []
    for name in cedar.all_actions(table):
        if name.group == cedar.WRITE and name.action is not None:
            action = table.entities[name.entity].actions[name.action]
            found += _of_action(table, name, action)
        elif name.group == cedar.READ and not _permitted(table, name):
            text = f'permit (principal, action == {cedar.action_type(table)}::"{name.id}", resource);'
            note = "everybody may read what no `permit` speaks of"
            found.append(Permit(f"default/{name.id}", text, note, (name.id,)))
    found += _excluding(table)
    return tuple(found)


def whole_text(table: Table) -> str:
    """Return the whole of who may, as one text of Cedar: the blueprint's part, then that of the files."""
    parts = [_noted(permit) for permit in generated(table)]
    parts += [_as_asked(table, policy, form) for policy, form in cedar.forms(table)]
    return "\n\n".join(parts) + "\n"


def _noted(permit: Permit) -> str:
    if not permit.text:
        return f"// {permit.id}: {permit.note}"
    return f"// {permit.note}\n" + laid_out(f"@id({_quoted(permit.id)})\n{permit.text}")


def _as_asked(table: Table, policy: Policy, form: Json) -> str:
    """A file's policy as far as it is asked: a `permit` lets nobody act whom `by` keeps out."""
    speaks_of = cedar.covered(table, form)
    if policy.effect != cedar.PERMIT or all(name.group != cedar.WRITE for name in speaks_of):
        return policy.text if "id" in form.get("annotations", {}) else f"@id({_quoted(policy.id)})\n{policy.text}"
    left = [name for name in speaks_of if name.group != cedar.WRITE]
    if not left:
        return f"// {policy.id}: adds nothing, since `by` says who may act"
    kind = cedar.action_type(table)
    scope = {"op": "in", "entities": [{"type": kind, "id": name.id} for name in left]}
    return laid_out(
        text_of_form({**form, "action": scope, "annotations": {**form.get("annotations", {}), "id": policy.id}})
    )


def _permitted(table: Table, name: cedar.ActionName) -> bool:
    return any(policy.effect == cedar.PERMIT for policy, _ in cedar.covering(table, name))


# --- `by` -------------------------------------------------------------------------------------------------------------


def _of_action(table: Table, name: cedar.ActionName, action: pieces.Action) -> Iterator[Permit]:
    parted = any(case.by for case in action.cases)
    if not parted:
        yield from _of_bys(table, name, action.by, (), "")
        return
    for number, case in enumerate(action.cases):
        yield from _of_bys(table, name, case.by or action.by, case.froms, f"/{number}")


def _of_bys(
    table: Table, name: cedar.ActionName, bys: Iterable[pieces.By], froms: tuple[str, ...], case: str
) -> Iterator[Permit]:
    where = f'action == {cedar.action_type(table)}::"{name.id}", resource is {cedar.entity_type(table, name.entity)}'
    states = f"[{', '.join(_quoted(state) for state in froms)}].contains(resource.state)" if froms else ""
    at = f" from {', '.join(froms)}" if froms else ""
    for by in bys:
        id = f"by/{name.id}{case}/{by.role or by.kind}"
        if by.kind == "role" and by.role is not None:
            text = f"permit (principal in {cedar.ROLE}::{_quoted(by.role)}, {where}){_when(states)};"
            yield Permit(id, text, f"{name.id} by {by.role}{at}", (name.id,))
        elif by.kind == "anyone":
            yield Permit(id, f"permit (principal, {where}){_when(states)};", f"{name.id} by anyone{at}", (name.id,))
        elif by.kind == "who" and by.who is not None:
            named = _named(table, name.entity, by.who)
            text = f"permit (principal is {cedar.PRINCIPAL}, {where}){_when(states, *named)};" if named else ""
            told = "whom the entity names" if named else "whom the entity names, in a way that Cedar has no words for"
            yield Permit(id, text, f"{name.id} by {told}{at}", (name.id,))


def _when(*conditions: str) -> str:
    held = [each for each in conditions if each]
    return f" when {{ {' && '.join(held)} }}" if held else ""


def _named(table: Table, entity: str, who: Expr) -> tuple[str, ...]:
    """The conditions under which `principal` is whom an expression names; none where Cedar has no words for it."""
    found = _path(table, entity, who)
    if found is None:
        return ()
    path, asked, type_ = found
    if type_[0] == "optional":
        type_ = type_[1]
    if type_ == ("principal",):
        return (*asked, f"principal == {path}")
    if type_[0] in ("set", "list") and type_[1] == ("principal",):
        return (*asked, f"{path}.contains(principal)")
    return ()


def _path(table: Table, entity: str, expr: Expr) -> tuple[str, tuple[str, ...], Type] | None:
    """A field, or one behind references, as Cedar reads it, and what has to be there for that."""
    match expr:
        case ("value" | "some", inner):
            return _path(table, entity, inner)
        case ("field", name):
            return _part(table, entity, name, "resource", (), also=False)
        case ("read", inner, kind, name):
            found = _path(table, entity, inner)
            return None if found is None else _part(table, kind, name, found[0], found[1], also=True)
        case _:
            return None


def _part(
    table: Table, entity: str, name: str, owner: str, asked: tuple[str, ...], *, also: bool
) -> tuple[str, tuple[str, ...], Type] | None:
    type_ = next((field.type for field in table.entities[entity].fields if field.name == name), None)
    if type_ is None:
        return None
    # Of an entity that is being created there are no fields.
    optional = type_[0] == "optional" or not also
    return f"{owner}.{name}", (*asked, f"{owner} has {name}") if optional else asked, type_


def _excluding(table: Table) -> Iterator[Permit]:
    covers = tuple(name.id for name in cedar.all_actions(table) if name.group == cedar.WRITE)
    told: set[frozenset[str]] = set()
    for role in table.roles:
        for other in role.excludes:
            pair = frozenset((role.name, other))
            if pair in told:
                continue
            told.add(pair)
            one, two = sorted(pair)
            both = f"principal in {cedar.ROLE}::{_quoted(one)} && principal in {cedar.ROLE}::{_quoted(two)}"
            actions = f'action in {cedar.action_type(table)}::"{cedar.WRITE}"'
            text = f"forbid (principal, {actions}, resource) when {{ {both} }};"
            yield Permit(f"excludes/{one}/{two}", text, f"nobody acts as {one} and {two}", covers)


def _quoted(text: str) -> str:
    # Cedar writes the number of a character in braces.
    return re.sub(r"\\u([0-9a-f]{4})", r"\\u{\1}", json.dumps(text, ensure_ascii=False))
