"""The `process` adapter: run a command that the settings allow, once an attempt, and never through a shell.

```toml
[adapters.process]
commands = { render = "/usr/local/bin/render" }   # what tools may run, by a name; nothing else can be

[tools."report.render"]
adapter = "process"
command = "render"
args = ["--to", "{format}"]              # each is one argument, whatever is in it
environment = { TOKEN = "{secret:RENDER_TOKEN}" }
json = { title = "{title}" }             # on standard input; without it: the call's arguments as JSON
result = { pages = "pages" }             # where the JSON on standard output has what the blueprint reads
retry_codes = [75]                       # exit codes after which it may be tried again; 75 without it
cpu = "10s"                              # of the processor, for each process
memory = 512                             # MiB of address space, for each process
max_answer_bytes = 1_048_576
```

The command gets a clean environment (`PATH`, `LANG`, `HOME` and `TMPDIR`, `TEMPER_ORDER` and `TEMPER_ATTEMPT`, and what
`environment` says), and an empty folder that is gone afterwards. It runs in a group of its own, which is killed with
all that it has started when it ends or the time is up.

An argument of the call that begins an argument of the command may not begin with `-`: it would be an option.

| what happened | outcome |
|---|---|
| an argument is missing, or may not stand there | failed, `refused` |
| the command can't be started | failed, `unavailable`, try again |
| exit code 0 | answered, or failed, `bad_answer`, if the output is not what `result` needs |
| an exit code in `retry_codes` | failed, `unavailable`, try again |
| any other exit code | failed, `rejected`, with the end of what it said on standard error |
| killed by a signal, or by us when the time is up | unknown |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path as File

from temper.runtime.tools.adapter import Answered, Attempt, Call, Failed, Kind, Unknown
from temper.runtime.tools.path import Path, extract
from temper.runtime.tools.reading import Table
from temper.runtime.tools.template import Argument, CannotFill, Shape, Template, fill, fill_text
from temper.runtime.vault import Vault

ANSWER_BYTES_MAX = 1_048_576
SAID_MAX = 300
_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h: a failure that may pass.
_NOT_STARTED = 126  # As shells have it: found, and could not be run.
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
class Binding:
    """One tool's settings, checked."""

    command: str
    path: str
    args: tuple[Template, ...]
    environment: tuple[tuple[str, Template], ...]
    input: Shape | None
    result: tuple[tuple[str, Path], ...]
    retry_codes: frozenset[int]
    cpu_s: int
    memory: int
    answer_bytes_max: int


class ProcessAdapter:
    """Carries out a tool's calls as processes."""

    def __init__(self, binding: Binding, vault: Vault) -> None:
        self._binding = binding
        self._vault = vault

    def __repr__(self) -> str:
        return f"ProcessAdapter({self._binding.command})"

    async def call(self, call: Call) -> Attempt:
        """Run the command once, and say what came of it."""
        binding = self._binding
        try:
            args = [_argument(template, call, self._vault) for template in binding.args]
            extra = {name: fill_text(value, call, self._vault) for name, value in binding.environment}
            given = fill(binding.input, call, self._vault) if binding.input is not None else dict(call.args)
            content = json.dumps(given, ensure_ascii=False).encode()
        except CannotFill as problem:
            return Failed(Kind.REFUSED, self._vault.hide(str(problem)), retry=False)
        except (ValueError, RecursionError):
            return Failed(Kind.REFUSED, "an argument can't be written for a command", retry=False)
        if any("\0" in text for text in (*args, *extra.values())):
            return Failed(Kind.REFUSED, "an argument holds a zero byte", retry=False)
        try:
            with tempfile.TemporaryDirectory(prefix="temper-", ignore_cleanup_errors=True) as folder:
                return await self._run(call, args, extra, content, folder)
        except OSError as problem:
            return Failed(Kind.UNAVAILABLE, f"`{binding.command}` cannot be started: {problem.strerror}", retry=True)

    async def close(self) -> None:
        """Do nothing: a process ends with its call."""

    async def _run(self, call: Call, args: list[str], extra: dict[str, str], content: bytes, folder: str) -> Attempt:
        binding = self._binding
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder,
            "TEMPER_ORDER": call.order, "TEMPER_ATTEMPT": str(call.attempt), **extra,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _LAUNCHER,
            str(binding.cpu_s), str(binding.memory * _MIB), binding.path, *args,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(call.timeout_ms / 1000):
                _, out, err = await asyncio.gather(
                    _feed(process, content),
                    _read(process.stdout, binding.answer_bytes_max),
                    _read(process.stderr, _ERROR_BYTES, keep=True),
                )
                code = await process.wait()
        except TimeoutError:
            return Unknown(f"`{binding.command}` was killed: no answer in {call.timeout_ms} ms")
        finally:
            # The group, for what it has started may outlive it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return self._judge(code, out, err or b"")

    def _judge(self, code: int, out: bytes | None, err: bytes) -> Attempt:
        binding = self._binding
        said = " ".join(self._vault.hide(_end(err, self._vault.longest())).split())[-SAID_MAX:]
        text = f"`{binding.command}` ended with {code}" + (f": {said}" if said else "")
        if code < 0:
            return Unknown(f"`{binding.command}` was killed by {_signal(-code)}" + (f": {said}" if said else ""))
        if code == _NOT_STARTED and said.startswith("temper: cannot be started"):
            return Failed(Kind.UNAVAILABLE, f"`{binding.command}` {said.removeprefix('temper: ')}", retry=True)
        if code in binding.retry_codes:
            return Failed(Kind.UNAVAILABLE, text, retry=True)
        if code != 0:
            return Failed(Kind.REJECTED, text, retry=False)
        if not binding.result:
            return Answered({})
        if out is None:
            return Failed(Kind.BAD_ANSWER, f"the output is longer than {binding.answer_bytes_max} bytes", retry=False)
        try:
            value = json.loads(out, parse_float=str, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return Failed(Kind.BAD_ANSWER, "the output is not JSON", retry=False)
        found, missing = extract(binding.result, value)
        if missing:
            return Failed(Kind.BAD_ANSWER, f"the output has no `{missing[0]}`", retry=False)
        return Answered(self._vault.hide_in(found))


def _argument(template: Template, call: Call, vault: Vault) -> str:
    text = fill_text(template, call, vault)
    first = template.parts[0] if template.parts else None
    if isinstance(first, Argument) and text.startswith("-"):
        raise CannotFill(f"the argument `{first.name}` would be an option")
    return text


def _end(err: bytes, longest: int) -> str:
    """The end of what was said. Where it was cut, what may be the rest of a secret goes too."""
    text = err.decode(errors="replace")
    return text[longest:] if len(err) == _ERROR_BYTES else text


async def _feed(process: asyncio.subprocess.Process, content: bytes) -> None:
    assert process.stdin is not None, "it was asked for"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # It need not read.
        process.stdin.write(content)
        await process.stdin.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.close()
        await process.stdin.wait_closed()


async def _read(stream: asyncio.StreamReader | None, most: int, *, keep: bool = False) -> bytes | None:
    """Return all of it, `None` where there is more than `most`; with `keep` the end of it."""
    assert stream is not None, "it was asked for"
    found: bytes | None = b""
    while chunk := await stream.read(65_536):
        if keep:
            found = ((found or b"") + chunk)[-most:]
        elif found is not None:
            found = found + chunk if len(found) + len(chunk) <= most else None
    return found


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _no_number(text: str) -> None:
    raise ValueError(text)


# --- settings -------------------------------------------------------------------------------------


class Commands:
    """The commands that tools may run, by name; read once, when the first tool asks."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._found: dict[str, str] | None = None

    def all(self) -> dict[str, str]:
        """Return the path of each."""
        if self._found is None:
            self._found = {}
            for name, path in self._table.texts_by_name("commands").items():
                if not path.startswith("/") or not os.access(path, os.X_OK) or not File(path).is_file():
                    self._table.note(f"commands.{name}", f"`{path}` is no program", "give the whole path of one")
                else:
                    self._found[name] = path
            self._table.finish()
        return self._found


def build(table: Table, commands: Commands) -> ProcessAdapter | None:
    """Return the adapter that a table describes, or `None` when it has problems, which it then notes."""
    before = len(table.problems)
    known = commands.all()
    command = table.text("command", required=True)
    if command is not None and command not in known:
        table.note("command", f"`{command}` is not allowed", "add it to `commands` of `[adapters.process]`")
    args = tuple(table.parsed(f"args[{number}]", text) for number, text in enumerate(table.texts("args") or ()))
    environment = table.texts_of_templates("environment")
    shape = table.shape("json")
    result = table.results(answer="the output's JSON")
    codes = table.codes("retry_codes", frozenset({_TEMPORARY}))
    cpu_ms = table.duration_ms("cpu", 10_000)
    memory = table.number("memory", 512)
    answer_bytes_max = table.number("max_answer_bytes", ANSWER_BYTES_MAX)
    table.finish()
    if len(table.problems) > before:
        return None
    assert command is not None, "its absence is a problem"
    sound = tuple(template for template in args if template is not None)
    binding = Binding(
        command, known[command], sound, environment, shape, result, codes, max(1, -(-cpu_ms // 1000)), memory,
        answer_bytes_max,
    )  # fmt: skip
    return ProcessAdapter(binding, table.vault)
