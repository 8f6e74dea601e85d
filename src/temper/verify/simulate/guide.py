"""Runs of the search that a simulated run follows, to get where chance would not.

A guide is a run of one or several entities, with what it meets on the way. Its entities get new ids and its moments go
with the clock of the run that follows it; what fails in between fails there too, and may lead away from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from temper.table import Event, Table, Type
from temper.verify.explore.replay import Replayed
from temper.verify.explore.search import Explored

# A run shorter than that leads nowhere that chance would not.
STEPS_MIN = 2
Key = tuple[str, str]


class Step(Struct, frozen=True):
    """One event of a run, and whom it is about. `tool` is whose answer it is, if it is one."""

    who: Key
    event: Event
    tool: str = ""


class Guide(Struct, frozen=True):
    """A run that leads somewhere: `meets` are the cases that it takes and the states that it enters."""

    steps: tuple[Step, ...]
    meets: frozenset[Key]


def guides_of(explored: Mapping[str, Explored | None]) -> tuple[Guide, ...]:
    """Return runs that together lead to all that the search has found and chance would seldom meet; few of them."""
    known: dict[Key, Guide] = {}
    for entity, found in explored.items():
        for key, reached in found.reached.items() if found is not None else ():
            if reached.run is not None and not reached.why and len(reached.run.stages) >= STEPS_MIN:
                what = (entity, str(key[1])) if key[0] == "state" else ("", str(key[1]))
                known[what] = _guide(reached.run)
    guides: list[Guide] = []
    left = dict.fromkeys(known)
    while left:
        best = max((known[key] for key in left), key=lambda each: (len(each.meets & left.keys()), -len(each.steps)))
        guides.append(best)
        for key in [key for key in left if key in best.meets or known[key] is best]:
            del left[key]
    return tuple(guides)


def _guide(run: Replayed) -> Guide:
    steps: list[Step] = []
    meets: set[Key] = set()
    for stage in run.stages:
        now = stage.accepted.after if stage.accepted is not None else stage.before
        if now is None:
            continue
        for move in stage.accepted.moves if stage.accepted is not None else ():
            meets |= {("", move.case), (now.entity, move.after)}
        # What happens with an event in one commit is numbered after it.
        if "." not in stage.event.id:
            order = getattr(stage.event, "order", "")
            calls = stage.before.calls if stage.before is not None else ()
            tool = next((call.tool for call in calls if call.order == order), "")
            steps.append(Step((now.entity, now.id), stage.event, tool))
    return Guide(tuple(steps), frozenset(meets))


class Names:
    """What the entities of a guide are called in the run that follows it."""

    def __init__(self) -> None:
        self._known: dict[Key, str] = {}

    def __contains__(self, who: Key) -> bool:
        return who in self._known

    def called(self, who: Key, id: str) -> None:
        """Call one by a name."""
        self._known[who] = id

    def of(self, who: Key) -> str:
        """Return a name."""
        return self._known[who]

    def all(self) -> Iterator[Key]:
        """Return those that have a name, as they are called here."""
        return ((entity, id) for (entity, _), id in self._known.items())

    def put(self, table: Table, type_: Type, value: Any, later_ms: int) -> Any:
        """Return a value with the names, and the moments, of the run that follows."""
        if value is None:
            return None
        match type_:
            case ("ref", entity):
                return self._known.get((entity, value), value)
            case ("time",):
                return value + later_ms
            case ("optional", inner):
                return self.put(table, inner, value, later_ms)
            case ("record", name):
                parts = zip(table.records[name], value, strict=True)
                return tuple(self.put(table, part.type, each, later_ms) for part, each in parts)
            case ("set", inner, _):
                return frozenset(self.put(table, inner, each, later_ms) for each in value)
            case ("list", inner, _):
                return tuple(self.put(table, inner, each, later_ms) for each in value)
            case ("map", key, inner, _):
                return tuple(
                    (self.put(table, key, one, later_ms), self.put(table, inner, other, later_ms))
                    for one, other in value
                )
            case _:
                return value
