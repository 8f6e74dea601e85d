"""Mutants of a table: each is the table with one small thing changed, of the kinds that authors get wrong.

They come in a fixed order. A mutant that no longer is a blueprint (a creation that leaves a field without a value, an
exit from a final state, a name that nothing creates any more) is not made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar, assert_never

from msgspec.structs import replace

from temper.table import Expr, Table, describe_expr, shape
from temper.verify.clauses import NEW, expressions, flat
from temper.verify.expressions import Names, conjuncts, names_in, rebuilt, type_of, walk, without_lets
from temper.verify.strength.words import asks, from_states, listed, opposite, said, timer_words


class Kind(Enum):
    """What was changed."""

    GUARD = "guard dropped"
    CONJUNCT = "condition dropped"
    EDGE = "comparison moved by one"
    FROM = "state added to `from`"
    TARGET = "target changed"
    ROLE = "role added to `by`"
    SET = "assignment dropped"
    OFF = "assignment off by one"
    SWAP = "outcomes exchanged"
    CALL = "call dropped"
    SAID = "event or send dropped"
    JOIN = "joint action dropped"
    CREATE = "creation dropped"
    TIMER = "timer dropped"
    WHENEVER = "`whenever` dropped"
    UNIQUE = "`unique` or `key` dropped"
    LATE = "late outcome taken otherwise"


# These only add steps: whatever could happen still can, unless it stands behind another case.
ADDING = frozenset({Kind.GUARD, Kind.CONJUNCT, Kind.FROM, Kind.ROLE})
# If these do anything it is seen in the states and the steps between them. The others may change what is told outside,
# who may act, or what is refused for the sake of one who is not there.
SEEN = frozenset(
    {Kind.GUARD, Kind.CONJUNCT, Kind.EDGE, Kind.FROM, Kind.TARGET, Kind.SET, Kind.OFF, Kind.SWAP, Kind.TIMER, Kind.LATE}
    | {Kind.WHENEVER}
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A table with one thing changed. `what` says what, `question` asks whether it matters.

    `condition` holds where the mutant does what the table does not, where that is known; the question may be asked with
    it instead, by `ask`. `field` is what a changed assignment sets. `action` is the only one that was changed, if it is
    one, and `states` are all in which that makes a difference.
    """

    kind: Kind
    entity: str
    site: str
    table: Table
    what: str
    question: str
    action: str | None = None
    field: str | None = None
    states: frozenset[str] | None = None
    condition: Expr | None = None
    ask: Callable[[Expr], str] | None = None


def mutants(table: Table) -> Iterator[Mutant]:
    """Yield every mutant of a table, in the order of its text."""
    for entity in table.entities.values():
        yield from _Mutants(table, entity).all()


def sample(found: list[Mutant], most: int) -> list[Mutant]:
    """Return at most so many, of every kind about as many, and the same ones every time."""
    if len(found) <= most:
        return found
    by_kind: dict[Kind, list[Mutant]] = {}
    for each in sorted(found, key=_mixed):
        by_kind.setdefault(each.kind, []).append(each)
    chosen: list[Mutant] = []
    while len(chosen) < most:
        for kind in [kind for kind, left in by_kind.items() if left]:
            chosen.append(by_kind[kind].pop(0))
    kept = {id(each) for each in chosen[:most]}
    return [each for each in found if id(each) in kept]


def _mixed(each: Mutant) -> bytes:
    return hashlib.blake2b(f"{each.site} {each.what}".encode(), digest_size=8).digest()


T = TypeVar("T")


def _with(items: tuple[T, ...], index: int, *new: T) -> tuple[T, ...]:
    return (*items[:index], *new, *items[index + 1 :])


class _Mutants:
    def __init__(self, table: Table, entity: shape.Entity) -> None:
        self.table = table
        self.entity = entity
        self.types = {each.name: each.type for each in entity.fields}
        self.defaults = {each.name for each in entity.fields if each.default is not None or each.type[0] == "optional"}

    def all(self) -> Iterator[Mutant]:
        for action in self.entity.actions.values():
            yield from self._guards(action)
            yield from self._froms(action)
            yield from self._targets(action)
            yield from self._roles(action)
            yield from self._bodies(action)
        for index, place in enumerate(self.entity.places):
            yield from self._place(index, place)
        for index, late in enumerate(self.entity.late):
            yield from self._late(late, "", self._at_late(index))
        yield from self._same()

    # --- made anew ----------------------------------------------------------------------------------------------------

    def _entity(self, **changes: Any) -> Table:
        entity = replace(self.entity, **changes)
        return replace(self.table, entities={**self.table.entities, entity.name: entity})

    def _action(self, action: shape.Action, **changes: Any) -> Table:
        return self._entity(actions={**self.entity.actions, action.name: replace(action, **changes)})

    def _case(self, action: shape.Action, index: int, **changes: Any) -> Table:
        return self._action(action, cases=_with(action.cases, index, replace(action.cases[index], **changes)))

    def _at_action(self, action: shape.Action, part: str, index: int | None = None) -> Callable[[Any], Table]:
        """Return what puts another `part` into an action, or others in the place of one of its items."""
        items = getattr(action, part)
        if index is None:
            return lambda new: self._action(action, **{part: new})
        return lambda new: self._action(action, **{part: _with(items, index, *new)})

    def _at_case(
        self, action: shape.Action, number: int, part: str, index: int | None = None
    ) -> Callable[[Any], Table]:
        """Return the same for one of an action's cases."""
        items = getattr(action.cases[number], part)
        if index is None:
            return lambda new: self._case(action, number, **{part: new})
        return lambda new: self._case(action, number, **{part: _with(items, index, *new)})

    def _at_late(self, index: int) -> Callable[[tuple[shape.Late, ...]], Table]:
        return lambda new: self._entity(late=_with(self.entity.late, index, *new))

    # --- guards -------------------------------------------------------------------------------------------------------

    def _guards(self, action: shape.Action) -> Iterator[Mutant]:
        names = names_in(self.table, self.entity, action)
        for index, guard in enumerate(action.when):
            yield from self._guard(action, guard, "", names, self._at_action(action, "when", index))
        for number, case in enumerate(action.cases):
            cased = names_in(self.table, self.entity, action, case)
            where = from_states(case) + (f" to `{case.to}`" if case.to else "")
            for index, guard in enumerate(case.when):
                yield from self._guard(
                    action, guard, where, cased,
                    self._at_case(action, number, "when", index),
                )  # fmt: skip

    def _guard(
        self,
        action: shape.Action,
        guard: shape.Guard,
        where: str,
        names: Names,
        put: Callable[[tuple[shape.Guard, ...]], Table],
    ) -> Iterator[Mutant]:
        def made(kind: Kind, new: tuple[shape.Guard, ...], what: str, more: Expr) -> Mutant:
            def ask(condition: Expr) -> str:
                return asks(f"nothing forbids `{action.name}`{where} while {said(self.table, condition)}")

            return Mutant(
                kind, self.entity.name, guard.site, put(new), what, ask(more), action.name, condition=more, ask=ask
            )

        whole = guard.condition
        shown = said(self.table, whole)[1:]
        yield made(Kind.GUARD, (), f"`{action.name}`{where} without `when {shown}", opposite(whole))
        chain = list(conjuncts(whole))
        for index, part in enumerate(chain):
            if len(chain) > 1:
                rest = _all([*chain[:index], *chain[index + 1 :]])
                yield made(
                    Kind.CONJUNCT, (replace(guard, condition=rest),),
                    f"`{action.name}`{where} without {said(self.table, part)}", opposite(part),
                )  # fmt: skip
            for moved, more in _moved(part, names):
                new = _all(_with(tuple(chain), index, moved))
                yield made(
                    Kind.EDGE, (replace(guard, condition=new),),
                    f"`{action.name}`{where} with {said(self.table, moved)} for {said(self.table, part)}", more,
                )  # fmt: skip

    # --- states and people --------------------------------------------------------------------------------------------

    def _froms(self, action: shape.Action) -> Iterator[Mutant]:
        taken = {state for case in action.cases for state in case.froms}
        if NEW in taken:
            return
        number = len(action.cases) - 1
        case = action.cases[number]
        for state in self.entity.states:
            if state not in taken and state not in self.entity.final:
                yield Mutant(
                    Kind.FROM, self.entity.name, case.site, self._case(action, number, froms=(*case.froms, state)),
                    f"`{action.name}` from `{state}` too", asks(f"nothing forbids `{action.name}` from `{state}`"),
                    action.name, states=frozenset({state}),
                )  # fmt: skip

    def _targets(self, action: shape.Action) -> Iterator[Mutant]:
        states = self.entity.states
        for number, case in enumerate(action.cases):
            if case.to is None or len(states) < 2:
                continue
            other = states[(states.index(case.to) + 1) % len(states)]
            yield Mutant(
                Kind.TARGET, self.entity.name, case.site, self._case(action, number, to=other),
                f"`{action.name}`{from_states(case)} to `{other}` for `{case.to}`",
                asks(f"nothing forbids that `{action.name}`{from_states(case)} leads to `{other}`, not to `{case.to}`"),
                action.name,
            )  # fmt: skip

    def _roles(self, action: shape.Action) -> Iterator[Mutant]:
        if action.by and any(not case.by for case in action.cases):
            yield from self._by(action, action.by, action.site, "", self._at_action(action, "by"))
        for number, case in enumerate(action.cases):
            if case.by:
                yield from self._by(
                    action, case.by, case.site, from_states(case),
                    self._at_case(action, number, "by"),
                )  # fmt: skip

    def _by(
        self,
        action: shape.Action,
        by: tuple[shape.By, ...],
        site: str,
        where: str,
        put: Callable[[tuple[shape.By, ...]], Table],
    ) -> Iterator[Mutant]:
        kinds = {each.kind for each in by}
        if "anyone" in kinds or kinds == {"system"}:
            return
        for role in self.table.roles:
            if all(each.role != role.name for each in by):
                yield Mutant(
                    Kind.ROLE, self.entity.name, site, put((*by, shape.By("role", role.name))),
                    f"`{action.name}`{where} by `{role.name}` too",
                    asks(f"nothing forbids `{role.name}` to take `{action.name}`{where}"), action.name,
                )  # fmt: skip

    # --- clauses ------------------------------------------------------------------------------------------------------

    def _bodies(self, action: shape.Action) -> Iterator[Mutant]:
        creates = any(NEW in case.froms for case in action.cases)
        names = names_in(self.table, self.entity, action)
        yield from self._body(
            action.body, f"`{action.name}`", action.name, names, creates, self._at_action(action, "body")
        )
        for number, case in enumerate(action.cases):
            cased = names_in(self.table, self.entity, action, case)
            yield from self._body(
                case.body, f"`{action.name}`{from_states(case)}", action.name, cased, NEW in case.froms,
                self._at_case(action, number, "body"),
            )  # fmt: skip

    def _body(
        self,
        body: tuple[shape.AnyClause, ...],
        who: str,
        action: str | None,
        names: Names,
        creates: bool,
        put: Callable[[tuple[shape.AnyClause, ...]], Table],
    ) -> Iterator[Mutant]:
        for index, clause in enumerate(body):

            def with_clause(*new: shape.AnyClause, index: int = index) -> Table:
                return put(_with(body, index, *new))

            match clause:
                case shape.Set():
                    yield from self._set(clause, who, action, names, creates, with_clause)
                case shape.Call():
                    yield from self._call(clause, who, action, with_clause)
                case shape.Emit():
                    yield self._said(clause, f"{who} emits `{clause.event}`", action, with_clause())
                case shape.Send():
                    yield self._said(clause, f"{who} sends `{clause.action}`", action, with_clause())
                case shape.With():
                    target = describe_expr(clause.target, self.table.records)
                    what = f"{who} takes `{target}.{clause.action}` along"
                    yield self._said(clause, what, action, with_clause(), Kind.JOIN)
                case shape.Create():
                    if clause.name is None or not self._named(action, clause.name):
                        what = f"{who} creates a `{clause.entity}` by `{clause.action}`"
                        yield self._said(clause, what, action, with_clause(), Kind.CREATE)
                case shape.For() | shape.If():

                    def inside(
                        new: tuple[shape.AnyClause, ...],
                        clause: shape.For | shape.If = clause,
                        put_one: Callable[..., Table] = with_clause,
                    ) -> Table:
                        return put_one(replace(clause, body=new))

                    # What stands in a `for` has names of its own, of which no mutant of a clause makes any use.
                    yield from self._body(clause.body, who, action, names, creates, inside)
                case _:
                    assert_never(clause)

    def _set(
        self,
        clause: shape.Set,
        who: str,
        action: str | None,
        names: Names,
        creates: bool,
        put: Callable[..., Table],
    ) -> Iterator[Mutant]:
        name, type_ = clause.field, self.types[clause.field]
        if not creates or name in self.defaults:
            yield Mutant(
                Kind.SET, self.entity.name, clause.site, put(), f"{who} without `set {name}`",
                asks(f"nothing forbids that {who} leaves `{name}` as it was"), action, name,
            )  # fmt: skip
        if type_[0] == "int":
            more = _plus(clause.value, 1)
            yield Mutant(
                Kind.OFF, self.entity.name, clause.site, put(replace(clause, value=more)),
                f"{who} with `set {name} = {said(self.table, more)[1:]}",
                asks(f"nothing forbids that {who} sets `{name}` to {said(self.table, more)}"), action, name,
            )  # fmt: skip

    def _call(self, clause: shape.Call, who: str, action: str | None, put: Callable[..., Table]) -> Iterator[Mutant]:
        yield Mutant(
            Kind.CALL, self.entity.name, clause.site, put(), f"{who} without the call of `{clause.tool}`",
            asks(f"nothing says that {who} calls `{clause.tool}`"), action,
        )  # fmt: skip
        then, otherwise = clause.then, clause.otherwise
        if then is None or otherwise is None or then.action == otherwise.action:
            return
        plain = self._without_results(clause.tool, then)
        if plain is None:
            return
        yield Mutant(
            Kind.SWAP, self.entity.name, clause.site, put(replace(clause, then=otherwise, otherwise=plain)),
            f"{who} calls `{clause.tool}` then `{otherwise.action}` else `{then.action}`",
            asks(
                f"nothing forbids that an answer of `{clause.tool}` leads to `{otherwise.action}` "
                f"and a failure to `{then.action}`"
            ), action,
        )  # fmt: skip

    def _without_results(self, tool: str, handler: shape.Handler) -> shape.Handler | None:
        """Return a handler as it could be for a failure: what it takes from the answer is empty text."""
        types = {result.name: result.type for result in self.table.tools[tool].results}

        def plain(e: Expr) -> Expr:
            if e[0] == "result" and types[e[1]] == ("string",):
                return ("lit", ("string",), "")
            return rebuilt(e, plain)

        made = shape.Handler(handler.action, tuple((name, plain(e)) for name, e in handler.args))
        return None if any(part[0] == "result" for _, e in made.args for part in walk(e)) else made

    def _said(
        self, clause: shape.AnyClause, what: str, action: str | None, table: Table, kind: Kind = Kind.SAID
    ) -> Mutant:
        question = asks(f"nothing says that {what}")
        return Mutant(kind, self.entity.name, clause.site, table, f"not so: {what}", question, action)

    def _named(self, action: str | None, name: str) -> bool:
        """Say whether anything in an action uses what it creates by that name."""
        if action is None:
            return True
        found = self.entity.actions[action]
        bodies = [found.body, *(case.body for case in found.cases)]
        return any(
            part == ("created", name)
            for body in bodies
            for clause in flat(body)
            for e in expressions(clause)
            for part in walk(e)
        )

    # --- places -------------------------------------------------------------------------------------------------------

    def _place(self, index: int, place: shape.Place) -> Iterator[Mutant]:
        def put(**changes: Any) -> Table:
            return self._entity(places=_with(self.entity.places, index, replace(place, **changes)))

        def at_late(number: int) -> Callable[[tuple[shape.Late, ...]], Table]:
            return lambda new: put(late=_with(place.late, number, *new))

        names = names_in(self.table, self.entity)
        yield from self._body(place.entry, f"entering `{place.name}`", None, names, False, lambda new: put(entry=new))
        yield from self._body(place.exit, f"leaving `{place.name}`", None, names, False, lambda new: put(exit=new))
        for number, timer in enumerate(place.timers):
            yield Mutant(
                Kind.TIMER, self.entity.name, timer.site, put(timers=_with(place.timers, number)),
                f"without {timer_words(self.table, timer, place)}",
                asks(f"nothing needs {timer_words(self.table, timer, place)}"),
            )  # fmt: skip
        for number, whenever in enumerate(place.whenevers):
            text = f"`whenever {describe_expr(whenever.condition, self.table.records)} do {whenever.handler.action}`"
            yield Mutant(
                Kind.WHENEVER, self.entity.name, whenever.site, put(whenevers=_with(place.whenevers, number)),
                f"without {text} in `{place.name}`", asks(f"nothing needs {text} in `{place.name}`"),
            )  # fmt: skip
        for number, late in enumerate(place.late):
            yield from self._late(late, f" in `{place.name}`", at_late(number))
        for name in place.defer:
            ignored = shape.Late(place.site, (name,), None)
            rest = tuple(other for other in place.defer if other != name)
            yield Mutant(
                Kind.LATE, self.entity.name, place.site, put(defer=rest, late=(*place.late, ignored)),
                f"a `{name}` that comes in `{place.name}` is ignored, not kept",
                asks(f"nothing needs a `{name}` that comes in `{place.name}` to be kept"),
            )  # fmt: skip

    def _late(self, late: shape.Late, where: str, put: Callable[[tuple[shape.Late, ...]], Table]) -> Iterator[Mutant]:
        for name in late.actions:
            rest = tuple(other for other in late.actions if other != name)
            kept = (replace(late, actions=rest),) if rest else ()
            if late.handler is None:
                params = self.entity.actions[name].params
                taken = shape.Handler(name, tuple((p.name, ("param", p.name)) for p in params))
                what = f"a `{name}` that comes too late{where} is taken all the same"
                question = asks(f"nothing forbids that a `{name}` that comes too late{where} is taken all the same")
                new = (*kept, shape.Late(late.site, (name,), taken))
            else:
                what = f"a `{name}` that comes too late{where} is ignored"
                question = asks(f"nothing needs `{late.handler.action}` where `{name}` comes too late{where}")
                new = (*kept, shape.Late(late.site, (name,), None))
            yield Mutant(Kind.LATE, self.entity.name, late.site, put(new), what, question)

    # --- what two may not share ---------------------------------------------------------------------------------------

    def _same(self) -> Iterator[Mutant]:
        kind, name = Kind.UNIQUE, self.entity.name
        for index, unique in enumerate(self.entity.uniques):
            what = listed(unique.fields)
            yield Mutant(
                kind, name, unique.site, self._entity(uniques=_with(self.entity.uniques, index)),
                f"without `unique` of {what}", asks(f"nothing forbids two `{name}` of one {what}"),
            )  # fmt: skip
            if unique.ever:
                fewer = _with(self.entity.uniques, index, replace(unique, ever=False))
                yield Mutant(
                    kind, name, unique.site, self._entity(uniques=fewer), f"{what} unique, but not for ever",
                    asks(f"nothing forbids a `{name}` of the {what} of one that is final"),
                )  # fmt: skip
        if self.entity.key:
            yield Mutant(
                kind, name, self.entity.site, self._entity(key=()), f"without `key` {listed(self.entity.key)}",
                asks(f"nothing forbids two `{name}` of one {listed(self.entity.key)}"),
            )  # fmt: skip


# --- expressions ------------------------------------------------------------------------------------------------------


def _all(parts: list[Expr] | tuple[Expr, ...]) -> Expr:
    made = parts[0]
    for part in parts[1:]:
        made = ("and", made, part)
    return made


def _plus(e: Expr, by: int) -> Expr:
    match e:
        case ("lit", type_, int() as number):
            return ("lit", type_, number + by)
        case ("+" | "-" as op, a, ("lit", type_, int() as number)):
            return (op, a, ("lit", type_, number + by))
        case _:
            return ("+", e, ("lit", ("int", None, None), by))


_EDGES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


def _moved(e: Expr, names: Names) -> Iterator[tuple[Expr, Expr]]:
    """Yield a comparison with its edge moved, and what holds where that makes a difference."""
    op = e[0]
    if op in _EDGES:
        a, b = e[1], e[2]
        if op in {"<", ">"}:
            yield (_EDGES[op], a, b), ("==", a, b)
    elif op == "==" and type_of(without_lets(e[1], names), names)[0] in {"int", "decimal", "duration"}:
        a, b = e[1], e[2]
        yield (">=", a, b), (">", a, b)
        yield ("<=", a, b), ("<", a, b)
