"""Decisions as they stand: what each is about by now, who may see and answer it, and what it would have done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.kernel import Facts, Request
from temper.runtime import Administers, Elsewhere, Gate, new_id
from temper.service import scope, wire
from temper.service.declined import Declined
from temper.service.office import Office
from temper.service.office.known import Known, known_of
from temper.service.people import Person, may_administer
from temper.service.policies import visible
from temper.service.requests import params_of
from temper.service.shares import root_of
from temper.service.space import Space
from temper.table import Act, Caller, Consent, Snapshot, Value

SERVER = Caller("temper")


@dataclass(frozen=True)
class Cases:
    """Reads decisions. `spaces` are the blueprints that are served; `revoked` says of a token's id whether it is."""

    office: Office
    spaces: Mapping[str, Space]
    gate: Gate
    revoked: Callable[[str], bool]

    def now(self) -> int:
        """Return the time."""
        return self.office.ground.clock.now()

    async def seen(self, person: Person, id: str) -> Snapshot:
        now = await self.office.read("Decision", id)
        if now is None or not await self.may_see(person, now):
            raise no_such_decision(id)
        return await self.fresh(now)

    async def read(self, id: str) -> Snapshot:
        now = await self.office.read("Decision", id)
        assert now is not None, "no decision goes away"
        return now

    async def fresh(self, now: Snapshot) -> Snapshot:
        """Return a decision, which has gone stale where what it is about has moved on, or who asked was thrown out."""
        if now.state != "Pending":
            return now
        fields = self.office.fields(now)
        moved = self.thrown_out(fields) or await self.moved_on(fields)
        if not moved:
            return now
        try:
            await self.office.take("server", SERVER, "Decision", "GoStale", {"outcome": moved}, id=now.id)
        except (Elsewhere, Declined):
            # Whoever decides for it will note it; that it is so is true here, too.
            return msgspec.structs.replace(now, state="Stale", fields={**now.fields, "outcome": moved})
        return await self.read(now.id)

    def thrown_out(self, fields: Mapping[str, Any]) -> str:
        """Return whose token has been revoked, of those who asked and answered, "" where nobody's has."""
        for who, verb, said in (("asked_by", "asked for", "asked_as"), ("answered_by", "answered", "answered_as")):
            if fields[said] is not None and self.is_revoked(known_of(fields[said])):
                return f"the token of `{fields[who]}`, with which it was {verb}, has been revoked"
        return ""

    def is_revoked(self, somebody: Known) -> bool:
        """Say whether the token that somebody has shown has been revoked since."""
        return somebody.token is not None and self.revoked(somebody.token)

    def is_ahead(self, space: Space, asked: Known) -> bool:
        """Say whether something was asked for by a version that this server has not heard of yet."""
        return asked.release > space.version.number

    async def moved_on(self, fields: Mapping[str, Any]) -> str:
        """Return what has changed since a decision was asked for, "" where nothing has."""
        wanted, asked = fields["wanted"], known_of(fields["asked_as"])
        space = self.spaces.get(wanted["bundle"])
        if space is None or self.is_ahead(space, asked):
            return ""  # It is not known here yet.
        if not same_release(space, wanted, asked):
            return f"version {space.version.number} of `{space.name}` is in force by now"
        live = space.live
        now = await space.reading(lambda: live.read(wanted["entity"], wanted["entity_id"]))
        version = 0 if now is None else now.version
        if version == wanted["version"]:
            return ""
        return f"{wanted['entity']} `{wanted['entity_id']}` is at version {version}, not {wanted['version']}"

    async def shows(self, person: Person, _: str, id: str) -> bool:
        """Say whether the person may see the decision of that id."""
        now = await self.office.read("Decision", id)
        return now is not None and await self.may_see(person, now)

    async def may_see(self, person: Person, now: Snapshot) -> bool:
        fields = self.office.fields(now)
        wanted = fields["wanted"]
        if not scope.reaches(person, wanted["bundle"], wanted["entity"], wanted["entity_id"]):
            return False
        parties = {fields["asked_by"], fields["asked_for"], fields["answered_by"], fields["answered_for"]}
        if person.principal in parties or person.behind in parties:
            return True
        if may_administer(person, Administers.DECISIONS, wanted["bundle"]):
            return True
        return await self.may_approve(person, fields)

    async def may_read(self, person: Person, wanted: Mapping[str, Any]) -> bool:
        """Say whether the person may read what a decision is about, as it is now; what is not there anybody may."""
        space = self.spaces.get(wanted["bundle"])
        if space is None:
            return False
        served, live = space, space.live
        sees = visible(self.gate, person, served, self.now(), None)

        def look() -> bool:
            now = live.read(wanted["entity"], wanted["entity_id"])
            return now is None or sees is None or sees(now)

        return await served.reading(look)

    async def may_approve(self, person: Person, fields: Mapping[str, Any]) -> bool:
        """Say whether the policies in force let somebody say yes to a decision's request."""
        wanted = fields["wanted"]
        space = self.spaces.get(wanted["bundle"])
        if space is None or not scope.reaches(person, space.name, wanted["entity"], wanted["entity_id"]):
            return False
        table = space.table
        kind = table.entities.get(wanted["entity"])
        action = kind.actions.get(wanted["act"]) if kind is not None else None
        if action is None or not self.gate.may_be_approved(table, wanted["entity"], wanted["act"]):
            return False
        try:
            params = params_of(table, action, msgspec.json.decode(wanted["params"]))
        except Declined:
            return False  # By another version of the blueprint they don't fit any more.
        asked = known_of(fields["asked_as"]).caller(fields["asked_by"])
        event = Act("", self.now(), wanted["act"], params, asked, wanted["entity"], wanted["entity_id"])
        allowed, _ = await self.lets(space, person.caller, person.facts, event)
        return allowed

    async def lets(self, space: Space, giver: Caller, facts: Facts, event: Act) -> tuple[bool, int]:
        """Say whether policies let `giver` say yes to `event`, and of which version of its entity that is true."""
        table, live, at = space.table, space.live, self.now()

        def look() -> tuple[bool, int]:
            now = live.read(event.entity, event.entity_id)
            ruling = self.gate.may_approve(table, giver, facts, at, now, event, live.world())
            return ruling.allowed, 0 if now is None else now.version

        return await space.reading(look)

    def to_do(self, id: str, fields: Mapping[str, Any], by: str, answered: Known) -> tuple[Space, Request, Consent]:
        """Return the request that a decision holds, as it is carried out once `by` has said yes."""
        wanted = fields["wanted"]
        space = self.spaces[wanted["bundle"]]
        asked_as = known_of(fields["asked_as"])
        asked, giver = asked_as.caller(fields["asked_by"]), answered.caller(by)
        table = space.table
        action = table.entities[wanted["entity"]].actions[wanted["act"]]
        params: Mapping[str, Value] = params_of(table, action, msgspec.json.decode(wanted["params"]))
        consent = Consent(id, asked, giver, asked_as.policies)
        # What a policy refused is done as who asked; what `by` refused as who answered, who has what it takes.
        caller, facts = (asked, asked_as.facts) if wanted["refused_by"] == "policy" else (giver, answered.facts)
        entity, entity_id = wanted["entity"], wanted["entity_id"]
        act = Act(new_id(), self.now(), wanted["act"], params, caller, entity, entity_id, consent=consent)
        request = Request(
            act,
            entity,
            entity_id,
            if_version=wanted["version"] or None,
            if_digest=wanted["digest"],
            facts=facts,
        )
        return space, request, consent


def same_release(space: Space, wanted: Mapping[str, Any], asked: Known) -> bool:
    """Say whether the version in force is the one by which something was asked for, and not another just like it."""
    # What an earlier release of this program has kept has no number.
    return space.version.digest == wanted["digest"] and asked.release in (0, space.version.number)


def is_party(person: Person, fields: Mapping[str, Any]) -> bool:
    """Say whether somebody, or who stands behind them or has started their session, asks, or is asked for."""
    theirs = {root_of(each) for each in (fields["asked_by"], fields["asked_for"])}
    return not theirs.isdisjoint({root_of(person.principal), root_of(person.behind)})


def no_such_decision(id: str) -> Declined:
    return Declined(
        wire.Problem(
            type="not-found",
            title=f"there is no decision `{id[:80]}`",
            status=404,
            help="`temper decisions` lists those that you may see",
        )
    )
