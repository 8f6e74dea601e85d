"""Clients that break the wire: lies about where a request ends, and sockets that are slow on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from temper.service import Declined, Workshop
from temper.web import Limits
from temper.web.ask import decode
from tests.service.shop import ADMIN
from tests.threats.treasury import OPENED, Door
from tests.web.test_server import running

# --- where a request ends ---------------------------------------------------------------------------------------------

REFUSED = {
    "a length and chunks": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "an encoding that is none": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two encodings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks and more": "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a hidden encoding": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a name with a blank": "X Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": "X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "a folded length": "Content-Length:\r\n 0\r\n\r\n",
    "a bare line feed": "X: a\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": "X: a\rContent-Length: 0\r\n\r\n",
    "a zero byte": "X: a\0\r\nContent-Length: 0\r\n\r\n",
    "no name": ": a\r\nContent-Length: 0\r\n\r\n",
    "two lengths": "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "the same length twice": "Content-Length: 2, 2\r\n\r\n{}",
    "less than nothing": "Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": "Content-Length: 0x2\r\n\r\n{}",
    "no length": "Content-Length: \r\n\r\n",
    "a length that overflows": "Content-Length: 18446744073709551616\r\n\r\n",
    "a chunk that is longer than it says": "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk that is shorter than it says": "Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n0\r\n\r\n",
    "a chunk of less than nothing": "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk that overflows": "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a chunk with 0x": "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk and a bare line feed": "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "an extension with a bare line feed": "Transfer-Encoding: chunked\r\n\r\n2;\n{}\r\n0\r\n\r\n",
    "trailers that say who calls": "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("lie", REFUSED)
async def test_a_lie_about_where_a_request_ends_is_refused_and_nothing_behind_it_is_read(door: Door, lie: str) -> None:
    """A proxy may read it in another way: what it would take for a body is no request here, and the connection ends."""
    await door.payment()
    head = "POST /v1/treasury/Payment/p1/Drop HTTP/1.1\r\nHost: x\r\n"
    outer = f"{head}Authorization: Bearer {door.tokens['cleo']}\r\n{REFUSED[lie]}"
    answers = await told(door, outer.encode("latin-1") + approve(door))
    assert answers == [400]
    assert door.taken() == [("p1", "Open", "cleo")]


def test_names_without_end_that_stand_once_cost_no_more_than_their_length() -> None:
    """Nested, and the last of them twice: what looks for it goes through them once."""
    names = [f'"n{number}":{{}}' for number in range(60_000)]
    body = ("{" + ",".join([*names, names[-1]]) + "}").encode()
    began = time.process_time()
    with pytest.raises(Declined, match="`n59999` stands twice"):
        decode(body, msgspec.json.Decoder(dict[str, Any]))
    assert time.process_time() - began < 1.0


READ_ONCE = {
    "after a close": "GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAUTH\r\n\r\n",
    "in a body": "GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAUTH\r\nContent-Length: LENGTH\r\n\r\n",
    "after an upgrade": "GET /v1/me HTTP/1.1\r\nHost: x\r\nAUTH\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "after one of HTTP/2": "GET /v1/me HTTP/1.1\r\nHost: x\r\nAUTH\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
}


@pytest.mark.parametrize("where", READ_ONCE)
async def test_what_stands_behind_the_last_request_is_none(
    door: Door, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    await door.payment()
    hidden = approve(door)
    outer = READ_ONCE[where].replace("AUTH", f"Authorization: Bearer {door.tokens['cleo']}")
    answers = await told(door, outer.replace("LENGTH", str(len(hidden))).encode() + hidden)
    assert answers == [200]
    assert door.taken() == [("p1", "Open", "cleo")]
    assert "pip install" not in caplog.text


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.10\r\nHost: x\r\n\r\n", 400),
        (b"GET\t/healthz\tHTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT inside:80 HTTP/1.1\r\nHost: inside:80\r\n\r\n", 400),
        (b"POST /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x/../y\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x@y\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: [::1]:8420\r\nConnection: close\r\n\r\n", 200),
        # Whoever it is sent to, by its own words, it is this server that is asked.
        (b"GET http://inside.example/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        (b"GET http://a:b@inside.example/nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 401),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 401),
    ],
)
async def test_a_first_line_is_one_of_http_1_and_names_nobody_else(door: Door, sent: bytes, status: int) -> None:
    assert await told(door, sent) == [status]


@pytest.mark.parametrize(
    "query",
    [
        "?" + "&".join("limit=1" for _ in range(1000)), "?limit=1&limit=2", "?filter=" + "a" * 20_000, "?filter=%00",
        "?filter=%ff", "?filter=%ED%A0%80", "?__proto__=1", "?limit=" + "9" * 5_000, "?limit=%D9%A1", "?limit=1e3",
        "?cursor=" + "A" * 9_000,
    ],
)  # fmt: skip
async def test_a_query_that_can_not_be_meant_is_refused(door: Door, query: str) -> None:
    answer = await door.ask("cleo", "GET", f"/v1/treasury/Payment{query}")
    assert (answer.status in (400, 422), answer.headers["content-type"]) == (True, "application/problem+json")


BODIES = [
    '{"to": "a", "amount": 1, "amount": 999999, "secret": false}',
    '{"to": "a", "amount": 1e400, "secret": false}', '{"to": "a", "amount": 18446744073709551617, "secret": false}',
    '{"to": "a", "amount": "1", "secret": false}',
     '{"to": "\\ud800", "amount": 1, "secret": false}',
    '{"to": "a", "amount": 1, "secret": 0}', '{"t\\u006f": "a", "to": "b", "amount": 1, "secret": false}',
    '{"to": "a", "\u0430mount": 1, "amount": 1, "secret": false}', '{"to": "a", "amount": -0, "secret": false}',
    '{"to": "a", "amount": 1, "secret": false}{}', '\ufeff{"to": "a", "amount": 1, "secret": false}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
async def test_a_body_says_one_thing_or_is_refused(door: Door, body: str) -> None:
    """Two readers could take it for two things: names that stand twice, numbers and letters that look alike."""
    sent = body.encode("utf-8")
    lines = [
        "POST /v1/treasury/Payment HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json",
        f"Authorization: Bearer {door.tokens['cleo']}", f"Content-Length: {len(sent)}",
    ]  # fmt: skip
    answer = await door.send("\r\n".join((*lines, "", "")).encode() + sent)
    assert answer.status in (400, 422), answer.raw
    assert door.taken() == []


# --- who is slow on purpose -------------------------------------------------------------------------------------------


@asynccontextmanager
async def slowly(vault: Workshop, **limits: Any) -> AsyncIterator[Door]:
    async with running(vault, Limits(drain_timeout=1.0, **limits)) as server:
        yield await Door.of(vault, server)


async def test_heads_and_bodies_that_come_byte_by_byte_end(vault: Workshop) -> None:
    """A byte now and then does not make it longer: it is the whole that has to be there in time."""
    async with slowly(vault, head_timeout=0.6, body_timeout=0.6, hook_timeout=0.6) as door:
        bearer = f"Authorization: Bearer {door.tokens['cleo']}\r\n".encode()
        head = b"POST /v1/treasury/Payment HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n"
        hook = b"POST /hooks/none HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"
        began = time.monotonic()
        ends = await asyncio.gather(
            _dripping(door, b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
            _dripping(door, head + bearer + b"\r\n", b"x"),
            _dripping(door, hook, b"x"),
            _dripping(door, b"POST /v1/treasury/Payment HTTP/1.1\r\nHost: x\r\n" + bearer, b"A"),
            _dripping(
                door,
                b"POST /v1/treasury/Payment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + bearer + b"\r\n",
                b"1\r\nx\r\n",
            ),
        )
        assert time.monotonic() - began < 8
    # Who goes on sending may be cut off before the answer is read; nobody gets another one.
    assert {end[:12] for end in ends} <= {b"", b"HTTP/1.1 408"}


async def _dripping(door: Door, start: bytes, drop: bytes) -> bytes:
    """Send drop by drop until the connection ends, and return what came."""
    reader, writer = await door.server.connect()
    writer.write(start)
    answer = asyncio.create_task(reader.read())
    try:
        for _ in range(200):
            done, _ = await asyncio.wait({answer}, timeout=0.05)
            if done:
                break
            writer.write(drop)
        return await asyncio.wait_for(answer, 1)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("how", ["a stream", "answers"])
async def test_who_does_not_read_is_cut_off(vault: Workshop, how: str) -> None:
    """A client that has answers or a stream sent to it, and takes none of it, holds neither memory nor its place."""
    async with slowly(vault, unread_max=0.5) as door:
        loop = asyncio.get_running_loop()
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stuck.setblocking(False)
            await loop.sock_connect(stuck, ("127.0.0.1", door.server.port))
            bearer = f"Host: x\r\nAuthorization: Bearer {door.tokens['olaf']}\r\n\r\n"
            if how == "a stream":
                await loop.sock_sendall(stuck, f"GET /v1/treasury/events HTTP/1.1\r\n{bearer}".encode())
                await asyncio.sleep(0.05)
                await _many(door)
            else:
                asked = f"GET /v1/treasury/openapi.json HTTP/1.1\r\n{bearer}".encode() * 200
                await loop.sock_sendall(stuck, asked)
            await asyncio.sleep(1.5)
            got = b""
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionResetError):
                    while piece := await loop.sock_recv(stuck, 1 << 20):
                        got += piece
        # What the system had taken for it is there to be read, and the rest of it is not.
        assert 0 < len(re.findall(rb"^HTTP/1.1 200 |^id: ", got, re.MULTILINE)) < (1_500 if how == "a stream" else 200)
        answer = await door.ask("cleo", "GET", "/v1/treasury/Payment")
        assert answer.status == 200


async def _many(door: Door) -> None:
    """Have so much happen that no buffer holds the news of it."""
    reader, writer = await door.server.connect()
    body = json.dumps({**OPENED, "to": "x" * 900}).encode()
    head = (
        f"POST /v1/treasury/Payment HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.tokens['cleo']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    reading = asyncio.create_task(_counted(reader, 1_500))
    for _ in range(1_500):
        writer.write(head.encode() + body)
        await writer.drain()
    await asyncio.wait_for(reading, 30)
    writer.close()


async def _counted(reader: asyncio.StreamReader, answers: int) -> None:
    for _ in range(answers):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))


async def test_requests_on_one_connection_are_paced_each(vault: Workshop) -> None:
    """Pipelined, they are as many as they are; who has sent too many of them is told for each."""
    async with slowly(vault, rate_max=5, rate_per=3600.0) as door:
        one = f"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.tokens['cleo']}\r\n"
        sent = f"{one}\r\n" * 19 + f"{one}Connection: close\r\n\r\n"
        assert await told(door, sent.encode()) == [200] * 5 + [429] * 15


# --- helpers ----------------------------------------------------------------------------------------------------------


def approve(door: Door) -> bytes:
    """A request that would do harm, for whoever reads it."""
    return (
        f"POST /v1/treasury/Payment/p1/Approve HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.tokens['olaf']}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    ).encode()


async def told(door: Door, sent: bytes) -> list[int]:
    """Return the status of each answer, up to the connection's end."""
    reader, writer = await door.server.connect()
    writer.write(sent)
    whole = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", whole)]


async def test_the_request_that_does_harm_does_it_where_it_is_read(door: Door) -> None:
    """Or the tests above would show nothing."""
    await door.payment()
    assert await told(door, approve(door)) == [200]
    assert door.taken()[-1] == ("p1", "Approve", "olaf")
    assert (await door.vault.read(ADMIN, "treasury", "Payment", "p1")).state == "Approved"
