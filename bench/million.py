"""A space with a million entities beside one with a thousand: start, reads, actions, lists, counts and memory.

    python bench/million.py [--entities 1000,1000000] [--folder DIR]

Entities are loaded through the store, as a server's appends are. Each figure is the median of many, but what requests
wait for while a table that makes others of all who live is put in force: that is the 99th percentile. The last column
is how much slower the last space is than the first.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import uvloop

from temper.kernel import Batch, Cause, Change, Done, Entry, Request, TableVersion, Who
from temper.model import check
from temper.runtime import Live, SqliteStore, SystemClock, found, new_id
from temper.service import Declined, wire
from temper.service.listing import Listing, list_page
from temper.service.space import Space
from temper.syntax import parse_bundle
from temper.table import Accepted, Act, Caller, Snapshot, Table, Value, compile_machine, digest, dump, step
from temper.text import Source

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
# A field more, or one less: either way all who live become others.
FIELD = "  weight: int 0..1100000\n"
OTHER = TEXT.replace(FIELD, f"{FIELD}  insured: bool = false\n")
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
    args = parser.parse_args()
    sizes = [int(each) for each in args.entities.split(",")]
    figures: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for size in sizes:
            path = (args.folder or Path(folder)) / f"depot-{size}.db"
            if not path.exists():
                start = time.perf_counter()
                load(path, size)
                took, taken = time.perf_counter() - start, path.stat().st_size / 1e6
                print(f"{size:,} entities loaded in {took:.1f} s, {taken:,.0f} MB")
            figures[size] = uvloop.run(measure(path, size))
    print(f"{'':44}" + "".join(f"{size:>14,}" for size in sizes) + f"{'ratio':>10}")
    for what, first in figures[sizes[0]].items():
        last = figures[sizes[-1]][what]
        print(f"{what:44}" + "".join(f"{figures[size][what]:14.3f}" for size in sizes) + f"{last / first:10.2f}")


def load(path: Path, size: int) -> None:
    """Fill a new space: of a hundred, ninety wait or were delivered, and a rare one is held."""
    table = compiled()
    store = SqliteStore(path)
    found(store, TableVersion(1, digest(table), dump(table), b"{}", 0, "ann"))
    base = 1_700_000_000_000
    taken = step(table, None, Act("e", base, "Take", {"name": "", "town": "", "weight": 0}, CLERK, "Parcel", "p"))
    assert isinstance(taken, Accepted), taken
    for start in range(0, size, BATCH):
        store.append(Batch(tuple(changes(taken.after, start, min(size, start + BATCH), base))))
    store.close()


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


async def measure(path: Path, size: int) -> dict[str, float]:
    """Return milliseconds by what was done, and what the process takes in MB."""
    table = compiled()
    start = time.perf_counter()
    store = SqliteStore(path)
    live = await Live.start(store, {})
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
    figures["swap"], figures["wait for an answer meanwhile, p99"] = await swapped(live, act)
    figures["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await live.close()
    store.close()
    return figures


async def swapped(live: Live, act: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return how long it takes to put another table in force, and how long nearly all requests wait then and after."""
    took: list[float] = []
    going = True

    async def client() -> None:
        while going:
            start = time.perf_counter()
            await act()
            took.append(time.perf_counter() - start)

    clients = asyncio.gather(*[client() for _ in range(CLIENTS)])
    number = live.version.number + 1
    table = compiled(OTHER if number % 2 == 0 else TEXT)
    start = time.perf_counter()
    done = await live.swap(table, TableVersion(number, digest(table), dump(table), b"{}", 0, "ann"))
    took_s = time.perf_counter() - start
    assert isinstance(done, int), done
    await asyncio.sleep(AFTER_S)  # They are rewritten by and by, between requests.
    going = False
    await clients
    took.sort()
    return took_s * 1000, took[len(took) * 99 // 100] * 1000


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
