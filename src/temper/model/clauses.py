"""What actions and states do: from clauses as written to clauses that are typed and point at what exists."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from temper.model import machine as m
from temper.model import world
from temper.model.infer import Typer
from temper.model.problems import Problems
from temper.model.scope import Local, Scope
from temper.model.typed import Args, Typed, bad, facts, key, known
from temper.model.types import (
    ListT,
    MapT,
    OptionalT,
    RefT,
    SetT,
    Type,
    UnknownT,
    article,
    fits,
    one,
    opened,
    plain,
    same,
)
from temper.model.world import Param
from temper.syntax import tree
from temper.text import Code, Fix, Span


class Uses(Struct):
    """Which actions the system takes, by (entity, action), over the whole bundle."""

    triggered: set[tuple[str, str]] = field(default_factory=set)
    """Something leads to it: an outcome, a timer, a send, a route, ..."""
    may_be_late: set[tuple[str, str]] = field(default_factory=set)
    """It is an outcome or a send."""


class Around(Struct, frozen=True):
    """What a clause stands in, as far as it bears on which clauses may stand there."""

    creating: bool = False
    """It runs when the entity is created, and only then."""
    entry: bool = False
    """It reads the values so far, so that a `set` may undo what is known."""
    loop: bool = False


class Clauses:
    """Reads the clauses of one entity."""

    def __init__(self, entity: world.Entity, typer: Typer, problems: Problems, uses: Uses) -> None:
        self.entity = entity
        self.typer = typer
        self.problems = problems
        self.uses = uses

    def read(self, clauses: Iterable[tree.Clause], scope: Scope, around: Around) -> tuple[m.Clause, ...]:
        """Return the clauses; a `create ... as name` is known to those that stand after it."""
        found: list[m.Clause] = []
        for clause in clauses:
            match clause:
                case tree.Set(items):
                    found.extend(one for item in items if (one := self._set(item, scope, around)) is not None)
                    if around.entry:
                        scope = scope.without_facts()
                case tree.Call():
                    found.extend(self._call(clause, scope))
                case tree.Send():
                    found.extend(self._send(clause, scope))
                case tree.With():
                    found.extend(self._with(clause, scope))
                case tree.Create():
                    made = self._create(clause, scope)
                    if made is not None:
                        found.append(made)
                    if clause.name is not None and not self.typer.shadows(clause.name, scope):
                        type: Type = RefT(made.entity) if made is not None else bad(clause.span).type
                        scope = scope.naming(clause.name.text, Local("created", type, clause.name.span))
                case tree.Emit():
                    found.append(self._emit(clause, scope))
                case tree.For(var, over, body):
                    collection, element = self.typer.over(over, scope)
                    self.typer.shadows(var, scope)
                    inner = scope.naming(var.text, Local("var", opened(element), var.span))
                    read = self.read(body, inner, replace(around, loop=True))
                    found.append(m.For(var.text, collection, read, clause.span))
                case tree.If(condition, body):
                    asked = self.typer.condition(condition, scope)
                    read = self.read(body, scope.knowing(facts(asked)[0]), around)
                    found.append(m.If(asked, read, clause.span))
                case tree.Do():
                    self.problems.add(
                        Code.B330,
                        clause.span,
                        "a route stands here, where no state is entered",
                        help="write it with the state: `in S` and below it `on entry do A(args)`",
                    )
        return tuple(found)

    # --- set ----------------------------------------------------------------------------------------------------------

    def _set(self, item: tree.SetItem, scope: Scope, around: Around) -> m.Set | None:
        name = item.target.text
        field = self.entity.fields.get(name)
        if field is None:
            self._no_field(item.target, scope)
            if item.value is not None:
                self.typer.infer(item.value, scope)
            return None
        if name in self.entity.key and not around.creating:
            self.problems.add(
                Code.B314,
                item.target.span,
                f"`{name}` is part of the key of `{self.entity.name}`, and never changes",
                help="set it in an action `from new` only",
                beside=((field.span, "declared here"),),
            )
        if around.loop:
            self.problems.add(
                Code.B315,
                item.span,
                f"`set {name}` under `for` would set one field several times",
                help=f"work the value out in one expression: `set {name} = {{f for x in xs}}`, `sum(x in xs: ...)`",
            )
        value = self._set_value(item, field, scope)
        return m.Set(name, value, item.span)

    def _no_field(self, target: tree.Name, scope: Scope) -> None:
        name = target.text
        what = ""
        if name in scope.locals:
            what = {"param": "a parameter", "let": "a `let`", "var": "a name of the loop", "created": "a new entity"}[
                scope.locals[name].op
            ]
        elif name in self.entity.lets:
            what = "a `let`"
        elif name in self.entity.inverses:
            what = "an inverse set"
        elif name in self.typer.world.consts:
            what = "a constant"
        if what:
            self.problems.add(
                Code.B313,
                target.span,
                f"`{name}` is {what}, not a field",
                help=f"declare a field: `{name}: TYPE`" if what == "a parameter" else "only fields can be set",
            )
            return
        self.problems.unknown(
            Code.B313,
            target.span,
            "field",
            name,
            {field.name: field.span for field in self.entity.fields.values()},
            owner=f"`{self.entity.name}`",
        )

    def _set_value(self, item: tree.SetItem, field: world.Field, scope: Scope) -> Typed:
        name = item.target.text
        if item.op == "copy" or item.value is None:
            local = scope.locals.get(name)
            if local is None or local.op != "param":
                self.problems.add(
                    Code.B106,
                    item.target.span,
                    f"there is no parameter `{name}` to set the field from",
                    help=f"add the parameter `{name}`, or write `set {name} = ...`",
                )
                return bad(item.span)
            return self.typer.coerce(Typed("param", (name,), local.type, item.target.span), field.type)
        # The left side means the field, even where a parameter has its name.
        old = Typed("field", (name,), field.type, item.target.span)
        if isinstance(old.type, OptionalT) and key(old) in scope.known:
            old = known(old)
        if item.key is not None:
            return self._put(item, item.key, item.value, old, field, scope)
        if item.op == "=":
            return self.typer.expect(item.value, field.type, scope)
        value = self._changed(item, item.value, old, scope)
        return self.typer.coerce(value, field.type)

    def _put(
        self, item: tree.SetItem, at: tree.Expr, value: tree.Expr, old: Typed, field: world.Field, scope: Scope
    ) -> Typed:
        old = self.typer.present(old)
        if not isinstance(old.type, MapT):
            if not isinstance(old.type, UnknownT):
                self.problems.add(
                    Code.B204,
                    item.target.span,
                    f"`{field.name}` is {one(field.type)}, and only a map has entries to set",
                    help=f"set the whole: `set {field.name} = ...`",
                )
            return bad(item.span)
        if item.op != "=":
            name = field.name
            self.problems.add(
                Code.B204,
                item.span,
                f"`{item.op}` has no meaning for an entry, which may not be there",
                help=f"say what it starts from: `set {name}[k] = ({name}[k] ?? 0) + 1`",
            )
            return bad(item.span)
        where = self.typer.expect(at, old.type.key, scope)
        put = Typed("put", (old, where, self.typer.expect(value, old.type.value, scope)), opened(old.type), item.span)
        return self.typer.coerce(put, field.type)

    def _changed(self, item: tree.SetItem, expr: tree.Expr, old: Typed, scope: Scope) -> Typed:
        """Return what `f += e` or `f -= e` makes of the old value."""
        op = item.op[0]
        old = self.typer.present(old)
        inner = old.type.element if isinstance(old.type, SetT | ListT) else None
        hint: Type | None = None
        if inner is not None:
            whole = isinstance(expr, tree.SetOf | tree.ListOf | tree.Filter | tree.Mapped)
            hint = old.type if whole else inner
        value = self.typer.present(self.typer.infer(expr, scope, hint))
        if isinstance(old.type, UnknownT) or isinstance(value.type, UnknownT):
            return bad(item.span)
        if inner is not None and not same(value.type, old.type) and fits(value.type, inner):
            kind = "set" if isinstance(old.type, SetT) else "list"
            element = self.typer.coerce(value, opened(inner))
            value = Typed(kind, (opened(inner), (element,)), opened(old.type), value.span)
        found = self.typer.operation(op, old, value, item.span)
        if found is None:
            self.problems.add(
                Code.B204,
                item.span,
                f"`{item.op}` has no meaning for {one(old.type)} and {one(value.type)}",
                help="`+=` and `-=` are for numbers, times, durations and sets; `+=` also for texts and lists",
            )
            return bad(item.span)
        return found

    # --- orders -------------------------------------------------------------------------------------------------------

    def _call(self, clause: tree.Call, scope: Scope) -> list[m.Clause]:
        tool = self.typer.tool(clause.tool)
        name = ".".join(part.text for part in clause.tool)
        span = clause.tool[0].span.to(clause.tool[-1].span)
        args: Args = ()
        if tool is not None:
            args = self.typer.arguments(clause.args, tool.params, scope, span, f"`{name}`")
        for handler, word, when in ((clause.then, "then", "it has answered"), (clause.otherwise, "else", "it fails")):
            if handler is None:
                self.problems.add(
                    Code.B320,
                    span,
                    f"the call of `{name}` does not say what follows when {when}",
                    label=f"no `{word}`",
                    help=f"add `{word} Action`, or `{word} _` where nothing shall follow",
                )
                break
        failed = replace(scope, error=True)
        then = self._outcome(clause.then, replace(scope, result=tool or _NO_TOOL))
        otherwise = self._outcome(clause.otherwise, failed)
        unknown = self._outcome(clause.unknown, failed)
        if tool is None:
            return []
        return [m.Call(name, args, then, otherwise, unknown, clause.unknown is None, clause.span)]

    def _outcome(self, invoke: tree.Invoke | tree.Nothing | None, scope: Scope) -> m.Handler | None:
        if not isinstance(invoke, tree.Invoke):
            return None
        self.uses.may_be_late.add((self.entity.name, invoke.action.text))
        return self.handler(invoke, scope, "an outcome")

    def handler(self, invoke: tree.Invoke, scope: Scope, what: str) -> m.Handler | None:
        """Return an action of this entity that the system takes, and its arguments; `None` where there is none."""
        action = self.typer.action(self.entity, invoke.action)
        if action is None:
            return None
        args = self._taken(self.entity, action, invoke, scope, what)
        return m.Handler(action.name, args, invoke.span)

    def _taken(self, entity: world.Entity, action: world.Action, invoke: tree.Invoke, scope: Scope, what: str) -> Args:
        self.uses.triggered.add((entity.name, action.name))
        if action.creates and not action.moves:
            self.problems.add(
                Code.B322,
                invoke.action.span,
                f"`{action.name}` creates {article(entity.name)}, and {what} is taken by one that is there",
                help=f"name another action, or write `create {entity.name}.{action.name}(...)`",
                beside=((action.node.name.span, "from `new` only"),),
            )
        elif not action.system_moves:
            self._not_open(entity, action, invoke.action.span, what)
        return self.typer.arguments(invoke.args, action.params, scope, invoke.span, f"`{action.name}`")

    def _not_open(self, entity: world.Entity, action: world.Action, span: Span, what: str) -> None:
        own = [part for part in action.node.parts if isinstance(part, tree.By)]
        fix: Fix | None = None
        if len(own) == 1 and own[0].who and own[0].who[-1].span.file:
            end = own[0].who[-1].span
            fix = Fix(Span(end.file, end.end, end.end), ", system")
        if not action.says_who:
            return  # That is told already, and it may be open once it says so.
        self.problems.add(
            Code.B321,
            span,
            f"`{action.name}` is not `by system`, and {what} is the system's to take",
            help=f"add `system` to the `by` of `{entity.name}.{action.name}`",
            fix=fix,
            beside=((action.node.name.span, "declared here"),),
        )

    def _target(
        self, target: tree.Expr, invoke: tree.Invoke, scope: Scope, what: str
    ) -> tuple[Typed, str, world.Action, Args] | None:
        value = self.typer.infer(target, scope)
        if isinstance(value.type, UnknownT):
            return None
        if not isinstance(plain(value.type), RefT):
            self.problems.add(
                Code.B201,
                value.span,
                f"a reference to an entity is expected, and this is {one(value.type)}",
                help="name a field or a parameter that refers to one; for each of a set, write `for x in xs: ...`",
            )
            return None
        value = self.typer.present(value)
        assert isinstance(value.type, RefT), "`present` takes the `?` away"
        entity = self.typer.world.entities[value.type.entity]
        action = self.typer.action(entity, invoke.action)
        if action is None:
            return None
        return value, entity.name, action, self._taken(entity, action, invoke, scope, what)

    def _send(self, clause: tree.Send, scope: Scope) -> list[m.Clause]:
        found = self._target(clause.target, clause.invoke, scope, "a send")
        if found is None:
            return []
        target, entity, action, args = found
        self.uses.may_be_late.add((entity, action.name))
        return [m.Send(target, entity, action.name, args, clause.span)]

    def _with(self, clause: tree.With, scope: Scope) -> list[m.Clause]:
        found = self._target(clause.target, clause.invoke, scope, "a joint action")
        if found is None:
            return []
        target, entity, action, args = found
        return [m.With(target, entity, action.name, args, clause.span)]

    def _create(self, clause: tree.Create, scope: Scope) -> m.Create | None:
        entity = self.typer.entity(clause.entity)
        if entity is None:
            return None
        invoke = clause.invoke
        action = self.typer.action(entity, invoke.action)
        if action is None:
            return None
        self.uses.triggered.add((entity.name, action.name))
        if not action.creates:
            creating = [other.name for other in entity.actions.values() if other.creates]
            self.problems.add(
                Code.B323,
                invoke.action.span,
                f"`{action.name}` has no case from `new`",
                help=f"`{entity.name}` is created by {', '.join(f'`{name}`' for name in creating)}"
                if creating
                else f"give `{entity.name}` an action `from new`",
                beside=((action.node.name.span, "declared here"),),
            )
        elif not action.system_creates:
            self._not_open(entity, action, invoke.action.span, "a `create`")
        args = self.typer.arguments(invoke.args, action.params, scope, invoke.span, f"`{action.name}`")
        name = clause.name.text if clause.name is not None else None
        return m.Create(entity.name, action.name, args, name, clause.span)

    # --- events -------------------------------------------------------------------------------------------------------

    def _emit(self, clause: tree.Emit, scope: Scope) -> m.Emit:
        name = clause.event.text
        event = self.typer.world.events.get(name)
        if event is None:
            event = self._declared_by_use(clause, scope)
            self.typer.world.events[name] = event
        elif not event.declared and not self._used_alike(clause, event):
            return m.Emit(name, (), clause.span)
        if event.declared:
            args = self.typer.arguments(clause.args, event.params, scope, clause.event.span, f"`{name}`")
            return m.Emit(name, args, clause.span)
        return m.Emit(name, self._used_again(clause, event, scope), clause.span)

    def _declared_by_use(self, clause: tree.Emit, scope: Scope) -> world.Event:
        params: list[Param] = []
        for arg, name in _named(clause):
            if not name:
                self.problems.add(
                    Code.B326,
                    arg.value.span,
                    f"this argument of `{clause.event.text}` has no name",
                    help=f"name it: `emit {clause.event.text}(name: ...)`, or declare the event at the top",
                )
                continue
            if any(param.name == name for param in params):
                self.problems.add(Code.B208, arg.value.span, f"`{name}` is given twice", help="leave one out")
                continue
            value = self.typer.infer(arg.value, scope)
            params.append(Param(name, opened(value.type), None, (arg.name or arg.value).span))
        return world.Event(clause.event.text, tuple(params), clause.event.span, declared=False)

    def _used_again(self, clause: tree.Emit, event: world.Event, scope: Scope) -> Args:
        """Return the arguments, for the parameters that the first `emit` has declared."""
        params = {param.name: param for param in event.params}
        given: dict[str, Typed] = {}
        for arg, name in _named(clause):
            if name in params:
                given[name] = self.typer.expect(arg.value, params[name].type, scope)
        return tuple((param.name, given[param.name]) for param in event.params if param.name in given)

    def _used_alike(self, clause: tree.Emit, event: world.Event) -> bool:
        """Return whether this gives the parameters that the first `emit` does, or say that it does not."""
        if sorted(name for _, name in _named(clause)) == sorted(param.name for param in event.params):
            return True
        names = ", ".join(param.name for param in event.params)
        self.problems.add(
            Code.B326,
            clause.event.span,
            f"`{event.name}` is emitted with other parameters elsewhere",
            help=f"give it `({names})` here too, or declare it at the top with `event {event.name}(...)`",
            beside=((event.span, "emitted here first"),),
        )
        return False


def _named(clause: tree.Emit) -> list[tuple[tree.Arg, str]]:
    """Return the arguments with their names; one that is a bare word is named after it, others have an empty one."""
    found: list[tuple[tree.Arg, str]] = []
    for arg in clause.args:
        name = arg.name
        if name is None and isinstance(arg.value, tree.Ref):
            name = arg.value.name
        found.append((arg, "" if name is None else name.text))
    return found


_NO_TOOL = world.Tool("the tool", (), (), Span("", 0, 0), None)
