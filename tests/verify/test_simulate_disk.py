"""The simulator's disk is a store like any other while nothing fails; and what stays of it when something does."""

from __future__ import annotations

import pytest

from temper.kernel import Batch, Change, Letter, Store, StoreFault
from temper.verify.simulate.disk import Crashed, Disk, Fate, Ill
from tests.kernel.shop import SHOP, compiled, version
from tests.runtime import test_store as suite

# Every test of a store, on this one: each takes the fixture below by its name.
globals().update({name: test for name, test in vars(suite).items() if name.startswith("test_")})


class Kept(suite.Kept):
    """A disk under test; the process that opens it again finds what is in its file."""

    def __init__(self) -> None:
        self.store: Store = Disk()

    def reopen(self) -> Store:
        assert isinstance(self.store, Disk)
        self.store = self.store.reopened()
        return self.store


@pytest.fixture
def kept() -> Kept:
    return Kept()


def _letter(number: int) -> Batch:
    return Batch((Change(letters=(Letter(f"o{number}", "Shelf", "s1", "why", number),)),))


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99, 1.0])
def test_a_torn_batch_is_none_and_a_whole_one_is_all(part: float) -> None:
    disk = Disk()
    disk.append(Batch((Change(version=version(compiled(SHOP))),)))
    disk.append(_letter(1))
    disk.ill = Ill(Fate.CRASH, part)
    with pytest.raises(Crashed):
        disk.append(_letter(2))
    found = disk.reopened()
    assert [letter.order for letter in found.letters(limit=9)] == (["o1", "o2"] if part == 1 else ["o1"])
    # What is torn is written over, not built upon.
    found.append(_letter(3))
    assert [letter.order for letter in found.reopened().letters(limit=9)][-1] == "o3"


@pytest.mark.parametrize("fate", [Fate.FULL, Fate.LOST, Fate.KEPT])
def test_a_fault_says_whether_its_fate_is_known(fate: Fate) -> None:
    disk = Disk()
    disk.append(Batch((Change(version=version(compiled(SHOP))),)))
    disk.ill = Ill(fate)
    with pytest.raises(StoreFault) as fault:
        disk.append(_letter(1))
    assert fault.value.unknown is (fate is not Fate.FULL)
    assert (disk.letter("o1") is not None) is (fate is Fate.KEPT)
    assert disk.reopened().letter("o1") == disk.letter("o1")
    disk.append(_letter(2))
    assert disk.letter("o2") is not None
