"""Judgements on disk: what has been judged with the same verifier, the same bounds and the same text is looked up.

They lie in the user's cache folder, which may be emptied at any time. What was stopped by the clock is not kept:
another run may get further.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from temper import __version__
from temper.table import Table, dump

KEPT_MAX = 200
# What a judgement depends on, besides the table and the bounds: the rooms whose code judges.
ROOMS = ("text", "table", "kernel", "verify")


@dataclass(frozen=True, slots=True)
class Verified:
    """A report: as JSON-able data, and drawn.

    `undecided` when nothing is broken, but something is unknown, or not checked because a level was left out.
    """

    report: dict[str, Any]
    text: str
    passed: bool
    undecided: bool


class Remembered:
    """The judgements in a folder. Whatever goes wrong with it, the answer is that nothing is remembered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> Remembered:
        """Return those of the user: in TEMPER_CACHE, else in the cache folder of the desktop's standard."""
        named = environment.get("TEMPER_CACHE")
        base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".cache")
        return cls(Path(named) if named else Path(base) / "temper")

    def find(self, key: str) -> Verified | None:
        """Return the judgement under a key."""
        try:
            return msgspec.json.decode((self._folder / f"{key}.json").read_bytes(), type=Verified)
        except (OSError, msgspec.MsgspecError):
            return None

    def keep(self, key: str, verified: Verified) -> None:
        """Keep a judgement; the oldest go when there are too many."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            half_done = self._folder / f"{key}.{os.getpid()}.part"
            half_done.write_bytes(msgspec.json.encode(verified))
            half_done.replace(self._folder / f"{key}.json")
            kept = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in kept[:-KEPT_MAX]:
                path.unlink(missing_ok=True)
        except OSError:
            return


def judgement_key(table: Table, **bounds: object) -> str:
    """Return what a judgement is kept under: the table with its places, the bounds, and the verifier itself."""
    hashed = hashlib.sha256(dump(table))
    hashed.update(repr(sorted(bounds.items())).encode())
    hashed.update(__version__.encode())
    package = Path(__file__).parents[1]
    for room in ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            hashed.update(f"{path.name} {path.stat().st_mtime_ns}".encode())
    return hashed.hexdigest()
