"""What policies are told of who asks."""

from __future__ import annotations

from typing import Any

from temper.kernel import Facts
from temper.runtime.cedar.values import reference
from temper.table import Caller, cedar


def told_of_caller(caller: Caller, facts: Facts) -> dict[str, Any]:
    """Return the caller as an entity of Cedar's: its roles and teams are its parents, its attributes its tags."""
    told: dict[str, Any] = {"name": caller.principal, "agent": caller.acts_for is not None, "admin": facts.admin}
    if caller.acts_for is not None:
        told["acts_for"] = reference(cedar.PRINCIPAL, caller.acts_for)
    parents = [{"type": cedar.ROLE, "id": role} for role in sorted(caller.roles)]
    parents += [{"type": cedar.TEAM, "id": team} for team in sorted(facts.teams)]
    uid = {"type": cedar.PRINCIPAL, "id": caller.principal}
    return {"uid": uid, "attrs": told, "parents": parents, "tags": dict(facts.attributes)}
