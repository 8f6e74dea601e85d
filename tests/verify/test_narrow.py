"""What the levels make of a bundle's policies."""

from __future__ import annotations

import pytest

from temper.table import digest
from temper.verify import Limits, Report, Verdict, verify
from temper.verify.narrow import narrowed
from tests.verify.policies import guarded
from tests.verify.texts import lines_of, result_of, run_of

SHIP = """
    blueprint ship

    role builder, operator, release_manager

    tool hold.load(cluster: string)
      timeout 1m

    entity Release
      states Built, Live, Pulled
      final Pulled

      cluster: one of (dev, prod)
      load: int 0..9 = 0
      author: principal

      action Build(cluster) by builder from new to Built
        set cluster
        set author = caller

      action Load(load) by operator, builder, system from Built
        set load

      action Promote by operator, builder, system from Built to Live

      action Pull by operator from Live to Pulled

      in Built after 1h do Promote

      never builder enters Live
      always state is Live implies load <= 5
"""
LEVELS = ("algebra", "search")
NO_BUILDERS = 'forbid (principal in temper::Role::"builder", action == ship::Action::"Release.Promote", resource);'
BY_TIMER = SHIP.replace("      in Built after 1h do Promote\n", "")


def judged(text: str, cedar: str, levels: tuple[str, ...] = LEVELS) -> Report:
    return verify(guarded(text, cedar), levels=levels, limits=Limits(seconds=30))


def test_without_a_policy_a_builder_enters() -> None:
    report = judged(BY_TIMER, 'permit (principal, action == ship::Action::"Release.read", resource);')
    result = result_of(report, "never builder enters Live")
    assert result.verdict is Verdict.BROKEN
    assert run_of(result)[-1] == "builder: Promote -> Live"


def test_a_forbid_proves_that_a_role_never_enters() -> None:
    result = result_of(judged(BY_TIMER, NO_BUILDERS), "never builder enters Live")
    assert result.verdict is Verdict.PROVED


def test_a_timer_that_a_role_has_set_is_not_asked_of_policies() -> None:
    """What `system` does on somebody's behalf is: by what the blueprint says alone (8, 11)."""
    result = result_of(judged(SHIP, NO_BUILDERS), "never builder enters Live")
    assert result.verdict is Verdict.BROKEN
    assert run_of(result)[-1] == "the clock: Promote -> Live"


CONDITIONS = [
    ("resource.load > 5", Verdict.PROVED),
    ("resource.load >= 5", Verdict.PROVED),
    ("resource.load > 6", Verdict.BROKEN),
    ('resource.load > 5 && resource.cluster == "prod"', Verdict.BROKEN),
    ('resource.load > 5 && (resource.cluster == "prod" || resource.cluster == "dev")', Verdict.PROVED),
    ('resource.load > 5 && ["dev", "prod"].contains(resource.cluster)', Verdict.PROVED),
    ('resource.load > 5 && resource.cluster == "stage"', Verdict.BROKEN),
    ('resource.load > 5 && resource.state == "Built"', Verdict.PROVED),
    ('resource.load > 5 && resource.state == "Live"', Verdict.BROKEN),
    ("if resource.load > 5 then true else false", Verdict.PROVED),
    ("!(resource.load <= 5)", Verdict.PROVED),
    ("resource.load > 5 && resource has author", Verdict.PROVED),
    ("resource.load > 5 && resource.author == principal", Verdict.BROKEN),
    # An agent is kept from nothing there, and whoever is none is not here.
    ("resource.load > 5 && !principal.agent", Verdict.BROKEN),
    ("resource.load > 5 && principal.agent", Verdict.BROKEN),
    ('resource.load > 5 && principal in temper::Role::"operator"', Verdict.BROKEN),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "verdict"), CONDITIONS)
def test_a_condition_is_what_it_is_where_the_server_asks(condition: str, verdict: Verdict) -> None:
    cedar = f'forbid (principal, action == ship::Action::"Release.Promote", resource) when {{ {condition} }};'
    text = BY_TIMER.replace(
        "by operator, builder, system from Built to Live", "by operator, builder from Built to Live"
    )
    report = judged(text, cedar)
    result = result_of(report, "always state is Live implies load <= 5")
    assert result.verdict in {verdict, Verdict.HOLDS} if verdict is Verdict.PROVED else result.verdict is verdict


LOADS = [
    ("context.params.load > 5", True),
    ("context.params.load > 6", False),
    ('context.params.load > 5 && context.via == "http"', None),
    ('context.params.load > 5 && principal in temper::Team::"core"', None),
    ('context.params.load > 5 && principal.hasTag("site")', None),
    ('context.params.load > 5 || principal in temper::Team::"core"', True),
]


@pytest.mark.parametrize(("condition", "keeps"), LOADS)
def test_what_the_table_knows_nothing_about_is_neither_believed_nor_denied(condition: str, keeps: bool | None) -> None:
    """A run that such a policy may forbid leaves the property *unknown*: it is not called broken."""
    cedar = f'@id("load") forbid (principal, action == ship::Action::"Release.Load", resource) when {{ {condition} }};'
    text = BY_TIMER.replace("by operator, builder, system from Built\n", "by operator, builder from Built\n")
    report = judged(text, cedar)
    result = result_of(report, "always state is Live implies load <= 5")
    if keeps is None:
        assert result.verdict is Verdict.UNKNOWN
        assert "`load`" in result.why
        assert not [each for each in report.findings if each.code.name == "B501" and "load" in each.message]
        assert any("load" in words for level in report.levels for words in level.not_covered)
    elif keeps:
        assert result.verdict in {Verdict.PROVED, Verdict.HOLDS}
    else:
        assert result.verdict is Verdict.BROKEN


def test_what_may_be_approved_forbids_nothing_here() -> None:
    """Whoever says yes lifts it, so that a proof may not rest on it."""
    approve = 'permit (principal, action == ship::Action::"Release.Promote.approve", resource);'
    report = judged(BY_TIMER, NO_BUILDERS + approve)
    never = result_of(report, "never builder enters Live")
    assert never.verdict is Verdict.BROKEN
    assert any("approve" in words for level in report.levels for words in level.not_covered)
    assert never.help is not None
    told = "what `test.cedar/1` forbids of `Promote` can be let through by whoever may approve it"
    assert never.help.count(told) == 1


def test_a_policy_that_leaves_no_way_out_is_found() -> None:
    report = judged(BY_TIMER, 'forbid (principal, action == ship::Action::"Release.Pull", resource);')
    assert result_of(report, "every state has a way out").verdict in {Verdict.BROKEN, Verdict.UNKNOWN}
    assert not report.passed


def test_a_case_of_both_is_counted_once() -> None:
    """The part of a case that is for requests is none of the author's."""
    lines = lines_of(judged(SHIP, NO_BUILDERS))
    plain = lines_of(verify(guarded(SHIP, ""), levels=LEVELS))
    assert lines == plain


def test_the_report_is_that_of_the_bundle() -> None:
    table = guarded(SHIP, NO_BUILDERS)
    assert verify(table, levels=("algebra",)).digest == digest(table) != digest(narrowed(table).table)


SCENARIO = """
    scenario "builders don't promote"
      builder(bob) r = Release.Build(cluster: dev) -> Built
      builder(bob) r.Promote -> denied
      operator(ann) r.Promote -> Live
"""


def test_a_scenario_is_denied_what_a_policy_forbids() -> None:
    report = judged(SHIP + SCENARIO, NO_BUILDERS, ("scenarios",))
    assert [each.passed for each in report.scenarios] == [True]
    assert [each.passed for each in judged(SHIP + SCENARIO, "", ("scenarios",)).scenarios] == [False]


def test_all_levels_judge_a_bundle_with_policies() -> None:
    text = BY_TIMER.replace(
        "by operator, builder, system from Built to Live", "by operator, builder from Built to Live"
    )
    cedar = (
        NO_BUILDERS
        + 'forbid (principal, action == ship::Action::"Release.Promote", resource) when { resource.load > 5 };'
    )
    report = verify(guarded(text, cedar), limits=Limits(seconds=60, seeds=8, examples=20))
    assert report.passed, [each.message for each in report.findings]


def test_a_blueprint_that_cedar_calls_otherwise_is_narrowed_as_any() -> None:
    """The server and the verifier have one reading of what a policy covers."""
    text, cedar = BY_TIMER.replace("blueprint ship", "blueprint like"), NO_BUILDERS.replace("ship::", "like_::")
    assert result_of(judged(text, cedar), "never builder enters Live").verdict is Verdict.PROVED
