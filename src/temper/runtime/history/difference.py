"""What an audit finds, and how each part of it says so."""

from __future__ import annotations

from dataclasses import dataclass

RESTORE = "restore the space from an export or a copy that passes, and find out who can write to the store"
DEFECT = "restore the space from an export or a copy that passes; if it came about by itself, report it"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that is not as it has to be: where, what, and what to do."""

    text: str
    help: str
    part: int = 0
    seq: int | None = None
    """The entry, where it is one."""
    entity: str | None = None
    """`Entity/id`, where it is one."""
    table: str | None = None
    """Where it stands in the store: the table, and what its row is known by."""
    row: str | None = None


class Differs(Exception):
    """An audit goes no further."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.text)
        self.difference = difference


def differs(text: str, table: str, row: object = None, entity: str | None = None) -> Differs:
    """Return what is to be raised where a row is not what the journal says."""
    return Differs(Difference(text, RESTORE, entity=entity, table=table, row=None if row is None else str(row)))
