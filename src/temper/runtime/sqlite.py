"""A space in one SQLite file."""

from __future__ import annotations

from pathlib import Path


class SqliteStore:
    """Keeps a space in the file `path` (and its `-wal`, `-shm` and `.lock`); see `temper.kernel.Store` for its verbs.

    Reading is safe from any thread and does not wait for an append; appends come from one thread at a time. Raises
    `StoreFault` when another process has the file, or when a newer Temper wrote it.
    """

    def __init__(self, path: Path) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
