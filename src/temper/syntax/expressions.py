"""Expressions: a Pratt parser, which reads operators by how tightly they bind."""

from __future__ import annotations

from decimal import Decimal

from temper.syntax import tree as t
from temper.syntax.lexer import BAD, DEC, DURATION, END, INT, STRING, UPPER, unquote
from temper.syntax.reader import DEPTH_MAX, Reader
from temper.syntax.words import (
    DURATION_UNITS,
    NEGATIVE_PRECEDENCE,
    NOT_PRECEDENCE,
    OPENERS,
    PRECEDENCE,
    QUANTIFIERS_IN_BRACKETS,
    RESERVED,
    RIGHT_ASSOCIATIVE,
)
from temper.text import Code, Fix, Label, Span

_COMPARISON = PRECEDENCE["=="]
# Reserved words that are values; the others can't be an operand.
_VALUES = frozenset(
    {"new", "this", "caller", "now", "before", "state", "result", "error", "id", "created_at", "action"}
)
_FOREIGN_VALUES = {
    "null": "none", "nil": "none", "None": "none", "NULL": "none", "undefined": "none", "Null": "none",
    "True": "true", "TRUE": "true", "False": "false", "FALSE": "false",
}  # fmt: skip


_FOREIGN_QUANTIFIERS = {
    "forall": "all", "every": "all", "each": "all", "exists": "any", "some": "any", "ForAll": "all", "Exists": "any",
}  # fmt: skip
_WORDS_OF_QUANTIFIERS = QUANTIFIERS_IN_BRACKETS | _FOREIGN_QUANTIFIERS.keys()


class ExpressionReader(Reader):
    """Reads expressions."""

    height = 0
    """How deep the tree of the last expression is."""
    path_end = -1
    """The `.` before the action of a `send` or a `with`, where the path to its target ends."""

    # --- operators

    def expr(self, least: int = 0) -> t.Expr:
        """Return the expression where we are, of operators that bind more tightly than `least`."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.depth -= 1
            return self.nested_too_deep()
        first = self.i
        return self.expr_from(self.operand(least), first, least)

    def expr_from(self, left: t.Expr, first: int, least: int) -> t.Expr:
        """Return the expression whose leftmost operand has been read; `depth` has been counted for it."""
        texts = self.texts
        height = self.height
        while True:
            op = texts[self.i]
            precedence = PRECEDENCE.get(op)
            if precedence is None:
                if op == "not" and texts[self.i + 1] == "in":
                    op, precedence = "not in", _COMPARISON
                elif op == "=>" and not self.panic:
                    span = self.here()
                    self.report(
                        Code.B008, "unknown operator `=>`", span, help="write `implies`", fix=Fix(span, "implies")
                    )
                    op, precedence = "implies", PRECEDENCE["implies"]
                elif op == "=" and least < _COMPARISON and not self.panic:
                    precedence = self.single_equals()
                    op = "=="
                else:
                    break
            if precedence <= least:
                break
            if height >= DEPTH_MAX:
                self.depth -= 1
                return self.nested_too_deep()
            op_at = self.i
            self.i += 2 if op == "not in" else 1
            if precedence == _COMPARISON:
                left = self.comparison(left, op, op_at, first)
                height = max(height, self.height) + 1
                op = texts[self.i]
                if least < _COMPARISON and (
                    PRECEDENCE.get(op) == _COMPARISON or (op == "not" and texts[self.i + 1] == "in")
                ):
                    self.chained(left, first, op_at)
                    break
                continue
            right = self.expr(precedence - 1 if op in RIGHT_ASSOCIATIVE else precedence)
            height = max(height, self.height) + 1
            left = t.Binary(op, left, right, span=self.span(first))
        self.height = height
        self.depth -= 1
        return left

    def nested_too_deep(self) -> t.Expr:
        self.fail(
            Code.B016,
            "the expression is nested too deep",
            self.here(),
            help=f"at most {DEPTH_MAX} levels can be read; name parts of it with `let`",
        )
        return self.bad()

    def bad(self) -> t.BadExpr:
        self.height = 1
        return t.BadExpr(span=self.here())

    def single_equals(self) -> int:
        span = self.here()
        self.report(Code.B051, "`=` does not compare", span, help="write `==`", fix=Fix(span, "=="))
        return _COMPARISON

    def comparison(self, left: t.Expr, op: str, op_at: int, first: int) -> t.Expr:
        """Return what begins with `left` and a comparing word, which has been read."""
        if op == "is":
            return self.is_(left, op_at, first)
        if op in {"in", "not in"}:
            if self.texts[self.i] == "(":
                right = self.after_in()
            else:
                right = self.expr(_COMPARISON)
            return t.Binary(op, left, right, span=self.span(first))
        right_at = self.i
        right = self.expr(_COMPARISON)
        if op in {"==", "!="} and self.is_state(left) and isinstance(right, t.Ref) and self.kinds[right_at] == UPPER:
            word = "is" if op == "==" else "is not"
            span = self.token_span(op_at)
            self.report(
                Code.B056,
                f"a state is not compared with `{op}`",
                span,
                help=f"write `{word} {right.name.text}`",
                fix=Fix(span, word),
            )
            return t.Is(left, op == "!=", right.name, span=self.span(first))
        return t.Binary(op, left, right, span=self.span(first))

    @staticmethod
    def is_state(expr: t.Expr) -> bool:
        return isinstance(expr, t.Ref | t.Dot) and expr.name.text == "state"

    def is_(self, subject: t.Expr, op_at: int, first: int) -> t.Expr:
        negated = self.take("not")
        text, kind = self.texts[self.i], self.kinds[self.i]
        sign, word = ("!=", "is not") if negated else ("==", "is")
        span = Span(self.file, self.starts[op_at], self.ends[self.i - 1])
        if text == "none" or _FOREIGN_VALUES.get(text) == "none":
            whole = Span(self.file, span.start, self.ends[self.i])
            self.report(
                Code.B058,
                f"`{word}` does not compare with `{text}`",
                span,
                help=f"write `{sign} none`",
                fix=Fix(whole, f"{sign} none"),
            )
            self.i += 1
            return t.Binary(sign, subject, t.NoneValue(span=self.token_span(self.i - 1)), span=self.span(first))
        if text in {"(", "in"}:
            better = "not in" if negated else "in"
            if text == "in":
                self.i += 1
                span = Span(self.file, self.starts[op_at], self.ends[self.i - 1])
            self.report(
                Code.B058,
                f"`{word}` has one name on its right",
                span,
                help=f"write `{better} (A, B)`",
                fix=Fix(span, better),
            )
            right = self.after_in() if self.texts[self.i] == "(" else self.expr(_COMPARISON)
            return t.Binary(better, subject, right, span=self.span(first))
        if kind > UPPER or text in RESERVED:
            self.fail(
                Code.B058,
                f"expected a state, a role or an action after `{word}`, found {self.found()}",
                self.here(),
                help=f"values are compared with `{sign}`",
                fix=Fix(span, sign) if kind in {INT, DEC, DURATION, STRING} or text in {"true", "false"} else None,
            )
            return self.bad()
        what = self.name("a name")
        assert what is not None, "a word is next"
        entity: t.Name | None = None
        if self.texts[self.i] == "." and self.kinds[self.i + 1] <= UPPER:
            self.i += 1
            entity, what = what, self.name("a name")
            assert what is not None, "a word is next"
        self.height = 1
        return t.Is(subject, negated, what, entity, span=self.span(first))

    def after_in(self) -> t.Expr:
        """Return the `(A, B)` after `in`, or the expression that begins with a bracket."""
        first = self.i
        self.i += 1
        items, height = self.items(")")
        if not self.panic and self.texts[self.i] == ")":
            self.i += 1
            names = all(isinstance(item, t.Ref | t.Dot) for item in items)
            if len(items) > 1 or (len(items) == 1 and names and not self.goes_on()):
                self.height = height + 1
                return t.OneOfNames(items, span=self.span(first))
            if not items:
                self.fail(Code.B050, "expected at least one name in the brackets", self.span(first))
                return self.bad()
            self.depth += 1
            self.height = height
            return self.expr_from(self.postfix(items[0], first), first, _COMPARISON)
        self.expect(")")
        self.height = height + 1
        return t.OneOfNames(items, span=self.span(first))

    def goes_on(self) -> bool:
        return self.texts[self.i] in {".", "["} or PRECEDENCE.get(self.texts[self.i], 0) > _COMPARISON

    def chained(self, left: t.Expr, first: int, op_at: int) -> None:
        """Report `a < b < c`, and read over it."""
        second = self.i
        span = Span(self.file, self.starts[second], self.ends[second])
        middle_start = self.starts[op_at + 1]
        middle = self.tokens.source.text[middle_start : self.ends[second - 1]]
        fix: Fix | None = None
        help = "join two comparisons with `and`"
        if isinstance(left, t.Binary) and "\n" not in middle and len(middle) <= 40:
            fix = Fix(Span(self.file, self.ends[second - 1], self.ends[second - 1]), f" and {middle}")
            help += f": `... {middle} and {middle} ...`"
        self.fail(
            Code.B053,
            "comparisons do not chain",
            span,
            help=help,
            fix=fix,
            secondary=(Label(self.token_span(op_at), "the first one"),),
        )

    # --- operands

    def operand(self, least: int) -> t.Expr:
        """Return what stands between operators, with all that hangs on it: `a.b`, `f(x)`, `xs[i]`."""
        i = self.i
        kind, text = self.kinds[i], self.texts[i]
        self.height = 1
        node: t.Expr
        if kind <= UPPER:
            if text in OPENERS and text not in RESERVED and self.kinds[i + 1] == UPPER:
                # `a < from A`: no operand is followed by a capital, but a clause that begins here is.
                return self.no_operand()
            if text in RESERVED:
                reserved = self.reserved(text, least)
                if reserved is not None:
                    return reserved
                node = t.Ref(t.Name(text, span=self.token_span(i)), span=self.token_span(i))
                self.i = i + 1
                if text == "before" and self.texts[self.i] == "(":
                    node = self.apply(i)
            elif self.texts[i + 1] == "(":
                node = self.quantifier_in_brackets() if text in QUANTIFIERS_IN_BRACKETS else self.apply(i)
            elif text in _FOREIGN_VALUES:
                return self.foreign_value(text)
            elif text in _WORDS_OF_QUANTIFIERS and self.begins_range(i + 1):
                if text in QUANTIFIERS_IN_BRACKETS:
                    return self.quantifier_without_brackets(text)
                return self.foreign_quantifier(text)
            else:
                span = Span(self.file, self.starts[i], self.ends[i])
                node = t.Ref(t.Name(text, span=span), span=span)
                self.i = i + 1
        elif kind == INT:
            self.i = i + 1
            return t.Int(int(text), span=self.token_span(i))
        elif kind == STRING:
            self.i = i + 1
            node = t.Str(unquote(text), span=self.token_span(i))
        elif kind == DURATION:
            return self.duration_literal()
        elif kind == DEC:
            self.i = i + 1
            return t.Dec(Decimal(text.replace("_", "")), span=self.token_span(i))
        elif text == "(":
            self.i = i + 1
            node = self.expr()
            if self.texts[self.i] == "," and not self.panic:
                self.fail_here(
                    "`)`", help="a list is written `[a, b]`, a set `{a, b}`; `(a, b)` stands after `in` only"
                )
                return self.bad()
            self.expect(")")
        elif text == "[":
            node = self.list_()
        elif text == "{":
            node = self.set_or_map()
        elif text == "-":
            self.i = i + 1
            operand = self.expr(NEGATIVE_PRECEDENCE)
            self.height += 1
            return t.Unary("-", operand, span=self.span(i))
        else:
            return self.no_operand()
        return self.postfix(node, i) if self.texts[self.i] in {".", "[", "("} else node

    def begins_range(self, i: int) -> bool:
        """Return whether `x in` stands at token `i`; the `not in` behind a field named `every` is something else."""
        return self.kinds[i] <= UPPER and self.texts[i] not in RESERVED and self.texts[i + 1] == "in"

    def postfix(self, node: t.Expr, first: int) -> t.Expr:
        texts = self.texts
        while not self.panic and self.i != self.path_end:
            text = texts[self.i]
            if text == ".":
                self.i += 1
                name = self.name("a field after `.`")
                if name is None:
                    return node
                node = t.Dot(node, name, span=self.span(first))
                if texts[self.i] == "(":
                    self.method(node, first)
                    return node
            elif text == "[":
                self.i += 1
                height = self.height
                index = self.expr()
                self.height = max(height, self.height)
                self.expect("]")
                node = t.Index(node, index, span=self.span(first))
            elif text == "(" and not isinstance(node, t.Apply):
                if isinstance(node, t.Ref) and self.texts[self.i - 1] != ")":
                    self.fail(
                        Code.B059,
                        f"`{node.name.text}` is no function",
                        self.token_span(first),
                        help="it stands without brackets",
                    )
                    return node
                return node
            else:
                return node
            self.height += 1
            if self.height > DEPTH_MAX:
                return self.nested_too_deep()
        return node

    def method(self, node: t.Dot, first: int) -> None:
        base = self.tokens.source.text[self.starts[first] : self.ends[self.i - 3]]
        name = node.name.text
        helps = {
            "size": f"write `size({base})`", "length": f"write `size({base})`", "len": f"write `size({base})`",
            "count": f"write `size({base})`, or `count(x in {base}: ...)`",
            "contains": f"write `x in {base}`", "includes": f"write `x in {base}`", "has": f"write `x in {base}`",
            "add": "write `set f += x`", "append": "write `set f += [x]`", "remove": "write `set f -= x`",
        }  # fmt: skip
        self.fail(
            Code.B059,
            f"`{name}` can't be called on a value",
            node.name.span,
            help=helps.get(name, "functions take all they need in their brackets: `size(xs)`, `min(a, b)`"),
        )

    def reserved(self, text: str, least: int) -> t.Expr | None:
        """Return what begins with a reserved word; `None` where it is a value by itself."""
        i = self.i
        if text in {"true", "false"}:
            self.i = i + 1
            return t.Bool(text == "true", span=self.token_span(i))
        if text == "none":
            self.i = i + 1
            return t.NoneValue(span=self.token_span(i))
        if text == "not":
            return self.not_(least)
        if text == "if":
            return self.if_()
        if text in {"all", "any"}:
            return self.quantifier_bare(text)
        if text in _VALUES:
            return None
        return self.no_operand()

    def not_(self, least: int) -> t.Expr:
        i = self.i
        if self.texts[i + 1] == "in":
            span = Span(self.file, self.starts[i], self.ends[i + 1])
            self.fail(
                Code.B058,
                "`not in` has nothing on its left",
                span,
                help="say again what is looked for: `x in a and x not in b`",
            )
            return self.bad()
        if least >= _COMPARISON:
            self.report(
                Code.B050,
                "expected an operand, found `not`",
                self.token_span(i),
                help="`not` binds more loosely than what stands before it; put brackets around it: `(not ...)`",
            )
        self.i = i + 1
        operand = self.expr(NOT_PRECEDENCE - 1)
        self.height += 1
        return t.Unary("not", operand, span=self.span(i))

    def if_(self) -> t.Expr:
        i = self.i
        self.i = i + 1
        condition = self.expr()
        height = self.height
        if not self.panic and self.texts[self.i] != "then":
            self.fail(
                Code.B054,
                f"expected `then`, found {self.found()}",
                self.here(),
                help="a choice between values is written `if c then a else b`",
                secondary=(Label(self.token_span(i), "this `if`"),),
            )
            return self.bad()
        self.i += not self.panic
        then = self.expr()
        height = max(height, self.height)
        if not self.panic and self.texts[self.i] != "else":
            if self.texts[self.i] in {"elif", "elsif", "elseif"}:
                span = self.here()
                self.report(
                    Code.B055,
                    f"`{self.texts[self.i]}` is no word of the language",
                    span,
                    help="write `else if`",
                    fix=Fix(span, "else if"),
                )
                otherwise = self.if_()
                self.height = max(height, self.height) + 1
                return t.IfExpr(condition, then, otherwise, span=self.span(i))
            self.fail(
                Code.B054,
                "this `if` has no `else`",
                self.token_span(i),
                help="every choice between values has both: `if c then a else b`",
            )
            return self.bad()
        self.i += not self.panic
        otherwise = self.expr()
        self.height = max(height, self.height) + 1
        return t.IfExpr(condition, then, otherwise, span=self.span(i))

    def quantifier_bare(self, kind: str) -> t.Expr:
        i = self.i
        if self.texts[i + 1] == "(" and self.begins_range(i + 2):
            return self.quantifier_with_needless_brackets(kind)
        self.i = i + 1
        var, over, body = self.ranging(kind)
        self.height += 1
        if var is None:
            return self.bad()
        return t.Quantifier(kind, var, over, body, span=self.span(i))

    def quantifier_with_needless_brackets(self, kind: str) -> t.Expr:
        i = self.i
        self.i = i + 2
        var, over, body = self.ranging(kind)
        self.height += 1
        if not self.expect(")") or var is None:
            return self.bad()
        inner = self.tokens.source.text[self.starts[i + 2] : self.ends[self.i - 2]]
        self.report(
            Code.B060,
            f"`{kind}` takes no brackets",
            self.token_span(i + 1),
            help=f"write `{kind} x in s: ...`",
            fix=Fix(self.span(i), f"({kind} {inner})"),
        )
        return t.Quantifier(kind, var, over, body, span=self.span(i))

    def quantifier_in_brackets(self) -> t.Expr:
        """Return `count(x in s: e)`; without the `x in`, it is a function like others."""
        i = self.i
        kind = self.texts[i]
        if not self.begins_range(i + 2):
            return self.apply(i)
        self.i = i + 2
        var, over, body = self.ranging(kind)
        self.height += 1
        self.expect(")")
        if var is None:
            return self.bad()
        return t.Quantifier(kind, var, over, body, span=self.span(i))

    def quantifier_without_brackets(self, kind: str) -> t.Expr:
        i = self.i
        self.i = i + 1
        var, over, body = self.ranging(kind)
        if not self.panic:
            whole = self.span(i)
            inner = self.tokens.source.text[self.starts[i + 1] : whole.end]
            self.report(
                Code.B060,
                f"`{kind}` takes brackets",
                self.token_span(i),
                help=f"write `{kind}(x in s: ...)`",
                fix=Fix(whole, f"{kind}({inner})"),
            )
        self.height += 1
        return self.bad() if var is None else t.Quantifier(kind, var, over, body, span=self.span(i))

    def foreign_quantifier(self, text: str) -> t.Expr:
        span = self.here()
        meant = _FOREIGN_QUANTIFIERS[text]
        help = f"write `{meant} x in s: ...`"
        self.report(Code.B060, f"unknown word `{text}`", span, help=help, fix=Fix(span, meant))
        return self.quantifier_bare(meant)

    def ranging(self, kind: str) -> tuple[t.Name | None, t.Expr, t.Expr]:
        """Return the parts of `x in s: e`."""
        form = f"`{kind}({{}} in s: ...)`" if kind in QUANTIFIERS_IN_BRACKETS else f"`{kind} {{}} in s: ...`"
        form = form.format("x")
        if self.kinds[self.i] > UPPER:
            self.fail_here(f"a name after `{kind}`", code=Code.B060, help=f"write {form}")
            return None, self.bad(), self.bad()
        var = self.lower("a variable")
        if self.texts[self.i] != "in" and not self.panic:
            fix = Fix(self.here(), "in") if self.texts[self.i] in {"of", "from", "over", ":"} else None
            self.fail_here(f"`in` after the variable of `{kind}`", code=Code.B060, help=f"write {form}", fix=fix)
            return None, self.bad(), self.bad()
        self.i += not self.panic
        over = self.expr(_COMPARISON)
        height = self.height
        if self.texts[self.i] != ":" and not self.panic:
            self.fail_here("`:`", code=Code.B060, help=f"write {form}")
        self.i += not self.panic
        body = self.expr()
        self.height = max(height, self.height)
        return var, over, body

    def duration_literal(self) -> t.Duration:
        i = self.i
        text = self.texts[i]
        unit = text.lstrip("0123456789_")
        self.i = i + 1
        return t.Duration(int(text[: -len(unit)]) * DURATION_UNITS[unit], unit, span=self.token_span(i))

    def foreign_value(self, text: str) -> t.Expr:
        i = self.i
        span = self.here()
        meant = _FOREIGN_VALUES[text]
        self.report(Code.B057, f"unknown value `{text}`", span, help=f"write `{meant}`", fix=Fix(span, meant))
        self.i = i + 1
        return t.NoneValue(span=span) if meant == "none" else t.Bool(meant == "true", span=span)

    def no_operand(self) -> t.Expr:
        text = self.texts[self.i]
        help: str | None = None
        if self.kinds[self.i] == BAD:
            # It has been reported where it was read.
            if not self.panic:
                self.tokens.broken.append(self.starts[self.i])
                self.tokens.broken.sort()
            self.i += 1
            return self.bad()
        if text == "=":
            help = "one `==` compares"
        elif text in {"in", "is"}:
            help = f"`{text}` stands between two things"
        elif self.kinds[self.i] == END and self.i > self.row.start:
            before = self.texts[self.i - 1]
            if before in PRECEDENCE or before in {"=", "not"}:
                help = f"something must follow `{before}`, on this line or on a deeper one"
        self.fail_here("an expression", code=Code.B050, help=help)
        return self.bad()

    # --- things in brackets

    def apply(self, first: int) -> t.Expr:
        """Return `f(a, name: b)`."""
        name = t.Name(self.texts[first], span=self.token_span(first))
        self.i = first + 1
        args = self.args()
        return t.Apply(name, args, span=self.span(first))

    def args(self) -> tuple[t.Arg, ...]:
        """Return the arguments in the brackets where we are."""
        self.i += 1
        out: list[t.Arg] = []
        height = 0
        texts = self.texts
        if texts[self.i] == ")":
            self.i += 1
            self.height = 1
            return ()
        while True:
            if out and self.trailing_comma():
                break
            first = self.i
            name: t.Name | None = None
            if self.kinds[first] <= UPPER and texts[first + 1] in {":", "="}:
                if texts[first + 1] == "=":
                    span = self.token_span(first + 1)
                    self.report(
                        Code.B051,
                        "unexpected `=` in arguments",
                        span,
                        help="an argument is named with `:`, and compared with `==`",
                        fix=Fix(span, ":"),
                    )
                name = t.Name(texts[first], span=self.token_span(first))
                self.i = first + 2
            value = self.expr()
            height = max(height, self.height)
            out.append(t.Arg(name, value, span=self.span(first)))
            if not self.take(","):
                break
        self.height = height + 1
        self.close(")")
        return tuple(out)

    def items(self, closer: str) -> tuple[tuple[t.Expr, ...], int]:
        """Return expressions with commas between them, and how high the highest is; the closing bracket is not read."""
        out: list[t.Expr] = []
        height = 0
        if self.texts[self.i] == closer:
            return (), 0
        while True:
            if out and self.trailing_comma():
                break
            out.append(self.expr())
            height = max(height, self.height)
            if not self.take(","):
                break
        return tuple(out), height

    def list_(self) -> t.Expr:
        i = self.i
        self.i = i + 1
        if self.take("]"):
            return t.ListOf((), span=self.span(i))
        body = self.expr()
        if self.texts[self.i] == "for":
            return self.mapped("list", body, i, "]")
        items, height = self.more_items(body, "]")
        self.height = height + 1
        self.close("]")
        return t.ListOf(items, span=self.span(i))

    def more_items(self, item: t.Expr, closer: str) -> tuple[tuple[t.Expr, ...], int]:
        height = self.height
        if not self.take(","):
            return (item,), height
        if self.trailing_comma():
            return (item,), height
        more, height_of_more = self.items(closer)
        return (item, *more), max(height, height_of_more)

    def mapped(self, kind: str, body: t.Expr, first: int, closer: str) -> t.Expr:
        height = self.height
        self.i += 1
        var = self.lower("a variable")
        self.expect("in")
        over = self.expr(_COMPARISON)
        self.height = max(height, self.height) + 1
        if self.texts[self.i] == "if" and not self.panic:
            self.fail_here(f"`{closer}`", help="filter what is ranged over: `{f for x in {x in s: condition}}`")
        self.expect(closer)
        if var is None:
            return self.bad()
        return t.Mapped(kind, body, var, over, span=self.span(first))

    def set_or_map(self) -> t.Expr:
        i = self.i
        self.i = i + 1
        if self.take("}"):
            return t.SetOf((), span=self.span(i))
        if self.begins_range(i + 1):
            body = self.filter_or_first()
            if isinstance(body, t.Filter):
                return body
        else:
            body = self.expr()
        text = self.texts[self.i]
        if text == "for":
            return self.mapped("set", body, i, "}")
        if text == ":" and not self.panic:
            return self.map_(body, i)
        items, height = self.more_items(body, "}")
        self.height = height + 1
        self.close("}")
        return t.SetOf(items, span=self.span(i))

    def filter_or_first(self) -> t.Expr:
        """Return `{x in s: e}`, or the first element of a set, which begins with `x in s`. The `{` has been read."""
        first = self.i
        word = t.Name(self.texts[first], span=self.token_span(first))
        self.i += 2
        over = self.after_in() if self.texts[self.i] == "(" else self.expr(_COMPARISON)
        if self.panic:
            return self.bad()
        if self.texts[self.i] != ":":
            self.height += 1
            self.depth += 1
            subject = t.Ref(word, span=word.span)
            return self.expr_from(t.Binary("in", subject, over, span=self.span(first)), first, 0)
        if isinstance(over, t.OneOfNames):
            if len(over.items) > 1:
                self.fail_here("`}`", code=Code.B060, help="a list is written `[a, b]`, a set `{a, b}`")
                return self.bad()
            over = over.items[0]
        colon, height = self.i, self.height
        self.i = first
        self.lower("a variable")
        self.i = colon + 1
        body = self.expr()
        self.height = max(height, self.height) + 1
        self.expect("}")
        return t.Filter(word, over, body, span=self.span(first - 1))

    def map_(self, key: t.Expr, first: int) -> t.Expr:
        height = self.height
        pairs: list[tuple[t.Expr, t.Expr]] = []
        while True:
            if not self.expect(":"):
                break
            value = self.expr()
            height = max(height, self.height)
            pairs.append((key, value))
            if not self.take(",") or self.trailing_comma():
                break
            key = self.expr()
            height = max(height, self.height)
        self.height = height + 1
        self.close("}")
        return t.MapOf(tuple(pairs), span=self.span(first))
