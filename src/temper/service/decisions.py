"""Decisions: requests that were refused and that somebody may approve, their answers, and what is granted for longer.

A decision holds exactly one request. What answers to it is the office's blueprint; what it takes to approve is a
`permit` of the bundle's policies; and what is then done is that request, once, by the office's own outbox, on the
version of the entity and of the blueprint that the decision was about.

Where a policy refused, the request is carried out as its requester's, and the consent says why the policy did not
count. Where the blueprint's own `by` did, it is carried out as the approver's, with the roles that they held when they
answered, under all that holds for them: a consent lends no more than its giver has.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from temper.kernel import (
    Answer,
    Busy,
    Conflict,
    Contended,
    Done,
    Entry,
    Expired,
    Facts,
    No,
    Order,
    Page,
    Request,
    StoreFault,
)
from temper.runtime import Adapter, Answered, Attempt, Call, Elsewhere, Failed, Gate, new_id
from temper.service import scope, wire
from temper.service.announcing import announcing
from temper.service.declined import Declined, bad_query, stale, unavailable
from temper.service.findings import site_place
from temper.service.office import Granted, Office
from temper.service.pauses import Pauses
from temper.service.people import Person
from temper.service.requests import params_of
from temper.service.settings import Loaded, Settings, duration_ms
from temper.service.space import Space
from temper.service.views import acted, history_entry, moment, refusal
from temper.table import Act, Caller, Consent, Refused, Snapshot, Table, Value, Why, encode_args

STATES = ("Pending", "Granted", "CarriedOut", "Failed", "Denied", "Stale", "Expired", "Withdrawn")
SCOPES = ("call", "entity", "action")
OPEN = ("Pending", "Granted")
REASON_MAX = 500
# What a decision keeps of a request; a larger one can't be approved.
PARAMS_MAX = 16_384
USES_MAX = 1_000
LASTS_MAX_MS = 30 * 86_400_000
# Decisions that a page looks at for those that its reader may see.
LOOKED_AT_MAX = 1_000
# How long an answer waits for what it has let be done.
DONE_MS = 5_000
# The places of `same` and of `under` among the `unique`s of a decision.
SAME, UNDER = 0, 1
_APPEALED = frozenset({Why.DENIED, Why.FORBIDDEN})

CARRY_OUT, TELL = "office.carry_out", "office.tell"

_log = logging.getLogger("temper.service")


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of somebody beside the principal and the person behind, as a decision keeps it."""

    roles: tuple[str, ...] = ()
    acts_for: str | None = None
    teams: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    session: str | None = None
    via: str = "http"
    refused: str = ""
    policies: tuple[str, ...] = ()

    @property
    def facts(self) -> Facts:
        """Return what policies may ask of them."""
        return Facts(frozenset(self.teams), self.attributes, self.session, self.via)

    def caller(self, principal: str) -> Caller:
        """Return them as an event names them."""
        return Caller(principal, frozenset(self.roles), self.acts_for)


def known(person: Person, refused: Refused | None = None) -> Known:
    """Return what is kept of a person."""
    return Known(
        roles=tuple(sorted(person.roles)),
        acts_for=person.acts_for,
        teams=tuple(sorted(person.teams)),
        attributes=dict(sorted(person.attributes.items())),
        session=person.session,
        via=person.via,
        refused=refused.text if refused is not None else "",
        policies=refused.policies if refused is not None else (),
    )


@dataclass
class Decisions:
    """The verbs of decisions and grants. `spaces` are the blueprints that are served."""

    office: Office
    pauses: Pauses
    spaces: Mapping[str, Space]
    loaded: Loaded
    gate: Gate
    adapters: dict[str, Adapter] = field(init=False)
    """What carries out the office's own tools."""

    def __post_init__(self) -> None:
        """Bind the office's tools: the second where the settings name a webhook."""
        self.adapters = {CARRY_OUT: CarryOut(self)}
        section = self.loaded.settings.approvals
        if section.webhook:
            bound, _ = announcing(section, self.loaded.vault)
            self.adapters |= bound

    @property
    def settings(self) -> Settings:
        """Return the server's settings."""
        return self.loaded.settings

    @property
    def announced(self) -> bool:
        """Say whether there is a webhook that hears of each new one."""
        return TELL in self.adapters

    async def close(self) -> None:
        """Let go of the connections of the office's tools."""
        for adapter in self.adapters.values():
            await adapter.close()

    def now(self) -> int:
        """Return the time."""
        return self.office.ground.clock.now()

    # --- a request that was refused ---

    def may_be_appealed(self, space: Space, request: Request, answer: Answer) -> bool:
        """Say whether a refusal is one that somebody may overrule."""
        return (
            isinstance(answer, No)
            and answer.refused.why in _APPEALED
            and not request.dry_run
            and isinstance(request.event, Act)
            and self.gate.may_be_approved(space.table, request.entity, request.event.action)
        )

    async def appealed(self, space: Space, person: Person, request: Request, answer: Answer) -> Answer:
        """Return what came of a refused request: by a grant, if one lets it through, else as it was.

        Declines with "needs-approval" where it has become a decision: nothing was done.
        """
        if not self.may_be_appealed(space, request, answer):
            return answer
        assert isinstance(answer, No), "it was refused"
        granted = await self._by_grant(space, person, request, answer.refused)
        if granted is not None:
            return granted
        id = await self._asked(space, person, request, answer)
        if id is None:
            return answer
        now = await self._decision(id)
        raise Declined(self._needs_approval(space, answer, now))

    def _needs_approval(self, space: Space, answer: No, now: Snapshot) -> wire.Problem:
        refused = refusal(space.table, space.name, answer.refused, answer.snapshot, ())
        outcome = self.office.fields(now)["outcome"]
        title = {
            "Pending": "somebody has to approve it, and nothing was done",
            "Granted": "it has been approved, and is being carried out",
            "CarriedOut": "it has been approved, and carried out",
        }.get(now.state, f"it was to be approved, and the decision is {now.state.lower()}")
        return msgspec.structs.replace(
            refused,
            type="needs-approval",
            title=title,
            status=403,
            detail=refused.detail + (f"; {outcome}" if outcome else ""),
            next=(),
            help=f"`temper decisions {now.id}` tells more; whoever may answer it does so there",
            decision=now.id,
        )

    async def _asked(self, space: Space, person: Person, request: Request, answer: No) -> str | None:
        """Return the decision that a request has become: the one that waits already, or a new one.

        Returns `None` where it is too large to be kept.
        """
        event = request.event
        assert isinstance(event, Act), "it was refused as one"
        params = _params_text(space.table, event)
        if len(params) > PARAMS_MAX:
            return None
        creates = answer.snapshot is None
        wanted = {
            "bundle": space.name,
            "entity": request.entity,
            "entity_id": request.id,
            "act": event.action,
            "params": params,
            "digest": space.version.digest,
            "version": 0 if answer.snapshot is None else answer.snapshot.version,
            "refused_by": "policy" if answer.refused.why is Why.FORBIDDEN else "by",
        }
        asked = known(person, answer.refused)
        under = None if request.key is None else _digest(request.key)
        if answer.replayed and under is not None:
            there = await self.office.holder(UNDER, (under,))
            if there is not None:
                return there
        # A new entity's id is drawn for each request: it is no part of what makes two of them the same.
        same = _sameness(wanted | ({"entity_id": ""} if creates and request.key is None else {}), person, asked)
        there = await self.office.holder(SAME, (same,))
        if there is not None:
            return there
        await self._must_have_room(person)
        asker = await self.office.asker(person.principal)
        would = await self._would(space, request, answer.refused)
        for key in (under, None):
            made = await self.office.take(
                "requester",
                person.caller,
                "Decision",
                "Ask",
                {
                    "wanted": wanted,
                    "asked_as": _text(asked),
                    "would": _text(would),
                    "same": same,
                    "under": key,
                    "by_asker": asker,
                    "expires_at": moment(self.now() + duration_ms(self.settings.approvals.expire)),
                    "announce": self.announced,
                    "text": self._sentence(person.principal, person.acts_for, wanted, answer.refused.text),
                },
            )
            match made:
                case Done(snapshot=snapshot):
                    return snapshot.id
                case No(refused=refused) if refused.why is Why.NOT_UNIQUE:
                    # Asked for at the same time, or once before under this key and answered since.
                    there = await self.office.holder(SAME, (same,))
                    if there is not None:
                        return there
                case No(refused=refused):
                    raise self._too_many(refused.text)
                case _:
                    break
        raise unavailable("the decision could not be noted, and nothing was done: try again")

    async def _must_have_room(self, person: Person) -> None:
        space, most = self.office.space, self.settings.limits.decisions
        if space is None:
            return
        asker = await self.office.asker(person.principal)
        waiting, _ = await space.reading(lambda: space.store.referrers("Decision", "asker", asker, limit=most))
        if len(waiting) >= most:
            raise self._too_many(f"{most} requests of `{person.principal}` wait for an answer already")

    @staticmethod
    def _too_many(text: str) -> Declined:
        return Declined(
            wire.Problem(
                type="too-many",
                title="too many requests wait for an answer, and nothing was done",
                status=429,
                detail=text,
                help="wait for the answers, or withdraw what is not wanted any more (`temper decisions`)",
                retry_after_ms=60_000,
            )
        )

    async def _would(self, space: Space, request: Request, refused: Refused) -> dict[str, Any]:
        """Return what would happen, as a dry run has it; nothing where only somebody in particular could do it."""
        event = request.event
        assert isinstance(event, Act), "it was refused as one"
        callers = [event.caller]
        if refused.why is Why.DENIED:
            action = space.table.entities[request.entity].actions[event.action]
            roles = {by.role: None for by in (*action.by, *(by for case in action.cases for by in case.by)) if by.role}
            callers = [Caller(event.caller.principal, frozenset({role}), event.caller.acts_for) for role in roles]
        for caller in callers:
            answer = await self._dry(space, request, caller, Consent("", caller, caller), request.facts)
            if isinstance(answer, Done):
                done = acted(space.table, answer, event.action, dry_run=True)
                return {
                    "before": done.before,
                    "after": done.after,
                    "changed": {name: list(pair) for name, pair in done.changed.items()},
                    "orders": [
                        {"kind": each.kind, "to": each.to, "args": each.args}
                        for each in (answer.entry.orders if answer.entry is not None else ())
                    ],
                    "created": list(done.created),
                }
            if isinstance(answer, No) and answer.refused.why is not Why.DENIED:
                return {"refused": answer.refused.text}
        return {}

    @staticmethod
    async def _dry(space: Space, request: Request, caller: Caller, consent: Consent | None, facts: Facts) -> Answer:
        event = request.event
        assert isinstance(event, Act), "an action"
        act = Act(new_id(), event.at, event.action, event.params, caller, request.entity, request.id, consent=consent)
        return await space.live.submit(Request(act, request.entity, request.id, dry_run=True, facts=facts))

    @staticmethod
    def _sentence(principal: str, acts_for: str | None, wanted: Mapping[str, Any], refused: str) -> str:
        who = f"{principal} for {acts_for}" if acts_for is not None else principal
        params = "" if wanted["params"] == "{}" else f" with {wanted['params']}"
        what = f"{wanted['act']} on {wanted['entity']} {wanted['entity_id']} of {wanted['bundle']}{params}"
        return f"{who} asks for {what}; refused: {refused}"

    # --- what is granted ---

    async def _by_grant(self, space: Space, person: Person, request: Request, refused: Refused) -> Answer | None:
        """Take a use of a grant that is for this request, and have it decided under that; `None` where none is."""
        event = request.event
        assert isinstance(event, Act), "it was refused as one"
        key = None if request.key is None else f"{request.key}\ngranted"
        if key is not None:
            before = await space.reading(lambda: space.store.answered(key))
            if before is not None:  # The same request has had its use: its answer is said again.
                return await space.live.submit(self._under(request, event.caller, None, request.facts, key))
        for grant in list(self.office.grants.get(person.principal, {}).values()):
            if not self._covers(space, grant, person, request, refused):
                continue
            used = await self.office.take(
                "requester",
                person.caller,
                "Use",
                "Make",
                {"grant": grant.id, "request": _digest(request.key) if request.key is not None else event.id},
            )
            if not isinstance(used, Done):
                await self.office.note("Grant", grant.id)
                continue
            await self.office.note("Grant", grant.id)
            as_answered = _known(grant.answered_as)
            giver = as_answered.caller(grant.answered_by)
            consent = Consent(grant.decision, person.caller, giver)
            if refused.why is Why.FORBIDDEN:
                return await space.live.submit(self._under(request, person.caller, consent, request.facts, key))
            return await space.live.submit(self._under(request, giver, consent, as_answered.facts, key))
        return None

    def _covers(self, space: Space, grant: Granted, person: Person, request: Request, refused: Refused) -> bool:
        """Say whether a grant is for this request: of the same person behind, with no role more, and all as it was."""
        wanted, event = grant.wanted, request.event
        assert isinstance(event, Act), "it was refused as one"
        as_asked, as_answered = _known(grant.asked_as), _known(grant.answered_as)
        return (
            grant.ends_at > self.now()
            and grant.behind == person.behind
            and as_asked.acts_for == person.acts_for
            and set(person.roles) <= set(as_asked.roles)
            and (wanted["bundle"], wanted["entity"], wanted["act"]) == (space.name, request.entity, event.action)
            and wanted["digest"] == space.version.digest
            and grant.about in (None, request.id)
            and wanted["refused_by"] == ("policy" if refused.why is Why.FORBIDDEN else "by")
            and self.pauses.of(as_answered.caller(grant.answered_by), space.name) is None
        )

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

    # --- reading ---

    async def decision(self, person: Person, id: str, *, wait_ms: int = 0) -> wire.Decision:
        """Return a decision; with `wait_ms`, once it has come to its end, or as it is when the time is up."""
        now = await self._seen(person, id)
        space = self.office.space
        if wait_ms and space is not None and now.state in OPEN:
            with contextlib.suppress(StoreFault):
                await space.live.wait_until("Decision", id, lambda now: now.state not in OPEN, timeout_ms=wait_ms)
            now = await self._seen(person, id)
        return await self._view(person, now)

    async def decisions(
        self, person: Person, *, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> wire.Decisions:
        """Return the decisions that the person may see, newest first: all, or those in one state."""
        if state is not None and state not in STATES:
            raise bad_query("state", f"is one of {', '.join(STATES)}")
        most = self.settings.limits.page
        if not 1 <= limit <= most:
            raise bad_query("limit", f"is not from 1 to {most}")
        space = self.office.space
        items: list[wire.Decision] = []
        if space is None:
            return wire.Decisions(items=())
        states = () if state is None else (state,)
        looked = 0
        while True:
            try:
                left = limit - len(items)
                page = await space.reading(partial(_page, space, states, cursor, left, Order.NEWEST))
            except ValueError as bad:
                raise bad_query("cursor", "is not one of this list") from bad
            looked += len(page.items)
            for each in page.items:
                now = await self._fresh(each)
                if (state is None or now.state == state) and await self._may_see(person, now):
                    items.append(await self._view(person, now))
            cursor = page.cursor
            if cursor is None or len(items) >= limit or looked >= LOOKED_AT_MAX:
                return wire.Decisions(items=tuple(items), cursor=cursor)

    async def watch(self, person: Person, *, after: int | None = None) -> AsyncIterator[wire.HistoryEntry]:
        """Yield what happens to the decisions that the person may see, as it is committed."""
        space = await self.office.opened()
        entries: AsyncIterator[Entry] = space.live.subscribe(after)
        async for entry in entries:
            if entry.entity != "Decision":
                continue
            now = await self.office.read("Decision", entry.id)
            if now is not None and await self._may_see(person, now):
                yield history_entry(entry, space.number_of(entry.digest))

    async def _seen(self, person: Person, id: str) -> Snapshot:
        now = await self.office.read("Decision", id)
        if now is None or not await self._may_see(person, now):
            raise _no_such_decision(id)
        return await self._fresh(now)

    async def _decision(self, id: str) -> Snapshot:
        now = await self.office.read("Decision", id)
        assert now is not None, "no decision goes away"
        return now

    async def _fresh(self, now: Snapshot) -> Snapshot:
        """Return a decision, which has gone stale where what it is about has moved on."""
        if now.state != "Pending":
            return now
        moved = await self._moved_on(self.office.fields(now)["wanted"])
        if moved:
            with contextlib.suppress(Elsewhere, Declined):
                await self.office.take("server", _SERVER, "Decision", "GoStale", {"outcome": moved}, id=now.id)
            return await self._decision(now.id)
        return now

    async def _moved_on(self, wanted: Mapping[str, Any]) -> str:
        """Return what has changed since a decision was asked for, "" where nothing has."""
        space = self.spaces.get(wanted["bundle"])
        if space is None:
            return ""  # It is not known here yet.
        if space.version.digest != wanted["digest"]:
            return f"version {space.version.number} of `{space.name}` is in force by now"
        live = space.live
        now = await space.reading(lambda: live.read(wanted["entity"], wanted["entity_id"]))
        version = 0 if now is None else now.version
        if version == wanted["version"]:
            return ""
        return f"{wanted['entity']} `{wanted['entity_id']}` is at version {version}, not {wanted['version']}"

    async def _may_see(self, person: Person, now: Snapshot) -> bool:
        fields = self.office.fields(now)
        parties = {fields["asked_by"], fields["asked_for"], fields["answered_by"], fields["answered_for"]}
        if person.admin or person.principal in parties or person.behind in parties:
            return True
        return await self._may_approve(person, fields)

    async def _may_approve(self, person: Person, fields: Mapping[str, Any]) -> bool:
        """Say whether the policies in force let somebody say yes to a decision's request."""
        wanted = fields["wanted"]
        space = self.spaces.get(wanted["bundle"])
        if space is None or not scope.reaches(person, space.name, wanted["entity"], wanted["entity_id"]):
            return False
        table, live = space.table, space.live
        kind = table.entities.get(wanted["entity"])
        action = kind.actions.get(wanted["act"]) if kind is not None else None
        if action is None or not self.gate.may_be_approved(table, wanted["entity"], wanted["act"]):
            return False
        try:
            params = params_of(table, action, msgspec.json.decode(wanted["params"]))
        except Declined:
            return False  # By another version of the blueprint they don't fit any more.
        asked = _known_text(fields["asked_as"]).caller(fields["asked_by"])
        at = self.now()
        event = Act("", at, wanted["act"], params, asked, wanted["entity"], wanted["entity_id"])

        def look() -> bool:
            entity = live.read(wanted["entity"], wanted["entity_id"])
            return self.gate.may_approve(table, person.caller, person.facts, at, entity, event, live.world()).allowed

        return await space.reading(look)

    async def _view(self, person: Person, now: Snapshot) -> wire.Decision:
        fields = self.office.fields(now)
        wanted = fields["wanted"]
        asked = _known_text(fields["asked_as"])
        open_ = now.state == "Pending"
        may = open_ and not _is_party(person, fields) and await self._may_approve(person, fields)
        return wire.Decision(
            id=now.id,
            state=now.state,
            blueprint=wanted["bundle"],
            entity=wanted["entity"],
            entity_id=wanted["entity_id"],
            action=wanted["act"],
            params=msgspec.json.decode(wanted["params"]),
            version=wanted["version"],
            digest=wanted["digest"],
            asked_by=fields["asked_by"],
            acts_for=asked.acts_for,
            roles=asked.roles,
            session=asked.session,
            asked_at=moment(now.created_at),
            expires_at=fields["expires_at"],
            refused_by=wanted["refused_by"],
            refused=asked.refused,
            policies=asked.policies,
            would=msgspec.json.decode(fields["would"]),
            allows=_allows(fields, asked) if open_ else {},
            may_answer=may,
            answered_by=fields["answered_by"],
            answered_for=None if fields["answered_for"] == fields["answered_by"] else fields["answered_for"],
            answered_at=moment(now.updated_at) if fields["answered_by"] is not None and not open_ else None,
            reason=fields["reason"],
            outcome=fields["outcome"],
            grant=self._grant_of(now.id),
        )

    def _grant_of(self, decision: str) -> str | None:
        return next(
            (each.id for held in self.office.grants.values() for each in held.values() if each.decision == decision),
            None,
        )

    # --- answering ---

    async def answer(
        self,
        person: Person,
        id: str,
        answer: str,
        *,
        scope_of: str = "call",
        expires_ms: int | None = None,
        uses: int | None = None,
        reason: str | None = None,
    ) -> wire.Decision:
        """Grant or deny a decision; a grant is carried out at once. It is answered once, whoever comes first."""
        _must_fit(answer, scope_of, expires_ms, uses, reason)
        now = await self._seen(person, id)
        fields = self.office.fields(now)
        wanted = fields["wanted"]
        if now.state != "Pending":
            raise _answered_already(now, fields)
        if _is_party(person, fields):
            raise Declined(
                wire.Problem(
                    type="denied",
                    title="nobody answers what they ask for, or what is asked for on their behalf",
                    status=403,
                    detail=f"`{fields['asked_by']}` asks, for `{fields['asked_for']}`",
                )
            )
        if not await self._may_approve(person, fields):
            raise Declined(
                wire.Problem(
                    type="denied",
                    title="you may not answer this",
                    status=403,
                    detail=f"no policy of `{wanted['bundle']}` lets you approve `{wanted['act']}` here",
                    help=f'a `permit` on the action "{wanted["entity"]}.{wanted["act"]}.approve" would',
                )
            )
        scope.must_write(person, wanted["bundle"], wanted["entity"], wanted["entity_id"])
        self.pauses.must_not_be_paused(person.caller, wanted["bundle"])
        params: dict[str, Any] = {"answered_as": _text(known(person)), "reason": reason}
        if answer == "deny":
            return await self._answered(person, id, "Deny", params)
        await self._must_be_possible(person, id, fields)
        if scope_of == "call":
            return await self._answered(person, id, "Grant", params)
        await self._must_have_room_for_grants(fields["asked_by"])
        params |= {
            "to_asker": await self.office.asker(fields["asked_by"]),
            "about": wanted["entity_id"] if scope_of == "entity" else None,
            "limit": uses or 1,
            "ends_at": moment(self.now() + (expires_ms or 3_600_000)),
        }
        return await self._answered(person, id, "GrantMore", params)

    async def _answered(self, person: Person, id: str, action: str, params: Mapping[str, Any]) -> wire.Decision:
        match await self.office.take("approver", person.caller, "Decision", action, params, id=id):
            case Done():
                return await self.decision(person, id, wait_ms=DONE_MS)
            case No(snapshot=snapshot) if snapshot is not None and snapshot.state != "Pending":
                raise _answered_already(snapshot, self.office.fields(snapshot))
            case No(refused=refused):
                raise Declined(wire.Problem(type="denied", title=refused.text, status=403))
            case _:
                raise unavailable("the answer could not be noted: try again")

    async def _must_be_possible(self, person: Person, id: str, fields: Mapping[str, Any]) -> None:
        """Decline what would be refused all the same: the decision stays, for somebody else or for later."""
        space, request, _ = self._to_do(id, fields, person.principal, known(person))
        act = request.event
        assert isinstance(act, Act), "an action"
        found = await space.live.submit(
            Request(
                act,
                request.entity,
                request.id,
                if_version=request.if_version,
                if_digest=request.if_digest,
                dry_run=True,
                facts=request.facts,
            )
        )
        match found:
            case No(refused=refused) if refused.why in _APPEALED:
                raise Declined(
                    wire.Problem(
                        type="denied",
                        title="you may not take this action yourself: a consent lends no more than its giver has",
                        status=403,
                        detail=refused.text,
                        why=refused.why.value,
                        clause=site_place(space.table, refused.site),
                    )
                )
            case No(refused=refused, snapshot=snapshot):
                problem = refusal(space.table, space.name, refused, snapshot, ())
                raise Declined(
                    msgspec.structs.replace(
                        problem, title="it would be refused all the same: the decision still waits", next=()
                    )
                )
            case Conflict(actual_version=actual):
                raise stale(actual, fields["wanted"]["version"])
            case Done():
                return
            case _:
                raise unavailable("whether it could be done is not known: try again")

    async def _must_have_room_for_grants(self, principal: str) -> None:
        most = self.settings.limits.grants
        if len(self.office.grants.get(principal, ())) >= most:
            raise Declined(
                wire.Problem(
                    type="too-many",
                    title=f"{most} grants to `{principal}` are in force already",
                    status=429,
                    help="revoke some of them (`temper grants`), or grant this call alone",
                )
            )

    async def withdraw(self, person: Person, id: str) -> wire.Decision:
        """Take back what one has asked for."""
        now = await self._seen(person, id)
        fields = self.office.fields(now)
        if now.state != "Pending":
            raise _answered_already(now, fields)
        if person.principal != fields["asked_by"]:
            raise Declined(
                wire.Problem(
                    type="denied",
                    title=f"only `{fields['asked_by']}`, who asks for it, may withdraw it",
                    status=403,
                    help="whoever may answer it can deny it",
                )
            )
        match await self.office.take("requester", person.caller, "Decision", "Withdraw", {}, id=id):
            case Done(snapshot=snapshot):
                return await self._view(person, snapshot)
            case No(snapshot=snapshot) if snapshot is not None:
                raise _answered_already(snapshot, self.office.fields(snapshot))
            case _:
                raise unavailable("it could not be withdrawn: try again")

    # --- carrying out ---

    def _to_do(self, id: str, fields: Mapping[str, Any], by: str, answered: Known) -> tuple[Space, Request, Consent]:
        """Return the request that a decision holds, as it is carried out once `by` has said yes."""
        wanted = fields["wanted"]
        space = self.spaces[wanted["bundle"]]
        asked_as = _known_text(fields["asked_as"])
        asked, giver = asked_as.caller(fields["asked_by"]), answered.caller(by)
        table = space.table
        action = table.entities[wanted["entity"]].actions[wanted["act"]]
        params: Mapping[str, Value] = params_of(table, action, msgspec.json.decode(wanted["params"]))
        consent = Consent(id, asked, giver)
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

    async def carry_out(self, id: str) -> Attempt:
        """Do what a decision holds, once: the answer of an attempt of the office's own tool."""
        now = await self.office.read("Decision", id)
        if now is None or now.state != "Granted":
            return _ended("refused", "it is not granted")
        fields = self.office.fields(now)
        wanted = fields["wanted"]
        space = self.spaces.get(wanted["bundle"])
        if space is None:
            return _later(f"the blueprint `{wanted['bundle']}` is not served here")
        key = f"\ndecision/{id}"
        try:
            kept = await space.reading(lambda: space.store.answered(key))
            if kept is not None:
                return _told(kept.entry)
            if space.version.digest != wanted["digest"]:
                return _ended("stale", await self._moved_on(wanted))
            by = fields["answered_by"]
            _, request, consent = self._to_do(id, fields, by, _known_text(fields["answered_as"]))
            for caller in (consent.asked, consent.by):
                paused = self.pauses.of(caller, space.name)
                if paused is not None:
                    return _later(f"paused: {paused.reason}")
            answer = await space.live.submit(
                Request(
                    request.event,
                    request.entity,
                    request.id,
                    key=key,
                    fingerprint=fields["same"],
                    if_version=request.if_version,
                    if_digest=request.if_digest,
                    facts=request.facts,
                )
            )
        except Elsewhere:
            return _later("another server decides for the entity")
        except (Declined, StoreFault) as problem:
            return _later(str(problem))
        match answer:
            case Done(entry=entry) if entry is not None:
                return _told(entry)
            case Done():
                return _ended("done", "it was there already")
            case No(refused=refused) if refused.why is Why.PAUSED:
                return _later(refused.text)
            case No(refused=refused):
                return _ended("refused", refused.text)
            case Conflict(text=text, actual_version=version, another_table=another):
                return _ended("stale" if another or version is not None else "refused", text)
            case Busy() | Contended():
                return _later("the server is busy")
            case Expired(text=text):
                return _later(text)

    # --- when the blueprint moves on ---

    async def another_version(self, blueprint: str) -> None:
        """End what was granted and asked for under an earlier version of a blueprint."""
        space, served = self.office.space, self.spaces.get(blueprint)
        if space is None or served is None:
            return
        why = f"version {served.version.number} of `{blueprint}` is in force by now"
        for held in list(self.office.grants.values()):
            for grant in list(held.values()):
                if grant.wanted["bundle"] == blueprint and grant.wanted["digest"] != served.version.digest:
                    with contextlib.suppress(Elsewhere, Declined):
                        await self.office.take("server", _SERVER, "Grant", "Outdate", {"reason": why}, id=grant.id)
        cursor: str | None = None
        while True:
            page = await space.reading(partial(_page, space, ("Pending",), cursor, _PAGE, Order.OLDEST))
            for each in page.items:
                await self._fresh(each)
            cursor = page.cursor
            if cursor is None:
                return

    # --- grants ---

    async def grants(self, person: Person, *, principal: str | None = None) -> tuple[wire.Grant, ...]:
        """Return the grants in force that the person may see: all for an administrator, else their own and those that
        they have given."""
        found = []
        for to, held in sorted(self.office.grants.items()):
            for grant in held.values():
                mine = {person.principal, person.behind} & {to, grant.behind, grant.answered_by}
                if (person.admin or mine) and principal in (None, to):
                    now = await self.office.read("Grant", grant.id)
                    if now is not None and now.state == "Active":
                        found.append(self._grant_view(now, grant.wanted, grant.answered_by, grant.asked_as))
        return tuple(sorted(found, key=lambda each: each.at))

    async def revoke(self, person: Person, id: str, *, reason: str | None = None) -> wire.Grant:
        """End a grant at once: by whoever gave it, whoever could have, or an administrator."""
        _must_fit("deny", "call", None, None, reason)
        now = await self.office.read("Grant", id)
        decision = await self._decision(str(now.fields["decision"])) if now is not None else None
        if now is None or decision is None or not await self._may_see(person, decision):
            raise Declined(
                wire.Problem(
                    type="not-found",
                    title=f"there is no grant `{id[:80]}`",
                    status=404,
                    help="`temper grants` lists those in force",
                )
            )
        fields = self.office.fields(decision)
        gave = person.principal == fields["answered_by"]
        if not (person.admin or gave or await self._may_approve(person, fields)):
            raise Declined(wire.Problem(type="denied", title="you may not revoke this grant", status=403))
        role = "administrator" if person.admin else "approver"
        match await self.office.take(role, person.caller, "Grant", "Revoke", {"reason": reason}, id=id):
            case Done(snapshot=snapshot):
                # A request that was let through before is done by the time that this is answered.
                await self.pauses.settled()
                return self._grant_view(
                    snapshot, fields["wanted"], fields["answered_by"], msgspec.json.decode(fields["asked_as"])
                )
            case No(snapshot=snapshot) if snapshot is not None:
                raise Declined(
                    wire.Problem(
                        type="conflict", title="it is over already", status=409, detail=f"it is {snapshot.state}"
                    )
                )
            case _:
                raise unavailable("the grant could not be revoked: try again")

    def _grant_view(self, now: Snapshot, wanted: Mapping[str, Any], by: str, asked_as: Mapping[str, Any]) -> wire.Grant:
        fields = self.office.fields(now)
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
            ended_by=fields["ended_by"],
            reason=fields["reason"],
        )


_SERVER = Caller("temper")
_PAGE = 200


def _page(space: Space, states: tuple[str, ...], after: str | None, limit: int, order: Order) -> Page:
    return space.store.list("Decision", states=states, after=after, limit=limit, order=order)


@dataclass
class CarryOut:
    """The adapter of `office.carry_out`."""

    decisions: Decisions

    async def call(self, call: Call) -> Attempt:
        """Do what the decision holds."""
        try:
            return await self.decisions.carry_out(call.args["decision"])
        except Exception:  # noqa: BLE001 - whatever it is, the decision waits and is tried again
            _log.exception("a decision can't be carried out")
            return _later("a fault of the server: its log says more")

    async def close(self) -> None:
        """There is nothing to let go of."""


def _params_text(table: Table, event: Act) -> str:
    action = table.entities[event.entity].actions[event.action]
    return _text(encode_args(action.params, event.params, table.records))


def _text(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sameness(wanted: Mapping[str, Any], person: Person, asked: Known) -> str:
    return _digest(_text([dict(wanted), person.principal, person.behind, asked]))


def _known(data: Mapping[str, Any]) -> Known:
    return msgspec.convert(data, Known)


def _known_text(text: str) -> Known:
    return msgspec.json.decode(text, type=Known)


def _is_party(person: Person, fields: Mapping[str, Any]) -> bool:
    return not {person.principal, person.behind}.isdisjoint({fields["asked_by"], fields["asked_for"]})


def _allows(fields: Mapping[str, Any], asked: Known) -> dict[str, str]:
    """Return in words what a grant of each scope would newly allow."""
    wanted, who = fields["wanted"], fields["asked_by"]
    if asked.acts_for is not None:
        who = f"{who} for {asked.acts_for}"
    would = msgspec.json.decode(fields["would"])
    way = f", {would['before']} -> {would['after']}" if would.get("before") != would.get("after") else ""
    one = f"{wanted['entity']} {wanted['entity_id']}"
    more = f"while this version of {wanted['bundle']} is in force, so often and so long as you say"
    return {
        "call": f"{who} has {wanted['act']} done on {one} once, now{way}",
        "entity": f"that, and {who} may {wanted['act']} {one} again, with any parameters, {more}",
        "action": f"that, and {who} may {wanted['act']} any {wanted['entity']}, with any parameters, {more}",
    }


def _must_fit(answer: str, scope_of: str, expires_ms: int | None, uses: int | None, reason: str | None) -> None:
    wrong = []
    if answer not in ("grant", "deny"):
        wrong.append(("answer", "is `grant` or `deny`"))
    if scope_of not in SCOPES:
        wrong.append(("scope", f"is one of {', '.join(SCOPES)}"))
    if scope_of == "call" and (expires_ms is not None or uses is not None):
        wrong.append(("scope", "of one call has neither `expires` nor `uses`"))
    if expires_ms is not None and not 0 < expires_ms <= LASTS_MAX_MS:
        wrong.append(("expires", "is not above 0, and 30 days at most"))
    if uses is not None and not 1 <= uses <= USES_MAX:
        wrong.append(("uses", f"is not from 1 to {USES_MAX}"))
    if reason is not None and len(reason) > REASON_MAX:
        wrong.append(("reason", f"has more than {REASON_MAX} characters"))
    if wrong:
        raise Declined(
            wire.Problem(
                type="bad-request",
                title="this is no answer to a decision",
                status=422,
                detail="; ".join(f"{path} {message}" for path, message in wrong),
                errors=tuple(wire.FieldError(path=f"/{path}", message=message) for path, message in wrong),
            )
        )


def _no_such_decision(id: str) -> Declined:
    return Declined(
        wire.Problem(
            type="not-found",
            title=f"there is no decision `{id[:80]}`",
            status=404,
            help="`temper decisions` lists those that you may see",
        )
    )


def _answered_already(now: Snapshot, fields: Mapping[str, Any]) -> Declined:
    by, outcome = fields["answered_by"], fields["outcome"]
    said = [f"`{by}` has answered it"] if by is not None else []
    said += [outcome] if outcome else []
    return Declined(
        wire.Problem(
            type="conflict",
            title=f"it waits for no answer any more: it is {now.state}",
            status=409,
            detail="; ".join(said),
        )
    )


def _told(entry: Entry) -> Attempt:
    """Return what the journal says of it as the answer of an attempt."""
    if entry.refused is not None:
        return _ended("refused", entry.refused.text)
    return _ended("done", f"{entry.entity} {entry.id}: {entry.before} -> {entry.after}, entry {entry.seq}")


def _ended(how: str, why: str) -> Answered:
    return Answered({"how": how, "why": why})


def _later(why: str) -> Failed:
    return Failed("unavailable", why, retry=True)
