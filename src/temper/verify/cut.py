"""A table cut down to what some of its entities depend on.

Whoever judges is given a cut and nothing else, so that an answer can't depend on what is not in it: under the cut's
own digest it can be kept, and found again after all the rest has changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from temper.table import Table, shape

# Where an expression or a type names a kind of entity: at which place of its tuple.
_NAMES = {"ref": 1, "every": 1, "action_is": 1, "read": 2, "read_in": 2}
_CUT = "cut"


class Cut(Struct, frozen=True):
    """A part of a table: `numbers` are its properties' in the whole."""

    table: Table
    numbers: tuple[int, ...]


@dataclass
class Links:
    """Which kinds of entities name each other, and which move each other, in a table and in the one before it."""

    table: Table
    before: Table | None = None
    named: dict[str, frozenset[str]] = field(init=False)
    """Of each kind, those whose names stand in its text."""
    moved: dict[str, frozenset[str]] = field(init=False)
    """Of each kind, those that its clauses create, send to, or take an action of."""
    together: tuple[frozenset[str], ...] = field(init=False)
    """Kinds of which one property speaks."""

    def __post_init__(self) -> None:
        """Read the texts."""
        self.named, self.moved = {}, {}
        together = []
        for table in (self.table, self.before):
            if table is None:
                continue
            for name, entity in table.entities.items():
                known = frozenset(_named(entity)) & table.entities.keys()
                self.named[name] = self.named.get(name, frozenset()) | known
                moved = frozenset(_moved(entity)) & table.entities.keys()
                self.moved[name] = self.moved.get(name, frozenset()) | moved
            together += [spoken_of(table, each) for each in table.properties if isinstance(each, shape.Always)]
        self.together = tuple(dict.fromkeys(each for each in together if len(each) > 1))

    def components(self) -> tuple[tuple[str, ...], ...]:
        """Return the kinds that can make a difference to each other, together; in the order of the text."""
        left = dict.fromkeys(self.named)
        found = []
        while left:
            part = self._grown({next(iter(left))}, everything=True)
            found.append(tuple(name for name in self.named if name in part))
            left = {name: None for name in left if name not in part}
        return tuple(names for names in found if any(name in self.table.entities for name in names))

    def depends(self, name: str) -> tuple[str, ...]:
        """Return the kinds that what one can do depends on: those that it names, and those that move any of them."""
        part = self._grown({name}, everything=False)
        return tuple(each for each in self.named if each in part)

    def _grown(self, part: set[str], *, everything: bool) -> set[str]:
        while True:
            more = {other for name in part for other in self.named[name]}
            names = self.named if everything else self.moved
            more |= {other for other, met in names.items() if met & part}
            more |= {other for spoken in self.together if spoken & part for other in spoken}
            if more <= part:
                return part
            part |= more


def spoken_of(table: Table, each: shape.AnyProperty) -> frozenset[str]:
    """Return the kinds of entities that a property speaks of."""
    own = {each.entity} if each.entity is not None else set()
    return frozenset(name for name in (*own, *_named(each)) if name in table.entities)


def cut(
    table: Table, names: Collection[str], asked: tuple[type[shape.Property], ...], *, upgrades: bool = False
) -> Cut:
    """Return the part of a table that these entities are, with what is `asked` of them alone.

    Roles are kept whole, since who may do nothing has to be refused too. Of the texts only timers are kept, laid out
    on one line: a run tells them. A property that speaks of nobody belongs to the first entity.
    """
    entities = {name: entity for name, entity in table.entities.items() if name in names}
    first = next(iter(table.entities), None)
    numbers = tuple(
        number
        for number, each in enumerate(table.properties)
        if isinstance(each, asked) and (spoken_of(table, each) or {first}) <= entities.keys()
    )
    properties = tuple(table.properties[number] for number in numbers)
    words = set(_words((entities, properties)))
    records: dict[str, tuple[shape.Param, ...]] = {}
    while more := {name: table.records[name] for name in table.records if name in words and name not in records}:
        records |= more
        words |= set(_words(more))
    part = msgspec.structs.replace(
        table,
        records={name: each for name, each in table.records.items() if name in records},
        tools={name: each for name, each in table.tools.items() if name in words},
        events={name: each for name, each in table.events.items() if name in words},
        entities=entities,
        properties=properties,
        scope=tuple(each for each in table.scope if each.entity in entities),
        scenarios=(),
        upgrades=_upgrades(table, entities) if upgrades else (),
        modules=table.modules if upgrades else {},
        notes=_timers(table, entities),
    )
    return Cut(part, numbers)


def _upgrades(table: Table, entities: Mapping[str, shape.Entity]) -> tuple[shape.Upgrade, ...]:
    return tuple(
        msgspec.structs.replace(each, entities=tuple(one for one in each.entities if one.entity in entities))
        for each in table.upgrades
    )


def _timers(table: Table, entities: Mapping[str, shape.Entity]) -> shape.Notes:
    """Return the text of each timer; where it stands is not said, so that it may be moved about."""
    text = ""
    places = {}
    for site in (timer.site for entity in entities.values() for place in entity.places for timer in place.timers):
        file, start, end = table.notes.places.get(site, ("", 0, 0))
        said = " ".join(table.notes.sources.get(file, "")[start:end].split())
        places[site] = (_CUT, len(text), len(text) + len(said))
        text += said + "\n"
    return shape.Notes({_CUT: text}, places)


def _named(thing: object) -> Iterator[str]:
    """The kinds of entities that stand somewhere in a piece of a table."""
    match thing:
        case tuple():
            place = _NAMES.get(thing[0]) if thing and isinstance(thing[0], str) else None
            if place is not None and len(thing) > place and isinstance(thing[place], str):
                yield thing[place]
            for part in thing:
                yield from _named(part)
        case dict():
            for part in thing.values():
                yield from _named(part)
        case shape.Send() | shape.With() | shape.Create() | shape.Inverse():
            yield thing.entity
            yield from _parts_named(thing)
        case msgspec.Struct():
            yield from _parts_named(thing)
        case _:
            pass


def _parts_named(thing: msgspec.Struct) -> Iterator[str]:
    for name in thing.__struct_fields__:
        yield from _named(getattr(thing, name))


def _moved(thing: object) -> Iterator[str]:
    """The kinds of entities that the clauses in a piece of a table create, send to, or take an action of."""
    match thing:
        case dict():
            for part in thing.values():
                yield from _moved(part)
        case tuple():
            for part in thing:
                yield from _moved(part)
        case shape.Send() | shape.With() | shape.Create():
            yield thing.entity
        case msgspec.Struct():
            for name in thing.__struct_fields__:
                yield from _moved(getattr(thing, name))
        case _:
            pass


def _words(thing: object) -> Iterator[str]:
    """Every text that stands somewhere in a piece of a table."""
    match thing:
        case str():
            yield thing
        case dict():
            for name, part in thing.items():
                yield name
                yield from _words(part)
        case tuple():
            for part in thing:
                yield from _words(part)
        case msgspec.Struct():
            for name in thing.__struct_fields__:
                yield from _words(getattr(thing, name))
        case _:
            pass
