"""`temper audit`, `temper export` and `temper import`, as a shell sees them."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import apsw
import pytest

from temper.runtime import PostgresStore, SqliteStore
from tests.cli.run import temper
from tests.kernel.driving import Driver
from tests.runtime.postgres import Server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a blueprint in it, that nobody serves."""
    folder = tmp_path_factory.mktemp("whole")
    spaces = folder / "temper-data" / "spaces"
    spaces.mkdir(parents=True)
    store = SqliteStore(spaces / "shop.db")
    driver = Driver(store=store)
    driver.act("Shelf", "s1", "Stock", name="nuts", stock=5)
    driver.act("Shelf", "s1", "Take", units=2)
    driver.paying("p1")
    store.close()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "here"))


def test_an_audit_says_what_it_walked_and_gives_an_anchor(folder: Path) -> None:
    ran = temper("audit", "shop", folder=folder)
    head, anchor = ran.out.splitlines()
    assert (ran.code, head) == (0, "passes: 5 entries, 3 entities and 1 version")
    told = temper("audit", "shop", "--json", folder=folder).json
    assert anchor == f"  anchor {told['anchors'][0]}"
    assert anchor.endswith("@5")
    assert temper("audit", "shop", "--expect", told["anchors"][0], folder=folder).code == 0


def test_an_audit_of_what_was_tampered_with_says_where_and_what_to_do(folder: Path) -> None:
    path = folder / "temper-data" / "spaces" / "shop.db"
    db = apsw.Connection(str(path))
    db.execute("update log set body = cast(replace(cast(body as text), '\"units\":2', '\"units\":1') as blob)")
    db.close()
    ran = temper("audit", str(path), folder=folder)
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "broken: entry 2 is not what was written: its hash differs",
        "  in the table log, row 2",
        "  after 1 entry, 0 entities and 1 version that are what was written",
        "  help: restore the space from an export or a copy that passes, and find out who can write to the store",
    ]
    told = temper("audit", "shop", "--json", folder=folder).json
    difference = told["difference"]
    assert (told["passes"], difference["seq"], difference["table"], difference["row"]) == (False, 2, "log", "2")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("audit none", "there is no `none` in"),
        ("audit none.db", "there is no file `none.db`"),
        ("audit shop --expect abc", "`abc` is no anchor: write HASH@SEQ"),
        ("export none", "there is no `none` in"),
        ("export shop --to no/where.jsonl", "`no/where.jsonl` can't be written: No such file"),
        ("import none.jsonl", "`none.jsonl` can't be read"),
        ("import temper-data/spaces/shop.db", "this is no exported space"),
        ("audit shop --store {secret:TEMPER_NOWHERE}", "is not in the environment"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_said(folder: Path, words: str, says: str) -> None:
    ran = temper(*words.split(), folder=folder)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_an_export_is_taken_in_elsewhere_and_not_where_it_is(folder: Path) -> None:
    said = temper("export", "shop", "--to", "shop.jsonl.gz", "--json", folder=folder).json
    lines = gzip.decompress((folder / "shop.jsonl.gz").read_bytes()).splitlines()
    assert said == {"file": "shop.jsonl.gz", "lines": len(lines)}
    assert json.loads(lines[0]) == {"is": "space", "format": 1, "blueprint": "shop", "parts": 1}
    taken = temper("import", "shop.jsonl.gz", "--data", "other", folder=folder)
    assert (taken.code, taken.out.splitlines()[0]) == (
        0,
        "shop: 3 entities and 5 entries are in other/spaces/shop.db now",
    )
    here, there = (
        temper("audit", "shop", "--json", "--data", data, folder=folder).json for data in ("temper-data", "other")
    )
    assert here == there
    again = temper("import", "shop.jsonl.gz", "--data", "other", folder=folder)
    assert again.code == 2
    assert "is there already" in again.err
    assert sorted(each.name for each in (folder / "other" / "spaces").iterdir()) == ["shop.db"]


def test_a_blueprint_moves_to_postgresql(folder: Path, postgres: Server) -> None:
    temper("export", "shop", "--to", "shop.jsonl", folder=folder)
    env = {"TEMPER_TEST_STORE": postgres.url}
    store = "{secret:TEMPER_TEST_STORE}"
    taken = temper("import", "shop.jsonl", "--store", store, "--partitions", "4", folder=folder, env=env)
    assert (taken.code, taken.out.splitlines()[0]) == (0, "shop: 3 entities and 5 entries are in temper_shop now")
    told = temper("audit", "shop", "--store", store, "--json", folder=folder, env=env).json
    assert (told["passes"], told["entries"], len(told["anchors"])) == (True, 5, 4)
    kept = PostgresStore(postgres.url, "shop")
    assert kept.snapshot("Shelf", "s1") is not None
    kept.close()


def test_a_file_has_one_partition(folder: Path) -> None:
    temper("export", "shop", "--to", "shop.jsonl", folder=folder)
    ran = temper("import", "shop.jsonl", "--partitions", "4", "--data", "other", folder=folder)
    assert (ran.code, ran.err.splitlines()[0]) == (2, "error: a file has one partition")
