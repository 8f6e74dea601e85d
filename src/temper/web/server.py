"""The door on a socket: uvicorn with uvloop and httptools, bounds on a head, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from temper.service import Workshop
from temper.web.answer import KEPT_BY_NOBODY
from temper.web.door import Door, app
from temper.web.limits import Limits

_BACKLOG: Final = 2048
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


async def serve(
    workshop: Workshop,
    host: str = "127.0.0.1",
    port: int = 8420,
    *,
    limits: Limits | None = None,
    on_ready: Callable[[str, int], None] | None = None,
    stop: asyncio.Event | None = None,
    signals: bool = True,
) -> None:
    """Serve until SIGINT, SIGTERM or `stop`; then let requests in flight finish, end the streams, and return.

    `on_ready` hears the address and the real port, also where `port` is 0, once requests are answered. A second SIGINT
    does not wait for anyone. The workshop is left open: whoever opened it closes it. Raises `OSError` where it can't
    listen.
    """
    bounds = limits or Limits()
    door = app(workshop, limits=bounds)
    config = uvicorn.Config(
        door,
        http=_bounded(bounds),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(bounds.drain_timeout)),
    )
    # uvicorn would end the process where it can't listen; an error is the caller's to show.
    listener = await _listen(host, port)
    server = _Server(config, door, signals=signals, on_ready=on_ready)
    stopping = asyncio.create_task(server.stop_at(stop)) if stop is not None else None
    try:
        await server.serve(sockets=[listener])
    finally:
        listener.close()
        if stopping is not None:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)


async def _listen(host: str, port: int) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first where a name has both, as `localhost` has: it is what people and older clients then try.
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    # With its protocol named, as `socket.create_server` would not: an event loop turns Nagle's algorithm off only where
    # it sees TCP, and each small answer would else wait 40 ms for the client's acknowledgement.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server: its start is told, its stop ends streams first, and a signal doesn't end the process."""

    def __init__(
        self, config: uvicorn.Config, door: Door, *, signals: bool, on_ready: Callable[[str, int], None] | None
    ) -> None:
        super().__init__(config)
        self._door = door
        self._signals = signals
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_ready is not None and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._on_ready(host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.close()
        await super().shutdown(sockets)

    async def stop_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own would raise the signal again once it has stopped, and so end the process before the workshop,
        # which has a journal to close, hears of it.
        if not self._signals or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


class _HeadRefused(Exception):
    """A request's head is over a bound."""


def _bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with bounds on a head's size and time, and with problems for its errors."""

    class Bounded(HttpToolsProtocol):
        _head: int = 0  # bytes of the head that is being read
        _in_head: bool = True
        _refused: tuple[int, str] | None = None
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            self._late = self.loop.call_later(limits.head_timeout, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                self._head += len(data)
            super().data_received(data)
            # One header that never ends is not seen by `on_header`.
            if self._in_head and self._head > limits.url_max + limits.headers_max and not self.transport.is_closing():
                self._refused = (431, "the request's head is too large")
                self.send_400_response("")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head, self._headers = True, 0
            if self._late is None:
                self._late = self.loop.call_later(limits.head_timeout, self._give_up)

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            if len(self.url) > limits.url_max:
                self._refuse(414, "the request's path and query are too long")

        def on_header(self, name: bytes, value: bytes) -> None:
            self._headers += len(name) + len(value) + 4  # as sent: with its colon, blank and line end
            if self._headers > limits.headers_max:
                self._refuse(431, "the request's head is too large")
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_head, self._head = False, 0
            self._in_time()
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            status, title = self._refused or (400, "the request is not HTTP")
            kind = "bad-request" if status == 400 else "too-large"
            body = msgspec.json.encode({"type": f"/problems/{kind}", "title": title, "status": status})
            head = STATUS_LINE[status] + b"".join(
                b"%b: %b\r\n" % header
                for header in (
                    *self.server_state.default_headers,
                    (b"content-type", b"application/problem+json"),
                    *KEPT_BY_NOBODY,
                    (b"content-length", str(len(body)).encode()),
                    (b"connection", b"close"),
                )
            )
            self.transport.write(head + b"\r\n" + body)
            self.transport.close()

        def _refuse(self, status: int, title: str) -> NoReturn:
            self._refused = (status, title)
            raise _HeadRefused  # httptools hands it on as one of its own errors

        def _in_time(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _give_up(self) -> None:
            self._late = None
            if not self.transport.is_closing():
                self.transport.close()

    return Bounded
