"""The egress list, as rows of data; and what is fetched by it, from real servers on loopback under names of our own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.runtime.egress import Egress, Fetched, Forbidden, Pinned, as_address, fetch, is_public, only, parse_entry

# --- the list ---------------------------------------------------------------------------------------------------------


async def addresses(entries: list[str], host: str, port: int, answers: list[str]) -> list[str]:
    async def resolve(_host: str, _port: int) -> list[str]:
        return answers

    parsed = [entry for text in entries if (entry := parse_entry(text))]
    assert len(parsed) == len(entries)
    return await Egress(tuple(parsed)).addresses(host, port, resolve)


HOOKS = ["hooks.example.com:443"]


@pytest.mark.parametrize(
    ("entries", "host", "port", "answers", "allowed"),
    [
        (HOOKS, "hooks.example.com", 443, ["93.184.215.14"], True),
        (["Hooks.Example.com.:443"], "hooks.example.com", 443, ["93.184.215.14"], True),
        (HOOKS, "hooks.example.com", 80, ["93.184.215.14"], False),
        (HOOKS, "other.example.com", 443, ["93.184.215.14"], False),
        (HOOKS, "evil-hooks.example.com", 443, ["93.184.215.14"], False),
        ([], "hooks.example.com", 443, ["93.184.215.14"], False),
        # A public name that leads inside: one address is enough.
        (HOOKS, "hooks.example.com", 443, ["127.0.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["93.184.215.14", "10.0.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["::1"], False),
        (HOOKS, "hooks.example.com", 443, ["::ffff:127.0.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["64:ff9b::7f00:1"], False),
        (HOOKS, "hooks.example.com", 443, ["2002:7f00:1::"], False),
        (HOOKS, "hooks.example.com", 443, ["fd00::1"], False),
        (HOOKS, "hooks.example.com", 443, ["100.64.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["0.0.0.0"], False),
        (HOOKS, "hooks.example.com", 443, ["224.0.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["169.254.169.254"], False),
        (HOOKS, "hooks.example.com", 443, ["not an address"], False),
        # IPv4 in every dress: mapped, translated in four ways, and as it was written first.
        (HOOKS, "hooks.example.com", 443, ["::ffff:10.0.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["64:ff9b:1::a9fe:a9fe"], False),
        (HOOKS, "hooks.example.com", 443, ["::ffff:0:7f00:1"], False),
        (HOOKS, "hooks.example.com", 443, ["::127.0.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["2001:0:4136:e378:8000:63bf:3fff:fdd2"], False),
        (HOOKS, "hooks.example.com", 443, ["64:ff9b::5db8:d70e"], True),
        # What is assigned to nobody in public, or to everybody at once.
        (HOOKS, "hooks.example.com", 443, ["fec0::1"], False),
        (HOOKS, "hooks.example.com", 443, ["fe80::1%1"], False),
        (HOOKS, "hooks.example.com", 443, ["::"], False),
        (HOOKS, "hooks.example.com", 443, ["0.1.2.3"], False),
        (HOOKS, "hooks.example.com", 443, ["198.18.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["240.0.0.1"], False),
        (HOOKS, "hooks.example.com", 443, ["255.255.255.255"], False),
        (HOOKS, "hooks.example.com", 443, ["ff02::1"], False),
        # Where clouds tell a machine about itself, also where that is a public or a private address.
        (HOOKS, "hooks.example.com", 443, ["168.63.129.16"], False),
        (["pager:80"], "pager", 80, ["fd00:ec2::254"], False),
        (["pager:80"], "pager", 80, ["192.0.0.192"], False),
        (["pager:80"], "pager", 80, ["100.100.100.200"], False),
        (["pager:80"], "pager", 80, ["fe80::1"], False),
        (["pager:80", "[fd00:ec2::254]:80"], "pager", 80, ["fd00:ec2::254"], True),
        # ... unless its addresses are listed too.
        ([*HOOKS, "10.0.0.0/8:443"], "hooks.example.com", 443, ["10.1.2.3"], True),
        ([*HOOKS, "10.0.0.0/8:80"], "hooks.example.com", 443, ["10.1.2.3"], False),
        ([*HOOKS, "[::1]:443"], "hooks.example.com", 443, ["::1"], True),
        # A name that exists only inside may lead there, but not to where clouds keep credentials.
        (["localhost:80"], "localhost", 80, ["127.0.0.1", "::1"], True),
        (["pager:80"], "pager", 80, ["10.0.0.7"], True),
        (["pager.internal:80"], "pager.internal", 80, ["10.0.0.7"], True),
        (["x.prod.svc.cluster.local:80"], "x.prod.svc.cluster.local", 80, ["10.0.0.7"], True),
        (["pager:80"], "pager", 80, ["169.254.169.254"], False),
        # An address in a url has to be listed as one.
        (["127.0.0.1:80"], "127.0.0.1", 80, [], True),
        (["127.0.0.0/8:80"], "127.0.0.9", 80, [], True),
        (["localhost:80"], "127.0.0.1", 80, [], False),
        (["127.0.0.1:80"], "::ffff:127.0.0.1", 80, [], True),
        (["127.0.0.1:80"], "::127.0.0.1", 80, [], True),
        (["127.0.0.1:80"], "::1", 80, [], False),
        (["[fd00::1]:80"], "fd00::1", 80, [], True),
        (["[fd00::]/16:80"], "fd00::99", 80, [], True),
        (["169.254.169.254:80"], "169.254.169.254", 80, [], True),
    ],
)  # fmt: skip
async def test_egress(entries: list[str], host: str, port: int, answers: list[str], allowed: bool) -> None:
    if allowed:
        assert await addresses(entries, host, port, answers) == (answers or [host])
    else:
        with pytest.raises(Forbidden):
            await addresses(entries, host, port, answers)


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":80", "host:0", "host:65536", "host:x", "*.example.com:443", "a/b:80", "http://a:80",
     # Numbers that a resolver would take for addresses.
     "2130706433:80", "0x7f000001:80", "0x7f.0.0.1:80", "0177.0.0.1:80", "127.1:80", "1.2.3.4.5:80", "a.0x:80"],
)  # fmt: skip
def test_what_is_no_entry(text: str) -> None:
    assert parse_entry(text) is None


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}", "64:ff9b:1::{}", "::ffff:0:{}", "::{}"]))
def test_an_address_is_as_public_in_another_dress(address: IPv4Address, dress: str) -> None:
    """`::` and `::1` are addresses of their own."""
    worn = as_address(dress.format(address))
    assert worn is not None
    assert worn == address or int(address) < 2
    assert is_public(worn) == is_public(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://hooks.example.com/x", None),
        ("http://93.184.215.14:8080/x", None),
        ("http://127.0.0.1/", "`127.0.0.1` is not a public address"),
        ("http://[::1]:80/", "`[::1]` is not a public address"),
        ("http://[::ffff:10.0.0.1]/", "is not a public address"),
        ("http://169.254.169.254/latest", "is not a public address"),
        ("http://168.63.129.16/", "is not a public address"),
        ("http://2130706433/", "is not a url"),
        ("http://0177.0.0.1/", "is not a url"),
        ("ftp://hooks.example.com/", "is not a url"),
        ("file:///etc/passwd", "is not a url"),
        ("https:///x", "is not a url"),
        ("x", "is not a url"),
    ],
)
def test_a_url_alone_allows_its_own_host(url: str, said: str | None) -> None:
    if said is None:
        assert len(only(url).entries) == 1
    else:
        with pytest.raises(Forbidden, match=re.escape(said)):
            only(url)


# --- what is fetched --------------------------------------------------------------------------------------------------


@dataclass
class Site:
    """A server that says what it is told, and keeps what it was asked."""

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-One: 1\r\n\r\nhere"
    wait_s: float = 0
    port: int = 0
    asked: list[bytes] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(self.wait_s)
            writer.write(self.answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def standing(site: Site) -> AsyncIterator[Site]:
    server = await asyncio.start_server(site, "127.0.0.1", 0)
    async with server:
        site.port = server.sockets[0].getsockname()[1]
        yield site


def listing(*entries: str) -> Egress:
    parsed = [entry for text in entries if (entry := parse_entry(text))]
    assert len(parsed) == len(entries)
    return Egress(tuple(parsed))


@dataclass
class Names:
    """A name server that says something else each time, as one of an attacker does."""

    answers: list[list[str]]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(f"{host}:{port}")
        return self.answers.pop(0)


async def test_what_is_fetched_has_its_status_headers_and_body() -> None:
    async with standing(Site()) as site:
        names = Names([["127.0.0.1"]])
        url = f"http://keys.internal:{site.port}/jwks?x=1"
        found = await fetch(url, egress=listing(f"keys.internal:{site.port}"), resolve=names, headers=(("X-A", "b"),))
    assert found == Fetched(200, {"content-length": "4", "x-one": "1"}, b"here")
    head = site.asked[0].decode().lower()
    assert head.startswith("get /jwks?x=1 http/1.1\r\n")
    assert f"host: keys.internal:{site.port}\r\n" in head
    assert "x-a: b\r\n" in head


async def test_a_name_that_leads_elsewhere_at_the_second_look_gets_nothing() -> None:
    """Rebinding: the first answer is looked at and dialled, so a second one would be of no use."""
    async with standing(Site()) as inside:
        names = Names([["127.0.0.2"], ["127.0.0.1"]])
        allowed = listing(f"rebound.internal:{inside.port}")
        with pytest.raises(OSError, match="ConnectError"):
            await fetch(f"http://rebound.internal:{inside.port}/", egress=allowed, resolve=names)
    assert (inside.asked, names.asked) == ([], [f"rebound.internal:{inside.port}"])


async def test_each_request_is_looked_at_anew() -> None:
    async with standing(Site()) as site:
        host = f"rebound.internal:{site.port}"
        carrier = Pinned(listing(host), resolve=Names([["127.0.0.1"], ["169.254.169.254"]]))
        async with httpx2.AsyncClient(transport=carrier, trust_env=False) as client:
            assert (await client.get(f"http://{host}/")).text == "here"
            with pytest.raises(Forbidden, match=r"leads to 169\.254\.169\.254"):
                await client.get(f"http://{host}/")
    assert len(site.asked) == 1


async def test_a_client_that_follows_redirects_is_held_to_the_list_at_each_step() -> None:
    async with standing(Site()) as inside, standing(Site()) as site:
        here = f"first.internal:{site.port}"
        site.answer = (
            f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside.port}/\r\nContent-Length: 0\r\n\r\n".encode()
        )
        carrier = Pinned(listing(here), resolve=Names([["127.0.0.1"]]))
        async with httpx2.AsyncClient(transport=carrier, follow_redirects=True, trust_env=False) as client:
            with pytest.raises(Forbidden, match=f"`127.0.0.1:{inside.port}` is not in `egress`"):
                await client.get(f"http://{here}/")
    assert (len(site.asked), inside.asked) == (1, [])


@pytest.mark.parametrize(
    ("site", "options", "said"),
    [
        (Site(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"), {}, 302),
        (Site(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b"x" * 50), {"bytes_max": 49}, "longer than 49"),
        (Site(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"), {}, "RemoteProtocolError"),
        (Site(b"SSH-2.0\r\n"), {}, "RemoteProtocolError"),
        (Site(wait_s=5), {"timeout_s": 0.1}, "no answer within 0.1 s"),
    ],
)
async def test_what_does_not_come_as_it_should(site: Site, options: dict[str, Any], said: int | str) -> None:
    async with standing(site):
        allowed = listing(f"127.0.0.1:{site.port}")
        if isinstance(said, int):
            assert (await fetch(f"http://127.0.0.1:{site.port}/", egress=allowed, **options)).status == said
            return
        with pytest.raises(OSError, match=said):
            await fetch(f"http://127.0.0.1:{site.port}/", egress=allowed, **options)


@pytest.mark.parametrize("leads_to", ["127.0.0.1", "10.0.0.1", "fd00::1"])
async def test_a_url_that_came_from_outside_leads_nowhere_inside(leads_to: str) -> None:
    """Neither by a name that exists only inside; one of the settings does."""
    async with standing(Site()) as site:
        for host in ("localhost", "keys.internal", "keys.example.com"):
            url = f"http://{host}:{site.port}/"
            with pytest.raises(Forbidden, match="is not a public address"):
                await fetch(url, egress=only(url), resolve=Names([[leads_to]]))
        assert site.asked == []
        named = f"http://keys.example.com:{site.port}/"
        found = await fetch(named, egress=only(named, inside=True), resolve=Names([["127.0.0.1"]]))
        assert (found.body, len(site.asked)) == (b"here", 1)


async def test_what_is_not_allowed_is_not_asked() -> None:
    async with standing(Site()) as site:
        for url in (
            f"http://127.0.0.1:{site.port}/",
            f"http://localhost:{site.port}/",
            f"http://2130706433:{site.port}/",
        ):
            with pytest.raises(Forbidden):
                await fetch(url, egress=listing("keys.example.com:443"))
            with pytest.raises(Forbidden):
                await fetch(url, resolve=Names([["169.254.169.254"]]))
    assert site.asked == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with standing(Site()) as site:
        found = await fetch(f"http://127.0.0.1:{site.port}/", egress=listing(f"127.0.0.1:{site.port}"))
    assert found.body == b"here"
