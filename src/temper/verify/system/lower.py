"""A table's entities, so many of each, as a finite transition system that means the same as `step` and `commit`.

Every event becomes rules: one for each way in which it can go. Parameters, callers, results and errors are drawn as
the search by `step` draws them. What can't be said exactly in finitely many values is not said: `Unlowered` has the
reason, and the search by `step` stays for it.

What is asked of a step (a case that is taken, a property that the step breaks) is asked of the state from which it is
taken: every event is drawn, so that its rule's guard says where that is. The state's question stands beside a report,
the step that shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Act, Caller, Ending, Expr, Pending, Table, Type, Why, shape
from temper.table import Value as Plain
from temper.verify.clauses import admitted, all_clauses, flat
from temper.verify.explore.canon import NOBODY, home
from temper.verify.explore.search import _only_whether
from temper.verify.explore.spins import may_stay_due
from temper.verify.expressions import Names, names_in, rebuilt, walk, without_lets
from temper.verify.people import Voice, excluded, voice
from temper.verify.properties import asked_alone, states_of
from temper.verify.system.codes import FALSE, both, const, either, eq, ite, no, op, replaced, total
from temper.verify.system.ir import BOUND, TRUE, Code, Fault, Leads, Question, Rule, System
from temper.verify.system.lower_expr import Reading, Scope, points
from temper.verify.system.lower_fold import Fold
from temper.verify.system.lower_take import NEW, Asked, Part, Path, Taker, Who
from temper.verify.system.lower_world import (
    CURRENT,
    ENDED,
    PAST,
    CallSite,
    Kind,
    Layout,
    Memory,
    answers,
    no_answer,
)
from temper.verify.system.spaces import Mask, Number, Opt, Space, UnloweredError, Value, same, scalar
from temper.verify.system.symmetry_orbits import orbits_of

PENDING_MAX = 3
DEFERRED_MAX = 2
SENDS_MAX = 2
# Where entities stand together; one that stands alone is searched alone.
TOGETHER = 2
# Past so many rules, making them takes longer than the search by `step` would.
RULES_MAX = 20_000

Key = tuple[Any, ...]


class Unlowered(Struct, frozen=True):
    """Why entities have no exact finite form."""

    reason: str


class Happening(Struct, frozen=True):
    """What a rule is, as data from which the table's event is made again.

    `kind` is "act", "outcome", "fire", "deliver" or "offer". `place` is the call's site, the timer's, or the position
    among what is deferred.
    """

    kind: str
    who: Who
    action: str = ""
    params: Mapping[str, Plain] = field(default_factory=dict)
    caller: Caller | None = None
    place: str = ""
    standing: str = ""
    kept: tuple[int, ...] = ()
    ending: Ending | None = None
    results: Mapping[str, Plain] = field(default_factory=dict)
    error: tuple[str, str] = ("", "")
    sender: Who | None = None


def components(table: Table) -> tuple[tuple[str, ...], ...]:
    """Return the kinds of entities that can make a difference to each other, together; in the order of the text."""
    parent = {name: name for name in table.entities}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    def join(a: str, b: str) -> None:
        if a in parent and b in parent:
            parent[root(b)] = root(a)

    for name, entity in table.entities.items():
        for _, clause in all_clauses(entity):
            if isinstance(clause, shape.Send | shape.With | shape.Create):
                join(name, clause.entity)
        for own in entity.fields:
            for other in _referred(own.type):
                join(name, other)
        for inverse in entity.inverses:
            join(name, inverse.entity)
    for each in table.properties:
        if isinstance(each, shape.Always):
            spoken = [part[1] for part in walk(each.condition) if part[0] == "every"]
            spoken += [part[2] for part in walk(each.condition) if part[0] in {"read", "read_in"}]
            spoken += [each.entity] if each.entity is not None else []
            for other in spoken[1:]:
                join(spoken[0], other)
    groups: dict[str, list[str]] = {}
    for name in table.entities:
        groups.setdefault(root(name), []).append(name)
    return tuple(tuple(names) for names in groups.values())


def _referred(type_: Type) -> Iterator[str]:
    if type_[0] == "ref":
        yield type_[1]
    for part in type_[1:]:
        if isinstance(part, tuple) and part and isinstance(part[0], str):
            yield from _referred(part)


def scope_of(table: Table, entities: Iterable[str]) -> dict[str, int]:
    """Return how many of each kind are searched: one that stands alone, else what `scope` says, else two."""
    names = list(entities)
    said = {item.entity: item.count for item in table.scope if item.field is None and item.count is not None}
    if len(names) == 1 and not _meets(table, names[0]):
        # Others of its kind make no difference to it, nor to what is asked of it.
        return {names[0]: 1}
    return {name: said.get(name, TOGETHER) for name in names}


def _meets(table: Table, name: str) -> bool:
    """Say whether two of a kind can make a difference to each other."""
    entity = table.entities[name]
    if entity.inverses:
        return True
    if (entity.uniques or entity.key) and _unasked(entity):
        return True
    if any(name in set(_referred(each.type)) for each in entity.fields):
        return True
    if any(isinstance(clause, shape.Send | shape.With | shape.Create) for _, clause in all_clauses(entity)):
        return True
    return any(
        isinstance(each, shape.Always) and index not in asked_alone(table) and _speaks_of(each, name)
        for index, each in enumerate(table.properties)
    )


def _unasked(entity: shape.Entity) -> bool:
    """Say whether what is `unique` can be set by what nobody asks for: then it makes a difference if that is refused.

    What a person is refused for its sake does not happen, and that is all.
    """
    names = {*entity.key, *(name for unique in entity.uniques for name in unique.fields)}
    bodies = [(*place.entry, *place.exit) for place in entity.places]
    for action in entity.actions.values():
        for case in action.cases:
            if any(by.kind == "system" for by in admitted(action, case)):
                bodies.append((*action.body, *case.body))
    return any(isinstance(clause, shape.Set) and clause.field in names for body in bodies for clause in flat(body))


def _speaks_of(each: shape.Always, name: str) -> bool:
    return each.entity == name or any(part[0] == "every" and part[1] == name for part in walk(each.condition))


def lower(
    table: Table,
    entities: Iterable[str] | None = None,
    *,
    scope: Mapping[str, int] | None = None,
    pending_max: int = PENDING_MAX,
    deferred_max: int = DEFERRED_MAX,
    sends_max: int = SENDS_MAX,
    succeeds: Iterable[str] = (),
    texts: Iterable[str] = (),
) -> System | Unlowered:
    """Return a system of these kinds of entities (all, if left out), or why there is none.

    The tools in `succeeds` are taken to answer every call: that is what a property may assume. `texts` are the first
    to be numbered: so a system's states can be those of a larger one, which has more of them.
    """
    names = tuple(table.entities if entities is None else entities)
    counts = {**scope_of(table, names), **(scope or {})}
    try:
        layout = Layout(
            table,
            counts,
            pending_max=pending_max,
            deferred_max=deferred_max,
            sends_max=sends_max,
            texts=texts,
        )
        return _Lowering(layout, frozenset(succeeds)).system()
    except UnloweredError as problem:
        return Unlowered(str(problem))


class _Made(Struct):
    """A rule that is a step, with what is asked of it still to be added."""

    rule: Rule
    goes: Code
    """That it is taken: its guard holds and no fault is met."""
    moves: bool
    touched: frozenset[Who]
    """Those that the event finds there already, and that it changes."""
    past: Code
    """That it leads past a bound of the search, and is none of its steps."""


class _Lowering:
    def __init__(self, layout: Layout, succeeds: frozenset[str]) -> None:
        self.layout = layout
        self.succeeds = succeeds
        self.table = layout.table
        self.taker = Taker(layout)
        self.later = self.taker.later
        self.made: dict[tuple[Any, ...], _Made] = {}
        self.reports: dict[tuple[Any, ...], Rule] = {}
        names: list[tuple[int, int]] = []
        for kind in layout.kinds.values():
            for space, at in self._everywhere():
                _references(space, at, kind.name, names, [])
        self.fold = Fold(layout.variables, (index for index, _ in names), layout.span)
        self.keys: dict[tuple[str, str], Key] = {}
        self.unclear: dict[int, str] = {}
        self.asked_steps: dict[tuple[Any, ...], tuple[Code, Code]] = {}
        self.alone = asked_alone(self.table)

    def system(self) -> System:
        layout = self.layout
        for kind in layout.kinds.values():
            for number in range(kind.count):
                self._acts(kind, number)
                self._outcomes(kind, number)
                self._fires(kind, number)
                self._rouses(kind, number)
                self._offers(kind, number)
        self._deliveries()
        if not self.made:
            raise UnloweredError("nothing can happen")
        entities = [slots.state for slots in layout.slots.values()]
        rules = self.fold.merged((made.rule for made in self.made.values()), entities)
        shown, shows = self._shown()
        asked = (*self._states(), *shown, *self._always(), *self._stuck())
        # What is to be reached is soon found, and then not asked any more: it stands together.
        folded = [replace(each, bad=self.fold.fold(each.bad)) for each in asked]
        questions = sorted((each for each in folded if each.bad != FALSE), key=lambda each: each.kind != "reach")
        partial = {
            f"{kind.name}.{name}": words for kind in layout.kinds.values() for name, words in kind.draws.partial.items()
        }
        if layout.matters:
            partial["principals"] = ", ".join(layout.principals)
        together = sum(layout.counts.values()) > 1
        return System(
            tuple(layout.variables),
            (tuple(0 for _ in layout.variables),),
            rules,
            tuple(questions),
            tuple(self._leads()),
            tuple(orbits_of(layout)),
            tuple(self._covered(partial)),
            not partial and not together,
            {
                "layout": layout,
                "keys": self.keys,
                "reports": tuple(self.reports.values()),
                "shows": shows,
                "partial": partial,
                "unclear": self.unclear,
                "counts": dict(layout.counts),
                "depends": frozenset(name for name, kind in layout.kinds.items() if together and self._depends(kind)),
            },
        )

    def _covered(self, partial: Mapping[str, str]) -> Iterator[str]:
        counts = ", ".join(f"{count} {name}" for name, count in self.layout.counts.items())
        yield counts
        if partial:
            yield "drawn: " + "; ".join(f"{name}: {words}" for name, words in partial.items())

    # --- events -------------------------------------------------------------------------------------------------------

    def _acts(self, kind: Kind, number: int) -> None:
        who = (kind.name, number)
        for state in (NEW, *kind.entity.states):
            for event in kind.moves.acts(state):
                if event.by_system:
                    continue
                for entity in kind.variants(event.action):
                    path = self.taker.begin(who, state)
                    given = self._given(kind, event, path)
                    paths = self.taker.take(path, who, entity, event.action, given, event.caller, system=False)
                    what = Happening("act", who, event.action, event.params, event.caller)
                    for each in paths:
                        # Nobody is made to begin anything new.
                        fair = "" if state == NEW else f"{each.actor}/{who[0]} {number + 1} {event.action}"
                        self._add(each, what, fair)

    def _given(self, kind: Kind, event: Act, path: Path) -> dict[str, Value]:
        """Return an act's parameters as values; what they refer to has to be there."""
        given: dict[str, Value] = {}
        for param in kind.entity.actions[event.action].params:
            if (event.action, param.name) not in kind.cone.params:
                if param.type[0] == "ref" and param.type[1] in self.layout.kinds:
                    # Which one it is makes no difference, but there has to be one.
                    some = range(self.layout.count(param.type[1]))
                    path.need(either(*(self.layout.exists(param.type[1], each) for each in some)))
                continue
            value = event.params[param.name]
            given[param.name] = self.layout.words.constant(param.type, value)
            for entity, id in _refers(param.type, value):
                if entity in self.layout.kinds:
                    path.need(self.layout.exists(entity, self.layout.ids[entity].index(id)))
        return given

    def _outcomes(self, kind: Kind, number: int) -> None:
        who = (kind.name, number)
        for key in self.layout.slots[who].calls:
            site, _, _, standing = key
            call = kind.sites[site]
            for state in kind.entity.states:
                if standing != CURRENT and state in kind.ignored[site]:
                    continue
                for ending, results, error in self._endings(kind, call):
                    if standing == ENDED and ending is Ending.UNKNOWN:
                        continue
                    if ending is not Ending.ANSWERED and call.clause.tool in self.succeeds:
                        continue
                    self._outcome(kind, who, state, key, ending, results, error)

    def _endings(self, kind: Kind, call: CallSite) -> Iterator[tuple[Ending, Mapping[str, Plain], tuple[str, str]]]:
        clause = call.clause
        pending = Pending(
            "", clause.site, clause.tool, {}, 1, clause.then, clause.otherwise, clause.unknown,
            clause.unknown_is_failure, Caller(NOBODY),
        )  # fmt: skip
        for event in kind.moves._outcomes(pending):  # noqa: SLF001 - one drawing of outcomes serves both searches
            yield event.ending, event.results, (event.error_kind, event.error_text)

    def _outcome(
        self,
        kind: Kind,
        who: Who,
        state: str,
        key: tuple[str, int, int, str],
        ending: Ending,
        results: Mapping[str, Plain],
        error: tuple[str, str],
    ) -> None:
        site, caller_number, kept, standing = key
        call = kind.sites[site]
        caller = self.layout.causers(kind.name, call.actions)[caller_number]
        clause = call.clause
        what = Happening("outcome", who, "", {}, caller, site, standing, call.kept[kept], ending, dict(results), error)
        if ending is Ending.ANSWERED:
            which, handler = "then", clause.then
        elif ending is Ending.FAILED or clause.unknown_is_failure:
            which, handler = "else", clause.otherwise
        else:
            which, handler = "unknown", clause.unknown
        if ending is Ending.UNKNOWN and clause.unknown_is_failure:
            error = ("timeout", no_answer(clause.tool))
        entities = kind.variants(handler.action if handler is not None else "")
        # The answer after an end that was unknown may come; nobody promises it.
        fair = "" if standing == ENDED else _fair(who, site) + ("" if standing == CURRENT else ", late")
        for entity in entities if handler is not None else entities[:1]:
            path = self.taker.begin(who, state)
            count = self.layout.var(self.layout.slots[who].calls[key])
            path.need(op("!=", count, const(0)))
            part = path.parts[who]
            part.calls[key] = op("-", part.calls[key], const(1))
            if ending is Ending.UNKNOWN:
                ended = (site, caller_number, kept, ENDED)
                part.calls[ended] = op("+", part.calls[ended], const(1))
            if handler is None:
                self._add(path, what, fair)
                continue
            given = self._answered(kind, call, which, handler, call.kept[kept], results, error, path, caller)
            self._take_or_late(
                path, who, state, entity, handler.action, given, caller, what, fair,
                late=standing != CURRENT, reported=site,
            )  # fmt: skip

    def _answered(
        self,
        kind: Kind,
        call: CallSite,
        which: str,
        handler: shape.Handler,
        kept: tuple[int, ...],
        results: Mapping[str, Plain],
        error: tuple[str, str],
        path: Path,
        caller: Caller,
    ) -> dict[str, Value]:
        """Return a handler's arguments: what was remembered, and what the tool answered."""
        words = self.layout.words
        remembered: dict[tuple[str, Any], tuple[str, Value, Memory]] = {}
        start = 0
        for index, memory in enumerate(call.memories):
            size = len(memory.space.sizes)
            value = memory.space.read([const(n) for n in kept[start : start + size]])
            start += size
            if memory.handler == which:
                remembered[memory.param, memory.expr] = (f"memory {index}", value, memory)
        types = {result.name: result.type for result in self.table.tools[call.clause.tool].results}
        asked = {
            part[1]
            for name, e in handler.args
            if answers(self.table, kind, call.names, handler.action, name, without_lets(e, call.names))
            for part in walk(e)
            if part[0] == "result"
        }
        known = {name: words.constant(types[name], value) for name, value in results.items() if name in asked}
        names = Names(self.table, kind.entity, results=types)
        bound: dict[str, Value] = {}
        for name, value, memory in remembered.values():
            names = names.bind(name, memory.type)
            bound[name] = value
        scope = replace(
            self.taker.scope(path, next(iter(path.parts)), names, caller, so_far=True),
            results=known,
            error=error,
            bound=bound,
        )

        def recalled(e: Any, param: str) -> Any:
            held = remembered.get((param, e))
            return ("var", held[0]) if held is not None else rebuilt(e, lambda part: recalled(part, param))

        given = {}
        for name, e in handler.args:
            whole = without_lets(e, call.names)
            if answers(self.table, kind, call.names, handler.action, name, whole):
                reading = Reading(scope)
                given[name] = reading.value(recalled(whole, name))
                if reading.problems:
                    raise UnloweredError("a handler whose arguments may have no value")
        return given

    def _fires(self, kind: Kind, number: int) -> None:
        who = (kind.name, number)
        for site, (place, timer) in kind.timers.items():
            for state in place.states:
                for caller_number, caller in enumerate(self.layout.timed_by(kind, site)):
                    earlier = [self._goes_first(kind, who, state, site, other) for other in kind.timers]
                    for entity in kind.variants(timer.handler.action):
                        path = self._fired(kind, who, state, site, caller_number)
                        for first in earlier:
                            path.need(no(first))
                        if path.dead():
                            continue
                        what = Happening("fire", who, timer.handler.action, {}, caller, site)
                        for each in self._taken(path, kind, who, entity, timer, caller):
                            self._add(each, what, _fair(who, site))

    def _rouses(self, kind: Kind, number: int) -> None:
        """`whenever`: what is armed fires in a step of its own. While it is armed it holds."""
        who = (kind.name, number)
        for site, (place, whenever) in kind.whenevers.items():
            for state in place.states:
                for caller_number, caller in enumerate(self.layout.timed_by(kind, site)):
                    for entity in kind.variants(whenever.handler.action):
                        path = self.taker.begin(who, state)
                        armed = self.layout.var(self.layout.slots[who].whenevers[site])
                        path.need(eq(armed, const(1 + caller_number)))
                        path.parts[who].whenevers[site] = const(0)
                        what = Happening("fire", who, whenever.handler.action, {}, caller, site)
                        for each in self._taken(path, kind, who, entity, whenever, caller):
                            self._add(each, what, _fair(who, site))

    def _fired(self, kind: Kind, who: Who, state: str, site: str, caller: int) -> Path:
        timer = kind.timers[site][1]
        path = self.taker.begin(who, state)
        path.need(eq(self.layout.var(self.layout.slots[who].timers[site]), const(1 + caller)))
        if timer.kind != "every":
            path.parts[who].timers[site] = const(0)
        return path

    def _taken(
        self,
        path: Path,
        kind: Kind,
        who: Who,
        entity: shape.Entity,
        timer: shape.Timer | shape.Whenever,
        caller: Caller,
    ) -> list[Path]:
        scope = self.taker.scope(path, who, names_in(self.table, entity), caller, so_far=True)
        given = self.taker.arguments(path, entity, timer.handler, scope, timer.site)
        return self.taker.take(path, who, entity, timer.handler.action, given, caller, system=True)

    def _goes_first(self, kind: Kind, who: Who, state: str, site: str, other: str) -> Code:
        """Return that another timer is due before this one, and can fire: due timers fire in due order."""
        mine, theirs = kind.durations.get(site), kind.durations.get(other)
        if mine is None or theirs is None or theirs >= mine or state not in kind.timers[other][0].states:
            return FALSE
        slots = self.layout.slots[who]
        together = TRUE
        for pair in ((site, other), (other, site)):
            if pair in slots.together:
                together = eq(self.layout.var(slots.together[pair]), const(1))
        timer = kind.timers[other][1]
        fires: list[Code] = []
        for number, caller in enumerate(self.layout.timed_by(kind, other)):
            ways = []
            for entity in kind.variants(timer.handler.action):
                path = self._fired(kind, who, state, other, number)
                start = len(path.asked)
                paths = self._taken(path, kind, who, entity, timer, caller)
                for each in paths:
                    self.taker.finish(each)
                ways.append(either(*(each.passes_from(start) for each in paths)))
            due = eq(self.layout.var(slots.timers[other]), const(1 + number))
            fires.append(both(due, *ways))
        return both(together, either(*fires))

    def _offers(self, kind: Kind, number: int) -> None:
        who = (kind.name, number)
        slots = self.layout.slots[who]
        for position in range(len(slots.deferred)):
            for index, (action, place) in enumerate(kind.deferrable):
                if place:
                    continue
                for caller_number, caller in enumerate(self.layout.deferred_by(kind)[index]):
                    for state in kind.entity.states:
                        for entity in kind.variants(action):
                            path = self.taker.begin(who, state)
                            part = path.parts[who]
                            held, params = part.deferred[position]
                            path.need(eq(held, const(self.taker.held(kind, index, caller_number))))
                            given = self._carried(kind, action, params)
                            rest = [*part.deferred[:position], *part.deferred[position + 1 :]]
                            part.deferred = [*rest, self.taker.part(who, NEW).deferred[0]]
                            what = Happening("offer", who, action, {}, caller, str(position))
                            self._take_or_late(
                                path, who, state, entity, action, given, caller, what,
                                f"system/{who[0]} {who[1] + 1} deferred {action}", late=False, reported=None,
                            )  # fmt: skip

    def _carried(self, kind: Kind, action: str, params: Mapping[str, tuple[Code, ...]]) -> dict[str, Value]:
        given = {}
        for param in kind.entity.actions[action].params:
            name = f"{action}.{param.name}"
            if name in params:
                given[param.name] = self.layout.space(param.type, kind, 0).read(params[name])
        return given

    def _deliveries(self) -> None:
        layout = self.layout
        for (sender, target), queue in layout.queues.items():
            kind = layout.kinds[target[0]]
            head, params = queue[0]
            content = 0
            sent_by = layout.sent_by(sender[0], target[0])
            for action, callers in zip(layout.sends[sender[0], target[0]], sent_by, strict=True):
                for caller in callers:
                    content += 1
                    for state in kind.entity.states:
                        for entity in kind.variants(action):
                            path = self.taker.begin(target, state)
                            path.need(eq(layout.var(head), const(content)))
                            carried = {n: tuple(layout.var(i) for i in at) for n, at in params.items()}
                            given = self._carried(kind, action, carried)
                            what = Happening("deliver", target, action, {}, caller, sender=sender)
                            self._take_or_late(
                                path, target, state, entity, action, given, caller, what,
                                f"system/{sender[0]} {sender[1] + 1} to {target[0]} {target[1] + 1}",
                                late=False, reported=kind.entity.actions[action].site, queue=queue,
                            )  # fmt: skip

    # --- what may be late ---------------------------------------------------------------------------------------------

    def _take_or_late(
        self,
        path: Path,
        who: Who,
        state: str,
        entity: shape.Entity,
        action: str,
        given: Mapping[str, Value],
        caller: Caller,
        what: Happening,
        fair: str,
        *,
        late: bool,
        reported: str | None,
        queue: list[tuple[int, dict[str, tuple[int, ...]]]] | None = None,
    ) -> None:
        """Add the ways in which `system` takes an action, and what becomes of it where it is late."""
        start = len(path.asked)
        passes: list[Code] = []
        breaks: list[Code] = []
        if not late:
            for each in self.taker.take(path.copy(), who, entity, action, given, caller, system=True):
                self._add(each, what, fair, queue=queue)
                passes.append(each.passes_from(start))
                breaks.append(each.breaks_from(start))
        path.need(both(*(no(each) for each in passes)))
        if path.dead():
            return
        where = home(entity, (place for place in entity.places if state in place.states), action)
        if isinstance(where, shape.Place):
            self._defer(path, who, action, where, given, caller)
            self._add(path, what, fair, queue=queue)
            return
        if isinstance(where, shape.Late) and where.handler is None:
            self._add(path, what, fair, queue=queue)
            return
        if where is not None and where.handler is not None:
            start = len(path.asked)
            first = path.copy()
            ways = self._taken_late(first, who, entity, action, where.handler, given, caller)
            passes = []
            for each in ways:
                self._add(each, what, fair, queue=queue)
                passes.append(each.passes_from(start))
            path.need(both(*(no(each) for each in passes)))
            if path.dead():
                return
        guard = both(*(each.condition for each in path.asked), no(either(*breaks)))
        self._add(path, what, fair, queue=queue)
        if reported is not None:
            self._report(guard, ("home", reported, action, state), what)

    def _taken_late(
        self,
        path: Path,
        who: Who,
        entity: shape.Entity,
        late: str,
        handler: shape.Handler,
        given: Mapping[str, Value],
        caller: Caller,
    ) -> list[Path]:
        known = entity.actions[late]
        scope = self.taker.scope(path, who, names_in(self.table, entity, known), caller, so_far=True)
        params = dict(given)
        for param in known.params:
            if param.name not in params:
                params[param.name] = self.layout.words.empty(param.type)
                if param.default is not None and (late, param.name) in self.layout.kinds[who[0]].cone.params:
                    params[param.name] = Reading(scope).value(param.default)
        args = self.taker.arguments(path, entity, handler, replace(scope, params=params), "")
        return self.taker.take(path, who, entity, handler.action, args, caller, system=True)

    def _defer(
        self, path: Path, who: Who, action: str, place: shape.Place, given: Mapping[str, Value], caller: Caller
    ) -> None:
        kind, part = self.layout.kinds[who[0]], path.parts[who]
        index = kind.deferrable.index((action, place.site))
        content = const(self.taker.held(kind, index, self.layout.causer(caller, kind.name, (action,))))
        free = TRUE
        for position, (held, params) in enumerate(part.deferred):
            mine = both(free, eq(held, const(0)))
            free = both(free, op("!=", held, const(0)))
            kept = dict(params)
            for name, codes in params.items():
                owner, _, param = name.partition(".")
                if owner == action:
                    type_ = next(p.type for p in kind.entity.actions[action].params if p.name == param)
                    if param not in given:
                        raise UnloweredError("what is deferred without one of its parameters")
                    space = self.layout.space(type_, kind, 0)
                    fits = both(
                        self.layout.words.of_type(given[param], type_, self.layout.span), space.bound(given[param])
                    )
                    path.fault(both(mine, no(fits)), BOUND, name)
                    new = space.write(given[param])
                    kept[name] = tuple(ite(mine, a, b) for a, b in zip(new, codes, strict=True))
            part.deferred[position] = ite(mine, content, held), kept
        path.fault(free, BOUND, "deferred")

    # --- rules --------------------------------------------------------------------------------------------------------

    def _add(
        self,
        path: Path,
        what: Happening,
        fair: str,
        *,
        queue: list[tuple[int, dict[str, tuple[int, ...]]]] | None = None,
    ) -> None:
        """Add a path as a rule, and what is to be reported of it."""
        if path.dead():
            return
        self._unique(path)
        updates = self.taker.finish(path)
        self._crowded(path)
        if queue is not None:
            self._shift(queue, updates)
        counted = self._counted(path, updates)
        guard, faults = self._guarded(path, what)
        guard, faults, changes = self.fold.rule(guard, faults, sorted(updates.items()))
        if guard == FALSE:
            return
        goes = self.fold.fold(both(guard, *(no(fault.condition) for fault in faults)))
        key = (guard, changes, faults, tuple((m.who, m.case) for m in path.moves), fair)
        known = self.made.get(key)
        if known is not None:
            known.rule = replace(known.rule, weight=known.rule.weight + 1)
        else:
            if len(self.made) >= RULES_MAX:
                raise UnloweredError(f"more than {RULES_MAX:,} rules")
            site = path.moves[0].case if path.moves else what.place
            renews = self._renewed(path)
            rule = Rule(what.action or what.place, guard, changes, site, path.actor, fair, faults, what, renews=renews)
            touched = frozenset(who for who, part in path.parts.items() if part.origin != NEW)
            moves = bool(path.moves) or bool(changes)
            self.made[key] = _Made(rule, goes, moves, touched, self._past(guard, faults))
        if goes == FALSE:
            return
        for move in path.moves:
            self._report(goes, ("case", move.case), what)
        self._spins(path, goes, updates, what)
        self._ask_step(path, goes, updates, what)
        for index, short in counted:
            self._report(both(goes, short), ("needs", index), what)

    def _past(self, guard: Code, faults: Iterable[Fault]) -> Code:
        """Return that a bound is the first that a rule meets."""
        ways, before = [], guard
        for fault in faults:
            if fault.why == BOUND:
                ways.append(both(before, fault.condition))
            before = both(before, no(fault.condition))
        return self.fold.fold(either(*ways))

    def _renewed(self, path: Path) -> frozenset[str]:
        """Return the fair actions that a path begins anew: a timer is armed again, a call belongs to a visit that is
        over. Where it is taken again and again nothing keeps them possible, and nobody promises them."""
        renewed: set[str] = set()
        for who, part in path.parts.items():
            slots = self.layout.slots[who]
            armed = ((site, self.layout.var(slots.timers[site]) != is_) for site, is_ in part.timers.items())
            renewed |= {_fair(who, site) for site, changed in armed if changed}
            if any(move.who == who and move.entered for move in path.moves):
                renewed |= {_fair(who, site) for site in self.layout.kinds[who[0]].sites}
        return frozenset(renewed)

    def _guarded(self, path: Path, what: Happening) -> tuple[Code, tuple[Fault, ...]]:
        """Return a path's guard, and the faults that are met after it. Earlier ones are reported by themselves."""
        last = max((n for n, each in enumerate(path.asked) if not each.why), default=-1)
        held: list[Code] = []
        faults: list[Fault] = []
        for position, each in enumerate(path.asked):
            if not each.why:
                held.append(each.condition)
            elif position < last:
                self._fault(both(*held, each.condition), each, what)
                held.append(no(each.condition))
            else:
                faults.append(self._named(each))
        return both(*held), tuple(faults)

    def _named(self, each: Asked) -> Fault:
        key: Key = ("bound", each.site) if each.why == BOUND else ("fault", each.why, each.site)
        self.keys[each.site, each.why] = key
        return Fault(each.condition, each.why, each.site)

    def _fault(self, guard: Code, each: Asked, what: Happening) -> None:
        if guard != FALSE:
            self._named(each)
            self._reporting(guard, Fault(TRUE, each.why, each.site), what)

    def _report(self, guard: Code, key: Key, what: Happening) -> None:
        if guard == FALSE:
            return
        site = " ".join(map(str, key[1:]))
        self.keys[site, key[0]] = key
        self._reporting(guard, Fault(TRUE, key[0], site), what)

    def _reporting(self, guard: Code, fault: Fault, what: Happening) -> None:
        guard = self.fold.fold(guard)
        if guard == FALSE:
            return
        key = (guard, fault.why, fault.site)
        if key not in self.reports:
            self.reports[key] = Rule(f"report {fault.why}", guard, (), fault.site, faults=(fault,), event=what)

    def _shown(self) -> tuple[list[Question], dict[Key, tuple[int, ...]]]:
        """Return what is asked of steps, as questions about the state before them, and for each which reports show it.

        Reports are never taken: their one fault always holds.
        """
        by_key: dict[Key, list[int]] = {}
        reports = list(self.reports.values())
        for number, report in enumerate(reports):
            (fault,) = report.faults
            by_key.setdefault(self.keys[fault.site, fault.why], []).append(number)
        questions = []
        for key, numbers in by_key.items():
            spoken = self.table.properties[key[1]].name if key[0] in {"always", "never", "needs", "unclear"} else ""
            site = reports[numbers[0]].faults[0].site
            kind = "reach" if key[0] == "case" else key[0]
            bad = _factored([reports[number].guard for number in numbers])
            questions.append(Question(spoken or f"{key[0]} {site}", kind, bad, site=site, key=key))
        return questions, {key: tuple(numbers) for key, numbers in by_key.items()}

    def _shift(self, queue: list[tuple[int, dict[str, tuple[int, ...]]]], updates: dict[int, Code]) -> None:
        """Take the first out of a queue of sends. What the step itself sends stands behind what is there."""
        layout = self.layout
        flat = [(index, *(i for at in params.values() for i in at)) for index, params in queue]
        after = [[updates.get(i, layout.var(i)) for i in each] for each in flat]
        for position, each in enumerate(flat):
            following = after[position + 1] if position + 1 < len(flat) else None
            for number, index in enumerate(each):
                low = const(layout.variables[index].low)
                updates[index] = following[number] if following is not None else low
        for index in [i for each in flat for i in each]:
            if updates[index] == layout.var(index):
                del updates[index]

    def _unique(self, path: Path) -> None:
        """Ask that no other entity has the same `key`, or agrees on what is `unique`."""
        for part in list(path.parts.values()):
            kind = self.layout.kinds[part.who[0]]
            if kind.count < 2:
                continue
            if part.origin == NEW and kind.entity.key:
                for number in range(kind.count):
                    self._differs(path, part, number, kind.entity.key, TRUE)
            for unique in kind.entity.uniques:
                if part.state in kind.entity.final and not unique.ever:
                    continue
                if part.origin != NEW and not any(name in part.assigned for name in unique.fields):
                    continue
                for number in range(kind.count):
                    live = tuple(s for s in kind.entity.states if unique.ever or s not in kind.entity.final)
                    counts = self.layout.is_in(kind.name, number, live)
                    self._differs(path, part, number, unique.fields, counts)

    def _differs(self, path: Path, part: Part, number: int, names: Iterable[str], counts: Code) -> None:
        kind = part.who[0]
        if number == part.who[1]:
            return
        alike = [both(self.layout.exists(kind, number), counts)]
        changed = []
        for name in names:
            mine, theirs = part.fields[name], self.layout.value(kind, number, name)
            alike.append(same(mine, theirs))
            present = getattr(mine, "present", None)
            if present is not None:
                alike.append(present)
            if part.origin != NEW:
                changed.append(no(same(mine, self.layout.value(*part.who, name))))
        path.need(no(both(*alike, either(*changed) if changed else TRUE)))

    def _crowded(self, path: Path) -> None:
        """Ask that no inverse set gets more than its `max`: the commit refuses it, as a fault (4)."""
        layout = self.layout
        for part in path.parts.values():
            for owner, inverse in self._inverted(part.who[0]):
                if part.origin != NEW and inverse.field not in part.assigned:
                    continue
                mine = part.fields[inverse.field]
                for number in range(layout.count(owner)):
                    joins = points(mine, number)
                    if part.origin != NEW:
                        joins = both(joins, no(points(layout.value(*part.who, inverse.field), number)))
                    if joins == FALSE:
                        continue
                    there = []
                    for each in range(layout.count(inverse.entity)):
                        other = path.parts.get((inverse.entity, each))
                        if other is not None:
                            refers = points(other.fields[inverse.field], number)
                        else:
                            refers = points(layout.value(inverse.entity, each, inverse.field), number)
                            refers = both(layout.exists(inverse.entity, each), refers)
                        there.append(ite(refers, const(1), const(0)))
                    many = op(">", total(there), const(inverse.max))
                    path.fault(both(joins, many), Why.OUT_OF_TYPE.name, f"{owner}.{inverse.name}")

    def _inverted(self, entity: str) -> Iterator[tuple[str, shape.Inverse]]:
        """The inverse sets that more of a kind than they may have could be in, with whose they are."""
        for owner, kind in self.layout.kinds.items():
            for inverse in kind.entity.inverses:
                if inverse.entity == entity and self.layout.count(entity) > inverse.max:
                    yield owner, inverse

    # --- questions about a step ---------------------------------------------------------------------------------------

    def _spins(self, path: Path, goes: Code, updates: Mapping[int, Code], what: Happening) -> None:
        """Ask that what has fired is not due again at once: a `whenever` that still holds, an `at` that is armed for
        the same moment once more, or for one that has come (18). Which those are, only a run with moments shows."""
        if what.kind != "fire":
            return
        kind, slots, part = self.layout.kinds[what.who[0]], self.layout.slots[what.who], path.parts[what.who]
        if what.place in kind.whenevers:
            index, again = slots.whenevers[what.place], TRUE
        else:
            timer = kind.timers[what.place][1]
            if timer.kind != "at":
                return
            index, assigned = slots.timers[what.place], part.assigned.get(timer.field or "", FALSE)
            anew = what.place in part.armed
            same = no(assigned) if anew else FALSE
            again = either(same, assigned if may_stay_due(self.table, kind.entity, timer, anew=anew) else FALSE)
        armed = op("!=", updates.get(index, self.layout.var(index)), const(0))
        self._report(both(goes, armed, again), ("spins", what.place), what)

    def _ask_step(self, path: Path, goes: Code, updates: Mapping[int, Code], what: Happening) -> None:
        values = {("next", index): updates.get(index, ("var", index)) for index in range(len(self.layout.variables))}
        for index, each in enumerate(self.table.properties):
            if isinstance(each, shape.Never):
                for move in path.moves:
                    states = states_of(self.table, each, each.states).get(move.who[0], ())
                    if move.entered and move.after in states and each.role in move.caller.roles:
                        self._report(goes, ("never", index), what)
            if not isinstance(each, shape.Always) or not each.step or index in self.unclear:
                continue
            if index not in self.alone:
                self._ask_several(index, each, path, goes, values, what)
                continue
            for part in path.parts.values():
                actions = frozenset(move.action for move in path.moves if move.who == part.who)
                if not actions or (part.origin == NEW and each.reads_before):
                    continue
                asked = self._step(index, part.who, actions, frozenset((m.who[0], m.action) for m in path.moves))
                if asked is not None:
                    self._report(both(goes, replaced(asked[0], values)), ("always", index), what)
                    self._report(both(goes, replaced(asked[1], values)), ("unclear", index), what)

    def _step(
        self, index: int, who: Who, actions: frozenset[str], beside: frozenset[tuple[str, str]]
    ) -> tuple[Code, Code] | None:
        """Return where a step of an entity breaks a property, and where the property has no value."""
        each = self.table.properties[index]
        assert isinstance(each, shape.Always), "only an `always` speaks of a step"
        alone = self.alone[index]
        if alone.entity != who[0]:
            return None
        relevant = frozenset(part[2] for part in walk(alone.condition) if part[0] == "action_is") & actions
        known = (index, who, relevant, beside if relevant or self._beside(alone.condition, who[0]) else None)
        if known not in self.asked_steps:
            if not self._clear(index, alone.condition, who[0]):
                return None
            names = Names(self.table, self.table.entities[who[0]])
            before = self._of(self.layout, who, names)
            after = replace(self._of(self.later, who, names), before=before, moves=actions, beside=beside)
            reading = Reading(after)
            holds = reading.truth(alone.condition)
            none = either(*(each.condition for each in reading.problems))
            self.asked_steps[known] = both(no(none), no(holds)), none
        return self.asked_steps[known]

    def _ask_several(
        self, index: int, each: shape.Always, path: Path, goes: Code, values: Mapping[Code, Code], what: Happening
    ) -> None:
        """Ask what a step does to a property that reads other entities too: of those that take a part in it, and of
        those that refer to one of them or have one in an inverse set."""
        if not path.moves:
            return
        owner, var, body = _asked_of(each)
        if owner is None:
            self.unclear[index] = "it speaks of the steps of several entities at once"
            return
        names = Names(self.table, self.table.entities[owner] if var is None else None)
        if not self._clear(index, without_lets(each.condition, names), owner):
            return
        beside = frozenset((move.who[0], move.action) for move in path.moves)
        acts = any(part[0] == "action_is" for part in walk(each.condition))
        try:
            for number in range(self.layout.count(owner)):
                who = (owner, number)
                part = path.parts.get(who)
                actions = frozenset(move.action for move in path.moves if move.who == who)
                if part is None:
                    seen = both(self.layout.exists(owner, number), self._seen(path, who))
                elif actions and not (part.origin == NEW and each.reads_before):
                    seen = TRUE
                else:
                    continue
                key = (index, who, (actions, beside) if acts else None)
                if key not in self.asked_steps:
                    here = who if var is None else None
                    mine, bound = (
                        (names, {}) if var is None else (names.bind(var, ("ref", owner)), {var: const(number)})
                    )
                    after = replace(self._of(self.later, here, mine), moves=actions, beside=beside, bound=bound)
                    reading = Reading(replace(after, before=self._of(self.layout, here, mine)))
                    holds = reading.truth(body)
                    none = either(*(problem.condition for problem in reading.problems))
                    self.asked_steps[key] = both(no(none), no(holds)), none
                for bad, why in zip(self.asked_steps[key], ("always", "unclear"), strict=True):
                    self._report(both(goes, replaced(both(seen, bad), values)), (why, index), what)
        except UnloweredError as problem:
            # The others can be asked without it.
            self.unclear[index] = problem.reason

    def _seen(self, path: Path, who: Who) -> Code:
        """Return that an entity refers to one that takes a part in a step, or has one in an inverse set, before the
        step or after it. What it sees further off counts as seen."""
        kind = self.layout.kinds[who[0]]
        seen: list[Code] = []
        near = {who[0]}
        for field_ in kind.entity.fields:
            for other in _referred(field_.type):
                near.add(other)
                numbers = [part.who[1] for part in path.parts.values() if part.who[0] == other]
                if "record" in str(field_.type) or field_.type[0] == "map":
                    seen += [TRUE for _ in numbers]
                elif field_.name in kind.spaces:
                    values = [layout.value(*who, field_.name) for layout in (self.layout, self.later)]
                    seen += [points(value, number) for value in values for number in numbers]
        for inverse in kind.entity.inverses:
            near.add(inverse.entity)
            for part in path.parts.values():
                if part.who[0] == inverse.entity:
                    seen.append(points(self.layout.value(*part.who, inverse.field), who[1]))
                    seen.append(points(part.fields[inverse.field], who[1]))
        return either(TRUE if any(part.who[0] not in near for part in path.parts.values()) else FALSE, *seen)

    @staticmethod
    def _beside(condition: Any, entity: str) -> bool:
        return any(part[0] == "action_is" and part[1] != entity for part in walk(condition))

    def _of(self, layout: Layout, who: Who | None, names: Names) -> Scope:
        def value(name: str) -> tuple[Value, Code]:
            assert who is not None, "a field is somebody's"
            return layout.value(*who, name), FALSE

        def is_in(states: Any) -> Code:
            assert who is not None, "a state is somebody's"
            return layout.is_in(*who, states)

        return Scope(layout, self.table, names, who, is_in, value)

    def _counted(self, path: Path, updates: dict[int, Code]) -> list[tuple[int, Code]]:
        """Count callers for `needs`; return where too few are counted as a state is entered."""
        found: list[tuple[int, Code]] = []
        for part in path.parts.values():
            kind = self.layout.kinds[part.who[0]]
            slots = self.layout.slots[part.who]
            moves = [move for move in path.moves if move.who == part.who]
            if not slots.counted or not moves:
                continue
            members = self.layout.counted(kind)
            for index, variable in slots.counted.items():
                each = self.table.properties[index]
                assert isinstance(each, shape.Needs), "only `needs` counts"
                states = states_of(self.table, each, each.states).get(kind.name, ())
                held = self.layout.var(variable)
                least: list[Code] = []
                for move in moves:
                    caller = kind.canon.caller(move.caller, (move.action,))
                    if move.action in each.since:
                        held = const(0)
                    if (not each.by or move.action in each.by) and (each.role is None or each.role in caller.roles):
                        member = members[index].index(voice(each, caller.principal, caller.acts_for))
                        held = op("bits_or", held, const(1 << member))
                    if move.entered and move.after in states:
                        least.append(op("<", self._different(each, part, members[index], held), const(each.count)))
                if held != self.layout.var(variable):
                    updates[variable] = held
                if least:
                    found.append((index, either(*least)))
        return found

    def _different(self, each: shape.Needs, part: Part, members: tuple[Voice, ...], held: Code) -> Code:
        """Return how many people have agreed, as `people` counts them."""
        agreed = []
        for person in dict.fromkeys(behind for _, behind in members):
            any_one = []
            for number, member in enumerate(members):
                if member[1] == person:
                    counts = op("has", held, const(number))
                    if each.besides is not None:
                        besides = part.fields[each.besides]
                        counts = both(counts, *(no(self._is(besides, name)) for name in excluded(member)))
                    any_one.append(counts)
            agreed.append(ite(either(*any_one), const(1), const(0)))
        return total(agreed)

    def _is(self, value: Value, principal: str) -> Code:
        me = const(self.layout.words.number(("principal",), principal))
        present = getattr(value, "present", None)
        if present is not None:
            return both(present, eq(scalar(value.inner), me))  # type: ignore[union-attr]  # it is a `T?`
        return eq(scalar(value), me)

    # --- questions about a state --------------------------------------------------------------------------------------

    def _states(self) -> Iterator[Question]:
        for kind in self.layout.kinds.values():
            for state in kind.entity.states:
                here = either(*(self.layout.is_in(kind.name, n, (state,)) for n in range(kind.count)))
                yield Question(f"{kind.name} is {state}", "reach", here, key=("state", kind.name, state))

    def _clear(self, index: int, condition: Any, entity: str) -> bool:
        """Say whether a property can be asked without a clock."""
        tainted = self.layout.kinds[entity].clocks.tainted
        moments = {part[1] for part in walk(condition) if part[0] == "field"} & tainted
        if moments and not _only_whether(condition, moments):
            self.unclear[index] = "it compares moments, and the search has no clock"
        elif any(self._reads_moment(part) for part in walk(condition)):
            self.unclear[index] = "it compares moments of others, and the search has no clock"
        elif any(part[0] == "created_at" for part in walk(condition)):
            self.unclear[index] = "it reads `created_at`, and the search has no clock"
        return index not in self.unclear

    def _reads_moment(self, part: Any) -> bool:
        if part[0] != "read" or part[2] not in self.layout.kinds:
            return False
        return part[3] in self.layout.kinds[part[2]].clocks.tainted

    def _always(self) -> Iterator[Question]:
        for index, each in enumerate(self.table.properties):
            if isinstance(each, shape.Always) and not each.step:
                try:
                    yield from list(self._holding(index, each))
                except UnloweredError as problem:
                    # The others can be asked without it.
                    self.unclear[index] = problem.reason

    def _holding(self, index: int, each: shape.Always) -> Iterator[Question]:
        """Ask a property of every state."""
        layout = self.layout
        alone = self.alone.get(index)
        bad: list[Code] = []
        none: list[Code] = []
        entity = alone.entity if alone is not None else each.entity
        if entity is not None:
            if entity not in layout.kinds or (alone and not self._clear(index, alone.condition, entity)):
                return
            condition = alone.condition if alone is not None else each.condition
            names = Names(self.table, self.table.entities[entity])
            for number in range(layout.count(entity)):
                reading = Reading(self._of(layout, (entity, number), names))
                there = layout.exists(entity, number)
                with reading.given(there):
                    holds = reading.truth(condition)
                gone = either(*(problem.condition for problem in reading.problems))
                none.append(gone)
                bad.append(both(there, no(gone), no(holds)))
        else:
            spoken = {part[1] for part in walk(each.condition) if part[0] == "every"}
            if not spoken <= set(layout.kinds):
                return
            reading = Reading(self._of(layout, None, Names(self.table, None)))
            holds = reading.truth(each.condition)
            gone = either(*(problem.condition for problem in reading.problems))
            none.append(gone)
            bad.append(both(no(gone), no(holds)))
        yield Question(each.name, "always", either(*bad), site=each.site, key=("always", index))
        if either(*none) != FALSE:
            yield Question(each.name, "unclear", either(*none), site=each.site, key=("unclear", index))

    def _stuck(self) -> Iterator[Question]:
        """Ask for states in which something is not final and nothing can happen to it any more.

        Of an entity that others may move this is asked only where nothing can happen at all.
        """
        layout = self.layout
        moving = [made for made in self.made.values() if made.moves]
        past = [report for report in self.reports.values() if report.faults[0].why == BOUND]
        for kind in layout.kinds.values():
            depends = sum(layout.counts.values()) > 1 and self._depends(kind)
            for state in kind.entity.states:
                if state in kind.entity.final:
                    continue
                bad = []
                for number in range(kind.count):
                    who = (kind.name, number)
                    at = ("var", layout.slots[who].state)
                    here = {at: const(layout.state_code(kind.name, state))}
                    # A step past a bound of the search is a step all the same.
                    ways = [
                        each for made in moving if depends or who in made.touched for each in (made.goes, made.past)
                    ]
                    ways += [report.guard for report in past if depends or report.event.who == who]
                    moves = either(*(replaced(each, here) for each in ways))
                    bad.append(both(eq(at, here[at]), no(moves)))
                if either(*bad) != FALSE:
                    key = ("waits" if depends else "stuck", kind.name, state)
                    yield Question(f"{kind.name} is stuck in {state}", "stuck", either(*bad), key=key)

    def _depends(self, kind: Kind) -> bool:
        """Say whether others can move an entity of a kind, or keep it from moving."""
        for other in self.layout.kinds.values():
            for _, clause in all_clauses(other.entity):
                if isinstance(clause, shape.Send | shape.With | shape.Create):
                    if other is kind or clause.entity == kind.name:
                        return True
        reads = {"read", "read_in", "inverse"}
        return bool(kind.entity.uniques) or any(part[0] in reads for part in _all_exprs(kind))

    def _leads(self) -> Iterator[Leads]:
        layout = self.layout
        for index, each in enumerate(self.table.properties):
            if not isinstance(each, shape.Eventually):
                continue
            if frozenset(each.succeeds) != self.succeeds:
                continue
            for entity, froms in states_of(self.table, each, each.froms).items():
                if entity not in layout.kinds:
                    continue
                to = states_of(self.table, each, each.to).get(entity, ())
                for number in range(layout.count(entity)):
                    yield Leads(
                        each.name,
                        layout.is_in(entity, number, froms),
                        layout.is_in(entity, number, to),
                        ("system", *each.responds),
                        (),
                        each.site,
                        ("eventually", index, number),
                    )

    # --- what can be exchanged ----------------------------------------------------------------------------------------

    def _everywhere(self) -> Iterator[tuple[Space, tuple[int, ...]]]:
        for (name, _), slots in self.layout.slots.items():
            kind = self.layout.kinds[name]
            for each, at in slots.fields.items():
                yield kind.spaces[each], at
            for _, params in slots.deferred:
                for param, at in params.items():
                    action, _, own = param.partition(".")
                    type_ = next(p.type for p in kind.entity.actions[action].params if p.name == own)
                    yield self.layout.space(type_, kind, 0), at


def _asked_of(each: shape.Always) -> tuple[str | None, str | None, Expr]:
    """Return of whom a property is asked, by which name it speaks of one, and what it says of that one."""
    match each.condition:
        case ("all", var, ("every", entity), body) if each.entity is None:
            return entity, var, body
        case _:
            return each.entity, None, each.condition


def _fair(who: Who, site: str) -> str:
    """Return the name of what the system does for one entity at one place, as fairness knows it."""
    return f"system/{who[0]} {who[1] + 1} {site}"


def _factored(guards: Iterable[Code]) -> Code:
    """Return that one of them holds, with what several begin or end with asked once."""
    firsts: dict[Code, list[Code]] = {}
    for guard in guards:
        first, *rest = guard[1:] if guard[0] == "and" else (guard,)
        firsts.setdefault(both(*rest), []).append(first)
    groups: dict[Code, list[Code]] = {}
    for end, begins in firsts.items():
        groups.setdefault(either(*begins), []).append(end)
    return either(*(both(first, either(*rest)) for first, rest in groups.items()))


def _all_exprs(kind: Kind) -> Iterator[Any]:
    from temper.verify.explore.cone import uses

    for use in uses(kind.clocks.tables[0], kind.entity):
        yield from walk(without_lets(use.expr, use.names))


def _references(
    space: Space,
    at: tuple[int, ...],
    entity: str,
    values: list[tuple[int, int]],
    masks: list[tuple[int, int]],
) -> None:
    if isinstance(space, Number) and space.type == ("ref", entity):
        values.append((at[0], 0))
    elif isinstance(space, Opt) and isinstance(space.inner, Number) and space.inner.type == ("ref", entity):
        values.append((at[0], 1))
    elif isinstance(space, Mask) and space.of == ("ref", entity):
        masks.append((at[0], 0))


def _refers(type_: Type, value: Any) -> Iterator[tuple[str, str]]:
    """The entities that a parameter names."""
    match type_:
        case ("ref", entity):
            yield entity, value
        case ("optional", inner) if value is not None:
            yield from _refers(inner, value)
        case ("set" | "list", inner, _):
            for item in value:
                yield from _refers(inner, item)
        case _:
            pass


__all__ = ["PAST", "Happening", "Unlowered", "components", "lower", "scope_of"]
