"""The identity providers that a server knows, and what their tokens say once they have been held to it.

What a token says of itself decides nothing: which algorithms count and whose keys they are held against, the settings
say. Its text is read as little as can be until its signature has been found good.
"""

from __future__ import annotations

import binascii
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import msgspec

from temper.runtime.identity.keys import Keys

if TYPE_CHECKING:
    import jwt

OIDC_ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Those that sign with a private key and are held against a public one; no other is ever taken."""
TOKEN_MAX: Final = 16_384
# A token that is none of a person's: for signing out, for a security event.
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
# Tokens that were found good, so that a client's next request costs a hash. One is a few KB at most.
GOOD_MAX: Final = 1_024


class BadToken(Exception):
    """A token lets nobody in; the text says why, without a word of the token's own."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider, as the settings have it."""

    name: str
    issuer: str
    audience: frozenset[str]
    jwks: str
    algorithms: frozenset[str]
    skew_ms: int
    kept_s: float


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says, and the name that the settings have for who issued it."""

    name: str
    claims: Mapping[str, Any]
    expires_at: int


class Issuers:
    """Looks at tokens. Made where the settings name an issuer; without one nothing of this is imported."""

    def __init__(self, issuers: Sequence[Issuer], *, clock: Callable[[], float] = time.monotonic) -> None:
        import jwt

        self._issuers = {each.issuer: each for each in issuers}
        self._keys = {each.issuer: Keys(each.issuer, each.jwks, kept_s=each.kept_s, clock=clock) for each in issuers}
        self._jws = jwt.PyJWS(options={"enforce_minimum_key_length": True})
        self._good: dict[bytes, _Held] = {}

    def read(self, token: str, *, at: int) -> Claims:
        """Return what a token says, at a time in milliseconds since 1970.

        Raises `BadToken` where it is not good, `KeysWanted` where keys have to be fetched first, and `KeysAway` where
        they can't be had.
        """
        if len(token) > TOKEN_MAX:
            raise BadToken(f"the token has more than {TOKEN_MAX:,} characters")
        known = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = self._good.get(known)
        # Asked for again all the same: that is when keys are found to be old. One that the issuer has taken back, or
        # replaced, takes with it what it has signed.
        if found is None or found.key is not found.keys.find(found.kid, found.algorithm):
            self._good.pop(known, None)
            found = self._held(token)
            if len(self._good) >= GOOD_MAX:
                self._good.clear()
            self._good[known] = found
        _in_time(found.claims.claims, found.skew_ms, at)
        return found.claims

    def _held(self, token: str) -> _Held:
        import jwt

        header, claims = _peeked(token)
        issuer = self._issuers.get(_text(claims.get("iss")))
        if issuer is None:
            raise BadToken("its issuer is none of those that are known here")
        algorithm, kid = _text(header.get("alg")), header.get("kid")
        if algorithm not in issuer.algorithms:
            raise BadToken("it is signed in a way that is not taken from its issuer")
        if kid is not None and not isinstance(kid, str):
            raise BadToken("its key has no name that can be read")
        if "crit" in header or _text(header.get("typ", "JWT")).lower() not in _TYPES:
            raise BadToken("it is no token of a person's")
        keys = self._keys[issuer.issuer]
        key = keys.find(kid, algorithm)
        if key is None:
            raise BadToken("its issuer has no such key")
        try:
            payload = self._jws.decode_complete(token, key, algorithms=[algorithm])["payload"]
        except jwt.PyJWTError:
            raise BadToken("its signature is not its issuer's") from None
        return _Held(_sound(_object(payload), issuer), keys, key, kid, algorithm, issuer.skew_ms)

    async def close(self) -> None:
        """Give up what is under way."""
        for keys in self._keys.values():
            await keys.close()


@dataclass(frozen=True, slots=True)
class _Held:
    """A token whose signature is good, and the key that it was held against."""

    claims: Claims
    keys: Keys
    key: jwt.PyJWK
    kid: str | None
    algorithm: str
    skew_ms: int


def oidc_installed() -> bool:
    """Say whether what reads these tokens is there: it is an extra."""
    return find_spec("jwt") is not None and find_spec("cryptography") is not None


def _peeked(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what an unproved token says of itself: enough to know whose key to hold it against."""
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("it is no JSON Web Token")
    try:
        head, body = (binascii.a2b_base64(_padded(part), strict_mode=True) for part in parts[:2])
    except (binascii.Error, ValueError):
        raise BadToken("it is no JSON Web Token") from None
    return _object(head), _object(body)


def _padded(part: str) -> str:
    if "+" in part or "/" in part or "=" in part or not part.isascii():
        raise ValueError("these letters are not of that alphabet")
    return part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadToken("it holds no JSON object") from None
    return found


def _sound(claims: Mapping[str, Any], issuer: Issuer) -> Claims:
    if claims.get("iss") != issuer.issuer:
        raise BadToken("its issuer is none of those that are known here")
    audience = claims.get("aud")
    for_whom = audience if isinstance(audience, list) else [audience]
    if issuer.audience.isdisjoint(each for each in for_whom if isinstance(each, str)):
        raise BadToken("it is meant for somebody else")
    return Claims(issuer.name, claims, int(_moment(claims, "exp") * 1000))


def _in_time(claims: Mapping[str, Any], skew_ms: int, at: int) -> None:
    if at >= _moment(claims, "exp") * 1000 + skew_ms:
        raise BadToken("it has expired")
    for name in ("nbf", "iat"):
        if name in claims and at < _moment(claims, name) * 1000 - skew_ms:
            raise BadToken("it is not good yet")


def _moment(claims: Mapping[str, Any], name: str) -> float:
    found = claims.get(name)
    # Past the year 9999 a moment can't be written down.
    if (
        isinstance(found, bool)
        or not isinstance(found, int | float)
        or not math.isfinite(found)
        or not 0 <= found < 2.5e11
    ):
        raise BadToken(f"its `{name}` is no time")
    return float(found)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
