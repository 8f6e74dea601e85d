"""The workshop: the object that holds the verbs of a server.

Every verb takes the `Person` who asks, checks what they may, and either returns a wire struct or raises `Declined` with
a `wire.Problem`. Doors authenticate, call a verb, and draw its answer. What a verb does is said where its subject is:
`who`, `acting`, `reading`, `watching`, `planning`, `pushing`, `tokens`, `outbox` and `whole`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from temper.kernel import StoreFault, TableVersion
from temper.runtime import Administers, Clock, Elsewhere, Gate, KeysWanted, SystemClock
from temper.service import canary as canaries
from temper.service import credentials, outbox, scope, webhooks, whole, wire
from temper.service import identity as identities
from temper.service import sessions as agents
from temper.service.acting import Acting, Then
from temper.service.administration import server_policies
from temper.service.candidates import Candidates
from temper.service.decisions import Decisions
from temper.service.declined import bad_query, unavailable
from temper.service.identity import Identity, unauthenticated
from temper.service.judgements import Judgements
from temper.service.office import Office
from temper.service.opening import CannotOpen, Opened, opened
from temper.service.others import Others
from temper.service.pauses import Pauses
from temper.service.people import Peer, Person, must_be_administrator
from temper.service.planning import Planning
from temper.service.policies import policies_view
from temper.service.pushing import Pushing
from temper.service.reading import Reading
from temper.service.retention import Retention
from temper.service.served import Served
from temper.service.sessions import SessionWanted
from temper.service.settings import Loaded, SettingProblem, duration_ms
from temper.service.space import Space, version_table
from temper.service.tokens import Tokens
from temper.service.views import moment, version_view
from temper.service.waking import Waking
from temper.service.watching import Watching
from temper.service.who import bearer


class Workshop:
    """A server's verbs. Made by `await Workshop.open(loaded)`; `await close()` drains and lets go of the files."""

    first_token: str | None = None
    """The administrator's token, when this is the first start of the data folder. It is kept nowhere."""

    def __init__(self, loaded: Loaded, clock: Clock, stands_on: Opened) -> None:
        """Begin without a space; `open` wakes those that there are."""
        tokens, bindings, cluster = stands_on.tokens, stands_on.bindings, stands_on.cluster
        settings = loaded.settings
        self.loaded = loaded
        self.clock = clock
        self._bindings = bindings
        self._cluster = cluster
        self._spaces: dict[str, Space] = {}
        gate = Gate()
        self.identity = Identity(settings.identity)
        self._powers = server_policies(loaded, clock)
        self.office = Office(self)
        self.pauses = Pauses(self.office, self._spaces, gate)
        self.decisions = Decisions(self.office, self.pauses, self._spaces, loaded, gate, tokens.revoked)
        candidates = Candidates(
            Judgements(settings.push, loaded.data), self.pauses, self._now, allow_unknown=settings.push.allow_unknown
        )
        self._waking = Waking(
            folder=loaded.data / "spaces",
            cluster=cluster,
            clock=clock,
            limits=settings.limits,
            spaces=self._spaces,
            office=self.office,
            pauses=self.pauses,
            bindings=bindings,
            office_tools=self.decisions.adapters,
            candidates=candidates,
        )
        self._served = Served(self._spaces, gate, self._now)
        self._acting = Acting(self._served, self.pauses, self.decisions.appeals)
        self._reading = Reading(self._served, self.pauses, settings.limits.page)
        self._watching = Watching(self._served, self.decisions, settings.limits)
        self._planning = Planning(self._served, candidates, bindings)
        self._pushing = Pushing(self._served, candidates, bindings, self._waking, self.decisions)
        self._tokens = Tokens(
            tokens,
            cluster,
            self.decisions,
            self._now,
            duration_ms(settings.identity.session_max),
        )
        self._looks = whole.Looks()
        self._retention = Retention(self._spaces, settings.retention, clock)
        self._others: Others | None = None

    @classmethod
    async def open(cls, loaded: Loaded, *, clock: Clock | None = None) -> Workshop:
        """Open the data folder, and bring every space in it to life. Raises `CannotOpen`."""
        clock = clock or SystemClock()
        workshop = cls(loaded, clock, await opened(loaded, clock))
        await workshop._begin()
        return workshop

    def _now(self) -> int:
        return self.clock.now()

    async def _begin(self) -> None:
        try:
            await self._waking.wake_all()
        except StoreFault as fault:
            await self.close()
            where = "server.data" if self._cluster is None else "server.store"
            raise CannotOpen((SettingProblem(where, fault.text),)) from fault
        if self._cluster is not None:
            self._others = Others(self._cluster, self._waking, self.decisions)
        # Last, since a start that fails shows nothing: one that nobody has been shown would keep everybody out.
        self.first_token = self._tokens.first()

    async def close(self) -> None:
        """Answer what waits, give calls under way the time that the settings say, and let go of the files."""
        await self._retention.close()
        if self._others is not None:
            await self._others.close()
        await self.office.close()
        await self._waking.close(drain_ms=duration_ms(self.loaded.settings.server.drain))
        if self._cluster is not None:
            await self._cluster.leave()
        await self.decisions.close()
        await self.identity.close()
        await self._bindings.close()
        self._tokens.store.close()

    @property
    def notices(self) -> tuple[SettingProblem, ...]:
        """What is odd about the settings and no reason not to start, such as a tool that nothing is bound to."""
        return self._bindings.missing(space.table for space in self._spaces.values())

    # --- the other servers ---

    async def listening(self, url: str) -> None:
        """Take part in deciding from now on: requests are answered at `url`, where the settings name no other."""
        if self._cluster is not None:
            await self._cluster.listening(url)

    def knows(self, blueprint: str) -> bool:
        """Say whether there is a blueprint of that name, as far as this server has heard."""
        return self._cluster is None or self._waking.has(blueprint)

    async def look_around(self) -> None:
        """Look which blueprints other servers have made, and who decides for what."""
        if self._cluster is not None:
            await self._cluster.refresh()

    def server_of(self, blueprint: str, elsewhere: Elsewhere) -> str | None:
        """Return the address of the server that decides there, `None` where none does, as far as is known."""
        return self._cluster.where(blueprint, elsewhere.part) if self._cluster is not None else None

    # --- who ---

    def authenticate(self, token: str | None) -> Person:
        """Return who bears `token`. Declines with "unauthenticated" where there is none that is good.

        Raises `KeysWanted` where the keys of an identity provider have to be fetched first: await `who` then.
        """
        now = self.clock.now()
        return self._empowered(bearer(self._tokens.store, self.identity, token, now))

    def _empowered(self, person: Person) -> Person:
        return person if self._powers.plain else replace(person, powers=self._powers)

    async def who(self, token: str | None) -> Person:
        """Return who bears `token`, as `authenticate` does, once what that needs has been fetched."""
        try:
            return self.authenticate(token)
        except KeysWanted as wanted:
            await wanted.keys.fetched()
        try:
            return self.authenticate(token)
        except KeysWanted as wanted:
            raise unavailable(f"the keys of {wanted.keys.issuer} can't be fetched") from None

    def by_connection(self, peer: Peer, headers: Mapping[bytes, bytes]) -> Person | None:
        """Return whom a request without a token is of: by the proxy's word or the certificate that settings name."""
        now, said = self.clock.now(), headers.get(identities.LENT)
        if said is not None and self._cluster is not None:
            # It is another server that has connected then, for somebody else, and never for itself.
            person = identities.of_lent(said, self._cluster.handing_key, now)
        else:
            person = self.identity.of_peer(peer, headers, now)
        return None if person is None else self._empowered(person)

    def must_go_on(self, person: Person) -> None:
        """Decline with "unauthenticated" where what let in somebody without a token has ended since."""
        if person.expires_at is not None and self.clock.now() >= person.expires_at:
            raise unauthenticated("the client's certificate has expired")

    def lent(self, person: Person) -> bytes | None:
        """Return what tells another server of the cluster who it is, `None` where a token does.

        One whom a connection names is known to this server alone.
        """
        if self._cluster is None or not person.principal.startswith(identities.BY_CONNECTION) or person.token:
            return None
        return identities.lent(person, self._cluster.handing_key, self.clock.now())

    def handed_on(self) -> bytes:
        """Return what tells another server of the cluster that this one hands a request on."""
        assert self._cluster is not None, "there is another server"
        return identities.handed_on(self._cluster.handing_key, self.clock.now())

    def was_handed_on(self, said: bytes | None) -> bool:
        """Say whether it was another server of the cluster that sent a request, which it has counted."""
        if said is None or self._cluster is None:
            return False
        return identities.was_handed_on(said, self._cluster.handing_key, self.clock.now())

    # --- bundles ---

    def blueprints(self, person: Person) -> tuple[wire.Version, ...]:
        """Return the current version of each blueprint, by name."""
        names = [name for name in sorted(self._spaces) if scope.touches(person, name)]
        return tuple(version_view(self._spaces[name].version, current=True, name=name) for name in names)

    def shape(self, person: Person, blueprint: str) -> wire.BlueprintShape:
        """Return what the blueprint offers, for OpenAPI, pages and tools. Cached by digest."""
        return self._served.space(person, blueprint).compiled.shape

    def sources(self, person: Person, blueprint: str, number: int | None = None) -> dict[str, str]:
        """Return a version's files (the current one's by default): name -> text."""
        space = self._served.space(person, blueprint)
        if number is None:
            return dict(space.table.notes.sources)
        return dict(version_table(space.numbered(number)).notes.sources)

    def policies(self, person: Person, blueprint: str, number: int | None = None) -> wire.PoliciesView:
        """Return all of who may, by a version (the current one by default)."""
        space = self._served.space(person, blueprint)
        version = space.version if number is None else space.numbered(number)
        return policies_view(version_table(version), version.number)

    def versions(self, person: Person, blueprint: str) -> tuple[wire.Version, ...]:
        """Return all versions, newest first."""
        space = self._served.space(person, blueprint)
        current = space.version.number
        return tuple(
            version_view(version, current=version.number == current)
            for version in reversed(list(space.store.versions()))
        )

    async def simulate_policy(
        self,
        person: Person,
        blueprint: str,
        files: Mapping[str, str] | None = None,
        *,
        entity: str | None = None,
        action: str | None = None,
        id: str | None = None,
    ) -> wire.WhatIf:
        """Return who could do what, and what a candidate would newly allow or deny. Changes nothing.

        The candidate is the bundle in force with these `files` in it; files of policies alone replace all of its own.
        It need not have passed. Needs an administrator.
        """
        return await self._planning.simulate_policy(person, blueprint, files, entity=entity, action=action, id=id)

    async def plan(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, strength: bool = False
    ) -> wire.Plan:
        """Return what pushing `files` would change and strand. Needs an administrator. Changes nothing.

        With `strength`, how much its properties notice too.
        """
        return await self._planning.plan(person, blueprint, files, strength=strength)

    async def shadow(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, last: int = 1_000
    ) -> wire.Shadow:
        """Return how `files` would have answered the last requests otherwise. Needs an administrator. Changes nothing.

        The candidate need not have passed: this may be why one looks.
        """
        return await self._planning.shadow(person, blueprint, files, last=last)

    async def push(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, note: str = "", if_version: int | None = None
    ) -> wire.Pushed:
        """Verify `files`, then swap the whole bundle in one step. Needs an administrator.

        Declines with "broken-blueprint", "unverified", "stranded" or "stale"; then nothing has changed.
        """
        return await self._pushing.push(person, blueprint, files, note=note, if_version=if_version)

    async def rollback(
        self, person: Person, blueprint: str, number: int | None = None, *, note: str = ""
    ) -> wire.Pushed:
        """Push an earlier version again (the one before the current by default), under the same rules."""
        return await self._pushing.rollback(person, blueprint, number, note=note)

    async def start_canary(
        self, person: Person, blueprint: str, files: Mapping[str, str], wanted: canaries.CanaryWanted, *, note: str = ""
    ) -> wire.Pushed:
        """Have some new entities live by `files`, once they have passed. Needs an administrator.

        Declines as a push does, and with "conflict" where the two can't live beside each other.
        """
        return await self._pushing.start_canary(person, blueprint, files, wanted, note=note)

    async def canary(self, person: Person, blueprint: str) -> wire.Canary:
        """Return the canary that is under way. Declines with "not-found" where there is none."""
        space = self._served.space(person, blueprint)
        return await space.reading(partial(canaries.view, space))

    async def promote(self, person: Person, blueprint: str, *, note: str = "") -> wire.Pushed:
        """Push the candidate of the canary, under the same rules. Needs an administrator."""
        return await self._pushing.promote(person, blueprint, note=note)

    async def withdraw(self, person: Person, blueprint: str, *, note: str = "") -> wire.Pushed:
        """Push the version beside which the canary is, under the same rules. Needs an administrator.

        Declines with "stranded" where some live by the candidate that have no place in it.
        """
        return await self._pushing.withdraw(person, blueprint, note=note)

    async def audit(self, person: Person, blueprint: str, expect: str | None = None) -> wire.Audited:
        """Walk all that is kept of a blueprint, and say the first thing that is not what was written."""
        must_be_administrator(person, "audit", Administers.AUDIT, blueprint)
        scope.must_write(person, blueprint)
        return await whole.audit(self._looks, self._served.space(person, blueprint), expect)

    def export(self, person: Person, blueprint: str) -> AsyncIterator[bytes]:
        """Yield all that is kept of a blueprint as lines, as it is now. Needs an administrator."""
        must_be_administrator(person, "export", Administers.EXPORT, blueprint)
        scope.must_write(person, blueprint)
        return whole.export(self._looks, self._served.space(person, blueprint))

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
        """Create an entity by its creating action, which is named where there are several.

        `body` holds the parameters, and an `id` if one is wanted.
        """
        return await self._acting.done(
            self._acting.creation(person, blueprint, entity, action, body, key=key, dry_run=dry_run)
        )

    def begin_create(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        action: str | None,
        body: Mapping[str, Any],
        *,
        key: str | None = None,
        then: Then,
    ) -> None:
        """Begin what `create` does, and return: `then` hears what came of it, or is not called where this raises."""
        self._acting.begin(self._acting.creation(person, blueprint, entity, action, body, key=key), then)

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
        """Take an action.

        Declines with "refused", "denied", "bad-request", "not-found", "stale", "busy", "contended".
        """
        return await self._acting.done(
            self._acting.action(
                person, blueprint, entity, id, action, body, key=key, if_version=if_version, dry_run=dry_run
            )
        )

    def begin_act(
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
        then: Then,
    ) -> None:
        """Begin what `act` does, and return: `then` hears what came of it, or is not called where this raises."""
        asked = self._acting.action(person, blueprint, entity, id, action, body, key=key, if_version=if_version)
        self._acting.begin(asked, then)

    async def read(self, person: Person, blueprint: str, entity: str, id: str) -> wire.EntityView:
        """Return the entity as it is."""
        return await self._reading.read(person, blueprint, entity, id)

    async def past(self, person: Person, blueprint: str, entity: str, id: str, at: str) -> wire.PastEntity:
        """Return the entity as it was after the entry `at`, or at that time. Declines with "not-found" before it was.

        It takes no longer where the entity's history is long.
        """
        return await self._reading.past(person, blueprint, entity, id, at)

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
        """Return a page. `filter` is an expression over the entity.

        `sort` is a field, `state`, `created_at`, `updated_at` or `id`, with `-` before it for downwards.
        A filtered page may hold fewer than `limit` and have a cursor all the same: it says where the search goes on.
        """
        return await self._reading.list(
            person, blueprint, entity, filter=filter, sort=sort, limit=limit, cursor=cursor, count=count
        )

    async def list_past(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        at: str,
        *,
        filter: str | None = None,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        count: bool = False,
    ) -> wire.PastPage:
        """Return a page of entities as they were after the entry `at`, or at that time.

        They come in the order of their creation; those that are in the archive by now are not among them.
        """
        return await self._reading.list_past(
            person, blueprint, entity, at, filter=filter, sort=sort, limit=limit, cursor=cursor, count=count
        )

    async def history(
        self, person: Person, blueprint: str, entity: str, id: str, *, after: int = 0, limit: int = 200
    ) -> tuple[wire.HistoryEntry, ...]:
        """Return what happened to the entity, oldest first, refusals included; entries with `seq > after`."""
        return await self._reading.history(person, blueprint, entity, id, after=after, limit=limit)

    async def possible(self, person: Person, blueprint: str, entity: str, id: str | None) -> tuple[wire.Possible, ...]:
        """Return each action as this caller could take it now; of a new entity where `id` is `None`."""
        return await self._reading.possible(person, blueprint, entity, id)

    async def why(
        self, person: Person, blueprint: str, entity: str, id: str | None, action: str, body: Mapping[str, Any]
    ) -> wire.WhyNot:
        """Return what the action would do, or which clause would refuse it and with which values. Changes nothing."""
        return await self._acting.why(person, blueprint, entity, id, action, body)

    def watch(
        self,
        person: Person,
        blueprint: str,
        entity: str | None = None,
        id: str | None = None,
        *,
        after: int | str | None = None,
    ) -> AsyncIterator[wire.HistoryEntry]:
        """Yield entries as they are committed, complete and in order, after `after` (from now on by default).

        That is a `seq`; where several servers write, a `place`, and 0 for the beginning.
        """
        return self._watching.entries(person, blueprint, entity, id, after=after)

    def watch_decisions(self, person: Person, *, after: int | str | None = None) -> AsyncIterator[wire.HistoryEntry]:
        """Yield what happens to the decisions that the person may see, as it is committed."""
        return self._watching.decisions(person, after=after)

    async def wait(
        self, person: Person, blueprint: str, entity: str, id: str, until: str, *, timeout_ms: int = 30_000
    ) -> wire.Waited:
        """Return the entity once `until` (an expression over it) holds, or as it is when the time is up."""
        return await self._watching.wait(person, blueprint, entity, id, until, timeout_ms=timeout_ms)

    # --- the outbox ---

    async def letters(
        self, person: Person, blueprint: str, *, after: str | None = None, limit: int = 50
    ) -> tuple[wire.Letter, ...]:
        """Return dead letters, oldest first, after the one of the order `after`."""
        if not 1 <= limit <= outbox.LETTERS_MAX:
            raise bad_query("limit", f"is not from 1 to {outbox.LETTERS_MAX}")
        space = self._served.space(person, blueprint)
        scope.must_reach_whole(person, blueprint)
        return await outbox.letters(space, after, limit, self._served.sees(person, space), operates=person.admin)

    async def letter(self, person: Person, blueprint: str, order: str) -> wire.Letter:
        """Return an order that has not ended, or a dead letter."""
        space = self._served.space(person, blueprint)
        scope.must_reach_whole(person, blueprint)
        return await outbox.order(space, order, self._served.sees(person, space), operates=person.admin)

    async def retry(self, person: Person, blueprint: str, order: str, *, note: str = "") -> wire.Letter:
        """Have an order tried now, whatever it waits for; `note` says why. Needs an administrator."""
        scope.must_write(person, blueprint)
        self.pauses.must_not_be_paused(person.caller, blueprint)
        return await outbox.retry(self._served.space(person, blueprint), person, order, note)

    async def discard(self, person: Person, blueprint: str, order: str, *, note: str = "") -> wire.Letter:
        """Give an order up: a call ends `unknown`, a send is dropped, a letter is put away. `note` says why.

        Needs an administrator.
        """
        scope.must_write(person, blueprint)
        self.pauses.must_not_be_paused(person.caller, blueprint)
        return await outbox.discard(self._served.space(person, blueprint), person, order, note)

    async def tools(self, person: Person, blueprint: str) -> tuple[wire.ToolState, ...]:
        """Return how each tool of the blueprint is being called by this server, and what waits."""
        space = self._served.space(person, blueprint)
        scope.must_reach_whole(person, blueprint)
        return await outbox.tools(space, frozenset(self._bindings.adapters), self._served.sees(person, space))

    # --- webhooks ---

    async def webhook(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> webhooks.Taken:
        """Take the action that a signed delivery asks for, once. Declines with "unauthenticated" where it is not."""
        found = webhooks.read(self.loaded.settings.webhooks, self.loaded.vault, name, headers, body, self.clock.now())
        if found is None:
            return webhooks.Taken(taken=False)
        section, person = found.section, found.person
        if found.id is None:
            done = await self.create(
                person, section.blueprint, section.entity, section.action, found.params, key=found.key
            )
        else:
            done = await self.act(
                person, section.blueprint, section.entity, found.id, section.action, found.params, key=found.key
            )
        return webhooks.Taken(taken=True, replayed=done.replayed)

    def webhook_blueprint(self, name: str) -> str:
        """Return the blueprint that a webhook is for, "" where there is no such webhook."""
        section = self.loaded.settings.webhooks.get(name)
        return section.blueprint if section is not None else ""

    # --- tokens and sessions ---

    def me(self, person: Person) -> wire.Me:
        """Return who asks, for whom, how far the credential reaches, and until when."""
        return agents.identity(person, moment(person.expires_at) if person.expires_at is not None else None)

    def make_token(
        self,
        person: Person,
        principal: str,
        roles: tuple[str, ...],
        *,
        admin: bool = False,
        acts_for: str | None = None,
        ttl_ms: int | None = None,
        teams: tuple[str, ...] = (),
        attributes: Mapping[str, str] | None = None,
        scope: tuple[str, ...] | None = None,
        read_only: bool = False,
    ) -> wire.NewToken:
        """Make a token; its secret is in the answer and nowhere else. Needs an administrator."""
        wanted = credentials.TokenWanted(
            principal, roles, admin, acts_for, ttl_ms, teams, attributes or {}, scope, read_only=read_only
        )
        return self._tokens.make(person, wanted, self.identity.reserved)

    def tokens(self, person: Person) -> tuple[wire.Token, ...]:
        """Return all tokens without their secrets. Needs an administrator."""
        return self._tokens.listed(person)

    async def revoke_token(self, person: Person, id: str) -> wire.Token:
        """Revoke a token and the sessions that were started with it: once this returns, no server lets them in.

        What waits for an answer, and what is granted, by them or with them has ended by then, too.
        Needs an administrator.
        """
        return await self._tokens.revoke(person, id)

    async def rotate_token(self, person: Person, id: str, *, grace_ms: int = 0) -> wire.NewToken:
        """Give a token another secret; the one that it had is good for `grace_ms` more. Needs an administrator."""
        return await self._tokens.rotate(person, id, grace_ms=grace_ms)

    async def start_session(self, person: Person, wanted: SessionWanted) -> wire.NewToken:
        """Start a session of the person: a credential for an agent, no larger than the person's own."""
        return await self._tokens.start_session(person, wanted)

    async def sessions(self, person: Person) -> tuple[wire.Token, ...]:
        """Return the sessions that the person may end, and that have not ended."""
        return await self._tokens.sessions(person)

    async def end_session(self, person: Person, id: str) -> wire.Token:
        """End a session and those that it has started: once this returns, no server lets them in.

        What waits for an answer, and what is granted, by them or with them has ended by then, too.
        """
        return await self._tokens.end_session(person, id)

    # --- the office's ground ---

    async def found_office(self, version: TableVersion) -> Space | None:
        """Make the office's space; `None` where it has been opened already: by us, or since another server made it."""
        return await self._waking.found_office(version)
