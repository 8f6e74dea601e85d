"""Whether all who live have a place in another table, asked while they go on living.

Whoever swaps goes through pages of them, as slowly as it likes; then through what has changed meanwhile, again and
again, while that becomes less (`catch_up`). Where as much changes as can be asked, it lets others decide between two
steps of `close_in`, each of which asks more than has come since the last, until little is left; and at the swap itself
it goes through that little, with nobody deciding between.

Where the table has entities found by something else, an index of all of their kinds is made in the same pages, beside
the one in force; who comes to hold there what another holds has no place. The swap puts it in force.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from temper.kernel.indexing import KEY, Clash, Index, Indexed
from temper.kernel.ports import Place, Store, Stranded, TableVersion
from temper.kernel.stored import Codec
from temper.table import Snapshot, Table, moving

_Name = tuple[str, str]

# So many of those who stand in the way are named, and asked again before it is said: they may have moved on. With more,
# the rest is not asked before a swap.
STRANDED_MAX = 1_000
# Entries that may be left for the swap itself, or for one step towards it: asking takes some ten milliseconds.
NEAR = 256


@dataclass(slots=True)
class Fate:
    """What becomes of those in one state: how many there are, what of theirs goes on, and how many have no place."""

    becomes: str
    entities: int = 0
    calls: int = 0
    timers: int = 0
    deferred: int = 0
    stranded: int = 0


class _Waiting(Struct, frozen=True):
    """Who was asked, and waits to be put in the index. `first`: it was not asked before."""

    entity: str
    id: str
    state: str
    living: bool
    first: bool
    indexed: Indexed


class _Holder(Struct, frozen=True):
    """Who has what another was to be given."""

    id: str
    state: str
    living: bool


class Examination:
    """One candidate, and what is known of those who live. Made by `Host.examine`."""

    def __init__(
        self, codec: Codec, store: Store, table: Table, version: TableVersion, *, lasting: bool = True
    ) -> None:
        self.table = table
        self.version = version
        self.old = codec
        self.new = Codec(table)
        self.moving = moving(codec.table, table, version.number - 1)
        self.since: Place = store.place()
        """What it knows is so up to here."""
        self.touched = 0
        """How many of those examined will be rewritten."""
        self.fates: dict[tuple[str, str], Fate] = {}
        """Of those who were examined page by page, by kind and state."""
        self._indexed_kinds = frozenset(
            kind
            for kind in self.moving.indexed
            if table.entities[kind].key or table.entities[kind].uniques or self.new.is_watched(kind)
        )
        self._kinds = frozenset(kind for kind, _ in self.moving.asked) | self._indexed_kinds
        self._store = store
        self._index: Index | None = None
        if self.moving.indexed:
            self._index = store.indexing(self.moving.indexed, lasting=lasting)
        self._after: int | None = 0 if self._kinds else None
        self.overfull = False
        """Whether more have no place than are named: then nothing that changes makes it fit."""
        self._come: int | None = None
        self._stranded: dict[_Name, Stranded] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._gone: list[tuple[str, int]] = []
        self._clashes: list[tuple[_Waiting, Clash]] = []
        self._late: set[_Name] = set()
        """Who was not put in for another that has let go of it since, or may yet."""

    @property
    def index(self) -> str | None:
        """The index that was made for the table, where it has entities found by something else."""
        return None if self._index is None else self._index.name

    @property
    def stranded(self) -> tuple[Stranded, ...]:
        """Those who have no place, so far as is known; so many of them as are named."""
        return tuple(self._stranded.values())

    def behind(self) -> int:
        """How many entries have come that it has not looked at."""
        return sum(self._store.place()) - sum(self.since)

    def page(self, limit: int = 256) -> bool:
        """Ask some more; say whether there may be others still. `settle` is to follow."""
        self.judge()
        if self._after is None:
            return False
        if not self._indexed_kinds:
            living, self._after = self._store.living(self.moving.asked, after=self._after, limit=limit)
            for now in living:
                self._take(now, first=True)
        else:
            found, self._after = self._store.all_of(self._kinds, after=self._after, limit=limit)
            for row, now in found:
                self._take(now, row, first=True)
        return self._after is not None

    def catch_up(self, limit: int = NEAR) -> bool:
        """Ask those again of whom the next entries speak; say whether there may be more of them.

        `settle` is to follow.
        """
        self.judge()
        names, since = self._store.changed(self.since, limit)
        for entity, id in dict.fromkeys(names):
            if entity in self._kinds:
                self._ask_again(entity, id)
        more, self.since = since != self.since, since
        return more

    def settle(self) -> None:
        """Put those in the index who were asked, in the thread that appends. Raises `StoreFault`."""
        if self._index is None:
            return
        put, self._waiting = self._waiting, {}
        gone, self._gone = self._gone, []
        clashes = self._index.put([one.indexed for one in put.values()], gone)
        self._clashes += [(put[clash.row], clash) for clash in clashes]

    def drop(self) -> None:
        """Give up what was made for the table, in the thread that appends. Raises `StoreFault`."""
        if self._index is not None:
            self._index.drop()

    def close_in(self) -> bool:
        """Catch up with twice as much as has come since the last time, and some; say whether little is left.

        It is for the thread that appends.
        """
        come = sum(self._store.place())
        self.settle()
        self.catch_up(NEAR + (0 if self._come is None else 2 * (come - self._come)))
        self.settle()
        self._come = come
        return self.behind() <= NEAR

    def whole(self) -> tuple[Stranded, ...]:
        """Ask all that is left, in the thread that appends, and return those who have no place."""
        self.settle()
        while not self.overfull and self.page():
            self.settle()
        self.settle()
        if self.overfull:
            return self.stranded
        while self.catch_up():
            self.settle()
        for entity, id in dict.fromkeys([*self._stranded, *sorted(self._late)]):
            self._ask_again(entity, id)
        self.settle()
        self.judge()
        return self.stranded

    def _ask_again(self, entity: str, id: str) -> None:
        name = (entity, id)
        self._stranded.pop(name, None)
        self._late.discard(name)
        now = self._store.snapshot(entity, id)
        if now is None:
            return
        row = self._store.row(entity, id) if entity in self._indexed_kinds else None
        if row is not None:
            self._gone.append((entity, row))
        self._take(now, row)

    def _take(self, now: Snapshot, row: int | None = None, *, first: bool = False) -> None:
        """Ask one, and have it put in the index where it is to be found by something else."""
        living = self._lives(now)
        after = self._ask(now) if living else None
        if living and first:
            self.touched += self._touches(now, after)
            self._count(now, stranded=after is None)
        if row is None or now.entity not in self._indexed_kinds:
            return
        self._waiting.pop(row, None)
        if not living:
            after = self._carried(now)
        if after is not None:
            self._waiting[row] = _Waiting(now.entity, now.id, now.state, living, first, self._indexed(row, after))

    def _indexed(self, row: int, after: Snapshot) -> Indexed:
        return Indexed(
            row,
            after.entity,
            after.id,
            self.new.key(after),
            tuple(self.new.uniques(after).items()),
            tuple(sorted(self.new.references(after))) if self.new.is_watched(after.entity) else (),
        )

    def _count(self, now: Snapshot, *, stranded: bool) -> None:
        name = (now.entity, now.state)
        fate = self.fates.get(name)
        if fate is None:
            fate = self.fates[name] = Fate(self.moving.state(*name))
        fate.entities += 1
        fate.calls += sum(not call.ended for call in now.calls)
        fate.timers += sum(armed.due is not None for armed in now.timers)
        fate.deferred += len(now.deferred)
        fate.stranded += stranded

    def _touches(self, now: Snapshot, after: Snapshot | None) -> bool:
        if (now.entity, now.state) not in self.moving.touched:
            return False
        # In a state of both, a canary's and the others are told apart by what becomes of them.
        return self.old.candidate is None or after != now

    def _ask(self, now: Snapshot) -> Snapshot | None:
        """Return what becomes of one; `None` where it has no place."""
        after = self.new.carried(self.old, now, from_version=self.version.number - 1, at=self.version.at)
        if isinstance(after, Snapshot):
            return after
        self._strand(Stranded(now.entity, now.id, now.state, after))
        return None

    def _strand(self, one: Stranded) -> None:
        if len(self._stranded) < STRANDED_MAX:
            self._stranded[one.entity, one.id] = one
        else:
            self.overfull = True

    def _carried(self, now: Snapshot) -> Snapshot | None:
        after = self.new.carried(self.old, now, from_version=self.version.number - 1)
        return after if isinstance(after, Snapshot) else None

    def judge(self) -> None:
        """Find out who can't live beside others, of those who were not given what they are to hold.

        Of two who are both final, the first has it: there is nothing that anybody could do about them.
        """
        clashes, self._clashes = self._clashes, []
        held: dict[tuple[int, int], _Holder | None] = {}
        reasons: dict[_Name, tuple[str, bool, list[str]]] = {}
        for one, clash in clashes:
            place = (clash.holder, clash.number)
            if place not in held:
                held[place] = self._holder(one, clash)
            holder = held[place]
            if holder is None:
                self._late.add((one.entity, one.id))
                continue
            if one.living:
                id, state, first, other = one.id, one.state, one.first, holder.id
            elif holder.living:
                id, state, first, other = holder.id, holder.state, False, one.id
                # Whoever is asked again because of it is asked before who clashes with them.
                self._late.add((one.entity, one.id))
            else:
                continue
            what = "which is its `key`" if clash.number == KEY else "which is unique"
            text = f"`{other}` has the same {self._names(one.entity, clash.number)}, {what}"
            texts = reasons.setdefault((one.entity, id), (state, first, []))[2]
            if text not in texts:
                texts.append(text)
        for (entity, id), (state, first, texts) in reasons.items():
            self._strand(Stranded(entity, id, state, tuple(texts)))
            if first:
                self.fates[entity, state].stranded += 1
        self.overfull = self.overfull or len(self._late) > STRANDED_MAX

    def _holder(self, one: _Waiting, clash: Clash) -> _Holder | None:
        """Return who has what another was to be given; `None` where they have it no more.

        Then they have changed since they were put in, and that is yet to be caught up with.
        """
        found, _ = self._store.all_of({one.entity}, after=clash.holder - 1, limit=1)
        now = found[0][1]
        after = self._carried(now)
        if after is None:
            return None
        mine, other = one.indexed, self._indexed(clash.holder, after)
        if clash.number == KEY:
            same = other.key == mine.key
        else:
            same = dict(other.uniques).get(clash.number) == dict(mine.uniques)[clash.number]
        return _Holder(now.id, now.state, self._lives(now)) if same else None

    def _lives(self, now: Snapshot) -> bool:
        return self.old.is_live(now) and (now.entity, now.state) in self.moving.asked

    def _names(self, kind: str, number: int) -> str:
        entity = self.table.entities[kind]
        return ", ".join(f"`{name}`" for name in (entity.key if number == KEY else entity.uniques[number].fields))
