"""What happened, as the journal's entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from temper.kernel.journal import Cause, Consented, Ended, Entry, Moved, No, Operated, Ordered, Published, Who
from temper.kernel.ports import Letter, OrderRow
from temper.kernel.stored import Codec, Step, who
from temper.table import (
    Accepted,
    Act,
    Caller,
    CallOrder,
    Deliver,
    Event,
    Fire,
    Move,
    Offer,
    Outcome,
    Refused,
    SendOrder,
    Snapshot,
)

NEW = "new"
# Of entries that tell of orders.
_FORMAT = 2
_OPERATOR = Who("operator")
NOBODY = Who("system")
"""Whoever a refused timer or outcome would have acted for is not known: nothing says so before it is taken."""


def accepted(
    codec: Codec,
    before: Snapshot | None,
    event: Event,
    done: Accepted,
    caused_by: str | None,
    told: Mapping[str, Any] | None = None,
) -> Entry:
    """Return the entry of an event that was taken in; `caused_by` is the event that created it, or took it along.

    `told` are the fields as the journal has them, where that may be other than what they were before.
    """
    after = done.after
    old: dict[str, Any] = {}
    if before is None:
        new = codec.fields(after.entity, after.fields)
    elif told is not None:
        new, old = _differences(told, codec.fields(after.entity, after.fields))
    else:
        new, old = codec.changed(after.entity, before.fields, after.fields)
    first = done.moves[0] if done.moves else None
    plain = first is not None and caused_by is None and not done.orders and not done.emitted
    if plain and first is not None and type(event) is Act and event.consent is None:
        # What is below, for what is recorded most: in less time.
        return Entry(
            at=event.at,
            entity=after.entity,
            id=after.id,
            version=after.version,
            digest=codec.digest,
            cause=Cause.REQUEST,
            event=event.id,
            how=done.how.value,
            action=first.action,
            params=codec.params(after.entity, first.action, first.params),
            actor=done.actor,
            by=who(done.caller),
            before=NEW if before is None else before.state,
            after=after.state,
            moves=tuple([_moved(codec, after.entity, move, move is first) for move in done.moves]),
            set=new,
            was=old,
        )
    return Entry(
        format=_FORMAT if done.orders or _is_of_order(event) else 1,
        at=event.at,
        entity=after.entity,
        id=after.id,
        version=after.version,
        digest=codec.digest,
        cause=_cause(event) if caused_by is None else Cause.CREATE if before is None else Cause.WITH,
        event=event_id(event),
        caused_by=caused_by,
        how=done.how.value,
        action=first.action if first else _asked(event),
        params=codec.params(after.entity, first.action, first.params) if first else _params(codec, after.entity, event),
        actor=done.actor,
        by=who(done.caller),
        before=NEW if before is None else before.state,
        after=after.state,
        moves=tuple([_moved(codec, after.entity, move, move is first) for move in done.moves]),
        set=new,
        was=old,
        orders=tuple([_ordered(codec, order) for order in done.orders]) if done.orders else (),
        emitted=tuple([Published(one.event, codec.published(one.event, one.params)) for one in done.emitted])
        if done.emitted
        else (),
        ended=_ended(codec, before, event),
        timer=event.timer if isinstance(event, Fire) else None,
        late=done.late,
        consent=_consented(event) if caused_by is None else None,
    )


def refused(codec: Codec, now: Snapshot | None, entity: str, id: str, event: Event, no: Refused) -> Entry:
    """Return the entry of an event that was refused."""
    state = NEW if now is None else now.state
    return Entry(
        format=_FORMAT if _is_of_order(event) else 1,
        at=event.at,
        entity=entity,
        id=id,
        version=0 if now is None else now.version,
        digest=codec.digest,
        cause=_cause(event),
        event=event_id(event),
        how="refused",
        action=no.action or _asked(event),
        params=_params(codec, entity, event),
        by=_by(now, event),
        before=state,
        after=state,
        ended=_ended(codec, now, event),
        timer=event.timer if isinstance(event, Fire) else None,
        refused=No(no.why.value, no.text, no.site, no.policies),
        consent=_consented(event),
    )


def _consented(event: Event) -> Consented | None:
    consent = event.consent if isinstance(event, Act) else None
    return None if consent is None else Consented(consent.decision, who(consent.asked), who(consent.by))


def swapped(step: Step, at: int) -> Entry:
    """Return the entry of an entity that another table changed."""
    before, after, new = step.before, step.after, step.new
    changed, was = _differences(step.old.fields(before.entity, before.fields), new.fields(after.entity, after.fields))
    return Entry(
        at=at,
        entity=after.entity,
        id=after.id,
        version=after.version,
        digest=new.digest,
        cause=Cause.SWAP,
        event=f"v{step.number}",
        how="taken",
        actor="system",
        by=Who(step.by),
        before=before.state,
        after=after.state,
        set=changed,
        was=was,
    )


def operated(
    codec: Codec, now: Snapshot, at: int, how: str, by: Caller | None, order: OrderRow | Letter, note: str
) -> Entry:
    """Return the entry of an operator who has done something about an order of `now`."""
    return Entry(
        format=_FORMAT,
        at=at,
        entity=now.entity,
        id=now.id,
        version=now.version,
        digest=codec.digest,
        cause=Cause.OPERATOR,
        event=order.order,
        how=how,
        by=_OPERATOR if by is None else who(by),
        before=now.state,
        after=now.state,
        operated=Operated(order.order, *_what(order), note),
    )


def _what(order: OrderRow | Letter) -> tuple[str, str, str]:
    if isinstance(order, Letter):
        return "", "", order.text
    send = order.send
    to = order.tool or "" if send is None else send.to
    return order.kind, to, order.last_error


def _is_of_order(event: Event) -> bool:
    return not isinstance(event, Act | Fire)


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that differ: their new values, and their old ones; one that is gone has an old one alone."""
    return (
        {name: value for name, value in now.items() if name not in was or was[name] != value},
        {name: value for name, value in was.items() if name not in now or now[name] != value},
    )


def _moved(codec: Codec, entity: str, move: Move, first: bool) -> Moved:
    return Moved(
        action=move.action,
        before=move.before,
        after=move.after,
        site=move.case,
        # The first move's are the entry's own.
        params={} if first else codec.params(entity, move.action, move.params),
        entered=move.entered,
    )


def _cause(event: Event) -> Cause:
    match event:
        case Act():
            return Cause.REQUEST
        case Outcome():
            return Cause.OUTCOME
        case Fire():
            return Cause.TIMER
        case Deliver():
            return Cause.SEND
        case Offer():
            return Cause.OFFER
        case _:
            assert_never(event)


def event_id(event: Event) -> str:
    return event.order if isinstance(event, (Outcome, Deliver)) else event.id


def _asked(event: Event) -> str | None:
    return event.action if isinstance(event, (Act, Deliver)) else None


def _params(codec: Codec, entity: str, event: Event) -> dict[str, Any]:
    if not isinstance(event, (Act, Deliver)):
        return {}
    try:
        return codec.params(entity, event.action, event.params)
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        # They were refused for not being of their types: they have no spelling.
        return {}


def _by(now: Snapshot | None, event: Event) -> Who:
    caller: Caller | None = None
    match event:
        case Act() | Deliver():
            caller = event.caller
        case Outcome() if now:
            caller = next((call.caller for call in now.calls if call.order == event.order), None)
        case Fire() if now:
            caller = next((armed.caller for armed in now.timers if armed.timer == event.timer), None)
        case Offer() if now:
            caller = next((kept.caller for kept in now.deferred if kept.id == event.deferred), None)
        case _:
            pass
    return who(caller) if caller else NOBODY


def _ordered(codec: Codec, order: CallOrder | SendOrder) -> Ordered:
    match order:
        case CallOrder(pending):
            args = codec.args(pending.tool, pending.args)
            return Ordered(order=pending.order, kind="call", to=pending.tool, args=args, site=pending.site)
        case SendOrder():
            return Ordered(
                order=order.order,
                kind="send",
                to=order.to,
                args=codec.params(order.entity, order.action, order.params),
                site=order.site,
            )
        case _:
            assert_never(order)


def _ended(codec: Codec, before: Snapshot | None, event: Event) -> Ended | None:
    if not isinstance(event, Outcome):
        return None
    pending = next((call for call in before.calls if call.order == event.order), None) if before else None
    if pending is None:
        return None
    results: Mapping[str, Any] = codec.results(pending.tool, event.results) if event.results else {}
    return Ended(
        order=event.order,
        tool=pending.tool,
        ending=event.ending.value,
        number=int(pending.ended),
        results=dict(results),
        error_kind=event.error_kind,
        error_text=event.error_text,
    )
