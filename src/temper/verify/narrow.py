"""A table with its policies in it: what requests may do there is what the policies let them.

Each `forbid` becomes a guard of the cases that a caller may take. What `system` does is not asked of policies (ruling
11), so that a case which both may take is parted in two. The levels then judge a table like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec

from temper.table import Policy, Table, cedar, shape
from temper.verify.forbids import FALSE, Given, forbids, no
from temper.verify.narrowed import ASKED, Narrowed

NEW = "new"
Covering: TypeAlias = tuple[Policy, cedar.Json]
"""A policy that covers an action, with Cedar's JSON form of it."""


def narrowed(table: Table) -> Narrowed:
    """Return the table as its policies leave it: itself, where they forbid nothing."""
    if not any(each.effect == "forbid" for each in table.policies):
        return Narrowed(table)
    return _Narrowing(table).done()


class _Narrowing:
    def __init__(self, table: Table) -> None:
        self.table = table
        self.left_out: dict[str, dict[str, tuple[str, ...]]] = {}
        self.lifted: dict[str, tuple[str, ...]] = {}
        self.parted: dict[str, tuple[str, int, int]] = {}

    def done(self) -> Narrowed:
        entities = {
            name: msgspec.structs.replace(
                entity, actions={each.name: self._action(entity, each) for each in entity.actions.values()}
            )
            for name, entity in self.table.entities.items()
        }
        notes = msgspec.structs.replace(self.table.notes, places={**self.table.notes.places, **self.parted})
        table = msgspec.structs.replace(self.table, entities=entities, policies=(), notes=notes)
        return Narrowed(table, self.left_out, self.lifted)

    def _action(self, entity: shape.Entity, action: shape.Action) -> shape.Action:
        name = f"{entity.name}.{action.name}"
        against = self._covering(cedar.FORBID, cedar.writes(entity.name, action.name))
        if not against:
            return action
        if self._covering(cedar.PERMIT, cedar.approves(entity.name, action.name)):
            self.lifted[name] = tuple(policy.id for policy, _ in against)
            return action
        guards = {creates: self._guards(against, entity, action, creates=creates) for creates in (False, True)}
        if not any(guards.values()):
            return action
        cases = tuple(part for case in action.cases for part in self._parts(action, case, guards))
        return msgspec.structs.replace(action, cases=cases)

    def _covering(self, effect: str, name: cedar.ActionName) -> list[Covering]:
        return [each for each in cedar.covering(self.table, name) if each[0].effect == effect]

    def _guards(
        self, against: list[Covering], entity: shape.Entity, action: shape.Action, *, creates: bool
    ) -> tuple[shape.Guard, ...]:
        if not any((NEW in case.froms) if creates else set(case.froms) - {NEW} for case in action.cases):
            return ()
        guards = []
        for policy, form in against:
            found = forbids(form, Given(self.table, entity, action, creates))
            if found.left_out:
                self.left_out.setdefault(f"{entity.name}.{action.name}", {})[policy.id] = found.left_out
            if found.when != FALSE:
                told = policy.otherwise or f"the policy `{policy.id}` forbids it"
                guards.append(shape.Guard(policy.site, no(found.when), told))
        return tuple(guards)

    def _parts(
        self, action: shape.Action, case: shape.Case, guards: Mapping[bool, tuple[shape.Guard, ...]]
    ) -> Iterator[shape.Case]:
        by = case.by or action.by
        system = tuple(each for each in by if each.kind == "system")
        asked = tuple(each for each in by if each.kind != "system")
        for creates in (False, True):
            froms = tuple(each for each in case.froms if (each == NEW) is creates)
            if not froms:
                continue
            part = msgspec.structs.replace(case, froms=froms)
            if not asked or not guards[creates]:
                yield part
                continue
            if system:
                yield msgspec.structs.replace(part, by=system)
            site = f"{case.site}{ASKED}" if system else case.site
            if system and case.site in self.table.notes.places:
                self.parted[site] = self.table.notes.places[case.site]
            yield msgspec.structs.replace(part, site=site, by=asked, when=(*guards[creates], *case.when))
