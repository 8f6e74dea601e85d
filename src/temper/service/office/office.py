"""The office's space: founded on first need, and what stands in it kept at hand for whoever decides a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import msgspec

from temper.kernel import Answer, Done, Entry, Request, StoreFault, Superseded, TableVersion
from temper.runtime import Clock, new_id
from temper.service.declined import unavailable
from temper.service.office.shipped import BY, office_table, office_version, shipped_report
from temper.service.requests import params_of
from temper.service.space import Space
from temper.service.views import entity_view
from temper.table import Act, Caller, Snapshot

NAME = "temper"
_PAGE = 200
_TRIES_MAX = 5

_log = logging.getLogger("temper.service")


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause in force. `within` is one blueprint, "" for all; `until` a time, `None` until it is lifted."""

    id: str
    kind: str
    name: str
    within: str
    reason: str
    by: str
    until: int | None


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant in force: the decision that it comes from, and what of a request it lets through."""

    id: str
    decision: str
    to: str
    behind: str
    about: str | None
    wanted: Mapping[str, Any]
    asked_as: Mapping[str, Any]
    answered_by: str
    answered_as: Mapping[str, Any]
    ends_at: int
    across_versions: bool


class Ground(Protocol):
    """What an office stands on: the time, and somewhere to keep its space."""

    clock: Clock

    async def found_office(self, version: TableVersion) -> Space | None:
        """Make the space, with this first version; `None` where another has made it, and it is found open now."""
        ...


@dataclass
class Office:
    """Decides by the blueprint `temper`. There is no space until something has to be kept there."""

    ground: Ground
    space: Space | None = None
    pauses: dict[str, Paused] = field(default_factory=dict)
    """What is paused, by the pause's id."""
    grants: dict[str, dict[str, Granted]] = field(default_factory=dict)
    """What is granted, by the principal to whom, and the grant's id."""
    changed: list[Callable[[], None]] = field(default_factory=list)
    """Hear that what is paused has changed."""
    _founding: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _following: asyncio.Task[None] | None = None
    _askers: dict[str, str] = field(default_factory=dict)

    # --- the space ---

    async def open(self, space: Space) -> None:
        """Take up a space that is there: by this release's blueprint from now on, and with all that stands in it."""
        if self.space is not None:
            return
        self.space = space
        await self._brought_up_to_date(space)
        entries = space.live.subscribe()
        await self.look()
        self._following = asyncio.create_task(self._follow(entries), name="temper office")

    async def close(self) -> None:
        """Follow no more; whoever opened the space closes it."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None

    async def opened(self) -> Space:
        """Return the space, which is founded where there is none yet."""
        async with self._founding:
            if self.space is None:
                try:
                    space = await self.ground.found_office(office_version(1, self.ground.clock.now()))
                except StoreFault as fault:
                    raise unavailable(fault.text) from fault
                if space is not None:
                    await self.open(space)
        assert self.space is not None, "it was founded, or found"
        return self.space

    async def _brought_up_to_date(self, space: Space) -> None:
        for _ in range(_TRIES_MAX):
            if space.version.digest == shipped_report()["digest"]:
                return
            try:
                version = office_version(space.version.number + 1, self.ground.clock.now())
                stranded = await space.live.swap(office_table(), version)
            except Superseded:
                assert space.member is not None, "others push"
                await space.member.up_to_date()
                continue
            if not isinstance(stranded, int):
                raise StoreFault(f"{len(stranded)} entities of the blueprint `{NAME}` have no place in this release's")
            return

    # --- what stands ---

    async def look(self) -> None:
        """Take in all that stands."""
        space = self.space
        assert space is not None, "it is open"
        pauses = await space.reading(lambda: list(self._active(space, "Pause")))
        grants = await space.reading(lambda: list(self._active(space, "Grant")))
        self.pauses = {now.id: _paused(now) for now in pauses}
        found: dict[str, dict[str, Granted]] = {}
        for now in grants:
            granted = await self._granted(space, now)
            found.setdefault(granted.to, {})[now.id] = granted
        self.grants = found
        self._tell()

    @staticmethod
    def _active(space: Space, entity: str) -> Iterator[Snapshot]:
        cursor: str | None = None
        while True:
            page = space.store.list(entity, states=("Active",), after=cursor, limit=_PAGE)
            yield from page.items
            cursor = page.cursor
            if cursor is None:
                return

    async def _follow(self, entries: AsyncIterator[Entry]) -> None:
        """Note what timers and other servers do."""
        async for entry in entries:
            if entry.entity in ("Pause", "Grant"):
                with contextlib.suppress(StoreFault):
                    await self.note(entry.entity, entry.id)

    async def note(self, entity: str, id: str) -> None:
        """Take in how one of them stands now."""
        space = self.space
        assert space is not None, "it is open"
        now = await space.reading(partial(space.live.read, entity, id))
        if now is not None:
            await self._note(space, now)
            self._tell()

    async def _note(self, space: Space, now: Snapshot) -> None:
        # What decides reads them from other threads, too: they are replaced, and never changed.
        if now.entity == "Pause":
            others = {id: each for id, each in self.pauses.items() if id != now.id}
            self.pauses = others | ({now.id: _paused(now)} if now.state == "Active" else {})
            return
        to = str(now.fields["granted_to"])
        held = {id: each for id, each in self.grants.get(to, {}).items() if id != now.id}
        if now.state == "Active":
            held[now.id] = await self._granted(space, now)
        self.grants = {who: each for who, each in self.grants.items() if who != to} | ({to: held} if held else {})

    async def _granted(self, space: Space, now: Snapshot) -> Granted:
        fields = now.fields
        decision = await space.reading(partial(space.live.read, "Decision", str(fields["decision"])))
        assert decision is not None, "a grant comes from a decision"
        asked = self.fields(decision)
        about, ends_at = fields["about"], fields["ends_at"]
        assert isinstance(ends_at, int), "a time"
        return Granted(
            id=now.id,
            decision=decision.id,
            to=str(fields["granted_to"]),
            behind=str(fields["granted_for"]),
            about=None if about is None else str(about),
            wanted=asked["wanted"],
            asked_as=msgspec.json.decode(asked["asked_as"]),
            answered_by=asked["answered_by"],
            answered_as=msgspec.json.decode(asked["answered_as"]),
            ends_at=ends_at,
            across_versions=fields["across_versions"] is True,
        )

    def _tell(self) -> None:
        for heard in self.changed:
            heard()

    # --- asking ---

    async def take(
        self,
        role: str,
        caller: Caller,
        entity: str,
        action: str,
        params: Mapping[str, Any],
        *,
        id: str | None = None,
    ) -> Answer:
        """Have an action taken, or an entity created where there is no `id`, by a caller in one of the office's roles.

        Raises `Elsewhere` where another server decides for the entity.
        """
        space = await self.opened()
        kind = space.table.entities[entity]
        values = params_of(space.table, kind.actions[action], params)
        chosen = id if id is not None else space.fresh_id(entity)
        space.must_be_ours(entity, chosen)
        as_role = Caller(caller.principal, frozenset({role}), caller.acts_for)
        event = Act(new_id(), self.ground.clock.now(), action, values, as_role, entity, chosen)
        answer = await space.live.submit(Request(event, entity, chosen))
        if isinstance(answer, Done):
            for each in (answer.snapshot, *_created(space, answer)):
                if each.entity in ("Pause", "Grant"):
                    await self.note(each.entity, each.id)
        return answer

    async def asker(self, principal: str) -> str:
        """Return the id of who asks, who is made known where they are not."""
        known = self._askers.get(principal)
        if known is not None:
            return known
        answer = await self.take("server", Caller(BY), "Asker", "Meet", {"who": principal})
        if not isinstance(answer, Done):
            raise unavailable("who asks could not be noted")
        if len(self._askers) >= 10_000:
            self._askers.clear()
        self._askers[principal] = answer.snapshot.id
        return answer.snapshot.id

    async def read(self, entity: str, id: str) -> Snapshot | None:
        """Return one of its entities, `None` where there is none."""
        space = self.space
        if space is None:
            return None
        return await space.reading(partial(space.live.read, entity, id))

    async def holder(self, unique: int, values: Sequence[str]) -> str | None:
        """Return the id of the decision that holds these values of its `unique` of that number."""
        space = self.space
        return None if space is None else await space.reading(lambda: space.store.holder("Decision", unique, values))

    def fields(self, now: Snapshot) -> dict[str, Any]:
        """Return the fields of one of its entities, as JSON has them."""
        assert self.space is not None, "it is one of its own"
        return entity_view(self.space.table, now).fields


def _created(space: Space, done: Done) -> Iterator[Snapshot]:
    for entry in done.entries:
        now = space.live.read(entry.entity, entry.id) if entry.entity in ("Pause", "Grant") else None
        if now is not None:
            yield now


def _paused(now: Snapshot) -> Paused:
    fields = now.fields
    until = fields["until"]
    assert until is None or isinstance(until, int), "a time"
    kind, name, within, reason, by = (str(fields[each]) for each in ("kind", "name", "within", "reason", "paused_by"))
    return Paused(now.id, kind, name, within, reason, by, until)
