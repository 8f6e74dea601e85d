"""The workshop: the object that holds the verbs of a server.

Every verb takes the `Person` who asks, checks what they may, and either returns a wire struct or raises `Declined` with a
`wire.Problem`. Doors authenticate, call a verb, and draw its answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from temper.service import wire


class Declined(Exception):
    """A verb was not done; `problem` says why and what to do next."""

    def __init__(self, problem: wire.Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, as the token says. An administrator may push, roll back and make tokens; it holds no role by that."""

    principal: str
    roles: frozenset[str] = frozenset()
    admin: bool = False
    acts_for: str | None = None


class Workshop:
    """A server's verbs. Made by `await Workshop.open(settings)`; `await close()` drains and lets go of the files."""

    def authenticate(self, token: str | None) -> Person:
        """Return who bears `token`. Declines with "unauthenticated" (401) where it is missing, unknown, expired or revoked."""
        raise NotImplementedError

    # --- bundles ---

    def blueprints(self, person: Person) -> tuple[wire.Version, ...]:
        """Return the current version of each blueprint (`Version.note` is the pusher's)."""
        raise NotImplementedError

    def shape(self, person: Person, blueprint: str) -> wire.BlueprintShape:
        """Return what the blueprint offers, for OpenAPI, pages and tools. Cached by digest."""
        raise NotImplementedError

    def sources(self, person: Person, blueprint: str, number: int | None = None) -> dict[str, str]:
        """Return a version's files (the current one's by default): name -> text."""
        raise NotImplementedError

    async def plan(self, person: Person, blueprint: str, files: Mapping[str, str]) -> wire.Plan:
        """Return what pushing `files` would change and strand. Needs an administrator. Changes nothing."""
        raise NotImplementedError

    async def push(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, note: str = "", if_version: int | None = None
    ) -> wire.Pushed:
        """Verify `files`, then swap the whole bundle in one step. Needs an administrator.

        Declines with "broken-blueprint" (422), "unverified" (422), "stranded" (409) or "stale" (412); then nothing changed.
        """
        raise NotImplementedError

    def versions(self, person: Person, blueprint: str) -> tuple[wire.Version, ...]:
        """Return all versions, newest first."""
        raise NotImplementedError

    async def rollback(self, person: Person, blueprint: str, number: int | None = None, *, note: str = "") -> wire.Pushed:
        """Push an earlier version again (the one before the current by default), under the same rules."""
        raise NotImplementedError

    # --- entities ---

    async def create(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        action: str | None,
        body: Mapping[str, Any],
        *,
        key: str | None = None,
        dry_run: bool = False,
    ) -> wire.Acted:
        """Create an entity by its creating action (named where there are several). `body` holds parameters, and `id` if wanted."""
        raise NotImplementedError

    async def act(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        id: str,
        action: str,
        body: Mapping[str, Any],
        *,
        key: str | None = None,
        if_version: int | None = None,
        dry_run: bool = False,
    ) -> wire.Acted:
        """Take an action. Declines with "refused" (409), "denied" (403), "bad-request" (422), "not-found", "stale" (412), ..."""
        raise NotImplementedError

    async def read(self, person: Person, blueprint: str, entity: str, id: str) -> wire.EntityView:
        """Return the entity as it is."""
        raise NotImplementedError

    async def list(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        *,
        filter: str | None = None,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        count: bool = False,
    ) -> wire.Page:
        """Return a page. `filter` is an expression over the entity; `sort` is a field, `created_at`, `updated_at` or `id`, `-` for downwards."""
        raise NotImplementedError

    async def history(
        self, person: Person, blueprint: str, entity: str, id: str, *, after: int = 0, limit: int = 200
    ) -> tuple[wire.HistoryEntry, ...]:
        """Return what happened to the entity, oldest first, refusals included; entries with `seq > after`."""
        raise NotImplementedError

    async def possible(self, person: Person, blueprint: str, entity: str, id: str | None) -> tuple[wire.Possible, ...]:
        """Return each action as this caller could take it now; of a new entity where `id` is `None`."""
        raise NotImplementedError

    async def why(
        self, person: Person, blueprint: str, entity: str, id: str | None, action: str, body: Mapping[str, Any]
    ) -> wire.WhyNot:
        """Return what the action would do, or which clause would refuse it and with which values. Changes nothing."""
        raise NotImplementedError

    def watch(
        self, person: Person, blueprint: str, entity: str | None = None, id: str | None = None, *, after: int | None = None
    ) -> AsyncIterator[wire.HistoryEntry]:
        """Yield entries as they are committed, complete and in order, after `after` (from now on by default)."""
        raise NotImplementedError

    async def wait(
        self, person: Person, blueprint: str, entity: str, id: str, until: str, *, timeout_ms: int = 30_000
    ) -> wire.Waited:
        """Return the entity once `until` (an expression over it) holds, or as it is when the time is up."""
        raise NotImplementedError

    # --- tokens ---

    def make_token(
        self,
        person: Person,
        principal: str,
        roles: tuple[str, ...],
        *,
        admin: bool = False,
        acts_for: str | None = None,
        ttl_ms: int | None = None,
    ) -> wire.NewToken:
        """Make a token; its secret is in the answer and nowhere else. Needs an administrator."""
        raise NotImplementedError

    def tokens(self, person: Person) -> tuple[wire.Token, ...]:
        """Return all tokens without their secrets. Needs an administrator."""
        raise NotImplementedError

    def revoke_token(self, person: Person, id: str) -> wire.Token:
        """Revoke at once. Needs an administrator."""
        raise NotImplementedError
