"""Heads of requests that came before, so that what a client sends each time is taken apart once.

A client that keeps its connection sends the same lines with each of its requests, but for the first. Those lines mean
the same whatever stands before them: when they have been parsed once, and our own reading of them agrees with the
parser's, their bytes are enough to know them by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from temper.service import Declined
from temper.web.ask import headers

# How many are known, and how long one may be; past the first, all are forgotten.
HEADS_MAX: Final = 1_024
HEAD_MAX: Final = 2_048
# A larger body comes in pieces anyway.
_BODY_MAX: Final = 65_536
# What changes how a request is read or answered: such ones are the parser's.
_SPECIAL: Final = frozenset({b"connection", b"expect", b"origin", b"transfer-encoding", b"upgrade"})
# Paths that nobody could read in two ways.
_TARGET: Final = re.compile(rb"/[A-Za-z0-9._~/-]{1,255}")
_BEFORE: Final = b"POST "
_BEHIND: Final = b" HTTP/1.1"


@dataclass(frozen=True, slots=True)
class Head:
    """Lines that are known: the headers that the door reads, and how long the body is."""

    headers: dict[bytes, bytes]
    length: int


class Heads:
    """Those that a server knows."""

    def __init__(self, read: frozenset[bytes]) -> None:
        self._known: dict[bytes, Head] = {}
        self._read = read

    def find(self, data: bytes) -> tuple[bytes, Head, bytes] | None:
        """Return the path, head and body of one whole POST whose head is known, if that is what `data` is."""
        first = data.find(b"\r\n")
        end = data.find(b"\r\n\r\n", first)
        head = self._known.get(data[first:end]) if 0 < first < end else None
        if head is None or len(data) - end - 4 != head.length:
            return None
        if not data.startswith(_BEFORE) or not data.endswith(_BEHIND, 0, first):
            return None
        target = data[len(_BEFORE) : first - len(_BEHIND)]
        if _TARGET.fullmatch(target) is None:
            return None
        return target, head, data[end + 4 :]

    def learn(self, data: bytes, parsed: Sequence[tuple[bytes, bytes]]) -> None:
        """Take in the head of a request that the parser took whole, and alone, from `data`."""
        first = data.find(b"\r\n")
        end = data.find(b"\r\n\r\n", first)
        if not 0 < first < end or end - first > HEAD_MAX or not data.startswith(_BEFORE):
            return
        lines = data[first:end]
        read = [_header(line) for line in lines[2:].split(b"\r\n")]
        length = dict(parsed).get(b"content-length", b"")
        if read != list(parsed) or not length.isdigit() or len(data) - end - 4 != int(length) <= _BODY_MAX:
            return
        if not _SPECIAL.isdisjoint(name for name, _ in parsed):
            return
        try:
            known = Head(headers(parsed, self._read), int(length))
        except Declined:
            return
        if len(self._known) >= HEADS_MAX:
            self._known.clear()
        self._known[lines] = known


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" \t")
