"""One machine, two doors: what is drawn for the host is drawn for the application over HTTP too, and both say alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from temper.table import Caller
from temper.verify import LEVELS, Limits, PropertyResult, Verdict, run_scenarios, scenario_text, verify
from temper.verify.draw import level
from temper.verify.draw.door import HostDoor, Said
from temper.verify.draw.level import drawn
from temper.verify.draw.machine import machine
from temper.verify.simulate.watch import Found
from tests.kernel.shop import compiled
from tests.verify.doors import Both, HttpDoor, Prepared
from tests.verify.test_simulate import LEAK, ORDERLY, SOUND

# All that two doors could tell differently, and no tool: those end at moments that differ by a turn.
POST = """
blueprint post

role clerk, boss

entity Box
  states Open, Full, Gone
  final Gone
  number: int 1..99
  letters: int 0..3 = 0
  kind: one of (small, large) = small
  owner: principal
  last: time?
  key number

  action Put(number, kind: one of (small, large) = small) by clerk from new to Open
    set number, kind
    set owner = caller
    create Label.Print(number)

  action Drop by clerk
    from Open to Full when letters == 2
    from Open
    set letters += 1
    set last = now

  action Forward(to: Box) by owner from Open
    when letters > 0 else "nothing to forward"
    set letters -= 1
    send to.Arrive

  action Arrive by system from Open when letters < 2
    set letters += 1

  action Empty by boss from Full to Open
    set letters = 0

  action Burn by boss from Open, Full to Gone

  in Full
    after 2h do Overflow

  action Overflow by system from Full to Gone

  late Arrive ignore
  always letters <= 3

entity Label
  states Printed, Torn
  final Torn
  number: int 1..99
  unique number
  action Print(number) by system from new to Printed
    set number
  action Tear by clerk from Printed to Torn
"""


def run(kind: type[Any], *, examples: int, steps: int = 14) -> None:
    """Run a machine on one seed."""
    bounds = settings(
        max_examples=examples, stateful_step_count=steps, database=None, deadline=None, report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(seed(0)(kind), settings=bounds)


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared.of(POST, compiled(POST), tmp_path_factory.mktemp("post") / "data")


def test_two_doors_say_the_same(post: Prepared) -> None:
    table = compiled(POST)
    run(machine(table, lambda: Both(HostDoor(table), HttpDoor(post))), examples=12)


def test_what_holds_at_the_host_holds_over_http(tmp_path: Path) -> None:
    """With tools, whose calls end as the machine says."""
    prepared = Prepared.of(SOUND, compiled(SOUND), tmp_path / "data")
    run(machine(compiled(SOUND), lambda: HttpDoor(prepared)), examples=8)


# --- doors with a bug each --------------------------------------------------------------------------------------------


class _Careless(HostDoor):
    """A door that passes the host's answers on wrongly."""


class LetsAnythingIn(_Careless):
    """Leaves out what it does not know of a request, and lets the rest in."""

    def _asked(self, entity: str, id: str, action: str, params: Mapping[str, Any], *rest: Any) -> Said:
        known = {param.name for param in self._table.entities[entity].actions[action].params}
        return super()._asked(entity, id, action, {k: v for k, v in params.items() if k in known}, *rest)


class ForgetsVersions(_Careless):
    """Takes no notice of `If-Match`."""

    def act(self, entity: str, id: str, action: str, params: Mapping[str, Any], caller: Caller, **terms: Any) -> Said:
        return super().act(entity, id, action, params, caller, **{**terms, "if_version": None})


class ForgetsKeys(_Careless):
    """Makes a new key of each."""

    def act(self, entity: str, id: str, action: str, params: Mapping[str, Any], caller: Caller, **terms: Any) -> Said:
        return super().act(entity, id, action, params, caller, **{**terms, "key": None})

    def create(self, entity: str, action: str, params: Mapping[str, Any], caller: Caller, **terms: Any) -> Said:
        return super().create(entity, action, params, caller, key=None)


class AnswersTooSoon(_Careless):
    """Answers with the version that is to be next."""

    def act(self, entity: str, id: str, action: str, params: Mapping[str, Any], caller: Caller, **terms: Any) -> Said:
        said = super().act(entity, id, action, params, caller, **terms)
        return replace(said, version=said.version + 1)


@pytest.mark.parametrize(
    ("door", "text"),
    [
        (LetsAnythingIn, "with parameters that are none"),
        (ForgetsVersions, "on the strength of an old version"),
        (ForgetsKeys, "under one key"),
        (AnswersTooSoon, "and is not so"),
    ],
)  # fmt: skip
def test_a_careless_door_is_caught(door: type[HostDoor], text: str) -> None:
    table = compiled(POST)
    with pytest.raises(Found, match=text):
        run(machine(table, lambda: door(table)), examples=40)


# --- the level --------------------------------------------------------------------------------------------------------


def _level(text: str, **limits: Any) -> Any:
    return drawn(compiled(text), Limits(**limits), lambda what: None)


def test_what_is_found_is_shrunk_to_what_it_needs() -> None:
    """Two desks, both taken: four requests, and nothing else."""
    _, (shown,), _ = _level(ORDERLY, examples=60)
    assert shown.wrong.kind == "property"
    assert sorted(step.action for step in shown.story) == ["Place", "Place", "Sit", "Sit"]


def test_what_it_shrinks_to_reads_as_a_scenario() -> None:
    """It fails where the run goes through, and passes where that is mended."""
    table = compiled(ORDERLY)
    _, (shown,), _ = _level(ORDERLY, examples=60)
    result = PropertyResult("two sit", None, Verdict.BROKEN, "properties", trace=shown.story, site=shown.wrong.site)
    text = scenario_text(result, table)
    lines = [line.strip() for line in text.splitlines()[1:]]
    assert sorted(line.partition(" -> ")[0] for line in lines) == [
        "clerk(ann) d1 = Desk.Place", "clerk(ann) d1.Sit", "clerk(ann) d2 = Desk.Place", "clerk(ann) d2.Sit"
    ]  # fmt: skip
    assert [line.partition(" -> ")[2] for line in lines] == ["Open", "Open", "Open", "any"]
    (run_,) = run_scenarios(compiled(ORDERLY + "\n" + text))
    assert not run_.passed
    mended = ORDERLY.replace("by clerk from Open\n    set busy", "by clerk from Open\n    when busy\n    set busy")
    (run_,) = run_scenarios(compiled(mended + "\n" + text.replace("Sit -> Open", "Sit -> any")))
    assert run_.passed, run_.problem


def test_the_seed_decides_what_is_drawn() -> None:
    levels = [_level(SOUND, examples=10, seed=number)[0].covered for number in (1, 1, 2)]
    assert levels[0] == levels[1]
    assert levels[0] != levels[2]


def test_where_hypothesis_itself_stops_the_level_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def flaky(*_: object, **__: object) -> None:
        raise Flaky("inconsistent results")

    monkeypatch.setattr("hypothesis.stateful.run_state_machine_as_test", flaky)
    found, shown, _ = _level(SOUND)
    assert shown == ()
    assert found.not_covered == ("what was not drawn any more: Hypothesis stopped with Flaky: inconsistent results",)


def test_the_level_leaves_nothing_behind(tmp_path: Path) -> None:
    """A process of its own: Hypothesis looks once for where it may keep things."""
    (tmp_path / "orderly.blueprint").write_text(ORDERLY)
    command = [sys.executable, "-m", "temper", "verify", "orderly.blueprint", "--levels", "properties"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "properties" in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["orderly.blueprint"]


def test_the_level_says_so_where_hypothesis_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    found, shown, _ = _level(SOUND)
    assert (found.covered, shown) == ((), ())
    assert found.not_covered == (level.MISSING,)


def test_a_report_says_tested_where_nothing_else_decides() -> None:
    table = compiled(POST.replace("  always letters <= 3\n", "") + 'always "few": count(b in Box: b is Full) <= 9\n')
    only = verify(table, levels=("simulation", "properties"), limits=Limits(seeds=4, examples=8))
    few = next(each for each in only.properties if each.name == "few")
    assert few.verdict is Verdict.TESTED
    assert few.why.startswith("no counterexample in 4 seeds, ")
    assert [each.name for each in only.levels] == ["simulation", "properties"]


def test_a_report_tells_a_run_that_breaks_a_property() -> None:
    report = verify(compiled(ORDERLY), levels=("simulation",))
    one = next(each for each in report.properties if each.name == "one at a time")
    assert (one.verdict, one.by) == (Verdict.BROKEN, "simulation")
    assert [step.action for step in one.trace].count("Sit") == 2
    assert not report.passed
    assert [each.code.name for each in report.findings] == ["B501"]


def test_a_report_tells_a_fault_of_the_blueprint() -> None:
    report = verify(compiled(LEAK), levels=("simulation",))
    stays = next(each for each in report.properties if each.name == "no assignment leaves its type")
    assert (stays.verdict, stays.entity) == (Verdict.BROKEN, "Tank")
    assert "B502" in [each.code.name for each in report.findings]


def test_all_levels_are_asked_for_by_default() -> None:
    from temper.service import LEVELS as OF_THE_COMMAND
    from temper.service.levels import LEVELS as OF_A_PUSH

    assert LEVELS == OF_THE_COMMAND == OF_A_PUSH
