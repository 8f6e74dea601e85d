"""Orders of a system's variables for decision diagrams, which are small or hopeless by them.

What is read or written together should stand together; what nearly everything reads (a coordinator's state) should
stand before the rest, so that below it the rest falls into parts. No single measure tells the best order: several are
made, and the engine lets them race.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median

from temper.verify.system.codes import variables
from temper.verify.system.ir import Rule, System

Order = tuple[int, ...]
_ROUNDS = 30


def orders(system: System) -> list[Order]:
    """Return the orders that are worth a try, the likeliest first, each once."""
    edges = sorted({_touched(rule) for rule in system.rules} - {frozenset()}, key=sorted)
    declared = tuple(range(len(system.variables)))
    found = [_hubs_first(declared, edges)]
    for orbit in system.orbits:
        members = [index for member in orbit.members for index in member]
        if set(members).isdisjoint(found[-1][: len(declared) - len(members)]):
            continue
        found.append((*(index for index in declared if index not in set(members)), *members))
    found += [_drawn_together(declared, edges), declared]
    return list(dict.fromkeys(found))


def _touched(rule: Rule) -> frozenset[int]:
    codes = [rule.guard, *(fault.condition for fault in rule.faults), *(code for _, code in rule.updates)]
    return frozenset().union(*map(variables, codes), (index for index, _ in rule.updates))


def _hubs_first(declared: Order, edges: Sequence[frozenset[int]]) -> Order:
    """What most rules touch, and then the parts that the rest falls into, each drawn together."""
    degree = dict.fromkeys(declared, 0)
    for edge in edges:
        for index in edge:
            degree[index] += 1
    usual = median(degree.values()) if degree else 0
    hubs = [index for index in declared if degree[index] > max(2 * usual, 3)]
    rest = [index for index in declared if index not in set(hubs)]
    inner = [edge - set(hubs) for edge in edges]
    # A rule that asks all members at once joins nothing to anything in particular.
    wide = max(3, 1 + median([len(edge) for edge in inner if len(edge) > 1] or [0]))
    parts = _parts(rest, [edge for edge in inner if len(edge) <= wide])
    found = list(hubs)
    for part in parts:
        found += _drawn_together(part, [edge for edge in inner if edge <= set(part)])
    return tuple(found)


def _parts(indexes: Iterable[int], edges: Iterable[frozenset[int]]) -> list[Order]:
    part: dict[int, list[int]] = {index: [index] for index in indexes}
    for edge in edges:
        for one, other in pairwise(sorted(edge)):
            a, b = part[one], part[other]
            if a is not b:
                a += b
                for index in b:
                    part[index] = a
    return [tuple(sorted(each)) for each in {id(each): each for each in part.values()}.values()]


def _drawn_together(declared: Order, edges: Sequence[frozenset[int]]) -> Order:
    """Move each variable to the middle of what it is touched with, again and again; keep the shortest."""
    edges = [edge for edge in edges if len(edge) > 1]
    order, best, shortest = list(declared), declared, _length(declared, edges)
    for _ in range(_ROUNDS):
        place = {index: float(at) for at, index in enumerate(order)}
        pulls: dict[int, list[float]] = {index: [] for index in order}
        for edge in edges:
            middle = sum(place[index] for index in edge) / len(edge)
            for index in edge:
                pulls[index].append(middle)
        aim = {index: sum(each) / len(each) if each else place[index] for index, each in pulls.items()}
        moved = sorted(order, key=lambda index: (aim[index], place[index]))
        if moved == order:
            break
        order = moved
        length = _length(order, edges)
        if length < shortest:
            best, shortest = tuple(order), length
    return best


def _length(order: Sequence[int], edges: Iterable[frozenset[int]]) -> int:
    place = {index: at for at, index in enumerate(order)}
    return sum(max(place[index] for index in edge) - min(place[index] for index in edge) for edge in edges)
