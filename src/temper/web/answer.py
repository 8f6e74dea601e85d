"""An answer, and how it goes over the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from temper.service import wire
from temper.web.ask import Send

Headers = tuple[tuple[bytes, bytes], ...]

# Answers depend on who asks and on what happened last: nobody keeps them, and no browser guesses what they are.
_SAFE: Final[Headers] = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
KEPT_BY_NOBODY: Final[Headers] = (*_SAFE, (b"cache-control", b"no-store"))
# What bears an `ETag` may be kept by whoever asked, and is asked for again each time.
ASKED_AGAIN: Final[Headers] = (*_SAFE, (b"cache-control", b"private, no-cache"), (b"vary", b"authorization"))

_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", b"application/problem+json")
_PLAIN: Final[Headers] = (_JSON, *KEPT_BY_NOBODY)
_ENCODER: Final = msgspec.json.Encoder()
encode = _ENCODER.encode


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    body: bytes
    headers: Headers


def json(value: Any, status: int = 200, extra: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """Return `value` as JSON that nobody keeps."""
    return Answer(status, encode(value), (*_PLAIN, *extra) if extra else _PLAIN)


def tagged(value: Any, tag: str, status: int = 200) -> Answer:
    """Return `value` as JSON with its `ETag`."""
    return Answer(status, encode(value), (_JSON, *ASKED_AGAIN, (b"etag", tag.encode())))


def unchanged(tag: str) -> Answer:
    """Return "you have it already"."""
    return Answer(304, b"", (*ASKED_AGAIN, (b"etag", tag.encode())))


def problem(of: wire.Problem, extra: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """Return a problem: its type as a reference to the page that explains it, and when to try again."""
    shown = msgspec.structs.replace(of, type=f"/problems/{of.type}")
    headers = [_PROBLEM, *KEPT_BY_NOBODY, *extra]
    if of.decision:
        headers.append((b"location", b"/v1/decisions/" + of.decision.encode()))
    if of.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="temper"'))
    if of.retry_after_ms is not None:
        seconds = max(1, -(-of.retry_after_ms // 1000))
        headers.append((b"retry-after", str(seconds).encode()))
    return Answer(of.status, encode(shown), tuple(headers))


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


_PLAIN_LINES: Final = lines(_PLAIN)


def whole(answer: Answer, status_line: bytes, stamp: bytes) -> bytes:
    """Return an answer with a body as it is sent; `stamp` are the headers that the server gives to each."""
    said = _PLAIN_LINES if answer.headers is _PLAIN else lines(answer.headers)
    body = answer.body
    return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (status_line, stamp, said, len(body), body)


async def deliver(answer: Answer, method: str, send: Send) -> None:
    """Send `answer`; to HEAD its head alone."""
    headers = list(answer.headers)
    if answer.status not in (204, 304):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
