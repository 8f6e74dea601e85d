"""An action taken, as `step` takes it, on values that are codes: each way in which it can go is a path.

A path is the sequence of what is asked on the way: what has to hold (`need`), and where the blueprint would break
(`fault`). Cases are tried in order. The state of each entity is known, and so which places are left and entered.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Caller, Expr, Table, Why, shape
from temper.verify.clauses import entered, left
from temper.verify.explore.cone import value_decides
from temper.verify.expressions import DURATION, Names, names_in, without_lets
from temper.verify.system.codes import FALSE, both, const, either, eq, ite, no, op, replaced, total, variables
from temper.verify.system.ir import BOUND, TRUE, Code
from temper.verify.system.lower_expr import Reading, Scope, members
from temper.verify.system.lower_world import CURRENT, ENDED, PAST, Kind, Layout
from temper.verify.system.spaces import Fixed, Many, Maybe, UnloweredError, Value, chosen, has, same, scalar

NEW = "new"

Who = tuple[str, int]


class Asked(Struct, frozen=True):
    """What is asked on the way: a need (`why` is empty), or a fault that is met where the condition holds."""

    condition: Code
    why: str = ""
    site: str = ""


class Moved(Struct, frozen=True):
    """A case that was taken, by whom."""

    who: Who
    action: str
    case: str
    before: str
    after: str
    entered: bool
    caller: Caller


class Part(Struct):
    """One entity's share of a path, as far as it has come."""

    who: Who
    origin: str
    """The state before the event."""
    state: str
    fields: dict[str, Value]
    unset: dict[str, Code] = field(default_factory=dict)
    """Of an entity that is being created: that a field has no value yet."""
    assigned: dict[str, Code] = field(default_factory=dict)
    timers: dict[str, Code] = field(default_factory=dict)
    whenevers: dict[str, Code] = field(default_factory=dict)
    together: dict[tuple[str, str], Code] = field(default_factory=dict)
    armed: dict[str, shape.Timer] = field(default_factory=dict)
    calls: dict[tuple[str, int, int, str], Code] = field(default_factory=dict)
    made: list[tuple[Code, tuple[str, int, int, str]]] = field(default_factory=list)
    deferred: list[tuple[Code, dict[str, tuple[Code, ...]]]] = field(default_factory=list)
    moved: bool = False
    taken: bool = False
    caller: Caller | None = None

    def copy(self) -> Part:
        return replace(
            self,
            fields=dict(self.fields),
            unset=dict(self.unset),
            assigned=dict(self.assigned),
            timers=dict(self.timers),
            whenevers=dict(self.whenevers),
            together=dict(self.together),
            armed=dict(self.armed),
            calls=dict(self.calls),
            made=list(self.made),
            deferred=list(self.deferred),
        )


class Sent(Struct, frozen=True):
    """A send on a path: where its condition holds, to whichever target the code names."""

    condition: Code
    sender: Who
    entity: str
    target: Code
    action: str
    params: Mapping[str, Value]
    caller: Caller


class Path(Struct):
    """One way in which an event can go."""

    asked: list[Asked] = field(default_factory=list)
    parts: dict[Who, Part] = field(default_factory=dict)
    moves: list[Moved] = field(default_factory=list)
    sends: list[Sent] = field(default_factory=list)
    actor: str = "system"
    created: dict[tuple[Who, str], int] = field(default_factory=dict)
    """What `create ... as` names, by who creates it."""

    def copy(self) -> Path:
        return Path(
            list(self.asked),
            {who: part.copy() for who, part in self.parts.items()},
            list(self.moves),
            list(self.sends),
            self.actor,
            dict(self.created),
        )

    def need(self, condition: Code) -> None:
        if condition != TRUE:
            self.asked.append(Asked(condition))

    def fault(self, condition: Code, why: str, site: str) -> None:
        if condition != FALSE:
            self.asked.append(Asked(condition, why, site))

    def problems(self, reading: Reading, site: str) -> None:
        for each in reading.problems:
            if each.why is Why.MISSING:
                self.need(no(each.condition))
            elif each.why is None:
                self.fault(each.condition, BOUND, each.bound)
            else:
                self.fault(each.condition, each.why.name, site)
        reading.problems.clear()

    def dead(self) -> bool:
        """Return whether something that is needed never holds."""
        return any(not each.why and each.condition == FALSE for each in self.asked)

    def passes(self) -> Code:
        """Return that all needs hold and no fault is met."""
        return self.passes_from(0)

    def passes_from(self, start: int) -> Code:
        """Return that the rest of what is asked goes well. That the search ends somewhere is nobody's refusal."""
        rest = (each for each in self.asked[start:] if each.why != BOUND)
        return both(*(no(each.condition) if each.why else each.condition for each in rest))

    def breaks_from(self, start: int) -> Code:
        """Return that a fault of the blueprint is met in the rest of what is asked."""
        met: list[Code] = []
        held: list[Code] = []
        for each in self.asked[start:]:
            if each.why and each.why != BOUND:
                met.append(both(*held, each.condition))
            if each.why != BOUND:
                held.append(no(each.condition) if each.why else each.condition)
        return either(*met)


class Taker:
    """Takes actions on the entities of a layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.table: Table = layout.table
        self.later = copy.copy(layout)
        self.later.after = True
        self._whenevers: dict[tuple[Who, str], Code] = {}
        self._looks: dict[tuple[Who, str], frozenset[int]] = {}

    # --- beginnings ---------------------------------------------------------------------------------------------------

    def part(self, who: Who, state: str) -> Part:
        """Return an entity as it is in a state, before anything has happened."""
        layout, kind = self.layout, self.layout.kinds[who[0]]
        if state == NEW:
            fields = {each.name: layout.plain(kind, each.name) for each in kind.entity.fields}
            for name, value in kind.defaults.items():
                type_ = next(each.type for each in kind.entity.fields if each.name == name)
                if name in kind.spaces:
                    fields[name] = layout.words.constant(type_, value)
            unset = {each.name: TRUE for each in kind.entity.fields if each.name not in kind.defaults}
            return Part(
                who,
                state,
                state,
                fields,
                unset,
                timers=dict.fromkeys(kind.timers, const(0)),
                whenevers=dict.fromkeys(kind.whenevers, const(0)),
                together=dict.fromkeys(layout.slots[who].together, const(0)),
                calls=dict.fromkeys(layout.slots[who].calls, const(0)),
                deferred=[
                    (const(0), {name: tuple(self._low(i) for i in at) for name, at in params.items()})
                    for _, params in layout.slots[who].deferred
                ],
            )
        slots = layout.slots[who]
        fields = {each.name: layout.value(*who, each.name) for each in kind.entity.fields}
        return Part(
            who,
            state,
            state,
            fields,
            timers={
                site: layout.var(index) if state in kind.timers[site][0].states else const(0)
                for site, index in slots.timers.items()
            },
            whenevers={
                site: layout.var(index) if state in kind.whenevers[site][0].states else const(0)
                for site, index in slots.whenevers.items()
            },
            together={pair: layout.var(index) for pair, index in slots.together.items()},
            calls={
                key: const(0) if key[3] != CURRENT and state in kind.ignored[key[0]] else layout.var(index)
                for key, index in slots.calls.items()
            },
            deferred=[
                (layout.var(index), {name: tuple(layout.var(i) for i in at) for name, at in params.items()})
                for index, params in slots.deferred
            ],
        )

    def _low(self, index: int) -> Code:
        return const(self.layout.variables[index].low)

    def begin(self, who: Who, state: str) -> Path:
        """Return a path on which nothing has happened to an entity in a state but that it is in it."""
        path = Path()
        at = self.layout.var(self.layout.slots[who].state)
        path.need(eq(at, const(self.layout.state_code(who[0], state))))
        path.parts[who] = self.part(who, state)
        return path

    def scope(
        self, path: Path, who: Who, names: Names, caller: Caller, *, so_far: bool, before: Part | None = None
    ) -> Scope:
        """Return what an expression of an entity reads: its values before the action, or (on entry) those so far."""
        part = path.parts[who]
        read = part if so_far or before is None else before
        fields, unset = dict(read.fields), dict(read.unset)

        def value(name: str) -> tuple[Value, Code]:
            return fields[name], unset.get(name, FALSE)

        state = part.state
        return Scope(
            self.layout,
            self.table,
            names,
            who,
            lambda states: TRUE if state in states else FALSE,
            value,
            caller=caller,
        )

    # --- an action ----------------------------------------------------------------------------------------------------

    def take(
        self,
        path: Path,
        who: Who,
        entity: shape.Entity,
        name: str,
        given: Mapping[str, Value],
        caller: Caller,
        *,
        system: bool,
    ) -> list[Path]:
        """Return every way in which an action is taken, its routes included. `path` is used up."""
        part = path.parts[who]
        part.taken = True
        part.caller = caller
        before = part.copy()
        action = entity.actions[name]
        kind = self.layout.kinds[who[0]]
        own = self.scope(path, who, names_in(self.table, entity), caller, so_far=False, before=before)
        params = self._filled(path, kind, action, given, own)
        if params is None:
            return []
        names = names_in(self.table, entity, action)
        scope = replace(own, names=names, params=params)
        reading = Reading(own)
        common = self._admitted(action.by, reading, caller, system)
        path.problems(reading, action.site)
        cases = [case for case in action.cases if part.state in case.froms]
        if not cases:
            return []
        path.need(either(common, *(TRUE for case in cases if case.by)))
        reading = Reading(scope)
        for guard in action.when:
            holds = reading.truth(guard.condition)
            path.problems(reading, guard.site)
            path.need(holds)
        found: list[Path] = []
        for case in cases:
            found += self._case(path, who, entity, action, case, scope, before, caller, common, system=system)
            if path.dead():
                break
        return found

    def _filled(
        self, path: Path, kind: Kind, action: shape.Action, given: Mapping[str, Value], own: Scope
    ) -> dict[str, Value] | None:
        params: dict[str, Value] = {}
        words = self.layout.words
        for param in action.params:
            matters = (action.name, param.name) in kind.cone.params
            if not matters and param.name not in given:
                params[param.name] = words.empty(param.type)
            elif param.name in given:
                value = given[param.name]
                if param.type[0] == "optional" and not isinstance(value, Maybe):
                    value = Maybe(TRUE, value)
                path.need(words.of_type(value, param.type, self.layout.span))
                params[param.name] = value
            elif param.default is not None:
                reading = Reading(own)
                params[param.name] = reading.value(param.default)
                path.problems(reading, action.site)
            elif param.type[0] == "optional":
                params[param.name] = Maybe(FALSE, words.empty(param.type[1]))
            else:
                return None
        return params

    def _admitted(self, bys: Iterable[shape.By], reading: Reading, caller: Caller, system: bool) -> Code:
        """Return that one of `by` lets the caller in."""
        admitted: Code = FALSE
        for by in bys:
            if system:
                lets: Code = TRUE if by.kind == "system" else FALSE
            elif by.kind == "role":
                lets = TRUE if by.role in caller.roles else FALSE
            elif by.kind == "anyone":
                lets = TRUE
            elif by.who is not None:
                with reading.given(no(admitted)):
                    lets = self._named(reading.value(by.who), caller)
            else:
                lets = FALSE
            admitted = either(admitted, lets)
            if admitted == TRUE:
                break
        return admitted

    def _named(self, value: Value, caller: Caller) -> Code:
        me = const(self.layout.words.number(("principal",), caller.principal))
        if isinstance(value, Maybe):
            return both(value.present, eq(scalar(value.inner), me))
        if isinstance(value, Many):
            return has(value.mask, me)
        return eq(scalar(value), me)

    def _case(
        self,
        path: Path,
        who: Who,
        entity: shape.Entity,
        action: shape.Action,
        case: shape.Case,
        scope: Scope,
        before: Part,
        caller: Caller,
        common: Code,
        *,
        system: bool,
    ) -> list[Path]:
        """Return the ways in which one case is taken; `path` is left as the one on which it is not."""
        cased = replace(scope, names=names_in(self.table, entity, action, case))
        reading = Reading(replace(scope, names=names_in(self.table, entity)))
        admitted = self._admitted(case.by, reading, caller, system) if case.by else common
        path.problems(reading, case.site)
        reading = Reading(cased)
        conditions = [admitted]
        for guard in case.when:
            with reading.given(both(*conditions)):
                holds = reading.truth(guard.condition)
            path.problems(reading, guard.site)
            conditions.append(holds)
        taken = both(*conditions)
        if taken == FALSE:
            return []
        mine = path.copy()
        mine.need(taken)
        path.need(no(taken))
        part = mine.parts[who]
        if not mine.moves:
            mine.actor = "system" if system else _actor(case.by or action.by, caller)
        state = part.state
        to = case.to
        frames = _Frames(self, who, cased, before)
        paths = [mine]
        leaving = list(left(entity, state, to)) if to is not None else []
        plain = names_in(self.table, entity)
        for place in leaving:
            exits = _Frames(self, who, replace(scope, names=plain, params={}), before)
            paths = self._run(paths, place.exit, exits, who, caller, TRUE)
        paths = self._run(paths, (*action.body, *case.body), frames, who, caller, TRUE)
        found: list[Path] = []
        for each in paths:
            own = each.parts[who]
            moved = Moved(who, action.name, case.site, state, to or state, to is not None, caller)
            each.moves.append(moved)
            if to is None:
                found.append(each)
                continue
            for place in leaving:
                for timer in place.timers:
                    own.armed.pop(timer.site, None)
            self._leave(own, leaving)
            own.state = to
            own.moved = True
            found += self._enter(each, who, entity, list(entered(entity, state, to)), caller)
        return found

    def _leave(self, part: Part, places: Sequence[shape.Place]) -> None:
        gone = {timer.site for place in places for timer in place.timers}
        for site in gone:
            part.timers[site] = const(0)
        kind = self.layout.kinds[part.who[0]]
        sites = {place.site for place in places}
        for position, (held, params) in enumerate(part.deferred):
            released = held
            for index, (action, site) in enumerate(kind.deferrable):
                if site in sites:
                    free = kind.deferrable.index((action, ""))
                    for caller in range(len(self.layout.causers(kind.name, (action,)))):
                        mine = eq(held, const(self.held(kind, index, caller)))
                        released = ite(mine, const(self.held(kind, free, caller)), released)
            part.deferred[position] = released, params

    def held(self, kind: Kind, index: int, caller: int) -> int:
        """Return the number of what is deferred: its action and place, and on whose behalf."""
        return 1 + sum(map(len, self.layout.deferred_by(kind)[:index])) + caller

    def _enter(
        self, path: Path, who: Who, entity: shape.Entity, places: Sequence[shape.Place], caller: Caller
    ) -> list[Path]:
        paths = [path]
        route: shape.Place | None = None
        plain = names_in(self.table, entity)
        for place in places:
            so_far = _SoFar(self, who, plain, caller)
            paths = self._run(paths, place.entry, so_far, who, caller, TRUE)
            for each in paths:
                for timer in place.timers:
                    each.parts[who].armed[timer.site] = timer
            if place.route is not None:
                route = place
        if route is None or route.route is None:
            return paths
        found: list[Path] = []
        for each in paths:
            if len(each.moves) > 2 * len(entity.states):
                each.fault(TRUE, Why.TWICE.name, route.site)
                found.append(each)
                continue
            scope = self.scope(each, who, plain, caller, so_far=True)
            given = self.arguments(each, entity, route.route, scope, route.site)
            found += self.take(each, who, entity, route.route.action, given, caller, system=True)
        return found

    def arguments(
        self, path: Path, entity: shape.Entity, handler: shape.Handler, scope: Scope, site: str
    ) -> dict[str, Value]:
        """Return a handler's arguments, those that make a difference."""
        kind = self.layout.kinds[entity.name]
        given = {}
        reading = Reading(scope)
        types = {param.name: param.type for param in entity.actions[handler.action].params}
        for name, e in handler.args:
            whole = without_lets(e, scope.names)
            if (handler.action, name) in kind.cone.params or value_decides(whole, types[name], self.table, scope.names):
                given[name] = reading.value(whole)
        path.problems(reading, site)
        return given

    # --- clauses ------------------------------------------------------------------------------------------------------

    def _run(
        self,
        paths: list[Path],
        clauses: Iterable[shape.AnyClause],
        frames: Frames,
        who: Who,
        caller: Caller,
        given: Code,
    ) -> list[Path]:
        for clause in clauses:
            paths = [after for path in paths for after in self._clause(path, clause, frames, who, caller, given)]
        return paths

    def _clause(
        self, path: Path, clause: shape.AnyClause, frames: Frames, who: Who, caller: Caller, given: Code
    ) -> list[Path]:
        scope = frames.scope(path)
        reading = Reading(scope)
        match clause:
            case shape.Set(field=name, value=e):
                self._set(path, clause, name, e, reading, who, given)
                return [path]
            case shape.Call():
                self._call(path, clause, reading, who, caller, given)
                return [path]
            case shape.Emit(event=event, args=args):
                self._checked(path, self.table.events[event].params, args, reading, clause.site, given)
                return [path]
            case shape.Send():
                self._send(path, clause, reading, who, caller, given)
                return [path]
            case shape.If(condition=condition, body=body):
                with reading.given(given):
                    holds = reading.truth(condition)
                path.problems(reading, clause.site)
                inside = both(given, holds)
                return [path] if inside == FALSE else self._run([path], body, frames, who, caller, inside)
            case shape.For():
                return self._for(path, clause, frames, who, caller, given)
            case shape.With() | shape.Create():
                return self._joint(path, clause, reading, who, caller, given)

    def _set(self, path: Path, clause: shape.Set, name: str, e: Expr, reading: Reading, who: Who, given: Code) -> None:
        kind = self.layout.kinds[who[0]]
        part = path.parts[who]
        type_ = next(each.type for each in kind.entity.fields if each.name == name)
        # One that makes no difference is still refused if it does not fit.
        whole = without_lets(e, reading.scope.names)
        if name in kind.spaces or value_decides(whole, type_, self.table, reading.scope.names):
            with reading.given(given):
                value = reading.value(whole)
            path.problems(reading, clause.site)
            if type_[0] == "optional" and not isinstance(value, Maybe):
                value = Maybe(TRUE, value)
            fits = self.layout.words.of_type(value, type_, self.layout.span)
            path.fault(both(given, no(fits)), Why.OUT_OF_TYPE.name, clause.site)
            if name in kind.spaces:
                part.fields[name] = chosen(given, value, part.fields[name])
        path.fault(both(given, part.assigned.get(name, FALSE)), Why.TWICE.name, clause.site)
        part.assigned[name] = either(part.assigned.get(name, FALSE), given)
        if name in part.unset:
            part.unset[name] = both(part.unset[name], no(given))

    def _call(self, path: Path, clause: shape.Call, reading: Reading, who: Who, caller: Caller, given: Code) -> None:
        layout = self.layout
        kind = layout.kinds[who[0]]
        self._checked(path, self.table.tools[clause.tool].params, clause.args, reading, clause.site, given)
        site = kind.sites[clause.site]
        numbers: list[Code] = []
        for memory in site.memories:
            with reading.given(given):
                value = reading.value(memory.expr)
            path.problems(reading, clause.site)
            fits = both(layout.words.of_type(value, memory.type, layout.span), memory.space.bound(value))
            path.fault(both(given, no(fits)), BOUND, clause.site)
            numbers += memory.space.write(value)
        by = layout.causer(caller, kind.name, site.actions)
        for index, kept in enumerate(site.kept):
            mine = both(given, *(eq(a, const(b)) for a, b in zip(numbers, kept, strict=True)))
            if mine != FALSE:
                path.parts[who].made.append((mine, (clause.site, by, index, CURRENT)))

    def _checked(
        self,
        path: Path,
        params: tuple[shape.Param, ...],
        args: shape.Args,
        reading: Reading,
        site: str,
        given: Code,
    ) -> None:
        """Ask of arguments that go out that they are of their types, where they may not be."""
        types = {param.name: param.type for param in params}
        for name, e in args:
            names = reading.scope.names
            whole = without_lets(e, names)
            if name not in types or not value_decides(whole, types[name], self.table, names):
                continue
            with reading.given(given):
                value = reading.value(whole)
            path.problems(reading, site)
            if types[name][0] == "optional" and not isinstance(value, Maybe):
                value = Maybe(TRUE, value)
            fits = self.layout.words.of_type(value, types[name], self.layout.span)
            path.fault(both(given, no(fits)), Why.OUT_OF_TYPE.name, site)

    def _for(self, path: Path, clause: shape.For, frames: Frames, who: Who, caller: Caller, given: Code) -> list[Path]:
        scope = frames.scope(path)
        reading = Reading(scope)
        with reading.given(given):
            over = reading.value(clause.over)
        path.problems(reading, clause.site)
        paths = [path]
        for each, there, of in members(over, self.layout.words):
            if both(given, there) != FALSE:
                inner = frames.bound(clause.var, each, of)
                paths = self._run(paths, clause.body, inner, who, caller, both(given, there))
        return paths

    def _send(self, path: Path, clause: shape.Send, reading: Reading, who: Who, caller: Caller, given: Code) -> None:
        if (who[0], clause.entity) not in self.layout.sends or clause.entity not in self.layout.kinds:
            raise UnloweredError(f"a send to {clause.entity}, which is not in the search")
        with reading.given(given):
            target = scalar(reading.value(clause.target))
        path.problems(reading, clause.site)
        params = self._given(path, clause, reading, given)
        path.sends.append(Sent(given, who, clause.entity, target, clause.action, params, caller))

    def _given(
        self, path: Path, clause: shape.Send | shape.With | shape.Create, reading: Reading, given: Code
    ) -> dict[str, Value]:
        """Return what another entity's action gets, where it makes a difference, checked as what is sent out is."""
        kind = self.layout.kinds[clause.entity]
        action = kind.entity.actions[clause.action]
        self._checked(path, action.params, clause.args, reading, clause.site, given)
        found = {}
        for name, e in clause.args:
            if (clause.action, name) in kind.cone.params:
                with reading.given(given):
                    found[name] = reading.value(e)
                path.problems(reading, clause.site)
        return found

    def _joint(
        self,
        path: Path,
        clause: shape.With | shape.Create,
        reading: Reading,
        who: Who,
        caller: Caller,
        given: Code,
    ) -> list[Path]:
        if clause.entity not in self.layout.kinds:
            raise UnloweredError(f"{clause.entity}, which is not in the search")
        found: list[Path] = []
        if given != TRUE:
            apart = path.copy()
            apart.need(no(given))
            if not apart.dead():
                found.append(apart)
            path.need(given)
        params = self._given(path, clause, reading, TRUE)
        kind = self.layout.kinds[clause.entity]
        target = scalar(reading.value(clause.target)) if isinstance(clause, shape.With) else None
        path.problems(reading, clause.site)
        for number in range(kind.count):
            other = (clause.entity, number)
            if other in path.parts:
                if target is not None:
                    # In one commit an entity takes one action.
                    twice = path.copy()
                    twice.need(eq(target, const(number)))
                    twice.fault(TRUE, Why.TWICE.name, clause.site)
                    found += [] if twice.dead() else [twice]
                continue
            states = (NEW,) if target is None else kind.entity.states
            chosen_one = path.copy()
            if target is not None:
                chosen_one.need(eq(target, const(number)))
            for state in states:
                here = chosen_one.copy()
                at = self.layout.var(self.layout.slots[other].state)
                here.need(eq(at, const(self.layout.state_code(clause.entity, state))))
                if here.dead():
                    continue
                here.parts[other] = self.part(other, state)
                if isinstance(clause, shape.Create) and clause.name is not None:
                    here.created[who, clause.name] = number
                for entity in kind.variants(clause.action):
                    found += self.take(here.copy(), other, entity, clause.action, params, caller, system=True)
        if target is None:
            full = path.copy()
            for number in range(kind.count):
                full.need(self.layout.exists(clause.entity, number))
            full.fault(TRUE, BOUND, clause.entity)
            if isinstance(clause, shape.Create) and clause.name is not None:
                # The path ends here, but what is left of the clauses still reads the name.
                full.created[who, clause.name] = 0
            found.append(full)
        return found

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self, path: Path) -> dict[int, Code]:
        """Return what becomes of the variables, and ask of the values what is asked of them at the end."""
        updates: dict[int, Code] = {}
        for part in path.parts.values():
            self._finish_part(path, part, updates)
        self._finish_sends(path, updates)
        self._finish_whenevers(path, updates)
        return {index: code for index, code in updates.items() if code != self.layout.var(index)}

    def _finish_part(self, path: Path, part: Part, updates: dict[int, Code]) -> None:
        layout, kind = self.layout, self.layout.kinds[part.who[0]]
        slots = layout.slots[part.who]
        if part.origin == NEW:
            for name, unset in part.unset.items():
                path.fault(unset, Why.OUT_OF_TYPE.name, f"{kind.name}.{name}")
        updates[slots.state] = const(layout.state_code(kind.name, part.state))
        timers = self._timers(path, part) if part.taken else part.timers
        for name, space in kind.spaces.items():
            value = part.fields[name]
            path.fault(no(space.bound(value)), BOUND, name)
            updates.update(zip(slots.fields[name], space.write(value), strict=True))
        for site, index in slots.timers.items():
            updates[index] = timers[site]
        for pair, index in slots.together.items():
            a, b = pair
            due = both(op("!=", timers[a], const(0)), op("!=", timers[b], const(0)))
            armed = [site in part.armed for site in pair]
            known = const(1) if all(armed) else const(0) if any(armed) else part.together[pair]
            updates[index] = ite(due, known, const(0))
        self._finish_calls(path, part, updates)
        for position, (index, at) in enumerate(slots.deferred):
            held, params = part.deferred[position]
            updates[index] = held
            for name, indexes in at.items():
                updates.update(zip(indexes, params[name], strict=True))

    def _finish_calls(self, path: Path, part: Part, updates: dict[int, Code]) -> None:
        layout, kind = self.layout, self.layout.kinds[part.who[0]]
        slots = layout.slots[part.who]
        calls = dict(part.calls)
        if part.moved:
            for site, caller, memory, standing in list(calls):
                if standing == CURRENT:
                    key, past = (site, caller, memory, CURRENT), (site, caller, memory, PAST)
                    calls[past] = op("+", calls[past], calls[key])
                    calls[key] = const(0)
        for key in calls:
            if key[3] != CURRENT and part.state in kind.ignored[key[0]]:
                calls[key] = const(0)
        for condition, key in part.made:
            calls[key] = op("+", calls[key], ite(condition, const(1), const(0)))
        pending = total(calls.values())
        if part.made and layout.span(pending)[1] > layout.pending_max:
            path.fault(op(">", pending, const(layout.pending_max)), BOUND, "calls")
        updates.update((slots.calls[key], code) for key, code in calls.items())

    def _timers(self, path: Path, part: Part) -> dict[str, Code]:
        """Return the timers that ran on, those whose field changed set anew, and those that have been armed."""
        layout, kind = self.layout, self.layout.kinds[part.who[0]]
        assert part.caller is not None, "somebody has acted"
        by = part.caller
        found = dict(part.timers)

        def mine(site: str) -> Code:
            return const(1 + layout.causer(by, kind.name, kind.fires(site)))

        for site, (place, timer) in kind.timers.items():
            name = timer.field or ""
            if timer.kind == "at" and part.origin != NEW and site not in part.armed and part.origin in place.states:
                if part.state in place.states and part.assigned.get(name, FALSE) != FALSE:
                    was, now = layout.value(*part.who, name), part.fields[name]
                    anew = ite(_there(now), mine(site), const(0))
                    found[site] = ite(same(was, now), found[site], anew)
        names = names_in(self.table, kind.entity)
        for site, timer in part.armed.items():
            if timer.duration is None:
                found[site] = ite(_there(part.fields[timer.field or ""]), mine(site), const(0))
                continue
            found[site] = mine(site)
            if site in kind.durations and (timer.kind != "every" or kind.durations[site] > 0):
                continue
            if timer.duration[0] == "lit":
                continue
            scope = self.scope(path, part.who, names, part.caller, so_far=True)
            reading = Reading(scope)
            wait = scalar(reading.value(timer.duration))
            path.problems(reading, site)
            fits = layout.words.of_type(wait, DURATION, layout.span)
            if timer.kind == "every":
                fits = both(fits, op(">", wait, const(0)))
            path.fault(no(fits), Why.OUT_OF_TYPE.name, site)
        return found

    def _finish_whenevers(self, path: Path, updates: dict[int, Code]) -> None:
        """Arm those `whenever`s that hold after the step and did not before, and disarm those that don't."""
        layout = self.layout
        callers = [part.caller for part in path.parts.values() if part.caller is not None]
        values: dict[Code, Code] | None = None
        for who, slots in layout.slots.items():
            part = path.parts.get(who)
            if not slots.whenevers or not callers or (part is not None and not part.taken):
                # A step in which no action is taken changes nothing that they read.
                for site, index in slots.whenevers.items():
                    if part is not None:
                        updates[index] = part.whenevers[site]
                continue
            if values is None:
                values = {("next", i): updates.get(i, layout.var(i)) for i in range(len(layout.variables))}
            by = part.caller if part is not None and part.caller is not None else callers[0]
            for site, index in slots.whenevers.items():
                place, _ = layout.kinds[who[0]].whenevers[site]
                armed = part.whenevers[site] if part is not None else layout.var(index)
                if part is None and not self.looks(who, site) & updates.keys():
                    continue  # It is armed while it holds, and nothing that it looks at has changed.
                if part is not None and part.state not in place.states:
                    updates[index] = const(0)
                    continue
                here = replaced(self.later.is_in(*who, place.states), values)
                holds = both(here, replaced(self.holds(who, site), values))
                mine = const(1 + layout.causer(by, who[0], layout.kinds[who[0]].fires(site)))
                updates[index] = ite(holds, ite(op("!=", armed, const(0)), armed, mine), const(0))

    def holds(self, who: Who, site: str) -> Code:
        """Return that a `whenever` holds after the step; one that has no value does not."""
        known = self._whenevers.get((who, site))
        if known is None:
            layout, later = self.layout, self.later
            names = names_in(self.table, layout.kinds[who[0]].entity)

            def value(name: str) -> tuple[Value, Code]:
                return later.value(*who, name), FALSE

            scope = Scope(later, self.table, names, who, lambda states: later.is_in(*who, states), value)
            reading = Reading(scope)
            truth = reading.truth(layout.kinds[who[0]].whenevers[site][1].condition)
            known = both(*(no(each.condition) for each in reading.problems), truth)
            self._whenevers[who, site] = known
        return known

    def looks(self, who: Who, site: str) -> frozenset[int]:
        """Return the variables that decide whether a `whenever` holds."""
        known = self._looks.get((who, site))
        if known is None:
            place, _ = self.layout.kinds[who[0]].whenevers[site]
            known = variables(both(self.later.is_in(*who, place.states), self.holds(who, site)))
            self._looks[who, site] = known
        return known

    def _finish_sends(self, path: Path, updates: dict[int, Code]) -> None:
        layout = self.layout
        for sent in path.sends:
            actions = layout.sends[sent.sender[0], sent.entity]
            before = layout.sent_by(sent.sender[0], sent.entity)[: actions.index(sent.action)]
            content = 1 + sum(map(len, before)) + layout.causer(sent.caller, sent.entity, (sent.action,))
            for number in range(layout.counts[sent.entity]):
                there = both(sent.condition, eq(sent.target, const(number)))
                if there == FALSE:
                    continue
                queue = layout.queues[sent.sender, (sent.entity, number)]
                free: Code = there
                for index, params in queue:
                    now = updates.get(index, layout.var(index))
                    mine = both(free, eq(now, const(0)))
                    free = both(free, op("!=", now, const(0)))
                    updates[index] = ite(mine, const(content), now)
                    self._carry(sent, params, mine, updates, path)
                path.fault(free, BOUND, "sends")

    def _carry(
        self, sent: Sent, params: Mapping[str, tuple[int, ...]], mine: Code, updates: dict[int, Code], path: Path
    ) -> None:
        layout = self.layout
        kind = layout.kinds[sent.entity]
        for name, indexes in params.items():
            action, _, param = name.partition(".")
            if action == sent.action:
                self.carry(path, kind, action, param, indexes, sent.params, mine, updates)

    def carry(
        self,
        path: Path,
        kind: Kind,
        action: str,
        param: str,
        indexes: tuple[int, ...],
        given: Mapping[str, Value],
        mine: Code,
        updates: dict[int, Code],
    ) -> None:
        """Keep a parameter of what waits in these variables, where `mine` holds."""
        layout = self.layout
        type_ = next(each.type for each in kind.entity.actions[action].params if each.name == param)
        if param not in given:
            raise UnloweredError("what waits without one of its parameters")
        value = given[param]
        if type_[0] == "optional" and not isinstance(value, Maybe):
            value = Maybe(TRUE, value)
        space = layout.space(type_, kind, 0)
        fits = both(layout.words.of_type(value, type_, layout.span), space.bound(value))
        path.fault(both(mine, no(fits)), BOUND, f"{action}.{param}")
        for index, code in zip(indexes, space.write(value), strict=True):
            updates[index] = ite(mine, code, updates.get(index, layout.var(index)))


class Frames:
    """Makes the scope of clauses, as a path has come to them."""

    def scope(self, path: Path) -> Scope:
        raise NotImplementedError

    def bound(self, name: str, value: Value, type_: Any) -> Frames:
        raise NotImplementedError


class _Frames(Frames):
    """Clauses of an action: they read the values from before it."""

    def __init__(self, taker: Taker, who: Who, scope: Scope, before: Part) -> None:
        self.taker = taker
        self.who = who
        self.own = scope
        self.before = before

    def scope(self, path: Path) -> Scope:
        return replace(self.own, created=_named(path, self.who))

    def bound(self, name: str, value: Value, type_: Any) -> Frames:
        own = replace(self.own, bound={**self.own.bound, name: value}, names=self.own.names.bind(name, type_))
        return _Frames(self.taker, self.who, own, self.before)


class _SoFar(Frames):
    """Clauses on entry: each reads the values so far."""

    def __init__(
        self, taker: Taker, who: Who, names: Names, caller: Caller, bound: Mapping[str, Value] | None = None
    ) -> None:
        self.taker = taker
        self.who = who
        self.names = names
        self.caller = caller
        self.variables = dict(bound or {})

    def scope(self, path: Path) -> Scope:
        scope = self.taker.scope(path, self.who, self.names, self.caller, so_far=True)
        return replace(scope, bound=self.variables, created=_named(path, self.who))

    def bound(self, name: str, value: Value, type_: Any) -> Frames:
        names = self.names.bind(name, type_)
        return _SoFar(self.taker, self.who, names, self.caller, {**self.variables, name: value})


def _named(path: Path, who: Who) -> dict[str, int]:
    return {name: number for (creator, name), number in path.created.items() if creator == who}


def _there(value: Value) -> Code:
    return value.present if isinstance(value, Maybe) else TRUE


def _actor(bys: Iterable[shape.By], caller: Caller) -> str:
    """Return as what a caller acts: a role if one lets it in."""
    actor = "named"
    for by in bys:
        if by.kind == "role" and by.role in caller.roles:
            return str(by.role)
        if by.kind == "anyone":
            actor = "anyone"
    return actor


def moves_of(path: Path, who: Who) -> Iterator[Moved]:
    """The cases that one entity took on a path."""
    return (moved for moved in path.moves if moved.who == who)


__all__ = ["ENDED", "NEW", "Asked", "Fixed", "Frames", "Moved", "Part", "Path", "Taker", "Who", "moves_of"]
