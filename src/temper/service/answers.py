"""What units of judgement came to, on disk: looked up by all that an answer depends on.

A file is its digest and what it holds. One that is cut off, changed or written by another release is not found; nor is
one that would make anything but plain data when it is read.
"""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec

from temper.service.release import release
from temper.verify import Done

KEPT_MAX = 4_000
_DIGEST = sha256().digest_size
_BUILT_IN = frozenset({("builtins", "set"), ("builtins", "frozenset"), ("decimal", "Decimal")})


class Answers:
    """Those in a folder. Whatever goes wrong with it, the answer is that nothing is kept."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self._folder = folder
        self._fresh = fresh
        self._wrote = False

    def find(self, key: str) -> Done | None:
        """Return what a unit came to, unless it is all to be judged afresh."""
        if self._fresh:
            return None
        try:
            content = self._path(key).read_bytes()
            if sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            found = _Plain(BytesIO(content[_DIGEST:])).load()
        except Exception:  # noqa: BLE001 - whatever lies there, it is no answer
            return None
        return found if isinstance(found, Done) else None

    def keep(self, key: str, done: Done) -> None:
        """Keep what a unit came to."""
        content = pickle.dumps(done, protocol=5)
        path = self._path(key)
        half_done = path.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            half_done.write_bytes(sha256(content).digest() + content)
            half_done.replace(path)
            self._wrote = True
        except OSError:
            with suppress(OSError):
                half_done.unlink()

    def tidy(self) -> None:
        """Let the oldest go, where there are too many. Does nothing if nothing was kept."""
        if not self._wrote:
            return
        try:
            there = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in there[:-KEPT_MAX]:
                path.unlink(missing_ok=True)
        except OSError:
            return  # Another process tidies too.

    def _path(self, key: str) -> Path:
        return self._folder / sha256(f"{release()} {key}".encode()).hexdigest()


class _Plain(pickle.Unpickler):
    """Reads our own plain data: dataclasses, structs and enumerations of this package, and nothing that does things."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("temper.") or (module, name) in _BUILT_IN:
            found = super().find_class(module, name)
            if (module, name) in _BUILT_IN or _plain(found, module, name):
                return found
        raise pickle.UnpicklingError(f"`{module}.{name}` is no plain data")


def _plain(found: object, module: str, name: str) -> bool:
    """Say whether a thing is a class of ours whose objects only hold something."""
    if not isinstance(found, type) or (found.__module__, found.__qualname__) != (module, name):
        return False
    return is_dataclass(found) or issubclass(found, msgspec.Struct | Enum)
