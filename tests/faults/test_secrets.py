"""Secrets planted wherever one can be named, tools that fail in every way and say what they know: nothing of it stays.

A real server, real tools on loopback and a real command. Each secret is another canary, and each is looked for, in
every form that it may have taken, in what the server keeps, answers, exports and prints.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import html
import json
import os
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

# As awkward as a secret may be where it is used: a header takes ASCII, a variable anything but a zero byte.
CANARIES = {
    "in_header": "canary-header/5f2a+b7 c",
    "in_url": "canary-url/91c4+e0",
    "in_host": "canaryhost7d20",
    "in_json": 'canary-json-<"&é>-33',
    "in_form": "canary form+&=/7a",
    "in_text": "canary-text\nsecond line of it",
    "key": "canary-key-c07d1e",
    "old_key": "canary-old-key-11",
    "hook": "canary-hook-8b3c55",
    "in_env": "canary-env-$HOME-`x`-'q'",
    "in_arg": "canary-arg --option \\ 4",
    "in_input": "canary-input-ü-09",
    "in_server": "canary-server-55/+e",
    "from_file": "canary-file-aa01",
    "from_file_again": "renewed-canary-dd04",
    "from_command": "canary-command-bb02",
    "never_used": "canary-never-cc03",
}
# What nobody has told anybody yet.
UNTOLD = {"never_used", "from_file_again"}
HEADERS = "headers = { X-One = '{secret:in_header}', X-Two = 'f {secret:from_file} c {secret:from_command}' }"
URL = "http://127.0.0.1:PORT/PATH/{secret:in_url}?x={secret:in_url}&y={secret:in_host}"
JSON = "json = { one = '{secret:in_json}', two = ['{secret:in_header}'] }"
FORM = "form = { one = '{secret:in_form}' }"
TEXT = "text = 'a {secret:in_text} b'"
# Of each tool: the path it asks for, and what differs for it.
TOOLS = {
    "says": ("echo/200", JSON),
    "fails": ("echo/500", FORM),
    "rejects": ("echo/422", TEXT),
    "moves": ("move", JSON),
    "leads": ("lead", f"{JSON}\nredirects = true"),
    "drops": ("drop", TEXT),
    "rubbish": ("rubbish", TEXT),
    "half": ("half", JSON),
    "sleeps": ("sleep", FORM),
    "closed": ("closed", JSON),
    "plain": ("plain", JSON),
    "long": ("long", "text = 'x'\nmax_answer_bytes = 64"),
}
# Of each command's tool: how it ends.
# Of each tool of an MCP server, which is a program: the tool that is called there.
SERVED = {"mcp_says": "says", "mcp_fails": "fails", "mcp_raises": "raises", "mcp_dies": "dies", "mcp_none": "none"}
SERVER = """#!PYTHON
import os, sys
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent
server = MCPServer("planted")
told = " ".join([*sys.argv, *os.environ.values()])
print(told, file=sys.stderr, flush=True)

@server.tool()
def says(x: str) -> dict[str, str]:
    return {"said": told + x}

@server.tool()
def fails(x: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=told + x)], is_error=True)

@server.tool()
def raises(x: str) -> str:
    raise ValueError(told + x)

@server.tool()
def dies(x: str) -> str:
    os._exit(3)

server.run("stdio")
"""
COMMANDS = ("print", "fail", "temporary", "crash", "hang", "noise")
COMMAND = """#!PYTHON
import json, os, signal, sys, time
how, said = sys.argv[1], " ".join([*sys.argv[2:], sys.stdin.read(), *os.environ.values()])
print(said, file=sys.stderr, flush=True)
if how == "print":
    print(json.dumps({"said": said}))
elif how == "noise":
    print("NOT JSON", said)
elif how == "crash":
    os.kill(os.getpid(), signal.SIGKILL)
elif how == "hang":
    time.sleep(60)
sys.exit({"fail": 3, "temporary": 75}.get(how, 0))
"""
ENTITY = """
tool t.NAME(x: string) -> (said: string)
  timeout TIMEOUT

entity OfKIND
  states Calling, Fine, Bad, Open
  final Fine, Bad, Open

  asked: string
  said: string?

  action Begin(asked) by maker from new to Calling
    set asked
    call t.NAME(asked) then Answered(result.said) else Failed(error.text) unknown Lost

  action Answered(what: string) by system from Calling to Fine
    set said = what

  action Failed(what: string) by system from Calling to Bad
    set said = what

  action Lost by system from Calling to Open

  late Answered, Failed, Lost ignore
"""

# What comes of its call has no place: the failure, with all that the tool said, is a dead letter. No level but the
# scenarios' lets such a blueprint pass.
STUCK = """
entity Stuck
  states Calling, Bad
  final Bad

  asked: string

  action Begin(asked) by maker from new to Calling
    set asked
    call t.fails(asked) then Answered else Failed(error.text)

  action Answered by system from Calling to Bad

  action Failed(what: string) by system
    from Calling to Bad when asked == what
"""


def timeout(name: str) -> str:
    """How long a call may take: what is meant to end has time for it, also on a busy machine."""
    return "2s" if name in ("sleeps", "cmd_hang") else "30s"


def kind(name: str) -> str:
    """The entity whose tool it is."""
    return "Of" + "".join(word.capitalize() for word in name.split("_"))


class Reflecting(socketserver.StreamRequestHandler):
    """Says back what it is told, in every form, and in every way to go wrong."""

    def handle(self) -> None:
        begin = self.rfile.read(1)
        if begin == b"\x16":
            return  # TLS, which this is not.
        line = (begin + self.rfile.readline()).decode("latin-1")
        head = [line]
        while (each := self.rfile.readline()) not in (b"\r\n", b""):
            head.append(each.decode("latin-1"))
        length = next((int(each.split(":")[1]) for each in head if each.lower().startswith("content-length")), 0)
        body = self.rfile.read(length)
        told = "".join(head) + body.decode("utf-8", "replace")
        assert isinstance(self.server, _Server)
        self.server.seen.append(told)
        # As if it knew what others were told too; what nothing names, nobody has told anybody.
        plain = " ".join((told, *(canary for name, canary in CANARIES.items() if name not in UNTOLD)))
        encoded = base64.b64encode(b"user:" + plain.encode()).decode()
        said = " ".join((plain, quote(plain), html.escape(plain), encoded, plain.encode().hex(), repr(plain)))
        first = line.split("/")[1] if line.count("/") > 1 else ""
        match first:
            case "echo":
                self._answer(line.split("/")[2], said)
            case "move" | "lead":
                host = CANARIES["in_host"]
                self._answer("302", said, f"Location: http://{host}.example:81/{quote(CANARIES['in_url'])}\r\n")
            case "drop":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Half: " + quote(said).encode())
            case "rubbish":
                self.wfile.write(said.encode("utf-8", "replace"))
            case "half":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + said.encode())
            case "sleep":
                self.wfile.write(b"HTTP/1.1 200 " + quote(said)[:900].encode())
                self.wfile.flush()
                time.sleep(4)
            case _:
                self._answer("200", said)

    def _answer(self, status: str, said: str, head: str = "") -> None:
        body = json.dumps({"said": said, said: said}).encode()
        start = f"HTTP/1.1 {status} {quote(CANARIES['in_header'])}\r\nX-Echo: {quote(said)}\r\n{head}"
        self.wfile.write(f"{start}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked has gone, as was meant."""


@contextmanager
def reflecting() -> Iterator[tuple[int, list[str]]]:
    with _Server(("127.0.0.1", 0), Reflecting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1], server.seen
        finally:
            server.shutdown()
            thread.join()


def program(path: Path, text: str) -> Path:
    path.write_text(text.replace("PYTHON", sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def settings(folder: Path, port: int) -> str:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = nobody.getsockname()[1]
    (folder / "secret.file").write_text(CANARIES["from_file"] + "\n")
    command = program(folder / "command", COMMAND)
    lines = [
        "[limits]\npage = 200\n[push]\nlevels = ['scenarios']\nallow_unknown = true\n[secrets]",
        'from_file = { file = "secret.file" }',
        f"from_command = {{ command = {json.dumps([sys.executable, '-c', 'import os; print(os.environ[chr(67)])'])} }}",
        *(f"{name} = {{ env = 'PLANTED_{name}' }}" for name in CANARIES if not name.startswith("from_")),
        "[webhooks.in]\nsecret = ['hook', 'old_key']\nblueprint = 'planted'\nentity = 'OfSays'\naction = 'Begin'",
        "params = { asked = 'asked' }\nprincipal = 'sender'\nroles = ['maker']",
        f"[adapters.process.commands]\nit = '{command}'",
        f"[adapters.mcp.commands]\nit = '{program(folder / 'server', SERVER)}'",
    ]
    for name, (path, more) in TOOLS.items():
        port_of = {"closed": closed}.get(name, port)
        url = URL.replace("PORT", str(port_of)).replace("PATH", path)
        scheme = url.replace("http:", "https:") if name == "plain" else url
        lines += [f'[tools."t.{name}"]\nadapter = "http"\nmethod = "POST"\nurl = "{scheme}"', HEADERS, more]
        lines += [f"sign = 'key'\nresult = {{ said = 'said' }}\negress = ['127.0.0.1:{port_of}']"]
    for how in COMMANDS:
        lines += [f'[tools."t.cmd_{how}"]\nadapter = "process"\ncommand = "it"\nresult = {{ said = "said" }}']
        lines += [f"args = ['{how}', '--with', '{{secret:in_arg}}']\nenvironment = {{ TOKEN = '{{secret:in_env}}' }}"]
        lines += ["json = { x = '{secret:in_input}', y = '{secret:from_file}' }\nretry_codes = [75]"]
    for name, tool in SERVED.items():
        lines += [f'[tools."t.{name}"]\nadapter = "mcp"\ncommand = "it"\ntool = "{tool}"\nresult = {{ said = "said" }}']
        lines += ["args = ['{secret:in_server}']\nenvironment = { TOKEN = '{secret:in_env}' }"]
        lines += ["arguments = { x = '{secret:in_json} {secret:from_file}' }"]
    return "\n".join(lines)


def forms(canary: str) -> set[bytes]:
    """The bytes of a canary as they may be kept: as they are, or as URLs, JSON, HTML, base64 or hexadecimal have it."""
    raw = canary.encode()
    found = {raw, quote(canary, safe="").encode(), quote(canary).encode(), json.dumps(canary)[1:-1].encode()}
    found |= {html.escape(canary).encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):
        # Without what depends on the letters beside it.
        found.add(base64.b64encode(b"\0" * before + raw)[4:-4])
    return found


def leaks(content: bytes, where: str) -> list[str]:
    return [f"{name} in {where}" for name, canary in CANARIES.items() for form in forms(canary) if form in content]


def test_the_looking_finds_what_is_there() -> None:
    for name, canary in CANARIES.items():
        for shown in (canary, quote(canary), repr(base64.b64encode(b"user:" + canary.encode()))):
            assert leaks(f"x {shown} y".encode(), "here")[0] == f"{name} in here"
    assert leaks(b"{secret:in_header} canary", "here") == []


def test_no_secret_is_kept_shown_or_said(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("TEMPER_")}
    env |= {f"PLANTED_{name}": value for name, value in CANARIES.items()} | {"C": CANARIES["from_command"]}
    names = [*TOOLS, *(f"cmd_{how}" for how in COMMANDS), *SERVED]
    (tmp_path / "planted.blueprint").write_text(
        "blueprint planted\n\nrole maker\n"
        + "".join(
            ENTITY.replace("NAME", name).replace("OfKIND", kind(name)).replace("TIMEOUT", timeout(name))
            for name in names
        )
        + STUCK
    )
    said: dict[str, bytes] = {}
    seen_at_all: list[dict[str, bytes]] = []
    with reflecting() as (port, seen):
        (tmp_path / "temper.toml").write_text(settings(tmp_path, port))
        command = [sys.executable, "-m", "temper", "serve", "planted.blueprint", "--port", "0", "--json"]
        with (
            (tmp_path / "out").open("wb") as out,
            (tmp_path / "err").open("wb") as err,
            subprocess.Popen(command, cwd=tmp_path, env=env, stdout=out, stderr=err) as process,
        ):
            try:
                with descendants(process.pid) as seen_at_all:
                    url, token = _started(process, tmp_path / "out")
                    said |= _asked(url, token, names)
                for words in (
                    ["export", "planted"], ["tools", "planted"], ["letters", "list", "planted"], ["audit", "planted"],
                    ["plan", "planted.blueprint"], ["history", "planted/OfSays/i"],
                ):  # fmt: skip
                    ran = subprocess.run(
                        [sys.executable, "-m", "temper", *words], cwd=tmp_path, capture_output=True, timeout=60,
                        env={**os.environ, "TEMPER_SERVER": url, "TEMPER_TOKEN": token}, check=True,
                    )  # fmt: skip
                    assert ran.stdout, words
                    said[" ".join(words)] = ran.stdout + ran.stderr
                (tmp_path / "secret.file").write_text(CANARIES["from_file_again"] + "\n")
                said |= _again(url, token)
            finally:
                process.terminate()
                process.wait(30)
    for path in (tmp_path / "out", tmp_path / "err", *sorted((tmp_path / "temper-data").rglob("*"))):
        if path.is_file():
            said[path.name] = path.read_bytes()
    # It did go out, and the answers did come back: what is missing below was there to be taken out.
    told = "\n".join(seen)
    for name in ("in_header", "from_file", "from_file_again", "from_command", "in_host"):
        assert CANARIES[name] in told
    assert quote(CANARIES["in_url"]) in told
    states = {name: json.loads(said[kind(name)]) for name in names}
    ends = {name: found["state"] for name, found in states.items()}
    assert ends == {name: END.get(name, "Bad") for name in names}
    for name in ("says", "fails", "rejects", "cmd_print", "cmd_fail", "mcp_says", "mcp_fails"):
        assert "{secret:" in states[name]["fields"]["said"], name
    # A letter shows why there was no place for a failure; what the failure said is kept beside it.
    assert b'"dead":true' in said["letter"]
    assert b"Stuck" in said["letters list planted"]
    assert b"{secret:in_host}.example" in said["history of OfLeads"]
    assert [leak for where, content in said.items() for leak in leaks(content, where)] == []
    assert {"planted.db", "openapi.json", "history of OfSays", "export planted", "stream"} <= set(said)
    # What `ps` shows to anybody is what the settings put into arguments, and a program's environment what they put
    # there: of the server's own it has nothing, and neither has a process that judges. (Between fork and exec it is
    # still the server, by its arguments; a command that finds a secret is the operator's, and has theirs.)
    lines = b"\n".join(each["cmdline"] for each in seen_at_all)
    own = [each for each in seen_at_all if b"serve" not in each["cmdline"] and b"chr(67)" not in each["cmdline"]]
    assert any(b"temper.service.judg" in each["cmdline"] for each in own)
    environments = b"\n".join(each["environ"] for each in own)
    assert {leak.split()[0] for leak in leaks(lines, "arguments")} == {"in_arg", "in_server"}
    assert {leak.split()[0] for leak in leaks(environments, "environments")} == {"in_env"}


@contextmanager
def descendants(of: int) -> Iterator[list[dict[str, bytes]]]:
    """Look at the programs that a process has started, again and again while the block lasts."""
    found: dict[tuple[int, bytes], dict[str, bytes]] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            parents = {pid: parent for pid in _pids() if (parent := _parent(pid)) is not None}
            for pid in parents:
                above, up = pid, 0
                while above in parents and above != of and (up := up + 1) < 20:
                    above = parents[above]
                if above == of and pid != of:
                    with contextlib.suppress(OSError):
                        seen = {what: Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ")}
                        found[pid, seen["cmdline"]] = seen

    looking = threading.Thread(target=look)
    looking.start()
    listed: list[dict[str, bytes]] = []
    try:
        yield listed
    finally:
        over.set()
        looking.join()
        listed += found.values()


def _pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


# What becomes of those that do not end as failed.
END = {
    "says": "Fine", "cmd_print": "Fine", "mcp_says": "Fine",
    **dict.fromkeys(("leads", "drops", "rubbish", "half", "sleeps", "cmd_crash", "cmd_hang", "mcp_dies"), "Open"),
}  # fmt: skip


def _started(process: subprocess.Popen[bytes], out: Path) -> tuple[str, str]:
    token, deadline = "", time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in out.read_text().splitlines():
            event = json.loads(line)
            token = event.get("token", token)
            if event["event"] == "ready":
                return event["url"], token
        assert process.poll() is None, out.read_text() + (out.parent / "err").read_text()
        time.sleep(0.02)
    raise AssertionError("it does not begin")


def _asked(url: str, token: str, names: list[str]) -> dict[str, bytes]:
    """Have every tool called, and return what the server answers to whatever can be asked."""
    said: dict[str, bytes] = {}
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        made = client.post("/v1/tokens", json={"principal": "mary", "roles": ["maker"]}).json()["token"]
        mary = {"Authorization": f"Bearer {made}"}
        for name in names:
            answer = client.post(f"/v1/planted/{kind(name)}", json={"id": "i", "asked": "x"}, headers=mary)
            assert answer.status_code == 201, answer.text
            said[f"create {name}"] = answer.content
        stuck = client.post("/v1/planted/Stuck", json={"id": "i", "asked": "x"}, headers=mary)
        assert stuck.status_code == 201, stuck.text
        # A delivery that is signed, one that is not, and one that is signed and does not fit.
        for number, (key, body) in enumerate((("hook", '{"asked": "x"}'), ("in_url", "{}"), ("old_key", "{}"))):
            at = str(int(time.time()))
            text = f"{at}.d{number}.{body}".encode()
            signature = hmac.new(CANARIES[key].encode(), text, hashlib.sha256).hexdigest()
            head = {"Temper-Timestamp": at, "Temper-Delivery": f"d{number}", "Temper-Signature": f"v1={signature}"}
            said[f"delivery {number}"] = client.post("/hooks/in", content=body, headers=head).content
        for name in names:
            of = f"/v1/planted/{kind(name)}"
            paths = {
                f"wait {name}": f"{of}/i/wait?until=not+(state+is+Calling)&timeout=30s",
                kind(name): f"{of}/i",
                f"history of {kind(name)}": f"{of}/i/history",
                f"list of {kind(name)}": of,
            }
            said |= {where: _read(client, path) for where, path in paths.items()}
        deadline = time.monotonic() + 30
        while not (letters := client.get("/v1/planted/letters").json()["items"]):
            assert time.monotonic() < deadline, "its failure has no place"
            time.sleep(0.02)
        said["letter"] = _read(client, f"/v1/planted/letters/{letters[0]['order']}")
        for path in ("openapi.json", "v1/planted", "v1/planted/tools", "v1/planted/letters", "v1/planted/versions"):
            said[path] = _read(client, f"/{path}")
    return said


def _again(url: str, token: str) -> dict[str, bytes]:
    """Have a tool called once its secret has been replaced in the file, and return what is told of it."""
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        made = client.post("/v1/tokens", json={"principal": "mary", "roles": ["maker"]}).json()["token"]
        mary = {"Authorization": f"Bearer {made}"}
        assert client.post("/v1/planted/OfSays", json={"id": "again", "asked": "x"}, headers=mary).status_code == 201
        _read(client, "/v1/planted/OfSays/again/wait?until=not+(state+is+Calling)&timeout=30s")
        files = {"planted.blueprint": "blueprint planted\n\nrole maker\n\nentity Other\n  states A\n  final A\n"}
        said = {"plan": client.post("/v1/planted/plan", json={"files": files}).content}
        said["what it became"] = _read(client, "/v1/planted/OfSays/again/history")
        with client.stream("GET", "/v1/planted/events", headers={"Last-Event-ID": "0"}) as stream:
            lines = stream.iter_lines()
            whole = ""
            while '"again"' not in whole or "Answered" not in whole.rpartition('"again"')[2]:
                whole += next(lines) + "\n"
        said["stream"] = whole.encode()
        for path in ("decisions", "grants", "tokens", "me", "planted/sources", "planted/policies", "planted/audit"):
            said[path] = _read(client, f"/v1/{path}")
        for path, body in (
            ("planted/OfSays", {"asked": 1}),
            ("planted/OfSays/again/Begin", {}),
            ("planted/Nothing", {}),
        ):
            said[f"problem of {path}"] = client.post(f"/v1/{path}", json=body).content
        return said


def _read(client: httpx2.Client, path: str) -> bytes:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("postgresql://u:{secret:PASSWORD}@127.0.0.1:1/x", "Connection refused"),
        ("postgresql://u:{secret:PASSWORD}@no-such-host.invalid/x", "server.store"),
        ("{secret:WHOLE}", "is not the address of a PostgreSQL"),
    ],
)
def test_a_store_that_can_not_be_reached_is_told_without_its_password(tmp_path: Path, store: str, said: str) -> None:
    (tmp_path / "temper.toml").write_text(f'[server]\nstore = "{store}"\n')
    canary = "canary-store/8 d"
    env = {**os.environ, "PASSWORD": canary, "WHOLE": f"mysql://u:{canary}@h/x"}
    command = [sys.executable, "-m", "temper", "serve", "--port", "0"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 2
    shown = ran.stdout + ran.stderr
    assert said in shown.decode()
    assert [form for form in forms(canary) if form in shown] == []
