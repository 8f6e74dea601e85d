"""What is there: the instances of a system, what of them matters, and the variables in which it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, product
from math import prod
from typing import Any, TypeAlias

from msgspec import Struct, field

from temper.table import Caller, Expr, Table, Type, decode, default_values, describe_expr, shape
from temper.table import Value as Plain
from temper.verify.causes import causes
from temper.verify.clauses import all_clauses, flat, outcomes
from temper.verify.explore.canon import NOBODY, Canon, constant_durations, ignored_everywhere
from temper.verify.explore.clocks import Clocks, clocks_of
from temper.verify.explore.cone import CALLERS, Cone, cone_of, literals, told_of, travelled, uses
from temper.verify.explore.draws import COMBINATIONS_MAX, Draw, Draws, principals_of, scoped_of
from temper.verify.explore.moves import Moves
from temper.verify.explore.orders import calls_at_once
from temper.verify.expressions import Names, bounded, children, names_in, type_of, walk, without_lets
from temper.verify.people import Voice, voice
from temper.verify.properties import states_of
from temper.verify.system.codes import FALSE, const, either, eq
from temper.verify.system.ir import Code, Var
from temper.verify.system.spaces import (
    ELEMENTS_MAX,
    KEPT_MAX,
    Elements,
    Fixed,
    Items,
    Keyed,
    Mask,
    Number,
    Opt,
    Parts,
    Several,
    Space,
    UnloweredError,
    Value,
    Words,
)

# Numbers of so many values are drawn whole, as long as there are no more events of people than that; the last always.
WHOLE_LEAST = 8
WHOLE: tuple[tuple[int, int | None], ...] = ((32, 256), (16, 4_096), (WHOLE_LEAST, None))
# Texts that are put together somewhere.
TEXTS_MAX = 64
# What one call keeps from the moment it was made: so many different memories are told apart.
MEMORIES_MAX = 64
# A variable has at most so many values.
SIZE_MAX = 1 << 40
CURRENT, PAST, ENDED = "current", "past", "ended"
NOT_THERE = "not there"
# Fields that hold moments keep whether there is one; each has a moment of its own, so that a change is seen.
FIELD_MOMENT = -1000


class Memory(Struct, frozen=True):
    """A handler's argument that is read when the call is made, and what it is then, as far as it matters.

    `handler` is "then", "else" or "unknown"; `expr` is the part of the argument that is read at once.
    """

    handler: str
    param: str
    expr: Expr
    space: Space
    type: Type


class CallSite(Struct):
    """A call as its outcomes need it: what each remembers, and what those memories can be."""

    clause: shape.Call
    names: Names
    memories: tuple[Memory, ...]
    kept: tuple[tuple[int, ...], ...]
    """Every combination of what is remembered, as the numbers that the memories' spaces write."""

    @property
    def actions(self) -> tuple[str, ...]:
        """Return the actions that its outcomes may take."""
        return tuple(handler.action for _, handler in outcomes(self.clause))


class Kind(Struct):
    """One kind of entity in a system."""

    entity: shape.Entity
    count: int
    cone: Cone
    clocks: Clocks
    draws: Draws
    canon: Canon
    moves: Moves
    scoped: Mapping[str, tuple[int, int, bool]]
    spaces: dict[str, Space] = field(default_factory=dict)
    plain: dict[str, Value] = field(default_factory=dict)
    defaults: dict[str, Plain] = field(default_factory=dict)
    sites: dict[str, CallSite] = field(default_factory=dict)
    timers: dict[str, tuple[shape.Place, shape.Timer]] = field(default_factory=dict)
    whenevers: dict[str, tuple[shape.Place, shape.Whenever]] = field(default_factory=dict)
    durations: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, frozenset[str]] = field(default_factory=dict)
    deferrable: tuple[tuple[str, str], ...] = ()
    """(action, the site of a place that defers it); the place is empty once the entity has left it."""

    @property
    def name(self) -> str:
        """Return the entity's name."""
        return self.entity.name

    def fires(self, site: str) -> tuple[str, ...]:
        """Return the action that a timer or a `whenever` takes."""
        each = self.timers.get(site) or self.whenevers[site]
        return (each[1].handler.action,)

    def variants(self, action: str | None) -> tuple[shape.Entity, ...]:
        """Return the entity as it is for every way in which its times can compare, where that can matter."""
        tables = self.clocks.tables
        affected = self.clocks.affected
        if affected is not None and action not in affected:
            tables = tables[:1]
        return tuple(table.entities[self.name] for table in tables)


class SystemDraws(Draws):
    """What is drawn, where references are those of the system, and numbers with so many values are drawn whole."""

    def __init__(
        self,
        table: Table,
        entity: shape.Entity,
        principals: Sequence[str],
        ids: Mapping[str, Sequence[str]],
        whole_max: int,
        count: int,
    ) -> None:
        super().__init__(table, entity, principals, count=max(2, count))
        self._ids = ids
        self._whole_max = whole_max

    def of(self, type_: Type) -> Draw:
        match type_:
            case ("ref", entity) if self._ids.get(entity):
                return Draw(tuple(self._ids[entity]), whole=True)
            case ("int", int(low), int(high)) if high - low < self._whole_max:
                return Draw(tuple(range(low, high + 1)), whole=True)
            case ("list", inner, int(size)) if (drawn := self.of(inner)).whole and size <= KEPT_MAX:
                if sum(len(drawn.values) ** n for n in range(size + 1)) > self._whole_max:
                    return super().of(type_)
                lists = chain.from_iterable(product(drawn.values, repeat=n) for n in range(size + 1))
                return Draw(tuple(lists), whole=True)
            case _:
                return super().of(type_)

    def combinations(
        self, params: Iterable[shape.Param], mattering: frozenset[str], where: str
    ) -> list[dict[str, Plain]]:
        """Return the parameters in every combination; where that is too many, the large numbers by their boundaries."""
        known = list(params)
        whole_max = self._whole_max
        while self._whole_max > WHOLE_LEAST and self._many(known, mattering) > COMBINATIONS_MAX:
            self._whole_max = max(WHOLE_LEAST, self._whole_max // 2)
        try:
            return super().combinations(known, mattering, where)
        finally:
            self._whole_max = whole_max

    def _many(self, params: Iterable[shape.Param], mattering: frozenset[str]) -> int:
        return prod(len(self.of(each.type).values) for each in params if each.name in mattering)


class Slots(Struct):
    """Where one instance is kept: the numbers of its variables."""

    state: int
    fields: dict[str, tuple[int, ...]] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    whenevers: dict[str, int] = field(default_factory=dict)
    together: dict[tuple[str, str], int] = field(default_factory=dict)
    calls: dict[tuple[str, int, int, str], int] = field(default_factory=dict)
    """By site, caller, what is remembered, and standing."""
    deferred: list[tuple[int, dict[str, tuple[int, ...]]]] = field(default_factory=list)
    """Each place of the queue: its kind, and the parameters by `action.param`."""
    counted: dict[int, int] = field(default_factory=dict)
    """By the number of a `needs` property: who has been counted, as a mask."""

    def all(self) -> list[int]:
        """Return all of them, in the same order for each instance."""
        found = [self.state, *(i for at in self.fields.values() for i in at), *self.timers.values()]
        found += [*self.whenevers.values(), *self.together.values(), *self.calls.values()]
        for kind, params in self.deferred:
            found += [kind, *(i for at in params.values() for i in at)]
        return [*found, *self.counted.values()]


class Layout:
    """A system's variables, and what they mean."""

    def __init__(
        self,
        table: Table,
        counts: Mapping[str, int],
        *,
        pending_max: int,
        deferred_max: int,
        sends_max: int,
        texts: Iterable[str] = (),
    ) -> None:
        self.table = table
        self.counts = dict(counts)
        self.pending_max = max(pending_max, *(calls_at_once(table.entities[name]) for name in counts))
        self.deferred_max, self.sends_max = deferred_max, sends_max
        self.ids = {name: ids_of(name, count) for name, count in counts.items()}
        cones = joint_cones(table, counts)
        first = next(iter(cones.values()))
        self.principals = principals_of(table, counts, cones)
        self.matters = first.caller.principals or len(self.principals) > 1
        """Whether it matters who somebody is."""
        self.roles = first.caller.roles
        self.kinds: dict[str, Kind] = {}
        for whole_max, events_max in WHOLE:
            for name, count in counts.items():
                self.kinds[name] = self._kind(name, count, cones[name], whole_max)
            if events_max is None or self._events() <= events_max:
                break
        self.words = self._words(texts)
        self.callers = self._callers()
        self._causers: dict[tuple[str, tuple[str, ...]], tuple[Caller, ...]] = {}
        self.variables: list[Var] = []
        self.slots: dict[tuple[str, int], Slots] = {}
        self.queues: dict[tuple[tuple[str, int], tuple[str, int]], list[tuple[int, dict[str, tuple[int, ...]]]]] = {}
        self.sends = sends_of(table, counts)
        for kind in self.kinds.values():
            self._fill(kind)
        for kind in self.kinds.values():
            for number in range(kind.count):
                self._place(kind, number)
        self._queues()
        self.spans: dict[Code, tuple[int, int]] = {}
        self.after = False

    # --- what matters -------------------------------------------------------------------------------------------------

    def _events(self) -> int:
        """Return how many events of people there are."""
        return sum(
            kind.count * len(kind.moves.acts(state))
            for kind in self.kinds.values()
            for state in ("new", *kind.entity.states)
        )

    def _kind(self, name: str, count: int, cone: Cone, whole_max: int) -> Kind:
        table = self.table
        entity = table.entities[name]
        clocks = clocks_of(table, entity)
        if clocks.blind is not None:
            raise UnloweredError(clocks.blind)
        draws = SystemDraws(table, entity, self.principals, self.ids, whole_max, count)
        canon = Canon(table, entity, cone, draws, clocks.tainted)
        caused = {role: causes(table, role) for role in cone.caller.roles}
        moves = Moves(table, entity, cone, draws, self.principals, caused)
        return Kind(entity, count, cone, clocks, draws, canon, moves, scoped_of(table, entity, cone, draws))

    def _words(self, first: Iterable[str]) -> Words:
        texts = [*first]
        digits = 0
        for kind in self.kinds.values():
            texts += [v for v in kind.draws.of(("string",)).values if isinstance(v, str)]
            texts += ["failed", "timeout", "bad_answer"]
            texts += [no_answer(clause.tool) for _, clause in calls_of(self.table, kind.entity)]
            for type_, json in literals(self.table, kind.entity):
                value = decode(type_, json, records=self.table.records)
                texts += [value] if isinstance(value, str) and type_[0] == "string" else []
                digits = max(digits, _digits(value))
            for each in kind.entity.fields:
                digits = max(
                    digits, *(_digits(Decimal(e)) for e in each.type[1:] if each.type[0] == "decimal" and e), 0
                )
                if "decimal" in str(each.type):
                    digits = max(digits, 2)
        texts = list(dict.fromkeys(texts))
        texts += [a + b for a, b in self._put_together(texts)]
        return Words(self.table, self.principals, texts, self.ids, digits * (2 if self._multiplied() else 1))

    def _multiplied(self) -> bool:
        """Say whether decimals are multiplied somewhere, and so become finer."""
        return any(
            part[0] == "*" and "to_decimal" not in {part[1][0], part[2][0]} and type_of(part, use.names)[0] == "decimal"
            for kind in self.kinds.values()
            for use in uses(self.table, kind.entity)
            for part in walk(without_lets(use.expr, use.names))
        )

    def _put_together(self, texts: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The texts that are put together somewhere, of those that there are."""
        for kind in self.kinds.values():
            for use in uses(self.table, kind.entity):
                for part in walk(without_lets(use.expr, use.names)):
                    if part[0] == "concat" and type_of(part, use.names)[0] == "string":
                        sides = [[e[2]] if e[0] == "lit" else texts for e in part[1:]]
                        if prod(map(len, sides)) > TEXTS_MAX:
                            raise UnloweredError(f"more than {TEXTS_MAX} texts put together", describe_expr(part))
                        yield from product(*sides)

    def _callers(self) -> list[Caller]:
        """Return everyone who acts, as far as it makes a difference to what they do and what follows."""
        found: dict[Caller, None] = {}
        for kind in self.kinds.values():
            for state in ("new", *kind.entity.states):
                for event in kind.moves.acts(state):
                    if not event.by_system:
                        found[kind.canon.caller(event.caller, (event.action,))] = None
        return list(found)

    def causers(self, entity: str, actions: tuple[str, ...]) -> tuple[Caller, ...]:
        """Return everyone on whose behalf the system may take one of the actions, as far as it makes a difference."""
        known = self._causers.get((entity, actions))
        if known is None:
            kind = self.kinds[entity]
            told = kind.cone.told(actions)
            # Nobody in particular causes nothing that looks at who it is.
            some = (each for each in self.callers if not told.principals or each.principal != NOBODY)
            known = tuple(dict.fromkeys(kind.canon.caller(each, actions) for each in some))
            self._causers[entity, actions] = known
        return known

    def causer(self, caller: Caller, entity: str, actions: tuple[str, ...]) -> int:
        """Return the number of a caller among those on whose behalf the system may take one of the actions."""
        return self.causers(entity, actions).index(self.kinds[entity].canon.caller(caller, actions))

    def timed_by(self, kind: Kind, site: str) -> tuple[Caller, ...]:
        """Return those on whose behalf a timer or a `whenever` may fire."""
        return self.causers(kind.name, kind.fires(site))

    def deferred_by(self, kind: Kind) -> list[tuple[Caller, ...]]:
        """Return, for each kind of what an entity defers, those on whose behalf it waits."""
        return [self.causers(kind.name, (action,)) for action, _ in kind.deferrable]

    def sent_by(self, sender: str, target: str) -> list[tuple[Caller, ...]]:
        """Return, for each action that one kind of entity sends to another, those on whose behalf it is sent."""
        return [self.causers(target, (action,)) for action in self.sends[sender, target]]

    def counted(self, kind: Kind) -> dict[int, tuple[Voice, ...]]:
        """Return, for each `needs` about a kind, everyone who can be counted."""
        found = {}
        for index, each in enumerate(self.table.properties):
            if isinstance(each, shape.Needs) and states_of(self.table, each, each.states).get(kind.name):
                callers = self.causers(kind.name, tuple(each.by or kind.entity.actions))
                some = (c for c in callers if each.role is None or each.role in c.roles)
                members = dict.fromkeys(voice(each, c.principal, c.acts_for) for c in some)
                if len(members) > ELEMENTS_MAX:
                    raise UnloweredError(f"more than {ELEMENTS_MAX} callers to count")
                found[index] = tuple(members)
        return found

    # --- spaces -------------------------------------------------------------------------------------------------------

    def space(
        self,
        type_: Type,
        kind: Kind,
        moment: int,
        *,
        scoped: tuple[int, int, bool] | None = None,
        empty: bool = True,
    ) -> Space:
        """Return where a value of a type is kept. Where that may be `empty`, a name there is none then.

        Else it would be the first one's, and tell it from others that it can be exchanged for.
        """
        words = self.words
        names = words.names(type_)
        if names is not None:
            nobody = empty and type_[0] in {"ref", "principal"} and len(names) > 1
            return Number(words, type_, -1 if nobody else 0, len(names) - 1, closed=True)
        match type_:
            case ("int" | "decimal", low, high):
                return self._number_space(type_, low, high, kind, scoped)
            case ("time",):
                return Fixed(const(moment), moment)
            case ("duration",):
                drawn = [v for v in kind.draws.of(type_).values if isinstance(v, int)]
                return Number(words, type_, min(drawn), max(drawn), closed=False)
            case ("optional", inner):
                return Opt(self.space(inner, kind, moment, scoped=scoped, empty=False), words.empty(inner))
            case ("set", inner, _):
                return Mask(words, inner) if inner[0] == "ref" else Elements(words, inner)
            case ("record", name):
                parts = self.table.records[name]

                def record(values: tuple[Value, ...]) -> Value:
                    return Parts(name, values)

                return Several([self.space(part.type, kind, moment, empty=False) for part in parts], record, None)
            case ("map", key, inner, _):
                keys = [words.plain(key, n) for n in words.keys(key)]

                def keyed(values: tuple[Value, ...]) -> Value:
                    return Keyed(key, inner, values)  # type: ignore[arg-type]  # a map's entries are `T?`s

                return Several([self.space(("optional", inner), kind, moment) for _ in keys], keyed, tuple(keys))
            case ("list", inner, int(size)):
                most = min(size, KEPT_MAX)
                items = self.space(inner, kind, moment, empty=False)
                return Items(items, inner, words.empty(inner), most, closed=most == size)
            case _:
                raise UnloweredError("a list without an end")

    def _number_space(
        self, type_: Type, low: Any, high: Any, kind: Kind, scoped: tuple[int, int, bool] | None
    ) -> Space:
        words = self.words
        closed = low is not None and high is not None
        if scoped is not None:
            least, most = (words.number(type_, end) for end in scoped[:2])
            if low is not None:
                least = max(least, words.number(type_, low))
            if high is not None:
                most = min(most, words.number(type_, high))
            closed = closed and (least, most) == (words.number(type_, low), words.number(type_, high))
        elif closed:
            least, most = words.number(type_, low), words.number(type_, high)
        else:
            least, most = (words.number(type_, end) for end in kind.draws.open_range(type_))
        if most - least >= SIZE_MAX:
            raise UnloweredError(f"a number with more than {SIZE_MAX:,} values")
        return Number(words, type_, least, max(most, least), closed=closed)

    def _fill(self, kind: Kind) -> None:
        """Work out what is kept of each instance of a kind."""
        entity = kind.entity
        kind.defaults = dict(default_values(self.table, kind.name))
        for index, each in enumerate(entity.fields):
            if each.name not in kind.cone.fields:
                continue
            moment = FIELD_MOMENT * (index + 1)
            tainted = each.name in kind.clocks.tainted
            try:
                kind.spaces[each.name] = (
                    self._moment_space(each.type, moment)
                    if tainted
                    else self.space(each.type, kind, moment, scoped=kind.scoped.get(each.name))
                )
            except UnloweredError as problem:
                raise UnloweredError(problem.reason, f"{kind.name}.{each.name}") from problem
        kind.durations = constant_durations(entity)
        kind.ignored = ignored_everywhere(entity)
        for place in entity.places:
            for timer in place.timers:
                kind.timers[timer.site] = (place, timer)
            for whenever in place.whenevers:
                kind.whenevers[whenever.site] = (place, whenever)
        for names, clause in calls_of(self.table, entity):
            kind.sites[clause.site] = self._site(kind, names, clause)
        kind.deferrable = tuple(
            (action, site)
            for action in dict.fromkeys(name for place in entity.places for name in place.defer)
            for site in ("", *(place.site for place in entity.places if action in place.defer))
        )

    def _moment_space(self, type_: Type, moment: int) -> Space:
        match type_:
            case ("time",):
                return Fixed(const(moment), moment)
            case ("duration",) | ("int", _, _):
                return Fixed(const(0), 0)
            case ("optional", ("time" | "duration" | "int", *_)):
                return Opt(self._moment_space(type_[1], moment), const(0))
            case _:
                raise UnloweredError("moments in a collection or a record")

    def _site(self, kind: Kind, names: Names, clause: shape.Call) -> CallSite:
        """Work out what a call remembers: the parts of its handlers' arguments that are read when it is made."""
        memories: list[Memory] = []
        for which, handler in outcomes(clause):
            for param, e in handler.args:
                whole = without_lets(e, names)
                if not answers(self.table, kind, names, handler.action, param, whole):
                    continue
                for part in _read_at_once(whole):
                    if any(inner[0] in {"//", "%", "value"} for inner in walk(part)):
                        raise UnloweredError("a call that remembers what may have no value", describe_expr(part))
                    type_ = type_of(part, names)
                    memories.append(Memory(which, param, part, self.space(type_, kind, 0, empty=False), type_))
        sizes = [range(low, low + size) for memory in memories for size, low, _ in memory.space.sizes]
        total = 1
        for each in sizes:
            total *= len(each)
        if total > MEMORIES_MAX:
            raise UnloweredError(f"a pending `{clause.tool}` that remembers one of {total:,} things")
        return CallSite(clause, names, tuple(memories), tuple(product(*sizes)))

    # --- variables ----------------------------------------------------------------------------------------------------

    def _var(self, name: str, size: int, low: int = 0, labels: tuple[str, ...] = ()) -> int:
        self.variables.append(Var(name, size, low, labels))
        return len(self.variables) - 1

    def _kept_in(self, name: str, space: Space) -> tuple[int, ...]:
        several = len(space.sizes) > 1
        made = [
            self._var(f"{name}#{n + 1}" if several else name, size, low, labels)
            for n, (size, low, labels) in reversed(list(enumerate(space.sizes)))
        ]
        return tuple(reversed(made))

    def _place(self, kind: Kind, number: int) -> None:
        who = self.ids[kind.name][number]
        # States that differ in the first variables lie beside each other, and take the less room the more of them there
        # are: the state, to which all else is bound, comes last. What is declared last is often bound to least.
        fields = {name: self._kept_in(f"{who}.{name}", kind.spaces[name]) for name in reversed(kind.spaces)}
        states = (NOT_THERE, *kind.entity.states)
        slots = Slots(self._var(f"{who}.state", len(states), 0, states))
        slots.fields = {name: fields[name] for name in kind.spaces}
        for site in kind.timers:
            slots.timers[site] = self._var(f"{who} {site}", 1 + len(self.timed_by(kind, site)))
        for site in kind.whenevers:
            slots.whenevers[site] = self._var(f"{who} {site}", 1 + len(self.timed_by(kind, site)))
        for a, b in _apart(kind):
            slots.together[a, b] = self._var(f"{who} {a} with {b}", 2)
        for site, call in kind.sites.items():
            causers = range(len(self.causers(kind.name, call.actions)))
            for caller, memory in product(causers, range(len(call.kept))):
                for standing in (CURRENT, PAST, ENDED):
                    key = (site, caller, memory, standing)
                    slots.calls[key] = self._var(f"{who} {site} {standing}", 1 + self.pending_max)
        if kind.deferrable:
            for position in range(self.deferred_max):
                size = 1 + sum(map(len, self.deferred_by(kind)))
                at = self._var(f"{who} deferred {position + 1}", size)
                actions = dict.fromkeys(action for action, _ in kind.deferrable)
                slots.deferred.append((at, self._carried(f"{who} deferred {position + 1}", kind, actions)))
        for index, members in self.counted(kind).items():
            slots.counted[index] = self._var(f"{who} counted {index}", 1 << len(members))
        self.slots[kind.name, number] = slots

    def _carried(self, name: str, kind: Kind, actions: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Make variables for the parameters of actions that wait."""
        found = {}
        for action in actions:
            for param in kind.entity.actions[action].params:
                if (action, param.name) in kind.cone.params:
                    space = self.space(param.type, kind, 0)
                    found[f"{action}.{param.name}"] = self._kept_in(f"{name} {action}.{param.name}", space)
        return found

    def _queues(self) -> None:
        for (sender, target), actions in self.sends.items():
            kind = self.kinds[target]
            for a, b in product(range(self.counts[sender]), range(kind.count)):
                name = f"{self.ids[sender][a]} to {self.ids[target][b]}"
                self.queues[(sender, a), (target, b)] = [
                    (
                        self._var(f"{name} {n + 1}", 1 + sum(map(len, self.sent_by(sender, target)))),
                        self._carried(f"{name} {n + 1}", kind, actions),
                    )
                    for n in range(self.sends_max)
                ]

    # --- reading ------------------------------------------------------------------------------------------------------

    def var(self, index: int) -> Code:
        """Return a variable's value, before the step or (where `after` is set) after it."""
        if self.variables[index].size == 1:
            return const(self.variables[index].low)
        return ("next" if self.after else "var", index)

    def count(self, entity: str) -> int:
        """Return how many there may be."""
        return self.counts.get(entity, 0)

    def exists(self, entity: str, number: int) -> Code:
        """Return that one of them is there."""
        state = self.var(self.slots[entity, number].state)
        return ("!=", state, const(0))

    def state_code(self, entity: str, state: str) -> int:
        """Return the number of a state, 0 for `new`."""
        return 0 if state == "new" else 1 + self.kinds[entity].entity.states.index(state)

    def is_in(self, entity: str, number: int, states: Sequence[str]) -> Code:
        """Return that one is in one of these states."""
        state = self.var(self.slots[entity, number].state)
        return either(*(eq(state, const(self.state_code(entity, each))) for each in states)) if states else FALSE

    def value(self, entity: str, number: int, name: str) -> Value:
        """Return the value of a field."""
        kind = self.kinds[entity]
        space = kind.spaces.get(name)
        if space is None:
            return self.plain(kind, name)
        return space.read([self.var(index) for index in self.slots[entity, number].fields[name]])

    def plain(self, kind: Kind, name: str) -> Value:
        """Return what stands for a field that makes no difference."""
        if name not in kind.plain:
            type_ = next(each.type for each in kind.entity.fields if each.name == name)
            kind.plain[name] = self.words.empty(type_)
        return kind.plain[name]

    def span(self, code: Code) -> tuple[int, int]:
        """Return between which ends a code lies."""
        found = self.spans.get(code)
        if found is None:
            found = self.spans[code] = self._span(code)
        return found

    def _span(self, code: Code) -> tuple[int, int]:
        match code:
            case ("const", n):
                return n, n
            case ("var" | "next", index):
                each = self.variables[index]
                return each.low, each.low + each.size - 1
            case ("+", a, b):
                (a0, a1), (b0, b1) = self.span(a), self.span(b)
                return a0 + b0, a1 + b1
            case ("-", a, b):
                (a0, a1), (b0, b1) = self.span(a), self.span(b)
                return a0 - b1, a1 - b0
            case ("*", a, b):
                corners = [x * y for x in self.span(a) for y in self.span(b)]
                return min(corners), max(corners)
            case ("//", a, b):
                (a0, a1), (b0, b1) = self.span(a), self.span(b)
                ends = [x // y for x in (a0, a1) for y in {b0, b1, -1, 1} if y != 0 and b0 <= y <= b1]
                return (min(ends), max(ends)) if ends else (0, 0)
            case ("%", _, b):
                b0, b1 = self.span(b)
                return min(0, b0 + 1), max(0, b1 - 1)
            case ("min", a, b):
                (a0, a1), (b0, b1) = self.span(a), self.span(b)
                return min(a0, b0), min(a1, b1)
            case ("max", a, b):
                (a0, a1), (b0, b1) = self.span(a), self.span(b)
                return max(a0, b0), max(a1, b1)
            case ("ite", _, a, b):
                (a0, a1), (b0, b1) = self.span(a), self.span(b)
                return min(a0, b0), max(a1, b1)
            case ("bits_or", a, b):
                widest = max(self.span(a)[1], self.span(b)[1])
                return 0, (1 << widest.bit_length()) - 1
            case ("bits_and", a, b):
                return 0, min(self.span(a)[1], self.span(b)[1])
            case ("bits_without", a, _):
                return 0, self.span(a)[1]
            case ("bit", a):
                low, high = self.span(a)
                return 1 << low, 1 << high
            case ("count", a):
                return 0, self.span(a)[1].bit_length()
            case _:
                return 0, 1


# --- what belongs together --------------------------------------------------------------------------------------------


def ids_of(entity: str, count: int) -> tuple[str, ...]:
    """Return the ids that the instances of an entity have in the search."""
    return tuple(f"{entity[:1].lower()}{n + 1}" for n in range(count))


def no_answer(tool: str) -> str:
    """Return the text of a failure that is an `unknown`, as `step` writes it."""
    return f"`{tool}` gave no answer in time"


def sends_of(table: Table, counts: Mapping[str, int]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return which actions one kind of entity sends to another."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for name in counts:
        for _, clause in all_clauses(table.entities[name]):
            if isinstance(clause, shape.Send):
                found.setdefault((name, clause.entity), {})[clause.action] = None
    return {pair: tuple(actions) for pair, actions in found.items()}


def joint_cones(table: Table, counts: Mapping[str, int]) -> dict[str, Cone]:
    """Return what matters of each kind where they stand together: what one reads of another, and what flows to it."""
    matters: set[Owned] = set()
    flows: list[tuple[Owned, set[Owned]]] = []
    cones = {name: cone_of(table, table.entities[name]) for name in counts}
    looks: dict[str, list[Look]] = {name: [] for name in counts}
    for name, cone in cones.items():
        entity = table.entities[name]
        matters |= {(name, ("field", f)) for f in cone.fields} | {(name, ("param", *p)) for p in cone.params}
        if counts[name] > 1:
            matters |= {(name, ("field", f)) for unique in entity.uniques for f in unique.fields}
            matters |= {(name, ("field", f)) for f in entity.key}
        for inverse in entity.inverses:
            if counts.get(inverse.entity, 0) > inverse.max:
                # Nobody need read the set: one too many is refused.
                matters.add((inverse.entity, ("field", inverse.field)))
        for use in uses(table, entity):
            read = set(_reads(table, entity, use.expr, use.names, use.action))
            into = None if use.into is None else tuple((name, node) for node in use.into)
            looks[name] += [(use.action, node, into) for _, node in read if node[0] in CALLERS]
            if use.into is None:
                matters |= read
            else:
                flows.extend(((name, node), read) for node in use.into)
        for action, clause in all_clauses(entity):
            if isinstance(clause, shape.Send | shape.With | shape.Create) and clause.entity in counts:
                names = names_in(table, entity, entity.actions[action] if action is not None else None)
                for param, e in clause.args:
                    read = set(_reads(table, entity, e, names, action, loose=True))
                    target: Owned = (clause.entity, ("param", clause.action, param))
                    flows.append((target, read))
                    looks[name] += [(action, node, (target,)) for _, node in read if node[0] in CALLERS]
                if not isinstance(clause, shape.Create):
                    read = set(_reads(table, entity, clause.target, names, action, loose=True))
                    looks[name] += [(action, node, None) for _, node in read if node[0] in CALLERS]
                    matters |= read
    for each in table.properties:
        if isinstance(each, shape.Always):
            entity_of = table.entities[each.entity] if each.entity is not None else None
            for part in walk(each.condition):
                if part[0] == "read":
                    matters.add((part[2], ("field", part[3])))
                if part[0] == "inverse" and entity_of is not None:
                    inverse = next(i for i in entity_of.inverses if i.name == part[1])
                    matters.add((inverse.entity, ("field", inverse.field)))
    grown = True
    while grown:
        more = {node for target, read in flows if target in matters for node in read} - matters
        matters |= more
        grown = bool(more)
    kept = {
        name: [(action, node) for action, node, into in mine if into is None or matters.intersection(into)]
        for name, mine in looks.items()
    }
    known = travelled(table, kept)
    asked = set().union(*(nodes for actions in known.values() for nodes in actions.values()))
    asked |= {("role", role) for cone in cones.values() for role in cone.caller.roles}
    return {
        name: Cone(
            frozenset(n[1] for owner, n in matters if owner == name and n[0] == "field"),
            frozenset((n[1], n[2]) for owner, n in matters if owner == name and n[0] == "param"),
            told_of(asked),
            known[name],
        )
        for name in counts
    }


Owned: TypeAlias = tuple[str, tuple[str, ...]]
"""A node of a cone, and whose it is."""
Look: TypeAlias = tuple[str | None, tuple[str, ...], tuple[Owned, ...] | None]


def _reads(
    table: Table, entity: shape.Entity, e: Expr, names: Any, action: str | None, *, loose: bool = False
) -> Iterator[tuple[str, tuple[str, ...]]]:
    whole = e if loose else without_lets(e, names)
    for part in walk(whole):
        match part[0]:
            case "field":
                yield entity.name, ("field", part[1])
            case "param" if action is not None:
                yield entity.name, ("param", action, part[1])
            case "caller" | "acts_for":
                yield entity.name, (part[0],)
            case "has_role":
                yield entity.name, ("role", part[1])
            case "read":
                yield part[2], ("field", part[3])
            case "inverse":
                inverse = next(each for each in entity.inverses if each.name == part[1])
                yield inverse.entity, ("field", inverse.field)
            case "let" if loose:
                for let in _lets(entity, action, part[1]):
                    yield from _reads(table, entity, let.value, names, action, loose=True)
            case _:
                pass


def _lets(entity: shape.Entity, action: str | None, name: str) -> Iterator[shape.Let]:
    """Every derived value of that name that may be meant in an action."""
    yield from (let for let in entity.lets if let.name == name)
    if action is not None:
        found = entity.actions[action]
        yield from (let for let in found.lets if let.name == name)
        yield from (let for case in found.cases for let in case.lets if let.name == name)


def _apart(kind: Kind) -> Iterator[tuple[str, str]]:
    """The pairs of timers of which it has to be kept whether they were armed together."""
    sites = [site for site in kind.timers if site in kind.durations]
    for position, a in enumerate(sites):
        for b in sites[position + 1 :]:
            here, there = kind.timers[a][0], kind.timers[b][0]
            if here is not there and set(here.states) & set(there.states):
                yield a, b


def _digits(value: Any) -> int:
    if not isinstance(value, Decimal):
        return 0
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _read_at_once(e: Expr) -> Iterator[Expr]:
    """The largest parts of a handler's argument that need no result and no error."""
    if e[0] in {"result", "error", "lit", "none"}:
        return
    if not any(part[0] in {"result", "error"} for part in walk(e)):
        yield e
        return
    if e[0] in {"all", "any", "count", "sum", "first", "filter", "map_set", "map_list"}:
        raise UnloweredError("a quantifier over what a call answers")
    for part in children(e):
        yield from _read_at_once(part)


def answers(table: Table, kind: Kind, names: Names, action: str, param: str, e: Expr) -> bool:
    """Say whether an argument of an outcome's handler makes a difference: to what is done, or to whether it is."""
    if (action, param) in kind.cone.params:
        return True
    type_ = next(each.type for each in kind.entity.actions[action].params if each.name == param)
    return any(part[0] in {"result", "error"} for part in walk(e)) and bounded(type_, table)


def calls_of(table: Table, entity: shape.Entity) -> Iterator[tuple[Names, shape.Call]]:
    """Every call of an entity, with what names mean where it stands."""
    for action in entity.actions.values():
        names = names_in(table, entity, action)
        yield from ((names, clause) for clause in flat(action.body) if isinstance(clause, shape.Call))
        for case in action.cases:
            cased = names_in(table, entity, action, case)
            yield from ((cased, clause) for clause in flat(case.body) if isinstance(clause, shape.Call))
    for place in entity.places:
        own = names_in(table, entity)
        yield from ((own, clause) for clause in flat((*place.entry, *place.exit)) if isinstance(clause, shape.Call))
