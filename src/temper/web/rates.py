"""How often each principal, or each address, may ask: a share of its own, so that one holds up nobody else."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable


class Rates:
    """Counts the requests of each principal; `calls` in `per_s` seconds, and as many at once after a quiet time.

    Keeps at most `most` principals. The one that asked longest ago is forgotten first, and begins anew.
    """

    __slots__ = ("_calls", "_kept", "_most", "_now", "_per_call_s")

    def __init__(self, calls: int, per_s: float, most: int, now: Callable[[], float]) -> None:
        self._calls = calls
        self._per_call_s = per_s / calls
        self._most = most
        self._now = now
        # When each one's share is whole again. It is that far from now that it has used of it.
        self._kept: dict[str, float] = {}

    def take(self, principal: str) -> float | None:
        """Count a request, and return `None`; one too many is not counted, and the seconds to wait are returned."""
        now = self._now()
        whole = max(self._kept.pop(principal, now), now)
        wait = whole - now - (self._calls - 1) * self._per_call_s
        # What sums of seconds lose in their last digits is not to be waited for.
        allowed = wait <= 1e-9
        # Put in again, it is the last that asked.
        self._kept[principal] = whole + self._per_call_s if allowed else whole
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return None if allowed else wait


def network_of(address: str) -> str:
    """Return what one machine may have addresses of: of IPv6 it is the first half, which is given out as a whole."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped is not None:
        return str(found if found.version == 4 else found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
