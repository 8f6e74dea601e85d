"""Connections to PostgreSQL, in a thread of their own: what any thread asks is done there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from temper.kernel import StoreFault

if TYPE_CHECKING:
    import asyncpg

_CONNECT_S = 10.0
_ANSWER_S = 60.0

_T = TypeVar("_T")


class Line:
    """One connection that writes and one that reads, made when they are first wanted and again when they are lost."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="temper-postgres", daemon=True)
        self._thread.start()
        self._writer: asyncpg.Connection[Any] | None = None
        self._reader: asyncpg.Connection[Any] | None = None
        self._reading = asyncio.Lock()

    def now(self) -> float:
        """Return the time by which waiting is measured, in seconds."""
        return self._loop.time()

    def ask(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what comes of `work`, which is done on the line's own loop. Raises `StoreFault`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def read(self, sql: str, given: Sequence[Any]) -> Sequence[Any]:
        """Return the rows; a connection that was lost is made again, once."""
        async with self._reading:
            for last in (False, True):
                try:
                    if self._reader is None or self._reader.is_closed():
                        self._reader = await self.connect()
                    rows: Sequence[Any] = await self._reader.fetch(sql, *given, timeout=_ANSWER_S)
                    return rows
                except StoreFault:
                    raise
                except Exception as problem:
                    if not is_loss(problem):
                        raise fault(problem) from problem
                    if self._reader is not None:
                        self._reader.terminate()
                        self._reader = None
                    if last:
                        raise fault(problem) from problem
        raise AssertionError("the second try returns or raises")

    async def writer(self) -> asyncpg.Connection[Any]:
        """Return the connection that writes."""
        if self._writer is None or self._writer.is_closed():
            self._writer = await self.connect()
        return self._writer

    def drop(self) -> None:
        """Give the connection that writes up: whatever it was doing, nobody waits for it any more."""
        if self._writer is not None:
            self._writer.terminate()
            self._writer = None

    async def connect(self) -> asyncpg.Connection[Any]:
        """Return a new connection. Raises `StoreFault`."""
        try:
            import asyncpg
        except ImportError as missing:
            raise StoreFault("PostgreSQL needs `asyncpg`: install `temper-blueprint[postgres]`") from missing
        try:
            return await asyncpg.connect(
                self._url,
                timeout=_CONNECT_S,
                server_settings={"search_path": self._schema, "application_name": "temper"},
            )
        except Exception as problem:
            raise fault(problem) from problem

    def close(self) -> None:
        """End the connections and the thread."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._closed(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _closed(self) -> None:
        for connection in (self._writer, self._reader):
            if connection is not None and not connection.is_closed():
                try:
                    await connection.close(timeout=2)
                except Exception:  # noqa: BLE001 - it is let go of either way
                    connection.terminate()


def is_loss(problem: BaseException) -> bool:
    """Say whether a connection was lost, so that what was asked on it may or may not have been done."""
    import asyncpg

    if isinstance(problem, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    # Class 08 is of connections, 57P of a server that stops or starts.
    code = getattr(problem, "sqlstate", None) or ""
    return code.startswith(("08", "57P"))


def fault(problem: BaseException, *, unknown: bool = False) -> StoreFault:
    """Return what went wrong in words."""
    code = getattr(problem, "sqlstate", None) or ""
    text = str(problem) or type(problem).__name__
    if code.startswith("53"):
        return StoreFault(f"PostgreSQL has no room ({text}): make room, then ask again", unknown=unknown)
    if code == "25006":
        return StoreFault(f"this PostgreSQL only reads ({text}): name the primary in the URL", unknown=unknown)
    return StoreFault(f"PostgreSQL could not take it: {text}", unknown=unknown)
