"""What the verifier says: verdicts, runs and findings. Plain data; doors draw it or write it as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from temper.text import Diagnostic


class Verdict(Enum):
    """What is known of a property. They are different words because they are different things."""

    PROVED = "proved"
    """For every reachable state of the real types."""
    HOLDS = "holds within bounds"
    """In every state of the search, whose bounds the report states."""
    TESTED = "tested"
    """No counterexample in so many runs."""
    BROKEN = "broken"
    """There is a run, and it is shown."""
    UNKNOWN = "unknown"
    """It was tried, and a bound or the solver stopped it."""
    NOT_CHECKED = "not checked"
    """Nothing that ran looks at it."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of a run, in the blueprint's words.

    `who` is "operator", "system", "the tool kubernetes.set_partition", "the clock". `site` is the case or clause
    that did it; `place` is where that stands, as (file, line, column). `changed` maps a field to (was, is), encoded.
    """

    text: str
    entity: str
    id: str
    who: str
    action: str | None
    params: dict[str, Any]
    before: str
    after: str
    changed: dict[str, tuple[Any, Any]]
    site: str | None
    place: tuple[str, int, int] | None
    event: dict[str, Any] = field(default_factory=dict)
    """The step as data, enough to replay it or to write it as a scenario's line."""


@dataclass(frozen=True, slots=True)
class PropertyResult:
    """A property, or an unwritten question that is always asked, and its verdict.

    `by` names what decided: "induction", "search", "table", ... `why` is for people: bounds, the reason of an
    unknown, what would have stopped a broken one. `trace` is the shortest run to the break, or the witness of a `can
    reach`.
    """

    name: str
    entity: str | None
    verdict: Verdict
    by: str
    why: str = ""
    site: str | None = None
    trace: tuple[TraceStep, ...] = ()
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """What one level did. `covered` says it in words, `not_covered` what it leaves out; numbers where they mean
    something."""

    name: str
    seconds: float
    covered: tuple[str, ...]
    not_covered: tuple[str, ...] = ()
    states: int | None = None
    transitions: int | None = None


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    title: str
    passed: bool
    site: str
    problem: Diagnostic | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found about one table.

    `passed`: no error among the findings, no scenario failed, and no property is broken, or is unknown or not
    checked while the push policy asks for it.
    """

    digest: str
    blueprint: str
    passed: bool
    levels: tuple[Level, ...]
    properties: tuple[PropertyResult, ...]
    findings: tuple[Diagnostic, ...]
    scenarios: tuple[ScenarioResult, ...]
