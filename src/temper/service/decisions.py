"""Decisions: requests that were refused and that somebody may approve, and their answers.

A decision holds exactly one request. What answers to it is the office's blueprint; what it takes to approve is a
`permit` of the bundle's policies; and what is then done is that request, once, by the office's own outbox, on the
version of the entity and of the blueprint that the decision was about.

Where a policy refused, the request is carried out as its requester's, and the consent says why the policy did not
count. Where the blueprint's own `by` did, it is carried out as the approver's, with the roles that they held when they
answered, under all that holds for them: a consent lends no more than its giver has.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from temper.kernel import Answer, Conflict, Done, No, Order, Page, Request, StoreFault
from temper.runtime import Adapter, Gate
from temper.service import scope, wire
from temper.service.announcing import TOOL as TELL
from temper.service.announcing import announcing
from temper.service.appeals import APPEALED, Appeals
from temper.service.carrying import CarryOut
from temper.service.cases import Cases, is_party
from temper.service.declined import Declined, bad_query, stale, unavailable
from temper.service.findings import site_place
from temper.service.grants import Grants
from temper.service.office import Office
from temper.service.office.known import Known, known, known_of, text_of
from temper.service.pauses import Pauses
from temper.service.people import Person
from temper.service.settings import Loaded, duration_ms
from temper.service.shares import share_of, starts
from temper.service.space import Space
from temper.service.views import moment, refusal
from temper.table import TIME_MAX, Act, Snapshot

STATES = ("Pending", "Granted", "CarriedOut", "Failed", "Denied", "Stale", "Expired", "Withdrawn")
SCOPES = ("call", "entity", "action")
OPEN = ("Pending", "Granted")
REASON_MAX = 500
USES_MAX = 1_000
LASTS_MAX_MS = 30 * 86_400_000
LASTS_MS = 3_600_000
# Decisions that a page looks at for those that its reader may see.
LOOKED_AT_MAX = 1_000
# How long an answer waits for what it has let be done.
DONE_MS = 5_000
CARRY_OUT = "office.carry_out"
_PAGE = 200
# What the office keeps for itself.
_INSIDE = frozenset({"answered_as", "asked_as", "by_asker", "same", "to_asker", "under", "would"})


@dataclass
class Decisions:
    """The verbs of decisions. `spaces` are the blueprints that are served."""

    office: Office
    pauses: Pauses
    spaces: Mapping[str, Space]
    loaded: Loaded
    gate: Gate
    revoked: Callable[[str], bool]
    """Says of a token, by its id, whether it has been revoked."""
    cases: Cases = field(init=False)
    grants: Grants = field(init=False)
    appeals: Appeals = field(init=False)
    carrying: CarryOut = field(init=False)
    adapters: dict[str, Adapter] = field(init=False)
    """What carries out the office's own tools."""

    def __post_init__(self) -> None:
        """Bind the office's tools: the second where the settings name a webhook."""
        settings = self.loaded.settings
        self.cases = Cases(self.office, self.spaces, self.gate, self.revoked)
        self.carrying = CarryOut(self.cases, self.pauses)
        self.adapters = {CARRY_OUT: self.carrying}
        self.adapters |= announcing(settings.approvals, self.loaded.vault)[0]
        self.grants = Grants(self.cases, self.pauses, settings.limits.grants)
        self.appeals = Appeals(
            self.cases, self.grants, settings.limits, duration_ms(settings.approvals.expire), TELL in self.adapters
        )

    async def close(self) -> None:
        """Let go of the connections of the office's tools."""
        for adapter in self.adapters.values():
            await adapter.close()

    async def decision(self, person: Person, id: str, *, wait_ms: int = 0) -> wire.Decision:
        """Return a decision; with `wait_ms`, once it has come to its end, or as it is when the time is up."""
        now = await self.cases.seen(person, id)
        space = self.office.space
        if wait_ms and space is not None and now.state in OPEN:
            with contextlib.suppress(StoreFault):
                await space.live.wait_until("Decision", id, lambda now: now.state not in OPEN, timeout_ms=wait_ms)
            now = await self.cases.seen(person, id)
        return await self._view(person, now)

    async def listed(
        self, person: Person, *, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> wire.Decisions:
        """Return the decisions that the person may see, newest first: all, or those in one state."""
        if state is not None and state not in STATES:
            raise bad_query("state", f"is one of {', '.join(STATES)}")
        most = self.loaded.settings.limits.page
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
                now = await self.cases.fresh(each)
                if (state is None or now.state == state) and await self.cases.may_see(person, now):
                    items.append(await self._view(person, now))
            cursor = page.cursor
            if cursor is None or len(items) >= limit or looked >= LOOKED_AT_MAX:
                return wire.Decisions(items=tuple(items), cursor=cursor)

    async def _view(self, person: Person, now: Snapshot) -> wire.Decision:
        fields = self.office.fields(now)
        wanted = fields["wanted"]
        asked = known_of(fields["asked_as"])
        open_ = now.state == "Pending"
        # What would happen tells of the entity.
        would = msgspec.json.decode(fields["would"]) if await self.cases.may_read(person, wanted) else {}
        may = open_ and not is_party(person, fields) and await self.cases.may_approve(person, fields)
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
            would=would,
            allows=_allows(fields, asked, would) if open_ else {},
            may_answer=may,
            answered_by=fields["answered_by"],
            answered_for=None if fields["answered_for"] == fields["answered_by"] else fields["answered_for"],
            answered_at=moment(now.updated_at) if fields["answered_by"] is not None and not open_ else None,
            reason=fields["reason"],
            outcome=fields["outcome"],
            grant=self.grants.of(now.id),
        )

    async def answer(
        self,
        person: Person,
        id: str,
        answer: str,
        *,
        scope_of: str = "call",
        expires_ms: int | None = None,
        uses: int | None = None,
        across_versions: bool = False,
        reason: str | None = None,
    ) -> wire.Decision:
        """Grant or deny a decision; a grant is carried out at once. It is answered once, whoever comes first."""
        _must_fit(answer, scope_of, expires_ms, uses, reason, across_versions=across_versions)
        now = await self.cases.seen(person, id)
        fields = self.office.fields(now)
        wanted = fields["wanted"]
        expires_at = now.fields["expires_at"]
        assert isinstance(expires_at, int), "a time"
        if now.state != "Pending" or expires_at <= self.cases.now():
            raise _answered_already(now, fields)
        if is_party(person, fields):
            raise Declined(
                wire.Problem(
                    type="denied",
                    title="nobody answers what they ask for, or what is asked for on their behalf",
                    status=403,
                    detail=f"`{fields['asked_by']}` asks, for `{fields['asked_for']}`",
                )
            )
        if not await self.cases.may_approve(person, fields):
            raise Declined(
                wire.Problem(
                    type="denied",
                    title="you may not answer this",
                    status=403,
                    detail=f"no policy of `{wanted['bundle']}` lets you approve `{wanted['act']}` here",
                    help=f'a `permit` on the action "{wanted["entity"]}.{wanted["act"]}.approve" would',
                )
            )
        # A grant for the action is of every entity of its kind.
        scope.must_write(
            person, wanted["bundle"], wanted["entity"], "" if scope_of == "action" else wanted["entity_id"]
        )
        self.pauses.must_not_be_paused(person.caller, wanted["bundle"])
        params: dict[str, Any] = {"answered_as": text_of(known(person)), "reason": reason}
        if answer == "deny":
            return await self._told(person, id, await self._noted(person, id, "Deny", params))
        await self._must_be_possible(person, id, fields)
        if scope_of == "call":
            return await self._told(person, id, await self._noted(person, id, "Grant", params))
        asked = known_of(fields["asked_as"])
        holder = (fields["asked_by"], fields["asked_for"], asked.session)
        ends_at = min(self.cases.now() + (expires_ms or LASTS_MS), asked.ends_at or TIME_MAX)
        if person.session is not None and person.expires_at is not None:
            ends_at = min(ends_at, person.expires_at)  # A session gives nothing that lasts longer than itself.
        params |= {
            "to_asker": await self.office.asker(share_of(*holder)),
            "about": wanted["entity_id"] if scope_of == "entity" else None,
            "limit": uses or 1,
            "ends_at": moment(ends_at),
            "across_versions": across_versions,
        }
        async with self.grants.giving:
            self.grants.must_have_room(*holder)
            given = await self._noted(person, id, "GrantMore", params)
        return await self._told(person, id, given)

    async def _noted(self, person: Person, id: str, action: str, params: Mapping[str, Any]) -> Answer:
        if self.cases.is_revoked(known(person)):  # It may have been while this was looked at.
            raise Declined(wire.Problem(type="unauthenticated", title="the token has ended meanwhile", status=401))
        return await self.office.take("approver", person.caller, "Decision", action, params, id=id)

    async def _told(self, person: Person, id: str, answer: Answer) -> wire.Decision:
        match answer:
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
        space, request, _ = self.cases.to_do(id, fields, person.principal, known(person))
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
            case No(refused=refused) if refused.why in APPEALED:
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

    async def withdraw(self, person: Person, id: str) -> wire.Decision:
        """Take back what one has asked for."""
        now = await self.cases.seen(person, id)
        fields = self.office.fields(now)
        if now.state != "Pending":
            raise _answered_already(now, fields)
        asked_by, behind = fields["asked_by"], fields["asked_for"]
        if person.principal not in (asked_by, behind) and not starts(person.principal, asked_by):
            whose = f"`{asked_by}`, who asks for it, " + (f"and `{behind}` " if behind != asked_by else "")
            raise Declined(
                wire.Problem(
                    type="denied",
                    title=f"only {whose}may withdraw it",
                    status=403,
                    help="whoever may answer it can deny it",
                )
            )
        wanted = fields["wanted"]
        scope.must_write(person, wanted["bundle"], wanted["entity"], wanted["entity_id"])
        self.pauses.must_be_free(person.caller, wanted["bundle"])
        match await self.office.take("requester", person.caller, "Decision", "Withdraw", {}, id=id):
            case Done(snapshot=snapshot):
                return await self._view(person, snapshot)
            case No(snapshot=snapshot) if snapshot is not None:
                raise _answered_already(snapshot, self.office.fields(snapshot))
            case _:
                raise unavailable("it could not be withdrawn: try again")

    async def tidy(self) -> None:
        """End what was granted and asked for by another version of a blueprint than the one in force, or by a token
        that has been revoked."""
        if self.office.space is None:
            return
        await self.grants.tidy()
        async for each in self._waiting(self.office.space):
            await self.cases.fresh(each)

    async def standing_by(self, tokens: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the decisions that wait, and the grants in force, that stand by any of these tokens."""
        if self.office.space is None:
            return (), ()
        waiting = [
            each.id
            async for each in self._waiting(self.office.space)
            if known_of(self.office.fields(each)["asked_as"]).token in tokens
        ]
        return tuple(waiting), tuple(each.id for each in self.grants.standing_by(tokens))

    async def withdrawn(self, by: Person, tokens: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """End what stands by any of these tokens, which somebody has revoked, and return it as `standing_by` does.

        What such a token has let through before is done by the time that this returns.
        """
        waiting, grants = await self.standing_by(tokens)
        for id in waiting:
            await self.cases.fresh(await self.cases.read(id))
        await self.grants.withdraw(by.caller, tokens)
        await self.pauses.settled()
        return waiting, grants

    @staticmethod
    async def _waiting(space: Space) -> AsyncIterator[Snapshot]:
        cursor: str | None = None
        while True:
            page = await space.reading(partial(_page, space, ("Pending",), cursor, _PAGE, Order.OLDEST))
            for each in page.items:
                yield each
            cursor = page.cursor
            if cursor is None:
                return


def happened(entry: wire.HistoryEntry) -> wire.HistoryEntry:
    """Return what happened to a decision, without what is known of those who asked and answered, and what would happen.

    A decision itself shows as much of that as its reader may see.
    """
    if _INSIDE.isdisjoint(entry.params):
        return entry
    who = entry.principal if entry.acts_for is None else f"{entry.principal} for {entry.acts_for}"
    return msgspec.structs.replace(
        entry,
        params={name: value for name, value in entry.params.items() if name not in _INSIDE},
        changed={name: pair for name, pair in entry.changed.items() if name not in _INSIDE},
        text=f"{who}: {entry.action}: {entry.before} -> {entry.after}",
    )


def _page(space: Space, states: tuple[str, ...], after: str | None, limit: int, order: Order) -> Page:
    return space.store.list("Decision", states=states, after=after, limit=limit, order=order)


def _allows(fields: Mapping[str, Any], asked: Known, would: Mapping[str, Any]) -> dict[str, str]:
    """Return in words what a grant of each scope would newly allow."""
    wanted, who = fields["wanted"], fields["asked_by"]
    if asked.acts_for is not None:
        who = f"{who} for {asked.acts_for}"
    way = f", {would['before']} -> {would['after']}" if would.get("before") != would.get("after") else ""
    one = f"{wanted['entity']} {wanted['entity_id']}"
    versions = f"by this version of {wanted['bundle']}, and later ones if you say so"
    more = f"with any parameters, as often and as long as you say, {versions}"
    return {
        "call": f"{who} has {wanted['act']} done on {one}, once and now{way}",
        "entity": f"that, and {who} may {wanted['act']} {one} again, {more}",
        "action": f"that, and {who} may {wanted['act']} any {wanted['entity']}, {more}",
    }


def _must_fit(
    answer: str,
    scope_of: str,
    expires_ms: int | None,
    uses: int | None,
    reason: str | None,
    *,
    across_versions: bool,
) -> None:
    wrong = []
    if answer not in ("grant", "deny"):
        wrong.append(("answer", "is `grant` or `deny`"))
    if scope_of not in SCOPES:
        wrong.append(("scope", f"is one of {', '.join(SCOPES)}"))
    if scope_of == "call" and (expires_ms is not None or uses is not None):
        wrong.append(("scope", "of one call has neither `expires` nor `uses`"))
    if scope_of == "call" and across_versions:
        wrong.append(("across_versions", "is not asked for of one call: it is done by the version in force"))
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


def _answered_already(now: Snapshot, fields: Mapping[str, Any]) -> Declined:
    by, outcome = fields["answered_by"], fields["outcome"]
    said = [f"`{by}` has answered it"] if by is not None else []
    said += [outcome] if outcome else []
    return Declined(
        wire.Problem(
            type="conflict",
            # What is up by the clock waits for its timer at the most.
            title=f"it waits for no answer any more: it is {'Expired' if now.state == 'Pending' else now.state}",
            status=409,
            detail="; ".join(said),
        )
    )
