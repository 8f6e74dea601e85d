"""What takes its time: streams of server-sent events, and waits.

Both end early when nobody listens or the server stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from temper.service import Declined, Workshop, wire
from temper.web.answer import KEPT_BY_NOBODY, encode, problem
from temper.web.ask import Ask, Gone, Receive, Send
from temper.web.problems import decline

T = TypeVar("T")

HEAD: Final = (
    (b"content-type", b"text/event-stream"),
    *KEPT_BY_NOBODY,
    (b"x-accel-buffering", b"no"),  # a proxy that would gather events before it passes them on is asked not to
)


@dataclass(frozen=True, slots=True)
class Stream:
    """Entries that are sent to whoever asked, as they come. `first` waits for the first of them already."""

    entries: AsyncIterator[wire.HistoryEntry]
    ask: Ask
    first: asyncio.Task[wire.HistoryEntry | None]


@dataclass(frozen=True, slots=True)
class Download:
    """Something long, as it is read. Whoever gets it sees by its last line whether it is whole."""

    name: str
    pieces: AsyncIterator[bytes]
    first: bytes
    ask: Ask


async def download(name: str, pieces: AsyncIterator[bytes], ask: Ask) -> Download:
    """Return a download that has begun: what can't be had is declined now."""
    return Download(name, pieces, await anext(pieces, b""), ask)


async def hand_over(found: Download, closing: asyncio.Event, send: Send) -> None:
    """Send a download, until it ends, or the server stops: then it is cut off."""
    disposition = f'attachment; filename="{found.name}"'.encode()
    head = [(b"content-type", b"application/x-ndjson"), *KEPT_BY_NOBODY, (b"content-disposition", disposition)]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    try:
        if found.ask.method != "HEAD":
            await _piece(send, found.first)
            async for piece in found.pieces:
                if closing.is_set():
                    break
                await _piece(send, piece)
    finally:
        await _close(found.pieces)
    await send({"type": "http.response.body", "body": b""})


async def begin(entries: AsyncIterator[wire.HistoryEntry], ask: Ask) -> Stream:
    """Return a stream that listens already: what is committed once the reader has the answer's head is in it.

    What is not there, or not to be had, is declined now: a stream that has begun has no status any more.
    """
    first = asyncio.create_task(_next(entries))
    await asyncio.sleep(0)  # it runs up to where it waits for an entry
    if first.done():
        first.result()
    return Stream(entries, ask, first)


async def pour(stream: Stream, workshop: Workshop, closing: asyncio.Event, send: Send) -> None:
    """Send the entries as events until the reader goes, the token ends, the server stops or the stream's time is up.

    An event's id is its entry's `seq` (or its `place`, where several servers write), so that a reader who comes back
    misses none and sees none twice.
    """
    ask = stream.ask
    await send({"type": "http.response.start", "status": 200, "headers": list(HEAD)})
    if ask.method == "HEAD":
        await let_go(stream)
        await send({"type": "http.response.body", "body": b""})
        return
    await _piece(send, b"retry: 1000\n: what is committed from here on\n\n")
    clock = asyncio.get_running_loop().time
    end = clock() + ask.limits.stream_max
    check = clock() + ask.limits.heartbeat
    gone = asyncio.create_task(_gone(ask.receive))
    closed = asyncio.create_task(closing.wait())
    entry = stream.first
    try:
        while (left := end - clock()) > 0:
            # Also on a busy stream: a token that was revoked has no more to read.
            if clock() >= check:
                if ask.token:
                    await workshop.who(ask.token)
                else:
                    workshop.must_go_on(ask.person)
                check = clock() + ask.limits.heartbeat
                await _piece(send, b":\n\n")
            await asyncio.wait(
                {entry, gone, closed},
                timeout=min(left, max(0.0, check - clock())),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if gone.done():
                return
            if entry.done():
                came = entry.result()
                if came is None:
                    break
                id = came.place.encode() or b"%d" % came.seq
                await _piece(send, b"id: %b\ndata: %b\n\n" % (id, encode(came)))
                entry = asyncio.create_task(_next(stream.entries))
            elif closed.done():
                break
    except Declined as declined:
        await _piece(send, b"event: problem\ndata: %b\n\n" % problem(declined.problem).body)
    finally:
        await _end(entry, gone, closed)
        await _close(stream.entries)
    await send({"type": "http.response.body", "body": b""})


async def let_go(stream: Stream) -> None:
    """End a stream of which nothing is sent."""
    await _end(stream.first)
    await _close(stream.entries)


async def undisturbed(waiting: Coroutine[Any, Any, T], ask: Ask, closing: asyncio.Event) -> T:
    """Return what `waiting` comes to, unless the caller goes away or the server is stopped first."""
    wait = asyncio.create_task(waiting)
    gone = asyncio.create_task(_gone(ask.receive))
    closed = asyncio.create_task(closing.wait())
    try:
        await asyncio.wait({wait, gone, closed}, return_when=asyncio.FIRST_COMPLETED)
        if wait.done():
            return wait.result()
        if gone.done():
            raise Gone
        decline("unavailable", 503, "the server is being stopped", retry_after_ms=1000)
    finally:
        await _end(wait, gone, closed)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next(entries: AsyncIterator[wire.HistoryEntry]) -> wire.HistoryEntry | None:
    return await anext(entries, None)


async def _piece(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close(entries: AsyncIterator[Any]) -> None:
    close = getattr(entries, "aclose", None)
    if close is not None:
        with contextlib.suppress(RuntimeError):
            await close()
