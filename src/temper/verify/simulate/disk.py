"""A disk that fails: what was synced stays, of what was not as much may stay as may be, and a torn batch is none.

`Disk` is what a run needs of one: a `Store` whose next append can be told how to fail, and which a process that begins
later finds again. The store of the runtime stands on one over a file system that fails (`temper.runtime`);
`MemoryDisk` is the other, a row of frames in memory, for where no files are to be had.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from temper.kernel import Batch, MemoryStore, OrderRow, Store, StoreFault

_HEAD = 8


class Fate(Enum):
    """What becomes of the next append."""

    FULL = "the disk is full"
    """Nothing is written, and the fault says so."""
    LOST = "an append of unknown fate, which was lost"
    KEPT = "an append of unknown fate, which was kept"
    LATENT = "a sync that failed, of what a crash would find"
    """The living process goes on without it; one that begins before the next append finds it."""
    CRASH = "a crash during an append"
    """So much of what was not synced as `Ill.part` says has reached the disk."""
    SCATTERED = "a crash during an append, whose writes reached the disk in no order"
    """Some of them are missing in the middle."""
    CRASH_AFTER = "a crash after an append, before anybody was answered"


@dataclass(frozen=True, slots=True)
class Ill:
    """A fault of one append. `part` of a crash is how much of what was not synced stays, from 0 to 1."""

    fate: Fate
    part: float = 0.0


class Crashed(Exception):
    """The process died here."""


class Disk(Store, Protocol):
    """A store that fails when it is told to. With no fault set it is an ordinary one."""

    @property
    def stands_on(self) -> str:
        """What it is, in words, for the report."""
        ...

    ill: Ill | None
    """The fault of the next append, which takes it away."""
    held: frozenset[tuple[str, str]]
    """Sends to these entities are under way, and arrive later."""
    batches: list[Batch]
    """What is in it, as it was appended."""
    newest_first: bool
    """Sends are offered in the reverse order: across pairs nothing is promised (16)."""

    def reopened(self) -> Disk:
        """Return the store that the next process finds; this one is over."""
        ...

    def close(self) -> None:
        """Let go of what the disk stands on."""
        ...


Disks: TypeAlias = Callable[[], Disk]
"""Makes an empty disk for each run."""


def offered(disk: Disk, rows: Sequence[OrderRow]) -> Sequence[OrderRow]:
    """Return the sends that a disk gives out of those that wait: none that are held up, in its order."""
    rows = [row for row in rows if row.send is None or (row.send.entity, row.send.entity_id) not in disk.held]
    return rows[::-1] if disk.newest_first else rows


class MemoryDisk(MemoryStore):
    """A store on a file in memory: a row of frames, each a batch with its length and its checksum.

    `append` writes a frame and then syncs. Whoever opens the file again reads frames up to the first that is not whole.
    """

    stands_on = "a store in memory that fails"

    def __init__(self) -> None:
        super().__init__()
        self._file = bytearray()
        self._synced = 0
        self.batches: list[Batch] = []
        self.ill: Ill | None = None
        self.held: frozenset[tuple[str, str]] = frozenset()
        self.newest_first = False

    def append(self, batch: Batch) -> int:
        ill, self.ill = self.ill, None
        del self._file[self._synced :]  # What a failed append has left is written over.
        if ill is None:
            return self._written(batch)
        frame = _frame(batch)
        match ill.fate:
            case Fate.FULL:
                raise StoreFault("the disk is full")
            case Fate.LOST:
                raise StoreFault("the disk does not answer", unknown=True)
            case Fate.KEPT:
                self._written(batch)
                raise StoreFault("the disk does not answer", unknown=True)
            case Fate.LATENT:
                self._file += frame
                raise StoreFault("the disk does not answer", unknown=True)
            case Fate.CRASH:
                self._file += frame[: round(len(frame) * ill.part)]
            case Fate.SCATTERED:
                hole = round((len(frame) - 1) * ill.part)
                self._file += frame[:hole] + bytes([frame[hole] ^ 0xFF]) + frame[hole + 1 :]
            case Fate.CRASH_AFTER:
                self._file += frame
        raise Crashed

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        return offered(self, super().sends(at, limit))

    def reopened(self) -> MemoryDisk:
        found = type(self)()
        for batch in _frames(bytes(self._file)):
            found.append(batch)
        return found

    def close(self) -> None:
        """Nothing is open."""

    def _written(self, batch: Batch) -> int:
        # Before it is applied: what is in the file does not change when the batch's owner does.
        self._file += _frame(batch)
        self._synced = len(self._file)
        self.batches.append(batch)
        return super().append(batch)


def _frame(batch: Batch) -> bytes:
    body = pickle.dumps(Batch(batch.changes))
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def _frames(file: bytes) -> list[Batch]:
    found: list[Batch] = []
    place = 0
    while place + _HEAD <= len(file):
        size = int.from_bytes(file[place : place + 4], "big")
        check = int.from_bytes(file[place + 4 : place + _HEAD], "big")
        body = file[place + _HEAD : place + _HEAD + size]
        if len(body) < size or zlib.crc32(body) != check:
            break
        batch = pickle.loads(body)  # noqa: S301 - written by this process, a moment ago
        assert isinstance(batch, Batch), "a frame is a batch"
        found.append(batch)
        place += _HEAD + size
    return found
