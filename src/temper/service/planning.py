"""Planning: what a candidate would change, strand, answer otherwise and newly allow. Nothing here changes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from temper.kernel import Examination, StoreFault, Superseded, shadow
from temper.runtime import Administers
from temper.service import scope, whatif, wire
from temper.service.bindings import Bindings
from temper.service.candidates import Candidates
from temper.service.declined import STRANDED_MAX, bad_query, unavailable
from temper.service.judge_process import Judged
from temper.service.measuring import Measures
from temper.service.people import Person, must_be_administrator
from temper.service.placing import placed
from temper.service.served import Served
from temper.service.space import Space
from temper.table import Table, digest, upgrade_problems

# A plan that others come before with their pushes is made anew so often.
TRIES_MAX = 5
# Requests that are asked again of a candidate: some thousand take a second.
SHADOW_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Planning:
    """Tells an administrator what would come of a push."""

    served: Served
    candidates: Candidates
    bindings: Bindings
    _measures: Measures = field(default_factory=Measures, init=False, repr=False)

    async def plan(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, strength: bool = False
    ) -> wire.Plan:
        """Return what pushing `files` would change and strand. Needs an administrator. Changes nothing."""
        must_be_administrator(person, "plan a push", Administers.PLAN, blueprint)
        scope.must_reach_whole(person, blueprint)
        table = await self.candidates.compiled(blueprint, files)
        space = self.served.spaces.get(blueprint)
        old = space.table if space is not None else None
        changes, judged = await self.candidates.judged(old, table, newly=True)
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
            changes=(*changes, *self.bindings.notes(table)),
            stranded=stranded[:STRANDED_MAX],
            report=judged.report,
            pushable=self.candidates.passes(judged.report) and not stranded and not wrong,
            entities=entities,
            touched=_touched(examination),
            places=None
            if space is None or examination is None
            else await placed(self.candidates.judgements, space.table, table, space.version.number),
            upgrade=wrong,
            strength=await self._measures.compared(old, table) if strength else None,
            newly=tuple(wire.NewlyReached(e.role, e.entity, e.state, e.by, e.sure) for e in judged.newly),
        )

    async def shadow(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, last: int = 1_000
    ) -> wire.Shadow:
        """Return how `files` would have answered the last requests otherwise."""
        must_be_administrator(person, "replay requests on a candidate", Administers.SHADOW, blueprint)
        scope.must_reach_whole(person, blueprint)
        space = self.served.space(person, blueprint)
        if not 1 <= last <= SHADOW_MAX:
            raise bad_query("last", f"is not from 1 to {SHADOW_MAX:,}")
        table = await self.candidates.compiled(blueprint, files)
        try:
            found = await asyncio.to_thread(shadow, space.store, table, last=last, gate=self.served.gate)
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
        """Return who could do what, and what a candidate would newly allow or deny. Changes nothing."""
        must_be_administrator(person, "simulate policies", Administers.POLICIES, blueprint)
        scope.must_reach_whole(person, blueprint)
        space = self.served.space(person, blueprint)
        asked = whatif.Asked(entity, action, id)
        whatif.must_be_there(space.table, asked)
        if id is not None:
            await space.reading(partial(self.served.snapshot, person, space, str(entity), id))
        new = None if files is None else await self.candidates.compiled(blueprint, whatif.candidate(space.table, files))
        return await space.reading(partial(whatif.simulated, self.served.gate, space, new, asked, self.served.now()))

    async def _examined(self, person: Person, space: Space, table: Table, judged: Judged) -> Examination | None:
        """Ask the living whether they have a place in a candidate; `None` where it is in force already."""
        for _ in range(TRIES_MAX):
            try:
                if space.member is not None:
                    await space.member.up_to_date()
                if digest(table) == space.version.digest:
                    return None
                version = self.candidates.version(person, table, judged, space.version.number + 1, "")
                return await space.live.examined(table, version)
            except Superseded:
                continue
            except StoreFault as fault:
                raise unavailable(fault.text) from fault
        raise unavailable("other servers keep pushing: plan again")


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
