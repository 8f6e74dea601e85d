"""The `mcp` adapter: call a tool of an MCP server, one session an attempt.

```toml
[adapters.mcp]
commands = { tickets = "/usr/local/bin/tickets-mcp" }   # servers that tools may start, by a name; nothing else can be

[tools."tickets.open"]
adapter = "mcp"
command = "tickets"                      # or a server that listens: url = "https://mcp.example.com/mcp"
tool = "open_ticket"                     # its name there
args = ["--project", "ops"]              # of the command
environment = { TOKEN = "{secret:TICKETS_TOKEN}" }
arguments = { title = "{text}" }         # without it: the call's arguments as they are
result = { ticket = "ticket.id" }        # where the tool's structured content has what the blueprint reads
reads = false                            # true: it changes nothing, so an attempt that was cut off may be tried again
cpu = "60s"                              # of the processor, for each process of the command
memory = 4096                            # MiB of address space, for each process of the command
max_answer_bytes = 1_048_576

[tools."tickets.find"]
adapter = "mcp"
url = "https://mcp.example.com/mcp"
tool = "find_ticket"
reads = true
headers = { Authorization = "Bearer {secret:TICKETS_TOKEN}" }
egress = ["mcp.example.com:443"]         # as for `http`; without it: the URL's own host, if that is public
ca_file = "/etc/ssl/inside.pem"          # without it: the well-known authorities
result = { ticket = "text" }             # what has no structured content has its text
```

A command speaks over its standard input and output, in a clean environment, an empty folder and a group of its own, as
one of the `process` adapter does. A URL is spoken to over streamable HTTP, held to the egress list at each request.
Old and new versions of the protocol are understood; what the server asks of a person or of a model is declined.
The order's id goes out with the call as `temper/order` in `_meta`.

Where a tool's answer has structured content, `result` has paths into that. Where not, they are into its text, if that
is a JSON object, and `text` is the text itself.

| what happened | outcome |
|---|---|
| an argument is missing, or the egress list forbids the host | failed, `refused` |
| the server can't be started or reached, or the session does not begin | failed, `unavailable`, try again |
| the server has no such tool, or the arguments do not fit it | failed, `rejected` |
| the tool says that it failed (`isError`) | failed, `rejected`, with its text |
| it answered | answered, or failed, `bad_answer`, if the answer is not what `result` needs |
| cut off or timed out once the call had begun to leave | unknown (1) |
| 502, 504 | unknown (1) |
| 408, 425, 429, 5xx, or an error of the server's own | failed, `unavailable`, try again |
| any other status or error | failed, `rejected` |

(1) With `reads`: failed, `unavailable`, try again.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from temper.runtime.egress import Egress, Pinned, Resolve
from temper.runtime.quiet import quiet
from temper.runtime.tools.adapter import Answered, Attempt, Call, Failed, Kind, Unknown, in_time
from temper.runtime.tools.http import (
    EXCERPT_MAX,
    Origin,
    authorities,
    egress_of,
    header_guard,
    headers_of,
    kind_of_status,
    status_text,
    target_of,
    url_of,
)
from temper.runtime.tools.path import Path, extract
from temper.runtime.tools.reading import Table
from temper.runtime.tools.spawn import Bounds, Commands, argument_of, end, end_of, environment_for, said_in, spawn
from temper.runtime.tools.template import CannotFill, Shape, Template, fill, fill_text
from temper.runtime.vault import Vault

if TYPE_CHECKING:  # A second and a half to import, and an extra: only where a tool is bound to it.
    from temper.runtime.tools.mcp_session import Progress, Result

ANSWER_BYTES_MAX = 1_048_576
_CPU_MS = 60_000
_MEMORY_MIB = 4_096  # Node reserves much more than it uses.
_NAMES_MAX = 8  # Members of an answer that are named where the one that is wanted is missing.
_NO_ANSWER = 202  # It was taken, and nothing more will be said: the client makes an error of that.
_RESERVED = frozenset({"accept", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"})


@dataclass(frozen=True, slots=True)
class Started:
    """A server that is a command of ours."""

    command: str
    path: str
    args: tuple[Template, ...]
    environment: tuple[tuple[str, Template], ...]
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Reached:
    """A server that listens."""

    origin: Origin
    target: Template
    headers: tuple[tuple[str, Template], ...]
    egress: Egress
    tls: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class Binding:
    """One tool's settings, checked."""

    server: Started | Reached
    tool: str
    arguments: Shape | None
    result: tuple[tuple[str, Path], ...]
    reads: bool
    answer_bytes_max: int


class McpAdapter:
    """Carries out a tool's calls as calls of an MCP server's tool."""

    def __init__(self, binding: Binding, vault: Vault, resolve: Resolve) -> None:
        self._binding = binding
        self._vault = vault
        self._resolve = resolve
        server = binding.server
        self._where = f"`{server.command}`" if isinstance(server, Started) else str(server.origin)

    def __repr__(self) -> str:
        return f"McpAdapter({self._binding.tool} of {self._where})"

    async def call(self, call: Call) -> Attempt:
        """Open a session, call the tool once, and say what came of it."""
        from temper.runtime.tools.mcp_session import Progress

        progress = Progress()
        try:
            given = self._binding.arguments
            arguments = fill(given, call, self._vault) if given is not None else dict(call.args)
            json.dumps(arguments, ensure_ascii=False).encode()
        except CannotFill as problem:
            return Failed(Kind.REFUSED, self._vault.hide(str(problem)), retry=False)
        except (ValueError, RecursionError):
            return Failed(Kind.REFUSED, "an argument can't be written as a call", retry=False)
        try:
            with quiet():
                async with (
                    in_time(call, lambda: self._may_have_happened(progress)),
                    AsyncExitStack() as stack,
                ):
                    result = await self._ask(call, arguments, progress, stack)
        except CannotFill as problem:
            return Failed(Kind.REFUSED, self._vault.hide(str(problem)), retry=False)
        except TimeoutError:
            return self._lost(progress, f"no answer in {call.timeout_ms} ms")
        except Exception as problem:  # noqa: BLE001  # a library throws groups, and others' errors out of its tasks
            return self._problem(progress, problem)
        return self._judge(result)

    async def close(self) -> None:
        """Do nothing: a session ends with its call."""

    async def _ask(self, call: Call, arguments: Any, progress: Progress, stack: AsyncExitStack) -> Result:
        from temper.runtime.tools.mcp_session import call_over_http, call_over_pipes

        binding = self._binding
        match binding.server:
            case Reached(origin, target, headers, egress, tls):
                url = f"{origin}{target_of(target, call, self._vault)}"
                filled = {name: fill_text(value, call, self._vault, header_guard) for name, value in headers}
                carrier = Pinned(egress, resolve=self._resolve, tls=tls)
                stack.push_async_callback(carrier.aclose)
                return await call_over_http(
                    carrier, url, filled, binding.tool, arguments, call.order, progress, binding.answer_bytes_max
                )
            case Started() as server:
                args = [argument_of(template, call, self._vault) for template in server.args]
                extra = {name: fill_text(value, call, self._vault) for name, value in server.environment}
                if any("\0" in text for text in (*args, *extra.values())):
                    raise CannotFill("an argument holds a zero byte")
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="temper-", ignore_cleanup_errors=True))
                environment = environment_for(call, folder, extra)
                process = await spawn(
                    server.path, args, environment, folder, server.bounds, line_max=binding.answer_bytes_max
                )
                stack.push_async_callback(end, process)
                progress.said = asyncio.create_task(end_of(process.stderr))
                return await call_over_pipes(process, binding.tool, arguments, call.order, progress)

    # --- what came of it --------------------------------------------------------------------------

    def _judge(self, result: Result) -> Attempt:
        if result.failed:
            return Failed(Kind.REJECTED, self._text(f"the tool failed{self._excerpt(result.text)}"), retry=False)
        if not self._binding.result:
            return Answered({})
        value = result.structured
        if not isinstance(value, dict):
            value = {"text": result.text}
            try:
                told = json.loads(result.text, parse_float=str, parse_constant=_no_number)
            except (ValueError, RecursionError):
                told = None
            value |= told if isinstance(told, dict) else {}
        found, missing = extract(self._binding.result, value)
        if missing:
            said = self._excerpt(result.text)
            there = ", ".join(f"`{name}`" for name in list(value)[:_NAMES_MAX]) or "nothing"
            lacks = f"the answer has no `{missing[0]}`, but {there}{said}"
            return Failed(Kind.BAD_ANSWER, self._text(lacks), retry=False)
        return Answered(self._vault.hide_in(found))

    def _problem(self, progress: Progress, problem: Exception) -> Attempt:
        from temper.runtime.tools.mcp_session import Fault, fault_of

        if progress.too_long:
            limit = self._binding.answer_bytes_max
            return Failed(Kind.BAD_ANSWER, self._text(f"the answer is longer than {limit} bytes"), retry=False)
        if progress.forbidden is not None:
            return self._lost(progress, progress.forbidden, Kind.REFUSED, retry=False)
        fault, text = fault_of(problem)
        if progress.status is not None and progress.status >= 300:
            told = f"{status_text(progress.status)}{self._excerpt(text)}"
            return kind_of_status(progress.status, self._text(told), safe=self._binding.reads)
        match fault:
            case Fault.REJECTED if progress.status != _NO_ANSWER:
                return Failed(Kind.REJECTED, self._text(f"the server says{self._excerpt(text)}"), retry=False)
            case Fault.BROKEN if progress.left:
                return Failed(Kind.BAD_ANSWER, self._text(f"its answer is wrong{self._excerpt(text)}"), retry=False)
            case Fault.FAILED:
                return Failed(Kind.UNAVAILABLE, self._text(f"the server failed{self._excerpt(text)}"), retry=True)
            case _:
                return self._lost(progress, text)

    def _lost(
        self, progress: Progress, text: str, kind: Kind = Kind.UNAVAILABLE, *, retry: bool = True
    ) -> Failed | Unknown:
        """What an attempt is that got no answer."""
        if progress.said is not None and progress.said.done() and not progress.said.cancelled():
            said = said_in(progress.said.result(), self._vault)
            text = f"{text}: {said}" if said else text
        if self._may_have_happened(progress):
            return Unknown(self._text(text))
        return Failed(kind, self._text(text), retry=retry)

    def _may_have_happened(self, progress: Progress) -> bool:
        return progress.left and not self._binding.reads

    def _text(self, text: str) -> str:
        return self._vault.hide(f"{self._binding.tool} of {self._where}: {text}")

    def _excerpt(self, text: str) -> str:
        # Hidden before it is cut, or a cut could leave half a secret.
        text = " ".join(self._vault.hide(text).split())
        return f": {text[:EXCERPT_MAX]}{'...' if len(text) > EXCERPT_MAX else ''}" if text else ""


def _no_number(text: str) -> None:
    raise ValueError(text)


# --- settings -------------------------------------------------------------------------------------


def build(table: Table, commands: Commands, resolve: Resolve) -> McpAdapter | None:
    """Return the adapter that a table describes, or `None` when it has problems, which it then notes."""
    before = len(table.problems)
    tool = table.text("tool", required=True)
    arguments = table.shape("arguments")
    result = table.results(answer="the tool's structured content")
    reads = table.flag("reads")
    answer_bytes_max = table.number("max_answer_bytes", ANSWER_BYTES_MAX)
    started, reached = _started(table, commands), _reached(table)
    table.finish()
    if ("command" in table.raw) == ("url" in table.raw):
        table.note("", "it says neither or both of `command` and `url`", "give one of them")
    if find_spec("mcp") is None:
        table.note("adapter", "its library is not installed", "install `temper[mcp]`")
    server = started or reached
    if len(table.problems) > before or server is None:
        return None
    assert tool is not None, "its absence is a problem"
    import temper.runtime.tools.mcp_session  # noqa: F401  # now, and not in the first call

    binding = Binding(server, tool, arguments, result, reads, answer_bytes_max)
    return McpAdapter(binding, table.vault, resolve)


def _started(table: Table, commands: Commands) -> Started | None:
    known = commands.all()
    command = table.text("command")
    args = tuple(table.parsed(f"args[{number}]", text) for number, text in enumerate(table.texts("args") or ()))
    environment = table.texts_of_templates("environment")
    cpu_ms, memory = table.duration_ms("cpu", _CPU_MS), table.number("memory", _MEMORY_MIB)
    if command is None:
        for key in ("args", "environment", "cpu", "memory"):
            if key in table.raw:
                table.note(key, "there is no `command` for it", "take it out")
        return None
    if command not in known:
        table.note("command", f"`{command}` is not allowed", "add it to `commands` of `[adapters.mcp]`")
        return None
    sound = tuple(template for template in args if template is not None)
    return Started(command, known[command], sound, environment, Bounds(max(1, -(-cpu_ms // 1000)), memory))


def _reached(table: Table) -> Reached | None:
    if "url" not in table.raw:
        # So that they are known settings where something else is wrong.
        table.text("url"), table.texts_by_name("headers"), table.texts("egress"), table.text("ca_file")
        for key in ("headers", "egress", "ca_file"):
            if key in table.raw:
                table.note(key, "there is no `url` for it", "take it out")
        return None
    url, headers = url_of(table), headers_of(table, _RESERVED)
    egress, tls = egress_of(table, url[0] if url else None), authorities(table)
    return Reached(*url, headers, egress, tls) if url is not None and egress is not None else None
