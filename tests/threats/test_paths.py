"""Tricks with paths and heads: what is asked for is what is decided, or nothing is."""

from __future__ import annotations

import pytest

from tests.threats.treasury import OPENED, Door

TARGETS = [
    "/v1/treasury/Payment/p1/../p1/Approve", "/v1/treasury/Payment/p1/%2e%2e/p1/Approve", "/v1//treasury/Payment/p1",
    "/v1/treasury/Payment/p1%2fApprove", "/v1/treasury/Payment/p1%00", "/v1/treasury/Payment/p1%0d%0aX: y",
    "/v1/treasury/Payment/p1;admin=true", "/v1/treasury\\Payment\\p1", "/v1/treasury/payment/p1",
    "/V1/treasury/Payment/p1",
    "/v1/treasury/Payment/..%c0%af..%c0%afetc/passwd", "/v1/treasury/Payment/%", "/v1/treasury/Payment/%zz",
    "/v1/treasury/__class__/p1", "/v1/../etc/passwd", "/v1/treasury/Payment/p1/approve",
    "/v1/treasury/Payment/p1/__init__",
    "/v1/..%2f..%2ftokens", "/v1/tokens/../treasury/Payment/p1",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
async def test_a_path_is_what_it_says_or_nothing(door: Door, target: str) -> None:
    """No other spelling of a path leads to an entity or an action, and none is an error of the server."""
    await door.payment()
    for method in ("GET", "POST"):
        answer = await door.ask("cleo", method, target, {} if method == "POST" else None)
        assert 400 <= answer.status < 500, (method, target, answer.raw)
        assert answer.headers["content-type"] == "application/problem+json"
    assert door.taken() == [("p1", "Open", "cleo")]


OTHERS = ["GET", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "post"]


@pytest.mark.parametrize("method", OTHERS)
async def test_an_action_is_taken_by_post_alone(door: Door, method: str) -> None:
    await door.payment()
    answer = await door.ask("olaf", method, "/v1/treasury/Payment/p1/Approve")
    assert 400 <= answer.status < 500, answer.raw
    assert door.taken() == [("p1", "Open", "cleo")]


async def test_a_request_within_a_request_is_not_read(door: Door) -> None:
    """Two lengths, or a length and chunks: where one could end is not guessed, and the connection ends."""
    await door.payment()
    inner = (
        f"POST /v1/treasury/Payment/p1/Approve HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.tokens['olaf']}\r\n"
        "Content-Length: 2\r\n\r\n{}"
    )
    start = f"POST /v1/treasury/Payment/p1/Drop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.tokens['aude']}\r\n"
    for lengths in (
        f"Content-Length: 0\r\nContent-Length: {len(inner)}\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: +2\r\n",
    ):
        answer = await door.send(f"{start}{lengths}\r\n0\r\n\r\n{inner}".encode())
        assert 400 <= answer.status < 500, (lengths, answer.raw)
    assert door.taken() == [("p1", "Open", "cleo")]


@pytest.mark.parametrize("twice", ["Authorization", "Idempotency-Key", "If-Match", "Content-Type"])
async def test_a_header_that_stands_twice_is_not_chosen_from(door: Door, twice: str) -> None:
    await door.payment()
    value = f"Bearer {door.tokens['aude']}" if twice == "Authorization" else '"1"'
    second = (f"{twice}: {value}",) if twice in ("Authorization", "Content-Type") else (f"{twice}: a", f"{twice}: b")
    answer = await door.ask("olaf", "POST", "/v1/treasury/Payment/p1/Approve", {}, *second)
    assert answer.status == 400, answer.raw
    assert door.taken() == [("p1", "Open", "cleo")]


@pytest.mark.parametrize("id", ["../x", "a/b", "a\u0000b", "a\nb", "", " ", "x" * 2_000, "%2e%2e", "é\u202e"])
async def test_an_id_is_a_name_or_is_refused(door: Door, id: str) -> None:
    """One that is taken is found by its path, and by no other."""
    from urllib.parse import quote

    answer = await door.ask("cleo", "POST", "/v1/treasury/Payment", {**OPENED, "id": id})
    assert answer.status in (201, 400, 422), answer.raw
    if answer.status == 201 and id:
        found = await door.ask("cleo", "GET", f"/v1/treasury/Payment/{quote(id, safe='')}")
        assert (found.status, found.body["id"]) == (200, id)


async def test_an_answer_tells_browsers_to_keep_their_hands_off(door: Door) -> None:
    await door.payment()
    for who, target in (("cleo", "/v1/treasury/Payment/p1"), (None, "/v1/treasury/Payment/p1"), ("cleo", "/nowhere")):
        headers = (await door.ask(who, "GET", target, None, "Origin: https://evil.example")).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert not [name for name in headers if name.startswith("access-control-")]
        assert "server" not in headers
