"""A door, as whoever draws requests sees it, and the one that stands before the host alone.

Parameters come as JSON and are decoded as the service decodes them. Another door of the same shape, over HTTP, is held
to the same laws by the tests: `verify` never sees it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from temper.kernel import Conflict, Done, No
from temper.table import BadValue, Caller, Ending, Table, decode_args, encode
from temper.verify.simulate.decisions import Ask, Reply, Turn, Wait
from temper.verify.simulate.world import Flight, World

# Turns that one request may set off before we say that it never comes to rest.
SETTLE_MAX = 200


class Kind(Enum):
    """How a door answers."""

    DONE = "done"
    REFUSED = "refused"
    INVALID = "invalid"
    """The request is none that the table knows: parameters missing, unknown or outside their types."""
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Said:
    """A door's answer. `id`, `state` and `version` are of the entity after it, where it was done."""

    kind: Kind
    id: str = ""
    state: str = ""
    version: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """An entity as a door shows it; `fields` are encoded."""

    state: str
    version: int
    fields: Mapping[str, Any] = field(default_factory=dict)


class Door(Protocol):
    """Lets requests in, tools end their calls, and time pass. All is done by the time a call returns."""

    def create(
        self, entity: str, action: str, params: Mapping[str, Any], caller: Caller, *, key: str | None = None
    ) -> Said: ...

    def act(
        self,
        entity: str,
        id: str,
        action: str,
        params: Mapping[str, Any],
        caller: Caller,
        *,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Said: ...

    def read(self, entity: str, id: str) -> Seen | None: ...

    def outcome(self, tool: str, ending: Ending, results: Mapping[str, Any], text: str) -> None:
        """End the oldest open call of a tool so."""
        ...

    def waits(self, tool: str) -> bool:
        """Say whether a call of a tool is open."""
        ...

    def advance(self, ms: int) -> None:
        """Let time pass; whatever falls due meanwhile happens."""
        ...

    def now(self) -> int: ...

    def close(self) -> None: ...


Doors = Callable[[], Door]

# Of what falls due while time passes so much happens at its own time, and the rest late, as it may: a `whenever` that
# its action leaves due, or a tick a minute, would else take as long as the forty days are.
WAKES_MAX = 64


class Names:
    """The names of what is created, by kind and number; whoever asks again under its key asks for the same."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()
        self._under: dict[Hashable, str] = {}

    def new(self, entity: str, key: Hashable | None) -> str:
        """Return the name of the next of a kind, or the one that was given under this key."""
        id = self._under.get(key) if key is not None else None
        if id is None:
            self._made[entity] += 1
            id = f"{entity[:1].lower()}{self._made[entity]}"
        if key is not None:
            self._under[key] = id
        return id


class HostDoor:
    """The host, driven as the runtime drives it, and watched as the simulator watches it. Raises `Found`."""

    def __init__(self, table: Table) -> None:
        self.world = World(table)
        self._table = table
        self._count = 0
        self._names = Names()

    def create(
        self, entity: str, action: str, params: Mapping[str, Any], caller: Caller, *, key: str | None = None
    ) -> Said:
        id = self._names.new(entity, key)
        return self._asked(entity, id, action, params, caller, key, None)

    def act(
        self,
        entity: str,
        id: str,
        action: str,
        params: Mapping[str, Any],
        caller: Caller,
        *,
        key: str | None = None,
        if_version: int | None = None,
    ) -> Said:
        return self._asked(entity, id, action, params, caller, key, if_version)

    def read(self, entity: str, id: str) -> Seen | None:
        now = self.world.host.read(entity, id)
        if now is None:
            return None
        fields = self._table.entities[entity].fields
        encoded = {each.name: encode(each.type, now.fields[each.name], self._table.records) for each in fields}
        return Seen(now.state, now.version, encoded)

    def outcome(self, tool: str, ending: Ending, results: Mapping[str, Any], text: str) -> None:
        flight = next(self._open(tool))
        attempt = flight.attempt
        if ending is Ending.UNKNOWN:
            self.advance(max(0, flight.until - self.world.at))
            return
        kind = "failed" if ending is Ending.FAILED else ""
        self.world.do(Reply(attempt.order, attempt.number, ending, results, kind, text))
        self._settle()

    def waits(self, tool: str) -> bool:
        return next(self._open(tool), None) is not None

    def _open(self, tool: str) -> Iterator[Flight]:
        return (each for each in self.world.flights.values() if each.attempt.tool == tool and each.end is None)

    def advance(self, ms: int) -> None:
        until = self.world.at + ms
        for _ in range(WAKES_MAX):
            wake = self._wake()
            if wake is None or wake > until:
                break
            before = self.world.at, self.world.watch.seq
            self.world.do(Wait(max(0, wake - self.world.at)))
            self._settle()
            if (self.world.at, self.world.watch.seq) == before:
                break  # What is due there waits for something else.
        self.world.do(Wait(max(0, until - self.world.at)))
        self._settle()

    def now(self) -> int:
        return self.world.at

    def close(self) -> None:
        """Nothing is open."""

    def _wake(self) -> int | None:
        times = [flight.until for flight in self.world.flights.values() if not flight.timed_out and not flight.end]
        wake = self.world.host.next_wake()
        return min(times if wake is None else [*times, wake], default=None)

    def _asked(
        self,
        entity: str,
        id: str,
        action: str,
        params: Mapping[str, Any],
        caller: Caller,
        key: str | None,
        if_version: int | None,
    ) -> Said:
        kind = self._table.entities.get(entity)
        known = kind.actions.get(action) if kind is not None else None
        if known is None:
            return Said(Kind.INVALID)
        try:
            decode_args(known.params, dict(params), self._table.records)
        except BadValue as bad:
            return Said(Kind.INVALID, why=str(bad))
        self._count += 1
        name = key or f"a{self._count}"
        now = self.world.host.read(entity, id)
        stale = None if if_version is None or now is None else now.version - if_version
        ask = Ask(
            name, entity, id, action, params, caller.principal, tuple(sorted(caller.roles)), caller.acts_for,
            keyed=key is not None, stale=stale,
        )  # fmt: skip
        self.world.send(ask, f"a{self._count}")
        self.world.do(Turn())
        answer = self.world.answers.pop(name)
        self._settle()
        match answer:
            case Done(snapshot=after):
                return Said(Kind.DONE, after.id, after.state, after.version)
            case No(refused=refused):
                return Said(Kind.REFUSED, why=refused.why.value)
            case Conflict(text=text):
                return Said(Kind.CONFLICT, why=text)
            case _:
                raise AssertionError(f"nothing fails here: {answer!r}")

    def _settle(self) -> None:
        """Turn until nothing more comes of it."""
        for _ in range(SETTLE_MAX):
            before = self.world.watch.seq, len(self.world.flights)
            self.world.do(Turn())
            if not self.world.queue and (self.world.watch.seq, len(self.world.flights)) == before:
                return
