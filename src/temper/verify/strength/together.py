"""A mutant among others: several of its kind and of the kinds that it has to do with, and the runs that lead on.

What one entity shows alone is only a part: a joint action that is dropped, a send, a guard that reads another entity
and a property about several of them make a difference only where there are several.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from temper.table import Caller, Expr, Table, shape
from temper.verify.clauses import all_clauses, expressions
from temper.verify.expressions import walk
from temper.verify.limits import Limits
from temper.verify.system.fair import Graph, graph_of
from temper.verify.system.found import Together, search_together
from temper.verify.system.ir import System
from temper.verify.system.led import eventually
from temper.verify.system.lower import Happening, Unlowered, components, lower, scope_of
from temper.verify.system.python import steps_of

# What looks at others.
BEYOND = frozenset({"read", "read_in", "inverse", "every"})

Key = tuple[Any, ...]
Steps = dict[tuple[int, ...], frozenset[tuple[Key, tuple[int, ...]]]]
"""For each state the steps from it: what happens, and the state after."""


@dataclass
class Among:
    """The entities of a table that can make a difference to each other, searched together.

    `found` is `None` where there is but one of one kind, or no finite form.
    """

    table: Table
    names: tuple[str, ...]
    limits: Limits
    found: Together | None = None
    _steps: Steps | None = field(default=None, repr=False)
    _known: frozenset[tuple[str, Key]] = frozenset()

    @property
    def alone(self) -> bool:
        """Return whether nobody else makes a difference."""
        return sum(scope_of(self.table, self.names).values()) == 1

    def search(self) -> None:
        """Look at the table itself, against which its mutants are held."""
        if not self.alone:
            found = search_together(self.table, self.names, self.limits)
            self.found = found if isinstance(found, Together) else None
        if self.found is not None:
            self._known = _broken(self.found)

    def noticed(self, mutant: Table) -> Key | None:
        """Return what is broken in a mutant, or not reached any more, that is not so in the table."""
        if self.found is None:
            return None
        theirs = search_together(mutant, self.names, self.limits)
        if not isinstance(theirs, Together):
            return None
        more = sorted(_broken(theirs) - self._known, key=repr)
        if more:
            return more[0][1]
        if theirs.searched.stopped is None:
            missing = sorted(_reached(self.found) - _reached(theirs), key=repr)
            if missing:
                return missing[0][1]
        return None

    def alike(self, mutant: Table) -> bool:
        """Say whether a mutant has the same states with the same steps; what is not known to be so is not."""
        if self.found is None:
            return False
        theirs = lower(mutant, self.names, pending_max=self.limits.pending_max, deferred_max=self.limits.deferred_max)
        if isinstance(theirs, Unlowered) or theirs.variables != self.found.system.variables:
            return False
        if self._steps is None:
            self._steps = _steps_of(self.found.system, self.limits)
        steps = _steps_of(theirs, self.limits)
        return bool(steps) and steps == self._steps

    def looks_at(self, entity: str, name: str) -> bool:
        """Say whether what is in a field makes a difference to the states."""
        return self.found is not None and name in self.found.system.meta["layout"].kinds[entity].cone.fields


def amongs(table: Table, limits: Limits) -> dict[str, Among]:
    """Return for each entity those that it is searched with, and search them."""
    found: dict[str, Among] = {}
    for names in components(table):
        among = Among(table, names, limits)
        among.search()
        found |= dict.fromkeys(names, among)
    return found


def beyond(entity: shape.Entity) -> bool:
    """Say whether an entity acts together with others, or looks at them."""
    return (
        bool(entity.inverses)
        or any(isinstance(clause, shape.Send | shape.With | shape.Create) for _, clause in all_clauses(entity))
        or any(part[0] in BEYOND for e in _conditions(entity) for part in walk(e))
    )


def _conditions(entity: shape.Entity) -> Iterator[Expr]:
    """What decides about actions, and what they set."""
    for action in entity.actions.values():
        yield from (guard.condition for guard in action.when)
        yield from (let.value for let in action.lets)
        for case in action.cases:
            yield from (guard.condition for guard in case.when)
            yield from (let.value for let in case.lets)
    for _, clause in all_clauses(entity):
        yield from expressions(clause)
    yield from (let.value for let in entity.lets)
    yield from (each.condition for place in entity.places for each in place.whenevers)


def _broken(found: Together) -> frozenset[tuple[str, Key]]:
    return frozenset((name, key) for name, explored in found.explored.items() for key in explored.breaks)


def _reached(found: Together) -> frozenset[tuple[str, Key]]:
    return frozenset((name, key) for name, explored in found.explored.items() for key in explored.reached)


def _steps_of(system: System, limits: Limits) -> Steps:
    """Return every step of a system, none if there are too many."""
    graph: Graph = graph_of(system, states_max=limits.states_max, seconds=limits.seconds, steps=steps_of(system))
    if graph.stopped is not None:
        return {}
    labels = [_label(rule.event) for rule in system.rules]
    return {
        state: frozenset((labels[rule], graph.states[target]) for rule, target in out)
        for state, out in zip(graph.states, graph.edges, strict=True)
    }


def _label(event: Any) -> Key:
    """Return what happens, as a key."""
    assert isinstance(event, Happening), "every rule of a table is something that happens"
    caller: Caller | None = event.caller
    by = () if caller is None else (caller.principal, tuple(sorted(caller.roles)), caller.acts_for)
    params = tuple(sorted((name, repr(value)) for name, value in event.params.items()))
    results = tuple(sorted((name, repr(value)) for name, value in event.results.items()))
    return (
        event.kind, event.who, event.action, params, by, event.place, event.kept, event.ending, results, event.error,
        event.sender,
    )  # fmt: skip


class Leading:
    """What leads to what, in a table and in its mutants."""

    def __init__(self, table: Table, limits: Limits) -> None:
        self.limits = limits
        self.numbers = [n for n, each in enumerate(table.properties) if isinstance(each, shape.Eventually)]
        self.holding: frozenset[int] = frozenset()
        """Those that hold in the table, by their place among them."""
        if self.numbers:
            found = eventually(self._bare(table), limits)
            self.holding = frozenset(n for n, each in found.items() if each.run is None and not each.open)

    def noticed(self, mutant: Table) -> int | None:
        """Return the number of a property that holds in the table, and that a run of a mutant breaks."""
        if not self.holding:
            return None
        found = eventually(self._bare(mutant), self.limits)
        broken = [n for n in sorted(self.holding) if n in found and found[n].run is not None]
        return self.numbers[broken[0]] if broken else None

    def _bare(self, table: Table) -> Table:
        """Return a table that is asked for nothing else: what only the others look at makes no states."""
        return replace(table, properties=tuple(table.properties[n] for n in self.numbers))
