"""States up to an exchange of interchangeable members: how a state is exchanged, and which form stands for its kin.

A permutation of an orbit's members moves their variables, and renames them wherever a variable refers to one. The form
of a state is the same for all states that permutations make of it, and for no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import factorial
from typing import TypeAlias

from temper.verify.system.ir import Orbit, State, System

Permutation: TypeAlias = Sequence[int]
Form: TypeAlias = Callable[[State], tuple[State, int]]
"""What gives the form of a state, and how many states have that form."""
Word: TypeAlias = tuple[tuple[int, int], tuple[int, ...]]
"""What is said of members, and of which: a variable's place with those it belongs to, or a code with those it names."""
_Edge: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


class Acts:
    """How permutations of an orbit's members act on variables and their codes."""

    def __init__(self, orbit: Orbit) -> None:
        self.orbit = orbit
        self.places: dict[int, Word] = {
            index: ((0, place), (k,)) for k, member in enumerate(orbit.members) for place, index in enumerate(member)
        }
        self.places |= {index: ((1, place), tuple(members)) for index, (place, *members) in orbit.owned}
        self.at = {word: index for index, word in self.places.items()}
        size = range(len(orbit.members))
        self.codes: dict[int, dict[int, Word]] = {}
        self.bits: dict[int, dict[int, Word]] = {}
        for found, short, long in ((self.codes, orbit.values, orbit.named), (self.bits, orbit.masks, orbit.held)):
            for index, base in short:
                found.setdefault(index, {}).update({base + k: ((0, base), (k,)) for k in size})
            for index, words in long:
                told = {code: ((1, word[0]), tuple(word[1:])) for code, word in enumerate(words) if word}
                found.setdefault(index, {}).update(told)
        self._codes_of = {i: {word: code for code, word in words.items()} for i, words in self.codes.items()}
        self._bits_of = {i: {word: bit for bit, word in words.items()} for i, words in self.bits.items()}

    def to(self, index: int, permutation: Permutation) -> int:
        """Return the variable that takes a variable's place. Raises `KeyError` where there is none."""
        word = self.places.get(index)
        return index if word is None else self.at[_moved(word, permutation)]

    def code(self, index: int, code: int, permutation: Permutation) -> int:
        """Return what becomes of the code of a variable that names members; `KeyError` where it would be none."""
        word = self.codes[index].get(code)
        return code if word is None else self._codes_of[index][_moved(word, permutation)]

    def bit(self, index: int, bit: int, permutation: Permutation) -> int:
        """Return what becomes of a bit of a variable that holds members; `KeyError` where it would be none."""
        word = self.bits[index].get(bit)
        return bit if word is None else self._bits_of[index][_moved(word, permutation)]

    def exchanged(self, permutation: Permutation, state: State) -> State:
        """Return the state in which member `permutation[k]` is what member `k` was."""
        after = list(state)
        for index, word in self.places.items():
            after[self.at[_moved(word, permutation)]] = state[index]
        for index in self.codes:
            after[index] = self.code(index, after[index], permutation)
        for index in self.bits:
            mask, moved = after[index], 0
            while mask:
                low = mask & -mask
                moved |= 1 << self.bit(index, low.bit_length() - 1, permutation)
                mask ^= low
            after[index] = moved
        return tuple(after)


@lru_cache(maxsize=64)
def acts_of(orbit: Orbit) -> Acts:
    """Return how permutations of an orbit act."""
    return Acts(orbit)


def exchanged(orbit: Orbit, permutation: Permutation, state: State) -> State:
    """Return the state in which member `permutation[k]` of an orbit is what member `k` was."""
    return acts_of(orbit).exchanged(permutation, state)


def swap(orbit: Orbit, a: int, b: int) -> Permutation:
    """Return the permutation that exchanges two members."""
    found = list(range(len(orbit.members)))
    found[a], found[b] = b, a
    return tuple(found)


def _moved(word: Word, permutation: Permutation) -> Word:
    return word[0], tuple([permutation[k] for k in word[1]])


def form(system: System, orbits: Sequence[Orbit]) -> Form:
    """Return what gives the form of a state under exchanges within each of the orbits."""
    entangled = _entangled(orbits)
    plain = [orbit for orbit in orbits if orbit not in entangled]
    referring = Referring(system, entangled) if entangled else None

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
    """Orbits whose members are not told apart by sorting them: what is theirs refers to members, or is others' too."""
    acts = [acts_of(orbit) for orbit in orbits]
    shared: list[Orbit] = []
    for each in acts:
        others = {
            i for other in acts for i in (*other.codes, *other.bits, *(other.places if other is not each else ()))
        }
        if each.codes or each.bits or each.orbit.owned or others & set(each.places):
            shared.append(each.orbit)
    return shared


def _arrangements(parts: Sequence[object]) -> int:
    """Return in how many orders a sorted sequence can stand."""
    found, run = factorial(len(parts)), 0
    for position, part in enumerate(parts):
        run = run + 1 if position and part == parts[position - 1] else 1
        found //= run
    return found


class Referring:
    """Forms where members are referred to: members are told apart by what they are and by what refers to them.

    Members of all orbits are the elements of a structure. Each variable makes edges of it: of those it belongs to and
    those whom its code names, in this order, with what it says of them. Colours are refined until they are stable;
    where elements still look alike each is singled out in turn, except for those that make no difference, and the least
    of the states that come of it is the form.
    """

    def __init__(self, system: System, orbits: Sequence[Orbit]) -> None:
        self.orbits = orbits
        self.acts = [acts_of(orbit) for orbit in orbits]
        self.starts = [sum(len(each.members) for each in orbits[:n]) for n in range(len(orbits))]
        self.elements = [(n, k) for n, orbit in enumerate(orbits) for k in range(len(orbit.members))]
        touched = sorted({i for acts in self.acts for i in (*acts.places, *acts.codes, *acts.bits)})
        self.owners = {
            index: tuple(
                self.starts[n] + k
                for n, acts in enumerate(self.acts)
                if index in acts.places
                for k in acts.places[index][1]
            )
            for index in touched
        }
        self.kinds = _kinds(self.acts, touched)
        # What a code or a bit names, over all orbits: what it says, and the elements.
        self.codes = {i: self._words(i, [acts.codes.get(i, {}) for acts in self.acts]) for i in touched}
        self.bits = {i: self._words(i, [acts.bits.get(i, {}) for acts in self.acts]) for i in touched}
        self.own: list[list[int]] = [[] for _ in self.elements]
        self.kept: list[int] = []
        for index in sorted(touched, key=lambda i: (self.kinds[i], i)):
            if len(self.owners[index]) == 1 and not self.codes[index] and not self.bits[index]:
                self.own[self.owners[index][0]].append(index)
            else:
                self.kept.append(index)

    def _words(self, index: int, found: Sequence[dict[int, Word]]) -> dict[int, _Edge]:
        return {
            code: ((n, *word), (*self.owners[index], *(self.starts[n] + k for k in members)))
            for n, words in enumerate(found)
            for code, (word, members) in words.items()
        }

    def form(self, state: State) -> tuple[State, int]:
        """Return the form of a state, and how many states have it."""
        edges = list(self._edges(state))
        looks = [(n, *(state[i] for i in own)) for (n, _), own in zip(self.elements, self.own, strict=True)]
        colours = self._refined(edges, looks)
        least, alike = self._least(state, edges, colours)
        kin = 1
        for orbit in self.orbits:
            kin *= factorial(len(orbit.members))
        return least, kin // alike

    def _edges(self, state: State) -> Iterator[_Edge]:
        """What the variables say, and of whom. What names nobody says something of those it belongs to, if not 0."""
        for index in self.kept:
            code, kind = state[index], self.kinds[index]
            bits = self.bits[index]
            if bits:
                rest, left = code, 0
                while rest:
                    low = rest & -rest
                    edge = bits.get(low.bit_length() - 1)
                    if edge is None:
                        left |= low
                    else:
                        yield (kind, *edge[0]), edge[1]
                    rest ^= low
                code = left
            edge = self.codes[index].get(code)
            if edge is not None:
                yield (kind, *edge[0]), edge[1]
            elif code and self.owners[index]:
                yield (kind, -1, code), self.owners[index]

    def _refined(self, edges: Sequence[_Edge], looks: Sequence[tuple[object, ...]]) -> list[int]:
        """Return a colour for each element: the same for those that nothing nearby tells apart."""
        colours = _ranked(looks)
        kinds = len(set(colours))
        while kinds < len(colours):
            seen: list[list[object]] = [[] for _ in self.elements]
            for label, elements in edges:
                around = tuple([colours[e] for e in elements])
                for position, element in enumerate(elements):
                    seen[element].append((label, position, around))
            for each in seen:
                each.sort()
            colours = _ranked([(colour, tuple(each)) for colour, each in zip(colours, seen, strict=True)])
            if len(set(colours)) == kinds:
                return colours
            kinds = len(set(colours))
        return colours

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
                other = self.elements[kind[0]][1]
                if self.acts[n].exchanged(swap(self.orbits[n], other, k), state) == state:
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
            state = self.acts[n].exchanged([place[colour] for colour in mine], state)
        return state


def _kinds(acts: Sequence[Acts], touched: Sequence[int]) -> dict[int, int]:
    """Return a number for each variable: the same for those that exchanges make of one another."""
    kind = {index: index for index in touched}

    def root(index: int) -> int:
        while kind[index] != index:
            index = kind[index]
        return index

    for each in acts:
        for k in range(len(each.orbit.members) - 1):
            permutation = swap(each.orbit, k, k + 1)
            for index in each.places:
                one, other = root(index), root(each.to(index, permutation))
                kind[max(one, other)] = min(one, other)
    return {index: root(index) for index in touched}


def _ranked(looks: Sequence[tuple[object, ...]]) -> list[int]:
    """Return the rank of each look among all."""
    ranks = {look: rank for rank, look in enumerate(sorted(set(looks)))}
    return [ranks[look] for look in looks]
