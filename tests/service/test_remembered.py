"""Judgements on disk: found under what they were judged by, and under nothing else."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from temper.service import Remembered, Verified, judgement_key
from temper.service.remembered import KEPT_MAX
from tests.service.shop import BEFORE, HELIX

LEVEL = {"name": "search", "seconds": 1.5, "units": 3, "looked_up": 1}
VERIFIED = Verified({"passed": True, "levels": [LEVEL]}, "1.5 s", passed=True, undecided=False, again="0 ms")


def test_what_was_kept_is_found_as_looked_up(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "not" / "there yet")
    assert remembered.find("k") is None
    remembered.keep("k", VERIFIED)
    looked_up = {**LEVEL, "seconds": 0.0, "looked_up": 3}
    assert remembered.find("k") == replace(VERIFIED, report={"passed": True, "levels": [looked_up]}, text="0 ms")
    assert remembered.find("other") is None


def test_another_text_or_another_bound_is_another_key() -> None:
    """A comment moves what a report points at, so that it counts too."""
    commented = {"helix.blueprint": "# A word.\n" + HELIX["helix.blueprint"]}
    keys = {
        judgement_key(HELIX, seed=0),
        judgement_key(HELIX, seed=1),
        judgement_key(BEFORE, seed=0),
        judgement_key(commented, seed=0),
        judgement_key({"other.blueprint": HELIX["helix.blueprint"]}, seed=0),
    }
    assert len(keys) == 5
    assert judgement_key(HELIX, seed=0) in keys


def test_what_cannot_be_read_or_written_is_not_remembered(tmp_path: Path) -> None:
    for content in ("{", "{}", '{"report": {}, "text": "", "passed": true, "undecided": false}'):
        (tmp_path / "k.json").write_text(content)
        assert Remembered(tmp_path).find("k") is None
    file = tmp_path / "file"
    file.write_text("")
    Remembered(file).keep("k", VERIFIED)
    assert file.read_text() == ""


def test_the_folder_does_not_grow_for_ever(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path)
    for number in range(KEPT_MAX + 5):
        remembered.keep(f"k{number}", VERIFIED)
    assert len(list(tmp_path.iterdir())) == KEPT_MAX
