"""The gate: whether a bundle's policies let somebody act, read, or say yes to another's request."""

from __future__ import annotations

from temper.kernel import Facts
from temper.runtime.cedar.slices import ALLOWED, Asked, Ruling, Slice
from temper.table import Act, Caller, Look, Policy, Refused, Snapshot, Table, Why, cedar


class Gate:
    """A `kernel.PolicyGate` that asks Cedar. It holds nothing: what is parsed is kept with each table."""

    def rule(self, table: Table, now: Snapshot | None, event: Act, facts: Facts, world: Look) -> Refused | None:
        """Return why policies refuse an action that `by` lets the caller take."""
        if not table.policies:
            return None
        ruling = self.ruling(table, now, event, facts, world)
        if ruling.allowed:
            return None
        consent = event.consent
        if consent is not None and consent.asked == event.caller:
            # Somebody who may has said yes to what these policies forbid this caller; of others they were not asked.
            ruling = ruling.without(frozenset(consent.policies))
            if not ruling.ids:
                return None
        return Refused(Why.FORBIDDEN, ruling.text, ruling.site, event.action, ruling.ids)

    def ruling(self, table: Table, now: Snapshot | None, event: Act, facts: Facts, world: Look | None) -> Ruling:
        """Return what the policies say of an action, whatever `by` says."""
        chosen = slice_of(table, cedar.writes(event.entity, event.action))
        if chosen is None:
            return ALLOWED
        return chosen.rule(Asked(event.caller, facts, now, event.entity_id, event.at, event.params, world))

    def asks(self, table: Table, entity: str, action: str) -> bool:
        """Say whether any policy narrows who may take an action."""
        return bool(table.policies) and slice_of(table, cedar.writes(entity, action)) is not None

    def asked(self, table: Table, entity: str, action: str) -> tuple[Policy, ...]:
        """Return the policies that narrow who may take an action."""
        chosen = slice_of(table, cedar.writes(entity, action)) if table.policies else None
        return chosen.policies if chosen is not None else ()

    def looks_at(self, table: Table, entity: str, action: str) -> frozenset[str]:
        """Return the parameters that policies look at before they let an action be taken."""
        chosen = slice_of(table, cedar.writes(entity, action)) if table.policies else None
        return chosen.params if chosen is not None else frozenset()

    def narrows_reading(self, table: Table, entity: str) -> bool:
        """Say whether entities of a kind are not for everybody to read."""
        return bool(table.policies) and slice_of(table, cedar.reads(entity)) is not None

    def may_read(self, table: Table, caller: Caller, facts: Facts, now: Snapshot, at: int, world: Look | None) -> bool:
        """Say whether policies let somebody read an entity."""
        if not table.policies:
            return True
        chosen = slice_of(table, cedar.reads(now.entity))
        return chosen is None or chosen.rule(Asked(caller, facts, now, now.id, at, {}, world)).allowed

    def may_be_approved(self, table: Table, entity: str, action: str) -> bool:
        """Say whether there is anybody who may say yes to a request for the action that is refused."""
        return bool(table.policies) and slice_of(table, cedar.approves(entity, action)) is not None

    def may_approve(
        self, table: Table, caller: Caller, facts: Facts, at: int, now: Snapshot | None, event: Act, world: Look | None
    ) -> Ruling:
        """Return whether policies let `caller` say yes to `event`, which another asks for: only a `permit` does."""
        chosen = slice_of(table, cedar.approves(event.entity, event.action)) if table.policies else None
        if chosen is None:
            return Ruling(allowed=False)
        requester = event.caller.principal
        return chosen.rule(Asked(caller, facts, now, event.entity_id, at, event.params, world, requester))


def slice_of(table: Table, name: cedar.ActionName) -> Slice | None:
    """Return the policies that are asked about an action; `None` where there is nothing to ask.

    An action is open to whom `by` names until a `forbid` covers it; reading is open to everybody until a policy covers
    it, and from a `permit` on to those whom one permits; saying yes is closed until a `permit` covers it.
    """
    known: dict[str, Slice | None] = table.__dict__.setdefault("slices", {})
    if name.id not in known:
        known[name.id] = _slice(table, name)
    return known[name.id]


def _slice(table: Table, name: cedar.ActionName) -> Slice | None:
    effects = {policy.effect for policy, _ in cedar.covering(table, name)}
    if name.group == cedar.APPROVE:
        return Slice(table, name, let_in=False) if cedar.PERMIT in effects else None
    if name.group == cedar.READ and cedar.PERMIT in effects:
        return Slice(table, name, let_in=False)
    return Slice(table, name, let_in=True) if cedar.FORBID in effects else None
