"""Blueprints in Markdown: documentation and tests at once.

A block that is fenced as `blueprint` is a bundle of one file, or of several where lines `# file: NAME` part it. A line
that ends in `# error: [B101]`, or `# warning: [B405]`, earns exactly that diagnostic; `# error: [B101] "text"` asks for
the text in its message or help too, and several may stand behind each other. A line without earns none. These comments
are no part of what is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from temper.text import Diagnostic, Source

ROOT = Path(__file__).parents[1]
DIAGNOSTICS = ROOT / "docs" / "reference" / "diagnostics"

_FENCE = re.compile(r"^```blueprint[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# file: (\S+)")
_MARKS = re.compile(r"\s*# (?:error|warning):((?:\s*\[B\d{3}\](?:\s+\"[^\"]*\")?)+)\s*$")
_MARK = re.compile(r"\[(B\d{3})\](?:\s+\"([^\"]*)\")?")


@dataclass(frozen=True, slots=True)
class Expected:
    """A diagnostic that a line earns."""

    file: str
    line: int
    code: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A blueprint of a page, without its marks."""

    sources: tuple[Source, ...]
    expected: tuple[Expected, ...]

    def mismatches(self, problems: Iterable[Diagnostic]) -> list[str]:
        """Return what differs between the diagnostics that were found and those that the lines earn."""
        by_name = {source.name: source for source in self.sources}
        wanted = list(self.expected)
        out: list[str] = []
        for problem in problems:
            span = problem.primary.span
            line = by_name[span.file].position(span.start).line
            said = f"{problem.message}\n{problem.help or ''}"
            match = next(
                (
                    one
                    for one in wanted
                    if (one.file, one.line, one.code) == (span.file, line, problem.code.name) and one.text in said
                ),
                None,
            )
            if match is None:
                out.append(f"{span.file}:{line}: unexpected [{problem.code.name}] {problem.message}; {problem.help}")
            else:
                wanted.remove(match)
        out.extend(f'{one.file}:{one.line}: missing [{one.code}] "{one.text}"' for one in wanted)
        return out


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its heading, and its blueprints."""

    path: Path
    heading: str
    blocks: tuple[Block, ...]


def read_page(path: Path) -> Page:
    """Return what stands on the page."""
    text = path.read_text(encoding="utf-8")
    heading = text.split("\n", 1)[0].removeprefix("# ")
    return Page(path, heading, tuple(read_block(match[1]) for match in _FENCE.finditer(text)))


def read_block(body: str) -> Block:
    """Return the blueprint that stands in a fence."""
    files: dict[str, list[str]] = {}
    lines: list[str] | None = None
    expected: list[Expected] = []
    name = "page.blueprint"
    for line in body.splitlines():
        file = _FILE.fullmatch(line.strip())
        if file is not None:
            name, lines = file[1], None
            continue
        if lines is None:
            lines = files.setdefault(name, [])
        marks = _MARKS.search(line)
        if marks is not None:
            line = line[: marks.start()]
            expected += [Expected(name, len(lines) + 1, mark[1], mark[2] or "") for mark in _MARK.finditer(marks[1])]
        lines.append(line)
    sources = tuple(Source(name, "\n".join([*lines, ""])) for name, lines in files.items())
    return Block(sources, tuple(expected))


def diagnostic_pages(prefix: str) -> list[Path]:
    """Return the pages of the codes that begin with `prefix`, in order."""
    return sorted(DIAGNOSTICS.glob(f"{prefix}*.md"))
