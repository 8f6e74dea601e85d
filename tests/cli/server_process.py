"""A server as a process of its own, for whatever test needs one."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli.run import Ran, temper

SECONDS = 60.0


@dataclass(slots=True)
class RunningServer:
    """A server that listens. It speaks in lines of JSON."""

    process: subprocess.Popen[bytes]
    said: queue.Queue[bytes]
    url: str = ""
    token: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    def event(self, name: str) -> dict[str, Any]:
        """Return the next event of that name."""
        while True:
            line = self.said.get(timeout=SECONDS)
            assert line, f"the server ended before `{name}`: {self.heard}"
            event: dict[str, Any] = json.loads(line)
            self.heard.append(event)
            if event["event"] == name:
                return event

    def run(self, *words: str, as_: tuple[str, ...] = ("administrator",)) -> Ran:
        """Run a command against it, as the administrator or as `(principal, role, ...)`."""
        return temper(*words, env={"TEMPER_SERVER": self.url, "TEMPER_TOKEN": self.token_of(*as_)})

    def token_of(self, principal: str, *roles: str) -> str:
        """Return somebody's token, made when it is first asked for."""
        if principal == "administrator":
            return self.token
        if (principal, *roles) not in self.tokens:
            words = [word for role in roles for word in ("--role", role)]
            made = self.run("token", "make", principal, *words, "--json")
            assert made.code == 0, made
            self.tokens[principal, *roles] = made.json["token"]
        return self.tokens[principal, *roles]


@contextmanager
def running_server(*words: str, folder: Path) -> Iterator[RunningServer]:
    """Run `temper serve WORDS` in a folder, which also holds its data, while the block lasts."""
    command = [sys.executable, "-m", "temper", "serve", *words, "--port", "0", "--json"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("TEMPER_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env=env) as process:
        said: queue.Queue[bytes] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process, said), daemon=True)
        reader.start()
        try:
            server = RunningServer(process, said)
            server.url = server.event("ready")["url"]
            server.token = next((event["token"] for event in server.heard if event["event"] == "first-token"), "")
            yield server
        finally:
            process.terminate()
            process.wait(SECONDS)
            reader.join(SECONDS)


def _read(process: subprocess.Popen[bytes], said: queue.Queue[bytes]) -> None:
    assert process.stdout is not None, "it is a pipe"
    for line in process.stdout:
        said.put(line)
    said.put(b"")
