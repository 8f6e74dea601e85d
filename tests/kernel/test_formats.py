"""The two formats that stay on disk: what an earlier release wrote is read for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from temper.kernel import Cause, Codec, Entry, replay
from tests.kernel.shop import SHOP, compiled

GOLDEN = Path(__file__).parent / "golden"


def lines(name: str) -> list[bytes]:
    return (GOLDEN / name).read_bytes().splitlines()


@pytest.mark.parametrize("line", lines("entries_1.jsonl"))
def test_an_entry_of_format_1_is_read_and_written_as_it_was(line: bytes) -> None:
    """One row, one entry. Never edit a row: a changed format gets a file of its own."""
    entry = msgspec.json.decode(line, type=Entry)
    assert entry.format == 1
    assert msgspec.json.encode(entry) == line


def test_the_entries_of_format_1_hold_every_member_that_an_entry_has() -> None:
    """So that the rows above mean something."""
    entries = [msgspec.json.decode(line, type=Entry) for line in lines("entries_1.jsonl")]
    for name in Entry.__struct_fields__:
        assert any(getattr(entry, name) for entry in entries), name
    refused = [entry.refused for entry in entries if entry.refused is not None]
    for name in refused[0].__struct_fields__:
        assert any(getattr(no, name) for no in refused), name
    assert any(entry.by.acts_for for entry in entries)
    assert {entry.cause for entry in entries} == set(Cause)
    assert replay(entries)["Purchase", "p1"].state == "Paid"


@pytest.mark.parametrize("line", lines("entities_1.jsonl"))
def test_an_entity_of_format_1_is_read_and_written_as_it_was(line: bytes) -> None:
    """One row, one entity, with calls, timers and deferred ones."""
    codec = Codec(compiled(SHOP))
    now = codec.load("Purchase", "p", line)
    assert codec.dump(now) == line
    assert now.calls or now.timers or now.deferred
