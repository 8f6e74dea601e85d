"""Settings: defaults, and each way to get them wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from temper.service import duration_ms, load_settings


def test_without_a_file_there_are_defaults() -> None:
    loaded = load_settings(None, {})
    assert loaded.problems == ()
    assert (loaded.settings.server.host, loaded.settings.server.port) == ("127.0.0.1", 8420)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "temper.toml"
    path.write_text('[server]\ndata = "here"\n[tools."a.b"]\nadapter = "http"\n')
    loaded = load_settings(path, {})
    assert loaded.problems == ()
    assert loaded.data == tmp_path / "here"
    assert loaded.settings.tools == {"a.b": {"adapter": "http"}}


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("[servr]\nport = 1", "temper.toml", "there is no setting `servr`"),
        ("[server]\nprot = 1", "server", "there is no setting `prot`"),
        ('[server]\nport = "x"', "server.port", "expected `int`, got `str`"),
        ("[server]\nport = 70000", "server.port", "70000 is no port"),
        ('[server]\ndrain = "soon"', "server.drain", "`soon` is no duration"),
        ('[limits]\nwait = "1"', "limits.wait", "`1` is no duration"),
        ("[limits]\nbatch = 0", "limits.batch", "is below 1"),
        ('[push]\nlevels = ["magic"]', "push.levels", "there is no level `magic`"),
        ("[push]\nseconds = 0", "push.seconds", "is not above 0"),
        ("[push]\nstates = 0", "push.states", "is below 1"),
        ("[server", "temper.toml", "is not TOML"),
        ('[limits]\nrate = "fast"', "limits.rate", "`fast` is no rate"),
        ('[limits]\nrate = "0/s"', "limits.rate", "`0/s` is no rate"),
        ('[server]\ncors = ["*"]', "server.cors", "`*` is no origin"),
        ('[server]\ncors = ["https://a.example/"]', "server.cors", "`https://a.example/` is no origin"),
        ('[server]\ntls_key = "k"', "server.tls_key", "there is no certificate that it is for"),
        ('[server]\ntls_client_ca = "k"', "server.tls_client_ca", "there is no certificate that it is for"),
        ('[secrets]\na = { en = "A" }', "secrets[...]", "there is no setting `en`"),
        ('[secrets]\na = "A"', "secrets[...]", "expected `object`, got `str`"),
        ("[secrets]\na = {}", "secrets.a", "does not say where the secret is"),
        ('[secrets]\na = { env = "A", file = "a" }', "secrets.a", "does not say where the secret is"),
        ('[secrets]\na-b = { env = "A" }', "secrets.a-b", "`a-b` is no name of a secret"),
        ('[secrets]\na = { command = ["a"], every = "0s" }', "secrets.a.every", "is not above 0"),
        ('[secrets]\na = { command = ["a"], timeout = "soon" }', "secrets.a.timeout", "`soon` is no duration"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, text: str, key: str, message: str) -> None:
    """One row: a file, and the key and the beginning of what is said of it."""
    path = tmp_path / "temper.toml"
    path.write_text(text)
    problems = load_settings(path, {}).problems
    assert [Path(each.key).name if "/" in each.key else each.key for each in problems] == [key]
    assert message in problems[0].message


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    (problem,) = load_settings(tmp_path / "no.toml", {}).problems
    assert "cannot be read" in problem.message


@pytest.mark.parametrize(
    ("text", "ms"), [("250ms", 250), ("90s", 90_000), ("2m", 120_000), ("1h", 3_600_000), ("1d", 86_400_000)]
)
def test_durations(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


def test_the_setting_that_was_meant_is_named(tmp_path: Path) -> None:
    path = tmp_path / "temper.toml"
    path.write_text("[server]\nprot = 1")
    (problem,) = load_settings(path, {}).problems
    assert problem.help == "did you mean `port`?"


STORE = "postgresql://temper:{secret:db}@127.0.0.1/temper"


@pytest.mark.parametrize(
    ("store", "environment", "expected", "problem"),
    [
        ("", {}, "", None),
        ("postgresql:///x", {}, "postgresql:///x", None),
        ("{secret:DB}", {"DB": "postgresql://u:p%2F@h/x"}, "postgresql://u:p%2F@h/x", None),
        ("{secret:DB}", {}, "", "the secret `DB` is not in the environment"),
        ("{secret:DB}", {"DB": "mysql://u:canary@h/x"}, "mysql://u:canary@h/x", "is not the address of a PostgreSQL"),
        # Whatever is in the file, it stays a password.
        (STORE, {}, "postgresql://temper:pass%40word%2F@127.0.0.1/temper", None),
        (STORE.replace("db", "gone"), {}, "", "the secret `gone` is not in the environment"),
    ],
)  # fmt: skip
def test_where_blueprints_live(
    tmp_path: Path, store: str, environment: dict[str, str], expected: str, problem: str | None
) -> None:
    (tmp_path / "password").write_text("pass@word/\n")
    path = tmp_path / "temper.toml"
    path.write_text(f'[server]\nstore = "{store}"\n[secrets]\ndb = {{ file = "password" }}')
    loaded = load_settings(path, environment)
    assert (loaded.problems, loaded.store) == ((), expected)
    found = loaded.store_problem()
    assert (found.message if found else None) == problem
    assert "canary" not in str(found)
