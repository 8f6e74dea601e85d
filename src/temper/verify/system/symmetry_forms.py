"""States up to an exchange of interchangeable members: how a state is exchanged, and which form stands for its kin.

A permutation of an orbit's members moves their variables, and renames them wherever a variable refers to one. The form
of a state is the same for all states that permutations make of it, and for no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import factorial
from typing import TypeAlias

from temper.verify.system.ir import Orbit, State, System

Permutation: TypeAlias = Sequence[int]
Form: TypeAlias = Callable[[State], tuple[State, int]]
"""What gives the form of a state, and how many states have that form."""
_Edge: TypeAlias = tuple[int | None, tuple[int, int, int], int]


def exchanged(orbit: Orbit, permutation: Permutation, state: State) -> State:
    """Return the state in which member `permutation[k]` of an orbit is what member `k` was."""
    after = list(state)
    for k, member in enumerate(orbit.members):
        for index, to in zip(member, orbit.members[permutation[k]], strict=True):
            after[to] = state[index]
    for index, base in orbit.values:
        if 0 <= after[index] - base < len(permutation):
            after[index] = base + permutation[after[index] - base]
    for index, base in orbit.masks:
        after[index] = _renamed(after[index], base, permutation)
    return tuple(after)


def swap(orbit: Orbit, a: int, b: int) -> Permutation:
    """Return the permutation that exchanges two members."""
    found = list(range(len(orbit.members)))
    found[a], found[b] = b, a
    return tuple(found)


def _renamed(mask: int, base: int, permutation: Permutation) -> int:
    width = len(permutation)
    rest = mask & ~((1 << width) - 1 << base)
    return rest | sum(1 << base + to for k, to in enumerate(permutation) if mask >> base + k & 1)


def form(system: System, orbits: Sequence[Orbit]) -> Form:
    """Return what gives the form of a state under exchanges within each of the orbits.

    No variable may belong to two members.
    """
    entangled = _entangled(orbits)
    plain = [orbit for orbit in orbits if orbit not in entangled]
    referring = _Referring(system, entangled) if entangled else None

    def found(state: State) -> tuple[State, int]:
        kin = 1
        if plain:
            after = list(state)
            for orbit in plain:
                parts = sorted(tuple(map(state.__getitem__, member)) for member in orbit.members)
                kin *= _arrangements(parts)
                for member, part in zip(orbit.members, parts, strict=True):
                    for index, code in zip(member, part, strict=True):
                        after[index] = code
            state = tuple(after)
        if referring is not None:
            state, more = referring.form(state)
            kin *= more
        return state, kin

    return found


def _entangled(orbits: Sequence[Orbit]) -> list[Orbit]:
    """Orbits that are referred to, or whose members refer: those whose members are not told apart by sorting them."""
    referring = {index for orbit in orbits for index, _ in (*orbit.values, *orbit.masks)}
    return [
        orbit
        for orbit in orbits
        if orbit.values or orbit.masks or any(index in referring for member in orbit.members for index in member)
    ]


def _arrangements(parts: Sequence[object]) -> int:
    """Return in how many orders a sorted sequence can stand."""
    found, run = factorial(len(parts)), 0
    for position, part in enumerate(parts):
        run = run + 1 if position and part == parts[position - 1] else 1
        found //= run
    return found


@dataclass(frozen=True, slots=True)
class _Reference:
    """A variable that refers to members of an orbit; `owner` is the element whose own it is."""

    index: int
    orbit: int
    base: int
    many: bool
    owner: int | None
    place: int
    """Where it stands among the variables of its owner; of no owner's, its own number."""
    others: tuple[tuple[int, int], ...]
    """Where the members of other orbits stand in it: the base and how many."""


class _Referring:
    """Forms where members are referred to: members are told apart by what they are and by what refers to them.

    Colours are refined until they are stable; where members still look alike each is singled out in turn, except for
    those that make no difference, and the least of the states that come of it is the form.
    """

    def __init__(self, system: System, orbits: Sequence[Orbit]) -> None:
        self.orbits = orbits
        self.starts = [sum(len(each.members) for each in orbits[:n]) for n in range(len(orbits))]
        self.elements = [(n, k) for n, orbit in enumerate(orbits) for k in range(len(orbit.members))]
        owners: dict[int, tuple[int | None, int]] = {
            index: (self.starts[n] + k, place)
            for n, orbit in enumerate(orbits)
            for k, member in enumerate(orbit.members)
            for place, index in enumerate(member)
        }
        refers = [
            (index, n, base, many)
            for n, orbit in enumerate(orbits)
            for many, pairs in ((False, orbit.values), (True, orbit.masks))
            for index, base in pairs
        ]
        self.references = []
        for index, n, base, many in refers:
            others = tuple((b, len(orbits[o].members)) for i, o, b, _ in refers if i == index and (o, b) != (n, base))
            owner, place = owners.get(index, (None, index))
            self.references.append(_Reference(index, n, base, many, owner, place, others))
        referring = {each.index for each in self.references}
        self.own = [
            tuple(index for index in self.orbits[n].members[k] if index not in referring) for n, k in self.elements
        ]

    def form(self, state: State) -> tuple[State, int]:
        edges = list(self._edges(state))
        looks = [(n, *(state[i] for i in own)) for (n, _), own in zip(self.elements, self.own, strict=True)]
        colours = self._refined(edges, looks)
        least, alike = self._least(state, edges, colours)
        kin = 1
        for orbit in self.orbits:
            kin *= factorial(len(orbit.members))
        return least, kin // alike

    def _edges(self, state: State) -> Iterator[_Edge]:
        """What refers to what: the owner, which of its references, and the element or (below 0) a code that is none."""
        for number, each in enumerate(self.references):
            # References of the same place of different members are the same reference.
            key = (each.place, each.orbit, int(each.many)) if each.owner is not None else (-1 - number, 0, 0)
            start, size = self.starts[each.orbit], len(self.orbits[each.orbit].members)
            code = state[each.index]
            if each.many:
                rest = code & ~((1 << size) - 1 << each.base)
                for base, others in each.others:
                    rest &= ~((1 << others) - 1 << base)
                yield each.owner, key, -1 - rest
                for k in range(size):
                    if code >> each.base + k & 1:
                        yield each.owner, key, start + k
            elif 0 <= code - each.base < size:
                yield each.owner, key, start + code - each.base
            elif not any(0 <= code - base < others for base, others in each.others):
                yield each.owner, key, -1 - code

    def _refined(self, edges: Sequence[_Edge], looks: Sequence[tuple[object, ...]]) -> list[int]:
        """Return a colour for each element: the same for those that nothing nearby tells apart."""
        colours = _ranked(looks)
        kinds = len(set(colours))
        while True:
            seen: list[list[object]] = [[] for _ in self.elements]
            for owner, key, to in edges:
                if owner is not None:
                    seen[owner].append((0, key, to if to < 0 else colours[to]))
                if to >= 0:
                    seen[to].append((1, key, -1 if owner is None else colours[owner]))
            for each in seen:
                each.sort()
            colours = _ranked([(colour, tuple(each)) for colour, each in zip(colours, seen, strict=True)])
            if len(set(colours)) == kinds:
                return colours
            kinds = len(set(colours))

    def _least(self, state: State, edges: Sequence[_Edge], colours: list[int]) -> tuple[State, int]:
        """Return the least state, and how many permutations that keep the colours leave the state as it is."""
        cells: dict[int, list[int]] = {}
        for element, colour in enumerate(colours):
            cells.setdefault(colour, []).append(element)
        cell = next((cells[colour] for colour in sorted(cells) if len(cells[colour]) > 1), None)
        if cell is None:
            return self._arranged(state, colours), 1
        best: tuple[State, int] | None = None
        times = 0
        for first, weight in self._different(state, cell):
            looks = [(2 * colour - (element == first),) for element, colour in enumerate(colours)]
            found = self._least(state, edges, self._refined(edges, looks))
            if best is None or found[0] < best[0]:
                best, times = found, weight
            elif found[0] == best[0]:
                times += weight
        assert best is not None, "a cell has members"
        return best[0], best[1] * times

    def _different(self, state: State, cell: Sequence[int]) -> list[list[int]]:
        """One of each kind of members that can be exchanged without a change, and how many there are of that kind."""
        found: list[list[int]] = []
        for element in cell:
            n, k = self.elements[element]
            for kind in found:
                orbit = self.orbits[n]
                if exchanged(orbit, swap(orbit, self.elements[kind[0]][1], k), state) == state:
                    kind[1] += 1
                    break
            else:
                found.append([element, 1])
        return found

    def _arranged(self, state: State, colours: Sequence[int]) -> State:
        """Return the state in which the members of each orbit stand in the order of their colours."""
        for n, orbit in enumerate(self.orbits):
            mine = colours[self.starts[n] : self.starts[n] + len(orbit.members)]
            place = {colour: position for position, colour in enumerate(sorted(mine))}
            state = exchanged(orbit, [place[colour] for colour in mine], state)
        return state


def _ranked(looks: Sequence[tuple[object, ...]]) -> list[int]:
    """Return the rank of each look among all."""
    ranks = {look: rank for rank, look in enumerate(sorted(set(looks)))}
    return [ranks[look] for look in looks]
