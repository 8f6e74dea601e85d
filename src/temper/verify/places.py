"""Where the sites of a table stand in its texts."""

from __future__ import annotations

from temper.table import Table
from temper.text import Source, Span


def span_of(table: Table, site: str | None) -> Span:
    """Return the piece of text that a site is; of one that is not noted, the nearest site it belongs to."""
    places = table.notes.places
    while site:
        if site in places:
            return Span(*places[site])
        site = site.rpartition("/")[0] or site.rpartition(".")[0]
    return Span("", 0, 0)


def sources_of(table: Table) -> dict[str, Source]:
    """Return the texts of a table by file name."""
    return {name: Source(name, text) for name, text in table.notes.sources.items()}


def place_of(table: Table, site: str | None) -> tuple[str, int, int] | None:
    """Return file, line and column of a site, `None` where the notes do not know it."""
    span = span_of(table, site)
    text = table.notes.sources.get(span.file)
    if text is None:
        return None
    position = Source(span.file, text).position(span.start)
    return span.file, position.line, position.column


def text_of(table: Table, site: str | None) -> str:
    """Return the words that stand at a site."""
    span = span_of(table, site)
    return table.notes.sources.get(span.file, "")[span.start : span.end]
