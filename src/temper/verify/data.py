"""A report as JSON, with stable keys."""

from __future__ import annotations

from typing import Any

from temper.text import Diagnostic
from temper.verify.report import Level, PropertyResult, Report, ScenarioResult, Strength, TraceStep


def report_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON-able data. Members are added, never renamed."""
    return {
        "digest": report.digest,
        "blueprint": report.blueprint,
        "passed": report.passed,
        "levels": [_level(each) for each in report.levels],
        "properties": [_property(each) for each in report.properties],
        "findings": [finding_json(each) for each in report.findings],
        "scenarios": [_scenario(each) for each in report.scenarios],
        "strength": None if report.strength is None else strength_json(report.strength),
        "stopped": list(report.stopped),
    }


def strength_json(strength: Strength) -> dict[str, Any]:
    """Return how much is noticed as JSON-able data."""
    return {
        "score": round(strength.score, 4),
        "killed": strength.killed,
        "counted": strength.counted,
        "equivalent": strength.equivalent,
        "unjudged": strength.unjudged,
        "made": strength.made,
        "seconds": round(strength.seconds, 4),
        "by": strength.by,
        "survivors": [
            {
                "question": each.question,
                "what": each.what,
                "kind": each.kind,
                "entity": each.entity,
                "site": each.site,
                "place": _place(each.place),
            }
            for each in strength.survivors
        ],
        "vacuous": [
            {
                "name": each.name,
                "entity": each.entity,
                "why": each.why,
                "site": each.site,
                "place": _place(each.place),
            }
            for each in strength.vacuous
        ],
        "suggestions": [
            {
                "text": each.text,
                "entity": each.entity,
                "verdict": each.verdict.value,
                "by": each.by,
                "kills": each.kills,
                "asked": list(each.asked),
            }
            for each in strength.suggestions
        ],
    }


def _place(place: tuple[str, int, int] | None) -> dict[str, Any] | None:
    return None if place is None else {"file": place[0], "line": place[1], "column": place[2]}


def _level(level: Level) -> dict[str, Any]:
    return {
        "name": level.name,
        "seconds": round(level.seconds, 4),
        "covered": list(level.covered),
        "not_covered": list(level.not_covered),
        "states": level.states,
        "transitions": level.transitions,
        "units": level.units,
        "looked_up": level.looked_up,
    }


def _property(each: PropertyResult) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": each.name,
        "entity": each.entity,
        "verdict": each.verdict.value,
        "by": each.by,
        "why": each.why,
        "site": each.site,
        "help": each.help,
    }
    if each.certificate:
        data["certificate"] = list(each.certificate)
    if each.trace:
        data["trace"] = [_step(step) for step in each.trace]
    return data


def _step(step: TraceStep) -> dict[str, Any]:
    return {
        "text": step.text,
        "entity": step.entity,
        "id": step.id,
        "name": step.name,
        "part": step.part,
        "who": step.who,
        "action": step.action,
        "params": step.params,
        "before": step.before,
        "after": step.after,
        "changed": {name: {"was": was, "is": now} for name, (was, now) in step.changed.items()},
        "site": step.site,
        "place": None
        if step.place is None
        else {"file": step.place[0], "line": step.place[1], "column": step.place[2]},
        "event": step.event,
    }


def _scenario(each: ScenarioResult) -> dict[str, Any]:
    return {
        "title": each.title,
        "passed": each.passed,
        "site": each.site,
        "problem": None if each.problem is None else finding_json(each.problem),
    }


def finding_json(each: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as JSON-able data; places are offsets in characters."""
    span = each.primary.span
    return {
        "code": each.code.name,
        "severity": each.severity.value,
        "message": each.message,
        "file": span.file,
        "start": span.start,
        "end": span.end,
        "label": each.primary.text,
        "also": [
            {"file": label.span.file, "start": label.span.start, "end": label.span.end, "text": label.text}
            for label in each.secondary
        ],
        "help": each.help,
    }
