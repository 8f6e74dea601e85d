"""What newcomers can do: a state of a search, looked at with more entities than the search has.

A state of a system is one of a larger system too, in which some are not there yet. Which it is, is said by the names of
its variables; that the runs to it are runs of the larger system is looked at and not taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from temper.verify.system.fair import Graph, graph_of, leading_to
from temper.verify.system.ir import State, System
from temper.verify.system.lower_take import Who
from temper.verify.system.python import steps_of

# From one state where somebody waits, newcomers may bring about many; past so many nothing is said of them.
STATES_MAX = 20_000


@dataclass
class Further:
    """What can be of a larger system, from some states of a smaller one."""

    larger: System
    graph: Graph
    numbers: dict[int, int]
    """Which state of the graph each is, by its number in the smaller one."""

    def __post_init__(self) -> None:
        self._moving: dict[Who, set[int]] = {}

    def moves(self, index: int, who: Who) -> bool:
        """Say whether there is a way from a state of the smaller one to a step that moves somebody."""
        if who not in self._moving:
            rules = moving_rules(self.larger, who)
            here = [n for n, out in enumerate(self.graph.edges) if any(rule in rules for rule, _ in out)]
            self._moving[who] = leading_to(self.graph, here)
        return self.numbers[index] in self._moving[who]


def moving_rules(system: System, who: Who) -> set[int]:
    """Return the rules that are an entity's own, or change it."""
    own = set(system.meta["layout"].slots[who].all())
    return {
        number
        for number, rule in enumerate(system.rules)
        if rule.event.who == who or own & {index for index, _ in rule.updates}
    }


def further_from(
    smaller: System, graph: Graph, larger: System, starts: Sequence[int], seconds: float
) -> Further | None:
    """Return what can be from some states of a graph, in the larger system; `None` where that is not known."""
    put = _putting(smaller, larger)
    if put is None:
        return None
    steps = steps_of(larger)
    known = {-1}
    for start in starts:
        index = start
        while index not in known:
            known.add(index)
            before, _ = graph.parents[index]
            here = put(graph.states[index])
            if before < 0:
                if here not in larger.initial:
                    return None
            elif all(after != here for _, after in steps(put(graph.states[before]))):
                return None
            index = before
    inside = replace(larger, initial=tuple(put(graph.states[index]) for index in starts))
    further = graph_of(inside, states_max=STATES_MAX, seconds=seconds, steps=steps)
    if further.stopped is not None:
        return None
    numbers = {state: number for number, state in enumerate(further.states)}
    return Further(larger, further, {index: numbers[put(graph.states[index])] for index in starts})


class _Putting:
    def __init__(self, places: Iterable[tuple[int, int]], size: int) -> None:
        self.places = tuple(places)
        self.size = size

    def __call__(self, state: State) -> State:
        """Return a state as one of the larger system, in which the others are not there."""
        after = [0] * self.size
        for code, (index, shift) in zip(state, self.places, strict=True):
            after[index] = code + shift
        return tuple(after)


def _putting(smaller: System, larger: System) -> _Putting | None:
    by_name = {each.name: index for index, each in enumerate(larger.variables)}
    if len(by_name) < len(larger.variables) or any(each.name not in by_name for each in smaller.variables):
        return None
    places = []
    for each in smaller.variables:
        index = by_name[each.name]
        other = larger.variables[index]
        if each.labels != other.labels[: len(each.labels)]:
            return None
        places.append((index, each.low - other.low))
    return _Putting(places, len(larger.variables))
