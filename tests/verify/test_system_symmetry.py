"""Symmetry against plain evaluation: what is counted and found is the whole system's, though few states are visited."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.verify.system import bdd, python, symmetry
from temper.verify.system.codes import const, eq
from temper.verify.system.ir import TRUE, Orbit, Question, Rule, System, Var
from temper.verify.system.lower import lower
from temper.verify.system.symmetry_forms import exchanged, form
from tests.verify.system_draw import symmetric_systems, systems
from tests.verify.system_models import filter_lock, two_phase_commit
from tests.verify.test_system_engines import agrees, walked
from tests.verify.texts import table_of


@settings(max_examples=150, deadline=None)
@given(symmetric_systems())
def test_an_exchange_changes_nothing_and_nothing_found_is_lost(system: System) -> None:
    """The orbit is recognised as one; states, transitions, shortest ways, faults and deadlocks are the same."""
    assert symmetry.verify_orbits(system) == {}
    searched = symmetry.search(system, states_max=100_000, seconds=60)
    agrees(system, searched)
    assert searched.representatives is not None
    assert searched.representatives <= searched.states


@settings(max_examples=100, deadline=None)
@given(symmetric_systems())
def test_representatives_are_as_many_as_there_are_kinds(system: System) -> None:
    """A form is the same for all states that permutations make of one, differs for others, and counts its kin."""
    (orbit,) = system.orbits
    of = form(system, system.orbits)
    kinds = set()
    for state in walked(system)[0]:
        kin = {exchanged(orbit, each, state) for each in permutations(range(len(orbit.members)))}
        assert {of(each) for each in kin} == {of(state)}
        assert of(state)[0] in kin
        assert of(state)[1] == len(kin)
        kinds.add(min(kin))
    assert symmetry.search(system, states_max=100_000, seconds=60).representatives == len(kinds)


@settings(max_examples=60, deadline=None)
@given(symmetric_systems())
def test_diagrams_agree(system: System) -> None:
    """The other engine for large spaces, on systems with references and sets of members."""
    agrees(system, bdd.search(system, states_max=100_000, seconds=60))


@settings(max_examples=60, deadline=None)
@given(systems())
def test_without_orbits_it_is_a_plain_search(system: System) -> None:
    """Every state is its own form."""
    searched = symmetry.search(system, states_max=100_000, seconds=60)
    agrees(system, searched)
    assert searched.representatives == searched.states


@settings(max_examples=150, deadline=None)
@given(symmetric_systems(), st.data())
def test_what_is_believed_is_true(system: System, data: st.DataObject) -> None:
    """With one instance of a rule changed an orbit is refused, or it was none that told members apart."""
    number = data.draw(st.integers(0, len(system.rules) - 1))
    other = data.draw(st.integers(0, len(system.rules) - 1))
    spoilt = list(system.rules)
    if data.draw(st.booleans()):
        del spoilt[number]
    else:
        spoilt[number] = replace(spoilt[number], guard=system.rules[other].guard)
    changed = replace(system, rules=tuple(spoilt))
    agrees(changed, symmetry.search(changed, states_max=100_000, seconds=60))


def forms_by_hand() -> tuple[System, tuple[Orbit, ...]]:
    """Return three drivers, each with a van or none, and three vans, each with a set of drivers and a kind; and what is
    the first of each. One variable names a driver (1 to 3) or a van (4 to 6)."""
    drivers, vans = tuple((k,) for k in range(3)), tuple((3 + 2 * k, 4 + 2 * k) for k in range(3))
    variables = (
        *(Var(f"van of {k}", 4) for k in range(3)),
        *(Var(f"{name} {k}", size) for k in range(3) for name, size in (("drivers", 8), ("kind", 2))),
        Var("first", 7),
    )
    orbits = (
        Orbit(drivers, ((9, 1),), tuple((van[0], 0) for van in vans)),
        Orbit(vans, ((9, 4), *((driver[0], 1) for driver in drivers))),
    )
    return System(variables, ((0,) * 10,), (), orbits=orbits), orbits


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(
        *(st.integers(0, 3) for _ in range(3)),
        *(st.integers(0, 1 if n % 2 else 7) for n in range(6)),
        st.integers(0, 6),
    )
)
def test_members_that_refer_to_each_other_have_one_form(state: tuple[int, ...]) -> None:
    """All 36 ways to exchange drivers and vans give one form, and its kin is as many as come out different."""
    system, orbits = forms_by_hand()
    of = form(system, orbits)
    orders = list(permutations(range(3)))
    kin = {exchanged(orbits[1], vans, exchanged(orbits[0], drivers, state)) for drivers in orders for vans in orders}
    assert {of(each) for each in kin} == {of(state)}
    assert of(state)[0] in kin
    assert of(state)[1] == len(kin)


def test_a_ring_has_as_many_kin_as_it_has_different_orders() -> None:
    """Members of a ring look alike to every local measure: 6! / 6 orders of one of six, 6! / 18 of two of three."""
    orbit = Orbit(tuple((k,) for k in range(6)), tuple((k, 0) for k in range(6)))
    system = System(tuple(Var(f"next of {k}", 6) for k in range(6)), (), (), orbits=(orbit,))
    of = form(system, (orbit,))
    assert of((1, 2, 3, 4, 5, 0))[1] == 120
    assert of((1, 2, 0, 4, 5, 3))[1] == 40
    assert of((1, 2, 0, 4, 5, 3)) == of((2, 3, 4, 5, 0, 1)) != of((1, 2, 3, 4, 5, 0))


def letters() -> tuple[System, tuple[Orbit, ...]]:
    """Return three people who may have written to each other (a variable for each pair, also to oneself), the last
    letter of all, and the set of those that were answered; and the orbit of the people."""
    pairs = tuple((a, b) for a in range(3) for b in range(3))
    variables = (*(Var(f"{a} to {b}", 3) for a, b in pairs), Var("last", 10), Var("answered", 1 << 9))
    told = tuple((0, a, b) for a, b in pairs)
    owned = tuple((index, (0, a, b)) for index, (a, b) in enumerate(pairs))
    orbits = (Orbit(((), (), ()), owned=owned, named=((9, ((), *told)),), held=((10, told),)),)
    return System(variables, ((0,) * 11,), (), orbits=orbits), orbits


def trips() -> tuple[System, tuple[Orbit, ...]]:
    """Return two drivers and three vans, with a variable for each driver in each van and one for each van alone."""
    pairs = tuple((d, v) for d in range(2) for v in range(3))
    variables = (*(Var(f"{d} in {v}", 4) for d, v in pairs), *(Var(f"van {v}", 4) for v in range(3)))
    orbits = (
        Orbit(tuple(tuple(index for index, (mine, _) in enumerate(pairs) if mine == d) for d in range(2))),
        Orbit(tuple((*(index for index, (_, mine) in enumerate(pairs) if mine == v), 6 + v) for v in range(3))),
    )
    return System(variables, ((0,) * 9,), (), orbits=orbits), orbits


@settings(max_examples=150, deadline=None)
@given(st.tuples(*(st.integers(0, 2) for _ in range(9)), st.integers(0, 9), st.integers(0, (1 << 9) - 1)))
def test_what_belongs_to_two_members_moves_with_both(state: tuple[int, ...]) -> None:
    """Six ways to exchange three people: letters, what is said of one, and a set of them."""
    system, (orbit,) = letters()
    held_to(system, (orbit,), state, {exchanged(orbit, each, state) for each in permutations(range(3))})


@settings(max_examples=150, deadline=None)
@given(st.tuples(*(st.integers(0, 2) for _ in range(9))))
def test_what_belongs_to_members_of_two_orbits_moves_with_both(state: tuple[int, ...]) -> None:
    """Twelve ways to exchange two drivers and three vans."""
    system, (drivers, vans) = trips()
    ways = [(a, b) for a in permutations(range(2)) for b in permutations(range(3))]
    kin = {exchanged(vans, b, exchanged(drivers, a, state)) for a, b in ways}
    held_to(system, (drivers, vans), state, kin)


def held_to(system: System, orbits: tuple[Orbit, ...], state: tuple[int, ...], kin: set[tuple[int, ...]]) -> None:
    """Hold the form of a state to its kin."""
    of = form(system, orbits)
    assert {of(each) for each in kin} == {of(state)}
    assert of(state)[0] in kin
    assert of(state)[1] == len(kin)
    assert symmetry.verify_orbits(replace(system, rules=(Rule("nothing", TRUE, ()),))) == {}


def test_what_belongs_to_others_in_another_orbit_is_refused() -> None:
    """The vans say that driver 0 in van 1 and driver 1 in van 0 change places with others than the drivers say."""
    system, (drivers, vans) = trips()
    crossed = Orbit(((0, 4, 6), (1, 3, 7), (2, 5, 8)))
    for number, orbits in enumerate(((drivers, crossed), (crossed, vans))):
        refused = symmetry.verify_orbits(replace(system, orbits=orbits, rules=(Rule("nothing", TRUE, ()),)))
        assert any("belong" in why for why in refused.values()), number


POST = """
    blueprint post
    role sender
    entity Box
      states Open
      owner: principal
      got: int 0..2 = 0
      action Make by sender from new to Open
        set owner = caller
      action Take by system from Open
        set got = min(got + 1, 2)
      action Empty by owner from Open
        set got = 0
    entity Letter
      states Written, Sent
      final Sent
      box: Box
      action Write(box) by sender from new to Written
        set box
      action Send by sender from Written to Sent
        send box.Take
    always all b in Box: b.got < 2
    scope Box 2, Letter 2
"""


def test_boxes_letters_and_people_are_alike() -> None:
    """Who sends to whom, who owns what, and on whose behalf something is on its way: all of it can be exchanged."""
    system = lower(table_of(POST))
    assert isinstance(system, System)
    assert [len(orbit.members) for orbit in system.orbits] == [2, 2, 3]
    assert symmetry.verify_orbits(system) == {}
    plain = python.search(system, states_max=100_000, seconds=60)
    alike = symmetry.search(system, states_max=100_000, seconds=60)
    assert alike.representatives is not None
    assert alike.representatives < plain.states / 6
    assert (alike.states, alike.transitions) == (plain.states, plain.transitions)
    assert {n: len(path.rules) for n, path in alike.found.items()} == {
        n: len(path.rules) for n, path in plain.found.items()
    }


@pytest.mark.parametrize(
    ("managers", "representatives", "states", "transitions"),
    [(3, 80, 288, 1_145), (5, 314, 8_832, 58_145), (9, 2_232, 10_340_352, 123_558_401)],
)
def test_two_phase_commit_is_counted_by_its_kinds(
    managers: int, representatives: int, states: int, transitions: int
) -> None:
    found = symmetry.search(two_phase_commit(managers), states_max=10_000, seconds=60)
    assert (found.representatives, found.states, found.transitions) == (representatives, states, transitions)
    assert found.found == {}


def test_processes_of_a_lock_are_alike_where_nobody_was_first() -> None:
    """The levels name a process each; that the first of all was a certain one tells it from the others."""
    alike = symmetry.search(filter_lock(4, 0), states_max=10_000, seconds=60)
    plain = python.search(filter_lock(4, 0), states_max=10_000, seconds=60)
    assert alike.representatives is not None
    assert alike.representatives < plain.states / 15
    assert (alike.states, alike.transitions) == (plain.states, plain.transitions) == (5_744, 15_848)
    assert symmetry.verify_orbits(filter_lock(4)) == {0: "the initial states change"}


def lamps(**changes: object) -> System:
    """Return three lamps that can be switched on and off, which are all alike."""
    one = const(1)
    base = System(
        tuple(Var(f"lamp {k}", 2) for k in range(3)),
        ((0, 0, 0),),
        tuple(Rule(f"switch {k}", TRUE, ((k, ("-", one, ("var", k))),)) for k in range(3)),
        (Question("all on", "never", ("and", *(eq(("var", k), one) for k in range(3)))),),
        orbits=(Orbit(((0,), (1,), (2,))),),
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("system", "why"),
    [
        (lamps(), None),
        (lamps(initial=((0, 0, 1),)), "the initial states change"),
        (lamps(initial=((0, 0, 1), (0, 1, 0), (1, 0, 0))), None),
        (lamps(rules=(Rule("switch 0", TRUE, ((0, const(1)),)),)), "the rule `switch 0` changes into one that is none"),
        (lamps(questions=(Question("first", "never", eq(("var", 0), const(1))),)), None),
        (lamps(orbits=(Orbit(((), (), ()), owned=((0, (0, 0)), (1, (0, 1)))),)), "`lamp 1` has no counterpart"),
        (lamps(orbits=(Orbit(((), (), ()), owned=((0, (0, 0)), (1, (0, 0)))),)), "two variables have one place"),
        (
            lamps(orbits=(Orbit(((), (), ()), named=((0, ((0, 0), (0, 1))),)),)),
            "`lamp 0` can't name every member",
        ),
        (
            lamps(
                questions=(Question("two", "never", ("<", const(1), ("+", ("var", 2), ("+", ("var", 0), ("var", 1))))),)
            ),
            None,
        ),
        (lamps(orbits=(Orbit(((0,), (0,))),)), "a variable belongs to two members"),
        (lamps(orbits=(Orbit(((0, 1), (2,))),)), "its members have different numbers of variables"),
        (lamps(variables=(Var("lamp 0", 2), Var("lamp 1", 3), Var("lamp 2", 2))), "has another type in another member"),
        (lamps(orbits=(Orbit(((0,), (1,)), ((2, 1),)),)), "`lamp 2` can't name every member"),
        (lamps(orbits=(Orbit(((0,), (1,)), (), ((2, 0),)),)), "`lamp 2` can't hold every member"),
    ],
)
def test_an_orbit_that_is_none_is_refused(system: System, why: str | None) -> None:
    """What an exchange of two members would change is said."""
    refused = symmetry.verify_orbits(system)
    if why is None:
        assert refused == {}
    else:
        assert refused[0].endswith(why)


def test_rules_are_compared_by_what_they_mean() -> None:
    """A choice that is written in another order for each member, and an arithmetic that comes to the same."""
    on = [eq(("var", k), const(1)) for k in range(3)]
    ways = (
        ("-", const(1), ("var", 0)),
        ("ite", on[1], const(0), const(1)),
        ("%", ("+", ("var", 2), const(3)), const(2)),
    )
    rules = tuple(Rule(f"switch {k}", TRUE, ((k, way),)) for k, way in enumerate(ways))
    assert symmetry.verify_orbits(lamps(rules=rules)) == {}


def test_a_question_about_one_member_is_asked_of_any() -> None:
    """The first lamp is on after one step if any is; that the second and not the third is, after one; all are alike."""
    one = const(1)
    first = Question("first", "never", eq(("var", 0), one))
    pair = Question("two, not three", "never", ("and", eq(("var", 1), one), eq(("var", 2), const(0))))
    step = Question("third goes out", "never", ("<", ("next", 2), ("var", 2)), step=True)
    system = lamps(questions=(*lamps().questions, first, pair, step))
    searched = symmetry.search(system, states_max=100, seconds=10)
    assert (searched.representatives, searched.states) == (4, 8)
    assert {number: len(path.rules) for number, path in searched.found.items()} == {0: 3, 1: 1, 2: 1, 3: 2}
    agrees(system, searched)


def test_a_question_with_too_many_forms_refuses_its_orbit() -> None:
    """Six lamps in one certain order of two numbers each are asked for in 720 forms."""
    order = ("and", *(("<", ("var", k), ("var", k + 1)) for k in range(5)))
    system = System(
        tuple(Var(f"lamp {k}", 6) for k in range(6)),
        ((0,) * 6,),
        tuple(Rule(f"turn {k}", TRUE, ((k, ("%", ("+", ("var", k), const(1)), const(6))),)) for k in range(6)),
        (Question("in order", "never", order), Question("one", "never", eq(("var", 3), const(5)))),
        orbits=(Orbit(tuple((k,) for k in range(6))),),
    )
    assert symmetry.verify_orbits(system) == {0: "the question `in order` has more than 64 forms"}
    assert symmetry.verify_orbits(system, (1,)) == {}


@pytest.mark.parametrize(
    ("states_max", "seconds", "why"), [(10, 60.0, "stopped at 10 states"), (10**6, -1.0, "stopped after")]
)
def test_a_search_that_stops_says_so(states_max: int, seconds: float, why: str) -> None:
    """At a bound nothing is said of what was not seen."""
    stopped = symmetry.search(two_phase_commit(9), states_max=states_max, seconds=seconds).stopped
    assert stopped is not None
    assert stopped.startswith(why)
