"""Expressions: from what is written to what is meant, with a type for every part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from temper.model import world
from temper.model.problems import Problems, listed
from temper.model.scope import CONSTANT, LET, Local, Scope
from temper.model.typed import (
    Typed,
    any_of,
    bad,
    binary,
    constant,
    facts,
    folded,
    key,
    known,
    literal,
    negated,
    none,
    some,
)
from temper.model.types import (
    BOOL,
    DECIMAL,
    DURATION,
    INT,
    PRINCIPAL,
    STRING,
    TIME,
    UNKNOWN,
    BoolT,
    DecimalT,
    DurationT,
    EnumT,
    IntT,
    ListT,
    MapT,
    OptionalT,
    PrincipalT,
    RecordT,
    RefT,
    SetT,
    StringT,
    TimeT,
    Type,
    UnknownT,
    fits,
    opened,
    ordered,
    plain,
    same,
    show,
)
from temper.model.world import Param, Phase, World
from temper.syntax import tree
from temper.text import Code, Fix, Span

Args = tuple[tuple[str, Typed], ...]

FUNCTIONS = ("size", "min", "max", "set", "before")
WORDS = ("this", "caller", "now", "state", "id", "created_at")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Typer:
    """Types expressions against a world, and says what is wrong with them."""

    def __init__(self, names: World, problems: Problems) -> None:
        self.world = names
        self.problems = problems
        self._open_lets: list[str] = []

    # --- what others ask for ------------------------------------------------------------------------------------------

    def expect(self, expr: tree.Expr, want: Type, scope: Scope) -> Typed:
        """Return the expression as a value of `want`."""
        return self.coerce(self.infer(expr, scope, want), want)

    def condition(self, expr: tree.Expr, scope: Scope) -> Typed:
        return self.expect(expr, BOOL, scope)

    def infer(self, expr: tree.Expr, scope: Scope, hint: Type | None = None) -> Typed:
        """Return the expression with its own type; `hint` (the type that is expected, if any) only decides what bare
        names and empty collections mean."""
        found = self._infer(expr, scope, hint)
        if scope.known and isinstance(found.type, OptionalT) and key(found) in scope.known:
            return known(found)
        return found

    def coerce(self, value: Typed, want: Type) -> Typed:
        """Return `value` where a `want` is expected, or say why it can't stand there."""
        have = value.type
        if isinstance(have, UnknownT) or isinstance(want, UnknownT):
            return value
        if isinstance(want, OptionalT):
            if isinstance(have, OptionalT):
                if same(have, want):
                    return value
            elif fits(have, want.inner):
                # What was narrowed is given back as it was.
                return value.parts[0] if value.op == "value" else some(self.coerce(value, want.inner))
            return self._mismatch(value, want)
        if isinstance(have, OptionalT):
            if fits(have.inner, want):
                self.may_be_none(value)
                return known(value)
            return self._mismatch(value, want)
        if same(have, want):
            self._in_range(value, want)
            return value
        if isinstance(have, IntT) and isinstance(want, DecimalT):
            widened = folded(Typed("to_decimal", (value,), DECIMAL, value.span))
            self._in_range(widened, want)
            return widened
        return self._mismatch(value, want)

    def present(self, value: Typed) -> Typed:
        """Return `value` as a `T`, or say that it may be `none`."""
        if isinstance(value.type, OptionalT):
            self.may_be_none(value)
            return known(value)
        return value

    def may_be_none(self, value: Typed) -> None:
        name = spelt(value)
        self.problems.add(
            Code.B202,
            value.span,
            f"{_quoted(name)} may be `none` here",
            label=f"this is a `{show(value.type)}`",
            help=f"check it first (`{name or 'x'} != none and ...`), or say what else (`{name or 'x'} ?? ...`)",
        )

    def number(self, expr: tree.Expr, what: str, low: int) -> int | None:
        """Return a whole number that is known now and at least `low`, or say why there is none."""
        value = self.expect(expr, INT, Scope(CONSTANT))
        return self._known_number(value, what, low, str(low))

    def duration(self, expr: tree.Expr, what: str) -> int | None:
        """Return a duration that is known now, in milliseconds."""
        value = self.expect(expr, DURATION, Scope(CONSTANT))
        return self._known_number(value, what, 1, "a duration longer than nothing")

    def _known_number(self, value: Typed, what: str, low: int, least: str) -> int | None:
        if isinstance(value.type, UnknownT):
            return None
        found = constant(value)
        if not isinstance(found, int):
            self.problems.add(
                Code.B210, value.span, f"{what} is not known in advance", help="write a literal or a constant"
            )
            return None
        if found < low:
            self.problems.add(Code.B206, value.span, f"{what} is too small", help=f"write {least} or more")
            return None
        return found

    def arguments(
        self, args: Iterable[tree.Arg], params: tuple[Param, ...], scope: Scope, span: Span, what: str
    ) -> Args:
        """Return what each parameter is given, in the order of the parameters; those left out are absent."""
        by_name = {param.name: param for param in params}
        given: dict[str, Typed] = {}
        spans: dict[str, Span] = {}
        named = False
        complete = True
        for index, arg in enumerate(args):
            if arg.name is not None:
                named = True
                param = by_name.get(arg.name.text)
                if param is None:
                    self.problems.unknown(
                        Code.B107,
                        arg.name.span,
                        "parameter",
                        arg.name.text,
                        {param.name: param.span for param in params},
                        owner=what,
                        help=None if params else f"{what} takes nothing",
                    )
                    complete = False
                    self.infer(arg.value, scope)
                    continue
            elif named:
                self.problems.add(
                    Code.B208,
                    arg.value.span,
                    "an argument without a name follows one with a name",
                    help=f"name it too; {what} takes {_signature(params)}",
                )
                complete = False
                continue
            elif index >= len(params):
                self.problems.add(
                    Code.B208,
                    arg.value.span,
                    f"{what} takes {_count(len(params))}",
                    label="one too many",
                    help=f"it takes {_signature(params)}",
                )
                complete = False
                continue
            else:
                param = params[index]
            if param.name in given:
                self.problems.add(
                    Code.B208,
                    arg.value.span,
                    f"`{param.name}` is given twice",
                    beside=((spans[param.name], "given here first"),),
                )
                continue
            given[param.name] = self.expect(arg.value, param.type, scope)
            spans[param.name] = arg.value.span
        missing = [param for param in params if param.name not in given and not param.may_be_left_out]
        if missing and complete:
            self.problems.add(
                Code.B208,
                span,
                f"{what} is not given {listed(param.name for param in missing)}",
                help=f"it takes {_signature(params)}",
                beside=((missing[0].span, "declared here"),),
            )
        return tuple((param.name, given[param.name]) for param in params if param.name in given)

    def states(self, entity: world.Entity, name: tree.Name) -> tuple[str, ...]:
        """Return the states that a state or a group stands for; none where it is unknown."""
        found = entity.expand(name.text)
        if found is None:
            self.problems.unknown(
                Code.B101,
                name.span,
                "state",
                name.text,
                {**entity.states, **entity.group_spans},
                owner=f"`{entity.name}`",
            )
            return ()
        return found

    def entity(self, name: tree.Name) -> world.Entity | None:
        """Return the entity of this name, or say that there is none."""
        found = self.world.entities.get(name.text)
        if found is None:
            self.problems.unknown(
                Code.B108,
                name.span,
                "entity",
                name.text,
                {entity.name: entity.node.name.span for entity in self.world.entities.values()},
            )
        return found

    def action(self, entity: world.Entity, name: tree.Name) -> world.Action | None:
        """Return the entity's action of this name, or say that there is none."""
        found = entity.actions.get(name.text)
        if found is None:
            self.problems.unknown(
                Code.B102,
                name.span,
                "action",
                name.text,
                {action.name: action.node.name.span for action in entity.actions.values()},
                owner=f"`{entity.name}`",
            )
        return found

    def role(self, name: tree.Name) -> str | None:
        """Return the role of this name, or say that there is none."""
        if name.text in self.world.roles:
            return name.text
        self.problems.unknown(Code.B103, name.span, "role", name.text, self.world.roles)
        return None

    def tool(self, name: tuple[tree.Name, ...]) -> world.Tool | None:
        """Return the tool of this name, or say that there is none."""
        text = ".".join(part.text for part in name)
        found = self.world.tools.get(text)
        if found is None:
            self.problems.unknown(
                Code.B104,
                name[0].span.to(name[-1].span),
                "tool",
                text,
                {tool.name: tool.span for tool in self.world.tools.values()},
                help=f"declare it at the top: `tool {text}(...)`" if not self.world.tools else None,
            )
        return found

    def shadows(self, name: tree.Name, scope: Scope, *, hides_fields: bool = False) -> bool:
        """Say so where a new local name is in scope already; a parameter alone may hide a field."""
        place = self._place_of(name.text, scope, fields=not hides_fields)
        if place is None:
            return False
        self.problems.add(
            Code.B111,
            name.span,
            f"`{name.text}` is a name here already",
            label="hides the other",
            help="choose another name: one name has one meaning in one place",
            beside=((place, "the other"),),
        )
        return True

    def _place_of(self, name: str, scope: Scope, *, fields: bool) -> Span | None:
        if name in scope.locals:
            return scope.locals[name].span
        if scope.entity is not None and name in scope.entity.lets:
            return scope.entity.lets[name].node.name.span
        if scope.entity is not None and name in scope.entity.inverses:
            return scope.entity.inverses[name].span
        if fields and scope.entity is not None and name in scope.entity.fields:
            return scope.entity.fields[name].span
        if name in self.world.consts:
            return self.world.consts[name].node.name.span
        return None

    # --- values whose meaning is worked out when first asked for ------------------------------------------------------

    def const(self, name: str) -> Typed:
        """Return a constant's value."""
        const = self.world.consts[name]
        if const.phase is Phase.OPEN:
            self._cycle(const.node.name, f"constant `{name}`")
            return bad(const.node.name.span)
        if const.value is None:
            const.phase = Phase.OPEN
            const.value = self.infer(const.node.value, Scope(CONSTANT))
            const.phase = Phase.DONE
        return const.value

    def let(self, entity: world.Entity, name: str) -> Typed:
        """Return the value of an entity's `let`."""
        let = entity.lets[name]
        if let.value is not None:
            return let.value
        if name in self._open_lets:
            self._cycle(let.node.name, f"`let {name}`")
            return bad(let.node.name.span)
        self._open_lets.append(name)
        let.value = self.infer(let.node.value, Scope(LET, entity))
        self._open_lets.pop()
        entity.let_order.append(name)
        return let.value

    def _cycle(self, name: tree.Name, what: str) -> None:
        self.problems.add(Code.B114, name.span, f"{what} is defined by itself", help="break the circle")

    # --- one kind of expression after the other -----------------------------------------------------------------------

    def _infer(self, expr: tree.Expr, scope: Scope, hint: Type | None) -> Typed:
        span = expr.span
        match expr:
            case tree.Ref(name):
                return self._ref(name, scope, hint)
            case tree.Int(value):
                return literal(INT, value, span)
            case tree.Binary():
                return self._binary(expr, scope, hint)
            case tree.Bool(value):
                return literal(BOOL, value, span)
            case tree.Str(value):
                return self._str(value, span, scope, hint)
            case tree.NoneValue():
                return self._none(span, hint)
            case tree.Is():
                return self._is(expr, scope)
            case tree.Dot(base, name):
                return self._dot(base, name, span, scope)
            case tree.Dec(value):
                return literal(DECIMAL, value, span)
            case tree.Duration(ms):
                return literal(DURATION, ms, span)
            case tree.Unary(op, operand):
                return self._unary(op, operand, span, scope)
            case tree.Apply(name, args):
                return self._apply(name, args, span, scope, hint)
            case tree.Index(base, index):
                return self._index(base, index, span, scope)
            case tree.IfExpr(condition, then, otherwise):
                return self._if(condition, then, otherwise, span, scope, hint)
            case tree.SetOf(items):
                if not items and isinstance(_plain(hint), MapT):
                    return self._map((), span, scope, hint)
                return self._collection("set", items, span, scope, hint)
            case tree.ListOf(items):
                return self._collection("list", items, span, scope, hint)
            case tree.MapOf(items):
                return self._map(items, span, scope, hint)
            case tree.Quantifier(kind, var, over, body):
                return self._quantifier(kind, var, over, body, span, scope)
            case tree.Filter(var, over, body):
                return self._filter(var, over, body, span, scope)
            case tree.Mapped(kind, body, var, over):
                return self._mapped(kind, body, var, over, span, scope, hint)
            case tree.OneOfNames():
                self.problems.add(
                    Code.B204,
                    span,
                    "names in parentheses stand after `in` only",
                    help="write a set in braces: `{a, b}`",
                )
                return bad(span)
            case tree.BadExpr():
                return bad(span)

    # names

    def _ref(self, name: tree.Name, scope: Scope, hint: Type | None) -> Typed:
        text, span = name.text, name.span
        wanted = _plain(hint)
        if isinstance(wanted, EnumT) and text in wanted.values:
            return literal(wanted, text, span)
        local = scope.locals.get(text)
        if local is not None:
            return Typed(local.op, (text,), local.type, span)
        if text in WORDS:
            return self._word(text, span, scope)
        entity = scope.entity
        if entity is not None and scope.setting.fields:
            if text in entity.fields:
                return Typed("field", (text,), entity.fields[text].type, span)
            if text in entity.lets:
                return Typed("let", (text,), self.let(entity, text).type, span)
            if text in entity.inverses:
                return self._inverse(entity.inverses[text], span)
        if text in self.world.consts:
            return replace(self.const(text), span=span)
        return self._unresolved(name, scope, wanted)

    def _unresolved(self, name: tree.Name, scope: Scope, wanted: Type | None) -> Typed:
        text, span = name.text, name.span
        entity = scope.entity
        if text in {"result", "error"}:
            self._not_readable(
                text, span, scope, "`result` is read in the arguments of `then`, `error` in those of `else`"
            )
        elif text in {"before", "action"}:
            how = "`before.field` or `before(...)`" if text == "before" else "`action is Name`"
            self._not_readable(text, span, scope, f"in a property, write {how}")
        elif entity is not None and text in entity.fields:
            self._not_readable(text, span, scope, "fields have no value yet where this is worked out")
        elif isinstance(wanted, EnumT):
            self.problems.unknown(
                Code.B106,
                span,
                "value",
                text,
                dict.fromkeys(wanted.values),
                owner=f"`{show(wanted)}`",
                help=f"its values are {listed(wanted.values)}",
            )
        elif enumerations := [type for type in self._enumerations() if text in type.values]:
            self.problems.add(
                Code.B207,
                span,
                f"`{text}` is a value of `{show(enumerations[0])}`, and nothing here expects one",
                help="compare it with a field of that type, or give it where one is expected",
            )
        elif text in self.world.roles:
            self.problems.add(
                Code.B106,
                span,
                f"`{text}` is a role, not a value",
                help=f"ask whether the caller has it: `caller is {text}`",
            )
        elif entity is not None and text in entity.states | entity.groups:
            self.problems.add(
                Code.B106, span, f"`{text}` is a state, not a value", help=f"ask for it: `state is {text}`"
            )
        elif text in self.world.entities:
            self._not_readable(
                text, span, scope, f"range over all of a kind in a property only: `all x in {text}: ...`", kind="entity"
            )
        else:
            self.problems.unknown(Code.B106, span, "name", text, dict(self._visible(scope)), help=_foreign(text))
        return bad(span)

    def _visible(self, scope: Scope) -> Iterator[tuple[str, Span | None]]:
        yield from ((name, local.span) for name, local in scope.locals.items())
        if scope.entity is not None and scope.setting.fields:
            yield from ((name, field.span) for name, field in scope.entity.fields.items())
            yield from ((name, let.node.name.span) for name, let in scope.entity.lets.items())
            yield from ((name, inverse.span) for name, inverse in scope.entity.inverses.items())
        yield from ((name, const.node.name.span) for name, const in self.world.consts.items())

    def _enumerations(self) -> Iterator[EnumT]:
        for alias in self.world.aliases.values():
            if isinstance(alias.type, EnumT):
                yield alias.type
        for entity in self.world.entities.values():
            for field in entity.fields.values():
                inner = plain(field.type)
                if isinstance(inner, SetT | ListT):
                    inner = inner.element
                if isinstance(inner, EnumT):
                    yield inner

    def _word(self, word: str, span: Span, scope: Scope) -> Typed:
        setting = scope.setting
        match word:
            case "now":
                if not setting.now:
                    self._not_readable(
                        word,
                        span,
                        scope,
                        "time moves by itself: use a timer, or a `when` of an action, which may read it",
                    )
                    return bad(span)
                return Typed("now", (), TIME, span)
            case "caller":
                if not setting.caller:
                    self._not_readable(word, span, scope, "who acts is known in an action: read it there")
                    return bad(span)
                return Typed("caller", (), PRINCIPAL, span)
            case "state":
                self.problems.add(
                    Code.B211,
                    span,
                    "`state` is asked about, it is no value",
                    help="write `state is A`, or `state in (A, B)`",
                )
                return bad(span)
            case _:
                pass
        entity = scope.entity
        if entity is None or not setting.fields:
            self._not_readable(word, span, scope, "there is no entity here whose own it could be")
            return bad(span)
        match word:
            case "this":
                return Typed("this", (), RefT(entity.name), span)
            case "id":
                return Typed("id", (), STRING, span)
            case _:
                return Typed("created_at", (), TIME, span)

    def _not_readable(self, word: str, span: Span, scope: Scope, help: str, *, kind: str = "") -> None:
        what = f"{kind} `{word}`" if kind else f"`{word}`"
        self.problems.add(Code.B211, span, f"{what} can't be read in {scope.setting.where}", help=help)

    def _inverse(self, inverse: world.Inverse, span: Span) -> Typed:
        self.problems.not_yet(
            Code.B903,
            span,
            f"`{inverse.name}` is an inverse set",
            help="keep what is needed in a field of this entity's own, and have the other entity send it",
        )
        return Typed("inverse", (inverse.name,), SetT(RefT(inverse.entity), inverse.max), span)

    # members

    def _dot(self, base: tree.Expr, name: tree.Name, span: Span, scope: Scope) -> Typed:
        if isinstance(base, tree.Ref) and base.name.text not in scope.locals:
            match base.name.text:
                case "before":
                    return self._before(tree.Ref(name, span=name.span), span, scope, base.name)
                case "this" if scope.entity is not None:
                    return self._own_field(name, span, scope)
                case "result":
                    return self._result(base.name, name, span, scope)
                case "error":
                    return self._error(base.name, name, span, scope)
                case "caller":
                    who = self._word("caller", base.span, scope)
                    if name.text == "acts_for":
                        return who if who.op == "bad" else Typed("acts_for", (), PRINCIPAL, span)
                    self._no_member(name, "`caller`", {"acts_for": None})
                    return bad(span)
                case word if word in self.world.entities and scope.entity is not None:
                    self.problems.add(
                        Code.B106,
                        base.span,
                        f"`{word}` is a kind of entity, not one entity",
                        help="read through a field that refers to one",
                    )
                    return bad(span)
        value = self.infer(base, scope)
        match plain(value.type):
            case UnknownT():
                return bad(span)
            case RefT(entity):
                value = self.present(value)
                return self._read(value, self.world.entities[entity], name, span, scope)
            case RecordT(record):
                value = self.present(value)
                fields = self.world.records[record].fields or ()
                for param in fields:
                    if param.name == name.text:
                        return Typed("dot", (value, record, name.text), param.type, span)
                self._no_member(name, f"`{record}`", {param.name: param.span for param in fields})
                return bad(span)
            case _:
                self.problems.add(
                    Code.B116,
                    name.span,
                    f"a `{show(value.type)}` has no parts",
                    label=f"no `{name.text}` in it",
                    help="records, references and the results of a tool have parts",
                )
                return bad(span)

    def _no_member(self, name: tree.Name, owner: str, known_names: Mapping[str, Span | None]) -> None:
        self.problems.unknown(Code.B116, name.span, "part", name.text, known_names, owner=owner)

    def _own_field(self, name: tree.Name, span: Span, scope: Scope) -> Typed:
        assert scope.entity is not None, "asked for where there is an entity"
        field = scope.entity.fields.get(name.text)
        if field is None:
            self._no_member(name, f"`{scope.entity.name}`", {f.name: f.span for f in scope.entity.fields.values()})
            return bad(span)
        return Typed("field", (name.text,), field.type, span)

    def _read(self, value: Typed, entity: world.Entity, name: tree.Name, span: Span, scope: Scope) -> Typed:
        if name.text == "state":
            self.problems.add(
                Code.B211,
                name.span,
                "`state` is asked about, it is no value",
                help="write `x.state is A`, or `x.state in (A, B)`",
            )
            return bad(span)
        field = entity.fields.get(name.text)
        if field is None:
            self._no_member(name, f"`{entity.name}`", {f.name: f.span for f in entity.fields.values()})
            return bad(span)
        self._reads_through(span, scope)
        return Typed("read", (value, entity.name, name.text), field.type, span)

    def _reads_through(self, span: Span, scope: Scope) -> None:
        if not scope.setting.through:
            self.problems.not_yet(
                Code.B904,
                span,
                "this reads another entity through a reference",
                help="keep what is needed in a field of this entity's own, and have the other entity send it",
            )

    def _result(self, word: tree.Name, name: tree.Name, span: Span, scope: Scope) -> Typed:
        tool = scope.result
        if tool is None:
            self._not_readable("result", word.span, scope, "`result` is read in the arguments of `then`")
            return bad(span)
        for param in tool.results:
            if param.name == name.text:
                return Typed("result", (name.text,), param.type, span)
        self._no_member(name, f"the results of `{tool.name}`", {param.name: param.span for param in tool.results})
        return bad(span)

    def _error(self, word: tree.Name, name: tree.Name, span: Span, scope: Scope) -> Typed:
        if not scope.error:
            self._not_readable("error", word.span, scope, "`error` is read in the arguments of `else` and `unknown`")
            return bad(span)
        if name.text not in {"kind", "text"}:
            self._no_member(name, "`error`", {"kind": None, "text": None})
            return bad(span)
        return Typed("error", (name.text,), STRING, span)

    def _before(self, inner: tree.Expr, span: Span, scope: Scope, word: tree.Name) -> Typed:
        if not scope.setting.step:
            self._not_readable("before", word.span, scope, "what an action reads is the state before it anyway")
            return bad(span)
        value = self.infer(inner, scope.without_facts())
        return Typed("before", (value,), value.type, span)

    # literals

    def _str(self, value: str, span: Span, scope: Scope, hint: Type | None) -> Typed:
        match _plain(hint):
            case TimeT():
                return self._time(value, span)
            case PrincipalT() if scope.setting.outside:
                return literal(PRINCIPAL, value, span)
            case RefT(entity) if scope.setting.outside:
                return literal(RefT(entity), value, span)
            case EnumT(values) as type if value in values:
                self.problems.add(
                    Code.B201,
                    span,
                    f"a value of `{show(type)}` is expected, and this is a text",
                    help="leave the quotes out",
                    fix=Fix(span, value),
                )
                return bad(span)
            case _:
                return literal(STRING, value, span)

    def _time(self, value: str, span: Span) -> Typed:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.problems.add(
                Code.B214,
                span,
                f'"{value}" is not a time',
                help='write a date and time as in ISO 8601: `"2026-01-31T12:00:00Z"`',
            )
            return bad(span)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return literal(TIME, (moment - _EPOCH) // timedelta(milliseconds=1), span)

    def _none(self, span: Span, hint: Type | None) -> Typed:
        if hint is None:
            self.problems.add(
                Code.B207, span, "nothing here says of which type this `none` is", help="compare it with a field"
            )
            return bad(span)
        return bad(span) if isinstance(hint, UnknownT) else none(hint, span)

    def _collection(
        self, kind: str, items: tuple[tree.Expr, ...], span: Span, scope: Scope, hint: Type | None
    ) -> Typed:
        wanted = _plain(hint)
        element: Type | None = None
        if (isinstance(wanted, SetT) and kind == "set") or (isinstance(wanted, ListT) and kind == "list"):
            element = wanted.element
        if element is None:
            if not items:
                if not isinstance(wanted, UnknownT):
                    self._empty(kind, span)
                return bad(span)
            first = next((item for item in items if not self._flexible(item, scope)), items[0])
            element = opened(self.infer(first, scope).type)
            if isinstance(element, UnknownT):
                return bad(span)
        if isinstance(element, OptionalT):
            element = element.inner
        values = tuple(self.expect(item, element, scope) for item in items)
        bound = wanted.max if isinstance(wanted, SetT | ListT) else None
        if bound is not None and len(values) > bound:
            self.problems.add(
                Code.B206,
                span,
                f"{len(values)} elements, where at most {bound} fit",
                help=f"the type is `{show(wanted or UNKNOWN)}`",
            )
        type = SetT(opened(element)) if kind == "set" else ListT(opened(element))
        return Typed(kind, (opened(element), values), type, span)

    def _empty(self, kind: str, span: Span) -> None:
        self.problems.add(
            Code.B207,
            span,
            f"nothing here says of what this {kind} is",
            help="give it where a field or a parameter of that type is expected",
        )

    def _map(
        self, items: tuple[tuple[tree.Expr, tree.Expr], ...], span: Span, scope: Scope, hint: Type | None
    ) -> Typed:
        wanted = _plain(hint)
        if isinstance(wanted, MapT):
            key_type, value_type = wanted.key, wanted.value
            if wanted.max is not None and len(items) > wanted.max:
                self.problems.add(
                    Code.B206,
                    span,
                    f"{len(items)} entries, where at most {wanted.max} fit",
                    help=f"the type is `{show(wanted)}`",
                )
        else:
            key_type = opened(self.infer(items[0][0], scope).type)
            value_type = opened(self.infer(items[0][1], scope).type)
        pairs = tuple((self.expect(k, key_type, scope), self.expect(v, value_type, scope)) for k, v in items)
        key_type, value_type = opened(key_type), opened(value_type)
        return Typed("map", (key_type, value_type, pairs), MapT(key_type, value_type), span)

    # operators

    def _unary(self, op: str, operand: tree.Expr, span: Span, scope: Scope) -> Typed:
        if op == "not":
            return negated(self.condition(operand, scope), span)
        value = self.present(self.infer(operand, scope))
        if isinstance(value.type, UnknownT):
            return bad(span)
        if not isinstance(value.type, IntT | DecimalT | DurationT):
            self.problems.add(
                Code.B204,
                span,
                f"`-` has no meaning for a `{show(value.type)}`",
                help="it is for numbers and durations",
            )
            return bad(span)
        return folded(Typed("neg", (value,), opened(value.type), span))

    def _binary(self, expr: tree.Binary, scope: Scope, hint: Type | None) -> Typed:
        op, span = expr.op, expr.span
        match op:
            case "and":
                left = self.condition(expr.left, scope)
                return binary(op, left, self.condition(expr.right, scope.knowing(facts(left)[0])), BOOL, span)
            case "or":
                left = self.condition(expr.left, scope)
                return binary(op, left, self.condition(expr.right, scope.knowing(facts(left)[1])), BOOL, span)
            case "implies":
                left = self.condition(expr.left, scope)
                return binary(op, left, self.condition(expr.right, scope.knowing(facts(left)[0])), BOOL, span)
            case "==" | "!=":
                return self._equal(expr, scope)
            case "<" | "<=" | ">" | ">=":
                return self._order(expr, scope)
            case "in":
                return self._in(expr, scope)
            case "not in":
                return negated(self._in(expr, scope), span)
            case "??":
                return self._default(expr, scope, hint)
            case _:
                return self._arithmetic(expr, scope, hint)

    def _pair(self, expr: tree.Binary, scope: Scope, hint: Type | None = None) -> tuple[Typed, Typed]:
        """Return both sides; the one whose meaning needs an expected type takes the other's."""
        if self._flexible(expr.left, scope) and not self._flexible(expr.right, scope):
            right = self.infer(expr.right, scope, hint)
            return self.infer(expr.left, scope, hint or right.type), right
        left = self.infer(expr.left, scope, hint)
        return left, self.infer(expr.right, scope, hint or left.type)

    def _flexible(self, expr: tree.Expr, scope: Scope) -> bool:
        """Return whether what this means depends on the type that is expected."""
        match expr:
            case tree.NoneValue() | tree.Str():
                return True
            case tree.Ref(name):
                text = name.text
                entity = scope.entity
                return not (
                    text in scope.locals
                    or text in WORDS
                    or (
                        entity is not None and (text in entity.fields or text in entity.lets or text in entity.inverses)
                    )
                    or text in self.world.consts
                )
            case tree.SetOf(items) | tree.ListOf(items):
                return all(self._flexible(item, scope) for item in items)
            case tree.IfExpr(_, then, otherwise):
                return self._flexible(then, scope) and self._flexible(otherwise, scope)
            case _:
                return False

    def _equal(self, expr: tree.Binary, scope: Scope) -> Typed:
        left, right = self._pair(expr, scope)
        for this, other in ((left, right), (right, left)):
            if other.op == "none" and not isinstance(this.type, OptionalT | UnknownT):
                if this.op == "value":
                    continue
                name = spelt(this)
                self.problems.add(
                    Code.B203,
                    this.span,
                    f"{_quoted(name)} is never `none`",
                    label=f"this is a `{show(this.type)}`",
                    help="leave the comparison out, or declare the field with a `?`",
                )
                return bad(expr.span)
        united = self._unite(left, right)
        if united is None:
            self._different(left, right, expr.span)
            return bad(expr.span)
        return binary(expr.op, *united, BOOL, expr.span)

    def _order(self, expr: tree.Binary, scope: Scope) -> Typed:
        left, right = self._pair(expr, scope)
        left, right = self.present(left), self.present(right)
        for value in (left, right):
            if not ordered(value.type):
                self.problems.add(
                    Code.B204,
                    value.span,
                    f"`{expr.op}` has no meaning for a `{show(value.type)}`",
                    help="numbers, times and durations have an order",
                )
                return bad(expr.span)
        united = self._unite(left, right)
        if united is None:
            self._different(left, right, expr.span)
            return bad(expr.span)
        return binary(expr.op, *united, BOOL, expr.span)

    def _different(self, left: Typed, right: Typed, span: Span) -> None:
        help = "both sides of a comparison are of one type"
        if {type(left.type), type(right.type)} == {EnumT, StringT}:
            help = "a value of an enumeration stands without quotes"
        self.problems.add(
            Code.B205,
            span,
            f"a `{show(left.type)}` is compared with a `{show(right.type)}`",
            help=help,
            beside=((left.span, f"`{show(left.type)}`"), (right.span, f"`{show(right.type)}`")),
        )

    def _unite(self, left: Typed, right: Typed) -> tuple[Typed, Typed] | None:
        """Return both as values of one type, or `None` where there is none."""
        a, b = left.type, right.type
        if isinstance(a, UnknownT) or isinstance(b, UnknownT) or same(a, b):
            return left, right
        if isinstance(a, OptionalT) and not isinstance(b, OptionalT) and fits(b, a):
            return left, self.coerce(right, opened(a))
        if isinstance(b, OptionalT) and not isinstance(a, OptionalT) and fits(a, b):
            return self.coerce(left, opened(b)), right
        if isinstance(a, IntT) and isinstance(b, DecimalT):
            return self.coerce(left, DECIMAL), right
        if isinstance(a, DecimalT) and isinstance(b, IntT):
            return left, self.coerce(right, DECIMAL)
        return None

    def _in(self, expr: tree.Binary, scope: Scope) -> Typed:
        if isinstance(expr.right, tree.OneOfNames):
            named = self._in_names(expr.left, expr.right, expr.span, scope)
            if named is not None:
                return named
            value = self.infer(expr.left, scope)
            within = self._collection("set", expr.right.items, expr.right.span, scope, SetT(plain(value.type)))
        elif self._flexible(expr.left, scope) and not self._flexible(expr.right, scope):
            within = self.present(self.infer(expr.right, scope))
            value = self.infer(expr.left, scope, _element(within.type))
        else:
            value = self.infer(expr.left, scope)
            within = self.present(self.infer(expr.right, scope, SetT(plain(value.type))))
        if isinstance(value.type, UnknownT) or isinstance(within.type, UnknownT):
            return bad(expr.span)
        element = _element(within.type)
        if element is None:
            self.problems.add(
                Code.B201,
                within.span,
                f"a collection is expected after `in`, and this is a `{show(within.type)}`",
                help="a set, a list or the keys of a map",
            )
            return bad(expr.span)
        if not fits(plain(value.type), element):
            self._different(value, replace(within, type=element), expr.span)
            return bad(expr.span)
        if isinstance(value.type, OptionalT):
            # `none` is in nothing: said in so many words, so that nobody has to rule on it.
            there = binary("!=", value, none(value.type.inner, value.span), BOOL, expr.span)
            inside = binary("in", self.coerce(known(value), opened(element)), within, BOOL, expr.span)
            return binary("and", there, inside, BOOL, expr.span)
        return binary("in", self.coerce(value, opened(element)), within, BOOL, expr.span)

    def _default(self, expr: tree.Binary, scope: Scope, hint: Type | None) -> Typed:
        left = self.infer(expr.left, scope, hint)
        if isinstance(left.type, UnknownT):
            self.infer(expr.right, scope, hint)
            return bad(expr.span)
        if left.op == "value":
            left = left.parts[0]
        if not isinstance(left.type, OptionalT):
            self.problems.add(
                Code.B203,
                left.span,
                f"{_quoted(spelt(left))} is never `none`",
                label=f"this is a `{show(left.type)}`",
                help="leave the `??` and what follows out",
            )
            return left
        right = self.infer(expr.right, scope, left.type.inner)
        if isinstance(right.type, OptionalT):
            return binary("??", left, self.coerce(right, opened(left.type)), opened(left.type), expr.span)
        inner = opened(left.type.inner)
        return binary("??", left, self.coerce(right, inner), inner, expr.span)

    def _arithmetic(self, expr: tree.Binary, scope: Scope, hint: Type | None) -> Typed:
        op, span = expr.op, expr.span
        of_collection = isinstance(_plain(hint), SetT | ListT)
        left, right = self._pair(expr, scope, hint if of_collection else None)
        left, right = self.present(left), self.present(right)
        if isinstance(left.type, UnknownT) or isinstance(right.type, UnknownT):
            return bad(span)
        found = self.operation(op, left, right, span)
        if found is None:
            a, b = show(left.type), show(right.type)
            self.problems.add(
                Code.B204,
                span,
                f"`{op}` has no meaning for a `{a}` and a `{b}`",
                help=_why_not(op, left.type, right.type),
                beside=((left.span, f"`{a}`"), (right.span, f"`{b}`")),
            )
            return bad(span)
        if op in {"//", "%"} and constant(right) == 0:
            self.problems.add(Code.B212, right.span, "division by zero", help="divide by something else")
        return found

    def operation(self, op: str, left: Typed, right: Typed, span: Span) -> Typed | None:
        """Return `left op right` for two values that are there, `None` where it has no meaning."""
        match op, left.type, right.type:
            case (("+" | "-" | "*" | "//" | "%"), IntT(), IntT()):
                return folded(binary(op, left, right, INT, span))
            case (("+" | "-" | "*" | "//" | "%"), (IntT() | DecimalT()), (IntT() | DecimalT())):
                return binary(op, self.coerce(left, DECIMAL), self.coerce(right, DECIMAL), DECIMAL, span)
            case (("+" | "-" | "%"), DurationT(), DurationT()):
                return folded(binary(op, left, right, DURATION, span))
            case (("+" | "-"), TimeT(), DurationT()):
                return binary(op, left, right, TIME, span)
            case "+", DurationT(), TimeT():
                return binary(op, left, right, TIME, span)
            case "-", TimeT(), TimeT():
                return binary(op, left, right, DURATION, span)
            case "*", DurationT(), IntT():
                return folded(binary(op, left, right, DURATION, span))
            case "*", IntT(), DurationT():
                return folded(binary(op, left, right, DURATION, span))
            case "//", DurationT(), IntT():
                return binary(op, left, right, DURATION, span)
            case "//", DurationT(), DurationT():
                return binary(op, left, right, INT, span)
            case "+", StringT(), StringT():
                return binary("concat", left, right, STRING, span)
            case "+", ListT(a), ListT(b) if same(a, b):
                return binary("concat", left, right, opened(left.type), span)
            case (("+" | "-" | "&"), SetT(a), SetT(b)) if same(a, b):
                name = {"+": "union", "-": "minus", "&": "intersect"}[op]
                return binary(name, left, right, opened(left.type), span)
            case _:
                return None

    def _if(
        self, condition: tree.Expr, then: tree.Expr, otherwise: tree.Expr, span: Span, scope: Scope, hint: Type | None
    ) -> Typed:
        asked = self.condition(condition, scope)
        when_true, when_false = facts(asked)
        yes_scope, no_scope = scope.knowing(when_true), scope.knowing(when_false)
        if self._flexible(then, scope) and not self._flexible(otherwise, scope):
            no = self.infer(otherwise, no_scope, hint)
            yes = self.infer(then, yes_scope, hint or no.type)
        else:
            yes = self.infer(then, yes_scope, hint)
            no = self.infer(otherwise, no_scope, hint or yes.type)
        united = self._unite(yes, no)
        if united is None:
            self.problems.add(
                Code.B201,
                span,
                f"the two ways of this `if` are a `{show(yes.type)}` and a `{show(no.type)}`",
                help="both are of one type",
                beside=((yes.span, f"`{show(yes.type)}`"), (no.span, f"`{show(no.type)}`")),
            )
            return bad(span)
        type = united[0].type if not isinstance(united[0].type, UnknownT) else united[1].type
        return Typed("if", (asked, *united), opened(type), span)

    # `is` and `in (A, B)`

    def _is(self, expr: tree.Is, scope: Scope) -> Typed:
        found = self._asked(expr.subject, ((expr.entity, expr.what),), expr.span, scope)
        if found is None:
            value = self.infer(expr.subject, scope)
            if not isinstance(value.type, UnknownT):
                op = "!=" if expr.negated else "=="
                self.problems.add(
                    Code.B204,
                    expr.span,
                    f"`is` asks about a state, a caller's role or an action, and this is a `{show(value.type)}`",
                    help=f"values are compared with `{op}`",
                )
            return bad(expr.span)
        return negated(found, expr.span) if expr.negated else found

    def _in_names(self, subject: tree.Expr, names: tree.OneOfNames, span: Span, scope: Scope) -> Typed | None:
        """Return `subject in (A, B)` where these are states, roles or actions; `None` where they are values."""
        wanted: list[tuple[tree.Name | None, tree.Name]] = []
        for item in names.items:
            match item:
                case tree.Ref(name):
                    wanted.append((None, name))
                case tree.Dot(tree.Ref(entity), name):
                    wanted.append((entity, name))
                case _:
                    return None
        return self._asked(subject, tuple(wanted), span, scope)

    def _asked(
        self,
        subject: tree.Expr,
        names: tuple[tuple[tree.Name | None, tree.Name], ...],
        span: Span,
        scope: Scope,
    ) -> Typed | None:
        match subject:
            case tree.Ref(word) if word.text == "state" and scope.entity is not None and scope.setting.fields:
                return Typed("in_state", (self._states(scope.entity, names),), BOOL, span)
            case tree.Ref(word) if word.text == "state":
                self._not_readable("state", word.span, scope, "name the entity: `r.state is A`")
                return bad(span)
            case tree.Dot(tree.Ref(word), member) if word.text == "this" and member.text == "state" and scope.entity:
                return Typed("in_state", (self._states(scope.entity, names),), BOOL, span)
            case tree.Dot(tree.Ref(word), member) if word.text == "before" and member.text == "state":
                if not scope.setting.step or scope.entity is None:
                    self._not_readable("before", word.span, scope, "what an action reads is the state before it anyway")
                    return bad(span)
                inner = Typed("in_state", (self._states(scope.entity, names),), BOOL, span)
                return Typed("before", (inner,), BOOL, span)
            case tree.Ref(word) if word.text == "caller":
                if self._word("caller", word.span, scope).op == "bad":
                    return bad(span)
                roles = [role for role in (self.role(name) for _, name in names) if role is not None]
                return any_of([Typed("has_role", (role,), BOOL, span) for role in roles], span) if roles else bad(span)
            case tree.Ref(word) if word.text == "action" and "action" not in scope.locals:
                return self._action_is(word, names, span, scope)
            case tree.Dot(base, member) if member.text == "state":
                value = self.infer(base, scope)
                if isinstance(value.type, UnknownT):
                    return bad(span)
                if not isinstance(plain(value.type), RefT):
                    self._no_member(member, f"a `{show(value.type)}`", {})
                    return bad(span)
                return self._reads_state(self.present(value), names, span, scope)
            case tree.Ref() | tree.Dot() | tree.Index():
                if isinstance(subject, tree.Ref) and self._flexible(subject, scope):
                    return None
                quiet = Problems()
                value = Typer(self.world, quiet).infer(subject, scope)
                if not isinstance(value.type, RefT):
                    return None
                return self._reads_state(self.infer(subject, scope), names, span, scope)
            case _:
                return None

    def _states(self, entity: world.Entity, names: Iterable[tuple[tree.Name | None, tree.Name]]) -> tuple[str, ...]:
        found = {state for _, name in names for state in self.states(entity, name)}
        return tuple(state for state in entity.states if state in found)

    def _reads_state(
        self, value: Typed, names: Iterable[tuple[tree.Name | None, tree.Name]], span: Span, scope: Scope
    ) -> Typed:
        assert isinstance(value.type, RefT), "asked of a reference"
        self._reads_through(span, scope)
        entity = self.world.entities[value.type.entity]
        return Typed("read_in", (value, entity.name, self._states(entity, names)), BOOL, span)

    def _action_is(
        self, word: tree.Name, names: Iterable[tuple[tree.Name | None, tree.Name]], span: Span, scope: Scope
    ) -> Typed:
        if not scope.setting.step:
            self._not_readable("action", word.span, scope, "only a property speaks of the step that was taken")
            return bad(span)
        found: list[Typed] = []
        for entity_name, name in names:
            entity = scope.entity if entity_name is None else self.entity(entity_name)
            if entity is None:
                if entity_name is None:
                    self.problems.add(
                        Code.B108,
                        name.span,
                        f"nothing here says of which entity `{name.text}` is an action",
                        help=f"name it: `action is Entity.{name.text}`",
                    )
                continue
            action = self.action(entity, name)
            if action is not None:
                found.append(Typed("action_is", (entity.name, action.name), BOOL, span))
        return any_of(found, span) if found else bad(span)

    # functions, collections

    def _apply(self, name: tree.Name, args: tuple[tree.Arg, ...], span: Span, scope: Scope, hint: Type | None) -> Typed:
        text = name.text
        if text in self.world.records:
            return self._record(text, args, span, scope)
        if text not in FUNCTIONS:
            if text in self.world.entities:
                self.problems.add(
                    Code.B117,
                    name.span,
                    f"`{text}` is an entity, and is not made in an expression",
                    help=f"use the clause `create {text}.Action(...)`",
                )
            else:
                known_names: dict[str, Span | None] = dict.fromkeys((*FUNCTIONS, "count", "sum", "first", "all", "any"))
                known_names |= {record.name: record.node.name.span for record in self.world.records.values()}
                self.problems.unknown(
                    Code.B117,
                    name.span,
                    "function",
                    text,
                    known_names,
                    help="the functions are `size`, `min`, `max`, `set`, `count`, `sum`, `first`, `before`",
                )
            for arg in args:
                self.infer(arg.value, scope)
            return bad(span)
        values = [arg.value for arg in args]
        least, most = (2, None) if text in {"min", "max"} else (1, 1)
        if len(values) < least or (most is not None and len(values) > most):
            self.problems.add(
                Code.B208,
                span,
                f"`{text}` takes {'two values or more' if most is None else 'one value'}",
                help=f"write `{text}(a, b)`" if most is None else f"write `{text}(x)`",
            )
            return bad(span)
        match text:
            case "before":
                return self._before(values[0], span, scope, name)
            case "size":
                value = self.present(self.infer(values[0], scope))
                if isinstance(value.type, UnknownT):
                    return bad(span)
                if _element(value.type) is None:
                    self._not_a_collection(value)
                    return bad(span)
                return Typed("size", (value,), INT, span)
            case "set":
                element = _element(_plain(hint)) if hint is not None else None
                value = self.present(self.infer(values[0], scope, None if element is None else ListT(element)))
                match value.type:
                    case UnknownT():
                        return bad(span)
                    case ListT(inner):
                        return Typed("to_set", (value,), SetT(opened(inner)), span)
                    case SetT():
                        return value
                    case _:
                        self._not_a_collection(value)
                        return bad(span)
            case _:
                return self._least(text, values, span, scope)

    def _least(self, name: str, values: list[tree.Expr], span: Span, scope: Scope) -> Typed:
        found = self.present(self.infer(values[0], scope))
        for expr in values[1:]:
            value = self.present(self.infer(expr, scope, found.type))
            if isinstance(found.type, UnknownT) or isinstance(value.type, UnknownT):
                return bad(span)
            united = self._unite(found, value)
            if united is None or not ordered(united[0].type):
                self.problems.add(
                    Code.B204,
                    span,
                    f"`{name}` has no meaning for a `{show(found.type)}` and a `{show(value.type)}`",
                    help="it is for numbers, times and durations, of one type",
                )
                return bad(span)
            found = Typed(name, united, opened(united[0].type), span)
        return found

    def _record(self, record: str, args: tuple[tree.Arg, ...], span: Span, scope: Scope) -> Typed:
        fields = self.world.records[record].fields or ()
        given = dict(self.arguments(args, fields, scope, span, f"`{record}`"))
        values: list[Typed] = []
        for field in fields:
            if field.name in given:
                values.append(given[field.name])
            elif field.default is not None:
                values.append(replace(field.default, span=span))
            elif isinstance(field.type, OptionalT):
                values.append(none(field.type, span))
            else:
                return bad(span)
        return Typed("record", (record, tuple(values)), RecordT(record), span)

    def _index(self, base: tree.Expr, index: tree.Expr, span: Span, scope: Scope) -> Typed:
        value = self.present(self.infer(base, scope))
        match value.type:
            case UnknownT():
                return bad(span)
            case ListT(element):
                return Typed("index", (value, self.expect(index, INT, scope)), OptionalT(opened(element)), span)
            case MapT(key_type, element):
                wanted = self.expect(index, opened(key_type), scope)
                return Typed("get", (value, wanted), OptionalT(opened(element)), span)
            case _:
                self.problems.add(
                    Code.B204,
                    span,
                    f"a `{show(value.type)}` has no elements to pick by `[...]`",
                    help="lists are indexed by position, maps by key; of a set, take `first(x in s: ...)`",
                )
                return bad(span)

    def over(self, expr: tree.Expr, scope: Scope) -> tuple[Typed, Type]:
        """Return a collection, and the type of what it ranges over."""
        if isinstance(expr, tree.Ref) and expr.name.text in self.world.entities and scope.setting.every:
            name = expr.name.text
            self.problems.not_yet(
                Code.B906,
                expr.span,
                f"this ranges over every `{name}`",
                help="say what must hold of one entity, inside it",
            )
            return Typed("every", (name,), SetT(RefT(name)), expr.span), RefT(name)
        value = self.present(self.infer(expr, scope))
        if isinstance(value.type, UnknownT):
            return value, UNKNOWN
        element = _element(value.type)
        if element is None:
            self._not_a_collection(value)
            return value, UNKNOWN
        return value, element

    def _not_a_collection(self, value: Typed) -> None:
        self.problems.add(
            Code.B201,
            value.span,
            f"a collection is expected, and this is a `{show(value.type)}`",
            help="sets, lists and maps are collections",
        )

    def _bind(self, var: tree.Name, over: tree.Expr, scope: Scope) -> tuple[Typed, Scope]:
        collection, element = self.over(over, scope)
        self.shadows(var, scope)
        return collection, self._every_scope(collection, scope).naming(
            var.text, Local("var", opened(element), var.span)
        )

    def _every_scope(self, collection: Typed, scope: Scope) -> Scope:
        """Return the scope in which all entities of a kind are read: that is not one of the reads told apart."""
        if collection.op != "every":
            return scope
        return replace(scope, setting=replace(scope.setting, through=True))

    def _quantifier(
        self, kind: str, var: tree.Name, over: tree.Expr, body: tree.Expr, span: Span, scope: Scope
    ) -> Typed:
        collection, inner = self._bind(var, over, scope)
        if kind == "sum":
            value = self.present(self.infer(body, inner))
            if not isinstance(value.type, IntT | DecimalT | DurationT | UnknownT):
                self.problems.add(
                    Code.B204,
                    value.span,
                    f"a `{show(value.type)}` can't be added up",
                    help="numbers and durations can",
                )
                return bad(span)
            return Typed("sum", (var.text, collection, value), opened(value.type), span)
        condition = self.condition(body, inner)
        type: Type = BOOL
        if kind == "count":
            type = INT
        elif kind == "first":
            type = OptionalT(inner.locals[var.text].type)
        return Typed(kind, (var.text, collection, condition), type, span)

    def _filter(self, var: tree.Name, over: tree.Expr, body: tree.Expr, span: Span, scope: Scope) -> Typed:
        collection, inner = self._bind(var, over, scope)
        condition = self.condition(body, inner)
        if isinstance(collection.type, UnknownT):
            return bad(span)
        return Typed("filter", (var.text, collection, condition), SetT(inner.locals[var.text].type), span)

    def _mapped(
        self, kind: str, body: tree.Expr, var: tree.Name, over: tree.Expr, span: Span, scope: Scope, hint: Type | None
    ) -> Typed:
        collection, inner = self._bind(var, over, scope)
        value = self.present(self.infer(body, inner, _element(_plain(hint)) if hint is not None else None))
        if isinstance(value.type, UnknownT):
            return bad(span)
        type = SetT(opened(value.type)) if kind == "set" else ListT(opened(value.type))
        return Typed(f"map_{kind}", (var.text, collection, value), type, span)

    # what does not fit

    def _mismatch(self, value: Typed, want: Type) -> Typed:
        help: str | None = None
        match plain(want), plain(value.type):
            case BoolT(), _:
                help = "a condition compares something: `x > 0`, `x == y`, `x != none`"
            case StringT(), _:
                help = "texts are made of texts"
            case IntT(), DecimalT():
                help = "a decimal is no int, even where it is whole"
            case DurationT(), IntT():
                help = "write the unit: `30s`, `5m`, `24h`, `7d`"
            case IntT(), DurationT():
                help = "divide it by a duration: `d // 1s`"
            case RefT(name), _:
                help = f"a reference to a `{name}` is expected"
            case EnumT(values), _:
                help = f"one of {listed(values)}"
            case SetT(), element if fits(element, _element(want) or want):
                help = "write a set of one in braces: `{x}`"
            case ListT(), element if fits(element, _element(want) or want):
                help = "write a list of one in brackets: `[x]`"
            case PrincipalT(), StringT():
                help = "a principal comes from outside: read a field, a parameter or `caller`"
            case _:
                pass
        self.problems.add(
            Code.B201,
            value.span,
            f"a `{show(want)}` is expected, and this is a `{show(value.type)}`",
            help=help,
        )
        return bad(value.span)

    def _in_range(self, value: Typed, want: Type) -> None:
        found = constant(value)
        if isinstance(found, bool) or not isinstance(want, IntT | DecimalT) or not isinstance(found, int | Decimal):
            return
        if (want.low is not None and found < want.low) or (want.high is not None and found > want.high):
            self.problems.add(
                Code.B206,
                value.span,
                f"{found} is outside of `{show(want)}`",
                help="give a value inside, or widen the type",
            )


def spelt(value: Typed) -> str | None:
    """Return a name for an expression that is a name, as the author wrote it."""
    match value.op:
        case "field" | "param" | "let" | "var" | "created" | "inverse":
            return str(value.parts[0])
        case "before":
            inner = spelt(value.parts[0])
            return None if inner is None else f"before.{inner}"
        case "read" | "dot":
            inner = spelt(value.parts[0])
            return None if inner is None else f"{inner}.{value.parts[2]}"
        case "result":
            return f"result.{value.parts[0]}"
        case "value" | "some":
            return spelt(value.parts[0])
        case _:
            return None


def _quoted(name: str | None) -> str:
    return "this" if name is None else f"`{name}`"


def _plain(hint: Type | None) -> Type | None:
    return None if hint is None else plain(hint)


def _element(type: Type | None) -> Type | None:
    """Return the type of a collection's elements (a map's keys), `None` for anything else."""
    match type:
        case SetT(element) | ListT(element):
            return element
        case MapT(key_type):
            return key_type
        case _:
            return None


def _signature(params: tuple[Param, ...]) -> str:
    if not params:
        return "nothing"
    return f"`({', '.join(f'{param.name}: {show(param.type)}' for param in params)})`"


def _count(number: int) -> str:
    return {0: "nothing", 1: "one argument"}.get(number, f"{number} arguments")


def _why_not(op: str, left: Type, right: Type) -> str:
    match op, left, right:
        case _, TimeT(), IntT():
            return "a time takes a duration: `30s`, `5m`, `24h`"
        case _, DurationT(), IntT():
            return "write the unit: `30s`, `5m`, `24h`"
        case (("+" | "-"), SetT(element), other) if fits(other, element):
            return "write a set of one in braces: `{x}`"
        case "+", ListT(element), other if fits(other, element):
            return "write a list of one in brackets: `[x]`"
        case "+", StringT(), _:
            return "`+` joins two texts; other values are not turned into text"
        case "&", _, _:
            return "`&` is for two sets; conditions are joined by `and`"
        case _:
            return "it is for two numbers, durations, or a time and a duration; `+` also joins texts, lists and sets"


def _foreign(text: str) -> str | None:
    match text:
        case "null" | "nil" | "undefined" | "None":
            return "write `none`"
        case "True" | "False":
            return f"write `{text.lower()}`"
        case "self":
            return "write `this`"
        case _:
            return None
