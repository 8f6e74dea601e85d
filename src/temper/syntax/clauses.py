"""Actions with their cases and clauses, and what belongs to states."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from temper.syntax import tree as t
from temper.syntax.layout import Row
from temper.syntax.lexer import END, STRING, UPPER, unquote
from temper.syntax.openings import OpeningReader
from temper.syntax.reader import DEPTH_MAX
from temper.syntax.tree import NO_TRIVIA, Trivia
from temper.syntax.words import (
    ACTION_PARTS,
    CASE_PARTS,
    CLAUSES,
    HANDLERS,
    POSTFIX_PRECEDENCE,
    PRECEDENCE,
    RESERVED,
    STAYS,
)
from temper.text import Code, Fix, Label, Span

_T = TypeVar("_T")

ActionPart: TypeAlias = t.By | t.When | t.Let | t.From | t.Clause
CasePart: TypeAlias = t.By | t.When | t.Let | t.Clause

_ACTION = dict.fromkeys(ACTION_PARTS)
_CASE = dict.fromkeys(CASE_PARTS)
_CLAUSE = dict.fromkeys(CLAUSES)
_STAY = dict.fromkeys(STAYS)


class ClauseReader(OpeningReader):
    """Reads what changes an entity."""

    # --- actions

    def action(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        name = self.upper("an action")
        params: tuple[t.Param, ...] = ()
        if name is not None and self.texts[self.i] == "(" and not self.panic:
            params = self.params("an action's parameter")
        parts: list[ActionPart] = []
        self.parts_on_line(self.action_part, parts, ACTION_PARTS)
        inline = len(parts)
        own_case = next((part for part in parts if isinstance(part, t.From)), None)
        broken = self.panic
        span = (
            Span(self.file, self.starts[first], self.ends[row.end - 1]) if row.end > first else self.token_span(first)
        )
        parts.extend(self.rows_unless_used(row, self.action_part))
        self.panic = broken
        if own_case is not None:
            self.one_own_case(own_case, parts[inline:])
        if name is not None:
            out.append(t.Action(name, params, tuple(parts), inline, span=span, trivia=row.trivia()))

    def one_own_case(self, own: t.From, below: list[ActionPart]) -> None:
        for part in below:
            if isinstance(part, t.From):
                self.report(
                    Code.B073,
                    "a second case",
                    part.span,
                    secondary=(Label(own.span, "the first one"),),
                    help="a `from` on the action's own line is its only case; put both on deeper lines",
                )
                return

    def action_part(self, row: Row | None, out: list[ActionPart]) -> None:
        """Read one part of an action; without a row, on the action's own line."""
        word = self.keyword(_ACTION, "a part of an action")
        if word is None:
            return
        trivia = row.trivia() if row is not None else NO_TRIVIA
        if word == "from":
            case = self.from_(row, trivia, on_own_line=row is None)
            out.append(case)
            return
        part = self.case_part_of(word, trivia)
        if part is not None:
            out.append(part)
        if row is not None:
            self.one_each(ACTION_PARTS)

    def case_part(self, row: Row | None, out: list[CasePart]) -> None:
        """Read one part of a case; without a row, on the case's own line."""
        word = self.keyword(_CASE, "a part of a case")
        if word is None:
            return
        part = self.case_part_of(word, row.trivia() if row is not None else NO_TRIVIA)
        if part is not None:
            out.append(part)
        if row is not None:
            self.one_each(CASE_PARTS)

    def one_each(self, known: Iterable[str]) -> None:
        """Report a second clause on a deeper line."""
        text = self.texts[self.i]
        if self.panic or self.at_end() or text not in known:
            return
        before = Span(self.file, self.ends[self.i - 1], self.starts[self.i])
        self.fail(
            Code.B071,
            f"`{text}` begins a second clause on this line",
            self.here(),
            help="on deeper lines clauses stand one each; put it on a line of its own",
            fix=Fix(before, "\n" + " " * self.row.indent),
        )

    def case_part_of(self, word: str, trivia: Trivia) -> CasePart | None:
        if word == "by":
            return self.by(trivia)
        if word == "when":
            return self.when(trivia)
        if word == "let":
            return self.let(trivia)
        return self.clause_of(word, trivia)

    def from_(self, row: Row | None, trivia: Trivia, *, on_own_line: bool) -> t.From:
        first = self.i - 1
        froms = self.case_sources()
        to: t.Name | None = None
        if self.texts[self.i] in {"->", "=>", "into"} and not self.panic:
            span = self.here()
            self.report(
                Code.B070,
                f"expected `to`, found `{self.texts[self.i]}`",
                span,
                help="a case is written `from A, B to C`",
                fix=Fix(span, "to"),
            )
            self.i += 1
            to = self.name("a state")
        elif self.take("to"):
            to = self.name("a state after `to`")
            if self.texts[self.i] == "," and not self.panic:
                self.fail(
                    Code.B035,
                    "a case leads to one state",
                    self.here(),
                    help="write a `from` line for each, with the `when` that tells them apart",
                )
        parts: list[CasePart] = []
        self.parts_on_line(self.case_part, parts, CASE_PARTS, until="from")
        if on_own_line and self.texts[self.i] == "from" and not self.panic:
            self.fail(
                Code.B073,
                "a second case",
                self.here(),
                secondary=(Label(self.token_span(first), "the first one"),),
                help="a `from` on the action's own line is its only case; put both on deeper lines",
            )
        span = self.span(first) if not self.panic else Span(self.file, self.starts[first], self.ends[self.row.end - 1])
        if row is not None:
            parts.extend(self.rows_unless_used(row, self.case_part))
        return t.From(froms, to, tuple(parts), span=span, trivia=trivia)

    def case_sources(self) -> tuple[t.Name, ...]:
        if self.texts[self.i] == "*":
            span = self.here()
            self.report(
                Code.B035,
                "expected a state, found `*`",
                span,
                fix=Fix(span, "any"),
                help="`from any` is every state that is not final, `from all` the final ones too",
            )
            self.i += 1
            return (t.Name("any", span=span),)
        return self.names("a state after `from`")

    def by(self, trivia: Trivia) -> t.By:
        first = self.i - 1
        who: list[t.Expr] = []
        while True:
            if who and self.trailing_comma():
                break
            who.append(self.expr(PRECEDENCE["and"]) if self.texts[self.i] not in RESERVED else self.who())
            if self.texts[self.i] in {"or", "and"} and not self.panic:
                span = self.here()
                if self.texts[self.i] == "or":
                    self.report(
                        Code.B035,
                        "expected `,`, found `or`",
                        span,
                        help="those who may are parted by commas",
                        fix=Fix(Span(self.file, self.ends[self.i - 1], span.end), ","),
                    )
                    self.i += 1
                    continue
                self.fail(
                    Code.B035,
                    "expected `,`, found `and`",
                    span,
                    help="`by` lists who may, each alone; that several must is a property: `S needs 2 of ROLE`",
                )
            if not self.take(","):
                break
        return t.By(tuple(who), span=self.span(first), trivia=trivia)

    def who(self) -> t.Expr:
        text = self.texts[self.i]
        if text in {"all", "any"}:
            span = self.here()
            self.report(
                Code.B035,
                f"expected who may do this, found `{text}`",
                span,
                help="`anyone` is everybody who is known",
                fix=Fix(span, "anyone"),
            )
            self.i += 1
            return t.Ref(t.Name("anyone", span=span), span=span)
        return self.expr(PRECEDENCE["and"])

    def when(self, trivia: Trivia) -> t.When:
        first = self.i - 1
        condition = self.expr()
        otherwise: str | None = None
        if self.take("else"):
            if self.kinds[self.i] == STRING:
                otherwise = unquote(self.texts[self.i])
                self.i += 1
            else:
                self.fail_here(
                    "a text after `else`",
                    code=Code.B055,
                    help='after a `when`, `else` says what the caller is told: `when E else "..."`',
                )
        return t.When(condition, otherwise, span=self.span(first), trivia=trivia)

    def let(self, trivia: Trivia) -> t.Let | None:
        first = self.i - 1
        name = self.lower("a derived value")
        if name is None:
            return None
        self.equals("a derived value is written `let name = expr`")
        return t.Let(name, self.expr(), span=self.span(first), trivia=trivia)

    def let_of_entity(self, row: Row, out: list[t.EntityPart]) -> None:
        let = self.let(row.trivia())
        if let is not None:
            out.append(let)

    def by_of_entity(self, row: Row, out: list[t.EntityPart]) -> None:
        out.append(self.by(row.trivia()))

    def params(self, what: str) -> tuple[t.Param, ...]:
        """Return the parameters in the brackets where we are."""
        self.i += 1
        out: list[t.Param] = []
        if self.take(")"):
            return ()
        while True:
            if out and self.trailing_comma():
                break
            first = self.i
            if (
                self.kinds[first] <= UPPER
                and self.texts[first + 1] not in {":", ",", ")", "="}
                and (self.kinds[first + 1] <= UPPER)
            ):
                name = self.texts[first]
                self.report(
                    Code.B039,
                    f"`{name}` has no `:`",
                    self.token_span(first),
                    help=f"write `{name}: ...`",
                    fix=Fix(Span(self.file, self.ends[first], self.ends[first]), ":"),
                )
                given = self.lower(what)
                type_: t.TypeExpr | None = self.type()
            else:
                given = self.lower(what)
                type_ = self.type() if self.take(":") else None
            if given is None:
                break
            out.append(t.Param(given, type_, self.default(), span=self.span(first)))
            if not self.take(","):
                break
        self.close(")")
        return tuple(out)

    # --- clauses

    def clause_row(self, row: Row, out: list[t.Clause]) -> None:
        """Read a clause that stands on a line of its own."""
        word = self.keyword(_CLAUSE, "a clause")
        if word is None:
            return
        clause = self.clause_of(word, row.trivia())
        if clause is not None:
            out.append(clause)
        self.one_each(CLAUSES)

    def clause(self) -> t.Clause | None:
        """Return the clause that stands within a line."""
        word = self.keyword(_CLAUSE, "a clause")
        return None if word is None else self.clause_of(word, NO_TRIVIA)

    def clause_of(self, word: str, trivia: Trivia) -> t.Clause | None:
        """Return the clause that begins with `word`, which has been read."""
        match word:
            case "set":
                return self.set_(trivia)
            case "call":
                return self.call(trivia)
            case "send" | "with":
                return self.send_or_with(word, trivia)
            case "create":
                return self.create(trivia)
            case "emit":
                return self.emit(trivia)
            case "for":
                return self.for_(trivia)
            case "if":
                return self.if_clause(trivia)
            case "do":
                first = self.i - 1
                invoke = self.invoke()
                return None if invoke is None else t.Do(invoke, span=self.span(first), trivia=trivia)
            case _:
                raise AssertionError(f"{word!r} begins no clause")

    def set_(self, trivia: Trivia) -> t.Set:
        first = self.i - 1
        items: list[t.SetItem] = []
        while True:
            if items and self.trailing_comma():
                break
            item = self.set_item()
            if item is None:
                break
            items.append(item)
            if not self.take(","):
                break
        return t.Set(tuple(items), span=self.span(first), trivia=trivia)

    def set_item(self) -> t.SetItem | None:
        first = self.i
        target = self.name("a field after `set`")
        if target is None:
            return None
        if target.text in RESERVED:
            self.report(
                Code.B021,
                f"`{target.text}` can't be set",
                target.span,
                help="the state changes by `from A to B` alone"
                if target.text == "state"
                else "a field of this entity can be set",
            )
        if self.texts[self.i] == "." and not self.panic:
            end = self.i
            while self.texts[end] == "." and self.kinds[end + 1] <= UPPER:
                end += 2
            whole = Span(self.file, target.span.start, self.ends[end - 1])
            self.fail(
                Code.B074,
                "only fields of this entity can be set",
                whole,
                help="another entity changes by its own actions: `send x.Action(...)` or `with x.Action(...)`",
            )
            return None
        key: t.Expr | None = None
        if self.take("["):
            key = self.expr()
            self.expect("]")
        op = self.texts[self.i]
        if op in {"=", "+=", "-="}:
            self.i += 1
            return t.SetItem(target, op, self.expr(), key, span=self.span(first))
        if op in {"==", "to"} and not self.panic:
            span = self.here()
            message = "`==` compares" if op == "==" else "expected `=`, found `to`"
            self.report(Code.B052, message, span, help="a value is set with `=`", fix=Fix(span, "="))
            self.i += 1
            return t.SetItem(target, "=", self.expr(), key, span=self.span(first))
        if key is not None and not self.panic:
            self.fail_here("`=`", help="an entry of a map is set with `set m[k] = v`")
        return t.SetItem(target, "copy", None, key, span=self.span(first))

    def call(self, trivia: Trivia) -> t.Call | None:
        first = self.i - 1
        tool = self.dotted("a tool after `call`")
        args = self.args() if self.texts[self.i] == "(" and not self.panic else ()
        handlers: dict[str, t.Invoke | t.Nothing] = {}
        places: dict[str, int] = {}
        while not self.panic and self.texts[self.i] in HANDLERS:
            word = self.texts[self.i]
            if word in handlers:
                self.report(
                    Code.B072,
                    f"`{word}` is given twice",
                    self.here(),
                    secondary=(Label(self.token_span(places[word]), "the first one"),),
                    help="an outcome has one handler; let its action's cases tell what follows",
                )
            places.setdefault(word, self.i)
            self.i += 1
            handler = self.handler(word)
            if handler is None:
                break
            handlers.setdefault(word, handler)
        if not tool:
            return None
        return t.Call(
            tool,
            args,
            handlers.get("then"),
            handlers.get("else"),
            handlers.get("unknown"),
            span=self.span(first),
            trivia=trivia,
        )

    def handler(self, word: str) -> t.Invoke | t.Nothing | None:
        if self.take("_"):
            return t.Nothing(span=self.token_span(self.i - 1))
        if self.texts[self.i] == "do" and self.kinds[self.i + 1] <= UPPER:
            span = Span(self.file, self.starts[self.i], self.starts[self.i + 1])
            self.report(
                Code.B035,
                f"unexpected `do` after `{word}`",
                span,
                help=f"write `{word} Action(...)`",
                fix=Fix(span, ""),
            )
            self.i += 1
        if self.kinds[self.i] == STRING:
            self.fail_here("an action", help=f"write `{word} Action(...)`, or `{word} _` if nothing follows")
            return None
        return self.invoke(f"an action after `{word}`")

    def invoke(self, what: str = "an action") -> t.Invoke | None:
        first = self.i
        action = self.name(what)
        if action is None:
            return None
        if self.texts[self.i] == "(":
            args = self.args()
            return t.Invoke(action, args, parens=True, span=self.span(first))
        return t.Invoke(action, span=self.span(first))

    def send_or_with(self, word: str, trivia: Trivia) -> t.Send | t.With | None:
        first = self.i - 1
        target = self.target(word)
        if target is None:
            return None
        invoke = self.invoke()
        if invoke is None:
            return None
        make = t.Send if word == "send" else t.With
        return make(target, invoke, span=self.span(first), trivia=trivia)

    def target(self, word: str) -> t.Expr | None:
        """Return what stands before the last `.`, which is read too."""
        first = self.i
        if self.kinds[first] > UPPER and self.texts[first] != "(":
            self.fail_here(f"an entity after `{word}`", help=f"write `{word} target.Action(...)`")
            return None
        last = self.last_dot(first)
        if last is None:
            self.fail_here("`target.Action`", help=f"write `{word} target.Action(...)`")
            return None
        outer, self.path_end = self.path_end, last
        target = self.operand(POSTFIX_PRECEDENCE)
        self.path_end = outer
        if not self.panic and self.i != last:
            self.fail_here("`.` and an action", help=f"write `{word} target.Action(...)`")
        if self.panic:
            return None
        self.i = last + 1
        return target

    def last_dot(self, first: int) -> int | None:
        """Return the last `.` of the path that begins at token `first`."""
        i, last = first, None
        while True:
            text = self.texts[i]
            if text in {"[", "("}:
                # The brackets of an action's arguments end the path.
                if text == "(" and last is not None and i == last + 2:
                    return last
                depth = 0
                while self.kinds[i] != END:
                    depth += (self.texts[i] in {"(", "[", "{"}) - (self.texts[i] in {")", "]", "}"})
                    i += 1
                    if depth == 0:
                        break
            elif text == ".":
                if self.kinds[i + 1] > UPPER:
                    return last
                last = i
                i += 2
            elif i == first and self.kinds[i] <= UPPER:
                i += 1
            else:
                return last

    def create(self, trivia: Trivia) -> t.Create | None:
        first = self.i - 1
        entity = self.name("an entity after `create`")
        if entity is None:
            return None
        self.expect(".", help="write `create Entity.Action(...) as name`; the action is one `from new`")
        invoke = self.invoke() if not self.panic else None
        if invoke is None:
            return None
        name = self.lower("an instance") if self.take("as") else None
        return t.Create(entity, invoke, name, span=self.span(first), trivia=trivia)

    def emit(self, trivia: Trivia) -> t.Emit | None:
        first = self.i - 1
        event = self.upper("an event")
        if event is None:
            return None
        args = self.args() if self.texts[self.i] == "(" else ()
        return t.Emit(event, args, span=self.span(first), trivia=trivia)

    def for_(self, trivia: Trivia) -> t.For | None:
        first = self.i - 1
        var = self.lower("a variable")
        self.expect("in", help="write `for x in xs: CLAUSE`")
        over = self.expr()
        body = self.body("for x in xs")
        return None if var is None else t.For(var, over, body, span=self.header_span(first), trivia=trivia)

    def if_clause(self, trivia: Trivia) -> t.If:
        first = self.i - 1
        condition = self.expr()
        if self.texts[self.i] == "then" and not self.panic:
            span = Span(self.file, self.ends[self.i - 1], self.ends[self.i])
            self.report(
                Code.B054,
                "a clause under a condition has no `then`",
                self.here(),
                help="write `if E: CLAUSE`",
                fix=Fix(span, ":"),
            )
            self.i += 1
            body = self.body("if E", colon=False)
        else:
            body = self.body("if E")
        return t.If(condition, body, span=self.header_span(first), trivia=trivia)

    def header_span(self, first: int) -> Span:
        last = min(self.i, self.row.end)
        return Span(self.file, self.starts[first], self.ends[max(last - 1, first)])

    def body(self, form: str, *, colon: bool = True) -> tuple[t.Clause, ...]:
        """Return the clause behind the `:`, or those on the deeper lines."""
        row = self.row
        if self.panic:
            row.used = True
            return ()
        if colon and self.texts[self.i] in _CLAUSE:
            self.report(
                Code.B039, "missing `:`", self.token_span(self.i), help=f"write `{form}: CLAUSE`", fix=self.insert(":")
            )
        elif colon and self.at_end() and row.children and not row.used:
            self.report(
                Code.B039, "missing `:`", self.here(), help=f"write `{form}:`, and clauses below", fix=self.insert(":")
            )
        elif colon and not self.expect(":", help=f"write `{form}: CLAUSE`"):
            return ()
        if self.at_end():
            if not row.children or row.used:
                self.fail_here("a clause", help="it stands behind the `:` or on deeper lines")
                return ()
            return self.rows(row, self.clause_row)
        self.depth += 1
        clause: t.Clause | None = None
        if self.depth <= DEPTH_MAX:
            clause = self.clause()
        else:
            self.fail(
                Code.B016, "clauses are nested too deep", self.here(), help=f"at most {DEPTH_MAX} levels can be read"
            )
        self.depth -= 1
        return () if clause is None else (clause,)

    # --- what belongs to states

    def in_(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        states = self.names("a state after `in`")
        parts: list[t.Stay] = []
        span = self.header_span(first)
        self.parts_on_line(self.stay, parts, STAYS)
        if not self.panic:
            span = self.header_span(first)
        broken = self.panic
        parts.extend(self.rows_unless_used(row, self.stay))
        self.panic = broken
        if not parts and not broken and not row.children:
            self.report(
                Code.B035,
                "nothing belongs to these states",
                span,
                help="write `on entry`, `after`, `late`, ... behind them or on deeper lines",
            )
        if states:
            out.append(t.In(states, tuple(parts), span=span, trivia=row.trivia()))

    def rows_unless_used(self, row: Row, read: Callable[[Row, list[_T]], None]) -> tuple[_T, ...]:
        """Return the rows below, unless a clause on the row's own line has taken them."""
        if row.used:
            self.end_row(row)
            return ()
        return self.rows(row, read)

    def stay(self, row: Row | None, out: list[t.Stay]) -> None:
        """Read one of what belongs to states; without a row, on the line of `in`."""
        word = self.keyword(_STAY, "what belongs to states")
        if word is None:
            return
        first = self.i - 1
        trivia = row.trivia() if row is not None else NO_TRIVIA
        match word:
            case "on":
                self.on(first, trivia, out)
            case "after" | "every":
                duration = self.expr()
                invoke = self.do(f"{word} D do Action(...)")
                if invoke is not None:
                    make = t.After if word == "after" else t.Every
                    out.append(make(duration, invoke, span=self.span(first), trivia=trivia))
            case "at":
                field = self.name("a field after `at`")
                invoke = self.do("at field do Action(...)")
                if field is not None and invoke is not None:
                    out.append(t.At(field, invoke, span=self.span(first), trivia=trivia))
            case "whenever":
                condition = self.expr()
                invoke = self.do("whenever E do Action(...)")
                if invoke is not None:
                    out.append(t.Whenever(condition, invoke, span=self.span(first), trivia=trivia))
            case "late":
                out.extend(self.late(trivia))
            case _:
                out.append(t.Defer(self.names("an action after `defer`"), span=self.span(first), trivia=trivia))
        if row is not None:
            self.one_each(STAYS)

    def do(self, form: str) -> t.Invoke | None:
        if self.panic:
            return None
        if not self.take("do"):
            fix: Fix | None = None
            if self.texts[self.i] in {"then", "->", "=>", ":"}:
                fix = Fix(self.here(), " do" if self.texts[self.i] == ":" else "do")
            elif self.kinds[self.i] == UPPER:
                fix = self.insert(" do")
            self.fail_here("`do`", help=f"write `{form}`", fix=fix)
            return None
        return self.invoke("an action after `do`")

    def on(self, first: int, trivia: Trivia, out: list[t.Stay]) -> None:
        word = self.texts[self.i]
        if word not in {"entry", "exit"}:
            fix: Fix | None = None
            meant = {"enter": "entry", "entering": "entry", "leave": "exit", "leaving": "exit"}.get(word)
            meant = meant or (self.guess(word, ("entry", "exit")) if self.at_word() else None)
            if meant is None:
                self.fail_here("`entry` or `exit` after `on`")
                return
            span = self.here()
            fix = Fix(span, meant)
            self.report(Code.B033, f"unknown word `{word}`", span, help=f"did you mean `{meant}`?", fix=fix)
            word = meant
        self.i += 1
        make = t.OnEntry if word == "entry" else t.OnExit
        if self.texts[self.i] == ":":
            span = self.here()
            self.report(
                Code.B037,
                f"unexpected `:` after `on {word}`",
                span,
                help=f"write `on {word} CLAUSE`",
                fix=Fix(span, ""),
            )
            self.i += 1
        row = self.row
        if self.at_end() and row.children and row.start <= first and not row.used:
            # Several deeper clauses are as many lines `on entry`.
            span = self.span(first)
            for number, clause in enumerate(self.rows(row, self.clause_row)):
                own = trivia if number == 0 else NO_TRIVIA
                out.append(make(clause, span=span, trivia=own))
            return
        only = self.clause()
        if only is not None:
            out.append(make(only, span=self.header_span(first), trivia=trivia))

    def late(self, trivia: Trivia) -> tuple[t.Late, ...]:
        first = self.i - 1
        actions = self.names("an action after `late`")
        if self.panic:
            return ()
        if self.take("ignore"):
            return (t.Late(actions, None, span=self.span(first), trivia=trivia),)
        if self.texts[self.i] != "do":
            meant = self.guess(self.texts[self.i], ("ignore", "do")) if self.at_word() else None
            self.fail_here(
                "`ignore` or `do`",
                help="write `late A, B ignore`, or `late A do C(...)`",
                fix=Fix(self.here(), meant) if meant is not None else None,
            )
            return ()
        self.i += 1
        invoke = self.invoke("an action after `do`")
        return () if invoke is None else (t.Late(actions, invoke, span=self.span(first), trivia=trivia),)

    def late_of_entity(self, row: Row, out: list[t.EntityPart]) -> None:
        out.extend(self.late(row.trivia()))

    def defer_of_entity(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        out.append(t.Defer(self.names("an action after `defer`"), span=self.span(first), trivia=row.trivia()))
