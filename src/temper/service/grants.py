"""Grants: so many more requests like one that was approved, for a while, by the same version of the blueprint.

Its giver may say that one outlives a push: it then counts for what the policies in force let its giver say yes to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from temper.kernel import Answer, Conflict, Done, Facts, No, Request
from temper.runtime import Administers, Elsewhere, new_id
from temper.service import scope, wire
from temper.service.cases import SERVER, Cases, same_release
from temper.service.declined import Declined, unavailable
from temper.service.office import Granted
from temper.service.office.known import Known, digest_of, digests, known_of
from temper.service.pauses import Pauses
from temper.service.people import Person, may_administer
from temper.service.shares import share_of, share_text
from temper.service.space import Space
from temper.service.views import moment
from temper.table import Act, Caller, Consent, Refused, Snapshot, Why

# So often a request is decided anew under a grant, where others change its entity meanwhile.
TRIES_MAX = 50
_REVOKED = "a token by which it stood has been revoked"


@dataclass(frozen=True)
class Grants:
    """The verbs of grants, and their use. `most` are those that one principal may hold."""

    cases: Cases
    pauses: Pauses
    most: int
    giving: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """One after another: else of many at once each would find room."""

    async def use(self, space: Space, person: Person, request: Request, refused: Refused) -> Answer | None:
        """Take a use of a grant that is for this request, and have it decided under that; `None` where none is."""
        event = request.event
        assert isinstance(event, Act), "it was refused as one"
        key = None if request.key is None else f"{request.key}\ngranted"
        if key is not None:
            before = await space.reading(lambda: space.store.answered(key))
            if before is not None:  # The same request has had its use: its answer is said again.
                return await space.live.submit(self._under(request, event.caller, None, request.facts, key))
        for grant in list(self.cases.office.grants.get(person.principal, {}).values()):
            if not self._covers(space, grant, person, request, refused):
                continue
            as_answered = known_of(grant.answered_as)
            giver = as_answered.caller(grant.answered_by)
            allowed, _ = await self.cases.lets(space, giver, as_answered.facts, event)
            if not allowed:
                continue
            used = await self.cases.office.take(
                "requester",
                person.caller,
                "Use",
                "Make",
                {"grant": grant.id, "request": digest_of(request.key) if request.key is not None else event.id},
            )
            if not isinstance(used, Done):
                await self.cases.office.note("Grant", grant.id)
                continue
            await self.cases.office.note("Grant", grant.id)
            return await self._used(space, grant, request, refused, key)
        return None

    async def _used(
        self, space: Space, grant: Granted, request: Request, refused: Refused, key: str | None
    ) -> Answer | None:
        """Have a request decided under a grant; `None` where that is not for it any more.

        It is decided on the version of the entity that the giver may say yes to, as long as others keep changing it.
        """
        event = request.event
        assert isinstance(event, Act), "it was refused as one"
        as_answered = known_of(grant.answered_as)
        giver = as_answered.caller(grant.answered_by)
        caller, facts = (event.caller, request.facts) if refused.why is Why.FORBIDDEN else (giver, as_answered.facts)
        for _ in range(TRIES_MAX):
            digest = space.version.digest if grant.across_versions else grant.wanted["digest"]
            overruled = _as_they_were(space, grant)
            if not set(refused.policies) <= set(overruled):
                return None
            consent = Consent(grant.decision, event.caller, giver, overruled)
            allowed, version = await self.cases.lets(space, giver, as_answered.facts, event)
            if not allowed or self._withdrawn(grant):
                return None
            under = self._under(request, caller, consent, facts, key)
            answer = await space.live.submit(
                replace(under, if_version=request.if_version or version or None, if_digest=digest)
            )
            match answer:
                case Conflict(another_table=True):
                    if grant.across_versions:
                        continue
                    return None
                case Conflict(actual_version=actual) if actual is not None and request.if_version is None:
                    continue
                case _:
                    return answer
        raise unavailable("others kept changing the entity: try again")

    def _covers(self, space: Space, grant: Granted, person: Person, request: Request, refused: Refused) -> bool:
        """Say whether a grant is for this request: of the same person behind, with no role more, and all as it was."""
        wanted, event = grant.wanted, request.event
        assert isinstance(event, Act), "it was refused as one"
        as_asked, as_answered = known_of(grant.asked_as), known_of(grant.answered_as)
        return (
            grant.ends_at > self.cases.now()
            and grant.behind == person.behind
            and as_asked.acts_for == person.acts_for
            and set(person.roles) <= set(as_asked.roles)
            and (wanted["bundle"], wanted["entity"], wanted["act"]) == (space.name, request.entity, event.action)
            and (grant.across_versions or same_release(space, wanted, as_asked))
            and set(refused.policies) <= set(_as_they_were(space, grant))
            and grant.about in (None, request.id)
            and wanted["refused_by"] == ("policy" if refused.why is Why.FORBIDDEN else "by")
            and self.pauses.of(as_answered.caller(grant.answered_by), space.name) is None
            and not self._withdrawn(grant)
        )

    def _withdrawn(self, grant: Granted) -> bool:
        """Say whether a token by which a grant stands has been revoked: the one of who holds it, or of who gave it."""
        return any(self.cases.is_revoked(each) for each in _stands_by(grant))

    @staticmethod
    def _under(request: Request, caller: Caller, consent: Consent | None, facts: Facts, key: str | None) -> Request:
        event = request.event
        assert isinstance(event, Act), "an action"
        act = Act(
            new_id(), event.at, event.action, event.params, caller, event.entity, event.entity_id, consent=consent
        )
        return Request(
            act,
            request.entity,
            request.id,
            key=key,
            fingerprint=request.fingerprint,
            if_version=request.if_version,
            facts=facts,
        )

    def must_have_room(self, principal: str, behind: str, session: str | None) -> None:
        """Decline where as much is granted to somebody already, their sessions counted together, as one may hold."""
        most, share = self.most, share_of(principal, behind, session)
        held = [each for each in self._all() if share == _share(each) and self._in_force(each)]
        if len(held) >= most:
            raise Declined(
                wire.Problem(
                    type="too-many",
                    title=f"{most} grants to {share_text(principal, behind, session)} are in force already",
                    status=429,
                    help="revoke some of them (`temper grants`), or grant this call alone",
                )
            )

    async def listed(self, person: Person, *, principal: str | None = None) -> tuple[wire.Grant, ...]:
        """Return the grants in force that the person may see: all for whoever looks after decisions, else their own
        and those that they have given."""
        found = []
        for grant in list(self._all()):
            wanted, answered = grant.wanted, known_of(grant.answered_as)
            parties = {grant.to, grant.behind, grant.answered_by, answered.acts_for}
            mine = not parties.isdisjoint({person.principal, person.behind})
            if (
                principal in (None, grant.to)
                and (mine or may_administer(person, Administers.DECISIONS, wanted["bundle"]))
                and scope.reaches(person, wanted["bundle"], wanted["entity"], grant.about or "")
                and self._in_force(grant)
            ):
                now = await self.cases.office.read("Grant", grant.id)
                if now is not None and now.state == "Active":
                    found.append(self._grant_view(now, grant.wanted, grant.answered_by, grant.asked_as, answered))
        return tuple(sorted(found, key=lambda each: each.at))

    async def revoke(self, person: Person, id: str, *, reason: str | None = None) -> wire.Grant:
        """End a grant at once: by whoever gave it, whoever could have, or an administrator."""
        now = await self.cases.office.read("Grant", id)
        decision = await self.cases.read(str(now.fields["decision"])) if now is not None else None
        if now is None or decision is None or not await self.cases.may_see(person, decision):
            raise Declined(
                wire.Problem(
                    type="not-found",
                    title=f"there is no grant `{id[:80]}`",
                    status=404,
                    help="`temper grants` lists those in force",
                )
            )
        fields = self.cases.office.fields(decision)
        gave = not {fields["answered_by"], fields["answered_for"]}.isdisjoint({person.principal, person.behind})
        wanted = fields["wanted"]
        looks_after = may_administer(person, Administers.DECISIONS, wanted["bundle"])
        if not (looks_after or gave or await self.cases.may_approve(person, fields)):
            raise Declined(wire.Problem(type="denied", title="you may not revoke this grant", status=403))
        scope.must_write(person, wanted["bundle"], wanted["entity"], wanted["entity_id"])
        self.pauses.must_be_free(person.caller, wanted["bundle"])
        role = "administrator" if looks_after else "approver"
        match await self.cases.office.take(role, person.caller, "Grant", "Revoke", {"reason": reason}, id=id):
            case Done(snapshot=snapshot):
                # A request that was let through before is done by the time that this is answered.
                await self.pauses.settled()
                asked_as, answered = msgspec.json.decode(fields["asked_as"]), known_of(fields["answered_as"])
                return self._grant_view(snapshot, wanted, fields["answered_by"], asked_as, answered)
            case No(snapshot=snapshot) if snapshot is not None:
                raise Declined(
                    wire.Problem(
                        type="conflict", title="it is over already", status=409, detail=f"it is {snapshot.state}"
                    )
                )
            case _:
                raise unavailable("the grant could not be revoked: try again")

    def _grant_view(
        self, now: Snapshot, wanted: Mapping[str, Any], by: str, asked_as: Mapping[str, Any], answered: Known
    ) -> wire.Grant:
        fields = self.cases.office.fields(now)
        return wire.Grant(
            id=now.id,
            state=now.state,
            decision=fields["decision"],
            to=fields["granted_to"],
            acts_for=asked_as.get("acts_for"),
            blueprint=wanted["bundle"],
            entity=wanted["entity"],
            about=fields["about"],
            action=wanted["act"],
            by=by,
            limit=fields["limit"],
            uses=fields["uses"],
            left=fields["limit"] - fields["uses"],
            at=moment(now.created_at),
            until=fields["ends_at"],
            across_versions=fields["across_versions"],
            given_for=answered.acts_for,
            ended_by=fields["ended_by"],
            reason=fields["reason"],
        )

    async def tidy(self) -> None:
        """End what lets nothing through any more: what another version of a blueprint, or a revoked token, has left.

        What another server decides for, it ends.
        """
        for grant in list(self._all()):
            why = self._outdated(grant)
            if self._withdrawn(grant):
                await self._ended(grant, SERVER, "Revoke", _REVOKED)
            elif why:
                await self._ended(grant, SERVER, "Outdate", why)

    def standing_by(self, tokens: Collection[str]) -> list[Granted]:
        """Return what is granted to or by whoever has shown any of these tokens."""
        return [each for each in self._all() if not {one.token for one in _stands_by(each)}.isdisjoint(tokens)]

    async def withdraw(self, by: Caller, tokens: Collection[str]) -> None:
        """End what stands by any of these tokens, which somebody has revoked."""
        for grant in self.standing_by(tokens):
            await self._ended(grant, by, "Revoke", _REVOKED)

    def _in_force(self, grant: Granted) -> bool:
        return not self._withdrawn(grant) and not self._outdated(grant)

    async def _ended(self, grant: Granted, by: Caller, action: str, why: str) -> None:
        # Another server, or a time that is up, may have been before; and what is not ended lets nothing through.
        with contextlib.suppress(Elsewhere, Declined):
            await self.cases.office.take("server", by, "Grant", action, {"reason": why}, id=grant.id)

    def _outdated(self, grant: Granted) -> str:
        """Return why a grant lets nothing through by the version in force, "" where it may."""
        wanted, asked = grant.wanted, known_of(grant.asked_as)
        space = self.cases.spaces.get(wanted["bundle"])
        if space is None or self.cases.is_ahead(space, asked):
            return ""
        if not grant.across_versions:
            if same_release(space, wanted, asked):
                return ""
            return f"version {space.version.number} of `{space.name}` is in force by now"
        if not self.cases.gate.may_be_approved(space.table, wanted["entity"], wanted["act"]):
            return f"by version {space.version.number} of `{space.name}` nobody may say yes to it"
        lost = sorted(set(asked.policies) - set(_as_they_were(space, grant)))
        if lost:
            return f"version {space.version.number} of `{space.name}` has another policy `{lost[0]}`, or none"
        return ""

    def of(self, decision: str) -> str | None:
        """Return the grant in force that came of a decision, if one did."""
        return next((each.id for each in self._all() if each.decision == decision), None)

    def _all(self) -> Iterator[Granted]:
        for held in self.cases.office.grants.values():
            yield from held.values()


def _stands_by(grant: Granted) -> tuple[Known, Known]:
    return known_of(grant.asked_as), known_of(grant.answered_as)


def _share(grant: Granted) -> str:
    return share_of(grant.to, grant.behind, known_of(grant.asked_as).session)


def _as_they_were(space: Space, grant: Granted) -> tuple[str, ...]:
    """Return the policies that a grant overrules, of those that are what its giver was shown."""
    asked = known_of(grant.asked_as)
    if grant.wanted["digest"] == space.version.digest:
        return asked.policies
    now = digests(space.table)
    return tuple(id for id in asked.policies if id in now and asked.digests.get(id) == now[id])
