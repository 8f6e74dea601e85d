"""Declarations: the names of a bundle, and the types that stand at them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from temper.model import world
from temper.model.infer import Typer
from temper.model.problems import Problems
from temper.model.scope import CONSTANT, DEFAULT, Scope
from temper.model.typed import Typed, constant
from temper.model.types import (
    BUILT_IN,
    DECIMAL,
    INT,
    UNKNOWN,
    DecimalT,
    EnumT,
    IntT,
    ListT,
    MapT,
    OptionalT,
    RecordT,
    RefT,
    SetT,
    Type,
    UnknownT,
    one,
    plain,
    scalar,
    show,
)
from temper.model.world import Param, Phase, World
from temper.syntax import tree
from temper.text import Code, Span


class Declarations:
    """Reads the declarations of a bundle into its world."""

    def __init__(self, bundle: tree.Tree, names: World, typer: Typer, problems: Problems) -> None:
        self.bundle = bundle
        self.world = names
        self.typer = typer
        self.problems = problems

    def read(self) -> None:
        """Fill the world: first what is called how, then of which type it is."""
        declarations = [declaration for file in self.bundle.files for declaration in file.declarations]
        self._top(declarations)
        for alias in self.world.aliases.values():
            self._alias(alias)
        for const in self.world.consts:
            self.typer.const(const)
        for record in self.world.records.values():
            record.fields = self.params(record.node.fields, None)
        self._records_end()
        for entity in self.world.entities.values():
            self._states(entity)
            self._fields(entity)
        for declaration in declarations:
            match declaration:
                case tree.Tool() if ".".join(part.text for part in declaration.name) not in self.world.tools:
                    self._tool(declaration)
                case tree.Event(name):
                    params = self.params(declaration.params, None)
                    if name.text in self.world.events and not self.world.events[name.text].params:
                        self.world.events[name.text].params = params
                case _:
                    pass
        for entity in self.world.entities.values():
            self._actions(entity)
        for entity in self.world.entities.values():
            self._inverses(entity)
        for entity in self.world.entities.values():
            self._names_apart(entity)
            for let in entity.lets:
                self.typer.let(entity, let)

    # --- what is called how -------------------------------------------------------------------------------------------

    def _top(self, declarations: list[tree.Declaration]) -> None:
        taken: dict[str, Span] = {}
        tools: dict[str, Span] = {}
        for declaration in declarations:
            match declaration:
                case tree.Role(names):
                    for name in names:
                        if self.once(name, taken):
                            self.world.roles[name.text] = name.span
                case tree.TypeDecl(name):
                    if self._not_built_in(name) and self.once(name, taken):
                        self.world.aliases[name.text] = world.Alias(name.text, declaration)
                case tree.Record(name):
                    if self._not_built_in(name) and self.once(name, taken):
                        self.world.records[name.text] = world.Record(name.text, declaration)
                case tree.Const(name):
                    if self.once(name, taken):
                        self.world.consts[name.text] = world.Const(name.text, declaration)
                case tree.Entity(name):
                    if self.once(name, taken):
                        self.world.entities[name.text] = world.Entity(name.text, declaration)
                case tree.Event(name):
                    if self.once(name, taken):
                        self.world.events[name.text] = world.Event(
                            name.text, (), name.span, declared=True, description=declaration.description
                        )
                case tree.Tool(parts):
                    whole = tree.Name(".".join(part.text for part in parts), span=parts[0].span.to(parts[-1].span))
                    self.once(whole, tools)
                case _:
                    pass

    def once(self, name: tree.Name, taken: dict[str, Span], what: str = "") -> bool:
        """Return whether the name is new among `taken` (where it is then noted); say so if it is not."""
        if name.text not in taken:
            taken[name.text] = name.span
            return True
        self.problems.add(
            Code.B110,
            name.span,
            f"{what}`{name.text}` is declared twice",
            label="again",
            help="give one of them another name, or leave one out",
            beside=((taken[name.text], "declared here first"),),
        )
        return False

    def _not_built_in(self, name: tree.Name) -> bool:
        if name.text not in BUILT_IN:
            return True
        self.problems.add(
            Code.B110, name.span, f"`{name.text}` is a type of the language", help="give this one another name"
        )
        return False

    # --- types --------------------------------------------------------------------------------------------------------

    def type(self, expr: tree.TypeExpr) -> Type:
        """Return the type that is written, `UNKNOWN` where a problem has been told."""
        match expr:
            case tree.NamedType(name):
                return self._named(name)
            case tree.NumberType("int"):
                return self._int(expr)
            case tree.NumberType():
                return self._decimal(expr)
            case tree.EnumType(values):
                taken: dict[str, Span] = {}
                return EnumT(tuple(value.text for value in values if self.once(value, taken)))
            case tree.CollectionType(kind, element, most):
                inner = self._inside(element, f"a {kind}")
                bound = self._bound(most, expr.span, kind)
                if isinstance(inner, UnknownT) or bound is None:
                    return UNKNOWN
                return SetT(inner, bound) if kind == "set" else ListT(inner, bound)
            case tree.MapType(key, value, most):
                key_type, value_type = self._inside(key, "a map"), self._inside(value, "a map")
                bound = self._bound(most, expr.span, "map")
                if not scalar(key_type):
                    self.problems.add(
                        Code.B213,
                        key.span,
                        f"{one(key_type)} can't be the key of a map",
                        help="keys are single values: texts, numbers, enumerations, references, ...",
                    )
                    return UNKNOWN
                if isinstance(key_type, UnknownT) or isinstance(value_type, UnknownT) or bound is None:
                    return UNKNOWN
                return MapT(key_type, value_type, bound)
            case tree.OptionalType(inner_expr):
                inner = self.type(inner_expr)
                if isinstance(inner, UnknownT):
                    return UNKNOWN
                if isinstance(inner, OptionalT):
                    self.problems.add(
                        Code.B213, expr.span, f"`{show(inner)}` may be `none` already", help="one `?` is enough"
                    )
                    return inner
                return OptionalT(inner)
            case tree.BadType():
                return UNKNOWN

    def _inside(self, expr: tree.TypeExpr, where: str) -> Type:
        inner = self.type(expr)
        if isinstance(inner, OptionalT):
            self.problems.add(
                Code.B213,
                expr.span,
                f"`none` can't be an element of {where}",
                help="leave the `?` out: what is not there is not in it",
            )
            return inner.inner
        return inner

    def _bound(self, most: tree.Expr | None, span: Span, kind: str) -> int | None:
        if most is None:
            self.problems.add(
                Code.B216,
                span,
                f"this {kind} has no bound",
                help="say how many it may hold, such as `max 16`",
            )
            return None
        return self.typer.number(most, "the bound", 1)

    def _named(self, name: tree.Name) -> Type:
        text = name.text
        if text in BUILT_IN:
            return BUILT_IN[text]
        if text in self.world.aliases:
            return self._alias(self.world.aliases[text])
        if text in self.world.records:
            return RecordT(text)
        if text in self.world.entities:
            return RefT(text)
        known: dict[str, Span | None] = dict.fromkeys(BUILT_IN)
        known |= {alias.name: alias.node.name.span for alias in self.world.aliases.values()}
        known |= {record.name: record.node.name.span for record in self.world.records.values()}
        known |= {entity.name: entity.node.name.span for entity in self.world.entities.values()}
        self.problems.unknown(Code.B105, name.span, "type", text, known)
        return UNKNOWN

    def _alias(self, alias: world.Alias) -> Type:
        if alias.phase is Phase.OPEN:
            self.problems.add(
                Code.B114, alias.node.name.span, f"type `{alias.name}` is defined by itself", help="break the circle"
            )
            return UNKNOWN
        if alias.type is None:
            alias.phase = Phase.OPEN
            found = self.type(alias.node.type)
            alias.type = EnumT(found.values, alias.name) if isinstance(found, EnumT) else found
            alias.phase = Phase.DONE
        return alias.type

    def _int(self, expr: tree.NumberType) -> Type:
        low, high = self._end(expr.low, INT), self._end(expr.high, INT)
        if low is not None and high is not None and low > high:
            self._nothing_in(expr.span)
            return INT
        return IntT(None if low is None else int(low), None if high is None else int(high))

    def _decimal(self, expr: tree.NumberType) -> Type:
        low, high = self._end(expr.low, DECIMAL), self._end(expr.high, DECIMAL)
        if low is not None and high is not None and low > high:
            self._nothing_in(expr.span)
            return DECIMAL
        return DecimalT(None if low is None else Decimal(low), None if high is None else Decimal(high))

    def _end(self, expr: tree.Expr | None, type: Type) -> int | Decimal | None:
        if expr is None:
            return None
        value = self.typer.expect(expr, type, Scope(CONSTANT))
        found = constant(value)
        if isinstance(found, int | Decimal) or isinstance(value.type, UnknownT):
            return found if isinstance(found, int | Decimal) else None
        self.problems.add(
            Code.B210, expr.span, "the end of a range is not known in advance", help="write a literal or a constant"
        )
        return None

    def _nothing_in(self, span: Span) -> None:
        self.problems.add(Code.B209, span, "no value is in this range", help="the lower end stands first: `int 0..64`")

    def params(self, params: Iterable[tree.Param], owner: world.Entity | None) -> tuple[Param, ...]:
        """Return parameters with their types; one without a type takes that of the owner's field of its name."""
        taken: dict[str, Span] = {}
        found: list[Param] = []
        for param in params:
            if not self.once(param.name, taken):
                continue
            type = self._param_type(param, owner)
            default: Typed | None = None
            if param.default is not None:
                default = self.typer.expect(param.default, type, Scope(DEFAULT, owner))
            found.append(Param(param.name.text, type, default, param.name.span))
        return tuple(found)

    def _param_type(self, param: tree.Param, owner: world.Entity | None) -> Type:
        if param.type is not None:
            return self.type(param.type)
        name = param.name.text
        if owner is not None and name in owner.fields:
            return owner.fields[name].type
        self.problems.add(
            Code.B215,
            param.name.span,
            f"nothing says of which type `{name}` is",
            help=f"write `{name}: TYPE`" + (f", or declare a field `{name}`" if owner is not None else ""),
        )
        return UNKNOWN

    def _records_end(self) -> None:
        """Say so where a record lies inside itself; of several that lie in each other, the first is named."""
        told: set[str] = set()
        for record in self.world.records.values():
            inside = self._reached(record.name, [])
            if record.name in inside and record.name not in told:
                told.update(inside)
                self.problems.add(
                    Code.B114,
                    record.node.name.span,
                    f"record `{record.name}` holds itself",
                    help="records are values inside values; to point at another thing, refer to an entity",
                )

    def _reached(self, name: str, seen: list[str]) -> list[str]:
        """Return the records that lie inside the record `name`."""
        for param in self.world.records[name].fields or ():
            for inner in _records_in(param.type):
                if inner not in seen:
                    seen.append(inner)
                    self._reached(inner, seen)
        return seen

    def _tool(self, node: tree.Tool) -> None:
        name = ".".join(part.text for part in node.name)
        span = node.name[0].span.to(node.name[-1].span)
        self.world.tools[name] = world.Tool(
            name, self.params(node.params, None), self.params(node.results, None), span, node
        )

    # --- entities -----------------------------------------------------------------------------------------------------

    def _states(self, entity: world.Entity) -> None:
        parts = entity.node.parts
        taken: dict[str, Span] = {}
        for part in parts:
            if isinstance(part, tree.States):
                for name in part.names:
                    if self.once(name, taken, "state "):
                        entity.states[name.text] = name.span
        if not entity.states:
            self.problems.add(
                Code.B301,
                entity.node.name.span,
                f"entity `{entity.name}` has no states",
                help="name them on a deeper line: `states Open, Closed`",
            )
        groups: dict[str, tree.Group] = {}
        for part in parts:
            if isinstance(part, tree.Group) and self.once(part.name, taken):
                groups[part.name.text] = part
                entity.group_spans[part.name.text] = part.name.span
        for group in groups:
            if group not in entity.groups:
                self._group(entity, group, groups, [])
        for part in parts:
            if isinstance(part, tree.Final):
                for name in part.names:
                    for state in self.typer.states(entity, name):
                        entity.final.setdefault(state, name.span)

    def _group(
        self, entity: world.Entity, name: str, groups: dict[str, tree.Group], above: list[str]
    ) -> tuple[str, ...]:
        if name in entity.groups:
            return entity.groups[name]
        if name in above:
            self.problems.add(
                Code.B114,
                groups[name].name.span,
                f"group `{name}` holds itself",
                help="name states in it, or other groups",
            )
            return ()
        found: set[str] = set()
        for member in groups[name].members:
            if member.text in groups:
                found.update(self._group(entity, member.text, groups, [*above, name]))
            else:
                found.update(self.typer.states(entity, member))
        entity.groups[name] = tuple(state for state in entity.states if state in found)
        return entity.groups[name]

    def _fields(self, entity: world.Entity) -> None:
        taken: dict[str, Span] = {}
        for part in entity.node.parts:
            match part:
                case tree.Field(name, type, default):
                    if self.once(name, taken):
                        entity.fields[name.text] = world.Field(
                            name.text, part, self.type(type), name.span, default is not None, part.description
                        )
                case tree.Let(name):
                    if self.once(name, taken):
                        entity.lets[name.text] = world.Let(name.text, part)
                case tree.Inverse(name, other, field):
                    if self.once(name, taken):
                        entity.inverses[name.text] = world.Inverse(
                            name.text, part, other.text, field.text, 0, name.span
                        )
                case tree.Key(fields):
                    entity.key = tuple(field.text for field in fields)
                case _:
                    pass

    def _names_apart(self, entity: world.Entity) -> None:
        """A reader sees from a name alone whether it is a role, a constant or something of the entity."""
        for name, span in [
            *((field.name, field.span) for field in entity.fields.values()),
            *((let.name, let.node.name.span) for let in entity.lets.values()),
            *((inverse.name, inverse.span) for inverse in entity.inverses.values()),
        ]:
            if name in self.world.roles:
                self.problems.add(
                    Code.B112,
                    span,
                    f"`{name}` is a role too",
                    help="rename one of them: after `by`, both could be meant",
                    beside=((self.world.roles[name], "the role"),),
                )
            elif name in self.world.consts:
                self.problems.add(
                    Code.B111,
                    span,
                    f"`{name}` is a constant too",
                    help="rename one of them: one name has one meaning in one place",
                    beside=((self.world.consts[name].node.name.span, "the constant"),),
                )

    def _inverses(self, entity: world.Entity) -> None:
        for part in entity.node.parts:
            if not isinstance(part, tree.Inverse):
                continue
            inverse = entity.inverses.get(part.name.text)
            if inverse is None or inverse.node is not part:
                continue
            inverse.max = self._bound(part.max, part.span, "set") or 1
            other = self.typer.entity(part.entity)
            if other is None:
                del entity.inverses[inverse.name]
                continue
            field = other.fields.get(part.field.text)
            if field is None:
                self.problems.unknown(
                    Code.B113,
                    part.field.span,
                    "field",
                    part.field.text,
                    {field.name: field.span for field in other.fields.values()},
                    owner=f"`{other.name}`",
                )
                continue
            inner = plain(field.type)
            if isinstance(inner, SetT | ListT):
                inner = inner.element
            if inner != RefT(entity.name) and not isinstance(inner, UnknownT):
                self.problems.add(
                    Code.B201,
                    part.field.span,
                    f"`{other.name}.{field.name}` does not refer to `{entity.name}`",
                    label=f"this is {one(field.type)}",
                    help=f"name a field of `{other.name}` whose type is `{entity.name}`",
                    beside=((field.span, "declared here"),),
                )

    def _actions(self, entity: world.Entity) -> None:
        taken: dict[str, Span] = {}
        default = [part for part in entity.node.parts if isinstance(part, tree.By)]
        for part in entity.node.parts:
            if not isinstance(part, tree.Action) or not self.once(part.name, taken, "action "):
                continue
            action = world.Action(part.name.text, part, self.params(part.params, entity))
            entity.actions[action.name] = action
            own = [by for by in part.parts if isinstance(by, tree.By)] or default
            alone: list[bool] = []
            said: list[bool] = []
            for case in part.parts:
                if not isinstance(case, tree.From):
                    continue
                who = [name for by in [by for by in case.parts if isinstance(by, tree.By)] or own for name in by.who]
                system = any(isinstance(name, tree.Ref) and name.name.text == "system" for name in who)
                alone.append(system and len(who) == 1)
                said.append(bool(who))
                if any(name.text == "new" for name in case.froms):
                    action.creates = True
                    action.system_creates |= system
                if any(name.text != "new" for name in case.froms):
                    action.moves = True
                    action.system_moves |= system
            action.system_alone = bool(alone) and all(alone)
            action.says_who = bool(said) and all(said)


def _records_in(type: Type) -> list[str]:
    match type:
        case RecordT(name):
            return [name]
        case SetT(inner) | ListT(inner) | OptionalT(inner):
            return _records_in(inner)
        case MapT(_, value):
            return _records_in(value)
        case _:
            return []
