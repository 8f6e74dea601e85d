"""Durable actions a second, without HTTP: creations with ten actions each, every answer after its commit.

    python bench/durable.py [--seconds 5] [--folder DIR]

Prints, from one run on one disk: bare fdatasync/s, durable actions/s with 1 client and with 64, and their ratios.
Ratios travel between machines; the figures don't.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

import uvloop

from temper.kernel import Done, Request, TableVersion
from temper.model import check
from temper.runtime import Live, SqliteStore, SystemClock, found, new_id
from temper.syntax import parse_bundle
from temper.table import Act, Caller, Table, compile_machine, digest, dump
from temper.text import Source

TEXT = """
blueprint counter

role clerk

entity Counter
  states Counting, Full
  final Full
  name: string
  count: int 0..1000 = 0

  action Make(name) by clerk from new to Counting
    set name

  action Add(units: int 1..10) by clerk from Counting
    when count + units <= 1000 else "it is full"
    set count += units

  action Close by clerk from Counting to Full

  always count <= 1000
"""
ACTIONS = 10
CLERK = Caller("ann", frozenset({"clerk"}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        before = syncs(Path(folder), args.seconds / 5)
        figures = {clients: uvloop.run(measure(Path(folder), clients, args.seconds)) for clients in (1, 64)}
        after = syncs(Path(folder), args.seconds / 5)
    floor = (before + after) / 2
    print(f"fdatasync/s                  {floor:10,.0f}   ({before:,.0f} before, {after:,.0f} after)")
    for clients, (rate, middle, worst) in figures.items():
        print(
            f"durable actions/s, {clients:2} clients {rate:8,.0f}   {rate / floor:6.2f} per fdatasync,"
            f" p50 {middle:.1f} ms, p99 {worst:.1f} ms"
        )


def syncs(folder: Path, seconds: float) -> float:
    """How many times a second this disk makes 4 KiB more of a file durable, one after the other."""
    file = os.open(folder / "floor", os.O_CREAT | os.O_WRONLY)
    try:
        page, count, start = b"x" * 4096, 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            os.write(file, page)
            os.fdatasync(file)
            count += 1
        return count / (time.perf_counter() - start)
    finally:
        os.close(file)


async def measure(folder: Path, clients: int, seconds: float) -> tuple[float, float, float]:
    """Return actions a second, and the middle and the 99th percentile of an answer's time in milliseconds."""
    table = compiled()
    store = SqliteStore(folder / f"{clients}.db")
    found(store, version_of(table))
    clock = SystemClock()
    live = await Live.start(store, {}, clock=clock)
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def act(id: str, action: str, **params: str | int) -> None:
        start = time.perf_counter()
        event = Act(new_id(), clock.now(), action, params, CLERK, "Counter", id)
        answer = await live.submit(Request(event, "Counter", id))
        assert isinstance(answer, Done), answer
        times.append(time.perf_counter() - start)

    async def client() -> None:
        while time.perf_counter() < until:
            id = new_id()
            await act(id, "Make", name=id)
            for _ in range(ACTIONS):
                await act(id, "Add", units=1)

    start = time.perf_counter()
    await asyncio.gather(*[client() for _ in range(clients)])
    rate = len(times) / (time.perf_counter() - start)
    await live.close()
    store.close()
    times.sort()
    return rate, times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000


def compiled() -> Table:
    tree, problems = parse_bundle([Source("counter.blueprint", TEXT)])
    assert not problems, problems
    machine, problems = check(tree)
    assert not problems, problems
    return compile_machine(machine)


def version_of(table: Table) -> TableVersion:
    return TableVersion(1, digest(table), dump(table), b"{}", 0, "ann")


if __name__ == "__main__":
    main()
