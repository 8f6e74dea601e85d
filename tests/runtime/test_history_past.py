"""What an entity was, at any number and at any time, on every store that lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from temper.kernel import Batch, Codec, Entry, Folded, MemoryStore, Store, past, replay, seq_at
from temper.runtime import chain
from tests.kernel.driving import MANY, Driver
from tests.kernel.shop import BOSS, SHOP, compiled


def busy(store: Store, rounds: int) -> Driver:
    """A shelf whose stock moves each round, beside another; a round has a refusal and several moves in one batch."""
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=50)
    driver.act("Shelf", "s2", "Stock", name="bolts", stock=50)
    for number in range(rounds):
        driver.at += 10
        driver.asks(
            driver.request("Shelf", "s1", "Take", units=number % 7 + 1),
            driver.request("Shelf", "s2", "Close"),  # a clerk may not
            driver.request("Shelf", "s1", "Refill", units=number % 7 + 1),
            driver.request("Shelf", "s1", "Close"),
        )
    driver.act("Shelf", "s1", "Close", BOSS)
    return driver


def entries_of(store: Store, id: str) -> Sequence[Entry]:
    return [entry for entry in store.entries(0, MANY) if entry.id == id]


def told(now: Folded | None) -> Any:
    """What a past says."""
    if now is None:
        return None
    return now.state, now.version, now.created_at, now.updated_at, now.fields, now.digest, now.seq


def test_what_was_is_the_fold_of_what_had_happened(store: Store) -> None:
    """At every number, those of others' entries and of refusals included."""
    busy(store, 20)
    for id in ("s1", "s2", "nobody"):
        own = entries_of(store, id)
        for at in range(store.last_seq() + 2):
            wanted = replay(entry for entry in own if entry.seq <= at).get(("Shelf", id))
            assert told(past(store, "Shelf", id, at=at)) == told(wanted)


def test_a_long_history_is_not_folded_from_its_beginning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred entries are read, wherever in it one looks. About one entry in 256 is a mark; the draw is fixed."""
    if isinstance(store, MemoryStore):
        pytest.skip("it keeps no marks: all of it is in memory")
    busy(store, 1_500)
    own = entries_of(store, "s1")
    read = [0]
    history = store.history

    def counted(*args: Any, **named: Any) -> Sequence[Entry]:
        found = history(*args, **named)
        read[0] += len(found)
        return found

    monkeypatch.setattr(store, "history", counted)
    most = 0
    for place in range(0, len(own), 97):
        read[0] = 0
        wanted = replay(own[: place + 1])["Shelf", "s1"]
        assert told(past(store, "Shelf", "s1", at=own[place].seq)) == told(wanted)
        most = max(most, read[0])
    assert 0 < most < len(own) / 2


def test_a_mark_at_a_refusal_tells_which_entry_made_it_so() -> None:
    """Every entry is a mark here, refusals with theirs: which hashes are marks is nobody's choice."""
    store = _Marked()
    driver = busy(store, 12)
    assert any(entry.refused for entry in entries_of(store, "s1")), "there has to be one to stand at"
    for id in ("s1", "s2"):
        own = entries_of(store, id)
        for at in range(driver.store.last_seq() + 2):
            wanted = replay(entry for entry in own if entry.seq <= at).get(("Shelf", id))
            assert told(past(store, "Shelf", id, at=at)) == told(wanted)


class _Marked(MemoryStore):
    """Keeps a mark after the last entry of each batch that speaks of an entity."""

    def __init__(self) -> None:
        super().__init__()
        self._marks: dict[tuple[str, str], list[tuple[int, bytes]]] = {}

    def append(self, batch: Batch) -> int:
        last = super().append(batch)
        told = {(entry.entity, entry.id): entry.seq for change in batch.changes for entry in change.entries}
        for name, seq in told.items():
            now = self.snapshot(*name)
            if now is not None:
                self._marks.setdefault(name, []).append((seq, Codec(compiled(SHOP)).dump(now)))
        return last

    def landmark(self, entity: str, id: str, *, until: int) -> tuple[int, bytes] | None:
        return next((mark for mark in reversed(self._marks.get((entity, id), [])) if mark[0] <= until), None)


def test_a_time_is_the_last_entry_that_is_not_later(store: Store) -> None:
    driver = busy(store, 12)
    own = entries_of(store, "s1")
    for time in (0, 999, 1_000, 1_001, 1_009, 1_010, 1_060, 1_065, driver.at, driver.at + 5):
        wanted = max((entry.seq for entry in own if entry.at <= time), default=0)
        assert seq_at(store, "Shelf", "s1", time=time) == wanted


def test_about_one_hash_in_256_is_a_mark() -> None:
    """Counted over the first hashes of a chain of empty entries; sha-256 decides it, so the number stays."""
    head, marks = chain.GENESIS, 0
    for _ in range(25_600):
        head = chain.chained(head, b"")
        marks += chain.is_mark(head)
    assert 60 <= marks <= 140
