"""What SQLite says of the disk, as whoever runs the server is told it."""

from __future__ import annotations

from pathlib import Path

import apsw

from temper.kernel import StoreFault


def fault_of(path: Path, problem: apsw.Error, *, unknown: bool = False) -> StoreFault:
    """Return why the file at `path` could not take it, and what to try; `unknown` where it may have taken it."""
    match problem:
        case apsw.FullError():
            text = f"the disk that holds `{path}` is full: make room, then ask again"
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.CantOpenError():
            text = f"`{path}` can't be written: {problem}"
        case apsw.CorruptError() | apsw.NotADBError():
            text = f"`{path}` is damaged ({problem}): restore it from a copy, which `temper audit` can look at first"
        case _:
            text = f"`{path}` could not take it: {problem}"
    return StoreFault(text, unknown=unknown)
