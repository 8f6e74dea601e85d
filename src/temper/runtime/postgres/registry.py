"""What the servers of one database know of each other: who is there, and who may come in."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from temper.kernel import StoreFault
from temper.runtime.postgres.line import Line, fault
from temper.runtime.tokens import FORGOTTEN_MS, ParentGone, Secret, TokenRow

# A space's own schema has its name behind an underscore, so that none can be called like this.
SCHEMA = "temper"
FORMAT = 2
_LOCK = 0x74656D706572

_TABLES = f"""
create schema if not exists {SCHEMA};
create table {SCHEMA}.meta(name text primary key, value bigint not null);
create table {SCHEMA}.servers(name text primary key, url text not null, until timestamptz not null);
create table {SCHEMA}.tokens(
  id text primary key, hash bytea not null, principal text not null, roles text[] not null, admin boolean not null,
  acts_for text, created_at bigint not null, expires_at bigint, revoked_at bigint
);
insert into {SCHEMA}.meta values('format', 1), ('tokens', 0);
"""

# What format 1 becomes format 2 by.
_SECOND = f"""
alter table {SCHEMA}.servers add column seen bigint not null default 0;
alter table {SCHEMA}.tokens
  add column teams text[] not null default '{{}}', add column attributes text not null default '{{}}',
  add column scope text[], add column read_only boolean not null default false, add column parent text,
  add column session text, add column rotated_at bigint, add column used_at bigint, add column old_hash bytea,
  add column old_until bigint;
create table {SCHEMA}.keys(name text primary key, value bytea not null);
"""


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
                if found == 1:
                    await writer.execute(_SECOND)
                    await writer.execute("insert into keys values('handing', $1)", secrets.token_bytes(32))
                    await writer.execute("update meta set value = $1 where name = 'format'", FORMAT)
                    found = FORMAT
        except Exception as problem:
            raise fault(problem) from problem
        if found != FORMAT:
            raise StoreFault(f"the servers here have format {found}, and this Temper reads format {FORMAT}")

    def beat(self, server: str, url: str, *, seconds: float, seen: int) -> Beat:
        """Say that a server is there, for so much longer, and which tokens it knows; return who is there, and what."""
        self._line.rows(
            "insert into servers(name, url, until, seen) values($1, $2, now() + make_interval(secs => $3), $4)"
            " on conflict(name) do update set url = excluded.url, until = excluded.until, seen = excluded.seen",
            server,
            url,
            seconds,
            seen,
        )
        return self.look()

    def look(self) -> Beat:
        """Return who is there, and what there is."""
        servers = self._line.rows("select name, url from servers where until > now() order by name")
        spaces = self._line.rows(
            r"select substr(nspname, 8) as name from pg_namespace where nspname like 'temper\_%' order by 1"
        )
        tokens = self._line.rows("select value from meta where name = 'tokens'")
        return Beat({row["name"]: row["url"] for row in servers}, [row["name"] for row in spaces], tokens[0]["value"])

    def leave(self, server: str) -> None:
        """Say that a server is there no longer; those that have been gone for long are forgotten with it."""
        self._line.rows("delete from servers where name = $1 or until < now() - interval '1 hour'", server)

    # --- tokens ---

    def make_token(self, row: TokenRow, hashed: bytes) -> None:
        """Keep a token. Raises `ParentGone` where it has a parent that lets nobody in any more."""
        self._line.ask(self._token_made(row, hashed, first=False))

    def make_first_token(self, row: TokenRow, hashed: bytes) -> bool:
        """Keep a token if there is none yet, and say so."""
        return self._line.ask(self._token_made(row, hashed, first=True))

    async def _token_made(self, row: TokenRow, hashed: bytes, *, first: bool) -> bool:
        writer = await self._line.writer()
        try:
            async with writer.transaction():
                # Whoever else makes or revokes one waits here, and then sees this one.
                await writer.execute("update meta set value = value + 1 where name = 'tokens'")
                if first and await writer.fetchval("select exists(select from tokens)"):
                    return False
                if row.parent is not None and not await writer.fetchval(
                    "select exists(select from tokens where id = $1 and revoked_at is null"
                    " and coalesce(expires_at > $2, true))", row.parent, row.created_at,
                ):  # fmt: skip
                    raise ParentGone
                if row.session is not None:
                    await writer.execute(
                        "delete from tokens where session is not null and least(expires_at, revoked_at) < $1",
                        row.created_at - FORGOTTEN_MS,
                    )
                await writer.execute(
                    "insert into tokens(id, hash, principal, roles, admin, acts_for, created_at, expires_at, teams,"
                    " attributes, scope, read_only, parent, session)"
                    " values($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                    row.id, hashed, row.principal, list(row.roles), row.admin, row.acts_for, row.created_at,
                    row.expires_at, list(row.teams), json.dumps(dict(row.attributes)),
                    None if row.scope is None else list(row.scope), row.read_only, row.parent, row.session,
                )  # fmt: skip
                return True
        except ParentGone:
            raise
        except Exception as problem:
            raise fault(problem) from problem

    def tokens(self) -> Sequence[tuple[Secret, TokenRow]]:
        """Return every token, oldest first, with what is kept of its secret."""
        return [_token(row) for row in self._line.rows("select * from tokens order by created_at, id")]

    def token(self, id: str) -> tuple[Secret, TokenRow] | None:
        """Return a token, with what is kept of its secret."""
        found = self._line.rows("select * from tokens where id = $1", id)
        return _token(found[0]) if found else None

    def revoke_token(self, id: str, at: int) -> TokenRow | None:
        """Revoke a token and all sessions that were started with it; `None` where there is none of that id."""
        self._line.rows(
            "with recursive one as (update meta set value = value + 1 where name = 'tokens'), gone(id) as"
            " (select $1::text union select tokens.id from tokens join gone on parent = gone.id)"
            " update tokens set revoked_at = coalesce(revoked_at, $2) where id in (select id from gone) returning id",
            id,
            at,
        )
        found = self.token(id)
        return found[1] if found else None

    def rotate_token(self, id: str, hashed: bytes, at: int, until: int) -> TokenRow | None:
        """Give a token another secret; the one that it had is good until then. `None` where it lets nobody in."""
        found = self._line.rows(
            "with one as (update meta set value = value + 1 where name = 'tokens')"
            " update tokens set old_hash = hash, old_until = $4, hash = $2, rotated_at = $3 where id = $1"
            " and revoked_at is null and coalesce(expires_at > $3, true) returning *",
            id, hashed, at, until,
        )  # fmt: skip
        return _token(found[0])[1] if found else None

    def tokens_used(self, used: Mapping[str, int]) -> None:
        """Write down when tokens were last used."""
        self._line.rows(
            "update tokens set used_at = greatest(used_at, at) from unnest($1::text[], $2::bigint[]) as used(id, at)"
            " where tokens.id = used.id",
            list(used),
            list(used.values()),
        )

    def saw(self, server: str, changes: int) -> None:
        """Say up to which change of tokens a server knows them."""
        self._line.rows("update servers set seen = $2 where name = $1", server, changes)

    def changes(self) -> int:
        """Return how often tokens have changed."""
        found: int = self._line.rows("select value from meta where name = 'tokens'")[0]["value"]
        return found

    def news(self) -> None:
        """Count a change that is none of tokens, and that every server has to act on, too."""
        self._line.rows("update meta set value = value + 1 where name = 'tokens'")

    def seen_by_all(self, changes: int) -> bool:
        """Say whether every server that is there knows the tokens up to that change."""
        found: bool = self._line.rows(
            "select not exists(select from servers where until > now() and seen < $1) as all", changes
        )[0]["all"]
        return found

    def handing_key(self) -> bytes:
        """Return the key by which servers know what one hands on to another."""
        key: bytes = self._line.rows("select value from keys where name = 'handing'")[0]["value"]
        return key

    def close(self) -> None:
        """Let go of the database."""
        self._line.close()


def _token(row: Any) -> tuple[Secret, TokenRow]:
    return (
        Secret(row["hash"], row["old_hash"], row["old_until"]),
        TokenRow(
            id=row["id"],
            principal=row["principal"],
            roles=tuple(row["roles"]),
            admin=row["admin"],
            acts_for=row["acts_for"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
            teams=tuple(row["teams"]),
            attributes=json.loads(row["attributes"]),
            scope=None if row["scope"] is None else tuple(row["scope"]),
            read_only=row["read_only"],
            parent=row["parent"],
            session=row["session"],
            rotated_at=row["rotated_at"],
            used_at=row["used_at"],
        ),
    )
