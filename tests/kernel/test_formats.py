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


@pytest.mark.parametrize(
    ("format", "line"), [(number, line) for number in (1, 2) for line in lines(f"entries_{number}.jsonl")]
)
def test_an_entry_of_each_format_is_read_and_written_as_it_was(format: int, line: bytes) -> None:
    """One row, one entry. Never edit a row: a changed format gets a file of its own."""
    entry = msgspec.json.decode(line, type=Entry)
    assert entry.format == format
    assert msgspec.json.encode(entry) == line


def test_the_entries_hold_every_member_that_an_entry_has() -> None:
    """So that the rows above mean something: what was not in format 1 is in format 2."""
    entries = [msgspec.json.decode(line, type=Entry) for number in (1, 2) for line in lines(f"entries_{number}.jsonl")]
    operated = [entry.operated for entry in entries if entry.operated is not None]
    for name in operated[0].__struct_fields__:
        assert any(getattr(done, name) for done in operated), name
    for name in Entry.__struct_fields__:
        assert any(getattr(entry, name) for entry in entries), name
    refused = [entry.refused for entry in entries if entry.refused is not None]
    for name in refused[0].__struct_fields__:
        assert any(getattr(no, name) for no in refused), name
    assert any(entry.by.acts_for for entry in entries)
    assert {entry.cause for entry in entries} == set(Cause)
    first = [entry for entry in entries if entry.format == 1]
    assert replay(first)["Purchase", "p1"].state == "Paid"


@pytest.mark.parametrize("line", lines("entities_1.jsonl"))
def test_an_entity_of_format_1_is_read_and_written_as_it_was(line: bytes) -> None:
    """One row, one entity, with calls, timers and deferred ones."""
    codec = Codec(compiled(SHOP))
    now = codec.load("Purchase", "p", line)
    assert codec.dump(now) == line
    assert now.calls or now.timers or now.deferred
