"""Principals that may change places.

A table names no principal, so that one state with `p1` and `p2` swapped is as good as the other. Principals are renamed
by where they occur: whoever is in the first place first. Two that occur in the same places keep their order, which
costs a state more at worst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from temper.table import Act, Caller, Deliver, Event, Outcome, Snapshot, shape

Renaming = Mapping[str, str]


class Symmetry:
    """The principals of one search."""

    def __init__(self, principals: Sequence[str]) -> None:
        self.principals = tuple(principals)
        self._index = {name: index for index, name in enumerate(principals)}

    def order(self, key: Any) -> tuple[Renaming | None, int]:
        """Return how the principals of a state are renamed (`None`: they are in order), and how many occur in it."""
        places: dict[str, list[tuple[int, int]]] = {}
        self._walk(key, 0, places)
        used = sorted(places, key=lambda name: (sorted(places[name]), name))
        if used == list(self.principals[: len(used)]):
            return None, len(used)
        rest = [name for name in self.principals if name not in places]
        return dict(zip([*used, *rest], self.principals, strict=True)), len(used)

    def _walk(self, value: Any, at: int, places: dict[str, list[tuple[int, int]]]) -> int:
        """Note where principals occur; the elements of a set all stand in one place."""
        if isinstance(value, str):
            if value in self._index:
                places.setdefault(value, []).append((at, 0))
            return at + 1
        if isinstance(value, tuple):
            for part in value:
                at = self._walk(part, at, places)
            return at + 1
        if isinstance(value, frozenset):
            for part in value:
                for number, name in enumerate(part if isinstance(part, tuple) else (part,)):
                    if name in self._index:
                        places.setdefault(name, []).append((at, number + 1))
            return at + 1
        if isinstance(value, Caller):
            return self._walk((value.principal, value.acts_for), at, places)
        return at + 1

    def fresh(self, event: Event, used: int) -> bool:
        """Say whether an event is one to try: of principals that occur nowhere yet, the first is as good as any."""
        if not isinstance(event, Act | Deliver):
            return True
        for name in (event.caller.principal, event.caller.acts_for):
            index = self._index.get(name or "", -1)
            if index > used:
                return False
            used = max(used, index + 1)
        return True


def renamed(value: Any, names: Renaming) -> Any:
    """Return a value with its principals renamed."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, tuple):
        return tuple(renamed(part, names) for part in value)
    if isinstance(value, frozenset):
        return frozenset(renamed(part, names) for part in value)
    if isinstance(value, Caller):
        acts_for = None if value.acts_for is None else names.get(value.acts_for, value.acts_for)
        return Caller(names.get(value.principal, value.principal), value.roles, acts_for)
    if isinstance(value, shape.Handler):
        return shape.Handler(value.action, renamed(value.args, names))
    return value


def renamed_snapshot(now: Snapshot, names: Renaming) -> Snapshot:
    """Return a snapshot with its principals renamed."""
    return replace(
        now,
        fields={name: renamed(value, names) for name, value in now.fields.items()},
        calls=tuple(
            replace(
                call,
                caller=renamed(call.caller, names),
                then=renamed(call.then, names),
                otherwise=renamed(call.otherwise, names),
                unknown=renamed(call.unknown, names),
            )
            for call in now.calls
        ),
        timers=tuple(replace(armed, caller=renamed(armed.caller, names)) for armed in now.timers),
        deferred=tuple(
            replace(
                held,
                caller=renamed(held.caller, names),
                params={name: renamed(value, names) for name, value in held.params.items()},
            )
            for held in now.deferred
        ),
    )


def renamed_event(event: Event, names: Renaming) -> Event:
    """Return an event with its principals renamed."""
    match event:
        case Act() | Deliver():
            params = {name: renamed(value, names) for name, value in event.params.items()}
            return replace(event, caller=renamed(event.caller, names), params=params)
        case Outcome():
            return replace(event, results={name: renamed(value, names) for name, value in event.results.items()})
        case _:
            return event
