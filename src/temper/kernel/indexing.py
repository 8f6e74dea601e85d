"""What entities are to be found by in a table that is to come, made beside what is in force, while they live on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

# In the place of a `unique`'s number, where it is the `key` that two have.
KEY = -1


class Indexed(Struct, frozen=True):
    """What one entity is to be found by: its `key`, its `unique`s by their numbers, and what it refers to by which
    field.
    """

    row: int
    entity: str
    id: str
    key: str | None
    uniques: tuple[tuple[int, str], ...]
    references: tuple[tuple[str, str], ...]


class Clash(Struct, frozen=True):
    """`row` was not given what `holder` has: the `unique` of that number, or the `key` (`KEY`)."""

    row: int
    number: int
    holder: int


class Index(Protocol):
    """An index of some kinds, of which nobody sees anything before the swap that it is made for.

    Its verbs are for one thread at a time: the one that appends, where it is made to be put in force.
    """

    @property
    def name(self) -> str:
        """What a swap's `Change` calls it."""
        ...

    def put(self, these: Sequence[Indexed], gone: Sequence[tuple[str, int]]) -> Sequence[Clash]:
        """Take those of `gone` out (kind and row), put `these` in, and return who has what another has already.

        What the other has stays the other's. Raises `StoreFault`, then nothing of it has been done.
        """
        ...

    def drop(self) -> None:
        """Give it up: what it takes goes by and by (`Store.tidy`). Raises `StoreFault`."""
        ...


class MemoryIndex:
    """An index in memory. It finds who clashes; what is found by it, `MemoryStore` works out at the swap."""

    name = "memory"

    def __init__(self) -> None:
        self._holders: dict[tuple[str, int, str], int] = {}
        self._held: dict[int, list[tuple[str, int, str]]] = {}

    def put(self, these: Sequence[Indexed], gone: Sequence[tuple[str, int]]) -> Sequence[Clash]:
        for _, row in gone:
            for held in self._held.pop(row, ()):
                del self._holders[held]
        clashes: list[Clash] = []
        for one in these:
            for number, text in (*one.uniques, *(() if one.key is None else ((KEY, one.key),))):
                held = (one.entity, number, text)
                holder = self._holders.setdefault(held, one.row)
                if holder == one.row:
                    self._held.setdefault(one.row, []).append(held)
                else:
                    clashes.append(Clash(one.row, number, holder))
        return clashes

    def drop(self) -> None:
        self._holders.clear()
        self._held.clear()
