"""A table as bytes: one spelling, so that its digest says which table it is."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec

from temper.table.table import FORMAT, Notes, Table


class BadTable(ValueError):
    """Bytes that hold no table, or one of a format that this version does not know."""


def dump(table: Table, *, notes: bool = True) -> bytes:
    """Return the canonical JSON of a table: keys sorted, no spaces, UTF-8. `digest` is taken of it without notes."""
    plain = msgspec.to_builtins(table)
    _spell(plain, notes=notes)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _spell(plain: dict[str, Any], *, notes: bool) -> None:
    """Leave out what a table has not: it is spelt as it was before there were such things."""
    if not plain["policies"]:
        del plain["policies"]
    if plain["canary"] is None:
        del plain["canary"]
    else:
        _spell(plain["canary"]["table"], notes=notes)
    if not notes:
        del plain["notes"]


def load(data: bytes) -> Table:
    """Return the table that `dump` wrote. Raises `BadTable` for anything else."""
    try:
        plain = _tuples(json.loads(data))
    except (ValueError, RecursionError) as problem:
        raise BadTable(f"the table is not JSON: {problem}") from problem
    version = plain.get("format") if isinstance(plain, dict) else None
    if type(version) is not int:
        raise BadTable("this is no table: it does not say its `format`")
    if version != FORMAT:
        raise BadTable(f"the table has format {version}; this version reads format {FORMAT}")
    try:
        table = msgspec.convert(plain, Table)
    except msgspec.ValidationError as problem:
        raise BadTable(f"this is no table: {problem}") from problem
    return _in_text_order(table)


def digest(table: Table) -> str:
    """Return the sha256 of the table without its notes, in hex. Two tables with one digest do the same."""
    known = table.__dict__.get("digest")
    if known is None:
        known = table.__dict__["digest"] = sha256(dump(table, notes=False)).hexdigest()
    return str(known)


def _tuples(json_value: Any) -> Any:
    """Lists made tuples again, since types and expressions are hashed and compared."""
    if isinstance(json_value, list):
        return tuple(map(_tuples, json_value))
    if isinstance(json_value, dict):
        return {key: _tuples(value) for key, value in json_value.items()}
    return json_value


def _in_text_order(table: Table) -> Table:
    """The canonical form sorts names; people see them as the author wrote them, where the notes say how."""

    def ordered(named: dict[str, Any]) -> dict[str, Any]:
        return dict(sorted(named.items(), key=lambda item: _place(table.notes, item[1].site)))

    entities = {
        name: msgspec.structs.replace(entity, actions=ordered(entity.actions))
        for name, entity in ordered(table.entities).items()
    }
    canary = table.canary
    if canary is not None:
        canary = msgspec.structs.replace(canary, table=_in_text_order(canary.table))
    return msgspec.structs.replace(table, entities=entities, tools=ordered(table.tools), canary=canary)


def _place(notes: Notes, site: str) -> tuple[bool, str, int, str]:
    file, start, _ = notes.places.get(site, ("", 0, 0))
    return site not in notes.places, file, start, site
