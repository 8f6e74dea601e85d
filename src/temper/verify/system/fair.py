"""What leads to what, under fairness: fair strongly connected components over the whole graph of a system.

`A leads to B` is broken by a run that is in A and from then on never in B, if the run is fair: it takes each fair
action again and again, or again and again can't take it or begins it anew (weak fairness), or can take it only so often
(strong fairness). Such a run ends in a strongly connected component of the states outside B, which may be a single
state in which nothing happens any more. Components are looked for by Tarjan's algorithm, and for strong fairness taken
apart again without the states in which an action is refused its turn (Emerson and Lei, "Modalities for model checking",
1987).

What is begun anew is a timer that is armed again before it has fired, or a call whose visit is over before its outcome
has come: who pokes a session again and again keeps it from expiring.

Edges are real ones: a state in which people could act and do not is left by nothing, and nobody is made to act unless a
property assumes it. Symmetry is never used here: exchanging instances along a loop would make unfair runs of fair ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations

from msgspec import Struct, field

from temper.verify.system.ir import BOUND, Leads, Path, Rule, State, System
from temper.verify.system.step import evaluate, fault_of, successors

# Sets of assumptions that would mend a broken property are looked for up to this size.
MENDING_MAX = 3


class Lasso(Struct, frozen=True):
    """A fair run that never gets there: the way to a loop, and the loop; an empty one is a state that stays for ever.

    `starts` is the number of steps after which the run is where it should lead on from.
    """

    prefix: Path
    loop: tuple[int, ...]
    starts: int


class Led(Struct, frozen=True):
    """What is known of one `leads`: a lasso that breaks it, or `stopped`, or neither: it holds in all `states`.

    `mending` are the least assumptions under which it would hold: (class, "weak" or "strong"); empty where none would.
    """

    lasso: Lasso | None
    states: int
    stopped: str | None = None
    mending: tuple[tuple[str, str], ...] = ()


class Graph(Struct):
    """Every state that can be reached, and every step. `stopped` says why it is not whole."""

    system: System
    states: list[State]
    edges: list[list[tuple[int, int]]]
    """For each state the rules that can be taken there, and where each leads."""
    parents: list[tuple[int, int]]
    """For each state the one it was first reached from and the rule; (-1, initial) for an initial one."""
    stopped: str | None = None
    _able: list[frozenset[str]] = field(default_factory=list)

    def path(self, index: int) -> Path:
        """Return a shortest run to a state."""
        rules: list[int] = []
        while (parent := self.parents[index])[0] >= 0:
            rules.append(parent[1])
            index = parent[0]
        return Path(parent[1], tuple(reversed(rules)))

    def able(self, index: int) -> frozenset[str]:
        """Return the fair actions that can be taken in a state."""
        if not self._able:
            rules = self.system.rules
            past = [rule for rule in rules if rule.fair and any(fault.why == BOUND for fault in rule.faults)]
            self._able = [
                frozenset(rules[rule].fair for rule, _ in out if rules[rule].fair) | self._past(past, state)
                for out, state in zip(self.edges, self.states, strict=True)
            ]
        return self._able[index]

    def _past(self, rules: Iterable[Rule], state: State) -> frozenset[str]:
        """Return the fair actions that lead past a bound of the search: they can be taken, but are no steps of it."""
        found = set()
        for rule in rules:
            if rule.fair not in found and evaluate(self.system, rule.guard, state):
                fault = fault_of(self.system, rule, state)
                found |= {rule.fair} if fault is not None and rule.faults[fault].why == BOUND else set()
        return frozenset(found)


def graph_of(
    system: System,
    *,
    states_max: int,
    seconds: float,
    steps: Callable[[State], Iterable[tuple[int, State]]] | None = None,
) -> Graph:
    """Return the graph of a system, breadth first. `steps` gives the steps from a state; left out, by evaluation."""
    steps = steps or successors(system)
    began = time.monotonic()
    numbers: dict[State, int] = {}
    parents: list[tuple[int, int]] = []
    for number, state in enumerate(system.initial):
        if state not in numbers:
            numbers[state] = len(parents)
            parents.append((-1, number))
    states = list(numbers)
    edges: list[list[tuple[int, int]]] = []
    stopped = None
    for index, state in enumerate(states):
        if len(states) > states_max:
            stopped = f"stopped at {states_max:,} states"
        elif index % 1024 == 0 and time.monotonic() - began > seconds:
            stopped = f"stopped after {seconds:g} s"
        if stopped is not None:
            break
        out = []
        for rule, after in steps(state):
            target = numbers.get(after)
            if target is None:
                target = numbers[after] = len(states)
                states.append(after)
                parents.append((index, rule))
            out.append((rule, target))
        edges.append(out)
    edges.extend([] for _ in range(len(states) - len(edges)))
    return Graph(system, states, edges, parents, stopped)


def leads(graph: Graph, asked: Leads, *, mend: bool = True) -> Led:
    """Return what the graph says of `asked`; where it is broken, and `mend`, also what it would take to hold."""
    question = _Question(graph, asked)
    lasso = question.lasso(frozenset(asked.fair), frozenset(asked.strong))
    if lasso is None:
        return Led(None, len(graph.states), graph.stopped)
    mending = question.mending(frozenset(asked.fair), frozenset(asked.strong)) if mend and not graph.stopped else ()
    return Led(lasso, len(graph.states), None, mending)


def hopeless(graph: Graph, good: Sequence[bool]) -> Path | None:
    """Return a shortest run to a state from which none that is good can be reached, `None` if there is no such state.

    Only a whole graph can say so: what lies past a bound might lead there.
    """
    lost = hopeless_states(graph, good)
    return graph.path(lost[0]) if lost else None


def hopeless_states(graph: Graph, good: Sequence[bool]) -> list[int]:
    """Return the states of a whole graph from which none that is good can be reached, nearest first."""
    assert graph.stopped is None, "from a state at the edge of a graph that is cut nothing can be said"
    reaches = leading_to(graph, [index for index, each in enumerate(good) if each])
    return [index for index in range(len(graph.states)) if index not in reaches]


def leading_to(graph: Graph, goals: Iterable[int]) -> set[int]:
    """Return the states from which some state of `goals` can be reached, those included."""
    before: list[list[int]] = [[] for _ in graph.states]
    for index, out in enumerate(graph.edges):
        for _, target in out:
            before[target].append(index)
    todo = list(goals)
    reaches = set(todo)
    while todo:
        for index in before[todo.pop()]:
            if index not in reaches:
                reaches.add(index)
                todo.append(index)
    return reaches


def class_of(fair: str) -> str:
    """Return the class of a fair action."""
    return fair.partition("/")[0]


class _Question:
    """One `leads` over one graph."""

    def __init__(self, graph: Graph, asked: Leads) -> None:
        self.graph = graph
        system = graph.system
        outside = [not evaluate(system, asked.goal, state) for state in graph.states]
        self.starts = [
            index for index, state in enumerate(graph.states) if outside[index] and evaluate(system, asked.start, state)
        ]
        # The states that a run outside the goal can be in, once it has been where it should lead on from.
        self.inside: set[int] = set(self.starts)
        todo = list(self.starts)
        while todo:
            for _, target in graph.edges[todo.pop()]:
                if outside[target] and target not in self.inside:
                    self.inside.add(target)
                    todo.append(target)

    def lasso(self, fair: frozenset[str], strong: frozenset[str]) -> Lasso | None:
        """Return a fair run that stays outside the goal, with a shortest way to its loop."""
        if not self.inside:
            return None
        found = [part for part in self._components(self.inside) for part in self._fair(part, fair | strong, strong)]
        if not found:
            return None
        return self._drawn(found, fair | strong)

    def mending(self, fair: frozenset[str], strong: frozenset[str]) -> tuple[tuple[str, str], ...]:
        """Return the fewest assumptions more under which there is no such run; weak ones before strong ones."""
        classes = sorted({class_of(rule.fair) for rule in self.graph.system.rules if rule.fair})
        more = [(each, "weak") for each in classes if each not in fair | strong]
        more += [(each, "strong") for each in classes if each not in strong]
        for size in range(1, MENDING_MAX + 1):
            for chosen in combinations(more, size):
                names = [name for name, _ in chosen]
                if len(set(names)) < len(names):
                    continue
                weakly = fair | {name for name, how in chosen if how == "weak"}
                strongly = strong | {name for name, how in chosen if how == "strong"}
                if self.lasso(weakly, strongly) is None:
                    return chosen
        return ()

    # --- components ---

    def _components(self, within: Collection[int]) -> Iterator[list[int]]:
        """Strongly connected components of the graph within some states, single states too (Tarjan, 1972)."""
        allowed = within if isinstance(within, set) else set(within)
        edges = self.graph.edges
        order: dict[int, int] = {}
        low: dict[int, int] = {}
        stack: list[int] = []
        on_stack: set[int] = set()
        for root in sorted(allowed):
            if root in order:
                continue
            order[root] = low[root] = len(order)
            stack.append(root)
            on_stack.add(root)
            work = [(root, iter(edges[root]))]
            while work:
                index, out = work[-1]
                for _, target in out:
                    if target not in allowed:
                        continue
                    if target not in order:
                        order[target] = low[target] = len(order)
                        stack.append(target)
                        on_stack.add(target)
                        work.append((target, iter(edges[target])))
                        break
                    if target in on_stack:
                        low[index] = min(low[index], order[target])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[index])
                    if low[index] == order[index]:
                        component = []
                        while True:
                            last = stack.pop()
                            on_stack.discard(last)
                            component.append(last)
                            if last == index:
                                break
                        yield component

    def _fair(self, component: list[int], fair: frozenset[str], strong: frozenset[str]) -> Iterator[list[int]]:
        """The parts of a component in which a fair run can go on for ever."""
        members = set(component)
        taken = {
            action
            for index in component
            for rule, target in self.graph.edges[index]
            if target in members and (action := self.graph.system.rules[rule].fair)
        }
        # What is begun anew on the way is not to be had by waiting, whatever is promised.
        taken |= self._renewed(members)
        denied = [
            {action for action in self.graph.able(index) if class_of(action) in fair and action not in taken}
            for index in component
        ]
        # Strong fairness: where such an action can be taken and never is, the run can't come again and again.
        refused = {
            index
            for index, actions in zip(component, denied, strict=True)
            if any(class_of(action) in strong for action in actions)
        }
        if refused:
            for part in self._components(members - refused):
                yield from self._fair(part, fair, strong)
            return
        # Weak fairness: an action that can be taken all the time is taken.
        if denied and set.intersection(*denied):
            return
        yield component

    def _renewed(self, members: set[int]) -> set[str]:
        """Return the fair actions that some step inside begins anew."""
        rules = self.graph.system.rules
        inside = {rule for index in members for rule, target in self.graph.edges[index] if target in members}
        return {action for rule in inside for action in rules[rule].renews}

    # --- the run that shows it ---

    def _drawn(self, found: list[list[int]], fair: frozenset[str]) -> Lasso:
        ways = self._ways()
        component = min(found, key=lambda part: min((len(ways[index][1]), index) for index in part))
        entry = min(component, key=lambda index: (len(ways[index][1]), index))
        start, way = ways[entry]
        before = self.graph.path(start)
        prefix = Path(before.initial, (*before.rules, *way))
        return Lasso(prefix, self._loop(component, entry, fair), len(before.rules))

    def _ways(self) -> dict[int, tuple[int, tuple[int, ...]]]:
        """From where, and how, each state outside the goal is reached; nearest starts first."""
        ways: dict[int, tuple[int, tuple[int, ...]]] = {index: (index, ()) for index in self.starts}
        todo = deque(self.starts)
        while todo:
            index = todo.popleft()
            start, way = ways[index]
            for rule, target in self.graph.edges[index]:
                if target in self.inside and target not in ways:
                    ways[target] = (start, (*way, rule))
                    todo.append(target)
        return ways

    def _loop(self, component: list[int], entry: int, fair: frozenset[str]) -> tuple[int, ...]:
        """Return a walk from `entry` back to it that gives each fair action its turn or a moment without one, or begins
        it anew."""
        members = set(component)
        owed = {action for index in component for action in self.graph.able(index) if class_of(action) in fair}
        walk: list[int] = []
        at = entry
        for action in sorted(owed):
            if any(self._takes(action, rule) or self._renews(action, rule) for rule in walk):
                continue
            # Its turn, if it can have one inside; a moment at which it can't be taken where it can't.
            steps = (
                self._walk(at, members, partial(self._takes, action))
                or self._walk_to(at, members, partial(self._can_not, action))
                or self._walk(at, members, partial(self._renews, action))
            )
            assert steps is not None, "the component is fair"
            walk += steps[0]
            at = steps[1]
        back = self._walk_to(at, members, lambda index: index == entry)
        assert back is not None, "the component is strongly connected"
        walk += back[0]
        if not walk and len(component) > 1:
            # Nothing is owed, but the states of the component are left: once around.
            for rule, target in self.graph.edges[entry]:
                if target in members:
                    around = self._walk_to(target, members, lambda index: index == entry)
                    assert around is not None, "the component is strongly connected"
                    return (rule, *around[0])
        return tuple(walk)

    def _takes(self, action: str, rule: int) -> bool:
        return self.graph.system.rules[rule].fair == action

    def _renews(self, action: str, rule: int) -> bool:
        return action in self.graph.system.rules[rule].renews

    def _can_not(self, action: str, index: int) -> bool:
        return action not in self.graph.able(index)

    def _walk(self, at: int, members: set[int], taken: Callable[[int], bool]) -> tuple[list[int], int] | None:
        """A shortest walk inside whose last step is one that is wanted."""
        for index, way in self._near(at, members):
            for rule, target in self.graph.edges[index]:
                if target in members and taken(rule):
                    return [*way, rule], target
        return None

    def _walk_to(self, at: int, members: set[int], wanted: Callable[[int], bool]) -> tuple[list[int], int] | None:
        for index, way in self._near(at, members):
            if wanted(index):
                return list(way), index
        return None

    def _near(self, at: int, members: set[int]) -> Iterator[tuple[int, Sequence[int]]]:
        ways: dict[int, tuple[int, ...]] = {at: ()}
        todo = deque([at])
        while todo:
            index = todo.popleft()
            yield index, ways[index]
            for rule, target in self.graph.edges[index]:
                if target in members and target not in ways:
                    ways[target] = (*ways[index], rule)
                    todo.append(target)
