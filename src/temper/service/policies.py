"""What a blueprint's policies let a person see and do, as the verbs ask it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from temper.kernel import Facts, StoreFault
from temper.runtime import Gate, Ruling, cedar_schema, generated, schema_text, whole_text
from temper.service import wire
from temper.service.findings import site_place
from temper.service.people import Person
from temper.service.seen import Sees
from temper.service.space import Space
from temper.table import Act, Caller, Possible, Refused, Snapshot, Table, Why, World, cedar

# Of the policies that are asked about an action, as many are shown besides those that decide.
SHOWN_MAX = 20


def policies_view(table: Table, version: int | None = None) -> wire.PoliciesView:
    """Return all of who may, by a table: what its blueprint comes to, and what its files say."""
    of_blueprint = tuple(
        wire.PolicyView(
            id=each.id,
            effect="forbid" if each.text.startswith("forbid") else "permit",
            origin="blueprint",
            text=each.text,
            actions=each.covers,
            note=each.note,
        )
        for each in generated(table)
    )
    of_files = tuple(
        wire.PolicyView(
            id=each.id,
            effect=each.effect,
            origin="file",
            text=each.text,
            actions=actions,
            otherwise=each.otherwise or "",
            place=site_place(table, each.site),
        )
        for each, actions in cedar.spoken_of(table)
    )
    return wire.PoliciesView(
        blueprint=table.blueprint,
        text=whole_text(table),
        policies=(*of_blueprint, *of_files),
        schema_text=schema_text(table),
        schema=cedar_schema(table),
        version=version,
    )


def visible(gate: Gate, person: Person, space: Space, at: int, within: Sees | None) -> Sees | None:
    """Return what says whom the person may see, `within` a bound; `None` where that is everybody.

    It asks the policies in force when it is asked: one that is kept goes with a swap.
    """
    if within is None and not space.table.policies:
        return None

    def seen(now: Snapshot) -> bool:
        if within is not None and not within(now):
            return False
        table = space.table
        return not gate.narrows_reading(table, now.entity) or gate.may_read(
            table, person.caller, person.facts, now, at, space.live.world()
        )

    return seen


def possibly(
    gate: Gate,
    table: Table,
    caller: Caller,
    facts: Facts,
    now: Snapshot | None,
    at: int,
    world: World,
    each: Iterable[Possible],
) -> tuple[Possible, ...]:
    """Return actions as they are possible where the policies have been asked too.

    What they say of the parameters is not known yet: where they look at any, it depends on those.
    """
    if not table.policies:
        return tuple(each)

    def asked(one: Possible) -> Possible:
        if one.status == "no" or not gate.asks(table, one.entity, one.action):
            return one
        looked_at = gate.looks_at(table, one.entity, one.action)
        on = tuple(param.name for param in one.params if param.name in looked_at)
        if on:
            return replace(one, status="depends", on=tuple(dict.fromkeys((*one.on, *on))))
        event = Act("possible", at, one.action, {}, caller, one.entity, now.id if now is not None else "")
        ruling = gate.ruling(table, now, event, facts, world)
        return one if ruling.allowed else replace(one, status="no", refused=forbidden(ruling, one.action), on=())

    return tuple(map(asked, each))


def forbidden(ruling: Ruling, action: str) -> Refused:
    """Return the refusal of an action that policies forbid."""
    return Refused(Why.FORBIDDEN, ruling.text, ruling.site, action, ruling.ids)


def policy_clauses(
    gate: Gate, person: Person, space: Space, now: Snapshot | None, event: Act
) -> tuple[wire.Clause, ...]:
    """Return the policies that are asked about an action, each with whether it lets this request pass."""
    table = space.table
    asked = gate.asked(table, event.entity, event.action)
    if not asked:
        return ()
    try:
        ruling = gate.ruling(table, now, event, person.facts, space.live.world())
    except StoreFault:
        ruling = None
    against = frozenset(ruling.ids) if ruling is not None else frozenset()
    errs = {policy.id for policy, _ in ruling.erring} if ruling is not None else set()
    told = sorted(asked, key=lambda policy: policy.id not in against)[: max(SHOWN_MAX, len(against))]
    return tuple(
        wire.Clause(
            kind="policy",
            text=f"{policy.effect} `{policy.id}`" + (" can't be evaluated" if policy.id in errs else ""),
            holds=None if ruling is None else policy.id not in against,
            place=site_place(table, policy.site),
        )
        for policy in told
    )
