"""A server to be killed: a live space on a file, its tools and its callers over loopback.

Run as a program it is a nursery: it has imported everything, and forks a server for each line on its standard input
(`path port`), whose process id it prints. So that a life takes milliseconds to begin, and yet is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from temper.kernel import Done, Request, StoreFault
from temper.runtime import Answered, Attempt, Call, Failed, Live, SqliteStore, SystemClock, Unknown, found, new_id
from temper.runtime.tools import Kind
from temper.table import Act
from tests.kernel.shop import CLERK, compiled, version

TEXT = """
blueprint kill

role clerk

tool bank.charge(parcel: string) -> (receipt: string)
  timeout 5s
  retry 50 every 1s
  idempotent

tool post.ship(parcel: string)
  timeout 5s
  retry 50 every 1s

entity Tally
  states Counting
  last: int = -1
  shipped: int 0.. = 0
  action Make by clerk from new to Counting
  action Add(n: int) by clerk from Counting when n == last + 1 else "out of order"
    set last = n
  action Count by system from Counting
    set shipped += 1

entity Parcel
  states Waiting, Charging, Shipping, Shipped, Failed, Lost
  final Shipped, Failed, Lost
  name: string
  tally: Tally
  receipt: string?

  action Make(name, tally) by clerk from new to Waiting
    set name, tally

  in Waiting after 1s do Charge
  action Charge by system from Waiting to Charging
    call bank.charge(name) then Charged(result.receipt) else Stop unknown Lose

  action Charged(receipt: string) by system from Charging to Shipping
    set receipt = receipt
    call post.ship(name) then Arrive else Stop unknown Lose

  action Arrive by system from Shipping to Shipped
    send tally.Count

  action Stop by system from Charging, Shipping to Failed
  action Lose by system from Charging, Shipping to Lost
  late Charged, Arrive, Stop, Lose ignore
"""


class Loopback:
    """A tool at the other end of a connection: no answer there is an unknown fate."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def call(self, call: Call) -> Attempt:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as problem:
            return Failed(Kind.UNAVAILABLE, str(problem), retry=True)
        try:
            asked = {"call": call.tool, "order": call.order, "attempt": call.attempt}
            writer.write(json.dumps(asked).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
        if not line:
            return Unknown("no answer")
        said: dict[str, Any] = json.loads(line)
        if "failed" in said:
            return Failed(Kind.UNAVAILABLE, said["failed"], retry=True)
        return Answered(said)

    async def close(self) -> None:
        return None


async def serve(path: Path, port: int) -> None:
    """Live until the caller hangs up or somebody kills us."""
    store = await _opened(path)
    if store.current() is None:
        table = compiled(TEXT)
        found(store, version(table))
    tool = Loopback(port)
    clock = SystemClock()
    live = await Live.start(store, {"bank.charge": tool, "post.ship": tool}, clock=clock)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b'{"ready": true}\n')
    tasks: set[asyncio.Task[None]] = set()

    async def answer(asked: dict[str, Any]) -> None:
        event = Act(new_id(), clock.now(), asked["action"], asked["params"], CLERK, asked["entity"], asked["id"])
        answer = await live.submit(Request(event, asked["entity"], asked["id"], key=asked["key"], fingerprint="f"))
        said: dict[str, Any] = {"key": asked["key"], "seq": None, "text": ""}
        if isinstance(answer, Done) and answer.entry is not None:
            said["seq"] = answer.entry.seq
        else:
            said["text"] = repr(answer)
        writer.write(json.dumps(said).encode() + b"\n")

    while line := await reader.readline():
        task = asyncio.create_task(answer(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await live.close()
    store.close()


async def _opened(path: Path) -> SqliteStore:
    """The one before us may not be quite dead."""
    for _ in range(200):
        try:
            return SqliteStore(path)
        except StoreFault as fault:
            if "in use" not in fault.text:
                raise
            await asyncio.sleep(0.01)
    raise AssertionError("the file is never let go of")


def main() -> None:
    compiled(TEXT)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        path, port = line.split()
        child = os.fork()
        if child == 0:
            try:
                uvloop.run(serve(Path(path), int(port)))
            except ConnectionError:
                pass  # The test has ended.
            finally:
                sys.stderr.flush()
                os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
