"""Diagnostics and places for the wire."""

from __future__ import annotations

from collections.abc import Mapping

from temper.service import wire
from temper.table import Table
from temper.text import Diagnostic, Source, Span, render

# Of the line that a place stands in: a line of a blueprint is shorter.
TEXT_MAX = 1_000
DOCS = "docs/reference/diagnostics/{code}.md"


def finding(problem: Diagnostic, sources: Mapping[str, Source], *, colour: bool = False) -> wire.Finding:
    """Return a diagnostic as data, with its drawing."""
    return wire.Finding(
        code=problem.code.name,
        severity=problem.severity.value,
        message=problem.message,
        place=place(problem.primary.span, sources),
        label=problem.primary.text,
        help=problem.help,
        fix=problem.fix.text if problem.fix is not None else None,
        rendered=render(problem, sources, colour=colour),
        docs=DOCS.format(code=problem.code.name),
    )


def place(span: Span, sources: Mapping[str, Source]) -> wire.Place | None:
    """Return where a span lies; `None` for one that lies in no file."""
    source = sources.get(span.file)
    if source is None:
        return None
    start, end = source.position(span.start), source.position(span.end)
    return wire.Place(
        file=span.file,
        line=start.line,
        column=start.column,
        end_line=end.line,
        end_column=end.column,
        text=source.line(start.line).strip()[:TEXT_MAX],
    )


def site_place(table: Table, site: str | None) -> wire.Place | None:
    """Return where a site of the table stands in its text."""
    where = table.notes.places.get(site) if site else None
    if where is None:
        return None
    file, start, end = where
    # A text of many policies is cut into lines once for a table.
    known: dict[str, Source] = table.__dict__.setdefault("lined", {})
    if file not in known:
        known[file] = Source(file, table.notes.sources.get(file, ""))
    return place(Span(file, start, end), known)


def site_text(table: Table, site: str | None) -> str:
    """Return the words that stand at a site."""
    where = table.notes.places.get(site) if site else None
    if where is None:
        return ""
    file, start, end = where
    return table.notes.sources.get(file, "")[start:end]
