"""What was measured is found again by its texts, and whatever else lies there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from temper.service.measured import Measurements
from temper.verify import Strength, Suggestion, Verdict, strength_json
from temper.verify.report import Survivor, Vacuous

FILES = {"a.blueprint": "blueprint a"}
FOUND = Strength(
    10, 8, 7, 1, 0, 0.25,
    (Survivor("guard dropped", "Ask", "`Close` without `when x`", "is it?", "Ask.Close", ("a.blueprint", 3, 5)),),
    (Vacuous("always x", None, "the types alone make it true", "Ask/always/0", None),),
    (Suggestion("always y", "Ask", Verdict.PROVED, "induction", 1, ("is it?",)),),
    {"scenarios": 7},
)  # fmt: skip


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    Measurements(tmp_path).keep(FILES, FOUND, mutants=200)
    assert Measurements(tmp_path).find(FILES, mutants=200) == FOUND
    assert Measurements(tmp_path).data(FILES) == strength_json(FOUND)


@pytest.mark.parametrize(
    ("files", "mutants"), [({"a.blueprint": "blueprint b"}, 200), ({"b.blueprint": "blueprint a"}, 200), (FILES, 20)]
)
def test_what_was_asked_otherwise_is_not_found(tmp_path: Path, files: dict[str, str], mutants: int) -> None:
    Measurements(tmp_path).keep(FILES, FOUND, mutants=200)
    assert Measurements(tmp_path).find(files, mutants=mutants) is None


def test_what_the_clock_stopped_is_not_kept(tmp_path: Path) -> None:
    Measurements(tmp_path).keep(FILES, replace(FOUND, unjudged=1), mutants=200)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"mutants": 200, "strength": 3, "data": {}}', b"\xff\x00"])
def test_a_file_that_is_no_measurement_is_a_miss(tmp_path: Path, content: bytes) -> None:
    kept = Measurements(tmp_path)
    kept.keep(FILES, FOUND, mutants=200)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert kept.find(FILES, mutants=200) is None
    kept.keep(FILES, FOUND, mutants=200)
    assert kept.find(FILES, mutants=200) == FOUND


def test_a_folder_that_can_not_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    kept = Measurements(tmp_path / "file")
    kept.keep(FILES, FOUND, mutants=200)
    assert kept.find(FILES, mutants=200) is None
