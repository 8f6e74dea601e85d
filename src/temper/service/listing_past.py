"""Lists of what was: entities as they were after an entry, or at a time, filtered by the blueprint of then.

No order and no count is kept of what was. A page looks at so many entities, in the order of their creation, each found
in its own history from the mark before; its cursor says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from temper.kernel import Codec, Folded, Order, StoredEntity, past, seq_at
from temper.service import wire
from temper.service.declined import bad_query
from temper.service.seen import Sees
from temper.service.space import BadExpression, Compiled, Space, version_table
from temper.service.views import past_view
from temper.table import Snapshot

# A page looks at so many, and a count at no more.
LOOKED_AT_MAX = 1_000
_CHUNK = 100


@dataclass(frozen=True, slots=True)
class PastListing:
    """What is asked for: as it was after the entry `seq`, or at that time."""

    kind: str
    seq: int
    time: int | None
    filter: str | None
    sort: str | None
    limit: int
    cursor: str | None
    count: bool
    now: int
    sees: Sees | None = None
    """Whom the caller may see now; `None`: all."""


class _NotKnown(Exception):
    """Who referred to whom is not known of what was."""


@dataclass
class _Then:
    """The space as it was: what a filter reads of others."""

    space: Space
    asked: PastListing
    codecs: dict[int, Codec] = field(default_factory=dict)
    compiled: dict[tuple[int, bool], Compiled] = field(default_factory=dict)

    def folded(self, kind: str, id: str) -> Folded | None:
        """Return one as its entries had made it by then."""
        store, asked = self.space.store, self.asked
        seq = asked.seq if asked.time is None else seq_at(store, kind, id, time=asked.time)
        return past(store, kind, id, at=seq)

    def codec(self, kind: str, id: str, was: Folded) -> tuple[int, Codec]:
        """Return the version that decided what it was, and the codec by which it lived."""
        number = self.space.number_of(was.digest)
        assert number is not None, "an entry was decided by a version that is there"
        if number not in self.codecs:
            version = next(one for one in self.space.store.versions() if one.number == number)
            self.codecs[number] = Codec(version_table(version))
        return number, self.codecs[number].of(kind, id, was.created_at)

    def decoded(self, kind: str, id: str, was: Folded) -> Snapshot:
        """Return it as an expression reads it."""
        stored = StoredEntity(
            state=was.state, version=was.version, visit=0, created_at=was.created_at, updated_at=was.updated_at,
            fields=was.fields,
        )  # fmt: skip
        return self.codec(kind, id, was)[1].decoded(kind, id, stored)

    def snapshot(self, entity: str, id: str) -> Snapshot | None:
        """Return another, if the caller may see it."""
        now = self.space.live.read(entity, id)
        if now is None or (self.asked.sees is not None and not self.asked.sees(now)):
            return None
        was = self.folded(entity, id)
        return None if was is None else self.decoded(entity, id, was)

    def referrers(self, entity: str, field: str, id: str, limit: int) -> Sequence[str]:
        """Raise: the journal does not say it without all of it being read."""
        raise _NotKnown

    def holds(self, id: str, was: Folded) -> bool:
        """Say whether the filter lets one through, by the blueprint of then."""
        asked = self.asked
        if asked.filter is None:
            return True
        number, codec = self.codec(asked.kind, id, was)
        name = number, codec is self.codecs[number]
        compiled = self.compiled.setdefault(name, Compiled(codec.table, number))
        try:
            condition = compiled.condition(asked.kind, asked.filter)
        except BadExpression as bad:
            text = f"does not fit version {number} of the blueprint, by which {asked.kind} `{id}` lived then"
            raise bad_query("filter", text, bad.findings) from bad
        at = asked.now if asked.time is None else asked.time
        try:
            return compiled.predicate(asked.kind, condition, at, self)(self.decoded(asked.kind, id, was))
        except _NotKnown:
            raise bad_query("filter", "asks who refers to an entity, which is not known of what was") from None


def past_page(space: Space, asked: PastListing) -> wire.PastPage:
    """Return a page of what was. Declines with "bad-request" where it can't be had, and says what can."""
    if asked.time is None and space.member is not None and space.member.database.parts > 1:
        raise bad_query("at", "has to be a time: each partition numbers its entries for itself")
    if asked.sort not in (None, "created_at", "-created_at"):
        raise bad_query(
            "sort", "is `created_at` or `-created_at` where `at` is given: no other order is kept of what was"
        )
    order = Order.NEWEST if asked.sort == "-created_at" else Order.OLDEST
    then = _Then(space, asked)
    count = _counted(space, then, order) if asked.count else None
    items: list[wire.PastEntity] = []
    after, looked_at = asked.cursor, 0
    while True:
        wanted = min(_CHUNK, asked.limit - len(items))
        try:
            page = space.store.list(asked.kind, after=after, limit=wanted, order=order)
        except ValueError:
            raise bad_query("cursor", "is not one that a page gave") from None
        items += [view for now in page.items if (view := _was(then, now)) is not None]
        looked_at, after = looked_at + len(page.items), page.cursor
        if after is None or len(items) >= asked.limit or looked_at >= LOOKED_AT_MAX:
            return wire.PastPage(items=tuple(items), cursor=after, count=count)


def _was(then: _Then, now: Snapshot) -> wire.PastEntity | None:
    asked = then.asked
    if asked.sees is not None and not asked.sees(now):
        return None
    if asked.time is not None and now.created_at > asked.time:
        return None
    was = then.folded(asked.kind, now.id)
    if was is None or not then.holds(now.id, was):
        return None
    return past_view(asked.kind, now.id, was, then.space.number_of(was.digest))


def _counted(space: Space, then: _Then, order: Order) -> int:
    kind = then.asked.kind
    there = space.store.count(kind)
    if there > LOOKED_AT_MAX:
        text = f"is of {LOOKED_AT_MAX:,} entities at most where `at` is given, and there are {there:,}"
        raise bad_query("count", f"{text}: page through them, or import an export of then")
    found = space.store.list(kind, limit=LOOKED_AT_MAX, order=order).items
    return sum(_was(then, now) is not None for now in found)
