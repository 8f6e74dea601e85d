"""Scenarios: who does what, and what comes of it."""

from __future__ import annotations

from temper.syntax import tree as t
from temper.syntax.layout import Row
from temper.syntax.lexer import END, STRING, UPPER, unquote
from temper.syntax.properties import PropertyReader
from temper.syntax.words import (
    PRECEDENCE,
    RESERVED,
)
from temper.text import Code, Fix


class ScenarioReader(PropertyReader):
    """Reads scenarios, step by step."""

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
                    Code.B035,
                    "a check expects nothing more",
                    self.here(),
                    help="`->` follows a step; write what must hold on a line of its own",
                )
            out.append(t.Check(condition, span=self.span(i), trivia=row.trivia()))

    def tool_verb(self) -> bool:
        """Return whether a path and a tool's verb stand here."""
        if self.texts[self.i] in RESERVED:
            return False
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
            if self.texts[closing] != ")" and self.texts[closing] not in {"-", "@", ".", "for"}:
                return False
            while self.texts[closing] != ")" and self.kinds[closing] != END:
                closing += 1
            i = closing
        return self.kinds[i + 1] <= UPPER and self.texts[i + 1] not in {"is", "in", "not", "and", "or", "implies"}

    def act(self, row: Row, out: list[t.ScenarioStep]) -> None:
        first = self.i
        roles: list[t.Name] = []
        principal: t.Name | None = None
        acts_for: t.Name | None = None
        while True:
            role = self.name("a role")
            if role is None:
                return
            roles.append(role)
            if self.take("("):
                if self.kinds[self.i] == STRING:
                    span = self.here()
                    self.report(
                        Code.B035,
                        "a principal is a bare word",
                        span,
                        help="write it without quotes",
                        fix=Fix(span, unquote(self.texts[self.i]))
                        if unquote(self.texts[self.i]).isidentifier()
                        else None,
                    )
                    principal = t.Name(unquote(self.texts[self.i]), span=span)
                    self.i += 1
                else:
                    principal = self.name("a principal")
                if self.take("for"):
                    acts_for = self.name("the person for whom it acts")
                self.expect(
                    ")",
                    help="write `role(principal)` or `role(agent for person)`; several roles are `a, b(principal)`",
                )
                break
            if not self.take(","):
                break
        if self.panic:
            return
        creates: t.Name | None = None
        if self.texts[self.i + 1] == "=":
            creates = self.lower("an instance")
            self.i += 1
        target = self.name("what is acted upon")
        if target is None:
            return
        if not self.expect(
            ".", help="write `role(principal) r.Action(...)`, or `role(principal) r = Entity.Action(...)`"
        ):
            return
        invoke = self.invoke()
        if invoke is None:
            return
        if self.kinds[self.i] == UPPER:
            self.fail_here("`->`", help="what comes of a step stands behind `->`", fix=self.insert(" ->"))
        expect = self.expectations()
        out.append(
            t.Act(
                tuple(roles),
                principal,
                creates,
                target,
                invoke,
                expect,
                acts_for,
                span=self.span(first),
                trivia=row.trivia(),
            )
        )

    def given(self, row: Row, out: list[t.ScenarioStep]) -> None:
        first = self.i
        self.i += 1
        entity = self.name("an entity after `given`")
        name = self.lower("an instance")
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
        if ends and text == "any":
            self.i += 1
            return t.Anything(span=self.span(i))
        if ends and kind <= UPPER and text not in RESERVED:
            self.i += 1
            if text == "denied":
                return t.Denied(span=self.span(i))
            name = t.Name(text, span=self.token_span(i))
            return t.BecomesState(name, span=name.span) if kind == UPPER else t.Names(name, span=name.span)
        if kind == END:
            self.fail_here(
                "what comes of it",
                help='write `-> State`, `-> denied`, `-> refused "..."`, `-> any` or `-> r.field == 1`',
            )
            return None
        return t.Holds(self.expr(), span=self.span(i))
