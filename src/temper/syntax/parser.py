"""Blueprint text to its tree: a file, a bundle, an expression."""

from __future__ import annotations

from collections.abc import Iterable

from temper.syntax import tree as t
from temper.syntax.declarations import DeclarationReader
from temper.syntax.layout import Row, lay_out
from temper.syntax.lexer import END, PROBLEMS_MAX, SOURCE_LENGTH_MAX, UPPER, lex
from temper.syntax.tree import NO_TRIVIA, Trivia
from temper.text import Code, Diagnostic, Fix, Label, Source, Span


def parse(source: Source) -> tuple[t.File, tuple[Diagnostic, ...]]:
    """Return the tree of a file, and every problem found, in order of place. Never raises.

    What could not be read is a `Bad...` node, or left out.
    """
    if len(source.text) > SOURCE_LENGTH_MAX:
        problem = Diagnostic(
            Code.B015,
            "the file is too long",
            Label(Span(source.name, 0, 0)),
            help=f"a file has at most {SOURCE_LENGTH_MAX:_} characters; a bundle may have several",
        )
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
                    Code.B032,
                    f"this file belongs to `{name.text}`, another to `{named[0].text}`",
                    Label(name.span),
                    (Label(named[0].span, "the bundle's first file"),),
                    "all files of a bundle begin with the same `blueprint` line",
                    Fix(name.span, named[0].text),
                )
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
                Code.B017,
                "there are more problems in this file",
                Label(last),
                help=f"the first {PROBLEMS_MAX - 1} are shown; mend them, and look again",
            )
        )
    return tuple(ordered)


class Parser(DeclarationReader):
    """Reads a file, row by row."""

    def read_file(self, root: Row) -> t.File:
        """Return the tree of the whole file."""
        if not self.kinds:
            self.kinds.append(END)
            self.texts.append("\n")
            self.starts.append(0)
            self.ends.append(0)
            self.row = root
            self.report(Code.B030, "missing `blueprint` line", self.here(), help="a file begins with `blueprint NAME`")
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
                        Code.B014,
                        "this line is indented too deep",
                        self.token_span(self.row.start),
                        help="declarations begin at the left edge, like the `blueprint` line",
                    )
                    rows = [*first.children, *rows]
            else:
                guess = self.guess(self.texts[first.start], ["blueprint"]) if self.kinds[first.start] <= UPPER else None
                if guess is not None and first.end - first.start == 2:
                    wrong = self.token_span(first.start)
                    self.report(
                        Code.B033,
                        f"unknown word `{self.texts[first.start]}`",
                        wrong,
                        help="did you mean `blueprint`?",
                        fix=Fix(wrong, "blueprint"),
                    )
                    name = self.blueprint(first)
                    rows = rows[1:]
                else:
                    self.report(
                        Code.B030,
                        "missing `blueprint` line",
                        self.token_span(first.start),
                        help="a file begins with `blueprint NAME`",
                    )
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
