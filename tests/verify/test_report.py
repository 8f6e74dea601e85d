"""A report as text and as data, and a run as a story and as a scenario."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest
from msgspec.structs import replace

from temper.table import encode
from temper.verify import (
    LEVELS,
    Limits,
    Verdict,
    render_report,
    report_json,
    run_scenarios,
    scenario_text,
    story,
    verify,
)
from tests.verify.test_search import PLANTS, TIMED
from tests.verify.texts import HELIX, lines_of, result_of, table_of

MOVED = """
blueprint helix

role operator, builder

tool kubernetes.set_partition(name: string, partition: int)
  timeout 2m

entity Rollout
  states Rolling, Done
  final Done

  cluster: string
  brokers: int 1..64
  moved: int 0..64 = 0

  action Start(cluster, brokers) by builder, operator from new to Rolling
    set cluster, brokers

  in Rolling
    on entry call kubernetes.set_partition(cluster, brokers - moved - 1) then Moved else Give

  action Moved by system
    from Rolling to Rolling when moved < 64
    set moved += 1

  action Give by operator, system from Rolling to Done
  late Moved, Give ignore

  always moved <= brokers
"""

STORY = """\
broken  always moved <= brokers                                     helix.blueprint:29
  the shortest run, 3 steps
  1  builder creates r1 by Start(cluster: "c", brokers: 1)  -> Rolling  line 16    calls kubernetes.set_partition("c", 0)
  2  kubernetes.set_partition("c", 0) answers: Moved        -> Rolling  line 23    moved 0 -> 1   calls kubernetes.set_partition("c", -1)
  3  kubernetes.set_partition("c", -1) answers: Moved       -> Rolling  line 23    moved 1 -> 2   calls kubernetes.set_partition("c", -2)
  then moved is 2 and brokers is 1
  help: add `when moved < brokers` to `Moved` from `Rolling`; it asks for `moved < 64` alone"""  # noqa: E501 - as it is drawn

SCENARIO = """\
scenario "always moved <= brokers"
  builder(p1) r1 = Rollout.Start(cluster: "c", brokers: 1) -> Rolling
  kubernetes.set_partition answers -> r1 is Rolling
  kubernetes.set_partition answers
"""


def test_a_counterexample_is_a_story() -> None:
    """In the blueprint's own words: who did what, where it stands, what it changed, and what would have stopped it."""
    table = table_of(MOVED, "helix.blueprint")
    assert story(result_of(verify(table), "always moved <= brokers"), table) == STORY


def test_a_counterexample_is_a_scenario_that_fails_until_it_is_mended() -> None:
    """It parses, fails on its last line with the property's name, and passes once the guard is there."""
    table = table_of(MOVED)
    text = scenario_text(result_of(verify(table), "always moved <= brokers"), table)
    assert text == SCENARIO
    (failed,) = run_scenarios(table_of(f"{MOVED}\n{text}"))
    assert failed.problem is not None
    assert "`always moved <= brokers` would not hold" in failed.problem.message
    (passed,) = run_scenarios(table_of(f"{MOVED.replace('moved < 64', 'moved < brokers')}\n{text}"))
    assert passed.passed, passed.problem


@pytest.mark.parametrize(("was", "instead", "name", "run", "code"), PLANTS)
def test_every_planted_run_is_a_scenario_that_fails(
    was: str, instead: str, name: str, run: list[str] | None, code: str
) -> None:
    """On the blueprint that it breaks; and the flagship itself has no trouble with it."""
    text = dedent(HELIX).replace(was, instead)
    table = table_of(text)
    told = scenario_text(result_of(verify(table), name), table)
    (failed,) = run_scenarios(table_of(f"{text}\n{told}"))
    assert not failed.passed


def test_a_witness_is_a_scenario_that_passes() -> None:
    """The run of a `can reach` comes out as it is told."""
    text = dedent(HELIX) + "  can reach Live\n"
    table = table_of(text)
    witness = result_of(verify(table), "can reach Live")
    (passed,) = run_scenarios(table_of(f"{text}\n{scenario_text(witness, table)}"))
    assert passed.passed, passed.problem


def test_a_run_that_waits_is_a_scenario_that_waits() -> None:
    """Moments are told as waiting."""
    table = table_of(TIMED.replace("GUARD", ""))
    told = scenario_text(result_of(verify(table), "always not late_sale"), table)
    assert "  wait 3600001ms\n" in told
    (failed,) = run_scenarios(table_of(dedent(TIMED.replace("GUARD", "")) + "\n" + told))
    assert failed.problem is not None
    assert "would not hold" in failed.problem.message


def test_the_report_of_the_flagship_fits_a_screen() -> None:
    """Forty lines of 120 columns, in words that are different things."""
    table = table_of(HELIX)
    text = render_report(verify(table), table, colour=False)
    lines = text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    assert "  proved               always moved <= brokers" in text
    assert "  holds within bounds  eventually Rolling leads to Verifying, Halted" in text
    assert "Plan.brokers 1, 2, 63, 64" in text
    assert "\x1b" not in text
    assert "\x1b" in render_report(verify(table), table, colour=True)


def test_a_broken_report_tells_its_stories_first() -> None:
    """Then the line of each property, with the place of the broken one."""
    table = table_of(MOVED, "helix.blueprint")
    text = render_report(verify(table), table, colour=False, width=140)
    assert text.startswith(STORY)
    assert "not passed: " in text
    assert "  broken               always moved <= brokers" in text


def test_the_data_has_its_stable_keys() -> None:
    """Scripts and agents read them."""
    data = json.loads(json.dumps(report_json(verify(table_of(MOVED)))))
    assert {"digest", "blueprint", "passed", "levels", "properties", "findings", "scenarios"} <= data.keys()
    assert [level["name"] for level in data["levels"]] == [*LEVELS]
    assert {"name", "seconds", "covered", "not_covered", "states", "transitions"} <= data["levels"][1].keys()
    assert data["levels"][1]["states"] > 0
    broken = next(each for each in data["properties"] if each["verdict"] == "broken")
    assert {"name", "entity", "verdict", "by", "why", "trace", "help"} <= broken.keys()
    step = broken["trace"][1]
    assert step["who"] == "the tool kubernetes.set_partition"
    assert step["changed"] == {"moved": {"was": 0, "is": 1}}
    assert step["event"]["kind"] == "outcome"
    assert data["findings"][0]["code"] == "B501"
    assert encode(("int", None, None), 1) == step["changed"]["moved"]["is"]


def test_a_finding_points_at_the_property_and_at_each_step() -> None:
    """A counterexample is a diagnostic too."""
    (finding,) = verify(table_of(MOVED)).findings
    assert finding.primary.text == "then moved is 2 and brokers is 1"
    assert [label.text.split(":")[0] for label in finding.secondary] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("levels", "verdicts"),
    [
        (
            ("algebra",),
            {"always moved <= brokers": "proved", "eventually Rolling leads to Verifying, Halted": "not checked"},
        ),
        (("search",), {"always moved <= brokers": "holds within bounds", "every guard can hold": "not checked"}),
        (("scenarios",), {"always moved <= brokers": "not checked", "every state has a way out": "not checked"}),
    ],
)  # fmt: skip
def test_what_did_not_run_is_not_called_checked(levels: tuple[str, ...], verdicts: dict[str, str]) -> None:
    """One row, some levels: what is known after them."""
    lines = lines_of(verify(table_of(HELIX), levels=levels))
    assert {name: lines[name] for name in verdicts} == verdicts


@pytest.mark.parametrize(
    ("levels", "states", "passed"),
    [
        (("algebra", "search", "scenarios"), 5_000, True),
        (("search",), 5_000, True),
        (("search",), 50, False),  # It stopped: *unknown*.
        (("scenarios",), 5_000, False),  # Nothing has looked at the properties.
    ],
)
def test_a_report_passes_when_what_is_asked_for_is_known(levels: tuple[str, ...], states: int, passed: bool) -> None:
    """Nothing is broken in any of these; what counts is whether it was looked at, and to the end."""
    assert verify(table_of(HELIX), levels=levels, limits=Limits(states_max=states)).passed is passed


def test_progress_is_told_in_words() -> None:
    """Which level looks at what."""
    heard: list[str] = []
    verify(table_of(HELIX), limits=Limits(), progress=heard.append)
    assert heard[0] == "algebra of Rollout"
    assert "search of Rollout" in heard
    assert heard[-1] == "scenarios"


def test_the_verdicts_are_six_words() -> None:
    """They are different words because they are different things."""
    assert {verdict.value for verdict in Verdict} == {
        "proved", "holds within bounds", "tested", "broken", "unknown", "not checked"
    }  # fmt: skip


TEAM = """
blueprint doors

role r

entity Chair
  states Free, Held

  action Make by r from new to Free

  action Take by system from Free to Held

entity Candidate
  states Waits, Sits

  chair: Chair

  action Join(chair) by r from new to Waits
    set chair

  action Sit by r from Waits to Sits
    with chair.Take

never r enters Chair.Held
"""

TEAM_STORY = """\
  the shortest run, 3 steps
  1  r creates c1 by Make             -> Free   line 8
  2  r creates c2 by Join(chair: c1)  -> Waits  line 17
  3  r takes c2.Sit                   -> Sits   line 20
       with it, c1 takes Take         -> Held   line 10
"""

TEAM_SCENARIO = """\
scenario "never r enters Chair.Held"
  r(p1) c1 = Chair.Make -> Free
  r(p1) c2 = Candidate.Join(chair: c1) -> Waits
  r(p1) c2.Sit -> refused
"""


def test_a_commit_of_several_is_one_step_with_its_parts() -> None:
    """Each bears a name of its own, also where two kinds begin with one letter; the same as data, and as a scenario."""
    table = table_of(TEAM)
    found = result_of(verify(table, levels=("search",)), "never r enters Chair.Held")
    assert TEAM_STORY in story(found, table)
    assert [(step.name, step.part, step.event["kind"]) for step in found.trace] == [
        ("c1", False, "act"),
        ("c2", False, "act"),
        ("c2", False, "act"),
        ("c1", True, "with"),
    ]
    assert scenario_text(found, table) == TEAM_SCENARIO
    (failed,) = run_scenarios(table_of(f"{dedent(TEAM)}\n{TEAM_SCENARIO}"))
    assert not failed.passed


AGENT = """
blueprint needs

role r

entity E
  states A, B

  author: principal
  approvals: set of principal max 3 = {}

  action New by r from new to A
    set author = caller

  action Approve by r from A when caller != author
    set approvals = approvals + {caller}

  action ToB by r from A to B when size(approvals) >= 2

  B needs 2 of r by Approve besides author
"""


def test_who_acts_for_whom_is_told() -> None:
    """It is why the run is one; the scenario says it too, and so comes to the same end."""
    table = table_of(AGENT)
    found = next(each for each in verify(table, levels=("search",)).properties if "needs 2" in each.name)
    texts = [step.text for step in found.trace]
    assert any(text.startswith("r (p3, for p1) takes Approve") for text in texts), texts
    assert {step.event["acts_for"] for step in found.trace} == {None, "p1"}
    assert "r(p3 for p1) " in scenario_text(found, table)


def test_only_the_shortest_run_is_called_so() -> None:
    table = table_of(MOVED, "helix.blueprint")
    found = result_of(verify(table), "always moved <= brokers")
    assert "\n  a run of 3 steps\n" in story(replace(found, by="simulation"), table)


@pytest.mark.parametrize("width", [80, 140])
def test_a_report_keeps_to_the_terminal(width: int) -> None:
    """What has no room goes on in the next line; no reason is cut."""
    table = table_of(MOVED, "helix.blueprint")
    report = verify(table, levels=("algebra", "search"))
    drawn = render_report(report, table, colour=False, width=width)
    stories = drawn.partition("\n\nRollout\n")
    assert max(map(len, stories[2].splitlines())) <= width
    assert "..." not in stories[2]
