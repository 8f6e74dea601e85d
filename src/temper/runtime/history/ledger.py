"""The outbox and the dead letters, held against the journal: which orders it has made, and which have ended.

A send is made in one history and ends in another, in any order of reading. So what has been read of orders is kept in
a database of its own that is gone afterwards: however many there are, memory is bounded.

How often an order was tried, when it is tried next and what went wrong with it is in no entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import msgspec

from temper.kernel import Cause, Entry
from temper.runtime.history.difference import Differs, differs
from temper.runtime.history.still import Still

_SCHEMA = """
create table made(name text primary key, entity text, id text, told integer, made text) without rowid;
create table ended(name text primary key) without rowid;
create table dead(name text primary key, entity text, id text, text text, at integer, told integer) without rowid;
create table answered(part integer, seq integer, primary key(part, seq)) without rowid;
create table offered(entity text, id text, text text, at integer, told integer, primary key(entity, id, at, text))
 without rowid;
"""
# Sends of one commit, as the lanes between two entities count them.
_LANE = 1 << 20
# Entries of this format on say what becomes of their orders, whatever it is.
_TELLING = 2
_WITHOUT_TEXT = "nothing says what becomes of it"


class _Made(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    to: str
    args: dict[str, Any]
    at: int
    lane: int
    digest: str


class _Send(msgspec.Struct, frozen=True):
    entity: str
    entity_id: str
    action: str
    params: dict[str, Any] = {}


_to_json = msgspec.json.Encoder().encode
_made = msgspec.json.Decoder(_Made).decode
_send = msgspec.json.Decoder(_Send).decode


class Ledger:
    """Orders that have been made and not ended, and letters that are to be there. Close it after use."""

    def __init__(self) -> None:
        # A file without a name: SQLite keeps some of it in memory, and the rest where temporary files are.
        self._db = apsw.Connection("")
        self._db.execute("pragma journal_mode = off")
        self._db.execute("pragma synchronous = off")
        self._db.execute(_SCHEMA)
        self._db.execute("begin")

    def close(self) -> None:
        self._db.close()

    # --- what the journal says ---

    def take(self, entry: Entry) -> None:
        """Take an entry in; those of one entity come in their order."""
        if entry.orders:
            for index, order in enumerate(entry.orders):
                lane = 0 if order.kind == "call" else entry.version * _LANE + index
                made = _Made(order.kind, order.to, order.args, entry.at, lane, entry.digest)
                self._make(order.order, entry, _to_json(made).decode())
        if entry.operated is not None:
            self._operated(entry)
        elif entry.cause in {Cause.OUTCOME, Cause.SEND}:
            self._came(entry)
        elif entry.cause is Cause.OFFER and entry.how == "dead":
            self._db.execute(
                "insert or replace into offered values(?, ?, ?, ?, ?)",
                (entry.entity, entry.id, entry.late or _WITHOUT_TEXT, entry.at, entry.format >= _TELLING),
            )

    def _make(self, name: str, entry: Entry, made: str) -> None:
        self._db.execute("delete from ended where name = ?", (name,))
        if self._db.changes() == 0:
            row = (name, entry.entity, entry.id, entry.format >= _TELLING, made)
            self._db.execute("insert or replace into made values(?, ?, ?, ?, ?)", row)

    def _end(self, name: str) -> None:
        self._db.execute("delete from made where name = ?", (name,))
        if self._db.changes() == 0:
            self._db.execute("insert or ignore into ended values(?)", (name,))

    def _came(self, entry: Entry) -> None:
        """An outcome, or a send, has come to its entity."""
        corrects = entry.ended is not None and entry.ended.number > 0
        dead = entry.refused is not None or entry.how == "dead"
        # A send that is dead stays; a call that has ended has, and what is left is the letter.
        if entry.refused is None and not corrects and not (dead and entry.cause is Cause.SEND):
            self._end(entry.event)
        if dead:
            text = entry.refused.text if entry.refused is not None else entry.late or _WITHOUT_TEXT
            told = entry.format >= _TELLING and entry.cause is Cause.OUTCOME
            self._db.execute(
                "insert or replace into dead values(?, ?, ?, ?, ?, ?)",
                (entry.event, entry.entity, entry.id, text, entry.at, told),
            )

    def _operated(self, entry: Entry) -> None:
        done = entry.operated
        assert done is not None, "an operator has done it"
        if done.kind and entry.how == "discarded":
            self._end(done.order)
        if done.kind != "send":
            self._db.execute("delete from dead where name = ?", (done.order,))
        if not done.kind:
            self._db.execute(
                "delete from offered where (entity, id, at, text) = (select entity, id, at, text from offered"
                " where entity = ? and id = ? and text = ? limit 1)",
                (entry.entity, entry.id, done.text),
            )

    # --- what the store says ---

    def is_new(self, part: int, seq: int) -> bool:
        """Say whether nobody has asked so of the entry before."""
        self._db.execute("insert or ignore into answered values(?, ?)", (part, seq))
        return self._db.changes() > 0

    def must_be(self, still: Still, digests: Sequence[str]) -> None:
        """Raise where the outbox or the letters are not what the journal says. `digests` are those of the versions."""
        self._orders(still, digests)
        self._letters(still)

    def _orders(self, still: Still, digests: Sequence[str]) -> None:
        for name, kind, entity, id, tool, args, send, number, state, attempts, next_at, *rest in still.rows("orders"):
            created_at, lane, pair, _, last_error = rest
            mine = f"{entity}/{id}"
            made = self._db.execute("select entity, id, made from made where name = ?", (name,)).fetchone()
            if made is None:
                text = f"order {name} of {mine} stands in the outbox, and no entry has made it, or one has ended it"
                raise self._wrong(text, name, mine)
            self._db.execute("delete from made where name = ?", (name,))
            whose, of, said = made
            order = _made(said)
            to, given, way = _read(kind, tool, args, send, mine)
            kept = (entity, id, kind, to, created_at, lane, given, pair)
            told = (whose, of, order.kind, order.to, order.at, order.lane, order.args, way)
            if kept != told or not 0 < number <= len(digests) or digests[number - 1] != order.digest:
                raise self._wrong(f"order {name} of {mine} is another than the entry that made it says", name, mine)
            letter = next(iter(still.rows("letter", name)), None)
            if state not in {"waiting", "started", "dead"} or (state == "dead") != (letter is not None):
                raise self._wrong(f"order {name} of {mine} is `{state}`, and a letter says otherwise", name, mine)
            if state == "waiting" and not attempts and not last_error and next_at != created_at:
                text = f"order {name} of {mine} has not been tried, and is to be at another time than it was made"
                raise self._wrong(text, name, mine)
        # Of what was made before, a send that was given up has left no trace.
        missing = self._db.execute(
            "select name, entity, id from made where told or (json_extract(made, '$[0]') = 'call'"
            " and name not in (select name from dead)) order by name limit 1"
        ).fetchone()
        if missing is not None:
            name, entity, id = missing
            mine = f"{entity}/{id}"
            raise self._wrong(f"order {name} of {mine} has not ended, and is not in the outbox", name, mine)

    def _wrong(self, text: str, name: str, mine: str) -> Differs:
        return differs(text, "orders", name, mine)

    def _letters(self, still: Still) -> None:
        db = self._db
        for name, entity, id, text, at in still.rows("letters"):
            kept = (entity, id, text, at)
            if db.execute("select entity, id, text, at from dead where name = ?", (name,)).fetchone() == kept:
                db.execute("delete from dead where name = ?", (name,))
                continue
            db.execute("delete from offered where entity = ? and id = ? and text = ? and at = ?", kept)
            if db.changes() == 0 and not _has_no_history(still, name, entity, id, text):
                raise differs(f"letter {name} of {entity}/{id} is not what an entry says", "letters", name)
        missing = db.execute(
            "select name, entity, id from dead where told union all"
            " select '', entity, id from offered where told order by 1 limit 1"
        ).fetchone()
        if missing is not None:
            name, entity, id = missing
            of = f"order {name}" if name else "what was deferred"
            raise differs(f"{entity}/{id} had no place for {of}, and there is no letter", "letters", name or None)


def _read(
    kind: str, tool: str | None, args: bytes, send: bytes | None, mine: str
) -> tuple[str, dict[str, Any], str | None]:
    """Return to whom an order of the outbox goes, with what, and the lane in which it is; nothing where it is none."""
    try:
        if kind == "call" or send is None:
            return tool or "", msgspec.json.decode(args), None
        sent = _send(send)
        target = f"{sent.entity}/{sent.entity_id}"
        return f"{target}.{sent.action}", sent.params, f"{mine}>{target}"
    except msgspec.DecodeError:
        return "", {}, None


def _has_no_history(still: Still, name: str, entity: str, id: str, text: str) -> bool:
    """Say whether a letter is of a send to somebody who was not there: its order alone tells of it."""
    order: Iterator[Sequence[Any]] = still.rows("dead_send", name)
    for send, last_error in order:
        sent = _send(send)
        return (sent.entity, sent.entity_id, last_error) == (entity, id, text)
    return False
