"""Every command of the page on scaling is run, in order, with servers that stay."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.house.tree import ROOT
from tests.runtime.postgres import Server

PAGE = ROOT / "docs" / "how-to" / "scale.md"
BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
USUAL = ("8420", "8421", "8422")


def test_the_page_on_scaling_does_what_it_says(postgres: Server, tmp_path: Path) -> None:
    postgres.create("scaled")
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert [kind for kind, _ in blocks] == ["toml", "sh", "sh"]
    ports = dict(zip(USUAL, free_ports(3), strict=True))
    env = {key: value for key, value in os.environ.items() if not key.startswith("TEMPER_")}
    env |= {
        "DATABASE_URL": postgres.url.replace("/postgres", "/scaled"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
        "TEMPER_CACHE": str(tmp_path / "cache"),
    }
    printed = ""
    with ExitStack() as stack:
        for kind, body in blocks:
            for usual, port in ports.items():
                body = body.replace(usual, str(port))
            if kind == "toml":
                (tmp_path / "temper.toml").write_text(body.replace("[server]", f"[server]\nport = {ports['8420']}"))
                continue
            commands = []
            for line in body.splitlines():
                command, _, stays = line.partition("#!")
                if not stays:
                    commands.append(command)
                    continue
                printed += run("\n".join(commands), tmp_path, env)
                commands = []
                server = started(command, tmp_path, env)
                if stays.strip() == "until it is ready":
                    end(server)
                else:
                    stack.callback(end, server)
            printed += run("\n".join(commands), tmp_path, env)
    # What one server took the other shows.
    assert printed.count("paint") == 2, printed


def run(script: str, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def started(command: str, folder: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    log = folder / f"log{len(list(folder.glob('log*')))}"
    with log.open("wb") as out:
        server = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=folder, env=env, stdout=out, stderr=out)
    until = time.monotonic() + 60
    while b"serving at" not in log.read_bytes():
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    return server


def end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait(30)


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
