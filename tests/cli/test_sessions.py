"""`temper session`, `temper whoami`, and what `temper token` says of a token and can do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run import temper
from tests.cli.server_process import RunningServer, running_server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the module's own."""
    with running_server(folder=tmp_path_factory.mktemp("sessions")) as server:
        yield server


def test_an_agent_gets_a_token_that_is_less(shared: RunningServer) -> None:
    ann = shared.token_of("ann", "requester", "approver")
    env = {"TEMPER_SERVER": shared.url, "TEMPER_TOKEN": ann}
    started = temper(
        "session", "start", "bot", "--role", "requester", "--entity", "gate/Request", "--ttl", "5m", env=env
    )
    assert started.code == 0
    assert "of ann#bot (requester), until" in started.err
    agent = {"TEMPER_SERVER": shared.url, "TEMPER_TOKEN": started.out.strip()}
    me = temper("whoami", env=agent)
    lines = dict(line.split("  ", 1) for line in me.out.splitlines())
    assert {name.strip(): value.strip() for name, value in lines.items() if name.strip() not in ("until", "token")} == {
        "principal": "ann#bot",
        "acts for": "ann",
        "roles": "requester",
        "session": "bot",
        "reaches": "gate/Request",
    }
    assert temper("session", "start", "more", "--role", "approver", env=agent).code == 1
    listed = temper("session", "list", "--json", env=env).json["items"]
    assert [(each["principal"], each["acts_for"]) for each in listed] == [("ann#bot", "ann")]
    ended = temper("session", "end", listed[0]["id"], env=env)
    assert ended.out == f"session {listed[0]['id']} of ann#bot has ended\n"
    assert temper("whoami", env=agent).code == 2
    assert temper("session", "list", env=env).out == "no sessions\n"


def test_who_i_am_is_data_too(shared: RunningServer) -> None:
    me = shared.run("whoami", "--json").json
    assert (me["principal"], me["admin"]) == ("administrator", True)


def test_a_token_is_scoped_rotated_and_listed_in_a_data_folder(tmp_path: Path) -> None:
    words = "--role operator --team core --attribute site=eu --scope helix/Rollout --read-only --ttl 1h --acts-for ann"
    made = temper("token", "make", "robot", *words.split(), "--json", folder=tmp_path).json["info"]
    assert (made["teams"], made["attributes"], made["scope"], made["read_only"]) == (
        ["core"], {"site": "eu"}, ["helix/Rollout"], True,
    )  # fmt: skip
    rotated = temper("token", "rotate", made["id"], "--grace", "10m", folder=tmp_path)
    assert rotated.out.startswith(f"temper_{made['id']}_")
    (head, row) = temper("token", "list", folder=tmp_path).out.splitlines()
    assert head.split() == ["id", "principal", "for", "roles", "scope", "expires", "last", "used"]
    for shown in ("robot", "ann", "operator", "helix/Rollout read-only", "never"):
        assert shown in row
    revoked = temper("token", "revoke", made["id"], folder=tmp_path)
    assert (revoked.code, "asked with --server" in revoked.err) == (0, True)
    assert temper("token", "rotate", made["id"], folder=tmp_path).code == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("make ann#bot", "principal has a `#`"),
        ("make ann --attribute site", "an attribute is `NAME=VALUE`"),
        ("make ann --attribute a=1 --attribute a=2", "each name is given once"),
        ("make ann --scope Helix", "scope `Helix` is not `BLUEPRINT`"),
        ("make ann --team=", "teams are not"),
        ("make ann --ttl soon", "`soon` is no duration"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(tmp_path: Path, words: str, says: str) -> None:
    ran = temper("token", *words.split(), folder=tmp_path)
    assert ran.code == 2
    assert says in ran.err


def test_a_token_is_not_made_for_a_providers_people(tmp_path: Path) -> None:
    (tmp_path / "temper.toml").write_text(
        '[identity.oidc.corp]\nissuer = "https://login.example.com"\naudience = "temper"\n'
    )
    ran = temper("token", "make", "corp:ann", folder=tmp_path)
    assert ran.code == 2
    assert "begins with `corp:`" in ran.err
    assert temper("token", "make", "robot", "--acts-for", "corp:ann", folder=tmp_path).code == 0
