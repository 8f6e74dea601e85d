"""What the servers of one database know of each other: who is there, and who may come in."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from temper.kernel import StoreFault
from temper.runtime.postgres.line import Line, fault
from temper.runtime.tokens import TokenRow, hash_of, id_of, new_token

# A space's own schema has its name behind an underscore, so that none can be called like this.
SCHEMA = "temper"
FORMAT = 1
_LOCK = 0x74656D706572

_TABLES = f"""
create schema if not exists {SCHEMA};
create table {SCHEMA}.meta(name text primary key, value bigint not null);
create table {SCHEMA}.servers(name text primary key, url text not null, until timestamptz not null);
create table {SCHEMA}.tokens(
  id text primary key, hash bytea not null, principal text not null, roles text[] not null, admin boolean not null,
  acts_for text, created_at bigint not null, expires_at bigint, revoked_at bigint
);
insert into {SCHEMA}.meta values('format', {FORMAT}), ('tokens', 0);
"""

# A token that is not known is looked for in the database, but not more often than this: made-up ones cost no more.
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Beat:
    """What a server learns each time it says that it is there."""

    servers: Mapping[str, str]
    """The addresses of those that are there, by their names; in the order of these."""
    spaces: Sequence[str]
    tokens: int
    """Counts the changes of tokens."""


class Registry:
    """The servers and tokens of a database. Raises `StoreFault` where it can't be reached."""

    def __init__(self, url: str) -> None:
        self._line = Line(url, SCHEMA)
        try:
            self._line.ask(self._made())
        except BaseException:
            self._line.close()
            raise

    async def _made(self) -> None:
        writer = await self._line.writer()
        try:
            async with writer.transaction():
                await writer.execute("select pg_advisory_xact_lock($1)", _LOCK)
                if not await writer.fetchval("select to_regclass($1) is not null", f"{SCHEMA}.meta"):
                    await writer.execute(_TABLES)
                found = await writer.fetchval("select value from meta where name = 'format'")
        except Exception as problem:
            raise fault(problem) from problem
        if found != FORMAT:
            raise StoreFault(f"the servers here have format {found}, and this Temper reads format {FORMAT}")

    def beat(self, server: str, url: str, *, seconds: float) -> Beat:
        """Say that a server is there, for so much longer; return who is, and what there is."""
        self._all(
            "insert into servers values($1, $2, now() + make_interval(secs => $3))"
            " on conflict(name) do update set url = excluded.url, until = excluded.until",
            server,
            url,
            seconds,
        )
        return self.look()

    def look(self) -> Beat:
        """Return who is there, and what there is."""
        servers = self._all("select name, url from servers where until > now() order by name")
        spaces = self._all(
            r"select substr(nspname, 8) as name from pg_namespace where nspname like 'temper\_%' order by 1"
        )
        tokens = self._all("select value from meta where name = 'tokens'")
        return Beat({row["name"]: row["url"] for row in servers}, [row["name"] for row in spaces], tokens[0]["value"])

    def leave(self, server: str) -> None:
        """Say that a server is there no longer; those that have been gone for long are forgotten with it."""
        self._all("delete from servers where name = $1 or until < now() - interval '1 hour'", server)

    # --- tokens ---

    def make_token(self, row: TokenRow, hashed: bytes) -> None:
        """Keep a token."""
        self._line.ask(self._token_made(row, hashed, first=False))

    def make_first_token(self, row: TokenRow, hashed: bytes) -> bool:
        """Keep a token if there is none yet, and say so."""
        return self._line.ask(self._token_made(row, hashed, first=True))

    async def _token_made(self, row: TokenRow, hashed: bytes, *, first: bool) -> bool:
        writer = await self._line.writer()
        try:
            async with writer.transaction():
                # Whoever else makes one waits here, and then sees this one.
                await writer.execute("update meta set value = value + 1 where name = 'tokens'")
                if first and await writer.fetchval("select exists(select from tokens)"):
                    return False
                await writer.execute(
                    "insert into tokens values($1, $2, $3, $4, $5, $6, $7, $8, null)",
                    row.id, hashed, row.principal, list(row.roles), row.admin, row.acts_for, row.created_at,
                    row.expires_at,
                )  # fmt: skip
                return True
        except Exception as problem:
            raise fault(problem) from problem

    def tokens(self) -> Sequence[tuple[bytes, TokenRow]]:
        """Return every token, oldest first, with the hash of its secret."""
        return [(row["hash"], _token(row)) for row in self._all("select * from tokens order by created_at, id")]

    def revoke_token(self, id: str, at: int) -> TokenRow | None:
        """Revoke a token; `None` where there is none of that id."""
        found = self._all(
            "with one as (update meta set value = value + 1 where name = 'tokens')"
            " update tokens set revoked_at = coalesce(revoked_at, $2) where id = $1 returning *",
            id,
            at,
        )
        return _token(found[0]) if found else None

    def close(self) -> None:
        """Let go of the database."""
        self._line.close()

    def _all(self, sql: str, *given: Any) -> Sequence[Any]:
        return self._line.ask(self._line.read(sql, given))


class PostgresTokens:
    """The tokens of a database, as `TokenStore` has those of a folder.

    What another server revokes counts here with the next beat.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen = -1
        self._rows: dict[str, tuple[bytes, TokenRow]] = {}
        self._looked = 0.0

    def seen(self, changes: int) -> None:
        """Read the tokens again if there have been changes since they were read."""
        if changes != self._seen:
            self._read()
            self._seen = changes

    def first(self, *, at: int) -> str | None:
        """Return the administrator's token where there is none yet, else `None`: two servers make one."""
        text, row = new_token("administrator", (), at=at, admin=True)
        made = self._registry.make_first_token(row, hash_of(text))
        self._read()
        return text if made else None

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
        self._registry.make_token(row, hash_of(text))
        self._read()
        return text, row

    def find(self, text: str, *, at: int) -> TokenRow | None:
        """Return the row of a token that is neither expired nor revoked, else `None`."""
        id = id_of(text)
        if id is None:
            return None
        found = self._rows.get(id)
        if found is None:
            if time.monotonic() < self._looked + _LOOK_S:
                return None
            self._read()
            found = self._rows.get(id)
        # The id finds the row; the secret part is compared in constant time.
        if found is None or not hmac.compare_digest(found[0], hash_of(text)):
            return None
        return found[1] if found[1].lets_in(at) else None

    def all(self) -> tuple[TokenRow, ...]:
        """Return every token, oldest first."""
        self._read()
        return tuple(row for _, row in self._rows.values())

    def revoke(self, id: str, *, at: int) -> TokenRow | None:
        """Revoke at once and return the row; `None` where there is no such token."""
        row = self._registry.revoke_token(id, at)
        self._read()
        return row

    def close(self) -> None:
        """Let go of nothing: the registry is its opener's."""

    def _read(self) -> None:
        self._rows = {row.id: (hashed, row) for hashed, row in self._registry.tokens()}
        self._looked = time.monotonic()


def _token(row: Any) -> TokenRow:
    return TokenRow(
        row["id"],
        row["principal"],
        tuple(row["roles"]),
        row["admin"],
        row["acts_for"],
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
    )
