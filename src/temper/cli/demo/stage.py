"""What the story happens on: a twin of a cluster and a server, processes of their own, in a folder that goes with them.

Whatever is started here is ended here, by its id, however the block is left.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from temper.cli.client import Client
from temper.cli.exits import Exit, Stop

CLUSTER = "orders"
NAMESPACE = "streaming"
BROKERS = 5
# Where they are not met, something is wrong with this machine, and whoever waits wants to know.
START_SECONDS = 20.0
END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Broker:
    """A pod of the twin's: the build that it was made from, and how it is."""

    name: str
    build: str
    condition: str


class Cluster:
    """The twin, as a client of the Kubernetes API sees it, and what befalls it."""

    def __init__(self, url: str, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        token = json.loads(kubeconfig.read_text("utf-8"))["users"][0]["user"]["token"]
        self._http = httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)

    def brokers(self) -> list[Broker]:
        """Return the pods, by ordinal."""
        answer = self._http.get(f"/api/v1/namespaces/{NAMESPACE}/pods", params={"labelSelector": f"app={CLUSTER}"})
        answer.raise_for_status()
        return [_broker(pod) for pod in answer.json()["items"]]

    def break_build(self, build: str, ordinal: int, message: str) -> None:
        """Make one broker unable to run a build."""
        fault = {"fault": "crash", "image": f"helix:{build}", "ordinal": ordinal, "message": message}
        self._http.post("/twin/faults", json=fault).raise_for_status()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


def _broker(pod: Mapping[str, Any]) -> Broker:
    container = pod["status"]["containerStatuses"][0]
    waiting = container["state"].get("waiting", {}).get("reason", "")
    if "deletionTimestamp" in pod["metadata"]:
        condition = "ending"
    elif container["ready"]:
        condition = "ready"
    else:
        condition = "starting" if waiting == "ContainerCreating" else waiting or "not ready"
    return Broker(pod["metadata"]["name"], container["image"].partition(":")[2], condition)


class Stage:
    """A cluster, and a server to whose settings it is bound."""

    def __init__(self, cluster: Cluster, server: _Said, stack: ExitStack) -> None:
        self.cluster = cluster
        self._stack = stack
        self.url = ""
        self._server = server
        self._token = ""

    def open(self) -> None:
        """Wait until the server listens; nothing is pushed to it yet."""
        while (said := self._server.line())["event"] != "ready":
            if said["event"] == "failed":
                why = said.get("title") or said.get("error")
                raise Stop(Exit.UNREACHABLE, f"the server did not start: {why}", data=said)
            self._token = said.get("token", self._token)
        self.url = said["url"]

    def administrator(self) -> Client:
        """Return the client of who may push and make tokens."""
        return self._stack.enter_context(Client(self.url, self._token))

    def person(self, principal: str, role: str) -> Client:
        """Return the client of somebody with a role, whose token is made through the API."""
        with Client(self.url, self._token) as admin:
            made = admin.post("/v1/tokens", {"principal": principal, "roles": [role]})
        return self._stack.enter_context(Client(self.url, made["token"]))


@contextmanager
def stage(settings: str) -> Iterator[Stage]:
    """Start a twin, and a server with these settings, for as long as the block lasts. The server may still start."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="temper-demo-")))
        twin = stack.enter_context(_started("the twin", _twin_command(), folder))
        hello = twin.line()
        cluster = Cluster(hello["url"], Path(hello["kubeconfig"]))
        stack.callback(cluster.close)
        path = folder / "temper.toml"
        path.write_text(at_the_twin(settings, cluster.kubeconfig, folder / "data"), "utf-8")
        command = [sys.executable, "-m", "temper", "serve", "--settings", str(path), "--port", "0", "--json"]
        yield Stage(cluster, stack.enter_context(_started("the server", command, folder)), stack)


def at_the_twin(settings: str, kubeconfig: Path, data: Path) -> str:
    """Return the settings of a real cluster, bound to the twin instead: three values differ."""
    for real, here in (
        ('kubeconfig = "~/.kube/config"', f"kubeconfig = {json.dumps(str(kubeconfig))}"),
        ('data = "temper-data"', f"data = {json.dumps(str(data))}"),
        ('poll = "1s"', 'poll = "50ms"'),
    ):
        assert real in settings, f"the settings of Helix say {real}"
        settings = settings.replace(real, here)
    return settings


def _twin_command() -> list[str]:
    pace = ["--ready-after", "0.55", "--end-after", "0.25", "--observe-after", "0.05"]
    what = ["--name", CLUSTER, "--namespace", NAMESPACE, "--replicas", str(BROKERS), "--image", "helix:v1"]
    return [sys.executable, "-m", "temper.cli.twin", *what, *pace]


class _Said:
    """The lines of JSON that a process prints, as they come."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], complaints: Path) -> None:
        self._name = name
        self._process = process
        self._complaints = complaints
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self) -> dict[str, Any]:
        """Return the next line. Stops with what the process complained of, where none comes."""
        try:
            line = self._lines.get(timeout=START_SECONDS)
        except queue.Empty:
            line = b""
        if not line:
            complaint = self._complaints.read_text("utf-8", "replace").strip()
            raise Stop(Exit.UNREACHABLE, f"{self._name} did not start\n{complaint}".rstrip())
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """Let go of the process, which has ended."""
        assert self._process.stdout is not None, "it is a pipe"
        self._reader.join(END_SECONDS)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None, "it is a pipe"
        # To the end, so that the process never waits for us to read.
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


@contextmanager
def _started(name: str, command: list[str], folder: Path) -> Iterator[_Said]:
    complaints = folder / f"{name.removeprefix('the ')}.log"
    # A session of its own, so that Ctrl-C reaches us alone and the end comes in order. What the caller's shell says of
    # servers and tokens is about theirs.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TEMPER_")}
    with complaints.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own modules, and nothing that anybody else gave
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    said = _Said(name, process, complaints)
    try:
        yield said
    finally:
        _end(process)
        said.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None, "it is a pipe"
    process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
