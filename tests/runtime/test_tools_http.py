"""The `http` adapter against servers that listen on loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from temper.runtime.tools import Adapter, Answered, Attempt, Call, Failed, Kind, Unknown, load_tools
from temper.runtime.tools.http import target_of
from temper.runtime.tools.template import CannotFill, parse
from temper.runtime.vault import Vault

CANARY = "canary-7f/3a b9"  # It has what URLs and forms escape.


@dataclass(slots=True)
class Server:
    """A real HTTP server that answers as it is told, and remembers what it was asked."""

    port: int
    status: int = 200
    body: bytes = b'{"id": "T-1"}'
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    once: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # Statuses and headers to begin with.
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        target = scope["raw_path"].decode() + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        self.seen.append((request.method, target, dict(request.headers), await request.body()))
        self.asked.set()
        await asyncio.sleep(self.delay_s)
        status, headers = self.once.pop(0) if self.once else (self.status, self.headers)
        await Response(self.body, status, headers)(scope, receive, send)


class Stage:
    """A server that is there for the whole module, since uvicorn takes its time to end; each test has its own play."""

    def __init__(self, port: int) -> None:
        self.play = Server(port)
        self.taken = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.play(scope, receive, send)


STAGES: list[Stage] = []


@pytest.fixture(scope="module", autouse=True)
async def _stages() -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for _ in range(2):  # A redirect leads from one to another.
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stage = Stage(listener.getsockname()[1])
            config = uvicorn.Config(
                stage, lifespan="off", log_level="critical", http="h11", timeout_graceful_shutdown=0
            )
            server = uvicorn.Server(config)
            # `serve` takes over the process's signals. Who connects before it accepts waits in the listener's queue.
            running = asyncio.create_task(server._serve([listener]))
            stack.push_async_callback(asyncio.wait, {running})
            stack.callback(setattr, server, "should_exit", True)
            STAGES.append(stage)
        yield
    STAGES.clear()


@asynccontextmanager
async def serving(**answers: Any) -> AsyncIterator[Server]:
    stage = next(stage for stage in STAGES if not stage.taken)
    stage.play = Server(stage.play.port, **answers)
    stage.taken = True
    try:
        yield stage.play
    finally:
        stage.taken = False


@asynccontextmanager
async def raw(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """A server that does to a connection whatever `answer` does."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def adapter_for(
    port: int,
    binding: Mapping[str, Any],
    *,
    host: str = "127.0.0.1",
    resolve: Callable[[str, int], Awaitable[list[str]]] | None = None,
) -> AsyncIterator[Adapter]:
    settings = {
        "adapter": "http",
        "method": "POST",
        "url": f"http://{host}:{port}/",
        "egress": [f"{host}:{port}"],
        **{key: _with_port(value, port) for key, value in binding.items()},
    }
    options = {} if resolve is None else {"resolve": resolve}
    adapters, problems = load_tools({"tools": {"pager.page": settings}}, {}, Vault({"PAGER_TOKEN": CANARY}), **options)
    assert problems == []
    try:
        yield adapters["pager.page"]
    finally:
        await adapters["pager.page"].close()


def _with_port(value: Any, port: int) -> Any:
    match value:
        case str():
            return value.replace("PORT", str(port))
        case list():
            return [_with_port(one, port) for one in value]
        case _:
            return value


async def attempt(port: int, binding: Mapping[str, Any], timeout_ms: int = 5000, **args: Any) -> Attempt:
    async with adapter_for(port, binding) as adapter:
        return await adapter.call(Call("o-1", "pager.page", args, 1, timeout_ms))


def kind_of(answer: Attempt) -> str:
    """The outcome in a word: `answered`, `unknown`, or the failure's kind with `, again` if it may be tried again."""
    match answer:
        case Answered():
            return "answered"
        case Unknown():
            return "unknown"
        case Failed(kind, _, retry):
            return str(kind) + (", again" if retry else "")


# --- what goes out ----------------------------------------------------------------------------------------------------


async def test_a_request_carries_what_its_templates_say_and_the_orders_id() -> None:
    binding = {
        "url": "http://127.0.0.1:PORT/v1/{service}?q={text}&key={secret:PAGER_TOKEN}",
        "headers": {"Authorization": "Bearer {secret:PAGER_TOKEN}", "X-Order": "{order}"},
        "json": {"text": "{text}", "n": "{n}", "list": ["{n}", "n={n}"], "fixed": 1.5},
        "result": {"ticket": "id"},
    }
    async with serving() as server:
        answer = await attempt(server.port, binding, service="a/b?c#d", text="ä & ö", n=3)
    assert answer == Answered({"ticket": "T-1"})
    [(method, target, headers, body)] = server.seen
    assert method == "POST"
    assert target == "/v1/a%2Fb%3Fc%23d?q=%C3%A4%20%26%20%C3%B6&key=canary-7f/3a%20b9"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["idempotency-key"] == headers["x-order"] == "o-1"
    assert headers["authorization"] == f"Bearer {CANARY}"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"text": "ä & ö", "n": 3, "list": [3, "n=3"], "fixed": 1.5}


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ({"form": {"to": "{text}", "n": "{n}"}}, "application/x-www-form-urlencoded", b"to=a+%26+b&n=3"),
        ({"text": "says {text}"}, "text/plain; charset=utf-8", b"says a & b"),
        ({"json": "{n}", "headers": {"Content-Type": "application/vnd.x+json"}}, "application/vnd.x+json", b"3"),
        ({}, None, b""),
    ],
)
async def test_bodies(body: dict[str, Any], content_type: str | None, sent: bytes) -> None:
    async with serving() as server:
        assert await attempt(server.port, body, text="a & b", n=3) == Answered({})
    [(_, _, headers, found)] = server.seen
    assert (headers.get("content-type"), found) == (content_type, sent)


async def test_a_secret_in_an_argument_is_no_secret() -> None:
    async with serving() as server:
        await attempt(server.port, {"json": {"text": "{text}"}}, text="{secret:PAGER_TOKEN}")
    assert json.loads(server.seen[0][3]) == {"text": "{secret:PAGER_TOKEN}"}


@pytest.mark.parametrize(
    ("binding", "args"),
    [
        ({"url": "http://127.0.0.1:PORT/{x}/y"}, {}),
        ({"url": "http://127.0.0.1:PORT/{x}/y"}, {"x": ""}),
        ({"url": "http://127.0.0.1:PORT/{x}/y"}, {"x": None}),
        ({"url": "http://127.0.0.1:PORT/{x}/y"}, {"x": ".."}),
        ({"url": "http://127.0.0.1:PORT/{x}{x}/y"}, {"x": "."}),
        ({"url": "http://127.0.0.1:PORT/{x}"}, {"x": "\ud800"}),
        ({"headers": {"X": "{x}"}}, {"x": "a\r\nHost: evil"}),
        ({"headers": {"X": "{x}"}}, {"x": "ä"}),
        ({"json": {"x": "{x}"}}, {"x": "\ud800"}),
    ],
)
async def test_an_argument_that_may_not_stand_there_is_refused_and_nothing_is_sent(
    binding: dict[str, Any], args: dict[str, Any]
) -> None:
    async with serving() as server:
        assert kind_of(await attempt(server.port, binding, **args)) == "refused"
    assert server.seen == []


NASTY = st.text(st.one_of(st.sampled_from("/.:@?#&=%\\\r\n;[]"), st.characters(codec="utf-8")), min_size=1, max_size=12)
TEMPLATES = ("/a/{x}/b?q={x}&r=1", "/{x}", "/a/b-{x}.json", "/a?{x}", "/?u=http://{x}/")


@given(st.sampled_from(TEMPLATES), NASTY)
@example("/{x}", "../../etc/passwd")
@example("/{x}", "//evil.example")
@example("/{x}", "@evil.example")
@example("/{x}", "\r\nHost: evil.example")
@example("/a/{x}/b?q={x}&r=1", "%2e%2e")
@example("/?u=http://{x}/", "a&admin=1#")
def test_an_argument_is_one_piece_of_the_url_whatever_is_in_it(text: str, value: str) -> None:
    """Host, segments of the path and fields of the query are the template's, and the argument comes back whole."""
    template, problem = parse(text)
    assert problem is None
    try:
        target = target_of(template, Call("o-1", "a.b", {"x": value}, 1, 1000), Vault({}))
    except CannotFill:
        assert set(value) <= {"."}, "nothing else makes a path climb"
        return
    there = urlsplit(f"https://hooks.example.com:444{target}")
    plain = urlsplit(f"https://hooks.example.com:444{text.replace('{x}', 'X')}")
    assert (there.scheme, there.netloc, there.fragment) == ("https", "hooks.example.com:444", "")
    assert [unquote(part) for part in there.path.split("/")] == [
        part.replace("X", value) for part in plain.path.split("/")
    ]
    assert [[unquote(side) for side in each.split("=")] for each in there.query.split("&")] == [
        [side.replace("X", value) for side in each.split("=")] for each in plain.query.split("&")
    ]
    assert target.isascii() and target.isprintable() and " " not in target


async def test_two_calls_at_once_do_not_disturb_each_other() -> None:
    async with serving(delay_s=0.02) as server, adapter_for(server.port, {"json": "{n}"}) as adapter:
        calls = [Call(f"o-{n}", "pager.page", {"n": n}, 1, 5000) for n in range(10)]
        answers = await asyncio.gather(*(adapter.call(call) for call in calls))
    assert answers == [Answered({})] * 10
    assert sorted((headers["idempotency-key"], body) for _, _, headers, body in server.seen) == [
        (f"o-{n}", str(n).encode()) for n in range(10)
    ]


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "binding", "expected"),
    [
        (200, {}, "answered"),
        (204, {}, "answered"),
        (202, {"success": [200]}, "rejected"),
        (404, {"success": [200, 404]}, "answered"),
        (301, {}, "rejected"),
        (400, {}, "rejected"),
        (401, {}, "rejected"),
        (404, {}, "rejected"),
        (409, {}, "rejected"),
        (408, {}, "unavailable, again"),
        (429, {}, "unavailable, again"),
        (500, {}, "unavailable, again"),
        (503, {}, "unavailable, again"),
        (502, {}, "unknown"),
        (504, {}, "unknown"),
        (500, {"unknown": [500]}, "unknown"),
        (504, {"unknown": []}, "unavailable, again"),
        # Nothing can have happened.
        (504, {"method": "GET"}, "unavailable, again"),
    ],
)
async def test_statuses(status: int, binding: dict[str, Any], expected: str) -> None:
    async with serving(status=status, body=b"") as server:
        assert kind_of(await attempt(server.port, binding)) == expected
    assert len(server.seen) == 1


async def test_a_failure_says_what_the_tool_said() -> None:
    async with serving(status=422, body=b'{"error":\n "no such service"}') as server:
        answer = await attempt(server.port, {})
    text = f'POST http://127.0.0.1:{server.port}: 422 Unprocessable Entity: {{"error": "no such service"}}'
    assert answer == Failed(Kind.REJECTED, text, retry=False)


RESULT = {"result": {"ticket": "id"}}


@pytest.mark.parametrize(
    ("body", "binding", "expected"),
    [
        (b'{"id": 7}', RESULT, Answered({"ticket": 7})),
        (b'{"id": null}', RESULT, Answered({"ticket": None})),
        (b'{"id": 0.10}', RESULT, Answered({"ticket": "0.10"})),
        (b'{"id": [1.5, {"a": 2.50}]}', RESULT, Answered({"ticket": ["1.5", {"a": "2.50"}]})),
        (b'{"a": [{"b": "x"}]}', {"result": {"t": "a[0].b", "u": "c?"}}, Answered({"t": "x", "u": None})),
        (b"{}", RESULT, "bad_answer"),
        (b"[]", RESULT, "bad_answer"),
        (b"", RESULT, "bad_answer"),
        (b"<html>", RESULT, "bad_answer"),
        (b"\xff\xfe\x00", RESULT, "bad_answer"),
        (b'{"id": NaN}', RESULT, "bad_answer"),
        (b"[" * 100_000, RESULT, "bad_answer"),
        (b'{"id": ' + b"9" * 10_000 + b"}", RESULT, "bad_answer"),
        (b'{"id": "' + b"x" * 100 + b'"}', {**RESULT, "max_answer_bytes": 100}, "bad_answer"),
        # Who reads nothing of the answer does not mind its form.
        (b"<html>", {}, Answered({})),
        (b"x" * 200, {"max_answer_bytes": 100}, Answered({})),
    ],
)
async def test_answers(body: bytes, binding: dict[str, Any], expected: object) -> None:
    async with serving(body=body) as server:
        answer = await attempt(server.port, binding)
    assert (kind_of(answer) if isinstance(expected, str) else answer) == expected


async def test_an_answer_that_could_unpack_to_anything_is_not_unpacked() -> None:
    async with serving(headers={"Content-Encoding": "gzip"}) as server:
        assert kind_of(await attempt(server.port, RESULT)) == "bad_answer"
    assert server.seen[0][2]["accept-encoding"] == "identity"


# --- cut, late, gone --------------------------------------------------------------------------------------------------


async def _close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def _cut_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":')
    await writer.drain()


async def _talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"I am no web server\r\n\r\n")
    await writer.drain()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


@pytest.mark.parametrize("cut", [_close_at_once, _cut_in_the_middle, _talk_nonsense, _reset])
@pytest.mark.parametrize(
    ("method", "expected"), [("POST", "unknown"), ("DELETE", "unknown"), ("GET", "unavailable, again")]
)
async def test_an_answer_that_is_cut_off_leaves_it_open_what_happened(cut: Any, method: str, expected: str) -> None:
    async with raw(cut) as port:
        assert kind_of(await attempt(port, {**RESULT, "method": method})) == expected


async def test_no_answer_in_time_leaves_it_open_what_happened() -> None:
    async with serving(delay_s=5) as server:
        answer = await attempt(server.port, {}, timeout_ms=50)
    assert answer == Unknown(f"POST http://127.0.0.1:{server.port}: no answer in 50 ms")
    assert len(server.seen) == 1


@pytest.mark.parametrize(("method", "said"), [("POST", "answered"), ("GET", "unavailable, again")])
async def test_what_may_have_happened_is_listened_to_after_its_time(method: str, said: str) -> None:
    """While somebody wants to hear of it: nothing can have happened by a GET, which ends at its time-out."""
    async with serving(delay_s=0.4) as server, adapter_for(server.port, {"method": method}) as adapter:
        began = time.monotonic()
        answer = await adapter.call(Call("o-1", "pager.page", {}, 1, 100, late_ms=20_000))
        took = time.monotonic() - began
    assert kind_of(answer) == said
    assert (took < 0.35) == (method == "GET")


async def test_where_nobody_listens_nothing_has_happened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert kind_of(await attempt(port, {})) == "unavailable, again"


async def test_a_name_that_does_not_resolve_in_time_means_that_nothing_has_happened() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    async def unknown_name(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolve in (never, unknown_name):
        async with adapter_for(1, {}, host="pager.internal", resolve=resolve) as adapter:
            assert kind_of(await adapter.call(Call("o-1", "pager.page", {}, 1, 50))) == "unavailable, again"


async def test_a_handshake_that_fails_means_that_nothing_has_happened() -> None:
    async with serving() as server:
        answer = await attempt(server.port, {"url": "https://127.0.0.1:PORT/"})
    assert kind_of(answer) == "unavailable, again"


async def test_who_is_cancelled_says_nothing() -> None:
    async with serving(delay_s=5) as server, adapter_for(server.port, {}) as adapter:
        running = asyncio.create_task(adapter.call(Call("o-1", "pager.page", {}, 1, 5000)))
        await server.asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_what_a_library_throws_is_an_outcome_too() -> None:
    async def broken(host: str, port: int) -> list[str]:
        raise RuntimeError(f"with {CANARY} in it")

    binding = {"headers": {"Authorization": "{secret:PAGER_TOKEN}"}}
    async with adapter_for(1, binding, host="pager.internal", resolve=broken) as adapter:
        answer = await adapter.call(Call("o-1", "pager.page", {}, 1, 50))
    assert kind_of(answer) == "unavailable"
    assert CANARY not in repr(answer)


# --- where it may go --------------------------------------------------------------------------------------------------


async def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    """The name does not exist: without pinning, the connection would fail on a second look-up."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with serving() as server, adapter_for(server.port, {}, host="pager.internal", resolve=resolve) as adapter:
        assert await adapter.call(Call("o-1", "pager.page", {}, 1, 5000)) == Answered({})
    assert asked == ["pager.internal"]
    assert server.seen[0][2]["host"] == f"pager.internal:{server.port}"


async def test_a_public_name_that_leads_inside_is_refused() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with serving() as server, adapter_for(server.port, {}, host="hooks.example.com", resolve=resolve) as adapter:
        answer = await adapter.call(Call("o-1", "pager.page", {}, 1, 5000))
    assert kind_of(answer) == "refused"
    assert isinstance(answer, Failed)
    assert f"list `127.0.0.1:{server.port}` to allow it" in answer.text
    assert server.seen == []


async def test_the_next_address_is_tried_where_nobody_listens_at_the_first() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with serving() as server, adapter_for(server.port, {}, host="pager.internal", resolve=resolve) as adapter:
        assert await adapter.call(Call("o-1", "pager.page", {}, 1, 5000)) == Answered({})


KEY = (
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7B+2eNWm98wvbsxF3sD/Yh3GZ6hPdyPknmVyGneLIY+hRANCAAQo+jv37q0Af8q9sUuO"
    "EyVHj2HAAZ7EwLvgXfNxQYy48VcI0+XIdko4e/BL4JjDYEtcp5ZhQ+W/Hz2mZluNsd+5"
)
CERTIFICATE = (
    "MIIBnTCCAUSgAwIBAgIBBzAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA10b29sLmludGVybmFsMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAw"
    "WjAYMRYwFAYDVQQDDA10b29sLmludGVybmFsMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKPo79+6tAH/KvbFLjhMlR49hwAGexMC74F3zcUGMuPFX"
    "CNPlyHZKOHvwS+CYw2BLXKeWYUPlvx89pmZbjbHfuaN9MHswGAYDVR0RBBEwD4INdG9vbC5pbnRlcm5hbDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQW"
    "BBRtEjwhwma6qDfINfz2IDp7CsXIojAfBgNVHSMEGDAWgBRtEjwhwma6qDfINfz2IDp7CsXIojAOBgNVHQ8BAf8EBAMCAYYwCgYIKoZIzj0EAwIDRwAw"
    "RAIgNvUZYaR9WjHzMdKnwrzHXPmQZwGvtVfAWMwCg6k2Y8oCICly1C3HiwRVtGzidhQ/M3rO2YUA7KaJFEHPOLRhqAQI"
)


@pytest.mark.parametrize(
    ("host", "expected"), [("tool.internal", "answered"), ("other.internal", "unavailable, again")]
)
async def test_the_certificate_is_checked_against_the_name_though_the_address_is_dialled(
    host: str, expected: str, tmp_path: Path
) -> None:
    """The pair is for `tool.internal`, was made for this test, and is valid until 2120."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(ssl.DER_cert_to_PEM_cert(base64.b64decode(CERTIFICATE)))
    word = "PRIVATE KEY"
    key.write_text(f"-----BEGIN {word}-----\n{KEY}\n-----END {word}-----\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        binding = {"url": f"https://{host}:{port}/", "ca_file": str(certificate)}
        async with adapter_for(port, binding, host=host, resolve=resolve) as adapter:
            assert kind_of(await adapter.call(Call("o-1", "pager.page", {}, 1, 5000))) == expected


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving() as server:
        assert await attempt(server.port, {}) == Answered({})


# --- redirects --------------------------------------------------------------------------------------------------------


async def test_a_redirect_is_not_followed_unless_the_settings_say_so() -> None:
    async with serving(once=[(307, {"Location": "/there"})]) as server:
        answer = await attempt(server.port, {})
    assert kind_of(answer) == "rejected"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "sent_there"),
    [(307, ("POST", b'{"n": 1}')), (308, ("POST", b'{"n": 1}')), (303, ("GET", b"")), (302, ("GET", b""))],
)
async def test_a_redirect_is_followed_with_what_it_asks_for(status: int, sent_there: tuple[str, bytes]) -> None:
    async with serving(once=[(status, {"Location": "/there?x=1"})]) as server:
        binding = {"redirects": True, "json": {"n": 1}, "headers": {"Authorization": "{secret:PAGER_TOKEN}"}, **RESULT}
        assert await attempt(server.port, binding) == Answered({"ticket": "T-1"})
    method, target, headers, body = server.seen[1]
    assert (method, target, headers["authorization"]) == (sent_there[0], "/there?x=1", CANARY)
    assert body == sent_there[1]


async def test_the_settings_headers_do_not_follow_to_another_host() -> None:
    async with serving() as there, serving(once=[(307, {"Location": f"http://127.0.0.1:{there.port}/"})]) as here:
        binding = {
            "redirects": True,
            "headers": {"Authorization": "{secret:PAGER_TOKEN}"},
            "egress": ["127.0.0.1:PORT", f"127.0.0.1:{there.port}"],
        }
        assert await attempt(here.port, binding) == Answered({})
    assert "authorization" in here.seen[0][2]
    assert "authorization" not in there.seen[0][2]
    assert there.seen[0][2]["idempotency-key"] == "o-1"


@pytest.mark.parametrize(
    ("status", "location", "expected"),
    [
        (307, "http://127.0.0.1:1/", "refused"),
        (307, "http://169.254.169.254/latest/meta-data", "refused"),
        (307, "//elsewhere.example.com/", "refused"),
        (307, "ftp://127.0.0.1:PORT/", "refused"),
        (307, "http://user:pass@127.0.0.1:PORT/", "refused"),
        (307, "http://[/", "refused"),
        # 303 says that the POST was received: what became of it is not known.
        (303, "http://127.0.0.1:1/", "unknown"),
    ],
)
async def test_a_redirect_is_held_to_the_egress_list(status: int, location: str, expected: str) -> None:
    async with serving() as server:
        server.once = [(status, {"Location": _with_port(location, server.port)})]
        assert kind_of(await attempt(server.port, {"redirects": True})) == expected
    assert len(server.seen) == 1


async def test_a_circle_of_redirects_ends() -> None:
    async with serving(status=307, headers={"Location": "/"}) as server:
        assert kind_of(await attempt(server.port, {"redirects": True})) == "refused"
    assert len(server.seen) == 6


# --- secrets ----------------------------------------------------------------------------------------------------------


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with all that was sent, in the reason, a header and the body."""
    request = await reader.readuntil(b"\r\n\r\n")
    target = request.split(b" ")[1]
    secret = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"authorization"))
    status = b"200" if b"/fine" in target else b"400" if b"/bad" in target else b"307"
    body = json.dumps({"id": secret.decode(), "echo": request.decode()}).encode()
    head = b"HTTP/1.1 %s %s\r\nLocation: http://evil.example.com/%s\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % (status, secret, target, secret, len(body)) + body)
    await writer.drain()


async def _echo_and_cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"nonsense " + request)
    await writer.drain()


@pytest.mark.parametrize(
    ("answer", "path", "result", "expected"),
    [
        (_echo, "/fine", "id", "answered"),
        (_echo, "/fine", "nobody", "bad_answer"),
        (_echo, "/bad", "id", "rejected"),
        (_echo, "/turn", "id", "refused"),
        (_echo_and_cut, "/cut", "id", "unknown"),
        (_close_at_once, "/closed", "id", "unknown"),
        (None, "/nobody-listens", "id", "unavailable, again"),
    ],
)
async def test_a_secret_is_in_no_text_that_comes_out(
    answer: Any,
    path: str,
    result: str,
    expected: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The canary goes out in the path and in a header, the tool echoes it wherever it can, and all logging is on."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx2", "httpcore2", "httpcore2.connection", "httpcore2.http11"):
        caplog.set_level(logging.DEBUG, name)
    binding = {
        "url": f"http://127.0.0.1:PORT{path}/{{secret:PAGER_TOKEN}}?k={{secret:PAGER_TOKEN}}",
        "headers": {"Authorization": "Bearer {secret:PAGER_TOKEN}"},
        "form": {"token": "{secret:PAGER_TOKEN}"},
        "result": {"ticket": result},
        "redirects": True,
    }
    async with raw(answer or _close_at_once) as port:
        if answer is None:
            port = 1
        async with adapter_for(port, binding) as adapter:
            found = await adapter.call(Call("o-1", "pager.page", {}, 1, 5000))
            assert kind_of(found) == expected
            out = capfd.readouterr()
            texts = [repr(found), str(found), repr(adapter), repr(vars(adapter)), caplog.text, out.out, out.err]
    for form in (CANARY, "canary-7f/3a%20b9", "canary-7f%2F3a%20b9", "canary-7f%2F3a+b9", "canary"):
        assert [text for text in texts if form in text] == []
    if isinstance(found, Answered):
        assert found.value["ticket"].endswith("Bearer {secret:PAGER_TOKEN}")


async def test_a_signed_request_can_be_checked_by_who_has_the_secret() -> None:
    """The signature is over the time, the order and the body as it was sent; another host than the URL's gets none."""
    async with serving() as there, serving(status=307, headers={"location": f"http://127.0.0.1:{there.port}/"}) as here:
        binding = {
            "sign": "PAGER_TOKEN", "json": {"text": "{text}"}, "redirects": True,
            "egress": [f"127.0.0.1:{here.port}", f"127.0.0.1:{there.port}"],
        }  # fmt: skip
        async with adapter_for(here.port, binding) as adapter:
            await adapter.call(Call("order-1", "pager.page", {"text": "é"}, 1, 20_000))
        ((_, _, headers, body),) = here.seen
        ((_, _, elsewhere, _),) = there.seen
    text = f"{headers['temper-timestamp']}.{headers['temper-delivery']}.".encode() + body
    assert headers["temper-signature"] == "v1=" + hmac.new(CANARY.encode(), text, hashlib.sha256).hexdigest()
    assert headers["temper-delivery"] == headers["idempotency-key"] == "order-1"
    assert not [name for name in elsewhere if name.startswith("temper-")]
