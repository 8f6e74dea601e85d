"""Tokens and sessions, as they are given out and taken back: with all that has been let be done by them.

What a token is, and what it may be, `credentials` says; of a session, `sessions`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from temper.kernel import StoreFault
from temper.runtime import Cluster, PostgresTokens, TokenStore
from temper.service import credentials, wire
from temper.service import sessions as agents
from temper.service.credentials import TokenWanted
from temper.service.decisions import Decisions
from temper.service.declined import Declined, unavailable
from temper.service.people import Person
from temper.service.sessions import SessionWanted

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Gives credentials out, and takes them back on every server. Nobody who is paused has it do so."""

    store: TokenStore | PostgresTokens
    cluster: Cluster | None
    decisions: Decisions
    now: Callable[[], int]
    session_max_ms: int

    def first(self) -> str | None:
        """Make the administrator's token where there is none of anybody, and return it."""
        now = self.now()
        if isinstance(self.store, PostgresTokens):
            return self.store.first(at=now)
        return None if self.store.all() else self.store.make("administrator", (), at=now, admin=True)[0]

    def make(self, person: Person, wanted: TokenWanted, reserved: tuple[str, ...]) -> wire.NewToken:
        """Make a token, of nobody whose name begins as `reserved`; its secret is in the answer and nowhere else."""
        self.decisions.pauses.must_not_be_paused(person.caller)
        try:
            return credentials.make(self.store, person, wanted, self.now(), reserved)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault

    def listed(self, person: Person) -> tuple[wire.Token, ...]:
        """Return all tokens without their secrets. Needs an administrator."""
        return credentials.listed(self.store, person)

    async def revoke(self, person: Person, id: str) -> wire.Token:
        """Revoke a token and the sessions that were started with it: once this returns, no server lets them in."""
        self.decisions.pauses.must_not_be_paused(person.caller)
        return await self._withdrawn(person, id, lambda: credentials.revoke(self.store, person, id, self.now()))

    async def rotate(self, person: Person, id: str, *, grace_ms: int = 0) -> wire.NewToken:
        """Give a token another secret; the one that it had is good for `grace_ms` more. Needs an administrator."""
        self.decisions.pauses.must_not_be_paused(person.caller)
        return await self._everywhere(lambda: credentials.rotate(self.store, person, id, grace_ms, self.now()))

    async def start_session(self, person: Person, wanted: SessionWanted) -> wire.NewToken:
        """Start a session of the person: a credential for an agent, no larger than the person's own."""
        self.decisions.pauses.must_not_be_paused(person.caller)
        return await self._beside(lambda: agents.start(self.store, person, wanted, self.now(), self.session_max_ms))

    async def sessions(self, person: Person) -> tuple[wire.Token, ...]:
        """Return the sessions that the person may end, and that have not ended."""
        return await self._beside(lambda: agents.listed(self.store, person, self.now()))

    async def end_session(self, person: Person, id: str) -> wire.Token:
        """End a session and those that it has started: once this returns, no server lets them in."""
        self.decisions.pauses.must_not_be_paused(person.caller)
        return await self._withdrawn(person, id, lambda: agents.end(self.store, person, id, self.now()))

    async def _withdrawn(self, person: Person, id: str, revoke: Callable[[], wire.Token]) -> wire.Token:
        """Return a token that is revoked, with what has ended with it and the sessions that it has started."""
        if self.cluster is not None and self.decisions.office.space is None:
            await self.cluster.refresh()
        stood: tuple[tuple[str, ...], tuple[str, ...]] = (), ()
        # Before, too: another server may end what it keeps as soon as it hears of it. That keeps nobody from revoking.
        with contextlib.suppress(Declined):
            family = await self._beside(lambda: credentials.family(self.store, id))
            stood = await self.decisions.standing_by(family)
        revoked = await self._everywhere(revoke)
        family = await self._beside(lambda: credentials.family(self.store, id))
        ended = await self.decisions.withdrawn(person, family)
        decisions, grants = (tuple(dict.fromkeys((*was, *now))) for was, now in zip(stood, ended, strict=True))
        return msgspec.structs.replace(revoked, decisions=decisions, grants=grants)

    async def _beside(self, work: Callable[[], T]) -> T:
        """Return what comes of `work` on the tokens; where they are in a database, beside the loop."""
        try:
            return work() if self.cluster is None else await asyncio.to_thread(work)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault

    async def _everywhere(self, work: Callable[[], T]) -> T:
        """Return what comes of a change of tokens, once every server knows it."""
        done = await self._beside(work)
        if self.cluster is not None:
            try:
                await self.cluster.settled()
            except StoreFault as fault:
                raise unavailable(
                    f"it is done here, and whether every server knows it is not known: {fault.text}"
                ) from fault
        return done
