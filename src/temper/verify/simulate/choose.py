"""What happens next in a run, drawn by one source of chance and steered to what has seldom been seen.

People ask mostly for what their entity's state has a case for, the rarest first; sometimes for anything at all. A run
that follows guides, one after the other, gets where chance would not, and goes on from there with everything that can
fail.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from temper.table import (
    Ending,
    NoValue,
    Table,
    Type,
    Value,
    digest,
    encode,
    evaluate,
    shape,
)
from temper.verify.clauses import NEW, admitted, by_people
from temper.verify.explore.draws import Draws
from temper.verify.simulate.decisions import Again, Ask, Crash, Decision, Operate, Reply, Swap, Turn, Wait
from temper.verify.simulate.disk import Fate, Ill
from temper.verify.simulate.guide import Guide
from temper.verify.simulate.lead import Lead
from temper.verify.simulate.watch import MANY
from temper.verify.simulate.world import Flight, World

PEOPLE = ("ann", "bob", "cat")
# Entities of one kind in a run: enough to meet each other.
INSTANCES_MAX = 3
WILD = 0.06
# How many of the runs follow guides, and for how many decisions chance has its way between two of them.
GUIDED = 0.75
PAUSE = 8
# How often a decision is the guide's: long ones are lost where much comes between.
CLOSELY = (0.7, 0.95)
# Of what may be referred to: mostly those who are not at their end, and not the same one twice in a request.
APART = 0.85
_FATES = tuple(Fate)
# Those after which nobody knows whether an attempt has started.
_UNSURE = (Fate.KEPT, Fate.LOST, Fate.LATENT, Fate.CRASH, Fate.CRASH_AFTER)
# Faults of which a part stays.
_PARTS = frozenset({Fate.CRASH, Fate.SCATTERED, Fate.CRASH_AFTER})
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


class Choice:
    """Draws decisions for one world. `chance` is the only source of them."""

    def __init__(
        self, world: World, chance: Random, guides: Sequence[Guide] = (), *, first: int = 0, swaps: bool = True
    ) -> None:
        self._world = world
        self._chance = chance
        self._swaps = swaps
        self._digest = digest(world.target)
        self._asked = 0
        self._tries: Counter[tuple[str, str, str, int]] = Counter()
        self._people: dict[int, dict[str, Draws]] = {}
        # Runs one after the other begin with different guides, and each has time for some.
        start = first % len(guides) if guides and chance.random() < GUIDED else None
        self._guides = deque((*guides[start:], *guides[:start]) if start is not None else ())
        self._closely = chance.choice(CLOSELY) if self._guides else 0.0
        self._lead: Lead | None = None
        self._pause = 0

    @property
    def _table(self) -> Table:
        return self._world.host.table

    def next(self) -> Decision:
        """Return the next decision."""
        world, chance = self._world, self._chance
        if self._swaps and world.watch.claimed != self._digest and chance.random() < 0.02:
            return Swap(self._ill() if chance.random() < 0.3 else None)
        lead = self._leading()
        if lead is not None and chance.random() < self._closely:
            found = lead.next(chance)
            if found is not None:
                return found
        if world.queue and chance.random() < 0.5:
            return self._turn()
        # Whoever is led is left alone until it has got there, but for what fails.
        led = lead.led if lead is not None else frozenset()
        open_flights = [
            flight
            for flight in world.flights.values()
            if flight.end is None and (flight.attempt.entity, flight.attempt.id) not in led
        ]
        roll = chance.random()
        if open_flights and roll < 0.25:
            return self.reply(chance.choice(open_flights))
        if roll < 0.62:
            return self._ask()
        if roll < 0.76:
            return self._turn()
        if roll < 0.88:
            return self._wait() if lead is None else self._turn()
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

    def _leading(self) -> Lead | None:
        """Return the guide that is being followed. Where one has ended there is a pause, and then the next begins."""
        if self._lead is not None and self._lead.over:
            if not self._lead.arrived:
                self._guides.append(self._lead.guide)  # Something came between: it is tried again, after the others.
            self._lead, self._pause = None, PAUSE
        if self._lead is None and self._guides:
            self._pause -= 1
            if self._pause <= 0:
                self._lead = Lead(self._world, self._guides.popleft(), self._named_ask)
        return self._lead

    def _named_ask(self) -> str:
        self._asked += 1
        return f"a{self._asked}"

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
        wake = world.next_wake()
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
                if self._lead is not None and (kind, id) in self._lead.led:
                    continue
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
            value = self._apart(param.type, values) or self._value(entity, param.type)
            if param.name in keys and param.type == ("string",) and self._used_up(entity, param.name):
                value = f"{value}{self._asked}"
            values[param.name] = value
        return {
            param.name: encode(param.type, values[param.name], self._table.records)
            for param in params
            if param.name in values
        }

    def _apart(self, type_: Type, values: Mapping[str, Value]) -> str | None:
        """Return one who is not at its end and is not referred to yet, mostly."""
        if type_[0] != "ref" or self._chance.random() > APART:
            return None
        final = self._table.entities[type_[1]].final
        rows = self._world.watch.rows.get(type_[1], {})
        ids = [id for id, now in rows.items() if now.state not in final and id not in values.values()]
        return self._chance.choice(ids) if ids else None

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
