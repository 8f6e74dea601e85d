"""The `process` adapter, against real processes."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from temper.runtime import Adapter, Answered, Attempt, Call, Failed, Unknown, load_tools
from temper.runtime.tools import Declared, Kind
from temper.runtime.vault import Vault

SECRETS = {"TOKEN": "tok3n-of-ours"}


def script(folder: Path, body: str) -> Path:
    """A program that runs `body` in Python, without what takes time at a start."""
    path = folder / "program"
    path.write_text(f"#!{sys.executable} -IS\nimport json, os, sys\n{body}\n")
    path.chmod(0o755)
    return path


def adapter(folder: Path, body: str, declared: Declared | None = None, /, **settings: Any) -> Adapter:
    """The adapter of a tool that runs such a program."""
    program = script(folder, body)
    said = {"adapter": "process", "command": "program", **settings}
    adapters, problems = load_tools(
        {"adapters": {"process": {"commands": {"program": str(program)}}}, "tools": {"a.b": said}},
        {"a.b": declared} if declared is not None else {},
        Vault(SECRETS),
    )
    assert problems == []
    return adapters["a.b"]


def _temporary() -> list[Path]:
    return list(Path(tempfile.gettempdir()).iterdir())


def call(timeout_ms: int = 20_000, /, **args: Any) -> Call:
    return Call("order-1", "a.b", args, 2, timeout_ms)


async def test_a_command_gets_its_arguments_as_they_are_and_answers_in_json(tmp_path: Path) -> None:
    """No shell reads them: what would be one's syntax is text."""
    evil = "x; touch hacked $(id) `id` 'q\" \n*"
    tool = adapter(
        tmp_path,
        "print(json.dumps({'args': sys.argv[1:], 'in': json.load(sys.stdin), 'n': 1.50}))",
        args=["--to", "{to}", "={to}"], result={"args": "args", "given": "in", "n": "n"},
    )  # fmt: skip
    answer = await tool.call(call(to=evil))
    assert answer == Answered({"args": ["--to", evil, "=" + evil], "given": {"to": evil}, "n": "1.5"})


async def test_the_environment_is_clean_and_the_folder_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the server's leaks in, and nothing stays."""
    monkeypatch.setenv("SERVER_SECRET", "not for tools")
    tool = adapter(
        tmp_path,
        "open('left', 'w').write('x')\nprint(json.dumps({'e': dict(os.environ), 'cwd': os.getcwd()}))",
        environment={"EXTRA": "{to}"}, result={"e": "e", "cwd": "cwd"},
    )  # fmt: skip
    answer = await tool.call(call(to="there"))
    assert isinstance(answer, Answered)
    found = answer.value["e"]
    assert set(found) - {"LC_CTYPE"} == {"PATH", "LANG", "HOME", "TMPDIR", "TEMPER_ORDER", "TEMPER_ATTEMPT", "EXTRA"}
    assert (found["TEMPER_ORDER"], found["TEMPER_ATTEMPT"], found["EXTRA"]) == ("order-1", "2", "there")
    assert found["HOME"] == answer.value["cwd"]
    assert answer.value["cwd"] not in [str(each) for each in await asyncio.to_thread(_temporary)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("sys.exit(75)", Failed(Kind.UNAVAILABLE, "`program` ended with 75", retry=True)),
        ("sys.exit('no such thing')", Failed(Kind.REJECTED, "`program` ended with 1: no such thing", retry=False)),
        ("os.kill(os.getpid(), 9)", Unknown("`program` was killed by SIGKILL")),
        ("print('nonsense')", Failed(Kind.BAD_ANSWER, "the output is not JSON", retry=False)),
        ("print('NaN')", Failed(Kind.BAD_ANSWER, "the output is not JSON", retry=False)),
        ("print('{}')", Failed(Kind.BAD_ANSWER, "the output has no `ok`", retry=False)),
        ("print('x' * 2_000)", Failed(Kind.BAD_ANSWER, "the output is longer than 1000 bytes", retry=False)),
        ("x = bytearray(600 << 20)", "MemoryError"),
        ("while True: pass", "SIG"),
        ("sys.exit(os.environ['T'])", "{secret:TOKEN}"),
    ],
)
async def test_what_comes_of_a_command(tmp_path: Path, body: str, expected: Attempt | str) -> None:
    """One row, one way to end; of what the bounds end, what is said of it. A secret is never in it."""
    tool = adapter(
        tmp_path, body, result={"ok": "ok"}, cpu="1s", memory=256, max_answer_bytes=1_000,
        environment={"T": "{secret:TOKEN}"},
    )  # fmt: skip
    answer = await tool.call(call())
    if isinstance(expected, str):
        assert not isinstance(answer, Answered)
        assert expected in answer.text
        assert SECRETS["TOKEN"] not in answer.text
    else:
        assert answer == expected


async def test_when_the_time_is_up_all_that_was_started_is_killed(tmp_path: Path) -> None:
    """A child of the command holds a pipe that closes when it dies: it is dead when the call has ended."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    tool = adapter(
        tmp_path,
        "import time\nend = open(sys.argv[1], 'w')\nend.write('here'); end.flush()\nos.fork()\ntime.sleep(600)",
        args=[str(pipe)],
    )
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_text))
    answer = await tool.call(call(3_000))
    assert answer == Unknown("`program` was killed: no answer in 3000 ms")
    assert await asyncio.wait_for(reading, 10) == "here"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"to": "--output=/etc/passwd"}, "the argument `to` would be an option"),
        ({}, "the call has no argument `to`"),
        ({"to": "a\0b"}, "an argument holds a zero byte"),
        ({"to": "\ud800"}, "an argument can't be written for a command"),
    ],
)
async def test_what_may_not_be_an_argument_is_refused(tmp_path: Path, args: dict[str, Any], said: str) -> None:
    tool = adapter(tmp_path, "open('/dev/null')", args=["{to}"])
    assert await tool.call(call(**args)) == Failed(Kind.REFUSED, said, retry=False)


async def test_a_program_that_has_gone_may_come_back(tmp_path: Path) -> None:
    tool = adapter(tmp_path, "pass")
    (tmp_path / "program").unlink()
    answer = await tool.call(call())
    assert answer == Failed(Kind.UNAVAILABLE, "`program` cannot be started: No such file or directory", retry=True)


@pytest.mark.parametrize(
    ("tool", "shared", "where"),
    [
        ({"command": "rm"}, {"commands": {"cat": "/bin/cat"}}, 'tools."a.b".command'),
        ({"command": "cat"}, {"commands": {"cat": "cat"}}, "adapters.process.commands.cat"),
        ({"command": "cat"}, {"commands": {"cat": "/etc/passwd"}}, "adapters.process.commands.cat"),
        ({"command": "cat", "args": ["{other}"]}, {"commands": {"cat": "/bin/cat"}}, 'tools."a.b".args[0]'),
        ({"command": "cat", "shell": True}, {"commands": {"cat": "/bin/cat"}}, 'tools."a.b".shell'),
        ({"command": "cat", "retry_codes": [0]}, {"commands": {"cat": "/bin/cat"}}, 'tools."a.b".retry_codes'),
        ({"command": "cat"}, {"commands": {"cat": "/bin/cat"}, "any": True}, "adapters.process.any"),
    ],
)
def test_settings_that_are_none_are_problems(tool: dict[str, Any], shared: dict[str, Any], where: str) -> None:
    """One row, one mistake: what is not allowed by its whole path does not run."""
    settings = {"tools": {"a.b": {"adapter": "process", **tool}}, "adapters": {"process": shared}}
    _, problems = load_tools(settings, {"a.b": Declared(("to",))}, Vault({}))
    assert where in [each.where for each in problems]
