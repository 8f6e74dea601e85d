"""One session with an MCP server, by the official client: begin it, look for the tool, call it, end it.

Imported where a tool is bound to the `mcp` adapter, and not before: the client takes its time to import.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import anyio
import httpx2
from mcp import InputRequiredRoundsExceededError, MCPError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Implementation,
    TextContent,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from temper import __version__
from temper.runtime.egress import Forbidden, Pinned
from temper.runtime.quiet import silence

silence("mcp.client", "mcp.shared", "client")

# A list of tools may come in pages; a server that has no end of them is not followed for ever.
_PAGES_MAX = 100
_ORDER = "temper/order"
# A session is ended where it can be at once; what is waited for was the answer.
_END_S = 1.0
Streams = tuple[Any, Any]


@dataclass(slots=True)
class Progress:
    """How far an attempt has come."""

    left: bool = False
    """The call has begun to leave."""
    status: int | None = None
    """What a server that listens answered to it, by HTTP."""
    too_long: bool = False
    forbidden: str | None = None
    said: asyncio.Task[bytes] | None = None
    """What a server that is a command says on its standard error."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the tool answered."""

    structured: Any
    text: str
    failed: bool


class Fault(Enum):
    """What an exception of a session says of the call."""

    REJECTED = auto()  # The server understood, and will not.
    FAILED = auto()  # The server says that it can't now.
    BROKEN = auto()  # It answered, and not as it has said that it would.
    LOST = auto()  # Nobody knows.


class NoSuchTool(Exception):
    """The server has no tool of that name."""


async def call_over_pipes(
    process: asyncio.subprocess.Process, tool: str, arguments: Any, order: str, progress: Progress
) -> Result:
    """Call a tool of a server that is a process of ours."""
    return await _call(_pipes(process, progress), tool, arguments, order, progress)


async def call_over_http(
    carrier: Pinned,
    url: str,
    headers: dict[str, str],
    tool: str,
    arguments: Any,
    order: str,
    progress: Progress,
    bytes_max: int,
) -> Result:
    """Call a tool of a server that listens at `url`."""
    watched = _Watched(carrier, progress, bytes_max)
    headers = {"User-Agent": "temper", "Accept-Encoding": "identity", **headers}
    async with httpx2.AsyncClient(transport=watched, headers=headers, trust_env=False, timeout=None) as client:
        try:
            transport = streamable_http_client(url, http_client=client, max_sse_event_size=bytes_max)
            return await _call(transport, tool, arguments, order, progress)
        finally:
            watched.over = True


async def _call(
    transport: AbstractAsyncContextManager[Streams], tool: str, arguments: Any, order: str, progress: Progress
) -> Result:
    client = Client(transport, client_info=Implementation(name="temper", version=__version__))
    async with client:
        # Before it is called: what it declares of its answer is held against it, and that it is not there is told
        # while nothing has happened.
        await _look_for(client, tool)
        meta: Any = {_ORDER: order}  # Declared as a dictionary of two names, and open to others.
        found = await client.call_tool(tool, arguments, meta=meta)
        text = "\n".join(block.text for block in found.content if isinstance(block, TextContent))
        return Result(found.structured_content, text, found.is_error)


async def _look_for(client: Client, tool: str) -> None:
    cursor: str | None = None
    for _ in range(_PAGES_MAX):
        page = await client.list_tools(cursor=cursor)
        if any(each.name == tool for each in page.tools):
            return
        cursor = page.next_cursor
        if cursor is None:
            break
    raise NoSuchTool(f"there is no tool `{tool}`")


def fault_of(problem: BaseException) -> tuple[Fault, str]:
    """Return what an exception says of the call, and its text."""
    each = next(_leaves(problem))
    text = str(each) or type(each).__name__
    match each:
        case NoSuchTool():
            return Fault.REJECTED, text
        case MCPError() if each.error.code in (INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND):
            return Fault.REJECTED, text
        case MCPError() if each.error.code == PARSE_ERROR:
            return Fault.BROKEN, text
        case MCPError() if each.error.code == CONNECTION_CLOSED:
            return Fault.LOST, text
        case MCPError() if each.error.code == INTERNAL_ERROR:
            return Fault.FAILED, text
        case MCPError():
            return Fault.REJECTED, text
        case RuntimeError() | ValidationError() | InputRequiredRoundsExceededError():
            return Fault.BROKEN, text
        case _:
            return Fault.LOST, f"{type(each).__name__}: {text}"


def _leaves(problem: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, the ones that say most first."""
    if isinstance(problem, BaseExceptionGroup):
        found = [leaf for each in problem.exceptions for leaf in _leaves(each)]
        yield from sorted(found, key=lambda leaf: not isinstance(leaf, MCPError | Forbidden))
    else:
        yield problem


class _Watched(httpx2.AsyncBaseTransport):
    """A carrier of requests that is watched: whether the call has left, what came back, and how much of it."""

    def __init__(self, carrier: Pinned, progress: Progress, bytes_max: int) -> None:
        self._carrier = carrier
        self._progress = progress
        self._bytes_max = bytes_max
        self.over = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        progress = self._progress
        if self.over:
            raise httpx2.ConnectError("the attempt is over")
        calling = request.method == "POST" and b'"tools/call"' in await request.aread()
        if calling:
            request.extensions["trace"] = self._trace
        if request.method == "DELETE":
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), _END_S)
        try:
            response = await self._carrier.handle_async_request(request)
        except Forbidden as problem:
            progress.forbidden = str(problem)
            raise
        if calling:
            progress.status = response.status_code
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, progress, self._bytes_max)
        return response

    async def _trace(self, event: str, _info: Any) -> None:
        if event.endswith("send_request_headers.started"):
            self._progress.left = True


class _Bounded(httpx2.AsyncByteStream):
    """A body of no more than so many bytes."""

    def __init__(self, stream: httpx2.AsyncByteStream, progress: Progress, bytes_max: int) -> None:
        self._stream = stream
        self._progress = progress
        self._left = bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                self._progress.too_long = True
                raise httpx2.ReadError("the answer is too long")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def _pipes(process: asyncio.subprocess.Process, progress: Progress) -> AsyncIterator[Streams]:
    """The streams of messages over a process's standard input and output, each a line of JSON."""
    assert process.stdin is not None, "it was asked for"
    assert process.stdout is not None, "it was asked for"
    heard, hearing = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    saying, said = anyio.create_memory_object_stream[SessionMessage](0)
    stdin, stdout = process.stdin, process.stdout

    async def hear() -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with heard:
                while line := await _line(stdout, progress):
                    try:
                        await heard.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
                    except ValidationError:
                        continue  # Servers print what is no message, such as a greeting: it says nothing.

    async def say() -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            async with said:
                async for each in said:
                    text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                    progress.left |= getattr(each.message, "method", "") == "tools/call"
                    stdin.write(text.encode() + b"\n")
                    await stdin.drain()
            return
        # It reads no more, so what it was asked is answered by nobody.
        await heard.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(hear)
        group.start_soon(say)
        try:
            yield hearing, saying
        finally:
            group.cancel_scope.cancel()
            for stream in (heard, hearing, saying, said):
                stream.close()


async def _line(stream: asyncio.StreamReader, progress: Progress) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # longer than the stream's limit
        progress.too_long = True
        return b""
