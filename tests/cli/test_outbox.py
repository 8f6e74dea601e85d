"""The outbox as an operator meets it: a server that is stopped while a call is under way, and what waits."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.run import temper
from tests.cli.server_process import SECONDS, running_server

ANN = ("ann", "worker")
JOB = """\
blueprint job

role worker

tool shell.run(name: string) -> (said: string)
  timeout 60s

entity Job
  states Asked, Done, Failed
  final Done, Failed
  name: string
  said: string?

  action Ask(name) by worker from new to Asked
    set name
    call shell.run(name) then Finish(result.said) else Fail unknown Fail

  action Finish(said: string) by system from Asked to Done
    set said = said

  action Fail by system from Asked to Failed

  late Finish, Fail ignore
"""
PROGRAM = f"""\
#!{sys.executable} -IS
import json, sys
with open(sys.argv[2], "a") as log:
    log.write(sys.argv[1] + "\\n")
print(json.dumps({{"said": open(sys.argv[3]).read()}}))
"""


def until(holds: Callable[[], bool]) -> None:
    """Wait for another process."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.02)


def release(pipe: Path, text: str) -> None:
    """Let the program that reads the pipe go on, once it does."""
    found: list[int] = []

    def opened() -> bool:
        try:
            found.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    until(opened)
    os.write(found[0], text.encode())
    os.close(found[0])


def test_a_server_that_is_stopped_lets_its_call_end_begins_no_other_and_goes_on_later(tmp_path: Path) -> None:
    """`temper tools` says what waits meanwhile, and there are no letters of it. Each call is made once."""
    pipe, log, program = tmp_path / "pipe", tmp_path / "log", tmp_path / "program"
    os.mkfifo(pipe)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    log.touch()
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "job.blueprint").write_text(JOB)
    (tmp_path / "temper.toml").write_text(f"""
[server]
drain = "50s"
[push]
levels = ["scenarios"]
allow_unknown = true
[adapters.process]
commands = {{ program = "{program}" }}
[tools."shell.run"]
adapter = "process"
command = "program"
args = ["{{name}}", "{log}", "{pipe}"]
result = {{ said = "said" }}
concurrency = 1
""")
    with running_server("job", folder=tmp_path) as server:
        for name in "ab":
            assert server.run("act", "job/Job", "Ask", f"id={name}", f"name={name}", as_=ANN).code == 0
        until(lambda: log.read_text() == "a\n")
        (tool,) = server.run("tools", "job", "--json", as_=ANN).json["items"]
        assert (tool["running"], tool["waiting"], tool["circuit"]) == (1, 1, "closed")
        assert "no more may be under way" in server.run("tools", "job", as_=ANN).out
        assert server.run("letters", "list", "job", as_=ANN).out == "no dead letters\n"
        order = server.run("show", "job/Job/b", "--json", as_=ANN).json["calls"][0]["order"]
        shown = server.run("letters", "show", "job", order, as_=ANN).out
        assert "Job/b calls shell.run" in shown
        assert "waiting" in shown
        assert server.run("letters", "discard", "job", order, as_=ANN).code != 0  # No administrator.
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None, "a call is under way"
        release(pipe, "well")
        server.process.wait(SECONDS)
    assert log.read_text() == "a\n"
    with running_server(folder=tmp_path) as server:
        made = temper("token", "make", "bob", "--role", "worker", "--data", "temper-data", folder=tmp_path)
        env = {"TEMPER_SERVER": server.url, "TEMPER_TOKEN": made.out.strip()}

        def job(name: str) -> dict[str, Any]:
            found: dict[str, Any] = temper("show", f"job/Job/{name}", "--json", env=env).json
            return found

        release(pipe, "later")
        until(lambda: job("b")["state"] == "Done")
        assert [job(name)["fields"]["said"] for name in "ab"] == ["well", "later"]
    assert log.read_text() == "a\nb\n"
