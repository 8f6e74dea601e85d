"""What holds servers to account finds servers that have something to account for: each is broken in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from temper.runtime import SqliteStore
from tests.kill.audit import assert_kept
from tests.kill.client import Client, Log
from tests.kill.registers import REGISTERS, TEXT, unexplained, write
from tests.kill.servers import Server, free_port, nursery

SETTINGS = '[push]\nlevels = ["scenarios"]\nallow_unknown = true\n'
WRITERS = 4


class Between:
    """A broken server, made of one that works: it passes requests on, and does one thing wrong now and then."""

    def __init__(self, port: int, fault: str) -> None:
        self._port = port
        self._fault = fault
        self._seen: dict[bytes, bytes] = {}
        self._turn = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(
                (line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0"
            )
            body = await reader.readexactly(int(size))
            writer.write(await self._answer(head, body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        line = head.split(b"\r\n", 1)[0]
        self._turn += 1
        if self._fault == "stale reads" and line.startswith(b"GET"):
            # What it remembers is shown to the next who asks.
            now = await self._asked(head, body)
            before = self._seen.get(line, now)
            self._seen[line] = now
            return before
        if self._fault == "done twice" and b"/Add " in line and self._turn % 5 == 0:
            await self._asked(
                head.replace(b"idempotency-key:", b"x-key:").replace(b"Idempotency-Key:", b"x-key:"), body
            )
        return await self._asked(head, body)

    async def _asked(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        first, rest = head.split(b"\r\n", 1)
        writer.write(first + b"\r\nconnection: close\r\n" + _without_connection(rest) + body)
        try:
            return await reader.read()
        finally:
            writer.close()


def _without_connection(head: bytes) -> bytes:
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:"))


async def worked(server: Server, port: int, log: Log, *, names: str, requests: int) -> None:
    """Let a few clients read and write registers, so many requests together."""
    stop = asyncio.Event()
    until = len(log.lines) + requests
    clients = [
        Client(f"{names}{number}", await server.token(f"{names}{number}", "clerk"), _at(port), log, "kill")
        for number in range(WRITERS)
    ]
    for register in REGISTERS:
        if names == "a":
            await clients[0].create("Register", register, "Make")
    try:
        async with asyncio.TaskGroup() as asking:
            for number, client in enumerate(clients):
                asking.create_task(write(client, number, stop, note=""))
            while len(log.lines) < until:  # noqa: ASYNC110 - the log is a list
                await asyncio.sleep(0.002)
            stop.set()
    finally:
        for client in clients:
            await client.close()


def _at(port: int) -> Callable[[], str]:
    return lambda: f"http://127.0.0.1:{port}"


def kept(server: Server, log: Log) -> None:
    """Hold the journal against the log."""
    store = SqliteStore(server.file("kill"))
    try:
        assert_kept(log.lines, store.entries(0, 10_000_000))
    finally:
        store.close()


@pytest.mark.parametrize("fault", ["none", "stale reads", "done twice"])
async def test_a_server_that_shows_what_is_past_or_does_it_twice_is_found(fault: str, tmp_path: Path) -> None:
    log = Log()
    (tmp_path / "temper.toml").write_text(SETTINGS)
    async with nursery() as born:
        server = Server(born, tmp_path, free_port())
        await server.start()
        assert await server.push("kill", TEXT) == 1
        doors = await asyncio.start_server(Between(server.port, fault).connected, "127.0.0.1", 0)
        await worked(server, doors.sockets[0].getsockname()[1], log, names="a", requests=300)
        doors.close()
        await server.kill()
    assert len(log.answered()) > 50
    found = [unexplained(log, register) for register in REGISTERS]
    assert any(found) == (fault != "none")
    if fault == "done twice":
        with pytest.raises(AssertionError, match="done twice"):
            kept(server, log)
    else:
        kept(server, log)


async def test_a_disk_that_forgets_what_was_answered_is_found(tmp_path: Path) -> None:
    """It is what an answer before the sync would lose in a power cut: the end of the write-ahead log.

    So little is written that there is no checkpoint, which would begin that log anew.
    """
    log = Log()
    (tmp_path / "temper.toml").write_text(SETTINGS)
    async with nursery() as born:
        server = Server(born, tmp_path, free_port())
        await server.start()
        assert await server.push("kill", TEXT) == 1
        wal = server.file("kill").with_name("kill.db-wal")
        await worked(server, server.port, log, names="a", requests=100)
        synced = wal.read_bytes()
        await worked(server, server.port, log, names="b", requests=60)
        await server.kill()
        lost = wal.read_bytes() != synced
        wal.write_bytes(synced)
        await server.start()
        await worked(server, server.port, log, names="c", requests=100)
        await server.kill()
    assert lost
    assert any(unexplained(log, register) for register in REGISTERS)
    with pytest.raises(AssertionError, match="it was answered"):
        kept(server, log)
