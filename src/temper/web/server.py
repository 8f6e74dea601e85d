"""The door on a socket: uvicorn with uvloop and httptools, bounds on a head, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NoReturn

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from temper.service import Peer, Workshop
from temper.web.answer import KEPT_BY_NOBODY, Answer, lines, whole
from temper.web.door import NOBODY, PEER, Door, app
from temper.web.heads import HEAD_MAX, Heads
from temper.web.limits import Limits
from temper.web.tls import Tls

_BACKLOG: Final = 2048
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]{0,5})?")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# What a request makes goes when it is answered. The collector, which is there for cycles, found next to none, and it
# looked every few requests, in all that others still waited with: a seventh of the time went there.
_YOUNG_MAX: Final = 50_000


async def serve(
    workshop: Workshop,
    host: str = "127.0.0.1",
    port: int = 8420,
    *,
    limits: Limits | None = None,
    origins: Iterable[str] = (),
    tls: Tls | None = None,
    on_ready: Callable[[str, int], None] | None = None,
    stop: asyncio.Event | None = None,
    signals: bool = True,
) -> None:
    """Serve until SIGINT, SIGTERM or `stop`; then let requests in flight finish, end the streams, and return.

    `on_ready` hears the address and the real port, also where `port` is 0, once requests are answered. A second SIGINT
    does not wait for anyone. The workshop is left open: whoever opened it closes it. Raises `OSError` where it can't
    listen. Pages of `origins` may read its answers in browsers.
    """
    bounds = limits or Limits()
    door = app(workshop, limits=bounds, origins=origins, outgoing=tls.outgoing() if tls is not None else None)
    config = uvicorn.Config(
        door,
        http=_bounded(bounds, door),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=(lambda _, __: tls.incoming()) if tls is not None else None,
        headers=[("strict-transport-security", f"max-age={tls.hsts_s}")] if tls is not None and tls.hsts_s else [],
        timeout_graceful_shutdown=max(1, round(bounds.drain_timeout)),
    )
    # uvicorn would end the process where it can't listen; an error is the caller's to show.
    listener = await _listen(host, port, round(bounds.unread_max * 1000))
    server = _Server(config, door, signals=signals, on_ready=on_ready)
    beside = [asyncio.create_task(server.stop_at(stop))] if stop is not None else []
    if tls is not None:
        config.load()
        assert config.ssl is not None, "its files are given"
        beside.append(asyncio.create_task(tls.renew(config.ssl)))
    try:
        with _seldom_collected():
            await server.serve(sockets=[listener])
    finally:
        listener.close()
        for each in beside:
            each.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Have cycles looked for among many new objects at a time, and never among those that are there now."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_YOUNG_MAX, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _listen(host: str, port: int, unread_ms: int = 0) -> socket.socket:
    """Return a socket that listens. Who takes nothing of what is sent for `unread_ms` is cut off; 0 leaves it open."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first where a name has both, as `localhost` has: it is what people and older clients then try.
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    # With its protocol named, as `socket.create_server` would not: an event loop turns Nagle's algorithm off only where
    # it sees TCP, and each small answer would else wait 40 ms for the client's acknowledgement.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Those that it accepts have it from here. A client that is gone, or that reads no more, is found by the system.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_ms)
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
        await self._door.end()

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


def _bounded(limits: Limits, door: Door) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with bounds on a head's size and time, with problems for its errors, and a short way.

    The short way is for a POST that came whole, with a head that is known (`Heads`): the door begins it, and its answer
    is written when it is there, without a task and without messages. All else goes uvicorn's way. What comes while one
    is on the short way is held until its answer is out, and so are answers in the order of their requests.
    """
    heads = Heads(door.read)
    stamped: list[tuple[bytes, bytes]] | None = None
    stamp = b""

    def stamp_of(given: list[tuple[bytes, bytes]]) -> bytes:
        """The headers of each answer, which uvicorn makes anew each second, as they are sent."""
        nonlocal stamped, stamp
        if given is not stamped:
            stamped, stamp = given, lines(given)
        return stamp

    class Bounded(HttpToolsProtocol):
        _head: int = 0  # bytes of the head that is being read
        _in_head: bool = True
        _refused: tuple[int, str] | None = None
        _late: asyncio.TimerHandle | None = None
        _peer: Peer = NOBODY
        _unread: asyncio.TimerHandle | None = None  # while more is to be sent than is kept
        _between: bool = True  # the parser is at the begin of a request
        _messages: int = 0  # how many ended in what was received last
        _last_head: bytes = b""
        _begun: bool = False  # one is on the short way
        _held: bytes = b""  # what came meanwhile
        _ending: bool = False  # its answer is the last
        _quiet_since: float = 0.0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            certificate = tls.getpeercert() if tls is not None and door.shows_certificates else None
            self._peer = Peer(self.client[0] if self.client else None, certificate or None)
            self._late = self.loop.call_later(limits.head_timeout, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            self._is_read()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            # The system sees who reads nothing; one that reads a byte now and then is seen here.
            if self._unread is None:
                self._unread = self.loop.call_later(limits.unread_max, self.transport.abort)

        def resume_writing(self) -> None:
            self._is_read()
            super().resume_writing()

        def data_received(self, data: bytes) -> None:
            if self._begun:
                self._held += data
                self.flow.pause_reading()
                return
            alone = self._between
            if alone and self._begin(data):
                return
            if self._in_head:
                self._head += len(data)
            self._messages = 0
            super().data_received(data)
            # One header that never ends is not seen by `on_header`.
            if self._in_head and self._head > limits.url_max + limits.headers_max and not self.transport.is_closing():
                self._refused = (431, "the request's head is too large")
                self.send_400_response("")
            elif alone and self._between and self._messages == 1:
                self._remember(data)

        def _begin(self, data: bytes) -> bool:
            """Take the short way, if what came is for it."""
            found = heads.find(data)
            busy = bool(self.cycle) and not self.cycle.response_complete  # it is `None` before the first
            if found is None or busy or self.flow.write_paused or self.access_log or self.transport.is_closing():
                return False
            target, head, body = found
            self._begun = True
            if not door.begin(target, head.headers, body, self._reply, self._peer):
                self._begun = False
                return False
            self._in_time()
            return True

        def _reply(self, answer: Answer) -> None:
            """Write the answer of what took the short way."""
            self._begun = False
            self.server_state.total_requests += 1
            if self.transport.is_closing():
                return
            stamp = stamp_of(self.server_state.default_headers)
            if self._ending:
                stamp += b"connection: close\r\n"
            self.transport.write(whole(answer, STATUS_LINE[answer.status], stamp))
            if self._ending:
                self.transport.close()
                return
            self._quiet_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._look_later(self.timeout_keep_alive)
            if self._held:
                data, self._held = self._held, b""
                self.flow.resume_reading()
                self.data_received(data)

        def _remember(self, data: bytes) -> None:
            """Learn a head that came twice: one that is always another is not worth it."""
            first = data.find(b"\r\n")
            head = data[first : data.find(b"\r\n\r\n", first)]
            if head == self._last_head:
                heads.learn(data, self.headers)
            self._last_head = head if len(head) <= HEAD_MAX else b""

        def shutdown(self) -> None:
            if self._begun:
                self._ending = True
            else:
                super().shutdown()

        def _look_later(self, seconds: float) -> None:
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

        def timeout_keep_alive_handler(self) -> None:
            # Not set anew with each answer, which would cost more than to look again.
            self.timeout_keep_alive_task = None
            left = self._quiet_since + self.timeout_keep_alive - self.loop.time()
            if self._begun or left > 0:
                self._look_later(self.timeout_keep_alive if self._begun else left)
            else:
                super().timeout_keep_alive_handler()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._peer.certificate is not None:
                self.scope["extensions"] = {PEER: self._peer}  # type: ignore[dict-item]  # beside what ASGI knows
            self._in_head, self._headers, self._between = True, 0, False
            self._count = self._hosts = 0
            if self._late is None:
                self._late = self.loop.call_later(limits.head_timeout, self._give_up)

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._between = True
            self._messages += 1

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            if len(self.url) > limits.url_max:
                self._refuse(414, "the request's path and query are too long")

        def on_header(self, name: bytes, value: bytes) -> None:
            self._headers += len(name) + len(value) + 4  # as sent: with its colon, blank and line end
            self._count += 1
            if self._headers > limits.headers_max or self._count > limits.header_count_max:
                self._refuse(431, "the request's head is too large")
            if name.lower() == b"host":
                self._hosts += 1
                if _HOST.fullmatch(value) is None:
                    self._refuse(400, "the request's `Host` is none")
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            # Two are read by one machine as the one, by another as the other (RFC 9112, 3.2).
            if self._hosts > 1 or (self._hosts == 0 and self.parser.get_http_version() == "1.1"):
                self._refuse(400, "the request has no `Host`, or more than one")
            # What speaks 1.0 knows no chunks, and passes on what they hold as requests (RFC 9112, 6.1).
            if self.parser.get_http_version() == "1.0" and b"transfer-encoding" in (name for name, _ in self.headers):
                self._refuse(400, "a request of HTTP/1.0 has no `Transfer-Encoding`")
            self._in_head, self._head = False, 0
            self._in_time()
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            status, title = self._refused or (400, "the request is not HTTP")
            kind = "bad-request" if status == 400 else "too-large"
            body = msgspec.json.encode({"type": f"/problems/{kind}", "title": title, "status": status})
            head = STATUS_LINE[status] + lines(
                (
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

        def _is_read(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _unsupported_upgrade_warning(self) -> None:
            # There is nothing to install, and whoever calls could fill the log. It is answered as if it had not asked;
            # the parser reads no further, so it is the last.
            self.cycle.keep_alive = False

        def _give_up(self) -> None:
            self._late = None
            if not self.transport.is_closing():
                self.transport.close()

    return Bounded
