"""Carrying out what a decision holds, once somebody has said yes: the office's own tool.

Exactly once, whatever stops in between: the decision's id is the idempotency key of the request, and the versions of
the entity and of the blueprint that it was about are its conditions.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from temper.kernel import Busy, Conflict, Contended, Done, Entry, Expired, No, Request, StoreFault
from temper.runtime import Answered, Attempt, Call, Elsewhere, Failed
from temper.service.cases import Cases
from temper.service.declined import Declined
from temper.service.office.known import known_of
from temper.service.pauses import Pauses
from temper.table import Why

# Decisions that are looked at in one round for those to carry out.
_ROUND = 200

_log = logging.getLogger("temper.service")


@dataclass(frozen=True)
class CarryOut:
    """The adapter of the tool `office.carry_out`."""

    cases: Cases
    pauses: Pauses

    async def call(self, call: Call) -> Attempt:
        """Do what the decision holds, and say what came of it."""
        try:
            return await self._carried_out(call.args["decision"])
        except Exception:  # noqa: BLE001 - whatever it is, the decision waits and is tried again
            _log.exception("a decision can't be carried out")
            return _later("a fault of the server: its log says more")

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def for_others(self) -> None:
        """Do what is granted of what this server decides for, whoever keeps the decision.

        Whoever keeps it finds it done: an attempt is the outbox's to make, and can be made where the decision is alone.
        """
        office = self.cases.office.space
        if office is None:
            return
        page = await office.reading(lambda: office.store.list("Decision", states=("Granted",), limit=_ROUND))
        for now in page.items:
            wanted = self.cases.office.fields(now)["wanted"]
            space = self.cases.spaces.get(wanted["bundle"])
            member = space.member if space is not None else None
            if member is not None and member.home(wanted["entity"], wanted["entity_id"]) is None:
                await self.call(Call("", "", {"decision": now.id}, 1, 0))

    async def _carried_out(self, id: str) -> Attempt:
        now = await self.cases.office.read("Decision", id)
        if now is None or now.state != "Granted":
            return _ended("refused", "it is not granted")
        fields = self.cases.office.fields(now)
        wanted = fields["wanted"]
        space = self.cases.spaces.get(wanted["bundle"])
        if space is None:
            return _later(f"the blueprint `{wanted['bundle']}` is not served here")
        key = f"\ndecision/{id}"
        try:
            # In this order: what has moved on by its being done is told as done.
            moved = self.cases.thrown_out(fields) or await self.cases.moved_on(fields)
            kept = await space.reading(lambda: space.store.answered(key))
            if kept is not None:
                return _told(kept.entry)
            if moved:
                return _ended("stale", moved)
            if self.cases.is_ahead(space, known_of(fields["asked_as"])):
                return _later(f"this server has not heard yet of the version of `{space.name}` that it is about")
            space.must_be_ours(wanted["entity"], wanted["entity_id"])
            by = fields["answered_by"]
            _, request, consent = self.cases.to_do(id, fields, by, known_of(fields["answered_as"]))
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
            return _later("the server that decides for the entity carries it out")
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


def _told(entry: Entry) -> Attempt:
    """Return what the journal says of it as the answer of an attempt."""
    if entry.refused is not None:
        return _ended("refused", entry.refused.text)
    return _ended("done", f"{entry.entity} {entry.id}: {entry.before} -> {entry.after}, entry {entry.seq}")


def _ended(how: str, why: str) -> Answered:
    return Answered({"how": how, "why": why})


def _later(why: str) -> Failed:
    return Failed("unavailable", why, retry=True)
