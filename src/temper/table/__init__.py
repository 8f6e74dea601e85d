"""The transition table, and what it means.

In:    a checked `Machine` (from `temper.model`, to `compile_machine` alone), or a stored table's JSON.
Out:   `Table` and its canonical form; `step`, the only place that says what an event does to an entity, and `commit`,
       which takes what belongs together; `possible`, `why` and `broken`, which ask `step`'s own predicates; `due`;
       `change` between two tables, `homeless` and `carry` for those who live by the first; `evaluate`; `encode` and
       `decode` of values; what reads what of others (`watches`, `watchers`, `rouse`). The classes of a table are in
       `shape`.
Never: clocks, randomness, I/O. Time and ids arrive as data.
"""

from typing import TYPE_CHECKING, Any

from temper.table import cedar
from temper.table import table as shape
from temper.table.armed import places_in, wait_of
from temper.table.canary import SHARES, apart, live_by, origin, takes, together, with_canary
from temper.table.carry import carry, homeless
from temper.table.change import Change, change
from temper.table.commit import Commit, Overlay, Part, Read, World, broken, commit
from temper.table.due import due, next_due
from temper.table.evaluate import Everything, Look, NoValue, Others, default_values, evaluate
from temper.table.events import (
    FAULTS,
    Accepted,
    Act,
    Armed,
    Caller,
    CallOrder,
    Consent,
    Creation,
    Deferred,
    Deliver,
    Emitted,
    Ending,
    Event,
    Fire,
    How,
    Join,
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
from temper.table.form import BadTable, digest, dump, load
from temper.table.moving import Moving, moving, upgrade_problems
from temper.table.phrase import describe_expr
from temper.table.placed import Asked, places, with_places
from temper.table.possible import Clause, Possible, possible, why
from temper.table.reach import Hop, Path, Watch, watched_fields, watchers, watches
from temper.table.refs import field_references, holds_references, references
from temper.table.rouse import SPIN_MS, rouse
from temper.table.step import step
from temper.table.table import Expr, Policy, Table, Type
from temper.table.values import (
    DIGITS_MAX,
    DURATION_MAX,
    TEXT_MAX,
    TIME_MAX,
    TIME_MIN,
    BadValue,
    Records,
    args_schema,
    canonical_key,
    decode,
    decode_args,
    describe,
    encode,
    encode_args,
    fits,
    is_plain,
    json_schema,
    show_as,
)

if TYPE_CHECKING:
    from temper.table.compile import compile_expression, compile_machine, compile_type

__all__ = [
    "DIGITS_MAX",
    "DURATION_MAX",
    "FAULTS",
    "SHARES",
    "SPIN_MS",
    "TEXT_MAX",
    "TIME_MAX",
    "TIME_MIN",
    "Accepted",
    "Act",
    "Armed",
    "Asked",
    "BadTable",
    "BadValue",
    "CallOrder",
    "Caller",
    "Change",
    "Clause",
    "Commit",
    "Consent",
    "Creation",
    "Deferred",
    "Deliver",
    "Emitted",
    "Ending",
    "Event",
    "Everything",
    "Expr",
    "Fire",
    "Hop",
    "How",
    "Join",
    "Look",
    "Move",
    "Moving",
    "NoValue",
    "Offer",
    "Others",
    "Outcome",
    "Overlay",
    "Part",
    "Path",
    "Pending",
    "Policy",
    "Possible",
    "Read",
    "Records",
    "Refused",
    "SendOrder",
    "Snapshot",
    "Table",
    "Type",
    "Value",
    "Watch",
    "Why",
    "World",
    "apart",
    "args_schema",
    "broken",
    "canonical_key",
    "carry",
    "cedar",
    "change",
    "commit",
    "compile_expression",
    "compile_machine",
    "compile_type",
    "decode",
    "decode_args",
    "default_values",
    "describe",
    "describe_expr",
    "digest",
    "due",
    "dump",
    "encode",
    "encode_args",
    "evaluate",
    "field_references",
    "fits",
    "holds_references",
    "homeless",
    "is_plain",
    "json_schema",
    "live_by",
    "load",
    "moving",
    "next_due",
    "origin",
    "places",
    "places_in",
    "possible",
    "references",
    "rouse",
    "shape",
    "show_as",
    "step",
    "takes",
    "together",
    "upgrade_problems",
    "wait_of",
    "watched_fields",
    "watchers",
    "watches",
    "why",
    "with_canary",
    "with_places",
]


def __getattr__(name: str) -> Any:
    # Whoever has a table needs nothing of what it was made from, which takes four times as long to import.
    if name in {"compile_expression", "compile_machine", "compile_type"}:
        from temper.table import compile as making

        return getattr(making, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
