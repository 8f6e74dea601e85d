"""A space's file: whose it is, its connections, and what is done to one that an earlier build made.

It is in WAL mode with `synchronous=FULL`: an append that has returned is on the disk. One process has it at a time; it
holds a lock on a file beside it for as long as it lives, which a kill lets go of.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import apsw

from temper.kernel import StoreFault
from temper.runtime.chain import GENESIS, chained
from temper.runtime.disk import fault_of
from temper.runtime.ranks import SCHEMA as RANKS
from temper.runtime.sqlite.indexing import SCHEMA as LABELS
from temper.runtime.sqlite.schema import (
    APPLICATION_ID,
    ARCHIVE,
    FORMAT,
    FORMAT_LAST,
    POPULATIONS,
    SCHEMA,
    WATCHING,
)

# Rows that a migration takes at once.
_MIGRATED_AT_ONCE = 10_000

# Rows that go by one statement. SQLite runs it to its end without the interpreter's lock, which it else gives up and
# waits for at each row, while the loop has it: a third of what an append takes beside a busy loop.
ROWS_AT_ONCE = 64
# Kept ready: one statement for each number of rows, beside all others.
_STATEMENTS = 4 * ROWS_AT_ONCE


def locked(path: Path) -> IO[str]:
    """Return the lock that says whose the file is, held. A process that dies lets go of it."""
    try:
        lock = Path(f"{path}.lock").open("a+", encoding="utf-8")  # noqa: SIM115 - held for as long as the store is open
    except OSError as problem:
        raise StoreFault(f"`{path}.lock` can't be written: {problem.strerror}") from problem
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        lock.seek(0)
        other = lock.read().strip() or "another"
        lock.close()
        raise StoreFault(
            f"`{path}` is in use by process {other}: stop it, or give this one a folder of its own"
        ) from problem
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def writing(path: Path, vfs: str | None) -> apsw.Connection:
    """Return the connection that writes; make the tables of a new file. One that is not ours is left as it is."""
    db = connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, vfs)
    try:
        new = db.execute("select count(*) from sqlite_schema").get == 0
        old = not new and _see_whose(db, path) < FORMAT
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        # What a statement of many rows would take back if it failed is kept there, and not in a file.
        db.execute("pragma temp_store = memory")
        db.execute("pragma journal_size_limit = 67108864")
        if new:
            with db:
                db.execute(SCHEMA)
        if old:
            _migrate(db)
        db.execute(WATCHING)
        db.execute(ARCHIVE)
        _make_lists(db)
    except BaseException:
        db.close()
        raise
    return db


def archive_of(path: Path) -> Path:
    """Return the folder of what has been put away of the space in that file."""
    return path.with_suffix(".archive")


def founded(path: Path) -> apsw.Connection:
    """Return a connection to a new file with a space's tables, not in WAL mode: one that is filled before it is served.

    What a fault leaves there is of no use.
    """
    db = connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, None)
    db.execute("pragma synchronous = off")  # It is synced as a whole, once it is whole.
    with db:
        db.execute(SCHEMA)
        db.execute(WATCHING)
        db.execute(ARCHIVE)
        _make_lists(db)
    return db


def _make_lists(db: apsw.Connection) -> None:
    """Make what lists and pushes need, and what files of earlier builds have not."""
    db.execute(RANKS)
    db.execute(LABELS)
    if db.execute("select 1 from sqlite_schema where name = 'populations'").get is None:
        with db:
            db.execute(POPULATIONS)


def reading(path: Path) -> apsw.Connection:
    """Return a connection to a space's file that changes nothing, whoever serves it. Raises `StoreFault`."""
    if not path.is_file():
        raise StoreFault(f"there is no file `{path}`")
    try:
        db = connect(path, apsw.SQLITE_OPEN_READONLY, None)
    except apsw.Error as problem:
        raise StoreFault(f"`{path}` can't be opened: {problem}") from problem
    try:
        found = _see_whose(db, path)
        if found < FORMAT:
            raise StoreFault(f"`{path}` has format {found}: serve it once with this Temper, which makes it {FORMAT}")
    except apsw.Error as problem:
        db.close()
        raise fault_of(path, problem) from problem
    except StoreFault:
        db.close()
        raise
    return db


def asking(path: Path, vfs: str | None) -> apsw.Connection:
    db = connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
    db.execute("pragma query_only = on")
    return db


def connect(path: Path, flags: int, vfs: str | None) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=_STATEMENTS)
    db.set_busy_timeout(5_000)
    return db


def _see_whose(db: apsw.Connection, path: Path) -> int:
    """Return the format of a file that is ours. Raises `StoreFault` where it is not, or is newer than we are."""
    if db.execute("pragma application_id").get != APPLICATION_ID:
        raise StoreFault(f"`{path}` is no space of Temper's")
    found = db.execute("select value from meta where name = 'format'").get
    if not isinstance(found, int) or not 1 <= found <= FORMAT_LAST:
        raise StoreFault(f"`{path}` has format {found}, and this Temper reads format {FORMAT_LAST}: use the newer one")
    return found


def _migrate(db: apsw.Connection) -> None:
    """Bring a file of format 1 to format 2, in one commit: a kill on the way leaves it as it was.

    Each entry gets its hash. What was written without marks gets none: it is read from the entity's first entry on.
    """
    with db:
        # The default is there since rows are; each gets its own below.
        db.execute("alter table log add column hash blob not null default x''")
        db.execute(
            "create table marks(entity integer not null, seq integer not null, version integer not null,"
            " body blob not null, primary key(entity, seq)) without rowid"
        )
        head, seq = GENESIS, 0
        while rows := _unhashed(db, seq):
            hashes = []
            for seq, body in rows:
                head = chained(head, body)
                hashes.append((head, seq))
            db.executemany("update log set hash = ? where seq = ?", hashes)
        db.execute("update meta set value = ? where name = 'format'", (FORMAT,))


def _unhashed(db: apsw.Connection, after: int) -> Sequence[tuple[int, bytes]]:
    """Return the next entries that a migration takes."""
    found: Any = db.execute(
        "select seq, body from log where seq > ? order by seq limit ?", (after, _MIGRATED_AT_ONCE)
    ).fetchall()
    return found  # type: ignore[no-any-return]  # apsw's rows are tuples of anything


def back(db: apsw.Connection) -> None:
    """Take back what is not committed; SQLite goes back by itself on some faults."""
    if db.in_transaction:
        db.execute("rollback")
