"""A change of policies is judged as a change of the blueprint is: what it would let a role do, it has to be let."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.service import Declined
from temper.service.settings import PushSection
from tests.service.shop import ADMIN, opened

SHIP = """
blueprint ship

role builder, operator

entity Release
  states Built, Live
  final Live

  action Build by builder from new to Built

  action Promote by builder, operator from Built to Live

  never builder enters Live
"""
KEPT = 'forbid (principal in temper::Role::"builder", action == ship::Action::"Release.Promote", resource);'
LIFTED = 'permit (principal in temper::Role::"operator", action == ship::Action::"Release.Promote.approve", resource);'
QUICK = PushSection(levels=("algebra", "search"))


async def test_a_change_of_policies_that_breaks_a_property_is_refused_and_the_old_ones_stay(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", push=QUICK) as workshop:
        first = await workshop.push(ADMIN, "ship", {"ship.blueprint": SHIP, "ship.cedar": KEPT})
        for files in ({"ship.blueprint": SHIP}, {"ship.blueprint": SHIP, "ship.cedar": KEPT + LIFTED}):
            plan = await workshop.plan(ADMIN, "ship", files)
            assert not plan.pushable
            with pytest.raises(Declined) as declined:
                await workshop.push(ADMIN, "ship", files)
            assert declined.value.problem.type == "unverified"
            assert "broken: Release: never builder enters Live" in declined.value.problem.detail
        (version,) = workshop.versions(ADMIN, "ship")
        assert version.digest == first.digest


async def test_a_plan_says_what_roles_reach_without_a_policy(tmp_path: Path) -> None:
    loose = SHIP.replace("  never builder enters Live\n", "")
    async with opened(tmp_path / "data", push=QUICK) as workshop:
        await workshop.push(ADMIN, "ship", {"ship.blueprint": loose, "ship.cedar": KEPT})
        plan = await workshop.plan(ADMIN, "ship", {"ship.blueprint": loose})
        assert [(each.role, each.entity, each.state, each.by) for each in plan.newly] == [
            ("builder", "Release", "Live", "Promote")
        ]
        same = await workshop.plan(ADMIN, "ship", {"ship.blueprint": loose, "ship.cedar": KEPT})
        assert same.newly == ()
