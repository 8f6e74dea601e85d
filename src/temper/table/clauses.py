"""What an action does: each clause compiled to a function that adds to the work of a commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, assert_never

from temper.table.evaluate import Code, Frame, compile_expr, compile_over
from temper.table.events import Act, Caller, Creation, Emitted, Join, Refused, SendOrder, Value, Why
from temper.table.expr import BINDERS, Absent, Elsewhere, Names, element, parts, rebuilt, type_of, walk
from temper.table.program import EntityProgram, PlaceCode
from temper.table.table import (
    AnyClause,
    Args,
    Call,
    Create,
    Emit,
    Expr,
    For,
    Handler,
    If,
    Param,
    Send,
    Set,
    With,
)
from temper.table.values import Checker, checker, describe, encode, fits, show_as


class Stop(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.refused = refused


class CallDraft:
    """A call whose visit is not known until the commit ends."""

    __slots__ = ("args", "call", "handlers", "order")

    def __init__(self, order: str, call: Call, args: Mapping[str, Value], handlers: tuple[Handler | None, ...]) -> None:
        self.order = order
        self.call = call
        self.args = args
        self.handlers = handlers


class Work:
    """What a commit has changed and ordered so far."""

    __slots__ = (
        "action", "assigned", "at", "caller", "created", "creates", "emitted", "event_id", "fields", "joins",
        "numbered", "orders", "site",
    )  # fmt: skip

    def __init__(self, event_id: str, at: int, caller: Caller) -> None:
        self.event_id = event_id
        self.at = at
        self.caller = caller
        self.fields: dict[str, Any] = {}
        self.assigned: set[str] = set()
        self.numbered = 0
        self.orders: list[CallDraft | SendOrder] = []
        self.creates: list[Creation] = []
        self.created: dict[str, str] = {}
        self.joins: list[Join] = []
        self.emitted: list[Emitted] = []
        self.action: str | None = None
        self.site: str | None = None

    def number(self) -> str:
        """Return the id of the next order, creation or joint action."""
        self.numbered += 1
        return f"{self.event_id}.{self.numbered}"


Run: TypeAlias = Callable[[Work, Frame], None]
"""A compiled clause."""


def place_clauses(place: PlaceCode, program: EntityProgram) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    found: tuple[tuple[Run, ...], tuple[Run, ...]] | None = program.bodies.get(place.place.site)
    if found is None:
        found = (
            compile_clauses(place.place.exit, place.names, program),
            compile_clauses(place.place.entry, place.names, program),
        )
        program.bodies[place.place.site] = found
    return found


def compile_clauses(clauses: tuple[AnyClause, ...], names: Names, program: EntityProgram) -> tuple[Run, ...]:
    return tuple(_clause(clause, names, program) for clause in clauses)


def _clause(clause: AnyClause, names: Names, program: EntityProgram) -> Run:
    match clause:
        case Set():
            return _set(clause, names, program)
        case Call():
            return _call(clause, names, program)
        case Send():
            return _send(clause, names, program)
        case Create():
            return _create(clause, names, program)
        case Emit():
            return _emit(clause, names, program)
        case For():
            return _for(clause, names, program)
        case If():
            return _if(clause, names, program)
        case With():
            return _with(clause, names, program)
        case _:
            assert_never(clause)


def _set(clause: Set, names: Names, program: EntityProgram) -> Run:
    name, site = clause.field, clause.site
    value = compile_expr(clause.value, names)
    check = program.field_checks[name]

    def run(work: Work, frame: Frame) -> None:
        work.site = site
        new = value(frame)
        if not check(new):
            type_ = program.field_types[name]
            shown = show_as(type_, new, program.table.records)
            text = f"`{name}` would be {shown}, which is not {describe(type_)}"
            raise Stop(Refused(Why.OUT_OF_TYPE, text, site, work.action))
        if name in work.assigned:
            raise Stop(Refused(Why.TWICE, f"`{name}` is set twice in one commit", site, work.action))
        work.assigned.add(name)
        work.fields[name] = new
        if frame.fields is work.fields:
            # On entry: what was worked out from the values so far may have changed.
            frame.lets.clear()

    return run


def _call(clause: Call, names: Names, program: EntityProgram) -> Run:
    tool = program.table.tools[clause.tool]
    args = _Arguments(clause.args, tool.params, names, program, f"`{clause.tool}`", clause.site)
    types = {result.name: result.type for result in tool.results}
    inner = Names(
        names.table, names.entity, names.params, outer=names, created=names.created, results=types, vars=names.vars
    )
    handlers = tuple(_closing(handler, inner) for handler in (clause.then, clause.otherwise, clause.unknown))

    def run(work: Work, frame: Frame) -> None:
        work.site = clause.site
        order = work.number()
        closed = tuple(None if close is None else close(work, frame) for close in handlers)
        work.orders.append(CallDraft(order, clause, args.given(work, frame), closed))

    return run


def _send(clause: Send, names: Names, program: EntityProgram) -> Run:
    target = compile_expr(clause.target, names)
    args = _to_action(clause.entity, clause.action, clause.args, names, program, clause.site)

    def run(work: Work, frame: Frame) -> None:
        work.site = clause.site
        to = target(frame)
        order = work.number()
        given = args.given(work, frame)
        work.orders.append(SendOrder(order, clause.site, clause.entity, to, clause.action, given, work.caller))

    return run


def _create(clause: Create, names: Names, program: EntityProgram) -> Run:
    args = _to_action(clause.entity, clause.action, clause.args, names, program, clause.site)

    def run(work: Work, frame: Frame) -> None:
        work.site = clause.site
        id = work.number()
        given = args.given(work, frame)
        event = Act(id, work.at, clause.action, given, work.caller, clause.entity, id, by_system=True)
        work.creates.append(Creation(clause.site, event))
        if clause.name is not None:
            work.created[clause.name] = id

    return run


def _emit(clause: Emit, names: Names, program: EntityProgram) -> Run:
    declared = program.table.events.get(clause.event)
    params = declared.params if declared else ()
    args = _Arguments(clause.args, params, names, program, f"`{clause.event}`", clause.site)

    def run(work: Work, frame: Frame) -> None:
        work.site = clause.site
        work.emitted.append(Emitted(clause.event, args.given(work, frame), clause.site))

    return run


def _for(clause: For, names: Names, program: EntityProgram) -> Run:
    inner, slot = names.bind(clause.var, element(type_of(clause.over, names)))
    over = compile_over(clause.over, names)
    body = compile_clauses(clause.body, inner, program)

    def run(work: Work, frame: Frame) -> None:
        work.site = clause.site
        for item in over(frame):
            frame.vars[slot] = item
            for part in body:
                part(work, frame)

    return run


def _if(clause: If, names: Names, program: EntityProgram) -> Run:
    condition = compile_expr(clause.condition, names)
    body = compile_clauses(clause.body, names, program)

    def run(work: Work, frame: Frame) -> None:
        work.site = clause.site
        if condition(frame):
            for part in body:
                part(work, frame)

    return run


def _with(clause: With, names: Names, program: EntityProgram) -> Run:
    target = compile_expr(clause.target, names)
    args = _to_action(clause.entity, clause.action, clause.args, names, program, clause.site)

    def run(work: Work, frame: Frame) -> None:
        work.site = clause.site
        to = target(frame)
        id = work.number()
        given = args.given(work, frame)
        event = Act(id, work.at, clause.action, given, work.caller, clause.entity, to, by_system=True)
        work.joins.append(Join(clause.site, clause.entity, to, event))

    return run


def _to_action(entity: str, action: str, args: Args, names: Names, program: EntityProgram, site: str) -> _Arguments:
    target = program.table.entities.get(entity)
    known = target.actions.get(action) if target else None
    # What is left out is filled in where it arrives.
    params = tuple(param for param in known.params if param.name in dict(args)) if known else ()
    return _Arguments(args, params, names, program, f"`{entity}.{action}`", site)


class _Arguments:
    """The arguments of a call, a send, a creation or an event: worked out, of the types that were declared."""

    def __init__(
        self, args: Args, params: tuple[Param, ...], names: Names, program: EntityProgram, what: str, site: str
    ) -> None:
        values = dict(args)
        types = {param.name: param.type for param in params}
        self._what = what
        self._site = site
        self._records = program.table.records
        self._types = types
        self._codes: list[tuple[str, Code, Checker | None]] = []
        for param in params:
            value = values.pop(param.name, param.default or ("none", param.type))
            self._codes.append((param.name, compile_expr(value, names), checker(param.type, program.table.records)))
        self._codes.extend((name, compile_expr(value, names), None) for name, value in values.items())

    def given(self, work: Work, frame: Frame) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name, code, check in self._codes:
            value = found[name] = code(frame)
            if check is not None and not check(value):
                type_ = self._types[name]
                shown = show_as(type_, value, self._records)
                text = f"{self._what} would get `{name}` {shown}, which is not {describe(type_)}"
                raise Stop(Refused(Why.OUT_OF_TYPE, text, self._site, work.action))
        return found


# --- handlers, closed over the moment of the call ---------------------------------------------------------------------


def _closing(handler: Handler | None, names: Names) -> Callable[[Work, Frame], Handler] | None:
    """Return what makes the handler that a pending call keeps: all but `result` and `error` has become a literal."""
    if handler is None:
        return None
    if not handler.args:
        return lambda work, frame: handler
    closers = tuple((name, _residual(value, names, frozenset())) for name, value in handler.args)

    def close(work: Work, frame: Frame) -> Handler:
        return Handler(handler.action, tuple((name, closer(work, frame)) for name, closer in closers))

    return close


_Closer: TypeAlias = Callable[[Work, Frame], Expr]


def _residual(expr: Expr, names: Names, inside: frozenset[str]) -> _Closer:
    """`inside` are the variables that are bound within the expression itself, and so have no value yet."""
    if expr[0] in {"result", "error", "lit", "none"} or (expr[0] == "var" and expr[1] in inside):
        return lambda work, frame: expr
    waits = any(part[0] in {"result", "error"} or (part[0] == "var" and part[1] in inside) for part in walk(expr))
    closers: dict[int, _Closer] = {}
    if expr[0] in BINDERS:
        bound, _ = names.bind(expr[1], element(type_of(expr[2], names)))
        closers[id(expr[2])] = _residual(expr[2], names, inside)
        closers[id(expr[3])] = _residual(expr[3], bound, inside | {expr[1]})
    else:
        for part in parts(expr):
            closers[id(part)] = _residual(part, names, inside)

    def piecewise(work: Work, frame: Frame) -> Expr:
        return rebuilt(expr, lambda part: closers[id(part)](work, frame))

    if waits:
        return piecewise
    code = compile_expr(expr, names)
    type_ = type_of(expr, names)
    assert type_ is not None, "what a blueprint binds has a type"

    def literal(work: Work, frame: Frame) -> Expr:
        try:
            value = code(frame)
        except (ZeroDivisionError, Absent) as gone:
            # Perhaps a branch that the outcome does not take: it is left to the outcome to find out.
            if not closers or (isinstance(gone, Elsewhere) and frame.world is None):
                raise
            return piecewise(work, frame)
        if not fits(type_, value, names.table.records):
            shown = show_as(type_, value, names.table.records)
            text = f"an argument would be {shown}, which is not {describe(type_)}"
            raise Stop(Refused(Why.OUT_OF_TYPE, text, work.site, work.action))
        return ("lit", type_, encode(type_, value, names.table.records))

    return literal
