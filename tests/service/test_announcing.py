"""The webhook that tells of new decisions: what is posted, how it is signed, and which settings don't do."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from temper.runtime import Vault
from temper.service import Workshop, load_settings
from temper.service.announcing import announcing
from temper.service.opening import CannotOpen
from temper.service.settings import ApprovalsSection
from tests.service.office import ADMIN, BOT, SHIP, decision_of, ready

SECRET = "signs what is posted"
SETTINGS = """
[push]
levels = ["algebra"]
allow_unknown = true

[approvals]
webhook = "http://127.0.0.1:{port}/decisions"
secret = "CHAT"
"""


@dataclass
class Chat:
    """A chat tool that takes whatever is posted."""

    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: asyncio.Event = field(default_factory=asyncio.Event)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        self.posts.append(({"path": lines[0], **headers}, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 Taken\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        self.taken.set()


async def test_each_new_decision_is_posted_once_and_signed(tmp_path: Path) -> None:
    chat = Chat()
    server = await asyncio.start_server(chat.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    file = tmp_path / "temper.toml"
    file.write_text(SETTINGS.format(port=port))
    shop = await Workshop.open(load_settings(file, {"CHAT": SECRET}))
    try:
        await shop.push(ADMIN, "ship", SHIP)
        await ready(shop)
        id = await decision_of(shop.act(BOT, "ship", "Release", "r1", "Promote", {"notes": "x"}))
        assert await decision_of(shop.act(BOT, "ship", "Release", "r1", "Promote", {"notes": "x"})) == id
        async with asyncio.timeout(20):
            await chat.taken.wait()
        assert (await shop.decisions.decision(BOT, id)).state == "Pending", "who is told has not answered by that"
    finally:
        await shop.close()
        server.close()
        await server.wait_closed()
    ((head, body),) = chat.posts
    assert head["temper-delivery"] == head["idempotency-key"]
    assert head["path"] == "POST /decisions HTTP/1.1"
    signed = f"{head['temper-timestamp']}.{head['temper-delivery']}.".encode() + body
    assert head["temper-signature"] == f"v1={hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()}"
    assert json.loads(body) == {
        "type": "decision",
        "decision": id,
        "href": f"/v1/decisions/{id}",
        "asked_by": "bot",
        "asked_for": "ann",
        "text": 'bot for ann asks for Promote on Release r1 of ship with {"notes":"x"}; refused: an agent does not '
        "promote by itself",
    }


@pytest.mark.parametrize(
    ("webhook", "secret", "key"),
    [
        ("https://chat.example.com/x", "", "approvals.secret"),
        ("https://chat.example.com/x", "in plain text", "approvals.secret"),
        ("", "CHAT", "approvals.secret"),
        ("http://chat.example.com/x", "CHAT", "approvals.webhook"),
        ("ftp://chat.example.com/x", "CHAT", "approvals.webhook"),
        ("chat.example.com", "CHAT", "approvals.webhook"),
        ("https://chat.example.com/x", "NOWHERE", "approvals"),
    ],
)
async def test_what_can_t_be_posted_is_said_at_the_start(tmp_path: Path, webhook: str, secret: str, key: str) -> None:
    adapters, problems = announcing(ApprovalsSection(webhook=webhook, secret=secret), Vault({"CHAT": SECRET}))
    assert not adapters and [each.key for each in problems] == [key]
    assert SECRET not in str(problems[0])
    file = tmp_path / "temper.toml"
    file.write_text(f'[approvals]\nwebhook = "{webhook}"\nsecret = "{secret}"\n')
    with pytest.raises(CannotOpen) as caught:
        await Workshop.open(load_settings(file, {"CHAT": SECRET}))
    assert [each.key for each in caught.value.problems] == [key]
