"""What the paths of the office do: decisions, grants and pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from temper.web import answer
from temper.web.answer import Answer
from temper.web.ask import Ask, Unfit, duration
from temper.web.bodies import DecisionAnswer, PauseWanted, Revocation
from temper.web.problems import decline
from temper.web.streams import Stream, begin, undisturbed

if TYPE_CHECKING:
    from temper.web.verbs import Desk

_ANSWER: Final = msgspec.json.Decoder(DecisionAnswer)
_PAUSE: Final = msgspec.json.Decoder(PauseWanted)
_REVOCATION: Final = msgspec.json.Decoder(Revocation)


async def decisions(desk: Desk, ask: Ask) -> Answer:
    """Return the decisions that the caller may see, newest first."""
    return answer.json(await desk.workshop.decisions.listed(ask.person, **ask.query))


async def decision(desk: Desk, ask: Ask) -> Answer:
    """Return a decision, or wait for its end."""
    wait_ms = min(ask.query.get("wait", 0), round(desk.limits.wait_max * 1000))
    reading = desk.workshop.decisions.decision(ask.person, ask.route.id, wait_ms=wait_ms)
    return answer.json(await undisturbed(reading, ask, desk.closing) if wait_ms else await reading)


async def answer_decision(desk: Desk, ask: Ask) -> Answer:
    """Grant or deny a request that waits."""
    wanted = await ask.json_as(_ANSWER, ask.limits.body_max)
    return answer.json(
        await desk.workshop.decisions.answer(
            ask.person,
            ask.route.id,
            wanted.answer,
            scope_of=wanted.scope,
            expires_ms=_duration("expires", wanted.expires),
            uses=wanted.uses,
            across_versions=wanted.across_versions,
            reason=wanted.reason,
        )
    )


async def withdraw_decision(desk: Desk, ask: Ask) -> Answer:
    """Take back what one has asked for."""
    return answer.json(await desk.workshop.decisions.withdraw(ask.person, ask.route.id))


async def decision_events(desk: Desk, ask: Ask) -> Stream:
    """Return the stream of what happens to the decisions that the caller may see."""
    return await begin(desk.workshop.watch_decisions(ask.person, after=ask.after()), ask)


async def grants(desk: Desk, ask: Ask) -> Answer:
    """Return the grants in force that the caller may see."""
    found = await desk.workshop.decisions.grants.listed(ask.person, **ask.query)
    return answer.json({"items": found})


async def revoke_grant(desk: Desk, ask: Ask) -> Answer:
    """End a grant at once."""
    wanted = Revocation()
    if await ask.body(ask.limits.body_max):
        wanted = await ask.json_as(_REVOCATION, ask.limits.body_max)
    found = await desk.workshop.decisions.grants.revoke(ask.person, ask.route.id, reason=wanted.reason)
    return answer.json(found)


async def pauses(desk: Desk, ask: Ask) -> Answer:
    """Return what is paused."""
    return answer.json({"items": await desk.workshop.pauses.listed(ask.person)})


async def pause(desk: Desk, ask: Ask) -> Answer:
    """Pause: once this is answered, nothing of what is paused is committed any more."""
    wanted = await ask.json_as(_PAUSE, ask.limits.body_max)
    made = await desk.workshop.pauses.pause(
        ask.person,
        wanted.kind,
        wanted.name,
        within=wanted.blueprint,
        reason=wanted.reason,
        for_ms=_duration("for", wanted.lasts),
    )
    return answer.json(made, 201, [(b"location", b"/v1/pauses/" + made.id.encode())])


async def resume(desk: Desk, ask: Ask) -> Answer:
    """Lift a pause."""
    return answer.json(await desk.workshop.pauses.resume(ask.person, ask.route.id))


def _duration(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return duration(text)
    except Unfit as unfit:
        decline("bad-request", 422, "the body is not of the right shape", errors=[(f"/{name}", str(unfit))])
