"""One space, alive under asyncio: requests in, answers out once they are durable; timers, sends and calls by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from temper.kernel import Answer, Discard, Entry, Ids, Limits, Request, Retry, Store, Stranded, TableVersion
from temper.runtime.clock import Clock, SystemClock, new_id
from temper.runtime.tools.adapter import Adapter
from temper.table import Snapshot, Table


class Live:
    """A space that lives. Made by `await Live.start(...)`; everything else happens on the loop that it was started on."""

    table: Table
    version: TableVersion
    store: Store

    @classmethod
    async def start(
        cls,
        store: Store,
        adapters: Mapping[str, Adapter],
        *,
        clock: Clock | None = None,
        ids: Ids = new_id,
        limits: Limits | None = None,
    ) -> Live:
        """Return the space that `store` keeps, alive. Its first version must be there: see `found`.

        Calls whose attempts were under way when it last stopped are tried again where their tool is `idempotent`, and end
        `unknown` where not; timers that fell due fire.
        """
        raise NotImplementedError

    async def submit(self, request: Request) -> Answer:
        """Return what came of `request`; a yes and a refusal are durable by then. `Busy` at once when too much waits."""
        raise NotImplementedError

    async def operate(self, ask: Retry | Discard) -> bool:
        """Retry or discard a stuck order; `False` if there is none of that id (any more)."""
        raise NotImplementedError

    def read(self, entity: str, id: str) -> Snapshot | None:
        """Return the entity as it is; whoever has had an answer reads what it said, or later."""
        raise NotImplementedError

    async def swap(self, table: Table, version: TableVersion) -> int | tuple[Stranded, ...]:
        """Put another table in force, between two requests, and return how many entities were rewritten for it.

        Returns those that have no place in it if there are any; then nothing has changed. Raises `StoreFault`.
        """
        raise NotImplementedError

    def bind(self, adapters: Mapping[str, Adapter]) -> None:
        """Use these adapters from the next attempt on. A tool without one fails with kind "not_bound"."""
        raise NotImplementedError

    def subscribe(self, after: int | None = None) -> AsyncIterator[Entry]:
        """Yield the entries after seq `after` (from now on by default) as they are committed, all of them, in order.

        Ends when the space closes.
        """
        raise NotImplementedError

    async def wait_until(
        self, entity: str, id: str, holds: Callable[[Snapshot], bool], *, timeout_ms: int
    ) -> tuple[bool, Snapshot | None]:
        """Return (True, the entity) as soon as `holds` says so, or (False, the entity as it is) when the time is up."""
        raise NotImplementedError

    async def close(self, *, drain_ms: int = 10_000) -> None:
        """Take no more requests, answer those that wait, give attempts under way `drain_ms` to end, and stop.

        The adapters and the store stay open: whoever opened them closes them.
        """
        raise NotImplementedError


def found(store: Store, version: TableVersion) -> None:
    """Put the first version into an empty store. Raises `StoreFault`."""
    raise NotImplementedError
