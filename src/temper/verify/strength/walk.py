"""A mutant's search: beside the original's, and over as soon as something is noticed.

Where a mutant only adds steps, what the original reaches is reached still: the search begins with all of it, and goes
on from the steps that differ. Otherwise it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from msgspec.structs import replace

from temper.table import FAULTS, Accepted, Event, Expr, NoValue, Refused, Snapshot, Table, evaluate
from temper.verify.explore.alone import step_alone
from temper.verify.explore.canon import Canon
from temper.verify.explore.cone import Cone
from temper.verify.explore.moves import Moves
from temper.verify.explore.replay import Stage
from temper.verify.explore.search import Break, Monitors, Node, Search
from temper.verify.limits import Limits
from temper.verify.shapes import unreachable

Key = tuple[Any, ...]
# Steps that differ are kept for the words of a question; a few are enough to see what they have in common.
DIFFERENCES_MAX = 40


class _Noticed(Exception):
    pass


Step = tuple[str, str, tuple[Any, ...], str, tuple[Any, ...]]
"""A step as properties see it: the action, the state and the fields before and after."""
State = tuple[str, tuple[Any, ...]]
Touches = Callable[[Snapshot | None, Event], bool]
"""Whether an event, where it happens, can have to do with a change."""


class Quiet(Search):
    """A search that tells no runs to what it reaches, only to what breaks. It keeps its steps and states, as properties
    see them: without calls and timers.
    """

    def __init__(self, table: Table, name: str, limits: Limits) -> None:
        super().__init__(table, name, limits)
        self.watched = tuple(each.name for each in self.entity.fields if each.name in self.cone.fields)
        self.states_seen: dict[State, Snapshot] = {}
        self.steps_seen: dict[Step, tuple[Snapshot | None, Accepted]] = {}

    def _cone(self) -> Cone:
        # What an action of a mutant leads to may look at more of its caller than the original's does.
        return replace(super()._cone(), looks=None)

    def _visited(self, index: int, now: Snapshot) -> None:
        self.states_seen.setdefault(self._of(now), now)
        super()._visited(index, now)

    def _of(self, now: Snapshot) -> State:
        return now.state, tuple(now.fields[name] for name in self.watched)

    def _judged(self, position: int, node: Node, event: Event, answer: Accepted) -> Monitors:
        if answer.moves:
            before, after = node.snapshot, answer.after
            was = ("new", ()) if before is None else self._of(before)
            self.steps_seen.setdefault((answer.moves[0].action, *was, *self._of(after)), (before, answer))
        return super()._judged(position, node, event, answer)

    def _reach(self, key: Key, index: int, event: Event | None = None) -> None:
        self.found.reached.setdefault(key, Break(key, None))


class MutantSearch(Quiet):
    """The search of one mutant. `noticed` is what a judgement of it would tell, by the key of a break."""

    def __init__(self, table: Table, base: Quiet, limits: Limits) -> None:
        super().__init__(table, base.entity.name, limits)
        self.base = base
        # States are compared with the original's: they have to be made equal and drawn in the same way.
        self.cone, self.principals, self.symmetry = base.cone, base.principals, base.symmetry
        self.watched = base.watched
        self.draws, self.scoped = base.draws, base.scoped
        self.canon = Canon(table, self.entity, self.cone, self.draws, self.clocks.tainted)
        self.moves = Moves(table, self.entity, self.cone, self.draws, self.principals, self._caused())
        self.noticed: Key | None = None
        self.differences: list[tuple[Snapshot | None, Event]] = []

    def beside(self, touches: Touches) -> None:
        """Search on from where the steps of the mutant differ from the original's."""
        self.nodes = list(self.base.nodes)
        self.seen = dict(self.base.seen)
        try:
            for position, node in enumerate(self.base.nodes):
                for event, _, ours in self._differing(node, touches):
                    self._taken_in(position, event, ours)
            self.go_on(len(self.base.nodes))
        except _Noticed:
            return

    def anew(self) -> None:
        """Search from the beginning, and see what is not reached any more."""
        try:
            self.run()
        except _Noticed:
            return
        before = self.base.found
        dead = set(unreachable(self.entity)) - set(unreachable(self.base.entity))
        if dead:
            self.noticed = ("state", min(dead))
        elif self.found.stopped is None:
            self.noticed = next((key for key in before.reached if key not in self.found.reached), None)

    def differs(self, touches: Touches) -> bool:
        """Say whether any step of what has been reached is another one than the original's."""
        return any(True for node in self.nodes for _ in self._differing(node, touches))

    @property
    def comparable(self) -> bool:
        """Return whether states of the original and of the mutant are made equal in the same way."""
        return self.canon.alike(self.base.canon) and len(self.clocks.tables) == len(self.base.clocks.tables)

    def _differing(
        self, node: Node, touches: Touches
    ) -> Iterator[tuple[Event, Accepted | Refused, Accepted | Refused]]:
        now = node.snapshot
        events = self.moves.acts("new") if now is None else self.moves.events(now)
        for event in events:
            if not touches(now, event) or (self.symmetry is not None and not self.symmetry.fresh(event, node.used)):
                continue
            for mine, other in zip(self.clocks.tables, self.base.clocks.tables, strict=False):
                ours, theirs = step_alone(mine, now, event), step_alone(other, now, event)
                if not _same(ours, theirs):
                    if len(self.differences) < DIFFERENCES_MAX:
                        self.differences.append((now, event))
                    yield event, theirs, ours

    def _breaks(
        self,
        key: Key,
        events: tuple[Event, ...],
        holds: Callable[[Table, Stage], bool],
        refused: Refused | None = None,
    ) -> None:
        if key in self.base.found.breaks:
            return
        super()._breaks(key, events, holds, refused)
        if key in self.found.breaks:
            self.noticed = key
            raise _Noticed


def _same(ours: Accepted | Refused, theirs: Accepted | Refused) -> bool:
    if isinstance(ours, Refused) and isinstance(theirs, Refused):
        return ours.why == theirs.why or not {ours.why, theirs.why} & FAULTS
    return ours == theirs


def narrowed(condition: Expr, seen: Collection[tuple[Snapshot | None, Event]], table: Table, entity: str) -> Expr:
    """Return `a < b` for `a != b` where it is always so in what was seen."""
    if condition[0] != "!=" or not seen:
        return condition
    _, a, b = condition
    for op in ("<", ">"):
        try:
            if all(
                now is not None
                and evaluate(table, entity, (op, a, b), now, params=getattr(event, "params", {}), at=event.at)
                for now, event in seen
            ):
                return (op, a, b)
        except (NoValue, TypeError, KeyError, AssertionError):
            return condition
    return condition
