"""A canary as an operator meets it: started, looked at, withdrawn and promoted; the server is killed at each stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.run import temper
from tests.cli.server_process import SECONDS, RunningServer, running_server
from tests.service.test_canary import NEW, OLD

ANN = ("ann", "clerk")


@contextmanager
def killed(folder: Path, token: str = "") -> Iterator[RunningServer]:
    """A server that is killed in the end."""
    with running_server(folder=folder) as server:
        server.token = server.token or token
        yield server
        server.process.kill()
        server.process.wait(SECONDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.blueprint").write_text(OLD)
    (tmp_path / "new.blueprint").write_text(NEW)
    return tmp_path


def state(server: RunningServer, id: str) -> tuple[str, int | None]:
    shown = server.run("show", f"desk/Ticket/{id}", "--json", as_=ANN).json
    return shown["state"], shown["fields"].get("priority")


def test_each_stage_outlives_a_kill(folder: Path) -> None:
    old, new = str(folder / "old.blueprint"), str(folder / "new.blueprint")
    with killed(folder) as server:
        token = server.token
        assert server.run("push", old).code == 0
        assert server.run("act", "desk/Customer", "Join", "id=c", "name=c", as_=ANN).code == 0
        assert server.run("act", "desk/Ticket", "Ask", "id=t1", "customer=c", "text=a", as_=ANN).code == 0
        assert server.run("canary", "desk").err.startswith("error: `desk` has no canary")
        started = server.run("canary", "desk", "--start", new, "--named", "Ticket/new")
        assert started.code == 0, started
        assert started.out.splitlines()[0].startswith("desk: version 2 is version 1 with a canary on ")
        assert started.out.splitlines()[2:] == ["  and Ticket/new", "  alive in it: nobody yet"]
        assert server.run("act", "desk/Ticket", "Ask", "id=new", "customer=c", "text=b", as_=ANN).code == 0
    with killed(folder, token) as server:
        assert server.run("canary", "desk").out.splitlines()[-1] == "  alive in it: 1 Ticket.Open"
        assert (state(server, "t1"), state(server, "new")) == (("Open", None), ("Open", 0))
        assert server.run("act", "desk/Ticket/new", "Escalate", "by_how_much=4", as_=ANN).code == 0
        assert server.run("act", "desk/Ticket/t1", "Escalate", "by_how_much=4", as_=ANN).code != 0
        refused = server.run("canary", "desk", "--withdraw")
        assert refused.code == 1
        assert "Ticket new in Urgent" in refused.err
    with killed(folder, token) as server:
        assert state(server, "new") == ("Urgent", 4)
        assert server.run("act", "desk/Ticket/new", "Calm", as_=ANN).code == 0
        assert server.run("canary", "desk", "--withdraw").code == 0
    with killed(folder, token) as server:
        assert (state(server, "t1"), state(server, "new")) == (("Open", None), ("Open", None))
        (folder / "new.blueprint").write_text(NEW.replace("upgrade from 1", "upgrade from 3"))
        assert server.run("canary", "desk", "--start", new, "--share", "100%").code == 0
        assert server.run("act", "desk/Ticket", "Ask", "id=t2", "customer=c", "text=c", as_=ANN).code == 0
        assert server.run("canary", "desk", "--promote").code == 0
    with killed(folder, token) as server:
        assert [state(server, id) for id in ("t1", "new", "t2")] == [("Open", 1), ("Open", 1), ("Open", 0)]
        assert server.run("canary", "desk", "--json").json["type"] == "/problems/not-found"
    audited = temper("audit", "desk", "--data", str(folder / "temper-data"))
    assert audited.code == 0, audited


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("desk", "--start", "old.blueprint", "--share", "some"), "`some` is no share"),
        (("office", "--start", "old.blueprint", "--share", "5%"), "is the blueprint `desk`, not `office`"),
        (("desk", "--promote", "--withdraw"), "not allowed with argument"),
    ],
)
def test_what_makes_no_sense_is_not_sent(folder: Path, words: tuple[str, ...], says: str) -> None:
    ran = temper("canary", *words, folder=folder, env={"TEMPER_TOKEN": "none", "TEMPER_SERVER": "http://127.0.0.1:9"})
    assert ran.code == 2
    assert says in ran.err
