"""The outbox, for operators: dead letters, what waits and why, and giving an order another try or up."""

from __future__ import annotations

import msgspec

from temper.kernel import Discard, Letter, OrderRow, OrderState, Retry, StoreFault
from temper.runtime import Administers
from temper.service import wire
from temper.service.declined import Declined, bad_query, unavailable
from temper.service.people import Person, must_be_administrator
from temper.service.seen import Sees
from temper.service.space import Space
from temper.service.views import moment

LETTERS_MAX = 200
# Characters of what an operator says of why.
NOTE_MAX = 1_000
# Waiting calls of a tool are counted up to here, so that a look costs the same however many there are.
WAITING_MAX = 1_000
# Later than any call may be due.
_LATEST = 2**62


async def letters(
    space: Space, after: str | None, limit: int, sees: Sees | None = None, *, operates: bool = False
) -> tuple[wire.Letter, ...]:
    """Return dead letters, oldest first, after the one of the order `after`: those of whom the caller may see.

    Whoever `operates` has all of them, and of the others no more than that they are there.
    """

    def look() -> tuple[wire.Letter, ...]:
        found: list[wire.Letter] = []
        at = after
        while len(found) < limit:
            page = space.store.letters(after=at, limit=limit)
            found += [
                shown
                for each in page
                if (shown := _shown(space, each, space.store.order(each.order), sees, operates)) is not None
            ]
            if len(page) < limit:
                break
            at = page[-1].order
        return tuple(found[:limit])

    return await space.reading(look)


def _shown(
    space: Space, letter: Letter | None, row: OrderRow | None, sees: Sees | None, operates: bool
) -> wire.Letter | None:
    """Return what the caller is shown of an order, `None` where that is nothing."""
    found = _letter(letter, row) if letter is not None else _order(row)
    if sees is None:
        return found
    about = {(found.entity, found.id)} | ({(letter.entity, letter.id)} if letter is not None else set())
    now = [space.live.read(*each) for each in about]
    if all(each is not None and sees(each) for each in now):
        return found
    return msgspec.structs.replace(found, text="", args={}, last_error="") if operates else None


async def order(space: Space, id: str, sees: Sees | None = None, *, operates: bool = False) -> wire.Letter:
    """Return an order that has not ended, or a letter. Declines with "not-found" where there is neither."""

    def look() -> wire.Letter | None:
        letter, row = space.store.letter(id), space.store.order(id)
        if letter is None and row is None:
            return None
        return _shown(space, letter, row, sees, operates)

    found = await space.reading(look)
    if found is None:
        raise Declined(
            wire.Problem(
                type="not-found",
                title=f"there is no order `{id[:80]}` that has not ended",
                status=404,
                help=f"`temper letters list {space.name}` lists dead letters",
            )
        )
    return found


async def retry(space: Space, person: Person, id: str, note: str = "") -> wire.Letter:
    """Have an order tried now; `note` says why. Needs an administrator."""
    must_be_administrator(person, "have an order tried again", Administers.LETTERS, space.name)
    _must_be_short(note)
    was = await order(space, id)
    if was.state == "ended":
        raise _conflict(
            "there is nothing to try again", "its order has ended, and nobody had a place for what came", "discard it"
        )
    if was.state == OrderState.STARTED.value:
        raise _conflict("an attempt is under way", f"attempt {was.attempts} of `{was.tool}`", "wait for how it ends")
    await _operate(space, Retry(id, person.caller, note))
    return msgspec.structs.replace(
        was, state=OrderState.WAITING.value, dead=False, next_attempt_at=moment(space.live.now())
    )


async def discard(space: Space, person: Person, id: str, note: str = "") -> wire.Letter:
    """Give an order up, and put its letter away; `note` says why. Needs an administrator."""
    must_be_administrator(person, "give an order up", Administers.LETTERS, space.name)
    _must_be_short(note)
    was = await order(space, id)
    await _operate(space, Discard(id, person.caller, note))
    return msgspec.structs.replace(was, state="ended", dead=False, next_attempt_at=None)


async def tools(space: Space, bound: frozenset[str], sees: Sees | None = None) -> tuple[wire.ToolState, ...]:
    """Return how each tool of the blueprint is being called by this server, and what waits.

    What went wrong last is told of those whom the caller may see.
    """

    def told(row: OrderRow) -> str:
        if not row.last_error or sees is None:
            return row.last_error
        now = space.live.read(row.entity, row.id)
        return row.last_error if now is not None and sees(now) else ""

    def look() -> dict[str, tuple[list[OrderRow], str]]:
        rows = {name: list(space.store.calls(_LATEST, name, WAITING_MAX)) for name in space.table.tools}
        return {name: (each, next(filter(None, map(told, each)), "")) for name, each in rows.items()}

    waiting = await space.reading(look)
    bound |= {name for name, tool in space.table.tools.items() if tool.wasm is not None}
    found = []
    for name, (rows, last_error) in waiting.items():
        working = space.live.pace(name)
        why, until = working.why, working.until
        if name not in bound:
            why = "nothing is bound to it"
        found.append(
            wire.ToolState(
                tool=name,
                bound=name in bound,
                circuit=working.circuit,
                failed=working.failed,
                running=working.running,
                waiting=len(rows),
                next_attempt_at=moment(max(rows[0].next_at, until or 0)) if rows else None,
                why=why,
                until=moment(until) if until is not None else None,
                last_error=last_error,
            )
        )
    return tuple(found)


def _must_be_short(note: str) -> None:
    if len(note) > NOTE_MAX:
        raise bad_query("note", f"has more than {NOTE_MAX:,} characters")


async def _operate(space: Space, ask: Retry | Discard) -> None:
    try:
        done = await space.live.operate(ask)
    except StoreFault as fault:
        raise unavailable(fault.text) from fault
    if not done:
        raise Declined(wire.Problem(type="not-found", title=f"the order `{ask.order}` has ended meanwhile", status=404))


def _letter(letter: Letter, row: OrderRow | None) -> wire.Letter:
    if row is None:
        return wire.Letter(
            order=letter.order, entity=letter.entity, id=letter.id, at=moment(letter.at), text=letter.text,
            state="ended", dead=True,
        )  # fmt: skip
    found = _order(row)
    return msgspec.structs.replace(found, text=letter.text, at=moment(letter.at), dead=True)


def _order(row: OrderRow | None) -> wire.Letter:
    assert row is not None, "there is an order where there is no letter"
    send = row.send
    return wire.Letter(
        order=row.order,
        entity=row.entity,
        id=row.id,
        at=moment(row.created_at),
        text=row.last_error,
        kind=row.kind,
        tool=row.tool or "",
        args=dict(row.args),
        to=send.to if send is not None else "",
        state=row.state.value,
        dead=row.state is OrderState.DEAD,
        attempts=row.attempts,
        last_error=row.last_error,
        next_attempt_at=moment(row.next_at) if row.state is OrderState.WAITING else None,
    )


def _conflict(title: str, detail: str, help: str) -> Declined:
    return Declined(wire.Problem(type="conflict", title=title, status=409, detail=detail, help=help))
