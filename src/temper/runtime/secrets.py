"""Where secrets live, and how one is read from there: a variable, a file, the output of a command.

A secret is a text: UTF-8, not empty, of at most 64 KiB, without the line end that closes it. What keeps one from being
read is a `CannotRead`, whose text never has any of it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the server's environment."""

    name: str


@dataclass(frozen=True, slots=True)
class InFile:
    """A file, as secrets are mounted into containers. It is read again once it has changed."""

    path: Path


@dataclass(frozen=True, slots=True)
class Output:
    """What a command writes, as password stores do. It is run again every `every_ms`, and never through a shell."""

    command: tuple[str, ...]
    every_ms: int = 300_000
    timeout_ms: int = 10_000


Source = Variable | InFile | Output
Stamp = tuple[int, ...]
"""What a file looks like from outside: another stamp, other content."""


class CannotRead(Exception):
    """The secret can't be read. The text says why, without any of it."""


def stamp_of(path: Path) -> Stamp | None:
    """Return what the file looks like from outside, `None` where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def read_variable(environment: Mapping[str, str], name: str) -> str:
    """Return the value of a variable of the environment."""
    value = environment.get(name, "")
    if not value:
        raise CannotRead(f"`{name}` is not in the environment")
    return value


def read_file(path: Path) -> str:
    """Return what is in a file."""
    try:
        # A pipe that nobody writes to would else keep the server waiting for ever.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        raise CannotRead(f"`{path}` can't be read: {problem.strerror}") from problem
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise CannotRead(f"`{path}` is not a file")
        with os.fdopen(number, "rb", closefd=False) as file:
            return _text(file.read(BYTES_MAX + 1), f"`{path}`")
    except OSError as problem:
        raise CannotRead(f"`{path}` can't be read: {problem.strerror}") from problem
    finally:
        os.close(number)


def read_output(source: Output) -> str:
    """Return what a command writes. It waits for the command, and kills it with all that it has started at the end."""
    name = f"`{source.command[0]}`"
    program = shutil.which(source.command[0])
    if program is None:
        raise CannotRead(f"{name} is no program")
    try:
        process = subprocess.Popen(  # noqa: S603  # an operator's own command, without a shell
            [program, *source.command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # It may say more than its name on the way down.
            start_new_session=True,
        )
    except OSError as problem:
        raise CannotRead(f"{name} can't be started: {problem.strerror}") from problem
    try:
        written = _written(process, time.monotonic() + source.timeout_ms / 1000)
        code = process.wait(max(0.1, source.timeout_ms / 1000)) if len(written) <= BYTES_MAX else 0
    except (TimeoutError, subprocess.TimeoutExpired):
        raise CannotRead(f"{name} did not end within {source.timeout_ms} ms") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None, "it was asked for"
        process.stdout.close()
    if code != 0:
        raise CannotRead(f"{name} ended with {code}")
    return _text(written, f"what {name} writes")


def _written(process: subprocess.Popen[bytes], until: float) -> bytes:
    assert process.stdout is not None, "it was asked for"
    number, found = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(number, selectors.EVENT_READ)
        while len(found) <= BYTES_MAX:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            piece = os.read(number, BYTES_MAX + 1 - len(found))
            if not piece:
                break
            found += piece
    return found


def _text(content: bytes, whose: str) -> str:
    if len(content) > BYTES_MAX:
        raise CannotRead(f"{whose} is longer than {BYTES_MAX} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise CannotRead(f"{whose} is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise CannotRead(f"{whose} is empty")
    if "\0" in text:
        raise CannotRead(f"{whose} holds a zero byte")
    return text
