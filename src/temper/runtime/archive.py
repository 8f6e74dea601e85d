"""What is final and has rested for long, kept apart: each entity with all of its history, packed.

In the store stays a row without a body for the entity, which holds its id, its key and what is `unique ever` as before,
and of each of its entries the digest, by which the chain of hashes goes on. So whoever knows the name of one reads it
as ever; it takes longer, and no list has it.

What is packed is gzip of the lines that an export has of it. In files, the packed ones of one go are a *segment*, which
is never written again: one gzip file of lines, of which the first says which segment it follows.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from temper.kernel import StoreFault
from temper.runtime import records as r
from temper.runtime.chain import digest_of, is_digest

# Entities of a segment: what a commit puts away at once, a few milliseconds.
MEMBERS_MAX = 256
# Whoever has more entries stays: it is read, and unpacked, as a whole.
ENTRIES_MAX = 10_000

_Name = tuple[str, str]


class ArchiveDamaged(StoreFault):
    """What was put away is not there, or not what was put there."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One that is to be put away: it may only be so as long as it has this version, and no entry after `last`."""

    row: int
    name: _Name
    version: int
    last: int
    data: bytes


class Unpacked:
    """One that was put away."""

    def __init__(self, entity: r.Entity, bodies: dict[int, bytes]) -> None:
        self.entity = entity
        self._bodies = bodies

    def body(self, seq: int, digest: bytes) -> bytes:
        """Return an entry as it is written. Raises `ArchiveDamaged` where it is not the one with this digest."""
        found = self._bodies.get(seq)
        if found is None or digest_of(found) != digest:
            what = "is not in the archive" if found is None else "is not in the archive as it was written"
            raise ArchiveDamaged(f"entry {seq}, of {self.entity.kind}/{self.entity.id}, {what}: {_HELP}")
        return found


_HELP = "restore the space from an export or a copy that passes an audit"


def pack(entity: r.Entity, entries: Sequence[r.LogEntry]) -> bytes:
    """Return an entity and its entries, packed. Equal ones are packed alike."""
    return _zipped([entity, *entries])


def packed(entity: r.Entity, version: int, log: Iterable[Any], unpacked: Callable[[int], Unpacked]) -> Packed:
    """Return one to be put away at this version, with its entries: of each its number, what stands there, and its hash.

    One that was put away before, and came back, takes all of its past along.
    """
    entries = [
        r.LogEntry(
            seq=seq,
            row=entity.row,
            hash=hash.hex(),
            body=r.raw(unpacked(entity.row).body(seq, body) if is_digest(body) else body),
        )
        for seq, body, hash in log
    ]
    return Packed(entity.row, (entity.kind, entity.id), version, entries[-1].seq, pack(entity, entries))


def unpack(data: bytes, where: str) -> Unpacked:
    """Return what `pack` packed. Raises `ArchiveDamaged`."""
    try:
        first, *rest = (r.from_line(line) for line in gzip.decompress(data).splitlines())
    except (OSError, EOFError, ValueError, zlib.error, msgspec.DecodeError) as problem:
        raise ArchiveDamaged(f"{where} can't be read: {problem}; {_HELP}") from problem
    if not isinstance(first, r.Entity):
        raise ArchiveDamaged(f"{where} is no entity that was put away; {_HELP}")
    return Unpacked(first, {line.seq: bytes(line.body) for line in rest if isinstance(line, r.LogEntry)})


def _zipped(lines: Sequence[r.Line]) -> bytes:
    return gzip.compress(b"".join(r.to_line(line) + b"\n" for line in lines), mtime=0)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that is on the disk, and that counts once the store says so: where in it each packed one is."""

    number: int
    sha256: str
    size: int
    members: tuple[tuple[Packed, int, int], ...]

    def of(self, members: Sequence[tuple[Packed, int, int]]) -> Segment:
        """Return the segment with these alone to count."""
        return replace(self, members=tuple(members))


class Segments:
    """The segments of one space, in a folder of their own. Reading is safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read = lru_cache(64)(self._read)

    def path(self, number: int) -> Path:
        """Return a segment's file."""
        return self.folder / f"{number:06}.jsonl.gz"

    def write(self, after: tuple[int, str], packed: Sequence[Packed]) -> Segment:
        """Put a segment on the disk, after the one with this number and sum. Raises `StoreFault`."""
        try:
            self.folder.mkdir(exist_ok=True)
            # One that does not count, because a commit failed, may yet turn out to count: its number is not used again.
            there = [int(path.name.partition(".")[0]) for path in self.folder.glob("[0-9]*.jsonl.gz")]
            number = max([after[0], *there]) + 1
            head = _zipped([r.Segment(format=r.FORMAT, number=number, after=after[0], sum=after[1])])
            places, offset = [], len(head)
            for one in packed:
                places.append((one, offset, len(one.data)))
                offset += len(one.data)
            whole = b"".join([head, *(one.data for one in packed)])
            growing = self.folder / f"{number:06}.growing"
            with growing.open("wb") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            growing.rename(self.path(number))
            for folder in (self.folder, self.folder.parent):
                handle = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        except OSError as problem:
            raise StoreFault(f"`{self.folder}` can't be written: {problem.strerror}") from problem
        return Segment(number, sha256(whole).hexdigest(), len(whole), tuple(places))

    def _read(self, number: int, offset: int, size: int) -> Unpacked:
        path = self.path(number)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as problem:
            raise ArchiveDamaged(f"`{path}` can't be read: {problem.strerror}; {_HELP}") from problem
        return unpack(data, f"a part of `{path}`")

    def must_be(self, number: int, sum: str) -> None:
        """Raise `ArchiveDamaged` where a segment's file is not the one with this sum."""
        path = self.path(number)
        try:
            with path.open("rb") as file:
                found = sha256()
                while piece := file.read(1 << 20):
                    found.update(piece)
        except OSError as problem:
            raise ArchiveDamaged(f"`{path}` can't be read: {problem.strerror}") from problem
        if found.hexdigest() != sum:
            raise ArchiveDamaged(f"`{path}` is not what was written: its hash differs")
