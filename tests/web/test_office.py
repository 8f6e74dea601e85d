"""The office's paths, as a client meets them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from temper.service import Person, Workshop
from temper.web import Door, app
from tests.service.office import ADMIN, ANN, BOT, EVE, MAX, PUSH, prepare_ship, ready
from tests.service.shop import Prepared, copied, opened
from tests.web.caller import JSON, Response, call


@pytest.fixture(scope="session")
def docks(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The releases, pushed through the real verifier."""
    return anyio.run(prepare_ship, tmp_path_factory.mktemp("docks") / "data")


class Office:
    """A door, and tokens for whoever comes to it."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.door: Door = app(shop)
        self.tokens: dict[Person, str] = {}

    async def ask(self, who: Person, method: str, path: str, body: Any = None) -> Response:
        if who not in self.tokens:
            made = self.shop.make_token(ADMIN, who.principal, tuple(who.roles), admin=who.admin, acts_for=who.acts_for)
            self.tokens[who] = made.token
        return await self.bearing(self.tokens[who], method, path, body)

    async def bearing(self, token: str, method: str, path: str, body: Any = None) -> Response:
        bearer = (b"authorization", b"Bearer " + token.encode())
        sent = b"" if body is None else json.dumps(body).encode()
        return await call(self.door, method, path, headers=[bearer, JSON] if sent else [bearer], body=sent, token=False)


@pytest.fixture
async def office(docks: Prepared, tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(copied(docks, tmp_path / "data"), push=PUSH) as shop:
        await ready(shop)
        yield Office(shop)


MOVE = "/v1/ship/Release/r1/Move"


async def test_a_request_waits_is_answered_and_done(office: Office) -> None:
    refused = await office.ask(EVE, "POST", MOVE, {"by_": 3})
    assert (refused.status, refused.json["type"]) == (403, "/problems/needs-approval")
    path = f"/v1/decisions/{refused.json['decision']}"
    assert refused.headers["location"] == path
    assert (await office.ask(EVE, "GET", path)).json["state"] == "Pending"
    assert (await office.ask(ANN, "GET", path)).status == 404
    assert (await office.ask(EVE, "POST", path, {"answer": "grant"})).status == 403
    done = await office.ask(MAX, "POST", path, {"answer": "grant", "reason": "seen"})
    assert (done.status, done.json["state"], done.json["answered_by"]) == (200, "CarriedOut", "max")
    again = await office.ask(MAX, "POST", path, {"answer": "deny"})
    assert (again.status, again.json["type"]) == (409, "/problems/conflict")
    listed = (await office.ask(MAX, "GET", "/v1/decisions?state=CarriedOut&limit=1")).json
    assert [each["id"] for each in listed["items"]] == [refused.json["decision"]]
    assert (await office.ask(MAX, "GET", "/v1/decisions")).json["cursor"] is None


async def test_a_creation_waits_too_and_is_made_under_the_id_that_it_was_to_have(office: Office) -> None:
    refused = await office.ask(MAX, "POST", "/v1/ship/Release", {"id": "r7"})
    assert (refused.status, refused.json["type"]) == (403, "/problems/needs-approval")
    again = await office.ask(MAX, "POST", "/v1/ship/Release", {"id": "r7"})
    other = await office.ask(MAX, "POST", "/v1/ship/Release", {"id": "r8"})
    assert again.json["decision"] == refused.json["decision"] != other.json["decision"]
    done = await office.ask(ANN, "POST", f"/v1/decisions/{refused.json['decision']}", {"answer": "grant"})
    assert (done.json["state"], done.json["version"]) == ("CarriedOut", 0)
    assert (await office.ask(MAX, "GET", "/v1/ship/Release/r7")).json["state"] == "Ready"
    # One that has been made otherwise meanwhile is not made anew.
    await office.ask(ANN, "POST", "/v1/ship/Release", {"id": "r8"})
    stale = await office.ask(ANN, "POST", f"/v1/decisions/{other.json['decision']}", {"answer": "grant"})
    assert (stale.status, stale.json["type"]) == (409, "/problems/conflict")
    assert (await office.ask(MAX, "GET", "/v1/ship/Release/r8")).json["version"] == 1


async def test_pages_of_decisions_are_whole(office: Office) -> None:
    for n in range(1, 6):
        await office.ask(EVE, "POST", MOVE, {"by_": n})
    seen: list[int] = []
    cursor = ""
    while True:
        page = (await office.ask(MAX, "GET", f"/v1/decisions?limit=2{cursor}")).json
        seen += [each["params"]["by_"] for each in page["items"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert seen == [5, 4, 3, 2, 1]


async def test_a_grant_and_a_pause_over_http(office: Office) -> None:
    id = (await office.ask(EVE, "POST", MOVE, {"by_": 1})).json["decision"]
    answer = {"answer": "grant", "scope": "action", "expires": "1h", "uses": 9}
    grant = (await office.ask(MAX, "POST", f"/v1/decisions/{id}", answer)).json["grant"]
    assert (await office.ask(EVE, "POST", MOVE, {"by_": 1})).status == 200
    (listed,) = (await office.ask(EVE, "GET", "/v1/grants?principal=eve")).json["items"]
    assert (listed["id"], listed["left"]) == (grant, 8)
    ended = await office.ask(MAX, "DELETE", f"/v1/grants/{grant}", {"reason": "over"})
    assert (ended.json["state"], ended.json["reason"]) == ("Revoked", "over")
    paused = await office.ask(ADMIN, "POST", "/v1/pauses", {"kind": "role", "name": "builder", "reason": "stop"})
    assert (paused.status, paused.headers["location"]) == (201, f"/v1/pauses/{paused.json['id']}")
    stopped = await office.ask(EVE, "POST", "/v1/ship/Release/r1/Touch", {})
    assert (stopped.status, stopped.json["type"]) == (403, "/problems/paused")
    assert (await office.ask(EVE, "GET", "/v1/pauses")).status == 403
    assert (await office.ask(ADMIN, "DELETE", paused.headers["location"])).json["state"] == "Lifted"
    assert (await office.ask(EVE, "POST", "/v1/ship/Release/r1/Touch", {})).status == 200


async def test_sessions_ask_for_no_more_than_one_together_and_end_with_their_token(office: Office) -> None:
    """However many an agent starts, by itself or by one another."""
    most = office.shop.loaded.settings.limits.decisions
    await office.ask(EVE, "GET", "/v1/me")
    tokens = [office.tokens[EVE]]
    answers = []
    for number in range(most + 2):
        # From the second on it is a session that starts others.
        started = await office.bearing(tokens[min(number, 1)], "POST", "/v1/sessions", {"name": f"s{number}"})
        tokens.append(started.json["token"])
        answers.append(await office.bearing(tokens[-1], "POST", MOVE, {"by_": 1}))
    assert [each.status for each in answers] == [403] * most + [429] * 2
    assert (answers[-1].json["type"], "retry-after" in answers[-1].headers) == ("/problems/too-many", True)
    listed = (await office.ask(ADMIN, "GET", "/v1/tokens")).json["items"]
    (of_eve,) = [each["id"] for each in listed if each["principal"] == "eve"]
    revoked = (await office.ask(ADMIN, "DELETE", f"/v1/tokens/{of_eve}")).json
    assert set(revoked["decisions"]) == {each.json["decision"] for each in answers[:most]}
    assert (await office.bearing(tokens[-1], "POST", MOVE, {"by_": 1})).status == 401
    assert (await office.ask(MAX, "GET", "/v1/decisions?state=Pending")).json["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/decisions/none", {"answer": "grant"}, 404),
        ("POST", "/v1/decisions/none", {"answer": "maybe"}, 422),
        ("POST", "/v1/decisions/none", {"answer": "grant", "scope": "entity", "expires": "soon"}, 422),
        ("POST", "/v1/decisions/none", {"answer": "grant", "by": "max"}, 422),
        ("DELETE", "/v1/decisions/none", None, 404),
        ("DELETE", "/v1/grants/none", None, 404),
        ("GET", "/v1/decisions?state=Open", None, 422),
        ("GET", "/v1/decisions?cursor=here", None, 422),
        ("GET", "/v1/decisions?limit=0", None, 422),
        ("PUT", "/v1/decisions", {}, 405),
        # The office is nobody's blueprint: its paths are the only ones.
        ("GET", "/v1/temper", None, 404),
        ("GET", "/v1/temper/Decision", None, 404),
        ("POST", "/v1/temper/Pause", {}, 404),
        ("PUT", "/v1/temper", {"files": {"a.blueprint": "blueprint temper"}}, 403),
    ],
)
async def test_what_is_answered_otherwise(office: Office, method: str, path: str, body: Any, status: int) -> None:
    """Asked once the office is there, and of one who may answer."""
    await office.ask(EVE, "POST", MOVE, {"by_": 1})
    found = await office.ask(MAX, method, path, body)
    assert found.status == status, json.dumps(found.json)


async def test_no_header_or_body_makes_anybody_else_of_who_calls(office: Office) -> None:
    id = (await office.ask(BOT, "POST", MOVE, {"by_": 1})).json["decision"]
    for body in ({"answer": "grant", "principal": "max"}, {"answer": "grant", "roles": ["manager"]}):
        assert (await office.ask(BOT, "POST", f"/v1/decisions/{id}", body)).status == 422
    assert (await office.ask(BOT, "GET", f"/v1/decisions/{id}")).json["state"] == "Pending"
