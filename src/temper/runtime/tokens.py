"""Tokens on disk: hashes only. One SQLite file, shared by a server and by `temper token` beside it."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict, Unpack

import apsw

from temper.kernel import StoreFault
from temper.runtime.disk import fault_of

FORMAT = 2
PREFIX = "temper"
# Tokens that were used lately. Only those that were found are kept, so that made-up ones take no room.
CACHE_MAX = 10_000
# When a token was last used is kept this exactly: more would be a write for each request.
USED_MS = 60_000
# A session that ended so long ago is forgotten; histories name who acted, and for whom, without it.
FORGOTTEN_MS = 7 * 86_400_000
# What a secret is compared with where there is no such token, so that it takes as long as where there is.
_NOTHING = bytes(32)


class ParentGone(Exception):
    """The token that a session was to be started with has ended meanwhile."""


class More(TypedDict, total=False):
    """What a token can be beside whose it is; see `TokenRow`."""

    admin: bool
    acts_for: str | None
    expires_at: int | None
    teams: tuple[str, ...]
    attributes: Mapping[str, str]
    scope: tuple[str, ...] | None
    read_only: bool
    parent: str | None
    session: str | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it is kept: who bears it, how far it reaches, and until when. Times are milliseconds since 1970."""

    id: str
    principal: str
    roles: tuple[str, ...]
    admin: bool
    acts_for: str | None
    created_at: int
    expires_at: int | None
    revoked_at: int | None = None
    teams: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    scope: tuple[str, ...] | None = None
    """`BLUEPRINT`, `BLUEPRINT/ENTITY` or `BLUEPRINT/ENTITY/ID`; `None` is no bound."""
    read_only: bool = False
    parent: str | None = None
    """The token that the session was started with: when that is revoked, so is this."""
    session: str | None = None
    """The session's name; `None` where an administrator made it."""
    rotated_at: int | None = None
    """When it last got another secret."""
    used_at: int | None = None
    """When it was last used, to the minute."""

    def lets_in(self, at: int) -> bool:
        """Say whether it is neither expired nor revoked."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


@dataclass(frozen=True, slots=True)
class Secret:
    """What is kept of a token's secret, and of the one before it, which is good for a while after a rotation."""

    hash: bytes
    old_hash: bytes | None = None
    old_until: int | None = None

    def is_of(self, text: str, at: int) -> bool:
        """Say whether this is the token's text. How long that takes tells nothing of the secret."""
        given = hash_of(text)
        new = hmac.compare_digest(self.hash, given)
        old = hmac.compare_digest(self.old_hash or _NOTHING, given)
        return new or (old and self.old_until is not None and at < self.old_until)


UNKNOWN = Secret(_NOTHING)
"""Of a token that is not there."""

_COLUMNS = (
    "id, principal, roles, admin, acts_for, created_at, expires_at, revoked_at, teams, attributes, scope, read_only, "
    "parent, session, rotated_at, used_at"
)
# A file of format 1 becomes one of format 2 by these.
_ADDED = (
    "teams text not null default '[]'", "attributes text not null default '{}'", "scope text",
    "read_only integer not null default 0", "parent text", "session text", "rotated_at integer", "used_at integer",
    "old_hash blob", "old_until integer",
)  # fmt: skip


@dataclass
class TokenStore:
    """The tokens of a data folder. Another process may make or revoke one: it is seen by the next look-up."""

    path: Path
    _db: apsw.Connection = field(init=False, repr=False)
    _cache: dict[str, tuple[Secret, TokenRow]] = field(default_factory=dict, repr=False)
    _seen: int = field(default=-1, repr=False)
    _used: dict[str, int] = field(default_factory=dict, repr=False)
    _written: int = field(default=-USED_MS, repr=False)

    def __post_init__(self) -> None:
        """Open the file, and make it where there is none; only its owner can read it. Raises `StoreFault`."""
        self.path.touch(mode=0o600)
        try:
            self._open()
        except apsw.Error as problem:
            raise fault_of(self.path, problem) from problem

    def _open(self) -> None:
        self._db = apsw.Connection(str(self.path))
        self._db.set_busy_timeout(5_000)
        version = self._version()
        if version < FORMAT:
            self._db.execute("pragma journal_mode=wal")
            self._make_or_migrate()
            version = self._version()
        if version != FORMAT:
            raise ValueError(f"{self.path} has token format {version}; this release reads {FORMAT}")

    def _version(self) -> int:
        return int(self._db.pragma("user_version"))

    def _make_or_migrate(self) -> None:
        with self._transaction():
            version = self._version()  # Another process may have been first.
            if version == 0:
                self._db.execute(
                    "create table token("
                    "id text primary key, hash blob not null, principal text not null, roles text not null, "
                    "admin integer not null, acts_for text, created_at integer not null, expires_at integer, "
                    "revoked_at integer) strict"
                )
            if version < FORMAT:
                for column in _ADDED:
                    self._db.execute(f"alter table token add column {column}")
                self._db.execute(f"pragma user_version={FORMAT}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Begin as a writer at once, so that what is read in it is so until it ends. Raises `StoreFault`."""
        try:
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:  # A disk that is full has ended it.
                    self._db.execute("rollback")
                raise
        except apsw.Error as problem:
            raise fault_of(self.path, problem) from problem

    def make(self, principal: str, roles: tuple[str, ...], *, at: int, **more: Unpack[More]) -> tuple[str, TokenRow]:
        """Return a new token's secret text, which is kept nowhere, and its row.

        Raises `ParentGone` where it has a parent that lets nobody in any more.
        """
        text, row = new_token(principal, roles, at=at, **more)
        with self._transaction():
            if row.parent is not None:
                parent = self._row(row.parent)
                if parent is None or not parent.lets_in(at):
                    raise ParentGone
            if row.session is not None:
                self._db.execute(
                    "delete from token where session is not null and min(expires_at, coalesce(revoked_at, expires_at))"
                    " < ?", (at - FORGOTTEN_MS,),
                )  # fmt: skip
            self._db.execute(
                f"insert into token({_COLUMNS}, hash) values(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    row.id, row.principal, json.dumps(row.roles), int(row.admin), row.acts_for, row.created_at,
                    row.expires_at, None, json.dumps(row.teams), json.dumps(dict(row.attributes)),
                    None if row.scope is None else json.dumps(row.scope), int(row.read_only), row.parent, row.session,
                    None, None, hash_of(text),
                ),
            )  # fmt: skip
        return text, row

    def find(self, text: str, *, at: int) -> TokenRow | None:
        """Return the row of a token that is neither expired nor revoked, else `None`."""
        changed = int(self._db.pragma("data_version"))
        if changed != self._seen:
            self._cache.clear()
            self._seen = changed
        id = id_of(text)
        found = self._cache.get(id) if id is not None else None
        if found is None and id is not None:
            found = self._look_up(id)
            if found is not None:
                if len(self._cache) >= CACHE_MAX:
                    self._cache.clear()
                self._cache[id] = found
        secret, row = found if found is not None else (UNKNOWN, None)
        # The id finds the row; the secret part is compared in constant time.
        if not secret.is_of(text, at) or row is None or not row.lets_in(at):
            return None
        self._used[row.id] = at
        if at - self._written >= USED_MS:
            self._write_used(at)
        return row

    def _look_up(self, id: str) -> tuple[Secret, TokenRow] | None:
        asked = f"select hash, old_hash, old_until, {_COLUMNS} from token where id = ?"  # noqa: S608 - our own names
        for hashed, old_hash, old_until, *columns in self._db.execute(asked, (id,)):
            return Secret(hashed, old_hash, old_until), _row(columns)
        return None

    def _row(self, id: str) -> TokenRow | None:
        found = self._look_up(id)
        return None if found is None else self._as_used(found[1])

    def _as_used(self, row: TokenRow) -> TokenRow:
        used = self._used.get(row.id)
        return row if used is None else replace(row, used_at=used)

    def _write_used(self, at: int) -> None:
        """Write down which tokens were used, if that can be done now: if not, the next time will do.

        Somebody else may be writing, and the disk may be full: nobody is kept out by that.
        """
        self._written = at
        used = list(self._used.items())
        # Nothing is lost with it that anybody was promised: the log need not be on the disk before it goes on.
        self._db.execute("pragma synchronous=normal")
        self._db.set_busy_timeout(0)
        try:
            with self._transaction():
                self._db.executemany("update token set used_at = ? where id = ?", [(when, id) for id, when in used])
            self._used.clear()
        except StoreFault:
            pass
        finally:
            self._db.set_busy_timeout(5_000)
            self._db.execute("pragma synchronous=full")

    def get(self, id: str) -> TokenRow | None:
        """Return a token by its id, whether or not it lets anybody in."""
        return self._row(id)

    def revoked(self, id: str) -> bool:
        """Say whether a token has been revoked, or is forgotten."""
        row = self._row(id)
        return row is None or row.revoked_at is not None

    def sessions(self, acts_for: str, *, at: int) -> int:
        """Return how many sessions there are that act for a person."""
        number = self._db.execute(
            "select count(*) from token where session is not null and acts_for = ? and revoked_at is null"
            " and expires_at > ?", (acts_for, at),
        ).get  # fmt: skip
        return int(number)

    def all(self) -> tuple[TokenRow, ...]:
        """Return every token, oldest first."""
        rows = self._db.execute(f"select {_COLUMNS} from token order by created_at, id")  # noqa: S608 - our own names
        return tuple(self._as_used(_row(list(columns))) for columns in rows)

    def revoke(self, id: str, *, at: int) -> TokenRow | None:
        """Revoke at once, and all sessions that were started with it; return the row, `None` where there is none."""
        with self._transaction():
            self._db.execute(
                "with recursive gone(id) as (select ? union select token.id from token, gone where parent = gone.id)"
                " update token set revoked_at = coalesce(revoked_at, ?) where id in gone", (id, at),
            )  # fmt: skip
        self._cache.clear()
        return self._row(id)

    def rotate(self, id: str, *, at: int, grace_ms: int = 0) -> tuple[str, TokenRow] | None:
        """Return another secret text for a token; the one that it had is good for `grace_ms` more.

        `None` where there is no such token, or it lets nobody in. Sessions that were started with it go on.
        """
        with self._transaction():
            row = self._row(id)
            if row is None or not row.lets_in(at):
                return None
            text = text_of(id)
            self._db.execute(
                "update token set old_hash = hash, old_until = ?, hash = ?, rotated_at = ? where id = ?",
                (at + grace_ms, hash_of(text), at, id),
            )
        self._cache.clear()
        return text, replace(row, rotated_at=at)

    def close(self) -> None:
        """Let go of the file."""
        if self._used:
            self._write_used(max(self._used.values()))
        self._db.close()


def new_token(principal: str, roles: tuple[str, ...], *, at: int, **more: Unpack[More]) -> tuple[str, TokenRow]:
    """Return a token's secret text and its row; it is not kept yet."""
    id = secrets.token_hex(5)
    known: More = {"admin": False, "acts_for": None, "expires_at": None, **more}
    row = TokenRow(id, principal, tuple(sorted(set(roles))), created_at=at, **known)
    return text_of(id), row


def text_of(id: str) -> str:
    """Return a new secret text for the token of that id."""
    return f"{PREFIX}_{id}_{secrets.token_urlsafe(32)}"


def id_of(text: str) -> str | None:
    """Return the id in a token's secret text, `None` where it is none."""
    prefix, _, rest = text.partition("_")
    id, parted, _ = rest.partition("_")
    return id if parted and prefix == PREFIX else None


def is_token(text: str) -> bool:
    """Say whether it looks like a token of ours, good or not."""
    return id_of(text) is not None


def hash_of(text: str) -> bytes:
    """Return what is kept of a token's secret."""
    # The secret has 256 random bits, so that one round is enough; slow hashes are for what people choose.
    return hashlib.sha256(text.encode()).digest()


def _row(columns: list[object]) -> TokenRow:
    (
        id, principal, roles, admin, acts_for, created_at, expires_at, revoked_at, teams, attributes, scope, read_only,
        parent, session, rotated_at, used_at,
    ) = columns  # fmt: skip
    assert isinstance(id, str)
    assert isinstance(principal, str)
    assert isinstance(roles, str)
    assert isinstance(teams, str)
    assert isinstance(attributes, str)
    assert isinstance(created_at, int)
    return TokenRow(
        id=id,
        principal=principal,
        roles=tuple(json.loads(roles)),
        admin=bool(admin),
        acts_for=_text(acts_for),
        created_at=created_at,
        expires_at=_number(expires_at),
        revoked_at=_number(revoked_at),
        teams=tuple(json.loads(teams)),
        attributes=json.loads(attributes),
        scope=None if scope is None else tuple(json.loads(_text(scope) or "")),
        read_only=bool(read_only),
        parent=_text(parent),
        session=_text(session),
        rotated_at=_number(rotated_at),
        used_at=_number(used_at),
    )


def _text(value: object) -> str | None:
    assert value is None or isinstance(value, str)
    return value


def _number(value: object) -> int | None:
    assert value is None or isinstance(value, int)
    return value
