"""A table as bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from temper.table import BadTable, digest, dump, load, shape
from tests.table.build import HELIX, compiled, helix

GOLDEN = Path(__file__).parent / "golden"


def test_a_table_of_format_1_is_still_read() -> None:
    """The file was written when the format was made; a change that breaks this needs a new format, not a new file."""
    data = (GOLDEN / "table-1.json").read_bytes().rstrip(b"\n")
    table = load(data)
    assert shape.FORMAT == 1
    assert dump(table) == data
    assert digest(table) == (GOLDEN / "table-1.sha256").read_text().strip()


def test_load_gives_back_what_was_dumped() -> None:
    """Actions and entities in the author's order too, which the canonical form does not keep."""
    table = helix()
    back = load(dump(table))
    assert back == table
    assert list(back.entities["Rollout"].actions) == ["Plan", "Start", "Moved", "Promote", "Halt", "RollBack"]
    assert load(dump(table, notes=False)).entities == table.entities


def test_the_form_is_canonical() -> None:
    """Keys sorted, no spaces, nothing but UTF-8."""
    table = compiled('entity A\n  states On\n  text: string = "ä"\n  action Make by anyone from new to On\n')
    data = dump(table)
    plain = json.loads(data)
    assert data == json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert "ä".encode() in data


def test_comments_and_spacing_do_not_change_the_digest() -> None:
    """A new description is not another table; a new guard is."""
    plain = digest(helix())
    assert digest(compiled(HELIX.replace("# Rolls a build out", "# Brings a build out"))) == plain
    assert digest(compiled(HELIX.replace("  action Start", "\n  # Begin.\n  action Start"))) == plain
    assert digest(compiled(HELIX.replace("moved + 1 == brokers", "moved + 1 >= brokers"))) != plain


def test_the_digest_is_the_same_in_every_process() -> None:
    """Nothing leaks in from the order of sets."""
    code = "from tests.table.build import helix; from temper.table import digest; print(digest(helix()))"
    root = Path(__file__).parents[2]
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert seen == {digest(helix())}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the table is not JSON"),
        (b"\xff", "the table is not JSON"),
        (b"[" * 100_000, "the table is not JSON"),
        (b"[]", "this is no table: it does not say its `format`"),
        (b"{}", "this is no table: it does not say its `format`"),
        (b'{"format":"1"}', "this is no table: it does not say its `format`"),
        (b'{"format":2}', "the table has format 2; this version reads format 1"),
        (b'{"format":1}', "this is no table: Object missing required field `blueprint`"),
        (b'{"format":1,"more":2}', "this is no table: Object contains unknown field `more`"),
    ],
)  # fmt: skip
def test_bytes_that_hold_no_table(data: bytes, text: str) -> None:
    """One row, one way not to be a table: always `BadTable`, and it says why."""
    with pytest.raises(BadTable, match=f"^{text}"):
        load(data)
