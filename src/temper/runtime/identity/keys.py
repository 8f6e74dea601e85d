"""The public keys of an identity provider: fetched beside what goes on, kept, and fetched anew when they are replaced.

A provider replaces its keys when it likes. A token whose key is not known is a reason to look, but not more often than
every few seconds, whoever sends how many of them. While the provider can't be reached its last keys go on to be
trusted, for as long as the settings say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    import jwt

_log = logging.getLogger("temper.runtime")

# Keys are looked at again when they are older than this and in use.
FRESH_S: Final = 300.0
# Two looks are never closer together than this, whatever tokens come.
AGAIN_S: Final = 10.0
TIMEOUT_S: Final = 5.0
BYTES_MAX: Final = 262_144
KEYS_MAX: Final = 64
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class KeysWanted(Exception):
    """A token can't be judged before the keys of its issuer are here: await `keys.fetched()`, and ask again."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys.issuer)
        self.keys = keys


class KeysAway(Exception):
    """The keys of an issuer can't be had, so that whether a token is good can't be known now."""


class Keys:
    """The keys of one issuer. One that has not changed stays the same object, for as long as none has."""

    def __init__(self, issuer: str, jwks: str, *, kept_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._jwks = jwks
        self._kept_s = kept_s
        self._clock = clock
        self._keys: list[Mapping[str, Any]] = []
        self._made: dict[tuple[int, str], jwt.PyJWK] = {}
        self._had: float | None = None  # when they were fetched
        self._tried: float | None = None
        self._away = False  # whether the last look has failed
        self._fetching: asyncio.Task[None] | None = None

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of that id for an algorithm, `None` where the issuer has none.

        Without an id it is the only one that fits. Raises `KeysWanted` where it is time to look, and `KeysAway` where
        there are none that may be trusted, or the last look has failed and it is not known whether there is a new one.
        """
        now = self._clock()
        if self._had is None or now - self._had > self._kept_s:
            if self._may_look(now):
                raise KeysWanted(self)
            raise KeysAway(f"the keys of {self.issuer} can't be fetched")
        if now - self._had > FRESH_S and self._may_look(now):
            self._begin()  # These are good meanwhile.
        fitting = [
            number
            for number, key in enumerate(self._keys)
            if _fits(key, algorithm) and (kid is None or key.get("kid") == kid)
        ]
        if len(fitting) == 1:
            return self._key(fitting[0], algorithm)
        if not fitting and self._may_look(now):
            raise KeysWanted(self)
        if not fitting and self._away:
            raise KeysAway(f"the keys of {self.issuer} can't be fetched, and this one may be new")
        return None

    def _may_look(self, now: float) -> bool:
        return self._fetching is not None or self._tried is None or now - self._tried >= AGAIN_S

    def _key(self, number: int, algorithm: str) -> jwt.PyJWK | None:
        import jwt

        made = self._made.get((number, algorithm))
        if made is None:
            try:
                made = jwt.PyJWK(dict(self._keys[number]), algorithm)
            except jwt.PyJWTError:
                return None
            self._made[number, algorithm] = made
        return made

    def _begin(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried = self._clock()
            self._fetching = asyncio.get_running_loop().create_task(self._fetch(), name=f"keys of {self.issuer}")
            self._fetching.add_done_callback(self._ended)
        return self._fetching

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        # Another round of waiting from its end on: an issuer that takes long to fail is not asked all the time.
        self._tried = self._clock()

    async def fetched(self) -> None:
        """Return once the keys were fetched, or that has failed; all who wait share one look."""
        if self._may_look(self._clock()):
            await asyncio.shield(self._begin())

    async def close(self) -> None:
        """Give up what is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _fetch(self) -> None:
        from temper.runtime.egress import Forbidden

        try:
            async with asyncio.timeout(TIMEOUT_S):
                keys = _sound(await self._json(await self._where()))
        except (Forbidden, OSError, _Unfit) as problem:
            _log.warning("the keys of %s can't be fetched: %s", self.issuer, str(problem) or type(problem).__name__)
            self._away = True
            return
        self._away = False
        if keys != self._keys:
            self._keys, self._made = keys, {}
        self._had = self._clock()

    async def _where(self) -> str:
        """Return where the keys are, by the settings or by what the issuer says of itself."""
        if self._jwks:
            return self._jwks
        found = await self._json(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise _Unfit(f"it calls itself {str(found.get('issuer'))[:200]!r}")
        where = found.get("jwks_uri")
        if not isinstance(where, str) or not is_safe_address(where):
            raise _Unfit("it names no `jwks_uri` that is safe")
        return where

    async def _json(self, url: str) -> dict[str, Any]:
        """Return what is at a URL. One of a host that the settings do not name is asked where it is public alone."""
        from temper.runtime.egress import fetch, only

        named = urlsplit(url).netloc in (urlsplit(self.issuer).netloc, urlsplit(self._jwks).netloc)
        accept = (("Accept", "application/json"),)
        answer = await fetch(
            url, egress=only(url, inside=named), headers=accept, timeout_s=TIMEOUT_S, bytes_max=BYTES_MAX
        )
        if answer.status != 200:
            raise _Unfit(f"{url} answered {answer.status}")
        try:
            found: dict[str, Any] = msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Unfit(f"{url} did not answer with a JSON object") from error
        return found


class _Unfit(Exception):
    """An answer is not what it should be."""


def is_safe_address(url: str) -> bool:
    """Say whether nobody between here and there can change what comes from a URL: it is `https`, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


def _sound(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the keys that signatures can be held against; others, of which a set may have any, are passed over."""
    keys = found.get("keys")
    if not isinstance(keys, list) or len(keys) > KEYS_MAX:
        raise _Unfit(f"its `keys` are no list of at most {KEYS_MAX}")
    return [key for key in keys if isinstance(key, dict) and _verifies(key)]


def _verifies(key: Mapping[str, Any]) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") in ("RSA", "EC", "OKP")
        and key.get("use") in (None, "sig")
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in key  # One that is private has been given away, and is nobody's any more.
    )


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    if key.get("alg") not in (None, algorithm) or key.get("kty") != _TYPES.get(algorithm[:2]):
        return False
    curve = _CURVES.get(algorithm) if key["kty"] == "EC" else "Ed25519" if key["kty"] == "OKP" else None
    return curve is None or key.get("crv") == curve
