"""A server that is killed while decisions are granted: what was granted is done, once; the rest waits."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.cli.server_process import SECONDS, RunningServer, running_server
from tests.service.office import SHIP

ADMIN, ANN, EVE, MAX = ("administrator",), ("ann", "builder"), ("eve", "builder"), ("max", "manager")
SETTINGS = '[push]\nlevels = ["algebra"]\nallow_unknown = true\n\n[limits]\ndecisions = 64\n'
REQUESTS = 24


@contextmanager
def client(server: RunningServer, who: tuple[str, ...]) -> Iterator[httpx2.Client]:
    head = {"Authorization": f"Bearer {server.token_of(*who)}"}
    with httpx2.Client(base_url=server.url, headers=head, timeout=10, trust_env=False) as made:
        yield made


def decide(server: RunningServer, decisions: list[str], heard: dict[str, str]) -> None:
    """Grant one after the other, until the server is gone."""
    with client(server, MAX) as max_:
        for id in decisions:
            try:
                answer = max_.post(f"/v1/decisions/{id}", json={"answer": "grant"})
            except httpx2.HTTPError:
                return
            if answer.status_code == 200:
                heard[id] = answer.json()["state"]


# Milliseconds after the first answer: within a grant, or between what it does and its being noted.
@pytest.mark.parametrize("after_ms", [0, 3, 11, 29])
def test_what_is_granted_is_done_once_whenever_the_server_is_killed(tmp_path: Path, after_ms: int) -> None:
    (tmp_path / "ship").mkdir()
    for name, text in SHIP.items():
        (tmp_path / "ship" / name).write_text(text)
    (tmp_path / "temper.toml").write_text(SETTINGS)
    decisions: dict[str, str] = {}
    heard: dict[str, str] = {}
    with running_server("ship", folder=tmp_path) as server:
        with client(server, ANN) as ann, client(server, EVE) as eve:
            for n in range(REQUESTS):
                assert ann.post("/v1/ship/Release", json={"id": f"r{n}"}).status_code == 201
                refused = eve.post(f"/v1/ship/Release/r{n}/Move", json={"by_": 1})
                decisions[refused.json()["decision"]] = f"r{n}"
        granting = threading.Thread(target=decide, args=(server, list(decisions), heard))
        server.token_of(*MAX)
        granting.start()
        end = time.monotonic() + SECONDS
        while not heard and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(after_ms / 1000)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(SECONDS)
        granting.join(SECONDS)
        token, tokens = server.token, server.tokens
    assert heard, "it was killed before anything was granted"
    with running_server(folder=tmp_path) as server:
        server.token, server.tokens = token, tokens
        with client(server, MAX) as max_:
            found = {id: settled(max_, id) for id in decisions}
            for id, entity in decisions.items():
                moves = max_.get(f"/v1/ship/Release/{entity}").json()["fields"]["moves"]
                history = max_.get(f"/v1/ship/Release/{entity}/history").json()["items"]
                taken = [each for each in history if each["action"] == "Move" and each["how"] == "taken"]
                assert (moves, len(taken)) == ((1, 1) if found[id] == "CarriedOut" else (0, 0)), (id, found[id])
                assert [each["consent"]["decision"] for each in taken] in ([], [id])
    assert set(found.values()) <= {"CarriedOut", "Pending"}
    for id, state in heard.items():
        assert state in ("CarriedOut", "Granted") and found[id] == "CarriedOut", "it was answered, and is lost"


def settled(max_: httpx2.Client, id: str) -> str:
    """Return how a decision stands once nothing of it is under way."""
    end = time.monotonic() + SECONDS
    while (state := str(max_.get(f"/v1/decisions/{id}").json()["state"])) == "Granted":
        assert time.monotonic() < end, f"{id} does not come to its end"
        time.sleep(0.02)
    return state
