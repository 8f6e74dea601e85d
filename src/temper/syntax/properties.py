"""Properties: what must always hold, or come to pass, or be reachable."""

from __future__ import annotations

from typing import Any

from temper.syntax import tree as t
from temper.syntax.clauses import ClauseReader
from temper.syntax.layout import Row
from temper.syntax.lexer import STRING, unquote
from temper.syntax.tree import NO_TRIVIA
from temper.syntax.words import (
    POSTFIX_PRECEDENCE,
)
from temper.text import Code, Fix, Label


class PropertyReader(ClauseReader):
    """Reads properties, which stand at the top or in an entity."""

    def title(self) -> str | None:
        """Return the name of a property: a text and a `:`."""
        if self.kinds[self.i] != STRING:
            return None
        title = unquote(self.texts[self.i])
        self.i += 1
        if self.texts[self.i] != ":" and not self.panic:
            self.report(
                Code.B039,
                "missing `:` after the property's name",
                self.token_span(self.i - 1),
                help='write `always "name": E`',
                fix=self.insert(":"),
            )
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
        return self.listed(lambda: self.state_name(what))

    def always(self, row: Row, out: list[Any]) -> None:
        first = self.i - 1
        title = self.title()
        condition = self.expr()
        out.append(t.Always(title, condition, span=self.span(first), trivia=row.trivia()))

    def eventually(self, row: Row, out: list[Any]) -> None:
        first = self.i - 1
        title = self.title()
        froms = self.state_names()
        form = "write `eventually A leads to B, C`"
        if self.texts[self.i] in {"->", "=>"} and not self.panic:
            span = self.here()
            self.report(
                Code.B035, f"expected `leads to`, found {self.found()}", span, help=form, fix=Fix(span, "leads to")
            )
            self.i += 1
        elif self.texts[self.i] == "to":
            self.fail_here("`leads to`", help=form, fix=self.insert(" leads"))
        elif self.expect("leads", what="`leads to`", help=form):
            self.expect("to", help=form, fix=self.insert(" to"))
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

    def never(self, row: Row, out: list[Any]) -> None:
        first = self.i - 1
        title = self.title()
        role = self.name("a role after `never`")
        form = "write `never ROLE enters S`; that a condition never holds is `always not (...)`"
        if not self.expect("enters", help=form) or role is None:
            return
        states = self.state_names()
        out.append(t.Never(title, role, states, span=self.span(first), trivia=row.trivia()))

    def can(self, row: Row, out: list[Any]) -> None:
        first = self.i - 1
        if not self.expect("reach", help="write `can reach S`"):
            return
        title = self.title()
        states = self.state_names()
        out.append(t.CanReach(title, states, span=self.span(first), trivia=row.trivia()))

    def needs(self, row: Row, out: list[Any]) -> None:
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
                )
                break
            if word in seen:
                self.fail(
                    Code.B072,
                    f"`{word}` is given twice",
                    self.here(),
                    secondary=(Label(self.token_span(seen[word]), "the first one"),),
                )
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
