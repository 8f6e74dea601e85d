"""Whether entities can still get on: that every state can reach a final one, and that nobody waits for ever.

Both are asked of the graph of a system: is there, from each state, a way to one where it is so? Nobody has to take it;
that is for `eventually`. What is lost is told by a shortest run to where the last way was missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from temper.table import Table, Why, shape
from temper.verify.clauses import flat
from temper.verify.limits import Limits
from temper.verify.shapes import newcomers_matter, recovers
from temper.verify.system.codes import either, no
from temper.verify.system.fair import Graph, graph_of, hopeless, hopeless_states
from temper.verify.system.further import Further, further_from, moving_rules
from temper.verify.system.ir import BOUND, Path, Rule, State, System
from temper.verify.system.lower import Unlowered, lower
from temper.verify.system.lower_take import Who
from temper.verify.system.lower_world import Layout
from temper.verify.system.python import steps_of
from temper.verify.system.step import evaluate, fault_of, states_of

# Every state is kept with its steps; so many take some two seconds.
GRAPH_MAX = 20_000
# So many states are looked at for a step that leads past a bound.
AFTER_MAX = 500
PAST_BOUNDS = "past the bounds of the search there may be a way"
FAULT = "a step that is refused as a fault may be the way"
CLOCK = "the search, which has no clock, takes both ways where moments are compared"
MORE = "of those that it depends on there may be more than the search has"
STILL_MORE = "one more of each kind does not help it on, but there may be more still"


class Missed(Struct, frozen=True):
    """A shortest run, of `system`, to where something is missed, and in which state the entity then is.

    `uncertain` says what, beyond this search, might lead on; it is empty where nothing does.
    """

    system: System
    path: Path
    state: str
    uncertain: str = ""


class Recovery(Struct, frozen=True):
    """What is known of a kind: how it is lost, if it can be, and how it gets to wait for ever.

    `open` says why it is not known whether it can be lost; `one`: asked of one entity of each kind alone. `moved`: it
    was asked whether it waits for ever, and it does not.
    """

    lost: Missed | None = None
    waits: Missed | None = None
    open: str = ""
    one: bool = False
    moved: bool = False


def recovery(
    table: Table,
    system: System,
    limits: Limits,
    *,
    states: int,
    depends: Collection[str],
    faulty: bool,
) -> dict[str, Recovery]:
    """Return what is known of each kind of a system that has so many states.

    `depends` are the kinds that others can move, or keep from moving; `faulty` says that some step meets a fault.
    """
    layout: Layout = system.meta["layout"]
    finals = [
        kind.name for kind in layout.kinds.values() if kind.entity.final and (faulty or not recovers(kind.entity))
    ]
    newcomers = newcomers_matter(table, layout.kinds)
    waiting = [name for name in layout.kinds if name in depends]
    if not finals and not waiting:
        return {}
    one = False
    if states > GRAPH_MAX and sum(layout.counts.values()) > len(layout.counts):
        smaller = lower(
            table,
            tuple(layout.kinds),
            scope=dict.fromkeys(layout.kinds, 1),
            pending_max=limits.pending_max,
            deferred_max=limits.deferred_max,
        )
        if isinstance(smaller, Unlowered):
            return {name: Recovery(open=smaller.reason) for name in finals}
        system, one = smaller, True
    graph = graph_of(system, states_max=GRAPH_MAX, seconds=limits.seconds, steps=steps_of(system))
    if graph.stopped is not None:
        return {name: Recovery(open=graph.stopped) for name in finals}
    return _Asking(table, system, graph, limits, one, newcomers).told(finals, waiting)


def asks_moments(layout: Layout, name: str, action: str) -> bool:
    """Say whether a step that begins with an action may ask how moments compare; whom it takes along is asked too."""
    asked: set[tuple[str, str]] = set()
    todo = [(name, action)]
    while todo:
        each = todo.pop()
        if each in asked or each[0] not in layout.kinds:
            continue
        asked.add(each)
        kind = layout.kinds[each[0]]
        if kind.clocks.comparisons and (kind.clocks.affected is None or each[1] in kind.clocks.affected):
            return True
        # What is done on the way into a state, or out of it, is taken to be done by every action.
        bodies = [(*place.entry, *place.exit) for place in kind.entity.places]
        taken = kind.entity.actions.get(each[1])
        bodies += [taken.body, *(case.body for case in taken.cases)] if taken is not None else []
        along = [one for body in bodies for one in flat(body) if isinstance(one, shape.With | shape.Create)]
        todo += [(one.entity, one.action) for one in along]
        todo += [(each[0], place.route.action) for place in kind.entity.places if place.route is not None]
    return False


def _actions_of(rule: Rule) -> set[str]:
    """Return the actions that a rule begins with: what is asked for, or what is taken instead where that is late."""
    return {rule.event.action, rule.site.partition("/")[0].rpartition(".")[2]} - {""}


class _Asking:
    """What is asked of one graph."""

    def __init__(self, table: Table, system: System, graph: Graph, limits: Limits, one: bool, newcomers: bool) -> None:
        self.table = table
        self.limits = limits
        self.system = system
        self.graph = graph
        self.layout: Layout = system.meta["layout"]
        self.one = one
        self.newcomers = newcomers and sum(self.layout.counts.values()) > 1
        # What a step shows is told as faults are, and is none.
        self.ending = [
            rule
            for rule in (*system.rules, *system.meta["reports"])
            if any(fault.why == BOUND or fault.why in Why.__members__ for fault in rule.faults)
        ]
        """Rules that may be no step: they lead past a bound, or meet a fault."""

    def told(self, finals: Sequence[str], waiting: Sequence[str]) -> dict[str, Recovery]:
        found: dict[str, Recovery] = {}
        for name in dict.fromkeys((*finals, *waiting)):
            lost = self._lost(name) if name in finals else None
            waits = self._waits(name) if name in waiting else None
            # A way that the search has where moments are compared may be none that a clock lets anybody take.
            sure = name not in finals or lost is not None or not self._lost_among(name, self._unclocked)
            open_ = "" if sure else CLOCK
            moved = name in waiting and waits is None and not self.one
            found[name] = Recovery(lost, waits, open_, self.one, moved)
        return found

    def _lost(self, name: str) -> Missed | None:
        return self._nearest(name, {number: self._over(name, number) for number in range(self.layout.count(name))})

    @cached_property
    def _unclocked(self) -> Graph:
        """Return the graph without the steps that ask how moments compare."""
        asks = {
            number
            for number, rule in enumerate(self.system.rules)
            if any(asks_moments(self.layout, rule.event.who[0], action) for action in _actions_of(rule))
        }
        edges = [[edge for edge in out if edge[0] not in asks] for out in self.graph.edges]
        return replace(self.graph, edges=edges) if asks else self.graph

    def _lost_among(self, name: str, graph: Graph) -> bool:
        """Say whether some state of a graph has no way on to where an entity is final."""
        return any(hopeless_states(graph, self._over(name, number)) for number in self._numbers(name))

    def _over(self, name: str, number: int) -> list[bool]:
        """Return of each state whether an entity is not there, or is final."""
        final = self.layout.is_in(name, number, self.layout.kinds[name].entity.final)
        over = either(no(self.layout.exists(name, number)), final)
        return [bool(evaluate(self.system, over, state)) for state in self.graph.states]

    def _waits(self, name: str) -> Missed | None:
        """Return how an entity that is not final comes to where nothing ever happens to it any more.

        Where newcomers may move it, one more of each kind is let in, and it is asked of what then can be.
        """
        goals = {number: self._goes_on((name, number)) for number in self._numbers(name)}
        if not self.newcomers:
            return self._nearest(name, goals)
        waiting = {number: lost for number, good in goals.items() if (lost := hopeless_states(self.graph, good))}
        if not waiting:
            return None
        further = self._further
        left = {
            number: [index for index in lost if further is None or not further.moves(index, (name, number))]
            for number, lost in waiting.items()
        }
        ends = [(len(self.graph.path(index).rules), index, number) for number, lost in left.items() for index in lost]
        if not ends:
            return None
        _, index, number = min(ends)
        uncertain = MORE if further is None else STILL_MORE
        return Missed(
            self.system, self.graph.path(index), self._named(name, number, self.graph.states[index]), uncertain
        )

    def _numbers(self, name: str) -> range:
        return range(self.layout.count(name))

    @cached_property
    def _further(self) -> Further | None:
        """Return what can be with one more of each kind, from wherever anybody may be waiting for one."""
        kinds = {name: self.layout.count(name) + 1 for name in self.layout.kinds}
        larger = lower(
            self.table, tuple(kinds), scope=kinds,
            pending_max=self.limits.pending_max, deferred_max=self.limits.deferred_max, texts=self.layout.words.texts,
        )  # fmt: skip
        if isinstance(larger, Unlowered):
            return None
        starts: dict[int, None] = {}
        for who in self.layout.slots:
            if who[0] in self.system.meta["depends"]:
                starts |= dict.fromkeys(hopeless_states(self.graph, self._goes_on(who)))
        return further_from(self.system, self.graph, larger, list(starts), self.limits.seconds)

    def _goes_on(self, who: Who) -> list[bool]:
        """Return of each state whether an entity is not there, is final, or can be moved."""
        moving = moving_rules(self.system, who)
        return [
            over or any(rule in moving for rule, _ in out)
            for over, out in zip(self._over(*who), self.graph.edges, strict=True)
        ]

    def _nearest(self, name: str, goals: dict[int, list[bool]]) -> Missed | None:
        found = {number: path for number, good in goals.items() if (path := hopeless(self.graph, good))}
        if not found:
            return None
        number = min(found, key=lambda each: (len(found[each].rules), each))
        last = states_of(self.system, found[number])[-1]
        state = self._named(name, number, last)
        return Missed(self.system, found[number], state, self._uncertain(name, last, number))

    def _named(self, name: str, number: int, state: State) -> str:
        """Return the name of the state in which an entity is."""
        return self.layout.kinds[name].entity.states[state[self.layout.slots[name, number].state] - 1]

    def _uncertain(self, name: str, last: State, number: int) -> str:
        """Return why what the search does not have might lead on, if anything might."""
        if self.newcomers:
            return MORE
        after = self._after(last)
        if self.ending and len(after) > AFTER_MAX:
            return PAST_BOUNDS
        why = {each for state in after for each in self._refused(state)}
        if why:
            return PAST_BOUNDS if BOUND in why else FAULT
        partial = list(self._undrawn(name, self._actions_in(name, number, after)))
        return f"with other values of {', '.join(partial)} there may be a way" if partial else ""

    def _after(self, state: State) -> list[State]:
        """Return a state with all that can be reached from it."""
        at = self.graph.states.index(state)
        seen, todo = {at}, [at]
        while todo:
            for _, target in self.graph.edges[todo.pop()]:
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return [self.graph.states[index] for index in sorted(seen)]

    def _refused(self, state: State) -> Iterator[str]:
        """Why steps from a state are none, though their guards hold."""
        for rule in self.ending:
            if evaluate(self.system, rule.guard, state):
                fault = fault_of(self.system, rule, state)
                if fault is not None:
                    yield rule.faults[fault].why

    def _undrawn(self, name: str, own: Collection[str]) -> Iterator[str]:
        """The parameters of which not every value was tried, where they may make a difference."""
        for full in self.system.meta["partial"]:
            kind, _, rest = full.partition(".")
            # Of principals there is a stranger, whom whoever looks at the run has to find.
            if full != "principals" and (kind != name or rest == "roles" or rest.partition(".")[0] in own):
                yield f"`{full}`"

    def _actions_in(self, name: str, number: int, after: Iterable[State]) -> frozenset[str]:
        """Return the actions that have a case in a state in which an entity is."""
        entity = self.layout.kinds[name].entity
        here = self.layout.slots[name, number].state
        states = {entity.states[state[here] - 1] for state in after if state[here]}
        return frozenset(
            action.name for action in entity.actions.values() for case in action.cases if states & set(case.froms)
        )
