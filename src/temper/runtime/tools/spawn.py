"""Programs that the settings allow, started within bounds and ended with all that they have started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from temper.runtime.tools.adapter import Call
from temper.runtime.tools.reading import Table
from temper.runtime.tools.template import Argument, CannotFill, Template, fill_text
from temper.runtime.vault import Vault

NOT_STARTED = 126  # As shells have it: found, and could not be run.
SAID_MAX = 300
_ERROR_BYTES = 262_144  # Of which little is shown; a secret that the cut goes through must not be all of it.
_MIB = 1 << 20
# Sets the bounds and becomes the command. In a process of its own, since between fork and exec of a program that has
# threads Python must not run.
_LAUNCHER = """
import os, resource, sys
cpu, memory, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
try:
    os.execve(path, [path, *sys.argv[4:]], os.environ)
except OSError as problem:
    print("temper: cannot be started: " + str(problem.strerror), file=sys.stderr)
    sys.exit(126)
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What each process may take."""

    cpu_s: int
    memory_mib: int


async def spawn(
    path: str,
    args: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    bounds: Bounds,
    *,
    line_max: int = 65_536,
) -> asyncio.subprocess.Process:
    """Start a program in a group and a session of its own, with pipes for all that it reads and writes."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _LAUNCHER,
        str(bounds.cpu_s), str(bounds.memory_mib * _MIB), path, *args,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=folder, env=dict(environment), start_new_session=True, limit=line_max,
    )  # fmt: skip


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a program's group: what it has started may outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def environment_for(call: Call, folder: str, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the clean environment of a program that carries out `call`."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder,
        "TEMPER_ORDER": call.order, "TEMPER_ATTEMPT": str(call.attempt), **extra,
    }  # fmt: skip


def argument_of(template: Template, call: Call, vault: Vault) -> str:
    """Return what a template of an argument is for this call. Raises `CannotFill`, also where it would be an option."""
    text = fill_text(template, call, vault)
    first = template.parts[0] if template.parts else None
    if isinstance(first, Argument) and text.startswith("-"):
        raise CannotFill(f"the argument `{first.name}` would be an option")
    return text


async def end_of(stream: asyncio.StreamReader | None) -> bytes:
    """Read a stream to its end, and return the last of it."""
    assert stream is not None, "it was asked for"
    found = b""
    while chunk := await stream.read(65_536):
        found = (found + chunk)[-_ERROR_BYTES:]
    return found


def said_in(err: bytes, vault: Vault) -> str:
    """Return what a program has said last, in a line, without any secret."""
    text = err.decode(errors="replace")
    # Where it was cut, what may be the rest of a secret goes too.
    text = text[vault.longest() :] if len(err) == _ERROR_BYTES else text
    return " ".join(vault.hide(text).split())[-SAID_MAX:]


class Commands:
    """The programs that tools of one adapter may run, by name; read once, when the first tool asks."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._found: dict[str, str] | None = None

    def all(self) -> dict[str, str]:
        """Return the path of each."""
        if self._found is None:
            self._found = {}
            for name, path in self._table.texts_by_name("commands").items():
                if not path.startswith("/") or not os.access(path, os.X_OK) or not Path(path).is_file():
                    self._table.note(f"commands.{name}", f"`{path}` is no program", "give the whole path of one")
                else:
                    self._found[name] = path
            self._table.finish()
        return self._found
