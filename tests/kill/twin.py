"""A tool at the other end of HTTP, as a process that can be killed, too: `python -m tests.kill.twin PORT FILE SEED`.

`POST /charge` honours its `Idempotency-Key`; `POST /ship` does not, and does what it is asked. What they are asked and
what they do is appended to the file before they answer, one JSON object a line. They fail, are slow, or hang up, before
or after they have done it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path


class Twin:
    """Does things, and keeps what it has done in a file."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self._chance = chance
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        done = [line for line in read(path) if line["what"] == "done"]
        self._charged = {line["order"] for line in done if line["tool"] == "charge"}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *rest = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            await reader.readexactly(int(headers.get("content-length", "0")))
            status, body = await self._do(first.split()[1].removeprefix("/"), headers["idempotency-key"])
            if status:
                said = json.dumps(body).encode()
                writer.write(b"HTTP/1.1 %d -\r\nconnection: close\r\n" % status)
                writer.write(b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # Its sender was killed.
        finally:
            writer.close()

    async def _do(self, tool: str, order: str) -> tuple[int, dict[str, str]]:
        """Return a status and an answer; 0 hangs up."""
        dice = self._chance.random()
        if dice < 0.1:
            self._note(tool, order, "failed")
            return 503, {}
        if dice < 0.4:
            await asyncio.sleep(self._chance.uniform(0, 0.1))
        if tool == "ship" or order not in self._charged:
            self._note(tool, order, "done")
            self._charged.add(order)
        else:
            self._note(tool, order, "again")
        return (0 if dice > 0.93 else 200), {"receipt": f"receipt of {order}"}

    def _note(self, tool: str, order: str, what: str) -> None:
        os.write(self._file, json.dumps({"tool": tool, "order": order, "what": what}).encode() + b"\n")


def read(path: Path) -> list[dict[str, str]]:
    """Return what twins have noted."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


async def main(port: int, path: Path, seed: int) -> None:
    """Serve until killed."""
    twin = Twin(path, random.Random(seed))
    server = await asyncio.start_server(twin.connected, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
