"""The door on a socket: bounds on what comes in, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest

from temper.service import Workshop
from temper.web import Limits, serve
from temper.web.server import _listen
from tests.web.fake import ACTED, TOKEN, Fake


@dataclass
class Running:
    """A server that runs on a port that the system chose."""

    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]
    pieces: list[bytes] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def raw(self, sent: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are, and return the answer until the connection's end."""
        reader, writer = await self.connect()
        writer.write(sent)
        whole = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        head, _, body = whole.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


@contextlib.asynccontextmanager
async def running(workshop: Any, limits: Limits | None = None, **options: Any) -> AsyncIterator[Running]:
    """Serve `workshop` for as long as the block runs."""
    ready: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(
        serve(
            cast("Workshop", workshop),
            "127.0.0.1",
            0,
            limits=limits,
            on_ready=lambda host, port: ready.set_result((host, port)),
            stop=stop,
            **{"signals": False, **options},
        )
    )
    task.add_done_callback(lambda ended: ready.done() or ready.cancel())
    host, port = await asyncio.wait_for(ready, 10)
    assert (host, port > 0) == ("127.0.0.1", True)
    try:
        yield Running(port, stop, task)
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


def request(method: str, target: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


CLOSE = "Connection: close"


async def test_an_answer_over_a_socket() -> None:
    """With a date and a length, and without a word on which software it is."""
    async with running(Fake()) as server:
        status, headers, body = await server.raw(request("GET", "/v1/lamp/Lamp/l1", b"", CLOSE))
        assert (status, msgspec.json.decode(body)["id"]) == (200, "l1")
        assert "date" in headers and "server" not in headers
        assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"nonsense\r\n\r\n", 400, "bad-request"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400, "bad-request"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "bad-request"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", 414, "too-large"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 9000 + b"\r\n", 431, "too-large"),
        # One header that does not end is seen too.
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 80_000, 431, "too-large"),
    ],
    ids=["no HTTP", "no ASCII", "no length", "long path", "many headers", "endless header"],
)
async def test_a_head_that_cant_be_taken_is_a_problem_and_the_end(sent: bytes, status: int, kind: str) -> None:
    """One row, one head: the problem that it gets before the connection is closed."""
    async with running(Fake()) as server:
        got, headers, body = await server.raw(sent)
        assert (got, headers["connection"]) == (status, "close")
        assert headers["content-type"] == "application/problem+json"
        assert msgspec.json.decode(body)["type"] == f"/problems/{kind}"


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    """The connection ends, be it new or one that has served a request."""
    async with running(Fake(), Limits(head_timeout=0.05)) as server:
        for first in (b"", request("GET", "/healthz")):
            reader, writer = await server.connect()
            writer.write(first)
            if first:
                await reader.readuntil(b"}")
            writer.write(b"GET / HT")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()


class Slow(Fake):
    """An action takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def act(self, *asked: Any, **named: Any) -> Any:
        self.begun.set()
        await self.go.wait()
        return ACTED


async def test_a_request_in_flight_finishes() -> None:
    """It is answered after the server was told to stop; a new connection is not taken any more."""
    slow = Slow()
    async with running(slow) as server:
        answer = asyncio.create_task(server.raw(request("POST", "/v1/lamp/Lamp/l1/Switch")))
        await slow.begun.wait()
        server.stop.set()
        await asyncio.wait_for(refuses(server), 10)
        assert not server.task.done()
        slow.go.set()
        status, headers, body = await asyncio.wait_for(answer, 10)
        assert (status, headers["connection"]) == (200, "close")
        assert msgspec.json.decode(body)["action"] == "Switch"
        await asyncio.wait_for(server.task, 10)


async def refuses(server: Running) -> None:
    """Return once nobody is let in any more."""
    # Whoever knocks while the door shuts is let go of without an answer.
    with contextlib.suppress(OSError):
        while True:
            reader, writer = await server.connect()
            try:
                await reader.read()
            finally:
                writer.close()


async def test_a_stream_ends_when_the_server_stops() -> None:
    """In order: the last chunk is sent, and the server does not wait for its readers."""
    async with running(Fake()) as server:
        reader, writer = await server.connect()
        writer.write(request("GET", "/v1/lamp/events"))
        await reader.readuntil(b"retry")
        server.stop.set()
        rest = await asyncio.wait_for(reader.read(), 10)
        assert rest.endswith(b"0\r\n\r\n")
        await asyncio.wait_for(server.task, 10)
        writer.close()


async def test_what_does_not_finish_is_cut_off_in_the_end() -> None:
    """A server stops within its bound, whatever hangs in it."""
    slow = Slow()
    async with running(slow, Limits(drain_timeout=1)) as server:
        answer = asyncio.create_task(server.raw(request("POST", "/v1/lamp/Lamp/l1/Switch")))
        await slow.begun.wait()
        server.stop.set()
        await asyncio.wait_for(server.task, 10)
        answer.cancel()


async def test_a_signal_stops_the_server_and_not_the_process() -> None:
    """`serve` returns, so that the workshop can be closed."""
    before = signal.getsignal(signal.SIGTERM)
    async with running(Fake(), signals=True) as server:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(server.task, 10)
    assert signal.getsignal(signal.SIGTERM) == before


async def test_small_answers_are_not_held_back() -> None:
    """A loop turns Nagle's algorithm off for what it knows to be TCP; each answer would else wait 40 ms."""
    listener = await _listen("127.0.0.1", 0)
    assert listener.proto == socket.IPPROTO_TCP
    listener.close()


async def test_a_port_that_is_taken_is_an_error_for_the_caller() -> None:
    """Not the end of the process, which is what uvicorn would make of it."""
    async with running(Fake()) as server:
        with pytest.raises(OSError, match="in use"):
            await serve(cast("Workshop", Fake()), "127.0.0.1", server.port, signals=False)
