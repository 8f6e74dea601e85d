"""The simulator's disk is a store like any other while nothing fails; and what stays of it when something does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from temper.kernel import Batch, Change, Letter, Store, StoreFault
from temper.service.rehearsal import SqliteDisk, sqlite_disks
from temper.verify import Crashed, Disk, Fate, Ill, MemoryDisk
from tests.kernel.shop import SHOP, compiled, version
from tests.runtime import test_store as suite

# Every test of a store, on this one: each takes the fixture below by its name.
globals().update({name: test for name, test in vars(suite).items() if name.startswith("test_")})


class Kept(suite.Kept):
    """A disk under test; the process that opens it again finds what is in its file."""

    def __init__(self, disk: Disk) -> None:
        self.store: Store = disk

    def reopen(self) -> Store:
        self.store = _disk(self.store).reopened()
        return self.store

    def close(self) -> None:
        _disk(self.store).close()


def _disk(store: Store) -> Disk:
    assert isinstance(store, MemoryDisk | SqliteDisk)
    return store


@pytest.fixture(params=["memory", "sqlite"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    with nullcontext(MemoryDisk) if request.param == "memory" else sqlite_disks() as disks:
        disk = Kept(disks())
        yield disk
        disk.close()


@pytest.fixture
def disk(kept: Kept) -> Disk:
    """A disk with a version, and a letter in it."""
    disk = _disk(kept.store)
    disk.append(Batch((Change(version=version(compiled(SHOP))),)))
    disk.append(_letter(1))
    return disk


def _letter(number: int) -> Batch:
    return Batch((Change(letters=(Letter(f"o{number}", "Shelf", "s1", "why", number),)),))


def _letters(disk: Disk) -> list[str]:
    return [letter.order for letter in disk.letters(limit=9)]


PARTS = [0.0, 0.1, 0.5, 0.99, 1.0]


@pytest.mark.parametrize(
    ("fate", "part"),
    [*((Fate.CRASH, part) for part in PARTS), *((Fate.SCATTERED, part) for part in PARTS)],
)  # fmt: skip
def test_a_torn_batch_is_none_and_a_whole_one_is_all(kept: Kept, disk: Disk, fate: Fate, part: float) -> None:
    disk.ill = Ill(fate, part)
    with pytest.raises(Crashed):
        disk.append(_letter(2))
    found = _disk(kept.reopen())
    there = ["o1", "o2"] if (fate, part) == (Fate.CRASH, 1.0) else ["o1"]
    assert (_letters(found), len(found.batches)) == (there, len(there) + 1)
    # What is torn is written over, not built upon.
    found.append(_letter(3))
    assert _letters(_disk(kept.reopen())) == [*there, "o3"]


@pytest.mark.parametrize("part", PARTS)
def test_what_was_appended_outlives_a_crash_while_it_is_written_back(kept: Kept, disk: Disk, part: float) -> None:
    disk.ill = Ill(Fate.CRASH_AFTER, part)
    with pytest.raises(Crashed):
        disk.append(_letter(2))
    assert _letters(_disk(kept.reopen())) == ["o1", "o2"]


@pytest.mark.parametrize("fate", [Fate.FULL, Fate.LOST, Fate.KEPT])
def test_a_fault_leaves_the_next_process_what_it_leaves_this_one(kept: Kept, disk: Disk, fate: Fate) -> None:
    disk.ill = Ill(fate)
    with pytest.raises(StoreFault) as fault:
        disk.append(_letter(2))
    assert fault.value.unknown or fate is Fate.FULL
    there = ["o1", "o2"] if fate is Fate.KEPT else ["o1"]
    assert _letters(disk) == there
    found = _disk(kept.reopen())
    assert _letters(found) == there
    found.append(_letter(3))
    assert _letters(found) == [*there, "o3"]


def test_what_a_failed_sync_has_left_is_found_by_the_next_process(kept: Kept, disk: Disk) -> None:
    """Unless somebody has written over it before."""
    disk.ill = Ill(Fate.LATENT)
    with pytest.raises(StoreFault):
        disk.append(_letter(2))
    assert _letters(disk) == ["o1"]
    found = _disk(kept.reopen())
    assert (_letters(found), len(found.batches)) == (["o1", "o2"], 3)
    found.ill = Ill(Fate.LATENT)
    with pytest.raises(StoreFault):
        found.append(_letter(3))
    found.append(_letter(4))
    assert _letters(_disk(kept.reopen())) == ["o1", "o2", "o4"]


def test_a_crash_keeps_what_was_appended(kept: Kept, disk: Disk) -> None:
    assert _letters(disk) == _letters(_disk(kept.reopen())) == ["o1"]


def test_nothing_is_left_of_the_files() -> None:
    with sqlite_disks() as disks:
        disk = disks()
        assert isinstance(disk, SqliteDisk)
        place = disk.path.parent
        disk.reopened().close()
        assert list(place.iterdir()) == []
    assert not place.exists()


def test_where_no_files_can_be_had_it_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**_: object) -> None:
        raise FileNotFoundError("no usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryDirectory", nowhere)
    with sqlite_disks() as disks:
        assert isinstance(disks(), MemoryDisk)
