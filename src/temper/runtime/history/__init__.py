"""A space as a whole: audited, exported and taken in again, from and to every store that lasts.

In:    a file, or a database's address and a space's name; a stream; anchors.
Out:   `audit` and what it found; the lines of `exported`; spaces that `plant_file` and `plant_postgres` make of them.
Never: decides anything, or changes a space that is there.
"""

from temper.runtime.history.audit import Anchor, Audited, audit
from temper.runtime.history.difference import Difference
from temper.runtime.history.planting import plant_file, plant_postgres
from temper.runtime.history.still import PostgresStill, SqliteStill, Still
from temper.runtime.history.stream import Exported, exported, imported, space_of
from temper.runtime.records import Head

__all__ = [
    "Anchor",
    "Audited",
    "Difference",
    "Exported",
    "Head",
    "PostgresStill",
    "SqliteStill",
    "Still",
    "audit",
    "exported",
    "imported",
    "plant_file",
    "plant_postgres",
    "space_of",
]
