"""`temper serve`: its start, its watch, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.x509 import UniformResourceIdentifier

from tests.cli.run import temper
from tests.cli.server_process import SECONDS, running_server
from tests.web.authority import Authority


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bundle in `gate`."""
    assert temper("new", "gate", folder=tmp_path).code == 0
    return tmp_path


def test_a_first_start_prints_a_token_and_a_second_does_not(folder: Path) -> None:
    """What was served, and who may ask, is there again; the bundle that is the same is no new version."""
    with running_server("gate", folder=folder) as server:
        assert [each["event"] for each in server.heard] == ["first-token", "pushed", "ready"]
        token = server.token
        server.run("act", "gate/Request", "Ask", "what=x", "id=a1", as_=("ann", "requester"))
    assert server.process.returncode == 0
    with running_server("gate", folder=folder) as server:
        assert [each["event"] for each in server.heard] == ["pushed", "ready"]
        assert server.heard[0]["unchanged"]
        shown = temper("show", "gate/Request/a1", env={"TEMPER_SERVER": server.url, "TEMPER_TOKEN": token})
        assert shown.out.startswith("Request a1  Open  version 1")


def test_a_file_that_changes_is_pushed(folder: Path) -> None:
    """At once when it passes; when it is broken the version in force stays, and the next change is pushed again."""
    path = folder / "gate" / "gate.blueprint"
    text = path.read_text()
    with running_server("gate", "--watch", folder=folder) as server:
        path.write_text(text.replace("somebody else must approve it", "not your own"))
        assert server.event("pushed")["version"] == 2
        path.write_text(text.replace("to Approved", "to Aproved"))
        refused = server.event("not-pushed")
        assert refused["path"] == "gate"
        assert refused["problem"]["findings"][0]["code"] == "B101"
        path.write_text(text)
        assert server.event("pushed")["version"] == 3
        assert len(server.run("versions", "gate", "--json").json["items"]) == 3


def test_a_server_that_is_killed_is_out_of_reach(folder: Path) -> None:
    """Every command says so with exit code 4; one that waits does too."""
    with running_server("gate", folder=folder) as server:
        server.run("act", "gate/Request", "Ask", "what=x", "id=a1", as_=("ann", "requester"))
        env = {"TEMPER_SERVER": server.url, "TEMPER_TOKEN": server.token, "PATH": ""}
        command = [sys.executable, "-m", "temper", "history", "gate/Request/a1", "--follow", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as follower:
            assert follower.stdout is not None
            assert json.loads(follower.stdout.readline())["action"] == "Ask"
            server.process.kill()
            server.process.wait(SECONDS)
            assert follower.wait(SECONDS) == 4
        for words in (
            "show",
            "show gate/Request",
            "versions gate",
            "act gate/Request/a1 Withdraw",
            "token list",
            "push gate",
        ):
            ran = temper(*words.split(), env={**env, "PATH": os.environ["PATH"]}, folder=folder)
            assert ran.code == 4, ran
            assert f"no server answers at {server.url}" in ran.err


@pytest.mark.parametrize(
    ("words", "settings", "says"),
    [
        ("nowhere", "", "there is no file or folder `nowhere`"),
        ("--watch", "", "there is nothing to watch"),
        ("--settings nowhere.toml", "", "nowhere.toml: cannot be read"),
        ("", "[server]\nprot = 1", "server: "),
        ("", "[server\n", "is not TOML"),
        ("", '[push]\nlevels = ["magic"]', "there is no level `magic`"),
        ("", '[tools."a.b"]\nadapter = "htpp"', "did you mean `http`?"),
    ],
)  # fmt: skip
def test_a_server_does_not_start_on_bad_input(folder: Path, words: str, settings: str, says: str) -> None:
    """One row, one reason: exit code 2, and what to mend."""
    (folder / "temper.toml").write_text(settings)
    ran = temper("serve", "--port", "0", *words.split(), folder=folder)
    assert ran.code == 2, ran
    assert says in ran.err


def test_a_broken_bundle_is_not_served(folder: Path) -> None:
    """Exit code 1, with the diagnostic."""
    path = folder / "gate" / "gate.blueprint"
    path.write_text(path.read_text().replace("to Approved", "to Aproved"))
    ran = temper("serve", "gate", "--port", "0", folder=folder)
    assert ran.code == 1, ran
    assert "did you mean `Approved`?" in ran.err


def test_a_failure_is_a_line_like_every_other(folder: Path) -> None:
    """Whoever reads the server's lines learns from one of them that it has failed."""
    path = folder / "gate" / "gate.blueprint"
    path.write_text(path.read_text().replace("to Approved", "to Aproved"))
    ran = temper("serve", "gate", "--port", "0", "--json", folder=folder)
    assert ran.code == 1, ran
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["event"] for each in events] == ["first-token", "failed"]
    assert events[1]["findings"][0]["code"] == "B101"


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    """Exit code 2, and another one is asked for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = temper("serve", "--port", str(port), folder=folder)
    assert ran.code == 2, ran
    assert f"can't listen on 127.0.0.1:{port}" in ran.err
    assert "name another --port" in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_in_order(folder: Path, number: signal.Signals) -> None:
    """With exit code 0, whether it is told to by a service manager or by a person."""
    with running_server(folder=folder) as server:
        server.process.send_signal(number)
        assert server.process.wait(SECONDS) == 0


def test_a_server_speaks_to_people_too(folder: Path) -> None:
    """The token as a line to paste, then where it listens."""
    command = [sys.executable, "-m", "temper", "serve", "gate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip() for _ in range(4)]
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert lines[0] == "this is the first start: the administrator's token is below, and is shown once"
    assert lines[1].startswith("  export TEMPER_TOKEN=temper_")
    assert lines[2].startswith("gate: version 1 (")
    assert lines[3].startswith("serving at http://127.0.0.1:")


def test_tokens_are_made_in_a_data_folder(folder: Path) -> None:
    """On the machine where the data is, nobody has to be asked: what is made there is good at once."""
    assert temper("token", "list", folder=folder).code == 2
    with running_server("gate", folder=folder) as server:
        made = temper("token", "make", "ann", "--role", "requester", "--ttl", "1h", "--json", folder=folder)
        assert made.code == 0, made
        env = {"TEMPER_SERVER": server.url, "TEMPER_TOKEN": made.json["token"]}
        assert temper("act", "gate/Request", "Ask", "what=x", env=env).code == 0
        assert temper("token", "revoke", made.json["info"]["id"], folder=folder).code == 0
        assert temper("act", "gate/Request", "Ask", "what=x", env=env).code == 2
    assert "ann" in temper("token", "list", folder=folder).out


def test_a_token_is_made_where_it_is_said_whatever_the_environment_names(folder: Path) -> None:
    there = {"TEMPER_SERVER": "http://127.0.0.1:9"}
    asked = temper("token", "make", "ann", folder=folder, env=there)
    assert (asked.code, "--data" in asked.err, "--store" in asked.err) == (2, True, True)
    store = temper("token", "make", "ann", "--store", "postgresql://127.0.0.1:9/x", folder=folder, env=there)
    assert (store.code, "TEMPER_TOKEN" in store.err) == (2, False), store


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("make ann --ttl soon", "`soon` is no duration"),
        ("make ann --role Requester", "role"),
        ("revoke nobody", "there is no token"),
    ],
)
def test_a_token_is_not_made_of_bad_input(folder: Path, words: str, says: str) -> None:
    """One row, one reason: exit code 2."""
    temper("token", "make", "eva", "--admin", folder=folder)
    ran = temper("token", *words.split(), folder=folder)
    assert ran.code == 2, ran
    assert says in ran.err


def test_a_server_speaks_tls_to_who_trusts_its_authority(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=temper", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    (folder / "temper.toml").write_text(
        '[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n[limits]\nrate = "3/h"\n'
    )
    with running_server("gate", folder=folder) as server:
        assert server.url.startswith("https://127.0.0.1:")
        asking = {"TEMPER_SERVER": server.url, "TEMPER_TOKEN": server.token}
        trusting = asking | {"TEMPER_CA_FILE": str(folder / "cert.pem")}
        assert temper("tools", "gate", env=trusting).code == 0
        distrusting = temper("tools", "gate", env=asking)
        assert (distrusting.code, "TEMPER_CA_FILE" in distrusting.err) == (4, True)
        missing = temper("tools", "gate", env=asking | {"TEMPER_CA_FILE": str(folder / "none.pem")})
        assert (missing.code, "no certificates can be read" in missing.err) == (2, True)
        codes = [temper("tools", "gate", env=trusting) for _ in range(3)]
        assert [ran.code == 0 for ran in codes] == [True, True, False]
        assert "asks more often than a principal may" in codes[2].err


def test_the_command_line_shows_a_certificate_and_needs_no_token_then(folder: Path, tmp_path: Path) -> None:
    authority, uri = Authority(tmp_path), "spiffe://example.com/ann"
    server_pair, ann = authority.server(), authority.sign("x", names=[UniformResourceIdentifier(uri)])
    server_pair.key.chmod(0o644)
    (folder / "temper.toml").write_text(
        f'[server]\ntls_cert = "{server_pair.cert}"\ntls_key = "{server_pair.key}"\ntls_client_ca = "{authority.pem}"\n'
        f'[identity.certificates]\nprincipals = {{ "{uri}" = ["requester"] }}\n'
    )
    with running_server("gate", folder=folder) as server:
        asking = {"TEMPER_SERVER": server.url, "TEMPER_CA_FILE": str(authority.pem)}
        shown = asking | {"TEMPER_CERT_FILE": str(ann.cert), "TEMPER_KEY_FILE": str(ann.key)}
        me = temper("whoami", "--json", env=shown)
        assert (me.code, me.json["principal"], me.json["roles"]) == (0, f"cert:{uri}", ["requester"])
        both = temper("whoami", "--json", env=shown | {"TEMPER_TOKEN": server.token})
        assert both.json["principal"] != me.json["principal"], "the token counts"
        neither = temper("whoami", env=asking | {"TEMPER_TOKEN": server.token})
        assert (neither.code, "name one in TEMPER_CERT_FILE" in neither.err) == (4, True), neither.err
        assert temper("whoami", env=asking).code == 2, "there is no token"
        lost = temper("whoami", env=shown | {"TEMPER_KEY_FILE": ""})
        assert (lost.code, "no certificate can be shown" in lost.err) == (2, True)
    assert [event["event"] for event in server.heard if "others may read or change" in str(event)] == ["notice"]


def test_a_server_without_its_key_does_not_begin(folder: Path) -> None:
    (folder / "temper.toml").write_text('[server]\ntls_cert = "cert.pem"\n')
    ran = temper("serve", "gate", folder=folder)
    assert (ran.code, "TLS can't be had by" in ran.err) == (2, True)
