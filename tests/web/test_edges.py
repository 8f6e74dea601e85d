"""The edges of the door: how often one may ask, pages of other origins, TLS, hosts, and what every answer carries."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import subprocess
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.service import Person, Workshop
from temper.web import Door, Limits, Tls, app
from temper.web.rates import Rates
from tests.web.caller import JSON, Response, call
from tests.web.fake import Fake
from tests.web.test_server import CLOSE, request, running

# --- how often --------------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 20),
    st.sampled_from([1.0, 60.0, 3600.0]),
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 100, allow_nan=False)), max_size=60),
)
def test_nobody_gets_more_than_their_rate_and_nobody_less(
    calls: int, per_s: float, asked: list[tuple[str, float]]
) -> None:
    """In every span of time one gets no more than all at once and what the span brings; and who has waited gets it."""
    now = 0.0
    rates = Rates(calls, per_s, 100, lambda: now)
    given_at: dict[str, list[float]] = {"a": [], "b": []}
    for who, later in asked:
        now += later * per_s / 100
        wait = rates.take(who)
        if wait is not None:
            assert 0 < wait <= per_s / calls * 1.000001
            now += wait
            assert rates.take(who) is None, "who has waited as long as it said may ask"
        times = given_at[who]
        times.append(now)
        for number, began in enumerate(times):
            assert len(times) - number <= calls + (now - began) * calls / per_s + 1e-6


def test_one_that_asks_without_end_takes_nothing_from_another() -> None:
    rates = Rates(2, 1.0, 100, lambda: 5.0)
    assert [rates.take("loud") is None for _ in range(5)] == [True, True, False, False, False]
    assert [rates.take("quiet") is None for _ in range(3)] == [True, True, False]


def test_so_many_are_kept_and_who_asked_longest_ago_is_forgotten() -> None:
    rates = Rates(1, 1.0, 2, lambda: 0.0)
    assert [rates.take(who) is None for who in ("a", "b", "a", "c")] == [True, True, False, True]
    assert (rates.take("a") is None, rates.take("b") is None) == (False, True)


class People(Fake):
    """A workshop with more than one caller: a token is its bearer's name."""

    def authenticate(self, token: str | None) -> Person:
        if token == "ann#bot":
            return Person(token, acts_for="ann")
        return Person(token) if token in ("ann", "bob") else super().authenticate(token)


def paced(now: list[float]) -> Door:
    limits = Limits(rate_max=2, rate_per=1.0)
    return app(cast("Workshop", People()), limits=limits, now=lambda: now[0])


async def of(who: str, door: Door, method: str = "GET", target: str = "/v1/lamp/Lamp/l1") -> Response:
    return await call(door, method, target, headers=[(b"authorization", b"Bearer " + who.encode())], token=False)


async def test_one_request_too_many_is_told_when_to_come_again_and_does_nothing() -> None:
    now = [100.0]
    door = paced(now)
    assert [(await of("ann", door)).status for _ in range(3)] == [200, 200, 429]
    told = await of("ann", door, "POST", "/v1/lamp/Lamp/l1/Switch")
    assert (told.status, told.headers["retry-after"], told.json["type"]) == (429, "1", "/problems/too-fast")
    assert told.json["title"] == "`ann` asks more often than a principal may"
    assert (await of("bob", door)).status == 200, "it is ann who asked too often"
    assert (await of("ann#bot", door)).status == 429, "a session has no share of its own"
    assert (await call(door, "GET", "/healthz", token=False)).status == 200
    now[0] += 0.5
    assert [(await of("ann", door)).status for _ in range(2)] == [200, 429]


async def test_the_short_way_is_paced_too() -> None:
    """The same bytes again and again, over one connection: what the parser has learnt is counted like the rest."""
    async with running(People(), Limits(rate_max=5, rate_per=3600.0)) as server:
        reader, writer = await server.connect()
        statuses = []
        for _ in range(8):
            writer.write(request("POST", "/v1/lamp/Lamp/l1/Switch", b"{}", "Content-Type: application/json"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            statuses.append(int(head.split()[1]))
        writer.close()
    assert (len(set(statuses[:5])), statuses[0] < 300, statuses[5:]) == (1, True, [429, 429, 429])


# --- pages of other origins -------------------------------------------------------------------------------------------

LISTED = "https://app.example.com"
PREFLIGHT = [(b"access-control-request-method", b"POST"), (b"access-control-request-headers", b"authorization")]


def with_cors(*origins: str) -> Door:
    return app(cast("Workshop", Fake()), origins=origins)


def from_page(origin: str, *more: tuple[bytes, bytes]) -> Iterable[tuple[bytes, bytes]]:
    return [(b"origin", origin.encode()), *more]


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), LISTED, False),
        ((LISTED,), LISTED, True),
        ((LISTED,), "https://app.example.com.evil.example", False),
        ((LISTED,), "http://app.example.com", False),
        ((LISTED,), "https://app.example.com:8443", False),
        ((LISTED,), "null", False),
        ((LISTED, "http://localhost:3000"), "http://localhost:3000", True),
    ],
)
@pytest.mark.parametrize(
    ("method", "target", "token", "status"),
    [
        ("GET", "/v1/lamp/Lamp/l1", True, 200),
        ("GET", "/v1/lamp/Lamp/l1", False, 401),
        ("GET", "/nowhere", True, 404),
        ("GET", "/healthz", False, 200),
        ("OPTIONS", "/v1/lamp/Lamp", True, 204),
    ],
)
async def test_only_pages_of_listed_origins_may_read_answers(
    origins: tuple[str, ...], origin: str, allowed: bool, method: str, target: str, token: bool, status: int
) -> None:
    """The answer is the same; whether a browser shows it to the page is said, and to that origin alone."""
    answer = await call(with_cors(*origins), method, target, headers=from_page(origin), token=token)
    assert answer.status == status
    assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert ("origin" in answer.headers.get("vary", "")) == allowed
    assert "access-control-allow-credentials" not in answer.headers
    assert not any(name.startswith("access-control") for name in answer.headers) or allowed


async def test_a_browser_that_asks_first_needs_no_token_for_that() -> None:
    door = with_cors(LISTED)
    answer = await call(door, "OPTIONS", "/v1/lamp/Lamp", headers=from_page(LISTED, *PREFLIGHT), token=False)
    assert (answer.status, answer.headers["access-control-allow-methods"]) == (204, "GET, HEAD, POST, DELETE")
    assert "authorization" in answer.headers["access-control-allow-headers"]
    other = await call(door, "OPTIONS", "/v1/lamp/Lamp", headers=from_page("https://x", *PREFLIGHT), token=False)
    assert (other.status, "access-control-allow-origin" in other.headers) == (401, False)


async def test_a_page_that_acts_over_a_socket_reads_what_came_of_it() -> None:
    """Also the second time, when the head is known."""
    async with running(Fake(), origins=(LISTED,)) as server:
        reader, writer = await server.connect()
        for _ in range(3):
            extra = ("Content-Type: application/json", f"Origin: {LISTED}")
            writer.write(request("POST", "/v1/lamp/Lamp/l1/Switch", b"{}", *extra))
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            assert f"access-control-allow-origin: {LISTED}" in head
        writer.close()


# --- what every answer carries, and what a head may be ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "token"),
    [
        ("GET", "/", False),
        ("GET", "/healthz", False),
        ("GET", "/problems/refused", False),
        ("GET", "/problems/nonsense", False),
        ("GET", "/openapi.json", True),
        ("GET", "/v1/lamp/Lamp/l1", True),
        ("GET", "/v1/lamp/Lamp/l1", False),
        ("HEAD", "/v1/lamp/Lamp/l1", True),
        ("OPTIONS", "/v1/lamp/Lamp/l1", True),
        ("PUT", "/v1/lamp/Lamp/l1", True),
        ("GET", "/nowhere", True),
        ("POST", "/hooks/none", False),
    ],
)
async def test_every_answer_has_the_safe_headers(method: str, target: str, token: bool) -> None:
    answer = await call(with_cors(), method, target, token=token)
    assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert answer.headers["cache-control"] in ("no-store", "private, no-cache")
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHOST: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"A: b\r\n" * 98 + b"\r\n", 200),
    ],
)
async def test_heads(sent: bytes, status: int) -> None:
    async with running(Fake()) as server:
        got, _, body = await server.raw(sent)
    assert (got, status == 200 or msgspec.json.decode(body)["status"] == status) == (status, True)


async def test_what_a_host_says_decides_nothing() -> None:
    async with running(Fake()) as server:
        plain = request("GET", "/openapi.json", b"", CLOSE)
        answers = [
            await server.raw(plain.replace(b"Host: x", f"Host: {host}".encode())) for host in ("x", "evil.example")
        ]
    assert answers[0][2] == answers[1][2]
    assert b"evil" not in answers[1][2]


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 200_000, b'{"files":{"a":' + b"[" * 900_000])
async def test_a_body_that_is_nested_without_end_is_a_bad_request(body: bytes) -> None:
    for method, target in (("POST", "/v1/lamp/Lamp/l1/Switch"), ("PUT", "/v1/lamp")):
        answer = await call(with_cors(), method, target, headers=[JSON], body=body)
        assert answer.status in (400, 422), answer.body[:300]


# --- TLS --------------------------------------------------------------------------------------------------------------


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server of its, a client of its, and a client of nobody's."""
    folder = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
    for name in ("ca", "stranger"):
        openssl(folder, "req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name in ("server", "renewed", "client"):
        openssl(
            folder, "req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
            "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
        )  # fmt: skip
    return folder


async def over_tls(port: int, context: ssl.SSLContext) -> tuple[bytes, str]:
    """Return what is answered, and by which certificate, in base64."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.write(request("GET", "/healthz", b"", CLOSE))
    whole = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return whole, base64.b64encode(shown).decode()


async def test_the_server_speaks_tls_by_files_and_nothing_else(certificates: Path) -> None:
    tls = Tls(certificates / "server.pem", certificates / "server.key")
    tls.check()
    async with running(Fake(), tls=tls) as server:
        trusting = ssl.create_default_context(cafile=certificates / "ca.pem")
        whole, _ = await over_tls(server.port, trusting)
        assert whole.startswith(b"HTTP/1.1 200 ")
        with pytest.raises(ssl.SSLError):
            await over_tls(server.port, ssl.create_default_context())
        reader, writer = await server.connect()
        writer.write(request("GET", "/healthz", b"", CLOSE))
        assert not (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_tls_is_1_2_or_newer_with_ciphers_that_are_sound(certificates: Path) -> None:
    """What is older, or has no forward secrecy, or no authenticated cipher, finds nothing to agree on."""
    tls = Tls(certificates / "server.pem", certificates / "server.key")
    assert tls.incoming().minimum_version is ssl.TLSVersion.TLSv1_2
    async with running(Fake(), tls=tls) as server:
        for ciphers, newest, let_in in (
            ("ECDHE+AESGCM", ssl.TLSVersion.TLSv1_2, True),
            ("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", ssl.TLSVersion.TLSv1_1, False),
            ("AES128-SHA:@SECLEVEL=0", ssl.TLSVersion.TLSv1_2, False),
            ("ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0", ssl.TLSVersion.TLSv1_2, False),
            ("DEFAULT", ssl.TLSVersion.TLSv1_3, True),
        ):
            context = ssl.create_default_context(cafile=certificates / "ca.pem")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is why it is tried
                context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
                context.maximum_version = newest
            context.set_ciphers(ciphers)
            try:
                whole, _ = await over_tls(server.port, context)
            except (ssl.SSLError, ConnectionError):
                whole = b""
            assert whole.startswith(b"HTTP/1.1 200 ") == let_in, ciphers


@pytest.mark.parametrize(("hsts_s", "said"), [(86_400, b"strict-transport-security: max-age=86400\r\n"), (0, None)])
async def test_over_tls_browsers_are_told_to_stay_with_it(certificates: Path, hsts_s: int, said: bytes | None) -> None:
    """By each answer: also one on the short way, and one that the parser refuses."""
    tls = Tls(certificates / "server.pem", certificates / "server.key", hsts_s=hsts_s)
    act = request("POST", "/v1/lamp/Lamp/l1/Switch", b"{}", "Content-Type: application/json")
    async with running(Fake(), tls=tls) as server:
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        for sent in (request("GET", "/healthz"), act, act, act, b"rubbish\r\n\r\n"):
            writer.write(sent)
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            assert (said in head) if said is not None else (b"strict-transport" not in head)
        writer.close()


@pytest.mark.parametrize(
    ("mode", "told"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True), (0o602, True)]
)
def test_a_private_key_that_others_may_read_is_told_of(
    certificates: Path, tmp_path: Path, mode: int, told: bool
) -> None:
    key = tmp_path / "key.pem"
    shutil.copy(certificates / "server.key", key)
    key.chmod(mode)
    said = Tls(certificates / "server.pem", key).exposed()
    assert (said is not None and str(key) in said) == told


@pytest.mark.parametrize(("client", "let_in"), [("client", True), ("stranger", False), (None, False)])
async def test_with_authorities_for_clients_nobody_else_gets_in(
    certificates: Path, client: str | None, let_in: bool
) -> None:
    tls = Tls(certificates / "server.pem", certificates / "server.key", certificates / "ca.pem")
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    if client is not None:
        context.load_cert_chain(certificates / f"{client}.pem", certificates / f"{client}.key")
    async with running(Fake(), tls=tls) as server:
        try:
            whole, _ = await over_tls(server.port, context)
        except (ssl.SSLError, ConnectionError):
            whole = b""
    assert whole.startswith(b"HTTP/1.1 200 ") == let_in


async def test_a_certificate_that_is_renewed_is_shown(certificates: Path, tmp_path: Path) -> None:
    """A half-written one is not, and the one before stays until it is whole."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for name, path in (("server.pem", cert), ("server.key", key)):
        shutil.copy(certificates / name, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    renewing = asyncio.create_task(Tls(cert, key).renew(context, look_s=0.01))
    told = ssl.create_default_context(cafile=certificates / "ca.pem")

    async def shown() -> str:
        return (await over_tls(port, told))[1]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        first = await shown()
        cert.write_text("-----BEGIN CERTIFICATE-----\nhalf")
        await asyncio.sleep(0.05)
        assert await shown() == first
        shutil.copy(certificates / "renewed.key", key)
        shutil.copy(certificates / "renewed.pem", cert)
        for _ in range(1000):
            if await shown() != first:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("the renewed one is not shown")
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)


def test_files_that_are_none_are_told_before_anything_is_served(certificates: Path, tmp_path: Path) -> None:
    good = certificates / "server.pem", certificates / "server.key"
    (tmp_path / "rubbish").write_text("rubbish")
    rows: list[tuple[Any, ...]] = [
        (tmp_path / "none", good[1]),
        (good[0], tmp_path / "rubbish"),
        (good[0], certificates / "client.key"),
        (*good, tmp_path / "rubbish"),
        (*good, None, tmp_path / "none"),
    ]
    for row in rows:
        with pytest.raises(OSError):
            Tls(*row).check()
