"""A twin as a process, for whatever test needs one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

# Short, so that a rollout of five is over in a fraction of a second; long enough that each phase is seen by a poll.
QUICK = ("--ready-after", "0.06", "--end-after", "0.02", "--observe-after", "0.02", "--seed", "7")


@dataclass(frozen=True, slots=True)
class RunningTwin:
    """A twin that listens."""

    process: subprocess.Popen[bytes]
    url: str
    kubeconfig: str
    token: str
    client: httpx2.Client

    def fault(self, fault: str, **details: Any) -> None:
        """Ask for a fault."""
        answer = self.client.post("/twin/faults", json={"fault": fault, **details})
        assert answer.status_code == 201, answer.text

    def patches(self) -> list[dict[str, Any]]:
        """The patches it has read."""
        found: list[dict[str, Any]] = self.client.get("/twin/log").json()["patches"]
        return found


@contextmanager
def running_twin(*arguments: str) -> Iterator[RunningTwin]:
    """Run a twin while the block lasts; it ends because its standard input does."""
    command = [sys.executable, "-m", "temper.cli.twin", *QUICK, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        token = json.loads(Path(hello["kubeconfig"]).read_text())["users"][0]["user"]["token"]
        with httpx2.Client(
            base_url=hello["url"], headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ) as client:
            yield RunningTwin(process, hello["url"], hello["kubeconfig"], token, client)
        process.stdin.close()
        process.wait(10)
