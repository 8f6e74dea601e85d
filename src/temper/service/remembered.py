"""Judgements on disk: what has been judged with the same verifier, the same bounds and the same texts is looked up.

They lie in the user's cache folder, which may be emptied at any time; beside them lies what each unit of a judgement
came to (`answers.py`). What was stopped by the clock is not kept: another run may get further.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from temper.service.release import release

KEPT_MAX = 200


class Verified(msgspec.Struct, frozen=True):
    """A report: as JSON-able data, and drawn; `again` as it is drawn when it is looked up.

    `undecided` when nothing is broken, but something is unknown, or not checked because a level was left out.
    """

    report: dict[str, Any]
    text: str
    passed: bool
    undecided: bool
    again: str = ""


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

    @property
    def units(self) -> Path:
        """Return the folder for what units come to."""
        return self._folder / "units"

    @property
    def strengths(self) -> Path:
        """Return the folder for how much properties notice."""
        return self._folder / "strength"

    def find(self, key: str) -> Verified | None:
        """Return the judgement under a key, as one that is looked up."""
        try:
            found = msgspec.json.decode((self._folder / f"{key}.json").read_bytes(), type=Verified)
            for level in found.report["levels"]:
                level["seconds"], level["looked_up"] = 0.0, level["units"]
        except (OSError, msgspec.MsgspecError, KeyError, TypeError):
            return None
        return Verified(found.report, found.again, found.passed, found.undecided, found.again)

    def keep(self, key: str, verified: Verified) -> None:
        """Keep a judgement; the oldest go when there are too many."""
        half_done = self._folder / f"{key}.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            half_done.write_bytes(msgspec.json.encode(verified))
            half_done.replace(self._folder / f"{key}.json")
            kept = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in kept[:-KEPT_MAX]:
                path.unlink(missing_ok=True)
        except OSError:
            return  # The disk is full, it may not be written, or another process tidies too.


def judgement_key(files: Mapping[str, str], **bounds: object) -> str:
    """Return what a judgement is kept under: the texts by their names, the bounds, and the verifier itself."""
    hashed = hashlib.sha256()
    for part in (
        release(),
        repr(sorted(bounds.items())),
        *(part for name in sorted(files) for part in (name, files[name])),
    ):
        hashed.update(part.encode(errors="surrogatepass") + b"\0")
    return hashed.hexdigest()
