"""A space with a million entities beside one with a thousand: start, reads, actions, lists, counts and memory.

    python bench/million.py [--entities 1000,1000000] [--folder DIR] [--postgres | --url URL] [--no-swap]

They are kept in files, in a PostgreSQL that is started for it, or in the one at the URL, in a database without spaces
of these names; one server decides for all of them. They are loaded through the store, as a server's appends are. Each
figure is the median of many, but what requests wait for while a table that makes others of all who live is put in
force: that is the 99th percentile. The last column is how much slower the last space is than the first. `--no-swap`
leaves that table out, which takes its time with a million.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from temper.kernel import Batch, Cause, Change, Done, Entry, Request, TableVersion, Who
from temper.model import check
from temper.runtime import Live, Member, PostgresStore, SqliteStore, SystemClock, found, new_id
from temper.service import Declined, wire
from temper.service.listing import Listing, list_page
from temper.service.space import Space
from temper.syntax import parse_bundle
from temper.table import Accepted, Act, Caller, Snapshot, Table, Value, compile_machine, digest, dump, step
from temper.text import Source
from tests.runtime.postgres import cluster

TEXT = """
blueprint depot

role clerk

entity Parcel
  states Waiting, Moving, Held, Delivered
  final Delivered
  name: string
  town: string
  weight: int 0..1100000

  action Take(name, town, weight) by clerk from new to Waiting
    set name, town, weight

  action Weigh(weight) by clerk from any
    set weight

  action Move by clerk from Waiting, Held to Moving

  action Hold by clerk from Moving to Held

  action Deliver by clerk from Moving to Delivered
"""
FIELD = "  weight: int 0..1100000\n"
CLIENTS, AFTER_S = 8, 5.0
CLERK = Caller("ann", frozenset({"clerk"}))
BATCH = 5_000
TIMES = 30
# (what, filter, sort, count)
LISTS: tuple[tuple[str, str | None, str | None, bool], ...] = (
    ("oldest first", None, None, False),
    ("newest first", None, "-created_at", False),
    ("with a count", None, None, True),
    ("in a common state, with a count", "state is Waiting", None, True),
    ("in a rare state, with a count", "state is Held", None, True),
    ("by a field", None, "weight", False),
    ("by a field, downwards", None, "-weight", False),
    ("by a text", None, "name", False),
    ("by id", None, "id", False),
    ("by state", None, "state", False),
    ("by last change", None, "-updated_at", False),
    ("a field has a value", 'name == "parcel 500"', None, False),
    ("a field is in a range, with a count", "weight >= 990 and weight < 1000", "weight", True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", default="1000,1000000")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--url")
    parser.add_argument("--no-swap", action="store_true")
    args = parser.parse_args()
    sizes = [int(each) for each in args.entities.split(",")]
    figures: dict[int, dict[str, float]] = {}
    with places(args.folder, args.url, own=args.postgres) as opened:
        for size in sizes:
            store = opened(size)
            if store.current() is None:
                start = time.perf_counter()
                load(store, size)
                print(f"{size:,} entities loaded in {time.perf_counter() - start:.1f} s")
            store.close()
            figures[size] = uvloop.run(measure(lambda size=size: opened(size), size, swap=not args.no_swap))  # type: ignore[misc]  # mypy sees no default
    print(f"{'':44}" + "".join(f"{size:>14,}" for size in sizes) + f"{'ratio':>10}")
    for what, first in figures[sizes[0]].items():
        last = figures[sizes[-1]][what]
        print(f"{what:44}" + "".join(f"{figures[size][what]:14.3f}" for size in sizes) + f"{last / first:10.2f}")


Kept: TypeAlias = SqliteStore | PostgresStore


@contextlib.contextmanager
def places(folder: Path | None, url: str | None, *, own: bool) -> Iterator[Callable[[int], Kept]]:
    """Yield what opens the space of so many, anew each time."""
    with contextlib.ExitStack() as stack:
        if not own and url is None:
            place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            yield lambda size: SqliteStore(place / f"depot-{size}.db")
            return
        if url is None:
            # As a database is set up that has a million to keep.
            url = stack.enter_context(cluster("shared_buffers=512MB", "max_wal_size=2GB")).url
        at = url

        def opened(size: int) -> PostgresStore:
            store = PostgresStore(at, f"depot{size}", parts=16)
            assert len(store.leases.take(range(store.parts), seconds=86_400)) == store.parts, "it is nobody else's"
            return store

        yield opened


def load(store: Kept, size: int) -> None:
    """Fill a new space: of a hundred, ninety wait or were delivered, and a rare one is held."""
    table = compiled()
    found(store, TableVersion(1, digest(table), dump(table), b"{}", 0, "ann"))
    base = 1_700_000_000_000
    taken = step(table, None, Act("e", base, "Take", {"name": "", "town": "", "weight": 0}, CLERK, "Parcel", "p"))
    assert isinstance(taken, Accepted), taken
    for start in range(0, size, BATCH):
        store.append(Batch(tuple(changes(taken.after, start, min(size, start + BATCH), base))))


def changes(model: Snapshot, start: int, end: int, base: int) -> Iterator[Change]:
    for number in range(start, end):
        state = "Held" if number % 500 == 1 else "Delivered" if number % 10 == 0 else "Waiting"
        fields = {"name": f"parcel {number}", "town": f"town {number % 97}", "weight": number * 7919 % 1_000_003}
        now = msgspec.structs.replace(
            model, id=f"p{number:07}", state=state, fields=fields, created_at=base + number, updated_at=base + number
        )
        entry = Entry(
            at=base + number,
            entity="Parcel",
            id=now.id,
            version=now.version,
            digest="",
            cause=Cause.REQUEST,
            event=f"e{number}",
            how="taken",
            action="Take",
            actor="clerk",
            by=Who("ann", ("clerk",)),
            before="new",
            after=state,
        )
        yield Change((entry,), (now,))


async def measure(opened: Callable[[], Kept], size: int, *, swap: bool) -> dict[str, float]:
    """Return milliseconds by what was done, and what the process takes in MB."""
    table = compiled()
    start = time.perf_counter()
    store = opened()
    live = await (Live if isinstance(store, SqliteStore) else Member).start(store, {})
    figures = {"start, ms": (time.perf_counter() - start) * 1000}
    space = Space("depot", store, live)
    clock, draw = SystemClock(), random.Random(7)

    async def read() -> None:
        assert live.read("Parcel", f"p{draw.randrange(size):07}") is not None

    async def act() -> None:
        id = f"p{draw.randrange(size):07}"
        event = Act(new_id(), clock.now(), "Weigh", {"weight": draw.randrange(1_000_000)}, CLERK, "Parcel", id)
        await live.submit(Request(event, "Parcel", id))

    async def create() -> None:
        id = new_id()
        params: dict[str, Value] = {"name": id, "town": "town 1", "weight": 1}
        answer = await live.submit(
            Request(Act(new_id(), clock.now(), "Take", params, CLERK, "Parcel", id), "Parcel", id)
        )
        assert isinstance(answer, Done), answer

    figures["read"] = await median(read, 1_000)
    figures["act"] = await median(act, 300)
    figures["create"] = await median(create, 300)
    for what, filter, sort, count in LISTS:
        condition = space.compiled.condition("Parcel", filter) if filter else None
        asked = Listing(table.entities["Parcel"], condition, sort, 50, None, count, clock.now())
        await page(space, asked)  # Who asks for an order first has it made.
        figures[f"list {what}"] = await median(lambda asked=asked: page(space, asked), TIMES)  # type: ignore[misc]  # mypy sees no default
        figures[f"deep in it: {what}"] = await deep(space, asked)
    figures["act, with all these orders kept"] = await median(act, 300)
    if swap:
        for what, clause in (("a field more", ""), ("a new `unique`", "  unique name\n")):
            took, waits, longest = await swapped(live, act, other(live.version.number + 1, clause))
            figures[f"swap: {what}"] = took
            figures[f"{what}: wait for an answer meanwhile, p99"] = waits
            figures[f"{what}: the longest wait"] = longest
    figures["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await live.close()
    store.close()
    return figures


def other(number: int, clause: str) -> str:
    """Return a text that makes others of all who live: each time with a field more."""
    return TEXT.replace(FIELD, FIELD + "".join(f"  new{n}: bool = false\n" for n in range(2, number + 1)) + clause)


async def swapped(live: Live, act: Callable[[], Awaitable[object]], text: str) -> tuple[float, float, float]:
    """Return how long it takes to put a table in force, and how long nearly all requests wait then and after, and the
    longest.
    """
    took: list[float] = []
    going = True

    async def client() -> None:
        while going:
            start = time.perf_counter()
            await act()
            took.append(time.perf_counter() - start)

    clients = asyncio.gather(*[client() for _ in range(CLIENTS)])
    table = compiled(text)
    start = time.perf_counter()
    done = await live.swap(table, TableVersion(live.version.number + 1, digest(table), dump(table), b"{}", 0, "ann"))
    took_s = time.perf_counter() - start
    assert isinstance(done, int), done
    await asyncio.sleep(AFTER_S)  # They are rewritten by and by, between requests.
    going = False
    await clients
    took.sort()
    return took_s * 1000, took[len(took) * 99 // 100] * 1000, took[-1] * 1000


async def page(space: Space, asked: Listing) -> wire.Page:
    while True:
        try:
            found = await list_page(space, asked)
        except Declined:
            await asyncio.sleep(0.1)  # Its order is being made.
            continue
        assert isinstance(found, wire.Page), found
        return found


async def deep(space: Space, asked: Listing) -> float:
    """Return the median time of a page, over the first pages that follow one another."""
    cursor: str | None = None
    times: list[float] = []
    for _ in range(TIMES):
        start = time.perf_counter()
        found = await page(space, replace(asked, cursor=cursor, count=False))
        times.append(time.perf_counter() - start)
        cursor = found.cursor
        if cursor is None:
            break
    return statistics.median(times) * 1000


async def median(work: Callable[[], Awaitable[object]], times: int) -> float:
    took: list[float] = []
    for _ in range(times):
        start = time.perf_counter()
        await work()
        took.append(time.perf_counter() - start)
    return statistics.median(took) * 1000


def compiled(text: str = TEXT) -> Table:
    tree, problems = parse_bundle([Source("depot.blueprint", text)])
    assert not problems, problems
    machine, problems = check(tree)
    assert not problems, problems
    table = compile_machine(machine)
    notes = msgspec.structs.replace(table.notes, sources={"depot.blueprint": text})
    return msgspec.structs.replace(table, notes=notes)


if __name__ == "__main__":
    main()
