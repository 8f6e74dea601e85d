"""A push that has entities found by something else: what it needs is made beside what is in force, then switched."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from temper.kernel import Batch, Done, Examination, MemoryStore, No, Store, StoreFault
from temper.runtime import SqliteStore
from temper.runtime.history import PostgresStill, SqliteStill, audit, exported
from temper.runtime.postgres import PostgresStore
from temper.runtime.sqlite import reading
from tests.kernel.driving import Driver
from tests.kernel.shop import compiled, version
from tests.runtime.living import space

HOTEL = """
blueprint hotel
role clerk

entity Room
  states There
  action Make by clerk from new to There

entity Guest
  states Here, Gone
  final Gone
  name: string
  seat: int 0..1000
  room: Room?

  action Come(name, seat, room: Room? = none) by clerk from new to Here
    set name, seat, room
  action Move(seat) by clerk from Here
    set seat
  action Rename(name) by clerk from Here
    set name
  action Stay(room) by clerk from Here
    set room
  action Leave by clerk from Here to Gone
"""
SEATED = HOTEL.replace("  room: Room?\n\n", "  room: Room?\n  unique seat\n\n")
EVER = SEATED.replace("unique seat", "unique seat ever")
KEYED = HOTEL.replace("  room: Room?\n\n", "  room: Room?\n  key name\n\n").replace(
    "  action Rename(name) by clerk from Here\n    set name\n", ""
)
HOUSED = HOTEL.replace("  states There\n", "  states There\n  guests: every Guest.room max 50\n")


def guests(store: Store, count: int) -> Driver:
    driver = Driver(compiled(HOTEL), store)
    driver.asks(driver.request("Room", "r", "Make"), driver.request("Room", "s", "Make"))
    driver.asks(
        *(driver.request("Guest", f"g{n}", "Come", name=f"n{n}", seat=n, room="r") for n in range(count)),
    )
    return driver


def begun(driver: Driver, text: str, *, pages: int = 100) -> Examination:
    """An examination that has come so far."""
    table = compiled(text)
    number = len(driver.store.versions()) + 1
    examination = driver.host.examine(table, version(table, number, driver.at))
    for _ in range(pages):
        more = examination.page(limit=2)
        examination.settle()
        if not more:
            break
    return examination


def swapped(driver: Driver, examination: Examination) -> Any:
    found = driver.host.exchange(examination)
    if isinstance(found, Batch):
        driver.append(found)
        driver.table = examination.table
    return found


def tidied(store: Store) -> None:
    while store.tidy():
        pass


def must_be_right(store: Store) -> None:
    """Look at a space as an auditor does, and whether nothing is left that nobody uses."""
    if isinstance(store, SqliteStore):
        with SqliteStill(store.path) as still:
            assert audit(still).difference is None
    elif isinstance(store, PostgresStore):
        with PostgresStill(store.url, store.space) as other:
            assert audit(other).difference is None


def left(store: Store) -> set[str]:
    """Under which labels something stands that is not in force."""
    tables = (("keys", "kind"), ("holds", "kind"), ("refs", "kind"), ("keyed", "label"))
    in_force = "(select label from labels where state = 'in force')"
    found: set[str] = set()
    for table, column in tables:
        sql = f"select distinct {column} from {table} where {column} like '%.%' and {column} not in {in_force}"
        if isinstance(store, SqliteStore):
            db: Any = reading(store.path)
            found |= {row[0] for row in db.execute(sql).fetchall()}
            db.close()
        elif isinstance(store, PostgresStore):
            found |= {row[0] for row in store._line.rows(sql)}
    return found


@pytest.mark.parametrize("pages", [0, 1, 3, 100])
def test_who_changes_while_it_is_made_is_found_by_what_they_have_then(store: Store, pages: int) -> None:
    """However far it had come: one that moved, came or left; and a value that passed from one to another."""
    driver = guests(store, 8)
    examination = begun(driver, SEATED, pages=pages)
    driver.act("Guest", "g0", "Move", seat=100)
    driver.act("Guest", "g7", "Move", seat=0)
    driver.act("Guest", "g1", "Leave")
    driver.act("Guest", "g8", "Come", name="new", seat=1)
    assert isinstance(swapped(driver, examination), Batch)
    held = {seat: store.holder("Guest", 0, [seat]) for seat in (0, 1, 2, 7, 100)}
    assert held == {0: "g7", 1: "g8", 2: "g2", 7: None, 100: "g0"}
    assert isinstance(driver.act("Guest", "g9", "Come", name="late", seat=100), No)
    assert isinstance(driver.act("Guest", "g9", "Come", name="late", seat=7), Done)
    tidied(store)
    assert left(store) == set()
    must_be_right(store)


@pytest.mark.parametrize("pages", [0, 2, 100])
def test_two_who_have_the_same_are_both_named_and_nothing_is_changed(store: Store, pages: int) -> None:
    driver = guests(store, 6)
    examination = begun(driver, SEATED, pages=pages)
    driver.act("Guest", "g6", "Come", name="six", seat=2)
    stranded = swapped(driver, examination)
    assert [(one.id, one.reasons) for one in stranded] == [("g6", ("`g2` has the same `seat`, which is unique",))]
    driver.act("Guest", "g6", "Move", seat=66)
    assert isinstance(swapped(driver, examination), Batch)
    must_be_right(store)


def test_two_who_come_to_have_the_same_key_are_both_named(store: Store) -> None:
    driver = guests(store, 4)
    driver.act("Guest", "g3", "Rename", name="n1")
    stranded = driver.swap(compiled(KEYED), 2)
    assert [(one.id, one.reasons) for one in stranded] == [("g3", ("`g1` has the same `name`, which is its `key`",))]
    driver.act("Guest", "g3", "Rename", name="n3")
    examination = begun(driver, KEYED)
    driver.act("Guest", "g1", "Rename", name="one")
    driver.act("Guest", "g2", "Leave")
    assert isinstance(swapped(driver, examination), Batch)
    assert [store.by_key("Guest", [name]) for name in ("n1", "one", "n2", "n3")] == [None, "g1", "g2", "g3"]
    tidied(store)
    must_be_right(store)


def test_of_those_who_are_final_the_first_has_it(store: Store) -> None:
    driver = guests(store, 3)
    driver.act("Guest", "g1", "Move", seat=2)
    driver.act("Guest", "g1", "Leave")
    driver.act("Guest", "g2", "Leave")
    assert isinstance(driver.swap(compiled(EVER), 2), Batch)
    assert store.holder("Guest", 0, [2]) == "g1"
    must_be_right(store)


@pytest.mark.parametrize("pages", [0, 1, 100])
def test_what_somebody_ever_had_is_nobodys_who_lives(store: Store, pages: int) -> None:
    """Whichever of the two is put in first, who lives is named: they alone can do something about it."""
    driver = guests(store, 4)
    driver.act("Guest", "g0", "Leave")
    examination = begun(driver, EVER, pages=pages)
    driver.act("Guest", "g1", "Move", seat=0)
    driver.act("Guest", "g2", "Move", seat=3)
    driver.act("Guest", "g3", "Leave")
    told = swapped(driver, examination)
    assert {(one.id, one.reasons) for one in told} == {
        ("g1", ("`g0` has the same `seat`, which is unique",)),
        ("g2", ("`g3` has the same `seat`, which is unique",)),
    }
    driver.act("Guest", "g1", "Move", seat=11)
    driver.act("Guest", "g2", "Move", seat=12)
    assert isinstance(swapped(driver, examination), Batch)
    assert [store.holder("Guest", 0, [seat]) for seat in (0, 3, 11, 12)] == ["g0", "g3", "g1", "g2"]
    must_be_right(store)


def test_who_refers_to_one_is_found_by_what_is_made_beside(store: Store) -> None:
    driver = guests(store, 5)
    examination = begun(driver, HOUSED, pages=2)
    driver.act("Guest", "g0", "Stay", room="s")
    driver.act("Guest", "g4", "Stay", room=None)
    assert isinstance(swapped(driver, examination), Batch)
    assert list(store.referrers("Guest", "room", "r", limit=9)[0]) == ["g1", "g2", "g3"]
    assert list(store.referrers("Guest", "room", "s", limit=9)[0]) == ["g0"]
    driver.act("Guest", "g1", "Stay", room="s")
    assert list(store.referrers("Guest", "room", "s", limit=9)[0]) == ["g0", "g1"]
    tidied(store)
    must_be_right(store)


def test_there_and_back_again_and_once_more(store: Store) -> None:
    """Each way is a swap with an index of its own, and what the one before had goes."""
    driver = guests(store, 5)
    for number, text in enumerate((SEATED, HOTEL, HOUSED, SEATED, KEYED, SEATED), 2):
        assert isinstance(driver.swap(compiled(text), number), Batch), text
        driver.act("Guest", f"x{number}", "Come", name=f"x{number}", seat=100 + number, room="s")
        must_be_right(store)
        tidied(store)
        must_be_right(store)
    assert store.holder("Guest", 0, [107]) == "x7"
    assert store.holder("Guest", 0, [3]) == "g3"
    assert left(store) == set()


def test_one_that_is_given_up_leaves_nothing(store: Store) -> None:
    driver = guests(store, 5)
    assert isinstance(driver.swap(compiled(SEATED), 2), Batch)
    for _ in range(2):
        begun(driver, KEYED, pages=2).drop()
        must_be_right(store)
    tidied(store)
    assert left(store) == set()
    assert store.holder("Guest", 0, [3]) == "g3"


def test_one_that_was_given_up_can_not_be_put_in_force(store: Store) -> None:
    driver = guests(store, 5)
    examination = begun(driver, SEATED)
    if isinstance(store, MemoryStore):
        pytest.skip("it works out at the swap what is found")
    batch = driver.host.exchange(examination)
    assert isinstance(batch, Batch)
    examination.drop()
    tidied(store)
    with pytest.raises(StoreFault, match="given up"):
        store.append(batch)
    driver.host.abandon(batch)
    assert isinstance(driver.act("Guest", "h", "Come", name="h", seat=3), Done)
    must_be_right(store)


def test_what_is_asked_alone_writes_nothing(store: Store) -> None:
    """A plan finds who clashes in a place of its own, which no swap can put in force."""
    driver = guests(store, 5)
    driver.act("Guest", "g3", "Move", seat=0)
    table = compiled(SEATED)
    examination = driver.host.examine(table, version(table, 2, driver.at), lasting=False)
    while examination.page():
        examination.settle()
    examination.settle()
    examination.judge()
    assert [one.id for one in examination.stranded] == ["g3"]
    assert examination.fates["Guest", "Here"].stranded == 1
    assert left(store) == set()
    examination.drop()


# --- crashes ----------------------------------------------------------------------------------------------------------


def given_up(driver: Driver) -> bool:
    begun(driver, KEYED).drop()
    return True


STAGES: dict[str, Callable[[Driver], object]] = {
    "a page": lambda driver: begun(driver, KEYED, pages=1),
    "some pages": lambda driver: begun(driver, KEYED, pages=3),
    "all but the swap": lambda driver: driver.host.exchange(begun(driver, KEYED)),
    "given up": lambda driver: begun(driver, KEYED).drop(),
    "given up, and some of it gone": lambda driver: given_up(driver) and driver.store.tidy(),
    "the swap": lambda driver: driver.swap(compiled(KEYED), 3),
    "the swap, and some of the old one gone": lambda driver: (driver.swap(compiled(KEYED), 3), driver.store.tidy()),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_crash_leaves_a_whole_index_and_the_next_start_drops_the_rest(tmp_path: Path, stage: str) -> None:
    """What the disk has at each stage is a space as before the push, or as after it."""
    store = SqliteStore(tmp_path / "space.db")
    driver = guests(store, 7)
    driver.swap(compiled(SEATED), 2)
    STAGES[stage](driver)
    for name in ("space.db", "space.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"crashed{name[5:]}")
    store.close()
    again = SqliteStore(tmp_path / "crashed.db")
    must_be_right(again)
    tidied(again)
    assert left(again) == set()
    must_be_right(again)
    later = again.versions()[-1].number == 3
    assert later == stage.startswith("the swap")
    found = again.by_key("Guest", ["n6"]) if later else again.holder("Guest", 0, [6])
    assert found == "g6"
    driver = Driver(compiled(KEYED if later else SEATED), again)
    assert isinstance(driver.swap(compiled(HOTEL), 4 if later else 3), Batch)
    must_be_right(again)
    again.close()


def test_a_server_that_starts_again_drops_what_it_was_making(postgres_space: Callable[[], PostgresStore]) -> None:
    driver = guests(postgres_space(), 7)
    driver.swap(compiled(SEATED), 2)
    begun(driver, KEYED, pages=2)
    again = postgres_space()
    assert left(again) != set()
    tidied(again)
    assert left(again) == set()
    must_be_right(again)


def test_of_two_servers_that_push_at_once_one_has_made_its_index_in_vain(
    postgres_space: Callable[[], PostgresStore],
) -> None:
    mine = guests(postgres_space(), 7)
    store = postgres_space()
    assert isinstance(store, PostgresStore)
    theirs = Driver(compiled(HOTEL), store)
    examination = begun(theirs, KEYED, pages=2)
    assert isinstance(mine.swap(compiled(SEATED), 2), Batch)
    examination.page(limit=2)
    with pytest.raises(StoreFault, match="another version"):
        examination.settle()
    examination.drop()
    tidied(store)
    assert left(store) == set()
    must_be_right(store)


def test_an_export_has_what_is_in_force_under_the_kinds_own_names(tmp_path: Path) -> None:
    """As it is of a space in which nothing was ever made anew."""
    store = SqliteStore(tmp_path / "space.db")
    driver = guests(store, 5)
    driver.swap(compiled(SEATED), 2)
    begun(driver, KEYED, pages=2)
    store.close()
    with SqliteStill(tmp_path / "space.db") as still:
        written = b"".join(exported(still)).splitlines()
    held = [line for line in written if b'"hold"' in line]
    assert len(held) == 5
    assert all(b'"Guest"' in line for line in held)


def test_a_file_is_of_the_newer_format_once_labels_are_in_force(tmp_path: Path) -> None:
    """So that no older Temper looks under the kinds' own names."""
    store = SqliteStore(tmp_path / "space.db")
    driver = guests(store, 3)
    db = reading(store.path)
    format = "select value from meta where name = 'format'"
    assert db.execute(format).get == 2
    driver.swap(compiled(SEATED), 2)
    assert db.execute(format).get == 4
    db.close()
    store.close()


def test_a_file_of_format_4_is_read_for_ever(tmp_path: Path) -> None:
    """Made by the first build that put labels in force: four guests, of whom a seat is one's alone since version 2."""
    path = Path(shutil.copy(Path(__file__).parent / "golden" / "store_4.db", tmp_path / "space.db"))
    store = SqliteStore(path)
    driver = Driver(compiled(SEATED), store)
    taken, free = driver.asks(
        driver.request("Guest", "g9", "Come", name="n", seat=3, room="r"),
        driver.request("Guest", "g9", "Come", name="n", seat=9, room="r"),
    )
    assert isinstance(taken, No)
    assert isinstance(free, Done)
    store.close()
    must_be_right(store)


# --- beside those who go on -------------------------------------------------------------------------------------------


async def test_who_comes_to_have_the_same_meanwhile_is_refused_or_the_push_is(tmp_path: Path) -> None:
    """However it falls out: never are there two with one value once it is `unique`."""
    for way in range(6):
        store = SqliteStore(tmp_path / f"{way}.db")
        async with space(store=store, table=compiled(HOTEL)) as live:
            for number in range(40):
                await live.done("Guest", f"g{number}", "Come", name="n", seat=number)

            async def come(start: int) -> None:
                for number in range(start, start + 8):
                    await live.act("Guest", f"h{number}", "Come", name="n", seat=500 + number % 8)
                    await asyncio.sleep(0)

            clients = [asyncio.create_task(come(start)) for start in (0, 8)]
            for _ in range(way):
                await asyncio.sleep(0)
            done = await live.live.swap(compiled(SEATED), version(compiled(SEATED), 2))
            await asyncio.gather(*clients)
            seats = [now.fields["seat"] for now in store.list("Guest", limit=200).items]
            if isinstance(done, int):
                assert len(seats) == len(set(seats))
            else:
                assert {one.reasons[0].split("` has")[0] for one in done} <= {f"`h{n}" for n in range(16)}
                assert live.live.version.number == 1
            await live.live.close()
            tidied(store)
            assert left(store) == set()
            must_be_right(store)
        store.close()


def found_by(store: Store, text: str, value: int) -> bool | str | None:
    """Return who has a value, of those who are final whether somebody has it: the first who was put in."""
    id = store.by_key("Guest", [f"n{value}"]) if text == KEYED else store.holder("Guest", 0, [value])
    now = None if id is None else store.snapshot("Guest", id)
    return now.state == "Gone" or now.id if now is not None else None


STEPS = st.tuples(st.sampled_from(["come", "move", "rename", "leave", "page"]), st.integers(0, 5), st.integers(0, 6))


@settings(max_examples=30, deadline=None)
@given(st.lists(STEPS, max_size=24), st.sampled_from([SEATED, EVER, KEYED]))
def test_what_is_made_by_and_by_is_what_is_made_at_once(walk: Sequence[tuple[str, int, int]], text: str) -> None:
    """After any walk, a swap that was begun before it says what one says that begins after it."""
    with tempfile.TemporaryDirectory() as folder:
        told: list[Any] = []
        for early in (True, False):
            store = SqliteStore(Path(folder) / f"{early}.db")
            driver = guests(store, 3)
            examination = begun(driver, text, pages=0) if early else None
            for what, who, value in walk:
                match what:
                    case "come":
                        driver.act("Guest", f"g{who}", "Come", name=f"n{value}", seat=value)
                    case "move":
                        driver.act("Guest", f"g{who}", "Move", seat=value)
                    case "rename":
                        driver.act("Guest", f"g{who}", "Rename", name=f"n{value}")
                    case "leave":
                        driver.act("Guest", f"g{who}", "Leave")
                    case _:
                        if examination is not None:
                            examination.page(limit=1)
                            examination.settle()
                            examination.catch_up(limit=2)
                            examination.settle()
            found = swapped(driver, examination or begun(driver, text))
            told.append(len(found) if not isinstance(found, Batch) else [found_by(store, text, n) for n in range(7)])
            must_be_right(store)
            store.close()
        assert told[0] == told[1]
