"""Entities: their actions, and what belongs to their states."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from temper.model import machine as m
from temper.model import world
from temper.model.clauses import Around, Clauses, Uses
from temper.model.infer import Typer
from temper.model.names import Declarations
from temper.model.problems import Problems, listed
from temper.model.scope import ACTION, ACTION_LET, DEFAULT, STAY, WHENEVER, Local, Scope, Setting
from temper.model.typed import Typed, constant, facts
from temper.model.types import DURATION, PRINCIPAL, TIME, PrincipalT, SetT, UnknownT, one, plain, same, scalar
from temper.syntax import tree
from temper.text import Code, Span

BY = Setting("`by`", now=False, caller=False)


class _Head(Struct):
    """What is gathered from the parts of an action or a case, before its clauses are read."""

    by: list[m.By]
    when: list[m.Guard]
    lets: list[m.Let]
    clauses: list[tree.Clause]
    scope: Scope


class EntityReader:
    """Reads one entity."""

    def __init__(
        self, entity: world.Entity, typer: Typer, declarations: Declarations, problems: Problems, uses: Uses
    ) -> None:
        self.entity = entity
        self.typer = typer
        self.declarations = declarations
        self.problems = problems
        self.uses = uses
        self.clauses = Clauses(entity, typer, problems, uses)
        self.default_by: tuple[m.By, ...] = ()

    def read(self) -> m.Entity:
        """Return the entity with its actions and places; the rules between them are looked at afterwards."""
        entity, node = self.entity, self.entity.node
        default = [part for part in node.parts if isinstance(part, tree.By)]
        self._once(default, "by")
        if default:
            self.default_by = tuple(who for by in default for who in self._by(by))
        self._once([part for part in node.parts if isinstance(part, tree.Key)], "key")
        places: list[m.Place] = []
        late: list[m.Late] = []
        for part in node.parts:
            match part:
                case tree.In():
                    places.extend(self._places(part))
                case tree.Late():
                    late.append(self._late(part))
                case tree.Defer():
                    self.problems.add(
                        Code.B325,
                        part.span,
                        "`defer` stands with no state that could be left",
                        help="write it below `in S`",
                    )
                case _:
                    pass
        return m.Entity(
            entity.name,
            self._states(),
            tuple(state for state in entity.states if state in entity.final),
            dict(entity.groups),
            tuple(self._field(field) for field in entity.fields.values()),
            tuple(self._let(name) for name in entity.let_order),
            tuple(
                m.Inverse(inverse.name, inverse.entity, inverse.field, inverse.max, inverse.span, "")
                for inverse in entity.inverses.values()
            ),
            self._uniques(),
            self._key(),
            tuple(self._action(action) for action in entity.actions.values()),
            tuple(places),
            tuple(late),
            node.name.span,
            node.description,
        )

    def _once(self, lines: list[tree.By] | list[tree.Key], word: str) -> None:
        for line in lines[1:]:
            self.problems.add(
                Code.B340,
                line.span,
                f"`{word}` is written twice",
                help="put both on one line",
                beside=((lines[0].span, "the first"),),
            )

    def _states(self) -> tuple[m.State, ...]:
        found: dict[str, m.State] = {}
        for part in self.entity.node.parts:
            if isinstance(part, tree.States):
                description = part.description if len(part.names) == 1 else ""
                for name in part.names:
                    found.setdefault(name.text, m.State(name.text, name.span, description))
        return tuple(found.values())

    def _field(self, field: world.Field) -> m.Field:
        default: Typed | None = None
        if field.node.default is not None:
            default = self.typer.expect(field.node.default, field.type, Scope(DEFAULT, self.entity))
        return m.Field(field.name, field.type, default, field.span, field.description)

    def _let(self, name: str) -> m.Let:
        let = self.entity.lets[name]
        assert let.value is not None, "the declarations have asked for every let"
        return m.Let(name, let.value, let.node.name.span, let.node.description)

    def _known_fields(self, names: tuple[tree.Name, ...], word: str) -> tuple[str, ...]:
        taken: dict[str, Span] = {}
        found: list[str] = []
        for name in names:
            if not self.declarations.once(name, taken):
                continue
            field = self.entity.fields.get(name.text)
            if field is None:
                self._no_field(name)
                continue
            found.append(name.text)
            if not scalar(plain(field.type) if word == "unique" else field.type):
                self.problems.add(
                    Code.B213,
                    name.span,
                    f"{one(field.type)} can't be part of a `{word}`",
                    help="name fields that hold single values" + ("" if word == "unique" else ", and are never `none`"),
                    beside=((field.span, "declared here"),),
                )
        return tuple(found)

    def _no_field(self, name: tree.Name) -> None:
        self.problems.unknown(
            Code.B113,
            name.span,
            "field",
            name.text,
            {field.name: field.span for field in self.entity.fields.values()},
            owner=f"`{self.entity.name}`",
        )

    def _uniques(self) -> tuple[m.Unique, ...]:
        return tuple(
            m.Unique(self._known_fields(part.fields, "unique"), part.ever, part.span)
            for part in self.entity.node.parts
            if isinstance(part, tree.Unique)
        )

    def _key(self) -> tuple[str, ...]:
        for part in self.entity.node.parts:
            if isinstance(part, tree.Key):
                return self._known_fields(part.fields, "key")
        return ()

    # --- who ----------------------------------------------------------------------------------------------------------

    def _by(self, by: tree.By) -> list[m.By]:
        return [who for expr in by.who if (who := self._who(expr)) is not None]

    def _who(self, expr: tree.Expr) -> m.By | None:
        if isinstance(expr, tree.Ref):
            name = expr.name.text
            if name in {"system", "anyone"}:
                return m.By(name, None, None, expr.span)
            if name in self.typer.world.roles:
                return m.By("role", name, None, expr.span)
            if name not in self.entity.fields and name not in self.entity.lets:
                self._nobody(expr.name)
                return None
        value = self.typer.infer(expr, Scope(BY, self.entity))
        inner = plain(value.type)
        if isinstance(inner, UnknownT):
            return None
        if not same(inner, PRINCIPAL) and not (isinstance(value.type, SetT) and same(value.type.element, PRINCIPAL)):
            self.problems.add(
                Code.B308,
                value.span,
                f"`by` names people, and this is {one(value.type)}",
                help="name a role, `system`, `anyone`, or a field that is a `principal` or a set of them",
            )
            return None
        return m.By("who", None, value, expr.span)

    def _nobody(self, name: tree.Name) -> None:
        if name.text == "caller":
            self.problems.add(
                Code.B308, name.span, "whoever acts is the caller", help="write `by anyone` to let everyone act"
            )
            return
        known: dict[str, Span | None] = {**self.typer.world.roles, "system": None, "anyone": None}
        for field in self.entity.fields.values():
            inner = plain(field.type)
            if isinstance(inner, PrincipalT) or (isinstance(inner, SetT) and isinstance(inner.element, PrincipalT)):
                known[field.name] = field.span
        self.problems.unknown(
            Code.B103, name.span, "role", name.text, known, help=f"declare it at the top: `role {name.text}`"
        )

    # --- actions ------------------------------------------------------------------------------------------------------

    def _action(self, action: world.Action) -> m.Action:
        node = action.node
        scope = Scope(ACTION, self.entity)
        for param in action.params:
            if param.name in self.typer.world.roles and param.name not in self.entity.fields:
                self.problems.add(
                    Code.B112,
                    param.span,
                    f"`{param.name}` is a role too",
                    help="rename one of them: one name has one meaning in one place",
                    beside=((self.typer.world.roles[param.name], "the role"),),
                )
            self.typer.shadows(tree.Name(param.name, span=param.span), scope, hides_fields=True)
            scope = scope.naming(param.name, Local("param", param.type, param.span))
        head = self._head([part for part in node.parts if not isinstance(part, tree.From)], scope)
        cases = [part for part in node.parts if isinstance(part, tree.From)]
        if not cases:
            self.problems.add(
                Code.B305,
                node.name.span,
                f"action `{action.name}` has no `from`",
                help="say where it may be taken: `from A to B`, or `from any` where the state stays",
            )
        read = tuple(self._case(case, head.scope) for case in cases)
        by = tuple(head.by)
        if not any(isinstance(part, tree.By) for part in node.parts):
            by = self.default_by
            bare = [case for case in cases if not any(isinstance(part, tree.By) for part in case.parts)]
            default = any(isinstance(part, tree.By) for part in self.entity.node.parts)
            if not default and (bare or not cases):
                self.problems.add(
                    Code.B306,
                    node.name.span,
                    f"action `{action.name}` does not say who may take it",
                    help="add `by` and a role, `system` or `anyone`, here or once for the entity",
                )
        body = self.clauses.read(head.clauses, head.scope, Around(creating=not action.moves))
        return m.Action(
            action.name,
            action.params,
            by,
            tuple(head.when),
            tuple(head.lets),
            body,
            read,
            node.name.span,
            node.description,
        )

    def _head(self, parts: list[tree.By | tree.When | tree.Let | tree.Clause], scope: Scope) -> _Head:
        """Read guards and lets in the order of the text: each guard that has passed is known to all that follows."""
        head = _Head([], [], [], [], scope)
        self._once([part for part in parts if isinstance(part, tree.By)], "by")
        for part in parts:
            match part:
                case tree.By():
                    head.by.extend(self._by(part))
                case tree.When(condition, otherwise):
                    typed = self.typer.condition(condition, head.scope)
                    head.when.append(m.Guard(typed, otherwise, part.span))
                    head.scope = head.scope.knowing(facts(typed)[0])
                case tree.Let(name, value):
                    self.typer.shadows(name, head.scope)
                    typed = self.typer.infer(value, replace(head.scope, setting=ACTION_LET))
                    head.lets.append(m.Let(name.text, typed, name.span, part.description))
                    head.scope = head.scope.naming(name.text, Local("let", typed.type, name.span))
                case _:
                    head.clauses.append(part)
        return head

    def _case(self, node: tree.From, scope: Scope) -> m.Case:
        froms = self._froms(node)
        to = self._to(node)
        head = self._head(list(node.parts), scope)
        if node.to is None and "new" in froms:
            self.problems.add(
                Code.B304,
                node.span,
                "a case from `new` does not say to which state",
                help=f"write `from new to {next(iter(self.entity.states), 'State')}`",
            )
        if node.to is not None:
            self._leaves_final(node)
        around = Around(creating=froms == ("new",))
        body = self.clauses.read(head.clauses, head.scope, around)
        return m.Case(froms, to, tuple(head.by), tuple(head.when), tuple(head.lets), body, node.span, node.description)

    def _froms(self, node: tree.From) -> tuple[str, ...]:
        found: set[str] = set()
        entity = self.entity
        for name in node.froms:
            match name.text:
                case "new":
                    found.add("new")
                case "any":
                    found.update(state for state in entity.states if state not in entity.final)
                case "all":
                    found.update(entity.states)
                case _:
                    found.update(self.typer.states(entity, name))
        if len(found) < 2:
            return tuple(found)  # As ten thousand cases have it: each is not to look through ten thousand states.
        return tuple(state for state in ("new", *entity.states) if state in found)

    def _to(self, node: tree.From) -> str | None:
        name = node.to
        if name is None:
            return None
        if name.text in self.entity.groups:
            self.problems.add(
                Code.B303,
                name.span,
                f"`{name.text}` is a group, and an action ends in one state",
                help=f"name one of {listed(self.entity.groups[name.text])}",
                beside=((self.entity.group_spans[name.text], "declared here"),),
            )
            return None
        self.typer.states(self.entity, name)
        return name.text if name.text in self.entity.states else None

    def _leaves_final(self, node: tree.From) -> None:
        final = self.entity.final
        for name in node.froms:
            if name.text == "all":
                left = tuple(final)
            else:
                left = tuple(state for state in self.entity.expand(name.text) or () if state in final)
            if left:
                help = "leave `to` out where the state stays, or take the state off the `final` line"
                if name.text == "all":
                    help = "write `from any`: every state that is not final"
                self.problems.add(
                    Code.B302,
                    name.span,
                    f"{listed(left)} is final, and no action leaves it",
                    help=help,
                    beside=((final[left[0]], "final"),),
                )

    # --- what belongs to states ---------------------------------------------------------------------------------------

    def _places(self, node: tree.In) -> list[m.Place]:
        scope = Scope(STAY, self.entity)
        entry: list[m.Clause] = []
        exits: list[m.Clause] = []
        routes: list[m.Route] = []
        timers: list[m.Timer] = []
        whenevers: list[m.Whenever] = []
        late: list[m.Late] = []
        defer: list[str] = []
        for part in node.parts:
            match part:
                case tree.OnEntry(tree.Do(invoke)):
                    handler = self.clauses.handler(invoke, scope, "a route")
                    if routes:
                        self._second_route(part.span, routes[0].span)
                    elif handler is not None:
                        routes.append(m.Route(handler, part.span))
                case tree.OnEntry(clause):
                    if routes:
                        self.problems.add(
                            Code.B330,
                            part.span,
                            "this stands after the route, which has left the state",
                            help="put the route last",
                            beside=((routes[0].span, "the route"),),
                        )
                    entry.extend(self.clauses.read((clause,), scope, Around(entry=True)))
                case tree.OnExit(clause):
                    exits.extend(self.clauses.read((clause,), scope, Around()))
                case tree.After(duration, invoke):
                    timers.extend(self._timer("after", duration, None, invoke, part.span, scope))
                case tree.Every(duration, invoke):
                    timers.extend(self._timer("every", duration, None, invoke, part.span, scope))
                case tree.At(field, invoke):
                    timers.extend(self._timer("at", None, field, invoke, part.span, scope))
                case tree.Whenever(condition, invoke):
                    asked = self.typer.condition(condition, replace(scope, setting=WHENEVER))
                    handler = self.clauses.handler(invoke, scope, "a `whenever`")
                    if handler is not None:
                        whenevers.append(m.Whenever(asked, handler, part.span))
                case tree.Late():
                    late.append(self._late(part))
                case tree.Defer(actions):
                    defer.extend(name.text for name in actions if self.typer.action(self.entity, name) is not None)
        taken: dict[str, Span] = {}
        places: list[m.Place] = []
        for name in node.states:
            states = self.typer.states(self.entity, name)
            if not states or not self.declarations.once(name, taken):
                continue
            places.append(
                m.Place(
                    name.text,
                    name.text in self.entity.groups,
                    states,
                    tuple(entry),
                    tuple(exits),
                    routes[0] if routes else None,
                    tuple(timers),
                    tuple(whenevers),
                    tuple(late),
                    tuple(defer),
                    node.span,
                    node.description,
                )
            )
        return places

    def _second_route(self, span: Span, first: Span) -> None:
        self.problems.add(
            Code.B330,
            span,
            "a state has one route only",
            help="decide between the two by the cases of the action that the route takes",
            beside=((first, "the first"),),
        )

    def _timer(
        self,
        kind: str,
        duration: tree.Expr | None,
        field: tree.Name | None,
        invoke: tree.Invoke,
        span: Span,
        scope: Scope,
    ) -> list[m.Timer]:
        handler = self.clauses.handler(invoke, scope, "a timer")
        value: Typed | None = None
        if duration is not None:
            value = self.typer.expect(duration, DURATION, scope)
            known = constant(value)
            if isinstance(known, int) and known <= 0:
                self.problems.add(
                    Code.B206, value.span, f"`{kind}` waits for some time", help="give a duration longer than nothing"
                )
        if field is not None:
            declared = self.entity.fields.get(field.text)
            if declared is None:
                self._no_field(field)
                return []
            if not same(plain(declared.type), TIME):
                self.problems.add(
                    Code.B201,
                    field.span,
                    f"a `time` or a `time?` is expected, and `{field.text}` is {one(declared.type)}",
                    help="`at` waits for the moment that a field holds; for a span of time, write `after`",
                    beside=((declared.span, "declared here"),),
                )
        if handler is None:
            return []
        return [m.Timer(kind, value, None if field is None else field.text, handler, span)]

    def _late(self, node: tree.Late) -> m.Late:
        actions = [action for name in node.actions if (action := self.typer.action(self.entity, name)) is not None]
        handler: m.Handler | None = None
        if node.invoke is not None:
            scope = Scope(STAY, self.entity)
            for param in actions[0].params if actions else ():
                if all(
                    any(other.name == param.name and same(other.type, param.type) for other in action.params)
                    for action in actions
                ):
                    scope = scope.naming(param.name, Local("param", param.type, param.span))
            handler = self.clauses.handler(node.invoke, scope, "a `late`")
        return m.Late(tuple(action.name for action in actions), handler, node.span)
