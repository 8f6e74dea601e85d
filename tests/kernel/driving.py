"""A host driven by hand: the loop that the runtime runs, with the clock and the outside in the test's hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from temper.kernel import (
    Answer,
    Ask,
    Attempt,
    AttemptEnd,
    Batch,
    Change,
    Entry,
    Folded,
    Host,
    Limits,
    MemoryStore,
    Request,
    Store,
    TableVersion,
    replay,
)
from temper.table import Act, Caller, Ending, Snapshot, Table
from tests.kernel.shop import CLERK, SHOP, compiled, counted, version

MANY = 1_000_000


class Driver:
    """A space with a host over it. `at` is the time; it moves when a test says so."""

    new_store: Callable[[], Store] = staticmethod(MemoryStore)

    def __init__(
        self, table: Table | None = None, store: Store | None = None, *, at: int = 1_000, limits: Limits | None = None
    ) -> None:
        self.table = table or compiled(SHOP)
        self.store: Store = store if store is not None else self.new_store()
        self.ids = counted()
        self.at = at
        self.limits = limits
        self.attempts: list[Attempt] = []
        self.room: Mapping[str, int] = dict.fromkeys(self.table.tools, 8)
        if self.store.current() is None:
            self.store.append(Batch((Change(version=version(self.table)),)))
        self.host = self._host()

    def _host(self) -> Host:
        return Host(self.table, self.store, ids=self.ids, limits=self.limits)

    # --- asks ---

    def request(self, entity: str, id: str, action: str, by: Caller = CLERK, /, **params: Any) -> Request:
        return Request(Act(self.ids(), self.at, action, params, by, entity, id), entity, id)

    def act(self, entity: str, id: str, action: str, by: Caller = CLERK, /, **params: Any) -> Answer:
        """Take an action by itself; what is due beside it waits for `settle`."""
        return self.ask(self.request(entity, id, action, by, **params))

    def ask(self, ask: Ask) -> Answer:
        answer = self.asks(ask)[0]
        assert answer is not None
        return answer

    def asks(self, *asks: Ask) -> tuple[Answer | None, ...]:
        """Decide together, in one batch."""
        batch = self.host.decide(asks, self.at)
        self.append(batch)
        return batch.answers

    def append(self, batch: Batch) -> None:
        self.store.append(batch)
        self.host.adopt(batch)
        self.attempts.extend(batch.attempts)

    # --- the loop ---

    def turn(self) -> Batch:
        """One turn of the loop: what is due, and the starts of calls."""
        batch = self.host.turn((), self.at, self.room)
        self.append(batch)
        return batch

    def settle(self) -> None:
        """Turn until nothing more comes of it."""
        for _ in range(100):
            if not self.turn().changes:
                return
        raise AssertionError("it never comes to rest")

    def wait(self, ms: int) -> None:
        """Let time pass; whatever falls due meanwhile happens at its own time."""
        until = self.at + ms
        self.settle()
        while True:
            wake = self.host.next_wake()
            if wake is None or wake > until:
                break
            self.at = max(self.at, wake)
            # A store may know no more than a bound; having been asked in vain it knows better.
            if not self.turn().changes and (again := self.host.next_wake()) is not None and again <= self.at:
                raise AssertionError(f"something is due at {again}, and nothing comes of it")
            self.settle()
        self.at = until

    def end(self, attempt: Attempt, ending: Ending, **results: Any) -> Answer | None:
        """An attempt ends, with the error's kind in `kind`, and `retry` if it may pass."""
        kind, retry = str(results.pop("kind", "")), bool(results.pop("retry", False))
        return self.asks(
            AttemptEnd(
                attempt.order,
                attempt.entity,
                attempt.id,
                attempt.number,
                ending,
                results,
                kind,
                kind and "bad luck",
                retry,
            )
        )[0]

    def restart(self) -> None:
        """The process dies and another begins: whatever was not in the store is gone."""
        self.attempts.clear()
        self.host = self._host()
        self.append(self.host.recover(self.at))

    def swap(self, table: Table, number: int) -> Any:
        """Push another table; return what the host says, and put it in force if it may be."""
        pushed: TableVersion = version(table, number, self.at)
        result = self.host.swap(table, pushed, self.at)
        if isinstance(result, Batch):
            self.append(result)
            self.table = table
        return result

    def move(self) -> None:
        """Turn until all are written by the table in force."""
        while self.host.moving:
            self.turn()

    # --- what there is ---

    def read(self, entity: str, id: str) -> Snapshot:
        now = self.host.read(entity, id)
        assert now is not None, f"there is no {entity}/{id}"
        return now

    def history(self, entity: str, id: str) -> list[Entry]:
        return list(self.store.history(entity, id, limit=MANY))

    def folded(self) -> dict[tuple[str, str], Folded]:
        return replay(self.store.entries(0, MANY))

    # --- what tests begin with ---

    def purchase(self, id: str = "p1", *, shelf: str | None = None) -> Snapshot:
        """A purchase in `Draft`."""
        self.act("Purchase", id, "Order", number=f"number-{id}", amount=Decimal("2.50"), shelf=shelf)
        return self.read("Purchase", id)

    def paying(self, id: str = "p1") -> Attempt:
        """A purchase whose charge is under way."""
        self.purchase(id)
        self.act("Purchase", id, "Pay")
        self.settle()
        return self.attempts[-1]
