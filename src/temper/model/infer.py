"""Expressions: from what is written to what is meant, with a type for every part."""

from __future__ import annotations

from temper.model.fit import plainly
from temper.model.operators import OperatorReader
from temper.model.scope import Scope
from temper.model.typed import Typed, bad, key, known, literal
from temper.model.types import BOOL, DECIMAL, DURATION, INT, MapT, OptionalT, Type
from temper.syntax import tree
from temper.text import Code


class Typer(OperatorReader):
    """Types expressions against a world, and says what is wrong with them."""

    def infer(self, expr: tree.Expr, scope: Scope, hint: Type | None = None) -> Typed:
        """Return the expression with its own type; `hint` (the type that is expected, if any) only decides what bare
        names and empty collections mean."""
        found = self._infer(expr, scope, hint)
        if scope.known and isinstance(found.type, OptionalT) and key(found) in scope.known:
            return known(found)
        return found

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
                if not items and isinstance(plainly(hint), MapT):
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
