"""Appeals: what becomes of a request that was refused, and that somebody may approve."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from temper.kernel import Answer, Done, Facts, No, Request
from temper.runtime import Elsewhere, new_id
from temper.service import wire
from temper.service.cases import Cases
from temper.service.declined import Declined, unavailable
from temper.service.grants import Grants
from temper.service.office.known import Known, digest_of, known_refused, text_of
from temper.service.people import Person
from temper.service.settings import WAITING_MAX, LimitsSection
from temper.service.shares import share_of, share_text
from temper.service.space import Space
from temper.service.views import acted, moment, refusal
from temper.table import TIME_MAX, Act, Caller, Consent, Refused, Snapshot, Table, Why, encode_args

# What a decision keeps of a request; a larger one can't be approved.
PARAMS_MAX = 16_384
# The places of `same` and of `under` among the `unique`s of a decision.
SAME, UNDER = 0, 1
APPEALED = frozenset({Why.DENIED, Why.FORBIDDEN})


@dataclass(frozen=True)
class Appeals:
    """Turns refused requests into what a grant lets them do, or into decisions that wait `expire_ms` for their answer.

    With `announced`, each new one is told of.
    """

    cases: Cases
    grants: Grants
    limits: LimitsSection
    expire_ms: int
    announced: bool
    asking: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def may_be_appealed(self, space: Space, request: Request, answer: Answer) -> bool:
        """Say whether a refusal is one that somebody may overrule."""
        return (
            isinstance(answer, No)
            and answer.refused.why in APPEALED
            and not request.dry_run
            and isinstance(request.event, Act)
            and self.cases.gate.may_be_approved(space.table, request.entity, request.event.action)
        )

    async def appealed(
        self, space: Space, person: Person, request: Request, answer: Answer, *, drawn: bool = False
    ) -> Answer:
        """Return what came of a refused request: by a grant, if one lets it through, else as it was.

        An id that was `drawn` for a new entity is no part of what makes two requests the same.
        Declines with "needs-approval" where it has become a decision: nothing was done.
        """
        if not self.may_be_appealed(space, request, answer):
            return answer
        assert isinstance(answer, No), "it was refused"
        try:
            granted = await self.grants.use(space, person, request, answer.refused)
            if granted is None and not await self._may_be_told(space, person, answer):
                return answer
            id = None if granted is not None else await self._asked(space, person, request, answer, drawn=drawn)
        except Elsewhere as elsewhere:  # This server has no share of the office just now.
            raise unavailable("no decision can be noted just now, and nothing was done") from elsewhere
        if granted is not None:
            return granted
        if id is None:
            return answer
        now = await self.cases.read(id)
        raise Declined(self._needs_approval(space, answer, now))

    async def _may_be_told(self, space: Space, person: Person, answer: No) -> bool:
        """Say whether whoever asks may read what it is about: of what they may not, no decision tells them."""
        now = answer.snapshot
        if now is None:
            return True
        return await self.cases.may_read(person, {"bundle": space.name, "entity": now.entity, "entity_id": now.id})

    def _needs_approval(self, space: Space, answer: No, now: Snapshot) -> wire.Problem:
        refused = refusal(space.table, space.name, answer.refused, answer.snapshot, ())
        outcome = self.cases.office.fields(now)["outcome"]
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

    async def _asked(
        self, space: Space, person: Person, request: Request, answer: No, *, drawn: bool = False
    ) -> str | None:
        """Return the decision that a request has become: the one that waits already, or a new one.

        Returns `None` where it is too large to be kept.
        """
        event = request.event
        assert isinstance(event, Act), "it was refused as one"
        params = _params_text(space.table, event)
        if len(params) > PARAMS_MAX:
            return None
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
        asked = known_refused(person, answer.refused, space.table, space.version.number)
        under = None if request.key is None else digest_of(request.key)
        if answer.replayed and under is not None:
            there = await self.cases.office.holder(UNDER, (under,))
            if there is not None:
                return there
        same = _sameness(wanted | ({"entity_id": ""} if drawn else {}), person, asked)
        there = await self.cases.office.holder(SAME, (same,))
        if there is not None:
            return there
        asker = await self.cases.office.asker(share_of(person.principal, person.behind, person.session))
        would = await self._would(space, request, answer.refused)
        # What waits ends with the token at the latest, so that nobody asks on behalf of one that is no more.
        ends_at = min(self.cases.now() + self.expire_ms, asked.ends_at or TIME_MAX)
        held = {
            "wanted": wanted,
            "asked_as": text_of(asked),
            "would": text_of(would),
            "same": same,
            "under": under,
            "by_asker": asker,
            "expires_at": moment(ends_at),
            "announce": self.announced,
            "text": self._sentence(person.principal, person.acts_for, wanted, answer.refused.text),
        }
        # One after another: else of many at once each would find room.
        async with self.asking:
            return await self._noted(person, held)

    async def _noted(self, person: Person, held: Mapping[str, Any]) -> str:
        """Return the decision that is made of this, or the one that holds the same."""
        same = held["same"]
        for key in (held["under"], None):
            there = await self.cases.office.holder(SAME, (same,))
            if there is not None:  # Asked for at the same time.
                return there
            await self._must_have_room(person, held["by_asker"])
            made = await self.cases.office.take("requester", person.caller, "Decision", "Ask", {**held, "under": key})
            match made:
                case Done(snapshot=snapshot):
                    return snapshot.id
                case No(refused=refused) if refused.why is Why.NOT_UNIQUE:
                    # By another server meanwhile, or once before under this key and answered since.
                    there = await self.cases.office.holder(SAME, (same,))
                    if there is not None:
                        return there
                case No(refused=refused):
                    raise self._too_many(refused.text)
                case _:
                    break
        raise unavailable("the decision could not be noted, and nothing was done: try again")

    async def _must_have_room(self, person: Person, asker: str) -> None:
        space, most = self.cases.office.space, self.limits.decisions
        if space is None:
            return
        waiting, _ = await space.reading(lambda: space.store.referrers("Decision", "asker", asker, limit=WAITING_MAX))
        if len(waiting) < most:
            return
        # Of those that nobody has looked at for a while, some may wait for nothing any more.
        looked = [await self.cases.fresh(await self.cases.read(id)) for id in waiting]
        if sum(now.state == "Pending" for now in looked) >= most:
            whose = share_text(person.principal, person.behind, person.session)
            raise self._too_many(f"{most} requests of {whose} wait for an answer already")

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
        callers, overruled = [event.caller], refused.policies
        if refused.why is Why.DENIED:
            action = space.table.entities[request.entity].actions[event.action]
            roles = {by.role: None for by in (*action.by, *(by for case in action.cases for by in case.by)) if by.role}
            callers = [Caller(event.caller.principal, frozenset({role}), event.caller.acts_for) for role in roles]
            # What policies say of whoever answers is asked when they do.
            overruled = tuple(each.id for each in space.table.policies)
        for caller in callers:
            consent = Consent("", caller, caller, overruled)
            answer = await self._dry(space, request, caller, consent, request.facts)
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


def _params_text(table: Table, event: Act) -> str:
    action = table.entities[event.entity].actions[event.action]
    return text_of(encode_args(action.params, event.params, table.records))


def _sameness(wanted: Mapping[str, Any], person: Person, asked: Known) -> str:
    return digest_of(text_of([dict(wanted), person.principal, person.behind, asked]))
