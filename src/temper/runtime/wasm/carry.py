"""The modules of a server: each call in a thread, and an instance, of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from temper.runtime.clock import SystemClock
from temper.runtime.tools import Adapter, Attempt, Call, Failed, Kind
from temper.runtime.wasm.engine import Unsound, compiled, known
from temper.runtime.wasm.flaws import imports_of
from temper.runtime.wasm.grants import Grants
from temper.runtime.wasm.package import NotPacked, digest_of, unpack
from temper.runtime.wasm.run import late, run
from temper.table import Table

# An attempt says itself that its time is up, a little before whoever waits for it does: then it is known to have ended.
_MARGIN = 0.9
_STOPPING_SECONDS = 0.05


class Modules:
    """Carries out the tools that modules are declared for, of any table. Its threads start with the first call."""

    def __init__(self, grants: Grants | None = None, now: Callable[[], int] | None = None) -> None:
        self.grants = grants or Grants()
        self._now = now or SystemClock().now
        self._threads = ThreadPoolExecutor(self.grants.calls, thread_name_prefix="temper-wasm")

    def adapter(self, table: Table, tool: str) -> Adapter | None:
        """Return what carries out `tool` by `table`; `None` where that is an adapter's of the settings.

        Nothing is compiled here. What is compiled is kept by its digest, whichever table names it.
        """
        declared = table.tools.get(tool)
        if declared is None or declared.wasm is None:
            return None
        return _Module(self, table, declared.wasm)

    def denied(self, table: Table) -> list[tuple[str, str]]:
        """Return which tools' modules import what the settings don't allow. Of those that have been compiled."""
        found = []
        for name, tool in sorted(table.tools.items()):
            code = known(table.modules.get(tool.wasm, "")) if tool.wasm is not None else None
            if code is not None:
                found += [(name, each) for each in sorted(imports_of(code) - self.grants.of(name).allow)]
        return found

    def close(self) -> None:
        """Take no more calls. Those under way end by themselves, within their time; nobody hears of them."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def carry_out(self, table: Table, file: str, call: Call) -> Attempt:
        """Return what comes of a call of the module `file` of `table`'s bundle."""
        seconds = _MARGIN * call.timeout_ms / 1000
        until = time.monotonic() + seconds
        begun = threading.Event()
        carried_out = asyncio.get_running_loop().run_in_executor(
            self._threads, self._carried_out, table, file, call, until, begun
        )
        # Past its time nothing is begun any more, and what has begun is stopped: a word of that is waited for.
        await asyncio.wait({carried_out}, timeout=seconds + _STOPPING_SECONDS)
        if carried_out.done():
            return carried_out.result()
        carried_out.cancel()
        if begun.is_set():
            # It is in a single instruction, such as one that fills all of its memory, or the machine is busy.
            return late()
        return Failed(Kind.UNAVAILABLE, "its time was up before it was compiled, or a thread was free", retry=True)

    def prepare(self, table: Table) -> None:
        """Begin to compile the modules of a table that is to be called by: a large one takes longer than a call may."""
        for file in sorted({tool.wasm for tool in table.tools.values() if tool.wasm is not None}):
            self._threads.submit(self._prepared, table, file)

    def _prepared(self, table: Table, file: str) -> None:
        with suppress(NotPacked, Unsound, LookupError):  # Whoever calls it is told.
            compiled(table.modules[file], lambda: _content(table, file))

    def _carried_out(self, table: Table, file: str, call: Call, until: float, begun: threading.Event) -> Attempt:
        grant = self.grants.of(call.tool)
        try:
            code = compiled(table.modules.get(file, ""), lambda: _content(table, file))
        except (NotPacked, Unsound, LookupError) as error:
            return Failed(Kind.REFUSED, f"`{file}` can't be run: {error}", retry=False)
        denied = sorted(imports_of(code) - grant.allow)
        if denied:
            return Failed(Kind.REFUSED, f"`{file}` imports `{denied[0]}`, which the settings don't allow", retry=False)
        left_ms = int((until - time.monotonic()) * 1000)
        if left_ms <= 0:
            return Failed(Kind.UNAVAILABLE, "its time was up before a thread was free", retry=True)
        begun.set()
        return run(code, call, grant, self._now, min(left_ms, grant.time_ms))


@dataclass(frozen=True, slots=True)
class _Module:
    modules: Modules
    table: Table
    file: str

    async def call(self, call: Call) -> Attempt:
        return await self.modules.carry_out(self.table, self.file, call)

    async def close(self) -> None:
        """Nothing is kept for one module alone."""


def _content(table: Table, file: str) -> bytes:
    text = table.notes.sources.get(file)
    if text is None:
        raise LookupError("it is not in the bundle")
    content = unpack(file, text)
    if digest_of(content) != table.modules.get(file):
        # The table was judged with another: whoever changed the store's copy has not been asked whether that may be.
        raise LookupError("it is not the one that was pushed")
    return content
