"""A table made ready to run: its expressions compiled, its cases by state, its places by move.

Made once for a table, each action when it is first asked for. What it holds is worked out from the table alone, so that
it may be thrown away at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from temper.table.evaluate import Code, Frame, compile_expr, default_values, entity_names
from temper.table.events import Caller
from temper.table.expr import Names, param_types
from temper.table.phrase import describe_expr
from temper.table.reach import looks_elsewhere
from temper.table.table import (
    Action,
    AnyClause,
    By,
    Case,
    Create,
    Entity,
    For,
    Guard,
    Handler,
    If,
    Late,
    Param,
    Place,
    Table,
    Timer,
    Type,
    Whenever,
)
from temper.table.values import Checker, checker

NEW = "new"


class Lazily(dict[Any, Any]):
    """A mapping that makes what is first asked for."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> Any:
        value = self[key] = self._make(key)
        return value


class ParamCode(Struct, frozen=True):
    name: str
    type: Type
    check: Checker
    default: Code | None
    optional: bool


class ByCode(Struct, frozen=True):
    by: By
    who: Code | None


class GuardCode(Struct, frozen=True):
    guard: Guard
    holds: Code


class CaseCode(Struct, frozen=True):
    """A case with what holds for it: `by` is the action's where it has none of its own."""

    case: Case
    names: Names
    by: tuple[ByCode, ...]
    own_by: bool
    guards: tuple[GuardCode, ...]


class ActionCode:
    """An action, compiled."""

    def __init__(self, program: EntityProgram, action: Action) -> None:
        created = dict(_created(action.body))
        for case in action.cases:
            created.update(_created(case.body))
        self.action = action
        self.name = action.name
        self.names = Names(
            program.table,
            program.entity,
            param_types(action.params),
            {let.name: let for let in action.lets},
            program.names,
            created,
        )
        self.params = tuple(program.param(param) for param in action.params)
        self.param_names = frozenset(param.name for param in action.params)
        self.by = program.bys(action.by)
        self.guards = tuple(guard_code(guard, self.names) for guard in action.when)
        self.cases = tuple(self._case(program, case) for case in action.cases)
        self.from_states: dict[str, tuple[CaseCode, ...]] = {}
        for code in self.cases:
            for state in code.case.froms:
                self.from_states[state] = (*self.from_states.get(state, ()), code)
        self.all_bys: tuple[ByCode, ...] = tuple(by for code in self.cases for by in code.by) or self.by

    def _case(self, program: EntityProgram, case: Case) -> CaseCode:
        names = self.names
        if case.lets:
            lets = {let.name: let for let in case.lets}
            names = Names(program.table, program.entity, names.params, lets, names, names.created)
        guards = tuple(guard_code(guard, names) for guard in case.when)
        return CaseCode(case, names, program.bys(case.by) or self.by, bool(case.by), guards)


class HandlerCode(Struct, frozen=True):
    handler: Handler
    args: tuple[tuple[str, Code], ...]

    def given(self, frame: Frame) -> dict[str, Any]:
        return {name: code(frame) for name, code in self.args}


class TimerCode(Struct, frozen=True):
    timer: Timer
    index: int
    duration: Code | None
    handler: HandlerCode


class WheneverCode(Struct, frozen=True):
    """`elsewhere`: its condition reads other entities."""

    whenever: Whenever
    holds: Code
    handler: HandlerCode
    states: frozenset[str]
    elsewhere: bool


class PlaceCode(Struct, frozen=True):
    place: Place
    names: Names
    route: HandlerCode | None
    timers: tuple[TimerCode, ...]


class LateCode(Struct, frozen=True):
    late: Late
    handler: HandlerCode | None


class EntityProgram:
    """An entity, compiled as far as it has been asked for."""

    def __init__(self, table: Table, name: str) -> None:
        self.table = table
        self.entity: Entity = table.entities[name]
        self.name = name
        self.names = entity_names(table, name)
        self.states = frozenset(self.entity.states)
        self.final = frozenset(self.entity.final)
        self.field_names = tuple(field.name for field in self.entity.fields)
        self.field_types: dict[str, Type] = {field.name: field.type for field in self.entity.fields}
        self.field_checks: dict[str, Checker] = {
            field.name: checker(field.type, table.records) for field in self.entity.fields
        }
        self.defaults = default_values(table, name)
        self.actions: Mapping[str, ActionCode] = Lazily(lambda action: ActionCode(self, self.entity.actions[action]))
        sites = [one.site for place in self.entity.places for one in place.timers]
        sites += [one.site for place in self.entity.places for one in place.whenevers]
        self.timer_order = {site: index for index, site in enumerate(sites)}
        self.places = tuple(self._place(place) for place in self.entity.places)
        self.timers: dict[str, TimerCode] = {code.timer.site: code for place in self.places for code in place.timers}
        self.whenevers: dict[str, WheneverCode] = {
            whenever.site: self._whenever(whenever, place)
            for place in self.entity.places
            for whenever in place.whenevers
        }
        self.watches_others = any(code.elsewhere for code in self.whenevers.values())
        self.moves: Mapping[tuple[str, str], tuple[tuple[PlaceCode, ...], tuple[PlaceCode, ...]]] = Lazily(
            lambda move: (self._left(*move), self._entered(*move))
        )
        self.late: Mapping[tuple[str, str], LateCode | Place | None] = Lazily(lambda key: self._home(*key))
        self.bodies: dict[Any, Any] = {}
        """What `step` makes of clauses, by the thing whose clauses they are."""
        self.excludes = tuple((role.name, other) for role in table.roles for other in role.excludes)

    def param(self, param: Param) -> ParamCode:
        default = None if param.default is None else compile_expr(param.default, self.names)
        check = checker(param.type, self.table.records)
        return ParamCode(param.name, param.type, check, default, param.type[0] == "optional")

    def bys(self, bys: tuple[By, ...]) -> tuple[ByCode, ...]:
        return tuple(ByCode(by, None if by.who is None else compile_expr(by.who, self.names)) for by in bys)

    def _place(self, place: Place) -> PlaceCode:
        names = self.names
        created = dict(_created((*place.entry, *place.exit)))
        if created:
            names = Names(self.table, self.entity, outer=names, created=created)
        timers = tuple(
            TimerCode(
                timer,
                self.timer_order[timer.site],
                None if timer.duration is None else compile_expr(timer.duration, self.names),
                handler_code(timer.handler, self.names),
            )
            for timer in place.timers
        )
        return PlaceCode(place, names, handler_code(place.route, names) if place.route else None, timers)

    def _whenever(self, whenever: Whenever, place: Place) -> WheneverCode:
        return WheneverCode(
            whenever,
            compile_expr(whenever.condition, self.names),
            handler_code(whenever.handler, self.names),
            frozenset(place.states),
            looks_elsewhere(whenever.condition, self.names),
        )

    def _left(self, before: str, after: str) -> tuple[PlaceCode, ...]:
        return tuple(
            code
            for code in self.places
            if before in code.place.states and not (code.place.group and after in code.place.states)
        )

    def _entered(self, before: str, after: str) -> tuple[PlaceCode, ...]:
        return tuple(
            code
            for code in self.places
            if after in code.place.states and not (code.place.group and before in code.place.states)
        )

    def _home(self, state: str, action: str) -> LateCode | Place | None:
        """What becomes of `action` where it is late in `state`: a `late` line, the place that defers it, or nothing."""
        for code in self.places:
            if state in code.place.states:
                for late in code.place.late:
                    if action in late.actions:
                        return self._late(late)
                if action in code.place.defer:
                    return code.place
        return next((self._late(late) for late in self.entity.late if action in late.actions), None)

    def _late(self, late: Late) -> LateCode:
        if late.handler is None:
            return LateCode(late, None)
        params = {
            param.name: param.type
            for name in reversed(late.actions)
            if name in self.entity.actions
            for param in self.entity.actions[name].params
        }
        names = Names(self.table, self.entity, params, outer=self.names)
        return LateCode(late, handler_code(late.handler, names))


def program_of(table: Table, entity: str) -> EntityProgram | None:
    """Return the program of an entity, or `None` where the table has none of that name."""
    known: dict[str, EntityProgram] = table.__dict__.setdefault("programs", {})
    found = known.get(entity)
    if found is None and entity in table.entities:
        found = known[entity] = EntityProgram(table, entity)
    return found


def guard_code(guard: Guard, names: Names) -> GuardCode:
    return GuardCode(guard, compile_expr(guard.condition, names))


def handler_code(handler: Handler, names: Names) -> HandlerCode:
    return HandlerCode(handler, tuple((name, compile_expr(value, names)) for name, value in handler.args))


def admits(bys: tuple[ByCode, ...], frame: Frame, caller: Caller, system: bool) -> str | None:
    """Return as what the caller is admitted (a role, "anyone", "named", "system"), or `None`.

    `system` is admitted by `by system` alone: it has no roles, whoever it acts for.
    """
    for code in bys:
        kind = code.by.kind
        if system:
            if kind == "system":
                return "system"
        elif kind == "role":
            if code.by.role in caller.roles:
                return code.by.role
        elif kind == "anyone":
            return "anyone"
        elif code.who is not None:
            named = code.who(frame)
            if named == caller.principal or (type(named) in {frozenset, tuple} and caller.principal in named):
                return "named"
    return None


def by_phrase(bys: tuple[ByCode, ...]) -> str:
    """Return whom `by` names, as a blueprint writes it."""
    words = [code.by.role or (describe_expr(code.by.who) if code.by.who else code.by.kind) for code in bys]
    return ", ".join(f"`{word}`" for word in dict.fromkeys(words))


def _created(clauses: tuple[AnyClause, ...]) -> Iterator[tuple[str, str]]:
    for clause in clauses:
        if isinstance(clause, Create) and clause.name is not None:
            yield clause.name, clause.entity
        elif isinstance(clause, For | If):
            yield from _created(clause.body)
