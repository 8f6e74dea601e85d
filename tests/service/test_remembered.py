"""Judgements on disk: found under what they were judged by, and under nothing else."""

from __future__ import annotations

from pathlib import Path

from temper.service import Remembered, Verified, check_texts, judgement_key
from temper.service.remembered import KEPT_MAX
from temper.table import Table
from tests.service.shop import BEFORE, HELIX

VERIFIED = Verified({"digest": "d", "passed": True}, "text", passed=True, undecided=False)


def table_of(files: dict[str, str]) -> Table:
    table = check_texts(files).table
    assert table is not None
    return table


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "not" / "there yet")
    assert remembered.find("k") is None
    remembered.keep("k", VERIFIED)
    assert remembered.find("k") == VERIFIED
    assert remembered.find("other") is None


def test_another_text_or_another_bound_is_another_key() -> None:
    """A comment moves what a report points at, so that it counts too."""
    commented = {"helix.blueprint": "# A word.\n" + HELIX["helix.blueprint"]}
    keys = {
        judgement_key(table_of(HELIX), seed=0),
        judgement_key(table_of(HELIX), seed=1),
        judgement_key(table_of(BEFORE), seed=0),
        judgement_key(table_of(commented), seed=0),
    }
    assert len(keys) == 4
    assert judgement_key(table_of(HELIX), seed=0) in keys


def test_what_cannot_be_read_or_written_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text("{")
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
