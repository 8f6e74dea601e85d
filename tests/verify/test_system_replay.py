"""Paths, told and done once more: what they have in common once, and within a time that is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType

import pytest

from temper.verify.limits import Limits
from temper.verify.system import python, replay, step
from temper.verify.system.found import search_together
from temper.verify.system.ir import System
from temper.verify.system.lower import Unlowered, lower
from temper.verify.system.replay import Replays, replay_path
from tests.verify.texts import table_of

LONG = 120


def chain(length: int) -> str:
    """Return a blueprint of so many states in a row."""
    steps = "".join(f"  action A{n} by r from S{n} to S{n + 1}\n" for n in range(length - 1))
    states = ", ".join(f"S{n}" for n in range(length))
    return (
        f"blueprint chain\n\nrole r\n\nentity E\n  states {states}\n  final S{length - 1}\n"
        f"  action New by r from new to S0\n{steps}"
    )


def lowered(length: int) -> System:
    system = lower(table_of(chain(length)))
    assert isinstance(system, System), system
    return system


def counted(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[str]:
    """Return a list that grows by one at each call of a module's function."""
    calls: list[str] = []
    plain: Callable[..., object] = getattr(module, name)

    def call(*args: object, **named: object) -> object:
        calls.append(name)
        return plain(*args, **named)

    monkeypatch.setattr(module, name, call)
    return calls


def test_steps_that_paths_share_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two questions for each state of a row: the paths have thousands of steps in all, and as many rules are tried as
    there are states."""
    system = lowered(LONG)
    tried = counted(monkeypatch, step, "taken")
    found = python.search(system, states_max=10_000, seconds=60)
    assert sum(len(path.rules) for path in found.found.values()) > LONG * LONG / 2
    assert 0 < len(tried) <= 2 * LONG


def test_what_runs_share_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(chain(LONG))
    system = lowered(LONG)
    found = python.search(system, states_max=10_000, seconds=60)
    committed = counted(monkeypatch, replay, "commit")
    replays = Replays(system, table)
    for path in (each for each in found.found.values() if each.rules):
        run = replays.run(path)
        assert run is not None
        assert run == replay_path(system, table, path) if len(path.rules) < 4 else len(run.stages) == len(path.rules)
    assert 0 < len(committed) < 6 * LONG


def test_a_run_that_goes_over_a_thousand_steps_is_done_once_more() -> None:
    """Past the depth to which Python calls itself."""
    text = chain(41).replace("  final S40\n", "  final S40\n  n: int 0..40 = 0\n")
    text = text.replace("from S39 to S40", "from S39 to S0 when n < 30\n    set n += 1")
    text += "  action End by r from S39 to S40 when n == 30\n"
    table = table_of(text)
    system = lower(table)
    assert isinstance(system, System), system
    found = python.search(system, states_max=10_000, seconds=60)
    longest = max(found.found.values(), key=lambda path: len(path.rules))
    run = replay_path(system, table, longest)
    assert run is not None
    assert len(run.stages) == len(longest.rules) > 1_000


def test_what_there_is_no_time_for_is_not_known() -> None:
    table = table_of(chain(LONG))
    system = lowered(LONG)
    path = max(python.search(system, states_max=10_000, seconds=60).found.values(), key=lambda path: len(path.rules))
    replays = Replays(system, table, until=time.monotonic() - 1)
    assert replays.run(path) is None
    assert replays.late
    assert replay_path(system, table, path) is not None


def test_a_search_says_for_what_there_was_no_time() -> None:
    table = table_of(chain(LONG))
    together = search_together(table, list(table.entities), Limits(seconds=-100.0))
    assert not isinstance(together, Unlowered)
    (explored,) = together.explored.values()
    assert {each.why for each in explored.reached.values()} <= {"there was no time to do its run once more"}


def test_paths_are_told_no_further_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest are told, and that there are others."""
    monkeypatch.setattr(step.Ways, "STEPS_MAX", LONG)
    found = python.search(lowered(LONG), states_max=10_000, seconds=60)
    assert found.stopped == step.SPENT
    assert 0 < sum(len(path.rules) for path in found.found.values()) <= LONG
