"""A file system that fails when it is told to, under SQLite: for the simulator, which runs the store that serves on it.

Files are written as they are (so that SQLite's own locks and shared memory work), and beside each stands what a machine
that loses its power now would find of it: what was synced, and after a cut as much of the rest as was decided. SQLite
must never need more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import apsw

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Written:
    """A write that was not synced yet, or, where `data` is `None`, a cut to `offset` bytes."""

    offset: int
    data: bytes | None


Stays: TypeAlias = Callable[[Sequence[Written]], Sequence[Written]]
"""Which of the writes that were not synced have reached the disk all the same when the power is cut."""


class Trouble(Enum):
    """What the file system does next."""

    NONE = "nothing"
    FULL = "no room"
    """A write or two pass, and the next one finds no room."""
    SYNC = "a sync fails"
    CUT = "the power is cut in a sync"
    """What the disk holds then is kept for `power_cut`; the process is told that the sync failed, and is to end."""


@dataclass(slots=True)
class _Image:
    """What the disk holds of one file for certain, and what is on its way there."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Written] = field(default_factory=list)

    def carry_out(self, writes: Sequence[Written]) -> None:
        for each in writes:
            if each.data is None:
                del self.synced[each.offset :]
                continue
            if len(self.synced) < each.offset:
                self.synced.extend(bytes(each.offset - len(self.synced)))
            self.synced[each.offset : each.offset + len(each.data)] = each.data


def nothing(_: Sequence[Written]) -> Sequence[Written]:
    """Return no write: what was not synced is lost."""
    return ()


class FaultyFiles(apsw.VFS):
    """The file system by its `name`, for `SqliteStore(path, vfs=...)`. `trouble` is what it does next, once."""

    def __init__(self) -> None:
        self.name = f"temper-faulty-{next(_numbers)}"
        super().__init__(self.name, "")
        self.trouble = Trouble.NONE
        self.stays: Stays = nothing
        """Of what was not synced when the power is cut."""
        self._images: dict[str, _Image] = {}
        self._room = 0
        self._cut: dict[str, bytes] | None = None

    def heal(self) -> None:
        """Forget what was decided for the next write, sync or cut, and a cut that nobody has asked about."""
        self.trouble, self.stays, self._cut = Trouble.NONE, nothing, None

    def close(self) -> None:
        """Take the file system out of SQLite; its files must be closed."""
        self.unregister()

    def fill(self, writes: int) -> None:
        """Leave room for so many writes."""
        self.trouble, self._room = Trouble.FULL, writes

    def power_cut(self, path: Path, onto: Path) -> None:
        """Write what the disk holds of a database to another place: since the cut, or as it is now."""
        held = self._cut if self._cut is not None else self._held()
        self._cut = None
        for tail in ("", "-wal"):
            old, new = f"{path}{tail}", f"{onto}{tail}"
            if (data := held.get(old)) is not None:
                Path(new).write_bytes(data)
                self._images[new] = _Image(bytearray(data))

    def forget(self, path: Path) -> None:
        """Remove the files of a database that nobody has open."""
        for tail in ("", "-wal", "-shm", ".lock"):
            self._images.pop(f"{path}{tail}", None)
            Path(f"{path}{tail}").unlink(missing_ok=True)

    # --- what SQLite calls --------------------------------------------------------------------------------------------

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        image = _Image() if path is None else self._images.setdefault(path, _Image())
        return _File(self, image, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        super().xDelete(filename, syncdir)
        self._images.pop(filename, None)

    # --- what its files tell ------------------------------------------------------------------------------------------

    def written(self, image: _Image, offset: int, data: bytes | None) -> None:
        """A file was written at `offset`, or cut to it."""
        if self.trouble is Trouble.FULL and data is not None:
            if self._room == 0:
                self.trouble = Trouble.NONE
                raise apsw.FullError("no room is left on the device")
            self._room -= 1
        image.pending.append(Written(offset, data))

    def synced(self, image: _Image) -> None:
        """A file is to be synced."""
        trouble, self.trouble = self.trouble, Trouble.NONE
        match trouble:
            case Trouble.SYNC:
                image.pending = list(self.stays(image.pending))
                raise apsw.IOError("the sync failed")
            case Trouble.CUT:
                self._cut = self._held()
                raise apsw.IOError("the power is cut")
            case _:
                image.carry_out(image.pending)
                image.pending.clear()

    def _held(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path, image in self._images.items():
            held = _Image(bytearray(image.synced))
            held.carry_out(self.stays(image.pending))
            found[path] = bytes(held.synced)
        return found


class _File(apsw.VFSFile):
    def __init__(self, files: FaultyFiles, image: _Image, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._files = files
        self._image = image

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._files.written(self._image, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._files.written(self._image, newsize, None)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._files.synced(self._image)
