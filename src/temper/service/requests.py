"""What a request asks for: which action, with which parameters, under which key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from temper.service import wire
from temper.service.declined import Declined, action_of, bad_query, words
from temper.service.people import Person
from temper.service.views import required
from temper.table import BadValue, Table, Value, decode
from temper.table import shape as pieces
from temper.text import suggest

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")
KEY_MAX = 200
# Words that stand where an id stands in a path.
RESERVED_IDS = frozenset({"actions", "events"})


def moment_of(at: str) -> tuple[int, int | None]:
    """Return the entry's number that `at` says, or 0 and the time that it says. Declines where it says neither."""
    if at.isascii() and at.isdecimal() and len(at) < 19:
        return int(at), None
    try:
        time = decode(("time",), at, records={})
    except BadValue:
        time = None
    if not isinstance(time, int):
        raise bad_query("at", "is an entry's number, or a time such as `2026-11-24T12:00:00Z`")
    return 0, time


def creating_action(kind: pieces.Entity, action: str | None) -> pieces.Action:
    creating = {name: each for name, each in kind.actions.items() if any("new" in case.froms for case in each.cases)}
    if action is not None:
        chosen = action_of(kind, action)
        if action not in creating:
            raise Declined(
                wire.Problem(
                    type="bad-request",
                    title=f"`{action}` creates no {kind.name}",
                    status=422,
                    help=f"what does: {words(creating)}",
                    errors=(wire.FieldError(path="action", message="names no creating action"),),
                )
            )
        return chosen
    asked = {name: each for name, each in creating.items() if by_people(each)} or creating
    if len(asked) != 1:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title=f"a {kind.name} can be created by several actions" if asked else f"nothing creates a {kind.name}",
                status=422,
                help=f"name one: `?action=` {words(asked)}" if asked else "",
                errors=(wire.FieldError(path="action", message="is missing"),),
            )
        )
    return next(iter(asked.values()))


def by_people(action: pieces.Action) -> bool:
    whose = [*action.by, *(by for case in action.cases for by in case.by)]
    return any(by.kind != "system" for by in whose)


def asked_for(table: Table, entity: str, action: str, *, new: bool) -> bool:
    chosen = table.entities[entity].actions[action]
    here = any(("new" in case.froms) if new else any(name != "new" for name in case.froms) for case in chosen.cases)
    return here and by_people(chosen)


def wanted_id(body: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    if "id" not in body:
        return None, body
    id = body["id"]
    if not isinstance(id, str) or not ID.fullmatch(id) or id in RESERVED_IDS:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title="the id does not fit",
                status=422,
                errors=(
                    wire.FieldError(
                        path="/id",
                        message="is not from 1 to 64 letters, digits, `.`, `_`, `~` and `-`, the first no sign"
                        + (", or is one of the reserved words" if isinstance(id, str) and id in RESERVED_IDS else ""),
                    ),
                ),
            )
        )
    return id, {name: value for name, value in body.items() if name != "id"}


def params_of(table: Table, action: pieces.Action, body: Mapping[str, Any]) -> dict[str, Value]:
    params: dict[str, Value] = {}
    if not body and not action.params:
        return params
    errors: list[wire.FieldError] = []
    known = {param.name: param for param in action.params}
    for name, value in body.items():
        param = known.get(name)
        if param is None:
            near = suggest(name, known)
            hint = f"; did you mean `{near}`?" if near else f"; `{action.name}` takes {words(known)}" if known else ""
            errors.append(wire.FieldError(path=f"/{name}", message=f"is no parameter of `{action.name}`{hint}"))
            continue
        try:
            params[name] = decode(param.type, value, records=table.records)
        except BadValue as bad:
            errors.append(wire.FieldError(path=f"/{name}{bad.path}", message=bad.message))
    errors.extend(
        wire.FieldError(path=f"/{param.name}", message="is missing")
        for param in action.params
        if param.name not in body and required(param)
    )
    if errors:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title=f"the parameters of `{action.name}` do not fit",
                status=422,
                detail="; ".join(f"{each.path} {each.message}" for each in errors),
                errors=tuple(errors),
            )
        )
    return params


def scoped_key(person: Person, key: str | None) -> str | None:
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_MAX or not key.isascii() or not key.isprintable():
        raise Declined(
            wire.Problem(
                type="bad-request",
                title=f"an idempotency key is from 1 to {KEY_MAX} printable ASCII characters",
                status=400,
                errors=(wire.FieldError(path="Idempotency-Key", message="does not fit"),),
            )
        )
    return f"{person.principal}\n{key}"


def fingerprint(entity: str, id: str, action: str, asked: Mapping[str, Any]) -> str:
    body = msgspec.json.encode(asked, order="sorted")
    return hashlib.sha256(b"\n".join((entity.encode(), id.encode(), action.encode(), body))).hexdigest()
