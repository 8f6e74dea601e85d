"""The `http` adapter: any REST call or webhook, one request an attempt.

```toml
[tools."pager.page"]
adapter = "http"
method = "POST"
url = "https://hooks.example.com/{service}"      # filled in after the host only
headers = { Authorization = "Bearer {secret:PAGER_TOKEN}" }
json = { text = "{text}" }                       # or `form = { ... }`, or `text = "..."`
result = { ticket = "id" }                       # where the answer's JSON has what the blueprint reads
success = [200, 201, 202]                        # without it: every 2xx
unknown = [502, 504]                             # a gateway lost the answer: it may have happened
egress = ["hooks.example.com:443"]               # without it: the URL's own host, if that is public
redirects = false
max_answer_bytes = 1_048_576
ca_file = "/etc/ssl/inside.pem"                  # without it: the well-known authorities
sign = "PAGER_SIGNING_SECRET"                    # without it: requests are not signed
```

The order's id goes out as `Idempotency-Key`. What came of an attempt is decided by two questions: had the request
begun to leave, and did an answer come back?

| what happened | outcome |
|---|---|
| the egress list or an argument forbids it | failed, `refused` |
| no connection | failed, `unavailable`, try again |
| a status in `success` | answered, or failed, `bad_answer`, if the answer is not what `result` needs |
| a status in `unknown` | unknown (1) |
| cut off or timed out once the request had begun to leave | unknown (1) |
| 408, 425, 429, 5xx | failed, `unavailable`, try again |
| any other status | failed, `rejected` |

(1) For GET and HEAD, which change nothing: failed, `unavailable`, try again.

With `sign`, the secret of that name signs each request as the scheme `generic` of webhooks has it: `Temper-Timestamp`
is the time in seconds, `Temper-Delivery` the order's id, and `Temper-Signature` is `v1=` and the HMAC with SHA-256, in
hexadecimal, over the two and the body, joined by dots. It binds the body, not the URL, and goes to the URL's own host
alone: a redirect to another leaves it out.

Each attempt opens a connection of its own, to an address that was looked at (see `egress`). A kept connection may
have been closed by the other side meanwhile, which shows only after the request has left, and would count as unknown
for no reason. Proxies that the environment names are not used: they would connect where the egress list does not
reach.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import ssl
import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import httpx2

from temper.runtime.egress import (
    PORTS,
    Egress,
    Entry,
    Forbidden,
    Pinned,
    Resolve,
    as_address,
    bracketed,
    is_public,
    parse_entry,
    same_host,
)
from temper.runtime.quiet import quiet
from temper.runtime.tools.adapter import Answered, Attempt, Call, Failed, Kind, Unknown, in_time
from temper.runtime.tools.path import Path, extract
from temper.runtime.tools.reading import Table
from temper.runtime.tools.template import Argument, CannotFill, Part, Secret, Shape, Template, fill, fill_text
from temper.runtime.vault import Vault

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ANSWER_BYTES_MAX = 1_048_576
REDIRECTS_MAX = 5
EXCERPT_MAX = 300  # As much of an error's body as fits in a line or two of a history.

_SAFE = ("GET", "HEAD")
_LATER = frozenset({408, 425, 429})
_SUCCESS = frozenset(range(200, 300))
_UNKNOWN = frozenset({502, 504})


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host and a port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Json:
    """A body of JSON."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Form:
    """A body of form fields."""

    fields: tuple[tuple[str, Template], ...]


@dataclass(frozen=True, slots=True)
class Plain:
    """A body of plain text."""

    text: Template


Body = Json | Form | Plain


@dataclass(frozen=True, slots=True)
class Binding:
    """One tool's settings, checked."""

    method: str
    origin: Origin
    target: Template  # All of the URL that follows the host.
    headers: tuple[tuple[str, Template], ...]
    body: Body | None
    result: tuple[tuple[str, Path], ...]
    success: frozenset[int]
    unknown: frozenset[int]
    egress: Egress
    redirects: bool
    answer_bytes_max: int
    tls: ssl.SSLContext | None  # `None`: the well-known authorities.
    sign: str | None = None  # The name of the secret.


@dataclass(slots=True)
class _Request:
    """A request that is ready to leave; `left` once it has begun to."""

    method: str
    origin: Origin
    target: str
    headers: list[tuple[str, str]]
    content: bytes
    timeout_s: float
    left: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back. `body` is `None` when it was longer than allowed, or encoded."""

    status: int
    headers: httpx2.Headers
    body: bytes | None


class HttpAdapter:
    """Carries out a tool's calls as HTTP requests."""

    def __init__(self, binding: Binding, vault: Vault, resolve: Resolve) -> None:
        self._binding = binding
        self._vault = vault
        self._carrier = Pinned(binding.egress, resolve=resolve, tls=binding.tls)

    def __repr__(self) -> str:
        return f"HttpAdapter({self._binding.method} {self._binding.origin})"

    async def call(self, call: Call) -> Attempt:
        """Send one request, and say what came of it."""
        try:
            request = self._request(call)
        except CannotFill as problem:
            return Failed(Kind.REFUSED, self._vault.hide(str(problem)), retry=False)
        except (UnicodeError, ValueError, RecursionError):
            return Failed(Kind.REFUSED, "an argument can't be written as a request", retry=False)
        try:
            with quiet():
                async with in_time(call, partial(self._may_have_happened, request)):
                    return await self._follow(request)
        except TimeoutError:
            return self._lost(request, f"no answer in {call.timeout_ms} ms")
        except Forbidden as problem:
            return self._lost(request, str(problem), Kind.REFUSED, retry=False)
        except (httpx2.TransportError, OSError) as problem:
            return self._lost(request, _said(problem))
        except Exception as problem:  # noqa: BLE001  # the contract: whatever a library throws is an outcome
            return self._lost(request, f"a fault of the adapter: {_said(problem)}", retry=False)

    async def close(self) -> None:
        """Let go of connections."""
        await self._carrier.aclose()

    def _lost(
        self, request: _Request, text: str, kind: Kind = Kind.UNAVAILABLE, *, retry: bool = True
    ) -> Failed | Unknown:
        """What an attempt is that got no answer."""
        text = self._vault.hide(f"{request.method} {request.origin}: {text}")
        if self._may_have_happened(request):
            return Unknown(text)
        return Failed(kind, text, retry=retry)

    def _may_have_happened(self, request: _Request) -> bool:
        # A redirect may have made the request a GET: the tool's own method says whether something may have happened.
        return request.left and self._binding.method not in _SAFE

    # --- the request ------------------------------------------------------------------------------

    def _request(self, call: Call) -> _Request:
        binding = self._binding
        headers = [(name, fill_text(value, call, self._vault, header_guard)) for name, value in binding.headers]
        given = {name.lower() for name, _ in headers}
        content, content_type = self._content(call)
        ours = {"Idempotency-Key": _header_text(call.order), "Accept": "application/json", "User-Agent": "temper"}
        if content_type:
            ours["Content-Type"] = content_type
        headers += [(name, value) for name, value in ours.items() if name.lower() not in given]
        if binding.sign is not None:
            headers += self._signature(_header_text(call.order), content, binding.sign)
        # A short answer may unpack to a very long one.
        headers.append(("Accept-Encoding", "identity"))
        return _Request(
            binding.method,
            binding.origin,
            target_of(binding.target, call, self._vault),
            headers,
            content,
            call.timeout_ms / 1000,
        )

    def _signature(self, delivery: str, content: bytes, secret: str) -> list[tuple[str, str]]:
        at = str(int(time.time()))
        text = f"{at}.{delivery}.".encode() + content
        made = hmac.new(self._vault.reveal(secret).encode(), text, hashlib.sha256).hexdigest()
        return [("Temper-Timestamp", at), ("Temper-Delivery", delivery), ("Temper-Signature", f"v1={made}")]

    def _content(self, call: Call) -> tuple[bytes, str]:
        body = self._binding.body
        if body is None:
            return b"", ""
        match body:
            case Json(shape):
                return json.dumps(fill(shape, call, self._vault), ensure_ascii=False).encode(), "application/json"
            case Form(fields):
                pairs = [(name, fill_text(value, call, self._vault)) for name, value in fields]
                return urlencode(pairs).encode(), "application/x-www-form-urlencoded"
            case Plain(text):
                return fill_text(text, call, self._vault).encode(), "text/plain; charset=utf-8"

    # --- on its way -------------------------------------------------------------------------------

    async def _follow(self, request: _Request) -> Attempt:
        until = asyncio.get_running_loop().time() + request.timeout_s
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._send(request)
            if not (self._binding.redirects and 300 < answer.status < 400 and "location" in answer.headers):
                return self._judge(request, answer)
            self._redirect(request, answer)
            if asyncio.get_running_loop().time() >= until:
                raise TimeoutError  # Nothing new begins after it, whoever still listens.
        raise Forbidden(f"more than {REDIRECTS_MAX} redirects")

    async def _send(self, request: _Request) -> _Answer:
        async def trace(event: str, _info: Any) -> None:
            if event.endswith("send_request_headers.started"):
                request.left = True

        outgoing = httpx2.Request(
            request.method,
            httpx2.URL(str(request.origin)).copy_with(raw_path=request.target.encode("ascii")),
            headers=request.headers,
            content=request.content,
            extensions={"trace": trace, "timeout": {"connect": request.timeout_s}},
        )
        response = await self._carrier.handle_async_request(outgoing)
        try:
            body: bytes | None = b""
            if response.headers.get("content-encoding", "identity") != "identity":
                body = None
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            async for chunk in response.stream:
                if body is not None:
                    body = body + chunk if len(body) + len(chunk) <= self._binding.answer_bytes_max else None
                if body is None:
                    break
            return _Answer(response.status_code, response.headers, body)
        finally:
            await response.aclose()

    def _redirect(self, request: _Request, answer: _Answer) -> None:
        """Turn `request` to where the answer points.

        The egress list is asked about it when it leaves, like any other.
        """
        if answer.status in (307, 308):
            request.left = False  # It said that nothing was done here.
        try:
            here = httpx2.URL(str(request.origin)).copy_with(raw_path=request.target.encode("ascii"))
            there = here.join(answer.headers["location"])
            default = PORTS[there.scheme]
            origin = Origin(there.scheme, same_host(there.host), there.port or default)
        except (httpx2.InvalidURL, KeyError, UnicodeError):
            raise Forbidden("the answer redirects to what is not an http address") from None
        if request.origin.scheme == "https" and origin.scheme == "http":
            raise Forbidden("the answer redirects from https to http")
        if there.userinfo:
            raise Forbidden("the answer redirects to a url with a user in it")
        if answer.status not in (307, 308) and request.method not in _SAFE:
            # As browsers do it, and RFC 9110 allows: what is done is done, and GET reads the outcome.
            request.method, request.content = "GET", b""
            request.headers = [pair for pair in request.headers if pair[0].lower() != "content-type"]
        if origin != request.origin:
            ours = {"idempotency-key", "accept", "user-agent", "content-type", "accept-encoding"}
            request.headers = [pair for pair in request.headers if pair[0].lower() in ours]
        request.origin = origin
        request.target = there.raw_path.decode("ascii")

    # --- what came back ---------------------------------------------------------------------------

    def _judge(self, request: _Request, answer: _Answer) -> Attempt:
        if answer.status in self._binding.success:
            return self._answered(answer)
        text = self._vault.hide(f"{request.method} {request.origin}: {status_text(answer.status)}")
        if answer.body:
            text += self._excerpt(answer.body)
        if 300 <= answer.status < 400:
            text += " (redirects are not followed)"
        return kind_of_status(answer.status, text, safe=self._binding.method in _SAFE, unknown=self._binding.unknown)

    def _answered(self, answer: _Answer) -> Attempt:
        if not self._binding.result:
            return Answered({})
        if answer.body is None:
            limit = self._binding.answer_bytes_max
            return Failed(Kind.BAD_ANSWER, f"the answer is encoded, or longer than {limit} bytes", retry=False)
        try:
            value = json.loads(answer.body, parse_float=str, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return Failed(Kind.BAD_ANSWER, f"the answer is not JSON{self._excerpt(answer.body)}", retry=False)
        found, missing = extract(self._binding.result, value)
        if missing:
            return Failed(Kind.BAD_ANSWER, f"the answer has no `{missing[0]}`{self._excerpt(answer.body)}", retry=False)
        return Answered(self._vault.hide_in(found))

    def _excerpt(self, body: bytes) -> str:
        # Hidden before it is cut, or a cut could leave half a secret.
        text = " ".join(self._vault.hide(body.decode(errors="replace")).split())
        return f": {text[:EXCERPT_MAX]}{'...' if len(text) > EXCERPT_MAX else ''}" if text else ""


def _url_guard(text: str, part: Part) -> str:
    match part:
        case Secret():
            # A webhook's secret may be several segments of a path.
            return quote(text, safe="/")
        case Argument(name) if not text:
            raise CannotFill(f"the argument `{name}` is empty, and the url needs it")
        case _:
            return quote(text, safe="")


def target_of(template: Template, call: Call, vault: Vault) -> str:
    """Return what follows the host. Raises `CannotFill` where an argument would lead elsewhere than the template."""
    target = fill_text(template, call, vault, _url_guard)
    for segment in target.partition("?")[0].split("/"):
        if segment in (".", ".."):
            raise CannotFill("an argument would make the url's path climb")
    return target


def kind_of_status(status: int, text: str, *, safe: bool, unknown: frozenset[int] = _UNKNOWN) -> Failed | Unknown:
    """Return what a status that is no success says of an attempt; `safe` ones have changed nothing."""
    if status in unknown and not safe:
        return Unknown(text)
    if status >= 500 or status in _LATER:
        return Failed(Kind.UNAVAILABLE, text, retry=True)
    return Failed(Kind.REJECTED, text, retry=False)


def header_guard(text: str, _part: Part) -> str:
    """Return a part of a header as it is. Raises `CannotFill` where it would be more than that."""
    return _header_text(text)


def _header_text(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise CannotFill("a header would hold a control character, or one that is not ASCII")
    return text


def status_text(status: int) -> str:
    """Return a status with its name, if it has one."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _said(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__


def _no_number(text: str) -> None:
    raise ValueError(text)


# --- settings -------------------------------------------------------------------------------------


def build(table: Table, resolve: Resolve) -> HttpAdapter | None:
    """Return the adapter that a table describes, or `None` when it has problems, which it then notes."""
    before = len(table.problems)
    method = table.one_of("method", METHODS)
    url = url_of(table)
    headers = headers_of(table, frozenset({"temper-timestamp", "temper-delivery", "temper-signature"}))
    body = _body(table)
    if body is not None and method in _SAFE:
        table.note("", f"{method} sends no body", "put what it asks for into the url")
    result = table.results(answer="the answer's JSON")
    success, unknown = table.statuses("success", _SUCCESS), table.statuses("unknown", _UNKNOWN)
    redirects = table.flag("redirects")
    answer_bytes_max = table.number("max_answer_bytes", ANSWER_BYTES_MAX)
    tls = authorities(table)
    sign = table.text("sign")
    if sign is not None:
        table.secret("sign", sign)
    egress = egress_of(table, url[0] if url else None)
    table.finish()
    if len(table.problems) > before:
        return None
    assert method is not None, "its absence is a problem"
    assert url is not None, "its absence is a problem"
    assert egress is not None, "without a list there is the url's host"
    binding = Binding(
        method, *url, headers, body, result, success, unknown, egress, redirects, answer_bytes_max, tls, sign
    )
    return HttpAdapter(binding, table.vault, resolve)


_RESERVED = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)\Z")


def headers_of(table: Table, reserved: frozenset[str]) -> tuple[tuple[str, Template], ...]:
    """Return the headers that a table says, noting those that can't be said."""
    headers = table.texts_of_templates("headers")
    for name, _ in headers:
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or name.lower() in reserved | _RESERVED:
            table.note(f"headers.{name}", f"`{name}` can't be set here", "take it out: the adapter writes it")
    return headers


def url_of(table: Table) -> tuple[Origin, Template] | None:
    """Return the URL that a table says: where, which is fixed, and what follows, which is filled."""
    raw = table.text("url", required=True)
    if raw is None:
        return None
    found = _URL.match(raw)
    if found is None:
        table.note("url", f"`{raw}` is not a url with http or https, without a fragment", "write `https://host/path`")
        return None
    scheme, authority, rest = found.groups()
    if "{" in authority:
        table.note("url", "a template can't decide the host", "write the host out; fill in what follows it")
        return None
    if "@" in authority:
        table.note("url", "a user in a url would be shown", "use `headers` with `{secret:NAME}`")
        return None
    try:
        parsed = httpx2.URL(f"{scheme}://{authority}")
        origin = Origin(scheme, same_host(parsed.host), parsed.port or PORTS[scheme])
    except (httpx2.InvalidURL, UnicodeError):
        origin = Origin(scheme, "", 0)
    if not origin.host:
        table.note("url", f"`{authority}` is not a host", "write `https://host/path`")
        return None
    literal, problem = re.sub(r"\{[^{}]*\}", "", rest), "only printable ASCII without spaces may stand in a url"
    if not re.fullmatch(r"[!-~]*", literal):
        table.note("url", problem, "percent-encode what is not")
        return None
    target = table.parsed("url", rest if rest.startswith("/") else f"/{rest}")
    return (origin, target) if target else None


def _body(table: Table) -> Body | None:
    given = [key for key in ("json", "form", "text") if key in table.raw]
    for extra in given[1:]:
        table.note(extra, f"there is a `{given[0]}` already", "keep one of them")
    shape, fields, text = table.shape("json"), table.texts_of_templates("form"), table.template("text")
    if "json" in given:
        return Json(shape) if shape is not None else None
    if "form" in given:
        return Form(fields)
    return Plain(text) if text is not None else None


def authorities(table: Table) -> ssl.SSLContext | None:
    """Return what TLS is checked by, if a table says so."""
    file = table.text("ca_file")
    if file is None:
        return None
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as problem:  # `ssl.SSLError` is one.
        table.note("ca_file", f"no certificates can be read from `{file}`: {problem}", "give a file in PEM form")
        return None


def egress_of(table: Table, origin: Origin | None) -> Egress | None:
    """Return the list that a table says, without one that of the URL's own host, if that is public."""
    listed = table.texts("egress")
    where = f"{bracketed(origin.host)}:{origin.port}" if origin else ""
    if listed is None:
        if origin is None:
            return None
        address = as_address(origin.host)
        if address is not None and not is_public(address):
            table.note("url", f"`{origin.host}` is not a public address", f'allow it with `egress = ["{where}"]`')
            return None
        entry = parse_entry(where)
        return Egress((entry,)) if entry else None
    entries: list[Entry] = []
    for text in listed:
        entry = parse_entry(text)
        if entry is None:
            table.note("egress", f"`{text}` is not `host:port`", "write `hooks.example.com:443`, or `10.0.0.0/8:443`")
        else:
            entries.append(entry)
    egress = Egress(tuple(entries))
    if origin is not None and len(entries) == len(listed) and not egress.lists(origin.host, origin.port):
        table.note("egress", f"`{where}`, the url's own host, is not listed", f"add `{where}`")
    return egress
