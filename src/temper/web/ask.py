"""A request, taken apart: its headers, its query, its body.

Whatever can't be read as what it should be is declined here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec

from temper.service import Person, duration_ms
from temper.web.limits import Limits
from temper.web.paths import Route
from temper.web.problems import decline, malformed, misshapen, nearest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# What the door reads; nothing else in a request's head decides anything.
READ: Final = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"if-match",
        b"if-none-match",
        b"last-event-id",
        b"temper-forwarded",
        b"temper-identity",
    }
)
_VERSION: Final = re.compile(r'"[0-9]{1,18}"')
_ETAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})(ms|s|m|h|d)")  # nobody needs ten digits of any of them
PLACE: Final = re.compile(r"p[0-9a-z]{1,13}(\.[0-9a-z]{1,13}){0,255}")  # of a stream to which several servers write
_FIELDS_MAX: Final = 32
_SEQ_MAX: Final = 10**18 - 1  # below what SQLite, and what a pattern of 18 digits, can hold

_JSON: Final[msgspec.json.Decoder[dict[str, Any]]] = msgspec.json.Decoder(dict[str, Any])
T = TypeVar("T")


class Gone(Exception):
    """the client went away before its request was whole: there is nobody to answer."""


class Unfit(Exception):
    """A value of the query is none of those that its parameter takes; the message says which it takes."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query: how it is read, and what OpenAPI says of it."""

    name: str
    read: Callable[[str, Limits], Any]
    schema: Callable[[Limits], dict[str, Any]]
    description: str
    example: Any = None


@dataclass(slots=True)
class Ask:
    """A request whose caller is known. `query` holds what was given, read by its parameters."""

    route: Route
    method: str
    headers: dict[bytes, bytes]
    person: Person
    token: str
    receive: Receive
    limits: Limits
    query: dict[str, Any] = field(default_factory=dict)
    whole: bytes | None = None
    """The body, once it was read."""

    async def body(self, limit: int) -> bytes:
        """Return the whole body, of at most `limit` bytes."""
        if self.whole is None:
            self.whole = await self._body(limit)
        elif len(self.whole) > limit:
            _too_large(limit)
        return self.whole

    async def _body(self, limit: int) -> bytes:
        declared = self.headers.get(b"content-length")
        # A length that is no number can't come through the server's parser; a missing one is counted below.
        if declared is not None and declared.isdigit() and int(declared) > limit:
            if b"expect" not in self.headers:  # Who asks first has not begun to send.
                await self._drop(int(declared))
            _too_large(limit)
        message = await self.receive()
        if message["type"] != "http.request":
            raise Gone
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            try:
                async with asyncio.timeout(self.limits.body_timeout):
                    return await self._rest(body, limit)
            except TimeoutError:
                decline("request-timeout", 408, "the body did not arrive in time")
        if len(body) > limit:
            _too_large(limit)
        return body

    async def _drop(self, left: int) -> None:
        """Let a body come that is refused, as far as that is bearable: who is cut off while sending reads no answer."""
        left = min(left, self.limits.dropped_max)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drop_timeout):
                while left > 0:
                    message = await self.receive()
                    if message["type"] != "http.request":
                        raise Gone
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    async def _rest(self, first: bytes, limit: int) -> bytes:
        pieces, size, more = [first], len(first), True
        while more:
            if size > limit:
                _too_large(limit)
            message = await self.receive()
            if message["type"] != "http.request":
                raise Gone
            piece = message.get("body", b"")
            pieces.append(piece)
            size += len(piece)
            more = message.get("more_body", False)
        if size > limit:
            _too_large(limit)
        return b"".join(pieces)

    async def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; nothing at all is an empty one."""
        return self.as_json(await self.body(self.limits.body_max))

    def as_json(self, body: bytes) -> dict[str, Any]:
        """Return what `body`, of this request, holds as a JSON object; nothing at all is an empty one."""
        if not body:
            return {}
        self._expect_json()
        return decode(body, _JSON)

    async def json_as(self, decoder: msgspec.json.Decoder[T], limit: int) -> T:
        """Return the body as what `decoder` decodes."""
        body = await self.body(limit)
        if body:
            self._expect_json()
        return decode(body or b"{}", decoder)

    def media_type(self) -> str:
        """Return the body's media type without parameters, in small letters; "" where none is said."""
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    def _expect_json(self) -> None:
        sent = self.headers.get(b"content-type")
        if sent is None or sent == b"application/json":
            return
        kind = self.media_type()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            unsupported(kind, "application/json")

    def key(self) -> str | None:
        """Return the `Idempotency-Key`."""
        sent = self.headers.get(b"idempotency-key")
        if sent is None:
            return None
        if not sent or len(sent) > self.limits.key_max or not sent.isascii() or not sent.decode().isprintable():
            what = f"is 1 to {self.limits.key_max} printable ASCII characters"
            decline(
                "bad-request", 400, "the header `Idempotency-Key` can't be used", errors=[("Idempotency-Key", what)]
            )
        return sent.decode()

    def if_match(self) -> int | str | None:
        """Return the version that `If-Match` names, `"*"` for any, or `None` where it was not sent.

        A weak tag, or one that is none of ours, could only ever be stale (RFC 9110, 13.1.1). It is declined as what it
        is, a mistake: reading again, as one does with what is stale, would not mend it.
        """
        sent = self.headers.get(b"if-match")
        if sent is None:
            return None
        text = sent.decode("latin-1").strip()
        if text == "*":
            return "*"
        if not _VERSION.fullmatch(text):
            decline(
                "bad-request",
                400,
                "the header `If-Match` can't be read",
                help='give one version in quotes, as `ETag` has it: `If-Match: "3"`',
                errors=[("If-Match", 'is a version in quotes, such as "3", or *')],
            )
        return int(text[1:-1])

    def none_match(self, tag: str) -> bool:
        """Say whether the caller has what `tag` names already."""
        sent = self.headers.get(b"if-none-match")
        if sent is None:
            return False
        text = sent.decode("latin-1").strip()
        return text == "*" or tag in _ETAG.findall(text)

    def after(self) -> int | str | None:
        """Return after which event a stream goes on: `Last-Event-ID`, which clients send unasked, or `?after=`."""
        sent = self.headers.get(b"last-event-id")
        if sent is None:
            given: int | str | None = self.query.get("after")
            return given
        text = sent.decode("latin-1")
        if PLACE.fullmatch(text):
            return text
        if not sent.isdigit() or len(sent) > 18:
            decline(
                "bad-request",
                400,
                "the header `Last-Event-ID` can't be read",
                errors=[("Last-Event-ID", "is the id of an event, a number or its `place`")],
            )
        return int(sent)


def headers(sent: Iterable[tuple[bytes, bytes]], read: frozenset[bytes] = READ) -> dict[bytes, bytes]:
    """Return the headers that the door reads. One that came twice is declined: which one counts would be a guess."""
    found: dict[bytes, bytes] = {}
    for name, value in sent:
        if name in read:
            if name in found:
                title = name.decode().title().replace("Id", "ID")
                decline("bad-request", 400, f"the header `{title}` came twice", errors=[(title, "is given once")])
            found[name] = value
    return found


def query(raw: bytes, known: Mapping[str, Parameter], limits: Limits) -> dict[str, Any]:
    """Return the query's values. An unknown name is declined (400), as is a value that doesn't fit (422)."""
    try:
        text = raw.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        decline("bad-request", 400, "the query can't be read", detail=f"it is up to {_FIELDS_MAX} pairs in UTF-8")
    values: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    for name, value in pairs:
        parameter = known.get(name)
        if parameter is None:
            near = nearest(name, known)
            takes = f"this path takes {_listed(known)}" if known else "this path takes none"
            decline(
                "bad-request",
                400,
                "there is no such parameter of the query",
                detail=f"`{name[:80]}` is not known here",
                help=f"did you mean `{near}`?" if near else takes,
                errors=[(name[:80], "is not known here")],
            )
        if name in values:
            decline("bad-request", 400, f"`{name}` is given twice", errors=[(name, "is given once")])
        try:
            values[name] = parameter.read(value, limits)
        except Unfit as unfit:
            values[name] = None
            wrong.append((name, str(unfit)))
    if wrong:
        said = "; ".join(f"`{name}` {what}" for name, what in wrong)
        decline("bad-request", 422, "the query does not fit", detail=said, errors=wrong)
    return values


def text(description: str, name: str, *, example: str | None = None, most: str | None = None) -> Parameter:
    """Return a parameter that takes text; `most` names the limit of its length."""

    def read(value: str, limits: Limits) -> str:
        bound = getattr(limits, most) if most else limits.key_max
        if not 1 <= len(value) <= bound:
            raise Unfit(f"is 1 to {bound} characters")
        return value

    def schema(limits: Limits) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": getattr(limits, most) if most else limits.key_max}

    return Parameter(name, read, schema, description, example)


def flag(description: str, name: str) -> Parameter:
    """Return a parameter that is `true` or `false`."""

    def read(value: str, limits: Limits) -> bool:
        if value not in {"true", "false"}:
            raise Unfit("is `true` or `false`")
        return value == "true"

    return Parameter(name, read, lambda limits: {"type": "boolean", "default": False}, description)


def number(description: str, name: str, *, low: int, high: str | None, default: int | None = None) -> Parameter:
    """Return a parameter that is a whole number; `high` names the limit that bounds it, if one does."""

    def read(value: str, limits: Limits) -> int:
        bound = getattr(limits, high) if high else _SEQ_MAX
        if not (value.isascii() and value.isdigit() and len(value) < 20 and low <= int(value) <= bound):
            raise Unfit(f"is a whole number from {low}" + (f" to {bound}" if high else ""))
        return int(value)

    def schema(limits: Limits) -> dict[str, Any]:
        bounds = {"type": "integer", "minimum": low, "maximum": getattr(limits, high) if high else _SEQ_MAX}
        return bounds if default is None else bounds | {"default": default}

    return Parameter(name, read, schema, description)


def moment(description: str, name: str) -> Parameter:
    """Return a parameter that is an entry's number or a time. Which of them it is, the workshop finds."""
    said = text(description, name)
    schema = {"anyOf": [{"type": "string", "pattern": "^[0-9]{1,18}$"}, {"type": "string", "format": "date-time"}]}
    return Parameter(name, said.read, lambda limits: schema, description, "1")


def place(parameter: Parameter) -> Parameter:
    """Return a parameter that takes a place, too: where several servers write, that is more than a number."""

    def read(value: str, limits: Limits) -> int | str:
        if PLACE.fullmatch(value):
            return value
        number: int = parameter.read(value, limits)
        return number

    return Parameter(parameter.name, read, parameter.schema, parameter.description, parameter.example)


def span(description: str, name: str, *, default: str) -> Parameter:
    """Return a parameter that is a duration, read as milliseconds."""

    def read(value: str, limits: Limits) -> int:
        return duration(value)

    def schema(limits: Limits) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{DURATION.pattern}$", "default": default}

    return Parameter(name, read, schema, description, default)


def duration(value: str) -> int:
    """Return a duration as the language writes it, such as `30s`, in milliseconds."""
    if not DURATION.fullmatch(value):
        raise Unfit("is a duration, such as `30s` or `5m`")
    return duration_ms(value)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what `body` holds; declined with the place where it is not JSON (400) or not of this shape (422)."""
    try:
        found = decoder.decode(body)
        # As many colons as names: none is there twice, and that is seen in no time. Most bodies are so.
        if not isinstance(found, dict) or body.count(b":") != len(found):
            _each_name_once(body)
        return found
    except msgspec.ValidationError as error:
        misshapen(str(error))
    except msgspec.DecodeError as error:
        malformed(body, str(error))
    except UnicodeDecodeError as error:
        # The decoder counts from where the string begins; the caller wants the place in the body.
        malformed(body, f"a string is not UTF-8 (byte {body.index(error.object) + error.start})")
    except RecursionError:
        decline("bad-request", 400, "the body is nested too deeply")


def _each_name_once(body: bytes) -> None:
    """Decline a body where a name stands twice: one reader takes the first for what is meant, another the last."""

    def looked_at(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                twice = name[:80]
                decline("bad-request", 400, f"`{twice}` stands twice in the body", errors=[(twice, "is given once")])
            seen.add(name)

    json.loads(body, object_pairs_hook=looked_at, parse_int=str, parse_float=str)


def unsupported(sent: str, *taken: str) -> NoReturn:
    """Raise for a body of another media type."""
    decline(
        "unsupported-media-type",
        415,
        "the body's media type is not read here",
        detail=f"it came as `{sent[:80]}`" if sent else "its type is not said",
        help=f"send it as {_listed(taken)}",
    )


def _too_large(limit: int) -> NoReturn:
    decline("too-large", 413, "the body is too large", detail=f"it may have {limit} bytes")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
