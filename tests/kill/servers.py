"""`temper serve` in processes that can be killed: the program as it is, in a life that takes milliseconds to begin.

Run as a program this is a nursery. It has imported everything, and forks a server for each line on its standard input,
which gives the command line, the folder to run it in and the file that takes its output.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
# At this signal a server writes where it is into the file that takes its output.
WHERE = signal.SIGUSR1


@dataclass(slots=True)
class Life:
    """One life of a server."""

    pid: int
    said: Path
    """What it prints: a JSON object a line."""

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what it has said of that name so far."""
        text = self.said.read_text("utf-8")
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n") and line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    async def ready(self) -> str:
        """Wait until it listens; return its URL. Fails, with what it said, if it ends instead."""
        async with asyncio.timeout(SECONDS):
            while not (ready := self.events("ready")):
                assert self.alive(), f"it ended before it listened: {self.said.read_text('utf-8')}"
                await asyncio.sleep(0.005)
        url: str = ready[0]["url"]
        return url

    def alive(self) -> bool:
        """Say whether it is still there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, and wait until it has gone. Fails, with where it is, if it goes on."""
        os.kill(self.pid, number)
        try:
            async with asyncio.timeout(SECONDS):
                while self.alive():  # noqa: ASYNC110 - it is another process: nobody sets an event
                    await asyncio.sleep(0.002)
        except TimeoutError:
            os.kill(self.pid, WHERE)
            await asyncio.sleep(0.5)
            raise AssertionError(f"it does not end: {self.said.read_text('utf-8')}") from None

    def freeze(self) -> None:
        """Stop it where it is."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


@dataclass(slots=True)
class Nursery:
    """Begins servers."""

    process: asyncio.subprocess.Process
    lives: list[Life]

    async def begin(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> Life:
        """Begin `temper serve WORDS --json` in a folder; return at once."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        said = folder / f"life-{len(self.lives)}.jsonl"
        said.touch()
        asked = {"words": ["serve", *words, "--json"], "folder": str(folder), "said": str(said), "env": env or {}}
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        pid = await self.process.stdout.readline()
        assert pid, "the nursery has ended: what it imports is broken"
        life = Life(int(pid), said)
        self.lives.append(life)
        return life


@dataclass(slots=True)
class Server:
    """A server on one port and one folder, through all its lives. `temper.toml` in the folder says what it is told."""

    born: Nursery
    folder: Path
    port: int
    life: Life | None = None
    admin: str = ""

    @property
    def url(self) -> str:
        """Where it is, or will be again."""
        return f"http://127.0.0.1:{self.port}"

    async def begin(self, *words: str) -> Life:
        """Begin a life, and return at once."""
        self.life = await self.born.begin(self.folder, *words, "--port", str(self.port))
        return self.life

    async def start(self, *words: str) -> Life:
        """Begin a life, and wait until it listens."""
        life = await self.begin(*words)
        await life.ready()
        if not self.admin:
            self.admin = life.events("first-token")[0]["token"]
        return life

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """End its life."""
        assert self.life is not None
        await self.life.kill(number)

    async def token(self, principal: str, *roles: str) -> str:
        """Return a token that it makes for somebody."""
        async with self._asked() as http:
            made = await http.post("/v1/tokens", json={"principal": principal, "roles": list(roles)})
        assert made.status_code == 201, made.text
        token: str = made.json()["token"]
        return token

    async def push(self, blueprint: str, text: str) -> int | None:
        """Push a blueprint of one file, and return its version; `None` if nobody lived to say so."""
        try:
            async with self._asked() as http:
                files = {f"{blueprint}.blueprint": text}
                pushed = await http.put(f"/v1/{blueprint}", json={"files": files})
        except httpx2.TransportError:
            return None
        assert pushed.status_code in (200, 201), pushed.text
        version: int = pushed.json()["version"]
        return version

    def file(self, blueprint: str) -> Path:
        """Return the file in which a blueprint's space is."""
        return self.folder / "temper-data" / "spaces" / f"{blueprint}.db"

    def _asked(self) -> httpx2.AsyncClient:
        bearer = {"Authorization": f"Bearer {self.admin}"}
        return httpx2.AsyncClient(base_url=self.url, headers=bearer, timeout=SECONDS, trust_env=False)


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    """A nursery while the block lasts; who still lives then is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.kill.servers", cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    born = Nursery(process, [])
    try:
        yield born
    finally:
        for life in born.lives[-8:]:
            if life.alive():
                await life.kill()
        process.kill()
        await process.wait()


def free_port() -> int:
    """Return a port that nobody listens on, for all lives of a server."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def main() -> None:
    """Fork a server for each line."""
    # What a server needs, a push included, so that its life begins at once.
    import temper.cli.serving
    import temper.verify  # noqa: F401 - imported for those who are forked
    from temper.cli import main as command

    # Nobody waits for those who die, so that a process id that is gone is gone.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(command, asked)
        print(child, flush=True)


def _live(command: Any, asked: dict[str, Any]) -> None:
    code = 70
    try:
        # It judges in processes of its own, and hears of their ends.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        said = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        faulthandler.register(WHERE, file=2)
        os.chdir(asked["folder"])
        for name in [name for name in os.environ if name.startswith("TEMPER_")]:
            del os.environ[name]
        os.environ.update(asked["env"])
        words: Sequence[str] = asked["words"]
        code = command(words)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
