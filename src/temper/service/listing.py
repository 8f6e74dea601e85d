"""Lists: filtered, sorted, paged and counted, with as little looked at as that takes.

The order of creation, of ids, and who is in which state are in the store as it is. Any other order, and the values of
a field that a filter names, are found by a rank, made when it is first asked for. Small kinds are looked through.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import msgspec

from temper.kernel import Order, StoreFault
from temper.runtime import RANKED_FROM, PostgresStore, Rank, Span, SqliteStore, rank_place, ranked_value
from temper.service import wire
from temper.service.declined import unavailable
from temper.service.seen import Sees, seen
from temper.service.space import Space, states_of
from temper.service.views import entity_view
from temper.table import BadValue, Expr, Records, Snapshot, Type, canonical_key, decode, encode, shape
from temper.text import suggest

# A page that filters looks at so many entities, and then says where to go on: no request reads without end.
LOOKED_AT_MAX = 10_000
# Counting what a filter finds, and sorting where no rank can be had, look at all of them up to here.
SORTED_MAX = 200_000
# How long a list waits for a rank that is being made.
MAKING_S = 2.0
CHUNK = 200


@dataclass(frozen=True, slots=True)
class Listing:
    """What is asked for."""

    kind: shape.Entity
    condition: Expr | None
    sort: str | None
    limit: int
    cursor: str | None
    count: bool
    at: int
    sees: Sees | None = None
    """Whom the caller may see; `None`: all."""


Found = tuple[list[Snapshot], str | None]


class _BadList(Exception):
    """A parameter that is wrong."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.error = wire.FieldError(path=path, message=message)


async def list_page(space: Space, asked: Listing) -> wire.Page | wire.FieldError:
    """Return a page of entities, or what is wrong with a parameter. Declines where its order is still being made.

    Others are served meanwhile, also by another version; then it is begun anew.
    """
    while True:
        version = space.version.number
        try:
            field = _field_of(space, asked)
            rank = await _rank(space, asked.kind, field) if field is not None else None
            work = _page(space, asked, rank)
            if space.member is not None:
                return await space.reading(partial(_whole, work))
            while space.version.number == version:
                try:
                    next(work)
                except StopIteration as end:
                    return cast("wire.Page", end.value)
                await asyncio.sleep(0)
        except _BadList as bad:
            return bad.error
        except StoreFault as fault:
            raise unavailable(fault.text) from fault


def _whole(work: Generator[None, None, wire.Page]) -> wire.Page:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return cast("wire.Page", end.value)


def _page(space: Space, asked: Listing, rank: Rank | None) -> Generator[None, None, wire.Page]:
    total = (yield from _count(space, asked, rank)) if asked.count else None
    sort, downwards = _sort(asked)
    if sort == "created_at" and not (rank is not None and _exactly(asked, rank)):
        items, cursor = yield from _by_creation(space, asked, Order.NEWEST if downwards else Order.OLDEST)
    elif sort == "id" and isinstance(space.store, SqliteStore):
        items, cursor = yield from _by_id(space, asked, space.store, downwards=downwards)
    elif rank is not None:
        items, cursor = yield from _by_rank(space, asked, rank, downwards=downwards)
    else:
        items, cursor = yield from _by_looking(space, asked, _sort_key(asked.kind, sort), downwards=downwards)
    return wire.Page(
        items=tuple(entity_view(space.table_of(each.entity, each.id, each), each) for each in items),
        cursor=cursor,
        count=total,
    )


def _sort(asked: Listing) -> tuple[str, bool]:
    return (asked.sort or "created_at").removeprefix("-"), (asked.sort or "").startswith("-")


# --- ranks ------------------------------------------------------------------------------------------------------------


def _field_of(space: Space, asked: Listing) -> str | None:
    """Return by which field a rank helps: the one that it is sorted by, or one that the filter gives a value."""
    sort, _ = _sort(asked)
    if sort == "id":
        # A file has them in that order as it is.
        found = None if isinstance(space.store, SqliteStore) else sort
    elif sort != "created_at":
        key = _sort_key(asked.kind, sort)
        found = sort if _is_ranked(key.type) else None
    else:
        spans = _spans(asked.condition)
        exact = [name for name, span in spans.items() if span.low is not None and span.low == span.high]
        found = exact[0] if exact and sort == "created_at" else None
    return found


_RANKED = frozenset({"bool", "int", "decimal", "string", "time", "duration", "one_of", "principal", "ref"})


def _is_ranked(type_: Type) -> bool:
    return _is_ranked(type_[1]) if type_[0] == "optional" else type_[0] in _RANKED


async def _rank(space: Space, kind: shape.Entity, field: str) -> Rank | None:
    """Return the rank by a field, made when it is not there yet; `None` where all are looked through.

    Declines when that takes long.
    """
    if _is_looked_through(space, kind.name, field):
        return None
    rank = space.rank(kind.name, field)
    if rank is None or rank.upto is not None:
        making = space.making(kind.name, field)
        await asyncio.wait({making}, timeout=MAKING_S)
        if making.done() and not making.cancelled() and (fault := making.exception()) is not None:
            raise unavailable(f"the order by `{field}` can't be made: {fault}")
        if _is_looked_through(space, kind.name, field):
            return None
        rank = space.rank(kind.name, field)
    if rank is None or rank.upto is not None:
        raise unavailable(f"the order by `{field}` is being made, since nobody has asked for it before")
    return rank


def _is_looked_through(space: Space, kind: str, field: str) -> bool:
    """Say whether all are looked through, since an order is not worth it, or can't be had for now."""
    if isinstance(space.store, PostgresStore):
        return space.store.ranks.is_without(kind, field)
    return space.store.count(kind) <= RANKED_FROM


def _spans(condition: Expr | None) -> dict[str, Span]:
    """Return between which values a condition confines fields, as far as it says so outright."""
    spans: dict[str, Span] = {}
    for each in _conjuncts(condition):
        found = _compared(each)
        if found is None:
            continue
        name, op, place = found
        span = spans.get(name, Span())
        if op in ("==", ">=", ">") and (span.low is None or place > span.low):
            span = Span(place, span.high, op != ">", span.high_in)
        if op in ("==", "<=", "<") and (span.high is None or place < span.high):
            span = Span(span.low, place, span.low_in, op != "<")
        spans[name] = span
    return spans


def _conjuncts(condition: Expr | None) -> Iterable[Expr]:
    if condition is None:
        return
    if condition[0] == "and":
        yield from _conjuncts(condition[1])
        yield from _conjuncts(condition[2])
    else:
        yield condition


_TURNED = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _compared(condition: Expr) -> tuple[str, str, bytes] | None:
    """Return a comparison of a field with a value: the field, how, and the value's place in its rank."""
    if condition[0] not in _TURNED:
        return None
    op, left, right = condition
    left, right = _bare(left), _bare(right)
    if left[0] == "lit":
        op, left, right = _TURNED[op], right, left
    if left[0] != "field" or right[0] != "lit":
        return None
    place = rank_place(right[2])
    return None if place is None else (left[1], op, place)


def _bare(expr: Expr) -> Expr:
    """Return what an optional is made of: its values are in the same order."""
    return _bare(expr[1]) if expr[0] == "some" else expr


def _span(asked: Listing, rank: Rank) -> Span:
    return _spans(asked.condition).get(rank.field, Span())


def _exactly(asked: Listing, rank: Rank) -> bool:
    """Say whether the rank has those that the filter finds side by side, and so in the order of their creation."""
    span = _span(asked, rank)
    return span.low is not None and span.low == span.high


# --- pages ------------------------------------------------------------------------------------------------------------


def _by_creation(space: Space, asked: Listing, order: Order) -> Generator[None, None, Found]:
    states = states_of(asked.condition) if asked.condition is not None else ()
    holds = _holds(space, asked)
    items: list[Snapshot] = []
    looked_at, after = 0, asked.cursor
    while True:
        # The store's cursor stands behind its page's last item: a page must not hold more than is still wanted.
        wanted = asked.limit - len(items)
        try:
            page = space.store.list(asked.kind.name, states=states, after=after, limit=wanted, order=order)
        except ValueError:
            raise _BadList("cursor", "is not one that a page gave") from None
        items += [each for each in page.items if holds(each)]
        looked_at, after = looked_at + len(page.items), page.cursor
        if after is None or len(items) >= asked.limit or looked_at >= LOOKED_AT_MAX:
            return items, after
        yield


def _by_id(space: Space, asked: Listing, store: SqliteStore, *, downwards: bool) -> Generator[None, None, Found]:
    key = _sort_key(asked.kind, "id")
    holds = _holds(space, asked)
    read = _read_cursor(space, asked.cursor, key)
    after = None if read is None else read[1]
    items: list[Snapshot] = []
    looked_at = 0
    chunk = min(CHUNK, asked.limit + 1)
    while True:
        found = store.list_by_id(asked.kind.name, after, chunk, downwards=downwards)
        for each in found:
            looked_at, after = looked_at + 1, each.id
            if holds(each):
                items.append(each)
            if len(items) > asked.limit:
                return items[:-1], _write_cursor(items[-2], key, space.table.records)
        if len(found) < chunk:
            return items, None
        if looked_at >= LOOKED_AT_MAX:
            return items, _write_cursor(found[-1], key, space.table.records)
        yield


def _by_rank(space: Space, asked: Listing, rank: Rank, *, downwards: bool) -> Generator[None, None, Found]:
    holds = _holds(space, asked)
    span = _span(asked, rank)
    spot = _read_spot(asked.cursor, rank)
    items: list[Snapshot] = []
    looked_at = 0
    # Where all within the span are found, no more is read than goes on the page, and one to see whether that is all.
    chunk = min(CHUNK, asked.limit + 1)
    while True:
        found = space.store.ranked(rank, span, spot, chunk, downwards=downwards)
        for there, each in found:
            looked_at += 1
            if not holds(each):
                spot = there
                continue
            if len(items) == asked.limit:
                assert spot is not None, "a page has a last item"
                return items, _write_spot(spot, rank)
            items.append(each)
            spot = there
        if len(found) < chunk:
            return items, None
        if looked_at >= LOOKED_AT_MAX:
            assert spot is not None, "something was looked at"
            return items, _write_spot(spot, rank)
        yield


def _write_spot(spot: tuple[bytes, int], rank: Rank) -> str:
    content = msgspec.json.encode([rank.field, spot[0], spot[1], None])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _read_spot(cursor: str | None, rank: Rank) -> tuple[bytes, int] | None:
    if cursor is None:
        return None
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        name, place, row, _ = msgspec.json.decode(content, type=tuple[str, bytes, int, None])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        name, place, row = "", b"", 0
    if name != rank.field or not 0 <= row < 2**63:
        raise _BadList("cursor", f"is not one that a page in the order of `{rank.field}` gave: begin anew without one")
    return place, row


@dataclass(frozen=True, slots=True)
class SortKey:
    """By which value of an entity a list is sorted, and how that is written into a cursor."""

    name: str
    type: Type

    def of(self, now: Snapshot) -> Any:
        """Return the value that an entity has."""
        return now.id if self.name == "id" else ranked_value(now, self.name)


def _sort_key(kind: shape.Entity, name: str) -> SortKey:
    if name == "updated_at":
        return SortKey(name, ("time",))
    if name in ("id", "state"):
        return SortKey(name, ("string",))
    fields = {field.name: field for field in kind.fields}
    if name in fields:
        return SortKey(name, fields[name].type)
    near = suggest(name, [*fields, "created_at", "updated_at", "id", "state"])
    hint = f"; did you mean `{near}`?" if near else ""
    raise _BadList("sort", f"`{name}` is no field of {kind.name}{hint}")


def _by_looking(space: Space, asked: Listing, key: SortKey, *, downwards: bool) -> Generator[None, None, Found]:
    """Sort all that there are; of those with the same value, the older comes first."""
    after = _read_cursor(space, asked.cursor, key)
    matching: list[tuple[Any, int, Snapshot]] = []
    met: int | None = None
    for number, each in enumerate((yield from _matching(space, asked, "sort", "sort")), 1):
        if after is not None and each.id == after[1]:
            met = number
        matching.append((canonical_key(key.of(each)), number, each))
    matching.sort(key=lambda one: one[:2], reverse=downwards)
    if after is not None:
        place = (after[0], met or 0)
        matching = [one for one in matching if (one[:2] < place if downwards else one[:2] > place)]
    chosen = [each for _, _, each in matching[: asked.limit]]
    more = len(matching) > len(chosen)
    return chosen, _write_cursor(chosen[-1], key, space.table.records) if more else None


def _write_cursor(last: Snapshot, key: SortKey, records: Records) -> str:
    content = msgspec.json.encode([key.name, encode(key.type, key.of(last), records), last.id])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _read_cursor(space: Space, cursor: str | None, key: SortKey) -> tuple[Any, str] | None:
    if cursor is None:
        return None
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        name, value, id = msgspec.json.decode(content, type=tuple[str, Any, str])
        if name == key.name:
            return canonical_key(decode(key.type, value, records=space.table.records)), id
    except (binascii.Error, ValueError, msgspec.MsgspecError, BadValue):
        pass
    raise _BadList("cursor", f"is not one that a page sorted by `{key.name}` gave")


# --- counts -----------------------------------------------------------------------------------------------------------


def _count(space: Space, asked: Listing, rank: Rank | None) -> Generator[None, None, int]:
    if asked.sees is not None:  # No count of the store's knows whom the caller may see.
        return len((yield from _matching(space, asked, "count", "look at")))
    if asked.condition is None:
        return space.store.count(asked.kind.name)
    if asked.condition[0] == "in_state":
        return space.store.count(asked.kind.name, states=tuple(asked.condition[1]))
    if rank is not None and all(
        (found := _compared(each)) is not None and found[0] == rank.field for each in _conjuncts(asked.condition)
    ):
        number = space.store.ranked_count(rank, _span(asked, rank), SORTED_MAX)
        if number is not None and number > SORTED_MAX:
            raise _BadList("count", f"there are more than {SORTED_MAX:,}; narrow them by the filter")
        if number is not None:
            return number
    return len((yield from _matching(space, asked, "count", "look at")))


def _matching(space: Space, asked: Listing, path: str, doing: str) -> Generator[None, None, Sequence[Snapshot]]:
    """Return all that the filter finds, oldest first."""
    states = states_of(asked.condition) if asked.condition is not None else ()
    holds = _holds(space, asked)
    matching: list[Snapshot] = []
    looked_at, after = 0, None
    while True:
        page = space.store.list(asked.kind.name, states=states, after=after, limit=CHUNK)
        matching += [each for each in page.items if holds(each)]
        looked_at, after = looked_at + len(page.items), page.cursor
        if after is None:
            return matching
        if looked_at >= SORTED_MAX:
            raise _BadList(
                path, f"there are more than {SORTED_MAX:,} to {doing}; narrow them by a filter on their state"
            )
        yield


def _holds(space: Space, asked: Listing) -> Callable[[Snapshot], bool]:
    """Return what says whether an entity is on the list: the caller may see it, and the filter lets it through."""
    sees = asked.sees
    if asked.condition is None:
        return sees or (lambda _: True)
    world = seen(space.live.world(), sees)
    predicate = space.compiled.predicate(asked.kind.name, asked.condition, asked.at, world)
    if sees is None:
        return predicate
    # First, so that a filter never looks at one that the caller may not see.
    return lambda now: sees(now) and predicate(now)
