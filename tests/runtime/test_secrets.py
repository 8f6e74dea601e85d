"""Secrets: where they are read, how they are replaced, and that they are hidden in every form."""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.runtime.secrets import BYTES_MAX, CannotRead, InFile, Output, Source, Variable, read_file, read_output
from temper.runtime.vault import VALUES_MAX, Vault

CANARY = "canary-7f/3a b9"


def python(code: str, **options: int) -> Output:
    return Output((sys.executable, "-c", code), **options)


# --- where they live --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a secret", "a secret"),
        (b"a secret\n", "a secret"),
        (b"a secret\r\n", "a secret"),
        (b"two\nlines\n\n", "two\nlines\n"),
        (b" kept as it is \t", " kept as it is \t"),
        (b"x" * BYTES_MAX, "x" * BYTES_MAX),
        (b"", CannotRead("is empty")),
        (b"\n", CannotRead("is empty")),
        (b"\xff", CannotRead("is not UTF-8")),
        (b"a\0b", CannotRead("holds a zero byte")),
        (b"x" * (BYTES_MAX + 1), CannotRead(f"is longer than {BYTES_MAX} bytes")),
    ],
)
def test_a_secret_is_what_a_file_holds_and_what_a_command_writes(
    tmp_path: Path, content: bytes, expected: str | CannotRead
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    show = python(f"import sys; sys.stdout.buffer.write(open({str(path)!r}, 'rb').read())")
    reads: tuple[Callable[[], str], ...] = (lambda: read_file(path), lambda: read_output(show))
    for read in reads:
        if isinstance(expected, str):
            assert read() == expected
        else:
            with pytest.raises(CannotRead, match=str(expected)):
                read()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Output(("temper-no-such-program",)), "`temper-no-such-program` is no program"),
        (python(f"print({CANARY!r}); raise SystemExit(3)"), f"`{sys.executable}` ended with 3"),
        (
            python(f"import os; print({CANARY!r}, flush=True); os.kill(os.getpid(), 9)"),
            f"`{sys.executable}` ended with -9",
        ),
        (
            python(f"import time; print({CANARY!r}, flush=True); time.sleep(60)", timeout_ms=300),
            f"`{sys.executable}` did not end within 300 ms",
        ),
        (
            python("import os, time; os.close(1); time.sleep(60)", timeout_ms=300),
            f"`{sys.executable}` did not end within 300 ms",
        ),
        (python("while True: print('x' * 4096)"), f"what `{sys.executable}` writes is longer than {BYTES_MAX} bytes"),
    ],
)  # fmt: skip
def test_a_command_that_does_not_do_what_it_should(source: Output, said: str) -> None:
    """What it wrote is in no message, and nothing of it is left running."""
    with pytest.raises(CannotRead) as problem:
        read_output(source)
    assert str(problem.value) == said


def test_a_command_sees_no_shell_and_reads_nothing() -> None:
    code = "import sys; print(sys.argv[1], repr(sys.stdin.read()))"
    assert read_output(Output((sys.executable, "-c", code, "$HOME; echo *"))) == "$HOME; echo * ''"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "can't be read: No such file or directory"),
        (lambda path: path.mkdir(), "is not a file"),
        (os.mkfifo, "is not a file"),
    ],
)
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path / "secret")
    with pytest.raises(CannotRead, match=said):
        read_file(tmp_path / "secret")


def test_a_name_says_where_its_secret_lives_or_is_a_variable(tmp_path: Path) -> None:
    (tmp_path / "bank").write_text("b")
    places: dict[str, Source] = {"stripe": Variable("STRIPE_KEY"), "bank": InFile(tmp_path / "bank")}
    vault = Vault({"STRIPE_KEY": "s", "OTHER": "o"}, places)
    assert [vault.reveal(name) for name in ("stripe", "bank", "OTHER") if vault.has(name)] == ["s", "b", "o"]
    assert vault.problem("strip") == ("the secret `strip` is not in the environment", "did you mean `stripe`?")
    assert vault.problem("NOBODY") == (
        "the secret `NOBODY` is not in the environment",
        "set `NOBODY` where the server starts, or say under `[secrets]` where it is",
    )
    gone = Vault({}, {"bank": InFile(tmp_path / "gone"), "stripe": Variable("STRIPE_KEY")})
    assert gone.problem("bank") == (
        f"the secret `bank` can't be read: `{tmp_path / 'gone'}` can't be read: No such file or directory",
        "see `bank` under `[secrets]`",
    )
    assert gone.problem("stripe") == (
        "the secret `stripe` can't be read: `STRIPE_KEY` is not in the environment",
        "see `stripe` under `[secrets]`",
    )


# --- when one is replaced ---------------------------------------------------------------------------------------------


def test_a_file_that_has_changed_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "secret"
    path.write_text("the first")
    vault = Vault({}, {"s": InFile(path)})
    assert vault.has("s")
    assert vault.reveal("s") == "the first"
    # As secrets are replaced in containers: another file in its place, which may be as old and as long.
    (tmp_path / "new").write_text("the other")
    os.utime(tmp_path / "new", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    (tmp_path / "new").replace(path)
    assert vault.reveal("s") == "the other"
    assert vault.hide("the first, the other") == "{secret:s}, {secret:s}"
    path.unlink()
    assert [vault.reveal("s"), vault.reveal("s")] == ["the other"] * 2
    said = f"the secret `s` stays as it was: `{path}` can't be read: No such file or directory"
    assert [record.getMessage() for record in caplog.records] == [said]  # Once, though it was asked for twice.
    path.write_text("the third")
    assert vault.reveal("s") == "the third"


def test_a_command_is_run_again_beside_what_is_going_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    code = f"p = {str(count)!r}; n = int(open(p).read()) + 1; open(p, 'w').write(str(n)); print('secret', n)"
    times = [0.0]
    waiting: list[Callable[[], None]] = []
    vault = Vault({}, {"s": python(code, every_ms=1000)}, now=lambda: times[0], later=waiting.append)
    assert vault.has("s")
    assert (vault.reveal("s"), waiting) == ("secret 1", [])
    times[0] = 1.0
    assert [vault.reveal("s"), vault.reveal("s")] == ["secret 1"] * 2
    (again,) = waiting  # It is asked for once, however often its secret is wanted meanwhile.
    again()
    assert vault.reveal("s") == "secret 2"
    assert vault.hide("secret 1, secret 2") == "{secret:s}, {secret:s}"
    # One that can't be run keeps what it had, and is tried again when its time has come.
    count.unlink()
    times[0] = 2.0
    assert vault.reveal("s") == "secret 2"
    waiting.pop()()
    assert (vault.reveal("s"), len(waiting)) == ("secret 2", 1)
    assert [record.getMessage() for record in caplog.records] == [
        f"the secret `s` stays as it was: `{sys.executable}` ended with 1"
    ]
    times[0] = 3.0
    vault.reveal("s")
    assert len(waiting) == 2


def test_the_last_values_of_a_secret_stay_hidden(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("value 0000")
    vault = Vault({}, {"s": InFile(path)})
    assert vault.has("s")
    for number in range(1, VALUES_MAX + 1):
        path.with_suffix(".new").write_text(f"value {number:04}")
        path.with_suffix(".new").replace(path)
        vault.reveal("s")
    shown = [number for number in range(VALUES_MAX + 1) if vault.hide(f"value {number:04}") != "{secret:s}"]
    assert shown == [0]


# --- that they are hidden ---------------------------------------------------------------------------------------------


def url_lower(value: str) -> str:
    return quote(value, safe="").replace("%2F", "%2f")


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (CANARY, lambda value: f"GET /{quote(value, safe='')}?x={url_lower(value)}"),
        (CANARY, lambda value: base64.b64encode(value.encode()).decode()),
        (CANARY, lambda value: base64.b64encode(f"user:{value}".encode()).decode()),
        (CANARY, lambda value: base64.b64encode(f"u:{value}:more".encode()).decode()),
        (CANARY, lambda value: base64.urlsafe_b64encode(f"us:{value}".encode()).decode()),
        (CANARY, lambda value: f"{value.encode().hex()} {value.encode().hex().upper()}"),
        ("<q\"&'>", lambda value: "&lt;q&quot;&amp;&#x27;&gt;"),
        ("q\"q'\\", lambda value: f"{value!r} {json.dumps(value)}"),
        ("-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\n-----END KEY-----", lambda value: "MIIEowIBAAKCAQEA and BEGIN"),
    ],
)
def test_no_form_of_a_secret_is_left(secret: str, shown: Callable[[str], str]) -> None:
    vault = Vault({"S": secret})
    assert vault.has("S")
    text = vault.hide(shown(secret))
    assert "{secret:S}" in text
    for value in (secret, secret.encode().hex(), secret.encode().hex().upper(), *secret.split("\n")):
        assert value not in text
    for before in range(3):
        whole = base64.b64encode(b"x" * before + secret.encode()).decode()
        assert len(secret) < 8 or whole[4:-4] not in text


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8)


@given(TEXTS, st.binary(max_size=8), st.binary(max_size=8))
def test_a_secret_is_hidden_wherever_it_stands_in_base64(secret: str, before: bytes, after: bytes) -> None:
    vault = Vault({"S": secret})
    assert vault.has("S")
    hidden = vault.hide(base64.b64encode(before + secret.encode() + after).decode())
    assert "{secret:S}" in hidden


def test_what_is_said_of_a_secret_never_has_it(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    vault = Vault({"CANARY": CANARY}, {"file": InFile(tmp_path / "x"), "out": python(f"print({CANARY!r}); exit(1)")})
    said = [vault.problem(name) for name in ("CANARY", "file", "out")]
    assert CANARY not in repr((vault, said)) + caplog.text
    assert repr(vault) == "Vault(CANARY, file, out)"
