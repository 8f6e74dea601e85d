"""Tokens on disk: hashes only. One SQLite file, shared by a server and by `temper token` beside it."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import apsw

FORMAT = 1
PREFIX = "temper"
# Tokens that were used lately. Only those that were found are kept, so that made-up ones take no room.
CACHE_MAX = 10_000


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it is kept: who bears it, and until when. Times are milliseconds since 1970."""

    id: str
    principal: str
    roles: tuple[str, ...]
    admin: bool
    acts_for: str | None
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def lets_in(self, at: int) -> bool:
        """Say whether it is neither expired nor revoked."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


@dataclass
class TokenStore:
    """The tokens of a data folder. Another process may make or revoke one: it is seen by the next look-up."""

    path: Path
    _db: apsw.Connection = field(init=False, repr=False)
    _cache: dict[bytes, TokenRow] = field(default_factory=dict, repr=False)
    _seen: int = field(default=-1, repr=False)

    def __post_init__(self) -> None:
        """Open the file, and make it where there is none; only its owner can read it."""
        new = not self.path.exists()
        self.path.touch(mode=0o600)
        self._db = apsw.Connection(str(self.path))
        self._db.set_busy_timeout(5_000)
        if new or not self._version():
            self._db.execute("pragma journal_mode=wal")
            with self._db:
                self._db.execute(
                    "create table if not exists token("
                    "id text primary key, hash blob not null, principal text not null, roles text not null, "
                    "admin integer not null, acts_for text, created_at integer not null, expires_at integer, "
                    "revoked_at integer) strict"
                )
                self._db.execute(f"pragma user_version={FORMAT}")
        if self._version() != FORMAT:
            raise ValueError(f"{self.path} has token format {self._version()}; this release reads {FORMAT}")

    def _version(self) -> int:
        return int(self._db.pragma("user_version"))

    def make(
        self,
        principal: str,
        roles: tuple[str, ...],
        *,
        at: int,
        admin: bool = False,
        acts_for: str | None = None,
        expires_at: int | None = None,
    ) -> tuple[str, TokenRow]:
        """Return a new token's secret text, which is kept nowhere, and its row."""
        text, row = new_token(principal, roles, at=at, admin=admin, acts_for=acts_for, expires_at=expires_at)
        with self._db:
            self._db.execute(
                "insert into token values(?,?,?,?,?,?,?,?,?)",
                (row.id, hash_of(text), principal, json.dumps(row.roles), int(admin), acts_for, at, expires_at, None),
            )
        return text, row

    def find(self, text: str, *, at: int) -> TokenRow | None:
        """Return the row of a token that is neither expired nor revoked, else `None`."""
        changed = int(self._db.pragma("data_version"))
        if changed != self._seen:
            self._cache.clear()
            self._seen = changed
        hashed = hash_of(text)
        row = self._cache.get(hashed)
        if row is None:
            row = self._look_up(text, hashed)
            if row is None:
                return None
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            self._cache[hashed] = row
        return row if row.lets_in(at) else None

    def _look_up(self, text: str, hashed: bytes) -> TokenRow | None:
        for stored, *columns in self._db.execute("select hash, * from token where id = ?", (id_of(text),)):
            # The id finds the row; the secret part is compared in constant time.
            if hmac.compare_digest(stored, hashed):
                return _row(columns)
        return None

    def all(self) -> tuple[TokenRow, ...]:
        """Return every token, oldest first."""
        return tuple(_row(list(columns)) for columns in self._db.execute("select * from token order by created_at, id"))

    def revoke(self, id: str, *, at: int) -> TokenRow | None:
        """Revoke at once and return the row; `None` where there is no such token."""
        with self._db:
            self._db.execute("update token set revoked_at = coalesce(revoked_at, ?) where id = ?", (at, id))
        self._cache.clear()
        for columns in self._db.execute("select * from token where id = ?", (id,)):
            return _row(list(columns))
        return None

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def new_token(
    principal: str,
    roles: tuple[str, ...],
    *,
    at: int,
    admin: bool = False,
    acts_for: str | None = None,
    expires_at: int | None = None,
) -> tuple[str, TokenRow]:
    """Return a token's secret text and its row; it is not kept yet."""
    id = secrets.token_hex(5)
    text = f"{PREFIX}_{id}_{secrets.token_urlsafe(32)}"
    return text, TokenRow(id, principal, tuple(sorted(set(roles))), admin, acts_for, at, expires_at, None)


def id_of(text: str) -> str | None:
    """Return the id in a token's secret text, `None` where it is none."""
    prefix, _, rest = text.partition("_")
    id, parted, _ = rest.partition("_")
    return id if parted and prefix == PREFIX else None


def hash_of(text: str) -> bytes:
    """Return what is kept of a token's secret."""
    # The secret has 256 random bits, so that one round is enough; slow hashes are for what people choose.
    return hashlib.sha256(text.encode()).digest()


def _row(columns: list[object]) -> TokenRow:
    id, _, principal, roles, admin, acts_for, created_at, expires_at, revoked_at = columns
    assert isinstance(id, str)
    assert isinstance(principal, str)
    assert isinstance(roles, str)
    assert isinstance(created_at, int)
    assert acts_for is None or isinstance(acts_for, str)
    assert expires_at is None or isinstance(expires_at, int)
    assert revoked_at is None or isinstance(revoked_at, int)
    return TokenRow(id, principal, tuple(json.loads(roles)), bool(admin), acts_for, created_at, expires_at, revoked_at)
