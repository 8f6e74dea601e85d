"""A tutorial, done as its reader would do it: files are written and changed, commands are run, outputs are compared.

| block | is |
|---|---|
| `console` | commands after `$ `, and below each what it prints |
| `console server` | a command that goes on until the end of the page, and what it prints at first |
| `blueprint PATH` | a file, whole |
| `diff PATH` | a change of a file |

`python -m tests.docs.tutorial PAGE` writes the outputs into a page. The server gets a free port, not its usual one.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

BLOCK = re.compile(
    r"^```(?P<kind>console server|console|blueprint (?P<file>\S+)|diff (?P<changed>\S+))\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SECONDS = 60.0
SHOWN = "http://127.0.0.1:8420"

# What is another one each time: a mask for each, applied to what a page says and to what is so.
CHANGING = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "DIGEST"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z"), "MOMENT"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b"), "TIME"),
    (re.compile(r" *\b\d+(\.\d+)? m?s\b"), " DURATION"),
    (re.compile(r"temper_[0-9a-f]{10}_[\w-]+"), "TOKEN"),
    (re.compile(r"\b[0-9a-f]{10}\b"), "TOKEN_ID"),
)


def masked(text: str) -> str:
    """Return a text without what is another one each time."""
    for changing, mask in CHANGING:
        text = changing.sub(mask, text)
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a page: what the page says that it prints, and what it prints."""

    line: int
    command: str
    said: str
    printed: str


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder."""

    folder: Path
    port: int
    stack: ExitStack
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TEMPER_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {**kept, "PATH": path, "NO_COLOR": "1", "TEMPER_SERVER": f"http://127.0.0.1:{self.port}"}
        # What somebody here has judged before is nothing that the reader has.
        self.env["TEMPER_CACHE"] = str(self.folder / ".cache")

    def read(self, page: str) -> Iterator[Step]:
        """Do all that a page says, in order."""
        for block in BLOCK.finditer(page):
            line = page.count("\n", 0, block.start()) + 2
            body = block["body"]
            if block["file"]:
                path = self.folder / block["file"]
                path.write_text(body, "utf-8")
            elif block["changed"]:
                path = self.folder / block["changed"]
                path.write_text(changed(path.read_text("utf-8"), body), "utf-8")
            else:
                for command, said in commands(body):
                    run = self._serve if block["kind"] == "console server" else self._run
                    yield Step(line, command, said, run(command).replace(f"http://127.0.0.1:{self.port}", SHOWN))

    def _run(self, command: str) -> str:
        # Exports last, as in a terminal that stays open.
        script = f"{command}\nexport -p | grep -v TEMPER_SERVER > {self.folder / '.exports'}"
        state = self.folder / ".exports"
        before = state.read_text("utf-8") if state.exists() else ""
        asked = ["bash", "-c", f"{before}\n{script}"]
        # Who reads has no server set: its usual place is where the server is, and tokens are made where the data is.
        env = {key: value for key, value in self.env.items() if key != "TEMPER_SERVER" or "temper token" not in command}
        ran = subprocess.run(
            asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=env,
            check=False,
            timeout=SECONDS,
        )
        return ran.stdout

    def _serve(self, command: str) -> str:
        words = [*command.split(), "--port", str(self.port)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=self.folder, env=self.env)
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, lines))
        reader.start()
        self.stack.callback(process.stdout.close)
        self.stack.callback(reader.join)
        self.stack.callback(process.wait, SECONDS)
        self.stack.callback(process.terminate)
        printed: list[str] = []
        while not printed or not printed[-1].startswith("serving at"):
            line = lines.get(timeout=SECONDS)
            assert line, f"the server ended: {printed}"
            printed.append(line)
        return "".join(printed)


def _read(out: IO[str], lines: queue.Queue[str]) -> None:
    for line in out:
        lines.put(line)
    lines.put("")


def commands(body: str) -> Iterator[tuple[str, str]]:
    """Return each command of a block, and what is below it."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, said = part.partition("\n")
        yield command, said


def changed(text: str, diff: str) -> str:
    """Return a text with a change made, which must fit in one place."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"the change fits {text.count(old)} times:\n{diff}"
    return text.replace(old, new)


@contextmanager
def reader() -> Iterator[Reader]:
    """Return somebody who reads in a folder that goes when they are done."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        yield Reader(Path(folder), port, stack)


def filled(page: str) -> str:
    """Return a page with the outputs that its commands have."""
    with reader() as somebody:
        printed = iter(list(somebody.read(page)))

    def block(found: re.Match[str]) -> str:
        if not found["kind"].startswith("console"):
            return found[0]
        body = "".join(
            f"$ {command}\n{next(printed).printed.rstrip()}".rstrip() + "\n" for command, _ in commands(found["body"])
        )
        body = re.sub(r"(temper_[0-9a-f]{10}_)[\w-]+", r"\1SHOWN-ONCE", body)
        return f"```{found['kind']}\n{body}```"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(filled(path.read_text("utf-8")), "utf-8")
