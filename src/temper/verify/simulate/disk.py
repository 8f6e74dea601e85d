"""A disk that fails: what was synced stays, of what was not a prefix may stay, and a torn batch is none.

The file is a row of frames, each a batch with its length and its checksum. `append` writes a frame and then syncs; a
crash in between leaves as many of its bytes as was decided before. Whoever opens the file again reads frames up to the
first that is not whole. With no fault set it is an ordinary store.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from temper.kernel import Batch, MemoryStore, OrderRow, StoreFault

_HEAD = 8


class Fate(Enum):
    """What becomes of the next append."""

    FULL = "the disk is full"
    """Nothing is written, and the fault says so."""
    LOST = "an append of unknown fate, which was lost"
    KEPT = "an append of unknown fate, which was kept"
    CRASH = "a crash during an append"
    """So much of the frame as `Ill.part` says has reached the disk."""
    CRASH_AFTER = "a crash after an append, before anybody was answered"


@dataclass(frozen=True, slots=True)
class Ill:
    """A fault of one append. `part` of a crash is how much of the frame stays, from 0 to 1."""

    fate: Fate
    part: float = 0.0


class Crashed(Exception):
    """The process died here."""


class Disk(MemoryStore):
    """A store on a file in memory. Set `ill` for the next append; `order_of` turns the sends that are offered."""

    def __init__(self) -> None:
        super().__init__()
        self._file = bytearray()
        self.batches: list[Batch] = []
        """What is in the file, whole."""
        self.ill: Ill | None = None
        self.held: frozenset[tuple[str, str]] = frozenset()
        """Sends to these entities are under way, and arrive later."""
        self.newest_first = False

    def append(self, batch: Batch) -> int:
        ill, self.ill = self.ill, None
        if ill is None:
            return self._written(batch)
        match ill.fate:
            case Fate.FULL:
                raise StoreFault("the disk is full")
            case Fate.LOST:
                raise StoreFault("the disk does not answer", unknown=True)
            case Fate.KEPT:
                self._written(batch)
                raise StoreFault("the disk does not answer", unknown=True)
            case Fate.CRASH:
                frame = _frame(batch)
                self._file += frame[: round(len(frame) * ill.part)]
            case Fate.CRASH_AFTER:
                self._file += _frame(batch)
        raise Crashed

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        """Return what `MemoryStore` does, but for those that are held up: across pairs nothing is promised (16)."""
        rows = [
            row
            for row in super().sends(at, limit)
            if row.send is None or (row.send.entity, row.send.entity_id) not in self.held
        ]
        return rows[::-1] if self.newest_first else rows

    def reopened(self) -> Disk:
        """Return the store that the next process finds."""
        found = Disk()
        for batch in _frames(bytes(self._file)):
            found._written(batch)
        return found

    def _written(self, batch: Batch) -> int:
        # Before it is applied: what is in the file does not change when the batch's owner does.
        self._file += _frame(batch)
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
