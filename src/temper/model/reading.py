"""Names in expressions: fields, parameters, constants, the words of the language, and what stands after a dot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from temper.model import world
from temper.model.fit import Fitter, plainly
from temper.model.problems import Problems, listed
from temper.model.scope import CONSTANT, LET, Scope
from temper.model.typed import Typed, bad, literal
from temper.model.types import (
    PRINCIPAL,
    STRING,
    TIME,
    EnumT,
    ListT,
    PrincipalT,
    RecordT,
    RefT,
    SetT,
    Type,
    UnknownT,
    one,
    plain,
    show,
)
from temper.model.world import Phase, World
from temper.syntax import tree
from temper.text import Code, Fix, Span

WORDS = ("this", "caller", "now", "state", "id", "created_at")


class NameReader(Fitter):
    """Types names and members."""

    def __init__(self, names: World, problems: Problems) -> None:
        super().__init__(names, problems)
        self._open_lets: list[str] = []

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

    # --- names --------------------------------------------------------------------------------------------------------

    def _ref(self, name: tree.Name, scope: Scope, hint: Type | None) -> Typed:
        text, span = name.text, name.span
        wanted = plainly(hint)
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

    def _unresolved(self, name: tree.Name, scope: Scope, wanted: Type | None) -> Typed:
        text, span = name.text, name.span
        entity = scope.entity
        if scope.result is not None and any(param.name == text for param in scope.result.results):
            self.problems.add(
                Code.B106,
                span,
                f"unknown name `{text}`",
                help=f"did you mean `result.{text}`, which the tool answers?",
                fix=Fix(span, f"result.{text}"),
            )
        elif text in {"result", "error"}:
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
            if isinstance(wanted, UnknownT):
                return bad(span)  # What would have said its type is wrong, and that has been told.
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
        elif isinstance(wanted, PrincipalT) and scope.setting.outside:
            self.problems.add(
                Code.B106,
                span,
                f"unknown name `{text}`",
                help=f'a principal is written as text here: `"{text}"`',
                fix=Fix(span, f'"{text}"'),
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
        return Typed("inverse", (inverse.name,), SetT(RefT(inverse.entity), inverse.max), span)

    # --- members ------------------------------------------------------------------------------------------------------

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
                    f"{one(value.type)} has no parts",
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
        return Typed("read", (value, entity.name, name.text), field.type, span)

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
