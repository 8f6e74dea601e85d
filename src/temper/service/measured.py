"""Measurements on disk: how much the properties of a bundle notice, as it was last measured.

They lie beside the judgements (`remembered.py`), found by the texts and the release. What was stopped by the clock is
not kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from temper.service.remembered import judgement_key
from temper.verify.report import Strength

KEPT_MAX = 200


class _Kept(msgspec.Struct, frozen=True):
    mutants: int
    strength: Strength


class Measurements:
    """Those in a folder. Whatever goes wrong with it, the answer is that nothing is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, files: Mapping[str, str], *, mutants: int | None = None) -> Strength | None:
        """Return what was measured of these texts: by so many mutants, or the last time, however many those were."""
        try:
            kept = msgspec.json.decode(self._path(files).read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return None
        return kept.strength if mutants in {None, kept.mutants} else None

    def keep(self, files: Mapping[str, str], strength: Strength, *, mutants: int) -> None:
        """Keep what was measured, if all that was to be judged is; the oldest go when there are too many."""
        if strength.unjudged:
            return
        path = self._path(files)
        half_done = path.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            half_done.write_bytes(msgspec.json.encode(_Kept(mutants, strength)))
            half_done.replace(path)
            there = sorted(self._folder.glob("*.json"), key=lambda each: each.stat().st_mtime)
            for old in there[:-KEPT_MAX]:
                old.unlink(missing_ok=True)
        except OSError:
            with suppress(OSError):
                half_done.unlink()

    def _path(self, files: Mapping[str, str]) -> Path:
        return self._folder / f"{judgement_key(files, asked='strength')}.json"
