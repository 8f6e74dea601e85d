"""Tokens against a server that runs: forged ones of an identity provider, and good ones after they have been ended."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from temper.service.settings import IdentitySection, OidcSection
from temper.web import Limits
from tests.runtime.issuer import Provider, forged, key, provider, public
from tests.service.shop import ADMIN, Prepared, copied, opened
from tests.threats.conftest import QUICK
from tests.threats.treasury import OPENED, Door
from tests.web.test_server import running


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


def section(url: str) -> IdentitySection:
    corp = OidcSection(issuer=url, audience="temper", roles_claim="groups", roles={"officers": "officer"})
    return IdentitySection(oidc={"corp": corp})


@asynccontextmanager
async def served(treasury: Prepared, folder: Path, issuer: str) -> AsyncIterator[Door]:
    async with (
        opened(copied(treasury, folder / "data"), push=QUICK, identity=section(issuer)) as vault,
        running(vault, Limits(drain_timeout=1.0)) as server,
    ):
        yield await Door.of(vault, server)


def now(**more: Any) -> dict[str, Any]:
    """Claims of somebody who is an officer at this time."""
    at = int(time.time())
    return {"groups": ["officers"], "iat": at, "nbf": at, "exp": at + 600, **more}


def pointing(idp: Provider, elsewhere: Provider, **head: Any) -> str:
    """A token that is signed by a key of one's own, and says where that is to be found."""
    import jwt

    body = json.dumps(idp.claims(**now())).encode()
    there = {
        name: value.replace("THERE", elsewhere.url) if isinstance(value, str) else value for name, value in head.items()
    }
    return jwt.PyJWS().encode(body, key("RSA", "eve"), algorithm="RS256", headers=there)


def by_public_key(idp: Provider, secret: bytes) -> str:
    import hashlib
    import hmac

    text = forged({"alg": "HS256", "kid": "k1"}, idp.claims(**now())).rpartition(".")[0]
    mac = base64.urlsafe_b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    return f"{text}.{mac}"


def pem() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = key("RSA").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def der() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = key("RSA").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


FORGED: dict[str, Callable[[Provider, Provider], str]] = {
    "alg none": lambda idp, _: forged({"alg": "none", "kid": "k1"}, idp.claims(**now())),
    "alg None": lambda idp, _: forged({"alg": "None", "kid": "k1"}, idp.claims(**now())),
    "no signature": lambda idp, _: forged({"alg": "RS256", "kid": "k1"}, idp.claims(**now())),
    "HMAC by the public key": lambda idp, _: by_public_key(idp, pem()),
    "HMAC by the key's other form": lambda idp, _: by_public_key(idp, der()),
    "HMAC by nothing": lambda idp, _: by_public_key(idp, b""),
    "kid is a path": lambda idp, to: pointing(idp, to, kid="../../../../dev/null"),
    "kid is a file": lambda idp, to: pointing(idp, to, kid="file:///dev/null"),
    "kid is an address": lambda idp, to: pointing(idp, to, kid="THERE/keys"),
    "kid is SQL": lambda idp, to: pointing(idp, to, kid="k1' UNION SELECT 'k"),
    "kid has a zero byte": lambda idp, to: pointing(idp, to, kid="k1\0"),
    "kid is long": lambda idp, to: pointing(idp, to, kid="k" * 9_000),
    "jku": lambda idp, to: pointing(idp, to, kid="k1", jku="THERE/keys"),
    "jku of a key that is not known": lambda idp, to: pointing(idp, to, kid="e1", jku="THERE/keys"),
    "x5u": lambda idp, to: pointing(idp, to, kid="e1", x5u="THERE/keys"),
    "jwk": lambda idp, to: pointing(idp, to, kid="k1", jwk=public("RSA", "k1", "eve")),
    "x5c": lambda idp, to: pointing(idp, to, kid="k1", x5c=[base64.b64encode(der()).decode()]),
    "the issuer is elsewhere": lambda idp, to: to.token(name="eve", **now()),
    "the issuer is nearly it": lambda idp, _: idp.token(**now(iss=idp.url + "/")),
    "for somebody else": lambda idp, _: idp.token(**now(aud="another")),
    "it has ended": lambda idp, _: idp.token(**now(exp=int(time.time()) - 61)),
    "it has not begun": lambda idp, _: idp.token(**now(nbf=int(time.time()) + 120)),
    "it was made later": lambda idp, _: idp.token(**now(iat=int(time.time()) + 120)),
    "another has signed it": lambda idp, _: idp.token(name="eve", **now()),
}


async def test_a_forged_token_of_a_provider_does_nothing_and_nobody_is_asked_for_its_key(
    treasury: Prepared, tmp_path: Path, idp: Provider
) -> None:
    """Where its key is to be found a token may say as it likes: there nobody looks."""
    with provider() as elsewhere:
        elsewhere.keys = [public("RSA", each, "eve") for each in ("k1", "e1")]
        async with served(treasury, tmp_path, idp.url) as door:
            for number, how in enumerate(FORGED):
                body = {**OPENED, "id": f"p{number}"}
                token = FORGED[how](idp, elsewhere)
                answer = await door.ask(None, "POST", "/v1/treasury/Payment", body, token=token)
                assert (answer.status, answer.kind) == (401, "unauthenticated"), how
                assert token[-40:] not in answer.raw.decode(), "it is not said back"
            assert door.taken() == []
            assert elsewhere.asked == []
            assert idp.asked.count("/keys") == 1, "what is not known asks for keys at most every ten seconds"
            good = await door.ask(None, "POST", "/v1/treasury/Payment", {**OPENED, "id": "p"}, token=idp.token(**now()))
            assert good.status == 201, "or the rows above would show nothing"
            (entry,) = await door.vault.history(ADMIN, "treasury", "Payment", "p")
            assert (entry.principal, entry.roles) == ("corp:ann", ("officer",))


async def test_a_provider_that_hangs_holds_up_those_who_bear_its_tokens_alone(
    treasury: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told to come again; everybody else is answered meanwhile, and few connections are made to it."""
    monkeypatch.setattr("temper.runtime.identity.keys.TIMEOUT_S", 1.0)
    asked = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        try:
            await reader.read()
        finally:
            writer.close()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{hanging.sockets[0].getsockname()[1]}"
    async with hanging, served(treasury, tmp_path, url) as door:
        idp = Provider(url=url)
        waiting = [
            asyncio.create_task(door.ask(None, "GET", "/v1/me", token=idp.token(sub=f"s{number}", **now())))
            for number in range(20)
        ]
        began = time.monotonic()
        await asyncio.sleep(0.1)
        assert (await door.ask("cleo", "GET", "/v1/me")).status == 200
        assert time.monotonic() - began < 0.8
        assert not any(each.done() for each in waiting)
        answers = await asyncio.gather(*waiting)
    assert {(each.status, each.kind) for each in answers} == {(503, "unavailable")}
    assert asked == 1


async def test_a_token_that_has_just_been_revoked_is_no_use_on_a_connection_that_knows_it(door: Door) -> None:
    """In the same moment by the clock, on the short way, by its sessions and theirs too."""
    made = door.vault.make_token(ADMIN, "olaf", ("officer",))
    whose = [made.token]
    for name in ("one", "two"):
        started = await door.ask(None, "POST", "/v1/sessions", {"name": name}, token=whose[-1])
        whose.append(started.body["token"])
    door.vault.clock = _Stopped(door.vault.clock.now(), door.vault.clock)
    lines = [await _Line.of(door, token) for token in whose]
    for line in lines:
        assert [await line.open_payment() for _ in range(4)] == [201] * 4
    await door.vault.revoke_token(ADMIN, made.info.id)
    assert [await line.open_payment() for line in lines] == [401, 401, 401]
    assert len(door.taken()) == 12
    for line in lines:
        line.writer.close()


class _Stopped:
    """A clock that says the same all the time, and wakes whom it is to wake by another."""

    def __init__(self, at: int, wakes: Any) -> None:
        self._at = at
        self._wakes = wakes

    def now(self) -> int:
        return self._at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wakes, name)


class _Line:
    """A connection over which one caller asks again and again, with the same head."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, body: bytes) -> None:
        self.reader = reader
        self.writer = writer
        self._sent = head + body

    @classmethod
    async def of(cls, door: Door, token: str) -> _Line:
        body = json.dumps(OPENED).encode()
        lines = [
            "POST /v1/treasury/Payment HTTP/1.1", "Host: x", f"Authorization: Bearer {token}",
            "Content-Type: application/json", f"Content-Length: {len(body)}",
        ]  # fmt: skip
        return cls(*await door.server.connect(), "\r\n".join((*lines, "", "")).encode(), body)

    async def open_payment(self) -> int:
        self.writer.write(self._sent)
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        await self.reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        return int(head.split()[1])
