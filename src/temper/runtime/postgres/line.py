"""Connections to PostgreSQL, in a thread of their own: what any thread asks is done there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from temper.kernel import StoreFault

if TYPE_CHECKING:
    import asyncpg

_CONNECT_S = 5.0
_ANSWER_S = 60.0
# Reads of one space that are under way at a time; the rest wait.
_READERS_MAX = 4
_AGAIN_S = 1.0
_PLANS = "set plan_cache_mode = force_generic_plan; set jit = off; set max_parallel_workers_per_gather = 0"
_CLOSE_S = 2.0

Heard = Callable[[int, str], None]
"""What is called with the number of the backend that tells, and what it says."""

_T = TypeVar("_T")


class Line:
    """A connection that writes, a few that read, and one that listens; those that are lost are made again."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="temper-postgres", daemon=True)
        self._thread.start()
        self._writer: asyncpg.Connection[Any] | None = None
        self._idle: list[asyncpg.Connection[Any]] = []
        self._readers = asyncio.Semaphore(_READERS_MAX)
        self._connections: set[asyncpg.Connection[Any]] = set()
        """All that are open, whoever has them."""
        self._listening: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._asked: set[concurrent.futures.Future[Any]] = set()
        """What is under way; nothing is added once the line is being closed."""
        self._ending = False
        self._ends = asyncio.Event()

    def now(self) -> float:
        """Return the time by which waiting is measured, in seconds."""
        return self._loop.time()

    def ask(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what comes of `work`, which is done on the line's own loop. Raises `StoreFault`."""
        asked = self._put(work)
        if asked is None:
            raise StoreFault("the store is closed")
        try:
            return asked.result()
        except concurrent.futures.CancelledError as cut:
            raise StoreFault("the store was closed before the database answered", unknown=True) from cut

    def rows(self, sql: str, *given: Any) -> Sequence[Any]:
        """Return the rows that answer a question. Raises `StoreFault`."""
        return self.ask(self.read(sql, given))

    def first(self, sql: str, *given: Any) -> Any:
        """Return the first row, or `None`."""
        return next(iter(self.rows(sql, *given)), None)

    def one(self, sql: str, *given: Any) -> Any:
        """Return the first value of the first row, or `None`."""
        found = self.first(sql, *given)
        return None if found is None else found[0]

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin what is done on the line's own loop and nobody waits for; a line that is closed begins nothing."""
        self._put(work())

    def _put(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T] | None:
        with self._lock:
            if self._ending:
                work.close()
                return None
            asked = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        return asked

    async def rest(self, seconds: float) -> None:
        """Wait so long, or until the line is being closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ends.wait()

    async def read(self, sql: str, given: Sequence[Any]) -> Sequence[Any]:
        """Return the rows; where a connection was lost the question is put again, once, on a new one."""
        async with self._readers:
            for last in (False, True):
                reader: asyncpg.Connection[Any] | None = None
                try:
                    reader = self._idle.pop() if self._idle else await self.connect()
                    rows: Sequence[Any] = await reader.fetch(sql, *given, timeout=_ANSWER_S)
                except StoreFault:
                    raise
                except Exception as problem:
                    if not is_loss(problem):
                        assert reader is not None, "whatever was answered was asked"
                        self._idle.append(reader)
                        raise fault(problem) from problem
                    if reader is not None:
                        reader.terminate()
                    # The others were lost with it, most likely.
                    while self._idle:
                        self._idle.pop().terminate()
                    if last:
                        raise fault(problem) from problem
                else:
                    self._idle.append(reader)
                    return rows
        raise AssertionError("the second try returns or raises")

    def listen(self, channel: str, heard: Heard) -> None:
        """Call `heard`, in the line's thread, with whatever is told there; what is told meanwhile may be missed."""

        def told(_: object, backend: int, __: str, payload: object) -> None:
            heard(backend, str(payload))

        async def keep() -> None:
            while True:
                connection: asyncpg.Connection[Any] | None = None
                try:
                    connection = await self.connect()
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda _, lost=lost: lost.set())
                    await connection.add_listener(channel, told)
                    await lost.wait()
                except Exception:  # noqa: BLE001 - what is told is a hint: whoever waits looks by itself, too
                    await asyncio.sleep(_AGAIN_S)
                finally:
                    if connection is not None:
                        connection.terminate()

        async def begin() -> None:
            self._listening = asyncio.create_task(keep())

        self.ask(begin())

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
            made: asyncpg.Connection[Any] = await asyncpg.connect(
                self._url,
                timeout=_CONNECT_S,
                # A standby would read what was so some time ago, and write nothing.
                target_session_attrs="primary",
                server_settings={"search_path": self._schema, "application_name": "temper"},
            )
        except Exception as problem:
            raise fault(problem) from problem
        self._connections.add(made)
        made.add_termination_listener(self._connections.discard)
        try:
            # All that is asked is meant for an index, whatever the values: to plan a page anew for each costs more
            # than to read it, and a plan for some values may sort a million. Nor is any worth compiling, or waiting
            # for another process to help.
            await made.execute(_PLANS, timeout=_CONNECT_S)
        except Exception as problem:
            made.terminate()
            raise fault(problem) from problem
        return made

    def close(self) -> None:
        """End the connections and the thread. Who still waits for an answer is told that there will be none."""
        with self._lock:
            first, self._ending = not self._ending, True
        if first:
            asyncio.run_coroutine_threadsafe(self._closed(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        if first:
            for asked in list(self._asked):
                asked.cancel()
            self._loop.close()

    async def _closed(self) -> None:
        self._ends.set()
        listening = {self._listening} if self._listening is not None else set()
        # Cut off in the middle of a query, one would leave another behind that cancels it.
        await _ended(_others() - listening)
        for task in _others():
            task.cancel()
        await _ended(_others())
        # Whoever has not ended by then waits for a database that is out of reach.
        await asyncio.gather(*map(_let_go, list(self._connections)))
        await _ended(_others())


def _others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def _ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Give them some time to end."""
    if tasks:
        await asyncio.wait(tasks, timeout=_CLOSE_S)


async def _let_go(connection: asyncpg.Connection[Any]) -> None:
    try:
        await connection.close(timeout=_CLOSE_S)
    except Exception:  # noqa: BLE001 - it is let go of either way
        connection.terminate()


def is_loss(problem: BaseException) -> bool:
    """Say whether a connection was lost, so that what was asked on it may or may not have been done."""
    import asyncpg

    if isinstance(problem, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    # Class 08 is of connections, 57P of a server that stops or starts, 25006 of a primary that is one no longer.
    code = getattr(problem, "sqlstate", None) or ""
    return code.startswith(("08", "57P")) or code == "25006"


def fault(problem: BaseException, *, unknown: bool = False) -> StoreFault:
    """Return what went wrong in words."""
    code = getattr(problem, "sqlstate", None) or ""
    text = str(problem) or type(problem).__name__
    if code.startswith("53"):
        return StoreFault(f"PostgreSQL has no room ({text}): make room, then ask again", unknown=unknown)
    if code == "25006":
        return StoreFault(f"this PostgreSQL only reads ({text}): name the primary in the URL", unknown=unknown)
    return StoreFault(f"PostgreSQL could not take it: {text}", unknown=unknown)
