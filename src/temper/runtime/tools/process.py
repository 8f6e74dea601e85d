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
import signal
import tempfile
from dataclasses import dataclass

from temper.runtime.tools.adapter import Answered, Attempt, Call, Failed, Kind, Unknown
from temper.runtime.tools.path import Path, extract
from temper.runtime.tools.reading import Table
from temper.runtime.tools.spawn import (
    NOT_STARTED,
    Bounds,
    Commands,
    argument_of,
    end,
    end_of,
    environment_for,
    said_in,
    spawn,
)
from temper.runtime.tools.template import CannotFill, Shape, Template, fill, fill_text
from temper.runtime.vault import Vault

ANSWER_BYTES_MAX = 1_048_576
_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h: a failure that may pass.


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
    bounds: Bounds
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
            args = [argument_of(template, call, self._vault) for template in binding.args]
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
        environment = environment_for(call, folder, extra)
        process = await spawn(binding.path, args, environment, folder, binding.bounds)
        try:
            async with asyncio.timeout(call.timeout_ms / 1000):
                _, out, err = await asyncio.gather(
                    _feed(process, content),
                    _read(process.stdout, binding.answer_bytes_max),
                    end_of(process.stderr),
                )
                code = await process.wait()
        except TimeoutError:
            return Unknown(f"`{binding.command}` was killed: no answer in {call.timeout_ms} ms")
        finally:
            await end(process)
        return self._judge(code, out, err)

    def _judge(self, code: int, out: bytes | None, err: bytes) -> Attempt:
        binding = self._binding
        said = said_in(err, self._vault)
        text = f"`{binding.command}` ended with {code}" + (f": {said}" if said else "")
        if code < 0:
            return Unknown(f"`{binding.command}` was killed by {_signal(-code)}" + (f": {said}" if said else ""))
        if code == NOT_STARTED and said.startswith("temper: cannot be started"):
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


async def _feed(process: asyncio.subprocess.Process, content: bytes) -> None:
    assert process.stdin is not None, "it was asked for"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # It need not read.
        process.stdin.write(content)
        await process.stdin.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.close()
        await process.stdin.wait_closed()


async def _read(stream: asyncio.StreamReader | None, most: int) -> bytes | None:
    """Return all of it, `None` where there is more than `most`."""
    assert stream is not None, "it was asked for"
    found: bytes | None = b""
    while chunk := await stream.read(65_536):
        if found is not None:
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
        command, known[command], sound, environment, shape, result, codes,
        Bounds(max(1, -(-cpu_ms // 1000)), memory), answer_bytes_max,
    )  # fmt: skip
    return ProcessAdapter(binding, table.vault)
