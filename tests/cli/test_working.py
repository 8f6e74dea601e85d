"""Commands about living entities and about what is in force, each against a server that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run import keys, same, temper
from tests.cli.server_process import RunningServer, running_server

ADMIN = ("administrator",)
ANN = ("ann", "requester")
BOB = ("bob", "approver")
MAX = ("max", "requester", "approver")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle in `gate`."""
    folder = tmp_path_factory.mktemp("working")
    assert temper("new", "gate", folder=folder).code == 0
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    """A server of that bundle: `open` waits for somebody, `done` is approved, and `quiet` too, which is only read."""
    with running_server("gate", folder=folder) as server:
        for id in ("open", "done", "quiet"):
            assert server.run("act", "gate/Request", "Ask", f"id={id}", "what=a disk", as_=ANN).code == 0
            if id != "open":
                assert server.run("act", f"gate/Request/{id}", "Approve", as_=BOB).code == 0
        yield server


@pytest.mark.parametrize(
    ("who", "words", "code", "says"),
    [
        # Reading.
        (ANN, "show", 0, "gate       1"),
        (ANN, "show gate", 0, "Approve by approver from Open to Approved"),
        (ANN, "show gate/Request", 0, "done   Approved"),
        (ANN, "show gate/Request --count", 0, "in all"),
        (ANN, "show gate/Request --limit 1 --sort id", 0, "more: --cursor "),
        (ANN, "show gate/Request/done", 0, "asked_by:    ann"),
        (ANN, "show gate/Request/done --at 2", 0, "done  Open  version 1"),
        (ANN, "show gate/Request/done --at 3", 0, "done  Approved  version 2"),
        (ANN, "show gate/Request/done --at 1", 2, "there was no Request `done` at 1"),
        (ANN, "show gate/Request --at 3 --limit 5", 0, "Approved"),
        (ANN, "show gate --at 3", 2, "only entities are shown as they were"),
        (ANN, "now gate/Request", 0, "yes  Ask(what) -> Open"),
        (ANN, "now gate/Request/open", 0, "yes  Withdraw -> Withdrawn"),
        (ANN, "now gate/Request/open", 0, "no   Approve -> Approved: `Approve` is by `approver`"),
        (ANN, "history gate/Request/done", 0, "bob as approver: Approve, Open -> Approved"),
        (ANN, "history gate/Request/done --after 1", 0, "bob as approver: Approve"),
        (BOB, "why gate/Request/open Approve", 0, "it would be taken"),
        (BOB, "why gate/Request/open Approve", 0, "asked_by is ann"),
        (ANN, "why gate/Request Ask what=x", 0, "it would be taken"),
        (BOB, "act gate/Request/open Approve --dry-run", 0, "it would be taken"),
        # Refused.
        (ANN, "why gate/Request/done Withdraw", 1, "it would be refused"),
        (MAX, "act gate/Request/done Withdraw", 1, "which is final"),
        (ANN, "act gate/Request/open Approve", 1, "possible now: Withdraw"),
        (ANN, "act gate/Request/open Approve --dry-run", 1, "it would be refused"),
        (BOB, "act gate/Request/open Approve --if-version 7", 1, "it is at version 1"),
        (ANN, "act gate/Request Ask what=x id=open", 1, "there is a Request `open` already"),
        (ANN, "push gate", 1, "only an administrator may push"),
        (ANN, "token list", 1, "only an administrator may list tokens"),
        # Bad input.
        (ANN, "show nowhere", 2, "there is no blueprint `nowhere`"),
        (ANN, "show gate/Rquest", 2, "did you mean `Request`?"),
        (ANN, "show gate/Request/nobody", 2, "there is no Request `nobody`"),
        (ANN, "show gate/Request --filter state==Open", 2, "cannot be asked"),
        (ANN, "show gate/Request --sort wat", 2, "wat"),
        (ANN, "show a/B/c/d", 2, "does not name a target"),
        (ANN, "act gate/Request Ask", 2, "/what is missing"),
        (ANN, "act gate/Request Ask wat=x", 2, "did you mean `what`?"),
        (ANN, "act gate/Request Ask what", 2, "`what` is no parameter"),
        (ANN, "act gate/Request Ask what:=x", 2, "is not JSON"),
        (ANN, "act gate/Request Ask what:=3", 2, "/what"),
        (ANN, "act gate/Request/open Aprove", 2, "did you mean `Approve`?"),
        (ANN, "history gate/Request", 2, "does not name a target"),
        (ADMIN, "token revoke nobody", 2, "there is no token `nobody`"),
        (ADMIN, "rollback gate 7", 2, "there is no version 7"),
        (ADMIN, "rollback gate", 2, "there is no earlier version"),
        (ADMIN, "versions nowhere", 2, "there is no blueprint `nowhere`"),
        (ADMIN, "versions gate --server nowhere", 2, "`nowhere` is no server's address"),
        (ADMIN, "versions gate --token-file nowhere", 2, "cannot be read"),
        (ADMIN, "versions gate", 0, "from gate"),
        # Nobody there. Port 1 is nobody's.
        (ANN, "show --server http://127.0.0.1:1", 4, "no server answers at http://127.0.0.1:1"),
    ],
)  # fmt: skip
def test_a_command_ends(
    server: RunningServer, folder: Path, who: tuple[str, ...], words: str, code: int, says: str
) -> None:
    """One row, one command by somebody: its exit code, and something that it says. Nothing here changes anything."""
    ran = server.run(
        *(str(folder / word) if word == "gate" and words.startswith("push") else word for word in words.split()),
        as_=who,
    )
    assert ran.code == code, ran
    assert says in ran.out + ran.err, ran


CALLERS_TOKEN = "the token is unknown, expired or revoked"


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({}, "there is no token"),
        ({"TEMPER_TOKEN": "temper_nobody_nothing"}, CALLERS_TOKEN),
    ],
)
def test_without_a_token_there_is_nothing(server: RunningServer, env: dict[str, str], says: str) -> None:
    """Not even reading."""
    ran = temper("show", env={"TEMPER_SERVER": server.url, **env})
    assert ran.code == 2, ran
    assert says in ran.err


ENTITY = "created_at, entity, fields, final, id, state, updated_at, version"
OPEN = ENTITY.replace("final, ", "")
CHANGES = "changes[kind, strength, text]"


@pytest.mark.parametrize(
    ("who", "words", "expected"),
    [
        (ANN, "show", "items[at, blueprint, by, current, digest, note, number]"),
        (ANN, "show gate", """
            description, digest, entities[
              actions[acts, by, callable, creates, description, froms, name, params,
                place(column, end_column, end_line, file, line, text), to],
              description, fields, final, name, states
            ], events, name, records, roles, tools, version"""),
        (ANN, "show gate/Request --filter decided_by!=none", f"count, cursor, items[{ENTITY}]"),
        (ANN, "show gate/Request/done", ENTITY),
        (ANN, "now gate/Request/done", """
            items[action, clause(column, end_column, end_line, file, line, text), status, text, to, why]"""),
        (BOB, "why gate/Request/open Approve", f"""
            action, clauses[holds, kind, place(column, end_column, end_line, file, line, text), text, values],
            result(action, after, before, changed, dry_run, entity({ENTITY})), would"""),
        (ANN, "history gate/Request/quiet", """
            items[action, actor, after, at, before, cause, changed, entity, how, id, params, principal, roles, seq,
              table, table_version, text, version]"""),
        (ADMIN, "versions gate", "items[at, by, current, digest, note, number]"),
        (ADMIN, "token list", "items[admin, created_at, id, last_used_at, principal, roles]"),
        (ADMIN, "token make eva --role requester --acts-for bob --ttl 1h", """
            info(acts_for, created_at, expires_at, id, principal, roles), token"""),
        # Problems are data too.
        (ANN, "act gate/Request/done Withdraw", """
            clause(column, end_column, end_line, file, line, text), clause_text, detail, status, title, type,
            why"""),
        (ANN, "act gate/Request Ask", "detail, errors[message, path], status, title, type"),
        (ANN, "show --server http://127.0.0.1:1", "detail, error, server"),
        (ANN, "show a/B/c/d", "error, help"),
    ],
)  # fmt: skip
def test_json_has_stable_keys(server: RunningServer, who: tuple[str, ...], words: str, expected: str) -> None:
    """What the blueprint names (fields, parameters) is left out."""
    theirs = frozenset({"fields", "params", "changed", "values"})
    ran = server.run(*words.split(), "--json", as_=who)
    assert keys(ran.json, but=theirs) == same(expected)


def test_an_entity_goes_its_way(server: RunningServer) -> None:
    """Created, asked for twice with one key, and moved on: the text of each step."""
    ask = ("act", "gate/Request", "Ask", "--key", "k1", "id=way", "what=a desk")
    assert server.run(*ask, as_=ANN).out.splitlines()[:2] == ["Request way: Ask, new -> Open", "  what: a desk"]
    assert server.run(*ask, as_=ANN).out.startswith("Request way: Ask, new -> Open (done before)")
    done = server.run("act", "gate/Request/way", "Approve", "--if-version", "1", as_=BOB)
    assert done.out == "Request way: Approve, Open -> Approved\n  decided_by: none -> bob\n"
    told = [line.split("  ", 1)[1] for line in server.run("history", "gate/Request/way", as_=ANN).out.splitlines()]
    assert told == [
        'v1  ann as requester: Ask(what: "a desk"), new -> Open  [what: a desk, asked_by: ann]',
        "v1  bob as approver: Approve, Open -> Approved  [decided_by: none -> bob]",
    ]


def test_a_history_is_followed_as_it_is_made(server: RunningServer) -> None:
    """What is there comes first, then what happens, in JSON one object a line."""
    server.run("act", "gate/Request", "Ask", "id=followed", "what=x", as_=ANN)
    command = [sys.executable, "-m", "temper", "history", "gate/Request/followed", "--follow", "--json"]
    env = {"TEMPER_SERVER": server.url, "TEMPER_TOKEN": server.token_of(*ANN), "PATH": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["action"] == "Ask"
        # It listens from what it has read on, so that it is no matter when it begins to.
        server.run("act", "gate/Request/followed", "Withdraw", as_=ANN)
        assert json.loads(process.stdout.readline())["action"] == "Withdraw"
        process.terminate()


def test_a_token_is_printed_alone(server: RunningServer) -> None:
    """So that `TOKEN=$(temper token make ...)` holds it; what is said of it goes elsewhere."""
    ran = server.run("token", "make", "dan", "--role", "requester")
    assert ran.out.startswith("temper_")
    assert len(ran.out.split()) == 1
    assert "of dan (requester); it is shown once" in ran.err
    assert temper("show", env={"TEMPER_SERVER": server.url, "TEMPER_TOKEN": ran.out.strip()}).code == 0
    revoked = server.run("token", "revoke", ran.err.split()[1])
    assert revoked.out.endswith("of dan is revoked\n")
    assert temper("show", env={"TEMPER_SERVER": server.url, "TEMPER_TOKEN": ran.out.strip()}).code == 2


def test_a_token_comes_from_a_file(server: RunningServer, tmp_path: Path) -> None:
    """Where an environment is too public for it."""
    (tmp_path / "token").write_text(f"{server.token}\n")
    ran = temper("versions", "gate", "--token-file", str(tmp_path / "token"), "--server", server.url)
    assert ran.code == 0, ran


def test_a_blueprint_changes_while_it_is_served(server: RunningServer, tmp_path: Path) -> None:
    """Plan, push, push again, list, roll back: what each says."""
    temper("new", "door", folder=tmp_path)
    path = tmp_path / "door" / "door.blueprint"
    text = path.read_text()
    plan = server.run("plan", str(path))
    assert plan.out.startswith("door: from nothing to ")
    assert plan.out.endswith("it can be pushed\n")
    assert server.run("push", str(path), "--if-version", "1").code == 1
    assert server.run("push", str(path), "--if-version", "0", "--note", "first").out.startswith("door: version 1 (")
    assert server.run("push", str(path)).out.endswith("is in force already\n")

    server.run("act", "door/Request", "Ask", "id=d1", "what=x", as_=ANN)
    path.write_text(text.replace("when caller.acts_for != asked_by", 'when caller.acts_for != asked_by and what != ""'))
    was = "caller.acts_for != asked_by"
    stricter = f'`Request.Approve` needs `{was} and what != ""`; it was `{was}` (stronger)'
    plan = server.run("plan", str(path))
    assert plan.code == 0, plan
    assert plan.out.splitlines()[1:] == [f"  ~ {stricter}", "  alive: 1 Request.Open", "it can be pushed"]
    assert stricter in server.run("push", str(path), "--note", "words").out
    assert "nothing changes" in server.run("plan", str(path)).out

    back = server.run("rollback", "door", "--note", "no words", "--json").json
    assert (back["version"], back["changes"][0]["strength"]) == (3, "weaker")
    listed = server.run("versions", "door", "--json").json["items"]
    assert [(each["number"], each["note"]) for each in listed] == [(3, "no words"), (2, "words"), (1, "first")]
    assert listed[0]["digest"] == listed[2]["digest"]


def test_what_cannot_be_pushed_changes_nothing(server: RunningServer, tmp_path: Path) -> None:
    """Broken here, broken by the verifier's word, or with no place for somebody who is alive."""
    temper("new", "hall", folder=tmp_path)
    path = tmp_path / "hall" / "hall.blueprint"
    text = path.read_text()
    server.run("push", str(path))
    server.run("act", "hall/Request", "Ask", "id=h1", "what=x", as_=ANN)

    path.write_text(text.replace("from Open to Approved", "from Open to Aproved"))
    ran = server.run("push", str(path))
    assert ran.code == 1
    assert "was not sent" in ran.err
    assert f"{path}:18" in ran.err, "the place is one that a terminal can open"
    assert server.run("push", str(path), "--json").json["findings"][0]["code"] == "B101"

    path.write_text(text.replace("    set decided_by = caller.acts_for\n\n  action Reject", "\n  action Reject"))
    for command, stream in (("plan", "out"), ("push", "err")):
        ran = server.run(command, str(path))
        assert ran.code == 1, ran
        assert "always state is Approved implies decided_by" in getattr(ran, stream)
    assert "broken: Request: always state is Approved implies decided_by" in ran.err
    assert ran.err.count("implies decided_by") == 1

    waiting = text.replace("states Open,", "states Open, Parked,").replace("from new to Open", "from new to Parked")
    waiting = (
        waiting.replace("from Open", "from Parked").replace("Open, Parked", "Parked").replace("-> Open", "-> Parked")
    )
    path.write_text(waiting)
    for command, stream in (("plan", "out"), ("push", "err")):
        ran = server.run(command, str(path))
        assert ran.code == 1, ran
        assert getattr(ran, stream).count("h1 in Open") == 1
        assert "0 Request" not in ran.out, "nobody is carried over"
    assert "`upgrade`" in ran.err

    assert len(server.run("versions", "hall", "--json").json["items"]) == 1
    assert server.run("act", "hall/Request/h1", "Withdraw", as_=ANN).code == 0
