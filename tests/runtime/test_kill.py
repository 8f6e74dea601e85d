"""Kill -9, over and over, with real processes and a real disk.

Callers keep a log of what they were told, and ask again under the same key when they were told nothing. The tools keep
a log of what they did. Afterwards the logs and the journal must agree.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from temper.kernel import Codec, Entry, StoreFault, replay
from temper.runtime import SqliteStore
from tests.kernel.shop import compiled
from tests.runtime.kill_child import TEXT

ROOT = Path(__file__).parents[2]
KILLS = 25
CALLERS = 6
MANY = 10_000_000


@dataclass
class World:
    """Everything outside of the server: its callers, and the tools at the other end of its calls."""

    chance: random.Random
    told: dict[str, int] = field(default_factory=dict)
    """What callers were told: the seq of each key's entry."""
    refused: list[str] = field(default_factory=list)
    attempts: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    """What tools were asked to do: the attempts of each (tool, order)."""
    failed: set[tuple[str, int]] = field(default_factory=set)
    """The attempts that a tool has answered with a failure, by order and number."""
    waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    server: asyncio.StreamWriter | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            first = json.loads(line) if line.endswith(b"\n") else {}
            if "call" in first:
                await self._tool(first, writer)
            elif "ready" in first:
                await self._serve(reader, writer)
        except ConnectionError:
            pass  # Its sender was killed.
        finally:
            writer.close()

    async def _tool(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.attempts[asked["call"], asked["order"]].append(asked["attempt"])
        dice = self.chance.random()
        if dice < 0.3:
            await asyncio.sleep(self.chance.uniform(0, 0.2))
        if 0.85 < dice < 0.95:
            self.failed.add((asked["order"], asked["attempt"]))
            writer.write(b'{"failed": "try again"}\n')
        elif dice <= 0.85:
            answer = {"receipt": asked["order"]} if asked["call"] == "bank.charge" else {}
            writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = writer
        self.ready.set()
        try:
            # A line without its end is what a killed one was about to say.
            while (line := await reader.readline()).endswith(b"\n"):
                said = json.loads(line)
                if said["seq"] is None:
                    self.refused.append(said["text"])
                elif self.told.setdefault(said["key"], said["seq"]) != said["seq"]:
                    self.refused.append(f"{said['key']} has two entries")
                future = self.waiting.pop(said["key"], None)
                if future is not None and not future.done():
                    future.set_result(None)
        finally:
            self.gone.set()

    async def ask(self, key: str, entity: str, id: str, action: str, **params: Any) -> None:
        """Ask until there is an answer, in this life of the server or in a later one."""
        asked = {"key": key, "entity": entity, "id": id, "action": action, "params": params}
        while True:
            await self.ready.wait()
            assert self.server is not None
            future = self.waiting.setdefault(key, asyncio.get_running_loop().create_future())
            self.server.write(json.dumps(asked).encode() + b"\n")
            gone = asyncio.create_task(self.gone.wait())
            waited: set[asyncio.Future[Any]] = {future, gone}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if future.done():
                return

    async def caller(self, number: int, stop: asyncio.Event) -> int:
        """Make a tally and count on it; make a parcel now and then. Return how far the tally got."""
        tally = f"t{number}"
        await self.ask(f"{tally}:make", "Tally", tally, "Make")
        count = 0
        while not stop.is_set():
            await self.ask(f"{tally}:{count}", "Tally", tally, "Add", n=count)
            if count % 5 == 0:
                parcel = f"p{number}-{count}"
                await self.ask(f"{parcel}:make", "Parcel", parcel, "Make", name=parcel, tally=tally)
            count += 1
        return count


@asynccontextmanager
async def nursery() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.runtime.kill_child", cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def life(born: asyncio.subprocess.Process, world: World, path: Path, port: int) -> int:
    """Begin a server; return its process id once it is ready."""
    assert born.stdin is not None
    assert born.stdout is not None
    world.ready.clear()
    world.gone.clear()
    born.stdin.write(f"{path} {port}\n".encode())
    pid = int(await born.stdout.readline())
    await asyncio.wait_for(world.ready.wait(), 20)
    return pid


@pytest.mark.parametrize("seed", [1])
async def test_killed_at_any_moment_nothing_answered_is_lost_and_nothing_is_done_twice(
    seed: int, tmp_path: Path
) -> None:
    world = World(random.Random(seed))
    path = tmp_path / "space.db"
    doors = await asyncio.start_server(world.connected, "127.0.0.1", 0)
    port = doors.sockets[0].getsockname()[1]
    stop = asyncio.Event()
    async with nursery() as born, asyncio.timeout(120):
        callers = [asyncio.create_task(world.caller(number, stop)) for number in range(CALLERS)]
        try:
            for _ in range(KILLS):
                pid = await life(born, world, path, port)
                await asyncio.sleep(world.chance.uniform(0, 0.4))
                world.ready.clear()
                os.kill(pid, signal.SIGKILL)
                await world.gone.wait()
            # The last life is left in peace until everything has come to its end.
            await life(born, world, path, port)
            stop.set()
            counts = await asyncio.gather(*callers)
            await at_rest(path)
            assert world.server is not None
            world.server.close()
            await world.gone.wait()
        finally:
            for caller in callers:
                caller.cancel()
    doors.close()
    async with asyncio.timeout(20):
        store = await released(path)
    try:
        check(store, world, counts)
    finally:
        store.close()


async def at_rest(path: Path) -> None:
    """Wait until no parcel and no order is on its way any more: what a last life found is settled by itself."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    left = (
        "select (select count(*) from orders)"
        " + (select count(*) from entities where kind = 'Parcel' and state not in ('Shipped', 'Failed', 'Lost'))"
    )
    while db.execute(left).get:  # noqa: ASYNC110 - the file is another process's: nobody sets an event
        await asyncio.sleep(0.05)
    db.close()


async def released(path: Path) -> SqliteStore:
    """Open the file once the server has let go of it."""
    while True:
        try:
            return SqliteStore(path)
        except StoreFault as fault:
            if "in use" not in fault.text:
                raise
            await asyncio.sleep(0.02)


def check(store: SqliteStore, world: World, counts: list[int]) -> None:
    entries = list(store.entries(0, MANY))
    by_seq = {entry.seq: entry for entry in entries}
    assert list(by_seq) == list(range(1, len(entries) + 1))
    assert world.refused == [], "a doubled or a lost action makes the next one out of order"

    # Every answered action is there once, in the order in which its caller was told of it.
    for number, count in enumerate(counts):
        tally = f"t{number}"
        assert count > 0
        said = [world.told[f"{tally}:{n}"] for n in range(count)]
        assert said == sorted(said)
        assert [by_seq[seq].params for seq in said] == [{"n": n} for n in range(count)]
        adds = [entry for entry in entries if entry.id == tally and entry.action == "Add"]
        assert [entry.seq for entry in adds] == said

    # Each parcel's timer fired once, and not early.
    parcels: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.entity == "Parcel":
            parcels[entry.id].append(entry)
    assert set(parcels) == {key.removesuffix(":make") for key in world.told if key.startswith("p")}
    for history in parcels.values():
        fired = [entry for entry in history if entry.timer is not None]
        assert [entry.action for entry in fired] == ["Charge"]
        assert fired[0].at >= history[0].at + 1_000
        assert history[-1].after in {"Shipped", "Failed", "Lost"}

    # Each order's outcome is recorded once, and one correction at most.
    ordered = {order.order: order for entry in entries for order in entry.orders}
    calls = {name for name, order in ordered.items() if order.kind == "call"}
    ended = Counter((entry.ended.order, entry.ended.number) for entry in entries if entry.ended)
    assert set(ended.values()) == {1}
    assert {order for order, number in ended if number == 0} == calls

    # Tools were asked for nothing that is not journaled, and never twice for what may be done once.
    assert {order for _, order in world.attempts} <= calls
    for (tool, order), attempts in world.attempts.items():
        assert attempts == sorted(set(attempts)), f"{tool} got one attempt of {order} twice"
        if tool == "post.ship":
            # What may be done once is tried again only if it said itself that it had not done it.
            assert all((order, number) in world.failed for number in attempts[:-1]), attempts

    # And all this has been put to the test.
    assert len(world.told) > 100
    assert any(entry.ended and entry.ended.ending == "unknown" for entry in entries)
    assert any(len(attempts) > 1 for (tool, _), attempts in world.attempts.items() if tool == "bank.charge")

    # Sends arrived once: each tally knows how many of its parcels were shipped.
    for number in range(CALLERS):
        counted = store.snapshot("Tally", f"t{number}")
        assert counted is not None
        arrived = [
            id for id, history in parcels.items() if id.startswith(f"p{number}-") and history[-1].after == "Shipped"
        ]
        assert counted.fields["shipped"] == len(arrived)

    # The rows are the fold of the journal.
    codec = Codec(compiled(TEXT))
    folded = replay(entries)
    rows = [now for kind in ("Tally", "Parcel") for now in store.list(kind, limit=MANY).items]
    assert {(now.entity, now.id) for now in rows} == set(folded)
    for now in rows:
        was = folded[now.entity, now.id]
        assert (now.state, now.version, codec.fields(now.entity, now.fields)) == (was.state, was.version, was.fields)
