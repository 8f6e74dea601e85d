"""The `mcp` adapter against real MCP servers, as a program and on loopback, and against some that are none."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from temper.runtime.tools import Answered, Attempt, Call, Declared, Failed, Kind, Unknown, load_tools
from temper.runtime.vault import Vault
from tests.house.tree import ROOT
from tests.runtime.mcp_server import server

CANARY = "canary-7f/3a b9"
RESULT = {"result": {"ticket": "id"}}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mcp") / "server"
    path.write_text(f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' -m tests.runtime.mcp_server \"$@\"\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


class Spoiled:
    """A real server, but that it answers a call with what the caller's header `X-Answer` says: a status and a body."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        told = next((value.decode() for name, value in scope.get("headers", ()) if name == b"x-answer"), "")
        if not told or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        message = await receive()
        if b'"tools/call"' not in message["body"]:
            waiting = [message]

            async def again() -> Any:
                return waiting.pop() if waiting else await receive()

            await self._app(scope, again, send)
            return
        status, _, body = told.partition(" ")
        body = body.replace('"id": 1', f'"id": {json.dumps(json.loads(message["body"])["id"])}')
        if status == "cut":
            head = [(b"content-type", b"application/json"), (b"content-length", b"100")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ConnectionError("and the connection is closed")
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": int(status), "headers": head})
        await send({"type": "http.response.body", "body": body.encode()})


@pytest.fixture(scope="module")
async def listening() -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Spoiled(server().streamable_http_app()), log_level="critical", timeout_graceful_shutdown=0)
    running = uvicorn.Server(config)
    task = asyncio.create_task(running._serve([listener]))
    yield listener.getsockname()[1]
    running.should_exit = True
    await task
    listener.close()


async def attempt(settings: dict[str, Any], timeout_ms: int = 20_000, path: str = "/bin/true", **args: Any) -> Attempt:
    bound = {"adapter": "mcp", **settings}
    everything = {"tools": {"tickets.open": bound}, "adapters": {"mcp": {"commands": {"it": path}}}}
    adapters, problems = load_tools(everything, {}, Vault({"TOKEN": CANARY}))
    assert problems == []
    adapter = adapters["tickets.open"]
    try:
        return await adapter.call(Call("o-1", "tickets.open", args, 1, timeout_ms))
    finally:
        await adapter.close()


@pytest.fixture(params=["command", "url"])
def ask(request: pytest.FixtureRequest, program: str, listening: int) -> Callable[..., Any]:
    """Ask the same server, in each of the two ways."""

    async def asked(
        tool: str, settings: dict[str, Any] | None = None, timeout_ms: int = 20_000, **args: Any
    ) -> Attempt:
        where: dict[str, Any] = {"command": "it"}
        if request.param == "url":
            where = {"url": f"http://127.0.0.1:{listening}/mcp", "egress": [f"127.0.0.1:{listening}"]}
        return await attempt({**where, "tool": tool, **(settings or {})}, timeout_ms, program, **args)

    return asked


TITLE = {"title": "a b"}


@pytest.mark.parametrize(
    ("tool", "settings", "args", "expected"),
    [
        ("structured", {"result": {"id": "id", "price": "price", "order": "seen.order", "title": "seen.title"}}, TITLE,
         Answered({"id": "T-1", "price": "1.5", "order": "o-1", "title": "a b"})),
        ("structured", {"arguments": {"title": "x {title} {order}"}, "result": {"title": "seen.title"}}, TITLE,
         Answered({"title": "x a b o-1"})),
        ("structured", {}, TITLE, Answered({})),
        ("text", {"result": {"said": "text"}}, TITLE, Answered({"said": "opened a b"})),
        ("json_text", RESULT, TITLE, Answered({"ticket": "a b"})),
        ("nothing", {}, {}, Answered({})),
        ("nothing", {"result": {"said": "text"}}, {}, Answered({"said": ""})),
        ("structured", {"result": {"ticket": "no.such"}}, TITLE, "bad_answer: the answer has no `no.such`, but `id`, "),
        ("text", RESULT, TITLE, "bad_answer: the answer has no `id`, but `text`: opened a b"),
        ("long", RESULT | {"max_answer_bytes": 100_000}, {}, "bad_answer: the answer is longer than 100000 bytes"),
        ("fails", RESULT, TITLE, "rejected: the tool failed: no such project: a b"),
        ("raises", RESULT, TITLE, "rejected: the tool failed: Error executing tool raises"),
        ("no_such", RESULT, TITLE, "rejected: the server says: there is no tool `no_such`"),
        ("structured", RESULT, {}, "rejected: the tool failed: "),
        ("structured", {"arguments": {"title": "{text}"}}, {}, "refused: the call has no argument `text`"),
    ],
)  # fmt: skip
async def test_what_comes_of_a_call(
    ask: Callable[..., Any], tool: str, settings: dict[str, Any], args: dict[str, Any], expected: Attempt | str
) -> None:
    answer = await ask(tool, settings, **args)
    if isinstance(expected, str):
        kind, _, text = expected.partition(": ")
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.retry) == (kind, False)
        assert text in answer.text
    else:
        assert answer == expected


def error(code: int) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": f"it says {CANARY}"}})


@pytest.mark.parametrize(
    ("answer", "expected", "reading"),
    [
        ("500 ", "unavailable, again", "unavailable, again"),
        ("503 ", "unavailable, again", "unavailable, again"),
        ("429 ", "unavailable, again", "unavailable, again"),
        ("502 ", "unknown", "unavailable, again"),
        ("504 ", "unknown", "unavailable, again"),
        ("401 ", "rejected", "rejected"),
        ("404 ", "rejected", "rejected"),
        (f"400 {error(-32602)}", "rejected", "rejected"),
        (f"200 {error(-32602)}", "rejected", "rejected"),
        (f"200 {error(-32603)}", "unavailable, again", "unavailable, again"),
        (f"200 {error(-31999)}", "rejected", "rejected"),
        (f"200 rubbish {CANARY}", "bad_answer", "bad_answer"),
        (f'200 {{"jsonrpc": "2.0", "id": 1, "result": {{"x": "{CANARY}"}}}}', "bad_answer", "bad_answer"),
        # It took the call, and says that it will not answer.
        ("202 ", "unknown", "unavailable, again"),
        ("cut ", "unknown", "unavailable, again"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reads", [False, True])
async def test_what_a_server_makes_of_a_call(
    listening: int, answer: str, expected: str, reading: str, *, reads: bool
) -> None:
    where = {"url": f"http://127.0.0.1:{listening}/mcp", "egress": [f"127.0.0.1:{listening}"]}
    told = answer.replace("{", "{{").replace("}", "}}").replace(CANARY, "{secret:TOKEN}").strip()
    headers = {"headers": {"X-Answer": told}}
    found = await attempt(
        {**where, **headers, "tool": "text", "reads": reads, "result": {"said": "text"}}, 5_000, title="a b"
    )
    assert CANARY not in str(found)
    match found:
        case Failed(kind, _, retry):
            assert kind + (", again" if retry else "") == (reading if reads else expected)
        case _:
            assert isinstance(found, Unknown)
            assert (reading if reads else expected) == "unknown"


@pytest.mark.parametrize("reads", [False, True])
async def test_no_answer_in_time_leaves_it_open_unless_it_only_reads(listening: int, *, reads: bool) -> None:
    where = {"url": f"http://127.0.0.1:{listening}/mcp", "egress": [f"127.0.0.1:{listening}"]}
    answer = await attempt({**where, "tool": "sleeps", "reads": reads}, 1_500)
    assert isinstance(answer, Failed if reads else Unknown)
    assert "no answer in 1500 ms" in answer.text
    assert not isinstance(answer, Failed) or (answer.kind, answer.retry) == (Kind.UNAVAILABLE, True)


async def test_a_command_that_does_not_begin_in_time_is_killed(tmp_path: Path) -> None:
    """What it has started holds a pipe that closes when it dies."""
    path, pipe = tmp_path / "silent", tmp_path / "pipe"
    os.mkfifo(pipe)
    path.write_text(f"#!/bin/sh\nexec 3> '{pipe}'\necho here >&3\nsleep 600 &\nwait\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_text))
    answer = await attempt({"command": "it", "tool": "x"}, 2_000, str(path))
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.retry) == (Kind.UNAVAILABLE, True)
    assert await asyncio.wait_for(reading, 10) == "here\n"


@pytest.mark.parametrize("where", ["command", "url"])
async def test_an_argument_that_is_no_text_is_refused(where: str) -> None:
    settings = {"command": "it"} if where == "command" else {"url": "http://127.0.0.1:1/", "egress": ["127.0.0.1:1"]}
    answer = await attempt({**settings, "tool": "x"}, to="\ud800")
    assert answer == Failed(Kind.REFUSED, "an argument can't be written as a call", retry=False)


async def test_a_server_that_dies_in_a_call_leaves_it_open(program: str) -> None:
    answer = await attempt({"command": "it", "tool": "dies"}, path=program)
    assert isinstance(answer, Unknown)


async def test_a_command_has_a_clean_environment_and_a_folder_of_its_own(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", "1")
    settings = {
        "command": "it", "tool": "structured", "args": ["--say", "hello, no message", "$HOME {secret:TOKEN}"],
        "environment": {"TOKEN": "t {secret:TOKEN}"},
        "result": {"env": "seen.env", "cwd": "seen.cwd", "argv": "seen.argv", "token": "seen.token"},
    }  # fmt: skip
    answer = await attempt(settings, path=program, title="x")
    assert isinstance(answer, Answered)
    assert not {"OUTSIDE", "USER"} & set(answer.value["env"])
    assert {"TEMPER_ORDER", "TOKEN", "HOME"} <= set(answer.value["env"])
    assert answer.value["argv"] == ["--say", "hello, no message", "$HOME {secret:TOKEN}"]
    assert answer.value["token"] == "t {secret:TOKEN}"
    assert answer.value["cwd"].startswith("/tmp/temper-")
    assert not await asyncio.to_thread(Path(answer.value["cwd"]).exists)


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({"args": ["--complain", "{secret:TOKEN}"]}, Kind.UNAVAILABLE, "--complain {secret:TOKEN}"),
        ({"args": ["{title}"]}, Kind.REFUSED, "the argument `title` would be an option"),
    ],
)
async def test_a_server_that_does_not_begin(program: str, settings: dict[str, Any], kind: Kind, text: str) -> None:
    answer = await attempt({"command": "it", "tool": "text", **settings}, path=program, title="--x")
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.retry) == (kind, kind == Kind.UNAVAILABLE)
    assert text in answer.text
    assert CANARY not in answer.text


# --- servers that are none --------------------------------------------------------------------------------------------


@asynccontextmanager
async def saying(head: str, body: str = "") -> AsyncIterator[tuple[int, list[str]]]:
    """A server that answers every request alike, and what it was asked."""
    asked: list[str] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], asked


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("500 Internal Server Error", CANARY),
        ("401 Unauthorized", CANARY),
        ("200 OK\r\nContent-Type: application/json", f'{{"x": "{CANARY}"}}'),
        ("200 OK\r\nContent-Type: text/html", f"<p>{CANARY}"),
        ("200 OK\r\nContent-Type: text/event-stream", f"data: {CANARY}\n\n"),
        ("202 Accepted", ""),
        (f"302 Found\r\nLocation: http://169.254.169.254/{CANARY.replace(' ', '+')}", ""),
    ],
)
async def test_what_is_no_mcp_server_is_a_failure_without_its_secrets(
    head: str, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing was called, so nothing has happened; where it points is not gone to."""
    caplog.set_level(logging.DEBUG)
    async with saying(head, body) as (port, asked):
        where = {"url": f"http://127.0.0.1:{port}/mcp", "egress": [f"127.0.0.1:{port}"]}
        answer = await attempt({**where, "tool": "x", "headers": {"Authorization": "Bearer {secret:TOKEN}"}}, 5_000)
    assert isinstance(answer, Failed)
    assert CANARY not in f"{answer}{caplog.text}"
    assert all(f"Bearer {CANARY}" in head for head in asked)
    assert asked != []


async def test_an_address_that_is_not_listed_is_not_asked() -> None:
    async with saying("200 OK") as (port, asked):

        async def resolve(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        bound = {"adapter": "mcp", "tool": "x", "url": f"http://mcp.example.com:{port}/"}
        adapters, problems = load_tools({"tools": {"a.b": bound}}, {}, Vault({}), resolve=resolve)
        assert problems == []
        answer = await adapters["a.b"].call(Call("o-1", "a.b", {}, 1, 5_000))
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.retry, asked) == (Kind.REFUSED, False, [])
    assert f"list `127.0.0.1:{port}` to allow it" in answer.text


async def test_where_nobody_listens_nothing_has_happened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    answer = await attempt({"tool": "x", "url": f"http://127.0.0.1:{port}/", "egress": [f"127.0.0.1:{port}"]}, 5_000)
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.retry) == (Kind.UNAVAILABLE, True)


# --- settings ---------------------------------------------------------------------------------------------------------

URL = {"url": "https://mcp.example.com/mcp", "tool": "x"}


@pytest.mark.parametrize(
    ("settings", "where", "text"),
    [
        ({"tool": "x"}, "", "it says neither or both of `command` and `url`"),
        ({**URL, "command": "it"}, "", "it says neither or both of `command` and `url`"),
        ({"command": "it"}, "", "`tool` is missing"),
        ({"command": "other", "tool": "x"}, ".command", "`other` is not allowed"),
        ({"command": "it", "tool": "x", "headers": {"A": "b"}}, ".headers", "there is no `url` for it"),
        ({"command": "it", "tool": "x", "args": ["{nobody}"]}, ".args[0]", "`nobody` is no parameter of `t.x`"),
        ({**URL, "args": ["x"]}, ".args", "there is no `command` for it"),
        ({**URL, "memory": 1}, ".memory", "there is no `command` for it"),
        ({**URL, "url": "https://{to}.example.com/"}, ".url", "a template can't decide the host"),
        ({**URL, "url": "http://127.0.0.1/"}, ".url", "`127.0.0.1` is not a public address"),
        ({**URL, "headers": {"Mcp-Session-Id": "x"}}, ".headers.Mcp-Session-Id", "`Mcp-Session-Id` can't be set here"),
        ({**URL, "arguments": {"x": "{secret:NO}"}}, ".arguments.x", "the secret `NO` is not in the environment"),
        ({**URL, "result": {"ticket": "["}}, ".result.ticket", "`[` is not a path"),
        ({**URL, "argument": {}}, ".argument", "unknown setting `argument`"),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_problems(settings: dict[str, Any], where: str, text: str) -> None:
    bound, shared = {"adapter": "mcp", **settings}, {"mcp": {"commands": {"it": "/bin/true"}}}
    _, problems = load_tools({"tools": {"t.x": bound}, "adapters": shared}, {"t.x": Declared(("to",))}, Vault({}))
    assert (f'tools."t.x"{where}', text) in [(each.where, each.text) for each in problems]


def test_without_a_tool_that_needs_it_the_library_is_not_imported() -> None:
    code = (
        "import sys\nfrom temper.runtime.tools import load_tools\nfrom temper.runtime.vault import Vault\n"
        "load_tools({'adapters': {'mcp': {'commands': {'it': '/bin/true'}}}}, {}, Vault({}))\n"
        "print('mcp' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_a_tool_whose_library_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.runtime.tools.mcp.find_spec", lambda _: None)
    _, (problem,) = load_tools({"tools": {"a.b": {"adapter": "mcp", **URL}}}, {}, Vault({}))
    assert (problem.where, problem.help) == ('tools."a.b".adapter', "install `temper[mcp]`")
