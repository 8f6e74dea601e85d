"""Rules that look at an entity, or at the bundle, as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from temper.model import machine as m
from temper.model import world
from temper.model.clauses import Uses
from temper.model.problems import Problems, listed
from temper.model.typed import Typed, key, walk
from temper.model.types import article
from temper.syntax import tree
from temper.text import Code, Span


def look_at(entity: m.Entity, names: world.Entity, uses: Uses, problems: Problems) -> None:
    """Say what is wrong between the parts of an entity."""
    places = _places_of(entity)
    for action in entity.actions:
        for case in action.cases:
            certain = list(_certain(places, action, case))
            if "new" in case.froms:
                _creates(entity, names, action, case, certain, problems)
            _sets_once(action, certain, problems)
    _routes(entity, problems)
    _triggers(entity, names, uses, problems)
    _late(names, uses, problems)


# --- fields -----------------------------------------------------------------------------------------------------------


def _creates(
    entity: m.Entity,
    names: world.Entity,
    action: m.Action,
    case: m.Case,
    certain: Iterable[m.Clause],
    problems: Problems,
) -> None:
    """A new entity has a value in every field, and nobody has read one before."""
    required = [field.name for field in names.fields.values() if field.must_be_set]
    given = {clause.field for clause in certain if isinstance(clause, m.Set)}
    missing = [name for name in required if name not in given]
    if missing:
        params = {param.name for param in action.params}
        copied = [name for name in missing if name in params]
        help = (
            f"add `set {', '.join(copied)}`"
            if copied
            else f"add `set {missing[0]} = ...`, or give the field a default or a `?`"
        )
        problems.add(
            Code.B310,
            action.span if len(action.cases) == 1 else case.span,
            f"`{action.name}` creates {article(entity.name)} without a value for {listed(missing)}",
            help=help,
            beside=((names.fields[missing[0]].span, "has no default"),),
        )
    for typed, who in _read_at_creation(action, case):
        for part in walk(typed):
            if part.op == "let" and part.parts[0] in names.lets:
                fields = _fields_of_let(names, str(part.parts[0]))
            elif part.op == "field":
                fields = {str(part.parts[0])}
            else:
                continue
            if who:
                problems.add(
                    Code.B307,
                    part.span,
                    f"`{part.parts[0]}` has no value before `{action.name}` has created the entity",
                    label="nobody is named yet",
                    help="name roles, `system` or `anyone` for a case from `new`",
                    beside=((case.span, "from `new`"),),
                )
                continue
            unset = sorted(fields.intersection(required))
            if unset:
                problems.add(
                    Code.B311,
                    part.span,
                    f"{listed(unset)} has no value before `{action.name}` has created the entity",
                    help="read what `set` gives it: a parameter or another value",
                    beside=((names.fields[unset[0]].span, "has no default"),),
                )


def _fields_of_let(names: world.Entity, name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    value = names.lets[name].value
    if value is None or name in seen:
        return set()
    found: set[str] = set()
    for part in walk(value):
        if part.op == "field":
            found.add(str(part.parts[0]))
        elif part.op == "let" and part.parts[0] in names.lets:
            found |= _fields_of_let(names, str(part.parts[0]), seen | {name})
    return found


def _read_at_creation(action: m.Action, case: m.Case) -> Iterator[tuple[Typed, bool]]:
    """Yield what is read when the case creates, and whether it is read to know who may."""
    for by in case.by or action.by:
        if by.who is not None:
            yield by.who, True
    for guard in (*action.when, *case.when):
        yield guard.condition, False
    for let in (*action.lets, *case.lets):
        yield let.value, False
    for typed in _expressions((*action.body, *case.body)):
        yield typed, False


def _expressions(clauses: Iterable[m.Clause]) -> Iterator[Typed]:
    for clause in clauses:
        match clause:
            case m.Set(_, value):
                yield value
            case m.Call():
                yield from (value for _, value in clause.args)
                for handler in (clause.then, clause.otherwise, clause.unknown):
                    if handler is not None:
                        yield from (value for _, value in handler.args)
            case m.Send() | m.With():
                yield clause.target
                yield from (value for _, value in clause.args)
            case m.Create() | m.Emit():
                yield from (value for _, value in clause.args)
            case m.For(_, over, body):
                yield over
                yield from _expressions(body)
            case m.If(condition, body):
                yield condition
                yield from _expressions(body)


_Places: TypeAlias = Mapping[str, Sequence[tuple[int, m.Place]]]


def _places_of(entity: m.Entity) -> _Places:
    """Return the places that each state is in, with their numbers: there may be ten thousand, and as many cases."""
    found: dict[str, list[tuple[int, m.Place]]] = {}
    for number, place in enumerate(entity.places):
        for state in place.states:
            found.setdefault(state, []).append((number, place))
    return found


def _certain(places: _Places, action: m.Action, case: m.Case) -> Iterator[m.Clause]:
    """Yield the clauses that run for sure when the case is taken."""
    yield from action.body
    yield from case.body
    # What is entered has the state after; what is left for sure has every state before, so also the first.
    near = {number: place for state in (*case.froms[:1], case.to or "") for number, place in places.get(state, ())}
    for _, place in sorted(near.items()):
        outside = all(state not in place.states for state in case.froms)
        if case.to in place.states and (not place.group or outside):
            yield from place.entry
        inside = all(state in place.states for state in case.froms)
        if case.to is not None and inside and (not place.group or case.to not in place.states):
            yield from place.exit


def _sets_once(action: m.Action, certain: Iterable[m.Clause], problems: Problems) -> None:
    first: dict[str, Span] = {}
    for clause in certain:
        if not isinstance(clause, m.Set):
            continue
        if clause.field in first:
            problems.add(
                Code.B312,
                clause.span,
                f"`{clause.field}` is set twice when `{action.name}` is taken",
                help="all right-hand sides read the values before the action: say it in one `set`",
                beside=((first[clause.field], "set here too"),) if first[clause.field] != clause.span else (),
            )
        first.setdefault(clause.field, clause.span)


# --- routes -----------------------------------------------------------------------------------------------------------


def _routes(entity: m.Entity, problems: Problems) -> None:
    """States with a route are passed through: they wait for nothing, and no way leads round in a circle."""
    routes: dict[str, m.Route] = {}
    for place in entity.places:
        if place.route is None:
            continue
        for state in place.states:
            if state in routes:
                problems.add(
                    Code.B330,
                    place.route.span,
                    f"`{state}` has a route already",
                    help="decide between the two by the cases of the action that the route takes",
                    beside=((routes[state].span, "the first"),),
                )
            routes.setdefault(state, place.route)
    if not routes:
        return
    for place in entity.places:
        routing = [state for state in place.states if state in routes]
        if not routing:
            continue
        route = routes[routing[0]].span
        for timer in place.timers:
            _waits(timer.span, routing[0], "no timer is ever due there", route, problems)
        for clause in _all(place.entry):
            if isinstance(clause, m.Call):
                _waits(clause.span, routing[0], "a call made there has no answer in time", route, problems)
            elif place.route is None and clause.span.start > route.start and clause.span.file == route.file:
                problems.add(
                    Code.B330,
                    clause.span,
                    f"this stands after the route of `{routing[0]}`, which has left the state",
                    help="put the route last",
                    beside=((route, "the route"),),
                )
    actions = {action.name: action for action in entity.actions}
    for action in entity.actions:
        for case in action.cases:
            if case.to in routes:
                for clause in _all((*action.body, *case.body)):
                    if isinstance(clause, m.Call):
                        _waits(
                            clause.span,
                            str(case.to),
                            "a call made on the way there has no answer in time",
                            routes[str(case.to)].span,
                            problems,
                        )
    onward: dict[str, tuple[str, ...]] = {}
    for state, through in routes.items():
        handler = through.handler
        taken = [case for case in actions[handler.action].cases if state in case.froms]
        if not taken:
            problems.add(
                Code.B333,
                handler.span,
                f"`{handler.action}` has no case from `{state}`",
                help=f"add `from {state} to ...` to it",
                beside=((actions[handler.action].span, "declared here"),),
            )
        onward[state] = tuple(case.to for case in taken if case.to is not None and case.to in routes)
    for state, through in routes.items():
        circle = _circle(state, onward)
        if circle and state == min(circle, key=list(routes).index):
            problems.add(
                Code.B332,
                through.span,
                f"the routes go round: {' to '.join(f'`{name}`' for name in (*circle, circle[0]))}",
                help="let one of the states wait for somebody or for time; guards do not count",
            )


def _waits(span: Span, state: str, why: str, route: Span, problems: Problems) -> None:
    problems.add(
        Code.B331,
        span,
        f"`{state}` has a route and is left at once: {why}",
        help="take the route out, or move this to a state that stays",
        beside=((route, "the route"),),
    )


def _all(clauses: Iterable[m.Clause]) -> Iterator[m.Clause]:
    for clause in clauses:
        yield clause
        if isinstance(clause, m.For | m.If):
            yield from _all(clause.body)


_Node = TypeVar("_Node")


def _circle(start: _Node, onward: Mapping[_Node, tuple[_Node, ...]]) -> tuple[_Node, ...]:
    """Return a way from `start` back to it, or nothing."""
    ways: list[tuple[_Node, ...]] = [(start,)]
    seen: set[_Node] = set()
    while ways:
        way = ways.pop(0)
        for state in onward[way[-1]]:
            if state == start:
                return way
            if state not in seen:
                seen.add(state)
                ways.append((*way, state))
    return ()


# --- what leads to what -----------------------------------------------------------------------------------------------


def _triggers(entity: m.Entity, names: world.Entity, uses: Uses, problems: Problems) -> None:
    for action in entity.actions:
        if names.actions[action.name].system_alone and (entity.name, action.name) not in uses.triggered:
            problems.add(
                Code.B324,
                action.span,
                f"`{action.name}` is `by system` alone, and nothing leads to it",
                help="name it in an outcome, a timer, a `send`, a `create` or a route, or let a role take it",
            )


def _late(names: world.Entity, uses: Uses, problems: Problems) -> None:
    lines: list[tree.Late | tree.Defer] = [part for part in names.node.parts if isinstance(part, tree.Late)]
    for part in names.node.parts:
        if isinstance(part, tree.In):
            lines.extend(stay for stay in part.parts if isinstance(stay, tree.Late | tree.Defer))
    for line in lines:
        word = "late" if isinstance(line, tree.Late) else "defer"
        for name in line.actions:
            if name.text in names.actions and (names.name, name.text) not in uses.may_be_late:
                problems.add(
                    Code.B325,
                    name.span,
                    f"`{name.text}` is never late: it is no outcome of a call, and nothing sends it",
                    help=f"leave it out of this `{word}`",
                    beside=((names.actions[name.text].node.name.span, "declared here"),),
                )


# --- joint actions ----------------------------------------------------------------------------------------------------


def look_at_joints(entities: Iterable[m.Entity], problems: Problems) -> None:
    """Say which joint actions no run can take: in one commit an entity takes one action only."""
    always: dict[_Step, dict[_Step, Span]] = {}
    for entity in entities:
        places = _places_of(entity)
        for action in entity.actions:
            joined = [_joined(places, action, case, problems) for case in action.cases]
            if joined:
                shared = {to for to in joined[0] if all(to in other for other in joined)}
                always[entity.name, action.name] = {to: span for to, span in joined[0].items() if to in shared}
    onward = {step: tuple(to for to in steps if to in always) for step, steps in always.items()}
    for step, steps in always.items():
        circle = _circle(step, onward)
        if circle and step == min(circle, key=list(always).index):
            way = " to ".join(f"`{entity}.{action}`" for entity, action in (*circle, circle[0]))
            problems.add(
                Code.B327,
                steps[circle[1] if len(circle) > 1 else step],
                f"these joint actions never end: {way}",
                label="in every case",
                help="let one of them end it: put its `with` under an `if`, or into one case only",
            )


_Step = tuple[str, str]


def _joined(places: _Places, action: m.Action, case: m.Case, problems: Problems) -> dict[_Step, Span]:
    """Return what is surely taken along, and say where that is one entity twice."""
    first: dict[object, Span] = {}
    found: dict[_Step, Span] = {}
    for clause in _certain(places, action, case):
        if not isinstance(clause, m.With):
            continue
        if clause.target.op == "this":
            problems.add(
                Code.B327,
                clause.span,
                "this entity takes an action already, and one commit has one for each",
                help="do what it does here, or write `send this.A` to take it after this one",
            )
            continue
        target = key(clause.target)
        if target in first and first[target] != clause.span:
            problems.add(
                Code.B327,
                clause.span,
                "this takes a second action on one entity, and one commit has one for each",
                help="put both into one action of that entity",
                beside=((first[target], "the first"),),
            )
            continue
        first.setdefault(target, clause.span)
        found.setdefault((clause.entity, clause.action), clause.span)
    return found
