"""Ranks: lists in any order without looking at all, made beside the appends and kept up by them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from temper.kernel import Batch, Change, TableVersion
from temper.model import check
from temper.runtime import Span, SqliteStore, found, rank_place
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


def put(store: SqliteStore, *snapshots: Snapshot) -> None:
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
