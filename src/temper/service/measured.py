"""Measurements on disk: how much the properties of a bundle notice, as it was last measured.

They lie beside the judgements (`remembered.py`), found by the texts and the release. What was stopped by the clock is
not kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from temper.service.remembered import judgement_key

if TYPE_CHECKING:
    from temper.verify import Strength

KEPT_MAX = 200


class _Kept(msgspec.Struct, frozen=True):
    """By how many mutants; the measurement, and as JSON-able data."""

    mutants: int
    strength: msgspec.Raw
    data: dict[str, Any]


class Measurements:
    """Those in a folder. Whatever goes wrong with it, the answer is that nothing is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, files: Mapping[str, str], *, mutants: int) -> Strength | None:
        """Return what was measured of these texts by so many mutants."""
        from temper.verify import Strength  # Who asks for the data alone needs nothing of the verifier.

        kept = self._read(files)
        if kept is None or kept.mutants != mutants:
            return None
        try:
            return msgspec.json.decode(kept.strength, type=Strength)
        except msgspec.MsgspecError:
            return None

    def data(self, files: Mapping[str, str]) -> dict[str, Any] | None:
        """Return what was measured of these texts the last time, as JSON-able data."""
        kept = self._read(files)
        return None if kept is None else kept.data

    def keep(self, files: Mapping[str, str], strength: Strength, *, mutants: int) -> None:
        """Keep what was measured, if all that was to be judged is; the oldest go when there are too many."""
        from temper.verify import strength_json

        if strength.unjudged:
            return
        path = self._path(files)
        half_done = path.with_suffix(f".{os.getpid()}.part")
        encoded = msgspec.Raw(msgspec.json.encode(strength))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            half_done.write_bytes(msgspec.json.encode(_Kept(mutants, encoded, strength_json(strength))))
            half_done.replace(path)
            there = sorted(self._folder.glob("*.json"), key=lambda each: each.stat().st_mtime)
            for old in there[:-KEPT_MAX]:
                old.unlink(missing_ok=True)
        except OSError:
            with suppress(OSError):
                half_done.unlink()

    def _read(self, files: Mapping[str, str]) -> _Kept | None:
        try:
            return msgspec.json.decode(self._path(files).read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return None

    def _path(self, files: Mapping[str, str]) -> Path:
        return self._folder / f"{judgement_key(files, asked='strength')}.json"
