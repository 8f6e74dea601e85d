"""The lines of an exported space: the fifth of our formats that stay. Each line is one JSON object; `is` says of what.

A stream begins with its `space` and ends with its `end`, which counts the lines before it and has the SHA-256 over
them: what is cut off, changed or mixed up is told from what is whole. Bodies (tables, entities, entries) stand there
byte for byte as they are stored, since their hashes are over these bytes. What is absent has its default, for ever.

Files of an archive are made of such lines, too, and begin with their `segment`: see `temper.runtime.archive`.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

FORMAT = 1

NOTHING = msgspec.Raw(b"null")
"""A body that is not there."""


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="is"):
    """A line."""


class Space(_Line, tag="space", frozen=True, kw_only=True):
    """What follows is this blueprint's; its log is in so many parts."""

    format: int
    blueprint: str
    parts: int


class Version(_Line, tag="version", frozen=True, kw_only=True):
    """A version of the table."""

    number: int
    digest: str
    table: msgspec.Raw
    report: msgspec.Raw
    at: int
    by: str
    note: str = ""


class Entity(_Line, tag="entity", frozen=True, kw_only=True):
    """An entity as it is kept. `row` is its place in the order of creation, `table` the version that wrote it."""

    row: int
    kind: str
    id: str
    state: str
    live: bool
    due: int | None = None
    table: int
    body: msgspec.Raw


class LogEntry(_Line, tag="entry", frozen=True, kw_only=True):
    """An entry of the journal. `row` is its entity's; a creation that was refused has none."""

    part: int = 0
    seq: int
    row: int | None = None
    hash: str
    body: msgspec.Raw


class Mark(_Line, tag="mark", frozen=True, kw_only=True):
    """An entity as it was after the entry `seq` of that part."""

    part: int = 0
    row: int
    seq: int
    table: int
    body: msgspec.Raw


class Key(_Line, tag="key", frozen=True, kw_only=True):
    """A `key` that is given, and to which id."""

    kind: str
    value: str
    id: str


class Hold(_Line, tag="hold", frozen=True, kw_only=True):
    """The values of a `unique` that are taken."""

    kind: str
    number: int
    value: str
    id: str


class Ref(_Line, tag="ref", frozen=True, kw_only=True):
    """By what an entity is found: its `field` refers to `target`."""

    kind: str
    field: str
    target: str
    row: int


class Order(_Line, tag="order", frozen=True, kw_only=True):
    """A call or a send that has not ended."""

    order: str
    kind: str
    entity: str
    id: str
    tool: str | None = None
    args: msgspec.Raw
    send: msgspec.Raw = NOTHING
    table: int
    state: str
    attempts: int
    next_at: int
    created_at: int
    lane: int
    pair: str | None = None
    unsure: bool = False
    last_error: str = ""


class Answer(_Line, tag="answer", frozen=True, kw_only=True):
    """What was answered under an idempotency key: its entries, each by part and number, and the entity after them."""

    name: str
    fingerprint: str
    at: int
    entries: list[tuple[int, int]]
    kind: str | None = None
    id: str | None = None
    table: int | None = None
    body: msgspec.Raw = NOTHING


class Letter(_Line, tag="letter", frozen=True, kw_only=True):
    """A dead letter."""

    order: str
    entity: str
    id: str
    text: str
    at: int


class Stir(_Line, tag="stir", frozen=True, kw_only=True):
    """Who has yet to look at their `whenever`s."""

    owner: str
    kind: str
    id: str
    path: str
    caller: msgspec.Raw
    after: int


class Head(msgspec.Struct, frozen=True):
    """The last entry of a part of the log, and its hash."""

    part: int
    seq: int
    hash: str


class End(_Line, tag="end", frozen=True, kw_only=True):
    """The stream is whole: so many lines came before, with this SHA-256."""

    lines: int
    sha256: str
    heads: list[Head]


class Segment(_Line, tag="segment", frozen=True, kw_only=True):
    """What follows was put away; `after` is the segment before, 0 for none, and `sum` the SHA-256 of its file."""

    format: int
    number: int
    after: int
    sum: str


Line: TypeAlias = (
    Space | Version | Entity | LogEntry | Mark | Key | Hold | Ref | Order | Answer | Letter | Stir | End | Segment
)


def raw(body: bytes | None) -> msgspec.Raw:
    """Return a body as it stands in a line."""
    return NOTHING if body is None else msgspec.Raw(body)


def kept(raw: msgspec.Raw) -> bytes | None:
    """Return the body that `raw` took."""
    return None if raw == NOTHING else bytes(raw)


to_line = msgspec.json.Encoder().encode
from_line = msgspec.json.Decoder(Line).decode
