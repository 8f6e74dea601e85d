"""Values as a scenario writes them."""

from __future__ import annotations

from temper.table import Table, Type, Value, show_as


def written(table: Table, type_: Type, value: Value) -> str:
    """Return a value as a scenario may write it: a principal is a text there, alone and in a collection."""
    match type_, value:
        case ("optional", inner), _ if value is not None:
            return written(table, inner, value)
        case ("principal",), str():
            return f'"{value}"'
        case ("set", inner, _), frozenset():
            return "{" + ", ".join(sorted(written(table, inner, each) for each in value)) + "}"
        case ("list", inner, _), tuple():
            return "[" + ", ".join(written(table, inner, each) for each in value) + "]"
        case _:
            return show_as(type_, value, table.records)
