"""Client certificates: whose they are says the settings' list, and what else is said over the connection is no more."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509

from temper.service import Declined, Workshop, load_settings
from temper.service.certificates import Certificates, Ended, problems
from temper.service.settings import CertificatesSection, IdentitySection, ProxySection
from temper.web import Tls
from tests.service.shop import ADMIN, Prepared, copied, opened
from tests.threats.conftest import QUICK
from tests.threats.treasury import OPENED
from tests.web.authority import DAY, Authority, Pair
from tests.web.test_server import Running, running

OLAF = "spiffe://example.com/olaf"
NEMO = "spiffe://example.com/nemo"
LISTED = CertificatesSection(principals={OLAF: "officer", NEMO: ()})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    return authority.server()


def uris(*names: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(each) for each in names]


@dataclass
class Shown:
    """The treasury over TLS, and what clients show."""

    vault: Workshop
    server: Running
    authority: Authority

    async def ask(
        self, shown: Pair | None, method: str, target: str, body: Any = None, *headers: str
    ) -> tuple[int, Any]:
        return await over(self.server.port, self.authority.trusting(shown), method, target, body, *headers)


async def over(
    port: int, context: ssl.SSLContext, method: str, target: str, body: Any = None, *headers: str
) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    sent = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}"] if body is not None else []
    writer.write("\r\n".join((*lines, "", "")).encode() + sent)
    whole = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, found = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(found)


@asynccontextmanager
async def treasury_over_tls(
    folder: Path, authority: Authority, pair: Pair, section: IdentitySection, *, optional: bool = True
) -> AsyncIterator[Shown]:
    tls = Tls(pair.cert, pair.key, authority.pem, client_optional=optional)
    async with opened(folder, push=QUICK, identity=section) as vault, running(vault, tls=tls) as server:
        yield Shown(vault, server, authority)


@pytest.fixture
async def door(treasury: Prepared, tmp_path: Path, authority: Authority, server_pair: Pair) -> AsyncIterator[Shown]:
    section = IdentitySection(certificates=LISTED)
    async with treasury_over_tls(copied(treasury, tmp_path / "data"), authority, server_pair, section) as shown:
        yield shown


async def test_who_is_listed_is_let_in_by_a_certificate_and_the_history_says_so(
    door: Shown, authority: Authority
) -> None:
    """On the short way too, which a head takes once it is known."""
    olaf = authority.sign("whatever", names=uris(OLAF))
    status, me = await door.ask(olaf, "GET", "/v1/me")
    assert (status, me["principal"], me["roles"], "admin" in me) == (200, f"cert:{OLAF}", ["officer"], False)
    assert me["expires_at"] is not None, "it ends with the certificate"
    reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port, ssl=authority.trusting(olaf))
    for number in range(5):
        body = json.dumps({**OPENED, "id": f"p{number}"}).encode()
        head = f"POST /v1/treasury/Payment HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert answer.startswith(b"HTTP/1.1 201 "), answer
        await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.close()
    for number in range(5):
        (entry,) = await door.vault.history(ADMIN, "treasury", "Payment", f"p{number}")
        assert (entry.principal, entry.roles) == (f"cert:{OLAF}", ("officer",))


async def test_a_certificate_that_is_not_listed_names_nobody(door: Shown, authority: Authority) -> None:
    """Neither by another case, nor by its common name, nor by one name of two."""
    others = [
        authority.sign(OLAF),
        authority.sign("x", names=uris("spiffe://example.com/other")),
        authority.sign("x", names=uris(OLAF.upper())),
        authority.sign("x", names=uris(OLAF + "/")),
        authority.sign("x", names=uris(OLAF, NEMO)),
        authority.sign("x", names=uris(OLAF, OLAF)),
        authority.sign("x", names=[x509.DNSName(OLAF)]),
        authority.sign("x", names=[x509.RFC822Name("olaf@example.com")]),
    ]
    for shown in (None, *others):
        status, problem = await door.ask(shown, "GET", "/v1/me")
        assert (status, problem["type"]) == (401, "/problems/unauthenticated")


async def test_a_certificate_of_another_authority_or_of_another_time_opens_nothing(
    door: Shown, authority: Authority, tmp_path: Path
) -> None:
    """TLS ends the connection: also where a certificate need not be shown, a wrong one may not be."""
    stranger = Authority(tmp_path, "stranger")
    for shown in (
        stranger.sign("x", names=uris(OLAF)), authority.sign("x", names=uris(OLAF), ends=-DAY),
    ):  # fmt: skip
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await door.ask(shown, "GET", "/v1/me")


async def test_a_token_beside_a_certificate_counts_alone(door: Shown, authority: Authority) -> None:
    """What the two give is never added up, and a token that is not good is not made up for."""
    olaf = authority.sign("x", names=uris(OLAF))
    aude = door.vault.make_token(ADMIN, "aude", ("auditor",))
    status, me = await door.ask(olaf, "GET", "/v1/me", None, f"Authorization: Bearer {aude.token}")
    assert (status, me["principal"], me["roles"]) == (200, "aude", ["auditor"])
    for wrong in ("Bearer temper_0000000000_none", "Bearer a.b.c"):
        status, _ = await door.ask(olaf, "GET", "/v1/me", None, f"Authorization: {wrong}")
        assert status == 401


async def test_headers_claim_no_certificate(door: Shown, authority: Authority) -> None:
    """What proxies call it is not read, over TLS or without it."""
    nemo = authority.sign("x", names=uris(NEMO))
    for claim in (
        f"X-Forwarded-Client-Cert: URI={OLAF}", f"X-Client-Cert: {OLAF}", f"X-SSL-Client-S-DN: CN={OLAF}",
        f"Client-Cert: :{OLAF}:", "X-SSL-Client-Verify: SUCCESS", f"temper.peer: {OLAF}",
    ):  # fmt: skip
        status, me = await door.ask(nemo, "GET", "/v1/me", None, claim)
        assert (status, me["principal"], "roles" in me) == (200, f"cert:{NEMO}", False)
        assert (await door.ask(None, "GET", "/v1/me", None, claim))[0] == 401


FOREIGN = [
    ("Origin: https://evil.example",), ("Origin: null",), ("Origin: http://localhost.evil.example",),
    ("Sec-Fetch-Site: cross-site",), ("Sec-Fetch-Site: same-site",),
    ("Origin: https://localhost", "Sec-Fetch-Site: cross-site"),
]  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_page_elsewhere_does_nothing_by_a_certificate_that_its_browser_shows(
    door: Shown, authority: Authority, headers: tuple[str, ...]
) -> None:
    """A browser shows it by itself, whichever page has asked; with a token of its own a page may ask."""
    olaf = authority.sign("x", names=uris(OLAF))
    status, problem = await door.ask(olaf, "POST", "/v1/treasury/Payment", {**OPENED, "id": "p1"}, *headers)
    assert (status, problem["type"]) == (403, "/problems/denied")
    assert (await door.vault.list(ADMIN, "treasury", "Payment", count=True, limit=1)).count == 0
    token = door.vault.make_token(ADMIN, "olga", ("officer",)).token
    status, me = await door.ask(olaf, "GET", "/v1/me", None, f"Authorization: Bearer {token}", *headers)
    assert (status, me["principal"]) == (200, "olga")
    own = ("Origin: https://localhost", "Sec-Fetch-Site: same-origin")
    assert (await door.ask(olaf, "POST", "/v1/treasury/Payment", {**OPENED, "id": "p1"}, *own))[0] == 201


async def test_a_certificate_ends_on_a_connection_that_goes_on(door: Shown, authority: Authority) -> None:
    """TLS has looked at it once; each request looks again."""
    olaf = authority.sign("x", names=uris(OLAF))
    reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port, ssl=authority.trusting(olaf))
    statuses = []
    for later in (dt.timedelta(0), DAY + dt.timedelta(seconds=1)):
        at = door.vault.clock.now() + int(later.total_seconds() * 1000)
        door.vault.clock = _At(at)  # type: ignore[assignment]  # what is asked here asks it for `now` alone
        writer.write(b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        statuses.append(int(head.split()[1]))
    writer.close()
    assert statuses == [200, 401]


@dataclass
class _At:
    at: int

    def now(self) -> int:
        return self.at


async def test_who_is_paused_has_no_use_of_their_certificate(door: Shown, authority: Authority) -> None:
    """The kill switch, since no list of revoked ones is looked at."""
    olaf = authority.sign("x", names=uris(OLAF))
    await door.vault.pauses.pause(ADMIN, "principal", f"cert:{OLAF}", reason="the key was lost")
    status, problem = await door.ask(olaf, "POST", "/v1/treasury/Payment", {**OPENED, "id": "p1"})
    assert (status, "the key was lost" in json.dumps(problem)) == (403, True)


async def test_no_token_is_made_for_whom_a_certificate_names(door: Shown) -> None:
    with pytest.raises(Declined, match="cannot be made"):
        door.vault.make_token(ADMIN, f"cert:{OLAF}", ("officer",))


async def test_the_proxys_word_counts_before_its_own_certificate(
    treasury: Prepared, tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    section = IdentitySection(
        certificates=LISTED, proxy=ProxySection(peers=("127.0.0.1/32",), principal_header="X-User")
    )
    olaf = authority.sign("x", names=uris(OLAF))
    folder = copied(treasury, tmp_path / "data")
    async with treasury_over_tls(folder, authority, server_pair, section, optional=False) as door:
        assert (await door.ask(olaf, "GET", "/v1/me", None, "X-User: ann"))[1]["principal"] == "proxy:ann"
        assert (await door.ask(olaf, "GET", "/v1/me"))[1]["principal"] == f"cert:{OLAF}"
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await door.ask(None, "GET", "/v1/me", None, "X-User: ann")


CERTIFICATE = {
    "subject": ((("commonName", "olaf"),),),
    "subjectAltName": (("URI", "u"), ("DNS", "d"), ("email", "e"), ("IP Address", "10.0.0.1")),
    "notAfter": "Jan  1 00:00:00 2030 GMT",
}
AT = int(ssl.cert_time_to_seconds("Jan  1 00:00:00 2030 GMT")) * 1000


@pytest.mark.parametrize(("where", "name"), [("uri", "u"), ("dns", "d"), ("email", "e"), ("common_name", "olaf")])
def test_the_name_is_where_the_settings_say(where: str, name: str) -> None:
    found = Certificates.of(CertificatesSection(name=where, principals={name: ("officer", "clerk")}))
    person = found.person(CERTIFICATE, AT - 1)
    assert person is not None
    assert (person.principal, person.roles, person.expires_at) == (f"cert:{name}", frozenset({"officer", "clerk"}), AT)
    with pytest.raises(Ended):
        found.person(CERTIFICATE, AT)
    assert Certificates.of(CertificatesSection(name=where, principals={"x": ()})).person(CERTIFICATE, AT) is None


def test_names_that_are_not_there_are_nobodys() -> None:
    for where in ("uri", "dns", "email", "common_name"):
        found = Certificates.of(CertificatesSection(name=where, principals={"": "officer"}))
        assert found.person({"notAfter": CERTIFICATE["notAfter"]}, 0) is None


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"principals": {}}, "identity.certificates.principals: is empty"),
        ({"name": "urn", "principals": {"a": "b"}}, "did you mean `uri`?"),
        ({"principals": {"a#b": "b"}}, "can't be a principal's name"),
        ({"principals": {"a\u202e": "b"}}, "can't be a principal's name"),
        ({"principals": {"a" * 200: "b"}}, "can't be a principal's name"),
        ({"principals": {"a": "An Officer"}}, "`An Officer` is no role's name"),
    ],
)
def test_a_list_that_makes_no_sense_is_told(section: dict[str, Any], said: str) -> None:
    (problem,) = problems(msgspec.convert(section, CertificatesSection))
    assert said in str(problem)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[identity.certificates]\nprincipals = { a = 'b' }", "identity.certificates"),
        ("[server]\ntls_client_optional = true", "server.tls_client_optional"),
        ("[server]\nhsts = 'long'", "server.hsts"),
        ("[limits]\nwebhook_rate = 'often'", "limits.webhook_rate"),
        ("[identity.certificates]\nprincipal = { a = 'b' }", "identity.certificates"),
    ],
)
def test_settings_that_do_not_go_together_are_told(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "temper.toml").write_text(text)
    assert [each.key for each in load_settings(tmp_path / "temper.toml", {}).problems] == [key]
