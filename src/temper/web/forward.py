"""A request that another server decides, handed on to it; its answer is handed back as it is.

It goes out with the caller's own token, or with this server's word for whom a proxy has named; and once: whoever gets a
request that was handed on and does not decide it either says so, and nothing has been done. A caller may as well ask
that server itself: `Temper-Server` is its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from temper.service import LENT, wire
from temper.web import answer
from temper.web.answer import Answer
from temper.web.problems import decline

if TYPE_CHECKING:
    import ssl

    import httpx2

HANDED_ON: Final = b"temper-forwarded"
"""The header of a request that was handed on, and of an answer that says that nothing was done with it."""
SERVER: Final = b"temper-server"

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 30.0
_CONNECTIONS_MAX: Final = 256
SIGNED: Final = (
    b"temper-timestamp", b"temper-delivery", b"temper-signature", b"x-hub-signature-256", b"stripe-signature",
)  # fmt: skip
"""What a delivery is signed by: who decides looks at that itself."""
_SENT: Final = (b"authorization", b"content-type", b"idempotency-key", b"if-match", *SIGNED)
# These are between two machines, or the server's own.
_NOT_BACK: Final = frozenset(
    {b"connection", b"content-encoding", b"content-length", b"date", b"keep-alive", b"server", b"transfer-encoding"}
)


class Courier:
    """Hands requests on. Its connections are kept, and made when they are first needed."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._client: httpx2.AsyncClient | None = None

    async def hand_on(
        self,
        url: str,
        method: str,
        target: bytes,
        head: Mapping[bytes, bytes],
        body: bytes,
        proof: bytes,
        lent: bytes | None = None,
    ) -> Answer | None:
        """Return the other server's answer, `None` where nothing was done: it is not there, or does not decide.

        `proof` says that a server hands it on; `lent` says who calls, where no token does.

        Declines where it can't be known whether it was done.
        """
        # Here, since it is a tenth of a second that one server alone never needs.
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(
                timeout=httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S),
                limits=httpx2.Limits(
                    max_connections=_CONNECTIONS_MAX, max_keepalive_connections=_CONNECTIONS_MAX, keepalive_expiry=4
                ),
                trust_env=False,
                verify=self._tls or True,
            )
        sent = [(name, head[name]) for name in _SENT if name in head]
        sent.append((HANDED_ON, proof))
        if lent is not None:
            sent.append((LENT, lent))
        try:
            found = await self._client.request(method, url + target.decode("ascii"), headers=sent, content=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return None
        except httpx2.HTTPError:
            decline(
                "unavailable",
                503,
                "the server that decides it did not answer",
                detail="whether it was done is not known",
                help="ask again with the same `Idempotency-Key`, or read the entity",
                retry_after_ms=1000,
            )
        headers = tuple((name.lower(), value) for name, value in found.headers.raw if name.lower() not in _NOT_BACK)
        if any(name == HANDED_ON for name, _ in headers):
            return None
        return Answer(found.status_code, found.content, (*headers, (SERVER, url.encode())))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def not_here() -> Answer:
    """Return what is said to a server that has handed on what this one does not decide either."""
    return answer.problem(_nobody(), [(HANDED_ON, b"0")])


def _nobody() -> wire.Problem:
    return wire.Problem(
        type="unavailable",
        title="no server decides for this entity right now",
        status=503,
        detail="nothing was done; its partition is passing from one server to another",
        help="try again after the time that Retry-After says",
        retry_after_ms=1000,
    )


def nobody() -> Answer:
    """Return what is said while no server decides."""
    return answer.problem(_nobody())
