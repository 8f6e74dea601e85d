"""Declarations: what stands at the top of a file, and what stands in an entity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from temper.syntax import tree as t
from temper.syntax.layout import Row
from temper.syntax.lexer import END, INT, LOWER, STRING, UPPER, unquote
from temper.syntax.scenarios import ScenarioReader
from temper.syntax.tree import NO_TRIVIA
from temper.syntax.words import (
    BASE_TYPES,
    ENTITY_PARTS,
    OPENERS,
    RESERVED,
    TOOL_PARTS,
    TOP,
    UPGRADE_PARTS,
)
from temper.text import Code, Fix, Span

_ToolPart: TypeAlias = t.Timeout | t.Retry | t.Idempotent | t.FromWasm
_UpgradePart: TypeAlias = t.Becomes | t.Set | t.Drop


class DeclarationReader(ScenarioReader):
    """Reads declarations."""

    # --- the top

    def declaration(self, row: Row, out: list[t.Declaration]) -> None:
        """Read what stands at the left edge."""
        if self.texts[self.i + 1] == ":" and self.at_word():
            self.fail(
                Code.B034,
                f"the field `{self.texts[self.i]}` belongs to no entity",
                self.here(),
                help="indent it below an `entity` line; the top has `const` for what never changes",
            )
            return
        if self.begins_needs():
            self.needs(row, out)
            return
        word = self.keyword(_TOP, "a declaration")
        if word is not None:
            _TOP[word](self, row, out)

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
                    Code.B035,
                    "`excludes` has one role on its left",
                    Span(self.file, names[1].span.start, names[-1].span.end),
                    help="write a line for each: `role a excludes b`",
                )
            others = self.names("a role")
            if names and others:
                out.append(t.Excludes(names[0], others, span=self.span(first), trivia=trivia))
            return
        self.no_commas(tuple(names))
        if names:
            out.append(t.Role(tuple(names), span=self.span(first), trivia=trivia))

    def type_declaration(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.upper("a type")
        if name is None:
            return
        self.equals("a type is written `type Name = ...`")
        out.append(t.TypeDecl(name, self.type(), span=self.span(first), trivia=row.trivia()))

    def record(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.upper("a record")
        if name is None:
            return
        if self.texts[self.i] != "(":
            self.fail_here(
                "`(`", help="a record's fields stand in brackets: `record Line(sku: string, units: int 1..)`"
            )
        fields = self.params("a record's field") if not self.panic else ()
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

    def tool(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        name = self.dotted("a tool")
        for part in name:
            self.judge_lower(part, "a tool")
        params = self.params("a tool's parameter") if self.texts[self.i] == "(" and not self.panic else ()
        results: tuple[t.Param, ...] = ()
        if self.texts[self.i] == ":" and self.kinds[self.i + 1] != END and not self.panic:
            span, form = self.here(), "write `-> (answer: T)`"
            self.report(Code.B035, "expected `->`, found `:`", span, help=form, fix=Fix(span, " ->"))
            self.i += 1
            answers = True
        else:
            answers = self.take("->")
        if answers and not self.panic:
            if self.texts[self.i] == "(":
                results = self.params("a tool's result")
            else:
                span = self.here()
                start = self.i
                self.type()
                if not self.panic:
                    written = self.tokens.source.text[self.starts[start] : self.ends[self.i - 1]]
                    span = Span(self.file, span.start, self.ends[self.i - 1])
                    self.report(
                        Code.B035,
                        "what a tool answers has a name",
                        span,
                        help=f"write `-> (answer: {written})`",
                        fix=Fix(span, f"(answer: {written})"),
                    )
        inline: list[_ToolPart] = []
        self.parts_on_line(self.tool_part, inline, TOOL_PARTS)
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
        word = self.keyword(_TOOL, "what stands below a tool")
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
        params = self.params("an event's parameter") if self.texts[self.i] == "(" else ()
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
                    Code.B039,
                    f"the field `{name}` has no `:`",
                    self.token_span(i),
                    help=f"write `{name}: ...`",
                    fix=Fix(Span(self.file, self.ends[i], self.ends[i]), ":"),
                )
                self.field(row, out, colon=False)
                return
        if self.begins_needs():
            self.needs(row, out)
            return
        word = self.keyword(_ENTITY, "a line of an entity")
        if word is not None:
            _ENTITY[word](self, row, out)

    def looks_like_field(self) -> bool:
        """Return whether a word and a type stand here, with nothing between them."""
        i = self.i + 1
        text, kind, after = self.texts[i], self.kinds[i], self.texts[i + 1]
        if self.texts[self.i] in OPENERS or self.texts[self.i] in RESERVED or self.kinds[self.i] != LOWER:
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

    def states(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        names = self.uppers("a state")
        self.no_commas(names)
        out.append(t.States(names, span=self.span(first), trivia=row.trivia()))

    def no_commas(self, names: tuple[t.Name, ...]) -> None:
        """Say so where names stand beside each other without commas."""
        if names and not self.panic and self.at_word():
            self.fail(
                Code.B035,
                f"expected `,` between two names, found {self.found()}",
                self.here(),
                help="names are parted by commas",
                fix=self.insert(","),
            )

    def final(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        names = self.names("a state")
        self.no_commas(names)
        out.append(t.Final(names, span=self.span(first), trivia=row.trivia()))

    def group(self, row: Row, out: list[t.EntityPart]) -> None:
        first = self.i - 1
        name = self.upper("a group")
        if name is None:
            return
        self.equals("a group is written `group Open = A, B`")
        members = self.names("a state")
        self.no_commas(members)
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
            self.close(")")
            return names
        first = self.i
        names = self.names("a field")
        if len(names) > 1:
            span = self.span(first)
            meant = f"({', '.join(name.text for name in names)})"
            help = f"write `{word} {meant}`"
            self.report(Code.B035, "several fields stand in brackets", span, help=help, fix=Fix(span, meant))
        return names

    # --- upgrades

    def upgrade(self, row: Row, out: list[t.Declaration]) -> None:
        first = self.i - 1
        form = "write `upgrade from 3`, with the version that is left"
        self.expect("from", help=form, fix=self.insert(" from"))
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
        if name is not None:
            self.parts_on_line(self.upgrade_part, parts, ())
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
            if old is None:
                return
            meant = self.guess(self.texts[self.i], UPGRADE_PARTS) if self.at_word() else None
            fix = Fix(self.here(), meant) if meant is not None and meant != self.texts[self.i] else None
            if not self.expect("becomes", what="`becomes`, `set` or `drop`", help=form, fix=fix):
                return
            new = self.name("a state after `becomes`")
            if new is not None:
                out.append(t.Becomes(old, new, span=self.span(first), trivia=trivia))

    def leftover_help(self, text: str) -> str | None:
        if text in UPGRADE_PARTS or text in OPENERS:
            return "put it on a line of its own"
        return super().leftover_help(text)


_TOP: dict[str, Callable[..., None]] = {
    "role": DeclarationReader.role,
    "type": DeclarationReader.type_declaration,
    "record": DeclarationReader.record,
    "const": DeclarationReader.const,
    "tool": DeclarationReader.tool,
    "entity": DeclarationReader.entity,
    "event": DeclarationReader.event,
    "scope": DeclarationReader.scope,
    "scenario": DeclarationReader.scenario,
    "upgrade": DeclarationReader.upgrade,
    "always": DeclarationReader.always,
    "eventually": DeclarationReader.eventually,
    "never": DeclarationReader.never,
    "can": DeclarationReader.can,
}
_ENTITY: dict[str, Callable[..., None]] = {
    "states": DeclarationReader.states,
    "final": DeclarationReader.final,
    "group": DeclarationReader.group,
    "let": DeclarationReader.let_of_entity,
    "unique": DeclarationReader.unique,
    "key": DeclarationReader.key,
    "by": DeclarationReader.by_of_entity,
    "action": DeclarationReader.action,
    "in": DeclarationReader.in_,
    "late": DeclarationReader.late_of_entity,
    "defer": DeclarationReader.defer_of_entity,
    "always": DeclarationReader.always,
    "eventually": DeclarationReader.eventually,
    "never": DeclarationReader.never,
    "can": DeclarationReader.can,
}
_TOOL = dict.fromkeys(TOOL_PARTS)
assert set(_TOP) == set(TOP) - {"blueprint"}, "a word of the top has no reader"
assert set(_ENTITY) == set(ENTITY_PARTS), "a word of entities has no reader"
