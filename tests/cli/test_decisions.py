"""Approvals and pauses from the command line, against a server that runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.run import Ran
from tests.cli.server_process import RunningServer, running_server
from tests.service.office import SHIP

ANN = ("ann", "builder")
EVE = ("eve", "builder")
MAX = ("max", "manager")
SETTINGS = '[push]\nlevels = ["algebra"]\nallow_unknown = true\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("office")
    (folder / "ship").mkdir()
    for name, text in SHIP.items():
        (folder / "ship" / name).write_text(text)
    (folder / "temper.toml").write_text(SETTINGS)
    with running_server("ship", folder=folder) as running:
        yield running


def made(server: RunningServer, id: str) -> str:
    ran = server.run("act", "ship/Release", "Make", f"id={id}", as_=ANN)
    assert ran.code == 0, ran.err
    return f"ship/Release/{id}"


def asked(server: RunningServer, target: str, by: int = 1) -> str:
    ran = server.run("act", target, "Move", f"by_:={by}", "--json", as_=EVE)
    assert ran.code == 1
    decision: str = ran.json["decision"]
    return decision


def narrow(ran: Ran) -> Ran:
    """Hold that it fits a terminal."""
    assert max(map(len, ran.out.splitlines()), default=0) <= 80, ran.out
    return ran


def test_a_request_is_asked_for_seen_and_approved(server: RunningServer) -> None:
    target = made(server, "r1")
    refused = server.run("act", target, "Move", "by_:=3", as_=EVE)
    assert refused.code == 1
    assert "somebody has to approve it, and nothing was done" in refused.err
    id = asked(server, target, 3)
    assert f"help: `temper decisions {id}` tells more; whoever may answer it does so there" in refused.err
    listed = narrow(server.run("decisions", as_=MAX))
    first, second = listed.out.splitlines()
    assert first.startswith(f"{id}  Pending, until ")
    assert first.endswith("Z  yours to answer")
    assert second == "  eve asks for Move on ship/Release/r1"
    shown = narrow(server.run("decisions", id, as_=MAX)).out
    for line in (
        f"{id}  Pending, until ",
        "  what      Move on ship/Release/r1",
        "  with      by_: 3",
        "            moves: 0 -> 3",
        f"answer it with `temper decisions {id}` and",
        "  --grant\n      eve has Move done on Release r1, once and now",
        "  --grant --scope action [--for 1h] [--uses 1] [--keep]\n      that, and eve may Move any Release, with any",
        "  --deny [--reason TEXT]\n      nothing is done, and eve can see why",
    ):
        assert line in shown
    assert "answer it with" not in server.run("decisions", id, as_=EVE).out
    assert server.run("decisions", id, "--grant", as_=EVE).code == 1
    granted = narrow(server.run("decisions", id, "--grant", "--reason", "seen", as_=MAX))
    assert granted.code == 0
    assert "  answered  by max: seen\n  outcome   Release r1: Ready -> Ready, entry" in granted.out
    assert server.run("decisions", id, "--deny", as_=MAX).code == 1
    assert server.run("decisions", as_=MAX).out == "nothing waits for an answer\n"
    assert f"{id}  CarriedOut" in server.run("decisions", "--state", "all", as_=EVE).out
    assert "max as manager, asked by eve: Move(by_: 3)" in server.run("history", target, as_=ANN).out


def test_no_text_of_whoever_asks_steers_the_terminal_of_whoever_answers(server: RunningServer) -> None:
    target = made(server, "r7")
    bot = server.run("token", "make", "bot", "--role", "builder", "--acts-for", "ann", "--json")
    server.tokens["bot",] = bot.json["token"]
    hostile = "fine \x1b[2J\u202enimda\x9b\x7f\u2066"
    ran = server.run("act", target, "Promote", f"notes={hostile}", "--json", as_=("bot",))
    id = ran.json["decision"]
    shown = server.run("decisions", id, as_=MAX).out
    assert "fine \\u001b[2J\\u202enimda\\u009b\\u007f\\u2066" in " ".join(shown.split())
    granted = server.run("decisions", id, "--grant", "--reason", hostile, as_=MAX)
    assert granted.code == 0
    outs = [shown, granted.out, server.run("show", target, as_=MAX).out, server.run("history", target, as_=MAX).out]
    for out in outs:
        assert not set(out) & set("\x1b\u202e\x9b\x7f\u2066"), out
    assert server.run("show", target, "--json", as_=MAX).json["fields"]["notes"] == hostile


def test_what_ends_with_a_token_and_a_session_is_said(server: RunningServer) -> None:
    target = made(server, "r8")
    started = server.run("session", "start", "late", "--json", as_=EVE).json
    session, server.tokens["eve#late",] = started["info"]["id"], started["token"]
    waiting = server.run("act", target, "Move", "by_:=1", "--json", as_=("eve#late",)).json["decision"]
    ended = narrow(server.run("session", "end", session, as_=EVE)).out
    assert ended == f"session {session} of eve#late has ended\n1 decision ended with it: {waiting}\n"
    leaked = server.run("token", "make", "mia", "--role", "manager", "--json").json
    server.tokens["mia",] = leaked["token"]
    given = server.run("decisions", asked(server, target), "--grant", "--scope", "entity", "--json", as_=("mia",)).json
    revoked = narrow(server.run("token", "revoke", leaked["info"]["id"])).out
    assert revoked.endswith(f"\n1 grant ended with it: {given['grant']}\n")


def test_a_grant_is_listed_used_and_revoked(server: RunningServer) -> None:
    target = made(server, "r2")
    id = asked(server, target)
    granted = server.run(
        "decisions", id, "--grant", "--scope", "entity", "--for", "2h", "--uses", "2", "--keep", "--json", as_=MAX
    ).json
    assert server.run("act", target, "Move", "by_:=2", as_=EVE).code == 0
    listed = narrow(server.run("grants", "--to", "eve", as_=EVE)).out
    assert listed.startswith(f"{granted['grant']}  1 of 2 left, until ")
    assert listed.splitlines()[0].endswith("Z, across versions")
    assert listed.endswith("  eve may Move ship/Release/r2, granted by max\n")
    assert server.run("grants", "--revoke", granted["grant"], as_=MAX).code == 0
    assert server.run("grants", as_=MAX).out == "nothing is granted\n"
    asked(server, target, 4)


@pytest.mark.parametrize(
    "words",
    [
        ("decisions", "--grant"),
        ("decisions", "d", "--deny", "--scope", "entity"),
        ("decisions", "d", "--grant", "--uses", "3"),
        ("decisions", "d", "--grant", "--keep"),
        ("decisions", "d", "--grant", "--deny"),
        ("pause", "principal", "bot"),
        ("pause", "planet", "mars", "--reason", "why"),
    ],
)
def test_what_makes_no_sense_is_not_asked(server: RunningServer, words: tuple[str, ...]) -> None:
    assert server.run(*words, as_=MAX).code == 2


def test_who_is_paused_hears_why_until_it_is_lifted(server: RunningServer) -> None:
    target = made(server, "r3")
    paused = server.run("pause", "principal", "eve", "--reason", "it loops", "--for", "1h")
    assert paused.code == 0
    id = paused.out.rsplit(" ", 1)[1].strip()
    assert paused.out.startswith("paused principal eve until ")
    refused = server.run("act", target, "Touch", as_=EVE)
    assert refused.code == 1
    assert "the principal `eve` is paused by `administrator`, until " in refused.err
    assert f"temper resume {id}" in refused.err
    listed = narrow(server.run("pauses")).out
    assert f"{id}  principal eve, until " in listed
    assert "\n  by administrator: it loops\n" in listed
    assert server.run("pauses", as_=MAX).code == 1
    assert server.run("resume", id).out == "principal eve goes on\n"
    assert server.run("pauses").out == "nothing is paused\n"
    assert server.run("act", target, "Touch", as_=EVE).code == 0


def test_who_asks_waits_and_withdraws(server: RunningServer) -> None:
    target = made(server, "r4")
    id = asked(server, target)
    assert "Pending" in server.run("decisions", id, "--wait", "1s", as_=EVE).out
    assert "Withdrawn" in server.run("decisions", id, "--withdraw", as_=EVE).out
