"""Where a tool may connect to: an allow-list of `host:port`, and a second look at every address a name leads to.

An entry is `name:port`, `address:port` or `network:port` (`hooks.example.com:443`, `[::1]:8080`, `10.0.0.0/8:443`). A
connection must be to a host that an entry names, and, when the host is a name, each address it resolves to must be

* public; or
* private or loopback, and the name one that exists only inside (`localhost`, `pager`, `pager.internal`,
  `x.svc.cluster.local`): who lists such a name means the inside; or
* covered by an entry with an address or a network.

A public name that leads inside is how a foreign name server reaches what it should not (rebinding), so a private
address behind a public name has to be listed. The addresses at which clouds hand out credentials, link-local ones among
them, are never reached by a name. An IPv4 address that an IPv6 one carries is looked at as what it is, and a number
that a resolver would take for an address (`2130706433`, `0x7f.1`) is no host.

The connection is made to an address that was looked at, not to the name again; TLS is for the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

import httpx2

from temper.runtime.quiet import quiet

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Resolve = Callable[[str, int], Awaitable[list[str]]]

_INSIDE = (".localhost", ".local", ".internal", ".intranet", ".home.arpa", ".lan", ".svc", ".test")
# Private, and reached by names that exist only inside. Other ranges that are not public have to be listed.
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"))
)
# Where AWS, Oracle, Azure and Alibaba tell a machine about itself; the others are link-local.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "192.0.0.192", "168.63.129.16", "100.100.100.200")))
# All that is assigned in public. Older forms that carry an IPv4 address are outside of it.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# Whatever is in their last four bytes, it is an IPv4 address that somebody translates to: NAT64, its local form, what
# SIIT makes of one, and the oldest way to write one.
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
_EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_NUMBERS = re.compile(r"0x[0-9a-f]*|[0-9]+")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list: a name or a network, and a port."""

    where: str | Network
    port: int


class Forbidden(Exception):
    """The list does not allow it. The text says what would have to be listed."""


@dataclass(frozen=True, slots=True)
class Egress:
    """An allow-list. Without `inside`, also names that exist only inside lead to what is public, or listed."""

    entries: tuple[Entry, ...]
    inside: bool = True

    def lists(self, host: str, port: int) -> bool:
        """Whether an entry names this host, be it a name or an address."""
        address = as_address(host)
        return self._covers(address, port) if address else Entry(host, port) in self.entries

    async def addresses(self, host: str, port: int, resolve: Resolve) -> list[str]:
        """Return the addresses to connect to, in the order to try them.

        Raises `Forbidden`, or `OSError` if there are none.
        """
        if not self.lists(host, port):
            raise Forbidden(f"`{host}:{port}` is not in `egress`")
        if as_address(host):
            return [host]
        found = await resolve(host, port)
        for text in found:
            address = as_address(text)
            if address is None or not (self._covers(address, port) or _open_to(host, address, inside=self.inside)):
                entry = f"{bracketed(text)}:{port}"
                raise Forbidden(f"`{host}` leads to {text}, which is not a public address; list `{entry}` to allow it")
        if not found:
            raise OSError(f"`{host}` has no address")
        return found

    def _covers(self, address: Address, port: int) -> bool:
        return any(
            entry.port == port and not isinstance(entry.where, str) and address in entry.where for entry in self.entries
        )


def parse_entry(text: str) -> Entry | None:
    """Return the entry that `text` is, or `None` when it is none."""
    found = re.fullmatch(r"(\[[^\]]+\](?:/\d+)?|[^:\s]+):(\d{1,5})", text)
    if found is None or not 0 < int(found.group(2)) < 65536:
        return None
    where, port = found.group(1).replace("[", "").replace("]", ""), int(found.group(2))
    try:
        return Entry(ipaddress.ip_network(where, strict=False), port)
    except ValueError:
        pass
    if "/" in where or not re.fullmatch(r"[\w.-]+", where):
        return None
    try:
        return Entry(same_host(where), port)
    except (httpx2.InvalidURL, UnicodeError):
        return None


def same_host(host: str) -> str:
    """Return the one spelling of a host: lower case, ASCII, no dot at the end.

    Raises `httpx2.InvalidURL` or `UnicodeError` for what is none.
    """
    found = httpx2.URL(scheme="http", host=host).raw_host.decode("ascii").lower().rstrip(".")
    if _NUMBERS.fullmatch(found.rpartition(".")[2]) and as_address(found) is None:
        raise httpx2.InvalidURL(f"`{found}` is a number, which would be taken for an address")
    return found


def as_address(host: str) -> Address | None:
    """Return the address that `host` is written as; an IPv4 address in IPv6 clothes is taken out of them."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address != ipaddress.IPv6Address(1):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and int(address) and any(address in carrier for carrier in _CARRIERS):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


def is_public(address: Address) -> bool:
    """Say whether an address is everybody's, and not one where a cloud tells its machines about themselves."""
    if address in _METADATA or address.is_multicast or not address.is_global:
        return False
    return isinstance(address, ipaddress.IPv4Address) or address in _PUBLIC_V6


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver gives for `host`, each once."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def bracketed(address: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def _open_to(name: str, address: Address, *, inside: bool) -> bool:
    """Whether `name` may lead to `address` without the address being listed."""
    if is_public(address):
        return True
    named = "." not in name or name.endswith(_INSIDE) or name.endswith(".cluster.local")
    return inside and named and address not in _METADATA and any(address in network for network in _PRIVATE)


@cache  # To read the well-known authorities takes longer than most requests.
def well_known_authorities() -> ssl.SSLContext:
    """Return what TLS is checked by where the settings name no authorities of their own."""
    return httpx2.create_ssl_context(trust_env=False)


class Pinned(httpx2.AsyncBaseTransport):
    """Carries requests where an allow-list lets them go: each to an address that was looked at, and no other.

    Raises `Forbidden` where the list does not allow it, and else what httpx does. Each request has a connection of its
    own. Redirects are whoever asks for them to follow, by another request, which is looked at in its turn. Proxies that
    the environment names are not used: they would connect where the list does not reach.
    """

    def __init__(self, egress: Egress, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._egress = egress
        self._resolve = resolve or resolve_by_system
        self._carrier = httpx2.AsyncHTTPTransport(
            verify=tls or well_known_authorities(),
            trust_env=False,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return the head of its answer with the body still to come."""
        url = request.url
        try:
            host = same_host(url.host)
        except (httpx2.InvalidURL, UnicodeError) as problem:
            raise Forbidden(str(problem)) from None
        port = url.port or PORTS[url.scheme]
        addresses = await self._egress.addresses(host, port, self._resolve)
        for number, address in enumerate(addresses):
            try:
                return await self._send_to(address, request, host, port, share=len(addresses))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                # Nothing has left, so the next address is no second attempt.
                if number == len(addresses) - 1:
                    raise
        raise AssertionError("there is an address")

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._carrier.aclose()

    async def _send_to(
        self, address: str, request: httpx2.Request, host: str, port: int, *, share: int
    ) -> httpx2.Response:
        url = request.url
        limits = dict(request.extensions.get("timeout", {}))
        if limits.get("connect") is not None:
            limits["connect"] /= share
        # The address in the URL, the name in the Host header and in TLS: there is no second look-up.
        named = bracketed(host) + ("" if port == PORTS[url.scheme] else f":{port}")
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        outgoing = httpx2.Request(
            request.method,
            httpx2.URL(f"{url.scheme}://{bracketed(address)}:{port}").copy_with(raw_path=url.raw_path),
            headers=[(b"Host", named.encode("ascii")), *headers],
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host, "timeout": limits},
        )
        return await self._carrier.handle_async_request(outgoing)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was at a URL."""

    status: int
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes


def only(url: str, *, inside: bool = False) -> Egress:
    """Return the list that has a URL's own host alone, where it is public; with `inside` wherever its name leads.

    Raises `Forbidden` for what is no URL. `inside` is for a URL of the settings, and never for one that came from
    outside.
    """
    try:
        parsed = httpx2.URL(url)
        entry = parse_entry(f"{bracketed(same_host(parsed.host))}:{parsed.port or PORTS[parsed.scheme]}")
    except (httpx2.InvalidURL, KeyError, UnicodeError):
        entry = None
    if entry is None:
        raise Forbidden(f"`{url}` is not a url with http or https")
    if inside:
        return Egress((entry, *(Entry(network, entry.port) for network in _EVERYWHERE)))
    if not isinstance(entry.where, str) and not is_public(entry.where.network_address):
        raise Forbidden(f"`{bracketed(str(entry.where.network_address))}` is not a public address")
    return Egress((entry,), inside=False)


async def fetch(
    url: str,
    *,
    egress: Egress | None = None,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    timeout_s: float = 10.0,
    bytes_max: int = 1_048_576,
) -> Fetched:
    """Return what is at a URL, as a GET without redirects; without a list, of the URL's own host, which is public.

    Raises `Forbidden` where the list does not allow it, and `OSError` where nothing comes, too late, or too much.
    """
    allowed = egress or only(url)
    request = httpx2.Request("GET", url, headers=[*headers, ("Accept-Encoding", "identity"), ("User-Agent", "temper")])
    carrier = Pinned(allowed, resolve=resolve, tls=tls)
    try:
        with quiet():
            async with asyncio.timeout(timeout_s):
                answer = await carrier.handle_async_request(request)
                try:
                    body = b""
                    assert isinstance(answer.stream, httpx2.AsyncByteStream)
                    async for chunk in answer.stream:
                        body += chunk
                        if len(body) > bytes_max:
                            raise OSError(f"the answer is longer than {bytes_max} bytes")
                    return Fetched(answer.status_code, dict(answer.headers.items()), body)
                finally:
                    await answer.aclose()
    except TimeoutError:
        raise OSError(f"no answer within {timeout_s:g} s") from None
    except httpx2.TransportError as problem:
        raise OSError(f"{type(problem).__name__}: {problem}") from problem
    finally:
        await carrier.aclose()
