"""What nothing notices in our own apps: each was looked at, and stays for the reason that stands beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.service import check_texts, read_bundle
from temper.verify import Bounds, measure

ROOT = Path(__file__).parents[2]

OPERATOR = "an operator may try: it would change nothing that has not its own case"
SEPARATE = "who may do what is the policy of whoever installs it; `never builder enters Live` is what must hold"
TOLD = "a text for people"

FINE: dict[str, dict[str, str]] = {
    "access": {
        "nothing forbids that `Preapprove` leads to `Activating`, not to `Scheduled`: intended?": "it is scheduled for "
        "now, and activated in the same moment",
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
        "nothing forbids `release_manager` to take `Plan`: intended?": SEPARATE,
        "nothing forbids `release_manager` to take `Start`: intended?": SEPARATE,
        "nothing forbids `builder` to take `Halt`: intended?": SEPARATE,
        "nothing forbids `release_manager` to take `Halt`: intended?": SEPARATE,
        "nothing forbids `builder` to take `Resume`: intended?": SEPARATE,
        "nothing forbids `release_manager` to take `Resume`: intended?": SEPARATE,
        "nothing forbids `builder` to take `RollBack`: intended?": SEPARATE,
        "nothing forbids `release_manager` to take `RollBack`: intended?": SEPARATE,
        "nothing forbids `Start` from `Rolling`: intended?": "it would ask for the same broker again; the tool is "
        "idempotent",
        "nothing forbids `Resume` from `Planned`: intended?": "it would be another word for `Start`",
        "nothing forbids `Resume` from `Rolling`: intended?": "it would ask for the same broker again",
        "nothing forbids `Halt` from `Planned`: intended?": "a rollout that is not begun may be halted before it does",
        "nothing forbids `Halt` from `Halted`: intended?": OPERATOR,
        "nothing forbids `Halt` from `RollingBack`: intended?": "a way back may be halted as a way there may",
        "nothing forbids `RollBack` from `Planned`: intended?": "there is nothing to take back, and nothing is lost",
        "nothing forbids `RollBack` from `Rolling`: intended?": "all go back as a whole from wherever they are",
        "nothing forbids `RollBack` from `Verifying`: intended?": "all go back as a whole from wherever they are",
        "nothing forbids `RollBack` from `RollingBack`: intended?": "it would ask for the same again",
        "nothing forbids that `Resume` leaves `halted_because` as it was: intended?": TOLD,
        "nothing forbids that `Stuck` leaves `halted_because` as it was: intended?": TOLD,
        "nothing forbids that `Stuck` from `RollingBack` leads to `RollingBack`, not to `Halted`: intended?": "trying "
        "again without a halt would go back as well",
        'nothing needs `after 30m do Stuck("no progress for 30 minutes")` in `RollingBack`: intended?': "the "
        "tool's own timeout ends the call; the timer is for a server that has lost it",
    },
}


@pytest.mark.parametrize("app", sorted(FINE))
def test_what_nothing_notices_in_an_app_has_a_reason(app: str) -> None:
    checked = check_texts(read_bundle(ROOT / "apps" / app))
    assert checked.table is not None
    found = measure(checked.table, Bounds(suggestions=0, seconds=300, mutant_seconds=60))
    assert (found.unjudged, found.vacuous) == (0, ())
    assert {each.question for each in found.survivors} == set(FINE[app])
    assert all(each.place is not None for each in found.survivors)
