"""Operators, and the questions `is` and `in`."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from temper.model import world
from temper.model.fit import element_of, plainly, quoted, spelt
from temper.model.making import CollectionReader
from temper.model.scope import Scope
from temper.model.typed import Typed, any_of, bad, binary, constant, facts, folded, known, negated, none
from temper.model.types import (
    BOOL,
    DECIMAL,
    DURATION,
    INT,
    STRING,
    TIME,
    DecimalT,
    DurationT,
    IntT,
    ListT,
    OptionalT,
    RefT,
    SetT,
    StringT,
    TimeT,
    Type,
    UnknownT,
    fits,
    one,
    opened,
    ordered,
    plain,
    same,
    show,
)
from temper.syntax import tree
from temper.text import Code, Span


class OperatorReader(CollectionReader):
    """Types operators."""

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
                f"`-` has no meaning for {one(value.type)}",
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
                    f"{quoted(name)} is never `none`",
                    label=f"this is {one(this.type)}",
                    help="leave the comparison out, or declare the field with a `?`",
                )
                return bad(expr.span)
        united = self.unite(left, right)
        if united is None:
            self.different(left, right, expr.span)
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
                    f"`{expr.op}` has no meaning for {one(value.type)}",
                    help="numbers, times and durations have an order",
                )
                return bad(expr.span)
        united = self.unite(left, right)
        if united is None:
            self.different(left, right, expr.span)
            return bad(expr.span)
        return binary(expr.op, *united, BOOL, expr.span)

    def _in(self, expr: tree.Binary, scope: Scope) -> Typed:
        if isinstance(expr.right, tree.OneOfNames):
            names = _state_names(expr.right)
            named = self._asked(expr.left, names, expr.span, scope)
            if named is not None:
                return named
            value = self.infer(expr.left, scope)
            if isinstance(plain(value.type), RefT) and all(name.text[:1].isupper() for _, name in names):
                return self._reads_state(self.present(value), names, expr.span, scope)
            within = self._collection("set", expr.right.items, expr.right.span, scope, SetT(plain(value.type)))
        elif self._flexible(expr.left, scope) and not self._flexible(expr.right, scope):
            within = self.present(self.infer(expr.right, scope))
            value = self.infer(expr.left, scope, element_of(within.type))
        else:
            value = self.infer(expr.left, scope)
            within = self.present(self.infer(expr.right, scope, SetT(plain(value.type))))
        if isinstance(value.type, UnknownT) or isinstance(within.type, UnknownT):
            return bad(expr.span)
        element = element_of(within.type)
        if element is None:
            self.problems.add(
                Code.B201,
                within.span,
                f"a collection is expected after `in`, and this is {one(within.type)}",
                help="a set, a list or the keys of a map",
            )
            return bad(expr.span)
        if not fits(plain(value.type), element):
            self.different(value, replace(within, type=element), expr.span)
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
                f"{quoted(spelt(left))} is never `none`",
                label=f"this is {one(left.type)}",
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
        of_collection = isinstance(plainly(hint), SetT | ListT)
        left, right = self._pair(expr, scope, hint if of_collection else None)
        left, right = self.present(left), self.present(right)
        if isinstance(left.type, UnknownT) or isinstance(right.type, UnknownT):
            return bad(span)
        found = self.operation(op, left, right, span)
        if found is None:
            self.problems.add(
                Code.B204,
                span,
                f"`{op}` has no meaning for {one(left.type)} and {one(right.type)}",
                help=_why_not(op, left.type, right.type),
                beside=((left.span, f"`{show(left.type)}`"), (right.span, f"`{show(right.type)}`")),
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
        united = self.unite(yes, no)
        if united is None:
            self.problems.add(
                Code.B201,
                span,
                f"the two ways of this `if` are {one(yes.type)} and {one(no.type)}",
                help="both are of one type",
                beside=((yes.span, f"`{show(yes.type)}`"), (no.span, f"`{show(no.type)}`")),
            )
            return bad(span)
        type = united[0].type if not isinstance(united[0].type, UnknownT) else united[1].type
        return Typed("if", (asked, *united), opened(type), span)

    # --- `is`, and `in (A, B)` ----------------------------------------------------------------------------------------

    def _is(self, expr: tree.Is, scope: Scope) -> Typed:
        names = ((expr.entity, expr.what),)
        found = self._asked(expr.subject, names, expr.span, scope)
        if found is None:
            value = self.infer(expr.subject, scope)
            if isinstance(plain(value.type), RefT):
                found = self._reads_state(self.present(value), names, expr.span, scope)
            elif not isinstance(value.type, UnknownT):
                op = "!=" if expr.negated else "=="
                self.problems.add(
                    Code.B204,
                    expr.span,
                    f"`is` asks about a state, a caller's role or an action, and this is {one(value.type)}",
                    help=f"values are compared with `{op}`",
                )
        if found is None:
            return bad(expr.span)
        return negated(found, expr.span) if expr.negated else found

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
                    self._no_member(member, one(value.type), {})
                    return bad(span)
                return self._reads_state(self.present(value), names, span, scope)
            case _:
                return None

    def _states(self, entity: world.Entity, names: Iterable[tuple[tree.Name | None, tree.Name]]) -> tuple[str, ...]:
        found = {state for _, name in names for state in self.states(entity, name)}
        return tuple(state for state in entity.states if state in found)

    def _reads_state(
        self, value: Typed, names: Iterable[tuple[tree.Name | None, tree.Name]], span: Span, scope: Scope
    ) -> Typed:
        assert isinstance(value.type, RefT), "asked of a reference"
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


def _state_names(written: tree.OneOfNames) -> tuple[tuple[tree.Name | None, tree.Name], ...]:
    """Return the names in `(A, Entity.B)`; none where something else stands among them."""
    found: list[tuple[tree.Name | None, tree.Name]] = []
    for item in written.items:
        match item:
            case tree.Ref(name):
                found.append((None, name))
            case tree.Dot(tree.Ref(entity), name):
                found.append((entity, name))
            case _:
                return ()
    return tuple(found)


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
