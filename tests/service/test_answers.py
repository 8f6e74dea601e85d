"""What units came to, on disk: found whole and plain, or not at all."""

from __future__ import annotations

import os
import pickle
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.service import Answers, check_texts
from temper.service.answers import KEPT_MAX
from temper.table import Table
from temper.verify import Done, Limits, report_json, verify
from tests.service.shop import HELIX

DONE = Done({}, 0.25)


def helix() -> Table:
    table = check_texts(HELIX).table
    assert table is not None
    return table


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "not" / "there yet")
    assert answers.find("k") is None
    answers.keep("k", DONE)
    assert answers.find("k") == DONE
    assert answers.find("other") is None
    assert Answers(tmp_path / "not" / "there yet", fresh=True).find("k") is None


def test_a_judgement_that_is_looked_up_is_the_one_that_was_made(tmp_path: Path) -> None:
    """Whatever the levels come to goes through a file and back."""
    levels = ("algebra", "search", "simulation", "properties", "scenarios")
    limits = Limits(seeds=2, examples=4)
    made = verify(helix(), levels=levels, limits=limits, kept=Answers(tmp_path))
    again = verify(helix(), levels=levels, limits=limits, kept=Answers(tmp_path))
    assert [each.looked_up for each in made.levels] == [0, 0, 0, 0, 0]
    assert [each.looked_up for each in again.levels] == [each.units for each in again.levels]
    assert again.properties == made.properties
    assert again.findings == made.findings
    assert again.scenarios == made.scenarios
    assert report_json(again)["levels"] != report_json(made)["levels"], "the report says what was looked up"


@given(data=st.data())
def test_a_file_that_was_changed_is_not_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whichever byte it is: an answer that is almost right is worse than none."""
    folder = tmp_path_factory.getbasetemp() / "changed"
    answers = Answers(folder)
    answers.keep("k", DONE)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytes([content[place] ^ data.draw(st.integers(1, 255))])
    path.write_bytes(content[:place] + flipped + content[place + 1 :])
    assert answers.find("k") is None
    path.write_bytes(content[:place])
    assert answers.find("k") is None


class Deed:
    """An object whose pickle does something when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_what_would_do_something_when_it_is_read_is_not_read(tmp_path: Path) -> None:
    """Also where its digest is right: a folder that others may write to gives them no more than a wrong verdict."""
    answers = Answers(tmp_path / "answers")
    answers.keep("k", DONE)
    (path,) = (tmp_path / "answers").iterdir()
    deed: Any = Deed(tmp_path / "done")
    for thing in (deed, Done({0: deed}, 0.0), os.mkdir, verify):
        content = pickle.dumps(thing)
        path.write_bytes(sha256(content).digest() + content)
        assert answers.find("k") is None
    assert not (tmp_path / "done").exists()


def test_another_verifier_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(tmp_path)
    answers.keep("k", DONE)
    monkeypatch.setattr("temper.service.answers.release", lambda: "another")
    assert answers.find("k") is None


def test_the_folder_does_not_grow_for_ever(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    for number in range(KEPT_MAX + 3):
        (tmp_path / str(number)).touch()
    answers.tidy()
    assert len(list(tmp_path.iterdir())) == KEPT_MAX + 3, "nothing was kept, so that nothing is looked at"
    answers.keep("k", DONE)
    answers.tidy()
    assert len(list(tmp_path.iterdir())) == KEPT_MAX
    assert answers.find("k") == DONE


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    Answers(file).keep("k", DONE)
    Answers(file).tidy()
    assert file.read_text() == ""
