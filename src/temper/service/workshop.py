"""The workshop: the object that holds the verbs of a server.

Every verb takes the `Person` who asks, checks what they may, and either returns a wire struct or raises `Declined` with
a `wire.Problem`. Doors authenticate, call a verb, and draw its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from temper.kernel import (
    Answer,
    Busy,
    Conflict,
    Contended,
    Done,
    Examination,
    Expired,
    Limits,
    No,
    Request,
    StoreFault,
    Superseded,
    TableVersion,
    past,
    seq_at,
    shadow,
)
from temper.runtime import (
    Adapter,
    Administers,
    Clock,
    Cluster,
    Declared,
    Elsewhere,
    Gate,
    Joined,
    KeysWanted,
    Live,
    Member,
    Modules,
    PostgresStore,
    PostgresTokens,
    SqliteStore,
    SystemClock,
    TokenStore,
    found,
    is_token,
    load_grants,
    load_tools,
    new_id,
    place_of,
    place_text,
)
from temper.service import canary as canaries
from temper.service import credentials, outbox, retention, scope, webhooks, whatif, whole, wire
from temper.service import identity as identities
from temper.service import sessions as agents
from temper.service.administration import server_policies
from temper.service.announcing import announcing
from temper.service.bundle import BYTES_MAX, FILES_MAX, check_texts, is_blueprint, too_large
from temper.service.decisions import Decisions, happened
from temper.service.declined import (
    STRANDED_MAX,
    Declined,
    action_of,
    bad_query,
    broken,
    entity_of,
    no_such_entity,
    stale,
    strands,
    unavailable,
)
from temper.service.findings import site_place
from temper.service.identity import Identity, unauthenticated
from temper.service.judge_process import GuardPair, Judged
from temper.service.judgements import Judgements
from temper.service.listing import Listing, list_page
from temper.service.listing_past import PastListing, past_page
from temper.service.measuring import Measures
from temper.service.modules import LETTERS_MAX, is_module
from temper.service.office import NAME as OFFICE
from temper.service.office import Office
from temper.service.pauses import Pauses
from temper.service.people import Peer, Person, must_be_administrator
from temper.service.placing import placed
from temper.service.policies import policies_view, policy_clauses, possibly, visible
from temper.service.requests import asked_for, creating_action, fingerprint, moment_of, params_of, scoped_key, wanted_id
from temper.service.seen import Sees, seen, told
from temper.service.sessions import SessionWanted
from temper.service.settings import Loaded, SettingProblem, duration_ms
from temper.service.space import BadExpression, Space, version_report, version_table
from temper.service.views import acted, entity_view, hidden, history_entry, moment, past_view, possible_action, refusal
from temper.table import (
    Act,
    Change,
    Possible,
    Refused,
    Snapshot,
    Table,
    Why,
    change,
    digest,
    dump,
    possible,
    upgrade_problems,
)
from temper.table import shape as pieces
from temper.text import suggest

BLUEPRINT = re.compile(r"[a-z][a-z0-9_]{0,63}")
# The last versions of each blueprint can be gone back to without judging them anew.
VERSIONS_REMEMBERED = 8
# A push that others come before is judged anew so often.
PUSHES_MAX = 5
# Requests that are asked again of a candidate: some thousand take a second.
SHADOW_MAX = 10_000
# Words that stand where a blueprint's name stands in a path.
RESERVED_BLUEPRINTS = frozenset({"decisions", "grants", "me", "pauses", "sessions", "temper", "tokens"})

# Between two looks for what is granted of this server's share.
_CARRY_S = 0.5

_log = logging.getLogger("temper.service")

T = TypeVar("T")
Then: TypeAlias = Callable[[wire.Acted | BaseException], None]
"""Hears what came of a request, on the loop: what was done, or the `Declined` (or the bug) in its place."""


class _Asked(msgspec.Struct, frozen=True):
    """A request on its way into a space, with what its answer needs."""

    space: Space
    person: Person
    request: Request
    action: str
    drawn: bool = False
    """Whether nobody has chosen the id of what is to be created."""


class CannotOpen(Exception):
    """The workshop cannot open: `problems` of the settings, or a data folder that cannot be used."""

    def __init__(self, problems: tuple[SettingProblem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass
class Workshop:
    """A server's verbs. Made by `await Workshop.open(loaded)`; `await close()` drains and lets go of the files."""

    loaded: Loaded
    clock: Clock
    first_token: str | None
    """The administrator's token, when this is the first start of the data folder. It is kept nowhere."""
    notices: tuple[SettingProblem, ...]
    """What is odd about the settings and no reason not to start, such as a tool that nothing is bound to."""
    _tokens: TokenStore | PostgresTokens
    _spaces: dict[str, Space] = field(default_factory=dict)
    _adapters: dict[str, Adapter] = field(default_factory=dict)
    _modules: Modules = field(init=False, repr=False)
    _streams: int = 0
    _founding: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _cluster: Cluster | None = None
    _gate: Gate = field(default_factory=Gate, repr=False)
    _carrying: asyncio.Task[None] | None = None
    _appeals: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    identity: Identity = field(init=False, repr=False)
    office: Office = field(init=False, repr=False)
    pauses: Pauses = field(init=False, repr=False)
    decisions: Decisions = field(init=False, repr=False)
    _judgements: Judgements = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin without a judgement."""
        self._powers = server_policies(self.loaded, self.clock)
        self._judgements = Judgements(self.loaded.settings.push, self.loaded.data)
        self._measures = Measures()
        self._looks = whole.Looks()
        self.identity = Identity(self.loaded.settings.identity)
        self.office = Office(self)
        self.pauses = Pauses(self.office, self._spaces, self._gate)
        self.decisions = Decisions(
            self.office, self.pauses, self._spaces, self.loaded, self._gate, self._tokens.revoked
        )
        self._retention = retention.Retention(self._spaces, self.loaded.settings.retention, self.clock)
        self._modules = Modules(load_grants(_bindings(self.loaded))[0], self.clock.now)

    @classmethod
    async def open(cls, loaded: Loaded, *, clock: Clock | None = None) -> Workshop:
        """Open the data folder, and bring every space in it to life. Raises `CannotOpen`."""
        if loaded.problems:
            raise CannotOpen(loaded.problems)
        problem = loaded.store_problem()
        if problem is not None:
            raise CannotOpen((problem,))
        clock = clock or SystemClock()
        powers = server_policies(loaded, clock)
        wrong = (
            *powers.problems,
            *webhooks.problems(loaded.settings.webhooks, loaded.vault),
            *identities.problems(loaded.settings.identity),
        )
        if wrong:
            raise CannotOpen(wrong)
        folder = loaded.data
        if loaded.store:
            return await cls._join(loaded, clock)
        try:
            (folder / "spaces").mkdir(parents=True, exist_ok=True)
            tokens = TokenStore(folder / "tokens.db")
        except (OSError, ValueError, StoreFault) as error:
            raise CannotOpen((SettingProblem("server.data", f"`{folder}` cannot be used: {error}"),)) from error
        adapters, problems = _bind(loaded, ())
        if problems:
            tokens.close()
            raise CannotOpen(problems)
        workshop = cls(loaded, clock, None, (), tokens, {}, adapters)
        try:
            # The office first: what is paused there is so before anything of the others goes on.
            for path in sorted((folder / "spaces").glob("*.db"), key=lambda path: (path.stem != OFFICE, path)):
                await workshop._wake(path)
        except StoreFault as fault:
            await workshop.close()
            raise CannotOpen((SettingProblem("server.data", fault.text),)) from fault
        workshop.notices = workshop._unbound()
        # Last, since a start that fails shows nothing: one that nobody has been shown would keep everybody out.
        if not tokens.all():
            workshop.first_token, _ = tokens.make("administrator", (), at=clock.now(), admin=True)
        return workshop

    @classmethod
    async def _join(cls, loaded: Loaded, clock: Clock) -> Workshop:
        """Open the workshop of one of the servers of a PostgreSQL."""
        section = loaded.settings.server
        adapters, problems = _bind(loaded, ())
        if problems:
            raise CannotOpen(problems)
        joined = Joined(loaded.store, section.url, duration_ms(section.lease) / 1000, section.partitions)
        try:
            loaded.data.mkdir(parents=True, exist_ok=True)  # Judgements are remembered there.
            cluster = await Cluster.join(joined)
        except OSError as error:
            raise CannotOpen((SettingProblem("server.data", f"`{loaded.data}` cannot be used: {error}"),)) from error
        except StoreFault as fault:
            raise CannotOpen((SettingProblem("server.store", fault.text),)) from fault
        workshop = cls(loaded, clock, None, (), cluster.tokens, {}, adapters)
        workshop._cluster = cluster
        try:
            for name in sorted(cluster.spaces(), key=lambda name: (name != OFFICE, name)):
                await workshop._wake_shared(name)
        except StoreFault as fault:
            await workshop.close()
            raise CannotOpen((SettingProblem("server.store", fault.text),)) from fault
        cluster.keep(workshop._wake_shared, workshop._news)
        workshop.pauses.everywhere = cluster.tell
        workshop._carrying = asyncio.create_task(workshop._carry_for_others(), name="temper decisions")
        workshop.notices = workshop._unbound()
        workshop.first_token = cluster.tokens.first(at=clock.now())
        return workshop

    async def close(self) -> None:
        """Answer what waits, give calls under way the time that the settings say, and let go of the files."""
        drain_ms = duration_ms(self.loaded.settings.server.drain)
        await self._retention.close()
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.gather(self._carrying, return_exceptions=True)
        await self.office.close()
        # The office first: what it is having done is done in the others.
        for space in (*([self.office.space] if self.office.space is not None else []), *self._spaces.values()):
            await space.live.close(drain_ms=drain_ms)
            if self._cluster is None:
                space.store.close()
        self._spaces.clear()
        if self._cluster is not None:
            await self._cluster.leave()
        for adapter in self._adapters.values():
            await adapter.close()
        await self.decisions.close()
        await self.identity.close()
        self._modules.close()
        self._tokens.close()

    # --- the other servers ---

    async def listening(self, url: str) -> None:
        """Take part in deciding from now on: requests are answered at `url`, where the settings name no other."""
        if self._cluster is not None:
            await self._cluster.listening(url)

    async def _news(self) -> None:
        """Take in what other servers have paused, and return once this one stands still."""
        assert self._cluster is not None, "there are others"
        if self.office.space is not None:
            await self.office.look()
        elif OFFICE in self._cluster.spaces():
            await self._wake_shared(OFFICE)
        await self.pauses.settled_here()

    async def _carry_for_others(self) -> None:
        """Do what is granted of this server's share, where another keeps the decision.

        And end what is over of the decisions and grants that it keeps, once another has pushed or revoked.
        """
        tidied: object = None
        while True:
            await asyncio.sleep(_CARRY_S)
            try:
                await self.decisions.carrying.for_others()
                heard = self._heard()
                if heard != tidied:
                    await self.decisions.tidy()
                    tidied = heard
            except Exception as problem:  # noqa: BLE001 - whatever it is, the next round is another
                _log.warning("decisions can't be carried out just now: %s", problem)

    def _heard(self) -> tuple[object, ...]:
        assert self._cluster is not None, "there are others"
        pushed = tuple((name, space.version.number) for name, space in sorted(self._spaces.items()))
        return self._cluster.tokens.known, pushed, self.office.space is None

    def knows(self, blueprint: str) -> bool:
        """Say whether there is a blueprint of that name, as far as this server has heard."""
        return self._cluster is None or self._has(blueprint)

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
        if not token:
            raise unauthenticated()
        now = self.clock.now()
        person = None if is_token(token) else self.identity.of_token(token, now)
        if person is None:
            try:
                row = self._tokens.find(token, at=now)
            except StoreFault as fault:
                raise unavailable(fault.text) from fault
            if row is None:
                raise unauthenticated("the token is unknown, expired or revoked")
            if row.session is None and row.principal.startswith(self.identity.reserved):
                raise unauthenticated("the settings have given the principal's name to an identity provider")
            person = credentials.person_of(row)
        return self._empowered(person)

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
        return tuple(_version(self._spaces[name].version, current=True, name=name) for name in names)

    def shape(self, person: Person, blueprint: str) -> wire.BlueprintShape:
        """Return what the blueprint offers, for OpenAPI, pages and tools. Cached by digest."""
        return self._space(person, blueprint).compiled.shape

    def sources(self, person: Person, blueprint: str, number: int | None = None) -> dict[str, str]:
        """Return a version's files (the current one's by default): name -> text."""
        space = self._space(person, blueprint)
        if number is None:
            return dict(space.table.notes.sources)
        return dict(version_table(self._numbered(space, number)).notes.sources)

    def policies(self, person: Person, blueprint: str, number: int | None = None) -> wire.PoliciesView:
        """Return all of who may, by a version (the current one by default)."""
        space = self._space(person, blueprint)
        version = space.version if number is None else self._numbered(space, number)
        return policies_view(version_table(version), version.number)

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
        must_be_administrator(person, "simulate policies", Administers.POLICIES, blueprint)
        scope.must_reach_whole(person, blueprint)
        space = self._space(person, blueprint)
        asked = whatif.Asked(entity, action, id)
        whatif.must_be_there(space.table, asked)
        if id is not None:
            await space.reading(partial(self._snapshot, person, space, str(entity), id))
        new = None if files is None else await self._compiled(blueprint, whatif.candidate(space.table, files))
        return await space.reading(partial(whatif.simulated, self._gate, space, new, asked, self.clock.now()))

    async def plan(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, strength: bool = False
    ) -> wire.Plan:
        """Return what pushing `files` would change and strand. Needs an administrator. Changes nothing.

        With `strength`, how much its properties notice too.
        """
        must_be_administrator(person, "plan a push", Administers.PLAN, blueprint)
        scope.must_reach_whole(person, blueprint)
        table = await self._compiled(blueprint, files)
        space = self._spaces.get(blueprint)
        old = space.table if space is not None else None
        changes, judged = await self._judge(old, table, newly=True)
        examination = await self._examined(person, space, table, judged) if space is not None else None
        stranded = _stranded(examination)
        wrong = upgrade_problems(space.table, table, space.version.number) if space is not None else ()
        entities: dict[str, int] = {}
        if space is not None:
            for (entity, state), number in (await space.reading(space.store.counts)).items():
                entities[f"{entity}.{state}"] = number
        return wire.Plan(
            blueprint=blueprint,
            digest=digest(table),
            from_version=space.version.number if space is not None else None,
            from_digest=space.version.digest if space is not None else None,
            changes=(*changes, *self._unbound_lines(table)),
            stranded=stranded[:STRANDED_MAX],
            report=judged.report,
            pushable=self._passes(judged.report) and not stranded and not wrong,
            entities=entities,
            touched=_touched(examination),
            places=None
            if space is None or examination is None
            else await placed(self._judgements, space.table, table, space.version.number),
            upgrade=wrong,
            strength=await self._measures.compared(old, table) if strength else None,
            newly=tuple(wire.NewlyReached(e.role, e.entity, e.state, e.by, e.sure) for e in judged.newly),
        )

    async def shadow(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, last: int = 1_000
    ) -> wire.Shadow:
        """Return how `files` would have answered the last requests otherwise. Needs an administrator. Changes nothing.

        The candidate need not have passed: this may be why one looks.
        """
        must_be_administrator(person, "replay requests on a candidate", Administers.SHADOW, blueprint)
        scope.must_reach_whole(person, blueprint)
        space = self._space(person, blueprint)
        if not 1 <= last <= SHADOW_MAX:
            raise bad_query("last", f"is not from 1 to {SHADOW_MAX:,}")
        table = await self._compiled(blueprint, files)
        try:
            found = await asyncio.to_thread(shadow, space.store, table, last=last, gate=self._gate)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault
        return wire.Shadow(
            blueprint=blueprint,
            digest=digest(table),
            requests=found.requests,
            differ=found.differ,
            differences=tuple(
                wire.ShadowDifference(
                    seq=each.seq,
                    entity=each.entity,
                    id=each.id,
                    action=each.action,
                    kind=each.kind,
                    text=each.text,
                    sure=each.sure,
                )
                for each in found.differences
            ),
        )

    async def _examined(self, person: Person, space: Space, table: Table, judged: Judged) -> Examination | None:
        """Ask the living whether they have a place in a candidate; `None` where it is in force already."""
        for _ in range(PUSHES_MAX):
            try:
                if space.member is not None:
                    await space.member.up_to_date()
                if digest(table) == space.version.digest:
                    return None
                version = self._new_version(person, table, judged, space.version.number + 1, "")
                return await space.live.examined(table, version)
            except Superseded:
                continue
            except StoreFault as fault:
                raise unavailable(fault.text) from fault
        raise unavailable("other servers keep pushing: plan again")

    async def push(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, note: str = "", if_version: int | None = None
    ) -> wire.Pushed:
        """Verify `files`, then swap the whole bundle in one step. Needs an administrator.

        Declines with "broken-blueprint", "unverified", "stranded" or "stale"; then nothing has changed.
        """
        must_be_administrator(person, "push", Administers.PUSH, blueprint)
        return await self._push(person, blueprint, files, note, if_version)

    async def _push(
        self, person: Person, blueprint: str, files: Mapping[str, str], note: str, if_version: int | None
    ) -> wire.Pushed:
        self.pauses.must_be_free(person.caller, blueprint)
        scope.must_write(person, blueprint)
        table = await self._compiled(blueprint, files)
        space = self._spaces.get(blueprint)
        if space is None:
            return await self._found(person, table, note, if_version)
        async with space.lock:
            return await self._swap(person, space, table, note, if_version)

    async def _found(self, person: Person, table: Table, note: str, if_version: int | None) -> wire.Pushed:
        if if_version not in (None, 0):
            raise stale(None, if_version)
        changes, judged = await self._judge(None, table)
        self._must_pass(judged, table)
        if table.blueprint in self._spaces:
            # Somebody else pushed the first version meanwhile: this is the second then, under that one's lock.
            space = self._spaces[table.blueprint]
            async with space.lock:
                return await self._swap(person, space, table, note, if_version)
        version = self._new_version(person, table, judged, 1, note)
        path = self.loaded.data / "spaces" / f"{table.blueprint}.db"
        try:
            if self._cluster is not None:
                await self._found_shared(self._cluster, table.blueprint, version)
            else:
                async with self._founding:  # Of two who come at once, the second finds what the first has made.
                    if table.blueprint in self._spaces:
                        raise Superseded(f"`{table.blueprint}` has a first version already")
                    store = SqliteStore(path)
                    found(store, version)
                    live = await self._start(store)
                    self._spaces[table.blueprint] = Space(table.blueprint, store, live)
        except Superseded:
            # Another was first: this is the second then.
            space = self._spaces[table.blueprint]
            async with space.lock:
                return await self._swap(person, space, table, note, if_version)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault
        self._rebind()
        return wire.Pushed(
            blueprint=table.blueprint,
            version=1,
            digest=version.digest,
            changes=(*changes, *self._unbound_lines(table)),
            report=judged.report,
        )

    async def _swap(
        self,
        person: Person,
        space: Space,
        table: Table,
        note: str,
        if_version: int | None,
        wanted: canaries.CanaryWanted | None = None,
    ) -> wire.Pushed:
        for _ in range(PUSHES_MAX):
            try:
                if space.member is not None:
                    await space.member.up_to_date()
                return await self._swap_once(person, space, table, note, if_version, wanted)
            except Superseded:
                continue  # Another server has pushed meanwhile: it is judged anew, as a change of that version.
            except StoreFault as fault:
                raise unavailable(fault.text) from fault
        raise unavailable("other servers keep pushing: push again")

    async def _swap_once(
        self,
        person: Person,
        space: Space,
        table: Table,
        note: str,
        if_version: int | None,
        wanted: canaries.CanaryWanted | None,
    ) -> wire.Pushed:
        current = space.version
        left = current.number if space.table.canary is None else space.table.canary.number
        found = None
        if wanted is not None:
            found = await space.reading(partial(canaries.beside, space, table, wanted, at=self.clock.now()))
        if if_version is not None and if_version != current.number:
            raise stale(current.number, if_version)
        if digest(table) == current.digest:
            return wire.Pushed(
                blueprint=space.name,
                version=current.number,
                digest=current.digest,
                unchanged=True,
                report=version_report(current),
            )
        changes, judged = await self._judge(space.table, table)
        self._must_pass(judged, table)
        wrong = upgrade_problems(space.table, table, left)
        if wrong:
            raise Declined(
                wire.Problem(
                    type="broken-blueprint",
                    title="the `upgrade` speaks of what is not in force",
                    status=422,
                    detail="; ".join(wrong),
                    help=f"version {left} is in force: `temper versions` lists them",
                )
            )
        table = found or table
        version = self._new_version(person, table, judged, current.number + 1, note)
        swapped = await space.live.swap(table, version)
        if not isinstance(swapped, int):
            raise strands(
                tuple(
                    wire.StrandedEntity(entity=each.entity, id=each.id, state=each.state, reasons=each.reasons)
                    for each in swapped
                )
            )
        self._rebind()
        await self.decisions.tidy()
        return wire.Pushed(
            blueprint=space.name,
            version=version.number,
            digest=version.digest,
            changes=(*changes, *self._unbound_lines(table)),
            carried=swapped,
            report=judged.report,
        )

    def versions(self, person: Person, blueprint: str) -> tuple[wire.Version, ...]:
        """Return all versions, newest first."""
        space = self._space(person, blueprint)
        current = space.version.number
        return tuple(
            _version(version, current=version.number == current) for version in reversed(list(space.store.versions()))
        )

    async def rollback(
        self, person: Person, blueprint: str, number: int | None = None, *, note: str = ""
    ) -> wire.Pushed:
        """Push an earlier version again (the one before the current by default), under the same rules."""
        must_be_administrator(person, "roll back", Administers.ROLLBACK, blueprint)
        scope.must_write(person, blueprint)
        space = self._space(person, blueprint)
        if number is None:
            number = space.version.number - 1
            if number < 1:
                raise Declined(
                    wire.Problem(
                        type="not-found", title="there is no earlier version", status=404, detail="version 1 is live"
                    )
                )
        files = version_table(self._numbered(space, number)).notes.sources
        return await self._push(person, blueprint, files, note or f"back to version {number}", None)

    async def start_canary(
        self, person: Person, blueprint: str, files: Mapping[str, str], wanted: canaries.CanaryWanted, *, note: str = ""
    ) -> wire.Pushed:
        """Have some new entities live by `files`, once they have passed. Needs an administrator.

        Declines as a push does, and with "conflict" where the two can't live beside each other.
        """
        must_be_administrator(person, "start a canary", Administers.CANARY, blueprint)
        self.pauses.must_be_free(person.caller, blueprint)
        scope.must_write(person, blueprint)
        canaries.must_make_sense(wanted)
        table = await self._compiled(blueprint, files)
        space = self._space(person, blueprint)
        async with space.lock:
            return await self._swap(person, space, table, note or "a canary", None, wanted)

    async def canary(self, person: Person, blueprint: str) -> wire.Canary:
        """Return the canary that is under way. Declines with "not-found" where there is none."""
        space = self._space(person, blueprint)
        return await space.reading(partial(canaries.view, space))

    async def promote(self, person: Person, blueprint: str, *, note: str = "") -> wire.Pushed:
        """Push the candidate of the canary, under the same rules. Needs an administrator."""
        must_be_administrator(person, "promote a canary", Administers.PUSH, blueprint)
        files = canaries.files_of(self._space(person, blueprint))
        return await self._push(person, blueprint, files, note or "the canary is promoted", None)

    async def withdraw(self, person: Person, blueprint: str, *, note: str = "") -> wire.Pushed:
        """Push the version beside which the canary is, under the same rules. Needs an administrator.

        Declines with "stranded" where some live by the candidate that have no place in it.
        """
        must_be_administrator(person, "withdraw a canary", Administers.CANARY, blueprint)
        space = self._space(person, blueprint)
        files = version_table(self._numbered(space, canaries.number_of(space))).notes.sources
        return await self._push(person, blueprint, files, note or "the canary is withdrawn", None)

    async def audit(self, person: Person, blueprint: str, expect: str | None = None) -> wire.Audited:
        """Walk all that is kept of a blueprint, and say the first thing that is not what was written."""
        must_be_administrator(person, "audit", Administers.AUDIT, blueprint)
        scope.must_write(person, blueprint)
        return await whole.audit(self._looks, self._space(person, blueprint), expect)

    def export(self, person: Person, blueprint: str) -> AsyncIterator[bytes]:
        """Yield all that is kept of a blueprint as lines, as it is now. Needs an administrator."""
        must_be_administrator(person, "export", Administers.EXPORT, blueprint)
        scope.must_write(person, blueprint)
        return whole.export(self._looks, self._space(person, blueprint))

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
        return await self._done(self._creation(person, blueprint, entity, action, body, key=key, dry_run=dry_run))

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
        self._begin(self._creation(person, blueprint, entity, action, body, key=key), then)

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
        return await self._done(
            self._action(person, blueprint, entity, id, action, body, key=key, if_version=if_version, dry_run=dry_run)
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
        self._begin(self._action(person, blueprint, entity, id, action, body, key=key, if_version=if_version), then)

    def _creation(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        action: str | None,
        body: Mapping[str, Any],
        *,
        key: str | None,
        dry_run: bool = False,
    ) -> _Asked:
        id, params = wanted_id(body)
        scope.must_write(person, blueprint, entity, id or "")
        space = self._space(person, blueprint)
        kind = entity_of(space.table, entity)
        id = id or space.fresh_id(kind.name)
        kind = space.table_of(entity, id, None).entities[entity]
        chosen = creating_action(kind, action)
        return self._asked(
            person,
            space,
            kind,
            id,
            chosen,
            params,
            key=key,
            asked=body,
            dry_run=dry_run,
            creates=True,
        )

    def _action(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        id: str,
        action: str,
        body: Mapping[str, Any],
        *,
        key: str | None,
        if_version: int | None = None,
        dry_run: bool = False,
    ) -> _Asked:
        scope.must_write(person, blueprint, entity, id)
        space = self._space(person, blueprint)
        kind = entity_of(space.table, entity)
        if space.table.canary is not None:
            kind = space.table_of(entity, id, space.live.read(entity, id)).entities[entity]
        chosen = action_of(kind, action)
        return self._asked(
            person, space, kind, id, chosen, body, key=key, asked=body, if_version=if_version, dry_run=dry_run
        )

    def _asked(
        self,
        person: Person,
        space: Space,
        kind: pieces.Entity,
        id: str,
        action: pieces.Action,
        body: Mapping[str, Any],
        *,
        key: str | None,
        asked: Mapping[str, Any],
        if_version: int | None = None,
        dry_run: bool = False,
        creates: bool = False,
    ) -> _Asked:
        params, caller = params_of(space.table, action, body), person.caller
        if not dry_run:
            self.pauses.must_not_be_paused(caller, space.name)
            space.must_be_ours(kind.name, id)
        event = Act(new_id(), self.clock.now(), action.name, params, caller, kind.name, id)
        request = Request(
            event,
            kind.name,
            id,
            key=scoped_key(person, key),
            fingerprint=fingerprint(kind.name, "" if creates else id, action.name, asked) if key else "",
            if_version=if_version,
            dry_run=dry_run,
            facts=person.facts,
        )
        return _Asked(space, person, request, action.name, drawn=creates and "id" not in asked)

    async def _done(self, asked: _Asked) -> wire.Acted:
        return await self._appealed(asked, await asked.space.live.submit(asked.request))

    async def _appealed(self, asked: _Asked, answer: Answer) -> wire.Acted:
        """Return what came of a request: of one that was refused, perhaps by what somebody has granted."""
        answer = await self.decisions.appeals.appealed(
            asked.space, asked.person, asked.request, answer, drawn=asked.drawn
        )
        return self._acted(asked, answer)

    async def _appeal(self, asked: _Asked, answer: Answer, then: Then) -> None:
        try:
            found: wire.Acted | BaseException = await self._appealed(asked, answer)
        except Exception as problem:  # noqa: BLE001 - it is for whoever asked
            found = problem
        then(found)

    def _begin(self, asked: _Asked, then: Then) -> None:
        def answered(answer: Answer | BaseException) -> None:
            try:
                if isinstance(answer, BaseException):
                    raise answer
                if self.decisions.appeals.may_be_appealed(asked.space, asked.request, answer):
                    appeal = asyncio.get_running_loop().create_task(self._appeal(asked, answer, then))
                    self._appeals.add(appeal)
                    appeal.add_done_callback(self._appeals.discard)
                    return
                found: wire.Acted | BaseException = self._acted(asked, answer)
            except Exception as problem:  # noqa: BLE001 - it is for whoever asked
                found = problem
            then(found)

        asked.space.live.ask(asked.request, answered)

    def _acted(self, asked: _Asked, answer: Answer) -> wire.Acted:
        space, request = asked.space, asked.request
        # A swap may have come between: the answer is by the table that is in force after it.
        match answer:
            case Done():
                sees, now = self._sees(asked.person, space), answer.snapshot
                table = space.table_of(now.entity, now.id, now)
                if sees is None:
                    return acted(table, answer, asked.action, dry_run=request.dry_run)
                if answer.entry is None and not sees(now):
                    # The same was created before; whoever may not see it learns no more than that.
                    raise Declined(
                        wire.Problem(type="conflict", title="there is one with this key already", status=409)
                    )
                if request.dry_run:
                    # Nothing has happened: it is as it was that has to be theirs to read.
                    was = space.live.read(now.entity, now.id)
                    if was is not None and not sees(was):
                        raise Declined(no_such_entity(now.entity, now.id))
                done = acted(table, answer, asked.action, dry_run=request.dry_run)
                try:
                    return done if sees(now) else hidden(done)
                except StoreFault:
                    return hidden(done)  # It is done; whether it may be shown can't be found out just now.
            case No():
                entity, id = request.entity, request.id
                raise Declined(self._refusal(space, asked.person, entity, id, answer.refused, answer.snapshot))
            case Conflict():
                if answer.actual_version is not None:
                    if self._gate.narrows_reading(space.table, request.entity):
                        self._snapshot(asked.person, space, request.entity, request.id)
                    raise stale(answer.actual_version, request.if_version)
                raise Declined(
                    wire.Problem(
                        type="conflict",
                        title="the idempotency key was used for something else",
                        status=422,
                        detail=answer.text,
                        help="use a new key for a new request",
                    )
                )
            case Busy():
                raise Declined(
                    wire.Problem(
                        type="busy",
                        title="too many requests wait",
                        status=503,
                        detail="nothing was done",
                        help="try again after the time that Retry-After says",
                        retry_after_ms=answer.retry_after_ms,
                    )
                )
            case Contended():
                raise Declined(
                    wire.Problem(
                        type="contended",
                        title="others kept changing what the action reads",
                        status=503,
                        detail="nothing was done",
                        help="try again after the time that Retry-After says",
                        retry_after_ms=answer.retry_after_ms,
                    )
                )
            case Expired():
                raise unavailable(answer.text)

    def _refusal(
        self, space: Space, person: Person, entity: str, id: str, refused: Refused, now: Snapshot | None
    ) -> wire.Problem:
        if refused.why is Why.MISSING and now is None:
            return no_such_entity(entity, id)
        at = self.clock.now()
        try:
            sees = self._sees(person, space)
            if now is not None and sees is not None and refused.why is not Why.EXISTS and not sees(now):
                return no_such_entity(entity, id)
            table = space.table_of(entity, id, now)
            could = possible(table, entity, now, person.caller, at, space.live.world())
            could = self._possibly(person, space, now, at, could)
        except StoreFault:
            could = ()  # It is refused all the same; what else is possible can't be read right now.
        return refusal(space.table_of(entity, id, now), space.name, refused, now, could)

    async def read(self, person: Person, blueprint: str, entity: str, id: str) -> wire.EntityView:
        """Return the entity as it is."""
        space = self._space(person, blueprint)
        entity_of(space.table, entity)

        def look() -> wire.EntityView:
            now = self._snapshot(person, space, entity, id)
            table = space.table_of(entity, id, now)
            return retention.noted(space, entity_view(table, now, space.store.order if now.calls else None))

        return await space.reading(look)

    async def past(self, person: Person, blueprint: str, entity: str, id: str, at: str) -> wire.PastEntity:
        """Return the entity as it was after the entry `at`, or at that time. Declines with "not-found" before it was.

        It takes no longer where the entity's history is long.
        """
        space = self._space(person, blueprint)
        entity_of(space.table, entity)
        seq, time = moment_of(at)

        def look() -> wire.PastEntity:
            self._snapshot(person, space, entity, id, at=at)
            upto = seq if time is None else seq_at(space.store, entity, id, time=time)
            was = past(space.store, entity, id, at=upto)
            if was is None:
                raise Declined(no_such_entity(entity, id, at=at))
            return past_view(entity, id, was, space.number_of(was.digest))

        return await space.reading(look)

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
        space = self._space(person, blueprint)
        kind = entity_of(space.table, entity)
        most = self.loaded.settings.limits.page
        if not 1 <= limit <= most:
            raise bad_query("limit", f"is not from 1 to {most}")
        condition = self._condition(space, entity, filter, "filter") if filter else None
        listing = Listing(kind, condition, sort, limit, cursor, count, self.clock.now(), self._sees(person, space))
        page = await list_page(space, listing)
        if isinstance(page, wire.FieldError):
            raise bad_query(page.path, page.message)
        return page

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
        space = self._space(person, blueprint)
        entity_of(space.table, entity)
        most = self.loaded.settings.limits.page
        if not 1 <= limit <= most:
            raise bad_query("limit", f"is not from 1 to {most}")
        seq, time = moment_of(at)
        now, sees = self.clock.now(), self._sees(person, space)
        asked = PastListing(entity, seq, time, filter, sort, limit, cursor, count, now, sees)
        return await space.reading(partial(past_page, space, asked))

    async def history(
        self, person: Person, blueprint: str, entity: str, id: str, *, after: int = 0, limit: int = 200
    ) -> tuple[wire.HistoryEntry, ...]:
        """Return what happened to the entity, oldest first, refusals included; entries with `seq > after`."""
        space = self._space(person, blueprint)
        entity_of(space.table, entity)
        most = max(self.loaded.settings.limits.page, 200)
        if not 1 <= limit <= most:
            raise bad_query("limit", f"is not from 1 to {most}")

        def look() -> tuple[wire.HistoryEntry, ...]:
            self._snapshot(person, space, entity, id)
            entries = space.store.history(entity, id, after=after, limit=limit)
            return tuple(history_entry(entry, space.number_of(entry.digest)) for entry in entries)

        return await space.reading(look)

    async def possible(self, person: Person, blueprint: str, entity: str, id: str | None) -> tuple[wire.Possible, ...]:
        """Return each action as this caller could take it now; of a new entity where `id` is `None`."""
        space = self._space(person, blueprint)

        def look() -> tuple[wire.Possible, ...]:
            entity_of(space.table, entity)
            now = self._snapshot(person, space, entity, id) if id is not None else None
            table = space.table if id is None else space.table_of(entity, id, now)
            at = self.clock.now()
            could = possible(table, entity, now, person.caller, at, space.live.world())
            could = self._possibly(person, space, now, at, could)
            return tuple(
                possible_action(table, each) for each in could if asked_for(table, entity, each.action, new=now is None)
            )

        return await space.reading(look)

    async def why(
        self, person: Person, blueprint: str, entity: str, id: str | None, action: str, body: Mapping[str, Any]
    ) -> wire.WhyNot:
        """Return what the action would do, or which clause would refuse it and with which values. Changes nothing."""
        space = self._space(person, blueprint)
        entity_of(space.table, entity)
        now = None if id is None else await space.reading(partial(self._snapshot, person, space, entity, id))
        wanted, rest = wanted_id(body) if id is None else (None, body)
        table = space.table_of(entity, id or wanted or "", now)
        kind = entity_of(table, entity)
        chosen = action_of(kind, action)
        if not scope.reaches(person, blueprint, entity, id or wanted or ""):
            raise scope.beyond(person, blueprint, entity, wanted or "")
        params = params_of(table, chosen, rest)
        at = self.clock.now()
        event = Act(new_id(), at, action, params, person.caller, entity, id or wanted or new_id())
        sees = self._sees(person, space)
        clauses = tuple(
            wire.Clause(
                kind=each.kind,
                text=each.text,
                holds=each.holds,
                values=dict(each.values),
                place=site_place(table, each.site),
            )
            for each in await space.reading(lambda: told(table, now, event, space.live.world(), sees))
        )
        clauses += await space.reading(lambda: policy_clauses(self._gate, person, space, now, event))
        try:
            asked = self._asked(
                person, space, kind, event.entity_id, chosen, rest, key=None, asked=body, dry_run=True,
                creates=id is None,
            )  # fmt: skip
            result = self._acted(asked, await space.live.submit(asked.request))
        except Declined as declined:
            if declined.problem.type not in ("refused", "denied", "conflict", "paused"):
                raise
            problem = declined.problem
            return wire.WhyNot(
                action=action, would="refuse", text=problem.detail, why=problem.why, clauses=clauses,
                may_be_approved=problem.type == "denied" and self._gate.may_be_approved(table, entity, action),
            )  # fmt: skip
        return wire.WhyNot(action=action, would="take", clauses=clauses, result=result)

    async def watch(
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
        space = self._space(person, blueprint)
        if entity is not None:
            entity_of(space.table, entity)
        if entity is not None and id is not None:
            await space.reading(partial(self._snapshot, person, space, entity, id))
        async for each in self._streamed(space, entity, id, after, partial(self._shows, person, space)):
            yield each

    async def watch_decisions(
        self, person: Person, *, after: int | str | None = None
    ) -> AsyncIterator[wire.HistoryEntry]:
        """Yield what happens to the decisions that the person may see, as it is committed."""
        space = await self.office.opened()
        shows = partial(self.decisions.cases.shows, person)
        async for each in self._streamed(space, "Decision", None, after, shows):
            yield happened(each)

    async def _streamed(
        self,
        space: Space,
        entity: str | None,
        id: str | None,
        after: int | str | None,
        shows: Callable[[str, str], Awaitable[bool]],
    ) -> AsyncIterator[wire.HistoryEntry]:
        if self._streams >= self.loaded.settings.limits.streams:
            raise Declined(
                wire.Problem(
                    type="busy",
                    title="too many live streams are open",
                    status=503,
                    help="close one, or raise `limits.streams`",
                    retry_after_ms=5_000,
                )
            )
        self._streams += 1
        try:
            member = space.member
            if member is not None:
                part = member.database.part(entity, id) if entity is not None and id is not None else None
                async for each in self._watched(space, member, after, part):
                    if entity in (None, each.entity) and id in (None, each.id) and await shows(each.entity, each.id):
                        yield each
                return
            if isinstance(after, str) and not after.isdigit():
                raise bad_query("after", "is the number of an entry")
            async for entry in space.live.subscribe(None if after is None else int(after)):
                if entity in (None, entry.entity) and id in (None, entry.id) and await shows(entry.entity, entry.id):
                    yield history_entry(entry, space.number_of(entry.digest))
        finally:
            self._streams -= 1

    async def _watched(
        self, space: Space, member: Member, after: int | str | None, part: int | None
    ) -> AsyncIterator[wire.HistoryEntry]:
        place = None if after is None else place_of(str(after), member.database.parts)
        if place is None and part is not None and str(after).isdigit():
            # Of one entity the number of an entry says enough, as its history gives it.
            heads = list(await space.reading(member.database.last_seqs))
            heads[part] = int(str(after))
            place = tuple(heads)
        if after is not None and place is None:
            raise bad_query("after", "is 0, or the `place` of an entry that a stream gave")
        try:
            async for entry, now in member.follow(place):
                number = space.number_known(entry.digest)
                if number is None:
                    number = await space.reading(partial(space.number_of, entry.digest))
                yield msgspec.structs.replace(history_entry(entry, number), place=place_text(now))
        except StoreFault as fault:
            raise unavailable(fault.text) from fault

    async def wait(
        self, person: Person, blueprint: str, entity: str, id: str, until: str, *, timeout_ms: int = 30_000
    ) -> wire.Waited:
        """Return the entity once `until` (an expression over it) holds, or as it is when the time is up."""
        space = self._space(person, blueprint)
        entity_of(space.table, entity)
        await space.reading(partial(self._snapshot, person, space, entity, id))
        most = duration_ms(self.loaded.settings.limits.wait)
        if not 0 <= timeout_ms <= most:
            raise bad_query("timeout", f"is not from 0 to {most} ms")
        self._condition(space, entity, until, "until")
        # Asked anew each time: a swap may come while it waits.
        compiled, number = space.compiled, space.version.number

        def holds(now: Snapshot) -> bool:
            nonlocal compiled, number
            if space.version.number != number:
                compiled, number = space.compiled, space.version.number
            sees = self._sees(person, space)
            if sees is not None and not sees(now):
                return False
            condition = compiled.condition(entity, until)
            return compiled.predicate(entity, condition, self.clock.now(), seen(space.live.world(), sees))(now)

        try:
            met, now = await space.live.wait_until(entity, id, holds, timeout_ms=timeout_ms)
        except BadExpression as bad:
            raise bad_query("until", "does not fit the version that came meanwhile", bad.findings) from bad
        except StoreFault as fault:
            raise unavailable(fault.text) from fault
        assert now is not None, "an entity never goes away"
        if self._gate.narrows_reading(space.table, entity):
            now = await space.reading(partial(self._snapshot, person, space, entity, id))
        return wire.Waited(met=met, entity=entity_view(space.table_of(entity, id, now), now))

    # --- the outbox ---

    async def letters(
        self, person: Person, blueprint: str, *, after: str | None = None, limit: int = 50
    ) -> tuple[wire.Letter, ...]:
        """Return dead letters, oldest first, after the one of the order `after`."""
        if not 1 <= limit <= outbox.LETTERS_MAX:
            raise bad_query("limit", f"is not from 1 to {outbox.LETTERS_MAX}")
        space = self._space(person, blueprint)
        scope.must_reach_whole(person, blueprint)
        return await outbox.letters(space, after, limit, self._sees(person, space), operates=person.admin)

    async def letter(self, person: Person, blueprint: str, order: str) -> wire.Letter:
        """Return an order that has not ended, or a dead letter."""
        space = self._space(person, blueprint)
        scope.must_reach_whole(person, blueprint)
        return await outbox.order(space, order, self._sees(person, space), operates=person.admin)

    async def retry(self, person: Person, blueprint: str, order: str, *, note: str = "") -> wire.Letter:
        """Have an order tried now, whatever it waits for; `note` says why. Needs an administrator."""
        scope.must_write(person, blueprint)
        self.pauses.must_not_be_paused(person.caller, blueprint)
        return await outbox.retry(self._space(person, blueprint), person, order, note)

    async def discard(self, person: Person, blueprint: str, order: str, *, note: str = "") -> wire.Letter:
        """Give an order up: a call ends `unknown`, a send is dropped, a letter is put away. `note` says why.

        Needs an administrator.
        """
        scope.must_write(person, blueprint)
        self.pauses.must_not_be_paused(person.caller, blueprint)
        return await outbox.discard(self._space(person, blueprint), person, order, note)

    async def tools(self, person: Person, blueprint: str) -> tuple[wire.ToolState, ...]:
        """Return how each tool of the blueprint is being called by this server, and what waits."""
        space = self._space(person, blueprint)
        scope.must_reach_whole(person, blueprint)
        return await outbox.tools(space, frozenset(self._adapters), self._sees(person, space))

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
        self.pauses.must_not_be_paused(person.caller)
        try:
            return credentials.make(self._tokens, person, wanted, self.clock.now(), self.identity.reserved)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault

    def tokens(self, person: Person) -> tuple[wire.Token, ...]:
        """Return all tokens without their secrets. Needs an administrator."""
        return credentials.listed(self._tokens, person)

    async def revoke_token(self, person: Person, id: str) -> wire.Token:
        """Revoke a token and the sessions that were started with it: once this returns, no server lets them in.

        What waits for an answer, and what is granted, by them or with them has ended by then, too.
        Needs an administrator.
        """
        self.pauses.must_not_be_paused(person.caller)
        return await self._withdrawn(person, id, lambda: credentials.revoke(self._tokens, person, id, self.clock.now()))

    async def rotate_token(self, person: Person, id: str, *, grace_ms: int = 0) -> wire.NewToken:
        """Give a token another secret; the one that it had is good for `grace_ms` more. Needs an administrator."""
        self.pauses.must_not_be_paused(person.caller)
        return await self._everywhere(lambda: credentials.rotate(self._tokens, person, id, grace_ms, self.clock.now()))

    async def start_session(self, person: Person, wanted: SessionWanted) -> wire.NewToken:
        """Start a session of the person: a credential for an agent, no larger than the person's own."""
        self.pauses.must_not_be_paused(person.caller)
        most_ms = duration_ms(self.loaded.settings.identity.session_max)
        return await self._beside(lambda: agents.start(self._tokens, person, wanted, self.clock.now(), most_ms))

    async def sessions(self, person: Person) -> tuple[wire.Token, ...]:
        """Return the sessions that the person may end, and that have not ended."""
        return await self._beside(lambda: agents.listed(self._tokens, person, self.clock.now()))

    async def end_session(self, person: Person, id: str) -> wire.Token:
        """End a session and those that it has started: once this returns, no server lets them in.

        What waits for an answer, and what is granted, by them or with them has ended by then, too.
        """
        self.pauses.must_not_be_paused(person.caller)
        return await self._withdrawn(person, id, lambda: agents.end(self._tokens, person, id, self.clock.now()))

    async def _withdrawn(self, person: Person, id: str, revoke: Callable[[], wire.Token]) -> wire.Token:
        """Return a token that is revoked, with what has ended with it and the sessions that it has started."""
        if not self.knows(OFFICE):
            await self.look_around()
        stood: tuple[tuple[str, ...], tuple[str, ...]] = (), ()
        # Before, too: another server may end what it keeps as soon as it hears of it. That keeps nobody from revoking.
        with contextlib.suppress(Declined):
            family = await self._beside(lambda: credentials.family(self._tokens, id))
            stood = await self.decisions.standing_by(family)
        revoked = await self._everywhere(revoke)
        family = await self._beside(lambda: credentials.family(self._tokens, id))
        ended = await self.decisions.withdrawn(person, family)
        decisions, grants = (tuple(dict.fromkeys((*was, *now))) for was, now in zip(stood, ended, strict=True))
        return msgspec.structs.replace(revoked, decisions=decisions, grants=grants)

    async def _beside(self, work: Callable[[], T]) -> T:
        """Return what comes of `work` on the tokens; where they are in a database, beside the loop."""
        try:
            return work() if self._cluster is None else await asyncio.to_thread(work)
        except StoreFault as fault:
            raise unavailable(fault.text) from fault

    async def _everywhere(self, work: Callable[[], T]) -> T:
        """Return what comes of a change of tokens, once every server knows it."""
        done = await self._beside(work)
        if self._cluster is not None:
            try:
                await self._cluster.settled()
            except StoreFault as fault:
                raise unavailable(
                    f"it is done here, and whether every server knows it is not known: {fault.text}"
                ) from fault
        return done

    # --- inside ---

    def _space(self, person: Person, blueprint: str) -> Space:
        space = self._spaces.get(blueprint)
        if space is None or not scope.touches(person, blueprint):
            near = suggest(blueprint, [name for name in self._spaces if scope.touches(person, name)])
            raise Declined(
                wire.Problem(
                    type="not-found",
                    title=f"there is no blueprint `{blueprint}`",
                    status=404,
                    help=f"did you mean `{near}`?" if near else "push one with `temper push`",
                )
            )
        return space

    def _snapshot(self, person: Person, space: Space, entity: str, id: str, *, at: str = "") -> Snapshot:
        """Return an entity that the person may see; for who may not, it is not there."""
        now = space.live.read(entity, id) if scope.reaches(person, space.name, entity, id) else None
        sees = self._sees(person, space)
        if now is None or (sees is not None and not sees(now)):
            raise Declined(no_such_entity(entity, id, at=at))
        return now

    def _sees(self, person: Person, space: Space) -> Sees | None:
        """Return what says whom the person may see, `None` where that is everybody."""
        whole = scope.reaches(person, space.name)
        within = None if whole else lambda now: scope.reaches(person, space.name, now.entity, now.id)
        return visible(self._gate, person, space, self.clock.now(), within)

    def _possibly(
        self, person: Person, space: Space, now: Snapshot | None, at: int, could: tuple[Possible, ...]
    ) -> tuple[Possible, ...]:
        """Return what is possible where the policies have been asked too."""
        world = space.live.world()
        return possibly(self._gate, space.table, person.caller, person.facts, now, at, world, could)

    async def _shows(self, person: Person, space: Space, entity: str, id: str) -> bool:
        """Say whether the person may see what happens to an entity."""
        if not scope.reaches(person, space.name, entity, id):
            return False
        if not self._gate.narrows_reading(space.table, entity):
            return True
        try:
            await space.reading(partial(self._snapshot, person, space, entity, id))
        except Declined:
            return False
        return True

    def _condition(self, space: Space, entity: str, text: str, parameter: str) -> Any:
        try:
            return space.compiled.condition(entity, text)
        except BadExpression as bad:
            raise bad_query(parameter, "cannot be asked", bad.findings) from bad

    def _numbered(self, space: Space, number: int) -> TableVersion:
        for version in space.store.versions():
            if version.number == number:
                return version
        raise Declined(
            wire.Problem(
                type="not-found",
                title=f"there is no version {number} of `{space.name}`",
                status=404,
                help=f"versions go from 1 to {space.version.number}",
            )
        )

    async def _compiled(self, blueprint: str, files: Mapping[str, str]) -> Table:
        # A module is compiled to be looked into, and policies may be many: nobody else waits for that.
        if not all(is_blueprint(name) for name in files):
            return await asyncio.to_thread(self._compile, blueprint, files)
        return self._compile(blueprint, files)

    def _compile(self, blueprint: str, files: Mapping[str, str]) -> Table:
        if not BLUEPRINT.fullmatch(blueprint) or blueprint in RESERVED_BLUEPRINTS:
            raise Declined(
                wire.Problem(type="bad-request", title=f"`{blueprint}` is no name for a blueprint", status=422)
            )
        letters = sum(len(text) for name, text in files.items() if is_module(name))
        size = sum(map(len, files.values())) - letters
        if letters > LETTERS_MAX:
            raise Declined(
                wire.Problem(
                    type="bad-request",
                    title=f"a bundle's modules have at most {LETTERS_MAX:,} characters in all, as they travel",
                    status=422,
                    detail=f"these have {letters:,}",
                    help="`temper push` packs them; leave out of a module what its tool does not need",
                )
            )
        if not files or len(files) > FILES_MAX or size > BYTES_MAX:
            raise Declined(
                wire.Problem(
                    type="bad-request",
                    title=f"a bundle has from 1 to {FILES_MAX} files of {BYTES_MAX:,} characters in all",
                    status=422,
                    detail=f"this one has {len(files)} files of {size:,} characters",
                )
            )
        checked = check_texts(files)
        if checked.table is None:
            raise Declined(broken(checked))
        large = too_large(checked.table)
        if large is not None:
            raise Declined(
                wire.Problem(
                    type="bad-request",
                    title="the blueprint is too large",
                    status=422,
                    detail=large,
                    help="part it into several blueprints",
                )
            )
        if checked.table.blueprint != blueprint:
            raise Declined(
                wire.Problem(
                    type="bad-request",
                    title=f"these files are the blueprint `{checked.table.blueprint}`, not `{blueprint}`",
                    status=422,
                    help=f"push them to `/v1/{checked.table.blueprint}`",
                )
            )
        return checked.table

    async def _judge(
        self, old: Table | None, new: Table, *, newly: bool = False
    ) -> tuple[tuple[wire.ChangeLine, ...], Judged]:
        changes = change(old, new) if old is not None else ()
        pairs = [_pair(each) for each in changes if each.old is not None and each.new is not None]
        judged = await self._judgements.of(new, pairs, old, newly=newly)
        strengths = iter(judged.strengths)
        lines = []
        for each in changes:
            paired = each.old is not None and each.new is not None
            lines.append(
                wire.ChangeLine(kind=each.kind, text=each.text, strength=next(strengths, "unknown") if paired else None)
            )
        if old is not None:
            said = await asyncio.to_thread(whatif.newly, old, new)
            lines += [wire.ChangeLine(kind="who", text=text) for text in said]
        return tuple(lines), judged

    def _passes(self, report: Mapping[str, Any]) -> bool:
        if report["passed"]:
            return True
        if not self.loaded.settings.push.allow_unknown or report.get("stopped"):
            return False
        return (
            not any(each["severity"] == "error" for each in report["findings"])
            and all(each["passed"] for each in report["scenarios"])
            and not any(each["verdict"] == "broken" for each in report["properties"])
        )

    def _must_pass(self, judged: Judged, table: Table) -> None:
        if self._passes(judged.report):
            return
        bad = _not_passed(judged.report["properties"])
        if judged.report.get("stopped"):
            bad = list(judged.report["stopped"])
        bad += [f"scenario failed: {each['title']}" for each in judged.report["scenarios"] if not each["passed"]]
        named = {each["name"] for each in judged.report["properties"]}
        bad += [
            each["message"]
            for each in judged.report["findings"]
            if each["severity"] == "error" and not any(f"`{name}`" in each["message"] for name in named)
        ]
        raise Declined(
            wire.Problem(
                type="unverified",
                title="the blueprint did not pass the verifier, and nothing was changed",
                status=422,
                detail="; ".join(bad),
                help="`temper verify` tells the whole story",
                report=judged.report,
            )
        )

    def _new_version(self, person: Person, table: Table, judged: Judged, number: int, note: str) -> TableVersion:
        self.pauses.must_be_free(person.caller, table.blueprint)  # It was judged meanwhile, and that takes a while.
        return TableVersion(
            number=number,
            digest=digest(table),
            table=dump(table),
            report=msgspec.json.encode(judged.report),
            at=self.clock.now(),
            by=person.principal,
            note=note,
        )

    async def _found_shared(self, cluster: Cluster, name: str, version: TableVersion) -> None:
        """Make a space in the database, and take part in deciding for it. Raises `Superseded` where another did."""
        store = await cluster.open(name)
        try:
            await asyncio.to_thread(found, store, version)
        except Superseded:
            await asyncio.to_thread(store.close)
            await self._wake_shared(name)
            raise
        except StoreFault:
            await asyncio.to_thread(store.close)
            raise
        await self._live_shared(cluster, name, store)
        await cluster.refresh()

    async def _wake_shared(self, name: str) -> None:
        cluster = self._cluster
        assert cluster is not None, "it is told of spaces"
        if self._has(name):
            return
        store = await cluster.open(name)
        version = await asyncio.to_thread(store.current)
        if version is None:
            await asyncio.to_thread(store.close)
            return
        if not self._passes(version_report(version)):
            await asyncio.to_thread(store.close)
            raise StoreFault(f"`{name}` has a version whose report has not passed")
        for each in (await asyncio.to_thread(store.versions))[-VERSIONS_REMEMBERED:]:
            self._judgements.remember(each)
        await self._live_shared(cluster, name, store)
        self._rebind()

    def _has(self, name: str) -> bool:
        return self.office.space is not None if name == OFFICE else name in self._spaces

    async def found_office(self, version: TableVersion) -> Space | None:
        """Make the office's space; `None` where it has been opened already: by us, or since another server made it."""
        if self._cluster is not None:
            with contextlib.suppress(Superseded):
                await self._found_shared(self._cluster, OFFICE, version)
            return None
        store = SqliteStore(self.loaded.data / "spaces" / f"{OFFICE}.db")
        found(store, version)
        return Space(OFFICE, store, await self._start(store, office=True))

    async def _opened(self, space: Space) -> None:
        if space.name == OFFICE:
            await self.office.open(space)
        else:
            self._spaces[space.name] = space

    async def _live_shared(self, cluster: Cluster, name: str, store: PostgresStore) -> None:
        if self._has(name):
            await asyncio.to_thread(store.close)
            return
        live = await self._start(store, Member, office=name == OFFICE)
        if self._has(name):  # It was told of meanwhile.
            await live.close()
            await asyncio.to_thread(store.close)
            return
        assert isinstance(live, Member), "it was started as one"
        cluster.add(name, store, live)
        await self._opened(Space(name, store, live))

    async def _wake(self, path: Path) -> None:
        store = SqliteStore(path)
        version = store.current()
        if version is None:
            # A first push that was cut off before its only commit: nothing was promised.
            store.close()
            return
        if not self._passes(version_report(version)):
            store.close()
            raise StoreFault(f"`{path}` holds a version whose report has not passed")
        for each in store.versions()[-VERSIONS_REMEMBERED:]:
            self._judgements.remember(each)
        table = version_table(version)
        live = await self._start(store, office=table.blueprint == OFFICE)
        await self._opened(Space(table.blueprint, store, live))

    async def _start(
        self, store: SqliteStore | PostgresStore, kind: type[Live] = Live, *, office: bool = False
    ) -> Live:
        limits = self.loaded.settings.limits
        live = await kind.start(
            store,
            self.decisions.adapters if office else self._adapters,
            clock=self.clock,
            limits=Limits(batch_max=limits.batch, queue_max=limits.queue, attempts_max=limits.calls_per_tool),
            modules=self._modules,
            gate=None if office else self.pauses,
        )
        if not office:
            self.pauses.hold_back(live)
        self._modules.prepare(live.table)
        return live

    def _rebind(self) -> None:
        self.notices = self._unbound()

    def _unbound(self) -> tuple[SettingProblem, ...]:
        names = sorted({name for space in self._spaces.values() for name in _outside(space.table)})
        return tuple(
            SettingProblem(
                f'tools."{name}"', "nothing is bound to this tool: its calls fail as `not_bound`", "bind an adapter"
            )
            for name in names
            if name not in self._adapters
        )

    def _unbound_lines(self, table: Table) -> tuple[wire.ChangeLine, ...]:
        unbound = [
            f"nothing is bound to the tool `{name}`: until the settings do, its calls fail as `not_bound`"
            for name in _outside(table)
            if name not in self._adapters
        ]
        denied = [
            f"the module of `{name}` imports `{function}`, which the settings don't allow: its calls fail as `refused`"
            for name, function in self._modules.denied(table)
        ]
        return tuple(wire.ChangeLine(kind="note", text=text) for text in (*unbound, *denied))


def _bind(loaded: Loaded, tables: Iterable[Table]) -> tuple[dict[str, Adapter], tuple[SettingProblem, ...]]:
    declared = {name: declared for table in tables for name, declared in _outside(table).items()}
    adapters, problems = load_tools(_bindings(loaded), declared, loaded.vault)
    _, more = load_grants(_bindings(loaded))
    _, telling = announcing(loaded.settings.approvals, loaded.vault)
    return adapters, (
        *(SettingProblem(each.where, each.text, each.help) for each in (*problems, *more)),
        *telling,
    )


def _bindings(loaded: Loaded) -> dict[str, Any]:
    return {"tools": loaded.settings.tools, "adapters": loaded.settings.adapters}


def _outside(table: Table) -> dict[str, Declared]:
    return {
        name: Declared(tuple(p.name for p in tool.params), tuple(r.name for r in tool.results))
        for name, tool in table.tools.items()
        if tool.wasm is None
    }


def _stranded(examination: Examination | None) -> tuple[wire.StrandedEntity, ...]:
    return tuple(
        wire.StrandedEntity(entity=each.entity, id=each.id, state=each.state, reasons=each.reasons)
        for each in (examination.stranded if examination is not None else ())
    )


def _touched(examination: Examination | None) -> tuple[wire.Touched, ...]:
    if examination is None:
        return ()
    return tuple(
        wire.Touched(
            entity=entity,
            state=state,
            becomes=fate.becomes,
            rewritten=(entity, state) in examination.moving.touched,
            entities=fate.entities,
            calls=fate.calls,
            timers=fate.timers,
            deferred=fate.deferred,
            stranded=fate.stranded,
        )
        for (entity, state), fate in sorted(examination.fates.items())
    )


def _pair(each: Change) -> GuardPair:
    entity, _, rest = each.site.partition(".")
    return GuardPair(entity, rest.partition("/")[0], each.old, each.new)


def _version(version: TableVersion, *, current: bool, name: str = "") -> wire.Version:
    return wire.Version(
        blueprint=name,
        number=version.number,
        digest=version.digest,
        at=moment(version.at),
        by=version.by,
        note=version.note,
        current=current,
    )


def _not_passed(properties: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is broken, then what nobody knows: each entity's properties by its name, once each."""
    bad: dict[tuple[str, str], list[str]] = {}
    for verdict in ("broken", "unknown", "not checked"):
        for each in properties:
            if each["verdict"] == verdict:
                names = bad.setdefault((verdict, each.get("entity") or ""), [])
                names += [each["name"]] if each["name"] not in names else []
    return [
        f"{verdict}: {f'{entity}: ' if entity else ''}{', '.join(names)}" for (verdict, entity), names in bad.items()
    ]
