"""Whom the heads of policies speak of: of many policies about one action, only those are asked that can apply.

A policy whose head names a principal, a role, a team or an entity applies to nobody and nothing else, and Cedar looks
at its conditions no further. So leaving it out there changes no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from temper.kernel import Facts
from temper.table import Caller, cedar

Json: TypeAlias = Any

NOBODY = ("", "")
Key: TypeAlias = tuple[str, str]
"""What a head asks for, as a type and an id; `NOBODY` where nothing can be that."""


class Heads:
    """Policies by their heads, numbered as they are given; `resource` is the type of the entity that is asked about."""

    def __init__(self, forms: Sequence[Json], resource: str) -> None:
        """Read them off Cedar's JSON forms."""
        self.always: tuple[int, ...] = ()
        self.named: dict[Key, list[int]] = {}
        self._resource = resource
        always = []
        for number, form in enumerate(forms):
            key = self._key(form)
            if key is None:
                always.append(number)
            elif key != NOBODY:
                self.named.setdefault(key, []).append(number)
        self.always = tuple(always)
        self._roles = frozenset(id for kind, id in self.named if kind == cedar.ROLE)
        self._teams = frozenset(id for kind, id in self.named if kind == cedar.TEAM)

    def met(self, caller: Caller, facts: Facts, id: str) -> tuple[Key, ...]:
        """Return what heads ask for that is so of a request about the entity `id`, each once and in order."""
        found = [key for key in ((cedar.PRINCIPAL, caller.principal), (self._resource, id)) if key in self.named]
        if self._roles:
            found += [(cedar.ROLE, role) for role in sorted(self._roles & caller.roles)]
        if self._teams:
            found += [(cedar.TEAM, team) for team in sorted(self._teams & facts.teams)]
        return tuple(found)

    def numbers(self, met: Sequence[Key]) -> tuple[int, ...]:
        """Return the policies that can apply where this is so, in order."""
        return tuple(sorted([*self.always, *(number for key in met for number in self.named[key])]))

    def _key(self, form: Json) -> Key | None:
        """What the head asks for, `None` where it asks for nobody in particular."""
        for variable, type_ in (("principal", cedar.PRINCIPAL), ("resource", self._resource)):
            scope = form[variable]
            if scope.get("entity_type", type_) != type_:
                return NOBODY
            entity = scope.get("entity") or scope.get("in", {}).get("entity")
            if entity is None:
                continue
            groups = (cedar.ROLE, cedar.TEAM) if variable == "principal" and scope["op"] != "==" else ()
            if entity["type"] not in (type_, *groups):
                return NOBODY
            return entity["type"], entity["id"]
        return None
