"""What one principal may hold open at once, over sockets: whoever takes all of it leaves places for others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from temper.cli.serving import _limits
from temper.service import Loaded, Person, Settings
from temper.web import Limits
from tests.web.fake import TOKEN, Fake
from tests.web.test_server import Running, running

STREAM = "GET /v1/lamp/events"
WAIT = "GET /v1/lamp/Lamp/l1/wait?until=false"
READ = "GET /v1/lamp/Lamp/l1"
ACT = "POST /v1/lamp/Lamp/l1/Switch"


class People(Fake):
    """A workshop where a token is its bearer's name; nothing happens in it that a stream or a wait would tell of."""

    def authenticate(self, token: str | None) -> Person:
        name = token or ""
        return Person(name, admin=name == "root", acts_for=name.partition("#")[0] if "#" in name else None)


@dataclass
class Callers:
    """Whoever calls, on connections that stay open until all is over."""

    server: Running
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def begins(self, who: str, what: str, body: str = "", length: int | None = None) -> asyncio.StreamReader:
        """Send a request, of whose body more may be announced than comes."""
        reader, writer = await self.server.connect()
        self.open.append(writer)
        size = len(body) if length is None else length
        head = f"{what} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {who}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {size}\r\n\r\n{body}".encode())
        return reader

    async def asks(self, who: str, what: str, body: str = "") -> tuple[int, dict[str, str], Any]:
        """Return a request's status, and where that is an error its headers and its problem."""
        reader = await self.begins(who, what, body)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        status = int(first.split()[1])
        problem = msgspec.json.decode(await reader.readexactly(int(headers["content-length"]))) if status > 299 else {}
        return status, headers, problem

    async def becomes(self, status: int, who: str, what: str) -> None:
        """Ask until the answer is that: that somebody has gone, or has come, is heard a moment later."""
        async with asyncio.timeout(5):
            while (await self.asks(who, what))[0] != status:
                pass

    def leaves(self, number: int) -> None:
        self.open[number].close()


@contextlib.asynccontextmanager
async def called(fake: Fake, **limits: int) -> AsyncIterator[Callers]:
    async with running(fake, Limits(drain_timeout=1.0, **limits)) as server:
        callers = Callers(server)
        try:
            yield callers
        finally:
            for writer in callers.open:
                writer.close()


async def test_who_holds_all_streams_that_one_may_leaves_places_for_others() -> None:
    async with called(People(), streams_each=2) as callers:
        assert [(await callers.asks(who, STREAM))[0] for who in ("ann", "ann#bot")] == [200, 200]
        status, headers, problem = await callers.asks("ann", STREAM)
        assert (status, headers["retry-after"]) == (429, "1")
        assert problem == {
            "type": "/problems/too-many",
            "title": "`ann` has as many streams open as a principal may",
            "status": 429,
            "detail": "2 at once, its agents counted with it",
            "help": "close one; a stream of the whole blueprint tells of each of its entities",
            "retry_after_ms": 1000,
        }
        assert (await callers.asks("ann#other", STREAM))[0] == 429, "a session has no share of its own"
        assert [(await callers.asks("bob", STREAM))[0] for _ in range(3)] == [200, 200, 429]
        assert [(await callers.asks("root", STREAM))[0] for _ in range(3)] == [200] * 3, "somebody has to get in"
        assert (await callers.asks("ann", READ))[0] == 200, "it is streams that ann has enough of"
        callers.leaves(0)
        await callers.becomes(200, "ann", STREAM)
        assert (await callers.asks("ann", STREAM))[0] == 429, "one has gone, one has come"


@pytest.mark.parametrize(
    ("what", "body", "length"), [(WAIT, "", None), (STREAM, "", None), (ACT, "{", 100), ("PUT /v1/lamp", "{", 100)]
)
async def test_waits_and_slow_bodies_of_one_leave_places_for_others(what: str, body: str, length: int | None) -> None:
    async with called(People(), requests_each=3) as callers:
        for who in ("ann", "ann#bot", "ann"):
            await callers.begins(who, what, body, length)
        await callers.becomes(429, "ann", READ)
        status, headers, problem = await callers.asks("ann#other", READ)
        assert (status, headers["retry-after"], problem["type"]) == (429, "1", "/problems/too-many")
        assert problem["title"] == "`ann` has as many requests open as a principal may"
        assert [(await callers.asks(who, READ))[0] for who in ("bob", "root")] == [200, 200]
        callers.leaves(0)
        await callers.becomes(200, "ann", READ)


async def test_what_has_been_answered_is_not_held_open() -> None:
    """Of each kind of answer, and of a POST that takes the short way, which a head that came twice does."""
    fake = Fake()
    async with called(fake, requests_each=1) as callers:
        for _ in range(5):
            for what, status in ((READ, 200), (f"{ACT}/no/such/path", 404), ("DELETE /v1", 405)):
                assert (await callers.asks(TOKEN, what))[0] == status
        reader, writer = await callers.server.connect()
        callers.open.append(writer)
        for _ in range(5):
            sent = f"{ACT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
            writer.write(f"{sent}Content-Length: 2\r\n\r\n{{}}".encode())
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().lower()
            assert head.startswith("http/1.1 200 ")
            await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        assert fake.short > 0


@pytest.mark.parametrize(
    ("limits", "requests", "streams"),
    [
        ({}, 1024, 500),
        ({"requests": 11_000, "streams": 10_001}, 5_500, 5_001),
        ({"requests_per_principal": 20, "streams_per_principal": 7}, 20, 7),
    ],
)
def test_the_settings_bound_what_one_holds_open(limits: dict[str, int], requests: int, streams: int) -> None:
    """Half of all where nothing is said, so that no one takes everything."""
    bounds = _limits(Loaded(msgspec.convert({"limits": limits}, Settings), Path()))
    assert (bounds.requests_each, bounds.streams_each) == (requests, streams)
