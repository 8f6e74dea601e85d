"""Clients that hang, crowd or mean harm: each is answered or let go of, and the others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from temper.service import Workshop
from temper.web import Limits
from tests.service.shop import ADMIN, ANN, PLAN, Prepared, copied, opened
from tests.web.test_server import Running, running

IDLE = 10_000


@contextlib.asynccontextmanager
async def served(shop: Workshop, **limits: Any) -> AsyncIterator[tuple[Running, str]]:
    """The flagship on a socket, and an operator's token."""
    token = shop.make_token(ADMIN, "ann", ("operator",))
    async with running(shop, Limits(drain_timeout=1.0, **limits)) as server:
        yield server, token.token


def post(target: str, token: str, body: bytes, *headers: str) -> bytes:
    lines = [
        f"POST {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Content-Type: application/json",
        f"Content-Length: {len(body)}", "Connection: close", *headers,
    ]  # fmt: skip
    return "\r\n".join((*lines, "", "")).encode() + body


def get(target: str, token: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b'{"cluster":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, 400),
        (b'{"brokers": ' + b"9" * 100_000 + b"}", 400),
        (b'{"cluster": "\xff\xfe"}', 400),
        (b'{"cluster": "\\ud800", "build": "b", "previous": "a", "brokers": 1}', 400),
        (b'{"brokers": NaN}', 400),
        (b"null", 400),
        (b'"text"', 400),
        (b"", 400),
        (b"x" * (1024 * 1024 + 1), 413),
        (zlib.compress(b"0" * 10_000_000), 400),
    ],
)  # fmt: skip
async def test_a_hostile_body_is_a_problem_and_nothing_happens(shop: Workshop, body: bytes, status: int) -> None:
    async with served(shop) as (server, token):
        for target in ("/v1/helix/Rollout", "/v1/helix/Rollout/none/Start"):
            got, headers, text = await server.raw(post(target, token, body))
            assert 400 <= got < 500, text
            assert (got == 413) == (status == 413)
            assert headers["content-type"] == "application/problem+json"
            assert len(text) < 10_000, "an answer does not give it all back"
        assert (await shop.list(ANN, "helix", "Rollout", count=True, limit=1)).count == 0
        got, _, _ = await server.raw(get("/v1/helix/Rollout", token))
        assert got == 200


async def test_half_open_connections_are_let_go_of_and_nobody_waits_for_them(shop: Workshop) -> None:
    """Heads that stop in the middle, bodies that stop in the middle, and a connection that says nothing at all."""
    async with served(shop, head_timeout=0.5, body_timeout=0.5) as (server, token):
        whole = post("/v1/helix/Rollout", token, json.dumps(PLAN).encode())
        body_at = whole.index(b"\r\n\r\n") + 4
        hanging = [await server.connect() for _ in range(90)]
        for (_, writer), cut in zip(hanging, [0, 40, body_at + 5] * 30, strict=True):
            writer.write(whole[:cut])
        got, _, _ = await server.raw(get("/v1/helix/Rollout", token))
        assert got == 200
        ends = await asyncio.gather(*[asyncio.wait_for(reader.read(), 20) for reader, _ in hanging])
        assert {bytes(end[:12]) for end in ends[2::3]} == {b"HTTP/1.1 408"}
        assert set(ends[1::3]) == {b""}
        for _, writer in hanging:
            writer.close()
        assert (await shop.list(ANN, "helix", "Rollout", count=True, limit=1)).count == 0


async def test_past_the_bound_requests_are_told_when_to_come_again_and_no_answer_is_lost(
    prepared: Prepared, tmp_path: Path
) -> None:
    """Far more at once than may wait: each is answered; what was answered with a yes is there, and nothing else."""
    async with opened(copied(prepared, tmp_path / "data"), queue=8, batch=4) as shop, served(shop) as (server, token):

        async def create(number: int) -> tuple[int, dict[str, str]]:
            body = json.dumps({**PLAN, "cluster": f"c{number}", "id": f"r{number}"}).encode()
            got, headers, _ = await server.raw(post("/v1/helix/Rollout", token, body))
            return got, headers

        answers = await asyncio.gather(*[create(number) for number in range(300)])
        statuses = {got for got, _ in answers}
        assert statuses == {201, 503}, "some are taken, and some are told to wait"
        assert all(int(headers["retry-after"]) >= 1 for got, headers in answers if got == 503)
        taken = {f"r{number}" for number, (got, _) in enumerate(answers) if got == 201}
        there: set[str] = set()
        cursor = None
        while True:
            page = await shop.list(ANN, "helix", "Rollout", limit=200, cursor=cursor)
            there |= {each.id for each in page.items}
            cursor = page.cursor
            if cursor is None:
                break
        assert there == taken
        missing = next(number for number, (got, _) in enumerate(answers) if got == 503)
        got, _ = await create(missing)
        assert got == 201, "once there is room, who was told to wait is taken"


async def test_ten_thousand_idle_streams_cost_little_and_each_hears(prepared: Prepared, tmp_path: Path) -> None:
    """They hang on one server while it answers others; then one thing happens, and each of them is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = min(IDLE, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        async with (
            opened(copied(prepared, tmp_path / "data"), streams=number) as shop,
            served(shop, requests_max=number + 100, heartbeat=600.0) as (server, token),
        ):
            script = str(Path(__file__).with_name("idle_clients.py"))
            before = _memory()
            clients = await asyncio.create_subprocess_exec(
                sys.executable, script, str(server.port), "/v1/helix/events", token, str(number),
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert clients.stdout is not None
            try:
                assert await asyncio.wait_for(clients.stdout.readline(), 120) == b"open\n"
                assert (_memory() - before) / number < 100, "KiB each"
                got, headers, _ = await server.raw(get("/v1/helix/events", token))
                assert got == 503, "one more than may be"
                assert "retry-after" in headers
                got, _, _ = await server.raw(post("/v1/helix/Rollout", token, json.dumps(PLAN).encode()))
                assert got == 201
                assert await asyncio.wait_for(clients.stdout.readline(), 120) == b"heard\n"
                assert await clients.wait() == 0
            finally:
                if clients.returncode is None:
                    clients.kill()
                    await clients.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _memory() -> int:
    """KiB that this process has in memory now."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("a process has a size")
