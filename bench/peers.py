"""Durable actions a second beside other engines: create, then ten transitions, each answered once it is durable.

    uv run python bench/peers.py [--seconds 5] [--clients 1 64] [--folder .] [--only dbos-sqlite ...] [--json]

Ours goes over HTTP, as in `bench/door.py`; so does Restate, by its own ingress. DBOS is called in its own process,
without HTTP, which favours it: a workflow of one step for each action, whose state is kept in memory alone. What each
needs is fetched when it is first run (`uv run --with`, npm), into a folder of its own: none is a dependency of ours.
All of them keep their defaults of durability, on the same disk, in the same run. Read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

with contextlib.suppress(ImportError):  # In a peer's own process we are not there.
    import door  # type: ignore[import-not-found]  # it stands beside this file

TRANSITIONS = 10
DBOS = ("dbos==3.4.0", "psycopg[binary]")
RESTATE_SERVER = "@restatedev/restate-server@1.7.12"
RESTATE = ("restate-sdk==1.3.0", "hypercorn==0.18.0")
PEERS = ("dbos-sqlite", "dbos-postgres", "restate")


def main() -> None:
    """Measure one after the other, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each measurement takes")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 64], help="who ask at once")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk that is measured")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=PEERS, help="beside which of them")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    rates: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory(prefix="temper-bench-", dir=wanted.folder) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as somebody else.
        tempfile.tempdir = folder
        for name in ("temper", *wanted.only):
            rates[name] = {clients: measured(name, Path(folder), clients, wanted.seconds) for clients in wanted.clients}
    if wanted.json:
        print(json.dumps(rates))
        return
    for clients in wanted.clients:
        print(f"{clients} clients at once")
        ours = rates["temper"][clients]
        for name, each in rates.items():
            beside = "" if name == "temper" else f"   temper does {ours / each[clients]:6,.1f} times as many"
            print(f"  {name:<16}{each[clients]:>9,.0f}/s{beside}")


def measured(name: str, folder: Path, clients: int, seconds: float) -> float:
    """Return how many actions a second one of them does."""
    place = folder / f"{name}-{clients}"
    place.mkdir()
    match name:
        case "temper":
            return asyncio.run(ours(place, clients, seconds))
        case "restate":
            with restate(place) as (port, process):
                return asyncio.run(over_http(port, process, clients, seconds))
        case "dbos-sqlite":
            return dbos(f"sqlite:///{place}/dbos.sqlite", clients, seconds)
        case _:
            with postgres() as url:
                return dbos(url, clients, seconds)


# --- ours -------------------------------------------------------------------------------------------------------------


async def ours(folder: Path, clients: int, seconds: float) -> float:
    async with door.server("temper", str(folder)) as served:
        rate = await door.measure(served, lambda: door.lamp(served.token), clients, seconds)
    return float(rate.per_second)


# --- DBOS -------------------------------------------------------------------------------------------------------------


def dbos(url: str, clients: int, seconds: float) -> float:
    told = alone(DBOS, "--dbos", url, str(clients), str(seconds))
    return float(json.loads(told.splitlines()[-1]))


def run_dbos(url: str, clients: int, seconds: float) -> None:
    """In a process of its own, which has DBOS: measure, and print the rate."""
    library = importlib.import_module("dbos")
    engine = library.DBOS
    engine(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_migrations": True})
    lamps: dict[str, int] = {}

    async def turn(lamp: str) -> int:
        lamps[lamp] = lamps.get(lamp, -1) + 1
        return lamps[lamp]

    step = engine.step()(turn)

    async def switch(lamp: str) -> int:
        return int(await step(lamp))

    workflow = engine.workflow()(switch)
    engine.launch()

    async def client(number: int, warm: float, end: float) -> int:
        done = lamp = 0
        while True:
            lamp += 1
            for action in range(TRANSITIONS + 1):
                begun = time.perf_counter()
                if begun >= end:
                    return done
                with library.SetWorkflowID(f"{number}-{lamp}-{action}"):
                    assert await workflow(f"{number}-{lamp}") == action
                done += begun >= warm

    async def all_clients() -> int:
        warm = time.perf_counter() + min(1.0, seconds / 4)
        return sum(await asyncio.gather(*(client(number, warm, warm + seconds) for number in range(clients))))

    done = asyncio.run(all_clients())
    print(json.dumps(done / seconds), flush=True)
    os._exit(0)  # What it has running in the background need not be waited for.


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The server that the tests run on, with its defaults of durability."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.runtime.postgres import cluster  # it needs the tests' dependencies

    with cluster() as server:
        yield server.url


# --- Restate ----------------------------------------------------------------------------------------------------------


async def over_http(port: int, process: int, clients: int, seconds: float) -> float:
    names = itertools.count()
    rate = await door.measure(door.Served(port, "", process), lambda: restate_lamp(str(next(names))), clients, seconds)
    return float(rate.per_second)


def restate_lamp(client: str) -> Generator[bytes, bytes, None]:
    """Create a lamp and switch it ten times, over and over: each an object of its own, which asks in order."""
    head = "host: bench\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    lamp = 0
    while True:
        lamp += 1
        for action in ("hang", *["switch"] * TRANSITIONS):
            yield f"POST /Lamp/{client}-{lamp}/{action} HTTP/1.1\r\n{head}".encode()


@contextlib.contextmanager
def restate(folder: Path) -> Iterator[tuple[int, int]]:
    """Run its server and a service of ours; give the ingress's port, and the server's process."""
    programs = Path.home() / ".cache" / "temper-bench"
    programs.mkdir(parents=True, exist_ok=True)
    if not (programs / "node_modules" / ".bin" / "restate-server").exists():
        subprocess.run(["npm", "install", "--silent", "--prefix", programs, RESTATE_SERVER], check=True)
    ingress, admin, node, port = (free_port() for _ in range(4))
    environment = os.environ | {
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RUST_LOG": "error",
    }
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [programs / "node_modules" / ".bin" / "restate-server", "--base-dir", folder / "restate"],
        env=environment, stdout=log, stderr=log,
    )  # fmt: skip
    service = subprocess.Popen(command(RESTATE, "--restate", str(port)), stdout=log, stderr=log, stdin=subprocess.PIPE)
    try:
        asked = Request(
            f"http://127.0.0.1:{admin}/deployments",
            data=json.dumps({"uri": f"http://127.0.0.1:{port}"}).encode(),
            headers={"content-type": "application/json"},
        )
        until_answered(asked, folder / "log")
        yield ingress, server.pid
    finally:
        log.close()
        assert service.stdin is not None
        service.stdin.close()  # It ends with that.
        server.terminate()
        service.wait()
        server.wait()


def until_answered(asked: Request, log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            with urlopen(asked, timeout=10):
                return
        except OSError as problem:
            if time.monotonic() > end:
                raise SystemExit(f"Restate did not start: {problem}\n{log.read_text()[-2000:]}") from problem
            time.sleep(0.2)


def run_restate(port: int) -> None:
    """In a process of its own, which has Restate's SDK: serve lamps."""
    sdk, hypercorn = importlib.import_module("restate"), importlib.import_module("hypercorn.asyncio")
    lamp = sdk.VirtualObject("Lamp")

    async def hang(context: Any, asked: dict[str, Any]) -> dict[str, Any]:
        context.set("switched", 0)
        return {"switched": 0}

    async def switch(context: Any, asked: dict[str, Any]) -> dict[str, Any]:
        switched = await context.get("switched") + 1
        context.set("switched", switched)
        return {"switched": switched}

    lamp.handler()(hang)
    lamp.handler()(switch)

    def until_the_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os._exit(0)  # It would wait for connections that nobody closes.

    threading.Thread(target=until_the_end, daemon=True).start()
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"127.0.0.1:{port}"]
    asyncio.run(hypercorn.serve(sdk.app([lamp]), config))


# --- processes --------------------------------------------------------------------------------------------------------


def command(packages: tuple[str, ...], *arguments: str) -> list[str]:
    """Return how this file is run with some packages, and without this project."""
    given = [part for package in packages for part in ("--with", package)]
    return ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", "3.11", *given, __file__, *arguments]


def alone(packages: tuple[str, ...], *arguments: str) -> str:
    done = subprocess.run(command(packages, *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


if __name__ == "__main__":
    if sys.argv[1:2] == ["--dbos"]:
        run_dbos(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    elif sys.argv[1:2] == ["--restate"]:
        run_restate(int(sys.argv[2]))
    else:
        main()
