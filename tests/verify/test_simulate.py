"""The simulator: one seed decides all, sound blueprints run clean, and bugs that one could write are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from temper.service.rehearsal import SqliteDisk, sqlite_disks
from temper.table import Ending, Table
from temper.verify import Disks, Limits
from temper.verify.simulate.decisions import Again, Ask, Crash, Reply, Swap, Turn, Wait
from temper.verify.simulate.disk import Fate, Ill, MemoryDisk
from temper.verify.simulate.guide import guides_of
from temper.verify.simulate.level import simulated
from temper.verify.simulate.run import again, one, simulate
from temper.verify.simulate.world import World
from temper.verify.system.found import search_table
from temper.verify.units import covered
from tests.house.tree import ROOT
from tests.kernel.shop import SHOP, compiled
from tests.verify import broken_hosts
from tests.verify.exchange import EXCHANGE

# The shop of the kernel's tests has a fault that its own tests are about: a shelf that is refilled above its bound.
SOUND = SHOP.replace("    set stock += units", '    when stock + units <= 100 else "full"\n    set stock += units')
NEXT = SOUND.replace("  remarks: list", "  stars: int 0..5 = 3\n  remarks: list")
APPS = sorted((ROOT / "apps").glob("*/*.blueprint"))

# What the runs are of: a shop with tools, timers, sends and keys; and entities that act together.
WORLDS = {"shop": (NEXT, SOUND), "exchange": (EXCHANGE, None)}


def tables(world: str) -> tuple[Table, Table | None]:
    """Return the table of a world, and the one that its runs begin on."""
    text, before = WORLDS[world]
    return compiled(text), compiled(before) if before is not None else None


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Disks]:
    with sqlite_disks() as disk:
        yield disk


@pytest.mark.parametrize("world", WORLDS)
def test_no_seed_breaks_a_promise(world: str, sqlite: Disks) -> None:
    """On the store that serves, over files that fail."""
    table, before = tables(world)
    done = simulate(table, seeds=40, before=before, disk=sqlite)
    assert [(each.seed, each.wrong) for each in done.failures] == []
    assert done.stands_on == SqliteDisk.stands_on


@pytest.mark.parametrize("world", WORLDS)
def test_both_disks_keep_the_same_journal(world: str, sqlite: Disks) -> None:
    """What a crash leaves of SQLite's files is what it leaves of a row of frames: a batch, or nothing of it."""
    table, before = tables(world)
    here, there = (simulate(table, seeds=12, before=before, disk=disk) for disk in (MemoryDisk, sqlite))
    assert here.digests == there.digests
    assert here.faults == there.faults


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.stem)
def test_the_apps_run_clean(path: Path) -> None:
    done = simulate(compiled(path.read_text("utf-8")), seeds=6)
    assert done.failures == []
    assert done.commits > 60


def test_the_seed_decides_everything() -> None:
    """Two processes, two PYTHONHASHSEEDs, one journal for each seed: nothing leaks in from set order or time."""
    code = (
        "from tests.verify.test_simulate import *\n"
        "with sqlite_disks() as disk:\n"
        "    for world in WORLDS:\n"
        "        table, before = tables(world)\n"
        "        done = simulate(table, seeds=4, before=before, disk=disk)\n"
        "        print(done.digests, sorted(done.faults.items()), sorted(done.cases.items()))\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT, capture_output=True, check=True, text=True, env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("0", "4711")
    ]  # fmt: skip
    assert said[0] == said[1]
    assert len(set(re.findall("[0-9a-f]{64}", said[0]))) == 8


def test_runs_meet_what_there_is_to_meet() -> None:
    """Chance would be no test if it stayed at home: every kind of fault, and nearly every state."""
    done = simulate(compiled(SOUND), seeds=40)
    assert done.failures == []
    for what in (
        *(fate.value for fate in Fate), "a crash", "a swap", "a request sent twice", "an answer that came late",
        "an answer that came twice", "no answer in time", "a tool that fails", "a send held up", "a slow append",
    ):  # fmt: skip
        assert done.faults[what] > 0, what
    assert len(done.states) == 11
    assert done.refusals > 0


# --- planted bugs -----------------------------------------------------------------------------------------------------

PLANTED = {
    name: kind
    for name, kind in vars(broken_hosts).items()
    if isinstance(kind, type) and kind.__module__ == broken_hosts.__name__
}
WHAT = {
    "ForgetsStarts": "attempts",
    "LosesKeys": "keys",
    "ForgetsRefusedKeys": "keys",
    "FiresEarly": "timers",
    "LivesAhead": "moment",
    "DropsTheOutbox": "orders",
    "TriesAgain": "attempts",
    "SwapsWithoutCarrying": "swap",
    "BelievesItsCache": "orders",
    "LosesAttempts": "orders",
    "MixesLanes": "sends",
    "RunsCallsTwice": "attempts",
    "ForgetsTimers": "timers",
    "ForgetsCalls": "calls",
    "RecordsOutcomesTwice": "outcomes",
    "AppendsOutOfOrder": "dense",
    "SwapLosesCalls": "calls",
    "KeepsItsTable": "table",
    "ReadsStale": "reads",
    "SplitsCommits": "dense",
    "LosesLetters": "orders",
    "SwapsAnswers": "answers",
    "NeverStarts": "orders",
    "AnswersBeforeSync": "durable",
    "AppendsInPieces": "dense",
    "LosesItsIndex": "timers",
    "ForgetsToSync": "durable",
}
# These are about what several entities do together.
JOINT = frozenset({"ReadsStale", "SplitsCommits"})


@contextmanager
def _planted(name: str) -> Iterator[dict[str, Any]]:
    kind = PLANTED[name]
    if issubclass(kind, SqliteDisk):
        with sqlite_disks(kind) as disk:
            yield {"disk": disk}
    else:
        yield {"disk" if issubclass(kind, MemoryDisk) else "hosts": kind}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found_within_the_default_seeds(name: str) -> None:
    """And the run that is shown for it is short, and shows it again."""
    table, before = tables("exchange" if name in JOINT else "shop")
    terms: dict[str, Any] = {"before": before}
    with _planted(name) as planted:
        terms |= planted
        for seed in range(Limits().seeds):
            run = one(table, seed, **terms)
            run.world.close()
            if run.wrong is not None and run.wrong.what == WHAT[name]:
                break
        else:
            raise AssertionError(f"no seed of {Limits().seeds} finds it")
        shown = simulate(table, seeds=1, first_seed=seed, **terms).failures[0]
        assert (shown.wrong.kind, shown.wrong.what) == (run.wrong.kind, WHAT[name])
        assert len(shown.decisions) <= 20
        wrong, _, world = again(table, shown.decisions, **terms)
        world.close()
        assert wrong is not None
        assert wrong.what == WHAT[name]


def test_every_planted_bug_is_one_of_ours() -> None:
    assert PLANTED.keys() == WHAT.keys()


SAFE = """
blueprint safe
role thief
entity Safe
  states Shut, Open
  at: int 0..7 = 0
  action Make by thief from new to Shut
  action Turn(digit: int 0..9) by thief
    from Shut to Open when at == 7 and digit == 3
    from Shut when digit == (at * 7 + 3) % 10
      set at += 1
    from Shut when at >= 0
      set at = 0
"""


def test_the_search_steers_to_where_chance_does_not_get() -> None:
    """Eight digits in a row, and a wrong one begins again."""
    table = compiled(SAFE)
    guides = guides_of(search_table(table, Limits(), covered, lambda *_: None).explored)
    by_chance, steered = (simulate(table, seeds=Limits().seeds, guides=each) for each in ((), guides))
    assert by_chance.states["Safe", "Open"] == 0
    assert steered.states["Safe", "Open"] >= 3


@pytest.mark.parametrize("app", APPS, ids=lambda path: path.parent.name)
def test_what_the_search_takes_is_taken_in_a_run(app: Path) -> None:
    """Each case of each app, in the runs that everybody gets."""
    table = compiled(app.read_text("utf-8"))
    explored = search_table(table, Limits(), covered, lambda *_: None).explored
    done = simulate(table, seeds=Limits().seeds, steps=Limits().steps, guides=guides_of(explored))
    reached = {key[1] for found in explored.values() for key in found.reached if key[0] == "case"}
    assert [site for site in sorted(reached) if not done.cases[site]] == []


def test_a_report_names_what_was_not_taken() -> None:
    """By chance the safe is not opened, and nothing tells how."""
    level, _, _ = simulated(compiled(SAFE), {"Safe": None}, Limits(), lambda _: None)
    assert any("3 of 4 cases" in each for each in level.covered)
    assert level.not_covered == ("not taken: Safe.Turn from Shut to Open",)


def test_guides_lead_others_along_too() -> None:
    """Those who act together are led together, each under a name of its own; no guide meets what others do anyway."""
    ledger = compiled(next(app for app in APPS if app.stem == "ledger").read_text("utf-8"))
    guides = guides_of(search_table(ledger, Limits(), covered, lambda *_: None).explored)
    assert any(len({step.who for step in guide.steps}) > 1 for guide in guides)
    meets = [guide.meets for guide in guides]
    assert all(meet - frozenset().union(*meets[:number]) for number, meet in enumerate(meets))


def test_a_swap_keeps_its_promises() -> None:
    done = simulate(compiled(NEXT), before=compiled(SOUND), seeds=12)
    assert done.failures == []
    assert done.faults["a swap"] > 5


def test_what_a_swap_adds_to_one_that_is_final_is_told_with_the_next_that_comes_to_it() -> None:
    """A final one is carried over when it is next read. A late send that it ignores stored the new field once, and no
    entry said so: the fold of its journal was not what was stored."""
    world = World(compiled(NEXT), before=compiled(SOUND))
    other = Ask("a3", "Purchase", "p2", "Order", {"number": "n2", "amount": "2"}, "ann", ("clerk",))
    tell = Ask("a4", "Purchase", "p2", "Tell", {"other": "p1", "text": "late"}, "ann", ("clerk",))
    for decision in (ORDER, Turn(), _ask("a2", "Pay"), Turn(), Turn()):
        world.do(decision)
    (flight,) = world.flights.values()
    failed = Reply(flight.attempt.order, 1, Ending.FAILED, {}, "no_money", "none left")
    for after in (failed, Turn(), Swap(), other, Turn(), tell, Turn(), Turn(), Crash()):
        world.do(after)
    last = world.disk.history("Purchase", "p1", limit=9)[-1]
    assert (last.how, last.set) == ("ignored", {"stars": 3})


# --- what is shown ----------------------------------------------------------------------------------------------------

LEAK = """
blueprint leak
role clerk
entity Tank
  states Open, Shut
  final Shut
  level: int 0..10 = 0
  action Dig by clerk from new to Open
  action Fill(units: int 1..4) by clerk from Open
    set level += units
  action Close by clerk from Open to Shut
"""


def test_a_blueprints_own_fault_is_found_and_told_shortly() -> None:
    (failure,) = simulate(compiled(LEAK), seeds=12).failures
    assert failure.wrong.kind == "fault"
    assert failure.story[0].text.endswith(" by Dig")
    assert failure.story[-1].text.startswith("clerk (bob) takes Fill(units: 4)")
    assert "`level` would be" in failure.story[-1].text
    assert len(failure.story) <= 5


ORDERLY = """
blueprint orderly
role clerk
entity Desk
  states Open
  busy: bool = false
  action Place by clerk from new to Open
  action Sit by clerk from Open
    set busy = true
always "one at a time": count(d in Desk: d.busy) <= 1
"""


def test_a_property_of_many_is_asked_of_every_state() -> None:
    """No commit asks it: it ranges over all of a kind."""
    table = compiled(ORDERLY)
    (failure,) = simulate(table, seeds=12).failures
    assert failure.wrong.kind == "property"
    assert failure.wrong.site == table.properties[0].site
    assert [step.action for step in failure.story].count("Sit") == 2


# --- decisions, one by one --------------------------------------------------------------------------------------------


def _ask(name: str, action: str, *, keyed: bool = False, **params: Any) -> Ask:
    return Ask(name, "Purchase", "p1", action, params, "ann", ("clerk",), keyed=keyed)


ORDER = _ask("a1", "Order", keyed=True, number="n1", amount="2")


def _state(world: World) -> str | None:
    now = world.disk.snapshot("Purchase", "p1")
    return None if now is None else now.state


@pytest.mark.parametrize(
    ("ill", "state"),
    [
        (None, "Draft"),
        (Ill(Fate.FULL), None),
        (Ill(Fate.LOST), None),
        (Ill(Fate.KEPT), "Draft"),
        (Ill(Fate.CRASH, 0.0), None),
        (Ill(Fate.CRASH, 0.5), None),
        (Ill(Fate.CRASH, 1.0), "Draft"),
        (Ill(Fate.CRASH_AFTER), "Draft"),
    ],
)  # fmt: skip
def test_what_is_left_of_a_request(ill: Ill | None, state: str | None) -> None:
    """One row, one fate of its append; asked again under its key, it is done once in any case."""
    world = World(compiled(SOUND))
    world.do(ORDER)
    world.do(Turn(ill=ill))
    assert _state(world) == state
    world.do(Again("a2", "a1"))
    world.do(Turn())
    assert _state(world) == "Draft"
    assert [entry.action for entry in world.disk.history("Purchase", "p1", limit=9)] == ["Order"]


def test_an_attempt_that_an_append_of_unknown_fate_has_started_is_carried_out() -> None:
    """Seed 3: the batch was abandoned, and with it the attempt, whose start was in the store."""
    world = World(compiled(SOUND))
    for decision in (ORDER, Turn(), _ask("a2", "Pay"), Turn(room=0), Turn(ill=Ill(Fate.KEPT))):
        world.do(decision)
    assert not world.flights
    world.do(Turn())
    assert [flight.attempt.number for flight in world.flights.values()] == [1]
    world.do(Turn())
    assert len(world.flights) == 1


def test_a_decision_about_nothing_does_nothing() -> None:
    """So that any may be left out of a run."""
    world = World(compiled(SOUND))
    for decision in (Again("a9", "none"), Reply("none", 1, Ending.ANSWERED), Crash(), Wait(5), Swap(), Turn()):
        world.do(decision)
    assert world.watch.seq == 0


def test_a_seed_is_again_what_it_was() -> None:
    table = compiled(SOUND)
    first, second = one(table, 7), one(table, 7)
    assert first.decisions == second.decisions
    assert first.digest == second.digest
    assert first.digest != one(table, 8).digest
