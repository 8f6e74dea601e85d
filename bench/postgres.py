"""Durable actions a second on PostgreSQL: beside a bare grouped append of the same rows, and with two servers.

    python bench/postgres.py [--seconds 5] [--url postgresql://...] [--clients 64]

Without a URL it starts a PostgreSQL of its own, with the settings that one comes with (each commit is synced). Servers
are processes without HTTP, each with so many clients that create a counter and take ten actions on it. Prints, from one
run: what bare connections append of the same rows, what one and two servers answer, the ratios, and the CPU that an
action takes. Where there are as many cores as processes, that CPU says how many servers a machine carries.

There are two bare appends. One has as many clients as a server has, who wait for their row before they make the next,
and appends those of all who wait: that is what a server does, without deciding, checking or chaining anything. The
other has nobody who waits, and appends groups as large as the server's were on average, back to back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.durable import ACTIONS, CLERK, compiled, version_of
from temper.kernel import Done, Request, Superseded
from temper.runtime import Cluster, Joined, Member, PostgresStore, SystemClock, found, new_id
from temper.table import Act
from tests.runtime.postgres import cluster

# What an entry and an entity of the bench take, as they are kept.
ENTRY, ENTITY = 330, 170
READY = "ready"
YOUNG_MAX = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--url")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.server:
        uvloop.run(server(args.url, args.server, args.clients))
        return
    with database(args.url) as url:
        one = servers(url, "one", 1, args.clients, args.seconds)
        group = max(1, round(one["group"]))
        waited = uvloop.run(bare(url, args.clients, None, args.seconds))
        two = servers(url, "two", 2, args.clients, args.seconds)
        straight = uvloop.run(bare(url, args.clients, group, args.seconds))
        again = servers(url, "again", 1, args.clients, args.seconds)
    rate, cpu = ((one[what] + again[what]) / 2 for what in ("rate", "cpu"))
    print(f"{'':32}{'per second':>10} {'CPU of each':>12}")
    for what, (figure, each), note in (
        (f"bare append, {args.clients} clients wait", waited, ""),
        (f"bare append, groups of {group}", straight, ""),
        ("one server", (rate, cpu), f"{rate / waited[0]:.2f} and {rate / straight[0]:.2f} of the bare appends"),
        ("two servers", (two["rate"], two["cpu"]), f"{two['rate'] / rate:.2f} of one"),
    ):
        print(f"{what:32}{figure:10,.0f} {each:9,.0f} us   {note}")
    print(f"CPU of two servers' actions to one's: {two['cpu'] / cpu:.2f}. Cores: {os.cpu_count()}")


@contextlib.contextmanager
def database(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with cluster() as own:
        yield own.url


def servers(url: str, space: str, number: int, clients: int, seconds: float) -> dict[str, float]:
    """Start servers, let their clients go at once, and return what they answered together."""
    children = [
        subprocess.Popen(
            [
                sys.executable, __file__, "--url", url, "--server", f"{space}:{number}:{seconds}",
                "--clients", str(clients),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(number)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        assert said == READY, said
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    found = [json.loads(child.communicate()[0]) for child in children]
    done = sum(each["done"] for each in found)
    return {
        "rate": sum(each["done"] / each["seconds"] for each in found),
        "cpu": sum(each["cpu"] for each in found) / done * 1e6,
        "group": done / sum(each["batches"] for each in found),
    }


async def server(url: str, asked: str, clients: int) -> None:
    """Be one server: say that it is ready, wait for the word, and tell what was answered."""
    space, number, seconds = asked.split(":")
    table = compiled()
    joined = await Cluster.join(Joined(url, f"http://{os.getpid()}", lease_s=10))
    store = await joined.open(space)
    with contextlib.suppress(Superseded):
        found(store, version_of(table))
    clock = SystemClock()
    live = await Member.start(store, {}, clock=clock)
    assert isinstance(live, Member)
    joined.add(space, store, live)

    async def told(*_: str) -> None:
        """No other space is of interest, and nothing that is told of all."""

    joined.keep(told, told)
    await joined.listening("")
    while len(store.leases.held) != store.parts // int(number):  # noqa: ASYNC110 - until the other has its share
        await asyncio.sleep(0.05)
    # As `temper serve` has it: cycles are looked for seldom.
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])
    print(READY, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    done, batches, append = 0, 0, store.append

    def counting(batch: object) -> int:
        nonlocal batches
        batches += 1
        return append(batch)  # type: ignore[arg-type]  # it is counted, no more

    store.append = counting  # type: ignore[method-assign]  # for the bench alone
    begin, cpu = time.perf_counter(), sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    until = begin + float(seconds)

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < until:
            id = new_id()
            while live.home("Counter", id) is not None:
                id = new_id()
            for action, params in [("Make", {"name": id}), *[("Add", {"units": 1})] * ACTIONS]:
                event = Act(new_id(), clock.now(), action, params, CLERK, "Counter", id)
                answer = await live.submit(Request(event, "Counter", id))
                assert isinstance(answer, Done), answer
                done += 1

    await asyncio.gather(*[client() for _ in range(clients)])
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - cpu
    print(json.dumps({"done": done, "seconds": time.perf_counter() - begin, "cpu": spent, "batches": batches}))
    await live.close()
    await joined.leave()


async def bare(url: str, clients: int, group: int | None, seconds: float) -> tuple[float, float]:
    """Return how many entries a second one connection appends, with the entity of each, and what CPU each takes here.

    They are in groups of so many, or of all whose clients wait. They go into a space's own tables, with all their
    columns and indexes, in one statement without a look at anything.
    """
    name = f"bare{group or ''}"
    store = await asyncio.to_thread(PostgresStore, url, name)
    schema = store.schema
    await asyncio.to_thread(store.close)
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    statement = await connection.prepare(
        "with e as (insert into entities(kind, id, part, state, live, number, version, body)"
        " select 'Counter', i, 0, 'Counting', true, 1, v, b from unnest($1::text[], $2::bigint[], $3::bytea[])"
        " as x(i, v, b) on conflict(kind, id) do update set version = excluded.version, body = excluded.body"
        " returning row, id)"
        " insert into log(part, seq, entity, body, hash) select 0, s, e.row, b, h"
        " from unnest($4::bigint[], $1::text[], $5::bytea[], $6::bytea[]) as y(s, i, b, h) join e on e.id = y.i"
    )
    count = 0

    async def append(rows: Sequence[tuple[str, int]]) -> None:
        nonlocal count
        bodies = [[random.randbytes(size) for _ in rows] for size in (ENTITY, ENTRY, 32)]
        seqs = list(range(count + 1, count + len(rows) + 1))
        await statement.fetch([id for id, _ in rows], [v for _, v in rows], bodies[0], seqs, *bodies[1:])
        count += len(rows)

    begin, cpu = time.perf_counter(), time.process_time()
    until = begin + seconds
    if group is None:
        await waiting(append, clients, until)
    else:
        while time.perf_counter() < until:
            ids = [new_id() for _ in range(group)]
            for version in range(1, ACTIONS + 2):
                await append([(id, version) for id in ids])
    took, spent = time.perf_counter() - begin, time.process_time() - cpu
    await connection.close()
    return count / took, spent / count * 1e6


async def waiting(append: Callable[[Sequence[tuple[str, int]]], Awaitable[None]], clients: int, until: float) -> None:
    """Have clients make rows, each the next when its last is appended; append those of all who wait, over and over."""
    loop = asyncio.get_running_loop()
    rows: list[tuple[str, int]] = []
    futures: list[asyncio.Future[None]] = []
    some = asyncio.Event()

    async def client() -> None:
        while time.perf_counter() < until:
            id = new_id()
            for version in range(1, ACTIONS + 2):
                future: asyncio.Future[None] = loop.create_future()
                rows.append((id, version))
                futures.append(future)
                some.set()
                await future

    async def appending() -> None:
        while True:
            await some.wait()
            some.clear()
            taken, told = rows[:], futures[:]
            rows.clear()
            futures.clear()
            await append(taken)
            for future in told:
                future.set_result(None)

    task = loop.create_task(appending())
    await asyncio.gather(*[client() for _ in range(clients)])
    task.cancel()


if __name__ == "__main__":
    main()
