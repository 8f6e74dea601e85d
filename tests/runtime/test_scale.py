"""What a start, a read and a list cost does not grow with how much is kept, counted in SQLite's own steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import apsw
import pytest
from msgspec.structs import replace

from temper.kernel import Batch, Cause, Change, Entry, Order, Who
from temper.runtime import Live, Span, SqliteStore, found, rank_place
from temper.table import Value
from tests.runtime.test_scale_ranks import TEXT, parcel, table_of, version

FEW, MANY = 200, 20_000


@dataclass
class Steps:
    """How many steps SQLite's machine has taken, in tens."""

    taken: int = 0


@contextmanager
def counted() -> Iterator[Steps]:
    """Count the steps of every connection that is opened within."""
    steps = Steps()

    def step() -> bool:
        steps.taken += 1
        return False

    def hook(db: apsw.Connection) -> None:
        db.set_progress_handler(step, 10)

    apsw.connection_hooks.append(hook)
    try:
        yield steps
    finally:
        apsw.connection_hooks.remove(hook)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space with few entities, and one with many, of which two are in a rare state in each."""
    folder = tmp_path_factory.mktemp("scale")
    table = table_of(TEXT)
    for size in (FEW, MANY):
        store = SqliteStore(folder / f"{size}.db")
        found(store, version(table, 1))
        model = parcel(table, "p", 0)
        changes = []
        for number in range(size):
            state = "Moving" if number in (size // 3, size // 2) else "Waiting"
            fields: dict[str, Value] = {"name": f"n{number}", "weight": number * 7 % 1_000}
            now = replace(model, id=f"p{number:06}", state=state, fields=fields)
            entry = Entry(
                at=1, entity="Parcel", id=now.id, version=1, digest="", cause=Cause.REQUEST, event=f"e{number}",
                how="taken", by=Who("ann"), before="new", after=state,
            )  # fmt: skip
            changes.append(Change((entry,), (now,), key=(f"k{number}", "")))
        store.append(Batch(tuple(changes)))
        while store.make_rank("Parcel", "weight"):
            pass
        store.close()
    return folder


def test_a_start_takes_as_long_with_many_as_with_few(folder: Path) -> None:
    """Entities, entries and idempotency keys: none of them is counted or read through."""

    async def start(size: int) -> int:
        with counted() as steps:
            store = SqliteStore(folder / f"{size}.db")
            live = await Live.start(store, {})
            taken = steps.taken
            await live.close()
            store.close()
        return taken

    few, many = anyio.run(start, FEW), anyio.run(start, MANY)
    assert few > 0, "something is counted"
    assert many <= 2 * few


def _ranked(store: SqliteStore, span: Span, *, downwards: bool = False) -> object:
    rank = store.ranks.find("Parcel", "weight")
    assert rank is not None
    return store.ranked(rank, span, None, 20, downwards=downwards)


@pytest.mark.parametrize(
    "work",
    [
        lambda store: store.snapshot("Parcel", "p000150"),
        lambda store: store.history("Parcel", "p000150", limit=20),
        lambda store: store.list("Parcel", limit=20),
        lambda store: store.list("Parcel", limit=20, order=Order.NEWEST),
        lambda store: store.list("Parcel", limit=20, after="150"),
        lambda store: store.list("Parcel", limit=20, states=("Moving",)),
        lambda store: store.list("Van", limit=20),
        lambda store: store.list_by_id("Parcel", "p000150", 20, downwards=False),
        lambda store: store.list_by_id("Parcel", None, 20, downwards=True),
        lambda store: store.living({("Parcel", "Waiting")}, after=150, limit=20),
        lambda store: store.changed((150,), 20),
        lambda store: store.count("Parcel"),
        lambda store: store.count("Parcel", states=("Moving",)),
        lambda store: store.counts(),
        lambda store: _ranked(store, Span()),
        lambda store: _ranked(store, Span(), downwards=True),
        lambda store: _ranked(store, Span(low=rank_place(500))),
    ],
)  # fmt: skip
def test_what_is_read_takes_as_long_with_many_as_with_few(folder: Path, work: Callable[[SqliteStore], object]) -> None:
    taken = {}
    for size in (FEW, MANY):
        with counted() as steps:
            store = SqliteStore(folder / f"{size}.db")
            work(store)  # Opening a reader, and reading the table, are not part of it.
            before = steps.taken
            for _ in range(5):
                work(store)
            taken[size] = steps.taken - before
            store.close()
    assert taken[FEW] > 0, "something is counted"
    assert taken[MANY] <= 2 * taken[FEW]
