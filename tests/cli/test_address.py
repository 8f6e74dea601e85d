"""Where a command looks for its server: the options, the environment, the folder's settings, the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.run import temper
from tests.cli.server_process import running_server


def asked(folder: Path, settings: str | None, *words: str, **env: str) -> str:
    """Return where a command has looked for its server, or why it has not."""
    if settings is not None:
        (folder / "temper.toml").write_text(settings, "utf-8")
    ran = temper("whoami", *words, "--json", env={"TEMPER_TOKEN": "x", **env}, folder=folder)
    return str(ran.json["server"]) if ran.code == 4 else f"{ran.code} {ran.out}{ran.err}"


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ('host = "127.0.0.1"\nport = 1', "http://127.0.0.1:1"),
        ("port = 1", "http://127.0.0.1:1"),
        ('host = "127.0.0.77"\nport = 1', "http://127.0.0.77:1"),
        ('host = "localhost"\nport = 1', "http://localhost:1"),
        # What listens everywhere is reached here.
        ('host = "0.0.0.0"\nport = 1', "http://127.0.0.1:1"),
        ('host = "::"\nport = 1', "http://[::1]:1"),
        ('host = "::1"\nport = 1', "http://[::1]:1"),
        ('port = 1\ntls_cert = "cert.pem"', "https://127.0.0.1:1"),
        # Whatever else is in it, right or wrong, is nobody's business here.
        ('port = 1\nstore = "{secret:NOT_THERE}"\nprot = "x"', "http://127.0.0.1:1"),
    ],
)
def test_a_folder_s_settings_say_where_its_server_is(tmp_path: Path, server: str, address: str) -> None:
    assert asked(tmp_path, f"[server]\n{server}\n") == address


def test_what_is_said_outright_comes_first(tmp_path: Path) -> None:
    there = "[server]\nport = 1\n"
    assert asked(tmp_path, there, TEMPER_SERVER="http://127.0.0.1:2") == "http://127.0.0.1:2"
    both = asked(tmp_path, there, "--server", "http://127.0.0.1:3", TEMPER_SERVER="http://127.0.0.1:2")
    assert both == "http://127.0.0.1:3"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        # A token is not sent where a folder from elsewhere likes.
        ('[server]\nhost = "203.0.113.7"\nport = 1\n', "`203.0.113.7`, which `temper.toml` names as the server's host"),
        ('[server]\nhost = "temper.example.com"\n', "is no address of this machine"),
        ('[server]\nhost = "2001:db8::7"\nport = 1\n', "is no address of this machine"),
        ("[server]\nport = 99999\n", "are no address"),
        ('[server]\nport = "1"\n', "are no address"),
        ("[server\n", "does not say where the server is"),
    ],
)
def test_what_is_no_address_of_this_machine_is_not_asked(tmp_path: Path, settings: str, said: str) -> None:
    found = asked(tmp_path, settings)
    assert found.startswith("2 ")
    assert said in found
    assert "--server" in found


def test_a_server_that_this_folder_starts_is_found_from_it(tmp_path: Path) -> None:
    """By the very file that it was started with."""
    assert temper("new", "gate", folder=tmp_path).code == 0
    with running_server("gate", folder=tmp_path) as server:
        (tmp_path / "temper.toml").write_text(f"[server]\nport = {server.url.rsplit(':', 1)[1]}\n", "utf-8")
        ran = temper("push", "gate", env={"TEMPER_TOKEN": server.token}, folder=tmp_path)
        assert (ran.code, ran.err) == (0, "")
