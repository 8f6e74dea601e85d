"""Durable actions a second on PostgreSQL: beside a bare grouped append of the same rows, and with two servers.

    python bench/postgres.py [--seconds 5] [--url postgresql://...] [--clients 64]

Without a URL it starts a PostgreSQL of its own, with the settings that one comes with (each commit is synced). Servers
are processes without HTTP, each with so many clients that create a counter and take ten actions on it. Prints, from one
run: what a bare client appends in groups of as many rows as ours had on average, what one and two servers answer, the
ratios, and the CPU that an action takes: with as many cores as processes, CPU an action is what says how many servers
a machine carries.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
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
        two = servers(url, "two", 2, args.clients, args.seconds)
        bare = uvloop.run(appended(url, max(1, round(one["group"])), args.seconds))
        again = servers(url, "again", 1, args.clients, args.seconds)
    rate = (one["rate"] + again["rate"]) / 2
    cpu = (one["cpu"] + again["cpu"]) / 2
    print(f"bare grouped append, rows/s   {bare:9,.0f}   in groups of {round(one['group'])}")
    more = two["rate"] / rate
    print(f"one server, actions/s         {rate:9,.0f}   {rate / bare:6.2f} of bare; {cpu:.0f} us of CPU an action")
    print(f"two servers, actions/s        {two['rate']:9,.0f}   {more:6.2f} of one; {two['cpu']:.0f} us an action")
    print(f"cores                         {os.cpu_count():9}")


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
    while len(store.leased) != store.parts // int(number):  # noqa: ASYNC110 - until the other has its share
        await asyncio.sleep(0.05)
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


async def appended(url: str, group: int, seconds: float) -> float:
    """Return how many entries a second one connection appends in groups, with the entity that each is of.

    They go into a space's own tables, with all their columns and indexes, in one statement without a look at anything.
    """
    store = await asyncio.to_thread(PostgresStore, url, "bare")
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
    ids = [new_id() for _ in range(group)]
    count, version = 0, 0
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        version += 1
        if version % (ACTIONS + 1) == 0:
            ids = [new_id() for _ in range(group)]
        bodies = [[random.randbytes(size) for _ in ids] for size in (ENTITY, ENTRY, 32)]
        await statement.fetch(ids, [version] * group, bodies[0], list(range(count + 1, count + group + 1)), *bodies[1:])
        count += group
    rate = count / (time.perf_counter() - begin)
    await connection.close()
    return rate


if __name__ == "__main__":
    main()
