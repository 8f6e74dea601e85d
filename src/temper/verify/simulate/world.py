"""A space that lives under one run's decisions: what the runtime does around a host, with nothing real about it.

The loop is the runtime's: asks wait in a queue, a turn decides them with what is due, the batch is appended, and only
then are callers answered and attempts started. A fault abandons the batch; whoever waits is told, and what nobody
waits for (the endings of attempts) is put again. A crash loses the queue and all that is under way.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import msgspec

from temper.kernel import (
    Answer,
    Attempt,
    AttemptEnd,
    Batch,
    Change,
    Discard,
    Host,
    Ids,
    Limits,
    OrderState,
    Request,
    Retry,
    StoreFault,
    TableVersion,
)
from temper.table import Act, BadValue, Caller, Deliver, Ending, Fire, Offer, Table, decode_args, digest, dump
from temper.verify.simulate.decisions import Again, Ask, Crash, Decision, Operate, Reply, Swap, Turn, Wait
from temper.verify.simulate.disk import Crashed, Disks, Ill, MemoryDisk
from temper.verify.simulate.watch import MANY, Found, Happened, Watch, runtime
from temper.verify.tested import Wrong

# 2026-01-01: runs are the same on every day.
BEGINNING = 1_767_225_600_000
RUNNING_MAX = 8
# How long after its time-out an attempt may still be answered, as in the runtime.
LATE_MS = 60_000
# When faults have stopped, what waits is carried out within so many turns.
CALM_TURNS = 400

Hosts = Callable[..., Host]
"""`Host` itself, or what a test puts in its place."""

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True)
class Flight:
    """An attempt that is under way, or has ended and may be told of once more."""

    attempt: Attempt
    until: int
    timed_out: bool = False
    end: AttemptEnd | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An ask in the queue; `name` is that of a request, and `None` where nobody waits for the answer."""

    ask: Request | AttemptEnd | Retry | Discard
    name: str | None = None


class World:
    """One run. `do` carries out a decision, `calm` stops the faults; both raise `Found` where something is wrong."""

    def __init__(
        self, table: Table, *, before: Table | None = None, hosts: Hosts = Host, disk: Disks = MemoryDisk
    ) -> None:
        self.target = table
        self.at = BEGINNING
        self.disk = disk()
        self.faults: Counter[str] = Counter()
        self.queue: list[_Waiting] = []
        self.flights: dict[tuple[str, int], Flight] = {}
        self.asks: dict[str, Ask] = {}
        self.answers: dict[str, Answer | None] = {}
        """The last answer to each request."""
        self.fates: dict[str, Ending | None] = {}
        self.watch = Watch(before or table)
        self.alive = True
        """Whether the process has outlived its last append."""
        self._hosts = hosts
        self._ids = _counted()
        self._seen = 0
        self._decided_at: list[int] = []
        self._append(Batch((Change(version=self._version(before or table, 1)),)))
        self.host = self._host(before or table)

    def _host(self, table: Table) -> Host:
        return self._hosts(table, self.disk, ids=self._ids, limits=Limits(attempts_max=RUNNING_MAX))

    @staticmethod
    def _version(table: Table, number: int, at: int = BEGINNING) -> TableVersion:
        return TableVersion(number, digest(table), dump(table), b"{}", at, "simulation")

    def _fault(self, what: str) -> None:
        self.faults[what] += 1
        self.watch.story.append(Happened(self.at, what))

    # --- decisions ----------------------------------------------------------------------------------------------------

    def do(self, decision: Decision) -> None:
        """Carry out one decision; one that has nothing to be about does nothing. Raises `Found`."""
        match decision:
            case Ask():
                self._ask(decision)
            case Again():
                self._again(decision)
            case Turn():
                self._turn(decision)
            case Reply():
                self._reply(decision)
            case Wait(ms):
                self.at += ms
                self._pass()
            case Crash():
                self._crash("a crash")
            case Swap(ill):
                self._swap(ill)
            case Operate(order, discard):
                if discard:
                    self.watch.given_up.add(order)
                self.queue.append(_Waiting(Discard(order) if discard else Retry(order)))
            case _:
                assert_never(decision)

    def _ask(self, ask: Ask) -> None:
        self.asks[ask.name] = ask
        self.send(ask, ask.name, "f")

    def _again(self, again: Again) -> None:
        first = self.asks.get(again.first)
        if first is not None and first.keyed and not first.dry:
            self._fault("a request sent twice")
            self.send(first, again.name, "other" if again.other else "f")

    def send(self, ask: Ask, event: str, fingerprint: str = "f") -> None:
        """Put a request into the queue, under an event's id."""
        kind = self.host.table.entities.get(ask.entity)
        action = kind.actions.get(ask.action) if kind is not None else None
        if action is None:
            return  # A door would not have let it in.
        try:
            params = decode_args(action.params, dict(ask.params), self.host.table.records)
        except BadValue:
            return
        caller = Caller(ask.principal, frozenset(ask.roles), ask.acts_for)
        version: int | None = None
        if ask.stale is not None:
            now = self.host.read(ask.entity, ask.id)
            version = None if now is None else now.version - ask.stale
        request = Request(
            Act(event, self.at, ask.action, params, caller, ask.entity, ask.id),
            ask.entity,
            ask.id,
            ask.name if ask.keyed else None,
            fingerprint,
            version,
            ask.dry,
        )
        self.watch.sent(ask.name, event)
        self.queue.append(_Waiting(request, ask.name))

    def _turn(self, turn: Turn) -> None:
        at = self.at
        self.disk.held, self.disk.newest_first = turn.held, turn.newest_first
        if turn.held:
            self._fault("a send held up")
        running = Counter(flight.attempt.tool for flight in self.flights.values() if not flight.end)
        room = {name: max(0, min(turn.room, RUNNING_MAX - running[name])) for name in sorted(self.host.table.tools)}
        waiting, self.queue = self.queue, []
        try:
            batch = self.host.turn([each.ask for each in waiting], at, room)
        except Exception as bug:
            raise runtime("bug", f"a turn raises {type(bug).__name__}: {bug}") from bug
        self.disk.held = frozenset()
        if batch.changes:
            if not self._stored(batch, at, turn.ill):
                if self.alive:
                    self.queue = [each for each in waiting if each.name is None] + self.queue
                return
            if turn.slow_ms:
                self._fault("a slow append")
            self.at += turn.slow_ms
            self.host.adopt(batch)
            for change in batch.changes:
                self.watch.read(self.host, change)
        for each, answer in zip(waiting, batch.answers, strict=True):
            if each.name is not None:
                assert isinstance(each.ask, Request), "only requests have names"
                self.answers[each.name] = answer
                self.watch.heard(each.name, each.ask.key is not None, each.ask.dry_run, answer)
        for attempt in batch.attempts:
            self._start(attempt)
        self._pass()

    def _stored(self, batch: Batch, at: int, ill: Ill | None) -> bool:
        """Append a batch, with the fault that is decided for it; say whether it went well."""
        self.disk.ill, self.alive = ill, True
        if ill is not None:
            self._fault(ill.fate.value)
        try:
            self._append(batch, at)
        except StoreFault:
            self.host.abandon(batch)
            return False
        except Crashed:
            self.alive = False
            self._crash(None)
            return False
        return True

    def _append(self, batch: Batch, at: int | None = None) -> None:
        self._decided_at.append(self.at if at is None else at)
        try:
            self.disk.append(batch)
        finally:
            self._durable()

    def _durable(self) -> None:
        """Tell the watch what has reached the disk and was not told."""
        new = self.disk.batches[self._seen :]
        self._seen = max(self._seen, len(self.disk.batches))
        for batch in new:
            self.watch.durable(batch, self._decided_at[-1])

    def _start(self, attempt: Attempt) -> None:
        self.watch.started(self.host, attempt)
        tool = self.host.table.tools.get(attempt.tool)
        if tool is not None and not tool.idempotent and self.fates.get(attempt.order, Ending.FAILED) is None:
            raise runtime("attempts", f"{attempt.tool} is not idempotent, and is tried again after an unknown fate")
        self.fates[attempt.order] = None
        self.flights[attempt.order, attempt.number] = Flight(attempt, self.at + attempt.timeout_ms)

    def _pass(self) -> None:
        """Attempts whose time is up end; those that are late for too long are cut off."""
        for key, flight in list(self.flights.items()):
            attempt = flight.attempt
            if flight.end is None and not flight.timed_out and self.at >= flight.until:
                flight.timed_out = True
                self._fault("no answer in time")
                text = f"no answer within {attempt.timeout_ms} ms"
                self._end(AttemptEnd(attempt.order, attempt.entity, attempt.id, attempt.number, Ending.UNKNOWN, {},
                                     "timeout", text))  # fmt: skip
            if self.at >= flight.until + min(LATE_MS, 10 * attempt.timeout_ms):
                del self.flights[key]

    def _end(self, end: AttemptEnd) -> None:
        self.queue.append(_Waiting(end))

    def _reply(self, reply: Reply) -> None:
        flight = self.flights.get((reply.order, reply.number))
        if flight is None:
            return
        if flight.end is not None:
            self._fault("an answer that came twice")
            self._end(flight.end)
            return
        attempt = flight.attempt
        flight.end = AttemptEnd(
            attempt.order, attempt.entity, attempt.id, attempt.number, reply.ending, dict(reply.results),
            reply.kind, reply.text, reply.retry,
        )  # fmt: skip
        if flight.timed_out:
            self._fault("an answer that came late")
        elif reply.ending is Ending.FAILED:
            self._fault("a tool that fails")
        if not flight.timed_out:
            self.fates[attempt.order] = reply.ending
        self._end(flight.end)

    def _crash(self, what: str | None) -> None:
        if what is not None:
            self._fault(what)
        self.queue.clear()
        self.flights.clear()
        self.disk = self.disk.reopened()
        self._durable()
        self.watch.compare(self.disk)
        version = self.disk.current()
        if version is None or version.digest != self.watch.claimed:
            raise runtime("durable", "the version that was in force is not found")
        self.host = self._host(self.watch.table)
        batch = self.host.recover(self.at)
        if batch.changes:
            self._append(batch)
            self.host.adopt(batch)

    def _swap(self, ill: Ill | None) -> None:
        version = self._version(self.target, len(self.disk.versions()) + 1, self.at)
        batch = self.host.swap(self.target, version, self.at)
        if not isinstance(batch, Batch):
            self._fault("a swap refused: it would strand somebody")
            return
        self._fault("a swap")
        if self._stored(batch, self.at, ill):
            self.host.adopt(batch)
            for change in batch.changes:
                self.watch.read(self.host, change)

    def next_wake(self) -> int | None:
        """Return when something is due, to the millisecond: a store may say an earlier time until it is asked then.

        A run must not depend on what its store happens to remember.
        """
        said, wake = None, self.host.next_wake()
        while wake is not None and wake != said:
            said = wake
            self.disk.due(wake, 1)
            self.disk.sends(wake, 1)
            for tool in self.host.table.tools:
                self.disk.calls(wake, tool, 1)
            wake = self.host.next_wake()
        return wake

    # --- coming to rest -----------------------------------------------------------------------------------------------

    def calm(self, answer: Callable[[Flight], Reply]) -> None:
        """Stop the faults, have every tool answer, and see that all that waits now is carried out. Raises `Found`."""
        waited = {order for order in self.watch.ordered if self._waits(order)}
        for _ in range(CALM_TURNS):
            due = self._due()
            self._turn(Turn())
            left = due.keys() & self._due().keys()
            if left:
                key = min(left)
                raise Found(Wrong("rest", "due", f"a {key[0]} of {due[key]} is due, and a turn leaves it so"))
            for flight in list(self.flights.values()):
                if flight.end is None:
                    self._reply(answer(flight))
            waited = {order for order in waited if self._waits(order)}
            if self.queue:
                continue
            if not waited:
                break
            wake = self.next_wake()
            if wake is None:
                break
            self.at = max(self.at, wake)
            self._pass()
        if waited:
            raise Found(Wrong("rest", "orders", f"{len(waited)} orders still wait when nothing fails any more"))
        self.watch.compare(self.disk)

    def _waits(self, order: str) -> bool:
        row = self.disk.order(order)
        return row is not None and row.state is not OrderState.DEAD

    def _due(self) -> dict[tuple[str, ...], str]:
        """Return what is due now, by what it is, and whose."""
        found: dict[tuple[str, ...], str] = {}
        for request in self.host.due(self.at, MANY):
            event = request.event
            whose = f"{request.entity} `{request.id}`"
            match event:
                case Fire():
                    found["timer", request.entity, request.id, event.timer, str(event.stamp)] = whose
                case Deliver():
                    found["send", event.order] = whose
                case Offer():
                    found["offer", event.deferred] = whose
                case _:
                    pass
        return found

    def close(self) -> None:
        """Let go of the disk; what was watched stays."""
        self.disk.close()

    def digest(self) -> str:
        """Return the digest of the journal: the same for the same run."""
        hashed = hashlib.sha256()
        for entry in self.disk.entries(0, MANY):
            hashed.update(_encode(entry))
        return hashed.hexdigest()


def _counted() -> Ids:
    count = 0

    def next_id() -> str:
        nonlocal count
        count += 1
        return f"i{count}"

    return next_id
