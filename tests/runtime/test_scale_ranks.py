"""Ranks: lists in any order without looking at all, made beside the appends and kept up by them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.kernel import Batch, Change, TableVersion
from temper.model import check
from temper.runtime import PostgresStore, Span, SqliteStore, found, rank_place
from temper.runtime.postgres import ranks as postgres_ranks
from temper.runtime.ranks import PIECE, RANKS_MAX
from temper.syntax import parse_bundle
from temper.table import (
    Accepted,
    Act,
    Caller,
    Snapshot,
    Table,
    canonical_key,
    compile_machine,
    digest,
    dump,
    step,
)
from temper.text import Source

TEXT = """
blueprint depot

role clerk

entity Parcel
  states Waiting, Moving
  name: string
  weight: int

  action Take(name, weight) by clerk from new to Waiting
    set name, weight

  action Move by clerk from Waiting to Moving

entity Van
  states Idle

  action Buy by clerk from new to Idle
"""
HEAVY = TEXT.replace("weight: int", "weight: int\n  fragile: bool = false")
CLERK = Caller("ann", frozenset({"clerk"}))
ALL = Span()


@pytest.fixture(scope="module")
def table() -> Table:
    return table_of(TEXT)


@pytest.fixture
def store(table: Table, tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "depot.db")
    found(store, version(table, 1))
    yield store
    store.close()


def table_of(text: str) -> Table:
    tree, _ = parse_bundle([Source("depot.blueprint", text)])
    machine, problems = check(tree)
    assert not problems, problems
    return compile_machine(machine)


def version(table: Table, number: int) -> TableVersion:
    return TableVersion(number, digest(table), dump(table), b"{}", 0, "ann")


def parcel(table: Table, id: str, weight: int, state: str = "Waiting") -> Snapshot:
    taken = step(table, None, Act("e", 1, "Take", {"name": id, "weight": weight}, CLERK, "Parcel", id))
    assert isinstance(taken, Accepted), taken
    return replace(taken.after, state=state)


def put(store: SqliteStore | PostgresStore, *snapshots: Snapshot) -> None:
    store.append(Batch(tuple(Change(snapshots=(each,)) for each in snapshots)))


def made(store: SqliteStore, field: str) -> None:
    while store.make_rank("Parcel", field):
        pass


def order(store: SqliteStore, field: str, span: Span = ALL, *, downwards: bool = False) -> list[str]:
    rank = store.ranks.find("Parcel", field)
    assert rank is not None, f"a rank by {field}"
    assert rank.upto is None, "a whole one"
    return [each.id for _, each in store.ranked(rank, span, None, 10_000, downwards=downwards)]


def test_a_rank_has_all_in_order_and_the_older_first(store: SqliteStore, table: Table) -> None:
    put(store, *[parcel(table, f"p{number}", weight) for number, weight in enumerate([5, -3, 5, 10**30, 0])])
    made(store, "weight")
    assert order(store, "weight") == ["p1", "p4", "p0", "p2", "p3"]
    assert order(store, "weight", downwards=True) == ["p3", "p2", "p0", "p4", "p1"]
    exactly = rank_place(5)
    assert order(store, "weight", Span(exactly, exactly)) == ["p0", "p2"]
    assert order(store, "weight", Span(low=exactly, low_in=False)) == ["p3"]
    assert order(store, "weight", Span(high=exactly, high_in=False)) == ["p1", "p4"]


def test_an_append_keeps_ranks_up(store: SqliteStore, table: Table) -> None:
    put(store, parcel(table, "a", 1), parcel(table, "b", 2))
    made(store, "weight")
    made(store, "state")
    put(store, parcel(table, "a", 3, "Moving"), parcel(table, "c", 0))
    assert order(store, "weight") == ["c", "b", "a"]
    assert order(store, "state") == ["a", "b", "c"]


def test_what_changes_while_a_rank_is_made_is_in_it_once(store: SqliteStore, table: Table) -> None:
    """Two pieces with appends between them: of one who is in it, of one who is not yet, and of a new one."""
    put(store, *[parcel(table, f"p{number:05}", number) for number in range(PIECE + 10)])
    assert store.make_rank("Parcel", "weight")
    put(store, parcel(table, "p00003", -1), parcel(table, f"p{PIECE + 5:05}", -2), parcel(table, "new", -3))
    made(store, "weight")
    ids = order(store, "weight")
    assert ids[:3] == ["new", f"p{PIECE + 5:05}", "p00003"]
    assert len(ids) == len(set(ids)) == PIECE + 11


def test_a_rank_that_was_half_made_at_a_stop_is_gone_on_with(table: Table, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "depot.db")
    found(store, version(table, 1))
    put(store, *[parcel(table, f"p{number:05}", number) for number in range(PIECE + 10)])
    assert store.make_rank("Parcel", "weight")
    store.close()
    store = SqliteStore(tmp_path / "depot.db")
    put(store, parcel(table, "p00000", 10**6))
    made(store, "weight")
    assert order(store, "weight")[-1] == "p00000"
    store.close()


def test_a_table_with_other_fields_drops_the_ranks_of_the_kind(store: SqliteStore, table: Table) -> None:
    put(store, parcel(table, "a", 1))
    made(store, "weight")
    store.append(Batch((Change(version=version(table_of(HEAVY), 2)),)))
    assert store.ranks.find("Parcel", "weight") is None
    made(store, "weight")
    assert order(store, "weight") == ["a"]


def test_one_rank_too_many_takes_the_place_of_the_one_asked_for_the_longest_ago(
    store: SqliteStore, table: Table
) -> None:
    put(store, parcel(table, "a", 1))
    for number in range(RANKS_MAX):
        store.make_rank("Parcel", f"field{number}")
    assert store.ranks.find("Parcel", "field0") is not None
    made(store, "weight")
    assert store.ranks.find("Parcel", "field1") is None
    assert store.ranks.find("Parcel", "field0") is not None
    assert order(store, "weight") == ["a"]


def test_counts_are_kept_by_state(table: Table, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "depot.db")
    found(store, version(table, 1))
    put(store, parcel(table, "a", 1), parcel(table, "b", 1), parcel(table, "c", 1))
    put(store, parcel(table, "a", 1, "Moving"))
    assert store.counts() == {("Parcel", "Moving"): 1, ("Parcel", "Waiting"): 2}
    store.close()
    store = SqliteStore(tmp_path / "depot.db")
    put(store, parcel(table, "b", 1, "Moving"), parcel(table, "c", 1, "Moving"))
    assert store.counts() == {("Parcel", "Moving"): 3}
    assert store.count("Parcel") == 3
    assert store.count("Parcel", states=("Waiting",)) == 0
    store.close()


VALUES = st.one_of(
    st.lists(st.none() | st.integers()),
    st.lists(st.none() | st.text()),
    st.lists(st.booleans()),
    st.lists(st.decimals(allow_nan=False, allow_infinity=False)),
    st.lists(st.decimals(min_value=-100, max_value=100, places=3) | st.integers(-3, 3).map(Decimal)),
)


@given(VALUES)
def test_places_compare_as_values_do(values: list[int | str | Decimal | None]) -> None:
    """Also where they are the same: 1.0 and 1.00 stand in one place."""
    places = {each: rank_place(each) for each in values}
    for left in values:
        for right in values:
            here, there = places[left], places[right]
            assert here is not None
            assert there is not None
            assert (here < there) == (canonical_key(left) < canonical_key(right))
            assert (here == there) == (left == right)


# --- in PostgreSQL ----------------------------------------------------------------------------------------------------

KINDS_OF = """
blueprint depot

role clerk

entity Parcel
  states Waiting, Moving
  note: string?
  count: int
  price: decimal
  sent: time
  wait: duration
  fragile: bool
  size: one of (small, large)

  action Take(note, count, price, sent, wait, fragile, size) by clerk from new to Waiting
    set note, count, price, sent, wait, fragile, size

  action Move by clerk from Waiting to Moving
"""


@pytest.fixture
def both(
    tmp_path: Path, postgres_space: Callable[[], PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[SqliteStore, PostgresStore]]:
    """A store of each kind, with the same version and with nobody in it."""
    monkeypatch.setattr(postgres_ranks, "RANKED_FROM", -1)
    database, file = postgres_space(), SqliteStore(tmp_path / "depot.db")
    try:
        for store in (file, database):
            found(store, version(table_of_once(), 1))
        yield file, database
    finally:
        file.close()


def whole(store: SqliteStore | PostgresStore, field: str) -> None:
    until = time.monotonic() + 30
    while store.make_rank("Parcel", field):
        assert time.monotonic() < until, "an order is made"
        time.sleep(0.01)


def listed(store: SqliteStore | PostgresStore, field: str, span: Span = ALL, limit: int = 2) -> list[list[str]]:
    """Return the pages upwards and downwards."""
    rank = store.ranks.find("Parcel", field)
    assert rank is not None, f"a rank by {field}"
    ways = []
    for downwards in (False, True):
        ids, spot = [], None
        while page := store.ranked(rank, span, spot, limit, downwards=downwards):
            ids += [each.id for _, each in page]
            spot = page[-1][0]
        ways.append(ids)
    return ways


MANY = (
    (None, 0, "0", 0, 0, False, "small"),
    ("", -1, "-0.5", -1, -1, True, "large"),
    ("a", 255, "0.00125", 1_767_319_445_678, 90_000, True, "small"),
    ("a\x00b", 256, "1200.50", 1_767_319_445_679, 250, False, "small"),
    ("a\x00c", -256, "-1200.50", 1_767_319_445_000, -250, False, "large"),
    ('ä\\u0000 "\n', 2**63, "1200.5", 86_400_000, 86_400_000, True, "large"),
    ("\U0001f600", -(2**63), "99999999999999999999.000001", 253_402_300_799_999, 3_600_000, True, "small"),
    ("\\\x00", 10**30, "10", 951_782_400_000, 60_000, False, "large"),
    ("z" * 5_000, -(10**30), "9", -62_135_596_800_000, 1, True, "small"),
    ("b", 1, "-99999999999999999999.000001", 1, 172_800_000, False, "large"),
)  # fmt: skip
FIELDS = ("note", "count", "price", "sent", "wait", "fragile", "size", "state", "updated_at", "id")


def fill(store: SqliteStore | PostgresStore, *, upto: int = len(MANY)) -> None:
    names = ("note", "count", "price", "sent", "wait", "fragile", "size")
    for number, values in enumerate(MANY[:upto]):
        given: dict[str, Any] = dict(zip(names, values, strict=True))
        given["price"] = Decimal(str(given["price"]))
        taken = step(
            table_of(KINDS_OF), None, Act("e", (number * 7) % 10, "Take", given, CLERK, "Parcel", f"p{number * 3 % 10}")
        )
        assert isinstance(taken, Accepted), taken
        put(store, replace(taken.after, state="Moving" if number % 3 else "Waiting"))


@pytest.mark.parametrize("before", [0, len(MANY)])
def test_a_database_lists_in_the_orders_of_a_file(both: tuple[SqliteStore, PostgresStore], before: int) -> None:
    """Whether the entities come before the order is made or after it, of each type of value."""
    file, database = both
    for store in both:
        fill(store, upto=before)
    for field in FIELDS:
        whole(database, field)
        if field != "id":
            whole(file, field)
    if not before:
        for store in both:
            fill(store)
    for field in FIELDS[:-1]:
        assert listed(database, field) == listed(file, field), field
    ids = [each.id for each in file.list_by_id("Parcel", None, 100, downwards=False)]
    assert listed(database, "id") == [ids, ids[::-1]]


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [("note", "a", "b"), ("note", "a\x00b", "a\x00b"), ("count", -256, 256), ("price", Decimal("1200.50"), None),
     ("wait", None, 0)],
)  # fmt: skip
def test_a_database_confines_a_list_as_a_file_does(
    both: tuple[SqliteStore, PostgresStore], field: str, low: str | int | None, high: str | int | None
) -> None:
    for store in both:
        fill(store)
        whole(store, field)
    ends = [None if each is None else rank_place(each) for each in (low, high)]
    for inside in (True, False):
        span = Span(ends[0], ends[1], inside or low == high, inside or low == high)
        expected = listed(both[0], field, span)
        assert expected[0], "somebody is within it"
        found = listed(both[1], field, span)
        assert found == expected
        rank = both[1].ranks.find("Parcel", field)
        assert rank is not None
        assert both[1].ranked_count(rank, span, 100) in (len(expected[0]), None)
        assert both[1].ranked_count(rank, ALL, 3) == 4, "one more than is to be counted"


def test_a_database_reads_a_list_by_its_index(both: tuple[SqliteStore, PostgresStore]) -> None:
    """Neither all that there are are read, nor sorted: the plan says so once there are some."""
    _, database = both
    put(database, *[parcel_of(number) for number in range(3_000)])
    whole(database, "count")
    rank = database.ranks.find("Parcel", "count")
    assert rank is not None
    asked = database._line.read
    plans: list[str] = []

    async def explained(sql: str, given: list[object]) -> object:
        plans.extend(row[0] for row in await asked(f"explain {sql}", given))
        return await asked(sql, given)

    database._line.read = explained  # type: ignore[assignment,method-assign]  # to see the plans
    page = database.ranked(rank, Span(low=rank_place(700)), (rank_place(2_000) or b"", 0), 51, downwards=True)
    assert [each.fields["count"] for _, each in page] == list(range(1_999, 1_948, -1))
    assert any("Index Scan" in line and "rank_" in line for line in plans), plans
    assert not any("Sort" in line for line in plans), plans


def parcel_of(number: int) -> Snapshot:
    given = {
        "note": None,
        "count": number,
        "price": Decimal(1),
        "sent": 0,
        "wait": 0,
        "fragile": False,
        "size": "small",
    }
    taken = step(table_of_once(), None, Act("e", 1, "Take", given, CLERK, "Parcel", f"q{number:05}"))
    assert isinstance(taken, Accepted), taken
    return taken.after


@cache
def table_of_once() -> Table:
    return table_of(KINDS_OF)


def test_a_small_kind_has_no_index_in_a_database(postgres_space: Callable[[], PostgresStore]) -> None:
    store = postgres_space()
    found(store, version(table_of(KINDS_OF), 1))
    fill(store)
    assert not store.make_rank("Parcel", "count")
    assert store.ranks.find("Parcel", "count") is None
    assert store.ranks.is_without("Parcel", "count")


async def test_an_index_that_was_left_half_made_is_made_anew(both: tuple[SqliteStore, PostgresStore]) -> None:
    """PostgreSQL marks what a server died at as invalid, and keeps it."""
    _, database = both
    fill(database)
    name = database.ranks._name("Parcel", "count")
    await asyncio.to_thread(whole, database, "count")
    connection = await asyncpg.connect(database.url)
    await connection.execute(
        "update pg_index set indisvalid = false where indexrelid = ($1::text)::regclass", f"{database.schema}.{name}"
    )
    await connection.close()
    database.ranks._known.clear()
    await asyncio.to_thread(whole, database, "count")
    assert listed(database, "count") == listed(database, "count", limit=100)
    assert len(listed(database, "count")[0]) == len(MANY)


def test_one_index_too_many_takes_the_place_of_the_one_asked_for_the_longest_ago(
    both: tuple[SqliteStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, database = both
    fill(database)
    monkeypatch.setattr(postgres_ranks, "RANKS_MAX", 2)
    for field in ("count", "price", "note"):
        whole(database, field)
    database.ranks._known.clear()
    assert not database.make_rank("Parcel", "price")
    assert database.make_rank("Parcel", "count"), "it has to be made again"
    whole(database, "count")


def test_a_swap_goes_by_the_new_type(both: tuple[SqliteStore, PostgresStore]) -> None:
    _, database = both
    fill(database)
    whole(database, "count")
    database.append(Batch((Change(version=version(table_of(KINDS_OF.replace("count: int", "count: decimal")), 2)),)))
    assert database.ranks.find("Parcel", "count") is None
    while database.moving():
        unmoved = database.unmoved(100)
        assert unmoved is not None
        database.append(Batch((Change(snapshots=tuple(each.now for each in unmoved.kept), moved=unmoved.moved),)))
    database.ranks._known.clear()
    whole(database, "count")
    assert len(listed(database, "count")[0]) == len(MANY)
