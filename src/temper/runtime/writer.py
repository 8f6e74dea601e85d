"""The thread that writes: one job after the other, each handed over and back with as little as that takes.

A pool of one thread does the same, by way of two futures, a lock and a condition for each job; with one client, who
waits for each hand-over, that is a third of what an answer takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Writer(Executor):
    """One thread. `do` is for the loop that it was made on; as an executor it serves anybody."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="temper-writer", daemon=True)
        self._thread.start()
        self._shut = False

    def do(self, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> asyncio.Future[T]:
        """Return what `call` will return, or raise, in the thread; a job that was handed over is done."""
        assert not self._shut, "nothing is written once the writer has been let go"
        loop = self._loop
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = call(*args, **named)
            except BaseException as problem:  # noqa: BLE001 - it is for whoever waits
                loop.call_soon_threadsafe(_fail, future, problem)
            else:
                loop.call_soon_threadsafe(_settle, future, result)

        self._jobs.put(job)
        return future

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return a future of what `fn` will return in the thread."""
        assert not self._shut, "nothing is written once the writer has been let go"
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as problem:  # noqa: BLE001 - it is for whoever waits
                future.set_exception(problem)

        self._jobs.put(job)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the thread end when it has done what was handed over."""
        if not self._shut:
            self._shut = True
            self._jobs.put(None)
        if wait:
            self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], problem: BaseException) -> None:
    if not future.done():
        future.set_exception(problem)
