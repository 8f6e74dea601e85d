"""Tokens of identity providers: what is forged, meant for others, too old or too new lets nobody in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from temper.runtime import BadToken, Issuer, Issuers, KeysAway, KeysWanted
from temper.runtime.identity.keys import AGAIN_S, FRESH_S, is_safe_address
from tests.runtime.issuer import AT, Provider, forged, key, provider, public

NOW = AT * 1000
KEPT_S = 3_600.0


class Clock:
    """Seconds that are moved by hand."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def idp() -> AsyncIterator[Provider]:
    """A provider of the test's own."""
    with provider() as found:
        yield found


def _issuer(idp: Provider, **more: Any) -> Issuer:
    whole = Issuer("corp", idp.url, frozenset({"temper"}), "", frozenset({"RS256", "ES256", "EdDSA"}), 60_000, KEPT_S)
    return replace(whole, **more)


class Reader:
    """Reads tokens as a server does: at once where it can, else once the keys are there."""

    def __init__(self, idp: Provider, *issuers: Issuer) -> None:
        self.clock = Clock()
        self.issuers = Issuers(issuers or [_issuer(idp)], clock=self.clock)

    async def read(self, token: str, at: int = NOW) -> Any:
        try:
            return self.issuers.read(token, at=at).claims
        except KeysWanted as wanted:
            await wanted.keys.fetched()
        try:
            return self.issuers.read(token, at=at).claims
        except KeysWanted:
            raise AssertionError("it was fetched") from None

    async def refused(self, token: str, at: int = NOW) -> str:
        with pytest.raises(BadToken) as bad:
            await self.read(token, at)
        return str(bad.value)


async def test_a_token_of_the_provider_is_read(idp: Provider) -> None:
    reader = Reader(idp)
    found = await reader.read(idp.token(email="ann@example.com"))
    assert (found["sub"], found["email"]) == ("ann", "ann@example.com")
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"]
    await reader.read(idp.token(sub="bob"))
    assert len(idp.asked) == 2


@pytest.mark.parametrize(("kind", "algorithm"), [("RSA", "RS256"), ("EC", "ES256"), ("Ed", "EdDSA")])
async def test_each_way_to_sign_is_held_against_its_kind_of_key(idp: Provider, kind: str, algorithm: str) -> None:
    idp.keys = [public(kind, "mine"), public("RSA", "other", "o"), public("EC", "another", "a")]
    assert (await Reader(idp).read(idp.token(kind, "mine", algorithm)))["sub"] == "ann"


def _by_public_key(idp: Provider) -> str:
    """The public key taken for the secret of an HMAC, which whoever has read it could sign with."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key("RSA").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = forged({"alg": "HS256", "kid": "k1"}, idp.claims()).rpartition(".")[0]
    mac = base64.urlsafe_b64encode(hmac.new(pem, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    return f"{text}.{mac}"


def _tampered(idp: Provider) -> str:
    head, _, mac = idp.token().split(".")
    body = base64.urlsafe_b64encode(json.dumps(idp.claims(sub="root")).encode()).decode().rstrip("=")
    return f"{head}.{body}.{mac}"


FORGED: dict[str, tuple[Callable[[Provider], str], str]] = {
    "alg none": (lambda idp: forged({"alg": "none"}, idp.claims()), "signed in a way"),
    "alg none, odd case": (lambda idp: forged({"alg": "nOnE", "kid": "k1"}, idp.claims()), "signed in a way"),
    "no alg": (lambda idp: forged({"kid": "k1"}, idp.claims()), "signed in a way"),
    "alg of another type": (lambda idp: forged({"alg": ["RS256"]}, idp.claims()), "signed in a way"),
    "the public key as a secret": (_by_public_key, "signed in a way"),
    "an algorithm that is not named": (lambda idp: idp.token(algorithm="RS512"), "signed in a way"),
    "no signature": (lambda idp: forged({"alg": "RS256", "kid": "k1"}, idp.claims()), "signature"),
    "another's claims": (_tampered, "signature"),
    "another's key": (lambda idp: idp.token(name="eve"), "signature"),
    "an EC token by the name of an RSA key": (lambda idp: idp.token("EC", "k1", "ES256"), "no such key"),
    "its own key in the head": (
        lambda idp: forged({"alg": "RS256", "jwk": public("RSA", "x", "eve"), "kid": "x"}, idp.claims()),
        "no such key",
    ),
    "a key elsewhere": (
        lambda idp: forged({"alg": "RS256", "jku": "http://127.0.0.1:1/", "kid": "x"}, idp.claims()), "no such key",
    ),
    "another issuer": (lambda idp: idp.token(iss="https://evil.example.com"), "its issuer"),
    "the issuer with a slash": (lambda idp: idp.token(iss=idp.url + "/"), "its issuer"),
    "the issuer in a list": (lambda idp: idp.token(iss=[idp.url]), "its issuer"),
    "no issuer": (lambda idp: idp.token(iss=None), "its issuer"),
    "another audience": (lambda idp: idp.token(aud="billing"), "meant for somebody else"),
    "other audiences": (lambda idp: idp.token(aud=["billing", "temperature"]), "meant for somebody else"),
    "no audience": (lambda idp: idp.token(aud=None), "meant for somebody else"),
    "no expiry": (lambda idp: idp.token(exp=None), "`exp` is no time"),
    "an expiry that is text": (lambda idp: idp.token(exp="never"), "`exp` is no time"),
    "an expiry without end": (lambda idp: idp.token(exp=10**18), "`exp` is no time"),
    "an expiry that is true": (lambda idp: idp.token(exp=True), "`exp` is no time"),
    "a token for signing out": (
        lambda idp: forged({"alg": "RS256", "kid": "k1", "typ": "logout+jwt"}, idp.claims()), "no token of a person's",
    ),
    "an extension that has to be understood": (
        lambda idp: forged({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": False}, idp.claims()),
        "no token of a person's",
    ),
    "a key's name that is a number": (lambda idp: forged({"alg": "RS256", "kid": 1}, idp.claims()), "no name"),
    "too long": (lambda idp: idp.token(groups=["x" * 100] * 200), "16,384 characters"),
    "two parts": (lambda idp: idp.token().rpartition(".")[0], "no JSON Web Token"),
    "five parts": (lambda idp: idp.token() + ".a.b", "no JSON Web Token"),
    "other letters": (lambda idp: "ä" + idp.token(), "no JSON Web Token"),
    "padding": (lambda idp: idp.token().replace(".", "=.", 1), "no JSON Web Token"),
    "a head that is no object": (lambda idp: "W10." + idp.token().partition(".")[2], "no JSON object"),
    "nonsense": (lambda idp: "a.b.c", "no JSON"),
    "deep nonsense": (
        lambda idp: base64.urlsafe_b64encode(b'{"a":' + b"[" * 5_000).decode().rstrip("=") + ".e30.x", "no JSON object",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", FORGED)
async def test_a_forged_token_lets_nobody_in(idp: Provider, row: str) -> None:
    make, says = FORGED[row]
    reader = Reader(idp)
    assert says in await reader.refused(make(idp))
    await reader.read(idp.token())


@pytest.mark.parametrize(
    ("claims", "at", "good"),
    [
        ({"exp": AT}, NOW + 59_999, True),
        ({"exp": AT}, NOW + 60_000, False),
        ({"nbf": AT + 60}, NOW, True),
        ({"nbf": AT + 61}, NOW, False),
        ({"iat": AT + 60}, NOW, True),
        ({"iat": AT + 61}, NOW, False),
        ({"nbf": None, "iat": None}, NOW, True),
        ({"exp": AT + 0.5}, NOW + 60_499, True),
        ({"exp": AT + 0.5}, NOW + 60_500, False),
    ],
)
async def test_times_are_held_to_with_a_skew(idp: Provider, claims: dict[str, Any], at: int, good: bool) -> None:
    reader, token = Reader(idp), idp.token(**claims)
    await reader.read(idp.token())
    if good:
        assert (await reader.read(token, at))["sub"] == "ann"
    else:
        await reader.refused(token, at)


async def test_a_token_that_was_good_is_not_good_for_ever(idp: Provider) -> None:
    reader, token = Reader(idp), idp.token()
    await reader.read(token)
    await reader.read(token, NOW + 659_999)
    assert "expired" in await reader.refused(token, NOW + 660_000)


async def test_a_key_that_is_new_is_fetched_when_its_first_token_comes(idp: Provider) -> None:
    reader = Reader(idp)
    await reader.read(idp.token())
    idp.keys = [public("RSA", "k2", "second")]
    reader.clock.now += AGAIN_S
    new = idp.token(kid="k2", name="second")
    assert (await reader.read(new))["sub"] == "ann"
    assert len(idp.asked) == 4


async def test_what_a_key_signed_goes_with_it(idp: Provider) -> None:
    reader, token = Reader(idp), idp.token()
    await reader.read(token)
    await reader.read(token)
    # The same name, another key: what the old one signed is not good any more, though it was just now.
    idp.keys = [public("RSA", "k1", "second")]
    reader.clock.now += FRESH_S + 1
    await reader.read(token)
    await _idle(reader)
    assert "signature" in await reader.refused(token)


async def _idle(reader: Reader) -> None:
    (keys,) = reader.issuers._keys.values()
    if keys._fetching is not None:
        await keys._fetching


async def test_a_flood_of_keys_that_are_not_known_asks_the_provider_once(idp: Provider) -> None:
    reader = Reader(idp)
    await reader.read(idp.token())
    reader.clock.now += AGAIN_S
    asked = len(idp.asked)
    flood = [reader.refused(idp.token(kid=f"made-up-{number}")) for number in range(50)]
    assert set(await asyncio.gather(*flood)) == {"its issuer has no such key"}
    assert len(idp.asked) == asked + 2
    for number in range(50):
        await reader.refused(idp.token(kid=f"more-{number}"))
    assert len(idp.asked) == asked + 2
    await reader.read(idp.token(sub="bob"))


async def test_a_new_key_during_an_outage_is_not_said_to_be_none(idp: Provider) -> None:
    """Who is told that their token is bad throws it away; that its key can't be looked up passes."""
    reader = Reader(idp)
    await reader.read(idp.token())
    idp.status = 503
    reader.clock.now += AGAIN_S
    for _ in range(2):  # With a look, and too soon for another.
        with pytest.raises(KeysAway):
            await reader.read(idp.token(kid="new"))
    await reader.read(idp.token(sub="bob"))
    idp.status = 200
    reader.clock.now += AGAIN_S
    assert await reader.refused(idp.token(kid="new")) == "its issuer has no such key"


async def test_keys_outlive_an_outage_until_they_are_too_old(idp: Provider) -> None:
    reader = Reader(idp)
    await reader.read(idp.token())
    idp.status = 503
    reader.clock.now += KEPT_S
    await reader.read(idp.token(sub="bob"))
    await _idle(reader)
    await reader.read(idp.token(sub="eve"))
    reader.clock.now += 1
    with pytest.raises(KeysAway):
        await reader.read(idp.token(sub="eve"))
    idp.status = 200
    with pytest.raises(KeysAway):
        await reader.read(idp.token(sub="eve"))
    reader.clock.now += AGAIN_S
    await reader.read(idp.token(sub="eve"))


@pytest.mark.parametrize(
    "broken",
    [
        {"status": 500}, {"status": 302}, {"raw": b"<html>"}, {"raw": b"[]"}, {"raw": b'{"keys": 1}'},
        {"raw": b'{"keys": [' + b"1," * 65 + b"1]}"}, {"raw": b" " * 300_000}, {"raw": b"\xff"},
        {"raw": b'{"a":' + b"[" * 5_000}, {"says": {"issuer": "https://evil.example.com"}},
        {"says": {"jwks_uri": "http://evil.example.com/keys"}}, {"says": {"jwks_uri": 1}},
        {"says": {"jwks_uri": "https://a:b@example.com/keys"}}, {"says": {"jwks_uri": "file:///etc/passwd"}},
    ],
)  # fmt: skip
async def test_what_a_provider_should_not_answer_gives_no_keys(idp: Provider, broken: dict[str, Any]) -> None:
    for name, value in broken.items():
        setattr(idp, name, value)
    with pytest.raises(KeysAway):
        await Reader(idp).read(idp.token())


@pytest.mark.parametrize(
    "shown",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"}, {"kty": "RSA", "kid": "k1", "use": "sig"},
        {"kid": "k1"}, 1, {"kty": ["RSA"], "kid": "k1"},
    ],
)  # fmt: skip
async def test_a_key_that_is_none_is_passed_over(idp: Provider, shown: Any) -> None:
    idp.keys = [shown, public("RSA", "k2", "second")]
    reader = Reader(idp)
    assert await reader.refused(idp.token())
    await reader.read(idp.token(kid="k2", name="second"))


@pytest.mark.parametrize(
    "more", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": 1}, {"alg": "RS512"}, {"d": "AQAB"}]
)
async def test_a_key_is_used_for_what_it_is_for(idp: Provider, more: dict[str, Any]) -> None:
    idp.keys = [public("RSA", "k1", **more)]
    assert await Reader(idp).refused(idp.token()) == "its issuer has no such key"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_key_that_is_too_short_proves_nothing(idp: Provider) -> None:
    idp.keys = [public("short", "k1")]
    assert "signature" in await Reader(idp).refused(idp.token("short"))


async def test_without_a_name_it_is_the_only_key_that_fits(idp: Provider) -> None:
    reader = Reader(idp)
    await reader.read(idp.token(kid=None))
    idp.keys = [public("RSA", "k1"), public("RSA", "k2", "second")]
    other = Reader(idp)
    assert await other.refused(idp.token(kid=None)) == "its issuer has no such key"


async def test_one_issuer_does_not_speak_for_another(idp: Provider) -> None:
    with provider() as second:
        second.keys = [public("RSA", "k1", "second")]
        one, other = _issuer(idp), replace(_issuer(second), name="other")
        reader = Reader(idp, one, other)
        assert reader.issuers is not None
        await reader.read(idp.token())
        await reader.read(second.token(name="second"))
        assert "signature" in await reader.refused(second.token(name="second", iss=idp.url))
        assert "signature" in await reader.refused(idp.token(iss=second.url))


async def test_keys_can_be_where_the_settings_say(idp: Provider) -> None:
    reader = Reader(idp, _issuer(idp, jwks=f"{idp.url}/elsewhere"))
    await reader.read(idp.token())
    assert idp.asked == ["/elsewhere"]


async def test_what_was_found_good_is_bounded(idp: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("temper.runtime.identity.issuers.GOOD_MAX", 3)
    reader = Reader(idp)
    for number in range(10):
        await reader.read(idp.token(sub=f"p{number}"))
        await reader.refused(idp.token(sub=f"p{number}", aud="x"))
    assert len(reader.issuers._good) <= 3


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://login.example.com", True), ("https://login.example.com/tenant", True), ("http://127.0.0.1:80", True),
        ("http://localhost/x", True), ("http://[::1]:80/x", True), ("http://login.example.com", False),
        ("http://127.0.0.1.example.com", False), ("https://a@login.example.com", False), ("https://", False),
        ("ftp://127.0.0.1", False), ("", False), ("https://[", False),
    ],
)  # fmt: skip
def test_keys_come_from_where_nobody_can_change_them(url: str, safe: bool) -> None:
    assert is_safe_address(url) is safe
