"""A space as a stream of lines, written and read: see `records` for what they say."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from temper.kernel import StoreFault
from temper.runtime import records as r
from temper.runtime.history.still import Still, lines

# It becomes part of a path.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    blueprint: str
    lines: int
    entities: int
    entries: int
    heads: tuple[r.Head, ...]


def exported(still: Still) -> Iterator[bytes]:
    """Yield the lines of the space as it is at that moment, a newline after each."""
    counting = Counting()
    for line in lines(still):
        yield counting.take(line)
    yield counting.end()


class Counting:
    """Makes lines, and counts what it made."""

    def __init__(self) -> None:
        self._sum = sha256()
        self._lines = 0
        self._heads: dict[int, r.Head] = {}
        self._blueprint = ""
        self._entities = 0
        self._entries = 0

    def take(self, line: r.Line) -> bytes:
        """Return a line as it is written."""
        match line:
            case r.LogEntry():
                self._entries += 1
                self._heads[line.part] = r.Head(line.part, line.seq, line.hash)
            case r.Entity():
                self._entities += 1
            case r.Space():
                self._blueprint = line.blueprint
            case _:
                pass
        written = r.to_line(line) + b"\n"
        if written.count(b"\n") > 1:
            # Bodies are written compactly; a report may have been laid out by whoever made it.
            written = msgspec.json.format(written, indent=-1) + b"\n"
        self._sum.update(written)
        self._lines += 1
        return written

    def end(self) -> bytes:
        """Return the last line."""
        heads = [self._heads[part] for part in sorted(self._heads)]
        return r.to_line(r.End(lines=self._lines, sha256=self._sum.hexdigest(), heads=heads)) + b"\n"

    @property
    def so_far(self) -> Exported:
        """What was written so far."""
        heads = tuple(self._heads[part] for part in sorted(self._heads))
        return Exported(self._blueprint, self._lines, self._entities, self._entries, heads)


def imported(source: Iterable[bytes]) -> Iterator[r.Line]:
    """Yield the lines of a stream, its end last. Raises `StoreFault` where it is broken, cut off, or newer than we are.

    What it yields counts once the end has come: only then is it known to be whole.
    """
    digest, count, line = sha256(), 0, None
    for written in source:
        if line is not None and isinstance(line, r.End):
            raise StoreFault(f"line {count + 1} comes after the end: the stream is not whole")
        try:
            line = r.from_line(written)
        except msgspec.DecodeError as error:
            raise StoreFault(_unread(written, count + 1, error)) from error
        if isinstance(line, r.End):
            if (line.lines, line.sha256) != (count, digest.hexdigest()):
                raise StoreFault("the stream is not what was exported: its sum differs; export it again")
        else:
            digest.update(written if written.endswith(b"\n") else written + b"\n")
        if count == 0:
            _must_be_ours(line)
        elif isinstance(line, r.Space):
            raise StoreFault(f"line {count + 1} begins another space: one stream holds one")
        elif isinstance(line, r.Segment):
            raise StoreFault(f"line {count + 1} is of an archive: no export has such a line")
        count += 1
        yield line
    if not isinstance(line, r.End):
        raise StoreFault(f"the stream is cut off after {count} lines: export it again")


def _unread(written: bytes, number: int, error: Exception) -> str:
    if number == 1:
        return f"this is no exported space: {error}"
    return f"line {number} of the stream can't be read: {error}"


def _must_be_ours(line: r.Line) -> None:
    if not isinstance(line, r.Space):
        raise StoreFault("this is no exported space: it does not begin with one")
    if not 1 <= line.format <= r.FORMAT:
        raise StoreFault(
            f"the stream has format {line.format}, and this Temper reads format {r.FORMAT}: use the newer one"
        )


def space_of(source: Iterable[bytes]) -> tuple[str, Iterator[bytes]]:
    """Return of which blueprint a stream is, and the stream. Raises `StoreFault` where it is none."""
    lines = iter(source)
    first = next(lines, b"")
    try:
        line = r.from_line(first)
    except msgspec.DecodeError as error:
        raise StoreFault(_unread(first, 1, error)) from error
    _must_be_ours(line)
    assert isinstance(line, r.Space), "that is what is ours"
    if not _NAME.fullmatch(line.blueprint):
        raise StoreFault(f"`{line.blueprint}` is no blueprint's name: this is no exported space")
    return line.blueprint, itertools.chain([first], lines)
