"""Where a tool may connect to: an allow-list of `host:port`, and a second look at every address a name leads to.

An entry is `name:port`, `address:port` or `network:port` (`hooks.example.com:443`, `[::1]:8080`, `10.0.0.0/8:443`). A
connection must be to a host that an entry names, and, when the host is a name, each address it resolves to must be

* public; or
* private or loopback, and the name one that exists only inside (`localhost`, `pager`, `pager.internal`,
  `x.svc.cluster.local`): who lists such a name means the inside; or
* covered by an entry with an address or a network.

A public name that leads inside is how a foreign name server reaches what it should not (rebinding), so a private
address behind a public name has to be listed. Link-local addresses, where clouds keep their credentials, are never
reached by a name. The connection is made to an address that was looked at, not to the name again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Resolve = Callable[[str, int], Awaitable[list[str]]]

_INSIDE = (".localhost", ".local", ".internal", ".intranet", ".home.arpa", ".lan", ".svc", ".test")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list: a name or a network, and a port."""

    where: str | Network
    port: int


class Forbidden(Exception):
    """The list does not allow it. The text says what would have to be listed."""


@dataclass(frozen=True, slots=True)
class Egress:
    """An allow-list."""

    entries: tuple[Entry, ...]

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
            if address is None or not (self._covers(address, port) or _open_to(host, address)):
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
    """Return the one spelling of a host: lower case, ASCII, no dot at the end."""
    return httpx2.URL(scheme="http", host=host).raw_host.decode("ascii").lower().rstrip(".")


def as_address(host: str) -> Address | None:
    """Return the address that `host` is written as; an IPv4 address in IPv6 clothes is taken out of them."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver gives for `host`, each once."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def _open_to(name: str, address: Address) -> bool:
    """Whether `name` may lead to `address` without the address being listed."""
    if address.is_multicast or address.is_link_local or address.is_unspecified:
        return False
    inside = "." not in name or name.endswith(_INSIDE) or name.endswith(".cluster.local")
    return address.is_global or (inside and (address.is_private or address.is_loopback))


def bracketed(address: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{address}]" if ":" in address else address
