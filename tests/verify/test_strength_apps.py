"""What nothing notices in our own apps: each was looked at, and stays for the reason that stands beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.service import check_texts, read_bundle
from temper.verify import Bounds, measure

ROOT = Path(__file__).parents[2]

TOLD = "a text for people"
AGENT = "a policy forbids it to agents, and scenarios know none"
# Of all changes that make a difference; what is left has its reason below.
ENOUGH = 0.95

FINE: dict[str, dict[str, str]] = {
    "access": {
        "nothing forbids that `Preapprove` leads to `Activating`, not to `Scheduled`: intended?": "it is scheduled for "
        "now, and activated in the same moment",
        "nothing forbids `Draft` to `Drafted` while `caller.acts_for != caller`: intended?": AGENT,
        "nothing forbids `Promote` from `Drafted` to `InForce` while `caller.acts_for != caller`: intended?": AGENT,
        "nothing forbids `Drop` from `Drafted`, `InForce` to `Dropped` while `caller.acts_for != caller`: intended?": (
            AGENT
        ),
    },
    "work": {
        "nothing forbids that `Heartbeat` from `Active` leads to `Stopping`, not to `Active`: intended?": "a second "
        "heartbeat needs a clock that the search has not; what stops is not taken back",
    },
    "subscription": {
        "nothing forbids `Resume` from `PastDue`: intended?": "the way back from there is by payment, as it is from "
        "`Unpaid`; both lead to `Active`",
        "nothing forbids that a `NotGivenBack` that comes too late is taken all the same: intended?": TOLD,
    },
    "helix": {
        "nothing forbids `Halt` from `RollingBack`: intended?": "a way back may be halted as a way there may",
        "nothing forbids `Resume` from `Planned`: intended?": "it would be another word for `Start`",
    },
}


@pytest.mark.parametrize("app", sorted(FINE))
def test_what_nothing_notices_in_an_app_has_a_reason(app: str) -> None:
    checked = check_texts(read_bundle(ROOT / "apps" / app))
    assert checked.table is not None
    found = measure(checked.table, Bounds(suggestions=0, seconds=300, mutant_seconds=60))
    assert (found.unjudged, found.vacuous) == (0, ())
    assert {each.question for each in found.survivors} == set(FINE[app])
    assert found.score > ENOUGH
    assert all(each.place is not None for each in found.survivors)
