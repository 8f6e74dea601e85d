"""What leads to what: traps of liveness checkers by hand, and drawn systems against a slow definition."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings

from temper.verify.system.fair import Graph, Lasso, class_of, graph_of, hopeless, leads
from temper.verify.system.ir import Code, Leads, Path, Rule, State, System, Var
from temper.verify.system.step import evaluate, states_of
from tests.verify.system_draw import systems


def at(value: int) -> Code:
    return ("==", ("var", 0), ("const", value))


def walks(*edges: tuple[int, int, str]) -> System:
    """Return a system of one variable whose rules are these edges, each of a fair action."""
    size = max(max(a, b) for a, b, _ in edges) + 1
    rules = tuple(Rule(f"{a} to {b}", at(a), ((0, ("const", b)),), fair=fair) for a, b, fair in edges)
    return System((Var("place", size),), ((0,),), rules)


S, T, U = "system/a", "system/b", "person"


@pytest.mark.parametrize(
    ("system", "goal", "fair", "strong", "expected"),
    [
        # It goes there by itself.
        (walks((0, 1, S)), 1, ("system",), (), None),
        # Nobody makes it go.
        (walks((0, 1, S)), 1, (), (), ((), ())),
        (walks((0, 1, U)), 1, ("system",), (), ((), ())),
        # A cycle that is left by an action that stays possible: weak fairness leaves it.
        (walks((0, 1, ""), (1, 0, ""), (0, 2, S), (1, 2, S)), 2, ("system",), (), None),
        # A cycle in which it is possible only now and then: weak fairness does not, strong does.
        (walks((0, 1, T), (1, 0, T), (0, 2, S)), 2, ("system",), (), ((), (0, 1))),
        (walks((0, 1, T), (1, 0, T), (0, 2, S)), 2, ("system",), ("system",), None),
        # The same, but nobody promises the way back: the run may end where it is never possible.
        (walks((0, 1, ""), (1, 0, ""), (0, 2, S)), 2, ("system",), ("system",), ((0,), ())),
        # A self loop of another action keeps the first from nothing.
        (walks((0, 0, T), (0, 1, S)), 1, ("system",), (), None),
        # Two ways that join again, one of which gets stuck after the join (a join must not hide it).
        (walks((0, 1, S), (0, 2, T), (1, 3, S), (2, 3, S), (3, 4, "")), 4, ("system",), (), ((0, 2), ())),
        # The goal lies on a cycle: every turn of it is a visit.
        (walks((0, 1, S), (1, 0, S)), 1, ("system",), (), None),
        # A fair action that goes round in the cycle and never out: it has its turns, and the run stays.
        (walks((0, 1, S), (1, 0, S), (0, 2, U)), 2, ("system",), (), ((), (0, 1))),
        # One action with two outcomes, of which the wrong one may come every time.
        (walks((0, 0, S), (0, 1, S)), 1, ("system",), ("system",), ((), (0,))),
    ],
)
def test_what_leads_there(
    system: System,
    goal: int,
    fair: tuple[str, ...],
    strong: tuple[str, ...],
    expected: tuple[tuple[int, ...], tuple[int, ...]] | None,
) -> None:
    """One row: the edges, the goal, what is fair, and the prefix and the loop of the run that never gets there."""
    graph = graph_of(system, states_max=100, seconds=10)
    found = leads(graph, Leads("", at(0), at(goal), fair, strong))
    assert (None if found.lasso is None else (found.lasso.prefix.rules, found.lasso.loop)) == expected


def test_what_it_would_take_is_named() -> None:
    """A person must act; or the system must get its turn although it is not always possible."""
    person = graph_of(walks((0, 1, S), (1, 0, S), (0, 2, U)), states_max=10, seconds=1)
    assert leads(person, Leads("", at(0), at(2))).mending == (("person", "strong"),)
    idle = graph_of(walks((0, 1, U)), states_max=10, seconds=1)
    assert leads(idle, Leads("", at(0), at(1))).mending == (("person", "weak"),)
    system = graph_of(walks((0, 1, T), (1, 0, T), (0, 2, S)), states_max=10, seconds=1)
    assert leads(system, Leads("", at(0), at(2))).mending == (("system", "strong"),)
    nothing = graph_of(walks((0, 1, S)), states_max=10, seconds=1)
    assert leads(nothing, Leads("", at(0), ("const", 0))).mending == ()


def test_from_where_there_is_no_way_back() -> None:
    graph = graph_of(walks((0, 1, S), (1, 0, S), (0, 2, S), (2, 3, S), (3, 2, S)), states_max=10, seconds=1)

    def lost(goal: Code) -> Path | None:
        return hopeless(graph, [bool(evaluate(graph.system, goal, state)) for state in graph.states])

    assert lost(at(1)) == Path(0, (2,))
    assert lost(("or", at(1), at(3))) is None


def test_a_graph_that_is_cut_says_so() -> None:
    graph = graph_of(walks(*((n, n + 1, S) for n in range(50))), states_max=10, seconds=10)
    found = leads(graph, Leads("", at(0), at(3)))
    assert found.stopped == "stopped at 10 states"


@settings(max_examples=150, deadline=None)
@given(systems(rules_max=5, most=2))
def test_the_runs_that_are_shown_are_fair_and_never_get_there(system: System) -> None:
    """Whatever is drawn: a lasso can be walked, comes round, avoids the goal, and gives each fair action its due."""
    graph = graph_of(system, states_max=2_000, seconds=20)
    for asked in system.leads:
        found = leads(graph, asked, mend=False)
        if found.lasso is not None:
            shown(graph, asked, found.lasso)
        assert (found.lasso is None) == (not slowly(graph, asked))


def shown(graph: Graph, asked: Leads, lasso: Lasso) -> None:
    """Hold a lasso to what it is to show."""
    system = graph.system
    run = states_of(system, Path(lasso.prefix.initial, (*lasso.prefix.rules, *lasso.loop)))
    turn = run[len(lasso.prefix.rules) :]
    assert turn[0] == turn[-1], "the loop comes round"
    assert evaluate(system, asked.start, run[lasso.starts])
    assert not any(evaluate(system, asked.goal, state) for state in run[lasso.starts :])
    number = {state: index for index, state in enumerate(graph.states)}
    taken = {system.rules[rule].fair for rule in lasso.loop}
    able = [graph.able(number[state]) for state in turn]
    for action in frozenset().union(*able):
        if class_of(action) in asked.strong:
            assert action in taken
        elif class_of(action) in asked.fair:
            assert action in taken or not all(action in each for each in able)


def slowly(graph: Graph, asked: Leads) -> bool:
    """Say whether a fair run stays outside the goal, by the definition: some set of states, connected, that is fair.

    For each choice of what fair actions never happen again: without the states in which a strong one of them could, and
    so on. Exponential, and another algorithm than the one that is held to it.
    """
    system = graph.system
    outside = {n for n, state in enumerate(graph.states) if not evaluate(system, asked.goal, state)}
    reached = {n for n in outside if evaluate(system, asked.start, graph.states[n])}
    todo = list(reached)
    while todo:
        for _, target in graph.edges[todo.pop()]:
            if target in outside and target not in reached:
                reached.add(target)
                todo.append(target)
    actions = sorted({rule.fair for rule in system.rules if class_of(rule.fair) in {*asked.fair, *asked.strong} - {""}})
    for happens in product((False, True), repeat=len(actions)):
        never = {action for action, yes in zip(actions, happens, strict=True) if not yes}
        strongly = {action for action in never if class_of(action) in asked.strong}
        allowed = {n for n in reached if not graph.able(n) & strongly}
        edges = {
            n: {t for rule, t in graph.edges[n] if t in allowed and system.rules[rule].fair not in never}
            for n in allowed
        }
        closure = {n: closed(edges, n) for n in allowed}
        for n in allowed:
            around = {m for m in closure[n] if n in closure[m]} | {n}
            taken = {
                system.rules[rule].fair
                for m in around
                for rule, t in graph.edges[m]
                if t in around and system.rules[rule].fair not in never
            }
            due = {action for action, yes in zip(actions, happens, strict=True) if yes}
            idle = all(any(action not in graph.able(m) for m in around) for action in never - strongly)
            if due <= taken and idle:
                return True
    return False


def closed(edges: dict[int, set[int]], start: int) -> set[int]:
    """Return what can be reached from a state in one step or more."""
    seen: set[int] = set()
    todo = list(edges[start])
    while todo:
        index = todo.pop()
        if index not in seen:
            seen.add(index)
            todo.extend(edges[index])
    return seen


def test_state_is_a_tuple_of_codes() -> None:
    """The graph's first state is the system's."""
    graph = graph_of(walks((0, 1, S)), states_max=10, seconds=1)
    first: State = graph.states[0]
    assert first == (0,)
