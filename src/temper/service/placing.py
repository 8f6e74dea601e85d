"""Whether all that the version in force can reach has a place in a candidate, told before anybody gets there.

What is asked of its entities, `temper.table.places` says; the verifier answers, by the levels that a push has to pass.
Those who live are asked one by one at the push in any case, also for what nobody could prove.
"""

from __future__ import annotations

from temper.service import wire
from temper.service.judgements import Judgements
from temper.table import Table, places, with_places


async def placed(judgements: Judgements, old: Table, new: Table, number: int) -> tuple[wire.Placed, ...]:
    """Return what is asked of `old`, version `number`, for all of its states to have a place in `new`, and if so."""
    canary = old.canary
    asked = places(old, new, number if canary is None else canary.number)
    if canary is not None:
        asked = (*asked, *(one for one in places(canary.table, new, -1) if one.kind in canary.kinds))
    if not asked:
        return ()
    verdicts: dict[tuple[str | None, str], str] = {}
    if canary is None and any(one.condition is not None for one in asked):
        judged = await judgements.of(with_places(old, asked), ())
        verdicts = {(each["entity"], each["name"]): each["verdict"] for each in judged.report["properties"]}
    return tuple(
        wire.Placed(
            entity=one.kind,
            text=one.text,
            verdict="unknown" if one.condition is None else verdicts.get((one.kind, one.text), "unknown"),
        )
        for one in asked
    )
