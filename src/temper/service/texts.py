"""Verbs about text alone: lay it out, mend it, turn it into JSON and back, explain a code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from temper.service.bundle import check_texts
from temper.service.findings import finding
from temper.service.wire import Finding
from temper.syntax import format_file, from_json, parse, to_json
from temper.text import Code, Diagnostic, Fix, Severity, Source

# A fix may bring the next problem to light; past this many rounds it is a defect of ours.
FIX_ROUNDS_MAX = 10


def guide_text() -> str:
    """Return the whole language in under 2,000 tokens."""
    return resources.files("temper.service").joinpath("guide.md").read_text("utf-8")


def known_codes() -> tuple[str, ...]:
    """Return every diagnostic's code, in order."""
    return tuple(sorted(code.name for code in Code))


def explain_code(code: str) -> str | None:
    """Return the page of a diagnostic's code; `None` for one that there is not."""
    if code not in known_codes():
        return None
    packaged = resources.files("temper").joinpath("pages", f"{code}.md")
    if packaged.is_file():
        return packaged.read_text("utf-8")
    # In a checkout the pages stand with the other documents.
    page = Path(__file__).parents[3] / "docs" / "reference" / "diagnostics" / f"{code}.md"
    return page.read_text("utf-8")


def format_text(name: str, text: str) -> str | tuple[Finding, ...]:
    """Return a file laid out, or what keeps it from being read."""
    source = Source(name, text)
    file, problems = parse(source)
    errors = _errors(problems, source)
    return errors or format_file(file)


def text_to_json(name: str, text: str) -> str | tuple[Finding, ...]:
    """Return the JSON form of a file, as text, or what keeps it from being read."""
    source = Source(name, text)
    file, problems = parse(source)
    errors = _errors(problems, source)
    return errors or json.dumps(to_json(file), indent=2, ensure_ascii=False) + "\n"


def text_from_json(text: str) -> str | tuple[Finding, ...]:
    """Return the blueprint text of a JSON form, or what is wrong with it."""
    source = Source("<json>", text)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return (
            Finding(
                code="",
                severity="error",
                message=f"this is not JSON: {error}",
                rendered=f"error: this is not JSON: {error}",
            ),
        )
    file, problems = from_json(value)
    return _errors(problems, source) or format_file(file)


def fixed(files: Mapping[str, str]) -> dict[str, str]:
    """Return the texts with every fix carried out that a diagnostic offers."""
    texts = dict(files)
    for _ in range(FIX_ROUNDS_MAX):
        fixes = [problem.fix for problem in check_texts(texts).problems if problem.fix is not None]
        if not fixes:
            break
        texts = {name: _apply(text, [fix for fix in fixes if fix.span.file == name]) for name, text in texts.items()}
    return texts


def _apply(text: str, fixes: Sequence[Fix]) -> str:
    # From the end, so that offsets hold; of two that overlap the first is done now and the other asked for again.
    upto = len(text) + 1
    for fix in sorted(fixes, key=lambda each: (each.span.start, each.span.end), reverse=True):
        if fix.span.end <= upto:
            text = text[: fix.span.start] + fix.text + text[fix.span.end :]
            upto = fix.span.start
    return text


def _errors(problems: Sequence[Diagnostic], source: Source) -> tuple[Finding, ...]:
    return tuple(finding(problem, {source.name: source}) for problem in problems if problem.severity is Severity.ERROR)
