"""Checkpoints: a space's log is written back into its file beside the appends, which seldom wait for it.

An append that takes its turn at writing the log back has all requests wait until some thousand pages, which lie all
over the file, are on the disk. A thread with a connection of its own does that as well while appends go on. So that the
log can begin anew, nothing may be left of it: now and then, when the thread has brought that down to little, the thread
that appends writes back the rest between two appends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apsw

# Sixteen megabytes of log are written back at once: more of them would lie on one page, but a start reads them all.
PAGES = 4_000
# From here on the log is to begin anew: that is a sync for which appends wait, often tens of milliseconds where others
# use the disk. A log of as many pages takes a start a tenth of a second.
PAGES_ANEW = 3 * PAGES
# A log that grows to this, since the disk can't keep up, has appends wait: it has to end somewhere.
PAGES_MAX = 16 * PAGES
# What may be left for the thread that appends: a millisecond, without the sync.
_LEFT = 200
# Times that a thread goes on with what has come meanwhile.
_ROUNDS_MAX = 8

_log = logging.getLogger("temper.runtime")


class Checkpoints:
    """Of the file that `writer` appends to; `open` makes another connection to it."""

    def __init__(self, writer: apsw.Connection, open: Callable[[], apsw.Connection]) -> None:
        self._writer = writer
        self._open = open
        self._pages = 0
        self._begun = 0
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None
        # It takes the place of SQLite's own, which has whoever commits write the log back.
        writer.set_wal_hook(self._wrote)

    def appended(self) -> None:
        """See whether there is something to do, in the thread that appends, after a commit. Raises nothing."""
        if self._under_way is not None:
            if self._under_way.done() or self._pages >= PAGES_MAX:
                problem = self._under_way.exception()
                if problem is not None:
                    _log.error("the log was not written back", exc_info=problem)
                self._under_way = None
                if self._pages >= PAGES_ANEW:
                    _written(self._writer)
        elif self._pages - self._begun >= PAGES:
            self._begun = self._pages
            self._under_way = self._beside()

    def _beside(self) -> Future[None] | None:
        """Have the thread write it back; where the system has no room for one, it is done here."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="temper-checkpoint")
        try:
            return self._thread.submit(self._write_back)
        except RuntimeError as problem:
            _log.warning("the log is written back between two appends: %s", problem)
            self._thread = None
            _written(self._writer)
            return None

    def close(self) -> None:
        """End the thread; what is in the log stays there."""
        if self._thread is not None:
            self._thread.shutdown()

    def _wrote(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._pages:
            self._begun = 0  # It has begun anew.
        self._pages = pages
        return apsw.SQLITE_OK

    def _write_back(self) -> None:
        """Write back until little is left, or what is left does not become less."""
        try:
            db = self._open()
        except apsw.Error as problem:
            _log.warning("the log can't be written back: %s", problem)
            return
        try:
            back, before = _written(db), PAGES_MAX
            for _ in range(_ROUNDS_MAX):
                written = _written(db)
                new, back = written - back, written
                if not _LEFT < new < before:
                    return
                before = new
        finally:
            db.close()


def _written(db: apsw.Connection) -> int:
    """Write back what nobody reads any more; return how many pages of the log are back by then."""
    try:
        found: Any = db.execute("pragma wal_checkpoint(passive)").fetchone()
    except apsw.Error as problem:
        # It stays in the log, and is written back with the next. If it is the disk, the next append says so.
        _log.warning("the log could not be written back: %s", problem)
        return 0
    return max(0, int(found[2]))
