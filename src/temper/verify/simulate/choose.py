"""What happens next in a run, drawn by one source of chance and steered to what has seldom been seen.

People ask mostly for what their entity's state has a case for, the rarest first; sometimes for anything at all. A
guide is a shortest run of the search to a state or a case: a run that follows one gets where chance would not, and
goes on from there with everything that can fail.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from temper.table import (
    Act,
    Ending,
    Event,
    Fire,
    NoValue,
    Outcome,
    Snapshot,
    Table,
    Type,
    Value,
    digest,
    encode,
    encode_args,
    evaluate,
    next_due,
    shape,
)
from temper.verify.clauses import NEW, admitted, by_people
from temper.verify.explore.draws import Draws
from temper.verify.simulate.decisions import Again, Ask, Crash, Decision, Operate, Reply, Swap, Turn, Wait
from temper.verify.simulate.disk import Fate, Ill
from temper.verify.simulate.watch import MANY
from temper.verify.simulate.world import Flight, World

PEOPLE = ("ann", "bob", "cat")
# Entities of one kind in a run: enough to meet each other.
INSTANCES_MAX = 3
WILD = 0.06
_FATES = tuple(Fate)
# Those after which nobody knows whether an attempt has started.
_UNSURE = (Fate.KEPT, Fate.LOST, Fate.LATENT, Fate.CRASH, Fate.CRASH_AFTER)
# Faults of which a part stays.
_PARTS = frozenset({Fate.CRASH, Fate.SCATTERED, Fate.CRASH_AFTER})
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Guide:
    """A run of one entity that leads somewhere, and where."""

    entity: str
    to: str
    events: tuple[Event, ...]


class Choice:
    """Draws decisions for one world. `chance` is the only source of them."""

    def __init__(self, world: World, chance: Random, guides: Sequence[Guide] = (), *, swaps: bool = True) -> None:
        self._world = world
        self._chance = chance
        self._swaps = swaps
        self._digest = digest(world.target)
        self._asked = 0
        self._tries: Counter[tuple[str, str, str, int]] = Counter()
        self._people: dict[int, dict[str, Draws]] = {}
        self._guide = chance.choice(guides) if guides and chance.random() < 0.75 else None
        self._left: deque[Event] = deque(self._guide.events if self._guide else ())
        self._guided: str | None = None
        self._patience = 0

    @property
    def _table(self) -> Table:
        return self._world.host.table

    def next(self) -> Decision:
        """Return the next decision."""
        world, chance = self._world, self._chance
        if self._swaps and world.watch.claimed != self._digest and chance.random() < 0.02:
            return Swap(self._ill() if chance.random() < 0.3 else None)
        if self._left and chance.random() < 0.7:
            found = self._follow()
            if found is not None:
                return found
        if world.queue and chance.random() < 0.5:
            return self._turn()
        open_flights = [flight for flight in world.flights.values() if flight.end is None]
        roll = chance.random()
        if open_flights and roll < 0.25:
            return self.reply(chance.choice(open_flights))
        if roll < 0.62:
            return self._ask()
        if roll < 0.76:
            return self._turn()
        if roll < 0.88:
            return self._wait()
        if roll < 0.91 and world.flights:
            return self.reply(chance.choice(list(world.flights.values())))
        if roll < 0.95 and world.asks:
            self._asked += 1
            return Again(f"a{self._asked}", chance.choice(list(world.asks)), chance.random() < 0.1)
        if roll < 0.975:
            return Crash()
        if roll < 0.985 and self._swaps:
            return Swap(self._ill() if chance.random() < 0.3 else None)
        return self._operate() or self._turn()

    # --- the host -----------------------------------------------------------------------------------------------------

    def _turn(self) -> Turn:
        chance = self._chance
        world = self._world
        # A fault while an attempt starts is what an outbox is for: there are more of them there.
        starts = any(world.disk.calls(world.at, tool, 1) for tool in self._table.tools)
        ill = self._ill(_UNSURE if starts else _FATES) if chance.random() < (0.2 if starts else 0.08) else None
        slow_ms = chance.choice((5, 200, 5 * _SECOND)) if chance.random() < 0.08 else 0
        held: frozenset[tuple[str, str]] = frozenset()
        sends = self._world.disk.sends(self._world.at, MANY) if chance.random() < 0.4 else ()
        if sends:
            targets = sorted({(row.send.entity, row.send.entity_id) for row in sends if row.send is not None})
            held = frozenset(target for target in targets if chance.random() < 0.5)
        room = 8 if chance.random() < 0.8 else chance.randrange(2)
        return Turn(room, ill, slow_ms, held, chance.random() < 0.3)

    def _ill(self, fates: Sequence[Fate] = _FATES) -> Ill:
        fate = self._chance.choice(fates)
        return Ill(fate, self._chance.choice((0.0, 0.3, 0.9, 1.0)) if fate in _PARTS else 0.0)

    def _wait(self) -> Wait:
        chance, world = self._chance, self._world
        wake = world.host.next_wake()
        if wake is not None and wake > world.at and chance.random() < 0.6:
            # At it, or a little before: nothing may fire early.
            return Wait(max(0, wake - world.at - chance.choice((0, 0, 0, 1))))
        timeouts = [flight.until for flight in world.flights.values() if flight.end is None and not flight.timed_out]
        if timeouts and chance.random() < 0.2:
            return Wait(max(0, min(timeouts) - world.at))
        if chance.random() < 0.05:
            return Wait(chance.choice((_DAY, 40 * _DAY)))
        return Wait(chance.choice((1, 20, _SECOND, 20 * _SECOND, _MINUTE, 10 * _MINUTE, _HOUR)))

    def _operate(self) -> Operate | None:
        letters = self._world.disk.letters(limit=20)
        if not letters:
            return None
        return Operate(self._chance.choice(list(letters)).order, self._chance.random() < 0.5)

    # --- tools --------------------------------------------------------------------------------------------------------

    def reply(self, flight: Flight) -> Reply:
        """Return how a tool ends an attempt: mostly it answers."""
        chance, attempt = self._chance, flight.attempt
        if chance.random() < 0.7:
            return self.answer(flight)
        texts = [value for value in self._draws_of(attempt.entity).of(("string",)).values if isinstance(value, str)]
        kind = chance.choice(["failed", *texts])
        return Reply(attempt.order, attempt.number, Ending.FAILED, {}, kind, "it failed", chance.random() < 0.5)

    def answer(self, flight: Flight) -> Reply:
        """Return the answer of a tool, drawn from its declared types."""
        attempt = flight.attempt
        tool = self._table.tools.get(attempt.tool)
        results = self._args(attempt.entity, tool.results) if tool is not None else {}
        return Reply(attempt.order, attempt.number, Ending.ANSWERED, results)

    # --- people -------------------------------------------------------------------------------------------------------

    def _ask(self) -> Decision:
        chance = self._chance
        if chance.random() < WILD:
            return self._wild()
        found = list(self._possible())
        if not found:
            return self._turn()
        weights = [weight for weight, *_ in found]
        _, entity, id, action, cases = chance.choices(found, weights)[0]
        self._tries[entity, id, action.name, self._since(entity, id, action)] += 1
        case = chance.choices(cases, [1 / (1 + self._world.watch.cases[case.site]) for case in cases])[0]
        by = [each for each in admitted(action, case) if each.kind != "system"]
        roles: set[str] = set()
        named: tuple[str, ...] = ()
        if by:
            admitting = chance.choice(by)
            if admitting.role is not None:
                roles.add(admitting.role)
            named = self._named(entity, id, admitting)
        return self._asking(entity, id, action, roles, named)

    def _since(self, entity: str, id: str, action: shape.Action) -> int:
        """Return a number that is another one once what an action rests on has changed."""
        watch = self._world.watch
        now = watch.rows.get(entity, {}).get(id)
        if now is not None:
            return now.version
        # Whoever is new rests on those it will refer to.
        return watch.commits if any(param.type[0] == "ref" for param in action.params) else 0

    def _named(self, entity: str, id: str, by: shape.By) -> tuple[str, ...]:
        """Return those whom a `by` names now."""
        now = self._world.watch.rows.get(entity, {}).get(id)
        if by.who is None or now is None:
            return ()
        try:
            who = evaluate(self._table, entity, by.who, now, at=self._world.at, world=self._world.watch.rows_of_all())
        except NoValue:
            return ()
        if isinstance(who, frozenset):
            return tuple(sorted(who))
        return (who,) if isinstance(who, str) else ()

    def _possible(self) -> Iterator[tuple[float, str, str, shape.Action, list[shape.Case]]]:
        """What people may ask for somewhere, with how much it is wanted: what was seldom taken, more."""
        world = self._world
        for kind, entity in self._table.entities.items():
            rows = world.watch.rows.get(kind, {})
            live = [(id, now.state) for id, now in rows.items() if now.state in entity.states]
            alive = sum(state not in entity.final for _, state in live)
            places = [(f"{kind[:1].lower()}{len(rows) + 1}", NEW)] if alive < INSTANCES_MAX else []
            for id, state in (*places, *live):
                if self._left and id == self._guided:
                    continue  # Whoever is led is left alone until it has got there.
                for action in entity.actions.values():
                    cases = [case for case in action.cases if state in case.froms and by_people(admitted(action, case))]
                    if cases:
                        seen = min(world.watch.cases[case.site] for case in cases)
                        rare = world.watch.states[kind, state]
                        # What was refused, and has not changed since, is not asked for again and again.
                        tries = self._tries[kind, id, action.name, self._since(kind, id, action)]
                        wanted = (1 / (1 + seen) + 0.5 / (1 + rare)) / (1 + tries) ** 2
                        # What would refer to nobody can wait until somebody is there.
                        yield wanted * (0.05 if self._refers_to_nobody(action) else 1), kind, id, action, cases

    def _refers_to_nobody(self, action: shape.Action) -> bool:
        rows = self._world.watch.rows
        return any(param.type[0] == "ref" and not rows.get(param.type[1]) for param in action.params)

    def _wild(self) -> Decision:
        """Anything, of anybody, by anyone."""
        chance = self._chance
        kind = chance.choice(list(self._table.entities.values()))
        if not kind.actions:
            return self._turn()
        ids = [*self._world.watch.rows.get(kind.name, {}), "nobody"]
        roles = {role.name for role in self._table.roles if chance.random() < 0.4}
        return self._asking(kind.name, chance.choice(ids), chance.choice(list(kind.actions.values())), roles)

    def _asking(self, entity: str, id: str, action: shape.Action, roles: set[str], named: Sequence[str] = ()) -> Ask:
        chance = self._chance
        self._asked += 1
        others = sorted(role.name for role in self._table.roles if role.name not in roles)
        if others and chance.random() < 0.15:
            more = chance.choice(others)
            if not any(more in role.excludes or (role.name == more and roles & set(role.excludes))
                       for role in self._table.roles if role.name in roles | {more}):  # fmt: skip
                roles = {*roles, more}
        likely = named if named and chance.random() < 0.8 else self._principals(entity, id)
        principal = chance.choice(likely)
        return Ask(
            f"a{self._asked}", entity, id, action.name, self._args(entity, action.params), principal,
            tuple(sorted(roles)), chance.choice(PEOPLE) if chance.random() < 0.1 else None,
            keyed=chance.random() < 0.4,
            stale=chance.choice((0, 0, 1)) if chance.random() < 0.12 else None,
            dry=chance.random() < 0.03,
        )  # fmt: skip

    def _principals(self, entity: str, id: str) -> Sequence[str]:
        """Everybody, and twice those whom the entity names."""
        now = self._world.watch.rows.get(entity, {}).get(id)
        if now is None:
            return PEOPLE
        named = [value for value in now.fields.values() if isinstance(value, str) and value in PEOPLE]
        return (*PEOPLE, *named)

    # --- values -------------------------------------------------------------------------------------------------------

    def _draws_of(self, entity: str) -> Draws:
        table = self._table
        known = self._people.setdefault(id(table), {})
        if entity not in known:
            known[entity] = Draws(table, table.entities[entity], PEOPLE)
        return known[entity]

    def _args(self, entity: str, params: Sequence[shape.Param]) -> dict[str, Any]:
        values: dict[str, Value] = {}
        keys = self._table.entities[entity].key
        for param in params:
            if (param.default is not None or param.type[0] == "optional") and self._chance.random() < 0.4:
                continue
            value = self._value(entity, param.type)
            if param.name in keys and param.type == ("string",) and self._used_up(entity, param.name):
                value = f"{value}{self._asked}"
            values[param.name] = value
        return {
            param.name: encode(param.type, values[param.name], self._table.records)
            for param in params
            if param.name in values
        }

    def _value(self, entity: str, type_: Type) -> Value:
        chance = self._chance
        match type_:
            case ("optional", inner):
                return None if chance.random() < 0.3 else self._value(entity, inner)
            case ("ref", kind):
                ids = list(self._world.watch.rows.get(kind, {}))
                # Now and then one that is not there, or not yet.
                return chance.choice(ids) if ids and chance.random() < 0.96 else f"{kind[:1].lower()}{len(ids) + 1}"
            case ("time",):
                return self._world.at + chance.choice((-_MINUTE, 0, 1, _SECOND, _MINUTE, _HOUR, _DAY))
            case ("record", name):
                return tuple(self._value(entity, part.type) for part in self._table.records[name])
            case _:
                values = self._draws_of(entity).of(type_).values
                # The first ones are the small ones: most runs are to be short enough to end.
                return chance.choice(values[:2] if chance.random() < 0.5 else values)

    def _used_up(self, kind: str, field: str) -> bool:
        """Say whether each string that is drawn for a key is that of an entity which has come to its end."""
        final = self._table.entities[kind].final
        ended = {now.fields.get(field) for now in self._world.watch.rows.get(kind, {}).values() if now.state in final}
        return ended.issuperset(self._draws_of(kind).of(("string",)).values)

    # --- a guide ------------------------------------------------------------------------------------------------------

    def _follow(self) -> Decision | None:
        """Return what brings the guide's next event about, `None` where that is not for now."""
        assert self._guide is not None, "its events are left"
        kind, event = self._guide.entity, self._left[0]
        now = self._world.watch.rows.get(kind, {}).get(self._guided or "")
        self._patience += 1
        if self._patience > 12:
            self._left.clear()  # Something came between.
            return None
        match event:
            case Act(by_system=False):
                return self._guided_act(kind, event, now)
            case Outcome():
                for flight in self._world.flights.values():
                    if flight.end is None and (flight.attempt.entity, flight.attempt.id) == (kind, self._guided):
                        self._done()
                        return self._guided_reply(flight, event)
                return Turn()
            case Fire():
                due = next_due(now) if now is not None else None
                self._done()
                return Wait(max(0, due - self._world.at)) if due is not None else None
            case _:
                self._done()
                return Turn()

    def _done(self) -> None:
        self._left.popleft()
        self._patience = 0

    def _guided_act(self, kind: str, event: Act, now: Snapshot | None) -> Decision | None:
        entity = self._table.entities.get(kind)
        action = entity.actions.get(event.action) if entity is not None else None
        if action is None:
            self._left.clear()
            return None
        if self._guided is not None and self._world.queue:
            return Turn()
        if self._guided is None:
            self._guided = f"{kind[:1].lower()}{len(self._world.watch.rows.get(kind, {})) + 1}"
        self._done()
        self._asked += 1
        params = {name: value for name, value in event.params.items() if name in {p.name for p in action.params}}
        try:
            encoded: Mapping[str, Any] = encode_args(action.params, params, self._table.records)
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            return None  # Of the other version of the table.
        return Ask(
            f"a{self._asked}", kind, self._guided, event.action, encoded, event.caller.principal,
            tuple(sorted(event.caller.roles)), event.caller.acts_for, keyed=self._chance.random() < 0.4,
        )  # fmt: skip

    def _guided_reply(self, flight: Flight, event: Outcome) -> Decision:
        attempt = flight.attempt
        tool = self._table.tools.get(attempt.tool)
        if event.ending is Ending.UNKNOWN or tool is None:
            return Wait(max(0, flight.until - self._world.at))
        results = {}
        if event.ending is Ending.ANSWERED:
            results = encode_args(tool.results, event.results, self._table.records)
        return Reply(attempt.order, attempt.number, event.ending, results, event.error_kind, event.error_text)
