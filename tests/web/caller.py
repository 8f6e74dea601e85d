"""A caller of an ASGI application that says exactly what goes over: no client in between tidies a request up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.web import Door
from tests.web.fake import TOKEN

BEARER = (b"authorization", b"Bearer " + TOKEN.encode())
JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return msgspec.json.decode(self.body)


def scope(
    method: str, target: str, headers: Iterable[tuple[bytes, bytes]], client: tuple[str, int] | None = None
) -> dict[str, Any]:
    """Return an ASGI scope for `target`, a path as it is sent, with its query; `client` is where it comes from."""
    raw, _, query = target.encode().partition(b"?")
    return {
        "type": "http",
        "method": method,
        "path": raw.decode(),
        "raw_path": raw,
        "query_string": query,
        "headers": list(headers),
        "client": client,
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "asgi": {"version": "3.0"},
    }


async def call(
    door: Door,
    method: str,
    target: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    pieces: Iterable[bytes] | None = None,
    whole: bool = True,
    token: bool = True,
    client: tuple[str, int] | None = None,
) -> Response:
    """Return the whole answer. `pieces` sends the body in several; without `whole` the last does not come."""
    sent: list[dict[str, Any]] = []
    parts = list(pieces) if pieces is not None else [body]
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) or not whole}
        for number, part in enumerate(parts, 1)
    ]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("nobody goes away")

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await door(scope(method, target, [*((BEARER,) if token else ()), *headers], client), receive, send)
    assert sent[0]["type"] == "http.response.start"
    assert not sent[-1].get("more_body", False), "the answer has an end"
    named = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    assert len(dict(named)) == len(named), "no header is sent twice"
    return Response(sent[0]["status"], dict(named), b"".join(message["body"] for message in sent[1:]))
