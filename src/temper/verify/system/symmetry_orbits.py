"""What can be exchanged in a lowered system: the instances of a kind, and principals.

Nothing in a blueprint names an instance or a principal, so that what happens with one may happen with another: acts
are drawn of everybody, creations find any free place, and roles are held by anyone. What keeps an orbit from being one
(values that are drawn only in part, an order in which members stand) is found when it is looked at, as orbits are
believed of nobody; here is only said where members occur.

Members occur in fields, in parameters that wait, and in what a call remembers; principals also in every note of a
caller (of a call, a timer, a `whenever`, a send, what is deferred) and among those who are counted. A call's variable
belongs to its entity, to its caller, and to those whom it remembers; what is on its way, to the sender and the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from temper.table import Caller, Type
from temper.verify.system.ir import Orbit
from temper.verify.system.lower_world import Layout
from temper.verify.system.spaces import Elements, Mask, Number, Opt, Several, Space

_Place: TypeAlias = tuple[object, ...]


def orbits_of(layout: Layout) -> Iterator[Orbit]:
    """Yield what looks as if it could be exchanged."""
    for kind in layout.kinds.values():
        if kind.count > 1:
            yield from _Members(layout, ("ref", kind.name), kind.count).orbit()
    if layout.matters and len(layout.principals) > 1:
        yield from _Members(layout, ("principal",), len(layout.principals)).orbit()


class _Members:
    """Looks for where the members of one type occur."""

    def __init__(self, layout: Layout, type_: Type, count: int) -> None:
        self.layout = layout
        self.type = type_
        self.count = count
        self.places: dict[_Place, int] = {}
        self.owned: list[tuple[int, tuple[int, ...]]] = []
        self.values: list[tuple[int, int]] = []
        self.masks: list[tuple[int, int]] = []
        self.named: list[tuple[int, tuple[tuple[int, ...], ...]]] = []
        self.held: list[tuple[int, tuple[tuple[int, ...], ...]]] = []

    def orbit(self) -> Iterator[Orbit]:
        """Yield the orbit, if each member has what another has."""
        self.look()
        single = [(index, place, members[0]) for index, (place, *members) in self.owned if len(members) == 1]
        several = tuple(each for each in self.owned if len(each[1]) > 2)
        own: list[dict[int, int]] = [{} for _ in range(self.count)]
        for index, place, member in single:
            own[member][place] = index
        if len({tuple(sorted(each)) for each in own}) > 1:
            return
        members = tuple(tuple(index for _, index in sorted(each.items())) for each in own)
        if any(members) or several or self.values or self.masks or self.named or self.held:
            yield Orbit(members, tuple(self.values), tuple(self.masks), several, tuple(self.named), tuple(self.held))

    # --- who is meant ---

    def caller(self, caller: Caller) -> tuple[_Place, tuple[int, ...]]:
        """Return what a caller is but for the names, and who is named."""
        if self.type != ("principal",) or caller.principal not in self.layout.principals:
            return (caller,), ()
        names = [caller.principal, *([caller.acts_for] if caller.acts_for is not None else [])]
        alike = names[0] == names[-1] and len(names) > 1
        members = tuple(self.layout.principals.index(name) for name in dict.fromkeys(names))
        return (tuple(sorted(caller.roles)), len(names), alike), members

    def mine(self, who: tuple[str, int]) -> tuple[_Place, tuple[int, ...]]:
        """Return what an entity is but for its number, if it is a member, and the member."""
        return ((who[0],), (who[1],)) if self.type == ("ref", who[0]) else (who, ())

    def belongs(self, index: int, place: _Place, members: tuple[int, ...]) -> None:
        if members:
            self.owned.append((index, (self.places.setdefault((place, len(members)), len(self.places)), *members)))

    def names(self, space: Space, at: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
        """Yield where members are named in variables: which of them, the code of the first, and whether as a set."""
        if isinstance(space, Number) and space.type == self.type:
            yield at[0], -space.low, False
        elif isinstance(space, Opt) and space.joined:
            yield from ((index, base + 1, many) for index, base, many in self.names(space.inner, at))
        elif isinstance(space, Opt):
            yield from self.names(space.inner, at[1:])
        elif isinstance(space, Mask) and space.of == self.type:
            yield at[0], 0, True
        elif isinstance(space, Several):
            start = 0
            for part in space.spaces:
                yield from self.names(part, at[start : start + len(part.sizes)])
                start += len(part.sizes)

    def refers(self, space: Space, at: Sequence[int]) -> None:
        for index, base, many in self.names(space, at):
            (self.masks if many else self.values).append((index, base))

    def elements(self, space: Space, at: Sequence[int], place: _Place, me: tuple[int, ...]) -> None:
        """A set that is kept element by element has a variable for each member."""
        if isinstance(space, Elements) and space.of == self.type:
            for number, index in zip(space.words.elements(space.of), at, strict=True):
                self.belongs(index, place, (*me, number))

    # --- where they occur ---

    def look(self) -> None:
        layout = self.layout
        for who, slots in layout.slots.items():
            kind = layout.kinds[who[0]]
            mine, me = self.mine(who)
            calls = set(slots.calls.values())
            for position, index in enumerate(index for index in slots.all() if index not in calls):
                self.belongs(index, ("own", mine, position), me)
            for name, at in slots.fields.items():
                self.refers(kind.spaces[name], at)
                self.elements(kind.spaces[name], at, ("in", mine, name), me)
            for site, index in (*slots.timers.items(), *slots.whenevers.items()):
                self.callers_in(index, [layout.timed_by(kind, site)])
            for index, params in slots.deferred:
                self.callers_in(index, layout.deferred_by(kind))
                self.waiting(who[0], params)
            for (site, caller, kept, standing), index in slots.calls.items():
                by, named = self.caller(layout.causers(kind.name, kind.sites[site].actions)[caller])
                rest, remembered = self.remembers(who[0], site, kept)
                self.belongs(index, ("call", mine, site, by, rest, standing), (*me, *named, *remembered))
            for number, index in slots.counted.items():
                self.counted(who[0], number, index)
        for (sender, target), queue in layout.queues.items():
            (a, mine), (b, theirs) = self.mine(sender), self.mine(target)
            for position, (head, params) in enumerate(queue):
                flat = (head, *(index for at in params.values() for index in at))
                for place, index in enumerate(flat):
                    self.belongs(index, ("sent", a, b, position, place), (*mine, *theirs))
                self.callers_in(head, layout.sent_by(sender[0], target[0]))
                self.waiting(target[0], params)

    def callers_in(self, index: int, groups: Sequence[Sequence[Caller]]) -> None:
        """A code is 0, or one of several things, each with one of its callers."""
        if self.type == ("principal",):
            words: dict[_Place, int] = {}
            table: list[tuple[int, ...]] = [()]
            for number, callers in enumerate(groups):
                for word, members in map(self.caller, callers):
                    table.append((words.setdefault((number, *word), len(words)), *members))
            self.named.append((index, tuple(table)))

    def waiting(self, entity: str, params: dict[str, tuple[int, ...]]) -> None:
        kind = self.layout.kinds[entity]
        for name, at in params.items():
            action, _, own = name.partition(".")
            type_ = next(each.type for each in kind.entity.actions[action].params if each.name == own)
            self.refers(self.layout.space(type_, kind, 0), at)

    def remembers(self, entity: str, site: str, kept: int) -> tuple[_Place, tuple[int, ...]]:
        """Return what a call remembers but for the members, and the members that it remembers."""
        call = self.layout.kinds[entity].sites[site]
        numbers = list(call.kept[kept])
        rest: list[object] = list(numbers)
        members: list[int] = []
        start = 0
        for memory in call.memories:
            places = range(start, start + len(memory.space.sizes))
            start += len(memory.space.sizes)
            for place, base, many in self.names(memory.space, places):
                of = [n for n in range(self.count) if (numbers[place] >> n & 1 if many else numbers[place] - base == n)]
                if of:
                    rest[place] = ("members", len(of), tuple(members.index(n) if n in members else -1 for n in of))
                    members += [n for n in of if n not in members]
        return tuple(rest), tuple(members)

    def counted(self, entity: str, number: int, index: int) -> None:
        if self.type == ("principal",):
            pairs = self.layout.counted(self.layout.kinds[entity])[number]
            principals = self.layout.principals
            self.held.append(
                (
                    index,
                    tuple(
                        (0 if a == b else 1, *(principals.index(n) for n in dict.fromkeys((a, b)))) for a, b in pairs
                    ),
                )
            )
