"""What is final and has rested is put away, and nobody who knows its name can tell but by how long it takes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from temper.kernel import Folded, No, Order, StoreFault, past
from temper.runtime import SqliteStore, plant_file, plant_postgres
from temper.runtime.archiving import archive
from temper.runtime.history import Audited, PostgresStill, SqliteStill, Still, audit, exported
from temper.runtime.postgres import PostgresStore
from tests.kernel.shop import compiled, version
from tests.runtime.living import MovedClock, Prompt, Space, Tool, space
from tests.runtime.postgres import Server

DESK = """
blueprint desk

role clerk

tool post.send(to: string) -> (receipt: string)
  timeout 5s

entity Customer
  states Active, Left
  final Left
  name: string
  heard: int 0..9 = 0
  cases: every Case.customer max 100
  key name

  action Join(name) by clerk from new to Active
    set name
  action Leave by clerk from Active to Left
    when size(cases) < 100
  action Heard by system from Active
    set heard += 1
  late Heard ignore

entity Case
  states Open, Closed
  final Closed
  customer: Customer
  earlier: Case?
  token: string
  notes: list of string max 9 = []
  unique token ever

  action Open(customer, token, earlier: Case? = none) by clerk from new to Open
    set customer, token, earlier
  action Close by clerk from Open to Closed
  action CloseLoudly by clerk from Open to Closed
    call post.send(token) then Sent(result.receipt) else _
  action Tell by clerk from Open to Closed
    send customer.Heard
  action Sent(receipt: string) by system from Closed
    set notes += [receipt]
  action Note(text: string) by clerk from all
    when size(notes) < 9 else "nine notes are enough"
    set notes += [text]
  late Sent ignore
"""
DAY = 86_400_000
SWAPPED = "update archived set (place, size) = (select place, size from archived where row = 3) where row = 4"
_names = count(1)


@dataclass
class Where:
    """A store that can be opened again, read as a whole, and planted elsewhere."""

    open: Callable[[], SqliteStore | PostgresStore]
    still: Callable[[], Still]
    elsewhere: Callable[[Sequence[bytes]], Where]


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Where]:
    opened: list[SqliteStore | PostgresStore] = []

    def closed() -> None:
        while opened:
            opened.pop().close()

    def a_file(path: Path) -> Where:
        def open_it() -> SqliteStore:
            closed()
            store = SqliteStore(path)
            opened.append(store)
            return store

        def elsewhere(lines: Sequence[bytes]) -> Where:
            plant_file(path.with_name("planted.db"), lines)
            return a_file(path.with_name("planted.db"))

        return Where(open_it, lambda: SqliteStill(path), elsewhere)

    def a_schema(url: str, name: str) -> Where:
        def open_it() -> PostgresStore:
            closed()
            store = PostgresStore(url, name, parts=2)
            opened.append(store)
            store.leases.take(range(store.parts), seconds=3_600)
            return store

        def elsewhere(lines: Sequence[bytes]) -> Where:
            plant_postgres(url, f"{name}_planted", lines)
            return a_schema(url, f"{name}_planted")

        return Where(open_it, lambda: PostgresStill(url, name), elsewhere)

    if request.param == "sqlite":
        yield a_file(tmp_path / "space.db")
    else:
        server: Server = request.getfixturevalue("postgres")
        yield a_schema(server.url, f"archive{next(_names)}")
    closed()


def desk(
    store: SqliteStore | PostgresStore, clock: MovedClock, *, tool: Any = None
) -> AbstractAsyncContextManager[Space]:
    return space(("post.send", tool or Prompt()), store=store, table=compiled(DESK), clock=clock)


async def busy(at: Space) -> None:
    """Customers with cases, closed ones among them; one that refers to another; refusals."""
    for name in ("ann", "bob"):
        await at.done("Customer", name, "Join", name=name)
    for number in range(6):
        await at.done("Case", f"c{number}", "Open", customer="bob", token=f"t{number}")
        await at.done("Case", f"c{number}", "Note", text="hello")
    await at.done("Case", "later", "Open", customer="ann", token="late", earlier="c5")
    for number in range(6):
        await at.done("Case", f"c{number}", "Close")
        assert isinstance(await at.act("Case", f"c{number}", "Close"), No)
    await at.done("Customer", "bob", "Leave")


def everything(store: SqliteStore | PostgresStore) -> Any:
    """All that is told of those whose names one knows, and of the log."""
    names = [("Customer", "ann"), ("Customer", "bob"), *(("Case", f"c{n}") for n in range(6)), ("Case", "later")]
    return (
        [store.snapshot(*name) for name in names],
        [store.kept(*name) for name in names],
        [store.history(*name, limit=100) for name in names],
        [_pasts(store, *name) for name in names],
        store.entries(0, 1_000),
        [store.by_key("Customer", [name]) for name in ("ann", "bob", "nobody")],
        [store.holder("Case", 0, [f"t{n}"]) for n in range(7)],
        [store.referrers("Case", "customer", name, limit=50) for name in ("ann", "bob")],
    )


def _pasts(store: SqliteStore | PostgresStore, entity: str, id: str) -> list[Folded | None]:
    return [past(store, entity, id, at=at) for at in range(store.last_seq() + 1)]


def audited(where: Where) -> Audited:
    with where.still() as still:
        return audit(still)


def names_of(store: SqliteStore | PostgresStore) -> set[str]:
    return {now.id for kind in ("Customer", "Case") for now in store.list(kind, limit=100).items}


async def test_who_rests_is_put_away_and_read_as_before(where: Where) -> None:
    """All but lists: the same snapshots, histories, pasts, keys, uniques and references, and the same hashes."""
    clock, store = MovedClock(), where.open()
    async with desk(store, clock) as at:
        await busy(at)
        before, passed = everything(store), audited(where)
        assert await archive(at.live, store, since=clock.now()) == 0, "nobody has rested yet"
        clock.move(DAY)
        # Not `ann`, who is live, nor `later`, nor c5, to which that refers.
        assert await archive(at.live, store, since=clock.now()) == 6
        assert everything(store) == before
        assert names_of(store) == {"ann", "later", "c5"}
        assert store.count("Case") == 2
        assert store.counts() == {("Customer", "Active"): 1, ("Case", "Open"): 1, ("Case", "Closed"): 1}
        assert store.list("Case", states=["Closed"], limit=9, order=Order.NEWEST).items[0].id == "c5"
        assert store.archived() == 6
        assert [store.is_archived("Case", id) for id in ("c0", "c5", "nobody")] == [True, False, False]
        assert await archive(at.live, store, since=clock.now()) == 0
        assert audited(where) == passed
        assert passed.difference is None
    again = where.open()
    assert everything(again) == before
    assert names_of(again) == {"ann", "later", "c5"}


async def test_nothing_that_was_given_is_given_again(where: Where) -> None:
    clock, store = MovedClock(), where.open()
    async with desk(store, clock) as at:
        await busy(at)
        clock.move(DAY)
        await archive(at.live, store, since=clock.now())
        bob = await at.done("Customer", "bobby", "Join", name="bob")
        assert (bob.snapshot.id, bob.entry) == ("bob", None), "its key gives the one who has it"
        taken = await at.act("Case", "c9", "Open", customer="ann", token="t1")
        assert isinstance(taken, No)
        assert "token" in taken.refused.text
        there = await at.act("Case", "c1", "Open", customer="ann", token="new")
        assert isinstance(there, No)
        last = store.last_seq()
        refused = await at.act("Case", "c1", "Close")
        assert isinstance(refused, No)
        assert store.is_archived("Case", "c1"), "a refusal changes nothing"
        assert store.history("Case", "c1", after=last, limit=9)[0].refused is not None
    assert audited(where).difference is None


async def test_an_answer_is_given_again_under_its_key(where: Where) -> None:
    clock, store = MovedClock(), where.open()

    def close(at: Space, key: str) -> Any:
        return at.live.submit(replace(at.request("Case", "c1", "Close"), key=key))

    async with desk(store, clock) as at:
        await at.done("Customer", "ann", "Join", name="ann")
        await at.done("Case", "c1", "Open", customer="ann", token="t")
        closed = await close(at, "k1")
        await at.done("Customer", "ann", "Leave")
        clock.move(DAY)
        assert await archive(at.live, store, since=clock.now()) == 2
        refused = await close(at, "k2")
        for key, answer in (("k1", closed), ("k2", refused)):
            again = await close(at, key)
            assert again.replayed
            assert again.snapshot == answer.snapshot
    assert audited(where).difference is None


async def test_one_that_goes_on_comes_back(where: Where) -> None:
    """An action that final states allow writes it anew; put away again, it has all of its history."""
    clock, store = MovedClock(), where.open()
    async with desk(store, clock) as at:
        await busy(at)
        for text in ("once", "twice"):
            clock.move(DAY)
            assert await archive(at.live, store, since=clock.now()) > 0
            assert store.is_archived("Case", "c1")
            await at.done("Case", "c1", "Note", text=text)
            assert not store.is_archived("Case", "c1")
            assert "c1" in names_of(store)
            assert audited(where).difference is None
        before = everything(store)
        clock.move(DAY)
        assert await archive(at.live, store, since=clock.now()) == 1
        assert everything(store) == before
        history = store.history("Case", "c1", limit=99)
        assert [entry.action for entry in history] == ["Open", "Note", "Close", "Close", "Note", "Note"]
    assert audited(where).difference is None


async def test_nobody_is_put_away_whom_somebody_waits_for(where: Where) -> None:
    clock, store, tool = MovedClock(), where.open(), Tool()
    async with desk(store, clock, tool=tool) as at:
        await at.done("Customer", "ann", "Join", name="ann")
        await at.done("Customer", "bob", "Join", name="bob")
        for number in range(3):
            await at.done("Case", f"c{number}", "Open", customer="bob", token=f"t{number}")
        await at.done("Case", "c0", "Close")
        await at.done("Case", "c1", "CloseLoudly")
        await tool.called()
        clock.move(DAY)
        # c0 is found by bob, who is live; c1 waits for its call; bob is referred to by c2.
        assert await archive(at.live, store, since=clock.now()) == 0
        await at.done("Customer", "bob", "Leave")
        clock.move(DAY)
        assert await archive(at.live, store, since=clock.now()) == 1
        assert store.is_archived("Case", "c0")


async def test_a_reference_that_comes_meanwhile_is_seen(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the search and the moment itself: one who refers to c1, one that is refused, one that changes."""
    clock, store = MovedClock(), where.open()
    async with desk(store, clock) as at:
        await busy(at)
        clock.move(DAY)
        pack = store.pack

        def packed(names: Any) -> Any:
            segment = pack(names)
            if segment is not None and not done:
                done.append(True)
                for request in meanwhile:
                    asyncio.run_coroutine_threadsafe(at.live.submit(request), loop).result()
            return segment

        loop = asyncio.get_running_loop()
        done: list[bool] = []
        meanwhile = [
            at.request("Case", "newer", "Open", customer="ann", token="newer", earlier="c1"),
            at.request("Case", "c2", "Close"),
            at.request("Case", "c3", "Note", text="so there"),
        ]
        monkeypatch.setattr(store, "pack", packed)
        assert await archive(at.live, store, since=clock.now()) == 3
        assert [store.is_archived("Case", f"c{n}") for n in range(6)] == [True, False, False, False, True, False]
    assert audited(where).difference is None


async def test_an_export_has_all_of_it_and_gives_it_back(where: Where) -> None:
    clock, store = MovedClock(), where.open()
    async with desk(store, clock) as at:
        await busy(at)
        with where.still() as still:
            before = list(exported(still))
        clock.move(DAY)
        await archive(at.live, store, since=clock.now())
        everywhere = everything(store)
        with where.still() as still:
            after = list(exported(still))
    assert [line for line in after if b'"is":"mark"' not in line][:-1] == [
        line for line in before if b'"is":"mark"' not in line
    ][:-1]
    planted = where.elsewhere(after)
    assert audited(planted).difference is None
    again = planted.open()
    assert everything(again) == everywhere
    assert again.archived() == 0, "whoever serves it next puts them away by its own settings"


async def test_a_push_finds_those_put_away_by_what_it_makes_unique(where: Where) -> None:
    """An index that is made anew has them, too: a key of theirs is never given again."""
    clock, store = MovedClock(), where.open()
    async with desk(store, clock) as at:
        await busy(at)
        clock.move(DAY)
        await archive(at.live, store, since=clock.now())
        later = compiled(DESK.replace("  key name", "  key name\n  unique (heard, name) ever"))
        assert isinstance(await at.live.swap(later, version(later, 2)), int)
        assert store.by_key("Customer", ["bob"]) == "bob"
        assert store.holder("Customer", 0, [0, "bob"]) == "bob"
        assert store.holder("Case", 0, ["t1"]) == "c1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of which six were put away."""

    async def fill() -> None:
        clock = MovedClock()
        async with desk(store, clock) as at:
            await busy(at)
            clock.move(DAY)
            assert await archive(at.live, store, since=clock.now()) == 6

    store = SqliteStore(tmp_path / "space.db")
    asyncio.run(fill())
    store.close()
    return store.path


def test_a_segment_is_lines_that_anybody_can_read(path: Path) -> None:
    (segment,) = path.with_suffix(".archive").iterdir()
    assert segment.name == "000001.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(segment.read_bytes()).splitlines()]
    assert lines[0] == {"is": "segment", "format": 1, "number": 1, "after": 0, "sum": ""}
    assert [(line["kind"], line["id"]) for line in lines if line["is"] == "entity"] == [
        ("Customer", "bob"), *(("Case", f"c{n}") for n in range(5)),
    ]  # fmt: skip
    assert [line["body"]["action"] for line in lines if line.get("row") == 3 and line["is"] == "entry"] == [
        "Open", "Note", "Close", "Close",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda file, _: file.unlink(), "can't be read: No such file or directory"),
        (lambda file, _: file.write_bytes(file.read_bytes()[:-9]), "is not what was written: its hash differs"),
        (lambda file, _: file.write_bytes(file.read_bytes().replace(b"\x1f\x8b", b"\x1f\x8c", 1)),
         "is not what was written: its hash differs"),
        # Whoever can write to the file can have another sum in it: the chain tells.
        (lambda file, db: _resealed(file, db, b'"text":"hello"', b'"text":"hullo"'),
         "is not in the archive as it was written"),
        # The first is the entity itself.
        (lambda file, db: _resealed(file, db, b'"hello"', b'"hullo"'),
         'Case/c0.notes is kept as `["hullo"]`, and its entries say `["hello"]`'),
        (lambda _, db: db.execute("delete from archived where row = 2"),
         "does not say where in the archive row 2 is"),
        (lambda _, db: db.execute("update log set body = x'" + "00" * 32 + "' where seq = 2"),
         "entry 2 is not what was written: its hash differs"),
        (lambda _, db: db.execute(SWAPPED),
         "Case/c0"),
    ],
)  # fmt: skip
def test_an_audit_finds_what_was_done_to_it(path: Path, damage: Callable[..., object], says: str) -> None:
    (segment,) = path.with_suffix(".archive").iterdir()
    db = apsw.Connection(str(path))
    damage(segment, db)
    db.close()
    with SqliteStill(path) as still:
        found = audit(still).difference
    assert found is not None
    assert says in found.text
    assert found.help


def _resealed(file: Path, db: apsw.Connection, old: bytes, new: bytes) -> None:
    """Write other lines of the same kinds, and have every place and sum say so: only what a chain knows is not so."""
    members: Any = db.execute("select row, place, size from archived order by place").fetchall()
    whole = file.read_bytes()
    made = whole[: members[0][1]]
    for row, place, size in members:
        text = gzip.decompress(whole[place : place + size])
        packed = gzip.compress(text.replace(old, new, 1) if row == 3 else text, mtime=0)
        db.execute("update archived set place = ?, size = ? where row = ?", (len(made), len(packed), row))
        made += packed
    assert made != whole, "what changes nothing is no tampering"
    file.write_bytes(made)
    db.execute("update segments set sum = ?, size = ?", (hashlib.sha256(made).hexdigest(), len(made)))


def test_what_is_damaged_is_told_to_whoever_reads_it_and_to_nobody_else(path: Path) -> None:
    (segment,) = path.with_suffix(".archive").iterdir()
    segment.unlink()
    store = SqliteStore(path)
    assert store.snapshot("Customer", "ann") is not None
    assert store.by_key("Customer", ["bob"]) == "bob"
    with pytest.raises(StoreFault, match="can't be read: No such file"):
        store.snapshot("Customer", "bob")
    with pytest.raises(StoreFault, match="can't be read: No such file"):
        store.history("Customer", "bob", limit=9)
    store.close()


async def test_a_segment_that_never_came_to_count_is_in_nobodys_way(tmp_path: Path) -> None:
    """A kill between the segment and the commit that lets it count: the next has another number."""
    store, clock = SqliteStore(tmp_path / "space.db"), MovedClock()
    async with desk(store, clock) as at:
        await busy(at)
        assert store.pack([("Case", "c0"), ("Case", "c1")]) is not None
    store.close()
    store = SqliteStore(tmp_path / "space.db")
    assert store.snapshot("Case", "c0") is not None
    assert not store.is_archived("Case", "c0")
    clock.move(DAY)
    async with desk(store, clock) as at:
        assert await archive(at.live, store, since=clock.now()) == 6
    store.close()
    assert sorted(file.name for file in (tmp_path / "space.archive").iterdir()) == [
        "000001.jsonl.gz", "000002.jsonl.gz",
    ]  # fmt: skip
    with SqliteStill(tmp_path / "space.db") as still:
        assert audit(still).difference is None


def test_a_file_is_of_the_newer_format_only_once_something_was_put_away(path: Path, tmp_path: Path) -> None:
    """An older Temper, which can't read it then, says so; any other file it opens."""
    SqliteStore(tmp_path / "fresh.db").close()
    for file, format in ((tmp_path / "fresh.db", 2), (path, 3)):
        db = apsw.Connection(str(file))
        assert db.execute("select value from meta where name = 'format'").get == format
        db.close()


def test_a_file_of_format_3_is_read_for_ever(tmp_path: Path) -> None:
    """Made by the first build that put anything away: `busy`, of which six were."""
    golden = Path(__file__).parent / "golden"
    path = Path(shutil.copy(golden / "store_3.db", tmp_path / "space.db"))
    shutil.copytree(golden / "store_3.archive", tmp_path / "space.archive")
    store = SqliteStore(path)
    assert store.archived() == 6
    assert names_of(store) == {"ann", "later", "c5"}
    kept = store.snapshot("Case", "c0")
    assert kept is not None
    assert (kept.state, kept.fields["notes"], kept.version) == ("Closed", ("hello",), 3)
    assert [entry.action for entry in store.history("Case", "c0", limit=9)] == ["Open", "Note", "Close", "Close"]
    store.close()
    with SqliteStill(path) as still:
        found = audit(still)
    assert (found.difference, found.entities) == (None, 9)
