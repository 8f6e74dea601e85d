"""The door: which verb a request is, what is answered, and what is declined before any verb is asked."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from temper.service import CanaryWanted, Declined, SessionWanted, wire
from temper.web import Limits
from temper.web.paths import Resource
from temper.web.verbs import OPERATIONS
from tests.web.caller import BEARER, JSON, call
from tests.web.fake import ACTED, Fake

ONE = "/v1/lamp/Lamp/l1"
LAMP = ("lamp", "Lamp", "l1")
# What an action, and a creation, is asked with where the request says nothing more.
PLAIN: dict[str, Any] = {"key": None, "if_version": None}
NEW: dict[str, Any] = {"key": None, "dry_run": False}
TOKEN_OF: dict[str, Any] = {
    "admin": False, "acts_for": None, "ttl_ms": None, "teams": (), "attributes": {}, "scope": None, "read_only": False,
}  # fmt: skip
FILES = {"files": {"a": "b"}}


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "asked"),
    [
        ("GET", "/v1", None, 200, ("blueprints",)),
        ("POST", "/v1/lamp/Lamp", {"watts": 7}, 201, ("create", "lamp", "Lamp", None, {"watts": 7}, NEW)),
        ("POST", "/v1/lamp/Lamp?action=Hang", {}, 201, ("create", "lamp", "Lamp", "Hang", {}, NEW)),
        ("POST", "/v1/lamp/Lamp?dry_run=true", {}, 200, ("why", "lamp", "Lamp", None, "Hang", {})),
        ("POST", "/v1/lamp/Lamp?dry_run=true&action=Drop", {}, 200, ("why", "lamp", "Lamp", None, "Drop", {})),
        ("GET", "/v1/lamp/Lamp", None, 200, ("list", "lamp", "Lamp")),
        (
            "GET", "/v1/lamp/Lamp?filter=state%20is%20On&sort=-id&limit=3&cursor=c&count=true", None, 200,
            ("list", *LAMP[:2], {"filter": "state is On", "sort": "-id", "limit": 3, "cursor": "c", "count": True}),
        ),
        ("GET", "/v1/lamp/Lamp/actions", None, 200, ("possible", "lamp", "Lamp", None)),
        ("GET", ONE, None, 200, ("read", *LAMP)),
        ("HEAD", ONE, None, 200, ("read", *LAMP)),
        ("GET", f"{ONE}?at=7", None, 200, ("past", *LAMP, "7")),
        ("POST", f"{ONE}/Switch", None, 200, ("act", *LAMP, "Switch", {}, PLAIN)),
        ("POST", f"{ONE}/Switch", {"a": [1]}, 200, ("act", *LAMP, "Switch", {"a": [1]}, PLAIN)),
        ("POST", f"{ONE}/Switch?dry_run=true", {"a": 1}, 200, ("why", *LAMP, "Switch", {"a": 1})),
        ("POST", f"{ONE}/Switch?dry_run=false", None, 200, ("act", *LAMP, "Switch", {}, PLAIN)),
        ("GET", f"{ONE}/history", None, 200, ("history", *LAMP)),
        ("GET", f"{ONE}/history?after=4&limit=5", None, 200, ("history", *LAMP, {"after": 4, "limit": 5})),
        ("GET", f"{ONE}/actions", None, 200, ("possible", *LAMP)),
        ("POST", "/v1/lamp/plan", FILES, 200, ("plan", "lamp", {"a": "b"})),
        ("POST", "/v1/lamp/shadow?last=7", FILES, 200, ("shadow", "lamp", {"a": "b"}, {"last": 7})),
        (
            "PUT", "/v1/lamp", {**FILES, "note": "n"}, 200,
            ("push", "lamp", {"a": "b"}, {"note": "n", "if_version": None}),
        ),
        ("GET", "/v1/lamp/versions", None, 200, ("versions", "lamp")),
        ("GET", "/v1/lamp/sources?version=1", None, 200, ("sources", "lamp", 1)),
        ("POST", "/v1/lamp/rollback", {"to": 1, "note": "n"}, 200, ("rollback", "lamp", 1, {"note": "n"})),
        ("GET", "/v1/lamp/policies?version=1", None, 200, ("policies", "lamp", 1)),
        (
            "POST", "/v1/lamp/simulate-policy", {"entity": "Lamp", "action": "Switch", "files": {"a": "b"}}, 200,
            ("simulate_policy", "lamp", {"a": "b"}, {"entity": "Lamp", "action": "Switch", "id": None}),
        ),
        ("POST", "/v1/lamp/rollback", None, 200, ("rollback", "lamp", None, {"note": ""})),
        ("GET", "/v1/lamp/canary", None, 200, ("canary", "lamp")),
        ("GET", "/v1/lamp/audit?expect=a%401,b%402", None, 200, ("audit", "lamp", "a@1,b@2")),
        (
            "POST", "/v1/lamp/canary", {**FILES, "share": 0.25, "named": ["Lamp/l9"], "note": "n"}, 201,
            ("start_canary", "lamp", {"a": "b"}, CanaryWanted(0.25, ("Lamp/l9",)), {"note": "n"}),
        ),
        ("POST", "/v1/lamp/canary/promote", {"note": "n"}, 200, ("promote", "lamp", {"note": "n"})),
        ("POST", "/v1/lamp/canary/withdraw", None, 200, ("withdraw", "lamp", {"note": ""})),
        ("GET", "/v1/lamp/letters", None, 200, ("letters", "lamp")),
        ("GET", "/v1/lamp/letters?after=o0&limit=3", None, 200, ("letters", "lamp", {"after": "o0", "limit": 3})),
        ("GET", "/v1/lamp/letters/o1", None, 200, ("letter", "lamp", "o1")),
        ("POST", "/v1/lamp/letters/o1/retry", None, 200, ("retry", "lamp", "o1", {"note": ""})),
        ("POST", "/v1/lamp/letters/o1/discard", {"note": "no"}, 200, ("discard", "lamp", "o1", {"note": "no"})),
        ("GET", "/v1/lamp/tools", None, 200, ("tools", "lamp")),
        ("GET", "/v1/tokens", None, 200, ("tokens",)),
        (
            "POST", "/v1/tokens", {"principal": "bob", "roles": ["owner"], "ttl": "12h"}, 201,
            ("make_token", "bob", ("owner",), TOKEN_OF | {"ttl_ms": 43_200_000}),
        ),
        (
            "POST", "/v1/tokens",
            {"principal": "b", "teams": ["t"], "attributes": {"a": "1"}, "scope": ["lamp/Lamp"], "read_only": True},
            201,
            ("make_token", "b", (), TOKEN_OF | {
                "teams": ("t",), "attributes": {"a": "1"}, "scope": ("lamp/Lamp",), "read_only": True,
            }),
        ),
        ("DELETE", "/v1/tokens/2", None, 200, ("revoke_token", "2")),
        ("POST", "/v1/tokens/2/rotate", {"grace": "10m"}, 200, ("rotate_token", "2", {"grace_ms": 600_000})),
        ("POST", "/v1/tokens/2/rotate", None, 200, ("rotate_token", "2", {"grace_ms": 0})),
        ("GET", "/v1/sessions", None, 200, ("sessions",)),
        ("POST", "/v1/sessions", {"name": "s"}, 201, ("start_session", SessionWanted("s"))),
        (
            "POST", "/v1/sessions",
            {"name": "s", "roles": ["owner"], "entities": ["lamp"], "ttl": "5m", "read_only": True, "admin": True}, 201,
            ("start_session", SessionWanted("s", ("owner",), ("lamp",), read_only=True, admin=True, ttl_ms=300_000)),
        ),
        ("DELETE", "/v1/sessions/2", None, 200, ("end_session", "2")),
        ("GET", "/v1/me", None, 200, ("me",)),
    ],
)  # fmt: skip
async def test_a_request_is_a_verb(method: str, target: str, body: Any, status: int, asked: tuple[Any, ...]) -> None:
    """One row, one request: the verb that it comes to, with all that it is asked, and the status of the answer."""
    fake = Fake()
    sent = json.dumps(body).encode() if body is not None else b""
    response = await call(fake.door(), method, target, headers=[JSON], body=sent)
    assert (response.status, fake.asked) == (status, [asked])
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("method", "body"), [("GET", b"1\n2\n3\n"), ("HEAD", b"")])
async def test_an_export_is_sent_as_it_is_read(method: str, body: bytes) -> None:
    response = await call(Fake().door(), method, "/v1/lamp/export")
    assert (response.status, response.body) == (200, body)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["content-disposition"] == 'attachment; filename="lamp.jsonl"'


async def test_an_export_that_can_not_begin_is_declined() -> None:
    fake = Fake()
    fake.says["export"] = Declined(wire.Problem(type="denied", title="no", status=403))
    assert (await call(fake.door(), "GET", "/v1/lamp/export")).status == 403


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "kind", "said"),
    [
        # Paths and methods.
        ("GET", "/nope", b"", 404, "not-found", "openapi.json"),
        ("GET", "/healtz", b"", 404, "not-found", "did you mean `healthz`?"),
        ("GET", "/v1/lamp/plna", b"", 404, "not-found", "did you mean `plan`?"),
        ("GET", "/v1/lamp/lamp", b"", 404, "not-found", "did you mean `Lamp`?"),
        ("GET", "/v1/lmap/plna", b"", 404, "not-found", "there is no blueprint `lmap`"),
        ("GET", f"{ONE}/histroy", b"", 404, "not-found", "did you mean `history`?"),
        ("POST", f"{ONE}/switch", b"", 404, "not-found", "did you mean `Switch`?"),
        ("GET", "/problems/refusd", b"", 404, "not-found", "did you mean `refused`?"),
        ("GET", f"{ONE}/Switch", b"", 405, "method-not-allowed", "OPTIONS, POST"),
        ("DELETE", ONE, b"", 405, "method-not-allowed", "GET, HEAD, OPTIONS"),
        ("POST", "/", b"", 405, "method-not-allowed", "GET, HEAD, OPTIONS"),
        ("PATCH", "/healthz", b"", 405, "method-not-allowed", "GET, HEAD, OPTIONS"),
        # Queries: what is not known is named; what does not fit is told.
        ("GET", "/v1/lamp/Lamp?filtre=x", b"", 400, "bad-request", "did you mean `filter`?"),
        ("GET", "/v1?a=1", b"", 400, "bad-request", "takes none"),
        ("GET", "/v1/lamp/Lamp?limit=1&limit=2", b"", 400, "bad-request", "given twice"),
        ("GET", "/v1/lamp/Lamp?filter=%FF", b"", 400, "bad-request", "can't be read"),
        ("GET", "/v1/lamp/Lamp?" + "&".join(f"p{n}=1" for n in range(40)), b"", 400, "bad-request", "can't be read"),
        ("GET", "/v1/lamp/Lamp?limit=0", b"", 422, "bad-request", "from 1 to 200"),
        ("GET", "/v1/lamp/Lamp?limit=%D9%A3", b"", 422, "bad-request", "from 1 to 200"),
        ("GET", "/v1/lamp/Lamp?count=yes", b"", 422, "bad-request", "`true` or `false`"),
        ("GET", "/v1/lamp/Lamp?filter=", b"", 422, "bad-request", "1 to 4096 characters"),
        ("GET", f"{ONE}/wait", b"", 422, "bad-request", "is required"),
        ("GET", f"{ONE}/wait?until=x&timeout=30", b"", 422, "bad-request", "is a duration"),
        ("GET", f"{ONE}/events?after=-1", b"", 422, "bad-request", "whole number"),
        # Bodies, with the place.
        ("POST", f"{ONE}/Switch", b'{"a":\n ?}', 400, "bad-request", "line 2, column 2"),
        ("POST", f"{ONE}/Switch", b'{"a":', 400, "bad-request", "line 1, column 6"),
        ("POST", f"{ONE}/Switch", b'{"a":"\xff"}', 400, "bad-request", "not UTF-8 at line 1, column 7"),
        ("POST", f"{ONE}/Switch", b'{"a":' + b"[" * 100_000, 400, "bad-request", "too deeply"),
        ("POST", f"{ONE}/Switch", b"[]", 422, "bad-request", "expected `object`, got `array`"),
        ("PUT", "/v1/lamp", b"", 422, "bad-request", "missing required field `files`"),
        ("PUT", "/v1/lamp", b'{"files":{"a":1}}', 422, "bad-request", "/files/*"),
        ("PUT", "/v1/lamp", b'{"file":{}}', 422, "bad-request", "unknown field `file`"),
        ("POST", "/v1/tokens", b'{"principal":"bob","ttl":"soon"}', 422, "bad-request", "is a duration"),
        ("POST", f"{ONE}/Switch", b" " * 1_048_577, 413, "too-large", "1048576 bytes"),
    ],
)  # fmt: skip
async def test_what_is_declined_says_why(
    method: str, target: str, body: bytes, status: int, kind: str, said: str
) -> None:
    """One row, one mistake: its status, its kind, and what the problem says. No verb is asked."""
    fake = Fake()
    response = await call(fake.door(), method, target, headers=[JSON] if body else [], body=body)
    assert (response.status, response.json["type"]) == (status, f"/problems/{kind}")
    assert response.json["status"] == status
    assert said in response.body.decode()
    assert response.headers["content-type"] == "application/problem+json"
    assert fake.asked == []
    if status == 405:
        assert response.headers["allow"] in said or said in response.headers["allow"]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b"idempotency-key", b"", 400),
        (b"idempotency-key", b"k" * 201, 400),
        (b"idempotency-key", b"\xe9", 400),
        (b"if-match", b"3", 400),
        (b"if-match", b'"3", "4"', 400),
        (b"if-match", b'W/"3"', 400),
        (b"if-match", b'"abc"', 400),
        (b"if-match", b'""', 400),
        (b"if-match", b'"\xb2"', 400),
        (b"content-type", b"application/x-www-form-urlencoded", 415),
        (b"content-type", b"text/json", 415),
    ],
)
async def test_a_header_that_cant_be_read_is_declined(name: bytes, value: bytes, status: int) -> None:
    """One row, one header of an action; the problem names it."""
    fake = Fake()
    response = await call(fake.door(), "POST", f"{ONE}/Switch", headers=[(name, value)], body=b"{}")
    assert response.status == status
    assert name.decode() in response.body.decode().lower() or status == 415
    assert fake.asked == []


@pytest.mark.parametrize("name", [b"authorization", b"idempotency-key", b"if-match"])
async def test_a_header_that_came_twice_is_declined(name: bytes) -> None:
    """Which of them counts would be a guess: also for the token."""
    headers = [(name, b'"3"'), (name, b'"3"')] if name != b"authorization" else [BEARER]
    response = await call(Fake().door(), "POST", f"{ONE}/Switch", headers=headers)
    assert response.status == 400
    assert "twice" in response.json["title"]


@pytest.mark.parametrize(("sent", "version"), [(b'"3"', 3), (b"*", None), (b'"003"', 3)])
async def test_if_match_is_a_version(sent: bytes, version: int | None) -> None:
    """And goes to the verb with the key."""
    fake = Fake()
    response = await call(
        fake.door(), "POST", f"{ONE}/Switch", headers=[(b"if-match", sent), (b"idempotency-key", b"k 1")]
    )
    assert response.status == 200
    assert fake.asked == [("act", "lamp", "Lamp", "l1", "Switch", {}, {"key": "k 1", "if_version": version})]


async def test_a_dry_run_keeps_if_match() -> None:
    """It is judged against the version that is there, and nothing else is asked then."""
    fake = Fake()
    target = f"{ONE}/Switch?dry_run=true"
    assert (await call(fake.door(), "POST", target, headers=[(b"if-match", b'"3"')])).status == 200
    stale = await call(fake.door(), "POST", target, headers=[(b"if-match", b'"2"')])
    assert (stale.status, stale.json["type"]) == (412, "/problems/stale")


async def test_if_match_any_wants_a_blueprint_that_is_there() -> None:
    """`*` on a push means: only if some version is live."""
    fake = Fake()
    body = b'{"files": {"a": "b"}}'
    assert (await call(fake.door(), "PUT", "/v1/lamp", headers=[JSON, (b"if-match", b"*")], body=body)).status == 200
    assert (await call(fake.door(), "PUT", "/v1/new", headers=[JSON, (b"if-match", b"*")], body=body)).status == 412


@pytest.mark.parametrize("sent", [b'"3"', b'W/"3"', b'"1", "3"', b"*"])
async def test_what_the_caller_has_is_not_sent_again(sent: bytes) -> None:
    """304 has no body; another tag gets the whole."""
    door = Fake().door()
    response = await call(door, "GET", ONE, headers=[(b"if-none-match", sent)])
    assert (response.status, response.body, response.headers["etag"]) == (304, b"", '"3"')
    assert "content-length" not in response.headers
    assert (await call(door, "GET", ONE, headers=[(b"if-none-match", b'"2"')])).status == 200


@pytest.mark.parametrize("kind", [b"text/plain; charset=utf-8", b"text/x-blueprint"])
async def test_a_push_takes_a_blueprint_as_text(kind: bytes) -> None:
    """It is the bundle's one file."""
    fake = Fake()
    response = await call(
        fake.door(), "PUT", "/v1/lamp", headers=[(b"content-type", kind)], body="blueprint lamp # ü\n".encode()
    )
    assert response.status == 200
    assert fake.asked[0][2] == {"lamp.blueprint": "blueprint lamp # ü\n"}
    bad = await call(fake.door(), "PUT", "/v1/lamp", headers=[(b"content-type", kind)], body=b"\xff")
    assert bad.status == 400


async def test_the_first_version_is_created() -> None:
    """201 once; a push that changes nothing, or follows another, is 200."""
    fake = Fake()
    for version, unchanged, status in ((1, False, 201), (1, True, 200), (2, False, 200)):
        fake.says["push"] = wire.Pushed(blueprint="lamp", version=version, digest="d", unchanged=unchanged)
        response = await call(fake.door(), "PUT", "/v1/lamp", headers=[JSON], body=b'{"files": {}}')
        assert (response.status, response.headers["etag"]) == (status, f'"{version}"')


async def test_what_is_created_has_a_place() -> None:
    """201 with Location and tag; the same key again is 200."""
    fake = Fake()
    made = await call(fake.door(), "POST", "/v1/lamp/Lamp", headers=[(b"idempotency-key", b"k")])
    assert (made.status, made.headers["location"], made.headers["etag"]) == (201, ONE, '"3"')
    fake.says["create"] = wire.Acted(entity=ACTED.entity, action="Hang", before="new", after="Off", replayed=True)
    again = await call(fake.door(), "POST", "/v1/lamp/Lamp", headers=[(b"idempotency-key", b"k")])
    assert (again.status, again.headers["location"]) == (200, ONE)


async def test_nothing_is_told_without_a_token() -> None:
    """Every path but health and the pages: 401, the same for what is there and for what is not."""
    fake = Fake()
    door = fake.door()
    words = {"blueprint": "lamp", "entity": "Lamp", "action": "Switch"}
    paths = [re.sub(r"\{(\w+)\}", lambda piece: words.get(piece[1], "x1"), resource.value) for resource in OPERATIONS]
    for target in (*paths, "/nope", "/v1/lamp/nope", f"{ONE}/nope"):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            for header in ([], [(b"authorization", b"Bearer wrong")], [(b"authorization", b"Basic " + BEARER[1])]):
                response = await call(door, method, target, token=False, headers=header)
                assert (response.status, response.headers["www-authenticate"]) == (401, 'Bearer realm="temper"')
    assert fake.asked == []
    assert set(OPERATIONS) == set(Resource) - {Resource.ROOT, Resource.HEALTH, Resource.PROBLEM, Resource.HOOK}


async def test_no_header_but_the_token_says_who_calls() -> None:
    """What proxies and other systems use for that is not read."""
    fake = Fake()
    claims = [(name, b"root") for name in (b"x-user", b"x-role", b"x-forwarded-user", b"from", b"cookie")]
    response = await call(fake.door(), "GET", ONE, token=False, headers=claims)
    assert response.status == 401


@pytest.mark.parametrize(
    ("target", "allow"),
    [
        (ONE, "GET, HEAD, OPTIONS"),
        ("/v1/lamp/Lamp", "GET, HEAD, OPTIONS, POST"),
        ("/v1/lamp", "GET, HEAD, OPTIONS, PUT"),
        (f"{ONE}/Switch", "OPTIONS, POST"),
        ("/v1/tokens/2", "DELETE, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_says_what_is_possible(target: str, allow: str) -> None:
    """And nothing that would let a page of another origin in."""
    response = await call(Fake().door(), "OPTIONS", target)
    assert (response.status, response.headers["allow"], response.body) == (204, allow, b"")
    assert not any(name.startswith("access-control-") for name in response.headers)


async def test_head_has_the_length_and_no_body() -> None:
    """As GET says it."""
    door = Fake().door()
    head, whole = await call(door, "HEAD", ONE), await call(door, "GET", ONE)
    assert head.headers == whole.headers
    assert (head.body, int(head.headers["content-length"])) == (b"", len(whole.body))


@pytest.mark.parametrize(("milliseconds", "seconds"), [(1, "1"), (1000, "1"), (1001, "2"), (0, "1")])
async def test_a_problem_goes_over_whole(milliseconds: int, seconds: str) -> None:
    """With all that the workshop says, its type as a reference, and when to try again in whole seconds."""
    problem = wire.Problem(
        type="busy", title="too many requests wait", status=503, detail="nothing was done", retry_after_ms=milliseconds,
        next=(wire.Next(action="Switch", href=f"{ONE}/Switch"),),
    )  # fmt: skip
    fake = Fake(says={"act": Declined(problem)})
    response = await call(fake.door(), "POST", f"{ONE}/Switch")
    assert (response.status, response.headers["retry-after"]) == (503, seconds)
    assert response.json == {
        "type": "/problems/busy", "title": "too many requests wait", "status": 503, "detail": "nothing was done",
        "retry_after_ms": milliseconds, "next": [{"action": "Switch", "href": f"{ONE}/Switch"}],
    }  # fmt: skip


async def test_a_bug_is_told_without_its_insides(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets a name for it; the log has the rest under that name."""
    fake = Fake(says={"act": ZeroDivisionError("secret insides")})
    with caplog.at_level(logging.ERROR, "temper.web"):
        response = await call(fake.door(), "POST", f"{ONE}/Switch")
    assert (response.status, response.json["type"]) == (500, "/problems/bug")
    assert b"insides" not in response.body and b"ZeroDivision" not in response.body
    assert response.json["instance"] in caplog.text and "secret insides" in caplog.text


async def test_a_body_may_come_in_pieces() -> None:
    """It is one body, and its bound is counted over all of them, said or not."""
    fake = Fake()
    door = fake.door(Limits(body_max=10))
    response = await call(door, "POST", f"{ONE}/Switch", headers=[JSON], pieces=[b'{"a"', b":1", b"}"])
    assert (response.status, fake.asked[0][5]) == (200, {"a": 1})
    for pieces in ([b" " * 11], [b" " * 6, b" " * 6], [b" " * 6, b" " * 5, b" " * 1000]):
        over = await call(door, "POST", f"{ONE}/Switch", headers=[JSON], pieces=pieces)
        assert (over.status, over.headers["connection"]) == (413, "close")
    declared = [(b"content-length", b"11")]
    assert (await call(door, "POST", f"{ONE}/Switch", headers=declared, pieces=[])).status == 413


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """It has its time, and then the caller is told."""
    door = Fake().door(Limits(body_timeout=0.01))
    response = await call(door, "POST", f"{ONE}/Switch", pieces=[b"{"], whole=False)
    assert (response.status, response.json["type"]) == (408, "/problems/request-timeout")
    assert response.headers["connection"] == "close"


async def test_too_many_requests_at_once_are_told_to_come_back() -> None:
    """Also before who calls is asked: that is work too."""
    response = await call(Fake().door(Limits(requests_max=0)), "GET", ONE)
    assert (response.status, response.headers["retry-after"], response.json["type"]) == (503, "1", "/problems/busy")


async def test_parsed_paths_are_kept_within_a_bound() -> None:
    """The same answer when the bound is passed, over and over."""
    fake = Fake()
    door = fake.door(Limits(routes_max=3))
    for number in range(20):
        assert (await call(door, "GET", f"/v1/lamp/Lamp/l{number}")).status == 200
    assert [asked[3] for asked in fake.asked] == [f"l{number}" for number in range(20)]
    assert len(door._routes) <= 3


async def test_health_and_pages_need_no_token() -> None:
    """They say nothing of any blueprint."""
    door = Fake().door()
    health = await call(door, "GET", "/healthz", token=False)
    assert (health.status, health.json) == (200, {"status": "ok"})
    home = await call(door, "GET", "/", token=False)
    assert home.status == 200
    assert b'href="/openapi.json"' in home.body and b"lamp" not in home.body
    assert home.headers["content-security-policy"].startswith("default-src 'none'")
    assert (await call(door, "GET", "/problems/refused", token=False)).status == 200
    assert (await call(door, "HEAD", "/problems/refused", token=False)).status == 200


async def test_a_server_that_stops_says_so() -> None:
    """To whoever watches its health, so that no more requests are sent to it."""
    door = Fake().door()
    door.close()
    response = await call(door, "GET", "/healthz", token=False)
    assert (response.status, response.json["type"]) == (503, "/problems/unavailable")
