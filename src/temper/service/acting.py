"""Acting: requests for actions, from what a caller says to the answer that the caller gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import msgspec

from temper.kernel import Answer, Busy, Conflict, Contended, Done, Expired, No, Request, StoreFault
from temper.runtime import new_id
from temper.service import scope, wire
from temper.service.appeals import Appeals
from temper.service.declined import Declined, action_of, entity_of, no_such_entity, stale, unavailable
from temper.service.findings import site_place
from temper.service.pauses import Pauses
from temper.service.people import Person
from temper.service.policies import policy_clauses
from temper.service.requests import creating_action, fingerprint, params_of, scoped_key, wanted_id
from temper.service.seen import told
from temper.service.served import Served
from temper.service.space import Space
from temper.service.views import acted, hidden, refusal
from temper.table import Act, Refused, Snapshot, Why, possible
from temper.table import shape as pieces

Then: TypeAlias = Callable[[wire.Acted | BaseException], None]
"""Hears what came of a request, on the loop: what was done, or the `Declined` (or the bug) in its place."""


class Asked(msgspec.Struct, frozen=True):
    """A request on its way into a space, with what its answer needs."""

    space: Space
    person: Person
    request: Request
    action: str
    drawn: bool = False
    """Whether nobody has chosen the id of what is to be created."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Has actions taken. A request is asked for by `creation` or `action`, and then `done`, or begun."""

    served: Served
    pauses: Pauses
    appeals: Appeals
    _appealing: set[asyncio.Task[None]] = field(default_factory=set, init=False, repr=False)

    def creation(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        action: str | None,
        body: Mapping[str, Any],
        *,
        key: str | None,
        dry_run: bool = False,
    ) -> Asked:
        """Return the request for a new entity, or decline; its creating action is named where there are several."""
        id, params = wanted_id(body)
        scope.must_write(person, blueprint, entity, id or "")
        space = self.served.space(person, blueprint)
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

    def action(
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
    ) -> Asked:
        """Return the request for an action on an entity, or decline."""
        scope.must_write(person, blueprint, entity, id)
        space = self.served.space(person, blueprint)
        kind = entity_of(space.table, entity)
        if space.table.canary is not None:
            kind = space.table_of(entity, id, space.live.read(entity, id)).entities[entity]
        chosen = action_of(kind, action)
        return self._asked(
            person, space, kind, id, chosen, body, key=key, asked=body, if_version=if_version, dry_run=dry_run
        )

    async def done(self, asked: Asked) -> wire.Acted:
        """Have the request decided, and return what was done, or decline."""
        return await self._appealed(asked, await asked.space.live.submit(asked.request))

    def begin(self, asked: Asked, then: Then) -> None:
        """Have the request decided, and return at once: `then` hears what came of it."""

        def answered(answer: Answer | BaseException) -> None:
            try:
                if isinstance(answer, BaseException):
                    raise answer
                if self.appeals.may_be_appealed(asked.space, asked.request, answer):
                    appeal = asyncio.get_running_loop().create_task(self._appeal(asked, answer, then))
                    self._appealing.add(appeal)
                    appeal.add_done_callback(self._appealing.discard)
                    return
                found: wire.Acted | BaseException = self._acted(asked, answer)
            except Exception as problem:  # noqa: BLE001 - it is for whoever asked
                found = problem
            then(found)

        asked.space.live.ask(asked.request, answered)

    async def why(
        self, person: Person, blueprint: str, entity: str, id: str | None, action: str, body: Mapping[str, Any]
    ) -> wire.WhyNot:
        """Return what the action would do, or which clause would refuse it and with which values. Changes nothing."""
        space = self.served.space(person, blueprint)
        entity_of(space.table, entity)
        now = None if id is None else await space.reading(partial(self.served.snapshot, person, space, entity, id))
        wanted, rest = wanted_id(body) if id is None else (None, body)
        table = space.table_of(entity, id or wanted or "", now)
        kind = entity_of(table, entity)
        chosen = action_of(kind, action)
        if not scope.reaches(person, blueprint, entity, id or wanted or ""):
            raise scope.beyond(person, blueprint, entity, wanted or "")
        params = params_of(table, chosen, rest)
        at = self.served.now()
        event = Act(new_id(), at, action, params, person.caller, entity, id or wanted or new_id())
        sees = self.served.sees(person, space)
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
        clauses += await space.reading(lambda: policy_clauses(self.served.gate, person, space, now, event))
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
                may_be_approved=problem.type == "denied" and self.served.gate.may_be_approved(table, entity, action),
            )  # fmt: skip
        return wire.WhyNot(action=action, would="take", clauses=clauses, result=result)

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
    ) -> Asked:
        params, caller = params_of(space.table, action, body), person.caller
        if not dry_run:
            self.pauses.must_not_be_paused(caller, space.name)
            space.must_be_ours(kind.name, id)
        event = Act(new_id(), self.served.now(), action.name, params, caller, kind.name, id)
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
        return Asked(space, person, request, action.name, drawn=creates and "id" not in asked)

    async def _appealed(self, asked: Asked, answer: Answer) -> wire.Acted:
        """Return what came of a request: of one that was refused, perhaps by what somebody has granted."""
        answer = await self.appeals.appealed(asked.space, asked.person, asked.request, answer, drawn=asked.drawn)
        return self._acted(asked, answer)

    async def _appeal(self, asked: Asked, answer: Answer, then: Then) -> None:
        try:
            found: wire.Acted | BaseException = await self._appealed(asked, answer)
        except Exception as problem:  # noqa: BLE001 - it is for whoever asked
            found = problem
        then(found)

    def _acted(self, asked: Asked, answer: Answer) -> wire.Acted:
        space, request = asked.space, asked.request
        # A swap may have come between: the answer is by the table that is in force after it.
        match answer:
            case Done():
                sees, now = self.served.sees(asked.person, space), answer.snapshot
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
                    if self.served.gate.narrows_reading(space.table, request.entity):
                        self.served.snapshot(asked.person, space, request.entity, request.id)
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
                raise _again("busy", "too many requests wait", answer.retry_after_ms)
            case Contended():
                raise _again("contended", "others kept changing what the action reads", answer.retry_after_ms)
            case Expired():
                raise unavailable(answer.text)

    def _refusal(
        self, space: Space, person: Person, entity: str, id: str, refused: Refused, now: Snapshot | None
    ) -> wire.Problem:
        if refused.why is Why.MISSING and now is None:
            return no_such_entity(entity, id)
        at = self.served.now()
        try:
            sees = self.served.sees(person, space)
            if now is not None and sees is not None and refused.why is not Why.EXISTS and not sees(now):
                return no_such_entity(entity, id)
            table = space.table_of(entity, id, now)
            could = possible(table, entity, now, person.caller, at, space.live.world())
            could = self.served.possibly(person, space, now, at, could)
        except StoreFault:
            could = ()  # It is refused all the same; what else is possible can't be read right now.
        return refusal(space.table_of(entity, id, now), space.name, refused, now, could)


def _again(type: str, title: str, after_ms: int) -> Declined:
    return Declined(
        wire.Problem(
            type=type,
            title=title,
            status=503,
            detail="nothing was done",
            help="try again after the time that Retry-After says",
            retry_after_ms=after_ms,
        )
    )
