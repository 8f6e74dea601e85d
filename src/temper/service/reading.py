"""Reading: entities as they are and as they were, their lists, their histories, and what is possible next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from temper.kernel import past, seq_at
from temper.service import retention, wire
from temper.service.declined import Declined, bad_query, entity_of, no_such_entity
from temper.service.listing import Listing, list_page
from temper.service.listing_past import PastListing, past_page
from temper.service.pauses import Pauses
from temper.service.people import Person
from temper.service.requests import asked_for, moment_of
from temper.service.served import Served
from temper.service.views import entity_view, history_entry, past_view, possible_action
from temper.table import possible

HISTORY_MAX = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """Shows people what they may see. Lists have at most `page_max` on a page."""

    served: Served
    pauses: Pauses
    page_max: int

    async def read(self, person: Person, blueprint: str, entity: str, id: str) -> wire.EntityView:
        """Return the entity as it is."""
        space = self.served.space(person, blueprint)
        entity_of(space.table, entity)

        def look() -> wire.EntityView:
            now = self.served.snapshot(person, space, entity, id)
            table = space.table_of(entity, id, now)
            return retention.noted(space, entity_view(table, now, space.store.order if now.calls else None))

        return await space.reading(look)

    async def past(self, person: Person, blueprint: str, entity: str, id: str, at: str) -> wire.PastEntity:
        """Return the entity as it was after the entry `at`, or at that time."""
        space = self.served.space(person, blueprint)
        entity_of(space.table, entity)
        seq, time = moment_of(at)

        def look() -> wire.PastEntity:
            self.served.snapshot(person, space, entity, id, at=at)
            upto = seq if time is None else seq_at(space.store, entity, id, time=time)
            was = past(space.store, entity, id, at=upto)
            if was is None:
                raise Declined(no_such_entity(entity, id, at=at))
            return past_view(entity, id, was, space.number_of(was.digest))

        return await space.reading(look)

    async def list(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        *,
        filter: str | None = None,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        count: bool = False,
    ) -> wire.Page:
        """Return a page. `filter` is an expression over the entity."""
        space = self.served.space(person, blueprint)
        kind = entity_of(space.table, entity)
        most = self.page_max
        if not 1 <= limit <= most:
            raise bad_query("limit", f"is not from 1 to {most}")
        condition = space.condition(entity, filter, "filter") if filter else None
        listing = Listing(
            kind, condition, sort, limit, cursor, count, self.served.now(), self.served.sees(person, space)
        )
        page = await list_page(space, listing)
        if isinstance(page, wire.FieldError):
            raise bad_query(page.path, page.message)
        return page

    async def list_past(
        self,
        person: Person,
        blueprint: str,
        entity: str,
        at: str,
        *,
        filter: str | None = None,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        count: bool = False,
    ) -> wire.PastPage:
        """Return a page of entities as they were after the entry `at`, or at that time."""
        space = self.served.space(person, blueprint)
        entity_of(space.table, entity)
        most = self.page_max
        if not 1 <= limit <= most:
            raise bad_query("limit", f"is not from 1 to {most}")
        seq, time = moment_of(at)
        now, sees = self.served.now(), self.served.sees(person, space)
        asked = PastListing(entity, seq, time, filter, sort, limit, cursor, count, now, sees)
        return await space.reading(partial(past_page, space, asked))

    async def history(
        self, person: Person, blueprint: str, entity: str, id: str, *, after: int = 0, limit: int = 200
    ) -> tuple[wire.HistoryEntry, ...]:
        """Return what happened to the entity, oldest first, refusals included; entries with `seq > after`."""
        space = self.served.space(person, blueprint)
        entity_of(space.table, entity)
        most = max(self.page_max, HISTORY_MAX)
        if not 1 <= limit <= most:
            raise bad_query("limit", f"is not from 1 to {most}")

        def look() -> tuple[wire.HistoryEntry, ...]:
            self.served.snapshot(person, space, entity, id)
            entries = space.store.history(entity, id, after=after, limit=limit)
            return tuple(history_entry(entry, space.number_of(entry.digest)) for entry in entries)

        return await space.reading(look)

    async def possible(self, person: Person, blueprint: str, entity: str, id: str | None) -> tuple[wire.Possible, ...]:
        """Return each action as this caller could take it now; of a new entity where `id` is `None`."""
        space = self.served.space(person, blueprint)

        def look() -> tuple[wire.Possible, ...]:
            entity_of(space.table, entity)
            now = self.served.snapshot(person, space, entity, id) if id is not None else None
            table = space.table if id is None else space.table_of(entity, id, now)
            at = self.served.now()
            could = possible(table, entity, now, person.caller, at, space.live.world())
            could = self.served.possibly(person, space, now, at, could)
            could = self.pauses.possibly(person.caller, blueprint, could)
            return tuple(
                possible_action(table, each) for each in could if asked_for(table, entity, each.action, new=now is None)
            )

        return await space.reading(look)
