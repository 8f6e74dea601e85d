"""Those who would have a yes cover more than was said yes to, or go on by an agent of theirs when they were stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.service.shop import ADMIN, Prepared, copied, opened
from tests.threats.conftest import QUICK
from tests.threats.treasury import FILES, POLICIES, Answer, Door
from tests.web.test_server import running

SMALL = """
@id("approve-for-agents")
permit (principal in temper::Role::"officer", action == treasury::Action::"Payment.Pay.approve", resource)
when { resource.amount <= 5000 };
"""
FROZEN = """
@id("frozen") @else("payments to mallory are frozen")
forbid (principal, action == treasury::Action::"Payment.Pay", resource)
when { resource.to == "mallory" };
"""


async def session(door: Door, who: str | None, name: str = "helper", *, token: str | None = None, **wanted: Any) -> str:
    """Start a session of one of the people, or of whoever bears a token."""
    body = {"name": name, "ttl": "30m", **wanted}
    started = await door.ask(who, "POST", "/v1/sessions", body, token=token)
    assert started.status == 201, started.raw
    return str(started.body["token"])


async def push(door: Door, policies: str) -> None:
    await door.vault.push(ADMIN, "treasury", {**FILES, "treasury.cedar": policies})


async def approved(door: Door, id: str, **fields: Any) -> None:
    """A payment that only has to be paid."""
    await door.payment(id, **fields)
    answer = await door.ask("olga", "POST", f"/v1/treasury/Payment/{id}/Approve", {})
    assert answer.status == 200, answer.raw


async def pay(door: Door, id: str, token: str, *headers: str) -> Answer:
    return await door.ask(None, "POST", f"/v1/treasury/Payment/{id}/Pay", {}, *headers, token=token)


async def granted(door: Door, agent: str, who: str = "olga", id: str = "first", **answer: Any) -> Answer:
    """Have an agent ask for a payment of 2,000, and somebody answer it."""
    await approved(door, id, amount=2_000)
    asked = await pay(door, id, agent)
    assert asked.kind == "needs-approval", asked.raw
    wanted = {"answer": "grant", "scope": "action", "uses": 3, "expires": "1h", **answer}
    return await door.ask(who, "POST", f"/v1/decisions/{asked.body['decision']}", wanted)


async def state(door: Door, id: str) -> str:
    return str((await door.ask("olga", "GET", f"/v1/treasury/Payment/{id}")).body["state"])


# --- what a yes covers ------------------------------------------------------------------------------------------------


async def test_a_grant_overrules_only_what_its_giver_was_shown(door: Door) -> None:
    """That agents pay little was overruled; that a payee is frozen was not."""
    await push(door, POLICIES + FROZEN)
    agent = await session(door, "olaf")
    assert (await granted(door, agent)).status == 200
    await approved(door, "good", amount=3_000)
    await approved(door, "frozen", amount=3_000, to="mallory")
    assert (await pay(door, "good", agent)).status == 200
    stopped = await pay(door, "frozen", agent)
    assert stopped.kind == "needs-approval", stopped.raw
    assert await state(door, "frozen") == "Approved"


async def test_a_grant_reaches_no_further_than_its_giver_may_say_yes(door: Door) -> None:
    """Who may approve up to 5,000 does not approve 900,000 by a grant for the action."""
    forbids, _, _ = POLICIES.partition('@id("approve-for-agents")')
    await push(door, forbids + SMALL)
    agent = await session(door, "olaf")
    assert (await granted(door, agent)).status == 200
    await approved(door, "more", amount=4_000)
    await approved(door, "large", amount=900_000)
    assert (await pay(door, "more", agent)).status == 200
    assert (await pay(door, "large", agent)).kind == "needs-approval"
    assert await state(door, "large") == "Approved"


async def test_who_reaches_one_entity_grants_nothing_of_the_others(door: Door) -> None:
    agent = await session(door, "olaf")
    near = await session(door, "olga", "near", entities=["treasury/Payment/first"])
    await approved(door, "first", amount=2_000)
    asked = await pay(door, "first", agent)
    wide = {"answer": "grant", "scope": "action", "uses": 3, "expires": "1h"}
    target = f"/v1/decisions/{asked.body['decision']}"
    assert (await door.ask(None, "POST", target, wide, token=near)).kind == "out-of-scope"
    assert await state(door, "first") == "Approved"
    one = {**wide, "scope": "entity"}
    assert (await door.ask(None, "POST", target, one, token=near)).status == 200


async def test_a_grant_ends_with_the_session_that_gave_it(door: Door) -> None:
    """A credential for a quarter of an hour gives nothing for a month."""
    agent = await session(door, "olaf")
    brief = await session(door, "olga", "brief", ttl="15m")
    await approved(door, "first", amount=2_000)
    asked = await pay(door, "first", agent)
    wide = {"answer": "grant", "scope": "action", "uses": 3, "expires": "30d"}
    answer = await door.ask(None, "POST", f"/v1/decisions/{asked.body['decision']}", wide, token=brief)
    assert answer.status == 200, answer.raw
    (grant,) = (await door.ask("olga", "GET", "/v1/grants")).body["items"]
    ends = (await door.ask(None, "GET", "/v1/me", token=brief)).body["expires_at"]
    assert grant["until"] <= ends


# --- what a decision tells --------------------------------------------------------------------------------------------


async def test_of_what_may_not_be_read_there_is_no_decision(door: Door) -> None:
    """Else the answer, and what it says would happen, would tell of it."""
    await push(door, POLICIES.replace('"Payment.Pay.approve"', '"Payment.Drop.approve"'))
    await door.payment("hidden", secret=True, amount=777_777, to="whisper")
    there = await door.ask("aude", "POST", "/v1/treasury/Payment/hidden/Drop", {})
    assert there.status == 404, there.raw
    missing = await door.ask("aude", "POST", "/v1/treasury/Payment/other0/Drop", {})
    assert (missing.status, missing.kind) == (404, there.kind)
    assert (await door.ask("aude", "GET", "/v1/decisions")).body["items"] == []


async def test_a_decision_tells_an_administrator_nothing_that_policies_hide(door: Door) -> None:
    """Of what would happen to it, and of the reasons, only whoever may read the entity hears."""
    await push(door, POLICIES.replace('"Payment.Pay.approve"', '"Payment.Drop.approve"'))
    await door.payment("hidden", secret=True, amount=777_777, to="whisper")
    asked = await door.ask("olaf", "POST", "/v1/treasury/Payment/hidden/Drop", {})
    assert asked.kind == "needs-approval", asked.raw
    root = door.vault.make_token(ADMIN, "root", (), admin=True).token
    target = f"/v1/decisions/{asked.body['decision']}"
    assert (await door.ask("olga", "GET", target)).body["would"]["before"] == "Draft"
    assert (await door.ask(None, "GET", target, token=root)).body.get("would", {}) == {}


async def test_the_stream_of_decisions_tells_no_more_than_they_do(door: Door) -> None:
    """Neither what would happen, nor what is known of whoever asked and answered."""
    agent = await session(door, "olaf")
    given = door.vault.make_token(ADMIN, "max", ("officer",), teams=("night-shift",), attributes={"desk": "d-77"}).token
    await approved(door, "first", amount=2_000)
    asked = await pay(door, "first", agent)
    target = f"/v1/decisions/{asked.body['decision']}"
    assert (await door.ask(None, "POST", target, {"answer": "grant"}, token=given)).status == 200
    stream = door.vault.watch_decisions(door.vault.authenticate(agent), after=0)
    told = [await anext(stream) for _ in range(3)]
    assert [each.after for each in told] == ["Pending", "Granted", "CarriedOut"]
    for word in ("night-shift", "d-77", "orders", "asked_as", "answered_as"):
        assert word not in msgspec.json.encode([[each.params, each.changed, each.text] for each in told]).decode()
    assert told[0].params["wanted"]["entity_id"] == "first"
    assert told[1].text == "max: Grant: Pending -> Granted"


async def test_a_scope_bounds_decisions_and_grants_too(door: Door) -> None:
    """An agent that has one entity sees, withdraws and revokes nothing of its person's others."""
    wide = await session(door, "olaf", "wide")
    near = await session(door, "olaf", "near", entities=["treasury/Payment/other"])
    assert (await granted(door, wide, scope="entity")).status == 200
    await approved(door, "second", amount=2_000)
    asked = await pay(door, "second", wide)
    target = f"/v1/decisions/{asked.body['decision']}"
    for method, where in (("GET", target), ("DELETE", target), ("POST", target)):
        body = {"answer": "deny"} if method == "POST" else None
        assert (await door.ask(None, method, where, body, token=near)).status == 404
    assert (await door.ask(None, "GET", "/v1/decisions", token=near)).body["items"] == []
    assert (await door.ask(None, "GET", "/v1/grants", token=near)).body["items"] == []


async def test_who_may_only_read_neither_withdraws_nor_revokes(door: Door) -> None:
    agent = await session(door, "olaf")
    answer = await granted(door, agent)
    await approved(door, "second", amount=2_000, to="x")
    reading = door.vault.make_token(ADMIN, "olga", ("officer",), read_only=True).token
    target = f"/v1/grants/{answer.body['grant']}"
    assert (await door.ask(None, "DELETE", target, token=reading)).kind == "out-of-scope"
    assert (await door.ask("olga", "DELETE", target)).status == 200
    asked = await pay(door, "second", agent)
    again = await session(door, "olaf", read_only=True)
    target = f"/v1/decisions/{asked.body['decision']}"
    assert (await door.ask(None, "DELETE", target, token=again)).kind == "out-of-scope"
    assert (await door.ask(None, "DELETE", target, token=agent)).status == 200


async def test_who_may_only_read_ends_no_session_but_its_own(door: Door) -> None:
    reading = door.vault.make_token(ADMIN, "olaf", ("officer",), read_only=True).token
    other = await session(door, "olaf")
    own = await session(door, None, "own", token=reading)
    ids = {each: (await door.ask(None, "GET", "/v1/me", token=each)).body["token"] for each in (other, own)}
    assert (await door.ask(None, "DELETE", f"/v1/sessions/{ids[other]}", token=reading)).kind == "out-of-scope"
    assert (await door.ask(None, "DELETE", f"/v1/sessions/{ids[own]}", token=own)).status == 200
    assert (await door.ask(None, "GET", "/v1/me", token=other)).status == 200


async def test_all_sessions_of_one_principal_have_so_many_waiting(treasury: Prepared, tmp_path: Path) -> None:
    """However many are started, and whoever of them starts more; the principal's own are counted beside them."""
    async with opened(copied(treasury, tmp_path / "data"), push=QUICK, decisions=2) as vault, running(vault) as server:
        door = await Door.of(vault, server)
        first = await session(door, "olaf", "a")
        agents = [first, await session(door, "olaf", "b"), await session(door, None, "c", token=first)]
        kinds = []
        for number, agent in enumerate(agents):
            await approved(door, f"p{number}", amount=2_000)
            kinds.append((await pay(door, f"p{number}", agent)).kind)
        assert kinds == ["needs-approval", "needs-approval", "too-many"]
        other = await session(door, "olga", "a")
        assert (await pay(door, "p2", other)).kind == "needs-approval"


# --- who says yes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", ["themselves", "another token", "a session", "a session of that", "an agent made for them"]
)
async def test_nobody_says_yes_for_their_own_agent_by_any_chain(door: Door, how: str) -> None:
    agent = await session(door, "olaf")
    await approved(door, "first", amount=2_000)
    asked = await pay(door, "first", agent)
    mine = door.tokens["olaf"]
    chain = {
        "themselves": mine,
        "another token": door.vault.make_token(ADMIN, "olaf", ("officer",)).token,
        "a session": await session(door, "olaf", "other"),
        "a session of that": await session(door, None, "deep", token=await session(door, "olaf", "mid")),
        "an agent made for them": door.vault.make_token(ADMIN, "bot", ("officer",), acts_for="olaf").token,
    }
    target = f"/v1/decisions/{asked.body['decision']}"
    answer = await door.ask(None, "POST", target, {"answer": "grant"}, token=chain[how])
    assert (answer.status, answer.kind) == (403, "denied"), answer.raw
    assert await state(door, "first") == "Approved"
    assert (await door.ask("olga", "POST", target, {"answer": "grant"})).status == 200
    assert await state(door, "first") == "Paid"


# --- who is stopped ---------------------------------------------------------------------------------------------------


async def stop(door: Door, kind: str, name: str) -> None:
    await door.vault.pauses.pause(ADMIN, kind, name, reason="it loops")


@pytest.mark.parametrize("paused", ["bot", "bot#a", "olaf"])
async def test_what_a_paused_agent_has_started_is_paused_with_it(door: Door, paused: str) -> None:
    """An agent that acts for somebody has sessions that act for the same one: its name is in theirs."""
    bot = door.vault.make_token(ADMIN, "bot", ("officer",), acts_for="olaf").token
    deep = await session(door, None, "b", token=await session(door, None, "a", token=bot))
    other = door.vault.make_token(ADMIN, "botanist", ("officer",)).token
    await approved(door, "first")
    await stop(door, "principal", paused)
    assert (await pay(door, "first", deep)).kind == "paused"
    assert await state(door, "first") == "Approved"
    assert (await pay(door, "first", other)).status == 200


async def test_who_is_paused_makes_nobody_who_is_not(door: Door) -> None:
    """No other token, no other secret and no session: only lifting a pause is left to an administrator."""
    root = door.vault.make_token(ADMIN, "boss", (), admin=True)
    await stop(door, "principal", "boss")
    await stop(door, "principal", "olaf")
    wanted = [
        ("/v1/tokens", {"principal": "reserve", "admin": True}),
        (f"/v1/tokens/{root.info.id}/rotate", {}),
        ("/v1/sessions", {"name": "s"}),
    ]
    for target, body in wanted:
        assert (await door.ask(None, "POST", target, body, token=root.token)).kind == "paused", target
    assert (await door.ask("olaf", "POST", "/v1/sessions", {"name": "s"})).kind == "paused"
    (first, *_) = (await door.ask(None, "GET", "/v1/pauses", token=root.token)).body["items"]
    assert (await door.ask(None, "DELETE", f"/v1/pauses/{first['id']}", token=root.token)).status == 200
