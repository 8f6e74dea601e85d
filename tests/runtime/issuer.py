"""An identity provider on loopback: real keys, which rotate, and tokens signed by them or by somebody else's."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AT = 1_900_000_000
"""The second at which tests take place."""


@cache
def key(kind: str, name: str = "") -> Any:
    """A private key, made once for all tests; `name` tells those of one kind apart."""
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "short":
            return rsa.generate_private_key(65537, 1024)
        case "EC":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def public(kind: str, kid: str, name: str = "", **more: Any) -> dict[str, Any]:
    """The public part of a key, as a provider shows it."""
    ways = {"EC": ECAlgorithm, "Ed": OKPAlgorithm}
    found = ways.get(kind, RSAAlgorithm).to_jwk(key(kind, name).public_key(), as_dict=True)  # type: ignore[attr-defined]  # all have it
    return {**found, "kid": kid, "use": "sig", **more}


@dataclass
class Provider:
    """What the provider answers, and how often it was asked."""

    keys: list[dict[str, Any]] = field(default_factory=lambda: [public("RSA", "k1")])
    status: int = 200
    asked: list[str] = field(default_factory=list)
    says: dict[str, Any] = field(default_factory=dict)
    """What it says of itself instead of the truth."""
    raw: bytes | None = None
    """What it answers instead of its keys."""
    url: str = ""

    def answer(self, path: str) -> bytes:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.says}).encode()
        return self.raw if self.raw is not None else json.dumps({"keys": self.keys}).encode()

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a good token; `None` leaves one out."""
        whole = {
            "iss": self.url, "aud": "temper", "sub": "ann", "iat": AT - 10, "nbf": AT - 10, "exp": AT + 600, **more,
        }  # fmt: skip
        return {name: value for name, value in whole.items() if value is not None}

    def token(
        self, kind: str = "RSA", kid: str | None = "k1", algorithm: str = "RS256", name: str = "", **more: Any
    ) -> str:
        """A token signed by a key of that kind, whether or not the provider shows it."""
        header = {"kid": kid} if kid is not None else {}
        body = json.dumps(self.claims(**more)).encode()
        return jwt.PyJWS().encode(body, key(kind, name), algorithm=algorithm, headers=header)


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token with this head, whatever a library would say to it."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider while the block lasts."""
    found = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = found.answer(self.path)
            self.send_response(found.status)
            if found.status in (301, 302):
                self.send_header("location", "http://127.0.0.1:1/")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
