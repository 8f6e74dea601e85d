"""Living entities, without I/O.

In:    a `Table`, requests, the endings of attempts, and the time, all as data; a `Store` to read from.
Out:   `Host`, which decides and says what to append; the ports that it stands on; the journal's `Entry`.
Never: asyncio, files, sockets, clocks, randomness. Whoever drives a host brings them: the runtime, or the simulator.
"""

from temper.kernel.journal import Cause, Entry
from temper.kernel.ports import (
    Answer,
    Attempt,
    AttemptEnd,
    Batch,
    Busy,
    Change,
    Conflict,
    Done,
    Expired,
    Letter,
    No,
    OrderRow,
    Request,
    Store,
    TableVersion,
)

__all__ = [
    "Answer",
    "Attempt",
    "AttemptEnd",
    "Batch",
    "Busy",
    "Cause",
    "Change",
    "Conflict",
    "Done",
    "Entry",
    "Expired",
    "Letter",
    "No",
    "OrderRow",
    "Request",
    "Store",
    "TableVersion",
]
