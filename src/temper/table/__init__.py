"""The transition table, and what it means.

In:    a checked `Machine` (from `temper.model`, to `compile_machine` alone), or a stored table's JSON.
Out:   `Table` and its canonical form; `step`, the only place that says what an event does to an entity, and `commit`,
       which takes what belongs together; `possible` and `broken`, which ask `step`'s own predicates; `change` between
       two tables; `encode` and `decode` of values. The classes of a table are in `shape`.
Never: clocks, randomness, I/O. Time and ids arrive as data.
"""

from temper.table import table as shape
from temper.table.events import (
    FAULTS,
    Accepted,
    Act,
    Armed,
    Caller,
    CallOrder,
    Creation,
    Deferred,
    Deliver,
    Emitted,
    Ending,
    Event,
    Fire,
    How,
    Move,
    Offer,
    Outcome,
    Pending,
    Refused,
    SendOrder,
    Snapshot,
    Value,
    Why,
)
from temper.table.table import Expr, Table, Type

__all__ = [
    "FAULTS",
    "Accepted",
    "Act",
    "Armed",
    "CallOrder",
    "Caller",
    "Creation",
    "Deferred",
    "Deliver",
    "Emitted",
    "Ending",
    "Event",
    "Expr",
    "Fire",
    "How",
    "Move",
    "Offer",
    "Outcome",
    "Pending",
    "Refused",
    "SendOrder",
    "Snapshot",
    "Table",
    "Type",
    "Value",
    "Why",
    "shape",
]
