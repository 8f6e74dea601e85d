"""Heads that came before are known by their bytes, and what takes the short way is answered like all else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.service import Declined, Person, wire
from temper.web import Limits
from temper.web.ask import READ
from temper.web.heads import HEADS_MAX, Heads
from tests.web.fake import ACTED, ANN, TOKEN, Fake
from tests.web.test_server import Running, refuses, running

LINES = b"\r\nhost: x\r\nauthorization: Bearer t\r\ncontent-length: 2"


def post(target: str, lines: bytes = LINES, body: bytes = b"{}") -> bytes:
    return b"POST " + target.encode() + b" HTTP/1.1" + lines + b"\r\n\r\n" + body


class Parsed:
    """What the server's parser says of bytes: the headers, and whether one request is all that they are."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.whole = 0
        try:
            httptools.HttpRequestParser(self).feed_data(data)
        except httptools.HttpParserError:
            self.whole = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.whole += 1


def learnt(data: bytes) -> Heads:
    heads, parsed = Heads(READ), Parsed(data)
    if parsed.whole == 1:
        heads.learn(data, parsed.headers)
    return heads


def test_a_head_that_was_learnt_is_known_before_another_path() -> None:
    heads = learnt(post("/a"))
    found = heads.find(post("/v1/lamp/Lamp/l1/Switch", body=b"[]"))
    assert found is not None
    target, head, body = found
    assert (target, body) == (b"/v1/lamp/Lamp/l1/Switch", b"[]")
    assert head.headers == {b"authorization": b"Bearer t", b"content-length": b"2"}


@pytest.mark.parametrize(
    "sent",
    [
        post("/a", LINES.replace(b"t\r\n", b"u\r\n")),  # another head
        post("/a", body=b"{"),  # not all of it
        post("/a") + b"POST",  # the next one has begun
        post("/a?b=c"),
        post("/a%20b"),
        post("/a b"),
        post("a"),
        post("/a").replace(b"POST", b"PUT"),
        post("/a").replace(b"1.1", b"1.0"),
        post("/a")[:20],
        b"",
    ],
)
def test_what_is_not_known_is_left_to_the_parser(sent: bytes) -> None:
    assert learnt(post("/a")).find(sent) is None


@pytest.mark.parametrize(
    "lines",
    [
        b"\r\nhost: x",  # no length
        LINES + b"\r\nconnection: close",
        LINES + b"\r\nexpect: 100-continue",
        LINES + b"\r\nauthorization: Bearer u",  # the door declines it
        LINES + b"\r\nx-long: " + b"x" * 3_000,
        b"\r\nhost: x\r\ntransfer-encoding: chunked",
    ],
)
def test_what_needs_a_look_each_time_is_not_learnt(lines: bytes) -> None:
    body = b"0\r\n\r\n" if b"chunked" in lines else b"" if b"length" not in lines else b"{}"
    sent = post("/a", lines, body)
    assert Parsed(sent).whole <= 1
    assert learnt(sent).find(sent) is None


def test_heads_are_kept_within_a_bound() -> None:
    heads = Heads(READ)
    for number in range(HEADS_MAX + 1):
        sent = post("/a", LINES + b"\r\nx-number: %d" % number)
        heads.learn(sent, Parsed(sent).headers)
    assert heads.find(post("/a", LINES + b"\r\nx-number: 0")) is None
    assert heads.find(post("/a", LINES + b"\r\nx-number: %d" % HEADS_MAX)) is not None


PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b": ", b":", b" ", b"\t", b"host: x", b"content-length: 2", b"x", b"{}", b"a: b", b"\xff"]
)


@given(st.lists(PIECES, max_size=12), st.sampled_from([b"{}", b"x{}", b"\r\n"]))
def test_what_is_found_is_what_the_parser_would_have_read(pieces: list[bytes], body: bytes) -> None:
    """The law: whatever lines were learnt, a request with them is read as the parser reads it."""
    lines = LINES + b"".join(pieces)
    heads = learnt(post("/a", lines, body))
    sent = post("/v1/lamp/Lamp", lines, body)
    found = heads.find(sent)
    if found is not None:
        parsed = Parsed(sent)
        assert parsed.whole == 1
        told = dict(parsed.headers)
        assert int(told[b"content-length"]) == len(found[2]) == found[1].length
        assert all(told[name] == value for name, value in found[1].headers.items())


# --- over a socket ----------------------------------------------------------------------------------------------------


async def ask(server: Running, *requests: bytes) -> list[tuple[bytes, bytes]]:
    """Send requests one after the other on one connection; return the answers' heads, without dates, and bodies."""
    reader, writer = await server.connect()
    answers = []
    for each in requests:
        writer.write(each)
        answers.append(await answer(reader))
    writer.close()
    return answers


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"date: ")]
    assert len(lines) == head.count(b"\r\n"), "each answer has one date"
    length = next(int(line[16:]) for line in lines if line.startswith(b"content-length: "))
    return b"\r\n".join(lines), await reader.readexactly(length)


def to(target: str, body: bytes = b"{}", token: str = TOKEN, *more: str) -> bytes:
    head = [f"POST {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", f"Content-Length: {len(body)}"]
    return "\r\n".join((*head, *more, "", "")).encode() + body


ACT = "/v1/lamp/Lamp/l1/Switch"
AGAIN = msgspec.structs.replace(ACTED, replayed=True)
REFUSED = Declined(wire.Problem(type="refused", title="the action was refused", status=409, detail="no"))


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (to(ACT), {}),
        (to("/v1/lamp/Lamp"), {}),
        (to(ACT, b'{"watts": 3}'), {}),
        (to(ACT, b""), {}),
        (to(ACT, b"{}", TOKEN, 'If-Match: "3"', "Idempotency-Key: k"), {}),
        (to("/v1/lamp/Lamp", b"{}", TOKEN, "Idempotency-Key: k"), {"create": AGAIN}),
        # All ways to be told no.
        (to(ACT, b"{"), {}),
        (to(ACT, b"[]"), {}),
        (to(ACT, b"{}", "temper_2_other"), {}),
        (to(ACT, b"{}", TOKEN, "If-Match: x"), {}),
        (to(ACT, b"{}", TOKEN, "Content-Type: text/plain"), {}),
        (to(ACT), {"act": REFUSED}),
        (to(ACT), {"act": RuntimeError("a bug")}),
        (to("/v1/lamp/Lamp/l1/history"), {}),
        (to("/v1/nothing"), {}),
        (to(ACT, b" " * 200), {}),
    ],
)  # fmt: skip
async def test_the_short_way_answers_as_the_long_one(sent: bytes, says: dict[str, Any]) -> None:
    """The first two go to the parser, which learns from the second; the third goes the short way, if it is for it."""
    fake = Fake(says=says)
    async with running(fake, Limits(body_max=100)) as server:
        reader, writer = await server.connect()
        answers = []
        for _ in range(3):
            writer.write(sent)
            head, body = await answer(reader)
            answers.append((head, body.partition(b"urn:uuid:")[0]))
            if b"connection: close" in head:
                writer.close()
                reader, writer = await server.connect()
        writer.close()
    assert answers[0] == answers[1] == answers[2]
    asked = [each for each in fake.asked if each[0] in {"act", "create"}]
    for each in asked:
        each[-1].pop("dry_run", None)
    assert all(each == asked[0] for each in asked)
    assert fake.short == (len(asked) == 3)


async def test_a_head_is_known_to_each_connection() -> None:
    fake = Fake()
    async with running(fake) as server:
        await ask(server, to(ACT), to(ACT))
        await ask(server, to("/v1/lamp/Lamp"))
    assert [each[0] for each in fake.asked] == ["act", "act", "create"]
    assert fake.short == 1


class Slow(Fake):
    """What takes the short way is answered when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []
        self.come = asyncio.Event()

    def begin_act(self, *asked: Any, then: Any, **named: Any) -> None:
        self.waiting.append(lambda: then(ACTED))
        self.come.set()


async def warmed(server: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection whose head is known."""
    reader, writer = await server.connect()
    for _ in range(2):
        writer.write(to(ACT))
        await answer(reader)
    return reader, writer


async def test_what_comes_meanwhile_is_answered_in_its_turn() -> None:
    slow = Slow()
    async with running(slow) as server:
        reader, writer = await warmed(server)
        writer.write(to(ACT))
        await slow.come.wait()
        writer.write(to("/v1/lamp/Lamp") + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await ask(server, to("/v1/lamp/Lamp"))  # it has been received by now
        slow.waiting.pop()()
        assert [(await answer(reader))[0].split()[1] for _ in range(3)] == [b"200", b"201", b"200"]
        writer.close()


async def test_a_request_on_the_short_way_finishes_when_the_server_stops() -> None:
    slow = Slow()
    async with running(slow) as server:
        reader, writer = await warmed(server)
        writer.write(to(ACT))
        await slow.come.wait()
        server.stop.set()
        await asyncio.wait_for(refuses(server), 10)
        slow.waiting.pop()()
        head, _ = await answer(reader)
        assert b"\r\nconnection: close\r\n" in head
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await asyncio.wait_for(server.task, 10)


async def test_nobody_is_answered_who_has_gone() -> None:
    slow = Slow()
    async with running(slow) as server:
        _, writer = await warmed(server)
        writer.write(to(ACT))
        await slow.come.wait()
        writer.transport.abort()
        await ask(server, to("/v1/lamp/Lamp"))
        slow.waiting.pop()()
        assert [head.split()[1] for head, _ in await ask(server, to("/v1/lamp/Lamp"))] == [b"201"]


async def test_who_bears_a_token_is_asked_again_for_what_comes_later() -> None:
    """A token that was revoked between two requests is not taken for good."""

    class Revoking(Fake):
        good = True

        def authenticate(self, token: str | None) -> Person:
            if not self.good:
                raise Declined(wire.Problem(type="unauthenticated", title="who calls is not known", status=401))
            return ANN

    fake = Revoking()
    async with running(fake) as server:
        reader, writer = await warmed(server)
        writer.write(to(ACT))
        await answer(reader)
        fake.good = False
        writer.write(to(ACT))
        assert (await answer(reader))[0].split()[1] == b"401"
        writer.close()
    assert fake.short == 1


async def test_too_many_at_once_are_told_so_on_the_short_way() -> None:
    slow = Slow()
    async with running(slow, Limits(requests_max=1)) as server:
        reader, writer = await warmed(server)
        writer.write(to(ACT))
        await slow.come.wait()
        ((head, body),) = await ask(server, to(ACT))
        assert (head.split()[1], msgspec.json.decode(body)["type"]) == (b"503", "/problems/busy")
        slow.waiting.pop()()
        await answer(reader)
        assert [head.split()[1] for head, _ in await ask(server, to("/v1/lamp/Lamp"))] == [b"201"]
        writer.close()
