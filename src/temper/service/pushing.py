"""Pushing: another version of a blueprint comes into force, once it has passed and everybody has a place in it.

Rolling back, and what a canary begins and ends with, are pushes like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from temper.kernel import StoreFault, Superseded
from temper.runtime import Administers
from temper.service import canary as canaries
from temper.service import scope, wire
from temper.service.bindings import Bindings
from temper.service.candidates import Candidates
from temper.service.decisions import Decisions
from temper.service.declined import Declined, stale, strands, unavailable
from temper.service.people import Person, must_be_administrator
from temper.service.served import Served
from temper.service.space import Space, version_report, version_table
from temper.service.waking import Waking
from temper.table import Table, digest, upgrade_problems

# A push that others come before is judged anew so often.
PUSHES_MAX = 5


@dataclass(frozen=True, slots=True)
class Pushing:
    """Brings versions into force, for an administrator."""

    served: Served
    candidates: Candidates
    bindings: Bindings
    waking: Waking
    decisions: Decisions

    async def push(
        self, person: Person, blueprint: str, files: Mapping[str, str], *, note: str = "", if_version: int | None = None
    ) -> wire.Pushed:
        """Verify `files`, then swap the whole bundle in one step. Needs an administrator."""
        must_be_administrator(person, "push", Administers.PUSH, blueprint)
        return await self._push(person, blueprint, files, note, if_version)

    async def rollback(
        self, person: Person, blueprint: str, number: int | None = None, *, note: str = ""
    ) -> wire.Pushed:
        """Push an earlier version again (the one before the current by default), under the same rules."""
        must_be_administrator(person, "roll back", Administers.ROLLBACK, blueprint)
        scope.must_write(person, blueprint)
        space = self.served.space(person, blueprint)
        if number is None:
            number = space.version.number - 1
            if number < 1:
                raise Declined(
                    wire.Problem(
                        type="not-found", title="there is no earlier version", status=404, detail="version 1 is live"
                    )
                )
        files = version_table(space.numbered(number)).notes.sources
        return await self._push(person, blueprint, files, note or f"back to version {number}", None)

    async def start_canary(
        self, person: Person, blueprint: str, files: Mapping[str, str], wanted: canaries.CanaryWanted, *, note: str = ""
    ) -> wire.Pushed:
        """Have some new entities live by `files`, once they have passed. Needs an administrator."""
        must_be_administrator(person, "start a canary", Administers.CANARY, blueprint)
        self.decisions.pauses.must_be_free(person.caller, blueprint)
        scope.must_write(person, blueprint)
        canaries.must_make_sense(wanted)
        table = await self.candidates.compiled(blueprint, files)
        space = self.served.space(person, blueprint)
        async with space.lock:
            return await self._swap(person, space, table, note or "a canary", None, wanted)

    async def promote(self, person: Person, blueprint: str, *, note: str = "") -> wire.Pushed:
        """Push the candidate of the canary, under the same rules. Needs an administrator."""
        must_be_administrator(person, "promote a canary", Administers.PUSH, blueprint)
        files = canaries.files_of(self.served.space(person, blueprint))
        return await self._push(person, blueprint, files, note or "the canary is promoted", None)

    async def withdraw(self, person: Person, blueprint: str, *, note: str = "") -> wire.Pushed:
        """Push the version beside which the canary is, under the same rules. Needs an administrator."""
        must_be_administrator(person, "withdraw a canary", Administers.CANARY, blueprint)
        space = self.served.space(person, blueprint)
        files = version_table(space.numbered(canaries.number_of(space))).notes.sources
        return await self._push(person, blueprint, files, note or "the canary is withdrawn", None)

    async def _push(
        self, person: Person, blueprint: str, files: Mapping[str, str], note: str, if_version: int | None
    ) -> wire.Pushed:
        self.decisions.pauses.must_be_free(person.caller, blueprint)
        scope.must_write(person, blueprint)
        table = await self.candidates.compiled(blueprint, files)
        space = self.served.spaces.get(blueprint)
        if space is None:
            return await self._found(person, table, note, if_version)
        async with space.lock:
            return await self._swap(person, space, table, note, if_version)

    async def _found(self, person: Person, table: Table, note: str, if_version: int | None) -> wire.Pushed:
        if if_version not in (None, 0):
            raise stale(None, if_version)
        changes, judged = await self.candidates.judged(None, table)
        self.candidates.must_pass(judged)
        if table.blueprint not in self.served.spaces:
            version = self.candidates.version(person, table, judged, 1, note)
            try:
                await self.waking.make(table.blueprint, version)
                return wire.Pushed(
                    blueprint=table.blueprint,
                    version=1,
                    digest=version.digest,
                    changes=(*changes, *self.bindings.notes(table)),
                    report=judged.report,
                )
            except Superseded:
                pass
            except StoreFault as fault:
                raise unavailable(fault.text) from fault
        # Somebody else pushed the first version meanwhile: this is the second then, under that one's lock.
        space = self.served.spaces[table.blueprint]
        async with space.lock:
            return await self._swap(person, space, table, note, if_version)

    async def _swap(
        self,
        person: Person,
        space: Space,
        table: Table,
        note: str,
        if_version: int | None,
        wanted: canaries.CanaryWanted | None = None,
    ) -> wire.Pushed:
        for _ in range(PUSHES_MAX):
            try:
                if space.member is not None:
                    await space.member.up_to_date()
                return await self._swap_once(person, space, table, note, if_version, wanted)
            except Superseded:
                continue  # Another server has pushed meanwhile: it is judged anew, as a change of that version.
            except StoreFault as fault:
                raise unavailable(fault.text) from fault
        raise unavailable("other servers keep pushing: push again")

    async def _swap_once(
        self,
        person: Person,
        space: Space,
        table: Table,
        note: str,
        if_version: int | None,
        wanted: canaries.CanaryWanted | None,
    ) -> wire.Pushed:
        current = space.version
        left = current.number if space.table.canary is None else space.table.canary.number
        found = None
        if wanted is not None:
            found = await space.reading(partial(canaries.beside, space, table, wanted, at=self.served.now()))
        if if_version is not None and if_version != current.number:
            raise stale(current.number, if_version)
        if digest(table) == current.digest:
            return wire.Pushed(
                blueprint=space.name,
                version=current.number,
                digest=current.digest,
                unchanged=True,
                report=version_report(current),
            )
        changes, judged = await self.candidates.judged(space.table, table)
        self.candidates.must_pass(judged)
        wrong = upgrade_problems(space.table, table, left)
        if wrong:
            raise Declined(
                wire.Problem(
                    type="broken-blueprint",
                    title="the `upgrade` speaks of what is not in force",
                    status=422,
                    detail="; ".join(wrong),
                    help=f"version {left} is in force: `temper versions` lists them",
                )
            )
        table = found or table
        version = self.candidates.version(person, table, judged, current.number + 1, note)
        swapped = await space.live.swap(table, version)
        if not isinstance(swapped, int):
            raise strands(
                tuple(
                    wire.StrandedEntity(entity=each.entity, id=each.id, state=each.state, reasons=each.reasons)
                    for each in swapped
                )
            )
        await self.decisions.tidy()
        return wire.Pushed(
            blueprint=space.name,
            version=version.number,
            digest=version.digest,
            changes=(*changes, *self.bindings.notes(table)),
            carried=swapped,
            report=judged.report,
        )
