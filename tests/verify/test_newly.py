"""What a change newly lets roles reach."""

from __future__ import annotations

from temper.verify import Limits, newly
from tests.verify.policies import guarded
from tests.verify.test_narrow import BY_TIMER, NO_BUILDERS, SHIP


def reached(old: tuple[str, str], new: tuple[str, str]) -> list[tuple[str, str, str, str]]:
    found = newly(guarded(*old), guarded(*new), Limits(seconds=30))
    assert all(each.sure for each in found)
    return [(each.role, each.entity, each.state, each.by) for each in found]


def test_nothing_is_new_where_nothing_changes() -> None:
    assert reached((BY_TIMER, NO_BUILDERS), (BY_TIMER, NO_BUILDERS)) == []
    assert reached((BY_TIMER, ""), (BY_TIMER, NO_BUILDERS)) == []


def test_a_policy_that_is_taken_away_lets_a_role_reach_a_state() -> None:
    assert reached((BY_TIMER, NO_BUILDERS), (BY_TIMER, "")) == [("builder", "Release", "Live", "Promote")]


def test_what_a_role_causes_counts() -> None:
    """The timer promotes what a builder has built."""
    assert reached((BY_TIMER, NO_BUILDERS), (SHIP, NO_BUILDERS)) == [("builder", "Release", "Live", "Build")]


def test_a_role_let_in_by_the_blueprint_is_found_as_one_let_in_by_a_policy() -> None:
    wider = BY_TIMER.replace("action Pull by operator", "action Pull by operator, release_manager")
    assert reached((BY_TIMER, ""), (wider, "")) == [("release_manager", "Release", "Pulled", "Pull")]
    kept = 'forbid (principal in temper::Role::"release_manager", action == ship::Action::"Release.Pull", resource);'
    assert reached((BY_TIMER, ""), (wider, kept)) == []


def test_a_guard_that_no_longer_keeps_a_role_out() -> None:
    """It is not enough that the table has a case: a run has to lead there."""
    shut = BY_TIMER.replace("system from Built to Live", "system from Built to Live\n        when load > 5")
    shut = shut.replace("action Load(load) by operator, builder, system", "action Load(load: int 0..5) by operator")
    wide = shut.replace("when load > 5", "when load > 4")
    assert {each[:3] for each in reached((shut, ""), (wide, ""))} >= {("builder", "Release", "Live")}
