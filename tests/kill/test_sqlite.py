"""Kill -9, over and over: real servers, real clients, a real tool that is killed, too, and a real file.

`KILLS=400 ./run pytest tests/kill/test_sqlite.py` kills for longer, a hundred times a space, and another `SEED`
otherwise.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from temper.kernel import Codec, Entry, replay
from temper.runtime import SqliteStore
from temper.runtime.history import SqliteStill, audit
from temper.table import load
from tests.kill import twin
from tests.kill.audit import assert_kept
from tests.kill.client import Client, Declined, Line, Log, Taken
from tests.kill.registers import REGISTERS, TEXT, told_of, unexplained, write
from tests.kill.servers import ROOT, Server, free_port, nursery

KILLS = int(os.environ.get("KILLS", "32"))
SEED = int(os.environ.get("SEED", "1"))
EACH = 100
# The spaces: a seed, and how often each is killed.
SPACES = [(SEED + number, min(EACH, KILLS - number * EACH)) for number in range(-(-KILLS // EACH))]
# What is pushed in between; nobody who is alive is in its way.
CHANGED = TEXT.replace("  receipt: string?\n", "  receipt: string?\n  remark: string?\n")
MANY = 10_000_000
# When it is killed: at any moment, while it starts, while the file is written, while it swaps; or told to stop.
MOMENTS = ("any", "any", "start", "checkpoint", "push", "stop")
TALLIES = 4
WRITERS = 5
SETTINGS = """
[push]
levels = ["scenarios"]
allow_unknown = true

[tools."till.charge"]
adapter = "http"
method = "POST"
url = "http://127.0.0.1:{port}/charge"
egress = ["127.0.0.1:{port}"]
json = {{ parcel = "{{parcel}}" }}
result = {{ receipt = "receipt" }}

[tools."post.ship"]
adapter = "http"
method = "POST"
url = "http://127.0.0.1:{port}/ship"
egress = ["127.0.0.1:{port}"]
json = {{ parcel = "{{parcel}}" }}
result = {{}}
"""


@dataclass(slots=True)
class World:
    """A server with its tool, and everybody who asks it."""

    server: Server
    twin_port: int
    noted: Path
    chance: random.Random
    log: Log = field(default_factory=Log)
    clients: list[Client] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    twin: asyncio.subprocess.Process | None = None
    twins: int = 0
    versions: list[int] = field(default_factory=list)
    pushed: int = 0
    moments: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    async def client(self, name: str) -> Client:
        """Return a clerk with a token of its own."""
        token = await self.server.token(name, "clerk")
        client = Client(name, token, lambda: self.server.url, self.log, "kill")
        self.clients.append(client)
        return client

    async def begin_twin(self) -> None:
        """Begin another life of the tool, which remembers what it did."""
        self.twins += 1
        words = ("-m", "tests.kill.twin", str(self.twin_port), str(self.noted), str(self.twins))
        self.twin = await asyncio.create_subprocess_exec(
            sys.executable, *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert self.twin.stdout is not None
        assert await self.twin.stdout.readline() == b"ready\n"

    async def kill_twin(self) -> None:
        """End its life."""
        assert self.twin is not None
        self.twin.kill()
        await self.twin.wait()

    async def count(self, client: Client, number: int) -> int:
        """Count on a tally of one's own, and make a parcel now and then. Return how far the tally got."""
        tally = f"t{number}"
        await client.create("Tally", tally, "Make")
        count = 0
        while not self.stop.is_set():
            await client.act("Tally", tally, "Add", n=count)
            if count % 8 == 0:
                parcel = f"p{number}-{count}"
                await client.create("Parcel", parcel, "Make", name=parcel, tally=tally)
            count += 1
        return count

    async def life(self) -> None:
        """One life of the server, which ends at a moment of some kind; nearly always by SIGKILL."""
        if not self.moments:
            self.moments = self.chance.sample(MOMENTS, len(MOMENTS))
        kind = self.moments.pop()
        life = await self.server.begin()
        if kind == "start":
            await asyncio.sleep(self.chance.uniform(0, 0.25))
        else:
            await life.ready()
        if kind == "any":
            await asyncio.sleep(self.chance.uniform(0, 0.4))
        elif kind == "stop":
            await asyncio.sleep(self.chance.uniform(0, 0.4))
            await self.server.kill(signal.SIGTERM)
        elif kind == "checkpoint":
            # Once it has to come, however slow the machine is.
            if not await self.checkpoint(seconds=0.8 if self.kills["checkpoint"] else 30):
                kind = "no checkpoint"
        elif kind == "push":
            await asyncio.sleep(self.chance.uniform(0, 0.1))
            pushing = asyncio.create_task(self.push())
            if self.kills["push"] and self.chance.random() < 0.7:
                await asyncio.sleep(self.chance.uniform(0, 0.15))
            else:
                await pushing
            await self.server.kill()
            await pushing
        if life.alive():
            await life.kill()
        self.kills[kind] += 1
        if self.chance.random() < 0.2:
            await self.kill_twin()
            await self.begin_twin()

    async def push(self) -> None:
        """Push the text that was not pushed last."""
        self.pushed += 1
        version = await self.server.push("kill", (TEXT, CHANGED)[self.pushed % 2])
        if version is not None:
            self.versions.append(version)

    async def checkpoint(self, *, seconds: float) -> bool:
        """Wait until the file itself is written, which happens at a checkpoint alone; say whether it was."""
        file = self.server.file("kill")
        before = file.stat().st_mtime_ns
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if file.stat().st_mtime_ns != before:
                return True
            await asyncio.sleep(0.001)
        return False


@asynccontextmanager
async def world(folder: Path, chance: random.Random) -> AsyncIterator[World]:
    """A server that serves the blueprint, and a tool."""
    port = free_port()
    (folder / "temper.toml").write_text(SETTINGS.format(port=port))
    async with nursery() as born:
        server = Server(born, folder, free_port())
        made = World(server, port, folder / "noted.jsonl", chance)
        await made.begin_twin()
        try:
            await server.start()
            for text in (CHANGED, TEXT):  # Each is judged once; from now on a push is a swap.
                version = await server.push("kill", text)
                assert version is not None
                made.versions.append(version)
            yield made
        finally:
            for client in made.clients:
                await client.close()
            await made.kill_twin()


@pytest.mark.parametrize(("seed", "kills"), SPACES)
async def test_killed_at_any_moment_nothing_answered_is_lost_and_nothing_is_done_twice(
    seed: int, kills: int, tmp_path: Path
) -> None:
    async with asyncio.timeout(280), world(tmp_path, random.Random(seed)) as around:
        writers = [await around.client(f"w{number}") for number in range(WRITERS)]
        counters = [await around.client(f"c{number}") for number in range(TALLIES)]
        for register in REGISTERS:
            await writers[0].create("Register", register, "Make")
        async with asyncio.TaskGroup() as asking:
            for number, client in enumerate(writers):
                asking.create_task(write(client, number, around.stop, seed=seed))
            counting = [asking.create_task(around.count(client, number)) for number, client in enumerate(counters)]
            await asyncio.sleep(around.chance.uniform(0, 0.4))
            await around.server.kill()
            for _ in range(kills - 1):
                await around.life()
            # The last life is left in peace until everything has come to its end.
            await around.server.start()
            around.stop.set()
        await at_rest(around.server.file("kill"))
        for line in around.chance.sample(around.log.answered(), 100):
            if line.action is not None:
                await assert_told_again(around, line)
        await around.server.kill(signal.SIGTERM)
    with SqliteStill(around.server.file("kill")) as still:
        assert audit(still).difference is None
    store = SqliteStore(around.server.file("kill"))
    try:
        check(store, around, [task.result() for task in counting], kills)
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


async def assert_told_again(around: World, line: Line) -> None:
    """Whoever asks under a key again is told what they were told."""
    again = await next(client for client in around.clients if client.name == line.client).again(line)
    if isinstance(line.told, Taken):
        assert isinstance(again, Taken), line
        assert (again.seq, again.replayed) == (line.told.seq, True), line
        was, now = line.told.seen, again.seen
        assert (now.state, now.version) == (was.state, was.version), line
        # It is shown as the version in force has it.
        assert _without(now.fields, "remark") == _without(was.fields, "remark"), line
    else:
        assert again == line.told, line


def check(store: SqliteStore, around: World, counts: Sequence[int], kills: int) -> None:
    """The log, the tool's notes and the journal agree."""
    entries = list(store.entries(0, MANY))
    log = around.log
    assert_kept(log.lines, entries)
    for line in log.lines:
        if line.client.startswith("c"):
            assert isinstance(line.told, Taken), f"a doubled or a lost action makes the next one out of order: {line}"
    for number, count in enumerate(counts):
        assert count > 0
        added = [e.params["n"] for e in entries if e.entity == "Tally" and e.id == f"t{number}" and e.action == "Add"]
        assert added == list(range(count))

    for register in REGISTERS:
        assert len(told_of(log, register)) > 2 * kills
        assert unexplained(log, register) is None
    parcels = assert_parcels_went_their_way(entries, log)
    assert_effects_once(entries, twin.read(around.noted))
    for number in range(TALLIES):
        counted = store.snapshot("Tally", f"t{number}")
        assert counted is not None
        mine = [parcels[id] for id in parcels if id.startswith(f"p{number}-")]
        assert counted.fields["shipped"] == sum(history[-1].after == "Shipped" for history in mine)

    # The pushes that were answered are there, and versions have no gaps.
    versions = store.versions()
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    assert set(around.versions) <= {version.number for version in versions}
    assert around.versions == sorted(around.versions)

    assert_fold(store, entries)

    # And all this has been put to the test.
    assert sum(around.kills.values()) == kills - 1
    assert len(log.answered()) > 20 * kills
    assert any(line.tries > 1 and isinstance(line.told, Taken) for line in log.lines)
    assert any(line.told is None and line.sent for line in log.lines)
    assert any(isinstance(line.told, Declined) for line in log.lines)
    assert any(isinstance(line.told, Taken) and line.told.replayed for line in log.lines), (
        "a kill between commit and answer"
    )
    assert around.kills["checkpoint"] > 0
    assert len(versions) > 2


def assert_parcels_went_their_way(entries: Sequence[Entry], log: Log) -> dict[str, list[Entry]]:
    """Each parcel's timer fired once, and not early, and it came to its end. Return the history of each."""
    parcels: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.entity == "Parcel":
            parcels[entry.id].append(entry)
    assert set(parcels) == {line.id for line in log.lines if line.entity == "Parcel"}
    for of_one in parcels.values():
        fired = [entry for entry in of_one if entry.timer is not None]
        assert [entry.action for entry in fired] == ["Charge"]
        assert fired[0].at >= of_one[0].at + 300
        assert of_one[-1].after in {"Shipped", "Failed", "Lost"}
    return parcels


def assert_effects_once(entries: Sequence[Entry], noted: Sequence[dict[str, str]]) -> None:
    """Each call has one outcome, and one correction at most; a tool did nothing twice, and nothing unasked."""
    ordered = {order.order: entry for entry in entries for order in entry.orders if order.kind == "call"}
    ended = Counter((entry.ended.order, entry.ended.number) for entry in entries if entry.ended)
    calls = {(order, number) for order, number in ended if order in ordered}
    assert {ended[each] for each in calls} == {1}
    assert {order for order, number in calls if number == 0} == set(ordered)

    done = Counter(line["order"] for line in noted if line["what"] == "done")
    assert set(done.values()) == {1}, "an effect was doubled"
    assert set(done) <= set(ordered), "an effect that nobody ordered"
    answered = {e.ended.order for e in entries if e.ended is not None and e.ended.ending == "answered"}
    assert answered & set(ordered) <= set(done), "an outcome without its effect"
    asked = Counter(line["order"] for line in noted if line["what"] != "failed")
    assert any(count > 1 for count in asked.values()), "no charge was asked for again"
    assert any(e.ended is not None and e.ended.ending == "unknown" for e in entries), "no fate was unknown"


def assert_fold(store: SqliteStore, entries: Sequence[Entry]) -> None:
    """The rows are the fold of the journal."""
    version = store.current()
    assert version is not None
    codec = Codec(load(version.table))
    folded = replay(entries)
    rows = [now for kind in ("Register", "Tally", "Parcel") for now in store.list(kind, limit=MANY).items]
    assert {(now.entity, now.id) for now in rows} == set(folded)
    for now in rows:
        was = folded[now.entity, now.id]
        # What comes and goes with the table is carried over to those who are final when they are read.
        fields = codec.fields(now.entity, now.fields)
        shown, told = (_without(each, "remark") for each in (fields, was.fields))
        assert (now.state, now.version, shown) == (was.state, was.version, told)


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}
