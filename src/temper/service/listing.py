"""Lists: filtered, sorted, paged and counted."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from temper.kernel import Order
from temper.service import wire
from temper.service.space import Space, states_of
from temper.service.views import entity_view
from temper.table import BadValue, Expr, Records, Snapshot, Type, Value, canonical_key, decode, encode, shape
from temper.text import suggest

# A page that filters looks at so many entities, and then says where to go on: no request reads without end.
LOOKED_AT_MAX = 10_000
# Sorting by anything but the time of creation, and counting what a filter finds, look at all of them up to here.
SORTED_MAX = 200_000
CHUNK = 500


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


def list_page(space: Space, asked: Listing) -> wire.Page | wire.FieldError:
    """Return a page of entities, or what is wrong with a parameter."""
    total = _count(space, asked) if asked.count else None
    if isinstance(total, wire.FieldError):
        return total
    sort, downwards = (asked.sort or "created_at").removeprefix("-"), (asked.sort or "").startswith("-")
    if sort == "created_at":
        page = _by_creation(space, asked, Order.NEWEST if downwards else Order.OLDEST)
    else:
        key = _sort_key(space, asked.kind, sort)
        if isinstance(key, wire.FieldError):
            return key
        page = _by_key(space, asked, key, downwards=downwards)
    if isinstance(page, wire.FieldError):
        return page
    items, cursor = page
    return wire.Page(items=tuple(entity_view(space.table, each) for each in items), cursor=cursor, count=total)


Found = tuple[list[Snapshot], str | None]


def _by_creation(space: Space, asked: Listing, order: Order) -> Found | wire.FieldError:
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
            return wire.FieldError(path="cursor", message="is not one that a page gave")
        items += [each for each in page.items if holds(each)]
        looked_at, after = looked_at + len(page.items), page.cursor
        if after is None or len(items) >= asked.limit or looked_at >= LOOKED_AT_MAX:
            return items, after


@dataclass(frozen=True, slots=True)
class SortKey:
    """How a value is found in an entity, put in order, and written into a cursor."""

    name: str
    type: Type
    of: Callable[[Snapshot], Value]


def _sort_key(space: Space, kind: shape.Entity, name: str) -> SortKey | wire.FieldError:
    if name == "updated_at":
        return SortKey(name, ("time",), lambda each: each.updated_at)
    if name == "id":
        return SortKey(name, ("string",), lambda each: each.id)
    if name == "state":
        return SortKey(name, ("string",), lambda each: each.state)
    fields = {field.name: field for field in kind.fields}
    if name in fields:
        return SortKey(name, fields[name].type, lambda each: each.fields[name])
    near = suggest(name, [*fields, "created_at", "updated_at", "id", "state"])
    hint = f"; did you mean `{near}`?" if near else ""
    return wire.FieldError(path="sort", message=f"`{name}` is no field of {kind.name}{hint}")


def _by_key(space: Space, asked: Listing, key: SortKey, *, downwards: bool) -> Found | wire.FieldError:
    after = _read_cursor(space, asked.cursor, key)
    if isinstance(after, wire.FieldError):
        return after
    matching: list[tuple[Any, Snapshot]] = []
    for each in _matching(space, asked):
        if each is None:
            return wire.FieldError(
                path="sort",
                message=f"there are more than {SORTED_MAX:,} to sort; narrow them by a filter on their state",
            )
        place = (canonical_key(key.of(each)), each.id)
        if after is None or ((place < after) if downwards else (place > after)):
            matching.append((place, each))
    pick = heapq.nlargest if downwards else heapq.nsmallest
    chosen = [each for _, each in pick(asked.limit, matching, key=lambda pair: pair[0])]
    more = len(matching) > len(chosen)
    return chosen, _write_cursor(chosen[-1], key, space.table.records) if more else None


def _write_cursor(last: Snapshot, key: SortKey, records: Records) -> str:
    content = msgspec.json.encode([key.name, encode(key.type, key.of(last), records), last.id])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _read_cursor(space: Space, cursor: str | None, key: SortKey) -> tuple[Any, str] | wire.FieldError | None:
    if cursor is None:
        return None
    wrong = wire.FieldError(path="cursor", message=f"is not one that a page sorted by `{key.name}` gave")
    try:
        content = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        name, value, id = msgspec.json.decode(content, type=tuple[str, Any, str])
        if name != key.name:
            return wrong
        return canonical_key(decode(key.type, value, records=space.table.records)), id
    except (binascii.Error, ValueError, msgspec.MsgspecError, BadValue):
        return wrong


def _count(space: Space, asked: Listing) -> int | wire.FieldError:
    if asked.condition is None:
        return space.store.count(asked.kind.name)
    if asked.condition[0] == "in_state":
        return space.store.count(asked.kind.name, states=tuple(asked.condition[1]))
    number = 0
    for each in _matching(space, asked):
        if each is None:
            return wire.FieldError(
                path="count",
                message=f"there are more than {SORTED_MAX:,} to look at; narrow them by a filter on their state",
            )
        number += 1
    return number


def _matching(space: Space, asked: Listing) -> Iterator[Snapshot | None]:
    """Yield all that the filter finds; `None`, as the last, when there were too many to look at."""
    states = states_of(asked.condition) if asked.condition is not None else ()
    holds = _holds(space, asked)
    looked_at, after = 0, None
    while True:
        page = space.store.list(asked.kind.name, states=states, after=after, limit=CHUNK)
        yield from (each for each in page.items if holds(each))
        looked_at, after = looked_at + len(page.items), page.cursor
        if after is None:
            return
        if looked_at >= SORTED_MAX:
            yield None
            return


def _holds(space: Space, asked: Listing) -> Callable[[Snapshot], bool]:
    if asked.condition is None:
        return lambda _: True
    return space.compiled.predicate(asked.kind.name, asked.condition, asked.at, space.live.world())
