"""Known answers: models whose numbers are known from TLC, SPIN and by hand, written as blueprints, and counted exactly.

A state of the blueprint is a state of the model, and an action with its parameters one of its actions. The search by
`step` counts states from creation on; an engine on the lowered system counts one more, in which nothing has been
created. Creations are counted as steps, as TLC counts initial states among those that it generates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from temper.service import format_text
from temper.table import Table
from temper.verify import Limits, Verdict, verify
from temper.verify.explore.search import explore
from temper.verify.system import bdd, python, wasm
from temper.verify.system.ir import Searched, System
from temper.verify.system.lower import lower
from tests.verify.texts import result_of, run_of, table_of

KNOWN = Path(__file__).parent / "known"
NAMES = sorted(path.stem for path in KNOWN.glob("*.blueprint"))
# How a blueprint becomes one of another size: what is written for its own, and for this one.
SIZES: dict[tuple[str, int], list[tuple[str, str]]] = {
    ("two_phase", n): [
        ("1..3", f"1..{n}"),
        ("{1, 2, 3}", f"{{{', '.join(map(str, range(1, n + 1)))}}}"),
        ("max 3", f"max {n}"),
    ]
    for n in (5, 7, 8, 9)
}
SIZES |= {
    ("philosophers", n): [("0..3", f"0..{n - 1}"), ("seats = 4", f"seats = {n}"), ("max 4", f"max {n}")]
    for n in (8, 12)
}
SIZES |= {
    ("filter_lock", n): [
        ("0..2", f"0..{n - 1}"),
        ("1..2", f"1..{n - 1}"),
        ("max 3", f"max {n}"),
        ("max 2", f"max {n - 1}"),
        ("2: rest", ", ".join(f"{p}: rest" for p in range(2, n))),
        ("{0: 0, 1: 0, 2: 0}", f"{{{', '.join(f'{p}: 0' for p in range(n))}}}"),
        ("{1: 0, 2: 0}", f"{{{', '.join(f'{p}: 0' for p in range(1, n))}}}"),
        ("{0, 1, 2}", f"{{{', '.join(map(str, range(n)))}}}"),
        ("mine < 2", f"mine < {n - 1}"),
    ]
    for n in (4, 5)
}

# States and steps. 0 is the size that is written.
COUNTS = [
    ("two_phase", 0, 288, 1_146),
    ("two_phase", 5, 8_832, 58_146),
    ("two_phase", 7, 296_448, 2_744_706),
    ("two_phase", 8, 1_745_408, 18_507_778),
    ("two_phase", 9, 10_340_352, 123_558_402),
    ("transaction_commit", 0, 34, 94),
    ("allocator", 0, 400, 1_633),
    ("peterson", 0, 42, 77),
    ("peterson_waits", 0, 42, 77),
    ("filter_lock", 0, 288, 652),
    ("filter_lock_waits", 0, 288, 652),
    ("filter_lock", 4, 4_752, 13_081),
    ("filter_lock", 5, 88_560, 286_986),
    ("chameneos", 0, 34_534, 104_697),
    # By hand: with (3 + sqrt 13) / 2 and its conjugate x and y, x^n + y^n - 1 states, all but that in which all have
    # the left fork and have eaten: 11 * 11 - 2 - 1 for 4 (119 - 1).
    ("philosophers", 0, 118, 341),
    ("philosophers", 8, 14_158, 81_849),
    ("philosophers", 12, 1_684_801, 14_610_253),
    ("die_hard", 0, 16, 97),
    # Of 20 states in which nobody is eaten 16 can be reached, by 17 moves that have their way back each, and creation.
    ("missionaries", 0, 16, 35),
    # The model begins in each of its 6^6 = 46,656 states and takes 248,832 - 46,656 = 202,176 steps from there. Here
    # faults lead everywhere: 36 steps from each state, and one creation.
    ("token_ring", 0, 46_656, 202_176 + 36 * 46_656 + 1),
    # The model begins with each of 5,150 cans and takes 20,002 - 5,150 = 14,852 steps from there. Here a bean is put in
    # first, black or white (2 creations), and either into each of the 5,049 cans of 1 to 99.
    ("coffee_can", 0, 5_150, 14_852 + 2 + 2 * 5_049),
]
# The search by `step` looks at some ten thousand steps a second: these are enough for it.
BY_STEP_MAX = 2_000
ENGINES: dict[str, Callable[..., Searched]] = {"python": python.search, "wasm": wasm.search, "bdd": bdd.search}
# Who is quick enough for the large ones.
QUICK = {
    ("two_phase", 7): ("wasm", "bdd"),
    ("two_phase", 8): ("wasm", "bdd"),
    ("two_phase", 9): ("bdd",),
    ("philosophers", 12): ("wasm", "bdd"),
    ("filter_lock", 5): ("wasm",),
}


def text_of(name: str, size: int = 0) -> str:
    """Return a known model's blueprint, in this size."""
    text = (KNOWN / f"{name}.blueprint").read_text("utf-8")
    for was, instead in SIZES[name, size] if size else ():
        assert was in text
        text = text.replace(was, instead)
    return text


@cache
def known(name: str, size: int = 0) -> Table:
    return table_of(text_of(name, size))


@cache
def lowered(name: str, size: int = 0) -> System:
    system = lower(known(name, size))
    assert isinstance(system, System), system
    return system


@pytest.mark.parametrize(("name", "size", "states", "steps"), [each for each in COUNTS if each[3] <= BY_STEP_MAX])
def test_the_search_by_step_counts_what_is_known(name: str, size: int, states: int, steps: int) -> None:
    table = known(name, size)
    (entity,) = table.entities
    found = explore(table, entity, Limits())
    assert (found.states, found.transitions) == (states, steps)
    assert found.whole


@pytest.mark.parametrize(
    ("engine", "name", "size", "states", "steps"),
    [(engine, *each) for each in COUNTS for engine in QUICK.get(each[:2], tuple(ENGINES))],
)
def test_an_engine_counts_what_is_known(engine: str, name: str, size: int, states: int, steps: int) -> None:
    system = lowered(name, size)
    assert system.exact, "every value is drawn"
    found = ENGINES[engine](system, states_max=2_000_000, seconds=60)
    assert found.stopped is None
    assert (found.states, found.transitions) == (states + 1, steps)


# What is broken, and how many states its shortest run has, as facts of the models: with the creation, as many steps.
BROKEN = [
    ("die_hard", 0, "not solved", 7),
    ("missionaries", 0, "not all have crossed", 12),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "size", "property_", "states"), BROKEN)
def test_an_engine_finds_a_shortest_run(engine: str, name: str, size: int, property_: str, states: int) -> None:
    system = lowered(name, size)
    found = ENGINES[engine](system, states_max=100_000, seconds=60)
    (number,) = (n for n, each in enumerate(system.questions) if each.name == property_)
    assert len(found.found[number].rules) == states


@pytest.mark.parametrize(("name", "size", "property_", "states"), BROKEN)
def test_a_report_tells_a_shortest_run(name: str, size: int, property_: str, states: int) -> None:
    broken = result_of(verify(known(name, size), levels=("search",)), property_)
    assert broken.verdict is Verdict.BROKEN
    assert len(broken.trace) == states


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("size", "seats"), [(0, 4), (8, 8)])
def test_philosophers_have_one_deadlock(engine: str, size: int, seats: int) -> None:
    """All have the left fork: one step for each, after the table has been laid."""
    found = ENGINES[engine](lowered("philosophers", size), states_max=100_000, seconds=60)
    assert found.deadlocks == 1
    assert found.stuck is not None
    assert len(found.stuck.rules) == 1 + seats


def test_a_report_tells_the_philosophers_deadlock() -> None:
    stuck = result_of(verify(known("philosophers"), levels=("search",)), "every state has a way out")
    assert stuck.verdict is Verdict.BROKEN
    assert sorted(run_of(stuck)) == ["philosopher: Lay -> Laid", *["philosopher: TakeLeft -> Laid"] * 4]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {name for name, *_ in BROKEN}))
def test_what_is_known_to_hold_is_broken_nowhere(name: str) -> None:
    """Agreement, exclusion, and what stays the same: in every state, for each written property."""
    system = lowered(name)
    found = wasm.search(system, states_max=100_000, seconds=60)
    names = {each.name for each in known(name).properties}
    assert names
    assert not names & {system.questions[number].name for number in found.found}


WAITS = [("peterson_waits", ("mine", "other")), ("filter_lock_waits", ("p0", "p1", "p2"))]


@pytest.mark.parametrize(("name", "processes"), WAITS)
def test_who_waits_gets_in_if_every_process_goes_on(name: str, processes: tuple[str, ...]) -> None:
    """Under weak fairness of each process; without that of any one of them somebody may wait for ever."""
    asked = "eventually Wait leads to Critical"
    assert result_of(verify(known(name), levels=("search",)), asked).verdict is Verdict.PROVED
    for stops in processes:
        careless = table_of(text_of(name).replace(f"    assume {stops} responds\n", ""))
        assert result_of(verify(careless, levels=("search",)), asked).verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", NAMES)
def test_a_known_model_is_laid_out(name: str) -> None:
    assert format_text(f"{name}.blueprint", text_of(name)) == text_of(name)
