"""`python -m temper.cli.twin`: run a twin until SIGTERM, or until its standard input ends.

The first line that it prints is JSON: `url`, and `kubeconfig`, the path of a file that any client of Kubernetes can
use; the file goes when the twin does. Whoever starts it keeps a pipe to its standard input, so that the twin can't
outlive them; `--stay` leaves standard input alone, to run it by hand in the background.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import uvicorn

from temper.cli.twin.api import Protocol, Twin, app
from temper.cli.twin.statefulset import StatefulSet, new_spec


def main(argv: list[str] | None = None) -> int:
    """Run a twin as `argv` says; return when it has ended."""
    wanted = _arguments().parse_args(argv)
    # A seed makes ids and token the same every time; without one, the token is nobody's guess.
    seeded = Random(wanted.seed if wanted.seed is not None else os.urandom(32))
    token = f"{seeded.getrandbits(256):064x}"
    sets = StatefulSet(
        wanted.name,
        wanted.namespace,
        new_spec(wanted.name, wanted.image, wanted.replicas),
        ready_after=wanted.ready_after,
        end_after=wanted.end_after,
        observe_after=wanted.observe_after,
        random=seeded,
        epoch=time.time(),
    )
    listener = socket.create_server(("127.0.0.1", wanted.port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with tempfile.TemporaryDirectory(prefix="temper-twin-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(url, wanted.namespace, token), indent=2))
        kubeconfig.chmod(0o600)
        server = _Server(app(Twin(sets, token)), {"url": url, "kubeconfig": str(kubeconfig)}, stay=wanted.stay)
        asyncio.run(server.serve(sockets=[listener]))
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m temper.cli.twin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--name", default="helix", help="the StatefulSet's name")
    parser.add_argument("--namespace", default="streaming")
    parser.add_argument("--replicas", type=int, default=5)
    parser.add_argument("--image", default="helix:v1")
    parser.add_argument(
        "--ready-after", type=float, default=0.3, metavar="S", help="from a pod's start until it is ready"
    )
    parser.add_argument(
        "--end-after", type=float, default=0.1, metavar="S", help="from a pod's deletion until it is gone"
    )
    parser.add_argument(
        "--observe-after", type=float, default=0.05, metavar="S", help="until the controller sees a patch"
    )
    parser.add_argument("--seed", type=int, help="the same ids and token every time")
    parser.add_argument("--stay", action="store_true", help="do not end when standard input does")
    return parser


class _Server(uvicorn.Server):
    """uvicorn, which says where it listens once it does, and ends with its standard input."""

    def __init__(self, application: object, hello: dict[str, str], *, stay: bool) -> None:
        config = uvicorn.Config(
            application,  # type: ignore[arg-type]  # our ASGIApp is Starlette's; uvicorn spells it out
            http=Protocol,
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._hello = hello
        self._stay = stay

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(json.dumps(self._hello), flush=True)
        if not self._stay:
            threading.Thread(target=self._watch_stdin, daemon=True).start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order on SIGTERM and SIGINT."""
        # uvicorn's own raises the signal again at the end, which would skip our tidying up.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

    def _watch_stdin(self) -> None:
        # Not `sys.stdin`: its lock, held by a thread that never returns, would abort the interpreter at its exit.
        while os.read(0, 4096):
            pass
        self.should_exit = True


def _kubeconfig(url: str, namespace: str, token: str) -> dict[str, object]:
    """A kubeconfig, as JSON, which is YAML."""
    context = {"cluster": "twin", "user": "twin", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "twin",
        "clusters": [{"name": "twin", "cluster": {"server": url}}],
        "users": [{"name": "twin", "user": {"token": token}}],
        "contexts": [{"name": "twin", "context": context}],
    }


if __name__ == "__main__":
    raise SystemExit(main())
