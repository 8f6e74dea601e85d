"""Servers of one PostgreSQL as processes of their own, and clients that keep a log of what they were told."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.runtime.test_shared import BANK

_SETTINGS = """
[server]
store = "{secret:DATABASE_URL}"
port = 0
lease = "LEASE"
drain = "1s"

[push]
levels = ["scenarios"]
allow_unknown = true
"""


class Process:
    """One `temper serve`. It can be killed, frozen, thawed and ended."""

    def __init__(self, folder: Path, store: str, *paths: Path, lease: str = "3s", more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "temper.toml"
        settings.write_text(_SETTINGS.replace("LEASE", lease) + more)
        self.log = folder / f"log{len(list(folder.glob('log*')))}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "temper", "serve", "--json", "--settings", str(settings),
                    "--data", str(folder / "data"), *map(str, paths),
                ],
                stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "DATABASE_URL": store}, cwd=folder,
            )  # fmt: skip
        self.url = ""

    def said(self, event: str) -> dict[str, Any] | None:
        """Return what it said of an event, if it has."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                if said["event"] == event:
                    return said
        return None

    def ready(self) -> str:
        """Wait until it answers requests; return its address."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            said = self.said("ready")
            if said is not None:
                self.url = said["url"]
                return self.url
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"the server did not start: {self.log.read_text()}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End it as an operator would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Servers:
    """Several servers of one PostgreSQL, all with the bank of `test_shared`, and with `more` in their settings."""

    def __init__(self, folder: Path, store: str, number: int, *, lease: str = "3s", more: str = "") -> None:
        self.folder, self.store, self.lease, self.more = folder, store, lease, more
        bundle = folder / "bank.blueprint"
        bundle.write_text(BANK.lstrip())
        first = Process(folder / "0", store, bundle, lease=lease, more=more)
        self.all = [first]
        first.ready()
        said = first.said("first-token")
        assert said is not None, "it is the first server of an empty database"
        self.admin = said["token"]
        self.all += [Process(folder / str(n), store, lease=lease, more=more) for n in range(1, number)]
        for one in self.all:
            one.ready()
        with self.client() as client:
            made = client.post(
                f"{first.url}/v1/tokens",
                json={"principal": "teller", "roles": ["clerk"]},
                headers=self.head(self.admin),
            )
        assert made.status_code == 201, made.text
        self.token = made.json()["token"]
        with self.client() as client:
            for one in self.all:
                self._wait_for_token(client, one.url)

    def _wait_for_token(self, client: httpx2.Client, url: str) -> None:
        """Wait until a server knows the token, which another made: that takes it half a second at most."""
        until = time.monotonic() + 10
        while client.get(f"{url}/v1/bank/Account").status_code == 401:
            assert time.monotonic() < until, "a token that was made at another server is not known"
            time.sleep(0.05)

    def again(self, number: int) -> None:
        """Start one again that was killed."""
        self.all[number] = Process(self.folder / str(number), self.store, lease=self.lease, more=self.more)
        self.all[number].ready()

    def end(self) -> None:
        for one in self.all:
            one.end()

    def head(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.token}"}

    def client(self) -> httpx2.Client:
        return httpx2.Client(headers=self.head() if hasattr(self, "token") else {}, timeout=15, trust_env=False)


@dataclass(frozen=True)
class Told:
    """What a client was told: when it asked and when it heard, by one clock."""

    asked: float
    heard: float
    key: str
    source: str
    target: str
    amount: int
    status: int
    version: int


@dataclass
class Clients:
    """Clients that move money until they are told to stop. A request without a definite answer is put again."""

    servers: Servers
    accounts: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    answers: Counter[int | str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def open_accounts(self, number: int, balance: int) -> None:
        with self.servers.client() as client:
            for n in range(number):
                url = self.servers.all[n % len(self.servers.all)].url
                made = client.post(f"{url}/v1/bank/Account", json={"balance": balance})
                assert made.status_code == 201, made.text
                self.accounts.append(made.json()["entity"]["id"])

    def start(self, number: int, seed: int = 1) -> None:
        self._threads = [
            threading.Thread(target=self._run, args=(n, random.Random(1_000 * seed + n))) for n in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def go_on(self, answers: int, seconds: float) -> None:
        """Wait until so many more have been told something, and at least so long."""
        began, before = time.monotonic(), len(self.told)
        while len(self.told) < before + answers or time.monotonic() < began + seconds:
            assert time.monotonic() < began + seconds + 90, f"nobody is answered any more: {self.answers}"
            time.sleep(0.05)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits for an answer"

    def _run(self, number: int, draw: random.Random) -> None:
        with self.servers.client() as client:
            for turn in range(1_000_000):
                if self._stop.is_set():
                    return
                source, target = draw.sample(self.accounts, 2)
                self._pay(client, draw, f"c{number}-{turn}", source, target, draw.randint(1, 5))

    def _pay(self, client: httpx2.Client, draw: random.Random, key: str, source: str, target: str, amount: int) -> None:
        asked = time.monotonic()
        until = asked + 40
        while time.monotonic() < until:
            url = draw.choice(self.servers.all).url
            try:
                answer = client.post(
                    f"{url}/v1/bank/Account/{source}/Pay",
                    json={"to": target, "amount": amount},
                    headers={"Idempotency-Key": key},
                    timeout=5,
                )
            except httpx2.HTTPError as problem:
                self.answers[type(problem).__name__] += 1
                time.sleep(0.05)
                continue
            self.answers[answer.status_code] += 1
            if answer.status_code == 503:
                assert "retry-after" in answer.headers
                time.sleep(0.1)
                continue
            version = answer.json()["entity"]["version"] if answer.status_code == 200 else 0
            self.told.append(Told(asked, time.monotonic(), key, source, target, amount, answer.status_code, version))
            if answer.status_code not in {200, 409}:
                self.problems.append(answer.text)
            return
        self.problems.append(f"{key} has no answer")


class Reader:
    """Follows the live stream, from one server to the next, and goes on from the last event it has seen."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.entries: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self, number: int) -> None:
        """Wait until so many entries have come, and end."""
        until = time.monotonic() + 30
        while len(self.entries) < number and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)  # One too many would come now.
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        last, turn = "", 0
        while not self._stop.is_set():
            turn += 1
            url = self.servers.all[turn % len(self.servers.all)].url
            head = {"Last-Event-ID": last} if last else {}
            try:
                with (
                    self.servers.client() as client,
                    client.stream("GET", f"{url}/v1/bank/events?after=0", headers=head, timeout=2) as stream,
                ):
                    for line in stream.iter_lines():
                        if line.startswith("id: "):
                            last = line[4:]
                        elif line.startswith("data: ") and '"seq"' in line:
                            self.entries.append(json.loads(line[6:]))
                        if self._stop.is_set():
                            return
            except httpx2.HTTPError:
                time.sleep(0.1)


def audit(clients: Clients, url: str, total: int) -> list[dict[str, Any]]:
    """Hold what clients were told against the histories; return these."""
    assert not clients.problems, clients.problems[:3]
    entries: list[dict[str, Any]] = []
    balances = 0
    with clients.servers.client() as client:
        for account in clients.accounts:
            now = client.get(f"{url}/v1/bank/Account/{account}").json()
            balances += now["fields"]["balance"]
            after = 0
            while True:
                page = client.get(f"{url}/v1/bank/Account/{account}/history?after={after}&limit=200").json()["items"]
                entries += page
                if len(page) < 200:
                    break
                after = page[-1]["seq"]
            mine = [one for one in entries if one["id"] == account and one["how"] != "refused"]
            assert [one["version"] for one in mine] == list(range(1, now["version"] + 1))
    assert balances == total, "money was made or lost"
    paid = {(one["id"], one["version"]): one for one in entries if one["action"] == "Pay" and one["how"] != "refused"}
    done = [one for one in clients.told if one.status == 200]
    # What was answered is there, once, and nothing that was not answered is.
    assert len({(one.source, one.version) for one in done}) == len(done)
    for one in done:
        entry = paid[one.source, one.version]
        assert entry["params"] == {"to": one.target, "amount": one.amount}, (one, entry)
    assert len(paid) == len(done)
    # Whoever asked after another had heard comes after it.
    for account in clients.accounts:
        mine_told = sorted((one for one in done if one.source == account), key=lambda one: one.asked)
        heard = sorted(mine_told, key=lambda one: one.heard)
        latest, place = 0, 0
        for told in mine_told:
            while place < len(heard) and heard[place].heard < told.asked:
                latest = max(latest, heard[place].version)
                place += 1
            assert told.version > latest, "an answer came before what it followed"
    return entries
