"""Paths: what each names, and that what we write we also read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.web.paths import Resource, Route, parse, path

R = Resource


@pytest.mark.parametrize(
    ("raw", "route"),
    [
        (b"/", Route(R.ROOT)),
        (b"/healthz", Route(R.HEALTH)),
        (b"/openapi.json", Route(R.OPENAPI)),
        (b"/problems/refused", Route(R.PROBLEM, word="refused")),
        (b"/hooks/payments", Route(R.HOOK, id="payments")),
        (b"/hooks/", Route(None, word="")),
        (b"/v1", Route(R.BLUEPRINTS)),
        (b"/v1/tokens", Route(R.TOKENS)),
        (b"/v1/tokens/t1", Route(R.TOKEN, id="t1")),
        (b"/v1/tokens/t1/rotate", Route(R.ROTATE, id="t1")),
        (b"/v1/sessions", Route(R.SESSIONS)),
        (b"/v1/sessions/s1", Route(R.SESSION, id="s1")),
        (b"/v1/me", Route(R.ME)),
        (b"/v1/helix", Route(R.BLUEPRINT, "helix")),
        (b"/v1/helix/plan", Route(R.PLAN, "helix")),
        (b"/v1/helix/versions", Route(R.VERSIONS, "helix")),
        (b"/v1/helix/sources", Route(R.SOURCES, "helix")),
        (b"/v1/helix/rollback", Route(R.ROLLBACK, "helix")),
        (b"/v1/helix/audit", Route(R.AUDIT, "helix")),
        (b"/v1/helix/export", Route(R.EXPORT, "helix")),
        (b"/v1/helix/canary", Route(R.CANARY, "helix")),
        (b"/v1/helix/canary/promote", Route(R.PROMOTE, "helix")),
        (b"/v1/helix/canary/withdraw", Route(R.WITHDRAW, "helix")),
        (b"/v1/helix/shadow", Route(R.SHADOW, "helix")),
        (b"/v1/helix/policies", Route(R.POLICIES, "helix")),
        (b"/v1/helix/simulate-policy", Route(R.SIMULATE_POLICY, "helix")),
        (b"/v1/helix/events", Route(R.BLUEPRINT_EVENTS, "helix")),
        (b"/v1/helix/openapi.json", Route(R.BLUEPRINT_OPENAPI, "helix")),
        (b"/v1/helix/tools", Route(R.TOOLS, "helix")),
        (b"/v1/helix/letters", Route(R.LETTERS, "helix")),
        (b"/v1/helix/letters/o1", Route(R.LETTER, "helix", id="o1")),
        (b"/v1/helix/letters/o1/retry", Route(R.RETRY, "helix", id="o1")),
        (b"/v1/helix/letters/o1/discard", Route(R.DISCARD, "helix", id="o1")),
        (b"/v1/helix/letters/o1/burn", Route(None, "helix", word="letters")),
        (b"/v1/helix/Rollout", Route(R.ENTITIES, "helix", "Rollout")),
        (b"/v1/helix/Rollout/actions", Route(R.ENTITIES_ACTIONS, "helix", "Rollout")),
        (b"/v1/helix/Rollout/events", Route(R.ENTITIES_EVENTS, "helix", "Rollout")),
        (b"/v1/helix/Rollout/r1", Route(R.ENTITY, "helix", "Rollout", "r1")),
        (b"/v1/helix/Rollout/history", Route(R.ENTITY, "helix", "Rollout", "history")),
        (b"/v1/helix/Rollout/r1/history", Route(R.HISTORY, "helix", "Rollout", "r1")),
        (b"/v1/helix/Rollout/r1/actions", Route(R.ACTIONS, "helix", "Rollout", "r1")),
        (b"/v1/helix/Rollout/r1/events", Route(R.EVENTS, "helix", "Rollout", "r1")),
        (b"/v1/helix/Rollout/r1/wait", Route(R.WAIT, "helix", "Rollout", "r1")),
        (b"/v1/helix/Rollout/r1/Start", Route(R.ACT, "helix", "Rollout", "r1", "Start")),
        # Taken apart before it is decoded: a slash in an id stays one.
        (b"/v1/helix/Rollout/a%2Fb/Start", Route(R.ACT, "helix", "Rollout", "a/b", "Start")),
        (b"/v1/helix/Rollout/%C3%A9", Route(R.ENTITY, "helix", "Rollout", "é")),
        # What names nothing says which piece nobody knows.
        (b"/nope", Route(None, word="nope")),
        (b"/v1/", Route(None, word="")),
        (b"/v1/helix/", Route(None, "helix", word="")),
        (b"/v1/helix/plna", Route(None, "helix", word="plna")),
        (b"/v1/helix/rollout/r1", Route(None, "helix", word="rollout")),
        (b"/v1/helix/Rollout/r1/histroy", Route(None, "helix", "Rollout", "r1", word="histroy")),
        (b"/v1/helix/Rollout/r1/Start/now", Route(None, word="now")),
        (b"/v1/helix/Rollout//Start", Route(None, "helix", "Rollout", "", word="Start")),
        (b"/v1/helix/Rollout/%FF", Route(None, word="a path that is not UTF-8")),
        (b"//v1", Route(None, word="v1")),
        (b"", Route(None, word="")),
    ],
)  # fmt: skip
def test_a_path_names(raw: bytes, route: Route) -> None:
    """One row, one path: what it names."""
    assert parse(raw) == route


@given(st.text(min_size=1).filter(lambda id: id not in {"actions", "events"} and id.isprintable()))
def test_an_id_comes_back_from_the_path_that_was_made_of_it(id: str) -> None:
    """Whatever it holds: slashes, dots, any letter."""
    assert parse(path("helix", "Rollout", id).encode()) == Route(R.ENTITY, "helix", "Rollout", id)


@given(st.binary())
def test_no_path_raises(raw: bytes) -> None:
    """Whatever is sent as a path is read, or named as not known."""
    assert isinstance(parse(b"/" + raw), Route)
