"""The commands' side of the HTTP door: one request, and its answer or a `Stop` that says why not."""

from __future__ import annotations

import argparse
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2

from temper.cli.address import server_of
from temper.cli.arguments import SERVER
from temper.cli.exits import Exit, Stop
from temper.cli.paint import plain

TIMEOUT_SECONDS = 30.0
# A push waits for the verifier.
PUSH_SECONDS = 600.0
# A stream is silent for as long as nothing happens, but for a heartbeat.
STREAM_TIMEOUT = httpx2.Timeout(TIMEOUT_SECONDS, read=120.0)


class Client:
    """Asks one server, as whoever the token names, or else the certificate."""

    def __init__(self, server: str, token: str, ca_file: str = "", cert_file: str = "", key_file: str = "") -> None:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Stop(Exit.USAGE, f"`{server}` is no server's address", help=f"such as {SERVER}")
        self.server = server.rstrip("/")
        # The environment's proxies are for the world outside; a server that is named is asked directly.
        self._http = httpx2.Client(
            base_url=self.server,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            verify=_tls(ca_file, cert_file, key_file) if ca_file or cert_file else True,
        )

    @classmethod
    def of(cls, args: argparse.Namespace) -> Client:
        """Return the client that the options and the environment name."""
        server = server_of(args)
        token_file = getattr(args, "token_file", None)
        if token_file:
            try:
                token = Path(token_file).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Stop(Exit.USAGE, f"the token file `{token_file}` cannot be read: {error}") from error
        else:
            token = os.environ.get("TEMPER_TOKEN", "").strip()
        ca, cert, key = (os.environ.get(f"TEMPER_{name}_FILE", "") for name in ("CA", "CERT", "KEY"))
        if not token and not (cert and server.startswith("https:")):
            raise Stop(
                Exit.USAGE,
                "there is no token",
                help="put one into TEMPER_TOKEN; `temper serve` prints an administrator's at its first start",
            )
        return cls(server, token, ca, cert, key)

    def __enter__(self) -> Self:
        """Ask within the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connection."""
        self._http.close()

    def get(self, path: str, query: Mapping[str, str | int] | None = None, *, patient: bool = False) -> Any:
        """Return the JSON at `path`; `patient` where the answer waits for something."""
        return self._ask("GET", path, query, timeout=PUSH_SECONDS if patient else TIMEOUT_SECONDS)

    def post(
        self,
        path: str,
        body: Any,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        patient: bool = False,
    ) -> Any:
        """Post JSON, and return the answer's; `patient` where the answer waits for the verifier."""
        return self._ask("POST", path, query, body, headers, timeout=PUSH_SECONDS if patient else TIMEOUT_SECONDS)

    def put(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Put JSON, and return the answer's."""
        return self._ask("PUT", path, None, body, headers, timeout=PUSH_SECONDS)

    def delete(self, path: str, body: Any = None) -> Any:
        """Delete what is there, and return the answer's JSON."""
        return self._ask("DELETE", path, None, body)

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Any:
        with self._reaching():
            answer = self._http.request(
                method, path, params=query, json=body, headers=dict(headers or {}), timeout=timeout
            )
        if answer.is_success:
            return answer.json() if answer.content else None
        raise self._stop(answer)

    def stream(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        on_open: Callable[[], None] = lambda: None,
    ) -> Iterator[Any]:
        """Yield the JSON of each event of a live stream until the server ends it. `on_open` hears when it listens."""
        with (
            self._reaching(),
            self._http.stream(
                "GET", path, params=query, headers={"Accept": "text/event-stream"}, timeout=STREAM_TIMEOUT
            ) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise self._stop(answer)
            on_open()
            problem = False
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    problem = line.removeprefix("event:").strip() == "problem"
                elif line.startswith("data:"):
                    data = json.loads(line.removeprefix("data:"))
                    if problem:
                        raise problem_stop(data)
                    yield data

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise Stop(
                Exit.UNREACHABLE,
                f"{self.server} did not answer in time",
                help="it may have been done: look, or ask again with the same --key",
                data={"error": "timeout", "server": self.server},
            ) from error
        except httpx2.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise Stop(
                    Exit.UNREACHABLE,
                    f"nobody that is trusted here vouches for the server at {self.server}",
                    help="name the authorities' file in TEMPER_CA_FILE",
                    data={"error": "untrusted", "server": self.server, "detail": str(error)},
                ) from error
            # A server that wants a certificate, or another one, says no more than this.
            if self.server.startswith("https:") and not isinstance(error, httpx2.ConnectError):
                raise Stop(
                    Exit.UNREACHABLE,
                    f"{self.server} has ended the connection",
                    help="where it wants a certificate of an authority that it knows, name one in TEMPER_CERT_FILE",
                    data={"error": "ended", "server": self.server, "detail": str(error)},
                ) from error
            raise Stop(
                Exit.UNREACHABLE,
                f"no server answers at {self.server}",
                help="start one with `temper serve`, or name another with --server",
                data={"error": "unreachable", "server": self.server, "detail": str(error)},
            ) from error

    def _stop(self, answer: httpx2.Response) -> Stop:
        try:
            problem = answer.json()
        except ValueError:
            return Stop(Exit.UNREACHABLE, f"{self.server} answered {answer.status_code}, and it is no Temper")
        return problem_stop(problem)


def problem_stop(problem: Mapping[str, Any]) -> Stop:
    """Return a problem of the server's as the end of a command."""
    lines = [str(problem.get("title", "it was not done"))]
    detail = problem.get("detail")
    # Who is stranded is told one by one below, the one in the detail among them.
    if detail and not problem.get("stranded"):
        lines.append(f"  {detail}")
    clause = problem.get("clause")
    if clause:
        lines.append(f"  {clause['file']}:{clause['line']}: {clause['text']}")
    lines += [
        f"  {each['path']} {each['message']}"
        for each in problem.get("errors", ())
        if each["message"] not in str(detail)
    ]
    lines += ["\n" + each["rendered"].rstrip() for each in problem.get("findings", ())]
    for each in problem.get("stranded", ()):
        lines.append(f"  {each['entity']} {each['id']} in {each['state']}: {'; '.join(each['reasons'])}")
    possible = [each["action"] for each in problem.get("next", ())]
    if possible:
        lines.append(f"  possible now: {', '.join(possible)}")
    status = problem.get("status", 500)
    code = Exit.BROKEN
    if status in (400, 401, 404, 405, 413, 415) or str(problem.get("type", "")).endswith("bad-request"):
        code = Exit.USAGE
    elif status >= 500:
        code = Exit.UNREACHABLE
    elif _undecided(problem):
        code = Exit.UNKNOWN
    return Stop(code, plain("\n".join(lines)), help=plain(str(problem.get("help") or "")), data=dict(problem))


def _undecided(problem: Mapping[str, Any]) -> bool:
    """Say whether a push was turned down for what is unknown alone."""
    report = problem.get("report")
    if not report:
        return False
    return not (
        any(each["verdict"] == "broken" for each in report["properties"])
        or any(not each["passed"] for each in report["scenarios"])
        or any(each["severity"] == "error" for each in report["findings"])
    )


def target_path(target: str, *parts: int) -> list[str]:
    """Return the parts of `blueprint/Entity/id`, quoted for a path; `parts` says how many there may be."""
    given = [part for part in target.strip("/").split("/") if part]
    if len(given) not in parts:
        shapes = {0: "nothing", 1: "BLUEPRINT", 2: "BLUEPRINT/ENTITY", 3: "BLUEPRINT/ENTITY/ID"}
        raise Stop(
            Exit.USAGE, f"`{target}` does not name a target", help=f"write {' or '.join(shapes[n] for n in parts)}"
        )
    return [quote(part, safe="") for part in given]


def _tls(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise Stop(Exit.USAGE, f"no certificates can be read from `{ca_file}`: {error}") from error
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file or None)
        except OSError as error:
            raise Stop(
                Exit.USAGE,
                f"no certificate can be shown from `{cert_file}`: {error.strerror or error}",
                help="its key is in the same file, or in one that TEMPER_KEY_FILE names",
            ) from error
    return context
