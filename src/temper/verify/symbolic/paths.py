"""What an action can do, as formulas: one `Path` for each case, from each state, with the routes that follow.

`step` says what an action does; this says it a second time, for every value at once. A property test holds the two
together. One difference is on purpose: whoever may take an action by a role, or as `system`, is taken to be there, and
may give any parameters, so that there are more paths here than runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import z3
from msgspec import Struct, field
from msgspec.structs import replace

from temper.table import Expr, Table, Type, shape
from temper.verify.clauses import NEW, admitted, entered, flat, guards, left, outcomes
from temper.verify.expressions import names_in, type_of, walk
from temper.verify.symbolic.terms import Scene, Term, Terms, World


class Given(Struct, frozen=True):
    """A value that has to fit a type: assigned to a field, or given to a tool, an event or another action."""

    site: str
    what: str
    type: Type
    expr: Expr
    scene: Scene
    under: Term


class Asked(Struct, frozen=True):
    """An expression that is worked out, in its scene, once `under` holds."""

    site: str
    expr: Expr
    scene: Scene
    under: Term


class Link(Struct, frozen=True):
    """What an action takes along if `under` holds: a joint action, a creation, or a `for` in which there are some."""

    clause: shape.With | shape.Create | shape.For
    scene: Scene
    under: Term


class Share(Struct, frozen=True):
    """Whose part of a commit is meant: who it is, what it reads, and what it is given. `joint`: another takes it along,
    as `system`."""

    this: Term
    world: World
    event: str
    part: str
    params: Mapping[str, Term] | None = None
    joint: bool = False


class Path(Struct, frozen=True):
    """One way through one action, and its routes: from `before`, if `condition` holds, to `after` with `fields`."""

    entity: str
    action: str
    site: str
    before: str
    after: str
    scene: Scene
    condition: Term
    fields: Mapping[str, Term]
    taken: frozenset[str]
    given: tuple[Given, ...] = ()
    asked: tuple[Asked, ...] = ()
    links: tuple[Link, ...] = ()

    def scene_after(self) -> Scene:
        """Return the scene that properties are asked in: the state after, with the state before behind it."""
        names = replace(self.scene.names, params={}, lets={})
        return Scene(
            f"{self.scene.key}'{self.site}",
            names,
            self.after,
            self.fields,
            before=self.scene,
            taken=self.taken,
            event=self.scene.event,
            this=self.scene.this,
            world=self.scene.world,
        )


class _Doing(Struct):
    """Values so far, while the clauses of one step are gone through."""

    terms: Terms
    table: Table
    fields: dict[str, Term]
    condition: Term
    given: list[Given] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def copy(self) -> _Doing:
        return _Doing(
            self.terms, self.table, dict(self.fields), self.condition, [*self.given], [*self.asked], [*self.links]
        )


def paths(
    terms: Terms,
    table: Table,
    entity: shape.Entity,
    action: shape.Action,
    states: Iterable[str],
    *,
    fields: Mapping[str, Term] | None = None,
    at: str = "",
    share: Share | None = None,
) -> Iterator[Path]:
    """Every path of an action from one of `states`.

    `fields` are what the entity holds before; without them anything that fits. `at` tells apart the same path at two
    moments of a run. With a `share` it is one entity among others.
    """
    for before in states:
        key = f"{at}{entity.name}.{action.name}/{before}"
        names = names_in(table, entity, action)
        scene = terms.stranger(names, key, before)
        if fields is not None:
            scene = replace(scene, fields=fields)
        if before == NEW:
            scene = replace(scene, fields=_unset(terms, table, entity, key))
        if share is not None:
            scene = replace(scene, this=share.this, world=share.world, event=share.event, part=share.part)
        params = share.params if share is not None else None
        if params is None:
            params = {p.name: terms.given((key, "param", p.name), p.name, p.type) for p in action.params}
        scene = replace(scene, params=params)
        hypothesis = terms.both(
            [
                *(terms.within(p.type, params[p.name]) for p in action.params),
                *([terms.bounds(entity, scene.fields)] if before != NEW else []),
            ]
        )
        doing = _Doing(terms, table, dict(scene.fields), hypothesis)
        # Who is named by `by` does not matter where another takes it along.
        depth = 1 if share is not None and share.joint else 0
        yield from _cases(terms, table, entity, action, scene, doing, depth)


def _unset(terms: Terms, table: Table, entity: shape.Entity, key: str) -> dict[str, Term]:
    """Return the fields of an entity that is not there yet: defaults, `none`, or nothing that is known."""
    fields: dict[str, Term] = {}
    for each in entity.fields:
        if each.default is not None:
            names = names_in(table, entity)
            fields[each.name] = terms.term(each.default, Scene(f"{key}/default", names, NEW, {}))
        elif each.type[0] == "optional":
            fields[each.name] = terms.none(each.type[1])
        else:
            fields[each.name] = terms.given((key, "unset", each.name), each.name, each.type)
    return fields


def case_condition(
    terms: Terms, table: Table, entity: shape.Entity, action: shape.Action, case: shape.Case, scene: Scene
) -> Term:
    """Return that the guards of a case hold in a scene, whoever asks."""
    return terms.both(
        terms.term(
            guard.condition, replace(scene, names=names_in(table, entity, action, case), key=_cased(scene, case))
        )
        for guard in guards(action, case)
    )


def _cased(scene: Scene, case: shape.Case) -> str:
    # A case's own derived values may have the names of another case's.
    return f"{scene.key}@{case.site}" if case.lets else scene.key


def _cases(
    terms: Terms,
    table: Table,
    entity: shape.Entity,
    action: shape.Action,
    scene: Scene,
    doing: _Doing,
    depth: int,
) -> Iterator[Path]:
    before = scene.state
    assert isinstance(before, str), "a path starts in one state"
    earlier: list[Term] = []
    for case in action.cases:
        if before not in case.froms:
            continue
        names = names_in(table, entity, action, case)
        here = replace(scene, names=names, key=_cased(scene, case))
        now = doing.copy()
        now.condition = terms.both([now.condition, *(z3.Not(other) for other in earlier)])
        if depth == 0:
            now.condition = terms.both([now.condition, _named(terms, table, entity, action, case, scene)])
        for guard in guards(action, case):
            now.asked.append(Asked(guard.site, guard.condition, here, now.condition))
            now.condition = terms.both([now.condition, terms.term(guard.condition, here)])
        if not case.by or case.by == action.by:
            earlier.append(case_condition(terms, table, entity, action, case, scene))
        after = case.to or before
        _do((*action.body, *case.body), here, now)
        if case.to is not None:
            for place in left(entity, before, after):
                outside = replace(here, names=names_in(table, entity), params={})
                _do(place.exit, outside, now)
            route: tuple[shape.Place, shape.Handler] | None = None
            for place in entered(entity, before, after):
                for clause in place.entry:
                    # What an entry reads are the values so far.
                    _do((clause,), _within(here, table, entity, after, now, case), now)
                if place.route is not None:
                    route = (place, place.route)
            if route is not None:
                yield from _routed(terms, table, entity, action, case, here, now, route, depth)
                continue
        yield Path(
            entity.name, action.name, case.site, before, after, scene, now.condition, now.fields,
            frozenset({action.name}), tuple(now.given), tuple(now.asked), tuple(now.links),
        )  # fmt: skip


def _named(
    terms: Terms, table: Table, entity: shape.Entity, action: shape.Action, case: shape.Case, scene: Scene
) -> Term:
    """Return that the caller is one of those whom `by` names, where it admits nobody else."""
    here = replace(scene, names=names_in(table, entity), params={})
    caller = terms.term(("caller",), here)
    ways = []
    for by in admitted(action, case):
        if by.who is None:
            return terms.true()
        kind, who = type_of(by.who, here.names), terms.term(by.who, here)
        match kind[0]:
            case "principal":
                ways.append(who == caller)
            case "optional":
                ways.append(z3.And(z3.Not(terms.is_none(who)), terms.value_of(who) == caller))
            case "set":
                ways.append(terms.inside(kind, who, caller))
            case _:
                return terms.true()
    return terms.either(ways)


def _within(here: Scene, table: Table, entity: shape.Entity, state: str, now: _Doing, case: shape.Case) -> Scene:
    key = f"{here.key}>{case.site}.{len(now.asked)}"
    return replace(here, key=key, names=names_in(table, entity), state=state, fields=dict(now.fields), params={})


def _routed(
    terms: Terms,
    table: Table,
    entity: shape.Entity,
    action: shape.Action,
    case: shape.Case,
    here: Scene,
    now: _Doing,
    route: tuple[shape.Place, shape.Handler],
    depth: int,
) -> Iterator[Path]:
    place, handler = route
    assert depth <= len(entity.states) + 1, "cycles of routes are errors"
    assert case.to is not None, "a route follows a move"
    inside = _within(here, table, entity, case.to, now, case)
    following = entity.actions[handler.action]
    given = dict(handler.args)
    params: dict[str, Term] = {}
    for param in following.params:
        if param.name in given:
            params[param.name] = terms.term(given[param.name], inside)
            now.given.append(Given(place.site, f"`{param.name}`", param.type, given[param.name], inside, now.condition))
        else:
            params[param.name] = absent(terms, table, entity, param, inside)
    scene = replace(
        inside, key=f"{inside.key}/{following.name}", names=names_in(table, entity, following), params=params
    )
    for path in _cases(terms, table, entity, following, scene, now, depth + 1):
        yield replace(
            path,
            action=action.name,
            site=f"{case.site}+{path.site}",
            before=here.state if isinstance(here.state, str) else path.before,
            scene=replace(here, names=names_in(table, entity, action)),
            taken=path.taken | {action.name},
        )


def absent(terms: Terms, table: Table, entity: shape.Entity, param: shape.Param, scene: Scene) -> Term:
    """Return what a parameter is that was left out."""
    if param.default is not None:
        return terms.term(param.default, replace(scene, names=names_in(table, entity)))
    if param.type[0] == "optional":
        return terms.none(param.type[1])
    return terms.given((scene.key, "absent", param.name), param.name, param.type)


def _do(body: tuple[shape.AnyClause, ...], scene: Scene, now: _Doing, under: Term | None = None) -> None:
    """Go through clauses: every right-hand side reads `scene`, whatever was set before it."""
    terms, table = now.terms, now.table
    entity = scene.names.entity
    assert entity is not None, "clauses are an entity's"
    holds = now.condition if under is None else terms.both([now.condition, under])
    for clause in body:
        match clause:
            case shape.Set(site=site, field=name, value=value):
                type_ = next(each.type for each in entity.fields if each.name == name)
                now.asked.append(Asked(site, value, scene, holds))
                now.given.append(Given(site, f"`{name}`", type_, value, scene, holds))
                new = terms.term(value, scene)
                now.fields[name] = new if under is None else z3.If(under, new, now.fields[name])
            case shape.If(site=site, condition=condition, body=inner):
                now.asked.append(Asked(site, condition, scene, holds))
                holding = terms.term(condition, scene)
                _do(inner, scene, now, holding if under is None else terms.both([under, holding]))
            case shape.For():
                # Its clauses hold no `set`; what they give to others is asked about by the search.
                now.asked.append(Asked(clause.site, clause.over, scene, holds))
                if any(isinstance(inner, shape.With | shape.Create) for inner in flat(clause.body)):
                    now.links.append(Link(clause, scene, under if under is not None else terms.true()))
            case shape.Call(site=site, tool=tool, args=args):
                for param in table.tools[tool].params:
                    now.given += _args(site, param, args, scene, holds)
                for _, handler in outcomes(clause):
                    read = [(n, e) for n, e in handler.args if not _later(e)]
                    now.asked += [Asked(site, e, scene, holds) for _, e in read]
                now.asked += [Asked(site, e, scene, holds) for _, e in args]
            case shape.Emit(site=site, event=event, args=args):
                now.asked += [Asked(site, e, scene, holds) for _, e in args]
                for param in table.events[event].params:
                    now.given += _args(site, param, args, scene, holds)
            case (
                shape.Send(site=site, entity=to, action=name, args=args)
                | shape.Create(site=site, entity=to, action=name, args=args)
                | shape.With(site=site, entity=to, action=name, args=args)
            ):
                now.asked += [Asked(site, e, scene, holds) for _, e in args]
                for param in table.entities[to].actions[name].params:
                    now.given += _args(site, param, args, scene, holds)
                if not isinstance(clause, shape.Send):
                    now.links.append(Link(clause, scene, under if under is not None else terms.true()))


def _args(site: str, param: shape.Param, args: shape.Args, scene: Scene, holds: Term) -> list[Given]:
    return [Given(site, f"`{param.name}`", param.type, e, scene, holds) for name, e in args if name == param.name]


def _later(e: Any) -> bool:
    """Say whether an expression reads what only the outcome of a call brings."""
    return any(part[0] in {"result", "error"} for part in walk(e))
