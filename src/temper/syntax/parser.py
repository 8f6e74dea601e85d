"""The grammar above expressions: files, declarations, clauses, properties, scenarios and upgrades."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from temper.syntax import tree as t
from temper.syntax.expressions import ExpressionReader
from temper.syntax.layout import Row, lay_out
from temper.syntax.lexer import END, INT, LOWER, PROBLEMS_MAX, SOURCE_LENGTH_MAX, STRING, UPPER, lex, unquote
from temper.syntax.reader import ELSE_HELP
from temper.syntax.tree import NO_TRIVIA, Trivia
from temper.syntax.words import (
    ACTION_PARTS,
    BASE_TYPES,
    CASE_PARTS,
    CLAUSES,
    ENTITY_PARTS,
    HANDLERS,
    OPENERS,
    POSTFIX_PRECEDENCE,
    PRECEDENCE,
    RESERVED,
    STAYS,
    TOOL_PARTS,
    TOP,
    UPGRADE_PARTS,
)
from temper.text import Code, Diagnostic, Fix, Label, Source, Span

_T = TypeVar("_T")

_ActionPart: TypeAlias = t.By | t.When | t.Let | t.From | t.Clause
_CasePart: TypeAlias = t.By | t.When | t.Let | t.Clause
_ToolPart: TypeAlias = t.Timeout | t.Retry | t.Idempotent | t.FromWasm
_UpgradePart: TypeAlias = t.Becomes | t.Set | t.Drop

_WHERE = {
    "states": "in an entity", "final": "in an entity", "group": "in an entity", "unique": "in an entity",
    "key": "in an entity", "action": "in an entity", "in": "in an entity", "late": "in an entity or below `in`",
    "defer": "in an entity or below `in`", "by": "in an entity or an action", "let": "in an entity or an action",
    "from": "in an action", "when": "in an action or a case", "set": "in an action or a case",
    "call": "in an action, a case or after `on entry`", "send": "in an action, a case or after `on entry`",
    "with": "in an action or a case", "create": "in an action, a case or after `on entry`",
    "emit": "in an action, a case or after `on entry`", "for": "in an action, a case or after `on entry`",
    "if": "in an action, a case or after `on entry`", "do": "after `on entry`, a timer or `late`",
    "on": "below `in`", "after": "below `in`", "at": "below `in`", "every": "below `in`", "whenever": "below `in`",
    "timeout": "below a tool", "retry": "below a tool", "idempotent": "below a tool",
    "assume": "below `eventually`", "given": "in a scenario", "wait": "in a scenario",
    **dict.fromkeys(
        ("blueprint", "role", "type", "record", "const", "tool", "entity", "event", "scope", "scenario", "upgrade"),
        "at the left edge",
    ),
}  # fmt: skip

_FOREIGN_WORDS = {
    "import": None, "include": None, "return": None, "def": "action", "func": "action", "function": "action",
    "transition": "action", "method": "action", "command": "action", "state": "states", "enum": "type",
    "struct": "record", "class": "entity", "machine": "entity", "invariant": "always", "assert": "always",
    "require": "when", "requires": "when", "guard": "when", "ensure": "when", "var": None, "field": None,
    "target": None, "allow": "by", "trigger": "emit", "publish": "emit", "invoke": "call", "notify": "send",
    "update": "set", "assign": "set", "actor": "role", "constant": "const", "test": "scenario", "foreach": "for",
    "where": "when", "goto": None, "terminal": "final", "initial": None, "roles": "role", "reachable": "can",
}  # fmt: skip


def parse(source: Source) -> tuple[t.File, tuple[Diagnostic, ...]]:
    """Return the tree of a file, and every problem found, in order of place. Never raises.

    What could not be read is a `Bad...` node, or left out.
    """
    if len(source.text) > SOURCE_LENGTH_MAX:
        problem = Diagnostic(
            Code.B015, "the file is too long", Label(Span(source.name, 0, 0)),
            help=f"a file has at most {SOURCE_LENGTH_MAX:_} characters; a bundle may have several",
        )  # fmt: skip
        return t.File(source.name, None, (), span=Span(source.name, 0, 0)), (problem,)
    tokens, root = lay_out(lex(source))
    parser = Parser(tokens)
    file = parser.read_file(root)
    return file, _in_order(source.name, tokens.problems)


def parse_bundle(sources: Iterable[Source]) -> tuple[t.Tree, tuple[Diagnostic, ...]]:
    """Return the tree of a bundle, its files in order of their paths, and every problem found. Never raises.

    That the files bear one name is checked here.
    """
    files: list[t.File] = []
    problems: list[Diagnostic] = []
    for source in sorted(sources, key=lambda source: source.name):
        file, found = parse(source)
        files.append(file)
        problems.extend(found)
    named = [file.name for file in files if file.name is not None]
    for name in named[1:]:
        if name.text != named[0].text:
            problems.append(
                Diagnostic(
                    Code.B032, f"this file belongs to `{name.text}`, another to `{named[0].text}`", Label(name.span),
                    (Label(named[0].span, "the bundle's first file"),),
                    "all files of a bundle begin with the same `blueprint` line", Fix(name.span, named[0].text),
                )  # fmt: skip
            )
    return t.Tree(tuple(files)), tuple(problems)


def parse_expression(text: str, file: str = "<expression>") -> tuple[t.Expr, tuple[Diagnostic, ...]]:
    """Return the expression that `text` is, and every problem found. Line ends count as spaces. Never raises."""
    if len(text) > SOURCE_LENGTH_MAX:
        span = Span(file, 0, 0)
        problem = Diagnostic(Code.B015, "the expression is too long", Label(span))
        return t.BadExpr(span=span), (problem,)
    tokens = lex(Source(file, text))
    tokens.kinds.append(END)
    tokens.texts.append("\n")
    end = tokens.ends[-1] if tokens.ends else 0
    tokens.starts.append(end)
    tokens.ends.append(end)
    # What looks ahead may look past the end by two.
    row = Row(0, 0)
    row.end = len(tokens.kinds) - 1
    _pad(tokens.kinds, tokens.texts, tokens.starts, tokens.ends)
    parser = Parser(tokens)
    parser.row = row
    expr = parser.expr()
    parser.end_row(row)
    return expr, _in_order(file, tokens.problems)


def _pad(kinds: list[int], texts: list[str], starts: list[int], ends: list[int]) -> None:
    for _ in range(4):
        kinds.append(END)
        texts.append("\n")
        starts.append(ends[-1])
        ends.append(ends[-1])


def _in_order(file: str, problems: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    ordered = sorted(problems, key=lambda problem: problem.primary.span.start)
    if len(ordered) >= PROBLEMS_MAX:
        last = ordered[PROBLEMS_MAX - 1].primary.span
        ordered = ordered[: PROBLEMS_MAX - 1]
        ordered.append(
            Diagnostic(
                Code.B017, "there are more problems in this file", Label(last),
                help=f"the first {PROBLEMS_MAX - 1} are shown; mend them, and look again",
            )  # fmt: skip
        )
    return tuple(ordered)


class Parser(ExpressionReader):
    """Reads a file, row by row."""

    # --- the file

    def read_file(self, root: Row) -> t.File:
        """Return the tree of the whole file."""
        if not self.kinds:
            self.kinds.append(END)
            self.texts.append("\n")
            self.starts.append(0)
            self.ends.append(0)
            self.row = root
            self.report(
                Code.B030, "missing `blueprint` line", self.here(), help="a file begins with `blueprint NAME`"
            )
        _pad(self.kinds, self.texts, self.starts, self.ends)
        name: t.Name | None = None
        trivia = Trivia(below=tuple(root.below)) if root.below else NO_TRIVIA
        rows = root.children
        span = Span(self.file, 0, 0)
        if rows:
            first = rows[0]
            self.row = first
            if self.texts[first.start] == "blueprint" and self.texts[first.start + 1] != ":":
                name = self.blueprint(first)
                span = Span(self.file, self.starts[first.start], self.ends[max(first.end - 1, first.start)])
                own = first.trivia()
                trivia = Trivia(own.above, own.detached, own.beside, own.blank_before, own.below + trivia.below)
                rows = rows[1:]
                if first.children:
                    self.row = first.children[0]
                    self.report(
                        Code.B014, "this line is indented too deep", self.token_span(self.row.start),
                        help="declarations begin at the left edge, like the `blueprint` line",
                    )  # fmt: skip
                    rows = [*first.children, *rows]
            else:
                guess = self.guess(self.texts[first.start], ["blueprint"]) if self.kinds[first.start] <= UPPER else None
                if guess is not None and first.end - first.start == 2:
                    wrong = self.token_span(first.start)
                    self.report(
                        Code.B033, f"unknown word `{self.texts[first.start]}`", wrong,
                        help="did you mean `blueprint`?", fix=Fix(wrong, "blueprint"),
                    )  # fmt: skip
                    name = self.blueprint(first)
                    rows = rows[1:]
                else:
                    self.report(
                        Code.B030, "missing `blueprint` line", self.token_span(first.start),
                        help="a file begins with `blueprint NAME`",
                    )  # fmt: skip
        declarations: list[t.Declaration] = []
        for row in rows:
            self.depth = 0
            self.read_row(row, self.declaration, declarations)
        return t.File(self.file, name, tuple(declarations), span=span, trivia=trivia)

    def blueprint(self, row: Row) -> t.Name | None:
        self.row, self.i, self.panic = row, row.start + 1, False
        name = self.lower("a blueprint")
        self.end_row(row)
        return name

    def declaration(self, row: Row, out: list[t.Declaration]) -> None:
        word = self.keyword(row, _TOP, "a declaration")
        if word is None:
            return
        if word == "":
            self.needs(row, out)
            return
        read = _TOP[word]
        read(self, row, out)

    # --- words that begin rows and clauses

    def keyword(self, row: Row, known: Mapping[str, object], what: str) -> str | None:
        """Return the word that says what the row is; "" where it begins like `S needs`. Steps over it if it is known."""
        i = self.i
        text, kind = self.texts[i], self.kinds[i]
        following = self.texts[i + 1]
        if text in known and following != ":":
            self.i = i + 1
            return text
        if self.begins_needs():
            return ""
        if kind > UPPER:
            self.fail_here(what)
            return None
        span = self.token_span(i)
        if following == ":" and known is _TOP:
            self.fail(
                Code.B034, f"the field `{text}` belongs to no entity", span,
                help="indent it below an `entity` line; the top has `const` for what never changes",
            )  # fmt: skip
            return None
        if text == "blueprint":
            self.fail(
                Code.B031, "`blueprint` stands at the start of a file, once", span,
                help="take this line away, or move it into a file of its own",
            )  # fmt: skip
            return None
        if text in {"else", "elif"}:
            self.fail(Code.B055, f"`{text}` has nothing to belong to", span, help=ELSE_HELP)
            return None
        if text in HANDLERS:
            self.fail(
                Code.B055, f"`{text}` has nothing to belong to", span,
                help=f"`{text}` goes on with a `call`: put it on the call's line, or indent it more deeply than that",
            )  # fmt: skip
            return None
        if text in OPENERS and not self.is_name_here(text):
            self.fail(
                Code.B034, f"`{text}` can't stand here", span, help=f"it stands {_WHERE.get(text, 'elsewhere')}"
            )
            return None
        meant = _FOREIGN_WORDS.get(text, "?")
        if meant == "?" or (meant is not None and meant not in known):
            meant = self.guess(text, known)
        if meant is not None:
            self.report(
                Code.B033, f"unknown word `{text}`", span, help=f"did you mean `{meant}`?", fix=Fix(span, meant)
            )
            self.i = i + 1
            return meant
        if text in _FOREIGN_WORDS:
            self.fail(Code.B033, f"unknown word `{text}`", span, help=self.instead(text, known))
            return None
        self.fail(
            Code.B033, f"unknown word `{text}`", span,
            help=f"{what} begins with one of {', '.join(f'`{word}`' for word in known)}",
        )  # fmt: skip
        return None

    def is_name_here(self, text: str) -> bool:
        return False

    @staticmethod
    def instead(text: str, known: Iterable[str]) -> str:
        """Return how to say what another language says by `text`."""
        return {
            "initial": "an entity begins at `new`, and enters its first state by an action `from new`",
            "var": "a field is written `name: type`",
            "field": "a field is written `name: type`",
            "goto": "an action changes the state: `from A to B`",
            "target": "an action changes the state: `from A to B`",
            "import": "the files of a bundle know each other's names",
            "include": "the files of a bundle know each other's names",
            "return": "an action gives nothing back; what it changed can be read",
        }.get(text) or f"here one of {', '.join(f'`{word}`' for word in known)} can stand"

    def begins_needs(self) -> bool:
        """Return whether the row reads `S needs`, `Entity.S needs`, or so with a title."""
        i = self.i
        if self.kinds[i] == STRING and self.texts[i + 1] == ":":
            i += 2
        if self.kinds[i] > UPPER:
            return False
        if self.texts[i + 1] == "needs":
            return True
        return self.texts[i + 1] == "." and self.kinds[i + 2] <= UPPER and self.texts[i + 3] == "needs"

    def resume(self, known: Iterable[str]) -> bool:
        """After a problem, go on at the next word of `known` that stands outside of brackets."""
        if not self.panic:
            return True
        depth = 0
        for i in range(self.panic_at, self.row.end):
            text = self.texts[i]
            if text in {"(", "[", "{"}:
                depth += 1
            elif text in {")", "]", "}"}:
                depth = max(depth - 1, 0)
            elif depth == 0 and i > self.row.start and text in known and self.texts[i - 1] not in {".", ","}:
                if text in {"if", "with", "set", "for"} and i == self.panic_at:
                    continue
                self.i = i
                self.panic = False
                return True
        return False

    # --- the top

    def role(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        trivia = row.trivia()
        names: list[t.Name] = []
        while True:
            if names and self.trailing_comma():
                break
            name = self.lower("a role")
            if name is None:
                break
            names.append(name)
            if not self.take(","):
                break
        if self.take("excludes"):
            if len(names) > 1:
                self.report(
                    Code.B035, "`excludes` has one role on its left", Span(self.file, names[1].span.start, names[-1].span.end),
                    help="write a line for each: `role a excludes b`",
                )  # fmt: skip
            others = self.names("a role")
            if names and others:
                out.append(t.Excludes(names[0], others, span=self.span(first), trivia=trivia))
            return
        if names:
            out.append(t.Role(tuple(names), span=self.span(first), trivia=trivia))

    def type_declaration(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.upper("a type")
        if name is None:
            return
        if self.texts[self.i] == ":":
            span = self.here()
            self.report(Code.B035, "expected `=`, found `:`", span, help="a type is written `type Name = ...`", fix=Fix(span, " ="))
            self.i += 1
        else:
            self.expect("=", help="a type is written `type Name = ...`")
        out.append(t.TypeDecl(name, self.type(), span=self.span(first), trivia=row.trivia()))

    def record(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.upper("a record")
        if name is None:
            return
        if self.texts[self.i] != "(":
            self.fail_here("`(`", help="a record's fields stand in brackets: `record Line(sku: string, units: int 1..)`")
        fields = self.params("a field", "a record's field") if not self.panic else ()
        out.append(t.Record(name, fields, span=self.span(first), trivia=row.trivia()))

    def const(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.lower("a constant")
        if name is None:
            return
        if self.texts[self.i] == ":":
            span = self.here()
            self.i += 1
            self.type()
            if not self.panic:
                span = Span(self.file, span.start, self.ends[self.i - 1])
                self.report(Code.B036, "a constant has no written type", span, help="take it away", fix=Fix(span, ""))
        self.equals("a constant is written `const name = expr`")
        out.append(t.Const(name, self.expr(), span=self.span(first), trivia=row.trivia()))

    def equals(self, help: str) -> None:
        if self.texts[self.i] == "==":
            span = self.here()
            self.report(Code.B052, "`==` compares", span, help=f"{help}, with one `=`", fix=Fix(span, "="))
            self.i += 1
        elif not self.panic:
            self.expect("=", help=help)

    def tool(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.dotted("a tool")
        for part in name:
            self.judge_lower(part, "a tool")
        params = self.params("a parameter", "a tool's parameter") if self.texts[self.i] == "(" and not self.panic else ()
        results: tuple[t.Param, ...] = ()
        if self.take("->") and not self.panic:
            if self.texts[self.i] == "(":
                results = self.params("a result", "a tool's result")
            else:
                span = self.here()
                start = self.i
                self.type()
                if not self.panic:
                    written = self.tokens.source.text[self.starts[start] : self.ends[self.i - 1]]
                    span = Span(self.file, span.start, self.ends[self.i - 1])
                    self.report(
                        Code.B035, "what a tool answers has a name", span, help=f"write `-> (answer: {written})`",
                        fix=Fix(span, f"(answer: {written})"),
                    )  # fmt: skip
        inline: list[_ToolPart] = []
        while not self.panic and not self.at_end() and self.texts[self.i] != ":":
            self.tool_part(None, inline)
        span = self.span(first) if not self.panic else self.token_span(first)
        parts = (*inline, *self.rows(row, self.tool_part))
        if name:
            out.append(t.Tool(name, params, results, parts, span=span, trivia=row.trivia()))

    def judge_lower(self, name: t.Name, what: str) -> None:
        at, panic = self.i, self.panic
        self.panic = False
        # The name has been read; look at it again as one that is given here.
        while self.starts[self.i] > name.span.start or self.kinds[self.i] == END:
            self.i -= 1
        self.lower(what)
        self.i, self.panic = at, panic

    def tool_part(self, row: Row | None, out: list[_ToolPart]) -> None:
        """Read one of what stands below a tool; without a row, on its line."""
        word = self.keyword(row or self.row, _TOOL, "what stands below a tool")
        first = self.i - 1
        trivia = row.trivia() if row is not None else NO_TRIVIA
        if word == "timeout":
            out.append(t.Timeout(self.expr(), span=self.span(first), trivia=trivia))
        elif word == "retry":
            count = self.expr()
            self.expect("every", help="write `retry N every D`, or `retry N every D up to D`")
            every = self.expr()
            up_to: t.Expr | None = None
            if self.take("up") and self.expect("to", help="write `retry N every D up to D`"):
                up_to = self.expr()
            out.append(t.Retry(count, every, up_to, span=self.span(first), trivia=trivia))
        elif word == "idempotent":
            out.append(t.Idempotent(span=self.span(first), trivia=trivia))
        elif word == "from":
            self.expect("wasm", help='write `from wasm "file.wasm"`')
            if self.kinds[self.i] == STRING:
                self.i += 1
                out.append(t.FromWasm(unquote(self.texts[self.i - 1]), span=self.span(first), trivia=trivia))
            else:
                self.fail_here("the file's name", help='write `from wasm "file.wasm"`')

    def event(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.upper("an event")
        if name is None:
            return
        params = self.params("a parameter", "an event's parameter") if self.texts[self.i] == "(" else ()
        out.append(t.Event(name, params, span=self.span(first), trivia=row.trivia()))

    def scope(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        items: list[t.ScopeItem] = []
        while True:
            if items and self.trailing_comma():
                break
            start = self.i
            entity = self.name("an entity")
            if entity is None:
                break
            if self.take("."):
                field = self.name("a field")
                if field is None:
                    break
                range_ = self.scope_range(start)
                items.append(t.ScopeItem(entity, field, None, *range_, span=self.span(start)))
            else:
                count = self.expr()
                items.append(t.ScopeItem(entity, None, count, span=self.span(start)))
            if not self.take(","):
                break
        out.append(t.Scope(tuple(items), span=self.span(first), trivia=row.trivia()))

    def scope_range(self, first: int) -> tuple[t.Expr | None, t.Expr | None]:
        at = self.i
        type_ = self.number_type("int", first)
        if isinstance(type_, t.NumberType) and type_.ranged:
            return type_.low, type_.high
        if not self.panic:
            self.i = at
            self.fail_here("a range", help="a field's scope is written `Account.balance 0..3`")
        return None, None

    # --- entities

    def entity(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.upper("an entity")
        self.end_row(row)
        span = Span(self.file, self.starts[first], self.ends[max(row.end - 1, first)])
        parts = self.rows(row, self.entity_part)
        if name is not None:
            out.append(t.Entity(name, parts, span=span, trivia=row.trivia()))

    def entity_part(self, row: Row, out: list[t.EntityPart]) -> None:
        i = self.i
        kind, following = self.kinds[i], self.texts[i + 1]
        if kind <= UPPER:
            if following == ":":
                self.field(row, out)
                return
            if self.texts[i] not in _ENTITY and self.looks_like_field():
                name = self.texts[i]
                self.report(
                    Code.B039, f"the field `{name}` has no `:`", self.token_span(i), help=f"write `{name}: ...`",
                    fix=Fix(Span(self.file, self.ends[i], self.ends[i]), ":"),
                )  # fmt: skip
                self.field(row, out, colon=False)
                return
        word = self.keyword(row, _ENTITY, "a line of an entity")
        if word is None:
            return
        if word == "":
            self.needs(row, out)
            return
        _ENTITY[word](self, row, out)

    def looks_like_field(self) -> bool:
        """Return whether a word and a type stand here, with nothing between them."""
        i = self.i + 1
        text, kind, after = self.texts[i], self.kinds[i], self.texts[i + 1]
        if self.texts[self.i] in OPENERS or self.kinds[self.i] != LOWER:
            return False
        if text in {"one", "set", "list", "map"}:
            return after == "of"
        if text in {"int", "decimal"}:
            return True
        if text in BASE_TYPES or kind == UPPER:
            return self.kinds[i + 1] == END or after in {"?", "="}
        return False

    def field(self, row: Row, out: list[t.EntityPart], *, colon: bool = True) -> None:
        first = self.i
        name = self.lower("a field")
        self.i += colon
        if name is None:
            return
        trivia = row.trivia()
        if self.texts[self.i] == "every" and self.kinds[self.i + 1] <= UPPER and not self.panic:
            self.i += 1
            entity = self.name("an entity")
            self.expect(".", help="an inverse set is written `disputes: every Dispute.payment max 8`")
            field = self.name("a field")
            if entity is None or field is None:
                return
            out.append(t.Inverse(name, entity, field, self.max(), span=self.span(first), trivia=trivia))
            return
        type_ = self.type()
        out.append(t.Field(name, type_, self.default(), span=self.span(first), trivia=trivia))

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

    def states(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        names = self.uppers("a state")
        self.no_commas(names, "a state")
        out.append(t.States(names, span=self.span(first), trivia=row.trivia()))

    def no_commas(self, names: tuple[t.Name, ...], what: str) -> None:
        """Say so where names stand beside each other without commas."""
        if names and not self.panic and self.kinds[self.i] == UPPER:
            self.fail(
                Code.B035, f"expected `,` between two names, found {self.found()}", self.here(),
                help="names are parted by commas", fix=self.insert(","),
            )  # fmt: skip

    def final(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        names = self.names("a state")
        self.no_commas(names, "a state")
        out.append(t.Final(names, span=self.span(first), trivia=row.trivia()))

    def group(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        name = self.upper("a group")
        if name is None:
            return
        self.equals("a group is written `group Open = A, B`")
        members = self.names("a state")
        self.no_commas(members, "a state")
        out.append(t.Group(name, members, span=self.span(first), trivia=row.trivia()))

    def unique(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        fields = self.fields_in_brackets("unique")
        ever = self.take("ever")
        if fields:
            out.append(t.Unique(fields, ever, span=self.span(first), trivia=row.trivia()))

    def key(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        fields = self.fields_in_brackets("key")
        if fields:
            out.append(t.Key(fields, span=self.span(first), trivia=row.trivia()))

    def fields_in_brackets(self, word: str) -> tuple[t.Name, ...]:
        """Return `a`, or `(a, b)`."""
        if self.take("("):
            names = self.names("a field")
            self.expect(")", what="`,` or `)`")
            return names
        name = self.name("a field")
        if name is None:
            return ()
        if self.texts[self.i] == "," and not self.panic:
            self.fail(
                Code.B035, "several fields stand in brackets", self.here(), help=f"write `{word} (a, b)`"
            )
        return (name,)

    # --- actions

    def action(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        name = self.upper("an action")
        params: tuple[t.Param, ...] = ()
        if name is not None and self.texts[self.i] == "(" and not self.panic:
            params = self.params("a parameter", "an action's parameter")
        parts: list[_ActionPart] = []
        while self.resume(ACTION_PARTS) and not self.at_end() and self.texts[self.i] != ":":
            self.action_part(None, parts)
        inline = len(parts)
        own_case = next((part for part in parts if isinstance(part, t.From)), None)
        broken = self.panic
        span = Span(self.file, self.starts[first], self.ends[row.end - 1]) if row.end > first else self.token_span(first)
        parts.extend(self.rows(row, self.action_part))
        self.panic = broken
        if own_case is not None:
            self.one_own_case(own_case, parts[inline:])
        if name is not None:
            out.append(t.Action(name, params, tuple(parts), inline, span=span, trivia=row.trivia()))

    def one_own_case(self, own: t.From, below: list[_ActionPart]) -> None:
        for part in below:
            if isinstance(part, t.From):
                self.report(
                    Code.B073, "a second case", part.span, secondary=(Label(own.span, "the first one"),),
                    help="a `from` on the action's own line is its only case; put both on deeper lines",
                )  # fmt: skip
                return

    def action_part(self, row: Row | None, out: list[_ActionPart]) -> None:
        """Read one part of an action; without a row, on the action's own line."""
        word = self.keyword(row or self.row, _ACTION, "a part of an action")
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

    def case_part(self, row: Row | None, out: list[_CasePart]) -> None:
        """Read one part of a case; without a row, on the case's own line."""
        word = self.keyword(row or self.row, _CASE, "a part of a case")
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
            Code.B071, f"`{text}` begins a second clause on this line", self.here(),
            help="on deeper lines clauses stand one each; put it on a line of its own",
            fix=Fix(before, "\n" + " " * self.row.indent),
        )  # fmt: skip

    def case_part_of(self, word: str, trivia: Trivia) -> _CasePart | None:
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
                Code.B070, f"expected `to`, found `{self.texts[self.i]}`", span, help="a case is written `from A, B to C`",
                fix=Fix(span, "to"),
            )  # fmt: skip
            self.i += 1
            to = self.name("a state")
        elif self.take("to"):
            to = self.name("a state after `to`")
            if self.texts[self.i] == "," and not self.panic:
                self.fail(
                    Code.B035, "a case leads to one state", self.here(),
                    help="write a `from` line for each, with the `when` that tells them apart",
                )  # fmt: skip
        parts: list[_CasePart] = []
        while self.resume(CASE_PARTS) and not self.at_end() and self.texts[self.i] not in {":", "from"}:
            self.case_part(None, parts)
        if on_own_line and self.texts[self.i] == "from" and not self.panic:
            self.fail(
                Code.B073, "a second case", self.here(), secondary=(Label(self.token_span(first), "the first one"),),
                help="a `from` on the action's own line is its only case; put both on deeper lines",
            )  # fmt: skip
        span = self.span(first) if not self.panic else Span(self.file, self.starts[first], self.ends[self.row.end - 1])
        if row is not None:
            parts.extend(self.rows(row, self.case_part))
        return t.From(froms, to, tuple(parts), span=span, trivia=trivia)

    def case_sources(self) -> tuple[t.Name, ...]:
        if self.texts[self.i] == "*":
            span = self.here()
            self.report(
                Code.B035, "expected a state, found `*`", span, fix=Fix(span, "any"),
                help="`from any` is every state that is not final, `from all` the final ones too",
            )  # fmt: skip
            self.i += 1
            return (t.Name("any", span=span),)
        return self.names("a state after `from`")

    def by(self, trivia: Trivia) -> t.By:
        first = self.i - 1
        who: list[t.Expr] = []
        while True:
            if who and self.trailing_comma():
                break
            who.append(self.expr(PRECEDENCE["or"]) if self.texts[self.i] not in RESERVED else self.who())
            if self.texts[self.i] in {"or", "and"} and not self.panic:
                span = self.here()
                if self.texts[self.i] == "or":
                    self.report(
                        Code.B035, "expected `,`, found `or`", span, help="those who may are parted by commas",
                        fix=Fix(Span(self.file, self.ends[self.i - 1], span.end), ","),
                    )  # fmt: skip
                    self.i += 1
                    continue
                self.fail(
                    Code.B035, "expected `,`, found `and`", span,
                    help="`by` lists who may, each alone; that several must is a property: `S needs 2 of ROLE`",
                )  # fmt: skip
            if not self.take(","):
                break
        return t.By(tuple(who), span=self.span(first), trivia=trivia)

    def who(self) -> t.Expr:
        text = self.texts[self.i]
        if text in {"all", "any"}:
            span = self.here()
            self.report(
                Code.B035, f"expected who may do this, found `{text}`", span, help="`anyone` is everybody who is known",
                fix=Fix(span, "anyone"),
            )  # fmt: skip
            self.i += 1
            return t.Ref(t.Name("anyone", span=span), span=span)
        return self.expr(PRECEDENCE["or"])

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
                    "a text after `else`", code=Code.B055,
                    help='after a `when`, `else` says what the caller is told: `when E else "..."`',
                )  # fmt: skip
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

    def params(self, what: str, whose: str) -> tuple[t.Param, ...]:
        """Return the parameters in the brackets where we are."""
        self.i += 1
        out: list[t.Param] = []
        if self.take(")"):
            return ()
        while True:
            if out and self.trailing_comma():
                break
            first = self.i
            if self.kinds[first] <= UPPER and self.texts[first + 1] not in {":", ",", ")", "="} and (
                self.kinds[first + 1] <= UPPER
            ):  # fmt: skip
                name = self.texts[first]
                self.report(
                    Code.B039, f"`{name}` has no `:`", self.token_span(first), help=f"write `{name}: ...`",
                    fix=Fix(Span(self.file, self.ends[first], self.ends[first]), ":"),
                )  # fmt: skip
                given = self.lower(whose)
                type_: t.TypeExpr | None = self.type()
            else:
                given = self.lower(whose) if self.at_word() else self.missing_param(what)
                type_ = self.type() if self.take(":") else None
            if given is None:
                break
            out.append(t.Param(given, type_, self.default(), span=self.span(first)))
            if not self.take(","):
                break
        self.expect(")", what="`,` or `)`")
        return tuple(out)

    def missing_param(self, what: str) -> None:
        self.fail_here(what)

    # --- clauses

    def clause_row(self, row: Row, out: list[t.Clause]) -> None:
        """Read a clause that stands on a line of its own."""
        word = self.keyword(row, _CLAUSE, "a clause")
        if word is None:
            return
        clause = self.clause_of(word, row.trivia())
        if clause is not None:
            out.append(clause)
        self.one_each(CLAUSES)

    def clause(self) -> t.Clause | None:
        """Return the clause that stands within a line."""
        word = self.keyword(self.row, _CLAUSE, "a clause")
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
                Code.B021, f"`{target.text}` can't be set", target.span,
                help="the state changes by `from A to B` alone" if target.text == "state" else "a field of this entity can be set",
            )  # fmt: skip
        if self.texts[self.i] == "." and not self.panic:
            end = self.i
            while self.texts[end] == "." and self.kinds[end + 1] <= UPPER:
                end += 2
            whole = Span(self.file, target.span.start, self.ends[end - 1])
            self.fail(
                Code.B074, "only fields of this entity can be set", whole,
                help="another entity changes by its own actions: `send x.Action(...)` or `with x.Action(...)`",
            )  # fmt: skip
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
                    Code.B072, f"`{word}` is given twice", self.here(),
                    secondary=(Label(self.token_span(places[word]), "the first one"),),
                    help="an outcome has one handler; let its action's cases tell what follows",
                )  # fmt: skip
            places.setdefault(word, self.i)
            self.i += 1
            handler = self.handler(word)
            if handler is None:
                break
            handlers.setdefault(word, handler)
        if not tool:
            return None
        return t.Call(
            tool, args, handlers.get("then"), handlers.get("else"), handlers.get("unknown"),
            span=self.span(first), trivia=trivia,
        )  # fmt: skip

    def handler(self, word: str) -> t.Invoke | t.Nothing | None:
        if self.take("_"):
            return t.Nothing(span=self.token_span(self.i - 1))
        if self.texts[self.i] == "do" and self.kinds[self.i + 1] <= UPPER:
            span = Span(self.file, self.starts[self.i], self.starts[self.i + 1])
            self.report(Code.B035, f"unexpected `do` after `{word}`", span, help=f"write `{word} Action(...)`", fix=Fix(span, ""))
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
        name = self.lower("a name") if self.take("as") else None
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
                Code.B054, "a clause under a condition has no `then`", self.here(), help="write `if E: CLAUSE`",
                fix=Fix(span, ":"),
            )  # fmt: skip
            self.i += 1
            body = self.body("if E", colon=False)
        else:
            body = self.body("if E")
        return t.If(condition, body, span=self.header_span(first), trivia=trivia)

    def header_span(self, first: int) -> Span:
        last = self.i if self.i < self.row.end else self.row.end
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
        elif colon and not self.expect(":", help=f"write `{form}: CLAUSE`"):
            return ()
        if self.at_end():
            if not row.children or row.used:
                self.fail_here(
                    "a clause", help="it stands behind the `:` or on deeper lines",
                )  # fmt: skip
                return ()
            return self.rows(row, self.clause_row)
        self.depth += 1
        clause = self.clause() if self.depth <= 32 else self.clauses_too_deep()
        self.depth -= 1
        return () if clause is None else (clause,)

    def clauses_too_deep(self) -> None:
        self.fail(Code.B016, "clauses are nested too deep", self.here(), help="at most 32 levels can be read")

    # --- what belongs to states

    def in_(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        states = self.names("a state after `in`")
        parts: list[t.Stay] = []
        span = self.header_span(first)
        while self.resume(STAYS) and not self.at_end() and self.texts[self.i] != ":":
            self.stay(None, parts)
        if not self.panic:
            span = self.header_span(first)
        broken = self.panic
        parts.extend(self.rows_unless_used(row, self.stay))
        self.panic = broken
        if not parts and not broken and not row.children:
            self.report(
                Code.B035, "nothing belongs to these states", span,
                help="write `on entry`, `after`, `late`, ... behind them or on deeper lines",
            )  # fmt: skip
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
        word = self.keyword(row or self.row, _STAY, "what belongs to states")
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
            self.report(Code.B037, f"unexpected `:` after `on {word}`", span, help=f"write `on {word} CLAUSE`", fix=Fix(span, ""))
            self.i += 1
        row = self.row
        if self.at_end() and row.children and row.start <= first and not row.used:
            # Several deeper clauses are as many lines `on entry`.
            span = self.span(first)
            for number, clause in enumerate(self.rows(row, self.clause_row)):
                own = trivia if number == 0 else NO_TRIVIA
                out.append(make(clause, span=span, trivia=own))
            return
        clause = self.clause()
        if clause is not None:
            out.append(make(clause, span=self.header_span(first), trivia=trivia))

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
                "`ignore` or `do`", help="write `late A, B ignore`, or `late A do C(...)`",
                fix=Fix(self.here(), meant) if meant is not None else None,
            )  # fmt: skip
            return ()
        self.i += 1
        invoke = self.invoke("an action after `do`")
        return () if invoke is None else (t.Late(actions, invoke, span=self.span(first), trivia=trivia),)

    def late_of_entity(self, row: Row, out: list[t.EntityPart]) -> None:
        out.extend(self.late(row.trivia()))

    def defer_of_entity(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        out.append(t.Defer(self.names("an action after `defer`"), span=self.span(first), trivia=row.trivia()))

    # --- properties

    def title(self) -> str | None:
        """Return the name of a property: a text and a `:`."""
        if self.kinds[self.i] != STRING:
            return None
        title = unquote(self.texts[self.i])
        self.i += 1
        if self.texts[self.i] != ":" and not self.panic:
            self.report(
                Code.B039, "missing `:` after the property's name", self.token_span(self.i - 1),
                help='write `always "name": E`', fix=self.insert(":"),
            )  # fmt: skip
        else:
            self.i += 1
        return title

    def state_name(self, what: str = "a state") -> t.StateName | None:
        first = self.i
        name = self.name(what)
        if name is None:
            return None
        if self.texts[self.i] == "." and not self.panic:
            self.i += 1
            state = self.name(what)
            return None if state is None else t.StateName(name, state, span=self.span(first))
        return t.StateName(None, name, span=name.span)

    def state_names(self, what: str = "a state") -> tuple[t.StateName, ...]:
        out: list[t.StateName] = []
        while True:
            if out and self.trailing_comma():
                break
            name = self.state_name(what)
            if name is None:
                break
            out.append(name)
            if not self.take(","):
                break
        return tuple(out)

    def always(self, row: Row, out: list[_P]) -> None:
        first = self.i - 1
        title = self.title()
        condition = self.expr()
        out.append(t.Always(title, condition, span=self.span(first), trivia=row.trivia()))

    def eventually(self, row: Row, out: list[_P]) -> None:
        first = self.i - 1
        title = self.title()
        froms = self.state_names()
        form = "write `eventually A leads to B, C`"
        if self.texts[self.i] in {"->", "=>"} and not self.panic:
            span = self.here()
            self.report(Code.B035, f"expected `leads to`, found {self.found()}", span, help=form, fix=Fix(span, "leads to"))
            self.i += 1
        else:
            if self.expect("leads", what="`leads to`", help=form):
                self.expect("to", help=form)
        to = self.state_names() if not self.panic else ()
        span = self.header_span(first)
        assumes: list[t.Assume] = []
        while not self.panic and self.texts[self.i] == "assume":
            self.assume(None, assumes)
        assumes.extend(self.rows(row, self.assume))
        out.append(t.Eventually(title, froms, to, tuple(assumes), span=span, trivia=row.trivia()))

    def assume(self, row: Row | None, out: list[t.Assume]) -> None:
        first = self.i
        form = "write `assume ROLE responds` or `assume TOOL succeeds`"
        if not self.expect("assume", help=form):
            return
        who = self.dotted("a role or a tool after `assume`")
        verb = self.texts[self.i]
        if verb not in {"responds", "succeeds"}:
            meant = self.guess(verb, ("responds", "succeeds")) if self.at_word() else None
            self.fail_here(
                "`responds` or `succeeds`", help=form, fix=Fix(self.here(), meant) if meant is not None else None
            )
            return
        self.i += 1
        trivia = row.trivia() if row is not None else NO_TRIVIA
        out.append(t.Assume(who, verb, span=self.span(first), trivia=trivia))

    def never(self, row: Row, out: list[_P]) -> None:
        first = self.i - 1
        title = self.title()
        role = self.name("a role after `never`")
        form = "write `never ROLE enters S`; that a condition never holds is `always not (...)`"
        if not self.expect("enters", help=form) or role is None:
            return
        states = self.state_names()
        out.append(t.Never(title, role, states, span=self.span(first), trivia=row.trivia()))

    def can(self, row: Row, out: list[_P]) -> None:
        first = self.i - 1
        if not self.expect("reach", help="write `can reach S`"):
            return
        title = self.title()
        states = self.state_names()
        out.append(t.CanReach(title, states, span=self.span(first), trivia=row.trivia()))

    def needs(self, row: Row, out: list[_P]) -> None:
        first = self.i
        title = self.title()
        state = self.state_name()
        if state is None:
            return
        self.i += 1
        count = self.operand(POSTFIX_PRECEDENCE)
        role: t.Name | None = None
        by: tuple[t.Name, ...] = ()
        since: tuple[t.Name, ...] = ()
        besides: t.Name | None = None
        seen: dict[str, int] = {}
        while not self.panic and not self.at_end():
            word = self.texts[self.i]
            if word not in {"of", "by", "besides", "since"}:
                meant = self.guess(word, ("of", "by", "besides", "since")) if self.at_word() else None
                self.fail_here(
                    "`of`, `by`, `besides` or `since`",
                    help="write `S needs 2 of ROLE by Action besides field since Action`",
                    fix=Fix(self.here(), meant) if meant is not None else None,
                )  # fmt: skip
                break
            if word in seen:
                self.fail(
                    Code.B072, f"`{word}` is given twice", self.here(),
                    secondary=(Label(self.token_span(seen[word]), "the first one"),),
                )  # fmt: skip
                break
            seen[word] = self.i
            self.i += 1
            if word == "of":
                role = self.name("a role after `of`")
            elif word == "by":
                by = self.names("an action after `by`")
            elif word == "besides":
                besides = self.name("a field after `besides`")
            else:
                since = self.names("an action after `since`")
        out.append(
            t.Needs(title, state, count, role, by, besides, since, span=self.header_span(first), trivia=row.trivia())
        )

    # --- scenarios

    def scenario(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        title = ""
        if self.kinds[self.i] == STRING:
            title = unquote(self.texts[self.i])
            self.i += 1
        else:
            self.fail_here("a text after `scenario`", help='write `scenario "what it shows"`')
        span = self.header_span(first)
        steps = self.rows(row, self.scenario_step)
        out.append(t.Scenario(title, steps, span=span, trivia=row.trivia()))

    def scenario_step(self, row: Row, out: list[t.ScenarioStep]) -> None:
        i = self.i
        text, following = self.texts[i], self.texts[i + 1]
        is_word = self.kinds[i] <= UPPER
        if text == "given" and self.kinds[i + 1] <= UPPER:
            self.given(row, out)
        elif text == "wait" and following != "." and following not in PRECEDENCE:
            self.i += 1
            duration = self.expr()
            out.append(t.Wait(duration, self.expectations(), span=self.span(i), trivia=row.trivia()))
        elif text == "emitted" and self.kinds[i + 1] <= UPPER:
            self.i += 1
            event = self.name("an event")
            assert event is not None, "a word is next"
            args = self.args() if self.texts[self.i] == "(" else ()
            out.append(t.Emitted(event, args, span=self.span(i), trivia=row.trivia()))
        elif is_word and self.tool_verb():
            self.tool_does(row, out)
        elif is_word and self.begins_act():
            self.act(row, out)
        else:
            condition = self.expr()
            if self.texts[self.i] == "->" and not self.panic:
                self.fail(
                    Code.B035, "a check expects nothing more", self.here(),
                    help="`->` follows a step; write what must hold on a line of its own",
                )  # fmt: skip
            out.append(t.Check(condition, span=self.span(i), trivia=row.trivia()))

    def tool_verb(self) -> bool:
        """Return whether a path and a tool's verb stand here."""
        i = self.i + 1
        while self.texts[i] == "." and self.kinds[i + 1] <= UPPER:
            i += 2
        return self.texts[i] in {"fails", "answers", "times"}

    def begins_act(self) -> bool:
        """Return whether someone stands here who does something, rather than an expression."""
        i = self.i
        if self.texts[i] in RESERVED:
            return False
        following = self.texts[i + 1]
        if following == ",":
            return True
        if following == "(":
            closing = i + 3 if self.texts[i + 2] != ")" else i + 2
            if self.texts[closing] != ")" and self.texts[closing] not in {"-", "@", "."}:
                return False
            while self.texts[closing] != ")" and self.kinds[closing] != END:
                closing += 1
            i = closing
        return self.kinds[i + 1] <= UPPER and self.texts[i + 1] not in {"is", "in", "not", "and", "or", "implies"}

    def act(self, row: Row, out: list[t.ScenarioStep]) -> None:
        first = self.i
        roles: list[t.Name] = []
        principal: t.Name | None = None
        while True:
            role = self.name("a role")
            if role is None:
                return
            roles.append(role)
            if self.take("("):
                if self.kinds[self.i] == STRING:
                    span = self.here()
                    self.report(
                        Code.B035, "a principal is a bare word", span, help="write it without quotes",
                        fix=Fix(span, unquote(self.texts[self.i])) if unquote(self.texts[self.i]).isidentifier() else None,
                    )  # fmt: skip
                    principal = t.Name(unquote(self.texts[self.i]), span=span)
                    self.i += 1
                else:
                    principal = self.name("a principal")
                self.expect(")", help="write `role(principal)`; several roles are written `a, b(principal)`")
                break
            if not self.take(","):
                break
        if self.panic:
            return
        creates: t.Name | None = None
        if self.texts[self.i + 1] == "=":
            creates = self.lower("a name")
            self.i += 1
        target = self.name("what is acted upon")
        if target is None:
            return
        if not self.expect(".", help="write `role(principal) r.Action(...)`, or `role(principal) r = Entity.Action(...)`"):
            return
        invoke = self.invoke()
        if invoke is None:
            return
        expect = self.expectations()
        out.append(
            t.Act(tuple(roles), principal, creates, target, invoke, expect, span=self.span(first), trivia=row.trivia())
        )

    def given(self, row: Row, out: list[t.ScenarioStep]) -> None:
        first = self.i
        self.i += 1
        entity = self.name("an entity after `given`")
        name = self.lower("a name")
        args = self.args() if self.texts[self.i] == "(" and not self.panic else ()
        if entity is not None and name is not None:
            out.append(t.Given(entity, name, args, span=self.span(first), trivia=row.trivia()))

    def tool_does(self, row: Row, out: list[t.ScenarioStep]) -> None:
        first = self.i
        tool = self.dotted("a tool")
        verb = self.texts[self.i]
        self.i += 1
        text: str | None = None
        args: tuple[t.Arg, ...] = ()
        if verb == "fails":
            if self.kinds[self.i] == STRING:
                text = unquote(self.texts[self.i])
                self.i += 1
        elif verb == "answers":
            if self.texts[self.i] == "(":
                args = self.args()
        else:
            self.expect("out", help="write `TOOL times out`")
            verb = "times_out"
        expect = self.expectations()
        out.append(t.ToolDoes(tool, verb, text, args, expect, span=self.span(first), trivia=row.trivia()))

    def expectations(self) -> tuple[t.Expectation, ...]:
        """Return what is written behind `->`; there may be several, with commas or with an arrow each."""
        out: list[t.Expectation] = []
        while not self.panic and self.take("->"):
            while True:
                if out and self.texts[self.i - 1] == "," and self.trailing_comma():
                    break
                one = self.expectation()
                if one is None:
                    break
                out.append(one)
                if not self.take(","):
                    break
        return tuple(out)

    def expectation(self) -> t.Expectation | None:
        i = self.i
        text, kind, following = self.texts[i], self.kinds[i], self.texts[i + 1]
        ends = self.kinds[i + 1] == END or following in {",", "->"}
        if text == "refused" and (ends or self.kinds[i + 1] == STRING):
            self.i += 1
            told: str | None = None
            if self.kinds[self.i] == STRING:
                told = unquote(self.texts[self.i])
                self.i += 1
            return t.RefusedWith(told, span=self.span(i))
        if ends and kind <= UPPER and text not in RESERVED:
            self.i += 1
            if text == "denied":
                return t.Denied(span=self.span(i))
            name = t.Name(text, span=self.token_span(i))
            return t.BecomesState(name, span=name.span) if kind == UPPER else t.Names(name, span=name.span)
        if kind == END:
            self.fail_here("what comes of it", help='write `-> State`, `-> denied`, `-> refused "..."` or `-> r.field == 1`')
            return None
        return t.Holds(self.expr(), span=self.span(i))

    # --- upgrades

    def upgrade(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        form = "write `upgrade from 3`, with the version that is left"
        self.expect("from", help=form)
        version: int | None = None
        if self.kinds[self.i] == INT:
            version = int(self.texts[self.i])
            self.i += 1
        else:
            self.fail_here("a version", help=form)
        span = self.header_span(first)
        inline: list[t.UpgradeEntity] = []
        if not self.panic and not self.at_end() and self.kinds[self.i] == UPPER:
            self.upgrade_entity(None, inline)
        entities = (*inline, *self.rows(row, self.upgrade_entity))
        if version is not None:
            out.append(t.Upgrade(version, entities, span=span, trivia=row.trivia()))

    def upgrade_entity(self, row: Row | None, out: list[t.UpgradeEntity]) -> None:
        first = self.i
        name = self.name("an entity")
        span = self.header_span(first)
        parts: list[_UpgradePart] = []
        while name is not None and not self.panic and not self.at_end() and self.texts[self.i] != ":":
            self.upgrade_part(None, parts)
        if row is not None:
            parts.extend(self.rows(row, self.upgrade_part))
        if name is not None:
            trivia = row.trivia() if row is not None else NO_TRIVIA
            out.append(t.UpgradeEntity(name, tuple(parts), span=span, trivia=trivia))

    def upgrade_part(self, row: Row | None, out: list[_UpgradePart]) -> None:
        first = self.i
        trivia = row.trivia() if row is not None else NO_TRIVIA
        text = self.texts[first]
        if text == "set":
            self.i += 1
            out.append(self.set_(trivia))
        elif text == "drop" and self.texts[first + 1] != "becomes":
            self.i += 1
            for number, name in enumerate(self.names("a field after `drop`")):
                out.append(t.Drop(name, span=name.span, trivia=trivia if number == 0 else NO_TRIVIA))
        else:
            old = self.name("`becomes`, `set` or `drop`")
            form = "write `Old becomes New`, `set field = E` or `drop field`"
            if old is None or not self.expect("becomes", what="`becomes`, `set` or `drop`", help=form):
                return
            new = self.name("a state after `becomes`")
            if new is not None:
                out.append(t.Becomes(old, new, span=self.span(first), trivia=trivia))

    def leftover_help(self, text: str) -> str | None:
        if text in UPGRADE_PARTS or text in OPENERS:
            return "put it on a line of its own"
        return super().leftover_help(text)


_P: TypeAlias = t.Always | t.Eventually | t.Never | t.Needs | t.CanReach

_TOP: dict[str, Callable[..., None]] = {
    "role": Parser.role,
    "type": Parser.type_declaration,
    "record": Parser.record,
    "const": Parser.const,
    "tool": Parser.tool,
    "entity": Parser.entity,
    "event": Parser.event,
    "scope": Parser.scope,
    "scenario": Parser.scenario,
    "upgrade": Parser.upgrade,
    "always": Parser.always,
    "eventually": Parser.eventually,
    "never": Parser.never,
    "can": Parser.can,
}
_ENTITY: dict[str, Callable[..., None]] = {
    "states": Parser.states,
    "final": Parser.final,
    "group": Parser.group,
    "let": Parser.let_of_entity,
    "unique": Parser.unique,
    "key": Parser.key,
    "by": Parser.by_of_entity,
    "action": Parser.action,
    "in": Parser.in_,
    "late": Parser.late_of_entity,
    "defer": Parser.defer_of_entity,
    "always": Parser.always,
    "eventually": Parser.eventually,
    "never": Parser.never,
    "can": Parser.can,
}
_TOOL = dict.fromkeys(TOOL_PARTS)
_ACTION = dict.fromkeys(ACTION_PARTS)
_CASE = dict.fromkeys(CASE_PARTS)
_CLAUSE = dict.fromkeys(CLAUSES)
_STAY = dict.fromkeys(STAYS)
assert set(_TOP) == set(TOP) - {"blueprint"}, "a word of the top has no reader"
assert set(_ENTITY) == set(ENTITY_PARTS), "a word of entities has no reader"
