"""Types, and the values that stand behind a `=`."""

from __future__ import annotations

from temper.syntax import tree as t
from temper.syntax.expressions import ExpressionReader
from temper.syntax.lexer import DEC, INT, LOWER, STRING, UPPER, unquote
from temper.syntax.reader import DEPTH_MAX
from temper.syntax.words import (
    BASE_TYPES,
    NEGATIVE_PRECEDENCE,
    POSTFIX_PRECEDENCE,
)
from temper.text import Code, Fix

_FOREIGN_TYPES = {
    "float": "decimal", "double": "decimal", "number": "decimal", "numeric": "decimal", "money": "decimal",
    "integer": "int", "long": "int", "uint": "int", "i32": "int", "i64": "int", "u32": "int", "u64": "int",
    "str": "string", "text": "string", "uuid": "string", "url": "string", "varchar": "string", "char": "string",
    "boolean": "bool", "datetime": "time", "timestamp": "time", "date": "time", "instant": "time",
    "timedelta": "duration", "interval": "duration", "user": "principal",
}  # fmt: skip
_COLLECTION_HELP = "a collection is written `set of T max 8`, `list of T max 8` or `map of K to V max 8`"


class TypeReader(ExpressionReader):
    """Reads types."""

    def type(self) -> t.TypeExpr:
        """Return the type where we are."""
        self.depth += 1
        first = self.i
        if self.depth > DEPTH_MAX:
            self.fail(
                Code.B016, "the type is nested too deep", self.here(), help=f"at most {DEPTH_MAX} levels can be read"
            )
            node: t.TypeExpr = t.BadType(span=self.here())
        else:
            node = self.plain_type()
            if self.texts[self.i] == "[" and self.texts[self.i + 1] == "]" and not self.panic:
                self.fail(Code.B062, "a collection is not written with `[]`", self.here(), help=_COLLECTION_HELP)
        while self.texts[self.i] in {"?", "??"}:
            text = self.texts[self.i]
            if text == "??" or isinstance(node, t.OptionalType):
                span = self.here()
                self.report(
                    Code.B062,
                    "more than one `?`",
                    span,
                    help="one `?` says that it may be `none`",
                    fix=Fix(span, "?" if text == "??" and not isinstance(node, t.OptionalType) else ""),
                )
            self.i += 1
            if not isinstance(node, t.OptionalType):
                node = t.OptionalType(node, span=self.span(first))
        self.depth -= 1
        return node

    def plain_type(self) -> t.TypeExpr:
        i = self.i
        kind, text = self.kinds[i], self.texts[i]
        if kind > UPPER:
            if text in {"[", "{"}:
                self.fail_here("a type", code=Code.B062, help=_COLLECTION_HELP)
            elif kind == STRING or text == "(":
                self.fail_here("a type", code=Code.B062, help="an enumeration is written `one of (low, high)`")
            elif kind == INT or text == "-":
                self.fail_here(
                    "a type",
                    code=Code.B062,
                    help="a range follows its type: `int 0..64`",
                    fix=self.insert(" int ", before=i) if kind == INT and self.texts[i + 1] == ".." else None,
                )
            else:
                self.fail_here("a type", code=Code.B062, help=f"types are `{'`, `'.join(BASE_TYPES)}`, ...")
            return t.BadType(span=self.here())
        following = self.texts[i + 1]
        if text in {"int", "decimal"}:
            self.i = i + 1
            return self.number_type(text, i)
        if text == "one" and following == "of":
            return self.enum_type()
        if text in {"set", "list", "map"} and following == "of":
            return self.collection_type(text)
        self.i = i + 1
        if text in BASE_TYPES or (kind == UPPER and "_" not in text and following not in {"[", "<", "of"}):
            name = t.Name(text, span=self.token_span(i))
            return t.NamedType(name, span=name.span)
        self.i = i
        return self.unknown_type(text, following)

    def unknown_type(self, text: str, following: str) -> t.TypeExpr:
        i = self.i
        span = self.token_span(i)
        folded = text.lower()
        if folded in {"set", "list", "map", "array", "dict", "vector", "sequence", "optional", "maybe", "option"} or (
            following in {"[", "<"}
        ):
            help = "write `T?`" if folded in {"optional", "maybe", "option"} else _COLLECTION_HELP
            self.fail(
                Code.B062,
                f"a type can't be written as `{text}{following if following in '[<' else ''}`",
                span,
                help=help,
            )
            return t.BadType(span=span)
        if folded in {"enum", "oneof", "choice", "one"}:
            self.fail(
                Code.B062,
                f"a type can't be written as `{text}`",
                span,
                help="an enumeration is written `one of (low, high)`",
            )
            return t.BadType(span=span)
        meant = _FOREIGN_TYPES.get(folded) or self.guess(text, BASE_TYPES)
        if meant is not None:
            self.report(
                Code.B061, f"unknown type `{text}`", span, help=f"did you mean `{meant}`?", fix=Fix(span, meant)
            )
            self.i += 1
            if meant in {"int", "decimal"}:
                return self.number_type(meant, i)
            return t.NamedType(t.Name(meant, span=span), span=span)
        self.report(
            Code.B061,
            f"unknown type `{text}`",
            span,
            help=f"types are `{'`, `'.join(BASE_TYPES)}`, `one of (...)`, collections, and names such as `Order`",
        )
        self.i += 1
        return t.BadType(span=span)

    def number_type(self, kind: str, first: int) -> t.TypeExpr:
        """Return the type with its range, of which one end may be open."""
        texts = self.texts
        low: t.Expr | None = None
        if texts[self.i] != "..":
            if self.kinds[self.i] in {INT, DEC} or (texts[self.i] == "-" and self.kinds[self.i + 1] in {INT, DEC}):
                low = self.range_end()
                if texts[self.i] != "..":
                    if texts[self.i] in {"-", "to"} and self.kinds[self.i + 1] == INT:
                        span = self.here()
                        message = f"a range is not written with `{texts[self.i]}`"
                        self.report(Code.B062, message, span, help="write `..`", fix=Fix(span, ".."))
                        self.i += 1
                        return t.NumberType(kind, low, self.range_end(), ranged=True, span=self.span(first))
                    self.fail_here("`..`", code=Code.B062, help="a range is written `0..64`, or `0..` with an open end")
                    return t.NumberType(kind, low, None, ranged=True, span=self.span(first))
            elif self.kinds[self.i] == LOWER and texts[self.i + 1] == "..":
                low = self.range_end()
            else:
                if texts[self.i] in {"(", "["} and self.kinds[self.i + 1] == INT:
                    self.fail_here("`..`", code=Code.B062, help=f"a range is written `{kind} 0..64`")
                return t.NumberType(kind, span=self.span(first))
        self.i += 1
        high: t.Expr | None = None
        i = self.i
        if (
            self.kinds[i] in {INT, DEC}
            or (texts[i] == "-" and self.kinds[i + 1] in {INT, DEC})
            or (self.kinds[i] == LOWER and (texts[i] not in {"max", "to"} or self.starts[i] == self.ends[i - 1]))
        ):
            high = self.range_end()
        return t.NumberType(kind, low, high, ranged=True, span=self.span(first))

    def range_end(self) -> t.Expr:
        return self.operand(NEGATIVE_PRECEDENCE) if self.kinds[self.i] != LOWER else self.constant()

    def constant(self) -> t.Expr:
        name = self.name("a constant")
        assert name is not None, "a word is next"
        return t.Ref(name, span=name.span)

    def enum_type(self) -> t.TypeExpr:
        i = self.i
        self.i = i + 2
        if not self.expect("(", help="an enumeration is written `one of (low, high)`"):
            return t.BadType(span=self.token_span(i))
        values: list[t.Name] = []
        while True:
            if values and self.trailing_comma():
                break
            if self.kinds[self.i] == STRING:
                span = self.here()
                meant = "".join(
                    char if char.isalnum() and char.isascii() else "_" for char in unquote(self.texts[self.i])
                )
                self.report(
                    Code.B062,
                    "a value of an enumeration is a bare word",
                    span,
                    help="write it without quotes",
                    fix=Fix(span, meant.lower()) if meant and not meant[0].isdigit() else None,
                )
                values.append(t.Name(meant.lower(), span=span))
                self.i += 1
            else:
                value = self.lower("a value")
                if value is None:
                    return t.BadType(span=self.token_span(i))
                values.append(value)
            if not self.take(","):
                break
        self.close(")")
        return t.EnumType(tuple(values), span=self.span(i))

    def collection_type(self, kind: str) -> t.TypeExpr:
        i = self.i
        self.i = i + 2
        element = self.type()
        if kind == "map":
            if not self.panic and self.texts[self.i] == ",":
                span = self.here()
                self.report(
                    Code.B062,
                    "unexpected `,` in a map's type",
                    span,
                    help="write `map of K to V`",
                    fix=Fix(span, " to"),
                )
                self.i += 1
            else:
                self.expect("to", help="a map is written `map of K to V max 8`")
            value = self.type()
            return t.MapType(element, value, self.max(), span=self.span(i))
        return t.CollectionType(kind, element, self.max(), span=self.span(i))

    def max(self) -> t.Expr | None:
        if self.panic or not self.take("max"):
            return None
        if self.kinds[self.i] == INT:
            return self.operand(POSTFIX_PRECEDENCE)
        if self.kinds[self.i] == LOWER:
            return self.constant()
        self.fail_here("a number after `max`")
        return self.bad()

    def equals(self, help: str) -> None:
        if self.texts[self.i] == "==":
            span = self.here()
            self.report(Code.B052, "`==` compares", span, help=f"{help}, with one `=`", fix=Fix(span, "="))
            self.i += 1
        elif self.texts[self.i] == ":" and not self.panic:
            span = self.here()
            self.report(Code.B035, "expected `=`, found `:`", span, help=help, fix=Fix(span, " ="))
            self.i += 1
        elif not self.panic:
            self.expect("=", help=help)

    def default(self) -> t.Expr | None:
        if self.panic:
            return None
        if self.texts[self.i] in {"=", "=="}:
            self.equals("a default is written `name: type = value`")
            return self.expr()
        if self.texts[self.i] == "default":
            span = self.here()
            self.report(Code.B035, "expected `=`, found `default`", span, help="write `= value`", fix=Fix(span, "="))
            self.i += 1
            return self.expr()
        return None
