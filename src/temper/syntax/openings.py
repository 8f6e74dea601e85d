"""Words that begin a line or a clause: which are known where, and what was meant by others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from temper.syntax.lexer import STRING, UPPER
from temper.syntax.reader import ELSE_HELP
from temper.syntax.types import TypeReader
from temper.syntax.words import (
    HANDLERS,
    OPENERS,
    PRECEDENCE,
    RESERVED,
)
from temper.text import Code, Fix

_T = TypeVar("_T")

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
        "at the left edge"
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


class OpeningReader(TypeReader):
    """Finds out what a line or a clause is, by the word it begins with."""

    def keyword(self, known: Mapping[str, object], what: str) -> str | None:
        """Return the word that says what stands here, and step over it, if it is known or known what was meant."""
        i = self.i
        text, kind = self.texts[i], self.kinds[i]
        following = self.texts[i + 1]
        if text in known and following != ":":
            self.i = i + 1
            return text
        if kind > UPPER:
            self.fail_here(what)
            return None
        span = self.token_span(i)
        if text == "blueprint":
            self.fail(
                Code.B031,
                "`blueprint` stands at the start of a file, once",
                span,
                help="take this line away, or move it into a file of its own",
            )
            return None
        if text in {"else", "elif"}:
            self.fail(Code.B055, f"`{text}` has nothing to belong to", span, help=ELSE_HELP)
            return None
        if text in HANDLERS:
            self.fail(
                Code.B055,
                f"`{text}` has nothing to belong to",
                span,
                help=f"`{text}` goes on with a `call`: put it on the call's line, or indent it more deeply than that",
            )
            return None
        if text in OPENERS:
            self.fail(Code.B034, f"`{text}` can't stand here", span, help=f"it stands {_WHERE.get(text, 'elsewhere')}")
            return None
        if following in PRECEDENCE or (following in {".", "="} and text in RESERVED):
            self.fail(
                Code.B033,
                "an expression can't stand here by itself",
                span,
                help="what must hold always is written `always ...`, what must hold for an action `when ...`",
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
            Code.B033,
            f"unknown word `{text}`",
            span,
            help=f"{what} begins with one of {', '.join(f'`{word}`' for word in known)}",
        )
        return None

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
        for i in range(max(self.panic_at, self.resumed_at + 1), self.row.end):
            text = self.texts[i]
            if text in {"(", "[", "{"}:
                depth += 1
            elif text in {")", "]", "}"}:
                depth = max(depth - 1, 0)
            elif depth == 0 and i > self.row.start and text in known and self.texts[i - 1] not in {".", ","}:
                if text in {"if", "with", "set", "for"} and i == self.panic_at:
                    continue
                self.i = self.resumed_at = i
                self.panic = False
                return True
        return False

    def parts_on_line(
        self, read: Callable[[None, list[_T]], None], out: list[_T], known: Collection[str], *, until: str = ""
    ) -> None:
        """Read parts up to the end of the line, going on after a problem at the next word of `known`."""
        while self.resume(known) and not self.at_end() and self.texts[self.i] != until:
            at = self.i
            if self.texts[at] == ":":
                self.needless_colon()
            else:
                read(None, out)
            if self.i == at:  # What nobody could read is left over, and reported so.
                return
