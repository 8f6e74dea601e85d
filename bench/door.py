"""Durable actions a second over HTTP: create, then ten transitions, each answered once it is on disk.

    uv run python bench/door.py [--seconds 5] [--clients 1 64] [--folder .] [--json]

Beside them, in the same run: how often this disk can `fdatasync`, what a bare ASGI application that answers "hello"
does on the same server, and what one does that takes the same requests and answers with as many bytes. Machines differ,
and the same machine from minute to minute: read the ratios. That of the servers' time on the processors is steadiest.

Each server is a process of its own, and so is the client: this one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop

from temper.service import Loaded, Person, Settings, Workshop
from temper.web import serve as serve_http

TRANSITIONS = 10
BLUEPRINT = """\
blueprint bench

role owner

entity Lamp
  states Off, On, Broken
  final Broken

  switched: int 0..1000 = 0

  action Hang by owner from new to Off
  action Switch by owner
    when switched < 1000 else "it is worn out"
    from Off to On
    from On to Off
    set switched += 1
  action Break by owner from Off, On to Broken

  always switched <= 1000
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers a second, how long one took, and the server's time on the processors for one."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs, and a token that it takes."""

    port: int
    token: str
    process: int

    def cpu_seconds(self) -> float:
        """How long it has been on the processors."""
        fields = Path(f"/proc/{self.process}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main() -> None:
    """Measure, and print."""
    wanted = arguments()
    with tempfile.TemporaryDirectory(prefix="temper-bench-", dir=wanted.folder) as folder:
        syncs = fdatasyncs(Path(folder), wanted.seconds)
        rates: dict[str, dict[int, Rate]] = {}
        for kind, steps in (("hello", hello), ("same", lamp), ("temper", lamp)):
            async with server(kind, folder) as served:
                rates[kind] = {
                    clients: await measure(served, partial(steps, served.token), clients, wanted.seconds)
                    for clients in wanted.clients
                }
    if wanted.json:
        shown = {kind: {clients: asdict(rate) for clients, rate in each.items()} for kind, each in rates.items()}
        print(json.dumps({"fdatasync_per_second": syncs, **shown}))
        return
    print(f"fdatasync: {syncs:,.0f}/s, one after the other")
    for clients in wanted.clients:
        ours = rates["temper"][clients]
        for kind, name in (("hello", "bare, hello"), ("same", "bare, same bytes"), ("temper", "durable actions")):
            rate = rates[kind][clients]
            print(
                f"  {name:<18}{rate.per_second:>8,.0f}/s   p50 {rate.p50_ms:6.2f} ms   p99 {rate.p99_ms:7.2f} ms"
                f"   {rate.cpu_us:6.1f} us on the processors"
            )
        bare, same = rates["hello"][clients], rates["same"][clients]
        print(
            f"  {ours.per_second / bare.per_second:.2f} of bare hello ({bare.cpu_us / ours.cpu_us:.2f} by processor),"
            f" {ours.per_second / same.per_second:.2f} of bare with the same bytes"
            f" ({same.cpu_us / ours.cpu_us:.2f}), {ours.per_second / syncs:.2f} of fdatasync"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each measurement takes")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 64], help="connections at once")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk that is measured")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def fdatasyncs(folder: Path, seconds: float) -> float:
    """Return how often a second a page is appended to a file and made durable."""
    page = os.urandom(4096)
    with (folder / "floor").open("wb", buffering=0) as file:
        count, end, begun = 0, time.perf_counter() + seconds, time.perf_counter()
        while time.perf_counter() < end:
            file.write(page)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - begun)


# --- the client -------------------------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """One connection that is kept: a request, and the answer's status and body."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        at = head.index(b"content-length: ") + 16
        length = int(head[at:].partition(b"\r")[0])
        if len(body) >= length:
            self._received = b""
            assert self._answer is not None, "nothing was asked"
            self._answer.set_result((int(head[9:12]), body))

    def close(self) -> None:
        self._transport.close()

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer


# What a client asks, one after the other; it is sent each answer's body.
Steps = Generator[bytes, bytes, None]


def hello(token: str) -> Steps:
    """Ask for the same, over and over."""
    request = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"
    while True:
        yield request


def lamp(token: str) -> Steps:
    """Create a lamp and switch it ten times, over and over."""
    head = f"host: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    head += "content-length: 2\r\n\r\n{}"
    while True:
        body = yield f"POST /v1/bench/Lamp HTTP/1.1\r\n{head}".encode()
        switch = f"POST /v1/bench/Lamp/{json.loads(body)['entity']['id']}/Switch HTTP/1.1\r\n{head}".encode()
        for _ in range(TRANSITIONS):
            yield switch


async def measure(served: Served, steps: Callable[[], Steps], clients: int, seconds: float) -> Rate:
    """Return what `clients` get done in `seconds`, after a while of warming up."""
    took: list[float] = []
    asked = 0
    cpu = served.cpu_seconds()
    clock = time.perf_counter
    warm = clock() + min(1.0, seconds / 4)
    end = warm + seconds

    async def client() -> None:
        nonlocal asked
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", served.port)
        asking = steps()
        request = next(asking)
        while (begun := clock()) < end:
            status, body = await connection.ask(request)
            assert status in (200, 201), body
            asked += 1
            if begun >= warm:
                took.append(clock() - begun)
            request = asking.send(body)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    took.sort()
    cpu = served.cpu_seconds() - cpu
    middle, last = took[len(took) // 2], took[len(took) * 99 // 100]
    return Rate(len(took) / seconds, middle * 1000, last * 1000, cpu / asked * 1e6)


# --- the servers ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def server(kind: str, folder: str) -> AsyncIterator[Served]:
    """Run a server in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", kind, folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = await process.stdout.readline()
        if not said:
            sys.exit(f"the server of {kind!r} did not start")
        port, token = json.loads(said)
        yield Served(port, token, process.pid)
    finally:
        process.stdin.close()
        await process.wait()


async def serve_kind(kind: str, folder: str) -> None:
    """Serve until standard input ends, so that no server outlives its client."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    # Not an executor's, for which the end of a server that fails would wait.
    threading.Thread(target=wait, daemon=True).start()
    await {"hello": serve_hello, "same": serve_same, "temper": serve_temper}[kind](folder, stop)


async def serve_hello(folder: str, stop: asyncio.Event) -> None:
    """Serve the least that an ASGI application can do, as uvicorn does it by itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    await serve_bare(app, stop)


async def serve_same(folder: str, stop: asyncio.Event) -> None:
    """Serve what takes the same requests, and answers each with as many bytes, without a thought."""
    body = json.dumps({"entity": {"id": "x" * 12, "more": "x" * 150}, "more": "x" * 70}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"x-more", b"x" * 70)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    await serve_bare(app, stop)


async def serve_bare(app: Any, stop: asyncio.Event) -> None:
    """Serve an application as uvicorn does by itself."""

    class Bare(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            say(self.servers[0].sockets[0].getsockname()[1], "")

    config = uvicorn.Config(app, port=0, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None)
    bare = Bare(config)
    serving = asyncio.create_task(bare.serve())
    await stop.wait()
    bare.should_exit = True
    await serving


async def serve_temper(folder: str, stop: asyncio.Event) -> None:
    """Serve the bench's blueprint: pushed as any is, with its journal in `folder`."""
    # Serving is measured, not judging: one level lets it in sooner.
    settings = msgspec.convert({"push": {"levels": ["algebra"]}}, Settings)
    workshop = await Workshop.open(Loaded(settings, Path(folder)))
    try:
        root = Person("root", admin=True)
        await workshop.push(root, "bench", {"bench.blueprint": BLUEPRINT})
        token = workshop.make_token(root, "ann", ("owner",)).token
        await serve_http(workshop, port=0, on_ready=lambda host, port: say(port, token), stop=stop, signals=False)
    finally:
        await workshop.close()


def say(port: int, token: str) -> None:
    print(json.dumps([port, token]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        uvloop.run(serve_kind(*sys.argv[2:]))
    else:
        uvloop.run(main())
