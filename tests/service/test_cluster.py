"""Servers of one PostgreSQL, as real processes: killed, frozen, cut off from their database, with clients on them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runtime.postgres import Server, cluster
from tests.service.servers import Clients, Reader, Servers, audit

# How long clients go on around each trouble; for whoever is hunting: `TEMPER_CLUSTER_SECONDS=60`.
SECONDS = float(os.environ.get("TEMPER_CLUSTER_SECONDS", "1"))
ANSWERS = 20
ACCOUNTS, BALANCE = 12, 50


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """A PostgreSQL that syncs what it commits."""
    with cluster("max_connections=300") as server:
        yield server


Trouble = Callable[[Clients, Server], None]


def kill_one(clients: Clients, _: Server) -> None:
    servers = clients.servers
    servers.all[1].kill()
    clients.go_on(ANSWERS, SECONDS)
    servers.again(1)
    servers.all[0].kill()
    clients.go_on(ANSWERS, SECONDS)
    servers.again(0)


def freeze_one(clients: Clients, _: Server) -> None:
    frozen = clients.servers.all[1]
    frozen.signal(signal.SIGSTOP)
    clients.go_on(ANSWERS, 4.5)
    frozen.signal(signal.SIGCONT)


def restart_database(_: Clients, database: Server) -> None:
    database.kill()
    time.sleep(1)
    database.start()


@pytest.mark.parametrize(
    ("number", "trouble"),
    [
        pytest.param(2, kill_one, id="killed"),
        pytest.param(3, freeze_one, id="frozen past its lease"),
        pytest.param(2, restart_database, id="database killed"),
    ],
)
def test_what_was_answered_is_there_once_and_in_order(
    tmp_path: Path, database: Server, number: int, trouble: Trouble
) -> None:
    database.create(trouble.__name__)
    url = database.url.replace("/postgres", f"/{trouble.__name__}")
    hold(tmp_path, url, number, lambda clients: trouble(clients, database))


def test_a_standby_that_takes_over_has_all_that_was_answered(tmp_path: Path) -> None:
    """Clients see a pause while the primary is gone and its standby is promoted; nothing is lost or done twice."""
    with cluster("max_connections=100") as primary, tempfile.TemporaryDirectory(prefix="temper-postgres-") as other:
        standby = primary.standby(Path(other))
        try:

            def fail_over(_: Clients) -> None:
                primary.kill()
                standby.promote()

            url = f"postgresql://temper@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"
            hold(tmp_path, url, 2, fail_over)
        finally:
            standby.stop()


HOOKS = """
[secrets]
sender = { file = "sender" }

[webhooks.closing]
secret = "sender"
blueprint = "bank"
entity = "Account"
action = "Close"
id = "account"
principal = "sender"
roles = ["clerk"]

[webhooks.closing_too]
scheme = "github"
secret = "sender"
blueprint = "bank"
entity = "Account"
action = "Close"
id = "account"
principal = "sender"
roles = ["clerk"]
"""
SECRET = "what the sender knows"


def test_a_delivery_may_come_to_any_server_and_is_taken_once(tmp_path: Path, database: Server) -> None:
    """Whoever decides for its entity is handed it, with what it was signed by; a copy at another server is known."""
    database.create("hooks")
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "sender").write_text(f"{SECRET}\n")
    servers = Servers(tmp_path, database.url.replace("/postgres", "/hooks"), 2, more=HOOKS)
    try:
        clients = Clients(servers)
        clients.open_accounts(ACCOUNTS, BALANCE)
        with servers.client() as client:
            for number, account in enumerate(clients.accounts):
                hook = ("closing", "closing_too")[number // 2 % 2]
                told = []
                for server in (servers.all[number % 2], servers.all[1 - number % 2]):
                    content, head = delivery(hook, account)
                    forged = client.post(f"{server.url}/hooks/{hook}", content=content + b" ", headers=head)
                    assert forged.status_code == 401
                    answer = client.post(f"{server.url}/hooks/{hook}", content=content, headers=head)
                    told.append((answer.status_code, answer.json()))
                assert told == [(200, {"taken": True, "replayed": again}) for again in (False, True)]
                shown = client.get(f"{servers.all[0].url}/v1/bank/Account/{account}").json()
                assert (shown["state"], shown["version"]) == ("Closed", 2)
    finally:
        servers.end()


def delivery(hook: str, account: str) -> tuple[bytes, dict[str, str]]:
    """A delivery as its sender sends it, also when it comes again: what is signed is the same."""
    content = json.dumps({"account": account}).encode()
    if hook == "closing_too":
        signed = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
        return content, {"X-Hub-Signature-256": f"sha256={signed}"}
    at = str(int(time.time()))
    signed = hmac.new(SECRET.encode(), f"{at}.{account}.".encode() + content, hashlib.sha256).hexdigest()
    return content, {"Temper-Timestamp": at, "Temper-Delivery": account, "Temper-Signature": f"v1={signed}"}


def hold(folder: Path, url: str, number: int, trouble: Callable[[Clients], None]) -> None:
    servers = Servers(folder, url, number)
    try:
        clients = Clients(servers)
        clients.open_accounts(ACCOUNTS, BALANCE)
        reader = Reader(servers)
        clients.start(6)
        clients.go_on(ANSWERS, SECONDS)
        trouble(clients)
        clients.go_on(ANSWERS, SECONDS)
        clients.stop()
        entries = audit(clients, servers.all[-1].url, ACCOUNTS * BALANCE)
        reader.stop(len(entries))
        followed = [(one["id"], one["seq"]) for one in reader.entries]
        assert len(set(followed)) == len(followed), "the stream told something twice"
        assert sorted(followed) == sorted((one["id"], one["seq"]) for one in entries)
    finally:
        servers.end()
