"""Whether all who live have a place in another table, asked while they go on living.

Whoever swaps goes through pages of them, as slowly as it likes; then through what has changed meanwhile, again and
again, while that becomes less (`catch_up`). Where as much changes as can be asked, it lets others decide between two
steps of `close_in`, each of which asks more than has come since the last, until little is left; and at the swap itself
it goes through that little, with nobody deciding between.
"""

from __future__ import annotations

from dataclasses import dataclass

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


class Examination:
    """One candidate, and what is known of those who live. Made by `Host.examine`."""

    def __init__(self, codec: Codec, store: Store, table: Table, version: TableVersion) -> None:
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
        self._kinds = frozenset(kind for kind, _ in self.moving.asked)
        self._store = store
        self._after: int | None = 0 if self.moving.asked else None
        self.overfull = False
        """Whether more have no place than are named: then nothing that changes makes it fit."""
        self._come: int | None = None
        self._stranded: dict[_Name, Stranded] = {}
        self._holders: dict[tuple[str, int, str], str] = {}
        self._holds: dict[_Name, list[tuple[str, int, str]]] = {}

    @property
    def stranded(self) -> tuple[Stranded, ...]:
        """Those who have no place, so far as is known; so many of them as are named."""
        return tuple(self._stranded.values())

    def behind(self) -> int:
        """How many entries have come that it has not looked at."""
        return sum(self._store.place()) - sum(self.since)

    def page(self, limit: int = 256) -> bool:
        """Ask some more; say whether there may be others still."""
        if self._after is None:
            return False
        found, self._after = self._store.living(self.moving.asked, after=self._after, limit=limit)
        for now in found:
            after = self._ask(now)
            self.touched += self._touches(now, after)
            self._count(now, stranded=after is None)
        return self._after is not None

    def catch_up(self, limit: int = NEAR) -> bool:
        """Ask those again of whom the next entries speak; say whether there may be more of them."""
        names, since = self._store.changed(self.since, limit)
        for entity, id in dict.fromkeys(names):
            if entity in self._kinds:
                self._ask_again(entity, id)
        more, self.since = since != self.since, since
        return more

    def close_in(self) -> bool:
        """Catch up with twice as much as has come since the last time, and some; say whether little is left."""
        come = sum(self._store.place())
        self.catch_up(NEAR + (0 if self._come is None else 2 * (come - self._come)))
        self._come = come
        return self.behind() <= NEAR

    def whole(self) -> tuple[Stranded, ...]:
        """Ask all that is left, and return those who have no place."""
        while not self.overfull and self.page():
            pass
        if self.overfull:
            return self.stranded
        while self.catch_up():
            pass
        for entity, id in list(self._stranded):
            self._ask_again(entity, id)
        return self.stranded

    def _ask_again(self, entity: str, id: str) -> None:
        name = (entity, id)
        for held in self._holds.pop(name, ()):
            del self._holders[held]
        self._stranded.pop(name, None)
        now = self._store.snapshot(entity, id)
        if now is not None and self.old.is_live(now) and (entity, now.state) in self.moving.asked:
            self._ask(now)

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
        reasons = self._clashes(after) if isinstance(after, Snapshot) else after
        if reasons and len(self._stranded) < STRANDED_MAX:
            self._stranded[now.entity, now.id] = Stranded(now.entity, now.id, now.state, tuple(reasons))
        elif reasons:
            self.overfull = True
        return None if reasons or not isinstance(after, Snapshot) else after

    def _clashes(self, now: Snapshot) -> tuple[str, ...]:
        """Return why the entity can't live beside the others: a `unique` of theirs, which may be new."""
        if now.entity not in self.moving.indexed:
            return ()
        reasons: list[str] = []
        for number, text in self.new.uniques(now).items():
            held = (now.entity, number, text)
            other = self._holders.setdefault(held, now.id)
            if other == now.id:
                self._holds.setdefault((now.entity, now.id), []).append(held)
            else:
                names = ", ".join(f"`{name}`" for name in self.table.entities[now.entity].uniques[number].fields)
                reasons.append(f"`{other}` has the same {names}, which is unique")
        return tuple(reasons)
