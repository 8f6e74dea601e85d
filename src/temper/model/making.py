"""Literals, collections, and the functions over them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from temper.model.fit import element_of, plainly
from temper.model.reading import NameReader
from temper.model.scope import Local, Scope
from temper.model.typed import Typed, bad, literal, none
from temper.model.types import (
    BOOL,
    INT,
    PRINCIPAL,
    STRING,
    TIME,
    UNKNOWN,
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
    TimeT,
    Type,
    UnknownT,
    one,
    opened,
    ordered,
    show,
)
from temper.syntax import tree
from temper.text import Code, Fix, Span

FUNCTIONS = ("size", "min", "max", "set", "before")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CollectionReader(NameReader):
    """Types what makes values and what ranges over them."""

    # --- literals -----------------------------------------------------------------------------------------------------

    def _str(self, value: str, span: Span, scope: Scope, hint: Type | None) -> Typed:
        match plainly(hint):
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
        wanted = plainly(hint)
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
        wanted = plainly(hint)
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

    # --- functions ----------------------------------------------------------------------------------------------------

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
                if element_of(value.type) is None:
                    self._not_a_collection(value)
                    return bad(span)
                return Typed("size", (value,), INT, span)
            case "set":
                element = element_of(plainly(hint)) if hint is not None else None
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
            united = self.unite(found, value)
            if united is None or not ordered(united[0].type):
                self.problems.add(
                    Code.B204,
                    span,
                    f"`{name}` has no meaning for {one(found.type)} and {one(value.type)}",
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
                    f"{one(value.type)} has no elements to pick by `[...]`",
                    help="lists are indexed by position, maps by key; of a set, take `first(x in s: ...)`",
                )
                return bad(span)

    # --- quantifiers and comprehensions -------------------------------------------------------------------------------

    def over(self, expr: tree.Expr, scope: Scope) -> tuple[Typed, Type]:
        """Return a collection, and the type of what it ranges over."""
        if isinstance(expr, tree.Ref) and expr.name.text in self.world.entities and scope.setting.every:
            name = expr.name.text
            return Typed("every", (name,), SetT(RefT(name)), expr.span), RefT(name)
        value = self.present(self.infer(expr, scope))
        if isinstance(value.type, UnknownT):
            return value, UNKNOWN
        element = element_of(value.type)
        if element is None:
            self._not_a_collection(value)
            return value, UNKNOWN
        return value, element

    def _not_a_collection(self, value: Typed) -> None:
        self.problems.add(
            Code.B201,
            value.span,
            f"a collection is expected, and this is {one(value.type)}",
            help="sets, lists and maps are collections",
        )

    def _bind(self, var: tree.Name, over: tree.Expr, scope: Scope) -> tuple[Typed, Scope]:
        collection, element = self.over(over, scope)
        self.shadows(var, scope)
        return collection, scope.naming(var.text, Local("var", opened(element), var.span))

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
                    f"{one(value.type)} can't be added up",
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
        value = self.present(self.infer(body, inner, element_of(plainly(hint)) if hint is not None else None))
        if isinstance(value.type, UnknownT):
            return bad(span)
        type = SetT(opened(value.type)) if kind == "set" else ListT(opened(value.type))
        return Typed(f"map_{kind}", (var.text, collection, value), type, span)
