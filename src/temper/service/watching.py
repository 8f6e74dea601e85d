"""Watching: streams of what is committed, and waiting until something holds of an entity."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import msgspec

from temper.kernel import StoreFault
from temper.runtime import Member, place_of, place_text
from temper.service import wire
from temper.service.decisions import Decisions, happened
from temper.service.declined import Declined, bad_query, entity_of, unavailable
from temper.service.people import Person
from temper.service.seen import seen
from temper.service.served import Served
from temper.service.settings import LimitsSection, duration_ms
from temper.service.space import BadExpression, Space
from temper.service.views import entity_view, history_entry
from temper.table import Snapshot


class Watching:
    """Tells people what happens to whom they may see, as it happens."""

    def __init__(self, served: Served, decisions: Decisions, limits: LimitsSection) -> None:
        self._served = served
        self._decisions = decisions
        self._limits = limits
        self._streams = 0

    async def entries(
        self,
        person: Person,
        blueprint: str,
        entity: str | None = None,
        id: str | None = None,
        *,
        after: int | str | None = None,
    ) -> AsyncIterator[wire.HistoryEntry]:
        """Yield entries as they are committed, complete and in order, after `after` (from now on by default)."""
        space = self._served.space(person, blueprint)
        if entity is not None:
            entity_of(space.table, entity)
        if entity is not None and id is not None:
            await space.reading(partial(self._served.snapshot, person, space, entity, id))
        async for each in self._streamed(space, entity, id, after, partial(self._served.shows, person, space)):
            yield each

    async def decisions(self, person: Person, *, after: int | str | None = None) -> AsyncIterator[wire.HistoryEntry]:
        """Yield what happens to the decisions that the person may see, as it is committed."""
        space = await self._decisions.office.opened()
        shows = partial(self._decisions.cases.shows, person)
        async for each in self._streamed(space, "Decision", None, after, shows):
            yield happened(each)

    async def wait(
        self, person: Person, blueprint: str, entity: str, id: str, until: str, *, timeout_ms: int = 30_000
    ) -> wire.Waited:
        """Return the entity once `until` (an expression over it) holds, or as it is when the time is up."""
        space = self._served.space(person, blueprint)
        entity_of(space.table, entity)
        await space.reading(partial(self._served.snapshot, person, space, entity, id))
        most = duration_ms(self._limits.wait)
        if not 0 <= timeout_ms <= most:
            raise bad_query("timeout", f"is not from 0 to {most} ms")
        space.condition(entity, until, "until")
        # Asked anew each time: a swap may come while it waits.
        compiled, number = space.compiled, space.version.number

        def holds(now: Snapshot) -> bool:
            nonlocal compiled, number
            if space.version.number != number:
                compiled, number = space.compiled, space.version.number
            sees = self._served.sees(person, space)
            if sees is not None and not sees(now):
                return False
            condition = compiled.condition(entity, until)
            return compiled.predicate(entity, condition, self._served.now(), seen(space.live.world(), sees))(now)

        try:
            met, now = await space.live.wait_until(entity, id, holds, timeout_ms=timeout_ms)
        except BadExpression as bad:
            raise bad_query("until", "does not fit the version that came meanwhile", bad.findings) from bad
        except StoreFault as fault:
            raise unavailable(fault.text) from fault
        assert now is not None, "an entity never goes away"
        if self._served.gate.narrows_reading(space.table, entity):
            now = await space.reading(partial(self._served.snapshot, person, space, entity, id))
        return wire.Waited(met=met, entity=entity_view(space.table_of(entity, id, now), now))

    async def _streamed(
        self,
        space: Space,
        entity: str | None,
        id: str | None,
        after: int | str | None,
        shows: Callable[[str, str], Awaitable[bool]],
    ) -> AsyncIterator[wire.HistoryEntry]:
        if self._streams >= self._limits.streams:
            raise Declined(
                wire.Problem(
                    type="busy",
                    title="too many live streams are open",
                    status=503,
                    help="close one, or raise `limits.streams`",
                    retry_after_ms=5_000,
                )
            )
        self._streams += 1
        try:
            member = space.member
            if member is not None:
                part = member.database.part(entity, id) if entity is not None and id is not None else None
                async for each in self._watched(space, member, after, part):
                    if entity in (None, each.entity) and id in (None, each.id) and await shows(each.entity, each.id):
                        yield each
                return
            if isinstance(after, str) and not after.isdigit():
                raise bad_query("after", "is the number of an entry")
            async for entry in space.live.subscribe(None if after is None else int(after)):
                if entity in (None, entry.entity) and id in (None, entry.id) and await shows(entry.entity, entry.id):
                    yield history_entry(entry, space.number_of(entry.digest))
        finally:
            self._streams -= 1

    async def _watched(
        self, space: Space, member: Member, after: int | str | None, part: int | None
    ) -> AsyncIterator[wire.HistoryEntry]:
        place = None if after is None else place_of(str(after), member.database.parts)
        if place is None and part is not None and str(after).isdigit():
            # Of one entity the number of an entry says enough, as its history gives it.
            heads = list(await space.reading(member.database.last_seqs))
            heads[part] = int(str(after))
            place = tuple(heads)
        if after is not None and place is None:
            raise bad_query("after", "is 0, or the `place` of an entry that a stream gave")
        try:
            async for entry, now in member.follow(place):
                number = space.number_known(entry.digest)
                if number is None:
                    number = await space.reading(partial(space.number_of, entry.digest))
                yield msgspec.structs.replace(history_entry(entry, number), place=place_text(now))
        except StoreFault as fault:
            raise unavailable(fault.text) from fault
