"""Living entities, without I/O.

In:    a `Table`, requests, the endings of attempts, and the time, all as data; a `Store` to read from.
Out:   `Host`, which decides and says what to append; the ports that it stands on, and `MemoryStore`, which keeps a
       space in memory; the journal's `Entry`, and `replay`, which folds a journal to what its entities are.
Never: asyncio, files, sockets, clocks, randomness. Whoever drives a host brings them: the runtime, or the simulator.
"""

from temper.kernel.host import Host
from temper.kernel.journal import Cause, Ended, Entry, Moved, Ordered, Published, Who
from temper.kernel.journal import No as RefusedEntry
from temper.kernel.memory import MemoryStore
from temper.kernel.ports import (
    Answer,
    Answered,
    Ask,
    Attempt,
    AttemptEnd,
    Batch,
    Busy,
    Change,
    Conflict,
    Discard,
    Done,
    Expired,
    Ids,
    Letter,
    Limits,
    No,
    Order,
    OrderRow,
    OrderState,
    Page,
    Read,
    ReadSet,
    Request,
    Retry,
    Stale,
    Stir,
    Store,
    StoreFault,
    Stranded,
    TableVersion,
    Wake,
)
from temper.kernel.replay import Folded, replay
from temper.kernel.stored import Codec, Codecs, dump_caller, load_caller, path_of, path_text

__all__ = [
    "Answer",
    "Answered",
    "Ask",
    "Attempt",
    "AttemptEnd",
    "Batch",
    "Busy",
    "Cause",
    "Change",
    "Codec",
    "Codecs",
    "Conflict",
    "Discard",
    "Done",
    "Ended",
    "Entry",
    "Expired",
    "Folded",
    "Host",
    "Ids",
    "Letter",
    "Limits",
    "MemoryStore",
    "Moved",
    "No",
    "Order",
    "OrderRow",
    "OrderState",
    "Ordered",
    "Page",
    "Published",
    "Read",
    "ReadSet",
    "RefusedEntry",
    "Request",
    "Retry",
    "Stale",
    "Stir",
    "Store",
    "StoreFault",
    "Stranded",
    "TableVersion",
    "Wake",
    "Who",
    "dump_caller",
    "load_caller",
    "path_of",
    "path_text",
    "replay",
]
