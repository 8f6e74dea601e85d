"""Pages of other origins: which of them a browser lets read answers. None, unless the settings name them.

Tokens go in `Authorization`, which no browser sends by itself, and there are no cookies: an origin that is listed gets
what the token that its page holds is allowed, and no more. A certificate, or what a proxy adds, a browser's request
does bear by itself, whichever page has asked for it: what comes from another origin is not believed to be theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from temper.web.answer import KEPT_BY_NOBODY, Answer
from temper.web.ask import Message, Scope, Send
from temper.web.problems import decline

_METHODS: Final = b"GET, HEAD, POST, DELETE"
_SENT: Final = b"authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id"
_READ: Final = b"etag, location, retry-after, temper-server, www-authenticate"
_WHENCE: Final = frozenset({b"host", b"origin", b"sec-fetch-site"})
_OWN_SITES: Final = frozenset({b"none", b"same-origin"})
# A browser asks again after so many seconds; some do sooner.
_KEPT_S: Final = b"600"


class Cors:
    """Adds to answers what browsers ask for, where a request comes from a page of a listed origin."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def origin(self, scope: Scope) -> bytes | None:
        """Return the origin of the page that asks, if it is listed."""
        if not self._origins:
            return None
        sent = [value for name, value in scope["headers"] if name == b"origin"]
        return sent[0] if len(sent) == 1 and sent[0] in self._origins else None

    def must_not_be_foreign(self, scope: Scope) -> None:
        """Decline a request that a page of another origin has had a browser send, with nothing that the page holds."""
        sent = {name: value for name, value in scope["headers"] if name in _WHENCE}
        origin, site = sent.get(b"origin"), sent.get(b"sec-fetch-site", b"none")
        if origin in self._origins:
            return
        theirs = origin is not None and origin.partition(b"://")[2] != sent.get(b"host", b"")
        if theirs or site not in _OWN_SITES:
            decline(
                "denied",
                403,
                "a page of another origin acts by no certificate and no proxy",
                help="have the page send a token, or list its origin in `cors` of `[server]`",
            )

    def preflight(self, scope: Scope) -> Answer | None:
        """Return the answer to a browser that asks what it may send, `None` where it asks something else."""
        if scope["method"] != "OPTIONS" or not any(
            name == b"access-control-request-method" for name, _ in scope["headers"]
        ):
            return None
        allowed = (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _SENT),
            (b"access-control-max-age", _KEPT_S),
        )
        return Answer(204, b"", (*KEPT_BY_NOBODY, *allowed))

    def sending(self, origin: bytes, send: Send) -> Send:
        """Return `send`, which lets the page of that origin read what is sent."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                # What may be kept for one page is not to be shown to another.
                vary = b", ".join([*(value for name, value in message["headers"] if name == b"vary"), b"origin"])
                extra = (
                    (b"access-control-allow-origin", origin),
                    (b"access-control-expose-headers", _READ),
                    (b"vary", vary),
                )
                message = {**message, "headers": [*(each for each in message["headers"] if each[0] != b"vary"), *extra]}
            await send(message)

        return told
