"""The store that serves, on a file system that fails: what level 3 runs on wherever files are to be had."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from temper.kernel import Batch, OrderRow, StoreFault
from temper.runtime import FaultyFiles, SqliteStore, Trouble, Written
from temper.verify import Crashed, Disks, Fate, Ill, MemoryDisk, offered

# Memory, where there is such a place: nothing here has to outlive the process.
_SHM = Path("/dev/shm")  # noqa: S108 - the folder below it is ours alone


class SqliteDisk(SqliteStore):
    """A `SqliteStore` that fails as the simulator says (`temper.verify.Disk`)."""

    stands_on = "the SQLite store that serves, over files that fail"

    def __init__(self, folder: Path, files: FaultyFiles, number: int = 1, batches: Sequence[Batch] = ()) -> None:
        super().__init__(folder / f"{number}.db", vfs=files.name)
        self._folder = folder
        self._files = files
        self._number = number
        self.batches = list(batches)
        self._unsure: tuple[Batch, str] | None = None
        """A batch that may be in the file for whoever opens it again, and what the file said without it."""
        self.ill: Ill | None = None
        self.held: frozenset[tuple[str, str]] = frozenset()
        self.newest_first = False

    def append(self, batch: Batch) -> int:
        ill, self.ill = self.ill, None
        files = self._files
        if ill is None:
            return self._appended(batch)
        match ill.fate:
            case Fate.FULL:
                files.fill(1)
            case Fate.LOST:
                files.trouble, files.stays = Trouble.SYNC, _prefix(0)
            case Fate.LATENT:
                files.trouble, files.stays = Trouble.SYNC, _prefix(1)
            case Fate.CRASH:
                files.trouble, files.stays = Trouble.CUT, _prefix(ill.part)
            case Fate.SCATTERED:
                files.trouble, files.stays = Trouble.CUT, _scattered(ill.part)
            case Fate.KEPT:
                self._appended(batch)
                raise StoreFault("the disk does not answer", unknown=True)
            case Fate.CRASH_AFTER:
                return self._torn_checkpoint(batch, ill.part)
        before = self.said()
        try:
            last = super().append(batch)
        except StoreFault:
            self._unsure = batch, before
            if ill.fate in {Fate.CRASH, Fate.SCATTERED}:
                raise Crashed from None
            raise
        # It asked nothing of the disk, and so it is an ordinary one.
        files.trouble = Trouble.NONE
        self.batches.append(batch)
        return last

    def sends(self, at: int, limit: int) -> Sequence[OrderRow]:
        return offered(self, super().sends(at, limit))

    def reopened(self) -> SqliteDisk:
        onto = self._folder / f"{self._number + 1}.db"
        self._files.power_cut(self.path, onto)
        self._files.heal()
        self.close()
        found = type(self)(self._folder, self._files, self._number + 1, self.batches)
        if self._unsure is not None and found.said() != self._unsure[1]:
            found.batches.append(self._unsure[0])
        return found

    def close(self) -> None:
        self._files.heal()
        super().close()
        self._files.forget(self.path)

    def _appended(self, batch: Batch) -> int:
        last = super().append(batch)
        self._unsure = None  # Whatever a failed one has left is written over.
        self._files.stays = _prefix(0)
        self.batches.append(batch)
        return last

    def _torn_checkpoint(self, batch: Batch, part: float) -> int:
        """Append, and die while the log is being written back into the file."""
        self._appended(batch)
        self._files.trouble, self._files.stays = Trouble.CUT, _prefix(part)
        self.checkpoint()
        raise Crashed

    def said(self) -> str:
        """Return the digest of all that the file says."""
        hashed = hashlib.sha256()
        for (name,) in self._reader.rows("select name from sqlite_schema where type = 'table' order by name"):
            hashed.update(repr((name, self._reader.rows(f'select * from "{name}"'))).encode())  # noqa: S608 - from the schema
        return hashed.hexdigest()


@contextmanager
def sqlite_disks(kind: type[SqliteDisk] = SqliteDisk) -> Iterator[Disks]:
    """Yield what makes a disk for each run; none may be used after it. Where no files can be had, it is in memory."""
    base = _SHM if os.access(_SHM, os.W_OK) else None
    try:
        folder = tempfile.TemporaryDirectory(prefix="temper-rehearsal-", dir=base, ignore_cleanup_errors=True)
    except OSError:
        yield MemoryDisk
        return
    with folder as place:
        files = FaultyFiles()
        runs = 0

        def disk() -> SqliteDisk:
            nonlocal runs
            runs += 1
            files.heal()  # The run before may have ended in the middle of a fault.
            own = Path(place) / str(runs)
            own.mkdir()
            return kind(own, files)

        try:
            yield disk
        finally:
            files.close()


def _prefix(part: float) -> Callable[[Sequence[Written]], Sequence[Written]]:
    """Return what leaves so much of what was written, from its beginning on, and tears the write at its end."""

    def stays(writes: Sequence[Written]) -> Sequence[Written]:
        total = sum(len(each.data or b"") for each in writes)
        left = total if part >= 1 else min(round(total * part), total - 1)
        kept: list[Written] = []
        for each in writes:
            size = len(each.data or b"")
            if size > left:
                if each.data is not None and left > 0:
                    kept.append(Written(each.offset, each.data[:left]))
                break
            kept.append(each)
            left -= size
        return kept

    return stays


def _scattered(part: float) -> Callable[[Sequence[Written]], Sequence[Written]]:
    """Return what leaves some of the writes, and never all. `part` decides which."""

    def stays(writes: Sequence[Written]) -> Sequence[Written]:
        chance = Random(part)
        kept = [each for each in writes if chance.random() < 0.5]
        return kept if len(kept) < len(writes) else kept[1:]

    return stays
