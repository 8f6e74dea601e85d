"""Checkpoints go on beside the appends, and the log does not grow for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from temper.runtime import checkpoint
from temper.runtime.checkpoint import Checkpoints

PAGE = 4_096
Open = Callable[[], apsw.Connection]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pages in (("PAGES", 20), ("PAGES_ANEW", 60), ("PAGES_MAX", 200), ("_LEFT", 5)):
        monkeypatch.setattr(checkpoint, name, pages)


class File:
    """A file in WAL mode, and whoever appends to it."""

    def __init__(self, path: Path, open: Open | None = None) -> None:
        self.path = path
        self.writer = apsw.Connection(str(path))
        self.writer.execute("pragma journal_mode = wal")
        self.writer.execute("create table log(seq integer primary key, body blob not null)")
        self.checkpoints = Checkpoints(self.writer, open or self.open)

    def open(self) -> apsw.Connection:
        return apsw.Connection(str(self.path))

    def append(self, times: int) -> None:
        for _ in range(times):
            self.writer.execute("insert into log(body) values(zeroblob(?))", (PAGE,))
            self.checkpoints.appended()

    @property
    def log(self) -> int:
        """How many pages the log takes on the disk."""
        return Path(f"{self.path}-wal").stat().st_size // PAGE

    def close(self) -> None:
        self.checkpoints.close()
        self.writer.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path / "file.db")
    yield file
    file.close()


def test_the_log_begins_anew_and_all_of_it_is_in_the_file(file: File) -> None:
    file.append(2_000)
    assert file.log <= 250, "no more than the most, and what an append takes"
    file.checkpoints.close()
    assert file.path.stat().st_size // PAGE > 1_700
    assert file.open().execute("select count(*) from log").get == 2_000


def test_appends_go_on_while_the_log_is_written_back(tmp_path: Path) -> None:
    """Until it is as long as it may become: then they wait, and it begins anew."""
    may, path = threading.Event(), tmp_path / "file.db"

    def open() -> apsw.Connection:
        assert may.wait(60)
        return apsw.Connection(str(path))

    file = File(path, open)
    file.append(60)
    assert not may.is_set()
    assert 60 < file.log < 200
    # Nobody could go on from here by itself: the thread is let go by somebody else.
    threading.Timer(0.05, may.set).start()
    file.append(400)
    assert may.is_set()
    assert file.log <= 250
    file.close()


def test_a_log_that_somebody_reads_is_kept_for_as_long_as_they_do(file: File) -> None:
    reader = file.open()
    reader.execute("begin")
    assert reader.execute("select count(*) from log").get == 0
    file.append(300)
    assert file.log > 300
    assert reader.execute("select count(*) from log").get == 0
    reader.execute("commit")
    before = file.log
    file.append(600)
    assert file.log <= before + 250
    assert reader.execute("select count(*) from log").get == 900
    reader.close()


def test_a_log_that_can_not_be_written_back_holds_up_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again when as much more has come, and not at every append."""

    def open() -> apsw.Connection:
        raise apsw.CantOpenError("unable to open database file")

    file = File(tmp_path / "file.db", open)
    file.append(100)
    assert file.writer.execute("select count(*) from log").get == 100
    file.close()
    told = [record for record in caplog.records if "can't be written back" in record.message]
    assert 1 <= len(told) <= 20


def test_a_thread_that_can_not_be_begun_holds_up_nobody(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a system has no room for one: what was committed is there, and nobody may take it for undone."""
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    file.append(300)
    assert file.writer.execute("select count(*) from log").get == 300
    assert file.log <= 250, "the log does not grow for ever, whoever writes it back"
    monkeypatch.setattr(threading.Thread, "start", begin)
    file.append(600)
    assert file.log <= 250
    file.checkpoints.close()
    assert file.open().execute("select count(*) from log").get == 900
